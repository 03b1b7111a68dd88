// bench/peers/grpc.h: what the gRPC programs share.
#ifndef TETHER_BENCH_PEERS_GRPC_H
#define TETHER_BENCH_PEERS_GRPC_H

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>

#include "bench.grpc.pb.h"
#include "bench/harness.h"

using bench::v1::Payload;
using Clock = std::chrono::system_clock;

inline std::string UrlOf(const bench_options *options, const char *address) {
  return (options->tcp ? "" : "unix:") + std::string(address);
}

// Listens at the options' address and serves until told to end; then calls on_end.
inline void ServeGrpc(const bench_options *options, grpc::Service *service, void (*on_end)() = nullptr) {
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(UrlOf(options, options->address), grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(service);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server) bench_fail("the server cannot listen at %s", options->address);
  bench_serve_until_told(options->tcp ? port : 0);
  if (on_end) on_end();
  server->Shutdown(Clock::now());
}

// A connected channel with a connection of its own.
inline std::shared_ptr<grpc::Channel> ConnectGrpc(const bench_options *options, const char *address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  std::shared_ptr<grpc::Channel> channel =
      grpc::CreateCustomChannel(UrlOf(options, address), grpc::InsecureChannelCredentials(), arguments);
  if (!channel->WaitForConnected(Clock::now() + std::chrono::seconds(10))) bench_fail("no connection");
  return channel;
}

inline void Prepare(grpc::ClientContext *context, int timeout_seconds = BENCH_TIMEOUT_SECONDS) {
  context->set_deadline(Clock::now() + std::chrono::seconds(timeout_seconds));
  context->AddMetadata(BENCH_METADATA_KEY, BENCH_METADATA_VALUE);
}

inline Payload PayloadOf(const bench_options *options) {
  Payload payload;
  payload.set_data(std::string(options->bytes, 'x'));
  return payload;
}

inline void Check(const bench_options *options, const grpc::Status &status, const Payload &reply) {
  if (!status.ok()) bench_fail("a call failed: %s", status.error_message().c_str());
  if (reply.data().size() != static_cast<size_t>(options->bytes)) bench_fail("a wrong reply");
}

#endif
