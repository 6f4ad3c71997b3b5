/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cli/diff_output.h"

#include "base/clock.h"

int mt_diff_output_open(struct mt_diff_output *o, const struct mt_diff_config *cfg)
{
	/* Of files there is one difference: it is written aside. */
	static const struct mt_render_ops records = {.name = "diff"},
					  whole = {.name = "diff", .document = true};

	o->format = mt_render_diff_find(cfg->format ? cfg->format : mt_render_diff_all[0]->name);
	o->opts = (struct mt_render_opts){
		.unit = cfg->unit,
		.color = mt_color_wanted(cfg->color, cfg->output),
		.prefix = cfg->pids.n > 1,
	};
	return mt_output_new(cfg->output, cfg->pids.n ? &records : &whole, &o->opts, &o->out);
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
