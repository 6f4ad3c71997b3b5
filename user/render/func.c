/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "render/func.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "model/sizeclass.h"

#define PIDS_SHOWN 8
#define COLUMN     13

static void write_processes(struct mt_writer *w, const struct mt_func *f)
{
	mt_write_escaped(w, f->comm);
	for (size_t i = 0; i < f->n_pids && i < PIDS_SHOWN; i++)
		mt_writef(w, "%c%d", i ? ',' : '[', f->pids[i]);
	if (f->n_pids > PIDS_SHOWN)
		mt_writef(w, " and %zu more", f->n_pids - PIDS_SHOWN);
	mt_write_str(w, f->n_pids ? "]" : "");
}

static void write_header(struct mt_writer *w, const struct mt_func *f,
			 const struct mt_render_opts *o)
{
	char time[MT_TIME_SIZE], lasted[MT_DURATION_SIZE];

	mt_write_str(w, o->color ? "\033[1m" : "");
	mt_write_escaped(w, f->name);
	mt_write_str(w, o->color ? "\033[0m\n" : "\n");
	mt_write_escaped(w, f->binary);
	mt_writef(w, ":0x%" PRIx64 "\n", f->addr);
	write_processes(w, f);
	mt_writef(w, "  %.19sZ, for %s\n", mt_format_time(time, sizeof(time), f->time_ns),
		  mt_format_duration(lasted, sizeof(lasted), f->duration_ns));
}

static const char *plural(uint64_t n, const char *one, const char *many)
{
	return n == 1 ? one : many;
}

/* Calls that have no part in the figures per call, and what they allocated. */
static void write_others(struct mt_writer *w, const struct mt_func_part *p, const char *what)
{
	_cleanup_writer_ struct mt_writer text = {0};

	if (!p->calls)
		return;
	mt_writef(&text,
		  "%" PRIu64 " %s %s: %" PRIu64 " blocks allocated, %" PRIu64
		  " freed; not in the figures per call",
		  p->calls, plural(p->calls, "call", "calls"), what, p->mallocs, p->frees);
	mt_write_wrapped(w, 0, MT_RENDER_COLUMNS, text.buf ? text.buf : "");
}

static void write_returned(struct mt_writer *w, const struct mt_func *f)
{
	if (!f->back.calls && !f->left.calls && !f->open.calls)
		mt_write_str(w, "no calls\n");
	else
		mt_writef(w, "%" PRIu64 " %s returned\n", f->back.calls,
			  plural(f->back.calls, "call", "calls"));
}

static void write_calls(struct mt_writer *w, const struct mt_func *f)
{
	const uint64_t lost = mt_func_lost(f);

	write_returned(w, f);
	write_others(w, &f->left, "left by an exception, a longjmp or the thread's end");
	write_others(w, &f->open, "not over yet");
	if (f->nested)
		mt_writef(w, "%" PRIu64 " %s within a call of itself, as part of it\n", f->nested,
			  plural(f->nested, "call", "calls"));
	if (f->tailed)
		mt_writef(w,
			  "%" PRIu64 " ended in a jump to code that cannot be followed: their end "
			  "was seen late\n",
			  f->tailed);
	if (lost)
		mt_writef(w, "LOST %" PRIu64 ": the numbers are inexact\n", lost);
	else
		mt_write_str(w, "nothing lost\n");
}

static void write_count_row(struct mt_writer *w, const char *what, const struct mt_func_spread *s)
{
	mt_writef(w, "%-15s %*.2f %*" PRIu64 " %*" PRIu64 " %*" PRIu64 " %*" PRIu64 "\n", what,
		  COLUMN, s->mean, COLUMN - 2, s->p50, COLUMN - 2, s->p99, COLUMN - 2, s->max,
		  COLUMN, s->total);
}

/* Means below 100 bytes have a fraction that counts. */
static const char *format_mean(char *buf, size_t size, double v, enum mt_unit unit)
{
	if (v < 100)
		snprintf(buf, size, "%.2f B", v);
	else
		mt_format_bytes(buf, size, (uint64_t)(v + 0.5), unit);
	return buf;
}

static void write_byte_row(struct mt_writer *w, const char *what, const struct mt_func_spread *s,
			   enum mt_unit unit)
{
	char mean[40], p50[32], p99[32], max[32], total[32];

	mt_writef(w, "%-15s %*s %*s %*s %*s %*s\n", what, COLUMN,
		  format_mean(mean, sizeof(mean), s->mean, unit), COLUMN - 2,
		  mt_format_bytes(p50, sizeof(p50), s->p50, unit), COLUMN - 2,
		  mt_format_bytes(p99, sizeof(p99), s->p99, unit), COLUMN - 2,
		  mt_format_bytes(max, sizeof(max), s->max, unit), COLUMN,
		  mt_format_bytes(total, sizeof(total), s->total, unit));
}

static const char *format_signed(char *buf, size_t size, int64_t v, enum mt_unit unit)
{
	const uint64_t most = v < 0 ? -(uint64_t)v : (uint64_t)v;
	char text[32];

	snprintf(buf, size, "%s%s",
		 v < 0   ? "-"
		 : v > 0 ? "+"
			 : "",
		 mt_format_bytes(text, sizeof(text), most, unit));
	return buf;
}

static void write_net_rows(struct mt_writer *w, const struct mt_func *f, enum mt_unit unit)
{
	const struct mt_func_net *n = &f->net_blocks;
	char mean[40], least[40], most[40], total[40];

	mt_writef(w, "%-15s %+*.2f %*s %+*" PRId64 " %+*" PRId64 " %+*" PRId64 "\n", "net blocks",
		  COLUMN, n->mean, COLUMN - 2, "", COLUMN - 2, n->min, COLUMN - 2, n->max, COLUMN,
		  n->total);
	n = &f->net_bytes;
	snprintf(mean, sizeof(mean), "%+.2f B", n->mean);
	if (n->mean >= 100 || n->mean <= -100)
		format_signed(mean, sizeof(mean), (int64_t)n->mean, unit);
	mt_writef(w, "%-15s %*s %*s %*s %*s %*s\n", "net bytes", COLUMN, mean, COLUMN - 2, "",
		  COLUMN - 2, format_signed(least, sizeof(least), n->min, unit), COLUMN - 2,
		  format_signed(most, sizeof(most), n->max, unit), COLUMN,
		  format_signed(total, sizeof(total), n->total, unit));
}

static void write_rows(struct mt_writer *w, const struct mt_func *f, const struct mt_render_opts *o)
{
	char head[128];

	snprintf(head, sizeof(head), "%-15s %*s %*s %*s %*s %*s", "Per call", COLUMN, "mean",
		 COLUMN - 2, "p50", COLUMN - 2, "p99", COLUMN - 2, "max", COLUMN, "total");
	mt_render_heading(w, o, head);
	write_count_row(w, "blocks", &f->blocks);
	write_byte_row(w, "bytes", &f->bytes, o->unit);
	mt_write_str(w, "\n");
	snprintf(head, sizeof(head), "%-15s %*s %*s %*s %*s %*s", "Net live", COLUMN, "mean",
		 COLUMN - 2, "", COLUMN - 2, "min", COLUMN - 2, "max", COLUMN, "total");
	mt_render_heading(w, o, head);
	write_net_rows(w, f, o->unit);
	mt_writef(w,
		  "%" PRIu64 " %s ended with more bytes live than before, %" PRIu64 " with fewer\n",
		  f->grew, plural(f->grew, "call", "calls"), f->shrank);
}

static void table(struct mt_writer *w, const struct mt_func *f, const struct mt_render_opts *o)
{
	write_header(w, f, o);
	write_calls(w, f);
	if (f->back.calls) {
		mt_write_str(w, "\n");
		write_rows(w, f, o);
	}
	mt_render_class_table(w, f->cls, NULL, o);
}

static void line(struct mt_writer *w, const struct mt_func *f, const struct mt_render_opts *o)
{
	char mean[40], total[40];

	mt_write_escaped(w, f->name);
	mt_writef(w, "\tCalls = %" PRIu64 "\tBlocks = %.2f/call\tBytes = %s/call\tNet = %s",
		  f->back.calls, f->blocks.mean,
		  format_mean(mean, sizeof(mean), f->bytes.mean, o->unit),
		  format_signed(total, sizeof(total), f->net_bytes.total, o->unit));
	if (f->left.calls)
		mt_writef(w, "\tLeft = %" PRIu64, f->left.calls);
	if (mt_func_lost(f))
		mt_writef(w, "\tLost = %" PRIu64, mt_func_lost(f));
	mt_write_str(w, "\n");
}

static void write_sums(struct mt_json *j, const char *key, const struct mt_func_part *s)
{
	mt_json_object_begin(j, key);
	mt_json_u64(j, "calls", s->calls);
	mt_json_u64(j, "mallocs", s->mallocs);
	mt_json_u64(j, "frees", s->frees);
	mt_json_u64(j, "alloc_bytes", s->alloc_bytes);
	mt_json_u64(j, "free_bytes", s->free_bytes);
	mt_json_object_end(j);
}

static void write_spread(struct mt_json *j, const char *key, const struct mt_func_spread *s)
{
	mt_json_object_begin(j, key);
	mt_json_double(j, "mean", s->mean);
	mt_json_u64(j, "p50", s->p50);
	mt_json_u64(j, "p99", s->p99);
	mt_json_u64(j, "max", s->max);
	mt_json_u64(j, "total", s->total);
	mt_json_object_end(j);
}

static void write_net(struct mt_json *j, const char *key, const struct mt_func_net *n)
{
	mt_json_object_begin(j, key);
	mt_json_double(j, "mean", n->mean);
	mt_json_i64(j, "min", n->min);
	mt_json_i64(j, "max", n->max);
	mt_json_i64(j, "total", n->total);
	mt_json_object_end(j);
}

static void write_per_call(struct mt_json *j, const struct mt_func *f)
{
	mt_json_object_begin(j, "per_call");
	write_spread(j, "blocks", &f->blocks);
	write_spread(j, "bytes", &f->bytes);
	write_net(j, "net_blocks", &f->net_blocks);
	write_net(j, "net_bytes", &f->net_bytes);
	mt_json_u64(j, "grew", f->grew);
	mt_json_u64(j, "shrank", f->shrank);
	mt_json_object_end(j);
}

static void write_classes(struct mt_json *j, const struct mt_func *f)
{
	mt_json_array_begin(j, "classes");
	for (unsigned int i = 0; i < MT_CLASSES; i++) {
		const struct mt_class_counts *c = &f->cls[i];
		const uint64_t size = mt_class_size(i);

		if (!c->mallocs && !c->frees)
			continue;
		mt_json_object_begin(j, NULL);
		mt_json_u64(j, "Size", size < INT64_MAX ? size : INT64_MAX);
		mt_json_u64(j, "Mallocs", c->mallocs);
		mt_json_u64(j, "Frees", c->frees);
		mt_json_u64(j, "alloc_bytes", c->alloc_bytes);
		mt_json_u64(j, "free_bytes", c->free_bytes);
		mt_json_object_end(j);
	}
	mt_json_array_end(j);
}

static void write_loss(struct mt_json *j, const struct mt_func *f)
{
	const struct mt_func_loss *l = &f->loss;

	mt_json_object_begin(j, "loss");
	mt_json_u64(j, "lost", mt_func_lost(f));
	mt_json_u64(j, "calls", l->calls);
	mt_json_u64(j, "failed_reads", l->failed_reads);
	mt_json_u64(j, "failed_storage", l->failed_storage);
	mt_json_u64(j, "unreturned", l->unreturned);
	mt_json_u64(j, "unknown_free", l->unknown_free);
	mt_json_u64(j, "map_full", l->map_full);
	mt_json_u64(j, "untraced", l->untraced);
	mt_json_object_end(j);
}

static void json(struct mt_writer *w, const struct mt_func *f, const struct mt_render_opts *o)
{
	struct mt_json j = {.w = w};
	char time[MT_TIME_SIZE];

	(void)o;
	mt_json_object_begin(&j, NULL);
	mt_json_string(&j, "schema", "memtrace-func/1");
	mt_json_string(&j, "time", mt_format_time(time, sizeof(time), f->time_ns));
	mt_json_u64(&j, "duration_ns", f->duration_ns);
	mt_json_string(&j, "function", f->name);
	mt_json_string(&j, "symbol", f->symbol);
	mt_json_string(&j, "binary", f->binary);
	mt_json_u64(&j, "address", f->addr);
	mt_json_string(&j, "comm", f->comm);
	mt_json_array_begin(&j, "pids");
	for (size_t i = 0; i < f->n_pids; i++)
		mt_json_i64(&j, NULL, f->pids[i]);
	mt_json_array_end(&j);
	write_sums(&j, "returned", &f->back);
	write_sums(&j, "left", &f->left);
	write_sums(&j, "open", &f->open);
	mt_json_u64(&j, "nested", f->nested);
	mt_json_u64(&j, "tailed", f->tailed);
	write_per_call(&j, f);
	write_classes(&j, f);
	write_loss(&j, f);
	mt_json_object_end(&j);
	mt_write_str(w, "\n");
}

static const struct {
	const char *name;
	mt_render_func_fn fn;
} formats[] = {{"table", table}, {"line", line}, {"json", json}};

mt_render_func_fn mt_render_func_find(const char *format)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (strcmp(formats[i].name, format) == 0)
			return formats[i].fn;
	return NULL;
}
