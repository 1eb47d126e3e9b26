/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Below vmm/svm: what the hypervisor shows and what it hides. With attack=NAME
 * the guest tries to get at it, and does not live to tell (host/svm.t).
 *
 * RUN: {flat,high,pae},host=svm,{trap=none,trap=irq}
 * RUN: {flat,pae},host=svm,smp=4,{trap=none,trap=irq}
 * RUN: flat,host=svm,rom=vmi,icount,count
 * RUN: {flat,high,pae},host=svm,rom=none,trap=all,pointers
 */
#include "guest.h"

#define PORT 0xe4
#define SIGNATURE_B 0x6e65704f /* "OpenVMI VMM " */
#define SIGNATURE_C 0x20494d56
#define SIGNATURE_D 0x204d4d56
#define CPUID_1_ECX_HYPERVISOR (1u << 31)
#define CPUID_AMD_ECX_SVM (1u << 2)
#define MSR_APIC_BASE 0x1b
#define MSR_EFER 0xc0000080
#define MSR_VM_CR 0xc0010114
#define MSR_VM_HSAVE_PA 0xc0010117
#define MSR_KVM 0x4b564d00
#define EFER_SVME 0x1000
#define INFO_MEM_UPPER 2 /* words */
#define INFO_MODULES 5
#define INFO_MODULE 6
#define APIC 0xfee00000u
#define APIC_ID 0x20
#define APIC_TPR 0x80
#define APIC_ICR 0x300
#define ICR_TO_SELF (1u << 18 | 1u << 14)
#define ICR_NMI 0x400
#define ICR_INIT 0x500
#define ICR_ASSERT 0x4000
#define VECTOR_NMI 2
#define CR0_PE 1u
#define WINDOW 0x40000000u /* linear, where the guest pages */
#define FAR 0x00400000u	   /* physical: beyond the guest */

/* The end of the guest's memory, where the hypervisor begins. */
static u32 edge(void)
{
	return 0x100000 + ((u32 *)phys(boot_info))[INFO_MEM_UPPER] * 1024;
}

static volatile u32 *see(u32 physical)
{
	if (!paging())
		return at(physical);
	map(WINDOW, physical & 0xfffff000, PTE_P | PTE_W);
	return at(WINDOW + (physical & 0xfff));
}

/* ------------------------------------------------------------------------
 * Attacks
 */

static void attack_read(void)
{
	print("%x\n", *see(edge()));
}

static void attack_read_last(void)
{
	print("%x\n", *see(edge() + 0x50ffc));
}

static void attack_write(void)
{
	*see(edge()) = 0;
}

static void attack_run(void)
{
	((void (*)(void))(u32)see(edge() + 16))();
}

static void attack_tables(void)
{
	set_cr3(edge());
	if (!paging())
		set_cr0(cr0() | CR0_PG);
}

static void attack_stack(void)
{
	u32 stack = (u32)see(edge() + 0x800);

	__asm__ volatile("mov %0, %%esp\n\tpush $0" : : "r"(stack));
}

static void attack_idt(void)
{
	struct {
		u16 limit;
		u32 base;
	} __attribute__((packed)) idtr = { 0x7ff, (u32)see(edge()) };

	__asm__ volatile("lidt %0\n\tint $3" : : "m"(idtr));
}

/* A guest that paged, and stops: its addresses were translated until now. */
static void attack_paging_off(void)
{
	if (paging())
		bail("the flat guest does this");
	static u32 pd[1024] __attribute__((aligned(4096)));
	u32 i, target = edge();

	for (i = 0; i < 1024; i++)
		pd[i] = i << 22 | PTE_P | PTE_W | PTE_LARGE;
	set_cr4(cr4() | 0x10);
	set_cr3(to_phys(pd));
	set_cr0(cr0() | CR0_PG);
	set_cr0(cr0() & ~CR0_PG);
	print("%x\n", *(volatile u32 *)at(target));
}

static void attack_vmrun(void)
{
	__asm__ volatile("vmrun" : : "a"(edge()));
}

static void attack_vmload(void)
{
	__asm__ volatile("vmload" : : "a"(edge()));
}

static void attack_vmsave(void)
{
	__asm__ volatile("vmsave" : : "a"(edge()));
}

static void attack_stgi(void)
{
	__asm__ volatile("stgi");
}

static void attack_clgi(void)
{
	__asm__ volatile("clgi");
}

static void attack_invlpga(void)
{
	__asm__ volatile("invlpga" : : "a"(0), "c"(0));
}

static void attack_svme(void)
{
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
}

static void attack_vm_cr(void)
{
	print("%llx\n", rdmsr(MSR_VM_CR));
}

static void attack_hsave(void)
{
	wrmsr(MSR_VM_HSAVE_PA, to_phys(gdt) & 0xfffff000);
}

static void attack_apic_base(void)
{
	wrmsr(MSR_APIC_BASE, (rdmsr(MSR_APIC_BASE) & 0xfff) | edge());
}

static void attack_triple_fault(void)
{
	struct {
		u16 limit;
		u32 base;
	} __attribute__((packed)) idtr = { 0, 0 };

	__asm__ volatile("lidt %0\n\tint $3" : : "m"(idtr));
}

static void attack_init(void)
{
	*(volatile u32 *)at(APIC + APIC_ICR) = ICR_TO_SELF | ICR_INIT;
}

/* INIT to CPU 0 as devices send it. */
static void attack_message(void)
{
	*see(APIC + 0x1000) = ICR_INIT | ICR_ASSERT;
}

static void attack_message_0(void)
{
	*(volatile u32 *)at(APIC) = ICR_INIT | ICR_ASSERT;
}

static void attack_string_io(void)
{
	static const u8 bytes[2];
	const void *from = bytes;
	u32 count = 2;

	__asm__ volatile("rep outsb" : "+S"(from), "+c"(count) : "d"(0x64));
}

/* A shared area, and a queue in it with one entry. */
static struct {
	struct vmi_shared shared;
	u8 pad[VMI_SHARED_QUEUE - sizeof(struct vmi_shared)];
	struct vmi_queued queue[VMI_SHARED_QUEUED];
	u8 end[VMI_SHARED_SIZE - VMI_SHARED_END];
} area __attribute__((aligned(4096)));

static u32 hypercall(u32 number, u32 a, u32 d, u32 c)
{
	u32 flags;

	__asm__ volatile("push %%ebp\n\tmov %1, %%ebp\n\tvmmcall\n\tpop %%ebp\n\tpushf\n\tpop %0"
			 : "=r"(flags), "+S"(number), "+a"(a), "+d"(d), "+c"(c)
			 :
			 : "cc", "memory");
	return flags & 1;
}

static void attach(void)
{
	if (hypercall(VMI_HV_TAG | VMI_HV_ATTACH, VMI_HV_VERSION, to_phys(&area), 3))
		bail("ATTACH is refused");
}

static void flush(u32 call, u32 a, u32 d, u32 c)
{
	area.queue[0] = (struct vmi_queued){ .call = call, .eax = a, .edx = d, .ecx = c };
	area.shared.queue_next += VMI_QUEUED_SIZE;
	hypercall(VMI_HV_TAG | VMI_HV_FLUSH, 0, 0, 0);
}

static void attack_queue_entry(void)
{
	attach();
	flush(VMI_HV_TAG | VMI_ID_SetPxE, 0, (u32)see(edge()), VMI_PAGE_PT);
}

static void attack_queue_call(void)
{
	attach();
	flush(VMI_HV_TAG | VMI_ID_Halt, 0, 0, 0);
}

static void attack_queue_number(void)
{
	attach();
	flush(VMI_HV_TAG | 0xffff, 0, 0, 0);
}

static void attack_queue_next(void)
{
	attach();
	area.shared.queue_next = (vmi_s32)(edge() - to_phys(&area) - VMI_SHARED_END + 2);
	hypercall(VMI_HV_TAG | VMI_HV_FLUSH, 0, 0, 0);
}

static const struct {
	const char *name;
	void (*run)(void);
} attacks[] = {
	{ "queue-entry", attack_queue_entry },
	{ "queue-call", attack_queue_call },
	{ "queue-number", attack_queue_number },
	{ "queue-next", attack_queue_next },
	{ "read", attack_read },
	{ "read-last", attack_read_last },
	{ "write", attack_write },
	{ "run", attack_run },
	{ "tables", attack_tables },
	{ "stack", attack_stack },
	{ "idt", attack_idt },
	{ "paging-off", attack_paging_off },
	{ "vmrun", attack_vmrun },
	{ "vmload", attack_vmload },
	{ "vmsave", attack_vmsave },
	{ "stgi", attack_stgi },
	{ "clgi", attack_clgi },
	{ "invlpga", attack_invlpga },
	{ "svme", attack_svme },
	{ "vm_cr", attack_vm_cr },
	{ "hsave", attack_hsave },
	{ "apic-base", attack_apic_base },
	{ "triple-fault", attack_triple_fault },
	{ "init", attack_init },
	{ "message", attack_message },
	{ "message-0", attack_message_0 },
	{ "string-io", attack_string_io },
};

static void attack(const char *name)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(attacks); i++) {
		if (!strsame(name, attacks[i].name))
			continue;
		print("attack: %s\n", attacks[i].name);
		attacks[i].run();
		bail("still here");
	}
	bail("no attack of that name");
}

/* ------------------------------------------------------------------------
 * What the guest sees
 */

static void leaves(void)
{
	u32 r[4], leaf, found = 0;

	cpuid(1, 0, r);
	expect(r[2] & CPUID_1_ECX_HYPERVISOR, "no hypervisor bit");
	cpuid(0x80000001, 0, r);
	expect(!(r[2] & CPUID_AMD_ECX_SVM), "SVM is shown");
	cpuid(0x8000000a, 0, r);
	expect(!(r[0] | r[1] | r[2] | r[3]), "SVM's leaf is shown");
	for (leaf = 0x40000000; leaf < 0x40010000; leaf += 0x100) {
		cpuid(leaf, 0, r);
		if (r[1] != SIGNATURE_B || r[2] != SIGNATURE_C || r[3] != SIGNATURE_D)
			continue;
		found++;
		expect(r[0] >= leaf && r[0] < leaf + 0x100, "the highest leaf is %08x", r[0]);
	}
	equal(found, 1, "leaves with the signature");
	point("CPUID: the hypervisor's leaf, no SVM");
}

/* Pointers, where trap=all makes something of them: nothing is read, nothing is written. */
static void pointers(void)
{
	static const u32 calls[] = { VMI_ID_SetGDT,  VMI_ID_GetGDT, VMI_ID_SetIDT,
				     VMI_ID_GetIDT,  VMI_ID_SetPxE, VMI_ID_SetPxELong,
				     VMI_ID_SwapPxE, VMI_ID_GetPxE, VMI_ID_WriteGDTEntry };
	u32 i, where, bad[] = { edge(), edge() - 2, edge() + 0x50ffc, 0xfee00300, 0xfffffffe };

	if (!hypercall(VMI_HV_TAG | VMI_HV_ATTACH, VMI_HV_VERSION, edge() - 0x3000, 3) ||
	    !hypercall(VMI_HV_TAG | VMI_HV_ATTACH, VMI_HV_VERSION, edge(), 3))
		expect(false, "an area in the hypervisor's memory is taken");
	attach();
	for (i = 0; i < ARRAY_SIZE(calls) * ARRAY_SIZE(bad); i++) {
		u32 call = calls[i / ARRAY_SIZE(bad)];

		where = (u32)see(bad[i % ARRAY_SIZE(bad)]);
		expect(hypercall(VMI_HV_TAG | call, call == VMI_ID_SetPxE ? 0 : where, where, 0),
		       "%s of %08x is not refused", call_name[call], bad[i % ARRAY_SIZE(bad)]);
	}
	point("pointers into the hypervisor's memory are refused");
}

static bool refused(struct trap *trap)
{
	trap->eip += 2;
	trap->regs.eax = trap->regs.edx = 0xdead;
	return true;
}

static void registers(void)
{
	trap_handler before;

	equal((u32)rdmsr(MSR_EFER) & EFER_SVME, 0, "EFER.SVME");
	wrmsr(MSR_EFER, rdmsr(MSR_EFER));
	before = on_trap(13, refused);
	equal((u32)rdmsr(MSR_KVM), 0xdead, "an MSR of another hypervisor");
	equal((u32)rdmsr(0x12), 0xdead, "another");
	on_trap(13, before);
	equal(cr0() & CR0_PG, guest_virt ? CR0_PG : 0, "CR0.PG");
	point("MSRs and control registers");
}

/* Flags that the hypervisor answers with, and every register. */
static u32 vmmcall(struct regs *regs)
{
	u32 flags;

	__asm__ volatile("clc\n\tvmmcall\n\tpushf\n\tpop %0"
			 : "=r"(flags), "+a"(regs->eax), "+c"(regs->ecx), "+d"(regs->edx),
			   "+b"(regs->ebx));
	return flags;
}

static u32 port_call(struct regs *regs)
{
	u32 flags;

	__asm__ volatile("clc\n\toutl %%eax, %5\n\tpushf\n\tpop %0"
			 : "=r"(flags), "+a"(regs->eax), "+c"(regs->ecx), "+d"(regs->edx),
			   "+b"(regs->ebx)
			 : "i"(PORT));
	return flags;
}

static void calls(void)
{
	const struct regs want = { .eax = 0x12345678, .ecx = 2, .edx = 3, .ebx = 4 };
	struct regs got = want;

	expect(vmmcall(&got) & 1, "VMMCALL: known");
	expect(same(&got, &want, sizeof(got)), "VMMCALL: a register changed");
	expect(port_call(&got) & 1, "the port: known");
	expect(same(&got, &want, sizeof(got)), "the port: a register changed");
	point("an unknown number: carry, nothing else");
}

static volatile u32 steps;

static bool count_step(struct trap *trap)
{
	steps++;
	(void)trap;
	return true;
}

/* After each of five instructions, the last of which clears TF. */
static void single_steps(void)
{
	trap_handler before = on_trap(1, count_step);
	u32 leaf = 1, flags;

	steps = 0;
	__asm__ volatile("pushf\n\tpop %1\n\tpush %1\n\torl $0x100, (%%esp)\n\tpopf\n\t"
			 "cpuid\n\tvmmcall\n\tmov %%cr0, %%eax\n\tnop\n\tpush %1\n\tpopf"
			 : "+a"(leaf), "=&D"(flags)
			 :
			 : "ebx", "ecx", "edx", "memory", "cc");
	on_trap(1, before);
	equal(steps, 6, "steps");
	point("single steps over what exits");
}

static void a20(void)
{
	volatile u32 *odd = phys(FAR + 0x100000), *even = phys(FAR);

	outb(0x92, inb(0x92) & (u8)~3);
	*odd = 1;
	*even = 2;
	equal(*odd, 1, "after port 92");
	outb(0x64, 0xdd);
	*odd = 3;
	*even = 4;
	equal(*odd, 3, "after command DD");
	outb(0x64, 0xd1);
	outb(0x60, 0xdd);
	*odd = 5;
	*even = 6;
	equal(*odd, 5, "after the output port");
	outb(0x64, 0xdf);
	point("A20 stays on");
}

static volatile u32 nmis, deepest, depth;

static bool on_nmi(struct trap *trap)
{
	(void)trap;
	nmis++;
	if (++depth > deepest)
		deepest = depth;
	if (nmis == 1) /* another one waits for IRET */
		*(volatile u32 *)at(APIC + APIC_ICR) = ICR_TO_SELF | ICR_NMI;
	inb(0x80);
	depth--;
	return true;
}

static void apic_and_nmi(void)
{
	volatile u32 *tpr = at(APIC + APIC_TPR);
	u32 old = 0x40, polls;

	*tpr = 0x20;
	equal(*tpr, 0x20, "MOV from a register");
	__asm__ volatile("movl $0x30, (%0)" : : "r"(tpr) : "memory");
	equal(*tpr, 0x30, "MOV of a constant");
	__asm__ volatile("movl $0x10, 0x80(%0,%1,4)" : : "r"(APIC), "r"(0) : "memory");
	equal(*tpr, 0x10, "with SIB and displacement");
	__asm__ volatile("xchg %0, (%1)" : "+r"(old) : "r"(tpr) : "memory");
	equal(*tpr, 0x40, "XCHG");
	equal(old, 0x10, "what XCHG gives back");
	__asm__ volatile("mov %%eax, 0xfee00080" : : "a"(0) : "memory");
	equal(*tpr, 0, "MOV to an address in the instruction");
	point("writes to the local APIC");

	on_trap(VECTOR_NMI, on_nmi);
	*(volatile u32 *)at(APIC + APIC_ICR) = ICR_TO_SELF | ICR_NMI;
	for (polls = 0; polls < 100000 && nmis < 2; polls++)
		inb(0x80);
	equal(nmis, 2, "NMIs");
	equal(deepest, 1, "at once");
	point("NMIs, one after the other");
}

static void interrupts(void)
{
	u32 before, polls;

	irq0_quiet();
	before = irq_count[0];
	pit_once(1000);
	__asm__ volatile("sti\n\thlt\n\tcli");
	expect(irq_count[0] > before, "HLT ends without an interrupt");
	irq0_pend();
	before = irq_count[0];
	for (polls = 0; polls < 100; polls++)
		inb(0x80);
	equal(irq_count[0], before, "interrupts while they are off");
	__asm__ volatile("sti\n\tnop\n\tnop\n\tcli");
	equal(irq_count[0], before + 1, "interrupts when they are on");
	irq_mask_all();
	point("interrupts and HLT");
}

static volatile u32 ap_done, ap_exits;

static void on_ap(void)
{
	struct regs regs = { .eax = 1 };
	u32 i;

	for (i = 0; i < 100; i++)
		ap_exits += vmmcall(&regs) & 1;
	ap_done++;
}

/* Real mode's NMI handler: inc byte [cs:16]; iret. A CPU that starts has no other. */
#define IVT_NMI 8
#define REAL_MODE_PAGE 0x8800
static u8 *real_mode_nmis(void)
{
	static const u8 code[] = { 0x2e, 0xfe, 0x06, 16, 0, 0xcf };
	u8 *page = phys(REAL_MODE_PAGE);

	memcpy(page, code, sizeof(code));
	page[16] = 0;
	*(u32 *)phys(IVT_NMI) = REAL_MODE_PAGE / 16 << 16;
	return page + 16;
}

static void processors(void)
{
	const volatile u8 *real_nmis = real_mode_nmis();
	u32 cpu, n = option_number("cpus", 1), polls;

	for (cpu = 1; cpu < n; cpu++) {
		u32 again;

		for (again = 0; again < 2; again++) { /* INIT of one that runs, too */
			u32 before = ap_done;

			expect(cpu_start(cpu, on_ap), "CPU %u does not start", cpu);
			for (polls = 0; polls < 1000000 && ap_done == before; polls++)
				inb(0x80);
			equal(ap_done, before + 1, "CPUs that are done");
		}
		point("CPU %u starts, and again", cpu);
	}
	if (n == 1)
		return;
	equal(ap_exits, (n - 1) * 200, "calls that exit");
	equal(nmis, 2, "NMIs: the hypervisor's own are not the guest's");
	equal(*real_nmis, 0, "NMIs in real mode");
	point("their calls, and no NMI");
}

/* Instructions of a round trip: the TSC counts them. */
#define ROUNDS 1000
#define COUNT(name, most, code)                                                                    \
	do {                                                                                       \
		u32 i;                                                                             \
		u64 start = rdtsc(), cycles;                                                       \
		for (i = 0; i < ROUNDS; i++)                                                       \
			code;                                                                      \
		cycles = divide64(rdtsc() - start, ROUNDS);                                        \
		ok(cycles < (most), "%s: %llu instructions", name, cycles);                        \
	} while (0)

static void round_trips(void)
{
	struct regs regs = { 0 };
	u32 r[4];

	COUNT("a loop", 20, __asm__ volatile(""));
	COUNT("VMMCALL", 400, vmmcall(&regs));
	COUNT("the port", 400, port_call(&regs));
	COUNT("CPUID", 400, cpuid(0x40000100, 0, r));
	COUNT("an APIC write", 500, *(volatile u32 *)at(APIC + APIC_TPR) = 0);
	COUNT("a read of CR0 that exits", 400, cr0());
}

/* One module, of eight bytes: its text, and the bytes. */
static void module(void)
{
	u32 *info = phys(boot_info), *entry = phys(info[INFO_MODULE]), i;
	char *text, *bytes;

	equal(info[INFO_MODULES], 1, "modules");
	equal(entry[1] - entry[0], 8, "bytes");
	text = phys(entry[2]);
	bytes = at(entry[0]);
	print("# module %s: ", text);
	for (i = 0; i < 8; i++)
		print("%c", bytes[i]);
	print("\n");
	point("a module");
}

void guest_main(void)
{
	const char *name = option("attack");

	if (name)
		attack(name);
	if (option("module")) {
		module();
		return;
	}
	if (option("pointers")) {
		pointers();
		return;
	}
	leaves();
	registers();
	calls();
	single_steps();
	a20();
	apic_and_nmi();
	interrupts();
	processors();
	if (option("count"))
		round_trips();
}
