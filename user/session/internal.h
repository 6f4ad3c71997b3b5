/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the session's files share. */
#ifndef MT_SESSION_INTERNAL_H
#define MT_SESSION_INTERNAL_H

#include "session/keeper.h"
#include "session/session.h"
#include "sys/kernel.h"

struct memtrace_bpf;
struct bpf_link;

/* The programs and their configuration. */
struct mt_progs {
	struct memtrace_bpf *skel;
	bool multi; /* uprobe_multi links, else perf-event uprobes */
	bool zero_at_exec;
	enum mt_vm_source vm_source;
	struct bpf_link *life[3]; /* exec, exit, the mm's end */
	struct bpf_link *vm[MT_VM_CALLS];
	uint64_t map_bytes;
};

/* Loads what this kernel can run; opts may force the older ways. 0 or -errno, logged. */
int mt_progs_load(struct mt_progs *p, const struct mt_kernel *k,
		  const struct mt_session_opts *opts);
void mt_progs_unload(struct mt_progs *p);
/* Time spent in the programs, ns; 0 unless the kernel's bpf_stats are on. */
uint64_t mt_progs_ns(const struct mt_progs *p);

#define MT_LINKS_MAX MT_PROBES_MAX

/* What to attach; plain data, since it goes through a socket. */
struct mt_links_plan {
	char path[4160];
	size_t n;
	struct {
		uint64_t offset, cookie;
		bool entry, ret;
	} v[MT_PROBES_MAX];
};

/* The probes of one target. */
struct mt_links {
	struct bpf_link *v[2 * MT_LINKS_MAX];
	size_t n;
};

/* Attaches the plan's probes to the process. 0 or -errno. Called in the keeper. */
int mt_links_attach(struct mt_links *l, const struct mt_progs *p, pid_t pid,
		    const struct mt_links_plan *plan);
void mt_links_detach(struct mt_links *l);

/* One traced process. */
struct mt_tracee {
	pid_t pid;
	uint64_t start_time; /* clock ticks since boot */
	int pidfd;
	uint32_t slot;
	uint32_t file_id;
	struct mt_alloc_found *found; /* owned */
	enum mt_since since;
	bool ended;
	uint64_t ended_ns;   /* CLOCK_MONOTONIC when the end was seen */
	bool relook;         /* a new image runs, whose allocator is not known yet */
	bool moved;          /* by a thread that was not the leader: the probes are gone */
	bool untraced;       /* the image that runs has an allocator that can't be traced */
	uint64_t seq;        /* of the next snapshot */
	uint64_t full_ns;    /* CLOCK_MONOTONIC of the last smaps reading; 0 none */
	uint64_t parts_ns;   /* CLOCK_MONOTONIC of the last reading of vm's parts; 0 none */
	uint64_t parts_cost; /* how long it took, ns */
	struct mt_vm vm;     /* last reading */
	struct mt_vm_cache *vm_cache; /* what it leaves for the next; owned */
	/*
	 * Subtracted: counts at the census, or at an exec that the kernel could not
	 * zero. It and the levels are of the image after so many execs.
	 */
	struct mt_flows base;
	uint64_t execs;
	struct mt_heap_class levels[MT_CLASSES]; /* added: what lived at the census */
	struct mt_census census;                 /* the last one that could be taken; owned */
	struct mt_audit audit;                   /* for the next snapshot */
	char comm[64];
	char exe[4096];
	char cgroup[1024];
};

struct mt_session {
	struct mt_session_opts opts;
	struct mt_kernel kernel;
	struct mt_progs progs;
	struct mt_keeper keeper;
	bool keeper_gone; /* and all probes with it */
	struct ring_buffer *life;
	int epoll_fd;
	int timer_fd; /* looks again at images that are still loading */
	uint64_t relook_ns;
	uint64_t start_ns; /* CLOCK_MONOTONIC */
	uint32_t next_file_id;
	int cpus;
	struct mt_counters *percpu; /* cpus entries, scratch of the reader */
	struct mt_tracee **tracees; /* owned */
	size_t n;
};

/* life.c: exec and exit */
int mt_life_open(struct mt_session *s);
void mt_life_handle_exit(struct mt_session *s, struct mt_tracee *t);
int mt_life_relook(struct mt_session *s);

/* read.c */
/* The counters as they are, without the base; logs nothing. */
int mt_read_raw(struct mt_session *s, const struct mt_tracee *t, struct mt_flows *out);
int mt_read_flows(struct mt_session *s, const struct mt_tracee *t, struct mt_flows *out);
/* Refreshes t->vm and the names; a target that is gone keeps the last reading. */
void mt_read_levels(struct mt_session *s, struct mt_tracee *t, enum mt_vm_depth depth);

/* census.c */
/* Enters the tracee and takes a census at that moment. 0 or -errno, logged. */
int mt_census_begin(struct mt_session *s, struct mt_tracee *t);
/* After the first full reading of its memory: what the census says of it. */
void mt_census_settle(struct mt_tracee *t);
/* A new image: the census was of the old one. */
void mt_census_forget(struct mt_tracee *t);

/* session.c */
bool mt_tracee_has_ended(const struct mt_tracee *t);
/* Enters the target into the membership map: from here on it is counted. 0 or -errno. */
int mt_tracee_enter(struct mt_session *s, struct mt_tracee *t);
int mt_tracee_attach(struct mt_session *s, struct mt_tracee *t);

#endif
