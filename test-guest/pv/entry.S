/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ways in and out. CS and SS are the processor's; DS and ES are always the user's flat data
 * segment, which the kernel works with too, and GS is nobody's but the user's.
 */
#include "ops.h"

#define SEL_USER_CODE 0x1b
#define SEL_USER_DATA 0x23
#define USER_EFLAGS 0x202
#define KERNEL_EFLAGS 2

	.text

/* A site that is jumped to, with ESP and registers as IRET and SYSEXIT want them. */
.macro	pv_jump offset
771:	jmp	*pv_ops + \offset
	.pushsection .sites, "a"
	.long	771b
	.byte	\offset / 4, 772f - 771b
	.word	0
	.popsection
772:
.endm

/* struct frame, but for what is pushed before it; EAX points to it. */
.macro	enter
	push	%eax
	push	%ebp
	push	%edi
	push	%esi
	push	%edx
	push	%ecx
	push	%ebx
	cld
	mov	$SEL_USER_DATA, %ecx
	mov	%ecx, %ds
	mov	%ecx, %es
	mov	%esp, %eax
.endm

.macro	restore
	pop	%ebx
	pop	%ecx
	pop	%edx
	pop	%esi
	pop	%edi
	pop	%ebp
	pop	%eax
	add	$8, %esp	/* vector, error */
.endm

	.global	entry_gates	/* 16 bytes a vector */
	.align	16
entry_gates:
	.set	vector, 0
	.rept	256
	.align	16
	.if	vector == 8 || (vector >= 10 && vector <= 14) || vector == 17
	.else
	push	$0
	.endif
	push	$vector
	.if	vector == 0x80
	jmp	entry_call
	.elseif	vector == 3
	jmp	entry_breakpoint
	.else
	jmp	entry_trap
	.endif
	.set	vector, vector + 1
	.endr

entry_trap:
	enter
	call	trap
	jmp	entry_iret

entry_call:
	enter
	call	system_call
entry_iret:
	restore
	pv_jump	PV_IRET

/* A site that is being changed. It may be IRET's, so that this is none. */
entry_breakpoint:
	enter
	call	sync_breakpoint
	restore
	jmp	*pv_ops + PV_IRET

/*
 * ESP points to cpu.kernel_stack; the user's is in ECX, where it goes on in EDX. TF and NT are
 * the user's: with TF there is a trap before the first instruction, which fault() answers.
 */
	.global	entry_sysenter
entry_sysenter:
	mov	(%esp), %esp
	push	$KERNEL_EFLAGS
	popf
	push	$SEL_USER_DATA
	push	%ecx
	push	$USER_EFLAGS
	push	$SEL_USER_CODE
	push	%edx
	push	$0
	push	$0x80
	enter
	call	system_call
	test	%al, %al	/* the frame is another one now? */
	jnz	entry_iret
	pop	%ebx
	add	$8, %esp
	pop	%esi
	pop	%edi
	pop	%ebp
	pop	%eax
	mov	8(%esp), %edx	/* EIP, ESP */
	mov	20(%esp), %ecx
	pv_jump	PV_SYSEXIT

/* A new process comes here from switch_to(). */
	.global	entry_fork
entry_fork:
	call	process_started
	jmp	entry_iret

/* regparm(3): where ESP is kept, the next one's */
	.global	switch_to
switch_to:
	push	%ebp
	push	%ebx
	push	%esi
	push	%edi
	mov	%esp, (%eax)
	mov	%edx, %esp
	pop	%edi
	pop	%esi
	pop	%ebx
	pop	%ebp
	ret

	.section .note.GNU-stack, "", @progbits
