/* SPDX-License-Identifier: GPL-2.0-only */
/* Entry of every vector: saves all, calls trap_dispatch(struct trap *), restores all. */

	.text
	.align	16
	.global	trap_entry	/* 16 bytes a vector */
trap_entry:
	.set	vector, 0
	.rept	256
	.align	16
	.if	vector == 8 || (vector >= 10 && vector <= 14) || vector == 17
	nop			/* the processor pushed an error code */
	nop
	.else
	push	$0
	.endif
	push	$vector
	jmp	trap_common
	.set	vector, vector + 1
	.endr

trap_common:
	pusha
	push	%ds
	push	%es
	push	%fs
	push	%gs
	cld
	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %es
	push	%esp
	call	trap_dispatch
	add	$4, %esp
	pop	%gs
	pop	%fs
	pop	%es
	pop	%ds
	popa
	add	$8, %esp
	iret
