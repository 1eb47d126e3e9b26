/* SPDX-License-Identifier: GPL-2.0-only */
/* The native stubs: the register contract of all, what those do that need no privilege. */
#include <string.h>
#include "user.h"

static struct call call;

static void prepare(u32 id, u32 base)
{
	machine_load(loaded);
	call_prepare(&call, id, base);
}

/* SYSRET and SYSEXIT are undefined rather than forbidden; a TSS is in the kernel's memory. */
static bool needs_privilege(u32 id)
{
	return fault_vector == 13 || (fault_vector == 6 && id == VMI_ID_SysRet) ||
	       (fault_vector == 14 && id == VMI_ID_UpdateKernelStack);
}

static void contracts(u32 base)
{
	u32 id, returned = 0, privileged = 0;
	bool good = true;

	for (id = 0; id < VMI_CALL_COUNT; id++) {
		const char *broke = NULL;

		prepare(id, base);
		call_run(&call, 0);
		if (call.ended == ENDED_FAULT && needs_privilege(id)) {
			privileged++;
			continue;
		}
		if (call.ended == ENDED_FAULT)
			broke = "a fault";
		else
			broke = call_broke(&call, record(id)->out);
		returned++;
		if (broke) {
			note("%s: %s; exception %u at %#x", call_name(id), broke, fault_vector,
			     call.after.eip - base - IMAGE);
			good = false;
		}
	}
	note("%s at %#x: %u calls came back, %u want a privilege", loaded->name, base + IMAGE,
	     returned, privileged);
	ok(good && returned > 40 && returned + privileged == VMI_CALL_COUNT,
	   "%s at %#x: native stubs keep registers and flags", loaded->name, base + IMAGE);
}

/* Results: the words behind SCRATCH + offset are 1 and 2 before; arguments as given. */
static u32 *const entry = (u32 *)(HIGH + SCRATCH);

static bool does(u32 id, u32 eax, u32 edx, u32 ecx, u32 s1)
{
	prepare(id, HIGH);
	call.before.eax = eax;
	call.before.edx = edx;
	call.before.ecx = ecx;
	call.stack[0] = s1;
	entry[0] = 0x11;
	entry[1] = 0x22;
	call_run(&call, 0);
	return call.ended == ENDED_RETURN;
}

#define AT (HIGH + SCRATCH)
#define LONG(high, low) ((u64)(high) << 32 | (low))

static void results(void)
{
	bool good = true;

#define WANT(condition)                                                                            \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			note("%s: not %s; EAX %#x EDX %#x, entry %#x %#x", call_name(call.id),     \
			     #condition, call.after.eax, call.after.edx, entry[0], entry[1]);      \
			good = false;                                                              \
		}                                                                                  \
	} while (0)
#define EAX call.after.eax
#define RESULT LONG(call.after.edx, call.after.eax)
#define ENTRY LONG(entry[1], entry[0])
	WANT(does(VMI_ID_SetPxE, 5, AT, 1, 0) && entry[0] == 5 && entry[1] == 0x22);
	WANT(does(VMI_ID_SetPte, 5, AT, 1, 0) && entry[0] == 5 && entry[1] == 0x22);
	WANT(does(VMI_ID_SetPxE_v13, AT, 5, 1, 0) && entry[0] == 5 && entry[1] == 0x22);
	WANT(does(VMI_ID_SetPxELong, 5, 6, AT, 1) && ENTRY == LONG(6, 5));
	WANT(does(VMI_ID_SetPxELong_v13, 5, 6, AT, 1) && ENTRY == LONG(6, 5));
	WANT(does(VMI_ID_SetPteLong, 5, 6, AT, 1) && ENTRY == LONG(6, 5));
	WANT(does(VMI_ID_GetPxE, AT, 0, 0, 0) && EAX == 0x11);
	WANT(does(VMI_ID_GetPteVal, 77, 0, 0, 0) && EAX == 77);
	WANT(does(VMI_ID_GetPdeVal, 77, 0, 0, 0) && EAX == 77);
	WANT(does(VMI_ID_GetPxELong, AT, 0, 0, 0) && RESULT == LONG(0x22, 0x11));
	WANT(does(VMI_ID_SwapPxE, AT, 5, 0, 0) && EAX == 0x11 && entry[0] == 5);
	WANT(does(VMI_ID_SwapPte, 5, AT, 0, 0) && EAX == 0x11 && entry[0] == 5);
	WANT(does(VMI_ID_SwapPxELongAtomic, 5, 6, AT, 0) && RESULT == LONG(0x22, 0x11) &&
	     ENTRY == LONG(6, 5));
	WANT(does(VMI_ID_DeactivatePxELongAtomic, AT, 0, 0, 0) && RESULT == LONG(0x22, 0x11) &&
	     !ENTRY);
	WANT(does(VMI_ID_TestAndSetPxEBit, AT, 1, 0, 0) && !EAX && entry[0] == 0x13);
	WANT(does(VMI_ID_TestAndSetPteBit, 4, AT, 0, 0) && EAX == 1 && entry[0] == 0x11);
	WANT(does(VMI_ID_TestAndClearPxEBit, AT, 4, 0, 0) && EAX == 1 && entry[0] == 1);
	WANT(does(VMI_ID_TestAndClearPteBit, 5, AT, 0, 0) && !EAX && entry[0] == 0x11);
	WANT(does(VMI_ID_TestAndClearPteBit, 32, AT, 0, 0) && !EAX && ENTRY == LONG(0x22, 0x11));
	WANT(does(VMI_ID_TestAndSetPxELongBit, AT, 32, 0, 0) && !EAX && entry[1] == 0x23);
	WANT(does(VMI_ID_TestAndSetPteBitLong, 33, AT, 0, 0) && EAX == 1 && entry[1] == 0x22);
	WANT(does(VMI_ID_TestAndClearPxELongBit, AT, 33, 0, 0) && EAX == 1 && entry[1] == 0x20);
	WANT(does(VMI_ID_TestAndClearPteBitLong, 64, AT, 0, 0) && !EAX &&
	     ENTRY == LONG(0x22, 0x11));
	WANT(does(VMI_ID_WriteGDTEntry, AT - 8, 1, 5, 6) && ENTRY == LONG(6, 5));
	WANT(does(VMI_ID_WriteLDTEntry, AT - 8, 1, 5, 6) && ENTRY == LONG(6, 5));
	WANT(does(VMI_ID_WriteIDTEntry, AT - 8, 1, 5, 6) && ENTRY == LONG(6, 5));
	WANT(does(VMI_ID_UpdateKernelStack_v13, AT - 4, 5, 0, 0) && entry[0] == 5);
	WANT(does(VMI_ID_MachineToPhysical, 77, 0, 0, 0) && EAX == 77);
	WANT(does(VMI_ID_PhysicalToMachine, 77, 0, 0, 0) && EAX == 77);
	WANT(does(VMI_ID_GetInterruptMask, 0, 0, 0, 0) && EAX == FLAG_IF);
	ok(good, "%s: results of native stubs", loaded->name);
}

void check_native(void)
{
	contracts(LOW);
	contracts(HIGH);
	results();
}
