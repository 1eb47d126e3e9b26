/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * INIT and STARTUP, one right behind the other, of a CPU at which an interrupt waits: started
 * again, it gets those that come then.
 *
 * RUN: flat,rom=none,smp=2,icount
 * RUN: flat,rom=none,smp=2,icount,host=svm,trap={none,time,irq,all}
 */
#include "guest.h"

#define APIC 0xfee00000
#define APIC_EOI 0xb0
#define APIC_SVR 0xf0
#define APIC_SVR_ENABLED 0x1ff
#define APIC_ICR 0x300
#define APIC_ICR_HIGH 0x310
#define ICR_INIT 0x4500
#define ICR_STARTUP 0x4600
#define STARTS_AT 0x8 /* AP_PAGE >> 12: as cpu_start() left it */
#define VECTOR_WAITS 0x50
#define VECTOR_COMES 0x60
#define OTHER 1
#define POLLS 1000000

static volatile u32 starts, ready, came;

static volatile u32 *apic(u32 offset)
{
	return at(APIC + offset);
}

static void ipi(u32 command)
{
	*apic(APIC_ICR_HIGH) = OTHER << 24;
	*apic(APIC_ICR) = command;
}

static bool on_vector(struct trap *trap)
{
	came += trap->vector == VECTOR_COMES;
	*apic(APIC_EOI) = 0;
	return true;
}

/* With interrupts off, and the second time on. */
static void on_other(void)
{
	*apic(APIC_SVR) = APIC_SVR_ENABLED;
	if (++starts == 2)
		__asm__ volatile("sti");
	for (ready = starts;;)
		__asm__ volatile("pause");
}

static bool becomes(const volatile u32 *word, u32 value)
{
	u32 i;

	for (i = 0; i < POLLS && *word != value; i++)
		__asm__ volatile("pause");
	return *word == value;
}

void guest_main(void)
{
	u32 i;

	on_trap(VECTOR_WAITS, on_vector);
	on_trap(VECTOR_COMES, on_vector);
	if (!ok(cpu_start(OTHER, on_other) && becomes(&ready, 1), "a CPU with interrupts off"))
		return;
	ipi(VECTOR_WAITS);
	for (i = 0; i < POLLS / 100; i++)
		__asm__ volatile("pause");
	ipi(ICR_INIT);
	ipi(ICR_STARTUP | STARTS_AT);
	if (ok(becomes(&ready, 2), "it starts again")) {
		ipi(VECTOR_COMES);
		ok(becomes(&came, 1), "an interrupt comes");
	}
}
