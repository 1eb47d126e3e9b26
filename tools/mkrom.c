// SPDX-License-Identifier: GPL-2.0-only
/*
 * mkrom linked.elf image.rom: an option ROM from a linked image.
 * mkrom linked.elf: rom_resident, at which .post is to be linked.
 *
 * The file that comes out is the 64 bytes of section .header followed by an ELF
 * file: same sections, at the same offsets, with a symbol table of the calls.
 * The last section, .post, is what the image gives up when POST ends: symbols
 * and section headers are before it. Fills in what depends on the finished
 * file: lengths and checksums.
 */
#include <err.h>
#include <fcntl.h>
#include <libelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmi_abi.h"

#define BLOCK 512

struct buffer {
	unsigned char *data;
	size_t size;
};

static void __attribute__((noreturn)) elf_die(const char *what)
{
	errx(1, "%s: %s", what, elf_errmsg(-1));
}

static size_t append(struct buffer *buffer, const void *data, size_t size)
{
	size_t at = buffer->size;

	buffer->data = realloc(buffer->data, at + size);
	if (!buffer->data)
		err(1, "memory");
	memcpy(buffer->data + at, data, size);
	buffer->size += size;
	return at;
}

static size_t append_string(struct buffer *buffer, const char *s)
{
	return append(buffer, s, strlen(s) + 1);
}

static Elf32_Shdr *add_section(Elf *elf, struct buffer *names, const char *name, void *data,
			       size_t size, Elf_Type type)
{
	Elf_Scn *scn = elf_newscn(elf);
	Elf_Data *d = scn ? elf_newdata(scn) : NULL;
	Elf32_Shdr *shdr = scn ? elf32_getshdr(scn) : NULL;

	if (!d || !shdr)
		elf_die("new section");
	d->d_buf = data;
	d->d_size = size;
	d->d_type = type;
	d->d_align = 1;
	shdr->sh_name = append_string(names, name);
	shdr->sh_size = size;
	return shdr;
}

/*
 * What a guest binds by name, in the order of the table of calls (rom/post/trap.c),
 * and what a process does. A debugger has the linked file.
 */
#define NAME(name, ...) "VMI_" #name,
static const char *const kept[] = { VMI_CALLS(NAME) "vmi_process_post" };
#undef NAME

static void copy_symbols(Elf *in, Elf_Scn *scn, const unsigned *new_index, struct buffer *symbols,
			 struct buffer *strings)
{
	const Elf32_Shdr *shdr = elf32_getshdr(scn);
	Elf_Data *data = elf_getdata(scn, NULL);
	const Elf32_Sym *sym = data->d_buf;
	size_t count = data->d_size / sizeof(*sym);

	for (size_t k = 0; k < sizeof(kept) / sizeof(*kept); k++) {
		Elf32_Sym copy;
		size_t i = 1;

		while (i < count && strcmp(elf_strptr(in, shdr->sh_link, sym[i].st_name), kept[k]))
			i++;
		if (i == count || sym[i].st_shndx >= SHN_LORESERVE || !new_index[sym[i].st_shndx])
			errx(1, "%s: no such function", kept[k]);
		copy = sym[i];
		copy.st_name = append_string(strings, kept[k]);
		copy.st_shndx = new_index[copy.st_shndx];
		copy.st_other = STV_DEFAULT;
		append(symbols, &copy, sizeof(copy));
	}
}

/*
 * Writes the ELF file to fd; returns the 64 bytes that stand before it. *post: where .post begins;
 * *resident: the bytes that have to be before it.
 */
static const unsigned char *write_elf(Elf *in, int fd, size_t *post, size_t *resident)
{
	struct buffer names = { 0 }, symbols = { 0 }, strings = { 0 };
	const unsigned char *header = NULL;
	unsigned new_index[SHN_LORESERVE >> 8] = { 0 };
	size_t names_in, end = 0, last = 0;
	Elf *out = elf_begin(fd, ELF_C_WRITE, NULL);
	Elf32_Ehdr *ehdr = out ? elf32_newehdr(out) : NULL;
	Elf_Scn *scn = NULL, *symtab = NULL;
	Elf32_Shdr *shdr;

	if (!ehdr || elf_getshdrstrndx(in, &names_in))
		elf_die("mkrom");
	elf_flagelf(out, ELF_C_SET, ELF_F_LAYOUT);
	append(&names, "", 1);
	append(&strings, "", 1);
	append(&symbols, &(Elf32_Sym){ 0 }, sizeof(Elf32_Sym));

	while ((scn = elf_nextscn(in, scn))) {
		const Elf32_Shdr *from = elf32_getshdr(scn);
		const char *name = elf_strptr(in, names_in, from->sh_name);
		Elf_Data *data = elf_getdata(scn, NULL);

		if (from->sh_type == SHT_SYMTAB)
			symtab = scn;
		if (!(from->sh_flags & SHF_ALLOC) || !from->sh_size)
			continue;
		if (!strcmp(name, ".header")) {
			if (from->sh_size != VMI_ELF)
				errx(1, ".header has %u bytes, not %u", from->sh_size, VMI_ELF);
			header = data->d_buf;
			continue;
		}
		if (from->sh_flags & SHF_WRITE)
			errx(1, "section %s is writable: an image has none", name);
		if (elf_ndxscn(scn) >= sizeof(new_index) / sizeof(*new_index))
			errx(1, "too many sections");
		shdr = add_section(out, &names, name, data->d_buf, data->d_size, ELF_T_BYTE);
		shdr->sh_type = SHT_PROGBITS;
		shdr->sh_flags = from->sh_flags & (SHF_ALLOC | SHF_EXECINSTR);
		shdr->sh_addr = from->sh_addr;
		shdr->sh_offset = from->sh_addr - VMI_ELF;
		shdr->sh_addralign = 1;
		new_index[elf_ndxscn(scn)] = ++last;
		if (!strcmp(name, ".post"))
			*post = from->sh_addr;
		else if (end < shdr->sh_offset + shdr->sh_size)
			end = shdr->sh_offset + shdr->sh_size;
	}
	if (!header || !symtab || !*post)
		errx(1, "no .header section, no .post or no symbols: not an image");
	copy_symbols(in, symtab, new_index, &symbols, &strings);

	shdr = add_section(out, &names, ".symtab", symbols.data, symbols.size, ELF_T_SYM);
	shdr->sh_type = SHT_SYMTAB;
	shdr->sh_offset = end = (end + 3) & ~3u;
	shdr->sh_addralign = 4;
	shdr->sh_entsize = sizeof(Elf32_Sym);
	shdr->sh_info = 1;
	shdr->sh_link = last + 2;
	end += symbols.size;
	shdr = add_section(out, &names, ".strtab", strings.data, strings.size, ELF_T_BYTE);
	shdr->sh_type = SHT_STRTAB;
	shdr->sh_offset = end;
	shdr->sh_addralign = 1;
	end += strings.size;
	shdr = add_section(out, &names, ".shstrtab", NULL, 0, ELF_T_BYTE);
	shdr->sh_type = SHT_STRTAB;
	shdr->sh_offset = end;
	shdr->sh_addralign = 1;
	shdr->sh_size = names.size;
	Elf_Data *d = elf_getdata(elf_getscn(out, last + 3), NULL);

	d->d_buf = names.data;
	d->d_size = names.size;
	end += names.size;

	ehdr->e_ident[EI_CLASS] = ELFCLASS32;
	ehdr->e_ident[EI_DATA] = ELFDATA2LSB;
	ehdr->e_type = ET_DYN;
	ehdr->e_machine = EM_386;
	ehdr->e_version = EV_CURRENT;
	ehdr->e_entry = VMI_3_INIT;
	ehdr->e_shoff = (end + 3) & ~3u;
	ehdr->e_shstrndx = last + 3;
	end = ehdr->e_shoff + (last + 4) * sizeof(Elf32_Shdr);
	*resident = VMI_ELF + end;
	if (elf_update(out, ELF_C_WRITE) < 0)
		elf_die("writing the ELF file");
	elf_end(out);
	return header;
}

static unsigned char sum(const unsigned char *data, size_t size)
{
	unsigned char total = 0;

	while (size--)
		total += *data++;
	return total;
}

static void put16(unsigned char *at, unsigned value)
{
	at[0] = value & 0xff;
	at[1] = value >> 8 & 0xff;
}

static unsigned get16(const unsigned char *at)
{
	return at[0] | at[1] << 8;
}

/* Lengths and checksums. The bytes of .post add up to 0 by themselves. */
static void finish(struct buffer *image, size_t post)
{
	static const unsigned char zeros[VMI_SCAN_STEP];
	unsigned char *rom;
	unsigned pci, pnp, blocks;

	append(image, zeros, 1);			    /* .post's checksum */
	append(image, zeros, -image->size % VMI_SCAN_STEP); /* the next image's boundary */
	rom = image->data;
	rom[image->size - 1] -= sum(rom + post, image->size - post);
	blocks = image->size / BLOCK;
	if (blocks > 127)
		errx(1, "image has %zu bytes, more than 65,024", image->size);
	rom[VMI_OFFSET(struct vmi_rom_header, rom_length)] = blocks;
	pci = get16(rom + VMI_OFFSET(struct vmi_rom_header, pci_header_offset));
	put16(rom + pci + VMI_OFFSET(struct vmi_pci_data, image_length), blocks);
	pnp = get16(rom + VMI_OFFSET(struct vmi_rom_header, pnp_header_offset));
	rom[pnp + VMI_OFFSET(struct vmi_pnp_header, checksum)] -=
		sum(rom + pnp, sizeof(struct vmi_pnp_header));
	rom[VMI_OFFSET(struct vmi_rom_header, rom_entry) + 3] -= sum(rom, image->size);
}

int main(int argc, char **argv)
{
	struct buffer image = { 0 };
	unsigned char block[4096];
	FILE *elf_file, *out;
	size_t got, resident, post = 0;
	Elf *in;
	int fd;

	if (argc != 2 && argc != 3)
		errx(1, "usage: mkrom linked.elf [image.rom]");
	if (elf_version(EV_CURRENT) == EV_NONE)
		elf_die("libelf");
	fd = open(argv[1], O_RDONLY);
	if (fd < 0)
		err(1, "%s", argv[1]);
	in = elf_begin(fd, ELF_C_READ, NULL);
	if (!in || elf_kind(in) != ELF_K_ELF)
		errx(1, "%s: not an ELF file", argv[1]);
	elf_file = tmpfile();
	if (!elf_file)
		err(1, "temporary file");

	append(&image, write_elf(in, fileno(elf_file), &post, &resident), VMI_ELF);
	if (argc == 2) {
		printf("%zu\n", (resident + VMI_SCAN_STEP - 1) / VMI_SCAN_STEP * VMI_SCAN_STEP);
		return 0;
	}
	if (resident > post)
		errx(1, "%zu bytes stay, and .post is at %zu: link it at what mkrom %s prints",
		     resident, post, argv[1]);
	rewind(elf_file);
	while ((got = fread(block, 1, sizeof(block), elf_file)))
		append(&image, block, got);
	finish(&image, post);

	out = fopen(argv[2], "wb");
	if (!out || fwrite(image.data, 1, image.size, out) != image.size || fclose(out))
		err(1, "%s", argv[2]);
	elf_end(in);
	close(fd);
	return 0;
}
