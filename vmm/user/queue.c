/* SPDX-License-Identifier: GPL-2.0-only */
/* Deferred calls: the ROM's stubs and the core's queue. */
#include <string.h>
#include "host.h"

static struct call call;

/* What the revision has. VMI_CALL_COUNT: nothing. */
static u32 set_id, mode_id, flush_id;

static u32 table(u32 n)
{
	return HIGH + SCRATCH + 0x4000 + n * 4;
}

static u32 entry(u32 n)
{
	return *(u32 *)table(n);
}

#define SITE (HIGH + SCRATCH + 0x8000) /* a call site, and what PatchSites takes */
#define SITE_SIZE 66

static bool do_call(u32 id, u32 eax, u32 edx, u32 ecx)
{
	u32 at = guest_entry(id, HIGH);

	call_prepare(&call, id, HIGH);
	call.before.eax = eax;
	call.before.edx = edx;
	call.before.ecx = ecx;
	call_run(&call, at);
	return call.ended == ENDED_RETURN && !call_broke(&call, record(id)->out);
}

static bool set(u32 n, u32 value, u32 flags)
{
	return do_call(set_id, value, table(n), flags);
}

static bool mode(u32 value)
{
	return do_call(mode_id, value, 0, 0);
}

/* However the revision flushes. */
static bool flush(void)
{
	return mode_id < VMI_CALL_COUNT ? mode(0) : do_call(flush_id, 0, 0, 0);
}

static u32 traps(void)
{
	return vcpu.counts.traps;
}

static void revision(void)
{
	set_id = loaded->major == 6 ? VMI_ID_SetPte : VMI_ID_SetPxE;
	mode_id = loaded->major == 3   ? VMI_ID_SetLazyMode
		  : loaded->major == 6 ? VMI_ID_SetDeferredMode
				       : VMI_CALL_COUNT;
	flush_id = loaded->major == 3 ? VMI_CALL_COUNT : VMI_ID_FlushDeferredCalls;
}

static bool attached(u32 features)
{
	machine_load(loaded);
	processor_reset();
	host_reset(features);
	if (!guest_post_quick() || !guest_init_ring3(HIGH))
		return false;
	machine_hide(LOW, true);
	return true;
}

#define FEATURES (VMI_HV_SHARED | VMI_HV_QUEUE | VMI_HV_DEFER)

static void batch(void)
{
	bool good = true;
	u32 before, i, defer = 0;

	before = traps();
	if (mode_id < VMI_CALL_COUNT)
		good &= mode(VMI_DEFER_MMU);
	else
		defer = VMI_PAGE_DEFER;
	for (i = 0; i < 1024; i++)
		good &= set(i, i * 0x1000 + 1, defer);
	good &= flush();
	note("%s: 1,024 queued page-table writes: %u traps", loaded->name, traps() - before);
	ok(good && traps() - before <= 2 && vmm_queue_empty(&vcpu),
	   "%s: 1,024 queued page-table writes cost at most 2 traps", loaded->name);
	for (i = 0; i < 1024; i++)
		good &= entry(i) == i * 0x1000 + 1;
	ok(good, "%s: they are done then", loaded->name);
	before = traps();
	good = flush();
	ok(good && traps() == before, "%s: to flush an empty queue costs none", loaded->name);
}

/* In every mode, and with VMI_PAGE_DEFER: trap or queue. */
static void modes(void)
{
	bool good = true;
	u32 m, before;

	if (mode_id == VMI_CALL_COUNT)
		return;
	for (m = 0; m < 4; m++) {
		good &= mode(m);
		before = traps();
		good &= set(1, m + 1, 0) && traps() - before == !(m & VMI_DEFER_MMU);
		good &= (entry(1) == m + 1) == !(m & VMI_DEFER_MMU);
		good &= mode(0) && entry(1) == m + 1;
	}
	before = traps();
	if (loaded->major != 6) {
		good &= set(2, 77, VMI_PAGE_DEFER) && traps() == before && entry(2) != 77;
		good &= mode(0) && entry(2) == 77 && traps() == before + 1;
	}
	ok(good, "%s: each mode queues its calls, and no other", loaded->name);
}

/* Calls that perform page-table writes that wait. */
static void performs(void)
{
	static const u32 ids[] = {
		VMI_ID_InvalPage,	   VMI_ID_FlushTLB, VMI_ID_FlushTLB_v6, VMI_ID_FlushTLBAll,
		VMI_ID_FlushDeferredCalls, VMI_ID_GetPxE,   VMI_ID_SwapPxE,	VMI_ID_SwapPte
	};
	bool good = true;
	u32 i, n = 0;

	for (i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
		if (call_number(ids[i]) == VMI_NO || !guest_entry(ids[i], HIGH))
			continue;
		if (mode_id < VMI_CALL_COUNT)
			good &= mode(VMI_DEFER_MMU);
		good &= set(3, i * 3 + 5, VMI_PAGE_DEFER) && entry(3) != i * 3 + 5;
		good &= do_call(ids[i], table(4), table(4), 0) && entry(3) == i * 3 + 5;
		if (!good)
			note("%s", call_name(ids[i]));
		good &= flush();
		n++;
	}
	ok(good && n >= 2, "%s: %u calls perform what waits", loaded->name, n);
}

/* Where the TSS is known it is written at once; otherwise the call waits, or traps. */
static void kernel_stack(void)
{
	u32 tss = table(8), before = traps();
	bool good = true;

	if (loaded->major == 13) /* passes the TSS itself */
		return;
	vcpu.shared->tss = tss;
	good &= mode(VMI_DEFER_CPU) && do_call(VMI_ID_UpdateKernelStack, 0xabcd0068, 0x1234, 0);
	good &= entry(9) == 0x1234 && (entry(10) & 0xffff) == 0x68 && traps() == before;
	vcpu.shared->tss = 0;
	good &= do_call(VMI_ID_UpdateKernelStack, 0x70, 0x5678, 0) && !vmm_queue_empty(&vcpu);
	good &= mode(0) && traps() == before + 1;
	good &= do_call(VMI_ID_UpdateKernelStack, 0x70, 0x5678, 0) && traps() == before + 2;
	good &= entry(9) == 0x1234;
	ok(good, "%s: a kernel stack costs no trap where the TSS is known", loaded->name);
}

/* ------------------------------------------------------------------------
 * A handler before every instruction, that queues, and flushes
 */

static struct {
	u32 set; /* the code by which it queues */
	u32 at, now;
	u32 what; /* 0 queues, 1 and flushes, 2 the VMM flushes */
	bool deep, done, good;
} handler;

static void before_each(struct regs *regs)
{
	struct call outer = call;

	if (handler.deep || handler.now++ != handler.at)
		return;
	handler.deep = handler.done = true;
	(void)regs;
	call_prepare(&call, set_id, HIGH);
	call.before.esp = (regs->esp - 0x2000) & ~0xfffu;
	call.before.eax = 0x2222;
	call.before.edx = table(1);
	call.before.ecx = VMI_PAGE_DEFER;
	handler.good &= call_run(&call, handler.set) == ENDED_RETURN;
	if (handler.what == 1) {
		u32 id = mode_id < VMI_CALL_COUNT ? mode_id : flush_id;

		call_prepare(&call, id, HIGH);
		call.before.esp = (regs->esp - 0x2000) & ~0xfffu;
		call.before.eax = VMI_DEFER_MMU;
		handler.good &= call_run(&call, guest_entry(id, HIGH)) == ENDED_RETURN;
	}
	if (handler.what == 2)
		handler.good &= vmm_flush(&vcpu) == VMM_CONTINUE;
	call = outer;
	handler.deep = false;
}

/* The queue holds so many before: the last place, and none, are among them. */
static void fill(u32 n)
{
	if (mode_id < VMI_CALL_COUNT)
		mode(VMI_DEFER_MMU);
	while (n--)
		set(8 + n, n, VMI_PAGE_DEFER);
}

/* The call, at that address, while so many wait. The handler queues by a stub, or by set_at. */
static void handlers_at(u32 id, u32 at, u32 set_at, u32 held)
{
	static const char *const what[] = { "queues", "queues and flushes",
					    "faults, the VMM flushes" };
	u32 points = 0;
	bool good = true;

	handler.set = set_at;
	for (handler.what = 0; handler.what < 3; handler.what++) {
		points = 0;
		for (handler.at = 0;; handler.at++) {
			u32 i;

			*(u32 *)table(0) = *(u32 *)table(1) = 0;
			memset(area + VMI_SHARED_QUEUE, 0, VMI_SHARED_SIZE - VMI_SHARED_QUEUE);
			fill(held);
			handler.now = 0;
			handler.done = false;
			handler.good = true;
			call_prepare(&call, id, HIGH);
			call.before.eax = id == set_id ? 0x1111 : 0;
			call.before.edx = table(0);
			call.before.ecx = VMI_PAGE_DEFER;
			hook_step = before_each;
			call_run(&call, at);
			hook_step = NULL;
			handler.good &=
				call.ended == ENDED_RETURN && !call_broke(&call, record(id)->out);
			handler.good &= flush() && vmm_queue_empty(&vcpu);
			if (!handler.done)
				break;
			points++;
			handler.good &= entry(1) == 0x2222;
			handler.good &= entry(0) == (id == set_id ? 0x1111u : 0);
			for (i = 0; i < held; i++)
				handler.good &= entry(8 + i) == i;
			if (!handler.good) {
				note("before instruction %u, %s: %#x %#x, next %#x", handler.at,
				     what[handler.what], entry(0), entry(1),
				     vcpu.shared->queue_next);
				good = false;
			}
		}
		good &= points >= 2;
	}
	ok(good, "%s: %s%s, %u calls wait: a handler that queues or flushes at any of %u points",
	   loaded->name, at == SITE ? "a site of " : "", call_name(id), held, points);
}

static void handlers(u32 id, u32 held)
{
	u32 at = guest_entry(id, HIGH);

	if (at)
		handlers_at(id, at, guest_entry(set_id, HIGH), held);
}

/* A function that is a site of the call that queues, which has PatchSites' best form. */
static bool site(void)
{
	struct vmi_site *record = (void *)(SITE + 0x100);
	struct vmi_patch *patch = (void *)(SITE + 0x200);
	u8 *kept = (void *)(SITE + 0x300), *ret = (void *)(SITE + SITE_SIZE);

	*record = (struct vmi_site){
		.address = SITE, .size = SITE_SIZE, .call = (u8)set_id, .live = VMI_LIVE_REGISTERS
	};
	*patch = (struct vmi_patch){
		.records = (u32)record,
		.count = 1,
		.number = 1,
		.form = VMI_PATCH_BEST,
		.text = SITE,
		.text_size = SITE_SIZE,
		.kept = (u32)kept,
	};
	*kept = 0;
	*ret = 0xc3;
	call_prepare(&call, VMI_ID_PatchSites, HIGH);
	call.before.eax = (u32)patch;
	return call_run(&call, HIGH + IMAGE + (u32)call_symbol(VMI_ID_PatchSites)) ==
		       ENDED_RETURN &&
	       call.after.eax == VMI_PATCH_DONE && patch->forms[VMI_FORM_INLINE];
}

void check_queue(void)
{
	hook_trap = host_trap;
	hook_cpuid = host_cpuid;
	privileged = true;
	guest_port = 0xe4;
	revision();
	if (ok(attached(FEATURES), "%s: the core is attached", loaded->name)) {
		batch();
		modes();
		performs();
		kernel_stack();
		handlers(set_id, 0);
		handlers(set_id, 3);
		handlers(set_id, VMI_SHARED_QUEUED - 1);
		handlers(set_id, VMI_SHARED_QUEUED);
		if (ok(site(), "%s: %s may stand at a site", loaded->name, call_name(set_id))) {
			handlers_at(set_id, SITE, SITE, 3);
			handlers_at(set_id, SITE, SITE, VMI_SHARED_QUEUED - 1);
			handlers_at(set_id, SITE, SITE, VMI_SHARED_QUEUED);
		}
		if (mode_id < VMI_CALL_COUNT)
			handlers(mode_id, 3);
		if (flush_id < VMI_CALL_COUNT)
			handlers(flush_id, 3);
	}
	hook_trap = NULL;
	hook_cpuid = NULL;
	privileged = false;
}
