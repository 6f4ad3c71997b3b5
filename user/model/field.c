/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/field.h"

#define FIELD(go, member, ftype, funit, mtype, mname, text, ...)                                   \
	{                                                                                          \
		.name = (go), .offset = offsetof(struct memtrace_memstats, member),                \
		.type = MT_FIELD_##ftype, .unit = MT_FIELD_##funit,                                \
		.metric_type = MT_METRIC_##mtype, .metric = (mname), .help = (text), __VA_ARGS__   \
	}

/* Fields that hold bytes and are a gauge, which most are. */
#define BYTES(go, member, text, ...)                                                               \
	FIELD(go, member, U64, BYTES, GAUGE, "memstats_" #member "_bytes", text, __VA_ARGS__)

#define GO(text) .go_help = (text)
#define HEAP     .of_heap = true

/*
 * Metric names are those of client_golang's go_collector, where it has the
 * field: other names for the same thing would cost users their dashboards.
 */
const struct mt_field mt_fields[] = {
	BYTES("Alloc", alloc, "Usable bytes in live blocks.", HEAP,
	      GO("Bytes in blocks not yet freed.")),
	FIELD("TotalAlloc", total_alloc, U64, BYTES, COUNTER, "memstats_alloc_bytes_total",
	      "Usable bytes ever allocated.", HEAP, GO("Bytes ever allocated.")),
	BYTES("Sys", sys, "Private writable address space.", GO("Address space from the system.")),
	FIELD("Lookups", lookups, U64, COUNT, COUNTER, "memstats_lookups_total",
	      "Pointer lookups by the runtime."),
	FIELD("Mallocs", mallocs, U64, COUNT, COUNTER, "memstats_mallocs_total",
	      "Blocks allocated.", HEAP, GO("Blocks allocated, tiny ones too.")),
	FIELD("Frees", frees, U64, COUNT, COUNTER, "memstats_frees_total", "Blocks freed.", HEAP,
	      GO("Blocks freed, tiny ones too.")),
	BYTES("HeapAlloc", heap_alloc, "Usable bytes in live blocks.", HEAP, GO("As Alloc.")),
	BYTES("HeapSys", heap_sys, "The allocator's share of Sys.", HEAP,
	      GO("The heap's share of Sys.")),
	BYTES("HeapIdle", heap_idle, "Whole free pages in HeapSys.", HEAP,
	      GO("Spans without blocks.")),
	BYTES("HeapInuse", heap_inuse, "HeapSys without HeapIdle.", HEAP, GO("Spans with blocks.")),
	BYTES("HeapReleased", heap_released, "HeapIdle that is not resident.", HEAP,
	      GO("Of HeapIdle, given back.")),
	FIELD("HeapObjects", heap_objects, U64, COUNT, GAUGE, "memstats_heap_objects",
	      "Live blocks.", HEAP, GO("Blocks not yet freed.")),
	BYTES("StackInuse", stack_inuse, "Resident bytes of the stacks.",
	      GO("Spans of goroutines' stacks.")),
	BYTES("StackSys", stack_sys, "The stacks of all threads.",
	      GO("StackInuse and threads' stacks.")),
	BYTES("MSpanInuse", mspan_inuse, "Allocator metadata in use.", HEAP,
	      GO("Records of spans, in use.")),
	BYTES("MSpanSys", mspan_sys, "Out-of-line allocator metadata.", HEAP,
	      GO("Records of spans.")),
	BYTES("MCacheInuse", mcache_inuse, "Per-thread caches in use.", HEAP,
	      GO("Caches of the Ps, in use.")),
	BYTES("MCacheSys", mcache_sys, "Per-thread cache structures.", HEAP,
	      GO("Caches of the Ps.")),
	BYTES("BuckHashSys", buck_hash_sys, "Profiling hash table."),
	BYTES("GCSys", gc_sys, "Garbage collector metadata."),
	BYTES("OtherSys", other_sys, "Sys beside the parts above."),
	BYTES("NextGC", next_gc, "Heap size at next collection."),
	FIELD("LastGC", last_gc, U64, TIME, GAUGE, "memstats_last_gc_time_seconds",
	      "End of the last collection."),
	FIELD("PauseTotalNs", pause_total_ns, U64, NS, NONE, NULL, "Time stopped by collections."),
	FIELD("NumGC", num_gc, U32, COUNT, NONE, NULL, "Collections completed."),
	FIELD("NumForcedGC", num_forced_gc, U32, COUNT, NONE, NULL,
	      "Collections the program forced."),
	FIELD("GCCPUFraction", gc_cpu_fraction, DOUBLE, RATIO, GAUGE, "memstats_gc_cpu_fraction",
	      "CPU share of the collector."),
	FIELD("EnableGC", enable_gc, BOOL, COUNT, NONE, NULL, "There is a collector."),
	FIELD("DebugGC", debug_gc, BOOL, COUNT, NONE, NULL, "Unused, always false."),
};

const size_t mt_fields_count = sizeof(mt_fields) / sizeof(mt_fields[0]);

uint64_t mt_field_u64(const struct mt_field *f, const struct memtrace_memstats *m)
{
	const char *p = (const char *)m + f->offset;

	if (f->type == MT_FIELD_U32)
		return *(const uint32_t *)(const void *)p;
	return *(const uint64_t *)(const void *)p;
}

double mt_field_double(const struct mt_field *f, const struct memtrace_memstats *m)
{
	return *(const double *)(const void *)((const char *)m + f->offset);
}

bool mt_field_bool(const struct mt_field *f, const struct memtrace_memstats *m)
{
	return *(const bool *)(const void *)((const char *)m + f->offset);
}
