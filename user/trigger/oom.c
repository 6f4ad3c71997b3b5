/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * --oom: from now until the kernel picks a target as an OOM victim. It is looked
 * at meanwhile at each interval: what only the target's memory tells of it (where
 * its heap lies) is then not much older than its end.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "session/marks.h"
#include "trigger/trigger.h"

struct oom {
	struct mt_session *session; /* borrowed; NULL until attach */
};

static int oom_open(const struct mt_trigger_arg *arg, void **ret)
{
	(void)arg;
	*ret = calloc(1, sizeof(struct oom));
	return *ret ? 0 : mt_err_r(-ENOMEM, "out of memory");
}

static int oom_attach(void *t, struct mt_session *s)
{
	struct oom *o = t;

	o->session = s;
	return 0;
}

static const char *oom_what(const void *t)
{
	(void)t;
	return "kill";
}

static int oom_fd(const void *t)
{
	const struct oom *o = t;

	return o->session ? mt_session_news_fd(o->session) : -1;
}

static int oom_service(void *t, enum mt_trigger_says *says)
{
	struct oom *o = t;
	size_t i;

	*says = mt_session_victim(o->session, &i) ? MT_TRIGGER_NEW : MT_TRIGGER_WAIT;
	return 0;
}

static int oom_look(void *t, const struct mt_moment *now, enum mt_trigger_says *says)
{
	(void)t;
	(void)now;
	*says = MT_TRIGGER_WAIT;
	return 0;
}

static enum mt_vm_depth oom_depth(const void *t)
{
	(void)t;
	return MT_VM_PARTS;
}

const struct mt_trigger_ops mt_trigger_oom = {
	.name = "oom",
	.awaited = true,
	.open = oom_open,
	.attach = oom_attach,
	.what = oom_what,
	.fd = oom_fd,
	.service = oom_service,
	.look = oom_look,
	.depth = oom_depth,
	.close = free,
};
