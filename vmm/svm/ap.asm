; SPDX-License-Identifier: GPL-2.0-only
;
; The start of the other processors: copied below 1 MiB, entered in real mode.

%define VCPU_SIZE 8192			; svm.h
%define VCPU_STACK 7168
%define CR0_PE 1
%define HOST_CODE 0x08
%define HOST_DATA 0x10

extern host_gdt, vcpus, cpus, smp_enter

section .text
bits 16
global ap_code, ap_code_end
ap_code:
	cli
	cld
	mov	ax, cs
	mov	ds, ax
	o32 lgdt [gdtr - ap_code]
	mov	eax, cr0
	or	al, CR0_PE
	mov	cr0, eax
	jmp	far dword [target - ap_code]

	align	4
target:	dd ap_start
	dw HOST_CODE
gdtr:	dw 3 * 8 - 1
	dd host_gdt
ap_code_end:

bits 32
ap_start:
	mov	eax, HOST_DATA
	mov	ds, eax
	mov	es, eax
	mov	ss, eax
	mov	eax, 1
	lock xadd [cpus], eax
	imul	eax, eax, VCPU_SIZE
	add	eax, vcpus
	lea	esp, [eax + VCPU_STACK]
	call	smp_enter		; does not return
