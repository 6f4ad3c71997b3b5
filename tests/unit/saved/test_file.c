/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Files line by line: what is read, what is refused, and in which words. */
#include "saved/saved.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "files.h"

struct seen {
	size_t n, last_line;
	int stop_at; /* the call that ends it; 0: none */
};

static int count(void *ctx, struct mt_snapshot **s, size_t line)
{
	struct seen *seen = ctx;

	assert_non_null(*s);
	seen->n++;
	seen->last_line = line;
	if ((int)seen->n == seen->stop_at)
		return 17;
	if (seen->n == 2) { /* one is taken, the others are left */
		free(*s);
		*s = NULL;
	}
	return 0;
}

static int read_text(const void *text, size_t len, bool cut_ok, struct seen *seen)
{
	_cleanup_file_ char *path = write_file(text, len);

	logged[0] = '\0';
	return mt_saved_each(path, cut_ok, count, seen);
}

static void lines(void **state)
{
	_cleanup_writer_ struct mt_writer w = {0};
	struct seen seen = {0}, stopped = {.stop_at = 3};

	(void)state;
	for (uint64_t i = 0; i < 200; i++) /* several buffers full */
		write_snapshot(&w, 1, i, i, false, 0);
	assert_int_equal(read_text(w.buf, w.len, false, &seen), 0);
	assert_int_equal(seen.n, 200);
	assert_int_equal(seen.last_line, 200);
	assert_string_equal(logged, "");
	assert_int_equal(read_text(w.buf, w.len, false, &stopped), 17);
	assert_int_equal(stopped.n, 3);
}

/* Blank lines, those of another system, and a last one without its end. */
static void loose(void **state)
{
	_cleanup_writer_ struct mt_writer w = {0};
	struct seen seen = {0};

	(void)state;
	mt_write_str(&w, "\n \t\r\n");
	write_snapshot(&w, 1, 0, 0, false, 0);
	w.buf[w.len - 1] = '\r';
	mt_write_str(&w, "\n\n");
	write_snapshot(&w, 1, 0, 0, false, 0);
	assert_int_equal(read_text(w.buf, w.len - 1, false, &seen), 0);
	assert_int_equal(seen.n, 2);
	assert_int_equal(seen.last_line, 5);
}

static void says(const char *what)
{
	if (!strstr(logged, what))
		fail_msg("%s; expected %s", logged, what);
	assert_null(strchr(logged, '\n'));
}

static void cut_short(void **state)
{
	_cleanup_writer_ struct mt_writer w = {0};
	struct seen seen = {0}, left_out = {0};

	(void)state;
	write_snapshot(&w, 1, 0, 0, false, 0);
	write_snapshot(&w, 1, 1, 1, false, 0);
	assert_int_equal(read_text(w.buf, w.len - 40, false, &seen), -ENODATA);
	says(":2: it ends in the middle, at column ");
	says("as if its writing was cut short: remove that line");
	assert_int_equal(read_text(w.buf, w.len - 40, true, &left_out), 0);
	assert_int_equal(left_out.n, 1);
	says(":2: left out: it ends in the middle, at column ");
	/* Nothing but the cut one: nothing is left. */
	assert_int_equal(read_text(w.buf, 100, true, &left_out), -ENODATA);
	says("no snapshot in it");
	/* In the midst of a file it is damage, whatever is asked for. */
	w.buf[w.len / 2 - 40] = '\n';
	assert_int_equal(read_text(w.buf, w.len, true, &left_out), -ENODATA);
	says(":1: it ends in the middle, at column ");
}

static void damaged(void **state)
{
	static const struct {
		const char *text;
		int r;
		const char *says;
	} files[] = {
		{"", -ENODATA, "no snapshot in it: memtrace -f json -o FILE writes them"},
		{"\n\n", -ENODATA, "no snapshot in it"},
		{"\x1f\x8b\x08\x01\x02\n", -EINVAL, ":1: no JSON at column 1: it is compressed"},
		{"\n\nhello\n", -EINVAL, ":3: no JSON at column"},
		{"{\n  \"schema\": \"memtrace/1\"\n}\n", -ENODATA, ":1: it ends in the middle"},
		{"{\"schema\":\"memtrace/2\"}", -EINVAL, ":1: its \"schema\" is \"memtrace/2\""},
		{"{\"schema\":\"memtrace/1\"}", -EINVAL, ":1: the key \""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct seen seen = {0};

		assert_int_equal(read_text(files[i].text, strlen(files[i].text), false, &seen),
				 files[i].r);
		says(files[i].says);
		assert_int_equal(seen.n, 0);
	}
}

static void names(void **state)
{
	struct seen seen = {0};

	(void)state;
	assert_int_equal(mt_saved_each("/nowhere/\033[2J", false, count, &seen), -ENOENT);
	says("cannot read /nowhere/\\x1B[2J: No such file or directory");
	assert_int_equal(mt_saved_each("/tmp", false, count, &seen), -EISDIR);
	says("cannot read /tmp: it is a directory: name a file in it");
	assert_int_equal(mt_saved_each("/dev/null", false, count, &seen), -ENODATA);
}

static void standard_input(void **state)
{
	_cleanup_writer_ struct mt_writer w = {0};
	int p[2], in = dup(STDIN_FILENO);
	struct seen seen = {0};

	(void)state;
	write_snapshot(&w, 1, 0, 0, false, 0);
	assert_int_equal(pipe(p), 0);
	assert_int_equal(write(p[1], w.buf, w.len), w.len);
	close(p[1]);
	dup2(p[0], STDIN_FILENO);
	close(p[0]);
	assert_int_equal(mt_saved_each("-", false, count, &seen), 0);
	assert_int_equal(seen.n, 1);
	assert_int_equal(mt_saved_each("-", false, count, &seen), -ENODATA);
	says("standard input: no snapshot in it");
	dup2(in, STDIN_FILENO);
	close(in);
}

/* A line has an end, or is none: memory is bounded. */
static void endless(void **state)
{
	struct seen seen = {0};

	(void)state;
	assert_int_equal(mt_saved_each("/dev/zero", false, count, &seen), -EFBIG);
	says("/dev/zero:1: longer than 8 MiB: no snapshot is");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines),   cmocka_unit_test(loose),
		cmocka_unit_test(damaged), cmocka_unit_test(cut_short),
		cmocka_unit_test(names),   cmocka_unit_test(standard_input),
		cmocka_unit_test(endless),
	};

	mt_log_set_sink(keep_log);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
