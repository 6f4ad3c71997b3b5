/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * musl's malloc: mallocng, 1.2.1 and newer, or the one before, as the libc that
 * is the dynamic linker, too, or linked into a static executable.
 *
 * Its own uses of the allocator (the linker's, atexit's) go by other names and
 * never count. Functions of the object do not stand side by side, so that calls
 * of each other are told by frames alone, and callers by nothing: what of libc
 * calls malloc by its name does so for the program.
 */
#include "alloc/musl.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "alloc/alloc.h"

/* One that another jumps to stands before it. */
static const struct mt_alloc_func funcs[] = {
	{"malloc", MT_KIND_MALLOC, true, false},
	{"free", MT_KIND_FREE, true, false},
	{"calloc", MT_KIND_MEMALIGN, false, false}, /* calls malloc, maybe another library's */
	{"realloc", MT_KIND_REALLOC, false, false},
	{"reallocarray", MT_KIND_REALLOCARRAY, false, false},
	{"aligned_alloc", MT_KIND_MEMALIGN, false, false},
	{"memalign", MT_KIND_MEMALIGN, false, false},
	{"valloc", MT_KIND_MEMALIGN, false, false},
	{"posix_memalign", MT_KIND_POSIX_MEMALIGN, false, false},
	{.name = NULL},
};

static const char *const text_symbols[] = {NULL};

/* "1.2.3": three numbers between NULs, and no other such text. */
static void read_version(const char *text, size_t max, char *version, size_t size)
{
	size_t n, found = 0;

	for (size_t i = 0; i < max; i += n + 1) {
		unsigned int dots = 0;
		bool digits = true;

		n = strnlen(text + i, max - i);
		for (size_t k = i; k < i + n; k++) {
			digits &= isdigit((unsigned char)text[k]) || text[k] == '.';
			dots += text[k] == '.';
		}
		if (n < 5 || n >= size || n == max - i || !digits || dots != 2)
			continue;
		memcpy(version, text + i, n + 1);
		found++;
	}
	if (found != 1)
		version[0] = '\0';
}

bool mt_musl_is_libc(const struct mt_elf *elf, char *version, size_t size)
{
	const char *text;
	size_t max;

	version[0] = '\0';
	if (!mt_elf_exports(elf, "__libc_start_main") ||
	    mt_elf_exports(elf, "gnu_get_libc_version"))
		return false;
	text = mt_elf_find_text(elf, "musl libc", &max);
	if (text)
		read_version(text, max, version, size);
	return text != NULL;
}

/* A static executable with musl's malloc: mallocng's own function, or one of the old one's. */
static bool is_static_musl(const struct mt_elf *elf, bool *is_new)
{
	struct mt_sym sym;

	if (!mt_elf_is_static(elf))
		return false;
	*is_new = mt_elf_find_func(elf, "__malloc_alloc_meta", &sym) == 0;
	return *is_new || (mt_elf_find_func(elf, "__malloc0", &sym) == 0 &&
			   mt_elf_find_func(elf, "__expand_heap", &sym) == 0);
}

static bool identify(const struct mt_elf *elf, struct mt_alloc_identity *id)
{
	bool is_new = false;
	int r;

	if (!mt_musl_is_libc(elf, id->version, sizeof(id->version)) &&
	    !is_static_musl(elf, &is_new))
		return false;
	r = mt_musl_layout(elf, id->params);
	/* mallocng has one layout, and its name says enough where nothing asks for sizes. */
	id->layout = !r || (r == -ENOENT && is_new) ? MT_LAYOUT_MUSL : MT_LAYOUT_REQUESTED;
	return true;
}

const struct mt_allocator mt_alloc_musl = {
	.name = "musl",
	.funcs = funcs,
	.text_symbols = text_symbols,
	.identify = identify,
};
