/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Power-off and reset registers from the ACPI tables [ACPI 6.4, 5.2]. Runs at
 * POST, in flat protected mode with A20 on.
 *
 * \_S5 is AML: the package is found by its name, as small kernels do, and not
 * by running the code.
 */
#include "rom.h"

struct rsdp {
	char signature[8];
	u8 checksum;
	char oem[6];
	u8 revision;
	u32 rsdt;
};

struct table {
	char signature[4];
	u32 length;
};

#define TABLE_HEADER 36
#define TABLE_LIMIT 0x40000 /* longer ones are not believed */

/* The upper half first: it is where BIOSes put it. */
#define RSDP_HIGH 0xf0000
#define RSDP_HIGH_END 0x100000
#define RSDP_LOW 0xe0000

/* Fields of the FADT, from its start. */
#define FADT_DSDT 40
#define FADT_SMI_COMMAND 48
#define FADT_ACPI_ENABLE 52
#define FADT_PM1A_CONTROL 64
#define FADT_PM1B_CONTROL 68
#define FADT_PM_TIMER 76
#define FADT_CENTURY 108
#define FADT_FLAGS 112
#define FADT_RESET_REGISTER 116 /* generic address: space, width, offset, size, u64 */
#define FADT_RESET_VALUE 128
#define FADT_FLAG_RESET (1u << 10)
#define GAS_IO 1

#define MADT_ENTRIES 44
#define MADT_LOCAL_APIC 0
#define MADT_LOCAL_X2APIC 9
#define MADT_ENABLED 0x01

#define HPET_ADDRESS 44 /* in the table: the registers, in memory */
#define HPET_USUAL 0xfed00000
#define HPET_CONFIG 0x10 /* in the block */
#define HPET_CONFIG_LEGACY 0x02

#define AML_ZERO 0x00
#define AML_ONE 0x01
#define AML_BYTE 0x0a
#define AML_PACKAGE 0x12

static const u8 *rsdp_in(u32 from, u32 to)
{
	for (; from < to; from += 16) {
		const u32 *p = at(from);

		if (p[0] == 0x20445352 && p[1] == 0x20525450) /* "RSD PTR " */ {
			const u8 *byte = at(from);
			u8 sum = 0;
			u32 i;

			for (i = 0; i < 20; i++)
				sum += byte[i];
			if (!sum)
				return byte;
		}
	}
	return NULL;
}

static const u8 *rsdp_find(void)
{
	u32 ebda = *(u16 *)at(0x40e) * 16u;
	const u8 *found = NULL;

	if (ebda >= 0x400 && ebda < 0xa0000)
		found = rsdp_in(ebda, ebda + 1024);
	if (!found)
		found = rsdp_in(RSDP_HIGH, RSDP_HIGH_END);
	if (!found)
		found = rsdp_in(RSDP_LOW, RSDP_HIGH);
	return found;
}

static const struct table *table_at(u32 address, u32 signature)
{
	const struct table *table = at(address);

	if (!address || *(const u32 *)table->signature != signature)
		return NULL;
	if (table->length < TABLE_HEADER || table->length > TABLE_LIMIT)
		return NULL;
	return table;
}

/* One integer of a package; -1 where it is none of the short forms. */
static int aml_integer(const u8 **aml)
{
	switch (*(*aml)++) {
	case AML_ZERO:
		return 0;
	case AML_ONE:
		return 1;
	case AML_BYTE:
		return *(*aml)++;
	default:
		return -1;
	}
}

static bool s5_find(struct acpi *acpi, const struct table *dsdt)
{
	const u8 *aml = (const u8 *)dsdt + TABLE_HEADER;
	u32 left = dsdt->length - TABLE_HEADER;
	int a, b;

	for (;;) {
		bool found;

		__asm__("repne scasb\n\tsete %2"
			: "+D"(aml), "+c"(left), "=qm"(found)
			: "a"('_')
			: "cc", "memory");
		if (!found || left < 12)
			return false;
		if (aml[0] == 'S' && aml[1] == '5' && aml[2] == '_' && aml[3] == AML_PACKAGE)
			break;
	}
	aml += 4;
	aml += 1 + (*aml >> 6); /* PkgLength: the top two bits count the bytes that follow */
	aml++;			/* NumElements */
	a = aml_integer(&aml);
	b = aml_integer(&aml);
	if (a < 0 || a > 7)
		return false;
	acpi->s5_typ_a = (u8)a;
	acpi->s5_typ_b = (u8)(b < 0 || b > 7 ? a : b);
	return true;
}

static u16 port(const u8 *fadt, u32 field)
{
	u32 value = *(const u32 *)(fadt + field);

	return value < 0x10000 ? (u16)value : 0;
}

static void fadt_read(struct acpi *acpi, const struct table *table)
{
	const u8 *fadt = (const u8 *)table;
	const struct table *dsdt;

	if (table->length < FADT_FLAGS + 4)
		return;
	acpi->pm_timer = port(fadt, FADT_PM_TIMER);
	acpi->smi_command = port(fadt, FADT_SMI_COMMAND);
	acpi->enable = fadt[FADT_ACPI_ENABLE];
	acpi->rtc_century = fadt[FADT_CENTURY];
	if (table->length > FADT_RESET_VALUE &&
	    (*(const u32 *)(fadt + FADT_FLAGS) & FADT_FLAG_RESET) &&
	    fadt[FADT_RESET_REGISTER] == GAS_IO) {
		acpi->reset_port = port(fadt, FADT_RESET_REGISTER + 4);
		acpi->reset_value = fadt[FADT_RESET_VALUE];
	}
	dsdt = table_at(*(const u32 *)(fadt + FADT_DSDT), 0x54445344); /* "DSDT" */
	if (dsdt && s5_find(acpi, dsdt)) {
		acpi->pm1a_control = port(fadt, FADT_PM1A_CONTROL);
		acpi->pm1b_control = port(fadt, FADT_PM1B_CONTROL);
	}
}

/* 255 where IDs may be longer than 8 bits: struct cpu and struct start go by those. */
static u8 madt_cpus(const struct table *table)
{
	const u8 *entry = (const u8 *)table + MADT_ENTRIES,
		 *end = (const u8 *)table + table->length;
	u32 cpus = 0;

	for (; entry + 8 <= end && entry[1] >= 2; entry += entry[1]) {
		if (entry[0] == MADT_LOCAL_APIC && (entry[4] & MADT_ENABLED))
			cpus++;
		else if (entry[0] == MADT_LOCAL_X2APIC)
			cpus += 255;
	}
	return (u8)(cpus < 255 ? cpus : 255);
}

/* In legacy replacement mode the HPET drives IRQ 0 in the PIT's place [HPET 1.0a 2.3.5]. */
static bool hpet_replaces_pit(u32 address)
{
	const volatile u32 *hpet = at(address);

	/* Nothing there reads as all ones, or 0. */
	if (hpet[0] == 0xffffffff || !(u8)hpet[0])
		return false;
	return hpet[HPET_CONFIG / 4] & HPET_CONFIG_LEGACY;
}

void acpi_find(struct acpi *acpi)
{
	const u8 *rsdp = rsdp_find();
	const struct table *rsdt, *table;
	u32 i;

	zero(acpi, sizeof(*acpi));
	acpi->hpet_replaces_pit = hpet_replaces_pit(HPET_USUAL);
	if (!rsdp)
		return;
	rsdt = table_at(((const struct rsdp *)rsdp)->rsdt, 0x54445352); /* "RSDT" */
	if (!rsdt)
		return;
	for (i = TABLE_HEADER; i + 4 <= rsdt->length; i += 4) {
		u32 address = *(const u32 *)((const u8 *)rsdt + i);

		table = table_at(address, 0x50434146); /* "FACP" */
		if (table)
			fadt_read(acpi, table);
		table = table_at(address, 0x43495041); /* "APIC", the MADT */
		if (table)
			acpi->cpus = madt_cpus(table);
		table = table_at(address, 0x54455048); /* "HPET" */
		if (table && table->length >= HPET_ADDRESS + 8) {
			acpi->hpet = *(const u32 *)((const u8 *)table + HPET_ADDRESS);
			acpi->hpet_replaces_pit = hpet_replaces_pit(acpi->hpet);
		}
	}
}
