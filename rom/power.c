/* SPDX-License-Identifier: GPL-2.0-only */
/* Reboot and Shutdown on a machine that no VMM hides. */
#include "rom.h"

#define PM1_SCI_EN (1u << 0)
#define PM1_SLP_TYP_SHIFT 10
#define PM1_SLP_MASK (0xfu << PM1_SLP_TYP_SHIFT) /* SLP_TYP and SLP_EN */
#define PM1_SLP_EN (1u << 13)
#define SCI_EN_POLLS 300000

#define RESET_CONTROL 0xcf9 /* PCI reset control register of PIIX and ICH */
#define RESET_CONTROL_HARD 0x02
#define RESET_CONTROL_CPU 0x04

#define KBC_STATUS 0x64
#define KBC_STATUS_INPUT_FULL 0x02
#define KBC_PULSE_RESET 0xfe
#define KBC_POLLS 0x10000

#define CMOS_SHUTDOWN 0x8f /* shutdown status, NMI off; 0: the BIOS runs its full POST */

static void pm1_sleep(u16 control, u8 typ)
{
	u16 value;

	if (!control)
		return;
	value = (u16)((inw(control) & ~PM1_SLP_MASK) | (u32)typ << PM1_SLP_TYP_SHIFT);
	outw(control, value);
	outw(control, value | PM1_SLP_EN);
}

static void acpi_enable(const struct acpi *acpi)
{
	u32 polls;

	if (!acpi->smi_command || !acpi->enable || (inw(acpi->pm1a_control) & PM1_SCI_EN))
		return;
	outb(acpi->smi_command, acpi->enable);
	for (polls = 0; polls < SCI_EN_POLLS; polls++)
		if (inw(acpi->pm1a_control) & PM1_SCI_EN)
			return;
}

static bool last_cpu(struct state *state)
{
	u32 i;

	if (cpuid_present())
		__asm__ volatile("lock btrl %1, %0"
				 : "+m"(state->cpus)
				 : "r"(cpuid(1).ebx >> 24)
				 : "cc", "memory");
	for (i = 0; i < 8; i++)
		if (state->cpus[i])
			return false;
	return true;
}

/* Entered with interrupts off; does not return. */
void rom_shutdown(void);
void rom_shutdown(void)
{
	struct state *state = state_find();

	if (state)
		clock_cpu_end(state);
	if (state && last_cpu(state)) {
		hpet_release(state);
		if (!state->no_poweroff && state->acpi.pm1a_control) {
			acpi_enable(&state->acpi);
			pm1_sleep(state->acpi.pm1a_control, state->acpi.s5_typ_a);
			pm1_sleep(state->acpi.pm1b_control, state->acpi.s5_typ_b);
		}
	}
	for (;;)
		__asm__ volatile("hlt");
}

/*
 * Entered with interrupts off; does not return. From the most exact means to
 * the crudest: what ACPI names, the chipset's register, the keyboard
 * controller, a triple fault.
 */
void rom_reboot(u32 how);
void rom_reboot(u32 how)
{
	struct state *state = state_find();
	u32 polls;

	if (state) {
		clock_cpu_end(state);
		hpet_release(state);
	}
	outb(CMOS_INDEX, CMOS_SHUTDOWN);
	outb(CMOS_DATA, 0);
	if (how == VMI_REBOOT_SOFT) {
		outb(RESET_CONTROL, 0);
		outb(RESET_CONTROL, RESET_CONTROL_CPU);
	} else {
		if (state && state->acpi.reset_port)
			outb(state->acpi.reset_port, state->acpi.reset_value);
		outb(RESET_CONTROL, RESET_CONTROL_HARD);
		outb(RESET_CONTROL, RESET_CONTROL_HARD | RESET_CONTROL_CPU);
	}
	for (polls = 0; polls < KBC_POLLS && (inb(KBC_STATUS) & KBC_STATUS_INPUT_FULL); polls++)
		;
	outb(KBC_STATUS, KBC_PULSE_RESET);
	for (;;)
		__asm__ volatile("pushl $0\n\tpushl $0\n\tlidt (%%esp)\n\tint3" : : : "memory");
}
