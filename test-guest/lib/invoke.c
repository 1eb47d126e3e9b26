/* SPDX-License-Identifier: GPL-2.0-only */
#include "guest.h"

_Static_assert(offsetof(struct invoke, word) == 8 && INVOKE_WORDS == 10, "enter.S");
_Static_assert(offsetof(struct invoke, in) == 48, "enter.S");
_Static_assert(offsetof(struct cpu_state, eflags) == 32 && offsetof(struct cpu_state, gs) == 48,
	       "enter.S");

void invoke_enter(struct invoke *invoke);
void invoke_leave(void) __attribute__((noreturn));
extern struct cpu_state invoke_out;
extern u32 invoke_words;

static struct invoke *current;
static bool caught[256];
static step_hook *stepper;

static bool end_by_trap(struct trap *trap)
{
	if (!current || !caught[trap->vector])
		return false;
	current->trapped = true;
	current->trap = *trap;
	invoke_leave();
}

u32 invoke_steps, invoke_traps;

static bool step(struct trap *trap)
{
	static const u8 vmmcall[] = { 0x0f, 0x01, 0xd9 };

	if (current && (trap->eflags & EFLAGS_TF)) {
		invoke_steps++;
		invoke_traps += (u32)same(at(trap->eip), vmmcall, sizeof(vmmcall));
	}
	/* The POPF that ends stepping is stepped too, its frame has TF clear. */
	if (current && stepper && (trap->eflags & EFLAGS_TF))
		stepper(trap);
	return current;
}

void invoke(struct invoke *invoke)
{
	trap_handler before = on_trap(1, step);

	invoke->trapped = false;
	invoke_steps = invoke_traps = 0;
	current = invoke;
	invoke_enter(invoke);
	current = NULL;
	on_trap(1, before);
	invoke->out = invoke_out;
	if (virtual_flags) /* as many instructions either way */
		invoke->out.eflags &= ~EFLAGS_IF | virtual_flags->interrupts;
	virtual_on();
	invoke->out.esp -= invoke_words;
}

void invoke_catch(u32 vector)
{
	caught[vector] = true;
	on_trap(vector, end_by_trap);
}

void invoke_catch_none(void)
{
	u32 vector;

	for (vector = 0; vector < 256; vector++)
		if (caught[vector]) {
			caught[vector] = false;
			on_trap(vector, NULL);
		}
}

void on_step(step_hook *hook)
{
	stepper = hook;
}
