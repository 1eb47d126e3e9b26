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
	const char *mode = option("pv");

	if (count > CPUS)
		bail("more than %u CPUs", CPUS);
	native_start(!mode || !strsame(mode, "unpatched"));
	entries_start();
	memory_start();
	time_start();
	cpus_start(count);
	process_init(init_argument);
	cpus_run();
}
