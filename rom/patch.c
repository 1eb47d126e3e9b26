/* SPDX-License-Identifier: GPL-2.0-only */
/* PatchSites: call sites, rewritten with what is best on this host (vmi_abi.h). */
#include "rom.h"

u32 rom_patch_sites(struct vmi_patch *patch);
u32 rom_patch_sites(struct vmi_patch *patch)
{
	patch->refused = 0;
	return VMI_PATCH_REQUEST;
}
