/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* /proc/PID/maps and smaps; format: show_map_vma() in fs/proc/task_mmu.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "sys/procfs.h"

/* A line under reading; it ends at end, which is never read. */
struct cursor {
	const char *p, *end;
};

static bool take_char(struct cursor *c, char want)
{
	if (c->p == c->end || *c->p != want)
		return false;
	c->p++;
	return true;
}

static int digit(char ch, unsigned int base)
{
	int v = ch >= '0' && ch <= '9' ? ch - '0' : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;

	return v < (int)base ? v : -1;
}

static bool take_number(struct cursor *c, unsigned int base, uint64_t max, uint64_t *ret)
{
	const char *start = c->p;
	uint64_t v = 0;

	for (; c->p < c->end && digit(*c->p, base) >= 0; c->p++) {
		if (__builtin_mul_overflow(v, base, &v) ||
		    __builtin_add_overflow(v, (uint64_t)digit(*c->p, base), &v))
			return false;
	}
	*ret = v;
	return c->p > start && v <= max;
}

static bool take_flag(struct cursor *c, char on, char off, bool *ret)
{
	if (c->p == c->end || (*c->p != on && *c->p != off))
		return false;
	*ret = *c->p++ == on;
	return true;
}

/* "start-end": what no other line of smaps begins with. */
static bool take_range(struct cursor *c, struct mt_mapping *m)
{
	return take_number(c, 16, UINT64_MAX, &m->start) && take_char(c, '-') &&
	       take_number(c, 16, UINT64_MAX, &m->end) && take_char(c, ' ');
}

static bool take_rest(struct cursor *c, struct mt_mapping *m)
{
	uint64_t major, minor;

	if (!take_flag(c, 'r', '-', &m->read) || !take_flag(c, 'w', '-', &m->write) ||
	    !take_flag(c, 'x', '-', &m->exec) || !take_flag(c, 's', 'p', &m->shared) ||
	    !take_char(c, ' ') || !take_number(c, 16, UINT64_MAX, &m->offset) ||
	    !take_char(c, ' ') || !take_number(c, 16, UINT32_MAX, &major) || !take_char(c, ':') ||
	    !take_number(c, 16, UINT32_MAX, &minor) || !take_char(c, ' ') ||
	    !take_number(c, 10, UINT64_MAX, &m->inode))
		return false;
	m->dev_major = (uint32_t)major;
	m->dev_minor = (uint32_t)minor;
	/* Nothing, or blanks up to a path; a path's own blanks come after its first '/' or '['. */
	if (c->p < c->end && *c->p != ' ')
		return false;
	while (take_char(c, ' '))
		;
	return m->start < m->end;
}

/* Copies the path to *dst, which moves past it; the kernel writes a newline as \012. */
static void copy_path(struct cursor *c, char **dst, struct mt_mapping *m)
{
	char *out = *dst;

	m->path = out;
	while (c->p < c->end) {
		if (c->end - c->p >= 4 && memcmp(c->p, "\\012", 4) == 0) {
			*out++ = '\n';
			c->p += 4;
		} else {
			*out++ = *c->p++;
		}
	}
	*out = '\0';
	mt_proc_cut_deleted(*dst, &m->deleted);
	*dst = out + 1;
}

static int append(struct mt_maps *maps, size_t *cap, const struct mt_mapping *m)
{
	if (maps->n == *cap) {
		size_t bigger = *cap ? *cap * 2 : 64;
		struct mt_mapping *v = realloc(maps->v, bigger * sizeof(*v));

		if (!v)
			return -ENOMEM;
		maps->v = v;
		*cap = bigger;
	}
	maps->v[maps->n++] = *m;
	return 0;
}

/* "Rss:   12 kB" of the mapping before it. */
static int smaps_value(struct cursor c, const char *key, uint64_t *ret)
{
	size_t n = strlen(key);
	uint64_t kb;

	if ((size_t)(c.end - c.p) < n || memcmp(c.p, key, n) != 0)
		return 0;
	c.p += n;
	while (take_char(&c, ' '))
		;
	if (!take_number(&c, 10, UINT64_MAX / 1024, &kb))
		return -EBADMSG;
	*ret = kb * 1024;
	return 0;
}

static int detail_line(struct cursor c, struct mt_maps *maps)
{
	struct mt_mapping *last;
	int r;

	/* smaps keys begin with a capital letter; anything else is damage. */
	if (!maps->n || c.p == c.end || *c.p < 'A' || *c.p > 'Z')
		return -EBADMSG;
	last = &maps->v[maps->n - 1];
	r = smaps_value(c, "Rss:", &last->rss);
	return r ? r : smaps_value(c, "Pss:", &last->pss);
}

/*
 * The kernel writes the file page by page and lets the target run in between:
 * a mapping that grew or merged meanwhile is listed again with what was
 * already seen. That part is cut, so that v never overlaps.
 */
static bool cut_overlap(const struct mt_maps *maps, struct mt_mapping *m)
{
	uint64_t seen = maps->n ? maps->v[maps->n - 1].end : 0;

	if (m->end <= seen)
		return false;
	if (m->start < seen) {
		m->offset += m->inode ? seen - m->start : 0;
		m->start = seen;
	}
	return true;
}

static int parse_line(struct cursor c, struct mt_maps *maps, size_t *cap, char **dst, bool *skip)
{
	struct mt_mapping m = {0};
	struct cursor start = c;

	if (!take_range(&c, &m))
		return *skip ? 0 : detail_line(start, maps);
	if (!take_rest(&c, &m))
		return -EBADMSG;
	*skip = !cut_overlap(maps, &m);
	if (*skip)
		return 0;
	copy_path(&c, dst, &m);
	return append(maps, cap, &m);
}

static int parse_all(const char *text, size_t len, struct mt_maps *maps)
{
	const char *p = text, *end = text + len;
	char *dst = maps->text;
	bool skip = false;
	size_t cap = 0;

	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		int r;

		if (!nl)
			return -EBADMSG;
		r = parse_line((struct cursor){p, nl}, maps, &cap, &dst, &skip);
		if (r)
			return r;
		p = nl + 1;
	}
	return 0;
}

int mt_maps_parse(const char *text, size_t len, struct mt_maps **ret)
{
	struct mt_maps *maps = calloc(1, sizeof(*maps));
	int r;

	if (!maps)
		return -ENOMEM;
	/* Every path is shorter than its line; what is not used is never touched. */
	maps->text = malloc(len + 1);
	r = maps->text ? parse_all(text, len, maps) : -ENOMEM;
	if (r) {
		mt_maps_free(&maps);
		return r;
	}
	*ret = maps;
	return 0;
}

static int read_and_parse(pid_t pid, const char *name, struct mt_maps **ret)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = mt_proc_read(pid, name, &text, &len);

	return r ? r : mt_maps_parse(text, len, ret);
}

int mt_maps_read(pid_t pid, struct mt_maps **ret)
{
	return read_and_parse(pid, "maps", ret);
}

int mt_smaps_read(pid_t pid, struct mt_maps **ret)
{
	return read_and_parse(pid, "smaps", ret);
}

void mt_maps_free(struct mt_maps **maps)
{
	if (!*maps)
		return;
	free((*maps)->v);
	free((*maps)->text);
	free(*maps);
	*maps = NULL;
}

const struct mt_mapping *mt_maps_find(const struct mt_maps *maps, uint64_t addr)
{
	size_t lo = 0, hi = maps->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (maps->v[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < maps->n && maps->v[lo].start <= addr ? &maps->v[lo] : NULL;
}
