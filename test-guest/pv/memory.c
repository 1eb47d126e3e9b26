/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Frames with reference counts, and page tables of both formats. No entry has a bit above 31,
 * so that an entry is read as one word, whatever its size is.
 */
#include "pv.h"

/* ------------------------------------------------------------------------
 * Frames
 */

#define FIRST_FRAME (0x400000 / PAGE_SIZE)
#define END_FRAME (0x1000000 / PAGE_SIZE)

static u32 references[END_FRAME];
static u32 free_frames[END_FRAME - FIRST_FRAME], free_count;
static u32 zero; /* a frame of zeroes that all share */

u32 frames_free(void)
{
	return free_count;
}

/* 0: none */
static u32 frame_alloc(void)
{
	u32 frame;

	if (!free_count)
		return 0;
	frame = free_frames[--free_count];
	references[frame / PAGE_SIZE] = 1;
	return frame;
}

static void frame_free(u32 frame)
{
	if (--references[frame / PAGE_SIZE] == 0)
		free_frames[free_count++] = frame;
}

static void clear(u32 frame)
{
	void *p = phys(frame);
	u32 words = PAGE_SIZE / 4;

	__asm__ volatile("rep stosl" : "+D"(p), "+c"(words) : "a"(0) : "memory");
}

static void copy_page(u32 to, u32 from)
{
	const void *q = phys(from);
	void *p = phys(to);
	u32 words = PAGE_SIZE / 4;

	__asm__ volatile("rep movsl" : "+D"(p), "+S"(q), "+c"(words) : : "memory");
}

/* ------------------------------------------------------------------------
 * Tables: a directory of the first GiB, and tables below it
 */

#define PTE_COW 0x200 /* written to: copy */
#define PTE_USER (PTE_P | PTE_W | PTE_U)
#define FRAME_MASK 0xfffff000u
#define CR0_WP 0x10000u

u32 kernel_root;
static bool pae;
static u32 table_shift; /* how much a table maps */

static u32 *slot(u32 table, u32 index)
{
	return (u32 *)phys(table) + (pae ? index * 2 : index);
}

static u32 *directory_slot(const struct space *space, u32 linear)
{
	return slot(space->directory, linear >> table_shift);
}

static u32 *table_slot(u32 table, u32 linear)
{
	return slot(table, (linear & ((1u << table_shift) - 1)) / PAGE_SIZE);
}

static void write_entry(u32 *entry, u32 value, u32 flags)
{
	if (pae)
		pv_set_pte_long(value, entry, flags);
	else
		pv_set_pte(value, entry, flags);
}

/* An entry of the current process for a page. */
static void write_own(u32 *entry, u32 value, u32 linear)
{
	write_entry(entry, value,
		    VMI_PAGE_PT | ((linear | VMI_PAGE_CURRENT_AS) & pv_ops.current_as));
}

/* A new table under the directory; 0: no memory. */
static u32 table_make(const struct space *space, u32 linear)
{
	u32 table = frame_alloc();

	if (!table)
		return 0;
	clear(table);
	pv_alloc_page(table / PAGE_SIZE, pv_ops.table_kind | pv_ops.zeroed, 0, 0, 0);
	write_entry(directory_slot(space, linear), table | PTE_USER, VMI_PAGE_PD);
	return table;
}

bool space_make(struct space *space)
{
	u32 first = guest_virt >> table_shift, entries = PAGE_SIZE / 4 - first;

	space->directory = frame_alloc();
	if (!space->directory)
		return false;
	clear(space->directory);
	if (!pae) {
		memcpy(slot(space->directory, first), slot(kernel_root, first), entries * 4);
		pv_alloc_page(space->directory / PAGE_SIZE, pv_ops.directory_kind | pv_ops.clone,
			      kernel_root / PAGE_SIZE, first, entries);
		space->root = space->directory;
		return true;
	}
	space->root = frame_alloc();
	if (!space->root) {
		frame_free(space->directory);
		return false;
	}
	pv_alloc_page(space->directory / PAGE_SIZE, pv_ops.directory_kind | pv_ops.zeroed, 0, 0, 0);
	clear(space->root);
	pv_alloc_page(space->root / PAGE_SIZE, pv_ops.pointers_kind | pv_ops.zeroed, 0, 0, 0);
	write_entry(slot(space->root, 0), space->directory | PTE_P, VMI_PAGE_PDP);
	write_entry(slot(space->root, 3), *slot(kernel_root, 3), VMI_PAGE_PDP);
	return true;
}

static void table_free(u32 table)
{
	pv_release_page(table / PAGE_SIZE, pv_ops.table_kind);
	frame_free(table);
}

void space_free(struct space *space)
{
	u32 linear, table, i, entry;

	/* From the top: no announced table points to one that is none any more. */
	if (pae)
		pv_release_page(space->root / PAGE_SIZE, pv_ops.pointers_kind);
	pv_release_page(space->directory / PAGE_SIZE, pv_ops.directory_kind);
	for (linear = USER_BASE; linear < USER_END; linear += 1u << table_shift) {
		table = *directory_slot(space, linear) & FRAME_MASK;
		if (!table)
			continue;
		for (i = 0; i < (1u << table_shift) / PAGE_SIZE; i++) {
			entry = *slot(table, i);
			if (entry & PTE_P)
				frame_free(entry & FRAME_MASK);
		}
		table_free(table);
	}
	if (pae)
		frame_free(space->root);
	frame_free(space->directory);
}

/* No entry is read again before the writes are through: the host may queue them. */
static void share_table(u32 to, u32 from, u32 linear)
{
	u32 i, entry;

	for (i = 0; i < (1u << table_shift) / PAGE_SIZE; i++, linear += PAGE_SIZE) {
		entry = *slot(from, i);
		if (!(entry & PTE_P))
			continue;
		references[entry / PAGE_SIZE]++;
		if (entry & PTE_W) {
			entry = (entry & ~PTE_W) | PTE_COW;
			write_own(slot(from, i), entry, linear);
		}
		write_entry(slot(to, i), entry, VMI_PAGE_PT);
	}
}

bool space_fork(struct space *to, const struct space *from)
{
	u32 linear, parent, child;
	bool good = true;

	if (!space_make(to))
		return false;
	pv_set_lazy_mode(VMI_LAZY_MMU);
	for (linear = USER_BASE; good && linear < USER_END; linear += 1u << table_shift) {
		parent = *directory_slot(from, linear) & FRAME_MASK;
		if (!parent)
			continue;
		child = table_make(to, linear);
		good = child;
		if (good)
			share_table(child, parent, linear);
	}
	pv_set_lazy_mode(VMI_LAZY_NONE);
	pv_flush_tlb(VMI_FLUSH_TLB);
	if (!good)
		space_free(to);
	return good;
}

/* ------------------------------------------------------------------------
 * Faults: pages on demand, copies on write
 */

#define DATA_SIZE 0x100000
#define STACK_SIZE 0x10000

/* What a page of the program has in it at first. */
static void fill(u32 frame, u32 linear)
{
	const struct program *program = current()->program;
	const u8 *page = program->start + (linear & FRAME_MASK) - USER_BASE;

	if (page < program->end)
		copy_page(frame, to_phys(page));
	else
		clear(frame);
}

static bool copy(u32 *entry, u32 linear)
{
	u32 old = *entry & FRAME_MASK, frame = old;

	if (references[old / PAGE_SIZE] > 1) {
		frame = frame_alloc();
		if (!frame)
			return false;
		copy_page(frame, old);
		frame_free(old);
	}
	write_own(entry, frame | PTE_USER, linear);
	pv_flush_tlb_single(linear);
	return true;
}

bool memory_fault(u32 linear, bool write)
{
	struct space *space = &current()->space;
	u32 table, frame, *entry;

	if (linear < USER_BASE || linear >= USER_END)
		return false;
	table = *directory_slot(space, linear) & FRAME_MASK;
	entry = table ? table_slot(table, linear) : NULL;
	if (entry && (*entry & PTE_P)) {
		if (!write || (*entry & PTE_W))
			return true;
		return (*entry & PTE_COW) && copy(entry, linear);
	}
	if (linear >= USER_BASE + DATA_SIZE &&
	    (linear < USER_STACK - STACK_SIZE || linear >= USER_STACK))
		return false;
	if (!table)
		table = table_make(space, linear);
	frame = table ? frame_alloc() : 0;
	if (!frame)
		return false;
	fill(frame, linear);
	write_own(table_slot(table, linear), frame | PTE_USER, linear);
	return true;
}

bool memory_check(u32 linear, u32 size, bool write)
{
	u32 end = linear + size;

	if (end < linear)
		return false;
	for (; linear < end; linear = (linear & FRAME_MASK) + PAGE_SIZE)
		if (!memory_fault(linear, write))
			return false;
	return true;
}

/* ------------------------------------------------------------------------
 * Many pages at a time
 */

bool memory_map(u32 pages)
{
	struct space *space = &current()->space;
	u32 linear = USER_MAP, end = USER_MAP + pages * PAGE_SIZE, table = 0;

	if (pages > (USER_END - USER_MAP) / PAGE_SIZE || *directory_slot(space, USER_MAP))
		return false;
	pv_set_lazy_mode(VMI_LAZY_MMU);
	for (; linear < end; linear += PAGE_SIZE) {
		if (!(linear & ((1u << table_shift) - 1)))
			table = table_make(space, linear);
		if (!table)
			break;
		references[zero / PAGE_SIZE]++;
		write_own(table_slot(table, linear), zero | PTE_P | PTE_U | PTE_COW, linear);
	}
	pv_set_lazy_mode(VMI_LAZY_NONE);
	if (linear < end)
		memory_unmap();
	return linear == end;
}

void memory_unmap(void)
{
	struct space *space = &current()->space;
	u32 linear, table, i, entry;

	for (linear = USER_MAP; linear < USER_END; linear += 1u << table_shift) {
		table = *directory_slot(space, linear) & FRAME_MASK;
		if (!table)
			continue;
		pv_set_lazy_mode(VMI_LAZY_MMU);
		for (i = 0; i < (1u << table_shift) / PAGE_SIZE; i++) {
			entry = *slot(table, i);
			if (!(entry & PTE_P))
				continue;
			write_own(slot(table, i), 0, linear + i * PAGE_SIZE);
			frame_free(entry & FRAME_MASK);
		}
		pv_set_lazy_mode(VMI_LAZY_NONE);
		write_entry(directory_slot(space, linear), 0, VMI_PAGE_PD);
		table_free(table);
	}
	pv_flush_tlb(VMI_FLUSH_TLB);
	cpus_drop(space->root);
}

void memory_start(void)
{
	u32 frame;

	pae = pv_read_cr4() & CR4_PAE;
	table_shift = pae ? 21 : 22;
	kernel_root = pv_read_cr3();
	pv_set_linear_mapping(0, guest_virt, END_FRAME, 0);
	for (frame = FIRST_FRAME; frame < END_FRAME; frame++)
		free_frames[free_count++] = frame * PAGE_SIZE;
	zero = frame_alloc();
	clear(zero);
	pv_write_cr0(pv_read_cr0() | CR0_WP);
}
