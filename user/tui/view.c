/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "tui/view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

const char *const *mt_tui_sort_names(void)
{
	static const char *names[MT_COLUMNS_MAX];

	for (size_t i = 0; i < mt_columns_count; i++)
		names[i] = mt_columns[i].name;
	return names;
}

/* What fits, without the half of a character at its end. */
static void set_filter(struct mt_tui *t, const char *s)
{
	size_t n = 0;

	while (s[n]) {
		uint32_t cp;
		size_t len = mt_utf8_decode(s + n, &cp);

		len = len ? len : 1;
		if (n + len >= sizeof(t->filter))
			break;
		n += len;
	}
	memcpy(t->filter, s, n);
	t->filter[n] = '\0';
}

int mt_tui_new(const struct mt_tui_opts *opts, struct mt_tui **ret)
{
	int sort = mt_column_named(opts->sort ? opts->sort : "alloc");
	struct mt_tui *t;

	if (sort < 0)
		return -EINVAL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->sort = sort;
	t->tree = opts->tree;
	t->store.step_ns = mt_history_step(opts->interval_ns);
	t->store.cpu_permille = -1;
	set_filter(t, opts->filter ? opts->filter : "");
	*ret = t;
	return 0;
}

void mt_tui_free(struct mt_tui **t)
{
	if (!*t)
		return;
	mt_store_fini(&(*t)->store);
	mt_rows_fini(&(*t)->rows);
	free(*t);
	*t = NULL;
}

struct mt_process *mt_view_open(const struct mt_tui *t)
{
	if (t->mode != MT_MODE_PROCESS)
		return NULL;
	return mt_store_find(&t->store, t->open.pid, t->open.start_time);
}

/* Where the cursor's process is now; one that is gone leaves it to the row in its place. */
static void find_cursor(struct mt_tui *t)
{
	if (!t->rows.n) {
		t->at = 0;
		return;
	}
	if (!t->cursor.pid) {
		t->at = 0;
		return;
	}
	for (size_t i = 0; i < t->rows.n; i++) {
		const struct mt_process *p = t->rows.v[i].p;

		if (p->pid == t->cursor.pid && p->start_time == t->cursor.start_time) {
			t->at = i;
			return;
		}
	}
	if (t->at >= t->rows.n)
		t->at = t->rows.n - 1;
	t->cursor.pid = t->rows.v[t->at].p->pid;
	t->cursor.start_time = t->rows.v[t->at].p->start_time;
}

void mt_view_update(struct mt_tui *t)
{
	const struct mt_rows_by by = {
		.column = &mt_columns[t->sort],
		.reverse = t->reverse,
		.tree = t->tree,
		.diff = t->store.based,
		.filter = t->filter,
	};

	mt_rows_make(&t->rows, &t->store, &by);
	find_cursor(t);
}

void mt_tui_begin(struct mt_tui *t)
{
	if (!t->paused)
		mt_store_begin(&t->store);
}

int mt_tui_put(struct mt_tui *t, const struct mt_snapshot *s)
{
	int r;

	if (t->paused)
		return 0;
	r = mt_rows_reserve(&t->rows, t->store.n + 1);
	return r ? r : mt_store_put(&t->store, s);
}

void mt_tui_end(struct mt_tui *t)
{
	if (t->paused)
		return;
	mt_store_end(&t->store, mt_view_open(t));
	mt_view_update(t);
}

void mt_tui_say(struct mt_tui *t, const char *msg)
{
	snprintf(t->message, sizeof(t->message), "%s", msg);
}

bool mt_tui_paused(const struct mt_tui *t)
{
	return t->paused;
}

pid_t mt_tui_opened(const struct mt_tui *t)
{
	return t->mode == MT_MODE_PROCESS ? t->open.pid : 0;
}

bool mt_tui_shows(const struct mt_tui *t, const struct mt_snapshot *s)
{
	const struct mt_process *p = mt_store_find(&t->store, s->pid, s->start_time);

	if (t->mode == MT_MODE_PROCESS)
		return p && p == mt_view_open(t);
	return p && p->shown;
}
