/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * POST, the part in C: flat protected mode, interrupts off, called once by
 * rom/entry.asm. Takes the state's memory, fills it in, tells the image where
 * it is, and words the banner.
 */
#include "rom.h"
#include "version.h"

#define BASE_MEMORY_LEAST 128 /* KiB that must remain */

struct line {
	char *at, *end;
};

static void put(struct line *line, const char *s)
{
	while (*s && line->at < line->end)
		*line->at++ = *s++;
	*line->at = 0;
}

static void put_number(struct line *line, u32 value, u32 base)
{
	char digits[11];
	char *p = digits + 10;

	*p = 0;
	do {
		u32 digit = value % base;

		*--p = (char)(digit < 10 ? '0' + digit : 'A' + digit - 10);
		value /= base;
	} while (value);
	put(line, p);
}

/* Write one word of the image, keep its checksum; false where it is read-only. */
static bool image_patch(struct rom_image *image, u32 *word, u32 value)
{
	const volatile u8 *bytes = (const volatile u8 *)word;
	u8 *checksum = (u8 *)image + ROM_CHECKSUM;
	u8 delta = 0;
	u32 i;

	for (i = 0; i < 4; i++)
		delta += bytes[i];
	*(volatile u32 *)word = value;
	for (i = 0; i < 4; i++)
		delta -= bytes[i];
	*checksum += delta;
	return *(volatile u32 *)word == value;
}

static void options_read(struct state *state)
{
	char value[8];

	/* Present and not "0" or "off" means on. */
	if (fw_cfg_read(STR("opt/vmi/quiet"), value, sizeof(value)) >= 0)
		state->quiet = value[0] != '0' && !same(value, STR("off"), 4);
	if (fw_cfg_read(STR("opt/vmi/poweroff"), value, sizeof(value)) >= 0)
		state->no_poweroff = value[0] == '0' || same(value, STR("off"), 4);
}

static void banner(struct line *line, const struct rom_image *image, const struct state *state,
		   u32 kib)
{
	put(line, STR("VMI ROM "));
	put(line, STR(VERSION));
	put(line, STR(": VMI "));
	put_number(line, image->header.api_version_major, 10);
	put(line, STR("."));
	put_number(line, image->header.api_version_minor, 10);
	put(line, STR(" at "));
	put_number(line, (u32)image, 16);
	put(line, STR(", host "));
	put(line, image->about.host);
	put(line, STR(", clock "));
	put(line, image->about.clock);
	put(line, STR(", "));
	put_number(line, kib, 10);
	put(line, STR(" KiB at "));
	put_number(line, (u32)state, 16);
	put(line, STR("\r\n"));
}

static bool refuse(struct line *line, const char *why, u32 value, u32 base)
{
	put(line, STR("VMI ROM: not installed, "));
	put(line, why);
	put_number(line, value, base);
	put(line, base == 10 ? STR(" KiB\r\n") : STR("\r\n"));
	return false;
}

/*
 * Find the memory that an earlier image took, or take it and fill it in. False,
 * and a line that says why: nothing has changed.
 */
static bool install(struct rom_image *image, struct post *post, struct line *line)
{
	u16 *base_memory = at(BDA_BASE_MEMORY);
	u32 old_kib = *base_memory;
	u32 new_kib = (old_kib - STATE_KIB) & ~3u;
	struct state *state = at(old_kib * 1024);

	if (old_kib > 640 || old_kib < BASE_MEMORY_LEAST + STATE_KIB + 4)
		return refuse(line, STR("base memory is "), old_kib, 10);
	if (!is_state(state)) {
		state = at(new_kib * 1024);
		zero(state, sizeof(*state));
		state->magic = STATE_MAGIC;
		state->size = sizeof(*state);
		if (*(volatile u32 *)&state->magic != STATE_MAGIC)
			return refuse(line, STR("no memory at "), (u32)state, 16);
		options_read(state);
		acpi_find(&state->acpi);
		*base_memory = (u16)new_kib;
		post->taken_kib = old_kib - new_kib;
	}
	post->state = state;
	image_patch(image, &image->about.state_distance, (u32)state - (u32)image);
	return true;
}

/*
 * One step of POST. True: enable interrupts, halt, and call again; false: done,
 * post->line is for the console.
 */
bool post_main(struct rom_image *image, struct post *post);
bool post_main(struct rom_image *image, struct post *post)
{
	struct line line = { post->line, post->line + POST_LINE - 1 };
	struct state *state;

	if (!post->state && !install(image, post, &line))
		return false;
	state = post->state;
	if (post->taken_kib) { /* otherwise an earlier image has done all this */
		if (clock_measure(&state->clock, post))
			return true;
		clock_start(&state->clock, state->acpi.rtc_century);
	}
	if (!state->quiet)
		banner(&line, image, state, post->taken_kib);
	return false;
}
