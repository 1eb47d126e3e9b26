/* SPDX-License-Identifier: GPL-2.0-only */
/* The first bytes of every program. EAX is its argument. */
	.text
	.global	_start
_start:
	push	%eax
	call	user_start
	hlt

	.section .note.GNU-stack, "", @progbits
