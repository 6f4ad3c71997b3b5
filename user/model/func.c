/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/func.h"

#include <stdlib.h>
#include <string.h>

#define BIAS (UINT64_C(1) << 63)

uint64_t mt_func_bucket_value(unsigned int bucket)
{
	const unsigned int above = bucket - MT_HIST_EXACT, e = above / MT_HIST_SUB;
	uint64_t low;

	if (bucket < MT_HIST_EXACT)
		return bucket;
	low = (uint64_t)(MT_HIST_SUB + above % MT_HIST_SUB) << (e + 1);
	return bucket == MT_HIST_BUCKETS - 1 ? low : low + (UINT64_C(1) << e);
}

static void add_sums(struct mt_func_sums *sum, const struct mt_func_sums *s)
{
	sum->calls += s->calls;
	sum->mallocs += s->mallocs;
	sum->frees += s->frees;
	sum->alloc_bytes += s->alloc_bytes;
	sum->free_bytes += s->free_bytes;
}

static void add_array(__u64 *sum, const __u64 *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum[i] += v[i];
}

static void raise_to(__u64 *most, __u64 v)
{
	*most = v > *most ? v : *most;
}

static void add(struct mt_func_counts *sum, const struct mt_func_counts *c)
{
	sum->entered += c->entered;
	sum->nested += c->nested;
	sum->tailed += c->tailed;
	sum->failed_storage += c->failed_storage;
	add_sums(&sum->back, &c->back);
	add_sums(&sum->left, &c->left);
	raise_to(&sum->max_blocks, c->max_blocks);
	raise_to(&sum->max_bytes, c->max_bytes);
	raise_to(&sum->high_blocks, c->high_blocks);
	raise_to(&sum->low_blocks, c->low_blocks);
	raise_to(&sum->high_bytes, c->high_bytes);
	raise_to(&sum->low_bytes, c->low_bytes);
	sum->grew += c->grew;
	sum->shrank += c->shrank;
	add_array(sum->blocks, c->blocks, MT_HIST_BUCKETS);
	add_array(sum->bytes, c->bytes, MT_HIST_BUCKETS);
	for (size_t i = 0; i < MT_CLASSES; i++) {
		sum->cls[i].mallocs += c->cls[i].mallocs;
		sum->cls[i].frees += c->cls[i].frees;
		sum->cls[i].alloc_bytes += c->cls[i].alloc_bytes;
		sum->cls[i].free_bytes += c->cls[i].free_bytes;
	}
}

/* The least value that percent of the calls do not exceed. */
static uint64_t percentile(const __u64 *buckets, unsigned int percent, uint64_t max)
{
	uint64_t calls = 0, want, seen = 0;
	unsigned int i = 0;

	for (unsigned int k = 0; k < MT_HIST_BUCKETS; k++)
		calls += buckets[k];
	if (!calls)
		return 0;
	want = calls / 100 * percent + (calls % 100 * percent + 99) / 100;
	for (i = 0; i < MT_HIST_BUCKETS - 1; i++) {
		seen += buckets[i];
		if (seen >= want)
			break;
	}
	return mt_func_bucket_value(i) < max ? mt_func_bucket_value(i) : max;
}

static struct mt_func_spread spread(const __u64 *buckets, uint64_t calls, uint64_t total,
				    uint64_t max)
{
	return (struct mt_func_spread){
		.mean = calls ? (double)total / (double)calls : 0,
		.p50 = percentile(buckets, 50, max),
		.p99 = percentile(buckets, 99, max),
		.max = max,
		.total = total,
	};
}

static struct mt_func_net net(uint64_t calls, uint64_t total, uint64_t high, uint64_t low)
{
	if (!calls)
		return (struct mt_func_net){0};
	return (struct mt_func_net){
		.mean = (double)(int64_t)total / (double)calls,
		.min = (int64_t)(BIAS - low),
		.max = (int64_t)(high - BIAS),
		.total = (int64_t)total,
	};
}

static struct mt_func_part part_of(const struct mt_func_sums *s)
{
	return (struct mt_func_part){s->calls, s->mallocs, s->frees, s->alloc_bytes, s->free_bytes};
}

/* What all calls allocated, less what those that are over did. */
static void work_out_open(struct mt_func *f, uint64_t entered)
{
	struct mt_func_part *o = &f->open;

	memset(o, 0, sizeof(*o));
	for (size_t i = 0; i < MT_CLASSES; i++) {
		o->mallocs += f->cls[i].mallocs;
		o->frees += f->cls[i].frees;
		o->alloc_bytes += f->cls[i].alloc_bytes;
		o->free_bytes += f->cls[i].free_bytes;
	}
	o->calls = entered - f->back.calls - f->left.calls;
	o->mallocs -= f->back.mallocs + f->left.mallocs;
	o->frees -= f->back.frees + f->left.frees;
	o->alloc_bytes -= f->back.alloc_bytes + f->left.alloc_bytes;
	o->free_bytes -= f->back.free_bytes + f->left.free_bytes;
}

void mt_func_fill(struct mt_func *f, const struct mt_func_counts *percpu, size_t n)
{
	struct mt_func_counts sum;
	const struct mt_func_part *b = &f->back;

	memset(&sum, 0, sizeof(sum));
	for (size_t i = 0; i < n; i++)
		add(&sum, &percpu[i]);
	f->back = part_of(&sum.back);
	f->left = part_of(&sum.left);
	f->nested = sum.nested;
	f->tailed = sum.tailed;
	f->grew = sum.grew;
	f->shrank = sum.shrank;
	f->loss.calls = sum.failed_storage;
	memcpy(f->cls, sum.cls, sizeof(f->cls));
	f->blocks = spread(sum.blocks, b->calls, b->mallocs, sum.max_blocks);
	f->bytes = spread(sum.bytes, b->calls, b->alloc_bytes, sum.max_bytes);
	f->net_blocks = net(b->calls, b->mallocs - b->frees, sum.high_blocks, sum.low_blocks);
	f->net_bytes = net(b->calls, b->alloc_bytes - b->free_bytes, sum.high_bytes, sum.low_bytes);
	work_out_open(f, sum.entered);
}

void mt_func_fini(struct mt_func *f)
{
	free(f->pids);
	f->pids = NULL;
	f->n_pids = 0;
}

uint64_t mt_func_lost(const struct mt_func *f)
{
	const struct mt_func_loss *l = &f->loss;

	return l->calls + l->failed_reads + l->failed_storage + l->unreturned + l->unknown_free +
	       l->map_full + l->untraced;
}
