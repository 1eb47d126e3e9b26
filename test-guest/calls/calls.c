/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * RUN: {flat,high,pae},rom={vmi,vmi-13,vmi-6},cpu=max,icount
 * RUN: {high,pae},rom={vmi,vmi-13},alias,cpu=max,icount
 * RUN: {flat,high,pae},rom=vmi,machine=bochs,mips=200
 * RUN: flat,rom=vmi-13,cpu=max,icount,noacpi
 * RUN: flat,rom=vmi,cpu={pentium,qemu32},icount
 * RUN: flat,rom=vmi,bare,icount
 * RUN: flat,rom=vmi,cpu=max,icount,patch=off
 * RUN: pae,rom=vmi,icount,host=svm,trap={none,time,mmu,cpu,irq}
 * RUN: {flat,pae},rom={vmi,vmi-13,vmi-6},icount,host=svm,trap=all
 * RUN-FULL: high,rom={vmi,vmi-13,vmi-6},icount,host=svm,trap={none,time,mmu,cpu,irq,all}
 * RUN-FULL: flat,rom={vmi,vmi-13,vmi-6},icount,host=svm,trap={none,time,mmu,cpu,irq}
 * RUN-FULL: pae,rom={vmi-13,vmi-6},icount,host=svm,trap={none,time,mmu,cpu,irq}
 *
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

static bool call_traps;

bool trapped(void)
{
	return call_traps;
}

void go_raw(void)
{
	invoke(&v);
}

u32 go_flags(u32 mask, u32 value)
{
	invoke(&v);
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

void guest_main(void)
{
	u32 i, number, type, entry, major = option_number("major", 3);

	if (!rom_find(&rom, major))
		bail("no VMI %u image", major);
	if (option("alias"))
		rom_alias(&rom, 0x30000000);
	if (rom_init(&rom))
		bail("Init failed");
	gdt[SEL_ELSEWHERE / 8] = descriptor(0x5a5a5000, 0xfffff, 0xc093);
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
		equal(type, rom.record[i].binding & ~VMI_POLICY, "binding");
		if (type == VMI_RELOC_CALL || type == VMI_RELOC_JUMP)
			test(entry);
		else
			equal(entry, 0, "EIP of a call without code");
		point("%s by number %u", call->name, number);
	}
}
