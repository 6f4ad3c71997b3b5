/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The public API over the session. The handle is the session itself. */
#include "memtrace/memtrace.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "session/session.h"

#define PUBLIC __attribute__((visibility("default")))

static struct mt_session *session(struct memtrace_session *s)
{
	return (struct mt_session *)s;
}

PUBLIC int memtrace_open(const struct memtrace_opts *opts, struct memtrace_session **s)
{
	struct mt_session_opts session_opts = {0};
	struct memtrace_opts o = {0};
	struct mt_session *inner = NULL;
	int r;

	if (!opts || opts->size < offsetof(struct memtrace_opts, no_census))
		return -EINVAL;
	/* a caller compiled with an older header has less */
	memcpy(&o, opts, opts->size < sizeof(o) ? opts->size : sizeof(o));
	if (!o.pids || !o.n_pids)
		return -EINVAL;
	session_opts.max_targets = o.n_pids;
	session_opts.no_census = o.no_census;
	session_opts.max_stop_ns = o.max_stop_ns;
	r = mt_session_new(&session_opts, &inner);
	for (size_t i = 0; i < o.n_pids && !r; i++)
		r = mt_session_add(inner, o.pids[i], MT_SINCE_ATTACH);
	if (r) {
		mt_session_free(&inner);
		return r;
	}
	*s = (struct memtrace_session *)inner;
	return 0;
}

static int snapshot(struct memtrace_session *s, pid_t pid, struct mt_snapshot **ret)
{
	size_t i;
	int r = mt_session_service(session(s));

	if (!r)
		r = mt_session_find(session(s), pid, &i);
	return r ? r : mt_session_snapshot(session(s), i, MT_VM_PARTS, ret);
}

PUBLIC int memtrace_read_memstats(struct memtrace_session *s, pid_t pid,
				  struct memtrace_memstats *m)
{
	struct mt_snapshot *snap;
	int r = snapshot(s, pid, &snap);

	if (r)
		return r;
	*m = snap->memstats;
	free(snap);
	return 0;
}

PUBLIC int memtrace_read_lost(struct memtrace_session *s, pid_t pid, uint64_t *lost)
{
	struct mt_snapshot *snap;
	int r = snapshot(s, pid, &snap);

	if (r)
		return r;
	*lost = mt_snapshot_lost(snap);
	free(snap);
	return 0;
}

PUBLIC int memtrace_fd(const struct memtrace_session *s)
{
	return mt_session_fd((const struct mt_session *)s);
}

PUBLIC int memtrace_service(struct memtrace_session *s)
{
	return mt_session_service(session(s));
}

PUBLIC void memtrace_close(struct memtrace_session *s)
{
	struct mt_session *inner = session(s);

	mt_session_free(&inner);
}
