# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# TAP for the tests that need no guest. A test sources this file, which changes
# to the top of the tree and sets O, the build directory, and tmp, a directory
# of its own; and ends with done_testing.

set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
O=$(realpath -m "${O:-build}")
export O LC_ALL=C
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
count=0
failed=0

# pass NAME; fail NAME [why, on any number of lines]
pass()
{
	count=$((count + 1))
	echo "ok $count - $1"
}

fail()
{
	count=$((count + 1))
	failed=$((failed + 1))
	echo "not ok $count - $1"
	[ -z "${2-}" ] || head -n 20 <<< "$2" | sed 's/^/# /'
}

skip()
{
	count=$((count + 1))
	echo "ok $count - $1 # SKIP $2"
}

# ok NAME COMMAND...: passes if the command succeeds; its output explains a failure.
ok()
{
	local name=$1 output
	shift
	if output=$("$@" 2>&1); then
		pass "$name"
	else
		fail "$name" "${output:-$* failed}"
	fi
}

# is NAME GOT EXPECTED
is()
{
	if [ "$2" = "$3" ]; then
		pass "$1"
	else
		fail "$1" "$(printf 'got      %s\nexpected %s\n' "$2" "$3")"
	fi
}

# empty NAME TEXT: passes if there is nothing to complain about.
empty()
{
	if [ -z "$2" ]; then
		pass "$1"
	else
		fail "$1" "$2"
	fi
}

done_testing()
{
	echo "1..$count"
	exit $((failed != 0))
}
