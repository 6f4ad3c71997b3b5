/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* --for DURATION: from now for so long. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "trigger/trigger.h"

struct timer {
	int fd;
	uint64_t ns;
	uint64_t first_ns, last_ns; /* when it first began, and last expired; CLOCK_MONOTONIC */
	uint64_t n;                 /* how often it did */
	char what[MT_DURATION_SIZE];
};

static void for_close(void *t)
{
	struct timer *f = t;

	if (f->fd >= 0)
		close(f->fd);
	free(f);
}

static int for_open(const struct mt_trigger_arg *arg, void **ret)
{
	struct timer *f = calloc(1, sizeof(*f));

	if (!f)
		return mt_err_r(-ENOMEM, "out of memory");
	f->ns = arg->ns;
	mt_format_duration(f->what, sizeof(f->what), arg->ns);
	f->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (f->fd < 0) {
		for_close(f);
		return mt_err_r(-errno, "cannot make a timer: %s", strerror(errno));
	}
	*ret = f;
	return 0;
}

static const char *for_what(const void *t)
{
	return ((const struct timer *)t)->what;
}

static int for_fd(const void *t)
{
	return ((const struct timer *)t)->fd;
}

/* From when it last expired: what taking a snapshot takes is part of the time. */
static int for_start(void *t)
{
	struct timer *f = t;
	struct itimerspec it = {0};
	uint64_t at;

	if (!f->n)
		f->first_ns = f->last_ns = mt_clock_ns(CLOCK_MONOTONIC);
	if (__builtin_add_overflow(f->last_ns, f->ns, &at))
		at = INT64_MAX;
	it.it_value.tv_sec = (time_t)(at / MT_SECOND_NS);
	it.it_value.tv_nsec = (long)(at % MT_SECOND_NS);
	if (timerfd_settime(f->fd, TFD_TIMER_ABSTIME, &it, NULL))
		return mt_err_r(-errno, "cannot set a timer: %s", strerror(errno));
	return 0;
}

/* Where a snapshot takes longer than that, growth is told by what it was, not was to be. */
static void say_real(struct timer *f)
{
	const uint64_t real = (f->last_ns - f->first_ns) / f->n;

	mt_format_duration(f->what, sizeof(f->what), real > f->ns + f->ns / 10 ? real : f->ns);
}

static int for_service(void *t, enum mt_trigger_says *says)
{
	struct timer *f = t;
	uint64_t n;

	*says = MT_TRIGGER_WAIT;
	if (read(f->fd, &n, sizeof(n)) != sizeof(n))
		return 0;
	f->last_ns = mt_clock_ns(CLOCK_MONOTONIC);
	f->n++;
	say_real(f);
	*says = MT_TRIGGER_NEW;
	return 0;
}

const struct mt_trigger_ops mt_trigger_for = {
	.name = "for",
	.joined = true,
	.open = for_open,
	.what = for_what,
	.fd = for_fd,
	.start = for_start,
	.service = for_service,
	.close = for_close,
};
