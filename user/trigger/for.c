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

static int for_start(void *t)
{
	const struct timer *f = t;
	const struct itimerspec it = {
		.it_value = {(time_t)(f->ns / MT_SECOND_NS), (long)(f->ns % MT_SECOND_NS)}};

	if (timerfd_settime(f->fd, 0, &it, NULL))
		return mt_err_r(-errno, "cannot set a timer: %s", strerror(errno));
	return 0;
}

static int for_service(void *t, enum mt_trigger_says *says)
{
	const struct timer *f = t;
	uint64_t n;

	*says = read(f->fd, &n, sizeof(n)) == sizeof(n) ? MT_TRIGGER_NEW : MT_TRIGGER_WAIT;
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
