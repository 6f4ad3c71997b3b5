/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "sys/symbols.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/words.h"
#include "sys/demangle.h"

/* The colon between BINARY and SYMBOL: not one of "::". */
static const char *find_colon(const char *spec)
{
	const char *p = strchr(spec, ':');

	while (p && p[1] == ':')
		p = strchr(p + 2, ':');
	return p;
}

/* A name has no blanks that say anything: "f(int, char)" is "f(int,char)". */
static void copy_packed(char *dst, size_t size, const char *src)
{
	size_t n = 0;

	for (; *src && n + 1 < size; src++) {
		const bool word = n && (isalnum((unsigned char)dst[n - 1]) || dst[n - 1] == '_');

		if (*src != ' ') {
			dst[n++] = *src;
			continue;
		}
		while (src[1] == ' ')
			src++;
		if (word && (isalnum((unsigned char)src[1]) || src[1] == '_'))
			dst[n++] = ' '; /* "unsigned int", "operator new" */
	}
	dst[n] = '\0';
}

int mt_symbol_parse(const char *spec, struct mt_symbol_query *q, const char **why)
{
	const char *colon = find_colon(spec), *name = colon ? colon + 1 : spec;
	const size_t binary = colon ? (size_t)(colon - spec) : 0;
	char *end;

	memset(q, 0, sizeof(*q));
	*why = binary >= sizeof(q->binary) || strlen(name) >= sizeof(q->name) ? "it is too long"
	       : !*name                                                       ? "no symbol is named"
	       : colon && !binary ? "nothing stands before the colon"
				  : NULL;
	if (*why)
		return -EINVAL;
	memcpy(q->binary, spec, binary);
	if (strncmp(name, "0x", 2) != 0) {
		copy_packed(q->name, sizeof(q->name), name);
		*why = q->name[0] ? NULL : "no symbol is named";
		return *why ? -EINVAL : 0;
	}
	errno = 0;
	q->addr = strtoull(name, &end, 16);
	q->by_addr = true;
	*why = errno || *end || end == name + 2 ? "that is no address"
	       : !binary                        ? "an address needs its file: BINARY:0xADDRESS"
						: NULL;
	return *why ? -EINVAL : 0;
}

bool mt_symbol_in(const struct mt_symbol_query *q, const char *path)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	const size_t n = strlen(q->binary);

	if (!n)
		return true;
	if (strchr(q->binary, '/'))
		return strcmp(q->binary, path) == 0;
	/* libc for libc.so.6, libsqlite3.so.0 for libsqlite3.so.0.8.6 */
	return strncmp(q->binary, base, n) == 0 && (!base[n] || base[n] == '.' || base[n] == '-');
}

/* Behind the compiler's addition to a name, a symbol's version, or NULL. */
static const char *find_addition(const char *symbol)
{
	return strpbrk(symbol[0] == '.' ? symbol + 1 : symbol, ".@");
}

/* A part of a function that is seldom run and stands elsewhere, or no function at all. */
static bool is_part(const char *addition)
{
	return strncmp(addition, ".cold", 5) == 0;
}

static enum mt_symbol_fit fit_plain(const struct mt_symbol_query *q, const char *symbol)
{
	const size_t n = strlen(q->name);
	const char *addition = symbol + n;

	/* most symbols differ early, and are not looked through */
	if (strncmp(q->name, symbol, n) != 0)
		return MT_FIT_NONE;
	if (!*addition)
		return MT_FIT_EXACT;
	if (find_addition(symbol) != addition || is_part(addition))
		return MT_FIT_NONE;
	return addition[0] == '@' ? MT_FIT_EXACT : MT_FIT_CLONE;
}

/* The end of the name proper: before its arguments, past "operator()". */
static size_t name_length(const char *name)
{
	const char *op = strstr(name, "operator()"), *from = op ? op + strlen("operator()") : name;
	int depth = 0;

	if (strncmp(from, "(anonymous namespace)", 21) == 0)
		from += 21;
	for (const char *p = from; *p; p++) {
		if (*p == '<')
			depth++;
		else if (*p == '>' && depth)
			depth--;
		else if (*p == '(' && !depth && strncmp(p, "(anonymous namespace)", 21) != 0)
			return (size_t)(p - name);
		else if (*p == '(' && !depth)
			p += 20;
	}
	return strlen(name);
}

static bool has_args(const char *name)
{
	return name[name_length(name)] == '(';
}

/* The last identifier of the name, which stands in its mangled form, too. */
static bool last_identifier(const char *name, char *buf, size_t size)
{
	size_t end = name_length(name), begin, n;
	int depth = 0;

	while (end && (depth || name[end - 1] == '>')) { /* template arguments */
		depth += name[end - 1] == '>';
		depth -= name[end - 1] == '<';
		end--;
	}
	begin = end;
	while (begin && (isalnum((unsigned char)name[begin - 1]) || name[begin - 1] == '_'))
		begin--;
	n = end - begin;
	if (!n || n >= size || strstr(name, "operator"))
		return false;
	memcpy(buf, name + begin, n);
	buf[n] = '\0';
	return true;
}

/* Equal, or equal behind the namespaces and classes that the query leaves out. */
static enum mt_symbol_fit compare(const char *query, const char *name)
{
	const size_t n = strlen(query), m = strlen(name);

	if (strcmp(query, name) == 0)
		return MT_FIT_EXACT;
	if (m > n + 2 && strcmp(name + m - n, query) == 0 && name[m - n - 1] == ':')
		return MT_FIT_SUFFIX;
	return MT_FIT_NONE;
}

/* Template arguments are left out where the query has none. */
static void cut_templates(char *name)
{
	char *to = name;
	int depth = 0;

	for (const char *p = name; *p; p++) {
		const bool op = p - name >= 8 && strncmp(p - 8, "operator", 8) == 0;

		if (*p == '<' && !op)
			depth++;
		else if (*p == '>' && depth)
			depth--;
		else if (!depth)
			*to++ = *p;
	}
	*to = '\0';
}

static enum mt_symbol_fit fit_mangled(const struct mt_symbol_query *q, const char *symbol)
{
	char shown[MT_DEMANGLED_MAX], packed[MT_DEMANGLED_MAX];
	const char *addition = find_addition(symbol);
	enum mt_symbol_fit fit;
	char *clone;

	if (addition && is_part(addition))
		return MT_FIT_NONE;
	if (!mt_demangle(symbol, has_args(q->name), shown, sizeof(shown)))
		return MT_FIT_NONE;
	clone = strstr(shown, " [clone ");
	if (clone)
		*clone = '\0';
	copy_packed(packed, sizeof(packed), shown);
	fit = compare(q->name, packed);
	if (fit == MT_FIT_NONE && !strchr(q->name, '<')) {
		cut_templates(packed);
		fit = compare(q->name, packed);
	}
	return fit != MT_FIT_NONE && addition && addition[0] == '.' ? MT_FIT_CLONE : fit;
}

/*
 * As no query can be. A file can have millions of symbols that all are the end of one
 * name of megabytes: looked through again and again that would take hours.
 */
static bool is_endless(const char *symbol)
{
	const size_t most = sizeof(((struct mt_symbol_query *)0)->name) + MT_MANGLED_MAX;

	return strnlen(symbol, most) == most;
}

enum mt_symbol_fit mt_symbol_fit(const struct mt_symbol_query *q, const char *symbol)
{
	enum mt_symbol_fit fit;
	char id[256];

	if (is_endless(symbol))
		return MT_FIT_NONE;
	fit = fit_plain(q, symbol);
	if (fit != MT_FIT_NONE || !mt_is_mangled(symbol))
		return fit;
	if (last_identifier(q->name, id, sizeof(id)) && !strstr(symbol, id))
		return MT_FIT_NONE;
	return fit_mangled(q, symbol);
}

static void add_match(struct mt_symbol_matches *m, const struct mt_sym *sym, enum mt_symbol_fit fit)
{
	struct mt_symbol_match *last = m->n ? &m->v[m->n - 1] : NULL;

	/* aliases are one; they come one after another */
	if (last && last->sym.addr == sym->addr) {
		if (fit < last->fit)
			*last = (struct mt_symbol_match){*sym, fit};
		return;
	}
	m->more = m->more || m->n == MT_SYMBOL_MATCHES_MAX;
	if (!m->more)
		m->v[m->n++] = (struct mt_symbol_match){*sym, fit};
}

static int find_addr(const struct mt_elf *elf, const struct mt_symbol_query *q,
		     const struct mt_sym *syms, size_t n, struct mt_symbol_matches *m,
		     struct mt_sym *inside)
{
	struct mt_sym none = {.name = "", .addr = q->addr};

	for (size_t i = 0; i < n && syms[i].addr <= q->addr; i++) {
		if (syms[i].addr == q->addr) {
			add_match(m, &syms[i], MT_FIT_EXACT);
			return 0;
		}
		if (q->addr - syms[i].addr < syms[i].size) {
			*inside = syms[i];
			return -EINVAL;
		}
	}
	if (!mt_elf_offset(elf, q->addr, &none.offset))
		add_match(m, &none, MT_FIT_EXACT);
	return 0;
}

int mt_symbol_find(const struct mt_elf *elf, const struct mt_symbol_query *q,
		   struct mt_symbol_matches *m, struct mt_sym *inside)
{
	const struct mt_sym *syms;
	size_t n;
	int r = mt_elf_funcs(elf, &syms, &n);

	if (r || q->by_addr)
		return r ? r : find_addr(elf, q, syms, n, m, inside);
	for (size_t i = 0; i < n; i++) {
		const enum mt_symbol_fit fit = mt_symbol_fit(q, syms[i].name);

		if (fit != MT_FIT_NONE)
			add_match(m, &syms[i], fit);
	}
	return 0;
}

static void keep_near(struct mt_symbol_near *near, const char *name, unsigned int d)
{
	size_t at = 0;

	for (size_t i = 0; i < near->n; i++)
		if (strcmp(near->names[i], name) == 0)
			return;
	while (at < near->n && near->distance[at] <= d)
		at++;
	if (at == MT_SYMBOL_NEAR_MAX)
		return;
	if (near->n < MT_SYMBOL_NEAR_MAX)
		near->n++;
	memmove(&near->names[at + 1], &near->names[at],
		(near->n - 1 - at) * sizeof(near->names[0]));
	memmove(&near->distance[at + 1], &near->distance[at],
		(near->n - 1 - at) * sizeof(near->distance[0]));
	snprintf(near->names[at], sizeof(near->names[at]), "%s", name);
	near->distance[at] = d;
}

/* What stands before the last "::" of the query, or the beginning of its last word. */
static bool find_hint(const char *query, char *hint, size_t size)
{
	char head[sizeof(((struct mt_symbol_query *)0)->name)];
	const size_t n = name_length(query);
	char *colon;

	snprintf(head, sizeof(head), "%.*s", (int)n, query);
	colon = strrchr(head, ':');
	if (colon && colon > head) {
		colon[-1] = '\0';
		return last_identifier(head, hint, size) && strlen(hint) > 2;
	}
	if (!last_identifier(head, hint, size) || strlen(hint) < 4)
		return false;
	hint[4] = '\0';
	return true;
}

/* A name of C++ or Rust that has something in common with the query. */
static void try_mangled(const char *symbol, const char *hint, struct mt_symbol_near *near)
{
	char shown[MT_DEMANGLED_MAX];

	if (!strstr(symbol, hint) || strstr(symbol, ".cold") ||
	    !mt_demangle(symbol, true, shown, sizeof(shown)) ||
	    strlen(shown) >= sizeof(near->names[0]))
		return;
	keep_near(near, shown, MT_WORD_MAX);
}

#define NEAR_DEMANGLED_MAX 2000 /* names that are taken apart for it */

void mt_symbol_near(const struct mt_elf *elf, const struct mt_symbol_query *q,
		    struct mt_symbol_near *near)
{
	const size_t n = strlen(q->name);
	unsigned int demangled = 0;
	const struct mt_sym *syms;
	char hint[256];
	const bool hinted = find_hint(q->name, hint, sizeof(hint));
	size_t count;

	if (!n || n > MT_WORD_MAX || mt_elf_funcs(elf, &syms, &count))
		return;
	for (size_t i = 0; i < count; i++) {
		const char *name = syms[i].name;
		struct mt_nearest one = {0};

		if (is_endless(name))
			continue;
		if (mt_is_mangled(name)) {
			if (hinted && demangled < NEAR_DEMANGLED_MAX && strstr(name, hint)) {
				demangled++;
				try_mangled(name, hint, near);
			}
			continue;
		}
		mt_nearest_try(&one, q->name, n, name);
		if (one.name)
			keep_near(near, name, one.distance);
		else if (n > 3 && strnlen(name, MT_WORD_MAX) < MT_WORD_MAX &&
			 strcasestr(name, q->name))
			keep_near(near, name, MT_WORD_MAX + (unsigned int)(strlen(name) - n));
	}
}
