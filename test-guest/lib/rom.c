/* SPDX-License-Identifier: GPL-2.0-only */
/* Find the ROM, check it as Linux does, and read its ELF file. */
#include <elf.h>

#include "guest.h"

#define BASE_MEMORY 0x413 /* KiB */

const char *const call_name[VMI_CALL_COUNT] = {
#define VMI_X(name, n3, n13, n6, type, args, in, out, clobber, conv, seg, defer, text) #name,
	VMI_CALLS(VMI_X)
#undef VMI_X
};

static const struct {
	u8 number_3, number_13, number_6;
} numbers[VMI_CALL_COUNT] = {
#define VMI_X(name, n3, n13, n6, type, args, in, out, clobber, conv, seg, defer, text)             \
	{ n3, n13, n6 },
	VMI_CALLS(VMI_X)
#undef VMI_X
};

static const Elf32_Ehdr *elf(const struct rom *rom)
{
	return (const void *)(rom->image + VMI_ELF);
}

static const Elf32_Shdr *sections(const struct rom *rom)
{
	return (const void *)((const u8 *)elf(rom) + elf(rom)->e_shoff);
}

static const void *contents(const struct rom *rom, u32 section)
{
	return (const u8 *)elf(rom) + sections(rom)[section].sh_offset;
}

static u32 section_find(const struct rom *rom, const char *name)
{
	const char *names = contents(rom, elf(rom)->e_shstrndx);
	u32 i;

	for (i = 1; i < elf(rom)->e_shnum; i++)
		if (strsame(names + sections(rom)[i].sh_name, name))
			return i;
	return 0;
}

u32 rom_symbol(const struct rom *rom, const char *name)
{
	u32 section = section_find(rom, ".symtab");
	const Elf32_Shdr *header = &sections(rom)[section];
	const Elf32_Sym *symbol = contents(rom, section);
	const char *names = contents(rom, header->sh_link);
	u32 i;

	for (i = 0; i < header->sh_size / sizeof(*symbol); i++)
		if (strsame(names + symbol[i].st_name, name))
			return (u32)rom->image + symbol[i].st_value;
	return 0;
}

u32 rom_call(const struct rom *rom, enum vmi_call call)
{
	static const char *const symbol[VMI_CALL_COUNT] = {
#define VMI_X(name, n3, n13, n6, type, args, in, out, clobber, conv, seg, defer, text) "VMI_" #name,
		VMI_CALLS(VMI_X)
#undef VMI_X
	};

	return rom_symbol(rom, symbol[call]);
}

bool rom_at(struct rom *rom, u32 physical)
{
	const struct vmi_rom_header *header = phys(physical);
	const struct vmi_pci_data *pci =
		(const void *)((const u8 *)header + header->pci_header_offset);
	u32 section;

	if (header->rom_signature != VMI_ROM_SIGNATURE || header->vmi_signature != VMI_SIGNATURE)
		return false;
	if (!header->pci_header_offset || pci->signature != VMI_PCI_SIGNATURE ||
	    pci->vendor != VMI_PCI_VENDOR || pci->device != VMI_PCI_DEVICE)
		return false;
	rom->image = phys(physical);
	rom->physical = physical;
	rom->header = header;
	rom->size = header->rom_length * 512u;
	rom->major = header->api_version_major;
	rom->minor = header->api_version_minor;
	if (!same(elf(rom)->e_ident, ELFMAG, SELFMAG))
		return false;
	section = section_find(rom, ".vmi.calls");
	rom->record = contents(rom, section);
	return section != 0;
}

bool rom_find(struct rom *rom, u32 major)
{
	u32 physical;

	for (physical = VMI_SCAN_FIRST; physical <= VMI_SCAN_LAST; physical += VMI_SCAN_STEP)
		if (rom_at(rom, physical) && (!major || rom->major == major))
			return true;
	return false;
}

u32 rom_number(const struct rom *rom, enum vmi_call call)
{
	if (rom->major == 3)
		return numbers[call].number_3;
	return rom->major == 13 ? numbers[call].number_13 : numbers[call].number_6;
}

u32 rom_entry(const struct rom *rom, u32 number, u32 *type)
{
	vmi_GetRelocationInfo_fn *reloc = (void *)(rom->image + VMI_3_GETRELOC);
	u64 info;

	if (rom->major != 3) {
		*type = VMI_RELOC_CALL;
		return (u32)rom->image + number * VMI_SLOT;
	}
	info = reloc(number);
	*type = info >> 32 & 0xff;
	return (u32)info;
}

/* The VMM's leaf n (VMI_HV_INFO_*), or false. */
static bool vmm_leaf(u32 n, u32 r[4])
{
	u32 leaf;

	cpuid(1, 0, r);
	if (!(r[2] >> 31))
		return false;
	for (leaf = VMI_HV_LEAF_FIRST; leaf <= VMI_HV_LEAF_LAST; leaf += VMI_HV_LEAF_STEP) {
		cpuid(leaf, 0, r);
		if (r[1] == VMI_HV_SIGNATURE_EBX && r[2] == VMI_HV_SIGNATURE_ECX) {
			cpuid(leaf + n, 0, r);
			return true;
		}
	}
	return false;
}

bool rom_traps(const struct rom *rom, enum vmi_call call)
{
	const struct vmi_about *about = (const void *)(rom->header + 1);
	u32 r[4];

	return same(about->host, "trap", 5) && vmm_leaf(VMI_HV_INFO_CALLS + call / 128, r) &&
	       r[call / 32 % 4] >> call % 32 & 1;
}

/* POST has taken it from the top of the base memory; every CPU has its own there. */
static struct vmi_shared *find_shared(void)
{
	u32 physical;

	for (physical = *(u16 *)phys(BASE_MEMORY) * 1024u; physical < 0xa0000; physical += 4096) {
		struct vmi_shared *shared = phys(physical);

		if (shared->queue_next == VMI_QUEUE_EMPTY && shared->cr0 == cr0() &&
		    shared->cr3 == cr3() && shared->cr4 == cr4())
			return shared;
	}
	bail("no shared area");
}

u32 rom_init(const struct rom *rom)
{
	vmi_Init_fn *init = (void *)(rom->image + VMI_3_INIT);
	u32 result, r[4];

	_Static_assert(VMI_3_INIT == VMI_13_Init * VMI_SLOT, "Init of every revision");
	_Static_assert(VMI_3_INIT == VMI_6_Init * VMI_SLOT, "Init of every revision");
	result = init(0);
	if (!result && rom_traps(rom, VMI_ID_EnableInterrupts) &&
	    vmm_leaf(VMI_HV_INFO_VERSION, r) && (r[3] & VMI_HV_CPU_IF))
		virtual_flags = find_shared();
	return result;
}

#define CR0_WP 0x10000

void rom_alias(struct rom *rom, u32 linear)
{
	u32 physical;

	for (physical = 0; physical < 0x100000; physical += 4096)
		map(linear + physical, physical,
		    physical >= VMI_SCAN_FIRST && physical < 0xe0000 ? PTE_P : PTE_P | PTE_W);
	set_cr0(cr0() | CR0_WP);
	if (!rom_at(rom, rom->physical))
		bail("the image has gone");
	rom->image = at(linear + rom->physical);
	rom->header = at((u32)rom->image);
}
