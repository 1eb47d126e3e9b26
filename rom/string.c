/* SPDX-License-Identifier: GPL-2.0-only */
#include "rom.h"

void zero(void *to, u32 bytes)
{
	u32 words = bytes / 4;

	bytes %= 4;
	__asm__ volatile("rep stosl" : "+D"(to), "+c"(words) : "a"(0) : "memory");
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(0) : "memory");
}

void copy(void *to, const void *from, u32 bytes)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

bool same(const void *a, const void *b, u32 bytes)
{
	const u8 *p = a, *q = b;

	while (bytes--)
		if (*p++ != *q++)
			return false;
	return true;
}
