; SPDX-License-Identifier: GPL-2.0-only
;
; What differs between the images: headers, slots, annotation table. Assembled
; once a revision, with -DMAJOR=3, 13 or 6.
;
; tools/mkrom fills in what is only known of the finished file: the length, the
; ELF header at 40 and the checksum.

%include "vmi_abi.inc"
%include "version.inc"

%if MAJOR == 3
%define MINOR 0
%define LAST -1
%elif MAJOR == 13
%define MINOR 3
%define LAST VMI_13_LAST
%elif MAJOR == 6
%define MINOR 1
%define LAST VMI_6_LAST
%else
%error "MAJOR is 3, 13 or 6"
%endif

	extern	post_entry
	extern	post_flat
	extern	rom_return_zero
	extern	rom_calls

; The number of a call in this revision.
%macro	number 3
%if MAJOR == 3
%define call_number %1
%elif MAJOR == 13
%define call_number %2
%else
%define call_number %3
%endif
%endmacro

; ---------------------------------------------------------------------------
	section .header align=1

	global	rom_image
rom_image:
	dw	VMI_ROM_SIGNATURE
	db	0			; length: mkrom
bits 16
	jmp	near post_entry		; 3 bytes
bits 32
	db	0			; checksum: mkrom
	db	0
	dd	VMI_SIGNATURE
	db	MINOR
	db	MAJOR
	db	0			; 3.0: jump slots; 6.1: data pages
	db	0
	dd	0			; virtual_top: the native host keeps nothing
	dw	0
%if MAJOR == 3
	dw	license
%else
	dw	0
%endif
	dw	pci_data
	dw	pnp_header
	dd	0
	; struct vmi_about
	dd	0			; state_distance: POST
	dw	rom_calls
	dw	call_count
	db	"native", 0, 0
	db	"tsc", 0, 0, 0, 0, 0, 0, 0, 0, 0
	dw	0			; port
	dw	post_flat
	times	VMI_ELF - ($ - $$) db 0

; ---------------------------------------------------------------------------
	section .slots exec align=1
bits 32

%if MAJOR == 3
	extern	VMI_Init
	extern	VMI_GetRelocationInfo
	jmp	near VMI_Init		; at VMI_3_INIT
	align	8, nop
	jmp	near VMI_GetRelocationInfo ; at VMI_3_GETRELOC
	align	8, nop
%else

%macro	name_slot 10
	number	%2, %3, %4
%if call_number != VMI_NO
%assign n call_number
%xdefine slot_%[n] VMI_%1
	extern	VMI_%1
%endif
%endmacro
	for_each_call name_slot

%assign n 4				; 0 to 3 are the headers
%rep	LAST + 1 - 4
%ifdef slot_%[n]
	jmp	near slot_%[n]
%else
	jmp	near rom_return_zero
%endif
	times	VMI_SLOT - 5 int3
%assign n n + 1
%endrep
%endif

%if MAJOR != 3
	global	sites_asked		; rom/linux/site.c is 3.0's
sites_asked:
	xor	eax, eax
	ret
%endif

; ---------------------------------------------------------------------------
; struct vmi_call_record, one a row of the table. 13.x and 6.1 guests have no
; code of their own to keep: every binding is CALL.

	section .vmi.calls align=4

%macro	record 10			; name, numbers, in, out, clobber, convention, segments, defer
	extern	VMI_%1
	extern	size_%1
	extern	inline_%1
	extern	binding_%1
	extern	slot_binding_%1
	db	%2, %3, %4
%if MAJOR == 3
	db	binding_%1
%else
	db	slot_binding_%1
%endif
	dw	VMI_%1
	db	size_%1
	db	inline_%1
	dw	%5, %6, %7
	db	(%8) | (%9) << 4
	db	%10
%assign count count + 1
%endmacro

%assign count 0
	for_each_call record
call_count equ	count

; ---------------------------------------------------------------------------
	section .rodata align=16

pnp_header:				; on 16 bytes [PnP 3.2]
	dd	VMI_PNP_SIGNATURE
	db	1, 2			; revision, length / 16
	dw	0
	db	0
	db	0			; checksum: mkrom
	dd	0
	dw	manufacturer
	dw	product
	db	VMI_PCI_CLASS, 0, 0
	db	0			; nothing to boot, no console
	dw	0, 0, 0, 0, 0

	align	4, db 0
pci_data:
	dd	VMI_PCI_SIGNATURE
	dw	VMI_PCI_VENDOR
	dw	VMI_PCI_DEVICE
	dw	0
	dw	0x18
	db	0
	db	0, 0, VMI_PCI_CLASS	; interface, subclass, class
	dw	0			; length: mkrom
	db	VERSION_MINOR, VERSION_MAJOR
	db	0, 0x80			; x86 code, last image
	dw	0

license:
	db	"GPL v2", 0
manufacturer:
	db	"Open VMI", 0
product:
	db	"VMI option ROM ", VERSION, 0
