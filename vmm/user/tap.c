/* SPDX-License-Identifier: GPL-2.0-only */
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>
#include "user.h"

static u32 points, failed;

bool ok(bool good, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("%s %u - ", good ? "ok" : "not ok", ++points);
	vprintf(format, args);
	printf("\n");
	va_end(args);
	fflush(stdout);
	failed += !good;
	return good;
}

void note(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("# ");
	vprintf(format, args);
	printf("\n");
	va_end(args);
}

void bail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("Bail out! ");
	vprintf(format, args);
	printf("\n");
	va_end(args);
	fflush(stdout);
	_exit(1);
}

int tap_done(void)
{
	printf("1..%u\n", points);
	return failed != 0;
}
