/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "golang/buildinfo.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MAGIC         "\xff Go buildinf:"
#define MAGIC_LEN     14
#define PTR_SIZE_AT   14
#define FLAGS_AT      15
#define FLAG_BIG      1 /* pointers are big-endian */
#define FLAG_INLINE   2 /* since 1.18: the strings follow */
#define POINTER_AT    16
#define STRINGS_AT    32
#define MINOR_MAX     9999
#define SENTINEL_SIZE 16 /* in front of the module's text, and behind it */

/* A piece of text, which no NUL need end. */
struct text {
	const char *p;
	size_t n;
};

static bool is(struct text t, const char *s)
{
	return t.n == strlen(s) && memcmp(t.p, s, t.n) == 0;
}

static bool begins(struct text t, const char *s)
{
	return t.n >= strlen(s) && memcmp(t.p, s, strlen(s)) == 0;
}

/* What is in front of the first c, which goes with it; all of it if there is none. */
static struct text cut(struct text *t, char c)
{
	const char *end = t->n ? memchr(t->p, c, t->n) : NULL;
	const size_t n = end ? (size_t)(end - t->p) : t->n;
	const struct text head = {t->p, n};
	const size_t skip = end ? n + 1 : n;

	t->p += skip;
	t->n -= skip;
	return head;
}

/* As much as fits, up to the first byte that is not printable ASCII. */
static void copy(char *dst, size_t size, struct text t)
{
	size_t i = 0;

	for (; i < t.n && i + 1 < size && t.p[i] > ' ' && t.p[i] < 0x7f; i++)
		dst[i] = t.p[i];
	dst[i] = '\0';
}

/* A string behind its length, a varint of encoding/binary. */
static bool take_string(struct text *from, struct text *ret)
{
	uint64_t len = 0;

	for (unsigned int shift = 0; shift < 64 && from->n; shift += 7) {
		const uint8_t c = (uint8_t)*from->p;

		from->p++;
		from->n--;
		len |= (uint64_t)(c & 0x7f) << shift;
		if (c & 0x80)
			continue;
		if (len > from->n)
			return false;
		*ret = (struct text){from->p, (size_t)len};
		from->p += len;
		from->n -= len;
		return true;
	}
	return false;
}

static int minor_of(const char *version)
{
	int minor = 0;

	if (strncmp(version, "go1.", 4) != 0)
		return 0;
	for (const char *p = version + 4; *p >= '0' && *p <= '9' && minor <= MINOR_MAX; p++)
		minor = 10 * minor + (*p - '0');
	return minor <= MINOR_MAX ? minor : 0;
}

/* "go1.23.1", "devel go1.24-a130fb6 Mon Jul 1", "go1.21.4 X:nogreenteagc". */
static void read_version(struct text t, struct mt_go_build *b)
{
	while (t.n) {
		const struct text word = cut(&t, ' ');

		if (b->minor == 0 && begins(word, "go1")) {
			copy(b->version, sizeof(b->version), word);
			b->minor = minor_of(b->version);
		} else if (begins(word, "X:")) {
			copy(b->experiments, sizeof(b->experiments),
			     (struct text){word.p + 2, word.n - 2});
		} else if (is(word, "gccgo")) {
			b->gccgo = true;
		}
	}
}

/* "-race=true"; a value with blanks in it is in quotes, and is none of these. */
static void read_setting(struct text t, struct mt_go_build *b)
{
	const struct text key = cut(&t, '=');

	if (is(key, "-race"))
		b->race = is(t, "true");
	else if (is(key, "-msan") || is(key, "-asan"))
		b->sanitizer = b->sanitizer || is(t, "true");
	else if (is(key, "-compiler"))
		b->gccgo = b->gccgo || is(t, "gccgo");
	else if (is(key, "-buildmode"))
		b->library = is(t, "c-shared") || is(t, "shared") || is(t, "plugin");
	else if (is(key, "GOEXPERIMENT") && !b->experiments[0])
		copy(b->experiments, sizeof(b->experiments), t);
}

static void read_module(struct text t, struct mt_go_build *b)
{
	if (t.n < 2ul * SENTINEL_SIZE)
		return;
	t.p += SENTINEL_SIZE;
	t.n -= 2ul * SENTINEL_SIZE;
	while (t.n) {
		struct text line = cut(&t, '\n');

		if (is(cut(&line, '\t'), "build"))
			read_setting(line, b);
	}
}

static uint64_t number(const uint8_t *p, bool big)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < 8; i++)
		v = v << 8 | p[big ? i : 7 - i];
	return v;
}

/* Before 1.18: the address of a string's header, which is an address and a length. */
static void read_pointed(const uint8_t *bytes, mt_go_bytes_fn at, void *ctx, struct mt_go_build *b)
{
	const bool big = bytes[FLAGS_AT] & FLAG_BIG;
	char text[MT_GO_VERSION_SIZE];
	uint8_t head[16];
	uint64_t len;

	if (bytes[PTR_SIZE_AT] != 8 ||
	    at(ctx, number(bytes + POINTER_AT, big), head, sizeof(head)) != sizeof(head))
		return;
	len = number(head + 8, big);
	if (len > sizeof(text))
		len = sizeof(text);
	len = at(ctx, number(head, big), text, (size_t)len);
	read_version((struct text){text, (size_t)len}, b);
}

int mt_go_buildinfo(const uint8_t *bytes, size_t n, mt_go_bytes_fn at, void *ctx,
		    struct mt_go_build *ret)
{
	struct text rest, s;

	*ret = (struct mt_go_build){.version = "go"};
	if (n < STRINGS_AT || memcmp(bytes, MAGIC, MAGIC_LEN) != 0)
		return -ENOENT;
	if (!(bytes[FLAGS_AT] & FLAG_INLINE)) {
		read_pointed(bytes, at, ctx, ret);
		/* Nothing newer has this form, whatever it says. */
		if (ret->minor == 0 || ret->minor >= MT_GO_OLDEST)
			ret->minor = MT_GO_OLDEST - 2;
		return 0;
	}
	rest = (struct text){(const char *)bytes + STRINGS_AT, n - STRINGS_AT};
	if (take_string(&rest, &s)) {
		read_version(s, ret);
		if (take_string(&rest, &s))
			read_module(s, ret);
	}
	return 0;
}

/* GOEXPERIMENTs, and with "no" in front, that change nothing of what is read. */
static const char *const harmless[] = {
	"aliastypeparams",
	"boringcrypto",
	"cacheprog",
	"cgocheck2",
	"coverageredesign",
	"dwarf5",
	"exectracer2",
	"fieldtrack",
	"goroutineleakprofile",
	"jsonv2",
	"loopvar",
	"newinliner",
	"opensslcrypto",
	"preemptibleloops",
	"randomizedheapbase64",
	"rangefunc",
	"regabi",
	"regabiargs",
	"regabiwrappers",
	"simd",
	"sizespecializedmalloc",
	"spinbitmutex",
	"strictfipsruntime",
	"swissmap",
	"synchashtriemap",
	"synctest",
	"systemcrypto",
	"unified",
};

static bool is_harmless(struct text t)
{
	if (begins(t, "no")) {
		t.p += 2;
		t.n -= 2;
	}
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		if (is(t, harmless[i]))
			return true;
	return false;
}

static int check_experiments(const struct mt_go_build *b, bool *green_tea, char *why)
{
	struct text rest = {b->experiments, strlen(b->experiments)};

	*green_tea = !b->minor || b->minor >= MT_GO_GREEN_TEA;
	while (rest.n) {
		const struct text t = cut(&rest, ',');

		if (is(t, "nogreenteagc")) {
			*green_tea = false;
		} else if (!(is(t, "greenteagc") && *green_tea) && !is_harmless(t)) {
			snprintf(why, MT_WHY_SIZE, "it was built with GOEXPERIMENT=%.*s",
				 t.n > 32 ? 32 : (int)t.n, t.p);
			return -ENOTSUP;
		}
	}
	return 0;
}

int mt_go_build_check(const struct mt_go_build *b, bool *green_tea, char *why)
{
	if (b->gccgo) {
		snprintf(why, MT_WHY_SIZE, "it was built by gccgo");
		return -ENOTSUP;
	}
	if (b->minor && b->minor < MT_GO_OLDEST) {
		snprintf(why, MT_WHY_SIZE, "it was built by %s: Go is read from 1.%d on",
			 strcmp(b->version, "go") != 0 ? b->version : "Go 1.17 or older",
			 MT_GO_OLDEST);
		return -ENOTSUP;
	}
	if (b->race || b->sanitizer || b->library) {
		snprintf(why, MT_WHY_SIZE, "%s",
			 b->race        ? "it was built with -race"
			 : b->sanitizer ? "it was built with -msan or -asan"
					: "it is a Go library, not a Go program");
		return -ENOTSUP;
	}
	return check_experiments(b, green_tea, why);
}
