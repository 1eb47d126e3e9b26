/* SPDX-License-Identifier: GPL-2.0-only */
/* Where VMMCALL and the port end. EIP is past the instruction already. */
#include "svm.h"

void svm_hypercall(struct vcpu *cpu)
{
	cpu->vmcb->eflags |= EFLAGS_CF; /* no number is known */
}
