; SPDX-License-Identifier: GPL-2.0-only
;
; Page tables and memory on the native host. The processor reads the guest's
; tables as they are: hints are no work, writes are plain or atomic stores.

%include "stub.inc"

; ---------------------------------------------------------------------------
; Hints

; In:	as the table says
; Out:	nothing
; Clobbers: nothing
	inline	AllocatePage
	endinline
	alias	ReleasePage, AllocatePage
	alias	RegisterPageUsage, AllocatePage
	alias	RegisterPageMapping, AllocatePage
	alias	ClonePageTable, AllocatePage
	alias	ClonePageDirectory, AllocatePage
	alias	SetLinearMapping, AllocatePage
	alias	UpdatePxE, AllocatePage
	alias	UpdatePxELong, AllocatePage
	alias	FlushDeferredCalls, AllocatePage
	alias	SetDeferredMode, AllocatePage
	alias	SetLazyMode, AllocatePage
	alias	SetCallbacks, AllocatePage

; In:	EAX
; Out:	EAX, the same
; Clobbers: nothing
	inline	MachineToPhysical
	endinline
	alias	PhysicalToMachine, MachineToPhysical
	alias	GetPteVal, MachineToPhysical
	alias	GetPdeVal, MachineToPhysical

; ---------------------------------------------------------------------------
; 32-bit entries

; In:	EAX = entry, EDX -> entry, ECX = flags or level
; Out:	nothing
; Clobbers: nothing
	inline	SetPxE
	mov	[edx], eax
	endinline
	alias	SetPte, SetPxE

; In:	EAX -> entry, EDX = entry, ECX = level
; Out:	nothing
; Clobbers: nothing
	inline	SetPxE_v13
	mov	[eax], edx
	endinline

; In:	EAX -> entry
; Out:	EAX
; Clobbers: nothing
	inline	GetPxE
	mov	eax, [eax]
	endinline

; In:	EAX -> entry, EDX = entry
; Out:	EAX = old entry
; Clobbers: nothing
	inline	SwapPxE
	push	edx
	xchg	[eax], edx
	mov	eax, edx
	pop	edx
	endinline

; In:	EAX = entry, EDX -> entry
; Out:	EAX = old entry
; Clobbers: nothing
	inline	SwapPte
	xchg	[edx], eax
	endinline

; A number that names no bit of the entry reads 0 and touches nothing: BTS and
; BTR with a register operand would reach beyond the entry.
%macro	test_bit 5			; name, operation, pointer, bit, bits
; In:	pointer and bit in EAX and EDX, in the order of the revision
; Out:	EAX = 1 where the bit was set, 0 where not
; Clobbers: flags
	inline	%1
	cmp	%4, %5
	jae	.no_bit			; and CF is 0
	lock %2	[%3], %4
.no_bit:
	setc	al
	movzx	eax, al
	endinline
%endmacro

	test_bit TestAndSetPxEBit, bts, eax, edx, 32
	test_bit TestAndClearPxEBit, btr, eax, edx, 32
	test_bit TestAndSetPteBit, bts, edx, eax, 32
	test_bit TestAndClearPteBit, btr, edx, eax, 32

; ---------------------------------------------------------------------------
; 64-bit entries (PAE)

	test_bit TestAndSetPxELongBit, bts, eax, edx, 64
	test_bit TestAndClearPxELongBit, btr, eax, edx, 64
	test_bit TestAndSetPteBitLong, bts, edx, eax, 64
	test_bit TestAndClearPteBitLong, btr, edx, eax, 64

; Exchange an entry with ECX:EBX as one access; the old value in EDX:EAX.
%macro	exchange_long 1			; register that points to it
	mov	eax, [%1]
	mov	edx, [%1 + 4]
%%again:
	lock cmpxchg8b [%1]
	jnz	%%again
%endmacro

; An entry that is not present: two stores, the low word, with the present bit, last. No
; processor uses or changes it before; guests keep out others that would write it, too.
; Elsewhere one store of 8 bytes: no other processor sees half of it.
; In:	EDX:EAX = entry, ECX -> entry, [esp+4] = flags (3.0, 13.3)
; Out:	nothing
; Clobbers: flags
	inline	SetPxELong
	test	byte [ecx], 1
	jz	.absent
	push	esi
	push	ebx
	push	ecx
	push	edx
	push	eax
	mov	esi, ecx
	mov	ebx, eax
	mov	ecx, edx
	exchange_long esi
	pop	eax
	pop	edx
	pop	ecx
	pop	ebx
	pop	esi
	jmp	.done
.absent:
	mov	[ecx + 4], edx
	mov	[ecx], eax
.done:
	endinline
	alias	SetPxELong_v13, SetPxELong
	alias	SetPteLong, SetPxELong

; Two loads; the low word is read again until it did not change meanwhile.
; In:	EAX -> entry
; Out:	EDX:EAX
; Clobbers: flags
	inline	GetPxELong
	push	ecx
.again:	mov	ecx, [eax]
	mov	edx, [eax + 4]
	cmp	ecx, [eax]
	jne	.again
	mov	eax, ecx
	pop	ecx
	endinline

; In:	EDX:EAX = entry, ECX -> entry
; Out:	EDX:EAX = old entry
; Clobbers: flags
	inline	SwapPxELongAtomic
	push	ecx
	push	ebx
	push	esi
	mov	esi, ecx
	mov	ebx, eax
	mov	ecx, edx
	exchange_long esi
	pop	esi
	pop	ebx
	pop	ecx
	endinline

; In:	ECX:EBX = entry, EDI -> entry
; Out:	EDX:EAX = old entry
; Clobbers: flags
	inline	SwapPteLong
	exchange_long edi
	endinline

; The low word first, with the present bit: the processor cannot set A or D in
; an entry that is not present.
; In:	EAX -> entry
; Out:	EDX:EAX = old entry
; Clobbers: flags
	inline	DeactivatePxELongAtomic
	push	ecx
	xor	ecx, ecx
	xor	edx, edx
	xchg	[eax], ecx
	xchg	[eax + 4], edx
	mov	eax, ecx
	pop	ecx
	endinline

; ---------------------------------------------------------------------------
; Translations

; In:	EAX = linear address
; Out:	nothing
; Clobbers: nothing
	inline	InvalPage
	invlpg	[eax]
	endinline

; Drop every translation but the global ones.
%macro	flush_tlb 0
	push	eax
	mov	eax, cr3
	mov	cr3, eax
	pop	eax
%endmacro

; Drop every translation: a change of CR4.PGE does [SDM vol. 3, 4.10.4.1].
; Where PGE is off there are no global ones, and CR3 does. Interrupts are off
; between the two writes: a handler must not see CR4 without PGE.
%macro	flush_tlb_global 0
	push	eax
	push	ecx
	pushfd
	cli
	mov	eax, cr4
	mov	ecx, eax
	btr	ecx, 7
	jnc	%%no_global
	mov	cr4, ecx
	mov	cr4, eax
	jmp	%%done
%%no_global:
	mov	eax, cr3
	mov	cr3, eax
%%done:	popfd
	pop	ecx
	pop	eax
%endmacro

; In:	EAX = VMI_FLUSH_*
; Out:	nothing
; Clobbers: flags
	stub	FlushTLB
	test	al, VMI_FLUSH_GLOBAL
	jnz	.global
	test	al, VMI_FLUSH_TLB
	jz	.done
	flush_tlb
.done:	ret
.global:
	flush_tlb_global
	ret
	endstub

; In:	nothing
; Out:	nothing
; Clobbers: nothing
	inline	FlushTLB_v6
	flush_tlb
	endinline

; In:	nothing
; Out:	nothing
; Clobbers: nothing
	inline	FlushTLBAll
	flush_tlb_global
	endinline
