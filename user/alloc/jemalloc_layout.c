/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which jemalloc a file holds, and what size_jemalloc.bpf.h needs of it. Only
 * where version, tree and table are beyond doubt: a wrong size is worse than a
 * requested one. Sources: include/jemalloc/internal/{rtree,emap,edata,sz}.h.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "alloc/jemalloc.h"
#include "jemalloc_core.bpf.h"

/* An rtree_t begins with its base and a mutex: 112 bytes in 5.2, 120 in 5.3. */
#define HEAD_MIN 32u
#define HEAD_MAX 512u
#define HITS_MAX 64u

/* JEMALLOC_VERSION, "5.3.0-0-g54eaed1d8b56...": the tag, the commits since it, the commit. */
struct version {
	unsigned int major, minor, patch, commits;
};

static const struct version known[] = {{5, 2, 0, 0}, {5, 2, 1, 0}, {5, 3, 0, 0}, {5, 3, 1, 0}};

static bool parse_rest(const char *p, const char *end, unsigned int *commits)
{
	size_t digits = 0;

	for (*commits = 0; p < end && isdigit((unsigned char)*p) && digits < 6; p++, digits++)
		*commits = *commits * 10 + (unsigned int)(*p - '0');
	return digits && end - p > 2 && p[0] == '-' && p[1] == 'g' && isxdigit((unsigned char)p[2]);
}

static bool find_version(const struct mt_elf *elf, const struct version *v, unsigned int *commits)
{
	char tag[32];
	size_t max = 0;
	const char *p, *end;
	size_t len;

	len = (size_t)snprintf(tag, sizeof(tag), "%u.%u.%u-", v->major, v->minor, v->patch);
	p = mt_elf_find_text(elf, tag, &max);
	end = p ? p + max : NULL;
	for (unsigned int n = 0; p && n < HITS_MAX; n++) {
		if (parse_rest(p + len, end, commits))
			return true;
		p = memmem(p + len, (size_t)(end - p) - len, tag, len);
	}
	return false;
}

/* False if the file names none that we know, or two. */
static bool read_version(const struct mt_elf *elf, struct version *ret)
{
	bool found = false;
	unsigned int commits;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!find_version(elf, &known[i], &commits))
			continue;
		if (found)
			return false;
		*ret = known[i];
		ret->commits = commits;
		found = true;
	}
	return found;
}

/* From .symtab: the tree's size tells its shape. -ENOENT: not there, or not clearly. */
static int read_symbols(const struct mt_elf *elf, struct mt_jemalloc_refs *ret)
{
	struct mt_sym tree, table, sym;
	uint64_t head;

	*ret = (struct mt_jemalloc_refs){0};
	if (mt_elf_find_object(elf, "arena_emap_global", &tree) &&
	    mt_elf_find_object(elf, "extents_rtree", &tree))
		return -ENOENT;
	if (mt_elf_find_object(elf, "sz_index2size_tab", &table))
		return -ENOENT;
	ret->bits = tree.size > (8u << 18) ? 18 : 15;
	ret->shift = ret->bits == 18 ? 30 : 42;
	head = tree.size - (8ull << ret->bits);
	if (head < HEAD_MIN || head > HEAD_MAX || head % 8)
		return -ENOENT;
	ret->tree = tree.addr;
	ret->root = tree.addr + head;
	ret->table = table.addr;
	/* The option's name while it was being made was limit_usize_gap. */
	if (mt_elf_find_object(elf, "opt_disable_large_size_classes", &sym) &&
	    mt_elf_find_object(elf, "opt_limit_usize_gap", &sym))
		return 0;
	if (mt_elf_find_object(elf, "sz_large_pad", &sym))
		return -ENOENT;
	ret->pad = sym.addr;
	return 0;
}

static bool same(const struct mt_jemalloc_refs *a, const struct mt_jemalloc_refs *b)
{
	return a->tree == b->tree && a->hard == b->hard && a->table == b->table && a->pad == b->pad;
}

/* From the code of two functions, which must agree. */
static int read_code(const struct mt_elf *elf, const char *prefix, struct mt_jemalloc_refs *ret)
{
	static const char *const names[] = {"sallocx", "malloc_usable_size"};
	struct mt_jemalloc_refs refs;
	size_t n = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct mt_sym func;
		char name[64];

		snprintf(name, sizeof(name), "%s%s", prefix, names[i]);
		if (mt_elf_find_func(elf, name, &func) ||
		    mt_jemalloc_read_usable(elf, &func, &refs))
			return -ENOENT;
		if (n++ && !same(ret, &refs))
			return -ENOENT;
		*ret = refs;
	}
	return mt_jemalloc_read_hard(elf, ret);
}

static bool is_sound(const struct mt_elf *elf, const struct mt_jemalloc_refs *refs)
{
	const uint64_t head = refs->root - refs->tree;

	return head >= HEAD_MIN && head <= HEAD_MAX && refs->root % 8 == 0 &&
	       mt_elf_in_bss(elf, refs->tree, head + (8ull << refs->bits)) &&
	       refs->table % 8 == 0 &&
	       mt_elf_in_bss(elf, refs->table, MT_JEMALLOC_CLASSES * 8ull) &&
	       (!refs->pad || (refs->pad % 8 == 0 && mt_elf_in_bss(elf, refs->pad, 8)));
}

/* The shape of the tree; -ENOENT: one that the reader does not know. */
static int shape_of(const struct mt_jemalloc_refs *refs, const struct version *v)
{
	if (refs->shift == 30 && refs->bits == 18)
		return MT_JEMALLOC_48;
	if (refs->shift != 42 || refs->bits != 15)
		return -ENOENT;
	return v->minor == 2 ? MT_JEMALLOC_57_52 : MT_JEMALLOC_57_53;
}

/*
 * Between 5.2.1 and 5.3.0 the leaves changed, and what follows 5.3.1 is not
 * known; from 5.3.0 to 5.3.1 only the sizes of large blocks did, which shows.
 */
static bool is_release(const struct version *v)
{
	return v->commits == 0 || (v->minor == 3 && v->patch == 0);
}

/* Of the releases, only 5.3.1 sizes large blocks by their extents. */
static bool sizes_by_extent(const struct version *v)
{
	return v->minor == 3 && v->patch == 1;
}

static const char *tell(const struct mt_elf *elf, const char *prefix, const struct version *v,
			uint64_t *p)
{
	struct mt_jemalloc_refs refs;
	int shape;

	if (!is_release(v))
		return "this jemalloc is between two releases";
	if (read_symbols(elf, &refs) && read_code(elf, prefix, &refs))
		return "neither symbols nor code show where this jemalloc keeps its tree";
	shape = shape_of(&refs, v);
	if (shape < 0)
		return "this jemalloc was built for other pages or addresses";
	if (!is_sound(elf, &refs) || (v->commits == 0 && sizes_by_extent(v) != (refs.pad != 0)))
		return "what this jemalloc's code shows of its data does not fit together";
	p[MT_JEMALLOC_P_TREE] = (uint64_t)shape;
	p[MT_JEMALLOC_P_ROOT] = refs.root;
	p[MT_JEMALLOC_P_TABLE] = refs.table;
	p[MT_JEMALLOC_P_PAD] = refs.pad;
	return NULL;
}

void mt_jemalloc_tell(const struct mt_elf *elf, const char *prefix, struct mt_jemalloc_layout *ret)
{
	struct version v = {0};

	*ret = (struct mt_jemalloc_layout){0};
	if (!read_version(elf, &v)) {
		ret->why = "this jemalloc's version is not known";
		return;
	}
	snprintf(ret->version, sizeof(ret->version), v.commits ? "%u.%u.%u-%u" : "%u.%u.%u",
		 v.major, v.minor, v.patch, v.commits);
	ret->why = tell(elf, prefix, &v, ret->p);
}
