/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * RUN: {flat,high,pae},rom={vmi,vmi-13,vmi-6},cpu=max,icount
 * RUN: {high,pae},rom={vmi,vmi-13},alias,cpu=max,icount
 * RUN: {flat,high,pae},rom=vmi,machine=bochs,mips=200
 * RUN: flat,rom=vmi-13,cpu=max,icount,noacpi
 * RUN: flat,rom=vmi,cpu={pentium,qemu32},icount
 * RUN: flat,rom=vmi,bare,icount
 * RUN: flat,rom=vmi,cpu=max,icount,patch=off
 * RUN: {flat,high,pae},rom=vmi,cpu=max,icount,sites
 * RUN: pae,rom={vmi-13,vmi-6},cpu=max,icount,sites
 * RUN: pae,rom=vmi,icount,host=svm,trap={irq,all},sites
 * RUN: pae,rom=vmi,icount,host=svm,trap={time,mmu,cpu,irq}
 * RUN: pae,rom={vmi,vmi-13,vmi-6},icount,host=svm,trap=all,cost
 * RUN-FULL: {flat,high},rom={vmi-13,vmi-6},cpu=max,icount,sites
 * RUN-FULL: {flat,high},rom=vmi,icount,host=svm,trap={irq,all},sites
 * RUN-FULL: pae,rom={vmi-13,vmi-6},icount,host=svm,trap={irq,all},sites
 * RUN-FULL: {flat,high},rom={vmi,vmi-13,vmi-6},icount,host=svm,trap=all,cost
 * RUN-FULL: high,rom={vmi,vmi-13,vmi-6},icount,host=svm,trap={none,time,mmu,cpu,irq}
 * RUN-FULL: flat,rom={vmi,vmi-13,vmi-6},icount,host=svm,trap={none,time,mmu,cpu,irq}
 * RUN-FULL: pae,rom=vmi,icount,host=svm,trap=none
 * RUN-FULL: pae,rom={vmi-13,vmi-6},icount,host=svm,trap={none,time,mmu,cpu,irq}
 *
 * cost: what each call costs, with icount: at best, of all the times that it is tested.
 * sites: what the ROM puts inline at a call site, in place of the stub.
 * alias: at another linear address, with the ROM area mapped read-only.
 */
#include "calls.h"

static const struct call calls[VMI_CALL_COUNT] = {
#define VMI_X(name, n3, n13, n6, type, args, in, out, clobber, conv, seg, defer, text)             \
	{ #name, in, out, clobber, conv, seg, test_##name },
	VMI_CALLS(VMI_X)
#undef VMI_X
};

static const u32 patterns[] = {
	EFLAGS_1,
	EFLAGS_1 | EFLAGS_OSZAPC | EFLAGS_DF | EFLAGS_IOPL | EFLAGS_AC | EFLAGS_ID,
	EFLAGS_1 | EFLAGS_IF | EFLAGS_ID | 0x1000 | 0x041,
	EFLAGS_1 | EFLAGS_IF | EFLAGS_DF | EFLAGS_AC | 0x2000 | 0x814,
	EFLAGS_1 | EFLAGS_TF | EFLAGS_DF | EFLAGS_IOPL | EFLAGS_OSZAPC,
	EFLAGS_1 | EFLAGS_TF | EFLAGS_IF | EFLAGS_AC | EFLAGS_ID,
};

static bool call_traps;
struct rom rom;
const struct call *call;
u32 target;
u32 pattern;
struct invoke v;
u32 arena[ARENA_WORDS];

/*
 * What DS and ES hold where a call may not rely on them: another base. (TCG
 * reads through a null selector as if it were flat.)
 */
#define SEL_ELSEWHERE (18 * 8)

static u32 random_state = 1;

static u32 random(void)
{
	random_state = random_state * 1664525 + 1013904223;
	return random_state ^ random_state >> 15;
}

void poison(void)
{
	u32 i;

	v.in = (struct cpu_state){
		.eax = random(),
		.ecx = random(),
		.edx = random(),
		.ebx = random(),
		.ebp = random(),
		.esi = random(),
		.edi = random(),
	};
	for (i = 0; i < INVOKE_WORDS; i++)
		v.word[i] = random();
	v.in.eflags = pattern;
	v.in.fs = v.in.gs = 0;
	v.in.ds = v.in.es = call->segments == VMI_SEG_FLAT ? SEL_DATA : SEL_ELSEWHERE;
	v.target = target;
	v.jump = call->convention == VMI_CONV_JUMP;
}

static void contract(u32 flags_mask, u32 flags_value)
{
	static const struct {
		u32 bit;
		const char *name;
		size_t offset;
	} registers[] = {
		{ VMI_A, "EAX", offsetof(struct cpu_state, eax) },
		{ VMI_C, "ECX", offsetof(struct cpu_state, ecx) },
		{ VMI_D, "EDX", offsetof(struct cpu_state, edx) },
		{ VMI_B, "EBX", offsetof(struct cpu_state, ebx) },
		{ 0, "EBP", offsetof(struct cpu_state, ebp) },
		{ VMI_SI, "ESI", offsetof(struct cpu_state, esi) },
		{ VMI_DI, "EDI", offsetof(struct cpu_state, edi) },
		{ 0, "DS", offsetof(struct cpu_state, ds) },
		{ 0, "ES", offsetof(struct cpu_state, es) },
		{ 0, "FS", offsetof(struct cpu_state, fs) },
		{ 0, "GS", offsetof(struct cpu_state, gs) },
	};
	u32 i, kept = ~(EFLAGS_OSZAPC | flags_mask);

	expect(!flags_mask == !(call->out & VMI_EFL),
	       "flags are an output here or in the table only");
	for (i = 0; i < ARRAY_SIZE(registers); i++) {
		size_t offset = registers[i].offset;

		if (!(call->out & registers[i].bit))
			equal(*(u32 *)((u8 *)&v.out + offset), *(u32 *)((u8 *)&v.in + offset),
			      registers[i].name);
	}
	equal(v.out.esp, 0, "ESP's change");
	equal(v.out.eflags & kept, v.in.eflags & kept, "EFLAGS but for OSZAPC");
	equal(v.out.eflags & flags_mask, flags_value & flags_mask, "EFLAGS, as the call sets it");
}

bool trapped(void)
{
	return call_traps;
}

/* At best: instructions, with those of a VMM; instructions of the stub, and its traps. */
static struct cost {
	u32 all, stub, traps;
} cost, nothing;

static void least(u32 *value, u32 measured)
{
	if (measured < *value)
		*value = measured;
}

void go_raw(void)
{
	u64 start = rdtsc();

	invoke(&v);
	if (!stepping()) {
		least(&cost.all, (u32)(rdtsc() - start));
	} else {
		least(&cost.stub, invoke_steps);
		least(&cost.traps, invoke_traps);
	}
}

static void cost_start(void)
{
	cost = (struct cost){ ~0u, ~0u, ~0u };
}

/* Of a call that does nothing. */
static void cost_nothing(void)
{
	static const u8 ret = 0xc3;

	call = &calls[VMI_ID_Pause];
	target = (u32)&ret;
	cost_start();
	pattern = EFLAGS_1;
	poison();
	go_raw();
	pattern |= EFLAGS_TF;
	poison();
	go_raw();
	nothing = cost;
}

static void cost_number(u32 value, u32 none)
{
	if (value == ~0u || call->convention == VMI_CONV_JUMP) /* never ran to its end */
		print(" -");
	else
		print(" %u", value - none);
}

/* RET is the last instruction of both. */
static void cost_print(u32 type)
{
	static const char *const types[] = { "NONE", "CALL", "JUMP", "NOP" };

	print("cost: %-24s %s", call->name, types[type & 3]);
	if (type == VMI_RELOC_CALL || type == VMI_RELOC_JUMP) {
		cost_number(cost.traps, 0);
		cost_number(cost.stub, nothing.stub - 1);
		cost_number(cost.all, nothing.all - 1);
	}
	print("\n");
}

/* What must not trap, below a VMM that has all calls. */
static void cost_check(u32 row)
{
	static const u8 quiet[] = {
		VMI_ID_EnableInterrupts,
		VMI_ID_DisableInterrupts,
		VMI_ID_GetInterruptMask,
		VMI_ID_SetInterruptMask,
		VMI_ID_GetCR0,
		VMI_ID_GetCR2,
		VMI_ID_GetCR3,
		VMI_ID_GetCR4,
		VMI_ID_GetLDT,
		VMI_ID_GetTR,
		VMI_ID_GetCycleFrequency,
		VMI_ID_GetCycleCounter,
		VMI_ID_GetWallclockTime,
		VMI_ID_WallclockUpdated,
		VMI_ID_SetLazyMode,
		VMI_ID_SaveAndDisableIRQs,
	};
	u32 i;

	if (!call_traps || cost.traps == ~0u)
		return;
	expect(cost.traps <= 1, "%u traps", cost.traps);
	for (i = 0; i < ARRAY_SIZE(quiet); i++)
		if (quiet[i] == row)
			equal(cost.traps, 0, "traps");
}

#define BATCH 1024

static u32 traps_of(enum vmi_call row, u32 a, u32 d, u32 c)
{
	call = &calls[row];
	target = rom_call(&rom, row);
	pattern = EFLAGS_1 | EFLAGS_TF;
	poison();
	v.in.eax = a;
	v.in.edx = d;
	v.in.ecx = c;
	go_raw();
	return invoke_traps;
}

static void batch(void)
{
	u32 i, traps = traps_of(VMI_ID_SetLazyMode, VMI_LAZY_MMU, 0, 0);

	for (i = 0; i < BATCH; i++)
		traps +=
			traps_of(VMI_ID_SetPxE, i << 12, (u32)&arena[i % ARENA_WORDS], VMI_PAGE_PT);
	traps += traps_of(VMI_ID_SetLazyMode, VMI_LAZY_NONE, 0, 0);
	equal(traps, 2, "traps");
	for (i = 0; i < ARENA_WORDS; i++)
		equal(arena[i], (BATCH - ARENA_WORDS + i) << 12, "an entry");
	point("%u queued page-table writes", BATCH);
}

u32 go_flags(u32 mask, u32 value)
{
	go_raw();
	if (v.trapped)
		expect(false, "trap %u at %08x", v.trap.vector, v.trap.eip);
	else
		contract(mask, value);
	if (trapped()) /* what may wait does not */
		VMI(&rom, FlushDeferredCalls)(~0u);
	return v.out.eax;
}

u32 go(void)
{
	return go_flags(0, 0);
}

void arena_fill(void)
{
	u32 i;

	for (i = 0; i < ARENA_WORDS; i++)
		arena[i] = 0xa5a50000 + i;
}

void arena_untouched_but(u32 first, u32 n)
{
	u32 i;

	for (i = 0; i < ARENA_WORDS; i++)
		if (i < first || i >= first + n)
			expect(arena[i] == 0xa5a50000 + i, "word %u of the memory is %08x", i,
			       arena[i]);
}

static u32 steps[STEPS_MAX];
static u32 step_count;

static void step(const struct trap *trap)
{
	if (step_count < STEPS_MAX)
		steps[step_count++] = trap->eip;
}

void steps_record(void)
{
	step_count = 0;
	on_step(step);
}

u32 steps_of(const u8 *bytes, u32 n)
{
	u32 i, found = 0;

	for (i = 0; i < step_count; i++)
		found += (u32)same(at(steps[i]), bytes, n);
	return found;
}

static void test(u32 address)
{
	u32 i;

	target = address;
	for (i = 0; i < ARRAY_SIZE(patterns); i++) {
		pattern = patterns[i];
		poison();
		call->test();
		on_step(NULL);
		invoke_catch_none();
		irq_mask_all();
	}
}

/* A call site, which ends in RET behind it. */
static struct {
	u8 code[80], ret;
} site = { .ret = 0xc3 };

/* Its best form for the call, VMI_FORM_*. */
static u32 site_form(u32 row)
{
	struct vmi_site record = { .address = (u32)site.code,
				   .size = sizeof(site.code),
				   .live = VMI_LIVE_REGISTERS };
	u8 kept[1 + sizeof(site.code)] = { VMI_FORM_ORIGINAL };
	struct vmi_patch patch = { .records = (u32)&record,
				   .count = 1,
				   .number = 1,
				   .text = (u32)site.code,
				   .text_size = sizeof(site.code),
				   .kept = (u32)kept };

	record.call = (u8)row;
	memset(site.code, 0xcc, sizeof(site.code));
	equal(VMI(&rom, PatchSites)(&patch), VMI_PATCH_DONE, "PatchSites");
	return kept[0] & ~VMI_KEPT_RETURNS;
}

static void sites(void)
{
	u32 i, form, count = 0;

	for (i = 0; i < VMI_CALL_COUNT; i++) {
		if (VMI_IS_OWN_CALL(i))
			continue;
		form = site_form(i);
		if (form != VMI_FORM_INLINE && form != VMI_FORM_NOPS)
			continue;
		count++;
		call = &calls[i];
		call_traps = rom_traps(&rom, i);
		test((u32)site.code);
		point("%s %s", call->name, form == VMI_FORM_NOPS ? "as NOPs" : "inline");
	}
	expect(count >= (rom_traps(&rom, VMI_ID_SetCR0) ? 40 : 90), "%u calls", count);
	point("of %u calls, %u inline", VMI_CALL_COUNT, count);
}

void guest_main(void)
{
	u32 i, number, type, entry, major = option_number("major", 3);

	if (!rom_find(&rom, major))
		bail("no VMI %u image", major);
	if (option("alias"))
		rom_alias(&rom, 0x30000000);
	if (rom_init(&rom))
		bail("Init failed");
	cost_nothing();
	gdt[SEL_ELSEWHERE / 8] = descriptor(0x5a5a5000, 0xfffff, 0xc093);
	if (option("sites")) {
		sites();
		return;
	}
	for (i = 0; i < VMI_CALL_COUNT; i++) {
		call = &calls[i];
		call_traps = rom_traps(&rom, i);
		entry = (u32)rom.image + rom.record[i].stub;
		expect(entry >= (u32)rom.image + 0x80 && entry < (u32)rom.image + rom.size,
		       "stub at %x", entry);
		test(rom_call(&rom, i));
		point("%s by name", call->name);
		number = rom_number(&rom, i);
		if (number == VMI_NO)
			continue;
		entry = rom_entry(&rom, number, &type);
		cost_start();
		equal(type, rom.record[i].binding & VMI_RELOC_TYPE, "binding");
		if (type == VMI_RELOC_CALL || type == VMI_RELOC_JUMP)
			test(entry);
		else
			equal(entry, 0, "EIP of a call without code");
		if (option("cost"))
			cost_check(i);
		point("%s by number %u", call->name, number);
		if (option("cost"))
			cost_print(type);
	}
	if (option("cost"))
		batch();
}
