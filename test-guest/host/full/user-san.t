#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# vmm/user again, with the host's part under AddressSanitizer and UBSan.

# shellcheck source=test-guest/host/tap.sh
. "$(dirname "$0")/../tap.sh"

sanitize='-fsanitize=address,undefined -fno-sanitize-recover=all'
# shellcheck disable=SC2154 # tap.sh
if ! make -s O="$tmp" VMM_USER_SANITIZE="$sanitize" "$tmp/vmm-user" >"$tmp/log" 2>&1; then
	fail "vmm-user compiles" "$(cat "$tmp/log")"
	done_testing
fi
timeout -k 5 600 "$tmp/vmm-user" "$O/vmi.rom" "$O/vmi-13.rom" "$O/vmi-6.rom"
