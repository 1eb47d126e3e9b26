#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Below vmm/svm, guests that go where they may not (test-guest/svm.c): each is
# stopped, the line says why and where, and QEMU ends with the hypervisor's
# value. And what the hypervisor says where there is no guest for it to run.
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=/dev/null
. test-guest/host/lib.sh

require_file qemu-system-x86 qemu-system-i386

# CR0.PG is set below each guest, for QEMUs that ask the nested tables only while
# it is (vmm/svm/control.c).
registers='; at [0-9a-f]{4}:[0-9a-f]{8} eflags [0-9a-f]{8} cr0 8[0-9a-f]{7} .* eax [0-9a-f]{8} .* esp [0-9a-f]{4}:[0-9a-f]{8}$'

stopped() # GUEST ATTACK REASON
{
	test-guest/run "$1,attack=$2,host=svm,end=stopped${keys-}" >"$TMP/out" 2>&1 || return
	grep -q "^attack: $2$" "$TMP/out" && ! grep -q 'still here' "$TMP/out" &&
		[ "$(grep -cE "^vmm: CPU 0 stopped: $3$registers" "$TMP/out")" = 1 ]
}

attack() # ATTACK REASON [GUEST...]
{
	local name=$1 reason=$2 guest

	shift 2
	[ $# -gt 0 ] || set -- svm.flat svm.high svm.pae
	for guest; do
		if stopped "$guest" "$name" "$reason"; then
			pass "$guest, $name"
		else
			fail_file "$guest, $name" "$TMP/out"
		fi
	done
}

memory="of the hypervisor's memory at [0-9a-f]{8}"

attack read "a read $memory"
attack read-last "a read $memory"
attack write "a write $memory"
attack run "a read $memory"
attack stack "a write $memory"
attack idt "a read $memory"
attack tables "a write $memory"
attack paging-off "a read $memory" svm.flat
attack vmrun 'an SVM instruction \(exit 80\)'
attack vmload 'an SVM instruction \(exit 82\)'
attack vmsave 'an SVM instruction \(exit 83\)'
attack stgi 'an SVM instruction \(exit 84\)'
attack clgi 'an SVM instruction \(exit 85\)'
attack invlpga 'an SVM instruction \(exit 7a\)'
attack svme 'EFER.SVME'
attack vm_cr 'a read of the SVM MSR c0010114'
attack hsave 'a write of the SVM MSR c0010117'
attack apic-base 'the local APIC is moved to [0-9a-f]{8}'
attack triple-fault 'a triple fault'
attack init 'INIT of the first processor'
attack message 'a write at fee01000'
attack message-0 "not a whole word written to the local APIC's register 0"
attack string-io 'string I/O on port 64'

keys=,rom=none,trap=all
attack queue-entry 'SetPxE: ptep [0-9a-f]{8} is not mapped'
attack queue-call 'queue: call 564d[0-9a-f]{4} is not one that may wait'
attack queue-number 'queue: call 564dffff is not one that may wait'
attack queue-next 'queue: queue_next [0-9a-f]{8} is not where an entry begins'

# The hypervisor itself, and the one line that it says.
says() # LINE QEMU-ARGS...
{
	local line=$1 status=0

	shift
	timeout 30 qemu-system-i386 -accel tcg -display none -serial stdio -monitor none -nodefaults \
		-device isa-debug-exit,iobase=0xf4,iosize=4 -kernel "$O/vmm-svm.elf" "$@" \
		</dev/null >"$TMP/out" 2>&1 || status=$?
	cat "$TMP/out"
	[ "$status" = 65 ] && [ "$(tr -d '\r' <"$TMP/out")" = "vmm: $line" ]
}

head -c 65536 /dev/zero >"$TMP/zero"
ok "no SVM" says 'this processor has no AMD-V (QEMU: -cpu max)' -cpu qemu32 -initrd "$TMP/zero"
ok "no guest" says 'no guest: it is the first module' -cpu max
ok "not a guest" says "$TMP/zero: neither a bzImage nor a multiboot ELF file" -cpu max -initrd "$TMP/zero"
ok "a bad policy" says 'trap=some: none, time, mmu, cpu, irq or all' -cpu max -initrd "$TMP/zero" -append trap=some
ok "too many processors" says '5 processors: at most 4' -cpu max -smp 5 -initrd "$TMP/zero"

module()
{
	local status=0

	printf 'contents' >"$TMP/module"
	timeout 30 qemu-system-i386 -accel tcg -display none -serial stdio -monitor none -nodefaults \
		-device isa-debug-exit,iobase=0xf4,iosize=4 -kernel "$O/vmm-svm.elf" -cpu max \
		-initrd "$O/test-guest/svm.flat module,$TMP/module some text" \
		</dev/null >"$TMP/out" 2>&1 || status=$?
	cat "$TMP/out"
	[ "$status" = 33 ] && grep -q '^ok 1 ' "$TMP/out" &&
		tr -d '\r' <"$TMP/out" | grep -q "^# module $TMP/module some text: contents$"
}

ok "a module of the guest" module
done_testing
