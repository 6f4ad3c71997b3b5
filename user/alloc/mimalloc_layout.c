/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where mimalloc's page structures are and what stands where in them differs
 * from version to version and build to build. Its own mi_usable_size knows: it
 * is followed (sys/emulate.h) over memory made up here, and what it reads and
 * answers as that memory changes tells each offset. Whatever was concluded is
 * then put to the test on made-up heaps, against the reader that the probes use.
 */
#include "alloc/mimalloc.h"

#include <errno.h>
#include <string.h>

#include "sys/emulate.h"

#define FILE_END   (1ull << 40) /* link-time addresses are below, what is made up above */
#define REGION     (0x3aull << 40)
#define TABLE      (0x1bull << 40)
#define SUB_TABLE  (0x1cull << 40)
#define PAGE       (0x1dull << 40)
#define SLICE      (1ull << MT_MI_SLICE_SHIFT)
#define BLOCK      4096u /* block size of the questions */
#define INSIDE     16u   /* and how far in one a question leads */
#define READS_MAX  16
#define AREAS_MAX  8
#define BEHIND     128u /* bytes of a page before and after its address that a read may be in */
#define AHEAD      384u
#define TRIALS     512
#define REGION_MAX 40

/* Memory made up: each area's bytes; unlisted ones are 0, or none at all. */
struct area {
	uint64_t addr;
	uint32_t n;
	uint8_t bytes[BEHIND + AHEAD];
};

struct world {
	struct area areas[AREAS_MAX];
	size_t n;
	bool strict; /* nothing else can be read */
};

struct reads {
	struct {
		uint64_t addr;
		unsigned int width;
	} v[READS_MAX];
	size_t n;
};

struct finder {
	const struct mt_elf *elf;
	uint64_t entry;
	struct mt_file *f;
	struct world w;
	struct reads log;
	size_t lookup; /* reads until the page is known */
	uint64_t ptr, page;
	uint64_t shift_at; /* where the page has log2 of the block size, 0: nowhere */
	uint64_t flag_at;  /* where the bit is read, 0: nowhere */
	unsigned int flag_width;
	uint64_t flag;
	uint64_t random;
};

static bool world_read(const struct world *w, uint64_t addr, uint32_t n, void *dst)
{
	memset(dst, 0, n);
	for (size_t i = 0; i < w->n; i++) {
		const struct area *a = &w->areas[i];

		if (addr >= a->addr && addr - a->addr <= a->n && n <= a->n - (addr - a->addr)) {
			memcpy(dst, a->bytes + (addr - a->addr), n);
			return true;
		}
	}
	return !w->strict;
}

/* What was set later at a place counts. */
static void world_set(struct world *w, uint64_t addr, uint64_t v, uint32_t n)
{
	size_t i = 0;

	while (i < w->n && (addr < w->areas[i].addr || addr + n > w->areas[i].addr + w->areas[i].n))
		i++;
	if (i == AREAS_MAX)
		return;
	if (i == w->n)
		w->areas[w->n++] = (struct area){.addr = addr, .n = n};
	memcpy(w->areas[i].bytes + (addr - w->areas[i].addr), &v, n);
}

static _Thread_local const struct world *reader_world;

static long read_user(void *dst, uint32_t n, uint64_t addr)
{
	return world_read(reader_world, addr, n, dst) ? 0 : -EFAULT;
}

#include "size_mimalloc.bpf.h"

static bool on_read(void *ctx, uint64_t addr, unsigned int width, uint64_t *value)
{
	struct finder *d = ctx;

	if (d->log.n == READS_MAX)
		return false;
	d->log.v[d->log.n].addr = addr;
	d->log.v[d->log.n++].width = width;
	return world_read(&d->w, addr, width, value);
}

/* mi_usable_size(ptr) in the world as it is; what it read is in the log. */
static int ask(struct finder *d, uint64_t ptr, uint64_t *size)
{
	const struct mt_emulate e = {.elf = d->elf, .read = on_read, .ctx = d};

	d->log.n = 0;
	return mt_emulate_call(&e, d->entry, ptr, size);
}

/* The address of its i-th read for ptr; 0 if there is none. */
static uint64_t read_of(struct finder *d, uint64_t ptr, size_t i)
{
	uint64_t size;

	ask(d, ptr, &size); /* made up as little as yet, it may come to no end */
	return d->log.n <= i ? 0 : d->log.v[i].addr;
}

/* The first of the reads that is of addr, log->n if there is none. */
static size_t find_read(const struct reads *log, uint64_t addr)
{
	size_t i = 0;

	while (i < log->n && log->v[i].addr != addr)
		i++;
	return i;
}

/* A table of tables: *root holds its address, its first pointer stands somewhat behind. */
static int find_map(struct finder *d)
{
	const uint64_t entry = (d->ptr >> (MT_MI_SLICE_SHIFT + MT_MI_SUB_SHIFT)) * 8;
	const uint64_t sub = (d->ptr >> MT_MI_SLICE_SHIFT & ((1u << MT_MI_SUB_SHIFT) - 1)) * 8;
	const uint64_t root = d->log.v[0].addr;
	uint64_t at, size;
	size_t i;

	world_set(&d->w, root, TABLE, 8);
	at = read_of(d, d->ptr, 1);
	if (at < TABLE + entry || at - TABLE - entry > AHEAD || d->log.v[1].width != 8)
		return -ENOTSUP;
	world_set(&d->w, at, SUB_TABLE, 8);
	ask(d, d->ptr, &size);
	i = find_read(&d->log, SUB_TABLE + sub);
	if (i == d->log.n || d->log.v[i].width != 8)
		return -ENOTSUP;
	d->lookup = i + 1;
	d->page = PAGE;
	world_set(&d->w, SUB_TABLE + sub, PAGE, 8);
	d->f->p[MT_MI_SHAPE] |= MT_MI_FROM_MAP;
	d->f->p[MT_MI_ROOT] = root;
	d->f->p[MT_MI_SLOTS] = at - TABLE - entry;
	return 0;
}

/* Regions are aligned to the lowest bit of an address from which on all move the table, too. */
static unsigned int find_region_shift(struct finder *d, uint64_t slot)
{
	unsigned int shift = REGION_MAX;

	while (shift > MT_MI_SLICE_SHIFT &&
	       read_of(d, d->ptr ^ 1ull << (shift - 1), 0) == (slot ^ 1ull << (shift - 1)))
		shift--;
	return shift;
}

/* A slot in the region's table. */
static int find_slot(struct finder *d)
{
	const uint64_t slot = d->log.v[0].addr, slice = d->ptr >> MT_MI_SLICE_SHIFT;
	const bool points = d->log.v[0].width == 8;
	const unsigned int shift = find_region_shift(d, slot);
	uint64_t region, edge, stride;

	if (shift == MT_MI_SLICE_SHIFT || shift == REGION_MAX ||
	    (!points && d->log.v[0].width != 4))
		return -ENOTSUP;
	region = d->ptr >> shift << shift;
	stride = read_of(d, d->ptr + SLICE, 0) - slot;
	if (!stride || stride > BLOCK)
		return -ENOTSUP;
	edge = region + (1ull << shift);
	if (read_of(d, edge, 0) < edge)
		d->f->p[MT_MI_SHAPE] |= MT_MI_BEFORE;
	d->f->p[MT_MI_REGION] = shift;
	d->f->p[MT_MI_STRIDE] = stride;
	d->f->p[MT_MI_SLOTS] = slot - region - (slice - (region >> MT_MI_SLICE_SHIFT)) * stride;
	d->lookup = 1;
	d->page = slot;
	if (points) {
		d->f->p[MT_MI_SHAPE] |= MT_MI_SLOT_POINTS;
		d->page = PAGE;
		world_set(&d->w, slot, PAGE, 8);
	}
	return 0;
}

static int find_page(struct finder *d)
{
	const uint64_t first = read_of(d, d->ptr, 0);

	if (!first)
		return -ENOTSUP;
	if (first < FILE_END)
		return d->log.v[0].width == 8 ? find_map(d) : -ENOTSUP;
	return find_slot(d);
}

static bool in_page(const struct finder *d, uint64_t addr)
{
	return addr - d->page + BEHIND <= BEHIND + AHEAD - 8;
}

/* The field that is what the function returns: the block size. */
static int find_size(struct finder *d)
{
	const struct world empty = d->w;
	struct reads log;
	uint64_t size;

	ask(d, d->ptr, &size);
	log = d->log;
	for (size_t i = d->lookup; i < log.n; i++) {
		const unsigned int width = log.v[i].width;

		if (width < 4 || !in_page(d, log.v[i].addr))
			continue;
		world_set(&d->w, log.v[i].addr, BLOCK, width);
		if (ask(d, d->ptr, &size) == 0 && size == BLOCK) {
			d->f->p[MT_MI_SIZE] = log.v[i].addr - d->page;
			d->f->p[MT_MI_SHAPE] |= width == 4 ? MT_MI_SIZE_U32 : 0;
			return 0;
		}
		d->w = empty;
	}
	return -ENOTSUP;
}

/* Of sizes that do not fit, the slices are counted elsewhere in the page. */
static int find_count(struct finder *d)
{
	const struct world before = d->w;
	struct reads log;
	uint64_t size;

	if (!(d->f->p[MT_MI_SHAPE] & MT_MI_SIZE_U32))
		return 0;
	if (ask(d, d->ptr, &size))
		return -ENOTSUP;
	log = d->log;
	world_set(&d->w, d->page + d->f->p[MT_MI_SIZE], MT_MI_HUGE, 4);
	if (ask(d, d->ptr, &size))
		return -ENOTSUP;
	d->w = before;
	for (size_t i = d->lookup; i < d->log.n; i++) {
		const uint64_t addr = d->log.v[i].addr;

		if (d->log.v[i].width != 4 || !in_page(d, addr) || find_read(&log, addr) < log.n)
			continue;
		d->f->p[MT_MI_COUNT] = addr - d->page;
		return 0;
	}
	return -ENOTSUP;
}

/* The bytes of a block from INSIDE on, as the function has it. 0: it has no answer. */
static uint64_t ask_inside(struct finder *d)
{
	uint64_t size;

	return ask(d, d->ptr + INSIDE, &size) ? 0 : size;
}

/* The bit that makes the function look whether a pointer leads into a block. */
static bool is_flag(struct finder *d, uint64_t addr, unsigned int width, unsigned int bit)
{
	const struct world before = d->w;
	uint64_t size;

	world_set(&d->w, addr, 1ull << bit, width);
	size = ask_inside(d);
	d->w = before;
	return size != BLOCK;
}

/* The only such bit. Without, the function always looks. */
static int find_flag(struct finder *d)
{
	unsigned int found = 0;
	struct reads log;

	if (ask_inside(d) != BLOCK) {
		d->f->p[MT_MI_SHAPE] |= MT_MI_ANYWHERE;
		return 0;
	}
	log = d->log;
	for (size_t i = d->lookup; i < log.n; i++) {
		const uint64_t addr = log.v[i].addr;
		const unsigned int width = log.v[i].width;

		for (unsigned int bit = 0; bit < 8 * width; bit++) {
			if (addr - d->page == d->f->p[MT_MI_SIZE] || !is_flag(d, addr, width, bit))
				continue;
			d->flag_at = addr;
			d->flag_width = width;
			d->flag = 1ull << bit;
			d->f->p[MT_MI_FLAG] = addr - d->page + bit / 8;
			d->f->p[MT_MI_FLAG_MASK] = 1u << bit % 8;
			found++;
		}
	}
	if (found != 1)
		return -ENOTSUP;
	world_set(&d->w, d->flag_at, d->flag, d->flag_width);
	return 0;
}

/* How far in front of ptr a block of the size begins, as the function has it. */
static uint64_t in_front(struct finder *d, uint64_t block)
{
	uint64_t size;

	world_set(&d->w, d->page + d->f->p[MT_MI_SIZE], block,
		  d->f->p[MT_MI_SHAPE] & MT_MI_SIZE_U32 ? 4 : 8);
	return ask(d, d->ptr, &size) || size > block ? UINT64_MAX : block - size;
}

/* Without a field for it, blocks begin in the first slice: so far in it, up to some size. */
static int find_skip(struct finder *d)
{
	const uint64_t in_slice = d->ptr % SLICE;
	uint64_t max = BLOCK, skip;

	if (d->f->p[MT_MI_SHAPE] & (MT_MI_FROM_MAP | MT_MI_SLOT_POINTS))
		return -ENOTSUP;
	while (max >= 16 && in_front(d, max) == in_slice % max)
		max -= 8;
	if (max < 16)
		return 0;
	skip = (in_slice - in_front(d, max)) % max;
	d->f->p[MT_MI_SKIP] = skip;
	d->f->p[MT_MI_SKIP_MAX] = max;
	return 0;
}

/* The field that says where the page's blocks begin. */
static int find_start(struct finder *d)
{
	struct world before;
	struct reads log;
	uint64_t size;

	if (ask(d, d->ptr, &size))
		return -ENOTSUP;
	log = d->log;
	before = d->w;
	for (size_t i = d->lookup; i < log.n; i++)
		if (log.v[i].width == 1 && log.v[i].addr != d->flag_at)
			d->shift_at = log.v[i].addr;
	for (size_t i = d->lookup; i < log.n; i++) {
		const uint64_t field = log.v[i].addr - d->page;

		if (log.v[i].width != 8 || log.v[i].addr == d->flag_at ||
		    field == d->f->p[MT_MI_SIZE])
			continue;
		world_set(&d->w, log.v[i].addr, INSIDE, 8);
		if (ask(d, d->ptr, &size) == 0 && size == INSIDE) {
			d->f->p[MT_MI_SHAPE] |= MT_MI_START_FIELD;
			d->f->p[MT_MI_START] = field;
			return 0;
		}
		d->w = before;
	}
	return find_skip(d);
}

static uint64_t next_random(struct finder *d)
{
	d->random ^= d->random << 13;
	d->random ^= d->random >> 7;
	d->random ^= d->random << 17;
	return d->random >> 8;
}

/* Up to 1 GiB, by multiples of 8 as mimalloc has them; often a power of two. */
static uint64_t random_block(struct finder *d)
{
	const unsigned int log = 3 + (unsigned int)(next_random(d) % 28);

	if (next_random(d) % 2)
		return 1ull << log;
	return ((next_random(d) & ((1ull << log) - 1)) & ~7ull) + 8;
}

/* One made-up heap: where a pointer leads, and the fields there. */
struct heap {
	uint64_t ptr, slot, page, block;
	uint32_t before;
};

/* A pointer and the page that it is in. */
static void make_place(struct finder *d, struct heap *h)
{
	const __u64 *p = d->f->p;
	uint64_t region, slices, slice;

	h->page = PAGE + next_random(d) % FILE_END / 64 * 64;
	h->ptr = FILE_END + next_random(d) % (64 * FILE_END);
	if (p[MT_MI_SHAPE] & MT_MI_FROM_MAP)
		return;
	slices = 1ull << (p[MT_MI_REGION] - MT_MI_SLICE_SHIFT);
	region = h->ptr >> p[MT_MI_REGION] << p[MT_MI_REGION];
	slice = 1 + next_random(d) % (slices - 1);
	h->ptr = region + slice * SLICE + next_random(d) % SLICE;
	/* the last possible block of a region begins where it ends */
	if (p[MT_MI_SHAPE] & MT_MI_BEFORE && next_random(d) % 8 == 0)
		slice = slices, h->ptr = region + slice * SLICE;
	h->slot = region + p[MT_MI_SLOTS] + slice * p[MT_MI_STRIDE];
	h->before = (uint32_t)((next_random(d) % (slice + 1)) * p[MT_MI_STRIDE]);
	if (!(p[MT_MI_SHAPE] & MT_MI_SLOT_POINTS))
		h->page = h->slot - h->before;
}

static void make_lookup(struct finder *d, const struct heap *h, bool live)
{
	const __u64 *p = d->f->p, slice = h->ptr >> MT_MI_SLICE_SHIFT;
	const uint64_t sub = slice & ((1u << MT_MI_SUB_SHIFT) - 1);
	const uint64_t page = live ? h->page : 0;

	if (p[MT_MI_SHAPE] & MT_MI_FROM_MAP) {
		world_set(&d->w, p[MT_MI_ROOT], TABLE, 8);
		world_set(&d->w, TABLE + p[MT_MI_SLOTS] + (slice >> MT_MI_SUB_SHIFT) * 8, SUB_TABLE,
			  8);
		world_set(&d->w, SUB_TABLE + sub * 8, page, 8);
	} else if (p[MT_MI_SHAPE] & MT_MI_SLOT_POINTS) {
		world_set(&d->w, h->slot, page, 8);
	} else {
		world_set(&d->w, h->slot, h->before, 4);
	}
}

/* Fields of the page; its other bytes are anything. */
static void make_page(struct finder *d, const struct heap *h)
{
	const __u64 *p = d->f->p;
	const bool power = (h->block & (h->block - 1)) == 0;
	uint64_t start = h->ptr - next_random(d) % (1u << 30);

	if (p[MT_MI_SHAPE] & MT_MI_SIZE_U32) {
		const bool huge = next_random(d) % 8 == 0;

		world_set(&d->w, h->page + p[MT_MI_SIZE], huge ? MT_MI_HUGE : h->block, 4);
		if (huge)
			world_set(&d->w, h->page + p[MT_MI_COUNT], 1 + next_random(d) % 99999, 4);
	} else {
		world_set(&d->w, h->page + p[MT_MI_SIZE], h->block, 8);
	}
	if (p[MT_MI_SHAPE] & MT_MI_START_OFFSET)
		start -= h->page;
	if (p[MT_MI_SHAPE] & MT_MI_START_FIELD)
		world_set(&d->w, h->page + p[MT_MI_START], start, 8);
	if (d->shift_at)
		world_set(&d->w, h->page + (d->shift_at - d->page), power ? mt_log2(h->block) : 0,
			  1);
}

static bool agrees(struct finder *d)
{
	const bool live = next_random(d) % 8 != 0 ||
			  !(d->f->p[MT_MI_SHAPE] & (MT_MI_FROM_MAP | MT_MI_SLOT_POINTS));
	struct heap h = {.block = random_block(d)};
	uint64_t want;
	__u64 got;
	struct area *page;

	make_place(d, &h);
	d->w = (struct world){.n = 1, .strict = true};
	page = &d->w.areas[0];
	*page = (struct area){.addr = h.page - BEHIND, .n = BEHIND + AHEAD};
	for (size_t i = 0; i < sizeof(page->bytes); i++)
		page->bytes[i] = (uint8_t)next_random(d);
	make_page(d, &h);
	make_lookup(d, &h, live);
	if (ask(d, h.ptr, &want))
		return false;
	reader_world = &d->w;
	return !size_mimalloc(d->f, 0, h.ptr, &got) && got == want && (live || !got);
}

static int prove(struct finder *d)
{
	for (int i = 0; i < TRIALS; i++)
		if (!agrees(d))
			return -ENOTSUP;
	return 0;
}

static int find_layout(struct finder *d)
{
	int r = find_page(d);

	if (!r)
		r = find_size(d);
	if (!r)
		r = find_count(d);
	if (!r)
		r = find_flag(d);
	if (!r)
		r = find_start(d);
	if (r)
		return r;
	r = prove(d);
	if (!r || !(d->f->p[MT_MI_SHAPE] & MT_MI_START_FIELD))
		return r;
	d->f->p[MT_MI_SHAPE] |= MT_MI_START_OFFSET;
	return prove(d);
}

int mt_mimalloc_layout(const struct mt_elf *elf, uint64_t params[MT_FILE_PARAMS])
{
	struct mt_file f = {0};
	struct finder d = {
		.elf = elf,
		.f = &f,
		.ptr = REGION + 5 * SLICE + 2ull * BLOCK,
		.random = 0x9e3779b97f4a7c15ull,
	};
	struct mt_sym sym;
	int r;

	if (mt_elf_find_func(elf, "mi_usable_size", &sym))
		return -ENOENT;
	d.entry = sym.addr;
	r = find_layout(&d);
	if (!r)
		memcpy(params, f.p, sizeof(f.p));
	return r;
}
