/* SPDX-License-Identifier: GPL-2.0-only */
/* CPUID: SVM is hidden, the hypervisor says that it is there. */
#include "svm.h"

#define FEATURES 1
#define FEATURES_ECX_X2APIC (1u << 21)
#define FEATURES_ECX_OSXSAVE (1u << 27)
#define FEATURES_ECX_HYPERVISOR (1u << 31)
#define EXTENDED 7
#define EXTENDED_ECX_OSPKE (1u << 4)
#define AMD_FEATURES 0x80000001u
#define AMD_FEATURES_ECX_SVM (1u << 2)
#define AMD_FEATURES_ECX_SKINIT (1u << 12)
#define AMD_SVM 0x8000000au
#define HYPERVISOR 0x40000000u
#define HYPERVISOR_STEP 0x100u
#define HYPERVISOR_END 0x40010000u
#define HYPERVISOR_LEAVES 1 /* with the one that has the signature */

static u32 leaf; /* with our signature */

/* Another hypervisor, below this one, keeps its leaves. */
void cpuid_start(void)
{
	leaf = HYPERVISOR;
	if (!(cpuid(FEATURES, 0).ecx & FEATURES_ECX_HYPERVISOR))
		return;
	for (; leaf < HYPERVISOR_END - HYPERVISOR_STEP; leaf += HYPERVISOR_STEP) {
		u32 highest = cpuid(leaf, 0).eax;

		if (highest < leaf || highest >= leaf + HYPERVISOR_STEP)
			break;
	}
}

/* Leaves of the interface: number 0 has the signature. */
static struct cpuid hypervisor_leaf(u32 number)
{
	struct cpuid r = { 0, 0, 0, 0 };

	if (number == 0) {
		r.eax = leaf + HYPERVISOR_LEAVES - 1;
		memcpy(&r.ebx, "OpenVMI VMM ", 12);
	}
	return r;
}

void cpuid_exit(struct vcpu *cpu)
{
	struct regs *regs = &cpu->regs;
	u32 which = regs->eax;
	struct cpuid r;

	if (which - leaf < HYPERVISOR_STEP)
		r = hypervisor_leaf(which - leaf);
	else
		r = cpuid(which, regs->ecx);
	switch (which) {
	case FEATURES:
		r.ecx &= ~(FEATURES_ECX_X2APIC | FEATURES_ECX_OSXSAVE);
		r.ecx |= FEATURES_ECX_HYPERVISOR;
		if ((cpu->unpaged ? cpu->cr4 : cpu->vmcb->cr4) & CR4_OSXSAVE)
			r.ecx |= FEATURES_ECX_OSXSAVE;
		break;
	case EXTENDED:
		r.ecx &= ~EXTENDED_ECX_OSPKE;
		if ((cpu->unpaged ? cpu->cr4 : cpu->vmcb->cr4) & CR4_PKE)
			r.ecx |= EXTENDED_ECX_OSPKE;
		break;
	case AMD_FEATURES:
		r.ecx &= ~(AMD_FEATURES_ECX_SVM | AMD_FEATURES_ECX_SKINIT);
		break;
	case AMD_SVM:
		r = (struct cpuid){ 0, 0, 0, 0 };
		break;
	}
	regs->eax = r.eax;
	regs->ebx = r.ebx;
	regs->ecx = r.ecx;
	regs->edx = r.edx;
	skip(cpu, 2);
}
