# SPDX-License-Identifier: GPL-2.0-only
# The images: one header object a revision, and the same code behind it.

ROM_IMAGES := vmi.rom vmi-13.rom vmi-6.rom
ROM_MAJOR_vmi := 3
ROM_MAJOR_vmi-13 := 13
ROM_MAJOR_vmi-6 := 6

ROM_CLANG := $(findstring clang,$(CC))

ROM_ASM := rom/interface.asm rom/hypercall.asm $(sort $(wildcard rom/post/*.asm rom/native/*.asm))
ROM_C := $(sort $(wildcard rom/*.c rom/post/*.c))
ROM_OBJS := $(ROM_ASM:%.asm=$(O)/%.o) $(ROM_C:%.c=$(O)/%.o)

# What only guests of one revision need.
ROM_OBJS_vmi := $(O)/rom/linux/site.o $(O)/rom/linux/body.o $(O)/rom/linux/fault.o

# No option that gives code a fixed address or a processor younger than the
# interface; no table that a switch would jump through.
ROM_CFLAGS := -std=gnu11 -m32 -march=i386 -Os -g0 -ffreestanding -fno-pic -mregparm=3 -mno-sse \
	-mno-mmx -msoft-float -fno-jump-tables -fno-stack-protector -fno-asynchronous-unwind-tables \
	-fcf-protection=none -fno-strict-aliasing -ffunction-sections -fomit-frame-pointer \
	-Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes \
	$(if $(ROM_CLANG),-mstack-alignment=4,-mpreferred-stack-boundary=2) \
	-Iinclude -Irom -I$(O)/rom

images: $(ROM_IMAGES:%=$(O)/%)

$(ROM_IMAGES:%=$(O)/%): $(O)/%.rom: $(O)/rom/%.elf $(O)/tools/mkrom
	@echo '  ROM     $@'
	$(Q)$(O)/tools/mkrom $< $@

# Twice: where the part begins that only POST needs (rom_resident) depends on all that is before
# it, symbols too.
ROM_LD = $(LD) -m elf_i386 -pie --no-dynamic-linker -z noexecstack -z text --build-id=none \
	--no-warn-rwx-segments --orphan-handling=error -T ldscripts/rom.ld $(filter %.o,$^)

$(O)/rom/vmi.elf: $(ROM_OBJS_vmi)
$(O)/rom/%.elf: $(O)/rom/header-%.o $(ROM_OBJS) ldscripts/rom.ld rom/rom.mk | $(O)/tools/mkrom
	@echo '  LD      $@'
	$(Q)$(ROM_LD) --defsym=rom_resident=0x8000 -o $@
	$(Q)resident=$$($(O)/tools/mkrom $@) && $(ROM_LD) --defsym=rom_resident=$$resident -o $@

$(O)/rom/header-%.o: rom/header.asm $(O)/rom/vmi_abi.inc $(O)/rom/version.inc
	@echo '  NASM    $@'
	$(Q)$(NASM) $(ROM_NASMFLAGS) -DMAJOR=$(ROM_MAJOR_$*) -o $@ $<

ROM_NASMFLAGS := -f elf32 -Werror -I$(O)/rom/ -Irom/

$(O)/rom/%.o: rom/%.asm rom/stub.inc rom/post/post.inc $(O)/rom/vmi_abi.inc
	@echo '  NASM    $@'
	@mkdir -p $(@D)
	$(Q)$(NASM) $(ROM_NASMFLAGS) -o $@ $<

$(O)/rom/%.o: rom/%.c rom/rom.h include/vmi_abi.h $(O)/rom/version.h
	@echo '  CC      $@'
	@mkdir -p $(@D)
	$(Q)$(CC) $(ROM_CFLAGS) -c -o $@ $<

# The header's constants and its table, for nasm.
$(O)/rom/vmi_abi.inc: rom/abi.inc.S include/vmi_abi.h
	@echo '  GEN     $@'
	@mkdir -p $(@D)
	$(Q){ $(CC) -E -dM -D__ASSEMBLER__ -x assembler-with-cpp include/vmi_abi.h | LC_ALL=C sort | \
		sed -n 's/^#define \(VMI_[A-Z0-9_]*\) \(.\)/%define \1 \2/p'; \
	$(CC) -E -P -D__ASSEMBLER__ -Iinclude rom/abi.inc.S | tr '@' '\n'; } > $@

$(O)/rom/version.h: Makefile
	@mkdir -p $(@D)
	$(Q)echo '#define VERSION "$(VERSION)"' > $@

$(O)/rom/version.inc: Makefile
	@mkdir -p $(@D)
	$(Q)printf '%%define VERSION "%s"\n%%define VERSION_MAJOR %s\n%%define VERSION_MINOR %s\n' \
		$(VERSION) $(subst ., ,$(VERSION)) > $@

# The tool that makes an image of a linked file belongs to the build.
$(O)/tools/mkrom: tools/mkrom.c include/vmi_abi.h
	@echo '  HOSTCC  $@'
	@mkdir -p $(@D)
	$(Q)$(HOSTCC) $(HOSTCFLAGS) -o $@ $< -lelf
