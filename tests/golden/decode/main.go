// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause

// decode reads what `memtrace -f memstats` prints, one object a line, on
// standard input, and exits 1 with a message unless every line is exactly what
// encoding/json makes of a runtime.MemStats: every field there and none more,
// in Go's order and types, with the size classes of Go's own runtime.
//
//	GO111MODULE=off go run tests/golden/decode/main.go <tests/golden/memstats.json
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"reflect"
	"runtime"
)

// present reports the first field of t, or of t's elements, that raw lacks.
func present(raw json.RawMessage, t reflect.Type, path string) error {
	switch t.Kind() {
	case reflect.Struct:
		var m map[string]json.RawMessage
		if err := json.Unmarshal(raw, &m); err != nil {
			return fmt.Errorf("%s: %v", path, err)
		}
		for i := 0; i < t.NumField(); i++ {
			f := t.Field(i)
			v, ok := m[f.Name]
			if !ok {
				return fmt.Errorf("%s.%s is missing", path, f.Name)
			}
			if err := present(v, f.Type, path+"."+f.Name); err != nil {
				return err
			}
		}
	case reflect.Array:
		var a []json.RawMessage
		if err := json.Unmarshal(raw, &a); err != nil {
			return fmt.Errorf("%s: %v", path, err)
		}
		if len(a) != t.Len() {
			return fmt.Errorf("%s has %d elements, not %d", path, len(a), t.Len())
		}
		for i, v := range a {
			if err := present(v, t.Elem(), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	}
	return nil
}

func check(line []byte, own *runtime.MemStats) error {
	var ms runtime.MemStats
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&ms); err != nil {
		return err
	}
	if err := present(line, reflect.TypeOf(ms), "MemStats"); err != nil {
		return err
	}
	for i := range own.BySize {
		if ms.BySize[i].Size != own.BySize[i].Size {
			return fmt.Errorf("BySize[%d].Size is %d, Go's is %d",
				i, ms.BySize[i].Size, own.BySize[i].Size)
		}
	}
	if ms.Sys != ms.HeapSys+ms.StackSys+ms.MSpanSys+ms.MCacheSys+ms.BuckHashSys+ms.GCSys+ms.OtherSys {
		return fmt.Errorf("Sys is %d, not the sum of its parts", ms.Sys)
	}
	again, err := json.Marshal(&ms)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, line) {
		return fmt.Errorf("Go writes it differently:\n%s\n%s", again, line)
	}
	return nil
}

func run(r io.Reader) error {
	var own runtime.MemStats
	runtime.ReadMemStats(&own)
	in := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			if n == 1 {
				return fmt.Errorf("no input")
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("line %d: %v", n, err)
		}
		if err := check(bytes.TrimSuffix(line, []byte("\n")), &own); err != nil {
			return fmt.Errorf("line %d: %v", n, err)
		}
	}
}

func main() {
	if err := run(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "decode:", err)
		os.Exit(1)
	}
}
