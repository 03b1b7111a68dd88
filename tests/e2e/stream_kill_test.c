/* Processes killed in the middle of streams, and streams on which both sides block: the other side learns that the peer
 * is lost, never that the messages have ended; what is blocked holds a bounded amount and ends when it should. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "rpc/session.h"
#include "tests/support/ctx_test.h"
#include "tests/support/rpc_test.h"
#include "tests/support/stream_node.h"
#include "tests/support/stream_test.h"
#include "tests/support/wait.h"

#define MIB ((size_t)1024 * 1024)
#define LONG (3 * MIB) /* a message of many slices: kills hit its middle */
#define ROUNDS CTX_TEST_ROUNDS(20)

struct kills {
  char dir[64];
  struct stream_node node;
  tether_client *client;
  tether_ctx *ctx;
};

static int open_kills(void **state, bool tcp) {
  static struct kills kills;
  struct kills *k = &kills;
  char url[128] = "tcp://127.0.0.1:0";
  *k = (struct kills){.dir = "/tmp/tether-test-XXXXXX"};
  if (!mkdtemp(k->dir)) return -1;
  if (!tcp) snprintf(url, sizeof url, "ipc://%s/s", k->dir);
  const tether_client_options quick = {.backoff_initial_ns = 5 * TETHER_MS, .backoff_max_ns = 20 * TETHER_MS};
  k->ctx = tether_ctx_with_timeout(tether_ctx_background(), 3 * RPC_TEST_BOUND_NS);
  *state = k;
  return stream_node_open(&k->node, url) && tether_client_open(k->node.url, &quick, &k->client) == TETHER_OK ? 0 : -1;
}

static int setup_ipc(void **state) { return open_kills(state, false); }
static int setup_tcp(void **state) { return open_kills(state, true); }

static int teardown(void **state) {
  struct kills *k = *state;
  char path[128];
  tether_client_close(k->client);
  tether_ctx_free(k->ctx);
  stream_node_close(&k->node);
  snprintf(path, sizeof path, "%s/s", k->dir);
  unlink(path);
  return rmdir(k->dir);
}

static int cut(struct kills *k, tether_cause_code cause) { return atomic_load(&k->node.shared->cut[cause]); }

/* Moments from a seed, so that they differ; nothing depends on which. */
static void wait_a_moment(uint32_t *seed) {
  int64_t end_ns = tst_now_ns() + ctx_random(seed) % (4 * TETHER_MS);
  while (tst_now_ns() < end_ns) continue;
}

static const tether_call_options when_ready = {.wait_for_ready = true};

/* ---- The sender is killed -------------------------------------------------------------------- */

static void a_killed_server_that_sends_leaves_its_client_unavailable_never_an_end(void **state) {
  struct kills *k = *state;
  uint32_t seed = 1, messages = 0;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.reply_bytes = LONG;
  for (int round = 0; round < ROUNDS; round++) {
    const Testing__V1__Reply *reply = NULL;
    TETHER_SCOPED_CALL tether_call *call =
        testing_v1_echo_client_download_start(k->client, k->ctx, &request, &when_ready, NULL, NULL);
    assert_int_equal(testing_v1_echo_download_recv_reply(call, &reply), TETHER_OK);
    struct stream_op reader;
    stream_op_start(&reader, call, STREAM_RECV_ALL, NULL);
    wait_a_moment(&seed);
    stream_node_kill(&k->node.pid, SIGKILL);
    assert_int_equal(stream_op_join(&reader), TETHER_UNAVAILABLE);
    assert_false(reader.end);
    assert_int_equal(tether_cause_get_code(tether_call_cause(call)), TETHER_CAUSE_PEER_LOST);
    messages += (uint32_t)atomic_load(&reader.count);
    assert_true(stream_node_start(&k->node));
  }
  print_message("%u messages before %d kills\n", messages, ROUNDS);
}

/* The other process: sends messages as long as it lives. */
static void send_without_end(const char *url) {
  static uint8_t body[LONG];
  tether_client *client;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.body = (ProtobufCBinaryData){.data = body, .len = sizeof body};
  if (tether_client_open(url, NULL, &client) != TETHER_OK) return;
  tether_call *call = testing_v1_echo_client_upload_start(client, tether_ctx_background(), &when_ready, NULL, NULL);
  while (testing_v1_echo_upload_send_request(call, &request) == TETHER_OK) continue;
}

struct reached {
  const _Atomic uint64_t *value;
  uint64_t at_least;
};

static bool has_reached(void *data) {
  const struct reached *r = data;
  return atomic_load(r->value) >= r->at_least;
}

static void a_killed_client_that_sends_cuts_the_handler_which_sees_no_end(void **state) {
  struct kills *k = *state;
  struct stream_shared *shared = k->node.shared;
  uint32_t seed = 2;
  for (int round = 0; round < ROUNDS; round++) {
    int before = cut(k, TETHER_CAUSE_PEER_LOST);
    struct reached begun = {&shared->read_bytes, atomic_load(&shared->read_bytes) + LONG};
    pid_t sender = stream_node_other(&k->node);
    assert_true(sender > 0);
    assert_true(tst_wait_until(has_reached, &begun, RPC_TEST_BOUND_NS));
    wait_a_moment(&seed);
    stream_node_kill(&sender, SIGKILL);
    assert_true(rpc_wait_for(&shared->cut[TETHER_CAUSE_PEER_LOST], before + 1));
    assert_true(rpc_wait_for(&shared->inside, 0));
  }
  assert_int_equal(atomic_load(&shared->clean_ends), 0);
  print_message("%llu messages before %d kills\n", (unsigned long long)atomic_load(&shared->read_bytes) / LONG, ROUNDS);
}

/* ---- Blocked streams ------------------------------------------------------------------------- */

static Testing__V1__Request request_of(size_t len) { return stream_request("blocked", len); }

/* Streams of all kinds, each with a thread that blocks: a sender whose server does not read, a receiver of a server
 * that does not send, a sender whose server only sends. */
enum { KINDS = 3, EACH = 4 };

struct blocked {
  tether_call *calls[KINDS * EACH];
  struct stream_op ops[KINDS * EACH];
  Testing__V1__Request request;
};

static void block(struct kills *k, struct blocked *b, const tether_ctx *ctx) {
  tether_metadata *metadata = stream_node_metadata("x-rate", 0);
  const tether_call_options unread = {.metadata = metadata, .wait_for_ready = true};
  b->request = request_of(10000);
  for (int i = 0; i < KINDS * EACH; i++) {
    tether_call *call = i % KINDS == 0 ? testing_v1_echo_client_upload_start(k->client, ctx, &unread, NULL, NULL)
                        : i % KINDS == 1
                            ? testing_v1_echo_client_chat_start(k->client, ctx, &when_ready, NULL, NULL)
                            : testing_v1_echo_client_later_chat_start(k->client, ctx, &when_ready, NULL, NULL);
    b->calls[i] = call;
    stream_op_start(&b->ops[i], call, i % KINDS == 1 ? STREAM_RECV : STREAM_SEND_ALL, &b->request.base);
  }
  tether_metadata_free(metadata);
  for (int i = 0; i < KINDS * EACH; i++) assert_true(stream_op_blocks(&b->ops[i]));
}

static void assert_all_end(struct blocked *b, tether_code code) {
  for (int i = 0; i < KINDS * EACH; i++) {
    assert_int_equal(stream_op_join(&b->ops[i]), code);
    assert_false(b->ops[i].end);
    rpc_assert_code(b->calls[i], code);
    tether_call_unref(b->calls[i]);
  }
}

static void assert_served(struct kills *k) {
  Testing__V1__Request request = request_of(0);
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(k->client, k->ctx, &request, &when_ready);
  rpc_assert_code(call, TETHER_OK);
}

static void a_killed_server_ends_every_blocked_stream_unavailable(void **state) {
  struct kills *k = *state;
  for (int round = 0; round < 3; round++) {
    struct blocked b;
    block(k, &b, k->ctx);
    stream_node_kill(&k->node.pid, SIGKILL);
    assert_all_end(&b, TETHER_UNAVAILABLE);
    assert_true(stream_node_start(&k->node));
    assert_served(k);
  }
}

/* What each side holds: its queue, and the other's first window of unread messages. */
static void streams_that_nobody_reads_hold_a_bounded_amount_until_their_deadline(void **state) {
  struct kills *k = *state;
  struct stream_shared *shared = k->node.shared;
  struct blocked b;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(k->ctx, 2 * TETHER_SEC);
  size_t memory = stream_node_memory(0), node_memory = stream_node_memory(k->node.pid);
  int before = cut(k, TETHER_CAUSE_DEADLINE);
  uint64_t sent_before = atomic_load(&shared->sent_bytes);
  block(k, &b, ctx);
  assert_served(k);
  for (int i = 0; i < KINDS * EACH; i++)
    assert_true((size_t)atomic_load(&b.ops[i].count) * 10000 <= TTH_WINDOW_LEAST + TTH_SEND_HIGH + 10000);
  assert_true(atomic_load(&shared->sent_bytes) - sent_before <= EACH * (TTH_WINDOW_LEAST + TTH_SEND_HIGH + 10000));
#if !defined(CTX_TEST_SANITIZED)
  size_t most = KINDS * EACH * 2 * (TTH_WINDOW_LEAST + TTH_SEND_HIGH) + 4 * MIB; /* threads' arenas among it */
  assert_true(stream_node_memory(0) < memory + most);
  assert_true(stream_node_memory(k->node.pid) < node_memory + most);
#else
  (void)memory, (void)node_memory;
#endif
  assert_all_end(&b, TETHER_DEADLINE_EXCEEDED);
  assert_true(rpc_wait_for(&shared->cut[TETHER_CAUSE_DEADLINE], before + 2 * EACH)); /* Chat does not count its end */
  assert_true(rpc_wait_for(&shared->inside, 0));
  assert_served(k);
}

static void a_server_that_answers_early_ends_a_blocked_sender(void **state) {
  struct kills *k = *state;
  /* Slowly enough that the sender is blocked before the answer. */
  for (unsigned after = 1; after < 4; after++) {
    tether_metadata *metadata = stream_node_metadata("x-rate", 200000);
    char text[16];
    snprintf(text, sizeof text, "%u", after);
    assert_int_equal(tether_metadata_add(metadata, "x-answer-after", text), TETHER_OK);
    const tether_call_options options = {.metadata = metadata, .wait_for_ready = true};
    Testing__V1__Request request = request_of(60000);
    TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_upload_start(k->client, k->ctx, &options, NULL, NULL);
    struct stream_op sender;
    stream_op_start(&sender, call, STREAM_SEND_ALL, &request.base);
    assert_int_equal(stream_op_join(&sender), TETHER_FAILED_PRECONDITION);
    assert_int_equal(tether_call_wait(call), TETHER_OK);
    assert_int_equal(testing_v1_echo_upload_reply(call)->count, after);
    assert_true(atomic_load(&sender.count) > (int)after);
    tether_metadata_free(metadata);
  }
  assert_served(k);
}

#define OVER_BOTH(test) \
  {#test " over ipc", test, setup_ipc, teardown, NULL}, { #test " over tcp", test, setup_tcp, teardown, NULL }

int main(int argc, char **argv) {
  stream_node_main(argc, argv, send_without_end);
  const struct CMUnitTest tests[] = {
      OVER_BOTH(a_killed_server_that_sends_leaves_its_client_unavailable_never_an_end),
      OVER_BOTH(a_killed_client_that_sends_cuts_the_handler_which_sees_no_end),
      OVER_BOTH(a_killed_server_ends_every_blocked_stream_unavailable),
      {"streams_that_nobody_reads_hold_a_bounded_amount_until_their_deadline",
       streams_that_nobody_reads_hold_a_bounded_amount_until_their_deadline, setup_ipc, teardown, NULL},
      OVER_BOTH(a_server_that_answers_early_ends_a_blocked_sender),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
