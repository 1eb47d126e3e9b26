/* SPDX-License-Identifier: GPL-2.0-only */
/* Where VMMCALL and the port end. EIP is past the instruction already. */
#include "svm.h"

void svm_hypercall(struct vcpu *cpu)
{
	if (rom_posting(cpu)) {
		if (!rom_next(cpu)) {
			cpu_reset(cpu);
			guest_load(cpu);
		}
		return;
	}
	cpu->vmcb->eflags |= EFLAGS_CF; /* no number is known */
}
