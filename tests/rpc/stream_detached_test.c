/* Streams of detached calls: a handler whose caller has gone waits for nothing any more, and goes on. */
#include "tests/support/stream_test.h"

enum { BODY = 8000 };

static void cancel(struct stream_net *n, tether_call *call) {
  (void)n;
  tether_call_cancel(call, NULL);
}

static void lose(struct stream_net *n, tether_call *call) {
  (void)call;
  stream_net_break(n);
}

typedef void leave_fn(struct stream_net *n, tether_call *call);

static tether_call *start(struct stream_net *n, const tether_ctx *ctx) {
  const tether_call_options options = {.detached_ns = 3600 * TETHER_SEC};
  return testing_v1_handed_client_both_start(n->client, ctx, &options, NULL, NULL);
}

static void assert_goes_on(tether_call *handler) {
  assert_int_equal(tether_ctx_err(tether_call_ctx(handler)), TETHER_OK);
}

static void assert_a_blocked_send_goes_on(struct stream_net *n, leave_fn *leave) {
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *call = start(n, ctx);
  tether_call *handler = stream_take(&n->stats);
  const Testing__V1__Reply reply = stream_reply("unread", BODY);
  struct stream_op send;
  for (bool blocks = false; !blocks;) { /* what is queued moves on to where the client holds it, unread */
    for (bool done = true; done;) assert_int_equal(tether_call_try_send(handler, &reply.base, &done), TETHER_OK);
    stream_op_start(&send, handler, STREAM_SEND, &reply.base);
    blocks = stream_op_blocks(&send);
    if (!blocks) assert_int_equal(stream_op_join(&send), TETHER_OK);
  }
  leave(n, call);
  assert_int_equal(stream_op_join(&send), TETHER_OK);
  for (int i = 0; i < 100; i++) assert_int_equal(tether_call_send(handler, &reply.base), TETHER_OK);
  assert_goes_on(handler);
  stream_finish(handler, TETHER_OK, TETHER_OK);
}

static void a_send_that_waits_for_room_ends_when_the_caller_cancels(void **state) {
  assert_a_blocked_send_goes_on(*state, cancel);
}
static void a_send_that_waits_for_room_ends_when_the_connection_is_lost(void **state) {
  assert_a_blocked_send_goes_on(*state, lose);
}

static void assert_a_blocked_receive_is_told(struct stream_net *n, leave_fn *leave) {
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *call = start(n, ctx);
  tether_call *handler = stream_take(&n->stats);
  struct stream_op receive;
  stream_client_sends(call, "first");
  stream_server_gets(handler, "first");
  stream_op_start(&receive, handler, STREAM_RECV, NULL);
  assert_true(stream_op_blocks(&receive));
  leave(n, call);
  assert_int_equal(stream_op_join(&receive), TETHER_CANCELLED);
  assert_goes_on(handler);
  assert_int_equal(tether_call_send_initial(handler), TETHER_OK);
  stream_finish(handler, TETHER_OK, TETHER_OK);
}

static void a_receive_is_told_that_the_rest_will_not_come_when_the_caller_cancels(void **state) {
  assert_a_blocked_receive_is_told(*state, cancel);
}
static void a_receive_is_told_that_the_rest_will_not_come_when_the_connection_is_lost(void **state) {
  assert_a_blocked_receive_is_told(*state, lose);
}

static void requests_that_are_whole_are_read_to_their_end_without_the_caller(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *call = start(n, ctx);
  tether_call *handler = stream_take(&n->stats);
  stream_client_sends(call, "first");
  stream_client_sends(call, "second");
  tether_call_close_send(call);
  stream_server_gets(handler, "first");
  stream_server_gets(handler, "second");
  stream_gets_end(handler);
  lose(n, call);
  assert_int_equal(tether_call_wait(call), TETHER_UNAVAILABLE);
  stream_gets_end(handler);
  assert_goes_on(handler);
  stream_finish(handler, TETHER_OK, TETHER_OK);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, stream_net_setup, stream_net_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(a_send_that_waits_for_room_ends_when_the_caller_cancels),
      CASE(a_send_that_waits_for_room_ends_when_the_connection_is_lost),
      CASE(a_receive_is_told_that_the_rest_will_not_come_when_the_caller_cancels),
      CASE(a_receive_is_told_that_the_rest_will_not_come_when_the_connection_is_lost),
      CASE(requests_that_are_whole_are_read_to_their_end_without_the_caller),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
