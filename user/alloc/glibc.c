/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * glibc's malloc, 2.26 (per-thread caches) and newer, as libc.so.6 or linked
 * into a static executable. Sources: malloc/malloc.c, csu/version.c.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/alloc.h"

static const struct mt_alloc_func funcs[] = {
	{"malloc", MT_KIND_MALLOC, true, true},
	{"calloc", MT_KIND_MALLOC, false, true},
	{"free", MT_KIND_FREE, true, true},
	{"cfree", MT_KIND_FREE, false, true},
	{"free_sized", MT_KIND_FREE, false, true},
	{"free_aligned_sized", MT_KIND_FREE, false, true},
	{"realloc", MT_KIND_REALLOC, false, true},
	/* Its own object, behind obstack, whose calls are the program's. */
	{"reallocarray", MT_KIND_REALLOCARRAY, false, false},
	{"memalign", MT_KIND_MEMALIGN, false, true},
	{"aligned_alloc", MT_KIND_MEMALIGN, false, true},
	{"valloc", MT_KIND_MEMALIGN, false, true},
	{"pvalloc", MT_KIND_MEMALIGN, false, true},
	{"posix_memalign", MT_KIND_POSIX_MEMALIGN, false, true},
	{.name = NULL},
};

static const char *const text_symbols[] = {
	"malloc_usable_size",
	"malloc_trim",
	"malloc_stats",
	"malloc_info",
	"mallopt",
	"mallinfo",
	"mallinfo2",
	"__libc_malloc",
	"__libc_calloc",
	"__libc_free",
	"__libc_realloc",
	"__libc_memalign",
	"__libc_valloc",
	"__libc_pvalloc",
	"__libc_mallinfo",
	"__libc_mallopt",
	/* Not exported: known in static executables. */
	"malloc_printerr",
	"_int_malloc",
	"_int_free",
	"_int_realloc",
	"__malloc_arena_thread_freeres",
	NULL,
};

#define BANNER "GNU C Library"

/* "GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.\n..." */
static bool read_banner(const struct mt_elf *elf, char *version, size_t size)
{
	static const char mark[] = "release version ";
	size_t max, n = 0;
	const char *p = mt_elf_find_text(elf, BANNER, &max);
	const char *end;

	if (!p)
		return false;
	end = p + (max < 256 ? max : 256);
	p = memmem(p, (size_t)(end - p), mark, strlen(mark));
	if (!p)
		return false;
	for (p += strlen(mark); p < end && n + 1 < size; p++)
		if (isdigit((unsigned char)*p) ||
		    (*p == '.' && n && p + 1 < end && isdigit((unsigned char)p[1])))
			version[n++] = *p;
		else
			break;
	version[n] = '\0';
	return n > 0;
}

/* The shared library says who it is; a static executable shows malloc.c's own functions. */
static bool is_glibc(const struct mt_elf *elf)
{
	struct mt_sym a, b;

	if (mt_elf_find_func(elf, "malloc", &a) || mt_elf_find_func(elf, "free", &b))
		return false;
	if (!a.from_symtab)
		return mt_elf_exports(elf, "gnu_get_libc_version");
	return mt_elf_find_func(elf, "__libc_malloc", &b) == 0 && a.addr == b.addr &&
	       (mt_elf_find_func(elf, "_int_malloc", &b) == 0 ||
		mt_elf_find_func(elf, "gnu_get_libc_version", &b) == 0);
}

static bool identify(const struct mt_elf *elf, struct mt_alloc_identity *id)
{
	unsigned int major = 0, minor = 0;
	struct mt_sym unused;
	bool newer;

	if (!is_glibc(elf))
		return false;
	if (read_banner(elf, id->version, sizeof(id->version)) &&
	    sscanf(id->version, "%4u.%4u", &major, &minor) == 2) {
		newer = major > 2 || (major == 2 && minor >= 43);
	} else {
		/* 2.43 brought the new layout of mapped blocks, and this function beside it. */
		id->version[0] = '\0';
		newer = mt_elf_find_func(elf, "free_sized", &unused) == 0;
	}
	id->layout = newer ? MT_LAYOUT_GLIBC_243 : MT_LAYOUT_GLIBC;
	return true;
}

const struct mt_allocator mt_alloc_glibc = {
	.name = "glibc",
	.funcs = funcs,
	.text_symbols = text_symbols,
	.identify = identify,
};
