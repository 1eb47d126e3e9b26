/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How fast the TSC and the local APIC's timer count.
 *
 * They are measured against the ACPI PM timer, or the running PIT where there
 * is none. Neither is reprogrammed. Where the next tick of the PIT is certain
 * to end a HLT, the wait costs a few instructions; otherwise it is polled. A
 * tick may come just before 4.5 ms are over, the next one is 54.9 ms later: the
 * wait ends within 60 ms. CPUID 16 gives a name, in MHz, and is not believed.
 */
#include "rom.h"

#define PM_TIMER_HZ 3579545u
#define PM_TIMER_MASK 0xffffff
#define PM_TIMER_LEAST (PM_TIMER_HZ / 222)

#define PIT_LEAST (PIT_HZ / 222)
#define PIT_READ_BACK_0 0xc2 /* latch status and count of channel 0 */
#define PIT_STATUS_OUT 0x80
#define PIT_STATUS_PERIODIC 0x34 /* both bytes; of the modes, bit 2 is set in 2 and 3 only */
#define PIT_STATUS_MODE 0x0e
#define PIT_STATUS_ACCESS 0x31 /* and BCD */
#define PIT_STATUS_BINARY 0x30 /* both bytes */
#define PIT_MODE_3 0x06

#define EDGE_POLLS 1024 /* a tick is 279 or 838 ns */
#define APIC_READS 8
#define MOST_HALTS 1000 /* other interrupts end a HLT, too */

#define BDA_TICKS 0x46c

#define PIC_MASTER 0x20
#define PIC_MASTER_MASK 0x21
#define PIC_READ_ISR 0x0b
#define PIC_READ_IRR 0x0a /* what BIOSes leave selected */
#define PIC_IRQ0 0x01

#define APIC_LVT_MODE (7u << 8)
#define APIC_LVT_EXTINT (7u << 8)

#define CPUID_TSC_CRYSTAL 0x15
#define CPUID_HYPERVISOR_TIMING 0x40000010 /* EAX: TSC in kHz; EBX: APIC timer */

/* n / d, d below 2^31. */
u64 divide(u64 n, u32 d)
{
	u32 high = (u32)(n >> 32) / d, rest = (u32)(n >> 32) % d, low;

	__asm__("divl %3" : "=a"(low), "=d"(rest) : "0"((u32)n), "rm"(d), "1"(rest) : "cc");
	return (u64)high << 32 | low;
}

/* 2^32 * a / b; a below b * 2^31. Bit by bit. */
u64 ratio(u64 a, u64 b)
{
	u64 q = 0, r = 0;
	int bit;

	for (bit = 63 + 32; bit >= 0; bit--) {
		r = r << 1 | (bit >= 32 ? a >> (bit - 32) & 1 : 0);
		q <<= 1;
		if (r >= b) {
			r -= b;
			q |= 1;
		}
	}
	return q;
}

/* Of the TSC; and of the local APIC's timer, where 0 means not known. */
static u64 hz_from_cpuid(u64 *apic_hz)
{
	struct cpuid r = cpuid(0);

	if (r.eax >= CPUID_TSC_CRYSTAL) {
		r = cpuid(CPUID_TSC_CRYSTAL);
		*apic_hz = r.ecx;
		if (r.eax && r.ebx && r.ecx)
			return divide((u64)r.ecx * r.ebx, r.eax);
	}
	if (cpuid(1).ecx & CPUID_1_ECX_HYPERVISOR) {
		r = cpuid(CPUID_HYPERVISOR);
		if (r.eax >= CPUID_HYPERVISOR_TIMING && r.eax < CPUID_HYPERVISOR + 0x100) {
			r = cpuid(CPUID_HYPERVISOR_TIMING);
			*apic_hz = r.ebx * 1000ull;
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
			/* One that waits, and not since the count was read. */
			if ((inb(PIC_MASTER) & PIC_IRQ0) && sample->ticks < PIT_MASK / 2)
				sample->turns++;
			return true;
		}
		before = sample->ticks;
	}
	return false;
}

/* The registers of the local APIC in xAPIC mode, or NULL. There is no paging in POST. */
static volatile u32 *apic_registers(void)
{
	u32 features = cpuid(1).edx;
	u64 base;

	if (!(features & CPUID_1_EDX_APIC) || !(features & CPUID_1_EDX_MSR))
		return NULL;
	base = rdmsr(IA32_APIC_BASE);
	if ((base & (APIC_BASE_ENABLED | APIC_BASE_X2APIC)) != APIC_BASE_ENABLED)
		return NULL;
	return at((u32)base & APIC_BASE_ADDRESS);
}

/* The master PIC's output reaches this CPU. */
static bool lint0_open(void)
{
	const volatile u32 *apic = apic_registers();
	u32 features = cpuid(1).edx;

	if (apic)
		return (apic[APIC_LINT0 / 4] & (APIC_MASKED | APIC_LVT_MODE)) == APIC_LVT_EXTINT;
	return !(features & CPUID_1_EDX_APIC) || !(features & CPUID_1_EDX_MSR) ||
	       !(rdmsr(IA32_APIC_BASE) & APIC_BASE_ENABLED);
}

/* Its timer's count, and the TSC at that moment: of several reads the one that took least. */
static u32 apic_count(const volatile u32 *apic, u64 *tsc)
{
	u32 reads, count = 0, least = ~0u;

	for (reads = 0; reads < APIC_READS; reads++) {
		u64 before = rdtsc();
		u32 read = apic[APIC_CURRENT_COUNT / 4], took = (u32)(rdtsc() - before);

		if (took < least) {
			least = took;
			count = read;
			*tsc = before;
		}
	}
	return count;
}

/* Let the APIC's timer count down from its top, masked, unless somebody uses it. */
static void apic_timer_start(struct post *post)
{
	volatile u32 *apic = apic_registers();

	if (!apic || apic[APIC_INITIAL_COUNT / 4])
		return;
	post->apic = true;
	post->apic_lvtt = apic[APIC_LVTT / 4];
	post->apic_divide = apic[APIC_DIVIDE / 4];
	apic[APIC_LVTT / 4] = APIC_MASKED | (post->apic_lvtt & 0xff);
	apic[APIC_DIVIDE / 4] = APIC_DIVIDE_BY_1;
	apic[APIC_INITIAL_COUNT / 4] = 0xffffffff;
	post->apic_count = apic_count(apic, &post->apic_tsc);
}

/* What it counted since, in how many cycles; as it was before. */
static u32 apic_timer_end(const struct post *post, u64 *cycles)
{
	volatile u32 *apic = apic_registers();
	u32 count = post->apic_count - apic_count(apic, cycles);

	*cycles -= post->apic_tsc;
	apic[APIC_INITIAL_COUNT / 4] = 0;
	apic[APIC_DIVIDE / 4] = post->apic_divide;
	apic[APIC_LVTT / 4] = post->apic_lvtt;
	return count;
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

/* A timer that counts `ticks` in so many cycles, and reaches `longest` ticks. */
void timer_rate(struct timer *timer, u64 ticks, u64 cycles, u64 longest)
{
	timer->per_cycle = ratio(ticks, cycles);
	timer->most = multiply(longest, ratio(cycles, ticks));
	timer->most -= timer->most >> 20; /* what rounding may add */
}

/*
 * Ticks from the last sample to this one. The PIT may turn over once: the BIOS
 * counts that, anew at midnight.
 */
static u32 ticks_since(const struct post *post, const struct clock_sample *now)
{
	u32 ticks = now->ticks - post->last.ticks;

	if (post->pm_timer)
		return ticks & PM_TIMER_MASK;
	if (now->turns != post->last.turns && now->ticks >= post->last.ticks)
		return ticks + PIT_MASK + 1;
	return ticks & PIT_MASK;
}

/* Take a sample, the timer moves; true where it is long enough after the first. */
static bool measured(struct post *post, struct clock *clock)
{
	struct clock_sample now;
	u64 cycles;
	u32 count;

	if (!edge(post, &now)) {
		post->stopped = true;
		return false;
	}
	post->ticks += ticks_since(post, &now);
	post->last = now;
	if (post->ticks < (post->pm_timer ? PM_TIMER_LEAST : PIT_LEAST))
		return false;
	if (post->apic) {
		count = apic_timer_end(post, &cycles);
		timer_rate(&clock->apic, count, cycles, APIC_TIMER_LONGEST);
	}
	if (!clock->tsc_hz) /* the APIC's timer only */
		clock->tsc_hz = divide((now.tsc - post->start.tsc) *
					       (post->pm_timer ? PM_TIMER_HZ : PIT_HZ),
				       post->ticks);
	return true;
}

/* No firmware has programmed it, or somebody else has: its counts mean nothing. */
static bool pit_is_odd(void)
{
	u32 status;

	pit_phase(&status);
	return (status & PIT_STATUS_ACCESS) != PIT_STATUS_BINARY;
}

/* False: nothing is left to measure, or nothing to measure it with. */
static bool measure_start(struct clock *clock, struct post *post)
{
	u64 apic_hz = 0;

	if (!cpuid_present() || !(cpuid(1).edx & CPUID_1_EDX_TSC))
		return false;
	clock->tsc_hz = hz_from_cpuid(&apic_hz);
	if (clock->tsc_hz && apic_hz)
		timer_rate(&clock->apic, apic_hz, clock->tsc_hz, APIC_TIMER_LONGEST);
	if (clock->tsc_hz && (apic_hz || !apic_registers()))
		return false;
	outb(PIC_MASTER, PIC_READ_IRR);
	post->pm_timer = post->state->acpi.pm_timer != 0;
	if (!post->pm_timer || !edge(post, &post->start)) {
		post->pm_timer = false;
		if (pit_is_odd() || !edge(post, &post->start))
			return false;
	}
	post->last = post->start;
	apic_timer_start(post);
	post->halts = tick_comes(post);
	return true;
}

bool clock_measure(struct clock *clock, struct post *post)
{
	u64 cycles;

	if (!post->halts && !measure_start(clock, post))
		return false;
	while (!measured(post, clock)) {
		if (post->stopped || post->halts == MOST_HALTS) {
			if (post->apic)
				apic_timer_end(post, &cycles);
			return false;
		}
		if (post->halts) {
			post->halts++;
			return true;
		}
	}
	return false;
}
