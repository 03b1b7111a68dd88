// gRPC Go: what bench/unary.c does, one call at a time or many at once, each by a goroutine of its own. Payload is
// wrapped as BytesValue, whose bytes on the wire are the same.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/golang/protobuf/ptypes/wrappers"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// As in bench/harness.h and bench/load.c.
const (
	metadataKey   = "x-request-id"
	metadataValue = "4bf92f3577b34da6a3ce929d0e0e4736"
	timeout       = 10 * time.Second
	warmUp        = 300 * time.Millisecond
)

type options struct {
	seconds         float64
	inFlight, bytes int
	tcp             bool
	serve           string
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench-grpc_go_unary: "+format+"\n", args...)
	os.Exit(1)
}

// ---- The server, a process of its own

type echo struct{}

func handle(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	request := new(wrappers.BytesValue)
	if err := decode(request); err != nil {
		return nil, err
	}
	if _, ok := ctx.Deadline(); !ok {
		return nil, errors.New("no deadline")
	}
	if md, ok := metadata.FromIncomingContext(ctx); !ok || len(md.Get(metadataKey)) != 1 {
		return nil, errors.New("no metadata")
	}
	return &wrappers.BytesValue{Value: request.Value}, nil
}

func networkOf(o *options) string {
	if o.tcp {
		return "tcp"
	}
	return "unix"
}

// serve tells its address, and ends when its standard input does.
func serve(o *options) {
	listener, err := net.Listen(networkOf(o), o.serve)
	if err != nil {
		fail("%v", err)
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(64 << 20))
	server.RegisterService(&grpc.ServiceDesc{ServiceName: "bench.v1.Echo", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Unary", Handler: handle}}}, echo{})
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadByte()
		server.Stop()
	}()
	fmt.Println(listener.Addr())
	if err := server.Serve(listener); err != nil {
		fail("%v", err)
	}
}

// startServer returns what stops it, and its address.
func startServer(o *options, address string) (stop func(), listens string) {
	server := exec.Command("/proc/self/exe", append(os.Args[1:], "--serve", address)...)
	server.Stderr = os.Stderr
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	output, err := server.StdoutPipe()
	if err != nil {
		fail("%v", err)
	}
	input, err := server.StdinPipe()
	if err != nil {
		fail("%v", err)
	}
	if err := server.Start(); err != nil {
		fail("the server did not start: %v", err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		fail("the server does not listen")
	}
	stop = func() {
		_ = input.Close()
		if err := server.Wait(); err != nil {
			fail("the server failed: %v", err)
		}
	}
	return stop, strings.TrimSpace(line)
}

// ---- The client

func connect(o *options, address string) *grpc.ClientConn {
	dial := func(ctx context.Context, address string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, networkOf(o), address)
	}
	conn, err := grpc.Dial("passthrough:///"+address, grpc.WithInsecure(), grpc.WithContextDialer(dial),
		grpc.WithBlock(), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		fail("%v", err)
	}
	return conn
}

func call(o *options, conn *grpc.ClientConn, request *wrappers.BytesValue) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	reply := new(wrappers.BytesValue)
	ctx = metadata.AppendToOutgoingContext(ctx, metadataKey, metadataValue)
	if err := conn.Invoke(ctx, "/bench.v1.Echo/Unary", request, reply); err != nil {
		fail("a call failed: %v", err)
	}
	if len(reply.Value) != o.bytes {
		fail("a wrong reply")
	}
}

// oneByOne is bench_one_by_one of bench/load.c.
func oneByOne(o *options, once func()) {
	for end := time.Now().Add(warmUp); time.Now().Before(end); {
		once()
	}
	var samples []time.Duration
	begin := time.Now()
	before, end := begin, begin.Add(time.Duration(o.seconds*1e9))
	for before.Before(end) {
		once()
		after := time.Now()
		samples = append(samples, after.Sub(before))
		before = after
	}
	rate := float64(len(samples)) / before.Sub(begin).Seconds()
	sort.Slice(samples, func(i, j int) bool { return samples[i] < samples[j] })
	us := func(share float64) float64 {
		return float64(samples[int(share*float64(len(samples)-1))].Nanoseconds()) / 1e3
	}
	fmt.Printf("p50_us=%.2f p99_us=%.2f rate=%.0f\n", us(0.5), us(0.99), rate)
}

// load is bench_threads of bench/load.c.
func load(o *options, once func()) {
	var all atomic.Int64
	var stop atomic.Bool
	var callers sync.WaitGroup
	for i := 0; i < o.inFlight; i++ {
		callers.Add(1)
		go func() {
			defer callers.Done()
			for !stop.Load() {
				once()
				all.Add(1)
			}
		}()
	}
	time.Sleep(warmUp)
	begin, before := time.Now(), all.Load()
	time.Sleep(time.Duration(o.seconds * 1e9))
	rate := float64(all.Load()-before) / time.Since(begin).Seconds()
	stop.Store(true)
	callers.Wait()
	fmt.Printf("rate=%.0f\n", rate)
}

func main() {
	var o options
	flag.Float64Var(&o.seconds, "seconds", 1, "measured time")
	flag.IntVar(&o.inFlight, "in-flight", 1, "calls at once")
	flag.IntVar(&o.bytes, "bytes", 100, "of the payload")
	flag.BoolVar(&o.tcp, "tcp", false, "over 127.0.0.1 instead of a unix socket")
	flag.StringVar(&o.serve, "serve", "", "be the server at this address")
	flag.Parse()
	if o.serve != "" {
		serve(&o)
		return
	}
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		fail("%v", err)
	}
	address := filepath.Join(dir, "0")
	if o.tcp {
		address = "127.0.0.1:0"
	}
	stop, address := startServer(&o, address)
	conn := connect(&o, address)
	request := &wrappers.BytesValue{Value: []byte(strings.Repeat("x", o.bytes))}
	once := func() { call(&o, conn, request) }
	if o.inFlight == 1 {
		oneByOne(&o, once)
	} else {
		load(&o, once)
	}
	_ = conn.Close()
	stop()
	_ = os.RemoveAll(dir)
}
