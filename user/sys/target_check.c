/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Can this process be traced by us? One line says why not, and what to do. */
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/writer.h"
#include "sys/caps.h"
#include "sys/kernel.h"
#include "sys/procfs.h"

static int say(pid_t pid, const char *comm, int r, const char *what)
{
	_cleanup_writer_ struct mt_writer w = {0};

	mt_write_escaped(&w, comm);
	return mt_err_r(r, "pid %d (%s): %s", pid, w.len ? w.buf : "?", what);
}

/* /proc/PID is not there: no such process, or not for our eyes. */
static int explain_missing(pid_t pid)
{
	if (access("/proc/self/status", R_OK))
		return mt_err_r(-EACCES,
				"/proc is not readable: mount it (mount -t proc proc /proc)");
	if (!kill(pid, 0) || errno == EPERM)
		return mt_err_r(-EACCES, "pid %d: /proc hides it (hidepid)%s", pid,
				geteuid() ? ": run memtrace as root, with sudo"
					  : ", from root too: memtrace needs CAP_SYS_PTRACE");
	return mt_err_r(-ESRCH, "pid %d: no such process", pid);
}

static const struct mt_cap ptrace_cap = {.name = "CAP_SYS_PTRACE", .number = CAP_SYS_PTRACE};

const char *mt_target_why_refused(pid_t pid)
{
	struct mt_proc_status st = {0};

	if (mt_proc_status_read(pid, &st))
		return "it cannot be read: it may have ended";
	if (geteuid() && geteuid() == st.uid)
		return "not permitted to read it: run memtrace as root, with sudo";
	if (geteuid())
		return "another user's process: run memtrace as root, with sudo";
	if (!mt_caps_has(&ptrace_cap))
		return "not permitted, though root: memtrace lacks CAP_SYS_PTRACE here; a "
		       "container needs it added (--cap-add SYS_PTRACE)";
	return "not permitted, though root: it is in a user namespace above memtrace's own, or a "
	       "security policy (AppArmor, SELinux, Yama) forbids ptrace access; run memtrace on "
	       "the host, or allow it there";
}

static int one_is_enough(const struct mt_mapping *m, void *ctx)
{
	(void)m;
	(void)ctx;
	return 1;
}

static int check_access(pid_t pid, const struct mt_proc_status *st)
{
	int r = mt_maps_each(pid, one_is_enough, NULL);

	if (r == -EACCES || r == -EPERM)
		return say(pid, st->comm, r, mt_target_why_refused(pid));
	if (r < 0)
		return say(pid, st->comm, r, "ended meanwhile");
	return 0;
}

int mt_target_require(pid_t pid)
{
	struct mt_proc_status st;
	struct mt_proc_stat stat;
	int r = mt_proc_status_read(pid, &st);

	if (r)
		return explain_missing(pid);
	if (st.tgid != pid) {
		char what[96];

		snprintf(what, sizeof(what), "a thread, not a process: use -p %d", st.tgid);
		return say(pid, st.comm, -EINVAL, what);
	}
	if (st.state == 'Z' || st.state == 'X')
		return say(pid, st.comm, -ESRCH,
			   "a zombie: it has ended and has no memory left to trace");
	r = mt_proc_stat_read(pid, &stat);
	if (r)
		return explain_missing(pid);
	if (stat.flags & MT_PF_KTHREAD)
		return say(pid, st.comm, -EINVAL, "a kernel thread: it has no heap of its own");
	return check_access(pid, &st);
}
