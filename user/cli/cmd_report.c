/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* memtrace report: saved snapshots as one page of HTML. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/aside.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "report/report.h"
#include "saved/saved.h"

struct config {
	const char *output;
	bool quiet, help;
};

#define AT(member) offsetof(struct config, member)
static const struct mt_opt options[] = {
	{'o', "output", MT_OPT_STRING, "FILE", AT(output), NULL,
	 "the page, as report.html; - for standard output, the default where that is no terminal"},
	{'q', "quiet", MT_OPT_FLAG, NULL, AT(quiet), NULL, "errors only"},
	{'h', "help", MT_OPT_FLAG, NULL, AT(help), NULL, "this text"},
	{0},
};

static void print_help(void)
{
	printf("Usage: memtrace report [OPTIONS] FILE... -o report.html\n"
	       "\n"
	       "Show saved snapshots (memtrace -f json -o FILE; - is standard input) as one page\n"
	       "of HTML: memory, rates and pauses over time, live bytes by size, and all fields "
	       "at\n"
	       "two moments. Nothing is loaded by it: it opens from disk, and can be sent around.\n"
	       "\n"
	       "Options:\n");
	mt_options_help(options);
}

static int take(void *ctx, struct mt_snapshot **s, size_t line)
{
	int r = mt_report_add(ctx, *s);

	(void)line;
	return r ? mt_err_r(r, "report: %s", strerror(-r)) : 0;
}

static int read_files(struct mt_report *report, int n, char **files)
{
	for (int i = 0; i < n; i++) {
		const char *slash = strrchr(files[i], '/');
		int r = mt_report_file(report, !strcmp(files[i], "-") ? "standard input"
					       : slash && slash[1]    ? slash + 1
								      : files[i]);

		if (r)
			return mt_err_r(r, "report: %s", strerror(-r));
		r = mt_saved_each(files[i], true, take, report);
		if (r)
			return r;
	}
	return 0;
}

static int cannot_write(int r, const char *path)
{
	char q[800];

	return mt_err_r(r, "cannot write %s: %s", mt_quote(q, sizeof(q), path), strerror(-r));
}

/* Whole, or not at all: what was there before stays until the page is. */
static int write_file(struct mt_writer *w, const char *path)
{
	_cleanup_writer_ struct mt_writer name = {0};
	_cleanup_close_ int fd = mt_aside_open(path, &name);
	int r = fd;

	if (fd < 0)
		return cannot_write(r, path);
	r = mt_writer_flush(w, fd);
	if (!r && rename(name.buf, path))
		r = -errno;
	if (r) {
		unlink(name.buf);
		return cannot_write(r, path);
	}
	return 0;
}

static int write_page(struct mt_report *report, const char *output)
{
	_cleanup_writer_ struct mt_writer w = {0};
	int r = mt_report_write(report, &w);

	if (r == -ENODATA)
		return mt_err_r(r, "report: no snapshot in these files; write some with memtrace "
				   "-f json -o FILE");
	if (r)
		return mt_err_r(r, "report: %s", strerror(-r));
	if (strcmp(output, "-") != 0)
		return write_file(&w, output);
	r = mt_writer_flush(&w, STDOUT_FILENO);
	return r && r != -EPIPE ? cannot_write(r, "standard output") : r;
}

static int run(int argc, char **argv)
{
	MT_CLEANUP(mt_report_free) struct mt_report *report = NULL;
	struct config cfg = {0};
	bool dashdash;
	int first, r;

	mt_messages_show(false, false);
	if (mt_options_parse(options, argc, argv, &cfg, &first, &dashdash))
		return MT_EXIT_USAGE;
	mt_messages_show(cfg.quiet, false);
	if (cfg.help) {
		print_help();
		return MT_EXIT_OK;
	}
	if (first >= argc)
		return mt_usage_error("report",
				      "give files of snapshots, as memtrace -f json -o FILE writes "
				      "them; see memtrace report --help");
	if (!cfg.output && isatty(STDOUT_FILENO))
		return mt_usage_error("report",
				      "give -o report.html: a page is nothing for a terminal");
	if (cfg.output && !*cfg.output)
		return mt_usage_error("report", "-o: empty file name: use -o FILE");
	r = mt_report_new(&report);
	if (r)
		mt_err_r(r, "report: %s", strerror(-r));
	if (!r)
		r = read_files(report, argc - first, argv + first);
	if (!r)
		r = write_page(report, cfg.output ? cfg.output : "-");
	return r ? MT_EXIT_FAILED : MT_EXIT_OK;
}

const struct mt_cmd mt_cmd_report = {
	.name = "report",
	.usage = "[OPTIONS] FILE... -o report.html",
	.help = "Saved snapshots as one self-contained page.",
	.run = run,
};
