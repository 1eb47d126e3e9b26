#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The tests bite: every fault of mutants.list is put into a copy of the tree,
# and a test that it names must fail over it. First the same tests, with the
# same time limits, on a copy without a fault, where they must pass.
#
#	mutants.t [WORDS]	only the mutants whose names match the regular expression
#	JOBS=2			at once

# shellcheck source=test-guest/host/tap.sh
. "$(dirname "$0")/../tap.sh"
# shellcheck disable=SC2154 # tap.sh

list=$PWD/test-guest/host/full/mutants.list
only=${1-}
seconds=20 # of a guest that does not say time=
unset MAKEFLAGS MFLAGS MAKELEVEL
for name in vmi.rom rom/vmi.elf tools/mkrom tools/vmi-dump test-guest/calls.flat; do
	[ -e "$O/$name" ] || { echo "Bail out! no $O/$name: run make images guests tools"; exit 1; }
done
unset name

# ---------------------------------------------------------------------------
# The list. Of mutant n: name[n], file[n], scope[n], tests[n] (one a line), and
# its lines in $tmp/edit.n.

declare -a name file scope tests
n=0 # 0 is the tree as it is
while IFS= read -r line || [[ $line ]]; do
	case $line in
	'#'* | '') ;;
	'@ '*) read -r _ "file[n]" "scope[n]" <<< "$line" ;;
	[-+]*) echo "$line" >> "$tmp/edit.$n" ;;
	'! '*) tests[n]+=${line#! }$'\n' ;;
	*)
		n=$((n + 1))
		name[n]=$line
		;;
	esac
done < "$list"
mutants=$n
name[0]=
tests[0]=$(for ((i = 1; i <= mutants; i++)); do
	[[ ! ${name[i]} =~ $only ]] || printf '%s' "${tests[i]}"
done | grep -v '^build' | sort -u)

complaints=$(for ((i = 1; i <= mutants; i++)); do
	[[ ${file[i]-} && ${tests[i]-} && -s $tmp/edit.$i ]] || echo "${name[i]}: not complete"
done; printf '%s\n' "${name[@]}" | sort | uniq -d)
empty "the list: every mutant has a name of its own, a file, lines and tests" "$complaints"
empty "the list: every test is one of make check or make check-full" "$(
	{ test-guest/list; test-guest/list full; } > "$tmp/list"
	echo "${tests[0]}" | sed 's/,time=[0-9]*//' | grep -vxFf "$tmp/list")"
is "the list: at least 400 mutants" $((mutants >= 400)) 1

# ---------------------------------------------------------------------------
# One mutant

# edit FILE SCOPE LINES: in FILE, or in the part of it that defines SCOPE (a
# stub or macro, a function of C), the lines with - become the lines with +.
# Blanks, comments and the backslashes of macros do not count. The
# lines must be there, and once.
edit()
{
	perl -e '
		my ($file, $scope, $edit) = @ARGV;
		sub content { open(my $f, "<", $_[0]) or die "$_[0]: $!\n"; return <$f> }
		sub plain {
			my ($s) = @_;
			$s =~ s/\s*;.*// if $file =~ /\.(asm|inc)$/;
			$s =~ s{\s*/\*.*?\*/}{}g;
			$s =~ s/\s*\\?\s*$//;
			$s =~ s/^\s+//;
			$s =~ s/\s+/ /g;
			return $s;
		}
		my (@old, @new);
		/^-/ ? push(@old, plain(substr($_, 1))) : push(@new, substr($_, 1)) for content($edit);
		my @lines = content($file);
		my ($from, $to) = (0, $#lines);
		if ($scope) {
			my $asm = $file =~ /\.(asm|inc)$/;
			my $head = $asm ? qr/^\s*%?(?:stub|inline|macro)\s+\Q$scope\E\b|^\Q$scope\E:/ :
				qr/^[^\s#][^;]*\b\Q$scope\E\(.*[,)]\s*$/;
			$from++ while $from <= $#lines && $lines[$from] !~ $head;
			die "$file has no $scope\n" if $from > $#lines;
			my $tail = !$asm ? qr/^}/ : $lines[$from] =~ /%macro/ ? qr/^%endmacro/ :
				$lines[$from] =~ /^\w+:/ ? qr/^\w+:/ : qr/^\s*(?:endstub|endinline)/;
			$to = $from + 1;
			$to++ while $to < $#lines && $lines[$to] !~ $tail;
		}
		my @at = grep {
			my $at = $_;
			$at + $#old <= $to && !grep { plain($lines[$at + $_]) ne $old[$_] } 0..$#old
		} $from..$to;
		die @at . " places in $file $scope match: $old[0]\n" if @at != 1 || !@old;
		if ($lines[$at[0] + $#old] =~ /\\$/) { # a macro of C goes on
			s/\s*$/ \\\n/ for @new;
		}
		splice(@lines, $at[0], @old, @new);
		open(my $out, ">", $file) or die "$file: $!\n";
		print $out @lines;
	' "$@" 2>&1
}

# fails TEST: true where it does; says over what.
fails()
{
	local test=$1 status=0 points first pid
	[[ $test == *.t || $test == *,time=* ]] || test+=,time=$seconds
	: > "$log.run"
	O=build nice test-guest/run "$test" >> "$log.run" 2>&1 &
	pid=$!
	# The scripts take long; one failure is enough.
	while [[ $test == *.t ]] && kill -0 $pid 2> /dev/null; do
		! grep -aq '^not ok' "$log.run" || kill $pid
		sleep 0.2
	done
	wait $pid || status=$?
	points=$(grep -acE '^(not )?ok ' "$log.run")
	# A guest says what is wrong before the point that fails.
	first=$(awk '/^ok / { why = "" }
		/^# / && !why { why = ": " substr($0, 3) }
		/^Bail out!/ { print; exit }
		/^not ok / { sub(/^not ok [0-9]+ - /, ""); print $0 why; exit }' "$log.run")
	if [[ ! $first && $status -ne 0 ]]; then
		first=$(tail -n 1 "$log.run" | sed -n 's/^# [^:]*: //p')
		: "${first:=exit status $status}"
	elif [[ ! $first ]] && ! grep -aqx "1\.\.$points" "$log.run"; then
		first="$points points, and no such plan"
	fi
	[[ $first ]] && tr -d '#' <<< "$first" | cut -c 1-100
}

# Runs in the worker's copy of the tree. Prints "ok NAME" or "not ok NAME", and why.
mutant()
{
	local i=$1 test first expected
	if ! edit "${file[i]}" "${scope[i]}" "$tmp/edit.$i" > "$log.edit"; then
		echo "not ok ${name[i]}: $(< "$log.edit")"
		return
	fi
	test=${tests[i]%%$'\n'*}
	# Both: the mutant before this one may have been in the other.
	if ! nice make -s O=build images vmm > "$log.make" 2>&1; then
		expected=${test#build: }
		if [[ $test == "build: "* ]] && grep -qF -- "$expected" "$log.make"; then
			echo "ok ${name[i]}: caught by the build ($expected)"
		else
			echo "not ok ${name[i]}: does not build"
			grep -m 3 -iE 'error|assert|:[0-9]+:' "$log.make" | sed 's/^/# /'
		fi
		return
	fi
	while read -r test; do
		[[ $test && $test != build* ]] || continue
		if first=$(fails "$test"); then
			echo "ok ${name[i]}: caught by $test ($first)"
			return
		fi
	done <<< "${tests[i]}"
	echo "not ok ${name[i]}: survived"
}

# worker K: a copy of the tree, built, and then one mutant after the other of
# those that no other worker has taken.
worker()
{
	local tree=$tmp/tree.$1 log=$tmp/log.$1 i first test
	mkdir -p "$tree/build/test-guest"
	cp -a Makefile bench include ldscripts rom vmm test-guest tools docs "$tree"
	cp -a "$O/rom" "$O/tools" "$O"/vmm* "$O"/*.rom "$tree/build"
	ln -s "$O"/test-guest/* "$tree/build/test-guest"
	cd "$tree" || return
	{
		make -s O=build images
		cmp build/vmi.rom "$O/vmi.rom"
	} > "$log.make" 2>&1 || { echo "Bail out! the tree does not build"; return; }
	while read -r test; do
		mkdir "$tmp/claim.${test//\//_}" 2> /dev/null || continue
		if first=$(fails "$test"); then
			echo "not ok without a fault: $test ($first)"
		else
			echo "ok without a fault: $test passes"
		fi >> "$tmp/baseline"
	done <<< "${tests[0]}"
	for ((i = 1; i <= mutants; i++)); do
		[[ ${name[i]} =~ $only ]] || continue
		mkdir "$tmp/claim.$i" 2> /dev/null || continue
		mutant "$i" > "$log.result"
		mv "$log.result" "$tmp/result.$i"
		cp "$top/${file[i]}" "${file[i]}"
	done
}

top=$PWD
workers=()
trap 'kill "${workers[@]}" 2> /dev/null; exit 1' INT TERM HUP
for ((k = 0; k < ${JOBS:-2}; k++)); do
	worker $k > "$tmp/worker.$k" 2>&1 &
	workers+=($!)
done
wait "${workers[@]}"

# ---------------------------------------------------------------------------
# What came of it

results()
{
	local line
	while IFS= read -r line; do
		case $line in
		'ok '*) pass "${line#ok }" ;;
		'not ok '*) fail "${line#not ok }" ;;
		*) echo "$line" ;;
		esac
	done
}

cat "$tmp"/worker.*
[ ! -e "$tmp/baseline" ] || results < "$tmp/baseline"
for ((i = 1; i <= mutants; i++)); do
	[[ ${name[i]} =~ $only ]] || continue
	if [ -e "$tmp/result.$i" ]; then
		results < "$tmp/result.$i"
	else
		fail "${name[i]}: did not run"
	fi
done
done_testing
