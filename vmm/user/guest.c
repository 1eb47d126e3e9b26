/* SPDX-License-Identifier: GPL-2.0-only */
/* What firmware and a guest's start do with an image: POST, Init, binding. */
#include <string.h>
#include "user.h"

u16 guest_port;
u16 guest_kib = 639;

struct vmi_about *about(void)
{
	return (struct vmi_about *)(memory + IMAGE + sizeof(struct vmi_rom_header));
}

#define BASE_MEMORY 0x413 /* KiB */
#define PROCESS 0x90000
#define LINE (SCRATCH + SCRATCH_SIZE - 0x100)

char post_line[VMI_POST_LINE];

/* Code of POST, where linear is physical; returns EAX. */
static u32 post_call(u32 offset, u32 eax, u32 edx, u32 ecx)
{
	bool was_privileged = privileged;
	struct regs regs;

	memset(&regs, 0, sizeof(regs));
	__asm__("mov %%ds, %0" : "=r"(regs.ds));
	regs.es = regs.ds;
	regs.eax = eax;
	regs.edx = edx;
	regs.ecx = ecx;
	regs.esp = LOW + STACK_TOP - 4;
	*(u32 *)regs.esp = RETURN_ADDRESS;
	regs.eip = LOW + IMAGE + offset;
	regs.eflags = 2;
	privileged = true;
	processor.interrupts = false;
	if (run(&regs) != ENDED_RETURN)
		bail("%s: POST ended at %#x, exception %u", loaded->name, regs.eip - LOW - IMAGE,
		     fault_vector);
	privileged = was_privileged;
	processor.interrupts = true;
	return regs.eax;
}

/* At full speed CPUID must trap: it is INT A2 meanwhile. */
static void patch_cpuid(u8 from, u8 to)
{
	u8 *image = memory + IMAGE;
	u32 i;

	for (i = VMI_ELF; i + 1 < loaded->size; i++)
		if (image[i] == from && image[i + 1] == 0xa2)
			image[i] = to;
}

bool guest_post(void)
{
	if (!about()->post32)
		bail("%s has no 32-bit POST", loaded->name);
	image_write(&about()->port, &guest_port, sizeof(guest_port));
	memcpy(memory + BASE_MEMORY, &guest_kib, sizeof(guest_kib));
	posting = true;
	patch_cpuid(0x0f, CPUID_PATCH);
	post_call(about()->post32, LOW + LINE, 0, 0);
	patch_cpuid(CPUID_PATCH, 0x0f);
	posting = false;
	memcpy(post_line, memory + LINE, sizeof(post_line) - 1);
	return !strcmp(about()->host, "trap");
}

bool guest_post_quick(void)
{
	int offset = image_symbol(loaded->file, "vmi_process_post");

	if (offset < 0)
		bail("%s has no vmi_process_post", loaded->name);
	return (u8)post_call((u32)offset, LOW + IMAGE, LOW + PROCESS, guest_port);
}

/* As bound since Init. */
#define NOT_ASKED (~0u)
static u32 entries[VMI_CALL_COUNT], entries_base = ~0u;

static bool init(u32 base)
{
	struct call call;

	entries_base = ~0u;
	call_prepare(&call, VMI_ID_Init, base);
	call.before.eax = loaded->major == 6 ? base + SCRATCH : 0;
	call_run(&call, 0);
	if (call.ended != ENDED_RETURN)
		bail("Init ended at %#x, exception %u", call.after.eip - base - IMAGE,
		     fault_vector);
	return !call.after.eax;
}

bool guest_init(u32 base)
{
	bool stepped = stepping, was_privileged = privileged, result;

	stepping = privileged = true;
	result = init(base);
	stepping = stepped;
	privileged = was_privileged;
	return result;
}

bool guest_init_ring3(u32 base)
{
	bool was_privileged = privileged, result;

	privileged = true;
	result = init(base);
	privileged = was_privileged;
	return result;
}

/* In ring 3 it leaves the guest's call sites alone. */
struct vmi_relocation_info guest_binding(u32 id, u32 base)
{
	struct vmi_relocation_info info = { .type = VMI_RELOC_NONE };
	struct call call;

	call_prepare(&call, VMI_ID_GetRelocationInfo, base);
	call.before.eax = call_number(id);
	if (call.before.eax == VMI_NO)
		return info;
	call_run(&call, 0);
	if (call.ended != ENDED_RETURN)
		bail("GetRelocationInfo ended at %#x", call.after.eip - base - IMAGE);
	info.eip = call.after.eax;
	info.type = (u8)call.after.edx;
	return info;
}

u32 guest_entry(u32 id, u32 base)
{
	struct vmi_relocation_info info;

	if (entries_base != base) {
		memset(entries, 0xff, sizeof(entries));
		entries_base = base;
	}
	if (entries[id] != NOT_ASKED)
		return entries[id];
	if (call_number(id) == VMI_NO) {
		entries[id] = base + IMAGE + (u32)call_symbol(id);
	} else if (loaded->major != 3) {
		entries[id] = base + IMAGE + call_entry(id);
	} else {
		info = guest_binding(id, base);
		entries[id] =
			info.type == VMI_RELOC_CALL || info.type == VMI_RELOC_JUMP ? info.eip : 0;
	}
	return entries[id];
}
