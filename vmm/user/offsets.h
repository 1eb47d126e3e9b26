/* SPDX-License-Identifier: GPL-2.0-only */
/* struct regs, for assembly. */
#define REGS_EAX 0
#define REGS_ECX 4
#define REGS_EDX 8
#define REGS_EBX 12
#define REGS_ESP 16
#define REGS_EBP 20
#define REGS_ESI 24
#define REGS_EDI 28
#define REGS_EIP 32
#define REGS_EFLAGS 36
#define REGS_DS 40
#define REGS_ES 42
#define REGS_FS 44
