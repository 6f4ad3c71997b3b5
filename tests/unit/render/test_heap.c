/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What every format shows of a census and of an audit, and the formats of the census alone. */
#include "render/render.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "golden.h"
#include "model/sizeclass.h"

#define MANY 20

static struct mt_snapshot demo, drifted, unknown, hostile; /* large for a stack frame */
static struct mt_heap_arena two[2], many[MANY], monster[1];

static void live(struct mt_snapshot *s, uint64_t size, uint64_t n)
{
	unsigned int class = mt_class_of(size);
	struct mt_heap *h = &s->census.heap;

	h->cls[class].objects += n;
	h->cls[class].bytes += n * size;
	h->objects += n;
	h->bytes += n * size;
	s->flows.cls[class].mallocs += n;
	s->flows.cls[class].alloc_bytes += n * size;
}

static void fill_demo(struct mt_snapshot *s)
{
	*s = (struct mt_snapshot){
		.time_ns = UINT64_C(1767323045000000006),
		.pid = 4242,
		.start_time = 987654321,
		.host = "node1",
		.comm = "demo",
		.exe = "/usr/bin/demo",
		.runtime = "native",
		.allocator = "glibc 2.36",
		.mode = "exact",
		.sizes = "usable",
		.since = MT_SINCE_CENSUS,
		.census = {.baseline = MT_BASELINE_CENSUS,
			   .allocator = "glibc 2.36",
			   .time_ns = UINT64_C(1767323044000000000),
			   .stop_ns = 3214567,
			   .held_ns = 9876543,
			   .walk_ns = 2900000,
			   .attempts = 1,
			   .threads = 5,
			   .held = 2},
		.audit = {.done = MT_BASELINE_CENSUS},
	};
	live(s, 24, 10000);
	live(s, 1032, 1000);
	live(s, 65544, 150);
	live(s, 1052656, 1);
	two[0] = (struct mt_heap_arena){.address = 0x7f1234567c80,
					.system = 8 << 20,
					.in_use = 5 << 20,
					.free = 1 << 20,
					.top = 1000000,
					.cached = 4096,
					.fast = 2048,
					.other = 650,
					.objects = 11000};
	two[1] = (struct mt_heap_arena){
		.address = 0x7f0000000030, .system = 9 << 20, .in_use = 9 << 20, .objects = 150};
	s->census.heap.arenas = two;
	s->census.heap.n_arenas = 2;
	s->census.heap.mapped_objects = 1;
	s->census.heap.mapped_system = 1056768;
	s->census.heap.idle = 1 << 20;
	s->census.heap.idle_resident = 4096;
	s->census.heap.span_bytes = 2200;
	s->census.heap.cache_bytes = 656;
	mt_snapshot_derive(s);
}

static void fill_drifted(struct mt_snapshot *s)
{
	fill_demo(s);
	s->census.attempts = 3;
	for (size_t i = 0; i < MANY; i++)
		many[i] = (struct mt_heap_arena){.address = (i + 1) << 26,
						 .system = ((i * 7) % MANY + 1) << 20,
						 .objects = i};
	s->census.heap.arenas = many;
	s->census.heap.n_arenas = MANY;
	s->census.heap.mapped_objects = 0;
	s->audit.objects = -2;
	s->audit.bytes = 4096;
	s->audit.cls[mt_class_of(24)].objects = -3;
	s->audit.cls[mt_class_of(24)].bytes = -72;
	s->audit.cls[MT_CLASSES - 1].objects = 1;
	s->audit.cls[MT_CLASSES - 1].bytes = 4168;
}

static void fill_unknown(struct mt_snapshot *s)
{
	fill_demo(s);
	s->since = MT_SINCE_ATTACH;
	s->census = (struct mt_census){
		.baseline = MT_BASELINE_UNKNOWN,
		.why = "a thread was inside malloc at each of 5 attempts, "
		       "the longest of which took 250 ms, the limit",
		.time_ns = s->census.time_ns,
		.stop_ns = 250000000,
		.attempts = 5,
		.threads = 64,
		.held = 64,
	};
	s->audit.done = MT_BASELINE_UNKNOWN;
	strcpy(s->audit.why, "it has ended");
}

/* Names as a target could choose them, and numbers at their limits. */
static void fill_hostile(struct mt_snapshot *s)
{
	fill_demo(s);
	strcpy(s->comm, "\033[2J\xff\"\\}\n");
	strcpy(s->exe, "/tmp/\033]0;owned\007/\xe2\x80\xaexe\r\n{\"schema\":1}");
	strcpy(s->allocator, "glibc \033[31m");
	memset(&s->flows, 0, sizeof(s->flows));
	s->census.attempts = s->census.threads = s->census.held = UINT32_MAX;
	s->census.stop_ns = s->census.held_ns = s->census.walk_ns = UINT64_MAX;
	for (size_t i = 0; i < MT_CLASSES; i += 19)
		s->census.heap.cls[i] = (struct mt_heap_class){UINT64_MAX, UINT64_MAX};
	memset(monster, 0xff, sizeof(monster));
	s->census.heap.arenas = monster;
	s->census.heap.n_arenas = 1;
	s->census.heap.mapped_objects = s->census.heap.mapped_system = UINT64_MAX;
	s->audit.cls[0].objects = s->audit.objects = INT64_MIN;
	s->audit.cls[0].bytes = s->audit.bytes = INT64_MIN;
	mt_snapshot_derive(s);
}

static int setup(void **state)
{
	(void)state;
	fill_demo(&demo);
	fill_drifted(&drifted);
	fill_unknown(&unknown);
	fill_hostile(&hostile);
	return 0;
}

static void golden(const char *name, const struct mt_render_ops *format,
		   const struct mt_snapshot *a, const struct mt_snapshot *b)
{
	const struct mt_render_opts plain = {.unit = MT_UNIT_AUTO};
	const struct mt_snapshot *const s[] = {a, b};
	_cleanup_writer_ struct mt_writer w = {0};

	format->snapshots(&w, s, b ? 2 : 1, &plain);
	compare(name, &w);
}

/* What the table shows between the classes and the address space. */
static void heap_golden(const char *name, const struct mt_snapshot *s)
{
	const struct mt_render_opts plain = {.unit = MT_UNIT_AUTO};
	_cleanup_writer_ struct mt_writer all = {0}, section = {0};
	const char *begin;

	mt_render_table.snapshots(&all, &s, 1, &plain);
	mt_render_heap(&section, s, &plain);
	begin = strstr(all.buf, section.buf);
	assert_non_null(begin);
	assert_memory_equal(begin + section.len, "\nAddress space\n", 15);
	compare(name, &section);
}

static void table(void **state)
{
	(void)state;
	heap_golden("heap-table.txt", &demo);
	heap_golden("heap-table-drift.txt", &drifted);
	heap_golden("heap-table-unknown.txt", &unknown);
	heap_golden("hostile-heap-table.txt", &hostile);
}

static void no_section(void **state)
{
	const struct mt_render_opts plain = {0};
	_cleanup_writer_ struct mt_writer w = {0};

	(void)state;
	demo.census.baseline = demo.audit.done = MT_BASELINE_NONE;
	mt_render_heap(&w, &demo, &plain);
	assert_int_equal(w.len, 0);
	demo.audit.done = MT_BASELINE_CENSUS;
	mt_render_heap(&w, &demo, &plain);
	assert_string_equal(w.buf, "\nHeap\naudit: no drift: 11151 objects, 12156256 bytes as "
				   "counted\n");
}

static void census_alone(void **state)
{
	(void)state;
	golden("census-table.txt", &mt_render_census_table, &demo, &drifted);
	golden("census.ndjson", &mt_render_census_json, &demo, &drifted);
	golden("hostile-census-table.txt", &mt_render_census_table, &hostile, NULL);
	golden("hostile-census.ndjson", &mt_render_census_json, &hostile, NULL);
}

static void empty_heap(void **state)
{
	const struct mt_render_opts plain = {0};
	const struct mt_snapshot *const s[] = {&demo};
	_cleanup_writer_ struct mt_writer w = {0};

	(void)state;
	demo.census.heap = (struct mt_heap){0};
	mt_render_census_table.snapshots(&w, s, 1, &plain);
	assert_non_null(strstr(w.buf, "\n0 live blocks, 0 B\n\n"));
	assert_null(strstr(w.buf, "nan"));
}

static void fits(void **state)
{
	static const enum mt_unit units[] = {MT_UNIT_AUTO, MT_UNIT_B, MT_UNIT_MIB, MT_UNIT_GIB};
	const struct mt_render_ops *const formats[] = {&mt_render_table, &mt_render_census_table};
	const struct mt_snapshot *const s[] = {&demo, &drifted, &unknown};

	(void)state;
	for (size_t i = 0; i < 4 * 2; i++) {
		const struct mt_render_opts o = {.unit = units[i / 2], .color = i / 2 % 2};
		_cleanup_writer_ struct mt_writer w = {0};

		formats[i % 2]->snapshots(&w, s, 3 - i % 2, &o);
		check_widths(w.buf);
		assert_int_equal(o.color, strchr(w.buf, '\033') != NULL);
	}
}

static void line(void **state)
{
	const struct mt_render_opts mib = {.unit = MT_UNIT_MIB};
	const struct mt_snapshot *const s[] = {&demo, &drifted, &unknown};
	_cleanup_writer_ struct mt_writer w = {0};

	(void)state;
	drifted.flows.unreturned = 1;
	mt_render_line.snapshots(&w, s, 3, &mib);
	assert_string_equal(
		w.buf,
		"Alloc = 11 MiB\tTotalAlloc = 11 MiB\tSys = 0 MiB\tNumGC = 0\n"
		"Alloc = 11 MiB\tTotalAlloc = 11 MiB\tSys = 0 MiB\tNumGC = 0\tLost = 1\t"
		"Drift = -2 objects, +4096 bytes\n"
		"Alloc = 11 MiB\tTotalAlloc = 11 MiB\tSys = 0 MiB\tNumGC = 0\t(since attach)\n");
}

static json_t *parse(const struct mt_render_ops *format, const struct mt_snapshot *s, size_t flags)
{
	const struct mt_render_opts o = {0};
	_cleanup_writer_ struct mt_writer w = {0};
	json_error_t err;
	json_t *root;

	format->snapshots(&w, &s, 1, &o);
	assert_ptr_equal(memchr(w.buf, '\n', w.len), w.buf + w.len - 1);
	root = json_loadb(w.buf, w.len, JSON_REJECT_DUPLICATES | flags, &err);
	if (!root)
		fail_msg("%s at %d", err.text, err.position);
	return root;
}

static void json_heap(void **state)
{
	json_t *root = parse(&mt_render_json, &demo, 0);
	json_t *arena = json_array_get(at(root, "heap.arenas"), 0);

	(void)state;
	assert_int_equal(json_object_size(at(root, "heap")), 16);
	assert_string_equal(text(root, "since"), "census");
	assert_string_equal(text(root, "heap.baseline"), "census");
	assert_string_equal(text(root, "heap.time"), "2026-01-02T03:04:04.000000000Z");
	assert_int_equal(number(root, "heap.stop_ns"), 3214567);
	assert_int_equal(number(root, "heap.held_ns"), 9876543);
	assert_int_equal(number(root, "heap.held"), 2);
	assert_int_equal(number(root, "heap.objects"), 11151);
	assert_int_equal(number(root, "heap.bytes"), number(root, "memstats.Alloc"));
	assert_int_equal(number(root, "heap.mapped.system"), 1056768);
	assert_int_equal(number(root, "heap.caches"), 656);
	assert_int_equal(json_array_size(at(root, "heap.arenas")), 2);
	assert_int_equal(json_object_size(arena), 9);
	assert_string_equal(text(arena, "address"), "0x7f1234567c80");
	assert_int_equal(number(arena, "other"), 650);
	assert_int_equal(number(root, "audit.objects"), 0);
	assert_int_equal(json_array_size(at(root, "audit.classes")), 0);
	json_decref(root);
}

static void json_drift(void **state)
{
	json_t *root = parse(&mt_render_json, &drifted, 0);
	json_t *last = json_array_get(at(root, "audit.classes"), 1);

	(void)state;
	assert_int_equal(json_array_size(at(root, "heap.arenas")), MANY);
	assert_int_equal(number(root, "audit.objects"), -2);
	assert_int_equal(number(root, "audit.bytes"), 4096);
	assert_int_equal(json_array_size(at(root, "audit.classes")), 2);
	assert_true(number(last, "Size") == INT64_MAX);
	assert_int_equal(number(last, "Bytes"), 4168);
	json_decref(root);
}

static void json_unknown(void **state)
{
	json_t *root = parse(&mt_render_json, &unknown, 0);

	(void)state;
	assert_int_equal(json_object_size(at(root, "heap")), 9);
	assert_string_equal(text(root, "heap.baseline"), "unknown");
	assert_string_equal(text(root, "heap.why"), unknown.census.why);
	assert_int_equal(number(root, "heap.attempts"), 5);
	assert_true(json_is_null(at(root, "audit.objects")));
	assert_true(json_is_null(at(root, "audit.bytes")));
	assert_string_equal(text(root, "audit.why"), "it has ended");
	json_decref(root);
}

static void json_census(void **state)
{
	json_t *root = parse(&mt_render_census_json, &demo, 0);

	(void)state;
	assert_int_equal(json_object_size(root), 11);
	assert_string_equal(text(root, "schema"), "memtrace-census/1");
	assert_string_equal(text(root, "allocator"), "glibc 2.36");
	assert_int_equal(number(root, "objects"), 11151);
	assert_int_equal(json_array_size(at(root, "live")), 4);
	assert_int_equal(number(json_array_get(at(root, "live"), 0), "Bytes"), 240000);
	assert_int_equal(number(root, "heap.objects"), 11151);
	json_decref(root);
	json_decref(parse(&mt_render_census_json, &hostile, JSON_DECODE_INT_AS_REAL));
	json_decref(parse(&mt_render_json, &hostile, JSON_DECODE_INT_AS_REAL));
}

/* No byte of a name may act on a terminal. */
static void nothing_acts(void **state)
{
	const struct mt_render_ops *const formats[] = {&mt_render_census_table,
						       &mt_render_census_json};
	const struct mt_render_opts o = {0};
	const struct mt_snapshot *const s[] = {&hostile};

	(void)state;
	for (size_t f = 0; f < 2; f++) {
		_cleanup_writer_ struct mt_writer w = {0};

		formats[f]->snapshots(&w, s, 1, &o);
		check_harmless(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(table, setup),
		cmocka_unit_test_setup(no_section, setup),
		cmocka_unit_test_setup(census_alone, setup),
		cmocka_unit_test_setup(empty_heap, setup),
		cmocka_unit_test_setup(fits, setup),
		cmocka_unit_test_setup(line, setup),
		cmocka_unit_test_setup(json_heap, setup),
		cmocka_unit_test_setup(json_drift, setup),
		cmocka_unit_test_setup(json_unknown, setup),
		cmocka_unit_test_setup(json_census, setup),
		cmocka_unit_test_setup(nothing_acts, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
