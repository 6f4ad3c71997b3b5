/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Golden files in tests/golden/, for tests that are run from the top of the
 * tree. UPDATE_GOLDEN=1 writes the files anew; look at the difference.
 */
#ifndef MT_TESTS_GOLDEN_H
#define MT_TESTS_GOLDEN_H

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/writer.h"

static inline void write_golden(const char *path, const struct mt_writer *w)
{
	_cleanup_fclose_ FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(w->buf, 1, w->len, f), w->len);
	print_message("wrote %s\n", path);
}

static inline void compare(const char *name, const struct mt_writer *w)
{
	_cleanup_fclose_ FILE *f = NULL;
	_cleanup_free_ char *want = NULL;
	char path[256];
	size_t n;

	assert_int_equal(w->err, 0);
	snprintf(path, sizeof(path), "tests/golden/%s", name);
	if (getenv("UPDATE_GOLDEN")) {
		write_golden(path, w);
		return;
	}
	f = fopen(path, "r");
	if (!f)
		fail_msg("%s is missing; the tests run from the top of the tree", path);
	want = calloc(1, w->len + 2);
	assert_non_null(want);
	n = fread(want, 1, w->len + 1, f);
	if (n != w->len || memcmp(want, w->buf, n))
		fail_msg("%s differs; now:\n%s", path, w->buf);
}

/* Columns a line takes; escapes for colour and continuation bytes take none. */
static inline size_t width(const char *s, size_t n)
{
	size_t columns = 0;

	for (size_t i = 0; i < n; i++) {
		if (s[i] == '\033') {
			while (i < n && s[i] != 'm')
				i++;
			continue;
		}
		columns += ((unsigned char)s[i] & 0xc0) != 0x80;
	}
	return columns;
}

static inline void check_widths(const char *text)
{
	for (const char *end; (end = strchr(text, '\n')); text = end + 1) {
		if (width(text, (size_t)(end - text)) > 80)
			fail_msg("wider than 80: %.*s", (int)(end - text), text);
	}
}

/* No byte may act on a terminal. */
static inline void check_harmless(const struct mt_writer *w)
{
	assert_int_equal(w->err, 0);
	for (size_t i = 0; i < w->len; i++) {
		unsigned char c = (unsigned char)w->buf[i];

		assert_true((c >= 0x20 && c != 0x7f) || c == '\n' || c == '\t');
	}
	assert_null(strstr(w->buf, "\xc2\x9b"));
	assert_null(strstr(w->buf, "\xe2\x80\xae"));
}

/* A key path such as "vm.brk.calls". */
static inline json_t *at(json_t *root, const char *path)
{
	char key[64];

	while (root && *path) {
		size_t n = strcspn(path, ".");

		snprintf(key, sizeof(key), "%.*s", (int)n, path);
		root = json_object_get(root, key);
		path += n + (path[n] == '.');
	}
	return root;
}

static inline json_int_t number(json_t *root, const char *path)
{
	if (!json_is_integer(at(root, path)))
		fail_msg("%s is no integer", path);
	return json_integer_value(at(root, path));
}

static inline const char *text(json_t *root, const char *path)
{
	if (!json_is_string(at(root, path)))
		fail_msg("%s is no string", path);
	return json_string_value(at(root, path));
}

/* promtool's verdict on w, or false where it is not installed. */
static inline bool promtool(const struct mt_writer *w, char *out, size_t size)
{
	char path[] = "/tmp/memtrace-metrics-XXXXXX", cmd[128];
	_cleanup_close_ int fd = mkstemp(path);
	FILE *p;
	size_t n;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, w->buf, w->len), w->len);
	snprintf(cmd, sizeof(cmd), "promtool check metrics <%s 2>&1; echo $?", path);
	p = popen(cmd, "r");
	assert_non_null(p);
	n = fread(out, 1, size - 1, p);
	out[n] = '\0';
	pclose(p);
	unlink(path);
	return !strstr(out, "not found");
}

#endif
