#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Every stub on this processor, in a process that is the VMM (vmm/user).

# shellcheck source=test-guest/host/tap.sh
. "$(dirname "$0")/tap.sh"

if [ ! -x "$O/vmm-user" ]; then
	echo "Bail out! no $O/vmm-user: run make tools"
	exit 1
fi
exec timeout -k 5 300 "$O/vmm-user" "$O/vmi.rom" "$O/vmi-13.rom" "$O/vmi-6.rom"
