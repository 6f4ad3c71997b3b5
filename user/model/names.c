/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/names.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char between[] = ", ";
static const char more[] = ", ...";

size_t mt_names_first(const char *list, const char **next)
{
	const char *end = strstr(list, between);

	*next = end ? end + sizeof(between) - 1 : NULL;
	return end ? (size_t)(end - list) : strlen(list);
}

static bool has(const char *list, const char *name, size_t n)
{
	while (list) {
		const char *next;
		size_t len = mt_names_first(list, &next);

		if (len == n && !memcmp(list, name, n))
			return true;
		list = next;
	}
	return false;
}

static void add_one(char *list, size_t size, const char *name, size_t len)
{
	size_t n = strlen(list), end = sizeof(more) - 1;

	if (!len || has(list, name, len) || (n > end && !strcmp(list + n - end, more)))
		return;
	if (!n)
		snprintf(list, size, "%.*s", (int)len, name);
	else if (n + 2 + len + sizeof(more) <= size)
		snprintf(list + n, size - n, "%s%.*s", between, (int)len, name);
	else
		snprintf(list + n, size - n, "%s", more);
}

void mt_names_add(char *list, size_t size, const char *names)
{
	while (names) {
		const char *next;
		size_t len = mt_names_first(names, &next);

		add_one(list, size, names, len);
		names = next;
	}
}
