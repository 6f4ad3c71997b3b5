# What scripts/bench measures with. Never sanitized, as the test targets.
BENCH_DIR := $(BUILD)/tests/bench
BENCH_BIN := $(BENCH_DIR)/loop $(BENCH_DIR)/floor $(BENCH_DIR)/tlscount.so \
	$(BENCH_DIR)/heap $(BENCH_DIR)/peak

.PHONY: bench bench-build
# Of Go programs, the oldest and the newest version's; none where scripts/gos has not run.
BENCH_GO = $(foreach v,$(sort $(firstword $(GO_SORTED)) $(lastword $(GO_SORTED))),\
	$(GO_DIR)/$(v)/allocs-normal $(GO_DIR)/$(v)/demo-normal)
bench-build: $(BENCH_BIN) $(BUILD)/memtrace $(BUILD)/tests/integration/go_truth_tool
	$(if $(BENCH_GO),$(MAKE) $(BENCH_GO))
bench: ## measure what tracing costs, beside other tools; BENCH_ARGS=--quick
	BUILD=$(BUILD) scripts/bench $(BENCH_ARGS)

$(BENCH_BIN): | $(BENCH_DIR)
$(BENCH_DIR):
	@mkdir -p $@

$(BENCH_DIR)/loop $(BENCH_DIR)/heap $(BENCH_DIR)/peak: $(BENCH_DIR)/%: tests/bench/%.c
	$(CC) $(TARGET_CFLAGS) -o $@ $<

$(BENCH_DIR)/tlscount.so: tests/bench/tlscount.c
	$(CC) $(TARGET_CFLAGS) -fPIC -shared -Wl,-z,defs -o $@ $<

$(BENCH_DIR)/floor: tests/bench/floor.c $(LIB)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -MF $@.d $(LDFLAGS) -o $@ $< $(LIB) $(LDLIBS)

-include $(BENCH_BIN:=.d)
