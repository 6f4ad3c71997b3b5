/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tui/screen.h"

#include <curses.h>
#include <errno.h>
#include <langinfo.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <term.h>
#include <termios.h>
#include <unistd.h>

#include "base/log.h"
#include "base/writer.h"
#include "tui/tui.h"

#define ESC_DELAY_MS 25 /* a lone Esc is told from a key that begins with it after that */

struct mt_screen {
	SCREEN *curses;
	bool utf8;
	attr_t attrs[MT_STYLES];
	short pairs[MT_STYLES];
};

/* What a style is with colours and without. */
static const struct {
	attr_t plain, colored;
	short fg; /* -1: the terminal's own */
	short bg;
} styles[MT_STYLES] = {
	[MT_STYLE_PLAIN] = {A_NORMAL, A_NORMAL, -1, -1},
	[MT_STYLE_BOLD] = {A_BOLD, A_BOLD, -1, -1},
	[MT_STYLE_DIM] = {A_NORMAL, A_DIM, -1, -1},
	[MT_STYLE_HEAD] = {A_REVERSE, A_NORMAL, COLOR_BLACK, COLOR_GREEN},
	[MT_STYLE_SORTED] = {A_REVERSE | A_BOLD, A_NORMAL, COLOR_BLACK, COLOR_CYAN},
	[MT_STYLE_SELECTED] = {A_REVERSE, A_NORMAL, COLOR_BLACK, COLOR_CYAN},
	[MT_STYLE_KEY] = {A_REVERSE, A_NORMAL, COLOR_BLACK, COLOR_CYAN},
	[MT_STYLE_WARN] = {A_BOLD, A_BOLD, COLOR_RED, -1},
	[MT_STYLE_MORE] = {A_NORMAL, A_NORMAL, COLOR_YELLOW, -1},
	[MT_STYLE_LESS] = {A_NORMAL, A_NORMAL, COLOR_GREEN, -1},
	[MT_STYLE_BAR] = {A_NORMAL, A_NORMAL, COLOR_BLUE, -1},
	[MT_STYLE_ALLOC] = {A_NORMAL, A_NORMAL, COLOR_GREEN, -1},
	[MT_STYLE_SYS] = {A_NORMAL, A_NORMAL, COLOR_BLUE, -1},
};

/* For a crash, where ncurses may not be called: what its endwin would do. */
static struct {
	struct termios modes;
	char leave[128]; /* terminfo's strings, in sequence */
	size_t len;
} saved;

static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};

/* The handler is off when it runs (SA_RESETHAND): the signal ends us when it returns. */
static void restore_and_die(int sig)
{
	ssize_t n = write(STDOUT_FILENO, saved.leave, saved.len);

	(void)n;
	tcsetattr(STDIN_FILENO, TCSANOW, &saved.modes);
	raise(sig);
}

static void save_string(const char *capability)
{
	const char *s = tigetstr(capability);
	size_t n;

	if (!s || s == (char *)-1)
		return;
	n = strlen(s);
	if (saved.len + n > sizeof(saved.leave))
		return;
	memcpy(saved.leave + saved.len, s, n);
	saved.len += n;
}

static void watch_crashes(void)
{
	static char stack[16384]; /* of the handler: a crash can be for want of one */
	const stack_t own = {.ss_sp = stack, .ss_size = sizeof(stack)};
	struct sigaction sa = {.sa_handler = restore_and_die,
			       .sa_flags = SA_RESETHAND | SA_ONSTACK};

	sigaltstack(&own, NULL);
	saved.len = 0;
	save_string("sgr0");
	save_string("cnorm");
	save_string("rmkx");
	save_string("rmcup");
	for (size_t i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++)
		sigaction(crashes[i], &sa, NULL);
}

static void unwatch_crashes(void)
{
	for (size_t i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++)
		signal(crashes[i], SIG_DFL);
}

static void choose_styles(struct mt_screen *s, bool color)
{
	color = color && has_colors() && start_color() == OK;
	if (color)
		use_default_colors();
	for (int i = 0; i < MT_STYLES; i++) {
		s->attrs[i] = color ? styles[i].colored : styles[i].plain;
		s->pairs[i] = 0;
		if (!color || (styles[i].fg < 0 && styles[i].bg < 0))
			continue;
		if (init_pair((short)(i + 1), styles[i].fg, styles[i].bg) == OK)
			s->pairs[i] = (short)(i + 1);
		else
			s->attrs[i] = styles[i].plain;
	}
}

static int refuse(void)
{
	_cleanup_writer_ struct mt_writer name = {0};
	const char *term = getenv("TERM");

	mt_write_escaped(&name, term ? term : "");
	return mt_err_r(-ENOTSUP,
			"cannot draw on a terminal of the kind TERM='%.40s': set TERM to what it "
			"is (xterm, linux, screen), or use memtrace -a",
			name.len && !name.err ? name.buf : "");
}

/* newterm says nothing of terminals that cannot be drawn on. */
static bool can_draw(void)
{
	const char *move = tigetstr("cup");

	return move && move != (char *)-1;
}

int mt_screen_open(bool color, struct mt_screen **ret)
{
	struct mt_screen *s = calloc(1, sizeof(*s));

	if (!s)
		return mt_err_r(-ENOMEM, "out of memory");
	tcgetattr(STDIN_FILENO, &saved.modes);
	set_escdelay(ESC_DELAY_MS);
	s->curses = newterm(NULL, stdout, stdin);
	if (s->curses && !can_draw()) {
		endwin();
		delscreen(s->curses);
		s->curses = NULL;
	}
	if (!s->curses) {
		free(s);
		return refuse();
	}
	s->utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
	cbreak();
	noecho();
	nonl();
	curs_set(0);
	typeahead(-1); /* each page is shown, typed ahead or not */
	keypad(stdscr, true);
	nodelay(stdscr, true);
	choose_styles(s, color);
	watch_crashes();
	*ret = s;
	return 0;
}

void mt_screen_close(struct mt_screen **s)
{
	if (!*s)
		return;
	endwin();
	unwatch_crashes();
	delscreen((*s)->curses);
	free(*s);
	*s = NULL;
}

bool mt_screen_utf8(const struct mt_screen *s)
{
	return s->utf8;
}

void mt_screen_size(struct mt_screen *s, int *rows, int *cols)
{
	struct winsize w;

	(void)s;
	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) && w.ws_row && w.ws_col &&
	    (w.ws_row != LINES || w.ws_col != COLS))
		resizeterm(w.ws_row, w.ws_col);
	*rows = LINES;
	*cols = COLS;
}

static void show_row(const struct mt_screen *s, const struct mt_page *p, int y)
{
	for (int x = 0; x < p->cols && x < COLS; x++) {
		const struct mt_cell *c = mt_page_at(p, y, x);
		wchar_t text[2] = {c->ch ? (wchar_t)c->ch : L' ', L'\0'};
		cchar_t cell;

		setcchar(&cell, text, s->attrs[c->style], s->pairs[c->style], NULL);
		mvadd_wch(y, x, &cell);
		/* the right half of a wide character is written with it */
		if (x + 1 < p->cols && !c[1].ch)
			x++;
	}
}

void mt_screen_show(struct mt_screen *s, const struct mt_page *p, bool anew)
{
	erase();
	for (int y = 0; y < p->rows && y < LINES; y++)
		show_row(s, p, y);
	if (anew)
		clearok(curscr, true);
	refresh();
}

static const struct {
	int curses;
	uint32_t key;
} keys[] = {
	{KEY_UP, MT_KEY_UP},        {KEY_DOWN, MT_KEY_DOWN},     {KEY_LEFT, MT_KEY_LEFT},
	{KEY_RIGHT, MT_KEY_RIGHT},  {KEY_PPAGE, MT_KEY_PAGE_UP}, {KEY_NPAGE, MT_KEY_PAGE_DOWN},
	{KEY_HOME, MT_KEY_HOME},    {KEY_FIND, MT_KEY_HOME},     {KEY_END, MT_KEY_END},
	{KEY_SELECT, MT_KEY_END},   {KEY_ENTER, MT_KEY_ENTER},   {KEY_BACKSPACE, MT_KEY_BACKSPACE},
	{KEY_DC, MT_KEY_BACKSPACE},
};

static uint32_t special_key(wint_t c)
{
	if (c >= KEY_F(1) && c <= KEY_F(10))
		return MT_KEY_F0 + (c - KEY_F0);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (c == (wint_t)keys[i].curses)
			return keys[i].key;
	return MT_KEY_NONE;
}

static uint32_t plain_key(wint_t c)
{
	switch (c) {
	case '\r':
	case '\n':
		return MT_KEY_ENTER;
	case '\t':
		return MT_KEY_TAB;
	case 0x1b:
		return MT_KEY_ESC;
	case '\b':
	case 0x7f:
		return MT_KEY_BACKSPACE;
	default:
		return c < MT_KEY_UP ? c : MT_KEY_NONE;
	}
}

uint32_t mt_screen_key(struct mt_screen *s)
{
	uint32_t key = MT_KEY_NONE;
	wint_t c;
	int r;

	(void)s;
	/* one that means nothing here is passed over: NONE is said when none is left */
	while (!key && (r = get_wch(&c)) != ERR)
		key = r == KEY_CODE_YES ? special_key(c) : plain_key(c);
	return key;
}
