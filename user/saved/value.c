/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Values out of parsed JSON, each checked for its type and its size. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "saved/internal.h"

#define NS_PER_S UINT64_C(1000000000)

void mt_saved_bad(struct mt_saved_in *in, const char *where, const char *key, const char *what)
{
	if (!in->bad)
		snprintf(in->why, in->why_size, "\"%s%s\" %s", where, key, what);
	in->bad = true;
}

const json_t *mt_saved_get(struct mt_saved_in *in, const json_t *o, const char *where,
			   const char *key, int may)
{
	const json_t *v = json_object_get(o, key);

	if (in->bad)
		return NULL;
	if (!v && !(may & MT_SAVED_OPTIONAL)) {
		snprintf(in->why, in->why_size, "the key \"%s%s\" is missing", where, key);
		in->bad = true;
	} else if (json_is_null(v)) {
		if (!(may & MT_SAVED_NULLABLE))
			mt_saved_bad(in, where, key, "is null");
		return NULL;
	}
	return v;
}

const json_t *mt_saved_object(struct mt_saved_in *in, const json_t *o, const char *where,
			      const char *key, int may)
{
	const json_t *v = mt_saved_get(in, o, where, key, may);

	if (!v || json_is_object(v))
		return v;
	mt_saved_bad(in, where, key, "is no object");
	return NULL;
}

const json_t *mt_saved_array(struct mt_saved_in *in, const json_t *o, const char *where,
			     const char *key, size_t max, int may)
{
	const json_t *v = mt_saved_get(in, o, where, key, may);

	if (!v)
		return NULL;
	if (json_is_array(v) && json_array_size(v) <= max)
		return v;
	mt_saved_bad(in, where, key, json_is_array(v) ? "has too many elements" : "is no array");
	return NULL;
}

/* A number from 2^63 on: see text.c. */
static bool is_big(const json_t *v)
{
	const char *s = json_string_value(v);

	return s && json_string_length(v) > 2 && !s[0] && s[1] == '#';
}

static bool is_text(const json_t *v)
{
	return json_is_string(v) && !is_big(v);
}

/* A text in which nothing is marked. */
static bool is_plain(const json_t *v)
{
	return json_is_string(v) && strlen(json_string_value(v)) == json_string_length(v);
}

uint64_t mt_saved_value(struct mt_saved_in *in, const json_t *v, const char *where, const char *key)
{
	if (json_is_integer(v) && json_integer_value(v) >= 0)
		return (uint64_t)json_integer_value(v);
	if (is_big(v))
		return strtoull(json_string_value(v) + 2, NULL, 10);
	if (v)
		mt_saved_bad(in, where, key, "is no whole number from 0 to 2^64 - 1");
	return 0;
}

uint64_t mt_saved_u64(struct mt_saved_in *in, const json_t *o, const char *where, const char *key,
		      int may)
{
	return mt_saved_value(in, mt_saved_get(in, o, where, key, may), where, key);
}

uint32_t mt_saved_u32(struct mt_saved_in *in, const json_t *o, const char *where, const char *key,
		      int may)
{
	uint64_t v = mt_saved_u64(in, o, where, key, may);

	if (v <= UINT32_MAX)
		return (uint32_t)v;
	mt_saved_bad(in, where, key, "is above 2^32 - 1");
	return 0;
}

int64_t mt_saved_i64(struct mt_saved_in *in, const json_t *o, const char *where, const char *key,
		     int may)
{
	const json_t *v = mt_saved_get(in, o, where, key, may);

	if (v && !json_is_integer(v))
		mt_saved_bad(in, where, key, "is no whole number from -2^63 to 2^63 - 1");
	return json_integer_value(v);
}

bool mt_saved_bool(struct mt_saved_in *in, const json_t *o, const char *where, const char *key,
		   int may)
{
	const json_t *v = mt_saved_get(in, o, where, key, may);

	if (v && !json_is_boolean(v))
		mt_saved_bad(in, where, key, "is neither true nor false");
	return json_is_true(v);
}

double mt_saved_double(struct mt_saved_in *in, const json_t *o, const char *where, const char *key)
{
	const json_t *v = mt_saved_get(in, o, where, key, MT_SAVED_NULLABLE);

	if (!v)
		return in->bad ? 0 : (double)NAN;
	if (is_big(v))
		return (double)strtoull(json_string_value(v) + 2, NULL, 10);
	if (!json_is_number(v))
		mt_saved_bad(in, where, key, "is no number");
	return json_number_value(v);
}

/* Appends the text; false if it does not fit. A marked byte was no UTF-8: see text.c. */
static bool append(char *buf, size_t size, size_t *at, const json_t *v)
{
	const char *s = json_string_value(v);
	size_t n = json_string_length(v);

	for (size_t i = 0; i < n; i++) {
		if (*at + 1 >= size)
			return false;
		buf[(*at)++] = s[i] ? s[i] : '\xff';
		i += !s[i];
	}
	return true;
}

static void put(struct mt_saved_in *in, const json_t *v, const char *where, const char *key,
		char *buf, size_t size, size_t *at)
{
	char what[64];

	if (!is_text(v)) {
		mt_saved_bad(in, where, key, "is no text");
	} else if (!append(buf, size, at, v)) {
		snprintf(what, sizeof(what), "is longer than %zu bytes", size - 1);
		mt_saved_bad(in, where, key, what);
	}
	buf[*at] = '\0';
}

void mt_saved_text(struct mt_saved_in *in, const json_t *o, const char *where, const char *key,
		   char *buf, size_t size, int may)
{
	const json_t *v = mt_saved_get(in, o, where, key, may);
	size_t at = 0;

	buf[0] = '\0';
	if (v)
		put(in, v, where, key, buf, size, &at);
}

void mt_saved_names(struct mt_saved_in *in, const json_t *o, const char *where, const char *key,
		    char *buf, size_t size, int may)
{
	const json_t *v = mt_saved_get(in, o, where, key, may);
	size_t at = 0;

	buf[0] = '\0';
	if (!json_is_array(v)) {
		if (v)
			put(in, v, where, key, buf, size, &at);
		return;
	}
	for (size_t i = 0; i < json_array_size(v) && !in->bad; i++) {
		if (i && at + 3 <= size) {
			memcpy(buf + at, ", ", 3);
			at += 2;
		}
		put(in, json_array_get(v, i), where, key, buf, size, &at);
	}
}

/* The digits at s as a number; NULL if there are not n of them. */
static const char *digits(const char *s, int n, int *ret)
{
	*ret = 0;
	for (int i = 0; i < n; i++, s++) {
		if (*s < '0' || *s > '9')
			return NULL;
		*ret = *ret * 10 + (*s - '0');
	}
	return s;
}

/* "2026-01-02T03:04:05.000000006Z"; the fraction may be shorter or missing. */
static bool parse_time(const char *s, uint64_t *ns)
{
	static const struct {
		int digits;
		char behind;
	} parts[] = {{4, '-'}, {2, '-'}, {2, 'T'}, {2, ':'}, {2, ':'}, {2, 0}};
	uint64_t fraction = 0, scale = NS_PER_S;
	struct tm tm = {0}, back;
	time_t t;
	int v[6];

	for (size_t i = 0; i < 6; i++) {
		s = digits(s, parts[i].digits, &v[i]);
		if (!s || (parts[i].behind && *s++ != parts[i].behind))
			return false;
	}
	if (*s == '.')
		for (s++; *s >= '0' && *s <= '9' && scale > 1; s++)
			fraction += (uint64_t)(*s - '0') * (scale /= 10);
	if (strcmp(s, "Z") != 0)
		return false;
	tm = (struct tm){.tm_year = v[0] - 1900,
			 .tm_mon = v[1] - 1,
			 .tm_mday = v[2],
			 .tm_hour = v[3],
			 .tm_min = v[4],
			 .tm_sec = v[5]};
	back = tm;
	t = timegm(&back);
	if (t < 0 || back.tm_mday != tm.tm_mday || back.tm_mon != tm.tm_mon ||
	    back.tm_hour != tm.tm_hour || back.tm_min != tm.tm_min)
		return false;
	return !__builtin_mul_overflow((uint64_t)t, NS_PER_S, ns) &&
	       !__builtin_add_overflow(*ns, fraction, ns);
}

uint64_t mt_saved_time(struct mt_saved_in *in, const json_t *o, const char *where, const char *key,
		       int may)
{
	const json_t *v = mt_saved_get(in, o, where, key, may);
	uint64_t ns = 0;

	if (v && (!is_plain(v) || !parse_time(json_string_value(v), &ns)))
		mt_saved_bad(in, where, key, "is no time as in 2026-01-02T03:04:05Z");
	return ns;
}

size_t mt_saved_choice(struct mt_saved_in *in, const json_t *o, const char *where, const char *key,
		       const char *const *names)
{
	const json_t *v = mt_saved_get(in, o, where, key, MT_SAVED_NEEDED);

	for (size_t i = 0; v && is_plain(v) && names[i]; i++)
		if (!strcmp(names[i], json_string_value(v)))
			return i;
	if (v)
		mt_saved_bad(in, where, key, "has a value that this memtrace does not know");
	return 0;
}
