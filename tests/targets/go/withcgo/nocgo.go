// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause

//go:build !cgo

package withcgo

import "unsafe"

// Malloc returns nil: there is no C memory.
func Malloc(n int) unsafe.Pointer { return nil }

// Free does nothing.
func Free(p unsafe.Pointer) {}
