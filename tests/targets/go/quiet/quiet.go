// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause

// A program that has started and does nothing: it says its version, and ends when
// its standard input does.
package main

import (
	"fmt"
	"io"
	"os"
	"runtime"

	"memtrace/targets/withcgo"
)

func main() {
	withcgo.Free(withcgo.Malloc(64))
	fmt.Println(runtime.Version())
	io.Copy(io.Discard, os.Stdin)
}
