#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# SeaBIOS with nothing to boot: the screen has each image's banner, one line,
# and is otherwise as without; with opt/vmi/quiet it has none.
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=/dev/null
. test-guest/host/lib.sh

require_file qemu-system-x86 qemu-system-i386

# The machine stays for more.
seabios() # NAME QEMU-ARGS...
{
	local name=$1

	shift
	vm_start 30 "$@"
	look "$name"
}

look() # NAME
{
	local result=1

	if vm_wait_screen '^No bootable device'; then
		cp "$TMP/vm.screen" "$TMP/$1.screen"
		vm_base_memory >"$TMP/$1.base"
		result=0
	fi
	cp "$TMP/vm.screen" "$TMP/$1.last" 2>/dev/null
	return $result
}

# The old screen stays for a while: the log knows when POST has ended again.
again() # NAME
{
	while [ "$(grep -c '^No bootable device' "$TMP/vm.bios")" -lt 2 ]; do
		vm_running || return
		sleep 0.1
	done
	look "$1"
}

# Blank lines at the end make up for the banner's line.
text() # FILE
{
	sed -e '/^VMI ROM/d' "$1" | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}'
}

same_text() # NAME REFERENCE
{
	text "$TMP/$2.screen" >"$TMP/a"
	text "$TMP/$1.screen" >"$TMP/b"
	same "$TMP/a" "$TMP/b"
}

# One line a revision, and no other; each takes memory where the one before ended.
banners() # NAME REFERENCE REVISION...
{
	local name=$1 line base said=()
	local form='^VMI ROM [0-9.]+: VMI ([0-9.]+) at ([CD][0-9A-F]{4}), host native, clock [a-z]+, '

	form+='([0-9]+) KiB at ([0-9A-F]{5})$'

	cat "$TMP/$name.last"
	base=$(cat "$TMP/$2.base")
	shift 2
	while read -r line; do
		[[ $line =~ $form ]] || return
		said+=("${BASH_REMATCH[1]}")
		[ $((0x${BASH_REMATCH[2]} % 2048)) = 0 ] || return
		base=$((base - BASH_REMATCH[3]))
		[ $((0x${BASH_REMATCH[4]})) = $((base * 1024)) ] || return
	done < <(grep VMI "$TMP/$name.last")
	echo "said: ${said[*]}; memory at $base KiB, 40:13 is $(cat "$TMP/$name.base")"
	[ "$(printf '%s\n' "${said[@]}" | sort)" = "$(printf '%s\n' "$@" | sort)" ] &&
		[ "$base" = "$(cat "$TMP/$name.base")" ]
}

silent() # NAME REFERENCE
{
	same "$TMP/$2.screen" "$TMP/$1.screen" &&
		[ "$(cat "$TMP/$1.base")" -lt "$(cat "$TMP/$2.base")" ]
}

run() # NAME QEMU-ARGS...
{
	if seabios "$@"; then
		pass "$1: POST ends"
	else
		fail_file "$1: POST ends" "$TMP/$1.last"
	fi
}

all=(-option-rom "$O/vmi.rom" -option-rom "$O/vmi-13.rom" -option-rom "$O/vmi-6.rom")

for machine in pc q35; do
	none="$machine, none"
	run "$none" -M "$machine" -m 64
	vm_stop
	i=0
	for image in vmi:3.0 vmi-13:13.3 vmi-6:6.1; do
		name="$machine, ${image%:*}"
		run "$name" -M "$machine" -m 64 "${all[@]:i:2}"
		vm_stop
		ok "$name: the screen is as without" same_text "$name" "$none"
		ok "$name: the banner" banners "$name" "$none" "${image#*:}"
		i=$((i + 2))
	done

	for size in "-m 16 -smp 1" "-m 4096 -smp 8"; do
		name="$machine, all, $size"
		# shellcheck disable=SC2086
		run "$name" -M "$machine" $size "${all[@]}"
		ok "$name: the screen is as without" same_text "$name" "$none"
		ok "$name: the banners" banners "$name" "$none" 3.0 13.3 6.1

		cp "$TMP/vm.screen" "$TMP/first"
		vm_monitor system_reset
		ok "$name, reset: POST ends" again "$name, reset"
		ok "$name, reset: the same screen" same "$TMP/first" "$TMP/$name, reset.screen"
		vm_stop
	done

	name="$machine, quiet"
	run "$name" -M "$machine" -m 64 "${all[@]}" -fw_cfg name=opt/vmi/quiet,string=1
	vm_stop
	ok "$name: the very screen as without, memory taken" silent "$name" "$none"

	name="$machine, quiet=off"
	run "$name" -M "$machine" -m 64 "${all[@]:0:2}" -fw_cfg name=opt/vmi/quiet,string=off
	vm_stop
	ok "$name: the banner" banners "$name" "$none" 3.0
done
done_testing
