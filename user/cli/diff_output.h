/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where differences go: standard output or -o FILE, in one of their formats. */
#ifndef MT_CLI_DIFF_OUTPUT_H
#define MT_CLI_DIFF_OUTPUT_H

#include <stdint.h>

#include "cli/diff.h"
#include "cli/output.h"
#include "render/diff.h"

struct mt_diff_output {
	const struct mt_render_diff_ops *format;
	struct mt_render_opts opts;
	struct mt_output *out; /* owned */
	uint64_t n;            /* written so far */
};

/* An output that cannot be written is known here. 0 or -errno, logged; -EINVAL: usage. */
int mt_diff_output_open(struct mt_diff_output *o, const struct mt_diff_config *cfg);
/* Writes one difference. 0, -EPIPE when nobody reads any more, or -errno, logged. */
int mt_diff_output_put(struct mt_diff_output *o, const struct mt_diff *d);
void mt_diff_output_close(struct mt_diff_output *o);

#endif
