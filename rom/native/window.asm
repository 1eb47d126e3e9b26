; SPDX-License-Identifier: GPL-2.0-only
;
; Into the window and back (rom/window.c): run a C function with the ROM's own
; page tables, stack, GDT and IDT.

%include "stub.inc"

; struct window (rom.h)
WINDOW_CR3	equ 0x320
WINDOW_CR4	equ 0x324
WINDOW_RAISE	equ 0x329
WINDOW_GDTR	equ 0x34c
WINDOW_IDTR	equ 0x354
WINDOW_STACK	equ 0x1000

CR4_PGE		equ 0x80

; In:	EAX -> window, EDX = function, which gets EAX; interrupts off, paging on
; Out:	EAX = what it returned
; Clobbers: ECX, EDX, flags
	global	window_run:function
window_run:
	push	ebx
	push	esi
	push	edi
	push	ebp
	mov	ebx, eax
	sub	esp, 16
	sgdt	[esp]
	sidt	[esp + 8]
	mov	ebp, esp
	mov	esi, cr3
	mov	edi, cr4
	lea	esp, [ebx + WINDOW_STACK]
	; The IDT is the guest's only as long as the GDT is: a step or an NMI in
	; between would load the window's descriptors into DS.
	lidt	[ebx + WINDOW_IDTR]
	lgdt	[ebx + WINDOW_GDTR]
	; Without PGE no translation of the guest's reaches into the window.
	mov	ecx, edi
	and	cl, ~CR4_PGE
	or	ecx, [ebx + WINDOW_CR4]
	mov	cr4, ecx
	mov	ecx, [ebx + WINDOW_CR3]
	mov	cr3, ecx
	call	edx
	mov	cr3, esi
	mov	cr4, edi
	lgdt	[ebp]
	lidt	[ebp + 8]
	lea	esp, [ebp + 16]
	pop	ebp
	pop	edi
	pop	esi
	pop	ebx
	ret

; The gates of the window's IDT, on its stack: an NMI or a machine check is
; noted, for the guest's own handler afterwards.
	global	window_nmi
window_nmi:
	push	2
	jmp	note
	global	window_machine_check
window_machine_check:
	push	18
note:	push	eax
	push	ecx
	mov	eax, esp
	mov	ecx, [ss:esp + 8]
	and	eax, ~0xfff
	mov	[ss:eax + WINDOW_RAISE], cl
	pop	ecx
	pop	eax
	add	esp, 4
	iretd

; Steps of a guest that has TF set.
	global	window_debug
window_debug:
	iretd
