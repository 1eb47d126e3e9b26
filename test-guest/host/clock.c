/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ROM's clocks as a 32-bit program: its C against a processor, a hypervisor,
 * timers and an RTC that are played here, and the stub GetCycleCounter of a
 * finished image on the real processor.
 *
 *	clock IMAGE OFFSET	(of VMI_GetCycleCounter)
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#undef NULL

/* What rom.h has instructions for is played: its own are there under other names. */
#define cpuid(...) real_cpuid(__VA_ARGS__)
#define cpuid_present(...) real_cpuid_present(__VA_ARGS__)
#define rdtsc(...) real_rdtsc(__VA_ARGS__)
#define rdmsr(...) real_rdmsr(__VA_ARGS__)
#define wrmsr(...) real_wrmsr(__VA_ARGS__)
#define inb(...) real_inb(__VA_ARGS__)
#define inl(...) real_inl(__VA_ARGS__)
#define outb(...) real_outb(__VA_ARGS__)
#define at(...) real_at(__VA_ARGS__)
#include "rom.h"
#undef cpuid
#undef cpuid_present
#undef rdtsc
#undef rdmsr
#undef wrmsr
#undef inb
#undef inl
#undef outb
#undef at

static struct cpuid cpuid(u32 leaf);
static bool cpuid_present(void);
static u64 rdtsc(void);
static u64 rdmsr(u32 msr);
static void wrmsr(u32 msr, u64 value);
static u8 inb(u16 port);
static u32 inl(u16 port);
static void outb(u16 port, u8 value);
static void *at(u32 address);

#include "../../rom/clock.c"
#include "../../rom/kvmclock.c"
#include "../../rom/post/clock.c"
#include "../../rom/post/rtc.c"
#include "../../rom/post/tsc.c"
#include "../../rom/string.c"
#include "tap.h"

/* The worst of many: one test point. */
static bool same64(u64 got, u64 want, const char *what)
{
	if (got == want)
		return true;
	printf("# %s: got %llu, expected %llu\n", what, got, want);
	return false;
}

/* ------------------------------------------------------------------------
 * The machine
 */

#define MILLION 1000000ull

/* Memory: 9C000 to A0000, and the image where it would be. */
static u8 *memory; /* 1 MiB */
static struct state *state;
static bool posted = true;

struct state *state_find(void)
{
	return posted ? state : NULL;
}

struct cpu *cpu_self(struct state *s)
{
	return &s->cpu[0];
}

static u32 leaf_kvm, kvm_features, kvm_last;
static u32 leaf_15[4], leaf_timing[2], features_edx;
static bool hypervisor;

static struct cpuid cpuid(u32 leaf)
{
	struct cpuid r = { 0, 0, 0, 0 };

	if (leaf == 0)
		r.eax = 0x16;
	if (leaf == 1) {
		r.ecx = hypervisor ? CPUID_1_ECX_HYPERVISOR : 0;
		r.edx = features_edx;
	}
	if (leaf == 0x15)
		return (struct cpuid){ leaf_15[0], leaf_15[1], leaf_15[2], 0 };
	if (leaf == 0x16)
		return (struct cpuid){ 2900, 4000, 100, 0 };
	if (!hypervisor)
		return r;
	if (leaf == 0x40000000 && leaf_timing[0])
		r.eax = 0x40000010;
	if (leaf == 0x40000010)
		return (struct cpuid){ leaf_timing[0], leaf_timing[1], 0, 0 };
	if (leaf_kvm && leaf == leaf_kvm)
		return (struct cpuid){ kvm_last, 0x4b4d564b, 0x564b4d56, 0x4d };
	if (leaf_kvm && leaf == leaf_kvm + 1)
		return (struct cpuid){ kvm_features, 0, 0, 0 };
	return r;
}

static bool cpuid_present(void)
{
	return true;
}

static const char *option;

int fw_cfg_read(const char *name, char *buffer, u32 size)
{
	if (strcmp(name, "opt/vmi/clock") || !option || strlen(option) >= size)
		return -1;
	strcpy(buffer, option);
	return (int)strlen(option);
}

static u64 host_wall; /* of vmport; 0: nobody answers */
static u32 told;

/* Time: in picoseconds, moved by what is done. */
static u64 ps, tsc_hz = 1000000000, tsc_at_0;
static u32 rdtsc_ps, port_ps = 100000;
static void (*on_rdtsc)(void);

static u64 tsc_now(void)
{
	return tsc_at_0 + (u64)((long double)ps * tsc_hz / 1e12L);
}

static u64 rdtsc(void)
{
	if (on_rdtsc)
		on_rdtsc();
	ps += rdtsc_ps;
	return tsc_now();
}

static u32 vmport_ps; /* between the host's look and the guest's next instruction */

u64 vmport_time(void)
{
	told++;
	ps += vmport_ps;
	return host_wall;
}

/* ------------------------------------------------------------------------
 * KVM's half of kvmclock
 */

static u64 msr_time, msr_steal;
static u32 msrs_used[4]; /* time, wall: old, new */
static u64 host_boot;	 /* ns since 1970 when system time was 0 */
static bool silent;	 /* it writes nothing */
static u32 page_mul = 1u << 31;
static int page_shift = 1; /* 1 GHz */
static u8 page_flags;
static u64 msr_other;

static void *physical_memory(u64 address)
{
	return memory + (address & 0xfffff);
}

/* The host's update of the registered page: at this TSC it is so many nanoseconds. */
static void host_writes(u64 tsc, u64 ns)
{
	struct pvclock *page = physical_memory(msr_time & ~1ull);

	if (!(msr_time & 1) || silent)
		return;
	page->version = (page->version | 1) + 1;
	page->tsc_timestamp = tsc;
	page->system_time = ns;
	page->tsc_to_system_mul = page_mul;
	page->tsc_shift = (signed char)page_shift;
	page->flags = page_flags;
}

static void host_steals(u64 ns)
{
	struct kvm_steal *steal = physical_memory(msr_steal & ~63ull);

	steal->version += 2;
	steal->steal = ns;
}

static u64 rdmsr(u32 msr)
{
	return msr == MSR_KVM_SYSTEM_TIME || msr == MSR_OLD_SYSTEM_TIME ? msr_time : 0;
}

static void wrmsr(u32 msr, u64 value)
{
	switch (msr) {
	case MSR_KVM_SYSTEM_TIME:
	case MSR_OLD_SYSTEM_TIME:
		msrs_used[msr == MSR_KVM_SYSTEM_TIME ? 2 : 0]++;
		msr_time = value;
		host_writes(tsc_now(), ps / 1000);
		break;
	case MSR_KVM_WALL_CLOCK:
	case MSR_OLD_WALL_CLOCK: {
		u32 *wall = physical_memory(value);

		msrs_used[msr == MSR_KVM_WALL_CLOCK ? 3 : 1]++;
		wall[0] += 2;
		wall[1] = (u32)(host_boot / NANOSECONDS);
		wall[2] = (u32)(host_boot % NANOSECONDS);
		break;
	}
	case MSR_KVM_STEAL_TIME:
		msr_steal = value;
		break;
	default:
		msr_other = msr;
	}
}

static void machine_reset(void)
{
	memset(memory + 0x9c000, 0, 0x4000);
	state->magic = STATE_MAGIC;
	state->size = sizeof(*state);
	state->physical = 0x9f000;
	state->window = true;
	leaf_kvm = kvm_features = kvm_last = 0;
	memset(leaf_15, 0, sizeof(leaf_15));
	memset(leaf_timing, 0, sizeof(leaf_timing));
	memset(msrs_used, 0, sizeof(msrs_used));
	features_edx = CPUID_1_EDX_TSC;
	hypervisor = true;
	option = NULL;
	host_wall = 0;
	told = 0;
	ps = tsc_at_0 = 0;
	tsc_hz = 1000000000;
	rdtsc_ps = vmport_ps = 0;
	on_rdtsc = NULL;
	msr_time = msr_steal = msr_other = 0;
	host_boot = 1800000000ull * NANOSECONDS;
	silent = false;
	page_mul = 1u << 31;
	page_shift = 1;
	page_flags = 0;
}

/* A machine whose POST has measured this frequency, with a clock of the given kind. */
static void start(u32 kind, u64 hz)
{
	machine_reset();
	tsc_hz = hz;
	state->clock.tsc_hz = hz;
	if (kind == CLOCK_kvmclock) {
		leaf_kvm = kvm_last = 0x40000000;
		kvm_last++;
		kvm_features = KVM_NEW_MSRS | KVM_STEAL_TIME | KVM_STABLE;
	}
	if (kind == CLOCK_vmport)
		host_wall = 1800000000ull * NANOSECONDS;
	clock_choose(&state->clock, true);
	clock_start(state);
	clock_cpu_start(state);
}

/* ------------------------------------------------------------------------
 * Which clock
 */

static void choice(const char *name, u32 leaf, u32 last, u32 features, bool vmport,
		   bool memory_there, const char *want, u32 kind)
{
	machine_reset();
	leaf_kvm = leaf;
	kvm_last = last;
	kvm_features = features;
	host_wall = vmport ? 1 : 0;
	option = want;
	clock_choose(&state->clock, memory_there);
	ok(state->clock.kind == kind, "%s, option %s: %s", name, want ? want : "none",
	   clock_name(kind));
}

static void choices(void)
{
	u32 leaf = 0x40000000;

	choice("nothing", 0, 0, 0, false, true, NULL, CLOCK_tsc);
	choice("nothing", 0, 0, 0, false, true, "kvmclock", CLOCK_tsc);
	choice("nothing", 0, 0, 0, false, true, "vmport", CLOCK_tsc);
	choice("vmport", 0, 0, 0, true, true, NULL, CLOCK_vmport);
	choice("vmport", 0, 0, 0, true, true, "auto", CLOCK_vmport);
	choice("vmport", 0, 0, 0, true, true, "tsc", CLOCK_tsc);
	choice("vmport", 0, 0, 0, true, true, "kvmclock", CLOCK_tsc);
	choice("vmport", 0, 0, 0, true, true, "vmportx", CLOCK_tsc);
	choice("KVM, new MSRs", leaf, leaf + 1, 8, false, true, NULL, CLOCK_kvmclock);
	choice("KVM, old MSRs", leaf, leaf + 1, 1, false, true, NULL, CLOCK_kvmclock);
	choice("KVM, old CPUID", leaf, 0, 1, false, true, NULL, CLOCK_kvmclock);
	choice("KVM behind another", leaf + 0x100, leaf + 0x101, 9, false, true, NULL,
	       CLOCK_kvmclock);
	choice("KVM, last leaf", leaf + 0xff00, leaf + 0xff01, 9, false, true, NULL,
	       CLOCK_kvmclock);
	choice("KVM, no clock", leaf, leaf + 1, 0x20, false, true, NULL, CLOCK_tsc);
	choice("KVM and vmport", leaf, leaf + 1, 9, true, true, NULL, CLOCK_kvmclock);
	choice("KVM and vmport", leaf, leaf + 1, 9, true, true, "auto", CLOCK_kvmclock);
	choice("KVM and vmport", leaf, leaf + 1, 9, true, true, "vmport", CLOCK_vmport);
	choice("KVM and vmport", leaf, leaf + 1, 9, true, true, "kvmclock", CLOCK_kvmclock);
	choice("KVM and vmport", leaf, leaf + 1, 9, true, true, "tsc", CLOCK_tsc);
	choice("KVM, no memory for it", leaf, leaf + 1, 9, false, false, NULL, CLOCK_tsc);

	machine_reset();
	hypervisor = false;
	host_wall = 1;
	option = "vmport";
	clock_choose(&state->clock, true);
	ok(state->clock.kind == CLOCK_tsc && !told, "no hypervisor: no port is touched");
}

/* ------------------------------------------------------------------------
 * kvmclock
 */

static u64 counter(u32 which)
{
	return rom_cycle_counter(which);
}

/* As the host defines it, with more bits. */
static u64 pvclock_reference(u64 cycles, int shift, u32 mul)
{
	u64 low, high;

	if (shift < 0)
		cycles >>= -shift;
	else
		cycles <<= shift;
	low = (cycles & 0xffffffff) * mul;
	high = (cycles >> 32) * mul;
	return high + (low >> 32);
}

static u32 updates;

static void update_once(void)
{
	struct pvclock *page = physical_memory(msr_time & ~1ull);

	if (updates++ == 0) {
		page->version++; /* odd, and halfway */
		page->system_time = 0x123456789abcdef;
	} else if (updates == 3) {
		page->version++;
		page->tsc_timestamp = 5000;
		page->system_time = 7000;
		page->tsc_to_system_mul = 1u << 31;
		page->tsc_shift = 1;
	}
}

static void update_behind(void)
{
	if (updates++ == 0)
		host_writes(tsc_now(), 1000000);
}

static void kvm_reading(void)
{
	static const struct {
		int shift;
		u32 mul;
	} rates[] = { { 1, 1u << 31 },	  { -1, 2863311531u }, { -1, 0xffffffff },
		      { 0, 3435973836u }, { 3, 0x89705f41 },   { -2, 0x80000000 },
		      { 7, 0xf0000001 } };
	static const u64 deltas[] = { 0,
				      1,
				      999,
				      1ull << 32,
				      (1ull << 32) - 1,
				      0x123456789abcull,
				      300000000ull * 30 * MILLION };
	struct kvmclock *kvm = kvmclock_of(state);
	bool good = true;
	u32 i, j;

	start(CLOCK_kvmclock, 1000000000);
	ok(state->clock.kind == CLOCK_kvmclock && state->clock.hz == NANOSECONDS &&
		   rom_cycle_frequency() == NANOSECONDS,
	   "kvmclock: cycles are nanoseconds");
	ok(msr_time == (0x9c000 | 1) && (msr_steal & ~63ull) == 0x9c040 && (msr_steal & 1),
	   "kvmclock: Init registers its pages");
	ok(!msrs_used[0] && !msrs_used[1] && msrs_used[2] && msrs_used[3] && !msr_other,
	   "kvmclock: the new MSRs where there are both");
	for (i = 0; i < sizeof(rates) / sizeof(*rates); i++)
		for (j = 0; j < sizeof(deltas) / sizeof(*deltas); j++) {
			page_shift = rates[i].shift;
			page_mul = rates[i].mul;
			page_flags = PVCLOCK_STABLE;
			ps = 0;
			tsc_at_0 = 77777 + deltas[j];
			host_writes(77777, 1234567);
			if (deltas[j] >> (62 - (page_shift > 0 ? page_shift : 0)))
				continue;
			good &= same64(counter(VMI_CYCLES_REAL),
				       1234567 + pvclock_reference(deltas[j], page_shift, page_mul),
				       "nanoseconds");
		}
	ok(good, "kvmclock: every rate and distance");
	tsc_at_0 = 3;
	page_shift = 1;
	page_mul = 1u << 31;
	host_writes(~0ull - 6, 50);
	ok(same64(counter(VMI_CYCLES_REAL), 60, "nanoseconds"), "kvmclock: the TSC wraps");

	updates = 0;
	tsc_at_0 = 9000;
	host_writes(0, 0);
	kvm->last = 0;
	on_rdtsc = update_once;
	good = same64(counter(VMI_CYCLES_REAL), 7000 + 4000, "nanoseconds");
	ok(good && updates == 4, "kvmclock: waits while the version is odd");
	updates = 0;
	on_rdtsc = update_behind;
	ok(same64(counter(VMI_CYCLES_REAL), 1000000, "nanoseconds") && updates == 2,
	   "kvmclock: an update between two looks is noticed");
	on_rdtsc = NULL;

	page_flags = 0;
	host_writes(tsc_now(), 5000000);
	good = same64(counter(VMI_CYCLES_REAL), 5000000, "before");
	host_writes(tsc_now(), 4999000);
	good &= same64(counter(VMI_CYCLES_REAL), 5000000, "after");
	tsc_at_0 += 2000;
	good &= same64(counter(VMI_CYCLES_REAL), 5001000, "2 us later");
	ok(good, "kvmclock: never backwards, whatever the host says");

	host_steals(0);
	host_writes(tsc_now(), 6000000);
	good = same64(counter(VMI_CYCLES_STOLEN), 0, "stolen");
	good &= same64(counter(VMI_CYCLES_AVAILABLE), 6000000, "available");
	tsc_at_0 += 1000;
	host_steals(400);
	good &= same64(counter(VMI_CYCLES_STOLEN), 400, "stolen");
	good &= same64(counter(VMI_CYCLES_REAL), 6001000, "real");
	good &= same64(counter(VMI_CYCLES_AVAILABLE), 6000600, "available");
	tsc_at_0 += 100;
	host_steals(900); /* more than passed: it counts otherwise */
	good &= same64(counter(VMI_CYCLES_AVAILABLE), 6000600, "available");
	tsc_at_0 += 1000;
	good &= same64(counter(VMI_CYCLES_AVAILABLE), 6001200, "available");
	ok(good, "kvmclock: real, stolen, and available in between");
	good = same64(counter(3), 0, "counter 3") && same64(counter(0xffffff00), 0, "another");
	ok(good, "kvmclock: what is no counter is 0");

	clock_cpu_end(state);
	ok(!msr_time && !msr_steal && !kvm->cpu[0].pvclock.version && !kvm->cpu[0].registered,
	   "kvmclock: Shutdown takes the pages back");
	counter(VMI_CYCLES_REAL);
	ok((msr_time & 1) && (msr_steal & 1), "kvmclock: a time call registers them");

	machine_reset();
	leaf_kvm = 0x40000000;
	kvm_features = KVM_OLD_MSRS;
	msr_time = 0x12345000 | 1;
	state->clock.tsc_hz = 1000000000;
	clock_choose(&state->clock, true);
	clock_start(state);
	ok(msr_time == (0x12345000 | 1), "kvmclock: POST leaves the firmware's page");
	clock_cpu_start(state);
	ok(msrs_used[0] && msrs_used[1] && !msrs_used[2] && !msrs_used[3] && !msr_steal &&
		   !msr_other,
	   "kvmclock: old MSRs, no steal time");
	page_flags = PVCLOCK_STABLE; /* means nothing without the feature bit */
	host_writes(tsc_now(), 5000000);
	good = same64(counter(VMI_CYCLES_REAL), 5000000, "before");
	host_writes(tsc_now(), 4999000);
	ok(good && same64(counter(VMI_CYCLES_REAL), 5000000, "after"),
	   "kvmclock: stable only where KVM offers that");
	ok(same64(counter(VMI_CYCLES_STOLEN), 0, "stolen"), "kvmclock: nothing stolen");

	machine_reset();
	leaf_kvm = 0x40000000;
	kvm_features = KVM_NEW_MSRS;
	silent = true;
	state->clock.tsc_hz = 1000000000;
	clock_choose(&state->clock, true);
	clock_start(state);
	ok(state->clock.kind == CLOCK_tsc && state->clock.hz == 1000000000 && !msr_time,
	   "kvmclock: a host that writes nothing gives tsc");
}

/* What POST makes of the page: the TSC's frequency, and timers in nanoseconds. */
static void kvm_rates(void)
{
	static const u64 hz[] = { 500 * MILLION, 1000 * MILLION, 2893210000ull, 5123456789ull };
	bool good = true;
	u32 i;

	for (i = 0; i < sizeof(hz) / sizeof(*hz); i++) {
		struct clock *clock = &state->clock;
		long double mul = 4294967296e9L / hz[i], error;

		machine_reset();
		leaf_kvm = 0x40000000;
		kvm_features = KVM_NEW_MSRS;
		tsc_hz = hz[i];
		clock->tsc_hz = hz[i] / 10000 * 10003; /* measured, 300 ppm wrong */
		timer_rate(&clock->apic, 1000 * MILLION, hz[i], APIC_TIMER_LONGEST);
		for (page_shift = 0; mul >= 4294967296e0L; page_shift++)
			mul /= 2;
		for (; mul < 2147483648e0L; page_shift--)
			mul *= 2;
		page_mul = (u32)mul;
		clock_choose(clock, true);
		clock_start(state);
		error = (long double)clock->tsc_hz / hz[i] - 1;
		if (error > 1e-8L || error < -1e-8L) {
			printf("# TSC: %llu Hz, is %llu\n", clock->tsc_hz, hz[i]);
			good = false;
		}
		error = clock->tsc.per_cycle * 1e9L / 4294967296e0L / hz[i] - 1;
		good &= error < 1e-8L && error > -1e-8L;
		/* 1 GHz: a tick a nanosecond. */
		error = clock->apic.per_cycle / 4294967296e0L - 1;
		if (error > 1e-8L || error < -1e-8L) {
			printf("# APIC timer: %.12Lf ticks a nanosecond\n", error + 1);
			good = false;
		}
		error = clock->pit.per_cycle / 4294967296e0L * 1e9L / PIT_HZ - 1;
		good &= error < 1e-6L && error > -1e-6L;
	}
	ok(good, "kvmclock: the TSC's frequency is the host's, timers count in nanoseconds");
}

/* ------------------------------------------------------------------------
 * The time of day
 */

static void pass(u64 ns)
{
	ps += ns * 1000;
	if (ps >> 62) { /* further than picoseconds reach */
		tsc_at_0 = tsc_now();
		ps = 0;
	}
}

/* `host` ns pass for the host while `ns` do for the counter; 1: stepped, then never again. */
static u32 polled(u32 kind, u64 ns, long long host)
{
	u32 result;

	while (ns > 1000000 * MILLION) { /* 1000 s at once */
		tsc_at_0 += 1000 * tsc_hz;
		ns -= 1000000 * MILLION;
	}
	pass(ns);
	if (kind == CLOCK_vmport)
		host_wall += host;
	result = rom_wallclock_updated();
	return result | rom_wallclock_updated() << 1;
}

static void steps(u32 kind)
{
	static const struct {
		const char *name;
		u64 ns;
		long long off; /* of the host's clock */
		u32 want;
	} cases[] = {
		{ "nothing", 1000000000, 0, 0 },
		{ "0.1 s forward", 1000000000, 100000000, 0 },
		{ "0.1 s back", 1000000000, -100000000, 0 },
		{ "0.2 s forward", 1000000000, 200000000, 1 },
		{ "0.2 s back", 1000000000, -200000000, 1 },
		{ "an hour back", 10000000, -3600000000000ll, 1 },
		{ "a day forward", 10000000, 86400000000000ll, 1 },
		{ "1000 ppm for 1 s", 1000000000, 1000000, 0 },
		{ "1000 ppm for an hour", 3600000000000ull, 3600000000ll, 0 },
		{ "-1000 ppm for an hour", 3600000000000ull, -3600000000ll, 0 },
		{ "1000 ppm for a year", 31536000000000000ull, 31536000000000ll, 0 },
		{ "-1000 ppm for a year", 31536000000000000ull, -31536000000000ll, 0 },
		{ "a day forward within a year", 31536000000000000ull, 86400000000000ll, 1 },
	};
	u32 i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		u64 before;
		u32 got;

		start(kind, 1000000000);
		rom_wallclock_updated();
		before = rom_wallclock();
		if (kind == CLOCK_kvmclock)
			host_boot += cases[i].off;
		got = polled(kind, cases[i].ns, (long long)cases[i].ns + cases[i].off);
		ok(got == cases[i].want && rom_wallclock() - before == cases[i].ns + cases[i].off,
		   "%s: %s: %s", clock_name(kind), cases[i].name,
		   cases[i].want ? "a step" : "none");
	}
	/* Seen by GetWallclockTime first. */
	start(kind, 1000000000);
	host_wall += 3600ull * NANOSECONDS;
	host_boot += 3600ull * NANOSECONDS;
	rom_wallclock();
	pass(1000);
	rom_wallclock();
	ok(rom_wallclock_updated() == 1 && rom_wallclock_updated() == 0,
	   "%s: a step waits for its poll", clock_name(kind));
}

static void walls(void)
{
	static const u64 hz[] = { 100 * MILLION, 999999999, 1000 * MILLION, 2893210007ull,
				  5000 * MILLION };
	bool good = true;
	u32 i, year;

	steps(CLOCK_vmport);
	steps(CLOCK_kvmclock);

	/* A CPU that is not run between the two looks. */
	start(CLOCK_vmport, 1000000000);
	vmport_ps = 0;
	good = !rom_wallclock_updated();
	vmport_ps = 4000000000u; /* 4 ms */
	host_wall += 4 * MILLION;
	good &= !rom_wallclock_updated();
	on_rdtsc = NULL;
	for (i = 0; i < 500; i++) {
		host_wall += 4 * MILLION;
		good &= !rom_wallclock_updated();
	}
	ok(good, "vmport: slow answers are no step");
	start(CLOCK_vmport, 1000000000);
	vmport_ps = ~0u;
	for (i = 0; i < 100; i++) {
		host_wall += 4294967;
		good &= !rom_wallclock_updated();
	}
	ok(good, "vmport: nor slower ones");
	start(CLOCK_vmport, 1000000000);
	pass(5000);
	host_wall = 0;
	ok(same64(rom_wallclock(), 1800000000ull * NANOSECONDS + 5000, "nanoseconds") &&
		   !rom_wallclock_updated(),
	   "vmport: where nobody answers any more the TSC carries on");

	/* Linux's published code overflowed after 208 days. */
	for (i = 0; i < sizeof(hz) / sizeof(*hz); i++)
		for (year = 0; year <= 50; year += 5) {
			u64 seconds = year * 31556952ull, got;
			long long error;

			start(CLOCK_tsc, hz[i]);
			ps = 0;
			state->clock.wall_ns = 1800000000ull * NANOSECONDS;
			state->clock.wall_at = 0;
			tsc_at_0 = seconds * hz[i] + hz[i] / 2;
			got = rom_wallclock();
			error = (long long)(got - (1800000000ull + seconds) * NANOSECONDS -
					    500000000);
			/* 1 ppb, from rounding the 32.32 rate; 10 ppb at 100 MHz and below is less */
			if (error > (long long)(seconds * 3 + 10) ||
			    error < -(long long)(seconds * 3 + 10)) {
				printf("# %llu Hz, %u years: %lld ns off\n", hz[i], year, error);
				good = false;
			}
			good &= same64(clock_now(state, NULL), tsc_at_0, "the counter");
		}
	ok(good, "tsc: the time of day is right to 3 ppb for 50 years");
	start(CLOCK_tsc, 1000000000);
	ok(!rom_wallclock_updated(), "tsc: no step");
	posted = false;
	ok(!rom_wallclock() && !rom_wallclock_updated() && !rom_cycle_frequency() && !counter(0),
	   "without POST everything is 0");
	posted = true;
	machine_reset();
	ok(!rom_wallclock() && !rom_wallclock_updated() && !rom_cycle_frequency(),
	   "with no frequency, too");
}

/* ------------------------------------------------------------------------
 * The PIT, the PM timer and the PIC, for measuring
 */

#define PM_PORT 0x608

static u64 pit_phase_0, pm_phase_0, pit_stops, pm_stops; /* stops: ps */
static bool pit_mode_3, pit_one_shot, irq0_masked, pm_there;
static u64 bios_turns; /* that the BIOS has counted */
static u32 bda[0x500 / 4];
static int latch;
static u32 latched;
static u8 cmos_index;
static u8 cmos_read(u8 index);
static u8 pic_select;

static u64 pit_ticks(void)
{
	u64 now = pit_stops && ps > pit_stops ? pit_stops : ps;

	return pit_phase_0 + (u64)((long double)now * PIT_HZ / 1e12L);
}

static u8 inb(u16 port)
{
	ps += port_ps;
	switch (port) {
	case 0x20:
		return pic_select == 0x0a && pit_ticks() / 65536 != bios_turns ? 1 : 0;
	case 0x21:
		return irq0_masked ? 0xff : 0xb8;
	case PIT_CHANNEL_0:
		latch++;
		return (u8)(latch == 1 ? latched >> 16 : latch == 2 ? latched : latched >> 8);
	case CMOS_DATA:
		return cmos_read(cmos_index);
	}
	return 0xff;
}

static void outb(u16 port, u8 value)
{
	u32 phase;

	ps += port_ps;
	switch (port) {
	case PIT_CONTROL:
		phase = (u32)(pit_ticks() & 0xffff);
		latch = 0;
		latched = (0x10000 - phase) & 0xffff;
		if (pit_mode_3) /* by 2, twice */
			latched = (0x10000 - phase % 32768 * 2) & 0xffff;
		latched |= pit_one_shot ? 0x300000u : pit_mode_3 ? 0x360000u : 0x340000u;
		if (!pit_mode_3 || phase < 32768)
			latched |= 0x800000;
		break;
	case 0x20:
		pic_select = value;
		break;
	case CMOS_INDEX:
		cmos_index = value & 0x7f;
		break;
	}
}

static u32 inl(u16 port)
{
	u64 now;

	ps += port_ps;
	if (port != PM_PORT)
		return ~0u;
	now = pm_stops && ps > pm_stops ? pm_stops : ps;
	return (u32)(pm_phase_0 + (u64)((long double)now * PM_TIMER_HZ / 1e12L)) & 0xffffff;
}

static void *at(u32 address)
{
	return address < sizeof(bda) ? (void *)((u8 *)bda + address) : memory + (address & 0xfffff);
}

static u32 noise_ps; /* other interrupts come so often; 0: none */
static bool midnight;

/* What POST does where it is told to: until the next interrupt. */
static void halt(void)
{
	u64 turn = pit_ticks() / 65536, tick = bios_turns + 1;

	if (turn == bios_turns) {
		u64 ps_tick = (u64)((long double)(tick * 65536 - pit_phase_0) * 1e12L / PIT_HZ) + 1;

		if (noise_ps && ps + noise_ps < ps_tick) {
			ps += noise_ps;
			return;
		}
		ps = ps_tick;
	}
	bios_turns = pit_ticks() / 65536;
	ps += 3 * MILLION; /* its handler */
	bda[BDA_TICKS / 4] = midnight ? 0 : bda[BDA_TICKS / 4] + 1;
	midnight = false;
}

struct result {
	long double ppm; /* the worst */
	u64 ps;
	u32 failed, halts;
};

static void measure(struct result *result)
{
	struct post post = { .eflags = VMI_IF };
	u64 before;
	long double ppm;

	state->clock.tsc_hz = 0;
	state->acpi.pm_timer = pm_there ? PM_PORT : 0;
	post.state = state;
	pic_select = 0x0a;
	bios_turns = pit_phase_0 / 65536;
	before = ps;
	while (clock_measure(&state->clock, &post)) {
		result->halts++;
		halt();
	}
	if (ps - before > result->ps)
		result->ps = ps - before;
	if (!state->clock.tsc_hz) {
		result->failed++;
		return;
	}
	ppm = ((long double)state->clock.tsc_hz / tsc_hz - 1) * 1e6L;
	ppm = ppm < 0 ? -ppm : ppm;
	if (ppm > result->ppm)
		result->ppm = ppm;
}

static u32 seed = 1;

static u32 random32(void)
{
	seed = seed * 1664525 + 1013904223;
	return seed >> 8 ^ seed << 16;
}

#define PIT_ONLY 1
#define MODE_3 2
#define MASKED 4
#define NOISE 8
#define ONE_SHOT 16

static void measure_many(const char *name, u32 flags, u32 port, long double most_ppm)
{
	struct result r = { 0 };
	u32 i, n = flags & MASKED ? 100 : 1000;

	for (i = 0; i < n; i++) {
		machine_reset();
		tsc_hz = 100 * MILLION + (u64)random32() * 5000 * MILLION / 0xffffffff;
		port_ps = port;
		rdtsc_ps = 8000;
		pit_phase_0 = 65536 + random32() % 65536;
		pm_phase_0 = random32() & 0xffffff;
		pit_mode_3 = flags & MODE_3;
		pit_one_shot = flags & ONE_SHOT;
		irq0_masked = flags & MASKED;
		pm_there = !(flags & PIT_ONLY);
		noise_ps = flags & NOISE ? 10000000 + random32() % 4000000 * 1000 : 0;
		midnight = i % 2;
		bda[BDA_TICKS / 4] = 0x1800af;
		measure(&r);
	}
	printf("# %s: %u, %.1Lf ppm at most, %.3Lf ms at most\n", name, n, r.ppm, r.ps / 1e9L);
	ok(!r.failed && r.ppm <= most_ppm && r.ps <= 60000 * MILLION &&
		   !(flags & (MASKED | ONE_SHOT)) == !!r.halts,
	   "%s: within %.0Lf ppm, within 60 ms", name, most_ppm);
}

static void measuring(void)
{
	struct result r;
	u32 pm;

	measure_many("PM timer, 20 ns a port", 0, 20000, 100);
	measure_many("PM timer, 1 us a port", 0, MILLION, 100);
	measure_many("PM timer, PIT in mode 3", MODE_3, 20000, 100);
	measure_many("PM timer, other interrupts", NOISE, 100000, 100);
	measure_many("PM timer, IRQ 0 masked", MASKED, 500000, 100);
	measure_many("PIT, 20 ns a port", PIT_ONLY, 20000, 100);
	measure_many("PIT, 1 us a port", PIT_ONLY, MILLION, 500);
	measure_many("PIT in mode 3", PIT_ONLY | MODE_3, 20000, 100);
	measure_many("PIT, other interrupts", PIT_ONLY | NOISE, 100000, 200);
	measure_many("PIT, IRQ 0 masked", PIT_ONLY | MASKED, 500000, 500);

	for (pm = 0; pm < 3; pm++) {
		memset(&r, 0, sizeof(r));
		machine_reset();
		port_ps = MILLION;
		noise_ps = 0;
		pit_mode_3 = pit_one_shot = false;
		irq0_masked = pm < 2;
		pm_there = pm;
		pit_phase_0 = 70000;
		pm_stops = 1000 * MILLION; /* after 1 ms */
		pit_stops = pm ? 0 : pm_stops;
		measure(&r);
		ok(r.failed && r.ps <= 60000 * MILLION, "%s that stops, %s: no clock, within 60 ms",
		   pm ? "a PM timer" : "a PIT", pm < 2 ? "polled" : "with HLT");
	}
	irq0_masked = false;
	/* A PM timer that never moved: the PIT does. */
	memset(&r, 0, sizeof(r));
	machine_reset();
	pit_phase_0 = 70000;
	pm_stops = 1;
	pit_stops = 0;
	pm_there = true;
	port_ps = 100000;
	measure(&r);
	ok(!r.failed && r.ppm < 100, "a PM timer that stands: the PIT, %.1Lf ppm", r.ppm);
	pm_stops = 0;
	port_ps = 100000;
}

static void stated(const char *name, u32 a, u32 b, u32 c, u32 khz, u64 want)
{
	struct post post = { .eflags = 0 };

	machine_reset();
	leaf_15[0] = a;
	leaf_15[1] = b;
	leaf_15[2] = c;
	leaf_timing[0] = khz;
	post.state = state;
	pm_there = true;
	state->acpi.pm_timer = PM_PORT;
	tsc_hz = 2345678901ull;
	clock_measure(&state->clock, &post);
	if (want)
		ok(same64(state->clock.tsc_hz, want, "Hz"), "%s", name);
	else
		ok(state->clock.tsc_hz > 2345600000u && state->clock.tsc_hz < 2345800000u, "%s",
		   name);
}

static void leaves(void)
{
	stated("CPUID 15: crystal * EBX / EAX", 2, 216, 24000000, 0, 2592000000ull);
	stated("CPUID 15 before 40000010", 2, 216, 24000000, 1000000, 2592000000ull);
	stated("CPUID 40000010: kHz", 0, 0, 0, 2893210, 2893210000ull);
	stated("CPUID 15 without its crystal is measured", 2, 216, 0, 0, 0);
	stated("CPUID 16's 2900 MHz are not believed", 0, 0, 0, 0, 0);
}

/* ------------------------------------------------------------------------
 * RTC
 */

static struct {
	u32 seconds, minutes, hours, day, month, year;
} date;
static u8 status_b, century_at, century_garbage;
static u32 updating, reads, next_second_at;

static u8 coded(u32 value)
{
	return (u8)(status_b & RTC_STATUS_B_BINARY ? value : value / 10 << 4 | value % 10);
}

static u8 cmos_read(u8 index)
{
	u32 hours = date.hours;

	if (next_second_at && ++reads == next_second_at) {
		date.year = 2000;
		date.month = date.day = 1;
		date.hours = date.minutes = date.seconds = 0;
	}
	if (index == century_at)
		return century_garbage ? century_garbage : coded(date.year / 100);
	switch (index) {
	case RTC_SECONDS:
		return coded(date.seconds);
	case RTC_MINUTES:
		return coded(date.minutes);
	case RTC_HOURS:
		if (status_b & RTC_STATUS_B_24H)
			return coded(hours);
		return coded((hours + 11) % 12 + 1) | (hours >= 12 ? RTC_HOURS_PM : 0);
	case RTC_DAY:
		return coded(date.day);
	case RTC_MONTH:
		return coded(date.month);
	case RTC_YEAR:
		return coded(date.year % 100);
	case RTC_STATUS_A:
		return 0x26 | (updating && updating-- ? RTC_STATUS_A_UPDATING : 0);
	case RTC_STATUS_B:
		return status_b;
	}
	return 0;
}

/* By counting days. */
static u64 seconds_since_1970(void)
{
	static const u8 length[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	u64 n = date.day - 1;
	u32 y, m;

	for (y = 1970; y < date.year; y++)
		n += 365 + ((y % 4 == 0 && y % 100) || y % 400 == 0);
	for (m = 1; m < date.month; m++)
		n += length[m - 1] +
		     (m == 2 && ((date.year % 4 == 0 && date.year % 100) || date.year % 400 == 0));
	return ((n * 24 + date.hours) * 60 + date.minutes) * 60 + date.seconds;
}

static const u32 dates[][6] = {
	{ 1970, 1, 1, 0, 0, 0 },    { 1999, 12, 31, 23, 59, 58 }, { 2000, 2, 29, 12, 0, 0 },
	{ 2000, 3, 1, 0, 30, 0 },   { 2026, 11, 21, 10, 20, 30 }, { 2038, 1, 19, 3, 14, 8 },
	{ 2069, 12, 31, 13, 1, 1 }, { 2100, 3, 1, 11, 59, 0 },	  { 2199, 12, 31, 1, 2, 3 },
};

static void set_date(u32 i)
{
	date.year = dates[i][0];
	date.month = dates[i][1];
	date.day = dates[i][2];
	date.hours = dates[i][3];
	date.minutes = dates[i][4];
	date.seconds = dates[i][5];
}

static void rtc(void)
{
	u32 i, format, century;
	bool good;

	for (format = 0; format < 4; format++)
		for (century = 0; century < 3; century++) {
			good = true;
			status_b = (u8)(format << 1);
			century_at = century ? century == 1 ? 0x32 : 0x48 : 0x32;
			century_garbage = century ? 0 : 0xff;
			for (i = 0; i < sizeof(dates) / sizeof(*dates); i++) {
				set_date(i);
				if (!century && (date.year < 1970 || date.year > 2069))
					continue;
				good &= same64(rtc_nanoseconds(century == 2 ? 0x48 : 0),
					       seconds_since_1970() * NANOSECONDS, "nanoseconds");
			}
			ok(good, "RTC: %s, %u hours, %s", format & 2 ? "binary" : "BCD",
			   format & 1 ? 24 : 12,
			   century == 0	  ? "no century"
			   : century == 1 ? "century at 32"
					  : "century where the FADT says");
		}
	status_b = 2;
	century_at = 0x32;
	century_garbage = 0;
	set_date(4);
	updating = 500;
	good = same64(rtc_nanoseconds(0), seconds_since_1970() * NANOSECONDS, "nanoseconds");
	ok(good && !updating, "RTC: waits for the end of an update");
	updating = 1u << 31;
	good = same64(rtc_nanoseconds(0), seconds_since_1970() * NANOSECONDS, "nanoseconds");
	ok(good && (1u << 31) - updating < 10000, "RTC: but not for ever");
	updating = 0;
	good = true;
	for (i = 1; i < 20; i++) {
		u64 before;

		set_date(1);
		date.seconds = 59;
		before = seconds_since_1970();
		reads = 0;
		next_second_at = i;
		before = rtc_nanoseconds(0) / NANOSECONDS - before;
		good &= before <= 1;
	}
	next_second_at = 0;
	ok(good, "RTC: an update between two registers");
	set_date(4);
	date.month = 13;
	ok(!rtc_nanoseconds(0), "RTC: nonsense is 0");
}

/* ------------------------------------------------------------------------
 * The stub, on the real processor
 */

static vmi_u64 (*stub)(u32 which) __attribute__((regparm(3)));
static u32 image_at, image_end, stepped_in, cli_seen;
static volatile bool stop;

static void on_fault(int signal_number, siginfo_t *info, void *context)
{
	ucontext_t *c = context;
	u32 eip = (u32)c->uc_mcontext.gregs[REG_EIP];

	(void)info;
	if (signal_number == SIGTRAP) {
		stepped_in += eip >= image_at && eip < image_end;
		return;
	}
	if (eip >= image_at && eip < image_end && *(u8 *)eip == 0xfa) {
		cli_seen++;
		c->uc_mcontext.gregs[REG_EIP]++;
		return;
	}
	printf("Bail out! fault at %x\n", eip);
	fflush(stdout);
	_exit(1);
}

static u64 scaled(const struct pvclock *page, u64 tsc)
{
	return page->system_time + pvclock_reference(tsc - page->tsc_timestamp, page->tsc_shift,
						     page->tsc_to_system_mul);
}

/* Between what the page says of the TSC before and after. */
static bool between(u32 which, u64 minus)
{
	struct pvclock *page = &kvmclock_of(state)->cpu[0].pvclock;
	u64 before = real_rdtsc(), got = stub(which), after = real_rdtsc();

	if (got + minus >= scaled(page, before) && got + minus <= scaled(page, after))
		return true;
	printf("# %llu is not between %llu and %llu\n", got + minus, scaled(page, before),
	       scaled(page, after));
	return false;
}

/* The host, on another processor: the same line all the time, through other points. */
#define ORIGIN 1000000000000ull
static void *updater(void *unused)
{
	struct pvclock *page = &kvmclock_of(state)->cpu[0].pvclock;
	u64 start_tsc = page->tsc_timestamp;
	u32 i;

	(void)unused;
	for (i = 1; !stop; i++) {
		volatile u32 *version = &page->version;

		(*version)++;
		__sync_synchronize();
		page->system_time = 0;
		page->tsc_timestamp = start_tsc - (u64)(i % 1000) * 1000000;
		page->tsc_to_system_mul = 1;
		__sync_synchronize();
		page->system_time = ORIGIN - (u64)(i % 1000) * 1000000;
		page->tsc_to_system_mul = 1u << 31;
		__sync_synchronize();
		(*version)++;
		usleep(i & 63 ? 0 : 1);
	}
	return NULL;
}

bool image_patch(struct rom_image *image, u32 *word, u32 value)
{
	(void)image;
	*word = value;
	return true;
}

static u32 count_steps(u32 which)
{
	stepped_in = 0;
	__asm__ volatile("pushfl\n\torl $0x100, (%%esp)\n\tpopfl" : : : "cc", "memory");
	stub(which);
	__asm__ volatile("pushfl\n\tandl $~0x100, (%%esp)\n\tpopfl" : : : "cc", "memory");
	return stepped_in;
}

static void stub_tests(const char *file, u32 offset)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	struct rom_image *image = (struct rom_image *)(memory + 0xca000);
	struct kvmclock *kvm = kvmclock_of(state);
	struct pvclock *page = &kvm->cpu[0].pvclock;
	int fd = open(file, O_RDONLY);
	struct vmi_call_record *record;
	pthread_t thread;
	bool good;
	u32 i, n, most = 0;
	u64 before;

	if (fd < 0 || read(fd, image, 0x10000) < 0x1000) {
		printf("Bail out! %s\n", file);
		exit(1);
	}
	close(fd);
	image_at = (u32)image;
	image_end = image_at + 0x10000;
	sigaction(SIGSEGV, &action, (void *)0);
	sigaction(SIGTRAP, &action, (void *)0);
	*(u32 *)&stub = image_at + offset;

	machine_reset();
	/* Every CPU is the first one. */
	memset(state->cpu_of_apic_id, 1, sizeof(state->cpu_of_apic_id));
	image->about.state_distance = (u32)state - image_at;

	good = true;
	for (i = 0; i < 3; i++) {
		u64 got;

		before = real_rdtsc();
		got = stub(i);
		good &= i == 2 ? !got : got >= before && got <= real_rdtsc();
	}
	good &= !stub(3) && !stub(0xffffff00);
	clock_bind(image, CLOCK_vmport);
	good &= stub(VMI_CYCLES_REAL) >= before;
	ok(good, "stub: tsc");
	n = count_steps(VMI_CYCLES_REAL);
	printf("# stub: tsc: %u instructions\n", n);
	ok(n == 4, "stub: tsc: 4 instructions");

	clock_bind(image, CLOCK_kvmclock);
	record = (struct vmi_call_record *)((u8 *)image + image->about.calls);
	ok(record[VMI_ID_GetCycleCounter].inline_size == VMI_NO_INLINE,
	   "stub: kvmclock cannot stand at a call site");
	state->clock.kind = CLOCK_kvmclock;
	state->clock.kvm_stable = PVCLOCK_STABLE;
	kvm->cpu[0].registered = true;
	kvm->cpu[0].stable = PVCLOCK_STABLE;
	page->version = 2;
	page->tsc_timestamp = real_rdtsc() - 123456789;
	page->system_time = 1000;
	page->flags = PVCLOCK_STABLE;
	good = true;
	for (i = 0; i < 7; i++) {
		static const u32 mul[] = { 1u << 31, 0xffffffff, 0x89705f41, 2863311531u };

		page->tsc_shift = (signed char)((int)i - 3);
		page->tsc_to_system_mul = mul[i % 4];
		good &= between(VMI_CYCLES_REAL, 0);
		n = count_steps(VMI_CYCLES_REAL);
		most = n > most ? n : most;
	}
	ok(good && !cli_seen, "stub: kvmclock, every shift");
	printf("# stub: kvmclock: %u instructions\n", most);
	ok(most > 20 && most <= 40, "stub: kvmclock: at most 40 instructions");
	page->tsc_shift = 1;
	page->tsc_to_system_mul = 1u << 31;
	kvm->cpu[0].steal.steal = 5000;
	kvm->cpu[0].steal.version = 2;
	good = between(VMI_CYCLES_AVAILABLE, 5000) && stub(VMI_CYCLES_STOLEN) == 5000;
	good &= !stub(3) && !stub(0xffffff00);
	ok(good, "stub: kvmclock's other counters");
	n = count_steps(VMI_CYCLES_AVAILABLE);
	printf("# stub: kvmclock, available: %u instructions\n", n);
	kvm->cpu[0].stable = 0;
	n = cli_seen;
	ok(between(VMI_CYCLES_REAL, 0) && cli_seen == n + 1 && kvm->last,
	   "stub: kvmclock, no stable pages");
	kvm->cpu[0].stable = PVCLOCK_STABLE;

	page->tsc_timestamp = real_rdtsc();
	page->system_time = ORIGIN;
	stop = false;
	n = page->version;
	{
		u64 origin = page->tsc_timestamp;

		good = !pthread_create(&thread, (void *)0, updater, (void *)0);
		/* A machine that is busy may give the other thread its turn late. */
		for (i = 0; good && (i < 300000 || (page->version - n <= 100 && i < 100000000));
		     i++) {
			u64 tsc = real_rdtsc(), got = stub(VMI_CYCLES_REAL), after = real_rdtsc();

			if (got < ORIGIN + tsc - origin || got > ORIGIN + after - origin) {
				printf("# %llu, TSC %llu to %llu\n", got, tsc - origin + ORIGIN,
				       after - origin + ORIGIN);
				good = false;
			}
		}
	}
	stop = true;
	pthread_join(thread, (void *)0);
	printf("# stub: %u updates meanwhile\n", (page->version - n) / 2);
	ok(good && page->version - n > 100, "stub: kvmclock, while the host writes");
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	memory = mmap((void *)0x20000000, 0x100000, PROT_READ | PROT_WRITE | PROT_EXEC,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		printf("Bail out! no memory\n");
		return 1;
	}
	state = (struct state *)(memory + 0x9f000);
	choices();
	kvm_reading();
	kvm_rates();
	walls();
	measuring();
	leaves();
	rtc();
	stub_tests(argv[1], (u32)strtoul(argv[2], (void *)0, 0));
	return tap_done();
}
