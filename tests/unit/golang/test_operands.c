/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "golang/operands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define TEXT 0x401000ull
#define DATA 0x500000ull
#define END  0x600000ull

#define MEMSTATS   (DATA + 0x40000)
#define MHEAP      (DATA + 0x10000)
#define CONTROLLER (DATA + 0x38000)
#define ALLP       (DATA + 0x400)
#define PHASE      (DATA + 0x37f04)

static bool is_data(void *ctx, uint64_t addr, uint64_t len)
{
	(void)ctx;
	return addr >= DATA && addr < END && len <= END - addr;
}

/* An instruction that names an address, wherever it stands. */
static size_t put(uint8_t *code, size_t n, const char *op, size_t len, uint64_t addr,
		  const char *tail, size_t tail_len)
{
	const uint32_t rel = (uint32_t)(addr - (TEXT + n + len + 4 + tail_len));

	memcpy(code + n, op, len);
	memcpy(code + n + len, &rel, 4);
	memcpy(code + n + len + 4, tail, tail_len);
	return n + len + 4 + tail_len;
}

#define LEA(addr) n = put(code, n, "\x48\x8d\x05", 3, addr, "", 0)
#define MOV(addr) n = put(code, n, "\x48\x8b\x0d", 3, addr, "", 0)
#define CMP(addr) n = put(code, n, "\x83\x3d", 2, addr, "\x00", 1)

static struct mt_go_refs refs;

static void add(enum mt_go_code from, const uint64_t *addrs, size_t count)
{
	uint8_t code[512];
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		if (i % 2)
			LEA(addrs[i]);
		else
			MOV(addrs[i]);
	}
	mt_go_refs_add(&refs, from, code, n, TEXT, is_data, NULL);
}

#define ADD(from, ...)                                                                             \
	add(from, (const uint64_t[]){__VA_ARGS__},                                                 \
	    sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static void test_decode(void **state)
{
	uint8_t code[64] = {0};
	size_t n = 0;

	(void)state;
	memset(&refs, 0, sizeof(refs));
	MOV(DATA + 8);
	CMP(DATA + 16);
	code[n++] = 0x06; /* no instruction */
	LEA(DATA);
	MOV(DATA - 8); /* none of the variables' */
	MOV(DATA + 8);
	mt_go_refs_add(&refs, MT_GO_STACKPOOLFREE, code, n, TEXT, is_data, NULL);
	mt_go_refs_add(&refs, MT_GO_GC_START, code, 7, TEXT, is_data, NULL);
	mt_go_refs_sort(&refs);
	assert_int_equal(refs.n, 3);
	assert_int_equal(refs.v[0].addr, DATA);
	assert_int_equal(refs.v[0].count, 1);
	assert_false(refs.v[0].phase);
	assert_int_equal(refs.v[1].addr, DATA + 8);
	assert_int_equal(refs.v[1].count, 3);
	assert_int_equal(refs.v[1].from, 1u << MT_GO_STACKPOOLFREE | 1u << MT_GO_GC_START);
	assert_true(refs.v[2].phase);
}

static void fill(const struct mt_go_layout *l)
{
	uint8_t code[64];
	size_t n = 0;

	memset(&refs, 0, sizeof(refs));
	ADD(MT_GO_MARK_TERMINATION, MEMSTATS + (uint64_t)l->mstats_last_gc_unix,
	    MEMSTATS + (uint64_t)l->mstats_pause_total_ns, MEMSTATS + (uint64_t)l->mstats_pause_ns,
	    MEMSTATS + (uint64_t)l->mstats_pause_end, MEMSTATS + (uint64_t)l->mstats_numgc,
	    MEMSTATS + (uint64_t)l->mstats_numgc + 40, CONTROLLER + (uint64_t)l->gc_heap_live,
	    PHASE, PHASE, MHEAP + (uint64_t)l->mheap_sweepgen, DATA + 0x9000);
	ADD(MT_GO_RELEASE_ALL, MEMSTATS, CONTROLLER + (uint64_t)l->gc_total_alloc,
	    MHEAP + (uint64_t)l->mheap_sweepgen);
	ADD(MT_GO_ALLOC_SPAN, CONTROLLER + (uint64_t)l->gc_heap_in_use,
	    CONTROLLER + (uint64_t)l->gc_heap_free, CONTROLLER + (uint64_t)l->gc_mapped_ready,
	    CONTROLLER + (uint64_t)l->gc_heap_released);
	ADD(MT_GO_STACKPOOLFREE, MHEAP, MHEAP + (uint64_t)l->mheap_arenas);
	ADD(MT_GO_PROCRESIZE, ALLP, ALLP + 8, ALLP + 16, ALLP, ALLP + 8, DATA + 0x800, DATA + 0x808,
	    DATA + 0x810);
	CMP(PHASE);
	CMP(DATA + 0x9004);
	mt_go_refs_add(&refs, MT_GO_STACKPOOLFREE, code, n, TEXT, is_data, NULL);
	mt_go_refs_sort(&refs);
}

static void expect_one(const struct mt_go_ties *t, uint64_t v)
{
	assert_int_equal(t->n, 1);
	assert_int_equal(t->v[0], v);
}

static void test_solve(void **state)
{
	struct mt_go_ties t[MT_GO_VARS];

	(void)state;
	for (size_t i = 0; i < mt_go_layouts_count; i++) {
		fill(&mt_go_layouts[i]);
		mt_go_refs_solve(&refs, &mt_go_layouts[i], is_data, NULL, t);
		expect_one(&t[MT_GO_MEMSTATS], MEMSTATS);
		expect_one(&t[MT_GO_MHEAP], MHEAP);
		expect_one(&t[MT_GO_CONTROLLER], CONTROLLER);
		expect_one(&t[MT_GO_ALLP], ALLP);
		expect_one(&t[MT_GO_PHASE], PHASE);
	}
}

/* Two places for which the same speaks: both are told, for the process to decide. */
static void test_ties(void **state)
{
	struct mt_go_ties t[MT_GO_VARS];

	(void)state;
	fill(mt_go_layout_of(24));
	ADD(MT_GO_PROCRESIZE, DATA + 0x800, DATA + 0x808);
	mt_go_refs_sort(&refs);
	mt_go_refs_solve(&refs, mt_go_layout_of(24), is_data, NULL, t);
	assert_int_equal(t[MT_GO_ALLP].n, 2);
	assert_int_equal(t[MT_GO_ALLP].v[0], ALLP);
	assert_int_equal(t[MT_GO_ALLP].v[1], DATA + 0x800);
}

static void test_nothing(void **state)
{
	struct mt_go_layout odd = *mt_go_layout_of(24);
	struct mt_go_ties t[MT_GO_VARS];

	(void)state;
	memset(&refs, 0, sizeof(refs));
	mt_go_refs_sort(&refs);
	mt_go_refs_solve(&refs, &odd, is_data, NULL, t);
	for (size_t i = 0; i < MT_GO_VARS; i++)
		assert_int_equal(t[i].n, 0);
	/* A layout that debug information lies about. */
	fill(&odd);
	odd.mstats_size = -1;
	odd.mheap_size = INT32_MAX;
	odd.gc_size = 0;
	odd.gc_heap_live = INT32_MIN;
	mt_go_refs_solve(&refs, &odd, is_data, NULL, t);
	assert_int_equal(t[MT_GO_MEMSTATS].n, 0);
	assert_int_equal(t[MT_GO_MHEAP].n, 0);
}

/* More than there is room for. */
static void test_full(void **state)
{
	(void)state;
	memset(&refs, 0, sizeof(refs));
	for (uint64_t i = 0; i < MT_GO_REFS_MAX + 10; i++)
		ADD(MT_GO_GC_START, DATA + 8 * i);
	assert_int_equal(refs.n, MT_GO_REFS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode), cmocka_unit_test(test_solve),
		cmocka_unit_test(test_ties),   cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
