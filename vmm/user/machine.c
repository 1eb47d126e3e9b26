/* SPDX-License-Identifier: GPL-2.0-only */
/* Guest-physical memory, and an image in it. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "user.h"

#define NO_STATE 0x9f000

u8 *memory;
const struct image *loaded;

static int guest_fd, area_fd;
u8 *area;

static const u32 views[] = { LOW, HIGH };

/* Where memory is seen: length bytes from file at offset, at that guest-physical address. */
static void show(u32 view, u32 physical, u32 length, int fd, u32 offset)
{
	if (mmap((void *)(view + physical), length, PROT_READ | PROT_WRITE | PROT_EXEC,
		 MAP_SHARED | MAP_FIXED, fd, (off_t)offset) == MAP_FAILED)
		bail("mmap at %p: %s", (void *)(view + physical), strerror(errno));
}

static int memory_file(const char *name, u32 size)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)size))
		bail("memfd: %s", strerror(errno));
	return fd;
}

static u8 *reserve(u32 at, u32 size)
{
	void *p = mmap((void *)at, size, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED_NOREPLACE : 0), -1, 0);

	if (p == MAP_FAILED || (at && p != (void *)at))
		bail("%#x bytes at %#x: %s", size, at, strerror(errno));
	return p;
}

void machine_start(void)
{
	guest_fd = memory_file("guest", MEMORY_SIZE);
	area_fd = memory_file("shared", VMI_SHARED_SIZE);
	area = reserve(0, VMI_SHARED_SIZE);
	show((u32)area, 0, VMI_SHARED_SIZE, area_fd, 0);
	memory = reserve(0, MEMORY_SIZE);
	show((u32)memory, 0, MEMORY_SIZE, guest_fd, 0);
	reserve(LOW + MEMORY_LOWEST, MEMORY_SIZE - MEMORY_LOWEST);
	show(LOW, MEMORY_LOWEST, MEMORY_SIZE - MEMORY_LOWEST, guest_fd, MEMORY_LOWEST);
	reserve(HIGH, MEMORY_SIZE);
	show(HIGH, 0, MEMORY_SIZE, guest_fd, 0);
}

bool machine_map_area(u32 physical)
{
	static u32 mapped;
	u32 i;

	if (physical % 4096 || physical > MEMORY_SIZE - VMI_SHARED_SIZE ||
	    (physical && physical < MEMORY_LOWEST))
		return false;
	for (i = 0; i <= sizeof(views) / sizeof(*views); i++) {
		u32 view = i ? views[i - 1] : (u32)memory;

		if (mapped)
			show(view, mapped, VMI_SHARED_SIZE, guest_fd, mapped);
		if (physical)
			show(view, physical, VMI_SHARED_SIZE, area_fd, 0);
	}
	mapped = physical;
	return true;
}

#define CHECKSUM 6

void image_write(void *at, const void *from, u32 size)
{
	u8 *to = at, *sum = memory + IMAGE + CHECKSUM;
	u32 i;

	for (i = 0; i < size; i++) {
		*sum = (u8)(*sum + to[i] - ((const u8 *)from)[i]);
		to[i] = ((const u8 *)from)[i];
	}
}

void machine_hide(u32 base, bool hide)
{
	u32 lowest = base == LOW ? MEMORY_LOWEST : 0;

	if (mprotect((void *)(base + lowest), MEMORY_SIZE - lowest,
		     hide ? PROT_NONE : PROT_READ | PROT_WRITE | PROT_EXEC))
		bail("mprotect: %s", strerror(errno));
}

void machine_load(const struct image *image)
{
	/* It would be looked for below MEMORY_LOWEST. */
	static const u32 distance = (u32)NO_STATE - IMAGE;
	struct vmi_about *about =
		(struct vmi_about *)(memory + IMAGE + sizeof(struct vmi_rom_header));

	machine_hide(LOW, false);
	machine_hide(HIGH, false);
	machine_map_area(0);
	memset(memory, 0, MEMORY_SIZE);
	memcpy(memory + IMAGE, image->file, image->size);
	image_write(&about->state_distance, &distance, sizeof(distance));
	loaded = image;
}

void image_open(struct image *image, const char *path)
{
	const struct vmi_rom_header *header = (const struct vmi_rom_header *)image->file;
	FILE *f = fopen(path, "rb");

	if (!f)
		bail("%s: %s", path, strerror(errno));
	memset(image, 0, sizeof(*image));
	image->name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	image->size = (u32)fread(image->file, 1, sizeof(image->file), f);
	fclose(f);
	if (image->size < 0x1000 || header->vmi_signature != VMI_SIGNATURE)
		bail("%s is no VMI image", path);
	image->major = header->api_version_major;
}

int image_symbol(const u8 *image, const char *name)
{
	const u8 *elf = image + VMI_ELF;
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

int call_symbol(u32 call)
{
	char name[64];

	snprintf(name, sizeof(name), "VMI_%s", call_name(call));
	return image_symbol(memory + IMAGE, name);
}
