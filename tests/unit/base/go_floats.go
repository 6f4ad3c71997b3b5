// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause

// What encoding/json writes for float64 values: the vectors of test_json.c.
//
//	go run tests/unit/base/go_floats.go [N] >tests/golden/go-floats.txt
//
// Each line has the value's bits in hexadecimal and Go's text: the limits
// between plain and exponent, powers of two and of ten and what lies next to
// them, then N values with random bits and N as GCCPUFraction is made.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"math/rand"
	"os"
	"strconv"
)

func main() {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	n := 100
	if len(os.Args) > 1 {
		n, _ = strconv.Atoi(os.Args[1])
	}
	put := func(v float64) {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return
		}
		text, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(out, "%016x %s\n", math.Float64bits(v), text)
	}
	around := func(v float64) {
		put(v)
		put(math.Nextafter(v, 0))
		put(math.Nextafter(v, math.Inf(1)))
	}
	for _, v := range []float64{0, math.Copysign(0, -1), 1, 0.1, 1e-6, 1e21, math.MaxFloat64,
		math.SmallestNonzeroFloat64, 2.2250738585072014e-308, 5e-324 * 3, 123456789012345678} {
		around(v)
	}
	for e := -323; e <= 308; e += 31 {
		around(math.Pow(10, float64(e)))
	}
	for e := -1074; e <= 1023; e += 101 {
		around(math.Ldexp(1, e))
	}
	r := rand.New(rand.NewSource(1))
	for i := 0; i < n; i++ {
		put(math.Float64frombits(r.Uint64()))
	}
	for i := 0; i < n; i++ {
		used, total := float64(r.Int63n(1<<40)), float64(r.Int63n(1<<50)+1)
		put(used / total)
	}
}
