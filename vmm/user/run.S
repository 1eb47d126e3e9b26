/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Into guest code, and back. Guest code may have any DS, ES and FS: what is
 * found here is found through SS.
 */
#include "offsets.h"

	.section .note.GNU-stack, "", @progbits
	.text

/* void run_enter(struct regs *regs) */
	.globl	run_enter
	.type	run_enter, @function
run_enter:
	pushl	%ebp
	pushl	%ebx
	pushl	%esi
	pushl	%edi
	pushl	%fs
	pushfl				# sigreturn leaves ID alone: an interrupted run's is kept here
	pushl	run_sp			# of the run() that this one interrupts
	movl	32(%esp), %ecx
	pushl	%ecx
	movl	%esp, run_sp
	movl	REGS_EIP(%ecx), %eax
	movl	%eax, run_to
	movl	REGS_ESP(%ecx), %esp
	pushl	REGS_EFLAGS(%ecx)
	movl	REGS_EDX(%ecx), %edx
	movl	REGS_EBX(%ecx), %ebx
	movl	REGS_EBP(%ecx), %ebp
	movl	REGS_ESI(%ecx), %esi
	movl	REGS_EDI(%ecx), %edi
	movw	REGS_FS(%ecx), %fs
	movw	REGS_ES(%ecx), %es
	movw	REGS_DS(%ecx), %ds
	movl	%ss:REGS_EAX(%ecx), %eax
	movl	%ss:REGS_ECX(%ecx), %ecx
	popfl
	.globl	run_jump
run_jump:
	jmp	*%ss:run_to

/* Guest code comes back here. */
	.globl	run_return
run_return:
	pushfl
	pushl	%ecx
	movl	%ss:run_sp, %ecx
	movl	%ss:(%ecx), %ecx
	popl	%ss:REGS_ECX(%ecx)
	popl	%ss:REGS_EFLAGS(%ecx)
	movl	%esp, %ss:REGS_ESP(%ecx)
	movl	%eax, %ss:REGS_EAX(%ecx)
	movl	%edx, %ss:REGS_EDX(%ecx)
	movl	%ebx, %ss:REGS_EBX(%ecx)
	movl	%ebp, %ss:REGS_EBP(%ecx)
	movl	%esi, %ss:REGS_ESI(%ecx)
	movl	%edi, %ss:REGS_EDI(%ecx)
	movw	%ds, %ss:REGS_DS(%ecx)
	movw	%es, %ss:REGS_ES(%ecx)
	movw	%fs, %ss:REGS_FS(%ecx)
	movl	%ss:run_sp, %esp
	.globl	run_left
run_left:
	movl	%ss, %eax
	movl	%eax, %ds
	movl	%eax, %es
	popl	%ecx
	popl	run_sp
	popfl
	popl	%fs
	popl	%edi
	popl	%esi
	popl	%ebx
	popl	%ebp
	ret
	.globl	run_end
run_end:

	.comm	run_sp, 4, 4
	.local	run_to
	.comm	run_to, 4, 4
