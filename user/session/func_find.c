/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "session/func_find.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/order.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/writer.h"
#include "sys/demangle.h"

#define FILES_MAX 4096
#define LISTED    10 /* of many that a name fits */

static bool is_known(const struct mt_func_files *files, const struct stat *st)
{
	for (size_t i = 0; i < files->n; i++)
		if (files->v[i].f.st.st_dev == st->st_dev && files->v[i].f.st.st_ino == st->st_ino)
			return true;
	return false;
}

static bool is_stripped(const struct mt_elf *elf)
{
	struct mt_elf_section s;

	return !mt_elf_debug(elf) && mt_elf_find_section(elf, ".symtab", &s);
}

static int open_one(pid_t tid, const struct mt_mapping *m, struct mt_func_files *files)
{
	struct mt_func_file one = {.f = {.map = m}, .fd = -1};
	struct mt_func_file *v;
	int r = mt_alloc_file_open_symbols(tid, &one.f, &one.fd);

	if (r || is_known(files, &one.f.st)) {
		files->unread += r && r != -ENOEXEC;
		mt_alloc_file_close(&one.f);
		mt_cleanup_close(&one.fd);
		return r == -ENOMEM ? r : 0;
	}
	v = reallocarray(files->v, files->n + 1, sizeof(*v));
	if (!v) {
		mt_alloc_file_close(&one.f);
		mt_cleanup_close(&one.fd);
		return -ENOMEM;
	}
	files->stripped += is_stripped(one.f.elf);
	files->v = v;
	v[files->n++] = one;
	return 0;
}

int mt_func_files_open(pid_t pid, const struct mt_maps *maps, const struct mt_symbol_query *q,
		       struct mt_func_files *ret)
{
	const pid_t tid = mt_proc_live(pid);
	int r = 0;

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < maps->n && !r && ret->n < FILES_MAX; i++) {
		/* one that is mapped thousands of times is opened once */
		if (mt_mapping_is_first(maps, i) && mt_symbol_in(q, maps->v[i].path))
			r = open_one(tid, &maps->v[i], ret);
	}
	return r;
}

void mt_func_files_free(struct mt_func_files *files)
{
	for (size_t i = 0; i < files->n; i++) {
		mt_alloc_file_close(&files->v[i].f);
		mt_cleanup_close(&files->v[i].fd);
	}
	free(files->v);
	memset(files, 0, sizeof(*files));
}

/* The functions of all files that the name fits. */
struct hits {
	struct hit {
		const struct mt_func_file *file;
		struct mt_symbol_match m;
	} * v; /* owned */
	size_t n;
	enum mt_symbol_fit best;
};

static void hits_fini(struct hits *h)
{
	free(h->v);
}

static const char *basename_of(const struct mt_func_file *file)
{
	const char *path = file->f.map->path, *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* What a symbol is called by people; one without a name by its address. */
static void write_name(struct mt_writer *w, const struct mt_sym *sym)
{
	char shown[MT_DEMANGLED_MAX];

	if (mt_demangle(sym->name, true, shown, sizeof(shown)))
		mt_write_escaped(w, shown);
	else if (sym->name[0])
		mt_write_escaped(w, sym->name);
	else
		mt_writef(w, "0x%" PRIx64, sym->addr);
}

static int add_hits(struct hits *h, const struct mt_func_file *file,
		    const struct mt_symbol_matches *m)
{
	struct hit *v = reallocarray(h->v, h->n + m->n + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	h->v = v;
	for (size_t i = 0; i < m->n; i++) {
		v[h->n++] = (struct hit){file, m->v[i]};
		h->best = m->v[i].fit < h->best ? m->v[i].fit : h->best;
	}
	return 0;
}

static int in_the_middle(const struct mt_symbol_query *q, const struct mt_sym *sym)
{
	_cleanup_writer_ struct mt_writer w = {0};

	write_name(&w, sym);
	return mt_err_r(-EINVAL,
			"--func: 0x%" PRIx64 " is in the middle of %s, which begins at 0x%" PRIx64,
			q->addr, w.buf ? w.buf : "?", sym->addr);
}

/* memcpy and the like: which of several functions it is only the process knows. */
static int check_not_chosen(const struct mt_func_file *file, const struct mt_symbol_query *q)
{
	_cleanup_writer_ struct mt_writer w = {0};

	if (q->by_addr || !mt_elf_is_ifunc(file->f.elf, q->name))
		return 0;
	mt_write_escaped(&w, q->name);
	mt_write_str(&w, " of ");
	mt_write_escaped(&w, basename_of(file));
	return mt_err_r(-ENOTSUP,
			"--func: %s is one of several functions, chosen by what the CPU can do "
			"(IFUNC): name that one by its address, BINARY:0xADDRESS",
			w.buf ? w.buf : "it");
}

static int search(const struct mt_func_files *files, const struct mt_symbol_query *q,
		  struct hits *h)
{
	_cleanup_free_ struct mt_symbol_matches *m = malloc(sizeof(*m));
	int r = m ? 0 : -ENOMEM;

	h->best = MT_FIT_NONE;
	for (size_t i = 0; i < files->n && !r; i++) {
		struct mt_sym inside = {0};

		memset(m, 0, sizeof(*m));
		r = check_not_chosen(&files->v[i], q);
		if (r)
			return r;
		r = mt_symbol_find(files->v[i].f.elf, q, m, &inside);
		if (r == -EINVAL)
			return in_the_middle(q, &inside);
		if (!r)
			r = add_hits(h, &files->v[i], m);
	}
	return r == -ENOMEM ? mt_err_r(r, "out of memory") : r;
}

static void write_nearest(struct mt_writer *w, const struct mt_func_files *files,
			  const struct mt_symbol_query *q)
{
	_cleanup_free_ struct mt_symbol_near *near = calloc(1, sizeof(*near));

	for (size_t i = 0; near && i < files->n; i++)
		mt_symbol_near(files->v[i].f.elf, q, near);
	for (size_t i = 0; near && i < near->n; i++) {
		mt_write_str(w, i ? ", " : "; nearest: ");
		mt_write_escaped(w, near->names[i]);
	}
}

static int not_found(pid_t pid, const struct mt_func_files *files, const struct mt_symbol_query *q)
{
	_cleanup_writer_ struct mt_writer w = {0};

	mt_write_str(&w, "--func: ");
	if (!files->n) {
		mt_writef(&w, "pid %d has no file mapped that is called ", pid);
		mt_write_escaped(&w, q->binary[0] ? q->binary : "anything");
		if (files->unread)
			mt_write_str(&w, " and can be read");
		return mt_err_r(-ENOENT, "%s", w.buf ? w.buf : "out of memory");
	}
	if (q->by_addr)
		return mt_err_r(-ENOENT, "--func: no code at 0x%" PRIx64 " of that file", q->addr);
	mt_write_str(&w, "no function is called ");
	mt_write_escaped(&w, q->name);
	mt_writef(&w, " in the %zu file%s that pid %d runs code of", files->n,
		  files->n == 1 ? "" : "s", pid);
	write_nearest(&w, files, q);
	mt_write_str(&w, ". It may be inlined wherever it is called");
	if (files->stripped)
		mt_writef(&w, ", or known only to debug symbols: %zu of the files are stripped",
			  files->stripped);
	return mt_err_r(-ENOENT, "%s", w.buf ? w.buf : "out of memory");
}

static void list_hit(const struct hit *hit)
{
	_cleanup_writer_ struct mt_writer w = {0};

	mt_write_str(&w, "  --func '");
	mt_write_escaped(&w, basename_of(hit->file));
	mt_writef(&w, ":0x%" PRIx64 "'  ", hit->m.sym.addr);
	write_name(&w, &hit->m.sym);
	mt_write_str(&w, "  in ");
	mt_write_escaped(&w, hit->file->f.map->path);
	mt_log(MT_LOG_ERR, "%s", w.buf ? w.buf : "out of memory");
}

static int ambiguous(const struct hits *h, const struct mt_symbol_query *q, size_t n)
{
	_cleanup_writer_ struct mt_writer w = {0};
	size_t listed = 0;

	mt_write_escaped(&w, q->name);
	mt_log(MT_LOG_ERR, "--func: %zu functions are called %s: choose one by its file or address",
	       n, w.buf ? w.buf : "so");
	for (size_t i = 0; i < h->n && listed < LISTED; i++)
		if (h->v[i].m.fit == h->best) {
			list_hit(&h->v[i]);
			listed++;
		}
	if (n > listed)
		mt_log(MT_LOG_ERR, "  and %zu more", n - listed);
	return -ENOTUNIQ;
}

/* Copies of it that the compiler made for some of its callers are functions of their own. */
static void tell_clones(const struct hits *h, const struct hit *chosen)
{
	for (size_t i = 0; i < h->n; i++) {
		_cleanup_writer_ struct mt_writer w = {0};

		if (h->v[i].m.fit != MT_FIT_CLONE || h->v[i].file != chosen->file)
			continue;
		write_name(&w, &h->v[i].m.sym);
		if (&h->v[i] == chosen)
			mt_warn("the compiler left no such function but %s, made for some callers",
				w.buf ? w.buf : "?");
		else
			mt_warn("the compiler also made %s, for some callers: those calls are not "
				"counted",
				w.buf ? w.buf : "?");
	}
}

int mt_func_find(pid_t pid, const struct mt_func_files *files, const struct mt_symbol_query *q,
		 struct mt_func_found *ret)
{
	MT_CLEANUP(hits_fini) struct hits h = {0};
	_cleanup_writer_ struct mt_writer w = {0};
	const struct hit *chosen = NULL;
	size_t n = 0;
	int r = search(files, q, &h);

	if (r)
		return r;
	for (size_t i = 0; i < h.n; i++)
		if (h.v[i].m.fit == h.best) {
			chosen = chosen ?: &h.v[i];
			n++;
		}
	if (!chosen)
		return not_found(pid, files, q);
	if (n > 1)
		return ambiguous(&h, q, n);
	tell_clones(&h, chosen);
	ret->file = chosen->file;
	ret->sym = chosen->m.sym;
	write_name(&w, &chosen->m.sym);
	snprintf(ret->name, sizeof(ret->name), "%s", w.buf ? w.buf : "?");
	return 0;
}
