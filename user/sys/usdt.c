/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "sys/usdt.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/words.h"
#include "base/writer.h"
#include "sys/elf_internal.h"

#define SECTION ".note.stapsdt"
#define OWNER   "stapsdt"
#define NT_USDT 3           /* the only type that there is */
#define NOTES   (16u << 20) /* bytes; the largest honest files have some 100 KiB */
#define SHOWN   8           /* names in a suggestion */

/* What a note begins with; two strings and the arguments follow. */
struct place {
	uint64_t pc, base, semaphore; /* link-time addresses */
};

/* The section as libelf has it, which knows how notes are aligned; NULL: none. */
static Elf_Data *read_notes(const struct mt_elf *elf)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;
	size_t names;

	if (elf_getshdrstrndx(elf->elf, &names) || !mt_elf_strings_ok(elf, names))
		return NULL;
	while ((scn = elf_nextscn(elf->elf, scn))) {
		const char *s;

		if (!gelf_getshdr(scn, &sh) || sh.sh_type != SHT_NOTE || sh.sh_size > NOTES)
			continue;
		s = elf_strptr(elf->elf, names, sh.sh_name);
		if (s && !strcmp(s, SECTION))
			return mt_elf_read_section(elf, scn, &sh, sh.sh_entsize);
	}
	return NULL;
}

/* Where in the file the bytes at a link-time address are that processes have of their own. */
static uint64_t writable_offset(const struct mt_elf *elf, uint64_t addr)
{
	for (size_t i = 0; i < elf->n_ph; i++) {
		const GElf_Phdr *ph = &elf->ph[i];

		if (ph->p_type == PT_LOAD && (ph->p_flags & PF_W) && addr >= ph->p_vaddr &&
		    addr - ph->p_vaddr < ph->p_filesz)
			return addr - ph->p_vaddr + ph->p_offset;
	}
	return 0;
}

/* Both strings, ended within the n bytes, as one name. */
static bool read_name(const char *text, size_t n, char name[MT_USDT_NAME])
{
	const size_t provider = strnlen(text, n);
	size_t len;

	if (provider == 0 || provider == n)
		return false;
	len = strnlen(text + provider + 1, n - provider - 1);
	if (len == 0 || len == n - provider - 1 || provider + 1 + len >= MT_USDT_NAME)
		return false;
	memcpy(name, text, provider);
	name[provider] = ':';
	memcpy(name + provider + 1, text + provider + 1, len + 1);
	return strchr(name, ':') == strrchr(name, ':'); /* others could not be asked for */
}

/*
 * <sys/sdt.h> and all that do as it does leave a no-op at a mark. Anything else there
 * means that the notes are not of this code, and a breakpoint might then stand within
 * an instruction.
 */
static bool is_nop(const struct mt_elf *elf, uint64_t addr)
{
	const uint8_t *text;
	uint64_t start;
	size_t len;

	if (mt_elf_text(elf, addr, &text, &len, &start))
		return false;
	len -= addr - start;
	text += addr - start;
	return text[0] == 0x90 || (len > 1 && text[0] == 0x66 && text[1] == 0x90) ||
	       (len > 1 && text[0] == 0x0f && text[1] == 0x1f);
}

/*
 * Addresses are those of the link; what came after it (prelink) may have moved
 * the file: by as much as the section whose address the notes have as base.
 */
static bool read_mark(const struct mt_elf *elf, uint64_t base, const uint8_t *desc, size_t n,
		      struct mt_usdt *out)
{
	struct place at;

	if (n <= sizeof(at))
		return false;
	memcpy(&at, desc, sizeof(at));
	if (!read_name((const char *)desc + sizeof(at), n - sizeof(at), out->name))
		return false;
	if (base) {
		at.pc += base - at.base;
		at.semaphore += at.semaphore ? base - at.base : 0;
	}
	if (!is_nop(elf, at.pc) || mt_elf_offset(elf, at.pc, &out->offset))
		return false;
	out->ref_ctr = at.semaphore ? writable_offset(elf, at.semaphore) : 0;
	/* it would not be switched on, and so never be hit */
	return !at.semaphore || out->ref_ctr;
}

static int add(struct mt_usdts *v, const struct mt_usdt *mark)
{
	if (v->n == v->room) {
		const size_t room = v->room ? 2 * v->room : 64;
		struct mt_usdt *more = reallocarray(v->v, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		v->v = more;
		v->room = room;
	}
	v->v[v->n++] = *mark;
	return 0;
}

int mt_usdt_read(const struct mt_elf *elf, size_t file, struct mt_usdts *v)
{
	struct mt_elf_section base = {0};
	Elf_Data *data = read_notes(elf);
	size_t off = 0, next, name, desc;
	GElf_Nhdr nh;

	if (!data || !data->d_buf)
		return 0;
	mt_elf_find_section(elf, ".stapsdt.base", &base);
	while (v->n < MT_USDT_MAX && (next = gelf_getnote(data, off, &nh, &name, &desc)) > off) {
		const uint8_t *p = data->d_buf;
		struct mt_usdt mark = {.file = file};

		off = next;
		if (nh.n_type != NT_USDT || nh.n_namesz != sizeof(OWNER) ||
		    memcmp(p + name, OWNER, sizeof(OWNER)) != 0 ||
		    !read_mark(elf, base.addr, p + desc, nh.n_descsz, &mark))
			continue;
		if (add(v, &mark))
			return -ENOMEM;
	}
	return 0;
}

void mt_usdt_fini(struct mt_usdts *v)
{
	free(v->v);
	memset(v, 0, sizeof(*v));
}

bool mt_usdt_has(const struct mt_usdts *v, const char *name)
{
	for (size_t i = 0; i < v->n; i++)
		if (!strcmp(v->v[i].name, name))
			return true;
	return false;
}

/* One name of len bytes; NULL or what is wrong with it. */
static const char *check_name(const char *s, size_t len)
{
	const char *colon = memchr(s, ':', len);

	if (len >= MT_USDT_NAME)
		return "a name is too long";
	if (!colon || colon == s || colon == s + len - 1 ||
	    memchr(colon + 1, ':', len - (size_t)(colon + 1 - s)))
		return "each mark is PROVIDER:NAME";
	return NULL;
}

int mt_usdt_parse(const char *arg, char begin[MT_USDT_NAME], char end[MT_USDT_NAME], char *why,
		  size_t size)
{
	const char *comma = strchr(arg, ','), *wrong = NULL;
	const size_t len = comma ? (size_t)(comma - arg) : 0;

	if (!comma || strchr(comma + 1, ','))
		wrong = "it takes two marks with a comma between them";
	if (!wrong)
		wrong = check_name(arg, len);
	if (!wrong)
		wrong = check_name(comma + 1, strlen(comma + 1));
	if (wrong) {
		snprintf(why, size, "%s", wrong);
		return -EINVAL;
	}
	snprintf(begin, MT_USDT_NAME, "%.*s", (int)len, arg);
	snprintf(end, MT_USDT_NAME, "%s", comma + 1);
	return 0;
}

struct near {
	const char *name;
	int rank; /* 0: the nearest; 1: of the same provider; 2 */
};

static int by_rank(const void *a, const void *b)
{
	const struct near *x = a, *y = b;

	return x->rank != y->rank ? x->rank - y->rank : strcmp(x->name, y->name);
}

/* Each name once, the nearest first. */
static struct near *sort(const struct mt_usdts *v, const char *name, size_t *n)
{
	struct near *near = calloc(v->n + 1, sizeof(*near));
	const size_t provider = strcspn(name, ":") + 1;
	struct mt_nearest best = {0};
	size_t kept = 0;

	for (size_t i = 0; near && i < v->n; i++)
		mt_nearest_try(&best, name, strlen(name), v->v[i].name);
	for (size_t i = 0; near && i < v->n; i++) {
		const char *other = v->v[i].name;
		const bool is_best = best.name && !strcmp(best.name, other);

		near[i] = (struct near){other, is_best ? 0 : 1 + !!strncmp(name, other, provider)};
	}
	if (near)
		qsort(near, v->n, sizeof(*near), by_rank);
	for (size_t i = 0; near && i < v->n; i++)
		if (!kept || strcmp(near[kept - 1].name, near[i].name) != 0)
			near[kept++] = near[i];
	*n = kept;
	return near;
}

void mt_usdt_suggest(const struct mt_usdts *v, const char *name, char *text, size_t size)
{
	_cleanup_writer_ struct mt_writer w = {0};
	_cleanup_free_ struct near *near = NULL;
	size_t n, shown;

	near = sort(v, name, &n);
	/* "and 1 more" would be no shorter */
	shown = n <= SHOWN + 1 ? n : SHOWN;
	for (size_t i = 0; near && i < shown; i++) {
		mt_write_str(&w, i ? ", " : "");
		mt_write_escaped(&w, near[i].name);
	}
	if (near && n > shown)
		mt_writef(&w, " and %zu more", n - shown);
	snprintf(text, size, "%s", w.err || !w.buf ? "" : w.buf);
}
