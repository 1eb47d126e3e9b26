/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * INT3 that another CPU puts where this one runs, and takes away: whoever looks at it afterwards
 * may find something else there.
 *
 * RUN: flat,rom=vmi,smp=2,host=svm,trap=irq
 */
#include "guest.h"

#define VECTOR_BREAKPOINT 3
#define INT3 0xcc
#define NOP 0x90
#define SWITCHES 300

static struct rom rom;
static u8 code[64] __attribute__((aligned(4096)));
static volatile u32 breakpoints, runs;
static volatile bool there, go_on = true;

static void pause(u32 n)
{
	while (n--)
		__asm__ volatile("pause");
}

static bool again(struct trap *trap)
{
	trap->eip--;
	/* QEMU before 8.1 may keep a translation of what was there; a store makes it look again. */
	__asm__ volatile("lock orb $0, %0" : "+m"(code[1]) : : "cc");
	breakpoints++;
	return true;
}

static void other_cpu(void)
{
	there = true;
	for (; go_on; runs++)
		__asm__ volatile("call *%0" : : "r"(code) : "cc", "memory");
	there = false;
	for (;;)
		__asm__ volatile("cli\n\thlt");
}

void guest_main(void)
{
	u32 n;

	if (!rom_find(&rom, 3))
		bail("no ROM");
	ok(rom_init(&rom) == 0, "Init");
	on_trap(VECTOR_BREAKPOINT, again);
	memset(code, NOP, sizeof(code));
	code[sizeof(code) - 1] = 0xc3;
	if (!cpu_start(1, other_cpu))
		bail("CPU 1 does not start");
	while (!there)
		pause(1);
	for (n = 0; n < SWITCHES; n++) {
		*(volatile u8 *)code = INT3;
		pause(n % 64 * 40);
		*(volatile u8 *)code = NOP;
		pause(50);
	}
	go_on = false;
	while (there)
		pause(1);
	expect(runs && breakpoints, "%u runs, %u breakpoints", runs, breakpoints);
	point("breakpoints that come and go");
}
