/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every stub of every image on this processor; TAP.
 *
 *	vmm-user IMAGE...
 */
#include <stdlib.h>
#include <unistd.h>
#include "user.h"

int main(int argc, char **argv)
{
	int i;

	if (argc < 2)
		bail("usage: vmm-user IMAGE...");
	alarm(300);
	machine_start();
	check_plumbing();
	for (i = 1; i < argc; i++) {
		struct image *image = image_open(argv[i]);

		machine_load(image);
		check_native();
		check_post();
		check_generic();
		check_liars();
		check_flags();
		check_queue();
	}
	return tap_done();
}
