/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Time on the native host: the TSC counts cycles, the RTC gave the wall clock
 * at POST, the PIT fires the alarms that are wired to IRQ0.
 *
 * SetInitialAPState and alarms wired to LVTT come with the per-CPU state; a
 * 3.0 guest is told NONE for all of these calls and keeps its own timers.
 */
#include "rom.h"

#define PIT_ONE_SHOT 0x30 /* channel 0, 16 bits, mode 0 */
#define PIT_PERIODIC 0x34 /* channel 0, 16 bits, mode 2 */
#define PIT_SHORTEST 2
#define PIT_LONGEST 0x10000

#define NANOSECONDS 1000000000u

/* n / d, d below 2^31. */
u64 divide(u64 n, u32 d)
{
	u32 high = (u32)(n >> 32) / d, rest = (u32)(n >> 32) % d, low;

	__asm__("divl %3" : "=a"(low), "=d"(rest) : "0"((u32)n), "rm"(d), "1"(rest) : "cc");
	return (u64)high << 32 | low;
}

/* a * b / 2^32, the result modulo 2^64. */
static u64 multiply(u64 a, u64 b)
{
	u32 a0 = (u32)a, a1 = (u32)(a >> 32), b0 = (u32)b, b1 = (u32)(b >> 32);

	return ((u64)a0 * b0 >> 32) + (u64)a0 * b1 + (u64)a1 * b0 + ((u64)(a1 * b1) << 32);
}

/* 2^32 * a / b; a below b * 2^31. Bit by bit: POST only. */
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

u64 rom_cycle_frequency(void);
u64 rom_cycle_frequency(void)
{
	struct state *state = state_find();

	return state ? state->clock.tsc_hz : 0;
}

u64 rom_wallclock(void);
u64 rom_wallclock(void)
{
	struct state *state = state_find();

	if (!state)
		return 0;
	return state->clock.wall_ns +
	       multiply(rdtsc() - state->clock.wall_tsc, state->clock.ns_per_cycle);
}

/* The wall clock is carried by the real counter: it cannot step against it. */
u32 rom_wallclock_updated(void);
u32 rom_wallclock_updated(void)
{
	return 0;
}

static bool pending(const struct alarm *alarm, u64 now)
{
	return alarm->armed && (alarm->period || alarm->expiry > now);
}

static void pit_load(u8 mode, u32 count)
{
	outb(PIT_CONTROL, mode);
	outb(PIT_CHANNEL_0, (u8)count);
	outb(PIT_CHANNEL_0, (u8)(count >> 8)); /* 0 means PIT_LONGEST */
}

/* Cycles to PIT ticks, rounded up, at most one turn of the counter; mode 2 wants two. */
static u32 pit_ticks(const struct clock *clock, u64 cycles)
{
	u64 ticks = multiply(cycles, clock->pit_per_cycle) + 1;

	if (ticks < PIT_SHORTEST)
		return PIT_SHORTEST;
	return ticks < PIT_LONGEST ? (u32)ticks : PIT_LONGEST;
}

/* Alarms of both counters share channel 0: what comes first is programmed. */
static void pit_program(struct clock *clock, u64 now)
{
	const struct alarm *first = NULL;
	u32 i;

	for (i = 0; i < 2; i++) {
		const struct alarm *alarm = &clock->alarm[i];

		if (pending(alarm, now) && (!first || alarm->expiry < first->expiry))
			first = alarm;
	}
	if (!first)
		outb(PIT_CONTROL, PIT_ONE_SHOT); /* and no count: it waits for one */
	else if (first->period)
		pit_load(PIT_PERIODIC, pit_ticks(clock, first->period));
	else
		pit_load(PIT_ONE_SHOT, pit_ticks(clock, first->expiry - now));
}

u32 rom_cancel_alarm(u32 flags);
void rom_set_alarm(u32 flags, u64 expiry, u64 period);
void rom_set_alarm(u32 flags, u64 expiry, u64 period)
{
	struct state *state = state_find();
	u32 counter = flags & VMI_ALARM_COUNTER_MASK;
	struct alarm *alarm;
	u64 now = rdtsc();

	if (!state || !state->clock.tsc_hz || counter > VMI_CYCLES_AVAILABLE)
		return;
	if (flags & VMI_ALARM_WIRED_LVTT) {
		rom_cancel_alarm(flags);
		return;
	}
	alarm = &state->clock.alarm[counter];
	alarm->armed = true;
	alarm->period = flags & VMI_ALARM_PERIODIC ? period : 0;
	alarm->expiry = expiry > now ? expiry : now + 1; /* the past fires at once */
	pit_program(&state->clock, now);
}

u32 rom_cancel_alarm(u32 flags)
{
	struct state *state = state_find();
	u32 counter = flags & VMI_ALARM_COUNTER_MASK;
	struct alarm *alarm;
	u64 now = rdtsc();
	bool was;

	if (!state || counter > VMI_CYCLES_AVAILABLE)
		return 0;
	alarm = &state->clock.alarm[counter];
	was = pending(alarm, now);
	alarm->armed = false;
	if (was)
		pit_program(&state->clock, now);
	return was;
}

/* The processor starts as it does on the bare machine. */
void rom_set_initial_ap_state(u32 ap_state, u32 apic_id);
void rom_set_initial_ap_state(u32 ap_state, u32 apic_id)
{
	(void)ap_state;
	(void)apic_id;
}
