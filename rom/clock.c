/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * POST's part of time: how fast the TSC counts and what the RTC says.
 *
 * The TSC is measured against the ACPI PM timer, or the running PIT where there
 * is none. Neither is reprogrammed. Where the next tick of the PIT is certain
 * to end a HLT, the wait costs a few instructions; otherwise it is polled.
 */
#include "rom.h"

#define PM_TIMER_HZ 3579545u
#define PM_TIMER_MASK 0xffffff
#define PM_TIMER_LEAST (PM_TIMER_HZ / 200) /* 5 ms */

#define PIT_HZ 1193182u
#define PIT_MASK 0xffff
#define PIT_LEAST (PIT_HZ / 100) /* 10 ms */
#define PIT_READ_BACK_0 0xc2	 /* latch status and count of channel 0 */
#define PIT_STATUS_OUT 0x80
#define PIT_STATUS_PERIODIC 0x34 /* both bytes; of the modes, bit 2 is set in 2 and 3 only */
#define PIT_STATUS_MODE 0x0e
#define PIT_MODE_3 0x06

#define EDGE_POLLS 1024	   /* a tick is 279 or 838 ns */
#define MOST_POLLS 1000000 /* of a port, some 100 ns each at least */
#define MOST_HALTS 16

#define BDA_TICKS 0x46c

#define PIC_MASTER 0x20
#define PIC_MASTER_MASK 0x21
#define PIC_READ_ISR 0x0b
#define PIC_READ_IRR 0x0a /* what BIOSes leave selected */
#define PIC_IRQ0 0x01

#define APIC_LVT_LINT0 0x350
#define APIC_LVT_MASKED (1u << 16)
#define APIC_LVT_MODE (7u << 8)
#define APIC_LVT_EXTINT (7u << 8)

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
#define RTC_STATUS_D 0x0d
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

/* Latched, so both bytes are of one moment. Mode 3 counts down twice, by 2. */
static u32 pit_phase(u32 *status)
{
	u32 count;

	outb(PIT_CONTROL, PIT_READ_BACK_0);
	*status = inb(PIT_CHANNEL_0);
	count = inb(PIT_CHANNEL_0);
	count |= (u32)inb(PIT_CHANNEL_0) << 8;
	if ((*status & PIT_STATUS_MODE) != PIT_MODE_3)
		return (0x10000 - count) & 0xffff;
	return ((0x10000 - count) / 2 & 0x7fff) + (*status & PIT_STATUS_OUT ? 0 : 0x8000);
}

/* Of the PM timer, or of the PIT with the BIOS's period of 65,536. */
static u32 ticks_now(const struct post *post)
{
	u32 status;

	if (post->pm_timer)
		return inl(post->state->acpi.pm_timer) & PM_TIMER_MASK;
	return pit_phase(&status);
}

/*
 * The TSC at a tick: polls until the timer moves. A read that took longer than
 * others did (an SMI, a host that ran something else) is not believed, the next
 * tick is. False: the timer does not move.
 */
static bool edge(const struct post *post, struct clock_sample *sample)
{
	u32 before = ticks_now(post), polls, took, least = ~0u;

	for (polls = 0; polls < EDGE_POLLS; polls++) {
		u64 start = rdtsc();

		sample->ticks = ticks_now(post);
		sample->tsc = rdtsc();
		took = (u32)(sample->tsc - start);
		if (took < least)
			least = took;
		if (sample->ticks != before && polls && took <= 2 * least) {
			sample->turns = *(volatile u32 *)at(BDA_TICKS);
			return true;
		}
		before = sample->ticks;
	}
	return false;
}

/* The master PIC's output reaches this CPU. */
static bool lint0_open(void)
{
	u64 base;
	const volatile u32 *apic;

	if (!(cpuid(1).edx & CPUID_1_EDX_APIC) || !(cpuid(1).edx & CPUID_1_EDX_MSR))
		return true;
	base = rdmsr(IA32_APIC_BASE);
	if (!(base & APIC_BASE_ENABLED))
		return true;
	if (base & APIC_BASE_X2APIC)
		return false;
	apic = at((u32)base & APIC_BASE_ADDRESS);
	return (apic[APIC_LVT_LINT0 / 4] & (APIC_LVT_MASKED | APIC_LVT_MODE)) == APIC_LVT_EXTINT;
}

/*
 * A HLT will end: the firmware takes interrupts, the PIT ticks, and nothing on
 * the way from there to the CPU is masked.
 */
static bool tick_comes(const struct post *post)
{
	u32 before, status, polls;
	u8 in_service;

	outb(PIC_MASTER, PIC_READ_ISR);
	in_service = inb(PIC_MASTER);
	outb(PIC_MASTER, PIC_READ_IRR);
	if (!(post->eflags & VMI_IF) || ((inb(PIC_MASTER_MASK) | in_service) & PIC_IRQ0) ||
	    !lint0_open() || post->state->acpi.hpet_replaces_pit)
		return false;
	before = pit_phase(&status);
	if ((status & PIT_STATUS_PERIODIC) != PIT_STATUS_PERIODIC)
		return false;
	for (polls = 0; polls < EDGE_POLLS; polls++)
		if (pit_phase(&status) != before)
			return true;
	return false;
}

/*
 * Ticks from the last sample to this one. The PIT turns over between two HLTs:
 * the BIOS counts its turns, but not while interrupts are off.
 */
static u32 ticks_since(const struct post *post, const struct clock_sample *now)
{
	u32 ticks = now->ticks - post->last.ticks, turns = now->turns - post->last.turns;

	if (post->pm_timer)
		return ticks & PM_TIMER_MASK;
	return turns ? ticks + turns * (PIT_MASK + 1) : ticks & PIT_MASK;
}

/* Take a sample; true where it is long enough after the first. */
static bool measured(struct post *post, struct clock *clock)
{
	struct clock_sample now;
	u32 ticks;

	if (!edge(post, &now)) {
		post->restart = true;
		return false;
	}
	ticks = ticks_since(post, &now);
	if (post->restart || ticks > PM_TIMER_MASK) { /* midnight resets the BIOS's count */
		post->restart = false;
		post->ticks = 0;
		post->start = post->last = now;
		return false;
	}
	post->ticks += ticks;
	post->last = now;
	if (post->ticks < (post->pm_timer ? PM_TIMER_LEAST : PIT_LEAST))
		return false;
	clock->tsc_hz = divide(
		(now.tsc - post->start.tsc) * (post->pm_timer ? PM_TIMER_HZ : PIT_HZ), post->ticks);
	return true;
}

bool clock_measure(struct clock *clock, struct post *post)
{
	u32 polls;

	if (post->halts)
		return !measured(post, clock) && ++post->halts <= MOST_HALTS;

	if (!cpuid_present() || !(cpuid(1).edx & CPUID_1_EDX_TSC))
		return false;
	clock->tsc_hz = hz_from_cpuid();
	if (clock->tsc_hz)
		return false;
	post->pm_timer = post->state->acpi.pm_timer != 0;
	if (!post->pm_timer || !edge(post, &post->start)) {
		post->pm_timer = false;
		if (!edge(post, &post->start))
			return false;
	}
	post->last = post->start;
	if (tick_comes(post)) {
		/* A tick that waits would be counted as a turn. */
		post->restart = (inb(PIC_MASTER) & PIC_IRQ0) != 0;
		post->halts = 1;
		return true;
	}
	for (polls = 0; polls < MOST_POLLS / 2 && !measured(post, clock); polls++)
		;
	return false;
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
	u32 y = month > 2 ? year : year - 1; /* years begin in March */
	u32 m = month > 2 ? month - 3 : month + 9;

	return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719468;
}

static u64 rtc_nanoseconds(u8 century_index)
{
	struct rtc rtc, again;
	u32 polls, hours, year, century;
	u8 b;
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
	cmos(RTC_STATUS_D); /* the index cannot be read back: leave a harmless one */

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
	if (century < 19 || century > 21)
		century = rtc.year < 70 ? 20 : 19;
	year = century * 100 + rtc.year;
	if (year < 1970 || rtc.year > 99 || !rtc.month || rtc.month > 12 || !rtc.day ||
	    rtc.day > 31 || hours > 23 || rtc.minutes > 59 || rtc.seconds > 59)
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
