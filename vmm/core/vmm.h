/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The VMM's half of VMI, for any VMM: what each call means, against a small
 * table of operations on a vCPU that the VMM supplies.
 *
 * The files: this header, core.h, those of core.mk, include/vmi_abi.h. They need
 * a C11 compiler for x86, 32 bits (i586) or 64, and nothing else: no libc, no
 * allocation, no floating point, no variables but those of struct vmm and struct
 * vmm_vcpu. What a VMM does:
 *
 *	1. Fill in struct vmm (the part above the line) and call vmm_init();
 *	   vmm_vcpu_init() for each vCPU.
 *	2. Answer CPUID leaves by vmm_cpuid(), where it can.
 *	3. At a trap (VMCALL, VMMCALL, OUT to its port, INT) copy the registers to a
 *	   struct vmm_regs, call vmm_call(), copy them back, and do what the result says.
 *	4. Where it has VMI_HV_SHARED: vmm_set_pending(), vmm_entered_gate(),
 *	   vmm_interrupt_flag(), vmm_time_update(), vmm_refresh() at the times that they name.
 *
 * Nothing that a guest sends is believed. A guest error has one of three outcomes:
 * that which the interface defines (often: nothing happens), as the native stub has
 * it; or the call is refused, and the native stub runs into the processor's own
 * fault; or the guest is stopped with a line that says why (vmm_ops.stop).
 *
 * One thread a vCPU, and the guest does not run on it meanwhile. vmm_init, vmm_reset,
 * ATTACH and DETACH concern all vCPUs: guests do the latter two while one runs.
 *
 * Calls are switched one by one (vmm.wanted). What belongs together: the calls about
 * the interrupt flag, with IRET, SYSEXIT, Halt and their like; the calls about time.
 * A VMM that queues page-table writes takes SetCR3, InvalPage, FlushTLB* and the calls that
 * read or exchange an entry, too.
 */
#ifndef VMM_H
#define VMM_H

#include <stdbool.h>
#include <stddef.h>
#include "vmi_abi.h"

struct vmm;
struct vmm_vcpu;

/*
 * The guest's registers at a trap from its ring 0 (or kernel_ring), which the VMM
 * has checked. eip is behind the trap. In eflags comes back what the guest asked for,
 * and CF: IF and IOPL are the VMM's to confine.
 */
struct vmm_regs {
	vmi_u32 eax, ecx, edx, ebx, esp, ebp, esi, edi, eip, eflags;
};

/* What to do with the vCPU. */
enum vmm_result {
	VMM_CONTINUE, /* resume it at eip */
	VMM_AGAIN,    /* resume it at the trap: the rest of a long REP, after interrupts */
	VMM_HALTED,   /* resume it at eip, once it has an interrupt to take */
	VMM_STOPPED,  /* never resume it: vmm_ops.stop, reboot or shutdown has been called */
};

/* Clocks: nanoseconds. */
enum vmm_clock {
	VMM_CLOCK_REAL,	  /* since the machine started; never goes back */
	VMM_CLOCK_STOLEN, /* that this vCPU wanted to run and did not */
	VMM_CLOCK_WALL,	  /* since 1970, UTC */
};

/* No deadline. */
#define VMM_NEVER (~0ull)

/* Wirings that are due: vmm_timer_fired(). */
#define VMM_DUE_IRQ0 1 /* raise IRQ 0 */
#define VMM_DUE_LVTT 2 /* the vector in the local APIC's LVTT, unless masked there */

/* A hint about page tables or descriptor tables: vmm_ops.announce. */
struct vmm_hint {
	enum vmi_call call;
	vmi_u32 a, d, c, s1, s2; /* its arguments: those that its column in names */
};

/*
 * The operations. All are called from the functions below that take a vCPU, on that vCPU's
 * thread (set_timer by vmm_reset(), too, for each), unless said otherwise. One that is NULL makes the calls that need it
 * impossible: they are not offered, and refused. page is the only one that must be there.
 *
 * Those that return bool: false is a guest error; the call has the outcome that
 * the interface defines. They have changed nothing then.
 */
struct vmm_ops {
	/*
	 * The host's address of the byte at a linear address of the guest, by the guest's
	 * page tables as they are now, as CPL 0 may access it (write: CR0.WP counts, A and
	 * D are set). The rest of its 4 KiB page follows it, and is used until vmm_call() or
	 * vmm_flush() returns, or set_cr is called. NULL: not mapped, or not RAM. Must never
	 * show what is not the guest's memory.
	 */
	void *(*page)(struct vmm_vcpu *, vmi_u32 linear, bool write);
	/* The same of a guest-physical address. SetInitialAPState of 13.x. */
	void *(*physical)(struct vmm_vcpu *, vmi_u32 physical);

	/*
	 * Control registers: 0, 2, 3, 4; the guest's view. set_cr does what the MOV does, with
	 * the TLB too; false: a value that would fault. n is valid.
	 */
	vmi_u32 (*get_cr)(struct vmm_vcpu *, unsigned int n);
	bool (*set_cr)(struct vmm_vcpu *, unsigned int n, vmi_u32 value);
	/* Debug registers 0 to 3, 6, 7. */
	vmi_u32 (*get_dr)(struct vmm_vcpu *, unsigned int n);
	bool (*set_dr)(struct vmm_vcpu *, unsigned int n, vmi_u32 value);
	/* false: no such MSR or value. The call is refused: the guest's own instruction faults. */
	bool (*get_msr)(struct vmm_vcpu *, vmi_u32 msr, vmi_u64 *value);
	bool (*set_msr)(struct vmm_vcpu *, vmi_u32 msr, vmi_u64 value);
	void (*cpuid)(struct vmm_vcpu *, vmi_u32 leaf, vmi_u32 subleaf, vmi_u32 out[4]);
	vmi_u64 (*tsc)(struct vmm_vcpu *);

	/* Descriptor tables, the guest's view. base is linear. */
	void (*get_gdt)(struct vmm_vcpu *, vmi_u32 *base, vmi_u32 *limit);
	void (*set_gdt)(struct vmm_vcpu *, vmi_u32 base, vmi_u32 limit);
	void (*get_idt)(struct vmm_vcpu *, vmi_u32 *base, vmi_u32 *limit);
	void (*set_idt)(struct vmm_vcpu *, vmi_u32 base, vmi_u32 limit);
	/*
	 * LDTR and TR. set_*: the selector's descriptor is given, checked: present, and of its
	 * type (an LDT; an available TSS, which the core marks busy in memory afterwards). A null
	 * selector for LDTR comes with 0.
	 */
	vmi_u32 (*get_ldt)(struct vmm_vcpu *);
	bool (*set_ldt)(struct vmm_vcpu *, vmi_u32 selector, vmi_u64 descriptor);
	vmi_u32 (*get_tr)(struct vmm_vcpu *);
	bool (*set_tr)(struct vmm_vcpu *, vmi_u32 selector, vmi_u64 descriptor);
	/* All segment registers, CS too, from the tables again; false: a selector would fault. */
	bool (*reload_segments)(struct vmm_vcpu *);
	/*
	 * May the guest have this descriptor (WriteGDTEntry, WriteLDTEntry, WriteIDTEntry)? It
	 * may be altered. NULL: any; with VMM_DEPRIVILEGED, what is said there.
	 */
	bool (*descriptor_ok)(struct vmm_vcpu *, enum vmi_call call, vmi_u64 *descriptor);
	/*
	 * SS0 and ESP0 of the TSS in TR. NULL: the one in memory. (13.x names its TSS, and the
	 * core has written ESP0 there by now.)
	 */
	bool (*kernel_stack)(struct vmm_vcpu *, vmi_u32 ss0, vmi_u32 esp0);

	/* Translations of one page; all (global: those of global pages, too). */
	void (*invalidate)(struct vmm_vcpu *, vmi_u32 linear);
	void (*flush_tlb)(struct vmm_vcpu *, bool global);
	/*
	 * An entry was written by the core (SetPxE and the like), or by the guest
	 * (UpdatePxE*). bytes: 4 or 8; flags: VMI_PAGE_*, 0 where the revision has none.
	 * NULL: nobody keeps shadows of the guest's page tables.
	 */
	void (*entry_written)(struct vmm_vcpu *, vmi_u32 linear, unsigned int bytes, vmi_u32 flags);
	/*
	 * Hints: AllocatePage, ReleasePage, RegisterPage*, ClonePage*, SetLinearMapping,
	 * UpdateGDT, UpdateIDT, UpdateLDT, UpdateIOBitmap, UpdateInterruptBitmap. Slots and
	 * flags are known ones, ranges do not wrap; numbers of page frames are unchecked.
	 */
	void (*announce)(struct vmm_vcpu *, const struct vmm_hint *);

	/* Ports; bytes: 1, 2, 4. */
	vmi_u32 (*in)(struct vmm_vcpu *, vmi_u32 port, unsigned int bytes);
	void (*out)(struct vmm_vcpu *, vmi_u32 port, unsigned int bytes, vmi_u32 value);

	/*
	 * This one and deliver: not used where VMI_HV_CPU_IF. Is there an interrupt that the vCPU
	 * would take if its flag were set?
	 */
	bool (*pending)(struct vmm_vcpu *);
	/*
	 * The flag was set, and something is pending: enter its handler as the processor does,
	 * by changing regs and the guest's stack or by injection at the next entry (and then
	 * vmm_entered_gate). vmi_shared.pending was cleared: what is left over calls for
	 * vmm_set_pending again.
	 */
	void (*deliver)(struct vmm_vcpu *, struct vmm_regs *);

	vmi_u64 (*clock)(struct vmm_vcpu *, enum vmm_clock which);
	/*
	 * The one timer of this vCPU: call vmm_timer_fired() when VMM_CLOCK_REAL is at or beyond
	 * deadline, soon if it is already; VMM_NEVER: not at all. Replaces the one before.
	 */
	void (*set_timer)(struct vmm_vcpu *, vmi_u64 deadline);

	/* Local APIC; offset: a multiple of 16 up to 3f0. Both or none. */
	vmi_u32 (*apic_read)(struct vmm_vcpu *, vmi_u32 offset);
	void (*apic_write)(struct vmm_vcpu *, vmi_u32 offset, vmi_u32 value);
	/*
	 * The state, checked, in which the CPU with that APIC ID starts at its next STARTUP IPI,
	 * however that is sent. It replaces the one before. NULL: as on the bare machine. There
	 * may be no such CPU.
	 */
	void (*set_ap_state)(struct vmm_vcpu *, vmi_u32 apic_id, const struct vmi_ap_state *);

	/* Caches; INVD does it as well. */
	void (*wbinvd)(struct vmm_vcpu *);
	void (*reboot)(struct vmm_vcpu *, bool hard);
	/* This vCPU is done; the last one powers the machine off. */
	void (*shutdown)(struct vmm_vcpu *);
	/* The guest has done what it must not; reason: a line. The VM is not to run again. */
	void (*stop)(struct vmm_vcpu *, const char *reason);

	/*
	 * ATTACH: map vmm_vcpu.area of each vCPU at this guest-physical address, for that vCPU
	 * alone, VMI_SHARED_SIZE bytes; only that it is a multiple of 4 KiB below 4 GiB is
	 * checked. false: refuse. vmm_refresh() on the other vCPUs is the VMM's, from here on.
	 * detach: give the guest its own memory back; what other vCPUs have queued is
	 * lost, and their flag is EFLAGS.IF alone. One vCPU at a time is in either, while others
	 * may run.
	 */
	bool (*attach)(struct vmm_vcpu *, vmi_u32 physical);
	void (*detach)(struct vmm_vcpu *);
};

/* vmm.flags */

/*
 * The guest's kernel runs in ring kernel_ring, below virtual_top. Without a
 * vmm_ops.descriptor_ok, code and data descriptors get that DPL if they have a lower
 * one, and a limit below virtual_top; any other that is present stops the guest.
 */
#define VMM_DEPRIVILEGED 1
/*
 * A pointer that is not mapped, a selector that would fault: refuse the call, so that the
 * guest's native stub runs into the fault, as the bare machine has it. Otherwise the
 * guest is stopped. Deferred calls stop it always.
 */
#define VMM_NATIVE_FAULTS 2

_Static_assert(VMI_CALL_COUNT <= 256, "VMI_HV_INFO has a bit for 256 rows");

struct vmm {
	/* The VMM fills in, before vmm_init(). */
	const struct vmm_ops *ops;
	void *context;	      /* the VMM's own */
	vmi_u32 flags;	      /* VMM_* */
	vmi_u32 transports;   /* VMI_HV_VMCALL ... */
	vmi_u32 port, vector; /* of VMI_HV_OUT, VMI_HV_INT */
	vmi_u32 features;     /* VMI_HV_SHARED ... */
	vmi_u32 wanted[8];    /* calls, a bit each, as leaf 2 has them; vmm_want() */
	vmi_u32 kernel_ring;  /* VMM_DEPRIVILEGED */
	vmi_u32 virtual_top;  /* likewise; 0: 4 GiB */
	vmi_u32 leaf;	      /* first CPUID leaf, VMI_HV_LEAF_FIRST + n * STEP; 0: none */
	vmi_u32 version;      /* 0: VMI_HV_VERSION */
	vmi_u64 period_least; /* ns, of periodic alarms; 0: 20,000 */

	/* ---- The core's. */
	vmi_u32 calls[8];	     /* wanted and possible: offered */
	vmi_u8 rows[VMI_CALL_COUNT]; /* core.h: ROW_*; 0 while not attached */
	bool attaching;		     /* or detaching */
	bool virtual_flag; /* vmi_shared.interrupts is the guest's interrupt flag: VMMs may read it */
	vmi_u32 attached; /* 0, or the version agreed on */
	vmi_u32 revision; /* of the guest: 3, 13, 6 */
	vmi_u32 shared;	  /* guest-physical address of the areas; valid with VMI_HV_SHARED */
	vmi_u32 wall_version, wall_seen;
	struct vmm_vcpu *vcpus; /* vmm_vcpu.next: the last one first */
};

struct vmm_alarm {
	bool armed, lvtt;
	vmi_u64 expiry; /* of its counter, ns */
	vmi_u64 period; /* 0: one shot */
};

struct vmm_counts {
	vmi_u32 traps;	 /* vmm_call(), of any number */
	vmi_u32 refused; /* of these */
	vmi_u32 flushes; /* of a queue that was not empty */
	vmi_u32 queued;	 /* calls that came through the queue */
	vmi_u32 call[VMI_CALL_COUNT];
};

struct vmm_vcpu {
	/* The VMM fills in, before vmm_vcpu_init(). */
	struct vmm *vm;
	void *context; /* the VMM's own */
	/*
	 * VMI_SHARED_SIZE bytes, 4 KiB aligned, that the guest will have mapped; NULL where
	 * there is no VMI_HV_SHARED. The core initializes it.
	 */
	void *area;

	/* ---- The core's. */
	struct vmm_vcpu *next;
	struct vmi_shared *shared; /* area while attached; otherwise own */
	vmi_u32 number;
	vmi_u32 cached; /* linear address of the page that host shows, | 1: none */
	unsigned char *host;
	vmi_u32 performed;    /* entries of the queue since it was last empty */
	vmi_u32 time_version; /* of shared->time: even */
	bool queued;	      /* in a deferred call */
	struct vmm_alarm alarm[2];
	struct vmm_counts counts;
	struct vmi_shared own;
	char reason[96];
};

/* Which calls the operations suffice for. Only vmm->ops and features need to be there. */
void vmm_calls_possible(const struct vmm *vm, vmi_u32 calls[8]);
/* Add a call to wanted, or take it away; call is a row of the table. */
void vmm_want(struct vmm *vm, enum vmi_call call, bool want);
/*
 * False: the configuration contradicts itself (a transport without its number, a feature
 * without what it needs).
 */
bool vmm_init(struct vmm *vm);
/* The next vCPU, in order of number: its state as after reset, interrupts off. */
bool vmm_vcpu_init(struct vmm_vcpu *vcpu);

/*
 * The vCPU was reset (INIT): interrupts off, nothing queued, no alarms. vmm_refresh() once its
 * registers are what they are then.
 */
void vmm_vcpu_reset(struct vmm_vcpu *vcpu);
/* The machine was reset: not attached, every vCPU reset. The VMM has unmapped the areas itself. */
void vmm_reset(struct vmm *vm);

/* A trap. regs->eip is behind it; comes back with CF in regs->eflags as vmi_abi.h says. */
enum vmm_result vmm_call(struct vmm_vcpu *vcpu, struct vmm_regs *regs);
/*
 * Perform what the vCPU has queued: before the VMM itself reads the guest's tables; not from
 * an operation. The queue need not be empty then: a handler may have interrupted the guest
 * while it wrote an entry.
 */
enum vmm_result vmm_flush(struct vmm_vcpu *vcpu);
/*
 * A page fault of the guest. VMM_AGAIN: calls that were queued have been performed, the
 * lack of which may have been the cause: resume the guest where it was. VMM_CONTINUE: the
 * fault is the guest's. VMI_HV_DEFER asks for this on all vCPUs: the others do not run meanwhile.
 */
enum vmm_result vmm_page_fault(struct vmm_vcpu *vcpu);
static inline bool vmm_queue_empty(const struct vmm_vcpu *vcpu)
{
	return vcpu->shared->queue_next == VMI_QUEUE_EMPTY;
}

/* VMI_HV_INFO: leaf n. False: there is none, and out is 0. */
bool vmm_info(const struct vmm *vm, vmi_u32 n, vmi_u32 out[4]);
/* The same for CPUID. False: not one of this VM's leaves. Order: EAX EBX ECX EDX. */
bool vmm_cpuid(const struct vmm *vm, vmi_u32 leaf, vmi_u32 out[4]);

/* The guest's interrupt flag: VMI_IF or 0. eflags: the vCPU's own, at the time. */
static inline vmi_u32 vmm_interrupt_flag(const struct vmm_vcpu *vcpu, vmi_u32 eflags)
{
	const struct vmm *vm = vcpu->vm;

	if (!vm->virtual_flag)
		return eflags & VMI_IF;
	eflags = vm->features & VMI_HV_CPU_IF ? eflags : VMI_IF;
	return __atomic_load_n(&vcpu->shared->interrupts, __ATOMIC_RELAXED) & eflags & VMI_IF;
}

/*
 * EFLAGS as the frame of an exception or interrupt should have them. Where VMI_HV_CPU_IF the
 * vCPU's own may be set to that at any exit; with something waiting they have to be: it is
 * delivered, or IF is clear then and tells when to look again.
 */
static inline vmi_u32 vmm_frame_flags(const struct vmm_vcpu *vcpu, vmi_u32 eflags)
{
	return (eflags & ~(vmi_u32)VMI_IF) | vmm_interrupt_flag(vcpu, eflags);
}

/*
 * Something waits; not where VMI_HV_CPU_IF, and only while vmm.virtual_flag: otherwise
 * EFLAGS.IF alone tells, as ever, also after detach of what was waiting before. True: the guest's flag is set, and the guest
 * may have looked at pending already: deliver it. What comes from another thread first
 * makes the vCPU exit: until then the guest's store to the flag may be in its processor only,
 * as its load of pending may be done.
 */
static inline bool vmm_set_pending(struct vmm_vcpu *vcpu)
{
	__atomic_store_n(&vcpu->shared->pending, 1, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&vcpu->shared->interrupts, __ATOMIC_SEQ_CST) != 0;
}

/*
 * The vCPU enters a handler through a gate, and its frame has vmm_frame_flags() by now; clears:
 * an interrupt gate. Where VMI_HV_CPU_IF, EFLAGS.IF alone is the handler's flag.
 */
static inline void vmm_entered_gate(struct vmm_vcpu *vcpu, bool clears)
{
	if (vcpu->vm->virtual_flag && (vcpu->vm->features & VMI_HV_CPU_IF))
		__atomic_store_n(&vcpu->shared->interrupts, VMI_IF, __ATOMIC_SEQ_CST);
	else if (clears)
		__atomic_store_n(&vcpu->shared->interrupts, 0, __ATOMIC_SEQ_CST);
}

/*
 * A control register, LDTR or TR changed, but by the core's set_*: copy them for Get*. That is
 * at INIT, a start in a state of SetInitialAPState, CR2 at a page fault, and every load that
 * the VMM emulates. Behind
 * vmm_flush(): a queued SetCR2, SetCR3 or SetCR4 shows already.
 */
void vmm_refresh(struct vmm_vcpu *vcpu);
/*
 * New time parameters, VMI_HV_TIME: before the vCPU first runs, when the TSC is another one or
 * another rate's, and whenever it ran again after time was stolen. version and wall_version
 * are the core's.
 */
void vmm_time_update(struct vmm_vcpu *vcpu, const struct vmi_shared_time *time);
/*
 * The wall clock was stepped against the real one: WallclockUpdated says it once. With
 * VMI_HV_TIME, vmm_time_update() for every vCPU next, before any of them runs.
 */
void vmm_wall_stepped(struct vmm *vm);
/*
 * The timer. now: VMM_CLOCK_REAL. Returns VMM_DUE_*, for an interrupt each, and has called
 * set_timer for what is next.
 */
vmi_u32 vmm_timer_fired(struct vmm_vcpu *vcpu, vmi_u64 now);

/* Counts of a call: all vCPUs. */
vmi_u32 vmm_stats(const struct vmm *vm, enum vmi_call call);
/* What was counted, in lines of text, through put. */
void vmm_print_stats(const struct vmm *vm, void (*put)(void *context, const char *text),
		     void *context);
/* The call's name; "" for numbers that are none. */
const char *vmm_call_name(vmi_u32 call);

#endif /* VMM_H */
