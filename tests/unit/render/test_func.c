/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "render/func.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/writer.h"
#include "golden.h"
#include "model/sizeclass.h"

static pid_t pids[12] = {4242, 4243};

static struct mt_func made(void)
{
	struct mt_func f = {
		.time_ns = UINT64_C(1767323045000000006),
		.duration_ns = UINT64_C(12300000000),
		.name = "shop::Till::pay(int)",
		.symbol = "_ZN4shop4Till3payEi",
		.binary = "/usr/lib/libshop.so.1",
		.addr = 0x1750,
		.comm = "shopd",
		.pids = pids,
		.n_pids = 2,
		.back = {1000, 22010, 22000, 10700000, 10699000},
		.left = {5, 10, 4, 1000, 400},
		.open = {1, 2, 0, 96, 0},
		.nested = 70,
		.tailed = 3,
		.blocks = {22.01, 22, 24, 25, 22010},
		.bytes = {10700, 10624, 12160, 12200, 10700000},
		.net_blocks = {0.01, -1, 2, 10},
		.net_bytes = {1, -64, 512, 1000},
		.grew = 12,
		.shrank = 2,
	};

	f.cls[mt_class_of(24)] = (struct mt_class_counts){22000, 21994, 528000, 527856};
	f.cls[mt_class_of(40000)] = (struct mt_class_counts){22, 10, 880000, 400000};
	return f;
}

static void render(const char *format, const struct mt_func *f, struct mt_writer *w)
{
	const struct mt_render_opts o = {.unit = MT_UNIT_AUTO};

	mt_render_func_find(format)(w, f, &o);
}

static void test_golden(void **state)
{
	static const struct {
		const char *format, *file;
	} v[] = {{"table", "func-table.txt"}, {"line", "func-line.txt"}, {"json", "func.ndjson"}};
	const struct mt_func f = made();

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		_cleanup_writer_ struct mt_writer w = {0};

		render(v[i].format, &f, &w);
		compare(v[i].file, &w);
	}
	assert_null(mt_render_func_find("openmetrics"));
}

static void test_lost(void **state)
{
	_cleanup_writer_ struct mt_writer w = {0}, line = {0};
	struct mt_func f = made();

	(void)state;
	f.loss.failed_reads = 3;
	render("table", &f, &w);
	assert_non_null(strstr(w.buf, "LOST 3"));
	render("line", &f, &line);
	assert_non_null(strstr(line.buf, "\tLost = 3\n"));
}

static void test_no_calls(void **state)
{
	_cleanup_writer_ struct mt_writer w = {0}, json = {0};
	struct mt_func f = {.name = "f", .pids = pids, .n_pids = 12};

	(void)state;
	render("table", &f, &w);
	assert_non_null(strstr(w.buf, "no calls\n"));
	assert_null(strstr(w.buf, "Per call"));
	assert_non_null(strstr(w.buf, "and 4 more"));
	render("json", &f, &json);
	assert_non_null(strstr(json.buf, "\"calls\":0"));
}

/* Names are the target's; numbers may be anything. */
static void test_hostile(void **state)
{
	struct mt_func f = made();

	(void)state;
	snprintf(f.name, sizeof(f.name), "\033[2J<script>\n\xff");
	snprintf(f.binary, sizeof(f.binary), "/tmp/\033]0;x\007\xe2\x80\xae");
	snprintf(f.comm, sizeof(f.comm), "\t\n\x9b");
	memset(&f.back, 0xff, sizeof(f.back));
	f.net_bytes = (struct mt_func_net){-9.2e18, INT64_MIN, INT64_MAX, INT64_MIN};
	f.bytes = (struct mt_func_spread){1.8e19, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
	for (int i = 0; i < 3; i++) {
		static const char *const formats[] = {"table", "line", "json"};
		_cleanup_writer_ struct mt_writer w = {0};

		render(formats[i], &f, &w);
		check_harmless(&w);
	}
}

static void test_width(void **state)
{
	_cleanup_writer_ struct mt_writer w = {0};
	struct mt_func f = made();

	(void)state;
	render("table", &f, &w);
	check_widths(w.buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),   cmocka_unit_test(test_lost),
		cmocka_unit_test(test_no_calls), cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_width),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
