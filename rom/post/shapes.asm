; SPDX-License-Identifier: GPL-2.0-only
;
; The stubs of the trap host, as shapes: POST copies into RAM the first one that
; fits a wanted call (rom/post/trap.c), and puts in what it knows:
;
;	SHARED + offset		an address in struct vmi_shared, or behind it
;	ROW			the number of the call, with VMI_HV_TAG
;	VMCALL			the transport, 3 bytes
;	native			JMP to the stub of the native host
;
;	shape	Name, features	; all of which the VMM has
;	shape	ANY, features, N[, class] ; calls with N arguments on the stack, of that class
;	...			; reached by jumps from behind the entry only
;	entry
;	...
;	end_shape
;
; Where what is between entry and inline_end, which emits the RET, is all that there is
; to do, it may stand at a call site (inline_end noreturn: the whole does not return); where it
; ends with queue_end, rom/patch.c makes more of it: for what waits oftener than not.
;
; A shape preserves every register and every flag outside OSZAPC that is not in
; the call's column out. Only CS and SS are relied on: the others, too, cost less
; than a second rule.

%include "vmi_abi.inc"

ANY	equ 0xff
SHARED	equ 0x5a5a0000
ROW	equ 0xffff
SEEN	equ VMI_SHARED_SIZE + 4		; struct trap: the wall clock's version

INTERRUPTS equ SHARED + VMI_SHARED_INTERRUPTS
PENDING	equ SHARED + VMI_SHARED_PENDING
NEXT	equ SHARED + VMI_SHARED_NEXT
DEFER	equ SHARED + VMI_SHARED_DEFER
END	equ SHARED + VMI_SHARED_END	; of the queue, from where NEXT counts
TSS	equ SHARED + VMI_SHARED_TSS
TIME	equ SHARED + VMI_SHARED_TIME

; struct vmi_shared_time
TIME_VERSION equ TIME + 0x00
TIME_WALL_VERSION equ TIME + 0x04
TIME_TSC equ TIME + 0x08
TIME_SYSTEM equ TIME + 0x10
TIME_MULTIPLIER equ TIME + 0x18
TIME_SHIFT equ TIME + 0x1c
TIME_STOLEN equ TIME + 0x20
TIME_WALL equ TIME + 0x28

; Features, as few letters as they are used often.
S	equ VMI_HV_SHARED
IF	equ VMI_HV_SHARED | VMI_HV_CPU_IF
Q	equ VMI_HV_SHARED | VMI_HV_QUEUE
D	equ Q | VMI_HV_DEFER
T	equ VMI_HV_SHARED | VMI_HV_TIME

%macro	number_row 10
row_%1	equ rows
%assign rows rows + 1
%endmacro
%assign rows 0
	for_each_call number_row
row_ANY	equ ANY

%macro	shape 2-4 0, 0			; name, features; of ANY: arguments, class
%push shape
	db	row_%1, %2, %3, %4
	db	%$entry - %$native, %$end - %$native, %$inline_size, %$queues
%$native:
	db	0xe9			; JMP rel32
	dd	0
%endmacro

%macro	entry 0
%$entry:
	times -((%$entry - %$native) / 121) db 0 ; no error: POST's short jump reaches back
%endmacro

%macro	inline_end 0-1			; noreturn: nothing is behind it
%$inline_size equ $ - %$entry
%define %$inlined
%ifnidn %1, noreturn
	ret
%endif
%endmacro

%macro	queue_end 0
%$queues equ 1
%define %$queueing
	inline_end
%endmacro

%macro	end_shape 0
%ifndef %$inlined
%$inline_size equ VMI_NO_INLINE
%endif
%ifndef %$queueing
%$queues equ 0
%endif
%$end:
%pop
%endmacro

%macro	trap 1
	push	ebp
	mov	ebp, VMI_HV_TAG | %1
	vmcall
	pop	ebp
%endmacro

; The whole call traps; refused, it is native.
%macro	trapped 1			; arguments on the stack
%$trapped:
	push	ebp
%if %1 >= 1
	push	esi
%endif
%if %1 >= 2
	push	edi
	mov	edi, [esp + 4 * (3 + %1)]
%endif
%if %1 >= 1
	mov	esi, [esp + 4 * (2 + %1)]
%endif
	mov	ebp, VMI_HV_TAG | ROW
	vmcall
%if %1 >= 2
	pop	edi
%endif
%if %1 >= 1
	pop	esi
%endif
	pop	ebp
	jc	%$native
	ret
%endmacro

	section .text
	global	trap_shapes
trap_shapes:
bits 32

; ---------------------------------------------------------------------------
; Interrupts and flags. Where EFLAGS.IF counts, too, the VMM waits for it: what enables
; sets the shared flag first and EFLAGS.IF last, and what disables clears the shared one
; only. Elsewhere, what enables looks for what is pending afterwards; between the two
; instructions the VMM delivers by itself.

%macro	deliver_if_pending 0
	cmp	dword [ss:PENDING], 0
	je	%%none
	trap	VMI_HV_DELIVER
%%none:
%endmacro

	shape	EnableInterrupts, IF
	entry
	mov	dword [ss:INTERRUPTS], VMI_IF
	sti
	inline_end
	end_shape

	shape	EnableInterrupts, S
	entry
	mov	dword [ss:INTERRUPTS], VMI_IF
	deliver_if_pending
	inline_end
	end_shape

	shape	DisableInterrupts, S
	entry
	mov	dword [ss:INTERRUPTS], 0
	inline_end
	end_shape

; Where both count, the shared one is read first: while it is clear, the VMM may change
; EFLAGS.IF, and set it then.
	shape	GetInterruptMask, IF
	entry
	mov	eax, [ss:INTERRUPTS]
	pushfd
	and	[esp], eax
	pop	eax
	inline_end
	end_shape

	shape	GetInterruptMask, S
	entry
	mov	eax, [ss:INTERRUPTS]
	inline_end
	end_shape

	shape	SetInterruptMask, IF
	entry
	test	ah, VMI_IF >> 8
	jnz	%$on
	mov	dword [ss:INTERRUPTS], 0
	jmp	%$done
%$on:	mov	dword [ss:INTERRUPTS], VMI_IF
	sti
%$done:
	inline_end
	end_shape

; The way that disables has nothing to look for.
	shape	SetInterruptMask, S
	entry
	test	ah, VMI_IF >> 8
	jz	%$off
	mov	dword [ss:INTERRUPTS], VMI_IF
	cmp	dword [ss:PENDING], 0
	je	%$done
	trap	VMI_HV_DELIVER
	jmp	%$done
%$off:	mov	dword [ss:INTERRUPTS], 0
%$done:
	inline_end
	end_shape

%macro	get_eflags_if 0			; EFLAGS.IF counts; OR changes flags
	mov	eax, [ss:INTERRUPTS]
	pushfd
	or	eax, ~VMI_IF
	and	[esp], eax
	pop	eax
%endmacro

%macro	get_eflags 0			; it does not
	pushfd
	pop	eax
	and	ah, ~(VMI_IF >> 8) & 0xff
	or	eax, [ss:INTERRUPTS]
%endmacro

	shape	GetEFLAGS, IF
	entry
	get_eflags_if
	inline_end
	end_shape

	shape	GetEFLAGS, S
	entry
	get_eflags
	inline_end
	end_shape

	shape	SaveAndDisableIRQs, IF
	entry
	get_eflags_if
	mov	dword [ss:INTERRUPTS], 0
	inline_end
	end_shape

	shape	SaveAndDisableIRQs, S
	entry
	get_eflags
	mov	dword [ss:INTERRUPTS], 0
	inline_end
	end_shape

; What loads all flags. Where EFLAGS.IF counts, CLI makes the change happen with
; the last instruction, which the VMM waits for; and the shared flag is left set:
; EFLAGS.IF alone says it then, to code that has CLI and STI, too.

; POPFD comes last: all flags are an output.
	shape	SetEFLAGS, IF
	entry
	cli
	mov	dword [ss:INTERRUPTS], VMI_IF
	push	eax
	popfd
	inline_end
	end_shape

	shape	SetEFLAGS, S
	entry
	test	ah, VMI_IF >> 8
	jz	%$off
	mov	dword [ss:INTERRUPTS], VMI_IF
	deliver_if_pending
	jmp	%$load
%$off:	mov	dword [ss:INTERRUPTS], 0
%$load:	push	eax
	or	byte [esp + 1], VMI_IF >> 8
	popfd
	inline_end
	end_shape

; Where EFLAGS.IF does not count, the frame's IF is the flag that there will be.
%macro	return_to 3			; bytes of a return address, frame's second byte of
					; flags or 0, the instruction that returns
%$deliver:
	trap	VMI_HV_DELIVER
	%3
	entry
%if %1
	add	esp, %1
%endif
%if %2
	test	byte [esp + %2], VMI_IF >> 8
	jz	%$off
%endif
	mov	dword [ss:INTERRUPTS], VMI_IF
	cmp	dword [ss:PENDING], 0
	jne	%$deliver
	%3
%if %2
%$off:	mov	dword [ss:INTERRUPTS], 0
	%3
%endif
%endmacro

%macro	return_shape 5			; name, and these; in between, what sets EFLAGS.IF
	shape	%1, IF
	entry
%if %2
	add	esp, %2
%endif
	cli
	mov	dword [ss:INTERRUPTS], VMI_IF
	%4
	%5
%if %2 == 0
	inline_end noreturn
%endif
	end_shape
	shape	%1, S
	return_to %2, %3, %5
	end_shape
%endmacro

	return_shape IRET, 0, 9, , iretd
	return_shape IRET_v13, 4, 9, , iretd
	return_shape IRET16, 4, 5, , o16 iret
	return_shape SYSEXIT, 0, 0, sti, sysexit
	return_shape StiSysexit, 0, 0, sti, sysexit
	return_shape SysRet, 0, 0, , sysret

; ---------------------------------------------------------------------------
; Registers that the VMM keeps a copy of

%macro	get_shape 2-3 eax		; name, where, register
	shape	%1, S
	entry
	mov	%3, [ss:SHARED + %2]
	inline_end
	end_shape
%endmacro

	get_shape GetCR0, VMI_SHARED_CR0
	get_shape GetCR2, VMI_SHARED_CR2
	get_shape GetCR3, VMI_SHARED_CR3
	get_shape GetCR4, VMI_SHARED_CR4
	get_shape SMSW, VMI_SHARED_CR0, ax
	get_shape GetLDT, VMI_SHARED_LDT
	get_shape GetTR, VMI_SHARED_TR

; ---------------------------------------------------------------------------
; Deferred calls

; A mode wider than before flushes what waits for another reason: early is allowed.
%macro	flush 0
	cmp	dword [ss:NEXT], VMI_QUEUE_EMPTY
	je	%%empty
	trap	VMI_HV_FLUSH
%%empty:
%endmacro

%macro	mode_shape 1
	shape	%1, Q
	entry
	mov	[ss:DEFER], eax		; bits that are no class mean nothing
	flush
	inline_end
	end_shape
%endmacro

	mode_shape SetLazyMode
	mode_shape SetDeferredMode

	shape	FlushDeferredCalls, Q
	entry
	flush
	inline_end
	end_shape

; The entry is reserved by one instruction and valid by another: what a handler
; queues or flushes in between does not matter.
%macro	queued 4			; class, arguments on the stack, operand with
					; VMI_PAGE_DEFER, copy in struct vmi_shared; or none
%$off:
%ifnidn %3, none
	test	byte %3, VMI_PAGE_DEFER
	jnz	%$queue
%endif
	trapped	%2
%$full:	pop	ebx
	jmp	%$trapped
	entry
	queue_or_trap %1, %2, %4
%ifidn %4, none
	queue_end
%else
	ret
%endif
%endmacro

%macro	queue_or_trap 3
	test	byte [ss:DEFER], %1
	jz	short %$off
%$queue:
	push	ebx
	mov	ebx, VMI_QUEUED_SIZE
	xadd	[ss:NEXT], ebx
	jg	short %$full		; the sum
	mov	[ss:END + ebx + 4], eax
	mov	[ss:END + ebx + 8], edx
	mov	[ss:END + ebx + 12], ecx
%if %2
	push	dword [esp + 8]
	pop	dword [ss:END + ebx + 16]
%endif
%ifnidn %3, none
	mov	[ss:SHARED + %3], eax
%endif
	mov	dword [ss:END + ebx], VMI_HV_TAG | ROW
	pop	ebx
%endmacro

; Those that say themselves that they may wait, those that the VMM has a copy of,
; and one that never waits: the guest uses the FPU next.
	shape	SetPxE, D
	queued	VMI_DEFER_MMU, 0, cl, none
	end_shape

	shape	SetPxELong, D
	queued	VMI_DEFER_MMU, 1, [esp + 4], none
	end_shape

	shape	UpdatePxE, D
	queued	VMI_DEFER_MMU, 0, dl, none
	end_shape

	shape	UpdatePxELong, D
	queued	VMI_DEFER_MMU, 0, dl, none
	end_shape

	shape	SetCR2, Q
	queued	VMI_DEFER_CPU, 0, none, VMI_SHARED_CR2
	end_shape

	shape	SetCR3, Q
	queued	VMI_DEFER_MMU, 0, none, VMI_SHARED_CR3
	end_shape

	shape	SetCR4, Q
	queued	VMI_DEFER_CPU, 0, none, VMI_SHARED_CR4
	end_shape

	shape	SetCR0, 0
	entry
	trapped	0
	end_shape

; The TSS is the guest's memory: where it is known, it is written at once.
%macro	into_tss 0
	push	ebx
	mov	ebx, [ss:TSS]
	test	ebx, ebx
	jz	%$unknown
	mov	[ss:ebx + 4], edx
	mov	[ss:ebx + 8], ax
	pop	ebx
	ret
%$unknown:
	pop	ebx
%endmacro

	shape	UpdateKernelStack, Q
%$off:	trapped	0
%$full:	pop	ebx
	jmp	%$trapped
	entry
	into_tss
	queue_or_trap VMI_DEFER_CPU, 0, none
	ret
	end_shape

	shape	UpdateKernelStack, S
	trapped	0
	entry
	into_tss
	jmp	%$trapped
	end_shape

; All others that the table gives a class.
%macro	queued_class 2			; class, arguments on the stack
	shape	ANY, Q, %2, %1
	queued	%1, %2, none, none
	end_shape
%endmacro

	queued_class VMI_DEFER_MMU, 0
	queued_class VMI_DEFER_MMU, 1
	queued_class VMI_DEFER_CPU, 0
	queued_class VMI_DEFER_DT, 0
	queued_class VMI_DEFER_DT, 1

; ---------------------------------------------------------------------------
; Time: nanoseconds. The version is even, and the same afterwards.

	shape	GetCycleFrequency, T
	entry
	mov	eax, VMI_WALLCLOCK_HZ
	xor	edx, edx
	ret
	end_shape

; Out:	EDX:EAX = system time, EBX = its version
; Clobbers: ECX
%macro	system_time 0
	mov	ebx, [ss:TIME_VERSION]
	rdtsc
	sub	eax, [ss:TIME_TSC]
	sbb	edx, [ss:TIME_TSC + 4]
	mov	cl, [ss:TIME_SHIFT]
	test	cl, cl
	js	%%right
	shld	edx, eax, cl
	shl	eax, cl
	jmp	%%scale
%%right:
	neg	cl
	shrd	eax, edx, cl
	shr	edx, cl
%%scale:
	mov	ecx, edx
	mul	dword [ss:TIME_MULTIPLIER]
	mov	eax, ecx
	mov	ecx, edx
	mul	dword [ss:TIME_MULTIPLIER]
	add	eax, ecx
	adc	edx, 0
	add	eax, [ss:TIME_SYSTEM]
	adc	edx, [ss:TIME_SYSTEM + 4]
%endmacro

%macro	if_torn 1
	and	ebx, ~1			; odd: differs from what is there
	cmp	ebx, [ss:TIME_VERSION]
	jne	%1
%endmacro

	shape	GetCycleCounter, T
%$none:	xor	eax, eax
	xor	edx, edx
	ret
	entry
	cmp	eax, VMI_CYCLES_STOLEN
	ja	%$none
	push	ebx
	push	ecx
	push	eax
%$again:
	system_time
	cmp	byte [esp], VMI_CYCLES_AVAILABLE
	jb	%$done
	je	%$available
	mov	eax, [ss:TIME_STOLEN]
	mov	edx, [ss:TIME_STOLEN + 4]
	jmp	%$done
%$available:
	sub	eax, [ss:TIME_STOLEN]
	sbb	edx, [ss:TIME_STOLEN + 4]
%$done:	if_torn	%$again
	pop	ecx
	pop	ecx
	pop	ebx
	ret
	end_shape

	shape	GetWallclockTime, T
	entry
	push	ebx
	push	ecx
%$again:
	system_time
	add	eax, [ss:TIME_WALL]
	adc	edx, [ss:TIME_WALL + 4]
	if_torn	%$again
	pop	ecx
	pop	ebx
	ret
	end_shape

	shape	WallclockUpdated, T
	entry
	push	edx
	mov	edx, [ss:TIME_WALL_VERSION]
	mov	eax, edx
	xchg	[ss:SHARED + SEEN], eax
	cmp	eax, edx
	setne	al
	movzx	eax, al
	pop	edx
	ret
	end_shape

; ---------------------------------------------------------------------------
; Every other call

%macro	any_shape 1			; arguments on the stack
	shape	ANY, 0, %1
	entry
	trapped	%1
	end_shape
%endmacro

	any_shape 0
	any_shape 1
	any_shape 2
