/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The glibc walker over heaps of which each breaks one rule: unsound, with the
 * reason, and never a number. What is broken is broken both behind find's back
 * and before it looks.
 */
#include "made.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct mt_walker *const glibc = &mt_walker_glibc;

struct edit {
	uint64_t addr, value;
};

struct broken {
	const char *what;
	struct edit e[4]; /* addr 0 ends it */
	const char *why;  /* a part of the reason */
};

static const struct broken chains[] = {
	{"a misaligned size", {{C1 + 8, 0x38 | 1}}, "not a block"},
	{"a size of 16", {{C1 + 8, 0x10 | 1}}, "foreign memory"},
	{"a size of 0", {{C1 + 8, 1}}, "foreign memory"},
	{"a size past the end", {{C4 + 8, 0x100000 | 1}}, "not a block"},
	{"a size just past the end", {{C9 + 8, (BRK + BRK_SIZE - C9) | 1}}, "not a block"},
	{"a size that leaves no header", {{C9 + 8, (BRK + BRK_SIZE - C9 - 8) | 1}}, "not a block"},
	{"a size of 2^63", {{C4 + 8, 1ull << 63 | 0x40 | 1}}, "not a block"},
	{"a size of -32", {{C4 + 8, -0x20ull | 1}}, "not a block"},
	{"a step over top", {{C9 + 8, 0x110 | 1}}, "free block's size"},
	{"the first block's predecessor free", {{C0 + 8, 0x290}}, "free block's size"},
	{"two free neighbours", {{C7, 0x20}, {C7 + 8, 0x20}}, "free block's size"},
	{"a free block's size repeated wrongly", {{C6, 0x4f0}}, "free block's size"},
	{"a block of another arena in the main one", {{C4 + 8, 0x40 | 5}}, "another arena"},
	{"a block of the main arena in another", {{D1 + 8, 0x30 | 1}}, "another arena"},
	{"a mapped block in a chain", {{C4 + 8, 0x40 | 3}}, "not a block"},
	{"a block that swallows a cached one", {{C1 + 8, 0x60 | 1}}, "broken list"},
	{"a block that swallows one in a fastbin", {{C6 + 8, 0x40}}, "block that is none"},
	{"fenceposts in the middle",
	 {{C9 + 8, 0x10 | 1}, {C9 + 0x18, 0x10 | 1}, {C9 + 0x28, 0}},
	 "foreign memory"},
};

static const struct broken arenas[] = {
	{"the main arena's size", {{ARENA + AR_SYSTEM, BRK_SIZE + 0x1000}}, "the main arena"},
	{"the second arena's size", {{ARENA2 + AR_SYSTEM, 0x4000}}, "an arena's heaps"},
	{"a smaller second arena", {{ARENA2 + AR_SYSTEM, 0x2000}}, "an arena's heaps"},
	{"a ring that does not come back", {{ARENA2 + AR_NEXT, ARENA2}}, "ring of arenas"},
	{"a ring that leads nowhere", {{ARENA2 + AR_NEXT, 0x1000}}, "unreadable arena"},
	{"a ring that leads past all", {{ARENA2 + AR_NEXT, -16ull}}, "unreadable arena"},
	{"a heap of another arena", {{HEAP3, ARENA}}, "without a heap"},
	{"an older heap of another arena", {{HEAP2, ARENA}}, "a heap that is none"},
	{"heaps in a loop", {{HEAP2 + 8, HEAP3}}, "impossible size"},
	{"heaps in a loop that are as large as believed",
	 {{HEAP2 + 8, HEAP3}, {ARENA2 + AR_SYSTEM, 0x3000ull * 65536 / 2}},
	 "impossible size"},
	{"a heap before itself", {{HEAP3 + 8, HEAP3}}, "impossible size"},
	{"a heap before nothing", {{HEAP3 + 8, 0x1000}}, "a heap that is none"},
	{"no older heap", {{HEAP3 + 8, 0}}, "an arena's heaps"},
	{"a heap beyond its mapping", {{HEAP3 + 16, 0x2000}}, "without a heap"},
	{"an older heap beyond its mapping", {{HEAP2 + 16, 0x3000}}, "a heap that is none"},
	{"a heap of no whole pages", {{HEAP2 + 16, 0x1ff0}}, "a heap that is none"},
	{"a heap of no size", {{HEAP2 + 16, 0}}, "a heap that is none"},
	{"a heap that ends early",
	 {{D4 + 8, (FENCES - 0x40 - D4) | 5}, {FENCES - 0x38, 0x10 | 1}},
	 "does not end"},
	{"a heap that does not come to its top",
	 {{E0 + 8, 0xfb0 | 5},
	  {HEAP3 + 0xfe8, 0x10 | 1},
	  {ARENA2 + AR_TOP, HEAP3 + 0x100},
	  {HEAP3 + 0x108, 0xf00 | 1}},
	 "does not end"},
	{"a smaller heap", {{HEAP2 + 16, 0x1000}}, "not a block"},
	{"a lock held", {{ARENA, 1}}, "locked"},
	{"another lock held", {{ARENA2, 2}}, "locked"},
	{"top nowhere", {{ARENA + AR_TOP, 0x1000}}, "unreadable top"},
	{"top past all", {{ARENA + AR_TOP, -16ull}}, "unreadable top"},
	{"top misaligned", {{ARENA + AR_TOP, TOP + 8}}, "unreadable top"},
	{"top too early", {{ARENA + AR_TOP, C9}}, "the main arena"},
	{"top in other memory", {{ARENA + AR_TOP, MAP1}}, "the main arena"},
	{"a top of impossible size", {{TOP + 8, 1ull << 62}}, "impossible size"},
	{"a smaller top", {{TOP + 8, 0x1000 | 1}}, "the main arena"},
	{"another top nowhere", {{ARENA2 + AR_TOP, HEAP2 + 0x8000000}}, "unreadable top"},
	{"another top in the first heap", {{ARENA2 + AR_TOP, D1}}, "heap"},
	{"another top too late", {{ARENA2 + AR_TOP, E0 + 0xf00}}, "top"},
	{"another arena's base", {{MP, BRK + 0x10}}, "the main arena"},
	{"a base far before the heap, and its size believed",
	 {{MP, BRK + BRK_SIZE - (1ull << 39)}, {ARENA + AR_SYSTEM, 1ull << 39}},
	 "impossible size"},
	{"a base before the heap", {{MP, BRK - 0x1000}}, "the main arena"},
};

static const struct broken mapped[] = {
	{"too many", {{MP - 40, 3ull << 32}}, "mapped blocks were found"},
	{"too few", {{MP - 40, 1ull << 32}}, "mapped blocks were found"},
	{"other bytes", {{MP - 16, MAP1_SIZE + MAP2_SIZE - 0x1000}}, "mapped blocks were found"},
	{"less than none", {{MP - 40, -1ull << 32}}, "no count is known"},
	{"a size past the end", {{MAP1 + 8, (MAP1_SIZE + 0x1000) | 2}}, "mapped blocks were"},
	{"a size of 2^63", {{MAP1 + 8, 1ull << 63 | 2}}, "mapped blocks were"},
	{"a size of no pages", {{MAP1 + 8, (MAP1_SIZE - 0x10) | 2}}, "mapped blocks were"},
	{"a size that wraps round",
	 {{MAP2_AT + 8, (0x1000 - 0xfff0ull) | 2}, {MP - 16, MAP1_SIZE + 0x1000}},
	 "mapped blocks were"},
	{"an aligned one of no pages",
	 {{MAP2_AT + 8, (MAP2_SIZE - 0xfff0 - 0x10) | 2}, {MP - 16, MAP1_SIZE + MAP2_SIZE - 0x10}},
	 "mapped blocks were"},
	{"other flags", {{MAP1 + 8, MAP1_SIZE | 3}}, "mapped blocks were"},
	{"not at its mapping's start", {{MAP1, 0x10}}, "mapped blocks were"},
	{"one in another",
	 {{MAP1 + 0x1008, 0x1000 | 2},
	  {MP - 40, 3ull << 32},
	  {MP - 16, MAP1_SIZE + MAP2_SIZE + 0x1000},
	  {MP - 8, MAP1_SIZE + MAP2_SIZE + 0x1000}},
	 "mapped blocks were"},
};

static const struct broken caches[] = {
	{"more than the list has", {{C0 + COUNTS, 3ull << 16}}, "not as long"},
	{"fewer than the list has", {{C0 + COUNTS, 1ull << 16}}, "broken list"},
	{"a list that counts none", {{C0 + COUNTS, 0}}, "caches was found"},
	{"a count without a list", {{C0 + COUNTS, 1 | 2ull << 16}}, "caches was found"},
	{"a loop", {{C3 + BLOCK, (C3 + BLOCK) >> 12 ^ (C2 + BLOCK)}}, "broken list"},
	{"a loop of one",
	 {{D0 + COUNTS, 2ull << 16}, {D3 + BLOCK, (D3 + BLOCK) >> 12 ^ (D3 + BLOCK)}},
	 "or twice"},
	{"a list that leads to a free block",
	 {{C3 + BLOCK, (C3 + BLOCK) >> 12 ^ (C5 + BLOCK)}, {C0 + COUNTS, 3ull << 16}},
	 "broken list"},
	{"a list that leads nowhere", {{C2 + BLOCK, 0x1230}}, "broken list"},
	{"a list that begins nowhere", {{D0 + ENTRIES + 8, 0x1230}}, "is none"},
	{"a free block", {{D0 + ENTRIES + 8, D2 + BLOCK}}, "is none"},
	{"the inside of a block", {{D0 + ENTRIES + 8, D4 + BLOCK + 0x20}}, "is none"},
	{"a mapped block", {{D0 + ENTRIES + 8, MAP1 + BLOCK}}, "is none"},
	{"a block of another cache", {{D0 + ENTRIES + 8, C3 + BLOCK}}, "or twice"},
	{"its own struct", {{D0 + ENTRIES + 8, D0 + BLOCK}}, "or twice"},
	{"a block of another size",
	 {{C0 + COUNTS, 2ull << 32}, {C0 + ENTRIES + 8, 0}, {C0 + ENTRIES + 16, C2 + BLOCK}},
	 "another size"},
	{"misaligned", {{C0 + ENTRIES + 8, C2 + BLOCK + 8}}, "caches was found"},
	{"plain links among mangled ones", {{C2 + BLOCK, C3 + BLOCK}}, "broken list"},
	{"a mangled link among plain ones",
	 {{C2 + BLOCK, C3 + BLOCK}, {C3 + BLOCK, 0}},
	 "not as long"},
	{"a pointer to another block", {{TP1 + (uint64_t)TLS_CACHE, C9 + BLOCK}}, "caches was"},
	{"a pointer into a cache", {{TP1 + (uint64_t)TLS_CACHE, C0 + BLOCK + 16}}, "caches was"},
	{"a pointer to nowhere", {{TP1 + (uint64_t)TLS_CACHE, 0x123450}}, "caches was found"},
	{"one cache of two threads", {{TP1 + (uint64_t)TLS_CACHE, D0 + BLOCK}}, "broken cache"},
	{"no thread's arena is known",
	 {{TP1 + (uint64_t)TLS_ARENA, 0}, {TP2 + (uint64_t)TLS_ARENA, 0}},
	 "caches was found"},
	{"no thread pointer", {{TP1, 0}, {TP2, 0}}, "thread"},
	{"a thread pointer that is not repeated", {{TP1 + 16, TP2}}, "thread"},
};

static const struct broken fastbins[] = {
	{"a cached block", {{ARENA + AR_FAST + 8, C2}}, "or twice"},
	{"a loop", {{C8 + BLOCK, (C8 + BLOCK) >> 12 ^ C7}}, "or twice"},
	{"a loop of one", {{C7 + BLOCK, (C7 + BLOCK) >> 12 ^ C7}}, "or twice"},
	{"a block in two lists", {{ARENA2 + AR_FAST, C8}}, "or twice"},
	{"a block of another size",
	 {{ARENA + AR_FAST, 0}, {ARENA + AR_FAST + 8, C7}},
	 "another size"},
	{"a free block", {{ARENA + AR_FAST, C5}}, "is none"},
	{"nowhere", {{ARENA + AR_FAST, 0x1230}}, "is none"},
	{"misaligned", {{ARENA + AR_FAST, C7 + 8}}, "is none"},
	{"a list that leads nowhere", {{C7 + BLOCK, 0x5555}}, "is none"},
};

static void make(struct recorded *r, const struct broken *b)
{
	made_heap(r);
	for (size_t i = 0; b && i < 4 && b->e[i].addr; i++)
		made_put(r, b->e[i].addr, b->e[i].value);
}

/* The walk's result; find has seen the heap as it is, or as it was before. */
static int census(struct recorded *r, const struct recorded *before, struct mt_heap *h)
{
	void *state = NULL;
	int e = glibc->find(before ? &before->img : &r->img, &state);

	*h = (struct mt_heap){0};
	if (before)
		assert_int_equal(e, 0);
	if (!e)
		e = glibc->walk(&r->img, state, h);
	glibc->free(&state);
	return e;
}

static void refuse(const struct broken *b, const struct recorded *before)
{
	struct recorded r;
	struct mt_heap h;
	int e;

	make(&r, b);
	e = census(&r, before, &h);
	if (before && (e != -EAGAIN || !strstr(r.why, b->why)))
		fail_msg("%s: %d, %s", b->what, e, r.why);
	if (r.reads > 20000)
		fail_msg("%s: %u readings", b->what, (unsigned int)r.reads);
	/* what is broken from the start may make find look elsewhere, or find nothing */
	if (!before && e != -ENOENT && (e != -EAGAIN || !r.why[0]))
		fail_msg("%s from the start: %d, %s", b->what, e, r.why);
	free(h.arenas);
	recorded_free(&r);
}

static void refuse_all(const struct broken *v, size_t n)
{
	struct recorded before;

	made_heap(&before);
	for (size_t i = 0; i < n; i++) {
		refuse(&v[i], &before);
		refuse(&v[i], NULL);
	}
	recorded_free(&before);
}

#define REFUSE(name)                                                                               \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		(void)state;                                                                       \
		refuse_all(name, sizeof(name) / sizeof((name)[0]));                                \
	}
REFUSE(chains)
REFUSE(arenas)
REFUSE(mapped)
REFUSE(caches)
REFUSE(fastbins)

/* Each page in turn cannot be read in the walk, but for one that it does not need. */
static void test_unreadable(void **state)
{
	struct recorded r, before;
	struct mt_heap h;

	(void)state;
	made_heap(&before);
	for (size_t i = 0; i < before.n_pages; i++) {
		int e;

		made_heap(&r);
		r.unreadable = before.pages[i].addr;
		e = census(&r, &before, &h);
		assert_true(e || r.unreadable == TP1 - MT_MEM_PAGE ||
			    r.unreadable == TP2 - MT_MEM_PAGE);
		if (e && (e != -EAGAIN || !r.why[0]))
			fail_msg("%#llx cannot be read: %d, %s", (unsigned long long)r.unreadable,
				 e, r.why);
		free(h.arenas);
		recorded_free(&r);
	}
	recorded_free(&before);
}

/* The deadline passes at each reading in turn: late, not unsound, and soon. */
static void test_late(void **state)
{
	struct recorded r, before;
	struct mt_heap h;
	uint64_t all = 0;
	int e;

	(void)state;
	made_heap(&before);
	for (uint64_t n = 1; n == 1 || n < all; n++) {
		make(&r, NULL);
		if (n > 1)
			r.reads_max = n - 1;
		e = census(&r, &before, &h);
		if (n == 1) {
			assert_int_equal(e, 0);
			all = r.reads;
		} else if (e != -ETIME && e) {
			fail_msg("late at reading %u of %u: %d, %s", (unsigned int)n,
				 (unsigned int)all, e, r.why);
		}
		assert_true(n == 1 || r.reads <= n + 1);
		free(h.arenas);
		recorded_free(&r);
	}
	assert_true(all > 10);
	recorded_free(&before);
}

static void test_deadline(void **state)
{
	struct recorded r;
	struct mt_heap h;
	void *learned = NULL;

	(void)state;
	made_heap(&r);
	assert_int_equal(glibc->find(&r.img, &learned), 0);
	r.img.deadline_ns = 1;
	assert_int_equal(glibc->walk(&r.img, learned, &h), -ETIME);
	free(h.arenas);
	glibc->free(&learned);
	recorded_free(&r);
}

static void test_second_libc(void **state)
{
	struct recorded r;
	void *learned = NULL;

	(void)state;
	made_heap(&r);
	/* what is almost an arena that nobody has used yet */
	made_put(&r, LIBC + 0x2400 + AR_NEXT, LIBC + 0x2400);
	assert_int_equal(glibc->find(&r.img, &learned), 0);
	glibc->free(&learned);
	made_arena(&r, LIBC + 0x2400, TOP, LIBC + 0x2400, 0);
	assert_int_equal(glibc->find(&r.img, &learned), -ENOTSUP);
	assert_non_null(strstr(r.why, "second libc"));
	assert_null(learned);
	recorded_free(&r);
}

static void test_none(void **state)
{
	struct recorded r;
	void *learned = NULL;

	(void)state;
	made_heap(&r);
	for (size_t i = 0; i < r.img.n_areas; i++)
		r.areas[i].owner = false;
	assert_int_equal(glibc->find(&r.img, &learned), -ENOENT);
	assert_null(learned);
	recorded_free(&r);
}

/* A thread that waits for an arena's lock is inside malloc. */
static void test_locks(void **state)
{
	struct recorded r;
	void *learned = NULL;

	(void)state;
	made_heap(&r);
	assert_int_equal(glibc->find(&r.img, &learned), 0);
	assert_true(glibc->is_lock(learned, ARENA));
	assert_true(glibc->is_lock(learned, ARENA2));
	assert_false(glibc->is_lock(learned, ARENA + 8));
	glibc->free(&learned);
	recorded_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chains),      cmocka_unit_test(test_arenas),
		cmocka_unit_test(test_mapped),      cmocka_unit_test(test_caches),
		cmocka_unit_test(test_fastbins),    cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_late),        cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_second_libc), cmocka_unit_test(test_none),
		cmocka_unit_test(test_locks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
