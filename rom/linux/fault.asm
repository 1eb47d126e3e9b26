; SPDX-License-Identifier: GPL-2.0-only
;
; Run a function with its faults caught (rom/linux/site.c).

%include "stub.inc"

GP		equ 13
PF		equ 14
MC		equ 18
GATES		equ (MC + 1) * 8

; A general protection or page fault ends it: their gates are replaced, in a copy
; of the guest's on the stack; all others stay. CR2 and IDTR are put back.
; In:	EAX = argument, EDX = function, which gets it in EAX; interrupts off, CPL 0
; Out:	EAX = what it returned, or -1 at its first fault
; Clobbers: ECX, EDX, flags
	global	faults_caught:function
faults_caught:
	push	ebx
	push	esi
	push	edi
	push	ebp
	mov	ecx, cr2
	push	ecx
	sub	esp, 8
	sidt	[esp]
	cmp	word [esp], GATES - 1
	jb	.none
	mov	esi, [esp + 2]
	sub	esp, GATES + 8
	mov	edi, esp
	mov	ecx, GATES / 4
	rep	movsd
	lea	edi, [esp + GP * 8]
	call	.here
.here:	pop	ecx
	add	ecx, fault - .here
	mov	[edi], ecx
	mov	[edi + 4], ecx
	mov	[edi + 2], cs
	mov	word [edi + 4], 0x8e00		; interrupt gate
	mov	esi, edi
	add	edi, (PF - GP) * 8
	movsd
	movsd
	mov	word [esp + GATES], GATES - 1
	mov	[esp + GATES + 2], esp
	lidt	[esp + GATES]
	call	edx
return:	lidt	[esp + GATES + 8]
	add	esp, GATES + 8
done:	add	esp, 8
	pop	ecx
	mov	cr2, ecx
	pop	ebp
	pop	edi
	pop	esi
	pop	ebx
	ret

faults_caught.none:
	or	eax, -1
	jmp	done

fault:	sidt	[esp]				; over the frame: nobody goes back to it
	mov	esp, [esp + 2]
	or	eax, -1
	jmp	return
