/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "sys/place.h"

#include <stdio.h>
#include <sys/utsname.h>

uint32_t mt_kernel_version(void)
{
	unsigned int major = 0, minor = 0, patch = 0;
	struct utsname u;

	if (uname(&u) < 0 || sscanf(u.release, "%u.%u.%u", &major, &minor, &patch) < 2)
		return 0;
	return (major & 0xff) << 16 | (minor & 0xff) << 8 | (patch < 0xff ? patch : 0xff);
}

int mt_place(const struct mt_place_request *rq, struct mt_place *ret)
{
	return mt_place_batch(rq, 1, ret);
}
