/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A difference for a person, 80 columns wide. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "render/diff_internal.h"

#define DETAILS    8  /* processes of which all rows are shown */
#define OTHERS     10 /* that came, and that went */
#define NAME       20
#define CELL       15
#define NAME_CELLS 28 /* of a process, in a list */

static void bold(struct mt_writer *w, const struct mt_render_opts *o, bool on)
{
	if (o->color)
		mt_write_str(w, on ? "\033[1m" : "\033[0m");
}

static void write_wrapped(struct mt_writer *w, const char *before, const char *text)
{
	_cleanup_writer_ struct mt_writer line = {0};

	mt_write_str(&line, before);
	mt_write_str(&line, text);
	mt_write_wrapped(w, 0, MT_RENDER_COLUMNS, line.buf ? line.buf : "");
}

/* Of one day the second time needs no date. */
static void write_times(struct mt_writer *w, const struct mt_snapshot *old,
			const struct mt_snapshot *new)
{
	char a[MT_TIME_SIZE], b[MT_TIME_SIZE], took[MT_DURATION_SIZE];
	const size_t day = strlen("2026-01-02T");
	bool same, back = new->time_ns < old->time_ns;

	mt_format_time(a, sizeof(a), old->time_ns);
	mt_format_time(b, sizeof(b), new->time_ns);
	same = !memcmp(a, b, day);
	mt_format_duration(took, sizeof(took),
			   back ? old->time_ns - new->time_ns : new->time_ns - old->time_ns);
	mt_writef(w, "%.19sZ to %.*sZ (%s%s)", a, same ? 8 : 19, same ? b + day : b,
		  back ? "-" : "", took);
}

static void write_mark(struct mt_writer *w, const char *key, const char *old, const char *new)
{
	if (!old[0] && !new[0])
		return;
	mt_writef(w, "%s ", key);
	mt_write_escaped(w, old[0] ? old : "none");
	if (strcmp(old, new) != 0) {
		mt_write_str(w, ", then ");
		mt_write_escaped(w, new[0] ? new : "none");
	}
	mt_write_str(w, "\n");
}

static void write_what(struct mt_writer *w, const struct mt_snapshot *s)
{
	_cleanup_writer_ struct mt_writer text = {0};

	mt_writef(&text, "runtime %s, allocator %s, mode %s, %s sizes",
		  s->runtime[0] ? s->runtime : "unknown",
		  s->allocator[0] ? s->allocator : "unknown", s->mode ? s->mode : "unknown",
		  s->sizes ? s->sizes : "unknown");
	mt_write_wrapped(w, 0, MT_RENDER_COLUMNS, text.buf ? text.buf : "");
}

static void write_verdict(struct mt_writer *w, const char *before, const struct mt_diff_leak *l,
			  const struct mt_render_opts *o)
{
	if (!l->text[0])
		return;
	bold(w, o, l->bytes.verdict == MT_VERDICT_GROWS);
	write_wrapped(w, before, l->text);
	bold(w, o, false);
}

static void write_header(struct mt_writer *w, const struct mt_diff_process *p,
			 const struct mt_render_opts *o)
{
	bold(w, o, true);
	mt_diff_write_name(w, p->new);
	bold(w, o, false);
	mt_write_str(w, p->new->final ? "  final\n" : "\n");
	write_times(w, p->first, p->new);
	mt_writef(w, p->repetitions > 1 ? ", %zu repetitions\n" : "\n", p->repetitions);
	write_what(w, p->new);
	mt_render_since(w, p->new->since);
	write_mark(w, "label", p->first->label, p->new->label);
	write_mark(w, "event", p->first->event, p->new->event);
	for (size_t i = 0; i < p->n_notes; i++)
		write_wrapped(w, "NOTE: ", p->notes[i]);
	if (!mt_snapshot_lost(p->old) && !mt_snapshot_lost(p->new))
		mt_write_str(w, "nothing lost\n");
	write_verdict(w, "live bytes: ", &p->heap.leak, o);
	write_verdict(w, "C memory, live bytes: ", &p->native.leak, o);
}

static void write_row(struct mt_writer *w, const struct mt_diff_row *row, bool repeated,
		      enum mt_unit unit)
{
	char a[48], b[48], c[48], d[48];

	if (!repeated) {
		mt_writef(w, "%-*s %*s %*s", NAME, row->name, CELL,
			  mt_diff_format_value(a, sizeof(a), row, row->old, unit, CELL), CELL,
			  mt_diff_format_value(b, sizeof(b), row, row->new, unit, CELL));
		mt_diff_format_change(c, sizeof(c), row, row->change, unit, CELL);
		mt_diff_format_percent(d, sizeof(d), row);
		if (c[0])
			mt_writef(w, " %*s", CELL, c);
		if (d[0])
			mt_writef(w, " %11s", d);
		mt_write_str(w, "\n");
		return;
	}
	mt_writef(w, "%-*s %*s %*s %*s %*s\n", NAME, row->name, CELL,
		  mt_diff_format_change(a, sizeof(a), row, row->median, unit, CELL), CELL,
		  mt_diff_format_change(b, sizeof(b), row, row->min, unit, CELL), CELL,
		  mt_diff_format_change(c, sizeof(c), row, row->max, unit, CELL), CELL - 4,
		  mt_diff_format_value(d, sizeof(d), row, row->new, unit, CELL - 4));
}

static void write_rows_heading(struct mt_writer *w, const char *what, bool repeated,
			       const struct mt_render_opts *o)
{
	_cleanup_writer_ struct mt_writer per = {0};
	char head[128];

	mt_write_str(&per, "Per ");
	mt_write_escaped(&per, what);
	if (repeated)
		snprintf(head, sizeof(head), "%-*.*s %*s %*s %*s %*s", NAME, NAME,
			 per.buf ? per.buf : "", CELL, "Median change", CELL, "Least", CELL, "Most",
			 CELL - 4, "Now");
	else
		snprintf(head, sizeof(head), "%-*s %*s %*s %*s %11s", NAME, "What", CELL, "Old",
			 CELL, "New", CELL, "Change", "Percent");
	mt_render_heading(w, o, head);
}

static void write_rows(struct mt_writer *w, const struct mt_diff_process *p, const char *what,
		       const struct mt_render_opts *o)
{
	mt_write_str(w, "\n");
	if (!p->n_rows) {
		mt_write_str(w, "no number changed\n");
		return;
	}
	write_rows_heading(w, what, p->repetitions > 1, o);
	for (size_t i = 0; i < p->n_rows; i++)
		write_row(w, &p->rows[i], p->repetitions > 1, o->unit);
}

static void write_class(struct mt_writer *w, const struct mt_diff_class *c, enum mt_unit unit)
{
	const struct mt_diff_row count = {.unit = MT_FIELD_COUNT};
	char size[24], bytes[48], objects[48], mallocs[48], frees[48];

	mt_render_class_label(size, sizeof(size), c->class);
	mt_writef(
		w, "%15s %*s %*s %13s %13s%s\n", size, CELL,
		mt_diff_format_change(bytes, sizeof(bytes), &c->bytes, c->bytes.median, unit, CELL),
		13,
		mt_diff_format_change(objects, sizeof(objects), &c->objects, c->objects.median,
				      unit, 13),
		mt_diff_format_value(mallocs, sizeof(mallocs), &count, c->mallocs, unit, 13),
		mt_diff_format_value(frees, sizeof(frees), &count, c->frees, unit, 13),
		c->leak.verdict == MT_VERDICT_GROWS ? " grows" : "");
}

static void write_classes(struct mt_writer *w, const struct mt_diff_heap *h, const char *title,
			  const struct mt_render_opts *o)
{
	char head[96];
	size_t even = 0;

	if (!h->n)
		return;
	mt_write_str(w, "\n");
	snprintf(head, sizeof(head), "%15s %*s %13s %13s %13s", title, CELL, "Live bytes",
		 "Objects", "Mallocs", "Frees");
	mt_render_heading(w, o, head);
	for (size_t i = 0; i < h->n; i++) {
		const struct mt_diff_class *c = &h->classes[i];

		if (c->bytes.min || c->bytes.max || c->objects.min || c->objects.max)
			write_class(w, c, o->unit);
		else
			even++;
	}
	if (even)
		mt_writef(w, "%zu %s class%s freed as much as %s allocated\n", even,
			  even < h->n ? "other" : "size", even == 1 ? "" : "es",
			  even == 1 ? "it" : "they");
}

/* A name in its column, or, where that is too narrow, on a line of its own. */
static void write_cell(struct mt_writer *w, const struct mt_snapshot *s)
{
	_cleanup_writer_ struct mt_writer name = {0};
	size_t columns = 0;

	mt_diff_write_name(&name, s);
	for (size_t i = 0; i < name.len; i++)
		columns += ((unsigned char)name.buf[i] & 0xc0) != 0x80;
	mt_write_mem(w, name.buf ? name.buf : "", name.len);
	if (columns > NAME_CELLS) {
		mt_write_str(w, "\n");
		columns = 0;
	}
	mt_writef(w, "%*s", NAME_CELLS - (int)columns, "");
}

static void write_others(struct mt_writer *w, const struct mt_snapshot *const *v, size_t n,
			 const char *what, const struct mt_render_opts *o)
{
	char bytes[48], text[160];

	if (!n)
		return;
	mt_write_str(w, w->len ? "\n" : "");
	snprintf(text, sizeof(text), "%-*s %14s %14s", NAME_CELLS, what, "Alloc", "rss");
	mt_render_heading(w, o, text);
	for (size_t i = 0; i < n && i < OTHERS; i++) {
		write_cell(w, v[i]);
		mt_writef(w, " %14s",
			  mt_render_bytes(bytes, sizeof(bytes), v[i]->memstats.alloc, o->unit, 14));
		mt_writef(w, " %14s\n",
			  mt_render_bytes(bytes, sizeof(bytes), v[i]->vm.rss, o->unit, 14));
	}
	if (n > OTHERS)
		mt_writef(w, "and %zu more, all in -f json\n", n - OTHERS);
}

static const struct mt_diff_row *level_of(const struct mt_diff_process *p)
{
	const struct mt_diff_row *net = mt_diff_find_row(p, "net.Bytes");

	return net ? net : mt_diff_find_row(p, "Alloc");
}

static void write_list_row(struct mt_writer *w, const struct mt_diff_process *p, enum mt_unit unit)
{
	const struct mt_diff_row none = {.unit = MT_FIELD_BYTES}, *live = level_of(p);
	const struct mt_diff_row *rss = mt_diff_find_row(p, "rss");
	char a[48], b[48], c[48];

	write_cell(w, p->new);
	mt_writef(w, " %14s %14s %14s%s\n",
		  mt_diff_format_change(a, sizeof(a), &none, live ? live->median : 0, unit, 14),
		  mt_render_bytes(b, sizeof(b), p->new->memstats.alloc, unit, 14),
		  mt_diff_format_change(c, sizeof(c), &none, rss ? rss->median : 0, unit, 14),
		  p->rebased ? " *" : "");
}

static void write_total(struct mt_writer *w, const struct mt_diff *d, bool rebased,
			enum mt_unit unit)
{
	char a[48], b[48], c[48];

	mt_writef(w, "%-*s %14s %14s %14s%s\n", NAME_CELLS,
		  d->n_came || d->n_went ? "All, that came and went too" : "All",
		  mt_diff_format_change(a, sizeof(a), &d->alloc, d->alloc.change, unit, 14),
		  mt_render_bytes(b, sizeof(b), d->alloc.new, unit, 14),
		  mt_diff_format_change(c, sizeof(c), &d->rss, d->rss.change, unit, 14),
		  rebased ? " *" : "");
}

/* All that changed; those in which no level did are counted. */
static void write_list(struct mt_writer *w, const struct mt_diff *d, const struct mt_render_opts *o)
{
	char head[160];
	size_t still = 0;
	bool rebased = false;

	snprintf(head, sizeof(head), "%-*s %14s %14s %14s", NAME_CELLS, "Process", "Alloc: change",
		 "new", "rss: change");
	mt_render_heading(w, o, head);
	for (size_t i = 0; i < d->n; i++) {
		rebased = rebased || d->v[i].rebased;
		if (level_of(&d->v[i]) || mt_diff_find_row(&d->v[i], "rss"))
			write_list_row(w, &d->v[i], o->unit);
		else
			still++;
	}
	if (still)
		mt_writef(w, "%zu %s: Alloc and rss did not change\n", still,
			  still == 1 ? "process" : "processes");
	if (d->repetitions == 1)
		write_total(w, d, rebased, o->unit);
	if (rebased)
		mt_write_str(w, "* Alloc counts from elsewhere in new than in old: no growth\n");
}

static void write_process(struct mt_writer *w, const struct mt_diff *d,
			  const struct mt_diff_process *p, const struct mt_render_opts *o)
{
	write_header(w, p, o);
	write_rows(w, p, d->what, o);
	write_classes(w, &p->heap, "Size <=", o);
	write_classes(w, &p->native, "C, size <=", o);
}

/* Of many those in which something happened, or that have something to say. */
static void write_processes(struct mt_writer *w, const struct mt_diff *d, bool list,
			    const struct mt_render_opts *o)
{
	size_t shown = 0, more = 0;

	for (size_t i = 0; i < d->n; i++) {
		const struct mt_diff_process *p = &d->v[i];

		if (list && !p->n_rows && !p->n_notes)
			continue;
		if (shown == DETAILS) {
			more++;
			continue;
		}
		mt_write_str(w, list ? "\n" : "");
		write_process(w, d, p, o);
		shown++;
	}
	if (more)
		mt_writef(w, "\nthe rows of %zu more processes are in -f json\n", more);
}

static void table(struct mt_writer *w, const struct mt_diff *d, const struct mt_render_opts *o)
{
	const bool list = d->n > 1 || d->n_came || d->n_went;

	for (size_t i = 0; i < d->n_notes; i++)
		write_wrapped(w, "NOTE: ", d->notes[i]);
	if (d->n_notes)
		mt_write_str(w, "\n");
	if (list)
		write_list(w, d, o);
	write_others(w, d->came, d->n_came, "Came", o);
	write_others(w, d->went, d->n_went, "Went", o);
	write_processes(w, d, list, o);
	if (!d->n && !list)
		mt_write_str(w, "no process in either\n");
}

const struct mt_render_diff_ops mt_render_diff_table = {.name = "table", .diff = table};
