/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The local APIC by register offset, 3.0's way. In x2APIC mode through MSRs;
 * otherwise at the physical address in IA32_APIC_BASE, which must be mapped at
 * that linear address: a 3.0 guest that maps it elsewhere keeps its own
 * accesses, GetRelocationInfo answers NONE for both calls.
 */
#include "rom.h"

#define X2APIC_MSR 0x800

#define APIC_ID 0x20
#define APIC_ID_SHIFT 24
#define APIC_OFFSETS 0xff0 /* 16 bytes a register, one page */

static bool x2apic(u32 offset, u32 *base)
{
	u64 msr = rdmsr(IA32_APIC_BASE);

	*base = (u32)msr & APIC_BASE_ADDRESS;
	if (msr & APIC_BASE_X2APIC)
		*base = X2APIC_MSR + (offset >> 4);
	return (msr & APIC_BASE_X2APIC) != 0;
}

/* The register; 0 for what is not an offset of one. */
u32 rom_apic_read(u32 offset);
u32 rom_apic_read(u32 offset)
{
	u32 base;

	if (offset & ~(u32)APIC_OFFSETS)
		return 0;
	if (!x2apic(offset, &base))
		return *(volatile u32 *)at(base + offset);
	if (offset == APIC_ID)
		return (u32)rdmsr(base) << APIC_ID_SHIFT;
	return (u32)rdmsr(base);
}

void rom_apic_write(u32 offset, u32 value);
void rom_apic_write(u32 offset, u32 value)
{
	u32 base;

	if (offset & ~(u32)APIC_OFFSETS)
		return;
	if (x2apic(offset, &base))
		wrmsr(base, value);
	else
		*(volatile u32 *)at(base + offset) = value;
}
