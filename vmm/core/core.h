/* SPDX-License-Identifier: GPL-2.0-only */
/* What the core's own files share. */
#ifndef VMM_CORE_H
#define VMM_CORE_H

#include "vmm.h"

typedef vmi_u8 u8;
typedef vmi_u32 u32;
typedef vmi_u64 u64;

#define PAGE 0x1000u
#define EFLAGS_CF 0x1u
#define EFLAGS_DF 0x400u
#define EFLAGS_IOPL 0x3000u

typedef enum vmm_result vmm_handler(struct vmm_vcpu *vcpu, struct vmm_regs *regs);

/* By row. Needs: up to three operations as indices in struct vmm_ops, a byte each, 0: none. */
extern vmm_handler *const vmm_handlers[VMI_CALL_COUNT];
extern const u32 vmm_needs[VMI_CALL_COUNT];
#define OP_INDEX(op) ((u32)(offsetof(struct vmm_ops, op) / sizeof(void *)))
#define LEFT_TO_ROM ~0u

/* vmm.rows: the call is offered; it may wait in the queue. */
#define ROW_ACTIVE 1
#define ROW_DEFERRED 2

static inline bool bit_of(const u32 bits[8], u32 n)
{
	return bits[n >> 5] >> (n & 31) & 1;
}

/* Outcomes. The names of the call and of the argument go into the reason. */
enum vmm_result core_refuse(struct vmm_vcpu *vcpu, struct vmm_regs *regs);
enum vmm_result core_stop(struct vmm_vcpu *vcpu, u32 call, const char *what, u32 value,
			  const char *why);
/* As the processor would fault: refused or stopped, as VMM_NATIVE_FAULTS says. */
enum vmm_result core_fault(struct vmm_vcpu *vcpu, struct vmm_regs *regs, const char *what,
			   u32 value, const char *why);

/* Where UpdateKernelStack may write without a trap (vmi_shared.tss); tr: what TR holds now. */
void core_find_tss(struct vmm_vcpu *vcpu, u32 tr);

static inline void core_drop_page(struct vmm_vcpu *vcpu)
{
	vcpu->cached = 1;
}

/* The host's address of what does not reach into the next page, to be written; or NULL. */
void *core_page_slow(struct vmm_vcpu *vcpu, u32 linear);
static inline void *core_page(struct vmm_vcpu *vcpu, u32 linear)
{
	if (__builtin_expect(vcpu->cached == (linear & ~(PAGE - 1)), 1))
		return vcpu->host + (linear & (PAGE - 1));
	return core_page_slow(vcpu, linear);
}

/* An entry of 4 or 8 bytes likewise: aligned. */
static inline void *core_entry(struct vmm_vcpu *vcpu, u32 ptep, u32 bytes)
{
	return ptep & (bytes - 1) ? NULL : core_page(vcpu, ptep);
}

/* In one access, whatever the host's word is. */
static inline u64 core_exchange_long(u64 *entry, u64 new)
{
#if __SIZEOF_POINTER__ == 8
	return __atomic_exchange_n(entry, new, __ATOMIC_SEQ_CST);
#else
	u64 old = *(volatile u64 *)entry;
	u32 tries;
	u8 same;

	/* Another vCPU that writes all the time does not hold up the VMM. */
	for (tries = 1u << 16; tries; tries--) {
		__asm__ volatile("lock cmpxchg8b %1"
				 : "+A"(old), "+m"(*entry), "=@ccz"(same)
				 : "b"((u32) new), "c"((u32)(new >> 32))
				 : "memory");
		if (same)
			break;
	}
	return old;
#endif
}

static inline void core_store_long(u64 *entry, u64 value)
{
#if __SIZEOF_POINTER__ == 8
	__atomic_store_n(entry, value, __ATOMIC_RELAXED);
#else
	core_exchange_long(entry, value);
#endif
}

/* Copy, all or nothing; false: not mapped, or it wraps. */
bool core_read(struct vmm_vcpu *vcpu, u32 linear, void *to, u32 bytes);
bool core_write(struct vmm_vcpu *vcpu, u32 linear, const void *from, u32 bytes);
bool core_writable(struct vmm_vcpu *vcpu, u32 linear, u32 bytes);
void core_copy(void *to, const void *from, u32 bytes);

/* What waits, where the guest has to ask. Elsewhere the VMM waits for EFLAGS.IF. */
bool core_pending(struct vmm_vcpu *vcpu);
/* The guest's interrupt flag was set: enter the handler of what waits. False: nothing does. */
bool core_deliver(struct vmm_vcpu *vcpu, struct vmm_regs *regs);

void core_alarm_set(struct vmm_vcpu *vcpu, u32 flags, u64 expiry, u64 period);
bool core_alarm_cancel(struct vmm_vcpu *vcpu, u32 flags);
void core_alarm_reset(struct vmm_vcpu *vcpu);

#endif /* VMM_CORE_H */
