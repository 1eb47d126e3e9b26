/* SPDX-License-Identifier: GPL-2.0-only */
/* Descriptor tables, traps, the PICs and the PIT; the start of every guest. */
#include "guest.h"

#define PIC1 0x20
#define PIC2 0xa0
#define PIC_EOI 0x20
#define PIC_READ_IRR 0x0a
#define PIT_0 0x40
#define PIT_CONTROL 0x43
#define PIT_ONE_SHOT 0x30 /* channel 0, 16 bits, mode 0 */
#define PIT_STATUS_0 0xe2 /* latch the status of channel 0 */
#define PIT_STATUS_OUT 0x80

#define SEGMENT_TSS 0x0089
#define SEGMENT_LDT 0x0082
#define GATE_INTERRUPT 0x8e00
#define GATE_USER 0xee00

void guest_start(void);
void trap_dispatch(struct trap *trap);
extern const char trap_entry[];

u64 gdt[GDT_ENTRIES] __attribute__((aligned(16)));
u64 idt[256] __attribute__((aligned(16)));
u64 ldt[8] __attribute__((aligned(16)));
u32 tss[27] __attribute__((aligned(128)));
static u8 trap_stack[8192] __attribute__((aligned(16)));

volatile u32 irq_count[16];
static trap_handler handlers[256];

u64 descriptor(u32 base, u32 limit, u16 flags)
{
	u32 low = base << 16 | (limit & 0xffff);
	u32 high = (base & 0xff000000) | (limit & 0xf0000) | (base >> 16 & 0xff);

	high |= (u32)(flags & 0xf0ff) << 8;
	return (u64)high << 32 | low;
}

trap_handler on_trap(u32 vector, trap_handler handler)
{
	trap_handler before = handlers[vector];

	handlers[vector] = handler;
	return before;
}

struct vmi_shared *virtual_flags;

void virtual_on(void)
{
	if (!virtual_flags)
		return;
	virtual_flags->interrupts = VMI_IF;
	if (virtual_flags->pending)
		__asm__ volatile("push %%ebp\n\tmov %0, %%ebp\n\tvmmcall\n\tpop %%ebp"
				 :
				 : "i"(VMI_HV_TAG | VMI_HV_DELIVER)
				 : "cc", "memory");
}

void trap_dispatch(struct trap *trap)
{
	u32 irq = trap->vector - VECTOR_IRQ;
	trap_handler handler = handlers[trap->vector];

	if (irq < 16) {
		irq_count[irq]++;
		if (irq >= 8)
			outb(PIC2, PIC_EOI);
		outb(PIC1, PIC_EOI);
		if (handler)
			handler(trap);
		virtual_on();
		return;
	}
	if (handler && handler(trap)) {
		virtual_on();
		return;
	}
	bail("trap %u, error %x, at %x:%08x, eflags %x, cr2 %08x, from %08x", trap->vector,
	     trap->error, trap->cs, trap->eip, trap->eflags, cr2(), *(u32 *)(trap + 1));
}

void irq_unmask(u32 irq)
{
	u16 port = irq < 8 ? PIC1 + 1 : PIC2 + 1;

	outb(port, inb(port) & (u8) ~(1u << (irq & 7)));
	if (irq >= 8)
		irq_unmask(2);
}

void irq_mask_all(void)
{
	outb(PIC1 + 1, 0xff);
	outb(PIC2 + 1, 0xff);
}

static void pic_start(void)
{
	outb(PIC1, 0x11);
	outb(PIC1 + 1, VECTOR_IRQ);
	outb(PIC1 + 1, 4);
	outb(PIC1 + 1, 1);
	outb(PIC2, 0x11);
	outb(PIC2 + 1, VECTOR_IRQ + 8);
	outb(PIC2 + 1, 2);
	outb(PIC2 + 1, 1);
	irq_mask_all();
}

void pit_once(u32 ticks)
{
	outb(PIT_CONTROL, PIT_ONE_SHOT);
	outb(PIT_0, (u8)ticks);
	outb(PIT_0, (u8)(ticks >> 8));
}

void irq0_pend(void)
{
	irq_unmask(0);
	pit_once(20);
	do
		outb(PIC1, PIC_READ_IRR);
	while (!(inb(PIC1) & 1));
}

void irq0_quiet(void)
{
	irq_unmask(0);
	pit_once(20);
	do
		outb(PIT_CONTROL, PIT_STATUS_0);
	while (!(inb(PIT_0) & PIT_STATUS_OUT));
	__asm__ volatile("sti\n\tnop\n\tnop\n\tcli");
}

static void tables_start(void)
{
	struct {
		u16 limit;
		u32 base;
	} __attribute__((packed)) dtr;
	u32 i;

	gdt[1] = descriptor(0, 0xfffff, 0xc09b);
	gdt[2] = descriptor(0, 0xfffff, 0xc093);
	gdt[3] = descriptor(0, 0xfffff, 0xc0fb);
	gdt[4] = descriptor(0, 0xfffff, 0xc0f3);
	gdt[SEL_TSS / 8] = descriptor((u32)tss, sizeof(tss) - 1, SEGMENT_TSS);
	gdt[SEL_LDT / 8] = descriptor((u32)ldt, sizeof(ldt) - 1, SEGMENT_LDT);
	tss[1] = (u32)(trap_stack + sizeof(trap_stack));
	tss[2] = SEL_DATA;
	tss[25] = sizeof(tss) << 16; /* no I/O bitmap */
	for (i = 0; i < 256; i++) {
		u32 entry = (u32)trap_entry + i * 16;
		u32 type = i == VECTOR_USER || i == 3 ? GATE_USER : GATE_INTERRUPT;

		idt[i] = (u64)((entry & 0xffff0000) | type) << 32 | SEL_CODE << 16 |
			 (entry & 0xffff);
	}
	dtr.limit = sizeof(gdt) - 1;
	dtr.base = (u32)gdt;
	__asm__ volatile("lgdt %0" : : "m"(dtr));
	dtr.limit = sizeof(idt) - 1;
	dtr.base = (u32)idt;
	__asm__ volatile("lidt %0" : : "m"(dtr));
	__asm__ volatile("ltr %w0\n\tlldt %w1" : : "r"(SEL_TSS), "r"(SEL_LDT));
}

/* ------------------------------------------------------------------------
 * The multiboot command line
 */

#define MULTIBOOT_LOADER 0x2badb002
#define MULTIBOOT_CMDLINE 16 /* offset of its physical address */

extern u32 boot_magic;

const char *option(const char *name)
{
	const char *p = boot_info ? phys(*(u32 *)phys(boot_info + MULTIBOOT_CMDLINE)) : "";
	size_t n = length(name);
	static char value[32];
	u32 i;

	for (; *p; p++) {
		if (p[-1] != ' ' || !same(p, name, n) || (p[n] != '=' && p[n] != ' ' && p[n]))
			continue;
		if (p[n] != '=')
			return "";
		for (p += n + 1, i = 0; *p && *p != ' ' && i < sizeof(value) - 1; p++)
			value[i++] = *p;
		value[i] = 0;
		return value;
	}
	return NULL;
}

u32 option_number(const char *name, u32 otherwise)
{
	const char *p = option(name);
	u32 value = 0;

	if (!p || !*p)
		return otherwise;
	for (; *p; p++)
		value = value * 10 + (u32)(*p - '0');
	return value;
}

void guest_start(void)
{
	if (boot_magic != MULTIBOOT_LOADER)
		boot_info = 0;
	serial_start();
	tables_start();
	pic_start();
	guest_main();
	finish();
}
