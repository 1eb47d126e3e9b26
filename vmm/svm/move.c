/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * At the address it was loaded at, the image copies what the boot loader says,
 * moves the modules and itself to the top of memory, and relocates the copy.
 * Nothing here may be called later.
 */
#include "svm.h"

#define LOADER_MAGIC 0x2badb002
#define INFO_COMMAND_LINE 0x04
#define INFO_MODULES 0x08
#define INFO_RANGES 0x40
#define R_386_RELATIVE 8
#define IMAGE_ALIGNMENT 0x10000u

struct multiboot_info {
	u32 flags, mem_lower, mem_upper, boot_device, command_line, modules, module, symbols[4],
		ranges_length, ranges;
};

struct multiboot_module {
	u32 start, end, text, reserved;
};

struct multiboot_range {
	u32 size; /* of what follows */
	u64 base, length;
	u32 type;
} __attribute__((packed));

struct relocation {
	u32 offset, info;
};

extern const struct relocation image_relocations[], image_relocations_end[];

u32 move_image(u32 magic, const struct multiboot_info *info);

struct boot boot;

static void copy_text(char to[TEXT_SIZE], u32 from)
{
	size_t n = strlen((const char *)from);

	if (n >= TEXT_SIZE)
		fail("a command line is longer than %u bytes", TEXT_SIZE - 1);
	memcpy(to, (const char *)from, n + 1);
}

static void read_ranges(const struct multiboot_info *info)
{
	u32 at;

	if (!(info->flags & INFO_RANGES))
		fail("the boot loader gives no memory map");
	for (at = info->ranges; at < info->ranges + info->ranges_length;) {
		const struct multiboot_range *range = (const void *)at;

		at += range->size + sizeof(range->size);
		if (range->base >> 32) /* nested PAE tables have 32 bits of address */
			continue;
		if (boot.ranges == MAX_RANGES)
			fail("more than %u ranges of memory", MAX_RANGES);
		boot.range[boot.ranges++] =
			(struct range){ range->base, range->length, range->type };
	}
}

/* The last range of RAM below 4 GiB that holds the image gets shorter by it. */
static u32 choose_place(u32 bytes)
{
	struct range *best = NULL;
	u32 i, end, base;

	for (i = 0; i < boot.ranges; i++) {
		struct range *r = &boot.range[i];

		if (r->type == RANGE_RAM && r->base + r->size <= 0xffffffff &&
		    r->size > bytes + IMAGE_ALIGNMENT && (!best || r->base > best->base))
			best = r;
	}
	if (!best)
		fail("no memory for the hypervisor");
	end = (u32)(best->base + best->size);
	base = (end - bytes) & -IMAGE_ALIGNMENT;
	best->size = base - (u32)best->base;
	boot.top = base;
	boot.end = end;
	return base;
}

static void read_modules(const struct multiboot_info *info)
{
	const struct multiboot_module *module = (const void *)info->module;
	u32 i;

	if (!(info->flags & INFO_MODULES) || !info->modules)
		fail("no guest: it is the first module");
	if (info->modules > MAX_MODULES)
		fail("more than %u modules", MAX_MODULES);
	boot.modules = info->modules;
	for (i = 0; i < boot.modules; i++) {
		boot.module[i].loaded = module[i].start;
		boot.module[i].size = module[i].end - module[i].start;
		copy_text(boot.module[i].text, module[i].text);
	}
}

/* The last first: each moves up, past what is still to move. */
static void move_modules(void)
{
	u32 i, moved, low = boot.top, before = 0xffffffff;

	for (moved = 0; moved < boot.modules; moved++) {
		struct module *last = NULL;

		for (i = 0; i < boot.modules; i++) {
			struct module *m = &boot.module[i];

			if (m->loaded < before && (!last || m->loaded > last->loaded))
				last = m;
		}
		if (!last)
			fail("modules at one address");
		before = last->loaded;
		low = (low - last->size) & -PAGE_SIZE;
		if (low < last->loaded)
			fail("not enough memory for the modules");
		memmove((void *)low, (const void *)last->loaded, last->size);
		last->start = low;
	}
}

u32 move_image(u32 magic, const struct multiboot_info *info)
{
	const struct relocation *r;
	u32 delta;

	if (magic != LOADER_MAGIC)
		fail("not started by a multiboot loader");
	if (info->flags & INFO_COMMAND_LINE)
		copy_text(boot.text, info->command_line);
	read_ranges(info);
	read_modules(info);
	delta = choose_place((u32)(image_end - image_start)) - (u32)image_start;
	move_modules();
	memcpy(image_start + delta, image_start, (u32)(image_end - image_start));
	for (r = image_relocations; r < image_relocations_end; r++) {
		if ((r->info & 0xff) != R_386_RELATIVE)
			fail("a relocation of type %u", r->info & 0xff);
		*(u32 *)(r->offset + delta) += delta;
	}
	return delta;
}
