/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The live view under snapshots, keys and screen sizes that are made of the
 * input. What is painted must have no character that acts on a terminal, and
 * each wide one both its halves.
 */
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "base/utf8.h"
#include "input.h"
#include "tui/tui.h"

static void put_go(struct mt_snapshot *s, struct input *in)
{
	struct memtrace_memstats m = {
		.alloc = number(in),
		.total_alloc = number(in),
		.mallocs = number(in),
		.sys = number(in),
		.next_gc = number(in),
		.last_gc = number(in),
		.num_gc = (uint32_t)number(in),
		.gc_cpu_fraction = (double)number(in),
	};
	struct mt_class_counts cls[MT_CLASSES] = {0}, unsized = {number(in), number(in), 0, 0};

	m.pause_ns[(m.num_gc + 255) % 256] = number(in);
	mt_snapshot_set_go(s, &m, cls, &unsized, byte(in) & 1);
	name(in, s->runtime, sizeof(s->runtime), SIZE_MAX);
	s->gc.consistent = byte(in) & 1;
	name(in, s->gc.why, sizeof(s->gc.why), SIZE_MAX);
}

static void put(struct mt_tui *t, struct input *in)
{
	struct mt_snapshot *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	s->pid = byte(in) % 16;
	s->ppid = byte(in) % 16;
	s->start_time = byte(in) % 4;
	s->uptime_ns = number(in);
	s->time_ns = number(in);
	name(in, s->comm, sizeof(s->comm), SIZE_MAX);
	name(in, s->container, sizeof(s->container), SIZE_MAX);
	name(in, s->allocator, sizeof(s->allocator), SIZE_MAX);
	s->since = byte(in) % 3;
	s->final = byte(in) & 1;
	s->vm.known = byte(in) & 1;
	s->vm.data = number(in);
	s->vm.rss = number(in);
	s->tracer.cpu_ns = number(in);
	for (int i = byte(in) % 4; i > 0; i--) {
		struct mt_class_counts *c = &s->flows.cls[byte(in) % MT_CLASSES];

		c->mallocs = number(in);
		c->frees = number(in);
		c->alloc_bytes = number(in);
		c->free_bytes = number(in);
	}
	s->flows.failed_reads = number(in);
	mt_snapshot_derive(s);
	if (byte(in) & 1)
		put_go(s, in);
	mt_tui_put(t, s);
	free(s);
}

static void check(const struct mt_page *p)
{
	for (int y = 0; y < p->rows; y++) {
		for (int x = 0; x < p->cols; x++) {
			const struct mt_cell *c = mt_page_at(p, y, x);
			bool half = x + 1 < p->cols && !c[1].ch;
			int width = wcwidth((wchar_t)c->ch);

			if (!c->ch || mt_utf8_is_control(c->ch) || c->style >= MT_STYLES)
				abort();
			if (width != 1 + half || (c->ch >= 0x80 && !p->utf8))
				abort();
			x += half;
		}
	}
}

static void paint(struct mt_tui *t, struct input *in)
{
	struct mt_page p;
	int rows = byte(in) % 64, cols = byte(in);

	if (mt_page_init(&p, rows, cols, byte(in) & 1))
		abort();
	mt_tui_paint(t, &p);
	check(&p);
	mt_page_fini(&p);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return setlocale(LC_CTYPE, "C.UTF-8") ? 0 : 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	const struct mt_tui_opts opts = {.interval_ns = number(&in)};
	struct mt_tui *t;

	if (mt_tui_new(&opts, &t))
		abort();
	for (int steps = 0; in.left && steps < 200; steps++) {
		switch (byte(&in) % 4) {
		case 0:
			mt_tui_begin(t);
			for (int i = byte(&in) % 8; i > 0; i--)
				put(t, &in);
			mt_tui_end(t);
			break;
		case 1:
			paint(t, &in);
			break;
		case 2:
			mt_tui_key(t, MT_KEY_UP + byte(&in) % 24);
			break;
		default:
			mt_tui_key(t, byte(&in));
		}
	}
	paint(t, &in);
	mt_tui_free(&t);
	return 0;
}
