/* SPDX-License-Identifier: GPL-2.0-only */
/* Page tables and memory. */
#include "calls.h"

/* The entry under test: arena[ENTRY], and the next word for a PAE entry. */
#define ENTRY 10

static u32 ptep(void)
{
	return (u32)&arena[ENTRY];
}

static u64 entry64(void)
{
	return (u64)arena[ENTRY + 1] << 32 | arena[ENTRY];
}

static void arena_entry(u64 value)
{
	arena_fill();
	arena[ENTRY] = (u32)value;
	arena[ENTRY + 1] = (u32)(value >> 32);
}

#define OLD 0x0000000512345067ull
#define NEW 0x0000000a9abcd063ull

/*
 * What the entry reads between two instructions of the stepped call: the old
 * value, the new one, and for some calls anything that is not present.
 */
static u64 step_old, step_new;
static bool step_absent;
static u32 step_wrong;

static void watch_step(const struct trap *trap)
{
	u64 now = entry64();

	(void)trap;
	if (now != step_old && now != step_new && !(step_absent && !(now & PTE_P)))
		step_wrong++;
}

static void watch(u64 old, u64 new, bool absent)
{
	step_old = old;
	step_new = new;
	step_absent = absent;
	step_wrong = 0;
	on_step(watch_step);
}

static void watched(void)
{
	expect(!step_wrong, "the entry was neither old nor new after %u instructions", step_wrong);
}

/*
 * Another processor writes the entry after one instruction of the stepped call:
 * for (n = 0; meddle(n); n++) { go...; if (meddled) ... }
 */
#define OTHER 0x0000000777777025ull
static u32 meddle_left;
static bool meddled;

static void meddle_step(const struct trap *trap)
{
	(void)trap;
	if (meddle_left-- == 0) {
		arena[ENTRY] = (u32)OTHER;
		arena[ENTRY + 1] = (u32)(OTHER >> 32);
		meddled = true;
	}
}

/* False without TF in the pattern, and when the call before had less than n instructions. */
static bool meddle(u32 n)
{
	on_step(NULL);
	if (!stepping() || (n && !meddled))
		return false;
	poison();
	arena_entry(OLD);
	meddle_left = n;
	meddled = false;
	on_step(meddle_step);
	return true;
}

/* An exchange came before the other processor's write or after it. */
static void exchanged(u64 old, u32 n)
{
	u64 now = entry64();

	expect(now == (!meddled || old == OTHER ? NEW : OTHER) && (old == OLD || old == OTHER),
	       "written after %u instructions: result %016llx, entry %016llx", n, old, now);
}

/* The stub is made of instructions that other processors see as one. */
static void locked(void)
{
	static const u8 lock[] = { 0xf0 }, xchg[] = { 0x87 };

	if (stepping() && !trapped())
		expect(steps_of(lock, 1) + steps_of(xchg, 1) >= 1, "nothing is locked");
}

/* ------------------------------------------------------------------------
 * Hints: nothing happens
 */

static void hint(void)
{
	arena_entry(OLD);
	go();
	equal64(entry64(), OLD, "entry");
	arena_untouched_but(ENTRY, 2);
}

#define HINT(name)                                                                                 \
	void test_##name(void)                                                                     \
	{                                                                                          \
		hint();                                                                            \
	}
HINT(AllocatePage)
HINT(ReleasePage)
HINT(RegisterPageUsage)
HINT(RegisterPageMapping)
HINT(ClonePageTable)
HINT(ClonePageDirectory)
HINT(SetLinearMapping)
HINT(FlushDeferredCalls)
HINT(SetDeferredMode)
HINT(SetLazyMode)
HINT(SetCallbacks)

#define UPDATE(name)                                                                               \
	void test_##name(void)                                                                     \
	{                                                                                          \
		v.in.eax = ptep();                                                                 \
		hint();                                                                            \
	}
UPDATE(UpdatePxE)
UPDATE(UpdatePxELong)

#define IDENTITY(name)                                                                             \
	void test_##name(void)                                                                     \
	{                                                                                          \
		u32 value = v.in.eax;                                                              \
		equal(go(), value, "value");                                                       \
	}
IDENTITY(MachineToPhysical)
IDENTITY(PhysicalToMachine)
IDENTITY(GetPteVal)
IDENTITY(GetPdeVal)

/* ------------------------------------------------------------------------
 * 32-bit entries
 */

static void set_entry(u32 a, u32 d)
{
	arena_fill();
	go2(a, d);
	equal(arena[ENTRY], (u32)NEW, "entry");
	arena_untouched_but(ENTRY, 1);
}

void test_SetPxE(void)
{
	v.in.ecx = VMI_PAGE_PT | VMI_PAGE_CURRENT_AS | 0x1000;
	set_entry((u32)NEW, ptep());
}

void test_SetPxE_v13(void)
{
	set_entry(ptep(), (u32)NEW);
}

void test_SetPte(void)
{
	set_entry((u32)NEW, ptep());
}

void test_GetPxE(void)
{
	arena_entry(OLD);
	equal(go1(ptep()), (u32)OLD, "entry");
}

static void swap_entry(u32 a, u32 d)
{
	arena_fill();
	arena[ENTRY] = (u32)OLD;
	steps_record();
	equal(go2(a, d), (u32)OLD, "result");
	equal(arena[ENTRY], (u32)NEW, "entry");
	arena_untouched_but(ENTRY, 1);
	locked();
}

void test_SwapPxE(void)
{
	swap_entry(ptep(), (u32)NEW);
}

void test_SwapPte(void)
{
	swap_entry((u32)NEW, ptep());
}

/* ------------------------------------------------------------------------
 * Bits
 */

/* bit_first: 6.1's order of arguments. */
static void test_and(bool set, bool bit_first, u32 bits)
{
	static const u32 numbers[] = { 0, 1, 6, 31, 32, 33, 63, 64, 95, 0x80000000, 0xffffffff };
	u32 i;

	for (i = 0; i < 2 * ARRAY_SIZE(numbers); i++) {
		u32 bit = numbers[i / 2];
		u64 was = i & 1 ? OLD : ~OLD, one = bit < bits ? (u64)1 << (bit & 63) : 0;

		poison();
		arena_entry(was);
		steps_record();
		go2(bit_first ? bit : ptep(), bit_first ? ptep() : bit);
		expect(v.out.eax == ((was & one) != 0), "bit %u: result %x", bit, v.out.eax);
		expect(entry64() == (set ? was | one : was & ~one), "bit %u: entry %016llx", bit,
		       entry64());
		arena_untouched_but(ENTRY, 2);
		if (bit < bits)
			locked();
	}
}

#define TEST_AND(name, set, bit_first, bits)                                                       \
	void test_##name(void)                                                                     \
	{                                                                                          \
		test_and(set, bit_first, bits);                                                    \
	}
TEST_AND(TestAndSetPxEBit, true, false, 32)
TEST_AND(TestAndClearPxEBit, false, false, 32)
TEST_AND(TestAndSetPteBit, true, true, 32)
TEST_AND(TestAndClearPteBit, false, true, 32)
TEST_AND(TestAndSetPxELongBit, true, false, 64)
TEST_AND(TestAndClearPxELongBit, false, false, 64)
TEST_AND(TestAndSetPteBitLong, true, true, 64)
TEST_AND(TestAndClearPteBitLong, false, true, 64)

/* ------------------------------------------------------------------------
 * PAE entries
 */

/* Present to present, to not present, from not present, and A and D as they were. */
static void set_entry_long(void)
{
	static const u64 values[][2] = {
		{ OLD, NEW },
		{ OLD, 0 },
		{ 0, NEW },
		{ OLD & ~(u64)1, NEW },
		{ NEW, NEW + 0x100000000 },
	};
	u32 i;

	for (i = 0; i < ARRAY_SIZE(values); i++) {
		u64 old = values[i][0], new = values[i][1];

		poison();
		arena_entry(old);
		watch(old, new, true);
		go3((u32) new, (u32)(new >> 32), ptep());
		equal64(entry64(), new, "entry");
		arena_untouched_but(ENTRY, 2);
		watched();
	}
	for (i = 0; meddle(i); i++) {
		go3((u32)NEW, (u32)(NEW >> 32), ptep());
		expect(entry64() == NEW || (meddled && entry64() == OTHER),
		       "written after %u instructions: entry %016llx", i, entry64());
	}
}

void test_SetPxELong(void)
{
	v.word[0] = VMI_PAGE_PT;
	set_entry_long();
}

void test_SetPxELong_v13(void)
{
	set_entry_long();
}

void test_SetPteLong(void)
{
	set_entry_long();
}

void test_GetPxELong(void)
{
	u32 n;

	arena_entry(OLD);
	go1(ptep());
	equal64(out64(), OLD, "entry");
	equal64(entry64(), OLD, "entry afterwards");
	for (n = 0; meddle(n); n++) {
		go1(ptep());
		expect(out64() == OLD || (meddled && out64() == OTHER),
		       "written after %u instructions: %016llx", n, out64());
	}
}

static void swapped_long(void)
{
	equal64(out64(), OLD, "result");
	equal64(entry64(), NEW, "entry");
	arena_untouched_but(ENTRY, 2);
}

/* Once to see what other processors may see, once for what is locked. */
void test_SwapPxELongAtomic(void)
{
	u32 n;

	arena_entry(OLD);
	watch(OLD, NEW, false);
	go3((u32)NEW, (u32)(NEW >> 32), ptep());
	swapped_long();
	watched();
	poison();
	arena_entry(OLD);
	steps_record();
	go3((u32)NEW, (u32)(NEW >> 32), ptep());
	locked();
	for (n = 0; meddle(n); n++) {
		go3((u32)NEW, (u32)(NEW >> 32), ptep());
		exchanged(out64(), n);
	}
}

void test_SwapPteLong(void)
{
	u32 i;

	for (i = 0; i < 2; i++) {
		poison();
		arena_entry(OLD);
		if (i)
			steps_record();
		else
			watch(OLD, NEW, false);
		v.in.ebx = (u32)NEW;
		v.in.ecx = (u32)(NEW >> 32);
		v.in.edi = ptep();
		go();
		swapped_long();
		if (i)
			locked();
		else
			watched();
	}
	for (i = 0; meddle(i); i++) {
		v.in.ebx = (u32)NEW;
		v.in.ecx = (u32)(NEW >> 32);
		v.in.edi = ptep();
		go();
		exchanged(out64(), i);
	}
}

void test_DeactivatePxELongAtomic(void)
{
	arena_entry(OLD);
	watch(OLD, 0, true);
	go1(ptep());
	equal64(out64(), OLD, "result");
	equal64(entry64(), 0, "entry");
	arena_untouched_but(ENTRY, 2);
	watched();
	poison();
	arena_entry(OLD);
	steps_record();
	go1(ptep());
	locked();
}

/* ------------------------------------------------------------------------
 * Translations
 */

/* A page whose translation the processor holds while the entry says another. */
static u32 *stale(void)
{
	static u32 linear, first, second;

	if (!linear) {
		linear = 0x0a000000;
		first = to_phys(page());
		second = to_phys(page());
		*(u32 *)phys(first) = 1;
		*(u32 *)phys(second) = 2;
	}
	map(linear, first, PTE_P | PTE_W);
	expect(*(volatile u32 *)at(linear) == 1, "the first page");
	*(u32 *)pte_of(linear) = second | PTE_P | PTE_W;
	return at(linear);
}

static const u8 mov_cr3[] = { 0x0f, 0x22, 0xd8 };
static const u8 mov_cr4[] = { 0x0f, 0x22, 0xe0 };
static const u8 mov_cr4_ecx[] = { 0x0f, 0x22, 0xe1 };

/* CR4.PGE must be off once: seen between instructions; and only with interrupts off. */
static u32 without_pge, without_pge_open;

static void watch_pge(const struct trap *trap)
{
	if (cr4() & CR4_PGE)
		return;
	without_pge++;
	without_pge_open += (trap->eflags & EFLAGS_IF) != 0;
}

void test_InvalPage(void)
{
	volatile u32 *at;

	if (!paging()) {
		go();
		return;
	}
	at = stale();
	go1((u32)at);
	equal(*at, 2, "the page");
}

/* Off: with CR4.PGE clear, a write of CR3 must do. */
static void flush(u32 how, bool takes_argument, bool all, bool global)
{
	volatile u32 *at;
	u32 before = cr4();

	if (takes_argument)
		v.in.eax = how;
	if (!paging()) {
		go();
		return;
	}
	at = stale();
	steps_record();
	go();
	if (all)
		equal(*at, 2, "the page");
	else if (stepping() && !trapped())
		equal(steps_of(mov_cr3, 3) + steps_of(mov_cr4, 3) + steps_of(mov_cr4_ecx, 3), 0,
		      "flushes");

	set_cr4(before | CR4_PGE);
	poison();
	if (takes_argument)
		v.in.eax = how;
	without_pge = without_pge_open = 0;
	on_step(watch_pge);
	at = stale();
	go();
	if (all)
		equal(*at, 2, "the page, with PGE");
	if (stepping() && !trapped())
		equal(without_pge != 0, global, "global pages flushed");
	equal(without_pge_open, 0, "instructions without PGE that an interrupt may follow");
	equal(cr4(), before | CR4_PGE, "CR4");
	set_cr4(before);
}

void test_FlushTLB(void)
{
	flush(VMI_FLUSH_TLB, true, true, false);
	poison();
	flush(VMI_FLUSH_TLB | VMI_FLUSH_GLOBAL, true, true, true);
	poison();
	flush(VMI_FLUSH_GLOBAL | 0x80000000, true, true, true);
	poison();
	flush(0xfffffffc, true, false, false);
}

void test_FlushTLB_v6(void)
{
	flush(0, false, true, false);
}

void test_FlushTLBAll(void)
{
	flush(0, false, true, true);
}
