/* SPDX-License-Identifier: GPL-2.0-only */
/* Processors: the lock, their own tables, their start, and page tables that nobody needs any more. */
#include "pv.h"

#define IA32_SYSENTER_CS 0x174
#define IA32_SYSENTER_ESP 0x175
#define IA32_SYSENTER_EIP 0x176
#define CPUID_SEP 0x800
#define SEGMENT_TSS 0x0089
#define ICR_FIXED 0x4000
#define START_MS 1000

struct cpu cpus[CPUS];
u32 cpu_count;

static volatile u32 locked;
static u32 init_argument;

static volatile u32 changing, changing_size; /* the site */
static volatile u32 changes;		     /* so far */

/* ------------------------------------------------------------------------
 * The lock
 */

/* Another CPU waits, with the lock, for this one to load other page tables. */
static void drop(struct cpu *cpu)
{
	if (!cpu->drop)
		return;
	cpu->loaded = kernel_root;
	pv_ops.write_cr3(kernel_root);
	cpu->drop = false;
}

/* At that change, this CPU is in no instruction of the site, and has not fetched any. */
static void sync_here(u32 number)
{
	struct cpu *cpu = current()->cpu;
	u32 r[4];

	if (cpu->synced == number)
		return;
	cpuid(0, 0, r); /* serializes */
	cpu->synced = number;
}

static u32 exchange(volatile u32 *p, u32 value)
{
	__asm__ volatile("xchg %0, %1" : "+r"(value), "+m"(*p) : : "memory");
	return value;
}

u32 lock(void)
{
	u32 flags = pv_save_fl();

	pv_irq_disable();
	while (exchange(&locked, true)) {
		drop(current()->cpu);
		sync_here(changes);
		__asm__ volatile("pause" : : : "memory");
	}
	return flags;
}

void unlock(u32 flags)
{
	__asm__ volatile("" : : : "memory");
	locked = false;
	pv_restore_fl(flags);
}

/* ------------------------------------------------------------------------
 * Page tables and kicks
 */

void cpu_load(u32 root)
{
	current()->cpu->loaded = root;
	pv_write_cr3(root);
}

/* Who has them loaded and is not here is idle: a process runs on one CPU. */
void cpus_drop(u32 root)
{
	struct cpu *cpu;

	for (cpu = cpus; cpu < cpus + cpu_count; cpu++) {
		if (cpu == current()->cpu || cpu->loaded != root)
			continue;
		cpu->drop = true;
		kick(cpu);
		while (cpu->drop)
			__asm__ volatile("pause" : : : "memory");
	}
}

/* No sites: sync_others() comes here while one of them is a breakpoint. */
void kick(struct cpu *cpu)
{
	while (pv_ops.apic_read(APIC_ICR) & APIC_ICR_PENDING)
		;
	pv_ops.apic_write(APIC_ICR_HIGH, cpu->apic_id << 24);
	pv_ops.apic_write(APIC_ICR, ICR_FIXED | VECTOR_KICK);
}

void kicked(u32 eip)
{
	u32 number = changes; /* that one's site, or a later one's */

	pv_ops.apic_write(APIC_EOI, 0);
	drop(current()->cpu);
	if (eip <= changing || eip >= changing + changing_size)
		sync_here(number);
}

/* ------------------------------------------------------------------------
 * Call sites that change while other CPUs run: sync of struct vmi_patch
 */

#define POLLS 10000
#define INT3 0xcc

PV void sync_breakpoint(struct frame *frame);
PV void sync_breakpoint(struct frame *frame)
{
	volatile u8 *site = at(--frame->eip);
	u32 number;

	/* It may be there before sync_others() says so. */
	while (*site == INT3) {
		number = changes;
		if (frame->eip == changing)
			sync_here(number);
	}
	/* QEMU's TCG may have translated the INT3 again just before it went, and keep that. */
	__asm__ volatile("lock orb $0, %0" : "+m"(*site));
}

PV void sync_others(u32 address, u32 size, u32 argument)
{
	struct cpu *cpu;
	u32 polls;

	(void)argument;
	changing = address;
	changing_size = size;
	changes++;
	for (cpu = cpus; cpu < cpus + cpu_count; cpu++)
		for (polls = 0; cpu != current()->cpu && cpu->synced != changes; polls++)
			if (polls % POLLS == 0)
				kick(cpu);
}

/* ------------------------------------------------------------------------
 * Start
 */

static struct vmi_dtr dtr(const void *base, u32 size)
{
	struct vmi_dtr value = { (u16)(size - 1), (u16)(u32)base, (u16)((u32)base >> 16) };

	return value;
}

/* Of the running CPU, on the stack of its idle process. */
static void cpu_main(void)
{
	struct cpu *cpu = current()->cpu;
	u64 segment = descriptor((u32)cpu->tss, sizeof(cpu->tss) - 1, SEGMENT_TSS);
	struct vmi_dtr gdtr = dtr(cpu->gdt, sizeof(cpu->gdt)), idtr = dtr(idt, sizeof(idt));
	u32 r[4];

	memcpy(cpu->gdt, gdt, sizeof(cpu->gdt));
	cpu->tss[TSS_ESP0 + 1] = SEL_DATA;
	cpu->tss[25] = sizeof(cpu->tss) << 16; /* no I/O bitmap */
	pv_write_gdt_entry(cpu->gdt, SEL_TSS / 8, (u32)segment, (u32)(segment >> 32));
	pv_load_gdt(&gdtr);
	pv_load_idt(&idtr);
	pv_load_ldt(0);
	pv_load_tr(SEL_TSS);
	pv_cpuid(1, r);
	if (r[3] & CPUID_SEP) {
		pv_wrmsr(IA32_SYSENTER_CS, SEL_CODE);
		pv_wrmsr(IA32_SYSENTER_ESP, (u32)&cpu->kernel_stack);
		pv_wrmsr(IA32_SYSENTER_EIP, (u32)entry_sysenter);
	}
	pv_apic_write(APIC_SVR, pv_apic_read(APIC_SVR) | APIC_SVR_ENABLE | VECTOR_SPURIOUS);
	cpu->loaded = kernel_root;
	time_start_cpu();
	cpu->idle->state = RUNNING;
	if (cpu == cpus) {
		lock();
		process_init(init_argument);
		unlock(0);
	}
	idle();
}

void cpus_start(u32 count)
{
	struct cpu *cpu;
	u64 end;
	u32 i;

	for (i = 0; i < count; i++) {
		cpu = &cpus[i];
		cpu->number = cpu->apic_id = i; /* as QEMU numbers them */
		cpu->idle = process_idle();
		cpu->idle->cpu = cpu;
	}
	for (i = 1; i < count; i++) {
		cpu = &cpus[i];
		if (!pv_ops.start_cpu(cpu->apic_id, cpu_main, (u32)cpu->idle + KERNEL_STACK))
			bail("CPU %u does not start", i);
		end = pv_cycle_counter(VMI_CYCLES_REAL) + milliseconds(START_MS);
		while (!cpu->halted) {
			if (pv_cycle_counter(VMI_CYCLES_REAL) > end)
				bail("CPU %u does not start", i);
			__asm__ volatile("pause" : : : "memory");
		}
	}
	cpu_count = count;
}

void cpus_report(void)
{
	struct cpu *cpu;

	for (cpu = cpus; cpu < cpus + cpu_count; cpu++)
		ok(cpu->ticks && cpu->turns, "CPU %u: %u alarms, %u processes", cpu->number,
		   cpu->ticks, cpu->turns);
}

void cpus_run(u32 argument)
{
	init_argument = argument;
	__asm__ volatile("mov %0, %%esp\n\tpush $0\n\tjmp *%1"
			 :
			 : "r"((u32)cpus[0].idle + KERNEL_STACK), "r"(cpu_main));
	__builtin_unreachable();
}
