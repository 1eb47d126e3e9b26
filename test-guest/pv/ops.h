/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The operations table: what a kernel does to the machine that it may not be alone on.
 * native.c fills it with the processor's own instructions, vmi.c from the ROM.
 *
 * The kernel calls an operation as pv_NAME(). That is a call site:
 *
 *	call *pv_ops + offset		6 bytes, before them maybe a NOP
 *
 * with the arguments in EAX, EDX, ECX and on the stack, and a struct pv_site says where it is.
 * It works as it stands; who knows something better for this host writes it there.
 */
#ifndef PV_OPS_H
#define PV_OPS_H

/* Offsets for entry.S, checked below. */
#define PV_IRET 0
#define PV_SYSEXIT 4

#ifndef __ASSEMBLER__

#include "guest.h"

#define PV VMI_REGPARM

struct pv_ops {
	/* Jumped to: return from an interrupt; enable interrupts and SYSEXIT. */
	void (*iret)(void);
	void (*sysexit)(void);

	/* Interrupts. These four lose no register but their result. Of the flags only IF counts. */
	PV u32 (*save_fl)(void);
	PV void (*restore_fl)(u32 flags);
	PV void (*irq_disable)(void);
	PV void (*irq_enable)(void);
	PV void (*safe_halt)(void); /* enable interrupts and wait for one, atomically */

	/* The processor */
	void (*cpuid)(void); /* EAX, ECX to EAX, EBX, ECX, EDX */
	PV void (*wrmsr)(u64 value, u32 msr);
	PV u32 (*read_cr0)(void);
	PV void (*write_cr0)(u32 value);
	PV u32 (*read_cr2)(void);
	PV u32 (*read_cr3)(void);
	PV void (*write_cr3)(u32 value);
	PV u32 (*read_cr4)(void);
	PV void (*load_gdt)(const struct vmi_dtr *dtr);
	PV void (*load_idt)(const struct vmi_dtr *dtr);
	PV void (*load_ldt)(u32 selector);
	PV void (*load_tr)(u32 selector);
	PV void (*write_gdt_entry)(void *table, u32 index, u32 low, u32 high);
	PV void (*write_idt_entry)(void *table, u32 index, u32 low, u32 high);
	PV void (*load_esp0)(void *tss, u32 esp0);
	PV void (*outb)(u8 value, u32 port);
	PV u8 (*inb)(u32 unused, u32 port);
	PV void (*io_delay)(void);

	/* Page tables. flags: VMI_PAGE_*, and what the revision calls these (below) */
	PV void (*set_pte)(u32 entry, void *at, u32 flags);
	PV void (*set_pte_long)(u64 entry, void *at, u32 flags);
	PV void (*alloc_page)(u32 pfn, u32 flags, u32 clone_pfn, u32 first, u32 count);
	PV void (*release_page)(u32 pfn, u32 flags);
	PV void (*set_linear_mapping)(u32 slot, u32 linear, u32 pages, u32 pfn);
	PV void (*flush_tlb)(u32 how);
	PV void (*flush_tlb_single)(u32 linear);

	/* Until the next call, page-table writes (VMI_LAZY_MMU) or what else a context
	   switch does (VMI_LAZY_CPU) may wait. */
	PV void (*set_lazy_mode)(u32 mode);

	/* Time */
	PV u64 (*cycle_frequency)(void);
	PV u64 (*cycle_counter)(u32 counter);
	PV void (*set_alarm)(u32 flags, u64 expiry, u64 period);
	PV u32 (*cancel_alarm)(u32 flags);
	PV u64 (*wallclock)(void); /* nanoseconds since 1970 */

	/* The local APIC, by register offset */
	PV void (*apic_write)(u32 offset, u32 value);
	PV u32 (*apic_read)(u32 offset);

	/* What is no site: a CPU starts at a function, on a stack. false: it does not. */
	bool (*start_cpu)(u32 apic_id, void (*function)(void), u32 esp);
	u32 table_kind, directory_kind, pointers_kind; /* flags of alloc_page, release_page */
	u32 zeroed, clone; /* more of alloc_page's; 0: the host is not told */
	u32 current_as;	   /* of set_pte: VMI_PAGE_CURRENT_AS | VMI_PAGE_VA_MASK; 0: no such flag */
};

extern struct pv_ops pv_ops;

_Static_assert(offsetof(struct pv_ops, iret) == PV_IRET, "entry.S");
_Static_assert(offsetof(struct pv_ops, sysexit) == PV_SYSEXIT, "entry.S");

#define PV_OP(name) (offsetof(struct pv_ops, name) / 4)
#define PV_OPS PV_OP(start_cpu)

struct pv_site {
	u32 address;
	u8 op; /* PV_OP() */
	u8 size;
	u16 live; /* VMI_A ... VMI_DI: still needed behind it, if it is no result */
};
extern const struct pv_site pv_sites[], pv_sites_end[];

/* ------------------------------------------------------------------------
 * Call sites
 */

/* clang-format off */
#define PV_SITE(nops)                                                                              \
	"771:" nops "\tcall *pv_ops + %c[op]\n"                                                    \
	"772:\n"                                                                                   \
	"\t.pushsection .sites, \"a\"\n"                                                           \
	"\t.long 771b\n"                                                                           \
	"\t.byte %c[op] / 4, 772b - 771b\n"                                                        \
	"\t.word %c[live]\n"                                                                       \
	"\t.popsection"
/* clang-format on */
#define PV_CALL PV_SITE("")
/* 12 bytes, for a store to the interrupt flag and STI, or an argument that is a constant */
#define PV_CALL_LONG PV_SITE(".byte 0x8d, 0xb6, 0, 0, 0, 0\n") /* lea 0(%esi), %esi */

#define PV_OPERANDS(name, lives) [op] "i"(offsetof(struct pv_ops, name)), [live] "i"(lives)

/* Registers that a function of C's keeps. */
#define PV_LIVE (VMI_B | VMI_SI | VMI_DI)

/* EDX:EAX after a call with so many words of arguments in EAX, EDX, ECX. */
#define pv_call0(name)                                                                             \
	({                                                                                         \
		u64 value_;                                                                        \
		__asm__ volatile(PV_CALL                                                           \
				 : "=A"(value_)                                                    \
				 : PV_OPERANDS(name, PV_LIVE)                                      \
				 : "ecx", "memory", "cc");                                         \
		value_;                                                                            \
	})
#define pv_call1(name, a)                                                                          \
	({                                                                                         \
		u32 a_ = (u32)(a), d_;                                                             \
		__asm__ volatile(PV_CALL                                                           \
				 : "+a"(a_), "=d"(d_)                                              \
				 : PV_OPERANDS(name, PV_LIVE)                                      \
				 : "ecx", "memory", "cc");                                         \
		(u64) d_ << 32 | a_;                                                               \
	})
#define pv_call2(name, a, d) pv_call2_site(PV_CALL, name, a, d)
#define pv_call2_site(site, name, a, d)                                                            \
	({                                                                                         \
		u32 a_ = (u32)(a), d_ = (u32)(d);                                                  \
		__asm__ volatile(site                                                              \
				 : "+a"(a_), "+d"(d_)                                              \
				 : PV_OPERANDS(name, PV_LIVE)                                      \
				 : "ecx", "memory", "cc");                                         \
		(u64) d_ << 32 | a_;                                                               \
	})
#define pv_call3(name, a, d, c)                                                                    \
	({                                                                                         \
		u32 a_ = (u32)(a), d_ = (u32)(d), c_ = (u32)(c);                                   \
		__asm__ volatile(PV_CALL                                                           \
				 : "+a"(a_), "+d"(d_), "+c"(c_)                                    \
				 : PV_OPERANDS(name, PV_LIVE)                                      \
				 : "memory", "cc");                                                \
	})
/* And one or two words on the stack: operands are not addressed by ESP, there is a frame pointer. */
#define pv_call4(name, a, d, c, s1)                                                                \
	({                                                                                         \
		u32 a_ = (u32)(a), d_ = (u32)(d), c_ = (u32)(c);                                   \
		__asm__ volatile("push %[s1_]\n" PV_CALL "\n\tadd $4, %%esp"                       \
				 : "+a"(a_), "+d"(d_), "+c"(c_)                                    \
				 : [s1_] "ri"(s1), PV_OPERANDS(name, PV_LIVE)                      \
				 : "memory", "cc");                                                \
	})
#define pv_call5(name, a, d, c, s1, s2)                                                            \
	({                                                                                         \
		u32 a_ = (u32)(a), d_ = (u32)(d), c_ = (u32)(c);                                   \
		__asm__ volatile("push %[s2_]\n\tpush %[s1_]\n" PV_CALL "\n\tadd $8, %%esp"        \
				 : "+a"(a_), "+d"(d_), "+c"(c_)                                    \
				 : [s1_] "ri"(s1), [s2_] "ri"(s2), PV_OPERANDS(name, PV_LIVE)      \
				 : "memory", "cc");                                                \
	})

/* ------------------------------------------------------------------------
 * The operations
 */

static inline u32 pv_save_fl(void)
{
	u32 flags;

	__asm__ volatile(PV_CALL_LONG
			 : "=a"(flags)
			 : PV_OPERANDS(save_fl, VMI_LIVE_REGISTERS & ~VMI_A)
			 : "memory", "cc");
	return flags;
}

static inline void pv_restore_fl(u32 flags)
{
	__asm__ volatile(PV_CALL_LONG
			 :
			 : "a"(flags), PV_OPERANDS(restore_fl, VMI_LIVE_REGISTERS)
			 : "memory", "cc");
}

static inline void pv_irq_disable(void)
{
	__asm__ volatile(PV_CALL_LONG
			 :
			 : PV_OPERANDS(irq_disable, VMI_LIVE_REGISTERS)
			 : "memory", "cc");
}

static inline void pv_irq_enable(void)
{
	__asm__ volatile(PV_CALL_LONG
			 :
			 : PV_OPERANDS(irq_enable, VMI_LIVE_REGISTERS)
			 : "memory", "cc");
}

static inline void pv_cpuid(u32 leaf, u32 r[4])
{
	r[0] = leaf;
	r[2] = 0;
	__asm__ volatile(PV_CALL
			 : "+a"(r[0]), "=b"(r[1]), "+c"(r[2]), "=d"(r[3])
			 : PV_OPERANDS(cpuid, VMI_SI | VMI_DI)
			 : "memory", "cc");
}

#define pv_safe_halt() ((void)pv_call0(safe_halt))
#define pv_wrmsr(msr, value) pv_call3(wrmsr, (u64)(value), (u64)(value) >> 32, msr)
#define pv_read_cr0() ((u32)pv_call0(read_cr0))
#define pv_write_cr0(value) ((void)pv_call1(write_cr0, value))
#define pv_read_cr2() ((u32)pv_call0(read_cr2))
#define pv_read_cr3() ((u32)pv_call0(read_cr3))
#define pv_write_cr3(value) ((void)pv_call1(write_cr3, value))
#define pv_read_cr4() ((u32)pv_call0(read_cr4))
#define pv_load_gdt(dtr) ((void)pv_call1(load_gdt, dtr))
#define pv_load_idt(dtr) ((void)pv_call1(load_idt, dtr))
#define pv_load_ldt(selector) ((void)pv_call1(load_ldt, selector))
#define pv_load_tr(selector) ((void)pv_call1(load_tr, selector))
#define pv_write_gdt_entry(table, n, low, high) pv_call4(write_gdt_entry, table, n, low, high)
#define pv_write_idt_entry(table, n, low, high) pv_call4(write_idt_entry, table, n, low, high)
#define pv_load_esp0(tss, esp0) ((void)pv_call2_site(PV_CALL_LONG, load_esp0, tss, esp0))
#define pv_outb(value, port) ((void)pv_call2(outb, value, port))
#define pv_inb(port) ((u8)pv_call2(inb, 0, port))
#define pv_io_delay() ((void)pv_call0(io_delay))

#define pv_set_pte(entry, at, flags) pv_call3(set_pte, entry, at, flags)
#define pv_set_pte_long(entry, at, flags)                                                          \
	pv_call4(set_pte_long, (u64)(entry), (u64)(entry) >> 32, at, flags)
#define pv_alloc_page(pfn, flags, clone, first, count)                                             \
	pv_call5(alloc_page, pfn, flags, clone, first, count)
#define pv_release_page(pfn, flags) ((void)pv_call2(release_page, pfn, flags))
#define pv_set_linear_mapping(slot, linear, pages, pfn)                                            \
	pv_call4(set_linear_mapping, slot, linear, pages, pfn)
#define pv_flush_tlb(how) ((void)pv_call1(flush_tlb, how))
#define pv_flush_tlb_single(linear) ((void)pv_call1(flush_tlb_single, linear))
#define pv_set_lazy_mode(mode) ((void)pv_call1(set_lazy_mode, mode))

#define pv_cycle_frequency() pv_call0(cycle_frequency)
#define pv_cycle_counter(counter) pv_call1(cycle_counter, counter)
#define pv_cancel_alarm(flags) ((u32)pv_call1(cancel_alarm, flags))
#define pv_wallclock() pv_call0(wallclock)
#define pv_apic_write(offset, value) ((void)pv_call2(apic_write, offset, value))
#define pv_apic_read(offset) ((u32)pv_call1(apic_read, offset))

/* set_alarm has four words of arguments: both halves of expiry fill the registers. */
#define pv_set_alarm(flags, expiry, period)                                                        \
	pv_call5(set_alarm, flags, (u64)(expiry), (u64)(expiry) >> 32, (u32)(period),              \
		 (u32)((u64)(period) >> 32))

/* Fill the table; the second leaves native what the ROM has nothing better for. false: no ROM. */
void native_start(void);
bool vmi_start(void);

/*
 * Rewrite sites. First the hot six to their own instructions, then what the ROM wants: those
 * six by GetRelocationInfo, or all sites by PatchSites.
 */
void native_patch(void);
void vmi_patch_hot(void);
void vmi_patch_all(void);

/* One of them later, while other CPUs run. Returns as PatchSites does; E_NONE: there is no such site. */
u32 vmi_patch_again(u32 site, u32 form);

bool pv_hot(const struct pv_site *site); /* one of the six */
void pv_fill(u8 *p, u32 size);		 /* with NOPs */

#endif
#endif /* PV_OPS_H */
