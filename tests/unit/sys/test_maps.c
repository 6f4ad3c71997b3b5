/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/procfs.h"

static struct mt_maps *parse(const char *text)
{
	struct mt_maps *maps = NULL;

	assert_int_equal(mt_maps_parse(text, strlen(text), &maps), 0);
	return maps;
}

static void fields(void **state)
{
	struct mt_maps *maps =
		parse("1000-3000 r-xp 0001a000 fe:0b 332835                     /usr/lib/a b.so "
		      "(deleted)\n"
		      "3000-4000 rw-s 00000000 00:05 7 /dev/shm/x\n"
		      "4000-5000 ---p 00000000 00:00 0 \n"
		      "5000-6000 rw-p 00000000 00:00 0                          [heap]\n"
		      "6000-7000 rw-p 00000000 00:00 0\n"
		      "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0  [vsyscall]\n");
	const struct mt_mapping *m = maps->v;

	(void)state;
	assert_int_equal(maps->n, 6);
	assert_int_equal(m[0].start, 0x1000);
	assert_int_equal(m[0].end, 0x3000);
	assert_int_equal(m[0].offset, 0x1a000);
	assert_int_equal(m[0].dev_major, 0xfe);
	assert_int_equal(m[0].dev_minor, 0x0b);
	assert_int_equal(m[0].inode, 332835);
	assert_true(m[0].read && !m[0].write && m[0].exec && !m[0].shared && m[0].deleted);
	assert_string_equal(m[0].path, "/usr/lib/a b.so");
	assert_true(m[1].read && m[1].write && !m[1].exec && m[1].shared && !m[1].deleted);
	assert_string_equal(m[1].path, "/dev/shm/x");
	assert_true(!m[2].read && !m[2].write);
	assert_string_equal(m[2].path, "");
	assert_string_equal(m[3].path, "[heap]");
	assert_string_equal(m[4].path, "");
	assert_string_equal(m[5].path, "[vsyscall]");
	assert_int_equal(m[5].start, 0xffffffffff600000ull);
	mt_maps_free(&maps);
	assert_null(maps);
}

static void hostile_names(void **state)
{
	struct mt_maps *maps =
		parse("1000-2000 r--p 00000000 00:01 5 /a\\0122000-9000 rw-p 0 0:0 0 [heap]\n"
		      "2000-3000 r--p 00000000 00:01 6 /x (deleted) (deleted)\n"
		      "3000-4000 r--p 00000000 00:01 7 /Rss: 99 kB\n"
		      "4000-5000 r--p 00000000 00:01 8 /\x1b[31m\\134\\01\n"
		      "5000-6000 rw-p 00000000 00:00 0 [anon:Rss: 5 kB]\n");

	(void)state;
	assert_int_equal(maps->n, 5);
	assert_string_equal(maps->v[0].path, "/a\n2000-9000 rw-p 0 0:0 0 [heap]");
	assert_string_equal(maps->v[1].path, "/x (deleted)");
	assert_true(maps->v[1].deleted);
	assert_string_equal(maps->v[2].path, "/Rss: 99 kB");
	assert_int_equal(maps->v[2].rss, 0);
	assert_string_equal(maps->v[3].path, "/\x1b[31m\\134\\01");
	assert_string_equal(maps->v[4].path, "[anon:Rss: 5 kB]");
	mt_maps_free(&maps);
}

static void smaps_sizes(void **state)
{
	struct mt_maps *maps = parse("1000-3000 rw-p 00000000 00:00 0 \n"
				     "Size:                  8 kB\n"
				     "Rss:                   4 kB\n"
				     "Pss:                   2 kB\n"
				     "Pss_Dirty:            99 kB\n"
				     "AnonHugePages:         0 kB\n"
				     "VmFlags: rd wr mr mw me ac sd \n"
				     "3000-4000 rw-p 00000000 00:00 0 [heap]\n"
				     "Rss:                   1 kB\n");

	(void)state;
	assert_int_equal(maps->n, 2);
	assert_int_equal(maps->v[0].rss, 4096);
	assert_int_equal(maps->v[0].pss, 2048);
	assert_int_equal(maps->v[1].rss, 1024);
	assert_int_equal(maps->v[1].pss, 0);
	mt_maps_free(&maps);
}

static void damaged(void **state)
{
	static const char *const bad[] = {
		"1000-2000 rw-p 00000000 00:00 0",
		"1000-2000 rw-p 00000000 00:00 0 \n2000-3000 rw-p",
		"\n",
		"1000-2000\n",
		"1000-1000 rw-p 00000000 00:00 0 \n",
		"2000-1000 rw-p 00000000 00:00 0 \n",
		"1000-2000 rwxq 00000000 00:00 0 \n",
		"1000-2000 rw 00000000 00:00 0 \n",
		"1000-2000 rw-p 00000000 00:00 x \n",
		"1000-2000 rw-p 00000000 00:00 5/x\n",
		"1000-2000 rw-p 00000000 100000000:00 0 \n",
		"11111111111111111-22222222222222222 rw-p 00000000 00:00 0 \n",
		"1000-2000 rw-p 00000000 00:00 99999999999999999999 /x\n",
		"Rss: 4 kB\n",
		"1000-2000 rw-p 00000000 00:00 0 \nRss: 18446744073709551615 kB\n",
		"1000-2000 rw-p 00000000 00:00 0 \nRss: x kB\n",
		"1000-2000 rw-p 00000000 00:00 0 \n garbage\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct mt_maps *maps = NULL;

		assert_int_equal(mt_maps_parse(bad[i], strlen(bad[i]), &maps), -EBADMSG);
		assert_null(maps);
	}
}

/* A mapping listed again after it grew is cut to what is new. */
static void grown_while_reading(void **state)
{
	struct mt_maps *maps = parse("1000-3000 rw-p 00000000 00:00 0 \n"
				     "Rss: 4 kB\n"
				     "1000-5000 rw-p 00000000 00:00 0 \n"
				     "Rss: 8 kB\n"
				     "2000-4000 rw-p 00000000 00:00 0 \n"
				     "Rss: 16 kB\n"
				     "4000-6000 r--p 00010000 00:01 9 /f\n");

	(void)state;
	assert_int_equal(maps->n, 3);
	assert_int_equal(maps->v[0].rss, 4096);
	assert_int_equal(maps->v[1].start, 0x3000);
	assert_int_equal(maps->v[1].end, 0x5000);
	assert_int_equal(maps->v[1].rss, 8192);
	assert_int_equal(maps->v[2].start, 0x5000);
	assert_int_equal(maps->v[2].offset, 0x11000);
	mt_maps_free(&maps);
}

static void nothing(void **state)
{
	struct mt_maps *maps = parse("");

	(void)state;
	assert_int_equal(maps->n, 0);
	assert_null(mt_maps_find(maps, 0x1000));
	mt_maps_free(&maps);
	mt_maps_free(&maps);
}

static void find_edges(void **state)
{
	struct mt_maps *maps = parse("1000-3000 rw-p 00000000 00:00 0 \n"
				     "3000-4000 rw-p 00000000 00:00 0 \n"
				     "8000-9000 rw-p 00000000 00:00 0 \n");

	(void)state;
	assert_null(mt_maps_find(maps, 0));
	assert_null(mt_maps_find(maps, 0xfff));
	assert_ptr_equal(mt_maps_find(maps, 0x1000), &maps->v[0]);
	assert_ptr_equal(mt_maps_find(maps, 0x2fff), &maps->v[0]);
	assert_ptr_equal(mt_maps_find(maps, 0x3000), &maps->v[1]);
	assert_null(mt_maps_find(maps, 0x4000));
	assert_null(mt_maps_find(maps, 0x7fff));
	assert_ptr_equal(mt_maps_find(maps, 0x8fff), &maps->v[2]);
	assert_null(mt_maps_find(maps, 0x9000));
	assert_null(mt_maps_find(maps, UINT64_MAX));
	mt_maps_free(&maps);
}

static void many(void **state)
{
	enum { N = 70000 };
	char *text = malloc(N * 64);
	struct mt_maps *maps = NULL;
	size_t len = 0;

	(void)state;
	for (size_t i = 1; i <= N; i++)
		len += (size_t)sprintf(text + len, "%zx-%zx rw-p 00000000 00:00 0  /p%zu\n",
				       i << 16, (i << 16) + 0x1000, i);
	assert_int_equal(mt_maps_parse(text, len, &maps), 0);
	assert_int_equal(maps->n, N);
	assert_string_equal(mt_maps_find(maps, ((size_t)N << 16) + 5)->path, "/p70000");
	mt_maps_free(&maps);
	free(text);
}

static int find_frame(const struct mt_mapping *m, void *ctx)
{
	uint64_t addr = (uint64_t)(uintptr_t)ctx;

	if (addr < m->start || addr >= m->end)
		return 0;
	assert_string_equal(m->path, "[stack]");
	assert_true(m->rss && m->pss && m->rss <= m->end - m->start);
	return 77; /* what ends the reading is its result */
}

static void live_self(void **state)
{
	struct mt_maps *maps = NULL;
	const struct mt_mapping *m;

	(void)state;
	assert_int_equal(mt_maps_read(getpid(), &maps), 0);
	m = mt_maps_find(maps, (uint64_t)(uintptr_t)__builtin_frame_address(0));
	assert_non_null(m);
	assert_string_equal(m->path, "[stack]");
	m = mt_maps_find(maps, (uint64_t)(uintptr_t)live_self);
	assert_non_null(m);
	assert_true(m->exec && m->inode);
	mt_maps_free(&maps);
	assert_int_equal(mt_smaps_each(getpid(), find_frame, __builtin_frame_address(0)), 77);
}

#define DEPTH 300 /* directories of 250 letters each: no path that can be opened */

/* Makes the directories, one in the other, and maps a file in the last one. */
static void *map_deep_file(const char *top)
{
	char name[251];
	int dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;
	void *p;

	memset(name, 'd', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	for (int i = 0; i < DEPTH; i++) {
		int next;

		assert_int_equal(mkdirat(dir, name, 0700), 0);
		next = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close(dir);
		dir = next;
	}
	fd = openat(dir, "f", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	close(dir);
	assert_int_equal(ftruncate(fd, 4096), 0);
	p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	close(fd);
	assert_true(p != MAP_FAILED);
	return p;
}

struct seen {
	uint64_t addr, after;
	bool found;
};

static int see(const struct mt_mapping *m, void *ctx)
{
	struct seen *s = ctx;

	if (m->start <= s->addr && s->addr < m->end) {
		assert_string_equal(m->path, "");
		assert_true(m->inode && m->exec);
		s->found = true;
	}
	s->after = m->start;
	return 0;
}

/* A line longer than any buffer is a mapping like others; only its name is not had. */
static void endless_name(void **state)
{
	char top[] = "/tmp/memtrace-unit-XXXXXX", cmd[64];
	struct seen seen = {0};
	struct mt_maps *maps = NULL;
	void *p;

	(void)state;
	assert_non_null(mkdtemp(top));
	p = map_deep_file(top);
	seen.addr = (uint64_t)(uintptr_t)p;
	assert_int_equal(mt_maps_each(getpid(), see, &seen), 0);
	assert_true(seen.found && seen.after > seen.addr);
	assert_int_equal(mt_maps_read(getpid(), &maps), 0);
	mt_maps_free(&maps);
	munmap(p, 4096);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", top);
	assert_int_equal(system(cmd), 0);
}

/* Anonymous memory is not kept, and much of it costs nothing. */
static void names_only(void **state)
{
	enum { N = 20000 };
	char *p = mmap(NULL, N * 8192ul, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		       0);
	struct mt_maps *maps = NULL;

	(void)state;
	assert_true(p != MAP_FAILED);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(mprotect(p + i * 8192, 4096, PROT_NONE), 0);
	assert_int_equal(mt_maps_read(getpid(), &maps), 0);
	assert_true(maps->n < N);
	for (size_t i = 0; i < maps->n; i++)
		assert_true(maps->v[i].path[0] != '\0');
	mt_maps_free(&maps);
	munmap(p, N * 8192ul);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields),     cmocka_unit_test(hostile_names),
		cmocka_unit_test(damaged),    cmocka_unit_test(smaps_sizes),
		cmocka_unit_test(nothing),    cmocka_unit_test(grown_while_reading),
		cmocka_unit_test(many),       cmocka_unit_test(find_edges),
		cmocka_unit_test(live_self),  cmocka_unit_test(endless_name),
		cmocka_unit_test(names_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
