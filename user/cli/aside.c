/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cli/aside.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/random.h>

#define FILE_MODE 0644

int mt_aside_open(const char *path, struct mt_writer *name)
{
	for (int tries = 0; tries < 100; tries++) {
		uint64_t random;
		int fd;

		if (getrandom(&random, sizeof(random), 0) != sizeof(random))
			return -EIO;
		mt_writer_reset(name);
		mt_writef(name, "%s.%016" PRIx64 ".tmp", path, random);
		if (name->err)
			return name->err;
		fd = open(name->buf, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			  FILE_MODE);
		if (fd >= 0 || errno != EEXIST)
			return fd >= 0 ? fd : -errno;
	}
	return -EEXIST;
}
