/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

/* Code points that encoding/json escapes so that JSON can stand inside HTML and JavaScript. */
static bool must_escape(uint32_t cp)
{
	return mt_utf8_is_control(cp) || cp == '<' || cp == '>' || cp == '&';
}

static void write_char(struct mt_writer *w, const char *s, size_t n, uint32_t cp)
{
	if (cp == '"' || cp == '\\')
		mt_writef(w, "\\%c", (char)cp);
	else if (cp == '\n')
		mt_write_str(w, "\\n");
	else if (cp == '\r')
		mt_write_str(w, "\\r");
	else if (cp == '\t')
		mt_write_str(w, "\\t");
	else if (must_escape(cp))
		mt_writef(w, "\\u%04x", (unsigned int)cp);
	else
		mt_write_mem(w, s, n);
}

static void write_quoted(struct mt_writer *w, const char *s)
{
	mt_write_str(w, "\"");
	while (*s) {
		uint32_t cp = 0;
		size_t n = mt_utf8_decode(s, &cp);

		if (n)
			write_char(w, s, n, cp);
		else
			mt_write_str(w, "\\ufffd");
		s += n ? n : 1;
	}
	mt_write_str(w, "\"");
}

/* What stands before every value: a comma if one came before, and the key. */
static void lead(struct mt_json *j, const char *key)
{
	if (j->need_comma)
		mt_write_str(j->w, ",");
	j->need_comma = true;
	if (key) {
		write_quoted(j->w, key);
		mt_write_str(j->w, ":");
	}
}

static void open_with(struct mt_json *j, const char *key, const char *bracket)
{
	lead(j, key);
	mt_write_str(j->w, bracket);
	j->need_comma = false;
}

static void close_with(struct mt_json *j, const char *bracket)
{
	mt_write_str(j->w, bracket);
	j->need_comma = true;
}

void mt_json_object_begin(struct mt_json *j, const char *key)
{
	open_with(j, key, "{");
}

void mt_json_object_end(struct mt_json *j)
{
	close_with(j, "}");
}

void mt_json_array_begin(struct mt_json *j, const char *key)
{
	open_with(j, key, "[");
}

void mt_json_array_end(struct mt_json *j)
{
	close_with(j, "]");
}

void mt_json_u64(struct mt_json *j, const char *key, uint64_t v)
{
	lead(j, key);
	mt_writef(j->w, "%" PRIu64, v);
}

void mt_json_i64(struct mt_json *j, const char *key, int64_t v)
{
	lead(j, key);
	mt_writef(j->w, "%" PRId64, v);
}

/* Counts the last digit of "d.dde-xx" up by one; false if it overflows. */
static bool bump(char *text)
{
	for (char *p = strchr(text, 'e'); p && p-- > text;) {
		if (*p < '0' || *p > '9')
			continue;
		if (*p != '9') {
			++*p;
			return true;
		}
		*p = '0';
	}
	return false;
}

/*
 * The shortest decimal that reads back as v > 0: d[0].d[1]... times ten to *exp.
 * Beside the nearest decimal of a length the next one up is tried: below a
 * power of two doubles lie denser, and it may read back where the nearest does
 * not.
 */
static size_t shortest(double v, char digits[18], int *exp)
{
	char text[64];
	size_t n = 0;
	const char *p = text;

	for (int prec = 0; prec <= 16; prec++) {
		snprintf(text, sizeof(text), "%.*e", prec, v);
		if (strtod(text, NULL) == v || (bump(text) && strtod(text, NULL) == v))
			break;
	}
	/* The point is whatever the locale says, so only the digits are taken. */
	for (; *p && *p != 'e'; p++) {
		if (*p >= '0' && *p <= '9' && n < 17)
			digits[n++] = *p;
	}
	*exp = *p ? (int)strtol(p + 1, NULL, 10) : 0;
	while (n > 1 && digits[n - 1] == '0')
		n--;
	digits[n] = '\0';
	return n;
}

static void write_plain(struct mt_writer *w, const char *digits, int n, int exp)
{
	if (exp < 0) {
		mt_writef(w, "0.%.*s%s", -exp - 1, "000000", digits);
		return;
	}
	for (int i = 0; i <= exp; i++)
		mt_writef(w, "%c", i < n ? digits[i] : '0');
	if (n > exp + 1)
		mt_writef(w, ".%s", digits + exp + 1);
}

void mt_write_double(struct mt_writer *w, double v)
{
	char digits[18];
	size_t n;
	int exp;

	if (signbit(v))
		mt_write_str(w, "-");
	v = fabs(v);
	if (v == 0) {
		mt_write_str(w, "0");
		return;
	}
	n = shortest(v, digits, &exp);
	if (v >= 1e-6 && v < 1e21)
		write_plain(w, digits, (int)n, exp);
	else
		mt_writef(w, "%c%s%se%c%d", digits[0], n > 1 ? "." : "", digits + 1,
			  exp < 0 ? '-' : '+', abs(exp));
}

void mt_json_double(struct mt_json *j, const char *key, double v)
{
	if (!isfinite(v)) {
		mt_json_null(j, key);
		return;
	}
	lead(j, key);
	mt_write_double(j->w, v);
}

void mt_json_bool(struct mt_json *j, const char *key, bool v)
{
	lead(j, key);
	mt_write_str(j->w, v ? "true" : "false");
}

void mt_json_null(struct mt_json *j, const char *key)
{
	lead(j, key);
	mt_write_str(j->w, "null");
}

void mt_json_string(struct mt_json *j, const char *key, const char *s)
{
	if (!s) {
		mt_json_null(j, key);
		return;
	}
	lead(j, key);
	write_quoted(j->w, s);
}
