/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What users typed: quoted for a message, and compared with what they may have meant. */
#ifndef MT_BASE_WORDS_H
#define MT_BASE_WORDS_H

#include <stddef.h>

#define MT_WORD_MAX 64 /* bytes; longer words are compared with nothing */

/* Of the names that were tried the nearest; all zero at first. */
struct mt_nearest {
	const char *name; /* NULL: none is near */
	unsigned int distance;
};
/* Compares s, n bytes, with one more name. */
void mt_nearest_try(struct mt_nearest *best, const char *s, size_t n, const char *name);

/* The name among names (NULL-terminated) nearest to s, or NULL if none is near. */
const char *mt_nearest(const char *s, const char *const *names);

/*
 * Writes s into buf for a message: control characters escaped, cut to fit with
 * "..." at the end. size at least 8. Returns buf.
 */
const char *mt_quote(char *buf, size_t size, const char *s);

#endif
