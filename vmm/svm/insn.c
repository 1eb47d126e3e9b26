/* SPDX-License-Identifier: GPL-2.0-only */
/* Guest instructions. The processor says neither their length nor their operands
 * (QEMU 7.2 has no decode assists). */
#include "svm.h"

#define FETCH 16 /* an instruction has 15 bytes at most */
#define MAX_PREFIXES 4
#define ATTRIBUTE_D 0x400u /* of CS: 32 bits */

/* Bytes of the operand in memory after ModRM: SIB and displacement. */
static u32 operand_bytes(u8 modrm, u8 sib, bool address32)
{
	u32 mod = modrm >> 6, rm = modrm & 7, bytes;

	if (mod == 3)
		return 0;
	if (!address32)
		return mod == 1 ? 1 : mod == 2 || rm == 6 ? 2 : 0;
	bytes = rm == 4;
	if (mod == 1)
		return bytes + 1;
	if (mod == 2 || rm == 5 || (rm == 4 && (sib & 7) == 5))
		return bytes + 4;
	return bytes;
}

static const struct vmcb_segment * override(const struct vmcb *vmcb, u8 prefix)
{
	switch (prefix) {
	case 0x26:
		return &vmcb->es;
	case 0x2e:
		return &vmcb->cs;
	case 0x36:
		return &vmcb->ss;
	case 0x3e:
		return &vmcb->ds;
	case 0x64:
		return &vmcb->fs;
	case 0x65:
		return &vmcb->gs;
	default:
		return NULL;
	}
}

/* The operand in memory, with 32 bits of address; code: ModRM and on. */
static u32 operand_address(struct vcpu *cpu, const u8 *code, const struct vmcb_segment *segment)
{
	u32 mod = code[0] >> 6, rm = code[0] & 7, at = 1, address = 0, displacement;
	bool stack;

	if (rm == 4) {
		u8 sib = code[at++];

		rm = sib & 7;
		if ((sib >> 3 & 7) != 4)
			address = *insn_register(cpu, sib >> 3) << (sib >> 6);
	}
	stack = rm == 4 || rm == 5;
	if (rm == 5 && !mod) {
		mod = 2;
		stack = false;
	} else {
		address += *insn_register(cpu, rm);
	}
	if (mod == 1)
		address += (u32)(int8_t)code[at];
	if (mod == 2) {
		__builtin_memcpy(&displacement, code + at, sizeof(displacement));
		address += displacement;
	}
	if (!segment)
		segment = stack ? &cpu->vmcb->ss : &cpu->vmcb->ds;
	return (u32)segment->base + address;
}

static bool is_prefix(u8 byte)
{
	switch (byte) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
	case 0x64:
	case 0x65:
	case 0x66:
	case 0x67:
	case 0xf0:
	case 0xf2:
	case 0xf3:
		return true;
	default:
		return false;
	}
}

/* The bytes at EIP, as many as there are; the others stay as they are. */
static u32 fetch(struct vcpu *cpu, u8 code[FETCH])
{
	u32 linear = (u32)cpu->vmcb->cs.base + cpu->vmcb->eip;
	const void *from;

	if ((linear & (PAGE_SIZE - 1)) > PAGE_SIZE - FETCH)
		return guest_read(cpu, linear, code, FETCH);
	from = guest_linear(cpu, linear, false);
	if (!from)
		return 0;
	__builtin_memcpy(code, from, FETCH);
	return FETCH;
}

bool insn_decode(struct vcpu *cpu, struct insn *insn)
{
	bool code32 = cpu->vmcb->cs.attributes & ATTRIBUTE_D, address32 = code32;
	u8 code[FETCH + 4] = { 0 };
	const struct vmcb_segment *segment = NULL;
	u32 got, i;

	insn->word = !code32;
	got = fetch(cpu, code);
	for (i = 0; i < MAX_PREFIXES && is_prefix(code[i]); i++) {
		if (code[i] == 0x66)
			insn->word = code32;
		if (code[i] == 0x67)
			address32 = !code32;
		if (override(cpu->vmcb, code[i]))
			segment = override(cpu->vmcb, code[i]);
	}
	insn->linear = 0;
	insn->prefixes = i;
	insn->opcode = code[i++];
	if (insn->opcode == 0x0f)
		insn->opcode = 0x0f00 | code[i++];
	insn->modrm = code[i];
	switch (insn->opcode) {
	case 0x0f01: /* SMSW LMSW and others */
		i += 1 + operand_bytes(insn->modrm, code[i + 1], address32);
		break;
	case 0x0f00: /* LLDT LTR and others */
		if (insn->modrm >> 6 != 3 && address32)
			insn->linear = operand_address(cpu, code + i, segment);
		i += 1 + operand_bytes(insn->modrm, code[i + 1], address32);
		break;
	case 0x0f06: /* CLTS */
		break;
	case 0x0f20: /* MOV from and to CRn: no operand in memory, whatever ModRM says */
	case 0x0f22:
		i++;
		break;
	case 0x87: /* XCHG, MOV */
	case 0x89:
		i += 1 + operand_bytes(insn->modrm, code[i + 1], address32);
		break;
	case 0xcc: /* INT3, INTO */
	case 0xce:
		break;
	case 0xcd: /* INT n */
		i++;
		break;
	case 0xa3: /* MOV from EAX */
		insn->modrm = 0;
		i += address32 ? 4 : 2;
		break;
	case 0xc7: /* MOV of an immediate operand */
		i += 1 + operand_bytes(insn->modrm, code[i + 1], address32);
		__builtin_memcpy(&insn->immediate, code + i, sizeof(u32));
		i += insn->word ? 2 : 4;
		break;
	default:
		return false;
	}
	insn->length = i;
	return i <= got;
}

void skip_to(struct vcpu *cpu, u32 eip)
{
	struct vmcb *vmcb = cpu->vmcb;

	vmcb->eip = vmcb->cs.attributes & ATTRIBUTE_D ? eip : eip & 0xffff;
	vmcb->int_shadow = 0;
	vmcb->eflags &= ~EFLAGS_RF;
	if (vmcb->eflags & EFLAGS_TF) {
		vmcb->dr6 |= DR6_STEP;
		inject(cpu, EXCEPTION_DB);
	}
}

void skip(struct vcpu *cpu, u32 length)
{
	struct insn insn;

	insn_decode(cpu, &insn);
	skip_to(cpu, cpu->vmcb->eip + insn.prefixes + length);
}
