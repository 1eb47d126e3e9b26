/* SPDX-License-Identifier: GPL-2.0-only */
/* What was counted. */
#include "core.h"

static const char *const names[VMI_CALL_COUNT] = {
#define VMI_X(name, n3, n13, n6, type, args, in, out, clobber, conv, seg, defer, text) #name,
	/* clang-format off */
	VMI_CALLS(VMI_X)
#undef VMI_X
	/* clang-format on */
};

const char *vmm_call_name(u32 call)
{
	return call < VMI_CALL_COUNT ? names[call] : "";
}

u32 vmm_stats(const struct vmm *vm, enum vmi_call call)
{
	const struct vmm_vcpu *vcpu;
	u32 sum = 0;

	if ((u32)call < VMI_CALL_COUNT)
		for (vcpu = vm->vcpus; vcpu; vcpu = vcpu->next)
			sum += vcpu->counts.call[call];
	return sum;
}

struct sink {
	void (*put)(void *context, const char *text);
	void *context;
};

static void line(const struct sink *sink, const char *name, u32 value)
{
	char text[48], *end = text + sizeof(text) - 1, *at = end;

	*at = 0;
	*--at = '\n';
	do {
		*--at = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	while (end - at < 12)
		*--at = ' ';
	sink->put(sink->context, "vmi: ");
	sink->put(sink->context, name);
	sink->put(sink->context, at);
}

void vmm_print_stats(const struct vmm *vm, void (*put)(void *context, const char *text),
		     void *context)
{
	struct sink sink = { put, context };
	u32 traps = 0, refused = 0, flushes = 0, queued = 0, i, n;
	const struct vmm_vcpu *vcpu;

	for (vcpu = vm->vcpus; vcpu; vcpu = vcpu->next) {
		traps += vcpu->counts.traps;
		refused += vcpu->counts.refused;
		flushes += vcpu->counts.flushes;
		queued += vcpu->counts.queued;
	}
	line(&sink, "traps", traps);
	line(&sink, "refused", refused);
	line(&sink, "flushes", flushes);
	line(&sink, "calls from the queue", queued);
	for (i = 0; i < VMI_CALL_COUNT; i++) {
		n = vmm_stats(vm, (enum vmi_call)i);
		if (n)
			line(&sink, names[i], n);
	}
}
