/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The conformance guest: every row of the table has a function test_NAME here,
 * or the guest does not link. It is run for the stub that the ELF file names
 * and for what the call's number leads to, each time with several poisoned
 * register sets and flag patterns.
 */
#ifndef CALLS_H
#define CALLS_H

#include "guest.h"

struct call {
	const char *name;
	u32 in, out, clobber; /* VMI_A ... VMI_MEM */
	u32 convention, segments;
	void (*test)(void);
};

/* What the test functions work with: one call under test, one pattern. */
extern struct rom rom;
extern const struct call *call; /* the row */
extern u32 target;		/* where its code is */
extern u32 pattern;		/* of flags, before the call */
extern struct invoke v;		/* poisoned: set the arguments in v.in, v.word[] */

/*
 * Go, and check the contract: every register and segment that is not an output
 * is what it was, flags outside OSZAPC too, ESP, the stack words. Returns EAX.
 */
u32 go(void);
/* The same where the call changes these flags on purpose, to these values. */
u32 go_flags(u32 mask, u32 value);
/* For calls that end elsewhere; no contract. */
void go_raw(void);
/* Poison again: for a second invocation within one test. */
void poison(void);

/* A VMM has the call: what the processor runs in the stub is not the whole of it. */
bool trapped(void);

static inline bool stepping(void)
{
	return pattern & EFLAGS_TF;
}

/* Arguments in C's order. */
static inline u32 go1(u32 a)
{
	v.in.eax = a;
	return go();
}

static inline u32 go2(u32 a, u32 d)
{
	v.in.eax = a;
	v.in.edx = d;
	return go();
}

static inline u32 go3(u32 a, u32 d, u32 c)
{
	v.in.eax = a;
	v.in.edx = d;
	v.in.ecx = c;
	return go();
}

static inline u64 out64(void)
{
	return (u64)v.out.edx << 32 | v.out.eax;
}

/* Memory that a call may write: checks that nothing but what is expected changed. */
#define ARENA_WORDS 32
extern u32 arena[ARENA_WORDS];
void arena_fill(void);
/* Every word but those from first to first + n - 1 is as arena_fill() left it. */
void arena_untouched_but(u32 first, u32 n);

/*
 * Every address at which the stepped call ran an instruction with these first
 * bytes; 0 without TF in the pattern.
 */
u32 steps_of(const u8 *bytes, u32 n);
#define STEPS_MAX 4096
void steps_record(void);

#define VMI_X(name, n3, n13, n6, type, args, in, out, clobber, conv, seg, defer, text)             \
	void test_##name(void);
VMI_CALLS(VMI_X)
#undef VMI_X

#endif /* CALLS_H */
