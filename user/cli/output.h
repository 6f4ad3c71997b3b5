/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where snapshots go: standard output, or -o FILE with %p (pid), %t (UTC time,
 * 20260102T030405Z), %n (sequence number). Streams grow by one whole write per
 * snapshot; documents are written aside and renamed.
 */
#ifndef MT_CLI_OUTPUT_H
#define MT_CLI_OUTPUT_H

#include <stdbool.h>

#include "base/writer.h"
#include "model/snapshot.h"
#include "render/render.h"

struct mt_output; /* opaque */

/*
 * pattern NULL or "-": standard output. With a stream and no %p or %n the file is
 * opened here (so that an unwritable one is an error at once) and truncated.
 * 0 or -errno, one line logged.
 */
int mt_output_new(const char *pattern, const struct mt_render_ops *format,
		  const struct mt_render_opts *opts, struct mt_output **ret);
void mt_output_free(struct mt_output **o);
/* From now on lines have the name of the target in front. */
void mt_output_prefix(struct mt_output *o);
/*
 * Renders the n snapshots of one moment. With %p in the pattern each target
 * has its own file. 0, -EPIPE when the reader is gone, or -errno (logged).
 */
int mt_output_put(struct mt_output *o, const struct mt_snapshot *const *s, size_t n);
/*
 * The same for text that is no format's of snapshots: what the caller writes between
 * the two is one record. Of s only pid, time and sequence number are taken, for the
 * name of the file.
 */
struct mt_writer *mt_output_begin(struct mt_output *o);
int mt_output_end(struct mt_output *o, const struct mt_snapshot *s);

#endif
