/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a line is that was given for a snapshot and is none. */
#include <string.h>

#include "saved/internal.h"

static const struct {
	const char *begins; /* with this */
	const char *holds;  /* and has this in it; NULL: anything */
	const char *is;
} kinds[] = {
	{"\x1f\x8b", NULL, ": it is compressed: zcat FILE | memtrace ... -"},
	{"\x28\xb5\x2f\xfd", NULL, ": it is compressed: zstdcat FILE | memtrace ... -"},
	{"\xfd"
	 "7zXZ",
	 NULL, ": it is compressed: xzcat FILE | memtrace ... -"},
	{"BZh", NULL, ": it is compressed: bzcat FILE | memtrace ... -"},
	{"\xef\xbb\xbf", NULL, ": it begins with a byte order mark: remove that"},
	{"\xff\xfe", NULL, ": it is UTF-16: make UTF-8 of it"},
	{"\x7f"
	 "ELF",
	 NULL, ": it is a program"},
	{"{", "\"memtrace-diff/", ": it is the output of memtrace diff"},
	{"{", "\"memtrace-census/", ": it is a census: use memtrace -p PID -c 1 -f json"},
	{"# HELP memtrace_", NULL, ": it is OpenMetrics: save with -f json"},
	{"# TYPE memtrace_", NULL, ": it is OpenMetrics: save with -f json"},
	{"", "TotalAlloc = ", ": it is the line format: save with -f json"},
	{"<", NULL, ": it is HTML or XML"},
	{"[", NULL, ": a snapshot is an object; jq -c '.[]' makes lines of an array"},
};

/* Formatted for reading, a document begins with a bracket alone. */
static bool is_spread(const char *text, size_t len)
{
	while (len && strchr(" \t\r", text[len - 1]))
		len--;
	return len == 1 && (*text == '{' || *text == '[');
}

static bool has(const char *text, size_t len, const char *what)
{
	return memmem(text, len, what, strlen(what));
}

const char *mt_saved_guess(const char *text, size_t len)
{
	if (is_spread(text, len))
		return ": each snapshot is to be one line: jq -c . FILE";
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t n = strlen(kinds[i].begins);

		if (len >= n && !memcmp(text, kinds[i].begins, n) &&
		    (!kinds[i].holds || has(text, len, kinds[i].holds)))
			return kinds[i].is;
	}
	/* of which a snapshot has some, too */
	if (*text == '{' && has(text, len, "\"BySize\":") && !has(text, len, "\"schema\":"))
		return ": it is MemStats alone: save with -f json";
	return "";
}
