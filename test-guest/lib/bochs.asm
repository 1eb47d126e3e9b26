; SPDX-License-Identifier: GPL-2.0-only
;
; A boot sector, and firmware's part for Bochs, whose own BIOS has option ROMs
; in real ROM: puts the images into shadow RAM, runs their POST, closes it, and
; starts a multiboot guest. test-guest/bochs makes the disk: this, and the
; table of what follows it, in sectors.

DISK_BUFFER	equ 0x1000		; segment
BUFFER_SECTORS	equ 64
PLACE		equ 0xca000		; of the first image, behind the VGA BIOS
VGA_BIOS_REST	equ 0xc8000
GUEST		equ 0x100000
PAM_0		equ 0x80000058		; 440FX: DRAM timing, then PAM
PCI_ADDRESS	equ 0xcf8
PCI_DATA	equ 0xcfc
LOADER		equ 0x2badb002
SECTORS		equ 4			; of this file

	bits	16
	org	0x7c00
	jmp	0:start
start:	xor	ax, ax
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	sp, 0x7c00
	cld
	mov	[drive], dl
	mov	cx, SECTORS - 1
	mov	bx, 0x7e0
	mov	eax, 1
	call	read
	jmp	load

; In:	EAX = sector, CX = count, BX = segment
; Out:	there
; Clobbers: AX, DX, SI
read:	mov	[packet.sector], eax
	mov	[packet.count], cx
	mov	[packet.segment], bx
	mov	si, packet
	mov	dl, [drive]
	mov	ah, 0x42
	int	0x13
	jc	fail
	ret

fail:	mov	si, shutdown
	mov	dx, 0x8900
	mov	cx, 8
	rep outsb
.stop:	hlt
	jmp	.stop

drive:	db	0
shutdown: db	"Shutdown"
packet:	db	16, 0
.count:	dw	0
	dw	0
.segment: dw	0
.sector: dq	0
	times	510 - ($ - $$) db 0
	dw	0xaa55

; The table: sectors of the guest, of each image, the command line.
table:
guest_sectors:	dd 0
image_sectors:	dd 0, 0, 0
memory_kib:	dd 0
command_line:	times 1024 - 20 db 0

load:	in	al, 0x92
	or	al, 2
	and	al, 0xfe
	out	0x92, al
	mov	al, 0x22		; writes go to RAM, reads to the VGA BIOS
	call	pam
	mov	ax, VGA_BIOS_REST >> 4
	mov	ds, ax
	mov	es, ax
	xor	si, si
	xor	di, di
	mov	cx, (PLACE - VGA_BIOS_REST) / 2
	rep movsw
	xor	ax, ax
	mov	ds, ax
	mov	es, ax
	mov	al, 0x33		; read and write, of both halves
	call	pam
	mov	dword [sector], SECTORS
	mov	dword [place], PLACE
	mov	si, image_sectors
.image:	mov	ebp, [si]
	test	ebp, ebp
	jz	.close
	push	si
	mov	edi, [place]
	call	copy
	mov	eax, [place]
	shr	eax, 4
	mov	[post + 2], ax
	mov	es, ax
	xor	ax, ax			; no PCI device
	mov	bx, 0xffff
	mov	dx, bx
	call	far [post]
	xor	eax, eax
	mov	ds, ax
	mov	al, [es:2]		; what POST has left of it
	shl	eax, 9
	add	eax, [place]
	add	eax, 0x7ff
	and	eax, ~0x7ff
	mov	[place], eax
	pop	si
	add	si, 4
	cmp	si, image_sectors + 12
	jb	.image
.close:	mov	al, 0x11		; read only
	call	pam

	mov	ebp, [guest_sectors]
	mov	edi, GUEST
	call	copy
	mov	dword [info], 5		; memory, command line
	int	0x12
	movzx	eax, ax
	mov	[info + 4], eax
	mov	eax, [memory_kib]
	sub	eax, 1024
	mov	[info + 8], eax
	mov	dword [info + 16], command_line
	cli
	lgdt	[gdt_pointer]
	mov	eax, cr0
	or	al, 1
	mov	cr0, eax
	jmp	0x08:flat

; In:	AL = attributes of C8000 to DFFFF
; Clobbers: EAX, EBX, CX, DX
pam:	mov	bl, al
	mov	cx, 3			; 5B to 5D
	mov	bh, 0x5b
.next:	mov	dx, PCI_ADDRESS
	mov	eax, PAM_0 & ~0xff
	mov	al, bh
	and	al, 0xfc
	out	dx, eax
	mov	dx, PCI_DATA
	mov	al, bh
	and	ax, 3
	add	dx, ax
	mov	al, bl
	out	dx, al
	inc	bh
	loop	.next
	ret

; In:	EBP = sectors, EDI = address
; Clobbers: everything but segments
copy:	push	es
.more:	mov	cx, BUFFER_SECTORS
	cmp	ebp, BUFFER_SECTORS
	jae	.read
	mov	cx, bp
.read:	push	cx
	mov	bx, DISK_BUFFER
	mov	eax, [sector]
	push	edi
	push	ebp
	call	read
	pop	ebp
	pop	edi
	cli
	lgdt	[gdt_pointer]
	mov	eax, cr0
	or	al, 1
	mov	cr0, eax
	mov	bx, 0x10
	mov	es, bx
	mov	ds, bx
	and	al, 0xfe
	mov	cr0, eax
	xor	bx, bx
	mov	es, bx
	mov	ds, bx
	sti
	pop	cx
	movzx	ecx, cx
	add	[sector], ecx
	sub	ebp, ecx
	shl	ecx, 7
	mov	esi, DISK_BUFFER * 16
	a32 rep movsd
	test	ebp, ebp
	jnz	.more
	pop	es
	ret

	bits	32
flat:	mov	eax, 0x10
	mov	ds, eax
	mov	es, eax
	mov	fs, eax
	mov	gs, eax
	mov	ss, eax
	mov	eax, LOADER
	mov	ebx, info
	jmp	dword [entry]

	align	8
gdt:	dq	0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
	dw	$ - gdt - 1
	dd	gdt
sector:	dd	0
place:	dd	0
post:	dw	3, 0
	times	SECTORS * 512 - 4 - ($ - $$) db 0
entry:	dd	0
info	equ	0x7c00 + SECTORS * 512	; multiboot's, 88 bytes
