/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The start of the other processors: copied to AP_PAGE, entered in real mode.
 * The words at its end are filled in by smp.c.
 */
	.text
	.code16
	.global	ap_code, ap_code_end, ap_words
ap_code:
	cli
	mov	%cs, %ax
	mov	%ax, %ds
	lgdtl	ap_gdt_pointer - ap_code
	mov	ap_cr4 - ap_code, %eax
	test	%eax, %eax
	jz	1f
	mov	%eax, %cr4
1:	mov	ap_cr3 - ap_code, %eax
	mov	%eax, %cr3
	mov	ap_cr0 - ap_code, %eax
	mov	%eax, %cr0
	ljmpl	*ap_entry - ap_code

	.align	4
ap_words:
ap_cr0:		.long 0
ap_cr3:		.long 0
ap_cr4:		.long 0
ap_entry:	.long 0, 8
ap_gdt_pointer:	.word 0
		.long 0
ap_code_end:

	.code32
	.global	ap_start
ap_start:
	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	xor	%eax, %eax
	mov	%eax, %fs
	mov	%eax, %gs
	mov	ap_stack, %esp
	push	$0
	popf
	call	ap_main
1:	cli
	hlt
	jmp	1b
