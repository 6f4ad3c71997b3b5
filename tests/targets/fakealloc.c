/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * libfakealloc.so: an allocator that nobody knows, with pages from the kernel. A
 * block is as large as was asked for, to the byte, so that what counts usable
 * sizes beside memtrace says what it should. Its functions call each other as
 * those of real allocators do: calloc malloc, operator delete free, through the
 * linker; operator new goes on to malloc by a jump where it can.
 */
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define CLASSES  48
#define CHUNK    ((size_t)1 << 20)
#define LARGE    20 /* from this class on each block is a mapping of its own */
#define SIZE_TOP ((size_t)1 << 40)

/* Before each block. */
struct head {
	size_t size;        /* as asked for */
	unsigned int class; /* log2 of the room, from base on */
	struct head *next;  /* when free */
	void *base;
};

static struct head *freed[CLASSES];
static char *top, *end;
static int lock;

void throw_bad_alloc(void) __asm__("_ZSt17__throw_bad_allocv") __attribute__((weak, noreturn));

void *malloc(size_t n);
void free(void *p);
void *calloc(size_t n, size_t size);
void *realloc(void *p, size_t n);
void *reallocarray(void *p, size_t n, size_t size);
void *memalign(size_t align, size_t n);
void *aligned_alloc(size_t align, size_t n);
int posix_memalign(void **ret, size_t align, size_t n);
void *valloc(size_t n);
void *pvalloc(size_t n);
size_t malloc_usable_size(void *p);

static void *map(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void *room(unsigned int class)
{
	const size_t n = (size_t)1 << class;
	void *p;

	if (class >= LARGE)
		return map(n);
	if ((size_t)(end - top) < n) {
		top = map(CHUNK);
		end = top ? top + CHUNK : NULL;
	}
	p = top;
	if (p)
		top += n;
	return p;
}

static void *take(unsigned int class)
{
	struct head *h;
	void *base;

	while (__atomic_test_and_set(&lock, __ATOMIC_ACQUIRE))
		sched_yield();
	h = class < LARGE ? freed[class] : NULL;
	if (h)
		freed[class] = h->next;
	base = h ? h->base : room(class);
	__atomic_clear(&lock, __ATOMIC_RELEASE);
	return base;
}

static struct head *head_of(void *p)
{
	return (struct head *)p - 1;
}

static void *alloc(size_t align, size_t n)
{
	unsigned int class = 6;
	uintptr_t at;
	void *base;

	if (align < 16)
		align = 16;
	if (n > SIZE_TOP || align > SIZE_TOP) {
		errno = ENOMEM;
		return NULL;
	}
	while (((size_t)1 << class) < n + align + sizeof(struct head))
		class ++;
	base = take(class);
	if (!base)
		return NULL;
	at = ((uintptr_t)base + sizeof(struct head) + align - 1) & ~(align - 1);
	*head_of((void *)at) = (struct head){.size = n, .class = class, .base = base};
	return (void *)at;
}

void *malloc(size_t n)
{
	return alloc(16, n);
}

void free(void *p)
{
	struct head *h = p ? head_of(p) : NULL, *first;

	if (!h)
		return;
	if (h->class >= LARGE) {
		munmap(h->base, (size_t)1 << h->class);
		return;
	}
	/* the block's room begins with what is needed of it */
	first = h->base;
	*first = (struct head){.class = h->class, .base = h->base};
	while (__atomic_test_and_set(&lock, __ATOMIC_ACQUIRE))
		sched_yield();
	first->next = freed[first->class];
	freed[first->class] = first;
	__atomic_clear(&lock, __ATOMIC_RELEASE);
}

void *calloc(size_t n, size_t size)
{
	size_t total;
	void *p;

	if (__builtin_mul_overflow(n, size, &total)) {
		errno = ENOMEM;
		return NULL;
	}
	p = malloc(total);
	if (p)
		memset(p, 0, total);
	return p;
}

void *realloc(void *p, size_t n)
{
	struct head *h = p ? head_of(p) : NULL;
	void *q;

	if (h && n <= h->size) {
		h->size = n;
		return p;
	}
	q = malloc(n);
	if (!q || !h)
		return q;
	memcpy(q, p, h->size < n ? h->size : n);
	free(p);
	return q;
}

void *reallocarray(void *p, size_t n, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(n, size, &total)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(p, total);
}

void *memalign(size_t align, size_t n)
{
	return alloc(align, n);
}

void *aligned_alloc(size_t align, size_t n)
{
	return memalign(align, n);
}

int posix_memalign(void **ret, size_t align, size_t n)
{
	void *p;

	if (align % sizeof(void *) || (align & (align - 1)))
		return EINVAL;
	p = memalign(align, n);
	if (!p)
		return ENOMEM;
	*ret = p;
	return 0;
}

void *valloc(size_t n)
{
	return memalign(4096, n);
}

void *pvalloc(size_t n)
{
	return valloc(n);
}

size_t malloc_usable_size(void *p)
{
	return p ? head_of(p)->size : 0;
}

static void *or_throw(void *p)
{
	if (!p && throw_bad_alloc)
		throw_bad_alloc();
	return p;
}

/* All forms of the C++ operators that are one function: what is not taken is ignored. */
#define ALIAS(f, of) __typeof__(of) f __attribute__((alias(#of)))

void *_Znwm(size_t n);
void *_Znwm(size_t n)
{
	void *p = malloc(n);

	return p ? p : or_throw(malloc(n));
}

void *_Znam(size_t n);
void *_Znam(size_t n)
{
	return _Znwm(n);
}

void *_ZnwmRKSt9nothrow_t(size_t n, const void *tag);
void *_ZnwmRKSt9nothrow_t(size_t n, const void *tag)
{
	return tag ? malloc(n) : alloc(16, n);
}
ALIAS(_ZnamRKSt9nothrow_t, _ZnwmRKSt9nothrow_t);

void *_ZnwmSt11align_val_t(size_t n, size_t align);
void *_ZnwmSt11align_val_t(size_t n, size_t align)
{
	return or_throw(alloc(align, n));
}
ALIAS(_ZnamSt11align_val_t, _ZnwmSt11align_val_t);

void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t n, size_t align, const void *tag);
void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t n, size_t align, const void *tag)
{
	(void)tag;
	return aligned_alloc(align, n);
}
ALIAS(_ZnamSt11align_val_tRKSt9nothrow_t, _ZnwmSt11align_val_tRKSt9nothrow_t);

/* A call, not a jump: one free inside another. */
void _ZdlPv(void *p);
void _ZdlPv(void *p)
{
	free(p);
	__asm__ volatile("" ::: "memory");
}
ALIAS(_ZdaPv, _ZdlPv);

/* A jump, on a condition. */
void _ZdlPvm(void *p, size_t n);
void _ZdlPvm(void *p, size_t n)
{
	(void)n;
	if (p)
		free(p);
}
ALIAS(_ZdaPvm, _ZdlPvm);

void _ZdlPvRKSt9nothrow_t(void *p, const void *tag);
void _ZdlPvRKSt9nothrow_t(void *p, const void *tag)
{
	(void)tag;
	free(p);
}
ALIAS(_ZdaPvRKSt9nothrow_t, _ZdlPvRKSt9nothrow_t);
ALIAS(_ZdlPvSt11align_val_t, _ZdlPvRKSt9nothrow_t);
ALIAS(_ZdaPvSt11align_val_t, _ZdlPvRKSt9nothrow_t);
ALIAS(_ZdlPvmSt11align_val_t, _ZdlPvm);
ALIAS(_ZdaPvmSt11align_val_t, _ZdlPvm);
ALIAS(_ZdlPvSt11align_val_tRKSt9nothrow_t, _ZdlPvRKSt9nothrow_t);
ALIAS(_ZdaPvSt11align_val_tRKSt9nothrow_t, _ZdlPvRKSt9nothrow_t);
