; SPDX-License-Identifier: GPL-2.0-only
;
; Multiboot start [Multiboot Specification 0.6.96]: the image moves to the top
; of memory, and goes on there.

%define MULTIBOOT_MAGIC 0x1badb002
%define MULTIBOOT_FLAGS 2		; memory information

extern move_image, svm_main

section .multiboot progbits alloc noexec nowrite align=4
	dd MULTIBOOT_MAGIC, MULTIBOOT_FLAGS, -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

section .text
bits 32

; In: EAX the loader's magic, EBX the multiboot information
global start
start:
	cli
	cld
	mov	esp, boot_stack_end
	mov	edx, ebx
	call	move_image		; how far it moved
	add	esp, eax
	lea	ecx, [svm_main + eax]
	jmp	ecx

section .bss align=16
	resb 4096
boot_stack_end:
