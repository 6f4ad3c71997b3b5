/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* /proc/PID/status, stat and cgroup: the first byte picks which. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sys/procfs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void status(const char *text)
{
	struct mt_proc_status s;

	if (mt_proc_status_parse(text, &s))
		return;
	if (memchr(s.comm, 0, sizeof(s.comm)) == NULL || s.tgid <= 0 || !s.state)
		abort();
}

static void stat_line(const char *text)
{
	struct mt_proc_stat s;

	if (!mt_proc_stat_parse(text, &s) && !s.state)
		abort();
}

static void cgroup(const char *text)
{
	char buf[64];
	bool v1;

	if (!mt_proc_cgroup_parse(text, buf, sizeof(buf), &v1) && memchr(buf, '\n', strlen(buf)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const parsers[])(const char *) = {status, stat_line, cgroup};
	char *text;

	if (!size)
		return 0;
	text = malloc(size);
	if (!text)
		return 0;
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	parsers[data[0] % 3](text);
	free(text);
	return 0;
}
