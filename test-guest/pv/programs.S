/* SPDX-License-Identifier: GPL-2.0-only */
/* The programs, as files in the kernel; init is the first. pv.h's struct program. */

.macro	program name
	.section .rodata
1:	.incbin	"\name\().bin"
2:
3:	.asciz	"\name"
	.section .programs, "a"
	.long	3b, 1b, 2b
.endm

	.section .programs, "a"
	.global	programs, programs_end
programs:
	program	init
	program	filter
	program	status
programs_end:

	.section .note.GNU-stack, "", @progbits
