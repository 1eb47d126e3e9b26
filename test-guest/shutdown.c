/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shutdown stops a CPU for good; that of the last CPU that called Init powers
 * the machine off, unless the option says no.
 *
 * RUN: flat,rom={vmi,vmi-13,vmi-6},host=svm,trap=all,end=poweroff
 * RUN: flat,rom={vmi,vmi-13,vmi-6},machine={pc,q35},end=poweroff
 * RUN: {flat,pae},rom=vmi,smp=4,end=poweroff
 * RUN: {flat,high},rom=vmi,smp=2,poweroff=off
 * RUN: flat,rom=vmi,smp=2,boot-cpu-first,end=poweroff
 */
#include "guest.h"

#define HPET_CONFIG 0xfed00010

static struct rom rom;
static volatile u32 ticks[8], go_down;

static void power(void)
{
	u32 type, entry = rom_entry(&rom, rom_number(&rom, VMI_ID_Shutdown), &type);

	((vmi_Shutdown_fn *)at(entry))();
	bail("Shutdown returned on CPU %u", apic_id());
}

static void delay(void)
{
	u32 i;

	for (i = 0; i < 20000; i++)
		inb(0x80);
}

/* A host that has no time for this CPU is not the same: many looks. */
#define LOOKS 50

static bool alive(u32 cpu)
{
	u32 before = ticks[cpu], look;

	for (look = 0; look < LOOKS && ticks[cpu] == before; look++)
		delay();
	return look < LOOKS;
}

static bool stops(u32 cpu)
{
	u32 look;

	for (look = 0; look < LOOKS; look++) {
		u32 before = ticks[cpu];

		delay();
		if (ticks[cpu] == before && !alive(cpu))
			return true;
	}
	return false;
}

static void on_ap(void)
{
	u32 id = apic_id();

	rom_init(&rom);
	while (go_down != id)
		ticks[id]++;
	power();
}

/* The BSP is the only one to have called Init, and it goes: this CPU looks on. */
static void watch(void)
{
	while (!go_down)
		;
	ok(stops(0), "the last CPU stopped, the machine did not");
	ok((*(volatile u32 *)at(HPET_CONFIG) & 3) == 0, "the HPET has given IRQ 0 back");
	finish();
}

/* The boot CPU goes first. */
static void last(void)
{
	ok(rom_init(&rom) == 0, "Init on CPU 1");
	ticks[1] = 1;
	while (!go_down)
		;
	ok(stops(0), "CPU 0 stopped, the machine did not");
	plan(4);
	power();
}

void guest_main(void)
{
	u32 cpu, cpus = option_number("cpus", 1);

	ok(rom_find(&rom, option_number("major", 3)), "image");
	ok(rom_init(&rom) == 0, "Init");
	if (strsame(option("poweroff") ?: "", "off")) {
		VMI(&rom, SetAlarm)(0, rdtsc() + (10ull << 32), 0); /* beyond the PIT */
		ok((*(volatile u32 *)at(HPET_CONFIG) & 3) == 3, "the HPET has IRQ 0");
		cpu_start(1, watch);
		go_down = 1;
		ticks[0]++;
		power();
	}
	if (option("boot-cpu-first")) {
		cpu_start(1, last);
		while (!ticks[1])
			;
		go_down = 1;
		ticks[0]++;
		power();
	}
	for (cpu = 1; cpu < cpus; cpu++) {
		expect(cpu_start(cpu, on_ap), "CPU %u does not start", cpu);
		expect(alive(cpu), "CPU %u does nothing", cpu);
		point("CPU %u runs", cpu);
	}
	for (cpu = 1; cpu < cpus; cpu++) {
		go_down = cpu;
		expect(stops(cpu), "CPU %u runs", cpu);
		expect(cpu == cpus - 1 || alive(cpu + 1), "CPU %u stopped too", cpu + 1);
		point("CPU %u stopped alone", cpu);
	}
	plan(2 + (cpus - 1) * 2); /* the last one: QEMU ends, or the runner says so */
	power();
}
