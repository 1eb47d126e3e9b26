/* SPDX-License-Identifier: GPL-2.0-only */
/* Guest memory, by physical address and through the guest's page tables. */
#include "svm.h"

/* Where the guest-physical page is on this vCPU, which has a shared area of its own. */
void *guest_memory(const struct vcpu *cpu, u32 physical)
{
	if (cpu->shared_at && physical - cpu->shared_at < VMI_SHARED_SIZE)
		return (u8 *)cpu->core->area + (physical - cpu->shared_at);
	if (physical >= boot.top)
		return NULL;
	return rom_memory(physical);
}

/* Rights are those of CPL 0. */
static bool entry_allows(const struct vcpu *cpu, u32 *entry, bool write)
{
	if (!entry || !(*entry & PTE_P))
		return false;
	return !write || (*entry & PTE_W) || !(cpu->vmcb->cr0 & CR0_WP);
}

static u32 *table_entry(const struct vcpu *cpu, u32 table, u32 index, bool pae)
{
	u32 *entry = guest_memory(cpu, (table & -PAGE_SIZE) + index * (pae ? 8 : 4));

	return pae && entry && entry[1] & PTE_HIGH_ADDRESS ? NULL : entry;
}

void *guest_linear(const struct vcpu *cpu, u32 linear, bool write)
{
	bool pae = cpu->vmcb->cr4 & CR4_PAE;
	u32 shift = pae ? 21 : 22, index = pae ? 0x1ff : 0x3ff, offset = (1u << shift) - 1;
	u32 used = PTE_A | (write ? PTE_D : 0), table = cpu->vmcb->cr3, *entry;

	if (cpu->unpaged)
		return write && rom_holds(linear) ? NULL : guest_memory(cpu, linear);
	if (pae) {
		entry = guest_memory(cpu, (table & -32u) + (linear >> 30) * 8);
		if (!entry || !(entry[0] & PTE_P) || entry[1])
			return NULL;
		table = entry[0];
	}
	entry = table_entry(cpu, table, linear >> shift & index, pae);
	if (!entry_allows(cpu, entry, write))
		return NULL;
	if (!(*entry & PTE_LARGE) || !(pae || (cpu->vmcb->cr4 & CR4_PSE))) {
		table = *entry;
		offset = PAGE_SIZE - 1;
		entry = table_entry(cpu, table, linear >> 12 & index, pae);
		if (!entry_allows(cpu, entry, write))
			return NULL;
	}
	if (~*entry & used)
		__atomic_fetch_or(entry, used, __ATOMIC_SEQ_CST);
	table = (*entry & ~offset & -PAGE_SIZE) | (linear & offset);
	return write && rom_holds(table) ? NULL : guest_memory(cpu, table);
}

static u32 guest_copy(const struct vcpu *cpu, u32 linear, void *data, u32 bytes, bool write)
{
	u32 done, n;

	for (done = 0; done < bytes; done += n) {
		void *page = guest_linear(cpu, linear + done, write);

		n = PAGE_SIZE - ((linear + done) & (PAGE_SIZE - 1));
		if (n > bytes - done)
			n = bytes - done;
		if (!page)
			break;
		if (write)
			memcpy(page, (u8 *)data + done, n);
		else
			memcpy((u8 *)data + done, page, n);
	}
	return done;
}

u32 guest_read(const struct vcpu *cpu, u32 linear, void *to, u32 bytes)
{
	return guest_copy(cpu, linear, to, bytes, false);
}

u32 guest_write(const struct vcpu *cpu, u32 linear, const void *from, u32 bytes)
{
	return guest_copy(cpu, linear, (void *)from, bytes, true);
}
