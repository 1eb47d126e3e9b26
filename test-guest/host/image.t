#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The three images as files: headers, ELF, slots, annotation table.

# shellcheck source=test-guest/host/tap.sh
. "$(dirname "$0")/tap.sh"

dump=$O/tools/vmi-dump
version=$(sed -n 's/^VERSION := //p' Makefile)
for file in "$O"/vmi.rom "$O"/vmi-13.rom "$O"/vmi-6.rom "$dump" "$O/tools/calls-doc"; do
	[ -f "$file" ] || { echo "Bail out! no $file: run make images tools"; exit 1; }
done
"$O/tools/calls-doc" --tsv > "$tmp/table"
cut -f1 "$tmp/table" > "$tmp/names"
is "the table of calls has rows" $(($(wc -l < "$tmp/names") > 100)) 1

# The image's bytes, as numbers, are in rom.
u16()
{
	echo $((rom[$1] | rom[$1 + 1] << 8))
}

u32()
{
	echo $(($(u16 "$1") | $(u16 $(($1 + 2))) << 16))
}

# ascii OFFSET LENGTH; string OFFSET: up to a NUL
ascii()
{
	tail -c +$(($1 + 1)) "$image" | head -c "$2" | tr -d '\0'
}

string()
{
	tail -c +$(($1 + 1)) "$image" | tr '\0' '\n' | head -n 1 | tr -cd '[:print:]'
}

# sum OFFSET LENGTH, modulo 256
sum()
{
	local i total=0
	for ((i = $1; i < $1 + $2; i++)); do
		total=$((total + rom[i]))
	done
	echo $((total & 255))
}

check_headers()
{
	local size pci pnp post end
	post=$(readelf -SW "$elf" | sed -n 's/^.* \.post *PROGBITS *\([0-9a-f]*\) .*/\1/p')
	post=$((16#$post))
	size=$(stat -c %s "$image")
	is "$1: signature" "${rom[0]} ${rom[1]}" "85 170"
	is "$1: length byte" $((rom[2] * 512)) "$size"
	is "$1: 2 KiB divide the length" $((size % 2048)) 0
	is "$1: byte sum" "$(sum 0 "$size")" 0
	end=$(readelf -hW "$elf" | awk '/Start of section headers/ { at = $5 }
		/Number of section headers/ { print 64 + at + $5 * 40 }')
	is "$1: 2 KiB divide what stays behind POST, the least that holds it" "$post" \
		$(((end + 2047) / 2048 * 2048))
	is "$1: byte sum of the rest" "$(sum "$post" $((size - post)))" 0
	is "$1: VMI signature" "$(ascii 8 4)" cVmi
	is "$1: revision" "${rom[13]}.${rom[12]}" "$2"

	pci=$(u16 0x18)
	is "$1: PCI signature" "$(ascii "$pci" 4)" PCIR
	is "$1: PCI identity" "$(printf '%04x:%04x' "$(u16 $((pci + 4)))" "$(u16 $((pci + 6)))")" 15ad:0801
	is "$1: PCI class" "${rom[pci + 15]}" 5
	is "$1: PCI length" $(($(u16 $((pci + 16))) * 512)) "$size"
	is "$1: ROM version" "${rom[pci + 19]}.${rom[pci + 18]}" "$version"

	pnp=$(u16 0x1a)
	is "$1: \$PnP signature" "$(ascii "$pnp" 4)" "\$PnP"
	is "$1: \$PnP byte sum" "$(sum "$pnp" $((rom[pnp + 5] * 16)))" 0
	is "$1: \$PnP length" $((rom[pnp + 5] * 16)) 32
	is "$1: \$PnP manufacturer" "$(string "$(u16 $((pnp + 14)))")" "Open VMI"
	is "$1: \$PnP product" "$(string "$(u16 $((pnp + 16)))")" "VMI option ROM $version"

	if [ "$2" = 3.0 ]; then
		is "$1: at most 24 KiB stay behind POST" $((post <= 24576)) 1
		is "$1: licence" "$(string "$(u16 0x16)")" "GPL v2"
	fi

	if command -v romheaders > /dev/null; then
		romheaders "$image" > "$tmp/romheaders" 2>&1
		is "$1: romheaders: identity and lengths" \
			"$(sed -n 's/^ *\(Vendor ID\|Device ID\|Initialization Size\): *//p
				s/^ *Image Length: *\(0x[0-9a-f]*\) blocks \(.*\)/\1 \2/p' \
				"$tmp/romheaders" | tr '\n' ' ')" \
			"0x15ad 0x0801 $(printf '0x%04x (%u bytes) 0x%02x (%u bytes) ' \
				$((size / 512)) "$size" $((size / 512)) "$size")"
		empty "$1: romheaders: no complaint" \
			"$(grep -iE 'bad|invalid|error|mismatch|not ok|wrong' "$tmp/romheaders")"
	else
		skip "$1: romheaders" "no romheaders (Debian package fcode-utils)"
	fi
}

# Fills symbol[NAME] = "value size" in decimal, for VMI_*.
read_symbols()
{
	local value size kind name
	symbol=()
	while read -r value size kind name; do
		[ "$kind" = T ] && symbol[$name]="$((16#$value)) $((16#$size))"
	done < <(nm -S --defined-only "$elf" 2> "$tmp/nm.err" | grep -E '^[0-9a-f]+ [0-9a-f]+ ')
}

# Every stub is disassembled from its first byte to its last.
check_disassembly()
{
	local name value size from end bad=
	objdump -d "$elf" > "$tmp/objdump" 2> "$tmp/objdump.err"
	empty "$1: objdump: no complaint" "$(cat "$tmp/objdump.err")"

	# Addresses at which an instruction starts, and of instructions that are none.
	local -A starts=() wrong=()
	local address text
	while IFS=$'\t' read -r address text; do
		address=$((16#${address//[^0-9a-f]/}))
		starts[$address]=1
		[[ $text == *"(bad)"* ]] && wrong[$address]=1
	done < <(grep -E '^ *[0-9a-f]+:' "$tmp/objdump" | cut -f1,3 | grep -P '\t')

	read -r from end < <(readelf -SW "$elf" |
		sed -n 's/^.* \.text *PROGBITS *\([0-9a-f]*\) *[0-9a-f]* *\([0-9a-f]*\).*/\1 \2/p')
	from=$((16#$from))
	end=$((from + 16#$end))
	while read -r name; do
		[ -n "${symbol[VMI_$name]-}" ] || { bad+="VMI_$name is missing"$'\n'; continue; }
		read -r value size <<< "${symbol[VMI_$name]}"
		((size > 0)) || bad+="VMI_$name is empty"$'\n'
		((value >= from && value + size <= end)) || bad+="VMI_$name is outside .text"$'\n'
		[ -n "${starts[$value]-}" ] || bad+="VMI_$name: no instruction at its start"$'\n'
		[ -n "${starts[$((value + size))]-}" ] || ((value + size == end)) ||
			bad+="VMI_$name: its last instruction runs over its end"$'\n'
		for ((; size > 0; size--, value++)); do
			[ -z "${wrong[$value]-}" ] || bad+="VMI_$name: bad code at $value"$'\n'
		done
	done < "$tmp/names"
	empty "$1: objdump -d shows every stub" "$bad"
}

check_elf()
{
	readelf -aW "$elf" > "$tmp/readelf" 2> "$tmp/readelf.err"
	is "$1: readelf succeeds" $? 0
	empty "$1: readelf: nothing on stderr" "$(cat "$tmp/readelf.err")"
	empty "$1: readelf: no warning" "$(grep -iE 'warning|error|corrupt|<unknown' "$tmp/readelf")"
	empty "$1: no relocation" \
		"$(readelf -SW "$elf" | grep -E ' (REL|RELA|DYNAMIC) '; readelf -rW "$elf" | grep '^[0-9a-f]\{8\} ')"
	empty "$1: no undefined symbol" "$(nm -u "$elf" 2>&1 | grep -v 'no symbols')"
	empty "$1: no writable section" \
		"$(readelf -SW "$elf" | sed 's/^ *\[ *\([0-9]*\)\]/\1/' |
			awk '$1 ~ /^[0-9]+$/ && NF == 11 && $8 ~ /W/')"
	empty "$1: no writable segment" \
		"$(readelf -lW "$elf" | awk '$1 ~ /^[A-Z_]+$/ && $2 ~ /^0x/ && / .?W/')"
	is "$1: sections" \
		"$(readelf -SW "$elf" | sed -n 's/^ *\[ *[1-9][0-9]*\] \([^ ]*\) .*/\1/p' | sort | tr '\n' ' ')" \
		".post .rodata .shstrtab .strtab .symtab .text .vmi.calls "

	read_symbols
	empty "$1: nm: no complaint" "$(cat "$tmp/nm.err")"
	empty "$1: nm lists every call" \
		"$(while read -r name; do
			[ -n "${symbol[VMI_$name]-}" ] || echo "no VMI_$name"
		done < "$tmp/names")"
	empty "$1: nm lists no other call" \
		"$(for name in "${!symbol[@]}"; do
			[[ $name != VMI_* ]] || grep -qx "${name#VMI_}" "$tmp/names" || echo "$name"
		done)"
	check_disassembly "$1"
}

# In a guest at 0xc0000000 plus its physical address, say.
check_gdb()
{
	local base=$((0xc00ca000)) value size output
	if ! command -v gdb > /dev/null; then
		skip "$1: gdb" "no gdb"
		return
	fi
	read -r value size <<< "${symbol[VMI_GetRelocationInfo]:-0 0}"
	output=$(gdb -batch -nx \
		-ex "add-symbol-file $elf $((base + 0x80))" \
		-ex "info symbol $((base + value + 1))" \
		-ex "x/2i $((base + value))" 2>&1 < /dev/null)
	is "$1: gdb finds the symbol of an address" \
		"$(grep -c '^VMI_GetRelocationInfo + 1 in section \.text' <<< "$output")" 1
	is "$1: gdb disassembles it" \
		"$(grep -c "$(printf '^ *0x%x <VMI_GetRelocationInfo>:' $((base + value)))" <<< "$output")" 1
}

# The target of the JMP rel32 at an offset; nothing if there is none.
jump_target()
{
	((rom[$1] == 0xe9)) && echo $((($1 + 5 + $(u32 $(($1 + 1)))) & 0xffffffff))
}

# What vmi-dump prints of the records, against the table and the symbols.
check_records()
{
	local name text
	ok "$1: vmi-dump" "$dump" "$image"
	ok "$1: vmi-dump --tsv" "$dump" --tsv "$image"
	"$dump" "$image" > "$tmp/text"
	"$dump" --tsv "$image" > "$tmp/dump"
	for text in "revision      $2" "version       $version" "length        $(stat -c %s "$image")" \
		"checksum      ok" "PCI           15ad:0801 class 050000" "manufacturer  Open VMI" \
		"host          native" "clock         tsc" "port          -" \
		"calls         $(wc -l < "$tmp/names")"; do
		ok "$1: vmi-dump prints: $text" grep -qx "$text" "$tmp/text"
	done

	sed 1d "$tmp/dump" > "$tmp/records"
	is "$1: .vmi.calls is 16 bytes a call" \
		"$(readelf -SW "$elf" | sed -n 's/.* \.vmi\.calls *PROGBITS *[0-9a-f]* *[0-9a-f]* *\([0-9a-f]*\).*/\1/p')" \
		"$(printf '%06x' $((16 * $(wc -l < "$tmp/names"))))"
	ok "$1: records are in the table's order, and say what it says" \
		diff <(sed 's/\t@[0-9a-f]*\t/\t-\t/' "$tmp/table" | cut -f1-10) \
			<(awk -F '\t' -v OFS='\t' '{ print $1, $2, $3, $4, $10, $11, $12, $8, $9, $13 }' "$tmp/records")
	empty "$1: records have the symbols' addresses and sizes" \
		"$(while IFS=$'\t' read -r name _ _ _ offset size _; do
			[ "${symbol[VMI_$name]-}" = "$((offset)) $size" ] ||
				echo "$name: record $((offset)) $size, symbol ${symbol[VMI_$name]-none}"
		done < "$tmp/records")"
	empty "$1: inline code is the head of the stub, and a RET follows unless it is jumped to" \
		"$(while IFS=$'\t' read -r name _ _ _ offset size _ convention _ _ _ _ _ code; do
			[ "$code" != - ] || continue
			[ "$code" != nothing ] || code=
			found=
			for ((i = 0; i < ${#code} / 2; i++)); do
				found+=$(printf '%02x' "${rom[offset + i]}")
			done
			[ "$convention" = JUMP ] || { found+=$(printf '%02x' "${rom[offset + i]}") && code+=c3; }
			[ "$found" = "$code" ] && ((size == ${#code} / 2)) ||
				echo "$name: $code"
		done < "$tmp/records")"
	is "$1: numbers 0 to 73 of 3.0, once each" \
		"$(cut -f2 "$tmp/records" | grep -v '^-$' | sort -n | tr '\n' ' ')" "$(seq -s ' ' 0 73) "
	is "$1: numbers 4 to 87 of 13.x, once each" \
		"$(cut -f3 "$tmp/records" | grep -v '^-$' | sort -n | tr '\n' ' ')" "$(seq -s ' ' 4 87) "
	is "$1: numbers 4 to 91 of 6.1, once each" \
		"$(cut -f4 "$tmp/records" | grep -v '^-$' | sort -n | tr '\n' ' ')" "$(seq -s ' ' 4 91) "
	if [ "$2" = 3.0 ]; then
		is "$1: bindings are of the four types" \
			"$(cut -f7 "$tmp/records" | sort -u | tr '\n' ' ')" "CALL JUMP NONE NONE/cpuid NONE/start NONE/time NOP "
		for name in IRET SYSEXIT; do
			is "$1: $name is a JUMP" "$(awk -F '\t' -v n=$name '$1 == n { print $7 }' "$tmp/records")" JUMP
		done
		is "$1: IODelay is a NOP" "$(awk -F '\t' '$1 == "IODelay" { print $7 }' "$tmp/records")" NOP
	else
		is "$1: every binding is CALL" "$(cut -f7 "$tmp/records" | sort -u)" CALL
	fi
}

# check_slots NAME COLUMN FIRST LAST: the JMP in each slot leads to the stub.
check_slots()
{
	local n bad=
	local -A stub=()
	while IFS=$'\t' read -r n offset; do
		[ "$n" = - ] || stub[$n]=$((offset))
	done < <(cut -f"$2,5" "$tmp/records")
	for ((n = $3; n <= $4; n++)); do
		[ "$(jump_target $((n * 32)))" = "${stub[$n]-none}" ] ||
			bad+="slot $n: $(jump_target $((n * 32))), record: ${stub[$n]-none}"$'\n'
	done
	empty "$1: slots lead where the records say" "$bad"
}

check_image()
{
	local name=$1 revision=$2
	image=$O/$name.rom
	elf=$tmp/$name.elf
	mapfile -t rom < <(od -An -v -tu1 -w1 "$image" | tr -d ' ')
	tail -c +65 "$image" > "$elf"
	check_headers "$name" "$revision"
	check_elf "$name"
	check_gdb "$name"
	check_records "$name" "$revision"
	case $revision in
	3.0)
		is "$name: Init at 80" "$(jump_target 0x80) " "${symbol[VMI_Init]% *} "
		is "$name: GetRelocationInfo at 88" "$(jump_target 0x88) " \
			"${symbol[VMI_GetRelocationInfo]% *} "
		;;
	13.3)
		check_slots "$name" 3 4 87
		is "$name: GetRelocationInfo at aa0" "$(jump_target 0xaa0) " \
			"${symbol[VMI_GetRelocationInfo]% *} "
		;;
	6.1)
		check_slots "$name" 4 4 91
		is "$name: Init at 80" "$(jump_target 0x80) " "${symbol[VMI_Init]% *} "
		;;
	esac
}

# vmi-dump says in one line what is wrong with a file, and exits with 1.
check_refusal()
{
	local output status
	output=$("$dump" "$2" 2>&1 > /dev/null)
	status=$?
	is "vmi-dump refuses $1" "$status $(wc -l <<< "$output") $(grep -c "$3" <<< "$output")" "1 1 1"
}

declare -A symbol=()
declare -a rom=()
check_image vmi 3.0
check_image vmi-13 13.3
check_image vmi-6 6.1

head -c 1000 "$O/vmi.rom" > "$tmp/short.rom"
{ head -c 8 "$O/vmi.rom"; printf x; tail -c +10 "$O/vmi.rom"; } > "$tmp/other.rom"
{ head -c 64 "$O/vmi.rom"; printf x; tail -c +66 "$O/vmi.rom"; } > "$tmp/noelf.rom"
{ head -c 32 "$O/vmi.rom"; printf x; tail -c +34 "$O/vmi.rom"; } > "$tmp/sum.rom"
check_refusal "no file" "$tmp/none.rom" "No such file"
check_refusal "an empty file" /dev/null "no option ROM"
check_refusal "a file that is cut short" "$tmp/short.rom" "declares .* and has 1000"
check_refusal "another option ROM" "$tmp/other.rom" "not of VMI"
check_refusal "an image without ELF header" "$tmp/noelf.rom" "no sound ELF file"
check_refusal "a wrong byte sum" "$tmp/sum.rom" "add up to"
done_testing
