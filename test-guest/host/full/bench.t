#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What each call costs, by counts that are the same each time: every goal that bench/missed
# does not name is met, and none is missed by more than it says there. docs/ has these counts,
# which are those of Debian's gcc 12.

# shellcheck source=test-guest/host/tap.sh
. "$(dirname "$0")/../tap.sh"

if output=$(bench/run check 2>&1); then
	pass "goals"
else
	fail "goals" "$(tail -n 20 <<< "$output")"
fi
if output=$(bench/docs check 2>&1); then
	pass "docs/performance"
else
	fail "docs/performance" "$(tail -n 20 <<< "$output")"
fi
done_testing
