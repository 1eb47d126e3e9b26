/* SPDX-License-Identifier: GPL-2.0-only */
#include "rom.h"
u64 rom_cycle_frequency(void);
u64 rom_cycle_frequency(void){return 0;}
void rom_set_alarm(u32 flags, u32 lo, u32 hi, u64 period);
void rom_set_alarm(u32 flags, u32 lo, u32 hi, u64 period){(void)flags;(void)lo;(void)hi;(void)period;}
u32 rom_cancel_alarm(u32 flags);
u32 rom_cancel_alarm(u32 flags){(void)flags;return 0;}
u64 rom_wallclock(void);
u64 rom_wallclock(void){return 0;}
u32 rom_wallclock_updated(void);
u32 rom_wallclock_updated(void){return 0;}
void rom_set_initial_ap_state(u32 a,u32 id);
void rom_set_initial_ap_state(u32 a,u32 id){(void)a;(void)id;}
u32 rom_apic_read(u32 offset);
u32 rom_apic_read(u32 offset){(void)offset;return 0;}
void rom_apic_write(u32 offset,u32 value);
void rom_apic_write(u32 offset,u32 value){(void)offset;(void)value;}
