#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The ways of docs/firmware.md to get an image into a VMM's guest firmware: a fw_cfg
# file, behind a VGA BIOS, and no firmware at all (lib/firmware.asm). Coreboot is
# no package: what is said of CBFS was tried by hand.
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=/dev/null
. test-guest/host/lib.sh

require_file qemu-system-x86 qemu-system-i386
require_file nasm nasm
require_file bochs bochs
require_file bochs-term /usr/lib/x86_64-linux-gnu/bochs/plugins/libbx_term_gui.so
require_file bochsbios /usr/share/bochs/BIOS-bochs-latest /usr/share/bochs/BIOS-bochs-legacy
require_file vgabios /usr/share/vgabios/vgabios.bin
require_file grub-common grub-mkrescue
require_file xorriso xorriso
require_file mtools mformat

MAJOR=([3]=vmi [13]=vmi-13 [6]=vmi-6)
LINE='^VMI ROM [0-9.]+: VMI %s at C8000, host native, clock tsc, [1-9][0-9]* KiB at [0-9A-F]{5}$'

# A guest's TAP, all of it.
passed() # FILE
{
	local plan

	grep -v '^ok ' "$1"
	plan=$(sed -n 's/^1\.\.\([1-9][0-9]*\)$/\1/p' "$1")
	[ -n "$plan" ] && [ "$(grep -c '^ok ' "$1")" = "$plan" ] && ! grep -q '^not ok' "$1"
}

# The guest's text is $TMP/serial, what went to port E9 $TMP/console.
machine() # QEMU-ARGS...
{
	rm -f "$TMP/serial" "$TMP/console"
	timeout -k 5 60 "${QEMU:-qemu-system-i386}" -accel tcg -cpu max -m 64 -nodefaults \
		-display none -serial "file:$TMP/serial" -rtc base=2027-01-01,clock=vm -no-reboot \
		-device isa-debug-exit,iobase=0xf4 -chardev "file,id=e9,path=$TMP/console" \
		-device isa-debugcon,iobase=0xe9,chardev=e9 "$@" </dev/null >"$TMP/qemu" 2>&1
	tr -d '\r' <"$TMP/serial" >"$TMP/guest"
	tail -n 5 "$TMP/qemu"
}

passes() # QEMU-ARGS...
{
	machine "$@"
	passed "$TMP/guest"
}

# A machine without firmware: of a guest, and what installs the image.
firmware() # GUEST IMAGE COMMANDLINE NASM-ARGS...
{
	local guest=$O/test-guest/$1 image=$O/$2.rom line="guest $3"

	shift 3
	objcopy -O binary --set-section-flags .bss=alloc,load,contents "$guest" "$TMP/binary" &&
		nasm -Werror -f bin -o "$TMP/firmware" -DIMAGE="'$image'" -DGUEST="'$TMP/binary'" \
			-DENTRY="$(readelf -h "$guest" | sed -n 's/.*Entry point address: *//p')" \
			-DCOMMAND_LINE="'$line'" "$@" test-guest/lib/firmware.asm
}

without_firmware() # GUEST IMAGE COMMANDLINE POST QEMU-ARGS...
{
	firmware "$1" "$2" "$3" -DPOST="$4" && passes -bios "$TMP/firmware" "${@:5}"
}

console() # REVISION
{
	local form

	# shellcheck disable=SC2059 # it is a format
	form=$(printf "$LINE" "$1")
	cat "$TMP/console"
	tr -d '\r' <"$TMP/console" | grep -Eq "$form" && [ "$(wc -l <"$TMP/console")" = 1 ]
}

for major in 3 13 6; do
	rom=${MAJOR[major]}
	ok "fw_cfg genroms/: $rom" passes -vga std -kernel "$O/test-guest/init.flat" \
		-append "guest rom=$rom major=$major" -fw_cfg "name=genroms/any,file=$O/$rom.rom"
done

for post in 16 32; do
	for major in 3.0 13.3 6.1; do
		rom=${MAJOR[${major%.*}]}
		for guest in init.high image.flat; do
			ok "no firmware, entry $post: $rom, $guest" without_firmware $guest "$rom" \
				"rom=$rom major=${major%.*}" $post
			ok "no firmware, entry $post: $rom, $guest: POST's line" console $major
		done
	done
	ok "no firmware, entry $post: every call" without_firmware calls.high vmi "rom=vmi icount" \
		$post -icount shift=0,sleep=off -vga std
	ok "no firmware, entry $post: alarms" without_firmware alarm.pae vmi "rom=vmi rules icount" \
		$post -icount shift=0,sleep=off
	ok "no firmware, entry $post: quiet" without_firmware init.flat vmi rom=vmi $post \
		-fw_cfg name=opt/vmi/quiet,string=1
	empty "no firmware, entry $post: quiet: the console" "$(cat "$TMP/console")"
done

# What a VMM forgets.
said() # REGEXP
{
	head -n 100 "$TMP/guest"
	grep -Eq -- "$1" "$TMP/guest"
}

ok "no POST: the firmware" firmware demo.flat vmi "" -DPOST=0
machine -bios "$TMP/firmware"
ok "no POST: Init returns -1" said '^VMI 3\.0 image at C8000, .* Init returns 4294967295$'
ok "a PIT as after reset: the firmware" firmware demo.flat vmi "" -DPOST=16 -DNO_PIT
machine -bios "$TMP/firmware"
ok "a PIT as after reset: Init returns 0" said '^VMI 3\.0 image at C8000, .* Init returns 0$'
for call in GetCycleFrequency GetCycleCounter SetAlarm CancelAlarm GetWallclockTime; do
	ok "a PIT as after reset: no $call" said "^$call .* NONE "
done

printf 'set timeout=0\nmultiboot /boot/guest\nboot\n' >"$TMP/grub.cfg"
ok "grub-mkrescue makes a CD" grub-mkrescue -d /usr/lib/grub/i386-pc -o "$TMP/guest.iso" \
	--fonts= --locales= --themes= --install-modules="normal multiboot" \
	boot/grub/grub.cfg="$TMP/grub.cfg" boot/guest="$(realpath "$O/test-guest/init.flat")"

behind_vga() # BIOS IMAGE
{
	cp /usr/share/vgabios/vgabios.bin "$TMP/vga" && truncate -s %2048 "$TMP/vga" &&
		cat "$O/$2.rom" >>"$TMP/vga" || return
	BOCHS_BIOS=/usr/share/bochs/BIOS-bochs-$1 BOCHS_VGA=$TMP/vga BOCHS_SECONDS=20 \
		BOCHS_UNTIL='^1\.\.' bochs_run "" "" "$TMP/guest.iso" "$TMP/serial"
	tr -d '\r' <"$TMP/serial" >"$TMP/guest"
	passed "$TMP/guest"
}

for bios in latest legacy; do
	ok "$bios: behind the VGA BIOS: vmi" behind_vga $bios vmi
done
done_testing
