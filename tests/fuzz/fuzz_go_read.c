/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Made Go processes in which words are changed: byte 0 picks the version; then
 * come records of six bytes: what is changed, where in it, and to what.
 */
#include "../unit/golang/fake.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RECORD      6u
#define LAYOUTS_MAX 64
#define SPANS       20

static struct fake sound[LAYOUTS_MAX];

static uint64_t spans[LAYOUTS_MAX][SPANS];

static void populate(struct fake *f, uint64_t *span)
{
	for (unsigned int i = 2, n = 0; i < MT_GO_CACHED && n < SPANS; i += 7, n++)
		span[n] = fake_cache(f, i % FAKE_PS, i, i % 3 ? FAKE_STALE : FAKE_CACHED, 0, 1);
	fake_stacks(f, 0, 9, 9);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	for (size_t i = 0; i < mt_go_layouts_count && i < LAYOUTS_MAX; i++) {
		fake_init(&sound[i], &mt_go_layouts[i]);
		populate(&sound[i], spans[i]);
	}
	return 0;
}

/* An address that a hostile target would have there, of a struct, or of nothing. */
static uint64_t value(const struct fake *f, const uint8_t *r)
{
	const uint64_t all[] = {0,
				f->p[0],
				f->mcache[1],
				f->stack_span,
				f->stack,
				f->no_span,
				f->vars.mheap,
				FAKE_BASE + FAKE_SIZE - 1,
				UINT64_MAX,
				UINT64_MAX - r[5],
				FAKE_BASE + r[5],
				FAKE_BASE + r[5] * 4096ull,
				(uint64_t)r[5] << 40};

	if (r[4] < sizeof(all) / sizeof(all[0]))
		return all[r[4]];
	return r[5];
}

/* A member of a span, whichever it is, to a number. */
static void change_span(struct fake *f, uint64_t span, const uint8_t *r)
{
	const struct mt_go_layout *l = f->l;
	const int32_t members[] = {l->mspan_npages,      l->mspan_nelems,
				   l->mspan_elemsize,    l->mspan_sweepgen,
				   l->mspan_alloc_count, l->mspan_spanclass,
				   l->mspan_gcmark_bits, l->mspan_alloc_count_before_cache};

	fake_set(f, span + (uint64_t)members[r[2] % 8], r[4] | (uint64_t)r[5] << 8, 2);
}

static void change(struct fake *f, const uint64_t *span, const uint8_t *r)
{
	const uint64_t at[] = {f->vars.memstats,
			       f->vars.gc_controller,
			       f->vars.mheap + (uint64_t)f->l->mheap_sweepgen,
			       f->vars.mheap + (uint64_t)f->l->mheap_arenas,
			       f->vars.allp,
			       f->vars.gcphase,
			       fake_get(f, f->vars.allp),
			       f->p[0],
			       f->p[1],
			       f->p[1] + (uint64_t)f->l->p_stats_seq,
			       f->mcache[0],
			       f->mcache[1] + (uint64_t)f->l->mcache_stackcache,
			       f->no_span,
			       f->no_span + (uint64_t)f->l->mspan_size + 8 * (r[1] >> 4),
			       f->stack_span,
			       f->stack & ~2047ull};
	uint64_t to = at[r[0] % 16] + (r[1] | (uint64_t)r[2] << 8);
	uint64_t v = value(f, r);
	size_t n = 1u << (r[3] & 3);

	if (r[0] & 0x80) {
		change_span(f, span[r[1] % SPANS], r);
		return;
	}
	if (to < FAKE_BASE || to > FAKE_BASE + FAKE_SIZE - 8)
		return;
	fake_set(f, to, v, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why[MT_WHY_SIZE];
	struct mt_go_walk *w = NULL;
	struct mt_go_source src;
	struct mt_go_stats stats;
	static uint8_t bytes[FAKE_SIZE];
	struct fake f;
	size_t n;

	if (!size)
		return 0;
	n = (data[0] & 0x7f) % mt_go_layouts_count % LAYOUTS_MAX;
	f = sound[n];
	f.mem.ctx = &f;
	f.bytes = memcpy(bytes, f.bytes, sizeof(bytes));
	for (size_t i = 1; i + RECORD <= size && i < 64 * RECORD; i += RECORD)
		change(&f, spans[n], data + i);
	src = fake_source(&f, data[0] & 0x80);
	if (!mt_go_walk_new(&src, &w)) {
		int r = mt_go_walk(w, why);

		if ((!r || r == -EAGAIN) && (strlen(why) >= sizeof(why) || (!r && w->wrong)))
			abort();
		if (!r || r == -EAGAIN)
			mt_go_fill(&w->globals, &w->flush, src.layout->minor, &stats);
		/* however it is led around */
		if (f.reads > 200000)
			abort();
	}
	mt_go_walk_free(&w);
	return 0;
}
