/* SPDX-License-Identifier: GPL-2.0-only */
/* What made the guest stop, and what becomes of it. */
#include "svm.h"

void inject(struct vcpu *cpu, u32 vector)
{
	cpu->vmcb->event = EVENT_VALID | EVENT_EXCEPTION | vector;
}

void inject_error(struct vcpu *cpu, u32 vector, u32 error)
{
	cpu->vmcb->event = EVENT_VALID | EVENT_EXCEPTION | EVENT_ERROR | vector;
	cpu->vmcb->event_error = error;
}

/*
 * QEMU 7.2 leaves the vector in its exception index, and delivers it once more
 * where it next looks there; an exit before that clears it.
 */
void inject_interrupt(struct vcpu *cpu, u32 vector)
{
	cpu->vmcb->event = EVENT_VALID | EVENT_INTR | vector;
	kick(cpu);
}

/* What the exit interrupted the delivery of; INT n is executed again. */
static void deliver_again(struct vcpu *cpu)
{
	struct vmcb *vmcb = cpu->vmcb;

	switch (vmcb->exit_event & EVENT_TYPE) {
	case EVENT_SOFTWARE:
		break;
	case EVENT_INTR:
		inject_interrupt(cpu, vmcb->exit_event & EVENT_VECTOR);
		break;
	default:
		vmcb->event = vmcb->exit_event;
		vmcb->event_error = vmcb->exit_event_error;
	}
}

static enum exit_kind nested_fault(struct vcpu *cpu)
{
	u32 address = cpu->vmcb->exit_info2;
	bool write = cpu->vmcb->exit_info1 & NPF_WRITE;

	if (address >= boot.top && address < boot.end)
		stop(cpu, "a %s of the hypervisor's memory at %08x", write ? "write" : "read",
		     address);
	if (!write || address < APIC_BASE || address >= APIC_BASE + PAGE_SIZE)
		stop(cpu, "a %s at %08x", write ? "write" : "read", address);
	apic_exit(cpu, address - APIC_BASE);
	return EXIT_KIND_apic;
}

static enum exit_kind dispatch(struct vcpu *cpu)
{
	u32 code = cpu->vmcb->exit_code;

	switch (code) {
	case EXIT_VMMCALL:
		skip_to(cpu, cpu->vmcb->eip + 3); /* the interface knows no prefixes */
		svm_hypercall(cpu);
		return EXIT_KIND_vmmcall;
	case EXIT_IOIO:
		return io_exit(cpu);
	case EXIT_INTR:
		irq_take(cpu);
		return EXIT_KIND_interrupt;
	case EXIT_VINTR:
		irq_take(cpu);
		return EXIT_KIND_window;
	case EXIT_NMI:
		nmi_take(cpu);
		return EXIT_KIND_nmi;
	case EXIT_IRET:
		iret_exit(cpu);
		return EXIT_KIND_other;
	case EXIT_NPF:
		return nested_fault(cpu);
	case EXIT_CR_READ + 0:
	case EXIT_CR_READ + 3:
	case EXIT_CR_READ + 4:
	case EXIT_CR_WRITE + 0:
	case EXIT_CR_WRITE + 3:
	case EXIT_CR_WRITE + 4:
	case EXIT_CR0_SELECTIVE:
		control_exit(cpu);
		return EXIT_KIND_control;
	case EXIT_CPUID:
		cpuid_exit(cpu);
		return EXIT_KIND_cpuid;
	case EXIT_MSR:
		msr_exit(cpu);
		return EXIT_KIND_msr;
	case EXIT_INVD: /* the host's memory is in the caches too */
		__asm__ volatile("wbinvd" : : : "memory");
		skip(cpu, 2);
		return EXIT_KIND_other;
	case EXIT_INIT:
		stop(cpu, "INIT of the first processor");
	case EXIT_SHUTDOWN:
		stop(cpu, "a triple fault");
	case EXIT_INVALID:
		stop(cpu, "a state that the processor refuses");
	case EXIT_VMRUN:
	case EXIT_VMLOAD:
	case EXIT_VMSAVE:
	case EXIT_STGI:
	case EXIT_CLGI:
	case EXIT_SKINIT:
	case EXIT_INVLPGA:
		stop(cpu, "an SVM instruction (exit %x)", code);
	default:
		stop(cpu, "exit %x, which was not asked for", code);
	}
}

/* In: the guest's registers as VMRUN left them. Out: EAX for VMRUN. */
void svm_exit(struct regs *regs)
{
	struct vcpu *cpu = (struct vcpu *)((u32)regs & -VCPU_SIZE);
	struct vmcb *vmcb = cpu->vmcb;

	regs->eax = vmcb->eax;
	regs->esp = vmcb->esp;
	vmcb->tlb_control = 0;
	vmcb->event = 0;
	if (vmcb->exit_event & EVENT_VALID)
		deliver_again(cpu);
	cpu->exits[dispatch(cpu)]++;
	if (cpu->wake)
		smp_requests(cpu);
	if (cpu->nmi_pending)
		nmi_deliver(cpu);
	vmcb->eax = regs->eax;
	vmcb->esp = regs->esp;
	regs->eax = (u32)vmcb;
}
