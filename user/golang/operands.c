/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "golang/operands.h"

#include <Zydis/Zydis.h>
#include <stdlib.h>
#include <string.h>

const char *const mt_go_code_names[MT_GO_CODES] = {
	[MT_GO_MARK_TERMINATION] = "runtime.gcMarkTermination",
	[MT_GO_RELEASE_ALL] = "runtime.(*mcache).releaseAll",
	[MT_GO_REFILL] = "runtime.(*mcache).refill",
	[MT_GO_PREPARE_FOR_SWEEP] = "runtime.(*mcache).prepareForSweep",
	[MT_GO_STACKPOOLFREE] = "runtime.stackpoolfree",
	[MT_GO_MALLOCINIT] = "runtime.mallocinit",
	[MT_GO_ALLOC_SPAN] = "runtime.(*mheap).allocSpan",
	[MT_GO_PROCRESIZE] = "runtime.procresize",
	[MT_GO_GC_START] = "runtime.gcStart",
	[MT_GO_CONTROLLER_COMMIT] = "runtime.gcControllerCommit",
	[MT_GO_GCENABLE] = "runtime.gcenable",
};

#define BIT(code) (1u << (code))
#define ANY       (BIT(MT_GO_CODES) - 1)

static struct mt_go_ref *take_ref(struct mt_go_refs *refs, uint64_t addr)
{
	for (size_t i = 0; i < refs->n; i++)
		if (refs->v[i].addr == addr)
			return &refs->v[i];
	if (refs->n == MT_GO_REFS_MAX)
		return NULL;
	refs->v[refs->n] = (struct mt_go_ref){.addr = addr};
	return &refs->v[refs->n++];
}

/* cmpl $0, addr(%rip) */
static bool compares_with_zero(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops)
{
	return in->mnemonic == ZYDIS_MNEMONIC_CMP && ops[0].type == ZYDIS_OPERAND_TYPE_MEMORY &&
	       ops[0].size == 32 && ops[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
	       ops[1].imm.value.u == 0;
}

struct place {
	enum mt_go_code from;
	uint64_t addr; /* of the instruction */
	mt_go_is_data_fn is_data;
	void *ctx;
};

static void add_operands(struct mt_go_refs *refs, const struct place *at,
			 const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops)
{
	for (unsigned int k = 0; k < in->operand_count_visible; k++) {
		struct mt_go_ref *ref;
		ZyanU64 addr;

		if (ops[k].type != ZYDIS_OPERAND_TYPE_MEMORY ||
		    ops[k].mem.base != ZYDIS_REGISTER_RIP ||
		    !ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(in, &ops[k], at->addr, &addr)) ||
		    !at->is_data(at->ctx, addr, 1))
			continue;
		ref = take_ref(refs, addr);
		if (!ref)
			return;
		ref->from |= BIT(at->from);
		ref->count++;
		if (at->from == MT_GO_STACKPOOLFREE && compares_with_zero(in, ops))
			ref->phase = true;
	}
}

void mt_go_refs_add(struct mt_go_refs *refs, enum mt_go_code from, const uint8_t *code, size_t n,
		    uint64_t addr, mt_go_is_data_fn is_data, void *ctx)
{
	struct place at = {.from = from, .addr = addr, .is_data = is_data, .ctx = ctx};
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction in;
	ZydisDecoder decoder;

	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (size_t i = 0; i < n; at.addr = addr + i) {
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code + i, n - i, &in, ops))) {
			i++;
			continue;
		}
		add_operands(refs, &at, &in, ops);
		i += in.length;
	}
}

static int by_addr(const void *pa, const void *pb)
{
	const struct mt_go_ref *a = pa, *b = pb;

	return a->addr < b->addr ? -1 : a->addr > b->addr;
}

void mt_go_refs_sort(struct mt_go_refs *refs)
{
	qsort(refs->v, refs->n, sizeof(*refs->v), by_addr);
}

static const struct mt_go_ref *find_ref(const struct mt_go_refs *refs, uint64_t addr)
{
	const struct mt_go_ref key = {.addr = addr};

	return refs->n ? bsearch(&key, refs->v, refs->n, sizeof(key), by_addr) : NULL;
}

#define OFFSETS_MAX 10

/* Which offsets in a variable some functions name. */
struct rule {
	uint32_t from;
	int32_t size;
	int32_t offs[OFFSETS_MAX];
	size_t n;
	bool counts; /* each time that one is named counts */
};

static unsigned int score(const struct mt_go_refs *refs, const struct rule *rule, uint64_t base)
{
	unsigned int sum = 0;

	for (size_t i = 0; i < rule->n; i++) {
		const struct mt_go_ref *ref = find_ref(refs, base + (uint64_t)rule->offs[i]);

		if (ref && (ref->from & rule->from))
			sum += rule->counts ? ref->count : 1;
	}
	return sum;
}

static void keep(struct mt_go_ties *t, uint64_t base, unsigned int sum)
{
	if (sum < t->score)
		return;
	if (sum > t->score)
		*t = (struct mt_go_ties){.score = sum};
	for (size_t i = 0; i < t->n; i++)
		if (t->v[i] == base)
			return;
	if (t->n < MT_GO_TIES)
		t->v[t->n++] = base;
}

static void solve(const struct mt_go_refs *refs, const struct rule *rule, mt_go_is_data_fn is_data,
		  void *ctx, struct mt_go_ties *ret)
{
	for (size_t i = 0; i < refs->n; i++) {
		for (size_t k = 0; (refs->v[i].from & rule->from) && k < rule->n; k++) {
			const uint64_t base = refs->v[i].addr - (uint64_t)rule->offs[k];

			if (base % 8 == 0 && is_data(ctx, base, (uint64_t)rule->size))
				keep(ret, base, score(refs, rule, base));
		}
	}
}

/* The one that is compared in stackpoolfree, and that the collector's code names most. */
static void solve_phase(const struct mt_go_refs *refs, struct mt_go_ties *ret)
{
	for (size_t i = 0; i < refs->n; i++)
		if (refs->v[i].phase && refs->v[i].addr % 4 == 0)
			keep(ret, refs->v[i].addr, refs->v[i].count);
}

void mt_go_refs_solve(const struct mt_go_refs *refs, const struct mt_go_layout *l,
		      mt_go_is_data_fn is_data, void *ctx, struct mt_go_ties ret[MT_GO_VARS])
{
	const struct rule memstats = {
		.from = BIT(MT_GO_MARK_TERMINATION) | BIT(MT_GO_RELEASE_ALL) | BIT(MT_GO_REFILL) |
			BIT(MT_GO_ALLOC_SPAN) | BIT(MT_GO_GCENABLE),
		.size = l->mstats_size,
		.offs = {l->mstats_heap_stats_stats, l->mstats_last_gc_unix,
			 l->mstats_pause_total_ns, l->mstats_pause_ns, l->mstats_pause_end,
			 l->mstats_numgc, l->mstats_numforcedgc, l->mstats_gc_cpu_fraction,
			 l->mstats_enablegc},
		.n = 9,
	};
	const struct rule mheap = {
		.from = ANY,
		.size = l->mheap_size,
		.offs = {l->mheap_lock_key, l->mheap_sweepgen, l->mheap_arenas},
		.n = 3,
	};
	const struct rule controller = {
		.from = BIT(MT_GO_MARK_TERMINATION) | BIT(MT_GO_RELEASE_ALL) | BIT(MT_GO_REFILL) |
			BIT(MT_GO_ALLOC_SPAN) | BIT(MT_GO_GC_START) | BIT(MT_GO_CONTROLLER_COMMIT),
		.size = l->gc_size,
		.offs = {0, l->gc_memory_limit, l->gc_heap_live, l->gc_heap_in_use,
			 l->gc_heap_released, l->gc_heap_free, l->gc_total_alloc,
			 l->gc_mapped_ready},
		.n = 8,
	};
	const struct rule allp = {
		.from = BIT(MT_GO_PROCRESIZE),
		.size = 24,
		.offs = {0, 8, 16}, /* a slice: its array, length, capacity */
		.n = 3,
		.counts = true,
	};

	memset(ret, 0, MT_GO_VARS * sizeof(*ret));
	solve(refs, &memstats, is_data, ctx, &ret[MT_GO_MEMSTATS]);
	solve(refs, &mheap, is_data, ctx, &ret[MT_GO_MHEAP]);
	solve(refs, &controller, is_data, ctx, &ret[MT_GO_CONTROLLER]);
	solve(refs, &allp, is_data, ctx, &ret[MT_GO_ALLP]);
	solve_phase(refs, &ret[MT_GO_PHASE]);
}
