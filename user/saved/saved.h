/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Snapshots that `memtrace -f json` has written, read back. A file comes from
 * anywhere: every number, name and length in it is taken for hostile.
 */
#ifndef MT_SAVED_SAVED_H
#define MT_SAVED_SAVED_H

#include <stdbool.h>
#include <stddef.h>

#include "model/snapshot.h"

/*
 * One line without its newline, len bytes, as a snapshot, which the caller frees.
 * -EINVAL: it is none; -ENODATA: it is the beginning of one that was cut off. why
 * then says what is wrong (the key that is missing, a schema that is newer, the
 * column where the JSON ends) in a sentence of text that is safe to print.
 */
int mt_saved_parse(const char *text, size_t len, struct mt_snapshot **ret, char *why,
		   size_t why_size);

/* What is called for each; *s is the callee's to take (set to NULL) or leave. Not 0 ends it. */
typedef int (*mt_saved_fn)(void *ctx, struct mt_snapshot **s, size_t line);

/*
 * Reads the file, "-" standard input, line by line, with no more than one of them
 * in memory. cut_ok: a last line that was cut off is left out with a warning. 0,
 * what fn returned, or -errno, logged as one line: file, line, what, what to do.
 */
int mt_saved_each(const char *path, bool cut_ok, mt_saved_fn fn, void *ctx);

#endif
