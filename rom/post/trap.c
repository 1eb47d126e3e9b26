/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The trap host at POST: look for a VMM, and make stubs for the calls that it
 * wants, of the shapes in rom/post/shapes.asm. The image refers to them then:
 * slots, bindings, and the names of host and clock.
 */
#include "rom.h"

struct shape {
	u8 row;
	u8 features;  /* all of which the VMM has */
	u8 arguments; /* row is ANY: so many on the stack, */
	u8 defer;     /* and the class; 0: whatever it is */
	u8 entry, size;
	u8 inline_size; /* from the entry on; VMI_NO_INLINE */
	u8 queues;	/* trap_stub.queues */
	u8 code[];	/* begins with JMP to the native stub */
};
#define ANY 0xff
_Static_assert(VMI_CALL_COUNT < ANY, "a row is a byte");

/* In shapes, as in rom/post/shapes.asm. */
#define SHARED 0x5a5a0000
#define ROW (VMI_HV_TAG | 0xffff)
#define VMCALL 0xc1010f /* three bytes */

extern const u8 trap_shapes[];

/* Decimal or 0x...; 0: it is none. */
static u32 number(const char *s)
{
	u32 base = 10, value = 0, digit;

	if (s[0] == '0' && (s[1] | 0x20) == 'x') {
		base = 16;
		s += 2;
	}
	for (;; s++) {
		u32 c = (u8)*s | 0x20;

		digit = c <= '9' ? c - (u32)'0' : c >= 'a' ? c - (u32)'a' + 10 : base;
		if (digit >= base)
			return *s && *s != '\n' ? 0 : value;
		value = value * base + digit;
	}
}

bool trap_seek(const struct rom_image *image, const struct state *state, struct trap_way *way)
{
	char value[8];

	if (!cpuid_present() || !(cpuid(1).ecx & CPUID_1_ECX_HYPERVISOR))
		return false;
	way->leaf =
		hypervisor_leaf(VMI_HV_SIGNATURE_EBX, VMI_HV_SIGNATURE_ECX, VMI_HV_SIGNATURE_EDX);
	way->port = image->about.port;
	if (state->options && fw_cfg_read(STR("opt/vmi/port"), value, sizeof(value)) >= 0)
		way->port = number(value);
	if (!way->leaf && (!way->port || way->port > 0xff))
		return false;
	return !state->options || fw_cfg_read(STR("opt/vmi/host"), value, sizeof(value)) < 0 ||
	       !same(value, STR("native"), 7);
}

/* The instruction that reaches the VMM: three bytes, and RET. */
static u32 transport_code(u32 transport, u32 where)
{
	u32 code;

	if (transport == VMI_HV_VMCALL)
		code = VMCALL;
	else if (transport == VMI_HV_VMMCALL)
		code = 0xd9010f;
	else if (transport == VMI_HV_OUT)
		code = 0x9000e7 | (where & 0xff) << 8; /* OUT imm8, EAX; NOP */
	else
		code = 0x9000cd | (where & 0xff00); /* INT imm8; NOP */
	return code | 0xc3000000;
}

static const struct shape *shape_of(const struct vmi_call_record *record, u32 row, u32 features)
{
	const struct shape *shape = rom_addr(trap_shapes);
	u32 arguments = record->in & VMI_S2 ? 2 : record->in & VMI_S1 ? 1 : 0;

	/* The last ones are for all. */
	while ((shape->features & ~features) ||
	       (shape->row != row && (shape->row != ANY || shape->arguments != arguments ||
				      (shape->defer && shape->defer != record->defer))))
		shape = at((u32)shape->code + shape->size);
	return shape;
}

/* Returns the end; to: there is no room. */
static u8 *stub_make(struct trap *trap, u32 row, const struct shape *shape, u8 *to, u32 native)
{
	struct trap_stub *stub = &trap->stub[row];
	u32 shared = (u32)trap_shared(trap), i;

	if ((u32)to + shape->size > (u32)trap + TRAP_SIZE)
		return to;
	for (i = 0; i < shape->size; i++)
		to[i] = shape->code[i];
	*(u32 *)(to + 1) = native - (u32)(to + 5);
	for (i = 0; i + 4 <= shape->size; i++) {
		u32 *word = at((u32)to + i);

		if ((*word & 0xffff0000) == SHARED) {
			*word += shared - SHARED;
			trap->address[trap->address_count++] = (u16)((u32)word - (u32)trap);
			if (trap->address_count == TRAP_ADDRESSES)
				return to;
		} else if (*word == ROW) {
			*word = VMI_HV_TAG | row;
		} else if ((*word & 0xffffff) == VMCALL) {
			*word = (*word & 0xff000000) | (*(u32 *)trap->code & 0xffffff);
		}
	}
	stub->entry = (u16)((u32)to - (u32)trap + shape->entry);
	stub->inline_size = shape->inline_size;
	stub->queues = shape->queues;
	/* Until Init it is a short JMP to the first byte. */
	stub->other = *(u16 *)(to + shape->entry);
	*(u16 *)(to + shape->entry) = (u16)(0xeb | (u8)(-2 - shape->entry) << 8);
	return to + shape->size;
}

static bool stubs_make(const struct rom_image *image, struct trap *trap)
{
	const struct vmi_call_record *record = call_record(image, 0);
	u8 *to = trap->stubs, *end;
	u32 row;

	for (row = 0; row < VMI_CALL_COUNT; row++, record++, to = end) {
		end = to;
		if (!trap_has(trap->calls, row))
			continue;
		end = stub_make(trap, row, shape_of(record, row, trap->features), to,
				(u32)image + record->stub);
		if (end == to)
			return false;
	}
	return true;
}

static bool any(const u32 *calls)
{
	u32 n, all = 0;

	for (n = 0; n < TRAP_MASKS; n++)
		all |= calls[n];
	return all != 0;
}

/* What is needed of an ELF file. Offsets in it are from VMI_ELF. */
struct elf_header {
	u8 ident[16];
	u32 type_machine, version, entry, program_headers, section_headers;
};

struct elf_section {
	u32 name, type, flags, address, offset, size, link, info, align, entry_size;
};
#define ELF_SYMTAB 2

struct elf_symbol {
	u32 name, value, size, info;
};

/* tools/mkrom has them in the order of the table of calls, behind an empty one. */
static struct elf_symbol *symbols(const struct rom_image *image)
{
	u32 elf = (u32)image + VMI_ELF;
	const struct elf_header *header = at(elf);
	const struct elf_section *section = at(elf + header->section_headers);

	while (section->type != ELF_SYMTAB)
		section++;
	return (struct elf_symbol *)at(elf + section->offset) + 1;
}

/* The three ways to a stub: a jump slot, what GetRelocationInfo answers, the symbol. */
static void image_refer(struct rom_image *image, struct trap *trap)
{
	struct vmi_call_record *record = call_record(image, 0);
	struct elf_symbol *symbol = symbols(image);
	u32 major = image->header.api_version_major, row;

	for (row = 0; row < VMI_CALL_COUNT; row++, record++, symbol++) {
		struct trap_stub *stub = &trap->stub[row];
		u32 *word = (u32 *)record, binding = VMI_RELOC_CALL;
		u32 number = major == 13 ? record->number_13 : record->number_6;
		u32 slot = (u32)image + number * VMI_SLOT;

		if (!stub->entry)
			continue;
		stub->binding = record->binding;
		stub->native_inline = record->inline_size;
		if (major == 3 && (record->convention & 0xf) == VMI_CONV_JUMP)
			binding = VMI_RELOC_JUMP;
		image_patch(image, word, (*word & 0xffffff) | binding << 24);
		image_not_inline(image, record);
		image_patch(image, &symbol->value, (u32)trap + stub->entry - (u32)image);
		if (major != 3 && number != VMI_NO) /* JMP rel32 */
			image_patch(image, at(slot + 1), (u32)trap + stub->entry - (slot + 5));
	}
}

bool trap_install(struct rom_image *image, u32 memory, const struct trap_way *way)
{
	struct trap *trap = at(memory + VMI_SHARED_SIZE);
	struct trap_info info;
	u32 transport = VMI_HV_OUT, n;

	zero(at(memory), VMI_SHARED_SIZE + TRAP_SIZE);
	trap->linear = (u32)trap;
	trap->physical = memory;
	trap->leaf = way->leaf;
	*(u32 *)trap->code = transport_code(transport, way->port);
	if (!trap_info(trap, &info))
		return false;
	for (transport = VMI_HV_VMCALL; !(info.transports & transport); transport <<= 1)
		if (transport == VMI_HV_INT)
			return false;
	*(u32 *)trap->code = transport_code(transport, info.where);
	trap->transport = transport;
	trap->where = info.where;
	trap->features = info.features & VMI_HV_FEATURES;
	for (n = 0; n < VMI_CALL_COUNT; n++)
		if (!VMI_IS_OWN_CALL(n))
			trap->calls[n / 32] |= 1u << n % 32;
	trap_narrow(&info, trap->calls);
	for (n = 0; n < TRAP_MASKS; n++)
		trap->calls[n] = info.calls[n];
	if (!any(trap->calls) || !stubs_make(image, trap) ||
	    !image_patch(image, rom_addr(trap_distance), (u32)trap - (u32)image))
		return false;
	image_refer(image, trap);
	image_name(image, image->about.host, sizeof(image->about.host), STR("trap"));
	if (trap_has(trap->calls, VMI_ID_GetCycleFrequency))
		image_name(image, image->about.clock, sizeof(image->about.clock), STR("vmm"));
	return true;
}

/*
 * For a 32-bit process that maps an image in place of POST, which it finds by this
 * name in the image's symbol table: the image, writable; VMI_PROCESS_SIZE bytes for
 * the ROM's memory, on a page boundary, where linear addresses are physical ones;
 * and the port that reaches the VMM. False: native.
 */
bool VMI_REGPARM vmi_process_post(struct rom_image *image, u32 memory, u32 port);
bool VMI_REGPARM vmi_process_post(struct rom_image *image, u32 memory, u32 port)
{
	struct state *state = at(memory + VMI_SHARED_SIZE + TRAP_SIZE);
	const struct trap_way way = { 0, port };

	state_start(state);
	state->no_sites = true;
	image_patch(image, &image->about.state_distance, (u32)state - (u32)image);
	return trap_install(image, memory, &way);
}
_Static_assert(VMI_SHARED_SIZE + TRAP_SIZE + STATE_KIB * 1024 <= VMI_PROCESS_SIZE, "it is enough");
