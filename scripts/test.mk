# Tests: one cmocka program per tests/unit/DIR/test_*.c, linked with the library.
UNIT_SRC := $(wildcard tests/unit/*/test_*.c)
UNIT_BIN := $(UNIT_SRC:tests/%.c=$(BUILD)/tests/%)

# The command line is not in the library; its commands, which need everything, are left out.
CLI_TEST_OBJ := $(filter-out $(BUILD)/user/cli/main.o $(BUILD)/user/cli/cmd_%,$(CLI_OBJ))
CLI_UNIT_BIN := $(filter $(BUILD)/tests/unit/cli/%,$(UNIT_BIN))
$(CLI_UNIT_BIN): $(CLI_TEST_OBJ)

# The view without its terminal, which needs ncurses.
TUI_TEST_OBJ := $(filter-out $(BUILD)/user/tui/screen.o,$(TUI_OBJ))
$(filter $(BUILD)/tests/unit/tui/%,$(UNIT_BIN)): $(TUI_TEST_OBJ)

$(UNIT_BIN): $(BUILD)/tests/unit/%: tests/unit/%.c $(APP) $(LIB)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Itests/unit $(CFLAGS) -MMD -MP -MF $@.d $(LDFLAGS) -o $@ $< $(filter %.o,$^) \
	    $(APP) $(LIB) $(LDLIBS) $(APP_LIBS) -lcmocka

.PHONY: unit unit-build
unit-build: $(UNIT_BIN)
unit: $(UNIT_BIN) ## build and run the unit tests
	@for t in $(UNIT_BIN); do echo "== $$t"; $$t || exit 1; done

-include $(UNIT_BIN:=.d)

# Targets: the programs that the integration tests trace, and the preload that
# counts beside memtrace. Never sanitized: they must allocate as others do.
TARGET_SRC  := $(filter-out %/mtcount.c %/bare.c %/fakealloc.c,$(wildcard tests/targets/*.c))
TARGET_DIR  := $(BUILD)/tests/targets
TCMALLOC_BIN := $(addprefix $(TARGET_DIR)/alloc_mix-tcmalloc-,static linked)
MARKED_BIN  := $(TARGET_DIR)/libmarked.so $(addprefix $(TARGET_DIR)/marked-,semaphores static library)
CXX_BIN     := $(addprefix $(TARGET_DIR)/,throw operators leave_new func_throws)
TARGET_BIN  := $(TARGET_SRC:tests/%.c=$(BUILD)/tests/%) $(CXX_BIN) $(TCMALLOC_BIN) \
               $(TARGET_DIR)/libmtcount.so $(TARGET_DIR)/libfakealloc.so \
               $(TARGET_DIR)/vm_target-static $(TARGET_DIR)/quick-static $(TARGET_DIR)/quick-counted $(TARGET_DIR)/bare32 \
               $(TARGET_DIR)/bare64 $(TARGET_DIR)/census_mix-static $(TARGET_DIR)/census_mix-stripped \
               $(TARGET_DIR)/census_threads-static $(TARGET_DIR)/jemalloc_mix-linked \
               $(TARGET_DIR)/jemalloc_mix-prefixed $(MARKED_BIN)
# The compiler must neither drop a malloc that is freed unused nor merge two.
TARGET_FLAGS = $(OPT) -D_GNU_SOURCE -Ibpf -fno-builtin -pthread -MMD -MP -MF $@.d
TARGET_CFLAGS = -std=gnu11 $(WARN) -Wno-unused-result $(TARGET_FLAGS)

.PHONY: targets
targets: $(TARGET_BIN) ## build the programs that tests trace

$(TARGET_BIN): | $(TARGET_DIR)
$(TARGET_DIR):
	@mkdir -p $@

$(TARGET_DIR)/%: tests/targets/%.c
	$(CC) $(TARGET_CFLAGS) -o $@ $< $(TARGET_LIBS)

$(CXX_BIN): $(TARGET_DIR)/%: tests/targets/%.cc
	$(CXX) -std=gnu++17 -Wall -Wextra -Werror $(TARGET_FLAGS) -o $@ $<

MTCOUNT_FLAGS := -fPIC -shared -fvisibility=hidden -Wl,-z,defs
$(TARGET_DIR)/libmtcount.so: tests/targets/mtcount.c
	$(CC) $(TARGET_CFLAGS) $(MTCOUNT_FLAGS) -o $@ $< -Wl,--no-as-needed -l:libdl.so.2
$(TARGET_DIR)/libfakealloc.so: tests/targets/fakealloc.c
	$(CC) $(TARGET_CFLAGS) -fPIC -shared -o $@ $<

# They start themselves, and run under older C libraries, too, where threads are a library.
CENSUS_BIN := $(addprefix $(TARGET_DIR)/census_,mix threads hot)
$(CENSUS_BIN): $(TARGET_DIR)/%: tests/targets/%.c
	$(CC) $(TARGET_CFLAGS) -nostartfiles -o $@ $< -Wl,--no-as-needed -l:libpthread.so.0

# What counts is linked in.
comma := ,
WRAPPED := malloc free calloc realloc reallocarray memalign aligned_alloc posix_memalign valloc pvalloc
CENSUS_STATIC := -DCENSUS_STATIC -DMTCOUNT_WRAP -static $(WRAPPED:%=-Wl$(comma)--wrap=%)
$(TARGET_DIR)/census_%-static: tests/targets/census_%.c tests/targets/mtcount.c
	$(CC) $(filter-out -MF $@.d,$(filter-out -M%,$(TARGET_CFLAGS))) $(CENSUS_STATIC) -o $@ $^
$(TARGET_DIR)/quick-counted: tests/targets/quick.c tests/targets/mtcount.c
	$(CC) $(filter-out -MF $@.d,$(filter-out -M%,$(TARGET_CFLAGS))) $(CENSUS_STATIC) -o $@ $^
$(TARGET_DIR)/census_%-stripped: $(TARGET_DIR)/census_%-static
	strip -o $@ $<

# jemalloc as a library; linked into a dynamic executable; and so with other names, as
# Rust programs have it.
JEMALLOC_A  = $(shell $(CC) -print-file-name=libjemalloc.a)
JEMALLOC_LD = -lstdc++ -lm
$(TARGET_DIR)/jemalloc_mix: TARGET_LIBS = -ljemalloc
$(TARGET_DIR)/jemalloc_mix-linked: tests/targets/jemalloc_mix.c
	$(CC) $(TARGET_CFLAGS) -DALL -o $@ $< $(JEMALLOC_A) $(JEMALLOC_LD)
$(TARGET_DIR)/libjemalloc-prefixed.a: | $(TARGET_DIR)
	nm -g --defined-only $(JEMALLOC_A) 2>/dev/null | \
	    sed -nE 's/^[0-9a-f]+ [TW] (_Z[nd][wal].*|[a-z_]*(alloc|free|memalign|allocx)[a-z_]*|mallctl.*)$$/\1/p' | \
	    grep -v '^je_' | sed -E 's/(.*)/\1 je_\1/' > $@.syms
	objcopy --redefine-syms=$@.syms $(JEMALLOC_A) $@
$(TARGET_DIR)/jemalloc_mix-prefixed: tests/targets/jemalloc_mix.c $(TARGET_DIR)/libjemalloc-prefixed.a
	$(CC) $(TARGET_CFLAGS) -DPREFIX -o $@ $^ $(JEMALLOC_LD)

# tcmalloc in the executable: static at a fixed address, or beside libraries.
$(TARGET_DIR)/alloc_mix-tcmalloc-static: TCMALLOC_HOW = -static -no-pie
$(TARGET_DIR)/alloc_mix-tcmalloc-linked: TCMALLOC_HOW = -pie -fPIE
$(TCMALLOC_BIN): tests/targets/alloc_mix.c tests/targets/mtcount.c
	$(CC) $(filter-out -MF $@.d,$(filter-out -M%,$(TARGET_CFLAGS))) -DMTCOUNT_WRAP \
	    $(TCMALLOC_HOW) $(WRAPPED:%=-Wl$(comma)--wrap=%) -o $@ $^ \
	    -l:libtcmalloc_minimal.a -lstdc++ -lm

# Marks in all places and ways.
$(TARGET_DIR)/marked-semaphores: tests/targets/marked.c
	$(CC) $(TARGET_CFLAGS) -DMARKED_SEMAPHORES -o $@ $<
$(TARGET_DIR)/marked-static: tests/targets/marked.c tests/targets/mtcount.c
	$(CC) $(filter-out -MF $@.d,$(filter-out -M%,$(TARGET_CFLAGS))) -DMARKED_SEMAPHORES \
	    $(CENSUS_STATIC) -no-pie -o $@ $^
$(TARGET_DIR)/libmarked.so: tests/targets/marked.c
	$(CC) $(TARGET_CFLAGS) -DMARKED_SEMAPHORES -DMARKED_LIBRARY -fPIC -shared -o $@ $<
$(TARGET_DIR)/marked-library: tests/targets/marked.c $(TARGET_DIR)/libmarked.so
	$(CC) $(TARGET_CFLAGS) -DMARKED_MAIN -o $@ $< -L$(TARGET_DIR) -lmarked -Wl,-rpath,'$$ORIGIN'

# Static and without symbols: nothing to probe.
$(TARGET_DIR)/quick-static: tests/targets/quick.c
	$(CC) $(TARGET_CFLAGS) -static -s -o $@ $<

$(TARGET_DIR)/vm_target-static: tests/targets/vm_target.c
	$(CC) $(TARGET_CFLAGS) -static -o $@ $<

BARE_FLAGS := $(WARN) -O1 -ffreestanding -fno-pic -fno-stack-protector -nostdlib -static -no-pie
$(TARGET_DIR)/bare32: tests/targets/bare.c
	$(CC) $(BARE_FLAGS) -m32 -o $@ $<
$(TARGET_DIR)/bare64: tests/targets/bare.c
	$(CC) $(BARE_FLAGS) -m64 -o $@ $<

-include $(TARGET_BIN:=.d)

# Tools of the integration tests that are linked with the library.
TOOL_SRC := $(wildcard tests/integration/*.c)
TOOL_BIN := $(TOOL_SRC:tests/%.c=$(BUILD)/tests/%)
targets: $(TOOL_BIN)
$(BUILD)/tests/integration/top_tool: $(TUI_OBJ)
$(BUILD)/tests/integration/top_tool: LDLIBS += $(TUI_LIBS)
$(BUILD)/tests/integration/saved_tool: $(APP_OBJ)
$(BUILD)/tests/integration/saved_tool: LDLIBS += $(APP_LIBS)
$(BUILD)/tests/integration/%: tests/integration/%.c $(LIB)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -MF $@.d $(LDFLAGS) -o $@ $< $(filter %.o,$^) $(LIB) $(LDLIBS)

-include $(TOOL_BIN:=.d)
