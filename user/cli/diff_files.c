/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* memtrace diff OLD NEW, or FILE: what changed between saved snapshots. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/diff.h"
#include "cli/diff_output.h"
#include "cli/options.h"
#include "saved/moments.h"

/* What a FILE or FILE:SEQ says. */
struct operand {
	char *path; /* owned */
	bool has_seq;
	uint64_t seq;
};

static void operands_fini(struct operand (*o)[2])
{
	free((*o)[0].path);
	free((*o)[1].path);
}

/* A file of the whole name wins: names may hold a colon. 0 or -ENOMEM, logged. */
static int parse_operand(const char *text, struct operand *ret)
{
	const char *colon = strrchr(text, ':');
	struct stat st;
	char *end;

	errno = 0;
	if (colon && colon[1] >= '0' && colon[1] <= '9' && stat(text, &st)) {
		errno = 0;
		ret->seq = strtoull(colon + 1, &end, 10);
		ret->has_seq = !*end && !errno;
	}
	ret->path = ret->has_seq ? strndup(text, (size_t)(colon - text)) : strdup(text);
	return ret->path ? 0 : mt_err_r(-ENOMEM, "out of memory");
}

struct files {
	struct mt_moment m[2];
	struct mt_saved_seen seen[2];
	struct mt_diff *d;
};

static void files_fini(struct files *f)
{
	mt_diff_free(&f->d);
	mt_moment_fini(&f->m[0]);
	mt_moment_fini(&f->m[1]);
}

/* Says of which snapshots it is, where a file has more than are compared. */
static int note_last(struct mt_diff *d, const struct operand *o, const char *which,
		     const struct mt_saved_seen *seen)
{
	if (o->has_seq || seen->moments < 2)
		return 0;
	return mt_diff_note(d, "%s is the last of %zu moments of %s; %s:SEQ names another", which,
			    seen->moments, o->path, o->path);
}

static int compare_two(const struct operand o[2], struct files *f)
{
	int r = 0;

	for (size_t i = 0; i < 2 && !r; i++)
		r = mt_saved_moment(o[i].path, o[i].has_seq ? &o[i].seq : NULL, &f->m[i],
				    &f->seen[i]);
	if (r)
		return r;
	r = mt_diff_new(f->m, 1, NULL, &f->d);
	if (!r && !f->d->n)
		r = mt_diff_note(f->d, "no process is in both: they are told apart by pid and "
				       "start time");
	if (!r)
		r = note_last(f->d, &o[0], "OLD", &f->seen[0]);
	if (!r)
		r = note_last(f->d, &o[1], "NEW", &f->seen[1]);
	return r ? mt_err_r(r, "out of memory") : 0;
}

static int compare_ends(const struct operand *o, struct files *f)
{
	struct mt_saved_seen *seen = &f->seen[0];
	char q[200];
	int r = mt_saved_ends(o->path, &f->m[0], &f->m[1], seen);

	if (r)
		return r;
	if (!seen->pairs)
		return mt_err_r(-ENODATA,
				"%s: it has one snapshot of each process, two are compared: name a "
				"second FILE",
				strcmp(o->path, "-") != 0 ? mt_quote(q, sizeof(q), o->path)
							  : "standard input");
	r = mt_diff_new(f->m, 1, NULL, &f->d);
	if (!r && seen->between)
		r = mt_diff_note(f->d, "%zu processes came and went in between, and are left out",
				 seen->between);
	if (!r && seen->later)
		r = mt_diff_note(f->d,
				 "%zu processes are compared from when their heap had been read, "
				 "after their first snapshot",
				 seen->later);
	return r ? mt_err_r(r, "out of memory") : 0;
}

/* The exit status, printed. */
static int parse_operands(int n, char **names, struct operand o[2])
{
	for (int i = 0; i < n; i++)
		if (parse_operand(names[i], &o[i]))
			return MT_EXIT_FAILED;
	if (n == 1 && o[0].has_seq)
		return mt_usage_error("diff",
				      "FILE:SEQ is one snapshot, two are compared: name another");
	if (n == 2 && !strcmp(o[0].path, "-") && !strcmp(o[1].path, "-"))
		return mt_usage_error("diff", "standard input can be read only once");
	return MT_EXIT_OK;
}

int mt_diff_files(const struct mt_diff_config *cfg, int n, char **files)
{
	__attribute__((cleanup(mt_diff_output_close))) struct mt_diff_output out = {0};
	__attribute__((cleanup(files_fini))) struct files f = {0};
	__attribute__((cleanup(operands_fini))) struct operand o[2] = {0};
	int r;

	if (n > 2)
		return mt_usage_error("diff", "too many operands: give OLD and NEW, or one FILE");
	r = parse_operands(n, files, o);
	if (r)
		return r;
	r = mt_diff_output_open(&out, cfg);
	if (r)
		return r == -EINVAL ? MT_EXIT_USAGE : MT_EXIT_FAILED;
	r = n == 1 ? compare_ends(&o[0], &f) : compare_two(o, &f);
	if (!r)
		r = mt_diff_output_put(&out, f.d);
	if (r && r != -EPIPE)
		return MT_EXIT_FAILED;
	return cfg->strict && mt_diff_lost(f.d) ? MT_EXIT_LOST : MT_EXIT_OK;
}
