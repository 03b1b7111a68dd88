// gRPC C++: what bench/messages.c does, with the synchronous API, the faster one for streams. Without the hint that
// writes may be buffered: with it version 1.51 stops sending.
#include "bench/peers/grpc.h"

namespace {

constexpr double kWarmupSeconds = 0.3;

class EchoService final : public bench::v1::Echo::Service {
  grpc::Status Repeat(grpc::ServerContext *, const Payload *request, grpc::ServerWriter<Payload> *writer) override {
    while (writer->Write(*request)) {
    }
    return grpc::Status::OK;
  }
};

void Serve(const bench_options *options) {
  EchoService service;
  ServeGrpc(options, &service);
}

// Reads for so long; returns how many messages that were.
int64_t ReadFor(grpc::ClientReader<Payload> *reader, const bench_options *options, double seconds, double *took) {
  Payload message;
  int64_t count = 0, begin_ns = bench_now_ns(), end_ns = begin_ns + static_cast<int64_t>(seconds * 1e9);
  int64_t now_ns = begin_ns;
  for (; now_ns < end_ns; now_ns = bench_now_ns()) {
    for (int i = 0; i < 64; i++, count++)
      if (!reader->Read(&message) || message.data().size() != static_cast<size_t>(options->bytes))
        bench_fail("a stream that ended, or a message of %zu bytes: %s", message.data().size(), reader->Finish().error_message().c_str());
  }
  *took = static_cast<double>(now_ns - begin_ns) / 1e9;
  return count;
}

void Measure(const bench_options *options, bench_run *run) {
  double seconds;
  std::unique_ptr<bench::v1::Echo::Stub> stub = bench::v1::Echo::NewStub(ConnectGrpc(options, options->address));
  grpc::ClientContext context;
  Prepare(&context, static_cast<int>(options->seconds) + BENCH_TIMEOUT_SECONDS);
  std::unique_ptr<grpc::ClientReader<Payload>> reader = stub->Repeat(&context, PayloadOf(options));
  ReadFor(reader.get(), options, kWarmupSeconds, &seconds);
  int64_t count = ReadFor(reader.get(), options, options->seconds, &seconds);
  bench_print(run, "rate", static_cast<double>(count) / seconds);
  context.TryCancel();
  reader->Finish();
}

}  // namespace

int main(int argc, char **argv) {
  bench_program program = {Serve, Measure};
  return bench_main(argc, argv, &program);
}
