/* SPDX-License-Identifier: GPL-2.0-only */
/* The operations that vmm/core asks for. */
#include "svm.h"

#define DR6_SET 0xffff0ff0u
#define DR6_KNOWN 0x0000e00fu
#define DR7_SET 0x00000400u
#define DR7_CLEAR 0x0000d800u

static struct vcpu *of(const struct vmm_vcpu *core)
{
	return core->context;
}

static void *op_page(struct vmm_vcpu *core, vmi_u32 linear, bool write)
{
	return guest_linear(of(core), linear, write);
}

static void *op_physical(struct vmm_vcpu *core, vmi_u32 physical)
{
	return guest_memory(of(core), physical);
}

static vmi_u32 op_get_cr(struct vmm_vcpu *core, unsigned int n)
{
	return control_read(of(core), n);
}

static bool op_set_cr(struct vmm_vcpu *core, unsigned int n, vmi_u32 value)
{
	return control_write(of(core), n, value);
}

/* DR0 to DR3 stay in the processor. */
static vmi_u32 op_get_dr(struct vmm_vcpu *core, unsigned int n)
{
	u32 value = 0;

	switch (n) {
	case 0:
		__asm__ volatile("mov %%dr0, %0" : "=r"(value));
		break;
	case 1:
		__asm__ volatile("mov %%dr1, %0" : "=r"(value));
		break;
	case 2:
		__asm__ volatile("mov %%dr2, %0" : "=r"(value));
		break;
	case 3:
		__asm__ volatile("mov %%dr3, %0" : "=r"(value));
		break;
	case 6:
		return of(core)->vmcb->dr6;
	case 7:
		return of(core)->vmcb->dr7;
	}
	return value;
}

static bool op_set_dr(struct vmm_vcpu *core, unsigned int n, vmi_u32 value)
{
	switch (n) {
	case 0:
		__asm__ volatile("mov %0, %%dr0" : : "r"(value));
		break;
	case 1:
		__asm__ volatile("mov %0, %%dr1" : : "r"(value));
		break;
	case 2:
		__asm__ volatile("mov %0, %%dr2" : : "r"(value));
		break;
	case 3:
		__asm__ volatile("mov %0, %%dr3" : : "r"(value));
		break;
	case 6:
		of(core)->vmcb->dr6 = (value & DR6_KNOWN) | DR6_SET;
		break;
	case 7:
		of(core)->vmcb->dr7 = (value & ~DR7_CLEAR) | DR7_SET;
		break;
	}
	return true;
}

static void op_cpuid(struct vmm_vcpu *core, vmi_u32 leaf, vmi_u32 subleaf, vmi_u32 out[4])
{
	struct cpuid r = guest_cpuid(of(core), leaf, subleaf);

	memcpy(out, &r, sizeof(r));
}

static void get_table(const struct vmcb_segment *table, vmi_u32 *base, vmi_u32 *limit)
{
	*base = (u32)table->base;
	*limit = table->limit;
}

static void op_get_gdt(struct vmm_vcpu *core, vmi_u32 *base, vmi_u32 *limit)
{
	get_table(&of(core)->vmcb->gdtr, base, limit);
}

static void op_get_idt(struct vmm_vcpu *core, vmi_u32 *base, vmi_u32 *limit)
{
	get_table(&of(core)->vmcb->idtr, base, limit);
}

static void op_set_gdt(struct vmm_vcpu *core, vmi_u32 base, vmi_u32 limit)
{
	of(core)->vmcb->gdtr = (struct vmcb_segment){ 0, 0, limit, base };
}

static void op_set_idt(struct vmm_vcpu *core, vmi_u32 base, vmi_u32 limit)
{
	of(core)->vmcb->idtr = (struct vmcb_segment){ 0, 0, limit, base };
}

/* FS, GS, LDTR and TR stay in the processor; another one's are as they last were saved. */
static const struct vmcb *saved(const struct vmm_vcpu *core)
{
	struct vmcb *vmcb = of(core)->vmcb;

	if (of(core) == this_cpu())
		__asm__ volatile("vmsave" : : "a"(vmcb) : "memory");
	return vmcb;
}

static vmi_u32 op_get_ldt(struct vmm_vcpu *core)
{
	return saved(core)->ldtr.selector;
}

static vmi_u32 op_get_tr(struct vmm_vcpu *core)
{
	return saved(core)->tr.selector;
}

static bool op_set_ldt(struct vmm_vcpu *core, vmi_u32 selector, vmi_u64 descriptor)
{
	return segment_set_ldt(of(core), selector, descriptor);
}

static bool op_set_tr(struct vmm_vcpu *core, vmi_u32 selector, vmi_u64 descriptor)
{
	return segment_set_tr(of(core), selector, descriptor);
}

static bool op_reload_segments(struct vmm_vcpu *core)
{
	return segments_reload(of(core));
}

/* INVLPGA is for one ASID, and there is one. */
static void op_invalidate(struct vmm_vcpu *core, vmi_u32 linear)
{
	__asm__ volatile("invlpga" : : "a"(linear), "c"(of(core)->vmcb->asid) : "memory");
}

static void op_flush_tlb(struct vmm_vcpu *core, bool global)
{
	(void)global;
	of(core)->vmcb->tlb_control = TLB_FLUSH;
}

/* Nothing here is shadowed. */
static void op_announce(struct vmm_vcpu *core, const struct vmm_hint *hint)
{
	(void)core;
	(void)hint;
}

static vmi_u64 op_clock(struct vmm_vcpu *core, enum vmm_clock which)
{
	(void)core;
	return time_clock(which);
}

static void op_set_timer(struct vmm_vcpu *core, vmi_u64 deadline)
{
	timer_set(of(core), deadline);
}

static vmi_u32 op_apic_read(struct vmm_vcpu *core, vmi_u32 offset)
{
	return apic_enabled() ? apic_read(of(core), offset) : 0;
}

static void op_apic_write(struct vmm_vcpu *core, vmi_u32 offset, vmi_u32 value)
{
	if (apic_enabled())
		apic_write(of(core), offset, value);
}

static void op_set_ap_state(struct vmm_vcpu *core, vmi_u32 apic_id,
			    const struct vmi_ap_state *state)
{
	(void)core;
	ap_state_set(apic_id, state);
}

static void op_wbinvd(struct vmm_vcpu *core)
{
	(void)core;
	__asm__ volatile("wbinvd" : : : "memory");
}

static void op_stop(struct vmm_vcpu *core, const char *reason)
{
	stop(of(core), "%s", reason);
}

static bool op_attach(struct vmm_vcpu *core, vmi_u32 physical)
{
	return attach(of(core), physical);
}

static void op_detach(struct vmm_vcpu *core)
{
	attach(of(core), 0);
}

const struct vmm_ops vmm_ops = {
	.page = op_page,
	.physical = op_physical,
	.get_cr = op_get_cr,
	.set_cr = op_set_cr,
	.get_dr = op_get_dr,
	.set_dr = op_set_dr,
	.cpuid = op_cpuid,
	.get_gdt = op_get_gdt,
	.set_gdt = op_set_gdt,
	.get_idt = op_get_idt,
	.set_idt = op_set_idt,
	.get_ldt = op_get_ldt,
	.set_ldt = op_set_ldt,
	.get_tr = op_get_tr,
	.set_tr = op_set_tr,
	.reload_segments = op_reload_segments,
	.invalidate = op_invalidate,
	.flush_tlb = op_flush_tlb,
	.announce = op_announce,
	.clock = op_clock,
	.set_timer = op_set_timer,
	.apic_read = op_apic_read,
	.apic_write = op_apic_write,
	.set_ap_state = op_set_ap_state,
	.wbinvd = op_wbinvd,
	.stop = op_stop,
	.attach = op_attach,
	.detach = op_detach,
};
