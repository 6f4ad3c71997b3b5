/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A difference as one line for each process, in the way of the line format. */
#include <inttypes.h>

#include "render/diff_internal.h"

static void write_bytes(struct mt_writer *w, const struct mt_diff_process *p, const char *name,
			const struct mt_diff_row *row, enum mt_unit unit)
{
	const struct mt_diff_row none = {.unit = MT_FIELD_BYTES};
	char buf[48];

	row = row ? row : mt_diff_find_row(p, name);
	row = row ? row : &none;
	mt_writef(
		w, "%s %s\t", name,
		mt_diff_format_change(buf, sizeof(buf), row, row->median, unit, (int)sizeof(buf)));
}

static void write_leak(struct mt_writer *w, const char *what, const struct mt_diff_leak *l)
{
	if (l->text[0]) {
		mt_writef(w, "\t%s", what);
		mt_write_escaped(w, l->text);
	}
}

static void write_process(struct mt_writer *w, const struct mt_diff_process *p, bool prefix,
			  const struct mt_render_opts *o)
{
	const struct mt_diff_row *gc = mt_diff_find_row(p, "NumGC");
	const uint64_t before = mt_snapshot_lost(p->old), now = mt_snapshot_lost(p->new);
	const uint64_t lost = now > before ? now : before;

	if (prefix) {
		mt_diff_write_name(w, p->new);
		mt_write_str(w, "\t");
	}
	/* Where Alloc stops at 0 the signed level is the truth. */
	write_bytes(w, p, "Alloc", mt_diff_find_row(p, "net.Bytes"), o->unit);
	write_bytes(w, p, "TotalAlloc", NULL, o->unit);
	write_bytes(w, p, "Sys", NULL, o->unit);
	mt_writef(w, "NumGC %+" PRId64, gc ? gc->median : 0);
	if (lost)
		mt_writef(w, "\tLost = %" PRIu64, lost);
	if (p->new->since == MT_SINCE_ATTACH)
		mt_write_str(w, "\t(since attach)");
	write_leak(w, "", &p->heap.leak);
	write_leak(w, "C memory ", &p->native.leak);
	for (size_t i = 0; i < p->n_notes; i++) {
		mt_write_str(w, "\tnote: ");
		mt_write_escaped(w, p->notes[i]);
	}
	mt_write_str(w, "\n");
}

static void write_other(struct mt_writer *w, const struct mt_snapshot *s, const char *what,
			const struct mt_render_opts *o)
{
	char buf[48];

	mt_diff_write_name(w, s);
	mt_writef(w, "\t%s\tAlloc = %s\n", what,
		  mt_format_bytes(buf, sizeof(buf), s->memstats.alloc, o->unit));
}

static void lines(struct mt_writer *w, const struct mt_diff *d, const struct mt_render_opts *o)
{
	bool many = o->prefix || d->n + d->n_came + d->n_went > 1;

	for (size_t i = 0; i < d->n; i++)
		write_process(w, &d->v[i], many, o);
	for (size_t i = 0; i < d->n_came; i++)
		write_other(w, d->came[i], "came", o);
	for (size_t i = 0; i < d->n_went; i++)
		write_other(w, d->went[i], "went", o);
}

const struct mt_render_diff_ops mt_render_diff_line = {.name = "line", .diff = lines};
