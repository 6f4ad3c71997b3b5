// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause

// Does what the lines of its standard input say, answers each, and waits for the
// next one without allocating:
//
//	gc N      N collections
//	keep N    N objects of 1000 bytes more, which live
//	drop      these no longer
//	malloc N  N blocks of 100 bytes of C memory more
//	stats     its own MemStats
//	exit N    its own MemStats, and ends at once with status N
//
// MemStats are Mallocs, Frees, TotalAlloc, HeapObjects, Alloc and NumGC.
package main

import (
	"os"
	"runtime"
	"strconv"
	"syscall"

	"memtrace/targets/withcgo"
)

var (
	in, out [256]byte
	kept    [][]byte
	stats   runtime.MemStats
)

func say(line []byte) {
	syscall.Write(1, append(line, '\n'))
}

// A word and a number; false at the end of the input.
func turn() (string, int, bool) {
	n := 0
	for n < len(in) {
		got, err := syscall.Read(0, in[n:n+1])
		if err == syscall.EINTR {
			continue
		}
		if got != 1 || err != nil {
			return "", 0, false
		}
		if in[n] == '\n' {
			break
		}
		n++
	}
	word, number := n, 0
	for i := 0; i < n; i++ {
		if in[i] == ' ' {
			word = i
		} else if i > word {
			number = 10*number + int(in[i]-'0')
		}
	}
	for _, known := range [...]string{"gc", "keep", "drop", "malloc", "stats", "exit"} {
		if string(in[:word]) == known {
			return known, number, true
		}
	}
	return "", 0, false
}

func own() []byte {
	line := out[:0]
	runtime.ReadMemStats(&stats)
	for _, v := range [...]uint64{stats.Mallocs, stats.Frees, stats.TotalAlloc,
		stats.HeapObjects, stats.Alloc, uint64(stats.NumGC)} {
		line = append(strconv.AppendUint(line, v, 10), ' ')
	}
	return line[:len(line)-1]
}

func main() {
	say(append(out[:0], "ready"...))
	for {
		word, n, more := turn()
		if !more {
			return
		}
		answer := append(out[:0], "done"...)
		switch word {
		case "gc":
			for i := 0; i < n; i++ {
				runtime.GC()
			}
		case "keep":
			for i := 0; i < n; i++ {
				kept = append(kept, make([]byte, 1000))
			}
		case "drop":
			kept = nil
		case "malloc":
			for i := 0; i < n; i++ {
				withcgo.Malloc(100)
			}
		case "stats":
			answer = own()
		case "exit":
			say(own())
			os.Exit(n)
		}
		say(answer)
	}
}
