/* SPDX-License-Identifier: MIT */
/*
 * The Virtual Machine Interface (VMI) for i386: the interface between a guest
 * kernel and the hypervisor's option ROM, as a header.
 *
 * Three revisions are described, each by its published number:
 *
 *	3.0	December 2006; Linux 2.6.21 to 2.6.36 (CONFIG_VMI)
 *	13.x	RFC of 13 March 2006; Linux 2.6.16 patches, and sanos (13.3)
 *	6.1	2005; Linux 2.6.12 patches, L4Ka
 *
 * This file stands alone. It compiles as C90, C11 and C++17, and the C
 * preprocessor may run over it for assembly (__ASSEMBLER__: macros only).
 * Sources are named in brackets: [RFC] is the text of 13 March 2006, [PCI] the
 * PCI Firmware Specification 3.0, [PnP] the Plug and Play BIOS Specification
 * 1.0A, [SDM] the Intel Software Developer's Manual.
 */
#ifndef VMI_ABI_H
#define VMI_ABI_H

/* ------------------------------------------------------------------------
 * Columns of the table of calls
 */

/* A revision gives the call no number. */
#define VMI_NO 0xff

/* Registers and stack words, as bits of the columns in, out and clobber. */
#define VMI_A 0x001   /* EAX */
#define VMI_C 0x002   /* ECX */
#define VMI_D 0x004   /* EDX */
#define VMI_B 0x008   /* EBX */
#define VMI_SI 0x010  /* ESI */
#define VMI_DI 0x020  /* EDI */
#define VMI_S1 0x040  /* [esp+4] on entry; at [esp] where the call is jumped to */
#define VMI_S2 0x080  /* [esp+8] on entry */
#define VMI_FL 0x100  /* OF SF ZF AF PF CF */
#define VMI_MEM 0x200 /* memory that an argument points to */
#define VMI_EFL 0x400 /* flags outside those: IF, IOPL; SetEFLAGS sets all */

/*
 * What a guest must expect to lose. STD is the published convention; every
 * call of this project preserves each register and flag that is neither in its
 * out column nor in OSZAPC, whatever this column says.
 */
#define VMI_STD (VMI_A | VMI_D | VMI_C | VMI_FL)

/* How the call is entered and left. */
#define VMI_CONV_C 0	/* CALL; regparm(3); a C compiler can call it */
#define VMI_CONV_REGS 1 /* CALL; registers as in the columns, not C */
#define VMI_CONV_JUMP 2 /* JMP; the frame is at [esp]; no return */
#define VMI_CONV_EXIT 3 /* CALL; a return address is above the frame; no return */

/* Which segment registers the call may rely on to be flat. */
#define VMI_SEG_FLAT 0 /* CS, SS, DS and ES */
#define VMI_SEG_CSSS 1 /* CS and SS */

/* Under which bit of SetDeferredMode the call may be queued; 0: never. */
#define VMI_DEFER_NONE 0
#define VMI_DEFER_MMU 1
#define VMI_DEFER_CPU 2
#define VMI_DEFER_DT 4

/* ------------------------------------------------------------------------
 * The table of calls
 *
 * One row a stub. Where a revision passes other arguments under the same name,
 * the stub has a row of its own, with that revision's name (6.1) or with the
 * suffix _v13 or _v6.
 *
 *	X(name, number in 3.0, in 13.x, in 6.1, result type, (C arguments),
 *	  in, out, clobber, convention, segments, defer class, text)
 *
 * Numbers: 3.0 passes them to GetRelocationInfo; 13.x and 6.1 have the code of
 * call n at offset n * 32 of the image. Init and GetRelocationInfo of 3.0 have
 * fixed offsets (VMI_3_INIT, VMI_3_GETRELOC) and no number. 85 to 87 are of
 * 13.3. Stubs without any number are found by name, in the ELF symbol table.
 */
/* clang-format off */
#define VMI_CALLS(X)                                                                              \
	/* The interface itself */                                                                \
	X(Init, VMI_NO, 4, 4, vmi_u32, (vmi_u32 data), VMI_A, VMI_A, VMI_STD, VMI_CONV_C,         \
	  VMI_SEG_FLAT, VMI_DEFER_NONE,                                                           \
	  "enter VMI mode: 0, or -1 and nothing has changed; 6.1 passes its data area")           \
	X(GetRelocationInfo, VMI_NO, 85, VMI_NO, vmi_u64, (vmi_u32 call), VMI_A, VMI_A | VMI_D,   \
	  VMI_STD, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE,                                      \
	  "binding of one call on this host: EAX the EIP, DL the type")                           \
	/* Processor identity and model-specific registers */                                     \
	X(CPUID, 0, 5, 5, void, (void), VMI_A | VMI_C, VMI_A | VMI_B | VMI_C | VMI_D,             \
	  VMI_STD | VMI_B, VMI_CONV_REGS, VMI_SEG_FLAT, VMI_DEFER_NONE,                           \
	  "as CPUID; the host may mask bits")                                                     \
	X(WRMSR, 1, 6, 6, void, (vmi_u64 value, vmi_u32 msr), VMI_A | VMI_D | VMI_C, 0, VMI_STD,  \
	  VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE, "as WRMSR")                                   \
	X(RDMSR, 2, 7, 7, vmi_u64, (vmi_u64 unused, vmi_u32 msr), VMI_C, VMI_A | VMI_D, VMI_STD,  \
	  VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE, "as RDMSR")                                   \
	X(RDPMC, 26, 32, 34, vmi_u64, (vmi_u64 unused, vmi_u32 counter), VMI_C, VMI_A | VMI_D,    \
	  VMI_STD, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE, "as RDPMC")                          \
	X(RDTSC, 27, 33, 35, vmi_u64, (void), 0, VMI_A | VMI_D, VMI_STD, VMI_CONV_C,              \
	  VMI_SEG_FLAT, VMI_DEFER_NONE, "as RDTSC")                                               \
	/* Descriptor tables */                                                                   \
	X(SetGDT, 3, 8, 8, void, (const struct vmi_dtr *dtr), VMI_A, 0, VMI_STD, VMI_CONV_C,      \
	  VMI_SEG_FLAT, VMI_DEFER_NONE, "load GDTR, then reload every segment register")          \
	X(SetLDT, 4, 9, 10, void, (vmi_u32 selector), VMI_A, 0, VMI_STD, VMI_CONV_C,              \
	  VMI_SEG_FLAT, VMI_DEFER_NONE, "load LDTR, then reload every segment register")          \
	X(SetIDT, 5, 10, 9, void, (const struct vmi_dtr *dtr), VMI_A, 0, VMI_STD, VMI_CONV_C,     \
	  VMI_SEG_FLAT, VMI_DEFER_NONE, "load IDTR")                                              \
	X(SetTR, 6, 11, 11, void, (vmi_u32 selector), VMI_A, 0, VMI_STD, VMI_CONV_C,              \
	  VMI_SEG_FLAT, VMI_DEFER_NONE, "load TR")                                                \
	X(GetGDT, 7, 12, 12, void, (struct vmi_dtr * dtr), VMI_A, VMI_MEM, VMI_STD, VMI_CONV_C,   \
	  VMI_SEG_FLAT, VMI_DEFER_NONE, "guest view of GDTR")                                     \
	X(GetLDT, 8, 13, 14, vmi_u32, (void), 0, VMI_A, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT,        \
	  VMI_DEFER_NONE, "guest view of LDTR: the selector, zero-extended")                      \
	X(GetIDT, 9, 14, 13, void, (struct vmi_dtr * dtr), VMI_A, VMI_MEM, VMI_STD, VMI_CONV_C,   \
	  VMI_SEG_FLAT, VMI_DEFER_NONE, "guest view of IDTR")                                     \
	X(GetTR, 10, 15, 15, vmi_u32, (void), 0, VMI_A, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT,        \
	  VMI_DEFER_NONE, "guest view of TR: the selector, zero-extended")                        \
	X(WriteGDTEntry, 11, 16, VMI_NO, void,                                                    \
	  (void *table, vmi_u32 index, vmi_u32 low, vmi_u32 high),                                \
	  VMI_A | VMI_D | VMI_C | VMI_S1, VMI_MEM, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT,             \
	  VMI_DEFER_DT, "write one descriptor; the host may alter it")                            \
	X(WriteLDTEntry, 12, 17, VMI_NO, void,                                                    \
	  (void *table, vmi_u32 index, vmi_u32 low, vmi_u32 high),                                \
	  VMI_A | VMI_D | VMI_C | VMI_S1, VMI_MEM, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT,             \
	  VMI_DEFER_DT, "write one descriptor; the host may alter it")                            \
	X(WriteIDTEntry, 13, 18, VMI_NO, void,                                                    \
	  (void *table, vmi_u32 index, vmi_u32 low, vmi_u32 high),                                \
	  VMI_A | VMI_D | VMI_C | VMI_S1, VMI_MEM, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT,             \
	  VMI_DEFER_DT, "write one gate; the host may alter it")                                  \
	X(UpdateGDT, VMI_NO, VMI_NO, 16, void, (vmi_u32 first, vmi_u32 last), VMI_A | VMI_D, 0,   \
	  VMI_FL, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_DT,                                         \
	  "entries first to last were changed in memory")                                         \
	X(UpdateIDT, VMI_NO, VMI_NO, 17, void, (vmi_u32 first, vmi_u32 last), VMI_A | VMI_D, 0,   \
	  VMI_FL, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_DT,                                         \
	  "entries first to last were changed in memory")                                         \
	X(UpdateLDT, VMI_NO, VMI_NO, 18, void, (vmi_u32 first, vmi_u32 last), VMI_A | VMI_D, 0,   \
	  VMI_FL, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_DT,                                         \
	  "entries first to last were changed in memory")                                         \
	X(UpdateKernelStack, 14, VMI_NO, 19, void, (vmi_u32 ss0, vmi_u32 esp0), VMI_A | VMI_D, 0, \
	  VMI_STD, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_CPU,                                       \
	  "kernel stack for entries from user mode")                                              \
	X(UpdateKernelStack_v13, VMI_NO, 19, VMI_NO, void, (void *tss, vmi_u32 esp0),             \
	  VMI_A | VMI_D, 0, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_CPU,                     \
	  "kernel stack for entries from user mode")                                              \
	/* Control and debug registers */                                                         \
	X(SetCR0, 15, 20, 20, void, (vmi_u32 value), VMI_A, 0, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT, \
	  VMI_DEFER_CPU, "as MOV to CR0")                                                         \
	X(SetCR2, 16, 21, 21, void, (vmi_u32 value), VMI_A, 0, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT, \
	  VMI_DEFER_CPU, "as MOV to CR2")                                                         \
	X(SetCR3, 17, 22, 22, void, (vmi_u32 value), VMI_A, 0, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT, \
	  VMI_DEFER_MMU, "as MOV to CR3")                                                         \
	X(SetCR4, 18, 23, 23, void, (vmi_u32 value), VMI_A, 0, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT, \
	  VMI_DEFER_CPU, "as MOV to CR4")                                                         \
	X(GetCR0, 19, 24, 24, vmi_u32, (void), 0, VMI_A, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT,       \
	  VMI_DEFER_NONE, "guest view of CR0")                                                    \
	X(GetCR2, 20, 25, 25, vmi_u32, (void), 0, VMI_A, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT,       \
	  VMI_DEFER_NONE, "guest view of CR2")                                                    \
	X(GetCR3, 21, 26, 26, vmi_u32, (void), 0, VMI_A, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT,       \
	  VMI_DEFER_NONE, "guest view of CR3")                                                    \
	X(GetCR4, 22, 27, 27, vmi_u32, (void), 0, VMI_A, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT,       \
	  VMI_DEFER_NONE, "guest view of CR4")                                                    \
	X(LMSW, VMI_NO, VMI_NO, 28, void, (vmi_u32 word), VMI_A, 0, VMI_FL, VMI_CONV_C,           \
	  VMI_SEG_FLAT, VMI_DEFER_NONE, "as LMSW AX")                                             \
	X(SMSW, VMI_NO, VMI_NO, 29, vmi_u16, (void), 0, VMI_A, VMI_A | VMI_FL, VMI_CONV_C,        \
	  VMI_SEG_FLAT, VMI_DEFER_NONE, "as SMSW AX")                                             \
	X(CLTS, 28, 34, 30, void, (void), 0, 0, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT,                \
	  VMI_DEFER_NONE, "clear CR0.TS in the CR0 that the other calls see")                     \
	X(STTS, VMI_NO, VMI_NO, 31, void, (void), 0, 0, VMI_FL, VMI_CONV_C, VMI_SEG_FLAT,         \
	  VMI_DEFER_NONE, "set CR0.TS")                                                           \
	X(SetDR, 24, 30, 32, void, (vmi_u32 number, vmi_u32 value), VMI_A | VMI_D, 0, VMI_STD,    \
	  VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE, "as MOV to DRn")                              \
	X(GetDR, 25, 31, 33, vmi_u32, (vmi_u32 number), VMI_A, VMI_A, VMI_STD, VMI_CONV_C,        \
	  VMI_SEG_FLAT, VMI_DEFER_NONE, "as MOV from DRn; may read 0")                            \
	X(INVD, VMI_NO, 28, 36, void, (void), 0, 0, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT,            \
	  VMI_DEFER_NONE, "as INVD; deprecated, a virtual machine may not run it")                \
	X(WBINVD, 23, 29, 37, void, (void), 0, 0, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT,              \
	  VMI_DEFER_NONE, "as WBINVD")                                                            \
	/* Interrupts and flags */                                                                \
	X(EnableInterrupts, 29, 35, 58, void, (void), 0, VMI_EFL, VMI_FL, VMI_CONV_C,             \
	  VMI_SEG_CSSS, VMI_DEFER_NONE, "enable, and deliver what is pending")                    \
	X(DisableInterrupts, 30, 36, 59, void, (void), 0, VMI_EFL, VMI_FL, VMI_CONV_C,            \
	  VMI_SEG_CSSS, VMI_DEFER_NONE, "disable")                                                \
	X(GetInterruptMask, 31, 37, VMI_NO, vmi_u32, (void), 0, VMI_A, VMI_A | VMI_FL,            \
	  VMI_CONV_C, VMI_SEG_CSSS, VMI_DEFER_NONE, "0x200 enabled, 0 disabled")                  \
	X(SetInterruptMask, 32, 38, 57, void, (vmi_u32 mask), VMI_A, VMI_EFL, VMI_FL,             \
	  VMI_CONV_C, VMI_SEG_CSSS, VMI_DEFER_NONE,                                               \
	  "set from bit 0x200, and deliver what is pending")                                      \
	X(SaveAndDisableIRQs, VMI_NO, VMI_NO, 56, vmi_u32, (void), 0, VMI_A | VMI_EFL,            \
	  VMI_A | VMI_FL, VMI_CONV_C, VMI_SEG_CSSS, VMI_DEFER_NONE,                               \
	  "the old flags, then disable")                                                          \
	X(SetEFLAGS, VMI_NO, VMI_NO, 54, void, (vmi_u32 flags), VMI_A, VMI_EFL, VMI_FL,           \
	  VMI_CONV_C, VMI_SEG_CSSS, VMI_DEFER_NONE, "all of EFLAGS but VIF VIP VM")               \
	X(GetEFLAGS, VMI_NO, VMI_NO, 55, vmi_u32, (void), 0, VMI_A, VMI_A | VMI_FL, VMI_CONV_C,   \
	  VMI_SEG_CSSS, VMI_DEFER_NONE, "all of EFLAGS")                                          \
	X(DeliverInterrupts, VMI_NO, VMI_NO, VMI_NO, void, (void), 0, VMI_EFL, VMI_FL,            \
	  VMI_CONV_C, VMI_SEG_CSSS, VMI_DEFER_NONE,                                               \
	  "enable, and deliver what is pending (proposed)")                                       \
	/* Privilege transitions and processor state */                                           \
	X(IRET, 33, VMI_NO, VMI_NO, void, (void), VMI_S1, 0, 0, VMI_CONV_JUMP, VMI_SEG_CSSS,      \
	  VMI_DEFER_NONE, "return from interrupt: eip cs flags (esp ss (es ds fs gs))")           \
	X(IRET_v13, VMI_NO, 39, 60, void, (void), VMI_S1, 0, 0, VMI_CONV_EXIT, VMI_SEG_CSSS,      \
	  VMI_DEFER_NONE, "the same, reached by CALL")                                            \
	X(IRET16, VMI_NO, VMI_NO, 61, void, (void), VMI_S1, 0, 0, VMI_CONV_EXIT, VMI_SEG_CSSS,    \
	  VMI_DEFER_NONE, "return from interrupt through a 16-bit frame: ip cs flags (sp ss)")    \
	X(SYSEXIT, 34, 40, 62, void, (void), VMI_D | VMI_C, 0, 0, VMI_CONV_JUMP, VMI_SEG_CSSS,    \
	  VMI_DEFER_NONE, "enable interrupts and SYSEXIT, atomically; CALL and JMP both do")      \
	X(StiSysexit, VMI_NO, VMI_NO, 63, void, (void), VMI_D | VMI_C, 0, 0, VMI_CONV_JUMP,       \
	  VMI_SEG_CSSS, VMI_DEFER_NONE, "SYSEXIT under its older name")                           \
	X(SysRet, VMI_NO, VMI_NO, 64, void, (void), VMI_C, 0, 0, VMI_CONV_JUMP, VMI_SEG_CSSS,     \
	  VMI_DEFER_NONE, "as SYSRET")                                                            \
	X(Pause, VMI_NO, 41, 67, void, (void), 0, 0, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT,           \
	  VMI_DEFER_NONE, "as PAUSE")                                                             \
	X(Halt, 35, 42, 66, void, (void), 0, VMI_EFL, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT,          \
	  VMI_DEFER_NONE, "wait for an interrupt with interrupts enabled, atomically")            \
	X(SafeHalt, VMI_NO, VMI_NO, 65, void, (void), 0, VMI_EFL, VMI_FL, VMI_CONV_C,             \
	  VMI_SEG_FLAT, VMI_DEFER_NONE, "Halt under its older name")                              \
	X(Reboot, 36, 43, 69, void, (vmi_u32 how), VMI_A, 0, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT,   \
	  VMI_DEFER_NONE, "reboot the machine: 0 soft (INIT), 1 hard (reset)")                    \
	X(Shutdown, 37, 44, 68, void, (void), 0, 0, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT,            \
	  VMI_DEFER_NONE, "stop this CPU for good; the last one powers off")                      \
	X(SetInitialAPState, 62, 75, VMI_NO, void, (vmi_u32 state, vmi_u32 apic_id),              \
	  VMI_A | VMI_D, 0, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE,                    \
	  "state in which that CPU starts at its next STARTUP IPI")                               \
	/* Page tables */                                                                         \
	X(SetPxE, 38, 86, VMI_NO, void, (vmi_u32 pte, void *ptep, vmi_u32 flags),                 \
	  VMI_A | VMI_D | VMI_C, VMI_MEM, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_MMU,       \
	  "write a 32-bit entry at any level")                                                    \
	X(SetPxE_v13, VMI_NO, 45, VMI_NO, void, (void *ptep, vmi_u32 pte, vmi_u32 level),         \
	  VMI_A | VMI_D | VMI_C, VMI_MEM, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_MMU,       \
	  "write a 32-bit entry at any level, in 13.0's order of arguments")                      \
	X(SetPte, VMI_NO, VMI_NO, 72, void, (vmi_u32 pte, void *ptep, vmi_u32 level),             \
	  VMI_A | VMI_D | VMI_C, VMI_MEM, VMI_FL, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_MMU,        \
	  "write a 32-bit entry")                                                                 \
	X(SetPxELong, 39, 87, VMI_NO, void, (vmi_u64 pte, void *ptep, vmi_u32 flags),             \
	  VMI_A | VMI_D | VMI_C | VMI_S1, VMI_MEM, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT,             \
	  VMI_DEFER_MMU, "write a PAE entry; never present but wrong in between")                 \
	X(SetPxELong_v13, VMI_NO, 48, VMI_NO, void, (vmi_u64 pte, void *ptep),                    \
	  VMI_A | VMI_D | VMI_C, VMI_MEM, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_MMU,       \
	  "write a PAE entry; never present but wrong in between")                                \
	X(SetPteLong, VMI_NO, VMI_NO, 76, void, (vmi_u64 pte, void *ptep),                        \
	  VMI_A | VMI_D | VMI_C, VMI_MEM, VMI_FL, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_MMU,        \
	  "write a PAE entry; never present but wrong in between")                                \
	X(UpdatePxE, 40, VMI_NO, VMI_NO, void, (void *ptep, vmi_u32 flags), VMI_A | VMI_D, 0,     \
	  VMI_STD, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_MMU,                                       \
	  "the guest has just written this entry itself")                                         \
	X(UpdatePxELong, 41, VMI_NO, VMI_NO, void, (void *ptep, vmi_u32 flags), VMI_A | VMI_D, 0, \
	  VMI_STD, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_MMU,                                       \
	  "the guest has just written this PAE entry itself")                                     \
	X(GetPxE, VMI_NO, 46, VMI_NO, vmi_u32, (const void *ptep), VMI_A, VMI_A, VMI_STD,         \
	  VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE, "read an entry as the guest wrote it")        \
	X(GetPteVal, VMI_NO, VMI_NO, 70, vmi_u32, (vmi_u32 value), VMI_A, VMI_A, VMI_A | VMI_FL,  \
	  VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE, "the guest's value of a table entry's value") \
	X(GetPdeVal, VMI_NO, VMI_NO, 71, vmi_u32, (vmi_u32 value), VMI_A, VMI_A, VMI_A | VMI_FL,  \
	  VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE,                                               \
	  "the guest's value of a directory entry's value")                                       \
	X(GetPxELong, VMI_NO, 49, VMI_NO, vmi_u64, (const void *ptep), VMI_A, VMI_A | VMI_D,      \
	  VMI_STD, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE,                                      \
	  "read a PAE entry as the guest wrote it")                                               \
	X(SwapPxE, VMI_NO, 47, VMI_NO, vmi_u32, (void *ptep, vmi_u32 pte), VMI_A | VMI_D,         \
	  VMI_A | VMI_MEM, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE,                     \
	  "atomic exchange, A and D bits up to date")                                             \
	X(SwapPte, VMI_NO, VMI_NO, 73, vmi_u32, (vmi_u32 pte, void *ptep), VMI_A | VMI_D,         \
	  VMI_A | VMI_MEM, VMI_A | VMI_FL, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE,              \
	  "atomic exchange, A and D bits up to date")                                             \
	X(SwapPxELongAtomic, VMI_NO, 50, VMI_NO, vmi_u64, (vmi_u64 pte, void *ptep),              \
	  VMI_A | VMI_D | VMI_C, VMI_A | VMI_D | VMI_MEM, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT,      \
	  VMI_DEFER_NONE, "atomic exchange of a PAE entry")                                       \
	X(SwapPteLong, VMI_NO, VMI_NO, 77, void, (void), VMI_B | VMI_C | VMI_DI,                  \
	  VMI_A | VMI_D | VMI_MEM, VMI_A | VMI_D | VMI_FL, VMI_CONV_REGS, VMI_SEG_FLAT,           \
	  VMI_DEFER_NONE, "atomic exchange of a PAE entry: ECX:EBX into [EDI], old in EDX:EAX")   \
	X(DeactivatePxELongAtomic, VMI_NO, 72, VMI_NO, vmi_u64, (void *ptep), VMI_A,              \
	  VMI_A | VMI_D | VMI_MEM, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE,             \
	  "atomically clear a PAE entry, low word first")                                         \
	X(TestAndSetPxEBit, VMI_NO, 51, VMI_NO, vmi_u32, (void *ptep, vmi_u32 bit),               \
	  VMI_A | VMI_D, VMI_A | VMI_MEM, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE,      \
	  "atomic; 1: was set")                                                                   \
	X(TestAndSetPteBit, VMI_NO, VMI_NO, 74, vmi_u32, (vmi_u32 bit, void *ptep),               \
	  VMI_A | VMI_D, VMI_A | VMI_MEM, VMI_A | VMI_FL, VMI_CONV_C, VMI_SEG_FLAT,               \
	  VMI_DEFER_NONE, "atomic; 1: was set")                                                   \
	X(TestAndClearPxEBit, VMI_NO, 52, VMI_NO, vmi_u32, (void *ptep, vmi_u32 bit),             \
	  VMI_A | VMI_D, VMI_A | VMI_MEM, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE,      \
	  "atomic; 1: was set")                                                                   \
	X(TestAndClearPteBit, VMI_NO, VMI_NO, 75, vmi_u32, (vmi_u32 bit, void *ptep),             \
	  VMI_A | VMI_D, VMI_A | VMI_MEM, VMI_A | VMI_FL, VMI_CONV_C, VMI_SEG_FLAT,               \
	  VMI_DEFER_NONE, "atomic; 1: was set")                                                   \
	X(TestAndSetPxELongBit, VMI_NO, 73, VMI_NO, vmi_u32, (void *ptep, vmi_u32 bit),           \
	  VMI_A | VMI_D, VMI_A | VMI_MEM, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE,      \
	  "atomic, PAE entry; 1: was set")                                                        \
	X(TestAndSetPteBitLong, VMI_NO, VMI_NO, 78, vmi_u32, (vmi_u32 bit, void *ptep),           \
	  VMI_A | VMI_D, VMI_A | VMI_MEM, VMI_A | VMI_FL, VMI_CONV_C, VMI_SEG_FLAT,               \
	  VMI_DEFER_NONE, "atomic, PAE entry; 1: was set")                                        \
	X(TestAndClearPxELongBit, VMI_NO, 74, VMI_NO, vmi_u32, (void *ptep, vmi_u32 bit),         \
	  VMI_A | VMI_D, VMI_A | VMI_MEM, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE,      \
	  "atomic, PAE entry; 1: was set")                                                        \
	X(TestAndClearPteBitLong, VMI_NO, VMI_NO, 79, vmi_u32, (vmi_u32 bit, void *ptep),         \
	  VMI_A | VMI_D, VMI_A | VMI_MEM, VMI_A | VMI_FL, VMI_CONV_C, VMI_SEG_FLAT,               \
	  VMI_DEFER_NONE, "atomic, PAE entry; 1: was set")                                        \
	/* Memory */                                                                              \
	X(MachineToPhysical, 42, VMI_NO, 91, vmi_u32, (vmi_u32 machine), VMI_A, VMI_A, VMI_STD,   \
	  VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE, "identity where memory is not remapped")      \
	X(PhysicalToMachine, 43, VMI_NO, 90, vmi_u32, (vmi_u32 physical), VMI_A, VMI_A, VMI_STD,  \
	  VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE, "identity where memory is not remapped")      \
	X(AllocatePage, 44, 53, VMI_NO, void,                                                     \
	  (vmi_u32 pfn, vmi_u32 flags, vmi_u32 clone_pfn, vmi_u32 first, vmi_u32 count),          \
	  VMI_A | VMI_D | VMI_C | VMI_S1 | VMI_S2, 0, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT,          \
	  VMI_DEFER_NONE, "this page is about to become a page table of this kind")               \
	X(ReleasePage, 45, 54, 84, void, (vmi_u32 pfn, vmi_u32 flags), VMI_A | VMI_D, 0, VMI_STD, \
	  VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE, "it is an ordinary page again")               \
	X(RegisterPageUsage, VMI_NO, VMI_NO, 83, void, (vmi_u32 pfn, vmi_u32 flags),              \
	  VMI_A | VMI_D, 0, VMI_FL, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE,                     \
	  "older form of AllocatePage")                                                           \
	X(RegisterPageMapping, VMI_NO, VMI_NO, 82, void, (vmi_u32 va, vmi_u32 pfn, vmi_u32 pages),\
	  VMI_A | VMI_D | VMI_C, 0, VMI_FL, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE,             \
	  "older form of SetLinearMapping")                                                       \
	X(ClonePageTable, VMI_NO, VMI_NO, 80, void, (vmi_u32 dst, vmi_u32 src, vmi_u32 range),    \
	  VMI_A | VMI_D | VMI_C, 0, VMI_FL, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE,             \
	  "shadow template at table level; range is first << 16 | count")                         \
	X(ClonePageDirectory, VMI_NO, VMI_NO, 81, void, (vmi_u32 dst, vmi_u32 src, vmi_u32 range),\
	  VMI_A | VMI_D | VMI_C, 0, VMI_FL, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE,             \
	  "shadow template at directory level; range is first << 16 | count")                     \
	X(InvalPage, 46, 55, 85, void, (vmi_u32 va), VMI_A, 0, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT, \
	  VMI_DEFER_NONE, "as INVLPG")                                                            \
	X(FlushTLB, 47, 56, VMI_NO, void, (vmi_u32 how), VMI_A, 0, VMI_STD, VMI_CONV_C,           \
	  VMI_SEG_FLAT, VMI_DEFER_NONE, "flush: 1 TLB, |2 global pages too")                      \
	X(FlushTLB_v6, VMI_NO, VMI_NO, 86, void, (void), 0, 0, VMI_FL, VMI_CONV_C, VMI_SEG_FLAT,  \
	  VMI_DEFER_NONE, "flush all but global pages")                                           \
	X(FlushTLBAll, VMI_NO, VMI_NO, 87, void, (void), 0, 0, VMI_FL, VMI_CONV_C, VMI_SEG_FLAT,  \
	  VMI_DEFER_NONE, "flush global pages too")                                               \
	X(SetLinearMapping, 48, 58, VMI_NO, void,                                                 \
	  (vmi_u32 slot, vmi_u32 va, vmi_u32 pages, vmi_u32 pfn),                                 \
	  VMI_A | VMI_D | VMI_C | VMI_S1, 0, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE,   \
	  "va range maps to pfn range, for finding page tables")                                  \
	X(FlushDeferredCalls, VMI_NO, 57, 89, void, (vmi_u32 what), VMI_A, 0, VMI_STD,            \
	  VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE, "perform everything queued")                  \
	X(SetDeferredMode, VMI_NO, VMI_NO, 88, void, (vmi_u32 mode), VMI_A, 0, VMI_FL,            \
	  VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE, "a bit being cleared flushes its queue")      \
	X(SetLazyMode, 73, VMI_NO, VMI_NO, void, (vmi_u32 mode), VMI_A, 0, VMI_STD, VMI_CONV_C,   \
	  VMI_SEG_FLAT, VMI_DEFER_NONE, "0 none, 1 MMU, 2 CPU: 3.0's form of SetDeferredMode")    \
	X(SetCallbacks, 72, VMI_NO, VMI_NO, void, (void), 0, 0, VMI_STD, VMI_CONV_C,              \
	  VMI_SEG_FLAT, VMI_DEFER_NONE, "not published; no known guest calls it")                 \
	/* Input and output */                                                                    \
	X(IN, 49, 59, 40, vmi_u32, (vmi_u32 unused, vmi_u32 port), VMI_D, VMI_A, VMI_A,           \
	  VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE, "as IN EAX,DX")                               \
	X(INB, 50, 60, 38, vmi_u8, (vmi_u32 unused, vmi_u32 port), VMI_D, VMI_A, VMI_A,           \
	  VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE, "as IN AL,DX")                                \
	X(INW, 51, 61, 39, vmi_u16, (vmi_u32 unused, vmi_u32 port), VMI_D, VMI_A, VMI_A,          \
	  VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE, "as IN AX,DX")                                \
	X(INS, 52, 62, 46, void, (void), VMI_D | VMI_DI | VMI_C, VMI_DI | VMI_C | VMI_MEM,        \
	  VMI_DI | VMI_C, VMI_CONV_REGS, VMI_SEG_FLAT, VMI_DEFER_NONE, "as REP INSD")             \
	X(INSB, 53, 63, 44, void, (void), VMI_D | VMI_DI | VMI_C, VMI_DI | VMI_C | VMI_MEM,       \
	  VMI_DI | VMI_C, VMI_CONV_REGS, VMI_SEG_FLAT, VMI_DEFER_NONE, "as REP INSB")             \
	X(INSW, 54, 64, 45, void, (void), VMI_D | VMI_DI | VMI_C, VMI_DI | VMI_C | VMI_MEM,       \
	  VMI_DI | VMI_C, VMI_CONV_REGS, VMI_SEG_FLAT, VMI_DEFER_NONE, "as REP INSW")             \
	X(OUT, 55, 65, 43, void, (vmi_u32 value, vmi_u32 port), VMI_A | VMI_D, 0, 0, VMI_CONV_C,  \
	  VMI_SEG_FLAT, VMI_DEFER_NONE, "as OUT DX,EAX")                                          \
	X(OUTB, 56, 66, 41, void, (vmi_u8 value, vmi_u32 port), VMI_A | VMI_D, 0, 0, VMI_CONV_C,  \
	  VMI_SEG_FLAT, VMI_DEFER_NONE, "as OUT DX,AL")                                           \
	X(OUTW, 57, 67, 42, void, (vmi_u16 value, vmi_u32 port), VMI_A | VMI_D, 0, 0, VMI_CONV_C, \
	  VMI_SEG_FLAT, VMI_DEFER_NONE, "as OUT DX,AX")                                           \
	X(OUTS, 58, 68, 49, void, (void), VMI_D | VMI_SI | VMI_C, VMI_SI | VMI_C,                 \
	  VMI_SI | VMI_C, VMI_CONV_REGS, VMI_SEG_FLAT, VMI_DEFER_NONE, "as REP OUTSD")            \
	X(OUTSB, 59, 69, 47, void, (void), VMI_D | VMI_SI | VMI_C, VMI_SI | VMI_C,                \
	  VMI_SI | VMI_C, VMI_CONV_REGS, VMI_SEG_FLAT, VMI_DEFER_NONE, "as REP OUTSB")            \
	X(OUTSW, 60, 70, 48, void, (void), VMI_D | VMI_SI | VMI_C, VMI_SI | VMI_C,                \
	  VMI_SI | VMI_C, VMI_CONV_REGS, VMI_SEG_FLAT, VMI_DEFER_NONE, "as REP OUTSW")            \
	X(SetIOPLMask, 61, 71, 50, void, (vmi_u32 mask), VMI_A, VMI_EFL, VMI_STD,                 \
	  VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE, "IOPL for user mode: iopl << 12")             \
	X(GetIOPLMask, VMI_NO, VMI_NO, 51, vmi_u32, (void), 0, VMI_A, VMI_A | VMI_FL, VMI_CONV_C, \
	  VMI_SEG_FLAT, VMI_DEFER_NONE, "guest view of IOPL: iopl << 12")                         \
	X(UpdateIOBitmap, VMI_NO, VMI_NO, 52, void, (void), 0, 0, VMI_FL, VMI_CONV_C,             \
	  VMI_SEG_FLAT, VMI_DEFER_NONE, "the I/O bitmap of the TSS changed")                      \
	X(UpdateInterruptBitmap, VMI_NO, VMI_NO, 53, void, (void), 0, 0, VMI_FL, VMI_CONV_C,      \
	  VMI_SEG_FLAT, VMI_DEFER_NONE, "the interrupt redirection bitmap of the TSS changed")    \
	X(IODelay, 65, 78, VMI_NO, void, (void), 0, 0, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT,         \
	  VMI_DEFER_NONE, "bus delay")                                                            \
	/* Local APIC */                                                                          \
	X(APICWrite, 63, VMI_NO, VMI_NO, void, (vmi_u32 offset, vmi_u32 value), VMI_A | VMI_D, 0, \
	  VMI_STD, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE,                                      \
	  "store to the local APIC register at an offset (0x20, 0x300 ...)")                      \
	X(APICWrite_v13, VMI_NO, 76, VMI_NO, void, (void *address, vmi_u32 value),                \
	  VMI_A | VMI_D, 0, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE,                    \
	  "store to the local APIC register at a linear address")                                 \
	X(APICRead, 64, VMI_NO, VMI_NO, vmi_u32, (vmi_u32 offset), VMI_A, VMI_A, VMI_STD,         \
	  VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE,                                               \
	  "load from the local APIC register at an offset")                                       \
	X(APICRead_v13, VMI_NO, 77, VMI_NO, vmi_u32, (const void *address), VMI_A, VMI_A,         \
	  VMI_STD, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE,                                      \
	  "load from the local APIC register at a linear address")                                \
	/* Time */                                                                                \
	X(GetCycleFrequency, 66, 79, VMI_NO, vmi_u64, (void), 0, VMI_A | VMI_D, VMI_STD,          \
	  VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE, "cycles a second")                            \
	X(GetCycleCounter, 67, 80, VMI_NO, vmi_u64, (vmi_u32 counter), VMI_A, VMI_A | VMI_D,      \
	  VMI_STD, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE,                                      \
	  "0 real, 1 available, 2 stolen; 0 for any other counter")                               \
	X(SetAlarm, 68, 81, VMI_NO, void, (vmi_u32 flags, vmi_u64 expiry, vmi_u64 period),        \
	  VMI_A | VMI_D | VMI_C | VMI_S1 | VMI_S2, 0, VMI_STD, VMI_CONV_C, VMI_SEG_FLAT,          \
	  VMI_DEFER_NONE, "absolute expiry in cycles; flags are VMI_ALARM_*")                     \
	X(CancelAlarm, 69, 82, VMI_NO, vmi_u32, (vmi_u32 flags), VMI_A, VMI_A, VMI_STD,           \
	  VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE, "disarm; 1: was armed")                       \
	X(GetWallclockTime, 70, 83, VMI_NO, vmi_u64, (void), 0, VMI_A | VMI_D, VMI_STD,           \
	  VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE, "nanoseconds since 1970-01-01 UTC")           \
	X(WallclockUpdated, 71, 84, VMI_NO, vmi_u32, (void), 0, VMI_A, VMI_STD, VMI_CONV_C,       \
	  VMI_SEG_FLAT, VMI_DEFER_NONE,                                                           \
	  "1 once after the wall clock stepped against the real counter")                         \
	/* Call sites: this project's, by name */                                                 \
	X(PatchSites, VMI_NO, VMI_NO, VMI_NO, vmi_u32, (struct vmi_patch * patch), VMI_A,         \
	  VMI_A | VMI_MEM, VMI_A | VMI_FL, VMI_CONV_C, VMI_SEG_FLAT, VMI_DEFER_NONE,              \
	  "rewrite call sites: 0, or VMI_PATCH_* and nothing has changed (proposed)")
/* clang-format on */

/* ------------------------------------------------------------------------
 * The image
 */

/* Where guests look: 2 KiB steps through the option ROM area [RFC]. */
#define VMI_SCAN_FIRST 0xc0000
#define VMI_SCAN_LAST 0xdf800
#define VMI_SCAN_STEP 0x800

#define VMI_ROM_SIGNATURE 0xaa55     /* "55 AA" [PCI 5.1] */
#define VMI_SIGNATURE 0x696d5663     /* "cVmi" */
#define VMI_PCI_SIGNATURE 0x52494350 /* "PCIR" */
#define VMI_PNP_SIGNATURE 0x506e5024 /* "$PnP" */
#define VMI_PCI_VENDOR 0x15ad
#define VMI_PCI_DEVICE 0x0801
#define VMI_PCI_CLASS 0x05 /* memory controller */

/* Offsets in the image. */
#define VMI_ELF 0x40	/* ELF header, every revision */
#define VMI_3_INIT 0x80 /* 3.0: 8 bytes of code, near CALL */
#define VMI_3_GETRELOC 0x88
#define VMI_SLOT 32 /* 13.x and 6.1: call n is at n * VMI_SLOT */

/* The last slot of the slotted revisions. */
#define VMI_13_LAST 87
#define VMI_6_LAST 91

/*
 * vmi_about.post32, for a VMM without firmware: CALL it with interrupts off, flat
 * segments, linear addresses that are physical, the size of conventional memory in
 * KiB (at most 640) at 413h, and in EAX where the line for the console goes, or 0.
 * Every register comes back.
 */
#define VMI_POST_LINE 120

/*
 * A 32-bit process, where POST cannot run, calls vmi_process_post() of the image's symbol table
 * in its place: regparm(3), the image (writable), so much memory for the ROM, on a page
 * boundary and executable, where linear addresses stand for physical ones, and the port of
 * its VMM. Returns in AL 1, or 0: host native.
 */
#define VMI_PROCESS_SIZE 0x7000

/* Annotation table: the code cannot stand at a call site. */
#define VMI_NO_INLINE 0xff

/* GetRelocationInfo: types. */
#define VMI_RELOC_NONE 0 /* keep the native code */
#define VMI_RELOC_CALL 1 /* CALL rel32 to eip */
#define VMI_RELOC_JUMP 2 /* JMP rel32 to eip */
#define VMI_RELOC_NOP 3	 /* drop the code; 3.0 only */

/* Annotation table: the type of a binding; and a bit. */
#define VMI_RELOC_TYPE 0x03
#define VMI_NATIVE 0x40 /* the processor's own instructions do the same */

/* Annotation table: bindings that POST decides, NONE in the file. */
#define VMI_POLICY 0x30
#define VMI_POLICY_TIME 0x10  /* CALL where the ROM has a clock and its alarms */
#define VMI_POLICY_START 0x20 /* CALL where it also starts other CPUs */
#define VMI_POLICY_CPUID 0x30 /* CALL where CPUID keeps silent about a constant TSC */

/* ------------------------------------------------------------------------
 * Arguments
 */

/* Interrupt masks: the bit of EFLAGS.IF. */
#define VMI_IF 0x200

/* Reboot. */
#define VMI_REBOOT_SOFT 0
#define VMI_REBOOT_HARD 1

/* Page kinds, 3.0: AllocatePage, ReleasePage, page-table writes. */
#define VMI_PAGE_PT 0x01
#define VMI_PAGE_PD 0x02
#define VMI_PAGE_PDP 0x04
#define VMI_PAGE_PML4 0x08
#define VMI_PAGE_PAE 0x10
#define VMI_PAGE_CLONE 0x20  /* AllocatePage only */
#define VMI_PAGE_ZEROED 0x40 /* AllocatePage only */

/* Page-table writes, 3.0 and 13.3. */
#define VMI_PAGE_CURRENT_AS 0x10 /* bits 31..12: the linear address it maps */
#define VMI_PAGE_DEFER 0x20	 /* may wait until the next flush */
#define VMI_PAGE_VA_MASK 0xfffff000

/* Page kinds, 13.x. PAE and PDP collide, as published. */
#define VMI_13_PAGE_PT 0x01
#define VMI_13_PAGE_PD 0x02
#define VMI_13_PAGE_PAE 0x04
#define VMI_13_PAGE_PDP 0x04
#define VMI_13_PAGE_PML4 0x08

/* SetLinearMapping: slots 0 to 3. */
#define VMI_LINEAR_MAP_SLOTS 4

/* FlushTLB. */
#define VMI_FLUSH_TLB 0x01
#define VMI_FLUSH_GLOBAL 0x02

/* SetLazyMode. */
#define VMI_LAZY_NONE 0
#define VMI_LAZY_MMU 1
#define VMI_LAZY_CPU 2

/* FlushDeferredCalls, 13.x. */
#define VMI_13_FLUSH_CPU 0x40
#define VMI_13_FLUSH_PT 0x80

/* GetCycleCounter, and bits 7..0 of the alarm flags. */
#define VMI_CYCLES_REAL 0
#define VMI_CYCLES_AVAILABLE 1 /* real minus stolen */
#define VMI_CYCLES_STOLEN 2

/* SetAlarm, CancelAlarm. */
#define VMI_ALARM_COUNTER_MASK 0x000000ff
#define VMI_ALARM_ONESHOT 0x00000000
#define VMI_ALARM_PERIODIC 0x00000100
#define VMI_ALARM_WIRED_IRQ0 0x00000000
#define VMI_ALARM_WIRED_LVTT 0x00010000

#define VMI_WALLCLOCK_HZ 1000000000

/* ------------------------------------------------------------------------
 * Call sites
 *
 * PatchSites takes a table of the places where a guest calls the ROM, and rewrites each
 * with what is best on this host. It can be called at any time after Init, again, and by
 * one CPU at a time. The guest sees to it that, unless it gives a function sync, no other
 * CPU runs in a site of the table or returns into one, from a handler or from what the site
 * has called, and no interrupt handler that uses one comes.
 *
 * Forms. Whatever is left of a site is filled with the recommended NOPs.
 *
 *	ORIGINAL	as the guest wrote it. With VMI_SITE_NATIVE, and at an annotation's
 *			native code, that is the best where the processor does the same
 *	NOPS		nothing has to be done
 *	INLINE		code of the ROM's, from .vmi.calls or from the trap host's stubs
 *	CALL		CALL rel32 to the stub, as the site's last bytes unless something has to
 *			be done behind it
 *	JUMP		JMP rel32, where the convention is VMI_CONV_JUMP
 *
 * A site behaves as its call does, but for this: OSZAPC are lost, and of EAX, ECX, EDX, EBX,
 * ESI and EDI what is neither an output nor in the record's live. Where the result is wanted in
 * another register, that is the output in place of EAX. An annotation keeps all registers.
 */
#define VMI_FORM_ORIGINAL 0
#define VMI_FORM_NOPS 1
#define VMI_FORM_INLINE 2
#define VMI_FORM_CALL 3
#define VMI_FORM_JUMP 4
#define VMI_FORMS 5
#define VMI_KEPT_RETURNS 0x80 /* with the form, of a site that has something behind a CALL */

/* vmi_patch.kind: what the records are. */
#define VMI_PATCH_SITES 0	/* struct vmi_site */
#define VMI_PATCH_ANNOTATIONS 1 /* struct vmi_annotation */

/* vmi_patch.form: what is wanted. */
#define VMI_PATCH_BEST 0
#define VMI_PATCH_ORIGINAL 1 /* put back what is kept */
#define VMI_PATCH_CALLS 2    /* CALL or JUMP at every site */

/* What PatchSites returns; vmi_patch.refused is the record's index. */
#define VMI_PATCH_DONE 0
#define VMI_PATCH_REQUEST 1  /* struct vmi_patch itself is wrong */
#define VMI_PATCH_CALL 2     /* no such call, or Init, GetRelocationInfo, PatchSites */
#define VMI_PATCH_SHORT 3    /* a CALL, with what its arguments need, does not fit */
#define VMI_PATCH_TEXT 4     /* not inside text */
#define VMI_PATCH_OVERLAP 5  /* with any other record of the table */
#define VMI_PATCH_ARGUMENT 6 /* an argument, a result or a translation that makes no sense */
#define VMI_PATCH_LIVE 7 /* sync is given, and something is behind a CALL; or no VMI_SITE_LIVE */

/* vmi_site.flags */
#define VMI_SITE_NATIVE 1 /* the original is what the bare processor needs */
#define VMI_SITE_LIVE 2	  /* nothing in the original calls anything but as its last instruction */
#define VMI_SITE_FLAGS 3

/* vmi_site.live: the registers that it tells of. */
#define VMI_LIVE_REGISTERS (VMI_A | VMI_C | VMI_D | VMI_B | VMI_SI | VMI_DI)

/* vmi_site.argument: in which register of the guest's it is, or which constant it is. */
#define VMI_FROM_THERE 0 /* where the call wants it; S1, S2: at [esp], [esp+4] at the site */
#define VMI_FROM_EAX 1	 /* and so on, in the order of their encodings: */
#define VMI_FROM_ECX 2
#define VMI_FROM_EDX 3
#define VMI_FROM_EBX 4
#define VMI_FROM_EBP 6
#define VMI_FROM_ESI 7
#define VMI_FROM_EDI 8
#define VMI_FROM_CONSTANT 16 /* + index in constant[] */

#define VMI_SITE_ARGUMENTS 5 /* EAX, EDX, ECX, S1, S2 */
#define VMI_SITE_CONSTANTS 2
#define VMI_SITE_SIZE 24

/* ------------------------------------------------------------------------
 * Hypercalls: between the ROM and a VMM that answers its traps
 *
 * A trap is one instruction (the transport, VMI_HV_OUT ... VMI_HV_INT):
 *
 *	EBP	VMI_HV_TAG | number. The number of a call is its row in VMI_CALLS
 *		(enum vmi_call; rows are only ever added at the end); VMI_HV_INFO
 *		and above are the interface's own.
 *	EAX EDX ECX EBX ESI EDI
 *		what the call's column in names, where the caller already has it;
 *		VMI_S1 in ESI, VMI_S2 in EDI.
 *
 * Back come the registers of the column out, and CF:
 *
 *	0	done
 *	1	refused: the VMM does not know the number, or does not do this. Nothing
 *		has changed, and the ROM does natively what was asked for.
 *
 * Every other register is preserved, and every flag but OF SF ZF AF PF.
 */
#define VMI_HV_TAG 0x564d0000
#define VMI_HV_TAG_MASK 0xffff0000
#define VMI_HV_NUMBER_MASK 0x0000ffff

/* The version that this file describes: major << 16 | minor. */
#define VMI_HV_VERSION 0x00010000

/*
 * Who answers. Only where CPUID.1:ECX.31 says that there is a hypervisor, either
 * a CPUID leaf in steps of VMI_HV_LEAF_STEP has the signature in EBX, ECX, EDX;
 * or, where vmi_about.port or the fw_cfg file opt/vmi/port names one, a trap by
 * OUT to that port does the same: VMI_HV_INFO with EAX = n is the leaf n above
 * the one with the signature.
 *
 *	leaf	EAX		EBX		ECX		EDX
 *	+0	last leaf	signature	...		...
 *	+1	version		transports	port | vector<<8 features
 *	+2	calls that the VMM wants to trap, a bit each: rows 0 to 127, bit 0 of
 *		EAX is row 0, bit 0 of EBX row 32, ECX 64, EDX 96
 *	+3	rows 128 to 255
 *
 * As a hypercall, the last leaf is a number like n; as a CPUID leaf, it is a
 * leaf's.
 */
#define VMI_HV_LEAF_FIRST 0x40000000
#define VMI_HV_LEAF_LAST 0x4000ff00
#define VMI_HV_LEAF_STEP 0x100
#define VMI_HV_SIGNATURE_EBX 0x6e65704f /* "OpenVMI VMM " */
#define VMI_HV_SIGNATURE_ECX 0x20494d56
#define VMI_HV_SIGNATURE_EDX 0x204d4d56
#define VMI_HV_INFO_SIGNATURE 0
#define VMI_HV_INFO_VERSION 1
#define VMI_HV_INFO_CALLS 2

/* Transports; the ROM takes the first one that it finds. */
#define VMI_HV_VMCALL 0x01
#define VMI_HV_VMMCALL 0x02
#define VMI_HV_OUT 0x04 /* OUT port, EAX; the port is below 100h */
#define VMI_HV_INT 0x08 /* INT vector */

/* Features. */
#define VMI_HV_SHARED 0x01   /* struct vmi_shared, for each vCPU, at one address */
#define VMI_HV_QUEUE 0x02    /* deferred calls wait there */
#define VMI_HV_CPU_IF 0x04   /* EFLAGS.IF counts, too: STI, CLI do not trap, the ROM runs them */
#define VMI_HV_TIME 0x08     /* vmi_shared.time is kept up */
#define VMI_HV_DEFER 0x10    /* a page fault on any vCPU performs what every vCPU has queued */
#define VMI_HV_FEATURES 0x1f /* all that are known */

/* Numbers of the interface's own. */
#define VMI_HV_INFO 0x100    /* EAX = n; EAX EBX ECX EDX as above */
#define VMI_HV_ATTACH 0x101  /* below */
#define VMI_HV_DETACH 0x102  /* as before ATTACH: the shared areas are the guest's again */
#define VMI_HV_FLUSH 0x103   /* perform what this vCPU has queued */
#define VMI_HV_DELIVER 0x104 /* the flag was set: deliver what is pending; not with CPU_IF */
#define VMI_HV_LAST 0x104

/*
 * VMI_HV_ATTACH: Init does it, and it holds for every vCPU. EAX is the ROM's
 * version, EDX the guest-physical address of struct vmi_shared (4 KiB aligned; 0
 * where the VMM has no VMI_HV_SHARED), ECX the major number of the guest's revision
 * (3, 13, 6). Comes back in EAX: the lower one of the two versions, which both
 * keep to. Majors that differ are refused.
 */

/*
 * What the ROM and the VMM share about one vCPU: VMI_HV_SHARED. The ROM gives
 * the address (VMI_HV_ATTACH), the same for every vCPU, and the VMM maps to each its own.
 * The VMM reads nothing here that it trusts.
 *
 * At VMI_HV_ATTACH the VMM fills in all of it: queue_next with VMI_QUEUE_EMPTY, defer with
 * 0, interrupts with VMI_IF where VMI_HV_CPU_IF, elsewhere as the guest's flag is.
 *
 * Interrupts: the guest's interrupt flag is interrupts, and EFLAGS.IF with it where
 * VMI_HV_CPU_IF. The VMM delivers as the processor does: it clears the flag where the gate
 * does, and the frame's IF says what it was.
 *
 * Without VMI_HV_CPU_IF, something that comes while the flag is clear sets pending, and the
 * guest looks there after it has set the flag. The VMM looks at interrupts and sets pending
 * while the vCPU does not run: on another processor, its load of pending may have passed its
 * store to interrupts.
 *
 * With it, pending stays 0. What comes waits until both are set, and the VMM watches
 * EFLAGS.IF, which it may clear at any exit while interrupts is 0; at an exception or NMI it
 * does, and sets interrupts: the frame has the flag then, and EFLAGS.IF alone is the flag of
 * handlers that know nothing of this. So what the guest does has an order:
 *
 *	to disable		interrupts = 0, nothing else
 *	to enable		interrupts = VMI_IF, then STI
 *	to return, to load	CLI, interrupts = VMI_IF, then IRET, STI and SYSEXIT, POPF
 *	to ask			interrupts, then EFLAGS: if the first is 0, so is the answer
 *
 * Each is right with an exit between any two instructions. CLI, STI and POPF by other code do
 * what they do on the bare processor while interrupts is set, and nothing while it is 0; EFLAGS
 * that PUSHF took then are not the guest's, and after an exception or NMI not to be loaded.
 *
 * Queue: entries from VMI_SHARED_QUEUE to VMI_SHARED_END, VMI_QUEUED_SIZE bytes each.
 * Those below VMI_SHARED_END + queue_next are in use: queue_next is negative while there is
 * room. An entry is reserved by XADD on queue_next, in vain if that makes it positive, and
 * valid as soon as its word call is not 0, which is written last: a handler may come in
 * between, and queue and flush itself, but no guest moves to another vCPU there. To flush,
 * perform each valid entry in order and clear its call; then set queue_next to
 * VMI_QUEUE_EMPTY, or, where an entry was not valid yet, to 0 if it is above that.
 */
#define VMI_SHARED_SIZE 0x4000
#define VMI_SHARED_QUEUE 0x1000
#define VMI_SHARED_QUEUED 614
#define VMI_SHARED_END (VMI_SHARED_QUEUE + VMI_SHARED_QUEUED * VMI_QUEUED_SIZE)
#define VMI_QUEUED_SIZE 20
#define VMI_QUEUE_EMPTY (VMI_SHARED_QUEUE - VMI_SHARED_END)

/* Offsets in struct vmi_shared. */
#define VMI_SHARED_INTERRUPTS 0x00
#define VMI_SHARED_PENDING 0x04
#define VMI_SHARED_NEXT 0x08
#define VMI_SHARED_DEFER 0x0c
#define VMI_SHARED_CR0 0x40
#define VMI_SHARED_CR2 0x44
#define VMI_SHARED_CR3 0x48
#define VMI_SHARED_CR4 0x4c
#define VMI_SHARED_LDT 0x50
#define VMI_SHARED_TR 0x54
#define VMI_SHARED_TSS 0x5c
#define VMI_SHARED_TIME 0x80

/* ------------------------------------------------------------------------
 * C only from here
 */
#ifndef __ASSEMBLER__

typedef unsigned char vmi_u8;
typedef unsigned short vmi_u16;
typedef unsigned int vmi_u32;
typedef signed char vmi_s8;
typedef signed int vmi_s32;
#ifdef __GNUC__
__extension__ typedef unsigned long long vmi_u64;
#else
typedef unsigned long long vmi_u64;
#endif

/* The calling convention of VMI_CONV_C; nothing but i386 has it. */
#ifdef __i386__
#define VMI_REGPARM __attribute__((regparm(3)))
#else
#define VMI_REGPARM
#endif

/* A layout fact, in whatever the language offers. */
#if defined(__cplusplus)
#define VMI_ASSERT(name, fact) static_assert(fact, #name)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define VMI_ASSERT(name, fact) _Static_assert(fact, #name)
#else
#define VMI_ASSERT(name, fact) typedef char vmi_assert_##name[(fact) ? 1 : -1]
#endif
#define VMI_OFFSET(type, member) __builtin_offsetof(type, member)

/* Every call as an index into tables that are expansions of the table. */
enum vmi_call {
#define VMI_X(name, n3, n13, n6, type, args, in, out, clobber, conv, seg, defer, text)             \
	VMI_ID_##name,
	/* clang-format off */
	VMI_CALLS(VMI_X)
#undef VMI_X
	VMI_CALL_COUNT
	/* clang-format on */
};

/*
 * Rows that are never a VMM's; and two groups of which it gets all or none, for a flag or a
 * clock cannot be half its own. The first one only with VMI_HV_SHARED.
 */
#define VMI_IS_OWN_CALL(row) ((row) <= VMI_ID_GetRelocationInfo || (row) == VMI_ID_PatchSites)
#define VMI_IS_IRQ_CALL(row)                                                                       \
	(((row) >= VMI_ID_EnableInterrupts && (row) <= VMI_ID_SysRet) || (row) == VMI_ID_Halt ||   \
	 (row) == VMI_ID_SafeHalt)
#define VMI_IS_TIME_CALL(row)                                                                      \
	((row) >= VMI_ID_GetCycleFrequency && (row) <= VMI_ID_WallclockUpdated)

/* The numbers: VMI_3_CPUID, VMI_13_CPUID, VMI_6_CPUID; VMI_NO where none. */
enum vmi_call_number {
#define VMI_X(name, n3, n13, n6, type, args, in, out, clobber, conv, seg, defer, text)             \
	VMI_3_##name = (n3), VMI_13_##name = (n13), VMI_6_##name = (n6),
	/* clang-format off */
	VMI_CALLS(VMI_X)
#undef VMI_X
	VMI_NUMBERS_END
	/* clang-format on */
};

/* What LGDT, LIDT, SGDT and SIDT take [SDM vol. 3, 2.4]. */
struct vmi_dtr {
	vmi_u16 limit;
	vmi_u16 base_low; /* two halves: the structure needs no packing */
	vmi_u16 base_high;
};
VMI_ASSERT(dtr_size, sizeof(struct vmi_dtr) == 6);

struct vmi_patch; /* below */

/* Types of functions: vmi_GetCR0_fn *p = ...; p(). */
#define VMI_X(name, n3, n13, n6, type, args, in, out, clobber, conv, seg, defer, text)             \
	typedef VMI_REGPARM type vmi_##name##_fn args;
VMI_CALLS(VMI_X)
#undef VMI_X

/* The first 32 bytes of an image, every revision [RFC; PCI 5.1]. */
struct vmi_rom_header {
	vmi_u16 rom_signature; /* VMI_ROM_SIGNATURE */
	vmi_u8 rom_length;     /* in 512 bytes */
	vmi_u8 rom_entry[4];   /* real-mode entry, far CALL to offset 3 */
	vmi_u8 rom_pad;
	vmi_u32 vmi_signature; /* VMI_SIGNATURE */
	vmi_u8 api_version_minor;
	vmi_u8 api_version_major;
	vmi_u8 jump_slots; /* 3.0; 6.1: data pages; 13.x: reserved */
	vmi_u8 reserved1;
	vmi_u32 virtual_top; /* 3.0: lowest linear address the host keeps; 0 none */
	vmi_u16 reserved2;
	vmi_u16 license_offset; /* 3.0: "GPL" or "GPL v2", otherwise Linux looks away */
	vmi_u16 pci_header_offset;
	vmi_u16 pnp_header_offset;
	vmi_u32 rom_pad3;
};

VMI_ASSERT(header_length, VMI_OFFSET(struct vmi_rom_header, rom_length) == 0x02);
VMI_ASSERT(header_entry, VMI_OFFSET(struct vmi_rom_header, rom_entry) == 0x03);
VMI_ASSERT(header_signature, VMI_OFFSET(struct vmi_rom_header, vmi_signature) == 0x08);
VMI_ASSERT(header_minor, VMI_OFFSET(struct vmi_rom_header, api_version_minor) == 0x0c);
VMI_ASSERT(header_major, VMI_OFFSET(struct vmi_rom_header, api_version_major) == 0x0d);
VMI_ASSERT(header_slots, VMI_OFFSET(struct vmi_rom_header, jump_slots) == 0x0e);
VMI_ASSERT(header_top, VMI_OFFSET(struct vmi_rom_header, virtual_top) == 0x10);
VMI_ASSERT(header_license, VMI_OFFSET(struct vmi_rom_header, license_offset) == 0x16);
VMI_ASSERT(header_pci, VMI_OFFSET(struct vmi_rom_header, pci_header_offset) == 0x18);
VMI_ASSERT(header_pnp, VMI_OFFSET(struct vmi_rom_header, pnp_header_offset) == 0x1a);
VMI_ASSERT(header_size, sizeof(struct vmi_rom_header) == 0x20);

/*
 * What this project's images say in the 32 reserved bytes behind it. The names
 * are NUL-terminated.
 */
struct vmi_about {
	vmi_u32 state_distance; /* state - image, in bytes; 0: POST has not run or could not write */
	vmi_u16 calls;		/* offset of .vmi.calls */
	vmi_u16 call_count;	/* records there */
	char host[8];		/* "native", "trap" */
	char clock[12];		/* "tsc", "kvmclock", "vmport", "vmm" */
	vmi_u16 port; /* for hypercalls; 0: none. A VMM without the CPUID leaf writes it before POST */
	vmi_u16 post32; /* offset of POST's 32-bit entry; 0 when POST is done */
};
VMI_ASSERT(about_size, sizeof(struct vmi_about) == 0x20);

/* 3.0: 96 reserved bytes, then code. */
struct vmi3_image {
	struct vmi_rom_header header;
	struct vmi_about about;	 /* this project's; reserved in every revision */
	vmi_u8 elf_header[0x40]; /* likewise in 3.0 */
	vmi_u8 init[8];
	vmi_u8 get_reloc[8];
};

VMI_ASSERT(v3_elf, VMI_OFFSET(struct vmi3_image, elf_header) == VMI_ELF);
VMI_ASSERT(v3_init, VMI_OFFSET(struct vmi3_image, init) == VMI_3_INIT);
VMI_ASSERT(v3_getreloc, VMI_OFFSET(struct vmi3_image, get_reloc) == VMI_3_GETRELOC);

/* 13.x: the slots begin behind the headers, with number 4. */
struct vmi13_image {
	struct vmi_rom_header header;
	struct vmi_about about;
	vmi_u8 elf_header[0x40];
	vmi_u8 slot[VMI_13_LAST - 4 + 1][VMI_SLOT];
};

VMI_ASSERT(v13_elf, VMI_OFFSET(struct vmi13_image, elf_header) == VMI_ELF);
VMI_ASSERT(v13_init, VMI_OFFSET(struct vmi13_image, slot) == VMI_13_Init * VMI_SLOT);
VMI_ASSERT(v13_init_offset, 0x80 == VMI_13_Init * VMI_SLOT);
VMI_ASSERT(v13_getreloc, 0xaa0 == VMI_13_GetRelocationInfo * VMI_SLOT);
VMI_ASSERT(v13_end, sizeof(struct vmi13_image) == (VMI_13_LAST + 1) * VMI_SLOT);

struct vmi6_image {
	struct vmi_rom_header header;
	struct vmi_about about;
	vmi_u8 elf_header[0x40];
	vmi_u8 slot[VMI_6_LAST - 4 + 1][VMI_SLOT];
};

VMI_ASSERT(v6_init, VMI_OFFSET(struct vmi6_image, slot) == VMI_6_Init * VMI_SLOT);
VMI_ASSERT(v6_end, sizeof(struct vmi6_image) == (VMI_6_LAST + 1) * VMI_SLOT);

/* PCI data structure [PCI 5.1.2]. */
struct vmi_pci_data {
	vmi_u32 signature; /* VMI_PCI_SIGNATURE */
	vmi_u16 vendor;
	vmi_u16 device;
	vmi_u16 vpd;
	vmi_u16 length; /* of this structure, in bytes */
	vmi_u8 revision;
	vmi_u8 interface;
	vmi_u8 subclass;
	vmi_u8 class_code;
	vmi_u16 image_length; /* in 512 bytes */
	vmi_u8 rom_version_minor;
	vmi_u8 rom_version_major;
	vmi_u8 code_type; /* 0: x86 */
	vmi_u8 indicator; /* 0x80: last image */
	vmi_u16 reserved;
};

VMI_ASSERT(pci_length, VMI_OFFSET(struct vmi_pci_data, image_length) == 0x10);
VMI_ASSERT(pci_version, VMI_OFFSET(struct vmi_pci_data, rom_version_minor) == 0x12);
VMI_ASSERT(pci_size, sizeof(struct vmi_pci_data) == 0x18);

/* Expansion header [PnP 3.2]. Unaligned words are spelled as bytes. */
struct vmi_pnp_header {
	vmi_u32 signature; /* VMI_PNP_SIGNATURE */
	vmi_u8 revision;
	vmi_u8 length; /* in 16 bytes */
	vmi_u8 next[2];
	vmi_u8 reserved;
	vmi_u8 checksum; /* the bytes of the header add up to 0 */
	vmi_u8 device_id[4];
	vmi_u16 manufacturer; /* offset of a string, 0 none */
	vmi_u16 product;
	vmi_u8 device_type[3];
	vmi_u8 indicators;
	vmi_u16 boot_connection;
	vmi_u16 disconnect;
	vmi_u16 bootstrap_entry;
	vmi_u16 reserved2;
	vmi_u16 static_resource;
};

VMI_ASSERT(pnp_manufacturer, VMI_OFFSET(struct vmi_pnp_header, manufacturer) == 0x0e);
VMI_ASSERT(pnp_product, VMI_OFFSET(struct vmi_pnp_header, product) == 0x10);
VMI_ASSERT(pnp_resource, VMI_OFFSET(struct vmi_pnp_header, static_resource) == 0x1e);
VMI_ASSERT(pnp_size, sizeof(struct vmi_pnp_header) == 0x20);

/* What GetRelocationInfo returns in EDX:EAX. */
struct vmi_relocation_info {
	vmi_u32 eip;
	vmi_u8 type; /* VMI_RELOC_* */
	vmi_u8 reserved[3];
};
VMI_ASSERT(relocation_size, sizeof(struct vmi_relocation_info) == 8);

/*
 * One record of section .vmi.calls: what the image says of one call, in the
 * order of the table (record n is enum vmi_call n). All offsets are from the
 * first byte of the image.
 */
struct vmi_call_record {
	vmi_u8 number_3; /* VMI_NO: none */
	vmi_u8 number_13;
	vmi_u8 number_6;
	vmi_u8 binding; /* VMI_RELOC_*, to a guest of this image's revision; | VMI_POLICY_*, VMI_NATIVE */
	vmi_u16 stub;	    /* offset of the code */
	vmi_u8 stub_size;   /* in bytes */
	vmi_u8 inline_size; /* so many first bytes may stand at a call site; VMI_NO_INLINE */
	vmi_u16 in;	    /* VMI_A ... VMI_MEM */
	vmi_u16 out;
	vmi_u16 clobber;   /* as published, the most that any revision allows */
	vmi_u8 convention; /* VMI_CONV_*, | VMI_SEG_* << 4 */
	vmi_u8 defer;	   /* VMI_DEFER_* */
};
VMI_ASSERT(call_record_size, sizeof(struct vmi_call_record) == 16);

/*
 * RFC Linux, section .vmi.annotation: one call site. Pointers are linear. The translation is
 * PUSHes of the arguments from the fourth on, CALL rel32, and LEA that takes them off; the
 * CALL's displacement is the number of the call [RFC], or 0.
 */
struct vmi_annotation {
	vmi_u32 call;	/* number, in the image's revision */
	vmi_u32 native; /* the guest's own code, in place */
	vmi_u32 translation;
	vmi_u8 native_size; /* in place, with NOPs behind it */
	vmi_u8 translation_size;
	vmi_s8 nop_size; /* of those NOPs; not positive: there are none */
	vmi_u8 pad;
};
VMI_ASSERT(annotation_size, sizeof(struct vmi_annotation) == 16);

/* One call site, this project's record. */
struct vmi_site {
	vmi_u32 address; /* linear, of the first byte */
	vmi_u8 size;	 /* in bytes; all of them are the ROM's */
	vmi_u8 call;	 /* row: enum vmi_call; not of the interface's own */
	vmi_u8 flags;	 /* VMI_SITE_* */
	vmi_u8 result;	 /* VMI_FROM_*: the register that gets what the call returns in EAX */
	vmi_u8 argument[VMI_SITE_ARGUMENTS]; /* VMI_FROM_* */
	vmi_u8 reserved;		     /* 0 */
	vmi_u16 live; /* of VMI_LIVE_REGISTERS: still needed behind the site, if it is no result */
	vmi_u32 constant[VMI_SITE_CONSTANTS];
};
VMI_ASSERT(site_size, sizeof(struct vmi_site) == VMI_SITE_SIZE);

/*
 * PatchSites. Sites from first on, number of them, are brought to the form; all records
 * are checked against those. Kept is memory of the guest's for all of the table, zeroed
 * before the first time: in the table's order, for each record, a byte with the form that
 * the site has (VMI_FORM_*, VMI_KEPT_RETURNS), and the site's original bytes.
 *
 * Other CPUs may run the sites while they change, if the guest has a function
 *
 *	void VMI_REGPARM sync(vmi_u32 address, vmi_u32 size, vmi_u32 argument)
 *
 * which returns when every other CPU has, since it was called, run a serializing
 * instruction at a moment when neither its EIP, nor one that it or a task that was
 * preempted is going to return to, was above address and below address + size. The first
 * byte of a site is INT3 meanwhile. A breakpoint there is to be tried again (EIP - 1) until
 * it is gone; it counts as such a moment, and has to where the CPU has interrupts off. The
 * CPU that calls PatchSites must not come to the site itself: no handler that uses it runs
 * there, nor does sync. Handlers of breakpoints come to none, IRET included; and no handler
 * to one that it may have interrupted: it would wait at the INT3 with a way back into the
 * site. Three calls of sync a site, one site after the other.
 */
struct vmi_patch {
	vmi_u32 records; /* linear address */
	vmi_u32 count;
	vmi_u32 first;
	vmi_u32 number;
	vmi_u8 kind; /* VMI_PATCH_SITES, VMI_PATCH_ANNOTATIONS */
	vmi_u8 form; /* VMI_PATCH_BEST, ... */
	vmi_u16 reserved;
	vmi_u32 text;	   /* linear address where sites begin, */
	vmi_u32 text_size; /* and for how many bytes */
	vmi_u32 kept;	   /* linear address */
	vmi_u32 alias;	   /* is added to a site's address to read and write it; 0 */
	vmi_u32 sync;	   /* linear address; 0: none */
	vmi_u32 argument;
	/* The ROM writes: */
	vmi_u32 refused;	  /* index of a record */
	vmi_u32 forms[VMI_FORMS]; /* how many of those number sites have which form now */
};
VMI_ASSERT(patch_size, sizeof(struct vmi_patch) == 0x44);

/*
 * SetInitialAPState. CR0 must have PE and PG; EFER.LME and LMA are not
 * supported. The 64-bit word is aligned to 4, as i386 compilers lay it out.
 */
struct vmi_ap_state {
	vmi_u32 cr0, cr2, cr3, cr4;
	vmi_u32 efer_low, efer_high;
	vmi_u32 eip, eflags;
	vmi_u32 eax, ebx, ecx, edx, esp, ebp, esi, edi;
	vmi_u16 cs, ss, ds, es, fs, gs, ldtr;
	vmi_u16 gdtr_limit;
	vmi_u32 gdtr_base, idtr_base;
	vmi_u16 idtr_limit;
};

VMI_ASSERT(ap_efer, VMI_OFFSET(struct vmi_ap_state, efer_low) == 0x10);
VMI_ASSERT(ap_eip, VMI_OFFSET(struct vmi_ap_state, eip) == 0x18);
VMI_ASSERT(ap_cs, VMI_OFFSET(struct vmi_ap_state, cs) == 0x40);
VMI_ASSERT(ap_gdtr, VMI_OFFSET(struct vmi_ap_state, gdtr_limit) == 0x4e);
VMI_ASSERT(ap_idtr, VMI_OFFSET(struct vmi_ap_state, idtr_limit) == 0x58);
VMI_ASSERT(ap_size, sizeof(struct vmi_ap_state) == 0x5c);

struct vmi_queued {
	vmi_u32 call; /* VMI_HV_TAG | row; 0: not valid yet */
	vmi_u32 eax, edx, ecx;
	vmi_u32 esi; /* VMI_S1 */
};
VMI_ASSERT(queued_size, sizeof(struct vmi_queued) == VMI_QUEUED_SIZE);

/*
 * Time. Nanoseconds since the machine started, when the TSC is t:
 * ((t - tsc) << shift, >> -shift where that is negative) * multiplier >> 32, + system.
 * Valid where version was even and is the same after reading.
 */
struct vmi_shared_time {
	vmi_u32 version;
	vmi_u32 wall_version; /* another one: the wall clock was stepped */
	vmi_u32 tsc[2];	      /* low, high */
	vmi_u32 system[2];
	vmi_u32 multiplier;
	vmi_s8 shift; /* -31 to 31 */
	vmi_u8 pad[3];
	vmi_u32 stolen[2]; /* ns that this vCPU wanted to run and did not */
	vmi_u32 wall[2];   /* ns from 1970 to system = 0, UTC */
	vmi_u32 pad2[4];
};

struct vmi_shared {
	/* Both write, all the time: a cache line. */
	vmi_u32 interrupts; /* VMI_IF or 0 */
	vmi_u32 pending;
	vmi_s32 queue_next; /* offset from VMI_SHARED_END */
	vmi_u32 defer;	    /* VMI_DEFER_*; other bits mean nothing: the guest writes it */
	vmi_u32 pad[12];
	/* The VMM writes: as the calls Get* say. */
	vmi_u32 cr0, cr2, cr3, cr4;
	vmi_u32 ldt, tr; /* selectors */
	vmi_u32 vcpu;	 /* number, from 0 */
	vmi_u32 tss; /* linear address of the 32-bit TSS in TR, for UpdateKernelStack; 0: it traps */
	vmi_u32 pad2[8];
	struct vmi_shared_time time;
};
VMI_ASSERT(shared_queue_next, VMI_OFFSET(struct vmi_shared, queue_next) == VMI_SHARED_NEXT);
VMI_ASSERT(shared_defer, VMI_OFFSET(struct vmi_shared, defer) == VMI_SHARED_DEFER);
VMI_ASSERT(shared_pending, VMI_OFFSET(struct vmi_shared, pending) == VMI_SHARED_PENDING);
VMI_ASSERT(shared_cr0, VMI_OFFSET(struct vmi_shared, cr0) == VMI_SHARED_CR0);
VMI_ASSERT(shared_cr4, VMI_OFFSET(struct vmi_shared, cr4) == VMI_SHARED_CR4);
VMI_ASSERT(shared_tr, VMI_OFFSET(struct vmi_shared, tr) == VMI_SHARED_TR);
VMI_ASSERT(shared_tss, VMI_OFFSET(struct vmi_shared, tss) == VMI_SHARED_TSS);
VMI_ASSERT(shared_time, VMI_OFFSET(struct vmi_shared, time) == VMI_SHARED_TIME);
VMI_ASSERT(shared_lines, sizeof(struct vmi_shared_time) == 64 && VMI_SHARED_TIME % 64 == 0);
VMI_ASSERT(shared_room, sizeof(struct vmi_shared) <= VMI_SHARED_QUEUE);
VMI_ASSERT(shared_size, VMI_SHARED_END <= VMI_SHARED_SIZE);

#endif /* __ASSEMBLER__ */
#endif /* VMI_ABI_H */
