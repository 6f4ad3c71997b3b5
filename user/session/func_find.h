/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The function that a person means among the files that a process has mapped. */
#ifndef MT_SESSION_FUNC_FIND_H
#define MT_SESSION_FUNC_FIND_H

#include "alloc/file.h"
#include "sys/symbols.h"

/* A file that a process runs code of. */
struct mt_func_file {
	struct mt_alloc_file f; /* closed by mt_func_files_free */
	int fd;                 /* the file itself; owned */
};

struct mt_func_files {
	struct mt_func_file *v; /* owned */
	size_t n;
	size_t stripped; /* of all but what they export */
	size_t unread;   /* more, that could not be read */
};

/* All of them, with their symbols; those that the query's BINARY is not are left out. */
int mt_func_files_open(pid_t pid, const struct mt_maps *maps, const struct mt_symbol_query *q,
		       struct mt_func_files *ret);
void mt_func_files_free(struct mt_func_files *files);

struct mt_func_found {
	const struct mt_func_file *file; /* of files */
	struct mt_sym sym;
	char name[512]; /* as a person writes it */
};

/*
 * The one that fits best. -ENOENT: none; -ENOTUNIQ: several: logged, with what there
 * is to choose from; others are logged, too.
 */
int mt_func_find(pid_t pid, const struct mt_func_files *files, const struct mt_symbol_query *q,
		 struct mt_func_found *ret);

#endif
