/* SPDX-License-Identifier: GPL-2.0-only */
/* Stubs that trap, each call by itself: what the VMM gets, what the guest gets back. */
#include <stdio.h>
#include <string.h>
#include "played.h"

static struct call call;

/* With the played VMM as it is. */
static bool attached(u32 base)
{
	bool in_ring3 = played.transport & (VMI_HV_OUT | VMI_HV_INT);

	machine_load(loaded);
	processor_reset();
	if (!guest_post_quick() || !(in_ring3 ? guest_init_ring3(base) : guest_init(base)))
		return false;
	machine_hide(base == LOW ? HIGH : LOW, true);
	return true;
}

static u32 convention(u32 id)
{
	return record(id)->convention & 0xf;
}

/* What is wrong with what came to the VMM; NULL. */
static const char *wrong_trap(u32 id)
{
	const u32 *before = (const u32 *)&call.before, *got = (const u32 *)&played.regs;
	u32 in = record(id)->in, i;
	static char text[80];

	if (played.traps != 1 || played.last_number != id) {
		snprintf(text, sizeof(text), "%u traps, the last one number %#x", played.traps,
			 played.last_number);
		return text;
	}
	for (i = 0; i < 6; i++)
		if ((in & VMI_A << i) && before[register_of(i)] != got[register_of(i)])
			return "an argument in a register";
	if (in & VMI_S1 && played.regs.esi != call.stack[0])
		return "S1 is not in ESI";
	if (in & VMI_S2 && played.regs.edi != call.stack[1])
		return "S2 is not in EDI";
	return NULL;
}

static const char *wrong_answer(u32 id)
{
	const u32 *after = (const u32 *)&call.after;
	u32 i;

	if (call.ended != ENDED_RETURN)
		return "it did not come back";
	for (i = 0; i < 6; i++)
		if ((record(id)->out & VMI_A << i) &&
		    after[register_of(i)] != played.answer[register_of(i)])
			return "a result";
	return call_broke(&call, record(id)->out);
}

static bool trap_once(u32 id, u32 entry, u32 base)
{
	const char *wrong;
	u32 i;

	call_prepare(&call, id, base);
	for (i = 0; i < 8; i++)
		played.answer[i] = random32();
	played.traps = 0;
	call_run(&call, entry);
	wrong = wrong_trap(id);
	if (!wrong)
		wrong = wrong_answer(id);
	if (wrong)
		note("%s: %s (ended %u at %#x, exception %u)", call_name(id), wrong, call.ended,
		     call.after.eip - base, fault_vector);
	return !wrong;
}

static const struct {
	const char *name;
	u32 transport, operand;
} transports[] = {
	{ "OUT", VMI_HV_OUT, 0xe4 },
	{ "INT", VMI_HV_INT, 0xe5 },
	{ "VMCALL", VMI_HV_VMCALL, 0 },
	{ "VMMCALL", VMI_HV_VMMCALL, 0 },
};

static void each_traps(u32 kind, u32 base)
{
	bool good = true, steps;
	u32 id, calls = 0;

	played_reset();
	played.transport = played.transports = transports[kind].transport;
	played.operand = transports[kind].operand;
	played.port = 0xe4 | (played.transport == VMI_HV_INT ? played.operand << 8 : 0);
	played.leaves = true;
	if (!ok(attached(base), "%s, %s, at %#x: POST finds the VMM, Init attaches", loaded->name,
		transports[kind].name, base))
		return;
	steps = played.transport == VMI_HV_VMCALL || played.transport == VMI_HV_VMMCALL;
	privileged = true;
	for (id = 0; id < VMI_CALL_COUNT; id++) {
		u32 entry = guest_entry(id, base);

		/* The interrupt flag is in the shared area, or the processor's. */
		if (!entry || VMI_IS_OWN_CALL(id) || VMI_IS_IRQ_CALL(id))
			continue;
		stepping = steps;
		good &= trap_once(id, entry, base);
		stepping = false;
		calls++;
	}
	ok(good && calls > 60,
	   "%s, %s, at %#x: %u calls trap once, with their arguments and results", loaded->name,
	   transports[kind].name, base, calls);
}

static u32 native_stub;

static void stop_at_native(struct regs *regs)
{
	if (regs->eip == native_stub)
		run_stop();
}

/* To the native stub with everything as the guest had it. */
static bool falls_back(u32 id, u32 entry, u32 base)
{
	u32 frame = convention(id) == VMI_CONV_EXIT ? 16 : 12;
	const u32 *before = (const u32 *)&call.before, *after = (const u32 *)&call.after;
	char name[64];
	u32 i;
	bool good;

	snprintf(name, sizeof(name), "VMI_%s", call_name(id));
	native_stub = base + IMAGE + (u32)image_symbol(loaded->file, name);
	call_prepare(&call, id, base);
	hook_step = stop_at_native;
	call_run(&call, entry);
	hook_step = NULL;
	good = call.ended == ENDED_STOP && call.after.esp == call.before.esp - frame &&
	       call.after.ds == call.before.ds && call.after.es == call.before.es;
	for (i = 0; i < 8; i++)
		good &= i == 4 || before[i] == after[i];
	good &= !((call.before.eflags ^ call.after.eflags) & ~(FLAGS_OSZAPC | FLAG_TF | 2));
	if (!good)
		note("%s: ended %u at %#x, exception %u, esp %+d", call_name(id), call.ended,
		     call.after.eip - base - IMAGE, fault_vector,
		     (int)(call.after.esp - call.before.esp));
	return good;
}

static void each_falls_back(u32 features)
{
	u32 id, calls = 0;
	bool good = true;

	played_reset();
	played.leaves = true;
	played.features = features;
	if (!attached(HIGH)) {
		ok(false, "%s: attached", loaded->name);
		return;
	}
	played.refuse = true;
	privileged = true;
	for (id = 0; id < VMI_CALL_COUNT; id++) {
		u32 entry = guest_entry(id, HIGH);

		if (!entry || VMI_IS_OWN_CALL(id))
			continue;
		played.traps = 0;
		good &= falls_back(id, entry, HIGH);
		calls++;
	}
	ok(good && calls > 60, "%s: %u calls that are refused are native, with nothing changed",
	   loaded->name, calls);
}

void check_generic(void)
{
	u32 i;

	hook_trap = played_trap;
	hook_cpuid = played_cpuid;
	guest_port = 0xe4;
	for (i = 0; i < sizeof(transports) / sizeof(*transports); i++) {
		each_traps(i, LOW);
		each_traps(i, HIGH);
	}
	each_falls_back(0);
	hook_trap = NULL;
	hook_cpuid = NULL;
	privileged = false;
}
