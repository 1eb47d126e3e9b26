/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every call twice from the same state: through the stub, with what it answers
 * itself, queues, or traps with; and by vmm_call(), which says what it means. Both
 * must come to the same.
 */
#include <stdlib.h>
#include <string.h>
#include "host.h"

static struct call call;

struct state {
	struct host host;
	struct processor processor;
	struct vmm vm;
	struct vmm_vcpu vcpu;
	u8 area[VMI_SHARED_SIZE];
	u8 scratch[SCRATCH_SIZE];
};

static struct state *before, *by_stub, *by_core;

static void save(struct state *s)
{
	s->host = host;
	s->processor = processor;
	s->vm = vm;
	s->vcpu = vcpu;
	memcpy(s->area, area, sizeof(s->area));
	memcpy(s->scratch, memory + SCRATCH, sizeof(s->scratch));
}

static void restore(const struct state *s)
{
	host = s->host;
	processor = s->processor;
	vm = s->vm;
	vcpu = s->vcpu;
	memcpy(area, s->area, sizeof(s->area));
	memcpy(memory + SCRATCH, s->scratch, sizeof(s->scratch));
}

/* NULL, or where they differ. The queue is not what a call comes to. */
static const char *differs(const struct state *a, const struct state *b)
{
	if (memcmp(&a->host, &b->host, sizeof(a->host)))
		return "what the VMM was told";
	if (memcmp(&a->processor, &b->processor, sizeof(a->processor)))
		return "the processor";
	if (memcmp(a->area, b->area, VMI_SHARED_QUEUE))
		return "the shared area";
	if (memcmp(a->scratch, b->scratch, SCRATCH_SIZE))
		return "memory";
	if (memcmp(a->vcpu.alarm, b->vcpu.alarm, sizeof(a->vcpu.alarm)))
		return "an alarm";
	return NULL;
}

static bool is_frame(u32 id)
{
	u32 convention = record(id)->convention & 0xf;

	return convention == VMI_CONV_JUMP || convention == VMI_CONV_EXIT;
}

static u32 noted;

enum outcome { SAME, REFUSED, DIFFERENT };

static enum outcome once(u32 id, u32 defer)
{
	u32 entry = guest_entry(id, HIGH), i;
	enum ended ended;
	struct vmm_regs regs;
	enum vmm_result result;
	const char *why = NULL;

	call_prepare(&call, id, HIGH);
	call.before.eflags &= ~(u32)FLAG_CF; /* it is the answer's */
	for (i = 0; i < 64; i++)
		((u32 *)(HIGH + SCRATCH))[i * 0x100] = random32();
	host.irq = random32() & 1;
	vcpu.shared->pending = host.irq;
	vcpu.shared->interrupts = random32() & VMI_IF;
	vcpu.shared->defer = defer;
	save(before);

	/* What the core does, and whether it wants to. */
	memcpy(&regs, &call.before, sizeof(regs));
	regs.ebp = VMI_HV_TAG | id;
	if (record(id)->in & VMI_S1)
		regs.esi = call.stack[0];
	if (record(id)->in & VMI_S2)
		regs.edi = call.stack[1];
	result = vmm_call(&vcpu, &regs);
	if (regs.eflags & FLAG_CF)
		return REFUSED;
	host.result = VMM_CONTINUE;
	save(by_core);
	restore(before);

	ended = call_run(&call, entry);
	if (ended == ENDED_FAULT)
		why = "a fault";
	else if ((ended == ENDED_STOP) != (result == VMM_HALTED || result == VMM_STOPPED))
		why = "one of the two stopped";
	else if (vmm_flush(&vcpu) != VMM_CONTINUE && result == VMM_CONTINUE)
		why = "what was queued";
	host.result = VMM_CONTINUE;
	save(by_stub);
	if (!why)
		why = differs(by_core, by_stub);
	if (!why && ended == ENDED_RETURN)
		for (i = 0; i < 6; i++)
			if ((record(id)->out & VMI_A << i) &&
			    ((u32 *)&regs)[register_of(i)] != ((u32 *)&call.after)[register_of(i)])
				why = "a result";
	if (!why && ended == ENDED_RETURN)
		why = call_broke(&call, record(id)->out);
	if (why && noted++ < 20)
		note("%s(%#x, %#x, %#x): %s; stub %#x %#x, core %#x %#x", call_name(id),
		     call.before.eax, call.before.edx, call.before.ecx, why, call.after.eax,
		     call.after.edx, regs.eax, regs.edx);
	restore(before);
	return why ? DIFFERENT : SAME;
}

static void all(u32 features)
{
	const struct vmi_shared_time time = { .system = { 12345, 6 }, .wall = { 7, 8 } };
	u32 id, i, same = 0, refused = 0, different = 0;

	noted = 0;
	processor_reset();
	host_reset(features);
	machine_load(loaded);
	if (!guest_post_quick() || !guest_init_ring3(HIGH)) {
		ok(false, "%s: the core is attached", loaded->name);
		return;
	}
	/* Time stands. */
	host.clock[VMM_CLOCK_REAL] = 12345 + (6ull << 32);
	host.clock[VMM_CLOCK_WALL] = host.clock[VMM_CLOCK_REAL] + 7 + (8ull << 32);
	if (features & VMI_HV_TIME)
		vmm_time_update(&vcpu, &time);
	host.gdt[0] = HIGH + SCRATCH + 0x10000;
	host.gdt[1] = 0xff;
	for (id = 0; id < VMI_CALL_COUNT; id++) {
		u32 outcomes[3] = { 0, 0, 0 };
		bool trap =
			vm.calls[id / 32] >> id % 32 & 1 && guest_entry(id, HIGH) && !is_frame(id);

		if (VMI_IS_IRQ_CALL(id) && !(features & VMI_HV_SHARED))
			trap = false; /* it is native */
		for (i = 0; trap && i < 32; i++)
			outcomes[once(id, i & 7)]++;
		if (outcomes[DIFFERENT])
			different++;
		else if (outcomes[SAME])
			same++;
		else if (outcomes[REFUSED])
			refused++;
	}
	note("%s, features %#x: %u calls as the core has them, %u always refused", loaded->name,
	     features, same, refused);
	ok(!different && same > 50, "%s, features %#x: stubs come to what the core says",
	   loaded->name, features);
}

void check_results(void)
{
	static const u32 features[] = {
		0,
		VMI_HV_SHARED,
		VMI_HV_SHARED | VMI_HV_QUEUE,
		VMI_HV_SHARED | VMI_HV_QUEUE | VMI_HV_DEFER | VMI_HV_TIME,
	};
	u32 i;

	if (!before) {
		before = malloc(sizeof(*before));
		by_stub = malloc(sizeof(*by_stub));
		by_core = malloc(sizeof(*by_core));
		if (!before || !by_stub || !by_core)
			bail("no memory");
	}
	hook_trap = host_trap;
	hook_cpuid = host_cpuid;
	guest_port = 0xe4;
	privileged = true;
	for (i = 0; i < sizeof(features) / sizeof(*features); i++)
		all(features[i]);
	hook_trap = NULL;
	hook_cpuid = NULL;
	privileged = false;
}
