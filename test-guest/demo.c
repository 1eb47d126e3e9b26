/* SPDX-License-Identifier: GPL-2.0-only */
/* What "make run" boots: shows what a guest finds in the option ROM area. */
#include "guest.h"

static const char *const bindings[] = { "NONE", "CALL", "JUMP", "NOP" };

static void at_work(const struct rom *rom)
{
	u64 hz = VMI(rom, GetCycleFrequency)();
	u64 seconds = divide64(VMI(rom, GetWallclockTime)(), 1000000000);
	u64 start = VMI(rom, GetCycleCounter)(VMI_CYCLES_REAL);
	u32 selector = VMI(rom, GetTR)(), on, off;
	u32 entry[2] = { 0, 0 };

	VMI(rom, EnableInterrupts)();
	on = VMI(rom, GetInterruptMask)();
	VMI(rom, DisableInterrupts)();
	off = VMI(rom, GetInterruptMask)();
	VMI(rom, SetPxELong)(0x123456063ull, entry, VMI_PAGE_PT);

	print("\nCalls at work:\n");
	print("  GetCR0 %08x, GetTR %x\n", VMI(rom, GetCR0)(), selector);
	print("  GetInterruptMask %x after EnableInterrupts, %x after DisableInterrupts\n", on,
	      off);
	print("  SetPxELong wrote %08x:%08x\n", entry[1], entry[0]);
	print("  GetCycleFrequency %llu Hz\n", hz);
	print("  GetWallclockTime %llu s since 1970 (day %llu, %02u:%02u:%02u UTC)\n", seconds,
	      divide64(seconds, 86400), (u32)divide64(seconds, 3600) % 24,
	      (u32)divide64(seconds, 60) % 60, (u32)(seconds - divide64(seconds, 60) * 60));
	print("  GetCycleCounter %llu, and %llu cycles later\n", start,
	      VMI(rom, GetCycleCounter)(VMI_CYCLES_REAL) - start);
}

void guest_main(void)
{
	const struct vmi_about *about;
	u32 i, init;
	struct rom rom;

	console(true);
	if (!rom_find(&rom, 0)) {
		print("No VMI image in the option ROM area.\n");
		quit(1);
	}
	init = rom_init(&rom);
	about = at((u32)rom.header + sizeof(*rom.header));
	print("\nVMI %u.%u image at %X, %u bytes; Init returns %u\n", rom.major, rom.minor,
	      rom.physical, rom.size, init);
	print("host %s, clock %s, ROM memory from %X up\n\n", about->host, about->clock,
	      *(u16 *)phys(0x413) * 1024u);
	print("%-24s %3s %4s %3s  %-7s %s\n", "call", "3.0", "13.x", "6.1", "binding", "code");
	for (i = 0; i < VMI_CALL_COUNT; i++) {
		const struct vmi_call_record *r = &rom.record[i];
		const u8 numbers[] = { r->number_3, r->number_13, r->number_6 };
		static const u32 width[] = { 4, 5, 4 };
		u32 n, k;

		print("%-24s", call_name[i]);
		for (n = 0; n < 3; n++) {
			if (numbers[n] != VMI_NO) {
				print(n == 1 ? "%5u" : "%4u", numbers[n]);
				continue;
			}
			for (k = 1; k < width[n]; k++)
				print(" ");
			print("-");
		}
		print("  %-7s %X, %u bytes\n", bindings[r->binding & 3], rom.physical + r->stub,
		      r->stub_size);
	}
	if (!init)
		at_work(&rom);
	quit(0x10);
}
