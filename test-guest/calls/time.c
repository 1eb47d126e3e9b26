/* SPDX-License-Identifier: GPL-2.0-only */
/* The local APIC, counters, alarms, the wall clock. */
#include "calls.h"

#define APIC 0xfee00000
#define APIC_ID 0x20
#define APIC_VERSION 0x30
#define APIC_TPR 0x80
#define APIC_LVTT 0x320

static volatile u32 *apic(u32 offset)
{
	return at(APIC + offset);
}

static void apic_read(u32 base)
{
	static const u32 offsets[] = { APIC_ID, APIC_VERSION, APIC_TPR, APIC_LVTT };
	u32 i;

	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		poison();
		equal(go1(base + offsets[i]), *apic(offsets[i]), "the register");
	}
}

static void apic_write(u32 base)
{
	u32 tpr = *apic(APIC_TPR), lvtt = *apic(APIC_LVTT);

	go2(base + APIC_TPR, 0x30);
	equal(*apic(APIC_TPR), 0x30, "TPR");
	*apic(APIC_TPR) = tpr;
	poison();
	go2(base + APIC_LVTT, 0x10031);
	equal(*apic(APIC_LVTT), 0x10031, "LVTT");
	*apic(APIC_LVTT) = lvtt;
}

void test_APICRead(void)
{
	apic_read(0);
	poison();
	equal(go1(0x1000 + APIC_VERSION), 0, "what is no offset");
}

void test_APICRead_v13(void)
{
	apic_read(APIC);
}

void test_APICWrite(void)
{
	apic_write(0);
	poison();
	go2(0x1080, 0x77);
	equal(*apic(APIC_TPR), 0, "TPR, after what is no offset");
}

void test_APICWrite_v13(void)
{
	apic_write(APIC);
}

/* The real counter: the TSC, but where a VMM has another one. */
static u64 cycles(void)
{
	static int traps = -1;

	if (traps < 0)
		traps = rom_traps(&rom, VMI_ID_GetCycleCounter);
	return traps ? VMI(&rom, GetCycleCounter)(VMI_CYCLES_REAL) : rdtsc();
}

void test_GetCycleFrequency(void)
{
	go();
	if (option("icount")) /* an instruction a nanosecond: within 100 ppm of it */
		expect(out64() > 999900000 && out64() < 1000100000, "%llu Hz", out64());
	else
		expect(out64() > 100000000 && out64() < 10000000000ull, "%llu Hz", out64());
}

void test_GetCycleCounter(void)
{
	u32 counter;

	for (counter = 0; counter < 5; counter++) {
		u64 before = cycles();

		poison();
		go1(counter == 4 ? 0xffffff00 : counter);
		if (counter == VMI_CYCLES_REAL || counter == VMI_CYCLES_AVAILABLE)
			expect(out64() >= before && out64() <= cycles(), "another time");
		else
			equal64(out64(), 0, "a counter that is not there");
	}
}

static u64 frequency(void)
{
	return VMI(&rom, GetCycleFrequency)();
}

static u32 irqs; /* before the alarm was set: it may fire before the call returns */

static void alarm(u32 flags, u64 expiry, u64 period)
{
	irqs = irq_count[0];
	poison();
	v.in.eflags &= ~EFLAGS_IF; /* it is wait_irqs that counts */
	v.in.eax = flags;
	v.in.edx = (u32)expiry;
	v.in.ecx = (u32)(expiry >> 32);
	v.word[0] = (u32)period;
	v.word[1] = (u32)(period >> 32);
	go();
}

static void wait_irqs(u32 n, u64 ticks)
{
	u64 end = cycles() + ticks;

	__asm__ volatile("sti");
	while (irq_count[0] - irqs < n && cycles() < end)
		__asm__ volatile("pause");
	__asm__ volatile("cli");
	expect(irq_count[0] - irqs >= n, "%u interrupts of %u", irq_count[0] - irqs, n);
}

/* A millisecond, once, whatever the period; at once, for the past; then ten times. */
void test_SetAlarm(void)
{
	u64 hz = frequency(), start;

	irq0_quiet(); /* the BIOS's tick, and what the pattern before has left */
	start = cycles();
	alarm(VMI_CYCLES_REAL, start + divide64(hz, 1000), hz);
	wait_irqs(1, divide64(hz, 100));
	expect(cycles() - start >= divide64(hz, 1000), "early");
	equal(VMI(&rom, CancelAlarm)(VMI_CYCLES_REAL), 0, "a one-shot alarm, armed after it fired");
	alarm(VMI_CYCLES_REAL, 1, 0);
	wait_irqs(1, divide64(hz, 100));
	if (stepping())
		return;
	/* Of two alarms the earlier one is first. */
	irqs = irq_count[0];
	VMI(&rom, SetAlarm)(VMI_CYCLES_REAL, cycles() + hz, 0);
	VMI(&rom, SetAlarm)(VMI_CYCLES_AVAILABLE, cycles() + divide64(hz, 1000), 0);
	wait_irqs(1, divide64(hz, 100));
	equal(VMI(&rom, CancelAlarm)(VMI_CYCLES_REAL), 1, "the later alarm, still armed");
	alarm(VMI_CYCLES_AVAILABLE | VMI_ALARM_PERIODIC, cycles(), divide64(hz, 1000));
	wait_irqs(10, divide64(hz, 50));
	VMI(&rom, CancelAlarm)(VMI_CYCLES_AVAILABLE);
}

void test_CancelAlarm(void)
{
	u64 hz = frequency();

	equal(go1(VMI_CYCLES_REAL), 0, "not armed");
	VMI(&rom, SetAlarm)(VMI_CYCLES_REAL, cycles() + 100 * hz, 0);
	poison();
	equal(go1(VMI_CYCLES_REAL), 1, "armed");
	poison();
	equal(go1(VMI_CYCLES_REAL), 0, "cancelled before");
	VMI(&rom, SetAlarm)(VMI_CYCLES_REAL | VMI_ALARM_PERIODIC, cycles(), hz);
	poison();
	equal(go1(VMI_CYCLES_AVAILABLE), 0, "the other counter's");
	poison();
	equal(go1(VMI_CYCLES_STOLEN), 0, "no such counter");
	poison();
	equal(go1(VMI_CYCLES_REAL), 1, "periodic");
}

/* The runner sets the RTC: QEMU's -rtc base. */
#define RTC_BASE 1798761600ull /* 2027-01-01 00:00:00 UTC */
#define NANOSECONDS 1000000000ull

void test_GetWallclockTime(void)
{
	u64 hz = frequency(), start, first, passed;

	start = cycles();
	first = VMI(&rom, GetWallclockTime)();
	while (cycles() - start < divide64(hz, 100))
		__asm__ volatile("pause");
	passed = VMI(&rom, GetWallclockTime)() - first;
	expect(passed >= NANOSECONDS / 101 && passed < NANOSECONDS, "%llu ns after 10 ms", passed);
	go();
	expect(out64() >= RTC_BASE * NANOSECONDS && out64() < (RTC_BASE + 600) * NANOSECONDS,
	       "%llu ns is not within 10 minutes of the machine's start", out64());
}

void test_WallclockUpdated(void)
{
	equal(go(), 0, "stepped");
}

void test_SetInitialAPState(void)
{
	go();
}
