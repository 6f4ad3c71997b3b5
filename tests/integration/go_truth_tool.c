/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * MemStats as memtrace reads them from outside, a line of JSON for each reading.
 *
 *   go_truth_tool read PID [N]        N readings of the running process; default 1
 *   go_truth_tool held PID [N]        the same, held for each
 *   go_truth_tool trap OUT SYMBOLS COMMAND...
 *       runs the command and stops it at each entry of runtime.readmemstats_m, where
 *       the world is stopped and nothing has been flushed, for a reading each, which
 *       goes to the file OUT. SYMBOLS is a build of the same program that has its
 *       symbols, or the program itself.
 */
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

static void print_stats(FILE *f, const struct mt_go_stats *s)
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
	fprintf(f, ", \"consistent\": %s, \"stop_ns\": %" PRIu64 ", \"why\": \"%s\"}\n",
		s->consistent ? "true" : "false", s->stop_ns, s->why);
	fflush(f);
}

/* The program as its file has it, and the process that runs it. */
struct program {
	struct mt_elf *elf; /* with symbols */
	struct mt_go_image image;
	struct mt_go g;
	uint64_t breakpoint; /* in the process */
};

static int find_vars(const struct mt_elf *elf, struct mt_go_vars *v)
{
	const struct {
		const char *name;
		uint64_t *to;
	} all[] = {
		{"runtime.memstats", &v->memstats},
		{"runtime.mheap_", &v->mheap},
		{"runtime.gcController", &v->gc_controller},
		{"runtime.allp", &v->allp},
		{"runtime.gcphase", &v->gcphase},
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct mt_sym sym;
		int r = mt_elf_find_object(elf, all[i].name, &sym);

		if (r)
			return fail(r, all[i].name);
		*all[i].to = sym.addr;
	}
	return 0;
}

static int find_program(struct program *p, const char *symbols, int minor)
{
	int r = mt_elf_open(symbols, &p->elf);

	if (r)
		return fail(r, symbols);
	p->image.minor = minor;
	p->image.green_tea = minor >= 26;
	for (size_t i = 0; i < mt_go_layouts_count; i++)
		if (mt_go_layouts[i].minor == minor)
			p->image.layout = mt_go_layouts[i];
	return find_vars(p->elf, &p->image.vars);
}

static int attach(struct program *p, pid_t pid)
{
	MT_CLEANUP(mt_maps_free) struct mt_maps *maps = NULL;
	struct mt_sym sym;
	char exe[4096];
	int r = mt_maps_read(pid, &maps);

	if (!r)
		r = mt_proc_exe(pid, exe, sizeof(exe));
	if (!r)
		r = mt_elf_find_func(p->elf, "runtime.readmemstats_m", &sym);
	for (size_t i = 0; !r && i < maps->n; i++) {
		const struct mt_mapping *m = &maps->v[i];

		if (!m->exec || strcmp(m->path, exe) != 0 || p->breakpoint)
			continue;
		p->breakpoint = m->start - m->offset + sym.offset;
		p->g.bias = p->breakpoint - sym.addr;
	}
	p->g.image = &p->image;
	p->g.pid = pid;
	p->g.layout = p->image.layout;
	p->g.vars = p->image.vars;
	p->g.vars.memstats += p->g.bias;
	p->g.vars.mheap += p->g.bias;
	p->g.vars.gc_controller += p->g.bias;
	p->g.vars.allp += p->g.bias;
	p->g.vars.gcphase += p->g.bias;
	mt_mem_open(&p->g.mem, pid);
	return r;
}

static int read_it(struct program *p, bool held, FILE *out)
{
	struct mt_go_stats stats;
	int r = held ? mt_go_read_held(&p->g, STOP_NS, &stats) : mt_go_read(&p->g, TRIES, &stats);

	if (r)
		return fail(r, "reading");
	print_stats(out, &stats);
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

static int trap(struct program *p, const char *path, char **command)
{
	struct tracee t = {.p = p};
	int status, r;

	t.out = fopen(path, "we");
	if (!t.out)
		return fail(-errno, path);
	t.pid = fork();
	if (!t.pid) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		execv(command[0], command);
		_exit(127);
	}
	if (t.pid < 0 || waitpid(t.pid, &status, 0) != t.pid || !WIFSTOPPED(status))
		return fail(-EIO, command[0]);
	ptrace(PTRACE_SETOPTIONS, t.pid, NULL, PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL);
	r = attach(p, t.pid);
	if (!r) {
		t.addr = p->breakpoint;
		errno = 0;
		t.word = ptrace(PTRACE_PEEKTEXT, t.pid, t.addr, NULL);
		r = errno ? -errno : poke(&t, t.pid, true);
	}
	if (r)
		return fail(r, "breakpoint");
	ptrace(PTRACE_CONT, t.pid, NULL, 0);
	r = trace(&t);
	fclose(t.out);
	return r;
}

int main(int argc, char **argv)
{
	struct program p = {0};
	int r;

	mt_log_set_sink(log_to_stderr);
	if (argc < 5)
		return 2;
	r = find_program(&p, argv[2], atoi(argv[3]));
	if (!r && !strcmp(argv[1], "trap"))
		return trap(&p, argv[4], argv + 5) ? 1 : 0;
	if (!r)
		r = attach(&p, atoi(argv[4]));
	for (int i = 0, n = argc > 5 ? atoi(argv[5]) : 1; !r && i < n; i++)
		r = read_it(&p, !strcmp(argv[1], "held"), stdout);
	return r ? 1 : 0;
}
