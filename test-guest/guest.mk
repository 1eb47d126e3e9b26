# SPDX-License-Identifier: GPL-2.0-only
# Guests: each test-guest/*.c is one, and each of GUEST_FOLDERS is one of several
# files. Every guest is linked three times (lib/start.S).

GUEST_VARIANTS := flat high pae
GUEST_START_flat := -DVIRT=0
GUEST_START_high := -DVIRT=0xc0000000 -DPAGING
GUEST_START_pae := -DVIRT=0xc0000000 -DPAGING -DPAE
GUEST_VIRT_flat := 0
GUEST_VIRT_high := 0xc0000000
GUEST_VIRT_pae := 0xc0000000

GUEST_FOLDERS := calls pv
GUESTS := $(sort $(patsubst test-guest/%.c,%,$(wildcard test-guest/*.c)) $(GUEST_FOLDERS))
GUEST_FILES := $(foreach g,$(GUESTS),$(GUEST_VARIANTS:%=$(O)/test-guest/$(g).%))

GUEST_CFLAGS := -std=gnu11 -m32 -march=i386 -O1 -g -ffreestanding -fno-pic -mgeneral-regs-only \
	-fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none \
	-fno-strict-aliasing -fno-omit-frame-pointer -fno-builtin \
	-Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes \
	-Iinclude -Itest-guest/lib

# In a rule whose stem is the variant.
GUEST_LDFLAGS = -m elf_i386 -z noexecstack --build-id=none --no-warn-rwx-segments \
	--defsym=VIRT=$(GUEST_VIRT_$*) -T test-guest/lib/guest.ld

GUEST_LIB := $(patsubst %.c,$(O)/%.o,$(sort $(wildcard test-guest/lib/*.c))) \
	$(patsubst %.S,$(O)/%.o,$(filter-out %/start.S,$(sort $(wildcard test-guest/lib/*.S))))

guests: $(GUEST_FILES) $(O)/test-guest/vmport.so

# For QEMU itself, not for a guest.
$(O)/test-guest/vmport.so: test-guest/host/vmport.c
	@echo '  HOSTCC  $@'
	@mkdir -p $(@D)
	$(Q)$(HOSTCC) $(HOSTCFLAGS) -shared -fPIC -o $@ $<

define GUEST_RULES
$(O)/test-guest/$(1).%: $(O)/test-guest/lib/start-%.o $(GUEST_LIB) \
		$(if $(filter $(1),$(GUEST_FOLDERS)),$(patsubst %,$(O)/%.o,$(basename $(sort $(wildcard test-guest/$(1)/*.c test-guest/$(1)/*.S)))),$(O)/test-guest/$(1).o) \
		test-guest/lib/guest.ld
	@echo '  LD      $$@'
	$$(Q)$$(LD) $$(GUEST_LDFLAGS) -o $$@ $$(filter %.o,$$^)
endef
$(foreach g,$(GUESTS),$(eval $(call GUEST_RULES,$(g))))

$(O)/test-guest/lib/start-%.o: test-guest/lib/start.S
	@echo '  AS      $@'
	@mkdir -p $(@D)
	$(Q)$(CC) -m32 -fno-pic $(GUEST_START_$*) -c -o $@ $<

# pv's programs: flat files, which programs.S takes in.
PV_PROGRAMS := $(patsubst test-guest/%.c,$(O)/test-guest/%.bin,$(wildcard test-guest/pv/user/*.c))

$(O)/test-guest/pv/user/%.bin: $(O)/test-guest/pv/user/start.o $(O)/test-guest/pv/user/%.o
	@echo '  LD      $@'
	$(Q)$(LD) -m elf_i386 -N --no-warn-rwx-segments -Ttext 0x08000000 -o $(@:.bin=.elf) $^
	$(Q)objcopy -O binary -j .text -j .rodata -j .data $(@:.bin=.elf) $@

$(O)/test-guest/pv/programs.o: $(PV_PROGRAMS)
$(O)/test-guest/pv/entry.o: test-guest/pv/ops.h
$(O)/test-guest/pv/%.o: GUEST_ASFLAGS := -Wa,-I$(O)/test-guest/pv/user

$(O)/test-guest/%.o: test-guest/%.S
	@echo '  AS      $@'
	@mkdir -p $(@D)
	$(Q)$(CC) -m32 -fno-pic $(GUEST_ASFLAGS) -c -o $@ $<

$(O)/test-guest/%.o: test-guest/%.c test-guest/lib/guest.h include/vmi_abi.h $(wildcard test-guest/calls/*.h test-guest/pv/*.h test-guest/pv/user/*.h)
	@echo '  CC      $@'
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -c -o $@ $<
