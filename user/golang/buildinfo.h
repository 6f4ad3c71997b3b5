/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the Go linker writes into .go.buildinfo (debug/buildinfo/buildinfo.go and
 * runtime/debug/mod.go): the toolchain's version, and since 1.18 how it was asked
 * to build. Pure functions of bytes that the target chose.
 */
#ifndef MT_GOLANG_BUILDINFO_H
#define MT_GOLANG_BUILDINFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "golang/golang.h"

#define MT_GO_EXPERIMENTS_SIZE 256
#define MT_GO_OLDEST           19 /* the first minor version that can be read */
#define MT_GO_GREEN_TEA        26 /* the first with that collector unless it is turned off */

struct mt_go_build {
	char version[MT_GO_VERSION_SIZE]; /* "go1.23.1", printable ASCII; "go" if it does not say */
	int minor;                        /* 23; 0: it does not say */
	char experiments[MT_GO_EXPERIMENTS_SIZE]; /* "nogreenteagc,jsonv2", printable ASCII */
	bool race, sanitizer, gccgo, library;     /* library: c-shared, shared, plugin */
};

/*
 * Bytes at a link-time address of the file, for the form before 1.18: at most n of
 * them to dst. Returns how many.
 */
typedef size_t (*mt_go_bytes_fn)(void *ctx, uint64_t addr, void *dst, size_t n);

/*
 * bytes: the section. What is missing or damaged is left empty. -ENOENT: there is
 * no magic in front; *ret is then as if it said nothing.
 */
int mt_go_buildinfo(const uint8_t *bytes, size_t n, mt_go_bytes_fn at, void *ctx,
		    struct mt_go_build *ret);
/*
 * -ENOTSUP: programs built so cannot be read, why (MT_WHY_SIZE bytes) says so in a
 * sentence. Else 0, and whether the collector is Green Tea, as far as the build
 * decides it and the version is known.
 */
int mt_go_build_check(const struct mt_go_build *b, bool *green_tea, char *why);

#endif
