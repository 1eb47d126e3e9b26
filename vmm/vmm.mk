# SPDX-License-Identifier: GPL-2.0-only
# The VMM's half: what runs in a process.

include vmm/core/core.mk

VMM_USER := $(O)/vmm-user

.PHONY: vmm
tools vmm: $(VMM_USER)

VMM_USER_CFLAGS := -std=gnu11 -m32 -O2 -g -fno-pic -fno-pie -fno-strict-aliasing -Wall -Wextra -Werror \
	-Wmissing-prototypes -Wstrict-prototypes -D_GNU_SOURCE -Iinclude -Ivmm/core
VMM_USER_OBJS := $(patsubst %,$(O)/%.o,$(basename $(sort $(wildcard vmm/user/*.c vmm/user/*.S)))) \
	$(patsubst vmm/core/%.c,$(O)/vmm/user/core-%.o,$(VMM_CORE))

$(VMM_USER): $(VMM_USER_OBJS)
	@echo '  LD      $@'
	$(Q)$(CC) -m32 -no-pie $(VMM_USER_SANITIZE) -o $@ $^

$(O)/vmm/user/%.o: vmm/user/%.c $(wildcard vmm/user/*.h) $(VMM_CORE_HEADERS)
	@echo '  CC      $@'
	@mkdir -p $(@D)
	$(Q)$(CC) $(VMM_USER_CFLAGS) $(VMM_USER_SANITIZE) -c -o $@ $<

$(O)/vmm/user/%.o: vmm/user/%.S $(wildcard vmm/user/*.h)
	@echo '  AS      $@'
	@mkdir -p $(@D)
	$(Q)$(CC) -m32 -c -o $@ $<

$(O)/vmm/user/core-%.o: vmm/core/%.c $(VMM_CORE_HEADERS)
	@echo '  CC      $@'
	@mkdir -p $(@D)
	$(Q)$(CC) $(VMM_USER_CFLAGS) -ffreestanding $(VMM_USER_SANITIZE) -c -o $@ $<

# libFuzzer on the core: TIME seconds. New inputs stay in $(O)/fuzz.
TIME := 60
FUZZ := $(O)/vmm/fuzz/core
.PHONY: fuzz
fuzz:
	@tools/deps fuzz
	@$(MAKE) -s --no-print-directory $(FUZZ)
	$(Q)vmm/fuzz $(FUZZ) $(TIME) $(O)/fuzz

$(FUZZ): $(VMM_CORE) vmm/core/fuzz.c vmm/core/fake.h $(VMM_CORE_HEADERS)
	@echo '  FUZZ    $@'
	@mkdir -p $(@D)
	$(Q)clang -std=gnu11 -O2 -g -Wall -Wextra -Werror -fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=all -Iinclude -o $@ $(VMM_CORE) vmm/core/fuzz.c

# Cycles and instructions of calls, on this processor.
.PHONY: cycles
cycles: images $(VMM_USER)
	$(Q)$(VMM_USER) bench $(O)/vmi.rom
