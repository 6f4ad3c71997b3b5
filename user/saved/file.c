/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A file of saved snapshots, a line at a time. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/writer.h"
#include "saved/saved.h"

/* A snapshot has some 10 KiB; parsed, hostile JSON takes thirty times its size. */
#define LINE_MAX_BYTES ((size_t)8 << 20)
#define CHUNK          ((size_t)256 << 10)

struct lines {
	const char *path; /* for messages, escaped */
	int fd;
	char *buf;              /* owned */
	size_t start, end, cap; /* what is in it: from start to end */
	bool over;              /* nothing more comes from the fd */
	size_t n;               /* of the line that was given last, from 1 */
};

/* More from the fd, behind what is there. 0 or -errno, logged. */
static int fill(struct lines *l)
{
	ssize_t n;

	if (l->start) {
		memmove(l->buf, l->buf + l->start, l->end - l->start);
		l->end -= l->start;
		l->start = 0;
	}
	if (l->end >= LINE_MAX_BYTES)
		return mt_err_r(-EFBIG, "%s:%zu: longer than %zu MiB: no snapshot is", l->path,
				l->n + 1, LINE_MAX_BYTES >> 20);
	if (l->cap - l->end < CHUNK) {
		size_t cap = l->cap ? 2 * l->cap : 2 * CHUNK;
		char *buf = realloc(l->buf, cap);

		if (!buf)
			return mt_err_r(-ENOMEM, "out of memory");
		l->buf = buf;
		l->cap = cap;
	}
	do
		n = read(l->fd, l->buf + l->end, l->cap - l->end);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return mt_err_r(-errno, "cannot read %s: %s", l->path, strerror(errno));
	l->over = !n;
	l->end += (size_t)n;
	return 0;
}

struct line {
	const char *text;
	size_t len; /* without its newline */
	bool ended; /* it had one */
};

/* Takes one out of the buffer; false if there is no whole one, nor the last. */
static bool take_line(struct lines *l, size_t seen, struct line *ret)
{
	const size_t there = l->end - l->start;
	const char *from = l->buf + l->start;
	const char *nl = there > seen ? memchr(from + seen, '\n', there - seen) : NULL;

	if (!nl && (!l->over || !there))
		return false;
	*ret = (struct line){.text = from, .len = nl ? (size_t)(nl - from) : there, .ended = nl};
	l->start += ret->len + (nl != NULL);
	l->n++;
	return true;
}

/* 1, 0 at the end, or -errno, logged. */
static int next_line(struct lines *l, struct line *ret)
{
	size_t seen = 0;

	while (!l->buf || !take_line(l, seen, ret)) {
		int r;

		if (l->over)
			return 0;
		seen = l->end - l->start;
		r = fill(l);
		if (r)
			return r;
	}
	return 1;
}

static bool is_blank(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!strchr(" \t\r", text[i]) || !text[i])
			return false;
	return true;
}

/* What is to be done with a line that is no snapshot. 0: go on; or -errno, logged. */
static int refuse(const struct lines *l, int r, bool ended, bool cut_ok, const char *why)
{
	if (r == -ENODATA && !ended && cut_ok) {
		mt_warn("%s:%zu: left out: %s, as if its writing was cut short", l->path, l->n,
			why);
		return 0;
	}
	if (r == -ENODATA && !ended)
		return mt_err_r(r, "%s:%zu: %s, as if its writing was cut short: remove that line",
				l->path, l->n, why);
	return mt_err_r(r, "%s:%zu: %s", l->path, l->n, why);
}

/* One line as a snapshot, for the caller to free; NULL if it is left out. 0 or -errno, logged. */
static int parse_line(const struct lines *l, const struct line *line, bool cut_ok,
		      struct mt_snapshot **s)
{
	char why[256];
	int r;

	*s = NULL;
	if (is_blank(line->text, line->len))
		return 0;
	r = mt_saved_parse(line->text, line->len, s, why, sizeof(why));
	return r ? refuse(l, r, line->ended, cut_ok, why) : 0;
}

static int read_lines(struct lines *l, bool cut_ok, mt_saved_fn fn, void *ctx)
{
	struct line line = {0};
	bool any = false;
	int r;

	while ((r = next_line(l, &line)) > 0) {
		_cleanup_free_ struct mt_snapshot *s = NULL;

		r = parse_line(l, &line, cut_ok, &s);
		any = any || s;
		if (!r && s)
			r = fn(ctx, &s, l->n);
		if (r)
			return r;
	}
	if (!r && !any)
		return mt_err_r(-ENODATA,
				"%s: no snapshot in it: memtrace -f json -o FILE writes them",
				l->path);
	return r;
}

static int open_path(const char *path, const char *shown)
{
	struct stat st;
	int fd = strcmp(path, "-") != 0 ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
					: fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return mt_err_r(-errno, "cannot read %s: %s", shown, strerror(errno));
	if (!fstat(fd, &st) && S_ISDIR(st.st_mode)) {
		close(fd);
		return mt_err_r(-EISDIR, "cannot read %s: it is a directory: name a file in it",
				shown);
	}
	return fd;
}

int mt_saved_each(const char *path, bool cut_ok, mt_saved_fn fn, void *ctx)
{
	_cleanup_writer_ struct mt_writer shown = {0};
	_cleanup_close_ int fd = -1;
	struct lines l = {0};
	int r;

	mt_write_escaped(&shown, strcmp(path, "-") != 0 ? path : "standard input");
	l.path = shown.buf ? shown.buf : "";
	fd = open_path(path, l.path);
	if (fd < 0)
		return fd;
	l.fd = fd;
	r = read_lines(&l, cut_ok, fn, ctx);
	free(l.buf);
	return r;
}
