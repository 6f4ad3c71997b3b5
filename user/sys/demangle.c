/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "sys/demangle.h"

#include <libiberty/demangle.h>
#include <setjmp.h>
#include <string.h>

struct out {
	char *buf;
	size_t len, size;
	jmp_buf full;
};

bool mt_is_mangled(const char *name)
{
	return name[0] == '_' && (name[1] == 'Z' || name[1] == 'R');
}

/*
 * The library has no way to be stopped: a short name can stand for more text than
 * there is memory for. What it works on is on its stack: nothing is left behind.
 */
static void put(const char *s, size_t n, void *opaque)
{
	struct out *o = opaque;

	if (n >= o->size - o->len)
		longjmp(o->full, 1);
	if (n)
		memcpy(o->buf + o->len, s, n);
	o->len += n;
}

static bool try(const char *name, int flags, struct out *o)
{
	if (setjmp(o->full))
		return false;
	o->len = 0;
	if (rust_demangle_callback(name, flags, put, o))
		return true;
	o->len = 0;
	return cplus_demangle_v3_callback(name, flags, put, o);
}

bool mt_demangle(const char *name, bool args, char *buf, size_t size)
{
	struct out o = {.buf = buf, .size = size};
	const int flags = args ? DMGL_PARAMS | DMGL_ANSI | DMGL_RET_DROP : DMGL_NO_OPTS;
	bool ok;

	buf[0] = '\0';
	if (!mt_is_mangled(name) || strnlen(name, MT_MANGLED_MAX) == MT_MANGLED_MAX)
		return false;
	ok = try(name, flags, &o);
	buf[ok ? o.len : 0] = '\0';
	return ok && o.len;
}
