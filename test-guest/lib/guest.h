/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The test guests' library: TAP on COM1, traps, user mode, paging, calls of
 * the ROM with every register under control.
 *
 * A guest is a C file with guest_main(). It runs at CPL 0 with interrupts off,
 * both PICs masked, and flat DS and ES; FS and GS are null. It ends by
 * returning (isa-debug-exit, QEMU exits with 33) or by stopping the machine
 * itself.
 */
#ifndef GUEST_H
#define GUEST_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "vmi_abi.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef _Bool bool;
#define true 1
#define false 0

void guest_main(void);

/* ------------------------------------------------------------------------
 * Where the guest runs (start.S)
 */

extern u32 guest_virt; /* linear - physical of the first 16 MiB */
extern u32 boot_info;  /* physical address of the multiboot information, 0 none */

static inline void *at(u32 linear)
{
	__asm__("" : "+r"(linear));
	return (void *)linear;
}

static inline void *phys(u32 physical)
{
	return at(physical + guest_virt);
}

static inline u32 to_phys(const volatile void *p)
{
	return (u32)p - guest_virt;
}

/* Value of "name=" on the multiboot command line, or NULL; "" for a bare name. */
const char *option(const char *name);
u32 option_number(const char *name, u32 otherwise);

/* ------------------------------------------------------------------------
 * Output (tap.c). %s %c %u %x %X %llx %llu with a width, a leading 0 or -.
 */

void serial_start(void);
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
void vprint(const char *format, va_list args);
void console(bool on); /* print to the VGA text screen too */

/* Test points that ran before a reset count on. */
void points_before(u32 n);
/* The plan is known: for guests that do not end by finish(). */
void plan(u32 n);
/* One test point. Returns good. */
bool ok(bool good, const char *format, ...) __attribute__((format(printf, 2, 3)));
void skip(const char *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Conditions of the next test point: expect() says what is wrong as a
 * diagnostic, point() makes the test point of all conditions since the last.
 */
bool expect(bool good, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool equal(u32 got, u32 want, const char *what);
bool equal64(u64 got, u64 want, const char *what);
void point(const char *format, ...) __attribute__((format(printf, 1, 2)));

void finish(void) __attribute__((noreturn)); /* the plan, and exit */
void bail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void quit(u8 value) __attribute__((noreturn)); /* QEMU exits with value * 2 + 1 */

u64 divide64(u64 value, u32 by);
int same(const void *a, const void *b, size_t n); /* 1: equal */
int strsame(const char *a, const char *b);
size_t length(const char *s);
void *memset(void *p, int value, size_t n);
void *memcpy(void *to, const void *from, size_t n);

/* ------------------------------------------------------------------------
 * Segments and traps (cpu.c, trap.S)
 */

#define SEL_CODE 0x08 /* four in SYSENTER's order */
#define SEL_DATA 0x10
#define SEL_USER_CODE 0x1b
#define SEL_USER_DATA 0x23
#define SEL_TSS 0x28
#define SEL_LDT 0x30
#define SEL_SPARE 0x38 /* and up: the tests' own */
#define GDT_ENTRIES 32

extern u64 gdt[GDT_ENTRIES];
extern u64 idt[256];
extern u64 ldt[8];
extern u32 tss[27];

u64 descriptor(u32 base, u32 limit, u16 flags); /* flags: access byte, G and D in bits 15 and 14 */

struct regs {
	u32 edi, esi, ebp, esp, ebx, edx, ecx, eax;
};

struct trap {
	u32 gs, fs, es, ds;
	struct regs regs; /* esp is of the handler, not of the interrupted code */
	u32 vector, error;
	u32 eip, cs, eflags;
	u32 esp, ss;			    /* where the privilege changed */
	u32 v86_es, v86_ds, v86_fs, v86_gs; /* and from virtual-8086 mode */
};

/* A handler returns true where the trap is dealt with; otherwise the guest bails out. */
typedef bool (*trap_handler)(struct trap *trap);
trap_handler on_trap(u32 vector, trap_handler handler); /* the one before */

#define VECTOR_IRQ 0x20	 /* IRQ 0 to 15 */
#define VECTOR_USER 0x80 /* callable from user mode */

extern volatile u32 irq_count[16];
void irq_unmask(u32 irq);
void irq_mask_all(void);
/* PIT channel 0: one IRQ 0 after so many ticks of 1193182 Hz. */
void pit_once(u32 ticks);
void irq0_quiet(void); /* IRQ 0 unmasked, nothing waiting, the PIT at rest */
void irq0_pend(void);  /* leaves IRQ 0 requested, with interrupts off */

/*
 * Where the flag of a VMM counts besides EFLAGS.IF (VMI_HV_CPU_IF): the shared area, from Init
 * on; otherwise NULL. Guests leave the flag set, but in calls, so that STI and CLI do what they
 * always do; frames have what both flags say together.
 */
extern struct vmi_shared *virtual_flags;
void virtual_on(void); /* again, after a call or a gate may have cleared it */

/* ------------------------------------------------------------------------
 * Calls with every register under control (enter.S, invoke.c)
 */

#define EFLAGS_1 0x2 /* always set */
#define EFLAGS_OSZAPC 0x8d5
#define EFLAGS_TF 0x100
#define EFLAGS_IF 0x200
#define EFLAGS_DF 0x400
#define EFLAGS_IOPL 0x3000
#define EFLAGS_NT 0x4000
#define EFLAGS_VM 0x20000
#define EFLAGS_AC 0x40000
#define EFLAGS_ID 0x200000

struct cpu_state {
	u32 eax, ecx, edx, ebx, esp, ebp, esi, edi, eflags;
	u32 ds, es, fs, gs;
};

#define INVOKE_WORDS 10
struct invoke {
	u32 target; /* linear */
	u32 jump;   /* 1: JMP, with word[0] at [esp]; 0: CALL, with word[0] at [esp+4] */
	u32 word[INVOKE_WORDS];
	struct cpu_state in, out; /* in.esp is not used; out.esp: change of ESP, in bytes */
	bool trapped;		  /* a trap ended it: trap is valid, out is not */
	struct trap trap;
};

/*
 * Load everything from in, go to the target, and store everything to out when
 * it returns or comes to invoke_landing. A trap on a vector that
 * invoke_catch() named ends it too. Uses CS and SS only.
 */
void invoke(struct invoke *invoke);
extern const char invoke_landing[];
void invoke_catch(u32 vector);
void invoke_catch_none(void);

/* Of the last invoke() with TF: instructions, and how many of them were VMMCALL. */
extern u32 invoke_steps, invoke_traps;
/* Called after each instruction where in.eflags has TF; EIP is the next one. */
typedef void step_hook(const struct trap *trap);
void on_step(step_hook *hook);

/* ------------------------------------------------------------------------
 * Paging (paging.c)
 */

#define PTE_P 0x1
#define PTE_W 0x2
#define PTE_U 0x4
#define PTE_A 0x20
#define PTE_D 0x40
#define PTE_LARGE 0x80
#define PTE_G 0x100

bool paging(void);
bool paging_pae(void);
/* The entry for a 4 KiB page at a linear address, tables made on demand: 4 or 8 bytes. */
void *pte_of(u32 linear);
void map(u32 linear, u32 physical, u32 flags);
void unmap(u32 linear);
void *page(void);      /* a zeroed page, for good */
void *user_page(void); /* the same, for user mode too */

/* ------------------------------------------------------------------------
 * Other processors (smp.c, ap.S)
 */

u32 apic_id(void);
/* Runs f on the CPU with that APIC ID, with a stack of its own; false: it did not come. */
bool cpu_start(u32 apic_id, void (*f)(void));

/* ------------------------------------------------------------------------
 * The ROM (rom.c)
 */

struct rom {
	u8 *image; /* linear */
	u32 physical;
	u32 size; /* bytes */
	const struct vmi_rom_header *header;
	u32 major, minor;
	const struct vmi_call_record *record; /* one a row of the table */
};

/* The first image of that major version that has an ELF file and .vmi.calls; major 0: any. */
bool rom_find(struct rom *rom, u32 major);
/* From a physical address on; false where there is no VMI image. */
bool rom_at(struct rom *rom, u32 physical);
u32 rom_symbol(const struct rom *rom, const char *name);   /* linear, 0: none */
u32 rom_call(const struct rom *rom, enum vmi_call call);   /* linear, by its symbol */
u32 rom_number(const struct rom *rom, enum vmi_call call); /* VMI_NO: none */
/* Linear address of a call by number; 0 where GetRelocationInfo answers NONE or NOP. */
u32 rom_entry(const struct rom *rom, u32 number, u32 *type);
u32 rom_init(const struct rom *rom);

extern const char *const call_name[VMI_CALL_COUNT];
/* The first megabyte again, at another linear address, the ROM area read-only. */
void rom_alias(struct rom *rom, u32 linear);

/* The call's stub is a VMM's: it traps, or does what a VMM is told in some other way. */
bool rom_traps(const struct rom *rom, enum vmi_call call);

/* A function of the ROM by name: VMI(&rom, GetCR0)(). */
#define VMI(rom, name) ((vmi_##name##_fn *)rom_symbol(rom, "VMI_" #name))

/* ------------------------------------------------------------------------
 * Instructions
 */

static inline void outb(u16 port, u8 value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void outw(u16 port, u16 value)
{
	__asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline void outl(u16 port, u32 value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
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

#define CONTROL_REGISTER(n)                                                                        \
	static inline u32 cr##n(void)                                                              \
	{                                                                                          \
		u32 value;                                                                         \
		__asm__ volatile("mov %%cr" #n ", %0" : "=r"(value));                              \
		return value;                                                                      \
	}                                                                                          \
	static inline void set_cr##n(u32 value)                                                    \
	{                                                                                          \
		__asm__ volatile("mov %0, %%cr" #n : : "r"(value) : "memory");                     \
	}
CONTROL_REGISTER(0)
CONTROL_REGISTER(2)
CONTROL_REGISTER(3)
CONTROL_REGISTER(4)
#define CR0_TS 0x8u
#define CR0_PG 0x80000000u
#define CR4_PAE 0x20u
#define CR4_PGE 0x80u

struct dtr {
	u16 limit;
	u32 base;
} __attribute__((packed));

static inline struct dtr sgdt(void)
{
	struct dtr dtr;

	__asm__ volatile("sgdt %0" : "=m"(dtr));
	return dtr;
}

static inline struct dtr sidt(void)
{
	struct dtr dtr;

	__asm__ volatile("sidt %0" : "=m"(dtr));
	return dtr;
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

static inline u64 rdtsc(void)
{
	u64 value;

	__asm__ volatile("rdtsc" : "=A"(value));
	return value;
}

static inline void cpuid(u32 leaf, u32 subleaf, u32 r[4])
{
	__asm__ volatile("cpuid"
			 : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
			 : "0"(leaf), "2"(subleaf));
}

static inline u32 eflags(void)
{
	u32 value;

	__asm__ volatile("pushf\n\tpop %0" : "=r"(value));
	return value;
}

static inline void invlpg(u32 linear)
{
	__asm__ volatile("invlpg (%0)" : : "r"(linear) : "memory");
}

#endif /* GUEST_H */
