# SPDX-License-Identifier: GPL-2.0-only
VERSION := 0.1

# make O=dir: build there.  make V=1: show the commands.
O := build
Q := $(if $(V),,@)

ifeq ($(origin CC),default)
CC := gcc
endif
NASM := nasm
HOSTCC := $(CC)
HOSTCFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror -Iinclude

PREFIX := /usr/local
DATADIR := $(PREFIX)/share
JOBS := 2

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all images guests run check check-full bench lint install uninstall help clean

all: images

include rom/rom.mk
include test-guest/guest.mk
include tools/tools.mk
include vmm/vmm.mk
include vmm/svm/svm.mk
include bench/bench.mk

# The dependencies come first: a fresh machine has make, but no compiler yet.
run:
	@tools/deps run
	@$(MAKE) -s --no-print-directory images $(O)/test-guest/demo.flat $(if $(HOST),vmm)
	@O='$(O)' HOST='$(HOST)' TRAP='$(TRAP)' KERNEL='$(KERNEL)' INITRD='$(INITRD)' ROM='$(or $(ROM),vmi.rom)' QEMU_ARGS='$(QEMU_ARGS)' \
		$(if $(APPEND),APPEND='$(APPEND)') tools/run

check check-full:
	@tools/deps check
	@$(MAKE) -s --no-print-directory images guests tools vmm
	@O='$(O)' test-guest/check -j $(JOBS) $(if $(filter check-full,$@),full)

bench:
	@tools/deps bench
	@$(MAKE) -s --no-print-directory images guests vmm
	$(Q)O='$(O)' bench/run

lint:
	@tools/deps lint
	@tools/lint

# QEMU finds images by name in $(DATADIR)/qemu: qemu -option-rom vmi.rom
INSTALLED := $(ROM_IMAGES:%=$(DATADIR)/qemu/%) $(DATADIR)/vmi $(PREFIX)/include/vmi_abi.h $(DATADIR)/doc/vmi

install: images vmm
	install -d $(DESTDIR)$(DATADIR)/qemu $(DESTDIR)$(DATADIR)/vmi $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(DATADIR)/doc/vmi
	install -m 644 $(ROM_IMAGES:%=$(O)/%) $(DESTDIR)$(DATADIR)/qemu
	install -m 644 $(O)/vmm-svm.elf $(DESTDIR)$(DATADIR)/vmi
	install -m 644 include/vmi_abi.h $(DESTDIR)$(PREFIX)/include
	install -m 644 README.md LICENSE docs/*.md docs/*.svg docs/*.csv $(DESTDIR)$(DATADIR)/doc/vmi

uninstall:
	rm -rf $(INSTALLED:%=$(DESTDIR)%)

clean:
	$(Q)rm -rf $(O)

help:
	@echo 'make              the images: $(ROM_IMAGES:%=$(O)/%)'
	@echo 'make guests tools vmm   test guests; mkrom, vmi-dump and the like; vmm/user and vmm/svm'
	@echo 'make run          boot QEMU with vmi.rom and a guest that shows what it finds'
	@echo '                  KERNEL=bzImage [INITRD=file] [APPEND="console=ttyS0 ..."]: your kernel instead'
	@echo '                  ROM=vmi-13.rom: another image;  QEMU_ARGS="-m 512 -smp 2": more for QEMU'
	@echo '                  HOST=svm [TRAP=all]: below the hypervisor of vmm/svm'
	@echo 'make check        all tests;  make check-full: those that take longer;  JOBS=2 at once'
	@echo 'make bench        instructions of each call and of a kernel: tables, goals, a chart, in $(O)/bench'
	@echo 'make cycles       cycles and instructions of calls on this processor'
	@echo 'make fuzz TIME=60 libFuzzer on the core of a VMM'
	@echo 'make lint         clang-format, cppcheck, shellcheck'
	@echo 'make docs         docs/calls.md, from include/vmi_abi.h'
	@echo 'make install      images, vmm-svm.elf, header, documentation;  PREFIX=$(PREFIX) DESTDIR='
	@echo 'make uninstall clean'
	@echo 'O=dir: build there.  V=1: show the commands.  CC=clang: another compiler.'
