/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What this kernel and this process's privileges allow; doctor prints it. */
#ifndef MT_SYS_KERNEL_H
#define MT_SYS_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The inode of the initial pid namespace, include/linux/proc_ns.h. */
#define MT_PID_INIT_INO 0xEFFFFFFCu

enum mt_check_state { MT_CHECK_OK, MT_CHECK_LIMITED, MT_CHECK_MISSING };

/* One thing looked at. text says what was found, remedy what to do ("" if nothing). */
struct mt_check {
	const char *name; /* static: "uprobe_multi links" */
	enum mt_check_state state;
	bool required; /* memtrace cannot run without it */
	char text[160];
	char remedy[240];
};

struct mt_kernel {
	bool uprobe_multi; /* links that count all threads of a process: 6.6, see kernel.c */
	bool sleepable;    /* sleepable uprobe programs, >= 6.0 */
	bool fexit_maybe;  /* not refused outright; only an attach tells */
	bool func_ip;      /* bpf_get_func_ip in uprobe programs, >= 6.6 */
};

/* Probes the features that the session needs to choose by; quick (a few ms). */
int mt_kernel_probe(struct mt_kernel *out);

/* Everything that doctor shows of the machine. Fills at most n, returns how many. */
size_t mt_kernel_checks(struct mt_check *checks, size_t n);

/*
 * 0 if memtrace can start here; else logs one line that names what is missing
 * (BTF, lockdown, privilege, memlock) with its remedy, and returns -errno.
 */
int mt_kernel_require(void);

/*
 * 0 if the process can be traced by us; else logs one line with the remedy:
 * no such pid (-ESRCH), kernel thread, zombie, thread id that is not a process
 * (-EINVAL), no permission (-EPERM/-EACCES), unreadable /proc (-EACCES). Its
 * allocator is mt_alloc_detect's business.
 */
int mt_target_require(pid_t pid);

/* Why ptrace access to the process is refused to us, and what helps; static text. */
const char *mt_target_why_refused(pid_t pid);

/* True if this kernel kills a seccomp-filtered process at a return probe (6.11 until its repair).
 */
int mt_kernel_seccomp_kills(bool *kills);

#endif
