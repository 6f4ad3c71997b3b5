/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whole ELF files as a hostile target could make them, through every accessor. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alloc/alloc.h"
#include "golang/internal.h"
#include "sys/exits.h"
#include "sys/symbols.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use_bytes(const uint8_t *bytes, size_t len)
{
	static volatile uint8_t sink __attribute__((unused));

	for (size_t i = 0; i < len; i += 61)
		sink ^= bytes[i];
	if (len)
		sink ^= bytes[len - 1];
}

static void use_funcs(const struct mt_elf *elf)
{
	const struct mt_sym *syms;
	const uint8_t *text;
	uint64_t start;
	size_t n, len;

	if (mt_elf_funcs(elf, &syms, &n))
		return;
	for (size_t i = 0; i < n; i++) {
		use_bytes((const uint8_t *)syms[i].name, strlen(syms[i].name));
		if (i < 64 && mt_elf_text(elf, syms[i].addr, &text, &len, &start) == 0) {
			if (syms[i].addr - start >= len)
				abort();
			use_bytes(text, len);
		}
		if (i && syms[i - 1].addr > syms[i].addr)
			abort();
	}
}

/* The exits of some of its functions, and how they are found by their names. */
static void use_exits(const struct mt_elf *elf)
{
	static struct mt_exits e;
	static struct mt_symbol_matches m;
	struct mt_symbol_near near = {0};
	struct mt_exits_of of = {0};
	struct mt_symbol_query q;
	const struct mt_sym *syms;
	struct mt_sym inside;
	const char *why;
	size_t n;

	if (mt_elf_funcs(elf, &syms, &n))
		return;
	for (size_t i = 0; i < n && i < 8; i++) {
		memset(&m, 0, sizeof(m));
		if (!mt_symbol_parse(syms[i].name, &q, &why)) {
			mt_symbol_find(elf, &q, &m, &inside);
			mt_symbol_near(elf, &q, &near);
		}
		of.addr = syms[i].addr;
		of.size = syms[i].size;
		if (mt_exits_find(elf, &of, 0x061200, &e))
			continue;
		if (!e.n || e.n > MT_EXITS_MAX || !(e.v[0].kind & MT_FUNC_ENTRY))
			abort();
	}
	mt_exits_unwind(elf, 0x061200, &e);
}

/* As a Go program, which it may be. */
static void use_go(const struct mt_elf *elf)
{
	struct mt_go_image *image = NULL;
	char why[MT_WHY_SIZE] = "";
	int r = mt_go_inspect(elf, why, &image);

	if (!r && (!image->n_tries || image->n_tries > MT_GO_TRIES))
		abort();
	if (r == -ENOTSUP && !why[0])
		abort();
	for (const char *p = r ? why : mt_go_version(image); *p; p++)
		if (*p < ' ' || *p > '~')
			abort();
	mt_go_image_free(&image);
}

static void use(const struct mt_elf *elf)
{
	static struct mt_alloc_found found;
	char name[2 * MT_BUILD_ID_MAX + 16];
	struct mt_sym sym;
	const char *p;
	size_t max;

	if (mt_elf_find_func(elf, "malloc", &sym) == 0 && strcmp(sym.name, "malloc") != 0)
		abort();
	mt_elf_imports(elf, "mmap");
	mt_elf_exports(elf, "malloc");
	mt_elf_slot_symbol(elf, 0x3fe0);
	mt_elf_is_static(elf);
	mt_elf_may_define(elf, "malloc");
	mt_elf_debug_name(elf, name, sizeof(name));
	mt_elf_has_symtab(elf);
	use_funcs(elf);
	p = mt_elf_find_text(elf, "GNU C Library", &max);
	if (p)
		use_bytes((const uint8_t *)p, max);
	if (mt_alloc_inspect(elf, 0x061200, &found) == 0 &&
	    (found.n_probes > MT_PROBES_MAX || found.n_probes < 2))
		abort();
	mt_alloc_found_free(&found.next);
	use_exits(elf);
	use_go(elf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mt_elf *elf = NULL;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	if (mt_elf_open_fd(fd, &elf) == 0)
		use(elf);
	/* its own debug file */
	if (elf && mt_elf_add_debug(elf, fd) == 0)
		use(elf);
	mt_elf_free(&elf);
	/* Cut short while it is open. */
	if (mt_elf_open_fd(fd, &elf) == 0 && ftruncate(fd, (off_t)size / 2) == 0)
		use(elf);
	mt_elf_free(&elf);
	close(fd);
	return 0;
}
