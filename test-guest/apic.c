/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The local APIC through the ROM, wherever it is and however it is reached: not
 * mapped, mapped where nobody expects it, moved, in x2APIC mode, disabled. QEMU
 * without KVM has neither a local APIC that moves nor x2APIC mode; Bochs has.
 *
 * RUN: {flat,high,pae},rom={vmi,vmi-13},icount
 * RUN: flat,rom=vmi,cpu=pentium3:-apic
 * RUN: {flat,high,pae},rom={vmi,vmi-13},machine=bochs
 * RUN: {high,pae},rom=vmi,smp=2,icount
 * RUN: {high,pae},rom=vmi,machine=bochs,smp=2
 * RUN: {flat,pae},rom=vmi,machine=bochs,x2apic=first
 * RUN: {flat,high},rom=vmi,machine=bochs,cpu={pentium,core2_penryn_t9600}
 * RUN: {flat,pae},rom=vmi,icount,host=svm,trap={time,irq,all}
 * RUN: pae,rom=vmi,smp=2,icount,host=svm,trap=all
 * RUN-FULL: high,rom={vmi,vmi-13},smp=2,icount,host=svm,trap={time,irq,all}
 *
 * x2apic=first: in x2APIC mode before Init.
 */
#include "guest.h"

#define IA32_APIC_BASE 0x1b
#define BASE_X2APIC 0x400u
#define BASE_ENABLED 0x800u
#define X2APIC_MSR 0x800
#define IA32_TSC_DEADLINE 0x6e0

#define CPUID_EDX_APIC 0x200
#define CPUID_EDX_PGE 0x2000
#define CPUID_ECX_X2APIC 0x200000
#define CPUID_ECX_DEADLINE 0x1000000

#define DEFAULT 0xfee00000
#define ID 0x20
#define VERSION 0x30
#define TPR 0x80
#define EOI 0xb0
#define LDR 0xd0
#define SVR 0xf0
#define ISR 0x100
#define ESR 0x280
#define ICR 0x300
#define ICR_HIGH 0x310
#define LVTT 0x320
#define LINT0 0x350
#define CURRENT_COUNT 0x390
#define DIVIDE 0x3e0
#define MASKED 0x10000u
#define LVTT_MODE 0x60000u
#define LVTT_DEADLINE 0x40000u
#define ICR_ASSERT 0x4000
#define ICR_NMI 0x400
#define ICR_RESERVED 0xfff01000
#define ICR_SELF 0x40000

#define VECTOR 0x41
#define VECTOR_SPURIOUS 0xff

static struct rom rom;
static vmi_APICRead_fn *rom_read;
static vmi_APICWrite_fn *rom_write;
static vmi_SetAlarm_fn *set_alarm;
static vmi_CancelAlarm_fn *cancel_alarm;
static u64 millisecond;

static u32 base = DEFAULT;
static bool x2apic, has_x2apic, deadline, pge;
static bool traps; /* a VMM reads and writes it, and has its timer */
static volatile u32 fired;
static volatile u64 fired_at;

/* ------------------------------------------------------------------------
 * The guest's own way, mapped only while it is used
 */

static u32 own_linear = 0xd0000000;

static u32 native(u32 offset, const u32 *value)
{
	volatile u32 *registers = at(base);
	u32 old = 0;

	if (x2apic) {
		if (value)
			wrmsr(X2APIC_MSR + (offset >> 4), *value);
		else
			old = (u32)rdmsr(X2APIC_MSR + (offset >> 4));
		return old;
	}
	if (paging()) {
		map(own_linear, base, PTE_P | PTE_W | 0x18);
		registers = at(own_linear);
	}
	if (value)
		registers[offset / 4] = *value;
	else
		old = registers[offset / 4];
	if (paging())
		unmap(own_linear);
	return old;
}

static u32 native_read(u32 offset)
{
	return native(offset, NULL);
}

static void native_write(u32 offset, u32 value)
{
	native(offset, &value);
}

/* Where start.S has mapped it. */
static void unmap_it(void)
{
	u32 *directory = phys(cr3() & 0xffffffe0), i;

	if (!paging())
		return;
	if (paging_pae()) /* entry 3 of the PDPT */
		directory = phys(directory[6] & 0xfffff000);
	for (i = 0; i < 4; i++)
		directory[paging_pae() ? 0x1f6 * 2 + i : 0x3fb] = 0;
	set_cr3(cr3());
}

static void enter(u32 to, u32 flags)
{
	wrmsr(IA32_APIC_BASE, to | (rdmsr(IA32_APIC_BASE) & 0x100) | flags);
	base = to;
	x2apic = (flags & BASE_X2APIC) != 0;
}

/* ------------------------------------------------------------------------
 * What has to work in every place
 */

static bool on_vector(struct trap *trap)
{
	(void)trap;
	fired_at = rdtsc();
	fired++;
	rom_write(EOI, 0);
	return true;
}

static volatile u32 came;

static bool on_any(struct trap *trap)
{
	came = trap->vector;
	return on_vector(trap);
}

static volatile u32 nmis, steps;

static bool on_debug(struct trap *trap)
{
	(void)trap;
	steps++;
	return true;
}

static bool on_nmi(struct trap *trap)
{
	(void)trap;
	nmis++;
	return true;
}

static bool await(u32 n, u64 cycles)
{
	u32 before = fired;
	u64 end = rdtsc() + cycles;

	while (fired - before < n && rdtsc() < end)
		__asm__ volatile("sti\n\tnop\n\tpause\n\tcli");
	return fired - before >= n;
}

static u32 in_service(void)
{
	u32 i, bits = 0;

	for (i = 0; i < 8; i++)
		bits |= native_read(ISR + i * 0x10);
	return bits;
}

static void registers(const char *where)
{
	static const u32 same_in_both[] = { VERSION, TPR, SVR, ESR, LVTT, LINT0, DIVIDE };
	u32 tables = cr3(), control = cr4(), i;

	for (i = 0; i < ARRAY_SIZE(same_in_both); i++)
		expect(rom_read(same_in_both[i]) == native_read(same_in_both[i]),
		       "offset %x is %08x", same_in_both[i], rom_read(same_in_both[i]));
	equal(rom_read(ID), x2apic ? native_read(ID) << 24 : native_read(ID), "ID");
	rom_write(TPR, 0x30);
	equal(native_read(TPR), 0x30, "TPR");
	equal(rom_read(TPR), 0x30, "TPR, through the ROM");
	rom_write(TPR, 0);
	rom_write(LVTT, MASKED | 0x77);
	equal(native_read(LVTT), MASKED | 0x77, "LVTT");
	rom_write(LVTT, VECTOR);
	equal(native_read(LVTT), VECTOR, "LVTT");
	for (i = 0; i < 0x1000; i += 4)
		rom_write(0x1000 + i, 0xffffffff);
	equal(native_read(LVTT), VECTOR, "LVTT, after what is no offset");
	equal(rom_read(0x1030) | rom_read(0x31) | rom_read(DEFAULT + VERSION), 0,
	      "what is no offset");
	equal(cr3(), tables, "CR3");
	equal(cr4(), control, "CR4");
	point("%s: registers", where);

	for (i = 0; i < 0x1000 && x2apic; i += 0x10)
		rom_read(i);
	rom_write(VERSION, 0);
	if (x2apic) { /* all that MSRs do not have, and would not take */
		rom_write(ID, 0x5a000000);
		rom_write(LDR, 0xffffffff);
		rom_write(0xa0, 0xffffffff);
		rom_write(0xe0, 0xffffffff);
		rom_write(CURRENT_COUNT, 1);
		for (i = ISR; i < ESR; i += 0x10)
			rom_write(i, 0xffffffff);
		rom_write(0x290, 1);
		rom_write(TPR, 0x10000);
		rom_write(ESR, 0x5a);
		rom_write(DIVIDE, 0xff);
		rom_write(DIVIDE, 0);
		rom_write(SVR, 0x3ff);
		for (i = 0x400; i < 0x1000; i += 0x10)
			rom_write(i, 0xffffffff);
	}
	equal(native_read(TPR), 0, "TPR");
	equal(native_read(SVR) & 0x1ff, 0x1ff, "SVR");
	point("%s: stores that registers do not take", where);
}

static void interrupts(const char *where)
{
	u32 id = rom_read(ID), i, value;
	u64 end;

	rom_write(ICR_HIGH, id);
	equal(rom_read(ICR_HIGH), id, "ICR's high word");
	rom_write(ICR, ICR_ASSERT | VECTOR);
	equal(rom_read(ICR), native_read(ICR), "ICR");
	if (!x2apic) /* Bochs does not keep it there */
		equal(native_read(ICR) & 0xff, VECTOR, "ICR's vector");
	expect(await(1, millisecond), "no IPI to its own ID");
	equal(in_service(), 0, "in service, after EOI");
	rom_write(ICR_HIGH, 0xff000000);
	rom_write(ICR, ICR_ASSERT | VECTOR); /* Bochs leaves the sender out */
	await(1, millisecond);
	rom_write(ICR_HIGH, 0);
	rom_write(ICR, ICR_RESERVED | ICR_ASSERT | ICR_SELF | VECTOR);
	expect(await(1, millisecond), "no IPI by shorthand");
	rom_write(EOI, 0x1234);
	if (x2apic) {
		rom_write(0x3f0, VECTOR);
		expect(await(1, millisecond), "no IPI by the self IPI register");
	}
	point("%s: IPIs and EOI", where);

	/* It comes in the middle of the call, on page tables that are not the guest's. */
	for (i = 1; i <= 3; i++) {
		rom_write(ICR_HIGH, id);
		rom_write(ICR, ICR_ASSERT | ICR_NMI);
		end = rdtsc() + millisecond;
		while (nmis < i && rdtsc() < end)
			__asm__ volatile("pause");
		equal(nmis, i, "NMIs");
	}
	nmis = 0;
	steps = 0;
	__asm__ volatile("pushf\n\torl $0x100, (%%esp)\n\tpopf" : : : "cc", "memory");
	value = rom_read(VERSION);
	__asm__ volatile("pushf\n\tandl $~0x100, (%%esp)\n\tpopf" : : : "cc", "memory");
	equal(value, native_read(VERSION), "VERSION, in steps");
	expect(traps ? steps > 5 && steps < 20 : steps > 50, "%u steps", steps);
	point("%s: NMIs and steps", where);
}

static void alarms(const char *where)
{
	u32 flags = VMI_ALARM_WIRED_LVTT, mode;
	u64 start = rdtsc(), took;

	native_write(LVTT, MASKED | VECTOR);
	set_alarm(flags, start + 100 * millisecond, 0);
	mode = native_read(LVTT) & LVTT_MODE;
	equal(mode, deadline ? LVTT_DEADLINE : 0, "LVTT's mode");
	if (deadline) { /* 20 us for the ROM's own way */
		u64 late = rdmsr(IA32_TSC_DEADLINE) - (start + 100 * millisecond);

		expect(late <= divide64(millisecond, 50), "the deadline is %llu cycles late", late);
	}
	rom_write(LVTT, VECTOR);
	equal(native_read(LVTT), VECTOR | mode, "LVTT");
	equal(cancel_alarm(flags), 1, "CancelAlarm");
	start = rdtsc();
	set_alarm(flags, start + 2 * millisecond, 0);
	expect(await(1, 10 * millisecond), "it does not fire");
	expect(fired_at >= start + 2 * millisecond, "it is early");
	expect(!await(1, 5 * millisecond), "it fires twice");
	set_alarm(flags, start, 0);
	expect(await(1, millisecond), "the past does not fire at once");
	point("%s: one-shot alarms", where);

	set_alarm(flags | VMI_ALARM_PERIODIC, rdtsc(), millisecond);
	expect(await(1, millisecond), "it does not fire at once");
	start = fired_at;
	expect(await(5, 10 * millisecond), "it does not repeat");
	took = fired_at - start;
	expect(took > 4 * millisecond + millisecond / 2 && took < 5 * millisecond + millisecond / 2,
	       "5 periods took %llu cycles", took);
	equal(cancel_alarm(flags), 1, "CancelAlarm");
	await(1, millisecond);
	expect(!await(1, 5 * millisecond), "it repeats though cancelled");
	equal(cancel_alarm(flags), 0, "CancelAlarm again");
	point("%s: periodic alarms", where);
}

/* A VMM's timer runs on a vector, too; but an IPI is the guest's, once, on each of them. */
static void ipis_before_alarm(const char *where)
{
	static const u32 lvtt[] = { VECTOR, MASKED | VECTOR };
	u32 i, vector;
	u64 start;

	for (i = 0; i < ARRAY_SIZE(lvtt); i++) {
		rom_write(LVTT, lvtt[i]);
		set_alarm(VMI_ALARM_WIRED_LVTT, rdtsc() + 10000 * millisecond, 0);
		for (vector = VECTOR_IRQ + 16; vector < VECTOR_SPURIOUS; vector++) {
			trap_handler before = on_trap(vector, on_any);

			came = 0;
			rom_write(ICR, ICR_ASSERT | ICR_SELF | vector);
			expect(await(1, millisecond), "LVTT %x: vector %x does not come", lvtt[i],
			       vector);
			equal(came, vector, "the vector that came");
			expect(!await(1, divide64(millisecond, 100)),
			       "LVTT %x: vector %x comes twice", lvtt[i], vector);
			on_trap(vector, before);
		}
		equal(cancel_alarm(VMI_ALARM_WIRED_LVTT), 1, "CancelAlarm");
	}
	point("%s: IPIs while an alarm is armed", where);

	/* LVTT is masked. Behind TPR a shot may wait that was for nobody. */
	rom_write(TPR, 0xff);
	start = rdtsc();
	set_alarm(VMI_ALARM_WIRED_LVTT, start, 0);
	while (rdtsc() - start < millisecond)
		__asm__ volatile("pause");
	set_alarm(VMI_ALARM_WIRED_LVTT, start + 10000 * millisecond, 0);
	rom_write(TPR, 0);
	expect(!await(1, millisecond), "it fires");
	equal(cancel_alarm(VMI_ALARM_WIRED_LVTT), 1, "CancelAlarm");
	point("%s: an alarm that LVTT masks, armed again", where);
}

static void works(const char *where)
{
	native_write(SVR, 0x100 | VECTOR_SPURIOUS);
	native_write(TPR, 0);
	native_write(LVTT, MASKED | VECTOR);
	registers(where);
	interrupts(where);
	ipis_before_alarm(where);
	alarms(where);
}

/* No call reaches it, none does anything: but a VMM's alarms are armed, and do not come. */
static void does_not(const char *where)
{
	u32 i, found = 0;

	for (i = 0; i < 0x1000; i += 0x10)
		found |= rom_read(i);
	equal(found, 0, "what is read");
	rom_write(TPR, 0x20);
	rom_write(ICR_HIGH, 0);
	rom_write(ICR, ICR_ASSERT | ICR_SELF | VECTOR);
	rom_write(ICR, 0x4600 | 0x99);
	rom_write(LVTT, VECTOR);
	rom_write(EOI, 0);
	set_alarm(VMI_ALARM_WIRED_LVTT, rdtsc() + millisecond, 0);
	equal(cancel_alarm(VMI_ALARM_WIRED_LVTT), traps, "CancelAlarm");
	set_alarm(VMI_ALARM_WIRED_LVTT | VMI_ALARM_PERIODIC, rdtsc(), millisecond);
	expect(!await(1, 5 * millisecond), "an alarm fires");
	equal(cancel_alarm(VMI_ALARM_WIRED_LVTT | VMI_ALARM_PERIODIC), traps, "CancelAlarm");
	point("%s: no call does anything", where);
}

/* ------------------------------------------------------------------------
 * The places
 */

/*
 * The first 16 MiB's large pages. Where the window has the APIC the guest has
 * memory, and what the TLB keeps of that must not be in the way.
 */
static void global_pages(bool on)
{
	u32 i, *entry = phys(cr3() & 0xffffffe0);
	static u32 *const memory[] = { (u32 *)0xc0200000, (u32 *)0xc0600000 };

	if (paging_pae())
		entry = phys(entry[6] & 0xfffff000);
	else
		entry += guest_virt >> 22;
	for (i = 0; i < 16; i++)
		if (entry[i] & PTE_P)
			entry[i] = on ? entry[i] | PTE_G : entry[i] & ~(u32)PTE_G;
	if (pge)
		set_cr4(on ? cr4() | CR4_PGE : cr4() & ~(u32)CR4_PGE);
	for (i = 0; i < ARRAY_SIZE(memory); i++) {
		u32 n;

		for (n = 0; n < 1024; n++) {
			if (!on)
				expect(memory[i][n] == 0xa5a5a5a5, "%08x changed to %08x",
				       (u32)&memory[i][n], memory[i][n]);
			memory[i][n] = 0xa5a5a5a5;
		}
	}
}

/* Something else is where others have the APIC. */
static void decoys(void)
{
	static const u32 places[] = { DEFAULT, 0x00400000, 0x00200000, 0x00001000, 0xffc00000 };
	static u32 *decoy[ARRAY_SIZE(places)];
	u32 i, j;

	for (i = 0; i < ARRAY_SIZE(places); i++) {
		decoy[i] = page();
		memset(decoy[i], 0x5a, 4096);
		map(places[i], to_phys(decoy[i]), PTE_P | PTE_W | PTE_G);
	}
	global_pages(true);
	works("decoys");
	global_pages(false);
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		for (j = 0; j < 1024; j++)
			expect(decoy[i][j] == 0x5a5a5a5a, "%08x changed to %08x", places[i] + j * 4,
			       decoy[i][j]);
		unmap(places[i]);
	}
	point("decoys are as they were");
}

static void unusual(void)
{
	static const u32 places[] = { 0x00005000, 0x08000000, 0xbffff000, 0xfffff000 };
	u32 i;

	for (i = 0; i < ARRAY_SIZE(places); i++) {
		map(places[i], DEFAULT, PTE_P | PTE_W | 0x18);
		equal(rom_read(SVR), native_read(SVR), "SVR");
		rom_write(TPR, 0x40 + i);
		equal(*(volatile u32 *)at(places[i] + TPR), 0x40 + i, "TPR there");
		rom_write(TPR, 0);
		unmap(places[i]);
	}
	point("mapped in unusual places");
}

/* For good: not every processor enables it again before a reset. */
static void disabled(const char *when)
{
	enter(DEFAULT, 0);
	does_not(when);
}

static void in_x2apic(const char *when)
{
	enter(DEFAULT, BASE_ENABLED | BASE_X2APIC);
	works(when);
}

/* Free memory, the window's large pages, devices, the last page. */
static void moved(void)
{
	static const struct {
		u32 to;
		const char *where;
	} places[] = {
		{ 0x00070000, "at 70000" },    { 0x00300000, "at 300000" },
		{ 0x003ff000, "at 3FF000" },   { 0x00400000, "at 400000" },
		{ 0x80000000, "at 80000000" }, { 0xfe000000, "at FE000000" },
		{ 0xfe1ff000, "at FE1FF000" }, { 0xfebff000, "at FEBFF000" },
	};
	u32 i;

	for (i = 0; i < ARRAY_SIZE(places); i++) {
		enter(places[i].to, BASE_ENABLED);
		works(places[i].where);
	}
	enter(DEFAULT, BASE_ENABLED);
	works("back at FEE00000");
}

/* Where the ROM has its own memory it must not be looked for. */
static void in_the_way(void)
{
	u32 top = *(u16 *)phys(0x413) * 1024u, page;

	for (page = top & 0xfffff000; page < 0xa0000; page += 4096) {
		enter(page, BASE_ENABLED);
		does_not("on the ROM's memory");
	}
	enter(0, BASE_ENABLED);
	does_not("at 0");
	enter(DEFAULT, BASE_ENABLED);
	works("back again");
}

static void beyond(void)
{
	u64 there = 0x100000000ull + DEFAULT;

	wrmsr(IA32_APIC_BASE, there | (rdmsr(IA32_APIC_BASE) & 0x100) | BASE_ENABLED);
	does_not("above 4 GiB");
	enter(DEFAULT, BASE_ENABLED);
	works("below 4 GiB again");
}

static bool spurious(struct trap *trap)
{
	(void)trap;
	return true;
}

static volatile bool ap_done;

/* A CPU whose ID is not 0, with window, mode and alarms of its own. */
static void on_ap(void)
{
	works("CPU 1");
	if (has_x2apic) {
		in_x2apic("CPU 1, x2APIC mode");
		x2apic = false;
	}
	ap_done = true;
}

void guest_main(void)
{
	u32 one[4];

	if (!rom_find(&rom, option_number("major", 3)))
		bail("no ROM");
	cpuid(1, 0, one);
	rom_read = VMI(&rom, APICRead);
	rom_write = VMI(&rom, APICWrite);
	set_alarm = VMI(&rom, SetAlarm);
	cancel_alarm = VMI(&rom, CancelAlarm);
	on_trap(VECTOR, on_vector);
	on_trap(1, on_debug);
	on_trap(2, on_nmi);
	on_trap(VECTOR_SPURIOUS, spurious);
	if (option("x2apic"))
		enter(DEFAULT, BASE_ENABLED | BASE_X2APIC);
	if (!ok(!rom_init(&rom), "Init"))
		return;
	traps = rom_traps(&rom, VMI_ID_SetAlarm);
	if (rom_traps(&rom, VMI_ID_APICRead) != traps)
		bail("APICRead and SetAlarm are not of one host");
	millisecond = divide64(VMI(&rom, GetCycleFrequency)(), 1000);
	if (!(one[3] & CPUID_EDX_APIC)) {
		does_not("a processor without one");
		return;
	}
	has_x2apic = one[2] & CPUID_ECX_X2APIC;
	pge = one[3] & CPUID_EDX_PGE;
	deadline = one[2] & CPUID_ECX_DEADLINE;
	if (option("x2apic")) {
		works("x2APIC mode from before Init");
		disabled("disabled in x2APIC mode");
		return;
	}
	works("as found");
	if (option_number("cpus", 1) > 1) {
		if (!ok(cpu_start(1, on_ap), "CPU 1"))
			return;
		while (!ap_done)
			__asm__ volatile("pause");
	}
	unmap_it();
	works("not mapped");
	if (paging()) {
		unusual();
		decoys();
	}
	if ((one[0] >> 8 & 15) <= 5) /* no IA32_APIC_BASE */
		return;
	if (option("bochs")) {
		moved();
		in_the_way();
		beyond();
	}
	if (has_x2apic) {
		in_x2apic("x2APIC mode");
		disabled("disabled in x2APIC mode");
	} else {
		disabled("disabled");
	}
}
