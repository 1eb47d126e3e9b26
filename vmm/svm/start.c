/* SPDX-License-Identifier: GPL-2.0-only */
/* SetInitialAPState: a CPU starts in the state that another one has said. */
#include "svm.h"

#define EFER_NXE 0x800u

static struct vmi_ap_state states[MAX_CPUS];
static volatile bool wanted[MAX_CPUS];

void ap_state_set(u32 apic_id, const struct vmi_ap_state *state)
{
	u32 i;

	for (i = 0; i < cpus; i++) {
		if (vcpus[i].apic_id != apic_id)
			continue;
		if (state)
			states[i] = *state;
		__atomic_store_n(&wanted[i], state != NULL, __ATOMIC_RELEASE);
	}
}

bool ap_state_enter(struct vcpu *cpu)
{
	const struct vmi_ap_state *state = &states[cpu->number];
	struct vmcb *vmcb = cpu->vmcb;

	if (!__atomic_exchange_n(&wanted[cpu->number], false, __ATOMIC_ACQUIRE))
		return false;
	cpu->regs = (struct regs){ state->edi, state->esi, state->ebp, state->esp,
				   state->ebx, state->edx, state->ecx, state->eax };
	vmcb->eip = state->eip;
	vmcb->eflags = state->eflags | EFLAGS_1;
	vmcb->efer = EFER_SVME | (state->efer_low & EFER_NXE);
	vmcb->cr2 = state->cr2;
	vmcb->gdtr = (struct vmcb_segment){ 0, 0, state->gdtr_limit, state->gdtr_base };
	vmcb->idtr = (struct vmcb_segment){ 0, 0, state->idtr_limit, state->idtr_base };
	vmcb->cpl = state->cs & 3;
	vmcb->cs.selector = state->cs;
	vmcb->ss.selector = state->ss;
	vmcb->ds.selector = state->ds;
	vmcb->es.selector = state->es;
	if (!control_write(cpu, 4, state->cr4) || !control_write(cpu, 3, state->cr3) ||
	    !control_write(cpu, 0, state->cr0) || !segment_load_ldt(cpu, state->ldtr))
		stop(cpu, "a start in a state that the processor refuses");
	vmcb->fs.selector = state->fs;
	vmcb->gs.selector = state->gs;
	__asm__ volatile("vmload" : : "a"(vmcb) : "memory");
	if (!segments_reload(cpu))
		stop(cpu, "a start with a selector that the processor refuses");
	if (cpu->shared_at)
		vmm_refresh(cpu->core);
	return true;
}
