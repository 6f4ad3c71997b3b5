/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Size classes: Go's 61 BySize classes, then powers of two (bpf/abi.h). */
#ifndef MT_MODEL_SIZECLASS_H
#define MT_MODEL_SIZECLASS_H

#include <stdint.h>

#include "abi.h"

/*
 * The largest usable size in bytes that class i holds, 0 <= i < MT_CLASSES;
 * UINT64_MAX for the last. Source: Go's runtime/sizeclasses.go, then 2^k.
 */
uint64_t mt_class_size(unsigned int i);

/* The class of a usable size: the first whose mt_class_size is not below it. */
unsigned int mt_class_of(uint64_t usable);

#endif
