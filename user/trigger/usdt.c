/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * --usdt PROVIDER:BEGIN,PROVIDER:END: from where any thread comes by the first
 * mark to where the same thread comes by the second. Meanwhile the marks of other
 * threads, and BEGIN once more, are passed over. What the numbers are of is the
 * whole process: what its other threads do meanwhile is in them.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/words.h"
#include "session/marks.h"
#include "sys/usdt.h"
#include "trigger/trigger.h"

struct usdt {
	char begin[MT_USDT_NAME], end[MT_USDT_NAME];
	struct mt_session *session; /* borrowed; NULL until attach */
	struct mt_mark at;          /* that the snapshot is taken of */
	bool warned;
};

static void usdt_detach(void *t)
{
	const struct usdt *u = t;

	mt_session_marks_close(u->session);
}

static int usdt_open(const struct mt_trigger_arg *arg, void **ret)
{
	struct usdt *u = calloc(1, sizeof(*u));
	char why[128], text[256];
	int r;

	if (!u)
		return mt_err_r(-ENOMEM, "out of memory");
	r = mt_usdt_parse(arg->text, u->begin, u->end, why, sizeof(why));
	if (r) {
		free(u);
		return mt_err_r(r, "--usdt %s: %s; write it as PROVIDER:BEGIN,PROVIDER:END",
				mt_quote(text, sizeof(text), arg->text), why);
	}
	*ret = u;
	return 0;
}

static int usdt_attach(void *t, struct mt_session *s)
{
	struct usdt *u = t;
	int r = mt_session_marks_add(s, u->begin, u->end);

	if (r)
		return r;
	u->session = s;
	mt_session_marks_arm(s);
	return 0;
}

static const char *usdt_what(const void *t)
{
	(void)t;
	return "pass";
}

static int usdt_fd(const void *t)
{
	const struct usdt *u = t;

	return u->session ? mt_session_news_fd(u->session) : -1;
}

static int usdt_service(void *t, enum mt_trigger_says *says)
{
	struct usdt *u = t;

	*says = MT_TRIGGER_WAIT;
	if (!mt_session_mark(u->session, &u->at))
		return 0;
	switch (u->at.what) {
	case MT_MARK_BEGIN:
		*says = MT_TRIGGER_OLD;
		break;
	case MT_MARK_END:
		*says = MT_TRIGGER_NEW;
		break;
	case MT_MARK_LEFT: /* its numbers were in vain: the next thread's count */
		mt_info("pid %d: the thread that came by %s ended before %s", (int)u->at.pid,
			u->begin, u->end);
		mt_session_marks_arm(u->session);
		mt_session_mark_done(u->session);
		break;
	default:
		mt_warn("pid %d runs another program now, whose marks are not waited for",
			(int)u->at.pid);
		mt_session_mark_done(u->session);
		*says = MT_TRIGGER_END;
	}
	return 0;
}

static void warn_late(struct usdt *u)
{
	const double ms = (double)(mt_clock_ns(CLOCK_MONOTONIC) - u->at.time_ns) / 1e6;
	const char *exact = u->at.counted ? ": what is counted is exact, but the parts of the heap "
					    "are those of"
					  : ": the numbers are approximate, those of";

	if (u->warned)
		return;
	u->warned = true;
	if (u->at.held)
		mt_warn("pid %d: its thread went on from the mark, since reading took longer than "
			"--max-stop%s %.1f ms later",
			(int)u->at.pid, exact, ms);
	else
		mt_warn("pid %d: this kernel cannot hold a thread at a mark (Linux 6.18 can)%s "
			"%.1f ms later, and passes that follow at once are not seen",
			(int)u->at.pid, exact, ms);
}

static void usdt_taken(void *t)
{
	struct usdt *u = t;

	/* before its thread goes on, whose next mark may be the next BEGIN */
	if (u->at.what == MT_MARK_END)
		mt_session_marks_arm(u->session);
	if (!mt_session_mark_done(u->session))
		warn_late(u);
}

const struct mt_trigger_ops mt_trigger_usdt = {
	.name = "usdt",
	.own_start = true,
	.awaited = true,
	.open = usdt_open,
	.attach = usdt_attach,
	.what = usdt_what,
	.fd = usdt_fd,
	.service = usdt_service,
	.taken = usdt_taken,
	.detach = usdt_detach,
	.close = free,
};
