/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cli/output.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "capture.h"

static char dir[64];
static char logged[1024];
static int n_logged;
static size_t padding; /* bytes that a record has more */

static void sink(enum mt_log_level level, const char *msg)
{
	if (level != MT_LOG_ERR)
		return;
	n_logged++;
	snprintf(logged, sizeof(logged), "%s", msg);
}

static void render(struct mt_writer *w, const struct mt_snapshot *const *s, size_t n,
		   const struct mt_render_opts *o)
{
	(void)o;
	for (size_t i = 0; i < n; i++)
		mt_writef(w, "%d:%d\n", s[i]->pid, (int)s[i]->seq);
	for (size_t i = 0; i < padding; i++)
		mt_write_str(w, "x");
}

static const struct mt_render_ops stream = {"stream", false, render, false};
static const struct mt_render_ops document = {"document", true, render, false};
static const struct mt_render_opts opts;

static struct mt_snapshot snaps[2];
static const struct mt_snapshot *const both[] = {&snaps[0], &snaps[1]};

static const char *path_of(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void assert_file(const char *name, const char *want)
{
	char text[4096];
	FILE *f = fopen(path_of(name), "re");
	size_t n;

	if (!f)
		fail_msg("%s is not there", name);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	assert_string_equal(text, want);
}

static int count_files(void)
{
	DIR *d = opendir(dir);
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static struct mt_output *open_output(const char *name, const struct mt_render_ops *format)
{
	struct mt_output *o = NULL;

	assert_int_equal(mt_output_new(name ? path_of(name) : NULL, format, &opts, &o), 0);
	assert_non_null(o);
	return o;
}

static void put(struct mt_output *o, uint64_t seq)
{
	snaps[0].seq = snaps[1].seq = seq;
	assert_int_equal(mt_output_put(o, both, 2), 0);
}

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/mt-output-XXXXXX");
	memset(snaps, 0, sizeof(snaps));
	snaps[0].pid = 7;
	snaps[1].pid = 8;
	snaps[0].time_ns = snaps[1].time_ns = 1767323045999999999; /* 2026-01-02 03:04:05 */
	logged[0] = '\0';
	n_logged = 0;
	padding = 0;
	mt_log_set_sink(sink);
	umask(022);
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	DIR *d = opendir(dir);
	const struct dirent *e;

	(void)state;
	while ((e = readdir(d)))
		unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	return rmdir(dir);
}

static void standard_output(void **state)
{
	const char *const names[] = {NULL, "-"};
	struct capture c;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct mt_output *o = NULL;

		capture_begin(&c, stdout);
		assert_int_equal(mt_output_new(names[i], &document, &opts, &o), 0);
		put(o, 0);
		put(o, 1);
		mt_output_free(&o);
		assert_string_equal(capture_end(&c), "7:0\n8:0\n7:1\n8:1\n");
		assert_null(o);
	}
}

static void stream_grows(void **state)
{
	struct mt_output *o;
	struct stat st;
	FILE *f;

	(void)state;
	f = fopen(path_of("out"), "we");
	fputs("what was there before", f);
	fclose(f);
	o = open_output("out", &stream);
	assert_file("out", "");
	put(o, 0);
	assert_file("out", "7:0\n8:0\n");
	put(o, 1);
	assert_file("out", "7:0\n8:0\n7:1\n8:1\n");
	assert_int_equal(mt_output_put(o, both, 0), 0);
	assert_int_equal(truncate(path_of("out"), 0), 0);
	put(o, 2);
	assert_file("out", "7:2\n8:2\n");
	mt_output_free(&o);
	assert_int_equal(stat(path_of("out"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	o = open_output("out", &stream);
	assert_file("out", "");
	mt_output_free(&o);
}

static void umask_holds(void **state)
{
	struct mt_output *o;
	struct stat st;

	(void)state;
	umask(077);
	o = open_output("out", &stream);
	mt_output_free(&o);
	o = open_output("doc", &document);
	put(o, 0);
	mt_output_free(&o);
	assert_int_equal(stat(path_of("out"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat(path_of("doc"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void stream_by_pid(void **state)
{
	struct mt_output *o = open_output("s-%p-%t-100%%", &stream);

	(void)state;
	assert_int_equal(count_files(), 0);
	put(o, 0);
	snaps[0].time_ns = snaps[1].time_ns += 1000000000; /* the file keeps its name */
	put(o, 1);
	assert_file("s-7-20260102T030405Z-100%", "7:0\n7:1\n");
	assert_file("s-8-20260102T030405Z-100%", "8:0\n8:1\n");
	assert_int_equal(count_files(), 2);
	mt_output_free(&o);
}

static void one_file_per_snapshot(void **state)
{
	struct mt_output *o = open_output("%p.%n", &stream);

	(void)state;
	put(o, 0);
	put(o, 10);
	assert_file("7.0", "7:0\n");
	assert_file("8.10", "8:10\n");
	assert_int_equal(count_files(), 4);
	mt_output_free(&o);
	o = open_output("all-%n", &stream);
	put(o, 3);
	assert_file("all-3", "7:3\n8:3\n");
	mt_output_free(&o);
}

/* A reader that holds the old document sees it whole: the new one is another file. */
static void document_is_replaced(void **state)
{
	struct mt_output *o = open_output("doc", &document);
	struct stat old, new;
	char text[64] = "";
	int fd;

	(void)state;
	assert_int_equal(count_files(), 0);
	put(o, 0);
	assert_int_equal(stat(path_of("doc"), &old), 0);
	assert_int_equal(old.st_mode & 07777, 0644);
	fd = open(path_of("doc"), O_RDONLY | O_CLOEXEC);
	put(o, 1);
	assert_int_equal(read(fd, text, sizeof(text) - 1), 8);
	assert_string_equal(text, "7:0\n8:0\n");
	assert_int_equal(stat(path_of("doc"), &new), 0);
	assert_int_not_equal(old.st_ino, new.st_ino);
	close(fd);
	assert_file("doc", "7:1\n8:1\n");
	assert_int_equal(count_files(), 1);
	mt_output_free(&o);
}

/* In the test's own directory: should the code be wrong, /dev stays as it is. */
static void devices_are_not_replaced(void **state)
{
	struct mt_output *o;
	struct stat st;
	char text[64] = "";
	int fd;

	(void)state;
	assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
	fd = open(path_of("fifo"), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	o = open_output("fifo", &document);
	put(o, 0);
	mt_output_free(&o);
	assert_int_equal(lstat(path_of("fifo"), &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
	assert_int_equal(read(fd, text, sizeof(text) - 1), 8);
	assert_string_equal(text, "7:0\n8:0\n");
	close(fd);

	assert_int_equal(symlink("/dev/full", path_of("full")), 0);
	o = open_output("full", &document);
	assert_int_equal(mt_output_put(o, both, 2), -ENOSPC);
	assert_int_equal(n_logged, 1);
	assert_memory_equal(logged, "cannot write /tmp/mt-output-", 28);
	assert_non_null(strstr(logged, "/full: No space left on device: free some space or choose "
				       "another -o FILE"));
	mt_output_free(&o);
}

/* A link under a name that nobody typed was planted. */
static void links(void **state)
{
	struct mt_output *o;
	struct stat st;
	FILE *f = fopen(path_of("victim"), "we");
	char victim[256];

	(void)state;
	fputs("precious", f);
	fclose(f);
	snprintf(victim, sizeof(victim), "%s", path_of("victim"));
	assert_int_equal(symlink(victim, path_of("s7")), 0);
	assert_int_equal(symlink(victim, path_of("d7")), 0);

	o = open_output("s%p", &stream);
	assert_int_equal(mt_output_put(o, both, 1), -ELOOP);
	assert_int_equal(n_logged, 1);
	assert_non_null(strstr(logged, "symbolic link"));
	mt_output_free(&o);
	o = open_output("d%p", &document);
	put(o, 0);
	mt_output_free(&o);
	assert_file("victim", "precious");
	assert_int_equal(lstat(path_of("d7"), &st), 0);
	assert_true(S_ISREG(st.st_mode));

	/* A name that was typed is followed, whatever the format. */
	o = open_output("s7", &document);
	put(o, 5);
	mt_output_free(&o);
	assert_file("victim", "7:5\n8:5\n");
	assert_int_equal(lstat(path_of("s7"), &st), 0);
	assert_true(S_ISLNK(st.st_mode));
}

static void bad_patterns(void **state)
{
	static const struct {
		const char *pattern, *message;
	} bad[] = {
		{"out-%x", "-o: unknown %x in 'out-%x': use"},
		{"out-%", "-o: unknown % in 'out-%': use"},
		{"%%%", "-o: unknown % in '%%%': use"},
		{"%p%\033", "-o: unknown % in '%p%\\x1B': use"},
		{"", "-o: empty file name"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct mt_output *o = NULL;

		n_logged = 0;
		assert_int_equal(mt_output_new(bad[i].pattern, &stream, &opts, &o), -EINVAL);
		assert_null(o);
		assert_int_equal(n_logged, 1);
		assert_memory_equal(logged, bad[i].message, strlen(bad[i].message));
	}
}

static void unwritable_at_once(void **state)
{
	static const char *const names[] = {"no/out", "no/out.%p", "no/out.%n"};
	const struct mt_render_ops *const formats[] = {&stream, &document};
	char want[512];

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		struct mt_output *o = NULL;
		const char *path = path_of(names[i / 2]);

		n_logged = 0;
		assert_int_equal(mt_output_new(path, formats[i % 2], &opts, &o), -ENOENT);
		assert_null(o);
		assert_int_equal(n_logged, 1);
		snprintf(want, sizeof(want),
			 "cannot write %s: No such file or directory: create its directory first",
			 path);
		assert_string_equal(logged, want);
	}
	assert_int_equal(mkdir(path_of("sub"), 0755), 0);
	for (size_t i = 0; i < 2; i++) {
		struct mt_output *o = NULL;
		int r = mt_output_new(path_of("sub"), formats[i], &opts, &o);

		r = r ? r : mt_output_put(o, both, 2);
		assert_int_equal(r, -EISDIR);
		if (o)
			mt_output_free(&o);
	}
	assert_int_equal(rmdir(path_of("sub")), 0);
	assert_int_equal(count_files(), 0);
}

/* A full disk, played by the file size limit. */
static void disk_full(void **state)
{
	struct rlimit old, small;
	struct mt_output *o = open_output("out", &stream);
	struct mt_output *d = open_output("doc", &document);

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	put(o, 0);
	put(d, 0);
	padding = 5000;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 100;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(mt_output_put(o, both, 2), -EFBIG);
	assert_int_equal(n_logged, 1);
	assert_int_equal(mt_output_put(d, both, 2), -EFBIG);
	assert_int_equal(n_logged, 2);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	signal(SIGXFSZ, SIG_DFL);
	assert_file("out", "7:0\n8:0\n");
	assert_file("doc", "7:0\n8:0\n");
	assert_int_equal(count_files(), 2);
	mt_output_free(&o);
	mt_output_free(&d);
}

static void reader_gone(void **state)
{
	struct mt_output *o = open_output(NULL, &stream);
	int fds[2], saved = dup(STDOUT_FILENO), r;

	(void)state;
	fflush(stdout);
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(fds), 0);
	close(fds[0]);
	dup2(fds[1], STDOUT_FILENO);
	r = mt_output_put(o, both, 2);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	close(fds[1]);
	signal(SIGPIPE, SIG_DFL);
	assert_int_equal(r, -EPIPE);
	assert_int_equal(n_logged, 0);
	mt_output_free(&o);
}

static void no_memory(struct mt_writer *w, const struct mt_snapshot *const *s, size_t n,
		      const struct mt_render_opts *o)
{
	(void)s;
	(void)n;
	(void)o;
	mt_write_str(w, "half");
	w->err = -ENOMEM;
}

/* As under -a: more processes than files that may be open. */
static void many_by_pid(void **state)
{
	struct rlimit old, few;
	struct mt_output *o = open_output("m%p", &stream);
	const struct mt_snapshot *const one[] = {&snaps[0]};

	(void)state;
	getrlimit(RLIMIT_NOFILE, &old);
	few = (struct rlimit){128, old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	for (int round = 0; round < 2; round++) {
		for (int pid = 300; pid > 0; pid--) {
			snaps[0].pid = pid;
			snaps[0].seq = (uint64_t)round;
			assert_int_equal(mt_output_put(o, one, 1), 0);
		}
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_file("m1", "1:0\n1:1\n");
	assert_file("m300", "300:0\n300:1\n");
	assert_int_equal(count_files(), 300);
	mt_output_free(&o);
}

static void half_rendered(void **state)
{
	static const struct mt_render_ops failing = {"failing", false, no_memory, false};
	struct mt_output *o = open_output("out", &failing);

	(void)state;
	assert_int_equal(mt_output_put(o, both, 2), -ENOMEM);
	assert_int_equal(n_logged, 1);
	assert_file("out", "");
	mt_output_free(&o);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(standard_output),
		TEST(stream_grows),
		TEST(umask_holds),
		TEST(stream_by_pid),
		TEST(one_file_per_snapshot),
		TEST(document_is_replaced),
		TEST(devices_are_not_replaced),
		TEST(links),
		TEST(bad_patterns),
		TEST(unwritable_at_once),
		TEST(disk_full),
		TEST(reader_gone),
		TEST(half_rendered),
		TEST(many_by_pid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
