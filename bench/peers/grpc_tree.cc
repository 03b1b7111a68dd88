// gRPC C++: what bench/tree.c does, with the callback API. Calls to the next server are made from the server context of
// the call above, which hands on its deadline and its cancel.
#include <atomic>
#include <cstdlib>
#include <vector>

#include "bench/peers/grpc.h"

namespace {

using bench::v1::Branch;
using bench::v1::Tree;

constexpr int kWidth = 10;
constexpr int kSinkBytes = 1 << 20;
constexpr int kDriftSeconds = 8;

std::unique_ptr<Tree::Stub> next_stub;  // a server's; null in the last one

int64_t NsOf(Clock::time_point at) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(at.time_since_epoch()).count();
}

class Leaf final : public grpc::ServerUnaryReactor {
  void OnCancel() override {
    bench_count_max(BENCH_LAST_NS, bench_now_ns());
    bench_count_add(BENCH_ENDED, 1);
    Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override {
    bench_count_add(BENCH_DONE, 1);
    delete this;
  }
};

// A handler that calls on.
class Inner final : public grpc::ServerUnaryReactor {
 public:
  Inner(const grpc::CallbackServerContext &context, const Branch &request)
      : left_(static_cast<int>(request.widths(0)) + 1) {
    below_.mutable_widths()->Add(request.widths().begin() + 1, request.widths().end());
    below_.set_answer(request.answer());
    for (uint32_t i = 0; i < request.widths(0); i++) {
      children_.push_back(std::make_unique<Child>());
      Child *child = children_.back().get();
      child->context = grpc::ClientContext::FromCallbackServerContext(context);
      child->context->set_wait_for_ready(true);
    }
    for (const std::unique_ptr<Child> &child : children_)
      next_stub->async()->Grow(child->context.get(), &below_, &child->reply, [this](const grpc::Status &status) {
        if (!status.ok()) code_ = status.error_code();
        LetGo();
      });
    LetGo();
  }

 private:
  struct Child {
    std::unique_ptr<grpc::ClientContext> context;
    Payload reply;
  };

  void LetGo() {
    if (--left_ == 0) Finish(grpc::Status(code_, ""));
  }
  void OnDone() override {
    bench_count_add(BENCH_DONE, 1);
    delete this;
  }

  std::atomic<int> left_;
  std::atomic<grpc::StatusCode> code_{grpc::StatusCode::OK};
  Branch below_;
  std::vector<std::unique_ptr<Child>> children_;
};

struct FloodCall {
  grpc::ClientContext context;
  Payload reply;
  void Ended(const grpc::Status &status) {
    if (!status.ok()) bench_fail("a flood failed: %s", status.error_message().c_str());
    bench_count_add(BENCH_SUNK, 1);
    delete this;
  }
};

void FloodNext(Tree::Stub *stub, uint32_t count) {
  static const Payload *const payload = [] {
    Payload *made = new Payload;
    made->set_data(std::string(kSinkBytes, 'x'));
    return made;
  }();
  static Branch same;  // the same every time
  same.clear_widths();
  same.add_widths(count);
  FloodCall *flood = new FloodCall;
  stub->async()->Flood(&flood->context, &same, &flood->reply, [flood](const grpc::Status &s) { flood->Ended(s); });
  for (uint32_t i = 0; i < count; i++) {
    FloodCall *call = new FloodCall;
    stub->async()->Sink(&call->context, payload, &call->reply, [call](const grpc::Status &s) { call->Ended(s); });
  }
  bench_count_add(BENCH_FLOODED, 1);
}

class TreeService final : public Tree::CallbackService {
  grpc::ServerUnaryReactor *Grow(grpc::CallbackServerContext *context, const Branch *request, Payload *) override {
    if (request->widths_size() > 0) return new Inner(*context, *request);
    bench_count_set(BENCH_DEADLINE_NS, NsOf(context->deadline()));
    if (request->answer()) return Answer(context);
    Leaf *leaf = new Leaf;
    bench_count_add(BENCH_HELD, 1);
    return leaf;
  }

  grpc::ServerUnaryReactor *Flood(grpc::CallbackServerContext *context, const Branch *request, Payload *) override {
    if (next_stub) FloodNext(next_stub.get(), request->widths(0));
    return Answer(context);
  }

  grpc::ServerUnaryReactor *Sink(grpc::CallbackServerContext *context, const Payload *request, Payload *) override {
    if (request->data().size() != kSinkBytes) bench_fail("a message was cut");
    return Answer(context);
  }

  static grpc::ServerUnaryReactor *Answer(grpc::CallbackServerContext *context) {
    grpc::ServerUnaryReactor *reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

void Serve(const bench_options *options) {
  TreeService service;
  if (options->next) next_stub = Tree::NewStub(ConnectGrpc(options, options->next));
  ServeGrpc(options, &service);
  next_stub.reset();
}

// Puts on their way over each hop what the options ask for; waits until it has arrived.
void FillHops(const bench_options *options, Tree::Stub *stub, int64_t round) {
  if (options->queued_mib == 0) return;
  FloodNext(stub, options->queued_mib);
  bench_count_wait(BENCH_FLOODED, round * options->hops);
}
void WaitFilled(const bench_options *options, int64_t round) {
  if (options->queued_mib > 0) bench_count_wait(BENCH_SUNK, round * options->hops * (options->queued_mib + 1));
}

// One tree, cancelled as soon as all its leaves have grown.
int64_t CancelOnce(const bench_options *options, Tree::Stub *stub, int64_t round) {
  Branch request;
  request.add_widths(kWidth);
  request.add_widths(kWidth);
  grpc::ClientContext context;
  Payload reply;
  std::atomic<bool> ended{false};
  context.set_deadline(Clock::now() + std::chrono::seconds(60));
  stub->async()->Grow(&context, &request, &reply, [&ended](const grpc::Status &status) {
    if (status.error_code() != grpc::StatusCode::CANCELLED)
      bench_fail("the tree ended: %s", status.error_message().c_str());
    ended = true;
  });
  bench_count_wait(BENCH_HELD, round * kWidth * kWidth);
  FillHops(options, stub, round);
  int64_t begin_ns = bench_now_ns();
  context.TryCancel();
  bench_count_wait(BENCH_ENDED, round * kWidth * kWidth);
  int64_t took_ns = bench_count(BENCH_LAST_NS) - begin_ns;
  bench_count_wait(BENCH_DONE, round * (1 + kWidth + kWidth * kWidth));
  WaitFilled(options, round);
  while (!ended) bench_sleep(0.0005);
  return took_ns;
}

// How far the leaf's deadline is from the root's.
int64_t DriftOnce(const bench_options *options, Tree::Stub *stub, int64_t round) {
  Branch request;
  for (int i = 1; i < options->hops; i++) request.add_widths(1);
  request.set_answer(true);
  grpc::ClientContext context;
  Payload reply;
  FillHops(options, stub, round);
  context.set_deadline(Clock::now() + std::chrono::seconds(kDriftSeconds));
  grpc::Status status = stub->Grow(&context, request, &reply);
  if (!status.ok()) bench_fail("a call failed: %s", status.error_message().c_str());
  int64_t off_ns = std::llabs(bench_count(BENCH_DEADLINE_NS) - NsOf(context.deadline()));
  WaitFilled(options, round);
  return off_ns;
}

void Measure(const bench_options *options, bench_run *run) {
  std::unique_ptr<Tree::Stub> stub = Tree::NewStub(ConnectGrpc(options, options->address));
  int64_t end_ns = 0;
  for (int64_t round = 1; round <= 2 || bench_now_ns() < end_ns; round++) {
    int64_t sample_ns =
        options->delay_ms > 0 ? DriftOnce(options, stub.get(), round) : CancelOnce(options, stub.get(), round);
    if (round == 1)
      end_ns = bench_now_ns() + static_cast<int64_t>(options->seconds * 1e9);
    else
      bench_sample(run, sample_ns);
  }
}

}  // namespace

int main(int argc, char **argv) {
  bench_program program = {Serve, Measure};
  return bench_main(argc, argv, &program);
}
