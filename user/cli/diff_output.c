/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cli/diff_output.h"

#include <string.h>

#include "base/clock.h"

int mt_diff_output_open(struct mt_diff_output *o, const struct mt_diff_config *cfg)
{
	static const struct mt_render_ops records = {.name = "diff"};

	o->format = mt_render_diff_all[0];
	for (size_t i = 0; cfg->format && mt_render_diff_all[i]; i++)
		if (!strcmp(mt_render_diff_all[i]->name, cfg->format))
			o->format = mt_render_diff_all[i];
	o->opts = (struct mt_render_opts){
		.unit = cfg->unit,
		.color = mt_color_wanted(cfg->color, cfg->output),
		.prefix = cfg->pids.n > 1,
	};
	return mt_output_new(cfg->output, &records, &o->opts, &o->out);
}

int mt_diff_output_put(struct mt_diff_output *o, const struct mt_diff *d)
{
	struct mt_snapshot at = {.time_ns = mt_clock_ns(CLOCK_REALTIME), .seq = o->n++};

	if (d->n)
		at.pid = d->v[0].new->pid;
	o->format->diff(mt_output_begin(o->out), d, &o->opts);
	return mt_output_end(o->out, &at);
}

void mt_diff_output_close(struct mt_diff_output *o)
{
	mt_output_free(&o->out);
}
