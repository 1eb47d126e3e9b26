/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Alarms on the native host: the local APIC's timer fires those that are wired
 * to LVTT, the PIT or the HPET (rom/hpet.c) those that are wired to IRQ 0.
 *
 * A wiring has one timer. Of the alarms on it the next one has the timer, the
 * other waits (fires is NEVER). What a timer cannot do by itself, a second alarm,
 * the rest of a distance beyond its reach, a period after a first expiry, is
 * seen to when the guest comes by again: at any SetAlarm or CancelAlarm, and for
 * LVTT at the EOI of its interrupt.
 *
 * LVTT's mode is the ROM's. APICWrite of 3.0 keeps it; what is stored directly, as
 * 13.x does, should: bits 17 and 18 cleared make a periodic alarm fire once more
 * and no longer, and end one by TSC deadline.
 *
 *		reach of a shot		resolution
 *	LVTT	2^39 ticks, less 2,048	a tick of the APIC's timer, times the divider:
 *		(9 min at 1 GHz)	the smallest power of 2 that reaches it
 *	LVTT	2^58 cycles		a cycle (TSC deadline; shots only)
 *	PIT	65,527 ticks (54.9 ms)	a tick: 838 ns
 *	HPET	2^58 cycles		a tick: 10 to 100 ns
 *
 * A shot is late by up to a tick, and by 122 ppm of its distance on the PIT and
 * the HPET, for the TSC may have been measured that wrong. A shot beyond the reach
 * comes early, at the reach, and the guest sets it again; on LVTT the EOI does. A
 * period is rounded to the nearest tick; one beyond the reach is halved until it
 * fits, and the interrupts in between are early ones. Periods of IRQ 0 are the PIT's.
 */
#include "rom.h"

#define PIT_ONE_SHOT 0x30    /* channel 0, 16 bits, mode 0 */
#define PIT_PERIODIC 0x34    /* channel 0, 16 bits, mode 2: at least 2 ticks */
#define PIT_SQUARE_WAVE 0x36 /* mode 3: likewise */

#define PIC_SLAVE_MASK 0xa1
#define PIC_IRQ8 0x01

#define LVTT_PERIODIC (1u << 17)
#define LVTT_DEADLINE (2u << 17)
#define ICR_SELF (1u << 18 | 1u << 14) /* fixed, to itself */

#define IA32_TSC_DEADLINE 0x6e0

#define NEVER (~0ull)
#define NEAR 18 /* second >> 18: 4 us */

static bool past(const struct alarm *alarm, const struct cpu *cpu)
{
	return alarm->expiry <= cpu->now && alarm->fires <= cpu->now;
}

/* An alarm that has fired is over, or goes to its first expiry that is not past. */
static void settle(struct alarm *alarm, const struct cpu *cpu)
{
	u64 step = alarm->period, behind = cpu->now - alarm->expiry;

	if (!step) {
		alarm->armed = false;
		return;
	}
	if (!(step >> 32)) {
		u32 low = (u32)behind, rest = (u32)(behind >> 32) % (u32)step;

		__asm__("divl %2" : "+a"(low), "+d"(rest) : "rm"((u32)step) : "cc");
		behind = rest;
	} else {
		while (behind >= step && !(step >> 63))
			step <<= 1;
		while ((step >>= 1) >= alarm->period)
			if (behind >= step)
				behind -= step;
	}
	alarm->expiry = cpu->now - behind + alarm->period;
}

/* A shot: the longest that there is; a period: a part that goes into it often. */
static __attribute__((noinline)) void cut(const struct timer *timer, struct cpu *cpu)
{
	u64 distance = timer->most;

	if (cpu->periodic)
		for (distance = cpu->distance; distance > timer->most;)
			distance >>= 1;
	cpu->distance = distance;
	cpu->waits = true;
}

/*
 * The ticks of a timer until its next interrupt, within its reach; 0: stop. A
 * period is rounded to the nearest tick, a shot is never early.
 */
static inline __attribute__((always_inline)) u64 ticks(const struct timer *timer, struct cpu *cpu)
{
	if (cpu->distance > timer->most)
		cut(timer, cpu);
	return multiply_add(cpu->distance, (const u32 *)&timer->per_cycle, ~0u >> cpu->periodic);
}

static __attribute__((noinline)) u64 ticks_of(const struct timer *timer, struct cpu *cpu)
{
	return ticks(timer, cpu);
}

/* ------------------------------------------------------------------------
 * LVTT
 */

#define LVTT_DONE 1
#define LVTT_FIRED 2 /* stopped, and an interrupt on its vector waits */

/* What is rarely needed, out of the way. */
static __attribute__((noinline)) u32 get(const struct window *window, u32 offset)
{
	return apic_get(window, offset);
}

static __attribute__((noinline)) void set(const struct window *window, u32 offset, u32 value)
{
	apic_set(window, offset, value);
}

/* The store to LVTT first [SDM vol. 3, 10.5.4.1]. */
static __attribute__((noinline)) void deadline_arm(struct window *window, struct cpu *cpu, u32 lvtt)
{
	if ((lvtt & LVTT_MODE) != LVTT_DEADLINE)
		set(window, APIC_LVTT, (lvtt & ~LVTT_MODE) | LVTT_DEADLINE);
	__asm__ volatile("mfence" : : : "memory");
	wrmsr(IA32_TSC_DEADLINE,
	      cpu->distance ? rdtsc() + ticks_of(&cpu->state->clock.tsc, cpu) : 0);
}

/* Argument: the CPU. */
u32 lvtt_arm_op(struct window *window);
u32 lvtt_arm_op(struct window *window)
{
	struct cpu *cpu = at(window->argument[0]);
	u32 lvtt = apic_get(window, APIC_LVTT), mode, count, high, n;
	volatile u32 *apic = at(window->apic);
	u32 divide = APIC_DIVIDE_BY_1;
	u64 n_ticks;

	if (cpu->state->clock.deadline && !cpu->periodic) {
		deadline_arm(window, cpu, lvtt);
	} else {
		n_ticks = ticks(&cpu->state->clock.apic, cpu);
		count = (u32)n_ticks;
		high = (u32)(n_ticks >> 32);
		if (high) { /* the smallest divider that reaches it, rounded up */
			__asm__("addl $127, %0\n\tadcl $0, %1\n\tbsrl %1, %2"
				: "+r"(count), "+r"(high), "=&r"(n)
				:
				: "cc");
			count = count >> n >> 1 | high << (31 - n);
			divide = (n & 3) | (n & 4) << 1; /* 0: by 2, ... 6: by 128 */
		}
		mode = (lvtt & ~LVTT_MODE) | (u32)cpu->periodic * LVTT_PERIODIC;
		if (apic) {
			if (mode != lvtt)
				apic[APIC_LVTT / 4] = mode;
			apic[APIC_DIVIDE / 4] = divide;
			apic[APIC_INITIAL_COUNT / 4] = count;
		} else {
			set(window, APIC_LVTT, mode);
			set(window, APIC_DIVIDE, divide);
			set(window, APIC_INITIAL_COUNT, count);
		}
	}
	if (!cpu->distance && get(window, APIC_IRR + ((lvtt & 0xe0) >> 1)) >> (lvtt & 31) & 1)
		return LVTT_FIRED;
	if (cpu->due && !(lvtt & APIC_MASKED) && (lvtt & 0xf0))
		apic_set(window, APIC_ICR, ICR_SELF | (u8)lvtt);
	return LVTT_DONE;
}

/* What lvtt_arm_op() said; 0: there is no way to the APIC. */
static u32 lvtt_arm(struct cpu *cpu)
{
	struct window *window = apic_open(cpu->state);

	if (!window)
		return 0;
	window->argument[0] = (u32)cpu;
	return apic_run(window, rom_addr(lvtt_arm_op));
}

/* ------------------------------------------------------------------------
 * IRQ 0
 */

static void pit_load(u8 mode, u32 count)
{
	outb(PIT_CONTROL, mode);
	outb(PIT_CHANNEL_0, (u8)count);
	outb(PIT_CHANNEL_0, (u8)(count >> 8)); /* 0 means 65536 */
}

/* A shot of one of these: 122 ppm are what the TSC was measured with, at worst. */
static u64 shot(const struct timer *timer, struct cpu *cpu)
{
	u64 ticks = ticks_of(timer, cpu);

	return ticks + (ticks >> 13);
}

/*
 * The PIT does what is within its reach. The HPET reaches all, but takes the
 * RTC's interrupt away as long as it has IRQ 0: only while nobody listens to that.
 */
static u32 irq0_arm(struct cpu *cpu)
{
	struct state *state = cpu->state;
	const struct timer *pit = &state->clock.pit;
	u32 ticks;
	u8 mode = PIT_ONE_SHOT;

	if (!cpu->periodic) {
		if (cpu->distance > pit->most && state->acpi.hpet &&
		    (inb(PIC_SLAVE_MASK) & PIC_IRQ8) &&
		    hpet_arm(state, shot(&state->clock.hpet, cpu)))
			return LVTT_DONE;
		ticks = (u32)shot(pit, cpu);
	} else {
		ticks = (u32)ticks_of(pit, cpu);
		if (ticks < 2)
			ticks = 2;
		mode = PIT_PERIODIC;
		if (cpu->due) { /* from mode 0 to mode 3 the output rises: the interrupt */
			pit_load(PIT_ONE_SHOT, 0);
			mode = PIT_SQUARE_WAVE;
		}
	}
	pit_load(mode, ticks);
	hpet_release(state); /* now that the PIT's output is as it should be */
	if (!cpu->distance)
		outb(PIT_CONTROL, PIT_ONE_SHOT); /* and no count: it waits for one */
	return LVTT_DONE;
}

/* ------------------------------------------------------------------------
 * Both
 */

/* Of two alarms on one wiring: the one that is next. */
static struct alarm *choose(struct cpu *cpu, struct alarm *alarm, struct alarm *other)
{
	struct alarm *swap;

	if (past(other, cpu))
		settle(other, cpu);
	if (!other->armed)
		return alarm;
	if (!alarm->armed)
		return other;
	cpu->waits = true;
	if (other->expiry < alarm->expiry) {
		swap = alarm;
		alarm = other;
		other = swap;
	}
	other->fires = NEVER;
	return alarm;
}

/*
 * `alarm` has changed: its wiring's timer to the one that is next there, or
 * stopped. 0: there is none.
 */
static u32 program(struct cpu *cpu, struct alarm *alarm)
{
	struct alarm *other = alarm == cpu->alarm ? alarm + 1 : alarm - 1;
	u64 distance = 0;
	u32 result;

	cpu->all = 0;
	if (other->armed && other->lvtt == alarm->lvtt)
		alarm = choose(cpu, alarm, other);
	if (alarm->armed) {
		distance = alarm->expiry - cpu->now;
		if (alarm->expiry <= cpu->now) {
			distance = 1;
			cpu->due = true;
		}
		/* Of LVTT's timer the first interrupt comes now, or after a period. */
		if (alarm->period && alarm->lvtt && !cpu->due && alarm->fires > cpu->now)
			cpu->waits = true;
		if (!alarm->period || cpu->waits) {
			cpu->due = false;
		} else {
			cpu->periodic = true;
			distance = alarm->period;
		}
	}
	cpu->distance = distance;
	result = alarm->lvtt ? lvtt_arm(cpu) : irq0_arm(cpu);
	alarm->fires = cpu->now + (cpu->due ? 0 : cpu->distance);
	return result;
}

/* The CPU of an alarm call, and what time it is; or NULL where there are no alarms. */
static __attribute__((noinline)) struct cpu *enter(u32 flags)
{
	struct state *state = state_find();
	struct cpu *cpu;

	if (!state || !state->clock.hz || (flags & VMI_ALARM_COUNTER_MASK) >= ALARMS)
		return NULL;
	cpu = cpu_here(state);
	if (cpu) {
		cpu->state = state;
		cpu->now = clock_now(state, cpu);
	}
	return cpu;
}

/* All are entered with interrupts off. */
void rom_set_alarm(u32 flags, const u64 *times);
void rom_set_alarm(u32 flags, const u64 *times)
{
	struct cpu *cpu = enter(flags);
	struct alarm *alarm;
	bool lvtt;

	if (!cpu)
		return;
	lvtt = (flags & VMI_ALARM_WIRED_LVTT) != 0;
	alarm = at((u32)&cpu->alarm[flags & VMI_ALARM_COUNTER_MASK]);
	if (alarm->armed && alarm->lvtt != lvtt && !past(alarm, cpu)) {
		alarm->armed = false;
		program(cpu, alarm);
	}
	alarm->lvtt = lvtt;
	alarm->expiry = times[0];
	if (flags & VMI_CYCLES_AVAILABLE) /* what will be stolen until then nobody knows */
		alarm->expiry += clock_stolen(cpu->state, cpu);
	if (flags & VMI_ALARM_PERIODIC) {
		alarm->period = times[1];
		alarm->fires = NEVER;
	} else {
		alarm->period = 0;
	}
	alarm->armed = true;
	if (!program(cpu, alarm))
		alarm->armed = false;
}

/* 1: it was armed and had not fired. */
u32 rom_cancel_alarm(u32 flags);
u32 rom_cancel_alarm(u32 flags)
{
	struct cpu *cpu = enter(flags);
	struct alarm *alarm;
	u64 fires;

	if (!cpu)
		return 0;
	alarm = at((u32)&cpu->alarm[flags & VMI_ALARM_COUNTER_MASK]);
	fires = alarm->fires;
	if (!alarm->armed)
		return 0;
	if (!alarm->period) {
		if (past(alarm, cpu))
			return 0;
		/* Too near for the PIT to be stopped with certainty: it fires. */
		if (!alarm->lvtt && fires - cpu->now < cpu->state->clock.hz >> NEAR)
			return 0;
	}
	alarm->armed = false;
	/* It may have come while we were about it. */
	return program(cpu, alarm) != LVTT_FIRED || alarm->period || enter(flags)->now < fires;
}

/* The guest has acknowledged an interrupt: there may be something to go on with. */
void rom_alarm_eoi(void)
{
	struct cpu *cpu = enter(0);
	struct alarm *alarm;

	if (!cpu || !cpu->waits)
		return;
	alarm = cpu->alarm;
	if (!alarm->armed || !alarm->lvtt)
		alarm++;
	if (past(alarm, cpu))
		settle(alarm, cpu);
	program(cpu, alarm);
}
