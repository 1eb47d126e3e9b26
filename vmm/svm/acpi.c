/* SPDX-License-Identifier: GPL-2.0-only */
/* ACPI's tables [ACPI 1.0, 5.2], as the firmware left them. */
#include "svm.h"

#define EBDA_SEGMENT 0x40e
#define AREA 0xe0000u
#define AREA_END 0x100000u
#define RSDP_RSDT 16 /* offset */
#define HEADER 36

static u32 find_rsdp(u32 from, u32 to)
{
	for (; from < to; from += 16) {
		if (!memcmp((const void *)from, "RSD PTR ", 8))
			return from;
	}
	return 0;
}

u32 acpi_word(u32 table, u32 offset)
{
	return *(const u32 *)at(table + offset);
}

u32 acpi_table(const char *signature)
{
	u32 ebda = (u32) * (const u16 *)at(EBDA_SEGMENT) << 4, rsdp, rsdt, i;

	rsdp = find_rsdp(ebda, ebda + 1024);
	if (!rsdp)
		rsdp = find_rsdp(AREA, AREA_END);
	if (!rsdp)
		return 0;
	rsdt = acpi_word(rsdp, RSDP_RSDT);
	for (i = HEADER; i < acpi_word(rsdt, ACPI_LENGTH); i += 4) {
		if (!memcmp((const void *)acpi_word(rsdt, i), signature, 4))
			return acpi_word(rsdt, i);
	}
	return 0;
}
