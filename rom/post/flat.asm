; SPDX-License-Identifier: GPL-2.0-only
;
; POST for a VMM without firmware: vmi_about.post32, called in 32-bit code.

%include "post/post.inc"

	section .text
	global	post_flat
	extern	post_main

bits 32

; In:	CALL; flat CS, SS, DS and ES; linear addresses are physical; interrupts off;
;	40:13 says how much conventional memory there is.
;	EAX = where the line for the console goes (VMI_POST_LINE bytes), or 0
; Out:	the line: NUL-terminated, empty where the ROM is to be quiet
; Clobbers: flags
post_flat:
	pushad
	cld
	mov	ebp, eax
	sub	esp, POST_SIZE
	mov	edi, esp
	mov	ecx, POST_SIZE / 4
	xor	eax, eax		; no EFLAGS.IF, so no halts
	rep stosd
	call	.here
.here:	pop	ebx
	xor	eax, eax		; a 32-bit offset would be a relocation
	mov	ax, .here
	sub	ebx, eax		; the image
.step:	mov	eax, ebx
	mov	edx, esp
	call	post_main
	test	al, al
	jnz	.step
	test	ebp, ebp
	jz	.done
	lea	esi, [esp + POST_LINE]
	mov	edi, ebp
	mov	ecx, VMI_POST_LINE
	rep movsb
.done:	add	esp, POST_SIZE
	popad
	ret
