# SPDX-License-Identifier: GPL-2.0-only
# A hypervisor on AMD-V: vmm-svm.elf, a multiboot image whose first module is the guest.

SVM_CFLAGS := -std=gnu11 -m32 -march=i686 -O2 -g -ffreestanding -fno-pic -mgeneral-regs-only -mregparm=3 \
	-fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none \
	-fno-strict-aliasing -fno-builtin -fvisibility=hidden \
	-Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes -Iinclude

SVM_OBJECTS := $(patsubst %.c,$(O)/%.o,$(sort $(wildcard vmm/svm/*.c))) \
	$(patsubst vmm/core/%.c,$(O)/vmm/svm/core/%.o,$(VMM_CORE)) \
	$(patsubst %.asm,$(O)/%.asm.o,$(sort $(wildcard vmm/svm/*.asm)))

.PHONY: vmm
vmm: $(O)/vmm-svm.elf

$(O)/vmm-svm.elf: $(SVM_OBJECTS) vmm/svm/svm.ld
	@echo '  LD      $@'
	$(Q)$(LD) -m elf_i386 -pie --no-dynamic-linker -z notext -z norelro -z max-page-size=4096 -z noexecstack --build-id=none \
		--hash-style=sysv --no-warn-rwx-segments -T vmm/svm/svm.ld -o $@ $(SVM_OBJECTS)

$(O)/vmm/svm/core/%.o: vmm/core/%.c $(VMM_CORE_HEADERS)
	@echo '  CC      $@'
	@mkdir -p $(@D)
	$(Q)$(CC) $(SVM_CFLAGS) -c -o $@ $<

$(O)/vmm/svm/%.o: vmm/svm/%.c vmm/svm/svm.h vmm/svm/vmcb.h $(VMM_CORE_HEADERS)
	@echo '  CC      $@'
	@mkdir -p $(@D)
	$(Q)$(CC) $(SVM_CFLAGS) -c -o $@ $<

$(O)/vmm/svm/%.asm.o: vmm/svm/%.asm
	@echo '  NASM    $@'
	@mkdir -p $(@D)
	$(Q)$(NASM) -f elf32 -g -F dwarf -w+all -Werror -o $@ $<
