/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reboot, hard and soft: the machine comes back, and the ROM is as good as new.
 * A byte of the CMOS, which a reset leaves alone, says how often.
 *
 * RUN: flat,rom={vmi,vmi-13,vmi-6},host=svm,trap=all,reset,kib=604
 * RUN: flat,rom={vmi,vmi-13,vmi-6},machine={pc,q35},reset
 * RUN: {high,pae},rom=vmi,smp=2,reset
 * RUN: flat,rom={vmi,vmi-13},smp=2,reset,last=shutdown,end=poweroff
 *
 * last=shutdown: the other CPU calls Init in the first round only, so that in
 * the last round Shutdown of this one powers off.
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

static struct rom rom;
static volatile u32 ap_done;

static void on_ap(void)
{
	rom_init(&rom);
	ap_done = 1;
}

static void shut_down(void)
{
	u32 type, entry = rom_entry(&rom, rom_number(&rom, VMI_ID_Shutdown), &type);

	((vmi_Shutdown_fn *)at(entry))();
}

void guest_main(void)
{
	static const u32 how[] = { VMI_REBOOT_HARD, VMI_REBOOT_SOFT, VMI_REBOOT_HARD };
	u32 round = round_number(), type, entry;

	points_before(round * POINTS);
	ok(rom_find(&rom, option_number("major", 3)), "round %u: the image", round);
	ok(rom_init(&rom) == 0, "round %u: Init", round);
	ok(VMI(&rom, GetCycleFrequency)() > 1000000 &&
		   *(u16 *)phys(0x413) == option_number("kib", 628),
	   "round %u: the ROM's memory is where it was, %u KiB", round, *(u16 *)phys(0x413));
	if (option("last") && round == 0) {
		expect(cpu_start(1, on_ap), "CPU 1 does not start");
		while (!ap_done)
			__asm__ volatile("pause");
	}
	if (round == ARRAY_SIZE(how)) {
		if (option("last")) {
			plan((round + 1) * POINTS);
			shut_down();
		}
		return;
	}
	set_round_number((u8)(round + 1));
	entry = rom_entry(&rom, rom_number(&rom, VMI_ID_Reboot), &type);
	((vmi_Reboot_fn *)at(entry))(how[round]);
	bail("Reboot returned");
}
