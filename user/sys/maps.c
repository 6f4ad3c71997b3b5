/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* /proc/PID/maps and smaps; format: show_map_vma() in fs/proc/task_mmu.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/procfs.h"

#define READ_SIZE (64u << 10)
#define PATH_SIZE (32u << 10) /* PATH_MAX, every byte of it written as \012 */
#define LINE_HEAD 1024u       /* more than what stands in front of a path */

/* What mt_maps_read keeps. */
#define KEEP_MAX      (64u << 10)
#define KEEP_DATA_MAX (48u << 10) /* of these without code */
#define TEXT_MAX      (8u << 20)  /* bytes of names */
#define TEXT_CHUNK    (16u << 10)
#define RECENT        16u

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

/* The text on its way through: one mapping at a time. */
struct parser {
	mt_maps_fn fn;
	void *ctx;
	struct mt_mapping m; /* whose details are being read */
	bool pending;        /* m is to be handed over */
	bool skip;           /* the details are of a mapping that is passed over */
	uint64_t seen;       /* end of the last mapping */
	char path[PATH_SIZE];
};

/* The kernel writes a newline as \012. */
static void take_path(struct cursor *c, struct parser *ps)
{
	char *out = ps->path;

	ps->m.path = ps->path;
	if (c->end - c->p >= (ptrdiff_t)sizeof(ps->path))
		c->p = c->end;
	while (c->p < c->end) {
		if (c->end - c->p >= 4 && memcmp(c->p, "\\012", 4) == 0) {
			*out++ = '\n';
			c->p += 4;
		} else {
			*out++ = *c->p++;
		}
	}
	*out = '\0';
	mt_proc_cut_deleted(ps->path, &ps->m.deleted);
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

static int detail_line(struct cursor c, struct parser *ps)
{
	int r;

	/* smaps keys begin with a capital letter; anything else is damage. */
	if (!ps->pending || c.p == c.end || *c.p < 'A' || *c.p > 'Z')
		return -EBADMSG;
	r = smaps_value(c, "Rss:", &ps->m.rss);
	return r ? r : smaps_value(c, "Pss:", &ps->m.pss);
}

/*
 * The kernel writes the file page by page and lets the target run in between:
 * a mapping that grew or merged meanwhile is listed again with what was
 * already seen. That part is cut, so that mappings never overlap.
 */
static bool cut_overlap(uint64_t seen, struct mt_mapping *m)
{
	if (m->end <= seen)
		return false;
	if (m->start < seen) {
		m->offset += m->inode ? seen - m->start : 0;
		m->start = seen;
	}
	return true;
}

static int hand_over(struct parser *ps)
{
	bool pending = ps->pending;

	ps->pending = false;
	return pending ? ps->fn(&ps->m, ps->ctx) : 0;
}

static int parse_line(struct cursor c, struct parser *ps)
{
	struct mt_mapping m = {0};
	struct cursor start = c;
	int r;

	if (!take_range(&c, &m))
		return ps->skip ? 0 : detail_line(start, ps);
	if (!take_rest(&c, &m))
		return -EBADMSG;
	ps->skip = !cut_overlap(ps->seen, &m);
	if (ps->skip)
		return 0;
	r = hand_over(ps);
	if (r)
		return r;
	ps->m = m;
	ps->seen = m.end;
	ps->pending = true;
	take_path(&c, ps);
	return 0;
}

/* Parses the whole lines of text[len]; *used is their length. */
static int parse_lines(struct parser *ps, const char *text, size_t len, size_t *used)
{
	const char *p = text, *end = text + len, *nl;

	while ((nl = memchr(p, '\n', (size_t)(end - p)))) {
		int r = parse_line((struct cursor){p, nl}, ps);

		if (r)
			return r;
		p = nl + 1;
	}
	*used = (size_t)(p - text);
	return 0;
}

/* Reads on, behind len bytes of a line that has begun. 0: the end. */
static ssize_t read_more(int fd, char *buf, size_t len)
{
	ssize_t n;

	do
		n = read(fd, buf + len, READ_SIZE - len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static int parse_fd(struct parser *ps, int fd, char *buf)
{
	size_t len = 0, used;
	ssize_t n;

	while ((n = read_more(fd, buf, len)) > 0) {
		int r;

		len += (size_t)n;
		r = parse_lines(ps, buf, len, &used);
		if (r)
			return r;
		/* Its head tells that the path is too long, and all else. */
		if (!used && len == READ_SIZE) {
			len = PATH_SIZE + LINE_HEAD;
			continue;
		}
		len -= used;
		memmove(buf, buf + used, len);
	}
	if (n < 0)
		return (int)n;
	return len ? -EBADMSG : hand_over(ps);
}

static int each(pid_t pid, const char *name, mt_maps_fn fn, void *ctx)
{
	_cleanup_close_ int fd = mt_proc_open(pid, name);
	_cleanup_free_ struct parser *ps = NULL;
	_cleanup_free_ char *buf = NULL;

	if (fd < 0)
		return fd;
	ps = calloc(1, sizeof(*ps));
	buf = malloc(READ_SIZE);
	if (!ps || !buf)
		return -ENOMEM;
	ps->fn = fn;
	ps->ctx = ctx;
	return parse_fd(ps, fd, buf);
}

int mt_maps_each(pid_t pid, mt_maps_fn fn, void *ctx)
{
	return each(pid, "maps", fn, ctx);
}

int mt_smaps_each(pid_t pid, mt_maps_fn fn, void *ctx)
{
	return each(pid, "smaps", fn, ctx);
}

/* Names, in pieces that do not move. */
struct mt_maps_text {
	struct mt_maps_text *next;
	char text[];
};

struct collector {
	struct mt_maps *maps;
	size_t cap;
	bool all;
	size_t data;                /* mappings kept that have no code */
	size_t bytes;               /* of names */
	size_t used, room;          /* of the first piece of names */
	const char *recent[RECENT]; /* a file's mappings mostly stand together */
	size_t next_recent;
};

static const char *keep_path(struct collector *c, const char *path)
{
	size_t len = strlen(path) + 1;
	struct mt_maps_text *t = c->maps->text;
	char *copy;

	for (size_t i = 0; i < RECENT; i++)
		if (c->recent[i] && strcmp(c->recent[i], path) == 0)
			return c->recent[i];
	if (!t || len > c->room - c->used) {
		size_t room = len > TEXT_CHUNK ? len : TEXT_CHUNK;

		t = malloc(sizeof(*t) + room);
		if (!t)
			return NULL;
		t->next = c->maps->text;
		c->maps->text = t;
		c->used = 0;
		c->room = room;
	}
	copy = memcpy(t->text + c->used, path, len);
	c->used += len;
	c->bytes += len;
	c->recent[c->next_recent++ % RECENT] = copy;
	return copy;
}

static int append(struct collector *c, const struct mt_mapping *m)
{
	struct mt_maps *maps = c->maps;

	if (maps->n == c->cap) {
		size_t bigger = c->cap ? c->cap * 2 : 64;
		struct mt_mapping *v = realloc(maps->v, bigger * sizeof(*v));

		if (!v)
			return -ENOMEM;
		maps->v = v;
		c->cap = bigger;
	}
	maps->v[maps->n] = *m;
	maps->v[maps->n].path = m->path[0] ? keep_path(c, m->path) : "";
	if (!maps->v[maps->n].path)
		return -ENOMEM;
	maps->n++;
	return 0;
}

static bool is_wanted(const struct collector *c, const struct mt_mapping *m)
{
	if (c->all)
		return true;
	if (!m->path[0] || strncmp(m->path, "[anon:", 6) == 0)
		return false;
	return c->maps->n < KEEP_MAX && (m->exec || c->data < KEEP_DATA_MAX) &&
	       c->bytes + strlen(m->path) < TEXT_MAX;
}

static int collect(const struct mt_mapping *m, void *ctx)
{
	struct collector *c = ctx;

	if (!is_wanted(c, m))
		return 0;
	c->data += !m->exec;
	return append(c, m);
}

/* Hands the maps over, or frees them. */
static int collected(int r, struct mt_maps **maps, struct mt_maps **ret)
{
	if (r)
		mt_maps_free(maps);
	else
		*ret = TAKE_PTR(*maps);
	return r;
}

static int parse_text(struct parser *ps, const char *text, size_t len)
{
	size_t used = 0;
	int r = parse_lines(ps, text, len, &used);

	if (!r && used != len)
		r = -EBADMSG;
	return r ? r : hand_over(ps);
}

int mt_maps_parse(const char *text, size_t len, struct mt_maps **ret)
{
	struct mt_maps *maps = calloc(1, sizeof(*maps));
	_cleanup_free_ struct parser *ps = calloc(1, sizeof(*ps));
	struct collector c = {.maps = maps, .all = true};
	int r = -ENOMEM;

	if (maps && ps) {
		ps->fn = collect;
		ps->ctx = &c;
		r = parse_text(ps, text, len);
	}
	return collected(r, &maps, ret);
}

int mt_maps_read(pid_t pid, struct mt_maps **ret)
{
	struct mt_maps *maps = calloc(1, sizeof(*maps));
	struct collector c = {.maps = maps};

	return collected(maps ? mt_maps_each(pid, collect, &c) : -ENOMEM, &maps, ret);
}

void mt_maps_free(struct mt_maps **maps)
{
	if (!*maps)
		return;
	for (struct mt_maps_text *t = (*maps)->text, *next; t; t = next) {
		next = t->next;
		free(t);
	}
	free((*maps)->v);
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
