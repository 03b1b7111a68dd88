/* The Nth allocation fails, for every N, in the life of streams: opened, sent and received on in all forms of handlers,
 * with messages in slices and beyond the window, half-closed, answered early, cancelled, cut by closing. Nothing
 * crashes, leaks or stays blocked; no message is lost, doubled or out of order unless the call says that it failed. In
 * memory, in virtual time (see alloc_test.c for unary calls). */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "rpc/server.h"
#include "tests/support/alloc_sim.h"
#include "tests/support/ctx_test.h"

static tether_server *server;
static int streams, whole, expired; /* how streams ended */

/* ---- One stream ---------------------------------------------------------------------------- */

typedef enum stream_plan {
  TO_THE_END, /* all requests, half-close, all replies */
  EARLY,      /* the second request asks for a status */
  CANCEL,     /* after the first reply */
} stream_plan;

struct stream {
  tether_call *call;
  stream_plan plan;
  bool sends, receives; /* which sides stream */
  const size_t *sizes;  /* of the bodies to send */
  int most;             /* requests to send, or, if the client does not stream, replies to get */
  int sent, received;
  int refusals; /* sends for which there was no memory */
  bool half_closed, drained, wrong;
  tether_code code; /* of the last receive */
  atomic_int running, told;
};

static void note_end(tether_call *call, void *data) {
  (void)call;
  atomic_store(&((struct stream *)data)->running, 0);
}

static void note_ready(tether_call *call, tether_ready_for what, void *data) {
  (void)call, (void)what;
  atomic_fetch_add(&((struct stream *)data)->told, 1);
}

/* Sends what there is room for. A message for which there is no memory is tried again, but not for ever. */
static void send_some(struct stream *s) {
  static uint8_t body[200000];
  bool done = true;
  char name[16];
  while (s->sends && s->sent < s->most && done && s->refusals < 5) {
    Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
    snprintf(name, sizeof name, "%d", s->sent);
    request.name = name;
    request.body = (ProtobufCBinaryData){.data = body, .len = s->sizes[s->sent]};
    if (s->plan == EARLY && s->sent == 1) request.code = TETHER_ABORTED;
    tether_code code = tether_call_try_send(s->call, &request.base, &done);
    if (code == TETHER_OK)
      s->sent += done;
    else if (code == TETHER_RESOURCE_EXHAUSTED && atomic_load(&s->running))
      s->refusals++;
    else
      return;
  }
  if (s->refusals == 5) tether_call_cancel(s->call, NULL);
  if (s->sends && s->sent == s->most && !s->half_closed) {
    tether_call_close_send(s->call);
    s->half_closed = true;
  }
}

static void check_reply(struct stream *s, const Testing__V1__Reply *reply) {
  char text[32];
  snprintf(text, sizeof text, "hello %d", s->received);
  if (s->sends)
    s->wrong |= strcmp(reply->text, text) != 0 || reply->body.len != s->sizes[s->received];
  else
    s->wrong |= reply->count != (uint32_t)s->received;
}

static void receive_some(struct stream *s) {
  bool done = true;
  while (s->receives && !s->drained && done) {
    const ProtobufCMessage *message = NULL;
    s->code = tether_call_try_recv(s->call, &message, &done);
    if (s->code == TETHER_OK && !done) return;
    s->drained = s->code != TETHER_OK || !message;
    if (s->drained) return;
    check_reply(s, (const Testing__V1__Reply *)message);
    s->received++;
    if (s->plan == CANCEL) tether_call_cancel(s->call, NULL);
  }
}

static bool is_over(void *data) {
  struct stream *s = data;
  tst_alloc_sim_pump(0);
  send_some(s);
  receive_some(s);
  return atomic_load(&s->running) == 0 && (s->drained || !s->receives);
}

/* Or the server has nothing to do with it: it waits for a connection, or for its deadline. */
static bool is_over_or_alone(void *data) { return is_over(data) || tth_server_calls(server) == 0; }

static void check_end(struct stream *s) {
  tether_code code = tether_call_code(s->call);
  assert_false(s->wrong);
  if (s->receives && s->code != code && !(code == TETHER_OK && s->code == TETHER_RESOURCE_EXHAUSTED))
    fail_msg("received %s of a call that ended with %s", tether_code_name(s->code), tether_code_name(code));
  switch (code) {
    case TETHER_OK:
      if (s->sends) assert_int_equal(s->sent, s->most);
      if (s->receives && s->code == TETHER_OK) assert_int_equal(s->received, s->most);
      if (!s->receives) assert_int_equal(((const Testing__V1__Reply *)tether_call_reply(s->call))->count, s->most);
      whole++;
      break;
    case TETHER_ABORTED:
      assert_int_equal(s->plan, EARLY);
      break;
    case TETHER_DEADLINE_EXCEEDED:
      expired++;
      break;
    case TETHER_RESOURCE_EXHAUSTED:
    case TETHER_UNAVAILABLE:
    case TETHER_CANCELLED:
      break;
    default:
      rpc_assert_code(s->call, TETHER_RESOURCE_EXHAUSTED);
  }
}

/* A started stream, to its end: by itself, after the next connection, or by its deadline. */
static void run(struct stream *s) {
  streams++;
  tether_call_on_ready(s->call, note_ready, s);
  assert_true(tst_alloc_sim_comes_true(is_over_or_alone, s));
  for (int i = 0; i < 24 && !is_over(s); i++) {
    tst_alloc_sim_pump(TETHER_SEC / 4);
    assert_true(tst_alloc_sim_comes_true(is_over_or_alone, s));
  }
  assert_true(tst_alloc_sim_comes_true(is_over, s));
  check_end(s);
  tether_call_unref(s->call);
}

/* ---- A life -------------------------------------------------------------------------------- */

static const tether_call_options options = {.timeout_ns = 5 * TETHER_SEC};

/* Short, in slices, beyond the window. */
static const size_t sizes[] = {10, 40000, 0, 150000};

typedef tether_call *(*start_chat_fn)(tether_client *client, const tether_ctx *ctx, const tether_call_options *options,
                                      tether_call_done_fn done, void *data);

static void chat(tether_client *client, start_chat_fn start, stream_plan plan) {
  struct stream s = {.plan = plan, .sends = true, .receives = true, .sizes = sizes, .most = 4, .running = 1};
  s.call = start(client, tether_ctx_background(), &options, note_end, &s);
  run(&s);
}

static void upload(tether_client *client) {
  struct stream s = {.sends = true, .sizes = sizes, .most = 4, .running = 1};
  s.call = testing_v1_echo_client_upload_start(client, tether_ctx_background(), &options, note_end, &s);
  run(&s);
}

static void download(tether_client *client) {
  struct stream s = {.receives = true, .most = 12, .running = 1};
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.width = 12;
  request.reply_bytes = 9000; /* more than the window in all */
  s.call = testing_v1_echo_client_download_start(client, tether_ctx_background(), &request, &options, note_end, &s);
  run(&s);
}

static void run_streams(tether_client *client) {
  chat(client, testing_v1_echo_client_inline_chat_start, TO_THE_END);
  chat(client, testing_v1_echo_client_chat_start, TO_THE_END);
  chat(client, testing_v1_echo_client_later_chat_start, EARLY);
  chat(client, testing_v1_echo_client_chat_start, CANCEL);
  upload(client);
  download(client);
}

static void live(void) {
  tether_client *client;
  tether_call *last = NULL;
  if (tst_alloc_sim_open(NULL, NULL, &server, &client)) {
    run_streams(client);
    last = testing_v1_echo_client_chat_start(client, tether_ctx_background(), NULL, NULL, NULL);
    tst_alloc_sim_pump(0);
  }
  tst_alloc_sim_close(client, NULL);
  if (last) assert_int_not_equal(tether_call_code(last), TETHER_OK);
  tether_call_unref(last);
  tst_alloc_sim_close(NULL, server);
}

/* Where every access is instrumented, every fourth. */
static void fail_each(int count) {
  enum { STEP = 4000 / CTX_TEST_ROUNDS(4000) < 4 ? 1 : 4 };
  streams = whole = expired = 0;
  tst_alloc_fail_each(&(tst_alloc_life){.live = live, .step = STEP, .least = 100}, count);
  print_message("of %d streams %d were whole, %d ended with their deadline\n", streams, whole, expired);
  assert_true(whole > streams / 5);
  assert_int_equal(expired, 0); /* whoever fails says so: nobody is left to the deadline */
}

static void one_allocation_fails(void **state) {
  (void)state;
  fail_each(1);
}

static void three_allocations_in_a_row_fail(void **state) {
  (void)state;
  fail_each(3);
}

static void everything_fails_from_some_allocation_on(void **state) {
  (void)state;
  fail_each(INT_MAX);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TST_ALLOC_CASE(one_allocation_fails),
      TST_ALLOC_CASE(three_allocations_in_a_row_fail),
      TST_ALLOC_CASE(everything_fails_from_some_allocation_on),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
