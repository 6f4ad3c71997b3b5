/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "saved/moments.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "files.h"

/* What a file has: one snapshot each; at: ms since the trace began. */
struct line {
	pid_t pid;
	uint64_t at, seq;
	bool final;
	uint64_t processes;
};

static char *file_of(const struct line *v, size_t n)
{
	_cleanup_writer_ struct mt_writer w = {0};

	for (size_t i = 0; i < n; i++)
		write_snapshot(&w, v[i].pid, v[i].at, v[i].seq, v[i].final, v[i].processes);
	return write_file(w.buf, w.len);
}
#define FILE_OF(v) file_of(v, sizeof(v) / sizeof((v)[0]))

/* "1:0 2:3": pids and seqs, in order. */
static void holds(const struct mt_moment *m, const char *want)
{
	_cleanup_writer_ struct mt_writer w = {0};

	for (size_t i = 0; i < m->n; i++)
		mt_writef(&w, "%s%d:%d", i ? " " : "", m->v[i]->pid, (int)m->v[i]->seq);
	assert_string_equal(w.buf ? w.buf : "", want);
}

static const struct line two_processes[] = {
	{1, 0, 0, false, 0},    {2, 1, 0, false, 0},   {1, 1000, 1, false, 0},
	{2, 1001, 1, false, 0}, {2, 1500, 2, true, 0}, {1, 2000, 2, false, 0},
	{1, 3000, 3, true, 0},
};

/* With -a: what came and went in between, and the total behind all. */
static const struct line crowd[] = {
	{1, 0, 0, false, 0},    {2, 1, 0, false, 0},    {3, 500, 0, true, 0},
	{1, 1000, 1, false, 0}, {2, 1001, 1, false, 0}, {4, 1002, 0, false, 0},
	{5, 1003, 0, false, 0}, {4, 1300, 1, true, 0},  {2, 1600, 2, true, 0},
	{1, 2000, 2, true, 0},  {5, 2001, 1, true, 0},  {6, 2002, 0, true, 0},
	{0, 2002, 2, true, 6},
};

/* Two traces in one file. */
static const struct line appended[] = {
	{1, 0, 0, false, 0}, {1, 1000, 1, false, 0}, {1, 0, 0, false, 0}, {1, 1000, 1, false, 0}};

static void last(void **state)
{
	_cleanup_file_ char *two = FILE_OF(two_processes), *many = FILE_OF(crowd);
	__attribute__((cleanup(mt_moment_fini))) struct mt_moment m = {0}, n = {0};
	struct mt_saved_seen seen;

	(void)state;
	assert_int_equal(mt_saved_moment(two, NULL, &m, &seen), 0);
	holds(&m, "1:3");
	assert_int_equal(seen.snapshots, 7);
	assert_int_equal(seen.moments, 5);
	assert_int_equal(mt_saved_moment(many, NULL, &n, &seen), 0);
	holds(&n, "1:2 5:1 6:0");
	assert_int_equal(seen.totals, 1);
	assert_int_equal(seen.snapshots, 12);
}

static void by_seq(void **state)
{
	_cleanup_file_ char *two = FILE_OF(two_processes), *twice = FILE_OF(appended);
	__attribute__((cleanup(mt_moment_fini))) struct mt_moment m = {0}, n = {0};
	struct mt_saved_seen seen;
	uint64_t seq = 1;

	(void)state;
	assert_int_equal(mt_saved_moment(two, &seq, &m, &seen), 0);
	holds(&m, "1:1 2:1");
	seq = 9;
	assert_int_equal(mt_saved_moment(two, &seq, &n, &seen), -ENOENT);
	assert_non_null(strstr(logged, ": no snapshot with seq 9 in it"));
	seq = 1;
	assert_int_equal(mt_saved_moment(twice, &seq, &n, &seen), -EEXIST);
	assert_non_null(strstr(logged, "begin in line 2 and again in line 4"));
}

static void ends(void **state)
{
	_cleanup_file_ char *two = FILE_OF(two_processes), *many = FILE_OF(crowd);
	__attribute__((cleanup(mt_moment_fini))) struct mt_moment a = {0}, b = {0}, c = {0},
								  d = {0};
	struct mt_saved_seen seen;

	(void)state;
	assert_int_equal(mt_saved_ends(two, &a, &b, &seen), 0);
	holds(&a, "1:0 2:0");
	holds(&b, "1:3 2:2");
	assert_int_equal(seen.pairs, 2);
	assert_int_equal(seen.between, 0);
	assert_int_equal(mt_saved_ends(many, &c, &d, &seen), 0);
	holds(&c, "1:0 2:0 5:0");
	holds(&d, "1:2 2:2 5:1 6:0");
	assert_int_equal(seen.pairs, 3);
	assert_int_equal(seen.between, 2); /* 3 and 4 */
	assert_int_equal(seen.totals, 1);
}

/* So many that some are forgotten while others still come; each is counted once. */
static void many_in_between(void **state)
{
	__attribute__((cleanup(mt_moment_fini))) struct mt_moment a = {0}, b = {0};
	_cleanup_file_ char *path = NULL;
	struct mt_saved_seen seen;
	struct line v[301] = {{1, 0, 0, false, 0}};

	(void)state;
	for (int i = 1; i < 300; i++)
		v[i] = (struct line){1000 - i, (uint64_t)i * 1000, 0, true, 0};
	v[300] = (struct line){1, 300000, 1, true, 0};
	path = FILE_OF(v);
	assert_int_equal(mt_saved_ends(path, &a, &b, &seen), 0);
	holds(&a, "1:0");
	holds(&b, "1:1");
	assert_int_equal(seen.between, 299);
	assert_int_equal(seen.pairs, 1);
}

/* Counted from the attach at first, then by a census; of the second only at its end. */
static void heap_read_later(void **state)
{
	__attribute__((cleanup(mt_moment_fini))) struct mt_moment a = {0}, b = {0};
	_cleanup_writer_ struct mt_writer w = {0};
	struct mt_saved_seen seen;
	_cleanup_file_ char *path = NULL;

	(void)state;
	for (uint64_t i = 0; i < 5; i++) {
		for (pid_t pid = 1; pid <= 2; pid++) {
			counts_from = i < (pid == 1 ? 2 : 4) ? MT_SINCE_ATTACH : MT_SINCE_CENSUS;
			write_snapshot(&w, pid, 1000 * i + (uint64_t)pid, i, i == 4, 0);
		}
	}
	counts_from = MT_SINCE_START;
	path = write_file(w.buf, w.len);

	assert_int_equal(mt_saved_ends(path, &a, &b, &seen), 0);
	holds(&a, "1:2 2:0");
	holds(&b, "1:4 2:4");
	assert_int_equal(seen.later, 1);
}

static void one_snapshot(void **state)
{
	static const struct line one[] = {{1, 0, 0, true, 0}};
	_cleanup_file_ char *path = FILE_OF(one);
	__attribute__((cleanup(mt_moment_fini))) struct mt_moment a = {0}, b = {0};
	struct mt_saved_seen seen;

	(void)state;
	assert_int_equal(mt_saved_ends(path, &a, &b, &seen), 0);
	holds(&a, "1:0");
	holds(&b, "");
	assert_int_equal(seen.pairs, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(last),         cmocka_unit_test(by_seq),
		cmocka_unit_test(ends),         cmocka_unit_test(heap_read_later),
		cmocka_unit_test(one_snapshot), cmocka_unit_test(many_in_between),
	};

	mt_log_set_sink(keep_log);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
