; SPDX-License-Identifier: GPL-2.0-only
;
; What a VMM without firmware does to install an image, as all the firmware that a
; QEMU machine of 64 MiB has (-bios): no BIOS service, no ACPI. docs/firmware.md
; explains the steps. host/firmware.t builds it with
;	-DPOST=16		the image's entry for firmware; 32: the other; 0: none
;	-DIMAGE='"FILE"'
;	-DGUEST='"FILE"'	a multiboot guest as plain binary for 1 MiB
;	-DENTRY=ADDRESS		its
;	-DCOMMAND_LINE='"TEXT"'
;	-DNO_PIT		the PIT is as reset leaves it
; POST's line goes to port E9.

PLACE		equ 0xc8000		; of the image: on 2 KiB
ABOUT_POST32	equ 0x3e		; vmi_about.post32
BASE_KIB	equ 639
MEGS		equ 64
GUEST_AT	equ 0x100000
BDA_BASE_MEMORY	equ 0x413
STACK		equ 0x7c00
INFO		equ 0x500		; multiboot's
MAP		equ 0x600
LINE		equ 0x700
LOADER		equ 0x2badb002
PAM_0		equ 0x80000058		; 440FX: DRAM timing, then PAM
PCI_ADDRESS	equ 0xcf8
PCI_DATA	equ 0xcfc
APIC_SVR	equ 0xfee000f0
APIC_LINT0	equ 0xfee00350
CONSOLE		equ 0xe9
BLOCK		equ 0x10000

%macro	fill 0
	times	(BLOCK - ($ - $$) % BLOCK) % BLOCK db 0
%endmacro

%macro	output 2			; port, byte
	mov	al, %2
	out	%1, al
%endmacro

; The file ends at 4 GiB; its last 128 KiB are at E0000, too.
guest:	incbin	GUEST
GUEST_SIZE equ	$ - guest
	fill
image:	incbin	IMAGE
IMAGE_SIZE equ	$ - image
%if IMAGE_SIZE > BLOCK
%error "the image does not fit"
%endif
	fill

bits 16
code:
start:	cli
	cld
	; C8000 to DFFFF is RAM.
	mov	eax, PAM_0
	mov	dx, PCI_ADDRESS
	out	dx, eax
	mov	dx, PCI_DATA + 3
	output	dx, 0x33
	mov	eax, PAM_0 + 4
	mov	dx, PCI_ADDRESS
	out	dx, eax
	mov	dx, PCI_DATA
	mov	ax, 0x3333
	out	dx, ax

	; Interrupt controllers, VGA and timer as guests know them from firmware.
	output	0x20, 0x11
	output	0x21, 0x08
	output	0x21, 0x04
	output	0x21, 0x01
	output	0x21, 0xb8
	output	0xa0, 0x11
	output	0xa1, 0x70
	output	0xa1, 0x02
	output	0xa1, 0x01
	output	0xa1, 0x8f
	mov	dx, 0x3c2		; colour: the CRT controller is at 3D4
	output	dx, 1
%ifndef NO_PIT
	output	0x43, 0x34		; channel 0: both bytes, mode 2
	output	0x40, 0
	output	0x40, 0
%endif

	xor	ax, ax
	mov	ss, ax
	mov	sp, STACK
	mov	ds, ax
	mov	word [BDA_BASE_MEMORY], BASE_KIB

	mov	ax, 0xe000
	mov	ds, ax
	mov	ax, PLACE >> 4
	mov	es, ax
	xor	si, si
	xor	di, di
	mov	cx, IMAGE_SIZE / 4
	rep movsd

%if POST == 16
	mov	dword [ss:0x10 * 4], 0xf0000000 + teletype - code
	call	PLACE >> 4:3
%endif
	o32 lgdt [cs:gdt_pointer - code]
	mov	eax, cr0
	or	al, 1
	mov	cr0, eax
	jmp	dword 8:0xf0000 + flat - code

teletype:
	out	CONSOLE, al
	iret

bits 32
flat:	mov	eax, 0x10
	mov	ds, eax
	mov	es, eax
	mov	fs, eax
	mov	gs, eax
	mov	ss, eax
	mov	esp, STACK
	mov	dword [APIC_SVR], 0x1ff	; enabled
	mov	dword [APIC_LINT0], 0x700 ; ExtINT
%if POST == 32
	movzx	edx, word [PLACE + ABOUT_POST32]
	add	edx, PLACE
	mov	eax, LINE
	call	edx
	mov	esi, eax
.next:	lodsb
	test	al, al
	jz	.end
	out	CONSOLE, al
	jmp	.next
.end:
%endif
	; Conventional memory ends where POST has left 40:13.
	movzx	ecx, word [BDA_BASE_MEMORY]
	mov	dword [INFO], 0x45	; memory, command line, map
	mov	[INFO + 4], ecx
	mov	dword [INFO + 8], (MEGS - 1) * 1024
	mov	dword [INFO + 16], 0xf0000 + command_line - code
	mov	dword [INFO + 44], map_end - map
	mov	dword [INFO + 48], MAP
	mov	esi, 0xf0000 + map - code
	mov	edi, MAP
	push	ecx
	mov	ecx, map_end - map
	rep movsb
	pop	ecx
	shl	ecx, 10
	mov	[MAP + 12], ecx

	mov	esi, guest - end	; below 4 GiB
	mov	edi, GUEST_AT
	mov	ecx, (GUEST_SIZE + 3) / 4
	rep movsd
	mov	eax, LOADER
	mov	ebx, INFO
	mov	edx, ENTRY
	jmp	edx

	align	8
gdt:	dq	0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
	dw	$ - gdt - 1
	dd	0xf0000 + gdt - code
map:	dd	20, 0, 0, 0, 0, 1	; size, base, length, RAM
	dd	20, GUEST_AT, 0, MEGS * 0x100000 - GUEST_AT, 0, 1
map_end:
command_line:
	db	COMMAND_LINE, 0

	times	BLOCK - 16 - ($ - code) db 0
bits 16
	jmp	0xf000:start - code	; reset
	fill
end:
