/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One file that a process has mapped. */
#ifndef MT_ALLOC_FILE_H
#define MT_ALLOC_FILE_H

#include <sys/stat.h>

#include "alloc/alloc.h"

struct mt_alloc_file {
	const struct mt_mapping *map; /* one of its executable mappings */
	struct mt_elf *elf;           /* owned */
	char open_path[4160];
	struct stat st;
};

/* Opens the file of f->map as the process's thread tid sees it. 0 or -errno, logs nothing. */
int mt_alloc_file_open(pid_t tid, struct mt_alloc_file *f);
/* The same with its debug symbols, if there are any; *fd is the file itself, the caller's. */
int mt_alloc_file_open_symbols(pid_t tid, struct mt_alloc_file *f, int *fd);
/* The file itself, open to read: the fd, or -errno. */
int mt_alloc_file_fd(pid_t tid, const struct mt_mapping *m);
void mt_alloc_file_close(struct mt_alloc_file *f);
/* Its allocators, found as mt_alloc_inspect does it, with where the file is. */
int mt_alloc_file_inspect(const struct mt_alloc_file *f, struct mt_alloc_found **ret);

/* True for a dynamic linker that is no libc besides. */
bool mt_alloc_file_is_linker(const struct mt_elf *elf);
/* True if other files' calls of malloc can end in this one. */
bool mt_alloc_file_owns_malloc(const struct mt_elf *elf);

#endif
