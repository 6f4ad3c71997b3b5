/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which function of a file a person means: by its symbol, by its name in C++ or
 * Rust with or without its arguments and the namespaces around it, by its address.
 */
#ifndef MT_SYS_SYMBOLS_H
#define MT_SYS_SYMBOLS_H

#include "base/writer.h"
#include "sys/elf.h"

/* [BINARY:]SYMBOL, taken apart. */
struct mt_symbol_query {
	char binary[4096]; /* basename or path; empty: any */
	char name[4096];   /* empty: by address */
	bool by_addr;
	uint64_t addr; /* link-time */
};

/* 0, or -EINVAL: why is static text. */
int mt_symbol_parse(const char *spec, struct mt_symbol_query *q, const char **why);
/* True if the query's binary, if it has one, is the file of that path. */
bool mt_symbol_in(const struct mt_symbol_query *q, const char *path);

/* How well a symbol fits, the best first. */
enum mt_symbol_fit {
	MT_FIT_EXACT,  /* the symbol itself, or the whole name in C++ or Rust */
	MT_FIT_SUFFIX, /* without the namespaces or classes around it */
	MT_FIT_CLONE,  /* a copy that the compiler made of it: foo.constprop.0 */
	MT_FIT_NONE,
};

struct mt_symbol_match {
	struct mt_sym sym; /* points into the elf */
	enum mt_symbol_fit fit;
};

#define MT_SYMBOL_MATCHES_MAX 64

struct mt_symbol_matches {
	struct mt_symbol_match v[MT_SYMBOL_MATCHES_MAX]; /* one for each address, in their order */
	size_t n;
	bool more; /* than there is room for */
};

/*
 * Adds the functions of elf that the query fits. By address: the function that
 * begins there, or none of known size; -EINVAL: it is in the middle of *inside.
 * 0 or -ENOMEM.
 */
int mt_symbol_find(const struct mt_elf *elf, const struct mt_symbol_query *q,
		   struct mt_symbol_matches *m, struct mt_sym *inside);
/* How well one name fits. */
enum mt_symbol_fit mt_symbol_fit(const struct mt_symbol_query *q, const char *symbol);

/* Names like the one asked for, the nearest first. */
#define MT_SYMBOL_NEAR_MAX 3
struct mt_symbol_near {
	char names[MT_SYMBOL_NEAR_MAX][256];
	unsigned int distance[MT_SYMBOL_NEAR_MAX];
	size_t n;
};

void mt_symbol_near(const struct mt_elf *elf, const struct mt_symbol_query *q,
		    struct mt_symbol_near *near);

#endif
