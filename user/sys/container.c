/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Names of cgroups, as the engines document them or as seen under them:
 *
 *   docker, kubelet with cgroupfs   ID, as in /docker/ID, /kubepods/burstable/podUID/ID
 *   systemd as the cgroup manager   ENGINE-ID.scope: docker, cri-containerd, crio, libpod, nerdctl
 *   cri-o, podman with cgroupfs     crio-ID, libpod-ID; libpod-payload-ID in a split cgroup
 *   containerd, kubelet's slices    SLICE:cri-containerd:ID
 *   systemd-nspawn                  machine.slice/machine-NAME.scope, systemd-nspawn@NAME.service
 *   lxc, incus, lxd                 lxc.payload.NAME, lxc.payload/NAME, lxc/NAME
 *
 * Beside a container runs its monitor, in a cgroup of a like name, which is in no
 * container: crio-conmon-ID, libpod-conmon-ID, lxc.monitor.NAME. A path may hold
 * several, as kubernetes in docker does: the innermost is the process's.
 */
#include "sys/container.h"

#include <ctype.h>
#include <string.h>

/* A piece of the path, which is not ended by NUL. */
struct part {
	const char *s;
	size_t n;
};

static bool starts(struct part p, const char *prefix)
{
	size_t n = strlen(prefix);

	return p.n >= n && memcmp(p.s, prefix, n) == 0;
}

static bool is(struct part p, const char *word)
{
	return p.n == strlen(word) && starts(p, word);
}

static bool cut_start(struct part *p, const char *prefix)
{
	if (!starts(*p, prefix))
		return false;
	p->s += strlen(prefix);
	p->n -= strlen(prefix);
	return true;
}

static bool ends(struct part p, const char *suffix)
{
	size_t n = strlen(suffix);

	return p.n >= n && memcmp(p.s + p.n - n, suffix, n) == 0;
}

static bool cut_end(struct part *p, const char *suffix)
{
	if (!ends(*p, suffix))
		return false;
	p->n -= strlen(suffix);
	return true;
}

static int hex(char c)
{
	const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

static bool is_id(struct part p)
{
	if (p.n != MT_CONTAINER_ID_LEN)
		return false;
	for (size_t i = 0; i < p.n; i++)
		if (hex(p.s[i]) < 0)
			return false;
	return true;
}

static bool copy(struct part p, char *buf, size_t size)
{
	if (p.n >= size)
		return false;
	memcpy(buf, p.s, p.n);
	buf[p.n] = '\0';
	return true;
}

/* An id alone, or behind the engine's name. */
static bool engine(struct part part, struct part parent, char *buf, size_t size)
{
	struct part id = part, name = part;

	cut_end(&id, ".scope");
	if (id.n < MT_CONTAINER_ID_LEN)
		return false;
	name.n = id.n - MT_CONTAINER_ID_LEN;
	id.s += name.n;
	id.n = MT_CONTAINER_ID_LEN;
	if (!is_id(id))
		return false;
	if (!name.n) /* below podman's own directory it is a pod */
		return !ends(part, ".scope") && !is(parent, "libpod_parent") && copy(id, buf, size);
	if (ends(name, ":")) /* no scope: a directory of systemd's naming that it did not make */
		return !ends(part, ".scope") && copy(id, buf, size);
	return ends(name, "-") && !ends(name, "conmon-") && copy(id, buf, size);
}

/* A name as hostnames and lxc's containers have it. */
static bool name_char(char c)
{
	return isascii((unsigned char)c) && (isalnum((unsigned char)c) || strchr("._-", c));
}

static bool copy_name(struct part p, char *buf, size_t size)
{
	for (size_t i = 0; i < p.n; i++)
		if (!p.s[i] || !name_char(p.s[i]))
			return false;
	return p.n && copy(p, buf, size);
}

/* systemd writes what may not stand in a unit's name, "-" too, as \xHH. */
static bool copy_unescaped(struct part p, char *buf, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < p.n; i++) {
		char c = p.s[i];

		if (c == '\\') {
			int high = i + 3 < p.n && p.s[i + 1] == 'x' ? hex(p.s[i + 2]) : -1;
			int low = high >= 0 ? hex(p.s[i + 3]) : -1;

			if (low < 0)
				return false;
			c = (char)(high << 4 | low);
			i += 3;
		}
		if (n + 1 >= size || !c || !name_char(c))
			return false;
		buf[n++] = c;
	}
	buf[n] = '\0';
	return n;
}

static bool nspawn(struct part part, struct part parent, char *buf, size_t size)
{
	if (cut_start(&part, "systemd-nspawn@") && cut_end(&part, ".service"))
		return copy_unescaped(part, buf, size);
	if (!is(parent, "machine.slice") || !cut_start(&part, "machine-") ||
	    !cut_end(&part, ".scope"))
		return false;
	/* libvirt's virtual machines and its own containers stand beside them */
	if (starts(part, "qemu\\x2d") || starts(part, "lxc\\x2d"))
		return false;
	return copy_unescaped(part, buf, size);
}

static bool lxc(struct part part, struct part parent, char *buf, size_t size)
{
	if (cut_start(&part, "lxc.payload.") || is(parent, "lxc.payload") || is(parent, "lxc"))
		return copy_name(part, buf, size);
	return false;
}

/* The last component of the path, which loses it. */
static struct part take_last(struct part *path)
{
	struct part last;

	while (path->n && path->s[path->n - 1] == '/')
		path->n--;
	last.n = 0;
	while (last.n < path->n && path->s[path->n - last.n - 1] != '/')
		last.n++;
	path->n -= last.n;
	last.s = path->s + path->n;
	return last;
}

bool mt_container_id(const char *cgroup, char *buf, size_t size)
{
	static bool (*const forms[])(struct part, struct part, char *, size_t) = {engine, nspawn,
										  lxc};
	struct part path = {cgroup, strlen(cgroup)}, part = take_last(&path);

	if (!size)
		return false;
	while (part.n) {
		struct part parent = take_last(&path);

		for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
			if (forms[i](part, parent, buf, size))
				return true;
		part = parent;
	}
	buf[0] = '\0';
	return false;
}
