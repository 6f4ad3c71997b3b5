/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The grammar is in the header; fuzzed by tests/fuzz/fuzz_condition.c. */
#include "trigger/condition.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/words.h"

#define QUOTE_SIZE 48
#define NS_PER_S   1e9
#define DAY_NS     (86400 * NS_PER_S)
#define WINDOW_MAX (366 * DAY_NS)

/* Of the address space, by the keys that the JSON has. */
static const struct vm_field {
	const char *name;
	size_t offset;
	enum mt_vm_depth depth;
} vm_fields[] = {
	{"rss", offsetof(struct mt_vm, rss), MT_VM_STATUS},
	{"pss", offsetof(struct mt_vm, pss), MT_VM_FULL},
	{"swap", offsetof(struct mt_vm, swap), MT_VM_STATUS},
	{"shared", offsetof(struct mt_vm, shared), MT_VM_STATUS},
	{"data", offsetof(struct mt_vm, data), MT_VM_STATUS},
	{"stack", offsetof(struct mt_vm, stack), MT_VM_STATUS},
	{"cgroup_current", offsetof(struct mt_vm, cgroup_current), MT_VM_PARTS},
};
#define N_VM_FIELDS (sizeof(vm_fields) / sizeof(vm_fields[0]))

/* Fields of MemStats for which more is read than the status; see mt_snapshot_derive. */
static const struct {
	const char *name;
	enum mt_vm_depth depth;
} deeper[] = {
	{"HeapSys", MT_VM_PARTS},   {"HeapIdle", MT_VM_PARTS},    {"HeapInuse", MT_VM_PARTS},
	{"StackSys", MT_VM_PARTS},  {"MSpanInuse", MT_VM_PARTS},  {"MSpanSys", MT_VM_PARTS},
	{"OtherSys", MT_VM_PARTS},  {"MCacheInuse", MT_VM_PARTS}, {"MCacheSys", MT_VM_PARTS},
	{"StackInuse", MT_VM_FULL}, {"HeapReleased", MT_VM_FULL},
};

struct suffix {
	const char *name;
	double factor;
};

static const struct suffix bytes_suffixes[] = {
	{"", 1},       {"B", 1},        {"K", 0x1p10},   {"KiB", 0x1p10}, {"KB", 1e3},
	{"M", 0x1p20}, {"MiB", 0x1p20}, {"MB", 1e6},     {"G", 0x1p30},   {"GiB", 0x1p30},
	{"GB", 1e9},   {"T", 0x1p40},   {"TiB", 0x1p40}, {"TB", 1e12},    {NULL, 0},
};
static const struct suffix time_suffixes[] = {
	{"ns", 1},
	{"us", 1e3},
	{"ms", 1e6},
	{"s", NS_PER_S},
	{"sec", NS_PER_S},
	{"second", NS_PER_S},
	{"m", 60 * NS_PER_S},
	{"min", 60 * NS_PER_S},
	{"minute", 60 * NS_PER_S},
	{"h", 3600 * NS_PER_S},
	{"hour", 3600 * NS_PER_S},
	{"d", DAY_NS},
	{"day", DAY_NS},
	{NULL, 0},
};
static const struct suffix plain_suffixes[] = {{"", 1}, {NULL, 0}};
static const struct suffix ratio_suffixes[] = {{"", 1}, {"%", 0.01}, {NULL, 0}};

/* How amounts of a unit are written. */
static const struct {
	const struct suffix *suffixes;
	const char *use;
} amounts[] = {
	[MT_FIELD_BYTES] = {bytes_suffixes, "use B, KiB, MiB, GiB or TiB"},
	[MT_FIELD_COUNT] = {plain_suffixes, "it is a number without a unit: use 1000 or 1e6"},
	[MT_FIELD_NS] = {time_suffixes, "it is a time: use 500us, 10ms, 2s or 1m"},
	[MT_FIELD_TIME] = {time_suffixes, "it is compared by its age: use 10ms, 2s or 1m"},
	[MT_FIELD_RATIO] = {ratio_suffixes, "it is a ratio: use 5% or 0.05"},
};

struct parser {
	const char *text, *at;
	struct mt_condition *c;
	struct mt_condition_error *e;
};

__attribute__((format(printf, 3, 4))) static int fail(const struct parser *p, const char *at,
						      const char *fmt, ...)
{
	va_list ap;

	p->e->column = 1;
	for (const char *s = p->text; s < at; s++)
		p->e->column += ((unsigned char)*s & 0xc0) != 0x80;
	va_start(ap, fmt);
	vsnprintf(p->e->why, sizeof(p->e->why), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* The n bytes at s, quoted to be shown. */
static const char *quote(char buf[QUOTE_SIZE], const char *s, size_t n)
{
	char word[QUOTE_SIZE + 1];

	snprintf(word, sizeof(word), "%.*s", (int)(n < sizeof(word) ? n : sizeof(word) - 1), s);
	return mt_quote(buf, QUOTE_SIZE, word);
}

static void skip_blanks(struct parser *p)
{
	p->at += strspn(p->at, " \t");
}

static size_t word_length(const char *s)
{
	size_t n = 0;

	while (isascii((unsigned char)s[n]) && (isalnum((unsigned char)s[n]) || s[n] == '_'))
		n++;
	return n;
}

/* What stands at s, for a message: a word, or all up to the next blank. */
static size_t piece_length(const char *s)
{
	size_t n = word_length(s);

	return n ? n : strcspn(s, " \t");
}

static bool is_word(const char *s, size_t n, const char *name)
{
	return strlen(name) == n && !strncasecmp(s, name, n);
}

static int unknown_field(const struct parser *p, size_t n)
{
	struct mt_nearest best = {0};
	char q[QUOTE_SIZE];

	for (size_t i = 0; i < mt_fields_count; i++)
		mt_nearest_try(&best, p->at, n, mt_fields[i].name);
	for (size_t i = 0; i < N_VM_FIELDS; i++)
		mt_nearest_try(&best, p->at, n, vm_fields[i].name);
	quote(q, p->at, n);
	if (best.name)
		return fail(p, p->at, "there is no field '%s': did you mean %s?", q, best.name);
	return fail(p, p->at,
		    "there is no field '%s': use one of MemStats, such as Alloc or HeapObjects, "
		    "or rss, pss, swap, shared, data, stack, cgroup_current",
		    q);
}

static void take_memstats(struct mt_condition *c, const struct mt_field *f)
{
	c->field = f;
	c->name = f->name;
	c->unit = f->unit;
	c->depth = MT_VM_STATUS;
	for (size_t i = 0; i < sizeof(deeper) / sizeof(deeper[0]); i++)
		if (!strcmp(deeper[i].name, f->name))
			c->depth = deeper[i].depth;
}

static void take_vm(struct mt_condition *c, const struct vm_field *f)
{
	c->vm_offset = f->offset;
	c->name = f->name;
	c->unit = MT_FIELD_BYTES;
	c->depth = f->depth;
}

static int parse_field(struct parser *p)
{
	size_t n;

	skip_blanks(p);
	n = word_length(p->at);
	if (!n)
		return fail(p, p->at, "a field is missing: such as Alloc, HeapObjects or rss");
	for (size_t i = 0; i < mt_fields_count && !p->c->name; i++)
		if (is_word(p->at, n, mt_fields[i].name))
			take_memstats(p->c, &mt_fields[i]);
	for (size_t i = 0; i < N_VM_FIELDS && !p->c->name; i++)
		if (is_word(p->at, n, vm_fields[i].name))
			take_vm(p->c, &vm_fields[i]);
	if (!p->c->name)
		return unknown_field(p, n);
	p->at += n;
	return 0;
}

static int parse_op(struct parser *p)
{
	static const struct {
		const char *text;
		enum mt_condition_op op;
	} ops[] = {{">=", MT_OP_FROM}, {"<=", MT_OP_TO}, {">", MT_OP_ABOVE}, {"<", MT_OP_BELOW}};
	const char *use = "use >, >=, <, <= or grows";
	char q[QUOTE_SIZE];
	size_t n;

	skip_blanks(p);
	n = word_length(p->at);
	if (is_word(p->at, n, "grows")) {
		p->c->op = MT_OP_GROWS;
		p->at += n;
		return p->c->unit == MT_FIELD_TIME
			       ? fail(p, p->at - n, "%s is a moment, which does not grow",
				      p->c->name)
			       : 0;
	}
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (!strncmp(p->at, ops[i].text, strlen(ops[i].text))) {
			p->c->op = ops[i].op;
			p->at += strlen(ops[i].text);
			return 0;
		}
	if (!*p->at)
		return fail(p, p->at, "a comparison is missing: %s", use);
	return fail(p, p->at, "'%s' is no comparison: %s", quote(q, p->at, piece_length(p->at)),
		    use);
}

static size_t digits(const char *s)
{
	return strspn(s, "0123456789");
}

/* The length of the number at s, 0: none. */
static size_t number_length(const char *s)
{
	size_t whole = digits(s), n = whole, part, sign;

	if (s[n] == '.') {
		part = digits(s + n + 1);
		if (!whole && !part)
			return 0;
		n += 1 + part;
	}
	if (!n || (s[n] != 'e' && s[n] != 'E'))
		return n;
	sign = s[n + 1] == '+' || s[n + 1] == '-';
	part = digits(s + n + 1 + sign);
	return part ? n + 1 + sign + part : n;
}

/* 0, -ENOENT: there is none, -EINVAL: failed. */
static int parse_number(struct parser *p, double *ret)
{
	const size_t n = number_length(p->at);
	char text[64];

	if (!n)
		return -ENOENT;
	if (n >= sizeof(text))
		return fail(p, p->at, "the number is too long");
	snprintf(text, sizeof(text), "%.*s", (int)n, p->at);
	*ret = strtod(text, NULL);
	if (!isfinite(*ret))
		return fail(p, p->at, "the number is too large");
	p->at += n;
	return 0;
}

/* The suffix at p->at, of which n is the length. */
static const struct suffix *find_suffix(const struct suffix *s, const char *at, size_t n)
{
	for (; s->name; s++)
		if (is_word(at, n, s->name))
			return s;
	return NULL;
}

static int parse_percent(struct parser *p, double v)
{
	const struct mt_condition *c = p->c;

	if (c->unit != MT_FIELD_BYTES)
		return fail(p, p->at, "%% does not go with %s: %s", c->name, amounts[c->unit].use);
	if (!c->field && c->vm_offset == offsetof(struct mt_vm, swap))
		return fail(p, p->at, "what is swapped out is not within the memory limit: %s",
			    amounts[c->unit].use);
	p->c->percent = true;
	p->c->amount = v / 100;
	p->at++;
	return 0;
}

static int parse_amount(struct parser *p)
{
	const enum mt_field_unit unit = p->c->unit;
	const struct suffix *suffix;
	char q[QUOTE_SIZE];
	double v = 0;
	size_t n;
	int r;

	skip_blanks(p);
	r = parse_number(p, &v);
	if (r == -ENOENT && !*p->at)
		return fail(p, p->at, "an amount is missing: %s", amounts[unit].use);
	if (r == -ENOENT)
		return fail(p, p->at, "'%s' is no amount: %s", quote(q, p->at, piece_length(p->at)),
			    amounts[unit].use);
	if (r)
		return r;
	skip_blanks(p);
	if (*p->at == '%' && unit != MT_FIELD_RATIO)
		return parse_percent(p, v);
	n = *p->at == '%' ? 1 : word_length(p->at);
	suffix = find_suffix(amounts[unit].suffixes, p->at, n);
	if (!suffix && !n)
		return fail(p, p->at, "%s needs a unit: %s", p->c->name, amounts[unit].use);
	if (!suffix)
		return fail(p, p->at, "'%s' is no unit of %s: %s", quote(q, p->at, n), p->c->name,
			    amounts[unit].use);
	p->c->amount = v * suffix->factor;
	p->at += n;
	return isfinite(p->c->amount) ? 0 : fail(p, p->at - n, "the amount is too large");
}

static int parse_window(struct parser *p)
{
	const char *use = "such as /s, /min, /h or /10s";
	const struct suffix *suffix;
	const char *start;
	double v = 1;
	size_t n;
	int r;

	skip_blanks(p);
	if (*p->at != '/')
		return fail(p, p->at, "what grows needs a time: %s", use);
	p->at++;
	skip_blanks(p);
	start = p->at;
	r = parse_number(p, &v);
	if (r == -EINVAL)
		return r;
	n = word_length(p->at);
	suffix = find_suffix(time_suffixes, p->at, n);
	if (!suffix)
		return fail(p, p->at, "a time is missing: %s", use);
	v *= suffix->factor;
	p->at += n;
	if (!(v >= 1e6 && v <= WINDOW_MAX))
		return fail(p, start, "the time must be from 1ms to 366 days");
	p->c->window_ns = (uint64_t)v;
	return 0;
}

int mt_condition_parse(const char *text, struct mt_condition *ret, struct mt_condition_error *e)
{
	struct mt_condition c = {0};
	struct parser p = {.text = text, .at = text, .c = &c, .e = e};
	const char *amount;
	char q[QUOTE_SIZE];
	int r = parse_field(&p);

	if (!r)
		r = parse_op(&p);
	skip_blanks(&p);
	amount = p.at;
	if (!r)
		r = parse_amount(&p);
	if (!r && c.op == MT_OP_GROWS && c.amount <= 0)
		r = fail(&p, amount, "the amount must be above 0");
	if (!r && c.op == MT_OP_GROWS)
		r = parse_window(&p);
	if (r)
		return r;
	skip_blanks(&p);
	if (*p.at)
		return fail(&p, p.at, "'%s' is too much: a condition is one comparison",
			    quote(q, p.at, piece_length(p.at)));
	*ret = c;
	return 0;
}
