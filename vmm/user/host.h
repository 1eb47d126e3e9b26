/* SPDX-License-Identifier: GPL-2.0-only */
/* The port of vmm/core to this process: one VM, one vCPU, memory without paging. */
#ifndef HOST_H
#define HOST_H

#include "user.h"
#include "vmm.h"

struct host {
	u32 dr[8];
	u64 msr;	    /* HOST_MSR, the only one */
	u32 gdt[2], idt[2]; /* base, limit */
	u32 ldt, tr;
	u32 apic[64];
	bool irq; /* something waits */
	u32 taken;
	u64 deadline;
	u64 clock[3];
	u32 hints, entries, invalidated, flushed;
	u32 port_value;
	enum vmm_result result; /* of the last call, where it was not VMM_CONTINUE */
	char reason[96];
	u32 ap_id;
	bool rebooted, shut_down;
};

#define HOST_MSR 0x174

extern struct host host;
extern struct vmm vm;
extern struct vmm_vcpu vcpu;

/* A VM that offers what the core can, by OUT and in CPUID. */
void host_reset(u32 features);
bool host_trap(struct regs *regs, u32 transport, u32 operand);
void host_cpuid(u32 regs[4], u32 leaf, u32 subleaf);

#endif
