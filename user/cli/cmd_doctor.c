/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * memtrace doctor: what this machine and a target allow, where each probe
 * would stand, and the remedy for what is missing. It attaches nothing and goes
 * on after each failure, so that one run shows them all.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "alloc/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/writer.h"
#include "census/census.h"
#include "cli/cli.h"
#include "cli/doctor_go.h"
#include "cli/options.h"
#include "sys/elf.h"
#include "sys/kernel.h"
#include "sys/procfs.h"

#define CHECKS_MAX 32
#define FILES_MAX  256 /* files listed of one target */
#define WIDTH      80

struct config {
	struct mt_pid_list pids;
	bool help;
};

static const struct mt_opt rows[] = {
	{'p', "pid", MT_OPT_PIDS, "PID[,PID...]", offsetof(struct config, pids), NULL,
	 "look at these processes too; may be repeated"},
	{'h', "help", MT_OPT_FLAG, NULL, offsetof(struct config, help), NULL, "this text"},
	{0},
};

/*
 * Prints what was gathered and empties the writer: before each call that logs,
 * so that its line on standard error comes where it belongs. A reader that is
 * gone is told by the next write, too.
 */
static void flush(struct mt_writer *w)
{
	mt_writer_flush(w, STDOUT_FILENO);
	mt_writer_reset(w);
}

static void write_machine(struct mt_writer *w)
{
	struct utsname u;

	mt_writef(w, "memtrace %s", MT_VERSION);
	if (!uname(&u)) {
		mt_writef(w, " on %s ", u.sysname);
		mt_write_escaped(w, u.release);
		mt_writef(w, " %s", u.machine);
	}
	mt_writef(w, ", user id %u\n\n", (unsigned int)geteuid());
}

static void write_check(struct mt_writer *w, const struct mt_check *c)
{
	static const char *const states[] = {
		[MT_CHECK_OK] = "OK",
		[MT_CHECK_LIMITED] = "limited",
		[MT_CHECK_MISSING] = "missing",
	};
	char head[64];
	int n = snprintf(head, sizeof(head), "  %-8s  %-24s ", states[c->state], c->name);

	if (n + (int)strlen(c->text) <= WIDTH) {
		mt_write_str(w, head);
		mt_write_escaped(w, c->text);
		mt_write_str(w, "\n");
	} else {
		mt_writef(w, "  %-8s  %s\n", states[c->state], c->name);
		mt_write_wrapped(w, 12, WIDTH, c->text);
	}
	if (c->remedy[0] && c->state != MT_CHECK_OK)
		mt_write_wrapped(w, 12, WIDTH, c->remedy);
}

/* True if memtrace can run on this machine, as we are. */
static bool check_machine(struct mt_writer *w)
{
	struct mt_check checks[CHECKS_MAX];
	size_t n = mt_kernel_checks(checks, CHECKS_MAX);
	unsigned int missing = 0;

	write_machine(w);
	for (size_t i = 0; i < n; i++) {
		write_check(w, &checks[i]);
		missing += checks[i].required && checks[i].state == MT_CHECK_MISSING;
	}
	if (missing)
		mt_writef(w, "\nmemtrace cannot run here: %u of what it needs is missing.\n",
			  missing);
	flush(w);
	if (missing || mt_kernel_require())
		return false;
	mt_write_str(w, "\nmemtrace can run here.\n");
	return true;
}

static void write_process(struct mt_writer *w, pid_t pid)
{
	static const char *const seccomp[] = {"none", "strict", "filter"};
	struct mt_proc_status status = {0};
	char exe[4096];

	mt_writef(w, "\npid %d", pid);
	if (!mt_proc_status_read(pid, &status)) {
		mt_write_str(w, ": ");
		mt_write_escaped(w, status.comm);
		mt_writef(w, "\n  state        %c, %u thread%s, user id %u, seccomp %s",
			  status.state, status.threads, status.threads == 1 ? "" : "s",
			  (unsigned int)status.uid,
			  status.seccomp < 3 ? seccomp[status.seccomp] : "unknown");
	}
	mt_write_str(w, "\n  executable   ");
	if (mt_proc_exe(pid, exe, sizeof(exe)))
		mt_write_str(w, "not readable");
	else
		mt_write_escaped(w, exe);
	mt_write_str(w, "\n");
}

/* True if the file of a mapping could be opened; *has_malloc as found in it. */
static bool look_for_malloc(pid_t pid, const struct mt_mapping *m, bool *has_malloc)
{
	_cleanup_writer_ struct mt_writer root = {0};
	struct mt_elf *elf = NULL;
	struct mt_sym sym;
	char path[96];

	snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, pid, m->start,
		 m->end);
	if (mt_elf_open(path, &elf)) {
		mt_writef(&root, "/proc/%d/root%s", pid, m->path);
		if (root.err || mt_elf_open(root.buf, &elf))
			return false;
	}
	*has_malloc = !mt_elf_find_func(elf, "malloc", &sym);
	mt_elf_free(&elf);
	return true;
}

static void write_file(struct mt_writer *w, pid_t pid, const struct mt_mapping *m)
{
	bool has_malloc = false;
	bool opened = look_for_malloc(pid, m, &has_malloc);

	mt_writef(w, "    %-14s ", !opened ? "not readable" : has_malloc ? "defines malloc" : "");
	mt_write_escaped(w, m->path);
	mt_write_str(w, m->deleted ? " (deleted)\n" : "\n");
}

/* The files that are mapped executable, each once, in the order of their addresses. */
static void write_files(struct mt_writer *w, pid_t pid, const struct mt_maps *maps)
{
	const struct mt_mapping *seen[FILES_MAX];
	size_t n = 0;

	mt_write_str(w, "  files considered\n");
	for (size_t i = 0; i < maps->n; i++) {
		const struct mt_mapping *m = &maps->v[i];
		size_t k = 0;

		if (!m->exec || !m->inode || m->path[0] != '/')
			continue;
		while (k < n && strcmp(seen[k]->path, m->path) != 0)
			k++;
		if (k < n)
			continue;
		if (n == FILES_MAX) {
			mt_writef(w, "    and more than these %d\n", FILES_MAX);
			return;
		}
		seen[n++] = m;
		write_file(w, pid, m);
	}
}

/* Where a file's offset is mapped in the process; 0 if it is not. */
static uint64_t address_of(const struct mt_maps *maps, const struct mt_alloc_found *a,
			   uint64_t offset)
{
	for (size_t i = 0; i < maps->n; i++) {
		const struct mt_mapping *m = &maps->v[i];

		if (m->exec && !strcmp(m->path, a->path) && offset >= m->offset &&
		    offset - m->offset < m->end - m->start)
			return m->start + (offset - m->offset);
	}
	return 0;
}

static void write_probe(struct mt_writer *w, const struct mt_maps *maps,
			const struct mt_alloc_found *a, const struct mt_probe *p)
{
	const char *kind = p->entry && p->ret ? "entry+return" : p->ret ? "return" : "entry";
	uint64_t addr = address_of(maps, a, p->offset);
	char where[32] = "not mapped";

	if (addr)
		snprintf(where, sizeof(where), "%#" PRIx64, addr);
	mt_writef(w, "    %-15s %-13s %#-11" PRIx64 " %-15s %#-9" PRIx64 " ", p->func, kind,
		  p->place.addr, where, p->offset);
	mt_writef(w, "%s\n      ", p->place.step == MT_STEP_EMULATED ? "emulated" : "stepped");
	mt_write_escaped(w, p->place.insn);
	if (p->place.skip)
		mt_writef(w, ", %u bytes past the entry", p->place.skip);
	if (p->place.why && *p->place.why)
		mt_writef(w, ": %s", p->place.why);
	mt_write_str(w, "\n");
}

static void write_allocator(struct mt_writer *w, const struct mt_maps *maps,
			    const struct mt_alloc_found *a)
{
	size_t stepped = 0;

	mt_writef(w, "  allocator    %s%s", a->allocator->name, a->id.version[0] ? " " : "");
	mt_write_escaped(w, a->id.version);
	mt_write_str(w, " in ");
	mt_write_escaped(w, a->path);
	if (a->id.why)
		mt_writef(w, "\n  sizes        as requested: %s", a->id.why);
	if (a->text_hi)
		mt_writef(w,
			  "\n  own text     %#" PRIx64 "-%#" PRIx64
			  " (calls from there do not count)",
			  a->text_lo, a->text_hi);
	else
		mt_write_str(w, "\n  own text     unknown: the allocator's calls of itself count");
	mt_writef(w, "\n    %-15s %-13s %-11s %-15s %-9s %s\n", "probe", "kind", "link-time",
		  "in the process", "offset", "runs");
	for (size_t i = 0; i < a->n_probes; i++) {
		write_probe(w, maps, a, &a->probes[i]);
		stepped += a->probes[i].place.step == MT_STEP_SINGLE;
	}
	mt_writef(w, "  %zu probes, %zu emulated by the kernel, %zu single-stepped%s\n",
		  a->n_probes, a->n_probes - stepped, stepped,
		  stepped ? ", which is far dearer" : "");
	for (size_t i = 0; i < a->n_missed; i++)
		mt_writef(w, "  not counted  %s: %s\n", a->missed[i].func, a->missed[i].why);
	if (a->id.layout == MT_LAYOUT_REQUESTED)
		mt_write_wrapped(w, 2, WIDTH,
				 "Blocks of this allocator count by the size that was asked for.");
}

/* What the process's other files have, each file once. */
static void write_others(struct mt_writer *w, pid_t pid, const struct mt_maps *maps,
			 const struct mt_alloc_found *first)
{
	size_t n = 0;

	for (size_t i = 0; i < maps->n && n < FILES_MAX; i++) {
		MT_CLEANUP(mt_alloc_found_free) struct mt_alloc_found *found = NULL;
		const struct mt_mapping *m = &maps->v[i];

		if (!m->exec || !m->inode || m->path[0] != '/' || !strcmp(m->path, first->path))
			continue;
		n++;
		if (mt_alloc_inspect_file(pid, m, NULL, &found))
			continue;
		for (const struct mt_alloc_found *a = found; a; a = a->next)
			write_allocator(w, maps, a);
	}
}

/* Whether the heap that it has by now can be read. */
static void write_census(struct mt_writer *w, pid_t pid)
{
	struct mt_census_plan *plan = NULL;
	char why[MT_WHY_SIZE];

	mt_write_str(w, "  census       ");
	if (mt_census_prepare(pid, why, &plan)) {
		mt_write_str(w, "not possible: ");
		mt_write_escaped(w, why);
		mt_write_str(w, "\n");
	} else {
		mt_write_str(w, "possible: its heap can be read, which holds it for a moment\n");
	}
	mt_census_plan_free(&plan);
}

/*
 * True if the kernel leaves the process alive under return probes: some kernels
 * kill what has a system call filter (kernel.h).
 */
static bool check_seccomp(struct mt_writer *w, pid_t pid)
{
	struct mt_proc_status status;
	bool kills = false;

	if (mt_proc_status_read(pid, &status) || !status.seccomp)
		return true;
	if (mt_kernel_seccomp_kills(&kills) || !kills)
		return true;
	mt_write_wrapped(
		w, 2, WIDTH,
		"This kernel kills processes that have a seccomp filter when a return probe "
		"is on them, and this one has: it is not traced. Use a newer kernel.");
	return false;
}

/* True if the process could be traced. */
static bool check_target(struct mt_writer *w, pid_t pid)
{
	MT_CLEANUP(mt_alloc_found_free) struct mt_alloc_found *found = NULL;
	MT_CLEANUP(mt_maps_free) struct mt_maps *maps = NULL;
	mt_log_fn sink = NULL;
	bool ok, is_go;
	int r;

	write_process(w, pid);
	flush(w);
	r = mt_target_require(pid);
	/* Without the privilege to trace it some of it can still be read. */
	if (r && r != -EPERM && r != -EACCES)
		return false;
	ok = !r && check_seccomp(w, pid);
	r = mt_maps_read(pid, &maps);
	if (r) {
		mt_writef(w, "  maps         not readable: %s\n", strerror(-r));
		return false;
	}
	write_files(w, pid, maps);
	flush(w);
	is_go = mt_doctor_go(w, pid);
	flush(w);
	if (is_go)
		sink = mt_log_set_sink(NULL); /* it need not have an allocator besides */
	r = mt_alloc_detect(pid, maps, &found);
	if (is_go)
		mt_log_set_sink(sink);
	if (r || !found)
		return is_go && ok;
	for (const struct mt_alloc_found *a = found; a; a = a->next)
		write_allocator(w, maps, a);
	write_others(w, pid, maps, found);
	write_census(w, pid);
	return ok;
}

static int show_help(void)
{
	printf("Usage: memtrace %s %s\n%s\n\n", mt_cmd_doctor.name, mt_cmd_doctor.usage,
	       mt_cmd_doctor.help);
	mt_options_help(rows);
	printf("\nExits with 0 if memtrace can run here and trace those processes, else with 1.\n");
	return MT_EXIT_OK;
}

static int doctor(const struct config *cfg)
{
	_cleanup_writer_ struct mt_writer w = {0};
	bool machine = check_machine(&w), targets = true;

	for (size_t i = 0; i < cfg->pids.n; i++) {
		bool ok = check_target(&w, cfg->pids.v[i]);

		mt_writef(&w, "  memtrace %s this process.\n",
			  ok && machine ? "can trace" : "cannot trace");
		targets = targets && ok;
	}
	flush(&w);
	return machine && targets ? MT_EXIT_OK : MT_EXIT_FAILED;
}

static int run(int argc, char **argv)
{
	struct config cfg = {0};
	bool dashdash;
	int first, ret;

	mt_messages_show(false, false);
	if (mt_options_parse(rows, argc, argv, &cfg, &first, &dashdash))
		ret = MT_EXIT_USAGE;
	else if (cfg.help)
		ret = show_help();
	else if (first < argc)
		ret = mt_operand_error(mt_cmd_doctor.name, argv[first]);
	else
		ret = doctor(&cfg);
	free(cfg.pids.v);
	return ret;
}

const struct mt_cmd mt_cmd_doctor = {
	.name = "doctor",
	.usage = "[-p PID[,PID...]]",
	.help = "What this machine and a process allow, and the remedy for what they do not.",
	.run = run,
};
