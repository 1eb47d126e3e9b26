/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Call sites of a Linux 3.0 guest. It marks each of them for its own patcher
 * (struct paravirt_patch_site, 2.6.21 to 2.6.36), which leaves an indirect call
 * wherever the ROM answers NONE, even where the operation is one instruction or
 * none. Here such a site gets the body of the function that it calls.
 *
 * When: once after Init, as the guest asks for IRET or SYSEXIT, which only its
 * patcher does: no CPU but this one runs, with paging and with interrupts off. A site is
 * left alone unless it is exactly an indirect call (between pushes and their
 * pops) to a function whose whole code is known; what the site does is then the
 * same. Faults are caught: unmapped or read-only memory ends it.
 */
#include "rom.h"

struct site {
	u32 code;
	u8 type;
	u8 size;
	u16 clobbers;
};

#define SITES_LEAST 64 /* fewer are not believed */
#define SITE_SIZE_LEAST 5
#define SITE_SIZE_MOST 16
#define SITE_PUSHES_MOST ((SITE_SIZE_MOST - 6) / 2)
#define SITE_CLOBBERS 0x1ff
#define REACH 0x1000000 /* the whole of a kernel, code and tables */

#define OPCODE_PUSH 0x50
#define OPCODE_POP 0x58
#define ECX 1
#define EDX 2
#define PREFIX_CS 0x2e
#define OPCODE_RET 0xc3

#define RDTSC_2 0x31 /* the second byte of RDTSC: it changes EDX */

static u32 pushes(const u8 *code)
{
	u32 n = 0;

	while (n < SITE_PUSHES_MOST && (code[n] & 0xf8) == OPCODE_PUSH)
		n++;
	return n;
}

/* Looks only at the record: memory that it names may not be there. */
static bool is_site(const struct site *site, u32 from)
{
	return site->code - from + REACH < 2 * REACH && site->size >= SITE_SIZE_LEAST &&
	       site->size <= SITE_SIZE_MOST && site->clobbers <= SITE_CLOBBERS;
}

/* The call or jump of a site, or NULL. */
static const u8 *indirect_of(const struct site *site)
{
	const u8 *code = at(site->code);

	code += pushes(code);
	if (*code == PREFIX_CS)
		code++;
	return code[0] == 0xff && (code[1] == 0x15 || code[1] == 0x25) ? code : NULL;
}

/* The code, behind its length, of a function that has nothing else and RET; or NULL. */
static const u8 *body_of(const u8 *function)
{
	const u8 *body = rom_addr(site_bodies); /* rom/linux/body.asm */

	/* The end of the list is the empty one. */
	for (;; body += *body + 1) {
		if (same(function, body + 1, *body) && function[*body] == OPCODE_RET)
			return body;
		if (!*body)
			return NULL;
	}
}

static void site_inline(const struct site *site)
{
	u8 *code = at(site->code), *last = code + site->size - 1;
	u32 saved = pushes(code), n;
	const u8 *call = indirect_of(site), *body;
	bool others = false;

	if (!call || call[1] != 0x15 || call + 6 + saved != last + 1)
		return;
	for (n = 0; n < saved; n++) {
		if (last[-(int)n] != (u8)(code[n] + OPCODE_POP - OPCODE_PUSH))
			return;
		if (code[n] != OPCODE_PUSH + ECX && code[n] != OPCODE_PUSH + EDX)
			others = true;
	}
	body = body_of(**(const u8 ***)(call + 2));
	if (!body || (others && *body > 1)) /* those may change registers that are saved */
		return;
	if (saved && *body == 2 && body[2] == RDTSC_2)
		return;
	*(volatile u8 *)code = *code; /* faults before anything has changed */
	*(volatile u8 *)last = *last;
	for (n = *body; n; n--)
		*code++ = *++body;
	nops(code, (u32)(last + 1 - code));
}

/* What the functions that run with faults caught get. */
struct search {
	struct state *state;
	u32 from;
};

/* Inline what the sites call, note those that jump. */
static void sites_inline(struct state *state, const struct site *site, const struct site *end)
{
	for (; site < end; site++) {
		const u8 *code = indirect_of(site);

		if (!code)
			continue;
		if (code[1] == 0x15)
			site_inline(site);
		else if (state->jump_count <= JUMPS)
			state->jump[state->jump_count++] = site->code;
	}
}

/*
 * Find the table. Looking at two words every (SITES_LEAST - 1) records misses
 * none that has SITES_LEAST; a run of records that is no table is passed over.
 */
u32 sites_search(struct search *search);
u32 sites_search(struct search *search)
{
	u32 from = search->from & ~3u, last = from + REACH, probe, next;

	if (last < from)
		last = -4096u;
	for (probe = from; probe < last; probe = next) {
		u32 word;

		next = probe + (SITES_LEAST - 1) * sizeof(struct site);
		for (word = probe; word <= probe + 4; word += 4) {
			const struct site *site = at(word), *end = site;

			while ((u32)end < last && is_site(end, from))
				end++;
			if (site == end)
				continue;
			while ((u32)site - from >= sizeof(*site) && is_site(site - 1, from))
				site--;
			for (; end - site >= SITES_LEAST; site++) {
				if (indirect_of(site) && indirect_of(site + 1)) {
					sites_inline(search->state, site, end);
					return 0;
				}
			}
			if ((u32)end > next)
				next = (u32)end;
		}
	}
	return 0;
}

/* The code of the stub that a jump goes to, or NULL. */
static const u8 *jump_to(const u8 *code, const u8 *stub)
{
	return *code == 0xe9 && code + 5 + *(const u32 *)(code + 1) == stub ? stub : NULL;
}

/* Once the guest's patcher has made jumps to the stubs of all: 0, or nothing has changed. */
u32 jumps_inline(struct search *search);
u32 jumps_inline(struct search *search)
{
	struct state *state = search->state;
	bool write;
	u32 n;

	for (write = false;; write = true) {
		for (n = 0; n < state->jump_count; n++) {
			u8 *code = at(state->jump[n]);

			if (jump_to(code, rom_addr(VMI_IRET))) {
				*(volatile u8 *)code = write ? 0xcf : 0xe9;
			} else if (jump_to(code, rom_addr(VMI_SYSEXIT))) {
				((volatile u8 *)code)[2] = write ? 0x35 : code[2];
				*(volatile u16 *)code = write ? 0x0ffb : *(u16 *)code;
			} else {
				return 1;
			}
		}
		if (write)
			return 0;
	}
}

/* This CPU has called Init, no other has, and none was started, as the ROM would know. */
static bool alone(const struct state *state)
{
	const struct trap *trap = trap_find(rom_addr(rom_image));
	u32 id = cpuid(1).ebx >> 24, n;

	if (trap && trap->stub[VMI_ID_APICWrite].on)
		return false;
	for (n = 0; n < sizeof(state->cpus) / sizeof(*state->cpus); n++)
		if (state->cpus[n] != (n == id / 32 ? 1u << id % 32 : 0))
			return false;
	return !state->started;
}

/*
 * The guest asks for the binding of a call. True: IRET and SYSEXIT stand in its
 * code, and it is to keep that.
 */
bool sites_asked(struct state *state, u32 call, u32 from)
{
	struct search search = { state, from };
	bool jump = call == VMI_3_IRET || call == VMI_3_SYSEXIT;
	u32 flags = eflags();

	if (state->no_sites || (cs() & 3) || !(cr0() & X86_CR0_PG))
		return false;
	if (jump) {
		/* Sites that a fault hides may jump, too: then none is touched. */
		if (!state->jumps_asked && !(flags & VMI_IF) && alone(state) &&
		    faults_caught(&search, rom_addr(sites_search)))
			state->jump_count = JUMPS + 1;
		state->jumps_asked = true;
	} else if (state->jump_count && state->jump_count <= JUMPS && !state->jumps_done &&
		   call >= VMI_3_EnableInterrupts && call <= VMI_3_SetInterruptMask &&
		   alone(state)) {
		__asm__ volatile("cli");
		state->jumps_done = !faults_caught(&search, rom_addr(jumps_inline));
		if (flags & VMI_IF)
			__asm__ volatile("sti");
	}
	return jump && state->jumps_done;
}
