/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every call of the table from 8 CPUs at once, or as many as there are, each in an
 * order of its own, for a fixed count. Each CPU checks its results, and that nothing
 * else has changed; what they share is made so that a lost or a mixed result shows.
 * Further CPUs are started again and again by those.
 *
 * RUN: {flat,high,pae},rom={vmi,vmi-13,vmi-6},smp=8,end=reset
 * RUN: {high,pae},rom={vmi,vmi-13},smp=16,cpu=max,rounds=12,end=reset
 * RUN: {high,pae},rom={vmi,vmi-13,vmi-6},smp=4,host=svm,trap=all,rounds=12,end=reset
 * RUN: high,rom=vmi,smp=4,callers=2,host=svm,trap=all,end=reset
 * RUN-FULL: {high,pae},rom={vmi,vmi-13},smp=16,rounds=50,end=reset,time=200
 * RUN-FULL: flat,rom={vmi,vmi-13,vmi-6},smp=4,host=svm,trap=all,end=reset
 * RUN-FULL: pae,rom=vmi,smp=4,host=svm,{trap=none,trap=time,trap=mmu,trap=cpu,trap=irq},end=reset
 * RUN-FULL: {high,pae},rom={vmi,vmi-13},smp=4,callers=2,host=svm,trap=all,rounds=100,end=reset,time=200
 */
#include "guest.h"

#define CPUS 8 /* at most */

#define APIC 0xfee00000
#define APIC_ID 0x20
#define APIC_TPR 0x80
#define APIC_EOI 0xb0
#define APIC_SVR 0xf0
#define APIC_ICR 0x300
#define APIC_ICR_HIGH 0x310
#define APIC_LVTT 0x320
#define ICR_PENDING 0x1000
#define ICR_INIT 0x4500
#define ICR_STARTUP 0x4600

#define STARTS_ROUNDS 3 /* a start in so many: it is slow where 16 CPUs share two */

#define VECTOR_UD 6
#define VECTOR_GP 13
#define VECTOR_LVTT 0x41
#define VECTOR_FROM 0x50 /* + the sender */

#define CR0_PE 0x1u
#define CR0_MP 0x2u
#define CR4_TSD_DE 0xcu
#define CR4_PSE 0x10u
#define DR7_FIXED 0x400
#define IA32_SYSENTER_CS 0x174
#define IA32_PAT 0x277
#define PCI_ADDRESS 0xcf8
#define PCI_DATA 0xcfc
#define COM1_SCRATCH 0x3ff
#define SEL_16 (26 * 8) /* its base is where IRET16 goes */

/* ------------------------------------------------------------------------
 * Calls, with every register
 */

struct registers {
	u32 eax, ecx, edx, ebx, ebp, esi, edi, eflags;
};

struct frame {
	u32 target, jump, word[4], saved_esp, esp;
	struct registers in, out;
};
_Static_assert(offsetof(struct frame, in) == 32 && offsetof(struct frame, out) == 64, "enter");

void enter(struct frame *frame) __attribute__((regparm(1)));
void leave(struct frame *frame) __attribute__((regparm(1), noreturn));
extern const char landing_iret[], landing_iret16[];
__asm__(".text\n"
	"enter:\n"
	"push %ebx; push %esi; push %edi; push %ebp; pushf\n"
	"push %eax\n"
	"pushl (%eax)\n"
	"pushl 20(%eax); pushl 16(%eax); pushl 12(%eax); pushl 8(%eax)\n"
	"mov %esp, 24(%eax)\n"
	"cmpl $0, 4(%eax)\n"
	"pushl 60(%eax)\n"
	"mov 36(%eax), %ecx; mov 40(%eax), %edx; mov 44(%eax), %ebx; mov 48(%eax), %ebp\n"
	"mov 52(%eax), %esi; mov 56(%eax), %edi; mov 32(%eax), %eax\n"
	"jne 1f\n"
	"popf\n"
	"call *16(%esp)\n"
	"landing:\n"
	"xchg %eax, 20(%esp)\n"
	"mov %ecx, 68(%eax); mov %edx, 72(%eax); mov %ebx, 76(%eax); mov %ebp, 80(%eax)\n"
	"mov %esi, 84(%eax); mov %edi, 88(%eax)\n"
	"mov 20(%esp), %ecx; mov %ecx, 64(%eax)\n"
	"mov %esp, 28(%eax)\n"
	"pushf; popl 92(%eax)\n"
	"leave:\n"
	"mov 24(%eax), %esp\n"
	"add $24, %esp\n"
	"popf; pop %ebp; pop %edi; pop %esi; pop %ebx\n"
	"ret\n"
	"1: popf\n"
	"jmp *16(%esp)\n"
	"landing_iret:\n"
	"lea -12(%esp), %esp\n"
	"jmp landing\n"
	"landing_iret16:\n"
	"lea -6(%esp), %esp\n"
	"ljmp $8, $landing\n");

/* ------------------------------------------------------------------------
 * What each CPU has of its own
 */

struct failure {
	u32 call, got, want;
	const char *what;
};

struct cpu {
	u64 gdt[GDT_ENTRIES], ldt[8], idt[256];
	u32 tss[32];
	u32 index, id, random;
	u32 call, round;
	struct frame frame;
	bool user, trapped; /* how the call ended */
	u32 trap_vector;
	u8 stack[4096], string[64];

	struct {
		u64 expiry;
		bool armed;
	} alarm; /* counter 0; 1 is never due */
	volatile u32 fired;
	u32 alarms;
	volatile u32 received[CPUS];
	u32 sent[CPUS]; /* to each */

	u32 swap, swap_long; /* exclusive or of all that was put in and got out */
	u32 sections;
	u64 tsc, cycles[2], wall;
	u32 entry[8];
	u32 target_starts;
	u32 failures;
	struct failure failure[4];
	volatile bool done, stopped;
};

static struct cpu cpu[CPUS];
static struct rom rom;
static u32 cpus;    /* that make calls */
static u32 targets; /* CPUs that are there to be started */
static volatile bool over, go_on;
static u32 rounds;

/* What they share. */
static volatile u32 io_lock, section_lock[2], section[2];
static u32 swapped;
static u64 swapped_long __attribute__((aligned(8)));
static u64 present_long __attribute__((aligned(8)));   /* all write it */
static u64 own_long[CPUS] __attribute__((aligned(8))); /* one CPU writes each */
static u64 frequency;
static bool own_clock; /* counters that are not the TSC: the VMM's */
static u64 relocation[VMI_CALL_COUNT];
static u32 stub[VMI_CALL_COUNT]; /* on this host */
static u32 *user_code;
static u32 pages[CPUS][2];

static u64 now(void)
{
	return ((vmi_GetCycleCounter_fn *)stub[VMI_ID_GetCycleCounter])(VMI_CYCLES_REAL);
}

static struct cpu *self(void)
{
	return (struct cpu *)at(sgdt().base);
}

static u32 random(struct cpu *c)
{
	c->random = c->random * 1664525 + 1013904223;
	return c->random ^ c->random >> 15;
}

static void check(struct cpu *c, u32 got, u32 want, const char *what)
{
	if (got == want)
		return;
	if (c->failures < ARRAY_SIZE(c->failure))
		c->failure[c->failures] = (struct failure){ c->call, got, want, what };
	c->failures++;
}

/* The second word of a PAE entry that nobody tore. */
static u32 partner(u32 low)
{
	return low * 0x9e3779b1 ^ 0x5a5a5a5a;
}

/* ------------------------------------------------------------------------
 * Go
 */

static const struct {
	u32 out, convention;
} table[VMI_CALL_COUNT] = {
#define VMI_X(name, n3, n13, n6, type, args, in, out, clobber, conv, seg, defer, text)             \
	{ out, conv },
	VMI_CALLS(VMI_X)
#undef VMI_X
};

/* Poison; the arguments come next. */
static struct registers *prepare(struct cpu *c, u32 call)
{
	struct registers *in = &c->frame.in;
	u32 i;

	c->frame.target = stub[call];
	c->frame.jump = table[call].convention == VMI_CONV_JUMP;
	for (i = 0; i < 4; i++)
		c->frame.word[i] = random(c);
	for (i = 0; i < 7; i++)
		((u32 *)in)[i] = random(c);
	in->eflags = EFLAGS_1 |
		     (random(c) & (EFLAGS_OSZAPC | EFLAGS_IF | EFLAGS_DF | EFLAGS_ID | EFLAGS_AC));
	return in;
}

/* The call, and that it keeps what it has to; flags in mask are outputs. */
static u32 go_call(struct cpu *c, u32 call, u32 flags)
{
	const struct registers *in = &c->frame.in, *out = &c->frame.out;
	u32 kept = ~table[call].out, mask = ~(EFLAGS_OSZAPC | flags);

	c->user = c->trapped = false;
	enter(&c->frame);
	if (virtual_flags && !virtual_flags->interrupts && !c->user)
		c->frame.out.eflags &= ~EFLAGS_IF;
	virtual_on();
	if (c->user || c->trapped)
		return 0;
	if (kept & VMI_A)
		check(c, out->eax, in->eax, "EAX");
	if (kept & VMI_C)
		check(c, out->ecx, in->ecx, "ECX");
	if (kept & VMI_D)
		check(c, out->edx, in->edx, "EDX");
	if (kept & VMI_B)
		check(c, out->ebx, in->ebx, "EBX");
	check(c, out->ebp, in->ebp, "EBP");
	if (kept & VMI_SI)
		check(c, out->esi, in->esi, "ESI");
	if (kept & VMI_DI)
		check(c, out->edi, in->edi, "EDI");
	check(c, c->frame.esp, c->frame.saved_esp, "ESP");
	check(c, out->eflags & mask, in->eflags & mask, "EFLAGS");
	return out->eax;
}

#define PREPARE(name) struct registers *in = prepare(c, VMI_ID_##name)
#define GO(name) go_call(c, VMI_ID_##name, 0)
#define TORTURE(name)                                                                              \
	static void torture_##name(struct cpu *c);                                                 \
	static void torture_##name(struct cpu *c)

static u32 one(struct cpu *c, u32 call, u32 a)
{
	prepare(c, call)->eax = a;
	return go_call(c, call, 0);
}

static u32 two(struct cpu *c, u32 call, u32 a, u32 d)
{
	struct registers *in = prepare(c, call);

	in->eax = a;
	in->edx = d;
	return go_call(c, call, 0);
}

static u32 three(struct cpu *c, u32 call, u32 a, u32 d, u32 x)
{
	struct registers *in = prepare(c, call);

	in->eax = a;
	in->edx = d;
	in->ecx = x;
	return go_call(c, call, 0);
}

static u32 none(struct cpu *c, u32 call)
{
	prepare(c, call);
	return go_call(c, call, 0);
}

static u64 out64(const struct cpu *c)
{
	return (u64)c->frame.out.edx << 32 | c->frame.out.eax;
}

#define NONE(name) none(c, VMI_ID_##name)
#define ONE(name, a) one(c, VMI_ID_##name, a)
#define TWO(name, a, d) two(c, VMI_ID_##name, a, d)
#define THREE(name, a, d, x) three(c, VMI_ID_##name, a, d, x)

/* ------------------------------------------------------------------------
 * The interface itself, identity, descriptor tables
 */

TORTURE(Init)
{
	check(c, ONE(Init, 0), 0, "result");
}

TORTURE(GetRelocationInfo)
{
	u32 n = random(c) % VMI_CALL_COUNT, number = rom_number(&rom, n);

	if (number == VMI_NO || rom.major == 6)
		number = 0x1000;
	ONE(GetRelocationInfo, number);
	if (number != 0x1000) {
		check(c, c->frame.out.eax, (u32)relocation[n], "EIP");
		check(c, c->frame.out.edx, (u32)(relocation[n] >> 32), "type");
	}
}

TORTURE(PatchSites)
{
	struct vmi_patch patch = { .kind = (vmi_u8)(2 + random(c) % 254) };

	check(c, ONE(PatchSites, (u32)&patch), VMI_PATCH_REQUEST, "result");
}

TORTURE(CPUID)
{
	u32 native[4], leaf = random(c) & 1;

	PREPARE(CPUID);
	in->eax = leaf;
	in->ecx = 0;
	GO(CPUID);
	cpuid(leaf, 0, native);
	check(c, c->frame.out.eax, native[0], "EAX");
	check(c, c->frame.out.ebx, native[1], "EBX");
	check(c, c->frame.out.ecx, native[2], "ECX");
	check(c, c->frame.out.edx, native[3], "EDX");
}

TORTURE(WRMSR)
{
	u32 low = random(c) & 0x04040404, high = random(c) & 0x06060606;

	THREE(WRMSR, low, high, IA32_PAT);
	THREE(RDMSR, 1, 1, IA32_PAT);
	check(c, c->frame.out.eax, low, "the low word");
	check(c, c->frame.out.edx, high, "the high word");
}

TORTURE(RDMSR)
{
	torture_WRMSR(c);
}

static void trap_expected(struct cpu *c, bool may_run)
{
	if (!c->trapped && may_run)
		return;
	check(c, c->trapped, true, "a trap");
	check(c, c->trap_vector == VECTOR_UD || c->trap_vector == VECTOR_GP, true, "its vector");
}

TORTURE(RDPMC)
{
	PREPARE(RDPMC);
	in->ecx = 0;
	GO(RDPMC);
	trap_expected(c, true);
}

TORTURE(RDTSC)
{
	NONE(RDTSC);
	check(c, out64(c) >= c->tsc, true, "time goes on");
	c->tsc = out64(c);
}

TORTURE(SetGDT)
{
	struct dtr dtr = { (u16)(sizeof(c->gdt) - 1 - (random(c) & 3) * 8), (u32)c->gdt }, now;

	ONE(SetGDT, (u32)&dtr);
	ONE(GetGDT, (u32)&now);
	check(c, now.base, dtr.base, "base");
	check(c, now.limit, dtr.limit, "limit");
}

TORTURE(GetGDT)
{
	torture_SetGDT(c);
}

TORTURE(SetIDT)
{
	struct dtr dtr = { (u16)(sizeof(c->idt) - 1 - (random(c) & 3) * 8), (u32)c->idt }, now;

	ONE(SetIDT, (u32)&dtr);
	ONE(GetIDT, (u32)&now);
	check(c, now.base, dtr.base, "base");
	check(c, now.limit, dtr.limit, "limit");
}

TORTURE(GetIDT)
{
	torture_SetIDT(c);
}

TORTURE(SetLDT)
{
	u32 selector = random(c) & 1 ? SEL_LDT : 0;

	ONE(SetLDT, selector);
	check(c, NONE(GetLDT), selector, "LDTR");
}

TORTURE(GetLDT)
{
	torture_SetLDT(c);
}

TORTURE(SetTR)
{
	c->gdt[SEL_TSS / 8] &= ~((u64)2 << 40); /* not busy */
	ONE(SetTR, SEL_TSS);
	check(c, NONE(GetTR), SEL_TSS, "TR");
}

TORTURE(GetTR)
{
	torture_SetTR(c);
}

static void write_entry(struct cpu *c, u32 call, u64 *entries, u32 n)
{
	u64 value = descriptor(random(c), random(c) & 0xfffff, 0xc092);

	c->frame.word[0] = 0;
	struct registers *in = prepare(c, call);

	in->eax = (u32)entries;
	in->edx = n;
	in->ecx = (u32)value;
	c->frame.word[0] = (u32)(value >> 32);
	go_call(c, call, 0);
	check(c, (u32)entries[n], (u32)value, "low word");
	check(c, (u32)(entries[n] >> 32), (u32)(value >> 32), "high word");
}

TORTURE(WriteGDTEntry)
{
	write_entry(c, VMI_ID_WriteGDTEntry, c->gdt, 16 + (random(c) & 7));
}

TORTURE(WriteLDTEntry)
{
	write_entry(c, VMI_ID_WriteLDTEntry, c->ldt, random(c) & 7);
}

TORTURE(WriteIDTEntry)
{
	write_entry(c, VMI_ID_WriteIDTEntry, c->idt, 0xe0 + (random(c) & 15));
}

static u32 kernel_stack(struct cpu *c)
{
	return (u32)(c->stack + sizeof(c->stack));
}

TORTURE(UpdateKernelStack)
{
	u32 esp0 = kernel_stack(c) - (random(c) & 0xf0);

	TWO(UpdateKernelStack, SEL_DATA, esp0);
	check(c, c->tss[1], esp0, "ESP0");
}

TORTURE(UpdateKernelStack_v13)
{
	u32 esp0 = kernel_stack(c) - (random(c) & 0xf0);

	TWO(UpdateKernelStack_v13, (u32)c->tss, esp0);
	check(c, c->tss[1], esp0, "ESP0");
}

/* ------------------------------------------------------------------------
 * Control and debug registers
 */

TORTURE(SetCR0)
{
	u32 value = (cr0() & ~(CR0_MP | CR0_TS)) | (random(c) & (CR0_MP | CR0_TS));

	ONE(SetCR0, value);
	check(c, NONE(GetCR0), value, "CR0");
}

TORTURE(GetCR0)
{
	torture_SetCR0(c);
}

TORTURE(SetCR2)
{
	u32 value = random(c);

	ONE(SetCR2, value);
	check(c, NONE(GetCR2), value, "CR2");
}

TORTURE(GetCR2)
{
	torture_SetCR2(c);
}

/* PCD and PWT change, the tables do not. */
TORTURE(SetCR3)
{
	u32 value = cr3() ^ (random(c) & 0x18);

	ONE(SetCR3, value);
	check(c, NONE(GetCR3), value, "CR3");
}

TORTURE(GetCR3)
{
	torture_SetCR3(c);
}

TORTURE(SetCR4)
{
	u32 value = (cr4() & ~(CR4_TSD_DE | CR4_PGE)) | (random(c) & (CR4_TSD_DE | CR4_PGE));

	ONE(SetCR4, value);
	check(c, NONE(GetCR4), value, "CR4");
}

TORTURE(GetCR4)
{
	torture_SetCR4(c);
}

TORTURE(LMSW)
{
	u32 word = CR0_PE | (random(c) & (CR0_MP | CR0_TS));

	ONE(LMSW, word);
	check(c, NONE(SMSW) & 0xf, word | (cr0() & 4), "the word");
}

TORTURE(SMSW)
{
	torture_LMSW(c);
}

TORTURE(CLTS)
{
	NONE(CLTS);
	check(c, cr0() & CR0_TS, 0, "TS");
}

TORTURE(STTS)
{
	NONE(STTS);
	check(c, cr0() & CR0_TS, CR0_TS, "TS");
}

TORTURE(SetDR)
{
	u32 n = random(c) & 3, value = random(c);

	TWO(SetDR, n, value);
	check(c, ONE(GetDR, n), value, "the debug register");
}

TORTURE(GetDR)
{
	torture_SetDR(c);
}

TORTURE(INVD)
{
	NONE(INVD);
}

TORTURE(WBINVD)
{
	NONE(WBINVD);
}

/* ------------------------------------------------------------------------
 * Interrupts and flags
 */

static void set_mask(struct cpu *c, u32 call, u32 eax, u32 want)
{
	prepare(c, call)->eax = eax;
	go_call(c, call, EFLAGS_IF);
	check(c, c->frame.out.eflags & EFLAGS_IF, want, "IF");
}

TORTURE(EnableInterrupts)
{
	set_mask(c, VMI_ID_EnableInterrupts, 0, EFLAGS_IF);
}

TORTURE(DeliverInterrupts)
{
	set_mask(c, VMI_ID_DeliverInterrupts, 0, EFLAGS_IF);
}

TORTURE(DisableInterrupts)
{
	set_mask(c, VMI_ID_DisableInterrupts, 0, 0);
}

TORTURE(SetInterruptMask)
{
	u32 mask = random(c);

	set_mask(c, VMI_ID_SetInterruptMask, mask, mask & EFLAGS_IF);
}

TORTURE(GetInterruptMask)
{
	u32 got = NONE(GetInterruptMask);

	check(c, got, c->frame.in.eflags & EFLAGS_IF, "mask");
}

TORTURE(SaveAndDisableIRQs)
{
	u32 flags;

	PREPARE(SaveAndDisableIRQs);
	flags = go_call(c, VMI_ID_SaveAndDisableIRQs, EFLAGS_IF);
	check(c, flags, in->eflags, "flags");
	check(c, c->frame.out.eflags & EFLAGS_IF, 0, "IF");
}

TORTURE(SetEFLAGS)
{
	u32 value = EFLAGS_1 | (random(c) & (EFLAGS_OSZAPC | EFLAGS_IF | EFLAGS_IOPL | EFLAGS_ID));

	PREPARE(SetEFLAGS);
	in->eax = value;
	go_call(c, VMI_ID_SetEFLAGS, ~0u);
	check(c, c->frame.out.eflags, value, "flags");
}

TORTURE(GetEFLAGS)
{
	u32 got = NONE(GetEFLAGS);

	check(c, got, c->frame.in.eflags, "flags");
}

/* ------------------------------------------------------------------------
 * Privilege transitions and processor state
 */

static void iret(struct cpu *c, u32 call)
{
	u32 flags = EFLAGS_1 | (random(c) & (EFLAGS_OSZAPC | EFLAGS_IF | EFLAGS_ID));

	prepare(c, call);
	c->frame.word[0] = (u32)landing_iret;
	c->frame.word[1] = SEL_CODE;
	c->frame.word[2] = flags;
	go_call(c, call, ~0u);
	check(c, c->frame.out.eflags, flags, "flags");
}

TORTURE(IRET)
{
	iret(c, VMI_ID_IRET);
}

TORTURE(IRET_v13)
{
	iret(c, VMI_ID_IRET_v13);
}

TORTURE(IRET16)
{
	u32 flags = EFLAGS_1 | (random(c) & (EFLAGS_OSZAPC | EFLAGS_IF));

	PREPARE(IRET16);
	in->eflags &= ~EFLAGS_ID;
	in->eflags &= ~EFLAGS_AC;
	c->frame.word[0] = (u32)SEL_16 << 16;
	c->frame.word[1] = flags;
	go_call(c, VMI_ID_IRET16, ~0u);
	check(c, c->frame.out.eflags, flags, "flags");
}

static void sysexit(struct cpu *c, u32 call)
{
	struct registers *in = prepare(c, call);

	in->edx = (u32)user_code;
	go_call(c, call, ~0u);
	check(c, c->user, true, "user mode");
	check(c, c->frame.out.ebx, in->ebx, "EBX");
	check(c, c->frame.out.esi, in->esi, "ESI");
	check(c, c->frame.out.edi, in->edi, "EDI");
	check(c, c->frame.out.ebp, in->ebp, "EBP");
	check(c, c->frame.out.eflags & EFLAGS_IF, EFLAGS_IF, "IF");
	check(c, c->frame.esp, in->ecx, "ESP");
}

TORTURE(SYSEXIT)
{
	sysexit(c, VMI_ID_SYSEXIT);
}

TORTURE(StiSysexit)
{
	sysexit(c, VMI_ID_StiSysexit);
}

/* EFER.SCE is clear. */
TORTURE(SysRet)
{
	NONE(SysRet);
	trap_expected(c, false);
}

TORTURE(Pause)
{
	NONE(Pause);
}

static void arm(struct cpu *c, u64 distance)
{
	c->alarm.expiry = now() + distance;
	c->alarm.armed = true;
	c->alarms++;
	PREPARE(SetAlarm);
	in->eax = VMI_CYCLES_REAL | VMI_ALARM_WIRED_LVTT;
	in->edx = (u32)c->alarm.expiry;
	in->ecx = (u32)(c->alarm.expiry >> 32);
	c->frame.word[0] = c->frame.word[1] = 0;
	GO(SetAlarm);
}

/* Interrupts off: the alarm that is to wake it does not come before. */
static void halt(struct cpu *c, u32 call)
{
	__asm__ volatile("cli");
	if (!c->alarm.armed)
		arm(c, divide64(frequency, 20000));
	while (c->alarm.armed) { /* another's interrupt may come first */
		prepare(c, call)->eflags &= ~EFLAGS_IF;
		go_call(c, call, EFLAGS_IF);
		check(c, c->frame.out.eflags & EFLAGS_IF, EFLAGS_IF, "IF");
	}
	__asm__ volatile("sti");
}

TORTURE(Halt)
{
	halt(c, VMI_ID_Halt);
}

TORTURE(SafeHalt)
{
	halt(c, VMI_ID_SafeHalt);
}

/* At the end: stop(). */
TORTURE(Reboot)
{
	(void)c;
}

TORTURE(Shutdown)
{
	(void)c;
}

/* ------------------------------------------------------------------------
 * Starting other processors: each has one of its own
 */

static struct target {
	u8 stack[512];
	u32 flags, edi, esi, ebp, esp, ebx, edx, ecx, eax;
	u32 end;
	u32 id;
	volatile u32 came, cr3;
	struct vmi_ap_state state;
} target[CPUS];
_Static_assert(offsetof(struct target, end) == 512 + 36, "target_comes");

void target_came(struct target *t);
extern const char target_comes[];
__asm__(".text\n"
	"target_comes:\n"
	"pusha\n"
	"pushf\n"
	"cld\n"
	"mov %esp, %eax\n"
	"sub $512, %eax\n"
	"push %eax\n"
	"call target_came\n"
	"1: cli; hlt; jmp 1b\n");

void target_came(struct target *t)
{
	t->cr3 = cr3();
	__atomic_store_n(&t->came, 1, __ATOMIC_SEQ_CST);
}

static void icr(struct cpu *c, u32 id, u32 command)
{
	/* A handler does not use the ICR. */
	if (random(c) & 1) {
		TWO(APICWrite, APIC_ICR_HIGH, id << 24);
		TWO(APICWrite, APIC_ICR, command);
	} else {
		TWO(APICWrite_v13, APIC + APIC_ICR_HIGH, id << 24);
		TWO(APICWrite_v13, APIC + APIC_ICR, command);
	}
	while (*(volatile u32 *)at(APIC + APIC_ICR) & ICR_PENDING)
		;
}

TORTURE(SetInitialAPState)
{
	struct target *t = &target[c->index];
	struct vmi_ap_state *state = &t->state;
	u32 i, *word = &state->eax, address = rom.major == 13 ? to_phys(state) : (u32)state;
	u64 end;

	memset(state, 0, sizeof(*state));
	state->cr0 = cr0() | CR0_PG;
	state->cr3 = cr3();
	state->cr4 = (cr4() & ~CR4_TSD_DE) | CR4_PSE;
	if (!paging()) {
		static u32 directory[1024] __attribute__((aligned(4096)));

		for (i = 0; i < 4; i++)
			directory[i] = i << 22 | PTE_P | PTE_W | PTE_LARGE;
		state->cr3 = to_phys(directory);
	}
	state->eip = (u32)target_comes;
	state->eflags = EFLAGS_1 | (random(c) & EFLAGS_OSZAPC);
	for (i = 0; i < 8; i++)
		word[i] = random(c);
	state->esp = (u32)&t->end;
	state->cs = SEL_CODE;
	state->ss = state->ds = state->es = SEL_DATA;
	state->gdtr_limit = sizeof(gdt) - 1;
	state->gdtr_base = (u32)gdt;
	state->idtr_limit = sizeof(idt) - 1;
	state->idtr_base = (u32)idt;
	if (c->index >= targets || c->round % STARTS_ROUNDS) {
		TWO(SetInitialAPState, address, 100 + c->index);
		state->cr0 = 0; /* and away with it: all find a place */
		TWO(SetInitialAPState, address, 100 + c->index);
		return;
	}
	t->came = 0;
	icr(c, t->id, ICR_INIT);
	TWO(SetInitialAPState, address, t->id);
	icr(c, t->id, ICR_STARTUP | 0x9000 >> 12);
	for (end = now() + 10 * frequency; !t->came && now() < end;)
		__asm__ volatile("pause");
	check(c, t->came, 1, "arrivals");
	if (!t->came)
		return;
	c->target_starts++;
	check(c, t->eax, state->eax, "its EAX");
	check(c, t->ecx, state->ecx, "its ECX");
	check(c, t->edx, state->edx, "its EDX");
	check(c, t->ebx, state->ebx, "its EBX");
	check(c, t->esp, state->esp, "its ESP");
	check(c, t->ebp, state->ebp, "its EBP");
	check(c, t->esi, state->esi, "its ESI");
	check(c, t->edi, state->edi, "its EDI");
	check(c, t->flags, state->eflags, "its flags");
	check(c, t->cr3, state->cr3, "its CR3");
}

/* ------------------------------------------------------------------------
 * Page tables: entries that are this CPU's, and entries that all write
 */

static u32 entry_of(struct cpu *c)
{
	return (u32)&c->entry[2];
}

static void wrote(struct cpu *c, u32 value)
{
	check(c, c->entry[2], value, "entry");
}

TORTURE(SetPxE)
{
	u32 value = random(c);

	THREE(SetPxE, value, entry_of(c), VMI_PAGE_PT);
	wrote(c, value);
}

TORTURE(SetPxE_v13)
{
	u32 value = random(c);

	THREE(SetPxE_v13, entry_of(c), value, VMI_PAGE_PT);
	wrote(c, value);
}

TORTURE(SetPte)
{
	u32 value = random(c);

	THREE(SetPte, value, entry_of(c), 1);
	wrote(c, value);
}

/* Each value has its partner in the high word. */
static void set_long(struct cpu *c, u32 call, u64 *entry, u32 low)
{
	struct registers *in = prepare(c, call);

	in->eax = low;
	in->edx = partner(low);
	in->ecx = (u32)entry;
	c->frame.word[0] = VMI_PAGE_PT;
	go_call(c, call, 0);
}

static void get_long(struct cpu *c, u64 *entry)
{
	ONE(GetPxELong, (u32)entry);
	if (c->frame.out.eax & PTE_P)
		check(c, c->frame.out.edx, partner(c->frame.out.eax), "an entry's high word");
}

static void set_and_get_long(struct cpu *c, u32 call)
{
	set_long(c, call, &present_long, random(c) | PTE_P);
	get_long(c, &present_long);
	set_long(c, call, &own_long[c->index], random(c));
	get_long(c, &own_long[random(c) % cpus]);
}

TORTURE(SetPxELong)
{
	set_and_get_long(c, VMI_ID_SetPxELong);
}

TORTURE(SetPxELong_v13)
{
	set_and_get_long(c, VMI_ID_SetPxELong_v13);
}

TORTURE(SetPteLong)
{
	set_and_get_long(c, VMI_ID_SetPteLong);
}

TORTURE(GetPxELong)
{
	get_long(c, &present_long);
}

TORTURE(UpdatePxE)
{
	c->entry[2] = 5;
	TWO(UpdatePxE, entry_of(c), VMI_PAGE_PT);
	wrote(c, 5);
}

TORTURE(UpdatePxELong)
{
	c->entry[2] = 6;
	TWO(UpdatePxELong, entry_of(c), VMI_PAGE_PT);
	wrote(c, 6);
}

TORTURE(GetPxE)
{
	c->entry[2] = random(c);
	wrote(c, ONE(GetPxE, entry_of(c)));
}

#define IDENTITY(name)                                                                             \
	TORTURE(name)                                                                              \
	{                                                                                          \
		u32 value = random(c);                                                             \
		check(c, ONE(name, value), value, "value");                                        \
	}
IDENTITY(GetPteVal)
IDENTITY(GetPdeVal)
IDENTITY(MachineToPhysical)
IDENTITY(PhysicalToMachine)

#define TIMES 50 /* in a row, that CPUs meet */

/* What goes in comes out once, to somebody. */
TORTURE(SwapPxE)
{
	u32 i, value;

	for (i = 0; i < TIMES; i++) {
		value = random(c);
		c->swap ^= value ^ TWO(SwapPxE, (u32)&swapped, value);
	}
}

TORTURE(SwapPte)
{
	u32 i, value;

	for (i = 0; i < TIMES; i++) {
		value = random(c);
		c->swap ^= value ^ TWO(SwapPte, value, (u32)&swapped);
	}
}

static void exchanged_long(struct cpu *c, u32 value)
{
	c->swap_long ^= value ^ c->frame.out.eax;
	check(c, c->frame.out.edx, partner(c->frame.out.eax), "an entry's high word");
}

TORTURE(SwapPxELongAtomic)
{
	u32 i, value;

	for (i = 0; i < TIMES; i++) {
		value = random(c);
		THREE(SwapPxELongAtomic, value, partner(value), (u32)&swapped_long);
		exchanged_long(c, value);
	}
}

TORTURE(SwapPteLong)
{
	u32 i, value;

	for (i = 0; i < TIMES; i++) {
		value = random(c);
		PREPARE(SwapPteLong);
		in->ebx = value;
		in->ecx = partner(value);
		in->edi = (u32)&swapped_long;
		GO(SwapPteLong);
		exchanged_long(c, value);
	}
}

TORTURE(DeactivatePxELongAtomic)
{
	u32 low = c->entry[2] = random(c), high = c->entry[3] = random(c);

	ONE(DeactivatePxELongAtomic, entry_of(c));
	check(c, c->frame.out.eax, low, "low word");
	check(c, c->frame.out.edx, high, "high word");
	check(c, c->entry[2] | c->entry[3], 0, "entry");
}

/*
 * A bit of this CPU's, in a word with the others'; a bit that is set and cleared
 * is a lock, and what it guards is not atomic.
 */
static void bit_lock(struct cpu *c, u32 set, u32 clear, bool bit_first, u32 which)
{
	u32 lock = (u32)&section_lock[which], bit = 16 + c->index, seen, i;

	for (i = 0; i < TIMES; i++) {
		check(c, bit_first ? two(c, set, bit, lock) : two(c, set, lock, bit), 0, "its bit");
		check(c, bit_first ? two(c, clear, bit, lock) : two(c, clear, lock, bit), 1,
		      "its bit, set");
	}
	bit = 13;
	while (bit_first ? two(c, set, bit, lock) : two(c, set, lock, bit))
		__asm__ volatile("pause");
	seen = section[which];
	inb(0x80);
	section[which] = seen + 1;
	c->sections++;
	check(c, bit_first ? two(c, clear, bit, lock) : two(c, clear, lock, bit), 1, "the bit");
}

#define BIT_LOCK(set, clear, bit_first, which)                                                     \
	TORTURE(set)                                                                               \
	{                                                                                          \
		bit_lock(c, VMI_ID_##set, VMI_ID_##clear, bit_first, which);                       \
	}                                                                                          \
	TORTURE(clear)                                                                             \
	{                                                                                          \
		bit_lock(c, VMI_ID_##set, VMI_ID_##clear, bit_first, which);                       \
	}
BIT_LOCK(TestAndSetPxEBit, TestAndClearPxEBit, false, 0)
BIT_LOCK(TestAndSetPteBit, TestAndClearPteBit, true, 1)
BIT_LOCK(TestAndSetPxELongBit, TestAndClearPxELongBit, false, 0)
BIT_LOCK(TestAndSetPteBitLong, TestAndClearPteBitLong, true, 0)

/* ------------------------------------------------------------------------
 * Memory, hints, deferred mode
 */

#define HINT(name)                                                                                 \
	TORTURE(name)                                                                              \
	{                                                                                          \
		NONE(name);                                                                        \
	}
HINT(AllocatePage)
HINT(ReleasePage)
HINT(RegisterPageUsage)
HINT(RegisterPageMapping)
HINT(ClonePageTable)
HINT(ClonePageDirectory)
HINT(SetCallbacks)
HINT(UpdateGDT)
HINT(UpdateIDT)
HINT(UpdateLDT)
HINT(UpdateIOBitmap)
HINT(UpdateInterruptBitmap)
HINT(IODelay)

/* Each CPU has slots of its own. */
TORTURE(SetLinearMapping)
{
	u32 slot = random(c) % VMI_LINEAR_MAP_SLOTS;

	PREPARE(SetLinearMapping);
	in->eax = slot;
	in->edx = guest_virt;
	in->ecx = 16 + c->index;
	c->frame.word[0] = slot;
	GO(SetLinearMapping);
}

/* What is written in a mode is there when the mode ends, on whatever CPU others end theirs. */
static void deferred(struct cpu *c, u32 call, u32 flush, u32 off)
{
	u32 value = random(c);

	one(c, call, VMI_LAZY_MMU);
	THREE(SetPxE, value, entry_of(c), VMI_PAGE_PT | VMI_PAGE_DEFER);
	one(c, flush, off);
	wrote(c, value);
	one(c, call, VMI_LAZY_NONE);
}

TORTURE(SetLazyMode)
{
	deferred(c, VMI_ID_SetLazyMode, VMI_ID_SetLazyMode, VMI_LAZY_NONE);
}

TORTURE(SetDeferredMode)
{
	deferred(c, VMI_ID_SetDeferredMode, VMI_ID_SetDeferredMode, VMI_LAZY_NONE);
}

TORTURE(FlushDeferredCalls)
{
	deferred(c, VMI_ID_SetDeferredMode, VMI_ID_FlushDeferredCalls, VMI_13_FLUSH_PT);
}

/* A page of this CPU's: the other one of two is there after the call. */
#define FLUSHED 0x0c000000
static void flush(struct cpu *c, u32 call, u32 eax)
{
	u32 linear = FLUSHED + c->index * 4096, n = random(c) & 1;

	if (paging()) {
		(void)*(volatile u32 *)at(linear);
		*(u32 *)pte_of(linear) = pages[c->index][n] | PTE_P | PTE_W;
	}
	one(c, call, call == VMI_ID_InvalPage ? linear : eax);
	if (paging())
		check(c, *(volatile u32 *)at(linear), pages[c->index][n], "the page");
}

TORTURE(InvalPage)
{
	flush(c, VMI_ID_InvalPage, 0);
}

TORTURE(FlushTLB)
{
	flush(c, VMI_ID_FlushTLB, 1 + random(c) % 3);
}

TORTURE(FlushTLB_v6)
{
	flush(c, VMI_ID_FlushTLB_v6, 0);
}

TORTURE(FlushTLBAll)
{
	flush(c, VMI_ID_FlushTLBAll, 0);
}

/* ------------------------------------------------------------------------
 * Input and output: one CPU at a time, on registers that keep a value
 */

static void io_begin(void)
{
	while (__atomic_exchange_n(&io_lock, 1, __ATOMIC_ACQUIRE))
		__asm__ volatile("pause");
}

static void io_end(void)
{
	__atomic_store_n(&io_lock, 0, __ATOMIC_RELEASE);
}

static u32 pci_address(struct cpu *c)
{
	return 0x80000000 | (random(c) & 0xfffffc);
}

TORTURE(OUT)
{
	u32 value = pci_address(c);

	io_begin();
	TWO(OUT, value, PCI_ADDRESS);
	check(c, TWO(IN, 0, PCI_ADDRESS), value, "what was sent");
	io_end();
}

TORTURE(IN)
{
	torture_OUT(c);
}

TORTURE(OUTB)
{
	u32 value = random(c);

	io_begin();
	TWO(OUTB, value, COM1_SCRATCH);
	check(c, TWO(INB, 0x5500, COM1_SCRATCH), 0x5500 | (value & 0xff), "what was sent");
	io_end();
}

TORTURE(INB)
{
	torture_OUTB(c);
}

/* The high byte of the word at 3FE. */
TORTURE(OUTW)
{
	u32 value = random(c);

	io_begin();
	TWO(OUTW, value, COM1_SCRATCH - 1);
	check(c, TWO(INW, 0, COM1_SCRATCH - 1) >> 8, value >> 8 & 0xff, "what was sent");
	io_end();
}

TORTURE(INW)
{
	torture_OUTW(c);
}

static void string_call(struct cpu *c, u32 call, u32 port, u32 count)
{
	struct registers *in = prepare(c, call);

	in->edx = port;
	in->esi = in->edi = (u32)c->string;
	in->ecx = count;
	in->eflags &= ~EFLAGS_DF;
	go_call(c, call, 0);
	check(c, c->frame.out.ecx, 0, "ECX");
}

TORTURE(OUTS)
{
	u32 *word = (u32 *)c->string, i;

	for (i = 0; i < 8; i++)
		word[i] = pci_address(c);
	io_begin();
	string_call(c, VMI_ID_OUTS, PCI_ADDRESS, 7);
	check(c, c->frame.out.esi, (u32)&word[7], "ESI");
	word[0] = 0;
	string_call(c, VMI_ID_INS, PCI_ADDRESS, 6);
	io_end();
	check(c, c->frame.out.edi, (u32)&word[6], "EDI");
	for (i = 0; i < 6; i++)
		check(c, word[i], word[6], "a word");
}

TORTURE(INS)
{
	torture_OUTS(c);
}

TORTURE(OUTSB)
{
	u32 i;

	for (i = 0; i < 8; i++)
		c->string[i] = (u8)random(c);
	io_begin();
	string_call(c, VMI_ID_OUTSB, COM1_SCRATCH, 7);
	check(c, c->frame.out.esi, (u32)&c->string[7], "ESI");
	string_call(c, VMI_ID_INSB, COM1_SCRATCH, 6);
	io_end();
	check(c, c->frame.out.edi, (u32)&c->string[6], "EDI");
	for (i = 0; i < 6; i++)
		check(c, c->string[i], c->string[6], "a byte");
}

TORTURE(INSB)
{
	torture_OUTSB(c);
}

TORTURE(OUTSW)
{
	u32 i;

	for (i = 0; i < 16; i++)
		c->string[i] = (u8)random(c);
	io_begin();
	string_call(c, VMI_ID_OUTSW, COM1_SCRATCH - 1, 7);
	check(c, c->frame.out.esi, (u32)&c->string[14], "ESI");
	string_call(c, VMI_ID_INSW, COM1_SCRATCH - 1, 6);
	io_end();
	check(c, c->frame.out.edi, (u32)&c->string[12], "EDI");
	for (i = 0; i < 6; i++)
		check(c, c->string[2 * i + 1], c->string[13], "a word's high byte");
}

TORTURE(INSW)
{
	torture_OUTSW(c);
}

TORTURE(SetIOPLMask)
{
	u32 mask = random(c) & EFLAGS_IOPL;

	prepare(c, VMI_ID_SetIOPLMask)->eax = mask;
	go_call(c, VMI_ID_SetIOPLMask, EFLAGS_IOPL);
	check(c, c->frame.out.eflags & EFLAGS_IOPL, mask, "IOPL");
	PREPARE(GetIOPLMask);
	in->eflags |= mask;
	check(c, GO(GetIOPLMask), mask, "IOPL");
}

TORTURE(GetIOPLMask)
{
	torture_SetIOPLMask(c);
}

/* ------------------------------------------------------------------------
 * The local APIC, counters, alarms
 */

static bool on_ipi(struct trap *trap)
{
	struct cpu *c = self();

	c->received[trap->vector - VECTOR_FROM]++;
	if (c->random & 1)
		VMI(&rom, APICWrite)(APIC_EOI, 0);
	else
		VMI(&rom, APICWrite_v13)(at(APIC + APIC_EOI), 0);
	return true;
}

/* To another CPU, with the sender's vector, once the last one has arrived. */
static void send(struct cpu *c)
{
	struct cpu *to = &cpu[random(c) % cpus];

	if (to->received[c->index] != c->sent[to->index])
		return;
	c->sent[to->index]++;
	icr(c, to->id, VECTOR_FROM + c->index);
}

TORTURE(APICWrite)
{
	u32 tpr = random(c) & 0x2f;

	TWO(APICWrite, APIC_TPR, tpr);
	check(c, ONE(APICRead, APIC_TPR), tpr, "TPR");
	check(c, ONE(APICRead_v13, APIC + APIC_TPR), tpr, "TPR");
	send(c);
}

TORTURE(APICWrite_v13)
{
	u32 tpr = random(c) & 0x2f;

	TWO(APICWrite_v13, APIC + APIC_TPR, tpr);
	check(c, ONE(APICRead, APIC_TPR), tpr, "TPR");
	send(c);
}

TORTURE(APICRead)
{
	check(c, ONE(APICRead, APIC_ID), c->id << 24, "APIC ID");
	check(c, ONE(APICRead, APIC_LVTT) & 0x100ff, VECTOR_LVTT, "LVTT");
}

TORTURE(APICRead_v13)
{
	check(c, ONE(APICRead_v13, APIC + APIC_ID), c->id << 24, "APIC ID");
}

TORTURE(GetCycleFrequency)
{
	NONE(GetCycleFrequency);
	check(c, out64(c) == frequency, true, "the frequency of all");
}

TORTURE(GetCycleCounter)
{
	u32 which = random(c) & 1;
	u64 *last = own_clock ? &c->cycles[which] : &c->tsc;

	ONE(GetCycleCounter, which);
	check(c, out64(c) >= *last, true, "time goes on");
	*last = out64(c);
}

static bool on_lvtt(struct trap *trap)
{
	struct cpu *c = self();

	(void)trap;
	check(c, c->alarm.armed, true, "an alarm that was set");
	/* Without -icount a loaded machine measures its clocks badly; alarm.c is exact. */
	check(c, now() + 100000 >= c->alarm.expiry, true, "an alarm in time");
	c->alarm.armed = false;
	c->fired++;
	VMI(&rom, APICWrite)(APIC_EOI, 0);
	return true;
}

TORTURE(SetAlarm)
{
	if (!c->alarm.armed)
		arm(c, random(c) & 0xfffff);
}

/*
 * The other counter's, that is never due. Not while one is due: under TCG the
 * interrupt comes later than the APIC's count says, and the ROM could lose it.
 */
TORTURE(CancelAlarm)
{
	u64 expiry = now() + 1000 * frequency;

	if (c->alarm.armed)
		return;
	PREPARE(SetAlarm);
	in->eax = VMI_CYCLES_AVAILABLE | VMI_ALARM_WIRED_LVTT;
	in->edx = (u32)expiry;
	in->ecx = (u32)(expiry >> 32);
	GO(SetAlarm);
	check(c, ONE(CancelAlarm, VMI_CYCLES_AVAILABLE | VMI_ALARM_WIRED_LVTT), 1, "armed");
	check(c, ONE(CancelAlarm, VMI_CYCLES_AVAILABLE | VMI_ALARM_WIRED_LVTT), 0, "armed again");
}

TORTURE(GetWallclockTime)
{
	NONE(GetWallclockTime);
	check(c, out64(c) >= c->wall, true, "time goes on");
	c->wall = out64(c);
}

TORTURE(WallclockUpdated)
{
	check(c, NONE(WallclockUpdated) <= 1, true, "a truth value");
}

/* ------------------------------------------------------------------------
 * Each CPU
 */

static void (*const torture[VMI_CALL_COUNT])(struct cpu *) = {
#define VMI_X(name, n3, n13, n6, type, args, in, out, clobber, conv, seg, defer, text)             \
	torture_##name,
	VMI_CALLS(VMI_X)
#undef VMI_X
};

static bool on_user(struct trap *trap)
{
	struct cpu *c = self();

	c->user = true;
	c->frame.out =
		(struct registers){ trap->regs.eax, trap->regs.ecx, trap->regs.edx, trap->regs.ebx,
				    trap->regs.ebp, trap->regs.esi, trap->regs.edi, trap->eflags };
	c->frame.esp = trap->esp;
	leave(&c->frame);
}

static bool on_fault(struct trap *trap)
{
	struct cpu *c = self();

	if (c->call != VMI_ID_RDPMC && c->call != VMI_ID_SysRet)
		return false;
	c->trapped = true;
	c->trap_vector = trap->vector;
	leave(&c->frame);
}

static void own_tables(struct cpu *c)
{
	struct dtr dtr;

	memcpy(c->gdt, gdt, sizeof(gdt));
	memcpy(c->idt, idt, sizeof(idt));
	c->gdt[SEL_TSS / 8] = descriptor((u32)c->tss, sizeof(c->tss) - 1, 0x89);
	c->gdt[SEL_LDT / 8] = descriptor((u32)c->ldt, sizeof(c->ldt) - 1, 0x82);
	c->gdt[SEL_16 / 8] = descriptor((u32)landing_iret16, 0xffff, 0x409b);
	c->tss[1] = kernel_stack(c);
	c->tss[2] = SEL_DATA;
	c->tss[25] = sizeof(c->tss) << 16;
	dtr = (struct dtr){ sizeof(c->gdt) - 1, (u32)c->gdt };
	__asm__ volatile("lgdt %0" : : "m"(dtr));
	dtr = (struct dtr){ sizeof(c->idt) - 1, (u32)c->idt };
	__asm__ volatile("lidt %0\n\tltr %w1" : : "m"(dtr), "r"(SEL_TSS));
	wrmsr(IA32_SYSENTER_CS, SEL_CODE);
}

static void stop(struct cpu *c)
{
	c->done = true;
	__asm__ volatile("sti"); /* others still send */
	while (!over)
		__asm__ volatile("pause");
	__asm__ volatile("cli");
	if (c->index && c->index % 2 == 0) {
		VMI(&rom, Shutdown)();
		c->stopped = true; /* never */
	}
	while (!go_on)
		__asm__ volatile("pause");
	VMI(&rom, Reboot)(VMI_REBOOT_HARD);
}

/* Of VMI_CALL_COUNT, which need not be prime, a permutation: i * stride + index. */
static u32 stride_of(u32 index)
{
	static const u8 primes[CPUS] = { 1, 7, 11, 13, 17, 19, 23, 29 };

	return VMI_CALL_COUNT % primes[index] || !index ? primes[index] : 1;
}

static void run(struct cpu *c)
{
	u32 i, stride = stride_of(c->index);
	u64 end;

	for (c->round = 0; c->round < rounds; c->round++)
		for (i = 0; i < VMI_CALL_COUNT; i++) {
			c->call = (i * stride + c->index * 5 + c->round) % VMI_CALL_COUNT;
			__asm__ volatile("sti");
			torture[c->call](c);
		}
	__asm__ volatile("sti");
	for (end = now() + 10 * frequency; c->alarm.armed && now() < end;)
		__asm__ volatile("pause");
	check(c, c->alarm.armed, false, "the last alarm");
}

static void start(struct cpu *c)
{
	c->id = apic_id();
	c->random = 0x12345678 + c->index * 0x1111111;
	own_tables(c);
	virtual_on();
	VMI(&rom, APICWrite)(APIC_SVR, 0x1ff);
	VMI(&rom, APICWrite)(APIC_LVTT, VECTOR_LVTT);
}

static volatile u32 ready;
static volatile bool begin;

static void ap(void)
{
	struct cpu *c = &cpu[ready + 1];

	c->index = ready + 1;
	start(c);
	ready++;
	while (!begin)
		__asm__ volatile("pause");
	run(c);
	stop(c);
}

static void share(void)
{
	u32 i, type;

	frequency = VMI(&rom, GetCycleFrequency)();
	own_clock = rom_traps(&rom, VMI_ID_GetCycleCounter);
	swapped_long = (u64)partner(0) << 32;
	present_long = (u64)partner(PTE_P) << 32 | PTE_P;
	for (i = 0; i < VMI_CALL_COUNT; i++) {
		u32 number = rom_number(&rom, i);

		stub[i] = rom_call(&rom, i);
		if (number == VMI_NO)
			continue;
		relocation[i] = VMI(&rom, GetRelocationInfo)(number);
		if (rom.major == 3)
			relocation[i] = rom_entry(&rom, number, &type) | (u64)type << 32;
	}
	user_code = user_page();
	memcpy(user_code, "\xcd\x80", 2);
	for (i = 0; i < cpus && paging(); i++) {
		pages[i][0] = to_phys(page());
		pages[i][1] = to_phys(page());
		*(u32 *)phys(pages[i][0]) = pages[i][0];
		*(u32 *)phys(pages[i][1]) = pages[i][1];
		map(FLUSHED + i * 4096, pages[i][0], PTE_P | PTE_W);
	}
	on_trap(VECTOR_USER, on_user);
	on_trap(VECTOR_UD, on_fault);
	on_trap(VECTOR_GP, on_fault);
	on_trap(VECTOR_LVTT, on_lvtt);
	for (i = 0; i < cpus; i++)
		on_trap(VECTOR_FROM + i, on_ipi);
}

/* The last interrupts come in. */
static bool all_received(void)
{
	u32 i, j;

	for (i = 0; i < cpus; i++)
		for (j = 0; j < cpus; j++)
			if (cpu[j].received[i] != cpu[i].sent[j])
				return false;
	return true;
}

static void report(void)
{
	u32 i, j, sections = 0, swap = swapped, swap_long = (u32)swapped_long, starts = 0,
		  alarms = 0, ipis = 0;

	for (i = 0; i < cpus; i++) {
		struct cpu *c = &cpu[i];

		for (j = 0; j < c->failures && j < ARRAY_SIZE(c->failure); j++)
			expect(false, "CPU %u, %s: %s is %08x, expected %08x", c->id,
			       call_name[c->failure[j].call], c->failure[j].what, c->failure[j].got,
			       c->failure[j].want);
		equal(c->failures, 0, "failures");
		equal(c->fired, c->alarms, "alarms fired");
		for (j = 0; j < cpus; j++)
			equal(cpu[j].received[i], c->sent[j], "interrupts received");
		point("CPU %u: %u calls", c->id, rounds * VMI_CALL_COUNT);
		sections += c->sections;
		swap ^= c->swap;
		swap_long ^= c->swap_long;
		starts += c->target_starts;
		alarms += c->fired;
		for (j = 0; j < cpus; j++)
			ipis += c->sent[j];
	}
	equal(section[0] + section[1], sections, "critical sections");
	point("TestAndSet and TestAndClear exclude others");
	equal(swap, 0, "what is missing");
	equal(swap_long, 0, "what is missing of the PAE entries");
	point("exchanges lose nothing");
	print("# %u alarms, %u interprocessor interrupts, %u processors started, %u sections\n",
	      alarms, ipis, starts, sections);
	expect(alarms >= cpus * rounds && ipis >= rounds, "few interrupts");
	equal(starts, targets * ((rounds + STARTS_ROUNDS - 1) / STARTS_ROUNDS),
	      "processors started");
	point("alarms and interrupts come to the CPU that asked for them");
}

void guest_main(void)
{
	u32 i, all = option_number("cpus", 1);
	u64 end;

	if (!rom_find(&rom, option_number("major", 3)) || rom_init(&rom))
		bail("no ROM");
	cpus = option_number("callers", CPUS);
	if (cpus > all)
		cpus = all;
	rounds = option_number("rounds", 24);
	share();
	for (i = 1; i < cpus; i++) {
		if (!cpu_start(i, ap))
			bail("CPU %u does not come", i);
		while (ready != i)
			__asm__ volatile("pause");
	}
	for (i = cpus; i < all && targets < CPUS; i++)
		target[targets++].id = i;
	start(&cpu[0]);
	begin = true;
	run(&cpu[0]);
	end = now() + 60 * frequency;
	for (i = 0; i < cpus;) {
		if (!i || cpu[i].done)
			i++;
		else if (now() > end)
			break;
		__asm__ volatile("sti");
	}
	for (i = 1; i < cpus; i++)
		expect(cpu[i].done, "CPU %u hangs: round %u, %s", i, cpu[i].round,
		       call_name[cpu[i].call]);
	point("every CPU comes to its end");
	for (end = now() + 2 * frequency; !all_received() && now() < end;)
		__asm__ volatile("sti; pause");
	report();
	over = true;
	for (i = 0; i < 1000; i++)
		inb(0x80);
	for (i = 0; i < cpus; i++)
		expect(!cpu[i].stopped, "CPU %u is awake again", i);
	point("Shutdown on several CPUs at once");
	plan(cpus + 5);
	go_on = true;
	stop(&cpu[0]);
}
