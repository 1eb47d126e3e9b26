#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# include/vmi_abi.h on its own: every language it claims, every layout fact, and
# nobody else who lists the calls.

# shellcheck source=test-guest/host/tap.sh
. "$(dirname "$0")/tap.sh"

header=include/vmi_abi.h
[ -x "$O/tools/calls-doc" ] || { echo "Bail out! no $O/tools/calls-doc: run make tools"; exit 1; }
"$O/tools/calls-doc" --tsv | cut -f1 > "$tmp/names"
names=$(wc -l < "$tmp/names")
warnings="-Wall -Wextra -Wundef -Wshadow -Werror -fsyntax-only"

# The languages.
# shellcheck disable=SC2317 # called by ok
compile()
{
	local compiler=$1 standard=$2 mode=$3 language=c
	[ "${standard#c++}" = "$standard" ] || language=c++
	# shellcheck disable=SC2086
	$compiler -x $language -std=$standard -pedantic $warnings $mode - \
		<<< "#include \"$PWD/$header\""
}

for compiler in gcc clang; do
	for standard in c90 c11 c17 gnu11 c++17; do
		for mode in -m32 -m64; do
			if ! command -v $compiler > /dev/null; then
				skip "$compiler $standard $mode" "no $compiler"
			else
				ok "$compiler $standard $mode" compile $compiler $standard $mode
			fi
		done
	done
	ok "$compiler: may be included twice" \
		$compiler -std=c90 -pedantic -Wall -Wextra -Werror -fsyntax-only -x c - \
		<<< "#include \"$PWD/$header\"
#include \"$PWD/$header\""
done
is "includes nothing" "$(grep -c '^[[:space:]]*#[[:space:]]*include' $header)" 0
is "licence" "$(head -n 1 $header)" "/* SPDX-License-Identifier: MIT */"

# Assembly: macros only, and the table assembles.
ok "preprocesses for assembly" \
	gcc -E -P -D__ASSEMBLER__ -x assembler-with-cpp -o "$tmp/header.s" $header
empty "leaves nothing but macros to an assembler" "$(grep -v '^[[:space:]]*$' "$tmp/header.s")"
cat > "$tmp/table.S" <<- 'END'
	#include "vmi_abi.h"
	#define ROW(name, n3, n13, n6, type, args, in, out, clobber, conv, seg, defer, text) \
		VMI_##name: .byte n3, n13, n6, conv, seg, defer; .short in, out, clobber; .ascii text;
	VMI_CALLS(ROW)
	.if . - VMI_Init < 12 * COUNT
	.error "rows are missing"
	.endif
END
for compiler in gcc clang; do
	ok "$compiler: the table assembles" \
		$compiler -c -m32 -Iinclude -DCOUNT="$names" -o "$tmp/table.o" "$tmp/table.S"
done
is "the table has all names as assembled" "$(nm "$tmp/table.o" | grep -c ' VMI_')" "$names"
ok "names and numbers are unique" bash -c "! sort '$tmp/names' | uniq -d | grep ."

# Layout facts are checked where they stand: each assertion, made wrong, stops
# the compiler.
grep -n '^VMI_ASSERT(' $header > "$tmp/assertions"
is "there are layout facts" $(($(wc -l < "$tmp/assertions") >= 30)) 1
wrong=
while IFS=: read -r line _; do
	sed "${line}s/ == / != /; ${line}s/ <= / > /" $header > "$tmp/wrong.h"
	for standard in c90 c11 c++17; do
		language=c
		[ $standard != c++17 ] || language=c++
		gcc -x $language -std=$standard -fsyntax-only "$tmp/wrong.h" 2> "$tmp/err" &&
			wrong+="line $line, $standard: $(sed -n "${line}p" $header)"$'\n'
		grep -q "wrong.h:$line:" "$tmp/err" || wrong+="line $line, $standard: $(cat "$tmp/err")"$'\n'
	done
done < "$tmp/assertions"
empty "each layout fact is asserted in C90, C11 and C++17" "$wrong"
for fact in 0x80 0x88:VMI_3_GETRELOC 0xaa0; do
	case $fact in
	*:*) fact=${fact#*:} ;;
	esac
	ok "asserts $fact" grep -q "^VMI_ASSERT(.*\b$fact\b" $header
done
is "GetRelocationInfo of 3.0 is at 88" \
	"$(sed -n 's/^#define VMI_3_GETRELOC //p' $header)" 0x88

# The reference is what the table says.
if "$O/tools/calls-doc" $header > "$tmp/calls.md"; then
	ok "docs/calls.md is generated from this table: make docs" diff docs/calls.md "$tmp/calls.md"
else
	fail "docs/calls.md is generated from this table: make docs"
fi

# No second list. A list has many lines that are alike but for the name of a
# call, or lines with many names; prose and code have neither. Definitions are
# no list: stubs in rom/, and functions; nor are the faults that mutants.t makes.
lists()
{
	awk -v limit=20 '
	FNR == NR { call[$1] = 1; next }
	FNR == 1 { report(); file = FILENAME }
	{
		if (!/^\{/ && last !~ /\{[[:space:]]*$/)
			look(last)
		last = $0
	}
	file ~ /^rom\/.*\.asm$/ && /^[[:space:]]+(stub|inline|alias)[[:space:]]/ { last = "" }
	END { report() }
	function look(shape,    text, word, words, name, i, found) {
		text = shape
		gsub(/[^[:alnum:]_]+/, " ", text)
		words = split(text, word, " ")
		for (i = 1; i <= words; i++) {
			name = word[i]
			sub(/_fn$/, "", name)
			while (!(name in call) && sub(/^[^_]*_/, "", name))
				;
			if (!(name in call))
				continue
			sub(word[i], "@", shape)
			found++
		}
		text = shape
		gsub(/0x[0-9a-f]+|[0-9]+/, "#", shape)
		gsub(/[[:space:]]+/, " ", shape)
		if (found >= 6)
			crowded += found
		if (found == 1 && ++alike[shape] > most) {
			most = alike[shape]
			example = text
		}
	}
	function report() {
		look(last)
		last = ""
		if (most > limit)
			print file ": " most " lines like: " example
		if (crowded > limit)
			print file ": lines that name " crowded " calls in all"
		split("", alike)
		most = crowded = 0
	}' "$tmp/names" "$@"
}

if git rev-parse --git-dir > /dev/null 2>&1; then
	git ls-files -co --exclude-standard
else
	find . -type f -not -path "./build/*" -not -path "./.git/*" | sed 's,^\./,,'
fi | grep -vE '^(include/vmi_abi\.h|docs/((calls|vmm)\.md|performance\..*)|bench/(docs|missed)|test-guest/host/full/mutants\.list)$' > "$tmp/files"
mapfile -t files < <(while read -r file; do [ ! -f "$file" ] || echo "$file"; done < "$tmp/files")
ok "there are files to search" test ${#files[@]} -gt 20
empty "no second list of calls" "$(lists "${files[@]}")"
sed 's/.*/	X(&, 1)/' "$tmp/names" > "$tmp/list.h"
awk '{ print "\t{ \"" $1 "\", " NR " }," }' "$tmp/names" > "$tmp/numbers.h"
{ printf 'calls="'; tr '\n' ' ' < "$tmp/names" | fold -sw 90; echo '"'; } > "$tmp/list.sh"
is "a second list would be found" \
	"$(lists "$tmp/list.h" "$tmp/numbers.h" "$tmp/list.sh" | wc -l)" 3
sed 's/.*/static void test_&(void)\n{\n}\n/' "$tmp/names" > "$tmp/functions.c"
empty "functions are no list" "$(lists "$tmp/functions.c")"

# A row's index is the number of its hypercall.
is "rows 0 to 127 are those of hypercall version 1.0" \
	"$("$O/tools/calls-doc" --tsv | head -128 | cut -f1 | cksum)" "1274059886 1413"
done_testing
