/* SPDX-License-Identifier: GPL-2.0-only */
/* What firmware and a guest's start do with an image: POST, Init, binding. */
#include <string.h>
#include "user.h"

u16 guest_port;

struct vmi_about *about(void)
{
	return (struct vmi_about *)(memory + IMAGE + sizeof(struct vmi_rom_header));
}

#define TRAP_MEMORY 0x90000

/* Offset in the image of a function that POST has: its ELF symbol. */
static u32 function(const char *name)
{
	int offset = image_symbol(loaded, name);

	if (offset < 0)
		bail("%s has no symbol %s", loaded->name, name);
	return (u32)offset;
}

/* A C function of POST, regparm(3), where POST runs: linear is physical. */
static u32 post_call(const char *name, u32 eax, u32 edx, u32 ecx)
{
	bool stepped = stepping, was_privileged = privileged;
	struct regs regs;
	u32 i;

	memset(&regs, 0, sizeof(regs));
	for (i = 0; i < 8; i++)
		((u32 *)&regs)[i] = random32();
	__asm__("mov %%ds, %0" : "=r"(regs.ds));
	regs.es = regs.ds;
	regs.eax = eax;
	regs.edx = edx;
	regs.ecx = ecx;
	regs.eflags = FLAG_IF;
	regs.esp = LOW + STACK_TOP - 4;
	*(u32 *)regs.esp = RETURN_ADDRESS;
	regs.eip = LOW + IMAGE + function(name);
	stepping = privileged = true;
	if (run(&regs) != ENDED_RETURN)
		bail("%s: %s ended at %#x, exception %u", loaded->name, name, regs.eip - IMAGE,
		     fault_vector);
	stepping = stepped;
	privileged = was_privileged;
	return regs.eax;
}

bool guest_post(void)
{
	u32 *way = (u32 *)(LOW + SCRATCH);

	about()->port = guest_port;
	way[0] = way[1] = 0;
	return (u8)post_call("trap_seek", LOW + IMAGE, (u32)way, 0) &&
	       (u8)post_call("trap_install", LOW + IMAGE, LOW + TRAP_MEMORY, (u32)way);
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
