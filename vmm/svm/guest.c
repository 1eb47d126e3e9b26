/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest: a multiboot ELF file [Multiboot Specification 0.6.96], or a Linux
 * bzImage by the 32-bit boot protocol [Linux, Documentation/x86/boot.txt].
 * Further modules are the multiboot guest's modules, or Linux' initrd.
 */
#include "svm.h"

/* Below 1 MiB, for what the guest is told: 16 KiB, free in every PC's memory map. */
#define TOLD 0x90000u
#define SELECTOR_CODE 0x10 /* Linux wants these two */
#define SELECTOR_DATA 0x18
#define SEGMENT_CODE32 0xc9b /* attributes in a VMCB: flat, 32 bits */
#define SEGMENT_DATA32 0xc93

#define MULTIBOOT_HEADER 0x1badb002u
#define MULTIBOOT_SEARCH 8192
#define MULTIBOOT_LOADER 0x2badb002u
#define INFO_MEMORY 0x01u
#define INFO_COMMAND_LINE 0x04u
#define INFO_MODULES 0x08u
#define INFO_RANGES 0x40u

#define ELF_MAGIC 0x464c457fu
#define ELF_LOAD 1

#define LINUX_SETUP_SECTORS 0x1f1
#define LINUX_HEADER_END 0x201
#define LINUX_MAGIC 0x202
#define LINUX_MAGIC_VALUE 0x53726448u
#define LINUX_VERSION 0x206
#define LINUX_VERSION_LEAST 0x202 /* the command line's pointer */
#define LINUX_LOADER 0x210
#define LINUX_INITRD 0x218
#define LINUX_INITRD_SIZE 0x21c
#define LINUX_COMMAND_LINE 0x228
#define LINUX_RANGES 0x1e8
#define LINUX_RANGE 0x2d0
#define LINUX_MEMORY_KIB 0x1e0
#define LINUX_SCREEN 0x06 /* mode, columns, ..., lines, VGA, points */
#define LINUX_ENTRY 0x100000u

struct told {
	u8 page[PAGE_SIZE]; /* boot parameters or multiboot information */
	u64 gdt[4];
	char text[MAX_MODULES][TEXT_SIZE];
};

struct elf_header {
	u8 ident[16];
	u16 type, machine;
	u32 version, entry, segments, sections, flags;
	u16 size, segment_size, segment_count;
};

struct elf_segment {
	u32 type, offset, linear, physical, file_size, size, flags, alignment;
};

static struct told *const told = (struct told *)TOLD;

/* Memory from an address on: the end of the RAM that it is in. */
static u32 ram_end(u32 address)
{
	u32 i;

	for (i = 0; i < boot.ranges; i++) {
		const struct range *r = &boot.range[i];

		if (r->type == RANGE_RAM && address >= r->base && address - r->base < r->size)
			return (u32)(r->base + r->size);
	}
	return 0;
}

/* The modules lie at the top of the guest's memory: loading must not reach them. */
static void check_place(u32 address, u32 size)
{
	u32 i, end = ram_end(address);

	for (i = 0; i < boot.modules; i++) {
		if (boot.module[i].start < end && address < boot.module[i].start)
			end = boot.module[i].start;
	}
	if (!end || size > end - address)
		fail("no memory for the guest at %08x to %08x", address, address + size);
}

void enter_flat(struct vcpu *cpu, u32 eip)
{
	struct vmcb *vmcb = cpu->vmcb;
	const struct vmcb_segment data = { SELECTOR_DATA, SEGMENT_DATA32, 0xffffffff, 0 };

	told->gdt[SELECTOR_CODE / 8] = 0x00cf9b000000ffff;
	told->gdt[SELECTOR_DATA / 8] = 0x00cf93000000ffff;
	vmcb->gdtr = (struct vmcb_segment){ 0, 0, sizeof(told->gdt) - 1, (u32)told->gdt };
	vmcb->cs = (struct vmcb_segment){ SELECTOR_CODE, SEGMENT_CODE32, 0xffffffff, 0 };
	vmcb->ds = vmcb->es = vmcb->ss = vmcb->fs = vmcb->gs = data;
	vmcb->cr0 |= CR0_PE;
	vmcb->eip = eip;
	__asm__ volatile("vmload" : : "a"(vmcb) : "memory");
}

/* ------------------------------------------------------------------------
 * Linux
 */

static void put_word(u32 offset, u32 value)
{
	memcpy(told->page + offset, &value, sizeof(value));
}

static void load_linux(struct vcpu *cpu, const u8 *file, u32 size)
{
	static const u8 screen[] = { 3, 80, 0, 0, 0, 0, 0, 0, 25, 1, 16, 0 };
	u32 setup = (u32)(file[LINUX_SETUP_SECTORS] ? file[LINUX_SETUP_SECTORS] : 4) * 512 + 512;
	const char *text = boot.module[0].text;
	u32 i;

	if (file[LINUX_VERSION] + file[LINUX_VERSION + 1] * 256 < LINUX_VERSION_LEAST ||
	    setup > size)
		fail("%s: a bzImage of boot protocol 2.02 or later is wanted", text);
	memcpy(told->page + LINUX_SETUP_SECTORS, file + LINUX_SETUP_SECTORS,
	       (u32)LINUX_MAGIC + file[LINUX_HEADER_END] - LINUX_SETUP_SECTORS);
	memcpy(told->page + LINUX_SCREEN, screen, sizeof(screen));
	told->page[LINUX_LOADER] = 0xff;
	while (*text && *text != ' ') /* the file's name */
		text++;
	memcpy(told->text[0], text, strlen(text) + 1);
	put_word(LINUX_COMMAND_LINE, (u32)told->text[0]);
	if (boot.modules > 1) {
		put_word(LINUX_INITRD, boot.module[1].start);
		put_word(LINUX_INITRD_SIZE, boot.module[1].size);
	}
	put_word(LINUX_MEMORY_KIB, (ram_end(LINUX_ENTRY) - LINUX_ENTRY) / 1024);
	for (i = 0; i < boot.ranges; i++)
		memcpy(told->page + LINUX_RANGE + i * 20, &boot.range[i], 20);
	told->page[LINUX_RANGES] = (u8)boot.ranges;
	check_place(LINUX_ENTRY, size - setup);
	memcpy((void *)LINUX_ENTRY, file + setup, size - setup);
	enter_flat(cpu, LINUX_ENTRY);
	cpu->regs.esi = (u32)told->page;
}

/* ------------------------------------------------------------------------
 * Multiboot
 */

static void load_elf(struct vcpu *cpu, const u8 *file, u32 size)
{
	const struct elf_header *header = (const void *)file;
	u32 i;

	for (i = 0; i < header->segment_count; i++) {
		const struct elf_segment *s =
			(const void *)(file + header->segments + i * header->segment_size);

		if ((const u8 *)(s + 1) > file + size)
			fail("%s: ends early", boot.module[0].text);
		if (s->type != ELF_LOAD || !s->size)
			continue;
		if (s->file_size > s->size || s->offset > size || s->file_size > size - s->offset)
			fail("%s: ends early", boot.module[0].text);
		check_place(s->physical, s->size);
		memcpy((void *)s->physical, file + s->offset, s->file_size);
		memset((u8 *)s->physical + s->file_size, 0, s->size - s->file_size);
	}
	enter_flat(cpu, header->entry);
}

static void tell_multiboot(struct vcpu *cpu)
{
	struct {
		u32 flags, mem_lower, mem_upper, boot_device, command_line, modules, module,
			symbols[4], ranges_length, ranges;
		struct {
			u32 start, end, text, reserved;
		} modules_[MAX_MODULES];
		struct {
			u32 size;
			u64 base, length;
			u32 type;
		} __attribute__((packed)) range[MAX_RANGES];
	} *info = (void *)told->page;
	u32 i;

	_Static_assert(sizeof(*info) <= PAGE_SIZE, "one page");
	info->flags = INFO_MEMORY | INFO_COMMAND_LINE | INFO_MODULES | INFO_RANGES;
	info->mem_lower = ram_end(0) / 1024;
	info->mem_upper = (ram_end(LINUX_ENTRY) - LINUX_ENTRY) / 1024;
	for (i = 0; i < boot.modules; i++)
		memcpy(told->text[i], boot.module[i].text, TEXT_SIZE);
	info->command_line = (u32)told->text[0];
	info->modules = boot.modules - 1;
	info->module = (u32)info->modules_;
	for (i = 0; i < info->modules; i++) {
		info->modules_[i].start = boot.module[i + 1].start;
		info->modules_[i].end = boot.module[i + 1].start + boot.module[i + 1].size;
		info->modules_[i].text = (u32)told->text[i + 1];
	}
	info->ranges = (u32)info->range;
	info->ranges_length = boot.ranges * sizeof(info->range[0]);
	for (i = 0; i < boot.ranges; i++) {
		info->range[i].size = sizeof(info->range[0]) - sizeof(u32);
		info->range[i].base = boot.range[i].base;
		info->range[i].length = boot.range[i].size;
		info->range[i].type = boot.range[i].type;
	}
	cpu->regs.ebx = (u32)info;
	cpu->regs.eax = MULTIBOOT_LOADER;
}

static bool is_multiboot(const u8 *file, u32 size)
{
	u32 at, word[3];

	for (at = 0; at + sizeof(word) <= size && at < MULTIBOOT_SEARCH; at += 4) {
		memcpy(word, file + at, sizeof(word));
		if (word[0] == MULTIBOOT_HEADER && !(word[0] + word[1] + word[2]))
			return !memcmp(file, &(u32){ ELF_MAGIC }, 4);
	}
	return false;
}

void guest_load(struct vcpu *cpu)
{
	const u8 *file = (const u8 *)boot.module[0].start;
	u32 size = boot.module[0].size, magic = 0;

	if (ram_end(TOLD) < TOLD + sizeof(*told))
		fail("no memory at %08x", TOLD);
	memset(told, 0, sizeof(*told));
	if (size > LINUX_MAGIC + 4)
		memcpy(&magic, file + LINUX_MAGIC, sizeof(magic));
	if (magic == LINUX_MAGIC_VALUE) {
		load_linux(cpu, file, size);
	} else if (is_multiboot(file, size)) {
		load_elf(cpu, file, size);
		tell_multiboot(cpu);
	} else {
		fail("%s: neither a bzImage nor a multiboot ELF file", boot.module[0].text);
	}
}
