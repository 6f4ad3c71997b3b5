/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Walking functions: what they return, by which decisions, and what is not known. */
#include "sys/eval.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BASE 0x400000u

static struct mt_eval ev;
static uint8_t text[256];

static int walk(const void *code, size_t len)
{
	struct mt_place_request rq = {
		.text = text,
		.text_len = sizeof(text),
		.text_addr = BASE,
		.entry = BASE,
		.size = len,
	};

	memset(text, 0xcc, sizeof(text));
	memcpy(text, code, len);
	return mt_eval_run(&rq, &ev);
}

#define WALK(s) assert_int_equal(walk(s, sizeof(s) - 1), 0)

static uint16_t arg(uint64_t number)
{
	for (uint16_t i = 1; i < ev.n_nodes; i++)
		if (ev.nodes[i].op == MT_EVAL_ARG && ev.nodes[i].value == number)
			return i;
	fail();
	return 0;
}

/* What the only path returns for the first argument a. */
static uint64_t result(uint64_t a)
{
	const struct mt_eval_bind bind = {arg(0), a};
	uint64_t v;

	assert_int_equal(ev.n_ends, 1);
	assert_int_equal(ev.ends[0].exit, MT_EVAL_RET);
	assert_true(mt_eval_value(&ev, ev.ends[0].result, &bind, 1, &v));
	return v;
}

static void arithmetic(void **state)
{
	const uint64_t a = 0x123456789abcdef0;

	(void)state;
	WALK("\x48\x89\xf8\x48\xc1\xe8\x0d\xc3"); /* mov rax,rdi; shr rax,13 */
	assert_int_equal(result(a), a >> 13);
	WALK("\x89\xf8\x83\xc0\x07\xc3"); /* mov eax,edi; add eax,7: 32 bits */
	assert_int_equal(result(UINT64_MAX), 6);
	WALK("\x8d\x47\x07\xc1\xe8\x03\xc3"); /* lea eax,[rdi+7]; shr eax,3 */
	assert_int_equal(result(UINT64_MAX - 6), 0);
	assert_int_equal(result(17), 3);
	WALK("\x48\x89\xf8\x66\x31\xc0\xc3"); /* mov rax,rdi; xor ax,ax */
	assert_int_equal(result(a), a & ~0xffffull);
	WALK("\x0f\xb7\xc7\x48\x83\xe8\x01\xc3"); /* movzx eax,di; sub rax,1 */
	assert_int_equal(result(0x10000), UINT64_MAX);
	WALK("\x48\x63\xc7\xc3"); /* movsxd rax,edi */
	assert_int_equal(result(0x80000000), 0xffffffff80000000);
	WALK("\x48\xb8\x01\x00\x00\x00\x01\x00\x00\x00\x48\x0f\xaf\xc7\xc3");
	assert_int_equal(ev.n_ends, 1); /* imul: not known, and so is what is made of it */
	assert_false(mt_eval_depends(&ev, ev.ends[0].result, arg(0)));
}

static void stack(void **state)
{
	(void)state;
	/* push rbp; mov rbp,rsp; mov [rbp-8],rdi; mov rax,[rbp-8]; leave; ret */
	WALK("\x55\x48\x89\xe5\x48\x89\x7d\xf8\x48\x8b\x45\xf8\xc9\xc3");
	assert_int_equal(result(5), 5);
	/* a store over half of it: mov dword [rbp-4],0 */
	WALK("\x55\x48\x89\xe5\x48\x89\x7d\xf8\xc7\x45\xfc\x00\x00\x00\x00\x48\x8b\x45\xf8\xc9"
	     "\xc3");
	assert_int_equal(ev.nodes[ev.ends[0].result].op, MT_EVAL_OTHER);
	/* and away from the stack: mov [rdi],rsi may change anything */
	WALK("\x48\x89\x37\x48\x8b\x07\xc3");
	assert_int_equal(ev.n_ends, 1);
	assert_int_equal(ev.ends[0].exit, MT_EVAL_LOST);
}

/* lea rax,[rip+0x100]; mov rax,[rax+rdi*8+0x10] */
static void loads(void **state)
{
	struct mt_eval_bind bind;
	uint64_t v;
	uint16_t load;

	(void)state;
	WALK("\x48\x8d\x05\x00\x01\x00\x00\x48\x8b\x44\xf8\x10\xc3");
	load = mt_eval_only_load(&ev, ev.ends[0].result);
	assert_int_equal(load, ev.ends[0].result);
	assert_int_equal(ev.nodes[load].value, 8);
	bind = (struct mt_eval_bind){arg(0), 3};
	assert_true(mt_eval_value(&ev, ev.nodes[load].a, &bind, 1, &v));
	assert_int_equal(v, BASE + 7 + 0x100 + 0x10 + 24);
	assert_false(mt_eval_value(&ev, load, &bind, 1, &v)); /* not bound */
	assert_true(mt_eval_depends(&ev, load, arg(0)));
	/* mov rax,[rdi]; add rax,[rsi]: two loads */
	WALK("\x48\x8b\x07\x48\x03\x06\xc3");
	assert_int_equal(mt_eval_only_load(&ev, ev.ends[0].result), 0);
	/* mov rax,fs:[0]: not memory that is known */
	WALK("\x64\x48\x8b\x04\x25\x00\x00\x00\x00\xc3");
	assert_int_equal(ev.n_ends, 1);
}

static uint64_t returned_as(uint64_t a, uint64_t b)
{
	const struct mt_eval_bind binds[] = {{arg(0), a}, {arg(1), b}};
	size_t found = ev.n_ends;
	uint64_t v = 0;

	for (size_t i = 0; i < ev.n_ends; i++) {
		bool holds = true, all = true;

		for (size_t k = 0; k < ev.ends[i].n_conds; k++) {
			assert_true(mt_eval_cond(&ev, &ev.ends[i].conds[k], binds, 2, &holds));
			all = all && holds;
		}
		if (!all)
			continue;
		assert_int_equal(found, ev.n_ends); /* one path only */
		found = i;
		assert_true(mt_eval_value(&ev, ev.ends[i].result, binds, 2, &v));
	}
	assert_true(found < ev.n_ends);
	return v;
}

static uint64_t returned(uint64_t a)
{
	return returned_as(a, 0);
}

static void decisions(void **state)
{
	static const struct {
		uint8_t jcc;
		uint64_t below, same, above; /* 1 where the jump is taken */
	} cases[] = {
		{0x74, 0, 1, 0}, {0x75, 1, 0, 1}, {0x72, 1, 0, 0},
		{0x73, 0, 1, 1}, {0x76, 1, 1, 0}, {0x77, 0, 0, 1},
	};
	/* xor eax,eax; cmp rdi,0x7f; jcc over: ret; over: mov eax,1; ret */
	uint8_t code[] = "\x31\xc0\x48\x83\xff\x7f\x74\x01\xc3\xb8\x01\x00\x00\x00\xc3";

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		code[6] = cases[i].jcc;
		assert_int_equal(walk(code, sizeof(code) - 1), 0);
		assert_int_equal(ev.n_ends, 2);
		assert_int_equal(returned(0x7e), cases[i].below);
		assert_int_equal(returned(0x7f), cases[i].same);
		assert_int_equal(returned(0x80), cases[i].above);
	}
	/* test dil,4; je: one bit */
	WALK("\x31\xc0\x40\xf6\xc7\x04\x74\x01\xc3\xb8\x01\x00\x00\x00\xc3");
	assert_int_equal(returned(4), 0);
	assert_int_equal(returned(~4ull), 1);
	/* bt edi,3; jb: the same by another name */
	WALK("\x31\xc0\x0f\xba\xe7\x03\x72\x01\xc3\xb8\x01\x00\x00\x00\xc3");
	assert_int_equal(returned(8), 1);
	assert_int_equal(returned(~8ull), 0);
	/* but je does not ask for the carry */
	WALK("\x31\xc0\x0f\xba\xe7\x03\x74\x01\xc3\xb8\x01\x00\x00\x00\xc3");
	assert_int_equal(ev.ends[0].n_conds, 0);
	/* cmp edi,5; setb al; movzx eax,al */
	WALK("\x83\xff\x05\x0f\x92\xc0\x0f\xb6\xc0\xc3");
	assert_int_equal(returned(4), 1);
	assert_int_equal(returned(5), 0);
	/* mov rax,rdi; cmp rdi,rsi; cmova eax,esi: 32 bits are cut either way */
	WALK("\x48\x89\xf8\x48\x83\xff\x05\x0f\x47\xc6\xc3");
	assert_int_equal(ev.n_ends, 2);
	assert_int_equal(returned_as(1ull << 63 | 3, 9), 9);
	assert_int_equal(returned_as(4, 9), 4);
	/* what is known decides: xor eax,eax; je */
	WALK("\x31\xc0\x74\x01\xcc\xc3");
	assert_int_equal(ev.n_ends, 1);
	/* the carry of a shift is not that of a comparison */
	WALK("\x48\xd1\xef\x72\x01\xc3\xc3");
	assert_int_equal(ev.n_ends, 2);
	assert_int_equal(ev.ends[0].n_conds + ev.ends[1].n_conds, 0);
}

static void leaving(void **state)
{
	(void)state;
	/* xor esi,esi; jmp outside */
	WALK("\x31\xf6\xe9\x00\x01\x00\x00");
	assert_int_equal(ev.n_ends, 1);
	assert_int_equal(ev.ends[0].exit, MT_EVAL_JUMP);
	assert_int_equal(ev.ends[0].target, BASE + 7 + 0x100);
	assert_int_equal(ev.ends[0].args[0], arg(0));
	assert_int_equal(ev.nodes[ev.ends[0].args[1]].op, MT_EVAL_CONST);
	/* call; ret: the result is not known, rdi is gone */
	WALK("\xe8\x00\x01\x00\x00\xc3");
	assert_int_equal(ev.ends[0].exit, MT_EVAL_RET);
	assert_int_equal(ev.ends[0].target, BASE + 5 + 0x100);
	assert_int_equal(ev.ends[0].args[0], arg(0));
	assert_int_equal(ev.nodes[ev.ends[0].result].op, MT_EVAL_OTHER);
	/* past the end without a return; a byte that is no instruction */
	WALK("\x90");
	assert_int_equal(ev.ends[0].exit, MT_EVAL_LOST);
	WALK("\x06\xc3");
	assert_int_equal(ev.ends[0].exit, MT_EVAL_LOST);
}

static void bounds(void **state)
{
	struct mt_place_request rq = {.text = text, .text_len = 16, .text_addr = BASE};
	uint8_t many[130];

	(void)state;
	/* jmp to itself ends, and so do more paths than fit */
	assert_int_equal(walk("\xeb\xfe", 2), 0);
	assert_int_equal(ev.ends[0].exit, MT_EVAL_LOST);
	for (size_t i = 0; i < sizeof(many); i += 2) {
		many[i] = 0x78; /* js +0: a condition that is not known */
		many[i + 1] = 0;
	}
	assert_int_equal(walk(many, sizeof(many)), -E2BIG);
	rq.entry = BASE + 8;
	rq.size = 9;
	assert_int_equal(mt_eval_run(&rq, &ev), -EINVAL);
	rq.size = 0;
	assert_int_equal(mt_eval_run(&rq, &ev), -EINVAL);
	rq.entry = BASE - 1;
	rq.size = 1;
	assert_int_equal(mt_eval_run(&rq, &ev), -EINVAL);
}

static void names(void **state)
{
	/* lea rax,[rip+0x10]; mov rax,[rdi*8+0x1234]; ret */
	static const char code[] =
		"\x48\x8d\x05\x10\x00\x00\x00\x48\x8b\x04\xfd\x34\x12\x00\x00\xc3";
	struct mt_place_request rq = {
		.text = (const uint8_t *)code,
		.text_len = sizeof(code) - 1,
		.text_addr = BASE,
		.entry = BASE,
		.size = sizeof(code) - 1,
	};

	(void)state;
	assert_true(mt_eval_names_address(&rq, BASE + 0x17, BASE + 0x18));
	assert_false(mt_eval_names_address(&rq, BASE + 0x18, BASE + 0x100));
	assert_true(mt_eval_names_address(&rq, 0x1200, 0x1300));
	rq.size = 7;
	assert_false(mt_eval_names_address(&rq, 0x1200, 0x1300));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arithmetic), cmocka_unit_test(stack),   cmocka_unit_test(loads),
		cmocka_unit_test(decisions),  cmocka_unit_test(leaving), cmocka_unit_test(bounds),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
