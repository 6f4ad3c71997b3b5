/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Made-up heaps of musl's mallocs: does the file's own malloc_usable_size know them? */
#include "alloc/musl.h"

#include <errno.h>
#include <string.h>

#include "sys/emulate.h"

#define TRIALS    256
#define AREAS_MAX 6
#define FILE_END  (1ull << 40) /* link-time addresses are below, heaps above */
#define GROUP     (0x3aull << 40)
#define META      (0x1dull << 40)
#define META_SIZE 40u
#define TAIL      8u /* bytes at a slot's end that are looked at */

struct area {
	uint64_t addr;
	uint32_t n;
	uint8_t bytes[META_SIZE];
};

/* Strict memory: what is in no area cannot be read, except the file's own. */
struct world {
	const struct mt_elf *elf;
	struct area areas[AREAS_MAX];
	size_t n;
	uint64_t random;
};

static uint8_t *world_at(struct world *w, uint64_t addr, uint32_t n)
{
	for (size_t i = 0; i < w->n; i++) {
		struct area *a = &w->areas[i];

		if (addr >= a->addr && addr - a->addr <= a->n && n <= a->n - (addr - a->addr))
			return a->bytes + (addr - a->addr);
	}
	return NULL;
}

/* An area of zeros, unless the bytes are in another. */
static uint8_t *world_add(struct world *w, uint64_t addr, uint32_t n)
{
	uint8_t *at = world_at(w, addr, n);

	if (at)
		return at;
	w->areas[w->n] = (struct area){.addr = addr, .n = n};
	return w->areas[w->n++].bytes;
}

static _Thread_local struct world *reader_world;

static long read_user(void *dst, uint32_t n, uint64_t addr)
{
	const uint8_t *at = world_at(reader_world, addr, n);

	if (at)
		memcpy(dst, at, n);
	return at ? 0 : -EFAULT;
}

#include "size_musl.bpf.h"

/* Of the file's variables the secret that descriptors begin with is looked at: 0 in both. */
static bool on_read(void *ctx, uint64_t addr, unsigned int width, uint64_t *value)
{
	struct world *w = ctx;
	const uint8_t *at;

	*value = 0;
	if (addr < FILE_END) {
		mt_elf_read(w->elf, addr, value, width);
		return true;
	}
	at = world_at(w, addr, width);
	if (at)
		memcpy(value, at, width);
	return at != NULL;
}

static uint32_t pick(struct world *w, uint32_t below)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (uint32_t)(w->random >> 8) % below;
}

static uint64_t make_bits(struct world *w, uint32_t *slots)
{
	const uint32_t class = pick(w, 8) ? pick(w, MT_MUSL_CLASSES) : MT_MUSL_CLASSLESS;
	uint64_t pages = 0;

	*slots = class == MT_MUSL_CLASSLESS || !pick(w, 8) ? 1 : 1 + pick(w, 32);
	if (class == MT_MUSL_CLASSLESS)
		pages = 40 + pick(w, 1u << 16);
	else if (pick(w, 2))
		pages = ((uint64_t)mt_musl_units[class] * *slots * MT_MUSL_UNIT + MT_MUSL_UNIT) /
				MT_MUSL_PAGE +
			1;
	return (*slots - 1) | (uint64_t)pick(w, 2) << 5 | (uint64_t) class << 6 | pages << 12;
}

/* The bytes in front of the block and at its slot's end. */
static void make_slot(struct world *w, uint64_t ptr, uint32_t index, uint64_t start,
		      uint64_t stride)
{
	const uint64_t end = start + stride - MT_MUSL_IB, room = end - ptr;
	const uint64_t units = (ptr - GROUP) / MT_MUSL_UNIT - 1;
	uint64_t reserved = pick(w, 2) ? pick(w, 5) : pick(w, 1u << 20), header;

	if (reserved > room)
		reserved = room % 5;
	header = (uint64_t)index << 40;
	header |= units > 0xffff ? units | 1ull << 32 : units << 48;
	header |= (reserved < MT_MUSL_IN_SLOT ? reserved : MT_MUSL_IN_SLOT) << 45;
	memcpy(world_add(w, ptr - 8, 8), &header, 8);
	/* the byte before the count, the count, and the byte behind */
	memset(world_add(w, end - 5, TAIL), 0, TAIL);
	if (reserved >= MT_MUSL_IN_SLOT)
		memcpy(world_add(w, end - 4, 4), &reserved, 4);
	*world_add(w, end - reserved, 1) = 0;
}

static uint64_t make_new(struct world *w)
{
	const uint64_t group = GROUP, meta = META + 64;
	uint32_t slots, index, class;
	struct mt_musl_desc m;
	uint64_t stride, start, ptr, room;

	m = (struct mt_musl_desc){.mem = group, .bits = make_bits(w, &slots)};
	index = pick(w, slots);
	m.avail = (uint32_t)w->random & ~(1u << index) & (uint32_t)((1ull << slots) - 1);
	stride = mt_musl_stride(m.bits);
	start = group + MT_MUSL_UNIT + stride * index;
	ptr = start;
	/* aligned within what its class says, even where the slot is longer */
	class = (uint32_t)(m.bits >> 6) & 63;
	room = class < MT_MUSL_CLASSES ? (uint64_t)mt_musl_units[class] * MT_MUSL_UNIT : stride;
	if (pick(w, 2))
		ptr += MT_MUSL_UNIT *
		       (pick(w, 1u << 20) % ((room - MT_MUSL_IB) / MT_MUSL_UNIT + 1));
	memcpy(world_add(w, group, MT_MUSL_UNIT), &meta, sizeof(meta));
	memcpy(world_add(w, meta, META_SIZE) + MT_MUSL_META_MEM, &m, sizeof(m));
	world_add(w, META, 8); /* the area's secret */
	make_slot(w, ptr, index, start, stride);
	return ptr;
}

static uint64_t make_old(struct world *w)
{
	const uint64_t ptr = GROUP + (uint64_t)MT_MUSL_UNIT * (1 + pick(w, 1000));
	const uint64_t word = 2ull * MT_MUSL_UNIT * (1 + pick(w, 1u << 24)) + pick(w, 2);

	memcpy(world_add(w, ptr - 8, 8), &word, 8);
	return ptr;
}

static int prove(const struct mt_elf *elf, uint64_t entry, const struct mt_file *f)
{
	struct world w = {.elf = elf, .random = 0x9e3779b97f4a7c15ull};
	const struct mt_emulate e = {.elf = elf, .read = on_read, .ctx = &w};

	for (int i = 0; i < TRIALS; i++) {
		uint64_t ptr, want;
		__u64 got;

		w.n = 0;
		ptr = f->p[MT_MUSL_OLD] ? make_old(&w) : make_new(&w);
		reader_world = &w;
		if (mt_emulate_call(&e, entry, ptr, &want) || size_musl(f, 0, ptr, &got) ||
		    got != want)
			return -ENOTSUP;
	}
	return 0;
}

int mt_musl_layout(const struct mt_elf *elf, uint64_t params[MT_FILE_PARAMS])
{
	struct mt_file f = {0};
	struct mt_sym sym;
	int r;

	memset(params, 0, MT_FILE_PARAMS * sizeof(*params));
	if (mt_elf_find_func(elf, "malloc_usable_size", &sym))
		return -ENOENT;
	r = prove(elf, sym.addr, &f);
	if (!r)
		return 0;
	f.p[MT_MUSL_OLD] = 1;
	r = prove(elf, sym.addr, &f);
	if (!r)
		params[MT_MUSL_OLD] = 1;
	return r;
}
