/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Is there an HPET that alarms may use? It counts and compares 64 bits, can
 * replace the PIT, and nobody, neither firmware nor another ROM, has it running.
 */
#include "rom.h"

#define HPET_CAPABILITIES 0x00
#define HPET_PERIOD 0x04 /* of a tick, in femtoseconds */
#define HPET_CONFIG 0x10
#define HPET_TIMER_0 0x100
#define HPET_LONGEST_PERIOD 100000000u

#define HPET_64 0xa000u	    /* COUNT_SIZE_CAP and LEG_RT_CAP */
#define HPET_TIMER_64 0x30u /* Tn_SIZE_CAP and Tn_PER_INT_CAP */
#define HPET_RUNS 0x3u	    /* ENABLE_CNF, LEG_RT_CNF */
#define FEMTOSECONDS 1000000000000000ull

void hpet_find(struct state *state)
{
	const volatile u32 *hpet = at(state->acpi.hpet);
	struct timer *timer = &state->clock.hpet;
	u32 period;

	state->acpi.hpet = 0;
	if (!(u32)hpet || !state->clock.hz || ((u32)hpet & 0xfff))
		return;
	period = hpet[HPET_PERIOD / 4];
	if (!period || period > HPET_LONGEST_PERIOD ||
	    (hpet[HPET_CAPABILITIES / 4] & HPET_64) != HPET_64 ||
	    (hpet[HPET_TIMER_0 / 4] & HPET_TIMER_64) != HPET_TIMER_64 ||
	    (hpet[HPET_CONFIG / 4] & HPET_RUNS))
		return;
	timer->per_cycle = ratio(FEMTOSECONDS, period * state->clock.hz);
	timer->most = TIMER_LONGEST;
	state->acpi.hpet = (u32)hpet;
}
