/* SPDX-License-Identifier: GPL-2.0-only */
/* struct invoke and struct cpu_state of guest.h, as offsets; invoke.c asserts them. */
#define TARGET 0
#define JUMP 4
#define WORDS 8
#define WORD_COUNT 10
#define IN 48
#define EAX 0
#define ECX 4
#define EDX 8
#define EBX 12
#define ESP 16
#define EBP 20
#define ESI 24
#define EDI 28
#define EFLAGS 32
#define DS 36
#define ES 40
#define FS 44
#define GS 48

	.text
/* void invoke_enter(struct invoke *): leaves the result in invoke_out. */
	.global	invoke_enter
invoke_enter:
	pusha
	pushf
	push	%ds
	push	%es
	push	%fs
	push	%gs
	mov	%esp, invoke_esp
	mov	56(%esp), %ebx
	sub	$4 * WORD_COUNT, %esp
	mov	%esp, invoke_words
	lea	WORDS(%ebx), %esi
	mov	%esp, %edi
	mov	$WORD_COUNT, %ecx
	rep movsl
	mov	TARGET(%ebx), %eax
	mov	%eax, invoke_target
	mov	JUMP(%ebx), %ecx
	add	$IN, %ebx
	push	EFLAGS(%ebx)
	mov	GS(%ebx), %eax
	mov	%eax, %gs
	mov	FS(%ebx), %eax
	mov	%eax, %fs
	mov	ES(%ebx), %eax
	mov	%eax, %es
	mov	DS(%ebx), %eax
	mov	%eax, %ds
	test	%ecx, %ecx
	.macro	load
	mov	%ss:EAX(%ebx), %eax
	mov	%ss:ECX(%ebx), %ecx
	mov	%ss:EDX(%ebx), %edx
	mov	%ss:EBP(%ebx), %ebp
	mov	%ss:ESI(%ebx), %esi
	mov	%ss:EDI(%ebx), %edi
	mov	%ss:EBX(%ebx), %ebx
	popf
	.endm
	jnz	1f
	load
	call	*%ss:invoke_target
	.global	invoke_landing
invoke_landing:
	mov	%eax, %ss:invoke_out + EAX
	mov	%ecx, %ss:invoke_out + ECX
	mov	%edx, %ss:invoke_out + EDX
	mov	%ebx, %ss:invoke_out + EBX
	mov	%esp, %ss:invoke_out + ESP
	mov	%ebp, %ss:invoke_out + EBP
	mov	%esi, %ss:invoke_out + ESI
	mov	%edi, %ss:invoke_out + EDI
	mov	%ss:invoke_esp, %esp	/* whatever the call left: there is room */
	pushf
	pop	%ss:invoke_out + EFLAGS
	push	$2
	popf
	xor	%eax, %eax
	mov	%ds, %ax
	mov	%eax, %ss:invoke_out + DS
	mov	%es, %ax
	mov	%eax, %ss:invoke_out + ES
	mov	%fs, %ax
	mov	%eax, %ss:invoke_out + FS
	mov	%gs, %ax
	mov	%eax, %ss:invoke_out + GS

/* Also where a trap ends the call, from trap_dispatch: CPL 0, any stack. */
	.global	invoke_leave
invoke_leave:
	mov	%ss:invoke_esp, %esp
	pop	%gs
	pop	%fs
	pop	%es
	pop	%ds
	popf
	popa
	ret

1:	load
	jmp	*%ss:invoke_target

	.data
	.global	invoke_out, invoke_words
invoke_esp:	.long 0
invoke_words:	.long 0
invoke_target:	.long 0
invoke_out:	.skip 52
