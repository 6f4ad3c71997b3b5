/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * top_tool [--no-color] SYNC: the live view in the terminal, fed with made-up
 * snapshots that are always the same, so that screens can be compared. Keys go
 * to the view, but for these: '.' is a second later, ',' 200 seconds, '0' no
 * process, '!' a crash. Into the file SYNC goes how many keys were handled and drawn.
 */
#include <fcntl.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "model/sizeclass.h"
#include "tui/screen.h"
#include "tui/tui.h"

#define START_NS UINT64_C(1700000000000000000)
#define MIB      UINT64_C(1048576)

struct made {
	pid_t pid, ppid;
	const char *comm, *allocator, *container;
	uint64_t size, live; /* blocks of that size that live at the start */
	int64_t step;        /* how many more each second */
	uint64_t churn;      /* blocks of 64 bytes allocated and freed each second */
	enum mt_since since;
	uint64_t lost;
	unsigned int from, to; /* the seconds in which it is there */
};

static const struct made all[] = {
	{100, 1, "init-like", "glibc 2.36", "", 56, 1000, 0, 10, MT_SINCE_CENSUS, 0, 0, 0},
	{210, 100, "server", "jemalloc", "", 4096, 20000, 50, 100000, MT_SINCE_CENSUS, 0, 0, 0},
	{211, 210, "worker", "jemalloc", "", 1024, 9000, -7, 2500, MT_SINCE_CENSUS, 0, 0, 0},
	{212, 210, "worker", "jemalloc", "", 1024, 8000, 0, 2000, MT_SINCE_CENSUS, 3, 0, 0},
	{330, 100,
	 "\346\227\245\346\234\254\350\252\236\343\202\265\343\203\274\343\203\220\343\203\274"
	 "\346\227\245\346\234\254",
	 "musl", "0123456789ab", 240, 70000, 1, 1, MT_SINCE_ATTACH, 0, 0, 0},
	{331, 330, "\033[2J\xff\302\233bad", "mimalloc", "0123456789ab", 32, 100, 0, 0,
	 MT_SINCE_CENSUS, 0, 0, 0},
	{1234567, 331, "caf\303\251 e\314\201", "tcmalloc", "", UINT64_C(3000000), 700, 0, 0,
	 MT_SINCE_CENSUS, 0, 0, 0},
	{4000, 1, "short", "glibc 2.36", "", 100, 10, 0, 7, MT_SINCE_START, 0, 202, 204},
};

static void flow(struct mt_snapshot *s, uint64_t size, uint64_t mallocs, uint64_t frees)
{
	struct mt_class_counts *c = &s->flows.cls[mt_class_of(size)];

	c->mallocs += mallocs;
	c->frees += frees;
	c->alloc_bytes += mallocs * size;
	c->free_bytes += frees * size;
}

static void make(struct mt_snapshot *s, const struct made *m, unsigned int second)
{
	uint64_t more = m->step > 0 ? (uint64_t)m->step * second : 0;
	uint64_t less = m->step < 0 ? (uint64_t)-m->step * second : 0;

	memset(s, 0, sizeof(*s));
	s->time_ns = START_NS + second * UINT64_C(1000000000);
	s->uptime_ns = (second + 1) * UINT64_C(1000000000);
	s->final = m->to && second == m->to;
	s->pid = m->pid;
	s->ppid = m->ppid;
	s->start_time = (uint64_t)m->pid;
	snprintf(s->comm, sizeof(s->comm), "%s", m->comm);
	snprintf(s->allocator, sizeof(s->allocator), "%s", m->allocator);
	snprintf(s->container, sizeof(s->container), "%s", m->container);
	snprintf(s->runtime, sizeof(s->runtime), "native");
	s->mode = "exact";
	s->sizes = "usable";
	s->since = m->since;
	s->flows.failed_reads = m->lost;
	flow(s, m->size, m->live + more, less);
	flow(s, 64, m->churn * second + 5, m->churn * second);
	s->vm.known = true;
	s->vm.data = m->live * m->size + m->size * more + MIB;
	s->vm.stack = 132 * 1024;
	s->vm.heap_sys = m->live * m->size + m->size * more;
	s->vm.heap_resident = s->vm.heap_sys;
	s->vm.rss = s->vm.heap_sys + 3 * MIB;
	s->tracer.cpu_ns = second * UINT64_C(3000000);
	s->tracer.rss = 5 * MIB;
	if (m->since == MT_SINCE_ATTACH) {
		s->census.baseline = MT_BASELINE_UNKNOWN;
		snprintf(s->census.why, sizeof(s->census.why), "its threads would not hold still");
	}
	mt_snapshot_derive(s);
}

static bool none; /* no process is there */

static void put_round(struct mt_tui *t, unsigned int second)
{
	struct mt_snapshot *s = malloc(sizeof(*s));

	mt_tui_begin(t);
	for (size_t i = 0; s && !none && i < sizeof(all) / sizeof(all[0]); i++) {
		if (second < all[i].from || (all[i].to && second > all[i].to))
			continue;
		make(s, &all[i], second);
		mt_tui_put(t, s);
	}
	mt_tui_end(t);
	free(s);
}

static void draw(struct mt_screen *screen, struct mt_tui *t, bool anew)
{
	struct mt_page page;
	int rows, cols;

	mt_screen_size(screen, &rows, &cols);
	if (mt_page_init(&page, rows, cols, mt_screen_utf8(screen)))
		return;
	mt_tui_paint(t, &page);
	mt_screen_show(screen, &page, anew);
	mt_page_fini(&page);
}

static void crash(void)
{
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	raise(SIGSEGV);
}

/* False: the view wants to end. */
static bool handle(struct mt_tui *t, uint32_t key, unsigned int *second)
{
	switch (key) {
	case '.':
	case ',':
		for (unsigned int i = key == '.' ? 1 : 200; i > 0; i--)
			put_round(t, ++*second);
		return true;
	case '0':
		none = true;
		put_round(t, ++*second);
		return true;
	case '!':
		crash();
		return true;
	default:
		break;
	}
	switch (mt_tui_key(t, key)) {
	case MT_TUI_QUIT:
		return false;
	case MT_TUI_SAVE:
		mt_tui_say(t, "saved to a file");
		return true;
	default:
		return true;
	}
}

static void tell(int fd, unsigned int keys)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%u\n", keys);

	if (pwrite(fd, text, (size_t)n, 0) != n)
		exit(1);
}

static void run(struct mt_screen *screen, struct mt_tui *t, int sync)
{
	unsigned int second = 0, keys = 0;
	bool more = true;

	put_round(t, second);
	draw(screen, t, false);
	tell(sync, keys);
	while (more) {
		struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
		uint32_t key;

		/* a signal that tells of another size ends it, too */
		poll(&in, 1, -1);
		while (more && (key = mt_screen_key(screen)) != MT_KEY_NONE) {
			more = handle(t, key, &second);
			keys++;
		}
		draw(screen, t, false);
		tell(sync, keys);
	}
}

static void log_to_stderr(enum mt_log_level level, const char *msg)
{
	(void)level;
	fprintf(stderr, "top_tool: %s\n", msg);
}

int main(int argc, char **argv)
{
	const struct mt_tui_opts opts = {.interval_ns = MT_SECOND_NS};
	bool color = argc < 3 || strcmp(argv[1], "--no-color") != 0;
	struct mt_screen *screen = NULL;
	struct mt_tui *t = NULL;
	int sync;

	mt_log_set_sink(log_to_stderr);
	setlocale(LC_CTYPE, "");
	if (argc < 2)
		return 2;
	sync = open(argv[argc - 1], O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (sync < 0 || mt_tui_new(&opts, &t) || mt_screen_open(color, &screen))
		return 1;
	run(screen, t, sync);
	mt_screen_close(&screen);
	mt_tui_free(&t);
	close(sync);
	return 0;
}
