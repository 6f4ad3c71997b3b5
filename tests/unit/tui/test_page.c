/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <locale.h>

#include "tui/made.h"

static struct mt_page page;

static int blank(int cols, bool utf8)
{
	mt_page_fini(&page);
	return mt_page_init(&page, 2, cols, utf8);
}

static const char *text(int cols, const char *s)
{
	assert_int_equal(blank(cols, true), 0);
	mt_page_text(&page, 0, 0, cols, MT_STYLE_PLAIN, s);
	assert_string_equal(row(&page, 1), "");
	return row(&page, 0);
}

static void plain(void **state)
{
	(void)state;
	assert_string_equal(text(5, "abcde"), "abcde");
	assert_string_equal(text(4, "abcde"), "abc…");
	assert_string_equal(text(1, "ab"), "…");
	assert_string_equal(text(10, "café"), "café");
}

/* A wide character takes two columns, and none is cut in half. */
static void wide(void **state)
{
	(void)state;
	assert_string_equal(text(6, "日本語"), "日本語");
	assert_int_equal(mt_page_columns(&page, "日本語", 100), 6);
	assert_int_equal(mt_page_at(&page, 0, 1)->ch, 0);
	assert_string_equal(text(5, "日本語"), "日本…");
	assert_string_equal(text(4, "日本語"), "日…");
	assert_string_equal(text(2, "日本語"), "…");
	assert_int_equal(blank(4, true), 0);
	assert_int_equal(mt_page_text(&page, 0, 1, 2, MT_STYLE_PLAIN, "日"), 2);
	assert_int_equal(mt_page_at(&page, 0, 2)->ch, 0);
	assert_int_equal(mt_page_at(&page, 0, 3)->ch, ' ');
}

/* What could act on the terminal, and what would have no column of its own. */
static void hostile(void **state)
{
	(void)state;
	assert_string_equal(text(20, "\033[2J"), "\\x1b[2J");
	assert_string_equal(text(20, "\302\233m"), "\\xc2\\x9bm");
	assert_string_equal(text(20, "a\xff"), "a\\xff");
	assert_string_equal(text(20, "e\314\201"), "e\\xcc\\x81");
	assert_string_equal(text(30, "\342\200\256\342\200\213"), "\\xe2\\x80\\xae\\xe2\\x80\\x8b");
	assert_string_equal(text(20, "\t\n\r\177"), "\\x09\\x0a\\x0d\\x7f");
	/* an escape is not cut either */
	assert_string_equal(text(6, "abc\033"), "abc…");
}

static void clipped(void **state)
{
	(void)state;
	assert_int_equal(blank(4, true), 0);
	assert_int_equal(mt_page_text(&page, 0, 4, 9, MT_STYLE_PLAIN, "x"), 0);
	assert_int_equal(mt_page_text(&page, 0, -1, 9, MT_STYLE_PLAIN, "x"), 0);
	assert_int_equal(mt_page_text(&page, 0, 0, 0, MT_STYLE_PLAIN, "x"), 0);
	mt_page_text(&page, 5, 0, 4, MT_STYLE_PLAIN, "x");
	mt_page_text(&page, -1, 0, 4, MT_STYLE_PLAIN, "x");
	mt_page_style(&page, 0, -3, 100, MT_STYLE_BAR);
	mt_page_char(&page, 9, 9, MT_STYLE_BAR, 'x', 'x');
	assert_string_equal(row(&page, 0), "");
	assert_null(mt_page_at(&page, 0, 4));
	assert_null(mt_page_at(&page, 2, 0));
	/* sizes of no terminal */
	mt_page_fini(&page);
	assert_int_equal(mt_page_init(&page, 0, 1 << 30, true), 0);
	assert_int_equal(page.rows, 1);
	assert_int_equal(page.cols, MT_PAGE_MAX);
}

static void ascii(void **state)
{
	(void)state;
	assert_int_equal(blank(8, false), 0);
	mt_page_text(&page, 0, 0, 8, MT_STYLE_PLAIN, "日é\xff");
	mt_page_char(&page, 1, 0, MT_STYLE_PLAIN, 0x2588, '#');
	assert_string_equal(row(&page, 1), "#");
	assert_string_equal(row(&page, 0), "??\\xff");
	assert_int_equal(blank(3, false), 0);
	mt_page_text(&page, 0, 0, 3, MT_STYLE_PLAIN, "abcd");
	assert_string_equal(row(&page, 0), "ab~");
}

static void right(void **state)
{
	(void)state;
	assert_int_equal(blank(8, true), 0);
	mt_page_right(&page, 0, 1, 6, MT_STYLE_BAR, "日1");
	assert_string_equal(row(&page, 0), "    日1");
	assert_int_equal(mt_page_at(&page, 0, 6)->style, MT_STYLE_BAR);
	mt_page_right(&page, 1, 1, 3, MT_STYLE_BAR, "12345");
	assert_string_equal(row(&page, 1), " 12…");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain),   cmocka_unit_test(wide),  cmocka_unit_test(hostile),
		cmocka_unit_test(clipped), cmocka_unit_test(ascii), cmocka_unit_test(right),
	};
	int failed;

	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	mt_page_fini(&page);
	return failed;
}
