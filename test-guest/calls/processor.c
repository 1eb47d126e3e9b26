/* SPDX-License-Identifier: GPL-2.0-only */
/* The interface itself, identity and MSRs, descriptor tables, control and debug registers. */
#include "calls.h"

#define IA32_PAT 0x277
#define VECTOR_UD 6
#define VECTOR_GP 13
#define GDT_ACCESSED ((u64)1 << 40)

static u32 sldt(void)
{
	u32 selector;

	__asm__ volatile("sldt %0" : "=r"(selector));
	return selector & 0xffff;
}

static u32 str(void)
{
	u32 selector;

	__asm__ volatile("str %0" : "=r"(selector));
	return selector & 0xffff;
}

static void same_dtr(const void *got, struct dtr want, const char *what)
{
	const struct dtr *dtr = got;

	equal(dtr->limit, want.limit, what);
	equal(dtr->base, want.base, what);
}

/* ------------------------------------------------------------------------
 * The interface itself
 */

void test_Init(void)
{
	equal(go(), 0, "result");
}

/* More of it in reloc.c; here one number and the contract. */
void test_GetRelocationInfo(void)
{
	u32 number = rom_number(&rom, VMI_ID_SetCR3);
	u32 type = rom.record[VMI_ID_SetCR3].binding & VMI_RELOC_TYPE;

	go1(rom.major == 6 ? VMI_13_SetCR3 : number);
	equal(v.out.edx, type, "type");
	if (type == VMI_RELOC_CALL)
		equal(v.out.eax, rom_symbol(&rom, "VMI_SetCR3"), "EIP");
	else
		equal(v.out.eax, 0, "EIP");
}

/* More of it in patch.c; here what is refused, and the contract. */
void test_PatchSites(void)
{
	static u8 code[8] = { 0x0f, 0x20, 0xd8, 0x90, 0x90 };
	struct vmi_site site = { .address = (u32)code + 4, .size = 5, .call = VMI_ID_GetCR3 };
	struct vmi_patch patch = {
		.records = (u32)&site,
		.count = 1,
		.number = 1,
		.text = (u32)code,
		.text_size = sizeof(code),
		.kept = (u32)arena,
	};

	arena_fill();
	equal(go1((u32)&patch), VMI_PATCH_TEXT, "a site elsewhere");
	poison();
	patch.number = 2;
	equal(go1((u32)&patch), VMI_PATCH_REQUEST, "more sites than there are");
	arena_untouched_but(0, 0);
	equal(code[0] | code[3] << 8, 0x900f, "code");
}

/* ------------------------------------------------------------------------
 * Identity and model-specific registers
 */

#define CPUID_1_ECX_HYPERVISOR 0x80000000u
#define CPUID_LAST 0x80000000
#define CPUID_BRAND 0x80000004
#define CPUID_POWER 0x80000007
#define CPUID_POWER_EDX_CONSTANT_TSC 0x100u

/* What the call says: EAX, EBX, ECX, EDX; true where the instruction may say other things. */
static bool cpuid_wanted(u32 leaf, u32 subleaf, u32 want[4])
{
	u32 one[4], power[4];

	cpuid(leaf, subleaf, want);
	cpuid(1, 0, one);
	cpuid(CPUID_LAST, 0, power);
	if (!(one[2] & CPUID_1_ECX_HYPERVISOR) || power[0] < CPUID_BRAND || power[0] > 0x8000ffff)
		return false;
	if (leaf == CPUID_LAST && want[0] < CPUID_POWER)
		want[0] = CPUID_POWER;
	if (leaf > power[0] && leaf <= CPUID_POWER)
		memset(want, 0, 4 * sizeof(*want));
	if (leaf == CPUID_POWER)
		want[3] |= CPUID_POWER_EDX_CONSTANT_TSC;
	cpuid(CPUID_POWER, 0, one);
	return power[0] < CPUID_POWER || !(one[3] & CPUID_POWER_EDX_CONSTANT_TSC);
}

void test_CPUID(void)
{
	static const u32 leaves[][2] = { { 0, 0 },	    { 1, 0 },	       { 2, 0 },
					 { 4, 0 },	    { 4, 1 },	       { 0xd, 0 },
					 { 0xd, 1 },	    { 0x40000000, 0 }, { 0x7fffffff, 0 },
					 { 0x80000000, 5 }, { 0x80000001, 0 }, { 0x80000002, 0 },
					 { 0x80000003, 0 }, { 0x80000004, 0 }, { 0x80000005, 0 },
					 { 0x80000006, 0 }, { 0x80000007, 7 }, { 0x80000008, 0 },
					 { 0x8000000a, 0 }, { 0x8000001d, 0 }, { 0x8000001d, 1 },
					 { 0x80860000, 0 }, { 0xc0000000, 0 }, { 0xffffffff, 0 } };
	u32 i, want[4];
	bool differs = false;

	for (i = 0; i < ARRAY_SIZE(leaves); i++) {
		poison();
		v.in.ecx = leaves[i][1];
		go1(leaves[i][0]);
		differs = cpuid_wanted(leaves[i][0], leaves[i][1], want);
		equal(v.out.eax, want[0], "EAX");
		equal(v.out.ebx, want[1], "EBX");
		equal(v.out.ecx, want[2], "ECX");
		expect(v.out.edx == want[3], "leaf %x: EDX is %x, expected %x", leaves[i][0],
		       v.out.edx, want[3]);
	}
	if (rom.major == 3 && !trapped())
		equal(rom.record[VMI_ID_CPUID].binding & VMI_RELOC_TYPE,
		      differs && !option("patch") ? VMI_RELOC_CALL : VMI_RELOC_NONE, "binding");
}

void test_WRMSR(void)
{
	u64 before = rdmsr(IA32_PAT);

	go3(0x06000504, 0x01040607, IA32_PAT);
	equal64(rdmsr(IA32_PAT), 0x0104060706000504, "the MSR");
	wrmsr(IA32_PAT, before);
}

void test_RDMSR(void)
{
	u64 before = rdmsr(IA32_PAT);

	wrmsr(IA32_PAT, 0x0604050100070406);
	v.in.ecx = IA32_PAT;
	go();
	equal64(out64(), 0x0604050100070406, "the MSR");
	wrmsr(IA32_PAT, before);
}

/*
 * Where the processor has the instruction the stub returns what it does, and
 * where it does not (TCG has no RDPMC) the stub faults as the instruction does,
 * on that instruction. True where it faults.
 */
static bool as_instruction(const u8 *code, u32 bytes)
{
	struct invoke native;

	invoke_catch(VECTOR_UD);
	invoke_catch(VECTOR_GP);
	native = v;
	native.target = (u32)code;
	native.in.ds = native.in.es = SEL_DATA;
	invoke(&native);
	go_raw();
	equal(v.trapped, native.trapped, "trapped");
	if (native.trapped && v.trapped) {
		equal(v.trap.vector, native.trap.vector, "vector");
		expect(same(at(v.trap.eip), code, bytes), "trap at another instruction");
	}
	return native.trapped;
}

void test_RDPMC(void)
{
	static const u8 code[] = { 0x0f, 0x33, 0xc3 };

	v.in.ecx = 0;
	if (!as_instruction(code, 2)) {
		poison();
		v.in.ecx = 0;
		go();
	}
}

void test_RDTSC(void)
{
	u64 before = rdtsc();

	go();
	expect(out64() >= before && out64() <= rdtsc(), "TSC of another time");
}

/* ------------------------------------------------------------------------
 * Descriptor tables
 */

/* Selectors of flat data that nobody else uses, one a segment register. */
#define FIRST_DATA 20

static void segments_own(void)
{
	u32 i;

	for (i = 0; i < 4; i++)
		gdt[FIRST_DATA + i] = descriptor(0, 0xfffff, 0xc093);
	v.in.ds = FIRST_DATA * 8;
	v.in.es = (FIRST_DATA + 1) * 8;
	v.in.fs = (FIRST_DATA + 2) * 8;
	v.in.gs = (FIRST_DATA + 3) * 8;
}

static void not_accessed(u64 *table)
{
	u32 i;

	table[1] &= ~GDT_ACCESSED;
	for (i = 0; i < 4; i++)
		table[FIRST_DATA + i] &= ~GDT_ACCESSED;
}

/* A segment register that is loaded sets the accessed bit of its descriptor. */
static void reloaded(const u64 *table)
{
	static const u8 far_return[] = { 0xcb }, mov_ss_eax[] = { 0x8e, 0xd0 };

	expect(table[FIRST_DATA] & GDT_ACCESSED, "DS is not reloaded");
	expect(table[FIRST_DATA + 1] & GDT_ACCESSED, "ES is not reloaded");
	expect(table[FIRST_DATA + 2] & GDT_ACCESSED, "FS is not reloaded");
	expect(table[FIRST_DATA + 3] & GDT_ACCESSED, "GS is not reloaded");
	if (!stepping() || trapped())
		return;
	/* QEMU 7.2 does not set the bit of a code segment: look for the far transfer. */
	equal(steps_of(far_return, 1), 1, "far returns");
	/* The guest loads SS's descriptor into DS and ES too. */
	equal(steps_of(mov_ss_eax, 2), 1, "MOV to SS");
}

void test_SetGDT(void)
{
	static u64 other[GDT_ENTRIES] __attribute__((aligned(16)));
	struct dtr before = sgdt(), dtr = { sizeof(other) - 9, (u32)other };

	segments_own();
	memcpy(other, gdt, sizeof(other));
	not_accessed(other);
	steps_record();
	go1((u32)&dtr);
	same_dtr(&dtr, sgdt(), "GDTR");
	__asm__ volatile("lgdt %0" : : "m"(before));
	reloaded(other);
}

void test_SetLDT(void)
{
	u32 before = sldt();

	segments_own();
	gdt[19] = descriptor((u32)ldt, 15, 0x82);
	not_accessed(gdt);
	steps_record();
	go1(0xabcd0000 | 19 * 8);
	equal(sldt(), 19 * 8, "LDTR");
	reloaded(gdt);
	__asm__ volatile("lldt %w0" : : "r"(before));
}

void test_SetIDT(void)
{
	static u64 other[256] __attribute__((aligned(16)));
	struct dtr before = sidt(), dtr = { sizeof(other) - 1 - 8, (u32)other };

	memcpy(other, idt, sizeof(other));
	go1((u32)&dtr);
	same_dtr(&dtr, sidt(), "IDTR");
	__asm__ volatile("lidt %0" : : "m"(before));
}

void test_SetTR(void)
{
	u32 before = str();

	gdt[19] = descriptor((u32)tss, sizeof(tss) - 1, 0x89);
	go1(0xabcd0000 | 19 * 8);
	equal(str(), 19 * 8, "TR");
	equal(gdt[19] >> 40 & 0xff, 0x8b, "busy TSS");
	gdt[before / 8] = gdt[19] & ~((u64)2 << 40);
	__asm__ volatile("ltr %w0" : : "r"(before));
}

static void get_dtr(struct dtr want, const char *what)
{
	u8 *at = (u8 *)&arena[4] + 1;
	u32 i;

	arena_fill();
	go1((u32)at);
	same_dtr(at, want, what);
	for (i = 0; i < 6; i++)
		at[i] = ((const u8 *)(const u32[]){ 0xa5a50004, 0xa5a50005 })[i + 1];
	arena_untouched_but(0, 0);
}

void test_GetGDT(void)
{
	get_dtr(sgdt(), "GDTR");
}

void test_GetIDT(void)
{
	get_dtr(sidt(), "IDTR");
}

void test_GetLDT(void)
{
	equal(go(), sldt(), "LDTR");
}

void test_GetTR(void)
{
	equal(go(), str(), "TR");
}

static void write_entry(void)
{
	u32 low = v.in.ecx, high = v.word[0];

	arena_fill();
	go2((u32)arena - 1000 * 8, 1003);
	equal(arena[6], low, "low word");
	equal(arena[7], high, "high word");
	arena_untouched_but(6, 2);
}

void test_WriteGDTEntry(void)
{
	write_entry();
}

void test_WriteLDTEntry(void)
{
	write_entry();
}

void test_WriteIDTEntry(void)
{
	write_entry();
}

static void no_effect(void)
{
	arena_fill();
	go2(1, 5);
	arena_untouched_but(0, 0);
}

void test_UpdateGDT(void)
{
	no_effect();
}

void test_UpdateIDT(void)
{
	no_effect();
}

void test_UpdateLDT(void)
{
	no_effect();
}

static void kernel_stack(u32 first, u32 ss0)
{
	u32 before[ARRAY_SIZE(tss)], esp0 = v.in.edx;

	memcpy(before, tss, sizeof(tss));
	v.in.eax = first;
	go();
	equal(tss[1], esp0, "ESP0");
	equal(tss[2], ss0, "SS0");
	tss[1] = before[1];
	tss[2] = before[2];
	expect(same(before, tss, sizeof(tss)), "other words of the TSS changed");
}

/* The arguments stay poison: only a trap from user mode would use them. */
void test_UpdateKernelStack(void)
{
	if (stepping()) /* the traps are at CPL 0: no use of the TSS either */
		v.in.eax |= 0x80000000;
	kernel_stack(v.in.eax, v.in.eax & 0xffff);
}

void test_UpdateKernelStack_v13(void)
{
	kernel_stack((u32)tss, tss[2]);
}

/* ------------------------------------------------------------------------
 * Control and debug registers
 */

#define CR0_MP 0x2u
#define CR0_WP 0x10000u
#define CR4_DE 0x8u
#define CR3_PCD 0x10u

void test_SetCR0(void)
{
	u32 before = cr0();

	go1(before ^ CR0_WP ^ CR0_MP);
	equal(cr0(), before ^ CR0_WP ^ CR0_MP, "CR0");
	set_cr0(before);
}

void test_SetCR2(void)
{
	u32 value = v.in.eax;

	go();
	equal(cr2(), value, "CR2");
}

void test_SetCR3(void)
{
	u32 before = cr3(), value = paging() ? before ^ CR3_PCD : 0x12345000;

	go1(value);
	equal(cr3(), value, "CR3");
	set_cr3(before);
}

void test_SetCR4(void)
{
	u32 before = cr4();

	go1(before ^ CR4_DE);
	equal(cr4(), before ^ CR4_DE, "CR4");
	set_cr4(before);
}

void test_GetCR0(void)
{
	equal(go(), cr0(), "CR0");
}

void test_GetCR2(void)
{
	set_cr2(~v.in.eax);
	equal(go(), cr2(), "CR2");
}

void test_GetCR3(void)
{
	u32 before = cr3();

	if (!paging())
		set_cr3(0x00abc000);
	equal(go(), cr3(), "CR3");
	set_cr3(before);
}

void test_GetCR4(void)
{
	equal(go(), cr4(), "CR4");
}

void test_LMSW(void)
{
	u32 before = cr0(), word = (v.in.eax & 0xfffffff0) | ((before & 0xf) ^ (CR0_MP | CR0_TS));

	go1(word);
	equal(cr0(), before ^ (CR0_MP | CR0_TS), "CR0");
	set_cr0(before);
}

void test_SMSW(void)
{
	u32 poisoned = v.in.eax;

	equal(go(), (poisoned & 0xffff0000) | (cr0() & 0xffff), "EAX");
}

static void task_switched(u32 want)
{
	u32 before = cr0();

	set_cr0(before ^ CR0_TS);
	go();
	equal(cr0(), (before & ~CR0_TS) | want, "CR0");
	set_cr0(before | CR0_TS);
	poison();
	go();
	equal(cr0(), (before & ~CR0_TS) | want, "CR0");
	set_cr0(before);
}

void test_CLTS(void)
{
	task_switched(0);
}

void test_STTS(void)
{
	task_switched(CR0_TS);
}

#define DR6_STEP 0x400fu /* the traps of the stepped patterns set BS, clear B0 to B3 */
#define DR7_FIXED 0x400u

static u32 debug_register(u32 n)
{
	u32 value = 0;

	switch (n) {
#define CASE(n)                                                                                    \
	case n:                                                                                    \
		__asm__ volatile("mov %%dr" #n ", %0" : "=r"(value));                              \
		break;
		CASE(0)
		CASE(1)
		CASE(2)
		CASE(3)
		CASE(4)
		CASE(5)
		CASE(6)
		CASE(7)
#undef CASE
	}
	return stepping() && (n == 6 || n == 4) ? value & ~DR6_STEP : value;
}

static void set_debug_registers(void)
{
	__asm__ volatile("mov %0, %%dr0" : : "r"(0x10203040));
	__asm__ volatile("mov %0, %%dr1" : : "r"(0x11213141));
	__asm__ volatile("mov %0, %%dr2" : : "r"(0x12223242));
	__asm__ volatile("mov %0, %%dr3" : : "r"(0x13233343));
	__asm__ volatile("mov %0, %%dr6" : : "r"(0xffff0ff0));
	__asm__ volatile("mov %0, %%dr7" : : "r"(DR7_FIXED));
}

void test_SetDR(void)
{
	/* Nothing in DR7 enables a breakpoint; 4 and 5 are 6 and 7 where CR4.DE is clear. */
	static const u32 values[8] = {
		0x01020304, 0x11121314,	       0x21222324, 0x31323334,
		0xffff0ff1, DR7_FIXED | 0x100, 0xffff0ff2, DR7_FIXED | 0x200
	};
	static const u32 wrong[] = { 8, 0x80000000, 0xffffffff, 0x100 };
	u32 i, n, want[8];

	for (i = 0; i < 8 + ARRAY_SIZE(wrong); i++) {
		set_debug_registers();
		for (n = 0; n < 8; n++)
			want[n] = debug_register(n);
		poison();
		go2(i < 8 ? i : wrong[i - 8], i < 8 ? values[i] : 0x55555555);
		if (i < 8)
			want[i] = stepping() && (i == 4 || i == 6) ? values[i] & ~DR6_STEP
								   : values[i];
		want[4] = want[6] = i == 4 ? want[4] : want[6];
		want[5] = want[7] = i == 5 ? want[5] : want[7];
		for (n = 0; n < 8; n++)
			expect(debug_register(n) == want[n], "SetDR %x: DR%u is %08x, not %08x",
			       v.in.eax, n, debug_register(n), want[n]);
	}
	set_debug_registers();
}

void test_GetDR(void)
{
	static const u32 wrong[] = { 8, 0x80000000, 0xffffffff, 0x100 };
	u32 i, mask;

	set_debug_registers();
	for (i = 0; i < 8 + ARRAY_SIZE(wrong); i++) {
		mask = stepping() && (i == 4 || i == 6) ? ~DR6_STEP : ~0u;
		poison();
		equal(go1(i < 8 ? i : wrong[i - 8]) & mask, i < 8 ? debug_register(i) : 0, "value");
	}
}

void test_INVD(void)
{
	static const u8 invd[] = { 0x0f, 0x08 };

	steps_record();
	go();
	if (stepping() && !trapped())
		equal(steps_of(invd, 2), 1, "INVD");
}

void test_WBINVD(void)
{
	static const u8 wbinvd[] = { 0x0f, 0x09 };

	steps_record();
	go();
	if (stepping() && !trapped())
		equal(steps_of(wbinvd, 2), 1, "WBINVD");
}
