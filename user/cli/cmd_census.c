/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * memtrace census: the live heap by size, once, without probes and without
 * BPF: ptrace access to the target is all that it needs.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "census/census.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/output.h"
#include "golang/golang.h"
#include "render/render.h"
#include "sys/elf.h"
#include "sys/kernel.h"
#include "sys/procfs.h"

struct config {
	struct mt_pid_list pids;
	const char *format, *output, *color;
	enum mt_unit unit;
	uint64_t max_stop_ns;
	bool help;
};

static const char *const format_choices[] = {"table", "json", NULL};
static const char *const color_choices[] = {"auto", "always", "never", NULL};

#define AT(member) offsetof(struct config, member)
static const struct mt_opt rows[] = {
	{'p', "pid", MT_OPT_PIDS, "PID[,PID...]", AT(pids), NULL, "the processes; may be repeated"},
	{'f', "format", MT_OPT_CHOICE, "table|json", AT(format), format_choices,
	 "output format; default table"},
	{'o', "output", MT_OPT_STRING, "FILE", AT(output), NULL,
	 "write there instead of standard output; %p pid, %t UTC time"},
	{'u', "unit", MT_OPT_UNIT, "auto|B|KiB|MiB|GiB", AT(unit), NULL, "unit of table"},
	{0, "max-stop", MT_OPT_DURATION, "DURATION", AT(max_stop_ns), NULL,
	 "the longest that a process may be held; default 250ms"},
	{0, "color", MT_OPT_CHOICE, "WHEN", AT(color), color_choices,
	 "colour the output; NO_COLOR is honoured"},
	{'h', "help", MT_OPT_FLAG, NULL, AT(help), NULL, "this text"},
	{0},
};

static int show_help(void)
{
	printf("Usage: memtrace %s %s\n%s\n\n", mt_cmd_census.name, mt_cmd_census.usage,
	       mt_cmd_census.help);
	mt_options_help(rows);
	printf("\nEach process is held for some milliseconds. Root is not needed for processes\n"
	       "that you may debug. Exit status: 0 done, 1 a census could not be made, 2 usage.\n"
	       "See memtrace(8).\n");
	return MT_EXIT_OK;
}

/* What can be done about a census that failed with r; after ": ". */
static void write_remedy(struct mt_writer *w, pid_t pid, int r)
{
	struct mt_proc_status st = {0};

	if (r == -ESRCH || mt_proc_status_read(pid, &st)) {
		mt_write_str(w, "nothing is left to read");
	} else if (r == -EBUSY || st.tracer) {
		mt_write_str(w, "end that tracer first");
	} else if (r == -EPERM || r == -EACCES) {
		mt_write_str(w, mt_target_why_refused(pid));
	} else if (r == -ENOTSUP || r == -ENOENT) {
		mt_writef(w, "see memtrace doctor -p %d", pid);
	} else if (r == -ENOMEM) {
		mt_write_str(w, "free some memory");
	} else if (r == -EAGAIN) {
		mt_write_str(w, "try again, or with a longer --max-stop");
	} else {
		mt_writef(w, "see memtrace doctor -p %d", pid);
	}
}

/* Logs that there is no census, why, and what to do; returns r. */
static int refuse(const struct mt_snapshot *s, int r, const char *why)
{
	_cleanup_writer_ struct mt_writer w = {0};

	mt_writef(&w, "pid %d (", s->pid);
	mt_write_escaped(&w, s->comm[0] ? s->comm : "?");
	mt_write_str(&w, "): no census: ");
	mt_write_escaped(&w, why[0] ? why : strerror(-r));
	mt_write_str(&w, ": ");
	write_remedy(&w, s->pid, r);
	return mt_err_r(r, "%s", w.err ? "out of memory" : w.buf);
}

static int identify(struct mt_snapshot *s)
{
	struct mt_proc_status status;
	struct mt_proc_stat stat;
	int r = mt_proc_status_read(s->pid, &status);

	if (!r)
		r = mt_proc_stat_read(s->pid, &stat);
	if (r)
		return refuse(s, r, "");
	snprintf(s->comm, sizeof(s->comm), "%s", status.comm);
	s->start_time = stat.start_time;
	if (mt_proc_exe(s->pid, s->exe, sizeof(s->exe)))
		s->exe[0] = '\0';
	return 0;
}

/* Fills s, of which only the pid is known. 0 or -errno, logged. */
static bool is_go(pid_t pid)
{
	MT_CLEANUP(mt_go_image_free) struct mt_go_image *image = NULL;
	MT_CLEANUP(mt_elf_free) struct mt_elf *elf = NULL;
	_cleanup_close_ int fd = -1;
	char why[MT_WHY_SIZE];
	struct stat st;

	fd = mt_proc_open_exe(pid, &st);
	return fd >= 0 && !mt_elf_open_fd(fd, &elf) && !mt_go_inspect(elf, why, &image);
}

static int take(struct mt_snapshot *s, const struct mt_census_opts *opts)
{
	MT_CLEANUP(mt_census_plan_free) struct mt_census_plan *plan = NULL;
	char why[MT_WHY_SIZE] = "";
	int r = mt_target_require(s->pid);

	if (!r)
		r = identify(s);
	if (r)
		return r;
	if (s->pid == getpid())
		return mt_err_r(-EINVAL, "pid %d is memtrace itself: name another process", s->pid);
	r = mt_census_prepare(s->pid, why, &plan);
	if (r && is_go(s->pid))
		snprintf(why, sizeof(why), "it is a Go program, whose heap memtrace -p %d shows",
			 s->pid);
	if (r)
		return refuse(s, r, why);
	r = mt_census_take(plan, opts, &s->census);
	if (r || s->census.baseline != MT_BASELINE_CENSUS)
		return refuse(s, r ? r : -EAGAIN, s->census.why);
	s->time_ns = s->census.time_ns;
	s->since = MT_SINCE_CENSUS;
	snprintf(s->allocator, sizeof(s->allocator), "%s", s->census.allocator);
	return 0;
}

/* Takes them one after the other and shows those that could be made. */
static int take_all(const struct config *cfg, struct mt_snapshot *v, struct mt_output *out)
{
	_cleanup_free_ const struct mt_snapshot **made =
		calloc(cfg->pids.n, sizeof(struct mt_snapshot *));
	const struct mt_census_opts opts = {.max_stop_ns = cfg->max_stop_ns};
	size_t n = 0;
	int r;

	if (!made) {
		mt_err_r(-ENOMEM, "out of memory");
		return MT_EXIT_FAILED;
	}
	for (size_t i = 0; i < cfg->pids.n; i++) {
		v[i].pid = cfg->pids.v[i];
		if (!take(&v[i], &opts))
			made[n++] = &v[i];
	}
	r = mt_output_put(out, made, n);
	return n == cfg->pids.n && (!r || r == -EPIPE) ? MT_EXIT_OK : MT_EXIT_FAILED;
}

static int census(const struct config *cfg)
{
	const struct mt_render_opts opts = {
		.unit = cfg->unit,
		.color = mt_color_wanted(cfg->color, cfg->output),
	};
	struct mt_snapshot *v;
	struct mt_output *out = NULL;
	bool json = cfg->format && !strcmp(cfg->format, mt_render_census_json.name);
	int r, ret = MT_EXIT_FAILED;

	r = mt_output_new(cfg->output, json ? &mt_render_census_json : &mt_render_census_table,
			  &opts, &out);
	if (r)
		return r == -EINVAL ? MT_EXIT_USAGE : MT_EXIT_FAILED;
	v = calloc(cfg->pids.n, sizeof(*v));
	if (v)
		ret = take_all(cfg, v, out);
	else
		mt_err_r(-ENOMEM, "out of memory");
	for (size_t i = 0; v && i < cfg->pids.n; i++)
		mt_census_fini(&v[i].census);
	free(v);
	mt_output_free(&out);
	return ret;
}

static int run(int argc, char **argv)
{
	struct config cfg = {.max_stop_ns = MT_CENSUS_MAX_STOP_NS};
	bool dashdash;
	int first, ret;

	mt_messages_show(false, false);
	if (mt_options_parse(rows, argc, argv, &cfg, &first, &dashdash)) {
		ret = MT_EXIT_USAGE;
	} else if (cfg.help) {
		ret = show_help();
	} else if (first < argc) {
		ret = mt_operand_error(mt_cmd_census.name, argv[first]);
	} else if (!cfg.pids.n) {
		fprintf(stderr, "memtrace: census: no target: give -p PID; see memtrace census "
				"--help\n");
		ret = MT_EXIT_USAGE;
	} else {
		ret = census(&cfg);
	}
	free(cfg.pids.v);
	return ret;
}

const struct mt_cmd mt_cmd_census = {
	.name = "census",
	.usage = "[OPTIONS] -p PID[,PID...]",
	.help = "The live heap of running processes, by size, with no probes attached.",
	.run = run,
};
