/* SPDX-License-Identifier: GPL-2.0-only */
/* The operations on the bare machine: its own instructions, the 8254, the RTC, the local APIC. */
#include "pv.h"

/* ------------------------------------------------------------------------
 * Instructions. The arguments are in EAX, EDX, ECX and at [ESP + 4].
 */

/* clang-format off */
#define BODY(name, code, leave)                                                                    \
	extern const u8 native_##name##_end[];                                                     \
	void native_##name(void);                                                                  \
	__asm__("native_" #name ":\n\t" code "\n"                                                  \
		"native_" #name "_end:\n\t" leave)
#define INSTRUCTION(name, code) BODY(name, code, "ret")

BODY(iret, "iret", "");
BODY(sysexit, "sti\n\tsysexit", "");
INSTRUCTION(save_fl, "pushf\n\tpop %eax");
INSTRUCTION(restore_fl, "push %eax\n\tpopf");
INSTRUCTION(irq_disable, "cli");
INSTRUCTION(irq_enable, "sti");
INSTRUCTION(safe_halt, "sti\n\thlt");
INSTRUCTION(cpuid, "cpuid");
INSTRUCTION(wrmsr, "wrmsr");
INSTRUCTION(read_cr0, "mov %cr0, %eax");
INSTRUCTION(write_cr0, "mov %eax, %cr0");
INSTRUCTION(read_cr2, "mov %cr2, %eax");
INSTRUCTION(read_cr3, "mov %cr3, %eax");
INSTRUCTION(write_cr3, "mov %eax, %cr3");
INSTRUCTION(read_cr4, "mov %cr4, %eax");
INSTRUCTION(load_gdt, "lgdt (%eax)");
INSTRUCTION(load_idt, "lidt (%eax)");
INSTRUCTION(load_ldt, "lldt %ax");
INSTRUCTION(load_tr, "ltr %ax");
INSTRUCTION(write_entry, "mov %ecx, (%eax, %edx, 8)\n\t"
			 "mov 4(%esp), %ecx\n\tmov %ecx, 4(%eax, %edx, 8)");
INSTRUCTION(load_esp0, "mov %edx, 4(%eax)");
INSTRUCTION(outb, "out %al, %dx");
INSTRUCTION(inb, "in %dx, %al");
INSTRUCTION(io_delay, "out %al, $0x80");
INSTRUCTION(set_pte, "mov %eax, (%edx)");
/* Not present while the words do not belong together. */
INSTRUCTION(set_pte_long, "movl $0, (%ecx)\n\tmov %edx, 4(%ecx)\n\tmov %eax, (%ecx)");
INSTRUCTION(flush_tlb, "mov %cr3, %eax\n\tmov %eax, %cr3"); /* nothing is global */
INSTRUCTION(flush_tlb_single, "invlpg (%eax)");
INSTRUCTION(nothing, "");

/* The hot six: what native_patch() puts into the sites, too. */
#define HOT(name) { PV_OP(name), native_##name, native_##name##_end }
static const struct body {
	u32 op;
	void (*start)(void);
	const u8 *end;
} bodies[] = {
	HOT(iret), HOT(sysexit), HOT(save_fl), HOT(irq_enable), HOT(irq_disable), HOT(restore_fl),
};
/* clang-format on */

static const struct body *body_of(const struct pv_site *site)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(bodies); i++)
		if (bodies[i].op == site->op)
			return &bodies[i];
	return NULL;
}

bool pv_hot(const struct pv_site *site)
{
	return body_of(site);
}

void native_patch(void)
{
	const struct pv_site *site;
	const struct body *body;
	u32 size;

	for (site = pv_sites; site < pv_sites_end; site++) {
		body = body_of(site);
		if (!body)
			continue;
		size = (u32)body->end - (u32)body->start;
		memcpy(at(site->address), (const void *)body->start, size);
		pv_fill(at(site->address + size), site->size - size);
	}
}

void pv_fill(u8 *p, u32 size)
{
	/* [SDM vol. 2, NOP]: the recommended one of each length */
	static const u8 nops[][9] = {
		{ 0x90 },
		{ 0x66, 0x90 },
		{ 0x0f, 0x1f, 0x00 },
		{ 0x0f, 0x1f, 0x40, 0x00 },
		{ 0x0f, 0x1f, 0x44, 0x00, 0x00 },
		{ 0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00 },
		{ 0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00 },
		{ 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00 },
		{ 0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00 },
	};
	u32 n;

	for (; size; p += n, size -= n) {
		n = size < ARRAY_SIZE(nops) ? size : ARRAY_SIZE(nops);
		memcpy(p, nops[n - 1], n);
	}
}

/* ------------------------------------------------------------------------
 * Time: the TSC, the 8254 on IRQ 0, the local APIC's timer, the RTC
 */

#define PIT_HZ 1193182
#define PIT_0 0x40
#define PIT_2 0x42
#define PIT_CONTROL 0x43
#define PIT_RATE_0 0x34	 /* channel 0, 16 bits, mode 2 */
#define PIT_COUNT_2 0xb0 /* channel 2, 16 bits, mode 0 */
#define PORT_B 0x61
#define PORT_B_GATE_2 0x01
#define PORT_B_OUT_2 0x20
#define RTC_INDEX 0x70
#define RTC_DATA 0x71
#define RTC_UPDATING 0x80 /* in register A */
#define MEASURED_US 20000
#define APIC_DIVIDE_16 3

static u32 tsc_mhz, apic_mhz_16; /* ticks of a microsecond; of the APIC's timer, times 16 */
static u64 wall_at_0;		 /* nanoseconds since 1970 when the TSC was 0 */

static PV u32 native_apic_read(u32 offset)
{
	return *(volatile u32 *)at(APIC + offset);
}

static PV void native_apic_write(u32 offset, u32 value)
{
	*(volatile u32 *)at(APIC + offset) = value;
}

/* The TSC and the APIC's timer against the 8254. */
static void measure(void)
{
	u32 ticks = PIT_HZ / (1000000 / MEASURED_US), counted;
	u64 start;

	native_apic_write(APIC_DIVIDE, APIC_DIVIDE_16);
	outb(PORT_B, (u8)((inb(PORT_B) & ~3u) | PORT_B_GATE_2));
	outb(PIT_CONTROL, PIT_COUNT_2);
	outb(PIT_2, (u8)ticks);
	outb(PIT_2, (u8)(ticks >> 8));
	native_apic_write(APIC_INITIAL, 0xffffffff);
	start = rdtsc();
	while (!(inb(PORT_B) & PORT_B_OUT_2))
		;
	tsc_mhz = (u32)divide64(rdtsc() - start + MEASURED_US / 2, MEASURED_US);
	counted = 0xffffffff - native_apic_read(APIC_CURRENT);
	apic_mhz_16 = (u32)divide64((u64)counted * 16, MEASURED_US);
	native_apic_write(APIC_INITIAL, 0);
}

static u32 rtc(u8 index)
{
	u32 bcd;

	outb(RTC_INDEX, index);
	bcd = inb(RTC_DATA);
	return (bcd >> 4) * 10 + (bcd & 15);
}

static u64 rtc_seconds(void)
{
	u32 year, month, day, days;

	do
		outb(RTC_INDEX, 0x0a);
	while (inb(RTC_DATA) & RTC_UPDATING);
	year = 2000 + rtc(9);
	month = rtc(8);
	day = rtc(7);
	/* Days since 1970, in years that begin in March. */
	if (month <= 2)
		year--, month += 12;
	days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month - 457) / 5 + day -
	       719469;
	return (u64)days * 86400 + rtc(4) * 3600 + rtc(2) * 60 + rtc(0);
}

static PV u64 native_cycle_frequency(void)
{
	return tsc_mhz * 1000000ull;
}

static PV u64 native_cycle_counter(u32 counter)
{
	return counter <= VMI_CYCLES_AVAILABLE ? rdtsc() : 0;
}

static PV u64 native_wallclock(void)
{
	return wall_at_0 + divide64(rdtsc(), tsc_mhz) * 1000;
}

/* Periodic ones that start now: what this kernel needs. */
static PV void native_set_alarm(u32 flags, u64 expiry, u64 period)
{
	u32 us = (u32)divide64(period, tsc_mhz), ticks = us * (PIT_HZ / 1000) / 1000;

	(void)expiry;
	if (flags & VMI_ALARM_WIRED_LVTT) {
		native_apic_write(APIC_LVTT, native_apic_read(APIC_LVTT) | APIC_LVTT_PERIODIC);
		native_apic_write(APIC_DIVIDE, APIC_DIVIDE_16);
		native_apic_write(APIC_INITIAL, us * apic_mhz_16 / 16);
	} else {
		outb(PIT_CONTROL, PIT_RATE_0);
		outb(PIT_0, (u8)ticks);
		outb(PIT_0, (u8)(ticks >> 8));
	}
}

static PV u32 native_cancel_alarm(u32 flags)
{
	if (flags & VMI_ALARM_WIRED_LVTT)
		native_apic_write(APIC_INITIAL, 0);
	else
		outb(PIT_CONTROL, PIT_RATE_0); /* no count: it waits for one */
	return 1;
}

/* ------------------------------------------------------------------------
 * Other processors: the library's code in the first megabyte, and then here
 */

static void (*start_function)(void);
static u32 start_esp;

static void started(void)
{
	__asm__ volatile("mov %0, %%esp\n\tpush $0\n\tjmp *%1"
			 :
			 : "r"(start_esp), "r"(start_function));
}

static bool native_start_cpu(u32 apic_id_, void (*function)(void), u32 esp)
{
	start_function = function;
	start_esp = esp;
	return cpu_start(apic_id_, started);
}

/* ------------------------------------------------------------------------
 * The table
 */

#define OP(name) .name = (void *)native_##name
#define OP_AS(name, other) .name = (void *)native_##other

struct pv_ops pv_ops = {
	OP(iret),
	OP(sysexit),
	OP(save_fl),
	OP(restore_fl),
	OP(irq_disable),
	OP(irq_enable),
	OP(safe_halt),
	OP(cpuid),
	OP(wrmsr),
	OP(read_cr0),
	OP(write_cr0),
	OP(read_cr2),
	OP(read_cr3),
	OP(write_cr3),
	OP(read_cr4),
	OP(load_gdt),
	OP(load_idt),
	OP(load_ldt),
	OP(load_tr),
	OP_AS(write_gdt_entry, write_entry),
	OP_AS(write_idt_entry, write_entry),
	OP(load_esp0),
	OP(outb),
	OP(inb),
	OP(io_delay),
	OP(set_pte),
	OP(set_pte_long),
	OP_AS(alloc_page, nothing),
	OP_AS(release_page, nothing),
	OP_AS(set_linear_mapping, nothing),
	OP(flush_tlb),
	OP(flush_tlb_single),
	OP_AS(set_lazy_mode, nothing),
	OP(cycle_frequency),
	OP(cycle_counter),
	OP(set_alarm),
	OP(cancel_alarm),
	OP(wallclock),
	OP(apic_write),
	OP(apic_read),
	OP(start_cpu),
};

void native_start(void)
{
	measure();
	wall_at_0 = rtc_seconds() * VMI_WALLCLOCK_HZ - divide64(rdtsc(), tsc_mhz) * 1000;
}
