/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the state is.
 *
 * POST writes its distance into the image. An image in real ROM (Bochs'
 * optromimage, a flash part) cannot take it: there the state is searched for,
 * from the top of conventional memory upwards. Where that is in the guest's
 * address space follows from the image's linear address, because guests map the
 * first megabyte at a multiple of 256 KiB.
 */
#include "rom.h"

#define ROM_AREA 0xc0000
#define ROM_AREA_MASK 0x3ffff

/* Other CPUs have their own entries: only the count is shared. */
u32 cpu_new(struct state *state, u8 *index)
{
	u8 next = 1;

	__asm__ volatile("lock xaddb %0, %1" : "+q"(next), "+m"(state->cpu_count) : : "memory");
	if (next >= CPUS)
		state->cpu_count = next = CPUS;
	return *index = (u8)(next + 1);
}

struct cpu *cpu_self(struct state *state)
{
	return cpu_here(state);
}

struct state *state_find(void)
{
	struct rom_image *image = rom_addr(rom_image);
	u32 linear = (u32)image;
	u32 map = linear - (ROM_AREA | (linear & ROM_AREA_MASK));
	u32 kib;

	if (image->about.state_distance) {
		struct state *state = at(linear + image->about.state_distance);

		return is_state(state) ? state : NULL;
	}
	for (kib = *(u16 *)at(map + BDA_BASE_MEMORY); kib >= 64 && kib < 640; kib++) {
		struct state *state = at(map + kib * 1024);

		if (is_state(state))
			return state;
	}
	return NULL;
}
