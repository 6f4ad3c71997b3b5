/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How each format shows a Go program, its C memory, and totals of such. */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "golden.h"
#include "model/sizeclass.h"
#include "model/total.h"
#include "render/render.h"

#define T0 UINT64_C(1767323045000000006)

static struct mt_snapshot go, cgo, native, total, hostile; /* large for a stack frame */
static struct memtrace_memstats m;
static struct mt_class_counts cls[MT_CLASSES], unsized;

static void flow(struct mt_class_counts *to, uint64_t size, uint64_t mallocs, uint64_t frees)
{
	struct mt_class_counts *c = &to[mt_class_of(size)];

	c->mallocs += mallocs;
	c->frees += frees;
	c->alloc_bytes += size * mallocs;
	c->free_bytes += size * frees;
}

static void fill_native(struct mt_snapshot *s, pid_t pid)
{
	*s = (struct mt_snapshot){
		.time_ns = T0,
		.uptime_ns = UINT64_C(12345678901),
		.seq = 7,
		.pid = pid,
		.start_time = 987654321,
		.exe = "/usr/bin/app",
		.cgroup = "/user.slice",
		.runtime = "native",
		.allocator = "glibc 2.36",
		.mode = "exact",
		.sizes = "usable",
		.since = MT_SINCE_CENSUS,
		.vm_source = MT_VM_TRACEPOINT,
		.tracer = {.cpu_ns = 1500000000, .rss = 9 << 20, .map_bytes = 1 << 20},
	};
	snprintf(s->comm, sizeof(s->comm), "app");
	s->vm = (struct mt_vm){
		.data = 140 << 20,
		.stack = 132 << 10,
		.heap_sys = 3 << 20,
		.heap_resident = 2 << 20,
		.stack_sys = 132 << 10,
		.stack_resident = 20 << 10,
		.rss = 45 << 20,
		.known = true,
		.detail = true,
	};
	flow(s->flows.cls, 24, 1000, 400);
	flow(s->flows.cls, 65544, 20, 5);
	s->census.baseline = MT_BASELINE_CENSUS;
	s->census.time_ns = T0 - 1;
	s->census.stop_ns = 400000;
	s->census.held = s->census.threads = 7;
	mt_snapshot_derive(s);
}

/* Sums of these are Go's Mallocs and Frees, but for its tiny allocations. */
static void fill_runtime(void)
{
	memset(cls, 0, sizeof(cls));
	flow(cls, 16, 5000, 4000);
	flow(cls, 128, 300, 100);
	flow(cls, 32768, 12, 2);
	unsized = (struct mt_class_counts){40, 30, 40 << 20, 30 << 20};
	m = (struct memtrace_memstats){
		.mallocs = 5352 + 777,
		.frees = 4132 + 777,
		.heap_objects = 1220,
		.sys = 20 << 20,
		.heap_sys = 16 << 20,
		.heap_idle = 4 << 20,
		.heap_inuse = 12 << 20,
		.heap_released = 1 << 20,
		.stack_inuse = 1 << 20,
		.stack_sys = 1 << 20,
		.gc_sys = 2 << 20,
		.other_sys = 1 << 20,
		.next_gc = 21 << 20,
		.last_gc = T0 - 1000000,
		.pause_total_ns = 1234567,
		.num_gc = 260,
		.num_forced_gc = 3,
		.gc_cpu_fraction = 1.25e-5,
		.enable_gc = true,
	};
	for (unsigned int i = 0; i < MT_CLASSES; i++) {
		m.total_alloc += cls[i].alloc_bytes;
		m.alloc += cls[i].alloc_bytes - cls[i].free_bytes;
		if (i < MT_BYSIZE) {
			m.by_size[i].size = (uint32_t)mt_class_size(i);
			m.by_size[i].mallocs = cls[i].mallocs;
			m.by_size[i].frees = cls[i].frees;
		}
	}
	m.total_alloc += unsized.alloc_bytes;
	m.alloc += unsized.alloc_bytes - unsized.free_bytes;
	m.heap_alloc = m.alloc;
	/* NumGC is 260: the newest stands at (260 + 255) % 256. */
	for (unsigned int i = 0; i < 256; i++) {
		unsigned int age = (259 - i) % 256; /* collections ago */

		m.pause_ns[i] = 20000 + 100 * age;
		m.pause_end[i] = m.last_gc - UINT64_C(1000000) * age;
	}
}

static void fill_go(struct mt_snapshot *s, pid_t pid, bool c)
{
	fill_native(s, pid);
	fill_runtime();
	if (!c)
		s->census = (struct mt_census){0};
	mt_snapshot_set_go(s, &m, cls, &unsized, c);
	snprintf(s->runtime, sizeof(s->runtime), "go1.23.1");
	s->gc.consistent = true;
	s->gc.stop_ns = 310000;
	s->gc.pauses = 12;
}

static void fill_hostile(struct mt_snapshot *s)
{
	static const char acts[] = "\033[2J\n\xff\xc2\x9b\xe2\x80\xae\", go<b> ";

	fill_go(s, 9, true);
	for (size_t i = 0; i < sizeof(s->runtime) - 1; i++)
		s->runtime[i] = acts[i % (sizeof(acts) - 1)];
	for (size_t i = 0; i < sizeof(s->gc.why) - 1; i++)
		s->gc.why[i] = acts[i % (sizeof(acts) - 1)];
	snprintf(s->native.allocator, sizeof(s->native.allocator), "%s", acts);
	s->gc.consistent = false;
	s->gc.stop_ns = UINT64_MAX;
	s->gc.pauses = UINT32_MAX;
	s->gc.missed = UINT64_MAX;
	memset(&s->memstats, 0xff, sizeof(s->memstats));
	s->memstats.enable_gc = s->memstats.debug_gc = true;
	s->memstats.gc_cpu_fraction = 1e300;
	memset(s->flows.cls, 0xff, sizeof(s->flows.cls));
	memset(&s->unsized, 0xff, sizeof(s->unsized));
	memset(s->native.cls, 0xff, sizeof(s->native.cls));
}

static int setup(void **state)
{
	const struct mt_snapshot *const v[] = {&go, &cgo, &native};

	(void)state;
	fill_go(&go, 100, false);
	fill_go(&cgo, 101, true);
	cgo.gc.consistent = false;
	cgo.gc.stop_ns = 0;
	snprintf(cgo.gc.why, sizeof(cgo.gc.why),
		 "after 20 tries mappedReady is not Sys less what was released");
	cgo.gc.pauses = 2;
	cgo.gc.missed = 3;
	fill_native(&native, 102);
	mt_snapshot_total(v, 3, &total);
	fill_hostile(&hostile);
	return 0;
}

static void render(struct mt_writer *w, const char *format, const struct mt_snapshot *const *s,
		   size_t n, const struct mt_render_opts *o)
{
	mt_render_find(format)->snapshots(w, s, n, o);
	assert_int_equal(w->err, 0);
}

static void golden(const char *name, const char *format, const struct mt_snapshot *s)
{
	const struct mt_render_opts o = {.unit = MT_UNIT_AUTO, .prefix = true};
	_cleanup_writer_ struct mt_writer w = {0};

	render(&w, format, &s, 1, &o);
	compare(name, &w);
}

static void goldens(void **state)
{
	const struct mt_snapshot *const all[] = {&go, &cgo, &native, &total};
	const struct mt_render_opts o = {.unit = MT_UNIT_MIB, .prefix = true};
	_cleanup_writer_ struct mt_writer line = {0}, metrics = {0};

	(void)state;
	golden("go-table.txt", "table", &go);
	golden("go.ndjson", "json", &go);
	golden("go-memstats.json", "memstats", &go);
	golden("cgo-table.txt", "table", &cgo);
	golden("cgo.ndjson", "json", &cgo);
	golden("go-total-table.txt", "table", &total);
	golden("go-total.ndjson", "json", &total);
	golden("go-hostile-table.txt", "table", &hostile);
	golden("go-hostile.ndjson", "json", &hostile);
	render(&line, "line", all, 4, &o);
	compare("go-line.txt", &line);
	render(&metrics, "openmetrics", all, 4, &o);
	compare("go-openmetrics.txt", &metrics);
}

static json_t *parse(const struct mt_snapshot *s, size_t flags)
{
	const struct mt_render_opts o = {0};
	_cleanup_writer_ struct mt_writer w = {0};
	json_error_t err;
	json_t *root;

	render(&w, "json", &s, 1, &o);
	root = json_loadb(w.buf, w.len, JSON_REJECT_DUPLICATES | flags, &err);
	if (!root)
		fail_msg("%s at %d", err.text, err.position);
	return root;
}

static const char *element(json_t *root, const char *path, size_t i)
{
	return json_string_value(json_array_get(at(root, path), i));
}

/* The sums over a list's member. */
static json_int_t sum(json_t *list, const char *key)
{
	json_int_t n = 0;

	for (size_t i = 0; i < json_array_size(list); i++)
		n += number(json_array_get(list, i), key);
	return n;
}

static json_t *last(json_t *root, const char *path)
{
	return json_array_get(at(root, path), json_array_size(at(root, path)) - 1);
}

static void json_go(void **state)
{
	json_t *root = parse(&go, 0), *pause;

	(void)state;
	assert_string_equal(text(root, "runtime"), "go1.23.1");
	assert_int_equal(json_array_size(at(root, "runtimes")), 1);
	assert_string_equal(element(root, "runtimes", 0), "go1.23.1");
	assert_string_equal(text(root, "allocator"), "go");
	assert_string_equal(text(root, "since"), "start");
	assert_string_equal(text(root, "heap.consistency"), "consistent");
	assert_int_equal(number(root, "heap.stop_ns"), 310000);
	assert_null(at(root, "heap.why"));
	assert_true(json_is_null(at(root, "native")));
	assert_int_equal(number(root, "loss.gc_pauses"), 0);
	/* What is in a class and what is not: all that was allocated, but tiny ones. */
	assert_true(json_is_null(at(last(root, "large"), "Size")));
	assert_int_equal(number(last(root, "large"), "Mallocs"), 40);
	assert_int_equal(number(last(root, "large"), "Frees"), 30);
	assert_int_equal(sum(at(root, "large"), "Mallocs") +
				 sum(at(root, "memstats.BySize"), "Mallocs"),
			 number(root, "memstats.Mallocs") - 777);
	assert_true(json_is_null(at(last(root, "live"), "Size")));
	assert_int_equal(sum(at(root, "live"), "Bytes"), number(root, "memstats.Alloc"));
	assert_int_equal(sum(at(root, "live"), "Objects"), number(root, "memstats.HeapObjects"));
	assert_int_equal(number(root, "net.Bytes"), number(root, "memstats.Alloc"));
	assert_int_equal(number(root, "gc.count"), 260);
	assert_int_equal(number(root, "gc.forced"), 3);
	assert_true(json_real_value(at(root, "gc.cpu_fraction")) == 1.25e-5);
	assert_int_equal(number(root, "gc.next"), 21 << 20);
	assert_string_equal(text(root, "gc.last"), "2026-01-02T03:04:04.999000006Z");
	assert_true(json_is_true(at(root, "gc.enabled")));
	assert_int_equal(number(root, "gc.pause_total_ns"), 1234567);
	assert_int_equal(json_array_size(at(root, "gc.pauses")), 12);
	pause = json_array_get(at(root, "gc.pauses"), 0);
	assert_int_equal(number(pause, "ns"), 21100);
	assert_string_equal(text(pause, "end"), "2026-01-02T03:04:04.988000006Z");
	pause = last(root, "gc.pauses");
	assert_int_equal(number(pause, "ns"), 20000);
	assert_string_equal(text(pause, "end"), text(root, "gc.last"));
	json_decref(root);
}

static void json_cgo(void **state)
{
	json_t *root = parse(&cgo, 0);

	(void)state;
	assert_string_equal(element(root, "runtimes", 0), "go1.23.1");
	assert_string_equal(element(root, "runtimes", 1), "native");
	assert_string_equal(element(root, "allocator", 0), "go");
	assert_string_equal(element(root, "allocator", 1), "glibc 2.36");
	assert_string_equal(text(root, "heap.consistency"), "approximate");
	assert_string_equal(text(root, "heap.why"), cgo.gc.why);
	assert_int_equal(number(root, "memstats.Mallocs"), 6129);
	assert_int_equal(number(root, "native.memstats.Mallocs"), 1020);
	assert_string_equal(text(root, "native.allocator"), "glibc 2.36");
	assert_string_equal(text(root, "native.since"), "census");
	assert_string_equal(text(root, "native.sizes"), "usable");
	assert_string_equal(text(root, "native.heap.baseline"), "census");
	assert_int_equal(number(json_array_get(at(root, "native.large"), 0), "Mallocs"), 20);
	assert_int_equal(sum(at(root, "native.live"), "Objects"), 615);
	assert_int_equal(number(root, "native.net.Objects"), 615);
	assert_int_equal(sum(at(root, "native.net.live"), "Bytes"),
			 number(root, "native.memstats.Alloc"));
	assert_int_equal(number(root, "loss.gc_pauses"), 3);
	assert_int_equal(number(root, "loss.lost"), 3);
	json_decref(root);
}

static void json_off(void **state)
{
	json_t *root;

	(void)state;
	go.memstats.next_gc = UINT64_MAX; /* GOGC=off */
	go.memstats.last_gc = 0;
	go.gc.pauses = 0;
	root = parse(&go, JSON_DECODE_INT_AS_REAL);
	assert_true(json_is_null(at(root, "gc.next")));
	assert_true(json_is_null(at(root, "gc.last")));
	assert_int_equal(json_array_size(at(root, "gc.pauses")), 0);
	json_decref(root);
	/* what Go 1.27 says of it */
	go.memstats.next_gc = UINT64_C(8946670875745425156);
	root = parse(&go, 0);
	assert_true(json_is_null(at(root, "gc.next")));
	json_decref(root);
}

static void json_total(void **state)
{
	json_t *root = parse(&total, 0);

	(void)state;
	assert_string_equal(text(root, "runtime"), "mixed");
	assert_int_equal(json_array_size(at(root, "runtimes")), 2);
	assert_string_equal(element(root, "runtimes", 1), "native");
	assert_int_equal(json_array_size(at(root, "allocator")), 2);
	assert_int_equal(number(root, "memstats.Mallocs"), 2 * 6129 + 1020);
	assert_int_equal(number(root, "native.memstats.Mallocs"), 1020);
	assert_string_equal(text(root, "heap.consistency"), "approximate");
	assert_true(json_is_null(at(root, "native.heap")));
	assert_true(json_is_null(at(root, "gc.cpu_fraction")));
	assert_int_equal(number(root, "gc.count"), 520);
	assert_int_equal(number(last(root, "large"), "Mallocs"), 80);
	assert_int_equal(json_array_size(at(root, "gc.pauses")), 0);
	json_decref(root);
}

static void json_hostile(void **state)
{
	json_t *root = parse(&hostile, JSON_DECODE_INT_AS_REAL);

	(void)state;
	assert_int_equal(json_array_size(at(root, "runtimes")), 2);
	assert_string_equal(element(root, "runtimes", 0), text(root, "runtime"));
	assert_int_equal(json_array_size(at(root, "gc.pauses")), 256);
	json_decref(root);
}

static void nothing_acts(void **state)
{
	const struct mt_snapshot *const s[] = {&hostile};
	const struct mt_render_opts o = {.prefix = true};

	(void)state;
	for (size_t f = 0; mt_render_all[f]; f++) {
		_cleanup_writer_ struct mt_writer w = {0};

		render(&w, mt_render_all[f]->name, s, 1, &o);
		check_harmless(&w);
	}
}

static void table(void **state)
{
	static const enum mt_unit units[] = {MT_UNIT_AUTO, MT_UNIT_B, MT_UNIT_MIB, MT_UNIT_GIB};
	const struct mt_snapshot *const s[] = {&go, &cgo, &total};

	(void)state;
	cgo.audit.done = MT_BASELINE_CENSUS;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		const struct mt_render_opts o = {.unit = units[i], .color = i % 2};
		_cleanup_writer_ struct mt_writer w = {0};

		render(&w, "table", s, 3, &o);
		check_widths(w.buf);
		assert_int_equal(o.color, strchr(w.buf, '\033') != NULL);
		assert_non_null(strstr(w.buf, "audit: no drift: 615 objects, 997560 bytes"));
	}
	/* Only words that are no words make it wider. */
	memset(hostile.runtime, 'x', 40);
	hostile.runtime[40] = '\0';
	snprintf(hostile.gc.why, sizeof(hostile.gc.why), "no");
	strcpy(hostile.native.allocator, "glibc 2.36");
	strcpy(hostile.allocator, "go");
	for (int round = 0; round < 2; round++) {
		const struct mt_snapshot *const h[] = {&hostile};
		const struct mt_render_opts o = {.unit = MT_UNIT_AUTO};
		_cleanup_writer_ struct mt_writer w = {0};

		render(&w, "table", h, 1, &o);
		check_widths(w.buf);
		hostile.memstats.gc_cpu_fraction = -1e-300;
	}
}

static void openmetrics(void **state)
{
	const struct mt_snapshot *const s[] = {&go, &cgo, &native, &total};
	const struct mt_render_opts o = {0};
	_cleanup_writer_ struct mt_writer w = {0}, plain = {0};

	(void)state;
	render(&w, "openmetrics", s, 4, &o);
	assert_non_null(strstr(w.buf, "\nmemtrace_gc_duration_seconds_count{pid=\"100\","
				      "comm=\"app\"} 260\n"));
	assert_non_null(strstr(w.buf, "\nmemtrace_gc_duration_seconds_sum{pid=\"101\","
				      "comm=\"app\"} 0.001234567\n"));
	assert_null(strstr(w.buf, "memtrace_gc_duration_seconds_count{pid=\"102\""));
	assert_non_null(strstr(w.buf, "\nmemtrace_memstats_mallocs_total{pid=\"101\","
				      "comm=\"app\"} 6129\n"));
	assert_non_null(strstr(w.buf, "\nmemtrace_native_memstats_mallocs_total{pid=\"101\","
				      "comm=\"app\"} 1020\n"));
	assert_null(strstr(w.buf, "memtrace_native_memstats_mallocs_total{pid=\"100\""));
	assert_null(strstr(w.buf, "memtrace_native_memstats_sys_bytes"));
	assert_non_null(strstr(w.buf, "\nmemtrace_memstats_by_size_mallocs_total{pid=\"100\","
				      "comm=\"app\",size=\"+Inf\"} 40\n"));
	assert_non_null(strstr(w.buf, "\nmemtrace_lost_total{pid=\"101\",comm=\"app\"} 3\n"));
	/* Without Go there is nothing of it. */
	render(&plain, "openmetrics", s + 2, 1, &o);
	assert_null(strstr(plain.buf, "gc_duration"));
	assert_null(strstr(plain.buf, "native"));
}

static void openmetrics_lint(void **state)
{
	const struct mt_snapshot *const s[] = {&go, &cgo, &native, &hostile, &total};
	const struct mt_render_opts o = {0};

	(void)state;
	for (size_t from = 0; from < 5; from++) {
		_cleanup_writer_ struct mt_writer w = {0};
		char out[4096];

		render(&w, "openmetrics", s + from, 5 - from, &o);
		if (!promtool(&w, out, sizeof(out))) {
			print_message("skipped: promtool is not installed\n");
			skip();
		}
		assert_string_equal(out, "0\n");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(goldens, setup),
		cmocka_unit_test_setup(json_go, setup),
		cmocka_unit_test_setup(json_cgo, setup),
		cmocka_unit_test_setup(json_off, setup),
		cmocka_unit_test_setup(json_total, setup),
		cmocka_unit_test_setup(json_hostile, setup),
		cmocka_unit_test_setup(nothing_acts, setup),
		cmocka_unit_test_setup(table, setup),
		cmocka_unit_test_setup(openmetrics, setup),
		cmocka_unit_test_setup(openmetrics_lint, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
