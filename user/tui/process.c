/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One process: who it is, its last minutes, its MemStats, its size classes. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/field.h"
#include "model/sizeclass.h"
#include "tui/number.h"
#include "tui/view.h"

#define GRAPH_ROWS 4
#define FIELD_COLS 40 /* of one field in the table */
#define CLASS_BAR  40 /* the column where the bars begin */
#define HEAD_ROWS  3
#define LABEL_SIZE 24
#define ROWS_MAX   (HEAD_ROWS + GRAPH_ROWS + 2 + 64 + MT_CLASSES + 8)

static const char *const since_texts[] = {
	[MT_SINCE_START] = "levels since its start",
	[MT_SINCE_CENSUS] = "levels since its start, by a census",
	[MT_SINCE_ATTACH] = "levels since the attach only",
};

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
	if (t->store.based && !of->base)
		mt_page_text(p, y + 1, x, p->cols - x, MT_STYLE_MORE, "; new since the base");
	if (!of->why[0])
		return y + 2;
	mt_page_printf(p, y + 2, 0, p->cols, MT_STYLE_WARN, "no census: %s", of->why);
	return y + 3;
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

static void paint_field(const struct mt_tui *t, const struct mt_process *of, struct mt_page *p,
			int y, int x, size_t i)
{
	const struct mt_field *f = &mt_fields[i];
	uint64_t now = of->now->values[i], base = of->base ? of->base->values[i] : 0;
	bool diff = t->store.based && f->type != MT_FIELD_BOOL && f->unit != MT_FIELD_TIME;
	int64_t v = diff ? mt_difference(now, base) : mt_signed(now);
	enum mt_style style = !diff || !v ? MT_STYLE_PLAIN : v > 0 ? MT_STYLE_MORE : MT_STYLE_LESS;
	char text[MT_NUMBER_SIZE];

	mt_page_text(p, y, x, 14, MT_STYLE_PLAIN, f->name);
	if (f->type == MT_FIELD_BOOL)
		snprintf(text, sizeof(text), "%s", now ? "true" : "false");
	else if (f->type == MT_FIELD_DOUBLE)
		snprintf(text, sizeof(text), diff && v ? "%+.6f" : "%.6f", (double)v / 1e6);
	else
		snprintf(text, sizeof(text), diff && v ? "%+" PRId64 : "%" PRId64, v);
	mt_page_right(p, y, x + 13, 16, style, text);
	if (f->unit == MT_FIELD_BYTES)
		mt_page_right(p, y, x + 29, 8, MT_STYLE_DIM, mt_number_bytes(text, v, diff));
}

/* Column by column, as many as there is room for. */
static int paint_fields(const struct mt_tui *t, const struct mt_process *of, struct mt_page *p,
			int y)
{
	int across = p->cols / FIELD_COLS > 0 ? p->cols / FIELD_COLS : 1;
	int down = ((int)mt_fields_count + across - 1) / across;

	mt_page_style(p, y, 0, p->cols, MT_STYLE_HEAD);
	mt_page_text(p, y++, 0, p->cols, MT_STYLE_HEAD,
		     t->store.based ? "MemStats, differences from the base" : "MemStats");
	for (int i = 0; i < (int)mt_fields_count; i++)
		paint_field(t, of, p, y + i % down, i / down * FIELD_COLS, (size_t)i);
	return y + down;
}

struct class_level {
	unsigned int class;
	int64_t objects, bytes;
};

static struct class_level class_level(const struct mt_tui *t, const struct mt_process *of,
				      unsigned int i)
{
	const struct mt_class_counts *c = &of->now->flows.cls[i];
	const struct mt_class_counts *b = of->base ? &of->base->flows.cls[i] : NULL;
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

static void class_label(char *buf, unsigned int i)
{
	if (i < MT_CLASSES - 1)
		snprintf(buf, LABEL_SIZE, "%" PRIu64, mt_class_size(i));
	else
		snprintf(buf, LABEL_SIZE, ">2^%d", MT_LARGE_MIN_SHIFT + MT_LARGE - 2);
}

static int compare_bytes(const void *a, const void *b)
{
	const struct class_level *l = a, *m = b;
	double x = size_of(l->bytes), y = size_of(m->bytes);

	return x > y ? -1 : x < y ? 1 : l->class < m->class ? -1 : l->class > m->class;
}

/* Those that have blocks, or with a base differ from it; their number. */
static size_t list_classes(const struct mt_tui *t, const struct mt_process *of,
			   struct class_level v[MT_CLASSES])
{
	size_t n = 0;

	for (unsigned int i = 0; i < MT_CLASSES; i++) {
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
	struct class_level v[MT_CLASSES];
	size_t n = list_classes(t, of, v);
	double max = 0;

	for (size_t i = 0; i < n; i++)
		max = size_of(v[i].bytes) > max ? size_of(v[i].bytes) : max;
	mt_page_style(p, y, 0, p->cols, MT_STYLE_HEAD);
	mt_page_printf(p, y++, 0, p->cols, MT_STYLE_HEAD, "%14s %11s %11s  %s",
		       "Size <=", "Objects", "Bytes",
		       t->by_bytes ? "b: by size" : "b: the largest first");
	for (size_t i = 0; i < n; i++, y++) {
		class_label(label, v[i].class);
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
	made->rows = paint_classes(t, of, made, y);
	return 0;
}
