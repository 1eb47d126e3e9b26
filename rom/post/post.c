/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * POST, the part in C: flat protected mode, interrupts off, called once by
 * rom/post/entry.asm. Takes the state's memory, fills it in, tells the image where
 * it is, and words the banner.
 */
#include "rom.h"
#include "version.h"

#define RETF 0xcbu
#define BASE_MEMORY_LEAST 128 /* KiB that must remain */
#define IMAGES 3	      /* that may have a trap host, each with its own memory */

struct line {
	char *at, *end;
};

static void put(struct line *line, const char *s)
{
	while (*s && line->at < line->end)
		*line->at++ = *s++;
	*line->at = 0;
}

static void put_number(struct line *line, u32 value, u32 base)
{
	char digits[11];
	char *p = digits + 10;

	*p = 0;
	do {
		u32 digit = value % base;

		*--p = (char)(digit < 10 ? '0' + digit : 'A' + digit - 10);
		value /= base;
	} while (value);
	put(line, p);
}

bool image_patch(struct rom_image *image, u32 *word, u32 value)
{
	const volatile u8 *bytes = (const volatile u8 *)word;
	u8 *checksum = (u8 *)image + ROM_CHECKSUM;
	u8 delta = 0;
	u32 i;

	for (i = 0; i < 4; i++)
		delta += bytes[i];
	*(volatile u32 *)word = value;
	for (i = 0; i < 4; i++)
		delta -= bytes[i];
	*checksum += delta;
	return *(volatile u32 *)word == value;
}

/* Whether it is on: present and not "0" or "off"; absent: -1, or -2 where all are (fw_cfg_read). */
static int option(const char *name)
{
	char value[8];
	int n = fw_cfg_read(name, value, sizeof(value));

	return n < 0 ? n : value[0] != '0' && !same(value, STR("off"), 4);
}

static void options_read(struct state *state)
{
	int quiet = option(STR("opt/vmi/quiet"));

	state->options = quiet != -2;
	state->quiet = quiet > 0;
	if (!state->options)
		return;
	state->no_sites = !option(STR("opt/vmi/patch"));
	state->no_poweroff = !option(STR("opt/vmi/poweroff"));
}

void image_name(struct rom_image *image, char *field, u32 size, const char *name)
{
	u32 i;

	for (i = 0; i < size; i += 4) {
		u32 word = 0, n;

		for (n = 0; n < 32; n += 8) {
			word |= (u32)(u8)*name << n;
			name += *name != 0;
		}
		image_patch(image, (u32 *)(field + i), word);
	}
}

#define APIC_DEFAULT 0xfee00000
#define APIC_NOT_ENABLED 1 /* and does not change that */

/* The Pentium has no IA32_APIC_BASE. */
static u32 apic_without_msr(void)
{
	struct cpuid one;

	if (!cpuid_present())
		return APIC_NOT_ENABLED;
	one = cpuid(1);
	if (!(one.edx & CPUID_1_EDX_APIC))
		return APIC_NOT_ENABLED;
	return (one.eax >> 8 & 15) == 5 ? APIC_DEFAULT | APIC_BASE_ENABLED : 0;
}

/* Taken below the state. */
static u32 pages_kib(const struct state *state)
{
	if (!state->window)
		return 0;
	return WINDOW_KIB + (state->clock.kind == CLOCK_kvmclock ? KVMCLOCK_KIB : 0);
}

/* Why: behind the host's name. */
static void banner(struct line *line, const struct rom_image *image, const struct post *post,
		   const char *why)
{
	const struct trap *trap = trap_find(image);
	const struct state *state = post->state;
	u32 lowest = trap ? trap->physical : state->physical - pages_kib(state) * 1024;

	put(line, STR("VMI ROM "));
	put(line, STR(VERSION));
	put(line, STR(": VMI "));
	put_number(line, image->header.api_version_major, 10);
	put(line, STR("."));
	put_number(line, image->header.api_version_minor, 10);
	put(line, STR(" at "));
	put_number(line, (u32)image, 16);
	put(line, STR(", host "));
	put(line, image->about.host);
	put(line, why);
	put(line, STR(", clock "));
	put(line, image->about.clock);
	put(line, STR(", "));
	put_number(line, post->taken_kib, 10);
	put(line, STR(" KiB at "));
	put_number(line, lowest, 16);
	put(line, STR("\r\n"));
}

static bool refuse(struct line *line, const char *why, u32 value, u32 base)
{
	put(line, STR("VMI ROM: not installed, "));
	put(line, why);
	put_number(line, value, base);
	put(line, base == 10 ? STR(" KiB\r\n") : STR("\r\n"));
	return false;
}

/* What an earlier image's POST left above conventional memory, or NULL. */
static struct state *state_above(u32 kib)
{
	u32 most = kib + WINDOW_KIB + KVMCLOCK_KIB + IMAGES * TRAP_KIB;

	for (; kib <= most && kib < 640; kib += 4) {
		struct state *state = at(kib * 1024);

		if (is_state(state))
			return state;
	}
	return NULL;
}

/* Family 6 or 15 has them [SDM vol. 2, NOP]; of other makers', only those that came later. */
static bool has_long_nops(void)
{
	struct cpuid one;
	u32 family;

	if (!cpuid_present())
		return false;
	one = cpuid(1);
	family = one.eax >> 8 & 15;
	return (family == 6 || family == 15) && (one.edx & CPUID_1_EDX_SSE2);
}

bool state_start(struct state *state)
{
	zero(state, sizeof(*state));
	state->size = sizeof(*state);
	state->physical = (u32)state;
	state->long_nops = has_long_nops();
	state->magic = STATE_MAGIC;
	return *(volatile u32 *)&state->magic == STATE_MAGIC;
}

extern const u8 start_code[];

/* Empty, but for the code that other CPUs start in. */
static void window_start(struct window *window)
{
	zero(window, sizeof(*window));
	copy(window->code, rom_addr(start_code), sizeof(window->code));
}

/*
 * Find the memory that an earlier image took, or take it and fill it in. False,
 * and a line that says why: nothing has changed.
 */
static bool install(struct rom_image *image, struct post *post, struct line *line)
{
	u16 *base_memory = at(BDA_BASE_MEMORY);
	u32 old_kib = *base_memory;
	u32 new_kib = (old_kib - STATE_KIB) & ~3u;
	struct state *state;
	bool written;

	if (old_kib > 640 ||
	    old_kib < BASE_MEMORY_LEAST + KVMCLOCK_KIB + WINDOW_KIB + STATE_KIB + 4)
		return refuse(line, STR("base memory is "), old_kib, 10);
	state = state_above(old_kib);
	if (state) {
		new_kib = old_kib;
	} else {
		state = at(new_kib * 1024);
		if (!state_start(state))
			return refuse(line, STR("no memory at "), (u32)state, 16);
		state->apic_base = apic_without_msr();
		options_read(state);
		acpi_find(&state->acpi);
	}
	written = image_patch(image, &image->about.state_distance, (u32)state - (u32)image);
	if (new_kib < old_kib)
		clock_choose(&state->clock, written && state->acpi.cpus <= CPUS);
	/* A BIOS that has the image in real ROM reports 636 KiB in E820 at any rate. */
	if (new_kib < old_kib && written) {
		state->window = true;
		new_kib -= pages_kib(state);
		window_start(window_of(state));
		if (state->clock.kind == CLOCK_kvmclock)
			zero(kvmclock_of(state), sizeof(struct kvmclock));
	}
	if (!state->window)
		state->apic_base = APIC_NOT_ENABLED;
	*base_memory = (u16)new_kib;
	post->taken_kib = old_kib - new_kib;
	post->state = state;
	return true;
}

/*
 * A virtual machine's TSC does not depend on the power states of a processor,
 * and all that the ROM says of time depends on it; CPUID often does not say so.
 */
static bool tsc_is_constant_and_untold(void)
{
	u32 last = cpuid(CPUID_EXTENDED).eax;

	if (!(cpuid(1).ecx & CPUID_1_ECX_HYPERVISOR) || last - CPUID_BRAND >= 0x10000)
		return false;
	return last < CPUID_POWER || !(cpuid(CPUID_POWER).edx & CPUID_POWER_EDX_CONSTANT_TSC);
}

/*
 * The image ends where .post begins: the firmware may put the next one there.
 * An entry that is called again returns at once.
 */
static void shrink(struct rom_image *image)
{
	u32 blocks = ((u32)rom_addr(rom_post) - (u32)image) / ROM_BLOCK;
	struct vmi_pci_data *pci = at((u32)image + image->header.pci_header_offset);
	u32 *length = at((u32)&pci->image_length);

	image_patch(image, at((u32)&image->about.port), image->about.port); /* post32 is 0 */
	image_patch(image, (u32 *)image, (*(u32 *)image & 0xffff) | blocks << 16 | RETF << 24);
	image_patch(image, length, (*length & 0xffff0000) | blocks);
}

/* Calls that native code or the ROM's serves better depending on the machine. */
static void bind(struct rom_image *image, const struct state *state)
{
	struct vmi_call_record *record = call_record(image, 0);
	bool time = state->window && state->clock.apic.per_cycle && state->acpi.cpus <= CPUS;
	u32 n;

	for (n = image->about.call_count; n; n--, record++) {
		u32 *word = (u32 *)record, policy = record->binding & VMI_POLICY;
		bool call = time;

		if (policy == VMI_POLICY_START)
			call = time && state->acpi.cpus > 1;
		if (policy == VMI_POLICY_CPUID)
			call = time && !state->no_sites && tsc_is_constant_and_untold();
		if (policy)
			image_patch(image, word,
				    (*word & 0xffffff) |
					    (policy | (call ? VMI_RELOC_CALL : VMI_RELOC_NONE))
						    << 24);
	}
}

/* The trap host, where a VMM answers; what the banner says of one that had to do without. */
static const char *trap_start(struct rom_image *image, struct post *post)
{
	u16 *base_memory = at(BDA_BASE_MEMORY);
	u32 kib = (*base_memory & ~3u) - TRAP_KIB;
	struct trap_way way;

	if (!trap_seek(image, post->state, &way))
		return STR("");
	if (kib < BASE_MEMORY_LEAST || kib >= 640)
		return STR(" (no memory for trap)");
	if (trap_install(image, kib * 1024, &way)) {
		post->taken_kib += *base_memory - kib;
		*base_memory = (u16)kib;
	}
	return STR("");
}

/*
 * One step of POST. True: enable interrupts, halt, and call again; false: done,
 * post->line is for the console.
 */
bool post_main(struct rom_image *image, struct post *post);
bool post_main(struct rom_image *image, struct post *post)
{
	struct line line = { post->line, post->line + sizeof(post->line) - 1 };
	struct state *state;
	const char *trap;

	if (!post->state && !install(image, post, &line))
		return false;
	state = post->state;
	if (post->taken_kib) { /* otherwise an earlier image has done all this */
		if (clock_measure(&state->clock, post))
			return true;
		clock_start(state);
		hpet_find(state);
	}
	image_name(image, image->about.clock, sizeof(image->about.clock),
		   clock_name(state->clock.kind));
	clock_bind(image, state->clock.kind);
	bind(image, state);
	trap = trap_start(image, post); /* keeps what the records say of the native stubs */
	shrink(image);
	if (!state->quiet)
		banner(&line, image, post, trap);
	return false;
}
