/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The window: how the ROM reaches the local APIC whatever the guest has mapped.
 *
 * For a few instructions the CPU runs on page tables of the ROM's own, made of
 * large pages: the first 2 or 4 MiB at their own address and where the guest
 * has them, and the local APIC. Nothing else is mapped, so the stack, the GDT
 * and the IDT are the window's own, too. Maskable interrupts are off; an NMI or
 * a machine check is raised again behind the window. One CPU at a time.
 *
 * Why not the guest's mapping: a 3.0 guest tells nobody where it has the APIC,
 * or whether; what it has need not be there in the next address space; and a
 * walk through its tables needs a mapping of them, which not every guest gives.
 */
#include "rom.h"

#define PTE_PRESENT 0x01
#define PTE_LARGE 0xe3	      /* present, writable, accessed, dirty, large */
#define PTE_LARGE_DEVICE 0xfb /* the same, PWT and PCD */

#define CR4_PSE 0x10

#define GATE_INTERRUPT 0x8e00
#define DESCRIPTOR_CODE 0x00cf9b000000ffffull
#define DESCRIPTOR_DATA 0x00cf93000000ffffull

/* What the image's linear address, the paging mode and CS have to be. */
bool window_fits(const struct state *state)
{
	u32 map = (u32)state - state->physical;
	u32 large;

	if (!state->window || (cs() & 3))
		return false;
	if (!(cr0() & X86_CR0_PG))
		return true;
	large = cr4() & X86_CR4_PAE ? 0x200000 : 0x400000;
	return !(map & (large - 1)) && !(cs() & 4) && cs() / 8 < WINDOW_GDT - 1;
}

static void gate(struct window *window, u32 vector, u32 handler)
{
	window->idt[vector] = (u64)((handler & 0xffff0000) | GATE_INTERRUPT) << 32 |
			      (u32)cs() << 16 | (handler & 0xffff);
}

/*
 * Tables for a guest whose first megabyte is at `map`, with the APIC at its base,
 * and the HPET: the entry that maps the APIC. CPUs that start run this too, at
 * its physical address.
 */
u32 *window_make(const struct state *state, u32 map, bool pae, u32 apic)
{
	struct window *window = window_of(state);
	u32 *directory = (u32 *)((u8 *)window - 4096);
	u32 shift = pae ? 21 : 22, words = pae ? 2 : 1;
	u32 entries = pae ? 512 : 1024, here = (map >> shift) & (entries - 1);
	u32 there = here + 2 < entries ? here + 1 : 1, offset = (1u << shift) - 1;
	u32 linear = (pae ? map & 0xc0000000 : 0) + (there << shift);
	u32 physical = state->physical - 4096, i;

	zero(directory, 4096);
	directory[0] = PTE_LARGE;
	directory[here * words] = PTE_LARGE;
	directory[there * words] = (apic & ~offset) | PTE_LARGE_DEVICE;
	if (state->acpi.hpet)
		directory[(there + 1) * words] = (state->acpi.hpet & ~offset) | PTE_LARGE_DEVICE;
	window->state = map + state->physical;
	window->mode = cs() | (pae ? WINDOW_PAE : 0);
	window->device[WINDOW_APIC].physical = apic;
	window->device[WINDOW_APIC].linear = linear + (apic & offset);
	window->device[WINDOW_HPET].physical = state->acpi.hpet;
	window->device[WINDOW_HPET].linear = linear + offset + 1 + (state->acpi.hpet & offset);
	window->cr4 = pae ? X86_CR4_PAE : CR4_PSE;
	window->cr3 = physical - 4096;
	if (pae) {
		zero(window->pdpt, sizeof(window->pdpt));
		window->pdpt[0] = window->pdpt[map >> 30] = (physical - 4096) | PTE_PRESENT;
		window->cr3 = physical + (u32) __builtin_offsetof(struct window, pdpt);
	}
	for (i = 1; i < WINDOW_GDT - 1; i++)
		window->gdt[i] = DESCRIPTOR_CODE;
	window->gdt[i] = DESCRIPTOR_DATA;
	window->gdtr.limit = sizeof(window->gdt) - 1;
	window->gdtr.base_low = (u16)(u32)window->gdt;
	window->gdtr.base_high = (u16)((u32)window->gdt >> 16);
	window->idtr.limit = sizeof(window->idt) - 1;
	window->idtr.base_low = (u16)(u32)window->idt;
	window->idtr.base_high = (u16)((u32)window->idt >> 16);
	gate(window, 1, (u32)rom_addr(window_debug));
	gate(window, 2, (u32)rom_addr(window_nmi));
	gate(window, 18, (u32)rom_addr(window_machine_check));
	return &directory[there * words];
}

/* In window_open(): the window, or NULL where the guest is not one that it fits. */
struct window *window_remake(const struct state *state, u32 physical)
{
	if (!window_fits(state)) {
		window_unlock(window_of(state));
		return NULL;
	}
	window_make(state, (u32)state - state->physical, (cr4() & X86_CR4_PAE) != 0, physical);
	return window_of(state);
}
