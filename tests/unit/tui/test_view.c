/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <locale.h>

#include "tui/made.h"

static struct mt_tui *tui;
static struct mt_page page;

static void begin(const char *sort, const char *filter)
{
	const struct mt_tui_opts opts = {.interval_ns = SECOND, .sort = sort, .filter = filter};

	assert_int_equal(mt_tui_new(&opts, &tui), 0);
}

static int finish(void **state)
{
	(void)state;
	mt_tui_free(&tui);
	mt_page_fini(&page);
	return 0;
}

/* Processes 1 to n; the block count of each is its pid, or with turn the other way around. */
static void put(pid_t n, uint64_t second, bool turn)
{
	char comm[16];

	mt_tui_begin(tui);
	for (pid_t pid = 1; pid <= n; pid++) {
		snprintf(comm, sizeof(comm), "name%d", pid);
		assert_int_equal(mt_tui_put(tui, made(pid, 0, comm, second,
						      (uint64_t)(turn ? 1000 - pid : pid))),
				 0);
	}
	mt_tui_end(tui);
}

static void paint(int rows, int cols)
{
	mt_page_fini(&page);
	assert_int_equal(mt_page_init(&page, rows, cols, true), 0);
	mt_tui_paint(tui, &page);
}

static void keys(const char *s)
{
	for (; *s; s++)
		assert_int_equal(mt_tui_key(tui, (unsigned char)*s), MT_TUI_NOTHING);
}

/* The text of the row that keys act on. */
static const char *selected(void)
{
	paint(24, 80);
	for (int y = 0; y < page.rows - 1; y++)
		if (mt_page_at(&page, y, 0)->style == MT_STYLE_SELECTED)
			return row(&page, y);
	return "";
}

static void options(void **state)
{
	const struct mt_tui_opts bad = {.sort = "size"};
	struct mt_tui *none = NULL;

	(void)state;
	assert_int_equal(mt_tui_new(&bad, &none), -EINVAL);
	assert_null(none);
	for (const char *const *n = mt_tui_sort_names(); *n; n++) {
		begin(*n, NULL);
		put(3, 1, false);
		paint(24, 80);
		assert_int_not_equal(row_with(&page, "name2"), -1);
		mt_tui_free(&tui);
	}
	begin("pid", "name2");
	put(3, 1, false);
	paint(24, 80);
	assert_int_not_equal(row_with(&page, "name2"), -1);
	assert_int_equal(row_with(&page, "name3"), -1);
	assert_int_not_equal(row_with(&page, "filter name2"), -1);
}

/* It stays with its process until Home, and passes to a neighbour when that is gone. */
static void cursor(void **state)
{
	(void)state;
	begin(NULL, NULL);
	put(5, 1, false);
	assert_non_null(strstr(selected(), "name5"));
	put(5, 2, true);
	assert_non_null(strstr(selected(), "name1"));
	mt_tui_key(tui, MT_KEY_DOWN);
	assert_non_null(strstr(selected(), "name2"));
	put(5, 3, false);
	assert_non_null(strstr(selected(), "name2"));
	mt_tui_key(tui, MT_KEY_END);
	assert_non_null(strstr(selected(), "name1"));
	mt_tui_key(tui, MT_KEY_UP);
	mt_tui_key(tui, MT_KEY_UP);
	assert_non_null(strstr(selected(), "name3"));
	put(2, 4, false);
	assert_non_null(strstr(selected(), "name1"));
	mt_tui_key(tui, MT_KEY_HOME);
	assert_non_null(strstr(selected(), "name2"));
	put(0, 5, false);
	assert_string_equal(selected(), "");
	mt_tui_key(tui, MT_KEY_DOWN);
	mt_tui_key(tui, MT_KEY_ENTER);
	assert_int_equal(mt_tui_opened(tui), 0);
}

static void paging(void **state)
{
	(void)state;
	begin("pid", NULL);
	put(100, 1, false);
	paint(24, 80); /* 20 rows of processes */
	mt_tui_key(tui, MT_KEY_PAGE_DOWN);
	assert_non_null(strstr(selected(), "name21"));
	mt_tui_key(tui, MT_KEY_PAGE_DOWN);
	assert_non_null(strstr(selected(), "name41"));
	mt_tui_key(tui, MT_KEY_PAGE_UP);
	assert_non_null(strstr(selected(), "name21"));
	mt_tui_key(tui, MT_KEY_END);
	assert_non_null(strstr(selected(), "name100"));
	assert_int_not_equal(row_with(&page, "name81"), -1);
	assert_int_equal(row_with(&page, "name80"), -1);
	/* a list that gets shorter leaves no empty screen */
	put(30, 2, false);
	assert_non_null(strstr(selected(), "name30"));
	assert_int_not_equal(row_with(&page, "name11"), -1);
	for (int i = 0; i < 5; i++)
		mt_tui_key(tui, MT_KEY_PAGE_UP);
	assert_non_null(strstr(selected(), "name1"));
}

static void filter(void **state)
{
	(void)state;
	begin("pid", NULL);
	put(30, 1, false);
	keys("/NAME2q");
	paint(24, 80);
	assert_int_not_equal(row_with(&page, "no process matches"), -1);
	assert_string_equal(row(&page, 23), "Filter: NAME2q");
	mt_tui_key(tui, MT_KEY_BACKSPACE);
	paint(24, 80);
	assert_int_not_equal(row_with(&page, "name29"), -1);
	assert_int_equal(row_with(&page, "name3"), -1);
	/* a name of several bytes goes as it came; what acts on a terminal does not come in */
	mt_tui_key(tui, 0x65e5);
	mt_tui_key(tui, 0x1f600);
	mt_tui_key(tui, 0x9b);
	mt_tui_key(tui, 0x202e);
	mt_tui_key(tui, MT_KEY_F0 + 7);
	paint(24, 80);
	assert_non_null(strstr(row(&page, 23), "Filter: NAME2日"));
	mt_tui_key(tui, MT_KEY_BACKSPACE);
	mt_tui_key(tui, MT_KEY_BACKSPACE);
	paint(24, 80);
	assert_string_equal(row(&page, 23), "Filter: NAME2");
	for (int i = 0; i < 200; i++)
		mt_tui_key(tui, 0x65e5);
	paint(24, 80);
	for (int i = 0; i < 200; i++)
		mt_tui_key(tui, MT_KEY_BACKSPACE);
	mt_tui_key(tui, MT_KEY_ENTER);
	paint(24, 80);
	assert_int_not_equal(row_with(&page, "name1"), -1);
	/* letters are keys again */
	assert_int_equal(mt_tui_key(tui, 'q'), MT_TUI_QUIT);
}

static void paused(void **state)
{
	(void)state;
	begin("pid", NULL);
	put(2, 1, false);
	keys(" ");
	assert_true(mt_tui_paused(tui));
	put(3, 2, false);
	paint(24, 80);
	assert_int_equal(row_with(&page, "name3"), -1);
	assert_int_not_equal(row_with(&page, "PAUSED"), -1);
	keys(" ");
	put(3, 2, false);
	paint(24, 80);
	assert_int_not_equal(row_with(&page, "name3"), -1);
}

/* Which snapshots a save writes. */
static void saving(void **state)
{
	(void)state;
	begin("pid", "name2");
	put(30, 1, false);
	assert_int_equal(mt_tui_key(tui, 's'), MT_TUI_SAVE);
	assert_true(mt_tui_shows(tui, made(2, 0, "name2", 1, 1)));
	assert_true(mt_tui_shows(tui, made(29, 0, "name29", 1, 1)));
	assert_false(mt_tui_shows(tui, made(3, 0, "name3", 1, 1)));
	assert_false(mt_tui_shows(tui, made(31, 0, "name31", 1, 1)));
	mt_tui_key(tui, MT_KEY_DOWN);
	mt_tui_key(tui, MT_KEY_ENTER);
	assert_int_equal(mt_tui_opened(tui), 20);
	assert_int_equal(mt_tui_key(tui, 's'), MT_TUI_SAVE);
	assert_false(mt_tui_shows(tui, made(2, 0, "name2", 1, 1)));
	assert_true(mt_tui_shows(tui, made(20, 0, "name20", 1, 1)));
}

static void opened(void **state)
{
	(void)state;
	begin("pid", NULL);
	put(3, 1, false);
	mt_tui_key(tui, MT_KEY_ENTER);
	paint(60, 80);
	assert_int_not_equal(row_with(&page, "name1[1]"), -1);
	assert_int_not_equal(row_with(&page, "HeapReleased"), -1);
	assert_int_not_equal(row_with(&page, "112           1        100B"), -1);
	/* q goes back from it, and quits from the list */
	assert_int_equal(mt_tui_key(tui, '?'), MT_TUI_NOTHING);
	assert_int_equal(mt_tui_key(tui, 'q'), MT_TUI_NOTHING);
	assert_int_equal(mt_tui_opened(tui), 1);
	assert_int_equal(mt_tui_key(tui, 'q'), MT_TUI_NOTHING);
	assert_int_equal(mt_tui_opened(tui), 0);
	assert_int_equal(mt_tui_key(tui, 'q'), MT_TUI_QUIT);
	assert_int_equal(mt_tui_key(tui, 0x0c), MT_TUI_REFRESH);
}

static void put_go(struct mt_snapshot *s)
{
	mt_tui_begin(tui);
	assert_int_equal(mt_tui_put(tui, s), 0);
	mt_tui_end(tui);
}

static void go(void **state)
{
	struct mt_snapshot *s;

	(void)state;
	begin("pid", NULL);
	put_go(made_go(5, 1, 20, false));
	paint(24, 80);
	assert_int_not_equal(row_with(&page, "976K"), -1); /* 20 blocks of 50000 */
	mt_tui_key(tui, MT_KEY_ENTER);
	paint(60, 80);
	assert_int_not_equal(row_with(&page, "gopher[5]  go1.23.1, go, parent 0"), -1);
	assert_int_not_equal(row_with(&page, "nothing lost, consistent"), -1);
	assert_int_not_equal(row_with(&page, "NumGC 9, 2 forced; last 00:00:11Z, paused 31.2 us; "
					     "next at a heap of 4.0M"),
			     -1);
	assert_int_not_equal(row_with(&page, "    Go's large          20        976K"), -1);
	assert_int_equal(row_with(&page, "C memory"), -1);
	s = made_go(5, 2, 21, true);
	s->gc.consistent = false;
	s->gc.missed = 5;
	s->memstats.next_gc = UINT64_MAX;
	strcpy(s->gc.why, "it \033ran");
	put_go(s);
	paint(70, 80);
	assert_int_not_equal(row_with(&page, "approximate: it \\x1bran"), -1);
	assert_int_equal(row_with(&page, "consistent"), -1);
	assert_int_equal(row_with(&page, "next at"), -1);
	assert_int_not_equal(row_with(&page, "NextGC       184467440737095"), -1);
	assert_int_not_equal(row_with(&page, "LOST 5"), -1);
	assert_int_not_equal(row_with(&page, "C memory (glibc 2.36), not in the numbers above"),
			     -1);
	assert_int_not_equal(row_with(&page, "Alloc                    2100"), -1);
	/* Tab comes to it, behind the classes. */
	paint(6, 80);
	assert_int_equal(row_with(&page, "C memory"), -1);
	for (int i = 0; i < 4; i++) {
		mt_tui_key(tui, MT_KEY_TAB);
		paint(6, 80);
	}
	assert_int_not_equal(row_with(&page, "C memory"), -1);
}

static void go_differs(void **state)
{
	int y;

	(void)state;
	begin("pid", NULL);
	put_go(made_go(5, 1, 20, true));
	keys("d");
	put_go(made_go(5, 2, 25, true));
	mt_tui_key(tui, MT_KEY_ENTER);
	paint(70, 80);
	assert_int_not_equal(row_with(&page, "    Go's large          +5       +244K"), -1);
	y = row_with(&page, "C memory");
	assert_int_not_equal(y, -1);
	assert_non_null(strstr(row(&page, y + 1), "Alloc                    +500"));
}

static void messages(void **state)
{
	(void)state;
	begin("pid", NULL);
	put(1, 1, false);
	mt_tui_say(tui, "saved \033x");
	paint(24, 80);
	assert_string_equal(row(&page, 23), "saved \\x1bx");
	paint(1, 80);
	assert_string_equal(row(&page, 0), "saved \\x1bx");
	mt_tui_key(tui, MT_KEY_DOWN);
	paint(24, 80);
	assert_int_equal(row_with(&page, "saved"), -1);
}

/* Each screen at each size: nothing is written outside, and no wide character is half. */
static void sizes(void **state)
{
	static const char *const screens[] = {"", "?", "/x", "t", "d"};

	(void)state;
	for (size_t i = 0; i < sizeof(screens) / sizeof(screens[0]); i++) {
		begin("pid", NULL);
		put(40, 1, false);
		mt_tui_begin(tui);
		mt_tui_put(tui, made(7, 3, "日本語日本語日本語日本語\033", 2, 90));
		mt_tui_put(tui, made(3, 1, "\xff\xff\xff", 2, 90));
		mt_tui_put(tui, made_go(1, 2, 90, true));
		mt_tui_end(tui);
		keys(screens[i]);
		for (int open = 0; open < 2; open++) {
			for (int rows = 1; rows < 30; rows++)
				for (int cols = 1; cols < 130; cols += 3)
					paint(rows, cols);
			mt_tui_key(tui, MT_KEY_ENTER);
			mt_tui_key(tui, MT_KEY_END);
		}
		mt_tui_free(&tui);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_teardown(f, finish)
	const struct CMUnitTest tests[] = {
		T(options), T(cursor),   T(paging), T(filter), T(paused),     T(saving),
		T(opened),  T(messages), T(sizes),  T(go),     T(go_differs),
	};

	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
