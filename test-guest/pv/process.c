/* SPDX-License-Identifier: GPL-2.0-only */
/* Processes: fork, exec, exit, wait, whose turn it is. */
#include "pv.h"

static union {
	struct process process;
	u8 stack[KERNEL_STACK];
} processes[PROCESSES] __attribute__((aligned(PAGE_SIZE)));

static struct queue run;
static u32 last_pid;

struct process *init;

/* ------------------------------------------------------------------------
 * Queues
 */

static void enqueue(struct queue *queue, struct process *p)
{
	p->next = NULL;
	p->queue = queue;
	if (queue->first)
		queue->last->next = p;
	else
		queue->first = p;
	queue->last = p;
}

static void dequeue(struct process *p)
{
	struct queue *queue = p->queue;
	struct process *q = queue->first;

	if (q == p) {
		queue->first = p->next;
		p->queue = NULL;
		return;
	}
	while (q->next != p)
		q = q->next;
	q->next = p->next;
	if (queue->last == p)
		queue->last = q;
	p->queue = NULL;
}

void ready(struct process *p)
{
	u32 i;

	if (p->queue)
		dequeue(p);
	p->state = READY;
	enqueue(&run, p);
	for (i = 0; i < cpu_count; i++)
		if (cpus[i].halted) {
			cpus[i].halted = false;
			if (&cpus[i] != current()->cpu)
				kick(&cpus[i]);
			return;
		}
}

void wait_on(struct queue *queue)
{
	current()->state = WAITING;
	enqueue(queue, current());
	schedule();
}

void wake(struct queue *queue)
{
	while (queue->first)
		ready(queue->first);
}

/* ------------------------------------------------------------------------
 * Turns
 */

/* What changes with the process: lazy, so that a host may do all of it in one go. */
void process_load(struct process *p)
{
	struct cpu *cpu = p->cpu;
	u32 stack = (u32)p + KERNEL_STACK;

	pv_set_lazy_mode(VMI_LAZY_CPU);
	cpu->kernel_stack = stack;
	pv_load_esp0(cpu->tss, stack);
	if (p->tls) {
		u64 segment = descriptor(p->tls, 0xfffff, 0xc0f3);

		pv_write_gdt_entry(cpu->gdt, SEL_TLS / 8, (u32)segment, (u32)(segment >> 32));
	}
	pv_set_lazy_mode(VMI_LAZY_NONE);
	if (p->tls)
		__asm__ volatile("mov %0, %%gs" : : "r"(SEL_TLS | 3));
}

void schedule(void)
{
	struct process *old = current(), *next = run.first;
	struct cpu *cpu = old->cpu;

	if (old->state == RUNNING) {
		if (!next)
			return;
		old->state = READY;
		if (old != cpu->idle)
			enqueue(&run, old);
	}
	if (next)
		dequeue(next);
	else
		next = cpu->idle;
	next->state = RUNNING;
	if (next == old)
		return;
	if (next != cpu->idle) {
		/* Another CPU that had it may have changed what this one's TLB has. */
		if (next->space.root != cpu->loaded || next->cpu != cpu)
			cpu_load(next->space.root);
		next->cpu = cpu;
		cpu->turns++;
		process_load(next);
	}
	switch_to(&old->context, next->context);
}

void leave(void)
{
	u32 flags;

	pv_irq_disable();
	while (current()->signals || current()->cpu->turn) {
		flags = lock();
		if (current()->cpu->turn) {
			current()->cpu->turn = false;
			time_wake();
			schedule();
		}
		signal_deliver();
		unlock(flags);
	}
}

void idle(void)
{
	struct cpu *cpu = current()->cpu;

	for (;;) {
		lock();
		time_wake();
		cpu->halted = false;
		schedule();
		cpu->halted = !run.first;
		unlock(0);
		if (cpu->halted)
			pv_safe_halt();
	}
}

/* ------------------------------------------------------------------------
 * Lives
 */

static struct process *process_make(void)
{
	u32 i;

	for (i = 0; i < PROCESSES; i++) {
		struct process *p = &processes[i].process;

		if (p->state != FREE)
			continue;
		memset(p, 0, sizeof(*p));
		p->pid = ++last_pid;
		return p;
	}
	return NULL;
}

struct process *process_idle(void)
{
	struct process *p = process_make();

	p->state = RUNNING;
	p->pid = 0;
	return p;
}

/* It begins at entry_fork, with the frame. */
static void process_start(struct process *p)
{
	u32 *stack = (u32 *)user_frame(p);

	*--stack = (u32)entry_fork;
	stack -= 4; /* what switch_to() takes from it */
	p->context = (u32)stack;
	ready(p);
}

/* The first thing that a new process does: whoever switched to it had the lock. */
void process_started(void);
void process_started(void)
{
	unlock(0);
	leave();
}

static void start_program(struct process *p, u32 argument)
{
	struct frame *frame = user_frame(p);

	memset(frame, 0, sizeof(*frame));
	frame->eax = argument;
	frame->eip = USER_BASE;
	frame->cs = SEL_USER_CODE;
	frame->eflags = EFLAGS_1 | EFLAGS_IF;
	frame->esp = USER_STACK;
	frame->ss = SEL_USER_DATA;
}

void process_init(u32 argument)
{
	init = process_make();
	init->program = programs;
	if (!space_make(&init->space))
		bail("no memory for init");
	start_program(init, argument);
	process_start(init);
}

u32 process_fork(void)
{
	struct process *parent = current(), *p = process_make();
	u32 i;

	if (!p || !space_fork(&p->space, &parent->space))
		return E_MEMORY;
	p->parent = parent;
	p->program = parent->program;
	p->tls = parent->tls;
	p->restorer = parent->restorer;
	memcpy(p->handler, parent->handler, sizeof(p->handler));
	memcpy(p->file, parent->file, sizeof(p->file));
	for (i = 0; i < FILES; i++)
		file_share(&p->file[i]);
	*user_frame(p) = *user_frame(parent);
	user_frame(p)->eax = 0;
	process_start(p);
	return p->pid;
}

/* The old memory goes when no CPU has it loaded. */
static void process_drop(struct process *p)
{
	cpu_load(kernel_root);
	cpus_drop(p->space.root);
	space_free(&p->space);
	p->space.root = 0;
}

bool process_exec(const char *name, u32 argument)
{
	struct process *p = current();
	const struct program *program;
	struct space space;

	for (program = programs; program < programs_end; program++)
		if (strsame(program->name, name))
			break;
	if (program == programs_end || !space_make(&space))
		return false;
	process_drop(p);
	p->space = space;
	p->program = program;
	p->tls = 0;
	memset(p->handler, 0, sizeof(p->handler));
	cpu_load(space.root);
	start_program(p, argument);
	return true;
}

void process_exit(u32 status)
{
	struct process *p = current(), *child;
	u32 i;

	if (p == init) {
		if (status)
			bail("init exits with %x", status);
		cpus_report();
		finish();
	}
	for (i = 0; i < FILES; i++)
		file_close(&p->file[i]);
	process_drop(p);
	for (i = 0; i < PROCESSES; i++) {
		child = &processes[i].process;
		if (child->parent == p)
			child->parent = init;
	}
	wake(&init->children);
	p->status = status;
	p->state = ZOMBIE;
	wake(&p->parent->children);
	schedule();
	__builtin_unreachable();
}

u32 process_wait(u32 *status)
{
	struct process *p;
	bool any;
	u32 i;

	for (;;) {
		any = false;
		for (i = 0; i < PROCESSES; i++) {
			p = &processes[i].process;
			if (p->state == FREE || p->parent != current())
				continue;
			any = true;
			if (p->state != ZOMBIE)
				continue;
			p->state = FREE;
			p->parent = NULL;
			*status = p->status;
			return p->pid;
		}
		if (!any)
			return E_NONE;
		if (current()->signals)
			return E_SIGNAL;
		wait_on(&current()->children);
	}
}

struct process *process_find(u32 pid)
{
	u32 i;

	for (i = 0; i < PROCESSES; i++) {
		struct process *p = &processes[i].process;

		if (p->pid == pid && p->state != FREE && p->state != ZOMBIE && pid)
			return p;
	}
	return NULL;
}
