# SPDX-License-Identifier: GPL-2.0-only
# Host programs for those who read images and the table of calls.

TOOLS := vmi-dump calls-doc

.PHONY: tools docs
tools: $(TOOLS:%=$(O)/tools/%)

$(TOOLS:%=$(O)/tools/%): $(O)/tools/%: tools/%.c tools/columns.h include/vmi_abi.h
	@echo '  HOSTCC  $@'
	@mkdir -p $(@D)
	$(Q)$(HOSTCC) $(HOSTCFLAGS) -o $@ $< -lelf

# docs/calls.md is checked in; test-guest/host/header.t says when it is stale.
docs: $(O)/tools/calls-doc
	@echo '  GEN     docs/calls.md'
	$(Q)$(O)/tools/calls-doc include/vmi_abi.h > docs/calls.md
