# SPDX-License-Identifier: GPL-2.0-only
# What a VMM compiles of the core.
VMM_CORE := $(addprefix vmm/core/,core.c calls.c time.c stats.c)
VMM_CORE_HEADERS := $(addprefix vmm/core/,vmm.h core.h) include/vmi_abi.h
