/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the shared area answers, and that nothing is lost on the way: interrupts
 * and NMIs that come, and calls that are queued and flushed, before every instruction.
 */
#include <stdio.h>
#include <string.h>
#include "played.h"

static struct call call;
static u32 features;

static bool attached(void)
{
	machine_load(loaded);
	processor_reset();
	if (!guest_post_quick() || !guest_init_ring3(HIGH))
		return false;
	machine_hide(LOW, true);
	return true;
}

static bool trapless(u32 id, u32 want_traps)
{
	const char *broke;

	played.traps = 0;
	call_run(&call, guest_entry(id, HIGH));
	broke = call.ended == ENDED_RETURN ? call_broke(&call, record(id)->out)
					   : "it did not come back";
	if (broke || played.traps != want_traps)
		note("%s: %s; %u traps, not %u (at %#x)", call_name(id), broke ? broke : "",
		     played.traps, want_traps, call.after.eip - HIGH);
	return !broke && played.traps == want_traps;
}

static bool simple(u32 id, u32 want_traps)
{
	call_prepare(&call, id, HIGH);
	return trapless(id, want_traps);
}

static bool bound(u32 id)
{
	return guest_entry(id, HIGH) != 0;
}

/* Exact traps. A call that this revision has not is no point. */
static void interrupt_flag(void)
{
	struct vmi_shared *s = (struct vmi_shared *)(memory + played.shared);
	bool good = true;
	u32 i;

	s->interrupts = VMI_IF;
	s->pending = 0;
	good &= simple(VMI_ID_DisableInterrupts, 0) && !s->interrupts;
	if (bound(VMI_ID_GetInterruptMask))
		good &= simple(VMI_ID_GetInterruptMask, 0) && !call.after.eax;
	good &= simple(VMI_ID_EnableInterrupts, 0) && s->interrupts == VMI_IF;
	if (bound(VMI_ID_GetInterruptMask))
		good &= simple(VMI_ID_GetInterruptMask, 0) && call.after.eax == VMI_IF;
	for (i = 0; i < 4; i++) {
		s->interrupts = i & 1 ? VMI_IF : 0;
		call_prepare(&call, VMI_ID_SetInterruptMask, HIGH);
		call.before.eax = i & 2 ? ~0u : ~(u32)VMI_IF;
		good &= trapless(VMI_ID_SetInterruptMask, 0);
		good &= s->interrupts == (i & 2 ? VMI_IF : 0);
	}
	ok(good, "%s, features %#x: nothing pending, no trap", loaded->name, features);
	if (features & VMI_HV_CPU_IF)
		return;
	good = true;
	s->interrupts = 0;
	s->pending = 1;
	good &= simple(VMI_ID_EnableInterrupts, 1) && played.delivers == 1;
	s->pending = 1;
	call_prepare(&call, VMI_ID_SetInterruptMask, HIGH);
	call.before.eax = VMI_IF;
	good &= trapless(VMI_ID_SetInterruptMask, 1) && played.delivers == 2;
	s->pending = 1;
	call_prepare(&call, VMI_ID_SetInterruptMask, HIGH);
	call.before.eax = ~(u32)VMI_IF;
	good &= trapless(VMI_ID_SetInterruptMask, 0);
	good &= simple(VMI_ID_DisableInterrupts, 0);
	ok(good, "%s, features %#x: something pending, one trap", loaded->name, features);
}

static void gets(void)
{
	static const struct {
		u32 id, offset;
	} get[] = {
		{ VMI_ID_GetCR0, VMI_SHARED_CR0 }, { VMI_ID_GetCR2, VMI_SHARED_CR2 },
		{ VMI_ID_GetCR3, VMI_SHARED_CR3 }, { VMI_ID_GetCR4, VMI_SHARED_CR4 },
		{ VMI_ID_GetLDT, VMI_SHARED_LDT }, { VMI_ID_GetTR, VMI_SHARED_TR },
	};
	bool good = true;
	u32 i;

	for (i = 0; i < sizeof(get) / sizeof(*get); i++) {
		u32 value = random32();

		if (!bound(get[i].id))
			continue;
		if (get[i].offset >= VMI_SHARED_LDT)
			value &= 0xffff;
		*(u32 *)(memory + played.shared + get[i].offset) = value;
		good &= simple(get[i].id, 0) && call.after.eax == value;
	}
	ok(good, "%s, features %#x: Get* do not trap", loaded->name, features);
}

/* What the area says of time stands still: multiplier 0. */
static void time_calls(void)
{
	struct vmi_shared_time *time = &((struct vmi_shared *)(memory + played.shared))->time;
	bool good = true;
	u32 i;

	memset(time, 0, sizeof(*time));
	time->system[0] = 1000;
	time->system[1] = 1;
	time->stolen[0] = 1;
	time->wall[1] = 2;
	good &= simple(VMI_ID_GetCycleFrequency, 0) && call.after.eax == VMI_WALLCLOCK_HZ &&
		!call.after.edx;
	for (i = 0; i < 4; i++) {
		static const u32 low[] = { 1000, 999, 1, 0 };

		call_prepare(&call, VMI_ID_GetCycleCounter, HIGH);
		call.before.eax = i;
		good &= trapless(VMI_ID_GetCycleCounter, 0) && call.after.eax == low[i] &&
			call.after.edx == (i < 2);
	}
	good &= simple(VMI_ID_GetWallclockTime, 0) && call.after.eax == 1000 && call.after.edx == 3;
	good &= simple(VMI_ID_WallclockUpdated, 0) && !call.after.eax;
	time->wall_version++;
	good &= simple(VMI_ID_WallclockUpdated, 0) && call.after.eax == 1;
	good &= simple(VMI_ID_WallclockUpdated, 0) && !call.after.eax;
	ok(good, "%s, features %#x: time calls do not trap", loaded->name, features);
}

/* ------------------------------------------------------------------------
 * An interrupt, or an NMI, before every instruction
 */

static struct {
	void (*comes)(void);
	u32 at; /* before that instruction */
	u32 now;
	u32 taken, early;
	bool waiting; /* the VMM watches EFLAGS.IF */
	bool came;
} irq;

static struct vmi_shared *shared(void)
{
	return (struct vmi_shared *)(memory + played.shared);
}

static bool cpu_if(void)
{
	return features & VMI_HV_CPU_IF;
}

static bool enabled(void)
{
	return shared()->interrupts && (!cpu_if() || processor.interrupts);
}

static void take(void)
{
	irq.early += !enabled();
	irq.taken++;
	irq.waiting = false;
	shared()->pending = 0;
}

/* What a VMM does that is asked to interrupt: vmi_abi.h, struct vmi_shared. */
static void interrupt_comes(void)
{
	if (enabled()) {
		take();
	} else if (cpu_if()) {
		processor.interrupts &= shared()->interrupts != 0;
		irq.waiting = true;
	} else {
		shared()->pending = 1;
	}
}

/* Its handler leaves the flag in EFLAGS.IF. */
static void nmi_comes(void)
{
	processor.interrupts = enabled();
	shared()->interrupts = VMI_IF;
}

static void before_each(struct regs *regs)
{
	(void)regs;
	if (irq.waiting && processor.interrupts)
		interrupt_comes();
	if (irq.now++ == irq.at) {
		irq.came = true;
		irq.comes();
	}
}

static bool delivers(struct regs *regs, u32 transport, u32 operand)
{
	bool done = played_trap(regs, transport, operand);

	if (done && played.last_number == VMI_HV_DELIVER && shared()->pending && enabled())
		take();
	return done;
}

enum flag { OFF, ON, KEPT };

/*
 * From every state of the flags, something at every point: an interrupt is taken or waits,
 * and is not lost; the flag is as the call has it afterwards, and its answer as it was before.
 */
static void nothing_lost(u32 id, enum flag wanted, void (*comes)(void))
{
	static const char *const names[] = { "off", "on", "kept" };
	u32 state, points = 0, last;
	bool good = true;

	if (!bound(id))
		return;
	hook_trap = delivers;
	privileged = true;
	irq.comes = comes;
	for (state = 0; state < 4; state++) {
		u32 entry = guest_entry(id, HIGH);
		bool was, on, one;

		if ((state & 2) && !cpu_if())
			continue;
		for (irq.at = 0, last = ~0u; irq.at <= last; irq.at++) {
			irq.now = irq.taken = irq.early = 0;
			irq.came = irq.waiting = false;
			shared()->interrupts = state & 1 ? VMI_IF : 0;
			shared()->pending = 0;
			processor.interrupts = !(state & 2);
			was = enabled();
			on = wanted == KEPT ? was : wanted == ON;
			call_prepare(&call, id, HIGH);
			/* As an argument, in the frame; others have none. */
			call.before.eax = on ? VMI_IF : 0;
			call.before.eflags &= ~(u32)FLAG_IF;
			call.before.eflags |= on ? FLAG_IF : 0;
			if (id == VMI_ID_SYSEXIT || id == VMI_ID_StiSysexit) {
				call.before.edx = RETURN_ADDRESS;
				call.before.ecx = call.before.esp;
			}
			played.traps = 0;
			hook_step = before_each;
			call_run(&call, entry);
			hook_step = NULL;
			last = irq.now;
			points++;
			one = irq.came && comes == interrupt_comes;
			/* Back in the guest, EFLAGS.IF may just have been set. */
			if (irq.waiting && enabled())
				take();
			if (call.ended == ENDED_RETURN && enabled() == on && !irq.early &&
			    played.traps <= (irq.came && !cpu_if()) &&
			    irq.taken + shared()->pending + irq.waiting == one &&
			    irq.taken >= (one && on) && irq.taken <= (was || on) &&
			    (!(record(id)->out & VMI_A) ||
			     (call.after.eax & VMI_IF) == (was ? VMI_IF : 0)))
				continue;
			note("%s, flags %u, before instruction %u of %u: taken %u, pending %u, "
			     "waiting %u, early %u, traps %u; %s, EAX %#x",
			     call_name(id), state, irq.at, last, irq.taken, shared()->pending,
			     irq.waiting, irq.early, played.traps, enabled() ? "on" : "off",
			     call.after.eax);
			good = false;
		}
	}
	hook_trap = played_trap;
	ok(good && points >= 4, "%s, features %#x, %s, %s: %s at each of %u points", loaded->name,
	   features, call_name(id), names[wanted],
	   comes == nmi_comes ? "an NMI changes nothing" : "no interrupt is lost", points);
}

static void at_every_point(void (*comes)(void))
{
	static const struct {
		u32 id;
		enum flag wanted;
	} all[] = {
		{ VMI_ID_EnableInterrupts, ON },
		{ VMI_ID_DisableInterrupts, OFF },
		{ VMI_ID_GetInterruptMask, KEPT },
		{ VMI_ID_SetInterruptMask, ON },
		{ VMI_ID_SetInterruptMask, OFF },
		{ VMI_ID_GetEFLAGS, KEPT },
		{ VMI_ID_SaveAndDisableIRQs, OFF },
		{ VMI_ID_SetEFLAGS, ON },
		{ VMI_ID_SetEFLAGS, OFF },
		{ VMI_ID_IRET, ON },
		{ VMI_ID_IRET, OFF },
		{ VMI_ID_IRET_v13, ON },
		{ VMI_ID_IRET_v13, OFF },
		{ VMI_ID_SYSEXIT, ON },
		{ VMI_ID_StiSysexit, ON },
	};
	u32 i;

	for (i = 0; i < sizeof(all) / sizeof(*all); i++)
		nothing_lost(all[i].id, all[i].wanted, comes);
}

void check_flags(void)
{
	static const u32 all[] = { VMI_HV_SHARED | VMI_HV_TIME, VMI_HV_SHARED | VMI_HV_CPU_IF };
	u32 i;

	for (i = 0; i < sizeof(all) / sizeof(*all); i++) {
		hook_trap = played_trap;
		hook_cpuid = played_cpuid;
		guest_port = 0xe4;
		played_reset();
		played.leaves = true;
		played.features = features = all[i];
		if (ok(attached(), "%s, features %#x: attached", loaded->name, features)) {
			privileged = true;
			interrupt_flag();
			gets();
			if (features & VMI_HV_TIME)
				time_calls();
			at_every_point(interrupt_comes);
			if (cpu_if())
				at_every_point(nmi_comes);
		}
		hook_trap = NULL;
		hook_cpuid = NULL;
		privileged = false;
	}
}
