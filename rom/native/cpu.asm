; SPDX-License-Identifier: GPL-2.0-only
;
; Processor state on the native host: identity, MSRs, descriptor tables,
; control and debug registers.

%include "stub.inc"

; ---------------------------------------------------------------------------
; Identity and model-specific registers

CPUID_EXTENDED	equ 0x80000000		; EAX = the last leaf
CPUID_BRAND	equ 0x80000004
CPUID_POWER	equ 0x80000007		; EDX bit 8: the TSC is constant
CPUID_POWER_CONSTANT_TSC equ 0x100

; As the instruction, but in a virtual machine leaf 80000007 is there and says
; that the TSC is constant: the real counter is this TSC. Processors whose
; leaves end before the brand string stay as they are: guests name them.
; In:	EAX = leaf, ECX = subleaf
; Out:	EAX EBX ECX EDX
; Clobbers: flags
	stub	CPUID, CPUID
	cmp	eax, CPUID_EXTENDED
	jb	.native
	cmp	eax, CPUID_POWER
	ja	.native
	push	ecx
	push	eax
	mov	eax, 1
	cpuid
	test	ecx, ecx		; bit 31: a hypervisor
	jns	.alone
	mov	eax, CPUID_EXTENDED
	cpuid
	lea	edx, [eax - CPUID_BRAND]
	cmp	edx, 0x10000		; others have no such leaves, and answer anything
	jae	.alone
	cmp	[esp], eax
	ja	.beyond
	mov	eax, [esp]
	mov	ecx, [esp + 4]
	cpuid
	cmp	dword [esp], CPUID_EXTENDED
	jne	.power
	cmp	eax, CPUID_POWER
	jae	.done
	mov	eax, CPUID_POWER
	jmp	.done
.beyond:
	xor	eax, eax		; leaves that the processor does not have
	xor	ebx, ebx
	xor	ecx, ecx
	xor	edx, edx
.power:	cmp	dword [esp], CPUID_POWER
	jne	.done
	or	edx, CPUID_POWER_CONSTANT_TSC
.done:	add	esp, 8
	ret
.alone:	pop	eax
	pop	ecx
.native:
	cpuid
	ret
	endstub

; In:	ECX = MSR, EDX:EAX = value
; Out:	nothing
; Clobbers: nothing
	inline	WRMSR
	wrmsr
	endinline

; In:	ECX = MSR
; Out:	EDX:EAX
; Clobbers: nothing
	inline	RDMSR
	rdmsr
	endinline

; In:	ECX = counter
; Out:	EDX:EAX
; Clobbers: nothing
	inline	RDPMC
	rdpmc
	endinline

; In:	nothing
; Out:	EDX:EAX
; Clobbers: nothing
	inline	RDTSC
	rdtsc
	endinline

; ---------------------------------------------------------------------------
; Descriptor tables

; Reload every segment register with the selector that it holds.
; Clobbers: EAX
%macro	reload_segments 0
	mov	eax, ds
	mov	ds, eax
	mov	eax, es
	mov	es, eax
	mov	eax, fs
	mov	fs, eax
	mov	eax, gs
	mov	gs, eax
	mov	eax, ss
	mov	ss, eax
	push	cs
	call	%%far			; CS and EIP: a far return comes back here, with CS loaded
	jmp	%%done
%%far:	retf
%%done:
%endmacro

; In:	EAX -> struct vmi_dtr
; Out:	nothing
; Clobbers: nothing
	stub	SetGDT
	lgdt	[eax]
	push	eax
	reload_segments
	pop	eax
	ret
	endstub

; In:	EAX = selector
; Out:	nothing
; Clobbers: nothing
	stub	SetLDT
	lldt	ax
	push	eax
	reload_segments
	pop	eax
	ret
	endstub

; In:	EAX -> struct vmi_dtr
; Out:	nothing
; Clobbers: nothing
	inline	SetIDT
	lidt	[eax]
	endinline

; In:	EAX = selector
; Out:	nothing
; Clobbers: nothing
	inline	SetTR
	ltr	ax
	endinline

; In:	EAX -> struct vmi_dtr, written
; Out:	nothing
; Clobbers: nothing
	inline	GetGDT
	sgdt	[eax]
	endinline

; In:	nothing
; Out:	EAX = selector
; Clobbers: flags
	inline	GetLDT
	xor	eax, eax
	sldt	ax
	endinline

; In:	EAX -> struct vmi_dtr, written
; Out:	nothing
; Clobbers: nothing
	inline	GetIDT
	sidt	[eax]
	endinline

; In:	nothing
; Out:	EAX = selector
; Clobbers: flags
	inline	GetTR
	xor	eax, eax
	str	ax
	endinline

; In:	EAX = table, EDX = index, ECX = low word, [esp+4] = high word
; Out:	nothing
; Clobbers: nothing
	stub	WriteGDTEntry
	mov	[eax + edx * 8], ecx
	push	ecx
	mov	ecx, [esp + 8]
	mov	[eax + edx * 8 + 4], ecx
	pop	ecx
	ret
	endstub
	alias	WriteLDTEntry, WriteGDTEntry
	alias	WriteIDTEntry, WriteGDTEntry

; In:	EAX = first, EDX = last: the processor reads memory, nothing to do
; Out:	nothing
; Clobbers: nothing
	inline	UpdateGDT
	endinline
	alias	UpdateIDT, UpdateGDT
	alias	UpdateLDT, UpdateGDT

; The TSS is the one in TR, found through the GDT; without one nothing happens.
; In:	EAX = SS0, EDX = ESP0
; Out:	nothing
; Clobbers: flags
	inline	UpdateKernelStack
	push	ecx
	push	ebx
	str	ecx
	and	ecx, 0xfff8
	jz	.done
	sub	esp, 8
	sgdt	[esp + 2]
	add	ecx, [esp + 4]
	add	esp, 8
	movzx	ebx, byte [ecx + 7]	; base of the TSS
	shl	ebx, 8
	mov	bl, [ecx + 4]
	shl	ebx, 16
	mov	bx, [ecx + 2]
	mov	[ebx + 4], edx
	mov	[ebx + 8], ax
.done:	pop	ebx
	pop	ecx
	endinline

; In:	EAX -> TSS, EDX = ESP0
; Out:	nothing
; Clobbers: nothing
	inline	UpdateKernelStack_v13
	mov	[eax + 4], edx
	endinline

; ---------------------------------------------------------------------------
; Control registers

%macro	control_register 1
; In:	EAX
; Out:	nothing
; Clobbers: nothing
	inline	SetCR%1
	mov	cr%1, eax
	endinline

; In:	nothing
; Out:	EAX
; Clobbers: nothing
	inline	GetCR%1
	mov	eax, cr%1
	endinline
%endmacro

	control_register 0
	control_register 2
	control_register 3
	control_register 4

; In:	AX
; Out:	nothing
; Clobbers: nothing
	inline	LMSW
	lmsw	ax
	endinline

; In:	nothing
; Out:	AX
; Clobbers: nothing; the upper half of EAX is kept
	inline	SMSW
	smsw	ax
	endinline

; In:	nothing
; Out:	nothing
; Clobbers: nothing
	inline	CLTS
	clts
	endinline

; In:	nothing
; Out:	nothing
; Clobbers: flags
	inline	STTS
	push	eax
	mov	eax, cr0
	or	al, 8
	mov	cr0, eax
	pop	eax
	endinline

; ---------------------------------------------------------------------------
; Debug registers

; In:	EAX = number 0..7, EDX = value; other numbers do nothing
; Out:	nothing
; Clobbers: flags
	stub	SetDR
%assign n 0
%rep 8
	cmp	eax, n
	jne	.not_ %+ n
	mov	dr %+ n, edx
	ret
.not_ %+ n:
%assign n n + 1
%endrep
	ret
	endstub

; In:	EAX = number 0..7; other numbers read 0
; Out:	EAX
; Clobbers: flags
	stub	GetDR
%assign n 0
%rep 8
	cmp	eax, n
	jne	.not_ %+ n
	mov	eax, dr %+ n
	ret
.not_ %+ n:
%assign n n + 1
%endrep
	xor	eax, eax
	ret
	endstub

; ---------------------------------------------------------------------------
; Caches

; In:	nothing
; Out:	nothing
; Clobbers: nothing
	inline	INVD
	invd
	endinline

; In:	nothing
; Out:	nothing
; Clobbers: nothing
	inline	WBINVD
	wbinvd
	endinline
