/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A small kernel on an operations table (ops.h): processes, pages, pipes, signals, CPUs.
 *
 *	ops.h native.c vmi.c	the table, and who fills it
 *	pv.c smp.c time.c	start, processors, alarms
 *	entry.S system.c	the ways in and out; system calls, faults
 *	memory.c		frames, page tables, copy on write
 *	process.c pipe.c signal.c
 *	user/			what runs in user mode, linked at USER_BASE
 *
 * One lock is around everything (lock()). Who waits gives it to whom it switches to.
 */
#ifndef PV_H
#define PV_H

#include "ops.h"
#include "call.h"

/* ------------------------------------------------------------------------
 * Segments, vectors, the local APIC
 */

#define SEL_TLS SEL_SPARE /* the user's GS */
#define TSS_ESP0 1	  /* word */

#define VECTOR_DEBUG 1
#define VECTOR_PAGE_FAULT 14
#define VECTOR_TIMER VECTOR_IRQ /* IRQ 0: the first CPU's alarm */
#define VECTOR_LVTT 0x41	/* the others' */
#define VECTOR_KICK 0x42	/* from another CPU: look for work, see to your page tables */
#define VECTOR_SPURIOUS 0xff

#define APIC 0xfee00000
#define APIC_EOI 0xb0
#define APIC_SVR 0xf0
#define APIC_SVR_ENABLE 0x100
#define APIC_ICR 0x300
#define APIC_ICR_PENDING 0x1000
#define APIC_ICR_HIGH 0x310
#define APIC_LVTT 0x320
#define APIC_LVTT_PERIODIC 0x20000
#define APIC_INITIAL 0x380
#define APIC_CURRENT 0x390
#define APIC_DIVIDE 0x3e0

/* ------------------------------------------------------------------------
 * Frames and page tables (memory.c). Addresses of frames are physical.
 */

#define PAGE_SIZE 4096u
#define USER_BASE 0x08000000u  /* the program, and memory behind it */
#define USER_STACK 0x08200000u /* below it */
#define USER_MAP 0x08400000u   /* SYS_map */
#define USER_END 0x0c400000u

struct space {
	u32 root;      /* for CR3 */
	u32 directory; /* of the first GiB: the same without PAE */
};

extern u32 kernel_root;

void memory_start(void);
u32 frames_free(void);
bool space_make(struct space *space);
bool space_fork(struct space *to, const struct space *from);
void space_free(struct space *space); /* of no CPU's */
/* A page fault of the current process, or what would be one; false: it may not. */
bool memory_fault(u32 linear, bool write);
/* A range of user memory that a system call is going to use; false: bad. */
bool memory_check(u32 linear, u32 size, bool write);
/* Pages of zeroes from USER_MAP on, and none. */
bool memory_map(u32 pages);
void memory_unmap(void);

/* ------------------------------------------------------------------------
 * Processes (process.c)
 */

/* What entry.S pushes. */
struct frame {
	u32 ebx, ecx, edx, esi, edi, ebp, eax;
	u32 vector, error;
	u32 eip, cs, eflags, esp, ss;
};

struct queue {
	struct process *first, *last;
};

struct file {
	struct pipe *pipe; /* NULL: closed */
	bool writes;
};

#define PROCESSES 96
#define FILES 8
#define KERNEL_STACK PAGE_SIZE

enum state { FREE, READY, RUNNING, WAITING, ZOMBIE };

/* At the bottom of its kernel stack. */
struct process {
	u32 context; /* ESP, of who does not run */
	enum state state;
	u32 pid, status;
	struct process *parent;
	struct process *next; /* in queue */
	struct queue *queue;
	struct queue children; /* where it waits for one to exit */
	struct cpu *cpu;
	struct space space;
	const struct program *program;
	u64 alarm; /* cycles: when SYS_sleep ends */
	u32 tls;
	struct file file[FILES];
	u32 signals; /* bits: pending */
	u32 handler[SIGNALS], restorer;
};

/* Programs, as user/ is linked: memory from USER_BASE on. */
struct program {
	const char *name;
	const u8 *start, *end;
};
extern const struct program programs[], programs_end[];

static inline struct process *current(void)
{
	u32 esp;

	__asm__("mov %%esp, %0" : "=r"(esp));
	return at(esp & ~(KERNEL_STACK - 1));
}

static inline struct frame *user_frame(struct process *p)
{
	return (struct frame *)((u32)p + KERNEL_STACK) - 1;
}

extern struct process *init;

struct process *process_idle(void); /* for a new CPU */
void process_init(u32 argument);    /* the first one; with the lock */
u32 process_fork(void);
bool process_exec(const char *name, u32 argument);
void process_exit(u32 status) __attribute__((noreturn));
u32 process_wait(u32 *status); /* a child's pid, or an error */
struct process *process_find(u32 pid);
void process_load(struct process *p); /* all of it that is not in its frame or its memory */

/* With the lock. */
void ready(struct process *p);
void wait_on(struct queue *queue); /* until wake(), or a signal */
void wake(struct queue *queue);
void schedule(void); /* somebody else's turn */
void leave(void);    /* to user mode: signals, others' turn; returns with interrupts off */
void idle(void) __attribute__((noreturn));

/* ------------------------------------------------------------------------
 * Processors (smp.c)
 */

#define CPUS 4
#define ENTRY_STACK 64

struct cpu {
	u32 entry_stack[ENTRY_STACK]; /* of a trap at entry_sysenter */
	u32 kernel_stack;	      /* SYSENTER_ESP points here */
	u32 number, apic_id;
	struct process *idle;
	u32 loaded;	     /* CR3, maybe of a process that runs elsewhere or nowhere by now */
	bool halted, turn;   /* somebody else's */
	volatile u32 drop;   /* another CPU waits until this is not loaded any more, */
	volatile u32 synced; /* until this is the number of changes of sites */
	u32 ticks, turns;    /* so far: alarms; processes that it switched to */
	u64 gdt[SEL_TLS / 8 + 1];
	u32 tss[26];
};

extern struct cpu cpus[CPUS];
extern u32 cpu_count;

u32 lock(void); /* with interrupts off; their flag before */
void unlock(u32 flags);
void cpus_start(u32 count); /* the others: they are idle then */
void cpus_report(void);
void cpus_run(u32 argument) __attribute__((noreturn)); /* the first process's */
void cpu_load(u32 root);			       /* CR3 */
void cpus_drop(u32 root);			       /* no other CPU has it loaded */
void kick(struct cpu *cpu);
void kicked(u32 eip); /* what was interrupted */
PV void sync_others(u32 address, u32 size, u32 argument);

/* ------------------------------------------------------------------------
 * Time (time.c), entries (entry.S, system.c), files (pipe.c), signals (signal.c)
 */

#define TICKS 100 /* a second */

void time_start(void);
void time_start_cpu(void);
void time_stop_cpu(void);
void tick(u32 vector);
void time_wake(void); /* who has slept enough; with the lock */
void sleep_until(u64 cycles);
u64 milliseconds(u32 n); /* in cycles */

void entries_start(void);
PV void switch_to(u32 *context, u32 next);
extern const char entry_gates[], entry_sysenter[], entry_fork[];

struct pipe;
bool pipe_make(u32 file[2]);
void file_share(struct file *file); /* one more has it */
void file_close(struct file *file);
u32 file_read(struct file *file, u8 *to, u32 size);
u32 file_write(struct file *file, const u8 *from, u32 size);

void signal_send(struct process *p, u32 signal);
void signal_deliver(void); /* with the lock, to the current process */
bool signal_return(void);

#endif /* PV_H */
