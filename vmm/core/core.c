/* SPDX-License-Identifier: GPL-2.0-only */
/* From a trap to the function of its call: configuration, guest memory, the queue. */
#include "core.h"

/* ------------------------------------------------------------------------
 * Outcomes
 */

enum vmm_result core_refuse(struct vmm_vcpu *vcpu, struct vmm_regs *regs)
{
	regs->eflags |= EFLAGS_CF;
	vcpu->counts.refused++;
	return VMM_CONTINUE;
}

static char *append(char *to, const char *end, const char *text)
{
	while (*text && to < end)
		*to++ = *text++;
	*to = 0;
	return to;
}

enum vmm_result core_stop(struct vmm_vcpu *vcpu, u32 call, const char *what, u32 value,
			  const char *why)
{
	const char *end = vcpu->reason + sizeof(vcpu->reason) - 1;
	char *to = append(vcpu->reason, end, call < VMI_CALL_COUNT ? vmm_call_name(call) : "queue");
	char hex[9];
	u32 i;

	for (i = 0; i < 8; i++)
		hex[i] = "0123456789abcdef"[value >> (28 - 4 * i) & 15];
	hex[8] = 0;
	to = append(to, end, ": ");
	to = append(to, end, what);
	to = append(to, end, " ");
	to = append(to, end, hex);
	to = append(to, end, " ");
	append(to, end, why);
	if (vcpu->vm->ops->stop)
		vcpu->vm->ops->stop(vcpu, vcpu->reason);
	return VMM_STOPPED;
}

enum vmm_result core_fault(struct vmm_vcpu *vcpu, struct vmm_regs *regs, const char *what,
			   u32 value, const char *why)
{
	if ((vcpu->vm->flags & VMM_NATIVE_FAULTS) && !vcpu->queued)
		return core_refuse(vcpu, regs);
	return core_stop(vcpu, regs->ebp & VMI_HV_NUMBER_MASK, what, value, why);
}

/* ------------------------------------------------------------------------
 * Guest memory
 */

/* A loop that no compiler makes a call of memcpy. */
void core_copy(void *to, const void *from, u32 bytes)
{
	const u8 *f = from;
	u8 *t = to;

	while (bytes--) {
		*t++ = *f++;
		__asm__ volatile("" : : : "memory");
	}
}

void *core_page_slow(struct vmm_vcpu *vcpu, u32 linear)
{
	u8 *host = vcpu->vm->ops->page(vcpu, linear, true);

	if (host) {
		vcpu->cached = linear & ~(PAGE - 1);
		vcpu->host = host - (linear & (PAGE - 1));
	}
	return host;
}

/* At most two pages. */
static bool copy_guest(struct vmm_vcpu *vcpu, u32 linear, void *buffer, u32 bytes, bool write)
{
	u32 first = PAGE - (linear & (PAGE - 1));
	u8 *host, *second = NULL;

	if (first > bytes)
		first = bytes;
	if (linear + bytes - 1 < linear)
		return false;
	host = vcpu->vm->ops->page(vcpu, linear, write);
	if (!host)
		return false;
	if (first < bytes) {
		second = vcpu->vm->ops->page(vcpu, linear + first, write);
		if (!second)
			return false;
	}
	if (write) {
		core_copy(host, buffer, first);
		core_copy(second, (u8 *)buffer + first, bytes - first);
	} else {
		core_copy(buffer, host, first);
		core_copy((u8 *)buffer + first, second, bytes - first);
	}
	return true;
}

bool core_read(struct vmm_vcpu *vcpu, u32 linear, void *to, u32 bytes)
{
	return copy_guest(vcpu, linear, to, bytes, false);
}

bool core_writable(struct vmm_vcpu *vcpu, u32 linear, u32 bytes)
{
	u32 last = linear + bytes - 1;

	return last >= linear && vcpu->vm->ops->page(vcpu, linear, true) &&
	       ((linear ^ last) < PAGE || vcpu->vm->ops->page(vcpu, last, true));
}

bool core_write(struct vmm_vcpu *vcpu, u32 linear, const void *from, u32 bytes)
{
	return copy_guest(vcpu, linear, (void *)(size_t)from, bytes, true);
}

/* ------------------------------------------------------------------------
 * Configuration
 */

static const u8 defer_class[VMI_CALL_COUNT] = {
#define VMI_X(name, n3, n13, n6, type, args, in, out, clobber, conv, seg, defer, text) (defer),
	/* clang-format off */
	VMI_CALLS(VMI_X)
#undef VMI_X
	/* clang-format on */
};

static bool has_op(const struct vmm_ops *ops, u32 index)
{
	/* A structure of pointers to functions: their types do not matter to NULL. */
	return !index || *((const size_t *)(const void *)ops + index);
}
_Static_assert(sizeof(struct vmm_ops) % sizeof(size_t) == 0 &&
		       sizeof(size_t) == sizeof(void (*)(void)),
	       "operations can be counted");

void vmm_calls_possible(const struct vmm *vm, u32 calls[8])
{
	u32 i, needs;

	for (i = 0; i < 8; i++)
		calls[i] = 0;
	for (i = 0; i < VMI_CALL_COUNT; i++) {
		needs = vmm_needs[i];
		if (vm->features & VMI_HV_CPU_IF && VMI_IS_IRQ_CALL(i))
			needs = 0;
		if (needs != LEFT_TO_ROM && has_op(vm->ops, needs & 0xff) &&
		    has_op(vm->ops, needs >> 8 & 0xff) && has_op(vm->ops, needs >> 16 & 0xff))
			calls[i >> 5] |= 1u << (i & 31);
	}
}

void vmm_want(struct vmm *vm, enum vmi_call call, bool want)
{
	u32 mask = 1u << (call & 31);

	if ((u32)call >= VMI_CALL_COUNT)
		return;
	vm->wanted[call >> 5] &= ~mask;
	if (want)
		vm->wanted[call >> 5] |= mask;
}

static void set_active(struct vmm *vm, bool on)
{
	u32 i;

	for (i = 0; i < VMI_CALL_COUNT; i++) {
		vm->rows[i] = 0;
		if (on && bit_of(vm->calls, i))
			vm->rows[i] = vm->features & VMI_HV_QUEUE && defer_class[i]
					      ? ROW_ACTIVE | ROW_DEFERRED
					      : ROW_ACTIVE;
	}
	vm->virtual_flag = (vm->features & VMI_HV_SHARED) && vm->rows[VMI_ID_EnableInterrupts];
}

bool vmm_init(struct vmm *vm)
{
	u32 i;

	if (!vm->ops || !vm->ops->page || !vm->transports ||
	    (vm->transports & VMI_HV_OUT && (!vm->port || vm->port > 0xff)) ||
	    (vm->transports & VMI_HV_INT && vm->vector > 0xff) ||
	    (vm->features & VMI_HV_SHARED && (!vm->ops->attach || !vm->ops->detach)) ||
	    (vm->features & (VMI_HV_QUEUE | VMI_HV_TIME | VMI_HV_CPU_IF | VMI_HV_DEFER) &&
	     !(vm->features & VMI_HV_SHARED)))
		return false;
	if (!vm->version)
		vm->version = VMI_HV_VERSION;
	if (!vm->period_least)
		vm->period_least = 20000;
	vmm_calls_possible(vm, vm->calls);
	for (i = 0; i < 8; i++)
		vm->calls[i] &= vm->wanted[i];
	vm->attached = vm->revision = vm->shared = 0;
	vm->attaching = false;
	vm->wall_version = vm->wall_seen = 0;
	vm->vcpus = NULL;
	set_active(vm, false);
	return true;
}

static void shared_reset(struct vmm_vcpu *vcpu)
{
	struct vmi_shared *shared = vcpu->shared;

	/* Where EFLAGS.IF counts, too, it alone does until the guest's first call. */
	shared->interrupts = vcpu->vm->features & VMI_HV_CPU_IF ? VMI_IF : 0;
	shared->pending = 0;
	shared->queue_next = VMI_QUEUE_EMPTY;
	shared->defer = 0;
	shared->vcpu = vcpu->number;
	vcpu->performed = 0;
}

static void clear(void *at, u32 bytes)
{
	size_t words = bytes / 4; /* all of RCX */

	__asm__ volatile("rep stosl" : "+D"(at), "+c"(words) : "a"(0) : "memory");
}

bool vmm_vcpu_init(struct vmm_vcpu *vcpu)
{
	struct vmm *vm = vcpu->vm;

	if (vm->features & VMI_HV_SHARED && (!vcpu->area || (size_t)vcpu->area & (PAGE - 1)))
		return false;
	clear(&vcpu->next, sizeof(*vcpu) - offsetof(struct vmm_vcpu, next));
	vcpu->next = vm->vcpus;
	vcpu->number = vm->vcpus ? vm->vcpus->number + 1 : 0;
	vm->vcpus = vcpu;
	vcpu->shared = &vcpu->own;
	vmm_vcpu_reset(vcpu);
	return true;
}

void vmm_vcpu_reset(struct vmm_vcpu *vcpu)
{
	core_drop_page(vcpu);
	vcpu->queued = false;
	if (vcpu->shared != &vcpu->own)
		clear((u8 *)vcpu->shared + VMI_SHARED_QUEUE, VMI_SHARED_SIZE - VMI_SHARED_QUEUE);
	shared_reset(vcpu);
	vcpu->shared->tss = 0;
	core_alarm_reset(vcpu);
}

static void detach(struct vmm *vm)
{
	struct vmm_vcpu *vcpu;

	set_active(vm, false);
	vm->attached = 0;
	for (vcpu = vm->vcpus; vcpu; vcpu = vcpu->next)
		vcpu->shared = &vcpu->own;
}

void vmm_reset(struct vmm *vm)
{
	struct vmm_vcpu *vcpu;

	detach(vm);
	for (vcpu = vm->vcpus; vcpu; vcpu = vcpu->next)
		vmm_vcpu_reset(vcpu);
}

void vmm_refresh(struct vmm_vcpu *vcpu)
{
	const struct vmm_ops *ops = vcpu->vm->ops;
	struct vmi_shared *shared = vcpu->shared;

	if (ops->get_cr) {
		shared->cr0 = ops->get_cr(vcpu, 0);
		shared->cr2 = ops->get_cr(vcpu, 2);
		shared->cr3 = ops->get_cr(vcpu, 3);
		shared->cr4 = ops->get_cr(vcpu, 4);
	}
	if (ops->get_ldt)
		shared->ldt = ops->get_ldt(vcpu);
	if (ops->get_tr) {
		shared->tr = ops->get_tr(vcpu);
		core_find_tss(vcpu, shared->tr);
	}
}

/* ------------------------------------------------------------------------
 * The interface's own numbers
 */

#define INFO_LAST 3

bool vmm_info(const struct vmm *vm, u32 n, u32 out[4])
{
	u32 i;

	for (i = 0; i < 4; i++)
		out[i] = 0;
	switch (n) {
	case VMI_HV_INFO_SIGNATURE:
		out[0] = INFO_LAST;
		out[1] = VMI_HV_SIGNATURE_EBX;
		out[2] = VMI_HV_SIGNATURE_ECX;
		out[3] = VMI_HV_SIGNATURE_EDX;
		return true;
	case VMI_HV_INFO_VERSION:
		out[0] = vm->version;
		out[1] = vm->transports;
		out[2] = vm->port | vm->vector << 8;
		out[3] = vm->features;
		return true;
	case VMI_HV_INFO_CALLS:
	case VMI_HV_INFO_CALLS + 1:
		for (i = 0; i < 4; i++)
			out[i] = vm->calls[(n - VMI_HV_INFO_CALLS) * 4 + i];
		return true;
	}
	return false;
}

bool vmm_cpuid(const struct vmm *vm, u32 leaf, u32 out[4])
{
	if (!vmm_info(vm, vm->leaf ? leaf - vm->leaf : ~0u, out))
		return false;
	if (leaf == vm->leaf)
		out[0] += leaf;
	return true;
}

static enum vmm_result info(struct vmm_vcpu *vcpu, struct vmm_regs *regs)
{
	u32 out[4];

	if (!vmm_info(vcpu->vm, regs->eax, out))
		return core_refuse(vcpu, regs);
	regs->eax = out[0];
	regs->ebx = out[1];
	regs->ecx = out[2];
	regs->edx = out[3];
	return VMM_CONTINUE;
}

/* The virtual flag is in EFLAGS.IF again. */
static void let_go(struct vmm_vcpu *vcpu, struct vmm_regs *regs)
{
	struct vmm *vm = vcpu->vm;

	regs->eflags = vmm_frame_flags(vcpu, regs->eflags);
	if (vm->ops->detach)
		vm->ops->detach(vcpu);
	detach(vm);
}

static enum vmm_result leave(struct vmm_vcpu *vcpu, struct vmm_regs *regs)
{
	enum vmm_result result;

	if (!vcpu->vm->attached)
		return core_refuse(vcpu, regs);
	result = vmm_flush(vcpu);
	if (result == VMM_CONTINUE)
		let_go(vcpu, regs);
	return result;
}

/* Something may have come before there was a place to say so: the guest has to ask. */
static void area_start(struct vmm_vcpu *vcpu)
{
	clear(vcpu->area, VMI_SHARED_SIZE);
	vcpu->shared = vcpu->area;
	shared_reset(vcpu);
	vcpu->shared->pending = !vcpu->shared->interrupts;
	core_copy(&vcpu->shared->time, &vcpu->own.time, sizeof(vcpu->own.time));
}

/*
 * Init again, maybe on another CPU, finds the others in the middle of something: only
 * where it differs, a guest that was attached is detached by then, whatever the VMM says
 * to the new address.
 */
static enum vmm_result attach(struct vmm_vcpu *vcpu, struct vmm_regs *regs)
{
	struct vmm *vm = vcpu->vm;
	bool shared = vm->features & VMI_HV_SHARED;
	u32 version = regs->eax < vm->version ? regs->eax : vm->version;
	u32 at = shared ? regs->edx : 0, flag = vmm_interrupt_flag(vcpu, regs->eflags);
	struct vmm_vcpu *v;

	if (version >> 16 != vm->version >> 16 || regs->eax >> 16 != version >> 16 ||
	    (regs->ecx != 3 && regs->ecx != 13 && regs->ecx != 6))
		return core_refuse(vcpu, regs);
	if (shared && (!at || (at & (PAGE - 1)) || at > 0u - VMI_SHARED_SIZE))
		return core_refuse(vcpu, regs);
	if (vm->attached == version && vm->revision == regs->ecx && vm->shared == at) {
		if (shared)
			area_start(vcpu);
	} else {
		if (vm->attached)
			let_go(vcpu, regs);
		for (v = vm->vcpus; v && shared; v = v->next)
			area_start(v);
		if (shared && !vm->ops->attach(vcpu, at)) {
			for (v = vm->vcpus; v; v = v->next)
				v->shared = &v->own;
			return core_refuse(vcpu, regs);
		}
		vm->shared = at;
		vm->revision = regs->ecx;
		vm->attached = version;
		set_active(vm, true);
	}
	vmm_refresh(vcpu);
	/* Enabled or not, as before. */
	if (!(vm->features & VMI_HV_CPU_IF) || regs->eflags & VMI_IF)
		vcpu->shared->interrupts = flag;
	if (vm->ops->pending)
		vcpu->shared->pending = !vcpu->shared->interrupts && core_pending(vcpu);
	regs->eax = version;
	return VMM_CONTINUE;
}

static enum vmm_result own_number(struct vmm_vcpu *vcpu, struct vmm_regs *regs)
{
	struct vmm *vm = vcpu->vm;
	enum vmm_result result;

	if (regs->ebp == (VMI_HV_TAG | VMI_HV_INFO))
		return info(vcpu, regs);
	if (regs->ebp == (VMI_HV_TAG | VMI_HV_ATTACH) ||
	    regs->ebp == (VMI_HV_TAG | VMI_HV_DETACH)) {
		/* One at a time: what another vCPU asks for meanwhile is refused. */
		if (__atomic_exchange_n(&vm->attaching, true, __ATOMIC_ACQUIRE))
			return core_refuse(vcpu, regs);
		result = regs->ebp == (VMI_HV_TAG | VMI_HV_ATTACH) ? attach(vcpu, regs)
								   : leave(vcpu, regs);
		__atomic_store_n(&vm->attaching, false, __ATOMIC_RELEASE);
		return result;
	}
	if (!vm->attached)
		return core_refuse(vcpu, regs);
	switch (regs->ebp) {
	case VMI_HV_TAG | VMI_HV_FLUSH:
		return vmm_flush(vcpu);
	case VMI_HV_TAG | VMI_HV_DELIVER:
		core_deliver(vcpu, regs);
		return VMM_CONTINUE;
	}
	return core_refuse(vcpu, regs);
}

bool core_pending(struct vmm_vcpu *vcpu)
{
	const struct vmm *vm = vcpu->vm;

	return !(vm->features & VMI_HV_CPU_IF) && vm->ops->pending && vm->ops->pending(vcpu);
}

bool core_deliver(struct vmm_vcpu *vcpu, struct vmm_regs *regs)
{
	const struct vmm_ops *ops = vcpu->vm->ops;

	if (!vmm_interrupt_flag(vcpu, regs->eflags) || !ops->deliver)
		return false;
	__atomic_store_n(&vcpu->shared->pending, 0, __ATOMIC_SEQ_CST);
	if (!core_pending(vcpu))
		return false;
	ops->deliver(vcpu, regs);
	return true;
}

/* ------------------------------------------------------------------------
 * Calls
 */

static enum vmm_result handle(struct vmm_vcpu *vcpu, struct vmm_regs *regs, u32 row)
{
	vcpu->counts.call[row]++;
	return vmm_handlers[row](vcpu, regs);
}

static __attribute__((noinline)) enum vmm_result rare(struct vmm_vcpu *vcpu, struct vmm_regs *regs,
						      u32 row)
{
	enum vmm_result result;

	if (row >= VMI_CALL_COUNT)
		return own_number(vcpu, regs);
	if (!vcpu->vm->rows[row])
		return core_refuse(vcpu, regs);
	result = vmm_flush(vcpu);
	return result == VMM_CONTINUE ? handle(vcpu, regs, row) : result;
}

enum vmm_result vmm_call(struct vmm_vcpu *vcpu, struct vmm_regs *regs)
{
	u32 row = regs->ebp ^ VMI_HV_TAG;

	vcpu->counts.traps++;
	regs->eflags &= ~EFLAGS_CF;
	core_drop_page(vcpu);
	if (row < VMI_CALL_COUNT && vcpu->vm->rows[row] && vmm_queue_empty(vcpu))
		return handle(vcpu, regs, row);
	return rare(vcpu, regs, row);
}

/* What a device may write meanwhile is not read again. */
static inline u32 once(const vmi_u32 *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static inline bool perform(struct vmm_vcpu *vcpu, struct vmm_regs *regs,
			   const struct vmi_queued *entry)
{
	u32 row = regs->ebp ^ VMI_HV_TAG;

	if (row >= VMI_CALL_COUNT || !(vcpu->vm->rows[row] & ROW_DEFERRED)) {
		core_stop(vcpu, ~0u, "call", regs->ebp, "is not one that may wait");
		return false;
	}
	regs->eax = once(&entry->eax);
	regs->edx = once(&entry->edx);
	regs->ecx = once(&entry->ecx);
	regs->esi = once(&entry->esi);
	return handle(vcpu, regs, row) == VMM_CONTINUE;
}

/* What a page-table write comes to where nobody keeps shadows. False: not that simple. */
static inline bool plain_write(struct vmm_vcpu *vcpu, u32 call, const struct vmi_queued *entry)
{
	u32 eax = once(&entry->eax), edx = once(&entry->edx), ecx = once(&entry->ecx);
	void *pte;

	if (call == (VMI_HV_TAG | VMI_ID_SetPxE)) {
		pte = core_entry(vcpu, edx, 4);
		if (!pte)
			return false;
		__atomic_store_n((u32 *)pte, eax, __ATOMIC_RELAXED);
		vcpu->counts.call[VMI_ID_SetPxE]++;
		return true;
	}
	if (call == (VMI_HV_TAG | VMI_ID_SetPxELong)) {
		pte = core_entry(vcpu, ecx, 8);
		if (!pte)
			return false;
		core_store_long(pte, (u64)edx << 32 | eax);
		vcpu->counts.call[VMI_ID_SetPxELong]++;
		return true;
	}
	return false;
}

/*
 * Every slot that was reserved becomes valid once, and is performed once: when so
 * many were performed, the queue is empty. Before that a writer is still about
 * one of them, in code that the guest's handler has interrupted.
 */
enum vmm_result vmm_flush(struct vmm_vcpu *vcpu)
{
	const struct vmm *vm = vcpu->vm;
	/* Once: another vCPU may detach, and vmm_vcpu.own has no queue behind it. */
	struct vmi_shared *shared = __atomic_load_n(&vcpu->shared, __ATOMIC_RELAXED);
	vmi_s32 next = __atomic_load_n(&shared->queue_next, __ATOMIC_ACQUIRE);
	u32 call, n, performed = 0;
	bool plain = !vm->ops->entry_written &&
		     (vm->rows[VMI_ID_SetPxE] & vm->rows[VMI_ID_SetPxELong] & ROW_DEFERRED);
	struct vmi_queued *entry, *end;
	struct vmm_regs regs;
	bool done = true;

	if (next == VMI_QUEUE_EMPTY)
		return VMM_CONTINUE;
	if (next < VMI_QUEUE_EMPTY || next % VMI_QUEUED_SIZE)
		return core_stop(vcpu, ~0u, "queue_next", (u32)next,
				 "is not where an entry begins");
	if (next > 0)
		next = 0;
	n = (u32)(next - VMI_QUEUE_EMPTY) / VMI_QUEUED_SIZE;
	vcpu->counts.flushes++;
	core_drop_page(vcpu);
	entry = (struct vmi_queued *)(void *)((u8 *)shared + VMI_SHARED_QUEUE);
	regs.ebx = regs.esp = regs.edi = regs.eip = regs.eflags = 0;
	vcpu->queued = true;
	for (end = entry + n; entry < end && done; entry++) {
		call = __atomic_load_n(&entry->call, __ATOMIC_ACQUIRE);
		if (!call)
			continue;
		entry->call = 0;
		performed++;
		regs.ebp = call;
		done = (plain && plain_write(vcpu, call, entry)) || perform(vcpu, &regs, entry);
	}
	vcpu->queued = false;
	vcpu->counts.queued += performed;
	vcpu->performed += performed;
	if (!done)
		return VMM_STOPPED;
	if (vcpu->performed >= n) {
		vcpu->performed = 0;
		next = VMI_QUEUE_EMPTY;
	}
	__atomic_store_n(&shared->queue_next, next, __ATOMIC_RELEASE);
	return VMM_CONTINUE;
}

enum vmm_result vmm_page_fault(struct vmm_vcpu *vcpu)
{
	u32 before = vcpu->counts.queued;
	enum vmm_result result = vmm_flush(vcpu);

	return result == VMM_CONTINUE && vcpu->counts.queued != before ? VMM_AGAIN : result;
}
