/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reads files of saved snapshots and writes them again: saved_tool FILE... */
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/writer.h"
#include "render/render.h"
#include "saved/saved.h"

static void log_to_stderr(enum mt_log_level level, const char *msg)
{
	(void)level;
	fprintf(stderr, "%s\n", msg);
}

static int write_again(void *ctx, struct mt_snapshot **s, size_t line)
{
	const struct mt_snapshot *const v[] = {*s};
	const struct mt_render_opts o = {0};
	struct mt_writer w = {0};
	int r;

	(void)ctx;
	(void)line;
	mt_render_json.snapshots(&w, v, 1, &o);
	r = w.err ? w.err : mt_writer_flush(&w, STDOUT_FILENO);
	mt_writer_fini(&w);
	return r;
}

int main(int argc, char **argv)
{
	mt_log_set_sink(log_to_stderr);
	for (int i = 1; i < argc; i++)
		if (mt_saved_each(argv[i], false, write_again, NULL))
			return 1;
	return 0;
}
