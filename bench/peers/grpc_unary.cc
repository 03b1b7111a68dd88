// gRPC C++: what bench/unary.c does. One at a time: the synchronous stub; many: the callback API. One channel, one
// connection.
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>

#include "bench.grpc.pb.h"
#include "bench/harness.h"

namespace {

using bench::v1::Payload;
using Clock = std::chrono::system_clock;

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

std::string UrlOf(const bench_options *options) { return std::string("unix:") + options->address; }

void Serve(const bench_options *options) {
  EchoService callback_service;
  SyncEchoService sync_service;
  grpc::Service *service = &callback_service;
  if (options->in_flight == 1) service = &sync_service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(UrlOf(options), grpc::InsecureServerCredentials());
  builder.RegisterService(service);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server) bench_fail("the server cannot listen at %s", options->address);
  bench_serve_until_told();
  server->Shutdown(Clock::now());
}

struct Caller {
  bench_run *run;
  std::unique_ptr<bench::v1::Echo::Stub> stub;
  Payload request;
};

void Prepare(grpc::ClientContext *context) {
  context->set_deadline(Clock::now() + std::chrono::seconds(BENCH_TIMEOUT_SECONDS));
  context->AddMetadata(BENCH_METADATA_KEY, BENCH_METADATA_VALUE);
}

void Check(const grpc::Status &status, const Payload &reply) {
  if (!status.ok()) bench_fail("a call failed: %s", status.error_message().c_str());
  if (reply.data().size() != BENCH_PAYLOAD_BYTES) bench_fail("a wrong reply");
}

void CallOnce(void *data) {
  Caller *caller = static_cast<Caller *>(data);
  grpc::ClientContext context;
  Payload reply;
  Prepare(&context);
  Check(caller->stub->Unary(&context, caller->request, &reply), reply);
}

struct Call {
  grpc::ClientContext context;
  Payload reply;
};

void Start(void *data) {
  Caller *caller = static_cast<Caller *>(data);
  Call *call = new Call;
  Prepare(&call->context);
  caller->stub->async()->Unary(&call->context, &caller->request, &call->reply, [caller, call](grpc::Status status) {
    Check(status, call->reply);
    delete call;
    if (bench_load_again(caller->run)) Start(caller);
  });
}

void Measure(const bench_options *options, bench_run *run) {
  std::shared_ptr<grpc::Channel> channel = grpc::CreateChannel(UrlOf(options), grpc::InsecureChannelCredentials());
  Caller caller{run, bench::v1::Echo::NewStub(channel), Payload()};
  caller.request.set_data(std::string(BENCH_PAYLOAD_BYTES, 'x'));
  if (!channel->WaitForConnected(Clock::now() + std::chrono::seconds(10))) bench_fail("no connection");
  if (options->in_flight == 1)
    bench_one_by_one(run, CallOnce, &caller);
  else
    bench_load(run, Start, &caller);
}

}  // namespace

int main(int argc, char **argv) {
  bench_program program = {Serve, Measure};
  return bench_main(argc, argv, &program);
}
