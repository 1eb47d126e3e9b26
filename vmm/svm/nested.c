/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Nested page tables, a set for each vCPU, so that a guest-physical page can be
 * another one on each: 4 GiB at their own addresses but for the hypervisor,
 * which is not there, and the local APIC, which can only be read. (A write next
 * to its registers is an interrupt message, and could be an INIT.)
 *
 * The host pages with PAE, so the nested tables are PAE tables: guest-physical
 * addresses have 32 bits [APM vol. 2, 15.25.3].
 */
#include "svm.h"

#define LARGE_PAGE 0x200000u
#define POOL 8
#define MESSAGE_AREA 0x100000u

static struct {
	u64 directory[4 * 512];
	u64 pool[POOL][512];
	u64 pdpt[512];
} tables[MAX_CPUS] PAGE_ALIGNED;

void nested_map(struct vcpu *cpu, u32 guest, u32 host, u32 flags)
{
	u64 *entry = &tables[cpu->number].directory[guest >> 21], *table;
	u32 i;

	if (*entry & PTE_LARGE) {
		if (cpu->nested_tables == POOL)
			fail("no nested table for %08x", guest);
		table = tables[cpu->number].pool[cpu->nested_tables++];
		for (i = 0; i < 512; i++)
			table[i] = (*entry & ~(u64)PTE_LARGE) + i * PAGE_SIZE;
		*entry = (u32)table | NESTED_RIGHTS;
	}
	table = (u64 *)((u32)*entry & -PAGE_SIZE);
	table[guest >> 12 & 511] = host | flags;
	cpu->vmcb->tlb_control = TLB_FLUSH;
}

void nested_start(struct vcpu *cpu)
{
	u32 i, page;

	for (i = 0; i < 4 * 512; i++)
		tables[cpu->number].directory[i] = (u64)i * LARGE_PAGE | NESTED_RIGHTS | PTE_LARGE;
	for (i = 0; i < 4; i++)
		tables[cpu->number].pdpt[i] = (u32)&tables[cpu->number].directory[i * 512] | PTE_P;
	cpu->nested_tables = 0;
	cpu->vmcb->nested_cr3 = (u32)tables[cpu->number].pdpt;
	for (page = boot.top; page < boot.end; page += PAGE_SIZE)
		nested_map(cpu, page, 0, 0);
	for (page = APIC_BASE; page < APIC_BASE + MESSAGE_AREA; page += PAGE_SIZE)
		nested_map(cpu, page, page, NESTED_RIGHTS & ~PTE_W);
}
