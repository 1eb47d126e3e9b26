; SPDX-License-Identifier: GPL-2.0-only
;
; Input and output on the native host: the instructions themselves.

%include "stub.inc"

%macro	port_input 2			; name, register
; In:	EDX = port
; Out:	the low part of EAX; the rest of it is kept
; Clobbers: nothing
	inline	%1
	in	%2, dx
	endinline
%endmacro

	port_input IN, eax
	port_input INB, al
	port_input INW, ax

%macro	port_output 2			; name, register
; In:	EAX = value, EDX = port
; Out:	nothing
; Clobbers: nothing
	inline	%1
	out	dx, %2
	endinline
%endmacro

	port_output OUT, eax
	port_output OUTB, al
	port_output OUTW, ax

%macro	port_string 2			; name, instruction
; In:	EDX = port, ECX = count, ES:EDI or DS:ESI = buffer, DF = direction
; Out:	ECX = 0, EDI or ESI advanced
; Clobbers: nothing
	inline	%1
	rep %2
	endinline
%endmacro

	port_string INS, insd
	port_string INSB, insb
	port_string INSW, insw
	port_string OUTS, outsd
	port_string OUTSB, outsb
	port_string OUTSW, outsw

; In:	EAX = iopl << 12; other bits do not matter
; Out:	EFLAGS.IOPL
; Clobbers: nothing
	inline	SetIOPLMask
	push	eax
	pushfd
	and	eax, 0x3000
	and	dword [esp], ~0x3000
	or	[esp], eax
	popfd
	pop	eax
	endinline

; In:	nothing
; Out:	EAX = iopl << 12
; Clobbers: flags
	inline	GetIOPLMask
	pushfd
	pop	eax
	and	eax, 0x3000
	endinline

; The processor reads the TSS.
; In:	nothing
; Out:	nothing
; Clobbers: nothing
	inline	UpdateIOBitmap
	endinline
	alias	UpdateInterruptBitmap, UpdateIOBitmap

; No bus of a virtual machine needs time.
; In:	nothing
; Out:	nothing
; Clobbers: nothing
	inline	IODelay, NOP
	endinline
