// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmi-dump [--tsv] image.rom: the headers of an image and its section
 * .vmi.calls as a table; with --tsv the table alone, tab-separated.
 *
 * Exit status 1, and one line on stderr, for a file that a guest or a BIOS
 * would not take for an image.
 */
#include <err.h>
#include <libelf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "columns.h"
#include "vmi_abi.h"

#define BLOCK 512
#define IMAGE_MAX (255 * BLOCK)

#define HEADER(member) VMI_OFFSET(struct vmi_rom_header, member)
#define ABOUT(member) (sizeof(struct vmi_rom_header) + VMI_OFFSET(struct vmi_about, member))
#define PCI(member) VMI_OFFSET(struct vmi_pci_data, member)
#define PNP(member) VMI_OFFSET(struct vmi_pnp_header, member)

static const char *file;
static unsigned char image[IMAGE_MAX + 1];
static size_t image_size; /* as the header declares it */

struct calls {
	const unsigned char *records;
	size_t count;
	const unsigned char *symbols;
	size_t symbol_count;
	Elf *elf;
	size_t strings;
};

static unsigned get16(size_t at)
{
	return image[at] | image[at + 1] << 8;
}

static unsigned get32(size_t at)
{
	return get16(at) | get16(at + 2) << 16;
}

/* A string of the image; "-" for offset 0. */
static const char *string_at(size_t at, const char *what)
{
	if (!at)
		return "-";
	if (at >= image_size || !memchr(image + at, 0, image_size - at))
		errx(1, "%s: the %s at %#zx is not inside the image: build the image again", file,
		     what, at);
	return (const char *)image + at;
}

static void read_image(void)
{
	FILE *in = fopen(file, "rb");
	size_t size;

	if (!in)
		err(1, "%s: give the path of an image, such as build/vmi.rom", file);
	size = fread(image, 1, sizeof(image), in);
	if (ferror(in))
		err(1, "%s", file);
	fclose(in);

	if (size < VMI_3_INIT || get16(HEADER(rom_signature)) != VMI_ROM_SIGNATURE)
		errx(1, "%s: no option ROM (55 AA): give an image, such as build/vmi.rom", file);
	if (get32(HEADER(vmi_signature)) != VMI_SIGNATURE)
		errx(1, "%s: an option ROM, but not of VMI (cVmi): give an image of this project",
		     file);
	image_size = image[HEADER(rom_length)] * BLOCK;
	if (image_size > size)
		errx(1, "%s: declares %zu bytes and has %zu: copy or build it again", file,
		     image_size, size);
}

static unsigned char image_sum(void)
{
	unsigned char sum = 0;

	for (size_t i = 0; i < image_size; i++)
		sum += image[i];
	return sum;
}

static size_t structure_at(size_t pointer, size_t size, unsigned signature, const char *what)
{
	size_t at = get16(pointer);

	if (!at || at + size > image_size || get32(at) != signature)
		errx(1, "%s: no %s at %#zx: build the image again", file, what, at);
	return at;
}

static void print_headers(void)
{
	size_t pci = structure_at(HEADER(pci_header_offset), sizeof(struct vmi_pci_data),
				  VMI_PCI_SIGNATURE, "PCI data structure");
	size_t pnp = structure_at(HEADER(pnp_header_offset), sizeof(struct vmi_pnp_header),
				  VMI_PNP_SIGNATURE, "$PnP header");
	unsigned major = image[HEADER(api_version_major)];

	printf("revision      %u.%u\n", major, image[HEADER(api_version_minor)]);
	printf("version       %u.%u\n", image[pci + PCI(rom_version_major)],
	       image[pci + PCI(rom_version_minor)]);
	printf("length        %zu\n", image_size);
	printf("checksum      %s\n", image_sum() ? "bad" : "ok");
	printf("licence       %s\n",
	       major == 3 ? string_at(get16(HEADER(license_offset)), "licence") : "-");
	printf("PCI           %04x:%04x class %02x%02x%02x\n", get16(pci + PCI(vendor)),
	       get16(pci + PCI(device)), image[pci + PCI(class_code)], image[pci + PCI(subclass)],
	       image[pci + PCI(interface)]);
	printf("PCI length    %u\n", get16(pci + PCI(image_length)) * BLOCK);
	printf("manufacturer  %s\n", string_at(get16(pnp + PNP(manufacturer)), "manufacturer"));
	printf("product       %s\n", string_at(get16(pnp + PNP(product)), "product"));
	if (major == 3)
		printf("virtual_top   %#x\n", get32(HEADER(virtual_top)));
	printf("host          %.8s\n", (const char *)image + ABOUT(host));
	printf("clock         %.12s\n", (const char *)image + ABOUT(clock));
	printf(get16(ABOUT(port)) ? "port          %#x\n" : "port          -\n",
	       get16(ABOUT(port)));
}

static struct calls find_calls(void)
{
	struct calls calls = { 0 };
	const Elf32_Ehdr *ehdr;
	Elf_Scn *scn = NULL;
	size_t names;

	if (elf_version(EV_CURRENT) == EV_NONE)
		errx(1, "libelf: %s", elf_errmsg(-1));
	calls.elf = elf_memory((char *)image + VMI_ELF, image_size - VMI_ELF);
	ehdr = calls.elf && elf_kind(calls.elf) == ELF_K_ELF ? elf32_getehdr(calls.elf) : NULL;
	if (!ehdr || ehdr->e_shoff % 4 || elf_getshdrstrndx(calls.elf, &names))
		errx(1, "%s: no sound ELF file at %#x: an image of another project has no table",
		     file, VMI_ELF);

	while ((scn = elf_nextscn(calls.elf, scn))) {
		const Elf32_Shdr *shdr = elf32_getshdr(scn);
		const char *name = shdr ? elf_strptr(calls.elf, names, shdr->sh_name) : NULL;
		const Elf_Data *data = shdr ? elf_getdata(scn, NULL) : NULL;

		if (!name || !data || (data->d_size && !data->d_buf)) {
			errx(1, "%s: section %zu: %s: build the image again", file, elf_ndxscn(scn),
			     elf_errmsg(-1));
		} else if (!strcmp(name, ".vmi.calls")) {
			calls.records = data->d_buf;
			calls.count = data->d_size / sizeof(struct vmi_call_record);
			if (data->d_size % sizeof(struct vmi_call_record))
				errx(1,
				     "%s: .vmi.calls is no whole number of records: build "
				     "image and vmi-dump of the same source",
				     file);
		} else if (shdr->sh_type == SHT_SYMTAB) {
			calls.symbols = data->d_buf;
			calls.symbol_count = data->d_size / sizeof(Elf32_Sym);
			calls.strings = shdr->sh_link;
		}
	}
	if (!calls.records || !calls.count)
		errx(1, "%s: no section .vmi.calls: build the image again", file);
	if (!calls.symbols)
		errx(1, "%s: no symbol table: do not strip images", file);
	return calls;
}

/*
 * Several calls may be one piece of code, and POST of a trap host changes symbols: the
 * one that the table of calls has in this place is the name, or any at the address.
 */
static const char *call_name(const struct calls *calls, size_t n, unsigned stub)
{
#define NAME(name, ...) #name,
	static const char *const table[] = { VMI_CALLS(NAME) };
#undef NAME
	const char *found = NULL;

	for (size_t i = 1; i < calls->symbol_count; i++) {
		const char *name;
		Elf32_Sym symbol;

		memcpy(&symbol, calls->symbols + i * sizeof(symbol), sizeof(symbol));
		if (symbol.st_value != stub && i != n + 1)
			continue;
		name = elf_strptr(calls->elf, calls->strings, symbol.st_name);
		if (!name || strncmp(name, "VMI_", 4))
			continue;
		name += 4;
		if (n < VMI_CALL_COUNT && !strcmp(name, table[n]))
			return name;
		if (!found)
			found = name;
	}
	return found ? found : "?";
}

static const char *inline_code(char text[COLUMN_TEXT * 10], const struct vmi_call_record *record)
{
	char *at = text;

	if (record->inline_size == VMI_NO_INLINE)
		return "-";
	if (!record->inline_size)
		return "nothing";
	if (record->stub + record->inline_size > image_size)
		return "?";
	for (unsigned i = 0; i < record->inline_size; i++)
		at += sprintf(at, "%02x", image[record->stub + i]);
	return text;
}

#define COLUMNS 14

static void print_row(const char *const cells[COLUMNS], bool tsv)
{
	static const int widths[COLUMNS] = { 25, 3, 4, 3, 6, 4, 10, 10, 8, 31, 15, 17, 5, 0 };
	const char *gap = tsv ? "\t" : " ";

	for (size_t c = 0; c < COLUMNS; c++)
		printf("%-*s%s", tsv ? 0 : widths[c], cells[c], c + 1 < COLUMNS ? gap : "\n");
}

static void print_calls(const struct calls *calls, bool tsv)
{
	static const char *const heads[COLUMNS] = { "name",	"3.0",	 "13.x",    "6.1",
						    "offset",	"size",	 "binding", "convention",
						    "segments", "in",	 "out",	    "clobber",
						    "defer",	"inline" };

	print_row(heads, tsv);
	for (size_t n = 0; n < calls->count; n++) {
		char text[6][COLUMN_TEXT], code[COLUMN_TEXT * 10], offset[16], size[16];
		struct vmi_call_record record;
		unsigned conv;

		memcpy(&record, calls->records + n * sizeof(record), sizeof(record));
		conv = record.convention & 0xf;
		snprintf(offset, sizeof(offset), "0x%04x", record.stub);
		snprintf(size, sizeof(size), "%u", record.stub_size);

		const char *const cells[COLUMNS] = {
			call_name(calls, n, record.stub),
			column_number(text[0], record.number_3),
			column_number(text[1], record.number_13),
			column_number(text[2], record.number_6),
			offset,
			size,
			column_binding(record.binding),
			column_convention(conv),
			column_segments(record.convention >> 4),
			column_registers(text[3], record.in, conv),
			column_registers(text[4], record.out, conv),
			column_registers(text[5], record.clobber, conv),
			column_defer(record.defer),
			inline_code(code, &record),
		};
		print_row(cells, tsv);
	}
}

int main(int argc, char **argv)
{
	bool tsv = argc == 3 && !strcmp(argv[1], "--tsv");
	struct calls calls;

	if (argc != 2 + tsv || argv[argc - 1][0] == '-')
		errx(1, "usage: vmi-dump [--tsv] image.rom");
	file = argv[argc - 1];
	read_image();
	calls = find_calls();
	if (!tsv) {
		print_headers();
		printf("calls         %zu\n\n", calls.count);
	}
	print_calls(&calls, tsv);
	elf_end(calls.elf);
	if (fflush(stdout))
		err(1, "writing");
	if (image_sum())
		errx(1,
		     "%s: the bytes add up to %#04x, not 0, and no BIOS will run it: "
		     "build the image again",
		     file, image_sum());
	return 0;
}
