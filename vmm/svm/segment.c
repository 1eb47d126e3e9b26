/* SPDX-License-Identifier: GPL-2.0-only */
/* Segment registers from the guest's tables, as the processor loads them [SDM vol. 3, 3.4]. */
#include "svm.h"

#define SELECTOR_LOCAL 4u
#define SELECTOR_RPL 3u
#define ATTRIBUTE_TYPE 0x00fu
#define ATTRIBUTE_ACCESSED 0x001u
#define ATTRIBUTE_WRITABLE 0x002u /* of data; of code: readable */
#define ATTRIBUTE_CONFORMING 0x004u
#define ATTRIBUTE_CODE 0x008u
#define ATTRIBUTE_S 0x010u
#define ATTRIBUTE_DPL(a) ((a) >> 5 & 3)
#define ATTRIBUTE_P 0x080u
#define ATTRIBUTE_G 0x800u
#define TYPE_TSS16 0x01u
#define TYPE_LDT 0x02u
#define TYPE_TSS32 0x09u
#define ATTRIBUTE_BUSY 0x002u /* of a TSS */

static struct vmcb_segment segment(u32 selector, u64 descriptor)
{
	u32 low = (u32)descriptor, high = (u32)(descriptor >> 32);
	u32 limit = (high & 0xf0000) | (low & 0xffff);
	u16 attributes = (u16)((high >> 8 & 0xff) | (high >> 12 & 0xf00));

	if (attributes & ATTRIBUTE_G)
		limit = limit << 12 | 0xfff;
	return (struct vmcb_segment){ (u16)selector, attributes, limit,
				      (high & 0xff000000) | (high & 0xff) << 16 | low >> 16 };
}

/* DS ES FS GS may be null; code: CS; stack: SS. */
static bool load(struct vcpu *cpu, struct vmcb_segment *to, bool code, bool stack)
{
	const struct vmcb *vmcb = cpu->vmcb;
	u32 selector = to->selector, cpl = vmcb->cpl, rpl = selector & SELECTOR_RPL, dpl;
	const struct vmcb_segment *table = selector & SELECTOR_LOCAL ? &vmcb->ldtr : &vmcb->gdtr;
	struct vmcb_segment loaded;
	u64 descriptor;

	if (!(selector & ~SELECTOR_RPL)) {
		*to = (struct vmcb_segment){ (u16)selector, 0, 0, 0 };
		return !code && !stack;
	}
	if ((selector & SELECTOR_LOCAL && !(table->attributes & ATTRIBUTE_P)) ||
	    (selector | 7) > table->limit ||
	    guest_read(cpu, (u32)table->base + (selector & ~7u), &descriptor, 8) < 8)
		return false;
	loaded = segment(selector, descriptor);
	dpl = ATTRIBUTE_DPL(loaded.attributes);
	if (!(loaded.attributes & ATTRIBUTE_S) || !(loaded.attributes & ATTRIBUTE_P))
		return false;
	if (code) {
		if (!(loaded.attributes & ATTRIBUTE_CODE) ||
		    (loaded.attributes & ATTRIBUTE_CONFORMING ? dpl > cpl : dpl != cpl))
			return false;
	} else if (stack) {
		if ((loaded.attributes & (ATTRIBUTE_CODE | ATTRIBUTE_WRITABLE)) !=
			    ATTRIBUTE_WRITABLE ||
		    dpl != cpl || rpl != cpl)
			return false;
	} else {
		u32 kind = loaded.attributes & (ATTRIBUTE_CODE | ATTRIBUTE_CONFORMING);

		if ((kind & ATTRIBUTE_CODE) && !(loaded.attributes & ATTRIBUTE_WRITABLE))
			return false;
		if (kind != (ATTRIBUTE_CODE | ATTRIBUTE_CONFORMING) && (dpl < cpl || dpl < rpl))
			return false;
	}
	if (!(loaded.attributes & ATTRIBUTE_ACCESSED)) {
		loaded.attributes |= ATTRIBUTE_ACCESSED;
		descriptor |= 1ull << 40;
		guest_write(cpu, (u32)table->base + (selector & ~7u), &descriptor, 8);
	}
	*to = loaded;
	return true;
}

bool segments_reload(struct vcpu *cpu)
{
	struct vmcb *vmcb = cpu->vmcb;
	struct vmcb_segment cs, ss, ds, es, fs, gs;

	__asm__ volatile("vmsave" : : "a"(vmcb) : "memory");
	cs = vmcb->cs;
	ss = vmcb->ss;
	ds = vmcb->ds;
	es = vmcb->es;
	fs = vmcb->fs;
	gs = vmcb->gs;
	if (!load(cpu, &cs, true, false) || !load(cpu, &ss, false, true) ||
	    !load(cpu, &ds, false, false) || !load(cpu, &es, false, false) ||
	    !load(cpu, &fs, false, false) || !load(cpu, &gs, false, false))
		return false;
	vmcb->cs = cs;
	vmcb->ss = ss;
	vmcb->ds = ds;
	vmcb->es = es;
	vmcb->fs = fs;
	vmcb->gs = gs;
	__asm__ volatile("vmload" : : "a"(vmcb) : "memory");
	return true;
}

bool segment_set_ldt(struct vcpu *cpu, u32 selector, u64 descriptor)
{
	__asm__ volatile("vmsave" : : "a"(cpu->vmcb) : "memory");
	cpu->vmcb->ldtr = segment(selector, descriptor);
	__asm__ volatile("vmload" : : "a"(cpu->vmcb) : "memory");
	return true;
}

/* As LTR in QEMU has it, which takes no busy TSS for the stacks of gates; a processor takes both. */
bool segment_set_tr(struct vcpu *cpu, u32 selector, u64 descriptor)
{
	__asm__ volatile("vmsave" : : "a"(cpu->vmcb) : "memory");
	cpu->vmcb->tr = segment(selector, descriptor);
	cpu->vmcb->tr.attributes &= ~ATTRIBUTE_BUSY;
	__asm__ volatile("vmload" : : "a"(cpu->vmcb) : "memory");
	return true;
}

/* Vector of the exception, or 0; where the descriptor is. */
static u32 system_descriptor(struct vcpu *cpu, u32 selector, bool tr, u32 *at, u64 *descriptor)
{
	const struct vmcb_segment *gdtr = &cpu->vmcb->gdtr;
	u32 kind, attributes;

	*descriptor = 0;
	*at = (u32)gdtr->base + (selector & ~7u);
	if (!(selector & ~SELECTOR_RPL))
		return tr ? EXCEPTION_GP : 0;
	if ((selector & SELECTOR_LOCAL) || (selector | 7u) > gdtr->limit ||
	    guest_read(cpu, *at, descriptor, sizeof(*descriptor)) < sizeof(*descriptor))
		return EXCEPTION_GP;
	attributes = segment(selector, *descriptor).attributes;
	kind = attributes & (ATTRIBUTE_S | ATTRIBUTE_TYPE);
	if (tr ? kind != TYPE_TSS16 && kind != TYPE_TSS32 : kind != TYPE_LDT)
		return EXCEPTION_GP;
	return attributes & ATTRIBUTE_P ? 0 : EXCEPTION_NP;
}

bool segment_load_ldt(struct vcpu *cpu, u32 selector)
{
	u64 descriptor;
	u32 at;

	return !system_descriptor(cpu, selector, false, &at, &descriptor) &&
	       segment_set_ldt(cpu, selector, descriptor);
}

/* LLDT and LTR, where the shared area has copies. */
void segment_exit(struct vcpu *cpu)
{
	bool tr = cpu->vmcb->exit_code == EXIT_TR_WRITE;
	struct insn insn;
	u16 selector = 0;
	u64 descriptor;
	u32 at, vector;

	if (!insn_decode(cpu, &insn) || (insn.modrm >> 6 != 3 && !insn.linear))
		stop(cpu, "LLDT or LTR by an instruction that is not known");
	if (insn.modrm >> 6 == 3)
		selector = (u16)*insn_register(cpu, insn.modrm);
	else if (guest_read(cpu, insn.linear, &selector, sizeof(selector)) < sizeof(selector))
		stop(cpu, "LLDT or LTR of %08x, which is not mapped", insn.linear);
	vector = system_descriptor(cpu, selector, tr, &at, &descriptor);
	if (vector) {
		inject_error(cpu, vector, selector & ~SELECTOR_RPL);
		return;
	}
	if (tr) {
		segment_set_tr(cpu, selector, descriptor);
		descriptor |= (u64)ATTRIBUTE_BUSY << 40;
		guest_write(cpu, at, &descriptor, sizeof(descriptor));
	} else {
		segment_set_ldt(cpu, selector, descriptor);
	}
	skip_to(cpu, cpu->vmcb->eip + insn.length);
	vmm_refresh(cpu->core);
}
