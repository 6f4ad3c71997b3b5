/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The formats of a difference against their golden files. */
#include "render/diff.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "golden.h"
#include "model/sizeclass.h"

#define REPETITIONS 12

static void flow(struct mt_class_counts *cls, uint64_t size, uint64_t mallocs, uint64_t frees)
{
	struct mt_class_counts *c = &cls[mt_class_of(size)];

	c->mallocs += mallocs;
	c->frees += frees;
	c->alloc_bytes += size * mallocs;
	c->free_bytes += size * frees;
}

/* What a server might look like after so many requests. */
static struct mt_snapshot *server(uint64_t requests)
{
	struct mt_snapshot *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	*s = (struct mt_snapshot){
		.time_ns = UINT64_C(1767323045000000006) + requests * 1500000000,
		.uptime_ns = UINT64_C(1000000000) + requests * 1500000000,
		.seq = requests,
		.pid = 4242,
		.start_time = 987654321,
		.host = "node1",
		.comm = "server",
		.exe = "/usr/bin/server",
		.cgroup = "/system.slice/server.service",
		.runtime = "native",
		.allocator = "glibc 2.36",
		.mode = "exact",
		.sizes = "usable",
		.since = MT_SINCE_CENSUS,
		.vm_source = MT_VM_TRACEPOINT,
	};
	s->vm = (struct mt_vm){
		.data = (14 << 20) + requests * 132 * 1024,
		.stack = 135168,
		.heap_sys = (13 << 20) + requests * 132 * 1024,
		.heap_resident = 12 << 20,
		.stack_sys = 135168,
		.stack_resident = 20480,
		.rss = (15 << 20) + requests * 8192,
		.pss = 13 << 20,
		.shared = 2 << 20,
		.known = true,
		.detail = true,
	};
	flow(s->flows.cls, 24, 1000 + 70 * requests, 100 + 70 * requests);
	flow(s->flows.cls, 1032, 300 + 14 * requests, 10 * requests);
	flow(s->flows.cls, 65544, 200 + requests, 150 + requests);
	s->flows.vm[MT_VM_BRK] = (struct mt_vm_flow){.calls = 40 + requests, .bytes = 5 << 20};
	mt_snapshot_derive(s);
	return s;
}

static struct mt_snapshot *go_server(uint64_t requests)
{
	struct mt_snapshot *s = server(requests);
	struct mt_class_counts cls[MT_CLASSES] = {{0}}, unsized = {requests, 0, requests << 16, 0};
	struct memtrace_memstats m = {.alloc = requests << 16,
				      .heap_alloc = requests << 16,
				      .mallocs = requests,
				      .heap_objects = requests,
				      .sys = 70 << 20,
				      .next_gc = UINT64_MAX,
				      .num_gc = (uint32_t)requests,
				      .last_gc = requests ? s->time_ns - 5 : 0,
				      .pause_total_ns = 31000 * requests,
				      .gc_cpu_fraction = 0.0001 * (double)requests,
				      .enable_gc = requests > 0};

	mt_snapshot_set_go(s, &m, cls, &unsized, true);
	snprintf(s->runtime, sizeof(s->runtime), "go1.23.1");
	s->gc.consistent = !requests;
	snprintf(s->gc.why, sizeof(s->gc.why), "it was collecting");
	return s;
}

/* Moments for the compared, which are freed with it. */
struct compared {
	struct mt_moment m[2 * REPETITIONS];
	struct mt_diff *d;
};

static void compared_fini(struct compared *c)
{
	mt_diff_free(&c->d);
	for (size_t i = 0; i < 2 * REPETITIONS; i++)
		mt_moment_fini(&c->m[i]);
}

#define _cleanup_compared_ __attribute__((cleanup(compared_fini)))

static void put(struct mt_moment *m, struct mt_snapshot *s)
{
	assert_int_equal(mt_moment_add(m, &s), 0);
}

static void diff(struct compared *c, size_t repetitions, const char *what)
{
	assert_int_equal(mt_diff_new(c->m, repetitions, what, &c->d), 0);
}

static void render(struct mt_writer *w, const char *format, const struct mt_diff *d,
		   enum mt_unit unit, bool color)
{
	const struct mt_render_opts o = {.unit = unit, .color = color};
	const struct mt_render_diff_ops *ops = mt_render_diff_find(format);

	assert_non_null(ops);
	ops->diff(w, d, &o);
	assert_int_equal(w->err, 0);
}

/* All formats as golden files, and each unit within 80 columns. */
static void all_formats(const char *name, const struct mt_diff *d)
{
	static const char *const ends[] = {"table.txt", "line.txt", "json.json"};

	for (size_t i = 0; mt_render_diff_all[i]; i++) {
		_cleanup_writer_ struct mt_writer w = {0};
		char path[64];

		render(&w, mt_render_diff_all[i]->name, d, MT_UNIT_AUTO, false);
		snprintf(path, sizeof(path), "diff-%s-%s", name, ends[i]);
		compare(path, &w);
		check_harmless(&w);
	}
	for (int unit = MT_UNIT_AUTO; unit <= MT_UNIT_GIB; unit++) {
		_cleanup_writer_ struct mt_writer w = {0};

		render(&w, "table", d, (enum mt_unit)unit, unit % 2);
		check_widths(w.buf);
		assert_int_equal(unit % 2, strchr(w.buf, '\033') != NULL);
	}
}

static json_t *as_json(const struct mt_diff *d)
{
	_cleanup_writer_ struct mt_writer w = {0};
	json_t *root;

	render(&w, "json", d, MT_UNIT_AUTO, false);
	root = json_loadb(w.buf, w.len, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(root);
	assert_string_equal(text(root, "schema"), "memtrace-diff/1");
	return root;
}

static void formats(void **state)
{
	(void)state;
	assert_string_equal(mt_render_diff_all[0]->name, "table");
	assert_null(mt_render_diff_find("tab"));
	assert_ptr_equal(mt_render_diff_find("json"), &mt_render_diff_json);
}

static void one_pair(void **state)
{
	_cleanup_compared_ struct compared c = {0};
	json_t *root, *p;

	(void)state;
	put(&c.m[0], server(0));
	put(&c.m[1], server(40));
	strcpy(c.m[0].v[0]->label, "before the deploy");
	strcpy(c.m[1].v[0]->label, "after it");
	c.m[1].v[0]->final = true;
	diff(&c, 1, NULL);
	all_formats("one", c.d);
	root = as_json(c.d);
	p = json_array_get(at(root, "processes"), 0);
	assert_int_equal(number(p, "rows.Alloc.change"), 40 * 4 * 1032);
	assert_int_equal(number(p, "rows.Mallocs.change"), 40 * 85);
	assert_int_equal(number(p, "rows.rss.change"), 40 * 8192);
	assert_null(at(p, "rows.pss"));
	assert_null(at(p, "rows.Alloc.median"));
	assert_true(json_is_null(at(p, "leak")));
	json_decref(root);
}

static void repeated(void **state)
{
	_cleanup_compared_ struct compared c = {0};
	json_t *root, *p;

	(void)state;
	for (uint64_t i = 0; i < REPETITIONS; i++) {
		put(&c.m[2 * i], server(i));
		put(&c.m[2 * i + 1], server(i + 1));
	}
	diff(&c, REPETITIONS, "request");
	all_formats("repeated", c.d);
	root = as_json(c.d);
	p = json_array_get(at(root, "processes"), 0);
	assert_string_equal(text(p, "leak.verdict"), "grows");
	assert_int_equal(number(p, "leak.bytes"), 4 * 1032);
	assert_int_equal(number(p, "leak.grew"), REPETITIONS);
	assert_string_equal(text(p, "leak.text"),
			    "grows 4.0 KiB per request (12 of 12 repetitions)");
	json_decref(root);
}

static void of_go(void **state)
{
	_cleanup_compared_ struct compared c = {0};
	json_t *root, *p;

	(void)state;
	put(&c.m[0], go_server(0));
	put(&c.m[1], go_server(3));
	diff(&c, 1, NULL);
	all_formats("go", c.d);
	root = as_json(c.d);
	p = json_array_get(at(root, "processes"), 0);
	assert_true(json_is_true(at(p, "rows.EnableGC.new")));
	assert_non_null(json_object_get(at(p, "rows"), "native.Alloc"));
	assert_true(json_real_value(at(p, "rows.GCCPUFraction.new")) == 0.0003);
	assert_int_equal(json_array_size(at(p, "notes")), 1);
	assert_int_equal(json_array_size(at(p, "native.classes")), 3);
	json_decref(root);
}

/* Names as a target could choose them, and numbers at their limits. */
static void make_hostile(struct mt_snapshot *s, bool new)
{
	strcpy(s->comm, "\033[2J\xff\"\\}\n</script>\xc2\x9b\t\xf0\x9f\x98\x80");
	strcpy(s->exe, new ? "/tmp/\033]0;owned\007/\xe2\x80\xaexe\r\n" : "/x");
	strcpy(s->allocator, new ? "glibc \033[31m" : "a\nb");
	strcpy(s->runtime, new ? "\033[31m" : "native");
	strcpy(s->label, new ? "</script>\n\033[2J" : "\r");
	strcpy(s->event, "SIG\"\xff");
	strcpy(s->host, new ? "no\nde" : "\033");
	s->since = new ? MT_SINCE_ATTACH : MT_SINCE_START;
	s->flows.unreturned = UINT64_MAX;
	for (int i = 0; i < MT_CLASSES; i += 5) {
		s->flows.cls[i].alloc_bytes = new == (i % 2) ? UINT64_MAX : 0;
		s->flows.cls[i].free_bytes = new == (i % 2) ? 0 : UINT64_MAX;
		s->flows.cls[i].mallocs = new ? UINT64_MAX : 7;
		s->flows.cls[i].frees = new ? 5 : UINT64_MAX;
	}
	memset(&s->memstats, new ? 0xff : 0, offsetof(struct memtrace_memstats, num_gc));
	s->memstats.gc_cpu_fraction = new ? -1e300 : 1e300;
	memset(&s->vm, new ? 0 : 0xff, offsetof(struct mt_vm, known));
	s->gc.present = true;
	strcpy(s->gc.why, "\033[2J\n");
}

static void hostile(void **state)
{
	_cleanup_compared_ struct compared c = {0};

	(void)state;
	for (int i = 0; i < 2; i++) {
		put(&c.m[i], server(0));
		make_hostile(c.m[i].v[0], i);
	}
	diff(&c, 1, "re\nquest\033");
	assert_int_equal(mt_diff_note(c.d, "%s", "\033[2Jfile\n"), 0);
	all_formats("hostile", c.d);
}

static struct mt_snapshot *of(pid_t pid, const char *comm, uint64_t requests)
{
	struct mt_snapshot *s = server(requests);

	s->pid = pid;
	snprintf(s->comm, sizeof(s->comm), "%s", comm);
	return s;
}

static void several(void **state)
{
	_cleanup_compared_ struct compared c = {0};
	json_t *root;

	(void)state;
	put(&c.m[0], of(30, "grows", 0));
	put(&c.m[0], of(10, "still", 7));
	put(&c.m[0], of(20, "shrinks", 50));
	put(&c.m[0], of(40, "went", 7));
	put(&c.m[1], of(20, "shrinks", 0));
	put(&c.m[1], of(5, "a name that is wider than its column", 7));
	put(&c.m[1], of(30, "grows", 90));
	put(&c.m[1], of(10, "still", 7));
	c.m[1].v[3]->flows.map_full = 3;
	put(&c.m[0], of(50, "counted anew", 1));
	put(&c.m[1], of(50, "counted anew", 400));
	c.m[0].v[4]->since = MT_SINCE_ATTACH;
	diff(&c, 1, NULL);
	assert_int_equal(mt_diff_note(c.d, "7 processes came and went in between"), 0);
	all_formats("several", c.d);
	assert_true(mt_diff_lost(c.d));
	root = as_json(c.d);
	assert_int_equal(json_array_size(at(root, "processes")), 4);
	assert_true(json_is_true(at(json_array_get(at(root, "processes"), 3), "rebased")));
	assert_int_equal(number(json_array_get(at(root, "processes"), 0), "pid"), 30);
	assert_int_equal(number(json_array_get(at(root, "processes"), 2), "pid"), 20);
	assert_int_equal(number(json_array_get(at(root, "came"), 0), "pid"), 5);
	assert_int_equal(number(json_array_get(at(root, "went"), 0), "pid"), 40);
	json_decref(root);
}

/* Hundreds of processes are a list, not hundreds of pages. */
static void crowd(void **state)
{
	_cleanup_compared_ struct compared c = {0};
	_cleanup_writer_ struct mt_writer w = {0};
	size_t lines = 0;

	(void)state;
	for (pid_t i = 0; i < 300; i++) {
		put(&c.m[0], of(1000 + i, "w", 1));
		put(&c.m[1], of(1000 + i, "w", (uint64_t)i % 50));
		put(&c.m[0], of(3000 + i, "old", 1));
		put(&c.m[1], of(2000 + i, "new", 1));
	}
	diff(&c, 1, NULL);
	assert_int_equal(c.d->n, 300);
	assert_int_equal(c.d->n_came, 300);
	assert_int_equal(c.d->n_went, 300);
	render(&w, "table", c.d, MT_UNIT_AUTO, false);
	for (const char *p = w.buf; (p = strchr(p, '\n')); p++)
		lines++;
	assert_true(lines < 700);
	assert_non_null(strstr(w.buf, "and 290 more, all in -f json"));
	check_widths(w.buf);
}

static void nothing(void **state)
{
	_cleanup_compared_ struct compared c = {0}, same = {0};
	_cleanup_writer_ struct mt_writer w = {0}, v = {0};

	(void)state;
	diff(&c, 1, NULL);
	render(&w, "table", c.d, MT_UNIT_AUTO, false);
	assert_string_equal(w.buf, "no process in either\n");
	put(&same.m[0], server(3));
	put(&same.m[1], server(3));
	diff(&same, 1, NULL);
	render(&v, "table", same.d, MT_UNIT_AUTO, false);
	assert_non_null(strstr(v.buf, "no number changed\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formats), cmocka_unit_test(one_pair), cmocka_unit_test(repeated),
		cmocka_unit_test(of_go),   cmocka_unit_test(hostile),  cmocka_unit_test(several),
		cmocka_unit_test(crowd),   cmocka_unit_test(nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
