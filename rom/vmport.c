/* SPDX-License-Identifier: GPL-2.0-only */
/* The host's time of day, from VMware's backdoor [QEMU hw/i386/vmport.c, open-vm-tools]. */
#include "rom.h"

#define BACKDOOR_PORT 0x5658
#define BACKDOOR_MAGIC 0x564d5868
#define BACKDOOR_GETTIMEFULL 46

u64 vmport_time(void)
{
	u32 eax = BACKDOOR_MAGIC, microseconds = ~0u, ecx = BACKDOOR_GETTIMEFULL;
	u32 edx = BACKDOOR_PORT, high = 0;

	__asm__ volatile("inl %%dx, %%eax"
			 : "+a"(eax), "+b"(microseconds), "+c"(ecx), "+d"(edx), "+S"(high)
			 :
			 : "memory");
	/* Old QEMUs leave everything as it was where they do not know the command. */
	if (eax != BACKDOOR_MAGIC || microseconds >= 1000000)
		return 0;
	return ((u64)high << 32 | edx) * NANOSECONDS + microseconds * 1000ull;
}
