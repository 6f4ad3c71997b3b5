/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where functions are left: shapes that compilers make, in this very program. */
#include "sys/exits.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "abi.h"
#include "base/cleanup.h"

/* Each instruction that must have a probe has a label: NAME_x, an exit; NAME_t, a tail. */
#define FUNC(name, text)                                                                           \
	__asm__(".text\n.globl " #name "\n.type " #name ",@function\n.p2align 4\n" #name           \
		":\n" text ".size " #name ", .-" #name "\n")
#define AT(label) ".globl " #label "\n.type " #label ",@object\n" #label ":\n"

FUNC(e_simple, "push %rbx\n test %edi,%edi\n je 1f\n pop %rbx\n" AT(
		       e_simple_x1) "ret\n"
				    "1: pop %rbx\n" AT(e_simple_x2) "repz ret\n");
/* to another function of the file, whose return is its own */
FUNC(e_other, "nop\n" AT(e_other_x) "ret\n");
FUNC(e_follow, "push %rax\n pop %rax\n jmp e_other\n");
/* a part that stands elsewhere, come to by a conditional jump, and back */
FUNC(e_far, "test %edi,%edi\n jne 1f\n" AT(e_far_x1) "2: ret\n .pushsection .text.unlikely\n"
						     "1: cmp $1,%edi\n je 2b\n" AT(
							     e_far_x2) "ret\n .popsection\n");
/* through a pointer */
FUNC(e_pointer, "mov %rdi,%rax\n" AT(e_pointer_t) "jmp *%rax\n");
FUNC(e_slot, AT(e_slot_t) "jmp *e_pointers(%rip)\n");
/* through a table of its own: relative entries, with a frame and without */
FUNC(e_table,
     "lea 9f(%rip),%rdx\n movslq (%rdx,%rdi,4),%rax\n add %rdx,%rax\n jmp *%rax\n"
     "1:" AT(e_table_x1) "ret\n2: nop\n" AT(e_table_x2) "ret\n"
							".pushsection .rodata\n .p2align 2\n9: "
							".long 1b-9b, 2b-9b\n .popsection\n");
FUNC(e_frame, "push %rbp\n mov %rsp,%rbp\n sub $32,%rsp\n mov (%rsi,%rdi,8),%rax\n"
	      "jmp *%rax\n1: leave\n" AT(e_frame_x) "ret\n");
/* what is on the stack is not understood: the jump may be either */
FUNC(e_odd, "push %rbx\n test %edi,%edi\n je 1f\n" AT(e_odd_t) "jmp *%rax\n1:" AT(e_odd_x) "ret\n");
FUNC(e_labels, "push %rbx\n lea e_pointers(%rip),%rdx\n jmp *(%rdx,%rdi,8)\n"
	       "1: pop %rbx\n" AT(e_labels_x) "ret\n");
/* through an array of functions, as a table of labels is, but nothing is on the stack */
FUNC(e_array, "lea e_pointers(%rip),%rdx\n" AT(e_array_t) "jmp *(%rdx,%rdi,8)\n");
FUNC(e_notrack, "mov (%rsi,%rdi,8),%rax\n notrack jmp *%rax\n1:" AT(e_notrack_x) "ret\n");
/* a tail jump behind an epilogue by lea, a frame that was aligned */
FUNC(e_lea, "push %rbp\n mov %rsp,%rbp\n push %r12\n and $-32,%rsp\n lea -8(%rbp),%rsp\n"
	    " pop %r12\n pop %rbp\n" AT(e_lea_t) "jmp *%rax\n");
/* back to the entry */
FUNC(e_again, "dec %edi\n" AT(e_again_a) "jne e_again\n" AT(e_again_x) "ret\n");
FUNC(e_never, "call e_other\n 1: jmp 1b\n");
FUNC(e_lock, "lock incl (%rdi)\n mov %edi,%eax\n" AT(e_lock_x) "ret\n");
FUNC(e_lock_loop, "lock incl (%rdi)\n1: dec %edi\n jne 1b\n ret\n");
/* to another function, which jumps through a table: its returns are not all known */
FUNC(e_to_table, "push %rax\n pop %rax\n" AT(e_to_table_t) "jmp e_table\n");
FUNC(e_to_notrack, "push %rax\n pop %rax\n" AT(e_to_notrack_t) "jmp e_notrack\n");
/* data that make what stands behind them look like returns within instructions */
FUNC(e_data, "lea 9f(%rip),%rdx\n movslq (%rdx,%rdi,4),%rax\n add %rdx,%rax\n jmp *%rax\n"
	     " .byte 0x48, 0xb8\n1: .fill 7, 1, 0x90\n mov $0xc3c3c3c3,%eax\n dec %edi\n"
	     " jne 1b\n ret\n .pushsection .rodata\n .p2align 2\n9: .long 1b-9b\n .popsection\n");
/* a jump past a prefix is none of those */
FUNC(e_prefix, "mov (%rsi,%rdi,8),%rax\n notrack jmp *%rax\n je 2f\n1: lock\n"
	       "2: cmpxchg %ecx,(%rdi)\n jne 1b\n" AT(e_prefix_x) "ret\n");
/* a stack as deep as no number is */
FUNC(e_deep, "sub $-0x80000000,%rsp\n1: jne 1b\n jne 1b\n sub $0x7fffffff,%rsp\n"
	     " sub $0x7fffffff,%rsp\n sub $0x7fffffff,%rsp\n" AT(e_deep_x) "ret\n");
FUNC(e_bad, ".byte 0x06\n ret\n");

void e_other(void);
void (*e_pointers[2])(void) = {e_other, e_other};

static struct mt_elf *elf;
static struct mt_exits e;

/* The link-time address of a label. */
static uint64_t label(const char *name)
{
	uint64_t addr = 0;

	mt_elf_find_objects(elf, &name, 1, &addr);
	return addr;
}

static uint32_t kind_at(const char *name)
{
	for (size_t i = 0; i < e.n; i++)
		if (e.v[i].place.addr == label(name))
			return e.v[i].kind;
	return 0;
}

static int find(const char *name)
{
	struct mt_exits_of of = {0};
	struct mt_sym sym;

	assert_int_equal(mt_elf_find_func(elf, name, &sym), 0);
	of.addr = sym.addr;
	of.size = sym.size;
	return mt_exits_find(elf, &of, mt_kernel_version(), &e);
}

/* What stands at the labels of that name is all that there is. */
static void check(const char *name, size_t n)
{
	static const struct {
		const char *suffix;
		uint32_t kind;
	} v[] = {{"_x", MT_FUNC_EXIT},
		 {"_x1", MT_FUNC_EXIT},
		 {"_x2", MT_FUNC_EXIT},
		 {"_t", MT_FUNC_TAIL},
		 {"_a", MT_FUNC_AGAIN}};
	int r = find(name);

	if (r)
		fail_msg("%s: %d", name, r);
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		char at[64];

		snprintf(at, sizeof(at), "%s%s", name, v[i].suffix);
		if (label(at) && !(kind_at(at) & v[i].kind))
			fail_msg("%s has kind %x", at, kind_at(at));
	}
	if (e.n != n)
		fail_msg("%s has %zu probes", name, e.n);
	assert_true(e.v[0].kind & MT_FUNC_ENTRY);
	for (size_t i = 0; i < e.n; i++)
		assert_true(e.v[i].offset != 0);
}

static void test_returns(void **state)
{
	(void)state;
	check("e_simple", 3);
	check("e_far", 3);
	assert_false(e.tails);
}

static void test_follows(void **state)
{
	(void)state;
	assert_int_equal(find("e_follow"), 0);
	assert_int_equal(kind_at("e_other_x"), MT_FUNC_EXIT);
	assert_int_equal(e.n, 2);
}

/* What has a table of its own ends where it is jumped to. */
static void test_follows_no_tables(void **state)
{
	(void)state;
	check("e_to_table", 2);
	assert_true(e.tails && e.cut);
	check("e_to_notrack", 2);
	assert_true(e.tails && e.cut);
}

/* An allocator's functions are not. */
static void test_stops(void **state)
{
	struct mt_exits_of of = {.n = 1};
	struct mt_sym sym, other;

	(void)state;
	assert_int_equal(mt_elf_find_func(elf, "e_follow", &sym), 0);
	assert_int_equal(mt_elf_find_func(elf, "e_other", &other), 0);
	of.addr = sym.addr;
	of.size = sym.size;
	of.stops = &other.addr;
	assert_int_equal(mt_exits_find(elf, &of, mt_kernel_version(), &e), 0);
	assert_true(e.tails);
	assert_int_equal(e.n, 2);
	assert_int_equal(e.v[1].kind, MT_FUNC_TAIL);
}

static void test_tails(void **state)
{
	(void)state;
	check("e_pointer", 2);
	assert_true(e.tails);
	check("e_slot", 1); /* the entry and the jump are one */
	assert_int_equal(e.v[0].kind, MT_FUNC_ENTRY | MT_FUNC_TAIL);
	check("e_array", 2);
	check("e_lea", 2);
}

static void test_tables(void **state)
{
	(void)state;
	check("e_table", 3);
	assert_false(e.tails);
	check("e_never", 1);
	check("e_frame", 2);
	check("e_odd", 3);
	check("e_labels", 2);
	check("e_notrack", 2);
}

static void test_again(void **state)
{
	(void)state;
	check("e_again", 2); /* the jump is where the entry is probed */
	assert_int_equal(e.v[0].kind, MT_FUNC_ENTRY | MT_FUNC_AGAIN);
}

static void test_refused(void **state)
{
	const struct mt_exits_of nowhere = {.addr = 1, .size = 10};

	(void)state;
	assert_int_equal(find("e_bad"), -EILSEQ);
	assert_int_equal(mt_exits_find(elf, &nowhere, mt_kernel_version(), &e), -ENOENT);
}

static void test_data(void **state)
{
	(void)state;
	assert_int_equal(find("e_data"), -EILSEQ);
	check("e_prefix", 2);
	check("e_deep", 2);
}

static void test_lock(void **state)
{
	(void)state;
	check("e_lock", 2);
	assert_int_equal(e.v[0].place.skip, 3);
	assert_int_equal(find("e_lock_loop"), -EOPNOTSUPP);
}

static void test_unwinders(void **state)
{
	MT_CLEANUP(mt_elf_free) struct mt_elf *gcc = NULL;

	(void)state;
	if (mt_elf_open("/lib/x86_64-linux-gnu/libgcc_s.so.1", &gcc))
		skip();
	assert_int_equal(mt_exits_unwind(gcc, mt_kernel_version(), &e), 0);
	assert_true(e.n >= 4);
	for (size_t i = 0; i < e.n; i++)
		assert_true(e.v[i].kind & MT_FUNC_UNWIND);
}

static int open_self(void **state)
{
	(void)state;
	return mt_elf_open("/proc/self/exe", &elf);
}

static int close_self(void **state)
{
	(void)state;
	mt_elf_free(&elf);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_returns),
		cmocka_unit_test(test_follows),
		cmocka_unit_test(test_tails),
		cmocka_unit_test(test_stops),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_again),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_lock),
		cmocka_unit_test(test_unwinders),
		cmocka_unit_test(test_data),
		cmocka_unit_test(test_follows_no_tables),
	};

	return cmocka_run_group_tests(tests, open_self, close_self);
}
