// Go's context: what bench/ctx.c does, and how its own benchmarks (src/context/benchmark_test.go) do it.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const once = 10 // timeouts made before the first of them is cancelled

// A work does its operation `times` times.
type work func(times int)

// timeNs is bench_time_ns of bench/work.c.
func timeNs(seconds float64, threads int, f work) float64 {
	batch := 1
	for ; ; batch *= 2 {
		begin := time.Now()
		f(batch)
		if time.Since(begin) >= time.Millisecond {
			break
		}
	}
	var all atomic.Int64
	var wg sync.WaitGroup
	begin := time.Now()
	end := begin.Add(time.Duration(seconds * 1e9))
	for i := 0; i < threads; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			done := 0
			for {
				f(batch)
				done += batch
				if !time.Now().Before(end) {
					break
				}
			}
			all.Add(int64(done))
		}()
	}
	wg.Wait()
	return float64(time.Since(begin).Nanoseconds()) / float64(all.Load())
}

func fail(why string) {
	fmt.Fprintln(os.Stderr, "bench-go_ctx:", why)
	os.Exit(1)
}

func cancelOne(parent context.Context) work {
	return func(times int) {
		for ; times > 0; times-- {
			_, cancel := context.WithCancel(parent)
			cancel()
		}
	}
}

func divide() {
	x := 0
	for i := 0; i < 100; i++ {
		x /= x + 1
	}
}

func sharedParent(parent context.Context) work {
	return func(times int) {
		for ; times > 0; times-- {
			ctx, cancel := context.WithCancel(parent)
			if ctx.Value("key").(string) != "value" {
				fail("a wrong value")
			}
			divide()
			cancel()
			divide()
		}
	}
}

func sharedBare(parent context.Context) work {
	return func(times int) {
		for ; times > 0; times-- {
			ctx, cancel := context.WithCancel(parent)
			if ctx.Value("key").(string) != "value" {
				fail("a wrong value")
			}
			cancel()
		}
	}
}

func sharedTold(parent context.Context) work {
	return func(times int) {
		for ; times > 0; times-- {
			ctx, cancel := context.WithCancel(parent)
			if ctx.Done() == nil {
				fail("nothing to wait for")
			}
			cancel()
		}
	}
}

// timeouts makes and cancels contexts; `timeouts` gives a new source of their timeouts.
func timeouts(source func() func() time.Duration) work {
	return func(times int) {
		timeout := source()
		var made [once]context.CancelFunc
		for ; times > 0; times-- {
			for i := range made {
				_, made[i] = context.WithTimeout(context.Background(), timeout())
			}
			for _, cancel := range made {
				cancel()
			}
		}
	}
}

func hour() func() time.Duration {
	return func() time.Duration { return time.Hour }
}

// far is bench_far_ns of bench/work.c.
func far() func() time.Duration {
	state := uint64(time.Now().UnixNano())
	return func() time.Duration {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		return time.Minute + time.Duration(state%uint64(59*time.Minute))
	}
}

// Leaves `count` contexts with timeouts behind, made on as many goroutines as there are processors.
func others(count int, source func() func() time.Duration) []context.CancelFunc {
	made := make([]context.CancelFunc, count)
	threads := runtime.GOMAXPROCS(0)
	var wg sync.WaitGroup
	for t := 0; t < threads; t++ {
		wg.Add(1)
		go func(t int) {
			defer wg.Done()
			timeout := source()
			for i := t; i < count; i += threads {
				_, made[i] = context.WithTimeout(context.Background(), timeout())
			}
		}(t)
	}
	wg.Wait()
	return made
}

func build(root context.Context, depth int) {
	for ; depth > 0; depth-- {
		root, _ = context.WithCancel(root)
	}
}

func treeBackground(depth int) work {
	return func(times int) {
		for ; times > 0; times-- {
			build(context.Background(), depth)
		}
	}
}

func treeOpen(depth int) work {
	return func(times int) {
		for ; times > 0; times-- {
			root, cancel := context.WithCancel(context.Background())
			build(root, depth)
			cancel()
		}
	}
}

func treeClosed(depth int) work {
	return func(times int) {
		for ; times > 0; times-- {
			root, cancel := context.WithCancel(context.Background())
			cancel()
			build(root, depth)
		}
	}
}

func value(depth int) work {
	ctx := context.Background()
	for i := 0; i < depth; i++ {
		ctx = context.WithValue(ctx, i, i)
	}
	return func(times int) {
		for ; times > 0; times-- {
			ctx.Value(-1)
		}
	}
}

func errOf(ctx context.Context, want error) work {
	return func(times int) {
		for ; times > 0; times-- {
			if ctx.Err() != want {
				fail("a wrong state")
			}
		}
	}
}

func doneOf(ctx context.Context, want bool) work {
	return func(times int) {
		for ; times > 0; times-- {
			done := false
			select {
			case <-ctx.Done():
				done = true
			default:
			}
			if done != want {
				fail("a wrong state")
			}
		}
	}
}

type measurement struct {
	family, name string
	threads      int
	f            work
	others       int                         // contexts with timeouts that are there meanwhile
	source       func() func() time.Duration // of their timeouts
}

func (m measurement) ns(seconds float64) float64 {
	if m.others == 0 {
		return timeNs(seconds, m.threads, m.f)
	}
	made := others(m.others, m.source)
	ns := timeNs(seconds, m.threads, m.f)
	for _, cancel := range made {
		cancel()
	}
	return ns
}

func plain(family, name string, threads int, f work) measurement {
	return measurement{family: family, name: name, threads: threads, f: f}
}

func measurements() []measurement {
	all := runtime.GOMAXPROCS(0)
	parent, _ := context.WithCancel(context.Background())
	shared, _ := context.WithCancel(context.WithValue(context.Background(), "key", "value"))
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	list := []measurement{
		plain("cancel", "own", 1, cancelOne(parent)),
		plain("cancel", "root", 1, cancelOne(context.Background())),
		plain("shared_parent", "shared", all, sharedParent(shared)),
		plain("shared_parent", "bare", all, sharedBare(shared)),
		plain("shared_parent", "told", all, sharedTold(shared)),
		plain("err", "ok", 1, errOf(parent, nil)),
		plain("err", "cancelled", 1, errOf(ended, context.Canceled)),
		plain("err", "done", 1, doneOf(ended, true)),
		plain("err", "done_shared", all, doneOf(parent, false)),
	}
	for _, depth := range []int{1, 10, 100, 1000} {
		list = append(list, plain("tree", fmt.Sprint("background_", depth), 1, treeBackground(depth)),
			plain("tree", fmt.Sprint("open_", depth), 1, treeOpen(depth)),
			plain("tree", fmt.Sprint("closed_", depth), 1, treeClosed(depth)))
	}
	for _, depth := range []int{10, 20, 30, 50, 100} {
		list = append(list, plain("value", fmt.Sprint(depth), 1, value(depth)))
	}
	for _, count := range []int{40, 4000, 400000} {
		list = append(list, measurement{"timeout", fmt.Sprint(count), all, timeouts(hour), count, hour})
	}
	return append(list, measurement{"armed", "armed", all, timeouts(far), 1000000, far})
}

func main() {
	seconds, family := 1.0, os.Args[len(os.Args)-1]
	if len(os.Args) == 4 && os.Args[1] == "--seconds" {
		seconds, _ = strconv.ParseFloat(os.Args[2], 64)
	}
	var chosen []measurement
	for _, m := range measurements() {
		if m.family == family {
			chosen = append(chosen, m)
		}
	}
	if len(chosen) == 0 || seconds <= 0 {
		fail("usage: [--seconds S] FAMILY")
	}
	for _, m := range chosen {
		fmt.Printf("%s_ns=%.2f ", m.name, m.ns(seconds/float64(len(chosen))))
	}
	fmt.Println()
}
