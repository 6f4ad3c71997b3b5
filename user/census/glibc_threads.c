/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Thread pointers, by which thread-local variables are found. A thread's struct
 * pthread begins with its own address, repeated 16 bytes on (tcbhead_t: tcb and
 * self, sysdeps/x86_64/nptl/tls.h), and holds the head of its robust-futex list,
 * which the kernel knows.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "census/glibc_internal.h"

#define PTHREAD_SEARCH 0x800u /* robust_head in struct pthread: 0x2e0 in all so far */
#define OLD_MAX        65536u
#define SMALL_AREA     (256u << 10)

static bool is_thread(struct mt_glibc_walk *w, uint64_t tp)
{
	uint64_t v[3];

	return tp && mt_glibc_peek(w, tp, v, sizeof(v)) && v[0] == tp && v[2] == tp;
}

/* The thread whose list head stands at head; *delta is where the last one's was. */
static uint64_t of_robust(struct mt_glibc_walk *w, uint64_t head, uint64_t *delta)
{
	if (*delta && is_thread(w, head - *delta))
		return head - *delta;
	for (uint64_t d = 16; d < PTHREAD_SEARCH && d < head; d += 16)
		if (is_thread(w, (head & ~15ull) - d)) {
			*delta = head - ((head & ~15ull) - d);
			return head - *delta;
		}
	return 0;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Sorts them and drops what is there twice; how many are left. */
static size_t unique(uint64_t *v, size_t n)
{
	size_t left = 0;

	qsort(v, n, sizeof(*v), by_value);
	for (size_t i = 0; i < n; i++)
		if (!left || v[left - 1] != v[i])
			v[left++] = v[i];
	return left;
}

int mt_glibc_threads(struct mt_glibc_walk *w, uint64_t **tps, size_t *n, size_t *living)
{
	size_t all = w->img->n_robust + w->st->n_old_threads;
	uint64_t delta = 0, *v = calloc(all + 1, sizeof(*v));

	*tps = v;
	*n = *living = 0;
	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < w->img->n_robust; i++) {
		if (!w->img->robust[i])
			continue; /* it is at its begin and has not allocated yet */
		v[*n] = of_robust(w, w->img->robust[i], &delta);
		if (!v[(*n)++])
			return mt_glibc_stuck(w, "no thread's descriptor", w->img->robust[i]);
	}
	*n = *living = unique(v, *n);
	for (size_t i = 0; i < w->st->n_old_threads; i++) {
		const uint64_t *tp = &w->st->old_threads[i];

		if (is_thread(w, *tp) && !bsearch(tp, v, *living, sizeof(*v), by_value))
			v[(*n)++] = *tp;
	}
	*n = *living + unique(v + *living, *n - *living);
	return 0;
}

/* Structs on one page: they are aligned to 64 bytes. */
static void look_at_page(const struct mt_image *img, uint64_t addr, struct mt_glibc_state *st)
{
	uint64_t v[PAGE / 8];

	if (img->mem->read(img->mem, addr, v, sizeof(v)))
		return;
	for (size_t i = 0; i + 3 <= PAGE / 8 && st->n_old_threads < OLD_MAX; i += 2) {
		uint64_t tp = addr + 8 * i;

		if (v[i] == tp && v[i + 2] == tp)
			st->old_threads[st->n_old_threads++] = tp;
	}
}

/*
 * A thread's struct stands at the top of its stack's mapping. That of the first
 * thread is in memory that ld.so mapped, or in the brk heap of a static
 * executable: anywhere in a small mapping.
 */
int mt_glibc_find_threads(const struct mt_image *img, struct mt_glibc_state *st)
{
	size_t cap = 0;

	st->old_threads = calloc(OLD_MAX, sizeof(*st->old_threads));
	if (!st->old_threads)
		return -ENOMEM;
	for (size_t i = 0; i < img->n_areas && !mt_image_late(img); i++) {
		const struct mt_image_area *a = &img->areas[i];
		uint64_t from = a->end - PAGE;

		if (!a->anon || a->stack)
			continue;
		if (a->brk)
			look_at_page(img, a->start, st);
		if (a->end - a->start <= SMALL_AREA && cap++ < 64)
			from = a->start;
		for (; from < a->end; from += PAGE)
			look_at_page(img, from, st);
	}
	return 0;
}
