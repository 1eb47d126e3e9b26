/* SPDX-License-Identifier: GPL-2.0-only */
/* Guest code runs; the signals that it raises. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "offsets.h"
#include "user.h"

#define OFFSET(member, offset)                                                                     \
	_Static_assert(__builtin_offsetof(struct regs, member) == (offset), #member)
OFFSET(eax, REGS_EAX);
OFFSET(ecx, REGS_ECX);
OFFSET(edx, REGS_EDX);
OFFSET(ebx, REGS_EBX);
OFFSET(esp, REGS_ESP);
OFFSET(ebp, REGS_EBP);
OFFSET(esi, REGS_ESI);
OFFSET(edi, REGS_EDI);
OFFSET(eip, REGS_EIP);
OFFSET(eflags, REGS_EFLAGS);
OFFSET(ds, REGS_DS);
OFFSET(es, REGS_ES);
OFFSET(fs, REGS_FS);

extern u32 run_sp;
extern char run_left[], run_end[];
void run_enter(struct regs *regs);

bool (*hook_trap)(struct regs *regs, u32 transport, u32 operand);
void (*hook_step)(struct regs *regs);
bool stepping, privileged, posting, step_host;
u32 instructions, fault_vector;

static u32 depth; /* of run() */
static bool stop;
static enum ended ended;

void run_stop(void)
{
	stop = true;
}

#define FLAG_RF 0x10000

static void load(struct regs *regs, const greg_t *g)
{
	regs->eax = (u32)g[REG_EAX];
	regs->ecx = (u32)g[REG_ECX];
	regs->edx = (u32)g[REG_EDX];
	regs->ebx = (u32)g[REG_EBX];
	regs->esp = (u32)g[REG_ESP];
	regs->ebp = (u32)g[REG_EBP];
	regs->esi = (u32)g[REG_ESI];
	regs->edi = (u32)g[REG_EDI];
	regs->eip = (u32)g[REG_EIP];
	regs->eflags = (u32)g[REG_EFL] & ~FLAG_RF;
	regs->ds = (u16)g[REG_DS];
	regs->es = (u16)g[REG_ES];
	regs->fs = (u16)g[REG_FS];
	regs->pad = 0;
}

static void store(greg_t *g, const struct regs *regs)
{
	g[REG_EAX] = (int)regs->eax;
	g[REG_ECX] = (int)regs->ecx;
	g[REG_EDX] = (int)regs->edx;
	g[REG_EBX] = (int)regs->ebx;
	g[REG_ESP] = (int)regs->esp;
	g[REG_EBP] = (int)regs->ebp;
	g[REG_ESI] = (int)regs->esi;
	g[REG_EDI] = (int)regs->edi;
	g[REG_EIP] = (int)regs->eip;
	g[REG_EFL] = (int)regs->eflags;
}

static void leave(greg_t *g, const struct regs *regs, enum ended how)
{
	struct regs *out = *(struct regs **)run_sp;

	*out = *regs;
	ended = how;
	g[REG_ESP] = (int)run_sp;
	g[REG_EIP] = (int)(u32)run_left;
	g[REG_EFL] = FLAG_IF;
}

bool is_stepped(void)
{
	return hook_step || stepping || step_host;
}

bool is_guest(u32 eip)
{
	return eip - LOW - MEMORY_LOWEST < MEMORY_SIZE - MEMORY_LOWEST || eip - HIGH < MEMORY_SIZE;
}

static bool is_harness(u32 eip)
{
	return eip - (u32)run_enter < (u32)run_end - (u32)run_enter;
}

/* Everything before the next instruction that the processor runs by itself. */
static void before_instruction(greg_t *g, struct regs *regs)
{
	for (;;) {
		const u8 *code = (const u8 *)regs->eip;

		if (stop) {
			stop = false;
			leave(g, regs, ENDED_STOP);
			return;
		}
		if (step_host && (regs->eflags & FLAG_TF) && !is_harness(regs->eip)) {
			instructions++;
			store(g, regs);
			return;
		}
		if (!(regs->eflags & FLAG_TF) || !is_guest(regs->eip)) {
			if (!is_guest(regs->eip))
				regs->eflags &= ~(u32)FLAG_TF;
			store(g, regs);
			return;
		}
		if (hook_step)
			hook_step(regs);
		if (stop)
			continue;
		instructions++;
		if (code[0] == 0x0f && code[1] == 0x01 && (code[2] == 0xc1 || code[2] == 0xd9)) {
			u32 transport = code[2] == 0xc1 ? VMI_HV_VMCALL : VMI_HV_VMMCALL;

			regs->eip += 3;
			if (hook_trap && hook_trap(regs, transport, 0))
				continue;
			regs->eip -= 3;
			leave(g, regs, ENDED_FAULT);
			return;
		}
		if (processor_step(regs))
			continue;
		store(g, regs);
		return;
	}
}

/*
 * POST looks where a process has no memory: below MEMORY_LOWEST, at the BIOS data
 * area, which it finds at HIGH, and at devices, where it finds ones. The register
 * that holds the address is another one for a step.
 */
static struct {
	u32 number; /* of the register, + 1 */
	u32 moved, value;
	bool alone; /* nothing else is stepped */
} lifted;

static bool lift(struct regs *regs, u32 address)
{
	static u8 nobody[4096 + 0x80];
	u32 i = lifted.number;

	if (i) /* another register had that value, too */
		((u32 *)regs)[i - 1] -= lifted.moved;
	else
		lifted.alone = !(regs->eflags & FLAG_TF);
	for (; i < 8; i++) {
		u32 *r = (u32 *)regs + i;

		if (i == REGS_ESP / 4 || address - *r >= 0x80)
			continue;
		memset(nobody, 0xff, sizeof(nobody));
		lifted.moved = address < MEMORY_LOWEST ? HIGH : (u32)nobody - (*r & ~0xfffu);
		lifted.number = i + 1;
		*r += lifted.moved;
		lifted.value = *r;
		regs->eflags |= FLAG_TF;
		return true;
	}
	return false;
}

/* It may be what the instruction changed. */
static void lower(struct regs *regs)
{
	u32 *r = (u32 *)regs + lifted.number - 1;

	if (!lifted.number)
		return;
	if (*r == lifted.value)
		*r -= lifted.moved;
	if (lifted.alone)
		regs->eflags &= ~(u32)FLAG_TF;
	lifted.number = 0;
}

static void on_step(int number, siginfo_t *info, void *context)
{
	greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
	struct regs regs;

	(void)number;
	(void)info;
	load(&regs, g);
	lower(&regs);
	before_instruction(g, &regs);
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
	bool page_fault = g[REG_TRAPNO] == 14, done = false;
	struct regs regs;
	const u8 *code;

	load(&regs, g);
	if (!depth || !is_guest(regs.eip))
		bail("signal %d at %#x, address %p", number, regs.eip, info->si_addr);
	code = (const u8 *)regs.eip;
	if (posting && code[0] == CPUID_PATCH && code[1] == 0xa2)
		done = processor_step(&regs);
	if (!page_fault && !done && hook_trap && (code[0] == 0xe7 || code[0] == 0xcd)) {
		regs.eip += 2;
		done = hook_trap(&regs, code[0] == 0xe7 ? VMI_HV_OUT : VMI_HV_INT, code[1]);
		if (!done)
			regs.eip -= 2;
	}
	if (!page_fault && !done && privileged)
		done = processor_privileged(&regs);
	if (page_fault && posting && lift(&regs, (u32)info->si_addr)) {
		store(g, &regs);
		return;
	}
	if (done) {
		before_instruction(g, &regs);
	} else {
		fault_vector = (u32)g[REG_TRAPNO];
		leave(g, &regs, ENDED_FAULT);
	}
}

/* Handlers run on the guest's stack, like a kernel's, and are interrupted like those. */
static void catch_signals(void)
{
	static const int faults[] = { SIGSEGV, SIGILL, SIGBUS, SIGFPE };
	struct sigaction action;
	u32 i;

	memset(&action, 0, sizeof(action));
	action.sa_flags = SA_SIGINFO | SA_NODEFER;
	action.sa_sigaction = on_fault;
	for (i = 0; i < sizeof(faults) / sizeof(*faults); i++)
		if (sigaction(faults[i], &action, NULL))
			bail("sigaction: %s", strerror(errno));
	action.sa_sigaction = on_step;
	sigaction(SIGTRAP, &action, NULL);
}

enum ended run(struct regs *regs)
{
	static bool caught;
	enum ended result;

	if (!caught)
		catch_signals();
	caught = true;
	if (is_stepped())
		regs->eflags |= FLAG_TF;
	else
		regs->eflags &= ~(u32)FLAG_TF;
	ended = ENDED_RETURN;
	depth++;
	run_enter(regs);
	depth--;
	result = ended;
	ended = ENDED_RETURN;
	regs->eflags &= ~(u32)FLAG_TF;
	return result;
}
