/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* UTF-8 as Go's unicode/utf8 reads it: no overlong forms, no surrogates. */
#ifndef MT_BASE_UTF8_H
#define MT_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Decodes one character of a NUL-terminated string. Returns its length in
 * bytes and fills *cp, or returns 0 if the byte at s begins no character; the
 * caller then takes that one byte as invalid. Never reads past the NUL.
 */
size_t mt_utf8_decode(const char *s, uint32_t *cp);

/*
 * True for characters that act on a terminal instead of being shown: C0, DEL,
 * C1, line separators and the marks that reorder text.
 */
bool mt_utf8_is_control(uint32_t cp);

#endif
