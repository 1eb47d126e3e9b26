/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * SetInitialAPState: in which state other CPUs start. STARTUP IPIs that guests
 * send through APICWrite are redirected to rom/post/start.asm while a state
 * waits; without one, or sent otherwise, they go where the guest says.
 */
#include "rom.h"

#define CR0_PE 0x1
#define CR0_NW 0x20000000
#define CR0_CD 0x40000000
#define CR4_PCIDE 0x20000
#define EFER_SCE 0x1
#define EFER_NXE 0x800
#define EFLAGS_TF 0x100
#define EFLAGS_VM 0x20000
#define SELECTOR_RPL 3
#define SELECTOR_TI 4
#define PTE_DEVICE 0x18 /* PWT and PCD */

#define ICR_VECTOR 0xffu
#define ICR_LOGICAL (1u << 11)
#define ICR_SHORTHAND (3u << 18)

/*
 * What the processor would refuse while it is on its way is refused before: it
 * has no handler there. Descriptors are not looked at, they are in the address
 * space that the CPU starts in.
 */
static bool usable(const struct vmi_ap_state *ap)
{
	const u16 *selector = &ap->cs; /* and SS, the data segments, LDTR */
	u32 i;

	if (!(ap->cr0 & CR0_PE) || !(ap->cr0 & X86_CR0_PG) ||
	    (ap->cr0 & (CR0_CD | CR0_NW)) == CR0_NW || (ap->cr4 & CR4_PCIDE) ||
	    (ap->efer_low & ~(EFER_SCE | EFER_NXE)) || ap->efer_high ||
	    (ap->eflags & (EFLAGS_TF | EFLAGS_VM)))
		return false;
	for (i = 0; i < 7; i++) {
		u32 s = selector[i];

		if (i < 2 && (s <= SELECTOR_RPL || (s & SELECTOR_RPL)))
			return false;
		if (s & SELECTOR_TI ? i == 6 || ap->ldtr <= SELECTOR_RPL
				    : s > SELECTOR_RPL && (s | 7) > ap->gdtr_limit)
			return false;
	}
	return true;
}

/*
 * A free entry, and none has a state for that APIC ID any longer. The one after
 * the last: the CPU that has freed an entry still runs its last instructions.
 */
static struct start *start_of(struct window *window, u32 id)
{
	struct start *free = NULL;
	u32 i;

	for (i = WINDOW_STARTS; i--;) {
		u32 n = (window->next + i) % WINDOW_STARTS, own = id + 1;
		struct start *start = &window->start[n];

		__asm__ volatile("lock cmpxchgl %2, %1"
				 : "+a"(own), "+m"(start->apic_id)
				 : "r"(0)
				 : "cc", "memory");
		if (!start->apic_id)
			free = start;
	}
	if (free)
		window->next = (u8)((u32)(free - window->start) + 1);
	return free;
}

/* Arguments: where to, how many bytes. */
u32 start_copy_op(struct window *window);
u32 start_copy_op(struct window *window)
{
	copy(at(window->argument[0]), at(window->device[WINDOW_APIC].linear), window->argument[1]);
	return 0;
}

/* Copy from a physical address that need not be mapped, a large page at a time. */
static void copy_physical(struct state *state, void *to, u32 from, u32 bytes)
{
	struct window *window = window_of(state);
	bool pae = (cr4() & X86_CR4_PAE) != 0;
	u32 large = pae ? 0x200000 : 0x400000, n;

	for (; bytes; bytes -= n, from += n, to = (u8 *)to + n) {
		n = large - (from & (large - 1));
		if (n > bytes)
			n = bytes;
		*window_make(state, (u32)state - state->physical, pae, from) &= ~(u32)PTE_DEVICE;
		window->argument[0] = (u32)to;
		window->argument[1] = n;
		window_run(window, rom_addr(start_copy_op));
	}
	window->device[WINDOW_APIC].physical = 0; /* the tables are not the APIC's */
}

/* MOV EBP, imm32; STI or NOP; JMP FAR: the last instructions, where no register is free. */
static void jump_write(struct start *start)
{
	const struct vmi_ap_state *ap = &start->state;
	u8 *code = start->code;

	start->jump = (u32)code;
	code[0] = 0xbd;
	*(u32 *)(code + 1) = ap->ebp;
	code[5] = ap->eflags & VMI_IF ? 0xfb : 0x90;
	code[6] = 0xea;
	*(u32 *)(code + 7) = ap->eip;
	*(u16 *)(code + 11) = ap->cs;
}

/*
 * 13.x passes a physical address, 3.0 a linear one, aligned or not. What cannot
 * be used is not kept: the call has no status, and the CPU then starts as on
 * the bare machine.
 *
 * The state's CR3 maps the first megabyte, or at least its part from the state
 * to the image, where the guest has it now.
 */
void rom_set_initial_ap_state(u32 address, u32 apic_id);
void rom_set_initial_ap_state(u32 address, u32 apic_id)
{
	struct state *state = state_find();
	const struct rom_image *image = rom_addr(rom_image);
	struct window *window;
	struct start *start;
	struct vmi_ap_state ap;
	u32 map, large;
	bool physical;

	if (!state || apic_id > 254 || !window_fits(state))
		return;
	window = window_of(state);
	map = (u32)state - state->physical;
	physical = image->header.api_version_major == 13 && (cr0() & X86_CR0_PG);
	if (!physical)
		copy(&ap, at(address), sizeof(ap)); /* may fault: not under the lock */
	if (!window_lock(window))
		return;
	start = start_of(window, apic_id);
	if (start) {
		if (physical)
			copy_physical(state, &start->state, address, sizeof(ap));
		else
			copy(&start->state, &ap, sizeof(ap));
		large = start->state.cr4 & X86_CR4_PAE ? 0x200000 : 0x400000;
		if (usable(&start->state) && !(map & (large - 1))) {
			start->make = (u32)rom_addr(window_make) - map;
			jump_write(start);
			__atomic_store_n(&start->apic_id, apic_id + 1, __ATOMIC_RELEASE);
		}
	}
	window_unlock(window);
}

/*
 * What is to be stored in the ICR's low word for a STARTUP IPI: redirected where
 * a state waits for a CPU that it may go to.
 */
u32 start_ipi(u32 value, u32 destination)
{
	struct state *state = state_find();
	bool several = (value & (ICR_SHORTHAND | ICR_LOGICAL)) || destination >> 24 == 0xff;
	struct window *window;
	u32 i;

	if (!state)
		return value;
	state->started = true;
	if (!state->window)
		return value;
	window = window_of(state);
	for (i = 0; i < WINDOW_STARTS; i++) {
		u32 id = window->start[i].apic_id;

		if (id && (several ? id < START_TAKEN : id == (destination >> 24) + 1)) {
			window->vector_cs = (u16)((value & ICR_VECTOR) << 8);
			return (value & ~ICR_VECTOR) | (state->physical - 4096) >> 12;
		}
	}
	return value;
}
