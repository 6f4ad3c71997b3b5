// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The emulated machine has no Python: what its checks read of a snapshot, the
 * last line of a file of memtrace's JSON.
 *
 *   compare counts FILE TRUTH [BEFORE]  every count against what libmtcount.so
 *                                       wrote into TRUTH (less BEFORE)
 *   compare get FILE KEY.KEY            prints that value
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mtcount.h"

static bool different;

static void same(const char *what, int64_t have, int64_t want)
{
	if (have == want)
		return;
	different = true;
	printf("%s %" PRId64 ", expected %" PRId64 "\n", what, have, want);
}

/* The last line's object; NULL if there is none. */
static json_t *read_last(const char *path)
{
	FILE *f = fopen(path, "r");
	json_t *last = NULL, *next;
	char *line = NULL;
	size_t size = 0;

	while (f && getline(&line, &size, f) > 0) {
		next = json_loads(line, 0, NULL);
		json_decref(last);
		last = next;
	}
	free(line);
	if (f)
		fclose(f);
	if (!last)
		fprintf(stderr, "%s: no JSON in its last line\n", path);
	return last;
}

/* A.B.C of an object; NULL if it is not there. */
static json_t *at(json_t *v, const char *path)
{
	char key[64];

	while (v && *path) {
		size_t n = strcspn(path, ".");

		snprintf(key, sizeof(key), "%.*s", (int)n, path);
		v = json_object_get(v, key);
		path += n + (path[n] == '.');
	}
	return v;
}

static int64_t number(json_t *v, const char *path)
{
	json_t *n = at(v, path);

	if (!json_is_integer(n)) {
		different = true;
		printf("no number %s\n", path);
	}
	return json_integer_value(n);
}

static bool read_truth(const char *path, struct mtcount *m)
{
	FILE *f = fopen(path, "r");
	bool ok = f && fread(m, sizeof(*m), 1, f) == 1 && m->magic == MTCOUNT_MAGIC;

	if (f)
		fclose(f);
	if (!ok)
		fprintf(stderr, "%s: not a file of libmtcount.so\n", path);
	return ok;
}

static void subtract(struct mtcount *m, const struct mtcount *old)
{
	for (size_t i = 0; i < MT_CLASSES; i++) {
		m->cls[i].mallocs -= old->cls[i].mallocs;
		m->cls[i].frees -= old->cls[i].frees;
		m->cls[i].alloc_bytes -= old->cls[i].alloc_bytes;
		m->cls[i].free_bytes -= old->cls[i].free_bytes;
	}
	m->failed -= old->failed;
}

static struct mt_class_counts sum(const struct mtcount *m)
{
	struct mt_class_counts s = {0};

	for (size_t i = 0; i < MT_CLASSES; i++) {
		s.mallocs += m->cls[i].mallocs;
		s.frees += m->cls[i].frees;
		s.alloc_bytes += m->cls[i].alloc_bytes;
		s.free_bytes += m->cls[i].free_bytes;
	}
	return s;
}

/* The element of a list whose Size is size; NULL if there is none. */
static json_t *of_size(json_t *list, int64_t size)
{
	json_t *v;
	size_t i;

	json_array_foreach(list, i, v) if (number(v, "Size") == size) return v;
	return NULL;
}

/* Classes with no calls may be left out of `large` and `net.live`. */
static int64_t of_class(json_t *list, int64_t size, const char *key)
{
	json_t *v = of_size(list, size);

	return v ? number(v, key) : 0;
}

static void compare_class(json_t *snap, size_t i, const struct mt_class_counts *c)
{
	json_t *list = at(snap, i < MT_BYSIZE ? "memstats.BySize" : "large");
	json_t *live = at(snap, "net.live");
	int64_t size = INT64_C(1) << (MT_LARGE_MIN_SHIFT + (i - MT_BYSIZE));
	char what[64];

	if (i < MT_BYSIZE)
		size = number(json_array_get(list, i), "Size");
	snprintf(what, sizeof(what), "class %" PRId64, size);
	same(what, of_class(list, size, "Mallocs"), (int64_t)c->mallocs);
	same(what, of_class(list, size, "Frees"), (int64_t)c->frees);
	same(what, of_class(live, size, "Objects"), (int64_t)(c->mallocs - c->frees));
	same(what, of_class(live, size, "Bytes"), (int64_t)(c->alloc_bytes - c->free_bytes));
}

static int compare(json_t *snap, const struct mtcount *truth)
{
	struct mt_class_counts s = sum(truth);
	int64_t objects = (int64_t)(s.mallocs - s.frees);
	int64_t bytes = (int64_t)(s.alloc_bytes - s.free_bytes);

	if (!s.mallocs) {
		printf("the truth counted nothing\n");
		return 1;
	}
	same("Mallocs", number(snap, "memstats.Mallocs"), (int64_t)s.mallocs);
	same("Frees", number(snap, "memstats.Frees"), (int64_t)s.frees);
	same("TotalAlloc", number(snap, "memstats.TotalAlloc"), (int64_t)s.alloc_bytes);
	same("Alloc", number(snap, "memstats.Alloc"), bytes > 0 ? bytes : 0);
	same("HeapObjects", number(snap, "memstats.HeapObjects"), objects > 0 ? objects : 0);
	same("net.Objects", number(snap, "net.Objects"), objects);
	same("net.Bytes", number(snap, "net.Bytes"), bytes);
	same("failed", number(snap, "loss.failed"), (int64_t)truth->failed);
	same("lost", number(snap, "loss.lost"), 0);
	for (size_t i = 0; i < MT_CLASSES; i++)
		compare_class(snap, i, &truth->cls[i]);
	return different;
}

static int counts(int argc, char **argv, json_t *snap)
{
	struct mtcount truth, before;

	if (!read_truth(argv[3], &truth))
		return 2;
	if (argc > 4) {
		if (!read_truth(argv[4], &before))
			return 2;
		subtract(&truth, &before);
	}
	return compare(snap, &truth);
}

static int get(json_t *snap, const char *path)
{
	json_t *v = at(snap, path);
	char *text = json_is_string(v) ? strdup(json_string_value(v))
				       : json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);

	if (!v || !text) {
		fprintf(stderr, "no %s\n", path);
		return 1;
	}
	puts(text);
	free(text);
	return 0;
}

int main(int argc, char **argv)
{
	json_t *snap;
	int r;

	if (argc < 4 || (strcmp(argv[1], "counts") != 0 && strcmp(argv[1], "get") != 0)) {
		fprintf(stderr, "usage: compare counts FILE TRUTH [BEFORE]\n"
				"       compare get FILE KEY.KEY\n");
		return 64;
	}
	snap = read_last(argv[2]);
	if (!snap)
		return 2;
	r = argv[1][0] == 'g' ? get(snap, argv[3]) : counts(argc, argv, snap);
	json_decref(snap);
	return r;
}
