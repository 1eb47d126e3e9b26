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
};

/* One alarm that SetAlarm armed, in cycles of its counter. */
struct alarm {
	u64 expiry;
	u64 period; /* 0: one-shot */
	bool armed;
};

struct clock {
	u64 tsc_hz;	  /* 0: not known, nothing below is */
	u64 ns_per_cycle; /* 32.32 fixed point, as the next one */
	u64 pit_per_cycle;
	u64 wall_ns; /* since 1970, when the TSC read wall_tsc */
	u64 wall_tsc;
	struct alarm alarm[2]; /* by counter; wired to IRQ0 */
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
struct state {
	u32 magic;
	u32 size;	/* of this structure: other builds may lay it out otherwise */
	u32 cpus[8];	/* bit n: the CPU with APIC ID n has called Init and not Shutdown */
	u8 no_poweroff; /* option: the last Shutdown only stops the CPU */
	u8 quiet;	/* option: no banner */
	struct acpi acpi;
	struct clock clock;
};
_Static_assert(sizeof(struct state) <= STATE_KIB * 1024, "state fits");

/* The state, or NULL where POST has not run (rom/state.c). */
struct state *state_find(void);
bool is_state(const struct state *state);

/* rom/acpi.c: fill in what the tables say; all 0 where there are none. */
void acpi_find(struct acpi *acpi);

/* rom/fw_cfg.c: copy a file's content, NUL-terminated; -1 where there is none. */
int fw_cfg_read(const char *name, char *buffer, u32 size);

struct clock_sample {
	u64 tsc;
	u32 ticks;
	u32 turns; /* of the PIT, as the BIOS counts them at 40:6C */
};

/* What POST keeps between its steps, on the firmware's stack (rom/entry.asm). */
#define POST_LINE 96
struct post {
	u32 eflags;	      /* of the firmware's call */
	char line[POST_LINE]; /* for the console, NUL-terminated */
	struct state *state;
	u32 halts;
	u32 taken_kib;
	bool pm_timer; /* measure against it; otherwise against the PIT */
	bool restart;  /* the next sample is the first */
	u32 ticks;     /* from start to last */
	struct clock_sample start, last;
};
_Static_assert(sizeof(struct post) <= 160, "POST_SIZE in rom/entry.asm");
_Static_assert(__builtin_offsetof(struct post, line) == 4, "POST_LINE in rom/entry.asm");

/* rom/clock.c: true: halt until the next interrupt, then call again. */
bool clock_measure(struct clock *clock, struct post *post);
void clock_start(struct clock *clock, u8 rtc_century);

/* rom/time.c */
u64 divide(u64 n, u32 d);
u64 ratio(u64 a, u64 b);

/* rom/string.c */
void zero(void *to, u32 bytes);
bool same(const void *a, const void *b, u32 bytes);

/* Ports, addresses and registers that more than one file knows. */
#define PIT_CHANNEL_0 0x40
#define PIT_CONTROL 0x43
#define CMOS_INDEX 0x70
#define CMOS_DATA 0x71
#define BDA_BASE_MEMORY 0x413 /* KiB below the EBDA */
#define IA32_APIC_BASE 0x1b
#define APIC_BASE_X2APIC (1u << 10)
#define APIC_BASE_ENABLED (1u << 11)
#define APIC_BASE_ADDRESS 0xfffff000

#define X86_CR0_PG 0x80000000

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

#define CPUID_1_EDX_TSC (1u << 4)
#define CPUID_1_EDX_MSR (1u << 5)
#define CPUID_1_EDX_CX8 (1u << 8)
#define CPUID_1_EDX_APIC (1u << 9)
#define CPUID_1_ECX_HYPERVISOR (1u << 31)

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

/* A pointer that the compiler takes on trust: low memory, tables, the BDA. */
static inline void *at(u32 address)
{
	__asm__("" : "+r"(address));
	return (void *)address;
}

#endif /* ROM_H */
