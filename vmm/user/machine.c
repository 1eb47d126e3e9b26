/* SPDX-License-Identifier: GPL-2.0-only */
/* Guest-physical memory, and an image in it. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "user.h"

#define NO_STATE 0x9f000

u8 *memory;
const struct image *loaded;

static void map(u32 linear, u32 physical, int fd)
{
	void *want = (void *)linear;

	if (mmap(want, MEMORY_SIZE - physical, PROT_READ | PROT_WRITE | PROT_EXEC,
		 MAP_SHARED | MAP_FIXED_NOREPLACE, fd, (off_t)physical) != want)
		bail("mmap at %#x: %s", linear, strerror(errno));
}

void machine_start(void)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, MEMORY_SIZE))
		bail("memfd: %s", strerror(errno));
	memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		bail("mmap: %s", strerror(errno));
	map(LOW + MEMORY_LOWEST, MEMORY_LOWEST, fd);
	map(HIGH, 0, fd);
	close(fd);
}

void machine_load(const struct image *image)
{
	struct vmi_about *about =
		(struct vmi_about *)(memory + IMAGE + sizeof(struct vmi_rom_header));

	memset(memory, 0, MEMORY_SIZE);
	memcpy(memory + IMAGE, image->file, image->size);
	about->state_distance = (u32)NO_STATE - IMAGE; /* it would be looked for below LOWEST */
	loaded = image;
}

struct image *image_open(const char *path)
{
	struct image *image = calloc(1, sizeof(*image));
	const struct vmi_rom_header *header;
	FILE *f = fopen(path, "rb");

	if (!f || !image)
		bail("%s: %s", path, strerror(errno));
	image->name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	image->file = calloc(1, 0x10000);
	if (!image->file)
		bail("no memory");
	image->size = (u32)fread(image->file, 1, 0x10000, f);
	fclose(f);
	header = (const struct vmi_rom_header *)image->file;
	if (image->size < 0x1000 || header->vmi_signature != VMI_SIGNATURE)
		bail("%s is no VMI image", path);
	image->major = header->api_version_major;
	return image;
}

int image_symbol(const struct image *image, const char *name)
{
	const u8 *elf = image->file + VMI_ELF;
	const Elf32_Ehdr *ehdr = (const Elf32_Ehdr *)elf;
	const Elf32_Shdr *sections = (const Elf32_Shdr *)(elf + ehdr->e_shoff);
	u32 i, n;

	for (i = 0; i < ehdr->e_shnum; i++) {
		const Elf32_Shdr *strings = &sections[sections[i].sh_link];
		const Elf32_Sym *symbols = (const Elf32_Sym *)(elf + sections[i].sh_offset);

		if (sections[i].sh_type != SHT_SYMTAB)
			continue;
		for (n = 0; n < sections[i].sh_size / sizeof(*symbols); n++)
			if (!strcmp((const char *)elf + strings->sh_offset + symbols[n].st_name,
				    name))
				return (int)symbols[n].st_value;
	}
	return -1;
}

const struct vmi_call_record *record(u32 call)
{
	const struct vmi3_image *image = (const struct vmi3_image *)(memory + IMAGE);

	if (call >= image->about.call_count)
		bail("%s has no record of call %u", loaded->name, call);
	return (const struct vmi_call_record *)(memory + IMAGE + image->about.calls) + call;
}

u8 call_number(u32 call)
{
	const struct vmi_call_record *r = record(call);

	return loaded->major == 3 ? r->number_3 : loaded->major == 13 ? r->number_13 : r->number_6;
}

u32 call_entry(u32 call)
{
	u8 number = call_number(call);

	if (loaded->major == 3 && call == VMI_ID_Init)
		return VMI_3_INIT;
	if (loaded->major == 3 && call == VMI_ID_GetRelocationInfo)
		return VMI_3_GETRELOC;
	return loaded->major == 3 || number == VMI_NO ? record(call)->stub : number * VMI_SLOT;
}

const char *call_name(u32 call)
{
	static const char *const names[] = {
#define VMI_X(name, n3, n13, n6, type, args, in, out, clobber, conv, seg, defer, text) #name,
		VMI_CALLS(VMI_X)
#undef VMI_X
	};

	return call < VMI_CALL_COUNT ? names[call] : "?";
}
