/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * libmtcount.so: the independent count that memtrace is compared with. A
 * preload that forwards every allocation function to the next definition and
 * counts, by malloc_usable_size, what design.md section 2 says counts.
 *
 * The C++ operators count where they are the allocator's own; the C++ library's
 * call malloc, which counts. An exception that is made, be it by an operator new
 * that gives up, is the program's: its block counts.
 *
 * It imports neither mmap nor sbrk and issues no system call of its own, so
 * that whoever looks for the owner of the blocks sees a wrapper.
 *
 * MTCOUNT_FORK set: a child has a count of its own in MTCOUNT_FILE.PID. It starts
 * as its parent's was, and anew when it executes a program. A vfork child counts
 * with its parent until then.
 *
 * It loads under any glibc from 2.31. With MTCOUNT_WRAP it is part of a static
 * program that is linked with --wrap for each of these functions.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mtcount.h"

#define TLS static __thread __attribute__((tls_model("initial-exec")))
#ifdef MTCOUNT_WRAP
#define EXPORT
#define NAME(f)    __wrap_##f
#define find(name) __real_##name
#define DECLARE(f) extern __typeof__(f) __wrap_##f, __real_##f
DECLARE(malloc);
DECLARE(free);
DECLARE(calloc);
DECLARE(realloc);
DECLARE(reallocarray);
DECLARE(memalign);
DECLARE(aligned_alloc);
DECLARE(posix_memalign);
DECLARE(valloc);
DECLARE(pvalloc);
#define __real_mmap               mmap
#define __real_malloc_usable_size malloc_usable_size
#else
#define EXPORT     __attribute__((visibility("default")))
#define NAME(f)    f
#define find(name) dlsym(RTLD_NEXT, #name)
/* The oldest version of the name, which is in every glibc. */
__asm__(".symver dlsym, dlsym@GLIBC_2.2.5");
__asm__(".symver dladdr, dladdr@GLIBC_2.2.5");
#endif

typedef void *(*mmap_fn)(void *, size_t, int, int, int, off_t);

static struct {
	void *(*malloc)(size_t);
	void (*free)(void *);
	void *(*calloc)(size_t, size_t);
	void *(*realloc)(void *, size_t);
	void *(*reallocarray)(void *, size_t, size_t);
	void *(*memalign)(size_t, size_t);
	void *(*aligned_alloc)(size_t, size_t);
	int (*posix_memalign)(void **, size_t, size_t);
	void *(*valloc)(size_t);
	void *(*pvalloc)(size_t);
	size_t (*usable)(void *);
} next;

/* Blocks for dlsym itself, before there is anything to forward to. */
static _Alignas(16) char early[16384];
static size_t early_used;

static struct mtcount sink; /* where counts go that nobody asked for */
static struct mtcount *shared = &sink;
static bool ready, resolving;
TLS unsigned int depth;

static const uint32_t bysize[MT_BYSIZE] = {
	0,    8,    16,    24,    32,    48,    64,    80,    96,    112,  128,  144,  160,
	176,  192,  208,   224,   240,   256,   288,   320,   352,   384,  416,  448,  480,
	512,  576,  640,   704,   768,   896,   1024,  1152,  1280,  1408, 1536, 1792, 2048,
	2304, 2688, 3072,  3200,  3456,  4096,  4864,  5376,  6144,  6528, 6784, 6912, 8192,
	9472, 9728, 10240, 10880, 12288, 13568, 14336, 16384, 18432,
};

static void *early_alloc(size_t n)
{
	size_t at = early_used;

	n = (n + 15) & ~(size_t)15;
	if (n > sizeof(early) - at)
		return NULL;
	early_used = at + n;
	return early + at;
}

static bool is_early(const void *p)
{
	return (const char *)p >= early && (const char *)p < early + sizeof(early);
}

/* The counts restart when the owner executes another program; others have none here. */
static bool adopt(struct mtcount *m)
{
	uint32_t images = m->images;

	if (m->magic == MTCOUNT_MAGIC && m->owner != (uint32_t)getpid())
		return false;
	memset(m, 0, sizeof(*m));
	m->images = images + 1;
	m->owner = (uint32_t)getpid();
	__atomic_store_n(&m->magic, MTCOUNT_MAGIC, __ATOMIC_RELEASE);
	shared = m;
	return true;
}

/* False: they are another process's. */
static bool open_counts(const char *path)
{
	mmap_fn map = (mmap_fn)find(mmap);
	bool ours = true;
	void *m;
	int fd;

	if (!path || !map)
		return true;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0)
		return true;
	if (ftruncate(fd, sizeof(struct mtcount)) == 0) {
		m = map(NULL, sizeof(struct mtcount), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (m != MAP_FAILED)
			ours = adopt(m);
	}
	close(fd);
	return ours;
}

static struct mtcount at_fork;
static pid_t forking; /* its parent may have ended when the child runs */
/* Where forks are counted: whether this memory is the one that counts, or a copy. */
static volatile bool *original;

static void mark_original(void)
{
	mmap_fn map = (mmap_fn)find(mmap);
	void *p = map(NULL, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || madvise(p, 1, MADV_WIPEONFORK))
		abort();
	original = p;
	*original = true;
}
static char file[512]; /* programs replace their environment */

static void open_own(void)
{
	char own[sizeof(file) + 16];

	snprintf(own, sizeof(own), "%s.%d", file, (int)getpid());
	open_counts(own);
}

static void before_fork(void)
{
	at_fork = *shared;
	forking = getpid();
}

static void in_child(void)
{
	if (at_fork.owner != (uint32_t)forking)
		return;
	open_own();
	*original = true;
	memcpy(shared->cls, at_fork.cls, sizeof(at_fork.cls));
}

/* The first process has MTCOUNT_FILE, what comes of it files of its own. */
static void open_first(const char *path)
{
	bool ours = open_counts(path);

	if (!path || !getenv("MTCOUNT_FORK"))
		return;
	snprintf(file, sizeof(file), "%s", path);
	if (!ours)
		open_own();
	if (shared == &sink)
		return;
	mark_original();
	pthread_atfork(before_fork, NULL, in_child);
}

#ifndef MTCOUNT_WRAP
static size_t (*tcmalloc_size)(const void *, const void *);

static size_t usable_of_tcmalloc(void *p)
{
	return tcmalloc_size(NULL, p);
}

/*
 * tcmalloc's malloc_usable_size asks an object, which the first call makes, by
 * operator new, and which says 0 until it is ready. This is what it asks.
 */
static void find_usable_of_tcmalloc(void)
{
	tcmalloc_size = find(_ZN22TCMallocImplementation16GetAllocatedSizeEPKv);
	if (tcmalloc_size && !find(_ZN25DebugMallocImplementation16GetAllocatedSizeEPKv))
		next.usable = usable_of_tcmalloc;
}
#endif

/* The first call comes from the loader or a constructor: one thread. */
static void start(void)
{
	if (ready || resolving)
		return;
	resolving = true;
	next.malloc = find(malloc);
	next.free = find(free);
	next.calloc = find(calloc);
	next.realloc = find(realloc);
	next.reallocarray = find(reallocarray);
	next.memalign = find(memalign);
	next.aligned_alloc = find(aligned_alloc);
	next.posix_memalign = find(posix_memalign);
	next.valloc = find(valloc);
	next.pvalloc = find(pvalloc);
	next.usable = find(malloc_usable_size);
#ifndef MTCOUNT_WRAP
	find_usable_of_tcmalloc();
#endif
	open_first(getenv("MTCOUNT_FILE"));
	resolving = false;
	ready = true;
}

static void add(__u64 *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static unsigned int class_of(size_t usable)
{
	unsigned int c = 0;
	size_t top = (size_t)1 << MT_LARGE_MIN_SHIFT;

	while (c < MT_BYSIZE && usable > bysize[c])
		c++;
	if (c < MT_BYSIZE)
		return c;
	for (; c < MT_CLASSES - 1 && usable > top; c++)
		top <<= 1;
	return c;
}

/* A child, of fork or vfork, shares the mapping but is another process. */
static struct mtcount *counts(void)
{
	if (original)
		return *original ? shared : &sink;
	return shared->owner == (uint32_t)getpid() ? shared : &sink;
}

static void count_malloc(size_t usable)
{
	struct mt_class_counts *c = &counts()->cls[class_of(usable)];

	add(&c->mallocs, 1);
	add(&c->alloc_bytes, usable);
}

static void count_free(size_t usable)
{
	struct mt_class_counts *c = &counts()->cls[class_of(usable)];

	add(&c->frees, 1);
	add(&c->free_bytes, usable);
}

/* True for the outermost call of this thread, the one that counts. */
static bool enter(void)
{
	start();
	if (depth++ == 0)
		return true;
	add(&counts()->nested, 1);
	return false;
}

/*
 * After an allocation function: counts when outermost, and leaves then only: to
 * ask for a block's size may take one (tcmalloc's first time).
 */
static void *leave(bool outer, void *p)
{
	int saved = errno;

	if (outer && p)
		count_malloc(next.usable(p));
	else if (outer)
		add(&counts()->failed, 1);
	depth--;
	errno = saved;
	return p;
}

EXPORT void *NAME(malloc)(size_t n)
{
	bool outer;

	if (resolving)
		return early_alloc(n);
	outer = enter();
	return leave(outer, next.malloc(n));
}

EXPORT void *NAME(calloc)(size_t n, size_t size)
{
	bool outer;

	if (resolving)
		return early_alloc(n * size);
	outer = enter();
	return leave(outer, next.calloc(n, size));
}

EXPORT void NAME(free)(void *p)
{
	bool outer;

	if (!p || is_early(p) || resolving)
		return;
	outer = enter();
	if (outer)
		count_free(next.usable(p));
	next.free(p);
	depth--;
}

/* What a realloc of old to q came to; asked: it wanted a block. */
static void *settle(bool outer, void *old, size_t old_size, void *q, bool asked)
{
	int saved = errno;
	size_t size;

	if (!outer) {
		depth--;
		return q;
	}
	if (!q) {
		if (asked)
			add(&counts()->failed, 1);
		else
			count_free(old_size);
	} else {
		size = next.usable(q);
		if (!old || q != old || size != old_size) {
			if (old)
				count_free(old_size);
			count_malloc(size);
		}
	}
	depth--;
	errno = saved;
	return q;
}

/* dlsym's own blocks are not the allocator's: they move to it uncounted as freed. */
static void *move_early(void *p, size_t n)
{
	size_t room = (size_t)(early + sizeof(early) - (char *)p);
	void *q = NAME(malloc)(n);

	if (q)
		memcpy(q, p, n < room ? n : room);
	return q;
}

EXPORT void *NAME(realloc)(void *p, size_t n)
{
	size_t old;
	bool outer;

	if (resolving)
		return early_alloc(n);
	if (is_early(p))
		return move_early(p, n);
	outer = enter();
	old = p ? next.usable(p) : 0;
	return settle(outer, p, old, next.realloc(p, n), n != 0 || !p);
}

EXPORT void *NAME(reallocarray)(void *p, size_t n, size_t size)
{
	size_t old;
	bool outer = enter();

	old = p ? next.usable(p) : 0;
	return settle(outer, p, old, next.reallocarray(p, n, size), (n != 0 && size != 0) || !p);
}

EXPORT void *NAME(memalign)(size_t align, size_t n)
{
	bool outer = enter();

	return leave(outer, next.memalign(align, n));
}

EXPORT void *NAME(aligned_alloc)(size_t align, size_t n)
{
	bool outer = enter();

	return leave(outer, next.aligned_alloc(align, n));
}

EXPORT void *NAME(valloc)(size_t n)
{
	bool outer = enter();

	return leave(outer, next.valloc(n));
}

EXPORT void *NAME(pvalloc)(size_t n)
{
	bool outer = enter();

	return leave(outer, next.pvalloc(n));
}

EXPORT int NAME(posix_memalign)(void **ret, size_t align, size_t n)
{
	bool outer = enter();
	int r = next.posix_memalign(ret, align, n);

	leave(outer, r ? NULL : *ret);
	return r;
}

/*
 * For programs that call what is not forwarded here: freed and malloced are the
 * usable sizes of the block that went and of the one that came, 0 for none.
 */
EXPORT void mtcount_note(size_t freed, size_t malloced)
{
	if (freed)
		count_free(freed);
	if (malloced)
		count_malloc(malloced);
	if (!freed && !malloced)
		add(&counts()->failed, 1);
}

#ifndef MTCOUNT_WRAP
#include "mtcount_cxx.h"
#endif

__attribute__((constructor)) static void load(void)
{
	start();
}
