// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause

// Does what a server does, all of it at once, and notices whatever goes wrong:
// TCP, pipes, files, timers, signals, children, collections. Says "ready", and when
// its standard input ends how often it did each, and every error, as a line of JSON.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"memtrace/targets/withcgo"
)

type report struct {
	Done   map[string]int
	Errors []string
}

var (
	mu   sync.Mutex
	all  = report{Done: make(map[string]int)}
	quit = make(chan struct{})
	wg   sync.WaitGroup
)

// Runs f again and again; an error ends it.
func repeat(name string, f func(i int) error) {
	wg.Add(1)
	go func() {
		defer wg.Done()
		for i := 0; ; i++ {
			select {
			case <-quit:
				return
			default:
			}
			err := f(i)
			mu.Lock()
			if err != nil {
				all.Errors = append(all.Errors, name+": "+err.Error())
			} else {
				all.Done[name]++
			}
			mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "steady:", err)
		os.Exit(1)
	}
}

// What is written comes back through rw.
func round(i int, w io.Writer, r io.Reader) error {
	want := bytes.Repeat([]byte(strconv.Itoa(i)), 1+i%500)
	have := make([]byte, len(want))
	if _, err := w.Write(want); err != nil {
		return err
	}
	if _, err := io.ReadFull(r, have); err != nil {
		return err
	}
	if !bytes.Equal(have, want) {
		return fmt.Errorf("round %d: %q came back", i, have)
	}
	return nil
}

func echo() net.Conn {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	go func() {
		c, err := l.Accept()
		must(err)
		io.Copy(c, c)
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	must(err)
	return c
}

func file(i int) error {
	f, err := os.CreateTemp("", "steady")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.WriteString(strconv.Itoa(i)); err != nil {
		return err
	}
	have, err := os.ReadFile(f.Name())
	if err == nil && string(have) != strconv.Itoa(i) {
		err = fmt.Errorf("the file holds %q", have)
	}
	return err
}

func child(i int) error {
	out, err := exec.Command("/bin/echo", strconv.Itoa(i)).Output()
	if err == nil && string(out) != strconv.Itoa(i)+"\n" {
		err = fmt.Errorf("it said %q", out)
	}
	return err
}

// A blocking read that the runtime's poller knows nothing of.
func raw(r, w int) func(int) error {
	return func(i int) error {
		go func() {
			time.Sleep(time.Duration(i%4) * time.Millisecond)
			syscall.Write(w, []byte{byte(i)})
		}()
		var b [1]byte
		n, err := syscall.Read(r, b[:])
		if err == nil && (n != 1 || b[0] != byte(i)) {
			err = fmt.Errorf("%d bytes came, %d", n, b[0])
		}
		return err
	}
}

func main() {
	withcgo.Free(withcgo.Malloc(64))
	tcp := echo()
	pr, pw, err := os.Pipe()
	must(err)
	var fds [2]int
	must(syscall.Pipe(fds[:]))
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)

	repeat("tcp", func(i int) error { return round(i, tcp, tcp) })
	repeat("pipe", func(i int) error { return round(i, pw, pr) })
	repeat("file", file)
	repeat("child", child)
	repeat("raw", raw(fds[0], fds[1]))
	repeat("signal", func(int) error {
		if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
			return err
		}
		select {
		case <-signals:
			return nil
		case <-time.After(20 * time.Second):
			return fmt.Errorf("it never came")
		}
	})
	repeat("timer", func(i int) error {
		want := time.Duration(i%7) * time.Millisecond
		start := time.Now()
		time.Sleep(want)
		if have := time.Since(start); have < want {
			return fmt.Errorf("%v were %v", want, have)
		}
		return nil
	})
	repeat("collection", func(i int) error {
		for k := 0; k < 1000; k++ {
			_ = make([]byte, k)
		}
		if i%100 == 0 {
			runtime.GC()
		}
		time.Sleep(time.Millisecond)
		return nil
	})
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	close(quit)
	wg.Wait()
	json.NewEncoder(os.Stdout).Encode(&all)
}
