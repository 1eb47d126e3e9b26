/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Signals. A handler runs on the user's stack, where it finds the address that it returns to,
 * the signal's number, and the frame that SYS_sigreturn goes back to.
 */
#include "pv.h"

struct signal_frame {
	u32 restorer, signal;
	struct frame frame;
};

void signal_send(struct process *p, u32 signal)
{
	p->signals |= 1u << signal;
	if (p->state == WAITING)
		ready(p);
	else if (p->state == RUNNING && p->cpu != current()->cpu)
		kick(p->cpu);
}

static bool handle(struct process *p, u32 signal)
{
	struct frame *frame = user_frame(p);
	struct signal_frame *to = (struct signal_frame *)(frame->esp & ~15u) - 1;

	if (!p->handler[signal] || !memory_check((u32)to, sizeof(*to), true))
		return false;
	to->restorer = p->restorer;
	to->signal = signal;
	to->frame = *frame;
	frame->esp = (u32)to;
	frame->eip = p->handler[signal];
	return true;
}

void signal_deliver(void)
{
	struct process *p = current();
	u32 signal;

	for (signal = 0; signal < SIGNALS; signal++) {
		if (!(p->signals >> signal & 1))
			continue;
		p->signals &= ~(1u << signal);
		if (!handle(p, signal))
			process_exit(KILLED(signal));
	}
}

/* ESP is where the handler's number is: it has returned. */
bool signal_return(void)
{
	struct frame *frame = user_frame(current());
	const struct signal_frame *from = (const void *)(frame->esp - 4);

	if (!memory_check((u32)from, sizeof(*from), false))
		return false;
	*frame = from->frame;
	frame->cs = SEL_USER_CODE;
	frame->ss = SEL_USER_DATA;
	frame->eflags = (frame->eflags & EFLAGS_OSZAPC) | EFLAGS_1 | EFLAGS_IF;
	return true;
}
