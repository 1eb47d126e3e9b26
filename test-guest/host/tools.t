#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What users call: make run's checks, one clear line each; make install.
cd "$(dirname "$0")/../.." || exit 1
. test-guest/host/tap.sh

export O

# One line on stderr that names the trouble, nothing else, and a failure.
refused() # NAME REGEXP [VARIABLE=VALUE]...
{
	local name=$1 expected=$2 output status=0

	shift 2
	output=$(env "$@" tools/run 2>&1 < /dev/null) || status=$?
	if [ "$status" -ne 0 ] && [ "$(wc -l <<< "$output")" -eq 1 ] && [[ $output =~ $expected ]]; then
		pass "$name: $output"
	else
		fail "$name" "exit $status: $output"
	fi
}

refused "no such kernel" '^run: KERNEL=/nowhere: no such file$' KERNEL=/nowhere
refused "a program of this machine" '^run: KERNEL=.* is not an i386 ELF file$' "KERNEL=$(command -v bash)"
refused "a text" '^run: KERNEL=README.md is neither a bzImage nor an ELF file' KERNEL=README.md
refused "no such initrd" '^run: INITRD=/nowhere: no such file$' INITRD=/nowhere \
	KERNEL="$O/test-guest/demo.flat"
refused "no such image" '^run: ROM=none.rom: no such file' ROM=none.rom
refused "an image that is none" '^run: ROM=README.md is not an option ROM' ROM=README.md
refused "no QEMU" '^run: no /nowhere/qemu' QEMU=/nowhere/qemu
printf '#!/bin/sh\necho QEMU emulator version 2.11.1\n' > "$tmp/qemu"
chmod +x "$tmp/qemu"
refused "an old QEMU" '^run: QEMU 2.11.1 is too old' QEMU="$tmp/qemu"

# A bzImage's header: "HdrS", boot protocol 2.12, XLF_KERNEL_64.
{
	head -c 514 /dev/zero
	printf 'HdrS\014\002'
	head -c 46 /dev/zero
	printf '\001\000'
	head -c 2000 /dev/zero
} > "$tmp/bzImage64"
refused "a 64-bit kernel" '^run: KERNEL=.* is a 64-bit kernel' KERNEL="$tmp/bzImage64"

# The demonstration, and a kernel of one's own.
demo=$(timeout 60 tools/run < /dev/null 2>&1)
ok "make run: the demonstration ends well" test $? -eq 0
ok "it shows every call" test "$(grep -cE '^[A-Z][A-Za-z0-9_]* .* bytes.?$' <<< "$demo")" -ge 128
ok "it shows the banner" grep -q 'VMI ROM [0-9.]*: VMI 3.0 at' <<< "$demo"
own=$(KERNEL="$O/test-guest/init.flat" APPEND=major=13 ROM=vmi-13.rom \
	QEMU_ARGS='-m 32 -device isa-debug-exit,iobase=0xf4,iosize=4' timeout 60 tools/run \
	< /dev/null 2>&1)
ok "KERNEL, APPEND, ROM and QEMU_ARGS reach QEMU" grep -q '^1\.\.5' <<< "$own"

make -s O="$O" install DESTDIR="$tmp/root" PREFIX=/usr > "$tmp/install" 2>&1
ok "make install" test $? -eq 0
for file in share/qemu/vmi.rom share/qemu/vmi-13.rom share/qemu/vmi-6.rom include/vmi_abi.h \
	share/doc/vmi/README.md share/doc/vmi/LICENSE share/doc/vmi/calls.md; do
	ok "it installs $file" test -s "$tmp/root/usr/$file"
done
named=$(timeout 60 qemu-system-i386 -L "$tmp/root/usr/share/qemu" -L /usr/share/qemu \
	-L /usr/share/seabios -accel tcg -display none -nodefaults -vga std -serial stdio \
	-device isa-debug-exit,iobase=0xf4,iosize=4 -kernel "$O/test-guest/demo.flat" \
	-option-rom vmi.rom < /dev/null)
ok "QEMU finds an installed image by name" grep -q "VMI 3.0 image" <<< "$named"
make -s O="$O" uninstall DESTDIR="$tmp/root" PREFIX=/usr > "$tmp/install" 2>&1
ok "make uninstall leaves nothing" test -z "$(find "$tmp/root" -type f)"

help=$(make -s help)
for target in run check check-full lint docs install uninstall clean O= V= CC=; do
	ok "make help tells of $target" grep -q -- "$target" <<< "$help"
done
done_testing
