/* Streams that are cut: whatever blocks on either side ends the moment the context does, with the reason, and never as
 * the end of the messages; peers that do not read; shutdown and close with streams open. In memory, in real time. */
#include <string.h>

#include "tests/support/ctx_test.h"
#include "tests/support/stream_test.h"

enum { BODY = 8000 };

static tether_call *start_both(struct stream_net *n, const tether_ctx *ctx) {
  return testing_v1_handed_client_both_start(n->client, ctx, NULL, NULL, NULL);
}

static void assert_others_are_served(struct stream_net *n) {
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  Testing__V1__Request request = stream_request("other", 0);
  request.reply_bytes = 1024 * 1024;
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_pooled(n->client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_OK);
}

/* ---- Everything blocked at once ------------------------------------------------------------ */

/* Two streams: on one both sides only write, on the other both only read. */
struct blocked {
  tether_call *writing, *reading, *writing_s, *reading_s;
  Testing__V1__Request request;
  Testing__V1__Reply reply;
  struct stream_op client_send, server_send, client_recv, server_recv;
};

static void block(struct blocked *b, struct stream_net *n, const tether_ctx *ctx) {
  b->request = stream_request("unread", BODY);
  b->reply = stream_reply("unread", BODY);
  b->writing = start_both(n, ctx);
  b->writing_s = stream_take(&n->stats);
  b->reading = start_both(n, ctx);
  b->reading_s = stream_take(&n->stats);
  stream_op_start(&b->client_send, b->writing, STREAM_SEND_ALL, &b->request.base);
  stream_op_start(&b->server_send, b->writing_s, STREAM_SEND_ALL, &b->reply.base);
  stream_op_start(&b->client_recv, b->reading, STREAM_RECV, NULL);
  stream_op_start(&b->server_recv, b->reading_s, STREAM_RECV, NULL);
}

static void assert_blocked(struct blocked *b) {
  assert_true(stream_op_blocks(&b->client_send));
  assert_true(stream_op_blocks(&b->server_send));
  assert_true(stream_op_blocks(&b->client_recv));
  assert_true(stream_op_blocks(&b->server_recv));
}

/* All four have ended with these codes, and so does everything after them. */
static void assert_cut(struct blocked *b, tether_code client, tether_code handler, tether_cause_code cause) {
  assert_int_equal(stream_op_join(&b->client_send), client);
  assert_int_equal(stream_op_join(&b->client_recv), client);
  assert_int_equal(stream_op_join(&b->server_send), handler);
  assert_int_equal(stream_op_join(&b->server_recv), handler);
  assert_false(b->client_recv.end || b->server_recv.end);
  tether_call *cs[] = {b->writing, b->reading}, *ss[] = {b->writing_s, b->reading_s};
  for (int i = 0; i < 2; i++) {
    stream_gets_code(cs[i], client);
    stream_gets_code(ss[i], handler);
    assert_int_equal(tether_call_send(cs[i], &b->request.base), client);
    assert_int_equal(tether_call_send(ss[i], &b->reply.base), handler);
    rpc_assert_code(cs[i], client);
    assert_int_equal(tether_cause_get_code(tether_ctx_cause(tether_call_ctx(ss[i]))), cause);
  }
}

static void release(struct blocked *b, tether_code recorded) {
  stream_finish(b->writing_s, TETHER_OK, recorded);
  stream_finish(b->reading_s, TETHER_OK, recorded);
  tether_call_unref(b->writing);
  tether_call_unref(b->reading);
}

static void cancelling_the_calls_ends_blocked_sends_and_receives_on_both_sides(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  struct blocked b;
  block(&b, n, ctx);
  assert_blocked(&b);
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_SIBLING, NULL, "enough");
  tether_call_cancel(b.writing, cause);
  tether_call_cancel(b.reading, cause);
  tether_cause_unref(cause);
  assert_cut(&b, TETHER_CANCELLED, TETHER_CANCELLED, TETHER_CAUSE_SIBLING);
  release(&b, TETHER_CANCELLED);
  assert_others_are_served(n);
}

static void cancelling_their_context_ends_blocked_sends_and_receives_on_both_sides(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  struct blocked b;
  block(&b, n, ctx);
  assert_blocked(&b);
  tether_ctx_cancel(ctx);
  assert_cut(&b, TETHER_CANCELLED, TETHER_CANCELLED, TETHER_CAUSE_CALLER);
  release(&b, TETHER_CANCELLED);
  assert_others_are_served(n);
}

/* Both sides only write: nothing but the deadline ends it, and until then a bounded amount is held. */
static void the_deadline_ends_blocked_sends_and_receives_on_both_sides_with_bounded_memory(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 500 * TETHER_MS);
  struct blocked b;
  int64_t before_ns = tst_now_ns();
  block(&b, n, ctx);
  assert_cut(&b, TETHER_DEADLINE_EXCEEDED, TETHER_DEADLINE_EXCEEDED, TETHER_CAUSE_DEADLINE);
  assert_true(b.client_send.end_ns - before_ns >= 490 * TETHER_MS);
  /* the first window, what may be queued behind it, and a message that went past that mark */
  enum { MOST = (64 + 64) * 1024 / BODY + 2 };
  assert_in_range(atomic_load(&b.client_send.count), 1, MOST);
  assert_in_range(atomic_load(&b.server_send.count), 1, MOST);
  release(&b, TETHER_DEADLINE_EXCEEDED);
  assert_others_are_served(n);
}

static void a_lost_connection_ends_blocked_sends_and_receives_on_both_sides(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  struct blocked b;
  block(&b, n, ctx);
  assert_blocked(&b);
  stream_net_break(n);
  assert_cut(&b, TETHER_UNAVAILABLE, TETHER_CANCELLED, TETHER_CAUSE_PEER_LOST);
  release(&b, TETHER_UNAVAILABLE);
}

static void closing_the_client_ends_blocked_sends_and_receives_on_both_sides(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  struct blocked b;
  block(&b, n, ctx);
  assert_blocked(&b);
  tether_client_close(n->client);
  n->client = NULL;
  assert_cut(&b, TETHER_CANCELLED, TETHER_CANCELLED, TETHER_CAUSE_CALLER);
  release(&b, TETHER_CANCELLED);
}

/* ---- Shutdown ------------------------------------------------------------------------------ */

struct shutdown {
  pthread_t thread;
  tether_server *server;
  int64_t grace_ns;
  tst_latch over;
};

static void *run_shutdown(void *data) {
  struct shutdown *shutdown = data;
  tether_server_shutdown(shutdown->server, shutdown->grace_ns);
  tst_latch_open(&shutdown->over);
  return NULL;
}

static void shutdown_start(struct shutdown *shutdown, struct stream_net *n, int64_t grace_ns) {
  *shutdown = (struct shutdown){.server = n->server, .grace_ns = grace_ns};
  tst_latch_init(&shutdown->over);
  assert_int_equal(pthread_create(&shutdown->thread, NULL, run_shutdown, shutdown), 0);
}

static void shutdown_join(struct shutdown *shutdown) {
  assert_true(tst_latch_wait(&shutdown->over, RPC_TEST_BOUND_NS));
  assert_int_equal(pthread_join(shutdown->thread, NULL), 0);
  tst_latch_fini(&shutdown->over);
}

static void a_shutdown_without_grace_ends_blocked_sends_and_receives_on_both_sides(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  struct blocked b;
  struct shutdown shutdown;
  block(&b, n, ctx);
  assert_blocked(&b);
  shutdown_start(&shutdown, n, 0);
  assert_int_equal(stream_op_join(&b.server_send), TETHER_CANCELLED);
  assert_int_equal(stream_op_join(&b.server_recv), TETHER_CANCELLED);
  assert_false(b.server_recv.end);
  assert_int_equal(tether_cause_get_code(tether_ctx_cause(tether_call_ctx(b.reading_s))), TETHER_CAUSE_SHUTDOWN);
  assert_false(tst_latch_is_open(&shutdown.over)); /* the handlers are still there */
  stream_finish(b.writing_s, TETHER_OK, TETHER_UNAVAILABLE);
  stream_finish(b.reading_s, TETHER_OK, TETHER_UNAVAILABLE);
  assert_int_equal(stream_op_join(&b.client_send), TETHER_UNAVAILABLE);
  assert_int_equal(stream_op_join(&b.client_recv), TETHER_UNAVAILABLE);
  assert_false(b.client_recv.end);
  shutdown_join(&shutdown);
  tether_call_unref(b.writing);
  tether_call_unref(b.reading);
}

static bool is_going_away(void *data) {
  struct stream_net *n = data;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), TETHER_SEC);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(n->client, ctx, &request, NULL);
  return tether_call_code(call) == TETHER_UNAVAILABLE;
}

static void within_the_grace_of_a_shutdown_open_streams_go_on_and_new_ones_are_refused(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *c = start_both(n, ctx);
  tether_call *s = stream_take(&n->stats);
  struct shutdown shutdown;
  shutdown_start(&shutdown, n, RPC_TEST_BOUND_NS);
  assert_true(tst_wait_until(is_going_away, n, RPC_TEST_BOUND_NS));
  TETHER_SCOPED_CALL tether_call *refused = start_both(n, ctx);
  stream_gets_code(refused, TETHER_UNAVAILABLE);
  for (int i = 0; i < 100; i++) {
    stream_client_sends(c, "still");
    stream_server_gets(s, "still");
    stream_server_sends(s, "here");
    stream_client_gets(c, "here");
  }
  assert_false(tst_latch_is_open(&shutdown.over));
  tether_call_close_send(c);
  stream_gets_end(s);
  stream_finish(s, TETHER_OK, TETHER_OK);
  stream_gets_end(c);
  shutdown_join(&shutdown);
}

static void after_the_grace_of_a_shutdown_open_streams_are_cut(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *c = start_both(n, ctx);
  tether_call *s = stream_take(&n->stats);
  struct shutdown shutdown;
  int64_t before_ns = tst_now_ns();
  shutdown_start(&shutdown, n, 100 * TETHER_MS);
  stream_gets_code(s, TETHER_CANCELLED);
  assert_true(tst_now_ns() - before_ns >= 100 * TETHER_MS);
  stream_finish(s, TETHER_OK, TETHER_UNAVAILABLE);
  stream_gets_code(c, TETHER_UNAVAILABLE);
  shutdown_join(&shutdown);
}

/* ---- Peers that do not read ---------------------------------------------------------------- */

/* Whoever sends to `reader` blocks; others do not; and once it reads, everything comes, in order. */
static void assert_blocks_alone(struct stream_net *n, tether_call *c, tether_call *sender, tether_call *reader,
                                const ProtobufCMessage *message) {
  struct stream_op op;
  stream_op_start(&op, sender, STREAM_SEND_ALL, message);
  assert_true(stream_op_blocks(&op));
  int sent = atomic_load(&op.count);
  assert_others_are_served(n);
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *other = testing_v1_echo_client_chat_start(n->client, ctx, NULL, NULL, NULL);
  for (int i = 0; i < 100; i++) {
    stream_client_sends(other, "other");
    stream_client_gets(other, "hello other");
  }
  assert_int_equal(atomic_load(&op.count), sent);
  for (int i = 0; i < sent + 1000; i++) {
    const ProtobufCMessage *received = NULL;
    assert_int_equal(tether_call_recv(reader, &received), TETHER_OK);
    assert_non_null(received);
    assert_int_equal(protobuf_c_message_get_packed_size(received), protobuf_c_message_get_packed_size(message));
  }
  tether_call_cancel(c, NULL);
  assert_int_equal(stream_op_join(&op), TETHER_CANCELLED);
  assert_true(atomic_load(&op.count) >= sent + 1000);
}

/* A cancel has come to the handler, which then finishes. */
static void finish_cancelled(tether_call *s) {
  assert_int_equal(tether_ctx_wait(tether_call_ctx(s), RPC_TEST_BOUND_NS), TETHER_CANCELLED);
  stream_gets_code(s, TETHER_CANCELLED);
  stream_finish(s, TETHER_OK, TETHER_CANCELLED);
}

static void a_handler_that_does_not_read_blocks_its_own_sender_alone(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *c = start_both(n, ctx);
  tether_call *s = stream_take(&n->stats);
  Testing__V1__Request request = stream_request("unread", BODY);
  assert_blocks_alone(n, c, c, s, &request.base);
  finish_cancelled(s);
}

static void a_client_that_does_not_read_blocks_its_own_handler_alone(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *c = start_both(n, ctx);
  tether_call *s = stream_take(&n->stats);
  Testing__V1__Reply reply = stream_reply("unread", BODY);
  assert_blocks_alone(n, c, s, c, &reply.base);
  finish_cancelled(s);
}

/* ---- What is dropped ----------------------------------------------------------------------- */

/* When a call on the same connection has been answered, what was sent before has arrived. */
static void let_arrive(struct stream_net *n) {
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  for (int i = 0; i < 2; i++) {
    TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(n->client, ctx, &request, NULL);
    rpc_assert_code(call, TETHER_OK);
  }
}

static void a_cancel_drops_what_has_arrived_and_was_not_received(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *c = start_both(n, ctx);
  tether_call *s = stream_take(&n->stats);
  for (int i = 0; i < 3; i++) {
    stream_client_sends(c, "request");
    stream_server_sends(s, "reply");
  }
  stream_client_gets(c, "reply");
  stream_server_gets(s, "request");
  let_arrive(n);
  tether_call_cancel(c, NULL);
  stream_gets_code(c, TETHER_CANCELLED);
  finish_cancelled(s);
}

static void a_lost_connection_leaves_a_client_what_it_has_received(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *c = start_both(n, ctx);
  tether_call *s = stream_take(&n->stats);
  const Testing__V1__Reply *reply = NULL;
  stream_server_sends(s, "kept");
  assert_int_equal(testing_v1_handed_both_recv_reply(c, &reply), TETHER_OK);
  stream_net_break(n);
  assert_int_equal(tether_call_wait(c), TETHER_UNAVAILABLE);
  assert_string_equal(reply->text, "kept"); /* borrowed until the next receive */
  stream_gets_code(c, TETHER_UNAVAILABLE);
  assert_int_equal(tether_ctx_wait(tether_call_ctx(s), RPC_TEST_BOUND_NS), TETHER_CANCELLED);
  stream_finish(s, TETHER_OK, TETHER_UNAVAILABLE); /* as the caller records it */
}

static void a_cancel_after_the_status_came_changes_nothing(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *c = start_both(n, ctx);
  tether_call *s = stream_take(&n->stats);
  stream_server_sends(s, "one");
  stream_server_sends(s, "two");
  stream_finish(s, TETHER_OK, TETHER_OK);
  assert_int_equal(tether_call_wait(c), TETHER_OK);
  tether_call_cancel(c, NULL);
  tether_ctx_cancel(ctx);
  stream_client_gets(c, "one");
  stream_client_gets(c, "two");
  stream_gets_end(c);
}

/* Whatever streams have held when they were cut, or refused by an early status, is free again for those that follow. */
static void cut_streams_give_back_what_they_held(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  Testing__V1__Request request = stream_request("unread", 60000);
  Testing__V1__Reply reply = stream_reply("unread", 60000);
  for (int i = 0; i < CTX_TEST_ROUNDS(400); i++) {
    TETHER_SCOPED_CALL tether_call *c = start_both(n, ctx);
    bool done = true;
    while (done) assert_int_equal(tether_call_try_send(c, &request.base, &done), TETHER_OK);
    tether_call *s = stream_take(&n->stats);
    for (done = true; done;) assert_int_equal(tether_call_try_send(s, &reply.base, &done), TETHER_OK);
    if (i % 2) {
      tether_call_cancel(c, NULL);
      assert_int_equal(tether_ctx_wait(tether_call_ctx(s), RPC_TEST_BOUND_NS), TETHER_CANCELLED);
    }
    stream_finish(s, TETHER_ABORTED, i % 2 ? TETHER_CANCELLED : TETHER_ABORTED);
    const ProtobufCMessage *message = NULL;
    tether_code code;
    while ((code = tether_call_recv(c, &message)) == TETHER_OK) assert_non_null(message);
    assert_int_equal(code, i % 2 ? TETHER_CANCELLED : TETHER_ABORTED);
  }
  assert_others_are_served(n);
  TETHER_SCOPED_CALL tether_call *chat = testing_v1_echo_client_chat_start(n->client, ctx, NULL, NULL, NULL);
  for (int i = 0; i < 50; i++) {
    assert_int_equal(testing_v1_echo_chat_send_request(chat, &request), TETHER_OK);
    stream_client_gets(chat, "hello unread");
  }
}

/* ---- Races --------------------------------------------------------------------------------- */

static void count_end(tether_call *call, void *data) {
  (void)call;
  atomic_fetch_add((atomic_int *)data, 1);
}

static void a_cancel_at_any_moment_ends_a_stream_once_and_is_never_the_end_of_its_messages(void **state) {
  struct stream_net *n = *state;
  enum { N = CTX_TEST_ROUNDS(3000) };
  atomic_int ended = 0;
  int odd = 0;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  Testing__V1__Request request = stream_request("race", 500);
  for (int i = 0; i < N; i++) {
    TETHER_SCOPED_CALL tether_call *c =
        i % 2 ? testing_v1_echo_client_inline_chat_start(n->client, ctx, NULL, count_end, &ended)
              : testing_v1_echo_client_chat_start(n->client, ctx, NULL, count_end, &ended);
    struct stream_op receiver;
    stream_op_start(&receiver, c, STREAM_RECV_ALL, NULL);
    for (int sent = 0; sent < 4; sent++) (void)!testing_v1_echo_chat_send_request(c, &request);
    if (i % 3 == 0) tether_call_close_send(c);
    for (volatile int spin = 0; spin < (i * 7919) % 100000; spin = spin + 1) continue;
    tether_call_cancel(c, NULL);
    tether_code received = stream_op_join(&receiver), code = tether_call_wait(c);
    if (received != code || (code != TETHER_OK && code != TETHER_CANCELLED)) odd++;
    if (code == TETHER_OK && (!receiver.end || atomic_load(&receiver.count) != 4)) odd++;
  }
  assert_int_equal(odd, 0);
  assert_true(rpc_wait_for(&ended, N));
  assert_others_are_served(n);
  assert_int_equal(atomic_load(&ended), N);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, stream_net_setup, stream_net_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(cancelling_the_calls_ends_blocked_sends_and_receives_on_both_sides),
      CASE(cancelling_their_context_ends_blocked_sends_and_receives_on_both_sides),
      CASE(the_deadline_ends_blocked_sends_and_receives_on_both_sides_with_bounded_memory),
      CASE(a_lost_connection_ends_blocked_sends_and_receives_on_both_sides),
      CASE(closing_the_client_ends_blocked_sends_and_receives_on_both_sides),
      CASE(a_shutdown_without_grace_ends_blocked_sends_and_receives_on_both_sides),
      CASE(within_the_grace_of_a_shutdown_open_streams_go_on_and_new_ones_are_refused),
      CASE(after_the_grace_of_a_shutdown_open_streams_are_cut),
      CASE(a_handler_that_does_not_read_blocks_its_own_sender_alone),
      CASE(a_client_that_does_not_read_blocks_its_own_handler_alone),
      CASE(a_cancel_drops_what_has_arrived_and_was_not_received),
      CASE(a_lost_connection_leaves_a_client_what_it_has_received),
      CASE(a_cancel_after_the_status_came_changes_nothing),
      CASE(cut_streams_give_back_what_they_held),
      CASE(a_cancel_at_any_moment_ends_a_stream_once_and_is_never_the_end_of_its_messages),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
