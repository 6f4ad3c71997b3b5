/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What was written as JSON is read, and written again to the same bytes. */
#include "saved/saved.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "model/field.h"
#include "model/sizeclass.h"
#include "render/render.h"
#include "saved/internal.h"

#define TRIALS 300

static uint64_t seed = UINT64_C(88172645463325252);

static uint64_t random64(void)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return seed * UINT64_C(2685821657736338717);
}

/* Of any length, and at the limits of numbers often. */
static uint64_t any_number(void)
{
	static const uint64_t limits[] = {0,          1,
					  INT64_MAX,  (uint64_t)INT64_MAX + 1,
					  UINT64_MAX, UINT64_MAX - 1,
					  UINT32_MAX, (uint64_t)UINT32_MAX + 1};

	return random64() % 4 ? random64() >> (random64() % 64) : limits[random64() % 8];
}

/* Of a length that fits; bytes that are no UTF-8, and what has a meaning in JSON. */
static void any_name(char *buf, size_t size)
{
	static const char *const bits[] = {
		"a",    "\"",   "\\",           "\xff",    "\xc3\xa4", "\n",
		"</x>", "\x01", "\xef\xbf\xbd", "\\u0000", "\xe2\x80", "18446744073709551615",
		"{",    ","};
	size_t room = random64() % size;

	*buf = '\0';
	for (int i = 0; i < 3000; i++) {
		const char *bit = bits[random64() % (sizeof(bits) / sizeof(bits[0]))];

		if (strlen(buf) + strlen(bit) > room)
			break;
		strcat(buf, bit);
	}
}

static void any_words(void *to, size_t size)
{
	for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
		const uint64_t v = any_number();

		memcpy((char *)to + at, &v, sizeof(v));
	}
}

static void any_memstats(struct memtrace_memstats *m, const struct mt_class_counts *cls)
{
	static const double doubles[] = {0, -0.0, 1e-9, 0.25, 1e20, 1e300, 123456789, -3.5};

	any_words(m, offsetof(struct memtrace_memstats, num_gc));
	m->num_gc = (uint32_t)any_number();
	m->num_forced_gc = (uint32_t)any_number();
	m->gc_cpu_fraction = random64() % 9 ? doubles[random64() % 8] : (double)NAN;
	m->enable_gc = random64() % 2;
	m->debug_gc = random64() % 2;
	for (unsigned int i = 0; i < MT_BYSIZE; i++) {
		m->by_size[i].size = (uint32_t)mt_class_size(i);
		m->by_size[i].mallocs = cls[i].mallocs;
		m->by_size[i].frees = cls[i].frees;
	}
}

static void any_classes(struct mt_class_counts *cls, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (random64() % 2)
			any_words(&cls[i], sizeof(cls[i]));
}

static void any_census(struct mt_census *c, struct mt_heap_arena *arenas, size_t n)
{
	c->baseline = (enum mt_baseline)(random64() % 3);
	if (c->baseline == MT_BASELINE_NONE)
		return;
	c->time_ns = any_number();
	c->stop_ns = any_number();
	c->held_ns = any_number();
	c->walk_ns = any_number();
	c->attempts = (unsigned int)any_number();
	c->threads = (unsigned int)any_number();
	c->held = (unsigned int)any_number();
	if (c->baseline == MT_BASELINE_UNKNOWN) {
		any_name(c->why, sizeof(c->why));
		return;
	}
	any_words(&c->heap.objects,
		  offsetof(struct mt_heap, arenas) - offsetof(struct mt_heap, objects));
	any_words(arenas, n * sizeof(*arenas));
	c->heap.arenas = arenas;
	c->heap.n_arenas = n;
}

static void any_audit(struct mt_audit *a)
{
	a->done = (enum mt_baseline)(random64() % 3);
	if (a->done == MT_BASELINE_UNKNOWN)
		any_name(a->why, sizeof(a->why));
	if (a->done == MT_BASELINE_CENSUS)
		any_words(&a->objects, sizeof(*a) - offsetof(struct mt_audit, objects));
}

static void any_vm(struct mt_snapshot *s)
{
	any_words(&s->vm, offsetof(struct mt_vm, known));
	if (s->processes && !s->cgroup[0])
		s->vm.cgroup_current = 0;
	s->parts_age_ns = any_number();
	s->vm_source = (enum mt_vm_source)(random64() % 3);
	any_words(s->flows.vm, sizeof(s->flows.vm));
}

static void any_gc(struct mt_snapshot *s)
{
	s->gc.missed = any_number();
	s->gc.present = random64() % 2;
	if (!s->gc.present)
		return;
	s->gc.consistent = random64() % 2;
	s->gc.stop_ns = any_number();
	s->gc.pauses = (uint32_t)(random64() % 257);
	any_name(s->gc.why, sizeof(s->gc.why));
	s->native.present = random64() % 2;
	if (!s->native.present)
		return;
	s->native.since = (enum mt_since)(random64() % 3);
	s->native.sizes = random64() % 2 ? "usable" : "requested";
	any_name(s->native.allocator, sizeof(s->native.allocator));
	any_classes(s->native.cls, MT_CLASSES);
	any_memstats(&s->native.memstats, s->native.cls);
}

static void any_who(struct mt_snapshot *s)
{
	s->time_ns = any_number();
	s->uptime_ns = any_number();
	s->seq = any_number();
	s->final = random64() % 2;
	any_name(s->event, sizeof(s->event));
	any_name(s->label, sizeof(s->label));
	any_name(s->host, sizeof(s->host));
	s->processes = random64() % 2 ? 0 : any_number();
	s->pid = (pid_t)any_number();
	s->start_time = any_number();
	any_name(s->comm, sizeof(s->comm));
	any_name(s->exe, sizeof(s->exe));
	any_name(s->cgroup, sizeof(s->cgroup));
	any_name(s->container, sizeof(s->container));
	any_name(s->runtime, sizeof(s->runtime));
	snprintf(s->runtimes, sizeof(s->runtimes), "go1.23, native, %s",
		 random64() % 2 ? "\xff" : "");
	snprintf(s->allocator, sizeof(s->allocator), "%s",
		 random64() % 2 ? "glibc 2.36, \xff, , x" : "musl");
	s->mode = random64() % 4 ? "exact" : NULL;
	s->sizes = random64() % 4 ? "usable" : NULL;
	s->since = (enum mt_since)(random64() % 3);
}

static void any_snapshot(struct mt_snapshot *s, struct mt_heap_arena *arenas, size_t n)
{
	memset(s, 0, sizeof(*s));
	any_who(s);
	any_classes(s->flows.cls, MT_CLASSES);
	any_classes(&s->unsized, 1);
	any_memstats(&s->memstats, s->flows.cls);
	any_words(&s->flows.failed, 2 * sizeof(uint64_t));
	any_words(&s->flows.failed_reads, 7 * sizeof(uint64_t));
	any_vm(s);
	any_gc(s);
	if (!s->gc.present || s->native.present)
		any_census(&s->census, arenas, n);
	any_audit(&s->audit);
	any_words(&s->tracer, sizeof(s->tracer));
}

static void render(struct mt_writer *w, const struct mt_snapshot *s)
{
	const struct mt_render_opts o = {0};

	mt_render_json.snapshots(w, &s, 1, &o);
	assert_int_equal(w->err, 0);
}

static struct mt_snapshot *parse(const char *text, size_t len)
{
	struct mt_snapshot *s = NULL;
	char why[256] = "";

	if (mt_saved_parse(text, len, &s, why, sizeof(why)))
		fail_msg("%s", why);
	return s;
}

static void same_again(const char *text, size_t len)
{
	_cleanup_free_ struct mt_snapshot *s = parse(text, len);
	_cleanup_writer_ struct mt_writer w = {0};

	render(&w, s);
	for (size_t i = 0; i < len && i < w.len; i++)
		if (w.buf[i] != text[i])
			fail_msg("differs at %zu: %.80s, was %.80s", i,
				 w.buf + (i > 40 ? i - 40 : 0), text + (i > 40 ? i - 40 : 0));
	assert_int_equal(w.len, len + 1); /* and the newline */
}

static char *read_golden(const char *name)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[256], *line = NULL;
	size_t cap = 0;

	snprintf(path, sizeof(path), "tests/golden/%s", name);
	f = fopen(path, "r");
	if (!f || getline(&line, &cap, f) < 0)
		fail_msg("%s is missing; the tests run from the top of the tree", path);
	line[strcspn(line, "\n")] = '\0';
	return line;
}

static const char *const goldens[] = {"json.ndjson",       "hostile.ndjson", "go.ndjson",
				      "go-hostile.ndjson", "cgo.ndjson",     "total.ndjson",
				      "go-total.ndjson"};

static void golden_files(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(goldens) / sizeof(goldens[0]); i++) {
		_cleanup_free_ char *line = read_golden(goldens[i]);

		same_again(line, strlen(line));
	}
}

static void anything(void **state)
{
	static struct mt_snapshot s; /* large for a stack frame */
	struct mt_heap_arena arenas[5];

	(void)state;
	for (int i = 0; i < TRIALS; i++) {
		_cleanup_writer_ struct mt_writer w = {0};

		any_snapshot(&s, arenas, random64() % 6);
		render(&w, &s);
		same_again(w.buf, w.len - 1);
	}
}

static void values(void **state)
{
	_cleanup_free_ char *line = read_golden("cgo.ndjson"),
			    *hostile = read_golden("hostile.ndjson");
	_cleanup_free_ struct mt_snapshot *s = parse(line, strlen(line));
	_cleanup_free_ struct mt_snapshot *h = parse(hostile, strlen(hostile));

	(void)state;
	assert_true(s->gc.present && s->native.present);
	assert_int_equal(s->census.baseline, MT_BASELINE_CENSUS);
	assert_int_equal(s->census.threads, 7);
	assert_true(mt_snapshot_net_bytes(s) == (int64_t)s->memstats.alloc);
	assert_true(mt_classes_net_bytes(s->native.cls) == (int64_t)s->native.memstats.alloc);
	assert_true(h->flows.cls[0].mallocs == UINT64_MAX);
	assert_true(mt_snapshot_lost(h) == UINT64_MAX);
	assert_int_equal(h->cgroup[0], '\xfe' | 1); /* any byte that is no UTF-8 */
	assert_int_equal(strlen(h->cgroup), 1023);
	assert_string_equal(h->label, "</script>\n\033[2J");
}

/* The line with the first from replaced by to, or without the key "from". */
static char *edit(const char *line, const char *from, const char *to)
{
	const char *at = strstr(line, from);
	char *ret;

	if (!at)
		fail_msg("no %s", from);
	if (asprintf(&ret, "%.*s%s%s", (int)(at - line), line, to, at + strlen(from)) < 0)
		fail();
	return ret;
}

static void refused_len(const char *text, size_t len, int want, const char *because)
{
	struct mt_snapshot *s = NULL;
	char why[256] = "";
	int r = mt_saved_parse(text, len, &s, why, sizeof(why));

	if (r != want || !strstr(why, because))
		fail_msg("%d, %s; expected %d, %s", r, why, want, because);
	assert_null(s);
	for (size_t i = 0; why[i]; i++)
		assert_true(why[i] >= ' ' && why[i] <= '~');
}

static void refused(const char *line, const char *from, const char *to, const char *because)
{
	_cleanup_free_ char *text = edit(line, from, to);

	refused_len(text, strlen(text), -EINVAL, because);
}

static void damaged(void **state)
{
	_cleanup_free_ char *line = read_golden("go.ndjson"), *c = read_golden("json.ndjson");
	_cleanup_free_ char *cgo = read_golden("cgo.ndjson");

	(void)state;
	refused(line, "\"memtrace/1\"", "\"memtrace/2\"", "a newer memtrace wrote it");
	refused(line, "\"memtrace/1\"", "\"other\"", "is \"other\", not \"memtrace/1\"");
	refused(line, "\"memtrace/1\"", "\"\\u001b[2J\"", "is \"\\x1B[2J\", not");
	refused(line, "\"schema\":\"memtrace/1\",", "", "it has no \"schema\"");
	refused(line, "\"seq\":", "\"sec\":", "the key \"seq\" is missing");
	refused(line, "\"pid\":", "\"pit\":", "the key \"pid\" is missing");
	refused(line, "\"HeapAlloc\":", "\"a\":", "the key \"memstats.HeapAlloc\" is missing");
	refused(line, "\"rss\":", "\"ress\":", "the key \"vm.rss\" is missing");
	refused(line, "\"Sys\":", "\"Sys\":-1,\"x\":", "\"memstats.Sys\" is no whole number");
	refused(line, "\"Sys\":", "\"Sys\":1.5,\"x\":", "\"memstats.Sys\" is no whole number");
	refused(line, "\"Sys\":", "\"Sys\":18446744073709551616,\"x\":", "\"memstats.Sys\" is no");
	refused(line, "\"Sys\":", "\"Sys\":\"1\",\"x\":", "\"memstats.Sys\" is no whole number");
	refused(line, "\"NumGC\":", "\"NumGC\":4294967296,\"x\":", "is above 2^32 - 1");
	refused(line, "\"comm\":", "\"comm\":18446744073709551615,\"x\":", "\"comm\" is no text");
	refused(line, "\"comm\":", "\"comm\":null,\"x\":", "\"comm\" is null");
	refused(line, "\"comm\":", "\"comm\":\"a\\u0000b\",\"x\":", "holds a NUL");
	refused(line, "\"comm\":\"",
		"\"comm\":\""
		"0123456789012345678901234567890123456789"
		"0123456789012345678901234567890123456789",
		"\"comm\" is longer than 63 bytes");
	refused(line, "\"comm\":", "\"pid\":1,\"comm\":", "a key is there twice");
	refused(line, "\"since\":\"start\"", "\"since\":\"ever\"", "\"since\" has a value");
	refused(line, "\"time\":\"20", "\"time\":\"x20", "\"time\" is no time");
	refused(c, "\"net\":{\"Objects\":", "\"net\":{\"Objects\":9223372036854775808,\"x\":",
		"\"net.Objects\" is no");
	refused(c, "\"net\":{\"Objects\":", "\"net\":{\"o\":", "\"net.Objects\" is missing");
	refused(c, "\"Size\":131072,", "\"Size\":131071,", "is that of no class");
	refused(cgo, "\"arenas\":[", "\"arenas\":[{\"address\":\"12\"}", "is no address");
	refused(cgo, "\"baseline\":\"census\"", "\"baseline\":\"x\"",
		"\"heap.baseline\" has a value");
	refused_len("", 0, -ENODATA, "it ends in the middle");
	refused_len("\"memtrace/1\"", 12, -EINVAL, "no JSON at column 12");
	refused_len("[]", 2, -EINVAL, "makes lines of an array");
	refused_len("{}x", 3, -EINVAL, "no JSON at column 3");
	refused_len("{\"a\":18446744073709551615}x", 27, -EINVAL, "no JSON at column 27");
	refused_len("{\"schema\":\"memtrace/1\0\"}", 24, -EINVAL, "no JSON at column");
	refused_len("{\"a\":\"\xff\"}", 9, -EINVAL, "no JSON at column");
}

static void foreign(void **state)
{
	static const struct {
		const char *text, *because;
	} kinds[] = {
		{"\x1f\x8b\x08\x01", "it is compressed: zcat"},
		{"\x1f\x8b\x08\"\x01", "it is compressed: zcat"},
		{"(\xb5/\xfd", "it is compressed: zstdcat"},
		{"\x7f"
		 "ELF",
		 "it is a program"},
		{"{\"Alloc\":1,\"BySize\":[]}", "it is MemStats alone"},
		{"{\"schema\":\"memtrace-census/1\"}", "it is a census"},
		{"{\"schema\":\"memtrace-diff/1\"}", "it is the output of memtrace diff"},
		{"# HELP memtrace_lost_total x", "it is OpenMetrics"},
		{"Alloc = 1 MiB\tTotalAlloc = 2 MiB", "it is the line format"},
		{"\xef\xbb\xbf{}", "a byte order mark"},
		{"\xff\xfe{", "it is UTF-16"},
		{"<!DOCTYPE html>", "it is HTML"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		refused_len(kinds[i].text, strlen(kinds[i].text), -EINVAL, kinds[i].because);
	refused_len("{", 1, -ENODATA, "each snapshot is to be one line");
}

/* What older versions did not write, and what newer ones may write beside it. */
static void other_versions(void **state)
{
	static const char *const newer[] = {
		"\"event\":",        "\"label\":",  "\"host\":",           "\"final\":",
		"\"runtimes\":",     "\"native\":", "\"failed_storage\":", "\"gc_pauses\":",
		"\"parts_age_ns\":", "\"prog_ns\":"};
	_cleanup_free_ char *line = read_golden("json.ndjson");

	(void)state;
	for (size_t i = 0; i < sizeof(newer) / sizeof(newer[0]); i++) {
		_cleanup_free_ char *without = edit(line, newer[i], "\"\\ufffd unknown\":");

		free(parse(without, strlen(without)));
	}
}

/* Wherever a line is cut, that is what is said of it. */
static void cut(void **state)
{
	_cleanup_free_ char *line = read_golden("json.ndjson");
	struct mt_snapshot *s;
	char why[256];

	(void)state;
	for (size_t len = 1; len < strlen(line); len += 1 + len / 20)
		refused_len(line, len, -ENODATA, "it ends in the middle, at column");
	/* what is behind its MemStats already is no reason to take it for nothing else */
	mt_saved_parse(line, strlen(line) - 1, &s, why, sizeof(why));
	assert_null(strstr(why, "MemStats"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_files), cmocka_unit_test(anything),
		cmocka_unit_test(values),       cmocka_unit_test(damaged),
		cmocka_unit_test(foreign),      cmocka_unit_test(other_versions),
		cmocka_unit_test(cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
