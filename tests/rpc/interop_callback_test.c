/* gRPC's interop cases of streams in callback form: the client's side of each call runs in `ready` and `done` alone,
 * and nothing blocks but the test, which waits for the end. */
#include <string.h>

#include "tests/support/interop.h"
#include "tests/support/wait.h"

enum { REPLIES_MOST = 8 };

/* What a call is to do, and what came of it.
 *
 *   TALKING ──all sent──> half-closed ──end of replies, or a failure──> over
 *
 * `ready` calls that overlap leave word, as the loop that runs goes round once more. */
struct talk {
  /* the script */
  const ProtobufCMessage *const *requests;
  int request_count;
  bool lockstep;    /* each request waits for the reply to the one before */
  int cancel_after; /* so many replies; < 0: never */
  /* the loop's */
  atomic_int words;
  int sent, received;
  bool half_closed, over;
  int32_t sizes[REPLIES_MOST];
  tether_code received_code;
  char initial[64]; /* as read when told of it */
  int initials;
  /* */
  bool replies; /* the server streams: the end of the receives is waited for too */
  tst_latch ended, drained;
};

/* One more request, or the half-close; false: not now. */
static bool advance_sending(struct talk *talk, tether_call *call) {
  bool done = false;
  if (talk->half_closed) return false;
  if (talk->sent == talk->request_count) {
    tether_call_close_send(call);
    talk->half_closed = true;
    return true;
  }
  if (talk->lockstep && talk->received < talk->sent) return false;
  if (tether_call_try_send(call, talk->requests[talk->sent], &done) != TETHER_OK) {
    talk->half_closed = true; /* the receiving side learns why */
    return true;
  }
  talk->sent += done;
  return done;
}

static bool advance_receiving(struct talk *talk, tether_call *call) {
  const Grpc__Testing__StreamingOutputCallResponse *reply = NULL;
  bool done = false;
  if (!talk->replies || talk->over) return false;
  tether_code code = grpc_testing_test_service_full_duplex_call_try_recv_reply(call, &reply, &done);
  if (code == TETHER_OK && !done) return false;
  if (code == TETHER_OK && reply) {
    if (talk->received < REPLIES_MOST)
      talk->sizes[talk->received] = reply->payload ? (int32_t)reply->payload->body.len : -1;
    if (++talk->received == talk->cancel_after) tether_call_cancel(call, NULL);
    return true;
  }
  talk->received_code = code;
  talk->over = true;
  tst_latch_open(&talk->drained);
  return false;
}

static void note_initial(struct talk *talk, tether_call *call) {
  size_t len = 0;
  const char *value = tether_metadata_get(tether_call_initial_metadata(call), INTEROP_ECHO_INITIAL, &len);
  talk->initials++;
  if (value && len < sizeof talk->initial) memcpy(talk->initial, value, len + 1);
}

static void on_ready(tether_call *call, tether_ready_for what, void *data) {
  struct talk *talk = data;
  if (what == TETHER_HAS_INITIAL) {
    note_initial(talk, call);
    return;
  }
  if (atomic_fetch_add(&talk->words, 1) > 0) return;
  int seen = 1;
  do {
    for (bool more = true; more;) {
      more = advance_sending(talk, call);
      more |= advance_receiving(talk, call);
    }
  } while ((seen = atomic_fetch_sub(&talk->words, seen) - seen) > 0);
}

static void on_done(tether_call *call, void *data) {
  (void)call;
  tst_latch_open(&((struct talk *)data)->ended);
}

static struct talk talk_of(const ProtobufCMessage *const *requests, int count) {
  struct talk talk = {.requests = requests, .request_count = count, .cancel_after = -1, .replies = true};
  tst_latch_init(&talk.ended);
  tst_latch_init(&talk.drained);
  return talk;
}

/* Sets it going on `call`, which it was started for, and waits for the end. */
static void run(struct talk *talk, tether_call *call) {
  tether_call_on_ready(call, on_ready, talk);
  on_ready(call, TETHER_CAN_SEND, talk);
  assert_true(tst_latch_wait(&talk->ended, RPC_TEST_BOUND_NS));
  if (talk->replies) assert_true(tst_latch_wait(&talk->drained, RPC_TEST_BOUND_NS));
}

/* Closes the client, after which no callback runs, and releases the rest. */
static void close_talk(struct interop *f, struct talk *talk) {
  tether_client_close(f->client);
  f->client = NULL;
  tst_latch_fini(&talk->ended);
  tst_latch_fini(&talk->drained);
}

/* ---- Cases --------------------------------------------------------------------------------- */

static const int32_t response_sizes[] = {31415, 9, 2653, 58979};
static const size_t request_sizes[] = {27182, 8, 1828, 45904};

static void assert_four_responses(const struct talk *talk) {
  assert_int_equal(talk->received_code, TETHER_OK);
  assert_int_equal(talk->received, 4);
  for (int i = 0; i < 4; i++) assert_int_equal(talk->sizes[i], response_sizes[i]);
}

static void client_streaming(void **state) {
  struct interop *f = *state;
  struct interop_input made[4];
  const ProtobufCMessage *requests[4];
  for (int i = 0; i < 4; i++) {
    interop_input(&made[i], request_sizes[i]);
    requests[i] = &made[i].request.base;
  }
  struct talk talk = talk_of(requests, 4);
  talk.replies = false;
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  TETHER_SCOPED_CALL tether_call *call =
      grpc_testing_test_service_client_streaming_input_call_start(f->client, ctx, NULL, on_done, &talk);
  run(&talk, call);
  rpc_assert_code(call, TETHER_OK);
  assert_int_equal(grpc_testing_test_service_streaming_input_call_reply(call)->aggregated_payload_size, 74922);
  close_talk(f, &talk);
}

static void server_streaming(void **state) {
  struct interop *f = *state;
  struct interop_output made;
  interop_output(&made, 0, 4, response_sizes, 0);
  struct talk talk = talk_of(NULL, 0);
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  TETHER_SCOPED_CALL tether_call *call =
      grpc_testing_test_service_client_streaming_output_call_start(f->client, ctx, &made.request, NULL, on_done, &talk);
  run(&talk, call);
  assert_four_responses(&talk);
  rpc_assert_code(call, TETHER_OK);
  close_talk(f, &talk);
}

/* Four requests, of which each asks for one response. */
static void make_requests(struct interop_output made[4], const ProtobufCMessage *requests[4], int32_t interval_us) {
  for (int i = 0; i < 4; i++) {
    interop_output(&made[i], request_sizes[i], 1, &response_sizes[i], interval_us);
    requests[i] = &made[i].request.base;
  }
}

static tether_call *start_duplex(struct interop *f, const tether_ctx *ctx, const tether_metadata *metadata,
                                 struct talk *talk) {
  return grpc_testing_test_service_client_full_duplex_call_start(
      f->client, ctx, &(tether_call_options){.metadata = metadata}, on_done, talk);
}

static void ping_pong(void **state) {
  struct interop *f = *state;
  struct interop_output made[4];
  const ProtobufCMessage *requests[4];
  make_requests(made, requests, 0);
  struct talk talk = talk_of(requests, 4);
  talk.lockstep = true;
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  TETHER_SCOPED_CALL tether_call *call = start_duplex(f, ctx, NULL, &talk);
  run(&talk, call);
  assert_four_responses(&talk);
  rpc_assert_code(call, TETHER_OK);
  close_talk(f, &talk);
}

static void half_duplex(void **state) {
  struct interop *f = *state;
  struct interop_output made[4];
  const ProtobufCMessage *requests[4];
  make_requests(made, requests, 0);
  struct talk talk = talk_of(requests, 4);
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  TETHER_SCOPED_CALL tether_call *call =
      grpc_testing_test_service_client_half_duplex_call_start(f->client, ctx, NULL, on_done, &talk);
  run(&talk, call);
  assert_four_responses(&talk);
  close_talk(f, &talk);
}

static void empty_stream(void **state) {
  struct interop *f = *state;
  struct talk talk = talk_of(NULL, 0);
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  TETHER_SCOPED_CALL tether_call *call = start_duplex(f, ctx, NULL, &talk);
  run(&talk, call);
  assert_int_equal(talk.received_code, TETHER_OK);
  assert_int_equal(talk.received, 0);
  rpc_assert_code(call, TETHER_OK);
  close_talk(f, &talk);
}

static void custom_metadata_full_duplex(void **state) {
  struct interop *f = *state;
  struct interop_output made[4];
  const ProtobufCMessage *requests[4];
  make_requests(made, requests, 0);
  struct talk talk = talk_of(requests, 4);
  tether_metadata *metadata = interop_metadata();
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  TETHER_SCOPED_CALL tether_call *call = start_duplex(f, ctx, metadata, &talk);
  tether_metadata_free(metadata);
  run(&talk, call);
  assert_four_responses(&talk);
  interop_assert_trailing(call);
  close_talk(f, &talk);
  assert_int_equal(talk.initials, 1);
  assert_string_equal(talk.initial, INTEROP_INITIAL_VALUE);
}

static void status_code_and_message(void **state) {
  struct interop *f = *state;
  struct interop_output made;
  const ProtobufCMessage *requests[] = {&made.request.base};
  interop_output(&made, 0, 0, NULL, 0);
  made.status.code = TETHER_UNKNOWN;
  made.status.message = (char *)"test status message";
  made.request.response_status = &made.status;
  struct talk talk = talk_of(requests, 1);
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  TETHER_SCOPED_CALL tether_call *call = start_duplex(f, ctx, NULL, &talk);
  run(&talk, call);
  assert_int_equal(talk.received_code, TETHER_UNKNOWN);
  rpc_assert_code(call, TETHER_UNKNOWN);
  assert_string_equal(tether_call_message(call), "test status message");
  close_talk(f, &talk);
}

static void cancel_after_begin(void **state) {
  struct interop *f = *state;
  struct talk talk = talk_of(NULL, 0);
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  TETHER_SCOPED_CALL tether_call *call = start_duplex(f, ctx, NULL, &talk);
  tether_call_on_ready(call, on_ready, &talk);
  tether_call_cancel(call, NULL);
  assert_true(tst_latch_is_open(&talk.ended)); /* on this thread, before cancel returned */
  rpc_assert_code(call, TETHER_CANCELLED);
  run(&talk, call);
  assert_int_equal(talk.received_code, TETHER_CANCELLED);
  close_talk(f, &talk);
}

static void cancel_after_first_response(void **state) {
  struct interop *f = *state;
  struct interop_output made[4];
  const ProtobufCMessage *requests[4];
  make_requests(made, requests, 0);
  struct talk talk = talk_of(requests, 4);
  talk.cancel_after = 1;
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  TETHER_SCOPED_CALL tether_call *call = start_duplex(f, ctx, NULL, &talk);
  run(&talk, call);
  assert_int_equal(talk.received_code, TETHER_CANCELLED);
  assert_int_equal(talk.received, 1);
  assert_int_equal(talk.sizes[0], response_sizes[0]);
  rpc_assert_code(call, TETHER_CANCELLED);
  assert_true(interop_handlers_left(f, atomic_load(&f->stats.started)));
  close_talk(f, &talk);
}

static void timeout_on_sleeping_server(void **state) {
  struct interop *f = *state;
  struct interop_output made[4];
  const ProtobufCMessage *requests[4];
  make_requests(made, requests, 30 * 1000 * 1000);
  struct talk talk = talk_of(requests, 1);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), TETHER_MS);
  TETHER_SCOPED_CALL tether_call *call = start_duplex(f, ctx, NULL, &talk);
  run(&talk, call);
  assert_int_equal(talk.received_code, TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(talk.received, 0);
  rpc_assert_code(call, TETHER_DEADLINE_EXCEEDED);
  close_talk(f, &talk);
}

static void a_deadline_exceeded_server_streaming(void **state) {
  struct interop *f = *state;
  struct interop_output made;
  static const int32_t sizes[] = {50, 50};
  interop_output(&made, 0, 2, sizes, 0);
  made.parameters[1].interval_us = 30 * 1000 * 1000;
  struct talk talk = talk_of(NULL, 0);
  TETHER_SCOPED tether_ctx *ready_ctx = interop_ctx();
  assert_int_equal(tether_client_wait_ready(f->client, ready_ctx), TETHER_OK);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 300 * TETHER_MS);
  TETHER_SCOPED_CALL tether_call *call =
      grpc_testing_test_service_client_streaming_output_call_start(f->client, ctx, &made.request, NULL, on_done, &talk);
  run(&talk, call);
  assert_int_equal(talk.received_code, TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(talk.received, 1);
  close_talk(f, &talk);
}

static void a_deadline_in_the_past(void **state) {
  struct interop *f = *state;
  struct interop_output made[4];
  const ProtobufCMessage *requests[4];
  make_requests(made, requests, 0);
  struct talk talk = talk_of(requests, 4);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), -10 * TETHER_SEC);
  TETHER_SCOPED_CALL tether_call *call = start_duplex(f, ctx, NULL, &talk);
  assert_true(tst_latch_is_open(&talk.ended)); /* before start returned */
  run(&talk, call);
  assert_int_equal(talk.received_code, TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(talk.sent, 0);
  close_talk(f, &talk);
  assert_int_equal(atomic_load(&f->stats.started), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      INTEROP(client_streaming),
      INTEROP(server_streaming),
      INTEROP(ping_pong),
      INTEROP(half_duplex),
      INTEROP(empty_stream),
      INTEROP(custom_metadata_full_duplex),
      INTEROP(status_code_and_message),
      INTEROP(cancel_after_begin),
      INTEROP(cancel_after_first_response),
      INTEROP(timeout_on_sleeping_server),
      INTEROP(a_deadline_exceeded_server_streaming),
      INTEROP(a_deadline_in_the_past),
  };
  return cmocka_run_group_tests(tests, interop_group_setup, interop_group_teardown);
}
