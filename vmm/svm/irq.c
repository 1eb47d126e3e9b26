/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupts and NMIs of the host. The processor keeps them waiting until the
 * host opens the gates, where the handler below notes what came.
 *
 * Interrupts are the guest's own unless trap=irq or time: then each exits, and is
 * acknowledged when the guest can have it, one at a time, so that the interrupt
 * controllers are in the state that the guest expects. Until then physical
 * interrupts are held (IF is clear at VMRUN), and a virtual interrupt that is
 * never taken exits as soon as the guest could take one.
 */
#include "svm.h"

#define GATE_INTERRUPT 0x8e00u
#define HOST_CODE 0x08u

struct host_frame {
	struct regs regs;
	u32 vector, eip, cs, eflags;
};

void host_interrupt(struct host_frame *frame);

static u64 host_idt[256] __attribute__((aligned(16)));

void irq_start(void)
{
	u32 i;

	for (i = 0; i < 256; i++) {
		u32 entry = (u32)interrupt_entries[i];

		host_idt[i] = (u64)((entry & 0xffff0000) | GATE_INTERRUPT) << 32 | HOST_CODE << 16 |
			      (entry & 0xffff);
	}
}

void irq_cpu_start(void)
{
	const struct {
		u16 limit;
		void *base;
	} __attribute__((packed)) gdtr = { sizeof(host_gdt) - 1, host_gdt },
				  idtr = { sizeof(host_idt) - 1, host_idt };

	load_tables(&gdtr, &idtr);
}

void host_interrupt(struct host_frame *frame)
{
	struct vcpu *cpu = (struct vcpu *)((u32)frame & -VCPU_SIZE);

	if (frame->eip >= (u32)wait_test && frame->eip <= (u32)wait_halt)
		frame->eip = (u32)wait_test;
	if (frame->vector == EXCEPTION_NMI) {
		if (!__atomic_exchange_n(&cpu->kicked, false, __ATOMIC_SEQ_CST))
			cpu->nmi_pending = true;
		if (cpu->halted)
			cpu->wake = true;
		return;
	}
	if (!cpu->open)
		fail("CPU %u: exception %u in the hypervisor, at %08x of its ELF file", cpu->number,
		     frame->vector, frame->eip - (u32)image_start + IMAGE_LINKED);
	cpu->interrupt = frame->vector;
	if (cpu->halted)
		cpu->wake = true;
	frame->eflags &= ~EFLAGS_IF; /* one is enough */
}

/* An NMI waits at the processor: another CPU's, or the guest's (smp_requests decides). */
void nmi_take(struct vcpu *cpu)
{
	__asm__ volatile("cli" : : : "memory");
	cpu_open();
	if (!cpu->held)
		__asm__ volatile("sti" : : : "memory");
}

/* Opens the gates, until something comes or not. */
static void open_gates(struct vcpu *cpu, bool wait)
{
	cpu->interrupt = 0;
	cpu->open = true;
	__asm__ volatile("sti" : : : "memory");
	if (wait)
		cpu_wait(&cpu->wake);
	else
		cpu_open();
	__asm__ volatile("sti" : : : "memory");
	cpu->open = false;
	if (cpu->interrupt && timer_took(cpu, cpu->interrupt))
		cpu->taken = cpu->interrupt;
}

/* Takes what comes to the guest. */
static void irq_open(struct vcpu *cpu, bool wait)
{
	u32 vector;

	cpu->held = false;
	cpu->vmcb->int_control &= ~INT_V_IRQ;
	cpu->vmcb->intercept1 &= ~INTERCEPT_VINTR;
	if (!cpu->taken)
		open_gates(cpu, wait);
	vector = cpu->taken;
	if (vector) {
		cpu->taken = 0;
		cpu->halted = false;
		inject_interrupt(cpu, vector);
	}
}

/*
 * An interrupt waits at the processor, or the guest can have one that does. Where only the
 * virtual flag keeps it from it, EFLAGS.IF is clear from now on, too: the guest sets it last.
 */
void irq_take(struct vcpu *cpu)
{
	struct vmcb *vmcb = cpu->vmcb;

	vmcb->eflags = vmm_frame_flags(cpu->core, vmcb->eflags);
	cpu->held = !(vmcb->eflags & EFLAGS_IF) || (vmcb->int_shadow & INT_SHADOW) ||
		    (vmcb->event & EVENT_VALID);
	if (!cpu->held) {
		irq_open(cpu, false);
		return;
	}
	if (!cpu->taken && timer_waits(cpu)) {
		open_gates(cpu, false);
		cpu->held = cpu->taken;
		if (!cpu->held)
			return;
	}
	__asm__ volatile("cli" : : : "memory");
	/* An exit, as soon as EFLAGS.IF is set. */
	vmcb->int_control |= INT_V_IRQ | INT_V_IGNORE_TPR;
	vmcb->intercept1 |= INTERCEPT_VINTR;
}

/* The guest halts with interrupts enabled. What other CPUs want comes first (svm_exit). */
void irq_halt(struct vcpu *cpu)
{
	if (cpu->wake)
		return;
	if (cpu->nmi_pending) {
		cpu->halted = false;
	} else if (cpu->vmcb->eflags & EFLAGS_IF) {
		irq_open(cpu, true);
	} else {
		__asm__ volatile("cli" : : : "memory");
		cpu_wait(&cpu->wake);
	}
}

/* Not left to the processor: an interrupt that exits ends its HLT, the guest's or not. */
void hlt_exit(struct vcpu *cpu)
{
	skip(cpu, 1);
	cpu->vmcb->eflags = vmm_frame_flags(cpu->core, cpu->vmcb->eflags);
	cpu->halted = true;
}

void nmi_deliver(struct vcpu *cpu)
{
	struct vmcb *vmcb = cpu->vmcb;

	if (cpu->nmi_blocked || (vmcb->event & EVENT_VALID))
		return;
	cpu->nmi_pending = false;
	cpu->nmi_blocked = true;
	vmcb->intercept1 |= INTERCEPT_IRET;
	inject_nmi(cpu);
}

/* The guest's NMI handler is about to return. */
void iret_exit(struct vcpu *cpu)
{
	cpu->nmi_blocked = false;
	cpu->vmcb->intercept1 &= ~INTERCEPT_IRET;
}
