/* SPDX-License-Identifier: GPL-2.0-only */
/* VMMCALL and the port end here, and go to vmm/core. */
#include "svm.h"

struct vmm vmm;

static struct vmm_vcpu cores[MAX_CPUS];
static u8 areas[MAX_CPUS][VMI_SHARED_SIZE] PAGE_ALIGNED;
static volatile u32 shared_at; /* guest-physical; 0: no guest has attached */

/* Rows of the table. A call may be in several groups; groups[] is looked through in turn. */
static const struct {
	u32 trap;
	enum vmi_call first, last;
} groups[] = {
	{ TRAP_CPU, VMI_ID_CPUID, VMI_ID_SetCR2 },
	{ TRAP_MMU, VMI_ID_SetCR3, VMI_ID_SetCR3 },
	{ TRAP_CPU, VMI_ID_SetCR4, VMI_ID_GetCR2 },
	{ TRAP_MMU, VMI_ID_GetCR3, VMI_ID_GetCR3 },
	{ TRAP_CPU, VMI_ID_GetCR4, VMI_ID_WBINVD },
	{ TRAP_IRQ, VMI_ID_EnableInterrupts, VMI_ID_SafeHalt },
	{ TRAP_MMU, VMI_ID_SetPxE, VMI_ID_SetLinearMapping },
	{ TRAP_MMU | TRAP_CPU, VMI_ID_FlushDeferredCalls, VMI_ID_SetLazyMode },
	{ TRAP_IRQ | TRAP_TIME, VMI_ID_SetInitialAPState, VMI_ID_SetInitialAPState },
	{ TRAP_TIME, VMI_ID_APICWrite, VMI_ID_APICRead_v13 },
	{ TRAP_TIME, VMI_ID_GetCycleFrequency, VMI_ID_WallclockUpdated },
};

void hypercall_start(void)
{
	u32 i, call;

	vmm.ops = &vmm_ops;
	vmm.flags = VMM_NATIVE_FAULTS;
	vmm.transports = VMI_HV_VMMCALL | VMI_HV_OUT;
	vmm.port = HYPERCALL_PORT;
	if (boot.trap)
		vmm.features = VMI_HV_SHARED;
	if (boot.trap & (TRAP_MMU | TRAP_CPU))
		vmm.features |= VMI_HV_QUEUE;
	if (boot.trap & TRAP_IRQ)
		vmm.features |= VMI_HV_CPU_IF;
	if (boot.trap & TRAP_TIME)
		vmm.features |= VMI_HV_TIME;
	if ((boot.trap & TRAP_MMU) && cpus == 1)
		vmm.features |= VMI_HV_DEFER;
	for (i = 0; i < ARRAY_SIZE(groups); i++)
		for (call = groups[i].first; call <= groups[i].last; call++)
			if (boot.trap & groups[i].trap)
				vmm_want(&vmm, call, true);
	if (!vmm_init(&vmm))
		fail("vmm_init");
	for (i = 0; i < cpus; i++) {
		cores[i].vm = &vmm;
		cores[i].context = &vcpus[i];
		cores[i].area = boot.trap ? areas[i] : NULL;
		vcpus[i].core = &cores[i];
		if (!vmm_vcpu_init(&cores[i]))
			fail("vmm_vcpu_init");
		time_cpu_start(&vcpus[i]);
	}
}

static void map_area(struct vcpu *cpu, u32 guest, const u8 *area)
{
	u32 i;

	for (i = 0; i < VMI_SHARED_SIZE; i += PAGE_SIZE)
		nested_map(cpu, guest + i, area ? (u32)area + i : guest + i, NESTED_RIGHTS);
}

void attach_update(struct vcpu *cpu)
{
	u32 wanted = shared_at;
	struct vmcb *vmcb = cpu->vmcb;

	if (cpu->shared_at == wanted)
		return;
	if (cpu->shared_at)
		map_area(cpu, cpu->shared_at, NULL);
	if (wanted)
		map_area(cpu, wanted, cpu->core->area);
	cpu->shared_at = wanted;
	if (wanted)
		vmm_refresh(cpu->core);
	vmcb->intercept_exceptions = 0;
	vmcb->intercept1 &= ~(INTERCEPT_SOFTWARE | INTERCEPT_LDTR_WRITE | INTERCEPT_TR_WRITE);
	if (wanted && (boot.trap & TRAP_CPU))
		vmcb->intercept1 |= INTERCEPT_LDTR_WRITE | INTERCEPT_TR_WRITE;
	if (wanted && (boot.trap & (TRAP_MMU | TRAP_CPU)))
		vmcb->intercept_exceptions = 1u << EXCEPTION_PF;
	if (wanted && (boot.trap & TRAP_IRQ)) {
		vmcb->intercept_exceptions =
			~(1u << EXCEPTION_NMI | 1u << EXCEPTION_DF | 1u << EXCEPTION_MC);
		vmcb->intercept1 |= INTERCEPT_SOFTWARE;
	}
	control_intercepts(cpu);
}

bool attach(struct vcpu *cpu, u32 physical)
{
	u32 i;

	if (physical > boot.top - VMI_SHARED_SIZE)
		return false;
	shared_at = physical;
	attach_update(cpu);
	for (i = 0; i < cpus; i++) {
		if (&vcpus[i] != cpu)
			kick(&vcpus[i]);
	}
	return true;
}

bool queue_fault(struct vcpu *cpu)
{
	return cpu->shared_at && vmm_page_fault(cpu->core) == VMM_AGAIN;
}

void hypercall(struct vcpu *cpu, u32 length)
{
	struct vmcb *vmcb = cpu->vmcb;
	struct regs *r = &cpu->regs;
	struct vmm_regs regs = { r->eax, r->ecx, r->edx, r->ebx,    r->esp,
				 r->ebp, r->esi, r->edi, vmcb->eip, vmcb->eflags };
	enum vmm_result result;

	if (rom_posting(cpu)) {
		if (!rom_next(cpu)) {
			cpu_reset(cpu);
			guest_load(cpu);
		}
		__asm__ volatile("sti" : : : "memory"); /* none is held any longer */
		return;
	}
	if (vmcb->cpl) { /* VMMCALL needs no privilege: refused */
		vmcb->eflags |= EFLAGS_CF;
		return;
	}
	result = vmm_call(cpu->core, &regs);
	r->eax = regs.eax;
	r->ecx = regs.ecx;
	r->edx = regs.edx;
	r->ebx = regs.ebx;
	r->esp = regs.esp;
	r->ebp = regs.ebp;
	r->esi = regs.esi;
	r->edi = regs.edi;
	vmcb->eip = regs.eip;
	vmcb->eflags = regs.eflags;
	if (result == VMM_AGAIN)
		vmcb->eip -= length;
	if (result == VMM_HALTED) {
		vmcb->eflags |= EFLAGS_IF;
		cpu->halted = true;
	}
}
