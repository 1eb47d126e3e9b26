/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PatchSites: call sites, rewritten with what is best on this host (vmi_abi.h).
 *
 * What a site gets depends on its record and on the host alone: it is made in a buffer,
 * once for all records to see whether it can be, and again to be written.
 */
#include "rom.h"

enum { EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI }; /* as instructions encode them */
enum { ARGUMENT_A, ARGUMENT_D, ARGUMENT_C, ARGUMENT_S1, ARGUMENT_S2 };
#define FROM(reg) ((reg) + VMI_FROM_EAX)
#define REGISTER(from) ((u32)(from)-VMI_FROM_EAX)
#define MODRM(mod, reg, rm) ((mod) << 6 | (reg) << 3 | (rm))

#define INT3 0xcc
#define PUSH 0x50
#define POP 0x58
#define PUSH_IMM32 0x68
#define PUSH_IMM8 0x6a
#define CALL 0xe8
#define JMP 0xe9
#define JMP_SHORT 0xeb
#define JNZ_SHORT 0x75

/* What is to stand at a site. */
struct code {
	u32 size; /* may be more than the site has: it does not fit; and more than byte[] */
	u8 form;
	bool behind; /* something follows the CALL */
	u8 byte[255];
};

/*
 * The recommended ones [SDM vol. 2, NOP], one for each 9 bytes; a processor that does not have
 * them gets prefixes.
 */
void nops(u8 *code, u32 size)
{
	const struct state *state = state_find();
	bool recommended = state && state->long_nops;
	u32 n, i, prefixes;

	for (; size; code += n, size -= n) {
		n = size > 9 ? 9 : size;
		prefixes = recommended && n > 2 ? n == 6 || n == 9 : n - 1;
		zero(code, n);
		for (i = 0; i < prefixes; i++)
			code[i] = 0x66;
		if (n - i == 1) {
			code[i] = 0x90;
			continue;
		}
		code[i] = 0x0f;
		code[i + 1] = 0x1f;
		/* [EAX], [EAX + disp8], with SIB, [EAX + disp32], with SIB: zeroes */
		code[i + 2] = (u8)MODRM((n - i > 3u) + (n - i > 5u), 0u,
					n - i == 5 || n - i == 8 ? 4u : 0);
	}
}

/* Not inline: most of this file are calls of these two. */
static __attribute__((noinline)) void put(struct code *code, u32 byte)
{
	if (code->size < sizeof(code->byte))
		code->byte[code->size] = (u8)byte;
	code->size++;
}

static __attribute__((noinline)) void put2(struct code *code, u32 first, u32 second)
{
	put(code, first);
	put(code, second);
}

static void put_word(struct code *code, u32 word)
{
	u32 n;

	for (n = 0; n < 4; n++, word >>= 8)
		put(code, word & 0xff);
}

static void put_bytes(struct code *code, const u8 *bytes, u32 size)
{
	while (size--)
		put(code, *bytes++);
}

/* ------------------------------------------------------------------------
 * Registers
 */

/* VMI_A ... VMI_DI as bits of encodings. */
static u32 registers(u32 columns)
{
	return (columns & 0x0f) | (columns & 0x30) << 2;
}

static bool is_register(u32 from)
{
	return from - VMI_FROM_EAX <= EDI && from != FROM(ESP);
}

/* The register in which the call takes an argument. */
static u32 place(u32 argument)
{
	return argument == ARGUMENT_A ? EAX : argument == ARGUMENT_D ? EDX : ECX;
}

/* Where an argument in a register comes from. */
static u32 source(const struct vmi_site *site, u32 argument)
{
	u32 from = site->argument[argument];

	return from == VMI_FROM_THERE ? FROM(place(argument)) : from;
}

static u32 constant(const struct vmi_site *site, u32 from)
{
	return site->constant[from - VMI_FROM_CONSTANT];
}

static u32 result(const struct vmi_site *site)
{
	return site->result == VMI_FROM_THERE ? EAX : REGISTER(site->result);
}

static void load(struct code *code, const struct vmi_site *site, u32 to, u32 from)
{
	if (is_register(from)) {
		if (to != REGISTER(from))
			put2(code, 0x89, MODRM(3u, REGISTER(from), to)); /* MOV */
	} else if (!constant(site, from)) {
		put2(code, 0x31, MODRM(3u, to, to)); /* XOR */
	} else {
		put(code, 0xb8 + to);
		put_word(code, constant(site, from));
	}
}

/* All at once: a register may be where one argument comes from and another one goes to. */
static void load_arguments(struct code *code, const struct vmi_site *site, u32 in)
{
	u32 from[3], waiting = 0, i, j;

	for (i = ARGUMENT_A; i <= ARGUMENT_C; i++) {
		from[i] = source(site, i);
		if ((in & 1u << place(i)) && from[i] != FROM(place(i)))
			waiting |= 1u << i;
	}
	while (waiting) {
		u32 sources = 0;

		for (i = ARGUMENT_A; i <= ARGUMENT_C; i++)
			if ((waiting & 1u << i) && is_register(from[i]))
				sources |= 1u << REGISTER(from[i]);
		for (i = ARGUMENT_A; i <= ARGUMENT_C; i++)
			if ((waiting & 1u << i) && !(sources & 1u << place(i)))
				break;
		if (i <= ARGUMENT_C) {
			load(code, site, place(i), from[i]);
			waiting &= ~(1u << i);
			continue;
		}
		/* Nothing but cycles is left. */
		for (i = ARGUMENT_A; !(waiting & 1u << i); i++)
			;
		put2(code, 0x87, MODRM(3u, place(i), REGISTER(from[i]))); /* XCHG */
		waiting &= ~(1u << i);
		for (j = ARGUMENT_A; j <= ARGUMENT_C; j++) {
			if (!(waiting & 1u << j))
				continue;
			if (from[j] == FROM(place(i)))
				from[j] = from[i];
			if (from[j] == FROM(place(j)))
				waiting &= ~(1u << j);
		}
	}
}

/* ------------------------------------------------------------------------
 * Code
 */

static const struct vmi_call_record *record_of(u32 row)
{
	return call_record(rom_addr(rom_image), row);
}

static bool returns(const struct vmi_call_record *record)
{
	u32 convention = record->convention & 0xf;

	return convention == VMI_CONV_C || convention == VMI_CONV_REGS;
}

/* Registers that would be lost and must not be; the code loses some itself. */
static u32 saved(const struct vmi_site *site, const struct vmi_call_record *record, u32 lost)
{
	u32 out = registers(record->out), i;

	if (!returns(record))
		return 0;
	for (i = ARGUMENT_A; i <= ARGUMENT_C; i++)
		if ((record->in & 1u << place(i)) && source(site, i) != FROM(place(i)))
			lost |= 1u << place(i);
	if (record->out & VMI_A) {
		lost |= 1u << EAX;
		out = (out & ~(1u << EAX)) | 1u << result(site);
	}
	/* No record says of EBP that it is not needed. */
	return lost & (registers(site->live) | 1u << EBP) & ~out;
}

/* Of a call that does not return, what is there is a frame. */
static u32 stack_arguments(const struct vmi_call_record *record)
{
	if (!returns(record))
		return 0;
	return record->in & VMI_S2 ? 2 : record->in & VMI_S1 ? 1 : 0;
}

/* Words to push: none where all are in their places and stay on top. */
static u32 words_on_stack(const struct vmi_site *site, const struct vmi_call_record *record)
{
	if (!saved(site, record, 0) && site->argument[ARGUMENT_S1] == VMI_FROM_THERE &&
	    site->argument[ARGUMENT_S2] == VMI_FROM_THERE)
		return 0;
	return stack_arguments(record);
}

static void push(struct code *code, const struct vmi_site *site, u32 from, u32 depth)
{
	if (from == VMI_FROM_THERE) { /* PUSH [ESP + depth] */
		put2(code, 0xff, MODRM(1u, 6u, 4u));
		put2(code, 0x24, depth);
	} else if (is_register(from)) {
		put(code, PUSH + REGISTER(from));
	} else if (constant(site, from) + 0x80 < 0x100) {
		put2(code, PUSH_IMM8, constant(site, from) & 0xff);
	} else {
		put(code, PUSH_IMM32);
		put_word(code, constant(site, from));
	}
}

/* What comes before a CALL or the stub's code: all that it takes, words of those on the stack. */
static void begin(struct code *code, const struct vmi_site *site,
		  const struct vmi_call_record *record, u32 keep, u32 words)
{
	u32 depth = words - 1, n;

	for (n = EAX; n <= EDI; n++) {
		if (keep & 1u << n) {
			put(code, PUSH + n);
			depth++;
		}
	}
	for (n = words; n--;)
		push(code, site, site->argument[ARGUMENT_S1 + n], depth * 4);
	load_arguments(code, site, record->in);
}

/* Words off the stack. */
static void drop(struct code *code, u32 words)
{
	if (words) { /* LEA ESP, [ESP + ...] */
		put2(code, 0x8d, MODRM(1u, ESP, 4u));
		put2(code, 0x24, words * 4);
	}
}

/* from: the register that has the result. */
static void end(struct code *code, const struct vmi_site *site,
		const struct vmi_call_record *record, u32 keep, u32 words, u32 from)
{
	u32 n;

	drop(code, words);
	if (record->out & VMI_A)
		load(code, site, result(site), FROM(from));
	for (n = EDI + 1; n--;)
		if (keep & 1u << n)
			put(code, POP + n);
}

/* The register that the guest has in place of one that the stub's code takes; else a constant. */
static u32 own(const struct vmi_site *site, u32 reg)
{
	u32 i;

	for (i = ARGUMENT_A; i <= ARGUMENT_C; i++)
		if (place(i) == reg)
			return source(site, i);
	return FROM(reg);
}

/* An instruction has an argument in ModRM's r/m: a pointer, or a register that it only reads. */
static bool takes_argument(const struct vmi_site *site, const u8 *body)
{
	if (body[0] == 0x0f) /* LTR, LIDT..., MOV CRn, r */
		return body[1] <= 1 || body[1] == 0x22;
	if (body[0] == 0x87) /* XCHG: EAX is an argument, too, and the result */
		return own(site, EAX) == FROM(EAX) && result(site) == EAX;
	return body[0] == 0x89 || body[0] == 0x8b; /* MOV */
}

/*
 * Stub code that is one instruction works on whatever registers the guest has its
 * arguments in, and wants the result in. False: it is something else.
 */
static bool in_place(struct code *code, const struct vmi_site *site, const u8 *body, u32 size)
{
	u32 opcode = body[0], n = opcode == 0x0f ? 2 : 1;
	u32 mod = body[n] >> 6, reg = body[n] >> 3 & 7, rm = body[n] & 7, from = FROM(EAX);

	if (size == 6 && body[0] == 0x36 && body[1] == 0xa1 && result(site) != EAX) {
		put2(code, 0x36, 0x8b); /* MOV EAX, SS:[] has a form of its own */
		put(code, MODRM(0u, result(site), 5u));
		put_bytes(code, body + 2, 4);
		return true;
	}
	if (size != n + 1 + (mod == 1))
		return false;
	if (opcode == 0x0f && body[1] == 0x20) { /* MOV r, CRn */
		rm = result(site);
	} else if (takes_argument(site, body) && is_register(own(site, rm))) {
		rm = REGISTER(own(site, rm));
		if (opcode == 0x8b)
			reg = result(site);
		if (opcode == 0x89) {
			from = own(site, reg);
			reg = is_register(from) ? REGISTER(from) : 0;
		}
	} else {
		return false;
	}
	if (!mod && rm == EBP) /* there is no such form without a displacement */
		mod = 1;
	if (!is_register(from))
		opcode = 0xc7;
	put(code, opcode);
	if (n == 2)
		put(code, body[1]);
	put(code, MODRM(mod, reg, rm));
	if (mod == 1)
		put(code, size > n + 1 ? body[n + 1] : 0);
	if (opcode == 0xc7)
		put_word(code, constant(site, from));
	return true;
}

/* What may stand at a site of a call, on this host. */
struct body {
	u32 stub;    /* address of the code, */
	u32 size;    /* so many bytes of it; VMI_NO_INLINE */
	bool native; /* it is the image's */
	bool queues; /* put_queue() */
	u32 lost;    /* registers that it does not keep */
	u32 result;  /* the register that has it */
};

static struct body body_of(u32 row)
{
	const struct rom_image *image = rom_addr(rom_image);
	const struct vmi_call_record *record = record_of(row);
	const struct trap *trap = trap_find(image);
	const struct trap_stub *stub = trap ? &trap->stub[row] : NULL;
	struct body body = { (u32)image + record->stub, record->inline_size, true, false, 0, EAX };

	if (stub && stub->on) {
		body.stub = (u32)trap + stub->entry;
		body.size = stub->inline_size;
		body.native = false;
		body.queues = stub->queues;
	} else if (stub && stub->entry) {
		body.size = stub->native_inline;
	}
	return body;
}

/* With a constant a call may be another one: its row. */
static u32 plainer(const struct vmi_site *site)
{
	u32 from = source(site, ARGUMENT_A), value;

	if (is_register(from))
		return site->call;
	value = constant(site, from);
	switch (site->call) {
	case VMI_ID_SetInterruptMask:
		return value & VMI_IF ? VMI_ID_EnableInterrupts : VMI_ID_DisableInterrupts;
	case VMI_ID_FlushTLB:
		if (value & VMI_FLUSH_GLOBAL)
			return VMI_ID_FlushTLBAll;
		return value & VMI_FLUSH_TLB ? VMI_ID_FlushTLB_v6 : site->call;
	case VMI_ID_GetCycleCounter: /* where it is not inline, another clock counts */
		if (value <= VMI_CYCLES_AVAILABLE && body_of(site->call).size != VMI_NO_INLINE)
			return VMI_ID_RDTSC;
	}
	return site->call;
}

/*
 * Takes away what begin() and end() do where a site needs it: the PUSHes with which the code
 * begins, the same POPs at its end, and the MOV of the result to EAX.
 */
static void trim(struct body *body, bool has_result)
{
	const u8 *first = at(body->stub), *last = first + body->size - 1;

	for (; last > first && (*first & 0xf8) == PUSH && *last == *first + POP - PUSH;
	     first++, last--)
		body->lost |= 1u << (*first - PUSH);
	if (has_result && last > first && last[-1] == 0x89 && (*last & 0xc7) == MODRM(3, 0, EAX)) {
		body->result = *last >> 3 & 7;
		last -= 2;
	}
	body->stub = (u32)first;
	body->size = (u32)(last - first) + 1;
}

/*
 * A stub that queues, without its RET (rom/post/shapes.asm, queue_or_trap):
 *
 *		TEST; JZ off; PUSH EBX; MOV EBX; XADD; JG full; ...; POP EBX
 *
 * becomes, with one jump on the usual way, between begin() and end(), which keep EBX,
 *
 *		TEST; JNZ queue
 *	slow:	CALL stub; JMP behind
 *	queue:	MOV EBX; XADD; JG slow; ...
 *	behind:
 *
 * A word on the stack is a constant: pushed for the CALL, and queued by a MOV where the stub
 * has a PUSH and a POP.
 */
enum { LOOK = 8, QUEUE = 11, RESERVE = 15, FILL = 21 };

static void put_queue(struct code *code, const struct vmi_site *site, const struct body *body,
		      u32 words)
{
	const u8 *stub = at(body->stub);
	u32 word = site->argument[ARGUMENT_S1], slow;
	u8 *at_word;

	put_bytes(code, stub, LOOK);
	put2(code, JNZ_SHORT, 0);
	slow = code->size;
	if (words)
		push(code, site, word, 0);
	put(code, CALL);
	put_word(code, body->stub - (site->address + code->size + 4));
	drop(code, words);
	put2(code, JMP_SHORT, body->size - QUEUE - 1);
	code->byte[slow - 1] = (u8)(code->size - slow);
	put_bytes(code, stub + QUEUE, RESERVE - 1);
	put(code, slow - (code->size + 1));
	at_word = code->byte + code->size + FILL;
	put_bytes(code, stub + QUEUE + RESERVE, body->size - QUEUE - RESERVE - 1);
	if (words) { /* MOV SS:[EBX + disp32], imm32 */
		*(u32 *)(at_word + 3) = *(u32 *)(at_word + 7);
		*(u32 *)(at_word + 7) = constant(site, word);
		at_word[0] = 0x36;
		at_word[1] = 0xc7;
		at_word[2] = MODRM(2, 0, EBX);
	}
}

/* Returns false where there is no such code, or it does not fit. */
static bool make_inline(struct code *code, const struct vmi_site *site, u32 row, struct body body,
			bool live)
{
	const struct vmi_call_record *record = record_of(row);
	u32 keep, words = stack_arguments(record);

	if (body.size == VMI_NO_INLINE)
		return false;
	if (body.queues) {
		if (live || (words && site->argument[ARGUMENT_S1] < VMI_FROM_CONSTANT))
			return false;
		body.lost = 1u << EBX;
	}
	code->size = 0;
	code->behind = body.queues;
	code->form = VMI_FORM_INLINE;
	if (!body.size) { /* a hint; or what returns its argument */
		if (record->out & VMI_A)
			load(code, site, result(site), source(site, ARGUMENT_A));
		if (!code->size)
			code->form = VMI_FORM_NOPS;
	} else if (body.queues || !in_place(code, site, at(body.stub), body.size)) {
		/* No such code looks at the stack. */
		if (body.native)
			trim(&body, record->out & VMI_A);
		keep = saved(site, record, body.lost);
		begin(code, site, record, keep, 0);
		if (body.queues)
			put_queue(code, site, &body, words);
		else
			put_bytes(code, at(body.stub), body.size);
		if (returns(record))
			end(code, site, record, keep, 0, body.result);
	}
	if (code->size > site->size)
		return false;
	nops(code->byte + code->size, site->size - code->size);
	return true;
}

static void make_call(struct code *code, const struct vmi_site *site,
		      const struct vmi_call_record *record, u32 target)
{
	bool jump = (record->convention & 0xf) == VMI_CONV_JUMP;
	u32 words = words_on_stack(site, record), keep = saved(site, record, 0), at_byte, n;

	code->size = 0;
	begin(code, site, record, keep, words);
	at_byte = code->size;
	put(code, jump ? JMP : CALL);
	put_word(code, 0);
	if (returns(record))
		end(code, site, record, keep, words, EAX);
	code->form = jump ? VMI_FORM_JUMP : VMI_FORM_CALL;
	code->behind = code->size > at_byte + 5;
	if (code->size > site->size)
		return;
	n = site->size - code->size;
	if (jump || code->behind) {
		nops(code->byte + code->size, n);
	} else { /* no return address is in the site */
		u32 i;

		for (i = code->size; i--;)
			code->byte[i + n] = code->byte[i];
		nops(code->byte, n);
		at_byte += n;
	}
	*(u32 *)(code->byte + at_byte + 1) = target - (site->address + at_byte + 5);
}

/* For a form that is wanted, VMI_PATCH_*; live: other CPUs may be inside. */
static void make(struct code *code, const struct vmi_site *site, u32 wanted, bool live)
{
	const struct rom_image *image = rom_addr(rom_image);
	struct body body = body_of(site->call), other;
	u32 row = plainer(site);

	code->size = 0;
	code->behind = false;
	code->form = VMI_FORM_ORIGINAL;
	if (wanted == VMI_PATCH_ORIGINAL)
		return;
	if (wanted == VMI_PATCH_BEST) {
		if (body.native && (site->flags & VMI_SITE_NATIVE) &&
		    (native_binding(image, trap_find(image), site->call) & VMI_NATIVE))
			return;
		if (row != site->call) {
			other = body_of(row);
			if (other.native == body.native &&
			    make_inline(code, site, row, other, live))
				return;
		}
		if (make_inline(code, site, site->call, body, live))
			return;
	}
	make_call(code, site, record_of(site->call), body.stub);
}

/* ------------------------------------------------------------------------
 * Records
 */

static const struct vmi_site *site_record(const struct vmi_patch *patch, u32 n)
{
	return (const struct vmi_site *)at(patch->records) + n;
}

static const struct vmi_annotation *annotation(const struct vmi_patch *patch, u32 n)
{
	return (const struct vmi_annotation *)at(patch->records) + n;
}

static u32 site_size(const struct vmi_patch *patch, u32 n)
{
	return patch->kind == VMI_PATCH_SITES ? site_record(patch, n)->size
					      : annotation(patch, n)->native_size;
}

static u32 site_address(const struct vmi_patch *patch, u32 n)
{
	return patch->kind == VMI_PATCH_SITES ? site_record(patch, n)->address
					      : annotation(patch, n)->native;
}

/* The row of a number in the image's revision. */
static u32 row_of(u32 number)
{
	const struct rom_image *image = rom_addr(rom_image);
	const struct vmi_call_record *record = record_of(0);
	u32 major = image->header.api_version_major, row;

	for (row = 0; row < VMI_CALL_COUNT; row++, record++)
		if (number != VMI_NO && number == (major == 3	 ? record->number_3
						   : major == 13 ? record->number_13
								 : record->number_6))
			break;
	return row;
}

/* The words that a translation pushes, into arguments. False: it is none. */
static bool translation_read(struct vmi_site *site, const struct vmi_annotation *from, u32 words)
{
	const u8 *code = at(from->translation), *last = code + from->translation_size;
	u32 n, word;

	for (n = words; n--; code++) {
		u8 *argument = &site->argument[ARGUMENT_S1 + n];

		if (last - code < 1 + 1)
			return false;
		if ((*code & 0xf8) == PUSH && *code != PUSH + ESP) {
			*argument = (u8)FROM(*code - PUSH);
			continue;
		}
		*argument = (u8)(VMI_FROM_CONSTANT + n);
		if (*code == PUSH_IMM8) {
			site->constant[n] = (u32)(vmi_s8)code[1];
			code++;
		} else if (*code == PUSH_IMM32 && last - code >= 1 + 4) {
			site->constant[n] = *(const u32 *)(code + 1);
			code += 4;
		} else {
			return false;
		}
	}
	if (last - code < 5 || *code != CALL)
		return false;
	word = *(const u32 *)(code + 1);
	code += 5;
	if (word && word != from->call)
		return false;
	if (words) { /* LEA ESP, [ESP + ...]; a displacement of 8 or of 32 bits */
		if (last - code < 3 || code[0] != 0x8d || (code[1] & 0x3f) != 0x24 ||
		    code[2] != 0x24)
			return false;
		if (code[1] == MODRM(1, ESP, 4) && last - code == 4)
			return code[3] == words * 4;
		return code[1] == MODRM(2, ESP, 4) && last - code == 7 &&
		       *(const u32 *)(code + 3) == words * 4;
	}
	return code == last;
}

static bool arguments_make_sense(const struct vmi_site *site)
{
	const struct vmi_call_record *record = record_of(site->call);
	u32 i;

	if ((site->flags & ~VMI_SITE_FLAGS) || site->reserved || (site->live & ~VMI_LIVE_REGISTERS))
		return false;
	for (i = ARGUMENT_A; i <= ARGUMENT_S2; i++) {
		u32 from = site->argument[i];

		if (from == VMI_FROM_THERE)
			continue;
		if (!is_register(from) && from - VMI_FROM_CONSTANT >= VMI_SITE_CONSTANTS)
			return false;
		if (i >= ARGUMENT_S1 ? i - ARGUMENT_S1 >= stack_arguments(record)
				     : !(record->in & 1u << place(i)))
			return false;
	}
	if (site->result == VMI_FROM_THERE)
		return true;
	return is_register(site->result) && (record->out & VMI_A) &&
	       !(registers(record->out) & ~(1u << EAX) & 1u << result(site));
}

/* Record n, an annotation as the site that it means. Returns VMI_PATCH_*. */
static u32 site_read(const struct vmi_patch *patch, u32 n, struct vmi_site *site)
{
	const struct vmi_annotation *from = annotation(patch, n);
	u32 row;

	if (patch->kind == VMI_PATCH_SITES) {
		copy(site, site_record(patch, n), sizeof(*site));
		if (site->call >= VMI_CALL_COUNT || VMI_IS_OWN_CALL(site->call))
			return VMI_PATCH_CALL;
		return arguments_make_sense(site) ? VMI_PATCH_DONE : VMI_PATCH_ARGUMENT;
	}
	zero(site, sizeof(*site));
	site->live = VMI_LIVE_REGISTERS; /* nothing says otherwise */
	row = row_of(from->call);
	if (row == VMI_CALL_COUNT || VMI_IS_OWN_CALL(row))
		return VMI_PATCH_CALL;
	site->address = from->native;
	site->size = from->native_size;
	site->call = (u8)row;
	site->flags = VMI_SITE_NATIVE | VMI_SITE_LIVE;
	return translation_read(site, from, stack_arguments(record_of(row))) ? VMI_PATCH_DONE
									     : VMI_PATCH_ARGUMENT;
}

static bool is_inside(u32 address, u32 size, u32 of, u32 of_size)
{
	return address - of <= of_size && size <= of_size - (address - of);
}

/* Each begins behind the one before it, as a linker leaves them: then none overlap. */
static bool ascending(const struct vmi_patch *patch)
{
	u32 end = 0, n;

	for (n = 0; n < patch->count; n++) {
		u32 address = site_address(patch, n);

		if (address < end)
			return false;
		end = address + site_size(patch, n);
		if (end < address)
			return false;
	}
	return true;
}

static bool overlaps(const struct vmi_patch *patch, u32 n)
{
	u32 address = site_address(patch, n), size = site_size(patch, n), i;

	for (i = 0; i < patch->count; i++) {
		u32 other = site_address(patch, i), other_size = site_size(patch, i);

		if (i != n && other_size &&
		    (other - address < size || address - other < other_size))
			return true;
	}
	return false;
}

/* Returns VMI_PATCH_*. */
static u32 check(const struct vmi_patch *patch, u32 n, bool apart, const u8 *kept,
		 struct code *code)
{
	struct vmi_site site;
	u32 refused = site_read(patch, n, &site);

	if (refused)
		return refused;
	make(code, &site, VMI_PATCH_CALLS, false);
	if (code->size > site.size)
		return VMI_PATCH_SHORT;
	if (!is_inside(site.address, site.size, patch->text, patch->text_size))
		return VMI_PATCH_TEXT;
	if (!apart && overlaps(patch, n))
		return VMI_PATCH_OVERLAP;
	if (!patch->sync)
		return VMI_PATCH_DONE;
	make(code, &site, patch->form, true);
	if (!(site.flags & VMI_SITE_LIVE) || (*kept & VMI_KEPT_RETURNS) || code->behind)
		return VMI_PATCH_LIVE;
	return VMI_PATCH_DONE;
}

/* ------------------------------------------------------------------------
 * Memory
 */

typedef VMI_REGPARM void sync_fn(u32 address, u32 size, u32 argument);

static void write(volatile u8 *to, const u8 *from, u32 size)
{
	for (; size--; to++, from++)
		if (*to != *from)
			*to = *from;
}

/* Another CPU sees the old code, INT3, or the new code. */
static void write_site(const struct vmi_patch *patch, const struct vmi_site *site, const u8 *from)
{
	volatile u8 *to = at(site->address + patch->alias);
	sync_fn *sync = (sync_fn *)at(patch->sync);

	if (same((const void *)to, from, site->size))
		return;
	if (!patch->sync) {
		write(to, from, site->size);
		return;
	}
	*to = INT3;
	sync(site->address, site->size, patch->argument);
	write(to + 1, from + 1, site->size - 1u);
	sync(site->address, site->size, patch->argument);
	*to = *from;
	sync(site->address, site->size, patch->argument);
}

/* kept: the form that the site has, and its original bytes. */
static void bring(struct vmi_patch *patch, u32 n, u8 *kept, struct code *code)
{
	struct vmi_site site;

	site_read(patch, n, &site);
	make(code, &site, patch->form, patch->sync);
	patch->forms[code->form]++;
	if (*kept == VMI_FORM_ORIGINAL) {
		if (code->form == VMI_FORM_ORIGINAL)
			return;
		copy(kept + 1, at(site.address + patch->alias), site.size);
	}
	write_site(patch, &site, code->form == VMI_FORM_ORIGINAL ? kept + 1 : code->byte);
	*kept = code->form | (code->behind ? VMI_KEPT_RETURNS : 0);
}

u32 rom_patch_sites(struct vmi_patch *patch);
u32 rom_patch_sites(struct vmi_patch *patch)
{
	u8 *first = at(patch->kept), *kept;
	struct code code;
	bool apart;
	u32 end, n;

	patch->refused = 0;
	if (patch->kind > VMI_PATCH_ANNOTATIONS || patch->form > VMI_PATCH_CALLS ||
	    patch->reserved || patch->first > patch->count ||
	    patch->number > patch->count - patch->first)
		return VMI_PATCH_REQUEST;
	end = patch->first + patch->number;
	apart = ascending(patch);
	for (n = 0; n < patch->first; n++)
		first += 1 + site_size(patch, n);
	for (kept = first; n < end; kept += 1 + site_size(patch, n), n++) {
		u32 refused = check(patch, n, apart, kept, &code);

		if (refused) {
			patch->refused = n;
			return refused;
		}
	}
	zero(patch->forms, sizeof(patch->forms));
	for (kept = first, n = patch->first; n < end; kept += 1 + site_size(patch, n), n++)
		bring(patch, n, kept, &code);
	cpuid(0); /* code has changed */
	return VMI_PATCH_DONE;
}
