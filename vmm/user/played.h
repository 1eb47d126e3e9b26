/* SPDX-License-Identifier: GPL-2.0-only */
/* A VMM of which the tests say what it answers: truth, refusal, garbage. */
#ifndef PLAYED_H
#define PLAYED_H

#include "user.h"

struct played {
	u32 transport; /* where it answers */
	u32 operand;   /* port or vector */
	/* What it says: VMI_HV_INFO, or CPUID. */
	bool silent; /* in VMI_HV_INFO */
	bool leaves; /* in CPUID, too */
	u32 leaf;
	u32 last, version, transports, port, features;
	u32 mask[8];
	/* What it does. */
	u32 attach_version; /* in EAX; 0: the lower one, as it should */
	bool attach_refused;
	bool refuse; /* every call */
	u32 answer[8];
	/* What came. */
	u32 traps;    /* since it was set to 0, all of them */
	u32 direct;   /* calls */
	u32 attached; /* version, of the ROM */
	u32 shared;   /* guest-physical */
	u32 major;    /* of the guest */
	u32 flushes, delivers, detaches;
	u32 last_number;
	struct regs regs; /* of the last trap */
};
extern struct played played;

void played_reset(void); /* an honest one that wants everything, by OUT */
bool played_trap(struct regs *regs, u32 transport, u32 operand);
void played_cpuid(u32 regs[4], u32 leaf, u32 subleaf);

#endif
