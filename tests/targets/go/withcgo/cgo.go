// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause

// Package withcgo makes a program that imports it a cgo program, where cgo is on.
package withcgo

// #include <stdlib.h>
import "C"

import "unsafe"

// Malloc allocates n bytes of C memory, which stays the caller's.
func Malloc(n int) unsafe.Pointer { return C.malloc(C.size_t(n)) }

// Free frees what Malloc returned.
func Free(p unsafe.Pointer) { C.free(p) }
