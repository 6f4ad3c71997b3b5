/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Made Go processes in which words are changed: byte 0 picks the version; then
 * come records of six bytes, what is changed, where in it, and to what.
 */
#include "../unit/golang/fake.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RECORD      6u
#define LAYOUTS_MAX 64

static struct fake sound[LAYOUTS_MAX];

static void populate(struct fake *f)
{
	for (unsigned int i = 2; i < MT_GO_CACHED; i += 7)
		fake_cache(f, i % FAKE_PS, i, i % 3 ? FAKE_CACHED : FAKE_STALE, 0, 1);
	fake_stacks(f, 0, 9, 9);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	for (size_t i = 0; i < mt_go_layouts_count && i < LAYOUTS_MAX; i++) {
		fake_init(&sound[i], &mt_go_layouts[i]);
		populate(&sound[i]);
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

static void change(struct fake *f, const uint8_t *r)
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

	if (!size)
		return 0;
	f = sound[data[0] % mt_go_layouts_count % LAYOUTS_MAX];
	f.mem.ctx = &f;
	f.bytes = memcpy(bytes, f.bytes, sizeof(bytes));
	for (size_t i = 1; i + RECORD <= size && i < 64 * RECORD; i += RECORD)
		change(&f, data + i);
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
