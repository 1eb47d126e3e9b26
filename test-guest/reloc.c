/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Binding: what GetRelocationInfo says of every number, and the four relocation
 * types applied to call sites as Linux 2.6.21 (3.0) and RFC Linux (13.x) do.
 *
 * RUN: {flat,high,pae},rom=vmi,host=svm,trap=all
 * RUN: {flat,high,pae},rom={vmi,vmi-13}
 */
#include "guest.h"

static struct rom rom;

static vmi_GetRelocationInfo_fn *get_relocation_info(void)
{
	return at((u32)rom.image +
		  (rom.major == 3 ? VMI_3_GETRELOC : VMI_13_GetRelocationInfo * VMI_SLOT));
}

/* ------------------------------------------------------------------------
 * Every number
 */

/* The record of a number, or NULL. */
static const struct vmi_call_record *record(u32 number)
{
	u32 i;

	for (i = 0; i < VMI_CALL_COUNT; i++) {
		u32 n = rom_number(&rom, i);

		if (n != VMI_NO && n == number)
			return &rom.record[i];
	}
	return NULL;
}

static void number(u32 n)
{
	const struct vmi_call_record *r = record(n);
	u64 info = get_relocation_info()(n);
	u32 type = info >> 32 & 0xff, eip = (u32)info;

	expect(!(info >> 40), "number %x: reserved bytes %llx", n, info >> 40);
	if (!r && rom.major == 3) {
		expect(info == 0, "number %x: %llx, expected NONE", n, info);
	} else if (!r) {
		u64 (*nothing)(void) = at(eip);

		if (expect(type == VMI_RELOC_CALL && eip >= (u32)rom.image &&
				   eip < (u32)rom.image + rom.size,
			   "number %x: %llx, expected CALL", n, info))
			expect(nothing() == 0, "number %x: the call returned something", n);
	} else {
		u32 binding = r->binding & VMI_RELOC_TYPE;
		bool code = binding == VMI_RELOC_CALL || binding == VMI_RELOC_JUMP;

		expect(type == binding, "number %x: type %u, expected %u", n, type, binding);
		expect(eip == (code ? rom_call(&rom, (enum vmi_call)(r - rom.record)) : 0),
		       "number %x: EIP %x", n, eip);
		if (rom.major == 13)
			expect(type == VMI_RELOC_CALL, "number %x: type %u in 13.3", n, type);
	}
}

static void every_number(void)
{
	static const u32 wrong[] = { 0x100,	 0x10f,	     0x121,	0x7fffffff,
				     0x80000000, 0xffffff00, 0xffffffff };
	u32 n;

	for (n = 0; n < 256; n++)
		number(n);
	point("numbers 0 to 255");
	for (n = 0; n < ARRAY_SIZE(wrong); n++)
		number(wrong[n]);
	point("numbers beyond");
}

/* ------------------------------------------------------------------------
 * Call sites of a 3.0 guest: eight bytes of native code, padded with NOPs
 */

#define SITE 8

extern u8 site_GetCR0[], site_IODelay[], site_IRET[], site_Reboot[], site_landing[];
__asm__(".text\n"
	"site_GetCR0: mov %cr0, %eax; .skip 5, 0x90; ret\n"
	"site_IODelay: out %al, $0x80; .skip 6, 0x90; ret\n"
	"site_Reboot: .skip 8, 0xcc; ret\n"
	"site_IRET: iret; .skip 7, 0x90; ret\n"
	"site_landing: ret\n");

/* Returns the type that was applied. */
static u32 patch(u8 *site, u32 call)
{
	u64 info = get_relocation_info()(call);
	u32 type = info >> 32 & 0xff, displacement = (u32)info - ((u32)site + 5);
	u32 i;

	if (type == VMI_RELOC_NONE)
		return type;
	for (i = 0; i < SITE; i++)
		site[i] = 0x90;
	if (type != VMI_RELOC_NOP) {
		site[0] = type == VMI_RELOC_CALL ? 0xe8 : 0xe9;
		memcpy(site + 1, &displacement, sizeof(displacement));
	}
	return type;
}

static u32 run(u8 *site)
{
	u32 result;

	__asm__ volatile("call *%1" : "=a"(result) : "r"(site), "0"(0x11111111) : "memory");
	return result;
}

static u32 site_target(const u8 *site)
{
	u32 displacement;

	memcpy(&displacement, site + 1, sizeof(displacement));
	return (u32)site + 5 + displacement;
}

static void sites_3(void)
{
	u32 returned;
	u8 before[SITE];

	memcpy(before, site_GetCR0, SITE);
	if (rom_traps(&rom, VMI_ID_GetCR0)) {
		equal(patch(site_GetCR0, VMI_3_GetCR0), VMI_RELOC_CALL, "type");
	} else {
		equal(patch(site_GetCR0, VMI_3_GetCR0), VMI_RELOC_NONE, "type");
		expect(same(before, site_GetCR0, SITE), "the site changed");
	}
	equal(run(site_GetCR0), cr0(), "CR0");
	point("a site that keeps its native code: GetCR0");

	equal(patch(site_IODelay, VMI_3_IODelay), VMI_RELOC_NOP, "type");
	equal(run(site_IODelay), 0x11111111, "EAX");
	point("a site that becomes nothing: IODelay");

	equal(patch(site_Reboot, VMI_3_Reboot), VMI_RELOC_CALL, "type");
	equal(site_Reboot[0], 0xe8, "CALL");
	equal(site_target(site_Reboot), rom_symbol(&rom, "VMI_Reboot"), "target");
	point("a site that becomes a CALL: Reboot (run in reboot.c)");

	equal(patch(site_IRET, VMI_3_IRET), VMI_RELOC_JUMP, "type");
	__asm__ volatile("pushf\n\tpush %%cs\n\tpush $1f\n\tmov $0, %0\n\tjmp *%1\n"
			 "\tmov $1, %0\n1:"
			 : "=&r"(returned)
			 : "r"(site_IRET)
			 : "memory");
	equal(returned, 0, "fell through");
	equal(site_IRET[0], 0xe9, "JMP");
	point("a site that becomes a JMP: IRET");
}

/* ------------------------------------------------------------------------
 * Annotated sites of RFC Linux: pushes, a CALL whose displacement is the
 * number, LEA, from a section of its own
 */

#define ANNOTATED(name, call, native, push, pop)                                                   \
	extern u8 rfc_##name[];                                                                    \
	__asm__(".text\n"                                                                          \
		"rfc_" #name ": " native "\n"                                                      \
		"777: .skip 16 - (777b - rfc_" #name "), 0x90\n"                                   \
		"ret\n"                                                                            \
		"778: " push ".byte 0xe8; .long " #call "; " pop "\n"                              \
		"779:\n"                                                                           \
		".section .vmi.annotation, \"a\"\n"                                                \
		".long " #call ", rfc_" #name ", 778b\n"                                           \
		".byte 777b - rfc_" #name ", 779b - 778b, 0, 0\n"                                  \
		".text\n")

ANNOTATED(get_cr0, 24, "mov %cr0, %eax", "", "");
ANNOTATED(sti, 35, "sti", "", "");
ANNOTATED(cli, 36, "cli", "", "");
ANNOTATED(write_gdt, 16, "mov %ecx, (%eax,%edx,8); mov %ebx, 4(%eax,%edx,8)", "push %ebx; ",
	  "lea 4(%esp), %esp");

extern const struct vmi_annotation vmi_annotations[], vmi_annotations_end[];

static void annotate(const struct vmi_annotation *a)
{
	u8 *site = at(a->native), *code = at(a->translation);
	u32 i, displacement;

	for (i = 0; i < a->translation_size; i++) {
		site[i] = code[i];
		if (code[i] != 0xe8)
			continue;
		displacement = (u32)rom.image + a->call * VMI_SLOT - ((u32)site + i + 5);
		memcpy(site + i + 1, &displacement, sizeof(displacement));
		i += 4;
	}
}

static void sites_13(void)
{
	const struct vmi_annotation *a;
	static u32 table[8];
	u32 flags;

	for (a = vmi_annotations; a < vmi_annotations_end; a++)
		annotate(a);
	expect(vmi_annotations_end - vmi_annotations == 4, "annotations");
	equal(run(rfc_get_cr0), cr0(), "CR0");
	run(rfc_sti);
	flags = eflags();
	run(rfc_cli);
	expect((flags & VMI_IF) && !(eflags() & VMI_IF), "the interrupt flag");
	__asm__ volatile("call *%0"
			 :
			 : "r"(rfc_write_gdt), "a"(table), "d"(2), "c"(0x1234), "b"(0x5678)
			 : "memory");
	equal(table[4], 0x1234, "low word");
	equal(table[5], 0x5678, "high word");
	point("sites of RFC Linux");
}

void guest_main(void)
{
	rom_find(&rom, option_number("major", 3));
	ok(rom_init(&rom) == 0, "Init");
	every_number();
	if (rom.major == 3)
		sites_3();
	else
		sites_13();
}
