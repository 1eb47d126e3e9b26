; SPDX-License-Identifier: GPL-2.0-only
;
; A floppy for post.t: real-mode code that puts a fresh copy of one image after
; the other where it finds the first (POST gives part of an image away), calls its
; entry in one machine state after the other, and looks for what the call
; left different. On the first serial port:
;	try NAME	about to call
;	ok NAME / not ok NAME / ok NAME # SKIP why
;	# why		before a not ok
;	done		after the last one; QEMU then exits with 33
; -DQUIET: the images were told to print no banner. -DBOCHS: for Bochs.

	org	0x7c00
	bits	16
	cpu	586

	section	.text
	section	.names align=1 follows=.text
	section	.cases align=4 follows=.names
	section	.data align=4 follows=.cases
	section	.text

; Memory, all of it below the images: the program is at 7C00, its own stack
; below that, and the stack of the calls below 7000.
CALL_STACK equ	0x7000
STACK_LOW equ	0x6000
MONITOR_STACK equ 0x7400		; ring 0, while a call runs in virtual-8086 mode
SECTORS	equ	18			; one track
IMAGE_TRACK equ	2			; of the first image, the others follow
IMAGE_TRACKS equ 5			; each
IMAGE_COUNT equ	3
IDT	equ	0xac00
SNAPSHOT equ	0xb000			; of 0 to 500
SNAPSHOT_SIZE equ 0x500
LOW_COPY equ	0xb900			; of the same, for a while
TEXT	equ	0xb800			; what INT 10h was given
TEXT_SIZE equ	160
IMAGE_COPY equ	0x1000			; segment; 45 KiB
FILL_KIB equ	0x1b400 / 1024		; from here to 40:13, every word is its address

BDA_BASE_MEMORY equ 0x413
BDA_MOTOR equ	0x43f			; and when to stop it, by the tick
BDA_MOTOR_END equ 0x441
BDA_TICKS equ	0x46c			; and the midnight flag
BDA_TICKS_END equ 0x471

EFL_IF	equ	0x200
EFL_PLAIN equ	0x002
EFL_VM_IOPL equ	0x23002
EFL_FULL equ	0x247cd7		; OSZAPC, DF, IOPL, NT, AC, ID
EFL_V86	equ	0x003cd7		; OSZAPC, DF, IOPL

CR0_FULL equ	0x6005002a		; CD, NW, AM, WP, NE, TS, MP

APIC	equ	0xfee00000
APIC_SVR equ	APIC + 0xf0
APIC_LINT0 equ	APIC + 0x350
HPET	equ	0xfed00000
HPET_CONFIG equ	HPET + 0x10

; What a case expects and how it is called.
AS_IS	equ	1			; base memory: what earlier images left
FREE	equ	2			; less, as if no image had taken any yet
FREE_KIB equ	128
REFUSED	equ	1			; nothing is taken
TICKS	equ	2			; IRQ0 goes on
PENDING	equ	4			; IRQ0 waits at the call, and still does after
WRITABLE equ	8			; the image may be written
MODE_V86 equ	16
MODE_PROTECTED equ 32
ALIAS	equ	64			; other segment:offset of the same entry, SS not 0
NO_A20	equ	128
HIGH_ESP equ	256			; the upper half of ESP is not 0

; ---------------------------------------------------------------------------
start:
	cli
	xor	ax, ax
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	esp, 0x7c00
	sti
	cld
	mov	ax, 0x0200 + SECTORS - 1
	mov	bx, start + 512
	mov	cx, 0x0002
	xor	dh, dh
	int	0x13
	jnc	main
	mov	si, text_read
	call	puts
	jmp	exit

text_shutdown db "Shutdown"
text_read db	"# the floppy cannot be read", 10, 0

; QEMU's isa-debug-exit; Bochs's shutdown port.
exit:
	mov	dx, 0x3fd
.sent:	in	al, dx
	test	al, 0x40
	jz	.sent
	mov	dx, 0xf4
	mov	al, 0x10
	out	dx, al
	mov	si, text_shutdown
	mov	dx, 0x8900
	mov	cx, 8
	rep outsb
.stop:	cli
	hlt
	jmp	.stop

; ---------------------------------------------------------------------------
; Serial port

; In:	AL
; Out:	all kept
putc:
	push	dx
	push	ax
	mov	dx, 0x3fd
.wait:	in	al, dx
	test	al, 0x20
	jz	.wait
	mov	dx, 0x3f8
	pop	ax
	out	dx, al
	pop	dx
	ret

; In:	DS:SI
; Out:	all kept
puts:
	push	si
	push	ax
.next:	lodsb
	test	al, al
	jz	.done
	call	putc
	jmp	.next
.done:	pop	ax
	pop	si
	ret

; In:	EAX, CX = digits
; Out:	all kept
put_hex:
	pushad
	mov	dl, cl
	shl	dl, 2
	mov	ebx, eax
.next:	sub	dl, 4
	mov	eax, ebx
	mov	cl, dl
	shr	eax, cl
	and	al, 15
	cmp	al, 10
	sbb	al, 0x69
	das
	call	putc
	test	dl, dl
	jnz	.next
	popad
	ret

	times	510 - ($ - $$) db 0
	dw	0xaa55

; ---------------------------------------------------------------------------
main:
	mov	dx, 0x3fb
	mov	al, 3			; eight bits
	out	dx, al
	; Vectors 8 and 10h are this program's from now on.
	cli
	mov	eax, [8 * 4]
	mov	[old_int8], eax
	mov	word [8 * 4], int8
	mov	word [8 * 4 + 2], 0
	mov	word [0x10 * 4], int10
	mov	word [0x10 * 4 + 2], 0

	in	al, 0x21
	mov	[boot_masks], al
	in	al, 0xa1
	mov	[boot_masks + 1], al
	call	pit_status
	mov	[boot_pit], al
	mov	ax, [BDA_BASE_MEMORY]
	mov	[boot_kib], ax
	mov	eax, cr0
	mov	[boot_cr0], eax
	sgdt	[boot_gdtr]
	sidt	[boot_idtr]
	call	has_apic
	jz	.no_apic
	mov	esi, APIC_SVR
	call	flat_read
	mov	[boot_svr], eax
	mov	esi, APIC_LINT0
	call	flat_read
	mov	[boot_lint0], eax
.no_apic:
	mov	ax, FILL_KIB
	mov	bx, [boot_kib]
	call	fill
	sti

	mov	ax, 0xc000
.scan:	mov	es, ax
	cmp	word [es:0], 0xaa55
	jne	.next
	cmp	dword [es:8], "cVmi"
	jne	.next
	mov	[image], ax
%ifndef BOCHS
	; Installed, it returns at once.
	mov	[entry + 2], ax
	mov	word [entry], 3
	call	far [entry]
	mov	si, text_installed
	cmp	word [text_length], 0
	je	.returns
	mov	si, text_not_installed
.returns:
	call	puts
.fresh:	call	image_fresh
	jc	exit
	call	all_cases
	cmp	byte [track], IMAGE_TRACK + IMAGE_COUNT * IMAGE_TRACKS
	jb	.fresh
	jmp	.done
%else					; they are real ROM
	call	all_cases
%endif
.next:	mov	ax, es
	add	ax, 0x800 >> 4
	cmp	ax, 0xe000
	jb	.scan

.done:	mov	si, text_done
	call	puts
	jmp	exit

; The next image on the floppy, where [image] is.
; Out:	CF: it cannot be put there
; Clobbers: everything but the stack
image_fresh:
	xor	ax, ax
	mov	es, ax
	call	pam_open
	jc	.error
	sti
	mov	cx, IMAGE_TRACKS
	mov	bx, IMAGE_COPY
.track:	pusha
	mov	es, bx
	xor	bx, bx
	mov	ch, [track]
	mov	dh, ch
	shr	ch, 1
	and	dh, 1
	mov	cl, 1
	mov	dl, 0
	mov	ax, 0x0200 + SECTORS
	int	0x13
	popa
	mov	si, text_read
	jc	.error
	inc	byte [track]
	add	bx, SECTORS * 512 / 16
	loop	.track
	mov	ax, IMAGE_COPY
	mov	es, ax
	mov	dl, [es:2]
	mov	es, [image]
	mov	[es:2], dl
	call	image_put_back
	mov	dx, [pam_register]
	mov	word [pam_register], 0
	mov	di, boot_pam
	call	pam_write
	clc
	ret
.error:	call	puts
	stc
	ret

; In:	[image]
; Out:	all kept
all_cases:
	pusha
	push	es
	push	ds
	pop	es
	mov	bx, cases
.next:	mov	[case], bx
	call	one_case
	mov	bx, [case]
	add	bx, CASE_SIZE
	cmp	bx, cases_end
	jb	.next
	pop	es
	popa
	ret

; A case: name, state, EFLAGS, base memory in KiB, expectations.
CASE_NAME equ	0
CASE_STATE equ	2
CASE_EFLAGS equ	4
CASE_KIB equ	8
CASE_FLAGS equ	10
CASE_SIZE equ	12

%macro	state 5
	section	.text
	section	.names
%%name:	db	%1, 0
	section	.cases
	dw	%%name, %2
	dd	%3
	dw	%4, %5
	section	.text
%endmacro

	section	.cases
cases:
	state	"interrupts on", state_as_is, EFL_PLAIN | EFL_IF, FREE, TICKS
	state	"interrupts on, memory taken before", state_as_is, EFL_PLAIN | EFL_IF, AS_IS, TICKS
	state	"every flag, memory taken before", state_as_is, EFL_FULL, AS_IS, TICKS
	state	"every flag, interrupts on", state_as_is, EFL_FULL | EFL_IF, FREE, TICKS
	state	"every flag, interrupts off, CR0", state_cr0, EFL_FULL, FREE, TICKS
	state	"ESP above 64 KiB, interrupts on", state_64k, EFL_PLAIN | EFL_IF, FREE, \
		TICKS | HIGH_ESP
	state	"ESP above 64 KiB, interrupts off", state_64k, EFL_FULL, FREE, TICKS | HIGH_ESP
	state	"ESP above 64 KiB, other stack, no memory", state_64k, EFL_PLAIN | EFL_IF, 0, \
		TICKS | HIGH_ESP | ALIAS | REFUSED
	state	"every vector, BDA byte and PIC mask inverted", state_inverted, EFL_PLAIN, FREE, 0
	state	"interrupts off, IRQ0 pending", state_pending, EFL_PLAIN, FREE, TICKS | PENDING
	state	"other segment:offset, other stack", state_as_is, EFL_PLAIN | EFL_IF, \
		FREE, TICKS | ALIAS
	state	"other GDTR", state_gdtr, EFL_PLAIN | EFL_IF, FREE, TICKS
	state	"IRQ0 masked", state_irq0_masked, EFL_PLAIN | EFL_IF, FREE, 0
	state	"all IRQs masked", state_irqs_masked, EFL_PLAIN | EFL_IF, FREE, 0
	state	"PIT in mode 0, expired", state_pit_mode0, EFL_PLAIN | EFL_IF, FREE, 0
	state	"PIT in mode 4, expired", state_pit_mode4, EFL_PLAIN | EFL_IF, FREE, 0
	state	"PIT in mode 3", state_pit_mode3, EFL_PLAIN | EFL_IF, FREE, TICKS
	state	"PIT in mode 2, low byte only", state_pit_low, EFL_PLAIN | EFL_IF, FREE, TICKS
	state	"LINT0 masked", state_lint0_masked, EFL_PLAIN | EFL_IF, FREE, 0
	state	"LINT0 masked, local APIC software-disabled", state_svr_off, EFL_PLAIN | EFL_IF, FREE, 0
	state	"HPET in legacy replacement mode", state_hpet, EFL_PLAIN | EFL_IF, FREE, 0
	state	"A20 off", state_a20_off, EFL_PLAIN | EFL_IF, FREE, TICKS | NO_A20
	state	"image writable", state_writable, EFL_PLAIN | EFL_IF, FREE, TICKS | WRITABLE
	state	"image writable, memory taken before", state_writable, EFL_PLAIN | EFL_IF, AS_IS, \
		TICKS | WRITABLE
	state	"base memory 0 KiB", state_as_is, EFL_PLAIN | EFL_IF, 0, TICKS | REFUSED
	state	"base memory 64 KiB", state_as_is, EFL_FULL | EFL_IF, 64, TICKS | REFUSED
	state	"base memory 641 KiB", state_as_is, EFL_PLAIN, 641, TICKS | REFUSED
	state	"base memory 700 KiB", state_as_is, EFL_PLAIN | EFL_IF, 700, TICKS | REFUSED
	state	"base memory 65535 KiB", state_as_is, EFL_PLAIN | EFL_IF, 65535, TICKS | REFUSED
	state	"16-bit protected mode", state_as_is, EFL_FULL, FREE, \
		TICKS | REFUSED | HIGH_ESP | MODE_PROTECTED
	state	"virtual-8086 mode", state_as_is, EFL_V86, FREE, \
		TICKS | REFUSED | HIGH_ESP | MODE_V86
	section	.cases
cases_end:
	section	.text

; ---------------------------------------------------------------------------
; One case of one image.

; In:	[case], [image]
; Clobbers: everything but the stack
one_case:
	mov	byte [failed], 0
	mov	byte [fault], 0
	mov	word [memory_lines], 0
	mov	si, text_try
	call	put_name
	cli
	mov	bx, [case]
	call	[bx + CASE_STATE]
	jnc	.there
	push	si
	mov	si, text_ok
	call	put_case
	mov	si, text_skip
	call	puts
	pop	si
	call	puts
	mov	al, 10
	call	putc
	jmp	restore

.there:	mov	bx, [case]
	mov	ax, [boot_kib]
	cmp	word [bx + CASE_KIB], AS_IS
	je	.kib
	sub	ax, FREE_KIB
	cmp	word [bx + CASE_KIB], FREE
	je	.kib
	mov	ax, [bx + CASE_KIB]
.kib:	mov	[BDA_BASE_MEMORY], ax
	call	prepare
	mov	eax, [bx + CASE_EFLAGS]
	mov	[call_eflags], eax

	test	word [bx + CASE_FLAGS], MODE_V86 | MODE_PROTECTED
	jnz	.protected
	call	call_real
	jmp	.called
.protected:
	test	word [bx + CASE_FLAGS], MODE_V86
	jnz	.v86
	call	call_protected
	jmp	.called
.v86:	call	call_v86
.called:
	xor	ax, ax
	mov	ds, ax
	mov	es, ax
	call	examine
	call	restore

	mov	si, text_ok
	cmp	byte [failed], 0
	je	put_name
	mov	si, text_not_ok
	; falls through

; In:	SI = what goes before the case's name
; Clobbers: EAX, CX, SI
put_name:
	call	put_case
	mov	al, 10
	jmp	putc

put_case:
	call	puts
	push	es
	mov	es, [image]
	movzx	eax, byte [es:13]
	mov	cx, 1
	cmp	al, 10
	jb	.major
	sub	al, 10
	push	ax
	mov	al, '1'
	call	putc
	pop	ax
.major:	call	put_hex
	mov	al, '.'
	call	putc
	mov	al, [es:12]
	call	put_hex
	pop	es
	mov	si, text_colon
	call	puts
	mov	si, [case]
	mov	si, [si + CASE_NAME]
	jmp	puts

; What is compared afterwards.
; Clobbers: everything but BX
prepare:
	push	bx
	mov	eax, cr0
	mov	[old_cr0], eax
	mov	eax, cr3
	mov	[old_cr3], eax
	sgdt	[old_gdtr]
	sidt	[old_idtr]
	in	al, 0x21
	mov	[old_masks], al
	in	al, 0xa1
	mov	[old_masks + 1], al
	call	pit_status
	mov	[old_pit], al

	xor	si, si
	mov	di, SNAPSHOT
	mov	cx, SNAPSHOT_SIZE / 4
	rep movsd

	call	image_save

	mov	di, STACK_LOW
	mov	cx, (CALL_STACK + 0x80 - STACK_LOW) / 4
	mov	eax, [stack_fill]
	rep stosd
	mov	di, TEXT
	mov	cx, TEXT_SIZE / 4
	xor	eax, eax
	rep stosd
	mov	[text_length], ax
	mov	[int10_others], ax
	mov	[irqs], eax

	; Register values: none twice, upper halves not empty.
	mov	di, want
	mov	cx, REGISTERS
	mov	eax, 0x91a2b3c4
.fill:	stosd
	rol	eax, 3
	add	eax, 0x01234567
	loop	.fill
	mov	di, want_ds
	mov	ax, 0x1122
	mov	cx, 4
.segs:	stosw
	add	ax, 0x1211
	loop	.segs
	mov	dword [want_esp], CALL_STACK
	mov	word [want_ss], 0
	mov	ax, [image]
	mov	[entry + 2], ax
	mov	word [entry], 3
	pop	bx
	test	word [bx + CASE_FLAGS], ALIAS
	jz	.stack
	sub	word [entry + 2], 0x85
	add	word [entry], 0x850
	mov	dword [want_esp], CALL_STACK - 0x4560
	mov	word [want_ss], 0x456
.stack:	test	word [bx + CASE_FLAGS], HIGH_ESP
	jz	.done
	mov	word [want_esp + 2], 0xc7b6
.done:	ret

; Clobbers: AX, CX, SI, DI
image_save:
	mov	si, [image]
	mov	di, IMAGE_COPY
	jmp	image_move
image_put_back:
	mov	si, IMAGE_COPY
	mov	di, [image]
image_move:
	call	image_dwords
	push	es
	push	ds
	mov	ds, si
	mov	es, di
	xor	si, si
	xor	di, di
	rep movsd
	pop	ds
	pop	es
	ret

; Out:	CX = length of the image in words of 32 bits, at most 45 KiB
; Clobbers: nothing
image_dwords:
	push	es
	mov	es, [image]
	movzx	cx, byte [es:2]
	pop	es
	cmp	cx, 90
	jbe	.fits
	mov	cx, 90
.fits:	shl	cx, 7
	ret

; ---------------------------------------------------------------------------
; The call. %1: segment register that reaches this program's data before and
; after; the registers that are compared hold what the case wants.

%macro	invoke 1
	mov	[%1:own_stack], esp
	mov	[%1:own_stack + 4], ss
	mov	gs, [%1:want_gs]
	mov	fs, [%1:want_fs]
	mov	es, [%1:want_es]
	mov	ds, [%1:want_ds]
	lss	esp, [%1:want_esp]
	mov	eax, [%1:want_eax]
	mov	ebx, [%1:want_ebx]
	mov	ecx, [%1:want_ecx]
	mov	edx, [%1:want_edx]
	mov	esi, [%1:want_esi]
	mov	edi, [%1:want_edi]
	mov	ebp, [%1:want_ebp]
	push	dword [%1:call_eflags]
	popfd
	pushfd
	pop	dword [%1:want_eflags]
	call	far [%1:entry]
	mov	[%1:got_esp], esp
	mov	[%1:got_ss], ss
	mov	[%1:got_eax], eax
	mov	[%1:got_ebx], ebx
	mov	[%1:got_ecx], ecx
	mov	[%1:got_edx], edx
	mov	[%1:got_esi], esi
	mov	[%1:got_edi], edi
	mov	[%1:got_ebp], ebp
	mov	[%1:got_ds], ds
	mov	[%1:got_es], es
	mov	[%1:got_fs], fs
	mov	[%1:got_gs], gs
	lss	esp, [%1:own_stack]
	pushfd
	pop	dword [%1:got_eflags]
	push	dword EFL_PLAIN
	popfd
%endmacro

; Out:	[got...]
; Clobbers: everything but the stack
call_real:
	invoke	cs
	ret

CODE32	equ	0x08
DATA32	equ	0x10
CODE16	equ	0x18			; base 0
DATA16	equ	0x20			; base 0
IMAGE16	equ	0x28			; code, base of the image
TSS	equ	0x30

; In 16-bit protected mode, ring 0.
call_protected:
	call	enter_protected
	mov	ax, DATA16
	mov	[want_ss], ax
	mov	di, want_ds
	mov	cx, 4
.segs:	stosw
	loop	.segs
	mov	word [entry + 2], IMAGE16
	mov	[monitor_exit], sp
	jmp	CODE16:.code
.code:	mov	ss, ax
	mov	ds, ax
	mov	es, ax
	invoke	ss
	jmp	CODE16:leave_protected

; In virtual-8086 mode with IOPL 3 and no I/O ports.
call_v86:
	call	enter_protected
	mov	[monitor_exit], sp
	jmp	dword CODE32:.monitor
	bits	32
.monitor:
	mov	ax, DATA32
	mov	ss, ax
	mov	ds, ax
	mov	es, ax
	mov	esp, MONITOR_STACK
	mov	ax, TSS
	ltr	ax
	xor	eax, eax
	push	eax			; GS, FS, DS, ES, SS
	push	eax
	push	eax
	push	eax
	push	eax
	movzx	ebx, word [monitor_exit]
	push	ebx
	push	dword EFL_VM_IOPL
	push	eax
	push	dword .v86
	iretd
	bits	16
.v86:	invoke	cs
	int	0x20

; Segment registers keep what they have.
; Clobbers: EAX, CX, DI
enter_protected:
	movzx	eax, word [image]
	shl	eax, 4
	mov	[gdt_image + 2], eax
	mov	word [gdt_image + 5], 0x009b
	shr	eax, 16
	mov	[gdt_image + 4], al
	mov	byte [gdt_tss + 5], 0x89 ; not busy
	mov	word [gdt_image + 6], 0
	mov	di, IDT
	mov	cx, 0x20
.fault:	mov	ax, on_fault
	call	gate
	loop	.fault
	mov	ax, on_leave
	call	gate
	mov	di, IDT + 0x10 * 8
	mov	ax, on_int10
	call	gate
	lgdt	[gdtr]
	lidt	[idtr]
	mov	eax, cr0
	or	al, 1
	mov	cr0, eax
	ret

; In:	DI = IDT entry, AX = 32-bit ring 0 handler
; Out:	DI = next one
gate:
	stosw
	mov	ax, CODE32
	stosw
	mov	ax, 0xee00		; DPL 3
	stosw
	xor	ax, ax
	stosw
	ret

leave_protected:
	mov	ax, DATA16
	mov	ds, ax
	mov	es, ax
	mov	fs, ax
	mov	gs, ax
	mov	ss, ax
	mov	eax, cr0
	and	al, 0xfe
	mov	cr0, eax
	jmp	0:.real
.real:	xor	ax, ax
	mov	ds, ax
	mov	es, ax
	mov	fs, ax
	mov	gs, ax
	mov	ss, ax
	movzx	esp, word [monitor_exit]
	lgdt	[old_gdtr]
	lidt	[old_idtr]
	clc
	ret

	bits	32
on_fault:
	mov	ax, DATA32
	mov	ds, ax
	mov	byte [fault], 1
on_leave:
	jmp	CODE16:leave_protected

; INT 10h of a call that is not in real mode.
on_int10:
	push	ds
	push	ebx
	push	eax
	mov	bx, DATA32
	mov	ds, bx
	movzx	ebx, word [text_length]
	cmp	ebx, TEXT_SIZE - 1
	jae	.done
	mov	[TEXT + ebx], al
	inc	word [text_length]
.done:	pop	eax
	pop	ebx
	pop	ds
	iretd
	bits	16

; ---------------------------------------------------------------------------
; Interrupts of the calls in real mode

int8:
	inc	dword [cs:irqs]
	jmp	far [cs:old_int8]

; As the worst of BIOSes: BP, SI and DI are lost, flags come back.
int10:
	cmp	ah, 0x0e
	jne	.other
	mov	si, [cs:text_length]
	cmp	si, TEXT_SIZE - 1
	jae	.done
	mov	[cs:TEXT + si], al
	inc	word [cs:text_length]
.done:	mov	ax, 0x5151
	mov	ebp, 0x52525252
	mov	esi, 0x53535353
	mov	edi, 0x54545454
	iret
.other:	inc	word [cs:int10_others]
	jmp	.done

; ---------------------------------------------------------------------------
; What the call left

; In:	SI = what, EAX = is, EDX = was
; Clobbers: nothing
compare:
	cmp	eax, edx
	je	.same
	push	eax
	push	si
	push	cx
	mov	byte [failed], 1
	push	si
	mov	si, text_hash
	call	puts
	pop	si
	call	puts
	mov	si, text_is
	call	puts
	mov	cx, 8
	call	put_hex
	mov	si, text_was
	call	puts
	mov	eax, edx
	call	put_hex
	mov	al, 10
	call	putc
	pop	cx
	pop	si
	pop	eax
.same:	ret

; %1: what, %2: is, %3: was, both loaded with %4 (mov, movzx)
%macro	check 4
	section	.names
%%what:	db	%1, 0
	section	.text
	mov	si, %%what
	%4	eax, %2
	%4	edx, %3
	call	compare
%endmacro

; Clobbers: everything but the stack
examine:
	check	"fault", byte [fault], byte [zero], movzx

	; What may be looked at only before this program uses it.
	in	al, 0x21
	mov	[got_masks], al
	in	al, 0xa1
	mov	[got_masks + 1], al
	mov	al, 0x0b		; in service
	out	0x20, al
	in	al, 0x20
	mov	[got_in_service], al
	mov	al, 0x0a
	out	0x20, al
	in	al, 0x20
	mov	[got_requested], al
	call	pit_status
	mov	[got_pit], al
	sgdt	[got_gdtr]
	sidt	[got_idtr]

	check	"EAX", [got_eax], [want_eax], mov
	check	"EBX", [got_ebx], [want_ebx], mov
	check	"ECX", [got_ecx], [want_ecx], mov
	check	"EDX", [got_edx], [want_edx], mov
	check	"ESI", [got_esi], [want_esi], mov
	check	"EDI", [got_edi], [want_edi], mov
	check	"EBP", [got_ebp], [want_ebp], mov
	check	"ESP", [got_esp], [want_esp], mov
	check	"EFLAGS", [got_eflags], [want_eflags], mov
	check	"DS", word [got_ds], word [want_ds], movzx
	check	"ES", word [got_es], word [want_es], movzx
	check	"FS", word [got_fs], word [want_fs], movzx
	check	"GS", word [got_gs], word [want_gs], movzx
	check	"SS", word [got_ss], word [want_ss], movzx
	check	"CR0", cr0, [old_cr0], mov
	check	"CR3", cr3, [old_cr3], mov
	check	"GDTR's limit", word [got_gdtr], word [old_gdtr], movzx
	check	"GDTR's base", [got_gdtr + 2], [old_gdtr + 2], mov
	check	"IDTR's limit", word [got_idtr], word [old_idtr], movzx
	check	"IDTR's base", [got_idtr + 2], [old_idtr + 2], mov
	check	"PIC masks", word [got_masks], word [old_masks], movzx
	check	"IRQs in service", byte [got_in_service], byte [zero], movzx
	check	"mode of PIT channel 0", byte [got_pit], byte [old_pit], movzx
	check	"INT 10h but AH = 0E", word [int10_others], word [zero], movzx
	check	"stack above", [CALL_STACK], [stack_fill], mov
	call	a20
	mov	[got_a20], al
	mov	bx, [case]
	test	word [bx + CASE_FLAGS], NO_A20
	setz	[want_a20]
	check	"A20", byte [got_a20], byte [want_a20], movzx

	mov	bx, [case]
	test	dword [bx + CASE_EFLAGS], EFL_IF
	jnz	.irqs
	check	"IRQ0s taken with interrupts off", [irqs], [zero], mov
.irqs:	mov	bx, [case]
	test	word [bx + CASE_FLAGS], PENDING
	jz	.pending
	and	byte [got_requested], 1
	check	"IRQ0 pending", byte [got_requested], byte [one], movzx
.pending:
	call	examine_vectors
	call	examine_base_memory
	call	examine_image
	call	examine_text
	call	pit_moves

	; The tick goes on: stays here for ever where it does not.
	mov	bx, [case]
	test	word [bx + CASE_FLAGS], TICKS
	jz	.done
	mov	eax, [irqs]
	sti
.tick:	hlt
	cmp	eax, [irqs]
	je	.tick
	cli
.done:	ret

; 0 to 500, but for ticks and base memory.
examine_vectors:
	xor	bx, bx
.next:	mov	al, [bx]
	cmp	al, [SNAPSHOT + bx]
	je	.same
	cmp	bx, BDA_MOTOR
	jb	.not_ticks
	cmp	bx, BDA_MOTOR_END
	jb	.same
	cmp	bx, BDA_TICKS
	jb	.not_ticks
	cmp	bx, BDA_TICKS_END
	jb	.same
.not_ticks:
	cmp	bx, BDA_BASE_MEMORY
	je	.same
	cmp	bx, BDA_BASE_MEMORY + 1
	je	.same
	mov	byte [failed], 1
	mov	si, text_byte
	call	puts
	movzx	eax, bx
	mov	cx, 4
	call	put_hex
	mov	si, text_is
	call	puts
	mov	al, [bx]
	mov	cx, 2
	call	put_hex
	mov	si, text_was
	call	puts
	mov	al, [SNAPSHOT + bx]
	call	put_hex
	mov	al, 10
	call	putc
.same:	inc	bx
	cmp	bx, SNAPSHOT_SIZE
	jb	.next
	ret

; Refused: 40:13 stays. Where no image has taken memory before, it goes down,
; by at most 12 KiB. What is not between the new and the old value is not written.
examine_base_memory:
	movzx	eax, word [BDA_BASE_MEMORY]
	movzx	edx, word [SNAPSHOT + BDA_BASE_MEMORY]
	mov	si, text_base
	mov	bx, [case]
	mov	ecx, edx
	sub	ecx, eax
	test	word [bx + CASE_FLAGS], REFUSED
	jnz	.same
	cmp	ecx, 12			; unsigned: not up
	ja	.same
	cmp	word [bx + CASE_KIB], FREE
	jne	.taken
	test	ecx, ecx
	jnz	.taken
	mov	si, text_not_taken
	dec	edx
.same:	call	compare
	mov	ax, FILL_KIB
	mov	bx, [boot_kib]
	call	verify
	mov	ax, FILL_KIB
	mov	bx, [boot_kib]
	jmp	fill
.taken:	mov	ax, FILL_KIB
	mov	bx, [BDA_BASE_MEMORY]
	call	verify
	mov	ax, [SNAPSHOT + BDA_BASE_MEMORY]
	mov	bx, [boot_kib]
	call	verify
	mov	ax, [BDA_BASE_MEMORY]
	mov	bx, [SNAPSHOT + BDA_BASE_MEMORY]
	jmp	fill

; A locked image is as it was. In a writable one, the length, the checksum, the
; distance of the state, the PCI length and bindings may be new, and the
; checksum is right.
examine_image:
	mov	di, [case]
	test	word [di + CASE_FLAGS], WRITABLE
	setnz	[writable]
	call	image_dwords
	shl	cx, 2
	push	ds
	push	es
	mov	ds, [image]
	mov	ax, IMAGE_COPY
	mov	es, ax
	xor	si, si
	xor	bx, bx			; bytes that differ
	xor	ah, ah			; sum
.next:	mov	al, [si]
	add	ah, al
	cmp	al, [es:si]
	je	.same
	test	byte [ss:writable], 1
	jz	.bad
	call	may_differ
	je	.same
.bad:	inc	bx
	mov	[ss:image_last], si
.same:	inc	si
	loop	.next
	pop	es
	pop	ds
	mov	[image_sum], ah
	mov	[image_differs], bx
	check	"bytes of the image that differ", word [image_differs], word [zero], movzx
	test	bx, bx
	jz	.sum
	check	"the last byte that differs", word [image_last], word [zero], movzx
.sum:	check	"byte sum of the image", byte [image_sum], byte [zero], movzx
	ret

; In:	DS:SI -> a byte of the image
; Out:	ZF: POST may write it
; Clobbers: DX, DI
may_differ:
	cmp	si, 2			; length
	je	.may
	cmp	si, 3			; entry
	je	.may
	cmp	si, 6			; checksum
	je	.may
	mov	dx, si
	and	dx, ~3
	cmp	dx, 0x20		; distance of the state
	je	.may
	mov	dx, si
	or	dx, 1
	cmp	dx, 0x3f		; POST's 32-bit entry
	je	.may
	mov	dx, si
	sub	dx, [0x18]		; PCI data structure
	cmp	dx, 0x10
	je	.may
	mov	dx, si
	sub	dx, [0x24]		; bindings of the records
	mov	di, dx
	shr	di, 4
	cmp	di, [0x26]
	jae	.not
	and	dx, 15
	cmp	dx, 3
.may:	ret
.not:	or	di, 1
	ret

; One line; or none, where the image was told so and took the memory.
examine_text:
	mov	bx, [case]
	test	word [bx + CASE_FLAGS], REFUSED
	setnz	[want_refused]
%ifdef QUIET
	jnz	.line
	check	"length of the text", word [text_length], word [zero], movzx
	jmp	.show
.line:
%endif
	mov	cx, [text_length]
	cmp	cx, 20
	jb	.wrong
	cmp	cx, 82
	ja	.wrong
	mov	bx, cx
	cmp	word [TEXT + bx - 2], 0x0a0d
	jne	.wrong
	cmp	dword [TEXT], "VMI "
	jne	.wrong
	cmp	dword [TEXT + 3], " ROM"
	jne	.wrong
	sub	cx, 2
	mov	si, TEXT
.next:	lodsb
	cmp	al, ' '
	jb	.wrong
	loop	.next

	mov	byte [got_refused], 0
	mov	bx, [text_length]
	sub	bx, 13
.find:	cmp	dword [TEXT + bx], "not "
	jne	.not_here
	cmp	dword [TEXT + bx + 4], "inst"
	jne	.not_here
	mov	byte [got_refused], 1
.not_here:
	dec	bx
	jnz	.find
	check	"line says not installed", byte [got_refused], byte [want_refused], movzx
	jmp	.show

.wrong:	mov	byte [failed], 1
	mov	si, text_not_a_line
	call	puts
.show:	cmp	byte [failed], 0
	je	.done
	mov	si, text_said
	call	puts
	mov	si, TEXT
.byte:	lodsb
	test	al, al
	jz	.end
	cmp	al, ' '
	jae	.print
	mov	al, '~'
.print:	call	putc
	jmp	.byte
.end:	mov	al, 10
	call	putc
.done:	ret

; ---------------------------------------------------------------------------
; Memory that nobody uses: each word of 32 bits holds its own address, inverted.

; In:	AX, BX = from, to, in KiB
; Clobbers: EAX, ECX, EDX, SI
%macro	each_dword 1
	push	es
	mov	dx, ax
%%kib:	cmp	dx, bx
	jae	%%done
	mov	ax, dx
	shl	ax, 6
	mov	es, ax
	movzx	eax, dx
	shl	eax, 10
	not	eax
	xor	si, si
	mov	cx, 256
%%next:
	%1
	sub	eax, 4
	add	si, 4
	loop	%%next
	inc	dx
	jmp	%%kib
%%done:	pop	es
	ret
%endmacro

%macro	store 0
	mov	[es:si], eax
%endmacro

%macro	expect 0
	cmp	[es:si], eax
	je	%%same
	pushad
	mov	edx, eax
	mov	eax, [es:si]
	mov	si, text_memory
	cmp	word [memory_lines], 8
	jae	%%many
	inc	word [memory_lines]
	call	compare
%%many:	popad
%%same:
%endmacro

fill:
	each_dword store
verify:
	each_dword expect

; ---------------------------------------------------------------------------
; Devices

; Out:	AL = access, mode and BCD of PIT channel 0
pit_status:
	mov	al, 0xe2
	out	0x43, al
	in	al, 0x40
	and	al, 0x3f
	ret

; Out:	AX = count of PIT channel 0; its low byte twice in other than two-byte access
pit_count:
	mov	al, 0xd2
	out	0x43, al
	in	al, 0x40
	mov	ah, al
	in	al, 0x40
	xchg	al, ah
	ret

; Clobbers: EAX, CX, EDX, SI
pit_moves:
	call	pit_count
	mov	dx, ax
	mov	cx, 2000
.next:	call	pit_count
	cmp	ax, dx
	jne	.done
	loop	.next
	check	"PIT channel 0 counting", byte [zero], byte [one], movzx
.done:	ret

; Out:	AL = 1: on
a20:
	push	es
	mov	ax, 0xffff
	mov	es, ax
	mov	eax, [a20_word]
	mov	edx, [es:a20_word + 0x10]
	cmp	eax, edx
	jne	.on
	not	dword [a20_word]
	mov	eax, [a20_word]
	cmp	eax, [es:a20_word + 0x10]
	jne	.on
	xor	al, al
	pop	es
	ret
.on:	mov	al, 1
	pop	es
	ret

; Out:	ZF: no local APIC
; Clobbers: EAX, EBX, ECX, EDX
has_apic:
	pushfd
	pop	eax
	mov	ecx, eax
	xor	eax, 0x200000
	push	eax
	popfd
	pushfd
	pop	eax
	push	ecx
	popfd
	xor	eax, ecx
	test	eax, 0x200000
	jz	.done
	mov	eax, 1
	cpuid
	test	dh, 2
.done:	ret

; In:	ESI = physical address, EAX = value; interrupts off
; Out:	EAX = value
; Clobbers: EBX, FS
flat_read:
	call	flat
	mov	eax, [fs:esi]
	ret

flat_write:
	call	flat
	mov	[fs:esi], eax
	ret

flat:
	sgdt	[flat_gdtr]
	lgdt	[gdtr]
	mov	ebx, cr0
	or	bl, 1
	mov	cr0, ebx
	mov	bx, DATA32
	mov	fs, bx
	mov	ebx, cr0
	and	bl, 0xfe
	mov	cr0, ebx
	xor	bx, bx
	mov	fs, bx
	lgdt	[flat_gdtr]
	ret

; Image and state memory are in the PAM registers of both chip sets.
; Out:	DX = 0: not known; otherwise configuration register of C0000
; Clobbers: EAX
pam:
	mov	eax, 0x80000000
	mov	dx, 0xcf8
	out	dx, eax
	mov	dx, 0xcfc
	in	eax, dx
	mov	dx, 0x5a
	cmp	eax, 0x12378086
	je	.done
	mov	dx, 0x91
	cmp	eax, 0x29c08086
	je	.done
	xor	dx, dx
.done:	ret

; In:	DX = configuration register, ES:DI = four bytes
; Out:	DI beyond them
; Clobbers: EAX, CX, DX
%macro	pam_access 1
	mov	cx, 4
%%next:	push	dx
	movzx	eax, dx
	and	al, 0xfc
	or	eax, 0x80000000
	push	dx
	mov	dx, 0xcf8
	out	dx, eax
	pop	dx
	and	dx, 3
	add	dx, 0xcfc
%if %1
	mov	al, [di]
	inc	di
	out	dx, al
%else
	in	al, dx
	stosb
%endif
	pop	dx
	inc	dx
	loop	%%next
	ret
%endmacro

pam_read:
	pam_access 0
pam_write:
	pam_access 1

; ---------------------------------------------------------------------------
; Machine states. CF: not on this machine, SI = why.

state_as_is:
	clc
	ret

state_cr0:
	mov	eax, cr0
	or	eax, CR0_FULL
	mov	cr0, eax
	clc
	ret

; Segments of 64 KiB, as after a reset; SeaBIOS and POST leave larger ones.
state_64k:
	sgdt	[old_gdtr]
	sidt	[old_idtr]
	call	enter_protected
	mov	[monitor_exit], sp
	jmp	CODE16:.leave
.leave:	jmp	leave_protected

; What the first POST left must not hide what this one does. Only INT 10h still works.
state_inverted:
	xor	si, si
	mov	di, LOW_COPY
	mov	cx, SNAPSHOT_SIZE / 4
	rep movsd
	mov	cx, SNAPSHOT_SIZE / 4
.next:	sub	si, 4
	cmp	si, 0x10 * 4
	je	.int10
	not	dword [si]
.int10:	loop	.next
	in	al, 0x21
	not	al
	out	0x21, al
	in	al, 0xa1
	not	al
	out	0xa1, al
	mov	byte [low_changed], 1
	clc
	ret

state_pending:
	mov	al, 0x0a
	out	0x20, al
.wait:	in	al, 0x20
	test	al, 1
	jz	.wait
	clc
	ret

state_gdtr:
	lgdt	[odd_gdtr]
	clc
	ret

state_irq0_masked:
	in	al, 0x21
	or	al, 1
	out	0x21, al
	clc
	ret

state_irqs_masked:
	mov	al, 0xff
	out	0x21, al
	out	0xa1, al
	clc
	ret

state_pit_mode4:
	mov	al, 0x38
	jmp	pit_one_shot
state_pit_mode0:
	mov	al, 0x30
pit_one_shot:
	out	0x43, al
	mov	al, 0x10
	out	0x40, al
	xor	al, al
	out	0x40, al
	mov	cx, 2000		; a good deal more than 16 ticks
.wait:	in	al, 0x80
	loop	.wait
	sti
	mov	cx, 2000
.irq:	in	al, 0x80
	loop	.irq
	cli
	clc
	ret

state_pit_mode3:
	mov	al, 0x36
	out	0x43, al
	xor	al, al
	out	0x40, al
	out	0x40, al
	clc
	ret

state_pit_low:
	mov	al, 0x14
	out	0x43, al
	xor	al, al
	out	0x40, al
	clc
	ret

state_svr_off:
	call	state_lint0_masked
	jc	.none
	mov	esi, APIC_SVR
	mov	eax, [boot_svr]
	and	ah, 0xfe
	call	flat_write
	clc
.none:	ret

state_lint0_masked:
	call	has_apic
	jz	.none
	mov	esi, APIC_LINT0
	mov	eax, [boot_lint0]
	or	eax, 0x10000
	call	flat_write
	clc
	ret
.none:	mov	si, text_no_apic
	stc
	ret

; Firmware that has no ACPI tables has nobody to tell of a HPET.
state_hpet:
	mov	ax, 0xf000
	mov	es, ax
	xor	bx, bx
.rsdp:	cmp	dword [es:bx], "RSD "
	jne	.next
	cmp	dword [es:bx + 4], "PTR "
	je	.acpi
.next:	add	bx, 16
	jnz	.rsdp
	push	ds
	pop	es
	mov	si, text_no_acpi
	stc
	ret
.acpi:	push	ds
	pop	es
	mov	esi, HPET
	call	flat_read
	mov	si, text_no_hpet
	shr	eax, 16
	cmp	ax, 0x8086
	stc
	jne	.none
	mov	esi, HPET_CONFIG
	call	flat_read
	mov	[boot_hpet], eax
	or	al, 3
	call	flat_write
	mov	byte [hpet_changed], 1
	clc
.none:	ret

state_a20_off:
	in	al, 0x92
	and	al, 0xfc
	out	0x92, al
	call	a20
	cmp	al, 1
	mov	si, text_no_a20
	cmc
	ret

state_writable:
%ifdef BOCHS
	mov	si, text_no_pam
	stc
	ret
%endif
	; falls through

; Out:	CF: the image is not writable, SI = why
; Clobbers: EAX, CX, DX, DI
pam_open:
	mov	si, text_no_pam
	call	pam
	test	dx, dx
	stc
	jz	.none
	mov	[pam_register], dx
	mov	di, boot_pam
	call	pam_read
	call	image_save		; it may not be in RAM yet
	mov	dx, [pam_register]
	mov	di, open_pam
	call	pam_write
	call	image_put_back
	push	es
	mov	es, [image]
	not	byte [es:0]
	cmp	byte [es:0], 0x55
	not	byte [es:0]
	pop	es
	clc
	jne	.none
	stc
.none:	ret

; Whatever a state was, it is undone.
; Clobbers: everything but the stack
restore:
	mov	eax, [boot_cr0]
	mov	cr0, eax
	lgdt	[boot_gdtr]
	lidt	[boot_idtr]
	in	al, 0x92
	and	al, 0xfe
	or	al, 2
	out	0x92, al

	mov	dx, [pam_register]
	test	dx, dx
	jz	.locked
	mov	word [pam_register], 0
	call	image_put_back
	mov	di, boot_pam
	call	pam_write
.locked:
	cmp	byte [low_changed], 0
	je	.low
	mov	byte [low_changed], 0
	mov	si, LOW_COPY
	xor	di, di
	mov	cx, SNAPSHOT_SIZE / 4
	rep movsd
.low:	cmp	byte [hpet_changed], 0
	je	.hpet
	mov	byte [hpet_changed], 0
	mov	esi, HPET_CONFIG
	mov	eax, [boot_hpet]
	call	flat_write
.hpet:	call	has_apic
	jz	.apic
	mov	esi, APIC_SVR
	mov	eax, [boot_svr]
	call	flat_write
	mov	esi, APIC_LINT0
	mov	eax, [boot_lint0]
	call	flat_write
.apic:	call	pit_status
	cmp	al, [boot_pit]
	je	.pit
	mov	al, [boot_pit]
	out	0x43, al
	xor	al, al
	out	0x40, al
	out	0x40, al
.pit:	mov	al, [boot_masks]
	out	0x21, al
	mov	al, [boot_masks + 1]
	out	0xa1, al
	mov	ax, [boot_kib]
	mov	[BDA_BASE_MEMORY], ax
	sti
	ret

; ---------------------------------------------------------------------------
	section	.data
text_done db	"done", 10, 0
text_not_installed db "not "
text_installed db "ok the entry of an installed image returns at once", 10, 0
text_no_image db "# no VMI image in memory", 10, 0
text_try db	"try ", 0
text_ok	db	"ok ", 0
text_not_ok db	"not ok ", 0
text_skip db	" # SKIP ", 0
text_colon db	": ", 0
text_hash db	"# ", 0
text_is	db	" is ", 0
text_was db	", not ", 0
text_byte db	"# byte ", 0
text_base db	"40:13", 0
text_not_taken db "nothing taken: 40:13", 0
text_memory db	"memory not taken", 0
text_said db	"# console: ", 0
text_not_a_line db "# the console got something else than one line", 10, 0
text_no_apic db	"the CPU has no local APIC", 0
text_no_hpet db	"no HPET", 0
text_no_acpi db	"no ACPI table names a HPET", 0
text_no_a20 db	"A20 cannot be switched off by port 92", 0
text_no_pam db	"the image cannot be unlocked", 0
track	db	IMAGE_TRACK

	align	4, db 0
zero	dd	0
stack_fill dd	0x5aa5c33c
one	dd	1
a20_word dd	0x20a20a20

; What the calls get and leave, in one order.
REGISTERS equ	7
want:
%macro	registers 1
%1_eax	dd	0
%1_ebx	dd	0
%1_ecx	dd	0
%1_edx	dd	0
%1_esi	dd	0
%1_edi	dd	0
%1_ebp	dd	0
%1_esp	dd	0
%1_ss	dw	0			; for LSS
%1_ds	dw	0
%1_es	dw	0
%1_fs	dw	0
%1_gs	dw	0
%1_eflags dd	0
%1_a20	db	0
%1_refused db	0
%endmacro
	registers want
	registers got

call_eflags dd	0
entry	dw	0, 0
own_stack dd	0
	dw	0

old_cr0	dd	0
old_cr3	dd	0
old_gdtr times 6 db 0
old_idtr times 6 db 0
old_masks dw	0
old_pit	db	0
got_gdtr times 6 db 0
got_idtr times 6 db 0
got_masks dw	0
got_pit	db	0
got_in_service db 0
got_requested db 0

boot_masks dw	0
boot_pit db	0
boot_kib dw	0
boot_cr0 dd	0
boot_svr dd	0
boot_lint0 dd	0
boot_hpet dd	0
boot_gdtr times 6 db 0
boot_idtr times 6 db 0
boot_pam times 4 db 0
open_pam times 4 db 0x33
pam_register dw	0
hpet_changed db	0
low_changed db	0
flat_gdtr times 6 db 0
odd_gdtr dw	0x1357
	dd	0x00abcdef

old_int8 dd	0
irqs	dd	0
int10_others dw	0
text_length dw	0
image	dw	0
case	dw	0
image_sum db	0
image_differs dw 0
image_last dw	0
writable db	0
failed	db	0
memory_lines dw	0
fault	db	0
monitor_exit dw	0

	align	8, db 0
gdt:	dq	0
	dq	0x00cf9b000000ffff	; CODE32
	dq	0x00cf93000000ffff	; DATA32
	dq	0x00009b000000ffff	; CODE16
	dq	0x000093000000ffff	; DATA16
gdt_image dq	0x00009b000000ffff
gdt_tss	dw	tss_end - tss - 1, tss, 0x8900, 0
gdt_end:
gdtr	dw	gdt_end - gdt - 1
	dd	gdt
idtr	dw	0x21 * 8 - 1
	dd	IDT

	align	4, db 0
tss:	dd	0, MONITOR_STACK, DATA32
	times	0x5a db 0
	dw	tss_end - tss		; no I/O map
tss_end:

