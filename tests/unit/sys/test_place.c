/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "sys/place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BASE  0x1000u
#define V618  0x061200u
#define V61   0x060100u
#define ENTRY 0x100u /* offset of the function in the text */

static uint8_t text[0x400];
static uint64_t starts[3];

/* A text of one-byte returns with the function in the middle. */
static struct mt_place_request make(const void *code, size_t len, unsigned int args)
{
	memset(text, 0xc3, sizeof(text));
	memcpy(text + ENTRY, code, len);
	starts[0] = BASE;
	starts[1] = BASE + ENTRY;
	starts[2] = BASE + ENTRY + 0x80;
	return (struct mt_place_request){
		.text = text,
		.text_len = sizeof(text),
		.text_addr = BASE,
		.entry = BASE + ENTRY,
		.size = 0x80,
		.starts = starts,
		.n_starts = 3,
		.args = args,
		.kernel = V618,
	};
}

#define CODE(s) s, sizeof(s) - 1

static void expect(const struct mt_place_request *rq, uint32_t skip, enum mt_step step)
{
	struct mt_place p;

	memset(&p, 0xff, sizeof(p));
	assert_int_equal(mt_place(rq, &p), 0);
	assert_int_equal(p.skip, skip);
	assert_int_equal(p.addr, rq->entry + skip);
	assert_int_equal(p.step, step);
	assert_non_null(p.why);
	assert_true(memchr(p.insn, 0, sizeof(p.insn)) != NULL && p.insn[0] != '\0');
}

static void test_push_first(void **state)
{
	struct mt_place_request rq = make(CODE("\x41\x54\x55\x53"), 3);
	struct mt_place p;

	(void)state;
	expect(&rq, 0, MT_STEP_EMULATED);
	assert_int_equal(mt_place(&rq, &p), 0);
	assert_string_equal(p.insn, "push r12");
	rq.kernel = 0x040f00; /* 4.15 knows no push */
	expect(&rq, 0, MT_STEP_SINGLE);
}

/* glibc's free: test %rdi,%rdi; je. */
static void test_test_je(void **state)
{
	struct mt_place_request rq = make(CODE("\x48\x85\xff\x0f\x84\x40\x00\x00\x00\x55"), 1);

	(void)state;
	expect(&rq, 3, MT_STEP_EMULATED);
	rq = make(CODE("\x48\x85\xff\x74\x10\x55"), 1);
	expect(&rq, 3, MT_STEP_EMULATED);
}

static void test_endbr64(void **state)
{
	struct mt_place_request rq = make(CODE("\xf3\x0f\x1e\xfa\x55"), 1);

	(void)state;
	expect(&rq, 4, MT_STEP_EMULATED);
	/* A patchable entry: endbr64; nop5. Older kernels step it, and go on to the push. */
	rq = make(CODE("\xf3\x0f\x1e\xfa\x0f\x1f\x44\x00\x00\x55"), 1);
	expect(&rq, 4, MT_STEP_EMULATED);
	rq.kernel = V61;
	expect(&rq, 9, MT_STEP_EMULATED);
}

static void test_argument_written(void **state)
{
	/* mov edi, 1; push rbp */
	struct mt_place_request rq = make(CODE("\xbf\x01\x00\x00\x00\x55"), 1);

	(void)state;
	expect(&rq, 0, MT_STEP_SINGLE);
	rq.args = 0;
	expect(&rq, 5, MT_STEP_EMULATED);
	/* mov dil, 1: a part of it */
	rq = make(CODE("\x40\xb7\x01\x55"), 1);
	expect(&rq, 0, MT_STEP_SINGLE);
	/* mov rax, rsi; mul rdx; jo: mul writes rdx, which no operand shows */
	rq = make(CODE("\x48\x89\xf0\x48\xf7\xe2\x70\x10"), 3);
	expect(&rq, 0, MT_STEP_SINGLE);
	rq.args = 2;
	expect(&rq, 6, MT_STEP_EMULATED);
	/* xchg rdi, rax */
	rq = make(CODE("\x48\x97\x55"), 1);
	expect(&rq, 0, MT_STEP_SINGLE);
	/* rep stosq moves rdi */
	rq = make(CODE("\xf3\x48\xab\x55"), 1);
	expect(&rq, 0, MT_STEP_SINGLE);
	/* Reading it is fine: mov rax, rdi; push */
	rq = make(CODE("\x48\x89\xf8\x55"), 1);
	expect(&rq, 3, MT_STEP_EMULATED);
}

static void test_stack_pointer(void **state)
{
	/* sub rsp, 8; push rbp: also for a return probe */
	struct mt_place_request rq = make(CODE("\x48\x83\xec\x08\x55"), 0);

	(void)state;
	expect(&rq, 0, MT_STEP_SINGLE);
	/* pop rax; push rax */
	rq = make(CODE("\x58\x50"), 0);
	expect(&rq, 0, MT_STEP_SINGLE);
	/* push imm8 is single-stepped and moves rsp */
	rq = make(CODE("\x6a\x01\x55"), 0);
	expect(&rq, 0, MT_STEP_SINGLE);
}

static void test_line_ends(void **state)
{
	/* test; jrcxz, which is no emulated branch */
	struct mt_place_request rq = make(CODE("\x48\x85\xff\xe3\x02\x55"), 0);

	(void)state;
	expect(&rq, 0, MT_STEP_SINGLE);
	/* mov; ret; push */
	rq = make(CODE("\x89\xf8\xc3\x55"), 0);
	expect(&rq, 0, MT_STEP_SINGLE);
	/* an indirect call */
	rq = make(CODE("\xff\xd0\x55"), 0);
	expect(&rq, 0, MT_STEP_SINGLE);
	/* a direct call is emulated, and probed before it happens */
	rq = make(CODE("\x89\xf8\xe8\x00\x00\x00\x00\x55"), 0);
	expect(&rq, 2, MT_STEP_EMULATED);
	/* syscall */
	rq = make(CODE("\x0f\x05\x55"), 0);
	expect(&rq, 0, MT_STEP_SINGLE);
	/* not an instruction */
	rq = make(CODE("\x06\x55"), 0);
	expect(&rq, 0, MT_STEP_SINGLE);
}

static void test_too_far(void **state)
{
	uint8_t code[40];
	struct mt_place_request rq;

	(void)state;
	for (size_t i = 0; i + 1 < sizeof(code); i += 2) /* mov eax, edi */
		code[i] = 0x89, code[i + 1] = 0xf8;
	code[32] = 0x55;
	rq = make(code, sizeof(code), 0);
	expect(&rq, 32, MT_STEP_EMULATED);
	code[32] = 0x89;
	code[34] = 0x55;
	rq = make(code, sizeof(code), 0);
	expect(&rq, 0, MT_STEP_SINGLE);
}

static void test_size(void **state)
{
	struct mt_place_request rq = make(CODE("\x89\xf8\x55"), 0);

	(void)state;
	rq.size = 2; /* the push is another function's */
	expect(&rq, 0, MT_STEP_SINGLE);
	rq.size = 1; /* cut inside an instruction */
	expect(&rq, 0, MT_STEP_SINGLE);
	rq.size = UINT64_MAX;
	expect(&rq, 2, MT_STEP_EMULATED);
	rq = make(CODE("\x89\xf8\x41\x54"), 0); /* half a push */
	rq.size = 3;
	expect(&rq, 0, MT_STEP_SINGLE);
	rq = make(CODE("\x89\xf8\x55"), 0);
	rq.size = 0;
	expect(&rq, 2, MT_STEP_EMULATED);
	starts[2] = rq.entry + 2; /* unknown size: to the next function */
	expect(&rq, 0, MT_STEP_SINGLE);
	rq = make(CODE("\xc3"), 0);
	rq.size = 1;
	expect(&rq, 0, MT_STEP_SINGLE);
}

static void test_text_ends(void **state)
{
	struct mt_place_request rq = make(CODE("\x48\x85\xff\x74\x10"), 1);

	(void)state;
	rq.size = 0;
	rq.starts = NULL;
	for (size_t len = ENTRY + 1; len < ENTRY + 5; len++) {
		rq.text_len = len;
		expect(&rq, 0, MT_STEP_SINGLE);
	}
	rq.text_len = ENTRY + 5;
	expect(&rq, 3, MT_STEP_EMULATED);
	rq.text_len = ENTRY;
	assert_int_equal(mt_place(&rq, &(struct mt_place){0}), -EINVAL);
	rq.text_len = sizeof(text);
	rq.entry = BASE - 1;
	assert_int_equal(mt_place(&rq, &(struct mt_place){0}), -EINVAL);
}

static void put_rel32(size_t at, const char *opcode, size_t n, uint64_t target)
{
	int32_t disp = (int32_t)(target - (BASE + at + n + 4));

	memcpy(text + at, opcode, n);
	memcpy(text + at + n, &disp, 4);
}

/* Any branch of the text into the skipped part makes the entry the place. */
static void test_branch_rel32(void **state)
{
	static const struct {
		const char *opcode;
		size_t n;
	} branches[] = {{"\xe9", 1}, {"\xe8", 1}, {"\x0f\x84", 2}, {"\x0f\x8f", 2}};

	(void)state;
	for (size_t k = 0; k < sizeof(branches) / sizeof(branches[0]); k++) {
		struct mt_place_request rq = make(CODE("\x48\x85\xff\x89\xf8\x74\x10\x55"), 1);

		expect(&rq, 5, MT_STEP_EMULATED);
		put_rel32(0x300, branches[k].opcode, branches[k].n, rq.entry + 5);
		expect(&rq, 0, MT_STEP_SINGLE);
		put_rel32(0x300, branches[k].opcode, branches[k].n, rq.entry + 3);
		expect(&rq, 0, MT_STEP_SINGLE);
		put_rel32(0x300, branches[k].opcode, branches[k].n, rq.entry);
		expect(&rq, 5, MT_STEP_EMULATED);
		put_rel32(0x300, branches[k].opcode, branches[k].n, rq.entry + 7);
		expect(&rq, 5, MT_STEP_EMULATED);
		put_rel32(0, branches[k].opcode, branches[k].n, rq.entry + 5);
		expect(&rq, 0, MT_STEP_SINGLE);
	}
}

static void test_branch_rel8(void **state)
{
	static const uint8_t opcodes[] = {0x74, 0x7f, 0xeb, 0xe2};

	(void)state;
	for (size_t k = 0; k < sizeof(opcodes); k++) {
		struct mt_place_request rq = make(CODE("\x48\x85\xff\x74\x10\x55"), 1);

		/* From behind, as far as it goes, and from before. */
		text[ENTRY + 0x40] = opcodes[k];
		text[ENTRY + 0x41] = (uint8_t)(3 - 0x42);
		expect(&rq, 0, MT_STEP_SINGLE);
		text[ENTRY + 0x41] = (uint8_t)(0 - 0x42);
		expect(&rq, 3, MT_STEP_EMULATED);
		rq = make(CODE("\x48\x85\xff\x74\x10\x55"), 1);
		text[ENTRY + 3 - 129] = opcodes[k];
		text[ENTRY + 3 - 128] = 127;
		expect(&rq, 0, MT_STEP_SINGLE);
		rq = make(CODE("\x48\x85\xff\x74\x10\x55"), 1);
		text[ENTRY + 3 + 126] = opcodes[k];
		text[ENTRY + 3 + 127] = 0x80;
		expect(&rq, 0, MT_STEP_SINGLE);
	}
}

/* Bytes that look like a branch inside another instruction are none. */
static void test_chance_bytes(void **state)
{
	struct mt_place_request rq = make(CODE("\x48\x85\xff\x74\x10\x55"), 1);

	(void)state;
	/* mov eax, imm32 with "jz entry+3" in the immediate */
	memcpy(text + ENTRY + 0x20, "\xb8\x74\x00\x00\x00", 5);
	text[ENTRY + 0x22] = (uint8_t)(3 - 0x23);
	expect(&rq, 3, MT_STEP_EMULATED);
	rq.starts = NULL; /* the function itself is where decoding begins */
	expect(&rq, 3, MT_STEP_EMULATED);
	/* movabs rax with "jmp rel32 entry+3" in it */
	memcpy(text + ENTRY + 0x30, "\x48\xb8\x00\x00\x00\x00\x00\x00\x00\x00", 10);
	put_rel32(ENTRY + 0x33, "\xe9", 1, rq.entry + 3);
	expect(&rq, 3, MT_STEP_EMULATED);
	/* Nothing to decode from: better a bad place than a wrong one. */
	rq = make(CODE("\x48\x85\xff\x74\x10\x55"), 1);
	rq.starts = NULL;
	memcpy(text + 0x10, "\xb8\xe9\x00\x00\x00", 5);
	put_rel32(0x11, "\xe9", 1, rq.entry + 3);
	expect(&rq, 0, MT_STEP_SINGLE);
}

static void test_jump_table(void **state)
{
	/* test; jz +0x10; movsxd rax, [rdx+rax*4]; add rax, rdx; jmp rax */
	struct mt_place_request rq =
		make(CODE("\x48\x85\xff\x74\x10\x48\x63\x04\x82\x48\x01\xd0\xff\xe0"), 1);

	(void)state;
	expect(&rq, 0, MT_STEP_SINGLE);
	/* jmp rax without a table: a tail call */
	rq = make(CODE("\x48\x85\xff\x74\x10\xff\xe0"), 1);
	expect(&rq, 3, MT_STEP_EMULATED);
	/* jmp [rax*8+4096] */
	rq = make(CODE("\x48\x85\xff\x74\x10\xff\x24\xc5\x00\x10\x00\x00"), 1);
	expect(&rq, 0, MT_STEP_SINGLE);
}

static void test_batch(void **state)
{
	struct mt_place_request rq[40];
	struct mt_place p[40];

	(void)state;
	rq[0] = make(CODE("\x48\x85\xff\x74\x10\x55"), 1);
	memcpy(text + 0x200, "\x89\xf8\x55", 3);
	put_rel32(0x300, "\xe9", 1, BASE + 0x202);
	for (size_t i = 1; i < 40; i++) {
		rq[i] = rq[0];
		rq[i].entry = i % 2 ? BASE + 0x200 : BASE + ENTRY;
	}
	assert_int_equal(mt_place_batch(rq, 40, p), 0);
	for (size_t i = 0; i < 40; i++) {
		assert_int_equal(p[i].skip, i % 2 ? 0 : 3);
		assert_int_equal(p[i].step, i % 2 ? MT_STEP_SINGLE : MT_STEP_EMULATED);
	}
	rq[39].entry = 0;
	assert_int_equal(mt_place_batch(rq, 40, p), -EINVAL);
	assert_int_equal(mt_place_batch(rq, 0, p), 0);
}

static void test_forwards(void **state)
{
	struct mt_place_request rq = make(CODE("\xe9\x00\x00\x00\x00"), 1);
	uint64_t to;
	bool slot;

	(void)state;
	assert_true(mt_place_forwards_to(&rq, rq.entry + 5));
	assert_false(mt_place_forwards_to(&rq, rq.entry + 6));
	rq = make(CODE("\xf3\x0f\x1e\xfa\xeb\x10"), 1);
	assert_true(mt_place_forwards_to(&rq, rq.entry + 6 + 0x10));
	/* jz is no forwarding, nor is a changed argument */
	rq = make(CODE("\x74\x10"), 1);
	assert_false(mt_place_forwards_to(&rq, rq.entry + 2 + 0x10));
	rq = make(CODE("\x31\xff\xeb\x10"), 1);
	assert_false(mt_place_forwards_to(&rq, rq.entry + 4 + 0x10));
	/* a PLT entry: endbr64; bnd jmp [rip+0x10] */
	rq = make(CODE("\xf3\x0f\x1e\xfa\xf2\xff\x25\x10\x00\x00\x00"), 1);
	assert_false(mt_place_forwards_to(&rq, rq.entry + 11 + 0x10));
	assert_true(mt_place_jump(&rq, &to, &slot));
	assert_true(slot);
	assert_int_equal(to, rq.entry + 11 + 0x10);
	rq = make(CODE("\xff\xe0"), 1); /* jmp rax: who knows where */
	assert_false(mt_place_jump(&rq, &to, &slot));
}

static void test_emulated_lengths(void **state)
{
	(void)state;
	assert_true(mt_place_emulated((const uint8_t *)"\x90", 1, V61));
	assert_false(mt_place_emulated((const uint8_t *)"\x0f\x1f\x00", 3, V61));
	assert_true(mt_place_emulated((const uint8_t *)"\x0f\x1f\x00", 3, V618));
	assert_false(mt_place_emulated((const uint8_t *)"\x48\x55", 2, V618));
	assert_false(mt_place_emulated((const uint8_t *)"\x66\xe8\x00\x00\x00\x00", 6, V618));
	assert_false(mt_place_emulated((const uint8_t *)"\x50", 0, V618));
	assert_false(mt_place_emulated((const uint8_t *)"\x90", 1, 0));
	assert_true(mt_kernel_version() >= 0x040000);
}

/* A jump to the function's entry at offset at of the text. */
static void jump_at(size_t at, bool near)
{
	const size_t end = at + (near ? 2 : 5);
	const int32_t disp = (int32_t)ENTRY - (int32_t)end;

	text[at] = near ? 0xeb : 0xe9;
	memcpy(text + at + 1, &disp, near ? 1 : 4);
}

static size_t jumps(const struct mt_place_request *rq, struct mt_place *p, size_t max)
{
	return mt_place_jumps(rq, BASE, BASE + sizeof(text), p, max);
}

static void test_jumps_found(void **state)
{
	struct mt_place_request rq = make(CODE("\x90"), 1);
	struct mt_place p[8];

	(void)state;
	assert_int_equal(jumps(&rq, p, 8), 0);
	jump_at(0x90, true);
	jump_at(0x300, false);
	text[0x320] = 0xf2; /* bnd */
	jump_at(0x321, false);
	jump_at(sizeof(text) - 5, false);
	assert_int_equal(jumps(&rq, p, 8), 4);
	assert_int_equal(p[0].addr, BASE + 0x90);
	assert_int_equal(p[1].addr, BASE + 0x300);
	assert_int_equal(p[2].addr, BASE + 0x320);
	assert_int_equal(p[3].addr, BASE + sizeof(text) - 5);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(p[i].skip, 0);
		assert_int_equal(p[i].step, MT_STEP_EMULATED);
		assert_non_null(strstr(p[i].insn, "jmp 0x0000000000001100"));
	}
	assert_int_equal(jumps(&rq, p, 2), 2);
	assert_int_equal(mt_place_jumps(&rq, BASE + 0x91, BASE + 0x300, p, 8), 0);
	assert_int_equal(mt_place_jumps(&rq, BASE + 0x91, BASE + 0x301, p, 8), 1);
	assert_int_equal(mt_place_jumps(&rq, 0, BASE, p, 8), 0);
	assert_int_equal(mt_place_jumps(&rq, BASE + 0x90, UINT64_MAX, p, 8), 4);
}

/* A breakpoint there would break the target: only what is shown to be a jump. */
static void test_jumps_refused(void **state)
{
	struct mt_place_request rq = make(CODE("\x90"), 1);
	struct mt_place p[8];

	(void)state;
	memcpy(text + 0x200, "\x48\xb8", 2); /* mov rax, imm64 */
	jump_at(0x202, false);
	jump_at(0x210, false);
	text[0x210] = 0xe8; /* call */
	jump_at(0x221, false);
	memcpy(text + 0x220, "\x0f\x84", 2); /* je */
	jump_at(0x230, false);
	text[0x231]++; /* past the entry */
	assert_int_equal(jumps(&rq, p, 8), 0);
	/* behind what cannot be decoded, where nothing says what it is */
	jump_at(0x250, false);
	assert_int_equal(jumps(&rq, p, 8), 1);
	text[0x240] = 0x06;
	assert_int_equal(jumps(&rq, p, 8), 0);
	text[sizeof(text) - 1] = 0xe9;
	assert_int_equal(jumps(&rq, p, 8), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_push_first),    cmocka_unit_test(test_test_je),
		cmocka_unit_test(test_endbr64),       cmocka_unit_test(test_argument_written),
		cmocka_unit_test(test_stack_pointer), cmocka_unit_test(test_line_ends),
		cmocka_unit_test(test_too_far),       cmocka_unit_test(test_size),
		cmocka_unit_test(test_text_ends),     cmocka_unit_test(test_branch_rel32),
		cmocka_unit_test(test_branch_rel8),   cmocka_unit_test(test_chance_bytes),
		cmocka_unit_test(test_jump_table),    cmocka_unit_test(test_batch),
		cmocka_unit_test(test_forwards),      cmocka_unit_test(test_emulated_lengths),
		cmocka_unit_test(test_jumps_found),   cmocka_unit_test(test_jumps_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
