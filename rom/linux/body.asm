; SPDX-License-Identifier: GPL-2.0-only
;
; Functions of Linux whose code may stand where they are called (rom/linux/site.c):
; each behind its length, without its RET. None knows where it stands.

bits 32
	section .text

%macro	body 1+				; one instruction, or bytes
	db	%%end - %%start
%%start: %1
%%end:
%endmacro

	global	site_bodies
site_bodies:
	body	cli
	body	sti
	body	db 0x9c, 0x58		; pushfd; pop eax
	body	db 0x50, 0x9d		; push eax; popfd
	body	clts
	body	rdtsc
	body	mov eax, cr0
	body	mov eax, cr2
	body	mov eax, cr3
	body	mov eax, cr4
	body	mov cr0, eax
	body	mov cr2, eax
	body	mov cr3, eax
	body	mov cr4, eax
	body	invlpg [eax]
	body	mov [eax], edx
	body	db 0x89, 0x48, 0x04, 0x89, 0x10 ; mov [eax + 4], ecx; mov [eax], edx
	db	0			; the end, and the body of a function that is only RET
