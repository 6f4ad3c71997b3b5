/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/field.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static size_t size_of(const struct mt_field *f)
{
	switch (f->type) {
	case MT_FIELD_U64:
		return sizeof(uint64_t);
	case MT_FIELD_U32:
		return sizeof(uint32_t);
	case MT_FIELD_DOUBLE:
		return sizeof(double);
	case MT_FIELD_BOOL:
		return sizeof(bool);
	}
	fail();
	return 0;
}

/* Every scalar byte of the struct belongs to exactly one row; arrays to none. */
static void covers_struct(void **state)
{
	unsigned char seen[sizeof(struct memtrace_memstats)] = {0};
	size_t scalars = 0, rows = 0;

	(void)state;
	for (size_t i = 0; i < mt_fields_count; i++) {
		for (size_t k = 0; k < size_of(&mt_fields[i]); k++) {
			assert_int_equal(seen[mt_fields[i].offset + k], 0);
			seen[mt_fields[i].offset + k] = 1;
			rows++;
		}
	}
	for (size_t i = 0; i < offsetof(struct memtrace_memstats, by_size); i++)
		scalars += seen[i];
	assert_int_equal(scalars, rows);
	for (size_t i = 0; i < offsetof(struct memtrace_memstats, pause_ns); i++)
		assert_int_equal(seen[i], 1);
	for (size_t i = offsetof(struct memtrace_memstats, num_gc);
	     i <= offsetof(struct memtrace_memstats, debug_gc); i++)
		assert_int_equal(seen[i], 1);
}

static void order_and_text(void **state)
{
	(void)state;
	for (size_t i = 0; i < mt_fields_count; i++) {
		const struct mt_field *f = &mt_fields[i];

		if (i)
			assert_true(mt_fields[i - 1].offset < f->offset);
		assert_int_equal(!f->metric, f->metric_type == MT_METRIC_NONE);
		/* The table gives help 32 columns. */
		assert_in_range(strlen(f->help), 5, 32);
		assert_int_equal(f->help[strlen(f->help) - 1], '.');
		if (!f->metric)
			continue;
		assert_int_equal(strncmp(f->metric, "memstats_", 9), 0);
		assert_int_equal(f->metric_type == MT_METRIC_COUNTER,
				 strstr(f->metric, "_total") != NULL);
		assert_int_equal(f->unit == MT_FIELD_BYTES, strstr(f->metric, "_bytes") != NULL);
	}
	assert_string_equal(mt_fields[0].name, "Alloc");
	assert_string_equal(mt_fields[mt_fields_count - 1].name, "DebugGC");
}

static const struct mt_field *named(const char *name)
{
	for (size_t i = 0; i < mt_fields_count; i++) {
		if (!strcmp(mt_fields[i].name, name))
			return &mt_fields[i];
	}
	fail_msg("no field %s", name);
	return NULL;
}

static void values(void **state)
{
	struct memtrace_memstats m = {
		.alloc = UINT64_MAX,
		.other_sys = 7,
		.num_gc = UINT32_MAX,
		.num_forced_gc = 3,
		.gc_cpu_fraction = 0.25,
		.enable_gc = true,
	};

	(void)state;
	assert_true(mt_field_u64(named("Alloc"), &m) == UINT64_MAX);
	assert_int_equal(mt_field_u64(named("OtherSys"), &m), 7);
	assert_int_equal(mt_field_u64(named("NumGC"), &m), UINT32_MAX);
	assert_int_equal(mt_field_u64(named("NumForcedGC"), &m), 3);
	assert_true(mt_field_double(named("GCCPUFraction"), &m) == 0.25);
	assert_true(mt_field_bool(named("EnableGC"), &m));
	assert_false(mt_field_bool(named("DebugGC"), &m));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(covers_struct),
		cmocka_unit_test(order_and_text),
		cmocka_unit_test(values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
