/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The trap host: a VMM answers (vmi_abi.h, "Hypercalls").
 *
 * POST looks for it, takes memory, and makes a stub there for each call that the
 * VMM wants (rom/post/trap.c). Until Init, and where the VMM is gone by then, wants
 * less, or refuses, a stub begins with a jump to the native host's.
 */
#include "rom.h"

static bool asked(const struct trap *trap, u32 n, struct cpuid *answer)
{
	if (trap->leaf) {
		*answer = cpuid(trap->leaf + n);
		return true;
	}
	answer->eax = n;
	return hypercall(answer, VMI_HV_INFO, trap->code);
}

bool trap_info(const struct trap *trap, struct trap_info *info)
{
	struct cpuid r;
	u32 last, n;

	if (!asked(trap, VMI_HV_INFO_SIGNATURE, &r) || r.ebx != VMI_HV_SIGNATURE_EBX ||
	    r.ecx != VMI_HV_SIGNATURE_ECX || r.edx != VMI_HV_SIGNATURE_EDX)
		return false;
	last = r.eax - trap->leaf;
	if (last < VMI_HV_INFO_VERSION || last >= VMI_HV_LEAF_STEP ||
	    !asked(trap, VMI_HV_INFO_VERSION, &r) || r.eax >> 16 != VMI_HV_VERSION >> 16)
		return false;
	info->transports = r.ebx;
	info->where = r.ecx;
	info->features = r.edx & VMI_HV_SHARED ? r.edx : 0;
	zero(info->calls, sizeof(info->calls));
	for (n = 0; n < TRAP_MASKS / 4 && VMI_HV_INFO_CALLS + n <= last; n++) {
		if (!asked(trap, VMI_HV_INFO_CALLS + n, &r))
			return false;
		info->calls[n * 4] = r.eax;
		info->calls[n * 4 + 1] = r.ebx;
		info->calls[n * 4 + 2] = r.ecx;
		info->calls[n * 4 + 3] = r.edx;
	}
	return true;
}

static u32 group(u32 row)
{
	return VMI_IS_IRQ_CALL(row) ? 1 : VMI_IS_TIME_CALL(row) ? 2 : 0;
}

/* Interrupts need the flag that is in the shared area. */
void trap_narrow(struct trap_info *info, const u32 *there)
{
	u32 incomplete = info->features & VMI_HV_SHARED ? 0 : 1, row;

	for (row = 0; row < VMI_CALL_COUNT; row++)
		if (trap_has(there, row) && !trap_has(info->calls, row))
			incomplete |= group(row);
	for (row = 0; row < TRAP_MASKS * 32; row++)
		if (!trap_has(there, row) || (group(row) & incomplete))
			info->calls[row / 32] &= ~(1u << row % 32);
}

struct trap *trap_find(const struct rom_image *image)
{
	u32 distance = *(const u32 *)rom_addr(trap_distance);

	return distance ? at((u32)image + distance) : NULL;
}

/* Each stub is what the VMM wants by now, or a jump; words that hold an address are of here. */
static void stubs_switch(struct trap *trap, const struct trap_info *info)
{
	u32 moved = (u32)trap - trap->linear, n;

	for (n = 0; n < VMI_CALL_COUNT; n++) {
		struct trap_stub *stub = &trap->stub[n];
		u16 *code = at((u32)trap + stub->entry), old = *code;

		if (stub->entry && stub->on != trap_has(info->calls, n)) {
			*code = stub->other;
			stub->other = old;
			stub->on = !stub->on;
		}
	}
	for (n = 0; moved && n < trap->address_count; n++)
		*(u32 *)((u32)trap + trap->address[n]) += moved;
	trap->linear = (u32)trap;
	cpuid(0); /* code has changed */
}

/* False: no VMM, or one that wants something else than POST has made. */
static bool is_there(const struct trap *trap, struct trap_info *info)
{
	return trap_info(trap, info) && (info->transports & trap->transport) &&
	       info->where == trap->where && !(trap->features & ~info->features);
}

/*
 * Init. Where no VMM does what takes privilege, the guest has to have it. A VMM that
 * says it has attached, by a version that it cannot have agreed to, is told that it has not.
 */
bool trap_attach(const struct rom_image *image)
{
	struct trap *trap = trap_find(image);
	bool privileged = (cs() & 3) == 0, attached, agrees = true;
	struct trap_info info;
	struct cpuid r;

	if (!trap)
		return privileged;
	attached = is_there(trap, &info);
	/*
	 * Not twice: other CPUs may run by now, with what is in their areas. But without
	 * them, or with those of another image, this one's memory is as POST left it.
	 */
	if (attached && !(trap->attached && hypercall(&r, VMI_HV_FLUSH, trap->code) &&
			  trap_shared(trap)->cr0)) {
		r.eax = VMI_HV_VERSION;
		r.edx = info.features & VMI_HV_SHARED ? trap->physical : 0;
		r.ecx = image->header.api_version_major;
		r.ebx = 0;
		attached = hypercall(&r, VMI_HV_ATTACH, trap->code);
		agrees = !attached ||
			 r.eax - (VMI_HV_VERSION & ~0xffffu) <= (VMI_HV_VERSION & 0xffff);
		trap->wall_seen = trap_shared(trap)->time.wall_version;
	}
	if (!attached && !privileged)
		return false;
	trap->attached = attached && agrees;
	if (trap->attached)
		trap_narrow(&info, trap->calls);
	else
		zero(info.calls, sizeof(info.calls));
	stubs_switch(trap, &info);
	if (!agrees)
		hypercall(&r, VMI_HV_DETACH, trap->code);
	return agrees;
}
