// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause

// Allocates in eight goroutines, objects of all kinds and sizes, while others come
// and go, and takes N times what runtime.ReadMemStats has to say, a line of JSON
// each.
//
//	allocs N    N times
//	allocs 0    never: for each line that it is sent it says how many objects it
//	            has allocated by then
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"memtrace/targets/withcgo"
)

type node struct {
	next *node
	data []byte
}

var (
	stop  flag
	sinks [8]any
	total uint64
)

// atomic.Bool is newer than the oldest Go that this is built with.
type flag struct{ v uint32 }

func (b *flag) set()      { atomic.StoreUint32(&b.v, 1) }
func (b *flag) get() bool { return atomic.LoadUint32(&b.v) != 0 }

// Grows the stack of its goroutine.
func deep(n int) int {
	var frame [512]byte
	if n == 0 {
		return int(frame[0])
	}
	frame[n%512] = byte(n)
	return deep(n-1) + int(frame[n%512])
}

// A number of its own for each goroutine, the same in every run.
type random uint64

func (r *random) next(n int) int {
	*r = *r*6364136223846793005 + 1442695040888963407
	return int(uint64(*r>>33) % uint64(n))
}

func allocate(id int, r *random) {
	var kept [64]any
	for i := 0; !stop.get(); i++ {
		slot := &kept[r.next(len(kept))]
		switch r.next(16) {
		case 0, 1, 2:
			b := byte(i)
			*slot = &b // tiny
		case 3:
			s := strconv.Itoa(i)
			*slot = &s
		case 4, 5, 6, 7:
			*slot = make([]byte, 1+r.next(2048))
		case 8, 9:
			*slot = &node{data: make([]byte, r.next(512))}
		case 10:
			*slot = make([]byte, 2048+r.next(30720))
		case 11:
			if i%64 == 0 {
				*slot = make([]byte, 32769+r.next(1<<18))
			}
		case 12:
			m := make(map[int]int)
			for k := 0; k < r.next(300); k++ {
				m[k] = k
			}
			*slot = m
		case 13:
			*slot = make([]*node, r.next(4000))
		case 14:
			if i%32 == 0 {
				done := make(chan int)
				n := r.next(60)
				go func() { done <- deep(n) }()
				<-done
			}
		default:
			*slot = nil
		}
		atomic.AddUint64(&total, 1)
	}
	sinks[id] = kept
}

// The collector's settings change from time to time, and it is also called.
func disturb(i int) {
	switch i % 15 {
	case 3:
		runtime.GC()
	case 5:
		debug.SetGCPercent(50)
	case 7:
		debug.SetMemoryLimit(64 << 20)
	case 9:
		debug.SetGCPercent(-1)
	case 10:
		debug.SetGCPercent(300)
	case 12:
		debug.SetMemoryLimit(1 << 40)
		debug.SetGCPercent(100)
	case 13:
		debug.FreeOSMemory()
	}
}

func main() {
	n, _ := strconv.Atoi(os.Args[1])
	runtime.GOMAXPROCS(8)
	withcgo.Free(withcgo.Malloc(64))
	for i := range sinks {
		r := random(i + 1)
		go allocate(i, &r)
	}
	for lines := bufio.NewScanner(os.Stdin); n == 0; {
		if !lines.Scan() {
			return
		}
		fmt.Println(atomic.LoadUint64(&total))
	}
	out := json.NewEncoder(os.Stdout)
	for i := 0; i < n; i++ {
		var m runtime.MemStats
		disturb(i)
		time.Sleep(2 * time.Millisecond)
		runtime.ReadMemStats(&m)
		out.Encode(&m)
	}
	stop.set()
}
