/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "census/census.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/alloc.h"
#include "alloc/order.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "census/image.h"
#include "census/stop.h"
#include "census/walker.h"
#include "sys/procfs.h"

#define ATTEMPTS_MAX 5u
#define FIND_NS      5000000000u /* for which the structures are looked for */

struct mt_census_plan {
	pid_t pid;
	struct mt_alloc_owner owner;
	const struct mt_walker *walker;
	void *state; /* the walker's */
	int refused; /* what the caller's held() ended it with */
	char allocator[64];
	char why[MT_WHY_SIZE];
	struct mt_image_process image;
	struct mt_stop *stop;
};

static char *refusal; /* receives what detection would have logged */

static void keep_refusal(enum mt_log_level level, const char *msg)
{
	if (level == MT_LOG_ERR)
		snprintf(refusal, MT_WHY_SIZE, "%s", msg);
}

static int find_owner(struct mt_census_plan *plan, const struct mt_maps *maps, char *why)
{
	mt_log_fn sink;
	int r;

	refusal = why;
	sink = mt_log_set_sink(keep_refusal);
	r = mt_alloc_find_owner(plan->pid, maps, &plan->owner);
	mt_log_set_sink(sink);
	return r;
}

/* Where a link-time address of the owner's text is in the process; 0 if it is not mapped. */
static uint64_t address_of(const struct mt_census_plan *plan, const struct mt_maps *maps,
			   uint64_t addr, struct mt_stop_zone *zone)
{
	const uint8_t *bytes;
	struct mt_sym sym;
	uint64_t start, offset;
	size_t len;

	if (mt_elf_text(plan->owner.elf, addr, &bytes, &len, &start) ||
	    mt_elf_find_func(plan->owner.elf, "malloc", &sym))
		return 0;
	offset = sym.offset - sym.addr + addr; /* both of one segment */
	for (size_t i = 0; i < maps->n; i++) {
		const struct mt_mapping *m = &maps->v[i];

		if (!m->exec || !mt_mapping_same_file(m, &plan->owner.map) || offset < m->offset ||
		    offset - m->offset >= m->end - m->start)
			continue;
		zone->file_lo = m->start;
		zone->file_hi = m->end;
		return m->start + (offset - m->offset);
	}
	return 0;
}

static bool is_lock(const void *ctx, uint64_t addr)
{
	const struct mt_census_plan *plan = ctx;

	return plan->walker->is_lock && plan->state && plan->walker->is_lock(plan->state, addr);
}

static void find_zone(const struct mt_census_plan *plan, const struct mt_maps *maps,
		      struct mt_stop_zone *zone)
{
	struct mt_text_range text[MT_TEXT_MAX];
	size_t n = plan->walker->text(plan->owner.elf, text);

	*zone = (struct mt_stop_zone){.is_lock = is_lock, .ctx = plan};
	for (size_t i = 0; i < n; i++) {
		uint64_t lo = address_of(plan, maps, text[i].lo, zone);

		if (!lo) {
			zone->n_text = 0; /* half of it is worse than none */
			break;
		}
		zone->text[zone->n_text++] =
			(struct mt_stop_range){lo, lo + (text[i].hi - text[i].lo)};
	}
	for (size_t i = 0; i < plan->image.n_areas; i++) {
		const struct mt_image_area *a = &plan->image.areas[i];

		if (!a->owner)
			continue;
		zone->data_lo = zone->data_lo ? zone->data_lo : a->start;
		zone->data_hi = a->end;
	}
}

/* The allocator's structures, as they are by now. */
static int find(struct mt_census_plan *plan)
{
	int r = mt_image_read(&plan->image, plan->pid, &plan->owner);

	if (r)
		return r;
	if (plan->state)
		plan->walker->free(&plan->state);
	plan->image.img.deadline_ns = mt_clock_ns(CLOCK_MONOTONIC) + FIND_NS;
	return plan->walker->find(&plan->image.img, &plan->state);
}

/* The walker for the owner; a stripped executable may be of one or the other. */
static int find_walker(struct mt_census_plan *plan, char *why)
{
	const char *base = strrchr(plan->owner.path, '/');
	char version[32] = "";
	int r = -ENOENT;

	snprintf(why, MT_WHY_SIZE, "the heap of the allocator in %.96s cannot be read from outside",
		 base ? base + 1 : plan->owner.path);
	for (size_t i = 0; mt_walkers[i] && r == -ENOENT; i++) {
		if (!mt_walkers[i]->identify(plan->owner.elf, version, sizeof(version)))
			continue;
		plan->walker = mt_walkers[i];
		snprintf(plan->allocator, sizeof(plan->allocator), "%s%s%s", plan->walker->name,
			 version[0] ? " " : "", version);
		r = find(plan);
		if (r)
			snprintf(why, MT_WHY_SIZE, "%s", plan->why);
	}
	return r == -ENOENT ? -ENOTSUP : r;
}

static int explain(int r, char *why)
{
	if (r && !why[0])
		snprintf(why, MT_WHY_SIZE, "%s",
			 r == -ESRCH                   ? "the process has ended"
			 : r == -EPERM || r == -EACCES ? "no permission to read its memory"
						       : strerror(-r));
	return r;
}

static int prepare(struct mt_census_plan *plan, char *why)
{
	MT_CLEANUP(mt_maps_free) struct mt_maps *maps = NULL;
	struct mt_stop_zone zone;
	int r;

	/* first: after an exec it reads nothing any more, instead of another image */
	mt_image_open(&plan->image, plan->pid, plan->why);
	r = mt_maps_read(plan->pid, &maps);
	if (!r)
		r = find_owner(plan, maps, why);
	if (r)
		return r;
	r = find_walker(plan, why);
	if (r)
		return r;
	find_zone(plan, maps, &zone);
	return mt_stop_new(plan->pid, &zone, why, &plan->stop);
}

int mt_census_prepare(pid_t pid, char *why, struct mt_census_plan **ret)
{
	struct mt_census_plan *plan;
	int r;

	why[0] = '\0';
	if (pid == getpid()) {
		snprintf(why, MT_WHY_SIZE, "it is memtrace itself");
		return -EINVAL;
	}
	plan = calloc(1, sizeof(*plan));
	if (!plan)
		return explain(-ENOMEM, why);
	plan->pid = pid;
	plan->image.mem.mem_fd = plan->image.mem.pagemap_fd = -1;
	r = prepare(plan, why);
	if (r) {
		mt_census_plan_free(&plan);
		return explain(r, why);
	}
	*ret = plan;
	return 0;
}

void mt_census_plan_free(struct mt_census_plan **plan)
{
	struct mt_census_plan *p = *plan;

	if (!p)
		return;
	mt_stop_free(&p->stop);
	if (p->state)
		p->walker->free(&p->state);
	mt_elf_free(&p->owner.elf);
	mt_image_close(&p->image);
	free(p);
	*plan = NULL;
}

/* What is done while the target stands still. */
static int look(struct mt_census_plan *plan, const struct mt_census_opts *opts,
		struct mt_census *out)
{
	uint64_t start = mt_clock_ns(CLOCK_MONOTONIC);
	int r = opts->held ? opts->held(opts->ctx) : 0, ran;

	plan->refused = r;
	if (r)
		return r;
	r = mt_image_read(&plan->image, plan->pid, &plan->owner);
	if (!r)
		r = plan->walker->walk(&plan->image.img, plan->state, &out->heap);
	out->walk_ns = mt_clock_ns(CLOCK_MONOTONIC) - start;
	if (r && r != -EAGAIN)
		return r;
	/* where somebody ran, that is why the heap made no sense */
	ran = mt_stop_check(plan->stop, plan->why);
	return ran ? ran : r;
}

/*
 * While the target waits for us nobody else is to make us wait: on a busy
 * machine that was ten times the walk. Not allowed without privilege, and then
 * left as it is.
 */
static void hurry(const struct sched_param *param, int policy)
{
	(void)sched_setscheduler(0, policy, param);
}

/* Of the time that is left, so much is for letting go. */
#define RELEASE_SHARE 16

static int attempt(struct mt_census_plan *plan, uint64_t left_ns, const struct mt_census_opts *opts,
		   struct mt_census *out)
{
	struct sched_param before, first = {.sched_priority = 1};
	int r, policy = sched_getscheduler(0);
	uint64_t deadline;

	sched_getparam(0, &before);
	if (policy == SCHED_OTHER)
		hurry(&first, SCHED_RR);
	out->attempts++;
	out->time_ns = mt_clock_ns(CLOCK_REALTIME);
	deadline = mt_clock_ns(CLOCK_MONOTONIC) + left_ns - left_ns / RELEASE_SHARE;
	r = mt_stop_begin(plan->stop, deadline, plan->why);
	if (!r) {
		plan->image.img.deadline_ns = deadline;
		r = look(plan, opts, out);
		mt_stop_end(plan->stop);
	}
	if (policy == SCHED_OTHER)
		hurry(&before, policy);
	out->stop_ns = mt_stop_ns(plan->stop);
	out->held_ns += out->stop_ns;
	mt_stop_threads(plan->stop, &out->threads, &out->held);
	return r;
}

static void give_up(const struct mt_census_plan *plan, int r, const struct mt_census_opts *opts,
		    struct mt_census *out)
{
	free(out->heap.arenas);
	out->heap = (struct mt_heap){0};
	out->baseline = MT_BASELINE_UNKNOWN;
	if (r == -ETIME)
		snprintf(out->why, sizeof(out->why), "%.80s within the %.6g ms that it may be held",
			 plan->why[0] ? plan->why : "it could not be read",
			 (double)opts->max_stop_ns / 1e6);
	else if (r == -EAGAIN)
		snprintf(out->why, sizeof(out->why), "unsound in %u attempt%s: %.120s",
			 out->attempts, out->attempts == 1 ? "" : "s", plan->why);
	else
		snprintf(out->why, sizeof(out->why), "%s", plan->why);
	explain(r, out->why);
}

int mt_census_take(struct mt_census_plan *plan, const struct mt_census_opts *opts,
		   struct mt_census *out)
{
	int r = -EAGAIN;

	*out = (struct mt_census){0};
	memcpy(out->allocator, plan->allocator, sizeof(out->allocator));
	while (r == -EAGAIN && !plan->refused && out->attempts < ATTEMPTS_MAX &&
	       out->held_ns < opts->max_stop_ns) {
		free(out->heap.arenas);
		out->heap = (struct mt_heap){0};
		plan->why[0] = '\0';
		r = out->attempts ? find(plan) : 0;
		if (!r)
			r = attempt(plan, opts->max_stop_ns - out->held_ns, opts, out);
	}
	if (r) {
		give_up(plan, r, opts, out);
		return plan->refused || r == -ESRCH || r == -ENOMEM ? r : 0;
	}
	out->baseline = MT_BASELINE_CENSUS;
	out->heap.idle_resident = mt_image_idle_resident(&plan->image, out->heap.idle);
	return 0;
}
