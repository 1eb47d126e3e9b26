#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The trap host in a process: vmi_process_post(), Init and the stubs of each image
# against a VMM that is played (trap.c).

# shellcheck source=test-guest/host/tap.sh
. "$(dirname "$0")/tap.sh"

if ! ${CC:-gcc} -std=gnu11 -m32 -O1 -Wall -Wextra -Werror -fno-strict-aliasing -fcf-protection=none \
	-fno-pie -no-pie -Iinclude -o "$tmp/trap" test-guest/host/trap.c 2>"$tmp/log"; then
	fail "trap.c compiles" "$(cat "$tmp/log")"
	done_testing
fi
if [ ! -s "$O/vmi.rom" ]; then
	echo "Bail out! no $O/vmi.rom: run make"
	exit 1
fi
set --
for image in vmi vmi-13 vmi-6; do
	tail -c +65 "$O/$image.rom" >"$tmp/elf"
	post=$(nm "$tmp/elf" | sed -n 's/^\([0-9a-f]*\) . vmi_process_post$/0x\1/p')
	set -- "$@" "$O/$image.rom" "$post"
done
timeout -k 5 60 "$tmp/trap" "$@"
