/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Names of C++ and Rust functions as a person writes them, by libiberty. */
#ifndef MT_SYS_DEMANGLE_H
#define MT_SYS_DEMANGLE_H

#include <stdbool.h>
#include <stddef.h>

/* Longer names are not taken apart, and longer results are none. */
#define MT_MANGLED_MAX   4096
#define MT_DEMANGLED_MAX 8192

/* True if the name looks like one of C++ or Rust. */
bool mt_is_mangled(const char *name);
/*
 * With args the arguments stand behind it, else the name is all. A name can be
 * made so that what it stands for has no end: the result is cut off at its bound.
 * False: it is none of C++ or Rust, or too long; buf is then empty.
 */
bool mt_demangle(const char *name, bool args, char *buf, size_t size);

#endif
