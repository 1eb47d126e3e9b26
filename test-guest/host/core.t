#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# vmm/core: it compiles for any VMM and leans on nothing, and what each call means, against a
# VMM that is played (vmm/core/test.c), under sanitizers.

# shellcheck source=test-guest/host/tap.sh
. "$(dirname "$0")/tap.sh"

read -ra files <<< "$(sed -n 's/^VMM_CORE := .*core\/,\(.*\))$/\1/p' vmm/core/core.mk)"
warnings=(-Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes -Iinclude)

# shellcheck disable=SC2317 # ok() calls it
compile()
{
	local file

	for file in "${files[@]}"; do
		"$@" -std=c11 -ffreestanding -mgeneral-regs-only "${warnings[@]}" \
			-c -o "$tmp/${file%.c}.o" "vmm/core/$file" || return 1
	done
}

# What the objects want that is not the core's own; what they would write to.
foreign()
{
	ld -r -m "$1" -o "$tmp/all.o" "${files[@]/#/$tmp/}" &&
		nm -u "$tmp/all.o" | grep -v ' _GLOBAL_OFFSET_TABLE_$'
	size -A "$tmp/all.o" | awk '/^\.(data|bss|tbss|tdata)[ .]/ && $1 !~ /^\.data\.rel\.ro/ && $2 {
		print $1, $2 " bytes" }'
}

# Points of a program become points of this test.
points()
{
	local line

	while read -r line; do
		case $line in
		'ok '*) pass "$1: ${line#* - }" ;;
		'not ok '*) fail "$1: ${line#* - }" ;;
		'#'*) echo "$line" ;;
		esac
	done
}

for bits in 32 64; do
	program=$tmp/test-$bits
	if ! ${CC:-gcc} "-m$bits" -std=gnu11 -O1 -g "${warnings[@]}" -Itest-guest/host \
		-fsanitize=address,undefined -fno-sanitize-recover=all -o "$program" \
		"${files[@]/#/vmm/core/}" vmm/core/test.c 2>"$tmp/log"; then
		fail "test.c compiles, $bits bits" "$(cat "$tmp/log")"
		continue
	fi
	timeout -k 5 100 "$program" >"$tmp/tap" 2>"$tmp/log"
	status=$?
	points "$bits bits" <"$tmp/tap"
	is "$bits bits: all points, no sanitizer complains" \
		"$status $(tail -n 1 "$tmp/tap") $(head -n 20 "$tmp/log")" \
		"0 1..$(grep -c '^ok' "$tmp/tap") "
done

for compiler in gcc clang; do
	for bits in 32 64; do
		for level in 0 2; do
			name="$compiler -m$bits -O$level"
			ok "$name compiles" compile "$compiler" "-m$bits" "-O$level"
			emulation=elf_i386
			[ "$bits" = 32 ] || emulation=elf_x86_64
			files=("${files[@]/%.c/.o}")
			empty "$name: no libc, no variables" "$(foreign "$emulation")"
			files=("${files[@]/%.o/.c}")
		done
	done
done
done_testing
