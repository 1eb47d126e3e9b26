#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The clocks' C against a machine and a hypervisor that are played, and the counter's
# stub on this processor (clock.c).

# shellcheck source=test-guest/host/tap.sh
. "$(dirname "$0")/tap.sh"

if [ ! -s "$O/vmi.rom" ]; then
	echo "Bail out! no $O/vmi.rom: run make"
	exit 1
fi
stub=$(tail -c +65 "$O/vmi.rom" >"$tmp/elf" && nm "$tmp/elf" |
	sed -n 's/^\([0-9a-f]*\) . VMI_GetCycleCounter$/0x\1/p')
if ! ${CC:-gcc} -std=gnu11 -m32 -O1 -Wall -Wextra -Werror -Wno-unused-function \
	-fno-strict-aliasing -Iinclude -Irom -pthread -o "$tmp/clock" test-guest/host/clock.c \
	2>"$tmp/log"; then
	fail "clock.c compiles" "$(cat "$tmp/log")"
	done_testing
fi
timeout -k 5 100 "$tmp/clock" "$O/vmi.rom" "$stub"
