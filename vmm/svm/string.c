/* SPDX-License-Identifier: GPL-2.0-only */
#include "svm.h"

void *memset(void *p, int value, size_t n)
{
	void *to = p;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(value) : "memory");
	return p;
}

void *memcpy(void *to, const void *from, size_t n)
{
	void *p = to;

	__asm__ volatile("rep movsb" : "+D"(p), "+S"(from), "+c"(n) : : "memory");
	return to;
}

void *memmove(void *to, const void *from, size_t n)
{
	u8 *last = (u8 *)to + n - 1;
	const u8 *from_last = (const u8 *)from + n - 1;

	if ((u32)to - (u32)from >= n)
		return memcpy(to, from, n);
	__asm__ volatile("std\n\trep movsb\n\tcld"
			 : "+D"(last), "+S"(from_last), "+c"(n)
			 :
			 : "memory", "cc");
	return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const u8 *p = a, *q = b;

	for (; n; n--, p++, q++) {
		if (*p != *q)
			return *p - *q;
	}
	return 0;
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

const char *option(const char *text, const char *name)
{
	size_t n = strlen(name);

	for (; *text; text++) {
		if (!memcmp(text, name, n) && (name[n - 1] == '=' || !text[n] || text[n] == ' '))
			return text + n;
		while (*text && *text != ' ')
			text++;
		if (!*text)
			break;
	}
	return NULL;
}
