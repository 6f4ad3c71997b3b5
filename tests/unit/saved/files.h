/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Files of snapshots, made for a test, and what was logged about them. */
#ifndef MT_TESTS_SAVED_FILES_H
#define MT_TESTS_SAVED_FILES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/writer.h"
#include "render/render.h"

static char logged[1024];

static void keep_log(enum mt_log_level level, const char *msg)
{
	(void)level;
	snprintf(logged, sizeof(logged), "%s", msg);
}

static enum mt_since counts_from; /* of the snapshots that are written next */

/* One line of JSON. */
static inline void write_snapshot(struct mt_writer *w, pid_t pid, uint64_t ms, uint64_t seq,
				  bool final, uint64_t processes)
{
	static struct mt_snapshot s; /* large for a stack frame */
	const struct mt_snapshot *const v[] = {&s};
	const struct mt_render_opts o = {0};

	s = (struct mt_snapshot){.time_ns = UINT64_C(1000000000000) + ms * 1000000,
				 .uptime_ns = ms * 1000000,
				 .seq = seq,
				 .pid = pid,
				 .start_time = 7,
				 .final = final,
				 .since = counts_from,
				 .processes = processes,
				 .comm = "app",
				 .runtime = "native",
				 .mode = "exact",
				 .sizes = "usable"};
	mt_render_json.snapshots(w, v, 1, &o);
}

/* A file of that text; its name, for the caller to unlink and free. */
static inline char *write_file(const void *text, size_t len)
{
	char *path = strdup("/tmp/memtrace-test-XXXXXX");
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	close(fd);
	return path;
}

static inline void drop_file(char **path)
{
	unlink(*path);
	free(*path);
}

#define _cleanup_file_ __attribute__((cleanup(drop_file)))

#endif
