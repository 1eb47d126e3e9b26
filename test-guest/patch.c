/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PatchSites: sites in memory of this guest's, rewritten to every form, run, and put back.
 *
 * RUN: {flat,pae},rom=vmi
 * RUN: high,rom=vmi,cpu=pentium,old-nops
 * RUN: high,rom=vmi,icount
 * RUN: high,rom={vmi,vmi-13,vmi-6}
 * RUN: pae,rom=vmi,host=svm,trap={irq,all}
 * RUN-FULL: {flat,pae},rom={vmi-13,vmi-6}
 * RUN-FULL: pae,rom={vmi-13,vmi-6},host=svm,trap=all
 * RUN-FULL: {flat,high},rom=vmi,host=svm,trap=all
 * RUN-FULL: pae,rom=vmi,host=svm,trap=none
 */
#include "guest.h"

static struct rom rom;

static const struct {
	u16 in, out;
	u8 convention;
} rows[VMI_CALL_COUNT] = {
#define VMI_X(name, n3, n13, n6, type, args, in, out, clobber, conv, seg, defer, text)             \
	{ in, out, conv },
	VMI_CALLS(VMI_X)
#undef VMI_X
};

static u32 stub[VMI_CALL_COUNT];
static bool traps[VMI_CALL_COUNT];

static u32 random_state = 1;

static u32 random(u32 below)
{
	random_state = random_state * 1664525 + 1013904223;
	return (random_state >> 8) % below;
}

static bool one_in(u32 n)
{
	return !random(n);
}

/* ------------------------------------------------------------------------
 * Sites: each has a slot of the text, and is left by a jump to invoke_landing
 */

#define SITES VMI_CALL_COUNT
#define SLOT 96
#define SIZE_MOST (SLOT - 5)
#define TEXT_SIZE (SITES * SLOT)
#define GAP 0xcc
#define MOV_EAX 0xb8
#define KEPT_SIZE (SITES * (1 + SLOT))

static u8 text[TEXT_SIZE] __attribute__((aligned(4096)));
static u8 before[TEXT_SIZE]; /* as the guest wrote it */
static u8 after_best[TEXT_SIZE];
static u32 text_at; /* where the sites' addresses begin: text, perhaps mapped again */
static u8 kept[KEPT_SIZE];
static struct vmi_site sites[SITES];
static u32 count;

static void start(void)
{
	memset(text, GAP, sizeof(text));
	memset(kept, 0, sizeof(kept));
	memset(sites, 0, sizeof(sites));
	text_at = (u32)text;
	count = 0;
}

/* The original is nothing that could be run, and different everywhere. All registers are live. */
static struct vmi_site *add(u32 row, u32 size)
{
	struct vmi_site *site = &sites[count];
	u8 *code = text + count * SLOT;
	u32 i, address = text_at + count * SLOT, leave = (u32)invoke_landing - (address + size + 5);

	for (i = 0; i < size; i++)
		code[i] = (u8)(0x60 + count + i * 7) | 1;
	code[size] = 0xe9;
	memcpy(code + size + 1, &leave, 4);
	site->address = address;
	site->size = (u8)size;
	site->call = (u8)row;
	site->live = VMI_LIVE_REGISTERS;
	count++;
	return site;
}

static u8 *code_of(const struct vmi_site *site)
{
	return at(site->address);
}

static const u8 *before_of(const struct vmi_site *site)
{
	return before + (site->address - text_at);
}

/* ------------------------------------------------------------------------
 * Requests
 */

static struct vmi_patch all_sites(u8 form)
{
	struct vmi_patch request = {
		.records = (u32)sites,
		.count = count,
		.number = count,
		.form = form,
		.text = text_at,
		.text_size = TEXT_SIZE,
		.kept = (u32)kept,
		.forms = { [0 ... VMI_FORMS - 1] = 0x5a5a5a5a },
	};

	return request;
}

/* No register but EAX and no flag outside OSZAPC changes, nor what the guest says. */
static u32 patch(struct vmi_patch *request)
{
	static const struct cpu_state in = { .ecx = 0xc0c1c2c3,
					     .edx = 0xd0d1d2d3,
					     .ebx = 0xb0b1b2b3,
					     .ebp = 0xe0e1e2e3,
					     .esi = 0xf0f1f2f3,
					     .edi = 0x70717273,
					     .eflags = EFLAGS_1 | EFLAGS_DF | EFLAGS_ID,
					     .ds = SEL_DATA,
					     .es = SEL_DATA };
	struct invoke v = { .target = stub[VMI_ID_PatchSites], .in = in };
	struct vmi_patch asked = *request;

	v.in.eax = (u32)request;
	invoke(&v);
	if (v.trapped) {
		expect(false, "trap %u in PatchSites, CR2 %08x", v.trap.vector, cr2());
		return ~0u;
	}
	expect(v.out.ecx == in.ecx && v.out.edx == in.edx && v.out.ebx == in.ebx &&
		       v.out.ebp == in.ebp && v.out.esi == in.esi && v.out.edi == in.edi &&
		       !v.out.esp && v.out.ds == in.ds && v.out.es == in.es,
	       "PatchSites loses a register");
	equal((v.out.eflags ^ in.eflags) & ~EFLAGS_OSZAPC, 0, "flags that PatchSites changes");
	expect(same(request, &asked, offsetof(struct vmi_patch, refused)),
	       "PatchSites changed its request");
	return v.out.eax;
}

/* ------------------------------------------------------------------------
 * Forms
 */

/* Bytes of the NOP at code that is right on this processor, 0: it is none. */
static u32 nop(const u8 *code)
{
	static const struct {
		u8 size, byte[9];
	} nops[] = {
		{ 3, { 0x0f, 0x1f, 0x00 } },	   { 4, { 0x0f, 0x1f, 0x40 } },
		{ 5, { 0x0f, 0x1f, 0x44 } },	   { 6, { 0x66, 0x0f, 0x1f, 0x44 } },
		{ 7, { 0x0f, 0x1f, 0x80 } },	   { 8, { 0x0f, 0x1f, 0x84 } },
		{ 9, { 0x66, 0x0f, 0x1f, 0x84 } },
	};
	u32 i;

	if (option("old-nops")) {
		for (i = 0; code[i] == 0x66; i++)
			;
		return code[i] == 0x90 ? i + 1 : 0;
	}
	if (code[0] == 0x90)
		return 1;
	if (code[0] == 0x66 && code[1] == 0x90)
		return 2;
	for (i = 0; i < ARRAY_SIZE(nops); i++)
		if (same(code, nops[i].byte, nops[i].size))
			return nops[i].size;
	return 0;
}

/* So many bytes are NOPs, and as few of them as there can be. */
static bool nops(const u8 *code, u32 size)
{
	u32 n = 0, done = 0;

	for (; done < size; n++) {
		u32 length = nop(code + done);

		if (!length)
			return false;
		done += length;
	}
	return done == size && n <= (size + 8) / 9;
}

/* Where CALL or JMP rel32 to the stub is, or size. */
static u32 leads(const u8 *code, u32 size, u8 opcode, u32 target)
{
	u32 i, to = target - ((u32)code + 5);

	for (i = 0; i + 5 <= size; i++, to--)
		if (code[i] == opcode && same(code + i + 1, &to, 4))
			return i;
	return size;
}

/* Code that queues: TEST, JNZ around the CALL for when it may not, and what that takes. */
static bool queues(const u8 *code, u32 size, u32 call)
{
	u32 jnz, behind;

	for (jnz = 8; jnz + 2 <= call; jnz++) {
		behind = jnz + 2 + code[jnz + 1];
		if (code[jnz] == 0x75 && behind >= call + 7 && behind < size &&
		    code[behind - 2] == 0xeb)
			return true;
	}
	return false;
}

/* What a site's code is. */
static u32 form_of(const u8 *code, const u8 *original, u32 size, u32 to)
{
	u32 call;

	if (same(code, original, size))
		return VMI_FORM_ORIGINAL;
	call = leads(code, size, 0xe8, to);
	if (call < size)
		return queues(code, size, call) ? VMI_FORM_INLINE : VMI_FORM_CALL;
	if (leads(code, size, 0xe9, to) < size)
		return VMI_FORM_JUMP;
	return nops(code, size) ? VMI_FORM_NOPS : VMI_FORM_INLINE;
}

static const char *const form_name[VMI_FORMS] = { "ORIGINAL", "NOPS", "INLINE", "CALL", "JUMP" };

/* All records: what is told is what is there. Sites outside [first, first + number) too. */
static void forms_told(const struct vmi_patch *request, const char *when)
{
	u32 i, forms[VMI_FORMS] = { 0 };
	const u8 *told = kept;

	for (i = 0; i < count; i++) {
		const struct vmi_site *site = &sites[i];
		u32 form = form_of(code_of(site), before_of(site), site->size, stub[site->call]);

		u32 call = leads(code_of(site), site->size, 0xe8, stub[site->call]);
		u32 returns = call < site->size - 5u ? VMI_KEPT_RETURNS : 0;

		expect(told[0] == (form | returns), "%s: site %u (%s): told %x, and it is %s%s",
		       when, i, call_name[site->call], told[0], form_name[form],
		       returns ? " with something behind its CALL" : "");
		expect(form == VMI_FORM_ORIGINAL || same(told + 1, before_of(site), site->size),
		       "%s: site %u: its original is not kept", when, i);
		told += 1 + site->size;
		if (i >= request->first && i - request->first < request->number)
			forms[form]++;
	}
	for (i = 0; i < VMI_FORMS; i++)
		expect(request->forms[i] == forms[i], "%s: %u sites are told as %s, there are %u",
		       when, request->forms[i], form_name[i], forms[i]);
	for (; told < kept + sizeof(kept); told++)
		if (!expect(!*told, "%s: the memory behind what is kept changed", when))
			break;
	for (i = 0; i < TEXT_SIZE; i++) {
		const struct vmi_site *site = &sites[i / SLOT];

		if (i / SLOT < count && i % SLOT < site->size)
			continue;
		if (!expect(text[i] == before[i], "%s: byte %x of the text is no site's", when, i))
			break;
	}
}

static u32 done(struct vmi_patch request, const char *when)
{
	u32 result = patch(&request);

	if (expect(result == VMI_PATCH_DONE, "%s: %u, record %u", when, result, request.refused))
		forms_told(&request, when);
	return result;
}

static u32 bring(u8 form, const char *when)
{
	return done(all_sites(form), when);
}

static u32 kept_form(const struct vmi_site *site)
{
	const u8 *told = kept;
	const struct vmi_site *s;

	for (s = sites; s < site; s++)
		told += 1 + s->size;
	return told[0] & ~VMI_KEPT_RETURNS;
}

static bool is(const struct vmi_site *site, u32 form)
{
	return kept_form(site) == form;
}

/* ------------------------------------------------------------------------
 * Every call
 */

static bool own(u32 row)
{
	return VMI_IS_OWN_CALL(row);
}

static u32 call_form(u32 row)
{
	return rows[row].convention == VMI_CONV_JUMP ? VMI_FORM_JUMP : VMI_FORM_CALL;
}

/* Without VMI_SITE_NATIVE. */
static void best(const struct vmi_site *site)
{
	static const u8 quick[] = { VMI_ID_EnableInterrupts, VMI_ID_DisableInterrupts,
				    VMI_ID_GetInterruptMask, VMI_ID_SetInterruptMask,
				    VMI_ID_GetCR0,	     VMI_ID_GetCR2,
				    VMI_ID_GetCR3,	     VMI_ID_GetCR4,
				    VMI_ID_GetLDT,	     VMI_ID_GetTR };
	const struct vmi_call_record *r = &rom.record[site->call];
	const u8 *code = code_of(site);
	const char *name = call_name[site->call];
	u32 i;

	if (traps[site->call]) {
		equal(r->inline_size, VMI_NO_INLINE, "size of inline code that a VMM replaces");
		for (i = 0; i < ARRAY_SIZE(quick); i++)
			if (quick[i] == site->call && site->size > 60)
				expect(is(site, VMI_FORM_INLINE), "%s is not inline", name);
		expect(is(site, VMI_FORM_INLINE) || is(site, call_form(site->call)), "%s's form",
		       name);
	} else if (r->inline_size > site->size) {
		expect(is(site, call_form(site->call)), "%s in %u bytes is no CALL", name,
		       site->size);
	} else if (!r->inline_size) {
		expect(is(site, VMI_FORM_NOPS), "%s does something", name);
	} else {
		expect(is(site, VMI_FORM_INLINE), "%s in %u bytes is not inline", name, site->size);
		expect(same(code, rom.image + r->stub, r->inline_size) &&
			       nops(code + r->inline_size, site->size - r->inline_size),
		       "%s is not the inline code of .vmi.calls, and NOPs", name);
	}
	if (is(site, call_form(site->call)))
		expect(nops(code, site->size - 5u) || call_form(site->call) == VMI_FORM_JUMP,
		       "%s: there are not only NOPs before the CALL", name);
}

static void every_call(void)
{
	/* what the ROM does in addition is needed */
	static const u8 more[] = { VMI_ID_CPUID, VMI_ID_SetInitialAPState, VMI_ID_APICWrite,
				   VMI_ID_APICWrite_v13, VMI_ID_SetAlarm };
	u32 row, i, size, binding, native = 0;

	for (size = 5; size <= SIZE_MOST; size += size < 16 ? 1 : 14) {
		start();
		for (row = 0; row < VMI_CALL_COUNT; row++)
			if (!own(row))
				add(row, size);
		memcpy(before, text, sizeof(text));
		if (bring(VMI_PATCH_BEST, "best"))
			break;
		for (i = 0; i < count; i++)
			best(&sites[i]);
		memcpy(after_best, text, sizeof(text));
		bring(VMI_PATCH_BEST, "best again");
		expect(same(text, after_best, sizeof(text)), "BEST twice changes something");
		bring(VMI_PATCH_CALLS, "calls");
		for (i = 0; i < count; i++) {
			u32 form = call_form(sites[i].call);
			const u8 *code = code_of(&sites[i]);

			expect(is(&sites[i], form), "%s: no CALL", call_name[sites[i].call]);
			if (form == VMI_FORM_CALL)
				expect(leads(code, size, 0xe8, stub[sites[i].call]) == size - 5 &&
					       nops(code, size - 5),
				       "%s: the CALL is not last, behind NOPs",
				       call_name[sites[i].call]);
		}
		bring(VMI_PATCH_BEST, "best after calls");
		expect(same(text, after_best, sizeof(text)), "BEST is not the same after CALLS");
		bring(VMI_PATCH_ORIGINAL, "original");
		expect(same(text, before, sizeof(text)), "the originals are not back");
		bring(VMI_PATCH_ORIGINAL, "original again");
		bring(VMI_PATCH_CALLS, "calls after original");
		bring(VMI_PATCH_ORIGINAL, "original after calls");
		expect(same(text, before, sizeof(text)), "the originals are not back again");
	}
	point("every call, at sites of many sizes, in every form");

	start();
	for (row = 0; row < VMI_CALL_COUNT; row++)
		if (!own(row))
			add(row, 20)->flags = VMI_SITE_NATIVE;
	memcpy(before, text, sizeof(text));
	bring(VMI_PATCH_BEST, "native");
	for (i = 0; i < count; i++) {
		row = sites[i].call;
		native += is(&sites[i], VMI_FORM_ORIGINAL);
		binding = rom.record[row].binding;
		if (traps[row])
			expect(!is(&sites[i], VMI_FORM_ORIGINAL), "%s of the processor stays",
			       call_name[row]);
		else
			expect(is(&sites[i], VMI_FORM_ORIGINAL) ==
				       (binding & VMI_NATIVE || !(binding & VMI_RELOC_TYPE)),
			       "%s, bound by %x, is %s", call_name[row], binding,
			       is(&sites[i], VMI_FORM_ORIGINAL) ? "as it was" : "rewritten");
	}
	expect(traps[VMI_ID_SetCR0] || native > 30, "%u originals stay", native);
	for (i = 0; i < ARRAY_SIZE(more); i++) {
		const struct vmi_site *site = sites;

		while (site->call != more[i])
			site++;
		expect(rom.major == 3 || !is(site, VMI_FORM_ORIGINAL), "%s of the processor stays",
		       call_name[more[i]]);
	}
	bring(VMI_PATCH_CALLS, "native, calls");
	for (i = 0; i < count; i++)
		expect(!is(&sites[i], VMI_FORM_ORIGINAL), "%s stays", call_name[sites[i].call]);
	bring(VMI_PATCH_BEST, "native, best after calls");
	point("the processor's own code stays where that is the best: %u of %u", native, count);
}

/* ------------------------------------------------------------------------
 * Arguments: CALLs are run up to the stub, which is played
 */

static const struct {
	u32 bit; /* VMI_A ...; 0: EBP, which no call has */
	size_t state, trap;
} registers[] = {
#define REGISTER(bit, name)                                                                        \
	{                                                                                          \
		bit, offsetof(struct cpu_state, name), offsetof(struct trap, regs.name)            \
	}
	/* in the order of VMI_FROM_EAX ... */
	REGISTER(VMI_A, eax), REGISTER(VMI_C, ecx), REGISTER(VMI_D, edx),  REGISTER(VMI_B, ebx),
	REGISTER(0, esp),     REGISTER(0, ebp),	    REGISTER(VMI_SI, esi), REGISTER(VMI_DI, edi),
};
#define REGISTERS ARRAY_SIZE(registers)
#define ESP 4

/* In which the arguments of struct vmi_site are expected; S1 and S2 behind them. */
static const u8 argument_register[3] = { VMI_FROM_EAX, VMI_FROM_EDX, VMI_FROM_ECX };
static const u16 argument_bit[VMI_SITE_ARGUMENTS] = { VMI_A, VMI_D, VMI_C, VMI_S1, VMI_S2 };

static u32 state_register(const struct cpu_state *state, u32 from)
{
	return *(const u32 *)((const u8 *)state + registers[from - VMI_FROM_EAX].state);
}

static void set_register(struct cpu_state *state, u32 from, u32 value)
{
	*(u32 *)((u8 *)state + registers[from - VMI_FROM_EAX].state) = value;
}

static u8 random_result(void)
{
	u32 result = random(VMI_FROM_EAX + REGISTERS);

	return (u8)(result == VMI_FROM_EAX + ESP ? 0 : result);
}

/* What the stub returns in each register that is an output. */
static u32 result_of(u32 i)
{
	return 0x5e5e0000 + i * 0x1111;
}

static struct {
	u32 at, out;
	u32 calls;
	struct regs regs;
	u32 stack[3]; /* the return address, S1, S2 */
} played;

static void play(const struct trap *interrupted)
{
	static const u8 ret = 0xc3;
	struct trap *trap = (struct trap *)interrupted;
	u32 i;

	if (trap->eip != played.at)
		return;
	played.calls++;
	played.regs = trap->regs;
	memcpy(played.stack, &trap->esp, sizeof(played.stack));
	for (i = 0; i < REGISTERS; i++)
		if (registers[i].bit & played.out)
			*(u32 *)((u8 *)trap + registers[i].trap) = result_of(i);
	trap->eip = (u32)&ret;
}

static struct cpu_state random_registers(void)
{
	struct cpu_state state = { .eflags = EFLAGS_1, .ds = SEL_DATA, .es = SEL_DATA };
	u32 i;

	for (i = 0; i < REGISTERS; i++)
		set_register(&state, VMI_FROM_EAX + i, (i + 1) << 24 | random(1 << 24));
	if (one_in(2))
		state.eflags |= EFLAGS_DF;
	return state;
}

/* A source that makes sense: what EAX to EDI have, but ESP; or a constant. */
static u8 random_source(struct vmi_site *site)
{
	static const u32 constants[] = {
		0, 1, 0x7f, 0x80, 0xffffffff, 0xffffff80, 0xffffff7f, 0x200
	};
	u32 from = random(10), i = from & 1;

	if (from < REGISTERS)
		return (u8)(from == ESP ? VMI_FROM_EBX : VMI_FROM_EAX + from);
	site->constant[i] =
		one_in(2) ? constants[random(ARRAY_SIZE(constants))] : random(1 << 24) * 0x101;
	return (u8)(VMI_FROM_CONSTANT + i);
}

static void random_arguments(struct vmi_site *site)
{
	u32 in = rows[site->call].in, out = rows[site->call].out, i;

	for (i = 0; i < VMI_SITE_ARGUMENTS; i++)
		if ((in & argument_bit[i]) && !one_in(3))
			site->argument[i] = random_source(site);
	if ((out & VMI_A) && !(out & VMI_D))
		site->result = random_result();
	site->live = (u16)random(0x40);
}

/* The value of an argument when the site is entered. */
static u32 argument_value(const struct vmi_site *site, u32 i, const struct invoke *v)
{
	u32 from = site->argument[i];

	if (from >= VMI_FROM_CONSTANT)
		return site->constant[from - VMI_FROM_CONSTANT];
	if (from)
		return state_register(&v->in, from);
	return i < 3 ? state_register(&v->in, argument_register[i]) : v->word[i - 3];
}

/* Something else is brought to where the argument is expected. */
static bool moved(const struct vmi_site *site, u32 i)
{
	return site->argument[i] && site->argument[i] != argument_register[i];
}

/* Every register and ESP, behind the site. */
static bool registers_behind(const struct vmi_site *site, const struct invoke *v, bool played_it)
{
	static const char *const name[] = {
		"EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI"
	};
	u32 out = rows[site->call].out, live = site->live, i, k;
	bool inlined = is(site, VMI_FORM_INLINE);
	u32 result = site->result ? site->result : VMI_FROM_EAX;
	bool good = equal(v->out.esp, 0, "ESP's change");

	for (i = 0; i < REGISTERS; i++) {
		u32 from = VMI_FROM_EAX + i, got = state_register(&v->out, from);
		bool may_go = inlined && registers[i].bit;

		if (i == ESP)
			continue;
		if ((out & VMI_A) && from == result) {
			if (played_it)
				good &= equal(got, result_of(0), "the result");
			continue;
		}
		if ((registers[i].bit & out) && i) {
			if (played_it)
				good &= equal(got, result_of(i), name[i]);
			continue;
		}
		for (k = 0; k < 3; k++)
			may_go |= argument_register[k] == from && moved(site, k);
		may_go |= !i && (out & VMI_A);
		if (!may_go || (live & registers[i].bit))
			good &= equal(got, state_register(&v->in, from), name[i]);
	}
	return good;
}

static bool arguments_arrive(const struct vmi_site *site)
{
	struct invoke v = { .target = site->address, .jump = 1, .in = random_registers() };
	u32 in = rows[site->call].in, i;
	bool good = true;

	for (i = 0; i < INVOKE_WORDS; i++)
		v.word[i] = 0x57000000 + random(1 << 24);
	v.in.eflags |= EFLAGS_TF;
	played.at = stub[site->call];
	played.out = rows[site->call].out;
	played.calls = 0;
	invoke(&v);
	if (!equal(played.calls, 1, "visits of the stub"))
		return false;
	for (i = 0; i < VMI_SITE_ARGUMENTS; i++) {
		static const char *const name[] = { "EAX", "EDX", "ECX", "S1", "S2" };
		static const size_t place[] = { offsetof(struct regs, eax),
						offsetof(struct regs, edx),
						offsetof(struct regs, ecx) };
		u32 got = i < 3 ? *(u32 *)((u8 *)&played.regs + place[i]) : played.stack[i - 2];

		if (in & argument_bit[i])
			good &= expect(got == argument_value(site, i, &v),
				       "argument %s is %x, expected %x", name[i], got,
				       argument_value(site, i, &v));
	}
	good &= equal((v.out.eflags ^ v.in.eflags) & EFLAGS_DF, 0, "DF");
	return good & registers_behind(site, &v, true);
}

static void describe(const struct vmi_site *site)
{
	const u8 *code = code_of(site);
	u32 i;

	print("# %s: from %u %u %u %u %u, constants %x %x, result %u, live %x:",
	      call_name[site->call], site->argument[0], site->argument[1], site->argument[2],
	      site->argument[3], site->argument[4], site->constant[0], site->constant[1],
	      site->result, site->live);
	for (i = 0; i < site->size; i++)
		print(" %02x", code[i]);
	print("\n");
}

#define ROUNDS 20

static void arguments(void)
{
	u32 row, round, i;

	on_step(play);
	for (round = 0; round < ROUNDS; round++) {
		start();
		for (row = 0; row < VMI_CALL_COUNT; row++)
			if (!own(row) && rows[row].convention <= VMI_CONV_REGS)
				random_arguments(add(row, SIZE_MOST));
		memcpy(before, text, sizeof(text));
		if (bring(VMI_PATCH_CALLS, "calls"))
			break;
		for (i = 0; i < count; i++)
			if (!arguments_arrive(&sites[i]))
				describe(&sites[i]);
		bring(VMI_PATCH_ORIGINAL, "original");
		expect(same(text, before, sizeof(text)), "the originals are not back");
	}
	on_step(NULL);
	point("arguments from anywhere arrive, what is live stays");
}

/* ------------------------------------------------------------------------
 * Inline code: what a site does is what the stub does
 */

#define CR0_WP 0x10000u
#define CR3_PCD 0x10u
#define CR4_TSD 4u
#define PORT_DELAY 0x80
#define PORT_PCI 0xcf8

static u32 arena[16];

/* A call and its arguments; it can be made again. */
struct operation {
	u8 row;
	u32 value[3]; /* EAX, EDX, ECX */
};

static struct operation with_arguments[] = {
	{ VMI_ID_GetDR, { 1 } },
	{ VMI_ID_SetDR, { 1, 0x12345678 } },
	{ VMI_ID_SetCR0, { 0 } }, /* in inline_code() */
	{ VMI_ID_SetCR2, { 0x87654321 } },
	{ VMI_ID_SetCR3, { 0 } },
	{ VMI_ID_SetCR4, { 0 } },
	{ VMI_ID_SetTR, { 0 } },
	{ VMI_ID_SetIDT, { 0 } },
	{ VMI_ID_GetIDT, { (u32)&arena[2] } },
	{ VMI_ID_GetGDT, { (u32)&arena[2] } },
	{ VMI_ID_SetInterruptMask, { VMI_IF } },
	{ VMI_ID_SetInterruptMask, { 0xfffffdff } },
	{ VMI_ID_SetPxE, { 0xdeadb000, (u32)&arena[3], VMI_PAGE_PT } },
	{ VMI_ID_SetPxE_v13, { (u32)&arena[3], 0xdeadb000, VMI_PAGE_PT } },
	{ VMI_ID_SetPxELong_v13, { 0xdeadb000, 0x5, (u32)&arena[4] } },
	{ VMI_ID_GetPxE, { (u32)&arena[5] } },
	{ VMI_ID_GetPxELong, { (u32)&arena[6] } },
	{ VMI_ID_SwapPxE, { (u32)&arena[5], 0x77777000 } },
	{ VMI_ID_SwapPte, { 0x77777000, (u32)&arena[5] } },
	{ VMI_ID_SwapPxELongAtomic, { 0x77777000, 0x3, (u32)&arena[6] } },
	{ VMI_ID_DeactivatePxELongAtomic, { (u32)&arena[6] } },
	{ VMI_ID_TestAndSetPxEBit, { (u32)&arena[7], 4 } },
	{ VMI_ID_TestAndClearPteBit, { 5, (u32)&arena[7] } },
	{ VMI_ID_GetPteVal, { 0xabcde063 } },
	{ VMI_ID_MachineToPhysical, { 0xabcde } },
	{ VMI_ID_InvalPage, { (u32)arena } },
	{ VMI_ID_FlushTLB, { VMI_FLUSH_TLB } },
	{ VMI_ID_UpdatePxE, { (u32)&arena[3], VMI_PAGE_PT } },
	{ VMI_ID_UpdateKernelStack, { SEL_DATA, 0x2468ace0 } },
	{ VMI_ID_OUTB, { 0x12, PORT_DELAY } },
	{ VMI_ID_IN, { 0, PORT_PCI } },
};

static struct operation operations[ARRAY_SIZE(with_arguments) + VMI_CALL_COUNT];
static u32 operation_count;

/* Those, and all that take none, but for what ends, sleeps, or counts. */
static void operations_start(void)
{
	u32 row;

	memcpy(operations, with_arguments, sizeof(with_arguments));
	operation_count = ARRAY_SIZE(with_arguments);
	for (row = 0; row < VMI_CALL_COUNT; row++)
		if (!rows[row].in && rows[row].out != (VMI_A | VMI_D) &&
		    (rows[row].convention & 0xf) == VMI_CONV_C && row != VMI_ID_Shutdown &&
		    row != VMI_ID_Halt && row != VMI_ID_SafeHalt && row != VMI_ID_INVD)
			operations[operation_count++].row = (u8)row;
}

static struct dtr short_idt;

static void set_operation(u32 row, u32 value)
{
	u32 i;

	for (i = 0; i < operation_count; i++)
		if (operations[i].row == row)
			operations[i].value[0] = value;
}

/* What a call may have done. */
struct effect {
	u32 arena[ARRAY_SIZE(arena)];
	u32 cr0, cr2, cr3, cr4, esp0, dr1;
	struct dtr idtr;
};

static struct effect go(struct invoke *v)
{
	static const u32 odd_cr2 = 0x13572468;
	struct effect e = { { 0 }, cr0(), 0, cr3(), cr4(), tss[1], 0, sidt() }, now;
	u32 i;

	memset(&now, 0, sizeof(now)); /* padding, too */
	for (i = 0; i < ARRAY_SIZE(arena); i++)
		arena[i] = 0xa5a50000 + i;
	set_cr2(odd_cr2);
	set_cr0(e.cr0 | CR0_TS);
	gdt[SEL_SPARE / 8] = descriptor((u32)tss, sizeof(tss) - 1, 0x0089);
	__asm__ volatile("mov %0, %%dr1" : : "r"(0x1111));
	invoke(v);
	if (traps[VMI_ID_SetPxE]) /* what may wait does not */
		VMI(&rom, FlushDeferredCalls)(~0u);
	memcpy(now.arena, arena, sizeof(arena));
	now.cr0 = cr0();
	now.cr2 = cr2();
	now.cr3 = cr3();
	now.cr4 = cr4();
	now.esp0 = tss[1];
	now.idtr = sidt();
	__asm__ volatile("mov %%dr1, %0" : "=r"(now.dr1));
	set_cr0(e.cr0);
	set_cr3(e.cr3);
	set_cr4(e.cr4);
	tss[1] = e.esp0;
	__asm__ volatile("lidt %0" : : "m"(e.idtr));
	return now;
}

static u32 other_source(u32 *used)
{
	u32 from;

	do
		from = one_in(4) ? VMI_FROM_CONSTANT + random(2) : VMI_FROM_EAX + random(REGISTERS);
	while (from == VMI_FROM_EAX + ESP || (*used & 1u << from));
	*used |= 1u << from;
	return from;
}

/* Each argument from somewhere else. */
static void place(struct vmi_site *site, const struct operation *o, struct invoke *v)
{
	u32 i, used = 0;

	for (i = 0; i < 3; i++) {
		u32 from;

		if (!(rows[site->call].in & argument_bit[i]))
			continue;
		from = other_source(&used);
		if (from >= VMI_FROM_CONSTANT)
			site->constant[from - VMI_FROM_CONSTANT] = o->value[i];
		else
			set_register(&v->in, from, o->value[i]);
		site->argument[i] = (u8)(from == argument_register[i] && one_in(2) ? 0 : from);
	}
	if ((rows[site->call].out & (VMI_A | VMI_D)) == VMI_A)
		site->result = random_result();
	site->live = (u16)random(0x40);
}

/* Returns false where the site does not do what the stub does. */
static bool like_the_stub(struct vmi_site *site, const struct operation *o, struct invoke *v)
{
	struct invoke plain = { .target = stub[o->row], .in = v->in };
	struct effect want, got;
	u32 result = site->result ? site->result : VMI_FROM_EAX, out = rows[o->row].out, i;
	bool good = true;

	for (i = 0; i < 3; i++)
		if (rows[o->row].in & argument_bit[i])
			set_register(&plain.in, argument_register[i], o->value[i]);
	v->target = site->address;
	v->jump = 1;
	want = go(&plain);
	got = go(v);
	good &= expect(same(&want, &got, sizeof(want)), "other effects than the stub");
	if (out & VMI_A)
		good &= equal(state_register(&v->out, result), plain.out.eax, "the result");
	if (out & VMI_D)
		good &= equal(v->out.edx, plain.out.edx, "EDX");
	good &= equal(v->out.eflags & ~EFLAGS_OSZAPC, plain.out.eflags & ~EFLAGS_OSZAPC, "EFLAGS");
	return good & registers_behind(site, v, false);
}

static void inline_code(void)
{
	static const u32 flags[] = { 0, EFLAGS_OSZAPC | EFLAGS_DF | EFLAGS_ID, EFLAGS_IF | 0x1041 };
	static struct invoke v[ARRAY_SIZE(operations)];
	u32 round, i, forms[VMI_FORMS] = { 0 };

	operations_start();
	short_idt = sidt();
	short_idt.limit -= 8;
	set_operation(VMI_ID_SetCR0, cr0() ^ CR0_WP);
	set_operation(VMI_ID_SetCR3, cr3() ^ CR3_PCD);
	set_operation(VMI_ID_SetCR4, cr4() ^ CR4_TSD);
	set_operation(VMI_ID_SetTR, SEL_SPARE);
	set_operation(VMI_ID_SetIDT, (u32)&short_idt);
	for (round = 0; round < ROUNDS; round++) {
		start();
		for (i = 0; i < operation_count; i++) {
			v[i] = (struct invoke){ .in = random_registers() };
			v[i].in.eflags = EFLAGS_1 | flags[round % ARRAY_SIZE(flags)];
			place(add(operations[i].row, SIZE_MOST), &operations[i], &v[i]);
		}
		memcpy(before, text, sizeof(text));
		if (bring(VMI_PATCH_BEST, "best"))
			break;
		for (i = 0; i < count; i++)
			if (!like_the_stub(&sites[i], &operations[i], &v[i]))
				describe(&sites[i]);
		for (i = 0; i < count; i++)
			forms[kept_form(&sites[i])]++;
	}
	print("# %u NOPs, %u inline, %u CALLs\n", forms[VMI_FORM_NOPS], forms[VMI_FORM_INLINE],
	      forms[VMI_FORM_CALL]);
	expect(forms[VMI_FORM_INLINE] > ROUNDS * 4, "hardly any is inline");
	point("inline code does what the stub does, with arguments from anywhere");
}

/* Registers that are not live are not kept, and the result stays where it is wanted. */
static void dead_registers(void)
{
	static const struct {
		u8 row, result, live, size, code[22];
	} trimmed[] = {
#define DEAD(name, result, live, ...)                                                              \
	{                                                                                          \
		VMI_ID_##name, result, live, sizeof((u8[]){ __VA_ARGS__ }),                        \
		{                                                                                  \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}
		DEAD(STTS, 0, VMI_LIVE_REGISTERS & ~VMI_A, 0x0f, 0x20, 0xc0, 0x0c, 0x08, 0x0f, 0x22,
		     0xc0),
		DEAD(STTS, 0, VMI_A, 0x50, 0x0f, 0x20, 0xc0, 0x0c, 0x08, 0x0f, 0x22, 0xc0, 0x58),
		DEAD(FlushTLB_v6, 0, VMI_C, 0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8),
		DEAD(SwapPxE, 0, VMI_D, 0x52, 0x87, 0x10, 0x89, 0xd0, 0x5a),
		DEAD(SwapPxE, 0, 0, 0x87, 0x10, 0x89, 0xd0),
		DEAD(SwapPxE, VMI_FROM_EDX, VMI_D, 0x87, 0x10),
		DEAD(SwapPxE, VMI_FROM_EBX, VMI_A, 0x50, 0x87, 0x10, 0x89, 0xd3, 0x58),
		DEAD(SwapPxELongAtomic, 0, VMI_SI, 0x56, 0x89, 0xce, 0x89, 0xc3, 0x89, 0xd1),
		DEAD(SwapPxELongAtomic, 0, VMI_C | VMI_B, 0x51, 0x53, 0x89, 0xce, 0x89, 0xc3),
#undef DEAD
	};
	u32 i;

	start();
	for (i = 0; i < ARRAY_SIZE(trimmed); i++) {
		struct vmi_site *site = add(trimmed[i].row, 30);

		site->result = trimmed[i].result;
		site->live = trimmed[i].live;
	}
	memcpy(before, text, sizeof(text));
	bring(VMI_PATCH_BEST, "dead registers");
	for (i = 0; i < count; i++)
		if (!traps[trimmed[i].row] &&
		    !expect(same(code_of(&sites[i]), trimmed[i].code, trimmed[i].size), "site %u",
			    i))
			describe(&sites[i]);
	point("what is not live is not kept");
}

/* The entry's last word is the constant: a MOV 12 bytes behind EAX's. */
static bool queues_constant(const struct vmi_site *site)
{
	static const u8 mov_eax[3] = { 0x36, 0x89, 0x83 }, mov[3] = { 0x36, 0xc7, 0x83 };
	const u8 *code = code_of(site);
	u32 i, at_eax, at_word;

	for (i = 0; i + 7u + 11 <= site->size && !same(code + i, mov_eax, 3); i++)
		;
	memcpy(&at_eax, code + i + 3, 4);
	for (; i + 11u <= site->size; i++) {
		memcpy(&at_word, code + i + 3, 4);
		if (same(code + i, mov, 3) && at_word == at_eax + 12)
			return same(code + i + 7, &site->constant[0], 4);
	}
	return false;
}

/* By the site; a PAE entry's other word is 0x5000 and the low bits of this one. */
static bool write_entry(const struct vmi_site *site, u32 *entry, u32 value, bool pae)
{
	struct invoke v = { .target = site->address, .jump = 1 };

	v.in = random_registers();
	v.in.eax = value;
	v.in.edx = pae ? 0x5000 + (value & 0xff) : (u32)entry;
	v.in.ecx = pae ? (u32)entry : VMI_PAGE_PT;
	invoke(&v);
	return registers_behind(site, &v, false);
}

/*
 * A site that queues: where the class does not wait, where it does, and where the queue is
 * full, with every register that is live kept. An argument on the stack is a constant there.
 */
static void queue_at_site(void)
{
	static const struct {
		u8 row, size; /* the smallest */
		u16 live;
		u32 constant;
	} cases[] = {
		{ VMI_ID_SetPxE, 66, VMI_LIVE_REGISTERS, 0 },
		{ VMI_ID_SetPxE, 64, VMI_LIVE_REGISTERS & ~VMI_B, 0 },
		{ VMI_ID_SetPxELong, 83, VMI_LIVE_REGISTERS, VMI_PAGE_PT },
		{ VMI_ID_SetPxELong, 84, VMI_LIVE_REGISTERS & ~VMI_B,
		  VMI_PAGE_PT | VMI_PAGE_CURRENT_AS | 0x12345000 },
	};
	static u32 entries[2 * 700] __attribute__((aligned(8)));
	u32 i, n, lazy, good;

	if (!traps[VMI_ID_SetPxE] || !traps[VMI_ID_SetLazyMode])
		return;
	for (n = 0; n < ARRAY_SIZE(cases); n++) {
		bool pae = cases[n].row == VMI_ID_SetPxELong;
		struct vmi_site *site, *less, *no_constant;

		start();
		site = add(cases[n].row, cases[n].size);
		less = add(cases[n].row, cases[n].size - 1u);
		no_constant = add(cases[n].row, SIZE_MOST);
		site->live = less->live = cases[n].live;
		site->constant[0] = less->constant[0] = cases[n].constant;
		if (pae)
			site->argument[3] = less->argument[3] = VMI_FROM_CONSTANT;
		memcpy(before, text, sizeof(text));
		bring(VMI_PATCH_BEST, "queue");
		expect(is(site, VMI_FORM_INLINE) && is(less, VMI_FORM_CALL) &&
			       is(no_constant, pae ? VMI_FORM_CALL : VMI_FORM_INLINE),
		       "%s is %u in %u bytes, %u in less, %u without a constant",
		       call_name[site->call], kept_form(site), site->size, kept_form(less),
		       kept_form(no_constant));
		expect(!pae || queues_constant(site), "the word on the stack is not queued");
		for (good = 0, lazy = VMI_LAZY_NONE; lazy <= VMI_LAZY_MMU; lazy++) {
			memset(entries, 0, sizeof(entries));
			VMI(&rom, SetLazyMode)(lazy);
			for (i = 0; i < ARRAY_SIZE(entries); i += 2) {
				if (!write_entry(site, &entries[i], 0xabc00000 + i, pae))
					break;
				good += lazy || entries[i] == 0xabc00000 + i;
				if (i / 2 + 1 == VMI_SHARED_QUEUED)
					good -= lazy && entries[i]; /* the last one that waits */
			}
			VMI(&rom, SetLazyMode)(VMI_LAZY_NONE);
			for (i = 0; i < ARRAY_SIZE(entries); i += 2)
				good += entries[i] == 0xabc00000 + i &&
					entries[i + 1] == (pae ? 0x5000 + (i & 0xff) : 0);
		}
		equal(good, 2 * ARRAY_SIZE(entries), "good ones");
	}
	point("sites that queue, until the queue is full");
}

/* A load from the page that is shared with a VMM takes no detour through EAX. */
static void loads(void)
{
	static const u8 mov[3] = { 0x36, 0x8b, 0x1d }; /* EBX, SS:[] */
	static const u8 gets[] = { VMI_ID_GetCR0, VMI_ID_GetCR2, VMI_ID_GetCR3,
				   VMI_ID_GetCR4, VMI_ID_GetLDT, VMI_ID_GetTR };
	u32 i;

	start();
	for (i = 0; i < ARRAY_SIZE(gets); i++)
		add(gets[i], 10)->result = VMI_FROM_EBX;
	memcpy(before, text, sizeof(text));
	bring(VMI_PATCH_BEST, "loads");
	for (i = 0; i < count; i++)
		if (traps[gets[i]] && !expect(same(code_of(&sites[i]), mov, sizeof(mov)) &&
						      nops(code_of(&sites[i]) + 7, 3),
					      "%s is no load", call_name[gets[i]]))
			describe(&sites[i]);
	point("loads from the shared page");
}

/* With a constant it may be another call. */
static void constants(void)
{
	static const struct {
		u8 row, other;
		u32 value;
	} plain[] = {
		{ VMI_ID_SetInterruptMask, VMI_ID_EnableInterrupts, 0xffffffff },
		{ VMI_ID_SetInterruptMask, VMI_ID_DisableInterrupts, 0xfffffdff },
		{ VMI_ID_FlushTLB, VMI_ID_FlushTLBAll, VMI_FLUSH_GLOBAL },
		{ VMI_ID_FlushTLB, VMI_ID_FlushTLBAll, VMI_FLUSH_GLOBAL | VMI_FLUSH_TLB },
		{ VMI_ID_FlushTLB, VMI_ID_FlushTLB_v6, VMI_FLUSH_TLB },
		{ VMI_ID_FlushTLB, VMI_ID_FlushTLB, 0 },
		{ VMI_ID_GetCycleCounter, VMI_ID_RDTSC, VMI_CYCLES_REAL },
		{ VMI_ID_GetCycleCounter, VMI_ID_RDTSC, VMI_CYCLES_AVAILABLE },
		{ VMI_ID_GetCycleCounter, VMI_ID_GetCycleCounter, VMI_CYCLES_STOLEN },
	};
	u32 i;

	start();
	for (i = 0; i < ARRAY_SIZE(plain); i++) {
		add(plain[i].row, SIZE_MOST)->argument[0] = VMI_FROM_CONSTANT;
		sites[i * 2].constant[0] = plain[i].value;
		add(plain[i].other, SIZE_MOST);
	}
	memcpy(before, text, sizeof(text));
	bring(VMI_PATCH_BEST, "constants");
	for (i = 0; i < ARRAY_SIZE(plain); i++) {
		bool same_code =
			same(code_of(&sites[2 * i]), code_of(&sites[2 * i + 1]), SIZE_MOST);

		if (traps[plain[i].row])
			continue;
		if (plain[i].row == plain[i].other) {
			expect(!same_code && (!is(&sites[2 * i], VMI_FORM_INLINE) ||
					      code_of(&sites[2 * i])[0] == MOV_EAX),
			       "%s of %x is something else", call_name[plain[i].row],
			       plain[i].value);
			continue;
		}
		if (!expect(same_code && is(&sites[2 * i], VMI_FORM_INLINE), "%s of %x is not %s",
			    call_name[plain[i].row], plain[i].value, call_name[plain[i].other]))
			describe(&sites[2 * i]);
	}
	point("with a constant a call is a plainer one");
}

/* ------------------------------------------------------------------------
 * Some of the sites, and what else a request says
 */

/* So many good ones, in the middle of the text. */
static void good_sites(u32 n)
{
	start();
	while (n--)
		add(VMI_ID_SetPxE, 30)->flags = VMI_SITE_LIVE;
	memcpy(before, text, sizeof(text));
}

static void some_sites(void)
{
	struct vmi_patch request;
	u32 i, first, number;

	good_sites(8);
	for (first = 0; first <= count; first++)
		for (number = 0; number <= count - first; number++) {
			request = all_sites(VMI_PATCH_CALLS);
			request.first = first;
			request.number = number;
			done(request, "some");
			for (i = 0; i < count; i++)
				expect(is(&sites[i], i >= first && i - first < number
							     ? VMI_FORM_CALL
							     : VMI_FORM_ORIGINAL),
				       "from %u, %u sites: site %u", first, number, i);
			bring(VMI_PATCH_ORIGINAL, "all back");
		}
	request = all_sites(VMI_PATCH_BEST);
	request.first = 3;
	request.number = 1;
	done(request, "one is the best");
	bring(VMI_PATCH_CALLS, "and all are calls");
	request.form = VMI_PATCH_ORIGINAL;
	done(request, "one is put back");
	expect(is(&sites[3], VMI_FORM_ORIGINAL) && is(&sites[2], VMI_FORM_CALL) &&
		       is(&sites[4], VMI_FORM_CALL),
	       "one is put back: others changed");
	bring(VMI_PATCH_ORIGINAL, "all are put back");
	expect(same(text, before, sizeof(text)), "the originals are not back");
	sites[0].call = VMI_CALL_COUNT; /* and is not asked for */
	request.form = VMI_PATCH_CALLS;
	equal(patch(&request), VMI_PATCH_DONE, "with a wrong record elsewhere, result");
	point("one site by itself, and any number of them");
}

#define READ_ONLY 0x20000000u
#define WRITABLE 0x28000000u

/* The text read-only, and once more elsewhere, to be written. */
static void another_mapping(void)
{
	struct vmi_patch request;
	u32 row, i;

	if (!paging())
		return;
	for (i = 0; i < TEXT_SIZE; i += 4096) {
		map(READ_ONLY + i, to_phys(text) + i, PTE_P);
		map(WRITABLE + i, to_phys(text) + i, PTE_P | PTE_W);
	}
	set_cr0(cr0() | CR0_WP);
	start();
	text_at = READ_ONLY;
	for (row = 0; row < VMI_CALL_COUNT; row++)
		if (!own(row))
			add(row, 5 + row % 60);
	memcpy(before, text, sizeof(text));
	request = all_sites(VMI_PATCH_BEST);
	request.alias = WRITABLE - READ_ONLY;
	done(request, "another mapping");
	for (i = 0; i < count; i++)
		best(&sites[i]);
	point("sites are written through another mapping");
	request.alias = 0;
	invoke_catch(14);
	done(request, "no mapping to write");
	request.form = VMI_PATCH_CALLS;
	request.alias = WRITABLE - READ_ONLY;
	done(request, "calls in another mapping");
	request.alias = 0;
	done(request, "calls, no mapping to write");
	invoke_catch_none();
	point("what has its form already is not written");
	request.alias = WRITABLE - READ_ONLY;
	request.form = VMI_PATCH_ORIGINAL;
	done(request, "original in another mapping");
	expect(same(text, before, sizeof(text)), "the originals are not back");
	set_cr0(cr0() & ~CR0_WP);
	for (i = 0; i < TEXT_SIZE; i += 4096) {
		unmap(READ_ONLY + i);
		unmap(WRITABLE + i);
	}
	point("originals are put back through another mapping");
}

/* ------------------------------------------------------------------------
 * The protocol for sites that run
 */

#define SYNC_ARGUMENT 0x1337c0de
#define INT3 0xcc

static struct {
	u32 calls, in_site;
	u32 address, size;
	u8 old[SLOT], seen[3][SLOT];
} synced;

static void site_was_synced(void)
{
	u32 n = synced.size - 1;
	const u8 *now = at(synced.address);

	equal(synced.in_site, 3, "calls of sync for a site");
	expect(synced.seen[0][0] == INT3 && synced.seen[1][0] == INT3, "no breakpoint");
	expect(same(synced.seen[0] + 1, synced.old + 1, n), "the tail was written early");
	expect(same(synced.seen[1] + 1, now + 1, n), "the tail was written late");
	expect(same(synced.seen[2], now, synced.size), "written after all CPUs were told");
	expect(!same(synced.old, now, synced.size), "nothing changed");
	synced.in_site = 0;
}

static VMI_REGPARM void sync_alone(u32 address, u32 size, u32 argument)
{
	if (synced.in_site == 3 && address == synced.address + SLOT)
		synced.in_site = 0;
	if (!synced.in_site) {
		synced.address = address;
		synced.size = size;
	}
	equal(address, synced.address, "sync's address");
	equal(size, synced.size, "sync's size");
	equal(argument, SYNC_ARGUMENT, "sync's argument");
	if (synced.in_site < 3)
		memcpy(synced.seen[synced.in_site], at(address), size);
	synced.in_site++;
	synced.calls++;
	__asm__ volatile("mov $0x11111111, %%eax\n\tmov %%eax, %%edx\n\tmov %%eax, %%ecx"
			 :
			 :
			 : "eax", "edx", "ecx");
}

static void sync_every_site(void)
{
	static const u8 forms[] = { VMI_PATCH_BEST,  VMI_PATCH_BEST,	 VMI_PATCH_CALLS,
				    VMI_PATCH_CALLS, VMI_PATCH_BEST,	 VMI_PATCH_ORIGINAL,
				    VMI_PATCH_CALLS, VMI_PATCH_ORIGINAL, VMI_PATCH_ORIGINAL };
	struct vmi_patch request;
	u32 i, n, row;

	for (n = 0; n < 3; n++) {
		start();
		for (row = n; row < VMI_CALL_COUNT; row += 3)
			if (!own(row))
				add(row, n ? 5 + (row * n) % 60 : 5)->flags = VMI_SITE_LIVE;
		memcpy(before, text, sizeof(text));
		for (i = 0; i < ARRAY_SIZE(forms); i++) {
			u32 site, changed = 0;
			static u8 was[TEXT_SIZE];

			memcpy(was, text, sizeof(text));
			for (site = 0; site < count; site++) {
				request = all_sites(forms[i]);
				request.first = site;
				request.number = 1;
				request.sync = (u32)sync_alone;
				request.argument = SYNC_ARGUMENT;
				memcpy(synced.old, at(sites[site].address), sites[site].size);
				synced.calls = synced.in_site = 0;
				done(request, "live");
				if (synced.calls) {
					equal(synced.address, sites[site].address, "the site");
					equal(synced.size, sites[site].size, "its size");
					site_was_synced();
				}
				expect((synced.calls == 0) == same(was + site * SLOT,
								   text + site * SLOT,
								   sites[site].size),
				       "%u calls of sync", synced.calls);
				changed += !!synced.calls;
			}
			expect(i != 1 && i != 3 && i != 8 ? changed : !changed,
			       "step %u: %u sites changed", i, changed);
		}
	}
	point("a live site: breakpoint, tail, first byte, and three times sync");
	good_sites(4);
	request = all_sites(VMI_PATCH_CALLS);
	request.sync = (u32)sync_alone;
	request.argument = SYNC_ARGUMENT;
	synced.calls = synced.in_site = 0;
	done(request, "all at once");
	equal(synced.calls, 3 * count, "calls of sync");
	equal(synced.address, sites[count - 1].address, "the last site");
	equal(synced.in_site, 3, "calls of sync for the last one");
	point("one live site after the other");
}

/* ------------------------------------------------------------------------
 * Annotations, as RFC Linux has them
 */

#define LEA_BYTE 0x24648du  /* and a byte */
#define LEA_WORD 0x24a48du  /* and a word */
#define TRANSLATION_MOST 24 /* bytes */

static struct vmi_annotation annotations[SITES];
static u8 translations[SITES][TRANSLATION_MOST];

static struct vmi_patch all_annotations(u8 form)
{
	struct vmi_patch request = all_sites(form);

	request.records = (u32)annotations;
	request.kind = VMI_PATCH_ANNOTATIONS;
	return request;
}

static u8 *push(u8 *code, const struct vmi_site *site, u32 from)
{
	u32 value;

	if (from < VMI_FROM_CONSTANT) {
		*code++ = (u8)(0x50 + from - VMI_FROM_EAX);
		return code;
	}
	value = site->constant[from - VMI_FROM_CONSTANT];
	if (value + 0x80 < 0x100) {
		*code++ = 0x6a;
		*code++ = (u8)value;
		return code;
	}
	*code++ = 0x68;
	memcpy(code, &value, 4);
	return code + 4;
}

/*
 * The record and the translation of the last site, which has room for so many bytes more; the
 * site's record says what its arguments on the stack are. Returns the size.
 */
static u32 annotate(struct vmi_site *site, u32 more)
{
	struct vmi_annotation *a = &annotations[site - sites];
	u8 *translation = translations[site - sites], *code = translation;
	u32 number = rom_number(&rom, site->call), displacement = one_in(2) ? number : 0, stack, i;

	for (stack = 0, i = VMI_SITE_ARGUMENTS - 1; i >= 3; i--)
		if (site->argument[i]) {
			code = push(code, site, site->argument[i]);
			stack += 4;
		}
	*a = (struct vmi_annotation){ .call = number,
				      .native = site->address,
				      .translation = (u32)translation,
				      .pad = (u8)(displacement ? 0 : code - translation) };
	*code++ = 0xe8;
	memcpy(code, &displacement, 4);
	code += 4;
	if (stack) {
		u32 word = one_in(2), lea = word ? LEA_WORD : LEA_BYTE;

		memcpy(code, &lea, 3);
		memcpy(code + 3, &stack, word ? 4 : 1);
		code += word ? 7 : 4;
	}
	a->translation_size = (u8)(code - translation);
	a->native_size = (u8)(a->translation_size + more);
	a->nop_size = (vmi_s8)random(a->native_size);
	return a->native_size;
}

static void add_annotation(u32 row, u32 more)
{
	struct vmi_site *site = add(row, SIZE_MOST), wanted;
	u32 i;

	for (i = 3; i < VMI_SITE_ARGUMENTS; i++)
		if ((rows[row].in & argument_bit[i]) && rows[row].convention <= VMI_CONV_REGS)
			site->argument[i] = random_source(site);
	site->live = 0x3f;
	wanted = *site;
	wanted.size = (u8)annotate(site, more);
	count--;
	memset(code_of(site), GAP, SLOT);
	add(row, wanted.size);
	*site = wanted;
}

static bool in_image(u32 row)
{
	return rom_number(&rom, row) != VMI_NO && !own(row);
}

static void every_annotation(void)
{
	struct vmi_patch request;
	u32 round, row, i, pushed[3] = { 0 };

	for (round = 0; round < ROUNDS; round++) {
		start();
		for (row = 0; row < VMI_CALL_COUNT; row++)
			if (in_image(row))
				add_annotation(row, random(10));
		memcpy(before, text, sizeof(text));
		if (done(all_annotations(VMI_PATCH_CALLS), "annotations, calls"))
			break;
		on_step(play);
		for (i = 0; i < count; i++) {
			const struct vmi_site *site = &sites[i];

			pushed[!!site->argument[3] + !!site->argument[4]]++;
			expect(is(site, call_form(site->call)), "%s is no CALL",
			       call_name[site->call]);
			if (rows[site->call].convention <= VMI_CONV_REGS && !arguments_arrive(site))
				describe(site);
		}
		on_step(NULL);
		done(all_annotations(VMI_PATCH_BEST), "annotations, best");
		for (i = 0; i < count; i++) {
			const struct vmi_site *site = &sites[i];

			if (traps[site->call])
				expect(!is(site, VMI_FORM_ORIGINAL), "%s of the processor stays",
				       call_name[site->call]);
			if (site->argument[3])
				expect(is(site, VMI_FORM_CALL) || is(site, VMI_FORM_ORIGINAL),
				       "%s, with arguments on the stack, is inline",
				       call_name[site->call]);
		}
		memcpy(after_best, text, sizeof(text));
		done(all_annotations(VMI_PATCH_BEST), "annotations, best again");
		expect(same(text, after_best, sizeof(text)), "BEST twice changes something");
		done(all_annotations(VMI_PATCH_ORIGINAL), "annotations, original");
		expect(same(text, before, sizeof(text)), "the originals are not back");
	}
	expect(rom.major == 6 || (pushed[1] && pushed[2]), "nothing was pushed");
	point("every call of the image, annotated, with up to two arguments on the stack");

	start();
	for (row = 0; row < VMI_CALL_COUNT; row++)
		if (in_image(row))
			add_annotation(row, 3);
	memcpy(before, text, sizeof(text));
	for (i = 0; i < count; i++) {
		request = all_annotations(VMI_PATCH_CALLS);
		request.first = i;
		request.number = 1;
		request.sync = (u32)sync_alone;
		request.argument = SYNC_ARGUMENT;
		synced.calls = synced.in_site = 0;
		if (sites[i].argument[3])
			equal(patch(&request), VMI_PATCH_LIVE, "LEA at a live site, result");
		else
			done(request, "a live annotation");
		equal(synced.calls, sites[i].argument[3] ? 0 : 3, "calls of sync");
	}
	point("live annotations, but where LEA is behind the CALL");
}

/* What the kernel has there: the processor's own code, and NOPs. */
static void rfc_kernel(void)
{
	static const struct {
		u8 row, size, native[8];
		struct operation call;
		u32 esi;
	} code[] = {
		{ VMI_ID_GetCR0, 3, { 0x0f, 0x20, 0xc0 }, { 0, { 0 } }, 0 },
		{ VMI_ID_GetCR2, 3, { 0x0f, 0x20, 0xd0 }, { 0, { 0 } }, 0 },
		{ VMI_ID_GetCR3, 3, { 0x0f, 0x20, 0xd8 }, { 0, { 0 } }, 0 },
		{ VMI_ID_GetCR4, 3, { 0x0f, 0x20, 0xe0 }, { 0, { 0 } }, 0 },
		{ VMI_ID_SetCR2, 3, { 0x0f, 0x22, 0xd0 }, { 0, { 0x87654321 } }, 0 },
		{ VMI_ID_DisableInterrupts, 1, { 0xfa }, { 0, { 0 } }, 0 },
		{ VMI_ID_EnableInterrupts, 1, { 0xfb }, { 0, { 0 } }, 0 },
		{ VMI_ID_CLTS, 2, { 0x0f, 0x06 }, { 0, { 0 } }, 0 },
		{ VMI_ID_InvalPage, 3, { 0x0f, 0x01, 0x38 }, { 0, { (u32)arena } }, 0 },
		{ VMI_ID_GetIDT, 3, { 0x0f, 0x01, 0x08 }, { 0, { (u32)&arena[2] } }, 0 },
		{ VMI_ID_SetPxE,
		  2,
		  { 0x89, 0x02 },
		  { 0, { 0xdeadb000, (u32)&arena[3], VMI_PAGE_PT } },
		  0 },
		{ VMI_ID_SetPxE_v13,
		  2,
		  { 0x89, 0x10 },
		  { 0, { (u32)&arena[3], 0xdeadb000, VMI_PAGE_PT } },
		  0 },
		{ VMI_ID_WriteGDTEntry,
		  7,
		  { 0x89, 0x0c, 0xd0, 0x89, 0x74, 0xd0, 0x04 },
		  { 0, { (u32)arena, 3, 0x0000ffff } },
		  0x00cf9300 },
	};
	static const u8 forms[] = { VMI_PATCH_BEST, VMI_PATCH_CALLS, VMI_PATCH_ORIGINAL };
	static struct effect want[ARRAY_SIZE(code)];
	static struct invoke v[ARRAY_SIZE(code)], plain[ARRAY_SIZE(code)];
	static u8 which[ARRAY_SIZE(code)];
	u32 i, k;

	start();
	for (i = 0; i < ARRAY_SIZE(code); i++) {
		struct vmi_site *site;

		if (!in_image(code[i].row))
			continue;
		which[count] = (u8)i;
		site = add(code[i].row, code[i].row == VMI_ID_WriteGDTEntry ? 13 : 5);
		if (code[i].row == VMI_ID_WriteGDTEntry)
			site->argument[3] = VMI_FROM_ESI;
		annotate(site, 0);
		annotations[count - 1].native_size = site->size;
		annotations[count - 1].nop_size = (vmi_s8)(site->size - code[i].size);
		memset(code_of(site), 0x90, site->size);
		memcpy(code_of(site), code[i].native, code[i].size);
	}
	memcpy(before, text, sizeof(text));
	for (i = 0; i < count; i++) {
		v[i] = (struct invoke){ .target = sites[i].address,
					.jump = 1,
					.in = random_registers() };
		v[i].in.esi = code[which[i]].esi;
		for (k = 0; k < 3; k++)
			if (rows[sites[i].call].in & argument_bit[k])
				set_register(&v[i].in, argument_register[k],
					     code[which[i]].call.value[k]);
		plain[i] = v[i];
		want[i] = go(&plain[i]);
	}
	for (k = 0; k < ARRAY_SIZE(forms); k++) {
		done(all_annotations(forms[k]), "a kernel's annotations");
		for (i = 0; i < count; i++) {
			const char *name = call_name[sites[i].call];
			struct effect got = go(&v[i]);

			expect(same(&got, &want[i], sizeof(got)), "%s has other effects", name);
			expect(!((v[i].out.eflags ^ plain[i].out.eflags) & ~EFLAGS_OSZAPC),
			       "%s: flags are %x", name, v[i].out.eflags);
			v[i].out.eflags = plain[i].out.eflags;
			expect(same(&v[i].out, &plain[i].out, sizeof(v[i].out)),
			       "%s has other registers", name);
		}
	}
	point("what a kernel has at its annotations, and what becomes of it");
}

/* ------------------------------------------------------------------------
 * Refusals
 */

#define NO_INDEX 0xabcdef01

/* So much is refused, and nothing at all changes but what the ROM tells. */
static void refused_form(struct vmi_patch request, u32 reason, u32 index, const char *what)
{
	static u8 text_was[TEXT_SIZE], kept_was[KEPT_SIZE];
	static struct vmi_site sites_were[SITES];
	static struct vmi_annotation annotations_were[SITES];

	request.refused = NO_INDEX;
	memcpy(text_was, text, sizeof(text));
	memcpy(kept_was, kept, sizeof(kept));
	memcpy(sites_were, sites, sizeof(sites));
	memcpy(annotations_were, annotations, sizeof(annotations));
	equal(patch(&request), reason, what);
	if (reason != VMI_PATCH_REQUEST)
		expect(request.refused == index, "%s: record %u, expected %u", what,
		       request.refused, index);
	expect(same(text, text_was, sizeof(text)), "%s: the text changed", what);
	expect(same(kept, kept_was, sizeof(kept)), "%s: what is kept changed", what);
	expect(same(sites, sites_were, sizeof(sites)) &&
		       same(annotations, annotations_were, sizeof(annotations)),
	       "%s: a record changed", what);
}

/* In every form. */
static void refused(const struct vmi_patch *asked, u32 reason, u32 index, const char *what)
{
	struct vmi_patch request = *asked;

	for (request.form = VMI_PATCH_BEST; request.form <= VMI_PATCH_CALLS; request.form++)
		refused_form(request, reason, index, what);
}

#define BAD 3 /* of six */

static void wrong_records(void)
{
	static const struct {
		const char *what;
		u8 reason;
		struct vmi_site site; /* without the address */
	} wrong[] = {
#define ROW(name) .call = VMI_ID_##name
#define CONSTANT .argument = { VMI_FROM_CONSTANT }, .constant = { 0x12345678 }
		{ "row 255", VMI_PATCH_CALL, { .size = 20, .call = 255 } },
		{ "the row behind", VMI_PATCH_CALL, { .size = 20, .call = VMI_CALL_COUNT } },
		{ "Init", VMI_PATCH_CALL, { .size = 20, ROW(Init) } },
		{ "GetRelocationInfo", VMI_PATCH_CALL, { .size = 20, ROW(GetRelocationInfo) } },
		{ "PatchSites", VMI_PATCH_CALL, { .size = 20, ROW(PatchSites) } },
		{ "no bytes", VMI_PATCH_SHORT, { .size = 0, ROW(Pause) } },
		{ "4 bytes", VMI_PATCH_SHORT, { .size = 4, ROW(DisableInterrupts) } },
		{ "4 bytes for JMP", VMI_PATCH_SHORT, { .size = 4, ROW(IRET) } },
		{ "9 bytes with a constant",
		  VMI_PATCH_SHORT,
		  { .size = 9, ROW(SetCR2), CONSTANT } },
		{ "6 bytes with an argument",
		  VMI_PATCH_SHORT,
		  { .size = 6, ROW(SetCR2), .argument = { VMI_FROM_EBX } } },
		{ "6 bytes with a result",
		  VMI_PATCH_SHORT,
		  { .size = 6, ROW(GetCR2), .result = VMI_FROM_EBX } },
		{ "8 bytes, and what is live",
		  VMI_PATCH_SHORT,
		  { .size = 8, ROW(SetCR2), .live = VMI_A, .argument = { VMI_FROM_EBX } } },
		{ "6 bytes and the stack",
		  VMI_PATCH_SHORT,
		  { .size = 6, ROW(WriteGDTEntry), .argument = { [3] = VMI_FROM_EBX } } },
		{ "an argument of none",
		  VMI_PATCH_ARGUMENT,
		  { .size = 40, ROW(GetCR0), .argument = { VMI_FROM_EBX } } },
		{ "a third argument of two",
		  VMI_PATCH_ARGUMENT,
		  { .size = 40, ROW(UpdatePxE), .argument = { [2] = VMI_FROM_ECX } } },
		{ "an argument in ESP",
		  VMI_PATCH_ARGUMENT,
		  { .size = 40, ROW(SetCR2), .argument = { VMI_FROM_EAX + ESP } } },
		{ "an argument in register 9",
		  VMI_PATCH_ARGUMENT,
		  { .size = 40, ROW(SetCR2), .argument = { VMI_FROM_EDI + 1 } } },
		{ "an argument in register 15",
		  VMI_PATCH_ARGUMENT,
		  { .size = 40, ROW(SetCR2), .argument = { VMI_FROM_CONSTANT - 1 } } },
		{ "a third constant",
		  VMI_PATCH_ARGUMENT,
		  { .size = 40,
		    ROW(SetCR2),
		    .argument = { VMI_FROM_CONSTANT + VMI_SITE_CONSTANTS } } },
		{ "a result of none",
		  VMI_PATCH_ARGUMENT,
		  { .size = 40, ROW(SetCR2), .result = VMI_FROM_EBX } },
		{ "a result in ESP",
		  VMI_PATCH_ARGUMENT,
		  { .size = 40, ROW(GetCR2), .result = VMI_FROM_EAX + ESP } },
		{ "a result in a constant",
		  VMI_PATCH_ARGUMENT,
		  { .size = 40, ROW(GetCR2), .result = VMI_FROM_CONSTANT } },
		{ "a result in register 9",
		  VMI_PATCH_ARGUMENT,
		  { .size = 40, ROW(GetCR2), .result = VMI_FROM_EDI + 1 } },
		{ "a result where another one is",
		  VMI_PATCH_ARGUMENT,
		  { .size = 40, ROW(RDTSC), .result = VMI_FROM_EDX } },
		{ "a word on the stack that is live",
		  VMI_PATCH_ARGUMENT,
		  { .size = 40, ROW(GetCR2), .live = VMI_S1 } },
		{ "a flag", VMI_PATCH_ARGUMENT, { .size = 40, ROW(GetCR2), .flags = 4 } },
		{ "the reserved byte",
		  VMI_PATCH_ARGUMENT,
		  { .size = 40, ROW(GetCR2), .reserved = 1 } },
	};
	u32 i;

	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct vmi_patch request;
		u32 address;

		good_sites(6);
		if (i & 1)
			bring(i & 2 ? VMI_PATCH_BEST : VMI_PATCH_CALLS, "before");
		address = sites[BAD].address;
		sites[BAD] = wrong[i].site;
		sites[BAD].address = address;
		request = all_sites(VMI_PATCH_BEST);
		refused(&request, wrong[i].reason, BAD, wrong[i].what);
		request.first = request.number = BAD;
		refused(&request, wrong[i].reason, BAD, wrong[i].what);
		sites[BAD + 1] = sites[BAD]; /* the first one counts */
		sites[BAD + 1].address += SLOT;
		refused(&request, wrong[i].reason, BAD, wrong[i].what);
	}
	point("a wrong record: every reason, and nothing changes");
}

static void wrong_annotations(void)
{
	/* instead of E8 and the number, and in so many bytes of a site */
	static const struct {
		const char *what;
		u8 reason, row, size, length, code[14];
		bool number; /* at code + 1 */
	} wrong[] = {
#define CALL 0xe8, 0, 0, 0, 0
		{ "4 bytes", VMI_PATCH_SHORT, VMI_ID_GetCR3, 4, 5, { CALL }, true },
		{ "9 bytes for 10",
		  VMI_PATCH_SHORT,
		  VMI_ID_AllocatePage,
		  10,
		  11,
		  { 0x50, 0x50, CALL, 0x8d, 0x64, 0x24, 8 },
		  false },
		{ "another number", VMI_PATCH_ARGUMENT, VMI_ID_GetCR3, 20, 5, { 0xe8, 1 }, false },
		{ "JMP", VMI_PATCH_ARGUMENT, VMI_ID_GetCR3, 20, 5, { 0xe9 }, true },
		{ "no CALL", VMI_PATCH_ARGUMENT, VMI_ID_GetCR3, 20, 0, { 0 }, false },
		{ "half of a CALL", VMI_PATCH_ARGUMENT, VMI_ID_GetCR3, 20, 4, { 0xe8 }, false },
		{ "a NOP behind the CALL",
		  VMI_PATCH_ARGUMENT,
		  VMI_ID_GetCR3,
		  20,
		  6,
		  { CALL, 0x90 },
		  true },
		{ "a NOP before the CALL",
		  VMI_PATCH_ARGUMENT,
		  VMI_ID_GetCR3,
		  20,
		  6,
		  { 0x90, CALL },
		  false },
		{ "two CALLs", VMI_PATCH_ARGUMENT, VMI_ID_GetCR3, 20, 10, { CALL, CALL }, true },
		{ "LEA for nothing",
		  VMI_PATCH_ARGUMENT,
		  VMI_ID_GetCR3,
		  20,
		  9,
		  { CALL, 0x8d, 0x64, 0x24, 4 },
		  true },
		{ "a push for nothing",
		  VMI_PATCH_ARGUMENT,
		  VMI_ID_GetCR3,
		  20,
		  10,
		  { 0x50, CALL, 0x8d, 0x64, 0x24, 4 },
		  false },
		{ "a push, and no LEA",
		  VMI_PATCH_ARGUMENT,
		  VMI_ID_WriteGDTEntry,
		  20,
		  6,
		  { 0x50, CALL },
		  false },
		{ "LEA of 8",
		  VMI_PATCH_ARGUMENT,
		  VMI_ID_WriteGDTEntry,
		  20,
		  10,
		  { 0x50, CALL, 0x8d, 0x64, 0x24, 8 },
		  false },
		{ "LEA of another register",
		  VMI_PATCH_ARGUMENT,
		  VMI_ID_WriteGDTEntry,
		  20,
		  10,
		  { 0x50, CALL, 0x8d, 0x6c, 0x24, 4 },
		  false },
		{ "LEA without its last byte",
		  VMI_PATCH_ARGUMENT,
		  VMI_ID_WriteGDTEntry,
		  20,
		  9,
		  { 0x50, CALL, 0x8d, 0x64, 0x24, 4 },
		  false },
		{ "PUSH ESP",
		  VMI_PATCH_ARGUMENT,
		  VMI_ID_WriteGDTEntry,
		  20,
		  10,
		  { 0x54, CALL, 0x8d, 0x64, 0x24, 4 },
		  false },
		{ "POP",
		  VMI_PATCH_ARGUMENT,
		  VMI_ID_WriteGDTEntry,
		  20,
		  10,
		  { 0x58, CALL, 0x8d, 0x64, 0x24, 4 },
		  false },
		{ "three pushes",
		  VMI_PATCH_ARGUMENT,
		  VMI_ID_AllocatePage,
		  20,
		  12,
		  { 0x50, 0x51, 0x52, CALL, 0x8d, 0x64, 0x24, 12 },
		  false },
		{ "one push for two",
		  VMI_PATCH_ARGUMENT,
		  VMI_ID_AllocatePage,
		  20,
		  10,
		  { 0x50, CALL, 0x8d, 0x64, 0x24, 4 },
		  false },
	};
	static const u32 numbers[] = { 100, 255, 0x100, 0x10000 + VMI_3_GetCR3, 0xffffffff };
	struct vmi_patch request;
	u32 i, k;

	for (i = 0; i < ARRAY_SIZE(wrong) + ARRAY_SIZE(numbers); i++) {
		struct vmi_annotation *a = &annotations[BAD];
		u32 row = i < ARRAY_SIZE(wrong) ? wrong[i].row : VMI_ID_GetCR3;

		if (!in_image(row))
			continue;
		start();
		for (k = 0; k < 6; k++)
			annotate(add(VMI_ID_GetCR3, 30), 25);
		memcpy(before, text, sizeof(text));
		if (i & 1)
			done(all_annotations(i & 2 ? VMI_PATCH_BEST : VMI_PATCH_CALLS), "before");
		request = all_annotations(VMI_PATCH_BEST);
		if (i >= ARRAY_SIZE(wrong)) {
			a->call = numbers[i - ARRAY_SIZE(wrong)];
			memset(translations[BAD] + 1, 0, 4);
			refused(&request, VMI_PATCH_CALL, BAD, "a number of no call");
			continue;
		}
		a->call = rom_number(&rom, row);
		a->native_size = wrong[i].size;
		a->nop_size = 0;
		a->translation_size = wrong[i].length;
		memset(translations[BAD], 0, TRANSLATION_MOST);
		memcpy(translations[BAD], wrong[i].code, sizeof(wrong[i].code));
		if (wrong[i].number)
			translations[BAD][1] = (u8)a->call;
		refused(&request, wrong[i].reason, BAD, wrong[i].what);
		if (wrong[i].reason == VMI_PATCH_ARGUMENT)
			continue;
		a->native_size++; /* which is enough */
		equal(patch(&request), VMI_PATCH_DONE, "a byte more, result");
	}
	point("wrong annotations");
}

static void wrong_places(void)
{
	static const struct {
		int shift;
		u32 size;
		bool good;
	} places[] = {
		/* against a site of 30 bytes */
		{ 0, 30, false }, { 29, 5, false }, { -4, 5, false }, { -10, 60, false },
		{ 10, 5, false }, { 30, 5, true },  { -5, 5, true },
	};
	struct vmi_patch request;
	u32 i, k;

	for (i = 0; i < ARRAY_SIZE(places); i++)
		for (k = 0; k < 2; k++) { /* the other one is before or behind */
			u32 other = k ? 5 : 0;

			good_sites(6);
			sites[other].address = sites[BAD].address + (u32)places[i].shift;
			sites[other].size = (u8)places[i].size;
			request = all_sites(VMI_PATCH_BEST);
			if (places[i].good) {
				equal(patch(&request), VMI_PATCH_DONE, "next to each other");
				continue;
			}
			refused(&request, VMI_PATCH_OVERLAP, k ? BAD : 0, "overlap");
			request.first = BAD;
			request.number = 1;
			refused(&request, VMI_PATCH_OVERLAP, BAD, "overlap with another");
			request.first = other;
			refused(&request, VMI_PATCH_OVERLAP, other, "another overlaps");
		}
	/* Else in order: the one before ends a byte too late, or just in time. */
	good_sites(6);
	sites[BAD - 1].size = SLOT + 1;
	request = all_sites(VMI_PATCH_BEST);
	refused(&request, VMI_PATCH_OVERLAP, BAD - 1, "overlap by a byte");
	sites[BAD - 1].size = SLOT;
	equal(patch(&request), VMI_PATCH_DONE, "up to the next, result");
	point("sites that overlap, before and behind, and such that do not");

	good_sites(6);
	request = all_sites(VMI_PATCH_BEST);
	request.text_size = 5 * SLOT + 30;
	equal(patch(&request), VMI_PATCH_DONE, "text from the first byte to the last, result");
	bring(VMI_PATCH_ORIGINAL, "back");
	request.text_size--;
	refused(&request, VMI_PATCH_TEXT, 5, "beyond the text's last byte");
	request.text_size++;
	request.text++;
	refused(&request, VMI_PATCH_TEXT, 0, "before the text's first byte");
	request.text--;
	request.text_size = 0;
	refused(&request, VMI_PATCH_TEXT, 0, "no text");
	request = all_sites(VMI_PATCH_BEST);
	sites[BAD].address = 0xfffffff0;
	refused(&request, VMI_PATCH_TEXT, BAD, "a site around the end of memory");
	request.text = 0xffffff00;
	request.text_size = 0x100;
	request.first = BAD;
	request.number = 1;
	refused(&request, VMI_PATCH_TEXT, BAD, "a site beyond the end of memory");
	point("sites outside of the text");

	if (paging()) {
		u8 *last = page();

		map(0xfffff000, to_phys(last), PTE_P | PTE_W);
		sites[BAD].address = 0xfffffff0;
		sites[BAD].size = 16;
		request.form = VMI_PATCH_CALLS;
		equal(patch(&request), VMI_PATCH_DONE, "the last bytes of memory, result");
		expect(leads(last + 0xff0, 16, 0xe8,
			     stub[VMI_ID_SetPxE] + ((u32)last + 0xff0 - 0xfffffff0)) == 11,
		       "no CALL there");
		unmap(0xfffff000);
	}
	point("the last site of memory");
}

/* A table as long as a kernel's takes no longer for each site than a short one. */
static void many_sites(void)
{
	enum { MANY = 4000, SIZE = 6 };
	static struct vmi_site records[MANY];
	static u8 code[MANY * SIZE], originals[MANY * (1 + SIZE)];
	struct vmi_patch request = {
		.records = (u32)records,
		.text = (u32)code,
		.text_size = sizeof(code),
		.kept = (u32)originals,
	};
	u32 i, each[2];

	if (!option("icount"))
		return;
	for (i = 0; i < MANY; i++)
		records[i] = (struct vmi_site){ .address = (u32)&code[i * SIZE],
						.size = SIZE,
						.call = VMI_ID_GetCR3 };
	for (i = 0; i < 2; i++) {
		u64 start;

		request.count = request.number = i ? MANY : MANY / 100;
		memset(originals, 0, sizeof(originals));
		start = rdtsc();
		equal(VMI(&rom, PatchSites)(&request), VMI_PATCH_DONE, "result");
		each[i] = (u32)(rdtsc() - start) / request.count;
	}
	expect(each[1] <= each[0] + each[0] / 10, "%u instructions a site", each[1]);
	point("%u sites: %u instructions each", MANY, each[1]);
}

static void wrong_requests(void)
{
	static const struct {
		const char *what;
		u32 count, first, number;
		u8 kind, form;
		u16 reserved;
	} wrong[] = {
		{ "kind 2", 6, 0, 6, 2, 0, 0 },
		{ "kind 255", 6, 0, 6, 255, 0, 0 },
		{ "form 3", 6, 0, 6, 0, 3, 0 },
		{ "form 255", 6, 0, 6, 0, 255, 0 },
		{ "what is reserved", 6, 0, 6, 0, 0, 1 },
		{ "first beyond count", 6, 7, 0, 0, 0, 0 },
		{ "number beyond count", 6, 0, 7, 0, 0, 0 },
		{ "the last two of one", 6, 5, 2, 0, 0, 0 },
		{ "number that wraps", 6, 1, 0xffffffff, 0, 0, 0 },
		{ "number without count", 0, 0, 1, 0, 0, 0 },
	};
	struct vmi_patch request;
	u32 i;

	invoke_catch(14);
	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		good_sites(6);
		request = all_sites(wrong[i].form);
		request.count = wrong[i].count;
		request.first = wrong[i].first;
		request.number = wrong[i].number;
		request.kind = wrong[i].kind;
		request.reserved = wrong[i].reserved;
		refused_form(request, VMI_PATCH_REQUEST, 0, wrong[i].what);
	}
	good_sites(6);
	request = all_sites(VMI_PATCH_BEST);
	request.number = 0;
	done(request, "none of the sites");
	request.first = count;
	done(request, "none behind the sites");
	request.first = request.count = 0;
	done(request, "no sites");
	request.records = request.kept = 0;
	done(request, "no sites, nowhere");
	invoke_catch_none();
	point("requests that are wrong, and such for nothing");
}

static void not_live(void)
{
	struct vmi_patch request;

	good_sites(6);
	request = all_sites(VMI_PATCH_BEST);
	request.sync = (u32)sync_alone;
	sites[BAD].flags = 0;
	refused(&request, VMI_PATCH_LIVE, BAD, "the original calls");
	sites[BAD] = (struct vmi_site){ .address = sites[BAD].address,
					.size = 40,
					.call = VMI_ID_WriteGDTEntry,
					.flags = VMI_SITE_LIVE,
					.argument = { [3] = VMI_FROM_ESI } };
	refused_form(request, VMI_PATCH_LIVE, BAD, "LEA behind the CALL");
	request.form = VMI_PATCH_CALLS;
	refused_form(request, VMI_PATCH_LIVE, BAD, "LEA behind the CALL that is wanted");
	request.form = VMI_PATCH_ORIGINAL;
	equal(patch(&request), VMI_PATCH_DONE, "originals stay, result");
	bring(VMI_PATCH_CALLS, "without sync");
	refused_form(request, VMI_PATCH_LIVE, BAD, "LEA behind the CALL that is there");

	start();
	add(VMI_ID_SetPxE, SIZE_MOST)->flags = VMI_SITE_LIVE;
	memcpy(before, text, sizeof(text));
	request = all_sites(VMI_PATCH_BEST);
	request.sync = (u32)sync_alone;
	request.argument = SYNC_ARGUMENT;
	synced.in_site = 0;
	done(request, "live");
	if (traps[VMI_ID_SetPxE]) {
		expect(is(&sites[0], VMI_FORM_CALL), "a live site has a CALL inside");
		bring(VMI_PATCH_BEST, "without sync");
		expect(is(&sites[0], VMI_FORM_INLINE), "SetPxE is not inline");
		request.form = VMI_PATCH_CALLS;
		refused_form(request, VMI_PATCH_LIVE, 0, "a CALL inside");
	}
	point("a live site that a CPU may have to return into");
}

void guest_main(void)
{
	u32 row;

	if (!rom_find(&rom, option_number("major", 3)))
		bail("no ROM");
	ok(rom_init(&rom) == 0, "Init");
	for (row = 0; row < VMI_CALL_COUNT; row++) {
		stub[row] = rom_call(&rom, row);
		traps[row] = rom_traps(&rom, row);
	}
	every_call();
	arguments();
	inline_code();
	dead_registers();
	constants();
	loads();
	queue_at_site();
	some_sites();
	another_mapping();
	sync_every_site();
	every_annotation();
	rfc_kernel();
	wrong_records();
	wrong_annotations();
	wrong_places();
	many_sites();
	wrong_requests();
	not_live();
}
