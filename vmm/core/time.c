/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Alarms, one a counter and vCPU, on the one timer that the VMM gives a vCPU; and what the
 * guest reads in vmi_shared.time. All is in nanoseconds.
 */
#include "core.h"

static u64 add(u64 a, u64 b)
{
	return a + b < a ? VMM_NEVER - 1 : a + b;
}

/* The real time at which an alarm is due, as far as it is known now. */
static u64 deadline(struct vmm_vcpu *vcpu, u32 counter)
{
	const struct vmm_alarm *alarm = &vcpu->alarm[counter];

	if (!alarm->armed)
		return VMM_NEVER;
	if (counter == VMI_CYCLES_REAL)
		return alarm->expiry == VMM_NEVER ? VMM_NEVER - 1 : alarm->expiry;
	return add(alarm->expiry, vcpu->vm->ops->clock(vcpu, VMM_CLOCK_STOLEN));
}

static void program(struct vmm_vcpu *vcpu)
{
	u64 first = deadline(vcpu, VMI_CYCLES_REAL), second = deadline(vcpu, VMI_CYCLES_AVAILABLE);

	vcpu->vm->ops->set_timer(vcpu, first < second ? first : second);
}

void core_alarm_set(struct vmm_vcpu *vcpu, u32 flags, u64 expiry, u64 period)
{
	u32 counter = flags & VMI_ALARM_COUNTER_MASK;
	struct vmm_alarm *alarm;

	if (counter > VMI_CYCLES_AVAILABLE)
		return;
	alarm = &vcpu->alarm[counter];
	if (!(flags & VMI_ALARM_PERIODIC))
		period = 0;
	if (period && period < vcpu->vm->period_least)
		period = vcpu->vm->period_least;
	alarm->armed = true;
	alarm->lvtt = (flags & VMI_ALARM_WIRED_LVTT) != 0;
	alarm->expiry = expiry;
	alarm->period = period;
	program(vcpu);
}

/* It was armed: a shot that had not fired, or a period; it does not fire any more. */
bool core_alarm_cancel(struct vmm_vcpu *vcpu, u32 flags)
{
	u32 counter = flags & VMI_ALARM_COUNTER_MASK;

	if (counter > VMI_CYCLES_AVAILABLE || !vcpu->alarm[counter].armed)
		return false;
	vcpu->alarm[counter].armed = false;
	program(vcpu);
	return true;
}

void core_alarm_reset(struct vmm_vcpu *vcpu)
{
	bool armed = vcpu->alarm[0].armed || vcpu->alarm[1].armed;

	vcpu->alarm[0].armed = vcpu->alarm[1].armed = false;
	if (armed && vcpu->vm->ops->set_timer)
		vcpu->vm->ops->set_timer(vcpu, VMM_NEVER);
}

/* On to the first expiry that is not past: remainder by shifts, no 64-bit division. */
static void next_period(struct vmm_alarm *alarm, u64 now)
{
	u64 behind = now - alarm->expiry, step = alarm->period, next;

	while (!(step >> 63) && step << 1 <= behind)
		step <<= 1;
	for (; step >= alarm->period; step >>= 1)
		if (behind >= step)
			behind -= step;
	next = now - behind + alarm->period;
	alarm->armed = next > now;
	alarm->expiry = next;
}

u32 vmm_timer_fired(struct vmm_vcpu *vcpu, u64 now)
{
	u32 counter, due = 0;

	for (counter = 0; counter < 2; counter++) {
		struct vmm_alarm *alarm = &vcpu->alarm[counter];
		u64 value = now;

		if (!alarm->armed)
			continue;
		if (counter == VMI_CYCLES_AVAILABLE)
			value -= vcpu->vm->ops->clock(vcpu, VMM_CLOCK_STOLEN);
		if (value < alarm->expiry)
			continue;
		due |= alarm->lvtt ? VMM_DUE_LVTT : VMM_DUE_IRQ0;
		if (alarm->period)
			next_period(alarm, value);
		else
			alarm->armed = false;
	}
	if (vcpu->vm->ops->set_timer)
		program(vcpu);
	return due;
}

static void time_write(struct vmi_shared_time *to, const struct vmi_shared_time *from, u32 version,
		       u32 wall_version)
{
	const u32 skip = VMI_OFFSET(struct vmi_shared_time, tsc);

	__atomic_store_n(&to->version, version - 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	to->wall_version = wall_version;
	core_copy((u8 *)to + skip, (const u8 *)from + skip, sizeof(*to) - skip);
	__atomic_store_n(&to->version, version, __ATOMIC_RELEASE);
}

void vmm_time_update(struct vmm_vcpu *vcpu, const struct vmi_shared_time *time)
{
	u32 wall_version = vcpu->vm->wall_version;

	vcpu->time_version += 2;
	time_write(&vcpu->own.time, time, vcpu->time_version, wall_version);
	if (vcpu->shared != &vcpu->own)
		time_write(&vcpu->shared->time, time, vcpu->time_version, wall_version);
}

void vmm_wall_stepped(struct vmm *vm)
{
	__atomic_fetch_add(&vm->wall_version, 1, __ATOMIC_RELAXED);
}
