/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The columns of VMI_CALLS and the fields of struct vmi_call_record, in words.
 */
#ifndef COLUMNS_H
#define COLUMNS_H

#include <stdio.h>
#include <string.h>

#include "vmi_abi.h"

#define COLUMN_TEXT 80 /* holds the longest text of any column */

/* The registers and words of in, out or clobber, separated by spaces; "-": none. */
static inline const char *column_registers(char text[COLUMN_TEXT], unsigned set, unsigned conv)
{
	const struct {
		unsigned bit;
		const char *name;
	} names[] = {
		{ VMI_A, "EAX" },      { VMI_B, "EBX" },      { VMI_C, "ECX" },
		{ VMI_D, "EDX" },      { VMI_SI, "ESI" },     { VMI_DI, "EDI" },
		{ VMI_S1, "[esp+4]" }, { VMI_S2, "[esp+8]" }, { VMI_FL, "flags" },
		{ VMI_MEM, "memory" }, { VMI_EFL, "EFLAGS" },
	};

	text[0] = '\0';
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const char *name = names[i].name;

		if (!(set & names[i].bit))
			continue;
		if (names[i].bit == VMI_S1 && conv == VMI_CONV_JUMP)
			name = "[esp]";
		if (text[0])
			strcat(text, " ");
		strcat(text, name);
	}
	return text[0] ? text : "-";
}

static inline const char *column_number(char text[COLUMN_TEXT], unsigned number)
{
	if (number == VMI_NO)
		return "-";
	snprintf(text, COLUMN_TEXT, "%u", number);
	return text;
}

static inline const char *column_convention(unsigned conv)
{
	static const char *const names[] = { "C", "REGS", "JUMP", "EXIT" };

	return conv < sizeof(names) / sizeof(*names) ? names[conv] : "?";
}

static inline const char *column_segments(unsigned seg)
{
	return seg == VMI_SEG_FLAT ? "FLAT" : seg == VMI_SEG_CSSS ? "CSSS" : "?";
}

static inline const char *column_defer(unsigned defer)
{
	switch (defer) {
	case VMI_DEFER_NONE:
		return "-";
	case VMI_DEFER_MMU:
		return "MMU";
	case VMI_DEFER_CPU:
		return "CPU";
	case VMI_DEFER_DT:
		return "DT";
	}
	return "?";
}

/* "/time", "/start": POST decides by the machine, which stands behind the slash. */
static inline const char *column_binding(unsigned binding)
{
	static const char *const names[] = {
		"NONE",	      "CALL",	    "JUMP", "NOP", /* VMI_RELOC_* */
		"NONE/time",  "CALL/time",		   /* | VMI_POLICY_TIME */
		"NONE/start", "CALL/start",		   /* | VMI_POLICY_START */
		"NONE/cpuid", "CALL/cpuid",		   /* | VMI_POLICY_CPUID */
	};
	unsigned type = binding & ~(VMI_POLICY | VMI_NATIVE), policy = binding & VMI_POLICY;

	if (type > (policy ? VMI_RELOC_CALL : VMI_RELOC_NOP))
		return "?";
	/* 0x10 apart, two names each, behind the four without a policy */
	return names[policy ? 2 + policy / VMI_POLICY_TIME * 2 + type : type];
}

#endif
