#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The same source makes the same images, wherever it lies and wherever it is
# built, whoever builds it when.

# shellcheck source=test-guest/host/tap.sh
. "$(dirname "$0")/tap.sh"

# Of the make that runs the tests, nothing may come through but the compiler.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES V
images="vmi.rom vmi-13.rom vmi-6.rom"
first=$tmp/a
second=$tmp/second/tree/with-a-longer-path
third=$tmp/elsewhere

# What the images are made of: the tree without what was built and without tests.
files()
{
	if git rev-parse --git-dir > /dev/null 2>&1; then
		git ls-files -co --exclude-standard
	else
		find . -type f -not -path "./build/*" -not -path "./.git/*"
	fi | while read -r file; do
		[ ! -f "$file" ] || echo "$file"
	done
}

mkdir -p "$first" "$second" "$third"
files > "$tmp/files"
tar -cf "$tmp/tree.tar" -T "$tmp/files" || { echo "Bail out! cannot copy the tree"; exit 1; }
tar -xf "$tmp/tree.tar" -C "$first"
tar -xmf "$tmp/tree.tar" -C "$second"

# build DIRECTORY OUTPUT COMMAND...: makes the images of the tree there
# shellcheck disable=SC2317 # called by ok
build()
{
	local directory=$1 out=$2
	shift 2
	(cd "$directory" && env -u O "$@" make O="$out" images)
}

ok "builds in a directory" build "$first" build
ok "builds in another, at another time and place" \
	build "$second" build TZ=Asia/Tokyo USER=somebody HOME=/nonexistent SOURCE_DATE_EPOCH=1
touch "$tmp/before"
ok "builds with O= outside the tree" build "$second" "$third"
for image in $images; do
	ok "$image: same bytes from both directories" cmp "$first/build/$image" "$second/build/$image"
	ok "$image: same bytes with O= outside the tree" cmp "$first/build/$image" "$third/$image"
	is "$image: names no directory" "$(grep -ac "$tmp" "$first/build/$image")" 0
done
empty "nothing is built into the tree with O=" "$(find "$second" -newer "$tmp/before")"
done_testing
