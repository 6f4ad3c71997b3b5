/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Several names in one text: "glibc 2.36, musl 1.2.3". */
#ifndef MT_MODEL_NAMES_H
#define MT_MODEL_NAMES_H

#include <stddef.h>

/*
 * Adds to list, of size bytes, each name of the list names that it does not have
 * yet; "..." stands at the end for those that have no room.
 */
void mt_names_add(char *list, size_t size, const char *names);

/*
 * Where the name at the list's beginning ends; *next is where the one behind it
 * begins, or NULL.
 */
size_t mt_names_first(const char *list, const char **next);

#endif
