#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A GRUB rescue CD, which knows nothing of VMI: the same text on the screen
# with the images and without, but for the memory that POST took.
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=/dev/null
. test-guest/host/lib.sh

require_file qemu-system-x86 qemu-system-i386
require_file grub-common grub-mkrescue
require_file grub-pc-bin /usr/lib/grub/i386-pc/lsmmap.mod
require_file xorriso xorriso
require_file mtools mformat

cat >"$TMP/grub.cfg" <<'END'
terminal_output console
clear
echo "$grub_platform $grub_cpu"
ls
cat /boot/grub/text
lspci
lsmmap
echo "The end"
sleep 1000
END
echo "text from the CD" >"$TMP/text"
if ! grub-mkrescue -d /usr/lib/grub/i386-pc -o "$TMP/grub.iso" --fonts= --locales= --themes= \
	--install-modules="normal echo cat ls lspci lsmmap sleep" \
	boot/grub/grub.cfg="$TMP/grub.cfg" boot/grub/text="$TMP/text" >"$TMP/mkrescue" 2>&1; then
	fail_file "grub-mkrescue makes a CD" "$TMP/mkrescue"
	done_testing
fi

# The two regions below 640 KiB, without their sizes.
mask()
{
	sed -E -e 's/^(base_addr = 0x0, length = 0x)[0-9a-f]+(, available)/\1N\2/' \
		-e 's/^(base_addr = 0x)9[0-9a-f]{4}(, length = 0x)[0-9a-f]+(, reserved)/\1N\2N\3/' "$1"
}

grub() # NAME QEMU-ARGS...
{
	local name=$1 result=1

	shift
	vm_start 30 -m 64 -cdrom "$TMP/grub.iso" "$@"
	if vm_wait_screen '^The end'; then
		mask "$TMP/vm.screen" >"$TMP/$name.screen"
		vm_base_memory >"$TMP/$name.base"
		result=0
	fi
	cp "$TMP/vm.screen" "$TMP/$name.last" 2>/dev/null
	vm_stop
	return $result
}

# What lsmmap shows of the first 640 KiB is what 40:13 says.
map_agrees() # NAME
{
	local is

	cat "$TMP/$1.last"
	is=$(cat "$TMP/$1.base")
	echo "40:13 is ${is:-?} KiB"
	grep -q "^$(printf 'base_addr = 0x0, length = 0x%x, available RAM' $((is * 1024)))\$" \
		"$TMP/$1.last" &&
		grep -q "^$(printf 'base_addr = 0x%x, length = 0x%x, reserved RAM' $((is * 1024)) \
			$(((640 - is) * 1024)))\$" "$TMP/$1.last"
}

memory_taken() # NAME REFERENCE IMAGES
{
	local was is

	was=$(cat "$TMP/$2.base")
	is=$(cat "$TMP/$1.base")
	echo "40:13 is ${is:-?} KiB, without ${was:-?} KiB"
	[ "$is" -lt "$was" ] && [ $((was - is)) -le $(($3 * 16)) ]
}

for machine in pc q35; do
	if grub "$machine" -M "$machine"; then
		pass "$machine: GRUB comes up without"
	else
		fail_file "$machine: GRUB comes up without" "$TMP/$machine.last"
	fi
	ok "$machine: 40:13 and E820 agree without" map_agrees "$machine"
	for images in vmi vmi-13 vmi-6 "vmi vmi-13 vmi-6"; do
		name="$machine, ${images// /+}"
		args=()
		n=0
		for image in $images; do
			args+=(-option-rom "$O/$image.rom")
			n=$((n + 1))
		done
		if grub "$name" -M "$machine" "${args[@]}"; then
			pass "$name: GRUB comes up"
		else
			fail_file "$name: GRUB comes up" "$TMP/$name.last"
		fi
		ok "$name: the screen is as without" same "$TMP/$machine.screen" "$TMP/$name.screen"
		ok "$name: 40:13 and E820 agree" map_agrees "$name"
		ok "$name: memory was taken" memory_taken "$name" "$machine" "$n"
	done
done
done_testing
