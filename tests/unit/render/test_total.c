/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How each format shows the total of several processes. */
#include "model/total.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "golden.h"
#include "model/sizeclass.h"
#include "render/render.h"

static struct mt_snapshot one, two, total; /* large for a stack frame */
static const struct mt_snapshot *const all[] = {&one, &two, &total};

static void fill(struct mt_snapshot *s, pid_t pid, const char *comm, uint64_t blocks)
{
	struct mt_class_counts *c = &s->flows.cls[mt_class_of(128)];

	*s = (struct mt_snapshot){
		.time_ns = UINT64_C(1767323045000000006),
		.uptime_ns = UINT64_C(12345678901),
		.pid = pid,
		.start_time = 987654321,
		.cgroup = "/user.slice",
		.runtime = "native",
		.allocator = "glibc 2.36",
		.mode = "exact",
		.sizes = "usable",
		.vm_source = MT_VM_TRACEPOINT,
		.tracer = {.cpu_ns = 1500000000, .rss = 9 << 20, .map_bytes = 1 << 20},
	};
	snprintf(s->comm, sizeof(s->comm), "%s", comm);
	s->vm = (struct mt_vm){
		.data = 14 << 20,
		.stack = 132 << 10,
		.heap_sys = 13 << 20,
		.heap_resident = 12 << 20,
		.stack_sys = 132 << 10,
		.stack_resident = 20 << 10,
		.rss = 15 << 20,
		.pss = 13 << 20,
		.shared = 2 << 20,
		.cgroup_current = 20 << 20,
		.known = true,
		.detail = true,
	};
	c->mallocs = blocks;
	c->alloc_bytes = 128 * blocks;
	mt_snapshot_derive(s);
}

static int setup(void **state)
{
	(void)state;
	fill(&one, 17, "cc1", 70000);
	fill(&two, 18, "as", 1000);
	strcpy(two.cgroup, "/user.slice/x");
	strcpy(two.allocator, "jemalloc 5.3.0");
	two.flows.untraced = 1;
	mt_snapshot_total(all, 2, &total);
	return 0;
}

static void render(struct mt_writer *w, const char *format, size_t from, size_t to,
		   const struct mt_render_opts *o)
{
	mt_render_find(format)->snapshots(w, all + from, to - from, o);
}

static void line(void **state)
{
	const struct mt_render_opts o = {.unit = MT_UNIT_MIB, .prefix = true}, bare = {0};
	_cleanup_writer_ struct mt_writer w = {0}, alone = {0};

	(void)state;
	render(&w, "line", 0, 3, &o);
	compare("line-total.txt", &w);
	render(&alone, "line", 2, 3, &bare);
	assert_int_equal(strncmp(alone.buf, "total[2]\t", 9), 0);
}

static void table(void **state)
{
	const struct mt_render_opts o = {.unit = MT_UNIT_AUTO};
	_cleanup_writer_ struct mt_writer w = {0}, listed = {0}, single = {0};

	(void)state;
	render(&w, "table", 2, 3, &o);
	compare("table-total.txt", &w);
	check_widths(w.buf);
	strcpy(total.allocator, "glibc 2.36, jemalloc 5.3.0, mimalloc 2.0.9, tcmalloc 4, ...");
	render(&listed, "table", 2, 3, &o);
	check_widths(listed.buf);
	assert_non_null(strstr(listed.buf, "\nallocator glibc 2.36, jemalloc 5.3.0, "));
	mt_snapshot_total(all, 1, &total);
	render(&single, "table", 2, 3, &o);
	assert_int_equal(strncmp(single.buf, "total of 1 process  ", 20), 0);
	/* Of one cgroup there is one level. */
	assert_non_null(strstr(single.buf, "\ncgroup "));
	assert_null(strstr(w.buf, "\ncgroup "));
}

static void json(void **state)
{
	const struct mt_render_opts o = {0};
	_cleanup_writer_ struct mt_writer w = {0}, ordinary = {0};
	json_t *root;

	(void)state;
	render(&w, "json", 2, 3, &o);
	compare("total.ndjson", &w);
	root = json_loadb(w.buf, w.len, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(root);
	assert_int_equal(number(root, "pid"), 0);
	assert_int_equal(number(root, "processes"), 2);
	assert_string_equal(text(root, "comm"), "total");
	assert_int_equal(json_array_size(at(root, "allocator")), 2);
	assert_int_equal(number(root, "memstats.Mallocs"), 71000);
	assert_int_equal(number(root, "memstats.Sys"), 2 * ((14 << 20) + (132 << 10)));
	assert_int_equal(number(root, "loss.lost"), 1);
	assert_true(json_is_null(at(root, "vm.cgroup_current")));
	json_decref(root);
	render(&ordinary, "json", 0, 2, &o);
	assert_null(strstr(ordinary.buf, "\"processes\""));
}

/* Its series would be added to what they are the sum of. */
static void openmetrics(void **state)
{
	const struct mt_render_opts o = {0};
	_cleanup_writer_ struct mt_writer with = {0}, without = {0};

	(void)state;
	render(&with, "openmetrics", 0, 3, &o);
	render(&without, "openmetrics", 0, 2, &o);
	assert_string_equal(with.buf, without.buf);
	assert_non_null(strstr(with.buf, "\nmemtrace_targets 2\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(line, setup),
		cmocka_unit_test_setup(table, setup),
		cmocka_unit_test_setup(json, setup),
		cmocka_unit_test_setup(openmetrics, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
