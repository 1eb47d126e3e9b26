# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# For the tests of this folder, which look at an emulated machine from outside:
# TAP, a QEMU whose screen can be read, a Bochs. Sourced from the top of the
# repository. Every emulator is under timeout, and ends with the test if that does.

# shellcheck source=/dev/null
. test-guest/host/tap.sh
# shellcheck disable=SC2154 # tap.sh
TMP=$tmp
PIDS=()

# What a program left behind explains the failure.
fail_file() # NAME FILE
{
	fail "$1" "$(tail -n 20 "$2" 2>/dev/null | tr -cd '\11\12\40-\176')"
}

same() # FILE FILE
{
	[ -s "$1" ] && [ -s "$2" ] && diff -u "$1" "$2"
}

# End the whole file with one SKIP line if a package is not there.
require_file() # PACKAGE FILE...
{
	local package=$1 file

	shift
	for file; do
		if [ ! -e "$file" ] && ! command -v "$file" >/dev/null; then
			skip "$(basename "$0" .t)" "package $package is not installed ($file)"
			done_testing
		fi
	done
}

# Processes of this test only: each is waited for, so that its id is still its own.
kill_started()
{
	local pid

	for pid in "${PIDS[@]}"; do
		kill "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	PIDS=()
}

cleanup()
{
	kill_started
	rm -rf "$TMP"
}

trap cleanup EXIT
trap 'exit 1' INT TERM HUP

for rom in vmi vmi-13 vmi-6; do
	if [ ! -s "$O/$rom.rom" ]; then
		echo "Bail out! $O/$rom.rom is missing, run make"
		exit 1
	fi
done

# What is in a dump of the text screen, as lines; graphics are dots.
screen_text() # FILE
{
	perl -0777 -ne 's/(.)./$1/gs; tr/\x20-\x7e/./c; tr/\0/ /;
		print "$1\n" while /(.{80})/g' "$1" | sed 's/ *$//'
}

# A machine that runs until vm_stop. Its monitor (QMP) is file descriptor 9.
# SeaBIOS's log is $TMP/vm.bios, the first serial port $TMP/vm.serial.
vm_start() # SECONDS QEMU-ARGS...
{
	local seconds=$1

	shift
	rm -f "$TMP"/vm.*
	mkfifo "$TMP/vm.monitor"
	exec 9<>"$TMP/vm.monitor"
	timeout -k 5 "$seconds" "${QEMU:-qemu-system-i386}" -accel tcg -nodefaults -vga std \
		-display none -qmp stdio -serial "file:$TMP/vm.serial" \
		-chardev "file,id=bios,path=$TMP/vm.bios" \
		-device isa-debugcon,iobase=0x402,chardev=bios "$@" \
		<"$TMP/vm.monitor" >"$TMP/vm.log" 2>&1 9>&- &
	VM=$!
	PIDS=("$VM")
	vm_monitor qmp_capabilities
}

vm_running()
{
	kill -0 "$VM" 2>/dev/null
}

vm_monitor() # COMMAND [ARGUMENTS in JSON]
{
	echo "{\"execute\":\"$1\",\"arguments\":{${2:-}}}" >&9
}

# Physical memory, at the time of the call.
vm_memory() # ADDRESS LENGTH FILE
{
	local tries

	rm -f "$3"
	vm_monitor pmemsave "\"val\":$(($1)),\"size\":$(($2)),\"filename\":\"$3\""
	for ((tries = 0; tries < 100; tries++)); do
		[ "$(stat -c %s "$3" 2>/dev/null)" = "$(($2))" ] && return 0
		vm_running || return 1
		sleep 0.05
	done
	return 1
}

# Conventional memory of the running machine, in KiB, as the BIOS tells it.
vm_base_memory()
{
	vm_memory 0x413 2 "$TMP/vm.413" && od -An -tu2 "$TMP/vm.413" | tr -d ' '
}

# The screen's text, into $TMP/vm.screen.
vm_screen()
{
	vm_memory 0xb8000 4000 "$TMP/vm.vga" && screen_text "$TMP/vm.vga" >"$TMP/vm.screen"
}

# Wait until a line of the screen matches; the machine's own time limit ends the wait.
vm_wait_screen() # REGEXP
{
	while vm_screen; do
		grep -Eq -- "$1" "$TMP/vm.screen" && return 0
		sleep 0.3
	done
	return 1
}

vm_wait_serial() # REGEXP
{
	while ! grep -Eaq -- "$1" "$TMP/vm.serial" 2>/dev/null; do
		vm_running || return 1
		sleep 0.3
	done
}

vm_stop()
{
	kill_started
	exec 9>&-
}

# Boot DISK (an ISO 9660 image, a 1.44 MB floppy's, or a hard disk's) in Bochs
# with IMAGE at ADDRESS, and further pairs of them; none if IMAGE is empty. The
# first serial port goes to SERIALFILE, Bochs's own log to $TMP/bochs.log.
# True if the guest ends the run, by writing "Shutdown" to port 0x8900, or when
# SERIALFILE matches $BOCHS_UNTIL; false after $BOCHS_SECONDS (50).
# Also from the environment: BOCHS_BIOS, BOCHS_VGA, BOCHS_CPU (a model of "bochs -help cpu"),
# BOCHS_CPUS, BOCHS_MEGS, and BOCHS_IPS, the frequency of the TSC: 20000000 is
# quick, test-guest/calls wants 200000000.
bochs_run() # IMAGE ADDRESS DISK SERIALFILE [IMAGE ADDRESS]...
{
	local disk=$3 serial=$4 result=1 n=1 pid bios
	local images=("$1" "$2" "${@:5}")

	bios=${BOCHS_BIOS:-/usr/share/bochs/BIOS-bochs-latest}
	rm -f "$serial" "$TMP"/bochs.*
	{
		echo "config_interface: textconfig"
		echo "display_library: term"
		echo "log: $TMP/bochs.log"
		echo "panic: action=fatal"
		echo "error: action=report"
		echo "info: action=report"
		echo "cpu: model=${BOCHS_CPU:-bx_generic}, count=${BOCHS_CPUS:-1}, ips=${BOCHS_IPS:-20000000}, reset_on_triple_fault=0"
		echo "megs: ${BOCHS_MEGS:-32}"
		# 2027-01-01, as guests expect; time does not depend on this machine's load.
		echo "clock: sync=none, time0=1798761600"
		echo "romimage: file=$bios"
		echo "vgaromimage: file=${BOCHS_VGA:-/usr/share/vgabios/vgabios.bin}"
		set -- "${images[@]}"
		while [ $# -ge 2 ]; do
			[ -n "$1" ] && echo "optromimage$n: file=$1, address=$2"
			n=$((n + 1))
			shift 2
		done
		echo "com1: enabled=1, mode=file, dev=$serial"
		if [ "$(tail -c +32770 "$disk" | head -c 5 | tr -d '\0')" = CD001 ]; then
			echo "ata0-master: type=cdrom, path=$disk, status=inserted"
			echo "boot: cdrom"
		elif [ "$(stat -c %s "$disk")" = 1474560 ]; then
			echo "floppya: 1_44=$disk, status=inserted, write_protected=1"
			echo "boot: floppy"
		else
			echo "ata0-master: type=disk, path=$disk, mode=volatile"
			echo "boot: disk"
		fi
	} >"$TMP/bochs.rc"
	# Debian's Bochs has its debugger built in, which wants to be told to go.
	echo c >"$TMP/bochs.debug"

	TZ=UTC TERM=xterm timeout -s KILL "${BOCHS_SECONDS:-50}" bochs -q -f "$TMP/bochs.rc" \
		-rc "$TMP/bochs.debug" </dev/null >"$TMP/bochs.out" 2>&1 &
	pid=$!
	PIDS=("$pid")
	while kill -0 "$pid" 2>/dev/null; do
		if [ -n "${BOCHS_UNTIL:-}" ] && grep -Eaq -- "$BOCHS_UNTIL" "$serial" 2>/dev/null; then
			result=0
			break
		fi
		sleep 0.1
	done
	kill_started
	grep -aq 'Shutdown port: shutdown requested' "$TMP/bochs.log" 2>/dev/null && result=0
	return $result
}
