/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What each call costs by each binding. Under -icount shift=0 the TSC counts instructions,
 * those of a VMM too; stepping with TF counts those of the guest. bench/run makes tables of
 * the lines:
 *
 *	bench: CALL BINDING INSTRUCTIONS NOPS TRAPS ALL FORM
 *	batch: CALL:WRITES BINDING INSTRUCTIONS NOPS TRAPS ALL FORM
 *
 * all of them without what surrounds the call; "-" was not counted. call=NAME: that one only.
 */
#include "guest.h"

/*
 * X(row, EAX, EDX, ECX, EBX, ESI, code): with what a call is made, where not all is 0, and the
 * shortest code of a guest without VMI to the same effect, for the processor at hand and with
 * the result in any register. S1 is in EBX, S2 in ESI: what a call wants on the stack is pushed.
 */
/* clang-format off */
#define RELOAD \
	"mov $0x10, %ecx; mov %ecx, %ds; mov %ecx, %es; mov %ecx, %ss;" \
	"xor %ecx, %ecx; mov %ecx, %fs; mov %ecx, %gs; ljmp $0x08, $1f; 1:"
#define BARE_CALLS(X) \
	X(CPUID, 1, 0, 0, 0, 0, "cpuid") \
	X(WRMSR, 8, 0, MSR_SYSENTER_CS, 0, 0, "wrmsr") \
	X(RDMSR, 0, 0, MSR_SYSENTER_CS, 0, 0, "rdmsr") \
	X(RDTSC, 0, 0, 0, 0, 0, "rdtsc") \
	X(SetGDT, (u32)&gdtr, 0, 0, 0, 0, \
	  "lgdt (%eax);" RELOAD) \
	X(SetLDT, SEL_LDT, 0, 0, 0, 0, "lldt %ax;" RELOAD) \
	X(SetIDT, (u32)&idtr, 0, 0, 0, 0, "lidt (%eax)") \
	X(SetTR, SEL_TSS, 0, 0, 0, 0, "ltr %ax") \
	X(GetGDT, (u32)entries, 0, 0, 0, 0, "sgdt (%eax)") \
	X(GetLDT, 0, 0, 0, 0, 0, "sldt %eax") \
	X(GetIDT, (u32)entries, 0, 0, 0, 0, "sidt (%eax)") \
	X(GetTR, 0, 0, 0, 0, 0, "str %eax") \
	X(WriteGDTEntry, (u32)gdt, 20, 0xffff, 0xcf9300, 0, \
	  "mov %ecx, (%eax,%edx,8); mov %ebx, 4(%eax,%edx,8)") \
	X(WriteLDTEntry, (u32)ldt, 4, 0xffff, 0xcf9300, 0, \
	  "mov %ecx, (%eax,%edx,8); mov %ebx, 4(%eax,%edx,8)") \
	X(WriteIDTEntry, (u32)idt, 200, 0, 0, 0, \
	  "mov %ecx, (%eax,%edx,8); mov %ebx, 4(%eax,%edx,8)") \
	X(UpdateKernelStack, SEL_DATA, tss[1], 0, 0, 0, "mov %edx, tss + 4; mov %ax, tss + 8") \
	X(UpdateKernelStack_v13, (u32)tss, tss[1], 0, 0, 0, "mov %edx, 4(%eax)") \
	X(SetCR0, cr0(), 0, 0, 0, 0, "mov %eax, %cr0") \
	X(SetCR2, 0, 0, 0, 0, 0, "mov %eax, %cr2") \
	X(SetCR3, cr3(), 0, 0, 0, 0, "mov %eax, %cr3") \
	X(SetCR4, cr4(), 0, 0, 0, 0, "mov %eax, %cr4") \
	X(GetCR0, 0, 0, 0, 0, 0, "mov %cr0, %eax") \
	X(GetCR2, 0, 0, 0, 0, 0, "mov %cr2, %eax") \
	X(GetCR3, 0, 0, 0, 0, 0, "mov %cr3, %eax") \
	X(GetCR4, 0, 0, 0, 0, 0, "mov %cr4, %eax") \
	X(LMSW, cr0() & 0xffff, 0, 0, 0, 0, "lmsw %ax") \
	X(SMSW, 0, 0, 0, 0, 0, "smsw %ax") \
	X(CLTS, 0, 0, 0, 0, 0, "clts") \
	X(STTS, 0, 0, 0, 0, 0, "mov %cr0, %eax; or $8, %al; mov %eax, %cr0") \
	X(SetDR, 0, 0, 0, 0, 0, "mov %edx, %db0") \
	X(GetDR, 0, 0, 0, 0, 0, "mov %db0, %eax") \
	X(INVD, 0, 0, 0, 0, 0, "invd") \
	X(WBINVD, 0, 0, 0, 0, 0, "wbinvd") \
	X(EnableInterrupts, 0, 0, 0, 0, 0, "sti") \
	X(DisableInterrupts, 0, 0, 0, 0, 0, "cli") \
	X(GetInterruptMask, 0, 0, 0, 0, 0, "pushf; pop %eax; and $0x200, %eax") \
	X(SetInterruptMask, VMI_IF | v.in.eflags, 0, 0, 0, 0, "push %eax; popf") \
	X(SaveAndDisableIRQs, 0, 0, 0, 0, 0, "pushf; pop %eax; cli") \
	X(SetEFLAGS, v.in.eflags, 0, 0, 0, 0, "push %eax; popf") \
	X(GetEFLAGS, 0, 0, 0, 0, 0, "pushf; pop %eax") \
	X(DeliverInterrupts, 0, 0, 0, 0, 0, "sti") \
	X(IRET, 0, 0, 0, 0, 0, "iret") \
	X(IRET_v13, 0, 0, 0, 0, 0, "iret") \
	X(IRET16, 0, 0, 0, 0, 0, "iretw") \
	X(SYSEXIT, 0, (u32)user, (u32)user + 0x800, 0, 0, "sti; sysexit") \
	X(StiSysexit, 0, (u32)user, (u32)user + 0x800, 0, 0, "sti; sysexit") \
	X(Pause, 0, 0, 0, 0, 0, "pause") \
	X(Halt, 0, 0, 0, 0, 0, "sti; hlt") \
	X(SafeHalt, 0, 0, 0, 0, 0, "sti; hlt") \
	X(SetPxE, 0, (u32)entries, VMI_PAGE_PT, 0, 0, "mov %eax, (%edx)") \
	X(SetPxE_v13, (u32)entries, 0, VMI_PAGE_PT, 0, 0, "mov %edx, (%eax)") \
	X(SetPte, 0, (u32)entries, VMI_PAGE_PT, 0, 0, "mov %eax, (%edx)") \
	X(SetPxELong, 0, 0, (u32)entries, VMI_PAGE_PT, 0, \
	  "movl $0, (%ecx); mov %edx, 4(%ecx); mov %eax, (%ecx)") \
	X(SetPxELong_v13, 0, 0, (u32)entries, 0, 0, \
	  "movl $0, (%ecx); mov %edx, 4(%ecx); mov %eax, (%ecx)") \
	X(SetPteLong, 0, 0, (u32)entries, 0, 0, \
	  "movl $0, (%ecx); mov %edx, 4(%ecx); mov %eax, (%ecx)") \
	X(UpdatePxE, (u32)entries, VMI_PAGE_PT, 0, 0, 0, "") \
	X(UpdatePxELong, (u32)entries, VMI_PAGE_PT, 0, 0, 0, "") \
	X(GetPxE, (u32)entries, 0, 0, 0, 0, "mov (%eax), %eax") \
	X(GetPteVal, 0, 0, 0, 0, 0, "") \
	X(GetPdeVal, 0, 0, 0, 0, 0, "") \
	X(GetPxELong, (u32)entries, 0, 0, 0, 0, "mov 4(%eax), %edx; mov (%eax), %eax") \
	X(SwapPxE, (u32)entries, 0, 0, 0, 0, "xchg %edx, (%eax)") \
	X(SwapPte, 0, (u32)entries, 0, 0, 0, "xchg %eax, (%edx)") \
	X(SwapPxELongAtomic, 0, 0, (u32)entries, 0, 0, \
	  "mov %eax, %ebx; mov %ecx, %edi; mov %edx, %ecx; mov (%edi), %eax; mov 4(%edi), %edx;" \
	  "1: lock cmpxchg8b (%edi); jnz 1b") \
	X(SwapPteLong, 0, 0, 0, 0, 0, \
	  "mov (%edi), %eax; mov 4(%edi), %edx; 1: lock cmpxchg8b (%edi); jnz 1b") \
	X(DeactivatePxELongAtomic, (u32)entries, 0, 0, 0, 0, \
	  "xor %ecx, %ecx; xchg %ecx, (%eax); mov 4(%eax), %edx; movl $0, 4(%eax)") \
	X(TestAndSetPxEBit, (u32)entries, 6, 0, 0, 0, "lock btsl %edx, (%eax); sbb %eax, %eax") \
	X(TestAndSetPteBit, 6, (u32)entries, 0, 0, 0, "lock btsl %eax, (%edx); sbb %eax, %eax") \
	X(TestAndClearPxEBit, (u32)entries, 6, 0, 0, 0, "lock btrl %edx, (%eax); sbb %eax, %eax") \
	X(TestAndClearPteBit, 6, (u32)entries, 0, 0, 0, "lock btrl %eax, (%edx); sbb %eax, %eax") \
	X(TestAndSetPxELongBit, (u32)entries, 6, 0, 0, 0, \
	  "lock btsl %edx, (%eax); sbb %eax, %eax") \
	X(TestAndSetPteBitLong, 6, (u32)entries, 0, 0, 0, \
	  "lock btsl %eax, (%edx); sbb %eax, %eax") \
	X(TestAndClearPxELongBit, (u32)entries, 6, 0, 0, 0, \
	  "lock btrl %edx, (%eax); sbb %eax, %eax") \
	X(TestAndClearPteBitLong, 6, (u32)entries, 0, 0, 0, \
	  "lock btrl %eax, (%edx); sbb %eax, %eax") \
	X(MachineToPhysical, 0, 0, 0, 0, 0, "") \
	X(PhysicalToMachine, 0, 0, 0, 0, 0, "") \
	X(AllocatePage, to_phys(entries) >> 12, VMI_PAGE_PT, 0, 0, 0, "") \
	X(ReleasePage, to_phys(entries) >> 12, VMI_PAGE_PT, 0, 0, 0, "") \
	X(RegisterPageUsage, to_phys(entries) >> 12, VMI_PAGE_PT, 0, 0, 0, "") \
	X(InvalPage, (u32)entries, 0, 0, 0, 0, "invlpg (%eax)") \
	X(FlushTLB, VMI_FLUSH_TLB, 0, 0, 0, 0, "mov %cr3, %eax; mov %eax, %cr3") \
	X(FlushTLB_v6, 0, 0, 0, 0, 0, "mov %cr3, %eax; mov %eax, %cr3") \
	X(FlushTLBAll, 0, 0, 0, 0, 0, \
	  "mov %cr4, %eax; mov %eax, %edx; and $0x7f, %dl; mov %edx, %cr4; mov %eax, %cr4") \
	X(IN, 0, PORT_POST, 0, 0, 0, "in %dx, %eax") \
	X(INB, 0, PORT_POST, 0, 0, 0, "in %dx, %al") \
	X(INW, 0, PORT_POST, 0, 0, 0, "in %dx, %ax") \
	X(INS, 0, PORT_POST, 1, 0, 0, "rep insl") \
	X(INSB, 0, PORT_POST, 1, 0, 0, "rep insb") \
	X(INSW, 0, PORT_POST, 1, 0, 0, "rep insw") \
	X(OUT, 0, PORT_POST, 0, 0, 0, "out %eax, %dx") \
	X(OUTB, 0, PORT_POST, 0, 0, 0, "out %al, %dx") \
	X(OUTW, 0, PORT_POST, 0, 0, 0, "out %ax, %dx") \
	X(OUTS, 0, PORT_POST, 1, 0, (u32)entries, "rep outsl") \
	X(OUTSB, 0, PORT_POST, 1, 0, (u32)entries, "rep outsb") \
	X(OUTSW, 0, PORT_POST, 1, 0, (u32)entries, "rep outsw") \
	X(SetIOPLMask, 0, 0, 0, 0, 0, \
	  "pushf; pop %edx; and $~0x3000, %edx; or %eax, %edx; push %edx; popf") \
	X(GetIOPLMask, 0, 0, 0, 0, 0, "pushf; pop %eax; and $0x3000, %eax") \
	X(IODelay, 0, 0, 0, 0, 0, "out %al, $0x80") \
	X(APICWrite, APIC_TPR, 0, 0, 0, 0, "mov %edx, 0xfee00000(%eax)") \
	X(APICWrite_v13, APIC_BASE + APIC_TPR, 0, 0, 0, 0, "mov %edx, (%eax)") \
	X(APICRead, APIC_TPR, 0, 0, 0, 0, "mov 0xfee00000(%eax), %eax") \
	X(APICRead_v13, APIC_BASE + APIC_TPR, 0, 0, 0, 0, "mov (%eax), %eax") \
	X(GetCycleCounter, VMI_CYCLES_REAL, 0, 0, 0, 0, "rdtsc") \
	X(SetAlarm, VMI_CYCLES_REAL, 0, 0x10000000, 0, 0, "") \
	X(SetInitialAPState, (u32)&ap_state, 7, 0, 0, 0, "")

/* What is not measured, and why. */
#define NOT_MEASURED(X) \
	X(Init, "once a boot") \
	X(PatchSites, "not at a call site") \
	X(Reboot, "does not return") \
	X(Shutdown, "does not return") \
	X(RDPMC, "QEMU's TCG has no RDPMC") \
	X(SysRet, "no SYSRET in 32-bit mode")
/* clang-format on */

#define MSR_SYSENTER_CS 0x174
#define PORT_POST 0x80
#define APIC_BASE 0xfee00000
#define APIC_TPR 0x80
#define SEL_16BIT SEL_SPARE
#define RET 0xc3
#define MOV_EAX 0xb8
#define MOV_ECX 0xb9
#define MOV_EBX 0xbb
#define MOV_ESI 0xbe
#define MOV_EDI 0xbf

#define X(name, a, d, c, s1, s2, code)                                                             \
	extern u8 bare_##name[], bare_##name##_end[];                                              \
	__asm__(".text\n"                                                                          \
		"bare_" #name ": " code "\n"                                                       \
		"bare_" #name "_end: ret");
BARE_CALLS(X)
#undef X

static const struct {
	const u8 *code, *end;
} bare[VMI_CALL_COUNT] = {
#define X(name, a, d, c, s1, s2, text) [VMI_ID_##name] = { bare_##name, bare_##name##_end },
	BARE_CALLS(X)
#undef X
};

static const char *const not_measured[VMI_CALL_COUNT] = {
#define X(name, why) [VMI_ID_##name] = why,
	NOT_MEASURED(X)
#undef X
};

static const struct {
	u16 in;
	u8 convention;
} calls[VMI_CALL_COUNT] = {
#define VMI_X(name, n3, n13, n6, type, args, in, out, clobber, conv, seg, defer, text) { in, conv },
	VMI_CALLS(VMI_X)
#undef VMI_X
};

#define BATCH 1024

static struct rom rom;
static struct invoke v;
static u32 entries[2 * BATCH] __attribute__((aligned(4096)));
static struct dtr gdtr, idtr;
static u8 *user; /* INT 80h */
static struct vmi_ap_state ap_state = { .cr0 = 0x80000011, .cs = SEL_CODE, .ss = SEL_DATA };

/* ------------------------------------------------------------------------
 * One measurement
 */

#define NONE (~0u)
#define TIMES 4 /* the first ones fill a VMM's caches; of the others the least */

struct cost {
	u32 guest, nops, traps, all;
};

static struct cost stepped;
static const u8 *inside, *inside_end; /* of this code NOPs are counted, and: */
static u32 inside_steps;

static bool nop(const u8 *p)
{
	while (*p == 0x66)
		p++;
	return *p == 0x90 || same(p, "\x0f\x1f", 2);
}

/*
 * EIP is of the next instruction. No step comes between STI, MOV to SS or (TCG's) PAUSE and
 * the one behind it.
 */
static void step(const struct trap *trap)
{
	const u8 *eip = at(trap->eip);
	const u8 *shadow = NULL;

	if (trap->cs != SEL_CODE)
		return;
	if (eip[0] == 0xfb && !(trap->eflags & EFLAGS_IF))
		shadow = eip + 1;
	else if ((eip[0] == 0x8e && (eip[1] & 0x38) == 0x10) || (eip[0] == 0xf3 && eip[1] == 0x90))
		shadow = eip + 2;
	stepped.guest += !!shadow;
	if (eip < inside || eip >= inside_end)
		return;
	inside_steps += 1 + !!shadow;
	stepped.nops += shadow && shadow < inside_end && nop(shadow);
	stepped.nops += nop(eip);
}

static void arguments(enum vmi_call call, u32 flags)
{
	u32 back = (u32)invoke_landing;
	static u8 far[7] = { 0xea, 0, 0, 0, 0, SEL_CODE, 0 };

	v.in = (struct cpu_state){ .eflags = flags, .ds = SEL_DATA, .es = SEL_DATA };
	v.in.edi = (u32)entries; /* for REP INS and SwapPteLong */
	v.word[0] = back;
	v.word[1] = SEL_CODE;
	v.word[2] = EFLAGS_1; /* that is as far as steps go */
	switch (call) {
#define X(name, a, d, c, s1, s2, code)                                                             \
	case VMI_ID_##name:                                                                        \
		v.in.eax = (a);                                                                    \
		v.in.edx = (d);                                                                    \
		v.in.ecx = (c);                                                                    \
		v.in.ebx = (s1);                                                                   \
		v.in.esi = (s2);                                                                   \
		break;
		BARE_CALLS(X)
#undef X
	default:
		break;
	}
	gdt[SEL_TSS / 8] &= ~((u64)2 << 40); /* LTR wants it free */
	if (call == VMI_ID_IRET16) {
		memcpy(far + 1, &back, sizeof(back));
		gdt[SEL_16BIT / 8] = descriptor((u32)far, 0xfffff, 0xc09b);
		v.word[0] = SEL_16BIT << 16;
		v.word[1] = EFLAGS_1;
	}
}

static bool returns(enum vmi_call call)
{
	return calls[call].convention == VMI_CONV_C || calls[call].convention == VMI_CONV_REGS;
}

/* Between STI and HLT there is no step. */
static bool sleeps(enum vmi_call call)
{
	return call == VMI_ID_Halt || call == VMI_ID_SafeHalt;
}

/* The ROM's way to the local APIC has a GDT and an IDT of its own, and takes steps there. */
static bool steps_elsewhere(enum vmi_call call)
{
	return call == VMI_ID_APICWrite || call == VMI_ID_APICRead || call == VMI_ID_SetAlarm;
}

static void least(u32 *value, u32 measured)
{
	if (measured < *value)
		*value = measured;
}

/* From entry on, with what surrounds it; of the code up to end NOPs are counted. */
static struct cost measure(enum vmi_call call, const u8 *entry, const u8 *end)
{
	struct cost cost = { NONE, NONE, NONE, NONE };
	const u8 *p;
	u32 i;
	u64 start;

	v.target = (u32)entry;
	v.jump = !returns(call);
	inside = entry;
	inside_end = end;
	for (i = 0; i < TIMES; i++) {
		arguments(call, EFLAGS_1);
		if (sleeps(call))
			irq0_pend();
		start = rdtsc();
		invoke(&v);
		if (i)
			least(&cost.all, (u32)(rdtsc() - start));
		irq_mask_all();
		if (sleeps(call)) {
			for (p = entry; p < end && !nop(p); p++)
				;
			cost.nops = p < end; /* behind HLT there is one at most */
			continue;
		}
		arguments(call, EFLAGS_1 | EFLAGS_TF);
		stepped.guest = stepped.nops = inside_steps = 0;
		invoke(&v);
		if (!i)
			continue;
		least(&cost.guest, invoke_steps + stepped.guest);
		least(&cost.nops, stepped.nops);
		least(&cost.traps, invoke_traps);
	}
	return cost;
}

/* What surrounds the call, and the instructions of the bare code. */
static struct cost surroundings(enum vmi_call call, u32 *instructions)
{
	static const u8 ret = RET;
	struct cost nothing, cost;

	if (returns(call) && !sleeps(call)) {
		nothing = measure(call, &ret, &ret);
		*instructions = NONE;
		if (bare[call].code == bare[call].end)
			return nothing;
		cost = measure(call, bare[call].code, bare[call].end);
		*instructions = cost.guest - nothing.guest;
		return nothing;
	}
	/* Without a call it would not come back: the bare code, but for itself. */
	cost = measure(call, bare[call].code, bare[call].end);
	*instructions = sleeps(call) ? 2 : inside_steps;
	cost.guest -= *instructions;
	cost.all -= *instructions;
	return cost;
}

/* ------------------------------------------------------------------------
 * Call sites
 */

static u8 code[256];
static u32 table[VMI_CALL_COUNT]; /* for indirect calls */

static u8 *emit(u8 *p, const char *bytes, u32 n)
{
	memcpy(p, bytes, n);
	return p + n;
}

static u8 *emit_word(u8 *p, u8 opcode, u32 word)
{
	*p = opcode;
	memcpy(p + 1, &word, sizeof(word));
	return p + 5;
}

static bool jumps(enum vmi_call call)
{
	return calls[call].convention == VMI_CONV_JUMP;
}

static u32 stack_words(enum vmi_call call)
{
	if (calls[call].convention != VMI_CONV_C)
		return 0;
	return !!(calls[call].in & VMI_S1) + !!(calls[call].in & VMI_S2);
}

/* As a guest does that patches itself: push ESI, EBX; CALL or JMP; drop them. */
static u8 *by_hand(u8 *p, enum vmi_call call, bool indirect)
{
	u32 words = stack_words(call);

	if (words > 1)
		p = emit(p, "\x56", 1);
	if (words > 0)
		p = emit(p, "\x53", 1);
	if (indirect) {
		*p++ = 0xff;
		p = emit_word(p, jumps(call) ? 0x25 : 0x15, (u32)&table[call]);
	} else {
		p = emit_word(p, jumps(call) ? 0xe9 : 0xe8, table[call] - (u32)(p + 5));
	}
	if (words)
		p = emit(p, words > 1 ? "\x8d\x64\x24\x08" : "\x8d\x64\x24\x04", 4);
	return p;
}

#define SITE_MOST 90

/* The bare code is for one value of what is in EAX: a site has it as a constant. */
static bool takes_constant(enum vmi_call call)
{
	return call == VMI_ID_FlushTLB || call == VMI_ID_GetCycleCounter;
}

/* What by_hand() does has its arguments in the same registers. */
static struct vmi_site site_of(enum vmi_call call, u16 live)
{
	struct vmi_site site = { .call = (u8)call, .live = live };

	if (takes_constant(call)) {
		arguments(call, 0);
		site.argument[0] = VMI_FROM_CONSTANT;
		site.constant[0] = v.in.eax;
	}
	if (stack_words(call) > 0)
		site.argument[3] = VMI_FROM_EBX;
	if (stack_words(call) > 1)
		site.argument[4] = VMI_FROM_ESI;
	return site;
}

/*
 * By the ROM, so many bytes at p: the form, or VMI_FORMS where they are too few, or the call has
 * no result there.
 */
static u32 patch_site(u8 *p, u8 size, struct vmi_site site)
{
	vmi_PatchSites_fn *patch_sites = (void *)table[VMI_ID_PatchSites];
	static u8 kept[1 + SITE_MOST];
	struct vmi_patch patch = {
		.records = (u32)&site,
		.count = 1,
		.number = 1,
		.form = VMI_PATCH_BEST,
		.text = (u32)code,
		.text_size = sizeof(code),
		.kept = (u32)kept,
	};
	u32 form, result;

	site.address = (u32)p;
	site.size = size;
	memset(kept, 0, sizeof(kept));
	memset(p, 0xcc, size);
	result = patch_sites(&patch);
	if (result == VMI_PATCH_SHORT || (result == VMI_PATCH_ARGUMENT && site.result))
		return VMI_FORMS;
	if (result)
		bail("%s: PatchSites returns %u", call_name[site.call], result);
	for (form = 0; !patch.forms[form]; form++)
		;
	return form;
}

/* The smallest site with the best form that the ROM has for it; NULL: there is none. */
static u8 *by_rom(u8 *p, const struct vmi_site *site, u32 *form)
{
	u8 size, best = 0;

	for (size = 1; size <= SITE_MOST; size++) {
		*form = patch_site(p, size, *site);
		if (*form == VMI_FORM_INLINE || *form == VMI_FORM_NOPS)
			return p + size;
		if (*form != VMI_FORMS && !best)
			best = size;
	}
	if (!best)
		return NULL;
	*form = patch_site(p, best, *site);
	return p + best;
}

static u32 entry_of(enum vmi_call call)
{
	u32 number = rom_number(&rom, call), type, entry;

	if (number != VMI_NO) {
		entry = rom_entry(&rom, number, &type);
		if (type == VMI_RELOC_CALL || type == VMI_RELOC_JUMP)
			return entry;
	}
	return rom_call(&rom, call);
}

enum binding { BY_NOTHING, BY_BARE_CODE, BY_DIRECT_CALL, BY_INDIRECT_CALL, BY_ROM, BINDINGS };

static u8 *place(u8 *p, const struct vmi_site *site, enum binding binding, u32 *form)
{
	enum vmi_call call = site->call;
	u32 size = (u32)(bare[call].end - bare[call].code);

	switch (binding) {
	case BY_BARE_CODE:
		return emit(p, (const char *)bare[call].code, size);
	case BY_DIRECT_CALL:
	case BY_INDIRECT_CALL:
		return by_hand(p, call, binding == BY_INDIRECT_CALL);
	case BY_ROM:
		return by_rom(p, site, form);
	default:
		return p;
	}
}

/* ------------------------------------------------------------------------
 * The tables
 */

static void number(u32 value, bool counted)
{
	if (counted)
		print(" %u", value);
	else
		print(" -");
}

/* Of a call, or of so many writes in a batch. */
static void line(enum vmi_call call, u32 writes, enum binding binding, u32 form,
		 const struct cost *cost, const struct cost *around)
{
	static const char *const bindings[] = { "nothing", "bare", "direct", "indirect", "site" };
	static const char *const forms[] = { "original", "nops", "inline", "call", "jump" };
	bool counted = cost->guest != NONE;

	if (writes)
		print("batch: %s:%u %s", call_name[call], writes, bindings[binding]);
	else
		print("bench: %s %s", call_name[call], bindings[binding]);
	number(cost->guest - around->guest, counted);
	number(cost->nops, true);
	number(cost->traps, counted);
	number(cost->all - around->all, true);
	print(" %s\n", binding == BY_ROM ? forms[form] : "-");
	if (counted && !option("svm") && !steps_elsewhere(call))
		equal(cost->all - around->all, cost->guest - around->guest,
		      "instructions by the TSC, and by stepping");
}

static void bench_call(enum vmi_call call)
{
	struct cost around, cost;
	u32 instructions, form, best_form = 0;
	enum binding binding;
	const char *why = not_measured[call];

	if (sleeps(call) && option("svm"))
		why = "HLT itself is the VMM's";
	if (why) {
		print("bench: %s not measured: %s\n", call_name[call], why);
		return;
	}
	around = surroundings(call, &instructions);
	print("bench: %s bare", call_name[call]);
	number(instructions, instructions != NONE);
	print("\n");
	for (binding = BY_DIRECT_CALL; binding < BINDINGS; binding++) {
		struct cost best = { NONE, 0, NONE, NONE };
		struct vmi_site site = site_of(call, 0);

		if (binding == BY_ROM && VMI_IS_OWN_CALL(call))
			continue;
		/* Where the result is wanted: in the register where it costs least. */
		for (; site.result <= (binding == BY_ROM ? VMI_FROM_EDI : 0); site.result++) {
			u8 *end = place(code, &site, binding, &form);

			if (!end)
				continue;
			*end = RET;
			cost = measure(call, code, end);
			if (cost.all - cost.nops < best.all - best.nops) {
				best = cost;
				best_form = form;
			}
		}
		line(call, 0, binding, best_form, &best, &around);
	}
	point("%s", call_name[call]);
}

/*
 * So many writes in lazy mode, and what the loop costs taken off; of entries that are not present.
 * SetPxELong has its flags in EBX, at a site as a constant.
 */
static void bench_batch(enum vmi_call call, u32 writes)
{
	const u16 live = VMI_SI | VMI_DI;
	const u8 size = call == VMI_ID_SetPxELong ? 8 : 4;
	struct vmi_site mode = site_of(VMI_ID_SetLazyMode, live), site = site_of(call, live);
	u32 *last = &entries[(writes - 1) * size / 4];
	enum binding binding;
	struct cost around = {}, cost;
	u8 *p, *loop, *end;
	u32 form, mode_form;

	if (size == 8) {
		site.argument[3] = VMI_FROM_CONSTANT;
		site.constant[0] = VMI_PAGE_PT;
	}
	for (binding = BY_NOTHING; binding < BINDINGS; binding++) {
		p = emit_word(code, MOV_EAX, VMI_LAZY_MMU);
		p = place(p, &mode, binding, &mode_form);
		p = emit_word(p, MOV_EDI, writes);
		p = emit_word(p, MOV_ESI, (u32)entries);
		loop = p;
		p = emit(p, "\x8d\x04\x3f", 3); /* lea eax, [edi + edi] */
		if (size == 8) {
			p = emit(p, "\x31\xd2\x89\xf1", 4); /* xor edx, edx; mov ecx, esi */
			p = emit_word(p, MOV_EBX, VMI_PAGE_PT);
		} else {
			p = emit(p, "\x89\xf2", 2); /* mov edx, esi */
			p = emit_word(p, MOV_ECX, VMI_PAGE_PT);
		}
		p = place(p, &site, binding, &form);
		p = emit(p, "\x83\xc6", 2); /* add esi, size; dec edi; jnz */
		*p = size;
		p = emit(p + 1, "\x4f\x75", 2);
		*p = (u8)(loop - (p + 1));
		p = emit_word(p + 1, MOV_EAX, VMI_LAZY_NONE);
		end = place(p, &mode, binding, &mode_form);
		*end = RET;
		memset(entries, 0, sizeof(entries));
		cost = measure(call, code, end);
		if (binding == BY_NOTHING) {
			around = cost;
			continue;
		}
		expect(entries[0] == 2 * writes && *last == 2, "entries are %x ... %x", entries[0],
		       *last);
		line(call, writes, binding, form, &cost, &around);
	}
	point("%s: %u page-table writes in lazy mode", call_name[call], writes);
}

void guest_main(void)
{
	const char *only = option("call");
	enum vmi_call call;

	if (!rom_find(&rom, 3))
		bail("no VMI 3.0 image");
	if (rom_init(&rom))
		bail("Init failed");
	gdtr = sgdt();
	idtr = sidt();
	user = user_page();
	user[0] = 0xcd;
	user[1] = VECTOR_USER;
	wrmsr(MSR_SYSENTER_CS, SEL_CODE);
	invoke_catch(VECTOR_USER);
	on_step(step);
	for (call = 0; call < VMI_CALL_COUNT; call++)
		table[call] = entry_of(call);
	for (call = 0; call < VMI_CALL_COUNT; call++)
		if (!only || strsame(only, call_name[call]))
			bench_call(call);
	if (!only) {
		for (call = 0; call < VMI_CALL_COUNT; call++) {
			if (call != VMI_ID_SetPxE && call != VMI_ID_SetPxELong)
				continue;
			bench_batch(call, 128);
			bench_batch(call, BATCH);
		}
	}
}
