/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Processors. The hypervisor starts every one before the guest does, and keeps
 * those that the guest has not started waiting. The guest's writes to the local
 * APIC exit (the page is read-only in the nested tables) and are done for it,
 * but INIT and STARTUP: their targets get them as requests, with an NMI.
 */
#include "svm.h"

#define MADT_ENTRIES 44
#define MADT_APIC 0 /* an entry's type */
#define MADT_APIC_FLAGS 4
#define MADT_APIC_ENABLED 1u

#define APIC_ICR 0x300
#define APIC_ICR_HIGH 0x310
#define ICR_VECTOR 0xffu
#define ICR_MODE 0x700u
#define ICR_NMI 0x400u
#define ICR_INIT 0x500u
#define ICR_STARTUP 0x600u
#define ICR_LOGICAL 0x800u
#define ICR_PENDING 0x1000u
#define ICR_ASSERT 0x4000u
#define ICR_LEVEL 0x8000u
#define ICR_SHORTHAND(icr) ((icr) >> 18 & 3)
#define ICR_SHORTHANDS 0xc0000u
#define ICR_ALL_BUT_SELF 0xc0000u
#define TO_SELF 1
#define TO_ALL 2
#define TO_OTHERS 3
#define TO_EVERYBODY 0xffu /* as a destination */

#define AP_PAGE 0x7000u
#define PORT_DELAY 0x80 /* a read takes about a microsecond */
#define INIT_MICROSECONDS 10000
#define START_MICROSECONDS 5000000

static volatile bool stopped;

/* PAUSE gives the other CPUs their turn where QEMU counts instructions. */
static void delay(u32 microseconds)
{
	while (microseconds--) {
		inb(PORT_DELAY);
		__asm__ volatile("pause");
	}
}

/* Enabled processors, as ACPI has them; 1 where there is no ACPI. */
static u32 count_processors(void)
{
	u32 madt = acpi_table("APIC"), e, count = 0;

	for (e = madt + MADT_ENTRIES; madt && e < madt + acpi_word(madt, ACPI_LENGTH);) {
		const u8 *entry = at(e);

		if (entry[0] == MADT_APIC && (acpi_word(e, MADT_APIC_FLAGS) & MADT_APIC_ENABLED))
			count++;
		e += entry[1];
	}
	return count ? count : 1;
}

/* The guest may be about to write ICR: its destination stays. */
static void ipi(u32 destination, u32 command)
{
	u32 guest = *apic(APIC_ICR_HIGH);

	*apic(APIC_ICR_HIGH) = destination << 24;
	*apic(APIC_ICR) = command;
	while (*apic(APIC_ICR) & ICR_PENDING)
		;
	*apic(APIC_ICR_HIGH) = guest;
}

void smp_enter(struct vcpu *cpu) NORETURN;

static volatile u32 entered = 1;

void smp_enter(struct vcpu *cpu)
{
	cpu_start(cpu);
	cpu->waiting = true;
	__atomic_fetch_add(&entered, 1, __ATOMIC_SEQ_CST);
	clgi();
	smp_requests(cpu);
	registers_to_vmcb(cpu);
	svm_run(cpu);
}

void smp_start(void)
{
	static u8 below[PAGE_SIZE];
	u32 wanted = count_processors(), i;

	if (wanted > MAX_CPUS)
		fail("%u processors: at most %u", wanted, MAX_CPUS);
	if (wanted == 1)
		return;
	memcpy(below, (const void *)AP_PAGE, PAGE_SIZE);
	memcpy((void *)AP_PAGE, ap_code, (u32)(ap_code_end - ap_code));
	ipi(0, ICR_ALL_BUT_SELF | ICR_ASSERT | ICR_INIT);
	delay(INIT_MICROSECONDS);
	ipi(0, ICR_ALL_BUT_SELF | ICR_ASSERT | ICR_STARTUP | AP_PAGE >> 12);
	for (i = 0; i < START_MICROSECONDS && entered < wanted; i++)
		delay(1);
	if (entered < wanted)
		fail("%u of %u processors start", entered, wanted);
	memcpy((void *)AP_PAGE, below, PAGE_SIZE);
}

/* One NMI at a time: the host's handler tells it from the guest's by this flag. */
void kick(struct vcpu *to)
{
	to->wake = true;
	if (!__atomic_exchange_n(&to->kicked, true, __ATOMIC_SEQ_CST))
		ipi(to->apic_id, ICR_ASSERT | ICR_NMI);
}

void smp_stop(void)
{
	u32 i;

	if (__atomic_exchange_n(&stopped, true, __ATOMIC_SEQ_CST)) {
		for (;;)
			__asm__ volatile("cli\n\thlt");
	}
	for (i = 0; i < cpus; i++) {
		if (vcpus[i].apic_id != *apic(APIC_ID) >> 24)
			kick(&vcpus[i]);
	}
}

/* What other CPUs want. */
void smp_requests(struct vcpu *cpu)
{
	u32 startup;

	for (;;) {
		__atomic_store_n(&cpu->wake, false, __ATOMIC_SEQ_CST);
		if (stopped)
			smp_stop();
		attach_update(cpu);
		if (cpu->init) {
			if (cpu->number == 0)
				stop(cpu, "INIT of the first processor");
			cpu->waiting = true; /* first: a STARTUP that comes now is not lost */
			__atomic_store_n(&cpu->init, false, __ATOMIC_SEQ_CST);
			cpu_reset(cpu);
			__asm__ volatile("sti" : : : "memory"); /* none is held any longer */
		}
		if (!cpu->waiting)
			return;
		startup = __atomic_exchange_n(&cpu->startup, 0, __ATOMIC_SEQ_CST);
		if (startup)
			break;
		__asm__ volatile("cli" : : : "memory");
		cpu_wait(&cpu->wake);
	}
	cpu->waiting = false;
	if (ap_state_enter(cpu))
		return;
	cpu->vmcb->cs.selector = (u16)((startup & ICR_VECTOR) << 8);
	cpu->vmcb->cs.base = (startup & ICR_VECTOR) << 12;
}

/* In this order: smp_requests() sets waiting before it clears init. */
static bool awaits_startup(struct vcpu *cpu)
{
	return __atomic_load_n(&cpu->init, __ATOMIC_SEQ_CST) ||
	       __atomic_load_n(&cpu->waiting, __ATOMIC_SEQ_CST);
}

static void request(struct vcpu *to, u32 icr)
{
	if ((icr & ICR_MODE) == ICR_INIT) {
		to->startup = 0;
		to->init = true;
	} else if (awaits_startup(to)) {
		to->startup = 0x100 | (icr & ICR_VECTOR);
	} else {
		return; /* it runs: a second STARTUP does nothing */
	}
	kick(to);
}

static void init_or_startup(struct vcpu *cpu, u32 icr)
{
	u32 destination = *apic(APIC_ICR_HIGH) >> 24, i;

	if ((icr & (ICR_LEVEL | ICR_ASSERT)) == ICR_LEVEL)
		return; /* the end of INIT, on old processors */
	if ((icr & ICR_LOGICAL) && ICR_SHORTHAND(icr) < TO_ALL)
		stop(cpu, "INIT or STARTUP (%08x) to a logical destination", icr);
	for (i = 0; i < cpus; i++) {
		struct vcpu *to = &vcpus[i];
		bool hit = to->apic_id == destination || destination == TO_EVERYBODY;

		if (ICR_SHORTHAND(icr))
			hit = ICR_SHORTHAND(icr) == TO_SELF ? to == cpu : true;
		if (ICR_SHORTHAND(icr) == TO_OTHERS && to == cpu)
			hit = false;
		if (hit)
			request(to, icr);
	}
	/* For the guest to read: a processor that runs ignores it. */
	if ((icr & ICR_MODE) == ICR_STARTUP)
		ipi(cpu->apic_id, icr & ~ICR_SHORTHANDS);
}

u32 apic_read(struct vcpu *cpu, u32 offset)
{
	return offset == APIC_LVTT && cpu->timer_runs ? cpu->lvtt : *apic(offset);
}

void apic_write(struct vcpu *cpu, u32 offset, u32 value)
{
	if (offset == APIC_ICR &&
	    ((value & ICR_MODE) == ICR_INIT || (value & ICR_MODE) == ICR_STARTUP))
		init_or_startup(cpu, value);
	else if (offset == APIC_LVTT)
		lvtt_write(cpu, value);
	else
		*apic(offset) = value;
}

/* A write to the local APIC's page. */
void apic_exit(struct vcpu *cpu, u32 offset)
{
	struct insn insn;
	u32 value, *operand;

	if (!insn_decode(cpu, &insn))
		stop(cpu, "a write to the local APIC's register %x by an unknown instruction",
		     offset);
	operand = insn_register(cpu, insn.opcode == 0xa3 ? 0 : insn.modrm >> 3);
	value = insn.opcode == 0xc7 ? insn.immediate : *operand;
	if (insn.word || offset % 16 || offset < APIC_ID) /* 0: an interrupt message */
		stop(cpu, "not a whole word written to the local APIC's register %x", offset);
	if (insn.opcode == 0x87)
		*operand = apic_read(cpu, offset);
	apic_write(cpu, offset, value);
	skip_to(cpu, cpu->vmcb->eip + insn.length);
}
