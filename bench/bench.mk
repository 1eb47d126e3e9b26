# SPDX-License-Identifier: GPL-2.0-only
# What calls cost. The guest is run as the tests' are: test-guest/run bench.pae,icount

guests: $(O)/test-guest/bench.pae

$(O)/test-guest/bench.%: $(O)/test-guest/lib/start-%.o $(GUEST_LIB) $(O)/bench/guest.o test-guest/lib/guest.ld
	@echo '  LD      $@'
	$(Q)$(LD) $(GUEST_LDFLAGS) -o $@ $(filter %.o,$^)

$(O)/bench/%.o: bench/%.c test-guest/lib/guest.h include/vmi_abi.h
	@echo '  CC      $@'
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -c -o $@ $<
