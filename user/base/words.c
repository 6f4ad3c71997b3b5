/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "base/words.h"

#include <stdio.h>
#include <string.h>

#include "base/writer.h"

const char *mt_quote(char *buf, size_t size, const char *s)
{
	_cleanup_writer_ struct mt_writer w = {0};
	size_t n;

	mt_write_escaped(&w, s);
	if (w.err || !w.len) {
		snprintf(buf, size, "%s", w.err ? "?" : "");
		return buf;
	}
	n = w.len;
	if (n >= size) {
		n = size - 4;
		while (n && ((unsigned char)w.buf[n] & 0xc0) == 0x80)
			n--;
	}
	memcpy(buf, w.buf, n);
	snprintf(buf + n, size - n, "%s", n < w.len ? "..." : "");
	return buf;
}

static unsigned int min3(unsigned int a, unsigned int b, unsigned int c)
{
	unsigned int m = a < b ? a : b;

	return m < c ? m : c;
}

/* Edits between a and b where swapping two neighbours is one edit. */
static unsigned int edit_distance(const char *a, size_t na, const char *b, size_t nb)
{
	unsigned int d[3][MT_WORD_MAX + 1];

	for (size_t j = 0; j <= nb; j++)
		d[0][j] = (unsigned int)j;
	for (size_t i = 1; i <= na; i++) {
		unsigned int *cur = d[i % 3];
		const unsigned int *prev = d[(i + 2) % 3], *prev2 = d[(i + 1) % 3];

		cur[0] = (unsigned int)i;
		for (size_t j = 1; j <= nb; j++) {
			cur[j] = min3(prev[j] + 1, cur[j - 1] + 1,
				      prev[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    prev2[j - 2] + 1 < cur[j])
				cur[j] = prev2[j - 2] + 1;
		}
	}
	return d[na % 3][nb];
}

void mt_nearest_try(struct mt_nearest *best, const char *s, size_t n, const char *name)
{
	size_t len = strlen(name);
	unsigned int d;

	if (!n || n > MT_WORD_MAX || !len || len > MT_WORD_MAX)
		return;
	/* What was cut short is near however much is missing. */
	d = n > 1 && n < len && !strncmp(s, name, n) ? 1 : edit_distance(s, n, name, len);
	if (d > (n + 2) / 3 || d >= len || (best->name && d >= best->distance))
		return;
	*best = (struct mt_nearest){name, d};
}

const char *mt_nearest(const char *s, const char *const *names)
{
	struct mt_nearest best = {0};

	for (; *names; names++)
		mt_nearest_try(&best, s, strlen(s), *names);
	return best.name;
}
