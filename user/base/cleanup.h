/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Ownership by attribute: a function is leak-free without reading its callees.
 * Owned pointers start at NULL and fds at -1; TAKE_* hands one on.
 */
#ifndef MT_BASE_CLEANUP_H
#define MT_BASE_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MT_CLEANUP(fn) __attribute__((cleanup(fn)))

#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		__typeof__(p) *_pp = &(p);                                                         \
		__typeof__(p) _v = *_pp;                                                           \
		*_pp = NULL;                                                                       \
		_v;                                                                                \
	})

#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int *_pfd = &(fd);                                                                 \
		int _v = *_pfd;                                                                    \
		*_pfd = -1;                                                                        \
		_v;                                                                                \
	})

static inline void mt_cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void mt_cleanup_close(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void mt_cleanup_fclose(FILE **f)
{
	if (*f)
		fclose(*f);
}

static inline void mt_cleanup_closedir(DIR **d)
{
	if (*d)
		closedir(*d);
}

#define _cleanup_free_     MT_CLEANUP(mt_cleanup_free)
#define _cleanup_close_    MT_CLEANUP(mt_cleanup_close)
#define _cleanup_fclose_   MT_CLEANUP(mt_cleanup_fclose)
#define _cleanup_closedir_ MT_CLEANUP(mt_cleanup_closedir)

#endif
