/* SPDX-License-Identifier: GPL-2.0-only */
/* The host: tables, page tables, SVM, options; and the vCPUs' fixed state. */
#include "svm.h"

#define CPUID_FEATURES_ECX_SVM 0x4u /* 80000001h */
#define CPUID_SVM 0x8000000au
#define CPUID_SVM_EDX_NESTED_PAGING 0x1u
#define MSR_VM_CR 0xc0010114
#define VM_CR_DISABLED 0x10u
#define MSR_VM_HSAVE_PA 0xc0010117
#define PAT_RESET 0x0007040600070406ull

#define SEGMENT_CODE 0x9b /* attributes in a VMCB: present, accessed */
#define SEGMENT_DATA 0x93
#define SEGMENT_LDT 0x82
#define SEGMENT_TSS 0x8b

void svm_main(void) NORETURN;

u64 host_gdt[3] = { 0, 0x00cf9b000000ffff, 0x00cf93000000ffff };
u32 cpus = 1;
struct vcpu vcpus[MAX_CPUS];

static struct vmcb vmcbs[MAX_CPUS] PAGE_ALIGNED;
static u8 host_save[MAX_CPUS][PAGE_SIZE] PAGE_ALIGNED;
static u8 io_bitmap[3 * PAGE_SIZE] PAGE_ALIGNED;
static u8 msr_bitmap[2 * PAGE_SIZE] PAGE_ALIGNED;
static u64 host_directory[4 * 512] PAGE_ALIGNED;
static u64 host_pdpt[4] __attribute__((aligned(32)));

/* 4 GiB at their own addresses, 2 MiB a page. */
static void host_paging(void)
{
	u32 i;

	for (i = 0; i < 4 * 512; i++)
		host_directory[i] = (u64)i << 21 | PTE_P | PTE_W | PTE_A | PTE_D | PTE_LARGE;
	for (i = 0; i < 4; i++)
		host_pdpt[i] = (u32)&host_directory[i * 512] | PTE_P;
}

static void check_processor(void)
{
	if (cpuid(0x80000000, 0).eax < CPUID_SVM ||
	    !(cpuid(0x80000001, 0).ecx & CPUID_FEATURES_ECX_SVM))
		fail("this processor has no AMD-V (QEMU: -cpu max)");
	if (!(cpuid(CPUID_SVM, 0).edx & CPUID_SVM_EDX_NESTED_PAGING))
		fail("this processor has no nested paging");
	if (rdmsr(MSR_VM_CR) & VM_CR_DISABLED)
		fail("the firmware has switched AMD-V off");
}

/* State after INIT, but for CS and EIP. */
void cpu_reset(struct vcpu *cpu)
{
	struct vmcb *vmcb = cpu->vmcb;
	const struct vmcb_segment data = { 0, SEGMENT_DATA, 0xffff, 0 };
	const struct vmcb_segment table = { 0, 0, 0xffff, 0 };

	memset(&cpu->regs, 0, sizeof(cpu->regs));
	cpu->regs.edx = cpuid(1, 0).eax;
	vmcb->cs = (struct vmcb_segment){ 0, SEGMENT_CODE, 0xffff, 0 };
	vmcb->ds = vmcb->es = vmcb->ss = vmcb->fs = vmcb->gs = data;
	vmcb->gdtr = vmcb->idtr = table;
	vmcb->ldtr = (struct vmcb_segment){ 0, SEGMENT_LDT, 0xffff, 0 };
	vmcb->tr = (struct vmcb_segment){ 0, SEGMENT_TSS, 0xffff, 0 };
	vmcb->cpl = 0;
	vmcb->efer = EFER_SVME;
	vmcb->dr6 = 0xffff0ff0;
	vmcb->dr7 = 0x400;
	vmcb->eflags = EFLAGS_1;
	vmcb->eip = 0;
	vmcb->cr2 = 0;
	vmcb->pat = PAT_RESET;
	vmcb->event = vmcb->exit_event = 0;
	vmcb->int_shadow = 0;
	vmcb->int_control &= ~INT_V_IRQ;
	vmcb->intercept1 &= ~(INTERCEPT_VINTR | INTERCEPT_IRET);
	cpu->held = cpu->nmi_pending = cpu->nmi_blocked = cpu->halted = false;
	cpu->software_length = cpu->taken = 0;
	control_reset(cpu);
	if (cpu->core)
		vmm_vcpu_reset(cpu->core);
	__asm__ volatile("vmload" : : "a"(vmcb) : "memory");
}

void cpu_start(struct vcpu *cpu)
{
	u32 number = (u32)(cpu - vcpus);
	struct vmcb *vmcb = &vmcbs[number];

	irq_cpu_start();
	paging_on(host_pdpt);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
	wrmsr(MSR_VM_HSAVE_PA, (u32)host_save[number]);
	cpu->number = number;
	cpu->apic_id = cpuid(1, 0).ebx >> 24;
	cpu->vmcb = vmcb;
	vmcb->intercept1 = INTERCEPT_NMI | INTERCEPT_INIT | INTERCEPT_CPUID | INTERCEPT_INVD |
			   INTERCEPT_INVLPGA | INTERCEPT_IOIO | INTERCEPT_MSR | INTERCEPT_SHUTDOWN;
	vmcb->intercept2 = INTERCEPT_VMRUN | INTERCEPT_VMMCALL | INTERCEPT_VMLOAD |
			   INTERCEPT_VMSAVE | INTERCEPT_STGI | INTERCEPT_CLGI | INTERCEPT_SKINIT;
	vmcb->iopm = (u32)io_bitmap;
	vmcb->msrpm = (u32)msr_bitmap;
	vmcb->asid = 1;
	vmcb->nested = NESTED_PAGING;
	if (boot.trap & (TRAP_IRQ | TRAP_TIME)) {
		vmcb->intercept1 |= INTERCEPT_INTR | INTERCEPT_HLT;
		vmcb->int_control = INT_V_MASKING;
	}
	nested_start(cpu);
	cpu_reset(cpu);
}

static void read_options(void)
{
	static const struct {
		const char *name;
		u32 trap;
	} policies[] = {
		{ "none", 0 },	     { "time", TRAP_TIME },
		{ "mmu", TRAP_MMU }, { "cpu", TRAP_CPU },
		{ "irq", TRAP_IRQ }, { "all", TRAP_TIME | TRAP_MMU | TRAP_CPU | TRAP_IRQ },
	};
	const char *trap = option(boot.text, "trap=");
	u32 i;

	boot.stats = option(boot.text, "stats");
	if (!trap)
		return;
	for (i = 0; i < ARRAY_SIZE(policies); i++) {
		size_t n = strlen(policies[i].name);

		if (!memcmp(trap, policies[i].name, n) && (!trap[n] || trap[n] == ' '))
			break;
	}
	if (i == ARRAY_SIZE(policies))
		fail("trap=%s: none, time, mmu, cpu, irq or all", trap);
	boot.trap = policies[i].trap;
}

void svm_main(void)
{
	struct vcpu *cpu = &vcpus[0];

	read_options();
	check_processor();
	host_paging();
	irq_start();
	cpuid_start();
	control_start();
	time_start();
	io_start(io_bitmap);
	msr_start(msr_bitmap);
	cpu_start(cpu);
	smp_start();
	hypercall_start();
	rom_start();
	if (!rom_next(cpu))
		guest_load(cpu);
	registers_to_vmcb(cpu);
	svm_run(cpu);
}
