/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reboot, hard and soft: the machine comes back, and the ROM is as good as new.
 * A byte of the CMOS, which a reset leaves alone, says how often.
 *
 * RUN: flat,rom={vmi,vmi-13,vmi-6},machine={pc,q35},reset
 * RUN: {high,pae},rom=vmi,smp=2,reset
 */
#include "guest.h"

#define CMOS_INDEX 0x70
#define CMOS_DATA 0x71
#define CMOS_ROUND 0x7d

#define POINTS 3 /* a round */

static u8 round_number(void)
{
	outb(CMOS_INDEX, CMOS_ROUND);
	return inb(CMOS_DATA);
}

static void set_round_number(u8 n)
{
	outb(CMOS_INDEX, CMOS_ROUND);
	outb(CMOS_DATA, n);
}

void guest_main(void)
{
	static const u32 how[] = { VMI_REBOOT_HARD, VMI_REBOOT_SOFT, VMI_REBOOT_HARD };
	u32 round = round_number(), type, entry;
	u32 *mark = phys(0x300000);
	struct rom rom;

	points_before(round * POINTS);
	ok(rom_find(&rom, option_number("major", 3)), "round %u: the image", round);
	ok(rom_init(&rom) == 0, "round %u: Init", round);
	ok(VMI(&rom, GetCycleFrequency)() > 1000000 &&
		   *(u16 *)phys(0x413) == option_number("kib", 636),
	   "round %u: the ROM's memory is where it was, %u KiB", round, *(u16 *)phys(0x413));
	if (round == ARRAY_SIZE(how))
		return;
	set_round_number((u8)(round + 1));
	*mark = 0x12345678;
	entry = rom_entry(&rom, rom_number(&rom, VMI_ID_Reboot), &type);
	((vmi_Reboot_fn *)at(entry))(how[round]);
	bail("Reboot returned");
}
