/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Start.
 *
 *	pv=native	the native table, whatever ROM there is
 *	pv=unpatched	every site is an indirect call
 *	pv=hot		but for the six hottest, as Linux does it
 *	pv=patched	all sites are as the ROM wants them; the default
 *	bench=NAME	benchmarks in place of the tests: one of BENCHMARKS, or all
 *
 * RUN: {high,pae},rom={none,vmi,vmi-13,vmi-6},smp=4
 * RUN: pae,rom=vmi,pv={native,unpatched,hot},smp=2
 * RUN: high,rom={vmi-13,vmi-6},pv={unpatched,hot}
 * RUN: {high,pae},rom=vmi,host=svm,trap=all,smp=4
 * RUN: high,rom={vmi-13,vmi-6},host=svm,trap=all,smp=2
 * RUN: high,rom=vmi,host=svm,trap={time,mmu}
 * RUN: pae,rom=vmi,host=svm,trap={none,cpu,irq}
 * RUN: pae,rom=vmi,host=svm,trap=all,pv={unpatched,hot}
 * RUN-FULL: pae,rom=vmi,machine=bochs,smp=2
 * RUN: pae,rom=vmi,icount,bench
 * RUN-FULL: {high,pae},rom={none,vmi,vmi-13,vmi-6},pv={native,unpatched,hot,patched},smp={1,3}
 * RUN-FULL: {high,pae},rom={vmi,vmi-13,vmi-6},host=svm,trap={none,time,mmu,cpu,irq,all},smp={1,4}
 * RUN-FULL: {high,pae},rom=vmi,host=svm,trap=all,pv={native,unpatched,hot},smp={1,4}
 * RUN-FULL: pae,rom={vmi,vmi-13,vmi-6},host=svm,trap={time,mmu,cpu,irq,all},pv={unpatched,hot},smp=2
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
			strsame(mode, "hot") ? vmi_patch_hot() : vmi_patch_all();
	}
	entries_start();
	memory_start();
	time_start();
	cpus_start(count);
	cpus_run(init_argument);
}
