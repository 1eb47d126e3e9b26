/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VMM that is played: for test.c and fuzz.c. Its guest has MEMORY_PAGES pages of
 * memory; page n is at LINEAR + n * 4096, and the last one at the top of the address
 * space, too. One page is not mapped, one is read-only. Operations note that they were
 * called.
 */
#ifndef VMM_FAKE_H
#define VMM_FAKE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "vmm.h"

typedef vmi_u8 u8;
typedef vmi_u16 u16;
typedef vmi_u32 u32;
typedef vmi_u64 u64;

#define MEMORY_PAGES 16u
#define LINEAR 0xc0000000u
#define PAGE 0x1000u
#define UNMAPPED 5u  /* the number of a page */
#define READ_ONLY 7u /* likewise */
#define TOP 0xfffff000u
#define AT(page, offset) (LINEAR + (page)*PAGE + (offset))
#define SHARED_AT 0x9c000u
#define VCPUS 2

struct fake {
	u8 *memory;
	u32 cr[5], dr[8];
	u32 gdt[2], idt[2]; /* base, limit */
	u32 ldt, tr, ss0, esp0;
	u64 msr, descriptor;
	u32 descriptor_call;
	u64 real, stolen, wall, timer;
	u32 port, bytes, value; /* of the last IN, OUT */
	u32 apic[0x40];
	u32 apic_id;
	struct vmi_ap_state ap;
	bool ap_bare; /* it has none */
	struct vmm_hint hint;
	u32 entry, entry_flags, invalidated;
	u32 attached_at;
	bool refuse;	     /* what returns bool says no */
	bool pending, comes; /* while it is asked for the first time */
	u32 pages, stops, reboots, shutdowns, flushed, delivered, reloads, hints, wbinvds;
	u32 timers, outs, entries, detached, ap_states;
	char reason[128];
};

static struct fake fake;

static u8 *fake_page(u32 number, bool write)
{
	if (number >= MEMORY_PAGES || number == UNMAPPED || (write && number == READ_ONLY))
		return NULL;
	return fake.memory + number * PAGE;
}

static void *fake_linear(struct vmm_vcpu *vcpu, u32 linear, bool write)
{
	u32 number = (linear - LINEAR) / PAGE;
	u8 *page;

	(void)vcpu;
	fake.pages++;
	page = fake_page(linear >= TOP ? MEMORY_PAGES - 1 : number, write);
	return page ? page + linear % PAGE : NULL;
}

static void *fake_physical(struct vmm_vcpu *vcpu, u32 physical)
{
	u8 *page = fake_page(physical / PAGE, false);

	(void)vcpu;
	return page ? page + physical % PAGE : NULL;
}

static u32 fake_get_cr(struct vmm_vcpu *vcpu, unsigned int n)
{
	(void)vcpu;
	return fake.cr[n];
}

static bool fake_set_cr(struct vmm_vcpu *vcpu, unsigned int n, u32 value)
{
	(void)vcpu;
	if (!fake.refuse)
		fake.cr[n] = value;
	return !fake.refuse;
}

static u32 fake_get_dr(struct vmm_vcpu *vcpu, unsigned int n)
{
	(void)vcpu;
	return fake.dr[n];
}

static bool fake_set_dr(struct vmm_vcpu *vcpu, unsigned int n, u32 value)
{
	(void)vcpu;
	if (!fake.refuse)
		fake.dr[n] = value;
	return !fake.refuse;
}

static bool fake_get_msr(struct vmm_vcpu *vcpu, u32 msr, u64 *value)
{
	(void)vcpu;
	*value = fake.msr + msr;
	return !fake.refuse;
}

static bool fake_set_msr(struct vmm_vcpu *vcpu, u32 msr, u64 value)
{
	(void)vcpu;
	if (!fake.refuse)
		fake.msr = value - msr;
	return !fake.refuse;
}

static void fake_cpuid(struct vmm_vcpu *vcpu, u32 leaf, u32 subleaf, u32 out[4])
{
	(void)vcpu;
	out[0] = leaf + 1;
	out[1] = leaf + 2;
	out[2] = subleaf + 3;
	out[3] = subleaf + 4;
}

static u64 fake_tsc(struct vmm_vcpu *vcpu)
{
	(void)vcpu;
	return 0x123456789abcull;
}

static void fake_get_gdt(struct vmm_vcpu *vcpu, u32 *base, u32 *limit)
{
	(void)vcpu;
	*base = fake.gdt[0];
	*limit = fake.gdt[1];
}

static void fake_set_gdt(struct vmm_vcpu *vcpu, u32 base, u32 limit)
{
	(void)vcpu;
	fake.gdt[0] = base;
	fake.gdt[1] = limit;
}

static void fake_get_idt(struct vmm_vcpu *vcpu, u32 *base, u32 *limit)
{
	(void)vcpu;
	*base = fake.idt[0];
	*limit = fake.idt[1];
}

static void fake_set_idt(struct vmm_vcpu *vcpu, u32 base, u32 limit)
{
	(void)vcpu;
	fake.idt[0] = base;
	fake.idt[1] = limit;
}

static u32 fake_get_ldt(struct vmm_vcpu *vcpu)
{
	(void)vcpu;
	return fake.ldt;
}

static bool fake_set_ldt(struct vmm_vcpu *vcpu, u32 selector, u64 descriptor)
{
	(void)vcpu;
	if (!fake.refuse) {
		fake.ldt = selector;
		fake.descriptor = descriptor;
	}
	return !fake.refuse;
}

static u32 fake_get_tr(struct vmm_vcpu *vcpu)
{
	(void)vcpu;
	return fake.tr;
}

static bool fake_set_tr(struct vmm_vcpu *vcpu, u32 selector, u64 descriptor)
{
	(void)vcpu;
	if (!fake.refuse) {
		fake.tr = selector;
		fake.descriptor = descriptor;
	}
	return !fake.refuse;
}

static bool fake_reload(struct vmm_vcpu *vcpu)
{
	(void)vcpu;
	fake.reloads++;
	return !fake.refuse;
}

static bool fake_descriptor_ok(struct vmm_vcpu *vcpu, enum vmi_call call, u64 *descriptor)
{
	(void)vcpu;
	fake.descriptor_call = call;
	*descriptor |= 1;
	return !fake.refuse;
}

static bool fake_kernel_stack(struct vmm_vcpu *vcpu, u32 ss0, u32 esp0)
{
	(void)vcpu;
	if (!fake.refuse) {
		fake.ss0 = ss0;
		fake.esp0 = esp0;
	}
	return !fake.refuse;
}

static void fake_invalidate(struct vmm_vcpu *vcpu, u32 linear)
{
	(void)vcpu;
	fake.invalidated = linear;
}

static void fake_flush_tlb(struct vmm_vcpu *vcpu, bool global)
{
	(void)vcpu;
	fake.flushed += global ? 0x100 : 1;
}

static void fake_entry_written(struct vmm_vcpu *vcpu, u32 linear, unsigned int bytes, u32 flags)
{
	(void)vcpu;
	fake.entries++;
	fake.entry = linear;
	fake.bytes = bytes;
	fake.entry_flags = flags;
}

static void fake_announce(struct vmm_vcpu *vcpu, const struct vmm_hint *hint)
{
	(void)vcpu;
	fake.hints++;
	fake.hint = *hint;
}

static u32 fake_in(struct vmm_vcpu *vcpu, u32 port, unsigned int bytes)
{
	(void)vcpu;
	fake.port = port;
	fake.bytes = bytes;
	return ++fake.value;
}

static void fake_out(struct vmm_vcpu *vcpu, u32 port, unsigned int bytes, u32 value)
{
	(void)vcpu;
	fake.outs++;
	fake.port = port;
	fake.bytes = bytes;
	fake.value = value;
}

static bool fake_pending(struct vmm_vcpu *vcpu)
{
	bool pending = fake.pending;

	(void)vcpu;
	fake.pending |= fake.comes;
	fake.comes = false;
	return pending;
}

static void fake_deliver(struct vmm_vcpu *vcpu, struct vmm_regs *regs)
{
	(void)regs;
	fake.delivered++;
	fake.pending = false;
	vmm_entered_gate(vcpu, true);
}

static u64 fake_clock(struct vmm_vcpu *vcpu, enum vmm_clock which)
{
	(void)vcpu;
	return which == VMM_CLOCK_REAL	 ? fake.real
	       : which == VMM_CLOCK_WALL ? fake.wall
					 : fake.stolen;
}

static void fake_set_timer(struct vmm_vcpu *vcpu, u64 deadline)
{
	(void)vcpu;
	fake.timers++;
	fake.timer = deadline;
}

static u32 fake_apic_read(struct vmm_vcpu *vcpu, u32 offset)
{
	(void)vcpu;
	return fake.apic[offset / 16];
}

static void fake_apic_write(struct vmm_vcpu *vcpu, u32 offset, u32 value)
{
	(void)vcpu;
	fake.apic[offset / 16] = value;
}

static void fake_set_ap_state(struct vmm_vcpu *vcpu, u32 apic_id, const struct vmi_ap_state *ap)
{
	(void)vcpu;
	fake.ap_states++;
	fake.apic_id = apic_id;
	fake.ap_bare = !ap;
	if (ap)
		fake.ap = *ap;
}

static void fake_wbinvd(struct vmm_vcpu *vcpu)
{
	(void)vcpu;
	fake.wbinvds++;
}

static void fake_reboot(struct vmm_vcpu *vcpu, bool hard)
{
	(void)vcpu;
	fake.reboots += hard ? 0x100 : 1;
}

static void fake_shutdown(struct vmm_vcpu *vcpu)
{
	(void)vcpu;
	fake.shutdowns++;
}

static void fake_stop(struct vmm_vcpu *vcpu, const char *reason)
{
	(void)vcpu;
	fake.stops++;
	snprintf(fake.reason, sizeof(fake.reason), "%s", reason);
}

static bool fake_attach(struct vmm_vcpu *vcpu, u32 physical)
{
	struct vmm_vcpu *other;

	for (other = vcpu->vm->vcpus; other; other = other->next)
		if (other != vcpu)
			vmm_refresh(other);
	if (!fake.refuse)
		fake.attached_at = physical;
	return !fake.refuse;
}

static void fake_detach(struct vmm_vcpu *vcpu)
{
	(void)vcpu;
	fake.detached++;
}

static const struct vmm_ops fake_ops = {
	.page = fake_linear,
	.physical = fake_physical,
	.get_cr = fake_get_cr,
	.set_cr = fake_set_cr,
	.get_dr = fake_get_dr,
	.set_dr = fake_set_dr,
	.get_msr = fake_get_msr,
	.set_msr = fake_set_msr,
	.cpuid = fake_cpuid,
	.tsc = fake_tsc,
	.get_gdt = fake_get_gdt,
	.set_gdt = fake_set_gdt,
	.get_idt = fake_get_idt,
	.set_idt = fake_set_idt,
	.get_ldt = fake_get_ldt,
	.set_ldt = fake_set_ldt,
	.get_tr = fake_get_tr,
	.set_tr = fake_set_tr,
	.reload_segments = fake_reload,
	.descriptor_ok = fake_descriptor_ok,
	.kernel_stack = fake_kernel_stack,
	.invalidate = fake_invalidate,
	.flush_tlb = fake_flush_tlb,
	.entry_written = fake_entry_written,
	.announce = fake_announce,
	.in = fake_in,
	.out = fake_out,
	.pending = fake_pending,
	.deliver = fake_deliver,
	.clock = fake_clock,
	.set_timer = fake_set_timer,
	.apic_read = fake_apic_read,
	.apic_write = fake_apic_write,
	.set_ap_state = fake_set_ap_state,
	.wbinvd = fake_wbinvd,
	.reboot = fake_reboot,
	.shutdown = fake_shutdown,
	.stop = fake_stop,
	.attach = fake_attach,
	.detach = fake_detach,
};

static struct vmm_ops ops;
static struct vmm vm;
static struct vmm_vcpu vcpus[VCPUS];
static struct vmm_regs regs;
#define VCPU (&vcpus[0])

#define FEATURES (VMI_HV_SHARED | VMI_HV_QUEUE | VMI_HV_TIME | VMI_HV_DEFER)

/* A VM that wants every call. False: the core does not take it. */
static bool fake_start(u32 flags, u32 features)
{
	u8 *memory = fake.memory;
	u32 i;

	if (!memory) {
		memory = malloc(MEMORY_PAGES * PAGE);
		for (i = 0; i < VCPUS; i++)
			vcpus[i].area = aligned_alloc(PAGE, VMI_SHARED_SIZE);
	}
	memset(&fake, 0, sizeof(fake));
	fake.memory = memory;
	memset(memory, 0, MEMORY_PAGES * PAGE);
	fake.gdt[0] = AT(1, 0);
	fake.gdt[1] = 0xff;
	fake.cr[0] = 0x80000011;
	fake.timer = VMM_NEVER;
	memset(&vm, 0, sizeof(vm));
	vm.ops = &ops;
	vm.flags = flags;
	vm.transports = VMI_HV_VMMCALL | VMI_HV_OUT;
	vm.port = 0x5a;
	vm.features = features;
	vm.leaf = VMI_HV_LEAF_FIRST + VMI_HV_LEAF_STEP;
	memset(vm.wanted, 0xff, sizeof(vm.wanted));
	if (!vmm_init(&vm))
		return false;
	for (i = 0; i < VCPUS; i++) {
		void *area = vcpus[i].area;

		memset(&vcpus[i], 0, sizeof(vcpus[i]));
		vcpus[i].area = area;
		vcpus[i].vm = &vm;
		if (!vmm_vcpu_init(&vcpus[i]))
			return false;
	}
	return true;
}

static enum vmm_result fake_attach_as(u32 revision)
{
	memset(&regs, 0, sizeof(regs));
	regs.eax = VMI_HV_VERSION;
	regs.edx = SHARED_AT;
	regs.ecx = revision;
	regs.ebp = VMI_HV_TAG | VMI_HV_ATTACH;
	return vmm_call(VCPU, &regs);
}

/* What the guest queues. False: it is full. */
static bool fake_queue(struct vmm_vcpu *vcpu, u32 call, u32 eax, u32 edx, u32 ecx, u32 esi)
{
	vmi_s32 next = vcpu->shared->queue_next;
	struct vmi_queued entry = { .eax = eax, .edx = edx, .ecx = ecx, .esi = esi, .call = call };

	if (vcpu->shared == &vcpu->own)
		return false;
	vcpu->shared->queue_next = (vmi_s32)((u32)next + VMI_QUEUED_SIZE);
	if (next < VMI_QUEUE_EMPTY || next > -VMI_QUEUED_SIZE)
		return false;
	/* A guest may have put queue_next anywhere. */
	memcpy((u8 *)vcpu->shared + VMI_SHARED_END + next, &entry, sizeof(entry));
	return true;
}

#endif /* VMM_FAKE_H */
