/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hypercalls by hand, without a ROM: what a VMM answers (include/vmi_abi.h), below
 * vmm/svm. Groups of calls that the VMM does not want are refused.
 *
 * RUN: {flat,high,pae},rom=none,icount,host=svm,{trap=none,trap=all}
 * RUN: pae,rom=none,icount,host=svm,{trap=time,trap=mmu,trap=cpu,trap=irq}
 */
#include "guest.h"

#define LEAVES 4
#define FAR 0x60000000u	 /* linear, not mapped */
#define VECTOR_TRAP 0x90 /* trap gate, DPL 0 */
#define VECTOR_GATE 0x91 /* interrupt gate */
#define VECTOR_LVTT 0xa0
#define APIC 0xfee00000u
#define APIC_LVTT 0x320
#define APIC_LINT0 0x350
#define APIC_INITIAL 0x380
#define APIC_DIVIDE 0x3e0
#define APIC_EOI 0xb0
#define DIVIDE_BY_1 0xb
#define LVT_NMI 0x400
#define LVT_EXTINT 0x700
#define NS 1000000000u

static u32 leaf;
static u32 info[LEAVES][4];
static u8 area[VMI_SHARED_SIZE] __attribute__((aligned(4096)));
static struct vmi_shared *const shared = (void *)area;

u32 trap_by_vmmcall(struct regs *regs);
u32 trap_by_port(struct regs *regs);

/* In: EAX the registers. Out: the flags. */
#define TRAP(name, transport)                                                                      \
	__asm__(#name ":\n\t"                                                                      \
		      "pusha\n\t"                                                                  \
		      "mov 36(%esp), %ecx\n\t"                                                     \
		      "push %ecx\n\t"                                                              \
		      "mov 0(%ecx), %edi\n\t"                                                      \
		      "mov 4(%ecx), %esi\n\t"                                                      \
		      "mov 8(%ecx), %ebp\n\t"                                                      \
		      "mov 16(%ecx), %ebx\n\t"                                                     \
		      "mov 20(%ecx), %edx\n\t"                                                     \
		      "mov 28(%ecx), %eax\n\t"                                                     \
		      "mov 24(%ecx), %ecx\n\t"                                                     \
		      "stc\n\t" transport "\n\t"                                                   \
		      "pushf\n\t"                                                                  \
		      "xchg %ecx, 4(%esp)\n\t"                                                     \
		      "mov %edi, 0(%ecx)\n\t"                                                      \
		      "mov %esi, 4(%ecx)\n\t"                                                      \
		      "mov %ebp, 8(%ecx)\n\t"                                                      \
		      "mov %ebx, 16(%ecx)\n\t"                                                     \
		      "mov %edx, 20(%ecx)\n\t"                                                     \
		      "mov %eax, 28(%ecx)\n\t"                                                     \
		      "pop %eax\n\t"                                                               \
		      "mov %eax, 28+4(%esp)\n\t"                                                   \
		      "popl 24(%ecx)\n\t"                                                          \
		      "popa\n\t"                                                                   \
		      "ret");
TRAP(trap_by_vmmcall, "vmmcall")
TRAP(trap_by_port, "out %eax, $0xe4")

/* True: done. */
static bool trap(u32 number, struct regs *regs)
{
	regs->ebp = VMI_HV_TAG | number;
	return !(trap_by_vmmcall(regs) & 1);
}

/* For calls with at most three arguments; EDX:EAX. */
static u64 call3(u32 number, u32 a, u32 d, u32 c)
{
	struct regs regs = { .eax = a, .edx = d, .ecx = c };

	expect(trap(number, &regs), "call %x: refused", number);
	return (u64)regs.edx << 32 | regs.eax;
}

static bool wants(u32 call)
{
	return info[2 + call / 128][call / 32 % 4] >> call % 32 & 1;
}

static bool has(u32 feature)
{
	return info[VMI_HV_INFO_VERSION][3] & feature;
}

/* ------------------------------------------------------------------------ */

static void leaves(void)
{
	u32 n, r[4];

	for (leaf = VMI_HV_LEAF_FIRST; leaf < VMI_HV_LEAF_LAST; leaf += VMI_HV_LEAF_STEP) {
		cpuid(leaf, 0, r);
		if (r[1] == VMI_HV_SIGNATURE_EBX)
			break;
	}
	for (n = 0; n < LEAVES; n++) {
		struct regs a = { .eax = n }, b = { .eax = n, .ebp = VMI_HV_TAG | VMI_HV_INFO };

		expect(trap(VMI_HV_INFO, &a), "leaf %u: refused", n);
		expect(!(trap_by_port(&b) & 1), "leaf %u by the port: refused", n);
		cpuid(leaf + n, 0, info[n]);
		if (!n)
			info[0][0] -= leaf;
		equal(a.eax, info[n][0], "EAX");
		equal(a.ebx, info[n][1], "EBX");
		equal(a.ecx, info[n][2], "ECX");
		equal(a.edx, info[n][3], "EDX");
		expect(same(&a, &b, sizeof(a)), "the port answers something else");
	}
	equal(info[0][0], LEAVES - 1, "the last leaf");
	equal(info[1][0], VMI_HV_VERSION, "version");
	equal(info[1][1], VMI_HV_VMMCALL | VMI_HV_OUT, "transports");
	equal(info[1][2], 0xe4, "port");
	point("leaves, by CPUID, VMMCALL and the port");
}

static void refusals(void)
{
	static const u32 numbers[] = { VMI_HV_INFO,  VMI_CALL_COUNT, VMI_HV_LAST + 1, 0xffff,
				       VMI_HV_FLUSH, VMI_HV_DELIVER, VMI_HV_DETACH,   VMI_ID_GetCR0,
				       VMI_ID_Halt,  VMI_ID_SetPxE };
	u32 i;

	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		struct regs regs = { 1, 2, 0, 0, 4, 5, 6, LEAVES }, want;

		want = regs;
		want.ebp = VMI_HV_TAG | numbers[i];
		expect(!trap(numbers[i], &regs), "%x: not refused", numbers[i]);
		expect(same(&regs, &want, sizeof(regs)), "%x: a register changed", numbers[i]);
	}
	point("what is unknown, and calls before ATTACH, are refused");
}

static bool attach(u32 version, u32 physical, u32 major, u32 *answer)
{
	struct regs regs = { .eax = version, .edx = physical, .ecx = major };
	bool good = trap(VMI_HV_ATTACH, &regs);

	*answer = regs.eax;
	return good;
}

static void attaching(void)
{
	u32 at = has(VMI_HV_SHARED) ? to_phys(area) : 0, answer, call;
	u16 tr;

	expect(!attach(VMI_HV_VERSION + 0x10000, at, 3, &answer), "a later major number");
	expect(!attach(VMI_HV_VERSION, at, 4, &answer), "an unknown revision");
	if (at) {
		expect(!attach(VMI_HV_VERSION, at + 16, 3, &answer), "an unaligned area");
		expect(!attach(VMI_HV_VERSION, 0xfffff000, 3, &answer), "an area that wraps");
		expect(!attach(VMI_HV_VERSION, 0xfee00000, 3, &answer), "the local APIC");
	}
	memset(area, 0x5a, sizeof(area));
	expect(attach(VMI_HV_VERSION + 7, at, 3, &answer), "refused");
	equal(answer, VMI_HV_VERSION, "the lower version");
	if (at) {
		__asm__ volatile("str %0" : "=r"(tr));
		equal(shared->cr0, cr0(), "CR0");
		equal(shared->cr3, cr3(), "CR3");
		equal(shared->cr4, cr4(), "CR4");
		equal(shared->tr, tr, "TR");
		equal((u32)shared->queue_next, (u32)VMI_QUEUE_EMPTY, "queue_next");
		equal(shared->interrupts, has(VMI_HV_CPU_IF) ? VMI_IF : 0, "interrupts");
	} else {
		equal(area[0], 0x5a, "memory");
	}
	point("ATTACH");
	for (call = 0; call < VMI_CALL_COUNT; call++) {
		struct regs regs = { 0 };

		if (!wants(call))
			expect(!trap(call, &regs), "%s is not wanted, and not refused",
			       call_name[call]);
	}
	point("calls that are not wanted are refused");
}

static void detaching(void)
{
	u32 answer, at = has(VMI_HV_SHARED) ? to_phys(area) : 0;
	struct regs regs = { 0 };

	expect(trap(VMI_HV_DETACH, &regs), "refused");
	if (at)
		equal(area[0], 0x5a, "the memory that was there before");
	expect(!trap(VMI_HV_FLUSH, &regs), "FLUSH is not refused");
	expect(attach(VMI_HV_VERSION, at, 3, &answer), "ATTACH again");
	point("DETACH");
}

/* ------------------------------------------------------------------------ */

static void registers(void)
{
	u32 saved = cr0();
	struct vmi_dtr dtr = { 0 };
	u16 selector;

	if (!wants(VMI_ID_SetCR0)) {
		skip("not wanted", "control registers");
		return;
	}
	equal((u32)call3(VMI_ID_GetCR0, 0, 0, 0), saved, "GetCR0");
	call3(VMI_ID_STTS, 0, 0, 0);
	equal(cr0(), saved | CR0_TS, "STTS");
	equal(shared->cr0, saved | CR0_TS, "the copy");
	call3(VMI_ID_CLTS, 0, 0, 0);
	equal(cr0(), saved, "CLTS");
	set_cr0(saved | CR0_TS);
	equal(shared->cr0, saved | CR0_TS, "the copy, after MOV");
	call3(VMI_ID_SetCR0, saved, 0, 0);
	equal(cr0(), saved, "SetCR0");
	call3(VMI_ID_SetCR2, 0x12345678, 0, 0);
	equal(cr2(), 0x12345678, "SetCR2");
	equal(shared->cr2, 0x12345678, "the copy");
	call3(VMI_ID_SetDR, 1, 0x87654321, 0);
	equal((u32)call3(VMI_ID_GetDR, 1, 0, 0), 0x87654321, "GetDR");
	call3(VMI_ID_GetGDT, (u32)&dtr, 0, 0);
	equal(dtr.limit, sizeof(gdt) - 1, "GetGDT");
	call3(VMI_ID_SetLDT, SEL_LDT, 0, 0);
	__asm__ volatile("sldt %0" : "=r"(selector));
	equal(selector, SEL_LDT, "SetLDT");
	equal(shared->ldt, SEL_LDT, "the copy");
	call3(VMI_ID_UpdateKernelStack, SEL_DATA, 0x1234, 0);
	equal(tss[1], 0x1234, "UpdateKernelStack");
	point("control registers, descriptor tables");
}

static void put(u32 call, u32 a, u32 d, u32 c)
{
	struct vmi_queued *entry = (void *)(area + VMI_SHARED_END + shared->queue_next);

	entry->eax = a;
	entry->edx = d;
	entry->ecx = c;
	shared->queue_next += VMI_QUEUED_SIZE;
	entry->call = VMI_HV_TAG | call;
}

static void queue(void)
{
	u32 physical = to_phys(page()), i, *entry;
	volatile u32 *word = at(FAR);

	if (!wants(VMI_ID_SetPxE) || !paging()) {
		skip("not wanted, or no paging", "the queue");
		return;
	}
	entry = pte_of(FAR);
	*(u32 *)phys(physical) = 0xcafe;
	if (paging_pae())
		entry[1] = 0;
	put(VMI_ID_SetPxE, physical | PTE_P | PTE_W, (u32)entry, VMI_PAGE_PT);
	equal(*entry, 0, "the entry, before");
	equal(*word, 0xcafe, "the page, after a fault");
	equal((u32)shared->queue_next, (u32)VMI_QUEUE_EMPTY, "queue_next");
	for (i = 0; i < VMI_SHARED_QUEUED; i++)
		put(VMI_ID_SetPxE, i << 12, (u32)entry, VMI_PAGE_PT);
	call3(VMI_HV_FLUSH, 0, 0, 0);
	equal(*entry, (i - 1) << 12, "the last of a full queue");
	put(VMI_ID_SetPxE, 0, (u32)entry, VMI_PAGE_PT);
	call3(VMI_ID_InvalPage, FAR, 0, 0);
	equal(*entry, 0, "after InvalPage");
	point("the queue: a fault, FLUSH and a call perform it");
}

static u32 frame_if;
static u32 flag_in_handler;

static bool note(struct trap *trap)
{
	frame_if = trap->eflags & EFLAGS_IF;
	flag_in_handler = shared->interrupts & eflags();
	expect(shared->interrupts, "the handler's virtual flag is clear");
	return true;
}

/* A handler that knows nothing of the virtual flag. */
static bool open(struct trap *trap)
{
	(void)trap;
	__asm__ volatile("sti\n\tnop\n\tnop\n\tcli" : : : "memory");
	return true;
}

/* As the ROM does it. */
static void enable(void)
{
	shared->interrupts = VMI_IF;
	__asm__ volatile("sti\n\tnop" : : : "memory");
}

static void gate(u32 vector, u32 type)
{
	idt[vector] = (idt[vector] & 0xffff00ffffffffff) | (u64)type << 40;
}

static void software(bool on, bool clears)
{
	shared->interrupts = on ? VMI_IF : 0;
	__asm__ volatile("sti");
	frame_if = 1;
	if (clears)
		__asm__ volatile("int %0" : : "i"(VECTOR_GATE) : "memory");
	else
		__asm__ volatile("int %0" : : "i"(VECTOR_TRAP) : "memory");
	__asm__ volatile("cli");
	equal(frame_if, on ? EFLAGS_IF : 0, "the frame's IF");
	equal(flag_in_handler, on && !clears ? VMI_IF : 0, "the flag in the handler");
}

static void interrupts(void)
{
	u32 before;

	if (!wants(VMI_ID_EnableInterrupts)) {
		skip("not wanted", "interrupts");
		return;
	}
	irq0_pend(); /* EFLAGS.IF is clear */
	before = irq_count[0];
	shared->interrupts = 0;
	__asm__ volatile("sti\n\tnop\n\tnop" : : : "memory");
	equal(irq_count[0], before, "IRQ 0 with the flag clear");
	equal(eflags() & EFLAGS_IF, 0, "EFLAGS.IF");
	equal(shared->interrupts | shared->pending, 0, "the flag, and pending");
	__asm__ volatile("pushl $0x202\n\tpopf\n\tnop" : : : "memory"); /* from before it came */
	equal(irq_count[0], before, "IRQ 0 with the flag clear, after POPF");
	enable();
	equal(irq_count[0], before + 1, "IRQ 0 after the flag was set");
	__asm__ volatile("cli");
	shared->interrupts = VMI_IF;
	irq0_pend();
	equal(irq_count[0], before + 1, "IRQ 0 with EFLAGS.IF clear");
	__asm__ volatile("sti\n\tnop\n\tnop\n\tcli" : : : "memory");
	equal(irq_count[0], before + 2, "IRQ 0 after STI");
	shared->interrupts = 0;
	irq0_pend();
	on_trap(VECTOR_GATE, open);
	__asm__ volatile("int %0" : : "i"(VECTOR_GATE) : "memory");
	equal(irq_count[0], before + 3, "IRQ 0 in a handler, after STI");
	irq_mask_all();
	point("interrupts: both flags");

	on_trap(VECTOR_TRAP, note);
	on_trap(VECTOR_GATE, note);
	on_trap(6, note);
	gate(VECTOR_TRAP, 0x8f);
	gate(VECTOR_GATE, 0x8e);
	software(true, true);
	software(true, false);
	software(false, true);
	software(false, false);
	point("gates: frames and flag");
}

static bool lvtt_came(struct trap *trap)
{
	(void)trap;
	irq_count[15]++;
	*(volatile u32 *)at(APIC + APIC_EOI) = 0;
	return true;
}

static u32 nmis;

static bool nmi_came(struct trap *trap)
{
	(void)trap;
	nmis++;
	return true;
}

static volatile u32 *apic(u32 offset)
{
	return at(APIC + offset);
}

/* By the shared flag alone. The APIC's timer comes first, then the PIT, as an NMI. */
static void halt_disabled(void)
{
	if (!wants(VMI_ID_Halt) || wants(VMI_ID_GetCycleFrequency)) {
		skip("not wanted, or the timer is the VMM's", "HLT with interrupts disabled");
		return;
	}
	on_trap(VECTOR_LVTT, lvtt_came);
	on_trap(2, nmi_came);
	irq0_quiet();
	irq_count[15] = 0;
	*apic(APIC_LVTT) = VECTOR_LVTT;
	*apic(APIC_DIVIDE) = DIVIDE_BY_1;
	*apic(APIC_LINT0) = LVT_NMI;
	shared->interrupts = 0;
	*apic(APIC_INITIAL) = NS / 10000;
	pit_once(2000);
	__asm__ volatile("sti\n\thlt\n\tcli" : : : "memory");
	irq_mask_all();
	equal(nmis, 1, "NMIs");
	equal(irq_count[15], 0, "interrupts before the flag is set");
	enable();
	equal(irq_count[15], 1, "interrupts");
	__asm__ volatile("cli");
	*apic(APIC_LINT0) = LVT_EXTINT;
	point("HLT with interrupts disabled");
}

static void alarm(u32 flags, u64 after)
{
	u64 expiry = call3(VMI_ID_GetCycleCounter, 0, 0, 0) + after;
	struct regs regs = { .eax = flags, .edx = (u32)expiry, .ecx = (u32)(expiry >> 32) };

	expect(trap(VMI_ID_SetAlarm, &regs), "SetAlarm: refused");
}

static void halt(void)
{
	shared->interrupts = VMI_IF;
	if (wants(VMI_ID_Halt))
		call3(VMI_ID_Halt, 0, 0, 0);
	else
		__asm__ volatile("sti\n\thlt" : : : "memory");
	__asm__ volatile("cli");
}

static void time(void)
{
	u64 start, passed, tsc;
	u32 hz;

	if (!wants(VMI_ID_GetCycleFrequency)) {
		skip("not wanted", "time");
		return;
	}
	hz = (u32)call3(VMI_ID_GetCycleFrequency, 0, 0, 0);
	start = call3(VMI_ID_GetCycleCounter, 0, 0, 0);
	tsc = rdtsc();
	while (rdtsc() - tsc < 10000000)
		;
	passed = call3(VMI_ID_GetCycleCounter, 0, 0, 0) - start;
	tsc = rdtsc() - tsc;
	expect(!option("icount") || (passed * 999 < tsc * (hz / 1000000) &&
				     tsc * (hz / 1000000) < passed * 1001),
	       "%llu cycles of %u Hz in %llu ns", passed, hz, tsc);
	point("a clock");
	on_trap(VECTOR_LVTT, lvtt_came);
	*(volatile u32 *)at(APIC + APIC_LVTT) = VECTOR_LVTT;
	start = call3(VMI_ID_GetCycleCounter, 0, 0, 0);
	alarm(VMI_ALARM_WIRED_LVTT, hz / 100);
	halt();
	passed = call3(VMI_ID_GetCycleCounter, 0, 0, 0) - start;
	equal(irq_count[15], 1, "interrupts by LVTT");
	expect(passed >= hz / 100 && (passed < hz / 90 || !option("icount")), "%llu cycles",
	       passed);
	shared->interrupts = VMI_IF;
	irq0_quiet();
	irq_count[0] = 0;
	start = call3(VMI_ID_GetCycleCounter, 0, 0, 0);
	alarm(VMI_ALARM_WIRED_IRQ0, hz / 10);
	halt();
	passed = call3(VMI_ID_GetCycleCounter, 0, 0, 0) - start;
	equal(irq_count[0], 1, "interrupts by IRQ 0");
	expect(passed >= hz / 10 && (passed < hz / 9 || !option("icount")), "%llu cycles", passed);
	irq_mask_all();
	point("alarms, Halt");
}

void guest_main(void)
{
	leaves();
	refusals();
	attaching();
	detaching();
	registers();
	queue();
	interrupts();
	halt_disabled();
	time();
}
