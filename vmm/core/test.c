/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The core against a VMM that is played (fake.h), as TAP: each call with arguments that are
 * right, each with arguments that are wrong, and all with anything.
 */
#include <pthread.h>
#include "fake.h"
#include "tap.h"

/* One of several facts in a test point. */
static bool all;
#define FACT(fact)                                                                                 \
	do {                                                                                       \
		if (!(fact)) {                                                                     \
			all = false;                                                               \
			printf("# line %d: %s\n", __LINE__, #fact);                                \
		}                                                                                  \
	} while (0)
#define BEGIN (all = true)
#define END(...) ok(all, __VA_ARGS__)

/* ------------------------------------------------------------------------
 * Calls
 */

static const u32 column_out[VMI_CALL_COUNT] = {
#define VMI_X(name, n3, n13, n6, type, args, in, out, clobber, conv, seg, defer, text) (out),
	/* clang-format off */
	VMI_CALLS(VMI_X)
#undef VMI_X
	/* clang-format on */
};

static bool called_well[VMI_CALL_COUNT], called_badly[VMI_CALL_COUNT];
static struct vmm_regs before;

#define OSZAPC 0x8d5u
#define IF_IOPL 0x3200u
#define CF 1u
#define REFUSED(result) ((result) == VMM_CONTINUE && (regs.eflags & CF))
#define DONE_(result) ((result) == VMM_CONTINUE && !(regs.eflags & CF))

/* Every register that is no output is kept, and each but CF where the call was refused. */
static bool kept(u32 row, enum vmm_result result)
{
	u32 out = regs.eflags & CF ? 0 : column_out[row], flags = regs.eflags ^ before.eflags;

	if (result == VMM_STOPPED)
		return true;
	if (row == VMI_ID_SetEFLAGS) /* done, and refused so that the rest is */
		out = VMI_EFL;
	/* A REP that was interrupted by a fault has done what it has done. */
	if (column_out[row] & (VMI_DI | VMI_SI))
		out = column_out[row];
	return (out & VMI_A || regs.eax == before.eax) && (out & VMI_C || regs.ecx == before.ecx) &&
	       (out & VMI_D || regs.edx == before.edx) && (out & VMI_B || regs.ebx == before.ebx) &&
	       (out & VMI_SI || regs.esi == before.esi) &&
	       (out & VMI_DI || regs.edi == before.edi) && regs.ebp == before.ebp &&
	       regs.esp == before.esp && regs.eip == before.eip &&
	       !(flags & ~(OSZAPC | (out & VMI_EFL ? IF_IOPL : 0)));
}

/* With what is in regs. */
static enum vmm_result call_regs(u32 row)
{
	enum vmm_result result;

	regs.ebp = VMI_HV_TAG | row;
	before = regs;
	result = vmm_call(VCPU, &regs);
	if (!kept(row, result)) {
		all = false;
		printf("# %s: a register is not kept\n", vmm_call_name(row));
	}
	return result;
}

static enum vmm_result call(u32 row, u32 eax, u32 edx, u32 ecx, u32 esi, u32 edi)
{
	regs.eax = eax;
	regs.edx = edx;
	regs.ecx = ecx;
	regs.esi = esi;
	regs.edi = edi;
	regs.ebx = 0xbbbb0001;
	regs.esp = AT(2, 0x800);
	regs.eip = 0xc00f0000;
	regs.eflags = 0x202 | CF;
	return call_regs(row);
}

#define ROW(name) VMI_ID_##name
#define GOOD(name, ...) (called_well[ROW(name)] = true, call(ROW(name), __VA_ARGS__))
#define BAD(name, ...) (called_badly[ROW(name)] = true, call(ROW(name), __VA_ARGS__))

static enum vmm_result own(u32 number, u32 eax, u32 edx, u32 ecx)
{
	memset(&regs, 0x11, sizeof(regs));
	regs.eax = eax;
	regs.edx = edx;
	regs.ecx = ecx;
	regs.eflags = 0x202;
	regs.ebp = VMI_HV_TAG | number;
	return vmm_call(VCPU, &regs);
}

static u32 *word(u32 page, u32 offset)
{
	return (u32 *)(void *)(fake.memory + page * PAGE + offset);
}

static bool stopped_with(enum vmm_result result, const char *reason)
{
	bool good = result == VMM_STOPPED && fake.stops == 1 && !strcmp(fake.reason, reason);

	if (!good)
		printf("# result %d, reason \"%s\", expected \"%s\"\n", result, fake.reason,
		       reason);
	fake.stops = 0;
	fake.reason[0] = 0;
	return good;
}

static void start(u32 flags, u32 features, u32 revision)
{
	ops = fake_ops;
	ops.descriptor_ok = NULL;
	if (!fake_start(flags, features) || fake_attach_as(revision) != VMM_CONTINUE ||
	    regs.eflags & CF) {
		printf("Bail out! the VM does not start\n");
		exit(1);
	}
}

/* ------------------------------------------------------------------------
 * The interface's own numbers
 */

static bool attach_while(struct vmm_vcpu *vcpu, u32 physical)
{
	struct vmm_regs other = regs;
	u32 n;

	for (n = VMI_HV_ATTACH; n <= VMI_HV_DETACH; n++) {
		other.ebp = VMI_HV_TAG | n;
		FACT(vmm_call(&vcpus[1], &other) == VMM_CONTINUE && (other.eflags & CF));
	}
	/* Too early for the area, too late for the flag. */
	fake.pending = true;
	vmm_set_pending(vcpu);
	vmm_set_pending(&vcpus[1]);
	return fake_attach(vcpu, physical);
}

static void detach_while(struct vmm_vcpu *vcpu)
{
	FACT(attach_while(vcpu, SHARED_AT));
	fake_detach(vcpu);
}

static void attach_races(void)
{
	ops = fake_ops;
	ops.attach = attach_while;
	ops.detach = detach_while;
	BEGIN;
	FACT(fake_start(0, FEATURES) && fake_attach_as(3) == VMM_CONTINUE && !(regs.eflags & CF));
	FACT(vm.attached && VCPU->shared->pending && vcpus[1].shared->pending);
	VCPU->shared->interrupts = 0;
	FACT(DONE_(own(VMI_HV_DETACH, 0, 0, 0)) && !vm.attached && !(regs.eflags & VMI_IF));
	FACT(DONE_(own(VMI_HV_ATTACH, VMI_HV_VERSION, SHARED_AT, 3)));
	FACT(VCPU->shared->interrupts == VMI_IF);
	VCPU->shared->interrupts = 0;
	FACT(DONE_(own(VMI_HV_ATTACH, VMI_HV_VERSION, SHARED_AT + PAGE, 3)));
	FACT(!VCPU->shared->interrupts && fake.detached == 2);
	END("ATTACH, DETACH: one at a time; neither the flag nor what is pending is lost");
	ops = fake_ops;
}

static void interface(void)
{
	u32 out[4], i, rows = 0;
	bool same = true;

	start(0, FEATURES, 3);
	BEGIN;
	FACT(vmm_info(&vm, 0, out) && out[0] == 3 && out[1] == VMI_HV_SIGNATURE_EBX &&
	     out[2] == VMI_HV_SIGNATURE_ECX && out[3] == VMI_HV_SIGNATURE_EDX);
	FACT(vmm_info(&vm, 1, out) && out[0] == VMI_HV_VERSION &&
	     out[1] == (VMI_HV_VMMCALL | VMI_HV_OUT) && out[2] == 0x5a && out[3] == FEATURES);
	FACT(!vmm_info(&vm, 4, out) && !out[0]);
	FACT(!vmm_info(&vm, ~0u, out));
	FACT(vmm_cpuid(&vm, vm.leaf, out) && out[0] == vm.leaf + 3 &&
	     out[1] == VMI_HV_SIGNATURE_EBX);
	FACT(vmm_cpuid(&vm, vm.leaf + 1, out) && out[0] == VMI_HV_VERSION);
	FACT(!vmm_cpuid(&vm, vm.leaf - 1, out) && !vmm_cpuid(&vm, vm.leaf + 4, out));
	vm.leaf = 0; /* the processor's own */
	FACT(!vmm_cpuid(&vm, 0, out) && !vmm_cpuid(&vm, 1, out) && !out[0]);
	for (i = 0; i < 4; i++) {
		FACT(own(VMI_HV_INFO, i, 0, 0) == VMM_CONTINUE && !(regs.eflags & CF));
		vmm_info(&vm, i, out);
		same &= regs.eax == out[0] && regs.ebx == out[1] && regs.ecx == out[2] &&
			regs.edx == out[3];
	}
	FACT(same);
	FACT(REFUSED(own(VMI_HV_INFO, 4, 0, 0)) && regs.eax == 4 && regs.ebx == 0x11111111);
	END("INFO and the CPUID leaves");

	BEGIN;
	vmm_info(&vm, VMI_HV_INFO_CALLS, out);
	for (i = 0; i < VMI_CALL_COUNT; i++)
		rows += vm.calls[i >> 5] >> (i & 31) & 1;
	FACT(out[0] == vm.calls[0] && out[3] == vm.calls[3]);
	FACT(!(out[0] & 1) && (out[0] >> ROW(SetCR0) & 1 || ROW(SetCR0) > 31));
	FACT(rows == VMI_CALL_COUNT - 4); /* Init, GetRelocationInfo, PatchSites, RDPMC */
	END("every call is possible but those that are the ROM's alone: %u", rows);

	BEGIN;
	FACT(fake.attached_at == SHARED_AT && vm.attached == VMI_HV_VERSION && vm.revision == 3);
	FACT(DONE_(own(VMI_HV_ATTACH, VMI_HV_VERSION + 7, SHARED_AT, 13)) &&
	     regs.eax == VMI_HV_VERSION && vm.revision == 13 && fake.detached == 1);
	vm.version = VMI_HV_VERSION + 2;
	FACT(DONE_(own(VMI_HV_ATTACH, VMI_HV_VERSION + 1, SHARED_AT, 6)) &&
	     regs.eax == VMI_HV_VERSION + 1 && vm.attached == VMI_HV_VERSION + 1);
	FACT(DONE_(own(VMI_HV_ATTACH, VMI_HV_VERSION, SHARED_AT, 6)) && regs.eax == VMI_HV_VERSION);
	vm.version = VMI_HV_VERSION;
	END("ATTACH: the lower one of two versions, either way");

	BEGIN;
	FACT(REFUSED(own(VMI_HV_ATTACH, VMI_HV_VERSION + 0x10000, SHARED_AT, 3)));
	FACT(REFUSED(own(VMI_HV_ATTACH, VMI_HV_VERSION & 0xffff, SHARED_AT, 3)));
	FACT(REFUSED(own(VMI_HV_ATTACH, VMI_HV_VERSION, SHARED_AT + 4, 3)));
	FACT(REFUSED(own(VMI_HV_ATTACH, VMI_HV_VERSION, 0, 3)));
	FACT(REFUSED(own(VMI_HV_ATTACH, VMI_HV_VERSION, 0xffffe000, 3)));
	FACT(REFUSED(own(VMI_HV_ATTACH, VMI_HV_VERSION, SHARED_AT, 4)) && regs.ecx == 4);
	fake.refuse = true;
	FACT(REFUSED(own(VMI_HV_ATTACH, VMI_HV_VERSION, SHARED_AT, 3)));
	FACT(VCPU->shared == &VCPU->own && vcpus[1].shared == &vcpus[1].own);
	fake.refuse = false;
	FACT(REFUSED(own(VMI_HV_DETACH, 0, 0, 0)));
	FACT(REFUSED(own(VMI_HV_FLUSH, 0, 0, 0)) && REFUSED(own(VMI_HV_DELIVER, 0, 0, 0)));
	END("ATTACH: another major number, a bad address, a VMM that will not");

	start(0, FEATURES, 3);
	BEGIN;
	FACT(REFUSED(own(VMI_CALL_COUNT, 0, 0, 0)) && REFUSED(own(0xff, 0, 0, 0)));
	FACT(REFUSED(own(VMI_HV_LAST + 1, 0, 0, 0)) && REFUSED(own(0xffff, 0, 0, 0)));
	regs.ebp = ROW(SetPxE);
	FACT(vmm_call(VCPU, &regs) == VMM_CONTINUE && regs.eflags & CF);
	END("numbers that there are none of, and a tag that is another's, are refused");

	BEGIN;
	FACT(DONE_(own(VMI_HV_DETACH, 0, 0, 0)) && !vm.attached && VCPU->shared == &VCPU->own);
	for (i = 0; i < VMI_CALL_COUNT; i++) {
		FACT(REFUSED(call(i, AT(1, 0), AT(2, 0), AT(3, 0), AT(4, 0), AT(6, 0))));
		called_badly[i] |= column_out[i] == 0;
	}
	FACT(DONE_(fake_attach_as(3)) && vm.attached);
	END("detached, every call is refused");

	BEGIN;
	for (i = 0; i < VMI_CALL_COUNT; i++) {
		ops = fake_ops;
		fake_start(0, FEATURES);
		vmm_want(&vm, (enum vmi_call)i, false);
		vmm_init(&vm);
		vmm_vcpu_init(VCPU);
		fake_attach_as(3);
		FACT(REFUSED(call(i, AT(1, 0), AT(2, 0), AT(3, 0), AT(4, 0), AT(6, 0))));
	}
	END("each call can be switched off by itself");

	BEGIN;
	ops = fake_ops;
	FACT(fake_start(0, FEATURES) && fake_start(0, 0));
	FACT(!fake_start(0, VMI_HV_QUEUE) && !fake_start(0, VMI_HV_CPU_IF));
	ops.attach = NULL;
	FACT(!fake_start(0, FEATURES) && fake_start(0, 0));
	ops.attach = fake_ops.attach;
	ops.detach = NULL;
	FACT(!fake_start(0, FEATURES) && fake_start(0, 0));
	ops.page = NULL;
	FACT(!fake_start(0, 0));
	ops = fake_ops;
	fake_start(0, 0);
	vm.port = 0x100;
	FACT(!vmm_init(&vm));
	vm.port = 0;
	FACT(!vmm_init(&vm));
	vm.port = 0x100;
	vm.transports = VMI_HV_INT;
	vm.vector = 0x100;
	FACT(!vmm_init(&vm));
	vm.vector = 0xff;
	vm.port = 0;
	FACT(vmm_init(&vm) && vmm_info(&vm, 1, out) && out[2] == 0xff00);
	vm.transports = 0;
	FACT(!vmm_init(&vm));
	fake_start(0, FEATURES);
	vcpus[1].area = (u8 *)vcpus[1].area + 16;
	FACT(!vmm_vcpu_init(&vcpus[1]));
	vcpus[1].area = (u8 *)vcpus[1].area - 16;
	memset(vm.wanted, 0, sizeof(vm.wanted));
	vmm_want(&vm, VMI_ID_SetCR3, true);
	vmm_want(&vm, VMI_CALL_COUNT, true);
	vmm_init(&vm);
	FACT(vm.calls[VMI_ID_SetCR3 / 32] == 1u << VMI_ID_SetCR3 % 32);
	END("a configuration that contradicts itself is not taken");

	BEGIN;
	fake_start(0, FEATURES);
	vm.vcpus = NULL;
	memset(&VCPU->next, 0xa5, sizeof(*VCPU) - offsetof(struct vmm_vcpu, next));
	fake.timers = 0;
	FACT(vmm_vcpu_init(VCPU) && fake_attach_as(3) == VMM_CONTINUE);
	for (i = VMI_SHARED_TIME; i < sizeof(*VCPU->shared); i++)
		FACT(!((u8 *)VCPU->area)[i]);
	FACT(!fake.timers && !vmm_timer_fired(VCPU, 1));
	END("a vCPU that is not zeroed: the guest sees nothing of it");

	attach_races();

	BEGIN;
	start(0, FEATURES, 3);
	VCPU->shared->defer = vcpus[1].shared->defer = VMI_DEFER_MMU;
	vcpus[1].shared->interrupts = 0;
	fake_queue(&vcpus[1], VMI_HV_TAG | ROW(SetPxE), 1, AT(3, 0), 0, 0);
	FACT(DONE_(fake_attach_as(3)) && !fake.detached && !VCPU->shared->defer);
	FACT(!vcpus[1].shared->interrupts && vcpus[1].shared->defer == VMI_DEFER_MMU &&
	     !vmm_queue_empty(&vcpus[1]));
	FACT(DONE_(fake_attach_as(13)) && fake.detached == 1 && vmm_queue_empty(&vcpus[1]));
	END("ATTACH again leaves the other vCPUs alone");

	BEGIN;
	start(0, FEATURES & ~(u32)VMI_HV_CPU_IF, 3);
	VCPU->shared->interrupts = 0;
	fake.pending = true;
	FACT(DONE_(own(VMI_HV_ATTACH, VMI_HV_VERSION, SHARED_AT, 3)));
	FACT(!VCPU->shared->interrupts && VCPU->shared->pending);
	fake.pending = false;
	VCPU->shared->interrupts = VMI_IF;
	FACT(DONE_(own(VMI_HV_ATTACH, VMI_HV_VERSION, SHARED_AT, 3)));
	FACT(VCPU->shared->interrupts == VMI_IF && !VCPU->shared->pending);
	END("ATTACH again leaves the interrupt flag as it is");

	BEGIN;
	start(0, FEATURES, 3);
	FACT(VCPU->shared == VCPU->area && vcpus[1].shared == vcpus[1].area);
	FACT(VCPU->shared->cr0 == fake.cr[0] && vcpus[1].shared->vcpu == 1);
	FACT(vcpus[1].shared->cr0 == fake.cr[0]); /* the VMM's, while it attached */
	vcpus[1].shared->interrupts = VMI_IF;
	fake_queue(&vcpus[1], VMI_HV_TAG | ROW(SetPxE), 1, AT(3, 0), 0, 0);
	vmm_vcpu_reset(&vcpus[1]);
	FACT(!vcpus[1].shared->interrupts && vmm_queue_empty(&vcpus[1]));
	vmm_reset(&vm);
	FACT(!vm.attached && vcpus[1].shared == &vcpus[1].own);
	END("each vCPU has its area; resets");
}

/* ------------------------------------------------------------------------
 * Processor state
 */

static u64 descriptor(u32 base, u32 limit, u32 access)
{
	return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)(access & 0xff) << 40 |
	       (u64)(limit >> 16 & 15) << 48 | (u64)(access >> 8 & 15) << 52 |
	       (u64)(base >> 24) << 56;
}

static void put_descriptor(u32 selector, u64 value)
{
	memcpy(word(1, selector), &value, 8);
}

static void identity(void)
{
	start(0, FEATURES, 3);
	BEGIN;
	FACT(DONE_(GOOD(CPUID, 100, 0, 200, 0, 0)) && regs.eax == 101 && regs.ebx == 102 &&
	     regs.ecx == 203 && regs.edx == 204);
	FACT(DONE_(GOOD(WRMSR, 5, 6, 7, 0, 0)) && fake.msr == 0x600000005ull - 7);
	FACT(DONE_(GOOD(RDMSR, 0, 0, 7, 0, 0)) && regs.eax == 5 && regs.edx == 6);
	fake.refuse = true;
	FACT(REFUSED(BAD(WRMSR, 5, 6, 7, 0, 0)) && REFUSED(BAD(RDMSR, 5, 6, 7, 0, 0)));
	FACT(REFUSED(GOOD(RDPMC, 0, 0, 0, 0, 0)) && REFUSED(GOOD(Init, 0, 0, 0, 0, 0)) &&
	     REFUSED(GOOD(GetRelocationInfo, 0, 0, 0, 0, 0)) &&
	     REFUSED(GOOD(PatchSites, 0, 0, 0, 0, 0)));
	FACT(DONE_(GOOD(RDTSC, 0, 0, 0, 0, 0)) && regs.eax == 0x56789abc && regs.edx == 0x1234);
	END("CPUID, RDTSC, MSRs: one that there is none of is refused");
}

static void tables(void)
{
	static const struct vmi_dtr dtr = { 0x7f, 0x1234, 0xc000 };
	const u64 ldt = descriptor(AT(4, 0), 0x1f, 0x82), tss = descriptor(AT(3, 0), 0x67, 0x89);

	start(0, FEATURES, 3);
	BEGIN;
	memcpy(fake.memory + 2 * PAGE + 0xffd, &dtr, 6); /* over the end of a page */
	FACT(DONE_(GOOD(SetGDT, AT(2, 0xffd), 0, 0, 0, 0)) && fake.gdt[0] == 0xc0001234 &&
	     fake.gdt[1] == 0x7f && fake.reloads == 1);
	FACT(DONE_(GOOD(SetIDT, AT(2, 0xffd), 0, 0, 0, 0)) && fake.idt[0] == 0xc0001234 &&
	     fake.idt[1] == 0x7f && fake.reloads == 1);
	FACT(DONE_(GOOD(GetGDT, AT(3, 1), 0, 0, 0, 0)) && !memcmp((u8 *)word(3, 0) + 1, &dtr, 6));
	FACT(DONE_(GOOD(GetIDT, AT(3, 0xffc), 0, 0, 0, 0)) && !memcmp(word(3, 0xffc), &dtr, 6));
	memcpy(fake.memory + READ_ONLY * PAGE, &dtr, 6);
	FACT(DONE_(call(ROW(SetIDT), AT(READ_ONLY, 0), 0, 0, 0, 0)));
	END("SetGDT, SetIDT, GetGDT, GetIDT");
	BEGIN;
	FACT(stopped_with(BAD(SetGDT, AT(UNMAPPED, 0), 0, 0, 0, 0),
			  "SetGDT: dtr c0005000 is not mapped"));
	FACT(stopped_with(BAD(SetIDT, AT(4, 0xffb), 0, 0, 0, 0),
			  "SetIDT: dtr c0004ffb is not mapped"));
	FACT(stopped_with(BAD(GetGDT, AT(READ_ONLY, 0), 0, 0, 0, 0),
			  "GetGDT: dtr c0007000 is not mapped"));
	FACT(stopped_with(BAD(GetIDT, 0xfffffffb, 0, 0, 0, 0),
			  "GetIDT: dtr fffffffb is not mapped"));
	FACT(!*word(4, 0xffc) && !*word(MEMORY_PAGES - 1, 0xffc));
	fake.refuse = true;
	FACT(stopped_with(
		call(ROW(SetGDT), AT(2, 0xffd), 0, 0, 0, 0),
		"SetGDT: argument c0002ffd leaves a segment register without its descriptor"));
	END("not mapped, read-only, wrapping");

	start(0, FEATURES, 3);
	put_descriptor(0x28, ldt);
	put_descriptor(0x30, tss);
	put_descriptor(0x38, descriptor(0, 0xfffff, 0xc92));
	put_descriptor(0x40, ldt & ~(1ull << 47));
	put_descriptor(0x48, tss & ~(1ull << 47));
	BEGIN;
	FACT(DONE_(GOOD(SetLDT, 0xabcd0028, 0, 0, 0, 0)) && fake.ldt == 0x28 &&
	     fake.descriptor == ldt && VCPU->shared->ldt == 0x28 && fake.reloads == 1);
	FACT(DONE_(GOOD(SetTR, 0xabcd0030, 0, 0, 0, 0)) && fake.tr == 0x30 &&
	     fake.descriptor == tss && VCPU->shared->tr == 0x30);
	FACT(*word(1, 0x34) == ((u32)(tss >> 32) | 0x200)); /* busy */
	FACT(DONE_(GOOD(GetLDT, 0, 0, 0, 0, 0)) && regs.eax == 0x28);
	FACT(DONE_(GOOD(GetTR, 0, 0, 0, 0, 0)) && regs.eax == 0x30);
	FACT(DONE_(call(ROW(SetLDT), 3, 0, 0, 0, 0)) && fake.ldt == 3 && !fake.descriptor);
	END("SetLDT, SetTR, GetLDT, GetTR");
	BEGIN;
	FACT(stopped_with(BAD(SetLDT, 0x30, 0, 0, 0, 0), "SetLDT: selector 00000030 is no LDT's"));
	FACT(stopped_with(BAD(SetLDT, 0x38, 0, 0, 0, 0), "SetLDT: selector 00000038 is no LDT's"));
	FACT(stopped_with(BAD(SetLDT, 0x40, 0, 0, 0, 0),
			  "SetLDT: selector 00000040 is not present"));
	FACT(stopped_with(BAD(SetLDT, 0x2c, 0, 0, 0, 0),
			  "SetLDT: selector 0000002c is in the LDT"));
	FACT(stopped_with(BAD(SetLDT, 0x100, 0, 0, 0, 0),
			  "SetLDT: selector 00000100 is beyond the GDT"));
	FACT(stopped_with(BAD(SetTR, 0x30, 0, 0, 0, 0),
			  "SetTR: selector 00000030 is no available TSS's"));
	FACT(stopped_with(BAD(SetTR, 0x48, 0, 0, 0, 0), "SetTR: selector 00000048 is not present"));
	FACT(stopped_with(BAD(SetTR, 0, 0, 0, 0, 0), "SetTR: selector 00000000 is null"));
	FACT(stopped_with(BAD(SetTR, 0xfffb, 0, 0, 0, 0),
			  "SetTR: selector 0000fffb is beyond the GDT"));
	fake.refuse = true;
	put_descriptor(0x30, tss);
	FACT(stopped_with(BAD(SetTR, 0x30, 0, 0, 0, 0), "SetTR: selector 00000030 is not allowed"));
	FACT(stopped_with(BAD(SetLDT, 0x28, 0, 0, 0, 0),
			  "SetLDT: selector 00000028 is not allowed"));
	FACT(*word(1, 0x34) == (u32)(tss >> 32)); /* not busy */
	fake.gdt[0] = AT(UNMAPPED, 0) - 0x28;
	FACT(stopped_with(BAD(SetLDT, 0x28, 0, 0, 0, 0),
			  "SetLDT: selector 00000028 has a descriptor that is not mapped"));
	fake.gdt[0] = AT(1, 0);
	fake.gdt[1] = 0x2f;
	fake.refuse = false;
	FACT(DONE_(call(ROW(SetLDT), 0x28, 0, 0, 0, 0)) && fake.ldt == 0x28);
	fake.gdt[1] = 0x2e;
	FACT(stopped_with(BAD(SetLDT, 0x28, 0, 0, 0, 0),
			  "SetLDT: selector 00000028 is beyond the GDT"));
	fake.gdt[1] = 0xff;
	memcpy(word(READ_ONLY, 0x28), &tss, 8);
	fake.gdt[0] = AT(READ_ONLY, 0);
	FACT(stopped_with(BAD(SetTR, 0x28, 0, 0, 0, 0),
			  "SetTR: selector 00000028 has a descriptor that is not mapped"));
	FACT(fake.ldt == 0x28 && fake.tr == 0x30);
	END("selectors beyond limits, descriptors of other types");
}

static void descriptors(void)
{
	const u64 code = descriptor(0, 0xfffff, 0xc9a);

	start(0, FEATURES, 3);
	BEGIN;
	FACT(DONE_(GOOD(WriteGDTEntry, AT(1, 0), 4, 0x1111, 0x2222, 0)) &&
	     *word(1, 0x20) == 0x1111 && *word(1, 0x24) == 0x2222);
	FACT(DONE_(GOOD(WriteLDTEntry, AT(2, 0xffd), 0, 0x33333333, 0x44444444, 0)));
	FACT(*((u8 *)word(2, 0) + 0xfff) == 0x33 && *word(3, 0) == 0x44444433);
	FACT(DONE_(GOOD(WriteIDTEntry, AT(3, 0), 0x20000000, 5, 6, 0)) && *word(3, 4) == 6);
	FACT(DONE_(GOOD(WriteIDTEntry, TOP, 0x1ff, 5, 6, 0)) &&
	     *word(MEMORY_PAGES - 1, 0xffc) == 6);
	END("Write*Entry: an index that wraps is the native one");
	BEGIN;
	FACT(stopped_with(BAD(WriteGDTEntry, AT(UNMAPPED, 0), 2, 0, 0, 0),
			  "WriteGDTEntry: entry c0005010 is not mapped"));
	FACT(stopped_with(BAD(WriteLDTEntry, AT(READ_ONLY, 0), 0, 1, 0, 0),
			  "WriteLDTEntry: entry c0007000 is not mapped"));
	FACT(stopped_with(BAD(WriteIDTEntry, TOP + 0xffc, 0, 1, 1, 0),
			  "WriteIDTEntry: entry fffffffc is not mapped"));
	FACT(!*word(READ_ONLY, 0) && *word(MEMORY_PAGES - 1, 0xffc) == 6);
	ops.descriptor_ok = fake_descriptor_ok;
	FACT(DONE_(call(ROW(WriteGDTEntry), AT(1, 0), 4, 0x1110, 0x2222, 0)) &&
	     *word(1, 0x20) == 0x1111 && fake.descriptor_call == VMI_ID_WriteGDTEntry);
	fake.refuse = true;
	FACT(stopped_with(BAD(WriteGDTEntry, AT(1, 0), 0, 0, 0x1234, 0),
			  "WriteGDTEntry: high 00001234 is not allowed"));
	END("Write*Entry: not mapped, not allowed");

	start(VMM_DEPRIVILEGED | VMM_NATIVE_FAULTS, FEATURES, 3);
	vm.kernel_ring = 1;
	vm.virtual_top = 0xff000000;
	BEGIN;
	FACT(DONE_(call(ROW(WriteGDTEntry), AT(1, 0), 1, (u32)code, (u32)(code >> 32), 0)));
	FACT(*word(1, 0x8) == 0xefff && *word(1, 0xc) == 0x00cfba00);
	FACT(DONE_(call(ROW(WriteGDTEntry), AT(1, 0), 1, 0xffff, 0x00c0fa00 | 0xf0000, 0)) &&
	     *word(1, 0xc) == 0x00cffa00); /* user's stays the user's */
	/* Less than a page remains: the limit is in bytes. */
	FACT(DONE_(call(ROW(WriteGDTEntry), AT(1, 0), 1, 0xff00ffff, 0xfecf92ff, 0)) &&
	     *word(1, 0x8) == 0xff0000ff && *word(1, 0xc) == 0xfe40b2ff);
	/* One byte is not confined more than it is. */
	FACT(DONE_(call(ROW(WriteGDTEntry), AT(1, 0), 1, 0, 0x0040f200, 0)) && *word(1, 0x8) == 0 &&
	     *word(1, 0xc) == 0x0040f200);
	FACT(DONE_(call(ROW(WriteGDTEntry), AT(1, 0), 1, 7, 0x0c00, 0)) && *word(1, 0xc) == 0xc00);
	FACT(stopped_with(call(ROW(WriteGDTEntry), AT(1, 0), 1, 0xffff, 0x00affa00, 0),
			  "WriteGDTEntry: high 00affa00 is of a type that is the VMM's"));
	FACT(stopped_with(call(ROW(WriteGDTEntry), AT(1, 0), 1, 0, 0xec00, 0),
			  "WriteGDTEntry: high 0000ec00 is of a type that is the VMM's"));
	FACT(stopped_with(call(ROW(WriteIDTEntry), AT(1, 0), 1, 0, 0x8e00, 0),
			  "WriteIDTEntry: high 00008e00 is of a type that is the VMM's"));
	FACT(stopped_with(call(ROW(WriteLDTEntry), AT(1, 0), 1, 0, 0x8900, 0),
			  "WriteLDTEntry: high 00008900 is of a type that is the VMM's"));
	FACT(stopped_with(call(ROW(WriteGDTEntry), AT(1, 0), 1, 0, 0xff00f200, 0),
			  "WriteGDTEntry: high ff00f200 reaches what is the VMM's"));
	FACT(stopped_with(call(ROW(WriteGDTEntry), AT(1, 0), 1, 0, 0x0000f600, 0),
			  "WriteGDTEntry: high 0000f600 reaches what is the VMM's"));
	FACT(*word(1, 0xc) == 0xc00);
	vm.flags = VMM_NATIVE_FAULTS; /* the processor has a VMM for it */
	FACT(DONE_(call(ROW(WriteGDTEntry), AT(1, 0), 1, 0, 0xec00, 0)) && *word(1, 0xc) == 0xec00);
	END("deprivileged: no descriptor grants more than the guest has");
}

static void kernel_stack(void)
{
	start(0, FEATURES, 3);
	ops.kernel_stack = NULL;
	BEGIN;
	FACT(DONE_(GOOD(UpdateKernelStack, 0x68, 0x1234, 0, 0, 0)) && !*word(3, 4));
	fake.tr = 0x30;
	put_descriptor(0x30, descriptor(AT(3, 0), 0x67, 0x8b));
	FACT(DONE_(call(ROW(UpdateKernelStack), 0xffff0068, 0x1234, 0, 0, 0)) &&
	     *word(3, 4) == 0x1234 && *word(3, 8) == 0x68);
	FACT(DONE_(GOOD(UpdateKernelStack_v13, AT(3, 0), 0x4321, 0, 0, 0)) &&
	     *word(3, 4) == 0x4321);
	FACT(stopped_with(BAD(UpdateKernelStack_v13, AT(READ_ONLY, 0), 1, 0, 0, 0),
			  "UpdateKernelStack_v13: tss c0007000 is not mapped"));
	put_descriptor(0x30, descriptor(AT(UNMAPPED, 0), 0x67, 0x8b));
	FACT(stopped_with(BAD(UpdateKernelStack, 0x68, 1, 0, 0, 0),
			  "UpdateKernelStack: TSS c0005000 is not mapped"));
	put_descriptor(0x30, descriptor(0xfffffffa, 0x67, 0x8b));
	FACT(stopped_with(BAD(UpdateKernelStack, 0x68, 1, 0, 0, 0),
			  "UpdateKernelStack: TSS fffffffa is not mapped"));
	fake.tr = 0x1000;
	FACT(stopped_with(BAD(UpdateKernelStack, 0x68, 1, 0, 0, 0),
			  "UpdateKernelStack: TR 00001000 is beyond the GDT"));
	ops.kernel_stack = fake_kernel_stack;
	FACT(DONE_(call(ROW(UpdateKernelStack), 0xffff0068, 0x1234, 0, 0, 0)) && fake.ss0 == 0x68 &&
	     fake.esp0 == 0x1234);
	*word(3, 8) = 0xffff0070;
	FACT(DONE_(call(ROW(UpdateKernelStack_v13), AT(3, 0), 0x5678, 0, 0, 0)) &&
	     *word(3, 4) == 0x5678 && fake.esp0 == 0x5678 && fake.ss0 == 0x70);
	fake.refuse = true;
	FACT(stopped_with(BAD(UpdateKernelStack, 0x68, 1, 0, 0, 0),
			  "UpdateKernelStack: SS0 00000068 is not allowed"));
	FACT(stopped_with(BAD(UpdateKernelStack_v13, AT(3, 0), 1, 0, 0, 0),
			  "UpdateKernelStack_v13: SS0 00000070 is not allowed"));
	END("UpdateKernelStack: by the TSS in memory, by the VMM");

	/* Where the ROM may write it without a trap. */
	start(0, FEATURES, 3);
	fake.tr = 0x30;
	BEGIN;
	vmm_refresh(VCPU);
	FACT(!VCPU->shared->tss); /* the VMM keeps the stack */
	ops.kernel_stack = NULL;
	put_descriptor(0x30, descriptor(AT(3, 0), 0x67, 0x8b));
	vmm_refresh(VCPU);
	FACT(VCPU->shared->tss == AT(3, 0));
	put_descriptor(0x30, descriptor(AT(3, 0), 0x67, 0x83)); /* 16 bits */
	vmm_refresh(VCPU);
	FACT(!VCPU->shared->tss);
	put_descriptor(0x38, descriptor(AT(3, 0x100), 0x67, 0x89));
	FACT(DONE_(GOOD(SetTR, 0x38, 0, 0, 0, 0)) && VCPU->shared->tss == AT(3, 0x100));
	fake.tr = 0;
	vmm_refresh(VCPU);
	FACT(!VCPU->shared->tss);
	fake.tr = 0xfff8;
	vmm_refresh(VCPU);
	FACT(!VCPU->shared->tss);
	END("UpdateKernelStack: the TSS that needs no trap");
}

static void control(void)
{
	u32 n;

	start(0, FEATURES, 3);
	BEGIN;
	FACT(DONE_(GOOD(SetCR0, 0x8005003b, 0, 0, 0, 0)) && VCPU->shared->cr0 == 0x8005003b);
	FACT(DONE_(GOOD(SetCR2, 0x12, 0, 0, 0, 0)) && VCPU->shared->cr2 == 0x12);
	FACT(DONE_(GOOD(SetCR3, 0x3000, 0, 0, 0, 0)) && VCPU->shared->cr3 == 0x3000);
	FACT(DONE_(GOOD(SetCR4, 0x90, 0, 0, 0, 0)) && VCPU->shared->cr4 == 0x90);
	FACT(DONE_(GOOD(GetCR0, 0, 0, 0, 0, 0)) && regs.eax == 0x8005003b);
	FACT(DONE_(GOOD(GetCR2, 0, 0, 0, 0, 0)) && regs.eax == 0x12);
	FACT(DONE_(GOOD(GetCR3, 0, 0, 0, 0, 0)) && regs.eax == 0x3000);
	FACT(DONE_(GOOD(GetCR4, 0, 0, 0, 0, 0)) && regs.eax == 0x90);
	FACT(DONE_(GOOD(CLTS, 0, 0, 0, 0, 0)) && VCPU->shared->cr0 == 0x80050033);
	FACT(DONE_(GOOD(STTS, 0, 0, 0, 0, 0)) && VCPU->shared->cr0 == 0x8005003b);
	FACT(DONE_(GOOD(LMSW, 0xfffffff4, 0, 0, 0, 0)) && fake.cr[0] == 0x80050035);
	FACT(DONE_(GOOD(SMSW, 0x12345678, 0, 0, 0, 0)) && regs.eax == 0x12340035);
	END("control registers, CLTS, STTS, LMSW, SMSW");
	BEGIN;
	FACT(stopped_with(BAD(SetCR0, 0x80000000, 0, 0, 0, 0),
			  "SetCR0: value 80000000 is not allowed"));
	FACT(stopped_with(BAD(SetCR0, 0xa0000001, 0, 0, 0, 0),
			  "SetCR0: value a0000001 is not allowed"));
	fake.refuse = true;
	FACT(stopped_with(BAD(SetCR2, 1, 0, 0, 0, 0), "SetCR2: value 00000001 is not allowed"));
	FACT(stopped_with(BAD(SetCR3, 1, 0, 0, 0, 0), "SetCR3: value 00000001 is not allowed"));
	FACT(stopped_with(BAD(SetCR4, 1, 0, 0, 0, 0), "SetCR4: value 00000001 is not allowed"));
	FACT(stopped_with(BAD(LMSW, 1, 0, 0, 0, 0), "LMSW: value 80050031 is not allowed"));
	FACT(stopped_with(BAD(STTS, 0, 0, 0, 0, 0), "STTS: value 8005003d is not allowed"));
	FACT(VCPU->shared->cr0 == 0x80050035 && VCPU->shared->cr4 == 0x90);
	END("values that would fault");

	start(0, FEATURES, 3);
	BEGIN;
	for (n = 0; n < 8; n++)
		FACT(DONE_(GOOD(SetDR, n, 100 + n, 0, 0, 0)));
	FACT(fake.dr[0] == 100 && fake.dr[3] == 103 && fake.dr[6] == 106 && fake.dr[7] == 107 &&
	     !fake.dr[4]);
	FACT(DONE_(GOOD(GetDR, 5, 0, 0, 0, 0)) && regs.eax == 107);
	FACT(DONE_(GOOD(GetDR, 2, 0, 0, 0, 0)) && regs.eax == 102);
	FACT(DONE_(BAD(SetDR, 8, 1, 0, 0, 0)) && DONE_(BAD(SetDR, ~0u, 1, 0, 0, 0)));
	FACT(DONE_(BAD(GetDR, 8, 0, 0, 0, 0)) && !regs.eax);
	FACT(DONE_(BAD(GetDR, ~0u, 0, 0, 0, 0)) && !regs.eax);
	fake.cr[4] = 8;
	FACT(REFUSED(BAD(SetDR, 4, 1, 0, 0, 0)) && REFUSED(BAD(GetDR, 5, 1, 0, 0, 0)));
	fake.refuse = true;
	FACT(REFUSED(BAD(SetDR, 7, 1, 0, 0, 0)) && fake.dr[7] == 107);
	END("debug registers; there are no others");
	BEGIN;
	FACT(DONE_(GOOD(INVD, 0, 0, 0, 0, 0)) && DONE_(GOOD(WBINVD, 0, 0, 0, 0, 0)) &&
	     fake.wbinvds == 2);
	END("INVD, WBINVD");
}

/* ------------------------------------------------------------------------
 * Interrupts
 */

static void flags(u32 features, const char *name)
{
	bool cpu_if = features & VMI_HV_CPU_IF, virtual = features & VMI_HV_SHARED;
	u32 asks = !cpu_if; /* otherwise the VMM waits for EFLAGS.IF */

	start(0, features, 6);
	BEGIN;
	FACT(vm.virtual_flag == virtual);
	FACT(!vmm_interrupt_flag(&vcpus[1], 2));
	FACT(!!vmm_interrupt_flag(&vcpus[1], 0x202) == (cpu_if || !virtual));
	own(VMI_HV_DETACH, 0, 0, 0);
	own(VMI_HV_ATTACH, VMI_HV_VERSION, SHARED_AT, 6);
	FACT(vmm_interrupt_flag(VCPU, 0x202)); /* as the attaching one had it */
	own(VMI_HV_DETACH, 0, 0, 0);
	fake_attach_as(6);
	regs.eflags = 2;
	FACT(call_regs(ROW(GetInterruptMask)) == VMM_CONTINUE && !regs.eax);
	called_well[ROW(GetInterruptMask)] = called_well[ROW(EnableInterrupts)] = true;
	regs.eflags = 2;
	call_regs(ROW(EnableInterrupts));
	FACT(!!(regs.eflags & VMI_IF) == (cpu_if || !virtual));
	FACT(vmm_interrupt_flag(VCPU, regs.eflags) == VMI_IF);
	FACT(VCPU->shared->interrupts == VMI_IF);
	FACT(vmm_frame_flags(VCPU, regs.eflags) == 0x202);
	call_regs(ROW(GetInterruptMask));
	FACT(regs.eax == VMI_IF);
	FACT(DONE_(GOOD(DisableInterrupts, 0, 0, 0, 0, 0)) && !VCPU->shared->interrupts);
	FACT(!vmm_interrupt_flag(VCPU, regs.eflags));
	FACT(DONE_(GOOD(SetInterruptMask, 0x202, 0, 0, 0, 0)) &&
	     VCPU->shared->interrupts == VMI_IF && vmm_interrupt_flag(VCPU, regs.eflags));
	FACT(DONE_(GOOD(GetEFLAGS, 0, 0, 0, 0, 0)) && (regs.eax & VMI_IF));
	FACT(DONE_(GOOD(SaveAndDisableIRQs, 0, 0, 0, 0, 0)) && (regs.eax & VMI_IF) &&
	     !vmm_interrupt_flag(VCPU, regs.eflags));
	FACT(DONE_(GOOD(SetInterruptMask, ~0x200u, 0, 0, 0, 0)) && !VCPU->shared->interrupts);
	FACT(REFUSED(GOOD(SetEFLAGS, 0xffffffff, 0, 0, 0, 0)) &&
	     vmm_interrupt_flag(VCPU, regs.eflags));
	FACT(REFUSED(call(ROW(SetEFLAGS), 0, 0, 0, 0, 0)) &&
	     !vmm_interrupt_flag(VCPU, regs.eflags));
	if (cpu_if) { /* both count */
		VCPU->shared->interrupts = VMI_IF;
		FACT(!vmm_interrupt_flag(VCPU, 2) && vmm_interrupt_flag(VCPU, 0x202));
	}
	VCPU->shared->interrupts = ~0u; /* a guest writes anything */
	FACT(vmm_interrupt_flag(VCPU, 0x202) == VMI_IF);
	END("%s: the calls about the flag", name);

	BEGIN;
	call(ROW(DisableInterrupts), 0, 0, 0, 0, 0);
	fake.pending = true;
	FACT(vmm_set_pending(VCPU) == false && VCPU->shared->pending == 1);
	FACT(!virtual || (DONE_(own(VMI_HV_DELIVER, 0, 0, 0)) && !fake.delivered));
	FACT(!virtual || VCPU->shared->pending == 1);
	FACT(DONE_(GOOD(EnableInterrupts, 0, 0, 0, 0, 0)) && fake.delivered == asks);
	FACT(!VCPU->shared->pending);
	FACT(!!VCPU->shared->interrupts == cpu_if); /* elsewhere the gate has cleared it */
	VCPU->shared->interrupts = VMI_IF;
	FACT(vmm_set_pending(VCPU));
	fake.pending = true;
	FACT(DONE_(own(VMI_HV_DELIVER, 0, 0, 0)) && fake.delivered == 2 * asks);
	FACT(DONE_(GOOD(DeliverInterrupts, 0, 0, 0, 0, 0)) && fake.delivered == 2 * asks);
	fake.pending = true;
	FACT(DONE_(call(ROW(SetInterruptMask), VMI_IF, 0, 0, 0, 0)) && fake.delivered == 3 * asks);
	fake.pending = true;
	FACT(GOOD(Halt, 0, 0, 0, 0, 0) == (asks ? VMM_CONTINUE : VMM_HALTED) &&
	     fake.delivered == 4 * asks);
	FACT(GOOD(Halt, 0, 0, 0, 0, 0) == VMM_HALTED && regs.eflags & VMI_IF &&
	     VCPU->shared->interrupts);
	FACT(GOOD(SafeHalt, 0, 0, 0, 0, 0) == VMM_HALTED);
	fake.comes =
		asks; /* just behind the question: who has entered its handler does not sleep */
	FACT(GOOD(Halt, 0, 0, 0, 0, 0) == VMM_HALTED && fake.delivered == 4 * asks);
	fake.pending = false;
	vmm_entered_gate(VCPU, false);
	FACT(VCPU->shared->interrupts);
	if (cpu_if) { /* a handler that knows nothing may say STI */
		VCPU->shared->interrupts = 0;
		vmm_entered_gate(VCPU, true);
		FACT(VCPU->shared->interrupts == VMI_IF);
	}
	FACT(REFUSED(GOOD(IRET, 0, 0, 0, 0, 0)) && REFUSED(GOOD(IRET_v13, 0, 0, 0, 0, 0)) &&
	     REFUSED(GOOD(IRET16, 0, 0, 0, 0, 0)) && REFUSED(GOOD(SYSEXIT, 0, 0, 0, 0, 0)) &&
	     REFUSED(GOOD(StiSysexit, 0, 0, 0, 0, 0)) && REFUSED(GOOD(SysRet, 0, 0, 0, 0, 0)));
	FACT(DONE_(GOOD(SetIOPLMask, 0xffffffff, 0, 0, 0, 0)) && (regs.eflags & 0x3000) == 0x3000);
	FACT(DONE_(call(ROW(SetIOPLMask), ~0x3000u, 0, 0, 0, 0)) && !(regs.eflags & 0x3000));
	regs.eflags = 0x1202;
	FACT(call_regs(ROW(GetIOPLMask)) == VMM_CONTINUE && regs.eax == 0x1000);
	called_well[ROW(GetIOPLMask)] = true;
	END("%s: what is pending, Halt, IOPL", name);
}

/* ------------------------------------------------------------------------
 * Page tables
 */

/* Enters the handler at once, with the flags that it begins with. */
static u32 frame_flags;
static void deliver_at_once(struct vmm_vcpu *vcpu, struct vmm_regs *to)
{
	frame_flags = vmm_frame_flags(vcpu, to->eflags);
	to->eflags = 2;
	to->eip = 0xc0123456;
	fake_deliver(vcpu, to);
}

static void delivered_at_once(void)
{
	static const u32 rows[] = { ROW(Halt), ROW(EnableInterrupts), ROW(SetInterruptMask),
				    ROW(SetEFLAGS), ROW(DeliverInterrupts) };
	const u32 all_features[] = { 0, FEATURES };
	u32 f, i;

	BEGIN;
	for (f = 0; f < 2; f++) {
		start(0, all_features[f], 3);
		ops.deliver = deliver_at_once;
		for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			memset(&regs, 0, sizeof(regs));
			regs.eax = VMI_IF;
			regs.eflags = 2;
			regs.ebp = VMI_HV_TAG | rows[i];
			fake.pending = true;
			FACT(vmm_call(VCPU, &regs) == VMM_CONTINUE);
			FACT(regs.eip == 0xc0123456 && regs.eflags == 2);
			/* What the guest comes back to: refused is refused. */
			FACT(frame_flags == (VMI_IF | 2 | (rows[i] == ROW(SetEFLAGS))));
		}
	}
	END("a handler that is entered at once begins with its own flags");
}

#define OLD 0x0000000512345067ull
#define NEW 0x0000000a9abcd063ull
#define E AT(3, 0x28)

static u64 entry(void)
{
	u64 value;

	memcpy(&value, word(3, 0x28), 8);
	return value;
}

static void entry_is(u64 value)
{
	memcpy(word(3, 0x28), &value, 8);
	*word(3, 0x24) = *word(3, 0x30) = 0x55555555;
}

static bool around(void)
{
	return *word(3, 0x24) == 0x55555555 && *word(3, 0x30) == 0x55555555;
}

/* Other page tables: the same page everywhere. */
static void *page_7(struct vmm_vcpu *vcpu, u32 linear, bool write)
{
	(void)vcpu;
	(void)write;
	return fake.memory + 7 * PAGE + linear % PAGE;
}

#define LOW(value) ((u32)(value))
#define HIGH(value) ((u32)((value) >> 32))
#define ONE_WORD ((OLD & ~0xffffffffull) | LOW(NEW))

#define WRITES(name, value, flags, ...)                                                            \
	do {                                                                                       \
		entry_is(OLD);                                                                     \
		fake.entries = 0;                                                                  \
		FACT(DONE_(GOOD(name, __VA_ARGS__)));                                              \
		FACT(entry() == (value) && around());                                              \
		FACT(fake.entries == 1 && fake.entry == E && fake.entry_flags == (flags));         \
	} while (0)

#define WRONG(name, reason, ...)                                                                   \
	do {                                                                                       \
		fake.entries = 0;                                                                  \
		FACT(stopped_with(BAD(name, __VA_ARGS__), #name ": ptep " reason));                \
		FACT(!fake.entries);                                                               \
	} while (0)

static bool writing;

/* The other vCPU: 1111... and 2222... in turn. */
static void *writer(void *unused)
{
	u64 *to = (u64 *)(void *)word(3, 0x28);

	while (__atomic_load_n(&writing, __ATOMIC_RELAXED)) {
		__atomic_store_n(to, 0x1111111111111111ull, __ATOMIC_RELAXED);
		__atomic_store_n(to, 0x2222222222222222ull, __ATOMIC_RELAXED);
	}
	return unused;
}

/* How often it is neither. */
static u32 torn(u32 row)
{
	u32 i, last = 0, changes = 0, count = 0;
	pthread_t thread;

	entry_is(0x1111111111111111ull);
	writing = true;
	if (pthread_create(&thread, NULL, writer, NULL))
		return ~0u;
	for (i = 0; i < 3000000 && changes < 20000; i++) {
		regs.eax = E;
		regs.ebp = VMI_HV_TAG | row;
		vmm_call(VCPU, &regs);
		count += regs.eax != 0x11111111 && regs.eax != 0x22222222;
		changes += regs.eax != last;
		last = regs.eax;
	}
	__atomic_store_n(&writing, false, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	return count;
}

static void page_tables(void)
{
	start(0, FEATURES, 3);
	BEGIN;
	WRITES(SetPxE, ONE_WORD, 0x31, LOW(NEW), E, 0x31, 0, 0);
	WRITES(SetPxE_v13, ONE_WORD, 0, E, LOW(NEW), 1, 0, 0);
	WRITES(SetPte, ONE_WORD, 0, LOW(NEW), E, 1, 0, 0);
	WRITES(SetPxELong, NEW, 0x21, LOW(NEW), HIGH(NEW), E, 0x21, 0);
	WRITES(SetPxELong_v13, NEW, 0, LOW(NEW), HIGH(NEW), E, 0x21, 0);
	WRITES(SetPteLong, NEW, 0, LOW(NEW), HIGH(NEW), E, 0x21, 0);
	WRITES(UpdatePxE, OLD, 0x21, E, 0x21, 0, 0, 0);
	WRITES(UpdatePxELong, OLD, 0x22, E, 0x22, 0, 0, 0);
	FACT(fake.bytes == 8);
	END("entries: written");
	BEGIN;
	FACT(DONE_(GOOD(GetPxE, E, 0, 0, 0, 0)) && regs.eax == LOW(OLD));
	FACT(DONE_(GOOD(GetPxELong, E, 0, 0, 0, 0)) && regs.eax == LOW(OLD) &&
	     regs.edx == HIGH(OLD));
	*word(READ_ONLY, 8) = 0x77;
	FACT(DONE_(GOOD(GetPxE, AT(READ_ONLY, 8), 0, 0, 0, 0)) && regs.eax == 0x77);
	FACT(DONE_(GOOD(GetPxELong, AT(READ_ONLY, 8), 0, 0, 0, 0)) && regs.eax == 0x77);
	FACT(DONE_(GOOD(GetPteVal, 7, 0, 0, 0, 0)) && regs.eax == 7);
	FACT(DONE_(GOOD(GetPdeVal, 7, 0, 0, 0, 0)) && regs.eax == 7);
	FACT(DONE_(GOOD(MachineToPhysical, 7, 0, 0, 0, 0)) && regs.eax == 7);
	FACT(DONE_(GOOD(PhysicalToMachine, 7, 0, 0, 0, 0)) && regs.eax == 7);
	WRITES(SwapPxE, ONE_WORD, 0, E, LOW(NEW), 0, 0, 0);
	FACT(regs.eax == LOW(OLD));
	WRITES(SwapPte, ONE_WORD, 0, LOW(NEW), E, 0, 0, 0);
	FACT(regs.eax == LOW(OLD));
	WRITES(SwapPxELongAtomic, NEW, 0, LOW(NEW), HIGH(NEW), E, 0, 0);
	FACT(regs.eax == LOW(OLD) && regs.edx == HIGH(OLD));
	entry_is(OLD);
	regs.ebx = LOW(NEW);
	regs.ecx = HIGH(NEW);
	regs.edi = E;
	FACT(DONE_(call_regs(ROW(SwapPteLong))) && entry() == NEW && around());
	FACT(regs.eax == LOW(OLD) && regs.edx == HIGH(OLD));
	called_well[ROW(SwapPteLong)] = true;
	WRITES(DeactivatePxELongAtomic, 0, 0, E, 0, 0, 0, 0);
	FACT(regs.eax == LOW(OLD) && regs.edx == HIGH(OLD));
	END("entries: read, exchanged");
	BEGIN;
	WRITES(TestAndSetPxEBit, OLD | 1ull << 31, 0, E, 31, 0, 0, 0);
	FACT(regs.eax == 0);
	WRITES(TestAndSetPteBit, OLD, 0, 5, E, 0, 0, 0);
	FACT(regs.eax == 1);
	WRITES(TestAndClearPxEBit, OLD & ~64ull, 0, E, 6, 0, 0, 0);
	FACT(regs.eax == 1);
	WRITES(TestAndClearPteBit, OLD, 0, 31, E, 0, 0, 0);
	FACT(regs.eax == 0);
	WRITES(TestAndSetPxELongBit, OLD | 1ull << 63, 0, E, 63, 0, 0, 0);
	FACT(regs.eax == 0);
	WRITES(TestAndSetPteBitLong, OLD, 0, 32, E, 0, 0, 0);
	FACT(regs.eax == 1);
	WRITES(TestAndClearPxELongBit, OLD & ~(1ull << 34), 0, E, 34, 0, 0, 0);
	FACT(regs.eax == 1);
	WRITES(TestAndClearPteBitLong, OLD & ~1ull, 0, 0, E, 0, 0, 0);
	FACT(regs.eax == 1);
	entry_is(OLD);
	FACT(DONE_(BAD(TestAndSetPxEBit, E, 32, 0, 0, 0)) && !regs.eax);
	FACT(DONE_(BAD(TestAndClearPxEBit, E, ~0u, 0, 0, 0)) && !regs.eax);
	FACT(DONE_(BAD(TestAndSetPteBit, 64, 1, 0, 0, 0)) && !regs.eax);
	FACT(DONE_(BAD(TestAndClearPxELongBit, 1, 64, 0, 0, 0)) && !regs.eax);
	FACT(DONE_(BAD(TestAndSetPxELongBit, E, 65, 0, 0, 0)) && !regs.eax);
	FACT(DONE_(BAD(TestAndClearPteBitLong, 64, E, 0, 0, 0)) && !regs.eax);
	FACT(entry() == OLD && around());
	END("bits: what is none of the entry's reads 0");
	BEGIN;
	WRONG(SetPxE, "c0005000 is not mapped", 1, AT(UNMAPPED, 0), 0, 0, 0);
	WRONG(SetPxE, "c0007000 is not mapped", 1, AT(READ_ONLY, 0), 0, 0, 0);
	WRONG(SetPxE, "c0003001 is not aligned", 1, AT(3, 1), 0, 0, 0);
	WRONG(SetPxE, "c0010000 is not mapped", 1, AT(MEMORY_PAGES, 0), 0, 0, 0);
	WRONG(SetPxE, "bffffffc is not mapped", 1, LINEAR - 4, 0, 0, 0);
	WRONG(SetPxE_v13, "00000000 is not mapped", 0, 1, 0, 0, 0);
	WRONG(SetPte, "00000002 is not aligned", 1, 2, 0, 0, 0);
	WRONG(SetPxELong, "c0003ffc is not aligned", 1, 1, AT(3, 0xffc), 0, 0);
	WRONG(SetPxELong_v13, "c0007ff8 is not mapped", 1, 1, AT(READ_ONLY, 0xff8), 0, 0);
	WRONG(SetPteLong, "fffffffe is not aligned", 1, 1, ~1u, 0, 0);
	WRONG(UpdatePxE, "c0007000 is not mapped", AT(READ_ONLY, 0), 1, 0, 0, 0);
	WRONG(UpdatePxELong, "c0003004 is not aligned", AT(3, 4), 1, 0, 0, 0);
	WRONG(GetPxE, "c0005000 is not mapped", AT(UNMAPPED, 0), 1, 0, 0, 0);
	WRONG(GetPxE, "ffffffff is not aligned", ~0u, 1, 0, 0, 0);
	WRONG(GetPxELong, "c0003004 is not aligned", AT(3, 4), 1, 0, 0, 0);
	WRONG(SwapPxE, "c0007000 is not mapped", AT(READ_ONLY, 0), 1, 0, 0, 0);
	WRONG(SwapPte, "c0003002 is not aligned", 0, AT(3, 2), 0, 0, 0);
	WRONG(SwapPxELongAtomic, "c0003004 is not aligned", 0, 0, AT(3, 4), 0, 0);
	WRONG(SwapPteLong, "c0005000 is not mapped", 0, 0, 0, 0, AT(UNMAPPED, 0));
	WRONG(DeactivatePxELongAtomic, "00001000 is not mapped", 0x1000, 0, 0, 0, 0);
	WRONG(TestAndSetPxEBit, "c0005000 is not mapped", AT(UNMAPPED, 0), 1, 0, 0, 0);
	WRONG(TestAndClearPteBit, "c0003001 is not aligned", 1, AT(3, 1), 0, 0, 0);
	WRONG(TestAndSetPteBitLong, "c0003004 is not aligned", 1, AT(3, 4), 0, 0, 0);
	FACT(entry() == OLD && around() && !*word(READ_ONLY, 0));
	END("entries: not mapped, read-only, not aligned");

	BEGIN;
	FACT(!torn(ROW(GetPxE)) && !torn(ROW(GetPxELong)));
	END("entries: read in one piece while another vCPU writes");

	start(VMM_NATIVE_FAULTS, FEATURES, 3);
	BEGIN;
	FACT(REFUSED(call(ROW(SetPxE), 1, AT(UNMAPPED, 0), 0, 0, 0)) && !fake.stops);
	FACT(REFUSED(call(ROW(SetGDT), AT(UNMAPPED, 0), 0, 0, 0, 0)) && !fake.stops);
	FACT(REFUSED(call(ROW(SetCR0), 0x80000000, 0, 0, 0, 0)) && !fake.stops);
	fake_queue(VCPU, VMI_HV_TAG | ROW(SetPxE), 1, AT(UNMAPPED, 4), 0, 0);
	FACT(stopped_with(own(VMI_HV_FLUSH, 0, 0, 0), "SetPxE: ptep c0005004 is not mapped"));
	END("VMM_NATIVE_FAULTS: refused; what was queued stops the guest");

	start(0, FEATURES, 3);
	BEGIN;
	ops.entry_written = NULL;
	FACT(DONE_(call(ROW(SetPxE), 77, E, 0, 0, 0)) && *word(3, 0x28) == 77 && !fake.entries);
	END("entries: nobody keeps shadows");

	BEGIN;
	ops.page = page_7;
	FACT(DONE_(call(ROW(SetPxE), 78, E, 0, 0, 0)) && *word(3, 0x28) == 77 &&
	     *word(7, 0x28) == 78);
	FACT(stopped_with(call(ROW(WriteGDTEntry), 0xfffffffc, 0, 1, 2, 0),
			  "WriteGDTEntry: entry fffffffc is not mapped"));
	FACT(stopped_with(call(ROW(INS), 0, 0x70, 1, 0, 0xfffffffd),
			  "INS: address fffffffd is not mapped"));
	FACT(!*word(7, 0xffc) && !*word(7, 0));
	END("translations are looked up by each call, and never wrap");
}

static void memory(void)
{
	start(0, FEATURES, 3);
	BEGIN;
	FACT(DONE_(GOOD(AllocatePage, 10, 0x72, 11, 768, 256)) && fake.hints == 1);
	FACT(fake.hint.call == VMI_ID_AllocatePage && fake.hint.a == 10 && fake.hint.d == 0x72 &&
	     fake.hint.c == 11 && fake.hint.s1 == 768 && fake.hint.s2 == 256);
	FACT(DONE_(GOOD(ReleasePage, 10, 2, 0, 0, 0)) && fake.hints == 2 && fake.hint.d == 2);
	FACT(DONE_(BAD(AllocatePage, 10, 0x82, 0, 0, 0)) &&
	     DONE_(BAD(AllocatePage, 1, 0, 0, 0, 0)));
	FACT(DONE_(BAD(AllocatePage, 10, 0x21, 0, 1000, 25)));
	FACT(DONE_(BAD(AllocatePage, 10, 0x21, 0, 1, ~0u)) &&
	     DONE_(BAD(AllocatePage, 10, 0x21, 0, ~0u, 1)));
	FACT(DONE_(BAD(ReleasePage, 10, 0x100, 0, 0, 0)) && fake.hints == 2);
	FACT(DONE_(GOOD(SetLinearMapping, 3, 0xc0000000, 0x40000, 9, 0)) && fake.hints == 3 &&
	     fake.hint.c == 0x40000 && fake.hint.d == 0xc0000000 && fake.hint.s1 == 9);
	FACT(DONE_(BAD(SetLinearMapping, 0, 0xc0000000, 0x40001, 9, 0)) && fake.hint.c == 0x40000);
	FACT(DONE_(BAD(SetLinearMapping, 4, 0, 1, 9, 0)) && fake.hints == 4);
	FACT(DONE_(GOOD(RegisterPageMapping, 0xfffff000, 5, 2, 0, 0)) && fake.hint.c == 1);
	FACT(DONE_(GOOD(ClonePageTable, 1, 2, 512 << 16 | 512, 0, 0)) && fake.hints == 6);
	FACT(DONE_(GOOD(ClonePageDirectory, 1, 2, 1023 << 16 | 1, 0, 0)) && fake.hints == 7 &&
	     fake.hint.a == 1 && fake.hint.d == 2 && fake.hint.c == (1023 << 16 | 1));
	FACT(DONE_(BAD(ClonePageTable, 1, 2, 512 << 16 | 513, 0, 0)) &&
	     DONE_(BAD(ClonePageDirectory, 1, 2, ~0u, 0, 0)) && fake.hints == 7);
	FACT(DONE_(GOOD(UpdateGDT, 0, 0x1fff, 0, 0, 0)) && fake.hints == 8 &&
	     fake.hint.call == VMI_ID_UpdateGDT && !fake.hint.a && fake.hint.d == 0x1fff);
	FACT(DONE_(GOOD(UpdateIDT, 3, 3, 0, 0, 0)) && DONE_(GOOD(UpdateLDT, 3, 4, 0, 0, 0)) &&
	     fake.hints == 10);
	FACT(DONE_(BAD(UpdateGDT, 1, 0, 0, 0, 0)) && DONE_(BAD(UpdateIDT, 0, 0x2000, 0, 0, 0)) &&
	     DONE_(BAD(UpdateLDT, ~0u, ~0u, 0, 0, 0)) && fake.hints == 10);
	FACT(DONE_(GOOD(AllocatePage, 10, 1, 0, ~0u, ~0u)) && fake.hints == 11); /* no clone */
	FACT(DONE_(GOOD(UpdateIOBitmap, 0, 0, 0, 0, 0)) &&
	     DONE_(GOOD(UpdateInterruptBitmap, 0, 0, 0, 0, 0)) && fake.hints == 13);
	END("hints: those that make no sense are dropped");
	start(0, FEATURES, 6);
	BEGIN;
	FACT(DONE_(GOOD(RegisterPageUsage, 1, 0x80, 0, 0, 0)) && fake.hints == 1);
	FACT(DONE_(BAD(RegisterPageUsage, 1, 0x180, 0, 0, 0)) && fake.hints == 1);
	vm.revision = 13;
	FACT(DONE_(call(ROW(AllocatePage), 1, 0x10, 0, 0, 0)) && fake.hints == 1);
	FACT(DONE_(call(ROW(AllocatePage), 1, 0x04, 0, 0, 0)) && fake.hints == 2);
	END("hints: flags are the revision's");
	BEGIN;
	FACT(DONE_(GOOD(InvalPage, 0x1234, 0, 0, 0, 0)) && fake.invalidated == 0x1234);
	FACT(DONE_(GOOD(FlushTLB, 1, 0, 0, 0, 0)) && fake.flushed == 1);
	FACT(DONE_(GOOD(FlushTLB, 3, 0, 0, 0, 0)) && fake.flushed == 0x101);
	FACT(DONE_(BAD(FlushTLB, ~3u, 0, 0, 0, 0)) && fake.flushed == 0x101);
	FACT(DONE_(GOOD(FlushTLB_v6, 0, 0, 0, 0, 0)) && fake.flushed == 0x102);
	FACT(DONE_(GOOD(FlushTLBAll, 0, 0, 0, 0, 0)) && fake.flushed == 0x202);
	FACT(DONE_(GOOD(SetLazyMode, 7, 0, 0, 0, 0)) && VCPU->shared->defer == 3);
	FACT(DONE_(GOOD(SetDeferredMode, ~0u, 0, 0, 0, 0)) && VCPU->shared->defer == 7);
	FACT(DONE_(GOOD(FlushDeferredCalls, 0x80, 0, 0, 0, 0)));
	FACT(DONE_(GOOD(SetCallbacks, 0, 0, 0, 0, 0)) && DONE_(GOOD(Pause, 0, 0, 0, 0, 0)) &&
	     DONE_(GOOD(IODelay, 0, 0, 0, 0, 0)));
	END("translations, modes");
}

/* ------------------------------------------------------------------------
 * The queue
 */

#define QUEUED(name) (VMI_HV_TAG | ROW(name))

static const char *may_not_wait(u32 number)
{
	static char reason[64];

	snprintf(reason, sizeof(reason), "queue: call %08x is not one that may wait",
		 VMI_HV_TAG | number);
	return reason;
}

static void queue(void)
{
	u32 i, pages;

	start(0, FEATURES, 3);
	ops.entry_written = NULL;
	BEGIN;
	for (i = 0; i < 128; i++)
		FACT(fake_queue(VCPU, QUEUED(SetPxE), 0x1000 + i, AT(3, i * 4), 1, 0));
	fake_queue(VCPU, QUEUED(SetPxELong), 1, 2, AT(4, 0x10), 0x21);
	fake_queue(VCPU, QUEUED(SetCR3), 0x5000, 0, 0, 0);
	fake_queue(VCPU, QUEUED(WriteGDTEntry), AT(1, 0), 3, 7, 8);
	fake_queue(VCPU, QUEUED(SetPxE), 0x8888, AT(3, 0x800), 1, 0);
	fake_queue(VCPU, QUEUED(SetPxE), 0x9999, AT(3, 0), 1, 0); /* again: the last one counts */
	pages = fake.pages;
	FACT(DONE_(own(VMI_HV_FLUSH, 0x77, 0, 0)) && regs.eax == 0x77);
	FACT(*word(3, 0) == 0x9999 && *word(3, 127 * 4) == 0x1000 + 127);
	FACT(*word(4, 0x10) == 1 && *word(4, 0x14) == 2 && fake.cr[3] == 0x5000);
	FACT(*word(1, 0x18) == 7 && *word(1, 0x1c) == 8);
	FACT(vmm_queue_empty(VCPU) && VCPU->counts.queued == 133 && VCPU->counts.flushes == 1);
	FACT(fake.pages - pages == 4); /* the one of the entries is looked up twice: SetCR3 */
	FACT(VCPU->counts.traps == 2 && vmm_stats(&vm, VMI_ID_SetPxE) == 130);
	FACT(vmm_stats(&vm, VMI_ID_SetPxELong) == 1 && *word(3, 0x800) == 0x8888);
	END("a batch: in order, one trap, one look-up a page");

	BEGIN;
	fake_queue(VCPU, QUEUED(SetPxE), 0x42, AT(3, 0), 1, 0);
	FACT(DONE_(call(ROW(GetPxE), AT(3, 0), 0, 0, 0, 0)) && regs.eax == 0x42);
	fake_queue(VCPU, QUEUED(SetPxE), 0x43, AT(3, 0), 1, 0);
	FACT(DONE_(call(ROW(SetPxE), 0x44, AT(3, 0), 0, 0, 0)) && *word(3, 0) == 0x44);
	fake_queue(VCPU, QUEUED(SetPxE), 0x45, AT(3, 0), 1, 0);
	FACT(call(ROW(Halt), 0, 0, 0, 0, 0) == VMM_HALTED && *word(3, 0) == 0x45);
	fake_queue(VCPU, QUEUED(SetPxE), 0x46, AT(3, 0), 1, 0);
	FACT(vmm_flush(VCPU) == VMM_CONTINUE && *word(3, 0) == 0x46);
	fake_queue(VCPU, QUEUED(SetPxE), 0x47, AT(3, 0), 1, 0);
	FACT(DONE_(own(VMI_HV_DETACH, 0, 0, 0)) && *word(3, 0) == 0x47);
	END("a call, a page fault, DETACH: what is queued comes first");

	start(0, FEATURES, 3);
	BEGIN;
	for (i = 0; i < VMI_SHARED_QUEUED; i++)
		FACT(fake_queue(VCPU, QUEUED(SetPxE), i, AT(3, i * 4), 1, 0));
	FACT(!fake_queue(VCPU, QUEUED(SetPxE), 1, AT(4, 0), 1, 0));
	FACT(!fake_queue(VCPU, QUEUED(SetPxE), 1, AT(4, 0), 1, 0));
	FACT(DONE_(call(ROW(SetPxE), 0x1234, AT(3, 0), 1, 0, 0)) && vmm_queue_empty(VCPU));
	FACT(*word(3, 0) == 0x1234 &&
	     *word(3, (VMI_SHARED_QUEUED - 1) * 4) == VMI_SHARED_QUEUED - 1);
	END("a full queue");

	/* INIT, and the next one to queue is interrupted between reserving and filling. */
	BEGIN;
	fake_queue(VCPU, QUEUED(SetPxE), 0x1234, AT(3, 0), 1, 0);
	*word(3, 0) = 0;
	VCPU->shared->tss = 0x1000;
	vmm_vcpu_reset(VCPU);
	FACT(vmm_queue_empty(VCPU) && !VCPU->shared->tss);
	VCPU->shared->queue_next += VMI_QUEUED_SIZE;
	FACT(DONE_(own(VMI_HV_FLUSH, 0, 0, 0)) && !*word(3, 0) && !vmm_queue_empty(VCPU));
	END("a reset leaves no entry that is valid");

	start(0, FEATURES, 3);
	/* A handler comes between reserving and filling: it queues, and flushes. */
	BEGIN;
	VCPU->shared->queue_next += VMI_QUEUED_SIZE;
	fake_queue(VCPU, QUEUED(SetPxE), 0x51, AT(3, 4), 1, 0);
	FACT(DONE_(own(VMI_HV_FLUSH, 0, 0, 0)) && *word(3, 4) == 0x51 && !vmm_queue_empty(VCPU));
	fake_queue(VCPU, QUEUED(SetPxE), 0x52, AT(3, 4), 1, 0);
	FACT(DONE_(own(VMI_HV_FLUSH, 0, 0, 0)) && *word(3, 4) == 0x52 && !vmm_queue_empty(VCPU));
	/* Its page faults are its own: nothing was queued that could be the cause. */
	FACT(vmm_page_fault(VCPU) == VMM_CONTINUE && !vmm_queue_empty(VCPU));
	fake_queue(VCPU, QUEUED(SetPxE), 0x54, AT(3, 4), 1, 0);
	FACT(vmm_page_fault(VCPU) == VMM_AGAIN && *word(3, 4) == 0x54);
	FACT(vmm_page_fault(VCPU) == VMM_CONTINUE);
	VCPU->shared->queue_next = VMI_QUEUE_EMPTY + 4 * VMI_QUEUED_SIZE;
	{
		struct vmi_queued *first =
			(struct vmi_queued *)(void *)((u8 *)VCPU->area + VMI_SHARED_QUEUE);

		first->eax = 0x53;
		first->edx = AT(3, 8);
		first->call = QUEUED(SetPxE);
	}
	FACT(DONE_(own(VMI_HV_FLUSH, 0, 0, 0)) && *word(3, 8) == 0x53 && vmm_queue_empty(VCPU));
	for (i = 0; i < VMI_SHARED_QUEUED; i++)
		VCPU->shared->queue_next += VMI_QUEUED_SIZE;
	VCPU->shared->queue_next += 5 * VMI_QUEUED_SIZE;
	FACT(DONE_(own(VMI_HV_FLUSH, 0, 0, 0)) && VCPU->shared->queue_next == 0);
	END("an entry that is not valid yet is waited for");

	start(0, FEATURES, 3);
	BEGIN;
	VCPU->shared->queue_next = VMI_QUEUE_EMPTY + 1;
	FACT(stopped_with(own(VMI_HV_FLUSH, 0, 0, 0),
			  "queue: queue_next ffffd009 is not where an entry begins"));
	fake_queue(VCPU, QUEUED(SetPxE), 0x1234, AT(3, 0), 1, 0); /* in between two */
	FACT(stopped_with(vmm_flush(VCPU),
			  "queue: queue_next ffffd01d is not where an entry begins"));
	VCPU->shared->queue_next = VMI_QUEUE_EMPTY - VMI_QUEUED_SIZE;
	FACT(stopped_with(call(ROW(GetCR0), 0, 0, 0, 0, 0),
			  "queue: queue_next ffffcff4 is not where an entry begins"));
	VCPU->shared->queue_next = VMI_QUEUE_EMPTY;
	fake_queue(VCPU, QUEUED(GetCR0), 0, 0, 0, 0);
	FACT(stopped_with(vmm_flush(VCPU), may_not_wait(ROW(GetCR0))));
	VCPU->shared->queue_next = VMI_QUEUE_EMPTY;
	fake_queue(VCPU, VMI_HV_TAG | VMI_HV_ATTACH, 0, 0, 0, 0);
	FACT(stopped_with(vmm_flush(VCPU), may_not_wait(VMI_HV_ATTACH)));
	ops.entry_written = NULL;
	VCPU->shared->queue_next = VMI_QUEUE_EMPTY;
	fake_queue(VCPU, QUEUED(SetPxE), 1, AT(3, 0), 0, 0);
	fake_queue(VCPU, QUEUED(SetPxE), 1, AT(3, 2), 0, 0);
	fake_queue(VCPU, QUEUED(SetPxE), 1, AT(3, 4), 0, 0);
	FACT(stopped_with(vmm_flush(VCPU), "SetPxE: ptep c0003002 is not aligned"));
	FACT(*word(3, 0) == 1 && !*word(3, 4));
	VCPU->shared->queue_next = VMI_QUEUE_EMPTY;
	fake_queue(VCPU, QUEUED(SetPxELong), 1, 0, AT(READ_ONLY, 0), 0);
	FACT(stopped_with(vmm_flush(VCPU), "SetPxELong: ptep c0007000 is not mapped"));
	vmm_want(&vm, VMI_ID_SetPxE, false);
	vmm_init(&vm);
	vmm_vcpu_init(VCPU);
	fake_attach_as(3);
	fake_queue(VCPU, QUEUED(SetPxELong), 1, 0, AT(3, 0x40), 0);
	fake_queue(VCPU, QUEUED(SetPxE), 1, AT(3, 0), 0, 0);
	FACT(stopped_with(vmm_flush(VCPU), may_not_wait(ROW(SetPxE))) && *word(3, 0x40) == 1);
	VCPU->shared->queue_next = VMI_QUEUE_EMPTY;
	fake_queue(VCPU, 1, 0, 0, 0, 0);
	FACT(stopped_with(vmm_page_fault(VCPU), "queue: call 00000001 is not one that may wait"));
	END("a queue that lies");

	start(0, VMI_HV_SHARED, 3);
	BEGIN;
	fake_queue(VCPU, QUEUED(SetPxE), 1, AT(3, 0), 0, 0);
	FACT(stopped_with(vmm_flush(VCPU), may_not_wait(ROW(SetPxE))));
	FACT(!*word(3, 0));
	END("no queue was offered");
}

/* ------------------------------------------------------------------------
 * The rest
 */

static void ports(void)
{
	u32 n = 0;

	start(0, FEATURES, 3);
	BEGIN;
	fake.value = 0xa1b2c3d3;
	FACT(DONE_(GOOD(IN, 0, 0xffff0070, 0, 0, 0)) && regs.eax == 0xa1b2c3d4 &&
	     fake.port == 0x70 && fake.bytes == 4);
	FACT(DONE_(GOOD(INW, 0x11111111, 0x70, 0, 0, 0)) && regs.eax == 0x1111c3d5);
	FACT(DONE_(GOOD(INB, 0x11111111, 0x70, 0, 0, 0)) && regs.eax == 0x111111d6);
	FACT(DONE_(GOOD(OUT, 0x12345678, 0x71, 0, 0, 0)) && fake.value == 0x12345678);
	FACT(DONE_(GOOD(OUTW, 0x12345678, 0x71, 0, 0, 0)) && fake.value == 0x5678);
	FACT(DONE_(GOOD(OUTB, 0x12345678, 0x71, 0, 0, 0)) && fake.value == 0x78 &&
	     fake.bytes == 1 && fake.outs == 3);
	END("ports");
	BEGIN;
	fake.value = 0;
	FACT(DONE_(GOOD(INSW, 0, 0x70, 3, 0, AT(3, 0xffd))) && !regs.ecx && regs.edi == AT(4, 3));
	FACT(*((u8 *)word(3, 0) + 0xffd) == 1 && *((u8 *)word(3, 0) + 0xfff) == 2 &&
	     *((u8 *)word(4, 0) + 1) == 3);
	regs.edx = 0x70;
	regs.ecx = 2;
	regs.edi = AT(3, 8);
	regs.eflags = 0x602; /* DF */
	FACT(DONE_(call_regs(ROW(INS))) && regs.edi == AT(3, 0));
	FACT(*word(3, 8) == 4 && *word(3, 4) == 5);
	called_well[ROW(INS)] = true;
	FACT(DONE_(GOOD(INSB, 0, 0x70, 0, 0, 0)) && !regs.edi); /* moves nothing */
	fake.outs = 0;
	FACT(DONE_(GOOD(OUTS, 0, 0x70, 2, AT(3, 4), 0)) && fake.outs == 2 && fake.value == 4);
	FACT(regs.esi == AT(3, 12) && !regs.ecx);
	FACT(DONE_(GOOD(OUTSB, 0, 0x70, 1, AT(READ_ONLY, 4), 0)) && fake.outs == 3);
	FACT(DONE_(GOOD(OUTSW, 0, 0x70, 0, 4, 0)) && fake.outs == 3);
	fake.outs = 0;
	regs.edx = 0x70;
	regs.ecx = 5000;
	regs.esi = AT(6, 0);
	regs.eflags = 2;
	while (call_regs(ROW(OUTSB)) == VMM_AGAIN && n < 100) {
		regs.esi = AT(6, 0);
		n++;
	}
	FACT(!regs.ecx && n == 4 && fake.outs == 5000);
	END("strings: a long one goes in parts");
	BEGIN;
	fake.outs = fake.value = 0;
	FACT(stopped_with(BAD(INSB, 0, 0x70, 2, 0, AT(READ_ONLY, 0)),
			  "INSB: address c0007000 is not mapped"));
	FACT(stopped_with(BAD(INSW, 0, 0x70, 2, 0, AT(4, 0xfff)),
			  "INSW: address c0004fff is not mapped"));
	FACT(!fake.value);
	FACT(stopped_with(BAD(OUTS, 0, 0x70, 3, AT(4, 0xff8), 0),
			  "OUTS: address c0005000 is not mapped"));
	FACT(fake.outs == 2 && regs.ecx == 1 && regs.esi == AT(UNMAPPED, 0));
	FACT(stopped_with(BAD(INS, 0, 0x70, 1, 0, 0xfffffffe),
			  "INS: address fffffffe is not mapped"));
	FACT(stopped_with(BAD(INSW, 0, 0x70, 1, 0, 0), "INSW: address 00000000 is not mapped"));
	FACT(stopped_with(BAD(OUTSB, 0, 0x70, 1, 0, 0), "OUTSB: address 00000000 is not mapped"));
	FACT(stopped_with(BAD(OUTSW, 0, 0x70, 1, 0, 0), "OUTSW: address 00000000 is not mapped"));
	END("strings: not mapped: nothing is taken from the device");
}

static void apic(void)
{
	start(0, FEATURES, 13);
	BEGIN;
	FACT(DONE_(GOOD(APICWrite, 0x320, 0x1234, 0, 0, 0)) && fake.apic[0x32] == 0x1234);
	FACT(DONE_(GOOD(APICRead, 0x320, 0, 0, 0, 0)) && regs.eax == 0x1234);
	FACT(DONE_(BAD(APICWrite, 0x400, 1, 0, 0, 0)) && DONE_(BAD(APICWrite, 0x324, 1, 0, 0, 0)));
	FACT(DONE_(BAD(APICRead, 0x400, 0, 0, 0, 0)) && !regs.eax);
	FACT(DONE_(BAD(APICRead, 0xfee00320, 0, 0, 0, 0)) && !regs.eax);
	FACT(DONE_(GOOD(APICWrite_v13, 0xffffd3f0, 0x77, 0, 0, 0)) && fake.apic[0x3f] == 0x77);
	FACT(DONE_(GOOD(APICRead_v13, 0xffffd3f0, 0, 0, 0, 0)) && regs.eax == 0x77);
	FACT(REFUSED(BAD(APICWrite_v13, 0xffffd400, 1, 0, 0, 0)));
	FACT(REFUSED(BAD(APICRead_v13, 0xffffd3f1, 1, 0, 0, 0)));
	END("local APIC: offsets, addresses");
}

static void ap_state(void)
{
	struct vmi_ap_state ap;

	memset(&ap, 0, sizeof(ap));
	ap.cr0 = 0x80050023;
	ap.gdtr_limit = 0xff;
	ap.cs = 0x60;
	ap.ss = ap.ds = 0x68;
	ap.ldtr = 0x88;
	ap.fs = 0x0c;
	ap.eflags = 0x202;
	start(0, FEATURES, 3);
	BEGIN;
	memcpy((u8 *)word(3, 0) + 0xfc1, &ap, sizeof(ap));
	FACT(DONE_(GOOD(SetInitialAPState, AT(3, 0xfc1), 7, 0, 0, 0)) && fake.ap_states == 1 &&
	     fake.apic_id == 7 && !fake.ap_bare && !memcmp(&fake.ap, &ap, sizeof(ap)));
	FACT(DONE_(BAD(SetInitialAPState, AT(3, 0xfc1), 255, 0, 0, 0)) && fake.ap_states == 1);
	FACT(stopped_with(BAD(SetInitialAPState, AT(4, 0xfc1), 7, 0, 0, 0),
			  "SetInitialAPState: state c0004fc1 is not mapped"));
	FACT(fake.ap_states == 2 && fake.apic_id == 7 && fake.ap_bare);
	ap.gdtr_limit = 0xf8;
	memcpy(word(3, 0), &ap, sizeof(ap));
	FACT(DONE_(call(ROW(SetInitialAPState), AT(3, 0), 7, 0, 0, 0)) && fake.ap_states == 3 &&
	     !fake.ap_bare);
	ap.gdtr_limit = 0x8f;
	memcpy(word(3, 0), &ap, sizeof(ap));
	FACT(DONE_(call(ROW(SetInitialAPState), AT(3, 0), 7, 0, 0, 0)) && fake.ap_states == 4 &&
	     !fake.ap_bare);
#define UNUSABLE(member, value)                                                                    \
	do {                                                                                       \
		struct vmi_ap_state bad_ap = ap;                                                   \
		bad_ap.member = (value);                                                           \
		memcpy(word(3, 0), &bad_ap, sizeof(ap));                                           \
		fake.ap_bare = false;                                                              \
		fake.apic_id = 0;                                                                  \
		FACT(DONE_(BAD(SetInitialAPState, AT(3, 0), 7, 0, 0, 0)) && fake.ap_bare &&        \
		     fake.apic_id == 7);                                                           \
	} while (0)
	UNUSABLE(cr0, 0x00050023);
	UNUSABLE(cr0, 0x80050022);
	UNUSABLE(cr0, 0xa0050023);
	UNUSABLE(cr4, 0x20000);
	UNUSABLE(efer_low, 0x100);
	UNUSABLE(efer_high, 1);
	UNUSABLE(eflags, 0x20002);
	UNUSABLE(cs, 0);
	UNUSABLE(cs, 0x61);
	UNUSABLE(ss, 0x100);
	UNUSABLE(ldtr, 0x0c);
	UNUSABLE(ldtr, 0);
	END("SetInitialAPState: what cannot be used is not kept, nor what was before");
	vm.revision = 13;
	fake.ap_states = 0;
	BEGIN;
	memcpy((u8 *)word(3, 0) + 0xfc1, &ap, sizeof(ap));
	FACT(DONE_(call(ROW(SetInitialAPState), 3 * PAGE + 0xfc1, 9, 0, 0, 0)) &&
	     fake.ap_states == 1 && !fake.ap_bare && !memcmp(&fake.ap, &ap, sizeof(ap)));
	FACT(stopped_with(call(ROW(SetInitialAPState), AT(3, 0xfc1), 7, 0, 0, 0),
			  "SetInitialAPState: state c0003fc1 is not mapped"));
	FACT(stopped_with(call(ROW(SetInitialAPState), 4 * PAGE + 0xfc1, 7, 0, 0, 0),
			  "SetInitialAPState: state 00004fc1 is not mapped"));
	FACT(stopped_with(call(ROW(SetInitialAPState), 0xffffffc1, 7, 0, 0, 0),
			  "SetInitialAPState: state ffffffc1 is not mapped"));
	FACT(fake.ap_states == 4 && fake.ap_bare);
	ops.physical = NULL;
	FACT(REFUSED(call(ROW(SetInitialAPState), 3 * PAGE, 9, 0, 0, 0)) && fake.ap_states == 4);
	END("SetInitialAPState: a physical address in 13.x");
	BEGIN;
	FACT(GOOD(Reboot, 0, 0, 0, 0, 0) == VMM_STOPPED && fake.reboots == 1);
	FACT(BAD(Reboot, 7, 0, 0, 0, 0) == VMM_STOPPED && fake.reboots == 0x101);
	FACT(GOOD(Shutdown, 0, 0, 0, 0, 0) == VMM_STOPPED && fake.shutdowns == 1);
	END("Reboot, Shutdown");
}

static enum vmm_result alarm(u32 alarm_flags, u64 expiry, u64 period)
{
	return GOOD(SetAlarm, alarm_flags, (u32)expiry, (u32)(expiry >> 32), (u32)period,
		    (u32)(period >> 32));
}

#define LVTT VMI_ALARM_WIRED_LVTT
#define PERIODIC VMI_ALARM_PERIODIC

static void times(void)
{
	struct vmi_shared_time time, *shared;
	u32 version;

	start(0, FEATURES, 3);
	fake.real = 0x500000000ull;
	fake.stolen = 0x100000000ull;
	fake.wall = 0x700000001ull;
	BEGIN;
	FACT(DONE_(GOOD(GetCycleFrequency, 0, 0, 0, 0, 0)) && regs.eax == 1000000000 && !regs.edx);
	FACT(DONE_(GOOD(GetCycleCounter, 0, 0, 0, 0, 0)) && !regs.eax && regs.edx == 5);
	FACT(DONE_(GOOD(GetCycleCounter, 1, 0, 0, 0, 0)) && !regs.eax && regs.edx == 4);
	FACT(DONE_(GOOD(GetCycleCounter, 2, 0, 0, 0, 0)) && !regs.eax && regs.edx == 1);
	FACT(DONE_(BAD(GetCycleCounter, 3, 0, 0, 0, 0)) && !regs.eax && !regs.edx);
	FACT(DONE_(BAD(GetCycleCounter, ~0u, 0, 0, 0, 0)) && !regs.eax && !regs.edx);
	FACT(DONE_(GOOD(GetWallclockTime, 0, 0, 0, 0, 0)) && regs.eax == 1 && regs.edx == 7);
	FACT(DONE_(GOOD(WallclockUpdated, 0, 0, 0, 0, 0)) && !regs.eax);
	vmm_wall_stepped(&vm);
	vmm_wall_stepped(&vm);
	FACT(DONE_(GOOD(WallclockUpdated, 0, 0, 0, 0, 0)) && regs.eax == 1);
	FACT(DONE_(GOOD(WallclockUpdated, 0, 0, 0, 0, 0)) && !regs.eax);
	END("clocks, WallclockUpdated");

	BEGIN;
	fake.real = 1000000;
	fake.stolen = 0;
	FACT(DONE_(alarm(0, 2000000, 12345)) && fake.timer == 2000000);
	FACT(!vmm_timer_fired(VCPU, 1999999) && fake.timer == 2000000);
	FACT(vmm_timer_fired(VCPU, 2000000) == VMM_DUE_IRQ0 && fake.timer == VMM_NEVER);
	FACT(!vmm_timer_fired(VCPU, 3000000));
	FACT(DONE_(GOOD(CancelAlarm, 0, 0, 0, 0, 0)) && !regs.eax); /* it has fired */
	alarm(LVTT, 500, 0);					    /* past: at once */
	FACT(fake.timer == 500 && vmm_timer_fired(VCPU, 1000000) == VMM_DUE_LVTT);
	alarm(0, 2000000, 0);
	alarm(LVTT, 3000000, 0); /* cancels the one before */
	FACT(fake.timer == 3000000 && vmm_timer_fired(VCPU, 9000000) == VMM_DUE_LVTT);
	alarm(PERIODIC, 2000000, 0); /* period 0: a shot */
	FACT(vmm_timer_fired(VCPU, 2000000) == VMM_DUE_IRQ0 && fake.timer == VMM_NEVER);
	alarm(0, 2000000, 0);
	FACT(DONE_(GOOD(CancelAlarm, 0, 0, 0, 0, 0)) && regs.eax == 1 && fake.timer == VMM_NEVER);
	FACT(!vmm_timer_fired(VCPU, 2000000));
	END("alarms: shots");

	BEGIN;
	alarm(PERIODIC | LVTT, 1000000, 100000);
	FACT(vmm_timer_fired(VCPU, 1000000) == VMM_DUE_LVTT && fake.timer == 1100000);
	FACT(vmm_timer_fired(VCPU, 1100001) == VMM_DUE_LVTT && fake.timer == 1200000);
	FACT(vmm_timer_fired(VCPU, 1599999) == VMM_DUE_LVTT && fake.timer == 1600000);
	FACT(vmm_timer_fired(VCPU, 1600000) == VMM_DUE_LVTT && fake.timer == 1700000);
	FACT(DONE_(GOOD(CancelAlarm, 0, 0, 0, 0, 0)) && regs.eax == 1);
	FACT(DONE_(GOOD(CancelAlarm, 0, 0, 0, 0, 0)) && regs.eax == 0);
	alarm(PERIODIC, 0, 1);
	FACT(vmm_timer_fired(VCPU, 1000000) && fake.timer == 1020000); /* 20 us at least */
	alarm(PERIODIC, 1, ~0ull);
	FACT(vmm_timer_fired(VCPU, 1000000) && fake.timer == VMM_NEVER); /* it wraps: over */
	alarm(PERIODIC, 0, 1ull << 63);
	FACT(vmm_timer_fired(VCPU, 1000000) && fake.timer == 1ull << 63);
	FACT(vmm_timer_fired(VCPU, ~0ull - 1) && fake.timer == VMM_NEVER);
	alarm(PERIODIC, 7, 1000003);
	FACT(vmm_timer_fired(VCPU, ~0ull >> 1) && fake.timer - (~0ull >> 1) <= 1000003 &&
	     (fake.timer - 7) % 1000003 == 0);
	alarm(0, ~0ull, 0);
	FACT(!vmm_timer_fired(VCPU, ~0ull - 2));
	GOOD(CancelAlarm, 0, 0, 0, 0, 0);
	END("alarms: periods");

	BEGIN;
	fake.stolen = 300000;
	alarm(1, 2000000, 0);
	alarm(LVTT, 2200000, 0);
	FACT(fake.timer == 2200000 && vmm_timer_fired(VCPU, 2200000) == VMM_DUE_LVTT);
	FACT(fake.timer == 2300000);
	fake.stolen = 400000;
	FACT(!vmm_timer_fired(VCPU, 2300000) && fake.timer == 2400000);
	FACT(vmm_timer_fired(VCPU, 2400000) == VMM_DUE_IRQ0 && fake.timer == VMM_NEVER);
	alarm(1, ~0ull, 0);
	FACT(fake.timer == VMM_NEVER - 1);
	FACT(DONE_(call(ROW(CancelAlarm), 1, 0, 0, 0, 0)) && regs.eax == 1);
	fake.timers = 0;
	FACT(DONE_(BAD(SetAlarm, 2, 1, 1, 1, 1)) && DONE_(BAD(SetAlarm, 0x1ff, 1, 1, 1, 1)));
	FACT(DONE_(BAD(CancelAlarm, 2, 0, 0, 0, 0)) && !regs.eax && !fake.timers);
	alarm(0, 5, 0);
	vmm_vcpu_reset(VCPU);
	FACT(fake.timer == VMM_NEVER && !vmm_timer_fired(VCPU, 10));
	END("alarms: what is stolen, counters that there are none of");

	start(0, FEATURES, 3);
	BEGIN;
	memset(&time, 0x3c, sizeof(time));
	shared = &VCPU->shared->time;
	version = shared->version;
	vmm_time_update(VCPU, &time);
	FACT(shared->version == version + 2 && !(version & 1));
	FACT(shared->tsc[0] == 0x3c3c3c3c && shared->wall[1] == 0x3c3c3c3c &&
	     shared->multiplier == 0x3c3c3c3c && !shared->wall_version);
	shared->version = 77; /* a guest writes anything */
	vmm_wall_stepped(&vm);
	vmm_time_update(VCPU, &time);
	FACT(shared->version == version + 4 && shared->wall_version == 1);
	own(VMI_HV_DETACH, 0, 0, 0);
	fake_attach_as(3);
	FACT(shared->tsc[0] == 0x3c3c3c3c && shared->version == version + 4);
	fake.cr[2] = 0x9000;
	vmm_refresh(VCPU);
	FACT(VCPU->shared->cr2 == 0x9000);
	END("vmi_shared: time, copies");
}

static char text[8192];

static void put(void *context, const char *part)
{
	(void)context;
	strncat(text, part, sizeof(text) - strlen(text) - 1);
}

static void stats(void)
{
	start(0, FEATURES, 3);
	BEGIN;
	call(ROW(SetCR3), 0x1000, 0, 0, 0, 0);
	call(ROW(SetCR3), 0x2000, 0, 0, 0, 0);
	fake_queue(VCPU, QUEUED(SetPxE), 1, AT(3, 0), 0, 0);
	own(VMI_HV_FLUSH, 0, 0, 0);
	own(0xfff, 0, 0, 0);
	vmm_print_stats(&vm, put, NULL);
	FACT(strstr(text, "vmi: traps          5\n") && strstr(text, "vmi: SetCR3          2\n"));
	FACT(strstr(text, "SetPxE          1\n") && !strstr(text, "GetCR3"));
	FACT(vmm_stats(&vm, VMI_ID_SetCR3) == 2 && vmm_stats(&vm, VMI_CALL_COUNT) == 0);
	FACT(VCPU->counts.traps == 5 && VCPU->counts.refused == 1 && VCPU->counts.flushes == 1);
	FACT(!strcmp(vmm_call_name(VMI_ID_SetPxE), "SetPxE") && !*vmm_call_name(VMI_CALL_COUNT));
	END("statistics");
}

/* ------------------------------------------------------------------------
 * Anything
 */

static u64 seed = 0x9e3779b97f4a7c15ull;

static u32 random32(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (u32)(seed >> 16);
}

/* Now anything, now something near what makes sense. */
static u32 argument(void)
{
	u32 r = random32();

	switch (r & 7) {
	case 0:
		return random32();
	case 1:
		return random32() & 0xff;
	case 2:
		return 0u - (random32() & 0xff);
	case 3:
		return TOP + (random32() & 0xfff);
	case 4:
		return AT(random32() % MEMORY_PAGES, random32() & 0xfff);
	default:
		return AT(random32() % MEMORY_PAGES, random32() & 0xff8);
	}
}

static void anything(u32 vm_flags, u32 features, u32 rounds)
{
	static u8 read_only[PAGE];
	u32 row, i, n, results[4] = { 0 };
	bool same = true;

	BEGIN;
	start(vm_flags, features, 3);
	vm.kernel_ring = 1;
	vm.virtual_top = 0xfc000000;
	for (i = 0; i < PAGE; i++)
		fake.memory[READ_ONLY * PAGE + i] = read_only[i] = (u8)random32();
	for (row = 0; row < VMI_CALL_COUNT; row++)
		for (i = 0; i < rounds; i++) {
			enum vmm_result result;

			vm.revision = (u32[]){ 3, 13, 6, 3 }[random32() & 3];
			fake.refuse = !(random32() & 7);
			fake.pending = random32() & 1;
			fake.real += random32();
			fake.gdt[0] = argument();
			fake.gdt[1] = random32() & 0xffff;
			fake.tr = argument() & 0xffff;
			if (!(random32() & 31))
				VCPU->shared->interrupts = random32();
			for (n = random32() & 31; n < 4 && features & VMI_HV_QUEUE; n++)
				fake_queue(VCPU, VMI_HV_TAG | (random32() % VMI_CALL_COUNT),
					   argument(), argument(), argument(), argument());
			regs.eax = argument();
			regs.ebx = argument();
			regs.ecx = argument();
			regs.edx = argument();
			regs.esi = argument();
			regs.edi = argument();
			regs.esp = argument();
			regs.eip = argument();
			regs.eflags = random32() & 0x3fffd7;
			result = call_regs(row);
			results[result]++;
			if (VCPU->shared != &VCPU->own && !vmm_queue_empty(VCPU)) {
				VCPU->shared->queue_next = VMI_QUEUE_EMPTY; /* it was stopped */
				VCPU->performed = 0;
			}
			if (!(random32() & 7))
				vmm_timer_fired(VCPU, fake.real + random32());
		}
	same = !memcmp(fake.memory + READ_ONLY * PAGE, read_only, PAGE);
	FACT(same);
	for (i = 0; i < PAGE; i++)
		same &= !fake.memory[UNMAPPED * PAGE + i];
	FACT(same && results[VMM_CONTINUE] && results[VMM_STOPPED]);
	END("anything, flags %x, features %x: %u continue, %u again, %u halt, %u stop", vm_flags,
	    features, results[0], results[1], results[2], results[3]);
}

/* Each operation may be missing: calls that need it are not offered, and the others work. */
static void missing(void)
{
	u32 n, row, i, all_calls[8], left[8], lost, optional = 0;
	const u32 count = sizeof(ops) / sizeof(void (*)(void));
	size_t *pointer = (size_t *)(void *)&ops;

	BEGIN;
	ops = fake_ops;
	fake_start(0, 0);
	vmm_calls_possible(&vm, all_calls);
	for (n = 0; n < count; n++) {
		ops = fake_ops;
		if (n == offsetof(struct vmm_ops, page) / sizeof(size_t))
			continue;
		pointer[n] = 0;
		if (!fake_start(0, 0))
			continue;
		vmm_calls_possible(&vm, left);
		for (lost = i = 0; i < 8; i++) {
			FACT(!(left[i] & ~all_calls[i]));
			lost += left[i] != all_calls[i];
		}
		optional += !lost;
		fake_attach_as(3);
		for (row = 0; row < VMI_CALL_COUNT; row++)
			for (i = 0; i < 20; i++) {
				u32 args[5] = { argument(), argument(), argument(), argument(),
						argument() };

				fake.pending = true;
				call(row, args[0], args[1], args[2], args[3], args[4]);
			}
		vmm_timer_fired(VCPU, 1);
		vmm_refresh(VCPU);
		vmm_reset(&vm);
	}
	ops = fake_ops;
	ops.reload_segments = NULL;
	vmm_calls_possible(&vm, left);
	FACT(!(left[ROW(SetLDT) / 32] >> ROW(SetLDT) % 32 & 1));
	FACT(!(left[ROW(SetGDT) / 32] >> ROW(SetGDT) % 32 & 1));
	FACT(left[ROW(GetGDT) / 32] >> ROW(GetGDT) % 32 & 1);
	/* Where the VMM waits for EFLAGS.IF, it need not say what is pending. */
	ops = fake_ops;
	ops.pending = NULL;
	ops.deliver = NULL;
	FACT(fake_start(0, FEATURES | VMI_HV_CPU_IF));
	vmm_calls_possible(&vm, left);
	FACT(!memcmp(left, all_calls, sizeof(left)));
	fake_attach_as(3);
	FACT(call(ROW(Halt), 0, 0, 0, 0, 0) == VMM_HALTED);
	FACT(DONE_(call(ROW(EnableInterrupts), 0, 0, 0, 0, 0)) && regs.eflags & VMI_IF);
	/* physical, kernel_stack, descriptor_ok, stop, attach, detach */
	FACT(optional == 6);
	END("each operation missing: %u do not matter to what is offered", optional);
}

int main(void)
{
	u32 row;

	interface();
	identity();
	tables();
	descriptors();
	kernel_stack();
	control();
	flags(0, "no page");
	flags(FEATURES, "the page's flag");
	flags(FEATURES | VMI_HV_CPU_IF, "both flags");
	delivered_at_once();
	page_tables();
	memory();
	queue();
	ports();
	apic();
	ap_state();
	times();
	stats();
	BEGIN;
	for (row = 0; row < VMI_CALL_COUNT; row++)
		if (!called_well[row]) {
			all = false;
			printf("# %s was never called\n", vmm_call_name(row));
		}
	END("every call was called");
	missing();
	anything(0, 0, 300);
	anything(0, FEATURES, 300);
	anything(VMM_NATIVE_FAULTS, FEATURES | VMI_HV_CPU_IF, 300);
	anything(VMM_DEPRIVILEGED, FEATURES, 300);
	return tap_done();
}
