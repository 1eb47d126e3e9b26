/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bad input gets what the table says, and nothing else is touched. (Wrong
 * numbers are in reloc.c, wrong bits and counters in calls/.)
 *
 * RUN: {high,pae},rom={vmi,vmi-13},host=svm,trap=all
 * RUN: {high,pae},rom={vmi,vmi-13}
 */
#include "guest.h"

#define VECTOR_PF 14
#define UNMAPPED 0x0b000000
#define PF_PRESENT_USER 5 /* page fault error code */

static struct rom rom;
static u8 *two_pages; /* for entries across the boundary */

/* A call with that linear address as a pointer faults as the instruction would, in the ROM. */
static void faults(const char *name, u32 target, struct invoke v)
{
	u32 before = *(u32 *)pte_of(UNMAPPED);

	v.target = target;
	v.in.eflags = EFLAGS_1;
	v.in.ds = v.in.es = SEL_DATA;
	v.in.ebx = 0xb0b0b0b0;
	v.in.ebp = 0xb1b1b1b1;
	set_cr2(0);
	invoke_catch(VECTOR_PF);
	invoke(&v);
	invoke_catch_none();
	if (expect(v.trapped, "no fault")) {
		equal(cr2() & ~7u, UNMAPPED, "CR2");
		equal(v.trap.error & PF_PRESENT_USER, 0, "error code");
		expect(v.trap.eip >= (u32)rom.image && v.trap.eip < (u32)rom.image + rom.size,
		       "EIP %08x is not in the ROM", v.trap.eip);
		equal(v.trap.regs.ebp, v.in.ebp, "EBP");
	}
	equal(*(u32 *)pte_of(UNMAPPED), before, "the page table");
	point("%s of an address that is not mapped", name);
}

#define FAULTS(name, ...)                                                                          \
	faults(#name, rom_symbol(&rom, "VMI_" #name), (struct invoke){ .in = { __VA_ARGS__ } })

static void unmapped(void)
{
	FAULTS(SetPxE, .eax = 1, .edx = UNMAPPED);
	FAULTS(SetPxE_v13, .eax = UNMAPPED, .edx = 1);
	FAULTS(SetPxELong, .eax = 1, .edx = 2, .ecx = UNMAPPED);
	FAULTS(GetPxE, .eax = UNMAPPED);
	FAULTS(GetPxELong, .eax = UNMAPPED);
	FAULTS(SwapPxE, .eax = UNMAPPED);
	FAULTS(SwapPxELongAtomic, .ecx = UNMAPPED);
	FAULTS(TestAndSetPxEBit, .eax = UNMAPPED, .edx = 3);
	FAULTS(TestAndClearPxELongBit, .eax = UNMAPPED, .edx = 40);
	FAULTS(DeactivatePxELongAtomic, .eax = UNMAPPED);
	FAULTS(WriteGDTEntry, .eax = UNMAPPED);
	FAULTS(GetGDT, .eax = UNMAPPED);
	FAULTS(SetIDT, .eax = UNMAPPED);
}

/* Every alignment, and across a page boundary. */
static void unaligned(void)
{
	u32 i;

	for (i = 0; i < 16; i++) {
		u8 *p = two_pages + 4096 - 8 + i;
		u64 value = 0x1122334455667788ull + i, want = value;
		u8 around[32];

		memset(two_pages + 4096 - 16, 0xa5, 48);
		memset(around, 0xa5, sizeof(around));
		memcpy(around + 8 + i, &value, i < 16 ? 8 : 0);
		VMI(&rom, SetPxELong)(value, p, 0);
		expect(same(around, two_pages + 4096 - 16, sizeof(around)), "SetPxELong at %x",
		       (u32)p);
		expect(VMI(&rom, GetPxELong)(p) == want, "GetPxELong at %x", (u32)p);
		expect(VMI(&rom, SwapPxELongAtomic)(~value, p) == want, "SwapPxELongAtomic at %x",
		       (u32)p);
		expect(VMI(&rom, DeactivatePxELongAtomic)(p) == ~want, "Deactivate at %x", (u32)p);
		VMI(&rom, SetPxE)((u32)value, p, 0);
		expect(VMI(&rom, GetPxE)(p) == (u32)want, "GetPxE at %x", (u32)p);
		expect(VMI(&rom, SwapPxE)(p, 0x80000000) == (u32)want, "SwapPxE at %x", (u32)p);
		expect(VMI(&rom, TestAndClearPxEBit)(p, 31) == 1, "TestAndClearPxEBit at %x",
		       (u32)p);
		expect(VMI(&rom, TestAndSetPxELongBit)(p, 63) == 0, "TestAndSetPxELongBit at %x",
		       (u32)p);
	}
	point("entries at every alignment and across pages");
}

static void hints(void)
{
	u32 before = cr3();

	VMI(&rom, SetLinearMapping)(99, 0xffffffff, 0xffffffff, 0xffffffff);
	VMI(&rom, AllocatePage)(0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff);
	VMI(&rom, ReleasePage)(0xffffffff, 0xffffffff);
	VMI(&rom, SetLazyMode)(0xffffffff);
	VMI(&rom, SetDeferredMode)(0xffffffff);
	VMI(&rom, FlushDeferredCalls)(0xffffffff);
	VMI(&rom, UpdatePxE)(at(UNMAPPED), 0xffffffff);
	VMI(&rom, InvalPage)(UNMAPPED);
	VMI(&rom, SetInitialAPState)(0, 0xffffffff);
	equal(cr3(), before, "CR3");
	point("hints about memory that is not there");
}

static void alarms(void)
{
	irq_unmask(0);
	VMI(&rom, SetAlarm)(VMI_CYCLES_STOLEN, rdtsc(), 0);
	VMI(&rom, SetAlarm)(0xff, rdtsc(), 100000);
	equal(VMI(&rom, CancelAlarm)(VMI_CYCLES_STOLEN), 0, "CancelAlarm(2)");
	equal(VMI(&rom, CancelAlarm)(0xff), 0, "CancelAlarm(255)");
	point("alarms of counters that are not there");
}

void guest_main(void)
{
	if (!rom_find(&rom, option_number("major", 3)))
		bail("no image");
	ok(rom_init(&rom) == 0, "Init");
	two_pages = page();
	page();
	unmapped();
	unaligned();
	hints();
	alarms();
}
