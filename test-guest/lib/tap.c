/* SPDX-License-Identifier: GPL-2.0-only */
/* TAP version 12 on COM1, the few string functions a guest needs, the way out. */
#include "guest.h"

#define COM1 0x3f8
#define COM1_LINE_STATUS (COM1 + 5)
#define LINE_STATUS_THRE 0x20
#define LINE_STATUS_TEMT 0x40
#define BOCHS_SHUTDOWN 0x8900
#define DEBUG_EXIT 0xf4
#define DEBUG_EXIT_GOOD 0x10 /* QEMU exits with 33 */

#define VGA_TEXT 0xb8000
#define VGA_COLUMNS 80
#define VGA_ROWS 25
#define VGA_WHITE 0x0700

#define COM1_LINE_CONTROL (COM1 + 3)
#define LINE_CONTROL_DIVISOR 0x80
#define LINE_CONTROL_8N1 0x03

/* 115,200 baud, no interrupts. */
void serial_start(void)
{
	outb(COM1_LINE_CONTROL, LINE_CONTROL_DIVISOR | LINE_CONTROL_8N1);
	outb(COM1, 1);
	outb(COM1 + 1, 0);
	outb(COM1_LINE_CONTROL, LINE_CONTROL_8N1);
	outb(COM1 + 1, 0);
}

static bool on_console;
static u32 console_at;

static void console_put(char c)
{
	u16 *screen = phys(VGA_TEXT);
	u32 i;

	if (c == '\n')
		console_at += VGA_COLUMNS - console_at % VGA_COLUMNS;
	else
		screen[console_at++] = VGA_WHITE | (u8)c;
	if (console_at < VGA_COLUMNS * VGA_ROWS)
		return;
	for (i = 0; i < VGA_COLUMNS * (VGA_ROWS - 1); i++)
		screen[i] = screen[i + VGA_COLUMNS];
	for (; i < VGA_COLUMNS * VGA_ROWS; i++)
		screen[i] = VGA_WHITE | ' ';
	console_at -= VGA_COLUMNS;
}

void console(bool on)
{
	u16 *screen = phys(VGA_TEXT);
	u32 i;

	for (i = 0; on && i < VGA_COLUMNS * VGA_ROWS; i++)
		screen[i] = VGA_WHITE | ' ';
	on_console = on;
}

static void put(char c)
{
	if (c == '\n')
		put('\r');
	while (!(inb(COM1_LINE_STATUS) & LINE_STATUS_THRE))
		;
	outb(COM1, (u8)c);
	if (on_console && c != '\r')
		console_put(c);
}

static void put_padded(const char *s, u32 n, u32 width, char pad, bool left)
{
	u32 i;

	for (i = n; !left && i < width; i++)
		put(pad);
	for (i = 0; i < n; i++)
		put(s[i]);
	for (i = n; left && i < width; i++)
		put(' ');
}

/* value = value / by; the rest. gcc would call its library. */
static u32 divide(u64 *value, u32 by)
{
	u32 high = (u32)(*value >> 32), low, rest = high % by;

	__asm__("divl %4" : "=a"(low), "=d"(rest) : "0"((u32)*value), "1"(rest), "r"(by));
	*value = (u64)(high / by) << 32 | low;
	return rest;
}

u64 divide64(u64 value, u32 by)
{
	divide(&value, by);
	return value;
}

static void put_number(u64 value, u32 base, bool upper, u32 width, char pad, bool left)
{
	char digits[20];
	u32 n = sizeof(digits);

	do {
		u32 digit = divide(&value, base);

		digits[--n] = (char)(digit < 10 ? '0' + digit : (upper ? 'A' : 'a') + digit - 10);
	} while (value);
	put_padded(digits + n, sizeof(digits) - n, width, pad, left);
}

void vprint(const char *f, va_list args)
{
	for (; *f; f++) {
		bool left = false, wide = false;
		char pad = ' ';
		u32 width = 0;
		u64 value;

		if (*f != '%') {
			put(*f);
			continue;
		}
		f++;
		if (*f == '-') {
			left = true;
			f++;
		}
		if (*f == '0')
			pad = *f++;
		for (; *f >= '0' && *f <= '9'; f++)
			width = width * 10 + (u32)(*f - '0');
		for (; *f == 'l'; f++)
			wide = f[1] == 'l' || wide;
		switch (*f) {
		case 's': {
			const char *s = va_arg(args, const char *);

			put_padded(s, length(s), width, ' ', left);
			break;
		}
		case 'c':
			put((char)va_arg(args, int));
			break;
		case 'u':
		case 'x':
		case 'X':
			value = wide ? va_arg(args, u64) : va_arg(args, u32);
			put_number(value, *f == 'u' ? 10 : 16, *f == 'X', width, pad, left);
			break;
		default:
			put(*f);
		}
	}
}

void print(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprint(format, args);
	va_end(args);
}

/* ------------------------------------------------------------------------
 * TAP
 */

static u32 points;
static bool conditions = true;

static void test_point(bool good, const char *format, va_list args)
{
	print("%sok %u - ", good ? "" : "not ", ++points);
	vprint(format, args);
}

bool ok(bool good, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	test_point(good, format, args);
	va_end(args);
	print("\n");
	return good;
}

void skip(const char *why, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	test_point(true, format, args);
	va_end(args);
	print(" # SKIP %s\n", why);
}

bool expect(bool good, const char *format, ...)
{
	va_list args;

	if (good)
		return true;
	conditions = false;
	print("# ");
	va_start(args, format);
	vprint(format, args);
	va_end(args);
	print("\n");
	return false;
}

bool equal(u32 got, u32 want, const char *what)
{
	return expect(got == want, "%s is %08x, expected %08x", what, got, want);
}

bool equal64(u64 got, u64 want, const char *what)
{
	return expect(got == want, "%s is %016llx, expected %016llx", what, got, want);
}

void point(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	test_point(conditions, format, args);
	va_end(args);
	print("\n");
	conditions = true;
}

void quit(u8 value)
{
	const char *p;

	outb(DEBUG_EXIT, value);
	while (!(inb(COM1_LINE_STATUS) & LINE_STATUS_TEMT))
		;
	for (p = "Shutdown"; *p; p++)
		outb(BOCHS_SHUTDOWN, (u8)*p);
	for (;;) /* neither device: the runner's time runs out */
		__asm__ volatile("cli\n\thlt");
}

void points_before(u32 n)
{
	points = n;
}

void plan(u32 n)
{
	print("1..%u\n", n);
}

void finish(void)
{
	plan(points);
	quit(DEBUG_EXIT_GOOD);
}

void bail(const char *format, ...)
{
	static bool bailing; /* a trap on the way ends here again */
	va_list args;

	if (bailing)
		quit(0);
	bailing = true;
	print("Bail out! ");
	va_start(args, format);
	vprint(format, args);
	va_end(args);
	print("\n");
	quit(0);
}

/* ------------------------------------------------------------------------
 * Strings
 */

int same(const void *a, const void *b, size_t n)
{
	const u8 *x = a, *y = b;

	for (; n; n--)
		if (*x++ != *y++)
			return 0;
	return 1;
}

size_t length(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

int strsame(const char *a, const char *b)
{
	return length(a) == length(b) && same(a, b, length(a));
}

/* gcc calls these two by name. */
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
