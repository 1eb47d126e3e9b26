/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Init: success, again, on other CPUs; and -1 with nothing changed.
 *
 * RUN: {flat,high,pae},rom={vmi,vmi-13,vmi-6}
 * RUN: {flat,high,pae},rom=vmi,smp=8
 * RUN: flat,rom={vmi,vmi-6},cpu=486
 * RUN: {flat,high,pae},rom={vmi,vmi-13,vmi-6},smp=4,host=svm,trap=all
 */
#include "guest.h"

#define BDA_BASE_MEMORY 0x413
#define CPUID_1_EDX_NEEDED 0x130 /* TSC, MSR, CX8 */

static struct rom rom;

/* Conventional memory that is the BIOS's and the ROM's. */
static u8 *reserved(void)
{
	return phys(*(u16 *)phys(BDA_BASE_MEMORY) * 1024u);
}

#define RESERVED_BYTES 0xa000
static u8 saved[RESERVED_BYTES];

static u32 reserved_bytes(void)
{
	u32 bytes = 0xa0000 - to_phys(reserved());

	return bytes < RESERVED_BYTES ? bytes : RESERVED_BYTES;
}

/* Init from user mode: no paging here, every page is the user's. */
static void in_user_mode(void)
{
	/* mov $image+80, %eax; call *%eax; int $0x80 */
	static u8 code[] = { 0xb8, 0, 0, 0, 0, 0xff, 0xd0, 0xcd, VECTOR_USER };
	static u32 stack[256];
	struct invoke v = { .target = (u32)invoke_landing };
	u32 init = (u32)rom.image + VMI_3_INIT, out;
	static const u8 iret[] = { 0xcf };

	memcpy(code + 1, &init, sizeof(init));
	memcpy(saved, reserved(), reserved_bytes());
	v.target = (u32)iret;
	v.jump = 1;
	v.word[0] = (u32)code;
	v.word[1] = SEL_USER_CODE;
	v.word[2] = EFLAGS_1;
	v.word[3] = (u32)(stack + ARRAY_SIZE(stack));
	v.word[4] = SEL_USER_DATA;
	v.in.eflags = EFLAGS_1;
	v.in.ds = v.in.es = SEL_USER_DATA;
	invoke_catch(VECTOR_USER);
	invoke_catch(13);
	invoke(&v);
	invoke_catch_none();
	out = v.trap.regs.eax;
	expect(v.trapped && v.trap.vector == VECTOR_USER, "trap %u", v.trap.vector);
	equal(out, 0xffffffff, "result");
	expect(same(saved, reserved(), reserved_bytes()), "the ROM's memory changed");
	point("Init from user mode fails and changes nothing");
}

static void without_state(void)
{
	u32 i, bytes = reserved_bytes(), changed = 0;

	memcpy(saved, reserved(), bytes);
	memset(reserved(), 0x5a, bytes);
	equal(rom_init(&rom), 0xffffffff, "result");
	for (i = 0; i < bytes; i++)
		changed += reserved()[i] != 0x5a;
	expect(!changed, "%u bytes changed", changed);
	memcpy(reserved(), saved, bytes);
	point("Init without its memory fails and changes nothing");
}

static volatile u32 ap_result = 1, ap_done;

static void on_ap(void)
{
	ap_result = rom_init(&rom);
	ap_done = 1;
}

void guest_main(void)
{
	u32 cpu, cpus = option_number("cpus", 1);
	u32 r[4];

	ok(rom_find(&rom, option_number("major", 3)), "image");
	cpuid(1, 0, r);
	if ((r[3] & CPUID_1_EDX_NEEDED) != CPUID_1_EDX_NEEDED) {
		memcpy(saved, reserved(), reserved_bytes());
		ok(rom_init(&rom) == 0xffffffff, "Init fails on a CPU without TSC, MSR or CX8");
		ok(same(saved, reserved(), reserved_bytes()), "and changes nothing");
		return;
	}
	if (!paging())
		in_user_mode();
	without_state();
	ok(rom_init(&rom) == 0, "Init");
	ok(rom_init(&rom) == 0, "Init again");
	for (cpu = 1; cpu < cpus; cpu++) {
		ap_done = 0;
		expect(cpu_start(cpu, on_ap), "CPU %u does not start", cpu);
		while (!ap_done)
			__asm__ volatile("pause");
		equal(ap_result, 0, "result");
		point("Init on CPU %u", cpu);
	}
}
