/* SPDX-License-Identifier: GPL-2.0-only */
/* One call of the interface, with arguments that it accepts and poison everywhere else. */
#include <stdio.h>
#include <string.h>
#include "user.h"

static u32 seed = 1;

u32 random32(void)
{
	seed = seed * 1664525 + 1013904223;
	return seed >> 16 ^ seed << 16;
}

static const char *const arguments[] = {
#define VMI_X(name, n3, n13, n6, type, args, in, out, clobber, conv, seg, defer, text) #args,
	VMI_CALLS(VMI_X)
#undef VMI_X
};

static u16 flat, frame_cs;

/* regparm(3): EAX, EDX, ECX, then the stack. Pointers point to 8 bytes in SCRATCH of their own. */
static void set_arguments(struct call *call)
{
	u32 *place[] = { &call->before.eax, &call->before.edx, &call->before.ecx, &call->stack[0],
			 &call->stack[1] };
	const char *text = arguments[call->id] + 1;
	u32 n = 0;

	while (*text && *text != ')' && strncmp(text, "void)", 5) && n < 5) {
		u32 length = (u32)strcspn(text, ",)");
		const char *star = memchr(text, '*', length);
		bool pointer = star || (length > 7 && !memcmp(text + length - 7, "address", 7));
		bool wide = !memcmp(text, "vmi_u64", 7);

		*place[n] = pointer ? call->base + SCRATCH + n * 0x400 : random32() & 3;
		if (wide && n < 4)
			*place[n + 1] = random32() & 3;
		n += wide ? 2 : 1;
		text += length;
		text += strspn(text, ", ");
	}
}

void call_prepare(struct call *call, u32 id, u32 base)
{
	struct regs *regs = &call->before;
	const struct vmi_call_record *r = record(id);
	u32 i;

	memset(call, 0, sizeof(*call));
	__asm__("mov %%ds, %0\n\tmov %%cs, %1" : "=r"(flat), "=r"(frame_cs));
	call->id = id;
	call->base = base;
	for (i = 0; i < 8; i++)
		((u32 *)regs)[i] = random32() | 0x80000000;
	regs->esp = base + STACK_TOP - 0x100;
	regs->eflags = 2 | FLAG_IF | FLAG_ID | FLAG_DF | (random32() & FLAGS_OSZAPC);
	call->stack[0] = random32();
	call->stack[1] = random32();
	set_arguments(call);
	if (id == VMI_ID_SetEFLAGS)
		regs->eax = regs->eflags | (is_stepped() ? FLAG_TF : 0);
	/* I/O of strings and the 6.1 exchange have no prototype. */
	if ((r->convention & 0xf) == VMI_CONV_REGS) {
		regs->ecx = 2;
		if (r->in & VMI_A)
			regs->eax = 1;
		if (r->in & VMI_DI)
			regs->edi = base + SCRATCH + 0x1000;
		if (r->in & VMI_SI)
			regs->esi = base + SCRATCH + 0x1400;
	}
	if (r->convention >> 4 == VMI_SEG_FLAT)
		regs->ds = regs->es = flat;
	/* Otherwise null, like FS: whoever uses it faults. */
}

/* IRET and the like leave to RETURN_ADDRESS with the flags of the frame. */
static void push(struct regs *regs, u32 value)
{
	regs->esp -= 4;
	*(u32 *)regs->esp = value;
}

enum ended call_run(struct call *call, u32 entry)
{
	u32 convention = record(call->id)->convention & 0xf;
	struct regs regs = call->before;

	regs.eip = entry ? entry : call->base + IMAGE + call_entry(call->id);
	if (convention == VMI_CONV_C || convention == VMI_CONV_REGS) {
		push(&regs, call->stack[1]);
		push(&regs, call->stack[0]);
		push(&regs, RETURN_ADDRESS);
	} else {
		u32 flags = regs.eflags | (is_stepped() ? FLAG_TF : 0);

		push(&regs, flags);
		push(&regs, frame_cs);
		push(&regs, RETURN_ADDRESS);
		if (convention == VMI_CONV_EXIT)
			push(&regs, 0xdeadbeef);
	}
	call->after = regs;
	call->ended = run(&call->after);
	/* As its caller had it. */
	if (call->ended == ENDED_RETURN &&
	    (convention == VMI_CONV_C || convention == VMI_CONV_REGS))
		call->after.esp += 8;
	return call->ended;
}

const char *call_broke(const struct call *call, u32 out)
{
	static const char *const name[] = {
		"EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI"
	};
	const u32 *before = (const u32 *)&call->before, *after = (const u32 *)&call->after;
	static char text[80];
	u32 i, may = 0, flags = FLAGS_OSZAPC | FLAG_TF | (out & VMI_EFL ? FLAG_IF | 0x3000 : 0);

	for (i = 0; i < 6; i++)
		if (out & VMI_A << i)
			may |= 1u << register_of(i);
	for (i = 0; i < 8; i++)
		if (!(may & 1u << i) && before[i] != after[i]) {
			snprintf(text, sizeof(text), "%s was %08x, is %08x", name[i], before[i],
				 after[i]);
			return text;
		}
	if ((call->before.eflags ^ call->after.eflags) & ~flags & ~2u) {
		snprintf(text, sizeof(text), "flags were %08x, are %08x", call->before.eflags,
			 call->after.eflags);
		return text;
	}
	if (call->before.ds != call->after.ds || call->before.es != call->after.es ||
	    call->before.fs != call->after.fs)
		return "a segment register";
	return NULL;
}
