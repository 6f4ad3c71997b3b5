/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/aside.h"
#include "cli/options.h"

#define FILE_MODE 0644
#define NS_PER_S  1000000000ull

/* Of files by pid, that stay open: there may be one for each process of the machine. */
#define OPEN_MAX 64

struct stream {
	pid_t pid;  /* 0: all targets */
	int fd;     /* -1: closed meanwhile */
	char *path; /* owned */
};

struct mt_output {
	const struct mt_render_ops *format;
	struct mt_render_opts opts;
	char *pattern; /* owned; NULL: standard output */
	bool by_pid, by_seq, expands;
	struct stream *streams; /* owned, by pid */
	size_t n_streams;
	struct mt_writer w;
};

static const struct {
	int err;
	const char *text;
} remedies[] = {
	{ENOENT, ": create its directory first"},
	{EACCES, ": choose another -o FILE"},
	{EPERM, ": choose another -o FILE"},
	{EROFS, ": choose another -o FILE"},
	{EISDIR, ": name a file in it"},
	{ENOSPC, ": free some space or choose another -o FILE"},
	{EDQUOT, ": free some space or choose another -o FILE"},
	{EFBIG, ": raise ulimit -f or choose another -o FILE"},
	{ELOOP, ": it is a symbolic link, remove it"},
};

/* Logs that path cannot be written; a reader that is gone is no news. */
static int fail(int r, const char *path)
{
	char q[800];
	const char *remedy = "";

	if (r == -EPIPE)
		return r;
	for (size_t i = 0; i < sizeof(remedies) / sizeof(remedies[0]); i++) {
		if (remedies[i].err == -r)
			remedy = remedies[i].text;
	}
	return mt_err_r(r, "cannot write %s: %s%s", mt_quote(q, sizeof(q), path), strerror(-r),
			remedy);
}

/* pattern's expansions; what it holds beside %p %t %n %% is an error. */
static int scan_pattern(struct mt_output *o)
{
	char q[200];

	if (!*o->pattern)
		return mt_err_r(-EINVAL, "-o: empty file name: use -o FILE");
	for (const char *p = o->pattern; (p = strchr(p, '%')); p += 2) {
		if (!p[1] || !strchr("ptn%", p[1]))
			return mt_err_r(
				-EINVAL,
				"-o: unknown %%%.1s in '%s': use %%p (pid), %%t (UTC time), "
				"%%n (sequence number) or %%%%",
				p[1] >= ' ' && p[1] <= '~' ? p + 1 : "",
				mt_quote(q, sizeof(q), o->pattern));
		o->by_pid = o->by_pid || p[1] == 'p';
		o->by_seq = o->by_seq || p[1] == 'n';
		o->expands = o->expands || p[1] != '%';
	}
	return 0;
}

static void write_utc(struct mt_writer *w, uint64_t ns)
{
	time_t t = (time_t)(ns / NS_PER_S);
	char text[32];
	struct tm tm;

	if (gmtime_r(&t, &tm) && strftime(text, sizeof(text), "%Y%m%dT%H%M%SZ", &tm))
		mt_write_str(w, text);
}

static int expand(const struct mt_output *o, pid_t pid, uint64_t ns, uint64_t seq,
		  struct mt_writer *path)
{
	for (const char *p = o->pattern; *p; p++) {
		if (*p != '%') {
			mt_write_mem(path, p, 1);
			continue;
		}
		switch (*++p) {
		case 'p':
			mt_writef(path, "%d", pid);
			break;
		case 't':
			write_utc(path, ns);
			break;
		case 'n':
			mt_writef(path, "%" PRIu64, seq);
			break;
		default:
			mt_write_str(path, "%");
		}
	}
	return path->err ? mt_err_r(path->err, "out of memory") : 0;
}

/*
 * A name that the user spelled out is followed through a symbolic link, as a
 * shell's redirection is (/dev/stdout, /dev/fd/3); one that came from an
 * expansion was seen by nobody and is not.
 */
static int nofollow(const struct mt_output *o)
{
	return o->expands ? O_NOFOLLOW : 0;
}

/*
 * O_APPEND: the file stays whole when somebody truncates it to rotate it.
 * O_NOCTTY: a terminal as FILE must not become ours.
 */
static int open_path(const struct mt_output *o, const char *path, int flags)
{
	flags |= O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | nofollow(o);
	flags = open(path, flags, FILE_MODE);
	return flags < 0 ? fail(-errno, path) : flags;
}

/* Opens a new one, to stand at place i. */
static int stream_open(struct mt_output *o, size_t i, pid_t pid, const char *path)
{
	_cleanup_free_ char *copy = strdup(path);
	struct stream *v;
	int fd;

	v = copy ? reallocarray(o->streams, o->n_streams + 1, sizeof(*v)) : NULL;
	if (!v)
		return mt_err_r(-ENOMEM, "out of memory");
	o->streams = v;
	fd = open_path(o, path, O_TRUNC);
	if (fd < 0)
		return fd;
	memmove(&v[i + 1], &v[i], (o->n_streams - i) * sizeof(*v));
	v[i] = (struct stream){.pid = pid, .fd = fd, .path = TAKE_PTR(copy)};
	o->n_streams++;
	return 0;
}

/* Where the pid's is, or would be. */
static size_t stream_place(const struct mt_output *o, pid_t pid)
{
	size_t lo = 0, hi = o->n_streams;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;

		if (o->streams[mid].pid < pid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int stream_get(struct mt_output *o, const struct mt_snapshot *s, struct stream **ret)
{
	_cleanup_writer_ struct mt_writer path = {0};
	const pid_t pid = o->by_pid ? s->pid : 0;
	const size_t i = stream_place(o, pid);
	int r = 0;

	if (i == o->n_streams || o->streams[i].pid != pid) {
		r = expand(o, s->pid, s->time_ns, s->seq, &path);
		if (!r)
			r = path.buf ? stream_open(o, i, pid, path.buf) : -ENOMEM;
	} else if (o->streams[i].fd < 0) {
		r = o->streams[i].fd = open_path(o, o->streams[i].path, 0);
	}
	*ret = &o->streams[i];
	return r < 0 ? r : 0;
}

/* What follows for a process that has ended, or for one of many, opens it again. */
static void stream_rest(const struct mt_output *o, struct stream *stream, bool final)
{
	if (!o->by_pid || (!final && o->n_streams <= OPEN_MAX))
		return;
	close(stream->fd);
	stream->fd = -1;
}

static int write_stream(struct mt_output *o, const struct mt_snapshot *s)
{
	struct stream *stream = NULL;
	struct stat before;
	int r = stream_get(o, s, &stream);

	if (r)
		return r;
	if (fstat(stream->fd, &before) < 0)
		return fail(-errno, stream->path);
	r = mt_writer_flush(&o->w, stream->fd);
	if (!r) {
		stream_rest(o, stream, s->final);
		return 0;
	}
	/* A full disk leaves whole records, not the half of one. */
	if (S_ISREG(before.st_mode) && ftruncate(stream->fd, before.st_size) < 0)
		mt_warn("the last record of the output is incomplete");
	return fail(r, stream->path);
}

/* True if path is to be written as it stands: renaming would replace a device or a link. */
static bool in_place(const struct mt_output *o, const char *path)
{
	struct stat st;

	return !o->expands && !lstat(path, &st) && !S_ISREG(st.st_mode);
}

/* Writes to fd and closes it: some file systems tell of a full disk only then. */
static int write_close(struct mt_output *o, int fd)
{
	int r = mt_writer_flush(&o->w, fd);

	if (close(fd) < 0 && !r)
		r = -errno;
	return r;
}

static int replace(struct mt_output *o, const char *path)
{
	_cleanup_writer_ struct mt_writer aside = {0};
	int fd = mt_aside_open(path, &aside), r;

	if (fd < 0)
		return fd;
	r = write_close(o, fd);
	if (!r && rename(aside.buf, path) < 0)
		r = -errno;
	if (r)
		unlink(aside.buf);
	return r;
}

static int write_document(struct mt_output *o, const struct mt_snapshot *s)
{
	_cleanup_writer_ struct mt_writer path = {0};
	int fd, r = expand(o, s->pid, s->time_ns, s->seq, &path);

	if (r)
		return r;
	if (in_place(o, path.buf)) {
		fd = open(path.buf, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOCTTY);
		r = fd < 0 ? -errno : write_close(o, fd);
	} else {
		r = replace(o, path.buf);
	}
	return r ? fail(r, path.buf) : 0;
}

/* Writes what was rendered to where s belongs. */
static int put_text(struct mt_output *o, const struct mt_snapshot *s)
{
	int r;

	if (o->w.err)
		return mt_err_r(o->w.err, "out of memory");
	if (!o->w.len)
		return 0;
	if (o->pattern && (o->format->document || o->by_seq))
		return write_document(o, s);
	if (o->pattern)
		return write_stream(o, s);
	r = mt_writer_flush(&o->w, STDOUT_FILENO);
	return r ? fail(r, "standard output") : 0;
}

static int put_group(struct mt_output *o, const struct mt_snapshot *const *s, size_t n)
{
	mt_writer_reset(&o->w);
	o->format->snapshots(&o->w, s, n, &o->opts);
	return put_text(o, s[0]);
}

struct mt_writer *mt_output_begin(struct mt_output *o)
{
	mt_writer_reset(&o->w);
	return &o->w;
}

int mt_output_end(struct mt_output *o, const struct mt_snapshot *s)
{
	return put_text(o, s);
}

void mt_output_prefix(struct mt_output *o)
{
	o->opts.prefix = true;
}

int mt_output_put(struct mt_output *o, const struct mt_snapshot *const *s, size_t n)
{
	int r = 0;

	if (!n)
		return 0;
	if (!o->by_pid)
		return put_group(o, s, n);
	/* One target's file that fails does not cost the others theirs. */
	for (size_t i = 0; i < n; i++) {
		int one = put_group(o, &s[i], 1);

		if (!r)
			r = one;
	}
	return r;
}

/* What can be known before the first snapshot: a directory that is not there or not ours. */
static int check_directory(const struct mt_output *o)
{
	const char *slash = strrchr(o->pattern, '/');
	_cleanup_free_ char *dir =
		slash ? strndup(o->pattern, (size_t)(slash - o->pattern) + 1) : strdup(".");

	if (!dir)
		return mt_err_r(-ENOMEM, "out of memory");
	if (strchr(dir, '%') || in_place(o, o->pattern))
		return 0;
	if (faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) < 0)
		return fail(-errno, o->pattern);
	return 0;
}

/* An output that cannot be written is known before anything is attached. */
static int prepare(struct mt_output *o)
{
	_cleanup_writer_ struct mt_writer path = {0};
	struct timespec now;
	int r = scan_pattern(o);

	if (r)
		return r;
	if (o->format->document || o->by_pid || o->by_seq)
		return check_directory(o);
	clock_gettime(CLOCK_REALTIME, &now);
	r = expand(o, 0, (uint64_t)now.tv_sec * NS_PER_S, 0, &path);
	if (!r && !path.buf)
		r = -ENOMEM;
	return r ? r : stream_open(o, 0, 0, path.buf);
}

int mt_output_new(const char *pattern, const struct mt_render_ops *format,
		  const struct mt_render_opts *opts, struct mt_output **ret)
{
	struct mt_output *o = calloc(1, sizeof(*o));
	int r = 0;

	if (!o)
		return mt_err_r(-ENOMEM, "out of memory");
	o->format = format;
	o->opts = *opts;
	if (pattern && strcmp(pattern, "-") != 0) {
		o->pattern = strdup(pattern);
		r = o->pattern ? prepare(o) : mt_err_r(-ENOMEM, "out of memory");
	}
	if (r)
		mt_output_free(&o);
	else
		*ret = o;
	return r;
}

void mt_output_free(struct mt_output **o)
{
	if (!*o)
		return;
	for (size_t i = 0; i < (*o)->n_streams; i++) {
		if ((*o)->streams[i].fd >= 0)
			close((*o)->streams[i].fd);
		free((*o)->streams[i].path);
	}
	free((*o)->streams);
	free((*o)->pattern);
	mt_writer_fini(&(*o)->w);
	free(*o);
	*o = NULL;
}
