/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the code of the probed functions says of them: which contain others, by
 * which instructions operator new returns or is left, and where one function of
 * the free kind jumps to another.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "alloc/plan.h"
#include "base/cleanup.h"
#include "core.bpf.h"

/* Before this kernel a return probe knows nothing of where it stands. */
#define KERNEL_FUNC_IP 0x060600u

/* What does not return. The first of them leave operator new by an exception. */
static const char *const noreturn[] = {
	"__cxa_throw",
	"_ZSt17__throw_bad_allocv",
	"_ZSt28__throw_bad_array_new_lengthv",
	"__cxa_rethrow",
	"_Unwind_Resume",
	"abort",
	"__stack_chk_fail",
	"__assert_fail",
	"_ZSt9terminatev",
	"exit",
	"_exit",
};

#define THROWS 4
/* It makes the exception's room, by malloc: the program's from there on. */
#define MAKES_EXCEPTION "__cxa_allocate_exception"

/* The walk over one of the plan's functions. */
struct facts {
	struct mt_plan *plan;
	size_t of;
	bool is_new;
	bool contains;   /* it calls or jumps to another that allocates */
	bool returns;    /* by itself */
	bool passes_on;  /* it jumps to another that frees */
	const char *why; /* it cannot be counted; static text */
};

static bool does_return(const char *name)
{
	for (size_t i = 0; name && i < sizeof(noreturn) / sizeof(noreturn[0]); i++)
		if (strcmp(name, noreturn[i]) == 0)
			return false;
	return true;
}

static bool frees(enum mt_kind kind)
{
	return kind == MT_KIND_FREE;
}

static void add(struct facts *f, enum mt_kind kind, uint64_t addr, const char *why)
{
	if (!mt_plan_add(f->plan, f->plan->found->probes[f->of].func, kind, addr, why))
		f->why = "more exits than there is room for";
}

static unsigned int on_call(struct facts *f, struct mt_flow *flow)
{
	const struct mt_alloc_found *found = f->plan->found;
	uint64_t to = flow->target;
	const char *name;
	size_t k;

	mt_plan_resolve(f->plan, &to, flow->slot, &name);
	k = to ? mt_plan_find(f->plan, to) : f->plan->n;
	if (k < f->plan->n && k != f->of && !frees(found->probes[k].kind))
		f->contains = true;
	return does_return(name) ? MT_FOLLOW_NEXT : 0;
}

/* A jump to another probed function: its return is this one's. */
static void on_tail(struct facts *f, const struct mt_flow *flow, size_t k)
{
	struct mt_alloc_found *found = f->plan->found;
	const enum mt_kind own = found->probes[f->of].kind, other = found->probes[k].kind;

	if (frees(own) && frees(other)) {
		f->passes_on = true;
		if (flow->conditional)
			f->why = "it may jump to another function that frees";
		else
			add(f, MT_KIND_FREE_AGAIN, flow->addr,
			    "a jump to another that frees: the same call counts once");
		return;
	}
	f->contains = f->contains || !frees(other);
	if (own == other)
		found->flags |= MT_FILE_TAILS;
}

/* From an operator new to what counts by itself, be it interposed or not. */
static unsigned int leave_by_slot(struct facts *f, struct mt_flow *flow)
{
	/* only some of those who come by go: the PLT entry itself is passed by all who do */
	if (flow->conditional)
		return MT_FOLLOW_TARGET;
	add(f, MT_KIND_LEAVE, flow->addr, "a jump to what counts by itself");
	return 0;
}

static unsigned int on_jump(struct facts *f, struct mt_flow *flow)
{
	uint64_t to = flow->target;
	const char *name;
	size_t k;

	mt_plan_resolve(f->plan, &to, flow->slot, &name);
	k = to ? mt_plan_find(f->plan, to) : f->plan->n;
	if (k == f->of || !does_return(name))
		return 0;
	if (f->is_new && name && (k < f->plan->n || mt_alloc_is_common_name(name)))
		return leave_by_slot(f, flow);
	if (k < f->plan->n) {
		on_tail(f, flow, k);
		return 0;
	}
	if (to) {
		flow->target = to;
		return MT_FOLLOW_TARGET;
	}
	f->why = "it jumps to another library";
	return 0;
}

static unsigned int on_flow(void *ctx, struct mt_flow *flow)
{
	struct facts *f = ctx;

	switch (flow->how) {
	case MT_FLOW_RET:
		f->returns = true;
		if (f->is_new)
			add(f, MT_KIND_EXIT, flow->addr, "an exit");
		return 0;
	case MT_FLOW_CALL:
		return on_call(f, flow);
	case MT_FLOW_JUMP:
		return on_jump(f, flow);
	default:
		f->why = flow->why;
		return 0;
	}
}

static void miss(struct mt_plan *plan, size_t i, const char *why)
{
	struct mt_alloc_found *found = plan->found;
	struct mt_missed *m = &found->missed[found->n_missed];

	if (found->n_missed == MT_MISSED_MAX)
		return;
	memcpy(m->func, found->probes[i].func, sizeof(m->func));
	m->why = why;
	found->n_missed++;
}

/*
 * A plain function is one whose return probe is all: what it contains must be
 * none, its size must be known by the block, and where the file lies, too.
 */
static bool must_frame(const struct mt_plan *plan, bool contains)
{
	switch (plan->found->id.layout) {
	case MT_LAYOUT_REQUESTED:
		return true;
	case MT_LAYOUT_GLIBC:
	case MT_LAYOUT_GLIBC_243:
	case MT_LAYOUT_MUSL:
		return contains;
	default:
		return contains || plan->kernel < KERNEL_FUNC_IP;
	}
}

static void frame(struct mt_probe *probe)
{
	if (probe->kind == MT_KIND_MALLOC)
		probe->kind = MT_KIND_ALLOC;
	else if (probe->kind == MT_KIND_CALLOC)
		probe->kind = MT_KIND_ALLOC_N;
}

/* Follows one function. *ok false: it cannot be counted, and what was added for it is undone. */
static int follow(struct mt_plan *plan, size_t i, bool *ok)
{
	struct mt_alloc_found *found = plan->found;
	const size_t before = found->n_probes;
	struct facts f = {
		.plan = plan,
		.of = i,
		.is_new = mt_core_exits(found->probes[i].kind),
	};
	int r = mt_place_walk(&plan->rq[i], NULL, 0, on_flow, &f, &plan->budget);

	if (r == -E2BIG)
		f.why = "its code goes too far to be followed";
	else if (r)
		return r;
	if (must_frame(plan, f.contains))
		frame(&found->probes[i]);
	/* what always passes on to others that free is seen there */
	*ok = f.passes_on && !f.returns ? false : !f.why || !f.is_new;
	if (*ok)
		return 0;
	found->n_probes = before;
	if (f.is_new)
		miss(plan, i, f.why);
	return 0;
}

struct throws {
	struct mt_plan *plan;
	uint64_t addrs[THROWS + 1]; /* of those that are in this very file */
};

static bool is_throw(const struct throws *t, const char *name, uint64_t addr)
{
	for (size_t i = 0; i < THROWS; i++)
		if (name && strcmp(name, noreturn[i]) == 0)
			return true;
	for (size_t i = 0; i <= THROWS; i++)
		if (addr && addr == t->addrs[i])
			return true;
	return name && strcmp(name, MAKES_EXCEPTION) == 0;
}

static unsigned int on_throw(void *ctx, struct mt_flow *flow)
{
	struct throws *t = ctx;
	uint64_t to = flow->target;
	unsigned int next;
	const char *name;

	if (flow->how != MT_FLOW_CALL && flow->how != MT_FLOW_JUMP)
		return 0;
	mt_plan_resolve(t->plan, &to, flow->slot, &name);
	next = flow->how == MT_FLOW_CALL && does_return(name) ? MT_FOLLOW_NEXT : 0;
	if (is_throw(t, name, to)) {
		if (!flow->conditional)
			mt_plan_add(t->plan, "operator new", MT_KIND_LEAVE, flow->addr,
				    "left by an exception");
		return next;
	}
	if (!to)
		return next;
	flow->target = to;
	return next | MT_FOLLOW_TARGET;
}

/*
 * Where the allocator throws: operator new's frame is closed there, before the
 * exception takes memory of its own. What is not found here, or thrown by the
 * program's new_handler, is seen later, by the stack.
 */
static int find_throws(struct mt_plan *plan)
{
	struct throws t = {.plan = plan};
	uint64_t entries[MT_PROBES_MAX];
	struct mt_sym sym;
	size_t n = 0;
	int r;

	for (size_t i = 0; i < plan->n; i++)
		if (mt_core_exits(plan->found->probes[i].kind))
			entries[n++] = plan->syms[i].addr;
	if (!n)
		return 0;
	for (size_t i = 0; i <= THROWS; i++)
		if (!mt_elf_find_func(plan->elf, i < THROWS ? noreturn[i] : MAKES_EXCEPTION, &sym))
			t.addrs[i] = sym.addr;
	r = mt_place_walk(&plan->rq[0], entries, n, on_throw, &t, &plan->budget);
	return r == -E2BIG ? 0 : r;
}

int mt_plan_flows(struct mt_plan *plan)
{
	bool missed[MT_PROBES_MAX] = {false};
	int r = 0;

	for (size_t i = 0; i < plan->n && !r; i++) {
		bool ok = true;

		r = follow(plan, i, &ok);
		missed[i] = !ok;
	}
	for (size_t i = plan->n; i-- > 0 && !r;)
		if (missed[i])
			mt_plan_remove(plan, i);
	return r ?: find_throws(plan);
}
