/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A JSON emitter over mt_writer: commas and quoting are its business. */
#ifndef MT_BASE_JSON_H
#define MT_BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/writer.h"

struct mt_json {
	struct mt_writer *w;
	bool need_comma;
};

void mt_json_object_begin(struct mt_json *j,
			  const char *key); /* key NULL inside arrays and at top */
void mt_json_object_end(struct mt_json *j);
void mt_json_array_begin(struct mt_json *j, const char *key);
void mt_json_array_end(struct mt_json *j);
void mt_json_u64(struct mt_json *j, const char *key, uint64_t v);
void mt_json_i64(struct mt_json *j, const char *key, int64_t v);
/*
 * As Go's encoding/json writes a float64: shortest text that reads back equal,
 * whatever the locale. Not finite: null, which Go refuses to write and reads as
 * "leave it".
 */
void mt_json_double(struct mt_json *j, const char *key, double v);
void mt_json_bool(struct mt_json *j, const char *key, bool v);
void mt_json_null(struct mt_json *j, const char *key);
/* Bytes that are not UTF-8 become U+FFFD, as encoding/json does; s NULL writes null. */
void mt_json_string(struct mt_json *j, const char *key, const char *s);

/* The text of a finite double alone, as above. */
void mt_write_double(struct mt_writer *w, double v);

#endif
