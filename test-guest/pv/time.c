/* SPDX-License-Identifier: GPL-2.0-only */
/* Alarms: turns end, sleepers wake. The first CPU's come on IRQ 0, the others' by LVTT. */
#include "pv.h"

#define PIC 0x20
#define PIC_EOI 0x20
#define PIC_MASK 0x21
#define PIC_IRQ0 1u
#define PIT_CONTROL 0x43
#define PIT_STOP 0x30 /* channel 0, mode 0, no count: it waits for one */

static struct queue sleepers;
static u64 millisecond;

u64 milliseconds(u32 n)
{
	return millisecond * n;
}

static bool on_irq0(void)
{
	return current()->cpu == &cpus[0];
}

void time_start(void)
{
	millisecond = divide64(pv_cycle_frequency(), 1000);
	pv_outb(PIT_STOP, PIT_CONTROL);
	pv_outb(pv_inb(PIC_MASK) & ~PIC_IRQ0, PIC_MASK);
	pv_io_delay();
}

void time_start_cpu(void)
{
	u32 flags = VMI_ALARM_PERIODIC | VMI_CYCLES_AVAILABLE;
	u64 now = pv_cycle_counter(VMI_CYCLES_AVAILABLE);

	if (!on_irq0()) {
		flags |= VMI_ALARM_WIRED_LVTT;
		pv_apic_write(APIC_LVTT, VECTOR_LVTT);
	}
	pv_set_alarm(flags, now, milliseconds(1000 / TICKS));
}

void time_stop_cpu(void)
{
	(void)pv_cancel_alarm((on_irq0() ? VMI_ALARM_WIRED_IRQ0 : VMI_ALARM_WIRED_LVTT) |
			      VMI_CYCLES_AVAILABLE);
}

void tick(u32 vector)
{
	if (vector == VECTOR_LVTT)
		pv_ops.apic_write(APIC_EOI, 0);
	else
		pv_ops.outb(PIC_EOI, PIC);
	current()->cpu->ticks++;
	current()->cpu->turn = true;
}

void time_wake(void)
{
	struct process *p, *next;
	u64 now;

	if (!sleepers.first)
		return;
	now = pv_cycle_counter(VMI_CYCLES_REAL);
	for (p = sleepers.first; p; p = next) {
		next = p->next;
		if (p->alarm <= now)
			ready(p);
	}
}

void sleep_until(u64 cycles)
{
	struct process *p = current();

	p->alarm = cycles;
	while (pv_cycle_counter(VMI_CYCLES_REAL) < cycles && !p->signals)
		wait_on(&sleepers);
}
