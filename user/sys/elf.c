/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "sys/elf.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

/*
 * A sparse file may claim tables of any size and number; the largest honest
 * ones (browsers with their symbols) stay below these.
 */
#define READ_MAX  (512ull << 20) /* bytes, of all that is read of one file */
#define PHDRS_MAX 256
#define RELA_MAX  8 /* relocation sections looked into */

struct symbols {
	bool loaded;
	Elf64_Sym *v;
	size_t n;
	char *names; /* NUL-terminated whatever the file holds */
	size_t names_len;
};

/* What is read on demand: the accessors take a const elf and fill this. */
struct cache {
	struct symbols dyn, sym;
	struct mt_sym *funcs; /* sorted by address */
	size_t n_funcs;
	bool have_funcs;
	uint8_t **segments; /* one per program header, NULL until read */
	uint64_t total;     /* bytes read into buffers so far */
};

struct mt_elf {
	int fd;
	uint64_t size;
	Elf64_Ehdr eh;
	Elf64_Phdr *ph;
	size_t n_ph;
	Elf64_Shdr *sh;
	size_t n_sh;
	struct cache *cache;
};

static int read_at(const struct mt_elf *elf, uint64_t off, void *buf, size_t len)
{
	if (off > elf->size || len > elf->size - off)
		return -EBADMSG;
	for (size_t done = 0; done < len;) {
		ssize_t n = pread(elf->fd, (char *)buf + done, len - done, (off_t)(off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0) /* truncated since we looked at its size */
			return -EBADMSG;
		done += (size_t)n;
	}
	return 0;
}

/* Reads into a new buffer with one NUL behind it. */
static int read_new(const struct mt_elf *elf, uint64_t off, uint64_t len, void *ret)
{
	_cleanup_free_ uint8_t *buf = NULL;
	int r;

	if (off > elf->size || len > elf->size - off)
		return -EBADMSG;
	if (len > READ_MAX - elf->cache->total)
		return -EFBIG;
	elf->cache->total += len;
	buf = malloc(len + 1);
	if (!buf)
		return -ENOMEM;
	r = read_at(elf, off, buf, len);
	if (r)
		return r;
	buf[len] = 0;
	*(void **)ret = TAKE_PTR(buf);
	return 0;
}

static int check_header(const struct mt_elf *elf)
{
	const Elf64_Ehdr *eh = &elf->eh;

	if (memcmp(eh->e_ident, ELFMAG, SELFMAG) != 0)
		return -ENOEXEC;
	if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_ident[EI_DATA] != ELFDATA2LSB)
		return -ENOTSUP;
	if (elf->size < sizeof(*eh))
		return -EBADMSG;
	if (eh->e_machine != EM_X86_64)
		return -ENOTSUP;
	if (eh->e_phnum > PHDRS_MAX || (eh->e_phnum && eh->e_phentsize != sizeof(Elf64_Phdr)))
		return -EBADMSG;
	if (eh->e_shnum && eh->e_shentsize != sizeof(Elf64_Shdr))
		return -EBADMSG;
	return 0;
}

static bool segment_ok(const struct mt_elf *elf, const Elf64_Phdr *ph)
{
	if (ph->p_type != PT_LOAD && ph->p_type != PT_DYNAMIC)
		return true;
	return ph->p_offset <= elf->size && ph->p_filesz <= elf->size - ph->p_offset &&
	       ph->p_filesz <= ph->p_memsz && ph->p_vaddr <= UINT64_MAX - ph->p_memsz;
}

static int read_headers(struct mt_elf *elf)
{
	const size_t head = elf->size < sizeof(elf->eh) ? elf->size : sizeof(elf->eh);
	int r = read_at(elf, 0, &elf->eh, head);

	r = r ?: check_header(elf);
	if (r)
		return r;
	r = read_new(elf, elf->eh.e_phoff, elf->eh.e_phnum * sizeof(*elf->ph), &elf->ph);
	if (r)
		return r;
	elf->n_ph = elf->eh.e_phnum;
	for (size_t i = 0; i < elf->n_ph; i++)
		if (!segment_ok(elf, &elf->ph[i]))
			return -EBADMSG;
	r = read_new(elf, elf->eh.e_shoff, elf->eh.e_shnum * sizeof(*elf->sh), &elf->sh);
	if (r)
		return r;
	elf->n_sh = elf->eh.e_shnum;
	elf->cache->segments = calloc(elf->n_ph + 1, sizeof(*elf->cache->segments));
	return elf->cache->segments ? 0 : -ENOMEM;
}

#define _cleanup_elf_ MT_CLEANUP(mt_elf_free)

int mt_elf_open_fd(int fd, struct mt_elf **ret)
{
	_cleanup_elf_ struct mt_elf *elf = calloc(1, sizeof(*elf));
	struct stat st;
	int r;

	if (!elf)
		return -ENOMEM;
	elf->fd = -1;
	elf->cache = calloc(1, sizeof(*elf->cache));
	if (!elf->cache)
		return -ENOMEM;
	elf->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (elf->fd < 0 || fstat(elf->fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < SELFMAG)
		return -ENOEXEC;
	elf->size = (uint64_t)st.st_size;
	r = read_headers(elf);
	if (r)
		return r;
	*ret = TAKE_PTR(elf);
	return 0;
}

int mt_elf_open(const char *path, struct mt_elf **ret)
{
	/* O_NONBLOCK: a path that a target chose may be a FIFO. */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return -errno;
	return mt_elf_open_fd(fd, ret);
}

void mt_elf_free(struct mt_elf **pelf)
{
	struct mt_elf *elf = *pelf;

	if (!elf)
		return;
	if (elf->cache) {
		for (size_t i = 0; elf->cache->segments && i < elf->n_ph; i++)
			free(elf->cache->segments[i]);
		free(elf->cache->segments);
		free(elf->cache->funcs);
		free(elf->cache->dyn.v);
		free(elf->cache->dyn.names);
		free(elf->cache->sym.v);
		free(elf->cache->sym.names);
		free(elf->cache);
	}
	mt_cleanup_close(&elf->fd);
	free(elf->ph);
	free(elf->sh);
	free(elf);
	*pelf = NULL;
}

static const Elf64_Shdr *find_section(const struct mt_elf *elf, uint32_t type)
{
	for (size_t i = 0; i < elf->n_sh; i++)
		if (elf->sh[i].sh_type == type)
			return &elf->sh[i];
	return NULL;
}

/* The string table of a symbol table; NULL if the file names none. */
static const Elf64_Shdr *strings_of(const struct mt_elf *elf, const Elf64_Shdr *sh)
{
	if (!sh || sh->sh_entsize != sizeof(Elf64_Sym) || sh->sh_link >= elf->n_sh ||
	    elf->sh[sh->sh_link].sh_type != SHT_STRTAB)
		return NULL;
	return &elf->sh[sh->sh_link];
}

/* A table that is damaged counts as empty: the file then has no symbols. */
static const struct symbols *load_symbols(const struct mt_elf *elf, struct symbols *s,
					  uint32_t type)
{
	const Elf64_Shdr *sh = find_section(elf, type);
	const Elf64_Shdr *str = strings_of(elf, sh);

	if (s->loaded)
		return s;
	s->loaded = true;
	if (!str || read_new(elf, str->sh_offset, str->sh_size, &s->names))
		return s;
	if (read_new(elf, sh->sh_offset, sh->sh_size, &s->v))
		return s;
	s->names_len = str->sh_size;
	s->n = sh->sh_size / sizeof(Elf64_Sym);
	return s;
}

static const struct symbols *dynsym(const struct mt_elf *elf)
{
	return load_symbols(elf, &elf->cache->dyn, SHT_DYNSYM);
}

static const struct symbols *symtab(const struct mt_elf *elf)
{
	return load_symbols(elf, &elf->cache->sym, SHT_SYMTAB);
}

static const char *sym_name(const struct symbols *s, const Elf64_Sym *sym)
{
	return sym->st_name < s->names_len ? s->names + sym->st_name : "";
}

/* The executable segment whose file part holds addr. */
static const Elf64_Phdr *find_text(const struct mt_elf *elf, uint64_t addr)
{
	for (size_t i = 0; i < elf->n_ph; i++) {
		const Elf64_Phdr *ph = &elf->ph[i];

		if (ph->p_type == PT_LOAD && (ph->p_flags & PF_X) && addr >= ph->p_vaddr &&
		    addr - ph->p_vaddr < ph->p_filesz)
			return ph;
	}
	return NULL;
}

static bool fill_func(const struct mt_elf *elf, const struct symbols *s, const Elf64_Sym *sym,
		      struct mt_sym *out)
{
	const Elf64_Phdr *ph;

	if (ELF64_ST_TYPE(sym->st_info) != STT_FUNC || sym->st_shndx == SHN_UNDEF)
		return false;
	ph = find_text(elf, sym->st_value);
	if (!ph)
		return false;
	*out = (struct mt_sym){
		.name = sym_name(s, sym),
		.addr = sym->st_value,
		.offset = sym->st_value - ph->p_vaddr + ph->p_offset,
		.size = sym->st_size,
		.from_symtab = s == &elf->cache->sym,
		.local = ELF64_ST_BIND(sym->st_info) == STB_LOCAL,
	};
	return true;
}

/* A local function may happen to have the name: a global one goes before it. */
static int find_in(const struct mt_elf *elf, const struct symbols *s, const char *name,
		   struct mt_sym *ret)
{
	struct mt_sym found;
	bool have = false;

	for (size_t i = 0; i < s->n; i++) {
		const char *have_name = sym_name(s, &s->v[i]);

		if (have_name[0] != name[0] || strcmp(have_name, name) != 0)
			continue;
		if (!fill_func(elf, s, &s->v[i], &found) || (have && found.local))
			continue;
		*ret = found;
		have = true;
		if (!found.local)
			break;
	}
	return have ? 0 : -ENOENT;
}

int mt_elf_find_func(const struct mt_elf *elf, const char *name, struct mt_sym *ret)
{
	int r = find_in(elf, dynsym(elf), name, ret);

	return r ? find_in(elf, symtab(elf), name, ret) : 0;
}

static uint32_t gnu_hash(const char *name)
{
	uint32_t h = 5381;

	for (; *name; name++)
		h = h * 33 + (uint8_t)*name;
	return h;
}

/* Reads one symbol and compares its name, without loading the tables. */
static bool sym_matches(const struct mt_elf *elf, const Elf64_Shdr *dyn, uint64_t index,
			const char *name)
{
	const Elf64_Shdr *str = &elf->sh[dyn->sh_link];
	const size_t len = strlen(name) + 1;
	struct mt_sym unused;
	Elf64_Sym sym;
	char buf[64];

	if (index >= dyn->sh_size / sizeof(sym) || len > sizeof(buf) ||
	    dyn->sh_offset > UINT64_MAX - index * sizeof(sym) ||
	    read_at(elf, dyn->sh_offset + index * sizeof(sym), &sym, sizeof(sym)))
		return false;
	if (sym.st_name >= str->sh_size || str->sh_offset > UINT64_MAX - sym.st_name ||
	    read_at(elf, str->sh_offset + sym.st_name, buf, len))
		return false;
	return memcmp(buf, name, len) == 0 && fill_func(elf, &elf->cache->dyn, &sym, &unused);
}

/* Chains are short in a sane file: this many steps are no lookup any more. */
#define CHAIN_MAX 4096

/* Layout of .gnu.hash: header, bloom words (8 bytes), buckets, chain (4 bytes each). */
static bool gnu_lookup(const struct mt_elf *elf, const Elf64_Shdr *gnu, const Elf64_Shdr *dyn,
		       const char *name)
{
	const uint32_t h = gnu_hash(name);
	uint64_t at = gnu->sh_offset, chain;
	uint32_t head[4]; /* buckets, first symbol, bloom words, bloom shift */
	uint32_t i, hash;

	if (at > elf->size || read_at(elf, at, head, sizeof(head)) || !head[0])
		return false;
	at += sizeof(head) + head[2] * 8ull;
	chain = at + head[0] * 4ull;
	if (read_at(elf, at + h % head[0] * 4ull, &i, sizeof(i)) || i < head[1])
		return false;
	for (int steps = 0; steps < CHAIN_MAX; steps++, i++) {
		if (read_at(elf, chain + (i - head[1]) * 4ull, &hash, sizeof(hash)))
			return false;
		if ((hash | 1) == (h | 1) && sym_matches(elf, dyn, i, name))
			return true;
		if (hash & 1)
			break;
	}
	return false;
}

bool mt_elf_exports(const struct mt_elf *elf, const char *name)
{
	const Elf64_Shdr *gnu = find_section(elf, SHT_GNU_HASH);
	const Elf64_Shdr *dyn = find_section(elf, SHT_DYNSYM);
	struct mt_sym unused;

	if (gnu && strings_of(elf, dyn))
		return gnu_lookup(elf, gnu, dyn, name);
	return find_in(elf, dynsym(elf), name, &unused) == 0;
}

bool mt_elf_imports(const struct mt_elf *elf, const char *name)
{
	const struct symbols *s = dynsym(elf);

	for (size_t i = 1; i < s->n; i++)
		if (s->v[i].st_shndx == SHN_UNDEF && strcmp(sym_name(s, &s->v[i]), name) == 0)
			return true;
	return false;
}

static const char *slot_in(const struct mt_elf *elf, const Elf64_Shdr *sh, uint64_t addr)
{
	const struct symbols *s = dynsym(elf);
	_cleanup_free_ Elf64_Rela *rela = NULL;

	if (sh->sh_entsize != sizeof(*rela) || read_new(elf, sh->sh_offset, sh->sh_size, &rela))
		return NULL;
	for (size_t i = 0; i < sh->sh_size / sizeof(*rela); i++) {
		const uint64_t type = ELF64_R_TYPE(rela[i].r_info);
		const uint64_t sym = ELF64_R_SYM(rela[i].r_info);

		if (rela[i].r_offset == addr && sym < s->n &&
		    (type == R_X86_64_JUMP_SLOT || type == R_X86_64_GLOB_DAT))
			return sym_name(s, &s->v[sym]);
	}
	return NULL;
}

const char *mt_elf_slot_symbol(const struct mt_elf *elf, uint64_t addr)
{
	int seen = 0;

	for (size_t i = 0; i < elf->n_sh && seen < RELA_MAX; i++) {
		const char *name;

		if (elf->sh[i].sh_type != SHT_RELA)
			continue;
		seen++;
		name = slot_in(elf, &elf->sh[i], addr);
		if (name)
			return name;
	}
	return NULL;
}

static bool needs_libraries(const struct mt_elf *elf, const Elf64_Phdr *ph)
{
	_cleanup_free_ Elf64_Dyn *dyn = NULL;

	if (read_new(elf, ph->p_offset, ph->p_filesz, &dyn))
		return false;
	for (size_t i = 0; i < ph->p_filesz / sizeof(*dyn) && dyn[i].d_tag != DT_NULL; i++)
		if (dyn[i].d_tag == DT_NEEDED)
			return true;
	return false;
}

bool mt_elf_is_static(const struct mt_elf *elf)
{
	for (size_t i = 0; i < elf->n_ph; i++) {
		if (elf->ph[i].p_type == PT_INTERP)
			return false;
		if (elf->ph[i].p_type == PT_DYNAMIC && needs_libraries(elf, &elf->ph[i]))
			return false;
	}
	return true;
}

static bool any_func(const struct mt_elf *elf, const struct symbols *s)
{
	struct mt_sym unused;

	for (size_t i = 0; i < s->n; i++)
		if (fill_func(elf, s, &s->v[i], &unused))
			return true;
	return false;
}

bool mt_elf_has_symtab(const struct mt_elf *elf)
{
	return any_func(elf, symtab(elf)) || any_func(elf, dynsym(elf));
}

static int by_addr(const void *pa, const void *pb)
{
	const struct mt_sym *a = pa, *b = pb;

	if (a->addr != b->addr)
		return a->addr < b->addr ? -1 : 1;
	if (a->from_symtab != b->from_symtab)
		return a->from_symtab ? 1 : -1;
	return a->name < b->name ? -1 : a->name > b->name;
}

static size_t collect(const struct mt_elf *elf, const struct symbols *s, struct mt_sym *out)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		n += fill_func(elf, s, &s->v[i], &out[n]);
	return n;
}

int mt_elf_funcs(const struct mt_elf *elf, const struct mt_sym **ret, size_t *n)
{
	const struct symbols *dyn = dynsym(elf), *sym = symtab(elf);
	struct cache *c = elf->cache;

	if (!c->have_funcs) {
		c->funcs = calloc(dyn->n + sym->n + 1, sizeof(*c->funcs));
		if (!c->funcs)
			return -ENOMEM;
		c->n_funcs = collect(elf, dyn, c->funcs);
		c->n_funcs += collect(elf, sym, c->funcs + c->n_funcs);
		qsort(c->funcs, c->n_funcs, sizeof(*c->funcs), by_addr);
		c->have_funcs = true;
	}
	*ret = c->funcs;
	*n = c->n_funcs;
	return 0;
}

static int load_segment(const struct mt_elf *elf, const Elf64_Phdr *ph, const uint8_t **ret)
{
	uint8_t **slot = &elf->cache->segments[ph - elf->ph];
	int r;

	if (!*slot) {
		r = read_new(elf, ph->p_offset, ph->p_filesz, slot);
		if (r)
			return r;
	}
	*ret = *slot;
	return 0;
}

int mt_elf_text(const struct mt_elf *elf, uint64_t addr, const uint8_t **bytes, size_t *len,
		uint64_t *start)
{
	const Elf64_Phdr *ph = find_text(elf, addr);
	int r;

	if (!ph)
		return -ENOENT;
	r = load_segment(elf, ph, bytes);
	if (r)
		return r;
	*len = ph->p_filesz;
	*start = ph->p_vaddr;
	return 0;
}

/* Old linkers put read-only data beside the code: those segments come last. */
const char *mt_elf_find_text(const struct mt_elf *elf, const char *needle, size_t *max)
{
	for (int exec = 0; exec < 2; exec++) {
		for (size_t i = 0; i < elf->n_ph; i++) {
			const Elf64_Phdr *ph = &elf->ph[i];
			const uint8_t *data, *hit;

			if (ph->p_type != PT_LOAD || (ph->p_flags & PF_W) ||
			    !(ph->p_flags & PF_X) != !exec || load_segment(elf, ph, &data))
				continue;
			hit = memmem(data, ph->p_filesz, needle, strlen(needle));
			if (!hit)
				continue;
			*max = ph->p_filesz - (size_t)(hit - data);
			return (const char *)hit;
		}
	}
	return NULL;
}
