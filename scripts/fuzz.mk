# make fuzz: every tests/fuzz/fuzz_*.c by libFuzzer, under ASan and UBSan.
FUZZ_SECONDS ?= 20
FUZZ_DIR     := $(BUILD)/fuzz
FUZZ_SRC     := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_NAMES   := $(FUZZ_SRC:tests/fuzz/fuzz_%.c=%)
# What needs no skeleton: the rooms that read what others wrote.
FUZZ_LIB_SRC := $(wildcard $(addprefix user/,base/*.c model/*.c render/*.c sys/*.c alloc/*.c \
                                             census/*.c golang/*.c saved/*.c report/*.c \
                                             trigger/condition.c trigger/evaluate.c) \
                  $(filter-out user/tui/screen.c,$(wildcard user/tui/*.c)))
FUZZ_LIB     := $(FUZZ_DIR)/lib.a
FUZZ_SAN     := -fsanitize=address$(comma)undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FUZZ_CFLAGS   = -std=gnu11 -O1 -g $(WARN) $(FUZZ_SAN) -MMD -MP
FUZZ_RUN      = -verbosity=0 -max_len=$(FUZZ_MAX) -timeout=10 -rss_limit_mb=1024 \
                -artifact_prefix=$(FUZZ_DIR)/found- -print_final_stats=1
# A recorded heap is larger than other input, and so are snapshots.
FUZZ_MAX      = $$([ $$n = census_glibc ] || [ $$n = saved ] && echo 65536 || echo 16384)
# How many more runs than seeds make a smoke test: a walk, or a comparison, takes milliseconds.
FUZZ_SMOKE    = $$([ $${n\#census_} = $$n ] && [ $$n != saved ] && echo 2000 || echo 300)
# One target, its shell variable n: all that it says if it finds something, else how much it ran.
FUZZ_ONE      = $(FUZZ_DIR)/fuzz_$$n $(FUZZ_RUN) $(1) >$(FUZZ_DIR)/$$n.log 2>&1 || \
                { cat $(FUZZ_DIR)/$$n.log; echo "fuzz $$n: found something"; exit 1; }; \
                sed -n "s/^stat::number_of_executed_units: /fuzz $$n: runs /p" $(FUZZ_DIR)/$$n.log
FUZZ_SEEDS    = $$(ls -d tests/fuzz/corpus/$$n $(FUZZ_DIR)/seeds/$$n 2>/dev/null)

.PHONY: fuzz fuzz-build fuzz-smoke
fuzz-build: $(FUZZ_NAMES:%=$(FUZZ_DIR)/fuzz_%) $(FUZZ_DIR)/seeds.made

fuzz: fuzz-build ## fuzz what reads hostile input, FUZZ_SECONDS (20) for each target
	@for n in $(FUZZ_NAMES); do \
	    mkdir -p $(FUZZ_DIR)/corpus/$$n; \
	    $(call FUZZ_ONE,-max_total_time=$(FUZZ_SECONDS) $(FUZZ_DIR)/corpus/$$n $(FUZZ_SEEDS)); \
	done

# What is found is not kept, so that each time is like the first.
fuzz-smoke: fuzz-build ## each target over its seeds and some hundred runs more: seconds
	@rm -rf $(FUZZ_DIR)/smoke; \
	for n in $(FUZZ_NAMES); do \
	    mkdir -p $(FUZZ_DIR)/smoke/$$n; \
	    runs=$$(find $(FUZZ_SEEDS) /dev/null -type f | wc -l); \
	    $(call FUZZ_ONE,-seed=1 -runs=$$((runs + $(FUZZ_SMOKE))) $(FUZZ_DIR)/smoke/$$n $(FUZZ_SEEDS)); \
	done

$(FUZZ_DIR)/seeds.made: tests/fuzz/seeds
	@rm -rf $(FUZZ_DIR)/seeds
	tests/fuzz/seeds $(FUZZ_DIR)/seeds
	@touch $@

$(FUZZ_DIR)/fuzz_%: tests/fuzz/fuzz_%.c $(FUZZ_LIB)
	@mkdir -p $(@D)
	$(CLANG) $(CPPFLAGS) $(FUZZ_CFLAGS) -MF $@.d -fsanitize=fuzzer -o $@ $< $(FUZZ_LIB) $(LDLIBS) $(APP_LIBS)

$(FUZZ_LIB): $(FUZZ_LIB_SRC:%.c=$(FUZZ_DIR)/%.o)
	@rm -f $@
	$(AR) rcs $@ $^

$(FUZZ_DIR)/user/report/page.o: $(PAGE)
$(FUZZ_DIR)/user/report/page.o: FUZZ_CFLAGS += -Wa,-I$(BUILD)
$(FUZZ_DIR)/user/%.o: user/%.c
	@mkdir -p $(@D)
	$(CLANG) $(CPPFLAGS) $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link -c -o $@ $<

-include $(FUZZ_LIB_SRC:%.c=$(FUZZ_DIR)/%.d) $(FUZZ_NAMES:%=$(FUZZ_DIR)/fuzz_%.d)
