/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * QEMU's fw_cfg device, by its ports [QEMU docs/specs/fw_cfg]. Runs at POST.
 * The ports are only touched under CPUID's hypervisor bit.
 */
#include "rom.h"

#define FW_CFG_SELECTOR 0x510
#define FW_CFG_DATA 0x511
#define FW_CFG_SIGNATURE 0x0000
#define FW_CFG_FILE_DIR 0x0019

struct fw_cfg_file {
	u32 size; /* big endian, as the next one */
	u16 select;
	u16 reserved;
	char name[56];
};
_Static_assert(sizeof(struct fw_cfg_file) == 64, "directory entry");

static u32 be32(u32 value)
{
	return value << 24 | (value & 0xff00) << 8 | (value >> 8 & 0xff00) | value >> 24;
}

static u32 length(const char *s)
{
	u32 n = 0;

	while (s[n])
		n++;
	return n;
}

static bool fw_cfg_present(void)
{
	u32 signature;

	if (!cpuid_present() || !(cpuid(1).ecx & CPUID_1_ECX_HYPERVISOR))
		return false;
	outw(FW_CFG_SELECTOR, FW_CFG_SIGNATURE);
	insb(FW_CFG_DATA, &signature, 4);
	return signature == 0x554d4551; /* "QEMU" */
}

int fw_cfg_read(const char *name, char *buffer, u32 size)
{
	u32 bytes = length(name) + 1;
	struct fw_cfg_file file;
	int none = -2;
	u32 count;

	if (!fw_cfg_present())
		return none;
	outw(FW_CFG_SELECTOR, FW_CFG_FILE_DIR);
	insb(FW_CFG_DATA, &count, 4);
	for (count = be32(count); count && count < 0x1000; count--) {
		insb(FW_CFG_DATA, &file, sizeof(file));
		if (!same(file.name, name, sizeof("opt/vmi/") - 1))
			continue;
		none = -1;
		if (same(file.name, name, bytes)) {
			outw(FW_CFG_SELECTOR, (u16)(file.select << 8 | file.select >> 8));
			bytes = be32(file.size);
			if (bytes > size - 1)
				bytes = size - 1;
			insb(FW_CFG_DATA, buffer, bytes);
			buffer[bytes] = 0;
			return (int)bytes;
		}
	}
	return none;
}
