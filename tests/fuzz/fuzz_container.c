/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * /proc/PID/cgroup, and the container of the path that it holds: the first byte
 * is the room for the container's id.
 */
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sys/container.h"
#include "sys/procfs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In memory of its own, so that a byte too many is seen. */
static void container(const char *path, size_t room)
{
	char *id = malloc(room ? room : 1);
	bool found;

	if (!id)
		return;
	found = mt_container_id(path, id, room);
	if (room && (!memchr(id, 0, room) || found != (id[0] != '\0')))
		abort();
	for (size_t i = 0; found && id[i]; i++)
		if (!isascii((unsigned char)id[i]) ||
		    (!isalnum((unsigned char)id[i]) && !strchr("._-", id[i])))
			abort();
	if (found && !room)
		abort();
	free(id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[1024];
	char *text;
	bool v1;

	if (!size)
		return 0;
	text = malloc(size);
	if (!text)
		return 0;
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	container(text, data[0] % 80);
	if (!mt_proc_cgroup_parse(text, path, sizeof(path), &v1)) {
		if (strchr(path, '\n'))
			abort();
		container(path, data[0] % 80);
	}
	free(text);
	return 0;
}
