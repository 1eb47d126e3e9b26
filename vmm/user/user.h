/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ROM on the real processor, in a 32-bit Linux process: an image in the
 * process's memory, its code called as a guest would call it, and what traps
 * taken as a signal (SIGSEGV: OUT, INT, STI...; SIGTRAP: VMCALL and VMMCALL, in
 * single steps, because KVM answers them itself wherever they come from).
 *
 * Guest-physical memory is a file, mapped three times: at LOW, where linear is
 * physical, as POST and guests without paging have it; at HIGH, where Linux
 * has it; and where the VMM's side sees it.
 */
#ifndef USER_H
#define USER_H

#include <stdbool.h>
#include <ucontext.h>
#include "vmi_abi.h"

typedef vmi_u8 u8;
typedef vmi_u16 u16;
typedef vmi_u32 u32;
typedef vmi_u64 u64;

/* ------------------------------------------------------------------------
 * Memory and image (machine.c)
 */

#define MEMORY_SIZE 0x200000
#define MEMORY_LOWEST 0x10000 /* of what is there: mmap_min_addr */
#define IMAGE 0xca000	      /* guest-physical: as SeaBIOS has it */
#define STACK_TOP 0x1f0000
#define SCRATCH 0x100000 /* tables and buffers of tests */
#define SCRATCH_SIZE 0x40000
#define LOW 0
#define HIGH 0xc0000000

extern u8 *memory; /* + guest-physical address */

struct image {
	const char *name;
	u32 major;
	u32 size; /* of the file */
	u8 file[0x10000];
};

void machine_start(void);
/* In place of memory at that guest-physical address: area, for vmm_vcpu.area. 0: nowhere. */
bool machine_map_area(u32 physical);
extern u8 *area; /* VMI_SHARED_SIZE bytes */
/* Nobody may use it there, until machine_load(). */
void machine_hide(u32 base, bool hide);
/* Fresh memory, with the image in it as it is in the file. */
void machine_load(const struct image *image);
extern const struct image *loaded;
/* Into the image, whose checksum stays 0. */
void image_write(void *at, const void *from, u32 size);

void image_open(struct image *image, const char *path);
/* Of an ELF symbol, from the first byte of an image; of a call's stub in the one in memory. */
#define NO_SYMBOL (-1)
int image_symbol(const u8 *image, const char *name);
int call_symbol(u32 call);

const struct vmi_call_record *record(u32 call);
u8 call_number(u32 call); /* in the loaded image's revision, VMI_NO */
u32 call_entry(
	u32 call); /* offset of what that revision enters, of the stub where it has no number */
const char *call_name(u32 call);

/* ------------------------------------------------------------------------
 * Running guest code (run.S, trap.c)
 */

struct regs {
	u32 eax, ecx, edx, ebx, esp, ebp, esi, edi; /* in the order of their numbers */
	u32 eip, eflags;
	u16 ds, es, fs, pad;
};

#define FLAGS_OSZAPC 0x8d5
#define FLAG_CF 0x001
#define FLAG_TF 0x100
#define FLAG_IF 0x200
#define FLAG_DF 0x400
#define FLAG_AC 0x40000
#define FLAG_ID 0x200000

/* Of VMI_A << bit, as an index into struct regs. */
static inline u32 register_of(u32 bit)
{
	return bit < 4 ? bit : bit + 2;
}

enum ended {
	ENDED_RETURN, /* came back */
	ENDED_FAULT,  /* an instruction that needs a privilege, at regs->eip */
	ENDED_STOP,   /* run_stop() */
};

/*
 * Enter guest code at regs->eip with all of regs, and wait for it to come back
 * to RETURN_ADDRESS (on its stack). regs is then what it came back with; where
 * it did not, what it had. May be called by a hook: that is an interrupt.
 */
enum ended run(struct regs *regs);
#define RETURN_ADDRESS ((u32)run_return)
extern char run_return[];

/*
 * A trap by OUT, INT, VMCALL, or VMMCALL (transport, as VMI_HV_*) with operand (port,
 * vector); *regs may be changed, eip is behind the instruction. False: not ours, a fault.
 */
extern bool (*hook_trap)(struct regs *regs, u32 transport, u32 operand);
/* Single steps: before each instruction of guest code; NULL: full speed. */
extern void (*hook_step)(struct regs *regs);
extern bool stepping;	/* also without a hook */
extern bool privileged; /* what faults is the processor's, below; otherwise run() ends */

extern bool step_host; /* run() steps code of the process itself */
extern bool posting;   /* memory that is not there is devices */

#define CPUID_PATCH 0xcd /* its first byte while posting: INT A2 */

void run_stop(void); /* by a hook: run() ends here */

extern u32 instructions; /* of guest code, when stepping */
extern u32 fault_vector; /* after ENDED_FAULT */

bool is_guest(u32 linear);
bool is_stepped(void);

/* ------------------------------------------------------------------------
 * What ring 3 does not have (processor.c)
 */

struct processor {
	u32 cr[5];
	bool interrupts; /* EFLAGS.IF */
};
extern struct processor processor;

void processor_reset(void);
bool processor_privileged(struct regs *regs); /* false: it knows no such instruction */
bool processor_step(struct regs *regs);	      /* false: the real one is to do it */
/* A processor in a virtual machine, without hypervisor leaves and local APIC. */
void processor_cpuid(u32 regs[4], u32 leaf, u32 subleaf);
/* What CPUID answers, where the code is stepped. NULL: the processor. */
extern void (*hook_cpuid)(u32 regs[4], u32 leaf, u32 subleaf);

/* ------------------------------------------------------------------------
 * A call (call.c)
 */

/* In columns of VMI_CALLS. */
struct call {
	u32 id;
	u32 base;	    /* LOW, HIGH */
	u32 stack[2];	    /* S1, S2 */
	struct regs before; /* arguments, poison */
	struct regs after;
	enum ended ended;
};

/* Every register a different value, arguments valid: pointers into SCRATCH, small numbers. */
void call_prepare(struct call *call, u32 id, u32 base);
/* entry: linear, 0: call_entry() */
enum ended call_run(struct call *call, u32 entry);
/* NULL, or what it did to registers and flags that it must not. */
const char *call_broke(const struct call *call, u32 out);
u32 random32(void);

/* ------------------------------------------------------------------------
 * What firmware and a guest's start do (guest.c)
 */

struct vmi_about *about(void);
extern u16 guest_port;	 /* what POST is told */
extern u16 guest_kib;	 /* conventional memory at POST */
extern char post_line[]; /* what it said */
/* POST, as a VMM without firmware has it run. True: the host is trap. */
bool guest_post(void);
/* The part of it that concerns VMMs, at full speed; guest_port must answer. */
bool guest_post_quick(void);
bool guest_init(u32 base);
bool guest_init_ring3(u32 base); /* in full speed */
struct vmi_relocation_info guest_binding(u32 call, u32 base);
/* Linear address that a guest calls; 0: it keeps its own code, or has no such call. */
u32 guest_entry(u32 call, u32 base);

/* ------------------------------------------------------------------------
 * Checks: each for the image that is loaded
 */

void check_native(void);
void bench(void);
void bench_calls(void);
void check_post(void);
void check_generic(void);
void check_liars(void);
void check_flags(void);
void check_queue(void);
void check_results(void);
void check_plumbing(void); /* no image */

/* ------------------------------------------------------------------------
 * TAP (tap.c)
 */

bool ok(bool good, const char *format, ...) __attribute__((format(printf, 2, 3)));
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void bail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
int tap_done(void);

#endif
