/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The clock that POST chose: a counter, how much of it was stolen, and the time
 * of day.
 *
 *	tsc		the TSC; the RTC's time of day at POST, carried by the TSC
 *	vmport		the TSC; the host's time of day, through VMware's backdoor
 *	kvmclock	KVM's pvclock pages, in nanoseconds; the host's time of day
 */
#include "rom.h"

/*
 * The host's clock stepped against the counter. It is slewed where it is wrong
 * by less than 128 ms, at 500 ppm at most (NTP), and as much may be wrong with a
 * measured frequency: twice that, however long ago the last look was, is no step.
 */
#define STEP_NS 125000000
#define STEP_SHIFT 9 /* of the time that passed: 1953 ppm */

u64 multiply(u64 a, u64 b)
{
	return multiply_add(a, (const u32 *)&b, 0);
}

/* Init on this CPU; Shutdown or Reboot. */
void clock_cpu_start(struct state *state)
{
	if (state->clock.kind == CLOCK_kvmclock)
		kvmclock_register(state, cpu_self(state));
}

void clock_cpu_end(struct state *state)
{
	if (state->clock.kind == CLOCK_kvmclock)
		kvmclock_unregister(state, cpu_self(state));
}

/* The time of day; where it is the host's, see whether that stepped. */
u64 clock_wall(struct state *state, struct cpu *cpu)
{
	struct clock *clock = &state->clock;
	u64 now = clock_now(state, cpu);
	u64 passed = multiply(now - clock->wall_at, clock->ns_per_cycle);
	u64 carried = clock->wall_ns + passed, host, limit;

	if (clock->kind == CLOCK_tsc)
		return carried;
	if (clock->kind == CLOCK_vmport)
		host = vmport_time();
	else
		host = kvmclock_boot(state) + now;
	if (!host) /* nobody answers any more */
		return carried;
	/* What came between the two makes no step. */
	if (multiply(clock_now(state, cpu) - now, clock->ns_per_cycle) < STEP_NS / 4) {
		limit = STEP_NS + (passed >> STEP_SHIFT);
		if (host - carried + limit > 2 * limit)
			clock->stepped = true;
		clock->wall_ns = host;
		clock->wall_at = now;
	}
	return host;
}

/* ------------------------------------------------------------------------
 * Calls
 */

u64 rom_cycle_frequency(void);
u64 rom_cycle_frequency(void)
{
	struct state *state = state_find();

	return state ? state->clock.hz : 0;
}

/* Of kvmclock, what rom/native/time.asm has no short way for. Interrupts are off. */
u64 rom_cycle_counter(u32 counter);
u64 rom_cycle_counter(u32 counter)
{
	struct state *state = state_find();
	struct cpu *cpu;

	if (!state)
		return 0;
	cpu = cpu_self(state);
	if (counter == VMI_CYCLES_REAL)
		return kvmclock_now(state, cpu);
	if (counter == VMI_CYCLES_AVAILABLE)
		return kvmclock_available(state, cpu);
	return counter == VMI_CYCLES_STOLEN ? kvmclock_stolen(state, cpu) : 0;
}

static u64 wall(struct state *state)
{
	u64 ns;

	if (!state || !state->clock.hz)
		return 0;
	if (state->clock.kind == CLOCK_tsc) /* nothing is written, no CPU is asked for */
		return clock_wall(state, NULL);
	while (__atomic_exchange_n(&state->clock.lock, 1, __ATOMIC_ACQUIRE))
		__asm__ volatile("pause");
	ns = clock_wall(state, cpu_self(state));
	__atomic_store_n(&state->clock.lock, 0, __ATOMIC_RELEASE);
	return ns;
}

u64 rom_wallclock(void);
u64 rom_wallclock(void)
{
	return wall(state_find());
}

u32 rom_wallclock_updated(void);
u32 rom_wallclock_updated(void)
{
	struct state *state = state_find();

	if (!state || state->clock.kind == CLOCK_tsc)
		return 0;
	return wall(state) && __atomic_exchange_n(&state->clock.stepped, 0, __ATOMIC_RELAXED);
}
