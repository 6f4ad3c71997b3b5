/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What --when is given: parsed, and what parses is evaluated over made-up numbers. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "trigger/condition.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_error(const struct mt_condition_error *e, const char *text)
{
	if (!e->column || e->column > strlen(text) + 1 || !e->why[0])
		abort();
	for (const char *s = e->why; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			abort();
}

static void evaluate(const struct mt_condition *c, const char *text)
{
	static struct mt_snapshot s;
	struct mt_growth g = {0};
	uint64_t ns = 0;
	double v;

	s.vm.known = true;
	for (const char *p = text; *p; p++) {
		memset(&s.vm, *p, offsetof(struct mt_vm, known));
		memset(&s.memstats.alloc, *p, sizeof(uint64_t));
		ns += (uint64_t)(unsigned char)*p * c->window_ns / 64;
		if (!mt_condition_value(c, &s, &v))
			continue;
		mt_condition_holds(c, v, s.vm.rss);
		if (c->op == MT_OP_GROWS)
			mt_condition_grew(c, &g, ns, v, s.vm.rss);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mt_condition_error e = {0};
	struct mt_condition c;
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (mt_condition_parse(text, &c, &e)) {
		check_error(&e, text);
	} else {
		if (!c.name || !(c.amount >= 0) || (c.op == MT_OP_GROWS) != (c.window_ns > 0))
			abort();
		evaluate(&c, text);
	}
	free(text);
	return 0;
}
