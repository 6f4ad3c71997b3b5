# make check: what the house demands and a machine can see.
C_FILES    := $(shell git ls-files -co --exclude-standard '*.c' '*.h' '*.cc' 2>/dev/null)
FMT_FILES  := $(filter-out vmlinux/%,$(C_FILES))
TIDY_SRC   := $(filter user/%.c,$(C_FILES))
CLANG_CHECK := $(TIDY_SRC:%=clang-check/%)

.PHONY: check check-format check-tidy check-style check-clang check-vmlinux $(CLANG_CHECK)
check: check-format check-style check-vmlinux check-clang check-tidy ## format, style, layers, clang, clang-tidy

# Versions of clang-format and clang-tidy differ: 14, Debian 12's, is the one that decides.
check-format:
	@if clang-format --version | grep -q 'version 14\.'; then \
	    clang-format --dry-run -Werror $(FMT_FILES) && echo "format: in order"; \
	else echo "format: skipped, it is decided by clang-format 14"; fi

check-style:
	scripts/check-style $(C_FILES)

check-vmlinux:
	scripts/vmlinux-check

check-clang: $(CLANG_CHECK)
$(CLANG_CHECK): clang-check/%: % | $(SKEL)
	@$(CLANG) $(CPPFLAGS) $(CFLAGS) -fsyntax-only $<

check-tidy: | $(SKEL)
	@if clang-tidy --version | grep -q 'version 14\.'; then \
	    printf '%s\n' $(TIDY_SRC) | xargs -P $$(nproc) -n 1 sh -c \
	        'clang-tidy --quiet "$$@" -- $(filter-out -DMT_VERSION%,$(CPPFLAGS)) -DMT_VERSION=__DATE__ \
	         -std=gnu11 2>/dev/null' sh && echo "clang-tidy: in order"; \
	else echo "clang-tidy: skipped, it is decided by version 14"; fi
