/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One function a call. For each row of VMI_CALLS there is exactly one of
 *
 *	CALL(name, operations that it needs) { ... }
 *	ALIAS(name, other)	the same function
 *	ROM(name, operations)	its stub is the ROM's business, and a trap is refused
 *
 * Where arguments are wrong, the outcome is that of the native stub (rom/native).
 */
#include "core.h"

#define CALL(name, needs)                                                                          \
	enum { needs_##name = (int)(needs) };                                                      \
	static enum vmm_result call_##name(struct vmm_vcpu *vcpu, struct vmm_regs *regs)
#define ALIAS(name, other)                                                                         \
	CALL(name, needs_##other)                                                                  \
	{                                                                                          \
		return call_##other(vcpu, regs);                                                   \
	}
#define ROM(name, needs)                                                                           \
	CALL(name, needs)                                                                          \
	{                                                                                          \
		return core_refuse(vcpu, regs);                                                    \
	}

#define NEED(op) OP_INDEX(op)
#define NEED2(a, b) (NEED(a) | NEED(b) << 8)
#define NEED3(a, b, c) (NEED2(a, b) | NEED(c) << 16)
#define NOTHING 0

#define OPS (vcpu->vm->ops)
#define DONE VMM_CONTINUE

static inline u64 long_of(u32 low, u32 high)
{
	return (u64)high << 32 | low;
}

static enum vmm_result done_long(struct vmm_regs *regs, u64 value)
{
	regs->eax = (u32)value;
	regs->edx = (u32)(value >> 32);
	return DONE;
}

/* ------------------------------------------------------------------------
 * The interface itself, identity, model-specific registers
 */

ROM(Init, LEFT_TO_ROM)
ROM(GetRelocationInfo, LEFT_TO_ROM)
ROM(PatchSites, LEFT_TO_ROM)

CALL(CPUID, NEED(cpuid))
{
	u32 out[4];

	OPS->cpuid(vcpu, regs->eax, regs->ecx, out);
	regs->eax = out[0];
	regs->ebx = out[1];
	regs->ecx = out[2];
	regs->edx = out[3];
	return DONE;
}

CALL(WRMSR, NEED(set_msr))
{
	return OPS->set_msr(vcpu, regs->ecx, long_of(regs->eax, regs->edx))
		       ? DONE
		       : core_refuse(vcpu, regs);
}

CALL(RDMSR, NEED(get_msr))
{
	u64 value;

	if (!OPS->get_msr(vcpu, regs->ecx, &value))
		return core_refuse(vcpu, regs);
	return done_long(regs, value);
}

ROM(RDPMC, LEFT_TO_ROM)

CALL(RDTSC, NEED(tsc))
{
	return done_long(regs, OPS->tsc(vcpu));
}

/* ------------------------------------------------------------------------
 * Descriptor tables
 */

#define NOT_MAPPED "is not mapped"

#define DTR_BYTES ((u32)sizeof(struct vmi_dtr))

/* False: it is not mapped. */
static bool read_dtr(struct vmm_vcpu *vcpu, u32 linear, u32 *base, u32 *limit)
{
	struct vmi_dtr dtr;

	if (!core_read(vcpu, linear, &dtr, DTR_BYTES))
		return false;
	*base = dtr.base_low | (u32)dtr.base_high << 16;
	*limit = dtr.limit;
	return true;
}

static enum vmm_result write_dtr(struct vmm_vcpu *vcpu, struct vmm_regs *regs, u32 base, u32 limit)
{
	struct vmi_dtr dtr = { (vmi_u16)limit, (vmi_u16)base, (vmi_u16)(base >> 16) };

	if (!core_write(vcpu, regs->eax, &dtr, DTR_BYTES))
		return core_fault(vcpu, regs, "dtr", regs->eax, NOT_MAPPED);
	return DONE;
}

/* Segment registers were loaded from the tables, as far as the VMM can. */
static enum vmm_result reload(struct vmm_vcpu *vcpu, struct vmm_regs *regs)
{
	if (!OPS->reload_segments(vcpu))
		return core_stop(vcpu, regs->ebp & VMI_HV_NUMBER_MASK, "argument", regs->eax,
				 "leaves a segment register without its descriptor");
	return DONE;
}

CALL(SetGDT, NEED2(set_gdt, reload_segments))
{
	u32 base, limit;

	if (!read_dtr(vcpu, regs->eax, &base, &limit))
		return core_fault(vcpu, regs, "dtr", regs->eax, NOT_MAPPED);
	OPS->set_gdt(vcpu, base, limit);
	return reload(vcpu, regs);
}

CALL(SetIDT, NEED(set_idt))
{
	u32 base, limit;

	if (!read_dtr(vcpu, regs->eax, &base, &limit))
		return core_fault(vcpu, regs, "dtr", regs->eax, NOT_MAPPED);
	OPS->set_idt(vcpu, base, limit);
	return DONE;
}

CALL(GetGDT, NEED(get_gdt))
{
	u32 base, limit;

	OPS->get_gdt(vcpu, &base, &limit);
	return write_dtr(vcpu, regs, base, limit);
}

CALL(GetIDT, NEED(get_idt))
{
	u32 base, limit;

	OPS->get_idt(vcpu, &base, &limit);
	return write_dtr(vcpu, regs, base, limit);
}

/* High words of descriptors. */
#define DESC_PRESENT 0x8000u
#define DESC_SEGMENT 0x1000u /* code or data */
#define DESC_TYPE 0x1f00u
#define DESC_LDT 0x0200u
#define DESC_TSS16 0x0100u
#define DESC_TSS 0x0900u
#define DESC_BUSY 0x0200u
#define DESC_DPL 0x6000u
#define DESC_DPL_SHIFT 13
#define DESC_EXPANDS 0x0c00u /* code? expands down? */
#define DESC_EXPANDS_DOWN 0x0400u
#define DESC_BYTES 0x00800000u /* granularity */
#define DESC_LONG 0x00200000u  /* code of 64 bits, where the VMM is: no limits */

#define SELECTOR_TI 4u
#define SELECTOR_INDEX 0xfff8u

static u32 desc_base(u64 descriptor)
{
	return ((u32)(descriptor >> 16) & 0xffffff) | (u32)(descriptor >> 56) << 24;
}

/* NULL, or why not. */
static const char *find_descriptor(struct vmm_vcpu *vcpu, u32 selector, u32 *where, u64 *descriptor)
{
	u32 base, limit;

	OPS->get_gdt(vcpu, &base, &limit);
	*where = base + (selector & SELECTOR_INDEX);
	if (selector & SELECTOR_TI)
		return "is in the LDT";
	if ((selector | 7) > limit)
		return "is beyond the GDT";
	if (!core_read(vcpu, *where, descriptor, 8))
		return "has a descriptor that is not mapped";
	return NULL;
}

/* Where the ROM may write SS0 and ESP0 without a trap. */
static void keep_tss(struct vmm_vcpu *vcpu, u64 descriptor)
{
	bool writable = !OPS->kernel_stack &&
			((u32)(descriptor >> 32) & DESC_TYPE & ~DESC_BUSY) == DESC_TSS;

	vcpu->shared->tss = writable ? desc_base(descriptor) : 0;
}

void core_find_tss(struct vmm_vcpu *vcpu, u32 tr)
{
	u64 descriptor;
	u32 where;

	if (!OPS->get_gdt || !(tr & ~3u) || find_descriptor(vcpu, tr, &where, &descriptor))
		descriptor = 0;
	keep_tss(vcpu, descriptor);
}

CALL(SetLDT, NEED3(set_ldt, get_gdt, reload_segments))
{
	u32 selector = regs->eax & 0xffff, where, high;
	const char *why = NULL;
	u64 descriptor = 0;

	if (selector & ~3u) {
		why = find_descriptor(vcpu, selector, &where, &descriptor);
		high = (u32)(descriptor >> 32);
		if (!why && (high & DESC_TYPE) != DESC_LDT)
			why = "is no LDT's";
		if (!why && !(high & DESC_PRESENT))
			why = "is not present";
	}
	if (!why && !OPS->set_ldt(vcpu, selector, descriptor))
		why = "is not allowed";
	if (why)
		return core_fault(vcpu, regs, "selector", selector, why);
	vcpu->shared->ldt = selector;
	return reload(vcpu, regs);
}

CALL(SetTR, NEED2(set_tr, get_gdt))
{
	u32 selector = regs->eax & 0xffff, where, high, type;
	u64 descriptor;
	const char *why =
		selector & ~3u ? find_descriptor(vcpu, selector, &where, &descriptor) : "is null";
	u8 *byte = NULL;

	if (!why) {
		high = (u32)(descriptor >> 32);
		type = high & DESC_TYPE;
		if (type != DESC_TSS && type != DESC_TSS16)
			why = "is no available TSS's";
		else if (!(high & DESC_PRESENT))
			why = "is not present";
		else if (byte = core_page(vcpu, where + 5), !byte)
			why = "has a descriptor that is not mapped";
		else if (!OPS->set_tr(vcpu, selector, descriptor))
			why = "is not allowed";
	}
	if (why)
		return core_fault(vcpu, regs, "selector", selector, why);
	__atomic_fetch_or(byte, DESC_BUSY >> 8, __ATOMIC_SEQ_CST);
	vcpu->shared->tr = selector;
	keep_tss(vcpu, descriptor);
	return DONE;
}

CALL(GetLDT, NEED(get_ldt))
{
	regs->eax = OPS->get_ldt(vcpu);
	return DONE;
}

CALL(GetTR, NEED(get_tr))
{
	regs->eax = OPS->get_tr(vcpu);
	return DONE;
}

/* VMM_DEPRIVILEGED. NULL, or why not. */
static const char *confine(const struct vmm *vm, u64 *descriptor)
{
	u32 low = (u32)*descriptor, high = (u32)(*descriptor >> 32);
	u32 base = desc_base(*descriptor), limit = (low & 0xffff) | (high & 0xf0000), most;

	if (!(high & DESC_PRESENT))
		return NULL;
	if (!(high & DESC_SEGMENT) || (high & DESC_LONG))
		return "is of a type that is the VMM's";
	if ((high & DESC_DPL) < vm->kernel_ring << DESC_DPL_SHIFT)
		high = (high & ~DESC_DPL) | vm->kernel_ring << DESC_DPL_SHIFT;
	if (vm->virtual_top) {
		most = vm->virtual_top - 1;
		if ((high & DESC_EXPANDS) == DESC_EXPANDS_DOWN || base > most)
			return "reaches what is the VMM's";
		most -= base;
		if (high & DESC_BYTES) /* whole pages, by the number of the last one */
			limit = limit << 12 | 0xfff;
		if (limit > most) {
			limit = most;
			if (limit > 0xfffff) {
				high |= DESC_BYTES;
				limit = ((limit + 1) >> 12) - 1;
			} else {
				high &= ~DESC_BYTES;
			}
			high = (high & ~0xf0000u) | (limit & 0xf0000);
			low = (low & ~0xffffu) | (limit & 0xffff);
		}
	}
	*descriptor = long_of(low, high);
	return NULL;
}

CALL(WriteGDTEntry, NOTHING)
{
	u32 linear = regs->eax + regs->edx * 8;
	u64 descriptor = long_of(regs->ecx, regs->esi);
	const char *why = NULL;

	if (OPS->descriptor_ok) {
		if (!OPS->descriptor_ok(vcpu, (enum vmi_call)(regs->ebp & VMI_HV_NUMBER_MASK),
					&descriptor))
			why = "is not allowed";
	} else if (vcpu->vm->flags & VMM_DEPRIVILEGED) {
		why = confine(vcpu->vm, &descriptor);
	}
	if (why) /* the native stub would write it */
		return core_stop(vcpu, regs->ebp & VMI_HV_NUMBER_MASK, "high", regs->esi, why);
	if (linear & 7) {
		if (!core_write(vcpu, linear, &descriptor, 8))
			return core_fault(vcpu, regs, "entry", linear, NOT_MAPPED);
	} else {
		u32 *entry = core_page(vcpu, linear);

		if (!entry)
			return core_fault(vcpu, regs, "entry", linear, NOT_MAPPED);
		entry[0] = (u32)descriptor;
		entry[1] = (u32)(descriptor >> 32);
	}
	return DONE;
}
ALIAS(WriteLDTEntry, WriteGDTEntry)
ALIAS(WriteIDTEntry, WriteGDTEntry)

/* Arguments in the order of registers, as the revision has them. */
static enum vmm_result announce(struct vmm_vcpu *vcpu, const struct vmm_regs *regs, u32 d, u32 c)
{
	struct vmm_hint hint;

	hint.call = (enum vmi_call)(regs->ebp & VMI_HV_NUMBER_MASK);
	hint.a = regs->eax;
	hint.d = d;
	hint.c = c;
	hint.s1 = regs->esi;
	hint.s2 = regs->edi;
	OPS->announce(vcpu, &hint);
	return DONE;
}

CALL(UpdateGDT, NEED(announce))
{
	if (regs->eax > regs->edx || regs->edx > 0x1fff)
		return DONE;
	return announce(vcpu, regs, regs->edx, 0);
}
ALIAS(UpdateIDT, UpdateGDT)
ALIAS(UpdateLDT, UpdateGDT)

#define TSS_ESP0 4
#define TSS_SS0 8

/* The TSS in memory, as the native stub: without one nothing happens. */
static __attribute__((noinline)) enum vmm_result stack_in_tss(struct vmm_vcpu *vcpu,
							      struct vmm_regs *regs)
{
	u32 tr = OPS->get_tr(vcpu) & SELECTOR_INDEX, where, tss;
	const char *why;
	u64 descriptor;

	if (!tr)
		return DONE;
	why = find_descriptor(vcpu, tr, &where, &descriptor);
	if (why)
		return core_fault(vcpu, regs, "TR", tr, why);
	tss = desc_base(descriptor);
	if (!core_write(vcpu, tss + TSS_ESP0, &regs->edx, 4) ||
	    !core_write(vcpu, tss + TSS_SS0, &regs->eax, 2))
		return core_fault(vcpu, regs, "TSS", tss, NOT_MAPPED);
	return DONE;
}

CALL(UpdateKernelStack, NEED2(get_tr, get_gdt))
{
	if (!OPS->kernel_stack)
		return stack_in_tss(vcpu, regs);
	if (__builtin_expect(OPS->kernel_stack(vcpu, regs->eax & 0xffff, regs->edx), 1))
		return DONE;
	return core_fault(vcpu, regs, "SS0", regs->eax, "is not allowed");
}

/* SS0 is the one that the TSS has. */
CALL(UpdateKernelStack_v13, NOTHING)
{
	u32 ss0 = 0;

	if (!core_write(vcpu, regs->eax + TSS_ESP0, &regs->edx, 4) ||
	    (OPS->kernel_stack && !core_read(vcpu, regs->eax + TSS_SS0, &ss0, 2)))
		return core_fault(vcpu, regs, "tss", regs->eax, NOT_MAPPED);
	if (OPS->kernel_stack && !OPS->kernel_stack(vcpu, ss0, regs->edx))
		return core_fault(vcpu, regs, "SS0", ss0, "is not allowed");
	return DONE;
}

/* ------------------------------------------------------------------------
 * Control and debug registers
 */

#define CR0_PE 0x1u
#define CR0_TS 0x8u
#define CR0_LMSW 0xfu
#define CR0_NW 0x20000000u
#define CR0_CD 0x40000000u
#define CR0_PG 0x80000000u
#define CR4_DE 0x8u
#define CR4_PCIDE 0x20000u

static bool cr0_valid(u32 value)
{
	return ((value & CR0_PE) || !(value & CR0_PG)) && ((value & CR0_CD) || !(value & CR0_NW));
}

static enum vmm_result set_cr(struct vmm_vcpu *vcpu, struct vmm_regs *regs, unsigned int n,
			      u32 value)
{
	if ((n == 0 && !cr0_valid(value)) || !OPS->set_cr(vcpu, n, value))
		return core_fault(vcpu, regs, "value", value, "is not allowed");
	core_drop_page(vcpu);
	(&vcpu->shared->cr0)[n - (n > 0)] = OPS->get_cr(vcpu, n);
	return DONE;
}
VMI_ASSERT(cr_copies,
	   VMI_OFFSET(struct vmi_shared, cr4) - VMI_OFFSET(struct vmi_shared, cr0) == 12);

#define CONTROL_REGISTER(n)                                                                        \
	CALL(SetCR##n, NEED2(set_cr, get_cr))                                                      \
	{                                                                                          \
		return set_cr(vcpu, regs, n, regs->eax);                                           \
	}                                                                                          \
	CALL(GetCR##n, NEED(get_cr))                                                               \
	{                                                                                          \
		regs->eax = OPS->get_cr(vcpu, n);                                                  \
		return DONE;                                                                       \
	}
CONTROL_REGISTER(0)
CONTROL_REGISTER(2)
CONTROL_REGISTER(3)
CONTROL_REGISTER(4)

/* PE is set, and never cleared. */
CALL(LMSW, NEED2(set_cr, get_cr))
{
	u32 cr0 = OPS->get_cr(vcpu, 0);

	return set_cr(vcpu, regs, 0, (cr0 & ~(CR0_LMSW & ~CR0_PE)) | (regs->eax & CR0_LMSW));
}

CALL(SMSW, NEED(get_cr))
{
	regs->eax = (regs->eax & 0xffff0000) | (OPS->get_cr(vcpu, 0) & 0xffff);
	return DONE;
}

CALL(CLTS, NEED2(set_cr, get_cr))
{
	return set_cr(vcpu, regs, 0, OPS->get_cr(vcpu, 0) & ~CR0_TS);
}

CALL(STTS, NEED2(set_cr, get_cr))
{
	return set_cr(vcpu, regs, 0, OPS->get_cr(vcpu, 0) | CR0_TS);
}

/* DR4 and DR5 are others' names, or undefined where CR4.DE: the guest's instruction faults. */
static bool dr_exists(struct vmm_vcpu *vcpu, u32 *n)
{
	if (*n != 4 && *n != 5)
		return true;
	*n += 2;
	return !(OPS->get_cr(vcpu, 4) & CR4_DE);
}

CALL(SetDR, NEED2(set_dr, get_cr))
{
	u32 n = regs->eax;

	if (n > 7)
		return DONE;
	if (!dr_exists(vcpu, &n) || !OPS->set_dr(vcpu, n, regs->edx))
		return core_refuse(vcpu, regs);
	return DONE;
}

CALL(GetDR, NEED2(get_dr, get_cr))
{
	u32 n = regs->eax;

	if (n <= 7 && !dr_exists(vcpu, &n))
		return core_refuse(vcpu, regs);
	regs->eax = n <= 7 ? OPS->get_dr(vcpu, n) : 0;
	return DONE;
}

/* Without writing back, INVD would lose the host's own data. */
CALL(WBINVD, NEED(wbinvd))
{
	(void)regs;
	OPS->wbinvd(vcpu);
	return DONE;
}
ALIAS(INVD, WBINVD)

/* ------------------------------------------------------------------------
 * Interrupts and flags
 */

/* True: a handler was entered. */
static bool interrupts(struct vmm_vcpu *vcpu, struct vmm_regs *regs, u32 on)
{
	const struct vmm *vm = vcpu->vm;

	__atomic_store_n(&vcpu->shared->interrupts, on & VMI_IF, __ATOMIC_SEQ_CST);
	if (!vm->virtual_flag)
		regs->eflags = (regs->eflags & ~(u32)VMI_IF) | (on & VMI_IF);
	else if (vm->features & VMI_HV_CPU_IF)
		regs->eflags |= on & VMI_IF;
	return (on & VMI_IF) && core_deliver(vcpu, regs);
}

static enum vmm_result set_interrupts(struct vmm_vcpu *vcpu, struct vmm_regs *regs, u32 on)
{
	interrupts(vcpu, regs, on);
	return DONE;
}

#define FLAG NEED2(pending, deliver)

CALL(EnableInterrupts, FLAG)
{
	return set_interrupts(vcpu, regs, VMI_IF);
}
ALIAS(DeliverInterrupts, EnableInterrupts)

CALL(DisableInterrupts, FLAG)
{
	return set_interrupts(vcpu, regs, 0);
}

CALL(GetInterruptMask, FLAG)
{
	regs->eax = vmm_interrupt_flag(vcpu, regs->eflags);
	return DONE;
}

CALL(SetInterruptMask, FLAG)
{
	return set_interrupts(vcpu, regs, regs->eax);
}

CALL(GetEFLAGS, FLAG)
{
	regs->eax = vmm_frame_flags(vcpu, regs->eflags);
	return DONE;
}

CALL(SaveAndDisableIRQs, FLAG)
{
	regs->eax = vmm_frame_flags(vcpu, regs->eflags);
	return set_interrupts(vcpu, regs, 0);
}

/*
 * All flags are the output, CF among them: the native stub has to set them. Where a
 * handler is entered now, that comes behind it.
 */
CALL(SetEFLAGS, FLAG)
{
	enum vmm_result result = core_refuse(vcpu, regs);

	set_interrupts(vcpu, regs, regs->eax);
	return result;
}

/* Their stubs set the flag in vmi_shared, and trap as VMI_HV_DELIVER. */
ROM(IRET, FLAG)
ROM(IRET_v13, FLAG)
ROM(IRET16, FLAG)
ROM(SYSEXIT, FLAG)
ROM(StiSysexit, FLAG)
ROM(SysRet, FLAG)

/* ------------------------------------------------------------------------
 * Sleep, reboot, other processors
 */

CALL(Pause, NOTHING)
{
	(void)vcpu;
	(void)regs;
	return DONE;
}
ALIAS(IODelay, Pause)

/* What comes between the question and the sleep is the VMM's to see. */
CALL(Halt, FLAG)
{
	regs->eflags |= VMI_IF;
	return interrupts(vcpu, regs, VMI_IF) ? DONE : VMM_HALTED;
}
ALIAS(SafeHalt, Halt)

CALL(Reboot, NEED(reboot))
{
	OPS->reboot(vcpu, regs->eax != VMI_REBOOT_SOFT);
	return VMM_STOPPED;
}

CALL(Shutdown, NEED(shutdown))
{
	(void)regs;
	core_alarm_reset(vcpu);
	OPS->shutdown(vcpu);
	return VMM_STOPPED;
}

#define EFER_SCE 0x1u
#define EFER_NXE 0x800u
#define EFLAGS_TF 0x100u
#define EFLAGS_VM 0x20000u
#define SELECTOR_RPL 3u
#define APIC_ID_LAST 254

/* As rom/start.c: what cannot be used is not kept, nor what was there before. */
static bool ap_usable(const struct vmi_ap_state *ap)
{
	const vmi_u16 *selectors = &ap->cs; /* SS DS ES FS GS LDTR */
	u32 i, s;

	if (!(ap->cr0 & CR0_PE) || !(ap->cr0 & CR0_PG) || !cr0_valid(ap->cr0) ||
	    (ap->cr4 & CR4_PCIDE) || (ap->efer_low & ~(EFER_SCE | EFER_NXE)) || ap->efer_high ||
	    (ap->eflags & (EFLAGS_TF | EFLAGS_VM)))
		return false;
	for (i = 0; i < 7; i++) {
		s = selectors[i];
		if (i < 2 && (s <= SELECTOR_RPL || (s & SELECTOR_RPL)))
			return false;
		if (s & SELECTOR_TI) {
			if (i == 6 || ap->ldtr <= SELECTOR_RPL)
				return false;
		} else if (s > SELECTOR_RPL && (s | 7) > ap->gdtr_limit) {
			return false;
		}
	}
	return true;
}

#define AP_STATE_BYTES ((u32)sizeof(struct vmi_ap_state))

/* 13.x passes a physical address. */
static bool read_ap_state(struct vmm_vcpu *vcpu, bool physical, u32 address,
			  struct vmi_ap_state *ap)
{
	u32 first = PAGE - (address & (PAGE - 1));
	const u8 *part;

	if (!physical)
		return core_read(vcpu, address, ap, AP_STATE_BYTES);
	if (first > AP_STATE_BYTES)
		first = AP_STATE_BYTES;
	if (address + AP_STATE_BYTES < address)
		return false;
	part = OPS->physical(vcpu, address);
	if (!part)
		return false;
	core_copy(ap, part, first);
	if (first == AP_STATE_BYTES)
		return true;
	part = OPS->physical(vcpu, address + first);
	if (!part)
		return false;
	core_copy((u8 *)ap + first, part, AP_STATE_BYTES - first);
	return true;
}

CALL(SetInitialAPState, NEED(set_ap_state))
{
	bool physical = vcpu->vm->revision == 13; /* once: another vCPU may attach */
	struct vmi_ap_state ap;
	bool known;

	if (regs->edx > APIC_ID_LAST)
		return DONE;
	if (physical && !OPS->physical)
		return core_refuse(vcpu, regs);
	known = read_ap_state(vcpu, physical, regs->eax, &ap);
	OPS->set_ap_state(vcpu, regs->edx, known && ap_usable(&ap) ? &ap : NULL);
	return known ? DONE : core_fault(vcpu, regs, "state", regs->eax, NOT_MAPPED);
}

/* ------------------------------------------------------------------------
 * Page tables
 */

#define NOT_ALIGNED "is not aligned"

static inline enum vmm_result written(struct vmm_vcpu *vcpu, u32 ptep, unsigned int bytes,
				      u32 flags)
{
	if (__builtin_expect(OPS->entry_written != NULL, 0))
		OPS->entry_written(vcpu, ptep, bytes, flags);
	return DONE;
}

static enum vmm_result bad_ptep(struct vmm_vcpu *vcpu, struct vmm_regs *regs, u32 ptep, u32 bytes)
{
	return core_fault(vcpu, regs, "ptep", ptep, ptep & (bytes - 1) ? NOT_ALIGNED : NOT_MAPPED);
}

static inline enum vmm_result set_entry(struct vmm_vcpu *vcpu, struct vmm_regs *regs, u32 ptep,
					u32 pte, u32 flags)
{
	u32 *entry = core_entry(vcpu, ptep, 4);

	if (__builtin_expect(!entry, 0))
		return bad_ptep(vcpu, regs, ptep, 4);
	__atomic_store_n(entry, pte, __ATOMIC_RELAXED);
	return written(vcpu, ptep, 4, flags);
}

CALL(SetPxE, NOTHING)
{
	return set_entry(vcpu, regs, regs->edx, regs->eax, regs->ecx);
}

CALL(SetPxE_v13, NOTHING)
{
	return set_entry(vcpu, regs, regs->eax, regs->edx, 0);
}

CALL(SetPte, NOTHING)
{
	return set_entry(vcpu, regs, regs->edx, regs->eax, 0);
}

static inline enum vmm_result set_long(struct vmm_vcpu *vcpu, struct vmm_regs *regs, u32 flags)
{
	u64 *entry = core_entry(vcpu, regs->ecx, 8), pte = long_of(regs->eax, regs->edx);

	if (__builtin_expect(!entry, 0))
		return bad_ptep(vcpu, regs, regs->ecx, 8);
	core_store_long(entry, pte);
	return written(vcpu, regs->ecx, 8, flags);
}

CALL(SetPxELong, NOTHING)
{
	return set_long(vcpu, regs, regs->esi);
}

CALL(SetPxELong_v13, NOTHING)
{
	return set_long(vcpu, regs, 0);
}
ALIAS(SetPteLong, SetPxELong_v13)

CALL(UpdatePxE, NEED(entry_written))
{
	if (!core_entry(vcpu, regs->eax, 4))
		return bad_ptep(vcpu, regs, regs->eax, 4);
	return written(vcpu, regs->eax, 4, regs->edx);
}

CALL(UpdatePxELong, NEED(entry_written))
{
	if (!core_entry(vcpu, regs->eax, 8))
		return bad_ptep(vcpu, regs, regs->eax, 8);
	return written(vcpu, regs->eax, 8, regs->edx);
}

/* In one load: another vCPU may write, and the processor sets A and D. */
CALL(GetPxE, NOTHING)
{
	const u32 *entry = NULL;

	if (!(regs->eax & 3))
		entry = OPS->page(vcpu, regs->eax, false);
	if (!entry)
		return bad_ptep(vcpu, regs, regs->eax, 4);
	regs->eax = __atomic_load_n(entry, __ATOMIC_RELAXED);
	return DONE;
}

CALL(GetPxELong, NOTHING)
{
	const u64 *entry = NULL;

	if (!(regs->eax & 7))
		entry = OPS->page(vcpu, regs->eax, false);
	if (!entry)
		return bad_ptep(vcpu, regs, regs->eax, 8);
#if __SIZEOF_POINTER__ == 8
	return done_long(regs, __atomic_load_n(entry, __ATOMIC_RELAXED));
#else
	{
		const volatile u32 *word = (const volatile u32 *)entry;
		u32 low = word[0], high = word[1], tries;

		for (tries = 1u << 16; tries && low != word[0]; tries--) {
			low = word[0];
			high = word[1];
		}
		return done_long(regs, long_of(low, high));
	}
#endif
}

static enum vmm_result swap(struct vmm_vcpu *vcpu, struct vmm_regs *regs, u32 ptep, u32 pte)
{
	u32 *entry = core_entry(vcpu, ptep, 4);

	if (!entry)
		return bad_ptep(vcpu, regs, ptep, 4);
	regs->eax = __atomic_exchange_n(entry, pte, __ATOMIC_SEQ_CST);
	return written(vcpu, ptep, 4, 0);
}

CALL(SwapPxE, NOTHING)
{
	return swap(vcpu, regs, regs->eax, regs->edx);
}

CALL(SwapPte, NOTHING)
{
	return swap(vcpu, regs, regs->edx, regs->eax);
}

static enum vmm_result swap_long(struct vmm_vcpu *vcpu, struct vmm_regs *regs, u32 ptep, u64 pte)
{
	u64 *entry = core_entry(vcpu, ptep, 8);

	if (!entry)
		return bad_ptep(vcpu, regs, ptep, 8);
	done_long(regs, core_exchange_long(entry, pte));
	return written(vcpu, ptep, 8, 0);
}

CALL(SwapPxELongAtomic, NOTHING)
{
	return swap_long(vcpu, regs, regs->ecx, long_of(regs->eax, regs->edx));
}

CALL(SwapPteLong, NOTHING)
{
	return swap_long(vcpu, regs, regs->edi, long_of(regs->ebx, regs->ecx));
}

CALL(DeactivatePxELongAtomic, NOTHING)
{
	return swap_long(vcpu, regs, regs->eax, 0);
}

/* A number that names no bit of the entry reads 0 and touches nothing. */
static enum vmm_result test_bit(struct vmm_vcpu *vcpu, struct vmm_regs *regs, u32 ptep, u32 bit,
				u32 bytes, bool set)
{
	u32 *entry, mask = 1u << (bit & 31), old;

	if (bit >= bytes * 8) {
		regs->eax = 0;
		return DONE;
	}
	entry = core_entry(vcpu, ptep, bytes);
	if (!entry)
		return bad_ptep(vcpu, regs, ptep, bytes);
	entry += bit >> 5;
	old = set ? __atomic_fetch_or(entry, mask, __ATOMIC_SEQ_CST)
		  : __atomic_fetch_and(entry, ~mask, __ATOMIC_SEQ_CST);
	regs->eax = (old & mask) != 0;
	return written(vcpu, ptep, bytes, 0);
}

/* The revisions pass pointer and bit in one order or the other. */
#define TEST_BIT(name, ptep, bit, bytes, set)                                                      \
	CALL(name, NOTHING)                                                                        \
	{                                                                                          \
		return test_bit(vcpu, regs, regs->ptep, regs->bit, bytes, set);                    \
	}
TEST_BIT(TestAndSetPxEBit, eax, edx, 4, true)
TEST_BIT(TestAndClearPxEBit, eax, edx, 4, false)
TEST_BIT(TestAndSetPxELongBit, eax, edx, 8, true)
TEST_BIT(TestAndClearPxELongBit, eax, edx, 8, false)
TEST_BIT(TestAndSetPteBit, edx, eax, 4, true)
TEST_BIT(TestAndClearPteBit, edx, eax, 4, false)
TEST_BIT(TestAndSetPteBitLong, edx, eax, 8, true)
TEST_BIT(TestAndClearPteBitLong, edx, eax, 8, false)

/* ------------------------------------------------------------------------
 * Memory
 */

/* The guest's addresses are its machine's: nothing changes. */
ALIAS(GetPteVal, Pause)
ALIAS(GetPdeVal, Pause)
ALIAS(MachineToPhysical, Pause)
ALIAS(PhysicalToMachine, Pause)
ALIAS(SetCallbacks, Pause)

/* Queues were flushed before the call. */
ALIAS(FlushDeferredCalls, Pause)

CALL(SetDeferredMode, NOTHING)
{
	vcpu->shared->defer = regs->eax & (VMI_DEFER_MMU | VMI_DEFER_CPU | VMI_DEFER_DT);
	return DONE;
}

CALL(SetLazyMode, NOTHING)
{
	vcpu->shared->defer = regs->eax & (VMI_LAZY_MMU | VMI_LAZY_CPU);
	return DONE;
}

#define PAGE_FLAGS_3 0x7fu /* VMI_PAGE_* */
#define PAGE_FLAGS_13 0x0fu
#define PAGE_FLAGS_6 0xffu
#define ENTRIES 1024 /* of the largest table */

/* A hint that makes no sense is none. */
static bool page_flags_known(const struct vmm *vm, u32 flags)
{
	u32 known = vm->revision == 13	? PAGE_FLAGS_13
		    : vm->revision == 6 ? PAGE_FLAGS_6
					: PAGE_FLAGS_3;

	return flags && !(flags & ~known);
}

CALL(AllocatePage, NEED(announce))
{
	if (!page_flags_known(vcpu->vm, regs->edx))
		return DONE;
	if ((regs->edx & VMI_PAGE_CLONE) &&
	    (regs->esi > ENTRIES || regs->edi > ENTRIES - regs->esi))
		return DONE;
	return announce(vcpu, regs, regs->edx, regs->ecx);
}

CALL(ReleasePage, NEED(announce))
{
	if (!page_flags_known(vcpu->vm, regs->edx))
		return DONE;
	return announce(vcpu, regs, regs->edx, 0);
}
ALIAS(RegisterPageUsage, ReleasePage)

/* No range goes beyond the last page. */
static u32 pages_within(u32 linear, u32 pages)
{
	u32 most = 0x100000 - (linear >> 12);

	return pages > most ? most : pages;
}

CALL(RegisterPageMapping, NEED(announce))
{
	return announce(vcpu, regs, regs->edx, pages_within(regs->eax, regs->ecx));
}

CALL(SetLinearMapping, NEED(announce))
{
	if (regs->eax >= VMI_LINEAR_MAP_SLOTS)
		return DONE;
	return announce(vcpu, regs, regs->edx, pages_within(regs->edx, regs->ecx));
}

CALL(ClonePageTable, NEED(announce))
{
	if ((regs->ecx >> 16) + (regs->ecx & 0xffff) > ENTRIES)
		return DONE;
	return announce(vcpu, regs, regs->edx, regs->ecx);
}
ALIAS(ClonePageDirectory, ClonePageTable)

CALL(InvalPage, NEED(invalidate))
{
	OPS->invalidate(vcpu, regs->eax);
	return DONE;
}

CALL(FlushTLB, NEED(flush_tlb))
{
	if (regs->eax & (VMI_FLUSH_TLB | VMI_FLUSH_GLOBAL))
		OPS->flush_tlb(vcpu, (regs->eax & VMI_FLUSH_GLOBAL) != 0);
	return DONE;
}

CALL(FlushTLB_v6, NEED(flush_tlb))
{
	(void)regs;
	OPS->flush_tlb(vcpu, false);
	return DONE;
}

CALL(FlushTLBAll, NEED(flush_tlb))
{
	(void)regs;
	OPS->flush_tlb(vcpu, true);
	return DONE;
}

/* ------------------------------------------------------------------------
 * Input and output
 */

#define STRING_MOST 1024 /* units at a time: interrupts come in between */

static enum vmm_result in(struct vmm_vcpu *vcpu, struct vmm_regs *regs, unsigned int bytes)
{
	u32 mask = bytes == 4 ? ~0u : (1u << bytes * 8) - 1;

	regs->eax = (regs->eax & ~mask) | (OPS->in(vcpu, regs->edx & 0xffff, bytes) & mask);
	return DONE;
}

static enum vmm_result out(struct vmm_vcpu *vcpu, struct vmm_regs *regs, unsigned int bytes)
{
	u32 mask = bytes == 4 ? ~0u : (1u << bytes * 8) - 1;

	OPS->out(vcpu, regs->edx & 0xffff, bytes, regs->eax & mask);
	return DONE;
}

/* Registers are right after each unit, as they are for the instruction. */
static enum vmm_result string(struct vmm_vcpu *vcpu, struct vmm_regs *regs, u32 *address,
			      unsigned int bytes, bool input)
{
	u32 step = regs->eflags & EFLAGS_DF ? 0u - bytes : bytes, port = regs->edx & 0xffff;
	u32 n, value = 0;

	for (n = 0; regs->ecx && n < STRING_MOST; n++) {
		/* What is not mapped must not take anything from the device. */
		if (!(input ? core_writable(vcpu, *address, bytes)
			    : core_read(vcpu, *address, &value, bytes)))
			return core_fault(vcpu, regs, "address", *address, NOT_MAPPED);
		if (input) {
			value = OPS->in(vcpu, port, bytes);
			core_write(vcpu, *address, &value, bytes);
		} else {
			OPS->out(vcpu, port, bytes, value);
		}
		*address += step;
		regs->ecx--;
	}
	return regs->ecx ? VMM_AGAIN : DONE;
}

#define PORT(suffix, bytes)                                                                        \
	CALL(IN##suffix, NEED(in))                                                                 \
	{                                                                                          \
		return in(vcpu, regs, bytes);                                                      \
	}                                                                                          \
	CALL(OUT##suffix, NEED(out))                                                               \
	{                                                                                          \
		return out(vcpu, regs, bytes);                                                     \
	}
PORT(, 4)
PORT(B, 1)
PORT(W, 2)

#define PORT_STRING(suffix, bytes)                                                                 \
	CALL(INS##suffix, NEED(in))                                                                \
	{                                                                                          \
		return string(vcpu, regs, &regs->edi, bytes, true);                                \
	}                                                                                          \
	CALL(OUTS##suffix, NEED(out))                                                              \
	{                                                                                          \
		return string(vcpu, regs, &regs->esi, bytes, false);                               \
	}
PORT_STRING(, 4)
PORT_STRING(B, 1)
PORT_STRING(W, 2)

CALL(SetIOPLMask, NOTHING)
{
	(void)vcpu;
	regs->eflags = (regs->eflags & ~EFLAGS_IOPL) | (regs->eax & EFLAGS_IOPL);
	return DONE;
}

CALL(GetIOPLMask, NOTHING)
{
	(void)vcpu;
	regs->eax = regs->eflags & EFLAGS_IOPL;
	return DONE;
}

CALL(UpdateIOBitmap, NEED(announce))
{
	return announce(vcpu, regs, 0, 0);
}
ALIAS(UpdateInterruptBitmap, UpdateIOBitmap)

/* ------------------------------------------------------------------------
 * Local APIC
 */

#define APIC_OFFSETS 0x3f0u

CALL(APICWrite, NEED2(apic_read, apic_write))
{
	if (!(regs->eax & ~APIC_OFFSETS))
		OPS->apic_write(vcpu, regs->eax, regs->edx);
	return DONE;
}

CALL(APICRead, NEED2(apic_read, apic_write))
{
	regs->eax = regs->eax & ~APIC_OFFSETS ? 0 : OPS->apic_read(vcpu, regs->eax);
	return DONE;
}

/* A linear address: what is elsewhere than the registers is left to the guest's own store. */
CALL(APICWrite_v13, NEED2(apic_read, apic_write))
{
	if (regs->eax & (PAGE - 1) & ~APIC_OFFSETS)
		return core_refuse(vcpu, regs);
	OPS->apic_write(vcpu, regs->eax & APIC_OFFSETS, regs->edx);
	return DONE;
}

CALL(APICRead_v13, NEED2(apic_read, apic_write))
{
	if (regs->eax & (PAGE - 1) & ~APIC_OFFSETS)
		return core_refuse(vcpu, regs);
	regs->eax = OPS->apic_read(vcpu, regs->eax & APIC_OFFSETS);
	return DONE;
}

/* ------------------------------------------------------------------------
 * Time: cycles are nanoseconds
 */

#define TIME NEED2(clock, set_timer)

CALL(GetCycleFrequency, TIME)
{
	(void)vcpu;
	return done_long(regs, VMI_WALLCLOCK_HZ);
}

CALL(GetCycleCounter, TIME)
{
	u64 value = 0;

	if (regs->eax <= VMI_CYCLES_AVAILABLE)
		value = OPS->clock(vcpu, VMM_CLOCK_REAL);
	if (regs->eax == VMI_CYCLES_STOLEN)
		value = OPS->clock(vcpu, VMM_CLOCK_STOLEN);
	if (regs->eax == VMI_CYCLES_AVAILABLE)
		value -= OPS->clock(vcpu, VMM_CLOCK_STOLEN);
	return done_long(regs, value);
}

CALL(SetAlarm, TIME)
{
	core_alarm_set(vcpu, regs->eax, long_of(regs->edx, regs->ecx),
		       long_of(regs->esi, regs->edi));
	return DONE;
}

CALL(CancelAlarm, TIME)
{
	regs->eax = core_alarm_cancel(vcpu, regs->eax);
	return DONE;
}

CALL(GetWallclockTime, TIME)
{
	return done_long(regs, OPS->clock(vcpu, VMM_CLOCK_WALL));
}

CALL(WallclockUpdated, TIME)
{
	struct vmm *vm = vcpu->vm;
	u32 version = __atomic_load_n(&vm->wall_version, __ATOMIC_RELAXED);

	regs->eax = __atomic_exchange_n(&vm->wall_seen, version, __ATOMIC_RELAXED) != version;
	return DONE;
}

/* ------------------------------------------------------------------------
 * The table
 */

vmm_handler *const vmm_handlers[VMI_CALL_COUNT] = {
#define VMI_X(name, n3, n13, n6, type, args, in, out, clobber, conv, seg, defer, text) call_##name,
	/* clang-format off */
	VMI_CALLS(VMI_X)
#undef VMI_X
	/* clang-format on */
};

const u32 vmm_needs[VMI_CALL_COUNT] = {
#define VMI_X(name, n3, n13, n6, type, args, in, out, clobber, conv, seg, defer, text)             \
	(u32) needs_##name,
	/* clang-format off */
	VMI_CALLS(VMI_X)
#undef VMI_X
	/* clang-format on */
};
