/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One process: who it is, its last minutes, its MemStats, its size classes. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/field.h"
#include "render/render.h"
#include "tui/number.h"
#include "tui/view.h"

#define GRAPH_ROWS 4
#define FIELD_COLS 40 /* of one field in the table */
#define FIELDS_MAX 64
#define CLASS_BAR  40 /* the column where the bars begin */
#define HEAD_ROWS  5
#define LABEL_SIZE 24
#define ROWS_MAX   (HEAD_ROWS + GRAPH_ROWS + 2 + 64 + MT_CLASSES + 8 + 64)

static const char *const since_texts[] = {
	[MT_SINCE_START] = "levels since its start",
	[MT_SINCE_CENSUS] = "levels since its start, by a census",
	[MT_SINCE_ATTACH] = "levels since the attach only",
};

/* Nothing where the runtime has none. */
static int paint_collector(const struct mt_process *of, struct mt_page *p, int y)
{
	const struct mt_collector *gc = &of->gc;
	char time[MT_TIME_SIZE], pause[MT_DURATION_SIZE], next[MT_NUMBER_SIZE];
	int x;

	if (!gc->how.present)
		return y;
	x = mt_page_printf(p, y, 0, p->cols, MT_STYLE_PLAIN,
			   "NumGC %" PRIu32 ", %" PRIu32 " forced", gc->num_gc, gc->num_forced);
	mt_format_time(time, sizeof(time), gc->last_ns);
	mt_format_duration(pause, sizeof(pause), gc->last_pause_ns);
	if (gc->last_ns)
		x += mt_page_printf(p, y, x, p->cols - x, MT_STYLE_PLAIN, "; last %.8sZ, paused %s",
				    time + 11, pause);
	if (mt_render_has_next(gc->next))
		mt_page_printf(p, y, x, p->cols - x, MT_STYLE_PLAIN, "; next at a heap of %s",
			       mt_number_bytes(next, mt_signed(gc->next), false));
	if (gc->how.consistent)
		return y + 1;
	mt_page_printf(p, y + 1, 0, p->cols, MT_STYLE_WARN, "approximate: %s", gc->how.why);
	return y + 2;
}

static int paint_head(const struct mt_tui *t, const struct mt_process *of, struct mt_page *p, int y)
{
	uint64_t lost = of->now->lost;
	char rss[MT_NUMBER_SIZE], swap[MT_NUMBER_SIZE];
	int x = mt_page_text(p, y, 0, p->cols, MT_STYLE_BOLD, of->comm);

	x += mt_page_printf(p, y, x, p->cols - x, MT_STYLE_BOLD, "[%d]", of->pid);
	x += mt_page_printf(p, y, x, p->cols - x, MT_STYLE_PLAIN, "  %s, %s, parent %d",
			    of->runtime, of->allocator[0] ? of->allocator : "no allocator known",
			    of->ppid);
	if (of->container[0])
		x += mt_page_printf(p, y, x, p->cols - x, MT_STYLE_PLAIN, ", container %s",
				    of->container);
	if (of->final)
		mt_page_text(p, y, x, p->cols - x, MT_STYLE_WARN, "  ended");
	mt_number_bytes(rss, mt_signed(of->now->vm.rss), false);
	mt_number_bytes(swap, mt_signed(of->now->vm.swap), false);
	x = mt_page_printf(p, y + 1, 0, p->cols, MT_STYLE_PLAIN, "resident %s, swapped %s; %s, ",
			   rss, swap, since_texts[of->since]);
	if (lost)
		x += mt_page_printf(p, y + 1, x, p->cols - x, MT_STYLE_WARN, "LOST %" PRIu64, lost);
	else
		x += mt_page_text(p, y + 1, x, p->cols - x, MT_STYLE_PLAIN, "nothing lost");
	if (of->gc.how.present && of->gc.how.consistent)
		x += mt_page_text(p, y + 1, x, p->cols - x, MT_STYLE_PLAIN, ", consistent");
	if (t->store.based && !of->base)
		mt_page_text(p, y + 1, x, p->cols - x, MT_STYLE_MORE, "; new since the base");
	y = paint_collector(of, p, y + 2);
	if (!of->why[0])
		return y;
	mt_page_printf(p, y, 0, p->cols, MT_STYLE_WARN, "no census: %s", of->why);
	return y + 1;
}

static void paint_one_graph(const struct mt_tui *t, const struct mt_process *of, struct mt_page *p,
			    int y, int x, int w, bool sys)
{
	const struct mt_history *h = &of->history;
	char now[MT_NUMBER_SIZE], high[MT_NUMBER_SIZE], span[MT_NUMBER_SIZE];
	uint64_t max = 0, first = h->n ? mt_history_at(h, 0)->time_ns : 0;

	for (unsigned int i = 0; i < h->n; i++) {
		const struct mt_point *at = mt_history_at(h, i);
		uint64_t v = sys ? at->sys : at->alloc;

		max = v > max ? v : max;
	}
	mt_page_printf(p, y, x, w, MT_STYLE_BOLD, "%s %s, highest %s in %s", sys ? "Sys" : "Alloc",
		       mt_number_bytes(now, mt_signed(sys ? of->now->sys : of->now->alloc), false),
		       mt_number_bytes(high, mt_signed(max), false),
		       mt_number_time(span, of->now->uptime_ns - first));
	mt_view_paint_graph(p, y + 1, x, GRAPH_ROWS, w, h, t->store.step_ns, sys);
}

static int paint_graphs(const struct mt_tui *t, const struct mt_process *of, struct mt_page *p,
			int y)
{
	int w = (p->cols - 2) / 2;

	paint_one_graph(t, of, p, y, 0, w, false);
	paint_one_graph(t, of, p, y, p->cols - w, w, true);
	return y + 1 + GRAPH_ROWS;
}

/* A field, and where its value stands in a moment. */
struct field_place {
	size_t field, value;
};

static void paint_field(const struct mt_tui *t, const struct mt_process *of, struct mt_page *p,
			int y, int x, const struct field_place *at)
{
	const struct mt_field *f = &mt_fields[at->field];
	uint64_t now = of->now->values[at->value];
	uint64_t base = of->base ? of->base->values[at->value] : 0;
	bool diff = t->store.based && f->type != MT_FIELD_BOOL && f->unit != MT_FIELD_TIME;
	int64_t v = diff ? mt_difference(now, base) : mt_signed(now);
	enum mt_style style = !diff || !v ? MT_STYLE_PLAIN : v > 0 ? MT_STYLE_MORE : MT_STYLE_LESS;
	char text[MT_NUMBER_SIZE];

	mt_page_text(p, y, x, 14, MT_STYLE_PLAIN, f->name);
	if (f->type == MT_FIELD_BOOL)
		snprintf(text, sizeof(text), "%s", now ? "true" : "false");
	else if (f->type == MT_FIELD_DOUBLE)
		snprintf(text, sizeof(text), diff && v ? "%+.6f" : "%.6f", (double)v / 1e6);
	else if (diff)
		snprintf(text, sizeof(text), v ? "%+" PRId64 : "%" PRId64, v);
	else
		snprintf(text, sizeof(text), "%" PRIu64, now);
	mt_page_right(p, y, x + 13, 16, style, text);
	if (f->unit == MT_FIELD_BYTES)
		mt_page_right(p, y, x + 29, 8, MT_STYLE_DIM, mt_number_bytes(text, v, diff));
}

/* Column by column, as many as there is room for. */
static int paint_table(const struct mt_tui *t, const struct mt_process *of, struct mt_page *p,
		       int y, const struct field_place *v, int n)
{
	int across = p->cols / FIELD_COLS > 0 ? p->cols / FIELD_COLS : 1;
	int down = (n + across - 1) / across;

	for (int i = 0; i < n; i++)
		paint_field(t, of, p, y + i % down, i / down * FIELD_COLS, &v[i]);
	return y + down;
}

static int paint_fields(const struct mt_tui *t, const struct mt_process *of, struct mt_page *p,
			int y)
{
	struct field_place v[FIELDS_MAX];
	int n = 0;

	mt_page_style(p, y, 0, p->cols, MT_STYLE_HEAD);
	mt_page_text(p, y++, 0, p->cols, MT_STYLE_HEAD,
		     t->store.based ? "MemStats, differences from the base" : "MemStats");
	for (size_t i = 0; i < mt_fields_count && n < FIELDS_MAX; i++)
		v[n++] = (struct field_place){i, i};
	return paint_table(t, of, p, y, v, n);
}

/* The C memory of a Go program: what of MemStats says something of a heap alone. */
static int paint_native(struct mt_tui *t, const struct mt_process *of, struct mt_page *p, int y)
{
	struct field_place v[FIELDS_MAX];
	int n = 0;

	if (!of->native.present)
		return y;
	t->sections[t->n_sections++] = y;
	mt_page_style(p, y, 0, p->cols, MT_STYLE_HEAD);
	mt_page_printf(p, y++, 0, p->cols, MT_STYLE_HEAD,
		       "C memory (%s), not in the numbers above%s", of->native.allocator,
		       of->native.since == MT_SINCE_ATTACH ? "; since the attach only" : "");
	for (size_t i = 0; i < mt_fields_count && n < FIELDS_MAX; i++)
		if (mt_fields[i].of_heap)
			v[n++] = (struct field_place){i, mt_fields_count + i};
	return paint_table(t, of, p, y, v, n);
}

#define LEVELS (MT_CLASSES + 1) /* the last is that of blocks in no class */

struct class_level {
	unsigned int class;
	int64_t objects, bytes;
};

static const struct mt_class_counts *counts_of(const struct mt_store_moment *m, unsigned int class)
{
	return class < MT_CLASSES ? &m->flows.cls[class] : &m->unsized;
}

static struct class_level class_level(const struct mt_tui *t, const struct mt_process *of,
				      unsigned int i)
{
	const struct mt_class_counts *c = counts_of(of->now, i);
	const struct mt_class_counts *b = of->base ? counts_of(of->base, i) : NULL;
	uint64_t objects = mt_level(mt_class_net_objects(c));
	uint64_t bytes = mt_level(mt_class_net_bytes(c));

	if (!t->store.based)
		return (struct class_level){i, mt_signed(objects), mt_signed(bytes)};
	return (struct class_level){
		i,
		mt_difference(objects, b ? mt_level(mt_class_net_objects(b)) : 0),
		mt_difference(bytes, b ? mt_level(mt_class_net_bytes(b)) : 0),
	};
}

static double size_of(int64_t v)
{
	return v < 0 ? -(double)v : (double)v;
}

/* In eighths of a column: left blocks run from U+2588, a whole one, to U+258F. */
static void paint_bar(struct mt_page *p, int y, int64_t bytes, double max)
{
	enum mt_style style = bytes < 0 ? MT_STYLE_LESS : MT_STYLE_BAR;
	int room = p->cols - CLASS_BAR - 1, left;

	if (!bytes || room < 1 || max <= 0)
		return;
	left = (int)(size_of(bytes) / max * room * 8 + 0.5);
	left = left < 1 ? 1 : left;
	for (int i = 0; i < room && left > 0; i++, left -= 8)
		mt_page_char(p, y, CLASS_BAR + i, style,
			     0x2588 + (left < 8 ? 8 - (uint32_t)left : 0), bytes < 0 ? '-' : '#');
}

static int compare_bytes(const void *a, const void *b)
{
	const struct class_level *l = a, *m = b;
	double x = size_of(l->bytes), y = size_of(m->bytes);

	return x > y ? -1 : x < y ? 1 : l->class < m->class ? -1 : l->class > m->class;
}

/* Those that have blocks, or with a base differ from it; their number. */
static size_t list_classes(const struct mt_tui *t, const struct mt_process *of,
			   struct class_level v[LEVELS])
{
	size_t n = 0;

	for (unsigned int i = 0; i < LEVELS; i++) {
		v[n] = class_level(t, of, i);
		n += v[n].objects || v[n].bytes;
	}
	if (t->by_bytes)
		qsort(v, n, sizeof(*v), compare_bytes);
	return n;
}

static int paint_classes(const struct mt_tui *t, const struct mt_process *of, struct mt_page *p,
			 int y)
{
	char label[LABEL_SIZE], number[MT_NUMBER_SIZE];
	struct class_level v[LEVELS];
	size_t n = list_classes(t, of, v);
	double max = 0;

	for (size_t i = 0; i < n; i++)
		max = size_of(v[i].bytes) > max ? size_of(v[i].bytes) : max;
	mt_page_style(p, y, 0, p->cols, MT_STYLE_HEAD);
	mt_page_printf(p, y++, 0, p->cols, MT_STYLE_HEAD, "%14s %11s %11s  %s",
		       "Size <=", "Objects", "Bytes",
		       t->by_bytes ? "b: by size" : "b: the largest first");
	for (size_t i = 0; i < n; i++, y++) {
		mt_render_class_label(label, sizeof(label), v[i].class);
		mt_page_right(p, y, 0, 14, MT_STYLE_PLAIN, label);
		mt_page_right(p, y, 15, 11, MT_STYLE_PLAIN,
			      mt_number_count(number, v[i].objects, t->store.based));
		mt_page_right(p, y, 27, 11, MT_STYLE_PLAIN,
			      mt_number_bytes(number, v[i].bytes, t->store.based));
		paint_bar(p, y, v[i].bytes, max);
	}
	if (!n)
		mt_page_text(p, y++, 1, p->cols - 1, MT_STYLE_DIM,
			     t->store.based ? "no class differs" : "no live block");
	return y;
}

int mt_view_make_process(struct mt_tui *t, const struct mt_process *of, struct mt_page *made,
			 int cols, bool utf8)
{
	int r = mt_page_init(made, ROWS_MAX, cols, utf8), y;

	if (r)
		return r;
	t->n_sections = 0;
	y = paint_head(t, of, made, 0);
	t->sections[t->n_sections++] = y;
	y = paint_graphs(t, of, made, y);
	t->sections[t->n_sections++] = y;
	y = paint_fields(t, of, made, y);
	t->sections[t->n_sections++] = y;
	y = paint_classes(t, of, made, y);
	made->rows = paint_native(t, of, made, y);
	return 0;
}
