# Compiling and linking: BPF object, skeleton, the internal library, programs.
CC      ?= gcc
CLANG   ?= clang
BPFTOOL ?= /usr/sbin/bpftool
BUILD   ?= build
VERSION := $(shell cat VERSION)

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
        -Wcast-qual -Wformat=2 -Wundef -Wvla
comma := ,
# SAN=1 builds everything in user space under ASan and UBSan.
SANFLAGS := $(if $(SAN),-fsanitize=address$(comma)undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
OPT      ?= -O2 -g
CFLAGS   += -std=gnu11 -fPIC -fvisibility=hidden $(OPT) $(WARN) $(SANFLAGS)
CPPFLAGS += -D_GNU_SOURCE -DMT_VERSION='"$(VERSION)"' -Iuser -Iuser/include -Ibpf -I$(BUILD)
LDFLAGS  += $(SANFLAGS)
LDLIBS   += -lbpf -ldw -lelf -lZydis -liberty -lz -lpthread
# Of the program; the public library goes without.
TUI_LIBS := -lncursesw -ltinfo
APP_LIBS := -ljansson

# The page of memtrace report, which the assembler includes.
PAGE_DIR := $(BUILD)/page
PAGE     := $(PAGE_DIR)/tail.html

BPF_SRC  := bpf/memtrace.bpf.c
BPF_DEP  := $(wildcard bpf/*.h) vmlinux/vmlinux.h
BPF_OBJ  := $(BUILD)/memtrace.bpf.o
SKEL     := $(BUILD)/memtrace.skel.h

CLI_SRC  := $(wildcard user/cli/*.c)
TUI_SRC  := $(wildcard user/tui/*.c)
# What only the program does, and the public library does not.
APP_SRC  := $(wildcard $(addprefix user/,saved/*.c trigger/*.c report/*.c))
LIB_SRC  := $(filter-out $(CLI_SRC) $(TUI_SRC) $(APP_SRC),$(wildcard user/*/*.c))
LIB_OBJ  := $(LIB_SRC:%.c=$(BUILD)/%.o)
CLI_OBJ  := $(CLI_SRC:%.c=$(BUILD)/%.o)
TUI_OBJ  := $(TUI_SRC:%.c=$(BUILD)/%.o)
APP_OBJ  := $(APP_SRC:%.c=$(BUILD)/%.o)
LIB      := $(BUILD)/libmemtrace-internal.a
APP      := $(BUILD)/memtrace-app.a

.PHONY: all clean help
all: $(BUILD)/memtrace $(BUILD)/libmemtrace.so ## build build/memtrace and the C library

$(BUILD)/memtrace: $(CLI_OBJ) $(TUI_OBJ) $(APP) $(LIB)
	$(CC) $(LDFLAGS) -o $@ $(CLI_OBJ) $(TUI_OBJ) $(APP) $(LIB) $(LDLIBS) $(TUI_LIBS) $(APP_LIBS)

# The public library: only what the version script names is visible.
SOLIB := libmemtrace.so.0
$(BUILD)/libmemtrace.so: $(BUILD)/$(SOLIB)
	ln -sf $(SOLIB) $@
$(BUILD)/$(SOLIB): $(LIB) user/lib/libmemtrace.map
	$(CC) $(LDFLAGS) -shared -Wl,-soname,$(SOLIB) -Wl,--version-script=user/lib/libmemtrace.map \
	    -Wl,-z,defs -o $@ -Wl,--whole-archive $(LIB) -Wl,--no-whole-archive $(LDLIBS)

$(LIB): $(LIB_OBJ)
$(APP): $(APP_OBJ)
$(LIB) $(APP):
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/%.o: %.c | $(SKEL)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# BPF_PROG names a ctx that most programs do not use: libbpf's macro, not our parameter.
BPFFLAGS = -target bpf -mcpu=v3 -g -O2 -std=gnu11 -Wall -Wextra -Werror -Wno-unused-parameter \
           -D__TARGET_ARCH_x86 \
           -Ivmlinux -Ibpf
$(BPF_OBJ): $(BPF_SRC) $(BPF_DEP)
	@mkdir -p $(@D)
	$(CLANG) $(BPFFLAGS) -c -o $@.tmp $<
	$(BPFTOOL) gen object $@ $@.tmp
	@rm -f $@.tmp

$(SKEL): $(BPF_OBJ)
	$(BPFTOOL) gen skeleton $< name memtrace_bpf > $@.tmp && mv $@.tmp $@

$(PAGE): scripts/report-page $(wildcard user/report/page/*)
	scripts/report-page $(PAGE_DIR)
$(BUILD)/user/report/page.o: $(PAGE)
$(BUILD)/user/report/page.o: CFLAGS += -Wa,-I$(BUILD)

clean: ## remove build/
	rm -rf $(BUILD)

help: ## this list
	@grep -hE '^[a-z-]+:.*##' Makefile scripts/*.mk | sed -E 's/:.*## /\t/' | expand -t 16

-include $(LIB_OBJ:.o=.d) $(APP_OBJ:.o=.d) $(CLI_OBJ:.o=.d) $(TUI_OBJ:.o=.d)
