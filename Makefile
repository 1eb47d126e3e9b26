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

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all images guests run check check-full install help clean

all: images

include rom/rom.mk
-include test-guest/guest.mk
-include tools/tools.mk

clean:
	$(Q)rm -rf $(O)
