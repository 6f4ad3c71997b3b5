/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What keys do: one table for the list, one for what is read by scrolling. */
#include <string.h>

#include "base/utf8.h"
#include "tui/view.h"

typedef enum mt_tui_action (*key_fn)(struct mt_tui *t);

struct binding {
	uint32_t key;
	key_fn fn;
};

/* The list */

static void move_to(struct mt_tui *t, size_t at)
{
	const struct mt_process *p;

	if (!t->rows.n)
		return;
	t->at = at < t->rows.n ? at : t->rows.n - 1;
	p = t->rows.v[t->at].p;
	t->cursor = (struct mt_who){p->pid, p->start_time};
}

static enum mt_tui_action up(struct mt_tui *t)
{
	move_to(t, t->at ? t->at - 1 : 0);
	return MT_TUI_NOTHING;
}

static enum mt_tui_action down(struct mt_tui *t)
{
	move_to(t, t->at + 1);
	return MT_TUI_NOTHING;
}

static size_t page_rows(const struct mt_tui *t)
{
	return t->page_rows ? t->page_rows : 1;
}

static enum mt_tui_action page_up(struct mt_tui *t)
{
	move_to(t, t->at > page_rows(t) ? t->at - page_rows(t) : 0);
	return MT_TUI_NOTHING;
}

static enum mt_tui_action page_down(struct mt_tui *t)
{
	move_to(t, t->at + page_rows(t));
	return MT_TUI_NOTHING;
}

/* Lets go of the process: the first row, whatever it is. */
static enum mt_tui_action home(struct mt_tui *t)
{
	t->cursor = (struct mt_who){0};
	t->at = 0;
	return MT_TUI_NOTHING;
}

static enum mt_tui_action end(struct mt_tui *t)
{
	move_to(t, t->rows.n);
	return MT_TUI_NOTHING;
}

static enum mt_tui_action open_process(struct mt_tui *t)
{
	if (!t->rows.n)
		return MT_TUI_NOTHING;
	move_to(t, t->at);
	t->open = t->cursor;
	t->mode = MT_MODE_PROCESS;
	t->scroll = 0;
	return MT_TUI_NOTHING;
}

static void sort_by(struct mt_tui *t, int column)
{
	t->sort = column;
	t->reverse = false;
	mt_view_update(t);
}

static enum mt_tui_action sort_next(struct mt_tui *t)
{
	sort_by(t, (t->sort + 1) % (int)mt_columns_count);
	return MT_TUI_NOTHING;
}

static enum mt_tui_action sort_previous(struct mt_tui *t)
{
	sort_by(t, (t->sort + (int)mt_columns_count - 1) % (int)mt_columns_count);
	return MT_TUI_NOTHING;
}

static enum mt_tui_action reverse(struct mt_tui *t)
{
	t->reverse = !t->reverse;
	mt_view_update(t);
	return MT_TUI_NOTHING;
}

static enum mt_tui_action tree(struct mt_tui *t)
{
	t->tree = !t->tree;
	mt_view_update(t);
	return MT_TUI_NOTHING;
}

static enum mt_tui_action prompt(struct mt_tui *t)
{
	t->prompt = true;
	return MT_TUI_NOTHING;
}

static enum mt_tui_action drop_filter(struct mt_tui *t)
{
	t->filter[0] = '\0';
	mt_view_update(t);
	return MT_TUI_NOTHING;
}

static enum mt_tui_action quit(struct mt_tui *t)
{
	(void)t;
	return MT_TUI_QUIT;
}

/* Everywhere */

static enum mt_tui_action pause_view(struct mt_tui *t)
{
	t->paused = !t->paused;
	return MT_TUI_NOTHING;
}

static enum mt_tui_action mark(struct mt_tui *t)
{
	if (mt_store_mark(&t->store))
		mt_tui_say(t, "no memory for a base");
	mt_view_update(t);
	return MT_TUI_NOTHING;
}

static enum mt_tui_action unmark(struct mt_tui *t)
{
	mt_store_unmark(&t->store);
	mt_view_update(t);
	return MT_TUI_NOTHING;
}

static enum mt_tui_action save(struct mt_tui *t)
{
	(void)t;
	return MT_TUI_SAVE;
}

static enum mt_tui_action refresh_screen(struct mt_tui *t)
{
	(void)t;
	return MT_TUI_REFRESH;
}

/* Help and one process: a text that is scrolled */

static enum mt_tui_action scroll_to(struct mt_tui *t, int line)
{
	t->scroll = line < 0 ? 0 : line > t->scroll_max ? t->scroll_max : line;
	return MT_TUI_NOTHING;
}

static enum mt_tui_action scroll_up(struct mt_tui *t)
{
	return scroll_to(t, t->scroll - 1);
}

static enum mt_tui_action scroll_down(struct mt_tui *t)
{
	return scroll_to(t, t->scroll + 1);
}

static enum mt_tui_action scroll_page_up(struct mt_tui *t)
{
	return scroll_to(t, t->scroll - t->scroll_page);
}

static enum mt_tui_action scroll_page_down(struct mt_tui *t)
{
	return scroll_to(t, t->scroll + t->scroll_page);
}

static enum mt_tui_action scroll_home(struct mt_tui *t)
{
	return scroll_to(t, 0);
}

static enum mt_tui_action scroll_end(struct mt_tui *t)
{
	return scroll_to(t, t->scroll_max);
}

/* The next section, or from the last one on the first. */
static enum mt_tui_action scroll_section(struct mt_tui *t)
{
	for (int i = 0; i < t->n_sections; i++)
		if (t->sections[i] > t->scroll && t->scroll < t->scroll_max)
			return scroll_to(t, t->sections[i]);
	return scroll_to(t, 0);
}

static enum mt_tui_action by_bytes(struct mt_tui *t)
{
	t->by_bytes = !t->by_bytes;
	return MT_TUI_NOTHING;
}

static enum mt_tui_action back(struct mt_tui *t)
{
	t->scroll = 0;
	if (t->help)
		t->help = false;
	else
		t->mode = MT_MODE_LIST;
	return MT_TUI_NOTHING;
}

static enum mt_tui_action help(struct mt_tui *t)
{
	if (t->help)
		return back(t);
	t->help = true;
	t->scroll = 0;
	return MT_TUI_NOTHING;
}

#define CTRL(c) ((c)&0x1f)

static const struct binding list_keys[] = {
	{MT_KEY_UP, up},
	{'k', up},
	{MT_KEY_DOWN, down},
	{'j', down},
	{MT_KEY_PAGE_UP, page_up},
	{CTRL('B'), page_up},
	{MT_KEY_PAGE_DOWN, page_down},
	{CTRL('F'), page_down},
	{MT_KEY_HOME, home},
	{'g', home},
	{MT_KEY_END, end},
	{MT_KEY_ENTER, open_process},
	{'>', sort_next},
	{MT_KEY_RIGHT, sort_next},
	{MT_KEY_F0 + 6, sort_next},
	{'<', sort_previous},
	{MT_KEY_LEFT, sort_previous},
	{'I', reverse},
	{'r', reverse},
	{'t', tree},
	{MT_KEY_F0 + 5, tree},
	{'/', prompt},
	{MT_KEY_F0 + 3, prompt},
	{MT_KEY_F0 + 4, prompt},
	{MT_KEY_ESC, drop_filter},
	{'q', quit},
	{0, NULL},
};

static const struct binding scroll_keys[] = {
	{MT_KEY_UP, scroll_up},
	{'k', scroll_up},
	{MT_KEY_DOWN, scroll_down},
	{'j', scroll_down},
	{MT_KEY_PAGE_UP, scroll_page_up},
	{CTRL('B'), scroll_page_up},
	{MT_KEY_PAGE_DOWN, scroll_page_down},
	{CTRL('F'), scroll_page_down},
	{MT_KEY_HOME, scroll_home},
	{'g', scroll_home},
	{MT_KEY_END, scroll_end},
	{MT_KEY_TAB, scroll_section},
	{'b', by_bytes},
	{MT_KEY_ENTER, back},
	{MT_KEY_ESC, back},
	{MT_KEY_BACKSPACE, back},
	{MT_KEY_LEFT, back},
	{'q', back},
	{0, NULL},
};

static const struct binding all_keys[] = {
	{' ', pause_view},
	{'p', pause_view},
	{'d', mark},
	{'D', unmark},
	{'s', save},
	{'?', help},
	{'h', help},
	{MT_KEY_F0 + 1, help},
	{CTRL('L'), refresh_screen},
	{MT_KEY_F10, quit},
	{0, NULL},
};

static key_fn find(const struct binding *v, uint32_t key)
{
	for (; v->fn; v++)
		if (v->key == key)
			return v->fn;
	return NULL;
}

static void erase(char *s)
{
	size_t n = strlen(s);

	while (n && ((unsigned char)s[n - 1] & 0xc0) == 0x80)
		n--;
	s[n ? n - 1 : 0] = '\0';
}

/* As UTF-8, if it fits. */
static void append(char *s, size_t size, uint32_t c)
{
	size_t n = strlen(s), len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const unsigned char first[] = {0, 0, 0xc0, 0xe0, 0xf0};

	if (n + len >= size || mt_utf8_is_control(c))
		return;
	s[n + len] = '\0';
	for (size_t i = len; i-- > 1; c >>= 6)
		s[n + i] = (char)(0x80 | (c & 0x3f));
	s[n] = (char)(first[len == 1 ? 0 : len] | c);
}

/* Each key narrows the list at once. */
static enum mt_tui_action edit_filter(struct mt_tui *t, uint32_t key)
{
	if (key == MT_KEY_ENTER) {
		t->prompt = false;
		return MT_TUI_NOTHING;
	}
	if (key == MT_KEY_ESC) {
		t->prompt = false;
		return drop_filter(t);
	}
	if (key == CTRL('U'))
		return drop_filter(t);
	if (key == MT_KEY_BACKSPACE)
		erase(t->filter);
	else if (key < MT_KEY_UP)
		append(t->filter, sizeof(t->filter), key);
	mt_view_update(t);
	return MT_TUI_NOTHING;
}

enum mt_tui_action mt_tui_key(struct mt_tui *t, uint32_t key)
{
	bool list = t->mode == MT_MODE_LIST && !t->help;
	key_fn fn;
	int column;

	t->message[0] = '\0';
	if (key == MT_KEY_F10)
		return MT_TUI_QUIT;
	if (t->prompt)
		return edit_filter(t, key);
	fn = find(list ? list_keys : scroll_keys, key);
	if (!fn)
		fn = find(all_keys, key);
	if (fn)
		return fn(t);
	column = mt_column_keyed(key);
	if (list && column >= 0)
		sort_by(t, column);
	return MT_TUI_NOTHING;
}
