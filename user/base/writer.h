/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A growing text buffer. Renderers write into it and never fail one by one:
 * the first failed allocation sticks in `err`, which the caller looks at once.
 */
#ifndef MT_BASE_WRITER_H
#define MT_BASE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mt_writer {
	char *buf;  /* owned; NUL-terminated when len > 0 */
	size_t len; /* bytes */
	size_t cap;
	int err; /* 0 or -ENOMEM */
};

/* Frees the buffer and resets the writer to empty. */
void mt_writer_fini(struct mt_writer *w);
/* Empties the writer and keeps its memory. */
void mt_writer_reset(struct mt_writer *w);

void mt_write_mem(struct mt_writer *w, const void *p, size_t n);
void mt_write_str(struct mt_writer *w, const char *s);
__attribute__((format(printf, 2, 3))) void mt_writef(struct mt_writer *w, const char *fmt, ...);

/*
 * Appends s for a terminal or a line of text: control characters, ESC and
 * bytes that are not UTF-8 become \xHH, so that a hostile name cannot act.
 */
void mt_write_escaped(struct mt_writer *w, const char *s);

/*
 * The same, its words wrapped at width columns and each line indented. A word
 * that is wider has a line of its own. Ends the line; nothing for an empty s.
 */
void mt_write_wrapped(struct mt_writer *w, int indent, int width, const char *s);

/* Writes the whole buffer to fd, EINTR and short writes handled. 0 or -errno. */
int mt_writer_flush(struct mt_writer *w, int fd);

#define _cleanup_writer_ __attribute__((cleanup(mt_writer_fini)))

#endif
