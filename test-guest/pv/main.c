/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Start.
 *
 *	pv=native	the native table, whatever ROM there is
 *	pv=unpatched	every site is an indirect call
 *	pv=hot		but for the six hottest, as Linux does it
 *	pv=patched	all sites are as the ROM wants them; the default
 *	bench=NAME	benchmarks in place of the tests: one of BENCHMARKS, or all
 */
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
	char mode[16] = "patched";
	bool from_rom;

	if (count > CPUS)
		bail("more than %u CPUs", CPUS);
	if (option("pv"))
		memcpy(mode, option("pv"), sizeof(mode) - 1);
	native_start();
	from_rom = !strsame(mode, "native") && vmi_start();
	if (!strsame(mode, "unpatched")) {
		native_patch();
		if (from_rom)
			vmi_patch(!strsame(mode, "hot"));
	}
	entries_start();
	memory_start();
	time_start();
	cpus_start(count);
	process_init(init_argument);
	cpus_run();
}
