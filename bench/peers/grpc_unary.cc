// gRPC C++: what bench/unary.c does. One at a time, or threads: the synchronous stub; many: the callback API. A
// channel, and so a connection, for each connection.
#include <atomic>
#include <vector>

#include "bench/peers/grpc.h"

namespace {

bool AsExpected(const grpc::ServerContextBase &context) {
  return context.deadline() < Clock::time_point::max() && context.client_metadata().count(BENCH_METADATA_KEY) == 1;
}

class EchoService final : public bench::v1::Echo::CallbackService {
  grpc::ServerUnaryReactor *Unary(grpc::CallbackServerContext *context, const Payload *request,
                                  Payload *reply) override {
    grpc::ServerUnaryReactor *reactor = context->DefaultReactor();
    reply->set_data(request->data());
    reactor->Finish(AsExpected(*context) ? grpc::Status::OK : grpc::Status(grpc::StatusCode::INTERNAL, "headers"));
    return reactor;
  }
};

class SyncEchoService final : public bench::v1::Echo::Service {
  grpc::Status Unary(grpc::ServerContext *context, const Payload *request, Payload *reply) override {
    reply->set_data(request->data());
    return AsExpected(*context) ? grpc::Status::OK : grpc::Status(grpc::StatusCode::INTERNAL, "headers");
  }
};

void Serve(const bench_options *options) {
  EchoService callback_service;
  SyncEchoService sync_service;
  grpc::Service *service = &callback_service;
  if (options->in_flight == 1) service = &sync_service;
  ServeGrpc(options, service);
}

struct Caller {
  const bench_options *options;
  bench_run *run;
  Payload request;
  std::vector<std::unique_ptr<bench::v1::Echo::Stub>> stubs;
  std::atomic<unsigned> turn{0};

  bench::v1::Echo::Stub *stub() { return stubs[stubs.size() == 1 ? 0 : turn++ % stubs.size()].get(); }
};

void CallOnce(void *data) {
  Caller *caller = static_cast<Caller *>(data);
  grpc::ClientContext context;
  Payload reply;
  Prepare(&context);
  grpc::Status status = caller->stub()->Unary(&context, caller->request, &reply);
  Check(caller->options, status, reply);
}

struct Call {
  grpc::ClientContext context;
  Payload reply;
};

void Start(void *data) {
  Caller *caller = static_cast<Caller *>(data);
  Call *call = new Call;
  Prepare(&call->context);
  caller->stub()->async()->Unary(&call->context, &caller->request, &call->reply, [caller, call](grpc::Status status) {
    Check(caller->options, status, call->reply);
    delete call;
    if (bench_load_again(caller->run)) Start(caller);
  });
}

void Measure(const bench_options *options, bench_run *run) {
  Caller caller{options, run, PayloadOf(options), {}};
  for (int i = 0; i < (options->connections > 0 ? options->connections : 1); i++)
    caller.stubs.push_back(bench::v1::Echo::NewStub(ConnectGrpc(options, options->address)));
  if (options->threads)
    bench_threads(run, CallOnce, &caller);
  else if (options->in_flight == 1)
    bench_one_by_one(run, CallOnce, &caller);
  else
    bench_load(run, Start, &caller);
}

}  // namespace

int main(int argc, char **argv) {
  bench_program program = {Serve, Measure};
  return bench_main(argc, argv, &program);
}
