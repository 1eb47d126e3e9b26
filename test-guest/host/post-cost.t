#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What POST costs: the guest's instructions that are executed at addresses of
# each image until SeaBIOS boots, at most 100,000. A round of a REP counts as
# one; INT 10h runs elsewhere. The time is QEMU's, one instruction a nanosecond:
# the same with any load of this machine.
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=/dev/null
. test-guest/host/lib.sh

require_file qemu-system-x86 qemu-system-i386

MOST=100000
IMAGES=(vmi vmi-13 vmi-6)

wait_bios() # REGEXP
{
	while ! grep -Eaq -- "$1" "$TMP/vm.bios" 2>/dev/null; do
		vm_running || return 1
		sleep 0.1
	done
}

# The address of the image that is this file, of those that ran; empty: none.
image_at() # FILE
{
	local segment size

	size=4096
	tr -d '\r' <"$TMP/vm.bios" | sed -n 's/^Running option rom at \([0-9a-f]*\):.*/\1/p' |
		while read -r segment; do
			vm_memory $((0x$segment * 16)) "$size" "$TMP/image" || return
			# The header is the first 40 bytes, and bindings may be new.
			if cmp -s <(tail -c +129 "$1" | head -c $((size - 128))) \
				<(tail -c +129 "$TMP/image"); then
				echo $((0x$segment * 16))
			fi
		done
}

trace_count() # FROM LENGTH
{
	perl -ne '$n++ if m{\[[0-9a-f]+/([0-9a-f]+)/} && hex $1 >= '"$1"' && hex $1 < '"$1 + $2"';
		END { print $n + 0 }' "$TMP/trace"
}

cheap() # INSTRUCTIONS; so few that nothing was measured would be no POST
{
	echo "$1 instructions"
	[ "$1" -gt 1000 ] && [ "$1" -le $MOST ]
}

# Each image alone: a later one finds what the first has measured.
cost() # NAME QEMU-ARGS...
{
	local name=$1 image at instructions

	shift
	for image in "${IMAGES[@]}"; do
		# With nothing to boot it stays there, instead of a second POST.
		vm_start 60 -m 64 -boot reboot-timeout=-1 -icount "shift=0,sleep=off" -singlestep \
			-d exec,nochain -dfilter 0xc8000+0x18000 -D "$TMP/trace" \
			-option-rom "$O/$image.rom" "$@"
		wait_bios '^enter handle_19'
		vm_monitor stop
		at=$(image_at "$O/$image.rom")
		if [ -z "$at" ]; then
			fail_file "$name, $image: SeaBIOS runs it" "$TMP/vm.bios"
		else
			instructions=$(trace_count "$at" "$(stat -c %s "$O/$image.rom")")
			echo "# $name, $image: $instructions instructions"
			ok "$name, $image: at most $MOST instructions" cheap "$instructions"
		fi
		vm_stop
	done
}

cost pc -M pc
cost "q35, 8 CPUs" -M q35 -smp 8
cost "pc, no ACPI" -M pc -no-acpi
done_testing
