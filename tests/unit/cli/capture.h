/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Collects what the code under test prints on a standard stream. */
#ifndef MT_TEST_CAPTURE_H
#define MT_TEST_CAPTURE_H

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct capture {
	FILE *stream;
	int saved; /* the stream's own descriptor */
	FILE *file;
	char text[16384];
};

static inline void capture_begin(struct capture *c, FILE *stream)
{
	c->stream = stream;
	fflush(stream);
	c->file = tmpfile();
	assert_non_null(c->file);
	c->saved = dup(fileno(stream));
	assert_true(c->saved >= 0);
	assert_true(dup2(fileno(c->file), fileno(stream)) >= 0);
}

static inline const char *capture_end(struct capture *c)
{
	size_t n;

	fflush(c->stream);
	assert_true(dup2(c->saved, fileno(c->stream)) >= 0);
	close(c->saved);
	rewind(c->file);
	n = fread(c->text, 1, sizeof(c->text) - 1, c->file);
	c->text[n] = '\0';
	fclose(c->file);
	return c->text;
}

#endif
