/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ports. The guest has them all; the hypervisor looks at those that could
 * switch A20 off, which would move its own memory, at its own port, and, where
 * counters are wanted, at the usual ways out.
 */
#include "svm.h"

#define PORT_KEYBOARD_DATA 0x60
#define PORT_KEYBOARD 0x64
#define KEYBOARD_WRITE_OUTPUT 0xd1
#define KEYBOARD_A20_OFF 0xdd
#define KEYBOARD_RESET 0xfe
#define OUTPUT_A20 0x02
#define PORT_92 0x92
#define PORT_92_A20 0x02
#define PORT_92_RESET 0x01
#define PORT_DEBUG_EXIT 0xf4
#define FADT_PM1_CONTROL 64
#define PM1_SLEEP 0x2000u

static u32 pm1_control;	      /* ACPI's port to power off; 0: none, or nobody wants to know */
static bool output_port_next; /* the byte for port 60 is the controller's output port */

static void intercept(u8 *bitmap, u32 port)
{
	bitmap[port / 8] |= (u8)(1u << port % 8);
}

void io_start(u8 *bitmap)
{
	intercept(bitmap, HYPERCALL_PORT);
	intercept(bitmap, PORT_KEYBOARD_DATA);
	intercept(bitmap, PORT_KEYBOARD);
	intercept(bitmap, PORT_92);
	if (!boot.stats)
		return;
	intercept(bitmap, PORT_DEBUG_EXIT);
	if (acpi_table("FACP"))
		pm1_control = acpi_word(acpi_table("FACP"), FADT_PM1_CONTROL);
	if (pm1_control)
		intercept(bitmap, pm1_control);
}

static u32 in(u32 port, u32 size)
{
	u32 value = 0;

	if (size == 1)
		__asm__ volatile("inb %w1, %b0" : "+a"(value) : "d"(port));
	else if (size == 2)
		__asm__ volatile("inw %w1, %w0" : "+a"(value) : "d"(port));
	else
		__asm__ volatile("inl %w1, %0" : "+a"(value) : "d"(port));
	return value;
}

static void out(u32 port, u32 value, u32 size)
{
	if (size == 1)
		__asm__ volatile("outb %b0, %w1" : : "a"(value), "d"(port));
	else if (size == 2)
		__asm__ volatile("outw %w0, %w1" : : "a"(value), "d"(port));
	else
		__asm__ volatile("outl %0, %w1" : : "a"(value), "d"(port));
}

/* A byte on its way to a port. false: it goes no further. */
static bool filter(u32 port, u8 *value)
{
	switch (port) {
	case PORT_KEYBOARD_DATA:
		if (output_port_next)
			*value |= OUTPUT_A20;
		output_port_next = false;
		break;
	case PORT_KEYBOARD:
		output_port_next = *value == KEYBOARD_WRITE_OUTPUT;
		if (*value == KEYBOARD_RESET)
			guest_ends();
		return *value != KEYBOARD_A20_OFF;
	case PORT_92:
		if (*value & PORT_92_RESET)
			guest_ends();
		*value |= PORT_92_A20;
		break;
	}
	return true;
}

enum exit_kind io_exit(struct vcpu *cpu)
{
	u32 info = cpu->vmcb->exit_info1, port = IOIO_PORT(info), size = IOIO_SIZE(info), i;
	u32 value = cpu->regs.eax, eip;
	u8 *bytes = (u8 *)&value;

	if (info & IOIO_STRING)
		stop(cpu, "string I/O on port %x", port);
	eip = cpu->vmcb->eip;
	skip_to(cpu, cpu->vmcb->exit_info2);
	if (info & IOIO_IN) {
		value = in(port, size);
		memcpy(&cpu->regs.eax, &value, size);
		return EXIT_KIND_io;
	}
	if (port == HYPERCALL_PORT) {
		hypercall(cpu, cpu->vmcb->eip - eip);
		return EXIT_KIND_port;
	}
	for (i = 0; i < size; i++) {
		if (!filter(port + i, &bytes[i]))
			return EXIT_KIND_io;
	}
	if (port == PORT_DEBUG_EXIT || (port == pm1_control && pm1_control && (value & PM1_SLEEP)))
		guest_ends();
	out(port, value, size);
	return EXIT_KIND_io;
}
