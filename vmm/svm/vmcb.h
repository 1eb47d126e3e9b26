/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The virtual machine control block and the numbers that go into it
 * [AMD64 Architecture Programmer's Manual vol. 2, chapter 15, appendices B and C].
 */
#ifndef SVM_VMCB_H
#define SVM_VMCB_H

#include <stddef.h>
#include <stdint.h>

/* Bits of intercept1 and intercept2: exit code 0x60 + bit, and 0x80 + bit. */
#define INTERCEPT_INTR (1u << 0)
#define INTERCEPT_NMI (1u << 1)
#define INTERCEPT_INIT (1u << 3)
#define INTERCEPT_VINTR (1u << 4)
#define INTERCEPT_CR0_SELECTIVE (1u << 5) /* writes that change more than TS and MP */
#define INTERCEPT_LDTR_WRITE (1u << 12)
#define INTERCEPT_TR_WRITE (1u << 13)
#define INTERCEPT_CPUID (1u << 18)
#define INTERCEPT_IRET (1u << 20)
#define INTERCEPT_SOFTWARE (1u << 21) /* INT n */
#define INTERCEPT_INVD (1u << 22)
#define INTERCEPT_HLT (1u << 24)
#define INTERCEPT_INVLPGA (1u << 26)
#define INTERCEPT_IOIO (1u << 27)
#define INTERCEPT_MSR (1u << 28)
#define INTERCEPT_SHUTDOWN (1u << 31)

#define INTERCEPT_VMRUN (1u << 0)
#define INTERCEPT_VMMCALL (1u << 1)
#define INTERCEPT_VMLOAD (1u << 2)
#define INTERCEPT_VMSAVE (1u << 3)
#define INTERCEPT_STGI (1u << 4)
#define INTERCEPT_CLGI (1u << 5)
#define INTERCEPT_SKINIT (1u << 6)

/* Bits of intercept_cr. */
#define INTERCEPT_CR_READ(n) (1u << (n))
#define INTERCEPT_CR_WRITE(n) (1u << (16 + (n)))

#define EXIT_CR_READ 0x000 /* + n */
#define EXIT_CR_WRITE 0x010
#define EXIT_EXCEPTION 0x040 /* + vector */
#define EXIT_INTR 0x060
#define EXIT_NMI 0x061
#define EXIT_INIT 0x063
#define EXIT_VINTR 0x064
#define EXIT_CR0_SELECTIVE 0x065
#define EXIT_LDTR_WRITE 0x06c
#define EXIT_TR_WRITE 0x06d
#define EXIT_CPUID 0x072
#define EXIT_IRET 0x074
#define EXIT_SOFTWARE 0x075
#define EXIT_INVD 0x076
#define EXIT_HLT 0x078
#define EXIT_INVLPGA 0x07a
#define EXIT_IOIO 0x07b
#define EXIT_MSR 0x07c
#define EXIT_SHUTDOWN 0x07f
#define EXIT_VMRUN 0x080
#define EXIT_VMMCALL 0x081
#define EXIT_VMLOAD 0x082
#define EXIT_VMSAVE 0x083
#define EXIT_STGI 0x084
#define EXIT_CLGI 0x085
#define EXIT_SKINIT 0x086
#define EXIT_NPF 0x400
#define EXIT_INVALID 0xffffffff

/* exit_info1 of an I/O exit; the port is above. exit_info2 is the next EIP. */
#define IOIO_IN 0x1
#define IOIO_STRING 0x4
#define IOIO_SIZE(info) ((info) >> 4 & 7) /* bytes */
#define IOIO_PORT(info) ((info) >> 16)

/* exit_info1 of a nested page fault; exit_info2 is the guest-physical address. */
#define NPF_PRESENT 0x1
#define NPF_WRITE 0x2

/* event and exit_event. */
#define EVENT_VALID 0x80000000u
#define EVENT_ERROR 0x800u
#define EVENT_INTR 0x000u
#define EVENT_NMI 0x200u
#define EVENT_EXCEPTION 0x300u
#define EVENT_SOFTWARE 0x400u
#define EVENT_TYPE 0x700u
#define EVENT_VECTOR 0xffu

#define INT_V_IRQ 0x100u
#define INT_V_IGNORE_TPR 0x100000u
#define INT_V_MASKING 0x1000000u /* the host's IF gates physical interrupts */
#define INT_SHADOW 1u

#define TLB_FLUSH 1 /* everything, at the next VMRUN */
#define NESTED_PAGING 1

struct vmcb_segment {
	uint16_t selector;
	uint16_t attributes; /* descriptor bits 40 to 47 and 52 to 55 */
	uint32_t limit;
	uint64_t base;
};

/* A guest without long mode: the high halves of its registers stay 0. */
struct vmcb {
	uint32_t intercept_cr;
	uint32_t intercept_dr;
	uint32_t intercept_exceptions;
	uint32_t intercept1, intercept2;
	uint8_t reserved1[44];
	uint64_t iopm, msrpm; /* physical */
	uint64_t tsc_offset;
	uint32_t asid;
	uint32_t tlb_control;
	uint32_t int_control;
	uint32_t int_vector;
	uint32_t int_shadow, int_shadow_high;
	uint32_t exit_code, exit_code_high, exit_info1, exit_info1_high, exit_info2,
		exit_info2_high;
	uint32_t exit_event, exit_event_error; /* what the exit interrupted the delivery of */
	uint64_t nested;
	uint8_t reserved2[16];
	uint32_t event, event_error;
	uint64_t nested_cr3;
	uint8_t reserved3[0x400 - 0xb8];

	struct vmcb_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	uint8_t reserved4[43];
	uint8_t cpl;
	uint8_t reserved5[4];
	uint64_t efer;
	uint8_t reserved6[112];
	uint32_t cr4, cr4_high, cr3, cr3_high, cr0, cr0_high, dr7, dr7_high, dr6, dr6_high;
	uint32_t eflags, eflags_high, eip, eip_high;
	uint8_t reserved7[88];
	uint32_t esp, esp_high;
	uint8_t reserved8[24];
	uint32_t eax, eax_high;
	uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint32_t cr2, cr2_high;
	uint8_t reserved9[32];
	uint64_t pat;
	uint8_t reserved10[0x1000 - 0x670];
};

_Static_assert(offsetof(struct vmcb, intercept1) == 0x00c, "vmcb");
_Static_assert(offsetof(struct vmcb, iopm) == 0x040, "vmcb");
_Static_assert(offsetof(struct vmcb, asid) == 0x058, "vmcb");
_Static_assert(offsetof(struct vmcb, int_control) == 0x060, "vmcb");
_Static_assert(offsetof(struct vmcb, exit_code) == 0x070, "vmcb");
_Static_assert(offsetof(struct vmcb, nested) == 0x090, "vmcb");
_Static_assert(offsetof(struct vmcb, event) == 0x0a8, "vmcb");
_Static_assert(offsetof(struct vmcb, nested_cr3) == 0x0b0, "vmcb");
_Static_assert(offsetof(struct vmcb, es) == 0x400, "vmcb");
_Static_assert(offsetof(struct vmcb, tr) == 0x490, "vmcb");
_Static_assert(offsetof(struct vmcb, cpl) == 0x4cb, "vmcb");
_Static_assert(offsetof(struct vmcb, efer) == 0x4d0, "vmcb");
_Static_assert(offsetof(struct vmcb, cr4) == 0x548, "vmcb");
_Static_assert(offsetof(struct vmcb, eip) == 0x578, "vmcb");
_Static_assert(offsetof(struct vmcb, esp) == 0x5d8, "vmcb");
_Static_assert(offsetof(struct vmcb, eax) == 0x5f8, "vmcb");
_Static_assert(offsetof(struct vmcb, cr2) == 0x640, "vmcb");
_Static_assert(offsetof(struct vmcb, pat) == 0x668, "vmcb");
_Static_assert(sizeof(struct vmcb) == 0x1000, "vmcb");

#endif /* SVM_VMCB_H */
