/* SPDX-License-Identifier: GPL-2.0-only */
/* Adds 1 to each byte from one file to another: bits 3..0 and 7..4 of the argument. */
#include "user.h"

u32 user_main(u32 argument)
{
	u32 n, i;
	u8 data[100];

	for (;;) {
		n = read(argument & 15, data, sizeof(data));
		if (!n || n >= FAILED)
			return n != 0;
		for (i = 0; i < n; i++)
			data[i]++;
		if (write(argument >> 4, data, n) != n)
			return 2;
	}
}
