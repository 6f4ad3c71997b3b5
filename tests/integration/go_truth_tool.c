/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * MemStats as memtrace reads them from outside, a line of JSON for each reading.
 *
 *   go_truth_tool read PID [N [MS]]   N readings of the running process, default 1,
 *                                     MS milliseconds between two
 *   go_truth_tool held PID [N [MS]]   the same, held for each
 *   go_truth_tool trap OUT SYMBOLS COMMAND...
 *       runs the command and stops it at each entry of runtime.readmemstats_m, where
 *       the world is stopped and nothing has been flushed, for a reading each, which
 *       goes to the file OUT. SYMBOLS is a build of the same program that has its
 *       symbols, or the program itself.
 */
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "golang/internal.h"
#include "sys/elf.h"
#include "sys/procfs.h"

#define TRIES   20
#define STOP_NS 250000000u
#define BREAK   0xcc
#define THREADS 4096

static void log_to_stderr(enum mt_log_level level, const char *msg)
{
	if (level <= MT_LOG_WARN)
		fprintf(stderr, "go_truth_tool: %s\n", msg);
}

static int fail(int r, const char *what)
{
	fprintf(stderr, "go_truth_tool: %s: %s\n", what, strerror(-r));
	return r;
}

static void print_ring(FILE *f, const char *name, const uint64_t *v)
{
	fprintf(f, ", \"%s\": [", name);
	for (int i = 0; i < 256; i++)
		fprintf(f, "%s%" PRIu64, i ? ", " : "", v[i]);
	fputc(']', f);
}

static void print_classes(FILE *f, const struct mt_go_stats *s)
{
	fputs(", \"BySize\": [", f);
	for (int i = 0; i < 61; i++)
		fprintf(f, "%s{\"Size\": %u, \"Mallocs\": %" PRIu64 ", \"Frees\": %" PRIu64 "}",
			i ? ", " : "", s->m.by_size[i].size, s->m.by_size[i].mallocs,
			s->m.by_size[i].frees);
	fputs("], \"classes\": [", f);
	for (int i = 0; i < MT_CLASSES; i++)
		fprintf(f, "%s[%llu, %llu, %llu, %llu]", i ? ", " : "", s->cls[i].mallocs,
			s->cls[i].frees, s->cls[i].alloc_bytes, s->cls[i].free_bytes);
	fprintf(f, "], \"unsized\": [%llu, %llu, %llu, %llu]", s->unsized.mallocs, s->unsized.frees,
		s->unsized.alloc_bytes, s->unsized.free_bytes);
}

static void print_stats(FILE *f, const struct mt_go_stats *s, uint64_t ns)
{
	const struct memtrace_memstats *m = &s->m;
	const struct {
		const char *name;
		uint64_t v;
	} all[] = {
		{"Alloc", m->alloc},
		{"TotalAlloc", m->total_alloc},
		{"Sys", m->sys},
		{"Lookups", m->lookups},
		{"Mallocs", m->mallocs},
		{"Frees", m->frees},
		{"HeapAlloc", m->heap_alloc},
		{"HeapSys", m->heap_sys},
		{"HeapIdle", m->heap_idle},
		{"HeapInuse", m->heap_inuse},
		{"HeapReleased", m->heap_released},
		{"HeapObjects", m->heap_objects},
		{"StackInuse", m->stack_inuse},
		{"StackSys", m->stack_sys},
		{"MSpanInuse", m->mspan_inuse},
		{"MSpanSys", m->mspan_sys},
		{"MCacheInuse", m->mcache_inuse},
		{"MCacheSys", m->mcache_sys},
		{"BuckHashSys", m->buck_hash_sys},
		{"GCSys", m->gc_sys},
		{"OtherSys", m->other_sys},
		{"NextGC", m->next_gc},
		{"LastGC", m->last_gc},
		{"PauseTotalNs", m->pause_total_ns},
		{"NumGC", m->num_gc},
		{"NumForcedGC", m->num_forced_gc},
	};

	fputc('{', f);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		fprintf(f, "\"%s\": %" PRIu64 ", ", all[i].name, all[i].v);
	fprintf(f, "\"GCCPUFraction\": %.17g, \"EnableGC\": %s, \"DebugGC\": %s",
		m->gc_cpu_fraction, m->enable_gc ? "true" : "false",
		m->debug_gc ? "true" : "false");
	print_ring(f, "PauseNs", m->pause_ns);
	print_ring(f, "PauseEnd", m->pause_end);
	print_classes(f, s);
	fprintf(f,
		", \"consistent\": %s, \"ns\": %" PRIu64 ", \"stop_ns\": %" PRIu64
		", \"why\": \"%s\"}\n",
		s->consistent ? "true" : "false", ns, s->stop_ns, s->why);
	fflush(f);
}

/* The program as its file has it, and the process that runs it. */
struct program {
	pid_t pid;
	struct mt_go_image *image;
	struct mt_go *g;
};

static int find_program(struct program *p, pid_t pid)
{
	MT_CLEANUP(mt_elf_free) struct mt_elf *elf = NULL;
	_cleanup_close_ int fd = mt_proc_open(pid, "exe");
	char why[MT_WHY_SIZE] = "";
	int r = fd < 0 ? fd : mt_elf_open_fd(fd, &elf);

	p->pid = pid;
	if (!r)
		r = mt_go_inspect(elf, why, &p->image);
	return r ? fail(r, why) : 0;
}

static int attach(struct program *p)
{
	char why[MT_WHY_SIZE] = "";
	int r = mt_go_attach(p->image, p->pid, why, &p->g);

	return r ? fail(r, why) : 0;
}

static int read_it(struct program *p, bool held, FILE *out)
{
	struct mt_go_stats stats;
	int r = p->g ? 0 : attach(p);
	uint64_t start = mt_clock_ns(CLOCK_MONOTONIC);

	if (!r)
		r = held ? mt_go_read_held(p->g, STOP_NS, &stats) : mt_go_read(p->g, TRIES, &stats);
	if (r)
		return fail(r, "reading");
	print_stats(out, &stats, mt_clock_ns(CLOCK_MONOTONIC) - start);
	return 0;
}

/* A process that is traced, all its threads with it. */
struct tracee {
	struct program *p;
	FILE *out;
	pid_t pid;
	uint64_t addr;
	long word; /* what stood at addr */
};

static int poke(const struct tracee *t, pid_t tid, bool set)
{
	long word = set ? (t->word & ~0xffl) | BREAK : t->word;

	return ptrace(PTRACE_POKETEXT, tid, t->addr, word) ? -errno : 0;
}

/* The thread has run into the breakpoint: a reading, and over it. */
static int on_break(struct tracee *t, pid_t tid)
{
	struct user_regs_struct regs;
	int status, r = read_it(t->p, false, t->out);

	if (r)
		return r;
	if (ptrace(PTRACE_GETREGS, tid, NULL, &regs))
		return -errno;
	regs.rip = t->addr;
	r = poke(t, tid, false);
	if (!r && (ptrace(PTRACE_SETREGS, tid, NULL, &regs) ||
		   ptrace(PTRACE_SINGLESTEP, tid, NULL, NULL)))
		r = -errno;
	/* the world is stopped: nobody else comes by meanwhile; signals wait */
	while (!r && waitpid(tid, &status, __WALL) == tid && WIFSTOPPED(status) &&
	       WSTOPSIG(status) != SIGTRAP)
		if (ptrace(PTRACE_SINGLESTEP, tid, NULL, WSTOPSIG(status)))
			r = -errno;
	return r ? r : poke(t, tid, true);
}

static bool at_break(const struct tracee *t, pid_t tid)
{
	return (uint64_t)ptrace(PTRACE_PEEKUSER, tid, offsetof(struct user_regs_struct, rip),
				NULL) == t->addr + 1;
}

/* Which signal a stopped thread is to have; the first stop of a new one is ours. */
static int signal_of(int status, bool fresh)
{
	int sig = WSTOPSIG(status);

	if (status >> 16 || (fresh && sig == SIGSTOP))
		return 0;
	return sig;
}

static int trace(struct tracee *t)
{
	static bool known[1 << 22];
	int status, r;
	pid_t tid;

	while ((tid = waitpid(-1, &status, __WALL)) > 0) {
		bool fresh = !known[tid];
		int sig;

		known[tid] = true;
		if (!WIFSTOPPED(status)) {
			if (tid == t->pid)
				return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
			continue;
		}
		sig = signal_of(status, fresh);
		if (sig == SIGTRAP && at_break(t, tid)) {
			r = on_break(t, tid);
			if (r)
				return fail(r, "at the breakpoint");
			sig = 0;
		}
		ptrace(PTRACE_CONT, tid, NULL, sig);
	}
	return -ECHILD;
}

/* Where the process has runtime.readmemstats_m. */
static int find_breakpoint(const struct program *p, const char *symbols, uint64_t *addr)
{
	MT_CLEANUP(mt_elf_free) struct mt_elf *elf = NULL;
	struct mt_sym sym;
	uint64_t phdr;
	int r = mt_elf_open(symbols, &elf);

	if (!r)
		r = mt_elf_find_func(elf, "runtime.readmemstats_m", &sym);
	if (!r)
		r = mt_proc_auxv(p->pid, AT_PHDR, &phdr);
	if (r)
		return fail(r, symbols);
	*addr = sym.addr + (p->image->fixed ? 0 : phdr / 4096 * 4096 - p->image->start);
	return 0;
}

static int launch(char **command, pid_t *pid)
{
	int status;

	*pid = fork();
	if (!*pid) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		execv(command[0], command);
		_exit(127);
	}
	if (*pid < 0 || waitpid(*pid, &status, 0) != *pid || !WIFSTOPPED(status))
		return fail(-EIO, command[0]);
	ptrace(PTRACE_SETOPTIONS, *pid, NULL, PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL);
	return 0;
}

static int trap(const char *path, const char *symbols, char **command)
{
	_cleanup_fclose_ FILE *out = fopen(path, "we");
	struct program p = {0};
	struct tracee t = {.p = &p, .out = out};
	int r = out ? launch(command, &t.pid) : fail(-errno, path);

	if (!r)
		r = find_program(&p, t.pid);
	if (!r)
		r = find_breakpoint(&p, symbols, &t.addr);
	if (r)
		return r;
	errno = 0;
	t.word = ptrace(PTRACE_PEEKTEXT, t.pid, t.addr, NULL);
	r = errno ? -errno : poke(&t, t.pid, true);
	if (r)
		return fail(r, "breakpoint");
	ptrace(PTRACE_CONT, t.pid, NULL, 0);
	r = trace(&t);
	mt_go_free(&p.g);
	mt_go_image_free(&p.image);
	return r;
}

static int read_many(bool held, pid_t pid, int n, long ms)
{
	const struct timespec gap = {ms / 1000, ms % 1000 * 1000000};
	struct program p = {0};
	int r = find_program(&p, pid);

	for (int i = 0; !r && i < n; i++) {
		if (i && ms)
			nanosleep(&gap, NULL);
		r = read_it(&p, held, stdout);
	}
	mt_go_free(&p.g);
	mt_go_image_free(&p.image);
	return r;
}

int main(int argc, char **argv)
{
	bool held = argc > 1 && !strcmp(argv[1], "held");
	int r;

	mt_log_set_sink(log_to_stderr);
	if (argc > 4 && !strcmp(argv[1], "trap"))
		r = trap(argv[2], argv[3], argv + 4);
	else if (argc > 2)
		r = read_many(held, atoi(argv[2]), argc > 3 ? atoi(argv[3]) : 1,
			      argc > 4 ? atol(argv[4]) : 0);
	else
		return 2;
	return r ? 1 : 0;
}
