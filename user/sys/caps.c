/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "sys/caps.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

const struct mt_cap mt_caps[] = {
	{"CAP_BPF", 39, true, true, "load programs and maps"},
	{"CAP_PERFMON", 38, true, true, "attach probes"},
	{"CAP_SYS_PTRACE", 19, false, true, "read the target's maps and memory"},
	{"CAP_CHECKPOINT_RESTORE", 40, true, false, "open deleted and replaced libraries"},
	{"CAP_DAC_READ_SEARCH", 2, false, false, "open libraries that root alone may read"},
	{0},
};

bool mt_caps_has(const struct mt_cap *cap)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2] = {0};
	uint64_t effective;

	if (syscall(SYS_capget, &h, d))
		return false;
	effective = d[0].effective | (uint64_t)d[1].effective << 32;
	return effective >> cap->number & 1 || (cap->admin && effective >> CAP_SYS_ADMIN & 1);
}

int mt_caps_drop(bool writes_files, bool changes_user)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2] = {0};
	uint64_t keep = 1ull << CAP_KILL | (writes_files ? 1ull << CAP_DAC_OVERRIDE : 0) |
			(changes_user ? 1ull << CAP_SETUID | 1ull << CAP_SETGID : 0);

	for (const struct mt_cap *c = mt_caps; c->name; c++)
		keep |= 1ull << c->number;
	if (syscall(SYS_capget, &h, d))
		return -errno;
	for (int i = 0; i < 2; i++) {
		d[i].permitted &= (__u32)(keep >> (32 * i));
		d[i].effective &= (__u32)(keep >> (32 * i));
		d[i].inheritable = 0;
	}
	return syscall(SYS_capset, &h, d) ? -errno : 0;
}
