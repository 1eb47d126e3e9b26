/* SPDX-License-Identifier: GPL-2.0-only */
/* The interrupt flag, privilege transitions, the processor's sleep. */
#include "calls.h"

#define IA32_SYSENTER_CS 0x174
#define IA32_EFER 0xc0000080
#define IA32_STAR 0xc0000081
#define EFER_SCE 0x1
#define VECTOR_UD 6
#define VECTOR_BP 3
#define VECTOR_GP 13
#define EFLAGS_RF 0x10000
#define EFLAGS_VIF 0x80000
#define EFLAGS_VIP 0x100000

/* ------------------------------------------------------------------------
 * The interrupt flag
 */

/* With IRQ 0 waiting the call that enables must let it in. */
static void delivers(u32 mask)
{
	u32 before;

	poison();
	v.in.eflags &= ~EFLAGS_IF;
	v.in.eax = mask;
	irq0_pend();
	before = irq_count[0];
	go_flags(EFLAGS_IF, EFLAGS_IF);
	equal(irq_count[0], before + 1, "interrupts delivered");
}

void test_EnableInterrupts(void)
{
	go_flags(EFLAGS_IF, EFLAGS_IF);
	delivers(0);
}

void test_DisableInterrupts(void)
{
	go_flags(EFLAGS_IF, 0);
}

void test_DeliverInterrupts(void)
{
	test_EnableInterrupts();
}

void test_GetInterruptMask(void)
{
	equal(go(), pattern & EFLAGS_IF, "mask");
}

void test_SetInterruptMask(void)
{
	static const u32 masks[] = { 0x200, 0, 0xffffffff, 0xfffffdff };
	u32 i;

	for (i = 0; i < ARRAY_SIZE(masks); i++) {
		poison();
		v.in.eax = masks[i];
		go_flags(EFLAGS_IF, masks[i] & EFLAGS_IF);
	}
	delivers(EFLAGS_IF);
}

void test_SaveAndDisableIRQs(void)
{
	equal(go_flags(EFLAGS_IF, 0), pattern, "flags");
}

void test_SetEFLAGS(void)
{
	static const u32 values[] = {
		EFLAGS_1,
		EFLAGS_1 | EFLAGS_OSZAPC | EFLAGS_IF | EFLAGS_DF | EFLAGS_IOPL | EFLAGS_NT |
			EFLAGS_AC | EFLAGS_ID,
		EFLAGS_1 | EFLAGS_VM | EFLAGS_RF | EFLAGS_VIF | EFLAGS_VIP | 0x1000,
	};
	u32 i;

	for (i = 0; i < ARRAY_SIZE(values); i++) {
		poison();
		v.in.eax = values[i];
		go_flags(~0u, values[i] & ~(EFLAGS_VM | EFLAGS_RF | EFLAGS_VIF | EFLAGS_VIP));
	}
}

void test_GetEFLAGS(void)
{
	equal(go(), pattern, "flags");
}

void test_SetIOPLMask(void)
{
	u32 iopl;

	for (iopl = 0; iopl < 4; iopl++) {
		poison();
		v.in.eax = (v.in.eax & ~EFLAGS_IOPL) | iopl << 12;
		go_flags(EFLAGS_IOPL, iopl << 12);
	}
}

void test_GetIOPLMask(void)
{
	equal(go(), pattern & EFLAGS_IOPL, "mask");
}

/* ------------------------------------------------------------------------
 * Privilege transitions
 */

static const u32 frame_flags[] = {
	EFLAGS_1,
	EFLAGS_1 | EFLAGS_OSZAPC | EFLAGS_IF | EFLAGS_DF | EFLAGS_AC | EFLAGS_ID | 0x1000,
	EFLAGS_1 | EFLAGS_IF | EFLAGS_IOPL | 0x41,
};

static void same_registers(const struct regs *got)
{
	equal(got->eax, v.in.eax, "EAX");
	equal(got->ecx, v.in.ecx, "ECX");
	equal(got->edx, v.in.edx, "EDX");
	equal(got->ebx, v.in.ebx, "EBX");
	equal(got->ebp, v.in.ebp, "EBP");
	equal(got->esi, v.in.esi, "ESI");
	equal(got->edi, v.in.edi, "EDI");
}

static void landed(u32 flags, u32 popped)
{
	struct regs got = { v.out.edi, v.out.esi, v.out.ebp, 0,
			    v.out.ebx, v.out.edx, v.out.ecx, v.out.eax };

	if (!expect(!v.trapped, "trap %u at %08x", v.trap.vector, v.trap.eip))
		return;
	same_registers(&got);
	equal(v.out.eflags, flags, "EFLAGS");
	equal(v.out.esp, popped, "bytes popped");
	equal(v.out.ds, v.in.ds, "DS");
	equal(v.out.es, v.in.es, "ES");
	equal(v.out.fs, v.in.fs, "FS");
	equal(v.out.gs, v.in.gs, "GS");
}

/* In user mode, through a trap that the user's code makes behind `bytes`. */
static bool landed_in_user(u32 vector, u32 cs, u32 eip, u32 flags, u32 ss, u32 esp)
{
	if (!expect(v.trapped && v.trap.vector == vector, "trap %u, expected %u",
		    v.trapped ? v.trap.vector : 0, vector))
		return false;
	same_registers(&v.trap.regs);
	equal(v.trap.cs, cs, "CS");
	equal(v.trap.eip, eip, "EIP");
	equal(v.trap.eflags, flags, "EFLAGS");
	equal(v.trap.ss, ss, "SS");
	equal(v.trap.esp, esp, "ESP");
	return true;
}

/* A page that user mode may execute: INT 80h. */
static u32 user_code(void)
{
	static u8 *code;

	if (!code) {
		code = user_page();
		code[0] = 0xcd;
		code[1] = VECTOR_USER;
	}
	return (u32)code;
}

#define V86_SEGMENT 0x7000
static u32 v86_code(void)
{
	u8 *code;

	if (paging() && !(*(u32 *)pte_of(V86_SEGMENT << 4) & PTE_P))
		map(V86_SEGMENT << 4, to_phys(page()), PTE_P | PTE_W | PTE_U);
	code = at(V86_SEGMENT << 4);
	code[0] = 0xcc;
	return V86_SEGMENT;
}

static void frame(u32 eip, u32 cs, u32 flags)
{
	poison();
	v.word[0] = eip;
	v.word[1] = cs;
	v.word[2] = flags;
}

static void iret(void)
{
	u32 i, stack = user_code() + 0x800, segment = v86_code();

	for (i = 0; i < ARRAY_SIZE(frame_flags); i++) {
		u32 flags = frame_flags[i];

		frame((u32)invoke_landing, SEL_CODE, flags);
		go_raw();
		landed(flags, 12);

		invoke_catch(VECTOR_USER);
		frame(user_code(), SEL_USER_CODE, flags);
		v.word[3] = stack;
		v.word[4] = SEL_USER_DATA;
		go_raw();
		landed_in_user(VECTOR_USER, SEL_USER_CODE, user_code() + 2, flags, SEL_USER_DATA,
			       stack);

		invoke_catch(VECTOR_BP);
		frame(0, segment, flags | EFLAGS_VM);
		v.word[3] = 0x0ffe;
		v.word[4] = segment;
		v.word[5] = 0x1111;
		v.word[6] = 0x2222;
		v.word[7] = 0x3333;
		v.word[8] = 0x4444;
		go_raw();
		if (!landed_in_user(VECTOR_BP, segment, 1, flags | EFLAGS_VM, segment, 0x0ffe))
			continue;
		equal(v.trap.v86_es, 0x1111, "ES of virtual-8086 mode");
		equal(v.trap.v86_ds, 0x2222, "DS of virtual-8086 mode");
		equal(v.trap.v86_fs, 0x3333, "FS of virtual-8086 mode");
		equal(v.trap.v86_gs, 0x4444, "GS of virtual-8086 mode");
	}
}

void test_IRET(void)
{
	iret();
}

void test_IRET_v13(void)
{
	iret();
}

/* Through code segments whose base is the code: IP has 16 bits. */
void test_IRET16(void)
{
	static u8 back[7] = { 0xea, 0, 0, 0, 0, SEL_CODE, 0 };
	u32 i, landing = (u32)invoke_landing, user = user_code();

	memcpy(back + 1, &landing, sizeof(landing));
	gdt[SEL_SPARE / 8] = descriptor((u32)back, 0xfffff, 0xc09b);
	gdt[SEL_SPARE / 8 + 1] = descriptor(user, 0xfffff, 0xc0fb);
	for (i = 0; i < ARRAY_SIZE(frame_flags); i++) {
		u32 flags = frame_flags[i] & 0xffff, kept = pattern & 0xffff0000;

		frame(SEL_SPARE << 16, (v.word[1] & 0xffff0000) | flags, v.word[2]);
		go_raw();
		landed(flags | kept, 6);

		invoke_catch(VECTOR_USER);
		frame((SEL_SPARE + 8 + 3) << 16, flags | 0x0ffe << 16, SEL_USER_DATA);
		go_raw();
		expect(v.trapped && v.trap.cs == SEL_SPARE + 8 + 3 && v.trap.eip == 2,
		       "not in user mode");
		equal(v.trap.eflags, flags | kept, "EFLAGS in user mode");
		equal(v.trap.esp & 0xffff, 0x0ffe, "SP in user mode");
		equal(v.trap.ss, SEL_USER_DATA, "SS in user mode");
	}
}

static struct trap irq_frame;

static bool irq_seen(struct trap *trap)
{
	irq_frame = *trap;
	return true;
}

static void sysexit(bool jump)
{
	u32 stack = user_code() + 0x800;
	trap_handler before;

	wrmsr(IA32_SYSENTER_CS, SEL_CODE);
	invoke_catch(VECTOR_USER);
	poison();
	v.jump = jump;
	v.in.edx = user_code();
	v.in.ecx = stack;
	go_raw();
	if (trapped()) { /* a stub that looks whether something is pending */
		v.trap.eflags &= ~EFLAGS_OSZAPC;
		v.trap.eflags |= pattern & EFLAGS_OSZAPC;
	}
	landed_in_user(VECTOR_USER, SEL_USER_CODE, user_code() + 2, pattern | EFLAGS_IF,
		       SEL_USER_DATA, stack);
	if (stepping())
		return;

	/* An interrupt that waits is delivered in user mode, not before. */
	poison();
	v.jump = jump;
	v.in.edx = user_code();
	v.in.ecx = stack;
	v.in.eflags &= ~EFLAGS_IF;
	memset(&irq_frame, 0, sizeof(irq_frame));
	before = on_trap(VECTOR_IRQ, irq_seen);
	irq0_pend();
	go_raw();
	on_trap(VECTOR_IRQ, before);
	equal(irq_frame.cs, SEL_USER_CODE, "CS that IRQ 0 interrupted");
	equal(irq_frame.eip, user_code(), "EIP that IRQ 0 interrupted");
}

void test_SYSEXIT(void)
{
	sysexit(true);
	sysexit(false);
}

void test_StiSysexit(void)
{
	test_SYSEXIT();
}

/* Where the processor has no SYSRET in this mode, the stub faults as it does. */
void test_SysRet(void)
{
	static const u8 code[] = { 0x0f, 0x07 };
	struct invoke native;
	u64 efer = rdmsr(IA32_EFER);

	wrmsr(IA32_EFER, efer | EFER_SCE);
	wrmsr(IA32_STAR, (u64)SEL_USER_CODE << 48);
	invoke_catch(VECTOR_USER);
	invoke_catch(VECTOR_UD);
	invoke_catch(VECTOR_GP);
	v.in.ecx = user_code();
	native = v;
	native.target = (u32)code;
	invoke(&native);
	go_raw();
	wrmsr(IA32_EFER, efer);
	equal(v.trap.vector, native.trap.vector, "vector");
	if (native.trap.vector == VECTOR_USER)
		landed_in_user(VECTOR_USER, SEL_USER_CODE, user_code() + 2, native.trap.eflags,
			       SEL_USER_DATA, native.trap.esp);
	else
		expect(same(at(v.trap.eip), code, 2), "trap at another instruction");
}

/* ------------------------------------------------------------------------
 * Sleep
 */

void test_Pause(void)
{
	go();
}

/*
 * An interrupt that waits is taken after HLT, or the processor would sleep for
 * ever: the runner's time would run out. Not stepped: the trap between STI and
 * HLT takes the shadow away.
 */
void test_Halt(void)
{
	u32 before;

	if (stepping())
		return;
	v.in.eflags &= ~EFLAGS_IF;
	irq0_pend();
	before = irq_count[0];
	go_flags(EFLAGS_IF, EFLAGS_IF);
	equal(irq_count[0], before + 1, "interrupts delivered");
}

void test_SafeHalt(void)
{
	test_Halt();
}

/* Guests of their own: reboot.c, shutdown.c. Here, that there is code. */
static void no_return(void)
{
	expect(*(u8 *)at(target) != 0xcc && *(u8 *)at(target) != 0, "no code at %08x", target);
}

void test_Reboot(void)
{
	no_return();
}

void test_Shutdown(void)
{
	no_return();
}
