/* SPDX-License-Identifier: GPL-2.0-only */
/* What made the guest stop, and what becomes of it. */
#include "svm.h"

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

	if (code - EXIT_EXCEPTION < 32 && code != EXIT_EXCEPTION + EXCEPTION_BP &&
	    code != EXIT_EXCEPTION + EXCEPTION_OF) {
		exception_exit(cpu, code - EXIT_EXCEPTION);
		return EXIT_KIND_exception;
	}
	switch (code) {
	case EXIT_VMMCALL:
		skip_to(cpu, cpu->vmcb->eip + 3); /* the interface knows no prefixes */
		hypercall(cpu, 3);
		return EXIT_KIND_vmmcall;
	case EXIT_SOFTWARE:
	case EXIT_EXCEPTION + EXCEPTION_BP:
	case EXIT_EXCEPTION + EXCEPTION_OF:
		software_exit(cpu);
		return EXIT_KIND_software;
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
	case EXIT_HLT:
		hlt_exit(cpu);
		return EXIT_KIND_other;
	case EXIT_NPF:
		return nested_fault(cpu);
	case EXIT_CR_READ + 0:
	case EXIT_CR_READ + 3:
	case EXIT_CR_READ + 4:
	case EXIT_CR_WRITE + 0:
	case EXIT_CR_WRITE + 2:
	case EXIT_CR_WRITE + 3:
	case EXIT_CR_WRITE + 4:
	case EXIT_CR0_SELECTIVE:
		control_exit(cpu);
		return EXIT_KIND_control;
	case EXIT_LDTR_WRITE:
	case EXIT_TR_WRITE:
		segment_exit(cpu);
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
	struct vcpu *cpu = this_cpu();
	struct vmcb *vmcb = cpu->vmcb;

	regs->eax = vmcb->eax;
	regs->esp = vmcb->esp;
	vmcb->tlb_control = 0;
	vmcb->event = 0;
	if (vmcb->exit_event & EVENT_VALID)
		event_undo(cpu);
	cpu->software_length = 0;
	if ((vmcb->exit_event & EVENT_VALID) && vmcb->exit_code - EXIT_EXCEPTION >= 32)
		event_again(cpu);
	cpu->exits[dispatch(cpu)]++;
	do {
		if (cpu->wake)
			smp_requests(cpu);
		if (cpu->halted)
			irq_halt(cpu);
	} while (cpu->wake);
	if (cpu->nmi_pending)
		nmi_deliver(cpu);
	registers_to_vmcb(cpu);
}
