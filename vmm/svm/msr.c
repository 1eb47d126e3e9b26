/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Model-specific registers. The guest has them all but those that would undo
 * the hypervisor: SVM's stop it; EFER hides SVME; the local APIC stays where
 * it is; what moves memory about cannot be written. Those outside the bitmap's
 * three ranges, a hypervisor's among them, are not there.
 */
#include "svm.h"

#define MSR_KVM_WALL_CLOCK 0x11 /* they would have another hypervisor write to our memory */
#define MSR_KVM_SYSTEM_TIME 0x12
#define MSR_APIC_BASE 0x1b
#define APIC_BASE_ADDRESS 0xfffff000u
#define APIC_BASE_X2APIC 0x400u
#define APIC_BASE_ENABLED 0x800u
#define MSR_SYSCFG 0xc0010010 /* to IORRs and the tops of memory */
#define MSR_TOP_MEM2 0xc001001d
#define MSR_PATCH_LOADER 0xc0010020
#define MSR_SMM_BASE 0xc0010111 /* SMM_ADDR, SMM_MASK */
#define MSR_SMM_MASK 0xc0010113
#define MSR_VM_CR 0xc0010114 /* IGNNE, SMM_CTL, VM_HSAVE_PA, SVM_KEY */
#define MSR_SVM_KEY 0xc0010118
#define EFER_GUEST (0x1u | 0x800u) /* SCE, NXE */

#define READ 1
#define WRITE 2

static void intercept(u8 *bitmap, u32 first, u32 last, u32 how)
{
	for (; first <= last; first++) {
		u32 bit = (first & 0x1fff) * 2 + (first < 0xc0000000   ? 0
						  : first < 0xc0010000 ? 0x4000
								       : 0x8000);

		bitmap[bit / 8] |= (u8)(how << bit % 8);
	}
}

void msr_start(u8 *bitmap)
{
	intercept(bitmap, MSR_KVM_WALL_CLOCK, MSR_KVM_SYSTEM_TIME, READ | WRITE);
	intercept(bitmap, MSR_APIC_BASE, MSR_APIC_BASE, WRITE);
	intercept(bitmap, MSR_EFER, MSR_EFER, READ | WRITE);
	intercept(bitmap, MSR_SYSCFG, MSR_TOP_MEM2, WRITE);
	intercept(bitmap, MSR_PATCH_LOADER, MSR_PATCH_LOADER, WRITE);
	intercept(bitmap, MSR_SMM_BASE, MSR_SMM_MASK, WRITE);
	intercept(bitmap, MSR_VM_CR, MSR_SVM_KEY, READ | WRITE);
}

static bool efer_write(struct vcpu *cpu, u64 value)
{
	if (value & EFER_SVME)
		stop(cpu, "EFER.SVME");
	if (value & ~(u64)EFER_GUEST)
		return false;
	cpu->vmcb->efer = value | EFER_SVME;
	cpu->vmcb->tlb_control = TLB_FLUSH;
	return true;
}

bool apic_enabled(void)
{
	return rdmsr(MSR_APIC_BASE) & APIC_BASE_ENABLED;
}

static bool apic_base_write(struct vcpu *cpu, u64 value)
{
	if ((value >> 32) || ((u32)value & APIC_BASE_ADDRESS) != APIC_BASE)
		stop(cpu, "the local APIC is moved to %08x", (u32)value & APIC_BASE_ADDRESS);
	if (value & APIC_BASE_X2APIC)
		return false;
	wrmsr(MSR_APIC_BASE, value);
	return true;
}

void msr_exit(struct vcpu *cpu)
{
	bool write = cpu->vmcb->exit_info1, good = false;
	struct regs *regs = &cpu->regs;
	u64 value = (u64)regs->edx << 32 | regs->eax;
	u32 msr = regs->ecx;

	if (msr >= MSR_VM_CR && msr <= MSR_SVM_KEY)
		stop(cpu, "%s of the SVM MSR %08x", write ? "a write" : "a read", msr);
	if (msr == MSR_EFER && write) {
		good = efer_write(cpu, value);
	} else if (msr == MSR_EFER) {
		regs->eax = (u32)cpu->vmcb->efer & ~EFER_SVME;
		regs->edx = (u32)(cpu->vmcb->efer >> 32);
		good = true;
	} else if (msr == MSR_APIC_BASE) {
		good = apic_base_write(cpu, value);
	}
	if (good)
		skip(cpu, 2);
	else
		inject_error(cpu, EXCEPTION_GP, 0);
}
