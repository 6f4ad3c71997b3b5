/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What (*mcache).releaseAll and the sweep of a stale span do to the statistics:
 * runtime/mcache.go, mcentral.go (uncacheSpan) and mgcsweep.go.
 *
 * Left out is what the flush takes and gives back for itself, which depends on the
 * P that would run it: mspans that it frees (MSpanInuse), and lists of spans that
 * it makes (from OtherSys to GCSys, seldom 256 KiB more of Sys).
 */
#include "golang/snapshot.h"

#define INLINE_MIN 16u
#define INLINE_MAX 512u
#define INLINE_LEN 63u /* spanInlineMarkBits.marks, in front of the last byte of the page */

/*
 * runtime.refill takes a span out by giving it the sweepgen of one that is not
 * cached, counts its objects, and puts another in its place: in between, the
 * objects are in neither place.
 */
enum mt_go_cached mt_go_span_kind(const struct mt_go_span *s, unsigned int i, uint32_t sweepgen)
{
	if (!s->start)
		return MT_GO_SPAN_NONE;
	if (s->spanclass != i || i / 2 == 0 || s->elemsize != mt_go_size(i / 2) ||
	    s->start % MT_GO_PAGE || s->nelems > MT_GO_ELEMS || !s->npages || s->npages > 16 ||
	    s->nelems * s->elemsize > s->npages * MT_GO_PAGE || s->allocated > s->nelems)
		return MT_GO_SPAN_WRONG;
	if (s->sweepgen == sweepgen || s->allocated_before > s->allocated)
		return MT_GO_SPAN_MOVING;
	if (s->sweepgen == sweepgen + 3)
		return MT_GO_SPAN_CACHED;
	return s->sweepgen == sweepgen + 1 ? MT_GO_SPAN_STALE : MT_GO_SPAN_MOVING;
}

size_t mt_go_inline_marks(const struct mt_go_span *s, bool green_tea, uint64_t *addr)
{
	if (!green_tea || s->elemsize < INLINE_MIN || s->elemsize > INLINE_MAX)
		return 0;
	*addr = s->start + MT_GO_PAGE - INLINE_LEN - 1;
	return INLINE_LEN;
}

static unsigned int count_marked(const struct mt_go_span *s, const uint8_t *marks)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < s->nelems; i++)
		n += marks[i / 8] >> i % 8 & 1;
	return n;
}

void mt_go_flush_span(struct mt_go_flush *f, const struct mt_go_span *s, unsigned int i,
		      const uint8_t *marks)
{
	unsigned int live;

	f->allocs[i / 2] += (uint64_t)(s->allocated - s->allocated_before);
	if (!marks)
		return;
	f->stale++;
	live = count_marked(s, marks);
	if (live > s->allocated)
		live = s->allocated;
	f->frees[i / 2] += s->allocated - live;
	if (!live)
		f->idle_bytes += s->npages * MT_GO_PAGE;
}
