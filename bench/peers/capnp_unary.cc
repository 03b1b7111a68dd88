// Cap'n Proto RPC: what bench/unary.c does. Client and server are one thread each, as Cap'n Proto is meant to be used.
#include <capnp/ez-rpc.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "bench.capnp.h"
#include "bench/harness.h"

namespace {

class EchoImpl final : public Echo::Server {
  kj::Promise<void> unary(UnaryContext context) override {
    Echo::UnaryParams::Reader params = context.getParams();
    if (params.getTimeoutNs() == 0 || params.getRequestId() != BENCH_METADATA_VALUE) bench_fail("wrong parameters");
    context.getResults().setData(params.getData());
    return kj::READY_NOW;
  }
};

std::string UrlOf(const bench_options *options) {
  return (options->tcp ? "" : "unix:") + std::string(options->address);
}

void Serve(const bench_options *options) {
  std::string url = UrlOf(options);
  capnp::EzRpcServer server(kj::heap<EchoImpl>(), url.c_str());
  kj::WaitScope &scope = server.getWaitScope();
  uint16_t port = server.getPort().wait(scope);
  // The event loop must run meanwhile.
  auto told = kj::newPromiseAndCrossThreadFulfiller<void>();
  std::thread waiter([port, &told] {
    bench_serve_until_told(port);
    told.fulfiller->fulfill();
  });
  told.promise.wait(scope);
  waiter.join();
}

struct Caller {
  const bench_options *options;
  bench_run *run;
  Echo::Client echo;
  kj::WaitScope &scope;
  std::string payload;
};

kj::Promise<void> Call(Caller *caller) {
  auto request = caller->echo.unaryRequest();
  request.setData(kj::arrayPtr(reinterpret_cast<const kj::byte *>(caller->payload.data()), caller->payload.size()));
  request.setTimeoutNs(BENCH_TIMEOUT_SECONDS * INT64_C(1000000000));
  request.setRequestId(BENCH_METADATA_VALUE);
  return request.send().then([caller](capnp::Response<Echo::UnaryResults> reply) {
    if (reply.getData().size() != caller->payload.size()) bench_fail("a wrong reply");
  });
}

void CallOnce(void *data) {
  Caller *caller = static_cast<Caller *>(data);
  Call(caller).wait(caller->scope);
}

kj::Promise<void> CallAgain(Caller *caller) {
  return Call(caller).then([caller]() -> kj::Promise<void> {
    if (bench_load_again(caller->run)) return CallAgain(caller);
    return kj::READY_NOW;
  });
}

// Makes all calls on a thread of its own: bench_load sleeps on the one that calls it.
struct Loader {
  const bench_options *options;
  bench_run *run;
  std::thread thread;
};

void WithCaller(const bench_options *options, bench_run *run, void (*use)(Caller *caller)) {
  capnp::EzRpcClient client(UrlOf(options).c_str());
  Caller caller{options, run, client.getMain<Echo>(), client.getWaitScope(), std::string(options->bytes, 'x')};
  use(&caller);
}

void StartAll(void *data) {
  Loader *loader = static_cast<Loader *>(data);
  if (loader->thread.joinable()) return;  // they are all started by the first
  loader->thread = std::thread([loader] {
    WithCaller(loader->options, loader->run, [](Caller *caller) {
      auto chains = kj::heapArrayBuilder<kj::Promise<void>>(caller->options->in_flight);
      for (int i = 0; i < caller->options->in_flight; i++) chains.add(CallAgain(caller));
      kj::joinPromises(chains.finish()).wait(caller->scope);
    });
  });
}

void Measure(const bench_options *options, bench_run *run) {
  if (options->in_flight == 1) {
    WithCaller(options, run, [](Caller *caller) { bench_one_by_one(caller->run, CallOnce, caller); });
  } else {
    Loader loader{options, run, {}};
    bench_load(run, StartAll, &loader);
    loader.thread.join();
  }
}

}  // namespace

int main(int argc, char **argv) {
  bench_program program = {Serve, Measure};
  return bench_main(argc, argv, &program);
}
