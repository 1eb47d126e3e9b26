#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# memtest86+, which knows nothing of VMI and writes to all memory that it
# believes free: it finds the same machine with each image and without, and
# leaves the memory that POST took alone.
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=/dev/null
. test-guest/host/lib.sh

MEMTEST=${MEMTEST:-/boot/memtest86+ia32.bin}

require_file qemu-system-x86 qemu-system-i386
require_file memtest86+ "$MEMTEST"

# What differs from run to run: speeds, times, progress, random patterns.
mask()
{
	sed -E -e 's/[0-9.]+(MHz|[KMG]B\/s)/N\1/g' -e 's/(Pass|Test) +[0-9]+% *#*/\1 N%/' \
		-e 's/0x[0-9a-f]{8}/0xN/' -e 's/Time: .*$/Time/' -e 's/ +$//' "$1"
}

# The upper end of the first region of memory, as the BIOS's log has it, in KiB.
e820_base()
{
	local end

	end=$(tr -d '\r' <"$TMP/vm.bios" | sed -nE 's/^ *0: 0{16} - ([0-9a-f]{16}) = 1 RAM/\1/p')
	echo $((0x${end:-0} / 1024))
}

# Run up to the test that waits 80 seconds: by then all others have run.
memtest() # NAME [IMAGE]
{
	local name=$1 args=()

	[ -n "${2:-}" ] && args=(-option-rom "$2")
	vm_start 60 -m 8 -kernel "$MEMTEST" "${args[@]}"
	if vm_wait_screen 'Press <F1> to configure'; then
		vm_base_memory >"$TMP/$name.base"
		e820_base >"$TMP/$name.e820"
		vm_memory 0x80000 0x20000 "$TMP/$name.before"
		vm_monitor send-key '"keys":[{"type":"qcode","data":"ret"}]'
		if vm_wait_screen 'Test #10'; then
			vm_memory 0x80000 0x20000 "$TMP/$name.after"
			mask "$TMP/vm.screen" >"$TMP/$name.screen"
		fi
	fi
	cp "$TMP/vm.screen" "$TMP/$name.last" 2>/dev/null
	vm_stop
	[ -s "$TMP/$name.screen" ]
}

no_errors() # NAME
{
	cat "$TMP/$1.last"
	grep -Eq 'Errors: +0 *$' "$TMP/$1.last"
}

# POST took memory from the top, and everybody is told the same.
memory_taken() # NAME
{
	local was is e820

	was=$(cat "$TMP/none.base")
	is=$(cat "$TMP/$1.base")
	e820=$(cat "$TMP/$1.e820")
	echo "40:13 is ${is:-?} KiB, without ${was:-?} KiB; E820's first region ends at $e820 KiB"
	[ "$is" -lt "$was" ] && [ $((was - is)) -le 16 ] && [ "$e820" = "$is" ]
}

part() # FILE FROM-KIB TO-KIB; FILE starts at 512 KiB
{
	tail -c +$((($2 - 512) * 1024 + 1)) "$1" | head -c $((($3 - $2) * 1024)) | od -An -v -tx1
}

memory_untouched() # NAME
{
	local from to

	to=$(cat "$TMP/none.base")
	from=$(cat "$TMP/$1.base")
	part "$TMP/$1.before" "$from" "$to" >"$TMP/before"
	part "$TMP/$1.after" "$from" "$to" >"$TMP/after"
	same "$TMP/before" "$TMP/after" || return
	# All zero would be memory that nobody uses.
	grep -q '[1-9a-f]' "$TMP/after"
}

# The comparison above means something only if other memory was written.
memory_written()
{
	part "$TMP/none.before" 600 632 >"$TMP/before"
	part "$TMP/none.after" 600 632 >"$TMP/after"
	! same "$TMP/before" "$TMP/after" >/dev/null
}

if memtest none; then
	pass "without: the tests run"
else
	fail_file "without: the tests run" "$TMP/none.last"
fi
ok "without: no errors" no_errors none
ok "without: memory below 632 KiB is written" memory_written

for image in vmi vmi-13 vmi-6; do
	if memtest "$image" "$O/$image.rom"; then
		pass "$image: the tests run"
	else
		fail_file "$image: the tests run" "$TMP/$image.last"
	fi
	ok "$image: no errors" no_errors "$image"
	ok "$image: the screen is as without" same "$TMP/none.screen" "$TMP/$image.screen"
	ok "$image: memory is taken from the top of 640 KiB" memory_taken "$image"
	ok "$image: the memory taken is not written" memory_untouched "$image"
done
done_testing
