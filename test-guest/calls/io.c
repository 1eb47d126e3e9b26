/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Input and output, on ports that every PC has: the PCI configuration address
 * (32 bits wide), the CRT controller's index and data (16 bits as one word),
 * the CMOS and the palette (bytes).
 */
#include "calls.h"

#define PCI_ADDRESS 0xcf8
#define PCI_DATA 0xcfc
#define CRTC 0x3d4
#define CMOS_INDEX 0x70
#define CMOS_DATA 0x71
#define PALETTE_READ 0x3c7
#define PALETTE_WRITE 0x3c8
#define PALETTE_DATA 0x3c9

#define PCI_ENABLE 0x80000000
#define CMOS_SCRATCH 0x0e /* diagnostic status: any value will do here */
#define CRTC_CURSOR_HIGH 0x0e
#define CRTC_CURSOR_LOW 0x0f

/* ------------------------------------------------------------------------
 * One item
 */

void test_IN(void)
{
	outl(PCI_ADDRESS, PCI_ENABLE | 0x4560);
	v.in.edx = (v.in.edx & 0xffff0000) | PCI_ADDRESS;
	equal(go(), PCI_ENABLE | 0x4560, "EAX");
}

void test_INW(void)
{
	u32 poisoned = v.in.eax;

	outl(PCI_ADDRESS, PCI_ENABLE);
	v.in.edx = PCI_DATA + 2;
	equal(go(), (poisoned & 0xffff0000) | inw(PCI_DATA + 2), "EAX");
	expect(inw(PCI_DATA + 2) != inw(PCI_DATA), "vendor and device are different");
}

void test_INB(void)
{
	u32 poisoned = v.in.eax;

	outb(CMOS_INDEX, CMOS_SCRATCH);
	outb(CMOS_DATA, 0x5a);
	v.in.edx = CMOS_DATA;
	equal(go(), (poisoned & 0xffffff00) | 0x5a, "EAX");
	outb(CMOS_DATA, 0);
}

void test_OUT(void)
{
	outl(PCI_ADDRESS, 0);
	go2(PCI_ENABLE | 0x1230, PCI_ADDRESS);
	equal(inl(PCI_ADDRESS), PCI_ENABLE | 0x1230, "the register");
}

static u8 crtc(u8 index)
{
	outb(CRTC, index);
	return inb(CRTC + 1);
}

void test_OUTW(void)
{
	outw(CRTC, CRTC_CURSOR_HIGH);
	go2(0xffff1200 | CRTC_CURSOR_HIGH, CRTC);
	equal(crtc(CRTC_CURSOR_HIGH), 0x12, "the register");
}

void test_OUTB(void)
{
	outb(CMOS_INDEX, CMOS_SCRATCH);
	go2(0xffffff37, CMOS_DATA);
	outb(CMOS_INDEX, CMOS_SCRATCH);
	equal(inb(CMOS_DATA), 0x37, "the register");
	outb(CMOS_DATA, 0);
}

/* ------------------------------------------------------------------------
 * Strings: counts, both directions, and no item at all
 */

#define FIRST 12 /* word of the arena */

static bool backward(void)
{
	return pattern & EFLAGS_DF;
}

/* What an index register moves by. */
static u32 advance(u32 count, u32 width)
{
	return backward() ? 0u - count * width : count * width;
}

static void in_string(u32 count, u32 width, u16 port, const u8 *item)
{
	/* The lowest byte written; backward, the first item is the highest. */
	u8 *low = (u8 *)&arena[FIRST] + 1;
	u8 *first = backward() && count ? low + (count - 1) * width : low;
	u32 i, n;
	u8 was[sizeof(arena)];

	poison();
	arena_fill();
	memcpy(was, arena, sizeof(arena));
	v.in.edi = (u32)first;
	v.in.ecx = count;
	v.in.edx = port;
	go();
	equal(v.out.ecx, 0, "ECX");
	equal(v.out.edi, (u32)first + advance(count, width), "EDI");
	for (i = 0; i < count; i++)
		for (n = 0; n < width; n++)
			was[low - (u8 *)arena + i * width + n] = item[n];
	expect(same(was, arena, sizeof(arena)), "%u items: memory is not as expected", count);
}

static void in_strings(u32 width, u16 port, u32 item)
{
	in_string(0, width, port, (u8 *)&item);
	in_string(1, width, port, (u8 *)&item);
	in_string(5, width, port, (u8 *)&item);
}

void test_INS(void)
{
	outl(PCI_ADDRESS, PCI_ENABLE | 0xabcde0);
	in_strings(4, PCI_ADDRESS, PCI_ENABLE | 0xabcde0);
}

void test_INSW(void)
{
	outl(PCI_ADDRESS, PCI_ENABLE);
	in_strings(2, PCI_DATA, inw(PCI_DATA));
}

void test_INSB(void)
{
	outb(CMOS_INDEX, CMOS_SCRATCH);
	outb(CMOS_DATA, 0xc3);
	in_strings(1, CMOS_DATA, 0xc3);
	outb(CMOS_DATA, 0);
}

/* Sends items from the arena, the item that is sent first at `first`. */
static void out_string(const void *first, u32 count, u32 width, u16 port)
{
	poison();
	v.in.esi = (u32)first;
	v.in.ecx = count;
	v.in.edx = port;
	go();
	equal(v.out.ecx, 0, "ECX");
	equal(v.out.esi, (u32)first + advance(count, width), "ESI");
}

/* The last item stays in the register; stepping shows the others (step_out). */
static u32 step_values[8], step_values_count;

static void step_out(const struct trap *trap)
{
	u32 value = inl(PCI_ADDRESS);

	(void)trap;
	if (step_values_count && step_values[step_values_count - 1] == value)
		return;
	if (step_values_count < ARRAY_SIZE(step_values))
		step_values[step_values_count++] = value;
}

void test_OUTS(void)
{
	static const u32 items[] = { PCI_ENABLE | 0x1110, PCI_ENABLE | 0x2220,
				     PCI_ENABLE | 0x3330 };
	u32 i;

	outl(PCI_ADDRESS, PCI_ENABLE);
	out_string(items, 0, 4, PCI_ADDRESS);
	equal(inl(PCI_ADDRESS), PCI_ENABLE, "the register, nothing sent");
	step_values_count = 0;
	on_step(step_out);
	out_string(&items[backward() ? 2 : 0], 3, 4, PCI_ADDRESS);
	on_step(NULL);
	equal(inl(PCI_ADDRESS), items[backward() ? 0 : 2], "the register");
	for (i = 0; stepping() && i < 3; i++)
		equal(step_values[i + 1], items[backward() ? 2 - i : i], "an item on the way");
}

void test_OUTSW(void)
{
	static const u16 items[] = { 0x5600 | CRTC_CURSOR_HIGH, 0x7800 | CRTC_CURSOR_LOW };

	outw(CRTC, CRTC_CURSOR_HIGH);
	outw(CRTC, CRTC_CURSOR_LOW);
	out_string(items, 0, 2, CRTC);
	equal(crtc(CRTC_CURSOR_HIGH), 0, "the register, nothing sent");
	out_string(&items[backward()], 2, 2, CRTC);
	equal(crtc(CRTC_CURSOR_HIGH), 0x56, "the first register");
	equal(crtc(CRTC_CURSOR_LOW), 0x78, "the second register");
}

/* The palette takes red, green, blue one after another. */
void test_OUTSB(void)
{
	static const u8 items[] = { 1, 2, 3, 4, 5, 6 };
	u32 i;

	outb(PALETTE_WRITE, 0x80);
	out_string(items, 0, 1, PALETTE_DATA);
	out_string(&items[backward() ? 5 : 0], 6, 1, PALETTE_DATA);
	outb(PALETTE_READ, 0x80);
	for (i = 0; i < 6; i++)
		equal(inb(PALETTE_DATA), items[backward() ? 5 - i : i], "a byte of the palette");
}

/* ------------------------------------------------------------------------
 * Nothing to do
 */

void test_UpdateIOBitmap(void)
{
	go();
}

void test_UpdateInterruptBitmap(void)
{
	go();
}

void test_IODelay(void)
{
	go();
}
