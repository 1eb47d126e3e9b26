; SPDX-License-Identifier: GPL-2.0-only
;
; Time, alarms, the local APIC and starting processors on the native host: the
; entries of rom/clock.c, rom/alarm.c, rom/apic.c and rom/start.c.

%include "stub.inc"

APIC_EOI	equ 0xb0
APIC_ICR	equ 0x300
ICR_MODE	equ 7 << 8
ICR_STARTUP	equ 6 << 8
	extern	rom_image

; rom_image, struct kvmclock_cpu (rom.h)
ABOUT_STATE_DISTANCE equ 0x20
KVMCLOCK_BELOW	equ 0x3000		; the state
PVCLOCK_VERSION	equ 0x00
PVCLOCK_TSC	equ 0x08
PVCLOCK_TIME	equ 0x10
PVCLOCK_MUL	equ 0x18
PVCLOCK_SHIFT	equ 0x1c
PVCLOCK_FLAGS	equ 0x1d
KVMCLOCK_STABLE	equ 0x29

; In:	nothing
; Out:	EDX:EAX = cycles a second
; Clobbers: flags
	stub	GetCycleFrequency, TIME
	to_c	rom_cycle_frequency, edx_eax
	endstub

; The TSC counts, and nothing is stolen of it: available is real.
; In:	EAX = counter
; Out:	EDX:EAX
; Clobbers: flags
	inline	GetCycleCounter, TIME
	%if VMI_CYCLES_REAL | VMI_CYCLES_AVAILABLE != 1
	%error "the TSC is counters 0 and 1"
	%endif
	shr	eax, 1
	rdtsc
	jz	.tsc
	xor	eax, eax
	xor	edx, edx
.tsc:
	endinline

; Where it is kvmclock, POST has the stub begin with a jump to here, right behind it
; (clock_bind): the first CPU's page, where the host says that one page does for all,
; without asking which CPU this is; or rom_cycle_counter().
kvmclock_counter:
	push	ebx
	push	ecx
	call	.here
.here:	pop	ebx
	db	0x81, 0xc3		; ADD EBX, imm32
	dd	rom_image - .here
	add	ebx, [ebx + ABOUT_STATE_DISTANCE]
	test	eax, eax
	jnz	.long
.again:	push	dword [ebx - KVMCLOCK_BELOW + PVCLOCK_VERSION]
	mov	dl, [ebx - KVMCLOCK_BELOW + KVMCLOCK_STABLE]
	test	[ebx - KVMCLOCK_BELOW + PVCLOCK_FLAGS], dl
	jz	.unstable
	rdtsc
	sub	eax, [ebx - KVMCLOCK_BELOW + PVCLOCK_TSC]
	sbb	edx, [ebx - KVMCLOCK_BELOW + PVCLOCK_TSC + 4]
	mov	cl, [ebx - KVMCLOCK_BELOW + PVCLOCK_SHIFT]
	neg	cl
	js	.left
	shrd	eax, edx, cl
	shr	edx, cl
.scale:	mov	ecx, edx
	mul	dword [ebx - KVMCLOCK_BELOW + PVCLOCK_MUL]
	mov	eax, ecx
	mov	ecx, edx
	mul	dword [ebx - KVMCLOCK_BELOW + PVCLOCK_MUL]
	add	eax, ecx
	adc	edx, 0
	add	eax, [ebx - KVMCLOCK_BELOW + PVCLOCK_TIME]
	adc	edx, [ebx - KVMCLOCK_BELOW + PVCLOCK_TIME + 4]
	pop	ecx
	and	ecx, ~1			; odd: differs from what is there
	cmp	ecx, [ebx - KVMCLOCK_BELOW + PVCLOCK_VERSION]
	jne	.again
	pop	ecx
	pop	ebx
	ret
.left:	neg	cl
	shld	edx, eax, cl
	shl	eax, cl
	jmp	.scale
.unstable:
	pop	ecx
	xor	eax, eax
	%if VMI_CYCLES_REAL
	%error "0 in EAX is the real counter"
	%endif
.long:	pop	ecx
	pop	ebx
	to_c	rom_cycle_counter, edx_eax, cli

; In:	EAX = flags, ECX:EDX = expiry, [esp+4] = period low, [esp+8] = high
; Out:	nothing
; Clobbers: flags
; Interrupts are off: a handler may set alarms too, and the PIT takes two bytes.
	stub	SetAlarm, TIME
	push	eax
	pushfd
	cli
	cld
	push	dword [esp + 16]
	push	dword [esp + 16]
	push	ecx
	push	edx
	mov	edx, esp
	extern	rom_set_alarm
	call	rom_set_alarm
	pop	edx
	pop	ecx
	add	esp, 8
	popfd
	pop	eax
	ret
	endstub

; In:	EAX = flags
; Out:	EAX = 1 was armed, 0 not
; Clobbers: flags
	stub	CancelAlarm, TIME
	to_c	rom_cancel_alarm, eax, cli
	endstub

; In:	nothing
; Out:	EDX:EAX = nanoseconds since 1970
; Clobbers: flags
	stub	GetWallclockTime, TIME
	to_c	rom_wallclock, edx_eax, cli
	endstub

; In:	nothing
; Out:	EAX = 1 once after the clock stepped
; Clobbers: flags
	stub	WallclockUpdated, TIME
	to_c	rom_wallclock_updated, eax, cli
	endstub

; In:	EAX = offset, EDX = value
; Out:	nothing
; Clobbers: flags
	stub	APICWrite, TIME
	to_c	rom_apic_write, none, cli
	endstub

; In:	EAX = offset
; Out:	EAX
; Clobbers: flags
	stub	APICRead
	to_c	rom_apic_read, eax, cli
	endstub

; The ICR has two words: the destination is in the one at 310.
; In:	EAX = linear address, EDX = value
; Out:	nothing
; Clobbers: flags
	stub	APICWrite_v13, TIME
	push	ecx
	mov	ecx, eax
	and	ecx, 0xfff
	cmp	ecx, APIC_ICR
	jne	.other
	mov	ecx, edx
	and	ch, ICR_MODE >> 8
	cmp	ch, ICR_STARTUP >> 8
	jne	.other
	pushfd
	push	eax
	push	edx
	cld
	xchg	eax, edx
	mov	edx, [edx + 0x10]
	extern	start_ipi
	call	start_ipi
	mov	ecx, eax
	pop	edx
	pop	eax
	popfd
	mov	[eax], ecx
	pop	ecx
	ret
.other:	cmp	ecx, APIC_EOI
	pop	ecx
	mov	[eax], edx
	je	.eoi
	ret
.eoi:	to_c	rom_alarm_eoi, none, cli
	endstub

; In:	EAX = linear address
; Out:	EAX
; Clobbers: nothing
	inline	APICRead_v13
	mov	eax, [eax]
	endinline

; In:	EAX -> state, EDX = APIC ID
; Out:	nothing
; Clobbers: flags
	stub	SetInitialAPState, START
	to_c	rom_set_initial_ap_state, none, cli
	endstub
