/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Clocks, and the core's timer, where calls of time trap. Clocks come from the TSC,
 * which the PIT has measured, and the RTC, read once.
 *
 * The timer is the local APIC's. While it runs, LVTT is the hypervisor's: it has the
 * guest's vector where the guest has set one, so that an interrupt is the guest's as it
 * is, and otherwise one of the hypervisor's own. IRQ 0 comes from the PIT, by a shot of
 * one tick: so the interrupt controllers do with it what the guest has told them.
 */
#include "svm.h"

#define PIT_HZ 1193182u
#define PIT_CHANNEL_0 0x40
#define PIT_CHANNEL_2 0x42
#define PIT_CONTROL 0x43
#define PIT_ONE_SHOT_0 0x30 /* mode 0, 16 bits */
#define PIT_ONE_SHOT_2 0xb0
#define PORT_B 0x61
#define PORT_B_GATE_2 0x01
#define PORT_B_SPEAKER 0x02
#define PORT_B_OUT_2 0x20
#define SAMPLE 59659u /* ticks: 50 ms */
#define NEAR 1000u    /* cycles: what a tick of the PIT and the way to it make */

#define CMOS_INDEX 0x70
#define CMOS_DATA 0x71
#define RTC_A 0x0a
#define RTC_A_UPDATING 0x80
#define RTC_B 0x0b
#define RTC_B_24H 0x02
#define RTC_B_BINARY 0x04
#define RTC_PM 0x80
#define RTC_CENTURY 0x32

#define APIC_PPR 0xa0
#define APIC_EOI 0xb0
#define APIC_IRR(vector) (0x200u + ((vector) >> 5) * 0x10)
#define APIC_SPURIOUS 0xf0
#define APIC_INITIAL_COUNT 0x380
#define APIC_CURRENT_COUNT 0x390
#define APIC_DIVIDE 0x3e0
#define SPURIOUS_ENABLED 0x100u
#define DIVIDE_BY_1 0x0bu
#define DIVIDE_BY_128 0x0au
#define LVTT_MASKED 0x10000u
#define LVTT_VECTOR 0xffu
#define VECTOR_LEAST 16u
#define VECTOR_OWN 0xf0u /* at the APIC while the guest has none */

#define NS 1000000000u

static u32 tsc_multiplier, apic_multiplier; /* ns a cycle << tsc_shift, ticks a ns: << 32 */
static vmi_s8 tsc_shift;
static u32 apic_shift;
static u64 wall_start;

static u64 rdtsc(void)
{
	u64 value;

	__asm__ volatile("rdtsc" : "=A"(value));
	return value;
}

/* a * 2^32 / b, where that has 32 bits. */
static u32 ratio(u32 a, u32 b)
{
	u32 quotient, rest;

	__asm__("divl %4" : "=a"(quotient), "=d"(rest) : "0"(0), "1"(a), "r"(b) : "cc");
	return quotient;
}

/* a * b >> 32 */
static u64 scale(u64 a, u32 b)
{
	return (a >> 32) * b + ((a & 0xffffffff) * b >> 32);
}

static u64 shift(u64 value, int by)
{
	return by < 0 ? value >> -by : value << by;
}

static void pit_load(u8 control, u16 channel, u32 count)
{
	outb(PIT_CONTROL, control);
	outb(channel, (u8)count);
	outb(channel, (u8)(count >> 8));
}

/* Cycles of the TSC and ticks of the APIC's timer in SAMPLE ticks of the PIT. */
static void measure(u32 *cycles, u32 *ticks)
{
	u8 port_b = inb(PORT_B);
	u64 begin;

	*apic(APIC_LVTT) = LVTT_MASKED;
	*apic(APIC_DIVIDE) = DIVIDE_BY_1;
	outb(PORT_B, (u8)((port_b & ~PORT_B_SPEAKER) | PORT_B_GATE_2));
	pit_load(PIT_ONE_SHOT_2, PIT_CHANNEL_2, SAMPLE);
	begin = rdtsc();
	*apic(APIC_INITIAL_COUNT) = 0xffffffff;
	while (!(inb(PORT_B) & PORT_B_OUT_2))
		;
	*cycles = (u32)(rdtsc() - begin);
	*ticks = 0xffffffff - *apic(APIC_CURRENT_COUNT);
	*apic(APIC_INITIAL_COUNT) = 0;
	outb(PORT_B, port_b);
}

static u32 cmos(u8 index)
{
	outb(CMOS_INDEX, index | 0x80);
	return inb(CMOS_DATA);
}

static u32 cmos_number(u8 index)
{
	u32 value = cmos(index);

	return cmos(RTC_B) & RTC_B_BINARY ? value : (value >> 4) * 10 + (value & 15);
}

/* Seconds since 1970, UTC, as the RTC has it just after it changed. */
static u32 rtc_seconds(void)
{
	u32 hour, year, month, days;

	while (cmos(RTC_A) & RTC_A_UPDATING)
		;
	hour = cmos_number(4) & ~RTC_PM;
	if (!(cmos(RTC_B) & RTC_B_24H))
		hour = hour % 12 + (cmos(4) & RTC_PM ? 12 : 0);
	month = cmos_number(8);
	year = cmos_number(RTC_CENTURY) * 100 + cmos_number(9) - (month <= 2);
	month = month > 2 ? month - 3 : month + 9; /* years begin in March */
	days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 +
	       cmos_number(7) - 1 - 719468;
	return ((days * 24 + hour) * 60 + cmos_number(2)) * 60 + cmos_number(0);
}

void time_start(void)
{
	u32 cycles, ticks, ns = (u32)((u64)SAMPLE * NS / PIT_HZ);

	if (!(boot.trap & TRAP_TIME))
		return;
	measure(&cycles, &ticks);
	if (cycles - ns + NEAR < 2 * NEAR)
		cycles = ns; /* a GHz */
	for (; cycles >= 2 * ns; cycles >>= 1)
		tsc_shift--;
	for (; cycles <= ns; cycles <<= 1)
		tsc_shift++;
	tsc_multiplier = ratio(ns, cycles);
	for (; ticks >= ns; ticks >>= 1)
		apic_shift++;
	apic_multiplier = ratio(ticks, ns);
	wall_start = (u64)rtc_seconds() * NS - time_clock(VMM_CLOCK_REAL);
}

void time_cpu_start(struct vcpu *cpu)
{
	const struct vmi_shared_time time = {
		.multiplier = tsc_multiplier,
		.shift = tsc_shift,
		.wall = { (u32)wall_start, (u32)(wall_start >> 32) },
	};

	cpu->deadline = VMM_NEVER;
	if (boot.trap & TRAP_TIME)
		vmm_time_update(cpu->core, &time);
}

u64 time_clock(enum vmm_clock which)
{
	u64 real = scale(shift(rdtsc(), tsc_shift), tsc_multiplier);

	switch (which) {
	case VMM_CLOCK_WALL:
		return wall_start + real;
	case VMM_CLOCK_STOLEN:
		return 0;
	default:
		return real;
	}
}

/* The guest has a vector for the timer. */
static bool lvtt_wired(u32 lvtt)
{
	return !(lvtt & LVTT_MASKED) && (lvtt & LVTT_VECTOR) >= VECTOR_LEAST;
}

static u32 timer_vector(const struct vcpu *cpu)
{
	return lvtt_wired(cpu->lvtt) ? cpu->lvtt & LVTT_VECTOR : VECTOR_OWN;
}

static bool requested(u32 vector)
{
	return *apic(APIC_IRR(vector)) >> (vector & 31) & 1;
}

/* Towards the deadline, as far as the timer reaches. */
static void timer_load(struct vcpu *cpu)
{
	u64 now = time_clock(VMM_CLOCK_REAL), ticks = 1;
	bool far;

	if (cpu->deadline > now)
		ticks = (scale(cpu->deadline - now, apic_multiplier) << apic_shift) + 1;
	far = ticks >> 32;
	if (far)
		ticks >>= 7;
	if (ticks >> 32)
		ticks = 0xffffffff;
	*apic(APIC_DIVIDE) = far ? DIVIDE_BY_128 : DIVIDE_BY_1;
	*apic(APIC_INITIAL_COUNT) = (u32)ticks;
	cpu->earlier_shot = requested(timer_vector(cpu));
}

/* The vector is not the hypervisor's alone: Linux has one for IPIs there. */
static void lvtt_load(struct vcpu *cpu, u32 value)
{
	*apic(APIC_LVTT) = value;
	if (cpu->timer_runs && value == VECTOR_OWN)
		cpu->own_vector = true;
	else if (cpu->own_vector)
		cpu->own_vector = requested(VECTOR_OWN);
}

static void timer_stop(struct vcpu *cpu)
{
	*apic(APIC_INITIAL_COUNT) = 0;
	cpu->timer_runs = false;
	lvtt_load(cpu, cpu->lvtt);
}

/* What the APIC has already requested cannot be taken back: timer_took() waits for it. */
void timer_set(struct vcpu *cpu, u64 deadline)
{
	cpu->deadline = deadline;
	if (!apic_enabled()) {
		cpu->timer_runs = false;
		return;
	}
	if (deadline == VMM_NEVER) {
		if (!cpu->timer_runs)
			return;
		*apic(APIC_INITIAL_COUNT) = 0;
		if (!requested(timer_vector(cpu)) && !(cpu->own_vector && requested(VECTOR_OWN)))
			timer_stop(cpu);
		return;
	}
	if (cpu->timer_runs) {
		timer_load(cpu);
		return;
	}
	if (!(*apic(APIC_SPURIOUS) & SPURIOUS_ENABLED))
		*apic(APIC_SPURIOUS) |= SPURIOUS_ENABLED;
	cpu->timer_runs = true;
	lvtt_write(cpu, *apic(APIC_LVTT));
}

void lvtt_write(struct vcpu *cpu, u32 value)
{
	cpu->lvtt = value;
	lvtt_load(cpu, cpu->timer_runs ? timer_vector(cpu) : value);
	if (cpu->timer_runs && cpu->deadline != VMM_NEVER)
		timer_load(cpu); /* what it has requested on another vector is not the timer's */
}

/* The guest may not let any in, and see in IRR that one waits, and wait for it to go. */
bool timer_waits(const struct vcpu *cpu)
{
	return cpu->timer_runs && !lvtt_wired(cpu->lvtt) && *apic(APIC_PPR) < VECTOR_OWN &&
	       *apic(APIC_IRR(VECTOR_OWN)) >> (VECTOR_OWN & 31) == 1;
}

bool timer_took(struct vcpu *cpu, u32 vector)
{
	u64 now;
	u32 due = 0;
	bool own = vector == VECTOR_OWN && cpu->own_vector;
	bool counts = *apic(APIC_CURRENT_COUNT) && !cpu->earlier_shot;

	if (own)
		cpu->own_vector = cpu->timer_runs && timer_vector(cpu) == VECTOR_OWN;
	else if (!cpu->timer_runs || vector != timer_vector(cpu))
		return true;
	now = time_clock(VMM_CLOCK_REAL);
	if (cpu->deadline == VMM_NEVER)
		timer_stop(cpu);
	else if (vector != timer_vector(cpu))
		timer_load(cpu); /* of before LVTT changed */
	else if (now >= cpu->deadline)
		due = vmm_timer_fired(cpu->core, now);
	else if (counts)
		return true; /* an IPI on that vector */
	else
		timer_load(cpu); /* the reach, or rounding */
	if (due & VMM_DUE_IRQ0)
		pit_load(PIT_ONE_SHOT_0, PIT_CHANNEL_0, 1);
	if ((due & VMM_DUE_LVTT) && lvtt_wired(cpu->lvtt))
		return true;
	*apic(APIC_EOI) = 0;
	return false;
}
