/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "base/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void grows(void **state)
{
	_cleanup_writer_ struct mt_writer w = {0};

	(void)state;
	for (int i = 0; i < 10000; i++)
		mt_writef(&w, "%04d,", i);
	assert_int_equal(w.err, 0);
	assert_int_equal(w.len, 50000);
	assert_int_equal(w.buf[w.len], '\0');
	assert_memory_equal(w.buf + 5 * 1234, "1234,", 5);
	mt_writer_reset(&w);
	assert_int_equal(w.len, 0);
	assert_string_equal(w.buf, "");
	mt_write_str(&w, "x");
	mt_write_mem(&w, "yz", 1);
	assert_string_equal(w.buf, "xy");
}

static void long_format(void **state)
{
	_cleanup_writer_ struct mt_writer w = {0};

	(void)state;
	/* Every length around the first sizes of the buffer. */
	for (int n = 0; n < 1030; n++) {
		mt_writer_fini(&w);
		mt_writef(&w, "%0*d", n, 7);
		assert_int_equal(w.len, n ? n : 1);
		assert_int_equal(w.buf[w.len - 1], '7');
	}
}

static void wraps(void **state)
{
	_cleanup_writer_ struct mt_writer w = {0};

	(void)state;
	mt_write_wrapped(&w, 2, 12, "ten and two  columns, aword\033toowide end");
	assert_string_equal(w.buf, "  ten and\n  two\n  columns,\n  aword\\x1Btoowide\n  end\n");
	mt_writer_reset(&w);
	mt_write_wrapped(&w, 0, 12, "exactly 12 c");
	assert_string_equal(w.buf, "exactly 12 c\n");
	mt_writer_reset(&w);
	mt_write_wrapped(&w, 0, 11, "exactly 12 c");
	assert_string_equal(w.buf, "exactly 12\nc\n");
	mt_writer_reset(&w);
	mt_write_wrapped(&w, 2, 12, "");
	assert_int_equal(w.len, 0);
}

static void error_sticks(void **state)
{
	_cleanup_writer_ struct mt_writer w = {0};

	(void)state;
	mt_write_str(&w, "a");
	mt_write_mem(&w, "b", SIZE_MAX / 2);
	assert_int_equal(w.err, -ENOMEM);
	mt_write_str(&w, "c");
	mt_writef(&w, "d");
	assert_string_equal(w.buf, "a");
	assert_int_equal(mt_writer_flush(&w, -1), -ENOMEM);
	mt_writer_reset(&w);
	assert_int_equal(w.err, 0);
}

static void escapes(void **state)
{
	static const char *const cases[][2] = {
		{"plain 42", "plain 42"},
		{"", ""},
		{"a\tb\nc\rd", "a\\x09b\\x0Ac\\x0Dd"},
		{"\033[2J\033]0;x\a", "\\x1B[2J\\x1B]0;x\\x07"},
		{"caf\xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\x98\x80",
		 "caf\xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\x98\x80"},
		{"\x7f", "\\x7F"},
		{"\xc2\x9b"
		 "2J",
		 "\\xC2\\x9B2J"},                             /* C1: CSI in one character */
		{"\xff\xfe", "\\xFF\\xFE"},                   /* never in UTF-8 */
		{"\xc0\xaf", "\\xC0\\xAF"},                   /* overlong '/' */
		{"\xe0\x80\xaf", "\\xE0\\x80\\xAF"},          /* overlong '/' */
		{"\xed\xa0\x80", "\\xED\\xA0\\x80"},          /* surrogate */
		{"\xf4\x90\x80\x80", "\\xF4\\x90\\x80\\x80"}, /* above U+10FFFF */
		{"\xe6\xbc", "\\xE6\\xBC"},                   /* cut at the end */
		{"\xf0\x9f\x98", "\\xF0\\x9F\\x98"},          /* cut at the end */
		{"\xe2\x80\xae"
		 "txt",
		 "\\xE2\\x80\\xAEtxt"}, /* right-to-left override */
		{"\x80"
		 "a",
		 "\\x80"
		 "a"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_writer_ struct mt_writer w = {0};

		mt_write_str(&w, "");
		mt_write_escaped(&w, cases[i][0]);
		assert_string_equal(w.buf ? w.buf : "", cases[i][1]);
	}
}

static void *drain(void *arg)
{
	int *fd = arg;
	size_t total = 0;
	char buf[4096];
	ssize_t n;

	while ((n = read(*fd, buf, sizeof(buf))) > 0)
		total += (size_t)n;
	return (void *)total;
}

/* A non-blocking pipe gives short writes and EAGAIN. */
static void flush_is_whole(void **state)
{
	_cleanup_writer_ struct mt_writer w = {0};
	pthread_t thread;
	void *total;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	while (w.len < 1 << 20)
		mt_write_str(&w, "0123456789abcdef");
	assert_int_equal(pthread_create(&thread, NULL, drain, &fds[0]), 0);
	assert_int_equal(mt_writer_flush(&w, fds[1]), 0);
	close(fds[1]);
	pthread_join(thread, &total);
	assert_int_equal((size_t)total, 1 << 20);
	close(fds[0]);
}

static void flush_errors(void **state)
{
	_cleanup_writer_ struct mt_writer w = {0};
	int fds[2];

	(void)state;
	assert_int_equal(mt_writer_flush(&w, -1), 0);
	mt_write_str(&w, "x");
	assert_int_equal(mt_writer_flush(&w, -1), -EBADF);
	assert_int_equal(pipe(fds), 0);
	close(fds[0]);
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(mt_writer_flush(&w, fds[1]), -EPIPE);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows),        cmocka_unit_test(long_format),
		cmocka_unit_test(wraps),        cmocka_unit_test(error_sticks),
		cmocka_unit_test(escapes),      cmocka_unit_test(flush_is_whole),
		cmocka_unit_test(flush_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
