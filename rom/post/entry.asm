; SPDX-License-Identifier: GPL-2.0-only
;
; POST: the firmware calls offset 3 of the image in real mode, far [PCI 5.2.1].
; Saves everything, runs post_main() in flat protected mode, prints what it
; worded through INT 10h, restores everything.
;
; Segment limits are left at 4 GiB ("big real mode"), which firmware that calls
; option ROMs that way relies on and no other notices.

%include "post/post.inc"

	section .text

	extern	post_main

SAVED_EFLAGS equ 4 * 2 + 8 * 4		; from BP (EBP may be beyond the limit of SS): selectors, PUSHAD

CODE32	equ	0x08
DATA32	equ	0x10
CODE16	equ	0x18
DATA16	equ	0x20
GDT_SIZE equ	0x28

bits 16

; In:	real mode, far return address on the stack
; Out:	everything as it was
; Clobbers: nothing
	global	post_entry
post_entry:
	pushfd
	cli
	cld
	pushad
	push	ds
	push	es
	push	fs
	push	gs
	mov	ebp, esp		; the whole of it: callers may use the upper half
	movzx	esp, sp

	; CS = segment of the image, EBX = its linear address, whatever
	; segment:offset the firmware came by.
	call	.here
.here:	pop	bx
	sub	bx, .here
	movzx	ebx, bx
	xor	eax, eax
	mov	ax, cs
	shl	eax, 4
	add	ebx, eax
	mov	eax, ebx
	shr	eax, 4
	push	ax
	push	word .canonical
	retf
.canonical:
	push	cs
	pop	ds
	smsw	ax
	test	al, 1
	jz	.real
	mov	si, message_protected
	call	print
	jmp	post_return

.real:	sub	sp, POST_SIZE
	push	ss
	pop	es
	mov	di, sp
	mov	cx, POST_SIZE
	xor	al, al
	rep stosb
	mov	di, sp
	mov	eax, [bp + SAVED_EFLAGS]
	stosd
	; A GDT on the stack: the code segment's base is only known now.
	push	dword 0x008f9300	; DATA16: base 0, 4 GiB
	push	dword 0x0000ffff
	mov	eax, ebx		; CODE16: base EBX, 64 KiB
	shr	eax, 16
	movzx	eax, al
	or	eax, 0x00009b00
	push	eax
	push	bx
	push	word 0xffff
	push	dword 0x00cf9300	; DATA32
	push	dword 0x0000ffff
	push	dword 0x00cf9b00	; CODE32
	push	dword 0x0000ffff
	push	dword 0
	push	dword 0
	xor	esi, esi		; ESI = linear address of the stack segment
	mov	si, ss
	mov	cx, si			; CX = SS
	shl	esi, 4
	lea	eax, [esi + esp]
	push	eax
	push	word GDT_SIZE - 1
	mov	edi, esp		; EDI = the GDT's pseudo-descriptor, the GDT, struct post
	sub	sp, 6
	o32 sgdt [esp]			; the old one's

.step:	o32 lgdt [ss:edi]
	xor	eax, eax		; 16-bit offsets: a 32-bit one would be a relocation
	mov	ax, protected
	add	eax, ebx
	push	dword CODE32
	push	eax
	mov	eax, cr0
	or	al, 1
	mov	cr0, eax
	o32 retf

bits 32
protected:
	mov	eax, DATA32
	mov	ds, eax
	mov	es, eax
	mov	fs, eax
	mov	gs, eax
	mov	ss, eax
	add	esp, esi
	push	ecx
	mov	eax, ebx
	lea	edx, [esi + edi + 6 + GDT_SIZE]
	call	post_main
	pop	ecx
	mov	edx, eax		; DL = halt and come again
	xor	eax, eax
	mov	ax, real_again
	push	dword CODE16
	push	eax
	retf

bits 16
real_again:
	mov	ax, DATA16
	mov	ds, ax
	mov	es, ax
	mov	fs, ax
	mov	gs, ax
	mov	ss, ax			; no stack until it is a real one again
	sub	esp, esi
	mov	eax, cr0
	and	al, 0xfe
	mov	cr0, eax
	mov	ss, cx
	mov	eax, ebx
	shr	eax, 4
	push	ax
	push	word .real
	retf
.real:	o32 lgdt [esp]
	test	dl, dl
	jz	.done
	sti
	hlt
	cli
	jmp	post_entry.step
.done:	mov	ds, cx
	lea	si, [edi + 6 + GDT_SIZE + POST_LINE]
	call	print

post_return:
	mov	esp, ebp
	pop	gs
	pop	fs
	pop	es
	pop	ds
	popad
	popfd
	retf

; In:	DS:SI = NUL-terminated string
; Out:	printed on the console
; Clobbers: AX, SI, flags
print:
	cld
	lodsb
	test	al, al
	jz	.done
	pushad				; some BIOSes lose BP, SI or DI
	push	ds
	mov	ah, 0x0e
	mov	bx, 0x0007
	int	0x10
	pop	ds
	popad
	jmp	print
.done:	ret

message_protected:
	db	"VMI ROM: not installed, POST wants real mode", 13, 10, 0
