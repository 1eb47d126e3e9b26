/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The image as a guest finds it: scanned for and checked as Linux does, alone
 * and next to others, wherever firmware puts it; the memory map.
 *
 * RUN: {flat,high,pae},rom={vmi,vmi-13,vmi-6}
 * RUN: flat,rom=vmi+vmi-13+vmi-6,machine={pc,q35},smp={1,8}
 * RUN: flat,rom=vmi,pad={2,4,6,14,30,46,62,70}
 * RUN: flat,rom=vmi,machine={pc,q35},m={16,512,4096}
 * RUN: flat,rom=vmi-13,machine=q35,quiet
 * RUN: {flat,high,pae},rom={vmi,vmi-13,vmi-6},host=svm,trap=all,kib=604
 * RUN-FULL: flat,rom=vmi,pad={2..72..2},vga={std,none}
 * RUN-FULL: flat,rom={vmi,vmi-13,vmi-6},machine={pc,q35},m={16,64,2048,3500,4096},smp={1,2,4,8}
 */
#include "guest.h"

#define BDA_BASE_MEMORY 0x413

static u8 sum(const void *p, u32 bytes)
{
	const u8 *byte = p;
	u8 total = 0;

	while (bytes--)
		total += *byte++;
	return total;
}

static void headers(const struct rom *rom)
{
	const struct vmi_rom_header *h = rom->header;
	const struct vmi_pci_data *pci = at((u32)rom->image + h->pci_header_offset);
	const struct vmi_pnp_header *pnp = at((u32)rom->image + h->pnp_header_offset);

	expect(!sum(rom->image, rom->size), "the bytes add up to %x", sum(rom->image, rom->size));
	expect(pci->image_length == h->rom_length, "PCI length %u", pci->image_length);
	expect(pci->class_code == VMI_PCI_CLASS && pci->code_type == 0, "PCI class and code");
	expect(h->virtual_top == 0, "virtual_top %x", h->virtual_top);
	if (expect(pnp->signature == VMI_PNP_SIGNATURE && !sum(pnp, pnp->length * 16u),
		   "$PnP header")) {
		const char *maker = at((u32)rom->image + pnp->manufacturer);
		const char *product = at((u32)rom->image + pnp->product);

		expect(strsame(maker, "Open VMI"), "manufacturer %s", maker);
		expect(same(product, "VMI option ROM ", 15), "product %s", product);
		print("# %s %s: VMI %u.%u at %x, ROM version %u.%u\n", maker, product, rom->major,
		      rom->minor, rom->physical, pci->rom_version_major, pci->rom_version_minor);
	}
	expect(rom->size % VMI_SCAN_STEP == 0, "%u bytes", rom->size);
	expect(rom->size <= (rom->major == 3 ? 24 : 26) * 1024u, "%u bytes stay behind POST",
	       rom->size);
	if (rom->major == 3)
		expect(strsame(at((u32)rom->image + h->license_offset), "GPL v2"), "licence");
	point("headers of the VMI %u.%u image", rom->major, rom->minor);
}

static void works(const struct rom *rom)
{
	equal(rom_init(rom), 0, "Init");
	equal(VMI(rom, GetCR0)(), cr0(), "GetCR0");
	expect(VMI(rom, GetCycleFrequency)() > 1000000, "GetCycleFrequency: no state");
	expect(VMI(rom, GetWallclockTime)() > 1798761600000000000ull, "GetWallclockTime");
	point("the VMI %u.%u image at %x works", rom->major, rom->minor, rom->physical);
}

struct mmap_entry {
	u32 size; /* of what follows */
	u64 base, length;
	u32 type; /* 1: usable */
} __attribute__((packed));

#define MULTIBOOT_MMAP_LENGTH 44
#define MULTIBOOT_MMAP 48

static void memory_map(void)
{
	u32 left = *(u32 *)phys(boot_info + MULTIBOOT_MMAP_LENGTH);
	const struct mmap_entry *entry = phys(*(u32 *)phys(boot_info + MULTIBOOT_MMAP));
	u32 base_memory = *(u16 *)phys(BDA_BASE_MEMORY) * 1024u, top = 0, size;

	for (; left >= sizeof(*entry); left -= size, entry = at((u32)entry + size)) {
		size = entry->size + 4;
		if (entry->type == 1 && entry->base < 0xa0000)
			top = (u32)(entry->base + entry->length);
	}
	/* All images share what the first one took. */
	equal(base_memory, option_number("kib", 628) * 1024, "conventional memory");
	expect(top && top <= base_memory, "E820 has usable memory up to %x, 40:13 up to %x", top,
	       base_memory);
	point("E820 and 40:13 agree on %u KiB", base_memory / 1024);
}

void guest_main(void)
{
	static const u32 majors[] = { 3, 13, 6 };
	const char *images = option("rom");
	u32 i, found = 0, wanted = 1;
	struct rom rom;

	for (i = 0; images && images[i]; i++)
		wanted += images[i] == '+';
	for (i = 0; i < ARRAY_SIZE(majors); i++) {
		if (!rom_find(&rom, majors[i]))
			continue;
		found++;
		headers(&rom);
		works(&rom);
	}
	ok(found == wanted, "%u images of %u", found, wanted);
	memory_map();
}
