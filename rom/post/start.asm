; SPDX-License-Identifier: GPL-2.0-only
;
; Where a CPU goes at the STARTUP IPI that the ROM has redirected: this code,
; copied by POST to the first bytes of struct window, brings it into the state
; that SetInitialAPState was given, or to the guest's own vector where there is
; none.

%include "stub.inc"

; struct window and struct start (rom.h), from the page's first byte
START_CODE	equ 0x300		; what there is for the code
WINDOW_CR3	equ 0x320
WINDOW_CR4	equ 0x324
WINDOW_LOCK	equ 0x328
WINDOW_VECTOR	equ 0x3f4
WINDOW_SIZE	equ 0x1000		; the state follows
START		equ 0x500
START_SIZE	equ 0x80
STARTS		equ 16
START_TAKEN	equ 0x100
START_JUMP	equ 4
START_STACK_END	equ 0x20
START_STATE	equ 0x20
START_MAKE	equ 0x7c

; struct vmi_ap_state
AP_CR0		equ START_STATE + 0x00
AP_CR2		equ START_STATE + 0x04
AP_CR3		equ START_STATE + 0x08
AP_CR4		equ START_STATE + 0x0c
AP_EFER		equ START_STATE + 0x10
AP_EFLAGS	equ START_STATE + 0x1c
AP_EAX		equ START_STATE + 0x20
AP_EBX		equ START_STATE + 0x24
AP_ECX		equ START_STATE + 0x28
AP_EDX		equ START_STATE + 0x2c
AP_ESP		equ START_STATE + 0x30
AP_ESI		equ START_STATE + 0x38
AP_EDI		equ START_STATE + 0x3c
AP_SS		equ START_STATE + 0x42
AP_DS		equ START_STATE + 0x44
AP_ES		equ START_STATE + 0x46
AP_FS		equ START_STATE + 0x48
AP_GS		equ START_STATE + 0x4a
AP_LDTR		equ START_STATE + 0x4c
AP_GDTR		equ START_STATE + 0x4e
AP_IDTR_BASE	equ START_STATE + 0x54
AP_IDTR_LIMIT	equ START_STATE + 0x58

IA32_EFER	equ 0xc0000080
CR4_PAE_BIT	equ 5

bits 16
	global	start_code
; There is no stack: SS:SP is 0:0, in memory that is the guest's.
start_code:
	cli
	cld
	mov	ax, cs
	mov	ds, ax
	movzx	esi, ax
	shl	esi, 4			; ESI = the page
	mov	eax, 1
	cpuid
	mov	edi, eax		; what EDX is after INIT
	shr	ebx, 24
	inc	bx
	mov	ecx, ebx
	or	ch, START_TAKEN >> 8
	mov	bp, START
.find:	mov	eax, ebx
	lock cmpxchg [ds:bp], ecx
	je	.found
	cmp	eax, ecx
	jne	.next
	mov	byte [ds:bp + 1], 0	; INIT came when it was here before: free
	mov	byte [ds:bp], 0
.next:	add	bp, START_SIZE
	cmp	bp, START + STARTS * START_SIZE
	jb	.find
	; The guest's own start: CS:IP = vector:0, the rest as after INIT.
	mov	edx, edi
	xor	eax, eax
	mov	ebx, eax
	mov	ecx, eax
	mov	ebp, eax
	mov	esi, eax
	mov	edi, eax
	mov	ds, ax
	sahf
	jmp	far [cs:WINDOW_VECTOR]

	align	4, db 0
.gdt:	dq	0
	dq	0x00cf9b000000ffff
	dq	0x00cf93000000ffff
.gdt_end:
CODE		equ 0x08
DATA		equ 0x10

.found:	movzx	edi, bp			; EDI = offset of struct start
	mov	ax, ds
	mov	ss, ax
	lea	sp, [di + START_STACK_END]
	lea	eax, [esi + .gdt - start_code]
	push	eax
	push	word .gdt_end - .gdt - 1
	mov	bp, sp
	o32 lgdt [bp]
	lea	sp, [di + START_STACK_END]
	lea	eax, [esi + .protected - start_code]
	push	dword CODE
	push	eax
	mov	eax, cr0
	or	al, 1
	mov	cr0, eax
	o32 retf

bits 32
.protected:
	mov	eax, DATA
	mov	ds, eax
	mov	es, eax
	mov	ss, eax
	lea	ebp, [esi + edi]	; EBP -> struct start
	mov	eax, [ebp + AP_EFER]
	test	eax, eax
	jz	.no_efer
	mov	ecx, IA32_EFER
	xor	edx, edx
	wrmsr
.no_efer:
	; The window's tables, for this guest and the mode of this state.
	mov	eax, 1
	cpuid
	shr	ebx, 24
	not	bl
.lock:	xor	eax, eax
	lock cmpxchg [esi + WINDOW_LOCK], bl
	jz	.locked
	pause
	jmp	.lock
.locked:
	lea	eax, [esi + WINDOW_SIZE] ; the state; below it is the window's stack
	mov	esp, eax
	mov	edx, [ebp + START_JUMP]
	and	edx, ~(WINDOW_SIZE - 1)
	mov	ebx, edx		; EBX = where the guest has this page
	sub	edx, esi		; its map
	mov	ecx, [ebp + AP_CR4]
	shr	ecx, CR4_PAE_BIT
	and	ecx, 1
	push	0			; they do not map the APIC: nobody takes them for his
	call	[ebp + START_MAKE]
	mov	eax, [esi + WINDOW_CR4]
	mov	cr4, eax
	mov	eax, [esi + WINDOW_CR3]
	mov	cr3, eax
	mov	eax, [ebp + AP_CR0]
	mov	cr0, eax
	lea	ebp, [ebx + edi]
	lea	eax, [ebx + .mapped - start_code]
	jmp	eax
.mapped:
	mov	eax, [ebp + AP_CR3]
	mov	cr3, eax
	mov	byte [ebx + WINDOW_LOCK], 0
	mov	eax, [ebp + AP_CR4]
	mov	cr4, eax
	mov	eax, [ebp + AP_CR2]
	mov	cr2, eax
	lgdt	[ebp + AP_GDTR]
	lea	esp, [ebp + START_STACK_END]
	push	dword [ebp + AP_IDTR_BASE]
	push	word [ebp + AP_IDTR_LIMIT]
	lidt	[esp]
	lldt	[ebp + AP_LDTR]
	mov	eax, [ebp + AP_EFLAGS]
	and	ah, ~(VMI_IF >> 8)	; with the last instruction
	lea	esp, [ebp + START_STACK_END]
	push	eax
	popfd
	mov	es, [ebp + AP_ES]
	mov	fs, [ebp + AP_FS]
	mov	gs, [ebp + AP_GS]
	mov	ebx, [ebp + AP_EBX]
	mov	ecx, [ebp + AP_ECX]
	mov	edx, [ebp + AP_EDX]
	mov	esi, [ebp + AP_ESI]
	mov	edi, [ebp + AP_EDI]
	mov	eax, [ebp + AP_EAX]
	mov	ss, [ebp + AP_SS]
	mov	esp, [ds:ebp + AP_ESP]
	mov	dword [ds:ebp], 0	; the entry is free: nobody takes it in these five instructions
	mov	ds, [cs:ebp + AP_DS]
	jmp	dword [cs:ebp + START_JUMP] ; MOV EBP, STI or NOP, far JMP
	times	START_CODE - ($ - start_code) db 0
