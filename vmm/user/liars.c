/* SPDX-License-Identifier: GPL-2.0-only */
/* VMMs that are older, newer, gone, or that lie: what a guest can rely on then. */
#include <string.h>
#include "played.h"

static struct call call;

static bool posted(void)
{
	machine_load(loaded);
	processor_reset();
	return guest_post_quick();
}

static void honest(void)
{
	played_reset();
	played.features = VMI_HV_SHARED;
}

/* A page-table write does what it should, with so many traps, and so does the interrupt flag. */
static bool works(u32 traps)
{
	u32 id = loaded->major == 6 ? VMI_ID_SetPte : VMI_ID_SetPxE, entry, i;
	bool good = true;

	for (i = 0; i < 2; i++) {
		entry = guest_entry(id, HIGH);
		if (!entry) /* 3.0: it keeps its own instruction */
			return !traps;
		call_prepare(&call, id, HIGH);
		call.before.edx = HIGH + SCRATCH;
		played.traps = 0;
		call_run(&call, entry);
		good &= call.ended == ENDED_RETURN && !call_broke(&call, 0) &&
			played.traps == traps;
		if (!traps)
			good &= *(u32 *)(HIGH + SCRATCH) == call.before.eax;
	}
	return good;
}

static void not_taken(const char *what)
{
	bool found = posted();

	ok(!found && strcmp(about()->host, "trap") && guest_init(HIGH) && works(0) &&
		   !played.attached,
	   "%s: POST: %s: native", loaded->name, what);
}

static void taken(const char *what)
{
	ok(posted() && guest_init_ring3(HIGH) && works(1), "%s: POST: %s: trap", loaded->name,
	   what);
}

static void at_post(void)
{
	honest();
	taken("an honest one");

	honest();
	played.version = (2 << 16);
	not_taken("version 2.0");
	played.version = 0x0000ffff;
	not_taken("version 0.65535");
	honest();
	played.version |= 7;
	played.last = 9;
	played.features = 0xffffff00 | VMI_HV_SHARED;
	played.transports = 0xfffffff0 | VMI_HV_OUT;
	taken("version 1.7, unknown features, transports and calls");
	ok(played.attached == VMI_HV_VERSION, "%s: the ROM says its own version", loaded->name);
	honest();
	played.last = VMI_HV_INFO_CALLS;
	taken("an older one with fewer calls");
	honest();
	played.last = VMI_HV_INFO_VERSION;
	not_taken("one that says no calls");
	played.last = VMI_HV_INFO_SIGNATURE;
	not_taken("one that says no version");
	honest();
	played.transports = 0;
	not_taken("no transport");
	played.transports = 0xfffffff0;
	not_taken("only transports that nobody knows");
	honest();
	memset(played.mask, 0, sizeof(played.mask));
	not_taken("it wants nothing");
	memset(played.mask + 4, 0xff, 16);
	not_taken("it wants only calls that nobody knows");
	honest();
	played.silent = true;
	not_taken("it refuses to say who it is");
}

static void at_init(const char *what, bool attaches, u32 traps)
{
	/* Where it attaches, ring 3 will do. */
	bool good = (traps ? guest_init_ring3(HIGH) : guest_init(HIGH)) == attaches;

	if (attaches)
		good &= works(traps);
	ok(good, "%s: Init: %s: %s", loaded->name, what,
	   !attaches ? "-1"
	   : traps   ? "trap"
		     : "0, and native");
}

static void later(void)
{
	honest();
	posted();
	played.silent = true;
	at_init("it is gone", true, 0);
	played.silent = false;
	at_init("it is there again", true, 1);

	honest();
	posted();
	played.attach_refused = true;
	at_init("it refuses", true, 0);
	played.attach_refused = false;
	played.attach_version = 0x20000;
	at_init("it agrees to version 2.0", false, 0);
	ok(played.detaches == 1, "%s: and is told that it is not attached", loaded->name);
	played.attach_version = 0x10001;
	at_init("it agrees to a version that is not known", false, 0);
	played.attach_version = 0;
	at_init("it does as it should", true, 1);
	played.version = 0x20000;
	at_init("it is version 2.0 by now", true, 0);
	played.version = VMI_HV_VERSION;
	played.transports = VMI_HV_VMMCALL;
	at_init("its transport is another one", true, 0);
	played.transports = VMI_HV_OUT;
	played.features = 0;
	at_init("it has no shared area by now", true, 0);
	played.features = VMI_HV_SHARED;
	memset(played.mask, 0, sizeof(played.mask));
	at_init("it wants nothing by now", true, 0);
	memset(played.mask, 0xff, sizeof(played.mask));
	at_init("it wants all again", true, 1);

	honest();
	memset(played.mask, 0, sizeof(played.mask));
	played.mask[0] = 1u << VMI_ID_CPUID;
	posted();
	memset(played.mask, 0xff, sizeof(played.mask));
	at_init("it wants more than at POST", true, 0);
}

/* ------------------------------------------------------------------------
 * The mask
 */

static bool is_bound_to_trap(u32 id)
{
	u32 entry = guest_entry(id, HIGH), distance;

	if (!entry)
		return false;
	if (entry - HIGH - IMAGE < loaded->size && loaded->major != 3 &&
	    call_number(id) != VMI_NO && *(u8 *)entry == 0xe9) { /* a slot: JMP */
		memcpy(&distance, (void *)(entry + 1), sizeof(distance));
		entry += 5 + distance;
	}
	return entry - HIGH - IMAGE >= loaded->size;
}

static bool wanted(u32 id)
{
	return played.mask[id / 32] >> id % 32 & 1;
}

static bool mask_is_kept(void)
{
	bool irq = true, time = true, good = true;
	u32 id;

	if (!posted() || !guest_init_ring3(HIGH))
		return false;
	for (id = 0; id < VMI_CALL_COUNT; id++)
		if (!VMI_IS_OWN_CALL(id) && !wanted(id)) {
			irq &= !VMI_IS_IRQ_CALL(id);
			time &= !VMI_IS_TIME_CALL(id);
		}
	for (id = 0; id < VMI_CALL_COUNT; id++) {
		bool want = !VMI_IS_OWN_CALL(id) && wanted(id) && (irq || !VMI_IS_IRQ_CALL(id)) &&
			    (time || !VMI_IS_TIME_CALL(id));

		if (is_bound_to_trap(id) != want) {
			note("%s: bound to %s", call_name(id), want ? "native" : "trap");
			good = false;
		}
	}
	return good;
}

static void masks(void)
{
	bool good = true;
	u32 id, i, n;

	for (id = 0; id < VMI_CALL_COUNT; id++) {
		if (VMI_IS_OWN_CALL(id) || VMI_IS_IRQ_CALL(id) || VMI_IS_TIME_CALL(id))
			continue;
		honest();
		memset(played.mask, 0, sizeof(played.mask));
		played.mask[id / 32] = 1u << id % 32;
		good &= mask_is_kept();
	}
	ok(good, "%s: each call by itself", loaded->name);
	good = true;
	for (n = 0; n < 40; n++) {
		honest();
		for (i = 0; i < 8; i++)
			played.mask[i] = n & 1 ? random32() | random32() : random32();
		for (id = 0; id < VMI_CALL_COUNT; id++)
			if ((n & 2 && VMI_IS_IRQ_CALL(id)) || (n & 4 && VMI_IS_TIME_CALL(id)))
				played.mask[id / 32] |= 1u << id % 32;
		good &= mask_is_kept();
	}
	ok(good, "%s: any of them; the interrupt flag and time all or none", loaded->name);
}

void check_liars(void)
{
	hook_trap = played_trap;
	hook_cpuid = played_cpuid;
	guest_port = 0xe4;
	privileged = true;
	at_post();
	later();
	masks();
	privileged = false;
	hook_trap = NULL;
	hook_cpuid = NULL;
}
