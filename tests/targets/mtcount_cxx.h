/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The part of libmtcount.so that counts C++ operators new and delete, in all
 * their forms; included by mtcount.c alone, whose functions it uses.
 */
typedef void *(*new_fn)(size_t, uintptr_t, uintptr_t);
typedef void (*delete_fn)(void *, uintptr_t, uintptr_t);

/* Found at the first call: the C++ library may come late. NULL: nowhere. */
static void *look_up(void **slot, const char *name)
{
	void *fn = __atomic_load_n(slot, __ATOMIC_RELAXED);

	if (!fn) {
		fn = dlsym(RTLD_NEXT, name);
		__atomic_store_n(slot, fn, __ATOMIC_RELAXED);
	}
	return fn;
}

static void *resolve(void **slot, const char *name)
{
	void *fn = look_up(slot, name);

	if (!fn)
		abort();
	return fn;
}

/* True if the function is in the file that malloc is in. */
static bool is_allocators(void *fn)
{
	Dl_info a, b;

	start();
	return dladdr(fn, &a) && dladdr((void *)next.malloc, &b) && a.dli_fbase == b.dli_fbase;
}

/*
 * A plugin that has the C++ library linked in may come to the operators here while
 * its own are nowhere to be found: they are what that library's are.
 */
static void *new_by_malloc(const char *name, size_t n, uintptr_t align)
{
	void *p = strstr(name, "align_val_t") ? NAME(aligned_alloc)(align, n) : NAME(malloc)(n);

	if (!p)
		abort();
	return p;
}

static void *forward_new(void **slot, const char *name, size_t n, uintptr_t a, uintptr_t b)
{
	new_fn fn = (new_fn)look_up(slot, name);
	const unsigned int inside = depth + 1;
	bool outer;
	void *p;

	if (!fn)
		return new_by_malloc(name, n, a);
	if (!is_allocators((void *)fn))
		return fn(n, a, b);
	outer = enter();
	p = fn(n, a, b);
	depth = inside; /* an exception may have been thrown and caught in there */
	return leave(outer, p);
}

static void forward_delete(void **slot, const char *name, void *p, uintptr_t a, uintptr_t b)
{
	delete_fn fn = (delete_fn)look_up(slot, name);

	if (is_early(p))
		return;
	if (!fn) {
		NAME(free)(p);
		return;
	}
	if (!is_allocators((void *)fn)) {
		fn(p, a, b);
		return;
	}
	if (enter() && p)
		count_free(next.usable(p));
	fn(p, a, b);
	depth--;
}

/* All forms: what a form does not take is passed on and ignored. */
#define NEW(f)                                                                                     \
	void *f(size_t n, uintptr_t a, uintptr_t b);                                               \
	EXPORT void *f(size_t n, uintptr_t a, uintptr_t b)                                         \
	{                                                                                          \
		static void *slot;                                                                 \
		return forward_new(&slot, #f, n, a, b);                                            \
	}
#define DELETE(f)                                                                                  \
	void f(void *p, uintptr_t a, uintptr_t b);                                                 \
	EXPORT void f(void *p, uintptr_t a, uintptr_t b)                                           \
	{                                                                                          \
		static void *slot;                                                                 \
		forward_delete(&slot, #f, p, a, b);                                                \
	}

NEW(_Znwm)
NEW(_Znam)
NEW(_ZnwmRKSt9nothrow_t)
NEW(_ZnamRKSt9nothrow_t)
NEW(_ZnwmSt11align_val_t)
NEW(_ZnamSt11align_val_t)
NEW(_ZnwmSt11align_val_tRKSt9nothrow_t)
NEW(_ZnamSt11align_val_tRKSt9nothrow_t)
DELETE(_ZdlPv)
DELETE(_ZdaPv)
DELETE(_ZdlPvm)
DELETE(_ZdaPvm)
DELETE(_ZdlPvRKSt9nothrow_t)
DELETE(_ZdaPvRKSt9nothrow_t)
DELETE(_ZdlPvSt11align_val_t)
DELETE(_ZdaPvSt11align_val_t)
DELETE(_ZdlPvmSt11align_val_t)
DELETE(_ZdaPvmSt11align_val_t)
DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t)
DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t)

/* Whatever it is thrown out of is left by it: nothing of this thread is open any more. */
void *__cxa_allocate_exception(size_t n);
EXPORT void *__cxa_allocate_exception(size_t n)
{
	static void *slot;

	depth = 0;
	return ((void *(*)(size_t))resolve(&slot, "__cxa_allocate_exception"))(n);
}

/* tcmalloc's own names, by which it tries itself when it is loaded. */
void *tc_malloc(size_t n);
EXPORT void *tc_malloc(size_t n)
{
	static void *slot;
	bool outer = enter();

	return leave(outer, ((void *(*)(size_t))resolve(&slot, "tc_malloc"))(n));
}

void tc_free(void *p);
EXPORT void tc_free(void *p)
{
	free(p);
}
