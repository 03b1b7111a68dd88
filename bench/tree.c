/* Trees of calls over a chain of servers. By default: 1 x 10 x 10 handlers over three hops (--hops 3), from the root's
 * cancel to the moment the last leaf learns of it. With --delay-ms N: a chain of single calls over slow links, and how
 * far the leaf's deadline is from the root's. Both with --queued-mib N while so much is on its way over each hop. */
#include <stdio.h>
#include <stdlib.h>

#include "bench/ours.h"

#define WIDTH 10
#define SINK_BYTES (1 << 20)
#define DRIFT_SECONDS 8 /* with more than 10 gRPC rounds what it hands on to tenths */

static tether_client *next_client; /* a server's; NULL in the last one */

/* ---- Server: Grow -------------------------------------------------------------------------- */

struct branch {
  tether_call *call;
  _Atomic int left; /* calls to the next server, and one for the handler itself */
  _Atomic tether_code code;
  tether_after after; /* a leaf's */
};

static void branch_finish(struct branch *branch, tether_code code) {
  tether_call_finish(branch->call, code);
  bench_count_add(BENCH_DONE, 1);
}

static void branch_let_go(struct branch *branch) {
  if (--branch->left == 0) branch_finish(branch, branch->code);
}

static void child_ended(tether_call *call, void *data) {
  struct branch *branch = data;
  if (tether_call_code(call) != TETHER_OK) branch->code = tether_call_code(call);
  branch_let_go(branch);
}

static void leaf_ended(void *data) {
  struct branch *branch = data;
  bench_count_max(BENCH_LAST_NS, bench_now_ns());
  bench_count_add(BENCH_ENDED, 1);
  branch_finish(branch, TETHER_CANCELLED);
}

static tether_code grow(const tether_ctx *ctx, tether_call *call, const Bench__V1__Branch *request,
                        Bench__V1__Payload *reply, void *data) {
  (void)reply;
  (void)data;
  struct branch *branch = tether_call_alloc(call, sizeof *branch);
  if (!branch) return TETHER_RESOURCE_EXHAUSTED;
  branch->call = call;
  if (request->n_widths == 0) {
    bench_count_set(BENCH_DEADLINE_NS, tether_ctx_deadline_ns(ctx));
    if (request->answer) return TETHER_OK;
    (void)tether_call_defer(call);
    bench_count_add(BENCH_HELD, 1);
    tether_ctx_after_func(ctx, &branch->after, NULL, leaf_ended, branch);
    return TETHER_OK;
  }
  const tether_call_options options = {.wait_for_ready = true, .reserve_ns = request->answer ? -1 : 0};
  Bench__V1__Branch below = BENCH__V1__BRANCH__INIT;
  below.widths = request->widths + 1;
  below.n_widths = request->n_widths - 1;
  below.answer = request->answer;
  (void)tether_call_defer(call);
  branch->left = (int)request->widths[0] + 1;
  for (uint32_t i = 0; i < request->widths[0]; i++)
    tether_call_unref(bench_v1_tree_client_grow_start(next_client, ctx, &below, &options, child_ended, branch));
  branch_let_go(branch);
  return TETHER_OK;
}

/* ---- Flood --------------------------------------------------------------------------------- */

static void flood_ended(tether_call *call, void *data) {
  (void)data;
  if (tether_call_code(call) != TETHER_OK) bench_fail("a flood failed: %s", tether_call_message(call));
  bench_count_add(BENCH_SUNK, 1);
}

static void flood_next(tether_client *client, uint32_t count) {
  const bench_options big = {.bytes = SINK_BYTES};
  const tether_call_options options = {.wait_for_ready = true};
  const Bench__V1__Payload payload = ours_payload(&big);
  Bench__V1__Branch same = BENCH__V1__BRANCH__INIT;
  same.widths = &count;
  same.n_widths = 1;
  tether_call_unref(
      bench_v1_tree_client_flood_start(client, tether_ctx_background(), &same, &options, flood_ended, NULL));
  for (uint32_t i = 0; i < count; i++)
    tether_call_unref(
        bench_v1_tree_client_sink_start(client, tether_ctx_background(), &payload, &options, flood_ended, NULL));
  bench_count_add(BENCH_FLOODED, 1);
}

static tether_code flood(const tether_ctx *ctx, tether_call *call, const Bench__V1__Branch *request,
                         Bench__V1__Payload *reply, void *data) {
  (void)ctx;
  (void)call;
  (void)reply;
  (void)data;
  if (next_client) flood_next(next_client, request->widths[0]);
  return TETHER_OK;
}

static tether_code sink(const tether_ctx *ctx, tether_call *call, const Bench__V1__Payload *request,
                        Bench__V1__Payload *reply, void *data) {
  (void)ctx;
  (void)reply;
  (void)data;
  return request->data.len == SINK_BYTES ? TETHER_OK : tether_call_fail(call, TETHER_INTERNAL, "cut");
}

static void serve(const bench_options *options) {
  static const bench_v1_tree_service service = {.grow = grow, .flood = flood, .sink = sink};
  tether_server *server;
  if (tether_server_open(NULL, &server) != TETHER_OK || bench_v1_tree_register(server, &service, NULL) != TETHER_OK)
    bench_fail("no server");
  if (options->next) next_client = ours_client(options, options->next);
  ours_serve(options, server, NULL);
  tether_client_close(next_client);
}

/* ---- Client -------------------------------------------------------------------------------- */

/* Puts on their way over each hop what the options ask for; waits until it has arrived. */
static void fill_hops(const bench_options *options, tether_client *client, int64_t round) {
  if (options->queued_mib == 0) return;
  flood_next(client, (uint32_t)options->queued_mib);
  bench_count_wait(BENCH_FLOODED, round * options->hops);
}
static void wait_filled(const bench_options *options, int64_t round) {
  if (options->queued_mib > 0) bench_count_wait(BENCH_SUNK, round * options->hops * (options->queued_mib + 1));
}

/* One tree, cancelled as soon as all its leaves have grown. */
static int64_t cancel_once(const bench_options *options, tether_client *client, int64_t round) {
  uint32_t widths[] = {WIDTH, WIDTH};
  Bench__V1__Branch request = BENCH__V1__BRANCH__INIT;
  request.widths = widths;
  request.n_widths = 2;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 60 * TETHER_SEC);
  TETHER_SCOPED_CALL tether_call *call = bench_v1_tree_client_grow_start(
      client, ctx, &request, &(tether_call_options){.wait_for_ready = true}, NULL, NULL);
  bench_count_wait(BENCH_HELD, round * WIDTH * WIDTH);
  fill_hops(options, client, round);
  int64_t begin_ns = bench_now_ns();
  tether_ctx_cancel(ctx);
  if (tether_call_wait(call) != TETHER_CANCELLED) bench_fail("the tree ended: %s", tether_call_message(call));
  bench_count_wait(BENCH_ENDED, round * WIDTH * WIDTH);
  int64_t took_ns = bench_count(BENCH_LAST_NS) - begin_ns;
  bench_count_wait(BENCH_DONE, round * (1 + WIDTH + WIDTH * WIDTH));
  wait_filled(options, round);
  return took_ns;
}

/* How far the leaf's deadline is from the root's. */
static int64_t drift_once(const bench_options *options, tether_client *client, int64_t round) {
  uint32_t widths[] = {1, 1, 1, 1, 1, 1, 1, 1};
  Bench__V1__Branch request = BENCH__V1__BRANCH__INIT;
  request.widths = widths;
  request.n_widths = (size_t)options->hops - 1;
  request.answer = true;
  fill_hops(options, client, round);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), DRIFT_SECONDS * TETHER_SEC);
  TETHER_SCOPED_CALL tether_call *call = bench_v1_tree_client_grow(
      client, ctx, &request, &(tether_call_options){.wait_for_ready = true, .reserve_ns = -1});
  if (tether_call_code(call) != TETHER_OK) bench_fail("a call failed: %s", tether_call_message(call));
  int64_t off_ns = llabs(bench_count(BENCH_DEADLINE_NS) - tether_ctx_deadline_ns(ctx));
  wait_filled(options, round);
  return off_ns;
}

static void measure(const bench_options *options, bench_run *run) {
  tether_client *client = ours_client(options, options->address);
  int64_t end_ns = 0;
  for (int64_t round = 1; round <= 2 || bench_now_ns() < end_ns; round++) {
    int64_t sample_ns =
        options->delay_ms > 0 ? drift_once(options, client, round) : cancel_once(options, client, round);
    if (round == 1) /* connects the servers: does not count */
      end_ns = bench_now_ns() + (int64_t)(options->seconds * 1e9);
    else
      bench_sample(run, sample_ns);
  }
  tether_client_close(client);
}

int main(int argc, char **argv) { return bench_main(argc, argv, &(bench_program){.serve = serve, .measure = measure}); }
