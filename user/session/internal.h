/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the session's files share. */
#ifndef MT_SESSION_INTERNAL_H
#define MT_SESSION_INTERNAL_H

#include <sys/utsname.h>

#include "session/keeper.h"
#include "session/marks.h"
#include "session/session.h"
#include "sys/kernel.h"

struct memtrace_bpf;
struct mt_measure;
struct mt_go;
struct mt_go_file;
struct mt_go_stats;
struct bpf_link;

/* The programs and their configuration. */
struct mt_progs {
	struct memtrace_bpf *skel;
	bool multi; /* uprobe_multi links, else perf-event uprobes */
	bool zero_at_exec;
	enum mt_vm_source vm_source;
	struct bpf_link *life[4]; /* fork, exec, exit, the mm's end */
	struct bpf_link *oom;     /* NULL unless the options ask for it */
	struct bpf_link *vm[MT_VM_CALLS];
	uint64_t map_bytes; /* of the maps that are there from the start */
};

/* Loads what this kernel can run; opts may force the older ways. 0 or -errno, logged. */
int mt_progs_load(struct mt_progs *p, const struct mt_kernel *k,
		  const struct mt_session_opts *opts);
void mt_progs_unload(struct mt_progs *p);
/* Time spent in the programs, ns; 0 unless the kernel's bpf_stats are on. */
uint64_t mt_progs_ns(const struct mt_progs *p);
/* The kernel's own account of a map's memory, bytes. */
uint64_t mt_map_memory(int fd);

/* log2 of the slots in a chunk of counters, for so many targets. */
uint32_t mt_chunk_shift(size_t targets);

/* Which programs the probes run. */
enum mt_links_prog {
	MT_LINKS_ALLOC,   /* mt_alloc_enter and, at returns, mt_alloc_exit */
	MT_LINKS_GO_EXIT, /* mt_go_exit: where a Go program ends */
	MT_LINKS_FUNC,    /* mt_func_probe: a measured function's entry and exits */
	MT_LINKS_MARK,    /* mt_mark: marks that the program has in its code */
};

/* What to attach; plain data, since it goes through a socket. */
struct mt_links_plan {
	char path[32]; /* /proc/self/fd/N in the keeper */
	enum mt_links_prog prog;
	size_t n;
	struct {
		uint64_t offset, cookie;
		uint64_t ref_ctr; /* in the file: what is counted up while it is probed; 0: none */
		bool entry, ret;
	} v[MT_PROBES_MAX];
};

/* The probes of one file. */
struct mt_links {
	struct bpf_link **v; /* owned */
	size_t n;
};

/* Attaches the plan's probes to the process, -1: to all. 0 or -errno. Called in the keeper. */
int mt_links_attach(struct mt_links *l, const struct mt_progs *p, pid_t pid,
		    const struct mt_links_plan *plan);
void mt_links_detach(struct mt_links *l);
void mt_links_detach_all(struct mt_links *l, size_t n);

/*
 * Slots: each process has one, with its counters. They come in chunks, and go
 * to the kernel ahead of the processes that fork.
 */
struct mt_slots {
	struct memtrace_bpf *skel;
	uint32_t shift;  /* log2 of the slots in a chunk */
	uint32_t chunks; /* room for chunks */
	int *fds;        /* of each chunk, -1 none; owned */
	uint32_t *spare; /* free slots of each chunk that user space has; owned */
	uint32_t *free;  /* those slots; owned */
	size_t n_free;
	uint32_t n_chunks; /* that there are */
	uint32_t n_put;    /* slots put back since they were compacted */
	bool reserve;      /* keep the kernel's queue filled */
	uint64_t bytes;
	size_t value_size; /* of a slot's counters, all CPUs, bytes */
	void *zero;        /* value_size zeroes; owned */
};

int mt_slots_open(struct mt_slots *s, struct memtrace_bpf *skel, size_t targets, bool reserve);
void mt_slots_close(struct mt_slots *s);
/* -ENOSPC: all are in use. */
int mt_slots_take(struct mt_slots *s, uint32_t *slot);
void mt_slots_put(struct mt_slots *s, uint32_t slot);
/* When as many slots were put back as the queue holds: frees the chunks that only it holds. */
void mt_slots_compact(struct mt_slots *s);
/* Fills the kernel's queue. */
void mt_slots_refill(struct mt_slots *s);
int mt_slots_read(const struct mt_slots *s, uint32_t slot, struct mt_counters *percpu);

/* A file whose allocator is probed. */
struct mt_probed {
	uint32_t id;
	struct mt_file_key key;
	bool mapped;                  /* scratch of mt_files_collect */
	struct mt_alloc_found *found; /* owned */
};

/* What is kept of a Go program; all 0: it is none, as far as is known. */
struct mt_tracee_go {
	struct mt_go_file *file;  /* of its executable; owned by the session */
	struct mt_go *process;    /* its runtime, once it has been found; owned */
	bool refused;             /* it cannot be read, and that was said */
	struct mt_go_stats *last; /* as last read; owned */
	uint64_t last_ns;         /* CLOCK_MONOTONIC, when; 0 never */
	bool left;                /* that was when it was about to end */
	uint32_t probe;           /* id of the probe that is its own, where it has one; 0 none */
	bool seen;                /* some snapshot had it */
	uint64_t missed;          /* pauses that the rings no longer held, so far */
	uint32_t num_gc;          /* in the last one */
};

/* As the kernel picked it as an OOM victim. */
struct mt_victim {
	uint64_t time_ns; /* CLOCK_MONOTONIC; 0: it did not */
	struct mt_target target;
	uint64_t rss, swap; /* bytes; 0 unknown */
	bool told;          /* mt_session_victim has told of it */
};

/* Marks that are probed, and what came of them. */
#define MT_MARKS_PENDING 4
#define MT_MARK_SLOTS    2 /* at BEGIN and at END */
struct mt_marks {
	uint32_t *ids; /* of their probes; owned */
	size_t n_ids;
	struct mt_life pending[MT_MARKS_PENDING]; /* the first is being read, or is to be */
	size_t n_pending;
	uint32_t slots[MT_MARK_SLOTS]; /* for copies of the counters, where the options ask */
	int news_fd;                   /* an eventfd; -1: neither marks nor victims are asked for */
};

/* One traced process. */
struct mt_tracee {
	pid_t pid;
	pid_t ppid;
	uint64_t start_time; /* clock ticks since boot */
	uint32_t slot;
	uint32_t flags;                     /* MT_TARGET_* */
	const struct mt_alloc_found *found; /* the first allocator seen; owned by the session */
	uint32_t learned; /* probed files that its image had mapped when they were probed */
	enum mt_since since;
	bool ended, reported;
	uint64_t ended_ns;   /* CLOCK_MONOTONIC when the end was seen */
	uint64_t exec_ns;    /* and the last exec; 0 none */
	bool relook;         /* a new image runs, whose allocator is not known yet */
	bool untraced;       /* the image that runs has an allocator that can't be traced */
	bool wants_census;   /* levels count from the attach until one is taken */
	uint64_t seq;        /* of the next snapshot */
	uint64_t full_ns;    /* CLOCK_MONOTONIC of the last smaps reading; 0 none */
	uint64_t parts_ns;   /* CLOCK_MONOTONIC of the last reading of vm's parts; 0 none */
	uint64_t parts_cost; /* how long it took, ns */
	struct mt_vm vm;     /* last reading */
	struct mt_vm_cache *vm_cache; /* what it leaves for the next; owned */
	struct mt_target last;        /* as the kernel left it at the end */
	struct mt_victim victim;
	/*
	 * Subtracted: counts at the census, or at an exec that the kernel could not
	 * zero. It and the levels are of the image after so many execs.
	 */
	struct mt_flows base;
	uint64_t base_ns; /* CLOCK_MONOTONIC when it was taken; 0: there is none */
	uint64_t execs;
	struct mt_heap_class levels[MT_CLASSES]; /* added: what lived at the census */
	struct mt_census census;                 /* the last one that could be taken; owned */
	struct mt_audit audit;                   /* for the next snapshot */
	struct mt_tracee_go go;
	char comm[64];
	char exe[4096];
	char cgroup[1024];
};

struct mt_session {
	struct mt_session_opts opts;
	struct utsname host;
	struct mt_kernel kernel;
	struct mt_progs progs;
	struct mt_keeper keeper;
	bool keeper_gone; /* and all probes with it */
	struct mt_slots slots;
	struct ring_buffer *life;
	bool consuming;     /* it is being read */
	uint32_t forks;     /* that were read of */
	uint64_t life_lost; /* events that it had no room for, as far as that was seen to */
	int epoll_fd;
	int timer_fd; /* looks again at images that are still loading, and takes censuses */
	uint64_t relook_ns;
	uint64_t start_ns; /* CLOCK_MONOTONIC */
	int cpus;
	struct mt_counters *percpu; /* cpus entries, scratch of the reader */
	struct mt_tracee **tracees; /* owned, in the order in which they came */
	size_t n, room;
	void *by_pid;             /* tsearch(3), of those that have not ended */
	struct mt_probed *probed; /* owned */
	size_t n_probed;
	bool crowded; /* and that was said: there are more processes than room */
	uint32_t last_file_id;
	struct mt_go_file **go_files; /* executables that were looked at; owned */
	size_t n_go_files;
	uint64_t collected_ns; /* CLOCK_MONOTONIC of the last mt_files_collect */
	struct mt_marks marks;
	struct mt_measure *measure; /* of a function's calls; owned; NULL: none */
	int blocks_fd;              /* the map of live blocks; -1: no allocator needs one */
	struct mt_tracer tracer;    /* as of tracer_ns */
	uint64_t tracer_ns;
};

/* all.c */
/* True for another memtrace, run from the same file. */
bool mt_is_memtrace(pid_t pid);

/* tracee.c */
int mt_tracee_new(pid_t pid, struct mt_tracee **ret);
void mt_tracee_free(struct mt_tracee **t);
/* Hands it to the session. */
int mt_tracee_adopt(struct mt_session *s, struct mt_tracee **t);
/* The live one of that pid, or NULL. */
struct mt_tracee *mt_tracee_find(const struct mt_session *s, pid_t pid);
/* No more looked up by its pid, which another process may get. */
void mt_tracee_unlist(struct mt_session *s, struct mt_tracee *t);
/* True if the process has ended, whether or not the kernel has told. */
bool mt_tracee_has_ended(const struct mt_tracee *t);
/* Enters it into the membership map: from here on it is counted. 0 or -errno. */
int mt_tracee_enter(struct mt_session *s, struct mt_tracee *t);
/* As the kernel has it, or left it. False: neither is known. */
bool mt_tracee_target(const struct mt_session *s, const struct mt_tracee *t, struct mt_target *k);
/* Fills name, executable, cgroup, parent and start time. 0 or -ESRCH. */
int mt_tracee_describe(struct mt_tracee *t);

/* files.c */
/*
 * Probes what the process has mapped, -1: what every process has. Code that is of
 * no tracee is left out. 0 or -errno, logged.
 */
int mt_files_scan(struct mt_session *s, pid_t pid);
/* Code of a new file, as the kernel told. */
void mt_files_on_event(struct mt_session *s, struct mt_tracee *t, const struct mt_life *l);
/* The thread that told of a file has to wait for it no longer. */
void mt_files_release(struct mt_session *s, const struct mt_life *l);
/* A process that ended or moved: probes of its own are of no more use. */
void mt_files_forget(struct mt_session *s, pid_t tgid);
/*
 * Files that no process maps any more: their probes would keep a deleted file's
 * blocks on the disk. At most every few minutes.
 */
void mt_files_collect(struct mt_session *s);
const struct mt_alloc_found *mt_files_find(const struct mt_session *s, uint32_t id);
/* An id that no probe bears; 0 if all are taken. */
uint32_t mt_files_new_id(struct mt_session *s);
void mt_files_close(struct mt_session *s);

/* blocks.c */
/*
 * Drops the blocks that the programs keep of the slot (sizes as requested) but
 * for those of the image after so many execs; MT_BLOCKS_ALL: all. Costs nothing
 * where no such allocator was seen.
 */
#define MT_BLOCKS_ALL UINT64_MAX
/* Such a map, for so many. The fd or -errno. */
int mt_blocks_map(uint32_t max);
/* Makes the one that the programs use, unless it is there. 0 or -errno, logged. */
int mt_blocks_open(struct mt_session *s);
void mt_blocks_drop(const struct mt_session *s, uint32_t slot, uint64_t execs);

/* code.c: the iterator over mappings */
/* All code of files, of the process or of all (-1), by process. The caller frees *ret. */
int mt_code_list(struct mt_session *s, pid_t pid, struct mt_code **ret, size_t *n);

/* life.c: fork, exec and exit */
int mt_life_open(struct mt_session *s);
/* Handles what the kernel has told so far. */
void mt_life_consume(struct mt_session *s);
void mt_life_end(struct mt_session *s, struct mt_tracee *t, const struct mt_target *last);
int mt_life_on_timer(struct mt_session *s);
/* The timer rings after so long, unless it rings before. */
void mt_life_arm(struct mt_session *s, uint64_t ns);

/* golang.c */
/* Looks whether the image that the process runs is a Go program. */
void mt_golang_look(struct mt_session *s, struct mt_tracee *t);
/* A forked child runs its parent's. */
void mt_golang_inherit(struct mt_tracee *child, const struct mt_tracee *parent);
void mt_golang_forget(struct mt_tracee *t);
/* Takes the probe away that is its own. */
void mt_golang_end(struct mt_session *s, struct mt_tracee *t);
/* It is about to end, and waits: the last numbers are read. */
void mt_golang_on_leaving(const struct mt_session *s, struct mt_tracee *t);
/* True if an id is that of a Go program's probe. */
bool mt_golang_has_id(const struct mt_session *s, uint32_t id);
/* True if its runtime is read, as far as is known. */
bool mt_golang_is(const struct mt_tracee *t);
/* Finds the runtime, if there is one and it is up; says why it cannot be read. As mt_golang_is. */
bool mt_golang_open(const struct mt_session *s, struct mt_tracee *t);
/* Puts the runtime's numbers into a snapshot that is complete but for them. */
int mt_golang_fill(const struct mt_session *s, struct mt_tracee *t, struct mt_snapshot *snap);
void mt_golang_close(struct mt_session *s);

/* func.c */
/* True if an id is that of a measured function's probes. */
bool mt_measure_has_id(const struct mt_session *s, uint32_t id);
void mt_measure_close(struct mt_session *s);

/* marks.c */
int mt_marks_open(struct mt_session *s);
void mt_marks_free(struct mt_session *s);
/* True if an id is that of a mark's probes. */
bool mt_marks_has_id(const struct mt_session *s, uint32_t id);
/* A thread is at a mark, and waits if it is held, until mt_session_mark_done. */
void mt_marks_on_event(struct mt_session *s, const struct mt_life *l);
/* The mark that t is at, and that is being read; NULL: it is at none. */
const struct mt_life *mt_marks_at(const struct mt_session *s, const struct mt_tracee *t);
/* The slot with what was counted then. */
uint32_t mt_marks_slot(const struct mt_session *s, const struct mt_life *l);
/* The marks of the program that ran are no more. */
void mt_marks_on_exec(struct mt_session *s, const struct mt_life *l);
void mt_marks_on_oom(struct mt_session *s, struct mt_tracee *t, const struct mt_life *l);

/* read.c */
/* The counters as they are, without the base; logs nothing. */
int mt_read_raw(struct mt_session *s, const struct mt_tracee *t, struct mt_flows *out);
int mt_read_flows(struct mt_session *s, const struct mt_tracee *t, struct mt_flows *out);
/* Refreshes t->vm and the names; a target that is gone keeps the last reading. */
void mt_read_levels(struct mt_session *s, struct mt_tracee *t, enum mt_vm_depth depth);

/* census.c */
/* Takes a census of a tracee that is counted. 0 or -errno, logged. */
int mt_census_begin(struct mt_session *s, struct mt_tracee *t);
/* Has one taken from the timer, unless the options forbid it. */
void mt_census_want(struct mt_session *s, struct mt_tracee *t);
/* After the first full reading of its memory: what the census says of it. */
void mt_census_settle(struct mt_tracee *t);
/* A new image: the census was of the old one. */
void mt_census_forget(struct mt_tracee *t);

#endif
