/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * POST's part of time: how fast the TSC counts and what the RTC says.
 *
 * The TSC is measured against the ACPI PM timer, halted in between so that the
 * wait costs a few instructions, or against the running PIT where there is no
 * PM timer. Neither is reprogrammed.
 */
#include "rom.h"

#define PM_TIMER_HZ 3579545u
#define PM_TIMER_MASK 0xffffff
#define PM_TIMER_LEAST (PM_TIMER_HZ / 200)   /* 5 ms */
#define PM_TIMER_POLLS 64		     /* a tick is 279 ns */
#define HALTS_MOST 16

#define PIT_HZ 1193182u
#define PIT_CHANNEL_0 0x40
#define PIT_CONTROL 0x43
#define PIT_READ_BACK_0 0xc2 /* latch status and count of channel 0 */
#define PIT_STATUS_OUT 0x80
#define PIT_STATUS_NO_COUNT 0x40
#define PIT_STATUS_MODE 0x0e
#define PIT_MODE_3 0x06
#define PIT_LEAST (PIT_HZ / 50) /* 20 ms, less than one period of 55 ms */
#define PIT_POLLS 2000000
#define PIT_TICK_POLLS 256 /* a tick is 838 ns */

#define PIC_MASTER_MASK 0x21
#define PIC_IRQ0 0x01

#define CMOS_INDEX 0x70
#define CMOS_DATA 0x71
#define RTC_SECONDS 0x00
#define RTC_MINUTES 0x02
#define RTC_HOURS 0x04
#define RTC_DAY 0x07
#define RTC_MONTH 0x08
#define RTC_YEAR 0x09
#define RTC_STATUS_A 0x0a
#define RTC_STATUS_A_UPDATING 0x80
#define RTC_STATUS_B 0x0b
#define RTC_STATUS_B_24H 0x02
#define RTC_STATUS_B_BINARY 0x04
#define RTC_HOURS_PM 0x80
#define RTC_CENTURY 0x32
#define RTC_POLLS 1000 /* an update takes 2 ms at most, a read some 1 us */

#define CPUID_TSC_CRYSTAL 0x15
#define CPUID_HYPERVISOR 0x40000000
#define CPUID_HYPERVISOR_TIMING 0x40000010 /* EAX: TSC in kHz */

/* ------------------------------------------------------------------------
 * Frequency
 */

static u64 hz_from_cpuid(void)
{
	struct cpuid r = cpuid(0);

	if (r.eax >= CPUID_TSC_CRYSTAL) {
		r = cpuid(CPUID_TSC_CRYSTAL);
		if (r.eax && r.ebx && r.ecx)
			return divide((u64)r.ecx * r.ebx, r.eax);
	}
	if (cpuid(1).ecx & CPUID_1_ECX_HYPERVISOR) {
		r = cpuid(CPUID_HYPERVISOR);
		if (r.eax >= CPUID_HYPERVISOR_TIMING && r.eax < CPUID_HYPERVISOR + 0x100) {
			r = cpuid(CPUID_HYPERVISOR_TIMING);
			if (r.eax)
				return r.eax * 1000ull;
		}
	}
	return 0;
}

static u32 pm_timer(u16 port)
{
	return inl(port) & PM_TIMER_MASK;
}

/* The TSC at a tick of the PM timer: polls until it moves, one tick at most. */
static void pm_timer_edge(u16 port, struct clock_sample *sample)
{
	u32 before = pm_timer(port), polls;

	for (polls = 0; polls < PM_TIMER_POLLS * 16; polls++) {
		sample->ticks = pm_timer(port);
		sample->tsc = rdtsc();
		if (sample->ticks != before)
			break;
	}
}

/* Latched, so both bytes are of one moment. Mode 3 counts down twice, by 2. */
static u32 pit_phase(void)
{
	u32 status, count;

	outb(PIT_CONTROL, PIT_READ_BACK_0);
	status = inb(PIT_CHANNEL_0);
	count = inb(PIT_CHANNEL_0);
	count |= (u32)inb(PIT_CHANNEL_0) << 8;
	if ((status & PIT_STATUS_MODE) != PIT_MODE_3)
		return (0x10000 - count) & 0xffff;
	return ((0x10000 - count) / 2 & 0x7fff) + (status & PIT_STATUS_OUT ? 0 : 0x8000);
}

/* Assumes the BIOS's tick: a period of 65,536. */
static u64 hz_from_pit(void)
{
	u32 first = pit_phase(), ticks = 0, polls;
	u64 start = rdtsc(), end = start;

	for (polls = 0; polls < PIT_POLLS && ticks < PIT_LEAST; polls++) {
		ticks = (pit_phase() - first) & 0xffff;
		end = rdtsc();
	}
	return ticks < PIT_LEAST ? 0 : divide((end - start) * PIT_HZ, ticks);
}

static bool pit_counts(void)
{
	u32 phase = pit_phase(), polls;

	for (polls = 0; polls < PIT_TICK_POLLS; polls++)
		if (pit_phase() != phase)
			return true;
	return false;
}

/* A HLT ends: the PIT counts, and nothing masks its interrupt. */
static bool tick_comes(void)
{
	return !(inb(PIC_MASTER_MASK) & PIC_IRQ0) && pit_counts();
}

bool clock_measure(struct clock *clock, const struct acpi *acpi, struct post *post)
{
	struct clock_sample now;
	u32 ticks;

	if (!post->halts) {
		if (!cpuid_present() || !(cpuid(1).edx & CPUID_1_EDX_TSC))
			return false;
		clock->tsc_hz = hz_from_cpuid();
		if (clock->tsc_hz)
			return false;
		if (!acpi->pm_timer || !tick_comes()) {
			clock->tsc_hz = pit_counts() ? hz_from_pit() : 0;
			return false;
		}
		pm_timer_edge(acpi->pm_timer, &post->start);
	} else {
		pm_timer_edge(acpi->pm_timer, &now);
		ticks = (now.ticks - post->start.ticks) & PM_TIMER_MASK;
		if (ticks >= PM_TIMER_LEAST) {
			clock->tsc_hz = divide((now.tsc - post->start.tsc) * PM_TIMER_HZ, ticks);
			return false;
		}
	}
	return ++post->halts <= HALTS_MOST;
}

/* ------------------------------------------------------------------------
 * Wall clock
 */

struct rtc {
	u8 seconds, minutes, hours, day, month, year, century;
};

static u8 cmos(u8 index)
{
	outb(CMOS_INDEX, index | 0x80); /* NMI off meanwhile, as the BIOS does */
	return inb(CMOS_DATA);
}

static void rtc_read(struct rtc *rtc, u8 century)
{
	u32 polls;

	for (polls = 0; polls < RTC_POLLS; polls++)
		if (!(cmos(RTC_STATUS_A) & RTC_STATUS_A_UPDATING))
			break;
	rtc->seconds = cmos(RTC_SECONDS);
	rtc->minutes = cmos(RTC_MINUTES);
	rtc->hours = cmos(RTC_HOURS);
	rtc->day = cmos(RTC_DAY);
	rtc->month = cmos(RTC_MONTH);
	rtc->year = cmos(RTC_YEAR);
	rtc->century = cmos(century);
}

static u32 from_bcd(u32 value)
{
	return (value >> 4) * 10 + (value & 15);
}

/* Days from 1970-01-01 to a day of the Gregorian calendar. */
static u32 days(u32 year, u32 month, u32 day)
{
	u32 y = month > 2 ? year : year - 1;	    /* years begin in March */
	u32 m = month > 2 ? month - 3 : month + 9;

	return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719468;
}

static u64 rtc_nanoseconds(u8 century_index)
{
	struct rtc rtc, again;
	u32 polls, hours, year, century;
	u8 index = inb(CMOS_INDEX), b;
	bool binary;

	if (!century_index)
		century_index = RTC_CENTURY;
	/* Twice the same: no update came between the registers. */
	for (polls = 0; polls < 4; polls++) {
		rtc_read(&rtc, century_index);
		rtc_read(&again, century_index);
		if (same(&rtc, &again, sizeof(rtc)))
			break;
	}
	b = cmos(RTC_STATUS_B);
	binary = b & RTC_STATUS_B_BINARY;
	outb(CMOS_INDEX, index & 0x7f);
	inb(CMOS_DATA);

	hours = rtc.hours & (b & RTC_STATUS_B_24H ? 0xff : (u8)~RTC_HOURS_PM);
	if (!binary) {
		hours = from_bcd(hours);
		rtc.seconds = (u8)from_bcd(rtc.seconds);
		rtc.minutes = (u8)from_bcd(rtc.minutes);
		rtc.day = (u8)from_bcd(rtc.day);
		rtc.month = (u8)from_bcd(rtc.month);
		rtc.year = (u8)from_bcd(rtc.year);
	}
	if (!(b & RTC_STATUS_B_24H)) {
		hours %= 12;
		if (rtc.hours & RTC_HOURS_PM)
			hours += 12;
	}
	century = binary ? rtc.century : from_bcd(rtc.century);
	if (century < 19 || century > 99)
		century = rtc.year < 70 ? 20 : 19;
	year = century * 100 + rtc.year;
	if (year < 1970 || !rtc.month || rtc.month > 12 || !rtc.day)
		return 0;
	return (u64)(((days(year, rtc.month, rtc.day) * 24 + hours) * 60) + rtc.minutes) * 60 *
		       1000000000u +
	       (u64)rtc.seconds * 1000000000u;
}

void clock_start(struct clock *clock, u8 rtc_century)
{
	if (!clock->tsc_hz)
		return;
	clock->ns_per_cycle = ratio(1000000000u, clock->tsc_hz);
	clock->pit_per_cycle = ratio(PIT_HZ, clock->tsc_hz);
	clock->wall_ns = rtc_nanoseconds(rtc_century);
	clock->wall_tsc = rdtsc();
}
