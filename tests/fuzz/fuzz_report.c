/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A report of snapshots that are made of the input, in any order and of any
 * numbers. Its data must be JSON, end no script and keep to the bounds.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "input.h"
#include "report/internal.h"

static void fill_names(struct mt_snapshot *s, struct input *in)
{
	name(in, s->comm, sizeof(s->comm), 16);
	name(in, s->exe, sizeof(s->exe), 16);
	name(in, s->host, sizeof(s->host), 16);
	name(in, s->label, sizeof(s->label), 16);
	name(in, s->event, sizeof(s->event), 16);
	name(in, s->runtime, sizeof(s->runtime), 16);
	name(in, s->container, sizeof(s->container), 16);
}

static void fill_go(struct mt_snapshot *s, struct input *in)
{
	s->gc.present = true;
	s->gc.pauses = (uint32_t)number(in);
	s->memstats.num_gc = (uint32_t)number(in);
	s->memstats.gc_cpu_fraction = (double)number(in) / (double)byte(in);
	s->memstats.pause_ns[byte(in)] = number(in);
	s->memstats.pause_end[byte(in)] = number(in);
	s->native.present = byte(in) % 2;
	s->native.sizes = "usable";
	s->native.memstats.alloc = number(in);
}

static void fill(struct mt_snapshot *s, struct input *in)
{
	const uint8_t what = byte(in);
	struct mt_class_counts *c = &s->flows.cls[byte(in) % MT_CLASSES];

	s->mode = "exact";
	s->sizes = "usable";
	s->time_ns = number(in);
	s->uptime_ns = number(in);
	s->seq = number(in);
	s->pid = byte(in);
	s->since = what % 3;
	s->final = what & 4;
	s->memstats.alloc = number(in);
	s->memstats.total_alloc = number(in);
	s->memstats.mallocs = number(in);
	s->memstats.sys = number(in);
	s->vm.rss = number(in);
	*c = (struct mt_class_counts){number(in), number(in), number(in), number(in)};
	s->flows.failed_reads = number(in);
	if (what & 8)
		fill_names(s, in);
	if (what & 16)
		fill_go(s, in);
	if (what & 32)
		s->processes = number(in);
}

static void check(const struct mt_writer *w)
{
	const char *data = strstr(w->buf, "id=\"data\">") + strlen("id=\"data\">");
	const char *end = strstr(data, "</script>");
	json_t *j = json_loadb(data, (size_t)(end - data), JSON_DECODE_INT_AS_REAL, NULL);

	if (!j || memchr(data, '<', (size_t)(end - data)) ||
	    strncmp(end, mt_report_tail, strlen(mt_report_tail)) != 0)
		abort();
	json_decref(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	_cleanup_free_ struct mt_snapshot *s = malloc(sizeof(*s));
	MT_CLEANUP(mt_report_free) struct mt_report *r = NULL;
	_cleanup_writer_ struct mt_writer w = {0};

	if (!s || mt_report_new(&r) || mt_report_file(r, "a"))
		abort();
	while (in.left) {
		const uint8_t times = byte(&in);

		memset(s, 0, sizeof(*s));
		fill(s, &in);
		/* many of them, so that there is something to thin */
		for (unsigned int i = 0; i <= (times & 31 ? 0 : times * 4u); i++) {
			if (mt_report_add(r, s) || r->n_points > ALL_POINTS)
				abort();
			s->seq += 1;
			s->memstats.alloc ^= i * 977;
		}
		if (times == 1 && mt_report_file(r, s->comm))
			abort();
	}
	if (!mt_report_write(r, &w))
		check(&w);
	return 0;
}
