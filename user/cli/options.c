/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cli/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/writer.h"
#include "cli/cli.h"
#include "cli/signals.h"
#include "target/select.h"

#define PID_LIMIT  4194304 /* the kernel's PID_MAX_LIMIT on 64-bit machines */
#define QUOTE_SIZE 64

__attribute__((format(printf, 1, 2))) static int fail(const char *fmt, ...)
{
	char buf[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	fprintf(stderr, "memtrace: %s\n", buf);
	return -EINVAL;
}

static bool all_digits(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
	}
	return n > 0;
}

typedef int (*set_fn)(const struct mt_opt *o, const char *label, const char *s, void *dst);

static int set_string(const struct mt_opt *o, const char *label, const char *s, void *dst)
{
	if (!*s)
		return fail("%s: empty argument: use %s %s", label, label, o->arg);
	*(const char **)dst = s;
	return 0;
}

static int set_u64(const struct mt_opt *o, const char *label, const char *s, void *dst)
{
	char q[QUOTE_SIZE];
	unsigned long long v;

	(void)o;
	errno = 0;
	v = all_digits(s, strlen(s)) ? strtoull(s, NULL, 10) : 0;
	if (errno == ERANGE)
		return fail("%s: number '%s' is too large", label, mt_quote(q, sizeof(q), s));
	if (!v)
		return fail("%s: bad number '%s': use a whole number from 1 up", label,
			    mt_quote(q, sizeof(q), s));
	*(uint64_t *)dst = v;
	return 0;
}

static int set_duration(const struct mt_opt *o, const char *label, const char *s, void *dst)
{
	char q[QUOTE_SIZE];
	int r = mt_parse_duration(s, dst);

	(void)o;
	if (!r)
		return 0;
	return fail("%s: %s '%s': use 500ms, 2s, 1m", label,
		    r == -ERANGE ? "duration out of range" : "bad duration",
		    mt_quote(q, sizeof(q), s));
}

static int set_unit(const struct mt_opt *o, const char *label, const char *s, void *dst)
{
	char q[QUOTE_SIZE];

	(void)o;
	if (!mt_parse_unit(s, dst))
		return 0;
	return fail("%s: bad unit '%s': use auto, B, KiB, MiB or GiB", label,
		    mt_quote(q, sizeof(q), s));
}

/* "line, table or json" */
static void list_choices(struct mt_writer *w, const char *const *c, const char *last)
{
	for (size_t i = 0; c[i]; i++) {
		if (i)
			mt_write_str(w, c[i + 1] ? ", " : last);
		mt_write_str(w, c[i]);
	}
}

static int set_choice(const struct mt_opt *o, const char *label, const char *s, void *dst)
{
	_cleanup_writer_ struct mt_writer w = {0};
	char q[QUOTE_SIZE];

	for (const char *const *c = o->choices; *c; c++) {
		if (!strcmp(*c, s)) {
			*(const char **)dst = *c;
			return 0;
		}
	}
	list_choices(&w, o->choices, " or ");
	return fail("%s: bad value '%s': use %s", label, mt_quote(q, sizeof(q), s),
		    w.len && !w.err ? w.buf : o->arg);
}

/* "12 34\n56", as pidof and pgrep print it: says how it is to be written. */
static int fail_spaces(const char *label, const char *s)
{
	char q[QUOTE_SIZE], fixed[QUOTE_SIZE] = "1,2";
	size_t n = 0;

	for (const char *p = s; *p && n + 1 < sizeof(fixed); p++) {
		if (isdigit((unsigned char)*p))
			fixed[n++] = *p;
		else if (n && fixed[n - 1] != ',')
			fixed[n++] = ',';
	}
	while (n && fixed[n - 1] == ',')
		n--;
	fixed[n] = '\0';
	return fail("%s '%s': separate pids with commas: %s %s", label, mt_quote(q, sizeof(q), s),
		    label, n && strlen(s) < sizeof(fixed) ? fixed : "1,2");
}

/* A name that is safe to show in a shell command as it is. */
static bool plain_name(const char *s)
{
	return *s && *s != '-' && strlen(s) < 32 &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-") ==
		       strlen(s);
}

static int fail_pid(const char *label, const char *word)
{
	const char *digits = *word == '-' ? word + 1 : word;
	char q[QUOTE_SIZE - 16]; /* below what is kept of a word: a cut shows */

	mt_quote(q, sizeof(q), word);
	if (!*word)
		return fail("%s: a pid is missing: use %s PID or %s PID,PID", label, label, label);
	if (!all_digits(digits, strlen(digits)))
		return fail("%s: '%s' is not a pid: use %s \"$(pidof -s %s)\"", label, q, label,
			    plain_name(word) ? word : "NAME");
	if (*word == '-' || strspn(word, "0") == strlen(word))
		return fail("%s: '%s' is not a pid: pids are numbers from 1 up", label, q);
	return fail("%s: '%s' is too large for a pid: the kernel's largest is %d", label, q,
		    PID_LIMIT);
}

static int add_pid(struct mt_pid_list *l, pid_t pid)
{
	pid_t *v;

	for (size_t i = 0; i < l->n; i++) {
		if (l->v[i] == pid)
			return 0;
	}
	v = reallocarray(l->v, l->n + 1, sizeof(*v));
	if (!v)
		return fail("out of memory");
	v[l->n] = pid;
	l->v = v;
	l->n++;
	return 0;
}

static int set_pids(const struct mt_opt *o, const char *label, const char *s, void *dst)
{
	char word[MT_WORD_MAX];

	(void)o;
	if (s[strspn(s, "0123456789, \t\n")] == '\0' && strpbrk(s, " \t\n"))
		return fail_spaces(label, s);
	for (;;) {
		size_t n = strcspn(s, ",");
		unsigned long v;
		int r;

		snprintf(word, sizeof(word), "%.*s", (int)(n < sizeof(word) ? n : sizeof(word)), s);
		v = all_digits(word, strlen(word)) ? strtoul(word, NULL, 10) : 0;
		r = v && v <= PID_LIMIT ? add_pid(dst, (pid_t)v) : fail_pid(label, word);
		if (r || !s[n])
			return r;
		s += n + 1;
	}
}

static int set_select(enum mt_select_kind kind, const char *label, const char *s, void *dst)
{
	const char *why = NULL;
	char q[QUOTE_SIZE];

	if (!mt_select_add(dst, kind, s, &why))
		return 0;
	return fail("%s '%s': %s", label, mt_quote(q, sizeof(q), s), why);
}

static int set_comms(const struct mt_opt *o, const char *label, const char *s, void *dst)
{
	(void)o;
	return set_select(MT_SELECT_COMM, label, s, dst);
}

static int set_cgroup(const struct mt_opt *o, const char *label, const char *s, void *dst)
{
	(void)o;
	return set_select(MT_SELECT_CGROUP, label, s, dst);
}

static int set_containers(const struct mt_opt *o, const char *label, const char *s, void *dst)
{
	(void)o;
	return set_select(MT_SELECT_CONTAINER, label, s, dst);
}

static int set_signal(const struct mt_opt *o, const char *label, const char *s, void *dst)
{
	char q[QUOTE_SIZE];
	int r = mt_signal_parse(s, dst);

	(void)o;
	if (!r)
		return 0;
	return fail("%s: %s '%s': use SIGUSR1, SIGUSR2, SIGHUP, SIGQUIT or SIGRTMIN+1", label,
		    r == -EPERM ? "no snapshot can be asked for by" : "there is no signal",
		    mt_quote(q, sizeof(q), s));
}

static const set_fn setters[] = {
	[MT_OPT_STRING] = set_string,         [MT_OPT_U64] = set_u64,
	[MT_OPT_DURATION] = set_duration,     [MT_OPT_UNIT] = set_unit,
	[MT_OPT_CHOICE] = set_choice,         [MT_OPT_PIDS] = set_pids,
	[MT_OPT_COMMS] = set_comms,           [MT_OPT_CGROUP] = set_cgroup,
	[MT_OPT_CONTAINERS] = set_containers, [MT_OPT_SIGNAL] = set_signal,
};

struct parser {
	const struct mt_opt *rows;
	char *cfg;
	char **word; /* the one being read; NULL-terminated */
	int used;    /* how many words the option took */
};

/* inlined: the argument in the same word, or NULL. */
static int take(struct parser *p, const struct mt_opt *o, const char *label, const char *inlined)
{
	const char *value = inlined;

	if (o->type == MT_OPT_FLAG) {
		*(bool *)(p->cfg + o->offset) = true;
		return 0;
	}
	if (!value) {
		value = p->word[1];
		/* "-o -- cmd" lacks the file rather than naming it "--". */
		if (!value || !strcmp(value, "--"))
			return fail("%s needs an argument: %s %s", label, label, o->arg);
		p->used = 2;
	}
	return setters[o->type](o, label, value, p->cfg + o->offset);
}

static int unknown_long(const struct parser *p, const char *name, size_t len)
{
	struct mt_nearest best = {0};
	char q[QUOTE_SIZE], word[MT_WORD_MAX + 2];

	for (const struct mt_opt *o = p->rows; o->name; o++)
		mt_nearest_try(&best, name, len, o->name);
	/* One byte more than is compared, so that a longer word is shown as cut. */
	snprintf(word, sizeof(word), "%.*s", (int)(len < sizeof(word) ? len : sizeof(word)), name);
	mt_quote(q, sizeof(q), word);
	if (best.name)
		return fail("unknown option --%s: did you mean --%s?", q, best.name);
	return fail("unknown option --%s: --help lists them", q);
}

static int parse_long(struct parser *p)
{
	const char *name = *p->word + 2, *eq = strchr(name, '=');
	size_t len = eq ? (size_t)(eq - name) : strlen(name);
	char label[MT_WORD_MAX + 3];

	for (const struct mt_opt *o = p->rows; o->name; o++) {
		if (strlen(o->name) != len || strncmp(o->name, name, len) != 0)
			continue;
		if (eq && o->type == MT_OPT_FLAG)
			return fail("--%s takes no argument: use --%s alone", o->name, o->name);
		snprintf(label, sizeof(label), "--%s", o->name);
		return take(p, o, label, eq ? eq + 1 : NULL);
	}
	return unknown_long(p, name, len);
}

static const struct mt_opt *find_short(const struct parser *p, char c)
{
	for (const struct mt_opt *o = p->rows; o->name; o++) {
		if (o->shrt && o->shrt == c)
			return o;
	}
	return NULL;
}

static int unknown_short(const struct parser *p, const char *at)
{
	unsigned char c = (unsigned char)*at;
	char other = (char)(isupper(c) ? tolower(c) : toupper(c));
	char q[QUOTE_SIZE], in[QUOTE_SIZE + 8] = "";
	const char *word = *p->word;

	if (strlen(word) > 2)
		snprintf(in, sizeof(in), " in '%s'", mt_quote(q, sizeof(q), word));
	mt_quote(q, 8, (char[]){(char)c, '\0'});
	if (find_short(p, other))
		return fail("unknown option -%s%s: did you mean -%c?", q, in, other);
	return fail("unknown option -%s%s: --help lists them", q, in);
}

/* -q, -qv, -p1, -qp 1 */
static int parse_short(struct parser *p)
{
	for (const char *at = *p->word + 1; *at; at++) {
		const struct mt_opt *o = find_short(p, *at);
		char label[3] = {'-', *at, '\0'};
		int r;

		if (!o)
			return unknown_short(p, at);
		r = take(p, o, label, at[1] ? at + 1 : NULL);
		if (r || o->type != MT_OPT_FLAG)
			return r;
	}
	return 0;
}

/* Moves the n words at argv[at] in front of the operands argv[first] to argv[at - 1]. */
static void hoist(char **argv, int first, int at, int n)
{
	for (int k = 0; k < n; k++) {
		char *word = argv[at + k];

		memmove(&argv[first + k + 1], &argv[first + k],
			(size_t)(at - first) * sizeof(*argv));
		argv[first + k] = word;
	}
}

int mt_options_parse(const struct mt_opt *rows, int argc, char **argv, void *cfg, int *first,
		     bool *dashdash)
{
	struct parser p = {.rows = rows, .cfg = cfg};
	char q[QUOTE_SIZE];

	*first = 1;
	*dashdash = false;
	for (int i = 1; i < argc; i += p.used) {
		int r;

		p.word = &argv[i];
		p.used = 1;
		if (argv[i][0] != '-' || !argv[i][1])
			continue;
		if (!strcmp(argv[i], "--")) {
			if (*first < i)
				return fail("'%s' in front of --: only options may stand there",
					    mt_quote(q, sizeof(q), argv[*first]));
			*first = i + 1;
			*dashdash = true;
			return 0;
		}
		r = argv[i][1] == '-' ? parse_long(&p) : parse_short(&p);
		if (r)
			return r;
		hoist(argv, *first, i, p.used);
		*first += p.used;
	}
	return 0;
}

int mt_operand_error(const char *command, const char *operand)
{
	char q[QUOTE_SIZE];
	bool pid = all_digits(operand, strlen(operand));

	mt_quote(q, sizeof(q), operand);
	fail("%s: unexpected operand '%s': %s%s%s", command, q, pid ? "use -p " : "see memtrace ",
	     pid ? q : command, pid ? "" : " --help");
	return MT_EXIT_USAGE;
}

bool mt_color_wanted(const char *when, const char *output)
{
	const char *no = getenv("NO_COLOR");

	if (when && strcmp(when, "auto") != 0)
		return strcmp(when, "always") == 0;
	return !output && isatty(STDOUT_FILENO) && !(no && *no);
}

#define HELP_WIDTH  80
#define HELP_COLUMN 30

/* Prints text at the help column, words wrapped; column is where the cursor stands. */
static void print_wrapped(const char *text, int column)
{
	while (*text) {
		int n = (int)strcspn(text, " ");

		if (column < HELP_COLUMN) {
			column += printf("%*s", HELP_COLUMN - column, "");
		} else if (column > HELP_COLUMN && column + 1 + n > HELP_WIDTH) {
			printf("\n%*s", HELP_COLUMN, "");
			column = HELP_COLUMN;
		} else if (column > HELP_COLUMN) {
			column += printf(" ");
		}
		column += printf("%.*s", n, text);
		text += n;
		text += strspn(text, " ");
	}
	putchar('\n');
}

void mt_options_help(const struct mt_opt *rows)
{
	for (const struct mt_opt *o = rows; o->name; o++) {
		_cleanup_writer_ struct mt_writer w = {0};
		char shrt[5] = "    ";
		int column;

		if (o->shrt)
			snprintf(shrt, sizeof(shrt), "-%c, ", o->shrt);
		column = printf("  %s--%s%s%s", shrt, o->name, o->arg ? " " : "",
				o->arg ? o->arg : "");
		if (column > HELP_COLUMN - 2) {
			putchar('\n');
			column = 0;
		}
		mt_write_str(&w, o->help);
		if (o->type == MT_OPT_CHOICE && o->arg && !strchr(o->arg, '|')) {
			mt_write_str(&w, ": ");
			list_choices(&w, o->choices, ", ");
		}
		print_wrapped(w.err || !w.len ? o->help : w.buf, column);
	}
}
