/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The kernel's list of the code that processes have mapped, with its own inodes. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "memtrace.skel.h"
#include "session/internal.h"
#include "sys/place.h"

#define CODE_MAX (1u << 22) /* records: more processes than a machine has */

/* Since then the iterator can be bound to one process. */
#define ITER_BY_PID 0x060100u

#define READ_ROOM (1u << 18)

static int read_all(int fd, struct mt_code **ret, size_t *n)
{
	_cleanup_free_ char *v = NULL;
	size_t used = 0, room = 0;

	for (;;) {
		ssize_t got;

		if (room - used < READ_ROOM) {
			char *more;

			room = 2 * room + READ_ROOM;
			more = room > CODE_MAX * sizeof(**ret) ? NULL : realloc(v, room);
			if (!more)
				return -ENOMEM;
			v = more;
		}
		got = read(fd, v + used, room - used);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			break;
		used += (size_t)got;
	}
	*n = used / sizeof(**ret);
	*ret = (struct mt_code *)(void *)TAKE_PTR(v);
	return 0;
}

static int compare_code(const void *a, const void *b)
{
	const struct mt_code *x = a, *y = b;

	if (x->tgid != y->tgid)
		return x->tgid < y->tgid ? -1 : 1;
	return x->start < y->start ? -1 : x->start > y->start;
}

int mt_code_list(struct mt_session *s, pid_t pid, struct mt_code **ret, size_t *n)
{
	union bpf_iter_link_info info = {0};
	LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = &info, .link_info_len = sizeof(info));
	const bool bound = pid > 0 && mt_kernel_version() >= ITER_BY_PID;
	struct bpf_link *link;
	int fd, r;

	info.task.pid = (uint32_t)pid;
	link = bpf_program__attach_iter(s->progs.skel->progs.mt_iter_code, bound ? &opts : NULL);
	if (!link)
		return -errno;
	fd = bpf_iter_create(bpf_link__fd(link));
	r = fd < 0 ? fd : read_all(fd, ret, n);
	if (fd >= 0)
		close(fd);
	bpf_link__destroy(link);
	if (r)
		return r;
	if (*n)
		qsort(*ret, *n, sizeof(**ret), compare_code);
	return 0;
}
