/* SPDX-License-Identifier: GPL-2.0-only */
/* The operations on the bare machine: its own instructions, the 8254, the RTC, the local APIC. */
#include "pv.h"

/* ------------------------------------------------------------------------
 * The hot six: bodies that native_patch() puts into the sites, too
 */

/* clang-format off */
#define BODY(name, code, leave)                                                                    \
	extern const u8 native_##name##_end[];                                                     \
	void native_##name(void);                                                                  \
	__asm__("native_" #name ":\n\t" code "\n"                                                  \
		"native_" #name "_end:\n\t" leave)
BODY(iret, "iret", "");
BODY(sysexit, "sti\n\tsysexit", "");
BODY(save_fl, "pushf\n\tpop %eax", "ret");
BODY(restore_fl, "push %eax\n\tpopf", "ret");
BODY(irq_disable, "cli", "ret");
BODY(irq_enable, "sti", "ret");
BODY(cpuid, "cpuid", "ret");
BODY(safe_halt, "sti\n\thlt", "ret");
/* clang-format on */

static const struct body {
	u32 op;
	void (*start)(void);
	const u8 *end;
} bodies[] = {
#define HOT(name) { PV_OP(name), native_##name, native_##name##_end }
	HOT(iret),     HOT(sysexit),	 HOT(save_fl),
	HOT(irq_enable), HOT(irq_disable), HOT(restore_fl),
};

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
 * The processor and its page tables
 */

static PV void native_wrmsr(u64 value, u32 msr)
{
	wrmsr(msr, value);
}

static PV u32 native_read_cr0(void)
{
	return cr0();
}

static PV void native_write_cr0(u32 value)
{
	set_cr0(value);
}

static PV u32 native_read_cr2(void)
{
	return cr2();
}

static PV u32 native_read_cr3(void)
{
	return cr3();
}

static PV void native_write_cr3(u32 value)
{
	set_cr3(value);
}

static PV u32 native_read_cr4(void)
{
	return cr4();
}

static PV void native_load_gdt(const struct vmi_dtr *dtr)
{
	__asm__ volatile("lgdt %0" : : "m"(*dtr));
}

static PV void native_load_idt(const struct vmi_dtr *dtr)
{
	__asm__ volatile("lidt %0" : : "m"(*dtr));
}

static PV void native_load_ldt(u32 selector)
{
	__asm__ volatile("lldt %w0" : : "r"(selector));
}

static PV void native_load_tr(u32 selector)
{
	__asm__ volatile("ltr %w0" : : "r"(selector));
}

static PV void native_write_entry(void *table, u32 index, u32 low, u32 high)
{
	u32 *entry = (u32 *)table + index * 2;

	entry[0] = low;
	entry[1] = high;
}

static PV void native_load_esp0(void *tss_, u32 esp0)
{
	((u32 *)tss_)[TSS_ESP0] = esp0;
}

static PV void native_outb(u8 value, u32 port)
{
	outb((u16)port, value);
}

static PV u8 native_inb(u32 unused, u32 port)
{
	(void)unused;
	return inb((u16)port);
}

static PV void native_io_delay(void)
{
	outb(0x80, 0);
}

static PV void native_set_pte(u32 entry, void *at, u32 flags)
{
	(void)flags;
	*(volatile u32 *)at = entry;
}

/* No processor may see the new low word with the old high word, so present goes first. */
static PV void native_set_pte_long(u64 entry, void *at, u32 flags)
{
	volatile u32 *word = at;

	(void)flags;
	word[0] = 0;
	word[1] = (u32)(entry >> 32);
	word[0] = (u32)entry;
}

static PV void native_alloc_page(u32 pfn, u32 flags, u32 clone_pfn, u32 first, u32 count)
{
	(void)pfn, (void)flags, (void)clone_pfn, (void)first, (void)count;
}

static PV void native_release_page(u32 pfn, u32 flags)
{
	(void)pfn, (void)flags;
}

static PV void native_set_linear_mapping(u32 slot, u32 linear, u32 pages, u32 pfn)
{
	(void)slot, (void)linear, (void)pages, (void)pfn;
}

static PV void native_flush_tlb(u32 how)
{
	(void)how; /* nothing is global */
	set_cr3(cr3());
}

static PV void native_flush_tlb_single(u32 linear)
{
	invlpg(linear);
}

static PV void native_set_lazy_mode(u32 mode)
{
	(void)mode;
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
	days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month - 457) / 5 + day - 719469;
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

#define NATIVE(name) .name = (void *)native_##name

struct pv_ops pv_ops = {
	NATIVE(iret),
	NATIVE(sysexit),
	NATIVE(save_fl),
	NATIVE(restore_fl),
	NATIVE(irq_disable),
	NATIVE(irq_enable),
	NATIVE(safe_halt),
	NATIVE(cpuid),
	NATIVE(wrmsr),
	NATIVE(read_cr0),
	NATIVE(write_cr0),
	NATIVE(read_cr2),
	NATIVE(read_cr3),
	NATIVE(write_cr3),
	NATIVE(read_cr4),
	NATIVE(load_gdt),
	NATIVE(load_idt),
	NATIVE(load_ldt),
	NATIVE(load_tr),
	.write_gdt_entry = native_write_entry,
	.write_idt_entry = native_write_entry,
	NATIVE(load_esp0),
	NATIVE(outb),
	NATIVE(inb),
	NATIVE(io_delay),
	NATIVE(set_pte),
	NATIVE(set_pte_long),
	NATIVE(alloc_page),
	NATIVE(release_page),
	NATIVE(set_linear_mapping),
	NATIVE(flush_tlb),
	NATIVE(flush_tlb_single),
	NATIVE(set_lazy_mode),
	NATIVE(cycle_frequency),
	NATIVE(cycle_counter),
	NATIVE(set_alarm),
	NATIVE(cancel_alarm),
	NATIVE(wallclock),
	NATIVE(apic_write),
	NATIVE(apic_read),
	NATIVE(start_cpu),
};

void native_start(void)
{
	measure();
	wall_at_0 = rtc_seconds() * VMI_WALLCLOCK_HZ - divide64(rdtsc(), tsc_mhz) * 1000;
}
