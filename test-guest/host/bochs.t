#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Bochs with its own BIOS, which finds the images in place, anywhere on a 2 KiB
# boundary between the VGA BIOS and E0000: the banner, the memory, and the
# machine goes on to boot a floppy. The floppy tells what it finds by serial port.
#
# Debian's SeaBIOS is no test in Bochs: as configured for QEMU it takes option
# ROMs from PCI and fw_cfg only (CONFIG_OPTIONROMS_DEPLOYED=n) and runs none,
# not even the VGA BIOS.
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=/dev/null
. test-guest/host/lib.sh

require_file bochs bochs
require_file bochs-term /usr/lib/x86_64-linux-gnu/bochs/plugins/libbx_term_gui.so
require_file bochsbios /usr/share/bochs/BIOS-bochs-latest /usr/share/bochs/BIOS-bochs-legacy
require_file vgabios /usr/share/vgabios/vgabios.bin
require_file nasm nasm

# The screen, one line "image SEGMENT sum BYTE" for each image with the VMI
# signature, 40:13, and the end of the first region of E820.
cat >"$TMP/boot.asm" <<'END'
	bits	16
	org	0x7c00
	xor	ax, ax
	mov	ds, ax
	mov	ss, ax
	mov	sp, 0x7c00
	cld
	mov	dx, 0x3fb
	mov	al, 3
	out	dx, al

	push	word 0xb800
	pop	es
	xor	di, di
	mov	bx, 25
.line:	mov	cx, 80
.char:	mov	al, [es:di]
	call	serial
	scasw
	loop	.char
	call	newline
	dec	bx
	jnz	.line

	mov	bx, 0xc000
.scan:	mov	es, bx
	cmp	word [es:0], 0xaa55
	jne	.next
	cmp	dword [es:8], 'cVmi'
	jne	.next
	mov	si, text_image
	call	print
	mov	ax, bx
	call	hex
	mov	si, text_sum
	call	print
	xor	ax, ax
	mov	ch, [es:2]
	shl	ch, 1
	mov	cl, 0
	xor	di, di
.sum:	add	al, [es:di]
	inc	di
	loop	.sum
	call	hex
	call	newline
.next:	add	bx, 0x80
	cmp	bx, 0xe000
	jb	.scan

	mov	si, text_base
	call	print
	mov	ax, [0x413]
	call	hex
	call	newline

	push	ds
	pop	es
	mov	eax, 0xe820
	mov	edx, 'PAMS'
	mov	ecx, 20
	xor	ebx, ebx
	mov	di, 0x8000
	int	0x15
	mov	si, text_e820
	call	print
	mov	ax, [0x800a]
	call	hex
	mov	ax, [0x8008]
	call	hex
	call	newline
	mov	si, text_end
	call	print
.empty:	mov	dx, 0x3fd
	in	al, dx
	test	al, 0x40
	jz	.empty

	mov	si, text_off
	mov	dx, 0x8900
.off:	lodsb
	out	dx, al
	test	al, al
	jnz	.off
.stop:	hlt
	jmp	.stop

newline:
	mov	al, 10
serial:	push	dx
	push	ax
	mov	dx, 0x3fd
.wait:	in	al, dx
	test	al, 0x20
	jz	.wait
	pop	ax
	mov	dx, 0x3f8
	out	dx, al
	pop	dx
	ret

print:	lodsb
	test	al, al
	jz	.end
	call	serial
	jmp	print
.end:	ret

hex:	mov	cx, 4
.digit:	rol	ax, 4
	push	ax
	and	al, 15
	cmp	al, 10
	sbb	al, 0x69
	das
	call	serial
	pop	ax
	loop	.digit
	ret

text_image:	db	"image ", 0
text_sum:	db	" sum ", 0
text_base:	db	"40:13 ", 0
text_e820:	db	"E820 ", 0
text_end:	db	"the end", 10, 0
text_off:	db	"Shutdown", 0
	times	510 - ($ - $$) db 0
	dw	0xaa55
	times	1474560 - ($ - $$) db 0
END
if ! nasm -f bin -o "$TMP/floppy" "$TMP/boot.asm" 2>"$TMP/nasm"; then
	fail_file "the floppy" "$TMP/nasm"
	done_testing
fi

# Run it; its text is $TMP/NAME.text_
boot() # NAME [IMAGE ADDRESS]...
{
	local name=$1 result=0

	shift
	bochs_run "${1:-}" "${2:-}" "$TMP/floppy" "$TMP/serial" "${@:3}" || result=1
	tr '\0' ' ' <"$TMP/serial" | sed 's/ *$//' >"$TMP/$name.text"
	tail -n 5 "$TMP/bochs.log"
	grep -q '^the end' "$TMP/$name.text" && return $result
}

# No line that the images are the reason of; blank lines make up for banners.
plain() # FILE
{
	sed -E -e '/^$/d' -e '/^VMI ROM/d' -e '/^image /d' -e 's/^(40:13|E820) .*/\1/' "$1"
}

same_text() # NAME REFERENCE
{
	plain "$TMP/$2.text" >"$TMP/a"
	plain "$TMP/$1.text" >"$TMP/b"
	same "$TMP/a" "$TMP/b"
}

field() # FILE WORD; the number after WORD
{
	local value

	value=$(sed -n "s/^$2 \([0-9A-F]*\)$/\1/p" "$1")
	echo $((0x${value:-0}))
}

# Each image says where it is, and takes memory where the one before it ended.
banners() # NAME REFERENCE [REVISION ADDRESS]...
{
	local name=$1 line base form

	cat "$TMP/$name.text"
	base=$(field "$TMP/$2.text" 40:13)
	shift 2
	while read -r line; do
		[ $# -ge 2 ] || return
		form="^VMI ROM [0-9.]+: VMI $1 at $(printf %X "$2"), host native, clock [a-z]+, "
		form+='([0-9]+) KiB at ([0-9A-F]{5})$'
		[[ $line =~ $form ]] || return
		base=$((base - BASH_REMATCH[1]))
		[ $((0x${BASH_REMATCH[2]})) = $((base * 1024)) ] || return
		shift 2
	done < <(grep '^VMI ROM' "$TMP/$name.text")
	[ $# = 0 ] && [ "$base" = "$(field "$TMP/$name.text" 40:13)" ]
}

# This BIOS's E820 does not look at 40:13: its first region ends at 636 KiB.
memory_kept() # NAME
{
	local base e820

	base=$(field "$TMP/$1.text" 40:13)
	e820=$(field "$TMP/$1.text" E820)
	printf '40:13 is %d KiB, E820 gives memory away up to %d KiB\n' "$base" $((e820 / 1024))
	[ "$e820" -gt 0 ] && [ "$e820" -le $((base * 1024)) ]
}

passed() # FILE with the guest's TAP, behind "# "
{
	cat "$1"
	grep -q '^# 1\.\.5' "$1" && ! grep -q '^# not ok' "$1"
}

# All of them are there, and their bytes add up to 0 as they did in the file.
sums() # NAME ADDRESS...
{
	local name=$1 address

	grep '^image' "$TMP/$name.text" | tee "$TMP/a"
	shift
	for address; do
		printf 'image %04X sum 0000\n' $((address / 16))
	done | cmp "$TMP/a" -
}

images() # NAME REFERENCE [REVISION IMAGE ADDRESS]...
{
	local name=$1 reference=$2 boot=() said=() at=()

	shift 2
	while [ $# -ge 3 ]; do
		boot+=("$O/$2.rom" "$3")
		said+=("$1" "$3")
		at+=("$3")
		shift 3
	done
	ok "$name: the floppy boots" boot "$name" "${boot[@]}"
	ok "$name: the screen is as without" same_text "$name" "$reference"
	ok "$name: the banner and 40:13" banners "$name" "$reference" "${said[@]}"
	ok "$name: E820 keeps the memory" memory_kept "$name"
	ok "$name: the images in memory" sums "$name" "${at[@]}"
}

# The last boundary where the image ends below E0000.
last_place() # IMAGE
{
	printf '0x%x' $(((0xe0000 - $(stat -c %s "$O/$1.rom")) & ~0x7ff))
}

# The boundary where an image at ADDRESS ends.
after() # IMAGE ADDRESS
{
	printf '0x%x' $((($2 + $(stat -c %s "$O/$1.rom") + 0x7ff) & ~0x7ff))
}

# A boot takes one second, if the BIOS does not wait for long.
export BOCHS_SECONDS=15

for bios in latest legacy; do
	export BOCHS_BIOS=/usr/share/bochs/BIOS-bochs-$bios
	ok "$bios: the floppy boots without" boot "$bios"
	for image in vmi:3.0 vmi-13:13.3 vmi-6:6.1; do
		rom=${image%:*}
		places=(0xc9800 "$(last_place "$rom")")
		[ "$bios$rom" = latestvmi ] && places+=(0xca000 0xcc800 0xd0000 0xd4800 0xd5000)
		for place in "${places[@]}"; do
			images "$bios, $rom at $place" "$bios" "${image#*:}" "$rom" "$place"
		done
	done
	for image in vmi-13:13.3 vmi-6:6.1; do # all three do not fit
		images "$bios, vmi and ${image%:*}" "$bios" 3.0 vmi 0xc9800 "${image#*:}" "${image%:*}" \
			"$(after vmi 0xc9800)"
	done
done

export BOCHS_BIOS=/usr/share/bochs/BIOS-bochs-latest BOCHS_MEGS=512
images "512 MiB" latest 3.0 vmi 0xd0000
# A guest calls Init: in real ROM the image cannot say where its memory is.
require_file grub-common grub-mkrescue
require_file xorriso xorriso
require_file mtools mformat
printf 'set timeout=0\nmultiboot /boot/guest\nboot\n' >"$TMP/grub.cfg"
if grub-mkrescue -d /usr/lib/grub/i386-pc -o "$TMP/guest.iso" --fonts= --locales= --themes= \
	--install-modules="normal multiboot" boot/grub/grub.cfg="$TMP/grub.cfg" \
	boot/guest="$(realpath "$O/test-guest/init.flat")" >"$TMP/mkrescue" 2>&1; then
	for image in "vmi 0xca000" "vmi $(last_place vmi)"; do
		BOCHS_UNTIL='^1\.\.' bochs_run "$O/${image% *}.rom" "${image#* }" "$TMP/guest.iso" \
			"$TMP/serial"
		tr -d '\r' <"$TMP/serial" | sed 's/^/# /' >"$TMP/guest"
		ok "$image: a guest calls Init, and what must fail fails" passed "$TMP/guest"
	done
else
	fail_file "grub-mkrescue makes a CD" "$TMP/mkrescue"
fi
done_testing
