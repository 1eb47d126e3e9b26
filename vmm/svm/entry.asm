; SPDX-License-Identifier: GPL-2.0-only
;
; Into the guest and out of it, the host's interrupts, and waiting.

%define VCPU_STACK 7168			; svm.h
%define HOST_CODE 0x08
%define HOST_DATA 0x10
%define CR0_WP 0x10000
%define CR0_PG 0x80000000
%define CR4_PAE 0x20

extern svm_exit, host_interrupt

section .text
bits 32

; In: EAX the vCPU, its regs.eax the VMCB's address. Does not return.
; Everything below regs is stack; regs is where PUSHA and POPA have it. GIF is
; clear outside the guest; IF is what VMRUN shall have (irq_take).
global svm_run
svm_run:
	clgi
	sti
	lea	esp, [eax + VCPU_STACK]
.guest:
	popa
	vmrun
	pusha
	mov	eax, esp
	call	svm_exit
	jmp	.guest

; In: EAX a flag's address, IF whether interrupts come. Out: the flag is not 0. What
; comes between the test and HLT goes back to the test (host_interrupt in irq.c).
; Clobbers: nothing
global cpu_wait, wait_test, wait_halt
cpu_wait:
	stgi
wait_test:
	cmp	dword [eax], 0
	jne	wait_set
wait_halt:
	hlt
	jmp	wait_test
wait_set:
	clgi
	sti
	ret

; Let an NMI in that waits, and an interrupt if IF is set.
; Clobbers: nothing
global cpu_open
cpu_open:
	stgi
	nop
	clgi
	ret

; In: EAX GDTR, EDX IDTR. Loads every segment register but FS and GS.
; Clobbers: EAX
global load_tables
load_tables:
	lgdt	[eax]
	lidt	[edx]
	mov	eax, HOST_DATA
	mov	ds, eax
	mov	es, eax
	mov	ss, eax
	pop	eax
	push	HOST_CODE
	push	eax
	retf

; In: EAX the PDPT
; Clobbers: EAX, EDX
global paging_on
paging_on:
	mov	cr3, eax
	mov	eax, CR4_PAE
	mov	cr4, eax
	mov	eax, cr0
	or	eax, CR0_PG | CR0_WP
	and	eax, 0x9fffffff		; caches on
	mov	cr0, eax
	ret

; 256 entries of 16 bytes.
align 16
global interrupt_entries
interrupt_entries:
%assign vector 0
%rep 256
	align	16
	push	dword vector
	jmp	near interrupt
%assign vector vector + 1
%endrep

; No error code is expected: exceptions do not return.
interrupt:
	pusha
	mov	eax, esp
	call	host_interrupt
	popa
	add	esp, 4
	iret
