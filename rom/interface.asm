; SPDX-License-Identifier: GPL-2.0-only
;
; The interface's own calls, the same on every host.

%include "stub.inc"

; In:	EAX = data area (6.1 only; not used)
; Out:	EAX = 0, or -1 and nothing has changed
; Clobbers: flags
	stub	Init, CALL
	to_c	rom_init, eax
	endstub

; In:	EAX = number
; Out:	EDX:EAX = struct vmi_relocation_info
; Clobbers: flags
	stub	GetRelocationInfo, CALL
	mov	edx, [esp]		; the caller
	to_c	rom_get_relocation_info, edx_eax
	endstub

; In:	EAX -> struct vmi_patch
; Out:	EAX = 0, or VMI_PATCH_* and nothing has changed
; Clobbers: flags
	stub	PatchSites, CALL
	to_c	rom_patch_sites, eax
	endstub

; What 13.3 binds a number to that it does not know, and what stands in slots
; that a revision leaves free.
; In:	nothing
; Out:	EDX:EAX = 0
; Clobbers: flags
	global	rom_return_zero:function (rom_return_zero_end - rom_return_zero)
rom_return_zero:
	xor	eax, eax
	xor	edx, edx
	ret
rom_return_zero_end:
