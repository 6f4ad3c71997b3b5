/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a report keeps of snapshots, and what it writes of them. */
#include "report/report.h"

#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "model/sizeclass.h"
#include "report/internal.h"

#define SECOND UINT64_C(1000000000)
#define BEGIN  (UINT64_C(1767323045) * SECOND)

static struct mt_snapshot snap; /* large for a stack frame */

static void fill(pid_t pid, uint64_t second)
{
	memset(&snap, 0, sizeof(snap));
	snap.time_ns = BEGIN + second * SECOND;
	snap.uptime_ns = second * SECOND + 1;
	snap.seq = second;
	snap.pid = pid;
	snap.start_time = 77;
	snap.mode = "exact";
	snap.sizes = "usable";
	snap.since = MT_SINCE_CENSUS;
	snprintf(snap.host, sizeof(snap.host), "node1");
	snprintf(snap.comm, sizeof(snap.comm), "demo");
	snprintf(snap.exe, sizeof(snap.exe), "/usr/bin/demo");
	snap.memstats.mallocs = 10 * second;
	snap.memstats.total_alloc = 1000 * second;
}

static struct mt_report *report_new(void)
{
	struct mt_report *r;

	assert_int_equal(mt_report_new(&r), 0);
	assert_int_equal(mt_report_file(r, "some.ndjson"), 0);
	return r;
}

static void add(struct mt_report *r)
{
	assert_int_equal(mt_report_add(r, &snap), 0);
}

/* The data of the page, to be freed by json_decref. */
static json_t *written(struct mt_report *r)
{
	_cleanup_writer_ struct mt_writer w = {0};
	const char *data, *end;
	json_error_t e;
	json_t *j;

	assert_int_equal(mt_report_write(r, &w), 0);
	data = strstr(w.buf, "id=\"data\">");
	assert_non_null(data);
	data += strlen("id=\"data\">");
	end = strstr(data, "</script>");
	assert_non_null(end);
	j = json_loadb(data, (size_t)(end - data), JSON_DECODE_INT_AS_REAL, &e);
	if (!j)
		fail_msg("%s at %d", e.text, e.position);
	return j;
}

static json_t *process_of(json_t *j, size_t i)
{
	return json_array_get(json_object_get(j, "processes"), i);
}

/* The i-th of a column, as page/data.js reads it. */
static double at(const json_t *column, size_t i)
{
	const json_t *d = json_object_get(column, "d");
	double sum = 0;

	if (json_is_number(column))
		return json_number_value(column);
	if (!d)
		return json_number_value(json_array_get(json_object_get(column, "v"), i));
	for (size_t k = 0; k <= i; k++)
		sum += json_number_value(json_array_get(d, k));
	return sum;
}

static size_t points_of(const json_t *p)
{
	return (size_t)json_number_value(json_object_get(p, "points"));
}

static const json_t *field(json_t *j, const json_t *p, const char *group, const char *name)
{
	json_t *c;
	size_t i;

	json_array_foreach(json_object_get(j, "columns"), i, c)
	{
		if (!strcmp(json_string_value(json_object_get(c, "group")), group) &&
		    !strcmp(json_string_value(json_object_get(c, "name")), name))
			return json_array_get(json_object_get(p, "values"), i);
	}
	fail_msg("no field %s", name);
	return NULL;
}

/* The row of the field where it has that value; points if there is none. */
static size_t row_with(json_t *j, const json_t *p, const char *group, const char *name, double v)
{
	const json_t *c = field(j, p, group, name);
	size_t n = points_of(p);

	for (size_t i = 0; i < n; i++)
		if (at(c, i) == v)
			return i;
	return n;
}

#define MANY 60000

static void fill_wave(uint64_t i)
{
	fill(42, i);
	snap.memstats.alloc = 1000000 + i * 7919 % 500000;
	snap.memstats.sys = 5000000;
	snap.memstats.heap_inuse = 2000000 + i * 104729 % 300000;
	snap.vm.rss = 3000000 + i * 15485863 % 900000;
	if (i == 12345)
		snap.memstats.alloc = 99999999;
	if (i % 9001 == 9000)
		snap.memstats.sys = i;
	if (i == 34567)
		snap.vm.rss = 88888888;
	if (i == 45678)
		snap.memstats.heap_inuse = 77777777;
	/* one burst each: of bytes, of blocks, and of blocks freed */
	if (i > 50000)
		snap.memstats.total_alloc += 66666666;
	if (i > 30010)
		snap.memstats.mallocs += 5555555;
	if (i > 40036)
		snap.memstats.frees += 4444444;
	if (i == 4321)
		snprintf(snap.event, sizeof(snap.event), "SIGUSR1");
}

/* However many: few are kept, in order, with the highest, the lowest, first, last and marks. */
static void test_peaks_stay(void **state)
{
	struct mt_report *r = report_new();
	json_t *j, *p;
	size_t n, i;

	(void)state;
	for (uint64_t k = 0; k < MANY; k++) {
		fill_wave(k);
		add(r);
		assert_true(r->n_points <= POINTS_MAX);
	}
	j = written(r);
	p = process_of(j, 0);
	n = points_of(p);
	assert_in_range(n, 1000, POINTS_MAX);
	assert_int_equal((json_int_t)json_number_value(json_object_get(p, "snapshots")), MANY);
	i = row_with(j, p, "MemStats", "Alloc", 99999999);
	assert_true(i < n);
	assert_int_equal(at(json_object_get(p, "seq"), i), 12345);
	for (uint64_t low = 9000; low < MANY; low += 9001)
		assert_true(row_with(j, p, "MemStats", "Sys", (double)low) < n);
	assert_true(row_with(j, p, "Address space", "rss", 88888888) < n);
	assert_true(row_with(j, p, "MemStats", "HeapInuse", 77777777) < n);
	assert_int_equal(at(json_object_get(p, "seq"), 0), 0);
	assert_int_equal(at(json_object_get(p, "seq"), n - 1), MANY - 1);
	for (i = 1; i < n; i++)
		assert_true(at(json_object_get(p, "seq"), i) >
			    at(json_object_get(p, "seq"), i - 1));
	json_decref(j);
	mt_report_free(&r);
}

/* The steepest rise, and the snapshot with the mark, are there with their own numbers. */
static void test_rates_and_marks_stay(void **state)
{
	struct mt_report *r = report_new();
	const json_t *seq, *d, *sum;
	unsigned int bursts = 0;
	bool mark = false;
	json_t *j, *p;
	size_t n;

	(void)state;
	for (uint64_t k = 0; k < MANY; k++) {
		fill_wave(k);
		add(r);
	}
	j = written(r);
	p = process_of(j, 0);
	n = points_of(p);
	seq = json_object_get(p, "seq");
	d = json_object_get(json_object_get(p, "difference"), "alloc");
	sum = json_object_get(json_object_get(p, "sum"), "alloc");
	for (size_t i = 0; i < n; i++) {
		bursts += at(seq, i) == 50001 && at(d, i) == 66667666;
		bursts += at(seq, i) == 30011 || at(seq, i) == 40037;
		mark = mark || at(seq, i) == 4321;
	}
	assert_int_equal(bursts, 3);
	assert_true(mark);
	assert_int_equal(at(sum, n - 1), (MANY - 1) * 1000 + 66666666);
	p = json_array_get(json_object_get(p, "marks"), 0);
	assert_string_equal(json_string_value(json_object_get(p, "text")), "SIGUSR1");
	assert_int_equal((json_int_t)json_number_value(json_object_get(p, "time")),
			 (BEGIN + 4321 * SECOND) / 1000);
	json_decref(j);
	mt_report_free(&r);
}

static int flags_at(json_t *p, size_t i)
{
	return (int)at(json_object_get(p, "flags"), i);
}

/* No rate leads over counts that began anew, nor from one trace into another. */
static void test_restarts(void **state)
{
	struct mt_report *r = report_new();
	json_t *j, *p, *d;

	(void)state;
	for (uint64_t i = 10; i < 13; i++) {
		fill(42, i);
		add(r);
	}
	fill(42, 13);
	snap.memstats.total_alloc = 5;
	snprintf(snap.exe, sizeof(snap.exe), "/usr/bin/other");
	add(r);
	fill(42, 14);
	snap.seq = 0;
	add(r);
	j = written(r);
	p = process_of(j, 0);
	d = json_object_get(p, "dt");
	assert_int_equal(points_of(p), 5);
	assert_int_equal(at(d, 0), 0);
	assert_int_equal(at(d, 1), 1000000);
	assert_true(flags_at(p, 3) & POINT_RESTART);
	assert_int_equal(at(d, 3), 0);
	assert_true(flags_at(p, 4) & POINT_TRACE);
	assert_int_equal(at(d, 4), 0);
	json_decref(j);
	mt_report_free(&r);
}

/* Files in any order: the page has them in the order of time. */
static void test_order(void **state)
{
	struct mt_report *r = report_new();
	json_t *j, *t;

	(void)state;
	for (uint64_t i = 0; i < 6; i++) {
		fill(42, (i + 3) % 6);
		add(r);
	}
	j = written(r);
	t = json_object_get(process_of(j, 0), "time");
	for (size_t i = 1; i < 6; i++)
		assert_true(at(t, i) > at(t, i - 1));
	json_decref(j);
	mt_report_free(&r);
}

static void test_total(void **state)
{
	struct mt_report *r = report_new();
	json_t *j, *p;

	(void)state;
	for (uint64_t i = 0; i < 4; i++) {
		for (pid_t pid = 1; pid <= 3; pid++) {
			if (pid == 3 && i < 2)
				continue;
			fill(pid, i);
			/* the third begins meanwhile */
			snap.since = MT_SINCE_START;
			snap.seq = pid == 3 ? i - 2 : i;
			snap.flows.cls[5].alloc_bytes = 100 * (uint64_t)pid;
			snap.flows.cls[5].mallocs = 1;
			snap.memstats.alloc = 100 * (uint64_t)pid;
			add(r);
		}
	}
	j = written(r);
	p = process_of(j, 0);
	assert_true(json_is_true(json_object_get(p, "total")));
	assert_int_equal(points_of(p), 4);
	assert_int_equal(at(field(j, p, "MemStats", "Alloc"), 1), 300);
	assert_int_equal(at(field(j, p, "MemStats", "Alloc"), 3), 600);
	/* its 2,000 bytes and two others' 1,000 */
	p = json_object_get(json_object_get(p, "difference"), "alloc");
	assert_int_equal(at(p, 1), 2000);
	assert_int_equal(at(p, 2), 4000);
	assert_int_equal(at(p, 3), 3000);
	assert_int_equal(json_array_size(json_object_get(j, "processes")), 4);
	json_decref(j);
	mt_report_free(&r);
}

/* More processes than there is room for: the largest stay, the others are summed up. */
static void test_many_processes(void **state)
{
	struct mt_report *r = report_new();
	uint64_t least = UINT64_MAX;
	json_t *j, *o, *p;
	size_t i;

	(void)state;
	for (uint64_t second = 0; second < 3; second++) {
		for (pid_t pid = 1; pid <= 1000; pid++) {
			fill(pid, second);
			snap.memstats.alloc = UINT64_C(1) << (pid % 20);
			add(r);
		}
	}
	j = written(r);
	o = json_object_get(j, "others");
	assert_int_equal(json_array_size(json_object_get(j, "processes")), PROCESSES_MAX);
	assert_int_equal((json_int_t)json_number_value(json_object_get(o, "processes")),
			 1000 - (PROCESSES_MAX - 1));
	json_array_foreach(json_object_get(j, "processes"), i, p)
	{
		uint64_t peak = (uint64_t)json_number_value(json_object_get(p, "peak"));

		if (peak < least)
			least = peak;
	}
	assert_true(least >= 1 << 16);
	assert_true((json_int_t)json_number_value(json_object_get(o, "peak")) <=
		    2 * (json_int_t)least);
	json_decref(j);
	mt_report_free(&r);
}

static void test_all_points_bounded(void **state)
{
	struct mt_report *r = report_new();
	json_t *j;

	(void)state;
	for (uint64_t i = 0; i < 3000; i++) {
		for (pid_t pid = 1; pid <= 40; pid++) {
			fill(pid, i);
			snap.memstats.alloc = i * (uint64_t)pid * 7919 % 1000003;
			snprintf(snap.event, sizeof(snap.event), "e%d", (int)i);
			snprintf(snap.label, sizeof(snap.label), "l%d", (int)i);
			snprintf(snap.exe, sizeof(snap.exe), "/x%d", (int)i);
			assert_int_equal(mt_report_add(r, &snap), 0);
			assert_true(r->n_points <= ALL_POINTS + 1);
		}
	}
	j = written(r);
	assert_true((json_int_t)json_number_value(
			    json_object_get(process_of(j, 1), "marks_dropped")) > 0);
	assert_true((json_int_t)json_number_value(
			    json_object_get(process_of(j, 1), "metas_dropped")) > 0);
	json_decref(j);
	mt_report_free(&r);
}

static void test_pauses(void **state)
{
	struct mt_report *r = report_new();
	json_int_t longest = 0;
	json_t *j, *p, *v;
	size_t i;

	(void)state;
	for (uint64_t k = 1; k < 9000; k++) {
		fill(42, k);
		snap.gc.present = true;
		snap.gc.consistent = true;
		snap.gc.pauses = 2;
		snap.memstats.num_gc = (uint32_t)(2 * k);
		for (uint64_t g = 2 * k - 2; g < 2 * k; g++) {
			snap.memstats.pause_ns[g % 256] = g == 7000 ? 5555555 : 1000 + g % 100;
			snap.memstats.pause_end[g % 256] = snap.time_ns - 1000 * (2 * k - g);
		}
		add(r);
	}
	j = written(r);
	p = process_of(j, 0);
	assert_int_equal((json_int_t)json_number_value(json_object_get(p, "all_pauses")), 2 * 8999);
	assert_in_range(json_array_size(json_object_get(p, "pauses")), 1000, PAUSES_MAX);
	json_array_foreach(json_object_get(p, "pauses"), i, v)
	{
		json_int_t ns = (json_int_t)json_number_value(json_array_get(v, 1));

		longest = ns > longest ? ns : longest;
	}
	assert_int_equal(longest, 5555555);
	json_decref(j);
	mt_report_free(&r);
}

/* Names end no script, and numbers that no double holds spoil no others. */
static void test_hostile(void **state)
{
	static const char name[] = "</script><img src=x onerror=alert(1)><!--<script>";
	struct mt_report *r = report_new();
	json_t *j, *p;

	(void)state;
	assert_int_equal(mt_report_file(r, name), 0);
	for (uint64_t i = 0; i < 4; i++) {
		fill(42, i);
		snprintf(snap.comm, sizeof(snap.comm), "%s", name);
		snprintf(snap.exe, sizeof(snap.exe), "%s", name);
		snprintf(snap.host, sizeof(snap.host), "%s", name);
		snprintf(snap.label, sizeof(snap.label), "%s", name);
		snap.memstats.alloc = i == 1 ? UINT64_MAX : 100 + i;
		snap.memstats.total_alloc = UINT64_MAX;
		snap.memstats.gc_cpu_fraction = 0.0 / 0.0;
		snap.flows.cls[MT_CLASSES - 1].mallocs = UINT64_MAX;
		snap.flows.cls[MT_CLASSES - 1].alloc_bytes = i ? UINT64_MAX : 1;
		add(r);
	}
	fill(43, UINT64_MAX / SECOND);
	snap.time_ns = UINT64_MAX;
	add(r);
	j = written(r);
	p = process_of(j, 1); /* behind the total */
	assert_int_equal(points_of(p), 4);
	assert_string_equal(json_string_value(json_object_get(p, "comm")), name);
	assert_int_equal(at(field(j, p, "MemStats", "Alloc"), 2), 102);
	assert_int_equal(at(field(j, p, "MemStats", "Alloc"), 3), 103);
	assert_true(at(field(j, p, "MemStats", "Alloc"), 1) > 1e19);
	json_decref(j);
	mt_report_free(&r);
}

static void test_nothing(void **state)
{
	_cleanup_writer_ struct mt_writer w = {0};
	struct mt_report *r = report_new();

	(void)state;
	assert_int_equal(mt_report_write(r, &w), -ENODATA);
	mt_report_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_peaks_stay),
		cmocka_unit_test(test_rates_and_marks_stay),
		cmocka_unit_test(test_restarts),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_total),
		cmocka_unit_test(test_many_processes),
		cmocka_unit_test(test_all_points_bounded),
		cmocka_unit_test(test_pauses),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
