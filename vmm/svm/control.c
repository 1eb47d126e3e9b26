/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Control registers. A guest that does not page runs with CR0.PG set all the
 * same, on a page directory that maps 4 GiB to themselves, in real mode too
 * [APM vol. 2, 15.19, "paged real mode"]: some QEMUs ask the nested tables only
 * for what the guest's own tables have translated. Such a guest's reads and
 * writes of CR0, CR3 and CR4 exit; one that pages exits only when it changes
 * more of CR0 than TS and MP; one that has attached, when it writes any of them without
 * a call, for the shared area has copies.
 */
#include "svm.h"

#define CR_INTERCEPTS_UNPAGED                                                                      \
	(INTERCEPT_CR_READ(0) | INTERCEPT_CR_READ(3) | INTERCEPT_CR_READ(4) |                      \
	 INTERCEPT_CR_WRITE(0) | INTERCEPT_CR_WRITE(3) | INTERCEPT_CR_WRITE(4))
#define CR_INTERCEPTS_ATTACHED                                                                     \
	(INTERCEPT_CR_WRITE(0) | INTERCEPT_CR_WRITE(2) | INTERCEPT_CR_WRITE(3) |                   \
	 INTERCEPT_CR_WRITE(4))
/* What an identical mapping, of user pages, does not suffer. */
#define CR4_UNPAGED 0x7cfu /* VME to TSD, DE, MCE to OSXMMEXCPT; not PSE and PAE */
#define LMSW_BITS 0xfu

#define OP_SMSW_LMSW 0x0f01
#define OP_CLTS 0x0f06
#define OP_READ_CR 0x0f20
#define OP_WRITE_CR 0x0f22

/* Bits of CR4 that come with one of CPUID. */
static const struct {
	u32 leaf;
	u8 word, bit; /* EAX EBX ECX EDX */
	u32 cr4;
} cr4_bits[] = {
	{ 1, 3, 1, 0x3 },						     /* VME: PVI too */
	{ 1, 3, 4, 0x4 },						     /* TSD */
	{ 1, 3, 2, 0x8 },						     /* DE */
	{ 1, 3, 3, CR4_PSE },	   { 1, 3, 6, CR4_PAE },  { 1, 3, 7, 0x40 }, /* MCE */
	{ 1, 3, 13, 0x80 },						     /* PGE */
	{ 1, 3, 24, 0x200 },						     /* OSFXSR */
	{ 1, 3, 25, 0x400 },						     /* OSXMMEXCPT */
	{ 7, 2, 2, 0x800 },						     /* UMIP */
	{ 7, 1, 0, 0x10000 },						     /* FSGSBASE */
	{ 1, 2, 17, 0x20000 },						     /* PCIDE */
	{ 1, 2, 26, CR4_OSXSAVE }, { 7, 1, 7, 0x100000 },		     /* SMEP */
	{ 7, 1, 20, 0x200000 },						     /* SMAP */
	{ 7, 2, 3, CR4_PKE },
};
static u32 cr4_known = 0x100; /* PCE */

void control_start(void)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(cr4_bits); i++) {
		struct cpuid r = cpuid(cr4_bits[i].leaf, 0);
		const u32 words[] = { r.eax, r.ebx, r.ecx, r.edx };

		if (words[cr4_bits[i].word] >> cr4_bits[i].bit & 1)
			cr4_known |= cr4_bits[i].cr4;
	}
}

/* 4 MiB a page; the guest sees it, and what it does to it is its own affair. */
static u32 identity[1024] PAGE_ALIGNED;

static u32 real_cr4(const struct vcpu *cpu)
{
	return (cpu->cr4 & (CR4_UNPAGED | CR4_OSXSAVE)) | CR4_PSE;
}

void control_intercepts(struct vcpu *cpu)
{
	struct vmcb *vmcb = cpu->vmcb;
	bool attached = cpu->shared_at && (boot.trap & (TRAP_CPU | TRAP_MMU));

	vmcb->intercept_cr = (cpu->unpaged ? CR_INTERCEPTS_UNPAGED : 0) |
			     (attached ? CR_INTERCEPTS_ATTACHED : 0);
	vmcb->intercept1 &= ~INTERCEPT_CR0_SELECTIVE;
	if (!cpu->unpaged && !attached)
		vmcb->intercept1 |= INTERCEPT_CR0_SELECTIVE;
}

static void leave_paging(struct vcpu *cpu)
{
	cpu->unpaged = true;
	control_intercepts(cpu);
	cpu->vmcb->cr3 = (u32)identity;
	cpu->vmcb->cr4 = real_cr4(cpu);
	cpu->vmcb->tlb_control = TLB_FLUSH;
}

static void enter_paging(struct vcpu *cpu)
{
	cpu->unpaged = false;
	control_intercepts(cpu);
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
	if ((cpu->vmcb->cr0 ^ value) & CR0_WP)
		cpu->vmcb->tlb_control = TLB_FLUSH;
	cpu->vmcb->cr0 = value | CR0_PG | CR0_ET;
	return true;
}

bool control_write(struct vcpu *cpu, u32 number, u32 value)
{
	struct vmcb *vmcb = cpu->vmcb;

	switch (number) {
	case 0:
		return set_cr0(cpu, value);
	case 2:
		vmcb->cr2 = value;
		return true;
	case 3:
		cpu->cr3 = value;
		break;
	case 4:
		if (value & ~cr4_known)
			return false;
		cpu->cr4 = value;
		break;
	default:
		return false;
	}
	if (!cpu->unpaged && number == 3)
		vmcb->cr3 = value;
	else if (number == 4)
		vmcb->cr4 = cpu->unpaged ? real_cr4(cpu) : value;
	vmcb->tlb_control = TLB_FLUSH;
	return true;
}

u32 control_read(const struct vcpu *cpu, u32 number)
{
	const struct vmcb *vmcb = cpu->vmcb;

	switch (number) {
	case 0:
		return vmcb->cr0 & (cpu->unpaged ? ~CR0_PG : ~0u);
	case 2:
		return vmcb->cr2;
	case 3:
		return cpu->unpaged ? cpu->cr3 : vmcb->cr3;
	default:
		return cpu->unpaged ? cpu->cr4 : vmcb->cr4;
	}
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
		*operand = control_read(cpu, number);
		break;
	case OP_WRITE_CR:
		good = control_write(cpu, number, *operand);
		break;
	case OP_CLTS:
		cpu->vmcb->cr0 &= ~CR0_TS;
		break;
	case OP_SMSW_LMSW:
		if (insn.modrm >> 6 != 3)
			stop(cpu, "SMSW or LMSW with an operand in memory");
		value = control_read(cpu, 0);
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
	if (good) {
		skip_to(cpu, cpu->vmcb->eip + insn.length);
		if (cpu->shared_at)
			vmm_refresh(cpu->core);
	} else {
		inject_error(cpu, EXCEPTION_GP, 0);
	}
}
