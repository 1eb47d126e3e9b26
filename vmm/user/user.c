/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every stub of every image on this processor; TAP.
 *
 *	vmm-user IMAGE...
 *	vmm-user bench IMAGE	(bench.c)
 *	vmm-user calls IMAGE
 */
#include <string.h>
#include <unistd.h>
#include "user.h"

int main(int argc, char **argv)
{
	static struct image image;
	int i;

	if (argc < 2)
		bail("usage: vmm-user [bench] IMAGE...");
	alarm(300);
	machine_start();
	if (argc == 3 && (!strcmp(argv[1], "bench") || !strcmp(argv[1], "calls"))) {
		image_open(&image, argv[2]);
		machine_load(&image);
		if (argv[1][0] == 'b')
			bench();
		else
			bench_calls();
		return 0;
	}
	check_plumbing();
	for (i = 1; i < argc; i++) {
		image_open(&image, argv[i]);
		machine_load(&image);
		check_native();
		check_post();
		check_generic();
		check_liars();
		check_flags();
		check_queue();
		check_results();
	}
	return tap_done();
}
