/* SPDX-License-Identifier: GPL-2.0-only */
/* Other processors: INIT, STARTUP, STARTUP [SDM vol. 3, 9.4.4]. */
#include "guest.h"

#define AP_PAGE 0x8000 /* physical; SeaBIOS leaves it to the guest */
#define APIC_ICR 0xfee00300
#define APIC_ICR_HIGH 0xfee00310
#define APIC_ID 0xfee00020
#define ICR_PENDING 0x1000
#define ICR_INIT 0x4500
#define ICR_STARTUP 0x4600
#define SECOND 10000000 /* polls, about */

extern const char ap_code[], ap_code_end[], ap_words[];
void ap_start(void);
void ap_main(void);
extern u32 ap_stack;
u32 ap_stack;

static void (*function)(void);
static volatile u32 started;
static u8 stacks[8][8192] __attribute__((aligned(16)));

void ap_main(void)
{
	void (*f)(void) = function;
	struct {
		u16 limit;
		u32 base;
	} __attribute__((packed)) idtr = { 256 * 8 - 1, (u32)idt },
				  gdtr = { sizeof(gdt) - 1, (u32)gdt };

	__asm__ volatile("lidt %0\n\tlgdt %1" : : "m"(idtr), "m"(gdtr));
	started++;
	f();
}

u32 apic_id(void)
{
	return *(volatile u32 *)at(APIC_ID) >> 24;
}

static void ipi(u32 id, u32 command)
{
	*(volatile u32 *)at(APIC_ICR_HIGH) = id << 24;
	*(volatile u32 *)at(APIC_ICR) = command;
	while (*(volatile u32 *)at(APIC_ICR) & ICR_PENDING)
		;
}

bool cpu_start(u32 id, void (*f)(void))
{
	static u32 cpus;
	u32 size = (u32)(ap_code_end - ap_code), polls, low_entry[2] = { 0, 0 };
	u32 *pd = phys(cr3() & 0xfffff000), before = started;
	u8 *code = phys(AP_PAGE);
	struct {
		u32 cr0, cr3, cr4, eip, cs;
		u16 limit;
		u32 gdt;
	} __attribute__((packed)) *words = (void *)(code + (ap_words - ap_code));

	if (cpus == ARRAY_SIZE(stacks))
		bail("no stack for another CPU");
	function = f;
	ap_stack = (u32)(stacks[cpus++] + sizeof(stacks[0]));
	memcpy(code, ap_code, size);
	words->cr0 = cr0();
	words->cr3 = cr3();
	words->cr4 = cr4();
	words->eip = (u32)ap_start;
	words->cs = SEL_CODE;
	words->limit = sizeof(gdt) - 1;
	words->gdt = to_phys(gdt);
	if (paging()) { /* the page is at its own address until the CPU has left it */
		u32 *high = paging_pae() ? (u32 *)((u64 *)phys(cr3() & 0xffffffe0) + 3)
					 : &pd[guest_virt >> 22];

		pd = paging_pae() ? phys(cr3() & 0xffffffe0) : pd;
		low_entry[0] = pd[0];
		pd[0] = high[0];
		set_cr3(cr3());
	}
	ipi(id, ICR_INIT);
	for (polls = 0; polls < SECOND / 100; polls++)
		inb(0x80);
	ipi(id, ICR_STARTUP | AP_PAGE >> 12);
	for (polls = 0; polls < SECOND && started == before; polls++)
		__asm__ volatile("pause");
	if (paging()) {
		pd[0] = low_entry[0];
		set_cr3(cr3());
	}
	return started != before;
}
