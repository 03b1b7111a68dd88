/* Streams over a real socket, while nothing goes wrong: order, half-close, metadata, trailers, statuses, sizes, many at
 * once. What cuts them is in stream_cut_test.c, deadlines are in stream_deadline_test.c. */
#include <stdio.h>
#include <string.h>

#include "tests/support/ctx_test.h"
#include "tests/support/stream_test.h"

static int setup(void **state) { return rpc_fixture_open(state, NULL, NULL); }
static int teardown(void **state) { return rpc_fixture_close(state); }

static tether_call *start_both(struct rpc_fixture *f, const tether_ctx *ctx) {
  return testing_v1_handed_client_both_start(f->client, ctx, NULL, NULL, NULL);
}

/* ---- Order --------------------------------------------------------------------------------- */

static void messages_arrive_in_order_and_the_status_after_all_of_them(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *c = start_both(f, ctx);
  tether_call *s = stream_take(&f->stats);
  char text[32];
  for (int i = 0; i < 200; i++) {
    snprintf(text, sizeof text, "%d", i);
    stream_client_sends(c, text);
    stream_server_sends(s, text);
  }
  tether_call_close_send(c);
  for (int i = 0; i < 200; i++) {
    snprintf(text, sizeof text, "%d", i);
    stream_server_gets(s, text);
  }
  stream_gets_end(s);
  stream_finish(s, tether_call_fail(s, TETHER_NOT_FOUND, "no more"), TETHER_NOT_FOUND);
  assert_int_equal(tether_call_wait(c), TETHER_NOT_FOUND); /* and the messages are still there */
  for (int i = 0; i < 200; i++) {
    snprintf(text, sizeof text, "%d", i);
    stream_client_gets(c, text);
  }
  stream_gets_code(c, TETHER_NOT_FOUND);
  assert_string_equal(tether_call_message(c), "no more");
}

/* One thread sends while another receives, through small windows, sizes that need slices among them. */
static void a_chat_of_many_messages_of_all_sizes_keeps_them_whole(void **state) {
  struct rpc_fixture *f = *state;
  static const size_t sizes[] = {0, 1, 100, 16383, 16384, 16385, 65535};
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    enum { N = 60 };
    TETHER_SCOPED_CALL tether_call *c = testing_v1_echo_client_chat_start(f->client, ctx, NULL, NULL, NULL);
    struct stream_op receiver;
    stream_op_start(&receiver, c, STREAM_RECV_ALL, NULL);
    Testing__V1__Request request = stream_request("all", sizes[i]);
    for (int n = 0; n < N; n++) assert_int_equal(testing_v1_echo_chat_send_request(c, &request), TETHER_OK);
    tether_call_close_send(c);
    assert_int_equal(stream_op_join(&receiver), TETHER_OK);
    assert_int_equal(atomic_load(&receiver.count), N);
    rpc_assert_code(c, TETHER_OK);
  }
}

static void messages_of_megabytes_in_both_directions_of_several_streams_come_through_whole(void **state) {
  struct rpc_fixture *f = *state;
  enum { LONG = 3 * 1024 * 1024 + 17, STREAMS = 4 };
  uint8_t *body = test_malloc(LONG);
  for (size_t i = 0; i < LONG; i++) body[i] = (uint8_t)(i * 31 + (i >> 12));
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  tether_call *calls[STREAMS];
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.body = (ProtobufCBinaryData){.data = body, .len = LONG};
  for (int i = 0; i < STREAMS; i++) calls[i] = testing_v1_echo_client_chat_start(f->client, ctx, NULL, NULL, NULL);
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < STREAMS; i++)
      assert_int_equal(testing_v1_echo_chat_send_request(calls[i], &request), TETHER_OK);
    for (int i = 0; i < STREAMS; i++) {
      const Testing__V1__Reply *reply = NULL;
      assert_int_equal(testing_v1_echo_chat_recv_reply(calls[i], &reply), TETHER_OK);
      assert_non_null(reply);
      assert_int_equal(reply->body.len, LONG);
      assert_memory_equal(reply->body.data, body, LONG);
    }
  }
  for (int i = 0; i < STREAMS; i++) {
    tether_call_close_send(calls[i]);
    stream_gets_end(calls[i]);
    tether_call_unref(calls[i]);
  }
  test_free(body);
}

static void messages_of_no_bytes_count_like_others(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *c = start_both(f, ctx);
  tether_call *s = stream_take(&f->stats);
  for (int i = 0; i < 3; i++) {
    stream_client_sends(c, "");
    stream_server_sends(s, "");
  }
  tether_call_close_send(c);
  for (int i = 0; i < 3; i++) {
    stream_server_gets(s, "");
    stream_client_gets(c, "");
  }
  stream_gets_end(s);
  stream_finish(s, TETHER_OK, TETHER_OK);
  stream_gets_end(c);
}

static void streams_without_messages_end_ok(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  Testing__V1__Request nothing = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *up = testing_v1_echo_client_upload_start(f->client, ctx, NULL, NULL, NULL);
  tether_call_close_send(up);
  tether_call_wait(up);
  rpc_assert_code(up, TETHER_OK);
  assert_int_equal(testing_v1_echo_upload_reply(up)->count, 0);
  TETHER_SCOPED_CALL tether_call *down =
      testing_v1_echo_client_download_start(f->client, ctx, &nothing, NULL, NULL, NULL);
  stream_gets_end(down);
  rpc_assert_code(down, TETHER_OK);
  assert_null(tether_call_reply(down));
  TETHER_SCOPED_CALL tether_call *both = testing_v1_echo_client_chat_start(f->client, ctx, NULL, NULL, NULL);
  tether_call_close_send(both);
  stream_gets_end(both);
  rpc_assert_code(both, TETHER_OK);
}

static void an_upload_is_counted_and_a_download_numbered(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *up = testing_v1_echo_client_upload_start(f->client, ctx, NULL, NULL, NULL);
  Testing__V1__Request request = stream_request("up", 1000);
  for (int i = 0; i < 500; i++) assert_int_equal(testing_v1_echo_upload_send_request(up, &request), TETHER_OK);
  tether_call_close_send(up);
  tether_call_wait(up);
  rpc_assert_code(up, TETHER_OK);
  assert_int_equal(testing_v1_echo_upload_reply(up)->count, 500);
  request = stream_request("down", 0);
  request.width = 500;
  request.reply_bytes = 1000;
  TETHER_SCOPED_CALL tether_call *down =
      testing_v1_echo_client_download_start(f->client, ctx, &request, NULL, NULL, NULL);
  for (uint32_t i = 0; i < 500; i++) {
    const Testing__V1__Reply *reply = NULL;
    assert_int_equal(testing_v1_echo_download_recv_reply(down, &reply), TETHER_OK);
    assert_non_null(reply);
    assert_int_equal(reply->count, i);
    assert_int_equal(reply->body.len, 1000);
  }
  stream_gets_end(down);
}

/* ---- Half-close ---------------------------------------------------------------------------- */

static void after_the_half_close_the_server_may_go_on_and_the_client_may_not(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *c = start_both(f, ctx);
  tether_call *s = stream_take(&f->stats);
  stream_client_sends(c, "one");
  tether_call_close_send(c);
  tether_call_close_send(c);
  Testing__V1__Request late = stream_request("late", 0);
  assert_int_equal(testing_v1_handed_both_send_request(c, &late), TETHER_FAILED_PRECONDITION);
  stream_server_gets(s, "one");
  stream_gets_end(s);
  assert_int_equal(tether_ctx_err(tether_call_ctx(s)), TETHER_OK); /* not a cancel */
  for (int i = 0; i < 3; i++) {
    stream_server_sends(s, "more");
    stream_client_gets(c, "more");
  }
  stream_finish(s, TETHER_OK, TETHER_OK);
  stream_gets_end(c);
  rpc_assert_code(c, TETHER_OK);
}

/* ---- Metadata ------------------------------------------------------------------------------ */

static void assert_initial(const tether_call *c, const char *expected) {
  const char *value = tether_metadata_get(tether_call_initial_metadata(c), "x-initial", NULL);
  if (!expected) assert_null(value);
  if (expected) assert_non_null(value);
  if (expected) assert_string_equal(value, expected);
}

static void initial_metadata_can_be_read_before_any_message_and_are_sent_once(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *c = start_both(f, ctx);
  tether_call *s = stream_take(&f->stats);
  struct stream_op waiter;
  stream_op_start(&waiter, c, STREAM_WAIT_INITIAL, NULL);
  assert_true(stream_op_blocks(&waiter));
  assert_int_equal(tether_call_add_initial(s, "x-initial", "early", 5), TETHER_OK);
  assert_int_equal(tether_call_send_initial(s), TETHER_OK);
  assert_int_equal(stream_op_join(&waiter), TETHER_OK);
  assert_initial(c, "early");
  assert_int_equal(tether_call_send_initial(s), TETHER_FAILED_PRECONDITION);
  assert_int_equal(tether_call_add_initial(s, "x-initial", "late", 4), TETHER_FAILED_PRECONDITION);
  stream_server_sends(s, "a message");
  stream_client_gets(c, "a message");
  stream_finish(s, TETHER_OK, TETHER_OK);
  stream_gets_end(c);
  assert_initial(c, "early");
}

static void initial_metadata_come_with_the_first_message_or_the_end_at_the_latest(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  for (int messages = 0; messages < 2; messages++) {
    for (int set = 0; set < 2; set++) {
      TETHER_SCOPED_CALL tether_call *c = start_both(f, ctx);
      tether_call *s = stream_take(&f->stats);
      if (set) assert_int_equal(tether_call_add_initial(s, "x-initial", "set", 3), TETHER_OK);
      if (messages) stream_server_sends(s, "first");
      if (messages) assert_int_equal(tether_call_wait_initial(c), TETHER_OK);
      if (messages) assert_int_equal(tether_call_add_initial(s, "x-initial", "late", 4), TETHER_FAILED_PRECONDITION);
      if (messages) assert_int_equal(tether_call_send_initial(s), TETHER_FAILED_PRECONDITION);
      stream_finish(s, TETHER_OK, TETHER_OK);
      assert_int_equal(tether_call_wait_initial(c), TETHER_OK);
      assert_initial(c, set ? "set" : NULL);
      if (messages) stream_client_gets(c, "first");
      stream_gets_end(c);
    }
  }
}

static void a_call_that_fails_at_once_has_its_code_for_who_waits_for_metadata_and_trailers(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *c = start_both(f, ctx);
  tether_call *s = stream_take(&f->stats);
  assert_int_equal(tether_call_add_trailer(s, "x-trailing", "why", 3), TETHER_OK);
  stream_finish(s, tether_call_fail(s, TETHER_PERMISSION_DENIED, "no"), TETHER_PERMISSION_DENIED);
  assert_int_equal(tether_call_wait(c), TETHER_PERMISSION_DENIED);
  assert_int_equal(tether_call_wait_initial(c), TETHER_PERMISSION_DENIED);
  assert_int_equal(tether_metadata_count(tether_call_initial_metadata(c)), 0);
  assert_string_equal(tether_metadata_get(tether_call_trailers(c), "x-trailing", NULL), "why");
  stream_gets_code(c, TETHER_PERMISSION_DENIED);
}

static void trailers_come_after_the_messages_with_the_status(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  for (int code = TETHER_OK; code <= TETHER_UNAUTHENTICATED; code += TETHER_UNAUTHENTICATED) {
    TETHER_SCOPED_CALL tether_call *c = start_both(f, ctx);
    tether_call *s = stream_take(&f->stats);
    stream_server_sends(s, "message");
    assert_int_equal(tether_call_add_trailer(s, "x-trailing", "one", 3), TETHER_OK);
    assert_int_equal(tether_call_add_trailer(s, "x-trailing-bin", "\0\1", 2), TETHER_OK);
    stream_finish(s, (tether_code)code, (tether_code)code);
    stream_client_gets(c, "message");
    tether_call_wait(c);
    rpc_assert_code(c, (tether_code)code);
    size_t len = 0;
    assert_string_equal(tether_metadata_get(tether_call_trailers(c), "x-trailing", NULL), "one");
    assert_memory_equal(tether_metadata_get(tether_call_trailers(c), "x-trailing-bin", &len), "\0\1", 2);
    assert_int_equal(len, 2);
  }
}

/* ---- Early ends ---------------------------------------------------------------------------- */

static void a_status_sent_early_ends_the_call_and_a_blocked_send(void **state) {
  struct rpc_fixture *f = *state;
  static const struct {
    tether_code finished, sent;
  } cases[] = {{TETHER_ALREADY_EXISTS, TETHER_ALREADY_EXISTS}, {TETHER_OK, TETHER_FAILED_PRECONDITION}};
  for (size_t i = 0; i < 2; i++) {
    TETHER_SCOPED tether_ctx *ctx = stream_ctx();
    TETHER_SCOPED_CALL tether_call *c = start_both(f, ctx);
    tether_call *s = stream_take(&f->stats);
    Testing__V1__Request request = stream_request("unread", 10000);
    struct stream_op sender;
    stream_op_start(&sender, c, STREAM_SEND_ALL, &request.base);
    assert_true(stream_op_blocks(&sender));
    stream_server_sends(s, "enough");
    stream_finish(s, cases[i].finished, cases[i].finished);
    assert_int_equal(stream_op_join(&sender), cases[i].sent);
    stream_client_gets(c, "enough");
    if (cases[i].finished == TETHER_OK)
      stream_gets_end(c);
    else
      stream_gets_code(c, cases[i].finished);
    assert_int_equal(testing_v1_handed_both_send_request(c, &request), cases[i].sent);
  }
}

static void a_handler_that_returns_early_ends_an_upload_with_its_reply_or_status(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *c = testing_v1_handed_client_up_start(f->client, ctx, NULL, NULL, NULL);
  Testing__V1__Request request = stream_request("first", 10);
  assert_int_equal(testing_v1_handed_up_send_request(c, &request), TETHER_OK);
  tether_call *s = stream_take(&f->stats);
  stream_finish(s, TETHER_OK, TETHER_OK);
  assert_int_equal(tether_call_wait(c), TETHER_OK);
  assert_non_null(testing_v1_handed_up_reply(c));
  TETHER_SCOPED_CALL tether_call *failing = testing_v1_echo_client_upload_start(f->client, ctx, NULL, NULL, NULL);
  request.code = TETHER_OUT_OF_RANGE;
  assert_int_equal(testing_v1_echo_upload_send_request(failing, &request), TETHER_OK);
  assert_int_equal(tether_call_wait(failing), TETHER_OUT_OF_RANGE);
  assert_string_equal(tether_call_message(failing), "first");
  assert_int_equal(testing_v1_echo_upload_send_request(failing, &request), TETHER_OUT_OF_RANGE);
}

static void the_end_of_a_call_ends_the_streams_its_handler_has_started(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *c = start_both(f, ctx);
  tether_call *s = stream_take(&f->stats);
  TETHER_SCOPED_CALL tether_call *child = start_both(f, tether_call_ctx(s));
  tether_call *child_s = stream_take(&f->stats);
  struct stream_op receiver;
  stream_op_start(&receiver, child_s, STREAM_RECV, NULL);
  assert_true(stream_op_blocks(&receiver));
  stream_finish(s, TETHER_OK, TETHER_OK);
  assert_int_equal(stream_op_join(&receiver), TETHER_CANCELLED);
  assert_false(receiver.end);
  assert_int_equal(tether_call_wait(child), TETHER_CANCELLED);
  stream_finish(child_s, TETHER_OK, TETHER_CANCELLED);
  stream_gets_end(c);
}

/* ---- Many ---------------------------------------------------------------------------------- */

struct talker {
  pthread_t thread;
  tether_client *client;
  int failed;
};

static void *talk(void *data) {
  struct talker *talker = data;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  for (int i = 0; i < 30; i++) {
    TETHER_SCOPED_CALL tether_call *c =
        i % 3 == 0   ? testing_v1_echo_client_chat_start(talker->client, ctx, NULL, NULL, NULL)
        : i % 3 == 1 ? testing_v1_echo_client_inline_chat_start(talker->client, ctx, NULL, NULL, NULL)
                     : testing_v1_echo_client_later_chat_start(talker->client, ctx, NULL, NULL, NULL);
    for (int n = 0; n < 20; n++) {
      char name[32], expected[48];
      const Testing__V1__Reply *reply = NULL;
      Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
      snprintf(name, sizeof name, "%p/%d/%d", data, i, n);
      snprintf(expected, sizeof expected, "hello %s", name);
      request.name = name;
      if (testing_v1_echo_chat_send_request(c, &request) != TETHER_OK ||
          testing_v1_echo_chat_recv_reply(c, &reply) != TETHER_OK || !reply || strcmp(reply->text, expected) != 0)
        talker->failed++;
    }
    tether_call_close_send(c);
    if (tether_call_wait(c) != TETHER_OK) talker->failed++;
  }
  return NULL;
}

static void many_threads_chat_over_one_connection_and_each_gets_its_own_replies(void **state) {
  struct rpc_fixture *f = *state;
  struct talker talkers[8];
  for (int i = 0; i < 8; i++) {
    talkers[i] = (struct talker){.client = f->client};
    assert_int_equal(pthread_create(&talkers[i].thread, NULL, talk, &talkers[i]), 0);
  }
  for (int i = 0; i < 8; i++) assert_int_equal(pthread_join(talkers[i].thread, NULL), 0);
  for (int i = 0; i < 8; i++) assert_int_equal(talkers[i].failed, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(messages_arrive_in_order_and_the_status_after_all_of_them),
      CASE(a_chat_of_many_messages_of_all_sizes_keeps_them_whole),
      CASE(messages_of_megabytes_in_both_directions_of_several_streams_come_through_whole),
      CASE(messages_of_no_bytes_count_like_others),
      CASE(streams_without_messages_end_ok),
      CASE(an_upload_is_counted_and_a_download_numbered),
      CASE(after_the_half_close_the_server_may_go_on_and_the_client_may_not),
      CASE(initial_metadata_can_be_read_before_any_message_and_are_sent_once),
      CASE(initial_metadata_come_with_the_first_message_or_the_end_at_the_latest),
      CASE(a_call_that_fails_at_once_has_its_code_for_who_waits_for_metadata_and_trailers),
      CASE(trailers_come_after_the_messages_with_the_status),
      CASE(a_status_sent_early_ends_the_call_and_a_blocked_send),
      CASE(a_handler_that_returns_early_ends_an_upload_with_its_reply_or_status),
      CASE(the_end_of_a_call_ends_the_streams_its_handler_has_started),
      CASE(many_threads_chat_over_one_connection_and_each_gets_its_own_replies),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
