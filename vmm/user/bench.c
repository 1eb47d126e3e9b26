/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What calls cost on this processor: cycles of those that do not trap, and
 * instructions on both sides of the trap of those that do.
 *
 *	vmm-user bench IMAGE	(3.0)
 *	vmm-user calls IMAGE	a table of all calls, for docs/vmm.md
 */
#include <cpuid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "host.h"

#define CALLS 256   /* at a time; fewer than there is room in the queue */
#define TIMES 20000 /* each of a few microseconds */

static struct call call;

static u64 cycles(void)
{
	u32 low, high;

	__asm__ volatile("lfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high) : : "memory");
	return (u64)high << 32 | low;
}

/* CALLS calls, one after the other; what changes ECX, EDX and EAX may. */
static u32 measure(u32 entry, u32 eax, u32 edx, u32 ecx)
{
	u64 start = cycles();
	u32 n;

	for (n = CALLS / 4; n; n--) {
		u32 a = eax, d = edx, c = ecx;

#define ONE "movl %[a], %%eax\n\tmovl %[d], %%edx\n\tmovl %[c], %%ecx\n\tcall *%[entry]\n\t"
		__asm__ volatile(ONE ONE ONE ONE
				 :
				 : [a] "m"(a), [d] "m"(d), [c] "m"(c), [entry] "m"(entry)
				 : "eax", "edx", "ecx", "memory", "cc");
	}
	return (u32)(cycles() - start);
}

static int compare(const void *a, const void *b)
{
	u32 x = *(const u32 *)a, y = *(const u32 *)b;

	return x < y ? -1 : x > y;
}

/* In tenths of a cycle. */
static void cost(const char *name, u32 entry, u32 eax, u32 edx, u32 ecx)
{
	static u32 took[TIMES];
	u32 i, before = vcpu.counts.traps;

	if (!entry)
		bail("%s is not bound", name);
	for (i = 0; i < TIMES / 10; i++) {
		measure(entry, eax, edx, ecx);
		if (vcpu.shared)
			vmm_flush(&vcpu);
	}
	for (i = 0; i < TIMES; i++) {
		took[i] = measure(entry, eax, edx, ecx);
		if (vcpu.shared)
			vmm_flush(&vcpu);
	}
	qsort(took, TIMES, sizeof(*took), compare);
	printf("%-36s%6u.%u%8u.%u\n", name, took[0] / CALLS, took[0] * 10 / CALLS % 10,
	       took[TIMES / 2] / CALLS, took[TIMES / 2] * 10 / CALLS % 10);
	if (vcpu.counts.traps != before)
		bail("%s trapped", name);
}

/* ------------------------------------------------------------------------
 * Instructions
 */

static u32 core_instructions;

/* vmm_call() as code that is stepped; the host's side of the trap. */
static bool counted_trap(struct regs *regs, u32 transport, u32 operand)
{
	u32 outer = instructions;
	struct vmm_regs r;
	struct regs host_regs;
	u32 *stack = (u32 *)(LOW + STACK_TOP - 0x8000);

	(void)transport;
	(void)operand;
	memcpy(&r, regs, sizeof(r));
	memset(&host_regs, 0, sizeof(host_regs));
	__asm__("mov %%ds, %0" : "=r"(host_regs.ds));
	host_regs.es = host_regs.ds;
	host_regs.eip = (u32)vmm_call;
	*--stack = (u32)&r;
	*--stack = (u32)&vcpu;
	*--stack = RETURN_ADDRESS;
	host_regs.esp = (u32)stack;
	host_regs.eflags = FLAG_IF;
	instructions = 0;
	step_host = true;
	if (run(&host_regs) != ENDED_RETURN)
		bail("vmm_call did not come back");
	host.result = host_regs.eax;
	if (host.result == VMM_STOPPED)
		run_stop();
	step_host = false;
	core_instructions += instructions;
	instructions = outer;
	memcpy(regs, &r, sizeof(r));
	return true;
}

static struct {
	u32 stub, core, traps;
} sum;

static void step(u32 id)
{
	u32 entry = guest_entry(id, HIGH), before = vcpu.counts.traps;

	instructions = core_instructions = 0;
	stepping = true;
	call_run(&call, entry);
	stepping = false;
	if (call.ended != ENDED_RETURN && host.result != VMM_STOPPED)
		bail("%s did not come back", call_name(id));
	sum.stub += instructions;
	sum.core += core_instructions;
	sum.traps += vcpu.counts.traps - before;
}

static void line(const char *name, u32 calls, u32 goal)
{
	u32 all = (sum.stub + sum.core + calls - 1) / calls;

	printf("%-36s%6u%8u%8u%8u%8u%s\n", name, (sum.stub + calls - 1) / calls,
	       (sum.core + calls - 1) / calls, all, sum.traps, goal, all > goal ? "  missed" : "");
	memset(&sum, 0, sizeof(sum));
}

static void prepare(u32 id, u32 eax, u32 edx, u32 ecx)
{
	call_prepare(&call, id, HIGH);
	call.before.eax = eax;
	call.before.edx = edx;
	call.before.ecx = ecx;
}

#define TABLE(n) (HIGH + SCRATCH + (n)*4)

static void instructions_of(void)
{
	u32 i;

	hook_trap = counted_trap;
	/* Once before: the core remembers the page. */
	for (i = 0; i < 2; i++) {
		memset(&sum, 0, sizeof(sum));
		prepare(VMI_ID_FlushTLB, 0, 0, 0);
		step(VMI_ID_FlushTLB);
	}
	line("null call: FlushTLB(0)", 1, 60);

	prepare(VMI_ID_UpdateKernelStack, 0x68, 0xc0001000, 0);
	step(VMI_ID_UpdateKernelStack);
	line("UpdateKernelStack", 1, 30);
	prepare(VMI_ID_SetPxE, 0x1067, TABLE(0), VMI_PAGE_PT);
	step(VMI_ID_SetPxE);
	line("SetPxE", 1, 150);
	prepare(VMI_ID_SetLazyMode, VMI_LAZY_MMU, 0, 0);
	step(VMI_ID_SetLazyMode);
	for (i = 0; i < 128; i++) {
		prepare(VMI_ID_SetPxE, 0x1067, TABLE(i), VMI_PAGE_PT);
		step(VMI_ID_SetPxE);
	}
	prepare(VMI_ID_SetLazyMode, 0, 0, 0);
	step(VMI_ID_SetLazyMode);
	line("SetPxE, 128 queued", 128, 60);

	prepare(VMI_ID_SetAlarm, VMI_ALARM_PERIODIC, 1000000, 0);
	call.stack[0] = 1000000;
	call.stack[1] = 0;
	step(VMI_ID_SetAlarm);
	line("SetAlarm", 1, 200);
	hook_trap = host_trap;
}

static const char *processor_name(void)
{
	static u32 name[13];
	u32 i;

	for (i = 0; i < 3; i++)
		__get_cpuid(0x80000002 + i, &name[i * 4], &name[i * 4 + 1], &name[i * 4 + 2],
			    &name[i * 4 + 3]);
	return (const char *)name;
}

#define FEATURES (VMI_HV_SHARED | VMI_HV_QUEUE | VMI_HV_DEFER | VMI_HV_TIME)

static void attach(void)
{
	const struct vmi_shared_time time = { .multiplier = 1u << 31 };
	u32 *gdt, tss;

	hook_trap = host_trap;
	hook_cpuid = host_cpuid;
	privileged = true;
	guest_port = 0xe4;
	machine_load(loaded);
	processor_reset();
	host_reset(FEATURES);
	if (!guest_post_quick() || !guest_init_ring3(HIGH))
		bail("not attached");
	vmm_time_update(&vcpu, &time);
	vcpu.shared->interrupts = VMI_IF;
	host.gdt[0] = HIGH + SCRATCH + 0x10000;
	host.gdt[1] = 0xff;
	/* A TSS, behind the GDT. */
	gdt = (u32 *)host.gdt[0];
	tss = host.gdt[0] + 0x100;
	gdt[2] = tss << 16 | 0x67;
	gdt[3] = (tss & 0xff000000) | 0x8900 | (tss >> 16 & 0xff);
	host.tr = 8;
	vmm_refresh(&vcpu);
}

#define CR0_PAGED 0x80050033

/* With every call wanted, nothing pending and nothing deferred. */
void bench_calls(void)
{
	static const char *const binding[] = { "NONE", "CALL", "JUMP", "NOP" };
	const struct vmi3_image *image = (const void *)loaded->file;
	const struct vmi_call_record *file = (const void *)(loaded->file + image->about.calls);
	struct vmi_ap_state *ap = (void *)(HIGH + SCRATCH + 0x20000);
	u32 id;

	printf("| call | native | trap | traps | stub | core |\n|---|---|---|---|---|---|\n");
	for (id = 0; id < VMI_CALL_COUNT; id++) {
		bool here = call_number(id) != VMI_NO;

		attach();
		printf("| %s | %s | %s | ", call_name(id),
		       !here			       ? "by name"
		       : loaded->major != 3	       ? "slot"
		       : file[id].binding & VMI_POLICY ? "POST decides"
						       : binding[file[id].binding & 3],
		       !here		    ? "by name"
		       : loaded->major != 3 ? "slot"
					    : binding[guest_binding(id, HIGH).type & 3]);
		if (!guest_entry(id, HIGH) || VMI_IS_OWN_CALL(id)) {
			printf("0 | native | |\n");
			continue;
		}
		call_prepare(&call, id, HIGH);
		if (id == VMI_ID_SetCR0)
			call.before.eax = CR0_PAGED;
		if (id == VMI_ID_SetTR)
			call.before.eax = host.tr;
		if (id == VMI_ID_SetInitialAPState) {
			*ap = (struct vmi_ap_state){ .cr0 = CR0_PAGED, .cs = 8, .ss = 16 };
			call.before.eax = (u32)ap;
		}
		if (id == VMI_ID_SYSEXIT || id == VMI_ID_StiSysexit) {
			call.before.edx = RETURN_ADDRESS;
			call.before.ecx = call.before.esp;
		}
		memset(&sum, 0, sizeof(sum));
		hook_trap = counted_trap;
		if (id == VMI_ID_IRET16 || id == VMI_ID_SysRet) { /* not to 32-bit code */
			printf("0 | | |\n");
			continue;
		}
		if (!(vm.calls[id / 32] >> id % 32 & 1)) {
			printf("0 | native | |\n");
			continue;
		}
		step(id);
		printf("%u | %u | ", sum.traps, sum.stub);
		if (!sum.traps)
			printf("|\n");
		else if (host.reason[0]) /* over these arguments */
			printf("stops |\n");
		else
			printf("%u |\n", sum.core);
	}
	hook_trap = NULL;
}

void bench(void)
{
	static const u8 ret = 0xc3;

	if (loaded->major != 3)
		bail("the image is to be that of 3.0");
	attach();
	printf("%s\n", processor_name());
	printf("%-36s%8s%10s\n", "TSC cycles a call", "least", "median");
	*(u8 *)(HIGH + SCRATCH + 0x8000) = ret;
	cost("call and return alone", HIGH + SCRATCH + 0x8000, 0, 0, 0);
	cost("DisableInterrupts", guest_entry(VMI_ID_DisableInterrupts, HIGH), 0, 0, 0);
	cost("EnableInterrupts, nothing pending", guest_entry(VMI_ID_EnableInterrupts, HIGH), 0, 0,
	     0);
	cost("GetInterruptMask", guest_entry(VMI_ID_GetInterruptMask, HIGH), 0, 0, 0);
	cost("GetCR0", guest_entry(VMI_ID_GetCR0, HIGH), 0, 0, 0);
	cost("GetCycleCounter", guest_entry(VMI_ID_GetCycleCounter, HIGH), 0, 0, 0);
	cost("SetPxE, queued", guest_entry(VMI_ID_SetPxE, HIGH), 0x1067, TABLE(0),
	     VMI_PAGE_PT | VMI_PAGE_DEFER);
	printf("%-36s%6s%8s%8s%8s%8s\n", "instructions a call", "stub", "core", "both", "traps",
	       "goal");
	instructions_of();
	hook_trap = NULL;
	hook_cpuid = NULL;
	privileged = false;
}
