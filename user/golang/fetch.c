/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Many small pieces of memory in few readings. The runtime keeps its structs of a
 * kind side by side: what lies between two of them costs less to copy than a
 * system call.
 */
#include <stdlib.h>
#include <string.h>

#include "golang/snapshot.h"

#define RUN_MAX (32u << 10)
#define GAP_MAX 4096u

static int by_address(const void *a, const void *b)
{
	const struct mt_go_want *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

static bool fetch_one(const struct mt_mem *mem, struct mt_go_want *w)
{
	w->failed = w->addr + w->n < w->addr || mem->read(mem, w->addr, w->to, w->n);
	if (w->failed)
		memset(w->to, 0, w->n);
	return !w->failed;
}

/* How many from v on are near enough to be read at once, and their end. */
static size_t run_of(const struct mt_go_want *v, size_t n, uint64_t *end)
{
	size_t i = 1;

	*end = v[0].addr + v[0].n;
	if (*end < v[0].addr)
		return 1;
	for (; i < n; i++) {
		uint64_t e = v[i].addr + v[i].n;

		if (e < v[i].addr || e - v[0].addr > RUN_MAX ||
		    (v[i].addr > *end && v[i].addr - *end > GAP_MAX))
			break;
		if (e > *end)
			*end = e;
	}
	return i;
}

static bool fetch_run(const struct mt_mem *mem, struct mt_go_want *v, size_t n, uint64_t end)
{
	uint8_t buf[RUN_MAX];

	if (mem->read(mem, v[0].addr, buf, end - v[0].addr))
		return false;
	for (size_t i = 0; i < n; i++) {
		memcpy(v[i].to, buf + (v[i].addr - v[0].addr), v[i].n);
		v[i].failed = false;
	}
	return true;
}

size_t mt_go_fetch(const struct mt_mem *mem, struct mt_go_want *v, size_t n)
{
	size_t failed = 0;

	qsort(v, n, sizeof(*v), by_address);
	for (size_t i = 0, part; i < n; i += part) {
		uint64_t end;

		part = run_of(v + i, n - i, &end);
		if (part > 1 && fetch_run(mem, v + i, part, end))
			continue;
		/* what lies between them may not be there */
		for (size_t k = i; k < i + part; k++)
			failed += !fetch_one(mem, &v[k]);
	}
	return failed;
}
