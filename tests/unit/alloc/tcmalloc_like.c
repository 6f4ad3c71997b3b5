/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What tells the size of a block in tcmalloc's way, to see through which
 * compilers and options its tables are found: compiled by the unit tests and
 * for the fuzzer's seeds. Each macro makes it differ in one point.
 */
typedef unsigned long u64;

struct span {
	u64 start, length;
	struct span *next, *prev;
	const u64 *sample;
	unsigned int refcount : 16, class : 8, location : 2, sampled : 1, other : 1;
};

struct leaf {
	struct span *spans[1 << 18];
};

static struct {
	u64 lock;
	volatile u64 cache[1 << 16];
	struct leaf *root[1 << 17];
} heap;

static struct {
	unsigned char classes[2169];
	int batch[128], size[128];
} sizes;

#ifndef CLASS_MAX
#define CLASS_MAX 127
#endif
#ifndef SAMPLED
#define SAMPLED(s) ((s)->sampled)
#endif
#ifndef SMALL_MAX
#define SMALL_MAX 1024
#endif

u64 get(const void *self, u64 p) __asm__("_ZN22TCMallocImplementation16GetAllocatedSizeEPKv");
u64 tc_nallocx(u64 n, int flags);
u64 slow(u64 n, int flags) __attribute__((noinline));
void free(void *p);
void *malloc(u64 n);
void *tc_malloc(u64 n) __attribute__((alias("malloc")));
const char *tc_version(void);

u64 slow(u64 n, int flags)
{
	return flags ? 0 : (n + 8191) >> 13 << 13;
}

u64 tc_nallocx(u64 n, int flags)
{
	unsigned int class = 0;

	if (!flags && n <= SMALL_MAX)
		class = sizes.classes[(unsigned int)(n + 7) >> 3];
	else if (!flags && n <= 262144)
		class = sizes.classes[(unsigned int)(n + 127 + (120 << 7)) >> 7];
	return class ? (u64)sizes.size[class] : slow(n, flags);
}

u64 get(const void *self, u64 p)
{
	const u64 page = p >> 13, class = heap.cache[page & 0xffff] ^ (page & ~0xffffUL);
	const struct span *s;

	(void)self;
	if (!p)
		return 0;
	if (class <= CLASS_MAX)
		return (u64)sizes.size[class];
	if (p >> 48 || !heap.root[page >> 18])
		return 0;
	s = heap.root[page >> 18]->spans[page & 0x3ffff];
	if (!s)
		return 0;
	if (s->class)
		return (u64)sizes.size[s->class];
#ifndef NEVER
	if (SAMPLED(s))
		return tc_nallocx(*s->sample, 0);
#endif
	return s->length << 13;
}

#ifdef DEBUG
u64 debug(const void *self, u64 p) __asm__("_ZN25DebugMallocImplementation16GetAllocatedSizeEPKv");
u64 debug(const void *self, u64 p)
{
	return get(self, p - 64);
}
#endif

/* Never run. */
void free(void *p)
{
#ifndef LAYERED
	heap.cache[(u64)p >> 13 & 0xffff] = 0;
#else
	*(volatile u64 *)p = 0;
#endif
}

void *malloc(u64 n)
{
	heap.lock++;
	sizes.batch[0]++;
	sizes.classes[n & 1]++;
	sizes.size[1]++;
	return heap.root[0]->spans[n & 1];
}

const char *tc_version(void)
{
	return "gperftools 2.77";
}
