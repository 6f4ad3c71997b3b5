/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which container a process is in, by the names that engines give their cgroups. */
#ifndef MT_SYS_CONTAINER_H
#define MT_SYS_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>

#define MT_CONTAINER_ID_LEN 64 /* hexadecimal digits of an engine's id */

/*
 * Writes the id of the innermost container of a cgroup path into buf: 64
 * hexadecimal digits for docker, containerd, cri-o, podman and kubernetes, the
 * name for systemd-nspawn and lxc. False where there is none, or no room for it;
 * buf, if it has a size, is then empty. What it writes are letters, digits and "._-".
 */
bool mt_container_id(const char *cgroup, char *buf, size_t size);

#endif
