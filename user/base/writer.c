/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "base/writer.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"

void mt_writer_fini(struct mt_writer *w)
{
	free(w->buf);
	*w = (struct mt_writer){0};
}

void mt_writer_reset(struct mt_writer *w)
{
	w->len = 0;
	w->err = 0;
	if (w->buf)
		w->buf[0] = '\0';
}

/* Makes room for n bytes and the NUL; false, with err set, if there is none. */
static bool reserve(struct mt_writer *w, size_t n)
{
	size_t cap = w->cap ? w->cap : 256;
	char *buf;

	if (w->err)
		return false;
	if (n < w->cap - w->len)
		return true;
	if (n >= SIZE_MAX / 4 || w->len >= SIZE_MAX / 4) {
		w->err = -ENOMEM;
		return false;
	}
	while (cap - w->len <= n)
		cap *= 2;
	buf = realloc(w->buf, cap);
	if (!buf) {
		w->err = -ENOMEM;
		return false;
	}
	w->buf = buf;
	w->cap = cap;
	return true;
}

void mt_write_mem(struct mt_writer *w, const void *p, size_t n)
{
	if (!n || !reserve(w, n))
		return;
	memcpy(w->buf + w->len, p, n);
	w->len += n;
	w->buf[w->len] = '\0';
}

void mt_write_str(struct mt_writer *w, const char *s)
{
	mt_write_mem(w, s, strlen(s));
}

__attribute__((format(printf, 2, 0))) static bool print_once(struct mt_writer *w, const char *fmt,
							     va_list ap, size_t *need)
{
	size_t room = w->cap - w->len;
	int n = vsnprintf(w->buf + w->len, room, fmt, ap);

	*need = n < 0 ? 0 : (size_t)n;
	if (n < 0 || *need >= room) {
		w->buf[w->len] = '\0';
		return false;
	}
	w->len += *need;
	return true;
}

void mt_writef(struct mt_writer *w, const char *fmt, ...)
{
	size_t need = 64;

	for (int pass = 0; pass < 2; pass++) {
		va_list ap;
		bool done;

		if (!reserve(w, need))
			return;
		va_start(ap, fmt);
		done = print_once(w, fmt, ap, &need);
		va_end(ap);
		if (done)
			return;
	}
}

void mt_write_escaped(struct mt_writer *w, const char *s)
{
	while (*s) {
		uint32_t cp = 0;
		size_t n = mt_utf8_decode(s, &cp);

		if (n && !mt_utf8_is_control(cp)) {
			mt_write_mem(w, s, n);
			s += n;
			continue;
		}
		for (size_t i = 0; i < (n ? n : 1); i++)
			mt_writef(w, "\\x%02X", (unsigned char)*s++);
	}
}

void mt_write_wrapped(struct mt_writer *w, int indent, int width, const char *s)
{
	_cleanup_writer_ struct mt_writer text = {0};
	int column = 0;

	mt_write_escaped(&text, s);
	if (text.err || !text.len)
		return;
	for (const char *p = text.buf; *p;) {
		int n = (int)strcspn(p, " ");

		if (column && column + 1 + n <= width) {
			mt_write_str(w, " ");
			column += 1 + n;
		} else {
			mt_writef(w, "%s%*s", column ? "\n" : "", indent, "");
			column = indent + n;
		}
		mt_write_mem(w, p, (size_t)n);
		p += n;
		p += strspn(p, " ");
	}
	mt_write_str(w, "\n");
}

int mt_writer_flush(struct mt_writer *w, int fd)
{
	size_t done = 0;

	if (w->err)
		return w->err;
	while (done < w->len) {
		ssize_t n = write(fd, w->buf + done, w->len - done);

		if (n >= 0) {
			done += (size_t)n;
		} else if (errno == EAGAIN) {
			/* Standard output may be a terminal that someone made non-blocking. */
			struct pollfd p = {.fd = fd, .events = POLLOUT};

			if (poll(&p, 1, -1) < 0 && errno != EINTR)
				return -errno;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}
