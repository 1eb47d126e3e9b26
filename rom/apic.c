/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The local APIC by register offset, 3.0's way: through MSRs in x2APIC mode,
 * otherwise at the physical address in IA32_APIC_BASE, through the window where
 * the guest pages.
 */
#include "rom.h"

#define APIC_OFFSETS 0xff0 /* 16 bytes a register, one page */

#define ICR_MODE (7u << 8)
#define ICR_STARTUP (6u << 8)

/* 0 where it is of no use: above 4 GiB. */
static inline __attribute__((always_inline)) u32 apic_base(const struct state *state)
{
	u32 low = state->apic_base, high = 0;

	if (!low)
		__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(IA32_APIC_BASE));
	return high && !(low & APIC_BASE_X2APIC) ? 0 : low;
}

/*
 * The way to the APIC, interrupts off: the window, locked, for arguments to be
 * put there; or NULL. Not to one at 0, or where it hides the window.
 */
struct window *apic_open(const struct state *state)
{
	u32 base = apic_base(state), physical = base & APIC_BASE_ADDRESS;

	if (!(base & APIC_BASE_ENABLED))
		return NULL;
	if (base & APIC_BASE_X2APIC)
		physical = 0;
	else if (!physical || physical - (state->physical - WINDOW_KIB * 1024) < WINDOW_KIB * 1024)
		return NULL;
	return window_open(state, physical, WINDOW_APIC);
}

/* Run a function there, and unlock. */
u32 apic_run(struct window *window, void *function)
{
	u32 result =
		window->direct ? ((apic_function *)function)(window) : window_run(window, function);

	window_unlock(window);
	return result;
}

u32 apic_read_op(struct window *window);
u32 apic_read_op(struct window *window)
{
	return apic_get(window, window->argument[0]);
}

/* Of LVTT, all but the bits in argument 2 is the guest's. */
u32 apic_write_op(struct window *window);
u32 apic_write_op(struct window *window)
{
	u32 offset = window->argument[0], keep = window->argument[2];

	if (keep)
		keep &= apic_get(window, offset);
	apic_set(window, offset, (window->argument[1] & ~window->argument[2]) | keep);
	return 0;
}

/* Bit n: offset n * 16. Registers that MSRs exist for [SDM vol. 3, table 10-6]. */
#define X2APIC_READ_LOW 0xffffa50cu
#define X2APIC_READ_HIGH 0x43fd01ffu
#define X2APIC_WRITE_LOW 0x00008900u
#define X2APIC_WRITE_HIGH 0xc1fd0100u

static bool bit(u32 low, u32 high, u32 n)
{
	return n < 64 && ((n & 32 ? high : low) >> (n & 31) & 1);
}

/* What xAPIC mode ignores is a #GP in x2APIC mode. */
static u32 x2apic_value(u32 n, u32 value)
{
	switch (n) {
	case 0x08: /* TPR */
	case 0x3f: /* self IPI */
		return value & 0xff;
	case 0x0b: /* EOI */
	case 0x28: /* ESR */
		return 0;
	case 0x0f: /* SVR */
		return value & 0x11ff;
	case 0x30: /* ICR */
		return value & 0xccfff;
	case 0x3e: /* divide configuration */
		return value & 0xb;
	}
	return value;
}

static bool lvtt_alarm(const struct cpu *cpu)
{
	return (cpu->alarm[0].armed && cpu->alarm[0].lvtt) ||
	       (cpu->alarm[1].armed && cpu->alarm[1].lvtt);
}

/* The register; 0 for what is not an offset of one. */
u32 rom_apic_read(u32 offset);
u32 rom_apic_read(u32 offset)
{
	struct state *state = state_find();
	struct window *window;
	u32 base;

	if (!state || (offset & ~(u32)APIC_OFFSETS))
		return 0;
	base = apic_base(state);
	if (base & APIC_BASE_X2APIC) {
		if (offset == APIC_ICR_HIGH) {
			struct cpu *cpu = cpu_self(state);

			return cpu ? cpu->icr_high : 0;
		}
		if (!bit(X2APIC_READ_LOW, X2APIC_READ_HIGH, offset >> 4))
			return 0;
		if (offset == APIC_ID) /* the layout of xAPIC mode */
			return (u32)rdmsr(X2APIC_MSR + (APIC_ID >> 4)) << 24;
	}
	window = apic_open(state);
	if (!window)
		return 0;
	window->argument[0] = offset;
	return apic_run(window, rom_addr(apic_read_op));
}

void rom_apic_write(u32 offset, u32 value);
void rom_apic_write(u32 offset, u32 value)
{
	struct state *state = state_find();
	struct window *window;
	struct cpu *cpu;
	u32 base;

	if (!state || (offset & ~(u32)APIC_OFFSETS))
		return;
	base = apic_base(state);
	cpu = cpu_self(state);
	if (offset == APIC_ICR && (value & ICR_MODE) == ICR_STARTUP)
		value = start_ipi(value, base & APIC_BASE_X2APIC ? (cpu ? cpu->icr_high : 0)
								 : rom_apic_read(APIC_ICR_HIGH));
	if (base & APIC_BASE_X2APIC) {
		u32 n = offset >> 4, to = cpu ? cpu->icr_high >> 24 : 0;

		if (offset == APIC_ICR_HIGH && cpu)
			cpu->icr_high = value;
		if (!bit(X2APIC_WRITE_LOW, X2APIC_WRITE_HIGH, n))
			return;
		value = x2apic_value(n, value);
		if (offset == APIC_ICR) {
			wrmsr(X2APIC_MSR + n, /* FF is all: FFFFFFFF */
			      (u64)(to == 0xff ? ~0u : to) << 32 | value);
			return;
		}
	}
	window = apic_open(state);
	if (!window)
		return;
	window->argument[0] = offset;
	window->argument[1] = value;
	/* An armed alarm has LVTT's mode. */
	window->argument[2] = offset == APIC_LVTT && cpu && lvtt_alarm(cpu) ? LVTT_MODE : 0;
	apic_run(window, rom_addr(apic_write_op));
	if (offset == APIC_EOI && cpu && cpu->waits)
		rom_alarm_eoi();
}
