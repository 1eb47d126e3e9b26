/* SPDX-License-Identifier: GPL-2.0-only */
/* Which clock it is, and its start. */
#include "rom.h"

#define KVM_FEATURES 1 /* leaf, from KVM's first one; its EAX: */
#define KVM_OLD_MSRS (1u << 0)
#define KVM_NEW_MSRS (1u << 3)
#define KVM_STEAL_TIME (1u << 5)
#define KVM_STABLE (1u << 24)
#define MSR_OLD_WALL_CLOCK 0x11
#define MSR_OLD_SYSTEM_TIME 0x12
#define MSR_KVM_WALL_CLOCK 0x4b564d00
#define MSR_KVM_SYSTEM_TIME 0x4b564d01

u32 hypervisor_leaf(u32 ebx, u32 ecx, u32 edx)
{
	u32 leaf;

	for (leaf = VMI_HV_LEAF_FIRST; leaf <= VMI_HV_LEAF_LAST; leaf += VMI_HV_LEAF_STEP) {
		struct cpuid r = cpuid(leaf);

		if (r.ebx == ebx && r.ecx == ecx && r.edx == edx)
			return leaf;
	}
	return 0;
}

/* Fills in what the driver needs; false: not KVM, or without its clock. */
static bool kvmclock_offered(struct clock *clock)
{
	u32 leaf = hypervisor_leaf(0x4b4d564b, 0x564b4d56, 0x4d); /* "KVMKVMKVM" */
	u32 last = leaf ? cpuid(leaf).eax : 0;
	struct cpuid r;

	/* The first KVMs had 0 for the last leaf. */
	if (!leaf || (last && last < leaf + KVM_FEATURES))
		return false;
	r = cpuid(leaf + KVM_FEATURES);
	clock->kvm_time = r.eax & KVM_NEW_MSRS ? MSR_KVM_SYSTEM_TIME : MSR_OLD_SYSTEM_TIME;
	clock->kvm_wall = r.eax & KVM_NEW_MSRS ? MSR_KVM_WALL_CLOCK : MSR_OLD_WALL_CLOCK;
	clock->kvm_steal = (r.eax & KVM_STEAL_TIME) != 0;
	clock->kvm_stable = r.eax & KVM_STABLE ? PVCLOCK_STABLE : 0;
	return (r.eax & (KVM_OLD_MSRS | KVM_NEW_MSRS)) != 0;
}

const char *clock_name(u32 kind)
{
#define CLOCK_NAME(name)                                                                           \
	if (kind == CLOCK_##name)                                                                  \
		return STR(#name);
	CLOCKS(CLOCK_NAME)
#undef CLOCK_NAME
	return NULL;
}

static bool named(const char *value, u32 kind)
{
	const char *name = clock_name(kind);
	u32 n = 0;

	while (name[n])
		n++;
	return same(value, name, n + 1);
}

/*
 * The best clock that is there: the host's before the machine's own. Option
 * opt/vmi/clock asks for one; where that is not there, it is tsc. No port is
 * touched unless a hypervisor says that it is one.
 */
void clock_choose(struct clock *clock, bool kvmclock)
{
	char value[16];
	bool any;

	clock->kind = CLOCK_tsc;
	if (!cpuid_present() || !(cpuid(1).ecx & CPUID_1_ECX_HYPERVISOR))
		return;
	any = fw_cfg_read(STR("opt/vmi/clock"), value, sizeof(value)) < 0 ||
	      same(value, STR("auto"), 5);
	if (kvmclock && (any || named(value, CLOCK_kvmclock)) && kvmclock_offered(clock))
		clock->kind = CLOCK_kvmclock;
	else if ((any || named(value, CLOCK_vmport)) && vmport_time())
		clock->kind = CLOCK_vmport;
}

/* GetCycleCounter's code for the TSC may stand at a call site; kvmclock's is behind it. */
void clock_bind(struct rom_image *image, u32 kind)
{
	struct vmi_call_record *record = call_record(image, VMI_ID_GetCycleCounter);
	u32 *code = at((u32)image + record->stub);
	u32 jump = 0xeb | (record->stub_size - 2u) << 8; /* short */

	if (kind != CLOCK_kvmclock)
		return;
	image_patch(image, code, (*code & 0xffff0000) | jump);
	image_not_inline(image, record);
}

/* From the first CPU's page: how fast the TSC counts. False: the host wrote nothing. */
static bool kvmclock_start(struct clock *clock, const volatile struct pvclock *page)
{
	u32 mul = page->tsc_to_system_mul;
	u64 apic_hz;

	if (!mul)
		return false;
	/* Nanoseconds are TSC * 2^shift * mul / 2^32. */
	clock->tsc.per_cycle = ratio(1ull << 32, mul);
	if (page->tsc_shift < 0)
		clock->tsc.per_cycle <<= -page->tsc_shift;
	else
		clock->tsc.per_cycle >>= page->tsc_shift;
	clock->tsc_hz = multiply(NANOSECONDS, clock->tsc.per_cycle);
	clock->hz = NANOSECONDS;
	apic_hz = multiply(clock->tsc_hz, clock->apic.per_cycle);
	if (apic_hz)
		timer_rate(&clock->apic, apic_hz, clock->hz, APIC_TIMER_LONGEST);
	return true;
}

/* With the TSC measured. The firmware's own use of kvmclock is over, or goes on. */
void clock_start(struct state *state)
{
	struct clock *clock = &state->clock;
	bool kvmclock = clock->kind == CLOCK_kvmclock;
	struct cpu *cpu = &state->cpu[0];
	u64 before = 0;

	if (!clock->tsc_hz)
		return;
	clock->hz = clock->tsc_hz;
	clock->tsc.per_cycle = 1ull << 32;
	clock->tsc.most = TIMER_LONGEST;
	clock->deadline = (cpuid(1).ecx & CPUID_1_ECX_DEADLINE) != 0;
	if (kvmclock) {
		before = rdmsr(clock->kvm_time);
		kvmclock_register(state, cpu);
		if (!kvmclock_start(clock, &kvmclock_of(state)->cpu[0].pvclock))
			clock->kind = CLOCK_tsc;
	}
	clock->ns_per_cycle = ratio(NANOSECONDS, clock->hz);
	timer_rate(&clock->pit, PIT_HZ, clock->hz, PIT_MASK - (PIT_MASK >> 13) - 1);
	if (clock->kind == CLOCK_tsc) {
		clock->wall_ns = rtc_nanoseconds(state->acpi.rtc_century);
		clock->wall_at = rdtsc();
	} else {
		clock_wall(state, cpu);
		clock->stepped = false;
	}
	if (kvmclock) {
		kvmclock_unregister(state, cpu);
		wrmsr(clock->kvm_time, before);
	}
}
