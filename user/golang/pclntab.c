/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "golang/pclntab.h"

#include <errno.h>
#include <string.h>

#define MAGIC_118 0xfffffff0u
#define MAGIC_120 0xfffffff1u
/* The header: the magic, two zeros, the instructions' alignment, a pointer's size, then words. */
#define COUNT_AT 8
#define NAMES_AT 32
#define FUNCS_AT 64
#define HEAD_LEN 72
#define ENTRY    8 /* offsets of the function's code and of its _func, 4 bytes each */
#define FUNC_LEN 8 /* as much of a _func as is read: its code's offset, its name's */

static uint32_t u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t u64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

bool mt_go_is_pclntab(const uint8_t *p)
{
	const uint32_t magic = u32(p);

	return (magic == MAGIC_118 || magic == MAGIC_120) && p[4] == 0 && p[5] == 0 && p[6] == 1 &&
	       p[7] == 8;
}

int mt_go_pclntab_open(const uint8_t *bytes, size_t n, struct mt_go_pclntab *ret)
{
	uint64_t count;

	if (n < HEAD_LEN || !mt_go_is_pclntab(bytes))
		return -ENOENT;
	count = u64(bytes + COUNT_AT);
	*ret = (struct mt_go_pclntab){
		.bytes = bytes,
		.n = n,
		.text_start = u64(bytes + MT_GO_TEXT_AT),
		.names = u64(bytes + NAMES_AT),
		.funcs = u64(bytes + FUNCS_AT),
		.n_funcs = (size_t)count,
	};
	/* Behind the last function stands where it ends. */
	if (ret->names >= n || ret->funcs >= n || count >= (n - ret->funcs) / ENTRY)
		return -EBADMSG;
	return 0;
}

/* The name of function i as far as it is there; at most *max bytes, no NUL need be among them. */
static const char *name_of(const struct mt_go_pclntab *t, size_t i, size_t *max)
{
	const uint64_t func = t->funcs + u32(t->bytes + t->funcs + i * ENTRY + 4);
	uint64_t name;

	if (func > t->n || t->n - func < FUNC_LEN)
		return NULL;
	name = t->names + u32(t->bytes + func + 4);
	if (name >= t->n)
		return NULL;
	*max = (size_t)(t->n - name);
	return (const char *)t->bytes + name;
}

static bool is_name(const char *s, size_t max, const char *name)
{
	const size_t len = strlen(name) + 1;

	return len <= max && memcmp(s, name, len) == 0;
}

size_t mt_go_pclntab_find(const struct mt_go_pclntab *t, const char *const *names, size_t n,
			  struct mt_go_func *ret)
{
	size_t found = 0;

	memset(ret, 0, n * sizeof(*ret));
	for (size_t i = 0; i < t->n_funcs && found < n; i++) {
		const uint8_t *entry = t->bytes + t->funcs + i * ENTRY;
		const uint32_t start = u32(entry), end = u32(entry + ENTRY);
		size_t max;
		const char *name = name_of(t, i, &max);

		for (size_t k = 0; name && start < end && k < n; k++) {
			if (ret[k].size || !is_name(name, max, names[k]))
				continue;
			ret[k] = (struct mt_go_func){.off = start, .size = end - start};
			found++;
		}
	}
	return found;
}
