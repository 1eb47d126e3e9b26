/* SPDX-License-Identifier: GPL-2.0-only */
/* Init and GetRelocationInfo: how a guest enters VMI mode and binds its calls. */
#include "rom.h"

#define CPUID_NEEDED (CPUID_1_EDX_TSC | CPUID_1_EDX_MSR | CPUID_1_EDX_CX8)

/* 0, or -1 with nothing changed. May be called again, and on every CPU. */
u32 rom_init(void);
u32 rom_init(void)
{
	struct state *state;
	struct cpuid one;

	if (!cpuid_present())
		return (u32)-1;
	one = cpuid(1);
	if ((one.edx & CPUID_NEEDED) != CPUID_NEEDED)
		return (u32)-1;
	state = state_find();
	if (!state || !trap_attach(rom_addr(rom_image)))
		return (u32)-1;
	__asm__ volatile("lock btsl %1, %0"
			 : "+m"(state->cpus)
			 : "r"(one.ebx >> 24)
			 : "cc", "memory");
	state->jumps_asked = state->jumps_done = state->jump_count = 0;
	clock_cpu_start(state);
	return 0;
}

u32 native_binding(const struct rom_image *image, const struct trap *trap, u32 row)
{
	const struct state *state = state_find();
	u32 binding = call_record(image, row)->binding;

	if (trap && trap->stub[row].entry)
		binding = trap->stub[row].binding;
	/* The guest has the ROM where the window cannot follow. */
	if ((binding & VMI_POLICY) && !(state && window_fits(state)))
		binding = VMI_RELOC_NONE;
	binding &= ~(u32)VMI_POLICY;
	return binding == VMI_RELOC_NONE ? VMI_RELOC_NONE | VMI_NATIVE : binding;
}

/*
 * 3.0 gives the binding of the record. 13.3 guests have no native code to fall
 * back on: every number is a CALL, an unknown one to code that returns 0.
 */
u64 rom_get_relocation_info(u32 call, u32 caller);
u64 rom_get_relocation_info(u32 call, u32 caller)
{
	const struct rom_image *image = rom_addr(rom_image);
	const struct vmi_call_record *record = call_record(image, 0);
	const struct trap *trap = trap_find(image);
	struct state *state = state_find();
	bool revision_3 = image->header.api_version_major == 3;
	u32 n;

	if (revision_3 && state && sites_asked(state, call, caller))
		return (u64)VMI_RELOC_NONE << 32;
	for (n = 0; n < image->about.call_count; n++, record++) {
		u32 number = revision_3 ? record->number_3 : record->number_13;

		if (number == call && number != VMI_NO) {
			u64 eip = (u32)image + record->stub;
			u32 binding = record->binding;

			if (trap && trap->stub[n].on)
				return ((u32)trap + trap->stub[n].entry) | (u64)binding << 32;
			binding = native_binding(image, trap, n) & VMI_RELOC_TYPE;
			if (binding == VMI_RELOC_NONE || binding == VMI_RELOC_NOP)
				eip = 0;
			return eip | (u64)binding << 32;
		}
	}
	if (revision_3)
		return (u64)VMI_RELOC_NONE << 32;
	return (u32)rom_addr(rom_return_zero) | (u64)VMI_RELOC_CALL << 32;
}
