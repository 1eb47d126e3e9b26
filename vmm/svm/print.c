/* SPDX-License-Identifier: GPL-2.0-only */
/* Lines on COM1, and the end of the machine. The guest owns the port's settings. */
#include "svm.h"

#define COM1 0x3f8
#define COM1_LINE_STATUS (COM1 + 5)
#define LINE_STATUS_THRE 0x20
#define POLLS 1000000
#define DEBUG_EXIT 0xf4
#define DEBUG_EXIT_STOPPED 0x20 /* QEMU exits with 65; guests that pass their tests, with 33 */

static void put(char c)
{
	u32 polls;

	if (c == '\n')
		put('\r');
	for (polls = 0; polls < POLLS && !(inb(COM1_LINE_STATUS) & LINE_STATUS_THRE); polls++)
		;
	outb(COM1, (u8)c);
}

static void put_number(u32 value, u32 base, u32 width)
{
	char digits[10];
	u32 n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	while (width-- > n)
		put('0');
	while (n)
		put(digits[--n]);
}

/* %s %u %x %08x */
static void vprint(const char *f, va_list args)
{
	for (; *f; f++) {
		u32 width = 0;
		const char *s;

		if (*f != '%') {
			put(*f);
			continue;
		}
		for (f++; *f >= '0' && *f <= '9'; f++)
			width = width * 10 + (u32)(*f - '0');
		if (*f == 's') {
			for (s = va_arg(args, const char *); *s; s++)
				put(*s);
		} else {
			put_number(va_arg(args, u32), *f == 'x' ? 16 : 10, width ? width : 1);
		}
	}
}

void print(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprint(format, args);
	va_end(args);
}

static void NORETURN end(void)
{
	outb(DEBUG_EXIT, DEBUG_EXIT_STOPPED);
	for (;;)
		__asm__ volatile("cli\n\thlt");
}

void fail(const char *format, ...)
{
	va_list args;

	print("vmm: ");
	va_start(args, format);
	vprint(format, args);
	va_end(args);
	print("\n");
	end();
}

void stop(struct vcpu *cpu, const char *format, ...)
{
	const struct vmcb *vmcb = cpu->vmcb;
	const struct regs *r = &cpu->regs;
	va_list args;

	smp_stop();
	print("\nvmm: CPU %u stopped: ", cpu->number);
	va_start(args, format);
	vprint(format, args);
	va_end(args);
	print("; at %04x:%08x eflags %08x cr0 %08x cr2 %08x cr3 %08x cr4 %08x", vmcb->cs.selector,
	      vmcb->eip, vmcb->eflags, vmcb->cr0, vmcb->cr2, vmcb->cr3, vmcb->cr4);
	print(" eax %08x ebx %08x ecx %08x edx %08x esi %08x edi %08x ebp %08x esp %04x:%08x\n",
	      r->eax, r->ebx, r->ecx, r->edx, r->esi, r->edi, r->ebp, vmcb->ss.selector, r->esp);
	guest_ends();
	end();
}

static void put_text(void *context, const char *text)
{
	(void)context;
	print("%s", text);
}

void guest_ends(void)
{
	static const char *const names[] = { EXIT_KINDS(EXIT_NAME) };
	u32 i, kind;

	for (i = 0; boot.stats && i < cpus; i++) {
		print("vmm: CPU %u exits:", i);
		for (kind = 0; kind < ARRAY_SIZE(names); kind++)
			print(" %s %u", names[kind], vcpus[i].exits[kind]);
		print("\n");
	}
	if (boot.stats)
		vmm_print_stats(&vmm, put_text, NULL);
}
