/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "trigger/trigger.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"

#define MS_NS UINT64_C(1000000)

/* Starts it, and asks it when it has expired and so much time has passed. */
static void expire(void *t, uint64_t later_ns)
{
	const uint64_t from = mt_clock_ns(CLOCK_MONOTONIC);
	struct pollfd p = {.fd = mt_trigger_for.fd(t), .events = POLLIN};
	enum mt_trigger_says says;

	assert_int_equal(mt_trigger_for.start(t), 0);
	assert_int_equal(poll(&p, 1, 60000), 1);
	while (mt_clock_ns(CLOCK_MONOTONIC) - from < later_ns)
		;
	assert_int_equal(mt_trigger_for.service(t, &says), 0);
	assert_int_equal(says, MT_TRIGGER_NEW);
}

/* A repetition is called by the time that it took, if that was longer than asked for. */
static void what(void **state)
{
	const struct mt_trigger_arg arg = {.ns = 20 * MS_NS};
	void *t;

	(void)state;
	assert_int_equal(mt_trigger_for.open(&arg, &t), 0);
	assert_string_equal(mt_trigger_for.what(t), "20.0 ms");
	expire(t, 0);
	expire(t, 60 * MS_NS);
	assert_string_not_equal(mt_trigger_for.what(t), "20.0 ms");
	mt_trigger_for.close(t);
}

/* What passes between two repetitions is the second one's. */
static void follows(void **state)
{
	const struct mt_trigger_arg arg = {.ns = 5 * MS_NS};
	struct pollfd p;
	uint64_t from;
	void *t;

	(void)state;
	assert_int_equal(mt_trigger_for.open(&arg, &t), 0);
	expire(t, 0);
	from = mt_clock_ns(CLOCK_MONOTONIC);
	while (mt_clock_ns(CLOCK_MONOTONIC) - from < 5 * MS_NS)
		;
	assert_int_equal(mt_trigger_for.start(t), 0);
	p = (struct pollfd){.fd = mt_trigger_for.fd(t), .events = POLLIN};
	assert_int_equal(poll(&p, 1, 0), 1); /* at once */
	mt_trigger_for.close(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(what), cmocka_unit_test(follows)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
