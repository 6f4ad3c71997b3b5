/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The glibc walker over sound heaps: recorded ones, of which libmtcount.so
 * counted the truth inside the target, and one made by hand. Broken ones are in
 * test_glibc_broken.c.
 */
#include "made.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <inttypes.h>

#include "model/sizeclass.h"

static const struct mt_walker *const glibc = &mt_walker_glibc;

/* One census of it; the caller frees out->arenas. */
static int census(const struct recorded *r, struct mt_heap *out)
{
	void *state = NULL;
	int e = glibc->find(&r->img, &state);

	*out = (struct mt_heap){0};
	if (!e)
		e = glibc->walk(&r->img, state, out);
	glibc->free(&state);
	assert_null(state);
	if (e)
		print_message("%d: %s\n", e, r->why);
	return e;
}

static void assert_adds_up(const struct mt_heap *h)
{
	uint64_t objects = 0, bytes = 0, in_arenas = h->mapped_objects;

	for (size_t i = 0; i < MT_CLASSES; i++) {
		objects += h->cls[i].objects;
		bytes += h->cls[i].bytes;
	}
	assert_int_equal(objects, h->objects);
	assert_int_equal(bytes, h->bytes);
	for (size_t i = 0; i < h->n_arenas; i++) {
		const struct mt_heap_arena *a = &h->arenas[i];

		assert_int_equal(a->in_use + a->free + a->top + a->cached + a->fast + a->other,
				 a->system);
		assert_true(a->other <= a->system);
		in_arenas += a->objects;
	}
	assert_int_equal(in_arenas, h->objects);
}

/* tests/census/NAME.truth: a line "SIZE BLOCKS BYTES" for each class with live blocks. */
static void assert_as_counted(const char *name, const struct mt_heap *h)
{
	uint64_t size, n, bytes, objects = 0;
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "tests/census/%s.truth", name);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fscanf(f, "%" SCNu64 " %" SCNu64 " %" SCNu64, &size, &n, &bytes) == 3) {
		assert_int_equal(h->cls[mt_class_of(size)].objects, n);
		assert_int_equal(h->cls[mt_class_of(size)].bytes, bytes);
		objects += n;
	}
	fclose(f);
	assert_true(objects > 0);
	assert_int_equal(h->objects, objects);
}

static void as_recorded(const char *name, size_t arenas, struct mt_heap *h)
{
	struct recorded r;
	char path[128];

	snprintf(path, sizeof(path), "tests/census/%s.img", name);
	assert_int_equal(recorded_load(&r, path), 0);
	assert_int_equal(census(&r, h), 0);
	assert_as_counted(name, h);
	assert_adds_up(h);
	assert_int_equal(h->n_arenas, arenas);
	free(h->arenas);
	recorded_free(&r);
}

static void test_recorded(void **state)
{
	struct mt_heap h;

	(void)state;
	as_recorded("glibc-2.36-fast", 1, &h);
	as_recorded("glibc-2.36-aligned", 1, &h);
	assert_true(h.mapped_objects > 10);
	as_recorded("glibc-2.43-mremaps", 1, &h);
	assert_true(h.mapped_objects > 10);
	as_recorded("glibc-2.31-crossed", 2, &h);
	as_recorded("glibc-2.36-crossed", 2, &h);
	as_recorded("glibc-2.43-crossed", 2, &h);
}

/* Twice with what find learned once: a walk leaves nothing behind. */
static void test_again(void **state)
{
	struct mt_heap h[2];
	struct recorded r;
	void *learned = NULL;

	(void)state;
	assert_int_equal(recorded_load(&r, "tests/census/glibc-2.36-crossed.img"), 0);
	assert_int_equal(glibc->find(&r.img, &learned), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(glibc->walk(&r.img, learned, &h[i]), 0);
		assert_as_counted("glibc-2.36-crossed", &h[i]);
		free(h[i].arenas);
	}
	assert_memory_equal(h[0].cls, h[1].cls, sizeof(h[0].cls));
	assert_int_equal(h[0].idle, h[1].idle);
	glibc->free(&learned);
	recorded_free(&r);
}

static void assert_arena(const struct mt_heap_arena *a, const struct mt_heap_arena *want)
{
	assert_int_equal(a->address, want->address);
	assert_int_equal(a->system, want->system);
	assert_int_equal(a->in_use, want->in_use);
	assert_int_equal(a->free, want->free);
	assert_int_equal(a->top, want->top);
	assert_int_equal(a->cached, want->cached);
	assert_int_equal(a->fast, want->fast);
	assert_int_equal(a->other, want->other);
	assert_int_equal(a->objects, want->objects);
}

static void assert_made(const struct recorded *r, struct mt_heap *h)
{
	static const struct mt_heap_arena first = {
		.address = ARENA,
		.system = BRK_SIZE,
		.in_use = 0x30 + 0x40 + 0x20 + 0x100,
		.free = 0x500,
		.top = BRK + BRK_SIZE - TOP,
		.cached = 0x60,
		.fast = 0x40,
		.other = 0x290,
		.objects = 4,
	};
	static const struct mt_heap_arena second = {
		.address = ARENA2,
		.system = 0x3000,
		.in_use = 0x30 + (FENCES - D4) + 0x50,
		.free = 0x400,
		.top = HEAP3 + 0x1000 - TOP2,
		.cached = 0x30,
		.other = (D0 - HEAP2) + (E0 - HEAP3) + 0x290 + 0x20,
		.objects = 3,
	};

	assert_int_equal(census(r, h), 0);
	assert_adds_up(h);
	assert_int_equal(h->objects, MADE_OBJECTS);
	assert_int_equal(h->bytes, MADE_BYTES);
	assert_int_equal(h->mapped_objects, 2);
	assert_int_equal(h->mapped_system, MAP1_SIZE + MAP2_SIZE);
	assert_int_equal(h->n_arenas, 2);
	assert_arena(&h->arenas[0], &first);
	assert_arena(&h->arenas[1], &second);
}

static void test_made(void **state)
{
	struct recorded r;
	struct mt_heap h;

	(void)state;
	made_heap(&r);
	assert_made(&r, &h);
	assert_int_equal(h.cls[mt_class_of(0x28)].objects, 2);
	assert_int_equal(h.cls[mt_class_of(0x28)].bytes, 2 * 0x28);
	assert_int_equal(h.cache_bytes, 2 * 0x290);
	assert_int_equal(h.span_bytes, (D0 - HEAP2) + (E0 - HEAP3));
	/* Of the brk heap the pages behind the one that top begins on. */
	assert_int_equal(h.idle, 0x3000);
	assert_int_equal(r.idle.n, 1);
	assert_int_equal(r.idle.v[0].lo, BRK + 0x1000);
	assert_int_equal(r.idle.v[0].hi, BRK + BRK_SIZE);
	free(h.arenas);
	recorded_free(&r);
}

/* As a memory without heads and skip reads: a core file. */
static void test_plain_memory(void **state)
{
	struct recorded r;
	struct mt_heap h;

	(void)state;
	made_heap(&r);
	r.mem.heads = NULL;
	r.mem.skip = NULL;
	assert_made(&r, &h);
	free(h.arenas);
	recorded_free(&r);
}

/* Before 2.32 the links of lists were plain. */
static void test_plain_links(void **state)
{
	struct recorded r;
	struct mt_heap h;

	(void)state;
	made_heap(&r);
	made_put(&r, C2 + BLOCK, C3 + BLOCK);
	made_put(&r, C3 + BLOCK, 0);
	made_put(&r, C7 + BLOCK, C8);
	made_put(&r, C8 + BLOCK, 0);
	made_put(&r, D3 + BLOCK, 0);
	assert_made(&r, &h);
	free(h.arenas);
	recorded_free(&r);
}

/*
 * The cache of a thread that a forked child does not have, and nothing points
 * to; a block that is as large, but holds zeros or other things, is a block.
 */
static void test_orphan(void **state)
{
	const uint64_t orphan = TOP, entry = TOP + 0x290, top = entry + 0x30;
	struct recorded r;
	struct mt_heap h;

	(void)state;
	for (int i = 0; i < 3; i++) {
		made_heap(&r);
		made_put(&r, orphan + 8, 0x290 | 1);
		made_put(&r, entry + 8, 0x30 | 1);
		made_put(&r, top + 8, (BRK + BRK_SIZE - top) | 1);
		made_put(&r, ARENA + AR_TOP, top);
		if (i < 2) {
			made_put(&r, orphan + COUNTS, 1ull << (i ? 32 : 16));
			made_put(&r, orphan + ENTRIES + (i ? 16 : 8), entry + BLOCK);
			made_put(&r, entry + BLOCK, made_mangled(entry + BLOCK, 0));
		}
		assert_int_equal(census(&r, &h), 0);
		assert_adds_up(&h);
		assert_int_equal(h.objects, MADE_OBJECTS + (i ? 2 : 0));
		assert_int_equal(h.bytes, MADE_BYTES + (i ? 0x288 + 0x28 : 0));
		assert_int_equal(h.cache_bytes, (i ? 2 : 3) * 0x290);
		free(h.arenas);
		recorded_free(&r);
	}
}

/* Where memalign left no stale header, and where the kernel merged two mappings. */
static void test_mapped(void **state)
{
	struct recorded r;
	struct mt_heap h;

	(void)state;
	made_heap(&r);
	made_put(&r, MAP1 + 8, 0x20000 | 2);
	made_put(&r, MAP1 + 0x20008, 0x1000 | 2);
	made_put(&r, MP - 40, 3ull << 32);
	made_put(&r, MP - 32, 65536 | 3ull << 32);
	assert_int_equal(census(&r, &h), 0);
	assert_int_equal(h.mapped_objects, 3);
	assert_int_equal(h.bytes, MADE_BYTES - 16);
	assert_adds_up(&h);
	free(h.arenas);
	recorded_free(&r);
}

/* A libc whose malloc nobody has called. */
static void test_unused(void **state)
{
	struct recorded r;
	struct mt_heap h;

	(void)state;
	recorded_init(&r);
	assert_int_equal(recorded_add_area(&r, LIBC, LIBC + 0x4000, 8), 0);
	made_put(&r, ARENA + AR_NEXT, ARENA);
	made_put(&r, ARENA + AR_ATTACHED, 1);
	made_put(&r, MP - 32, 65536);
	made_put(&r, MP + 8, 64);
	made_put(&r, MP + 16, 1032);
	made_put(&r, MP + 24, 7);
	assert_int_equal(census(&r, &h), 0);
	assert_adds_up(&h);
	assert_int_equal(h.objects, 0);
	assert_int_equal(h.n_arenas, 1);
	assert_int_equal(h.arenas[0].address, ARENA);
	free(h.arenas);
	recorded_free(&r);
}

/* A chunk up to the fenceposts at the end of the first page. */
static void end_first_page(struct recorded *r)
{
	made_put(r, C9 + 8, (BRK + 0xfe0 - C9) | 1);
	made_put(r, BRK + 0xfe8, 0x10 | 1);
	made_put(r, BRK + 0xff8, 0x10 | 1);
	made_put(r, TOP + 8, 0);
}

/* Others have taken from the break, too: a page, and a part of one. */
static void test_foreign_sbrk(void **state)
{
	const uint64_t behind = BRK + 0x2350, top = behind + 0x40;
	struct recorded r;
	struct mt_heap h;

	(void)state;
	made_heap(&r);
	end_first_page(&r);
	for (uint64_t at = BRK + 0x1000; at < behind; at += 8)
		made_put(&r, at, 0x5a5a5a5a5a5a5a51);
	made_put(&r, BRK + 0x1108, 0x40 | 1); /* begins like a chain, and is none */
	made_put(&r, BRK + 0x1148, 0x40 | 1);
	made_put(&r, behind - 8, 0);
	made_put(&r, behind, 0);
	made_put(&r, behind + 8, 0x40 | 1);
	made_put(&r, top + 8, (BRK + BRK_SIZE - top) | 1);
	made_put(&r, ARENA + AR_TOP, top);
	assert_int_equal(census(&r, &h), 0);
	assert_adds_up(&h);
	assert_int_equal(h.objects, MADE_OBJECTS + 1);
	assert_int_equal(h.bytes, MADE_BYTES + (0xfe0 - 0x9c0) + 0x38);
	free(h.arenas);
	recorded_free(&r);
}

/* The break was blocked: the main arena goes on in a mapping, its flags say so. */
static void test_blocked_brk(void **state)
{
	const uint64_t piece = TLS1, top = piece + 0x60;
	struct recorded r;
	struct mt_heap h;

	(void)state;
	made_heap(&r);
	end_first_page(&r);
	made_put(&r, ARENA, 2ull << 32);
	made_put(&r, piece + 8, 0x60 | 1);
	made_put(&r, top + 8, 0xfa0 | 1);
	made_put(&r, ARENA + AR_TOP, top);
	made_put(&r, ARENA + AR_SYSTEM, 0x2000);
	assert_int_equal(census(&r, &h), 0);
	assert_adds_up(&h);
	assert_int_equal(h.objects, MADE_OBJECTS + 1);
	assert_int_equal(h.bytes, MADE_BYTES + (0xfe0 - 0x9c0) + 0x58);
	assert_int_equal(h.arenas[0].top, 0xfa0);
	free(h.arenas);
	recorded_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recorded),     cmocka_unit_test(test_again),
		cmocka_unit_test(test_made),         cmocka_unit_test(test_plain_memory),
		cmocka_unit_test(test_plain_links),  cmocka_unit_test(test_mapped),
		cmocka_unit_test(test_orphan),       cmocka_unit_test(test_unused),
		cmocka_unit_test(test_foreign_sbrk), cmocka_unit_test(test_blocked_brk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
