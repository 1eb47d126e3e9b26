/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table of calls as a nasm macro: gcc -E, then every @ is a new line
 * (rom/rom.mk). Constants follow from gcc -E -dM.
 */
#include "vmi_abi.h"
#define ROW(name, n3, n13, n6, type, args, in, out, clobber, conv, seg, defer, text) \
	@%1 name, n3, n13, n6, in, out, clobber, conv, seg, defer
@%macro for_each_call 1
VMI_CALLS(ROW)
@%endmacro
