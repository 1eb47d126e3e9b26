/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Control registers. A guest that does not page runs with CR0.PG set all the
 * same, on a page directory that maps 4 GiB to themselves, in real mode too
 * [APM vol. 2, 15.19, "paged real mode"]: some QEMUs ask the nested tables only
 * for what the guest's own tables have translated. Such a guest's reads and
 * writes of CR0, CR3 and CR4 exit; one that pages exits only when it changes
 * more of CR0 than TS and MP.
 */
#include "svm.h"

#define CR_INTERCEPTS_UNPAGED                                                                      \
	(INTERCEPT_CR_READ(0) | INTERCEPT_CR_READ(3) | INTERCEPT_CR_READ(4) |                      \
	 INTERCEPT_CR_WRITE(0) | INTERCEPT_CR_WRITE(3) | INTERCEPT_CR_WRITE(4))
/* What an identical mapping, of user pages, does not suffer. */
#define CR4_UNPAGED 0x7cfu /* VME to TSD, DE, MCE to OSXMMEXCPT; not PSE and PAE */
#define CR4_KNOWN 0x7fffffu
#define LMSW_BITS 0xfu

#define OP_SMSW_LMSW 0x0f01
#define OP_CLTS 0x0f06
#define OP_READ_CR 0x0f20
#define OP_WRITE_CR 0x0f22

/* 4 MiB a page; the guest sees it, and what it does to it is its own affair. */
static u32 identity[1024] PAGE_ALIGNED;

static u32 real_cr4(const struct vcpu *cpu)
{
	return (cpu->cr4 & (CR4_UNPAGED | CR4_OSXSAVE)) | CR4_PSE;
}

static void leave_paging(struct vcpu *cpu)
{
	cpu->unpaged = true;
	cpu->vmcb->intercept_cr |= CR_INTERCEPTS_UNPAGED;
	cpu->vmcb->intercept1 &= ~INTERCEPT_CR0_SELECTIVE;
	cpu->vmcb->cr3 = (u32)identity;
	cpu->vmcb->cr4 = real_cr4(cpu);
	cpu->vmcb->tlb_control = TLB_FLUSH;
}

static void enter_paging(struct vcpu *cpu)
{
	cpu->unpaged = false;
	cpu->vmcb->intercept_cr &= ~CR_INTERCEPTS_UNPAGED;
	cpu->vmcb->intercept1 |= INTERCEPT_CR0_SELECTIVE;
	cpu->vmcb->cr3 = cpu->cr3;
	cpu->vmcb->cr4 = cpu->cr4;
	cpu->vmcb->tlb_control = TLB_FLUSH;
}

void control_reset(struct vcpu *cpu)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(identity); i++)
		identity[i] = i << 22 | PTE_P | PTE_W | PTE_U | PTE_A | PTE_D | PTE_LARGE;
	nested_map(cpu, (u32)identity, (u32)identity, NESTED_RIGHTS);
	cpu->cr3 = cpu->cr4 = 0;
	cpu->vmcb->cr0 = CR0_ET | CR0_PG;
	leave_paging(cpu);
}

static u32 guest_cr0(const struct vcpu *cpu)
{
	return cpu->vmcb->cr0 & (cpu->unpaged ? ~CR0_PG : ~0u);
}

/* false: the processor would refuse it. */
static bool set_cr0(struct vcpu *cpu, u32 value)
{
	if (((value & CR0_PG) && !(value & CR0_PE)) || ((value & CR0_NW) && !(value & CR0_CD)))
		return false;
	if (cpu->unpaged && (value & CR0_PG)) {
		enter_paging(cpu);
	} else if (!cpu->unpaged && !(value & CR0_PG)) {
		cpu->cr3 = cpu->vmcb->cr3;
		cpu->cr4 = cpu->vmcb->cr4;
		leave_paging(cpu);
	}
	cpu->vmcb->cr0 = value | CR0_PG | CR0_ET;
	return true;
}

static bool write_register(struct vcpu *cpu, u32 number, u32 value)
{
	switch (number) {
	case 0:
		return set_cr0(cpu, value);
	case 3:
		cpu->cr3 = value;
		return true;
	case 4:
		if (value & ~CR4_KNOWN)
			return false;
		cpu->cr4 = value;
		cpu->vmcb->cr4 = real_cr4(cpu);
		return true;
	default:
		return false;
	}
}

static u32 read_register(struct vcpu *cpu, u32 number)
{
	return number == 0 ? guest_cr0(cpu) : number == 3 ? cpu->cr3 : cpu->cr4;
}

/* An exit on a read or a write of a control register. */
void control_exit(struct vcpu *cpu)
{
	struct insn insn;
	u32 *operand, number, value;
	bool good = true;

	if (!insn_decode(cpu, &insn))
		stop(cpu, "a control register, by an instruction that is not known");
	number = insn.modrm >> 3 & 7;
	operand = insn_register(cpu, insn.modrm);
	switch (insn.opcode) {
	case OP_READ_CR:
		*operand = read_register(cpu, number);
		break;
	case OP_WRITE_CR:
		good = write_register(cpu, number, *operand);
		break;
	case OP_CLTS:
		cpu->vmcb->cr0 &= ~CR0_TS;
		break;
	case OP_SMSW_LMSW:
		if (insn.modrm >> 6 != 3)
			stop(cpu, "SMSW or LMSW with an operand in memory");
		value = guest_cr0(cpu);
		if (number == 6)
			good = set_cr0(cpu,
				       (value & ~(LMSW_BITS & ~CR0_PE)) | (*operand & LMSW_BITS));
		else if (insn.word)
			*operand = (*operand & 0xffff0000) | (value & 0xffff);
		else
			*operand = value;
		break;
	default:
		stop(cpu, "a control register, by opcode %x", insn.opcode);
	}
	if (good)
		skip_to(cpu, cpu->vmcb->eip + insn.length);
	else
		inject_error(cpu, EXCEPTION_GP, 0);
}
