#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# POST leaves everything as it was. Two views: a floppy (post.asm) calls the
# entry of each image again in many states of a machine and compares all it can
# see from within; and the memory that SeaBIOS ends with is compared with and
# without the images.
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=/dev/null
. test-guest/host/lib.sh

require_file qemu-system-x86 qemu-system-i386
require_file nasm nasm

SOURCE=test-guest/host/post.asm
STATES=$(grep -c "^	state	" "$SOURCE")
IMAGES=(vmi vmi-13 vmi-6)

floppy() # NAME NASM-ARGS...
{
	local name=$1 n

	shift
	# One track is loaded; the images are on the tracks from 2 on, five each.
	nasm -Werror -f bin "$@" -o "$TMP/$name" "$SOURCE" &&
		[ "$(stat -c %s "$TMP/$name")" -le $((18 * 512)) ] &&
		truncate -s 1474560 "$TMP/$name" || return
	for ((n = 0; n < ${#IMAGES[@]}; n++)); do
		[ "$(stat -c %s "$O/${IMAGES[n]}.rom")" -le $((5 * 18 * 512)) ] &&
			dd if="$O/${IMAGES[n]}.rom" of="$TMP/$name" bs=$((18 * 512)) seek=$((2 + 5 * n)) \
				conv=notrunc status=none || return
	done
}

# What the floppy said, each line a test. SKIPPED: what may be skipped there.
calls() # NAME SKIPPED ENDED FILE INSTALLED [IMAGES]
{
	local installed=$5 name=$1 skipped=$2 ended=$3 line why="" last="nothing" results=0 finished=1

	while read -r line; do
		case $line in
		"try "*)
			last=${line#try }
			why=
			;;
		"#"*) why+=${line#\# }$'\n' ;;
		"not ok "*)
			results=$((results + 1))
			fail "$name: ${line#not ok }" "$why"
			;;
		"ok "*" # SKIP "*)
			results=$((results + 1))
			line=${line#ok }
			if [[ ${line%% # SKIP*} =~ ^[0-9.]+:\ ($skipped)$ ]]; then
				skip "$name: ${line%% # SKIP*}" "${line#*# SKIP }"
			else
				fail "$name: ${line%% # SKIP*}" "is skipped: ${line#*# SKIP }"
			fi
			;;
		"ok "*)
			results=$((results + 1))
			pass "$name: ${line#ok }"
			;;
		done) finished=0 ;;
		esac
	done <"$4"
	if [ $finished = 0 ] && [ "$ended" = 0 ]; then
		pass "$name: every call comes back"
	else
		fail "$name: every call comes back" "the last one: $last"$'\n'"$why"
	fi
	is "$name: number of calls" $results $((installed + STATES * ${6-${#IMAGES[@]}}))
}

roms=()
for image in "${IMAGES[@]}"; do
	roms+=(-option-rom "$O/$image.rom")
done

machine() # NAME SKIPPED FLOPPY QEMU-ARGS...
{
	local name=$1 skipped=$2 floppy=$3 ended

	shift 3
	vm_start 20 -m 64 -no-reboot -device isa-debug-exit,iobase=0xf4 \
		-drive "if=floppy,format=raw,file=$TMP/$floppy,readonly=on" "${roms[@]}" "$@"
	wait "$VM"
	ended=$?
	# shellcheck disable=SC2034 # lib.sh: it is waited for
	PIDS=()
	vm_stop
	calls "$name" "$skipped" $((ended != 33)) "$TMP/vm.serial" 1
}

ok "the floppy" floppy floppy
ok "the quiet floppy" floppy quiet -DQUIET
# Time that does not depend on this machine's load, and in one machine real time.
icount=(-icount "shift=3,sleep=off")
lapic="LINT0 masked|LINT0 masked, local APIC software-disabled"
hpet="HPET in legacy replacement mode"

machine pc "" floppy -M pc
machine "q35, two CPUs" "" floppy -M q35 -smp 2 "${icount[@]}"
machine "pc, no ACPI" "$hpet" floppy -M pc -no-acpi "${icount[@]}"
machine "q35, qemu32, no ACPI" "$hpet" floppy -M q35 -cpu qemu32 -no-acpi "${icount[@]}"
machine "pc, 486" "$lapic" floppy -M pc -cpu 486 "${icount[@]}"
machine "q35, quiet" "" quiet -M q35 -fw_cfg name=opt/vmi/quiet,string=1 "${icount[@]}"

# Bochs keeps to segment limits, and its images are real ROM.
if ! command -v bochs >/dev/null || [ ! -e /usr/share/vgabios/vgabios.bin ]; then
	skip "Bochs" "packages bochs, bochs-term, vgabios are not installed"
else
	ok "the floppy for Bochs" floppy bochs -DBOCHS
	for image in "${IMAGES[@]}"; do # all three do not fit
		BOCHS_SECONDS=20 bochs_run "$O/$image.rom" 0xc9800 "$TMP/bochs" "$TMP/bochs.serial"
		calls "Bochs, $image" "$hpet|image writable.*" $? "$TMP/bochs.serial" 0 1
	done
fi

# 0 to 500 where SeaBIOS has nothing to boot.
low_memory() # NAME QEMU-ARGS...
{
	local name=$1 result=1

	shift
	vm_start 30 -m 64 "$@"
	if vm_wait_screen '^No bootable device' && vm_memory 0 0x500 "$TMP/$name.low"; then
		result=0
	fi
	vm_stop
	return $result
}

# Differs: 40:13; 40:6C to 6F count ticks; and where ALSO says so.
low_memory_same() # NAME REFERENCE [ALSO]
{
	cmp -l "$TMP/$2.low" "$TMP/$1.low" | while read -r offset was is; do
		printf '%03x is %s, not %s (octal)\n' $((offset - 1)) "$is" "$was"
	done >"$TMP/differs"
	cat "$TMP/differs"
	grep -Eq '^41[34] ' "$TMP/differs" && ! grep -Evq "^(41[34]|46[c-f]|${3:-none}) " "$TMP/differs"
}

for type in pc q35; do
	ok "$type: SeaBIOS ends without" low_memory "$type" -M $type
	ok "$type: SeaBIOS ends with quiet images" low_memory "$type-quiet" -M $type "${roms[@]}" \
		-fw_cfg name=opt/vmi/quiet,string=1
	ok "$type: and with the same first 500 bytes" low_memory_same "$type-quiet" "$type"
	ok "$type: SeaBIOS ends with the images" low_memory "$type-all" -M $type "${roms[@]}"
	# Their lines move the cursor.
	ok "$type: and with the same first 500 bytes, but for the cursor" \
		low_memory_same "$type-all" "$type" '45[01]'
done
done_testing
