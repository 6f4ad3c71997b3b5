// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause

// Does as it is told, a line at a time, and answers each with "done":
//
//	gc N       collects N times
//	large N    keeps N more blocks of 100,000 bytes
//	small N    keeps N more blocks of 1,000 bytes
//	c N M      allocates N blocks of 64 bytes of C memory, and frees M of these
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"memtrace/targets/withcgo"
)

var kept [][]byte

func keep(n, size int) {
	for i := 0; i < n; i++ {
		kept = append(kept, make([]byte, size))
	}
}

func allocateC(n, m int) {
	for i := 0; i < n; i++ {
		p := withcgo.Malloc(64)
		if i < m {
			withcgo.Free(p)
		}
	}
}

func main() {
	debug.SetGCPercent(-1) // it collects when it is told to
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var what string
		var n, m int
		fmt.Sscan(in.Text(), &what, &n, &m)
		switch what {
		case "gc":
			for i := 0; i < n; i++ {
				runtime.GC()
			}
		case "large":
			keep(n, 100000)
		case "small":
			keep(n, 1000)
		case "c":
			allocateC(n, m)
		}
		fmt.Println("done")
	}
}
