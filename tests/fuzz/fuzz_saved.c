/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lines of a saved file: what is taken for a snapshot is written and read again to
 * the same bytes; then they are compared, pair by pair, and shown in every format.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "render/diff.h"
#include "saved/saved.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LINES 8

static void render(struct mt_writer *w, const struct mt_snapshot *s)
{
	const struct mt_render_opts o = {0};

	mt_render_json.snapshots(w, &s, 1, &o);
	if (w->err)
		abort();
}

static struct mt_snapshot *parse(const char *text, size_t len)
{
	struct mt_snapshot *s = NULL;
	char why[256] = "";

	if (!mt_saved_parse(text, len, &s, why, sizeof(why)))
		return s;
	if (!why[0] || s)
		abort();
	for (size_t i = 0; why[i]; i++)
		if ((unsigned char)why[i] < ' ' || why[i] == 0x7f)
			abort();
	return NULL;
}

static void again(const struct mt_snapshot *s)
{
	struct mt_writer first = {0}, second = {0};
	struct mt_snapshot *copy;

	render(&first, s);
	copy = parse(first.buf, first.len);
	if (!copy)
		abort();
	render(&second, copy);
	if (first.len != second.len || memcmp(first.buf, second.buf, first.len) != 0)
		abort();
	mt_writer_fini(&first);
	mt_writer_fini(&second);
	free(copy);
}

static void show(const struct mt_diff *d)
{
	for (size_t i = 0; mt_render_diff_all[i]; i++) {
		const struct mt_render_opts o = {.unit = (enum mt_unit)i, .color = false};
		struct mt_writer w = {0};

		mt_render_diff_all[i]->diff(&w, d, &o);
		if (w.err)
			abort();
		for (size_t k = 0; k < w.len; k++)
			if (((unsigned char)w.buf[k] < ' ' && !strchr("\n\t", w.buf[k])) ||
			    w.buf[k] == 0x7f)
				abort();
		mt_writer_fini(&w);
	}
}

/* All of them as pairs of moments with one process each, then as two moments. */
static void compare(struct mt_moment *m, size_t n)
{
	struct mt_moment halves[2] = {{0}, {0}};
	struct mt_diff *d;

	if (mt_diff_new(m, n / 2, "run", &d))
		abort();
	show(d);
	mt_diff_free(&d);
	for (size_t i = 0; i < n / 2 * 2; i++)
		if (mt_moment_add(&halves[i % 2], &m[i].v[0]))
			abort();
	if (mt_diff_new(halves, 1, NULL, &d))
		abort();
	show(d);
	mt_diff_free(&d);
	mt_moment_fini(&halves[0]);
	mt_moment_fini(&halves[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mt_moment m[LINES] = {{0}};
	const char *at = (const char *)data, *end = at + size;
	size_t n = 0;

	while (at < end && n < LINES) {
		const char *nl = memchr(at, '\n', (size_t)(end - at));
		struct mt_snapshot *s = parse(at, (size_t)((nl ? nl : end) - at));

		at = nl ? nl + 1 : end;
		if (!s)
			continue;
		again(s);
		if (mt_moment_add(&m[n++], &s))
			abort();
	}
	if (n >= 2)
		compare(m, n);
	for (size_t i = 0; i < n; i++)
		mt_moment_fini(&m[i]);
	return 0;
}
