/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What jansson cannot hold is put in other words before it parses: integers from
 * 2^63 on (its own are signed), the sign of a zero, and U+FFFD as memtrace escapes
 * it, which stands for one byte of a name that was no UTF-8.
 */
#include <errno.h>
#include <string.h>

#include "saved/internal.h"

struct pass {
	const char *text;
	size_t len, from; /* what comes from there on is not copied yet */
	struct mt_writer *out;
	bool open; /* a string has no end */
};

static void replace(struct pass *p, size_t start, size_t end, const char *before, const char *after)
{
	mt_write_mem(p->out, p->text + p->from, start - p->from);
	mt_write_str(p->out, before);
	mt_write_mem(p->out, p->text + start, end - start);
	mt_write_str(p->out, after);
	p->from = end;
}

/* Where the string that begins at i ends, behind its quote; 0 if it does not. */
static size_t string_end(const struct pass *p, size_t i)
{
	for (i++; i < p->len; i++) {
		if (p->text[i] == '\\')
			i++;
		else if (p->text[i] == '"')
			return i + 1;
	}
	return 0;
}

static bool is_key(const struct pass *p, size_t end)
{
	while (end < p->len && strchr(" \t\r", p->text[end]))
		end++;
	return end < p->len && p->text[end] == ':';
}

/* -EINVAL: it holds a NUL, which no name does, and which marks what is put in other words. */
static int pass_string(struct pass *p, size_t start, size_t *end)
{
	bool key;

	*end = string_end(p, start);
	if (!*end) {
		*end = p->len;
		p->open = true;
		return 0;
	}
	key = is_key(p, *end);
	for (size_t i = start + 1; i + 6 < *end; i++) {
		if (p->text[i] != '\\')
			continue;
		if (!memcmp(p->text + i, "\\u0000", 6))
			return -EINVAL;
		if (!key && !memcmp(p->text + i, "\\ufffd", 6)) {
			replace(p, i, i, MT_SAVED_BYTE_JSON, "");
			p->from = i + 6;
		}
		i++;
	}
	return 0;
}

static bool is_of_number(char c)
{
	return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

static void pass_number(struct pass *p, size_t start, size_t *end)
{
	bool minus = p->text[start] == '-', fits = true;
	uint64_t v = 0;
	size_t i = start + minus;

	for (*end = start + 1; *end < p->len && is_of_number(p->text[*end]);)
		++*end;
	for (; i < *end && p->text[i] >= '0' && p->text[i] <= '9'; i++)
		fits = fits && !__builtin_mul_overflow(v, 10, &v) &&
		       !__builtin_add_overflow(v, p->text[i] - '0', &v);
	if (i != *end || i == start + minus)
		return;
	if (minus && *end == start + 2 && !v)
		replace(p, start, *end, "", ".0");
	else if (p->text[start + minus] == '0')
		return; /* no number in JSON, if there is more of it */
	else if (!fits || (minus && v > (uint64_t)1 << 63))
		replace(p, start, *end, "", ".0");
	else if (!minus && v > INT64_MAX)
		replace(p, start, *end, "\"" MT_SAVED_BIG_JSON, "\"");
}

int mt_saved_rewrite(const char *text, size_t len, size_t stop, struct mt_writer *out, size_t *at,
		     bool *open)
{
	struct pass p = {.text = text, .len = len, .out = out};
	size_t i = 0;

	/* What is written and what is not yet copied: as far as it goes now. */
	while (i < len && out->len + (i - p.from) < stop) {
		size_t end = i + 1;

		if (text[i] == '"' && pass_string(&p, i, &end)) {
			*at = i;
			*open = false;
			return -EINVAL;
		}
		if (text[i] == '-' || (text[i] >= '0' && text[i] <= '9'))
			pass_number(&p, i, &end);
		i = end;
	}
	*at = i;
	*open = p.open;
	mt_write_mem(out, text + p.from, i - p.from);
	return out->err;
}
