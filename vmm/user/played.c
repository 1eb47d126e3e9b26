/* SPDX-License-Identifier: GPL-2.0-only */
#include <string.h>
#include "played.h"

struct played played;

void played_reset(void)
{
	memset(&played, 0, sizeof(played));
	played.transport = played.transports = VMI_HV_OUT;
	played.operand = played.port = 0xe4;
	played.leaf = VMI_HV_LEAF_FIRST;
	played.last = VMI_HV_INFO_CALLS + 1;
	played.version = VMI_HV_VERSION;
	memset(played.mask, 0xff, sizeof(played.mask));
}

static bool info(u32 r[4], u32 n)
{
	switch (n) {
	case VMI_HV_INFO_SIGNATURE:
		r[0] = played.last;
		r[1] = VMI_HV_SIGNATURE_EBX;
		r[2] = VMI_HV_SIGNATURE_ECX;
		r[3] = VMI_HV_SIGNATURE_EDX;
		return true;
	case VMI_HV_INFO_VERSION:
		r[0] = played.version;
		r[1] = played.transports;
		r[2] = played.port;
		r[3] = played.features;
		return true;
	case VMI_HV_INFO_CALLS:
	case VMI_HV_INFO_CALLS + 1:
		memcpy(r, &played.mask[n == VMI_HV_INFO_CALLS ? 0 : 4], 16);
		return true;
	}
	return false;
}

bool played_trap(struct regs *regs, u32 transport, u32 operand)
{
	u32 number = regs->ebp & VMI_HV_NUMBER_MASK, r[4], i;
	bool done = true;

	bool asked =
		number == VMI_HV_INFO && transport == VMI_HV_OUT && operand == (played.port & 0xff);

	if ((transport != played.transport || operand != played.operand) && !asked)
		return false;
	played.traps++;
	played.regs = *regs;
	if ((regs->ebp & VMI_HV_TAG_MASK) != VMI_HV_TAG)
		number = ~0u;
	played.last_number = number;
	switch (number) {
	case VMI_HV_INFO:
		done = !played.silent && info(r, regs->eax);
		if (done) {
			regs->eax = r[0];
			regs->ebx = r[1];
			regs->ecx = r[2];
			regs->edx = r[3];
		}
		break;
	case VMI_HV_ATTACH:
		played.attached = regs->eax;
		played.shared = regs->edx;
		played.major = regs->ecx;
		done = !played.attach_refused;
		if (done)
			regs->eax = played.attach_version	 ? played.attach_version
				    : regs->eax < played.version ? regs->eax
								 : played.version;
		break;
	case VMI_HV_DETACH:
		played.detaches++;
		break;
	case VMI_HV_FLUSH:
		played.flushes++;
		break;
	case VMI_HV_DELIVER:
		played.delivers++;
		break;
	default:
		if (number >= VMI_CALL_COUNT || played.refuse) {
			done = false;
			break;
		}
		played.direct++;
		for (i = 0; i < 6; i++)
			if (record(number)->out & VMI_A << i)
				((u32 *)regs)[register_of(i)] = played.answer[register_of(i)];
	}
	/* The flags that a trap may change, all different. */
	regs->eflags ^= FLAGS_OSZAPC;
	regs->eflags &= ~(u32)FLAG_CF;
	if (!done)
		regs->eflags |= FLAG_CF;
	return true;
}

void played_cpuid(u32 r[4], u32 leaf, u32 subleaf)
{
	processor_cpuid(r, leaf, subleaf);
	if (played.leaves && leaf - played.leaf <= played.last && info(r, leaf - played.leaf) &&
	    leaf == played.leaf)
		r[0] += played.leaf;
}
