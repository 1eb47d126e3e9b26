/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Alarms: the rules, how late they come, how periodic ones drift, what the calls
 * cost. Under -icount shift=0 a cycle is an instruction and a nanosecond.
 *
 * RUN: {flat,high,pae},rom={vmi,vmi-13},icount
 * RUN: {high,pae},rom=vmi,icount,apic=unmapped
 * RUN: flat,rom=vmi,cpu=max,icount,clock=tsc,days={210,11000}
 * RUN: {flat,pae},rom=vmi,icount,host=svm,trap={time,all}
 * RUN: pae,rom=vmi,icount,host=svm,trap=irq,rules
 * RUN-FULL: pae,rom=vmi,icount,host=svm,trap={none,mmu,cpu},rules
 * RUN-FULL: high,rom={vmi,vmi-13},icount,host=svm,trap={time,all}
 * RUN-FULL: {high,pae},rom=vmi,icount,apic=unmapped,host=svm,trap={time,all}
 * RUN-FULL: pae,rom=vmi,machine=bochs,mips=1000,rules,time=240
 *
 * days: since the TSC was 0. TCG ignores writes of the TSC, but not the offset of
 * it that its AMD-V has: the guest enters itself as its own guest.
 */
#include "guest.h"

#define VECTOR_LVTT 0x41
#define APIC 0xfee00000
#define APIC_EOI 0xb0
#define APIC_SVR 0xf0
#define APIC_LVTT 0x320
#define APIC_DIVIDE 0x3e0
#define LVTT_MASKED 0x10000u
#define LVTT_MODE 0x60000u
#define LVTT_DEADLINE 0x40000u
#define CPUID_1_ECX_DEADLINE 0x1000000
#define HPET 0xfed00000
#define HPET_CONFIG 0x10

#define MICROSECOND 1000ull
#define MILLISECOND 1000000ull
#define SECOND 1000000000ull

static struct rom rom;
static vmi_SetAlarm_fn *set_alarm;
static vmi_CancelAlarm_fn *cancel_alarm;
static vmi_APICWrite_fn *apic_write;
static vmi_APICRead_fn *apic_read;
static void (*eoi)(u32 offset, u32 value);
static bool traps; /* a VMM's alarms: the ROM has no timer */

static volatile u32 fired;
static volatile u64 fired_at;

static bool on_lvtt(struct trap *trap)
{
	(void)trap;
	fired_at = rdtsc();
	fired++;
	eoi(APIC_EOI, 0);
	return true;
}

static bool on_irq0(struct trap *trap)
{
	(void)trap;
	fired_at = rdtsc();
	fired++;
	return true;
}

static void eoi_3(u32 offset, u32 value)
{
	apic_write(offset, value);
}

/* 13.x: the register's linear address. */
static void eoi_13(u32 offset, u32 value)
{
	VMI(&rom, APICWrite_v13)(at(APIC + offset), value);
}

/* Sleep until `n` more interrupts; false where they do not come within `cycles`. */
static bool await(u32 n, u64 cycles)
{
	u32 before = fired;
	u64 end = rdtsc() + cycles;

	while (fired - before < n && rdtsc() < end)
		__asm__ volatile(
			"sti\n\t.rept 100\n\tnop\n\t.endr\n\tcli"); /* TCG is slow at STI */
	return fired - before >= n;
}

/* The same, halted: for long waits that must end. */
static void sleep_until_fired(void)
{
	u32 before = fired;

	while (fired == before)
		__asm__ volatile("sti\n\thlt\n\tcli");
}

/* ------------------------------------------------------------------------
 * Decades of uptime
 */

#define MSR_EFER 0xc0000080
#define EFER_SVME 0x1000
#define MSR_VM_HSAVE_PA 0xc0010117
#define VMCB_VMRUN 0x10 /* the intercept of VMRUN itself, which must be on */
#define VMCB_ASID 0x58
#define VMCB_TSC_OFFSET 0x50
#define VMCB_SEGMENTS 0x400 /* ES, CS, SS, DS, FS, GS, GDTR, LDTR, IDTR, TR */
#define VMCB_EFER 0x4d0
#define VMCB_CR4 0x548
#define VMCB_CR3 0x550
#define VMCB_CR0 0x558
#define VMCB_EFLAGS 0x570
#define VMCB_RIP 0x578
#define VMCB_RSP 0x5d8

struct vmcb_segment {
	u16 selector, attributes;
	u32 limit;
	u64 base;
};

static u8 vmcb[4096] __attribute__((aligned(4096)));
static u8 host_save[4096] __attribute__((aligned(4096)));

/* From here on the TSC is `cycles` later. */
static void tsc_add(u64 cycles)
{
	struct vmcb_segment *segment = (void *)(vmcb + VMCB_SEGMENTS);
	struct dtr dtr;
	u32 i;

	*(u32 *)(vmcb + VMCB_VMRUN) = 1;
	*(u32 *)(vmcb + VMCB_ASID) = 1;
	*(u64 *)(vmcb + VMCB_TSC_OFFSET) = cycles;
	for (i = 0; i < 4; i++)
		segment[i] = (struct vmcb_segment){ SEL_DATA, 0xc93, 0xffffffff, 0 };
	segment[1] = (struct vmcb_segment){ SEL_CODE, 0xc9b, 0xffffffff, 0 };
	dtr = sgdt();
	segment[6] = (struct vmcb_segment){ 0, 0, dtr.limit, dtr.base };
	dtr = sidt();
	segment[8] = (struct vmcb_segment){ 0, 0, dtr.limit, dtr.base };
	segment[7] = (struct vmcb_segment){ SEL_LDT, 0x082, sizeof(ldt) - 1, (u32)ldt };
	segment[9] = (struct vmcb_segment){ SEL_TSS, 0x08b, sizeof(tss) - 1, (u32)tss };
	*(u64 *)(vmcb + VMCB_EFER) = EFER_SVME;
	*(u64 *)(vmcb + VMCB_CR4) = cr4();
	*(u64 *)(vmcb + VMCB_CR3) = cr3();
	*(u64 *)(vmcb + VMCB_CR0) = cr0();
	*(u64 *)(vmcb + VMCB_EFLAGS) = EFLAGS_1;
	wrmsr(MSR_EFER, EFER_SVME);
	wrmsr(MSR_VM_HSAVE_PA, to_phys(host_save));
	__asm__ volatile("movl %%esp, %1\n\tmovl $1f, %2\n\tvmload\n\tstgi\n\tvmrun\n"
			 "0:\tjmp 0b\n1:"
			 : "+a"((u32){ to_phys(vmcb) }), "=m"(*(u32 *)(vmcb + VMCB_RSP)),
			   "=m"(*(u32 *)(vmcb + VMCB_RIP))
			 :
			 : "ebx", "ecx", "edx", "esi", "edi", "memory", "cc");
}

#define DAY (86400 * SECOND)

static u64 ns_of(u64 cycles, u32 hz)
{
	u64 seconds = divide64(cycles, hz);

	return seconds * SECOND + divide64((cycles - seconds * hz) * SECOND, hz);
}

/*
 * The wall clock goes on with the TSC, by a 32.32 fraction: 2^-32 of what passed
 * may be lost. Counters and frequency are exact.
 */
static void later(void)
{
	vmi_GetWallclockTime_fn *wall = VMI(&rom, GetWallclockTime);
	u64 days = option_number("days", 0) * DAY, hz = VMI(&rom, GetCycleFrequency)();
	u64 t[2], now[2], passed, want;

	if (!days)
		return;
	t[0] = rdtsc();
	now[0] = wall();
	tsc_add(days);
	t[1] = rdtsc();
	now[1] = wall();
	expect(t[1] - t[0] >= days && t[1] - t[0] < days + SECOND, "the TSC is %llu", t[1]);
	passed = now[1] - now[0];
	want = ns_of(t[1] - t[0], (u32)hz);
	expect(passed <= want + MICROSECOND && passed + (want >> 32) + MICROSECOND >= want,
	       "%llu ns passed, not %llu", passed, want);
	equal64(VMI(&rom, GetCycleFrequency)(), hz, "the frequency");
	t[0] = rdtsc();
	now[0] = VMI(&rom, GetCycleCounter)(VMI_CYCLES_REAL);
	expect(now[0] >= t[0] && now[0] <= rdtsc(), "the counter is %llu", now[0]);
	print("# after %u days the wall clock has lost %llu ns\n", option_number("days", 0),
	      want - passed);
	point("%u days later: wall clock, counter", option_number("days", 0));
}

static const struct wiring {
	const char *name;
	u32 flag;
} wirings[] = {
	{ "LVTT", VMI_ALARM_WIRED_LVTT },
	{ "IRQ 0", VMI_ALARM_WIRED_IRQ0 },
};

static void rules(const struct wiring *w)
{
	u64 now, patience = 12 * MILLISECOND;
	u32 counter;

	for (counter = VMI_CYCLES_REAL; counter <= VMI_CYCLES_AVAILABLE; counter++) {
		u32 flags = counter | w->flag;

		now = rdtsc();
		set_alarm(flags, now + 5 * MILLISECOND,
			  MILLISECOND); /* no period without the flag */
		expect(await(1, 20 * MILLISECOND), "it does not fire");
		expect(fired_at >= now + 5 * MILLISECOND, "it is early");
		expect(!await(1, patience), "it fires twice");
		equal(cancel_alarm(flags), 0, "CancelAlarm after the shot");
		point("%s, counter %u: one-shot", w->name, counter);

		set_alarm(flags, rdtsc() - MILLISECOND, 0);
		expect(await(1, 100 * MICROSECOND), "an expiry in the past does not fire at once");
		set_alarm(flags, 0, 0);
		expect(await(1, 100 * MICROSECOND), "an expiry of 0 does not fire at once");
		point("%s, counter %u: the past", w->name, counter);

		set_alarm(flags, rdtsc() + 10 * MILLISECOND, 0);
		equal(cancel_alarm(flags), 1, "CancelAlarm before the shot");
		equal(cancel_alarm(flags), 0, "CancelAlarm again");
		/* QEMU's PIT fires once though its mode was set again. */
		expect(!await(1, 2 * patience) || !w->flag, "it fires though cancelled");
		point("%s, counter %u: cancelled", w->name, counter);

		set_alarm(flags, rdtsc() + 5 * MILLISECOND, 0);
		now = rdtsc();
		set_alarm(flags, now + 20 * MILLISECOND, 0);
		expect(await(1, 40 * MILLISECOND) && fired_at >= now + 20 * MILLISECOND,
		       "the first expiry was in force");
		point("%s, counter %u: armed again", w->name, counter);

		set_alarm(flags | VMI_ALARM_PERIODIC, rdtsc() + MILLISECOND, 0);
		expect(await(1, 5 * MILLISECOND) && !await(1, patience),
		       "a period of 0 is not one-shot");
		point("%s, counter %u: periodic with a period of 0", w->name, counter);

		set_alarm(flags | VMI_ALARM_PERIODIC, rdtsc(), 2 * MILLISECOND);
		expect(await(1, 100 * MICROSECOND), "it does not fire at once");
		now = fired_at;
		expect(await(4, 20 * MILLISECOND), "it does not repeat");
		expect(fired_at - now > 8 * MILLISECOND - 20 * MICROSECOND &&
			       fired_at - now < 8 * MILLISECOND + 50 * MICROSECOND,
		       "4 periods of 2 ms took %llu ns", fired_at - now);
		equal(cancel_alarm(flags), 1, "CancelAlarm of a periodic alarm");
		await(1, MILLISECOND);
		expect(!await(1, 10 * MILLISECOND), "it repeats though cancelled");
		point("%s, counter %u: periodic", w->name, counter);
	}
	set_alarm(VMI_CYCLES_STOLEN | w->flag, rdtsc() + MILLISECOND, 0);
	set_alarm(7 | w->flag, rdtsc() + MILLISECOND, MILLISECOND);
	expect(!await(1, 5 * MILLISECOND), "an alarm of no counter fires");
	point("%s: counters that are none", w->name);
}

/* Fires at `want`, late by no more than a handler's way. */
static void fires_at(u64 want, const char *what)
{
	expect(await(1, 100 * MILLISECOND), "%s: it does not fire", what);
	expect(fired_at >= want, "%s: %llu ns early", what, want - fired_at);
	expect(fired_at - want < 30 * MICROSECOND, "%s: %llu ns late", what, fired_at - want);
}

static void quiet(u64 cycles)
{
	expect(!await(1, cycles), "one too many");
}

/* Counters 0 and 1 on LVTT: EOI is where the ROM goes on with the other one. */
static void two_alarms(void)
{
	u32 real = VMI_CYCLES_REAL | VMI_ALARM_WIRED_LVTT;
	u32 available = VMI_CYCLES_AVAILABLE | VMI_ALARM_WIRED_LVTT;
	u32 i, n;
	u64 start, end;

	for (i = 0; i < 2; i++) { /* the earlier one first, and second */
		start = rdtsc();
		set_alarm(i ? real : available, start + (i ? 2 : 5) * MILLISECOND, 0);
		set_alarm(i ? available : real, start + (i ? 5 : 2) * MILLISECOND, 0);
		fires_at(start + 2 * MILLISECOND, "the first");
		fires_at(start + 5 * MILLISECOND, "the second");
		quiet(10 * MILLISECOND);
		equal(cancel_alarm(real), 0, "CancelAlarm of the first");
		equal(cancel_alarm(available), 0, "CancelAlarm of the second");
	}
	point("LVTT, both counters: two shots");

	start = rdtsc();
	set_alarm(real, start + 2 * MILLISECOND, 0);
	set_alarm(available, start + 4 * MILLISECOND, 0);
	equal(cancel_alarm(real), 1, "CancelAlarm of the first");
	fires_at(start + 4 * MILLISECOND, "the second");
	start = rdtsc();
	set_alarm(real, start + 4 * MILLISECOND, 0);
	set_alarm(available, start + 2 * MILLISECOND, 0);
	set_alarm(available, start + 6 * MILLISECOND, 0);
	fires_at(start + 4 * MILLISECOND, "the one that stood");
	equal(cancel_alarm(available), 1, "CancelAlarm of the other");
	quiet(10 * MILLISECOND);
	point("LVTT, both counters: one cancelled, one moved");

	start = rdtsc();
	set_alarm(real | VMI_ALARM_PERIODIC, start, MILLISECOND);
	set_alarm(available, start + 5500 * MICROSECOND, 0);
	for (i = 0; i <= 5; i++)
		fires_at(start + i * MILLISECOND, "the period");
	fires_at(start + 5500 * MICROSECOND, "the shot");
	for (; i < 20; i++)
		fires_at(start + i * MILLISECOND, "the period, after the shot");
	equal(cancel_alarm(available), 0, "CancelAlarm of the shot");
	equal(cancel_alarm(real), 1, "CancelAlarm of the periodic one");
	quiet(10 * MILLISECOND);
	point("LVTT, both counters: a period and a shot");

	n = fired;
	start = rdtsc();
	set_alarm(real | VMI_ALARM_PERIODIC, start, MILLISECOND);
	set_alarm(available | VMI_ALARM_PERIODIC, start + 300 * MICROSECOND, 700 * MICROSECOND);
	end = start + 100 * MILLISECOND - 50 * MICROSECOND;
	while (rdtsc() < end)
		await(1, MICROSECOND);
	/* 0 to 99 ms; 0.3 to 99.7 ms; those that coincide may come as one. */
	expect(fired - n <= 100 + 143 && fired - n >= 100 + 143 - 15, "%u interrupts", fired - n);
	fires_at(start + 100 * MILLISECOND, "the 101st");
	equal(cancel_alarm(real), 1, "CancelAlarm of the first");
	equal(cancel_alarm(available), 1, "CancelAlarm of the second");
	quiet(10 * MILLISECOND);
	point("LVTT, both counters: two periods");

	start = rdtsc();
	set_alarm(real | VMI_ALARM_PERIODIC, start + 5 * MILLISECOND, 2 * MILLISECOND);
	for (i = 0; i < 5; i++)
		fires_at(start + (5 + 2 * i) * MILLISECOND, "the period");
	cancel_alarm(real);
	start = rdtsc();
	set_alarm(real | VMI_ALARM_PERIODIC, start + 2 * MILLISECOND, 5 * MILLISECOND);
	for (i = 0; i < 5; i++)
		fires_at(start + (2 + 5 * i) * MILLISECOND, "the longer period");
	cancel_alarm(real);
	quiet(10 * MILLISECOND);
	point("LVTT: the first expiry is not the period");
}

/* One each: neither knows of the other. */
static void both_wirings(void)
{
	u64 start = rdtsc();

	set_alarm(VMI_CYCLES_REAL, start + 3 * MILLISECOND, 0);
	set_alarm(VMI_CYCLES_AVAILABLE | VMI_ALARM_WIRED_LVTT, start + 2 * MILLISECOND, 0);
	fires_at(start + 2 * MILLISECOND, "LVTT");
	fires_at(start + 3 * MILLISECOND, "IRQ 0");
	set_alarm(VMI_CYCLES_REAL, rdtsc() + 3 * MILLISECOND, 0);
	set_alarm(VMI_CYCLES_AVAILABLE | VMI_ALARM_WIRED_LVTT, rdtsc() + 3 * MILLISECOND, 0);
	equal(cancel_alarm(VMI_CYCLES_AVAILABLE), 1, "CancelAlarm");
	expect(await(1, 10 * MILLISECOND), "the other wiring's is cancelled, too");
	quiet(10 * MILLISECOND);
	/* Armed again on the other wiring: the first is cancelled. */
	set_alarm(VMI_CYCLES_REAL | VMI_ALARM_WIRED_LVTT, rdtsc() + MILLISECOND, 0);
	start = rdtsc();
	set_alarm(VMI_CYCLES_REAL, start + 3 * MILLISECOND, 0);
	fires_at(start + 3 * MILLISECOND, "on the other wiring");
	point("one alarm on each wiring");
}

/* More than 2^32 cycles, and two of them over when the ROM looks again. */
static void long_period(void)
{
	u32 available = VMI_CYCLES_AVAILABLE | VMI_ALARM_WIRED_LVTT;
	u64 start = rdtsc();
	u32 second;

	set_alarm(available | VMI_ALARM_PERIODIC, start, 5 * SECOND);
	fires_at(start, "the first");
	apic_write(APIC_LVTT, VECTOR_LVTT | LVTT_MASKED);
	set_alarm(VMI_CYCLES_REAL, start + 12 * SECOND, 0);
	sleep_until_fired();
	apic_write(APIC_LVTT, VECTOR_LVTT);
	set_alarm(VMI_CYCLES_REAL | VMI_ALARM_WIRED_LVTT, start + 13 * SECOND, 0);
	for (second = 13; second <= 20; second = second == 13 ? 15 : second + 5) {
		u64 want = start + second * SECOND;

		sleep_until_fired();
		expect(fired_at >= want && fired_at - want < 30 * MICROSECOND,
		       "at %llu ns, not %u s", fired_at - start, second);
	}
	equal(cancel_alarm(available), 1, "CancelAlarm");
	point("LVTT: a period of 5 s goes on, and a shot in between");
}

/*
 * By what it divides: the least that reaches the expiry. By TSC deadline nothing is divided.
 * To the guest of a VMM, LVTT is as it was written.
 */
static void divider(void)
{
	u32 r[4], before = apic_read(APIC_DIVIDE), mode = 0;
	static const struct {
		u64 distance;
		u32 divide;
	} of[] = { { MILLISECOND, 0xb },
		   { 4 * SECOND, 0xb },
		   { 5 * SECOND, 0 },
		   { 10 * SECOND, 1 },
		   { 500 * SECOND, 0xa } };
	u32 i;

	cpuid(1, 0, r);
	if (r[2] & CPUID_1_ECX_DEADLINE)
		mode = LVTT_DEADLINE;
	for (i = 0; i < ARRAY_SIZE(of); i++) {
		set_alarm(VMI_ALARM_WIRED_LVTT, rdtsc() + of[i].distance, 0);
		equal(apic_read(APIC_LVTT) & LVTT_MODE, mode, "LVTT's mode");
		if (traps)
			equal(apic_read(APIC_LVTT), VECTOR_LVTT, "LVTT");
		else
			equal(apic_read(APIC_DIVIDE), mode ? before : of[i].divide,
			      "the divide configuration");
		equal(cancel_alarm(VMI_ALARM_WIRED_LVTT), 1, "CancelAlarm");
	}
	point("LVTT: the mode, the divider with the best resolution");
}

static u32 rearmed;
static u64 rearm_at;

static bool on_lvtt_rearm(struct trap *trap)
{
	if (rearmed) {
		rearmed--;
		rearm_at += 100 * MICROSECOND;
		set_alarm(VMI_ALARM_WIRED_LVTT, rearm_at, 0);
	}
	return on_lvtt(trap);
}

static void rearming(void)
{
	trap_handler before = on_trap(VECTOR_LVTT, on_lvtt_rearm);
	u32 n = fired;

	rearmed = 100;
	rearm_at = rdtsc() + 100 * MICROSECOND;
	set_alarm(VMI_ALARM_WIRED_LVTT, rearm_at, 0);
	while (fired - n < 101 && rdtsc() < rearm_at + MILLISECOND)
		await(1, 10 * MICROSECOND);
	equal(fired - n, 101, "interrupts");
	expect(fired_at >= rearm_at && fired_at < rearm_at + 30 * MICROSECOND, "the last one");
	quiet(MILLISECOND);
	on_trap(VECTOR_LVTT, before);
	point("LVTT: armed again in the handler, before EOI");
}

/*
 * CancelAlarm at every distance around the shot: 1 and nothing comes, or 0 and
 * one interrupt has come or will. A VMM cancels what has not been taken.
 */
static void race(const struct wiring *w, u32 longest, u32 step)
{
	u32 distance, n, cancelled = 0, came = 0;

	for (distance = 0; distance < longest; distance += step) {
		bool was;

		n = fired;
		set_alarm(w->flag, rdtsc() + distance, 0);
		was = cancel_alarm(w->flag);
		await(1, 20 * MICROSECOND);
		if (was)
			cancelled++;
		else
			came++;
		/* QEMU's PIT fires once though its mode was set again. */
		if (!was || w->flag || traps)
			expect(fired - n == !was, "%u cycles: %u and %u interrupts", distance, was,
			       fired - n);
	}
	if (traps)
		equal(came, 0, "shots that came with interrupts off");
	else
		expect(came && cancelled, "no race: %u came, %u were cancelled", came, cancelled);
	point("%s: CancelAlarm racing with the shot", w->name);
}

/* Vector and mask are the guest's, and neither disturbs an alarm. */
static void lvtt_is_the_guests(void)
{
	u32 flags = VMI_ALARM_WIRED_LVTT | VMI_ALARM_PERIODIC;
	u64 start;

	set_alarm(flags, rdtsc(), MILLISECOND);
	await(1, 5 * MILLISECOND);
	apic_write(APIC_LVTT, VECTOR_LVTT | LVTT_MASKED);
	expect(!await(1, 5 * MILLISECOND), "it fires though masked");
	apic_write(APIC_LVTT, VECTOR_LVTT);
	expect(await(3, 5 * MILLISECOND), "it does not go on");
	cancel_alarm(flags);
	point("LVTT masked and opened again through APICWrite");

	start = rdtsc();
	set_alarm(VMI_ALARM_WIRED_LVTT, start + 5 * MILLISECOND, 0);
	apic_write(APIC_LVTT, VECTOR_LVTT + 1);
	apic_write(APIC_LVTT, VECTOR_LVTT | LVTT_MASKED);
	apic_write(APIC_LVTT, VECTOR_LVTT);
	fires_at(start + 5 * MILLISECOND, "one-shot");
	point("LVTT: vector and mask changed while a shot is armed");

	if (!option("apic")) {
		volatile u32 *lvtt = at(APIC + APIC_LVTT);
		bool modes = !traps; /* to be kept. A VMM's LVTT is read with APICRead only */

		start = rdtsc();
		set_alarm(VMI_ALARM_WIRED_LVTT, start + 5 * MILLISECOND, 0);
		*lvtt = (modes ? *lvtt : VECTOR_LVTT) | LVTT_MASKED;
		*lvtt = (modes ? *lvtt : VECTOR_LVTT) & ~LVTT_MASKED;
		fires_at(start + 5 * MILLISECOND, "one-shot");
		set_alarm(flags, rdtsc(), MILLISECOND);
		await(1, 5 * MILLISECOND);
		*lvtt = (modes ? *lvtt : VECTOR_LVTT) | LVTT_MASKED;
		expect(!await(1, 5 * MILLISECOND), "it fires though masked");
		*lvtt = (modes ? *lvtt : VECTOR_LVTT) & ~LVTT_MASKED;
		expect(await(3, 5 * MILLISECOND), "it does not go on");
		cancel_alarm(flags);
		point("LVTT masked and opened again directly");
	}
}

static void sort(u32 *a, u32 n)
{
	u32 i, j;

	for (i = 1; i < n; i++) {
		u32 x = a[i];

		for (j = i; j && a[j - 1] > x; j--)
			a[j] = a[j - 1];
		a[j] = x;
	}
}

#define SHOTS 1000

/* From 10 us to 10 s, six decades; early ones are re-armed, and counted. */
/* Late by at most `worst` ns and `ppm` of the distance. */
static void lateness(const struct wiring *w, u64 longest, u32 worst, u32 ppm)
{
	static u32 late[SHOTS];
	u32 i, early = 0, beyond = 0, over = 0;
	u64 distance = 10 * MICROSECOND;

	for (i = 0; i < SHOTS; i++) {
		u64 expiry = rdtsc() + distance;

		beyond += distance > longest;
		set_alarm(w->flag, expiry, 0);
		sleep_until_fired();
		while (fired_at < expiry) {
			early++;
			set_alarm(w->flag, expiry, 0);
			sleep_until_fired();
		}
		late[i] = (u32)(fired_at - expiry);
		over += late[i] > worst + divide64(distance * ppm, 1000000);
		distance += divide64(distance, 72); /* times 1.0139, 1,000 times */
		if (distance > 10 * SECOND)
			distance = 10 * MICROSECOND;
	}
	sort(late, SHOTS);
	print("# %s: %u one-shot alarms of 10 us to 10 s: median %u ns late, worst %u ns, "
	      "%u early interrupts for %u alarms beyond %llu us\n",
	      w->name, SHOTS, late[SHOTS / 2], late[SHOTS - 1], early, beyond,
	      divide64(longest, 1000));
	expect(!over, "%u shots were later", over);
	expect(early == 0 || beyond, "early though within reach");
	point("%s: lateness at most %u ns and %u ppm of the distance", w->name, worst, ppm);
}

#define PERIODS 10000

static void drift(const struct wiring *w, u64 period, u32 resolution)
{
	u64 first, error, took;
	u32 end;

	set_alarm(w->flag | VMI_ALARM_PERIODIC, rdtsc(), period);
	sleep_until_fired();
	sleep_until_fired();
	first = fired_at;
	end = fired + PERIODS;
	while (fired != end)
		sleep_until_fired();
	took = fired_at - first;
	cancel_alarm(w->flag);
	error = took > PERIODS * period ? took - PERIODS * period : PERIODS * period - took;
	print("# %s: %u periods of %llu ns took %llu ns: %llu ns of drift a period\n", w->name,
	      PERIODS, period, took, divide64(error, PERIODS));
	expect(error <= (u64)PERIODS * resolution + 1000, "drift");
	point("%s: periodic alarms drift by at most %u ns a period", w->name, resolution);
	await(1, MILLISECOND);
}

static u64 call_cycles;
static u32 cost_most;

/* Or as much as the ROM's way to the hypervisor, the hypervisor and the way back take. */
static u32 cost_limit(u32 native)
{
	cost_most = traps ? 700 : native;
	return cost_most;
}

static void cost_of(const char *name, u32 flags, u64 distance, u64 period)
{
	u64 start, expiry, n[2];

	start = rdtsc();
	expiry = distance ? start + distance : 0;
	start = rdtsc();
	set_alarm(flags, expiry, period);
	n[0] = rdtsc() - start - call_cycles;
	start = rdtsc();
	cancel_alarm(flags);
	n[1] = rdtsc() - start - call_cycles;
	print("# instructions, with the CALL, %s: SetAlarm %llu, CancelAlarm %llu\n", name, n[0],
	      n[1]);
	expect(n[0] <= cost_most, "SetAlarm, %s", name);
	expect(n[1] <= cost_most, "CancelAlarm, %s", name);
	await(1, MICROSECOND);
}

static void cost(void)
{
	vmi_GetCycleCounter_fn *counter = VMI(&rom, GetCycleCounter);
	u32 lvtt = VMI_ALARM_WIRED_LVTT;
	u64 start, n;

	start = rdtsc();
	call_cycles = rdtsc() - start;
	start = rdtsc();
	counter(VMI_CYCLES_REAL);
	n = rdtsc() - start - call_cycles;
	print("# instructions, with the CALL: GetCycleCounter %llu\n", n);
	expect(n <= 40, "GetCycleCounter");
	cost_limit(400);
	set_alarm(lvtt, rdtsc() + SECOND, 0); /* LVTT is in the mode of shots from here */
	cost_of("LVTT, 1 ms", lvtt, MILLISECOND, 0);
	cost_of("LVTT, 3 s", lvtt, 3 * SECOND, 0);
	cost_of("LVTT, the past", lvtt, 0, 0);
	cost_of("IRQ 0, 1 ms", 0, MILLISECOND, 0);
	cost_of("IRQ 0, 50 ms", 0, 50 * MILLISECOND, 0);
	cost_of("IRQ 0, 1 ms, periodic", VMI_ALARM_PERIODIC, 0, MILLISECOND);
	cost_of("LVTT, 10 s", lvtt, 10 * SECOND, 0);
	cost_of("LVTT, 500 s", lvtt, 500 * SECOND, 0);
	cost_of("LVTT, 1 ms, periodic", lvtt | VMI_ALARM_PERIODIC, 0, MILLISECOND);
	cost_of("IRQ 0, 10 s", 0, 10 * SECOND, 0);
	cost_of("LVTT, 1 ms, behind the HPET", lvtt, MILLISECOND, 0);
	cost_of("IRQ 0, 10 s, behind LVTT", 0, 10 * SECOND, 0);
	cost_of("IRQ 0, 10 s, periodic", VMI_ALARM_PERIODIC, 0, 10 * SECOND);
	set_alarm(lvtt | VMI_CYCLES_AVAILABLE, rdtsc() + SECOND, 0);
	cost_of("LVTT, both counters", lvtt, MILLISECOND, 0);
	cost_of("LVTT, both counters, the later", lvtt, 2 * SECOND, 0);
	cost_of("LVTT, both counters, periodic", lvtt | VMI_ALARM_PERIODIC, 0, MILLISECOND);
	point("GetCycleCounter in 40 instructions, SetAlarm and CancelAlarm in %u", cost_most);
	cost_limit(410);
	cost_of("LVTT, the available counter's, periodic",
		lvtt | VMI_CYCLES_AVAILABLE | VMI_ALARM_PERIODIC, 0, MILLISECOND);
	set_alarm(lvtt, rdtsc() + SECOND, 0);
	cost_of("LVTT, both counters, the available one's, periodic",
		lvtt | VMI_CYCLES_AVAILABLE | VMI_ALARM_PERIODIC, 0, MILLISECOND);
	cancel_alarm(lvtt);
	cost_limit(460);
	set_alarm(lvtt | VMI_CYCLES_AVAILABLE | VMI_ALARM_PERIODIC, rdtsc(), 100 * MICROSECOND);
	start = rdtsc();
	while (rdtsc() - start < 100 * MILLISECOND)
		;
	cost_of("LVTT, both counters, 1,000 periods behind", lvtt, MILLISECOND, 0);
	cancel_alarm(lvtt | VMI_CYCLES_AVAILABLE);
	point("in %u for a period of the available counter, in %u with the other alarm far "
	      "behind",
	      cost_limit(410), cost_limit(460));
	cost_limit(690);
	set_alarm(0, rdtsc() + SECOND, 0);
	cost_of("from IRQ 0 to LVTT", lvtt, MILLISECOND, 0);
	set_alarm(lvtt, rdtsc() + SECOND, 0);
	cost_of("from LVTT to IRQ 0", 0, MILLISECOND, 0);
	set_alarm(0, rdtsc() + SECOND, 0);
	cost_of("from the HPET to LVTT", lvtt, MILLISECOND, 0);
	set_alarm(lvtt, rdtsc() + SECOND, 0);
	cost_of("from LVTT to the HPET", 0, 10 * SECOND, 0);
	cancel_alarm(0);
	point("in %u from one wiring to the other", cost_most);
}

/* A VMM's timer reaches as far, and it has no use for the HPET, used or not. */
static void no_hpet(void)
{
	volatile u32 *config = at(HPET + HPET_CONFIG);
	u64 expiry;
	u32 enabled;

	irq_unmask(8);
	for (enabled = 0; enabled < 2; enabled++) {
		*config |= enabled;
		expiry = rdtsc() + SECOND;
		set_alarm(0, expiry, 0);
		equal(*config & 3, enabled, "the HPET's enable bits");
		sleep_until_fired();
		expect(fired_at >= expiry && fired_at - expiry < 30 * MICROSECOND,
		       "%llu ns after %llu", fired_at, expiry);
	}
	*config &= ~1u;
	irq_mask_all();
	irq_unmask(0);
	point("far alarms on IRQ 0 without the HPET");
}

/* IRQ 0 beyond the PIT's reach: by the HPET, but not where somebody needs it or the RTC. */
static void hpet(void)
{
	volatile u32 *config = at(HPET + HPET_CONFIG);
	u64 expiry;

	set_alarm(0, rdtsc() + SECOND, 0);
	equal(*config & 3, 3, "the HPET's enable bits while it is used");
	set_alarm(0, rdtsc() + MILLISECOND, 0);
	equal(*config & 3, 0, "and with a near alarm");
	expect(await(1, 5 * MILLISECOND), "it does not fire");
	set_alarm(0, rdtsc() + 60 * MILLISECOND, 0);
	equal(cancel_alarm(0), 1, "CancelAlarm");
	equal(*config & 3, 0, "and without an alarm");
	await(1, 70 * MILLISECOND); /* QEMU's PIT */
	quiet(10 * MILLISECOND);
	point("the HPET has IRQ 0 for far alarms");

	irq_unmask(8);
	expiry = rdtsc() + SECOND;
	set_alarm(0, expiry, 0);
	equal(*config & 3, 0, "the HPET's enable bits");
	expect(await(1, 60 * MILLISECOND) && fired_at < expiry, "the PIT does not reach it");
	irq_mask_all();
	irq_unmask(0);
	point("not while the RTC's interrupt is open");

	*config |= 1;
	set_alarm(0, rdtsc() + SECOND, 0);
	equal(*config & 3, 1, "the HPET's enable bits");
	expect(await(1, 60 * MILLISECOND), "the PIT");
	*config &= ~1u;
	point("not while the guest uses it");
}

void guest_main(void)
{
	u32 i;

	if (!rom_find(&rom, option_number("major", 3)) || rom_init(&rom))
		bail("no ROM");
	set_alarm = VMI(&rom, SetAlarm);
	cancel_alarm = VMI(&rom, CancelAlarm);
	apic_write = VMI(&rom, APICWrite);
	apic_read = VMI(&rom, APICRead);
	traps = rom_traps(&rom, VMI_ID_SetAlarm);
	eoi = rom.major == 13 && !option("apic") ? eoi_13 : eoi_3;
	later();
	if (option("apic")) {
		u32 *directory = phys(cr3() & 0xffffffe0);

		if (paging_pae()) /* entry 3 of the PDPT, the directory's two for the APICs */
			directory = phys(directory[6] & 0xfffff000);
		for (i = 0; i < 8; i++)
			directory[(paging_pae() ? 0x1f6 * 2 : 0x3fb) + (paging_pae() ? i & 3 : 0)] =
				0;
		set_cr3(cr3());
	}
	apic_write(APIC_SVR, 0x1ff);
	apic_write(APIC_LVTT, VECTOR_LVTT);
	equal(apic_read(APIC_LVTT) & 0x100ff, VECTOR_LVTT, "LVTT");
	on_trap(VECTOR_LVTT, on_lvtt);
	on_trap(VECTOR_IRQ, on_irq0);
	point("the local APIC answers");

	if (option("cost")) {
		cost();
		return;
	}
	rules(&wirings[0]);
	two_alarms();
	rearming();
	divider();
	if (option("svm") && !traps) /* the ROM's stores to the local APIC exit */
		race(&wirings[0], 20000, 20);
	else
		race(&wirings[0], 1000, 1);
	lvtt_is_the_guests();
	if (!option("rules")) {
		lateness(&wirings[0], 549 * SECOND, 20000, 0);
		drift(&wirings[0], 123457, 1);
	}

	set_alarm(VMI_ALARM_WIRED_IRQ0, 0, 0); /* the BIOS's tick ends */
	irq_unmask(0);
	while (await(1, MILLISECOND))
		;
	rules(&wirings[1]);
	both_wirings();
	if (option("rules"))
		return;
	long_period();
	race(&wirings[1], 8000, 199);
	cost();
	if (!option("apic"))
		(traps ? no_hpet : hpet)();
	lateness(&wirings[1], 10 * SECOND, 20000, 123);
	irq_unmask(8); /* the PIT alone */
	lateness(&wirings[1], 54917 * MICROSECOND, 20000, 0);
	drift(&wirings[1], 1234567, 838);
}
