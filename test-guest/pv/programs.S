/* SPDX-License-Identifier: GPL-2.0-only */
/* The programs, as files in the kernel, whole pages each; init is the first: struct program. */

.macro	program name
	.section .rodata
	.balign	4096
1:	.incbin	"\name\().bin"
	.balign	4096
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
