#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Debian's current kernel, which has no VMI code: it comes to its first user
# process with each image, and its log is as without, but for times and for the
# memory that POST took.
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=/dev/null
. test-guest/host/lib.sh

require_file qemu-system-x86 qemu-system-x86_64
require_file gcc gcc
require_file cpio cpio

# LINUX=bzImage, or an installed Debian kernel, or the one in Debian's archive,
# unpacked into $O/cache.
find_linux()
{
	local package

	if [ -n "${LINUX:-}" ]; then
		echo "$LINUX"
		return
	fi
	find /boot "$O/cache/linux/boot" -maxdepth 1 \( -name 'vmlinuz-*-amd64' -o \
		-name 'vmlinuz-*-686*' \) -readable 2>/dev/null | sort -V | tail -n 1 >"$TMP/found"
	if [ ! -s "$TMP/found" ]; then
		package=$(apt-cache depends linux-image-amd64 2>/dev/null |
			sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
		[ -n "$package" ] || return
		mkdir -p "$O/cache/linux" "$TMP/deb"
		(cd "$TMP/deb" && timeout 240 apt-get -q download "$package") >/dev/null 2>&1 || return
		dpkg-deb --fsys-tarfile "$TMP"/deb/*.deb |
			tar -C "$O/cache/linux" -xf - --wildcards './boot/vmlinuz-*' || return
		rm -rf "$TMP/deb"
		find "$O/cache/linux/boot" -name 'vmlinuz-*' >"$TMP/found"
	fi
	cat "$TMP/found"
}

linux=$(find_linux)
if [ ! -s "$linux" ]; then
	skip "a current Debian kernel" "package linux-image-amd64 is neither installed nor to be had"
	done_testing
fi
echo "# $linux"

# The first process: one line on the console, then power off. For i386, which
# kernels of both kinds run.
cat >"$TMP/init.S" <<'END'
	.globl	_start
_start:	movl	$4, %eax		# write
	movl	$1, %ebx
	movl	$text, %ecx
	movl	$text_end - text, %edx
	int	$0x80
	movl	$88, %eax		# reboot
	movl	$0xfee1dead, %ebx
	movl	$0x28121969, %ecx
	movl	$0x4321fedc, %edx
	int	$0x80
1:	jmp	1b
text:	.ascii	"The first user process is here\n"
text_end:
	.section .note.GNU-stack, "", @progbits
END
mkdir "$TMP/root"
if ! as --32 -o "$TMP/init.o" "$TMP/init.S" 2>"$TMP/make" ||
	! ld -m elf_i386 -o "$TMP/root/init" "$TMP/init.o" 2>>"$TMP/make" ||
	! (cd "$TMP/root" && find . | cpio --quiet -o -H newc) >"$TMP/initrd" 2>>"$TMP/make"; then
	fail_file "the initramfs" "$TMP/make"
	done_testing
fi

# Times, and what follows from the end of the memory below 640 KiB.
mask()
{
	tr -d '\r' <"$1" | sed -E -e 's/^\[ *[0-9]+\.[0-9]+\] //' \
		-e 's/(sched_clock: Marking stable) .*/\1/' -e 's/(audit)\([0-9.:]+\)/\1/' \
		-e 's/(setting system clock to) .*/\1/' -e 's/(tsc: .*) [0-9.]+ MHz/\1 N MHz/' \
		-e 's/(clocksource: tsc.*max_cycles:) .*/\1 N/' \
		-e 's/[0-9.]+ BogoMIPS \(lpj=[0-9]+\)/N BogoMIPS/' \
		-e 's/[0-9.]+ BogoMIPS/N BogoMIPS/' -e 's/(APIC delta adjusted) .*/\1/' \
		-e 's/(BIOS-e820: \[mem 0x0+-0x0+)9[0-9a-f]{4}\]/\1N]/' \
		-e 's/(BIOS-e820: \[mem 0x0+)9[0-9a-f]{4}-(0x0+9ffff\])/\1N-\2/' \
		-e 's/(node +0: \[mem 0x0+1000-0x0+)9[0-9a-f]{4}\]/\1N]/' \
		-e 's/(zone DMA:) [0-9]+ (pages in unavailable ranges)/\1 N \2/' \
		-e 's/(nosave memory: \[mem 0x000)9[0-9a-f]{4}(-0x000fffff\])/\1N\2/' \
		-e 's/^(Memory: )[0-9]+K.[0-9]+K(.*), [0-9]+K reserved/\1N\2/'
}

linux() # NAME QEMU-ARGS...
{
	local name=$1 result=1

	shift
	# Time is counted in instructions: the log does not depend on this machine's load.
	QEMU=qemu-system-x86_64 vm_start 90 -no-reboot -m 256 -icount "shift=1,sleep=off" \
		-rtc base=2026-01-01,clock=vm -kernel "$linux" -initrd "$TMP/initrd" \
		-append "console=ttyS0 panic=-1 nokaslr" "$@"
	vm_wait_serial 'Linux version' && vm_base_memory >"$TMP/$name.base"
	if vm_wait_serial '^The first user process is here' &&
		vm_wait_serial 'reboot: Power down'; then
		while vm_running; do
			sleep 0.2
		done
		result=0
	fi
	tail -n 40 "$TMP/vm.serial" >"$TMP/$name.last" 2>&1
	mask "$TMP/vm.serial" >"$TMP/$name.log"
	grep -a 'BIOS-e820: .mem 0x0*[09]' "$TMP/vm.serial" >"$TMP/$name.e820"
	vm_stop
	return $result
}

# The kernel's map has what 40:13 says.
map_agrees() # NAME
{
	local is

	cat "$TMP/$1.e820"
	is=$(cat "$TMP/$1.base")
	echo "40:13 is ${is:-?} KiB"
	grep -q "$(printf '\[mem 0x%016x-0x%016x\] usable' 0 $((is * 1024 - 1)))" "$TMP/$1.e820" &&
		grep -q "$(printf '\[mem 0x%016x-0x%016x\] reserved' $((is * 1024)) $((0x9ffff)))" \
			"$TMP/$1.e820"
}

memory_taken() # NAME
{
	local was is

	was=$(cat "$TMP/none.base")
	is=$(cat "$TMP/$1.base")
	echo "40:13 is ${is:-?} KiB, without ${was:-?} KiB"
	[ "$is" -lt "$was" ]
}

# Otherwise equal logs would prove little.
log_useful()
{
	local word

	for word in 'ACPI: ' 'BIOS-e820: ' 'pci 0000:'; do
		grep -q "$word" "$TMP/none.log" || return
	done
}

run() # NAME QEMU-ARGS...
{
	if linux "$@"; then
		pass "$1: the first user process"
	else
		fail_file "$1: the first user process" "$TMP/$1.last"
	fi
	ok "$1: 40:13 and E820 agree" map_agrees "$1"
}

run none
ok "none: ACPI, PCI and E820 are in the log" log_useful

run vmi -option-rom "$O/vmi.rom"
ok "vmi: the log is as without" same "$TMP/none.log" "$TMP/vmi.log"
ok "vmi: memory was taken" memory_taken vmi

run vmi-13+vmi-6 -option-rom "$O/vmi-13.rom" -option-rom "$O/vmi-6.rom"
ok "vmi-13+vmi-6: the log is as without" same "$TMP/none.log" "$TMP/vmi-13+vmi-6.log"
ok "vmi-13+vmi-6: memory was taken" memory_taken vmi-13+vmi-6
done_testing
