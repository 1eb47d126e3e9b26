/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Multiboot start [Multiboot Specification 0.6.96]. Assembled once a variant:
 *
 *	flat	linked at 1 MiB, no paging
 *	high	linked at 3 GiB + 1 MiB, 4 MiB pages, nothing at address 0
 *	pae	the same with PAE and 2 MiB pages
 *
 * The first 16 MiB of memory are mapped at VIRT, and the 4 MiB of the local
 * APIC and the I/O APIC at their own address.
 */
#define MULTIBOOT_MAGIC 0x1badb002
#define MULTIBOOT_FLAGS 2 /* memory information */

#define PAGE_LARGE 0xe3	 /* present, writable, A, D, large */
#define PAGE_DEVICE 0xfb /* the same, uncached */
#define PAGE_TABLE 0x03
#define CR0_PG 0x80000000
#define CR4_PSE 0x10
#define CR4_PAE 0x20

#define PHYS(symbol) ((symbol) - VIRT)

	.section .multiboot, "a"
	.align	4
	.long	MULTIBOOT_MAGIC, MULTIBOOT_FLAGS, -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

	.text
	.global	start
start:
	cli
	cld
	mov	%eax, PHYS(boot_magic)
	mov	%ebx, PHYS(boot_info)
	lgdt	PHYS(boot_gdt_pointer)
#ifdef PAGING
#ifdef PAE
	mov	$CR4_PAE, %eax
	mov	%eax, %cr4
	mov	$PHYS(boot_pdpt), %eax
#else
	mov	$CR4_PSE, %eax
	mov	%eax, %cr4
	mov	$PHYS(boot_pd), %eax
#endif
	mov	%eax, %cr3
	mov	%cr0, %eax
	or	$CR0_PG, %eax
	mov	%eax, %cr0
#endif
	ljmp	$0x08, $1f
1:	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	xor	%eax, %eax
	mov	%eax, %fs
	mov	%eax, %gs
	mov	$boot_stack_end, %esp
#ifdef PAGING
	/* Nothing stays at address 0. */
#ifdef PAE
	mov	%eax, boot_pdpt
#else
	mov	%eax, boot_pd
	mov	%eax, boot_pd + 4
	mov	%eax, boot_pd + 8
	mov	%eax, boot_pd + 12
#endif
	mov	%cr3, %eax
	mov	%eax, %cr3
#endif
	push	$0
	popf
	call	guest_start
2:	hlt
	jmp	2b

	.data
	.global	boot_magic, boot_info, guest_virt
boot_magic:	.long 0
boot_info:	.long 0
guest_virt:	.long VIRT

	.align	8
boot_gdt:
	.quad	0
	.quad	0x00cf9b000000ffff
	.quad	0x00cf93000000ffff
	.word	0
boot_gdt_pointer:
	.word	. - 2 - boot_gdt - 1
	.long	PHYS(boot_gdt)

#ifdef PAGING
	.align	4096
	.global	boot_pd
#ifdef PAE
boot_pd:				/* 0 to 1 GiB, and 3 to 4 GiB */
	.set	page, 0
	.rept	8
	.long	page | PAGE_LARGE, 0
	.set	page, page + 0x200000
	.endr
	.fill	0x1f6 - 8, 8, 0
	.long	0xfec00000 | PAGE_DEVICE, 0, 0xfee00000 | PAGE_DEVICE, 0
	.fill	512 - 0x1f8, 8, 0
	.align	32
boot_pdpt:
	.long	PHYS(boot_pd) + 1, 0	/* address 0, for a moment */
	.long	0, 0, 0, 0
	.long	PHYS(boot_pd) + 1, 0
#else
boot_pd:
	.set	page, 0
	.rept	4
	.long	page | PAGE_LARGE
	.set	page, page + 0x400000
	.endr
	.fill	VIRT / 0x400000 - 4, 4, 0
	.set	page, 0
	.rept	4
	.long	page | PAGE_LARGE
	.set	page, page + 0x400000
	.endr
	.fill	0x3fb - VIRT / 0x400000 - 4, 4, 0
	.long	0xfec00000 | PAGE_DEVICE
	.fill	4, 4, 0
#endif
#endif

	.bss
	.align	16
	.skip	16384
	.global	boot_stack_end
boot_stack_end:
