/* SPDX-License-Identifier: GPL-2.0-only */
/* Gates, faults and system calls. */
#include "pv.h"

PV void trap(struct frame *frame);
PV bool system_call(struct frame *frame);

/* ------------------------------------------------------------------------
 * Faults and interrupts
 */

static bool from_user(const struct frame *frame)
{
	return (frame->cs & 3) == 3;
}

static void fault(struct frame *frame)
{
	u32 linear = frame->vector == VECTOR_PAGE_FAULT ? pv_read_cr2() : 0, flags;

	/* On cpu.entry_stack: there is no current(). */
	if (frame->vector == VECTOR_DEBUG && !from_user(frame) &&
	    frame->eip == (u32)entry_sysenter) {
		frame->eflags &= ~EFLAGS_TF;
		return;
	}
	if (!from_user(frame))
		bail("trap %u, error %x, at %08x, cr2 %08x", frame->vector, frame->error,
		     frame->eip, linear);
	pv_irq_enable();
	flags = lock();
	if (frame->vector != VECTOR_PAGE_FAULT || !memory_fault(linear, frame->error & 2))
		signal_send(current(), SIG_FAULT);
	unlock(flags);
}

/*
 * What interrupts the kernel may do so within a site, and the site waits for it to change. So it
 * uses no site but IRET's and takes no lock.
 */
PV void trap(struct frame *frame)
{
	switch (frame->vector) {
	case VECTOR_TIMER:
	case VECTOR_LVTT:
		tick(frame->vector);
		break;
	case VECTOR_KICK:
		kicked(frame->eip);
		break;
	case VECTOR_SPURIOUS:
		break;
	default:
		fault(frame);
	}
	if (from_user(frame))
		leave();
}

/* ------------------------------------------------------------------------
 * System calls, with the lock
 */

typedef u32 call_function(u32 a, u32 b, u32 c);

static bool user_string(const char *s)
{
	do
		if (!memory_check((u32)s, 1, false))
			return false;
	while (*s++);
	return true;
}

static struct file *user_file(u32 n, bool writes)
{
	struct file *file = &current()->file[n];

	return n < FILES && file->pipe && file->writes == writes ? file : NULL;
}

static u32 call_exit(u32 status)
{
	process_exit(status & 0xff);
}

static u32 call_fork(void)
{
	return process_fork();
}

static u32 call_exec(const char *name, u32 argument)
{
	return user_string(name) && process_exec(name, argument) ? argument : E_NONE;
}

static u32 call_wait(u32 *status)
{
	return memory_check((u32)status, 4, true) ? process_wait(status) : E_BAD;
}

static u32 call_getpid(void)
{
	return current()->pid;
}

static u32 call_getcpu(void)
{
	return current()->cpu->number;
}

static u32 call_yield(void)
{
	schedule();
	return 0;
}

static u32 call_sleep(u32 ms)
{
	sleep_until(pv_cycle_counter(VMI_CYCLES_REAL) + milliseconds(ms));
	return 0;
}

static u32 call_pipe(u32 *file)
{
	return memory_check((u32)file, 8, true) && pipe_make(file) ? 0 : E_BAD;
}

static u32 call_read(u32 n, u8 *to, u32 size)
{
	struct file *file = user_file(n, false);

	return file && memory_check((u32)to, size, true) ? file_read(file, to, size) : E_BAD;
}

static u32 call_write(u32 n, const u8 *from, u32 size)
{
	struct file *file = user_file(n, true);

	return file && memory_check((u32)from, size, false) ? file_write(file, from, size) : E_BAD;
}

static u32 call_close(u32 n)
{
	if (n >= FILES)
		return E_BAD;
	file_close(&current()->file[n]);
	return 0;
}

static u32 call_kill(u32 pid, u32 signal)
{
	struct process *p = process_find(pid);

	if (!p || signal >= SIGNALS)
		return E_NONE;
	signal_send(p, signal);
	return 0;
}

static u32 call_signal(u32 signal, u32 handler, u32 restorer)
{
	if (signal >= SIGNALS || signal == SIG_KILL)
		return E_BAD;
	current()->handler[signal] = handler;
	current()->restorer = restorer;
	return 0;
}

static u32 call_sigreturn(void)
{
	if (!signal_return())
		process_exit(KILLED(SIG_FAULT));
	return user_frame(current())->eax;
}

static u32 call_map(u32 pages)
{
	if (pages)
		return memory_map(pages) ? USER_MAP : E_MEMORY;
	memory_unmap();
	return 0;
}

static u32 call_tls(u32 base)
{
	current()->tls = base;
	process_load(current());
	return 0;
}

static u32 call_time(struct times *times)
{
	if (!memory_check((u32)times, sizeof(*times), true))
		return E_BAD;
	times->cycles = pv_cycle_counter(VMI_CYCLES_REAL);
	times->frequency = pv_cycle_frequency();
	times->wall = pv_wallclock();
	return 0;
}

static u32 call_ticks(u32 on)
{
	if (on)
		time_start_cpu();
	else
		time_stop_cpu();
	return 0;
}

static u32 call_patch(u32 site, u32 form)
{
	return vmi_patch_again(site, form);
}

static u32 call_ok(u32 good, const char *name)
{
	return user_string(name) ? ok(good, "%s", name) : E_BAD;
}

static u32 call_bench(const char *name, u32 count, const u64 *cycles)
{
	if (!user_string(name) || !memory_check((u32)cycles, 8, false))
		return E_BAD;
	print("# bench %s %u %llu\n", name, count, divide64(*cycles + count / 2, count));
	return ok(true, "%s", name);
}

static u32 call_memory(void)
{
	return frames_free();
}

static call_function *const calls[] = {
#define X(name) [SYS_##name] = (call_function *)(void *)call_##name,
	SYSTEM_CALLS(X)
#undef X
};

/* true: what goes back to user mode is not what came. */
PV bool system_call(struct frame *frame)
{
	u32 eip = frame->eip, flags;

	pv_irq_enable();
	flags = lock();
	frame->eax = frame->eax < SYSTEM_CALLS_COUNT
			     ? calls[frame->eax](frame->ebx, frame->esi, frame->edi)
			     : E_BAD;
	unlock(flags);
	leave();
	return frame->eip != eip;
}

/* ------------------------------------------------------------------------
 * Start
 */

static void gate(u32 vector, u32 type)
{
	u32 entry = (u32)entry_gates + vector * 16;

	pv_write_idt_entry(idt, vector, SEL_CODE << 16 | (entry & 0xffff),
			   (entry & 0xffff0000) | type);
}

#define GATE_INTERRUPT 0x8e00
#define GATE_USER 0xee00
#define NMI 2
#define DOUBLE_FAULT 8

/* The library's stay for what nobody survives. */
void entries_start(void)
{
	u32 vector;

	for (vector = 0; vector < 32; vector++)
		if (vector != NMI && vector != DOUBLE_FAULT)
			gate(vector, GATE_INTERRUPT);
	gate(VECTOR_TIMER, GATE_INTERRUPT);
	gate(VECTOR_LVTT, GATE_INTERRUPT);
	gate(VECTOR_KICK, GATE_INTERRUPT);
	gate(VECTOR_SPURIOUS, GATE_INTERRUPT);
	gate(VECTOR_USER, GATE_USER);
}
