/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What /proc says of a process. Every parser takes text, so that tests and
 * fuzzers need no process; whatever a target put into its names is data.
 * Functions return 0 or -errno; -ESRCH when the process is gone.
 */
#ifndef MT_SYS_PROCFS_H
#define MT_SYS_PROCFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* /proc/PID/status: sizes in bytes, 0 where the line is missing (kernel threads, zombies). */
struct mt_proc_status {
	char comm[64];
	char state; /* R S D T t Z X I */
	pid_t tgid, ppid, tracer;
	uid_t uid, euid;
	uint64_t vm_data, vm_stk, vm_rss, vm_swap, rss_shmem, rss_file;
	unsigned int threads;
	unsigned int seccomp; /* 0 none, 1 strict, 2 filter */
	bool has_mm;          /* false: kernel thread or zombie */
};

/*
 * The thread whose files under /proc speak for the process: pid itself, or, if
 * the first thread has exited and others run on, one of these, for then pid's
 * own files are empty. pid too if there is none.
 */
pid_t mt_proc_live(pid_t pid);
/* Opens NAME of that thread to read. The fd or -errno, -ESRCH where it is not there. */
int mt_proc_open(pid_t pid, const char *name);

int mt_proc_status_parse(const char *text, struct mt_proc_status *out);
/* Where the first thread has exited before others, state and sizes are of one of these. */
int mt_proc_status_read(pid_t pid, struct mt_proc_status *out);

/* /proc/PID/stat; comm may hold any character, parentheses included. */
struct mt_proc_stat {
	uint64_t start_time;  /* clock ticks since boot, field 22 */
	uint64_t start_stack; /* field 28, 0 without ptrace access */
	uint64_t start_brk;   /* field 47, 0 without ptrace access */
	uint64_t flags;       /* field 9, PF_* */
	char state;
};
#define MT_PF_KTHREAD 0x00200000u

int mt_proc_stat_parse(const char *text, struct mt_proc_stat *out);
/* The start time is the process's; the state, start_stack and start_brk as with the status. */
int mt_proc_stat_read(pid_t pid, struct mt_proc_stat *out);

struct stat;
/* Opens what the process runs, a regular file, and fills *st. The fd, or -errno. */
int mt_proc_open_exe(pid_t pid, struct stat *st);
/* A value of the auxiliary vector, AT_*: as exec left it. -ENOENT: it is not in it. */
int mt_proc_auxv(pid_t pid, uint64_t type, uint64_t *ret);

struct mt_mapping {
	uint64_t start, end; /* addresses */
	uint64_t offset;     /* in the file, bytes */
	uint64_t inode;
	uint32_t dev_major, dev_minor;
	bool read, write, exec, shared;
	/*
	 * As the kernel wrote it but for \012, which is a newline again, and without
	 * " (deleted)"; "" if anonymous, or longer than any path that can be opened;
	 * owned by the maps.
	 */
	const char *path;
	bool deleted;
	uint64_t rss, pss; /* bytes; smaps only, else 0 */
};

struct mt_maps_text;

struct mt_maps {
	struct mt_mapping *v; /* sorted by address, never overlapping */
	size_t n;
	struct mt_maps_text *text; /* what the paths point into */
};

/*
 * Called for each mapping in the order of addresses; m and its path live until
 * it returns. What it returns, if not 0, ends the reading and is its result.
 */
typedef int (*mt_maps_fn)(const struct mt_mapping *m, void *ctx);

/*
 * Reads /proc/PID/maps or smaps piece by piece, in memory that does not depend
 * on the target. smaps costs more (0.7 ms and up) and holds the target's mmap
 * lock. -EBADMSG: damaged.
 */
int mt_maps_each(pid_t pid, mt_maps_fn fn, void *ctx);
int mt_smaps_each(pid_t pid, mt_maps_fn fn, void *ctx);

/* Parses the text of maps or smaps; takes no ownership of it. -EBADMSG: damaged or cut short. */
int mt_maps_parse(const char *text, size_t len, struct mt_maps **ret);
/*
 * The mappings that have a name: of files, and the kernel's, as [heap]. At most
 * 65536 of them, those with code before the others, with 8 MiB of names.
 */
int mt_maps_read(pid_t pid, struct mt_maps **ret);
void mt_maps_free(struct mt_maps **maps);
/* The mapping that holds addr, or NULL. */
const struct mt_mapping *mt_maps_find(const struct mt_maps *maps, uint64_t addr);

/* Reads a whole /proc file, NUL-terminated; at most 64 MiB. The caller frees *ret. */
int mt_read_file(const char *path, char **ret, size_t *len);
/* The same for /proc/PID/NAME; -ESRCH where it is not there. len may be NULL. */
int mt_proc_read(pid_t pid, const char *name, char **ret, size_t *len);
/* Cuts " (deleted)" off a path that the kernel wrote; deleted may be NULL. */
void mt_proc_cut_deleted(char *path, bool *deleted);
/*
 * All thread ids of a process; the caller frees *tids. The kernel's list stops short
 * where a thread ends that it is just at (next_tid in fs/proc/base.c): it is read
 * again until its length is the number of threads, as they stayed meanwhile; *whole
 * is false if that never came about.
 */
int mt_proc_tids(pid_t pid, pid_t **tids, size_t *n, bool *whole);
/* How many there are by the links of /proc/PID/task, open at task_fd; 0: gone. */
size_t mt_proc_threads(int task_fd);
/* The ids of all processes, kernel threads included, in no order; the caller frees *pids. */
int mt_proc_pids(pid_t **pids, size_t *n);
/* The name of the process, of at most 15 bytes, cut to fit. */
int mt_proc_comm(pid_t pid, char *buf, size_t size);
/* readlink of /proc/PID/exe into buf; " (deleted)" is cut. */
int mt_proc_exe(pid_t pid, char *buf, size_t size);
/* The cgroup path of the process, v2's if it has one with controllers, else v1 memory's. */
int mt_proc_cgroup(pid_t pid, char *buf, size_t size);
/* The same from the text of /proc/PID/cgroup; v1 says which of the two. -ENOENT: neither. */
int mt_proc_cgroup_parse(const char *text, char *buf, size_t size, bool *v1);
/*
 * The path of a cgroup as /proc/PID/cgroup has it, from what a user gives: that, or
 * the directory under the mount point of its hierarchy or under /sys/fs/cgroup.
 * -EINVAL: it has "." or ".." in it; -ENAMETOOLONG.
 */
int mt_cgroup_path(const char *given, char *buf, size_t size);
/* Bytes charged to that cgroup. -ENOENT: not visible from here, or the root of v2. */
int mt_cgroup_current(pid_t pid, uint64_t *bytes);
/*
 * The lowest limit on it, its own or one of the cgroups above that are visible from
 * here. -ENODATA: there is none; -ENOENT: not visible.
 */
int mt_cgroup_limit(pid_t pid, uint64_t *bytes);
/*
 * The same of v2 by the files themselves: the lowest memory.max of the directory and
 * those above it, down to its first point bytes, the mount point. dir is cut.
 */
int mt_cgroup_lowest_max(char *dir, size_t point, uint64_t *bytes);

#endif
