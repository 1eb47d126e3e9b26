; SPDX-License-Identifier: GPL-2.0-only
;
; Interrupts, flags, privilege transitions and the processor's sleep on the
; native host. The interrupt calls rely on CS and SS only.

%include "stub.inc"

; ---------------------------------------------------------------------------
; The interrupt flag

; In:	nothing
; Out:	nothing
; Clobbers: nothing
	inline	EnableInterrupts
	sti
	endinline

; In:	nothing
; Out:	nothing
; Clobbers: nothing
	inline	DisableInterrupts
	cli
	endinline

; In:	nothing
; Out:	EAX = 0x200 enabled, 0 disabled
; Clobbers: flags
	inline	GetInterruptMask
	pushfd
	pop	eax
	and	eax, VMI_IF
	endinline

; In:	EAX = mask
; Out:	nothing
; Clobbers: flags
	inline	SetInterruptMask
	cli				; shorter than a branch around it
	test	ah, VMI_IF >> 8
	jz	.off
	sti
.off:
	endinline

; In:	nothing
; Out:	EAX = EFLAGS before
; Clobbers: nothing
	inline	SaveAndDisableIRQs
	pushfd
	pop	eax
	cli
	endinline

; In:	EAX = flags; VM does not change, RF VIF and VIP are cleared [SDM POPF]
; Out:	EFLAGS
; Clobbers: nothing
	inline	SetEFLAGS
	push	eax
	popfd
	endinline

; In:	nothing
; Out:	EAX = EFLAGS
; Clobbers: nothing
	inline	GetEFLAGS
	pushfd
	pop	eax
	endinline

; The processor holds what is pending and delivers it itself.
; In:	nothing
; Out:	nothing
; Clobbers: nothing
	inline	DeliverInterrupts
	sti
	endinline

; ---------------------------------------------------------------------------
; Privilege transitions

; One IRET does all three: to the same ring, to user mode, to virtual-8086
; mode. At CPL 0 it restores IOPL from the frame, which guests at CPL 0 rely
; on: Linux calls SetIOPLMask only where its kernel ring is not 0.
; In:	[esp] = eip cs eflags (esp ss (es ds fs gs)); entered by JMP
; Out:	does not return
; Clobbers: does not apply
	inline	IRET, JUMP
	iretd
	endinline noreturn

; In:	the same behind a return address; entered by CALL
; Out:	does not return
; Clobbers: does not apply
	stub	IRET_v13, EXIT
	add	esp, 4
	iretd
	endstub

; In:	a return address, then ip cs flags (sp ss) as words; entered by CALL
; Out:	does not return
; Clobbers: does not apply
	stub	IRET16, EXIT
	add	esp, 4
	o16 iret
	endstub

; The shadow of STI covers SYSEXIT. A return address on the stack does not
; matter, the stack is left behind.
; In:	EDX = eip, ECX = esp; entered by JMP or CALL
; Out:	does not return
; Clobbers: does not apply
	inline	SYSEXIT, JUMP
	sti
	sysexit
	endinline noreturn
	alias	StiSysexit, SYSEXIT, JUMP

; In:	ECX = eip; entered by JMP or CALL
; Out:	does not return
; Clobbers: does not apply
	inline	SysRet, JUMP
	sysret
	endinline noreturn

; ---------------------------------------------------------------------------
; Sleep, reboot, shutdown

; In:	nothing
; Out:	nothing
; Clobbers: nothing
	inline	Pause
	pause
	endinline

; In:	nothing
; Out:	after an interrupt, interrupts on
; Clobbers: nothing
	inline	Halt
	sti
	hlt
	endinline
	alias	SafeHalt, Halt

; In:	EAX = VMI_REBOOT_*
; Out:	does not return
; Clobbers: does not apply
	stub	Reboot, CALL
	extern	rom_reboot
	cli
	cld
	call	rom_reboot		; the stack stays: nobody returns
	endstub

; In:	nothing
; Out:	does not return
; Clobbers: does not apply
	stub	Shutdown, CALL
	extern	rom_shutdown
	cli
	cld
	call	rom_shutdown
	endstub
