/* SPDX-License-Identifier: GPL-2.0-only */
#include "pv.h"

/* What the first program is told: which benchmark, and how many CPUs there are. */
static u32 argument(u32 count)
{
	static const char *const names[] = { BENCHMARKS };
	const char *list = option("bench");
	u32 value = count, i;

	for (i = 0; list && i < ARRAY_SIZE(names); i++)
		if (!*list || strsame(list, names[i]))
			value |= BENCH_FIRST << i;
	return value;
}

void guest_main(void)
{
	u32 count = option_number("cpus", 1), init_argument = argument(count);
	const struct pv_site *site;
	char mode[16] = "patched";

	if (count > CPUS)
		bail("more than %u CPUs", CPUS);
	if (option("pv"))
		memcpy(mode, option("pv"), sizeof(mode) - 1);
	native_start();
	if (strsame(mode, "native") || !vmi_start(mode))
		for (site = pv_sites; site < pv_sites_end && !strsame(mode, "unpatched"); site++)
			if (pv_hot(site))
				native_patch(site);
	entries_start();
	memory_start();
	time_start();
	cpus_start(count);
	process_init(init_argument);
	cpus_run();
}
