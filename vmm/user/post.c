/* SPDX-License-Identifier: GPL-2.0-only */
/* POST as a VMM without firmware has it run: who is found, what is left behind. */
#include <stdio.h>
#include <string.h>
#include "played.h"

static bool bare; /* CPUID.1:ECX.31 is clear */
static u32 asked; /* times that the port was tried */

static void cpuid(u32 r[4], u32 leaf, u32 subleaf)
{
	played_cpuid(r, leaf, subleaf);
	if (bare && leaf == 1)
		r[2] &= ~(1u << 31);
}

static bool trap(struct regs *regs, u32 transport, u32 operand)
{
	asked++;
	return played_trap(regs, transport, operand);
}

static bool sums_to_0(void)
{
	const u8 *image = memory + IMAGE;
	u32 i, sum = 0;

	for (i = 0; i < image[2] * 512u; i++)
		sum += image[i];
	return !(sum & 0xff);
}

static bool posted(void)
{
	machine_load(loaded);
	processor_reset();
	asked = 0;
	return guest_post();
}

static u32 base_memory(void)
{
	return memory[0x413] | memory[0x414] << 8;
}

static void found(const char *how)
{
	bool good = posted();

	good = good && strstr(post_line, "host trap") && sums_to_0() && !about()->post32 &&
	       guest_init(HIGH);
	good &= played.attached == VMI_HV_VERSION && played.major == loaded->major;
	if (played.features & VMI_HV_SHARED)
		good &= played.shared && !(played.shared & 0xfff) &&
			played.shared >= base_memory() * 1024 &&
			played.shared + VMI_SHARED_SIZE <= 0xa0000;
	else
		good &= !played.shared;
	if (!ok(good, "%s: POST finds a VMM by %s", loaded->name, how))
		note("%.110s", post_line);
}

void check_post(void)
{
	hook_trap = trap;
	hook_cpuid = cpuid;

	played_reset();
	played.features = VMI_HV_SHARED;
	guest_port = 0xe4;
	found("its port");

	played_reset();
	played.leaves = played.silent = true;
	played.leaf = 0x40000100;
	played.transport = played.transports = VMI_HV_VMCALL;
	played.operand = 0;
	guest_port = 0;
	found("its second CPUID leaf");

	played_reset();
	played.silent = true;
	guest_port = 0xe4;
	ok(!posted() && strstr(post_line, "host native") && asked == 1 && sums_to_0() &&
		   guest_init(LOW) && asked == 1,
	   "%s: nobody at the port: native", loaded->name);

	played_reset();
	guest_kib = 150;
	ok(!posted() && strstr(post_line, "host native (no memory for trap)") && !asked &&
		   sums_to_0() && base_memory() == 136 && guest_init(LOW) && !asked,
	   "%s: no memory for the trap host: native, and says so", loaded->name);
	guest_kib = 639;

	played_reset();
	bare = true;
	ok(!posted() && strstr(post_line, "host native") && !asked && guest_init(LOW) && !asked,
	   "%s: no hypervisor bit: the port is not tried", loaded->name);
	bare = false;

	hook_trap = NULL;
	hook_cpuid = NULL;
}
