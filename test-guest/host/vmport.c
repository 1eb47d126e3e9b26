/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A TCG plugin that gives QEMU's vmport the command of VMware's backdoor that
 * stock QEMU lacks (as of 10.0): the host's time of day. It follows the
 * machine's own clock, so that it is exact under -icount; the guest sets it and
 * makes it drift, by commands that VMware has not.
 *
 * No header of QEMU's is needed: what is used is declared here, and the guest's
 * registers are found in its CPU by what the guest put there.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MAGIC 0x564d5868
#define PORT 0x5658
#define START 1798761600ull /* 2027-01-01, as -rtc base of test-guest/run */

enum {
	GETTIMEFULL = 46,
	SET = 60,   /* ESI:EBX: nanoseconds that are added from now on, signed */
	DRIFT = 61, /* EBX: parts in a million that it is fast from now on, signed */
	COUNT = 62, /* EBX: how often the time was told */
	REMOVE = 63 /* nobody answers GETTIMEFULL any more */
};

typedef uint32_t command(void *opaque, uint32_t address);

extern void vmport_register(int number, command *f, void *opaque);
extern int64_t qemu_clock_get_ns(int type);
extern __thread void *current_cpu;
#define QEMU_CLOCK_VIRTUAL 1

typedef uint64_t qemu_plugin_id_t;
extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
						  void (*f)(qemu_plugin_id_t id, void *tb));

static int64_t offset, drift, drift_since;
static uint32_t told;

/* The registers of the CPU that executes IN: EAX ECX EDX EBX ESP EBP ESI EDI. */
static uint32_t *registers(uint32_t number)
{
	uint32_t want[3] = { MAGIC, number, PORT };
	char *cpu = current_cpu;
	size_t at;

	for (at = 0; at < 0x8000; at += 4)
		if (!memcmp(cpu + at, want, sizeof(want)))
			return (uint32_t *)(cpu + at);
	return NULL;
}

static int64_t drifted(void)
{
	return (qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) - drift_since) / 1000000 * drift;
}

static uint32_t time_full(void *opaque, uint32_t address)
{
	uint32_t *r = registers(GETTIMEFULL);
	uint64_t ns;

	(void)opaque, (void)address;
	if (!r)
		return ~0u;
	ns = START * 1000000000 + qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + offset + drifted();
	r[3] = ns % 1000000000 / 1000;
	r[2] = ns / 1000000000;
	r[6] = ns / 1000000000 >> 32;
	r[1] = 1000000;
	told++;
	return MAGIC;
}

static uint32_t set(void *opaque, uint32_t address)
{
	uint32_t *r = registers(SET);

	(void)opaque, (void)address;
	if (!r)
		return ~0u;
	offset += (int64_t)((uint64_t)r[6] << 32 | r[3]);
	return MAGIC;
}

static uint32_t set_drift(void *opaque, uint32_t address)
{
	uint32_t *r = registers(DRIFT);

	(void)opaque, (void)address;
	if (!r)
		return ~0u;
	offset += drifted();
	drift_since = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
	drift = (int32_t)r[3];
	return MAGIC;
}

static uint32_t count(void *opaque, uint32_t address)
{
	uint32_t *r = registers(COUNT);

	(void)opaque, (void)address;
	if (!r)
		return ~0u;
	r[3] = told;
	return MAGIC;
}

static uint32_t take_away(void *opaque, uint32_t address)
{
	(void)opaque, (void)address;
	vmport_register(GETTIMEFULL, NULL, NULL);
	return MAGIC;
}

/* The machine is there when the first code is translated. */
static void first(qemu_plugin_id_t id, void *tb)
{
	static int done;

	(void)id, (void)tb;
	if (__atomic_exchange_n(&done, 1, __ATOMIC_RELAXED))
		return;
	vmport_register(GETTIMEFULL, time_full, NULL);
	vmport_register(SET, set, NULL);
	vmport_register(DRIFT, set_drift, NULL);
	vmport_register(COUNT, count, NULL);
	vmport_register(REMOVE, take_away, NULL);
}

int qemu_plugin_version = 1;
int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv);
int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
	(void)info, (void)argc, (void)argv;
	qemu_plugin_register_vcpu_tb_trans_cb(id, first);
	return 0;
}
