; SPDX-License-Identifier: GPL-2.0-only
;
; Time, alarms, the local APIC and starting processors on the native host: the
; entries of what is written in C (rom/time.c, rom/apic.c).

%include "stub.inc"

; In:	nothing
; Out:	EDX:EAX = cycles a second
; Clobbers: flags
	stub	GetCycleFrequency
	to_c	rom_cycle_frequency, edx_eax
	endstub

; Nothing is stolen on the bare processor: available is real.
; In:	EAX = counter
; Out:	EDX:EAX
; Clobbers: flags
	stub	GetCycleCounter
	cmp	eax, VMI_CYCLES_AVAILABLE
	ja	.none
	rdtsc
	ret
.none:	xor	eax, eax
	xor	edx, edx
	ret
	endstub

; In:	EAX = flags, ECX:EDX = expiry, [esp+4] = period low, [esp+8] = high
; Out:	nothing
; Clobbers: flags
; Interrupts are off: a handler may set alarms too, and the PIT takes two bytes.
	stub	SetAlarm
	push	eax
	push	ecx
	push	edx
	pushfd
	cli
	cld
	push	dword [esp + 24]
	push	dword [esp + 24]
	extern	rom_set_alarm
	call	rom_set_alarm
	add	esp, 8
	popfd
	pop	edx
	pop	ecx
	pop	eax
	ret
	endstub

; In:	EAX = flags
; Out:	EAX = 1 was armed, 0 not
; Clobbers: flags
	stub	CancelAlarm
	to_c	rom_cancel_alarm, eax, cli
	endstub

; In:	nothing
; Out:	EDX:EAX = nanoseconds since 1970
; Clobbers: flags
	stub	GetWallclockTime
	to_c	rom_wallclock, edx_eax
	endstub

; In:	nothing
; Out:	EAX = 1 once after the clock stepped
; Clobbers: flags
	stub	WallclockUpdated
	to_c	rom_wallclock_updated, eax
	endstub

; In:	EAX = offset, EDX = value
; Out:	nothing
; Clobbers: flags
	stub	APICWrite
	to_c	rom_apic_write, none
	endstub

; In:	EAX = offset
; Out:	EAX
; Clobbers: flags
	stub	APICRead
	to_c	rom_apic_read, eax
	endstub

; In:	EAX = linear address, EDX = value
; Out:	nothing
; Clobbers: nothing
	inline	APICWrite_v13
	mov	[eax], edx
	endinline

; In:	EAX = linear address
; Out:	EAX
; Clobbers: nothing
	inline	APICRead_v13
	mov	eax, [eax]
	endinline

; In:	EAX -> state, EDX = APIC ID
; Out:	nothing
; Clobbers: flags
	stub	SetInitialAPState
	to_c	rom_set_initial_ap_state, none
	endstub
