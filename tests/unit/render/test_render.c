/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Every format against its golden file. */
#include "render/render.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "golden.h"
#include "model/field.h"
#include "model/sizeclass.h"

static struct mt_snapshot demo, attached, hostile; /* large for a stack frame */

static void flow(struct mt_snapshot *s, uint64_t size, uint64_t mallocs, uint64_t frees)
{
	struct mt_class_counts *c = &s->flows.cls[mt_class_of(size)];

	c->mallocs += mallocs;
	c->frees += frees;
	c->alloc_bytes += size * mallocs;
	c->free_bytes += size * frees;
}

static void fill_demo(struct mt_snapshot *s)
{
	*s = (struct mt_snapshot){
		.time_ns = UINT64_C(1767323045000000006),
		.uptime_ns = UINT64_C(12345678901),
		.seq = 7,
		.pid = 4242,
		.start_time = 987654321,
		.host = "node1",
		.comm = "demo",
		.exe = "/usr/bin/demo",
		.cgroup = "/user.slice/demo.scope",
		.runtime = "native",
		.allocator = "glibc 2.36",
		.mode = "exact",
		.sizes = "usable",
		.since = MT_SINCE_START,
		.vm_source = MT_VM_TRACEPOINT,
		.tracer = {.cpu_ns = 1500000000,
			   .rss = 9 << 20,
			   .map_bytes = 1 << 20,
			   .events = 123456,
			   .prog_ns = 78},
	};
	s->vm = (struct mt_vm){
		.data = 14680064,
		.stack = 135168,
		.heap_sys = 13 << 20,
		.heap_resident = 12 << 20,
		.stack_sys = 135168,
		.stack_resident = 20480,
		.rss = 15 << 20,
		.pss = 13 << 20,
		.shared = 2 << 20,
		.cgroup_current = 20 << 20,
		.known = true,
		.detail = true,
	};
	flow(s, 24, 100000, 90000);
	flow(s, 1032, 2000, 1000);
	flow(s, 65544, 200, 50);
	flow(s, 1052656, 3, 2);
	s->flows.vm[MT_VM_MMAP] = (struct mt_vm_flow){.calls = 20, .failed = 1, .bytes = 9 << 20};
	s->flows.vm[MT_VM_MUNMAP] = (struct mt_vm_flow){.calls = 5, .bytes = 3 << 20};
	s->flows.vm[MT_VM_MREMAP] =
		(struct mt_vm_flow){.calls = 2, .bytes = 8192, .released = 4096};
	s->flows.vm[MT_VM_BRK] =
		(struct mt_vm_flow){.calls = 40, .bytes = 5 << 20, .released = 4096};
	s->flows.failed = 4;
	s->flows.nested = 17;
	s->flows.events = 123000;
	mt_snapshot_derive(s);
}

static void fill_attached(struct mt_snapshot *s)
{
	fill_demo(s);
	s->pid = 17;
	strcpy(s->comm, "worker");
	strcpy(s->container, "0123456789ab");
	s->since = MT_SINCE_ATTACH;
	s->final = true;
	flow(s, 48, 1, 300000);
	flow(s, UINT64_C(1) << 50, 1, 0);
	s->flows.failed_reads = 1;
	s->flows.failed_storage = 2;
	s->flows.unreturned = 3;
	s->flows.unknown_free = 4;
	s->flows.map_full = 5;
	mt_snapshot_derive(s);
}

/* Names as a target could choose them, and numbers at their limits. */
static void fill_hostile(struct mt_snapshot *s)
{
	fill_demo(s);
	strcpy(s->comm, "\033[2J\xff\"\\}\n</script>\xc2\x9b\t\xf0\x9f\x98\x80");
	strcpy(s->exe, "/tmp/\033]0;owned\007/\xe2\x80\xaexe\r\n{\"schema\":1}");
	memset(s->cgroup, '\xfe', sizeof(s->cgroup) - 1);
	strcpy(s->container, "a\",pid=\"1\"} 5\nb\\");
	strcpy(s->allocator, "glibc \033[31m");
	strcpy(s->label, "</script>\n\033[2J");
	strcpy(s->event, "SIG\"\xff");
	strcpy(s->host, "no\nde");
	s->vm_source = MT_VM_NONE;
	s->since = MT_SINCE_CENSUS;
	memset(&s->vm, 0, sizeof(s->vm));
	for (int i = 0; i < MT_CLASSES; i += 19)
		s->flows.cls[i] = (struct mt_class_counts){
			.mallocs = UINT64_MAX, .frees = (uint64_t)i, .alloc_bytes = UINT64_MAX};
	s->flows.unreturned = UINT64_MAX;
	mt_snapshot_derive(s);
}

static int setup(void **state)
{
	(void)state;
	fill_demo(&demo);
	fill_attached(&attached);
	fill_hostile(&hostile);
	return 0;
}

static void render(struct mt_writer *w, const char *format, const struct mt_snapshot *const *s,
		   size_t n, const struct mt_render_opts *o)
{
	const struct mt_render_ops *ops = mt_render_find(format);

	assert_non_null(ops);
	ops->snapshots(w, s, n, o);
}

static void golden(const char *name, const char *format, const struct mt_snapshot *a,
		   const struct mt_snapshot *b, const struct mt_render_opts *o)
{
	const struct mt_snapshot *const s[] = {a, b};
	_cleanup_writer_ struct mt_writer w = {0};

	render(&w, format, s, b ? 2 : 1, o);
	compare(name, &w);
}

static void formats(void **state)
{
	(void)state;
	assert_string_equal(mt_render_all[0]->name, "line");
	assert_null(mt_render_find("lin"));
	assert_null(mt_render_find(""));
	for (size_t i = 0; mt_render_all[i]; i++) {
		assert_ptr_equal(mt_render_find(mt_render_all[i]->name), mt_render_all[i]);
		assert_int_equal(mt_render_all[i]->document,
				 !strcmp(mt_render_all[i]->name, "openmetrics"));
	}
}

static void line(void **state)
{
	const struct mt_render_opts mib = {.unit = MT_UNIT_MIB};
	const struct mt_render_opts many = {.unit = MT_UNIT_MIB, .prefix = true};
	const struct mt_snapshot *const s[] = {&demo};
	_cleanup_writer_ struct mt_writer w = {0};

	(void)state;
	golden("line.txt", "line", &demo, NULL, &mib);
	golden("line-lost.txt", "line", &attached, &demo, &many);
	golden("hostile-line.txt", "line", &hostile, NULL, &many);
	demo.memstats = (struct memtrace_memstats){
		.alloc = 12 << 20, .total_alloc = 13 << 20, .sys = 14 << 20};
	render(&w, "line", s, 1, &mib);
	assert_string_equal(w.buf,
			    "Alloc = 12 MiB\tTotalAlloc = 13 MiB\tSys = 14 MiB\tNumGC = 0\n");
}

static void table(void **state)
{
	static const enum mt_unit units[] = {MT_UNIT_AUTO, MT_UNIT_B, MT_UNIT_MIB, MT_UNIT_GIB};
	const struct mt_render_opts plain = {.unit = MT_UNIT_AUTO};
	const struct mt_snapshot *const s[] = {&demo, &attached};

	(void)state;
	golden("table.txt", "table", &demo, NULL, &plain);
	golden("table-lost.txt", "table", &attached, NULL, &plain);
	golden("hostile-table.txt", "table", &hostile, NULL, &plain);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		const struct mt_render_opts o = {.unit = units[i], .color = i % 2};
		_cleanup_writer_ struct mt_writer w = {0};

		render(&w, "table", s, 2, &o);
		check_widths(w.buf);
		assert_int_equal(o.color, strchr(w.buf, '\033') != NULL);
	}
}

static json_t *parse(const struct mt_snapshot *s, const char *format, size_t flags)
{
	const struct mt_render_opts o = {0};
	_cleanup_writer_ struct mt_writer w = {0};
	json_error_t err;
	json_t *root;

	render(&w, format, &s, 1, &o);
	assert_int_equal(w.buf[w.len - 1], '\n');
	assert_null(memchr(w.buf, '\n', w.len - 1));
	root = json_loadb(w.buf, w.len, JSON_REJECT_DUPLICATES | flags, &err);
	if (!root)
		fail_msg("%s: %s at %d", format, err.text, err.position);
	return root;
}

static void json_keys(json_t *root)
{
	static const char *const keys[] = {
		"schema",     "time",     "uptime_ns", "seq",      "final",     "pid",
		"start_time", "comm",     "exe",       "cgroup",   "container", "runtime",
		"allocator",  "mode",     "since",     "memstats", "large",     "live",
		"vm",         "heap",     "net",       "sizes",    "loss",      "gc",
		"tracer",     "runtimes", "native",    "event",    "label",     "host"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (!at(root, keys[i]))
			fail_msg("no key %s", keys[i]);
	}
	assert_int_equal(json_object_size(root), sizeof(keys) / sizeof(keys[0]));
}

static void json_demo(void **state)
{
	json_t *root = parse(&demo, "json", 0);

	(void)state;
	json_keys(root);
	assert_string_equal(text(root, "schema"), "memtrace/1");
	assert_string_equal(text(root, "time"), "2026-01-02T03:04:05.000000006Z");
	assert_string_equal(text(root, "since"), "start");
	assert_string_equal(text(root, "vm.source"), "tracepoint");
	assert_true(json_is_null(at(root, "container")));
	assert_true(json_is_null(at(root, "heap")) && json_is_null(at(root, "gc")));
	assert_true(json_is_null(at(root, "native")));
	assert_string_equal(text(root, "runtime"), "native");
	assert_int_equal(json_array_size(at(root, "runtimes")), 1);
	assert_string_equal(json_string_value(json_array_get(at(root, "runtimes"), 0)), "native");
	assert_int_equal(number(root, "loss.gc_pauses"), 0);
	assert_int_equal(number(root, "pid"), 4242);
	assert_int_equal(number(root, "memstats.Mallocs"), 102203);
	assert_int_equal(number(root, "net.Objects"), 102203 - 91052);
	assert_int_equal(number(root, "net.Bytes"), number(root, "memstats.Alloc"));
	assert_int_equal(number(root, "vm.brk.released"), 4096);
	assert_null(at(root, "vm.mmap.released"));
	assert_int_equal(number(root, "loss.lost"), 0);
	assert_int_equal(number(root, "loss.nested"), 17);
	assert_int_equal(number(root, "tracer.prog_ns"), 78);
	assert_int_equal(json_array_size(at(root, "live")), 4);
	assert_int_equal(json_array_size(at(root, "large")), 2);
	assert_int_equal(number(json_array_get(at(root, "large"), 0), "Size"), 131072);
	assert_int_equal(number(json_array_get(at(root, "large"), 0), "Frees"), 50);
	json_decref(root);
}

static void json_attached(void **state)
{
	json_t *root = parse(&attached, "json", 0);
	json_t *signed48 = json_array_get(at(root, "net.live"), 1);
	json_t *large = at(root, "large");

	(void)state;
	assert_string_equal(text(root, "container"), "0123456789ab");
	assert_int_equal(number(root, "loss.lost"), 15);
	assert_int_equal(number(root, "memstats.HeapObjects"), 0);
	assert_int_equal(number(root, "net.Objects"), 102203 - 91052 - 299999 + 1);
	assert_int_equal(number(signed48, "Size"), 48);
	assert_int_equal(number(signed48, "Objects"), -299999);
	assert_int_equal(number(signed48, "Bytes"), -299999 * 48);
	/* Clamped, class 48 has nothing to say; the open-ended class fits a signed reader. */
	assert_int_equal(json_array_size(at(root, "net.live")), 6);
	assert_int_equal(json_array_size(at(root, "live")), 5);
	assert_true(number(json_array_get(large, json_array_size(large) - 1), "Size") == INT64_MAX);
	json_decref(root);
}

static void json_hostile(void **state)
{
	json_t *root = parse(&hostile, "json", JSON_DECODE_INT_AS_REAL);

	(void)state;
	json_keys(root);
	assert_string_equal(text(root, "comm"),
			    "\033[2J\xef\xbf\xbd\"\\}\n</script>\xc2\x9b\t\xf0\x9f\x98\x80");
	assert_string_equal(text(root, "container"), hostile.container);
	assert_int_equal(strlen(text(root, "cgroup")), 3 * (sizeof(hostile.cgroup) - 1));
	assert_true(json_is_null(at(root, "vm.source")));
	json_decref(root);
}

static void json_golden(void **state)
{
	const struct mt_render_opts o = {0};

	(void)state;
	golden("json.ndjson", "json", &demo, &attached, &o);
	golden("hostile.ndjson", "json", &hostile, NULL, &o);
	golden("memstats.json", "memstats", &demo, &attached, &o);
}

static void memstats(void **state)
{
	json_t *root, *row;

	(void)state;
	demo.memstats.pause_ns[255] = 99;
	demo.memstats.pause_end[0] = 88;
	demo.memstats.gc_cpu_fraction = 1e-7;
	root = parse(&demo, "memstats", 0);
	/* The scalars, PauseNs, PauseEnd, BySize. */
	assert_int_equal(json_object_size(root), mt_fields_count + 3);
	for (size_t i = 0; i < mt_fields_count; i++)
		assert_non_null(at(root, mt_fields[i].name));
	assert_true(json_real_value(at(root, "GCCPUFraction")) == 1e-7);
	assert_true(json_is_false(at(root, "EnableGC")));
	assert_int_equal(json_array_size(at(root, "PauseNs")), 256);
	assert_int_equal(json_integer_value(json_array_get(at(root, "PauseNs"), 255)), 99);
	assert_int_equal(json_array_size(at(root, "PauseEnd")), 256);
	assert_int_equal(json_integer_value(json_array_get(at(root, "PauseEnd"), 0)), 88);
	assert_int_equal(json_array_size(at(root, "BySize")), MT_BYSIZE);
	row = json_array_get(at(root, "BySize"), 3);
	assert_int_equal(json_object_size(row), 3);
	assert_int_equal(number(row, "Size"), 24);
	assert_int_equal(number(row, "Mallocs"), 100000);
	assert_int_equal(number(row, "Frees"), 90000);
	json_decref(root);
}

static void openmetrics_lint(void **state)
{
	const struct mt_snapshot *const s[] = {&demo, &attached, &hostile};
	const struct mt_render_opts o = {0};

	(void)state;
	for (size_t n = 0; n <= 3; n++) {
		_cleanup_writer_ struct mt_writer w = {0};
		char out[4096];

		render(&w, "openmetrics", s, n, &o);
		if (!promtool(&w, out, sizeof(out))) {
			print_message("skipped: promtool is not installed\n");
			skip();
		}
		assert_string_equal(out, "0\n");
	}
}

static size_t count(const char *haystack, const char *needle)
{
	size_t n = 0;

	while ((haystack = strstr(haystack, needle))) {
		haystack += strlen(needle);
		n++;
	}
	return n;
}

static void openmetrics(void **state)
{
	const struct mt_snapshot *const s[] = {&demo, &attached};
	const struct mt_render_opts o = {0};
	_cleanup_writer_ struct mt_writer w = {0};

	(void)state;
	demo.memstats.last_gc = UINT64_C(1500000000);
	render(&w, "openmetrics", s, 2, &o);
	assert_non_null(strstr(w.buf,
			       "\nmemtrace_memstats_mallocs_total{pid=\"4242\",comm=\"demo\"} "
			       "102203\n"));
	assert_non_null(strstr(w.buf, "\nmemtrace_memstats_by_size_frees_total{pid=\"17\","
				      "comm=\"worker\",container=\"0123456789ab\",size=\"48\"} "
				      "300000\n"));
	assert_non_null(strstr(w.buf, ",size=\"+Inf\"} 1\n"));
	assert_non_null(strstr(w.buf, "memtrace_memstats_last_gc_time_seconds{pid=\"4242\","
				      "comm=\"demo\"} 1.5\n"));
	assert_non_null(strstr(w.buf, "\nmemtrace_tracer_cpu_seconds_total 1.5\n"));
	assert_non_null(strstr(w.buf, "\nmemtrace_targets 2\n# EOF\n"));
	assert_int_equal(count(w.buf, "# TYPE memtrace_memstats_alloc_bytes gauge\n"), 1);
	assert_int_equal(count(w.buf, "# TYPE memtrace_memstats_alloc_bytes_total counter\n"), 1);
	assert_int_equal(count(w.buf, "\nmemtrace_lost_total{"), 2);
	assert_int_equal(count(w.buf, "# TYPE "), count(w.buf, "# HELP "));
	assert_string_equal(w.buf + w.len - 6, "# EOF\n");
}

static void openmetrics_golden(void **state)
{
	const struct mt_render_opts o = {0};

	(void)state;
	golden("openmetrics.txt", "openmetrics", &demo, &attached, &o);
	golden("hostile-openmetrics.txt", "openmetrics", &hostile, NULL, &o);
}

/* No byte of a name may act on a terminal, whatever the format. */
static void nothing_acts(void **state)
{
	const struct mt_render_opts o = {.prefix = true};
	const struct mt_snapshot *const s[] = {&hostile};

	(void)state;
	for (size_t f = 0; mt_render_all[f]; f++) {
		_cleanup_writer_ struct mt_writer w = {0};

		mt_render_all[f]->snapshots(&w, s, 1, &o);
		check_harmless(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(formats, setup),
		cmocka_unit_test_setup(line, setup),
		cmocka_unit_test_setup(table, setup),
		cmocka_unit_test_setup(json_demo, setup),
		cmocka_unit_test_setup(json_attached, setup),
		cmocka_unit_test_setup(json_hostile, setup),
		cmocka_unit_test_setup(json_golden, setup),
		cmocka_unit_test_setup(memstats, setup),
		cmocka_unit_test_setup(openmetrics, setup),
		cmocka_unit_test_setup(openmetrics_lint, setup),
		cmocka_unit_test_setup(openmetrics_golden, setup),
		cmocka_unit_test_setup(nothing_acts, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
