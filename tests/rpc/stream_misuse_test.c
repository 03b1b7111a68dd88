/* Streams used in the wrong way, at the API and on the wire: what cannot be is refused with a code that says so, costs
 * its own call alone, and never looks like the end of the messages. */
#include <string.h>

#include "rpc/client.h"
#include "rpc/server.h"
#include "tests/support/mem_peer.h"
#include "tests/support/stream_test.h"

static int setup(void **state) { return stream_net_setup(state); }

static void assert_others_are_served(struct stream_net *n) {
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  Testing__V1__Request request = stream_request("other", 0);
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(n->client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_OK);
}

static tether_call *start_both(struct stream_net *n, const tether_ctx *ctx) {
  return testing_v1_handed_client_both_start(n->client, ctx, NULL, NULL, NULL);
}

/* ---- Directions ---------------------------------------------------------------------------- */

/* In every form: neither blocks, and neither is done by halves. */
static void assert_cannot_recv(tether_call *call) {
  const ProtobufCMessage *message = NULL;
  bool done = false;
  assert_int_equal(tether_call_recv(call, &message), TETHER_FAILED_PRECONDITION);
  assert_int_equal(tether_call_try_recv(call, &message, &done), TETHER_FAILED_PRECONDITION);
  assert_true(done);
  assert_null(message);
}

static void assert_cannot_send(tether_call *call, const ProtobufCMessage *message) {
  bool done = false;
  assert_int_equal(tether_call_send(call, message), TETHER_FAILED_PRECONDITION);
  assert_int_equal(tether_call_try_send(call, message, &done), TETHER_FAILED_PRECONDITION);
  assert_true(done);
}

static void unary_calls_have_no_streams(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  Testing__V1__Request request = stream_request("unary", 0);
  Testing__V1__Reply reply = stream_reply("unary", 0);
  TETHER_SCOPED_CALL tether_call *c = testing_v1_handed_client_unary_start(n->client, ctx, &request, NULL, NULL, NULL);
  tether_call *s = stream_take(&n->stats);
  assert_cannot_recv(c);
  assert_cannot_send(c, &request.base);
  tether_call_close_send(c);
  assert_cannot_recv(s);
  assert_cannot_send(s, &reply.base);
  assert_int_equal(tether_call_send_initial(s), TETHER_FAILED_PRECONDITION);
  stream_finish(s, TETHER_OK, TETHER_OK);
  assert_int_equal(tether_call_wait(c), TETHER_OK);
  assert_cannot_recv(c);
  assert_cannot_send(c, &request.base);
}

static void a_method_streams_only_in_the_directions_it_declares(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  Testing__V1__Request request = stream_request("one", 0);
  Testing__V1__Reply reply = stream_reply("one", 0);
  TETHER_SCOPED_CALL tether_call *up = testing_v1_handed_client_up_start(n->client, ctx, NULL, NULL, NULL);
  tether_call *up_s = stream_take(&n->stats);
  assert_cannot_recv(up);
  assert_cannot_send(up_s, &reply.base);
  stream_finish(up_s, TETHER_OK, TETHER_OK);
  assert_int_equal(tether_call_wait(up), TETHER_OK);
  TETHER_SCOPED_CALL tether_call *down =
      testing_v1_handed_client_down_start(n->client, ctx, &request, NULL, NULL, NULL);
  tether_call *down_s = stream_take(&n->stats);
  assert_cannot_send(down, &request.base);
  tether_call_close_send(down);
  assert_cannot_recv(down_s);
  assert_int_equal(tether_call_send(down_s, &reply.base), TETHER_OK);
  stream_finish(down_s, TETHER_OK, TETHER_OK);
  stream_client_gets(down, "one");
  stream_gets_end(down);
}

static void each_side_has_its_own_functions_for_initial_metadata(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *c = start_both(n, ctx);
  tether_call *s = stream_take(&n->stats);
  assert_int_equal(tether_call_send_initial(c), TETHER_FAILED_PRECONDITION);
  assert_int_equal(tether_call_wait_initial(s), TETHER_FAILED_PRECONDITION);
  tether_call_close_send(s);
  stream_server_sends(s, "still open");
  stream_client_gets(c, "still open");
  stream_finish(s, TETHER_OK, TETHER_OK);
  stream_gets_end(c);
}

static void a_request_where_the_client_streams_and_none_where_it_does_not_are_refused(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  Testing__V1__Request request = stream_request("wrong", 0);
  const tether_method *with[] = {&testing_v1_handed_both_method, &testing_v1_handed_up_method};
  const tether_method *without[] = {&testing_v1_handed_down_method, &testing_v1_handed_unary_method};
  for (int i = 0; i < 2; i++) {
    TETHER_SCOPED_CALL tether_call *first = tether_call_start(n->client, ctx, with[i], &request.base, NULL, NULL, NULL);
    assert_int_equal(tether_call_wait(first), TETHER_INVALID_ARGUMENT);
    TETHER_SCOPED_CALL tether_call *second = tether_call_start(n->client, ctx, without[i], NULL, NULL, NULL, NULL);
    assert_int_equal(tether_call_wait(second), TETHER_INVALID_ARGUMENT);
  }
  assert_others_are_served(n);
  assert_int_equal(atomic_load(&n->stats.handed), 0);
}

static void a_call_that_has_ended_neither_sends_nor_receives(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *c = start_both(n, ctx);
  tether_call *s = tether_call_ref(stream_take(&n->stats));
  Testing__V1__Request request = stream_request("late", 0);
  Testing__V1__Reply reply = stream_reply("late", 0);
  stream_client_sends(c, "unread");
  stream_finish(s, TETHER_OK, TETHER_OK);
  stream_gets_end(c);
  assert_cannot_send(c, &request.base);
  assert_int_not_equal(tether_call_send(s, &reply.base), TETHER_OK);
  assert_int_not_equal(tether_call_send_initial(s), TETHER_OK);
  assert_int_equal(tether_call_add_trailer(s, "x-trailing", "late", 4), TETHER_FAILED_PRECONDITION);
  const ProtobufCMessage *message = NULL;
  assert_int_not_equal(tether_call_recv(s, &message), TETHER_OK);
  tether_call_unref(s);
}

/* ---- Messages that do not parse ------------------------------------------------------------ */

static Testing__V1__Mistake mistake(void) {
  Testing__V1__Mistake made = TESTING__V1__MISTAKE__INIT;
  made.name = 1;
  return made;
}

static void a_malformed_request_ends_what_can_be_received_with_internal(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *c = start_both(n, ctx);
  tether_call *s = stream_take(&n->stats);
  Testing__V1__Mistake bad = mistake();
  stream_client_sends(c, "good");
  assert_int_equal(tether_call_send(c, &bad.base), TETHER_OK);
  stream_client_sends(c, "good, but too late");
  tether_call_close_send(c);
  stream_server_gets(s, "good");
  stream_gets_code(s, TETHER_INTERNAL);
  stream_server_sends(s, "a last word");
  stream_finish(s, TETHER_INTERNAL, TETHER_INTERNAL);
  stream_client_gets(c, "a last word");
  stream_gets_code(c, TETHER_INTERNAL);
  assert_int_not_equal(strlen(tether_call_message(c)), 0);
  assert_others_are_served(n);
}

static void a_handler_that_returns_the_code_of_a_malformed_request_tells_its_client_why(void **state) {
  struct stream_net *n = *state;
  typedef tether_call *(*start_fn)(tether_client *, const tether_ctx *, const tether_call_options *,
                                   tether_call_done_fn, void *);
  static const start_fn starts[] = {testing_v1_echo_client_chat_start, testing_v1_echo_client_inline_chat_start,
                                    testing_v1_echo_client_later_chat_start, testing_v1_echo_client_upload_start};
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  Testing__V1__Mistake bad = mistake();
  for (int i = 0; i < 4; i++) {
    TETHER_SCOPED_CALL tether_call *c = starts[i](n->client, ctx, NULL, NULL, NULL);
    assert_int_equal(tether_call_send(c, &bad.base), TETHER_OK);
    assert_int_equal(tether_call_wait(c), TETHER_INTERNAL);
    assert_int_not_equal(strlen(tether_call_message(c)), 0);
  }
}

static void a_malformed_reply_ends_the_call_with_internal(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *c = start_both(n, ctx);
  tether_call *s = stream_take(&n->stats);
  Testing__V1__Mistake bad = mistake();
  stream_server_sends(s, "good");
  assert_int_equal(tether_call_send(s, &bad.base), TETHER_OK);
  stream_server_sends(s, "good, but too late");
  stream_client_gets(c, "good");
  stream_gets_code(c, TETHER_INTERNAL);
  rpc_assert_code(c, TETHER_INTERNAL);
  assert_int_equal(tether_ctx_wait(tether_call_ctx(s), RPC_TEST_BOUND_NS), TETHER_CANCELLED); /* it need not go on */
  stream_finish(s, TETHER_OK, TETHER_CANCELLED);
  assert_others_are_served(n);
}

static void a_malformed_reply_before_an_ok_status_is_not_the_end(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *c = start_both(n, ctx);
  tether_call *s = stream_take(&n->stats);
  Testing__V1__Mistake bad = mistake();
  stream_server_sends(s, "good");
  assert_int_equal(tether_call_send(s, &bad.base), TETHER_OK);
  stream_finish(s, TETHER_OK, TETHER_OK);
  tether_call_wait(c); /* the status has come before anybody looked at the messages */
  stream_client_gets(c, "good");
  stream_gets_code(c, TETHER_INTERNAL);
}

/* ---- Messages that are too large ----------------------------------------------------------- */

enum { LIMIT = 5000 };

static int setup_small_limits(void **state) {
  static const tether_server_options server = {.limits = {.max_message_bytes = LIMIT}};
  static const tether_client_options client = {.limits = {.max_message_bytes = LIMIT}};
  return stream_net_open(state, false, &server, &client);
}

static void a_message_larger_than_the_peer_takes_is_not_sent_and_the_stream_goes_on(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *c = start_both(n, ctx);
  tether_call *s = stream_take(&n->stats);
  Testing__V1__Request request = stream_request("large", LIMIT);
  Testing__V1__Reply reply = stream_reply("large", LIMIT);
  bool done = false;
  assert_int_equal(tether_call_send(c, &request.base), TETHER_RESOURCE_EXHAUSTED);
  assert_int_equal(tether_call_try_send(c, &request.base, &done), TETHER_RESOURCE_EXHAUSTED);
  assert_true(done);
  assert_int_equal(tether_call_send(s, &reply.base), TETHER_RESOURCE_EXHAUSTED);
  stream_client_sends(c, "small");
  stream_server_gets(s, "small");
  stream_server_sends(s, "small");
  stream_client_gets(c, "small");
  request.body.len = reply.body.len = LIMIT - (protobuf_c_message_get_packed_size(&request.base) - LIMIT);
  assert_int_equal(protobuf_c_message_get_packed_size(&request.base), LIMIT);
  assert_int_equal(tether_call_send(c, &request.base), TETHER_OK);
  assert_int_equal(tether_call_send(s, &reply.base), TETHER_OK);
  stream_server_gets(s, "large");
  stream_client_gets(c, "large");
  stream_finish(s, TETHER_OK, TETHER_OK);
  stream_gets_end(c);
}

/* Empty strings cost two bytes each on the wire and a pointer and a byte unpacked. */
static void a_message_that_unfolds_into_too_much_is_resource_exhausted(void **state) {
  struct stream_net *n = *state;
  enum { N = LIMIT / 2 };
  static char *targets[N];
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *c = start_both(n, ctx);
  tether_call *s = stream_take(&n->stats);
  for (int i = 0; i < N; i++) targets[i] = (char *)"";
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.targets = targets;
  request.n_targets = N;
  stream_client_sends(c, "small");
  assert_int_equal(testing_v1_handed_both_send_request(c, &request), TETHER_OK);
  stream_server_gets(s, "small");
  stream_gets_code(s, TETHER_RESOURCE_EXHAUSTED);
  stream_finish(s, TETHER_RESOURCE_EXHAUSTED, TETHER_RESOURCE_EXHAUSTED);
  stream_gets_code(c, TETHER_RESOURCE_EXHAUSTED);
  assert_others_are_served(n);
}

/* ---- A peer that keeps no rules ------------------------------------------------------------ */

#define BOTH "/testing.v1.Handed/Both"
#define DOWN "/testing.v1.Handed/Down"

static const uint8_t five_mib[] = {0, 0x50, 0, 0, 'x'}; /* the first slice of so much */

static tst_mem_peer peer; /* a client of which nothing is known */

static int setup_manual(void **state) { return stream_net_open(state, true, NULL, NULL); }

static int teardown_manual(void **state) {
  struct stream_net *n = *state;
  echo_finish_rest(&n->stats);
  tst_mem_peer_fini(&peer); /* of a test that failed */
  tst_link_mem_pump(n->net);
  while (n->link) {
    stream_net_break(n);
    tst_link_mem_pump(n->net);
  }
  return stream_net_teardown(state);
}

/* Connects it, greeted. */
static void peer_dial(tst_frames *frames, struct stream_net *n) {
  assert_true(tst_mem_peer_dial(&peer, n->net, "mem://s"));
  tst_frames_hello(frames, 0);
}

static void add_request(tst_frames *frames, uint32_t stream, uint8_t flags, const char *name) {
  Testing__V1__Request request = stream_request(name, 0);
  tst_frames_add(frames, TTH_MESSAGE, flags, stream, &request.base);
}

static void a_request_over_the_limit_amid_a_stream_is_resource_exhausted_at_the_handler(void **state) {
  struct stream_net *n = *state;
  tst_frames frames = {0};
  peer_dial(&frames, n);
  tst_frames_headers(&frames, 1, BOTH, TETHER_FOREVER);
  add_request(&frames, 1, 0, "good");
  tst_frames_raw(&frames, TTH_MESSAGE, TTH_FLAG_FIRST | TTH_FLAG_MORE, 1, five_mib, sizeof five_mib);
  tst_mem_peer_say_frames(&peer, &frames);
  tether_call *s = stream_take(&n->stats);
  stream_server_gets(s, "good");
  stream_gets_code(s, TETHER_RESOURCE_EXHAUSTED);
  stream_finish(s, TETHER_RESOURCE_EXHAUSTED, TETHER_RESOURCE_EXHAUSTED);
  tst_link_mem_pump(n->net);
  assert_int_equal(tst_mem_peer_code(&peer, 1), TETHER_RESOURCE_EXHAUSTED);
  assert_false(peer.closed);
  tst_mem_peer_fini(&peer);
  tst_frames_fini(&frames);
}

static void none_or_two_requests_where_the_client_does_not_stream_are_internal(void **state) {
  struct stream_net *n = *state;
  tst_frames frames = {0};
  peer_dial(&frames, n);
  tst_frames_headers(&frames, 1, DOWN, TETHER_FOREVER);
  tst_frames_raw(&frames, TTH_MESSAGE, TTH_FLAG_END | TTH_FLAG_BARE, 1, NULL, 0);
  tst_frames_headers(&frames, 2, DOWN, TETHER_FOREVER);
  add_request(&frames, 2, 0, "first");
  add_request(&frames, 2, TTH_FLAG_END, "second");
  tst_mem_peer_say_frames(&peer, &frames);
  assert_int_equal(tst_mem_peer_code(&peer, 1), TETHER_INTERNAL);
  assert_int_equal(tst_mem_peer_code(&peer, 2), TETHER_INTERNAL);
  assert_int_equal(atomic_load(&n->stats.handed), 0);
  assert_false(peer.closed);
  tst_mem_peer_fini(&peer);
  tst_frames_fini(&frames);
}

/* A client of a server that the test plays. */
struct raw_server {
  tst_mem_peer peer;
  tst_frames frames;
  tether_client *client;
};

static void raw_server_open(struct raw_server *r, struct stream_net *n) {
  *r = (struct raw_server){.client = NULL};
  assert_true(tst_mem_peer_listen(&r->peer, n->net, "mem://raw"));
  assert_int_equal(tth_client_open_on(&tst_transport_mem, "mem://raw", NULL, &r->client), TETHER_OK);
  tst_link_mem_pump(n->net);
  tst_frames_hello(&r->frames, 100);
}

static void raw_server_close(struct raw_server *r) {
  tst_mem_peer_fini(&r->peer);
  tether_client_close(r->client);
  tst_frames_fini(&r->frames);
}

static void add_reply(tst_frames *frames, uint32_t stream, uint8_t flags, const char *text) {
  Testing__V1__Reply reply = stream_reply(text, 0);
  tst_frames_add(frames, TTH_MESSAGE, flags, stream, &reply.base);
}

static void a_reply_over_the_limit_amid_a_stream_is_resource_exhausted_at_the_client(void **state) {
  struct stream_net *n = *state;
  struct raw_server r;
  raw_server_open(&r, n);
  tst_mem_peer_say_frames(&r.peer, &r.frames);
  TETHER_SCOPED_CALL tether_call *c =
      testing_v1_handed_client_both_start(r.client, tether_ctx_background(), NULL, NULL, NULL);
  add_reply(&r.frames, 1, 0, "good");
  tst_mem_peer_say_frames(&r.peer, &r.frames);
  stream_client_gets(c, "good");
  tst_frames_raw(&r.frames, TTH_MESSAGE, TTH_FLAG_FIRST | TTH_FLAG_MORE, 1, five_mib, sizeof five_mib);
  tst_mem_peer_say_frames(&r.peer, &r.frames);
  stream_gets_code(c, TETHER_RESOURCE_EXHAUSTED);
  assert_false(r.peer.closed);
  raw_server_close(&r);
}

static void two_replies_or_ok_without_one_where_the_server_does_not_stream_are_internal(void **state) {
  struct stream_net *n = *state;
  struct raw_server r;
  raw_server_open(&r, n);
  tst_mem_peer_say_frames(&r.peer, &r.frames);
  TETHER_SCOPED_CALL tether_call *two =
      testing_v1_handed_client_up_start(r.client, tether_ctx_background(), NULL, NULL, NULL);
  TETHER_SCOPED_CALL tether_call *none =
      testing_v1_handed_client_up_start(r.client, tether_ctx_background(), NULL, NULL, NULL);
  tst_link_mem_pump(n->net);
  add_reply(&r.frames, 1, 0, "first");
  add_reply(&r.frames, 1, 0, "second");
  tst_frames_trailers(&r.frames, 2, TETHER_OK);
  tst_mem_peer_say_frames(&r.peer, &r.frames);
  rpc_assert_code(two, TETHER_INTERNAL);
  rpc_assert_code(none, TETHER_INTERNAL);
  assert_false(r.peer.closed);
  raw_server_close(&r);
}

/* gRPC's settable once: a server that sends initial metadata again, or after a message, has broken the call. */
static void initial_metadata_twice_or_after_a_message_are_internal(void **state) {
  struct stream_net *n = *state;
  struct raw_server r;
  raw_server_open(&r, n);
  tst_mem_peer_say_frames(&r.peer, &r.frames);
  TETHER_SCOPED_CALL tether_call *twice =
      testing_v1_handed_client_both_start(r.client, tether_ctx_background(), NULL, NULL, NULL);
  TETHER_SCOPED_CALL tether_call *late =
      testing_v1_handed_client_both_start(r.client, tether_ctx_background(), NULL, NULL, NULL);
  tst_link_mem_pump(n->net);
  tst_frames_raw(&r.frames, TTH_HEADERS, 0, 1, NULL, 0);
  tst_frames_raw(&r.frames, TTH_HEADERS, 0, 1, NULL, 0);
  add_reply(&r.frames, 2, 0, "first");
  tst_frames_raw(&r.frames, TTH_HEADERS, 0, 2, NULL, 0);
  tst_mem_peer_say_frames(&r.peer, &r.frames);
  rpc_assert_code(twice, TETHER_INTERNAL);
  rpc_assert_code(late, TETHER_INTERNAL);
  assert_false(r.peer.closed);
  raw_server_close(&r);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, stream_net_teardown)
#define CASE_SMALL_LIMITS(name) cmocka_unit_test_setup_teardown(name, setup_small_limits, stream_net_teardown)
#define CASE_RAW(name) cmocka_unit_test_setup_teardown(name, setup_manual, teardown_manual)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(unary_calls_have_no_streams),
      CASE(a_method_streams_only_in_the_directions_it_declares),
      CASE(each_side_has_its_own_functions_for_initial_metadata),
      CASE(a_request_where_the_client_streams_and_none_where_it_does_not_are_refused),
      CASE(a_call_that_has_ended_neither_sends_nor_receives),
      CASE(a_malformed_request_ends_what_can_be_received_with_internal),
      CASE(a_handler_that_returns_the_code_of_a_malformed_request_tells_its_client_why),
      CASE(a_malformed_reply_ends_the_call_with_internal),
      CASE(a_malformed_reply_before_an_ok_status_is_not_the_end),
      CASE_SMALL_LIMITS(a_message_larger_than_the_peer_takes_is_not_sent_and_the_stream_goes_on),
      CASE_SMALL_LIMITS(a_message_that_unfolds_into_too_much_is_resource_exhausted),
      CASE_RAW(a_request_over_the_limit_amid_a_stream_is_resource_exhausted_at_the_handler),
      CASE_RAW(none_or_two_requests_where_the_client_does_not_stream_are_internal),
      CASE_RAW(a_reply_over_the_limit_amid_a_stream_is_resource_exhausted_at_the_client),
      CASE_RAW(two_replies_or_ok_without_one_where_the_server_does_not_stream_are_internal),
      CASE_RAW(initial_metadata_twice_or_after_a_message_are_internal),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
