/* The deadline of a stream passes in each phase of it. Whatever the phase, both sides record DEADLINE_EXCEEDED with the
 * same cause, what blocks returns, metadata that have come stay, and there are no trailers. In memory and in virtual
 * time; the test is the handler. */
#include <string.h>

#include "rpc/server.h"
#include "tests/support/ctx_sim.h"
#include "tests/support/stream_test.h"

static struct stream_net *n;

/* Moves both times on. */
static void move(int64_t ns) {
  ctx_sim_advance(ns);
  tst_link_mem_advance(n->net, tether_now_ns());
}
static void pump(void) { move(0); }

static int open_with(void **state, const tether_server_options *options) {
  if (ctx_sim_setup(state) != 0 || stream_net_open(state, true, options, NULL) != 0) return -1;
  n = *state;
  return 0;
}

static int setup(void **state) { return open_with(state, NULL); }

static int setup_one_stream(void **state) {
  static const tether_server_options options = {.limits = {.max_streams = 1}};
  return open_with(state, &options);
}

static bool is_idle(void *data) {
  (void)data;
  pump();
  return tth_server_calls(n->server) == 0;
}

static int teardown(void **state) {
  echo_finish_rest(&n->stats);
  bool idle = tst_wait_until(is_idle, NULL, RPC_TEST_BOUND_NS);
  while (n->link) { /* one that lasted is replaced at once */
    stream_net_break(n);
    pump();
  }
  return stream_net_teardown(state) == 0 && ctx_sim_teardown(state) == 0 && idle ? 0 : -1;
}

/* ---- Steps --------------------------------------------------------------------------------- */

#define TIMEOUT_NS TETHER_SEC

static tether_call *start_with(int64_t timeout_ns) {
  return testing_v1_handed_client_both_start(n->client, tether_ctx_background(),
                                             &(tether_call_options){.timeout_ns = timeout_ns, .reserve_ns = -1}, NULL,
                                             NULL);
}

static tether_call *start(void) {
  tether_call *c = start_with(TIMEOUT_NS);
  pump();
  return c;
}

static void assert_running(tether_call *call) { assert_int_equal(tether_ctx_err(tether_call_ctx(call)), TETHER_OK); }

/* Up to the deadline nothing ends, with it everything does. */
static void pass_deadline(tether_call *c, tether_call *s) {
  move(TIMEOUT_NS - 1);
  assert_running(c);
  if (s) assert_running(s);
  move(1);
}

static void assert_client_expired(tether_call *c) {
  rpc_assert_code(c, TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(tether_cause_get_code(tether_call_cause(c)), TETHER_CAUSE_DEADLINE);
  assert_int_equal(tether_metadata_count(tether_call_trailers(c)), 0);
  stream_gets_code(c, TETHER_DEADLINE_EXCEEDED);
  Testing__V1__Request request = stream_request("late", 0);
  assert_int_equal(tether_call_send(c, &request.base), TETHER_DEADLINE_EXCEEDED);
}

/* Also takes the call's end to the client, which no longer cares. */
static void assert_handler_expired(tether_call *s) {
  const tether_ctx *ctx = tether_call_ctx(s);
  assert_int_equal(tether_ctx_err(ctx), TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(tether_cause_get_code(tether_ctx_cause(ctx)), TETHER_CAUSE_DEADLINE);
  stream_gets_code(s, TETHER_DEADLINE_EXCEEDED);
  Testing__V1__Reply reply = stream_reply("late", 0);
  assert_int_equal(tether_call_send(s, &reply.base), TETHER_DEADLINE_EXCEEDED);
  stream_finish(s, TETHER_OK, TETHER_DEADLINE_EXCEEDED);
  pump();
}

static void assert_both_expired(tether_call *c, tether_call *s) {
  assert_client_expired(c);
  assert_handler_expired(s);
  rpc_assert_code(c, TETHER_DEADLINE_EXCEEDED);
}

/* ---- Before the server knows of it --------------------------------------------------------- */

static void while_it_waits_for_a_connection(void **state) {
  (void)state;
  tst_mem_net_unreachable(n->net, true);
  tether_call_options options = {.timeout_ns = TIMEOUT_NS, .wait_for_ready = true};
  TETHER_SCOPED_CALL tether_call *c =
      testing_v1_handed_client_both_start(n->client, tether_ctx_background(), &options, NULL, NULL);
  struct stream_op sender, receiver, waiter;
  Testing__V1__Request request = stream_request("never sent", 0);
  stream_op_start(&sender, c, STREAM_SEND_ALL, &request.base);
  stream_op_start(&receiver, c, STREAM_RECV, NULL);
  stream_op_start(&waiter, c, STREAM_WAIT_INITIAL, NULL);
  assert_true(stream_op_blocks(&sender));
  assert_true(stream_op_blocks(&receiver));
  assert_true(stream_op_blocks(&waiter));
  pass_deadline(c, NULL);
  assert_int_equal(stream_op_join(&sender), TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(stream_op_join(&receiver), TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(stream_op_join(&waiter), TETHER_DEADLINE_EXCEEDED);
  assert_client_expired(c);
  tst_mem_net_unreachable(n->net, false);
  move(200 * TETHER_SEC);
  assert_int_equal(tether_client_connectivity(n->client), TETHER_READY);
  assert_int_equal(atomic_load(&n->stats.handed), 0);
}

static void while_it_is_queued_for_a_stream_at_the_servers_limit(void **state) {
  (void)state; /* which is one */
  TETHER_SCOPED_CALL tether_call *first = start_with(TETHER_FOREVER);
  pump();
  tether_call *first_s = stream_take(&n->stats);
  TETHER_SCOPED_CALL tether_call *c = start();
  struct stream_op sender;
  Testing__V1__Request request = stream_request("never sent", 10000);
  stream_op_start(&sender, c, STREAM_SEND_ALL, &request.base);
  assert_true(stream_op_blocks(&sender));
  pass_deadline(c, NULL);
  assert_int_equal(stream_op_join(&sender), TETHER_DEADLINE_EXCEEDED);
  assert_client_expired(c);
  stream_finish(first_s, TETHER_OK, TETHER_OK);
  pump();
  stream_gets_end(first);
  assert_int_equal(atomic_load(&n->stats.handed), 1);
}

/* The request and the end of it arrive together: a handler that begins all the same finds its context ended. */
static bool is_idle_or_finishes(void *data) {
  if (atomic_load(&n->stats.handed) > atomic_load(&n->stats.handed_taken)) {
    tether_call *s = stream_take(&n->stats);
    assert_int_not_equal(tether_ctx_err(tether_call_ctx(s)), TETHER_OK);
    stream_gets_code(s, TETHER_DEADLINE_EXCEEDED); /* the caller's, though here no timer has run out */
    stream_finish(s, TETHER_OK, TETHER_DEADLINE_EXCEEDED);
  }
  return is_idle(data);
}

static void while_the_request_is_on_its_way(void **state) {
  (void)state;
  pump();
  tst_mem_hold(n->link, true);
  TETHER_SCOPED_CALL tether_call *c = start();
  pass_deadline(c, NULL);
  assert_client_expired(c);
  tst_mem_hold(n->link, false);
  pump();
  assert_true(tst_wait_until(is_idle_or_finishes, NULL, RPC_TEST_BOUND_NS));
  rpc_assert_code(c, TETHER_DEADLINE_EXCEEDED);
}

/* ---- While the handler runs ---------------------------------------------------------------- */

static void before_the_initial_metadata(void **state) {
  (void)state;
  TETHER_SCOPED_CALL tether_call *c = start();
  tether_call *s = stream_take(&n->stats);
  struct stream_op waiter;
  stream_op_start(&waiter, c, STREAM_WAIT_INITIAL, NULL);
  assert_true(stream_op_blocks(&waiter));
  pass_deadline(c, s);
  assert_int_equal(stream_op_join(&waiter), TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(tether_metadata_count(tether_call_initial_metadata(c)), 0);
  assert_both_expired(c, s);
}

static void after_the_initial_metadata_which_stay(void **state) {
  (void)state;
  TETHER_SCOPED_CALL tether_call *c = start();
  tether_call *s = stream_take(&n->stats);
  assert_int_equal(tether_call_add_initial(s, "x-initial", "seen", 4), TETHER_OK);
  assert_int_equal(tether_call_add_trailer(s, "x-trailing", "never", 5), TETHER_OK);
  assert_int_equal(tether_call_send_initial(s), TETHER_OK);
  pump();
  assert_int_equal(tether_call_wait_initial(c), TETHER_OK);
  pass_deadline(c, s);
  assert_both_expired(c, s);
  assert_int_equal(tether_call_wait_initial(c), TETHER_OK);
  assert_string_equal(tether_metadata_get(tether_call_initial_metadata(c), "x-initial", NULL), "seen");
}

static void amid_messages_of_which_the_unread_are_dropped(void **state) {
  (void)state;
  TETHER_SCOPED_CALL tether_call *c = start();
  tether_call *s = stream_take(&n->stats);
  for (int i = 0; i < 3; i++) {
    stream_client_sends(c, "request");
    stream_server_sends(s, "reply");
  }
  pump();
  stream_server_gets(s, "request");
  const Testing__V1__Reply *reply = NULL;
  assert_int_equal(testing_v1_handed_both_recv_reply(c, &reply), TETHER_OK);
  pass_deadline(c, s);
  assert_string_equal(reply->text, "reply"); /* what was received stays */
  assert_both_expired(c, s);
}

static void while_both_sides_wait_for_messages(void **state) {
  (void)state;
  TETHER_SCOPED_CALL tether_call *c = start();
  tether_call *s = stream_take(&n->stats);
  struct stream_op client, server;
  stream_op_start(&client, c, STREAM_RECV, NULL);
  stream_op_start(&server, s, STREAM_RECV, NULL);
  assert_true(stream_op_blocks(&client));
  assert_true(stream_op_blocks(&server));
  pass_deadline(c, s);
  assert_int_equal(stream_op_join(&client), TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(stream_op_join(&server), TETHER_DEADLINE_EXCEEDED);
  assert_false(client.end || server.end);
  assert_both_expired(c, s);
}

static void while_both_sides_wait_for_room_to_send(void **state) {
  (void)state;
  TETHER_SCOPED_CALL tether_call *c = start();
  tether_call *s = stream_take(&n->stats);
  struct stream_op client, server;
  Testing__V1__Request request = stream_request("unread", 60000);
  Testing__V1__Reply reply = stream_reply("unread", 60000);
  bool done = true;
  while (done) assert_int_equal(tether_call_try_send(c, &request.base, &done), TETHER_OK);
  for (done = true; done;) assert_int_equal(tether_call_try_send(s, &reply.base, &done), TETHER_OK);
  stream_op_start(&client, c, STREAM_SEND_ALL, &request.base);
  stream_op_start(&server, s, STREAM_SEND_ALL, &reply.base);
  pump();
  assert_true(stream_op_blocks(&client));
  assert_true(stream_op_blocks(&server));
  pass_deadline(c, s);
  assert_int_equal(stream_op_join(&client), TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(stream_op_join(&server), TETHER_DEADLINE_EXCEEDED);
  assert_both_expired(c, s);
}

/* A message that needs more than the window is half there. */
static void in_the_middle_of_a_long_message(void **state) {
  (void)state;
  enum { LONG = 1 << 20 };
  TETHER_SCOPED_CALL tether_call *c = start();
  tether_call *s = stream_take(&n->stats);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.body = (ProtobufCBinaryData){.data = test_calloc(1, LONG), .len = LONG};
  tst_mem_room(n->link, 0); /* a batch at a time */
  uint64_t before = tst_mem_stats_of(tst_mem_other_end(n->link)).bytes_received;
  assert_int_equal(testing_v1_handed_both_send_request(c, &request), TETHER_OK);
  while (tst_mem_stats_of(tst_mem_other_end(n->link)).bytes_received - before < LONG / 4)
    assert_true(tst_link_mem_step(n->net));
  tst_mem_hold(n->link, true);
  ctx_sim_advance(TIMEOUT_NS);
  assert_client_expired(c);
  tst_mem_hold(n->link, false);
  pump();
  assert_handler_expired(s);
  test_free(request.body.data);
}

static void when_the_client_has_half_closed(void **state) {
  (void)state;
  TETHER_SCOPED_CALL tether_call *c = start();
  tether_call *s = stream_take(&n->stats);
  stream_client_sends(c, "last");
  tether_call_close_send(c);
  pump();
  stream_server_gets(s, "last");
  stream_gets_end(s); /* seen before the deadline, and no more after it */
  pass_deadline(c, s);
  rpc_assert_code(c, TETHER_DEADLINE_EXCEEDED);
  stream_gets_code(c, TETHER_DEADLINE_EXCEEDED);
  assert_handler_expired(s);
}

static void after_the_last_message_before_the_status(void **state) {
  (void)state;
  TETHER_SCOPED_CALL tether_call *c = start();
  tether_call *s = stream_take(&n->stats);
  stream_server_sends(s, "all there is");
  pump();
  stream_client_gets(c, "all there is");
  tst_mem_hold(tst_mem_other_end(n->link), true);
  stream_finish(s, TETHER_OK, TETHER_OK); /* in time, but the client will not hear of it in time */
  pass_deadline(c, NULL);
  tst_mem_hold(tst_mem_other_end(n->link), false);
  pump();
  assert_client_expired(c);
}

static void after_the_status_when_it_changes_nothing(void **state) {
  (void)state;
  TETHER_SCOPED_CALL tether_call *c = start();
  tether_call *s = stream_take(&n->stats);
  stream_server_sends(s, "one");
  assert_int_equal(tether_call_add_trailer(s, "x-trailing", "kept", 4), TETHER_OK);
  stream_finish(s, TETHER_OK, TETHER_OK);
  pump();
  move(2 * TIMEOUT_NS);
  rpc_assert_code(c, TETHER_OK);
  stream_client_gets(c, "one");
  stream_gets_end(c);
  assert_string_equal(tether_metadata_get(tether_call_trailers(c), "x-trailing", NULL), "kept");
}

/* One deadline for the whole life of a stream: messages do not put it off. */
static void however_busy_the_stream_is(void **state) {
  (void)state;
  TETHER_SCOPED_CALL tether_call *c = start();
  tether_call *s = stream_take(&n->stats);
  for (int i = 0; i < 99; i++) {
    stream_client_sends(c, "ping");
    pump();
    stream_server_gets(s, "ping");
    stream_server_sends(s, "pong");
    move(TIMEOUT_NS / 100);
    stream_client_gets(c, "pong");
  }
  move(TIMEOUT_NS / 100);
  assert_both_expired(c, s);
}

#define CASE(name) \
  { "the deadline passes " #name, name, setup, teardown, NULL }

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(while_it_waits_for_a_connection),
      {"the deadline passes while_it_is_queued_for_a_stream_at_the_servers_limit",
       while_it_is_queued_for_a_stream_at_the_servers_limit, setup_one_stream, teardown, NULL},
      CASE(while_the_request_is_on_its_way),
      CASE(before_the_initial_metadata),
      CASE(after_the_initial_metadata_which_stay),
      CASE(amid_messages_of_which_the_unread_are_dropped),
      CASE(while_both_sides_wait_for_messages),
      CASE(while_both_sides_wait_for_room_to_send),
      CASE(in_the_middle_of_a_long_message),
      CASE(when_the_client_has_half_closed),
      CASE(after_the_last_message_before_the_status),
      CASE(after_the_status_when_it_changes_nothing),
      CASE(however_busy_the_stream_is),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
