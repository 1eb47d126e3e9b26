/* SPDX-License-Identifier: GPL-2.0-only */
/* Traps, faults, steps and interrupts of this harness, without an image. */
#include <string.h>
#include "played.h"

#define CODE (HIGH + SCRATCH)

static struct regs before, after;

static enum ended execute(const char *code, u32 length)
{
	u32 i;

	memcpy((void *)CODE, code, length);
	for (i = 0; i < 8; i++)
		((u32 *)&before)[i] = random32();
	before.ebp = VMI_HV_TAG | VMI_HV_FLUSH;
	before.esp = HIGH + STACK_TOP - 4;
	*(u32 *)before.esp = RETURN_ADDRESS;
	before.eip = CODE;
	before.eflags = FLAG_IF | FLAG_DF | FLAG_ID | 2;
	before.ds = before.es = before.fs = before.pad = 0;
	after = before;
	return run(&after);
}

static bool same_registers(void)
{
	return !memcmp(&before, &after, 16) && !memcmp(&before.ebp, &after.ebp, 12) &&
	       after.esp == HIGH + STACK_TOP && !((before.eflags ^ after.eflags) & ~FLAGS_OSZAPC) &&
	       !after.ds && !after.es && !after.fs;
}

#define EXECUTE(code) execute(code, sizeof(code))

static void transports(bool steps)
{
	static const struct {
		u32 transport, operand;
		const char *name, *code;
	} kinds[] = {
		{ VMI_HV_OUT, 0xe4, "OUT", "\xe7\xe4\xc3" },
		{ VMI_HV_INT, 0xe5, "INT", "\xcd\xe5\xc3" },
		{ VMI_HV_VMCALL, 0, "VMCALL", "\x0f\x01\xc1\xc3" },
		{ VMI_HV_VMMCALL, 0, "VMMCALL", "\x0f\x01\xd9\xc3" },
	};
	u32 i;

	for (i = 0; i < (steps ? 4 : 2); i++) {
		bool good;

		played_reset();
		played.transport = kinds[i].transport;
		played.operand = kinds[i].operand;
		good = execute(kinds[i].code, 4) == ENDED_RETURN && played.flushes == 1 &&
		       played.traps == 1 && same_registers() && !(after.eflags & FLAG_CF);
		played.operand++;
		good &= execute(kinds[i].code, 4) == ENDED_FAULT && after.eip == CODE &&
			played.flushes == 1;
		ok(good, "%s traps%s", kinds[i].name, steps ? ", stepped" : "");
	}
}

static u32 nested, deep;

static void interrupt(struct regs *regs)
{
	struct regs saved_before = before, saved_after = after;
	struct regs handler;

	if (deep || !is_guest(regs->eip))
		return;
	deep = 1;
	memset(&handler, 0, sizeof(handler));
	handler.esp = ((regs->esp - 0x1000) & ~15u) - 4;
	*(u32 *)handler.esp = RETURN_ADDRESS;
	handler.eip = CODE + 0x100;
	handler.ebp = VMI_HV_TAG | VMI_HV_DELIVER;
	handler.eflags = FLAG_IF;
	if (run(&handler) == ENDED_RETURN)
		nested++;
	deep = 0;
	before = saved_before;
	after = saved_after;
}

void check_plumbing(void)
{
	static const char handler[] = "\x90\xe7\xe4\xc3";

	hook_trap = played_trap;
	transports(false);
	stepping = true;
	transports(true);
	instructions = 0;
	played_reset();
	ok(EXECUTE("\x90\x90\xe7\xe4\x90\xc3") == ENDED_RETURN && instructions == 5 &&
		   same_registers(),
	   "steps are counted, a trap is one");
	stepping = false;
	ok(EXECUTE("\xf4\xc3") == ENDED_FAULT && after.eip == CODE && fault_vector == 13,
	   "HLT ends a run");
	ok(EXECUTE("\xa1\x00\x00\x00\x00\xc3") == ENDED_FAULT && after.eip == CODE,
	   "a null segment ends a run");
	privileged = true;
	processor_reset();
	ok(EXECUTE("\xfa\xc3") == ENDED_RETURN && !processor.interrupts && same_registers() &&
		   EXECUTE("\xfb\xc3") == ENDED_RETURN && processor.interrupts && same_registers(),
	   "CLI and STI");
	privileged = false;

	memcpy((void *)(CODE + 0x100), handler, sizeof(handler));
	played_reset();
	hook_step = interrupt;
	ok(EXECUTE("\x90\xe7\xe4\x90\xe7\xe4\xc3") == ENDED_RETURN && nested == 5 &&
		   played.delivers == 5 && played.flushes == 2 && same_registers(),
	   "an interrupt before each instruction");
	hook_step = NULL;
	hook_trap = NULL;
}
