/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What every C file of the ROM shares: addresses in the image, the state in
 * RAM, and the instructions that C has no words for.
 *
 * C in the ROM has no static data, neither .data nor .bss nor constants: the
 * image runs wherever the guest maps it. rom_addr() and STR() are the only
 * ways to a thing in the image; ldscripts/rom.ld fails the link over any
 * other.
 */
#ifndef ROM_H
#define ROM_H

#include "vmi_abi.h"

typedef vmi_u8 u8;
typedef vmi_u16 u16;
typedef vmi_u32 u32;
typedef vmi_u64 u64;
typedef _Bool bool;

#define NULL ((void *)0)
#define true 1
#define false 0

/* The run-time linear address of a symbol of the image. */
#define rom_addr(symbol)                                                                           \
	({                                                                                         \
		void *addr_;                                                                       \
		__asm__("call 1f\n1:\tpop %0\n\tadd $" #symbol " - 1b, %0" : "=r"(addr_));         \
		addr_;                                                                             \
	})

/* The run-time linear address of one string literal (or macro of one), kept in the text. */
#define STR(literal) STR_EXPANDED(literal)
#define STR_EXPANDED(literal)                                                                      \
	({                                                                                         \
		const char *str_;                                                                  \
		__asm__("call 1f\n\t.asciz " #literal "\n1:\tpop %0" : "=r"(str_));                \
		str_;                                                                              \
	})

struct rom_image {
	struct vmi_rom_header header;
	struct vmi_about about;
};
_Static_assert(sizeof(struct rom_image) == VMI_ELF, "the ELF header follows");

/* Byte 6 of the image balances the checksum. */
#define ROM_CHECKSUM 6

#define ROM_BLOCK 512

/* ACPI's fixed registers, as the FADT and \_S5 had them at POST. Ports; 0: none. */
struct acpi {
	u16 pm1a_control;
	u16 pm1b_control;
	u16 pm_timer;
	u16 smi_command;
	u8 enable; /* value for smi_command that sets PM1_CNT.SCI_EN */
	u8 s5_typ_a;
	u8 s5_typ_b;
	u8 reset_value;
	u16 reset_port;
	u8 rtc_century;	      /* index in the CMOS; 0: none */
	u8 hpet_replaces_pit; /* at POST */
	u32 hpet;	      /* physical address of one that nobody uses; 0: none */
	u8 cpus;	      /* enabled local APICs in the MADT */
};

/* A timer's rate, and its reach in cycles. */
struct timer {
	u64 per_cycle; /* ticks, 32.32 fixed point; 0: no such timer */
	u64 most;
};

/* What counts, and who tells the time of day. A clock is a row, and a case where rom/clock.c asks. */
#define CLOCKS(X) X(tsc) X(kvmclock) X(vmport)
enum {
#define CLOCK_KIND(name) CLOCK_##name,
	CLOCKS(CLOCK_KIND)
#undef CLOCK_KIND
};

struct clock {
	u64 tsc_hz;	  /* 0: not known, nothing below is */
	u64 hz;		  /* of the real counter: cycles are its */
	u64 ns_per_cycle; /* 32.32 fixed point */
	u64 wall_ns;	  /* since 1970, when the counter read wall_at */
	u64 wall_at;
	struct timer pit;
	struct timer apic; /* with divider 1 */
	struct timer hpet;
	u8 deadline; /* the APIC's timer has the mode that compares with the TSC */
	struct timer tsc;
	u32 kvm_time, kvm_wall; /* MSRs */
	u8 kvm_steal;		/* there is that MSR */
	u8 kvm_stable;
	u8 kind;
	u8 lock; /* of the wall clock, against other CPUs */
	u8 stepped;
};

/* One alarm, in cycles of its counter. */
struct alarm {
	u64 expiry;
	u64 period; /* 0: one-shot */
	u64 fires;  /* when the timer that it was given does; ~0: it has none */
	u8 armed;
	u8 lvtt; /* wired to LVTT, otherwise to IRQ 0 */
};

/* What is known of one CPU; written with interrupts off, by that CPU. */
#define CPUS 16
#define ALARMS 2 /* counters 0 and 1 */
struct cpu {
	struct alarm alarm[ALARMS];
	/* What a timer is to do (rom/alarm.c): */
	struct state *state;
	u64 now;
	u64 distance; /* to the next interrupt, from now; 0: stop */
	union {
		struct {
			u8 periodic; /* and again after each */
			u8 due;	     /* another one now */
			u8 waits;    /* the next EOI has to program LVTT's timer */
		};
		u32 all;
	};
	u32 icr_high; /* in x2APIC mode: what the guest wrote to offset 310 */
};

#define STATE_MAGIC 0x74536d56 /* "VmSt" */

/*
 * The ROM's memory: STATE_KIB below the top of conventional memory, on a page
 * boundary, at the same distance from the image in every address space that
 * maps the first megabyte in one piece. It describes the machine, so that all
 * images share the one that the first image's POST took. With 639 KiB, which every BIOS here
 * starts from, that is 9F000: where Bochs' BIOS ends usable memory in its
 * E820 whatever 40:13 says.
 */
#define STATE_KIB 3
#define JUMPS 7
struct state {
	u32 magic;
	u32 size;	/* of this structure: other builds may lay it out otherwise */
	u32 cpus[8];	/* bit n: the CPU with APIC ID n has called Init and not Shutdown */
	u8 no_poweroff; /* option: the last Shutdown only stops the CPU */
	u8 quiet;	/* option: no banner */
	u8 window;	/* the two pages below this one are struct window and its page directory */
	u8 cpu_count;	/* of cpu[] that are in use */
	u8 no_sites;	/* option: the guest's call sites are left alone */
	u8 jumps_asked; /* for IRET or SYSEXIT, since Init */
	u8 jumps_done;	/* both stand in the guest's code */
	u8 jump_count;	/* sites that jump to them; above JUMPS: not all are known */
	u8 started;	/* a STARTUP IPI was sent through APICWrite */
	u8 hpet_has_irq0;
	u8 options;   /* there are some */
	u8 long_nops; /* the processor has NOPs of more than one byte */
	u32 jump[JUMPS + 1];
	u32 apic_base; /* what stands for IA32_APIC_BASE where POST found no such MSR; or 0 */
	u32 physical;  /* address of this structure */
	struct acpi acpi;
	struct clock clock;
	u8 cpu_of_apic_id[256]; /* index in cpu[], + 1; 0: none yet */
	struct cpu cpu[CPUS];
};
_Static_assert(sizeof(struct state) <= STATE_KIB * 1024, "state fits");

/* The state, or NULL where POST has not run (rom/state.c). */
struct state *state_find(void);
static inline __attribute__((always_inline)) bool is_state(const struct state *state)
{
	return state->magic == STATE_MAGIC && state->size == sizeof(*state);
}
u32 cpu_new(struct state *state, u8 *index);
struct cpu *cpu_self(struct state *state); /* NULL: there are more than CPUS */

/*
 * The page below the state (rom/window.c). It begins with the code that other
 * CPUs start in (rom/post/start.asm). Below it is the window's page directory.
 */
#define WINDOW_KIB 8
#define WINDOW_PAE 0x100
#define WINDOW_GDT 32 /* code, and data in the last one */
#define WINDOW_STARTS CPUS
enum { WINDOW_APIC, WINDOW_HPET, WINDOW_DEVICES };

/* SetInitialAPState, for one CPU. */
#define START_TAKEN 0x100
struct start {
	u32 apic_id; /* + 1; | START_TAKEN by that CPU, until it has left; 0: free */
	u32 jump;    /* linear address of code[] */
	u8 code[16]; /* MOV EBP; STI or NOP; far JMP */
	u32 stack[2];
	struct vmi_ap_state state;
	u32 make; /* physical address of window_make() */
};
_Static_assert(sizeof(struct start) == 0x80, "START_SIZE in rom/post/start.asm");

struct window {
	u8 code[0x300];
	u64 pdpt[4];
	u32 cr3, cr4; /* cr4: bits that the tables need */
	u8 lock;
	u8 raise;  /* a vector that came meanwhile, 0 none */
	u8 direct; /* functions run where the guest is, no tables are needed */
	u8 next;   /* of start[]: the one to be tried first */
	struct {
		u32 physical, linear;
	} device[WINDOW_DEVICES]; /* in the tables */
	u32 apic;		  /* where the one is that was asked for */
	u32 argument[3];
	struct vmi_dtr gdtr;
	u16 pad;
	struct vmi_dtr idtr;
	u16 pad2;
	u64 idt[19];
	u16 vector_ip, vector_cs; /* of a STARTUP IPI, for CPUs that have no struct start */
	u32 state;		  /* linear address; and */
	u32 mode;		  /* CS of the gates | WINDOW_PAE: the tables are for these */
	u64 gdt[WINDOW_GDT];
	struct start start[WINDOW_STARTS];
	u8 stack[0x300];
};
#define WINDOW_OFFSET(member, offset)                                                              \
	_Static_assert(__builtin_offsetof(struct window, member) == (offset), #member)
WINDOW_OFFSET(cr3, 0x320);
WINDOW_OFFSET(lock, 0x328);
WINDOW_OFFSET(raise, 0x329);
WINDOW_OFFSET(gdtr, 0x34c);
WINDOW_OFFSET(idtr, 0x354);
WINDOW_OFFSET(vector_ip, 0x3f4);
WINDOW_OFFSET(start, 0x500);
_Static_assert(sizeof(struct window) == 0x1000, "a page");

static inline struct window *window_of(const struct state *state)
{
	return (struct window *)((u32)state - sizeof(struct window));
}

/*
 * kvmclock's pages, which the host writes: below the window's, where that is the
 * clock [Linux, Documentation/virt/kvm/x86/msr.rst].
 */
#define KVMCLOCK_KIB 4
struct pvclock {
	u32 version; /* odd: the host is writing */
	u32 pad0;
	u64 tsc_timestamp;
	u64 system_time; /* ns, when the TSC read tsc_timestamp */
	u32 tsc_to_system_mul;
	signed char tsc_shift;
	u8 flags;
	u8 pad[2];
};
#define PVCLOCK_STABLE 1 /* flags: this page does for every CPU */

struct kvm_steal {
	u64 steal; /* ns */
	u32 version;
	u32 pad[13];
};

struct kvmclock {
	struct kvmclock_cpu {
		struct pvclock pvclock; /* first: rom/native/time.asm reads cpu[0]'s */
		u64 available;		/* as last told */
		u8 registered;
		u8 stable; /* PVCLOCK_STABLE where the host may say so in flags */
		u8 pad[22];
		struct kvm_steal steal; /* on 64 bytes */
	} cpu[CPUS];
	struct {
		u32 version, sec, nsec;
	} wall; /* of system_time 0 */
	u32 pad;
	u64 last; /* that any CPU told, where the pages are not stable */
};
#define KVMCLOCK_OFFSET(member, offset)                                                            \
	_Static_assert(__builtin_offsetof(struct kvmclock, cpu[0].member) == (offset), #member)
KVMCLOCK_OFFSET(pvclock.tsc_timestamp, 0x08); /* as in rom/native/time.asm */
KVMCLOCK_OFFSET(pvclock.system_time, 0x10);
KVMCLOCK_OFFSET(pvclock.tsc_to_system_mul, 0x18);
KVMCLOCK_OFFSET(pvclock.tsc_shift, 0x1c);
KVMCLOCK_OFFSET(pvclock.flags, 0x1d);
KVMCLOCK_OFFSET(stable, 0x29);
_Static_assert((WINDOW_KIB + KVMCLOCK_KIB) * 1024 == 0x3000, "KVMCLOCK_BELOW there");
_Static_assert(__builtin_offsetof(struct rom_image, about.clock) == 0x30, "ABOUT_CLOCK there");
_Static_assert(sizeof(struct pvclock) == 32 && sizeof(struct kvm_steal) == 64, "KVM's");
_Static_assert(__builtin_offsetof(struct kvmclock, cpu[1].steal) % 64 == 0, "KVM wants that");
_Static_assert(sizeof(struct kvmclock) <= KVMCLOCK_KIB * 1024, "a page");

static inline struct kvmclock *kvmclock_of(const struct state *state)
{
	return (struct kvmclock *)((u32)state - (WINDOW_KIB + KVMCLOCK_KIB) * 1024);
}

/*
 * The trap host's memory: struct vmi_shared, and behind it struct trap with the
 * stubs. Each image has its own. A stub is, from low to high, JMP to the native
 * one, what is reached by jumps from behind, and the entry.
 */
#define TRAP_SIZE 0x2000
#define TRAP_KIB ((VMI_SHARED_SIZE + TRAP_SIZE) / 1024)
#define TRAP_MASKS 8 /* of 32 rows */
#define TRAP_ADDRESSES 400
struct trap {
	u32 linear; /* of this structure, as the stubs have it */
	u32 wall_seen;
	u32 physical; /* address of struct vmi_shared */
	u32 leaf;     /* the CPUID leaf with the signature; 0: hypercalls say who answers */
	u8 code[4];   /* the transport, RET */
	u32 attached; /* by an Init before */
	u32 transport, where, features; /* as POST found them */
	u32 calls[TRAP_MASKS];		/* that have a stub */
	u32 address_count;
	u16 address
		[TRAP_ADDRESSES]; /* offsets from here: words with an address in struct vmi_shared */
	struct trap_stub {
		u16 entry;	 /* offset of the code, 0: there is none */
		u16 other;	 /* first bytes, when it is not what it is now */
		bool on : 1;	 /* it traps; otherwise it is a jump */
		bool queues : 1; /* at a site it is more than its first bytes (rom/patch.c) */
		u8 inline_size;	 /* so many first bytes may stand at a call site; VMI_NO_INLINE */
		u8 binding, native_inline; /* the native stub's: the record has this one's */
	} stub[VMI_CALL_COUNT];
	u8 stubs[];
};
_Static_assert(VMI_CALL_COUNT <= TRAP_MASKS * 32, "masks have a bit a row");
_Static_assert(__builtin_offsetof(struct trap, wall_seen) == 4, "SEEN in rom/post/shapes.asm");

static inline struct vmi_shared *trap_shared(const struct trap *trap)
{
	return (struct vmi_shared *)((u32)trap - VMI_SHARED_SIZE);
}

/* What the VMM says of itself. */
struct trap_info {
	u32 transports, where, features;
	u32 calls[TRAP_MASKS]; /* that it wants */
};

static inline bool trap_has(const u32 *calls, u32 row)
{
	return calls[row / 32] >> row % 32 & 1;
}

/* rom/trap.c */
bool trap_attach(const struct rom_image *image); /* false: Init fails, nothing has changed */
struct trap *trap_find(const struct rom_image *image);
/* False: nobody answers, or not with our major version. */
bool trap_info(const struct trap *trap, struct trap_info *info);
/* Leave the calls that are there, and no part of a group that is not complete. */
void trap_narrow(struct trap_info *info, const u32 *there);

/* rom/init.c: VMI_RELOC_* | VMI_NATIVE, of a call that no VMM has. */
u32 native_binding(const struct rom_image *image, const struct trap *trap, u32 row);

/* rom/patch.c: as few as there can be, for every processor. */
void nops(u8 *code, u32 size);

bool window_fits(const struct state *state);
u32 *window_make(const struct state *state, u32 map, bool pae, u32 apic);
struct window *window_remake(const struct state *state, u32 physical);

/* What came meanwhile comes now. */
static inline __attribute__((always_inline)) void window_unlock(struct window *window)
{
	u8 raise = window->raise;

	window->raise = 0;
	__atomic_store_n(&window->lock, 0, __ATOMIC_RELEASE);
	if (!raise)
		return;
	if (raise == 2)
		__asm__ volatile("int $2");
	else
		__asm__ volatile("int $18");
}

u32 window_run(struct window *window, void *function);
void window_nmi(void);
void window_machine_check(void);
void window_debug(void);

/* rom/apic.c: a function on the local APIC's registers, wherever that is reached from. */
typedef u32 apic_function(struct window *window);
struct window *apic_open(const struct state *state);
u32 apic_run(struct window *window, void *function);

/* rom/start.c */
u32 start_ipi(u32 value, u32 destination);

/* rom/linux/site.c: from: an address in the guest's code. */
bool sites_asked(struct state *state, u32 call, u32 from);
u32 faults_caught(void *argument, void *function);

/* rom/post/acpi.c: fill in what the tables say; all 0 where there are none. */
void acpi_find(struct acpi *acpi);

/* rom/post/hpet.c: fill in clock.hpet where alarms may use it. */
void hpet_find(struct state *state);

/*
 * rom/post/fw_cfg.c: copy the content of a file opt/vmi/..., NUL-terminated. -1: there
 * is no such file; -2: nor any other one with a name that begins so.
 */
int fw_cfg_read(const char *name, char *buffer, u32 size);

struct clock_sample {
	u64 tsc;
	u32 ticks;
	u32 turns; /* of the PIT, as the BIOS counts them at 40:6C */
};

/* What POST keeps between its steps, on the firmware's stack (rom/post/post.inc). */
struct post {
	u32 eflags;		  /* of the firmware's call */
	char line[VMI_POST_LINE]; /* for the console, NUL-terminated */
	struct state *state;
	u32 halts;
	u32 taken_kib;
	bool pm_timer; /* measure against it; otherwise against the PIT */
	bool stopped;  /* the timer, that is */
	u32 ticks;     /* from start to last */
	struct clock_sample start, last;
	bool apic; /* its timer is measured, too; what it had: */
	u32 apic_lvtt, apic_divide;
	u32 apic_count; /* at apic_tsc */
	u64 apic_tsc;
};
_Static_assert(sizeof(struct post) <= 208, "POST_SIZE in rom/post/post.inc");
_Static_assert(__builtin_offsetof(struct post, line) == 4, "POST_LINE in rom/post/post.inc");

/* rom/post/tsc.c: true: halt until the next interrupt, then call again. */
bool clock_measure(struct clock *clock, struct post *post);
void timer_rate(struct timer *timer, u64 ticks, u64 cycles, u64 longest);
u64 divide(u64 n, u32 d);
u64 ratio(u64 a, u64 b);

/* rom/post/rtc.c: nanoseconds since 1970, 0 where the registers make no sense. */
u64 rtc_nanoseconds(u8 century_index);

/* rom/post/post.c: write one word of the image, keep its checksum; false where it is read-only. */
bool image_patch(struct rom_image *image, u32 *word, u32 value);
static inline void image_not_inline(struct rom_image *image, struct vmi_call_record *record)
{
	u32 *word = (u32 *)&record->stub; /* and inline_size */

	image_patch(image, word, *word | (u32)VMI_NO_INLINE << 24);
}
/* The state, empty; false: there is no memory. */
bool state_start(struct state *state);
/* One of struct vmi_about's. */
void image_name(struct rom_image *image, char *field, u32 size, const char *name);

/*
 * rom/post/trap.c: make stubs in TRAP_KIB at the physical and linear address
 * `memory` for the VMM that answers there. False: nothing has changed but that memory.
 */
struct trap_way {
	u32 leaf, port; /* 0: none */
};
bool trap_seek(const struct rom_image *image, const struct state *state, struct trap_way *way);
bool trap_install(struct rom_image *image, u32 memory, const struct trap_way *way);

/* rom/post/clock.c */
void clock_choose(struct clock *clock, bool kvmclock);
void clock_start(struct state *state);
void clock_bind(struct rom_image *image, u32 kind);
const char *clock_name(u32 kind);
/* The first CPUID leaf of the hypervisor with that signature; 0: there is none. */
u32 hypervisor_leaf(u32 ebx, u32 ecx, u32 edx);

/*
 * The real counter, and what was stolen of it from this CPU, in its cycles.
 * Interrupts are off. No cpu (there are more than CPUS): the first one's. Macros:
 * test-guest/host/clock.c has an rdtsc() of its own.
 */
#define clock_now(state, cpu)                                                                      \
	((state)->clock.kind == CLOCK_kvmclock ? kvmclock_now(state, cpu) : rdtsc())
#define clock_stolen(state, cpu)                                                                   \
	((state)->clock.kind == CLOCK_kvmclock ? kvmclock_stolen(state, cpu) : 0)

/* rom/clock.c */
u64 multiply(u64 a, u64 b);
u64 clock_wall(struct state *state, struct cpu *cpu); /* one CPU at a time */
void clock_cpu_start(struct state *state);
void clock_cpu_end(struct state *state);

/* rom/kvmclock.c: the same; and these are the same pages for all of a CPU's life. */
void kvmclock_register(struct state *state, struct cpu *cpu);
void kvmclock_unregister(struct state *state, struct cpu *cpu);
u64 kvmclock_now(struct state *state, struct cpu *cpu);
u64 kvmclock_stolen(struct state *state, struct cpu *cpu);
u64 kvmclock_available(struct state *state, struct cpu *cpu);
u64 kvmclock_boot(struct state *state);

/* rom/vmport.c: the host's time of day in ns, 0 where nobody answers. */
u64 vmport_time(void);

/* rom/alarm.c */
void rom_alarm_eoi(void);

/* rom/hpet.c: IRQ 0 once, in so many ticks; 0: give it back. False: somebody else uses it. */
bool hpet_arm(struct state *state, u64 ticks);
static inline void hpet_release(struct state *state)
{
	if (state->hpet_has_irq0)
		hpet_arm(state, 0);
}

/* rom/string.c */
void zero(void *to, u32 bytes);
void copy(void *to, const void *from, u32 bytes);
bool same(const void *a, const void *b, u32 bytes);

/* Ports, addresses and registers that more than one file knows. */
#define NANOSECONDS 1000000000u
#define PIT_HZ 1193182u
#define PIT_MASK 0xffff
#define APIC_TIMER_LONGEST (0xfffffff0ull * 128) /* with the largest divider, rounded up */
#define TIMER_LONGEST (1ull << 58)		 /* of 64 bits: in cycles, as far as is computed */
#define PIT_CHANNEL_0 0x40
#define PIT_CONTROL 0x43
#define CMOS_INDEX 0x70
#define CMOS_DATA 0x71
#define BDA_BASE_MEMORY 0x413 /* KiB below the EBDA */
#define IA32_APIC_BASE 0x1b
#define APIC_BASE_X2APIC (1u << 10)
#define APIC_BASE_ENABLED (1u << 11)
#define APIC_BASE_ADDRESS 0xfffff000

#define APIC_ID 0x20 /* registers of the local APIC, as xAPIC mode has them */
#define APIC_EOI 0xb0
#define APIC_IRR 0x200 /* eight registers of 32 vectors each */
#define APIC_ICR 0x300
#define APIC_ICR_HIGH 0x310
#define APIC_LVTT 0x320
#define APIC_LINT0 0x350
#define APIC_INITIAL_COUNT 0x380
#define APIC_CURRENT_COUNT 0x390
#define APIC_DIVIDE 0x3e0
#define APIC_DIVIDE_BY_1 0x0b
#define APIC_MASKED (1u << 16)
#define LVTT_MODE (3u << 17)

#define X86_CR0_PG 0x80000000
#define X86_CR4_PAE 0x20

static inline u32 cr0(void)
{
	u32 value;

	__asm__ volatile("mov %%cr0, %0" : "=r"(value));
	return value;
}

static inline u32 cr4(void)
{
	u32 value;

	__asm__ volatile("mov %%cr4, %0" : "=r"(value));
	return value;
}

static inline u16 cs(void)
{
	u16 value;

	__asm__("movw %%cs, %0" : "=r"(value));
	return value;
}

static inline u32 eflags(void)
{
	u32 value;

	__asm__ volatile("pushfl\n\tpopl %0" : "=r"(value));
	return value;
}

static inline void outb(u16 port, u8 value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void outw(u16 port, u16 value)
{
	__asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline u8 inb(u16 port)
{
	u8 value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline u16 inw(u16 port)
{
	u16 value;

	__asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline u32 inl(u16 port)
{
	u32 value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline u64 rdtsc(void)
{
	u64 value;

	__asm__ volatile("rdtsc" : "=A"(value));
	return value;
}

static inline void insb(u16 port, void *to, u32 bytes)
{
	__asm__ volatile("rep insb" : "+D"(to), "+c"(bytes) : "d"(port) : "memory");
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

#define X2APIC_MSR 0x800

struct cpuid {
	u32 eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(u32 leaf)
{
	struct cpuid r;

	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(0));
	return r;
}

/* rom/hypercall.asm: true: done; what came back is in regs. */
bool hypercall(struct cpuid *regs, u32 number, const u8 *code);

#define CPUID_1_EDX_TSC (1u << 4)
#define CPUID_1_EDX_MSR (1u << 5)
#define CPUID_1_EDX_CX8 (1u << 8)
#define CPUID_1_EDX_APIC (1u << 9)
#define CPUID_1_EDX_SSE2 (1u << 26)
#define CPUID_1_ECX_DEADLINE (1u << 24)
#define CPUID_1_ECX_HYPERVISOR (1u << 31)
#define CPUID_HYPERVISOR 0x40000000
#define CPUID_EXTENDED 0x80000000
#define CPUID_BRAND 0x80000004
#define CPUID_POWER 0x80000007
#define CPUID_POWER_EDX_CONSTANT_TSC (1u << 8)

/* CPUID is there: EFLAGS.ID can be changed [SDM vol. 1, 20.1]. Restores flags. */
static inline bool cpuid_present(void)
{
	u32 before, after;

	__asm__ volatile("pushfl\n\tpushfl\n\tpopl %0\n\tmovl %0, %1\n\txorl $0x200000, %1\n\t"
			 "pushl %1\n\tpopfl\n\tpushfl\n\tpopl %1\n\tpopfl"
			 : "=&r"(before), "=&r"(after)
			 :
			 : "cc");
	return ((before ^ after) & 0x200000) != 0;
}

/* window->apic is 0 in x2APIC mode. */
static inline u32 apic_get(const struct window *window, u32 offset)
{
	if (window->apic)
		return *(volatile u32 *)(window->apic + offset);
	return (u32)rdmsr(X2APIC_MSR + (offset >> 4));
}

static inline void apic_set(const struct window *window, u32 offset, u32 value)
{
	if (window->apic)
		*(volatile u32 *)(window->apic + offset) = value;
	else
		wrmsr(X2APIC_MSR + (offset >> 4), value);
}

/* (a * b + fraction) / 2^32, modulo 2^64; b by its halves. */
static inline u64 multiply_add(u64 a, const u32 *b, u32 fraction)
{
	u32 high, middle;

	__asm__("movl %%edx, %[high]\n\t"
		"movl %%eax, %[middle]\n\t"
		"mull %[b0]\n\t"
		"addl %[fraction], %%eax\n\t"
		"movl %[middle], %%eax\n\t"
		"movl %%edx, %[middle]\n\t"
		"adcl $0, %[middle]\n\t"
		"mull %[b1]\n\t"
		"addl %%eax, %[middle]\n\t"
		"adcl $0, %%edx\n\t"
		"movl %[high], %%eax\n\t"
		"imull %[b1], %[high]\n\t"
		"addl %%edx, %[high]\n\t"
		"mull %[b0]\n\t"
		"addl %[middle], %%eax\n\t"
		"adcl %[high], %%edx"
		: "+A"(a), [high] "=&r"(high), [middle] "=&r"(middle)
		: [b0] "m"(b[0]), [b1] "m"(b[1]), [fraction] "g"(fraction)
		: "cc");
	return a;
}

/* A pointer that the compiler takes on trust: low memory, tables, the BDA. */
static inline void *at(u32 address)
{
	__asm__("" : "+r"(address));
	return (void *)address;
}

static inline struct vmi_call_record *call_record(const struct rom_image *image, u32 row)
{
	return (struct vmi_call_record *)at((u32)image + image->about.calls) + row;
}

/*
 * The lock holds its CPU's APIC ID, inverted. False: this CPU has it already, and
 * this is the handler of an NMI that came meanwhile: it gets nothing.
 */
static inline bool window_lock(struct window *window)
{
	__asm__ goto("movl $1, %%eax\n\tcpuid\n\tshrl $24, %%ebx\n\tnotb %%bl\n"
		     "1:\txorl %%eax, %%eax\n\tlock cmpxchgb %%bl, %0\n\tjz 2f\n\t"
		     "cmpb %%bl, %%al\n\tjz %l1\n\tpause\n\tjmp 1b\n2:"
		     :
		     : "m"(window->lock)
		     : "eax", "ebx", "ecx", "edx", "memory", "cc"
		     : nested);
	return true;
nested:
	return false;
}

/*
 * The window, locked, with the page of a device in it, 0 for none; NULL where it
 * cannot be.
 */
static inline __attribute__((always_inline)) struct window *window_open(const struct state *state,
									u32 physical, u32 device)
{
	struct window *window = window_of(state);

	if (!window_lock(window))
		return NULL;
	window->direct = !physical || !(cr0() & X86_CR0_PG);
	if (!window->direct) {
		if (window->device[device].physical != physical || window->state != (u32)state ||
		    window->mode != (cs() + (cr4() & X86_CR4_PAE) * (WINDOW_PAE / X86_CR4_PAE))) {
			window = window_remake(state, physical);
			if (!window)
				return NULL;
		}
		physical = window->device[device].linear;
	}
	window->apic = physical;
	return window;
}

/* cpu_self(), for speed. */
static inline __attribute__((always_inline)) struct cpu *cpu_here(struct state *state)
{
	u8 *index = &state->cpu_of_apic_id[cpuid(1).ebx >> 24];
	u32 n = *index;

	if (!n)
		n = cpu_new(state, index);
	return n <= CPUS ? &state->cpu[n - 1] : NULL;
}

#endif /* ROM_H */
