/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Allocators: one descriptor file each, listed in registry.c. A descriptor
 * says how to know the allocator, what to probe and how blocks are sized.
 */
#ifndef MT_ALLOC_ALLOC_H
#define MT_ALLOC_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "abi.h"
#include "sys/elf.h"
#include "sys/place.h"
#include "sys/procfs.h"

/* What an ELF file says of the allocator in it. */
struct mt_alloc_identity {
	char version[32]; /* "2.36"; a file's name, if nothing else is known of it; "" */
	enum mt_layout layout;
	const char *why; /* static text: why requested sizes are all that is known; else NULL */
	uint64_t params[MT_FILE_PARAMS]; /* of struct mt_file */
	/*
	 * What stands before each name in this file: "je_"; static text or NULL. The
	 * C++ operators, which take no prefix, are then another allocator's.
	 */
	const char *prefix;
	/*
	 * malloc and its kin, and the C++ operators, are another allocator's in this
	 * file: only names that are this one's own (tc_malloc, mi_malloc) count.
	 */
	bool foreign_names;
	/* All code of the file is the allocator's own, and no call from there is the program's. */
	bool own_text;
};

struct mt_alloc_func {
	const char *name; /* symbol */
	enum mt_kind kind;
	bool required;    /* without it the file is not this allocator */
	bool bounds_text; /* lies in the allocator's own object: takes part in its text range */
};

struct mt_allocator {
	const char *name;                  /* "glibc" */
	const struct mt_alloc_func *funcs; /* name NULL ends it */
	const char *const *text_symbols;   /* further exports of the allocator's object;
					      NULL-terminated, may be NULL */
	/* True if elf has this allocator: *id, zeroed before, is filled. */
	bool (*identify)(const struct mt_elf *elf, struct mt_alloc_identity *id);
};

extern const struct mt_allocator mt_alloc_glibc;
extern const struct mt_allocator mt_alloc_jemalloc;
extern const struct mt_allocator mt_alloc_mimalloc;
extern const struct mt_allocator mt_alloc_mimalloc_requested; /* of unknown block sizes */
extern const struct mt_allocator mt_alloc_musl;
extern const struct mt_allocator mt_alloc_tcmalloc;
extern const struct mt_allocator mt_alloc_generic;
extern const struct mt_allocator *const mt_allocators[]; /* NULL-terminated */

/* True for malloc, its kin and the C++ operators: names that any allocator may have. */
bool mt_alloc_is_common_name(const char *name);

/* One probe to attach. */
struct mt_probe {
	char func[48]; /* first symbol of that address */
	enum mt_kind kind;
	uint64_t offset; /* in the file, bytes */
	bool entry;      /* an entry probe; a place may carry both */
	bool ret;        /* a return probe */
	struct mt_place place;
	uint64_t cookie; /* MT_COOKIE without the file id, which the session adds */
};

/* jemalloc, tcmalloc and mimalloc take 40 to 150, with operator new's exits. */
#define MT_PROBES_MAX 256

/* A function that cannot be counted. */
struct mt_missed {
	char func[48];
	const char *why; /* static text */
};

#define MT_MISSED_MAX 16

/* An allocator as found in a file. */
struct mt_alloc_found {
	const struct mt_allocator *allocator;
	struct mt_alloc_identity id;
	char path[4096];      /* as the target sees it */
	char open_path[4160]; /* what memtrace opens: /proc/PID/map_files/... or /proc/PID/root/...
			       */
	uint64_t dev, inode;  /* as stat reports them for open_path */
	uint64_t text_lo, text_hi; /* link-time range of the allocator's own text; 0, 0 unknown */
	uint32_t flags;            /* MT_FILE_* of struct mt_file */
	struct mt_probe probes[MT_PROBES_MAX];
	size_t n_probes;
	struct mt_missed missed[MT_MISSED_MAX]; /* if any, the counts are not complete */
	size_t n_missed;
	struct mt_alloc_found *next; /* another allocator in the same file; owned */
};

/* Frees it and all that follow; NULL is fine. */
void mt_alloc_found_free(struct mt_alloc_found **found);

/*
 * Finds the allocator that serves malloc in the process: the executable or a
 * preloaded library that defines malloc itself, then the libc; a library that
 * only forwards is passed over. 0, or one line is logged with the remedy and
 *
 * -ENOENT   nothing that defines malloc is mapped: not yet, if the dynamic linker
 *           is still at work (the process has just started or called exec), so
 *           that it is worth another look a little later; else for good
 * -ESRCH    the process has ended
 * -EACCES   no permission to read its files
 *
 * and, whatever the process does but call exec,
 *
 * -ENODATA  its executable is static, and stripped or without a malloc
 * -ENOTSUP  its malloc is of a kind that cannot be traced; or a 32-bit target
 * others    the file that would have to be read is damaged or cannot be read.
 *
 * The caller frees *ret with mt_alloc_found_free().
 */
int mt_alloc_detect(pid_t pid, const struct mt_maps *maps, struct mt_alloc_found **ret);

/*
 * What the file of one mapping has by itself, whoever serves malloc in the
 * process: for all files that a process maps. -ENOENT: no allocator, or one that
 * only forwards to another's; others: the file cannot be read. Logs nothing.
 *
 * *fd, if fd is not NULL: the very file that was read, whatever is returned, -1
 * if it could not be opened. Whoever probes by a path again may meet another
 * file there, in which the same offsets are in the middle of instructions. The
 * caller closes it.
 */
int mt_alloc_inspect_file(pid_t pid, const struct mt_mapping *map, int *fd,
			  struct mt_alloc_found **ret);

/* The file that owns a process's malloc, whether or not memtrace can trace it. */
struct mt_alloc_owner {
	char path[4096];       /* as the target sees it */
	struct mt_mapping map; /* one of its mappings, without the path */
	struct mt_elf *elf;    /* owned: mt_elf_free */
};

/* Finds it, as mt_alloc_detect does, with the same errors; a static executable always owns it. */
int mt_alloc_find_owner(pid_t pid, const struct mt_maps *maps, struct mt_alloc_owner *ret);

/*
 * The link-time range of the object that funcs (name NULL ends; may be NULL) and
 * the symbols in names are of. -ENOENT: no telling.
 */
int mt_alloc_text_range(const struct mt_elf *elf, const struct mt_alloc_func *funcs,
			const char *const *names, uint64_t *lo, uint64_t *hi);

/*
 * The pure part: fills allocator, probes, text range for one ELF file; a second
 * allocator in it goes to found->next. -ENOENT: the file has none.
 */
int mt_alloc_inspect(const struct mt_elf *elf, uint32_t kernel, struct mt_alloc_found *found);

#endif
