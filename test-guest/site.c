/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Call sites as Linux has them, in a table of this guest: which of them the ROM
 * rewrites while a 3.0 guest binds IRET, and that they then do what they did.
 *
 * RUN: {high,pae},rom=vmi,icount
 * RUN: {high,pae},rom=vmi,smp=2
 * RUN: flat,rom=vmi
 * RUN: high,rom=vmi,patch=off
 * RUN: high,rom={vmi-13,vmi-6}
 * RUN: {high,pae},rom=vmi,host=svm,trap={irq,all}
 * RUN: pae,rom=vmi,smp=2,host=svm,trap={irq,time}
 */
#include "guest.h"

#define VECTOR_PF 14
#define IA32_SYSENTER_CS 0x174
#define CR0_WP 0x10000u
#define REACH 0x1000000
#define ICR_LOW 0x300
#define ICR_HIGH 0x310
#define ICR_STARTUP 0x4600
#define APIC_ID_ABSENT 0x55000000u

static struct rom rom;

/* ------------------------------------------------------------------------
 * Functions that sites call: what is known of each, whatever else
 */

#define BODY_MOST 5
#define FUNCTION_MOST 12
static const struct function {
	const char *name;
	u8 known; /* bytes that a site gets, or NO */
	u8 saves; /* a site that saves registers may get them: 1; only ECX and EDX: 2 */
	u8 bytes;
	u8 code[FUNCTION_MOST];
} functions[] = {
#define NO 0xff
	{ "nothing", 0, 1, 1, { 0xc3 } },
	{ "CLI", 1, 1, 2, { 0xfa, 0xc3 } },
	{ "STI", 1, 1, 2, { 0xfb, 0xc3 } },
	{ "PUSHF; POP EAX", 2, 2, 3, { 0x9c, 0x58, 0xc3 } },
	{ "PUSH EAX; POPF", 2, 2, 3, { 0x50, 0x9d, 0xc3 } },
	{ "CLTS", 2, 2, 3, { 0x0f, 0x06, 0xc3 } },
	{ "RDTSC", 2, 0, 3, { 0x0f, 0x31, 0xc3 } },
	{ "MOV EAX, CR0", 3, 2, 4, { 0x0f, 0x20, 0xc0, 0xc3 } },
	{ "MOV EAX, CR2", 3, 2, 4, { 0x0f, 0x20, 0xd0, 0xc3 } },
	{ "MOV EAX, CR3", 3, 2, 4, { 0x0f, 0x20, 0xd8, 0xc3 } },
	{ "MOV EAX, CR4", 3, 2, 4, { 0x0f, 0x20, 0xe0, 0xc3 } },
	{ "MOV CR0, EAX", 3, 2, 4, { 0x0f, 0x22, 0xc0, 0xc3 } },
	{ "MOV CR2, EAX", 3, 2, 4, { 0x0f, 0x22, 0xd0, 0xc3 } },
	{ "MOV CR3, EAX", 3, 2, 4, { 0x0f, 0x22, 0xd8, 0xc3 } },
	{ "MOV CR4, EAX", 3, 2, 4, { 0x0f, 0x22, 0xe0, 0xc3 } },
	{ "INVLPG [EAX]", 3, 2, 4, { 0x0f, 0x01, 0x38, 0xc3 } },
	{ "MOV [EAX], EDX", 2, 2, 3, { 0x89, 0x10, 0xc3 } },
	{ "MOV [EAX+4], ECX; MOV [EAX], EDX", 5, 2, 6, { 0x89, 0x48, 0x04, 0x89, 0x10, 0xc3 } },
	/* Not known: other instructions, more of them, and what calls or jumps on. */
	{ "CLD", NO, 0, 2, { 0xfc, 0xc3 } },
	{ "CLI; NOP", NO, 0, 3, { 0xfa, 0x90, 0xc3 } },
	{ "CLI; RET 0", NO, 0, 4, { 0xfa, 0xc2, 0x00, 0x00 } },
	{ "MOV EAX, CR1's number", NO, 0, 4, { 0x0f, 0x20, 0xe8, 0xc3 } },
	{ "MOV ECX, CR0", NO, 0, 4, { 0x0f, 0x20, 0xc1, 0xc3 } },
	{ "MOV [EAX], ECX", NO, 0, 3, { 0x89, 0x08, 0xc3 } },
	{ "a frame", NO, 0, 6, { 0x55, 0x89, 0xe5, 0xfa, 0x5d, 0xc3 } },
	{ "a call", NO, 0, 6, { 0xe8, 0x00, 0x00, 0x00, 0x00, 0xc3 } },
	{ "a jump", NO, 0, 6, { 0xe9, 0x00, 0x00, 0x00, 0x00, 0xc3 } },
};
enum {
	NOTHING,
	CLI,
	STI,
	PUSHF,
	POPF,
	CLTS,
	RDTSC,
	GET_CR0,
	GET_CR2,
	SET_CR0 = 11,
	SET_CR2,
	SET_CR3
};
enum { SET_CR4 = 14, INVLPG, STORE, STORE_LONG, UNKNOWN };
#define FUNCTIONS ARRAY_SIZE(functions)

/* What sites call through, and where it leads. */
static u8 function_code[FUNCTIONS][16];
static const void *operation[FUNCTIONS];

/* ------------------------------------------------------------------------
 * The table, and the code that it names
 */

struct site {
	u32 code;
	u8 type, size;
	u16 clobbers;
};

#define SITES 640
#define SLOT 32
static u8 slots[SITES][SLOT] __attribute__((aligned(4096)));
static u8 before[SITES][SLOT];
static struct {
	u32 memory[1024]; /* comes first */
	struct site records[SITES + 1];
} tables;
static u32 site_function[SITES];
static u8 *slot; /* the next one is made here */
static u32 count;

#define OPCODE_CALL 0x15 /* FF and MODRM */
#define OPCODE_JMP 0x25

/* At `slot`: pushes, CS: perhaps, CALL or JMP through memory, pops, RET. */
static u32 add(u32 function, u8 modrm, bool prefix, const char *pushes, const char *pops)
{
	u8 *code = slot;
	u32 at = (u32)&operation[function], i = count++;

	while (*pushes)
		*code++ = (u8)*pushes++;
	if (prefix)
		*code++ = 0x2e;
	*code++ = 0xff;
	*code++ = modrm;
	memcpy(code, &at, 4);
	code += 4;
	while (*pops)
		*code++ = (u8)*pops++;
	*code = 0xc3;
	tables.records[i] = (struct site){ (u32)slot, (u8)i, (u8)(code - slot), (u16)(i & 0x1ff) };
	site_function[i] = function;
	slot += SLOT;
	return i;
}

static u32 add_call(u32 function)
{
	return add(function, OPCODE_CALL, false, "", "");
}

static u32 add_jump(u32 function, bool prefix)
{
	return add(function, OPCODE_JMP, prefix, "", "");
}

/* Sites of no interest, until there are so many records. */
static void fill_up(u32 n)
{
	while (count < n)
		add_call(CLI);
}

static void start(void)
{
	u32 i;

	memset(slots, 0xcc, sizeof(slots));
	memset(tables.records, 0, sizeof(tables.records));
	for (i = 0; i < FUNCTIONS; i++) {
		memcpy(function_code[i], functions[i].code, functions[i].bytes);
		operation[i] = function_code[i];
	}
	slot = slots[0];
	count = 0;
}

/* ------------------------------------------------------------------------
 * Binding
 */

/* GetRelocationInfo: no trap, and all is as it was but EAX and EDX. */
static u64 ask_with(u32 number, u32 flags)
{
	static const struct cpu_state in = { .ecx = 0x11223344,
					     .edx = 0x55667788,
					     .ebx = 0x99aabbcc,
					     .ebp = 0xddeeff01,
					     .esi = 0x12131415,
					     .edi = 0x16171819,
					     .ds = SEL_DATA,
					     .es = SEL_DATA };
	struct invoke v = { .target = rom_symbol(&rom, "VMI_GetRelocationInfo"), .in = in };
	struct dtr idtr = sidt();
	u32 fault = 0xabcde000 + number;

	v.in.eax = number;
	v.in.eflags = EFLAGS_1 | flags;
	set_cr2(fault);
	invoke(&v);
	equal(cr2(), fault, "CR2");
	expect(same(&idtr, (const struct dtr[]){ sidt() }, sizeof(idtr)), "IDTR changed");
	equal(v.out.ecx, in.ecx, "ECX");
	equal(v.out.ebx, in.ebx, "EBX");
	equal(v.out.ebp, in.ebp, "EBP");
	equal(v.out.esi, in.esi, "ESI");
	equal(v.out.edi, in.edi, "EDI");
	equal(v.out.ds, in.ds, "DS");
	equal(v.out.es, in.es, "ES");
	equal((v.out.eflags ^ v.in.eflags) & ~EFLAGS_OSZAPC, 0, "flags that changed");
	return (u64)v.out.edx << 32 | v.out.eax;
}

static u64 ask(u32 number)
{
	return ask_with(number, 0);
}

/* Init, and what was asked for first; `before` has the sites as they were. */
static u64 begin(u32 flags)
{
	memcpy(before, slots, sizeof(slots));
	equal(rom_init(&rom), 0, "Init");
	return ask_with(VMI_3_IRET, flags);
}

/* The guest's patcher: JMP to the stub. Returns the type that it was told. */
static u32 patch_jump(u32 i, u32 number, u32 nth)
{
	u64 info = nth ? ask(number) : begin(0);
	u32 to = (u32)info - ((u32)slots[i] + 5);

	if (info >> 32 == VMI_RELOC_JUMP) {
		slots[i][0] = 0xe9;
		memcpy(slots[i] + 1, &to, 4);
	}
	return (u32)(info >> 32);
}

static void changed(u32 i, bool is, const char *when)
{
	const struct function *f = &functions[site_function[i]];
	u32 size = tables.records[i].size;

	if (!is) {
		expect(same(slots[i], before[i], SLOT), "%s: site %u (%s) changed", when, i,
		       f->name);
		return;
	}
	expect(!same(slots[i], before[i], SLOT), "%s: site %u (%s) is as it was", when, i, f->name);
	expect(same(slots[i], f->code, f->known), "%s: site %u is not %s", when, i, f->name);
	expect(same(slots[i] + size, before[i] + size, SLOT - size), "%s: beyond site %u (%s)",
	       when, i, f->name);
}

static void none_changed(const char *when)
{
	expect(same(slots, before, sizeof(slots)), "%s: a site changed", when);
}

/* ------------------------------------------------------------------------
 * What sites do
 */

static u32 arena[4];
static u32 padding_at, padding_end, padding_run;

static void count_padding(const struct trap *trap)
{
	padding_run += trap->eip >= padding_at && trap->eip < padding_end;
}

struct result {
	struct cpu_state out;
	u32 arena[4];
	u32 cr0, cr2, cr3, cr4;
};

static void execute(u32 i, const u8 *code, u32 flags, struct result *r)
{
	struct invoke v = { .target = (u32)code };
	u32 function = site_function[i];

	v.in = (struct cpu_state){ .eax = 0xa0a1a2a3,
				   .ecx = 0xc0c1c2c3,
				   .edx = 0xd0d1d2d3,
				   .ebx = 0xb0b1b2b3,
				   .ebp = 0xe0e1e2e3,
				   .esi = 0xf0f1f2f3,
				   .edi = 0x70717273,
				   .ds = SEL_DATA,
				   .es = SEL_DATA,
				   .eflags = EFLAGS_1 | flags };
	if (function == POPF)
		v.in.eax = (v.in.eflags ^ (EFLAGS_OSZAPC | EFLAGS_DF | EFLAGS_IF | EFLAGS_ID));
	if (function == SET_CR0)
		v.in.eax = cr0() ^ CR0_WP;
	if (function == SET_CR3)
		v.in.eax = cr3() ^ 0x10;
	if (function == SET_CR4)
		v.in.eax = cr4() ^ 4;
	if (function == INVLPG || function == STORE || function == STORE_LONG)
		v.in.eax = (u32)&arena[1];
	memset(arena, 0x5a, sizeof(arena));
	set_cr0(cr0() | CR0_TS);
	set_cr2(0x87654321);
	invoke(&v);
	r->out = v.out;
	memcpy(r->arena, arena, sizeof(arena));
	r->cr0 = cr0();
	r->cr2 = cr2();
	r->cr3 = cr3();
	r->cr4 = cr4();
	if (function == SET_CR0)
		set_cr0(cr0() ^ CR0_WP);
	if (function == SET_CR3)
		set_cr3(cr3() ^ 0x10);
	if (function == SET_CR4)
		set_cr4(cr4() ^ 4);
	set_cr0(cr0() & ~CR0_TS);
	if (function == RDTSC) {
		expect(r->out.eax != v.in.eax && r->out.edx != v.in.edx, "site %u: no TSC", i);
		r->out.eax = r->out.edx = 0;
	}
}

static u32 paddings; /* bit n: of n bytes was run */

/* A site that changed does what it did. */
static void compare(u32 i)
{
	static const u32 flags[] = { 0, EFLAGS_OSZAPC | EFLAGS_DF | EFLAGS_ID, EFLAGS_IF | 0x1041 };
	const struct function *f = &functions[site_function[i]];
	u32 n, padding = tables.records[i].size - f->known;
	struct result was, is;

	for (n = 0; n < ARRAY_SIZE(flags); n++) {
		execute(i, before[i], flags[n], &was);
		execute(i, slots[i], flags[n], &is);
		expect(same(&was, &is, sizeof(was)), "site %u (%s) with flags %x does other things",
		       i, f->name, flags[n]);
	}
	padding_at = (u32)slots[i] + f->known;
	padding_end = padding_at + padding;
	padding_run = 0;
	on_step(count_padding);
	execute(i, slots[i], EFLAGS_TF, &is);
	on_step(NULL);
	/* No trap comes behind STI, nor after POPF of a value without TF. */
	if (site_function[i] == STI)
		padding_run++;
	if (site_function[i] != POPF)
		expect(padding_run && padding_run <= (padding + 8) / 9 + (site_function[i] == STI),
		       "site %u (%s): %u instructions in %u bytes", i, f->name, padding_run,
		       padding);
	paddings |= 1u << padding;
}

/* ------------------------------------------------------------------------
 * The tests
 */

#define ECX_EDX "\x51\x52"
#define EDX_ECX "\x5a\x59"

/* Every function with every way to call it; what the ROM makes of them. */
static void every_kind(void)
{
	static const struct {
		const char *pushes, *pops;
		bool wrong;
	} saves[] = {
		{ "", "", false },
		{ "\x51", "\x59", false },
		{ "\x52", "\x5a", false },
		{ ECX_EDX, EDX_ECX, false },
		{ "\x50" ECX_EDX, EDX_ECX "\x58", false },
		{ "\x53\x50" ECX_EDX, EDX_ECX "\x58\x5b", false },
		{ "\x56\x53\x50" ECX_EDX, EDX_ECX "\x58\x5b\x5e", false },
		{ ECX_EDX, "\x59\x5a", true },
		{ ECX_EDX, "\x59", true },
		{ "\x51", EDX_ECX, true },
		{ "\x51", "", true },
		{ "", "\x59", true },
		{ "\x51", "\x5a", true },
	};
	bool expected[SITES];
	u32 f, s, prefix, i, kept, done = 0;

	start();
	for (f = 0; f < FUNCTIONS; f++)
		for (s = 0; s < ARRAY_SIZE(saves); s++)
			for (prefix = 0; prefix < 2; prefix++) {
				if (count == SITES || (f >= UNKNOWN && s > 4) || (prefix && s == 6))
					continue; /* 17 bytes would end the table */
				i = add(f, OPCODE_CALL, prefix, saves[s].pushes, saves[s].pops);
				expected[i] = functions[f].known != NO && !saves[s].wrong &&
					      (!*saves[s].pushes || functions[f].saves == 1 ||
					       (functions[f].saves && s < 4));
			}
	expect(count < SITES, "the table is too small");
	begin(0);
	for (i = 0; i < count; i++) {
		changed(i, expected[i], "first");
		done += expected[i];
	}
	kept = count - done;
	print("# %u of %u sites were rewritten\n", done, count);
	expect(done >= 64 && kept >= 64, "too few");
	point("sites get the body of a known function, others are left alone");

	for (i = 0; i < count; i++)
		if (expected[i])
			compare(i);
	equal(paddings & 0xffe, 0xffe, "paddings that were run");
	point("they do what they did, with one instruction for 9 bytes of padding");
	memcpy(before, slots, sizeof(before));
	ask(VMI_3_IRET);
	ask(VMI_3_SYSEXIT);
	none_changed("asked again");
	start();
	fill_up(100);
	memcpy(before, slots, sizeof(before));
	ask(VMI_3_IRET);
	ask(VMI_3_SYSEXIT);
	none_changed("asked again with other sites");
	begin(0);
	changed(0, true, "Init called again");
	point("once after Init");
}

/* Records whose size or code does not fit. */
static void odd_records(void)
{
	u32 i, expected_from;

	start();
	add_call(CLI);
	add_call(CLI);
	i = add_call(CLI); /* 2: too short */
	tables.records[i].size--;
	i = add_call(CLI); /* 3: too long */
	tables.records[i].size++;
	i = add_call(CLI); /* 4: begins one byte late */
	tables.records[i].code++, tables.records[i].size--;
	i = add_call(CLI); /* 5: CALL EAX, and a tail */
	slots[i][1] = 0xd0;
	i = add_call(CLI); /* 6: a direct call */
	slots[i][0] = 0xe8;
	i = add_call(CLI); /* 7: PUSH [memory] */
	slots[i][1] = 0x35;
	i = add_call(CLI); /* 8: another prefix */
	slots[i][0] = 0x64, slots[i][1] = 0xff, slots[i][2] = OPCODE_CALL;
	tables.records[i].size++;
	expected_from = count;
	fill_up(80);
	begin(0);
	changed(0, true, "before them");
	for (i = 2; i < expected_from; i++)
		changed(i, false, "odd");
	changed(expected_from, true, "behind them");
	changed(79, true, "the last one");
	point("records that do not fit their code");
}

/* Runs of 64 records anywhere, and none of 63. */
static void where_tables_are(void)
{
	u32 *memory = tables.memory, at, n;

	for (at = 1; at < 4 * 128; at += at < 140 ? 1 : 37) {
		for (n = at % 16 == 3 ? 63 : 64; n <= 64; n++) {
			start();
			fill_up(n);
			memset(tables.memory, 0, sizeof(tables.memory));
			memcpy(&memory[at], tables.records, n * sizeof(*tables.records));
			memset(tables.records, 0, sizeof(tables.records));
			tables.records[0].size = 6;
			begin(0);
			if (n == 63)
				none_changed("63 records");
			else
				expect(!same(slots, before, sizeof(slots)), "word %u: not found",
				       at);
		}
	}
	memset(tables.memory, 0, sizeof(tables.memory));
	start();
	fill_up(100);
	tables.records[50].clobbers = 0x200;
	begin(0);
	none_changed("50 records and 49");
	point("a table of 64 records is found at any word, one of 63 is none");

	/* Many that could be tables.records, and name no code: passed over. */
	start();
	fill_up(64);
	for (n = 0; n < 400; n++)
		((struct site *)memory)[n] = (struct site){ (u32)arena, 0, 6, 0 };
	begin(0);
	memset(tables.memory, 0, sizeof(tables.memory));
	changed(0, true, "behind a run of others");
	point("what only looks like a table is passed over");
}

/* ------------------------------------------------------------------------
 * Faults
 */

/* Linear memory next to the guest's, within reach: pages of the first megabytes again. */
#define ALIAS 0xc1008000u

static void faults(void)
{
	u32 i, jump;
	u8 *page_of_sites = page();

	/* A record that names unmapped memory ends the search. */
	start();
	fill_up(70);
	tables.records[40].code = ALIAS + 0x7000;
	begin(0);
	for (i = 0; i < count; i++)
		if (i != 40)
			changed(i, i < 40, "unmapped");
	point("a record of unmapped memory ends it");

	/* The same where a site's operation is not mapped, or what it leads to. */
	start();
	fill_up(70);
	*(u32 *)&slots[40][2] = ALIAS + 0x7000;
	operation[STI] = at(ALIAS + 0x7000);
	*(u32 *)&slots[30][2] = (u32)&operation[STI];
	begin(0);
	for (i = 0; i < count; i++)
		changed(i, i < 30, "function");
	point("an operation that leads to unmapped memory ends it");

	/* Read-only: the first byte, the last byte. Nothing of such a site changes. */
	memset(page_of_sites, 0xcc, 4096);
	map(ALIAS, to_phys(slots), PTE_P | PTE_W);
	map(ALIAS + 0x1000, to_phys(page_of_sites), PTE_P);
	map(ALIAS + 0x2000, to_phys(slots + 128), PTE_P | PTE_W);
	set_cr0(cr0() | CR0_WP);
	for (i = 0; i < 2; i++) {
		u32 code = i ? ALIAS + 0x2000 - 3 : ALIAS + 0x1000 - 3;
		u8 image[8], *tail = i ? slots[128] : page_of_sites;
		u8 *head = i ? page_of_sites + 4093 : slots[128] - 3;

		start();
		fill_up(126);
		tables.records[50] = (struct site){ code, 0, 6, 0 };
		memcpy(image, slots[0], 6);
		memcpy(head, image, 3);
		memcpy(tail, image + 3, 3);
		begin(0);
		expect(same(at(code), image, 6), "half a site changed");
		changed(49, true, "before the read-only one");
		changed(51, false, "behind the read-only one");
	}
	point("sites that are read-only in part are not touched");

	/* Where a fault hides sites that might jump, those that were seen stay. */
	start();
	fill_up(30);
	jump = add_jump(CLI, false);
	fill_up(70);
	add_jump(CLI, false);
	tables.records[60].code = ALIAS + 0x7000;
	equal(patch_jump(jump, VMI_3_IRET, 0), VMI_RELOC_JUMP, "type");
	memcpy(before, slots, sizeof(slots));
	ask(VMI_3_EnableInterrupts);
	equal((u32)(ask(VMI_3_IRET) >> 32), VMI_RELOC_JUMP, "type then");
	none_changed("jumps before a fault");
	point("jumps stay where a fault hides others");
	unmap(ALIAS);
	unmap(ALIAS + 0x1000);
	unmap(ALIAS + 0x2000);
	set_cr0(cr0() & ~CR0_WP);
}

/* ------------------------------------------------------------------------
 * IRET and SYSEXIT
 */

static void jumps_run(const u8 *iret, const u8 *sysexit)
{
	struct invoke v = { .target = (u32)iret, .jump = 1 };
	u8 *user = user_page();

	v.in.eflags = EFLAGS_1;
	v.in.ds = v.in.es = SEL_DATA;
	v.word[0] = (u32)invoke_landing;
	v.word[1] = SEL_CODE;
	v.word[2] = EFLAGS_1 | EFLAGS_DF | 0x81;
	invoke(&v);
	equal(v.out.eflags, v.word[2], "flags after IRET");
	equal(v.out.esp, 12, "bytes that IRET took");

	user[0] = 0xcd;
	user[1] = VECTOR_USER;
	wrmsr(IA32_SYSENTER_CS, SEL_CODE);
	v.target = (u32)sysexit;
	v.in.edx = (u32)user;
	v.in.ecx = (u32)user + 0x800;
	invoke_catch(VECTOR_USER);
	invoke(&v);
	invoke_catch_none();
	expect(v.trapped, "SYSEXIT did not come to user mode");
	equal(v.trap.cs, SEL_USER_CODE, "CS after SYSEXIT");
	equal(v.trap.eip, (u32)user + 2, "EIP after SYSEXIT");
	equal(v.trap.esp, (u32)user + 0x800, "ESP after SYSEXIT");
	equal(v.trap.eflags & EFLAGS_IF, EFLAGS_IF, "IF after SYSEXIT");
}

/* Where IRET is a VMM's, its stub does more than that. */
static void stay(void)
{
	equal((u32)(ask_with(VMI_3_EnableInterrupts, EFLAGS_IF) >> 32), VMI_RELOC_CALL, "type");
	equal((u32)(ask(VMI_3_IRET) >> 32), VMI_RELOC_JUMP, "IRET's type");
	equal((u32)(ask(VMI_3_SYSEXIT) >> 32), VMI_RELOC_JUMP, "SYSEXIT's type");
	none_changed("jumps to a VMM's stubs");
	point("jumps to IRET and SYSEXIT stay");
}

static void jumps(void)
{
	u32 iret, sysexit, second, i, n, calls;

	start();
	fill_up(10);
	iret = add_jump(CLI, false);
	fill_up(20);
	sysexit = add_jump(CLI, true);
	second = add_jump(STI, false);
	fill_up(64);
	patch_jump(iret, VMI_3_IRET, 0);
	memcpy(before, slots, sizeof(slots));
	ask(VMI_3_EnableInterrupts);
	changed(iret, false, "two are missing");
	patch_jump(sysexit, VMI_3_SYSEXIT, 1);
	ask(VMI_3_DisableInterrupts);
	changed(iret, false, "one is missing");
	patch_jump(second, VMI_3_IRET, 2);
	memcpy(before, slots, sizeof(slots));
	ask(VMI_3_GetCR0);
	none_changed("another call");
	if (rom_traps(&rom, VMI_ID_IRET)) {
		stay();
		jumps_run(slots[iret], slots[sysexit]);
		jumps_run(slots[second], slots[sysexit]);
		point("they are entered as the stubs are");
		return;
	}
	equal((u32)(ask_with(VMI_3_EnableInterrupts, EFLAGS_IF) >> 32), VMI_RELOC_NONE, "type");
	equal(slots[iret][0], 0xcf, "IRET");
	equal(slots[second][0], 0xcf, "the other IRET");
	expect(same(slots[sysexit], "\xfb\x0f\x35", 3), "not STI and SYSEXIT");
	expect(same(slots[iret] + 1, before[iret] + 1, SLOT - 1), "behind IRET");
	expect(same(slots[sysexit] + 3, before[sysexit] + 3, SLOT - 3), "behind SYSEXIT");
	for (i = 0; i < count; i++)
		if (i != iret && i != sysexit && i != second)
			changed(i, false, "another site");
	equal64(ask(VMI_3_IRET), 0, "IRET then");
	equal64(ask(VMI_3_SYSEXIT), 0, "SYSEXIT then");
	point("jumps to IRET and SYSEXIT become those");
	jumps_run(slots[iret], slots[sysexit]);
	jumps_run(slots[second], slots[sysexit]);
	point("they are entered as the stubs are");

	/* One of them leads elsewhere: none changes. */
	for (n = 0; n < 2; n++) {
		start();
		fill_up(10);
		iret = add_jump(CLI, false);
		sysexit = add_jump(CLI, false);
		fill_up(64);
		patch_jump(iret, VMI_3_IRET, 0);
		patch_jump(sysexit, VMI_3_SYSEXIT, 1);
		slots[n ? sysexit : iret][1]++;
		memcpy(before, slots, sizeof(slots));
		ask(VMI_3_EnableInterrupts);
		none_changed("a jump elsewhere");
		equal((u32)(ask(VMI_3_IRET) >> 32), VMI_RELOC_JUMP, "type");
	}
	point("none where one leads elsewhere");

	for (n = 8; n <= 263; n += 255) {
		start();
		fill_up(2);
		for (i = 0; i < n; i++)
			add_jump(CLI, false);
		fill_up(n + 64);
		for (i = 0; i < n; i++)
			patch_jump(2 + i, VMI_3_IRET, i);
		memcpy(before, slots, sizeof(slots));
		for (calls = VMI_3_EnableInterrupts; calls <= VMI_3_SetInterruptMask; calls++)
			ask(calls);
		none_changed("too many jumps");
	}
	point("none where there are too many");
}

/* ------------------------------------------------------------------------
 * When nothing may happen
 */

static void nothing(const char *when, u32 flags)
{
	u32 n;

	start();
	fill_up(100);
	add_jump(CLI, false);
	memcpy(before, slots, sizeof(slots));
	equal(rom_init(&rom), 0, "Init");
	for (n = 0; n < 256; n++)
		ask_with(n, flags);
	for (n = 0; n < 256; n++)
		ask_with(n, 0);
	none_changed(when);
	point("%s: nothing changes", when);
}

static void search_cost(void)
{
	u32 page_at, from = (u32)slots & ~(REACH - 1);
	u64 took;

	for (page_at = from + REACH; page_at < from + REACH + 0x200000; page_at += 4096)
		map(page_at, 0x100000, PTE_P);
	start();
	rom_init(&rom);
	took = rdtsc();
	VMI(&rom, GetRelocationInfo)(VMI_3_IRET);
	took = rdtsc() - took;
	print("# %llu instructions to find no table\n", took);
	if (option("icount"))
		expect(took > 100000 && took < 2000000, "%llu", took);
	for (page_at = from + REACH; page_at < from + REACH + 0x200000; page_at += 4096)
		unmap(page_at);
	point("a guest without a table does not notice the search");
}

/* A caller in the last pages of memory, and a table at its beginning. */
static void at_the_end(void)
{
	static const u8 thunk[] = { 0xff, 0xd2, 0xc3 }; /* CALL EDX; RET */
	u32 end = 0xffffe000, low = 0x1000, i;
	u8 *code = page(), *table = page();
	u32 result;

	memcpy(code, thunk, sizeof(thunk));
	map(end, to_phys(code), PTE_P | PTE_W);
	map(end + 0x1000, to_phys(page()), PTE_P | PTE_W);
	for (i = 0; i < 4; i++)
		map(low * i, to_phys(i == 1 ? table : page()), PTE_P | PTE_W);
	start();
	fill_up(80);
	for (i = 0; i < 80; i++) {
		memcpy(at(0x2000 + i * SLOT), slots[i], SLOT);
		tables.records[i].code = 0x2000 + i * SLOT;
	}
	memcpy(table, tables.records, 80 * sizeof(*tables.records));
	memset(tables.records, 0, sizeof(tables.records));
	rom_init(&rom);
	__asm__ volatile("call *%3"
			 : "=a"(result), "=d"(i)
			 : "0"(VMI_3_IRET), "r"(end), "1"(rom_symbol(&rom, "VMI_GetRelocationInfo"))
			 : "memory", "cc");
	equal(i & 0xff, VMI_RELOC_JUMP, "type");
	expect(same(at(0x2000), slots[0], SLOT), "a site beyond 4 GiB changed");
	for (i = 0; i < 4; i++)
		unmap(low * i);
	unmap(end);
	unmap(end + 0x1000);
	point("the search ends with memory");
}

static volatile bool other_done;

static void other_cpu(void)
{
	struct rom other;

	rom_find(&other, 3);
	rom_init(&other);
	other_done = true;
	for (;;)
		__asm__ volatile("cli\n\thlt");
}

void guest_main(void)
{
	u32 major = option_number("major", 3), jump;

	if (!rom_find(&rom, major))
		bail("no ROM");
	if (major != 3) {
		nothing("another revision", 0);
		return;
	}
	if (!paging()) {
		nothing("no paging", 0);
		return;
	}
	if (option("patch")) {
		nothing("patch=off", 0);
		return;
	}
	if (rom_traps(&rom, VMI_ID_APICWrite)) {
		nothing("a VMM starts CPUs, and the ROM does not see it", 0);
		return;
	}
	every_kind();
	odd_records();
	where_tables_are();
	faults();
	jumps();
	search_cost();
	at_the_end();
	nothing("interrupts enabled", EFLAGS_IF);

	start();
	fill_up(10);
	jump = add_jump(CLI, false);
	fill_up(100);
	patch_jump(jump, VMI_3_IRET, 0);
	changed(0, true, "this CPU alone");
	memcpy(before, slots, sizeof(slots));
	if (option_number("cpus", 1) > 1) {
		if (!cpu_start(apic_id() ^ 1, other_cpu))
			bail("no other CPU");
		while (!other_done)
			;
		ask(VMI_3_EnableInterrupts);
		none_changed("jumps, then another CPU");
		nothing("another CPU has called Init", 0);
		return;
	}
	VMI(&rom, APICWrite)(ICR_HIGH, APIC_ID_ABSENT);
	VMI(&rom, APICWrite)(ICR_LOW, ICR_STARTUP | 0x99);
	ask(VMI_3_EnableInterrupts);
	none_changed("jumps, then a CPU is started");
	nothing("a CPU was started through the ROM", 0);
}
