/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/elf_internal.h"

/*
 * libelf allocates what a file claims, and a sparse file may claim anything;
 * the largest honest files (browsers with their symbols) stay below these.
 */
#define READ_MAX (512ull << 20) /* bytes, of all that is read of one file */
#define SYMS_MAX (4ul << 20)

static bool in_file(uint64_t size, uint64_t off, uint64_t len)
{
	return off <= size && len <= size - off;
}

/* Asked before each read by libelf. */
bool mt_elf_may_read(const struct mt_elf *elf, uint64_t off, uint64_t len)
{
	if (!len || !in_file(elf->size, off, len) || len > READ_MAX - elf->cache->total)
		return false;
	elf->cache->total += len;
	return true;
}

static int check_header(const Elf64_Ehdr *eh, uint64_t size)
{
	if (memcmp(eh->e_ident, ELFMAG, SELFMAG) != 0)
		return -ENOEXEC;
	if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_ident[EI_DATA] != ELFDATA2LSB)
		return -ENOTSUP;
	if (size < sizeof(*eh))
		return -EBADMSG;
	if (eh->e_machine != EM_X86_64)
		return -ENOTSUP;
	if (eh->e_phnum > MT_ELF_PHDRS_MAX ||
	    (eh->e_phnum && eh->e_phentsize != sizeof(Elf64_Phdr)) ||
	    !in_file(size, eh->e_phoff, eh->e_phnum * sizeof(Elf64_Phdr)))
		return -EBADMSG;
	if ((eh->e_shnum && eh->e_shentsize != sizeof(Elf64_Shdr)) ||
	    !in_file(size, eh->e_shoff, eh->e_shnum * sizeof(Elf64_Shdr)))
		return -EBADMSG;
	/*
	 * The number then stands in section 0: no linker needs that for a
	 * program, and libelf allocates 250 bytes for each of up to 2^32.
	 */
	return eh->e_shoff && !eh->e_shnum ? -EBADMSG : 0;
}

/* Before libelf sees the file, which takes anything for a file of some kind. */
static int check_file(int fd, uint64_t *ret)
{
	Elf64_Ehdr eh = {0};
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < SELFMAG)
		return -ENOEXEC;
	n = pread(fd, &eh, sizeof(eh), 0);
	if (n < 0)
		return -errno;
	*ret = (uint64_t)st.st_size;
	return check_header(&eh, (uint64_t)n < sizeof(eh) ? (uint64_t)n : *ret);
}

static bool segment_ok(const struct mt_elf *elf, const GElf_Phdr *ph)
{
	if (ph->p_type != PT_LOAD && ph->p_type != PT_DYNAMIC)
		return true;
	return in_file(elf->size, ph->p_offset, ph->p_filesz) && ph->p_filesz <= ph->p_memsz &&
	       ph->p_vaddr <= UINT64_MAX - ph->p_memsz;
}

/* segments: false where they are not in the file, as in one of debug symbols. */
static int read_headers(struct mt_elf *elf, bool segments)
{
	GElf_Ehdr eh;
	int r;

	if (elf_kind(elf->elf) != ELF_K_ELF || !gelf_getehdr(elf->elf, &eh))
		return -EBADMSG;
	r = check_header(&eh, elf->size); /* again: it may have changed meanwhile */
	if (r)
		return r;
	if (!segments)
		return 0;
	elf->ph = calloc(eh.e_phnum + 1u, sizeof(*elf->ph));
	if (!elf->ph)
		return -ENOMEM;
	elf->n_ph = eh.e_phnum;
	for (size_t i = 0; i < elf->n_ph; i++)
		if (!gelf_getphdr(elf->elf, (int)i, &elf->ph[i]) || !segment_ok(elf, &elf->ph[i]))
			return -EBADMSG;
	return 0;
}

#define _cleanup_elf_ MT_CLEANUP(mt_elf_free)

int mt_elf_open_part(int fd, bool segments, struct mt_elf **ret)
{
	_cleanup_elf_ struct mt_elf *elf = calloc(1, sizeof(*elf));
	int r;

	if (!elf)
		return -ENOMEM;
	elf->fd = -1;
	elf->cache = calloc(1, sizeof(*elf->cache));
	if (!elf->cache)
		return -ENOMEM;
	elf->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (elf->fd < 0)
		return -errno;
	r = check_file(elf->fd, &elf->size);
	if (r)
		return r;
	if (elf_version(EV_CURRENT) == EV_NONE)
		return -ENOTSUP;
	/* ELF_C_READ reads with pread; every other command may map the file. */
	elf->elf = elf_begin(elf->fd, ELF_C_READ, NULL);
	if (!elf->elf)
		return -EBADMSG;
	r = read_headers(elf, segments);
	if (r)
		return r;
	*ret = TAKE_PTR(elf);
	return 0;
}

int mt_elf_open_fd(int fd, struct mt_elf **ret)
{
	return mt_elf_open_part(fd, true, ret);
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
		free(elf->cache->funcs);
		free(elf->cache->slots);
		free(elf->cache->dyn.funcs);
		free(elf->cache->sym.funcs);
		free(elf->cache);
	}
	mt_elf_free(&elf->debug);
	elf_end(elf->elf);
	mt_cleanup_close(&elf->fd);
	free(elf->ph);
	free(elf);
	*pelf = NULL;
}

/* The data of a section that is an array of entries of the given size, or NULL. */
Elf_Data *mt_elf_read_section(const struct mt_elf *elf, Elf_Scn *scn, const GElf_Shdr *sh,
			      size_t entry)
{
	/* Nothing that we read is ever compressed, and what it unpacks to has no bound. */
	if (sh->sh_entsize != entry || (sh->sh_flags & SHF_COMPRESSED) ||
	    !mt_elf_may_read(elf, sh->sh_offset, sh->sh_size))
		return NULL;
	return elf_getdata(scn, NULL);
}

bool mt_elf_strings_ok(const struct mt_elf *elf, size_t index)
{
	Elf_Scn *scn = index ? elf_getscn(elf->elf, index) : NULL;
	GElf_Shdr sh;

	return scn && gelf_getshdr(scn, &sh) && sh.sh_type == SHT_STRTAB &&
	       !(sh.sh_flags & SHF_COMPRESSED) && mt_elf_may_read(elf, sh.sh_offset, sh.sh_size) &&
	       elf_strptr(elf->elf, index, sh.sh_size - 1);
}

const char *mt_elf_name_of(const struct mt_elf_symbols *s, const GElf_Sym *sym)
{
	return elf_strptr(s->from->elf, s->strings, sym->st_name) ?: "";
}

/* The executable segment whose file part holds addr. */
static const GElf_Phdr *find_text(const struct mt_elf *elf, uint64_t addr)
{
	for (size_t i = 0; i < elf->n_ph; i++) {
		const GElf_Phdr *ph = &elf->ph[i];

		if (ph->p_type == PT_LOAD && (ph->p_flags & PF_X) && addr >= ph->p_vaddr &&
		    addr - ph->p_vaddr < ph->p_filesz)
			return ph;
	}
	return NULL;
}

int mt_elf_offset(const struct mt_elf *elf, uint64_t addr, uint64_t *offset)
{
	const GElf_Phdr *ph = find_text(elf, addr);

	if (!ph)
		return -ENOENT;
	*offset = addr - ph->p_vaddr + ph->p_offset;
	return 0;
}

static bool fill_func(const struct mt_elf *elf, const struct mt_elf_symbols *s, const GElf_Sym *sym,
		      struct mt_sym *out)
{
	const GElf_Phdr *ph;

	if (GELF_ST_TYPE(sym->st_info) != STT_FUNC || sym->st_shndx == SHN_UNDEF)
		return false;
	ph = find_text(elf, sym->st_value);
	if (!ph)
		return false;
	*out = (struct mt_sym){
		.name = mt_elf_name_of(s, sym),
		.addr = sym->st_value,
		.offset = sym->st_value - ph->p_vaddr + ph->p_offset,
		.size = sym->st_size,
		.from_symtab = s == &elf->cache->sym,
		.local = GELF_ST_BIND(sym->st_info) == STB_LOCAL,
	};
	return true;
}

static void list_funcs(const struct mt_elf *elf, struct mt_elf_symbols *s)
{
	GElf_Sym sym;

	s->funcs = calloc(s->n + 1, sizeof(*s->funcs));
	for (size_t i = 0; s->funcs && i < s->n; i++)
		if (gelf_getsym(s->data, (int)i, &sym))
			s->n_funcs += fill_func(elf, s, &sym, &s->funcs[s->n_funcs]);
}

static const struct mt_elf_symbols *load_symbols(const struct mt_elf *elf, struct mt_elf_symbols *s,
						 uint32_t type)
{
	const struct mt_elf *from = type == SHT_SYMTAB && elf->debug ? elf->debug : elf;
	const size_t entry = gelf_fsize(from->elf, ELF_T_SYM, 1, EV_CURRENT);
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;

	if (s->loaded)
		return s;
	s->loaded = true;
	s->from = from;
	while ((scn = elf_nextscn(from->elf, scn)))
		if (gelf_getshdr(scn, &sh) && sh.sh_type == type)
			break;
	if (!scn || sh.sh_size / entry > SYMS_MAX || !mt_elf_strings_ok(from, sh.sh_link))
		return s;
	s->data = mt_elf_read_section(from, scn, &sh, entry);
	s->n = s->data ? s->data->d_size / entry : 0;
	s->strings = sh.sh_link;
	list_funcs(elf, s);
	return s;
}

const struct mt_elf_symbols *mt_elf_dynsym(const struct mt_elf *elf)
{
	return load_symbols(elf, &elf->cache->dyn, SHT_DYNSYM);
}

const struct mt_elf_symbols *mt_elf_symtab(const struct mt_elf *elf)
{
	return load_symbols(elf, &elf->cache->sym, SHT_SYMTAB);
}

void mt_elf_forget_symtab(struct mt_elf *elf)
{
	struct mt_elf_cache *c = elf->cache;

	free(c->sym.funcs);
	free(c->funcs);
	memset(&c->sym, 0, sizeof(c->sym));
	c->funcs = NULL;
	c->n_funcs = 0;
	c->have_funcs = false;
}

/* A local function may happen to have the name: a global one goes before it. */
static const struct mt_sym *find_in(const struct mt_elf_symbols *s, const char *name)
{
	const struct mt_sym *found = NULL;

	for (size_t i = 0; i < s->n_funcs; i++) {
		const struct mt_sym *f = &s->funcs[i];

		if (f->name[0] != name[0] || strcmp(f->name, name) != 0)
			continue;
		if (!f->local)
			return f;
		found = found ?: f;
	}
	return found;
}

int mt_elf_find_func(const struct mt_elf *elf, const char *name, struct mt_sym *ret)
{
	const struct mt_sym *found =
		find_in(mt_elf_dynsym(elf), name) ?: find_in(mt_elf_symtab(elf), name);

	if (!found)
		return -ENOENT;
	*ret = *found;
	return 0;
}

bool mt_elf_exports(const struct mt_elf *elf, const char *name)
{
	return find_in(mt_elf_dynsym(elf), name) != NULL;
}

bool mt_elf_imports(const struct mt_elf *elf, const char *name)
{
	const struct mt_elf_symbols *s = mt_elf_dynsym(elf);
	GElf_Sym sym;

	for (size_t i = 1; i < s->n; i++)
		if (gelf_getsym(s->data, (int)i, &sym) && sym.st_shndx == SHN_UNDEF &&
		    strcmp(mt_elf_name_of(s, &sym), name) == 0)
			return true;
	return false;
}

static Elf_Data *load_segment(const struct mt_elf *elf, size_t i, Elf_Type type)
{
	Elf_Data **slot = &elf->cache->segments[i];
	const GElf_Phdr *ph = &elf->ph[i];

	if (!*slot && mt_elf_may_read(elf, ph->p_offset, ph->p_filesz))
		*slot = elf_getdata_rawchunk(elf->elf, (int64_t)ph->p_offset, ph->p_filesz, type);
	return *slot;
}

static bool needs_libraries(const struct mt_elf *elf, size_t segment)
{
	Elf_Data *data = load_segment(elf, segment, ELF_T_DYN);
	GElf_Dyn dyn;

	for (int i = 0; data && gelf_getdyn(data, i, &dyn) && dyn.d_tag != DT_NULL; i++)
		if (dyn.d_tag == DT_NEEDED)
			return true;
	return false;
}

bool mt_elf_is_static(const struct mt_elf *elf)
{
	for (size_t i = 0; i < elf->n_ph; i++) {
		if (elf->ph[i].p_type == PT_INTERP)
			return false;
		if (elf->ph[i].p_type == PT_DYNAMIC && needs_libraries(elf, i))
			return false;
	}
	return true;
}

bool mt_elf_has_symtab(const struct mt_elf *elf)
{
	return mt_elf_symtab(elf)->n_funcs || mt_elf_dynsym(elf)->n_funcs;
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

int mt_elf_funcs(const struct mt_elf *elf, const struct mt_sym **ret, size_t *n)
{
	const struct mt_elf_symbols *dyn = mt_elf_dynsym(elf), *sym = mt_elf_symtab(elf);
	struct mt_elf_cache *c = elf->cache;

	if (!c->have_funcs) {
		c->funcs = calloc(dyn->n_funcs + sym->n_funcs + 1, sizeof(*c->funcs));
		if (!c->funcs)
			return -ENOMEM;
		for (size_t i = 0; i < dyn->n_funcs; i++)
			c->funcs[c->n_funcs++] = dyn->funcs[i];
		for (size_t i = 0; i < sym->n_funcs; i++)
			c->funcs[c->n_funcs++] = sym->funcs[i];
		qsort(c->funcs, c->n_funcs, sizeof(*c->funcs), by_addr);
		c->have_funcs = true;
	}
	*ret = c->funcs;
	*n = c->n_funcs;
	return 0;
}

int mt_elf_text(const struct mt_elf *elf, uint64_t addr, const uint8_t **bytes, size_t *len,
		uint64_t *start)
{
	const GElf_Phdr *ph = find_text(elf, addr);
	Elf_Data *data;

	if (!ph)
		return -ENOENT;
	data = load_segment(elf, (size_t)(ph - elf->ph), ELF_T_BYTE);
	if (!data)
		return -EBADMSG;
	*bytes = data->d_buf;
	*len = data->d_size;
	*start = ph->p_vaddr;
	return 0;
}

int mt_elf_read(const struct mt_elf *elf, uint64_t addr, void *dst, size_t n)
{
	for (size_t i = 0; i < elf->n_ph; i++) {
		const GElf_Phdr *ph = &elf->ph[i];
		const Elf_Data *data;

		if (ph->p_type != PT_LOAD || (ph->p_flags & PF_W) || addr < ph->p_vaddr)
			continue;
		data = load_segment(elf, i, ELF_T_BYTE);
		if (!data || addr - ph->p_vaddr > data->d_size ||
		    n > data->d_size - (addr - ph->p_vaddr))
			continue;
		memcpy(dst, (const uint8_t *)data->d_buf + (addr - ph->p_vaddr), n);
		return 0;
	}
	return -ENOENT;
}

/* Old linkers put read-only data beside the code: those segments come last. */
const char *mt_elf_find_text(const struct mt_elf *elf, const char *needle, size_t *max)
{
	for (int exec = 0; exec < 2; exec++) {
		for (size_t i = 0; i < elf->n_ph; i++) {
			const GElf_Phdr *ph = &elf->ph[i];
			const char *hit;
			Elf_Data *data;

			if (ph->p_type != PT_LOAD || (ph->p_flags & PF_W) ||
			    !(ph->p_flags & PF_X) != !exec)
				continue;
			data = load_segment(elf, i, ELF_T_BYTE);
			hit = data ? memmem(data->d_buf, data->d_size, needle, strlen(needle))
				   : NULL;
			if (!hit)
				continue;
			*max = data->d_size - (size_t)(hit - (const char *)data->d_buf);
			return hit;
		}
	}
	return NULL;
}
