/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupts and exceptions on their way into the guest.
 *
 * Where the virtual interrupt flag counts, all of them come through here, those of the
 * processor and INT n by an exit: EFLAGS.IF becomes what the two flags say together, so that
 * the frame is right; the virtual flag is set, and leaves the rest to the gate, and to
 * handlers that know only STI, CLI and IRET.
 */
#include "svm.h"

#define GATE_TYPE(high) ((high) >> 8 & 0x1f) /* with the S bit */
#define GATE_DPL(high) ((high) >> 13 & 3)
#define ERROR_IDT 0x2u
#define OP_INT3 0xcc
#define OP_INT 0xcd
#define OP_INTO 0xce
#define CONTRIBUTORY (1u << 0 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 13)

/* The high word of the vector's gate; 0 where there is none. */
static u32 read_gate(struct vcpu *cpu, u32 vector)
{
	const struct vmcb_segment *idtr = &cpu->vmcb->idtr;
	u32 gate[2];

	if (vector * 8 + 7 > idtr->limit ||
	    guest_read(cpu, (u32)idtr->base + vector * 8, gate, sizeof(gate)) < sizeof(gate))
		return 0;
	return gate[1];
}

static void set_event(struct vcpu *cpu, u32 event, u32 error)
{
	struct vmcb *vmcb = cpu->vmcb;

	vmcb->event = EVENT_VALID | event;
	vmcb->event_error = error;
	vmcb->eflags = vmm_frame_flags(cpu->core, vmcb->eflags);
	vmm_entered_gate(cpu->core, true);
}

void inject(struct vcpu *cpu, u32 vector)
{
	set_event(cpu, EVENT_EXCEPTION | vector, 0);
}

void inject_error(struct vcpu *cpu, u32 vector, u32 error)
{
	set_event(cpu, EVENT_EXCEPTION | EVENT_ERROR | vector, error);
}

void inject_nmi(struct vcpu *cpu)
{
	set_event(cpu, EVENT_NMI | EXCEPTION_NMI, 0);
}

/*
 * QEMU 7.2 leaves the vector in its exception index, and delivers it once more
 * where it next looks there; an exit before that clears it.
 */
void inject_interrupt(struct vcpu *cpu, u32 vector)
{
	set_event(cpu, EVENT_INTR | vector, 0);
	kick(cpu);
}

/* The exit interrupted the delivery of an event: as before it. */
void event_undo(struct vcpu *cpu)
{
	cpu->vmcb->eip -= cpu->software_length;
}

/* INT n is executed again. */
void event_again(struct vcpu *cpu)
{
	u32 event = cpu->vmcb->exit_event & (EVENT_TYPE | EVENT_ERROR | EVENT_VECTOR);

	switch (event & EVENT_TYPE) {
	case EVENT_SOFTWARE:
		break;
	case EVENT_INTR:
		inject_interrupt(cpu, event & EVENT_VECTOR);
		break;
	default:
		set_event(cpu, event, cpu->vmcb->exit_event_error);
	}
}

static bool is_contributory(u32 vector)
{
	return vector < 32 && (CONTRIBUTORY >> vector & 1);
}

/* An exception of the guest, maybe in the delivery of another one [SDM vol. 3, 6.15]. */
void exception_exit(struct vcpu *cpu, u32 vector)
{
	struct vmcb *vmcb = cpu->vmcb;
	u32 first = vmcb->exit_event & EVENT_VECTOR;
	bool in_exception = (vmcb->exit_event & EVENT_VALID) &&
			    (vmcb->exit_event & EVENT_TYPE) == EVENT_EXCEPTION;

	if (vector == EXCEPTION_PF) {
		if (queue_fault(cpu)) {
			if (vmcb->exit_event & EVENT_VALID)
				event_again(cpu);
			return;
		}
		vmcb->cr2 = vmcb->exit_info2;
		cpu->core->shared->cr2 = vmcb->cr2;
	}
	if (in_exception && first == EXCEPTION_DF)
		stop(cpu, "a triple fault");
	if (in_exception &&
	    ((is_contributory(vector) && (is_contributory(first) || first == EXCEPTION_PF)) ||
	     (vector == EXCEPTION_PF && first == EXCEPTION_PF)))
		inject_error(cpu, EXCEPTION_DF, 0);
	else if (EXCEPTION_ERRORS >> vector & 1)
		inject_error(cpu, vector, vmcb->exit_info1);
	else
		inject(cpu, vector);
}

/* INT3, INTO, INT n. The processor has not looked at the gate's privilege. */
void software_exit(struct vcpu *cpu)
{
	struct vmcb *vmcb = cpu->vmcb;
	u32 vector, gate, type = EVENT_EXCEPTION;
	struct insn insn;

	if (!insn_decode(cpu, &insn))
		insn.opcode = 0;
	switch (insn.opcode) {
	case OP_INTO:
		vector = EXCEPTION_OF;
		break;
	case OP_INT:
		vector = insn.modrm;
		type = EVENT_SOFTWARE;
		break;
	case OP_INT3:
		vector = EXCEPTION_BP;
		break;
	default: /* a breakpoint that another CPU has taken away since */
		vector = EXCEPTION_BP;
		insn.length = 1;
	}
	gate = read_gate(cpu, vector);
	if ((vmcb->cr0 & CR0_PE) && (!GATE_TYPE(gate) || GATE_DPL(gate) < vmcb->cpl)) {
		inject_error(cpu, EXCEPTION_GP, vector * 8 | ERROR_IDT);
		return;
	}
	cpu->software_length = insn.length;
	vmcb->eip += insn.length;
	vmcb->int_shadow = 0;
	vmcb->eflags &= ~EFLAGS_RF;
	set_event(cpu, type | vector, 0);
}
