/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the files of this directory share: values out of parsed JSON, checked. */
#ifndef MT_SAVED_INTERNAL_H
#define MT_SAVED_INTERNAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/writer.h"
#include "model/snapshot.h"

/*
 * How text.c marks what jansson has no value for: with a NUL, which no text of
 * memtrace's holds, and what follows it. A big number is a string with its digits
 * behind the mark.
 */
#define MT_SAVED_BIG_JSON  "\\u0000#"
#define MT_SAVED_BYTE_JSON "\\u0000x"

/*
 * Rewrites text until out has stop bytes, SIZE_MAX for all of it; *at is where in
 * text that is, *open says that a string has no end. 0, -ENOMEM, or -EINVAL: there
 * is a NUL in a string at *at.
 */
int mt_saved_rewrite(const char *text, size_t len, size_t stop, struct mt_writer *out, size_t *at,
		     bool *open);

/* What a line that is no snapshot may be, and what to do then: a sentence's end. Never NULL. */
const char *mt_saved_guess(const char *text, size_t len);

/*
 * Reading goes on after an error, with zeros; the first one is what is said. where
 * is what stands in front of a key in a message: "memstats.", "".
 */
struct mt_saved_in {
	char *why;
	size_t why_size;
	bool bad;
};

void mt_saved_bad(struct mt_saved_in *in, const char *where, const char *key, const char *what);

/* How a key may be missing. */
enum { MT_SAVED_NEEDED = 0, MT_SAVED_OPTIONAL = 1, MT_SAVED_NULLABLE = 2 };

/* NULL where it is missing or null, and may be, or in is bad. */
const json_t *mt_saved_get(struct mt_saved_in *in, const json_t *o, const char *where,
			   const char *key, int may);
const json_t *mt_saved_object(struct mt_saved_in *in, const json_t *o, const char *where,
			      const char *key, int may);
/* Of at most max elements. */
const json_t *mt_saved_array(struct mt_saved_in *in, const json_t *o, const char *where,
			     const char *key, size_t max, int may);
/* Numbers; 0 where they are missing. v is an element of an array where key is NULL. */
uint64_t mt_saved_u64(struct mt_saved_in *in, const json_t *o, const char *where, const char *key,
		      int may);
uint32_t mt_saved_u32(struct mt_saved_in *in, const json_t *o, const char *where, const char *key,
		      int may);
int64_t mt_saved_i64(struct mt_saved_in *in, const json_t *o, const char *where, const char *key,
		     int may);
bool mt_saved_bool(struct mt_saved_in *in, const json_t *o, const char *where, const char *key,
		   int may);
/* null is what is not finite. */
double mt_saved_double(struct mt_saved_in *in, const json_t *o, const char *where, const char *key);
/* The number that v itself is. */
uint64_t mt_saved_value(struct mt_saved_in *in, const json_t *v, const char *where,
			const char *key);
/* A text, which must fit; empty where it is missing or null. */
void mt_saved_text(struct mt_saved_in *in, const json_t *o, const char *where, const char *key,
		   char *buf, size_t size, int may);
/* A text, or a list of them, as names.h has them in one. */
void mt_saved_names(struct mt_saved_in *in, const json_t *o, const char *where, const char *key,
		    char *buf, size_t size, int may);
/* RFC 3339 in UTC as ns since the epoch. */
uint64_t mt_saved_time(struct mt_saved_in *in, const json_t *o, const char *where, const char *key,
		       int may);
/* Which of the names, NULL-terminated, the text is; anything else is bad. */
size_t mt_saved_choice(struct mt_saved_in *in, const json_t *o, const char *where, const char *key,
		       const char *const *names);

/* The parts of a snapshot. */
void mt_saved_memstats(struct mt_saved_in *in, const json_t *o, const char *where,
		       struct memtrace_memstats *m);
/* Counts by class, from memstats (m), "large" and "net" of o; unsized may be NULL. */
void mt_saved_classes(struct mt_saved_in *in, const json_t *o, const char *where,
		      const struct memtrace_memstats *m, struct mt_class_counts *cls,
		      struct mt_class_counts *unsized);
/* "heap", but for its arenas; how many of these there are. */
size_t mt_saved_census(struct mt_saved_in *in, const json_t *o, struct mt_census *c);
void mt_saved_arenas(struct mt_saved_in *in, const json_t *o, struct mt_heap_arena *v, size_t n);
void mt_saved_audit(struct mt_saved_in *in, const json_t *o, struct mt_audit *a);
/* The class of a "Size"; MT_CLASSES of a null. */
unsigned int mt_saved_class(struct mt_saved_in *in, const json_t *o, const char *where);

#endif
