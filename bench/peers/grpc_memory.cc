// gRPC C++: what bench/memory.c does, with the callback API.
#include <mutex>
#include <vector>

#include "bench/peers/grpc.h"

namespace {

std::mutex mu;
std::vector<grpc::ServerUnaryReactor *> held;  // under mu

class EchoService final : public bench::v1::Echo::CallbackService {
  grpc::ServerUnaryReactor *Unary(grpc::CallbackServerContext *context, const Payload *request,
                                  Payload *reply) override {
    grpc::ServerUnaryReactor *reactor = context->DefaultReactor();
    reply->set_data(request->data());
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  grpc::ServerUnaryReactor *Hold(grpc::CallbackServerContext *context, const Payload *, Payload *) override {
    grpc::ServerUnaryReactor *reactor = context->DefaultReactor();
    {
      std::lock_guard<std::mutex> lock(mu);
      held.push_back(reactor);
    }
    bench_count_add(BENCH_HELD, 1);
    return reactor;
  }
};

void Finish() {
  std::lock_guard<std::mutex> lock(mu);
  for (grpc::ServerUnaryReactor *reactor : held) reactor->Finish(grpc::Status::CANCELLED);
}

void Serve(const bench_options *options) {
  EchoService service;
  held.reserve(options->in_flight);
  ServeGrpc(options, &service, Finish);
}

std::unique_ptr<bench::v1::Echo::Stub> ConnectAndCall(const bench_options *options) {
  std::unique_ptr<bench::v1::Echo::Stub> stub = bench::v1::Echo::NewStub(ConnectGrpc(options, options->address));
  grpc::ClientContext context;
  Payload reply;
  Prepare(&context);
  grpc::Status status = stub->Unary(&context, PayloadOf(options), &reply);
  Check(options, status, reply);
  return stub;
}

struct Call {
  grpc::ClientContext context;
  Payload reply;
};

void OfCalls(const bench_options *options, bench_run *run, bench::v1::Echo::Stub *stub) {
  std::vector<std::unique_ptr<Call>> calls(options->in_flight);
  Payload request = PayloadOf(options);
  bench_memory_before(run);
  for (std::unique_ptr<Call> &call : calls) {
    call = std::make_unique<Call>();
    Prepare(&call->context, 600);
    stub->async()->Hold(&call->context, &request, &call->reply,
                        [](const grpc::Status &) { bench_count_add(BENCH_ENDED, 1); });
  }
  bench_count_wait(BENCH_HELD, options->in_flight);
  bench_memory_after(run, options->in_flight);
  for (std::unique_ptr<Call> &call : calls) call->context.TryCancel();
  bench_count_wait(BENCH_ENDED, options->in_flight);
}

void OfConnections(const bench_options *options, bench_run *run) {
  std::vector<std::unique_ptr<bench::v1::Echo::Stub>> stubs(options->connections);
  bench_memory_before(run);
  for (std::unique_ptr<bench::v1::Echo::Stub> &stub : stubs) stub = ConnectAndCall(options);
  bench_memory_after(run, options->connections);
}

void Measure(const bench_options *options, bench_run *run) {
  std::unique_ptr<bench::v1::Echo::Stub> stub = ConnectAndCall(options);
  if (options->connections > 0)
    OfConnections(options, run);
  else
    OfCalls(options, run, stub.get());
}

}  // namespace

int main(int argc, char **argv) {
  bench_program program = {Serve, Measure};
  return bench_main(argc, argv, &program);
}
