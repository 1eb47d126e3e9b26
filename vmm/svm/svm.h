/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A hypervisor on AMD-V with nested paging that gives one guest the whole
 * machine but itself. It is a multiboot image; its first module is the guest.
 *
 * Where things are: the image moves itself to the top of memory below 4 GiB
 * (move.c). The host's page tables map 4 GiB to the same addresses, and every
 * guest-physical address outside the hypervisor is the same host-physical
 * address. Guest state that is not in the VMCB (FS, GS, LDTR, TR, the SYSENTER
 * MSRs, DR0 to DR3, the FPU) stays in the processor: the host uses none of it.
 */
#ifndef SVM_H
#define SVM_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "../core/vmm.h"
#include "vmcb.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

struct cpuid {
	u32 eax, ebx, ecx, edx;
};

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MAX_CPUS 4
#define PAGE_SIZE 4096u
#define PAGE_ALIGNED __attribute__((aligned(4096)))
#define NORETURN __attribute__((noreturn))

#define CR0_PE 0x1u
#define CR0_TS 0x8u
#define CR0_ET 0x10u
#define CR0_WP 0x10000u
#define CR0_NW 0x20000000u
#define CR0_CD 0x40000000u
#define CR0_PG 0x80000000u
#define CR4_PSE 0x10u
#define CR4_PAE 0x20u
#define CR4_OSXSAVE 0x40000u
#define CR4_PKE 0x400000u
#define EFLAGS_1 0x2u
#define EFLAGS_TF 0x100u
#define EFLAGS_IF 0x200u
#define EFLAGS_RF 0x10000u
#define EFLAGS_CF 0x1u
#define EFER_SVME 0x1000u
#define MSR_EFER 0xc0000080

#define PTE_P 0x1u
#define PTE_W 0x2u
#define PTE_U 0x4u
#define PTE_A 0x20u
#define PTE_D 0x40u
#define PTE_LARGE 0x80u
#define PTE_HIGH_ADDRESS 0x000fffffu /* of a PAE entry's high word */

#define DR6_STEP 0x4000u

#define EXCEPTION_DB 1
#define EXCEPTION_NMI 2
#define EXCEPTION_BP 3
#define EXCEPTION_OF 4
#define EXCEPTION_UD 6
#define EXCEPTION_DF 8
#define EXCEPTION_NP 11
#define EXCEPTION_GP 13
#define EXCEPTION_PF 14
#define EXCEPTION_MC 18
#define EXCEPTION_ERRORS (1u << 8 | 0x1fu << 10 | 1u << 17) /* those with an error code */

/* In PUSHA's order. Register n of an instruction is word 7 - n. */
struct regs {
	u32 edi, esi, ebp, esp, ebx, edx, ecx, eax;
};

/* Exits are counted by kind. */
#define EXIT_KINDS(X)                                                                              \
	X(vmmcall)                                                                                 \
	X(port)                                                                                    \
	X(interrupt)                                                                               \
	X(window) X(exception) X(software) X(nmi) X(apic) X(control) X(cpuid) X(msr) X(io) X(other)
#define EXIT_ENUM(name) EXIT_KIND_##name,
#define EXIT_NAME(name) #name,
enum exit_kind { EXIT_KINDS(EXIT_ENUM) EXIT_KIND_COUNT };

/*
 * One CPU: its stack and, above it, the guest's registers, so that entry.asm
 * needs no pointer to anything. Aligned to its size.
 */
#define VCPU_SIZE 8192
#define VCPU_STACK 7168
struct vcpu {
	u8 stack[VCPU_STACK];
	struct regs regs; /* EAX and ESP are the guest's during svm_exit() only */
	struct vmcb *vmcb;
	u32 number, apic_id;

	/* What the guest wrote to control registers, while it does not page (control.c). */
	bool unpaged;
	u32 cr3, cr4;

	/* Other CPUs write these, then send an NMI (smp.c). */
	volatile u32 init, startup, waiting, wake, kicked; /* startup: 0x100 + vector */

	volatile bool open;	   /* the host lets an interrupt in just now (irq.c) */
	volatile u32 interrupt;	   /* the one that came, or 0 */
	u32 taken;		   /* acknowledged, not yet the guest's, or 0 */
	bool held;		   /* interrupts wait until the guest can have them */
	bool halted;		   /* no further without one */
	volatile bool nmi_pending; /* taken, not yet the guest's */
	bool nmi_blocked;	   /* the guest handles one */
	u32 software_length;	   /* of the instruction that is the event being delivered, or 0 */

	struct vmm_vcpu *core;
	u32 shared_at;	   /* where its shared area is mapped; 0: nowhere */
	u64 deadline;	   /* ns: the core's timer (time.c) */
	u32 lvtt;	   /* the guest's LVTT while the timer has it */
	bool timer_runs;   /* LVTT is the hypervisor's */
	bool earlier_shot; /* may have requested the interrupt that waited at timer_load() */
	bool own_vector;   /* LVTT has VECTOR_OWN, or had it and an interrupt waits (time.c) */

	u32 nested_tables; /* in use, of the pool */
	u32 exits[EXIT_KIND_COUNT];
} __attribute__((aligned(VCPU_SIZE)));
_Static_assert(sizeof(struct vcpu) == VCPU_SIZE, "one vCPU is one aligned block");

extern struct vcpu vcpus[MAX_CPUS];
extern u32 cpus;

/* ------------------------------------------------------------------------
 * What the boot loader left (move.c), and options
 */

#define TRAP_TIME 1u
#define TRAP_MMU 2u
#define TRAP_CPU 4u
#define TRAP_IRQ 8u

#define MAX_MODULES 4
#define MAX_RANGES 32
#define TEXT_SIZE 1024
#define RANGE_RAM 1

struct boot {
	char text[TEXT_SIZE];
	u32 modules;
	struct module {
		u32 loaded, start, size; /* where the loader had it, and where it is */
		char text[TEXT_SIZE];
	} module[MAX_MODULES];
	u32 ranges;
	struct range {
		u64 base, size;
		u32 type;    /* RANGE_RAM, or not */
	} range[MAX_RANGES]; /* E820, without the hypervisor */
	u32 top;	     /* the guest's memory ends here, the hypervisor begins */
	u32 end;	     /* and ends */
	u32 trap;
	bool stats;
};
extern struct boot boot;

/* The value of "name=" in a command line, or NULL; "" for a bare name. */
const char *option(const char *text, const char *name);

/* ------------------------------------------------------------------------
 * Stopping and output (print.c)
 */

void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* One line that says why and where, and the machine ends. */
void stop(struct vcpu *cpu, const char *format, ...) __attribute__((format(printf, 2, 3))) NORETURN;
void fail(const char *format, ...) __attribute__((format(printf, 1, 2))) NORETURN;
/* The guest ends by itself: the counters, where they are wanted. */
void guest_ends(void);

void *memset(void *p, int value, size_t n);
void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);

/* ------------------------------------------------------------------------
 * Guest memory
 */

/* guest.c: load the guest and set up CPU 0 for it. */
void guest_load(struct vcpu *cpu);
void enter_flat(struct vcpu *cpu, u32 eip); /* 32-bit code, interrupts off, no paging */

/* rom.c: VMI images; rom_next() is false where the guest is next. */
void rom_start(void);
bool rom_next(struct vcpu *cpu);
bool rom_posting(const struct vcpu *cpu);
/* Where the guest-physical page is: in an image, or where it says. The images are read-only. */
void *rom_memory(u32 physical);
bool rom_holds(u32 physical);

/* nested.c */
#define NESTED_RIGHTS (PTE_P | PTE_W | PTE_U | PTE_A | PTE_D)
void nested_start(struct vcpu *cpu);
/* Map one page; flags PTE_*; 0: not present. Takes effect at the next entry. */
void nested_map(struct vcpu *cpu, u32 guest, u32 host, u32 flags);

/* Memory that is the guest's, or NULL; within one page. (walk.c) */
void *guest_memory(const struct vcpu *cpu, u32 physical);
/* By the guest's page tables, as CPL 0 may access it. */
void *guest_linear(const struct vcpu *cpu, u32 linear, bool write);
/* As much as is mapped; the number of bytes. */
u32 guest_read(const struct vcpu *cpu, u32 linear, void *to, u32 bytes);
u32 guest_write(const struct vcpu *cpu, u32 linear, const void *from, u32 bytes);

/* ------------------------------------------------------------------------
 * Instructions that exit
 */

/* An instruction at EIP, as far as this hypervisor has to understand it. (insn.c) */
struct insn {
	u32 prefixes; /* bytes */
	u32 length;   /* with them */
	u16 opcode;   /* 0x0fxx: two bytes */
	u8 modrm;
	u32 linear;    /* of the operand in memory, where addresses have 32 bits; otherwise 0 */
	bool word;     /* operand size 16 */
	u32 immediate; /* where the opcode has one */
};
/* false: not fetched, or not one that is known. */
bool insn_decode(struct vcpu *cpu, struct insn *insn);
static inline u32 *insn_register(struct vcpu *cpu, u32 number)
{
	return (u32 *)&cpu->regs + (7 - (number & 7));
}

/* The instruction is done: prefixes, then so many bytes. */
void skip(struct vcpu *cpu, u32 length);
void skip_to(struct vcpu *cpu, u32 eip);

/* event.c */
void inject(struct vcpu *cpu, u32 vector);
void inject_error(struct vcpu *cpu, u32 vector, u32 error);
void inject_interrupt(struct vcpu *cpu, u32 vector);
void inject_nmi(struct vcpu *cpu);
void event_undo(struct vcpu *cpu); /* the exit interrupted its delivery */
void event_again(struct vcpu *cpu);
void exception_exit(struct vcpu *cpu, u32 vector);
void software_exit(struct vcpu *cpu);

void control_reset(struct vcpu *cpu); /* no paging */
void control_exit(struct vcpu *cpu);
void control_intercepts(struct vcpu *cpu);
void control_start(void);
u32 control_read(const struct vcpu *cpu, u32 number);
/* false: the processor would refuse it. */
bool control_write(struct vcpu *cpu, u32 number, u32 value);

void cpuid_start(void);
struct cpuid guest_cpuid(const struct vcpu *cpu, u32 leaf, u32 subleaf);
void cpuid_exit(struct vcpu *cpu);
void msr_start(u8 *bitmap);
void msr_exit(struct vcpu *cpu);
bool apic_enabled(void);
void io_start(u8 *bitmap);
enum exit_kind io_exit(struct vcpu *cpu);

/*
 * start.c: the state at a vCPU's next STARTUP, or NULL; and that it starts so; false: as the
 * processor does.
 */
void ap_state_set(u32 apic_id, const struct vmi_ap_state *state);
bool ap_state_enter(struct vcpu *cpu);

/* segment.c: the operations of the core with these names */
bool segments_reload(struct vcpu *cpu);
bool segment_set_ldt(struct vcpu *cpu, u32 selector, u64 descriptor);
bool segment_set_tr(struct vcpu *cpu, u32 selector, u64 descriptor);
bool segment_load_ldt(struct vcpu *cpu, u32 selector);
void segment_exit(struct vcpu *cpu); /* LLDT, LTR */

/* ------------------------------------------------------------------------
 * The interface to the ROM: vmm/core is what the calls mean
 */

#define HYPERCALL_PORT 0xe4

extern struct vmm vmm; /* (hypercall.c) */
void hypercall_start(void);
/* EIP is behind a transport of so many bytes. */
void hypercall(struct vcpu *cpu, u32 length);
bool attach(struct vcpu *cpu, u32 physical); /* 0: detach */
/* What the guest's ATTACH means for this CPU: intercepts, the shared area. */
void attach_update(struct vcpu *cpu);
/* A page fault: true where queued calls were the reason, maybe. */
bool queue_fault(struct vcpu *cpu);

extern const struct vmm_ops vmm_ops; /* (ops.c) */

/* time.c */
void time_start(void);
void time_cpu_start(struct vcpu *cpu);
u64 time_clock(enum vmm_clock which);
void timer_set(struct vcpu *cpu, u64 deadline);
/* An interrupt was acknowledged: false where it is the timer's, and not the guest's. */
bool timer_took(struct vcpu *cpu, u32 vector);
/* The hypervisor's own interrupt is what waits at the processor. */
bool timer_waits(const struct vcpu *cpu);
void lvtt_write(struct vcpu *cpu, u32 value);

/* ------------------------------------------------------------------------
 * Interrupts and processors
 */

void irq_start(void);
void irq_cpu_start(void);
void irq_take(struct vcpu *cpu);
void irq_halt(struct vcpu *cpu); /* until there is an interrupt, or something else to do */
void hlt_exit(struct vcpu *cpu);
void nmi_take(struct vcpu *cpu);
void nmi_deliver(struct vcpu *cpu);
void iret_exit(struct vcpu *cpu);

#define APIC_BASE 0xfee00000u
#define APIC_ID 0x20
#define APIC_LVTT 0x320
/* acpi.c: a table's address, or 0; a word of it */
u32 acpi_table(const char *signature);
u32 acpi_word(u32 table, u32 offset);
#define ACPI_LENGTH 4

void smp_start(void);		     /* all processors are in the hypervisor */
void smp_requests(struct vcpu *cpu); /* where cpu->wake is set */
void apic_exit(struct vcpu *cpu, u32 offset);
u32 apic_read(struct vcpu *cpu, u32 offset);
void apic_write(struct vcpu *cpu, u32 offset, u32 value);
void kick(struct vcpu *to); /* an exit, soon */
void smp_stop(void);

void cpu_start(struct vcpu *cpu); /* SVM on, VMCB, nested tables */
void cpu_reset(struct vcpu *cpu); /* as after INIT */

/* ------------------------------------------------------------------------
 * Assembly
 */

#define IMAGE_LINKED 0x100000u /* svm.ld */
extern u8 image_start[], image_end[];
extern const u8 ap_code[], ap_code_end[];
extern const u8 interrupt_entries[256][16];
extern const u8 wait_test[], wait_halt[];
extern u64 host_gdt[3];

/* What VMRUN takes from the VMCB, and the VMCB for svm_run(). */
static inline void registers_to_vmcb(struct vcpu *cpu)
{
	cpu->vmcb->eax = cpu->regs.eax;
	cpu->vmcb->esp = cpu->regs.esp;
	cpu->regs.eax = (u32)cpu->vmcb;
}

/* Runs the guest: VMRUN, svm_exit(), and again. */
void svm_run(struct vcpu *cpu) NORETURN;
void svm_exit(struct regs *regs);
/* Until *flag is set; an NMI wakes, and an interrupt if IF is set. GIF is set meanwhile. */
void cpu_wait(volatile u32 *flag);
void cpu_open(void);
void load_tables(const void *gdtr, const void *idtr);
void paging_on(void *pdpt);

static inline struct vcpu *this_cpu(void)
{
	return (struct vcpu *)((u32)__builtin_frame_address(0) & -VCPU_SIZE);
}

/* Memory at an address that the compiler shall not reason about. */
static inline void *at(u32 address)
{
	__asm__("" : "+r"(address));
	return (void *)address;
}

static inline void outb(u16 port, u8 value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline u8 inb(u16 port)
{
	u8 value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline u64 rdmsr(u32 msr)
{
	u64 value;

	__asm__ volatile("rdmsr" : "=A"(value) : "c"(msr));
	return value;
}

static inline void wrmsr(u32 msr, u64 value)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "A"(value));
}

static inline struct cpuid cpuid(u32 leaf, u32 subleaf)
{
	struct cpuid r;

	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "0"(leaf), "2"(subleaf));
	return r;
}

static inline void clgi(void)
{
	__asm__ volatile("clgi" : : : "memory");
}

static inline void stgi(void)
{
	__asm__ volatile("stgi" : : : "memory");
}

static inline volatile u32 *apic(u32 offset)
{
	return (volatile u32 *)(APIC_BASE + offset);
}

#endif /* SVM_H */
