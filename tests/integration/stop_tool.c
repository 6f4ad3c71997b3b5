/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * stop_tool PID N [OPTION...]: holds a process N times and says what came of it,
 * a line of JSON for each. OPTIONs:
 *
 *   --for NS        holds it so long
 *   --gap NS        waits so long before each
 *   --deadline NS   for each attempt; default 250 ms
 *   --flags FILE    the target is flagged: looks whether anybody is inside
 *   --die           kills itself in the first hold
 *   --kill          kills the target in the first hold
 *   --wait          says "held" in the first hold and goes on after a line
 *   --no-zone       knows nothing of where malloc is
 *   --anywhere      holds threads wherever they are
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "../targets/flagged.h"
#include "alloc/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "census/stop.h"
#include "census/walker.h"
#include "sys/procfs.h"

struct options {
	pid_t pid;
	long n;
	uint64_t for_ns, gap_ns, deadline_ns;
	const char *flags;
	bool die, kill, wait, no_zone, anywhere;
};

struct tool {
	struct options o;
	struct mt_stop_zone zone;
	uint64_t exe_lo, exe_hi; /* the target program's own text */
	const struct flag *flags;
	char why[MT_WHY_SIZE];
};

static void log_to_stderr(enum mt_log_level level, const char *msg)
{
	if (level <= MT_LOG_WARN)
		fprintf(stderr, "stop_tool: %s\n", msg);
}

static void nap(uint64_t ns)
{
	struct timespec t = {(time_t)(ns / MT_SECOND_NS), (long)(ns % MT_SECOND_NS)};

	if (ns)
		nanosleep(&t, NULL);
}

static void spread(uint64_t *lo, uint64_t *hi, const struct mt_mapping *m)
{
	if (!*hi || m->start < *lo)
		*lo = m->start;
	if (m->end > *hi)
		*hi = m->end;
}

/* Link-time addresses become the target's by where the file's text is mapped. */
static int find_bias(const struct mt_alloc_found *found, const struct mt_mapping *text,
		     uint64_t *bias)
{
	struct mt_elf *elf = NULL;
	struct mt_sym sym;
	int r = mt_elf_open(found->open_path, &elf);

	if (!r)
		r = mt_elf_find_func(elf, "malloc", &sym);
	mt_elf_free(&elf);
	if (!r)
		*bias = text->start - text->offset + sym.offset - sym.addr;
	return r;
}

static int find_zone(struct tool *t, const struct mt_maps *maps, const struct mt_alloc_found *found)
{
	struct mt_stop_zone *z = &t->zone;
	const struct mt_mapping *text = NULL;
	uint64_t bias;
	int r;

	for (size_t i = 0; i < maps->n; i++) {
		const struct mt_mapping *m = &maps->v[i];

		if (strcmp(m->path, found->path) != 0)
			continue;
		if (m->exec) {
			text = m;
			spread(&z->file_lo, &z->file_hi, m);
		} else if (m->write) {
			spread(&z->data_lo, &z->data_hi, m);
		}
	}
	r = text ? find_bias(found, text, &bias) : -ENOENT;
	if (r)
		return r;
	z->text[0] = (struct mt_stop_range){found->text_lo + bias, found->text_hi + bias};
	z->n_text = 1;
	return 0;
}

static int look_around(struct tool *t)
{
	struct mt_alloc_found *found = NULL;
	struct mt_maps *maps = NULL;
	char exe[4096];
	int r = mt_maps_read(t->o.pid, &maps);

	if (!r)
		r = mt_proc_exe(t->o.pid, exe, sizeof(exe));
	if (!r && !t->o.no_zone)
		r = mt_alloc_detect(t->o.pid, maps, &found);
	if (!r && found)
		r = find_zone(t, maps, found);
	for (size_t i = 0; !r && i < maps->n; i++)
		if (maps->v[i].exec && !strcmp(maps->v[i].path, exe))
			spread(&t->exe_lo, &t->exe_hi, &maps->v[i]);
	mt_maps_free(&maps);
	mt_alloc_found_free(&found);
	return r;
}

static int map_flags(struct tool *t)
{
	_cleanup_close_ int fd = -1;
	void *p;

	if (!t->o.flags)
		return 0;
	fd = open(t->o.flags, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	p = mmap(NULL, FLAGS * sizeof(struct flag), PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	t->flags = p;
	return 0;
}

/* Where a thread stands that cannot run: the last word of its line. 0: unknown. */
static uint64_t pc_of(pid_t pid, pid_t tid)
{
	_cleanup_free_ char *text = NULL;
	const char *last;
	char name[64];

	snprintf(name, sizeof(name), "task/%d/syscall", (int)tid);
	if (mt_proc_read(pid, name, &text, NULL))
		return 0;
	last = strrchr(text, ' ');
	return last ? strtoull(last + 1, NULL, 16) : 0;
}

struct seen {
	unsigned int up;     /* threads with the flag up */
	unsigned int inside; /* of these, not in their program's text */
	unsigned int over;   /* of these, in a handler on top of it */
	uint64_t rounds;
};

static struct seen look_at_flags(const struct tool *t)
{
	struct seen seen = {0};

	for (int i = 0; t->flags && i < FLAGS - 1; i++) {
		const struct flag *f = &t->flags[i];
		uint64_t pc;

		if (!f->tid)
			continue;
		seen.rounds += f->rounds;
		if (!f->up)
			continue;
		seen.up++;
		seen.over += f->over != 0;
		pc = pc_of(t->o.pid, f->tid);
		seen.inside += pc < t->exe_lo || pc >= t->exe_hi;
	}
	return seen;
}

static void act(struct tool *t)
{
	char c;

	if (t->o.die)
		raise(SIGKILL);
	if (t->o.kill)
		kill(t->o.pid, SIGKILL);
	if (t->o.wait) {
		puts("held");
		fflush(stdout);
		while (read(STDIN_FILENO, &c, 1) == 1 && c != '\n')
			;
	}
	t->o.die = t->o.kill = t->o.wait = false;
}

static void hold_once(struct tool *t, struct mt_stop *s)
{
	uint64_t start = mt_clock_ns(CLOCK_MONOTONIC), begun;
	unsigned int threads = 0, held = 0;
	struct seen before = {0}, after = {0};
	int check = 0, r;

	t->why[0] = '\0';
	r = mt_stop_begin(s, start + t->o.deadline_ns, t->why);
	begun = mt_clock_ns(CLOCK_MONOTONIC) - start;
	if (!r) {
		mt_stop_threads(s, &threads, &held);
		before = look_at_flags(t);
		act(t);
		nap(t->o.for_ns);
		after = look_at_flags(t);
		check = mt_stop_check(s, t->why);
		mt_stop_end(s);
	}
	printf("{\"result\": %d, \"check\": %d, \"ns\": %" PRIu64 ", \"begin_ns\": %" PRIu64
	       ", \"threads\": %u, \"held\": %u, \"up\": %u, \"inside\": %u, \"over\": %u, "
	       "\"ran\": %" PRIu64 ", \"why\": \"%s\"}\n",
	       r, check, mt_stop_ns(s), begun, threads, held, before.up, before.inside, before.over,
	       after.rounds - before.rounds, t->why);
	fflush(stdout);
}

static void option(struct options *o, char **argv, int *i)
{
	const char *a = argv[*i];

	o->die |= !strcmp(a, "--die");
	o->kill |= !strcmp(a, "--kill");
	o->wait |= !strcmp(a, "--wait");
	o->anywhere |= !strcmp(a, "--anywhere");
	o->no_zone |= !strcmp(a, "--no-zone");
	if (!argv[*i + 1])
		return;
	if (!strcmp(a, "--for"))
		o->for_ns = strtoull(argv[++*i], NULL, 10);
	else if (!strcmp(a, "--gap"))
		o->gap_ns = strtoull(argv[++*i], NULL, 10);
	else if (!strcmp(a, "--deadline"))
		o->deadline_ns = strtoull(argv[++*i], NULL, 10);
	else if (!strcmp(a, "--flags"))
		o->flags = argv[++*i];
}

int main(int argc, char **argv)
{
	struct tool t = {.o = {.deadline_ns = 250000000}};
	struct mt_stop *s = NULL;
	int r;

	mt_log_set_sink(log_to_stderr);
	if (argc < 3)
		return 2;
	t.o.pid = atoi(argv[1]);
	t.o.n = atol(argv[2]);
	for (int i = 3; i < argc; i++)
		option(&t.o, argv, &i);
	r = look_around(&t);
	t.zone.anywhere = t.o.anywhere;
	if (!r)
		r = map_flags(&t);
	if (!r)
		r = mt_stop_new(t.o.pid, &t.zone, t.why, &s);
	if (r) {
		printf("{\"result\": %d, \"why\": \"%s\"}\n", r, t.why);
		return 1;
	}
	for (long i = 0; i < t.o.n; i++) {
		nap(t.o.gap_ns);
		hold_once(&t, s);
	}
	mt_stop_free(&s);
	return 0;
}
