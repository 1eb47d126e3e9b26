/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * KVM's clock: a page for each CPU that the host keeps up to date, and a counter
 * of the time that the CPU wanted to run and did not. A version that is odd, or
 * changed between two looks, says that the host wrote meanwhile.
 */
#include "rom.h"

#define KVM_ENABLED 1u
#define MSR_KVM_STEAL_TIME 0x4b564d03

static struct kvmclock_cpu *pages(struct state *state, struct cpu *cpu)
{
	return &kvmclock_of(state)->cpu[cpu ? cpu - state->cpu : 0];
}

static u32 physical(const struct state *state, const volatile void *p)
{
	return (u32)p - (u32)state + state->physical;
}

void kvmclock_register(struct state *state, struct cpu *cpu)
{
	const struct clock *clock = &state->clock;
	struct kvmclock_cpu *kvm = pages(state, cpu);

	if (!cpu)
		return;
	wrmsr(clock->kvm_time, physical(state, &kvm->pvclock) | KVM_ENABLED);
	if (clock->kvm_steal)
		wrmsr(MSR_KVM_STEAL_TIME, physical(state, &kvm->steal) | KVM_ENABLED);
	kvm->stable = clock->kvm_stable;
	kvm->registered = true;
}

/* The host writes no more: the memory may be somebody else's. */
void kvmclock_unregister(struct state *state, struct cpu *cpu)
{
	struct kvmclock_cpu *kvm = pages(state, cpu);

	if (!cpu || !kvm->registered)
		return;
	wrmsr(state->clock.kvm_time, 0);
	if (state->clock.kvm_steal)
		wrmsr(MSR_KVM_STEAL_TIME, 0);
	zero(kvm, sizeof(*kvm));
}

static u64 pvclock_read(const volatile struct pvclock *page, u8 *flags)
{
	u64 cycles;
	u32 version;

	do {
		version = page->version;
		cycles = rdtsc() - page->tsc_timestamp;
		if (page->tsc_shift < 0)
			cycles >>= -page->tsc_shift;
		else
			cycles <<= page->tsc_shift;
		cycles = multiply(cycles, page->tsc_to_system_mul) + page->system_time;
		*flags = page->flags;
		__asm__ volatile("" : : : "memory");
	} while ((version & 1) || version != page->version);
	return cycles;
}

/* The greater one of value and *last, which it becomes. */
static u64 at_least(u64 *last, u64 value)
{
	u64 old = *(volatile u64 *)last;
	bool done = false;

	do {
		if (old >= value)
			return old;
		__asm__ volatile("lock cmpxchg8b %1\n\tsete %2"
				 : "+A"(old), "+m"(*last), "=q"(done)
				 : "b"((u32)value), "c"((u32)(value >> 32))
				 : "cc", "memory");
	} while (!done);
	return value;
}

u64 kvmclock_now(struct state *state, struct cpu *cpu)
{
	struct kvmclock_cpu *kvm = pages(state, cpu);
	u8 flags;
	u64 now;

	if (!kvm->registered)
		kvmclock_register(state, cpu);
	now = pvclock_read(&kvm->pvclock, &flags);
	return flags & kvm->stable ? now : at_least(&kvmclock_of(state)->last, now);
}

u64 kvmclock_stolen(struct state *state, struct cpu *cpu)
{
	struct kvmclock_cpu *kvm = pages(state, cpu);
	const volatile struct kvm_steal *steal = &kvm->steal;
	u32 version;
	u64 stolen;

	if (!kvm->registered)
		kvmclock_register(state, cpu);
	do {
		version = steal->version;
		stolen = steal->steal;
	} while ((version & 1) || version != steal->version);
	return stolen;
}

/* The host does not count both with one clock. */
u64 kvmclock_available(struct state *state, struct cpu *cpu)
{
	u64 now = kvmclock_now(state, cpu);

	return at_least(&pages(state, cpu)->available, now - kvmclock_stolen(state, cpu));
}

/* The time of day when the counter was 0. The host writes it when it is asked to. */
u64 kvmclock_boot(struct state *state)
{
	const volatile struct kvmclock *kvm = kvmclock_of(state);
	u32 version;
	u64 boot;

	wrmsr(state->clock.kvm_wall, physical(state, &kvm->wall));
	do {
		version = kvm->wall.version;
		boot = (u64)kvm->wall.sec * NANOSECONDS + kvm->wall.nsec;
	} while ((version & 1) || version != kvm->wall.version);
	return boot;
}
