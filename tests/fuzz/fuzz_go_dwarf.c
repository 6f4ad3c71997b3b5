/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Debug information as a hostile program could carry it: two lengths, 4 bytes
 * each, of .debug_abbrev and .debug_str, these, and the rest is .debug_info.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "golang/dwarf.h"
#include "golang/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of its own, so that a look beside it is seen. */
static void take(struct mt_go_dwarf *d, enum mt_go_dwarf_part part, const uint8_t **data,
		 size_t *size, size_t n)
{
	if (n > *size)
		n = *size;
	d->n[part] = n;
	d->bytes[part] = malloc(n ?: 1);
	if (!d->bytes[part])
		abort();
	memcpy(d->bytes[part], *data, n);
	*data += n;
	*size -= n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mt_go_dwarf d = {0};
	struct mt_go_layout l;
	uint32_t n[2];

	if (size < sizeof(n))
		return 0;
	memcpy(n, data, sizeof(n));
	data += sizeof(n);
	size -= sizeof(n);
	take(&d, MT_GO_DWARF_ABBREV, &data, &size, n[0]);
	take(&d, MT_GO_DWARF_STR, &data, &size, n[1]);
	take(&d, MT_GO_DWARF_INFO, &data, &size, size);
	if (mt_go_dwarf_layout(&d, &l) == 0)
		mt_go_layout_sound(&l);
	mt_go_dwarf_free(&d);
	return 0;
}
