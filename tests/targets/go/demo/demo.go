// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause

// Where memory goes when a map's element is deleted. At each point it takes its
// own MemStats and waits for a line without allocating anything, so that they stay
// those of the moment; then prints them as a line of JSON.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

type point struct {
	Point string
	runtime.MemStats
}

var line [64]byte

// A raw read: the runtime does not know that the goroutine waits.
func wait() bool {
	n, _, _ := syscall.RawSyscall(syscall.SYS_READ, 0, uintptr(unsafe.Pointer(&line)), uintptr(len(line)))
	return int(n) > 0
}

func say(p *point, name string) {
	p.Point = name
	fmt.Println(name)
	runtime.Gosched() // a time slice of its own, from here to the next
	runtime.ReadMemStats(&p.MemStats)
	if !wait() {
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(p)
}

func main() {
	// Nobody else runs while it waits.
	runtime.GOMAXPROCS(1)
	p := new(point)
	say(p, "start")

	slices := make(map[string][]int)
	slices["a"] = make([]int, 10_000_000)
	slices["b"] = make([]int, 1_000)
	say(p, "map of slices")
	delete(slices, "a")
	say(p, "slice deleted")
	runtime.GC()
	say(p, "slice deleted, collected")

	ints := make(map[int]int, 2_000_000)
	for i := 0; i < 1_000_000; i++ {
		ints[i] = i
	}
	say(p, "map of integers")
	for i := 0; i < 1_000_000; i++ {
		delete(ints, i)
	}
	runtime.GC()
	say(p, "integers deleted, collected")
	runtime.KeepAlive(slices)
	runtime.KeepAlive(ints)
}
