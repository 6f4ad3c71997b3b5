/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The demo target, and the seed of memtrace: a map that holds one large slice,
 * then a million integers. It prints at each step what it believes about its
 * memory, in the shape of Go's PrintMemUsage; memtrace's lines show the same
 * from outside.
 *
 * A step follows each line on standard input, so that whoever traces it has
 * seen the step before; `demo pace` takes one step a second instead.
 */
#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gate.h"

#define SLICE   ((size_t)256 << 20)
#define INTS    1000000
#define BUCKETS ((size_t)1 << 19)

struct node {
	struct node *next;
	uint64_t key;
	void *value; /* owned */
};

struct map {
	struct node **bucket;
};

static uint64_t live, total;

static void *take(size_t n)
{
	void *p = calloc(1, n);

	if (!p) {
		gate_say("out of memory\n");
		exit(1);
	}
	live += malloc_usable_size(p);
	total += malloc_usable_size(p);
	return p;
}

static void give(void *p)
{
	live -= malloc_usable_size(p);
	free(p);
}

static struct node **slot_of(struct map *m, uint64_t key)
{
	uint64_t h = key * 0x9e3779b97f4a7c15ull;
	struct node **s = &m->bucket[h >> 45 & (BUCKETS - 1)];

	while (*s && (*s)->key != key)
		s = &(*s)->next;
	return s;
}

static void map_set(struct map *m, uint64_t key, void *value)
{
	struct node **s = slot_of(m, key);

	if (!*s) {
		*s = take(sizeof(**s));
		(*s)->key = key;
	}
	if ((*s)->value)
		give((*s)->value);
	(*s)->value = value;
}

static void map_delete(struct map *m, uint64_t key)
{
	struct node **s = slot_of(m, key), *n = *s;

	if (!n)
		return;
	*s = n->next;
	if (n->value)
		give(n->value);
	give(n);
}

static uint64_t status_kib(const char *text, const char *key)
{
	const char *s = strstr(text, key);

	return s ? strtoull(s + strlen(key), NULL, 10) : 0;
}

/* Private writable address space, as memtrace's Sys. */
static uint64_t sys_bytes(void)
{
	char text[4096];
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return 0;
	text[n] = 0;
	return (status_kib(text, "VmData:") + status_kib(text, "VmStk:")) << 10;
}

static void print_mem_usage(const char *step)
{
	gate_say("%-34s Alloc = %llu MiB\tTotalAlloc = %llu MiB\tSys = %llu MiB\tNumGC = 0\n", step,
		 (unsigned long long)live >> 20, (unsigned long long)total >> 20,
		 (unsigned long long)sys_bytes() >> 20);
}

static void fill(struct map *m, uint64_t from, uint64_t to)
{
	for (uint64_t k = from; k < to; k++)
		map_set(m, k, NULL);
}

static void drain(struct map *m, uint64_t from, uint64_t to)
{
	for (uint64_t k = from; k < to; k++)
		map_delete(m, k);
}

static void step(struct map *m, int n, const char **text)
{
	static const char *const texts[] = {
		"make a map",
		"store a large slice in it",
		"delete the entry",
		"add 400,000 integers",
		"add 400,000 more",
		"a million integers",
		"delete half of the keys",
		"delete all the keys",
		"drop the map",
	};

	*text = texts[n];
	switch (n) {
	case 0:
		m->bucket = take(BUCKETS * sizeof(*m->bucket));
		break;
	case 1:
		map_set(m, 0, memset(take(SLICE), 1, SLICE));
		break;
	case 2:
		map_delete(m, 0);
		break;
	case 3:
		fill(m, 0, 400000);
		break;
	case 4:
		fill(m, 400000, 800000);
		break;
	case 5:
		fill(m, 800000, INTS);
		break;
	case 6:
		drain(m, 0, INTS / 2);
		break;
	case 7:
		drain(m, INTS / 2, INTS);
		break;
	case 8:
		give(m->bucket);
		break;
	}
}

int main(int argc, char **argv)
{
	bool pace = argc > 1 && strcmp(argv[1], "pace") == 0;
	struct map m = {0};
	const char *text;

	for (int n = 0; n < 9; n++) {
		if (pace)
			nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
		else if (!gate_wait())
			return 0;
		step(&m, n, &text);
		print_mem_usage(text);
	}
	if (!pace)
		gate_wait();
	return 0;
}
