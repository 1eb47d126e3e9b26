/* SPDX-License-Identifier: GPL-2.0-only */
/* The operations from a VMI ROM. What it has nothing better for stays native. */
#include "pv.h"

static struct rom rom;

/* ------------------------------------------------------------------------
 * Which row of VMI_CALLS an operation is in 3.0, 13.x and 6.1
 */

enum { REVISION_3, REVISION_13, REVISION_6, REVISIONS };
#define NATIVE VMI_CALL_COUNT /* the native operation stays */

static u32 revision;
static struct pv_ops native; /* the table as it was */

/* Of the ROM's call behind an operation: linear, 0 where there is none. */
static u32 entry[PV_OPS];
#define ROM(op, call) ((vmi_##call##_fn *)entry[PV_OP(op)])

/* Operations whose arguments are not the call's. */

static PV void load_esp0_ss0(void *tss_, u32 esp0)
{
	(void)tss_;
	ROM(load_esp0, UpdateKernelStack)(SEL_DATA, esp0);
}

static PV void apic_write_13(u32 offset, u32 value)
{
	ROM(apic_write, APICWrite_v13)(at(APIC + offset), value);
}

static PV u32 apic_read_13(u32 offset)
{
	return ROM(apic_read, APICRead_v13)(at(APIC + offset));
}

static void write_entry(void *table, u32 index, u32 low, u32 high)
{
	((u32 *)table)[index * 2] = low;
	((u32 *)table)[index * 2 + 1] = high;
}

static PV void write_gdt_6(void *table, u32 index, u32 low, u32 high)
{
	write_entry(table, index, low, high);
	ROM(write_gdt_entry, UpdateGDT)(index, index);
}

static PV void write_idt_6(void *table, u32 index, u32 low, u32 high)
{
	write_entry(table, index, low, high);
	ROM(write_idt_entry, UpdateIDT)(index, index);
}

static PV void set_linear_mapping_6(u32 slot, u32 linear, u32 pages, u32 pfn)
{
	(void)slot;
	ROM(set_linear_mapping, RegisterPageMapping)(linear, pfn, pages);
}

/* Jumped to, and the ROM expects a return address. */
void iret_called(void);
__asm__("iret_called: call *%cs:vmi_iret");
u32 vmi_iret;

static const struct binding {
	u8 op;
	u8 row[REVISIONS];
	void *function[REVISIONS]; /* instead of the ROM's */
	u8 eax[REVISIONS]; /* for PatchSites, that instead: VMI_FROM_*; constant 0: SEL_DATA */
	bool own;	   /* on the bare machine the kernel's code is shorter than the ROM's */
} bindings[] = {
#define VMI_ID_native NATIVE
#define BIND(name, a, b, c) .op = PV_OP(name), .row = { VMI_ID_##a, VMI_ID_##b, VMI_ID_##c }
	{ BIND(iret, IRET, IRET_v13, IRET_v13), .function = { 0, iret_called, iret_called } },
	{ BIND(sysexit, SYSEXIT, SYSEXIT, SYSEXIT) },
	{ BIND(save_fl, GetInterruptMask, GetInterruptMask, GetEFLAGS) },
	{ BIND(restore_fl, SetInterruptMask, SetInterruptMask, SetInterruptMask) },
	{ BIND(irq_disable, DisableInterrupts, DisableInterrupts, DisableInterrupts) },
	{ BIND(irq_enable, EnableInterrupts, EnableInterrupts, EnableInterrupts) },
	{ BIND(safe_halt, Halt, Halt, Halt) },
	{ BIND(cpuid, CPUID, CPUID, CPUID) },
	{ BIND(wrmsr, WRMSR, WRMSR, WRMSR) },
	{ BIND(read_cr0, GetCR0, GetCR0, GetCR0) },
	{ BIND(write_cr0, SetCR0, SetCR0, SetCR0) },
	{ BIND(read_cr2, GetCR2, GetCR2, GetCR2) },
	{ BIND(read_cr3, GetCR3, GetCR3, GetCR3) },
	{ BIND(write_cr3, SetCR3, SetCR3, SetCR3) },
	{ BIND(read_cr4, GetCR4, GetCR4, GetCR4) },
	{ BIND(load_gdt, SetGDT, SetGDT, SetGDT) },
	{ BIND(load_idt, SetIDT, SetIDT, SetIDT) },
	{ BIND(load_ldt, SetLDT, SetLDT, SetLDT) },
	{ BIND(load_tr, SetTR, SetTR, SetTR) },
	{ BIND(write_gdt_entry, WriteGDTEntry, WriteGDTEntry, UpdateGDT),
	  .function = { 0, 0, write_gdt_6 } },
	{ BIND(write_idt_entry, WriteIDTEntry, WriteIDTEntry, UpdateIDT),
	  .function = { 0, 0, write_idt_6 } },
	{ BIND(load_esp0, UpdateKernelStack, UpdateKernelStack_v13, UpdateKernelStack),
	  .function = { load_esp0_ss0, 0, load_esp0_ss0 },
	  .eax = { VMI_FROM_CONSTANT, 0, VMI_FROM_CONSTANT }, .own = true },
	{ BIND(outb, OUTB, OUTB, OUTB) },
	{ BIND(inb, INB, INB, INB) },
	{ BIND(io_delay, IODelay, IODelay, native) },
	{ BIND(set_pte, SetPxE, SetPxE, SetPte) }, /* 13.3; 13.0's has another order */
	{ BIND(set_pte_long, SetPxELong, SetPxELong, SetPteLong), .own = true },
	{ BIND(alloc_page, AllocatePage, AllocatePage, RegisterPageUsage) },
	{ BIND(release_page, ReleasePage, ReleasePage, ReleasePage) },
	{ BIND(set_linear_mapping, SetLinearMapping, SetLinearMapping, RegisterPageMapping),
	  .function = { 0, 0, set_linear_mapping_6 } },
	{ BIND(flush_tlb, FlushTLB, FlushTLB, FlushTLB_v6) },
	{ BIND(flush_tlb_single, InvalPage, InvalPage, InvalPage) },
	{ BIND(set_lazy_mode, SetLazyMode, native, SetDeferredMode) },
	{ BIND(cycle_frequency, GetCycleFrequency, GetCycleFrequency, native) },
	{ BIND(cycle_counter, GetCycleCounter, GetCycleCounter, native) },
	{ BIND(set_alarm, SetAlarm, SetAlarm, native) },
	{ BIND(cancel_alarm, CancelAlarm, CancelAlarm, native) },
	{ BIND(wallclock, GetWallclockTime, GetWallclockTime, native) },
	{ BIND(apic_write, APICWrite, APICWrite_v13, native), .function = { 0, apic_write_13 } },
	{ BIND(apic_read, APICRead, APICRead_v13, native), .function = { 0, apic_read_13 } },
};

static const struct binding *binding_of(u32 op)
{
	const struct binding *b;

	for (b = bindings; b < bindings + ARRAY_SIZE(bindings); b++)
		if (b->op == op)
			return b;
	bail("operation %u is not bound", op);
}

static void nothing(void)
{
}

/* How the ROM wants the call of that row: VMI_RELOC_*. */
static u32 relocation(u32 row, u32 *eip)
{
	u32 type = VMI_RELOC_NONE;

	if (row != NATIVE && rom_number(&rom, row) != VMI_NO)
		*eip = rom_entry(&rom, rom_number(&rom, row), &type);
	return type;
}

/* ------------------------------------------------------------------------
 * Processors: they begin in a state, not at an address in the first megabyte
 */

#define ICR_INIT 0x4500
#define ICR_STARTUP 0x4600
#define PARKED_PAGE 0x9000 /* physical; as in test-guest/ap.c */
#define MILLISECONDS 10	   /* after INIT [SDM vol. 3, 9.4.4.1] */

static vmi_SetInitialAPState_fn *set_initial_ap_state;

static void ipi(u32 apic_id_, u32 command)
{
	u64 end = pv_cycle_counter(VMI_CYCLES_REAL) + milliseconds(MILLISECONDS);

	pv_apic_write(APIC_ICR_HIGH, apic_id_ << 24);
	pv_apic_write(APIC_ICR, command);
	while (pv_cycle_counter(VMI_CYCLES_REAL) < end)
		;
}

static bool start_cpu(u32 apic_id_, void (*function)(void), u32 esp)
{
	/* Where it comes if the host has not taken the state: CLI; 1: HLT; JMP 1b */
	static const u8 parked[] = { 0xfa, 0xf4, 0xeb, 0xfd };
	struct vmi_ap_state state = {
		.cr0 = pv_read_cr0(),
		.cr3 = pv_read_cr3(),
		.cr4 = pv_read_cr4(),
		.eip = (u32)function,
		.eflags = EFLAGS_1,
		.esp = esp - 4, /* a return address is expected */
		.cs = SEL_CODE,
		.ss = SEL_DATA,
		.ds = SEL_DATA,
		.es = SEL_DATA,
		.gdtr_base = (u32)gdt,
		.gdtr_limit = sizeof(gdt) - 1,
		.idtr_base = (u32)idt,
		.idtr_limit = sizeof(idt) - 1,
	};

	memcpy(phys(PARKED_PAGE), parked, sizeof(parked));
	ipi(apic_id_, ICR_INIT);
	set_initial_ap_state(revision == REVISION_13 ? to_phys(&state) : (u32)&state, apic_id_);
	ipi(apic_id_, ICR_STARTUP | PARKED_PAGE >> 12);
	return true;
}

/* ------------------------------------------------------------------------
 * Sites
 */

/* CALL or JMP rel32, NOPs, or what native_patch() has put there. */
void vmi_patch_hot(void)
{
	const struct pv_site *site;
	u32 eip, type;
	u8 *p;

	for (site = pv_sites; site < pv_sites_end; site++) {
		if (!pv_hot(site))
			continue;
		type = relocation(binding_of(site->op)->row[revision], &eip);
		p = at(site->address);
		if (type == VMI_RELOC_CALL || type == VMI_RELOC_JUMP) {
			p[0] = type == VMI_RELOC_CALL ? 0xe8 : 0xe9;
			*(u32 *)(p + 1) = eip - (site->address + 5);
			pv_fill(p + 5, site->size - 5);
		} else if (type == VMI_RELOC_NOP) {
			pv_fill(p, site->size);
		}
	}
}

/* What the kernel passes is what the ROM's call takes, or as eax says. */
static bool is_call(const struct binding *b)
{
	return b->row[revision] != NATIVE && (!b->function[revision] || b->eax[revision] ||
					      b->function[revision] == (void *)iret_called);
}

#define SITES 256
#define KEPT 4096

static struct vmi_site sites[SITES];
static u8 kept[KEPT];
static struct vmi_patch patch = {
	.records = (u32)sites,
	.kind = VMI_PATCH_SITES,
	.kept = (u32)kept,
};

static u32 patch_sites(u32 form)
{
	patch.form = (u8)form;
	return VMI(&rom, PatchSites)(&patch);
}

/* Everything that the ROM has a call for with these arguments. */
void vmi_patch_all(void)
{
	extern const char start[], etext[];
	const struct pv_site *site;
	u32 size = 0, result, op;

	if (!rom_call(&rom, VMI_ID_PatchSites)) {
		vmi_patch_hot();
		return;
	}
	for (site = pv_sites; site < pv_sites_end; site++) {
		const struct binding *b = binding_of(site->op);

		if (!is_call(b))
			continue;
		size += 1 + site->size;
		if (patch.count == SITES || size > KEPT)
			bail("too many sites");
		sites[patch.count++] = (struct vmi_site){
			.address = site->address,
			.size = site->size,
			.call = b->row[revision],
			.flags = VMI_SITE_LIVE | (b->own || pv_hot(site) ? VMI_SITE_NATIVE : 0),
			.argument = { b->eax[revision] },
			.live = site->live,
			.constant = { SEL_DATA },
		};
	}
	patch.number = patch.count;
	patch.text = (u32)start;
	patch.text_size = (u32)(etext - start);
	result = patch_sites(VMI_PATCH_BEST);
	ok(!result, "PatchSites: %u, at %u of %u sites", result, patch.refused, patch.count);
	if (result) { /* nothing has changed */
		vmi_patch_hot();
		return;
	}
	/* What the ROM has left as it was is native now. */
	for (op = 0; op < PV_OPS; op++)
		if (binding_of(op)->own)
			((void **)&pv_ops)[op] = ((void **)&native)[op];
	print("# %u sites: %u as they were, %u NOPs, %u inline, %u CALL, %u JMP\n", patch.count,
	      patch.forms[VMI_FORM_ORIGINAL], patch.forms[VMI_FORM_NOPS],
	      patch.forms[VMI_FORM_INLINE], patch.forms[VMI_FORM_CALL], patch.forms[VMI_FORM_JUMP]);
}

u32 vmi_patch_again(u32 site, u32 form)
{
	if (site >= patch.count)
		return E_NONE;
	patch.sync = (u32)sync_others;
	patch.first = site;
	patch.number = 1;
	return patch_sites(form);
}

/* ------------------------------------------------------------------------
 * Start
 */

static void bind(void)
{
	void **table = (void **)&pv_ops;
	const struct binding *b;
	u32 eip;

	native = pv_ops;
	for (b = bindings; b < bindings + ARRAY_SIZE(bindings); b++) {
		switch (relocation(b->row[revision], &eip)) {
		case VMI_RELOC_CALL:
		case VMI_RELOC_JUMP:
			entry[b->op] = eip;
			table[b->op] = b->function[revision] ? b->function[revision] : at(eip);
			break;
		case VMI_RELOC_NOP:
			table[b->op] = nothing;
			break;
		}
	}
	vmi_iret = entry[PV_OP(iret)];
	if (relocation(VMI_ID_SetInitialAPState, &eip) == VMI_RELOC_CALL) {
		set_initial_ap_state = at(eip);
		pv_ops.start_cpu = start_cpu;
	}
}

/* The same bits are others in another revision. */
static void page_flags(void)
{
	u32 long_ = 0;

	pv_ops.table_kind = VMI_PAGE_PT;
	pv_ops.directory_kind = VMI_PAGE_PD;
	pv_ops.pointers_kind = VMI_PAGE_PDP;
	if (revision == REVISION_6) /* has no flag for PAE, and a level where there are flags */
		return;
	pv_ops.current_as = VMI_PAGE_CURRENT_AS | VMI_PAGE_VA_MASK;
	if (paging_pae())
		long_ = revision == REVISION_3 ? VMI_PAGE_PAE : VMI_13_PAGE_PAE;
	pv_ops.table_kind |= long_;
	pv_ops.directory_kind |= long_;
	pv_ops.pointers_kind |= long_;
	if (revision == REVISION_3) {
		pv_ops.zeroed = VMI_PAGE_ZEROED;
		pv_ops.clone = VMI_PAGE_CLONE;
	}
}

bool vmi_start(void)
{
	u32 cs;

	if (!rom_find(&rom, option_number("major", 3))) {
		if (option("rom"))
			bail("no ROM");
		return false;
	}
	/* Nothing here lets go of the top of memory, or of ring 0. */
	if (rom.major == 3 && rom.header->virtual_top)
		bail("the host keeps memory from %08x on", rom.header->virtual_top);
	if (rom_init(&rom))
		bail("Init refuses");
	__asm__ volatile("mov %%cs, %0" : "=r"(cs));
	if (cs & 3)
		bail("the kernel is in ring %u after Init", cs & 3);
	revision = rom.major == 3 ? REVISION_3 : rom.major == 13 ? REVISION_13 : REVISION_6;
	page_flags();
	bind();
	return true;
}
