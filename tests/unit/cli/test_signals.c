/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cli/signals.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void parses_names_and_numbers(void **state)
{
	static const char *const hup[] = {"SIGHUP", "HUP", "hup", "sighup", "1"};
	int signo = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(hup) / sizeof(hup[0]); i++) {
		assert_int_equal(mt_signal_parse(hup[i], &signo), 0);
		assert_int_equal(signo, SIGHUP);
	}
	assert_int_equal(mt_signal_parse("RTMIN", &signo), 0);
	assert_int_equal(signo, SIGRTMIN);
	assert_int_equal(mt_signal_parse("SIGRTMIN+2", &signo), 0);
	assert_int_equal(signo, SIGRTMIN + 2);
}

static void refuses_what_is_none(void **state)
{
	static const char *const bad[] = {"",   "0",         "-1",      "1x",     "99999999999",
					  "65", "SIG",       "SIGFOO",  "RTMIN+", "RTMIN-1",
					  "+1", "RTMIN+999", "RTMIN 1", "SIGHUP "};
	int signo = 4242;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(mt_signal_parse(bad[i], &signo), -EINVAL);
	assert_int_equal(signo, 4242);
}

/* What ends memtrace or says that something is wrong with it must go on to do so. */
static void refuses_what_means_something_else(void **state)
{
	static const char *const taken[] = {"INT",  "TERM", "KILL",  "STOP", "SEGV",
					    "CHLD", "PIPE", "WINCH", "32",   "33"};
	int signo;

	(void)state;
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		assert_int_equal(mt_signal_parse(taken[i], &signo), -EPERM);
}

static void every_name_reads_back(void **state)
{
	char name[32];
	int back;

	(void)state;
	for (int i = 1; i <= SIGRTMAX; i++) {
		char number[16];

		snprintf(number, sizeof(number), "%d", i);
		if (mt_signal_parse(number, &back))
			continue;
		assert_int_equal(mt_signal_parse(mt_signal_name(i, name, sizeof(name)), &back), 0);
		assert_int_equal(back, i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_names_and_numbers),
		cmocka_unit_test(refuses_what_is_none),
		cmocka_unit_test(refuses_what_means_something_else),
		cmocka_unit_test(every_name_reads_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
