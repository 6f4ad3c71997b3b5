/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Snapshots made by hand, and what is on a page as text. */
#ifndef MT_TESTS_TUI_MADE_H
#define MT_TESTS_TUI_MADE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "model/sizeclass.h"
#include "tui/page.h"
#include "tui/store.h"
#include "tui/tui.h"

#define SECOND UINT64_C(1000000000)

/* A process at a second of the trace that has `blocks` live blocks of 100 bytes and freed none. */
static inline struct mt_snapshot *made(pid_t pid, pid_t ppid, const char *comm, uint64_t second,
				       uint64_t blocks)
{
	static struct mt_snapshot s;
	struct mt_class_counts *c;

	memset(&s, 0, sizeof(s));
	s.time_ns = second * SECOND;
	s.uptime_ns = second * SECOND;
	s.pid = pid;
	s.ppid = ppid;
	s.start_time = (uint64_t)pid;
	snprintf(s.comm, sizeof(s.comm), "%s", comm);
	s.since = MT_SINCE_CENSUS;
	c = &s.flows.cls[mt_class_of(100)];
	c->mallocs = blocks;
	c->alloc_bytes = 100 * blocks;
	s.vm.known = true;
	s.vm.data = 1 << 20;
	s.vm.rss = 4096 * (uint64_t)pid;
	mt_snapshot_derive(&s);
	return &s;
}

/*
 * The same as a Go program that has run 9 collections: of the blocks some are Go's
 * large ones, and with c C has as many blocks of 100 bytes.
 */
static inline struct mt_snapshot *made_go(pid_t pid, uint64_t second, uint64_t blocks, bool c)
{
	static struct memtrace_memstats m;
	static struct mt_class_counts cls[MT_CLASSES], unsized;
	struct mt_snapshot *s = made(pid, 0, "gopher", second, blocks);

	unsized = (struct mt_class_counts){blocks + 3, 3, 50000 * (blocks + 3), 150000};
	m = (struct memtrace_memstats){
		.alloc = 50000 * blocks,
		.total_alloc = 50000 * (blocks + 3),
		.mallocs = blocks + 3,
		.frees = 3,
		.heap_objects = blocks,
		.sys = 7 << 20,
		.next_gc = 4 << 20,
		.last_gc = 11 * SECOND,
		.num_gc = 9,
		.num_forced_gc = 2,
	};
	m.pause_ns[8] = 31200;
	snprintf(s->allocator, sizeof(s->allocator), "glibc 2.36");
	mt_snapshot_set_go(s, &m, cls, &unsized, c);
	snprintf(s->runtime, sizeof(s->runtime), "go1.23.1");
	s->gc.consistent = true;
	return s;
}

/* A row of the page without the blanks at its end; static. UTF-8 of what is below U+10000. */
static inline const char *row(const struct mt_page *p, int y)
{
	static char buf[4 * MT_PAGE_MAX + 1];
	size_t n = 0;

	for (int x = 0; x < p->cols; x++) {
		uint32_t c = mt_page_at(p, y, x)->ch;

		if (c >= 0x800) {
			buf[n++] = (char)(0xe0 | c >> 12);
			buf[n++] = (char)(0x80 | (c >> 6 & 0x3f));
			buf[n++] = (char)(0x80 | (c & 0x3f));
		} else if (c >= 0x80) {
			buf[n++] = (char)(0xc0 | c >> 6);
			buf[n++] = (char)(0x80 | (c & 0x3f));
		} else if (c) {
			buf[n++] = (char)c;
		}
	}
	while (n && buf[n - 1] == ' ')
		n--;
	buf[n] = '\0';
	return buf;
}

/* The first row with that text, or -1. */
static inline int row_with(const struct mt_page *p, const char *text)
{
	for (int y = 0; y < p->rows; y++)
		if (strstr(row(p, y), text))
			return y;
	return -1;
}

#endif
