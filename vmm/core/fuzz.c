/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The core as a target of libFuzzer: an input is a sequence of calls, each with its registers
 * and what the guest has written to the queue before.
 *
 *	clang -O2 -g -fsanitize=fuzzer,address,undefined -Iinclude -o fuzz
 *		vmm/core/{core,calls,time,stats,fuzz}.c
 *	./fuzz -len_control=0 -max_len=2048 -max_total_time=60 CORPUS
 *
 * (stat::calls at the end is how many.)
 *
 * An input, after two bytes (flags and features of the VM, revision): records. The
 * first byte says what follows: a call's number, and how many registers, from a table of what
 * often makes sense, or of 4 bytes.
 */
#include "fake.h"

struct input {
	const u8 *at, *end;
};

static u32 byte(struct input *input)
{
	return input->at < input->end ? *input->at++ : 0;
}

static u32 value(struct input *input)
{
	u32 kind = byte(input), v = 0;

	switch (kind & 7) {
	case 0:
		return kind >> 3;
	case 1:
		return 0u - (kind >> 3);
	case 2:
		return AT(kind >> 4 & 15, (byte(input) << 4) | (kind >> 3 & 1) << 3);
	case 3:
		return AT(kind >> 4 & 15, byte(input) | (kind >> 3 & 1) << 11);
	case 4:
		return TOP + 0xf00 + byte(input);
	case 5:
		return (kind >> 3) << 3;
	case 6:
		return (byte(input) << 8 | byte(input)) << (kind >> 3 & 16);
	}
	memcpy(&v, input->at, (size_t)(input->end - input->at) < 4 ? 0 : 4);
	input->at += (size_t)(input->end - input->at) < 4 ? 0 : 4;
	return v;
}

static void registers(struct input *input)
{
	u32 which = byte(input);
	u32 *reg[] = { &regs.eax, &regs.edx, &regs.ecx, &regs.esi,
		       &regs.edi, &regs.ebx, &regs.esp, &regs.eflags };
	u32 i;

	for (i = 0; i < 8; i++)
		if (which >> i & 1)
			*reg[i] = value(input);
}

/* In the order of what the byte does; the calls are the rest. */
enum { QUEUE_CALL = 0xf0, QUEUE_RAW, QUEUE_NEXT, SHARED_RAW, TIMER, MACHINE, DESCRIPTOR, FLUSH };

static unsigned long long calls;

static void report(void)
{
	fprintf(stderr, "stat::calls:                    %llu\n", calls);
}

static enum vmm_result step(struct input *input)
{
	u8 *shared = (u8 *)VCPU->shared;
	u32 what = byte(input), a, b;
	enum vmm_result result = VMM_CONTINUE;

	if (what >= QUEUE_CALL && what <= SHARED_RAW && VCPU->shared == &VCPU->own)
		return result; /* no guest sees that one */

	switch (what) {
	case QUEUE_CALL:
		a = VMI_HV_TAG | byte(input);
		registers(input);
		fake_queue(VCPU, a, regs.eax, regs.edx, regs.ecx, regs.esi);
		break;
	case QUEUE_RAW:
		a = VMI_SHARED_QUEUE + (byte(input) | byte(input) << 8) % 0x3000;
		shared[a] = (u8)byte(input);
		break;
	case QUEUE_NEXT:
		VCPU->shared->queue_next = (vmi_s32)value(input);
		break;
	case SHARED_RAW:
		a = byte(input);
		if (a < sizeof(struct vmi_shared))
			shared[a] = (u8)byte(input);
		break;
	case TIMER:
		fake.real += value(input);
		fake.stolen += value(input) & 0xffff;
		vmm_timer_fired(VCPU, fake.real);
		break;
	case MACHINE:
		a = byte(input);
		fake.refuse = a & 1;
		fake.pending = a & 2;
		if (a & 4)
			vmm_set_pending(VCPU);
		if (a & 8)
			fake.tr = value(input) & 0xffff;
		if (a & 16)
			fake.gdt[0] = value(input);
		if (a & 32)
			vmm_wall_stepped(&vm);
		if (a & 64)
			vmm_vcpu_reset(VCPU);
		if (a & 128)
			fake.cr[4] ^= 8;
		break;
	case DESCRIPTOR:
		a = value(input);
		b = value(input);
		fake.gdt[0] = AT(1, 0);
		memcpy(fake.memory + PAGE + (a & 0xf8), &b, 4);
		b = value(input);
		memcpy(fake.memory + PAGE + (a & 0xf8) + 4, &b, 4);
		break;
	case FLUSH:
		calls++;
		result = vmm_flush(VCPU);
		break;
	default:
		/* Numbers of the interface's own, and such that there are none of. */
		regs.ebp = VMI_HV_TAG | (what >= 0xe0 ? VMI_HV_INFO + (what & 15) : what);
		registers(input);
		result = vmm_call(VCPU, &regs);
		calls++;
	}
	return result;
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return atexit(report);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static const u32 features[] = { FEATURES, 0, FEATURES | VMI_HV_CPU_IF, VMI_HV_SHARED };
	struct input input = { data, data + size };
	u32 how = byte(&input), i;

	ops = fake_ops;
	if (how & 16)
		ops.descriptor_ok = NULL;
	if (how & 32)
		ops.kernel_stack = NULL;
	if (how & 64)
		ops.entry_written = NULL;
	if (!fake_start(how & 3, features[how >> 2 & 3]))
		abort();
	vm.kernel_ring = 1;
	vm.virtual_top = how & 128 ? 0 : 0xfc000000;
	fake_attach_as((u32[]){ 3, 13, 6, 3 }[byte(&input) & 3]);
	while (input.at < input.end) {
		if (step(&input) == VMM_STOPPED) { /* go on with another guest */
			VCPU->queued = false;
			vmm_vcpu_reset(VCPU);
		}
	}
	for (i = 0; i < PAGE; i++)
		if (fake.memory[READ_ONLY * PAGE + i] || fake.memory[UNMAPPED * PAGE + i])
			abort();
	return 0;
}
