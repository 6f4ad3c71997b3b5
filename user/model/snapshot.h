/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What one target looked like at one moment: an immutable value with its
 * losses inside, and the only thing that renderers receive.
 */
#ifndef MT_MODEL_SNAPSHOT_H
#define MT_MODEL_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "abi.h"
#include "memtrace/memtrace.h"
#include "model/heap.h"

_Static_assert(sizeof(((struct memtrace_memstats *)0)->by_size) /
			       sizeof(((struct memtrace_memstats *)0)->by_size[0]) ==
		       MT_BYSIZE,
	       "one entry for each of Go's classes");

/* The counters of one target, summed over CPUs. */
struct mt_flows {
	struct mt_class_counts cls[MT_CLASSES];
	struct mt_vm_flow vm[MT_VM_CALLS];
	uint64_t failed, nested, internal;
	uint64_t failed_reads, failed_storage, unreturned, unknown_free, map_full, inherited;
	uint64_t untraced; /* 1: the process runs an image whose allocator could not be traced */
	uint64_t events;
};

/* The address space, in bytes, from one consistent reading of /proc. */
struct mt_vm {
	uint64_t data, stack;               /* VmData, VmStk */
	uint64_t heap_sys;                  /* the allocator's share of data */
	uint64_t heap_resident;             /* resident part of heap_sys */
	uint64_t heap_brk;                  /* the brk heap, a part of heap_sys */
	uint64_t stack_sys, stack_resident; /* main thread's and every thread's stack */
	uint64_t rss, pss, swap, shared;    /* pss: at the last full reading */
	uint64_t cgroup_current;            /* memory charged to the target's cgroup */
	bool known;                         /* false: no reading succeeded */
	bool detail; /* heap_*, stack_* were read, not only data, stack, rss */
};

enum mt_since { MT_SINCE_START, MT_SINCE_CENSUS, MT_SINCE_ATTACH };
enum mt_vm_source { MT_VM_NONE, MT_VM_FEXIT, MT_VM_TRACEPOINT };

/* How a collector's numbers were read. The pauses are in memstats' rings. */
struct mt_gc {
	bool present;    /* the runtime has a collector */
	bool consistent; /* all numbers are of one moment; else some may be a few calls apart */
	char why[MT_WHY_SIZE]; /* of one that is not, a sentence */
	uint64_t stop_ns;      /* how long the target was held for them; 0: it was not */
	uint32_t pauses;       /* since the snapshot before, at most 256: the rings' newest */
	uint64_t missed;       /* since the trace began: those that the rings no longer held */
};

/*
 * A Go program's C memory, which the runtime's own numbers do not have. Its Sys is
 * that of the whole process, so that Go's heap lies in its OtherSys: nothing of it
 * is to be added to the runtime's. The snapshot's census and audit are of it.
 */
struct mt_native {
	bool present;
	enum mt_since since;
	char allocator[64]; /* "glibc 2.36" */
	const char *sizes;  /* "usable"; static text */
	struct memtrace_memstats memstats;
	struct mt_class_counts cls[MT_CLASSES];
};

/* What memtrace itself costs. */
struct mt_tracer {
	uint64_t cpu_ns;    /* CPU time of the memtrace process */
	uint64_t rss;       /* bytes */
	uint64_t map_bytes; /* memory of the BPF maps */
	uint64_t events;    /* probe hits, all targets */
	uint64_t prog_ns;   /* time in BPF programs; 0 where the kernel does not count it */
};

#define MT_LABEL_SIZE 128

struct mt_snapshot {
	/* when */
	uint64_t time_ns;   /* since the epoch, UTC */
	uint64_t uptime_ns; /* since the trace began */
	uint64_t seq;
	bool final;                /* the target has ended or the trace has */
	char event[32];            /* why now, if not for the interval: "SIGUSR1"; empty: for it */
	char label[MT_LABEL_SIZE]; /* the user's word for it; empty: none */
	/* who */
	char host[65];      /* the node's name, as uname(2) has it */
	uint64_t processes; /* 0: one process; else the total of so many, see total.h */
	pid_t pid;
	pid_t ppid;          /* the parent's; 0 not known */
	uint64_t start_time; /* clock ticks since boot */
	char comm[64];
	char exe[4096];
	char cgroup[1024];
	char container[80]; /* empty: none */
	/* what */
	char runtime[64]; /* "native", "go1.23.1": from the target's file, so it can be anything */
	char runtimes[192]; /* of a total: all that occur, as names.h lists them; else empty */
	char allocator[64]; /* "glibc 2.36"; several in a list */
	const char *mode;   /* "exact"; static text */
	const char *sizes;  /* "usable"; static text */
	enum mt_since since;
	enum mt_vm_source vm_source;
	/* Of a Go program those of its runtime: memstats, since, flows.cls. */
	struct memtrace_memstats memstats;
	struct mt_flows flows;
	/* Blocks whose size the runtime does not keep (Go's above 32 KiB): in no class. */
	struct mt_class_counts unsized;
	struct mt_gc gc;
	struct mt_native native;
	struct mt_vm vm;
	uint64_t parts_age_ns; /* how much older than the rest vm's parts are */
	/* The heap that existed before the counts began; its arenas lie behind the snapshot. */
	struct mt_census census;
	struct mt_audit audit; /* of this moment */
	struct mt_tracer tracer;
};

/* What makes the numbers inexact, summed; 0 is the promise kept. */
uint64_t mt_snapshot_lost(const struct mt_snapshot *s);

/* Signed net since the counts began: blocks and usable bytes, those of unsized too. */
int64_t mt_snapshot_net_objects(const struct mt_snapshot *s);
int64_t mt_snapshot_net_bytes(const struct mt_snapshot *s);
/* The same of MT_CLASSES classes. */
int64_t mt_classes_net_objects(const struct mt_class_counts *cls);
int64_t mt_classes_net_bytes(const struct mt_class_counts *cls);
/* The same of one class; all of them saturate instead of wrapping. */
int64_t mt_class_net_objects(const struct mt_class_counts *c);
int64_t mt_class_net_bytes(const struct mt_class_counts *c);

/* v, or 0 where frees of older blocks made a level negative. */
static inline uint64_t mt_level(int64_t v)
{
	return v > 0 ? (uint64_t)v : 0;
}

/*
 * Fills s->memstats from s->flows and s->vm; see design.md section 2 for every
 * formula. The Sys identity holds in the result.
 */
void mt_snapshot_derive(struct mt_snapshot *s);

/*
 * Makes s, which is filled and derived as any process, that of a Go program: m, cls
 * and unsized are its runtime's, and with native what s had of them becomes
 * s->native, else it is dropped. The allocator is "go" and, with native, the one
 * that it was. Of s->gc only present is set; runtime is the caller's to set.
 */
void mt_snapshot_set_go(struct mt_snapshot *s, const struct memtrace_memstats *m,
			const struct mt_class_counts *cls, const struct mt_class_counts *unsized,
			bool native);

/*
 * Sets gc->pauses to how many there were since NumGC was last_num_gc, and adds those
 * that m's rings no longer hold to gc->missed, in which the caller carries on what
 * was missed before. A first snapshot has none of either.
 */
void mt_gc_since(struct mt_gc *gc, const struct memtrace_memstats *m, bool first,
		 uint32_t last_num_gc);

#endif
