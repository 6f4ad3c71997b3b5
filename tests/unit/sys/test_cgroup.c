/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Limits of version 2's tree, which a machine may not have; how /proc names it: test_procfs. */
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "sys/procfs.h"

static char top[] = "/tmp/memtrace-cgroup-XXXXXX";

static void set(const char *dir, const char *max)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s%s", top, dir);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s%s/memory.max", top, dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f, "%s\n", max);
	fclose(f);
}

static int lowest(const char *dir, uint64_t *bytes)
{
	char path[256];

	snprintf(path, sizeof(path), "%s%s", top, dir);
	return mt_cgroup_lowest_max(path, strlen(top), bytes);
}

static void lowest_of_all_above(void **state)
{
	uint64_t v = 7;

	(void)state;
	set("/a", "max");
	set("/a/b", "max");
	assert_int_equal(lowest("/a/b", &v), -ENODATA);
	assert_int_equal(v, 7);
	set("/a", "3000");
	assert_int_equal(lowest("/a/b", &v), 0);
	assert_int_equal(v, 3000);
	set("/a/b", "2000");
	assert_int_equal(lowest("/a/b", &v), 0);
	assert_int_equal(v, 2000);
	set("/a", "1000");
	assert_int_equal(lowest("/a/b", &v), 0);
	assert_int_equal(v, 1000);
	assert_int_equal(lowest("/a/b/", &v), 0);
	assert_int_equal(v, 1000);
	set("/a", "max");
	set("/a/b/c", "max");
	assert_int_equal(lowest("/a/b/c", &v), 0);
	assert_int_equal(v, 2000);
}

/* Where the controller is not enabled there is no file. */
static void none_to_be_seen(void **state)
{
	uint64_t v;

	(void)state;
	assert_int_equal(lowest("", &v), -ENOENT);
	assert_int_equal(lowest("/x/y", &v), -ENOENT);
	/* of one that is not there those above it count */
	set("/a", "5000");
	assert_int_equal(lowest("/a/x/y", &v), 0);
	assert_int_equal(v, 5000);
}

static int make(void **state)
{
	(void)state;
	return mkdtemp(top) ? 0 : -1;
}

static int drop(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static int clean(void **state)
{
	(void)state;
	return nftw(top, drop, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lowest_of_all_above),
		cmocka_unit_test(none_to_be_seen),
	};

	return cmocka_run_group_tests(tests, make, clean);
}
