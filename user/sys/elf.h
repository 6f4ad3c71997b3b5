/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ELF files of targets, by libelf. Hostile by assumption: what is handed to
 * libelf is checked against the file's size and bounded first, and read with
 * pread: a mapping would let a target that truncates its file kill memtrace
 * with SIGBUS. A file without section headers has no symbols here.
 */
#ifndef MT_SYS_ELF_H
#define MT_SYS_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mt_elf; /* opaque; owns what it read. Not for use by two threads at once. */

struct mt_sym {
	const char *name; /* without version; owned by the elf */
	uint64_t addr;    /* st_value: link-time address */
	uint64_t offset;  /* in the file: where a uprobe goes */
	uint64_t size;    /* bytes; 0 if unknown */
	bool from_symtab; /* found in .symtab, not .dynsym */
	bool local;       /* STB_LOCAL: not visible to other objects */
};

/* Opens path. -ENOEXEC: not an ELF file; -EBADMSG: damaged; -ENOTSUP: not 64-bit x86-64. */
int mt_elf_open(const char *path, struct mt_elf **ret);
/* The same on an open file, whose fd stays the caller's. */
int mt_elf_open_fd(int fd, struct mt_elf **ret);
void mt_elf_free(struct mt_elf **elf);

/*
 * Looks a defined function up: .dynsym first, then .symtab, where a global one
 * goes before a local one. -ENOENT: not there.
 */
int mt_elf_find_func(const struct mt_elf *elf, const char *name, struct mt_sym *ret);
/* The same in .dynsym alone. */
bool mt_elf_exports(const struct mt_elf *elf, const char *name);
/*
 * Looks for the variable whose name is suffix, or ends with it behind a prefix
 * and '_', in .symtab and then .dynsym; only name, addr and size are set. -ENOENT:
 * not there; -ENOTUNIQ: several, at different addresses.
 */
int mt_elf_find_object(const struct mt_elf *elf, const char *suffix, struct mt_sym *ret);
/*
 * The addresses of n variables by their exact names, of .symtab and then .dynsym;
 * 0: not there.
 */
void mt_elf_find_objects(const struct mt_elf *elf, const char *const *names, size_t n,
			 uint64_t *addrs);
/* True if a function of that name is one whose code is chosen when a process starts. */
bool mt_elf_is_ifunc(const struct mt_elf *elf, const char *name);
/* True if the range is writable memory that the file leaves zero: within .bss. */
bool mt_elf_in_bss(const struct mt_elf *elf, uint64_t addr, uint64_t len);
/* True if the dynamic symbol table has name as undefined (imported). */
bool mt_elf_imports(const struct mt_elf *elf, const char *name);
/* Name of the symbol that a relocation binds into the GOT slot at addr, or NULL. */
const char *mt_elf_slot_symbol(const struct mt_elf *elf, uint64_t addr);
bool mt_elf_is_static(const struct mt_elf *elf);  /* no PT_INTERP and no PT_DYNAMIC needs */
bool mt_elf_has_symtab(const struct mt_elf *elf); /* .symtab or .dynsym with functions */
/* All defined function symbols of both tables, sorted by address, aliases included. Owned by the
 * elf. */
int mt_elf_funcs(const struct mt_elf *elf, const struct mt_sym **ret, size_t *n);
/*
 * True if a function whose name ends in suffix is defined in either table. Reads
 * the symbols of .symtab only if the name is among its strings.
 */
bool mt_elf_may_define(const struct mt_elf *elf, const char *suffix);

#define MT_BUILD_ID_MAX 64
/*
 * For a file without a .symtab: what the file of its debug symbols is called
 * below /usr/lib/debug/.build-id, "ab/cdef.debug". -ENOENT: it has symbols or no
 * build id.
 */
int mt_elf_debug_name(const struct mt_elf *elf, char *name, size_t size);
/*
 * From now on the .symtab of that file, open at fd, which stays the caller's,
 * counts as elf's. -ENOENT: it has another build id.
 */
int mt_elf_add_debug(struct mt_elf *elf, int fd);

/*
 * The bytes of the executable segment that holds link-time address addr:
 * *bytes is owned by the elf, *start the link-time address of its first byte.
 */
int mt_elf_text(const struct mt_elf *elf, uint64_t addr, const uint8_t **bytes, size_t *len,
		uint64_t *start);
/* Where in the file the code at link-time address addr is. -ENOENT: there is none. */
int mt_elf_offset(const struct mt_elf *elf, uint64_t addr, uint64_t *offset);
/*
 * Copies n bytes at link-time address addr that the file holds and no process
 * changes: of one segment that is not writable. -ENOENT: they are not such.
 */
int mt_elf_read(const struct mt_elf *elf, uint64_t addr, void *dst, size_t n);
/*
 * Finds a short read-only string in .rodata, e.g. "GNU C Library", for version
 * banners. Returns a pointer owned by the elf, with *max readable bytes, or NULL.
 */
const char *mt_elf_find_text(const struct mt_elf *elf, const char *needle, size_t *max);

struct mt_elf_section {
	uint64_t addr;   /* link-time address; 0: is not loaded */
	uint64_t offset; /* in the file; may be a lie, as the size: the readers check them */
	uint64_t size;   /* bytes in the file */
	bool zeros;      /* takes no room in the file */
	bool compressed, gnu_compressed;
};

/* The first section of that name. -ENOENT: there is none, or no section headers. */
int mt_elf_find_section(const struct mt_elf *elf, const char *name, struct mt_elf_section *ret);
/* Copies n bytes at off of a section as the file holds them. -EBADMSG: there are not as many. */
int mt_elf_section_read(const struct mt_elf *elf, const struct mt_elf_section *s, uint64_t off,
			void *dst, size_t n);
/*
 * All of a section, decompressed; the caller frees *ret. -E2BIG: more than max
 * bytes; -EBADMSG: damaged, or empty; -ENOTSUP: compressed in an unknown way.
 */
int mt_elf_section_copy(const struct mt_elf *elf, const struct mt_elf_section *s, size_t max,
			uint8_t **ret, size_t *n);
/* The file that mt_elf_add_debug added, or NULL. Owned by elf. */
const struct mt_elf *mt_elf_debug(const struct mt_elf *elf);
/*
 * Copies n bytes at link-time address addr as the file holds them, whatever the
 * segment: a process may have changed them. -ENOENT: the file holds none there.
 */
int mt_elf_pread(const struct mt_elf *elf, uint64_t addr, void *dst, size_t n);
/* The link-time address that a pointer at addr has once the file is loaded. Errors as above. */
int mt_elf_pointer(const struct mt_elf *elf, uint64_t addr, uint64_t *ret);
/*
 * The link-time address of the page where the file's first mapping begins: what
 * that is away from its place in a process is the bias, which is 0 where fixed is
 * set. -ENOENT: it has no segments.
 */
int mt_elf_start(const struct mt_elf *elf, uint64_t *addr, bool *fixed);

#endif
