/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The privileged part of a processor, as far as the ROM's code needs one that
 * runs in ring 3: what faults is done here, and, in single steps, also what
 * would not do in ring 3 what it does in ring 0 (PUSHF, POPF, IRET, MOV from
 * CS) or is somebody else's (CPUID).
 */
#include <string.h>
#include "user.h"

struct processor processor;
void (*hook_cpuid)(u32 regs[4], u32 leaf, u32 subleaf);

void processor_reset(void)
{
	memset(&processor, 0, sizeof(processor));
	processor.cr[0] = 0x33; /* no paging: linear is physical, or HIGH */
	processor.interrupts = true;
}

static u32 *general(struct regs *regs, u8 modrm)
{
	return (u32 *)regs + (modrm & 7);
}

bool processor_privileged(struct regs *regs)
{
	const u8 *code = (const u8 *)regs->eip;
	u32 n = code[2] >> 3 & 7, wide = 4;

	switch (code[0]) {
	case 0xfa: /* CLI */
	case 0xfb: /* STI */
		processor.interrupts = code[0] & 1;
		regs->eip++;
		return true;
	case 0xf3: /* REP INSB */
		if (code[1] != 0x6c)
			return false;
		memset((void *)regs->edi, 0xff, regs->ecx);
		regs->edi += regs->ecx;
		regs->ecx = 0;
		regs->eip += 2;
		return true;
	case 0x66:
		wide = 2;
		code++;
		break;
	default:
		break;
	}
	/* IN and OUT: ports that nobody has. */
	switch (code[0]) {
	case 0xe4:
	case 0xec:
		wide = 1;
		/* fallthrough */
	case 0xe5:
	case 0xed:
		memset(&regs->eax, 0xff, wide);
		/* fallthrough */
	case 0xe6:
	case 0xe7:
	case 0xee:
	case 0xef:
		regs->eip = (u32)code + (code[0] & 8 ? 1 : 2);
		return true;
	case 0x0f:
		break;
	default:
		return false;
	}
	if (code[1] == 0x35) { /* SYSEXIT */
		regs->eip = regs->edx;
		regs->esp = regs->ecx;
		return true;
	}
	if (code[1] == 0x30 || code[1] == 0x32) { /* WRMSR, RDMSR: all are 0 */
		if (code[1] == 0x32)
			regs->eax = regs->edx = 0;
		regs->eip += 2;
		return true;
	}
	if ((code[1] & 0xfd) != 0x20 || n > 4) /* MOV to and from CRn */
		return false;
	if (code[1] == 0x20)
		*general(regs, code[2]) = processor.cr[n];
	else
		processor.cr[n] = *general(regs, code[2]);
	regs->eip += 3;
	return true;
}

#define CPUID_CRYSTAL 0x15 /* the TSC's frequency, which POST measures otherwise */
#define CPUID_1_EDX_APIC (1u << 9)
#define CPUID_1_ECX_HYPERVISOR (1u << 31)

void processor_cpuid(u32 r[4], u32 leaf, u32 subleaf)
{
	__asm__("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(subleaf));
	if (leaf == 0 && r[0] < CPUID_CRYSTAL)
		r[0] = CPUID_CRYSTAL;
	if (leaf == 1) {
		r[2] |= CPUID_1_ECX_HYPERVISOR;
		r[3] &= ~CPUID_1_EDX_APIC;
		r[1] &= 0x00ffffff; /* APIC ID 0, wherever the process runs */
	}
	if (leaf == CPUID_CRYSTAL) {
		r[0] = 1;
		r[1] = 100;
		r[2] = 24000000;
	}
	if (leaf - VMI_HV_LEAF_FIRST < VMI_HV_LEAF_LAST + 0x100 - VMI_HV_LEAF_FIRST)
		memset(r, 0, 16);
}

/* What POPF and IRET change. */
#define FLAGS_POPPED 0x244cd5

bool processor_step(struct regs *regs)
{
	const u8 *code = (const u8 *)regs->eip;
	u32 *stack = (u32 *)regs->esp, r[4];

	switch (code[0]) {
	case 0x66:
		if (code[1] != 0x8c || (code[2] & 0xf8) != 0xc8)
			return false;
		code++;
		regs->eip++;
		/* fallthrough */
	case 0x8c: /* MOV from CS */
		if ((code[1] & 0xf8) != 0xc8)
			return false;
		__asm__("mov %%cs, %0" : "=r"(r[0]));
		*general(regs, code[1]) = r[0] & 0xfffc;
		regs->eip += 2;
		return true;
	case 0x9c: /* PUSHF */
		stack[-1] = (regs->eflags & ~(u32)(FLAG_IF | FLAG_TF)) |
			    (processor.interrupts ? FLAG_IF : 0);
		regs->esp -= 4;
		regs->eip++;
		return true;
	case 0x9d: /* POPF */
		regs->eflags = (regs->eflags & ~(u32)FLAGS_POPPED) | (stack[0] & FLAGS_POPPED);
		processor.interrupts = stack[0] & FLAG_IF;
		regs->esp += 4;
		regs->eip++;
		return true;
	case 0xcf: /* IRET, to the same ring */
		regs->eflags = (regs->eflags & ~(u32)FLAGS_POPPED) | (stack[2] & FLAGS_POPPED);
		processor.interrupts = stack[2] & FLAG_IF;
		regs->eip = stack[0];
		regs->esp += 12;
		return true;
	case CPUID_PATCH:
		if (!posting)
			return false;
		/* fallthrough */
	case 0x0f:
		if (code[1] != 0xa2 || !hook_cpuid) /* CPUID */
			return false;
		hook_cpuid(r, regs->eax, regs->ecx);
		regs->eax = r[0];
		regs->ebx = r[1];
		regs->ecx = r[2];
		regs->edx = r[3];
		regs->eip += 2;
		return true;
	default:
		return false;
	}
}
