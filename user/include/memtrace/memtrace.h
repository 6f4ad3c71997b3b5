/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * libmemtrace: runtime.MemStats of any running process, from outside.
 *
 *	struct memtrace_opts opts = {.size = sizeof(opts), .pids = &pid, .n_pids = 1};
 *	struct memtrace_session *s;
 *	struct memtrace_memstats m;
 *
 *	memtrace_open(&opts, &s);
 *	memtrace_read_memstats(s, pid, &m);
 *	memtrace_close(s);
 *
 * Needs root, or CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE. Functions return 0
 * or a negative errno; nothing is printed and nothing exits. A session is used
 * by one thread at a time. It has a child process, which holds the probes, so
 * that they are gone even if its caller is killed; memtrace_close reaps it.
 */
#ifndef MEMTRACE_MEMTRACE_H
#define MEMTRACE_MEMTRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Go's runtime.MemStats, field by field: bytes and counts, times in ns. What
 * each says of a process without a Go runtime: memtrace(8), FIELDS.
 */
struct memtrace_memstats {
	uint64_t alloc, total_alloc, sys, lookups, mallocs, frees;
	uint64_t heap_alloc, heap_sys, heap_idle, heap_inuse, heap_released, heap_objects;
	uint64_t stack_inuse, stack_sys, mspan_inuse, mspan_sys, mcache_inuse, mcache_sys;
	uint64_t buck_hash_sys, gc_sys, other_sys;
	uint64_t next_gc, last_gc, pause_total_ns;
	uint64_t pause_ns[256], pause_end[256];
	uint32_t num_gc, num_forced_gc;
	double gc_cpu_fraction;
	bool enable_gc, debug_gc;
	struct {
		uint32_t size;
		uint64_t mallocs, frees;
	} by_size[61];
};

struct memtrace_opts {
	size_t size;       /* sizeof(struct memtrace_opts), as the caller was compiled */
	const pid_t *pids; /* the targets; read during memtrace_open only */
	size_t n_pids;     /* above 0 */
	/*
	 * The heap that a target has already is read, which holds it for some ms;
	 * true: it is not, and levels count from the attach.
	 */
	bool no_census;
	uint64_t max_stop_ns; /* the longest that this may hold a target; 0: 250 ms */
};

struct memtrace_session;

/*
 * Attaches to the targets: their counts begin here. *s is the caller's, to be
 * closed; it is untouched on failure. -EPERM or -EACCES without privilege,
 * -ESRCH no such process, -ENOENT, -ENODATA or -ENOTSUP no allocator that can
 * be traced.
 */
int memtrace_open(const struct memtrace_opts *opts, struct memtrace_session **s);

/*
 * The counterpart of runtime.ReadMemStats(&m). Of a target that has ended: its
 * last numbers. -ESRCH if pid is no target of the session.
 */
int memtrace_read_memstats(struct memtrace_session *s, pid_t pid, struct memtrace_memstats *m);

/* What makes the target's numbers inexact, summed; 0 when nothing was lost. */
int memtrace_read_lost(struct memtrace_session *s, pid_t pid, uint64_t *lost);

/* Readable when memtrace_service has something to do; owned by the session. */
int memtrace_fd(const struct memtrace_session *s);

/* Follows the targets' execs and exits. Never blocks. */
int memtrace_service(struct memtrace_session *s);

/* Detaches and frees; waits for the kernel, some 100 ms. NULL is allowed. */
void memtrace_close(struct memtrace_session *s);

#ifdef __cplusplus
}
#endif

#endif
