/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * SetInitialAPState: other CPUs start in the state that was given, to the
 * register; without one, or with one that cannot be, as on the bare machine.
 *
 * RUN: {flat,high,pae},rom={vmi,vmi-13},smp={2,4,8}
 * RUN: {flat,high,pae},rom={vmi,vmi-13},smp=8,cpu=max
 * RUN: {high,pae},rom=vmi-6,smp=4
 * RUN: {flat,high,pae},rom={vmi,vmi-13},smp=6:sockets=2:cores=3,cpu=max
 * RUN: {flat,high,pae},rom={vmi,vmi-13},smp=20
 * RUN: {flat,high,pae},rom=vmi,machine=bochs,smp=4
 * RUN: {high,pae},rom=vmi,machine=bochs,smp=4,x2apic
 * RUN: {flat,high,pae},rom={vmi,vmi-13},smp=4,host=svm,trap=all
 * RUN: pae,rom=vmi-6,smp=4,host=svm,trap=all
 * RUN: pae,rom=vmi,smp=4,host=svm,{trap=none,trap=mmu}
 */
#include "guest.h"

#define APIC 0xfee00000
#define APIC_ICR 0x300
#define APIC_ICR_HIGH 0x310
#define IA32_APIC_BASE 0x1b
#define APIC_BASE_X2APIC 0x400
#define X2APIC_ICR 0x830
#define ICR_PENDING 0x1000
#define ICR_INIT 0x4500
#define ICR_STARTUP 0x4600
#define ICR_ALL 0x80000	   /* shorthands: with */
#define ICR_OTHERS 0xc0000 /* and without the sender */
#define BROADCAST 0xff
#define CR0_PE 0x1u
#define CR0_MP_TS_NE_WP 0x1002au
#define CR4_DE_PGE 0x88
#define CR4_PSE 0x10
#define IA32_EFER 0xc0000080
#define EFER_SCE 0x1
#define EFER_LME 0x100
#define EFER_LMA 0x400
#define CR0_NW 0x20000000u
#define CR0_CD 0x40000000u
#define CR4_PCIDE 0x20000u
#define EFER_NXE 0x800
#define POLLS 100000000
#define CPUS_MOST 32
#define ROM_STATES 16 /* that it keeps at a time */

static struct rom rom;
static u32 ids[CPUS_MOST], cpus; /* the other CPUs' APIC IDs */
static bool nx, sce;

/* ------------------------------------------------------------------------
 * Arrival in the state
 */

/* What the CPU has when it arrives: its stack, downwards, before anything changes it. */
struct arrival {
	u32 efer;
	u32 idtr[2], gdtr[2];
	u32 ldtr, cr4, cr3, cr2, cr0;
	u32 at_ds, at_es, at_fs, at_gs;
	u32 gs, fs, es, ds, ss, cs;
	u32 eflags;
	u32 edi, esi, ebp, esp, ebx, edx, ecx, eax;
};

static struct cpu {
	u8 stack[512];
	struct arrival arrival;
	u32 end;	    /* ESP of the state */
	volatile u32 times; /* it came */
	volatile u8 beat;
	struct vmi_ap_state want;
} cpu[CPUS_MOST];
_Static_assert(offsetof(struct cpu, end) == 512 + sizeof(struct arrival), "no gap");

void ap_arrived(struct arrival *arrival);
extern const char ap_arrives[];
__asm__(".text\n"
	"ap_arrives:\n"
	"pusha\n"
	"pushf\n"
	"cli\n"
	"cld\n"
	"push %cs; push %ss; push %ds; push %es; push %fs; push %gs\n"
	"push %gs:0; push %fs:0; push %es:0; push %ds:0\n"
	"mov %cr0, %eax; push %eax\n"
	"mov %cr2, %eax; push %eax\n"
	"mov %cr3, %eax; push %eax\n"
	"mov %cr4, %eax; push %eax\n"
	"xor %eax, %eax; sldt %ax; push %eax\n"
	"push $0; push $0; sgdt (%esp)\n"
	"push $0; push $0; sidt (%esp)\n"
	"mov $0x10, %eax\n" /* SEL_DATA */
	"mov %eax, %ds; mov %eax, %es\n"
	"push $0\n"
	"mov %esp, %eax\n"
	"push %eax\n"
	"call ap_arrived\n"
	"1: cli; hlt; jmp 1b\n");

/* A word a data segment, at its base. */
static u32 segment_word[4] = { 0x5e60d500, 0x5e60e500, 0x5e60f500, 0x5e606500 };
#define FIRST_DATA 20 /* of the GDT */

static volatile bool running; /* CPUs that have come go on, and count */
static u32 nx_linear;	      /* a page that only a CPU with EFER.NXE can read; 0: none */

void ap_arrived(struct arrival *arrival)
{
	struct cpu *c = (struct cpu *)((u8 *)arrival - offsetof(struct cpu, arrival));

	if (nx) {
		arrival->efer = (u32)rdmsr(IA32_EFER);
		if (nx_linear && (c->want.cr4 & CR4_PAE) && cr3() == c->want.cr3)
			*(volatile u32 *)at(nx_linear);
	}
	__atomic_fetch_add(&c->times, 1, __ATOMIC_SEQ_CST);
	for (; running; c->beat++)
		__asm__ volatile("pause");
}

/* ------------------------------------------------------------------------
 * Arrival where the guest's own start is: in real mode, vector:0
 */

#define OWN_PAGE 0x9000
#define OWN_TIMES 0x800 /* a byte an APIC ID */
#define OWN_REGS 0x900
#define OWN_BEAT 0xa00	 /* a byte an APIC ID, counts up while ... */
#define OWN_RUN 0xb00	 /* ... this is not 0 */
#define STACK_0_0 0xfff0 /* where something would be pushed at SS:SP = 0:0 */

struct own {
	u32 eax, ebx, ecx, edx, esp, ebp, esi, edi;
	u16 cs, ds, es, fs, gs, ss, flags;
};
static struct own own_first; /* on the bare machine */

extern const u8 own_code[], own_code_end[];
__asm__(".code16\n"
	"own_code:\n"
	"cli\n"
	"movl %eax, %cs:0x900; movl %ebx, %cs:0x904; movl %ecx, %cs:0x908; movl %edx, %cs:0x90c\n"
	"movl %esp, %cs:0x910; movl %ebp, %cs:0x914; movl %esi, %cs:0x918; movl %edi, %cs:0x91c\n"
	"movw %cs, %cs:0x920; movw %ds, %cs:0x922; movw %es, %cs:0x924\n"
	"movw %fs, %cs:0x926; movw %gs, %cs:0x928; movw %ss, %cs:0x92a\n"
	"lahf; movw %ax, %cs:0x92c\n"
	"mov %cs, %ax; mov %ax, %ds\n"
	"mov $1, %eax; cpuid; shr $24, %ebx\n"
	"lock incb 0x800(%bx)\n"
	"1: incb 0xa00(%bx); pause\n"
	"cmpb $0, 0xb00; jne 1b\n"
	"2: hlt; jmp 2b\n"
	"own_code_end:\n"
	".code32\n");

static void run(bool on)
{
	running = on;
	*(volatile u8 *)phys(OWN_PAGE + OWN_RUN) = on;
}

static void own_start(void)
{
	/* A CPU may still run there: its code stays the same, and may not be gone meanwhile. */
	memset(phys(OWN_PAGE + OWN_TIMES), 0, 4096 - OWN_TIMES);
	memcpy(phys(OWN_PAGE), own_code, (u32)(own_code_end - own_code));
	memset(phys(STACK_0_0), 0xa5, 16);
}

static u32 own_times(u32 id)
{
	return ((volatile u8 *)phys(OWN_PAGE + OWN_TIMES))[id];
}

static void own_memory(void)
{
	u32 i;

	for (i = 0; i < 4; i++)
		equal(((u32 *)phys(STACK_0_0))[i], 0xa5a5a5a5, "the guest's memory at FFF0");
}

/* ------------------------------------------------------------------------
 * Interprocessor interrupts
 */

static bool directly; /* not through APICWrite */
static bool x2apic;

static void write(u32 offset, u32 value)
{
	if (directly)
		*(volatile u32 *)at(APIC + offset) = value;
	else if (rom.major == 13)
		VMI(&rom, APICWrite_v13)(at(APIC + offset), value);
	else
		VMI(&rom, APICWrite)(offset, value);
}

static void pause(void)
{
	u32 i;

	for (i = 0; i < 1000; i++)
		inb(0x80);
}

static u32 icr(void)
{
	return *(volatile u32 *)at(APIC + APIC_ICR);
}

static void ipi(u32 id, u32 command)
{
	if (directly && x2apic) {
		wrmsr(X2APIC_ICR, (u64)id << 32 | command);
		return;
	}
	write(APIC_ICR_HIGH, id << 24);
	write(APIC_ICR, command);
	while (!x2apic && icr() & ICR_PENDING)
		;
}

static void init_ipi(u32 id)
{
	ipi(id, ICR_INIT);
	pause();
}

static void startup(u32 id)
{
	ipi(id, ICR_STARTUP | OWN_PAGE >> 12);
}

/* ------------------------------------------------------------------------
 * States
 */

/* Whose paging: the guest's, or another, with the guest's memory where it has it. */
enum mode { OWN, PSE, PAE };

static u32 other_directory[1024] __attribute__((aligned(4096)));
static u64 other_pae[512] __attribute__((aligned(4096)));
static u64 other_pdpt[4] __attribute__((aligned(32)));

static void other_tables(void)
{
	u32 i;

	for (i = 0; i < 4; i++)
		other_directory[(guest_virt >> 22) + i] = i << 22 | PTE_P | PTE_W | PTE_LARGE;
	for (i = 0; i < 8; i++)
		other_pae[(guest_virt >> 21 & 511) + i] = i << 21 | PTE_P | PTE_W | PTE_LARGE;
	other_pdpt[guest_virt >> 30] = to_phys(other_pae) | PTE_P;
	if (nx) {
		other_pae[(guest_virt >> 21 & 511) + 7] |= (u64)1 << 63;
		nx_linear = guest_virt + (7 << 21);
	}
	for (i = 0; i < 4; i++)
		gdt[FIRST_DATA + i] = descriptor((u32)&segment_word[i], 3, 0x4093);
	ldt[1] = descriptor(0, 0xfffff, 0xc09b);
	ldt[2] = descriptor(0, 0xfffff, 0xc093);
}

static u32 serial;

static void fill_in(struct vmi_ap_state *ap, u32 n, enum mode mode)
{
	u32 i, *word = &ap->eax;

	memset(ap, 0, sizeof(*ap));
	serial++;
	ap->cr0 = cr0() | CR0_PG | CR0_PE | (serial & 1 ? CR0_MP_TS_NE_WP : 0);
	ap->cr2 = 0x1234567 + serial;
	ap->cr3 = mode == OWN ? cr3() : to_phys(mode == PSE ? (void *)other_directory : other_pdpt);
	ap->cr4 = cr4() | (serial & 1 ? CR4_DE_PGE : 0);
	if (mode == PSE)
		ap->cr4 = (ap->cr4 & ~CR4_PAE) | CR4_PSE;
	if (mode == PAE)
		ap->cr4 |= CR4_PAE;
	if (nx)
		ap->efer_low = EFER_NXE | (sce && (serial & 1) ? EFER_SCE : 0);
	ap->eip = (u32)ap_arrives;
	ap->eflags = EFLAGS_1 | EFLAGS_OSZAPC | EFLAGS_DF | EFLAGS_ID | EFLAGS_IF;
	if (serial & 1)
		ap->eflags = EFLAGS_1 | EFLAGS_IOPL | EFLAGS_NT;
	for (i = 0; i < 8; i++)
		word[i] = 0x01010101 * (i + 1) + (serial << 4);
	ap->esp = (u32)&cpu[n].end;
	ap->cs = SEL_CODE;
	ap->ss = SEL_DATA;
	ap->ds = FIRST_DATA * 8;
	ap->es = (FIRST_DATA + 1) * 8;
	ap->fs = (FIRST_DATA + 2) * 8 + 3;
	ap->gs = (FIRST_DATA + 3) * 8;
	gdt[FIRST_DATA + 2] = descriptor((u32)&segment_word[2], 3, 0x40f3);
	ap->ldtr = SEL_LDT;
	ap->gdtr_limit = sizeof(gdt) - 1;
	ap->gdtr_base = (u32)gdt;
	ap->idtr_limit = sizeof(idt) - 1;
	ap->idtr_base = (u32)idt;
	if (serial & 2) { /* both in the LDT */
		ap->cs = 1 << 3 | 4;
		ap->ss = 2 << 3 | 4;
	}
}

static void call_it(u32 address, u32 id)
{
	VMI(&rom, SetInitialAPState)(address, id);
}

static u32 address_of(const void *state)
{
	return rom.major == 13 ? to_phys(state) : (u32)state;
}

/* To the CPU with that index; the caller's copy is overwritten afterwards. */
static void set_state_at(struct vmi_ap_state *ap, u32 address, u32 n)
{
	cpu[n].want = *ap;
	memset((void *)&cpu[n].arrival, 0xee, sizeof(cpu[n].arrival));
	cpu[n].times = 0;
	call_it(address, ids[n]);
	memset(ap, 0xff, sizeof(*ap));
}

static void set_state(u32 n, enum mode mode)
{
	static u8 space[sizeof(struct vmi_ap_state) + 4];
	struct vmi_ap_state *ap = at((u32)space + (serial & 3));

	fill_in(ap, n, mode);
	set_state_at(ap, address_of(ap), n);
}

/* The CPU is in one of the two, or does not come. */
static void await(u32 n)
{
	u32 i;

	for (i = 0; i < POLLS && !cpu[n].times && !own_times(ids[n]); i++)
		__asm__ volatile("pause");
}

static void arrived(u32 n)
{
	const struct arrival *got = &cpu[n].arrival;
	const struct vmi_ap_state *want = &cpu[n].want;
	u32 id = ids[n];

	await(n);
	equal(own_times(id), 0, "arrivals at the guest's own start");
	own_memory();
	if (!expect(cpu[n].times == 1, "CPU %u: %u arrivals", id, cpu[n].times))
		return;
	equal(got->eax, want->eax, "EAX");
	equal(got->ebx, want->ebx, "EBX");
	equal(got->ecx, want->ecx, "ECX");
	equal(got->edx, want->edx, "EDX");
	equal(got->esp, want->esp, "ESP");
	equal(got->ebp, want->ebp, "EBP");
	equal(got->esi, want->esi, "ESI");
	equal(got->edi, want->edi, "EDI");
	equal(got->eflags, want->eflags, "EFLAGS");
	equal(got->cs & 0xffff, want->cs, "CS");
	equal(got->ss & 0xffff, want->ss, "SS");
	equal(got->ds & 0xffff, want->ds, "DS");
	equal(got->es & 0xffff, want->es, "ES");
	equal(got->fs & 0xffff, want->fs, "FS");
	equal(got->gs & 0xffff, want->gs, "GS");
	equal(got->at_ds, segment_word[0], "the word in DS");
	equal(got->at_es, segment_word[1], "the word in ES");
	equal(got->at_fs, segment_word[2], "the word in FS");
	equal(got->at_gs, segment_word[3], "the word in GS");
	equal(got->cr0, want->cr0, "CR0");
	equal(got->cr2, want->cr2, "CR2");
	equal(got->cr3, want->cr3, "CR3");
	equal(got->cr4, want->cr4, "CR4");
	if (nx)
		equal(got->efer, want->efer_low, "EFER");
	equal(got->ldtr, want->ldtr, "LDTR");
	equal(got->gdtr[0], want->gdtr_limit | want->gdtr_base << 16, "GDTR's limit");
	equal(got->gdtr[1], want->gdtr_base >> 16, "GDTR's base");
	equal(got->idtr[0], want->idtr_limit | want->idtr_base << 16, "IDTR's limit");
	equal(got->idtr[1], want->idtr_base >> 16, "IDTR's base");
}

/*
 * The running CPU has seen every STARTUP that was sent: QEMU keeps one for a CPU
 * that is busy, over the next INIT.
 */
static void settle(u32 n)
{
	volatile u8 *beat = cpu[n].times ? &cpu[n].beat : (u8 *)phys(OWN_PAGE + OWN_BEAT + ids[n]);
	u32 i, polls;

	for (i = 0; i < 2; i++) {
		u8 before = *beat;

		for (polls = 0; polls < POLLS && *beat == before; polls++)
			__asm__ volatile("pause");
		expect(polls < POLLS, "CPU %u does not run", ids[n]);
	}
}

/* INIT, SetInitialAPState, STARTUP, STARTUP, and another one later. */
static void start(u32 n, enum mode mode)
{
	own_start();
	run(true);
	init_ipi(ids[n]);
	set_state(n, mode);
	startup(ids[n]);
	startup(ids[n]);
	arrived(n);
	startup(ids[n]);
	settle(n);
	expect(cpu[n].times == 1 && !own_times(ids[n]), "a later STARTUP does something");
	run(false);
}

/* It has come to the guest's own start, and how. */
static void came_bare(u32 n)
{
	struct own *own = phys(OWN_PAGE + OWN_REGS);

	await(n);
	expect(own_times(ids[n]) == 1 && !cpu[n].times,
	       "CPU %u: %u times at the guest's own start, %u in a state", ids[n],
	       own_times(ids[n]), cpu[n].times);
	if (!own_first.cs)
		own_first = *own;
	if (!own_first.edx) /* Bochs has no signature there [SDM vol. 3, table 9-1] */
		own->edx = 0;
	expect(same(own, &own_first, sizeof(own_first)),
	       "other registers than on the bare machine");
	equal(own->cs, OWN_PAGE >> 4, "CS");
	own_memory();
}

static void bare(u32 n, const char *why)
{
	cpu[n].times = 0;
	own_start();
	init_ipi(ids[n]);
	startup(ids[n]);
	came_bare(n);
	point("CPU %u, %s: starts as on the bare machine", ids[n], why);
}

/* ------------------------------------------------------------------------
 * Where the state is
 */

#define TWO_PAGES 0x0b000000
#define FAR_PHYSICAL 0x2345000 /* not in the guest's map of memory */

static void placed(struct vmi_ap_state *ap, u32 address, enum mode mode, const char *where)
{
	fill_in(ap, 0, mode);
	own_start();
	init_ipi(ids[0]);
	set_state_at(ap, address, 0);
	startup(ids[0]);
	arrived(0);
	point("a state %s", where);
}

static void places(enum mode mode)
{
	static u8 pages[3 * 4096] __attribute__((aligned(4096)));
	struct vmi_ap_state *ap;
	u32 i;

	for (i = 1; i < 8; i++) {
		ap = phys((i << 21) - 3 - 11 * i);
		placed(ap, address_of(ap), mode, "across two large pages");
	}
	if (paging()) { /* two pages that do not follow each other in memory */
		map(TWO_PAGES, to_phys(pages + 8192), PTE_P | PTE_W);
		map(TWO_PAGES + 4096, to_phys(pages), PTE_P | PTE_W);
		ap = at(TWO_PAGES + 4096 - 33);
		if (rom.major != 13)
			placed(ap, (u32)ap, mode, "across two pages");
	}
	if (rom.major == 13) {
		ap = at(FAR_PHYSICAL + 5);
		if (paging()) {
			map(TWO_PAGES, FAR_PHYSICAL, PTE_P | PTE_W);
			ap = at(TWO_PAGES + 5);
		}
		placed(ap, FAR_PHYSICAL + 5, mode, "in memory that is not mapped");
	}
	if (rom.major == 13) {
		set_state(0, mode);
		if (paging()) {
			call_it(0xe0000000, ids[0]);
			bare(0, "a state where no memory is");
		}
	}
}

/* ------------------------------------------------------------------------
 * What is refused
 */

static const struct {
	const char *why;
	u32 offset, size, clear, set;
} refusals[] = {
#define FIELD(member)                                                                              \
	offsetof(struct vmi_ap_state, member), sizeof(((struct vmi_ap_state *)0)->member)
	{ "without PG", FIELD(cr0), CR0_PG, 0 },
	{ "without PE", FIELD(cr0), CR0_PE, 0 },
	{ "without PE and PG", FIELD(cr0), CR0_PE | CR0_PG, 0 },
	{ "with LME", FIELD(efer_low), 0, EFER_LME },
	{ "with LMA", FIELD(efer_low), 0, EFER_LMA },
	{ "with a reserved bit of EFER", FIELD(efer_low), 0, 2 },
	{ "with NW but not CD", FIELD(cr0), CR0_CD, CR0_NW },
	{ "with PCIDE", FIELD(cr4), 0, CR4_PCIDE },
	{ "with high bits of EFER", FIELD(efer_high), 0, 1 },
	{ "with TF", FIELD(eflags), 0, EFLAGS_TF },
	{ "with VM", FIELD(eflags), 0, EFLAGS_VM },
	{ "without CS", FIELD(cs), 0xffff, 0 },
	{ "with null in CS", FIELD(cs), 0xffff, 3 },
	{ "with a user's CS", FIELD(cs), 0xffff, SEL_USER_CODE },
	{ "with CS beyond the GDT", FIELD(cs), 0xffff, GDT_ENTRIES * 8 },
	{ "without SS", FIELD(ss), 0xffff, 0 },
	{ "with null in SS", FIELD(ss), 0xffff, 1 },
	{ "with a user's SS", FIELD(ss), 0xffff, SEL_USER_DATA },
	{ "with SS beyond the GDT", FIELD(ss), 0xffff, 0xfff8 },
	{ "with DS beyond the GDT", FIELD(ds), 0xffff, GDT_ENTRIES * 8 + 3 },
	{ "with ES beyond the GDT", FIELD(es), 0xffff, GDT_ENTRIES * 8 },
	{ "with FS beyond the GDT", FIELD(fs), 0xffff, GDT_ENTRIES * 8 },
	{ "with GS beyond the GDT", FIELD(gs), 0xffff, GDT_ENTRIES * 8 },
	{ "with LDTR beyond the GDT", FIELD(ldtr), 0xffff, GDT_ENTRIES * 8 },
	{ "with LDTR in the LDT", FIELD(ldtr), 0xffff, 4 | 8 },
	{ "with a GDT that ends in CS", FIELD(gdtr_limit), 0xffff, SEL_CODE + 6 },
	{ "with CS in no LDT", FIELD(cs), 0xffff, 8 | 4 },
	{ "with SS in no LDT", FIELD(ss), 0xffff, 16 | 4 },
	{ "with GS in no LDT", FIELD(gs), 0xffff, 16 | 4 },
};

static void refused(enum mode mode)
{
	u32 i, value;

	for (i = 0; i < ARRAY_SIZE(refusals); i++) {
		struct vmi_ap_state ap;
		u8 *field = (u8 *)&ap + refusals[i].offset;

		set_state(0, mode); /* a good one, which does not stay either */
		fill_in(&ap, 0, mode);
		ap.cs = SEL_CODE;
		ap.ss = SEL_DATA;
		if (i >= ARRAY_SIZE(refusals) - 3)
			ap.ldtr = i & 1 ? 3 : 0;
		value = 0;
		memcpy(&value, field, refusals[i].size);
		value = (value & ~refusals[i].clear) | refusals[i].set;
		memcpy(field, &value, refusals[i].size);
		set_state_at(&ap, address_of(&ap), 0);
		bare(0, refusals[i].why);
	}
	fill_in(&cpu[0].want, 0, mode);
	call_it(address_of(&cpu[0].want), 255);
	call_it(address_of(&cpu[0].want), ids[0] + 256);
	call_it(address_of(&cpu[0].want), 0xffffffff);
	bare(0, "a state for no CPU");
}

/* ------------------------------------------------------------------------
 * Many at once
 */

enum how { LOOP, OTHERS, ALL, PHYSICAL };
static const char *const hows[] = { "one by one without waiting", "by a broadcast to the others",
				    "by a broadcast to all", "by a broadcast to FF" };

static void all_startup(enum how how)
{
	u32 n;

	if (how == LOOP)
		for (n = 0; n < cpus; n++)
			startup(ids[n]);
	else if (how == PHYSICAL)
		startup(BROADCAST);
	else
		ipi(0, ICR_STARTUP | OWN_PAGE >> 12 | (how == ALL ? ICR_ALL : ICR_OTHERS));
}

/* Every CPU, or every second, has a state; those that have none, start bare. */
static void all_at_once(enum how how, u32 step, enum mode mode)
{
	u32 n, some = 0;
	bool twice = cpus < 4; /* more would take minutes to settle on a loaded machine */

	own_start();
	run(twice);
	if (how == LOOP)
		for (n = 0; n < cpus; n++)
			ipi(ids[n], ICR_INIT);
	else
		ipi(0, ICR_INIT | ICR_OTHERS);
	pause();
	for (n = 0; n < cpus; n++) {
		cpu[n].times = 0;
		if (n % step == 0 && some < ROM_STATES) {
			set_state(n, mode == OWN || n & 1 ? mode : paging() ? OWN : PSE);
			some++;
		}
	}
	all_startup(how);
	if (twice)
		all_startup(how);
	for (n = 0, some = 0; n < cpus; n++) {
		if (n % step == 0 && some < ROM_STATES) {
			arrived(n);
			some++;
		} else {
			came_bare(n);
		}
		if (twice)
			settle(n);
	}
	run(false);
	point("%u of %u CPUs in their states, %s", some, cpus, hows[how]);
}

/* ------------------------------------------------------------------------
 * More CPUs than the ROM keeps states for
 */

static void too_many(enum mode mode)
{
	u32 n, states = 0;

	own_start();
	for (n = 0; n < cpus; n++)
		init_ipi(ids[n]);
	for (n = 0; n < cpus; n++)
		set_state(n, mode);
	for (n = 0; n < cpus; n++) {
		startup(ids[n]);
		await(n);
		if (cpu[n].times)
			arrived(n);
		else
			came_bare(n);
		states += cpu[n].times;
	}
	equal(states, cpus < ROM_STATES ? cpus : ROM_STATES, "CPUs in a state");
	point("%u states at once", cpus);
}

/* Sent without the ROM: the native host does not see it, a VMM does. */
static void unseen(enum mode mode)
{
	own_start();
	set_state(0, mode);
	directly = true;
	if (rom_traps(&rom, VMI_ID_SetInitialAPState)) {
		init_ipi(ids[0]);
		startup(ids[0]);
		arrived(0);
		point("a STARTUP that only the VMM sees");
		bare(0, "and without a state at the next one");
		directly = false;
		return;
	}
	bare(0, "a state, but a STARTUP that the ROM does not see");
	directly = false;
	own_start();
	init_ipi(ids[0]);
	startup(ids[0]);
	arrived(0);
	point("and in the state at the next one");
}

static void find_cpus(void)
{
	u32 id, want = option_number("cpus", 1) - 1;

	directly = true;
	own_start();
	ipi(0, ICR_INIT | ICR_OTHERS);
	pause();
	ipi(0, ICR_STARTUP | OWN_PAGE >> 12 | ICR_OTHERS);
	do {
		for (id = 0, cpus = 0; id < 255; id++)
			if (own_times(id) && cpus < CPUS_MOST)
				ids[cpus++] = id;
	} while (cpus < want);
	equal(cpus, want, "CPUs");
	for (id = 0; id < cpus; id++)
		print("%s%u%s", id ? " " : "# APIC IDs of the other CPUs: ", ids[id],
		      id + 1 == cpus ? "\n" : "");
	bare(0, "directly");
	directly = false;
}

void guest_main(void)
{
	enum mode own = paging() ? OWN : PSE, other = paging_pae() ? PSE : PAE;
	u32 n, r[4];

	if (!rom_find(&rom, option_number("major", 3)) || rom_init(&rom))
		bail("no ROM");
	if (option("x2apic")) {
		wrmsr(IA32_APIC_BASE, rdmsr(IA32_APIC_BASE) | APIC_BASE_X2APIC);
		x2apic = true;
	}
	cpuid(0x80000001, 0, r);
	nx = r[3] >> 20 & 1;
	sce = r[3] >> 11 & 1;
	other_tables();
	find_cpus();
	bare(0, "no state");
	for (n = 0; n < cpus; n++) {
		start(n, own);
		point("CPU %u starts in its state", ids[n]);
	}
	for (n = cpus; n--;) {
		start(n, other);
		point("CPU %u starts again, in the other paging mode", ids[n]);
	}
	bare(0, "its state used up");

	own_start();
	init_ipi(ids[0]);
	set_state(0, other);
	set_state(0, own);
	startup(ids[0]);
	arrived(0);
	point("of two states the second");

	unseen(own);

	if (cpus > 1) {
		set_state(0, own);
		cpu[1].times = 0;
		own_start();
		init_ipi(ids[1]);
		startup(ids[1]);
		if (!x2apic) /* Bochs keeps nothing there in x2APIC mode */
			equal(icr() & 0xff, OWN_PAGE >> 12, "the vector that was sent");
		came_bare(1);
		own_start();
		init_ipi(ids[0]);
		startup(ids[0]);
		arrived(0);
		point("a STARTUP to one CPU while another one's state waits");
	}

	places(own);
	refused(own);
	for (n = 0; n < ARRAY_SIZE(hows); n++) {
		all_at_once(n, 1, own);
		all_at_once(n, 1, other);
		if (cpus > 1)
			all_at_once(n, 2, own);
	}
	too_many(own);
}
