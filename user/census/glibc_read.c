/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How the glibc walker reads: chains through a window, lists page by page. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "census/glibc_internal.h"

bool mt_glibc_late(struct mt_glibc_walk *w)
{
	w->late = w->late || mt_image_late(w->img);
	return w->late;
}

/* Dense chunks are worth large readings, large blocks' bodies are passed over. */
static size_t next_want(const struct mt_glibc_walk *w, uint64_t p)
{
	uint64_t end = w->window_addr + w->window_len;

	if (w->window_len && p >= w->window_addr && p < end + PAGE)
		return w->window_want < WINDOW_MAX ? 2 * w->window_want : WINDOW_MAX;
	return w->window_want > PAGE ? w->window_want / 2 : PAGE;
}

bool mt_glibc_load(struct mt_glibc_walk *w, uint64_t p, uint64_t end)
{
	size_t want = next_want(w, p), n;

	if (end - p < CHUNK_HDR || mt_glibc_late(w))
		return false;
	n = want - p % PAGE; /* whole pages are the cheapest to read */
	if (n > end - p)
		n = (size_t)(end - p);
	w->window_want = want;
	w->window_addr = p;
	w->window_len = 0;
	if (w->img->mem->read(w->img->mem, p, w->window, n))
		return false;
	w->window_len = n;
	return true;
}

/* The cached page at page-aligned addr, or NULL. */
static const uint8_t *page_at(struct mt_glibc_walk *w, uint64_t addr)
{
	size_t slot = addr / PAGE % CACHE_PAGES;
	uint8_t *page = w->pages + slot * PAGE;

	if (w->page_addrs[slot] == addr)
		return page;
	if (mt_glibc_late(w))
		return NULL;
	w->page_addrs[slot] = 1; /* no page has it */
	if (w->img->mem->read(w->img->mem, addr, page, PAGE))
		return NULL;
	w->page_addrs[slot] = addr;
	return page;
}

bool mt_glibc_peek(struct mt_glibc_walk *w, uint64_t addr, void *buf, size_t n)
{
	char *out = buf;

	if (addr > ADDRESS_LIMIT)
		return false;
	while (n) {
		size_t room = PAGE - addr % PAGE, part = n < room ? n : room;
		const uint8_t *page = page_at(w, addr - addr % PAGE);

		if (!page)
			return false;
		memcpy(out, page + addr % PAGE, part);
		addr += part;
		out += part;
		n -= part;
	}
	return true;
}

bool mt_glibc_word(struct mt_glibc_walk *w, uint64_t addr, uint64_t *v)
{
	return mt_glibc_peek(w, addr, v, sizeof(*v));
}

void mt_glibc_heads(const struct mt_glibc_walk *w, uint64_t addr, size_t n, uint64_t (*out)[2])
{
	const struct mt_mem *mem = w->img->mem;

	if (mem->heads) {
		mem->heads(mem, addr, n, out);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (mem->read(mem, addr + i * PAGE, out[i], sizeof(out[i])))
			out[i][0] = out[i][1] = 0;
}

int mt_glibc_stuck(struct mt_glibc_walk *w, const char *what, uint64_t addr)
{
	if (w->late)
		return -ETIME;
	return mt_unsound(w->img, "%s at %#" PRIx64, what, addr);
}
