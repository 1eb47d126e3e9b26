/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Call sites that all CPUs run in a loop while one CPU switches them (vmi_abi.h, struct
 * vmi_patch): every run has the right result. The first CPU's sync interrupts the others; one
 * that is inside the site does not count, and is told again. Every other time they run the
 * sites step by step.
 *
 * RUN: pae,rom=vmi,smp=4,icount
 * RUN: flat,rom=vmi,smp=4,icount,switches=2000
 * RUN: high,rom={vmi-13,vmi-6},smp=4,icount,switches=2000
 * RUN: pae,rom=vmi,smp=4,icount,host=svm,trap=all,switches=600
 * RUN: high,rom=vmi,smp=4,icount,host=svm,trap=irq,switches=600
 * RUN: flat,rom=vmi,smp=4,switches=60
 * RUN: pae,rom=vmi,smp=4,host=svm,trap=all,switches=30
 * RUN-FULL: pae,rom=vmi,smp=4,icount,host=svm,trap=all,time=600
 * RUN-FULL: flat,rom=vmi,smp=4,switches=1000,time=300
 *
 * switches=N	[10000]
 * icount: one CPU after the other, until it comes to PAUSE
 */
#include "guest.h"

#define CPUS 4
#define SWITCHES 10000
#define INT3 0xcc
#define VECTOR_STEP 1
#define VECTOR_BREAKPOINT 3
#define VECTOR_SYNC 0x40
#define SYNC_ARGUMENT 0x5c5c5c5c
#define PATIENCE 400000000 /* polls */

#define APIC 0xfee00000
#define APIC_EOI 0xb0
#define APIC_SVR 0xf0
#define APIC_SVR_ON 0x1ff
#define APIC_ICR 0x300
#define APIC_ICR_HIGH 0x310
#define ICR_PENDING 0x1000

static struct rom rom;
static u32 cpus;

static volatile u32 *apic(u32 offset)
{
	return at(APIC + offset);
}

static void pause(void)
{
	__asm__ volatile("pause");
}

/* ------------------------------------------------------------------------
 * The sites
 */

enum { CLI, GET_OFF, STI, GET_ON, GET_CR3, SET_PXE, RDTSC, SITES };

#define SIZE 32
static const struct {
	u8 row, native_size, native[4]; /* the rest is NOPs of one byte */
} kinds[SITES] = {
	[CLI] = { VMI_ID_DisableInterrupts, 1, { 0xfa } },
	[GET_OFF] = { VMI_ID_GetInterruptMask, 0, { 0 } },
	[STI] = { VMI_ID_EnableInterrupts, 1, { 0xfb } },
	[GET_ON] = { VMI_ID_GetInterruptMask, 0, { 0 } },
	[GET_CR3] = { VMI_ID_GetCR3, 3, { 0x0f, 0x20, 0xd8 } },
	[SET_PXE] = { VMI_ID_SetPxE, 2, { 0x89, 0x02 } },
	[RDTSC] = { VMI_ID_RDTSC, 2, { 0x0f, 0x31 } },
};

static struct {
	u8 code[SIZE];
	u8 ret[64 - SIZE];
} slot[SITES] __attribute__((aligned(4096)));
static u32 operation[SITES]; /* what the originals call through */
static struct vmi_site sites[SITES];
static u8 kept[SITES * (1 + SIZE)];

static void sites_start(void)
{
	u32 i;

	memset(slot, 0x90, sizeof(slot));
	for (i = 0; i < SITES; i++) {
		u8 *code = slot[i].code;
		u32 pointer = (u32)&operation[i];

		operation[i] = rom_call(&rom, kinds[i].row);
		if (kinds[i].native_size && !rom_traps(&rom, kinds[i].row)) {
			memcpy(code, kinds[i].native, kinds[i].native_size);
		} else {
			code[SIZE - 6] = 0xff; /* CALL [pointer] */
			code[SIZE - 5] = 0x15;
			memcpy(code + SIZE - 4, &pointer, 4);
		}
		slot[i].ret[0] = 0xc3;
		sites[i] = (struct vmi_site){ .address = (u32)code,
					      .size = SIZE,
					      .call = kinds[i].row,
					      .flags = VMI_SITE_LIVE };
	}
}

/* CALLs code with these registers (but ESP), and brings back what they are then. */
VMI_REGPARM void live_call(void *code, struct regs *regs);
__asm__(".text\n"
	"live_call:\n"
	"	pusha\n"
	"	push	%edx\n"
	"	push	%eax\n"
	"	mov	0(%edx), %edi\n"
	"	mov	4(%edx), %esi\n"
	"	mov	8(%edx), %ebp\n"
	"	mov	16(%edx), %ebx\n"
	"	mov	24(%edx), %ecx\n"
	"	mov	28(%edx), %eax\n"
	"	mov	20(%edx), %edx\n"
	"	call	*(%esp)\n"
	"	push	%eax\n"
	"	mov	8(%esp), %eax\n"
	"	mov	%edi, 0(%eax)\n"
	"	mov	%esi, 4(%eax)\n"
	"	mov	%ebp, 8(%eax)\n"
	"	mov	%ebx, 16(%eax)\n"
	"	mov	%edx, 20(%eax)\n"
	"	mov	%ecx, 24(%eax)\n"
	"	pop	28(%eax)\n"
	"	add	$8, %esp\n"
	"	popa\n"
	"	ret\n");

/* ------------------------------------------------------------------------
 * What a CPU does
 */

/* The form of each site; not one, while it changes. */
#define CHANGING 0xff
static volatile struct {
	u32 sequence;
	u8 form;
} now[SITES];

static struct cpu {
	volatile u32 here;
	volatile u32 acked; /* the last sync that it has answered */
	volatile u32 again; /* so often it was inside */
	volatile u32 runs[SITES][VMI_FORMS], all, wrong;
	volatile u32 breakpoints;
	volatile u32 first_wrong; /* site */
	u32 random;
	u32 flags; /* while it runs a site */
	struct regs was, is;
	u32 entry[4];
	u64 tsc;
} cpu[CPUS];

static u32 random(struct cpu *c, u32 below)
{
	c->random = c->random * 1664525 + 1013904223;
	return (c->random >> 8) % below;
}

static bool right(struct cpu *c, u32 i)
{
	struct regs want = c->was, *got = &c->is;
	u64 tsc = (u64)got->edx << 32 | got->eax;

	switch (i) {
	case GET_OFF:
		want.eax = 0;
		break;
	case GET_ON:
		want.eax = VMI_IF;
		break;
	case GET_CR3:
		want.eax = cr3();
		break;
	case SET_PXE:
		if (c->entry[1] != want.eax || c->entry[0] || c->entry[2])
			return false;
		break;
	case RDTSC:
		if (tsc <= c->tsc || tsc - c->tsc > 1ull << 40)
			return false;
		c->tsc = tsc;
		want.eax = got->eax;
		want.edx = got->edx;
	}
	return same(&want, got, sizeof(want));
}

static void run_site(struct cpu *c, u32 i)
{
	u32 sequence = now[i].sequence, form = now[i].form, n = c->all;

	c->was = (struct regs){ .edi = 0xd1000000 + n,
				.esi = 0x51000000 + n,
				.ebp = 0xb9000000 + n,
				.ebx = 0xb3000000 + n,
				.edx = 0xd3000000 + n,
				.ecx = 0xc3000000 + n,
				.eax = 0xa3000000 + n };
	if (i == SET_PXE) {
		c->was.edx = (u32)&c->entry[1];
		c->was.ecx = VMI_PAGE_PT;
	}
	c->is = c->was;
	__asm__ volatile("pushf\n\tor %0, (%%esp)\n\tpopf" : : "r"(c->flags) : "cc", "memory");
	live_call(slot[i].code, &c->is);
	__asm__ volatile("pushf\n\tandl %0, (%%esp)\n\tpopf" : : "i"(~EFLAGS_TF) : "cc", "memory");
	if (!right(c, i) && !c->wrong++)
		c->first_wrong = i;
	c->all++;
	if (form < VMI_FORMS && now[i].sequence == sequence)
		c->runs[i][form]++;
}

static void run_all(struct cpu *c)
{
	u32 i;

	for (i = 0; i < SITES; i++)
		run_site(c, i);
}

static volatile bool go_on = true;

/* Emulators look for interrupts, and let another CPU run, between few instructions only. */
static bool one_step(struct trap *trap)
{
	struct cpu *c = &cpu[apic_id()];

	(void)trap;
	if (random(c, 4) == 0)
		pause();
	return true;
}

static void other_cpu(void)
{
	struct cpu *c = &cpu[apic_id()];

	*apic(APIC_SVR) = APIC_SVR_ON;
	c->tsc = rdtsc();
	c->random = apic_id();
	c->here = true;
	while (go_on) {
		c->flags = random(c, 4) ? 0 : EFLAGS_TF;
		run_all(c);
		if (!random(c, 4))
			pause();
	}
	c->here = false;
	for (;;)
		__asm__ volatile("cli\n\thlt");
}

/* ------------------------------------------------------------------------
 * The protocol
 */

static volatile struct {
	u32 address, size;
	u32 number; /* written last */
} wanted;
static u32 syncs;

/*
 * Parallel TCG (QEMU 7.2) may translate code while another CPU writes it, and keep that; a
 * store makes it look again. Of a processor CPUID is enough.
 */
static void serialize(u32 address)
{
	u32 r[4];

	cpuid(0, 0, r);
	__asm__ volatile("lock orb $0, (%0)" : : "r"(address) : "memory", "cc");
}

static bool told(struct trap *trap)
{
	struct cpu *c = &cpu[apic_id()];
	u32 number = wanted.number;

	*apic(APIC_EOI) = 0;
	if (trap->eip > wanted.address && trap->eip < wanted.address + wanted.size) {
		c->again++;
	} else {
		serialize(wanted.address);
		c->acked = number;
	}
	return true;
}

static bool breakpoint(struct trap *trap)
{
	struct cpu *c = &cpu[apic_id()];
	u32 number = wanted.number, address = trap->eip - 1, i;

	for (i = 0; i < SITES && address != sites[i].address; i++)
		;
	if (i == SITES)
		return false;
	trap->eip = address;
	c->breakpoints++;
	if (*(volatile u8 *)at(address) != INT3 ||
	    (address == wanted.address && c->acked != number))
		serialize(address);
	if (address == wanted.address)
		c->acked = number;
	pause();
	return true;
}

static void tell(u32 i)
{
	while (*apic(APIC_ICR) & ICR_PENDING)
		;
	*apic(APIC_ICR_HIGH) = i << 24;
	*apic(APIC_ICR) = VECTOR_SYNC;
}

static VMI_REGPARM void sync(u32 address, u32 size, u32 argument)
{
	u32 again[CPUS], i, polls;

	if (argument != SYNC_ARGUMENT)
		bail("sync's argument is %x", argument);
	syncs++;
	wanted.address = address;
	wanted.size = size;
	wanted.number++;
	for (i = 1; i < cpus; i++) {
		again[i] = cpu[i].again;
		tell(i);
	}
	for (i = 1; i < cpus; i++)
		for (polls = 0; cpu[i].acked != wanted.number; polls++) {
			if (again[i] != cpu[i].again) {
				again[i] = cpu[i].again;
				tell(i);
			}
			if (polls == PATIENCE)
				bail("CPU %u does not answer", i);
			pause();
		}
}

static void bring(u32 i, u8 form)
{
	struct vmi_patch request = { .records = (u32)sites,
				     .count = SITES,
				     .first = i,
				     .number = 1,
				     .form = form,
				     .text = (u32)slot,
				     .text_size = sizeof(slot),
				     .kept = (u32)kept,
				     .sync = (u32)sync,
				     .argument = SYNC_ARGUMENT };
	u32 result, kind, before = syncs, form_before = now[i].form;

	now[i].form = CHANGING;
	now[i].sequence++;
	result = VMI(&rom, PatchSites)(&request);
	if (result)
		bail("PatchSites: %u", result);
	for (kind = 0; !request.forms[kind]; kind++)
		;
	equal(syncs - before, kind == form_before ? 0 : 3, "calls of sync");
	now[i].form = (u8)kind;
}

static void report(void)
{
	u32 i, form, k;

	for (i = 0; i < cpus; i++) {
		print("# CPU %u: %u runs, %u breakpoints, %u times inside\n", i, cpu[i].all,
		      cpu[i].breakpoints, cpu[i].again);
		expect(!cpu[i].wrong, "CPU %u: %u wrong results, first at site %u", i, cpu[i].wrong,
		       cpu[i].first_wrong);
	}
	for (k = 0; k < SITES; k++) {
		print("# %s:", call_name[kinds[k].row]);
		for (i = 0; i < cpus; i++) {
			for (form = 0; form < VMI_FORMS; form++)
				print(" %u", cpu[i].runs[k][form]);
			print(i + 1 < cpus ? "," : "\n");
		}
	}
}

/* Every site in one form, until every CPU has run it. */
static void settle(u8 form)
{
	u32 i, k, polls;

	for (k = 0; k < SITES; k++) {
		bring(k, form);
		for (i = 1; i < cpus; i++)
			for (polls = 0; !cpu[i].runs[k][now[k].form]; polls++)
				if (polls == PATIENCE)
					bail("CPU %u does not run site %u", i, k);
				else
					pause();
		run_all(&cpu[0]);
	}
}

void guest_main(void)
{
	static const u8 forms[] = { VMI_PATCH_BEST, VMI_PATCH_CALLS, VMI_PATCH_ORIGINAL };
	u32 n, i, switches = option_number("switches", SWITCHES);

	cpus = option_number("cpus", CPUS);
	if (!rom_find(&rom, option_number("major", 3)))
		bail("no ROM");
	if (rom_init(&rom))
		bail("Init failed");
	sites_start();
	on_trap(VECTOR_SYNC, told);
	on_trap(VECTOR_BREAKPOINT, breakpoint);
	on_trap(VECTOR_STEP, one_step);
	*apic(APIC_SVR) = APIC_SVR_ON;
	cpu[0].tsc = rdtsc();
	for (i = 1; i < cpus; i++) {
		if (!cpu_start(i, other_cpu))
			bail("CPU %u does not start", i);
		while (!cpu[i].here)
			pause();
	}
	run_all(&cpu[0]);
	for (n = 0; n < switches; n++) {
		bring(n % SITES, forms[n / SITES % ARRAY_SIZE(forms)]);
		run_all(&cpu[0]);
		pause();
	}
	for (i = 0; i < ARRAY_SIZE(forms); i++)
		settle(forms[(n / SITES + 1 + i) % ARRAY_SIZE(forms)]);
	report();
	for (i = 0; i < cpus; i++)
		expect(cpu[i].all > switches, "CPU %u has hardly run", i);
	for (i = 1; i < cpus && option("icount"); i++)
		expect(cpu[i].breakpoints && cpu[i].again,
		       "CPU %u was at a breakpoint %u times, inside %u times", i,
		       cpu[i].breakpoints, cpu[i].again);
	point("%u switches of sites that %u CPUs run", switches, cpus);
	go_on = false;
	for (i = 1; i < cpus; i++)
		while (cpu[i].here)
			pause();
	ok(true, "all CPUs are still there");
}
