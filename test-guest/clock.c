/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The clock: its frequency, its counters, the time of day and its steps, with
 * the RTC's time and with a host's.
 *
 * RUN: {flat,high,pae},rom={vmi,vmi-13},icount,is=tsc
 * RUN: flat,rom=vmi,is=tsc
 * RUN: flat,rom=vmi,noacpi,icount,is=tsc
 * RUN: {flat,high,pae},rom={vmi,vmi-13},vmport,icount,is=vmport
 * RUN: flat,rom=vmi,vmport,is=vmport
 * RUN: flat,rom=vmi,vmport,machine=q35,smp=2,icount,is=vmport
 * RUN: flat,rom=vmi,vmport,clock={auto,vmport},icount,is=vmport
 * RUN: flat,rom=vmi,vmport,clock={tsc,kvmclock,other},icount,is=tsc
 * RUN: flat,rom={vmi,vmi-13},kvm,smp=2,is=kvmclock
 * RUN: flat,rom=vmi,kvm,clock=tsc,is=tsc
 * RUN: flat,rom=vmi,vmport,bare,clock=vmport,icount,is=tsc
 * RUN: {flat,pae},rom=vmi,icount,is=vmm,host=svm,trap={time,all}
 * RUN: flat,rom=vmi,is=vmm,host=svm,trap=time
 * RUN: flat,rom=vmi,icount,is=tsc,host=svm,trap=irq
 * RUN-FULL: high,rom={vmi,vmi-13},smp=2,icount,is=vmm,host=svm,trap={time,all}
 */
#include "guest.h"

#define NS 1000000000ull
#define RTC_BASE 1798761600ull /* the runner's */

#define BACKDOOR 0x5658
#define MAGIC 0x564d5868
enum { GETTIMEFULL = 46, SET = 60, DRIFT = 61, COUNT = 62, REMOVE = 63 };

#define PM_TIMER 0x608
#define PM_HZ 3579545

static struct rom rom;
static u64 hz;
static bool vmm; /* the counter is not the TSC, but a VMM's */

static bool backdoor(u32 number, u32 *b, u32 *d, u32 *s)
{
	u32 a = MAGIC;

	*d = BACKDOOR;
	__asm__ volatile("inl %%dx, %%eax" : "+a"(a), "+b"(*b), "+c"(number), "+d"(*d), "+S"(*s));
	return a == MAGIC;
}

/* The host's time, in nanoseconds. */
static u64 host(void)
{
	u32 b = 0, d, s = 0;

	if (!backdoor(GETTIMEFULL, &b, &d, &s))
		bail("no vmport that tells the time");
	return ((u64)s << 32 | d) * NS + b * 1000ull;
}

static void host_step(long long ns)
{
	u32 b = (u32)ns, d, s = (u32)((u64)ns >> 32);

	if (!backdoor(SET, &b, &d, &s))
		bail("no vmport that can be set");
}

static void host_drift(int ppm)
{
	u32 b = (u32)ppm, d, s = 0;

	backdoor(DRIFT, &b, &d, &s);
}

static u32 host_told(void)
{
	u32 b = 0, d, s = 0;

	return backdoor(COUNT, &b, &d, &s) ? b : ~0u;
}

static void host_silent(void)
{
	u32 b = 0, d, s = 0;

	backdoor(REMOVE, &b, &d, &s);
}

static u64 wall(void)
{
	return VMI(&rom, GetWallclockTime)();
}

static u32 updated(void)
{
	return VMI(&rom, WallclockUpdated)();
}

static u64 counter(u32 which)
{
	return VMI(&rom, GetCycleCounter)(which);
}

/* What GetCycleFrequency is of, where that can be read without the ROM. */
static u64 cycles_now(void)
{
	return vmm ? counter(VMI_CYCLES_REAL) : rdtsc();
}

/* Of virtual time, quickly under icount. */
static void rest(u32 ticks)
{
	pit_once(ticks);
	__asm__ volatile("sti\n\thlt\n\tcli");
}

static void wait(u32 seconds)
{
	u32 i;

	for (i = 0; i < seconds * 20; i++)
		rest(59659);
}

/* The TSC where the PM timer says *ticks: the quickest of many looks, on a loaded machine. */
static u64 look(u32 *ticks)
{
	u64 least = ~0ull, tsc = 0;
	u32 i;

	for (i = 0; i < 200; i++) {
		u64 before = rdtsc();
		u32 now = inl(PM_TIMER);
		u64 took = rdtsc() - before;

		if (took < least) {
			least = took;
			tsc = before;
			*ticks = now;
		}
	}
	return tsc;
}

static void frequency(void)
{
	u32 ticks = 0, start = 0;
	u64 first, cycles, want;

	hz = VMI(&rom, GetCycleFrequency)();
	if (option("icount")) {
		print("# %llu Hz\n", hz);
		ok(hz >= NS - NS / 10000 && hz <= NS + NS / 10000, "1 GHz within 100 ppm");
		return;
	}
	first = look(&start);
	while (((inl(PM_TIMER) - start) & 0xffffff) < PM_HZ)
		;
	cycles = look(&ticks) - first;
	ticks = (ticks - start) & 0xffffff;
	want = divide64(cycles * PM_HZ, ticks);
	print("# %llu Hz, %llu in a second\n", hz, want);
	ok(hz >= want - divide64(want, 2000) && hz <= want + divide64(want, 2000),
	   "the frequency within 500 ppm");
}

/* The PM timer, between two looks at the clock. */
struct look {
	u64 before, after;
	u32 ticks;
};

static struct look pm_look(void)
{
	struct look look;

	look.before = counter(VMI_CYCLES_REAL);
	look.ticks = inl(PM_TIMER);
	look.after = counter(VMI_CYCLES_REAL);
	return look;
}

/*
 * A host's cycles are nanoseconds: against the PM timer, for a second. A look may
 * take long on a machine that is simulated; between its ends the timer was read.
 */
static void nanoseconds(void)
{
	struct look first, last;
	u64 want, least, most;

	hz = VMI(&rom, GetCycleFrequency)();
	ok(hz == NS, "1 GHz");
	first = pm_look();
	do
		last = pm_look();
	while (((last.ticks - first.ticks) & 0xffffff) < PM_HZ);
	want = divide64(((last.ticks - first.ticks) & 0xffffff) * NS, PM_HZ);
	least = last.before - first.after;
	most = last.after - first.before;
	ok(most > want - divide64(want, 256) && least < want + divide64(want, 256),
	   "%llu to %llu ns, of the PM timer's %llu", least, most, want);
}

/* Between calls: stolen from what is there is what is available. */
static void stolen(void)
{
	bool good = true;
	u64 last = 0;
	u32 i;

	for (i = 0; i < 100; i++) {
		u64 stolen_before = counter(VMI_CYCLES_STOLEN), before = counter(VMI_CYCLES_REAL);
		u64 available = counter(VMI_CYCLES_AVAILABLE);
		u64 after = counter(VMI_CYCLES_REAL), stolen_after = counter(VMI_CYCLES_STOLEN);

		good &= available + stolen_after >= before && available + stolen_before <= after &&
			available >= last && after >= before;
		last = available;
	}
	ok(good, "available is real less stolen");
	print("# stolen: %llu ns of %llu\n", counter(VMI_CYCLES_STOLEN), counter(VMI_CYCLES_REAL));
}

static u32 steps;

static void count_step(const struct trap *trap)
{
	steps += to_phys(at(trap->eip)) < 0x100000; /* the image, or stubs in RAM */
}

static void counters(void)
{
	u64 last[2] = { 0, 0 }, now;
	u32 i;
	static struct invoke v;
	bool good = true;

	for (i = 0; i < (option("kvm") ? 200 : 20000); i++) {
		now = counter(i & 1);
		good &= now >= last[i & 1];
		last[i & 1] = now;
	}
	ok(good, "real and available, never backwards");
	ok(counter(3) == 0 && counter(0xffffff00) == 0, "what is no counter is 0");
	if (option("kvm")) /* see of_kvm() */
		return;
	on_step(count_step);
	for (i = 0; i < 2; i++) {
		steps = 0;
		v.target = rom_symbol(&rom, "VMI_GetCycleCounter");
		v.in.eax = i;
		v.in.eflags = EFLAGS_1 | EFLAGS_TF;
		v.in.ds = v.in.es = SEL_DATA;
		invoke(&v);
		print("# %u instructions\n", steps);
		ok(steps > 2 && steps <= 40, "%s counter: at most 40 instructions",
		   i ? "available" : "real");
	}
}

static u8 cmos(u8 index)
{
	outb(0x70, index);
	return inb(0x71);
}

static u32 bcd(u8 value)
{
	return (value >> 4) * 10u + (value & 15);
}

/* Since midnight, just after it changed. */
static u32 rtc_seconds(void)
{
	u32 s = cmos(0);

	while (cmos(0) == s)
		if (!option("kvm"))
			rest(11932); /* 10 ms */
	while (cmos(0x0a) & 0x80)
		;
	return (bcd(cmos(4)) * 60 + bcd(cmos(2))) * 60 + bcd(cmos(0));
}

/* In ns, a 64th more or less. */
static u64 ns_of(u64 cycles, bool more)
{
	u64 ns = divide64(cycles * 1000000, (u32)divide64(hz, 1000));

	return more ? ns + (ns >> 6) : ns - (ns >> 6);
}

static void of_rtc(void)
{
	u64 now, want, before, after, least;
	bool good = true;
	u32 i;

	want = (RTC_BASE + rtc_seconds()) * NS;
	now = wall();
	print("# %llu ns, %llu behind the RTC\n", now, want > now ? want - now : 0);
	/* POST read whole seconds. */
	ok(now + NS >= want && now <= want + NS / 50, "the RTC's time, within a second");
	/* A vCPU may be preempted at any time: between two limits. */
	before = cycles_now();
	now = wall();
	after = cycles_now();
	if (!option("kvm"))
		wait(option("icount") ? 10 : 1);
	while (cycles_now() - before < (option("kvm") ? hz : hz >> 3))
		;
	least = ns_of(cycles_now() - after, false);
	now = wall() - now;
	want = ns_of(cycles_now() - before, true);
	ok(now > least && now < want, "and it goes on: %llu ns, %llu to %llu", now, least, want);
	for (i = 0; i < 100; i++)
		good &= !updated();
	ok(good, "no step");
	if (option("vmport"))
		ok(host_told() == 0, "and nobody asked the host");
}

static u32 seen;

static void poll_there(void)
{
	seen = updated() + 1;
}

static volatile u64 there[4];

static void count_there(void)
{
	rom_init(&rom);
	there[1] = counter(VMI_CYCLES_AVAILABLE);
	there[2] = counter(VMI_CYCLES_REAL);
	there[0] = 1;
}

/* No interrupts and no steps here: what simulates KVM may not know them. */
static void of_kvm(void)
{
	u32 start = option_number("now", 0), i;
	u64 now = wall(), before, cycles;
	bool good = true;

	print("# %llu ns\n", now);
	ok(now >= start * NS && now < (start + 300) * NS, "the host's time");
	for (i = 0; i < 20; i++)
		good &= !updated();
	ok(good, "no step");
	cycles = counter(VMI_CYCLES_REAL);
	now = wall();
	while (counter(VMI_CYCLES_REAL) - cycles < NS / 2)
		;
	now = wall() - now;
	cycles = counter(VMI_CYCLES_REAL) - cycles;
	ok(now > cycles - NS / 10 && now < cycles + NS / 10 && !updated(),
	   "and it goes on: %llu ns of %llu", now, cycles);
	before = counter(VMI_CYCLES_REAL);
	ok(cpu_start(1, count_there), "the other CPU comes");
	for (i = 0; i < 10000000 && !there[0]; i++)
		__asm__ volatile("pause");
	ok(there[0] && there[2] > before && there[2] < counter(VMI_CYCLES_REAL),
	   "its counter is the same");
	ok(there[1] && there[1] <= there[2], "and some of it was available");
}

static void of_host(void)
{
	u64 before = 0, now = 0, after = 0;
	u32 i, told;
	bool good = true;

	for (i = 0; i < 1000; i++) {
		before = host();
		now = wall();
		after = host();
		good &= before <= now && now <= after;
	}
	expect(good, "host %llu, %llu, host %llu", before, now, after);
	point("the host's time to the microsecond");
	told = host_told();
	wall();
	ok(host_told() == told + 1, "one look at the host a call");

	for (i = 0; i < 100; i++)
		good &= !updated();
	wait(option("icount") ? 20 : 2);
	ok(good && !updated(), "no step");
	host_step(3600 * (long long)NS);
	ok(wall() - after >= 3600 * NS, "an hour later");
	ok(updated() == 1 && !updated() && !updated(), "is a step, once");
	host_step(-50000000);
	ok(!updated(), "0.05 s back is none");
	before = wall();
	host_step(-10 * (long long)NS);
	now = wall();
	ok(now < before && now > before - 11 * NS, "10 s back");
	ok(updated() == 1 && !updated(), "is one");
	host_step(NS / 4);
	wait(1);
	ok(updated() == 1 && !updated(), "as is 0.25 s");
	if (option_number("cpus", 1) > 1) {
		host_step(NS);
		ok(cpu_start(1, poll_there), "the other CPU comes");
		for (i = 0; i < 1000000 && !*(volatile u32 *)&seen; i++)
			__asm__ volatile("pause");
		ok(seen == 2 && !updated(), "a step is told once, on any CPU");
	}
	if (option("icount")) {
		for (i = 0; i < 2; i++) {
			host_drift(i ? -900 : 900);
			wait(400);
			ok(!updated(), "%s900 ppm are no step after 400 s", i ? "-" : "");
			for (good = true, told = 0; told < 100; told++) {
				wait(1);
				good &= !updated();
			}
			ok(good, "nor each second");
		}
		host_drift(10000);
		wait(100);
		ok(updated() == 1, "10000 ppm are");
		host_drift(0);
	}
	now = wall();
	host_silent();
	after = wall();
	ok(after - now < NS && after > now && !updated(),
	   "where nobody answers any more it goes on");
}

void guest_main(void)
{
	const struct vmi_about *about;
	const char *is;

	if (!rom_find(&rom, option_number("major", 3)) || rom_init(&rom))
		bail("no image, or no Init");
	about = at((u32)rom.header + sizeof(*rom.header));
	is = option("is"); /* the next option takes its place */
	ok(is && strsame(about->clock, is), "the clock is %s", about->clock);
	vmm = strsame(about->clock, "vmm");
	irq0_quiet();
	if (vmm || strsame(about->clock, "kvmclock")) {
		nanoseconds();
		stolen();
	} else {
		frequency();
	}
	if (!strsame(about->clock, "kvmclock"))
		ok(counter(VMI_CYCLES_STOLEN) == 0, "nothing stolen");
	counters();
	if (strsame(about->clock, "kvmclock"))
		of_kvm();
	else if (strsame(about->clock, "vmport"))
		of_host();
	else
		of_rtc();
	finish();
}
