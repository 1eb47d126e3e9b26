/* SPDX-License-Identifier: GPL-2.0-only */
/* 4 KiB pages in the tables that start.S made, 2-level or PAE. */
#include "guest.h"

#define PAGES 96

static u8 pool[PAGES][4096] __attribute__((aligned(4096)));
static u32 used;

void *page(void)
{
	if (used == PAGES)
		bail("the guest has used all of its %u pages", PAGES);
	return memset(pool[used++], 0, 4096);
}

bool paging(void)
{
	return cr0() & CR0_PG;
}

bool paging_pae(void)
{
	return cr4() & CR4_PAE;
}

/* The table below an entry, made where there is none. */
static void *table(u32 *entry, u32 flags)
{
	if (!(*entry & PTE_P)) {
		*entry = to_phys(page()) | flags;
		set_cr3(cr3()); /* the processor keeps PDPT entries */
	}
	if (*entry & PTE_LARGE)
		bail("a large page is in the way");
	return phys(*entry & 0xfffff000);
}

void *pte_of(u32 linear)
{
	u32 flags = PTE_P | PTE_W | PTE_U;
	u32 *pd;
	u64 *pd_long;

	if (!paging())
		bail("no paging in this guest");
	if (!paging_pae()) {
		pd = phys(cr3() & 0xfffff000);
		return (u32 *)table(&pd[linear >> 22], flags) + (linear >> 12 & 0x3ff);
	}
	pd_long = table((u32 *)((u64 *)phys(cr3() & 0xffffffe0) + (linear >> 30)), PTE_P);
	return (u64 *)table((u32 *)&pd_long[linear >> 21 & 0x1ff], flags) + (linear >> 12 & 0x1ff);
}

void map(u32 linear, u32 physical, u32 flags)
{
	u32 *pte = pte_of(linear);

	if (paging_pae())
		pte[1] = 0;
	pte[0] = physical | flags;
	invlpg(linear);
}

void unmap(u32 linear)
{
	*(u32 *)pte_of(linear) = 0;
	invlpg(linear);
}

void *user_page(void)
{
	static u32 linear = 0x08000000;
	void *p = page();

	if (!paging())
		return p;
	linear += 4096;
	map(linear, to_phys(p), PTE_P | PTE_W | PTE_U);
	return at(linear);
}
