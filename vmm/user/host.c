/* SPDX-License-Identifier: GPL-2.0-only */
#include <string.h>
#include "host.h"

struct host host;
struct vmm vm;
struct vmm_vcpu vcpu;

static void *page(struct vmm_vcpu *v, u32 linear, bool write)
{
	u32 physical = linear >= HIGH ? linear - HIGH : linear;

	(void)v;
	(void)write;
	return physical < MEMORY_SIZE && (linear >= HIGH || linear >= MEMORY_LOWEST)
		       ? memory + physical
		       : NULL;
}

static void *physical(struct vmm_vcpu *v, u32 address)
{
	(void)v;
	return address < MEMORY_SIZE ? memory + address : NULL;
}

static u32 get_cr(struct vmm_vcpu *v, unsigned int n)
{
	(void)v;
	return processor.cr[n];
}

static bool set_cr(struct vmm_vcpu *v, unsigned int n, u32 value)
{
	(void)v;
	if (n == 0 && !(value & 1)) /* nothing here runs in real mode */
		return false;
	processor.cr[n] = value;
	return true;
}

static u32 get_dr(struct vmm_vcpu *v, unsigned int n)
{
	(void)v;
	return host.dr[n];
}

static bool set_dr(struct vmm_vcpu *v, unsigned int n, u32 value)
{
	(void)v;
	host.dr[n] = value;
	return true;
}

static bool get_msr(struct vmm_vcpu *v, u32 msr, u64 *value)
{
	(void)v;
	*value = host.msr;
	return msr == HOST_MSR;
}

static bool set_msr(struct vmm_vcpu *v, u32 msr, u64 value)
{
	(void)v;
	if (msr == HOST_MSR)
		host.msr = value;
	return msr == HOST_MSR;
}

static void cpuid(struct vmm_vcpu *v, u32 leaf, u32 subleaf, u32 out[4])
{
	(void)v;
	host_cpuid(out, leaf, subleaf);
}

static u64 tsc(struct vmm_vcpu *v)
{
	(void)v;
	return host.clock[VMM_CLOCK_REAL]; /* time stands, in tests */
}

#define TABLE(name)                                                                                \
	static void get_##name(struct vmm_vcpu *v, u32 *base, u32 *limit)                          \
	{                                                                                          \
		(void)v;                                                                           \
		*base = host.name[0];                                                              \
		*limit = host.name[1];                                                             \
	}                                                                                          \
	static void set_##name(struct vmm_vcpu *v, u32 base, u32 limit)                            \
	{                                                                                          \
		(void)v;                                                                           \
		host.name[0] = base;                                                               \
		host.name[1] = limit;                                                              \
	}
TABLE(gdt)
TABLE(idt)

#define SELECTOR(name)                                                                             \
	static u32 get_##name(struct vmm_vcpu *v)                                                  \
	{                                                                                          \
		(void)v;                                                                           \
		return host.name;                                                                  \
	}                                                                                          \
	static bool set_##name(struct vmm_vcpu *v, u32 selector, u64 descriptor)                   \
	{                                                                                          \
		(void)v;                                                                           \
		(void)descriptor;                                                                  \
		host.name = selector;                                                              \
		return true;                                                                       \
	}
SELECTOR(ldt)
SELECTOR(tr)

static bool reload_segments(struct vmm_vcpu *v)
{
	(void)v;
	return true; /* the process's own stay */
}

static void invalidate(struct vmm_vcpu *v, u32 linear)
{
	(void)v;
	(void)linear;
	host.invalidated++;
}

static void flush_tlb(struct vmm_vcpu *v, bool global)
{
	(void)v;
	(void)global;
	host.flushed++;
}

static void announce(struct vmm_vcpu *v, const struct vmm_hint *hint)
{
	(void)v;
	(void)hint;
	host.hints++;
}

static u32 in(struct vmm_vcpu *v, u32 port, unsigned int bytes)
{
	(void)v;
	(void)bytes;
	return host.port_value ^ port;
}

static void out(struct vmm_vcpu *v, u32 port, unsigned int bytes, u32 value)
{
	(void)v;
	(void)bytes;
	host.port_value = value ^ port;
}

static bool pending(struct vmm_vcpu *v)
{
	(void)v;
	return host.irq;
}

/* A handler that is over before the guest's next instruction. */
static void deliver(struct vmm_vcpu *v, struct vmm_regs *regs)
{
	(void)v;
	(void)regs;
	host.taken++;
	host.irq = false;
}

static u64 clock_now(struct vmm_vcpu *v, enum vmm_clock which)
{
	(void)v;
	return host.clock[which];
}

static void set_timer(struct vmm_vcpu *v, u64 deadline)
{
	(void)v;
	host.deadline = deadline;
}

static u32 apic_read(struct vmm_vcpu *v, u32 offset)
{
	(void)v;
	return host.apic[offset / 16];
}

static void apic_write(struct vmm_vcpu *v, u32 offset, u32 value)
{
	(void)v;
	host.apic[offset / 16] = value;
}

static void set_ap_state(struct vmm_vcpu *v, u32 apic_id, const struct vmi_ap_state *state)
{
	(void)v;
	(void)state;
	host.ap_id = apic_id;
}

static void wbinvd(struct vmm_vcpu *v)
{
	(void)v;
}

static void reboot(struct vmm_vcpu *v, bool hard)
{
	(void)v;
	(void)hard;
	host.rebooted = true;
}

static void shut_down(struct vmm_vcpu *v)
{
	(void)v;
	host.shut_down = true;
}

static void stop(struct vmm_vcpu *v, const char *reason)
{
	(void)v;
	strncpy(host.reason, reason, sizeof(host.reason) - 1);
}

static bool attach(struct vmm_vcpu *v, u32 address)
{
	(void)v;
	return machine_map_area(address);
}

static void detach(struct vmm_vcpu *v)
{
	(void)v;
	machine_map_area(0);
}

static const struct vmm_ops ops = {
	.page = page,
	.physical = physical,
	.get_cr = get_cr,
	.set_cr = set_cr,
	.get_dr = get_dr,
	.set_dr = set_dr,
	.get_msr = get_msr,
	.set_msr = set_msr,
	.cpuid = cpuid,
	.tsc = tsc,
	.get_gdt = get_gdt,
	.set_gdt = set_gdt,
	.get_idt = get_idt,
	.set_idt = set_idt,
	.get_ldt = get_ldt,
	.set_ldt = set_ldt,
	.get_tr = get_tr,
	.set_tr = set_tr,
	.reload_segments = reload_segments,
	.invalidate = invalidate,
	.flush_tlb = flush_tlb,
	.announce = announce,
	.in = in,
	.out = out,
	.pending = pending,
	.deliver = deliver,
	.clock = clock_now,
	.set_timer = set_timer,
	.apic_read = apic_read,
	.apic_write = apic_write,
	.set_ap_state = set_ap_state,
	.wbinvd = wbinvd,
	.reboot = reboot,
	.shutdown = shut_down,
	.stop = stop,
	.attach = attach,
	.detach = detach,
};

_Static_assert(sizeof(struct vmm_regs) == offsetof(struct regs, ds), "they begin alike");

void host_reset(u32 features)
{
	machine_map_area(0);
	memset(&host, 0, sizeof(host));
	memset(&vm, 0, sizeof(vm));
	memset(&vcpu, 0, sizeof(vcpu));
	vm.ops = &ops;
	vm.transports = VMI_HV_OUT;
	vm.port = 0xe4;
	vm.features = features;
	vm.leaf = VMI_HV_LEAF_FIRST;
	memset(vm.wanted, 0xff, sizeof(vm.wanted));
	vcpu.vm = &vm;
	vcpu.area = features & VMI_HV_SHARED ? area : NULL;
	host.deadline = VMM_NEVER;
	if (!vmm_init(&vm) || !vmm_vcpu_init(&vcpu))
		bail("vmm_init");
}

bool host_trap(struct regs *regs, u32 transport, u32 operand)
{
	struct vmm_regs r;

	if (!(transport & vm.transports) || operand != (transport == VMI_HV_OUT	  ? vm.port
							: transport == VMI_HV_INT ? vm.vector
										  : 0))
		return false;
	memcpy(&r, regs, sizeof(r));
	host.result = vmm_call(&vcpu, &r);
	memcpy(regs, &r, sizeof(r));
	if (host.result == VMM_STOPPED || host.result == VMM_HALTED)
		run_stop();
	return true;
}

void host_cpuid(u32 r[4], u32 leaf, u32 subleaf)
{
	processor_cpuid(r, leaf, subleaf);
	if (leaf >= VMI_HV_LEAF_FIRST && leaf <= VMI_HV_LEAF_LAST + 0xff)
		vmm_cpuid(&vm, leaf, r);
}
