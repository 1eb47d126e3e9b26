/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The real counter on all CPUs at once: what one CPU has read, no other one reads
 * less than afterwards. An alarm is its CPU's: the others cancel nothing.
 *
 * RUN: {flat,pae},rom=vmi,icount,host=svm,trap=all
 * RUN: {flat,pae},rom=vmi,smp=8
 */
#include "guest.h"

#define READS 20000

static struct rom rom;
static vmi_GetCycleCounter_fn *counter;

static volatile u32 lock, ready, done, backwards, cancelled;
static u64 last, worst;

static void read_all(void)
{
	u32 i;

	__atomic_fetch_add(&ready, 1, __ATOMIC_RELAXED);
	while (!last) /* until all are there */
		__asm__ volatile("pause");
	for (i = 0; i < READS; i++) {
		u64 now, before;

		while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
			__asm__ volatile("pause");
		before = last;
		now = counter(VMI_CYCLES_REAL);
		if (now < before) {
			backwards++;
			if (before - now > worst)
				worst = before - now;
		}
		last = now;
		__atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
	}
	if (VMI(&rom, CancelAlarm)(VMI_CYCLES_REAL | VMI_ALARM_WIRED_LVTT))
		__atomic_fetch_add(&cancelled, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&done, 1, __ATOMIC_RELEASE);
}

static void other(void)
{
	if (rom_init(&rom))
		__atomic_fetch_add(&backwards, 1, __ATOMIC_RELAXED);
	read_all();
	for (;;)
		__asm__ volatile("cli\n\thlt");
}

void guest_main(void)
{
	u32 id, cpus = option_number("cpus", 1);
	u32 flags = VMI_CYCLES_REAL | VMI_ALARM_WIRED_LVTT;

	if (!rom_find(&rom, 3) || rom_init(&rom))
		bail("no ROM");
	counter = VMI(&rom, GetCycleCounter);
	for (id = 1; id < cpus; id++)
		if (!cpu_start(id, other))
			bail("CPU %u did not start", id);
	while (ready < cpus - 1)
		__asm__ volatile("pause");
	VMI(&rom, SetAlarm)(flags, rdtsc() + (1ull << 50), 0);
	last = counter(VMI_CYCLES_REAL);
	for (id = 0; id < READS; id++) {
		u64 now = counter(VMI_CYCLES_REAL);

		if (counter(VMI_CYCLES_REAL) < now)
			backwards++;
	}
	while (done < cpus - 1)
		__asm__ volatile("pause");
	expect(!backwards, "%u times, by %llu cycles at most", backwards, worst);
	point("the counter does not go backwards on %u CPUs", cpus);
	equal(cancelled, 0, "CPUs that had an alarm to cancel");
	equal(VMI(&rom, CancelAlarm)(flags), 1, "CancelAlarm where it was set");
	point("an alarm is its CPU's own");
}
