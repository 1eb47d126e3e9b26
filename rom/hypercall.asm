; SPDX-License-Identifier: GPL-2.0-only
;
; A hypercall that C makes (rom/trap.c), and where the trap host's memory is.

%include "stub.inc"

; In:	EAX -> struct cpuid: EAX EBX ECX EDX for the VMM, EDX = number,
;	ECX = code of the transport
; Out:	EAX = 1 done, 0 refused; what came back, in the structure
; Clobbers: ECX, EDX, flags
	global	hypercall:function
hypercall:
	push	ebx
	push	esi
	push	edi
	push	ebp
	push	eax
	lea	ebp, [edx + VMI_HV_TAG]
	mov	edi, ecx
	mov	ebx, [eax + 4]
	mov	ecx, [eax + 8]
	mov	edx, [eax + 12]
	mov	eax, [eax]
	stc				; for the case that nobody answers
	call	edi
	pop	esi
	mov	[esi], eax
	mov	[esi + 4], ebx
	mov	[esi + 8], ecx
	mov	[esi + 12], edx
	setnc	al
	movzx	eax, al
	pop	ebp
	pop	edi
	pop	esi
	pop	ebx
	ret

; struct trap - rom_image, in bytes. POST writes it; 0: there is none.
	align	4, int3
	global	trap_distance
trap_distance:
	dd	0
