/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The HPET's timer 0 in the PIT's place [HPET 1.0a]: legacy replacement mode
 * routes it to IRQ 0, and takes the RTC's interrupt away. It is used where POST
 * found it at rest (rom/post/hpet.c), and only as long as its enable bits are
 * as the ROM left them. Its counter runs only then, from 0. All 64 bits count
 * and compare: it reaches 2^58 cycles (years), to a tick (100 ns at most; QEMU's: 10).
 */
#include "rom.h"

struct hpet {
	u32 capabilities[4];
	u32 config[4];
	u32 reserved[52];
	u32 counter[4];
	struct {
		u32 config[2];
		u32 compare[6];
	} timer[3];
};
_Static_assert(__builtin_offsetof(struct hpet, counter) == 0xf0, "HPET 1.0a, 2.3.1");
_Static_assert(__builtin_offsetof(struct hpet, timer) == 0x100, "the same");

#define HPET_ENABLE 1u
#define HPET_LEGACY 2u
#define HPET_TIMER 0x14eu /* level, interrupt, periodic, set value, 32 bits */
#define HPET_TIMER_INTERRUPT 0x04u

/* Arguments: ticks, 64 bits; what its enable bits are. */
u32 hpet_arm_op(struct window *window);
u32 hpet_arm_op(struct window *window)
{
	volatile struct hpet *hpet = at(window->apic);
	u32 config = hpet->config[0], end = config & ~(HPET_ENABLE | HPET_LEGACY);

	if ((config ^ window->argument[2]) & (HPET_ENABLE | HPET_LEGACY))
		return 0;
	if (window->argument[0] | window->argument[1]) {
		hpet->config[0] = config & ~HPET_ENABLE;
		hpet->timer[0].config[0] =
			(hpet->timer[0].config[0] & ~HPET_TIMER) | HPET_TIMER_INTERRUPT;
		hpet->counter[0] = hpet->counter[1] = 0;
		hpet->timer[0].compare[0] = window->argument[0];
		hpet->timer[0].compare[1] = window->argument[1];
		end |= HPET_ENABLE | HPET_LEGACY;
	}
	hpet->config[0] = end;
	return 1;
}

bool hpet_arm(struct state *state, u64 ticks)
{
	struct window *window = window_open(state, state->acpi.hpet, WINDOW_HPET);
	bool done;

	if (!window)
		return false;
	window->argument[0] = (u32)ticks;
	window->argument[1] = (u32)(ticks >> 32);
	window->argument[2] = state->hpet_has_irq0;
	done = apic_run(window, rom_addr(hpet_arm_op));
	state->hpet_has_irq0 = done && ticks ? HPET_ENABLE | HPET_LEGACY : 0;
	return done;
}
