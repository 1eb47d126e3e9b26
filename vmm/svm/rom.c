/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The VMI images: modules that are option ROMs. The firmware's POST is long over
 * when this hypervisor starts, so it does for them what firmware does: puts each
 * where there is room in the option ROM area, in memory of its own that nested
 * tables put there, calls its 32-bit POST in the guest, and takes the rights to
 * write. Other option ROMs of the machine stay where they are.
 */
#include "svm.h"
#include "vmi_abi.h"

#define ROM_AREA VMI_SCAN_FIRST
#define ROM_AREA_SIZE 0x20000u
#define ROM_BLOCK 512u
#define BASE_MEMORY 0x413u /* KiB */
#define RETURN 0x7c00u	   /* where POST returns to, and its line */
#define STACK 0x7c00u

static u8 area[ROM_AREA_SIZE] PAGE_ALIGNED;
static bool mapped[ROM_AREA_SIZE / PAGE_SIZE];
static struct module rom[MAX_MODULES];
static u32 roms, posted, place; /* place: of the one that POST runs in */

static const u8 vmmcall[] = { 0x0f, 0x01, 0xd9 };

static struct vmi_rom_header *header(u32 address)
{
	return (void *)(area + (address - ROM_AREA));
}

static bool is_rom(const struct module *module)
{
	const struct vmi_rom_header *image = at(module->start);

	return module->size > sizeof(struct vmi3_image) &&
	       image->rom_signature == VMI_ROM_SIGNATURE;
}

/* They are no modules of the guest's. */
void rom_start(void)
{
	u32 i, n = 0;

	for (i = 0; i < boot.modules; i++) {
		if (is_rom(&boot.module[i]))
			rom[roms++] = boot.module[i];
		else if (n++ != i)
			boot.module[n - 1] = boot.module[i];
	}
	boot.modules = n;
	if (!n)
		fail("no guest: only option ROMs");
	memcpy(area, at(ROM_AREA), sizeof(area));
}

bool rom_holds(u32 physical)
{
	u32 page = (physical - ROM_AREA) / PAGE_SIZE;

	return page < sizeof(mapped) && mapped[page];
}

void *rom_memory(u32 physical)
{
	return rom_holds(physical) ? header(physical) : at(physical);
}

static void map(u32 from, u32 to, u32 flags)
{
	u32 page, i;

	for (page = from & -PAGE_SIZE; page < to; page += PAGE_SIZE) {
		for (i = 0; i < cpus; i++)
			nested_map(&vcpus[i], page, (u32)header(page), flags);
		mapped[(page - ROM_AREA) / PAGE_SIZE] = true;
	}
}

/* The first 2 KiB boundary that has room behind it. */
static u32 find_place(const struct module *module)
{
	u32 from = ROM_AREA, end = from; /* free in between */

	while (end - from < module->size) {
		const struct vmi_rom_header *image = header(end);

		if (end >= ROM_AREA + ROM_AREA_SIZE)
			fail("%s: no room in the option ROM area", module->text);
		if (image->rom_signature == VMI_ROM_SIGNATURE && image->rom_length) {
			end += (image->rom_length * ROM_BLOCK + VMI_SCAN_STEP - 1) & -VMI_SCAN_STEP;
			from = end;
		} else {
			end += VMI_SCAN_STEP;
		}
	}
	return from;
}

/* The guest's memory ends where POST says. */
static void read_base_memory(void)
{
	u32 end = *(u16 *)at(BASE_MEMORY) * 1024u, i;

	for (i = 0; i < boot.ranges; i++) {
		struct range *r = &boot.range[i];

		if (r->type == RANGE_RAM && r->base < end && r->base + r->size > end &&
		    r->base + r->size <= VMI_SCAN_FIRST)
			r->size = end - r->base;
	}
}

/*
 * The guest runs the next image's POST; at VMMCALL, where this is called again,
 * that is over. False: so are all.
 */
bool rom_next(struct vcpu *cpu)
{
	const struct vmi3_image *image;
	u32 *stack = at(STACK - 4);

	if (place) {
		struct vmi_rom_header *done = header(place);

		print("%s", (const char *)at(RETURN + sizeof(vmmcall)));
		map(place, place + rom[posted - 1].size, NESTED_RIGHTS & ~PTE_W);
		memset((u8 *)done + done->rom_length * ROM_BLOCK, 0,
		       rom[posted - 1].size - done->rom_length * ROM_BLOCK);
		read_base_memory();
	}
	place = 0;
	if (posted == roms)
		return false;
	place = find_place(&rom[posted]);
	memcpy(header(place), at(rom[posted].start), rom[posted].size);
	map(place, place + rom[posted].size, NESTED_RIGHTS);
	posted++;
	image = (const void *)header(place);
	if (!image->about.post32)
		fail("%s has no 32-bit POST", rom[posted - 1].text);
	memcpy(at(RETURN), vmmcall, sizeof(vmmcall));
	*stack = RETURN;
	cpu_reset(cpu);
	enter_flat(cpu, place + image->about.post32);
	cpu->regs.eax = RETURN + sizeof(vmmcall);
	cpu->regs.esp = (u32)stack;
	return true;
}

/* POST is running, and it is not POST's own trap. */
bool rom_posting(const struct vcpu *cpu)
{
	return place && cpu->vmcb->eip == RETURN + sizeof(vmmcall);
}
