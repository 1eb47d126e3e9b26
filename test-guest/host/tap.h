/* SPDX-License-Identifier: GPL-2.0-only */
/* TAP for the tests that are C programs of the host. */
#ifndef TAP_H
#define TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static unsigned tap_points, tap_failures;

__attribute__((format(printf, 2, 3))) static bool ok(bool good, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("%s %u - ", good ? "ok" : "not ok", ++tap_points);
	vprintf(format, args);
	printf("\n");
	va_end(args);
	fflush(stdout);
	tap_failures += !good;
	return good;
}

/* What main() returns. */
static int tap_done(void)
{
	printf("1..%u\n", tap_points);
	return tap_failures != 0;
}

#endif /* TAP_H */
