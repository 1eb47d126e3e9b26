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
#define POWER 0x80000007u
#define POWER_EDX_CONSTANT_TSC 0x100u /* every processor with nested paging has it */
#define AMD_SVM 0x8000000au

/* Another hypervisor, below this one, keeps its leaves. */
void cpuid_start(void)
{
	bool below = cpuid(FEATURES, 0).ecx & FEATURES_ECX_HYPERVISOR;
	u32 leaf = VMI_HV_LEAF_FIRST;

	while (below && leaf < VMI_HV_LEAF_LAST && cpuid(leaf, 0).eax - leaf < VMI_HV_LEAF_STEP)
		leaf += VMI_HV_LEAF_STEP;
	vmm.leaf = leaf;
}

struct cpuid guest_cpuid(const struct vcpu *cpu, u32 which, u32 subleaf)
{
	struct cpuid r;
	u32 out[4];

	if (vmm_cpuid(&vmm, which, out))
		r = (struct cpuid){ out[0], out[1], out[2], out[3] };
	else
		r = cpuid(which, subleaf);
	switch (which) {
	case FEATURES:
		r.ecx &= ~(FEATURES_ECX_X2APIC | FEATURES_ECX_OSXSAVE);
		r.ecx |= FEATURES_ECX_HYPERVISOR;
		if (control_read(cpu, 4) & CR4_OSXSAVE)
			r.ecx |= FEATURES_ECX_OSXSAVE;
		break;
	case EXTENDED:
		r.ecx &= ~EXTENDED_ECX_OSPKE;
		if (control_read(cpu, 4) & CR4_PKE)
			r.ecx |= EXTENDED_ECX_OSPKE;
		break;
	case AMD_FEATURES:
		r.ecx &= ~(AMD_FEATURES_ECX_SVM | AMD_FEATURES_ECX_SKINIT);
		break;
	case POWER:
		r.edx |= POWER_EDX_CONSTANT_TSC;
		break;
	case AMD_SVM:
		r = (struct cpuid){ 0, 0, 0, 0 };
		break;
	}
	return r;
}

void cpuid_exit(struct vcpu *cpu)
{
	struct regs *regs = &cpu->regs;
	struct cpuid r = guest_cpuid(cpu, regs->eax, regs->ecx);

	regs->eax = r.eax;
	regs->ebx = r.ebx;
	regs->ecx = r.ecx;
	regs->edx = r.edx;
	skip(cpu, 2);
}
