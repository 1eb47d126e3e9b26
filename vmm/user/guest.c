/* SPDX-License-Identifier: GPL-2.0-only */
/* What firmware and a guest's start do with an image: POST, Init, binding. */
#include <string.h>
#include "user.h"

u16 guest_port;

struct vmi_about *about(void)
{
	return (struct vmi_about *)(memory + IMAGE + sizeof(struct vmi_rom_header));
}

#define BASE_MEMORY 0x413 /* KiB */
#define LINE (SCRATCH + SCRATCH_SIZE - 0x100)

char post_line[VMI_POST_LINE];

bool guest_post(void)
{
	bool stepped = stepping, was_privileged = privileged;
	struct regs regs;

	if (!about()->post32)
		bail("%s has no 32-bit POST", loaded->name);
	about()->port = guest_port;
	*(u16 *)(memory + BASE_MEMORY) = 639;
	memset(&regs, 0, sizeof(regs));
	__asm__("mov %%ds, %0" : "=r"(regs.ds));
	regs.es = regs.ds;
	regs.eax = LOW + LINE;
	regs.esp = LOW + STACK_TOP - 4;
	*(u32 *)regs.esp = RETURN_ADDRESS;
	regs.eip = LOW + IMAGE + about()->post32;
	regs.eflags = 2;
	processor.interrupts = false;
	stepping = privileged = true;
	if (run(&regs) != ENDED_RETURN)
		bail("%s: POST ended at %#x, exception %u", loaded->name, regs.eip - LOW - IMAGE,
		     fault_vector);
	stepping = stepped;
	privileged = was_privileged;
	processor.interrupts = true;
	memcpy(post_line, memory + LINE, sizeof(post_line) - 1);
	return !strcmp(about()->host, "trap");
}

/* As bound since Init. */
#define NOT_ASKED (~0u)
static u32 entries[VMI_CALL_COUNT], entries_base = ~0u;

bool guest_init(u32 base)
{
	bool steps = stepping;
	struct call call;

	entries_base = ~0u;
	call_prepare(&call, VMI_ID_Init, base);
	call.before.eax = loaded->major == 6 ? base + SCRATCH : 0;
	stepping = privileged = true;
	call_run(&call, 0);
	stepping = steps;
	if (call.ended != ENDED_RETURN)
		bail("Init ended at %#x, exception %u", call.after.eip - base - IMAGE,
		     fault_vector);
	return !call.after.eax;
}

struct vmi_relocation_info guest_binding(u32 id, u32 base)
{
	struct vmi_relocation_info info = { .type = VMI_RELOC_NONE };
	bool steps = stepping;
	struct call call;

	call_prepare(&call, VMI_ID_GetRelocationInfo, base);
	call.before.eax = call_number(id);
	if (call.before.eax == VMI_NO)
		return info;
	stepping = privileged = true;
	call_run(&call, 0);
	stepping = steps;
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
	if (loaded->major != 3) {
		entries[id] = call_number(id) == VMI_NO ? 0 : base + IMAGE + call_entry(id);
	} else {
		info = guest_binding(id, base);
		entries[id] =
			info.type == VMI_RELOC_CALL || info.type == VMI_RELOC_JUMP ? info.eip : 0;
	}
	return entries[id];
}
