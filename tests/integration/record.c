/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * record PID FILE: records the heap of a process that stands still, as
 * tests/unit/census/recorded.h has it. record FILE: walks a recorded one and
 * prints its classes: size, blocks, bytes.
 */
#include <inttypes.h>

#include "../unit/census/recorded.h"
#include "alloc/alloc.h"
#include "census/image.h"
#include "model/sizeclass.h"
#include "sys/procfs.h"

/* Of the stack nothing else: it holds the environment. */
static bool is_random(const struct mt_image *img, uint64_t addr)
{
	return addr + 8 > img->random && addr < img->random + 16;
}

static int record_pages(const struct mt_image *img, const struct mt_image_area *a,
			struct recorded *rec)
{
	struct recorded_page page;

	for (page.addr = a->start; page.addr < a->end; page.addr += MT_MEM_PAGE) {
		page.addr = img->mem->skip(img->mem, page.addr, a->end);
		if (page.addr == a->end)
			return 0;
		if (img->mem->read(img->mem, page.addr, page.v, sizeof(page.v)))
			continue; /* a guard page of a stack, from 2.42 on */
		for (size_t i = 0; i < PAGE_WORDS; i++) {
			uint64_t at = page.addr + 8 * i, *v;

			if (!page.v[i] || (a->stack && !is_random(img, at)))
				continue;
			v = recorded_word(rec, at);
			if (!v)
				return -ENOSPC;
			*v = page.v[i];
		}
	}
	return 0;
}

static int record_all(const struct mt_image *img, struct recorded *rec)
{
	int r = 0;

	rec->img.start_brk = img->start_brk;
	rec->img.random = img->random;
	for (size_t i = 0; i < img->n_areas && !r; i++) {
		const struct mt_image_area *a = &img->areas[i];

		r = recorded_add_area(rec, a->start, a->end,
				      (a->anon ? 1u : 0u) | (a->brk ? 2u : 0u) |
					      (a->stack ? 4u : 0u) | (a->owner ? 8u : 0u));
	}
	for (size_t i = 0; i < img->n_robust && !r; i++)
		r = recorded_add_thread(rec, img->robust[i]);
	for (size_t i = 0; i < img->n_areas && !r; i++)
		r = record_pages(img, &img->areas[i], rec);
	return r;
}

static int record(pid_t pid, const char *path)
{
	struct mt_alloc_owner owner = {0};
	struct mt_image_process ip;
	struct mt_maps *maps = NULL;
	struct recorded rec;
	char why[MT_WHY_SIZE];
	FILE *f = NULL;
	int r;

	recorded_init(&rec);
	mt_image_open(&ip, pid, why);
	r = mt_maps_read(pid, &maps);
	if (!r)
		r = mt_alloc_find_owner(pid, maps, &owner);
	if (!r)
		r = mt_image_read(&ip, pid, &owner);
	if (!r)
		r = record_all(&ip.img, &rec);
	if (!r && !(f = fopen(path, "we")))
		r = -errno;
	if (!r)
		r = recorded_write(&rec, f);
	if (f && fclose(f) && !r)
		r = -errno;
	mt_elf_free(&owner.elf);
	mt_maps_free(&maps);
	mt_image_close(&ip);
	recorded_free(&rec);
	return r;
}

static int show(const char *path)
{
	struct mt_heap heap = {0};
	struct recorded rec;
	void *state = NULL;
	int r = recorded_load(&rec, path), e = -ENOENT;

	for (size_t i = 0; !r && mt_walkers[i] && e == -ENOENT; i++) {
		e = mt_walkers[i]->find(&rec.img, &state);
		if (!e)
			e = mt_walkers[i]->walk(&rec.img, state, &heap);
		mt_walkers[i]->free(&state);
	}
	r = r ? r : e;
	for (unsigned int i = 0; i < MT_CLASSES && !r; i++)
		if (heap.cls[i].objects)
			printf("%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", mt_class_size(i),
			       heap.cls[i].objects, heap.cls[i].bytes);
	if (r == -EAGAIN)
		fprintf(stderr, "record: unsound: %s\n", rec.why);
	free(heap.arenas);
	recorded_free(&rec);
	return r;
}

int main(int argc, char **argv)
{
	int r;

	if (argc < 2 || argc > 3)
		return 2;
	r = argc == 3 ? record(atoi(argv[1]), argv[2]) : show(argv[1]);
	if (r)
		fprintf(stderr, "record: %s\n", strerror(-r));
	return r != 0;
}
