/* Calls that are tried again over real sockets and threads: blocking callers that receive their own answers, senders
 * that send while the stream under them fails, cancels, hedges and a close at any moment. Every call ends once, with
 * what the last attempt brought, and client and server count the same. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/ctx_thread.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

#define CONFIG                                                                                             \
  "{\"methodConfig\": [{\"name\": [{\"service\": \"retry.Race\"}], \"retryPolicy\": {\"maxAttempts\": 5, " \
  "\"initialBackoff\": \"0.001s\", \"maxBackoff\": \"0.01s\", \"backoffMultiplier\": 2, "                  \
  "\"retryableStatusCodes\": [\"UNAVAILABLE\"]}}, {\"name\": [{\"service\": \"retry.Race\", \"method\": "  \
  "\"Hedged\"}], \"hedgingPolicy\": {\"maxAttempts\": 3, \"hedgingDelay\": \"0.0005s\", "                  \
  "\"nonFatalStatusCodes\": [\"UNAVAILABLE\"]}}]}"

#define METHOD(name, flags_)                                                                         \
  {                                                                                                  \
    .path = "/retry.Race/" name, .request = &testing__v1__request__descriptor,                       \
    .reply = &testing__v1__reply__descriptor, .flags = TETHER_METHOD_IDEMPOTENT | (unsigned)(flags_) \
  }
static const tether_method unary = METHOD("Unary", TETHER_METHOD_INLINE), hedged = METHOD("Hedged", 0),
                           upload = METHOD("Upload", TETHER_METHOD_CLIENT_STREAMING);

static int previous(const tether_call *call) {
  const char *text = tether_metadata_get(tether_call_metadata(call), "grpc-previous-rpc-attempts", NULL);
  return text ? atoi(text) : 0;
}

/* Fails as often as the request's width says. */
static tether_code on_unary(const tether_ctx *ctx, tether_call *call, const ProtobufCMessage *message,
                            ProtobufCMessage *reply, const void *service, void *data) {
  const Testing__V1__Request *request = (const Testing__V1__Request *)message;
  (void)ctx;
  (void)service;
  (void)data;
  if (previous(call) < (int)request->width) return tether_call_fail(call, TETHER_UNAVAILABLE, "not yet");
  ((Testing__V1__Reply *)reply)->count = (uint32_t)previous(call);
  return TETHER_OK;
}

/* The first attempt takes too long, the second fails. */
static tether_code on_hedged(const tether_ctx *ctx, tether_call *call, const ProtobufCMessage *message,
                             ProtobufCMessage *reply, const void *service, void *data) {
  (void)message;
  (void)service;
  (void)data;
  if (previous(call) == 0) return tether_ctx_sleep(ctx, 20 * TETHER_SEC);
  if (previous(call) == 1) return tether_call_fail(call, TETHER_UNAVAILABLE, "not yet");
  ((Testing__V1__Reply *)reply)->count = 2;
  return TETHER_OK;
}

/* Fails, as often as the first message's width says, after so many messages as its code says. */
static tether_code on_upload(const tether_ctx *ctx, tether_call *call, const ProtobufCMessage *none,
                             ProtobufCMessage *reply, const void *service, void *data) {
  const ProtobufCMessage *message;
  uint32_t count = 0, fail_after = UINT32_MAX;
  tether_code code;
  (void)ctx;
  (void)none;
  (void)service;
  (void)data;
  while ((code = tether_call_recv(call, &message)) == TETHER_OK && message) {
    const Testing__V1__Request *request = (const Testing__V1__Request *)message;
    if (request->reply_bytes != count) return tether_call_fail(call, TETHER_DATA_LOSS, "out of order");
    if (count == 0 && previous(call) < (int)request->width) fail_after = request->code;
    if (++count >= fail_after) return tether_call_fail(call, TETHER_UNAVAILABLE, "not yet");
  }
  ((Testing__V1__Reply *)reply)->count = count;
  return code;
}

static int setup(void **state) {
  static const tether_served_method served[] = {{&unary, on_unary}, {&hedged, on_hedged}, {&upload, on_upload}};
  struct rpc_fixture *f = calloc(1, sizeof *f);
  snprintf(f->dir, sizeof f->dir, "/tmp/tether-test-XXXXXX");
  if (!mkdtemp(f->dir)) return -1;
  snprintf(f->url, sizeof f->url, "ipc://%s/s", f->dir);
  *state = f;
  return tether_server_open(NULL, &f->server) == TETHER_OK &&
                 tether_server_add(f->server, served, 3, NULL, NULL) == TETHER_OK &&
                 tether_server_listen(f->server, f->url) == TETHER_OK &&
                 tether_client_open(f->url, &(tether_client_options){.service_config = CONFIG}, &f->client) == TETHER_OK
             ? 0
             : -1;
}

static struct rpc_fixture *fixture;

static bool counts_agree(void *unused) {
  tether_client_stats client;
  tether_server_stats server;
  (void)unused;
  tether_client_get_stats(fixture->client, &client);
  if (tether_server_get_stats(fixture->server, NULL, &server) != TETHER_OK) return false;
  return memcmp(client.ended, server.ended, sizeof client.ended) == 0;
}

/* VERDICTs may still be on their way. */
static void assert_counts_agree(struct rpc_fixture *f) {
  fixture = f;
  assert_true(tst_wait_until(counts_agree, NULL, TST_BOUND_NS));
}

/* ---- Threads ------------------------------------------------------------------------------- */

struct worker {
  struct ctx_thread thread;
  tether_client *client;
  int calls, good;
  unsigned seed;
  void (*work)(struct worker *worker);
};

static void work(void *data) {
  struct worker *w = data;
  w->work(w);
}

static void run_workers(struct rpc_fixture *f, struct worker *workers, int count, int calls,
                        void (*fn)(struct worker *worker)) {
  for (int i = 0; i < count; i++) {
    workers[i].client = f->client;
    workers[i].calls = calls;
    workers[i].seed = (unsigned)i + 1;
    workers[i].work = fn;
    ctx_thread_start(&workers[i].thread, work, &workers[i]);
  }
  for (int i = 0; i < count; i++) {
    ctx_thread_join(&workers[i].thread);
    assert_int_equal(workers[i].good, calls);
  }
}

static void call_blocking(struct worker *w) {
  for (int i = 0; i < w->calls; i++) {
    Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
    request.width = (uint32_t)(rand_r(&w->seed) % 4);
    TETHER_SCOPED_CALL tether_call *call =
        tether_call_unary(w->client, tether_ctx_background(), &unary, &request.base, NULL);
    const Testing__V1__Reply *reply = (const Testing__V1__Reply *)tether_call_reply(call);
    w->good += reply && reply->count == request.width && tether_call_attempts(call) == request.width + 1;
  }
}

static void a_thread_that_receives_its_own_answers_is_woken_by_the_last(void **state) {
  struct worker workers[1] = {0};
  run_workers(*state, workers, 1, 300, call_blocking);
  assert_counts_agree(*state);
}

static void blocking_callers_are_retried_beside_each_other(void **state) {
  struct worker workers[4] = {0};
  run_workers(*state, workers, 4, 150, call_blocking);
  assert_counts_agree(*state);
}

static void send_stream(struct worker *w) {
  for (int i = 0; i < w->calls; i++) {
    TETHER_SCOPED_CALL tether_call *call =
        tether_call_start(w->client, tether_ctx_background(), &upload, NULL, NULL, NULL, NULL);
    int count = 1 + rand_r(&w->seed) % 40;
    Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
    request.width = (uint32_t)(rand_r(&w->seed) % 4);
    request.code = 1 + (uint32_t)(rand_r(&w->seed) % count);
    for (int m = 0; m < count; m++) {
      request.reply_bytes = (uint32_t)m;
      if (tether_call_send(call, &request.base) != TETHER_OK) break;
    }
    tether_call_close_send(call);
    tether_call_wait(call);
    const Testing__V1__Reply *reply = (const Testing__V1__Reply *)tether_call_reply(call);
    w->good += reply && reply->count == (uint32_t)count && tether_call_attempts(call) == request.width + 1;
  }
}

static void who_sends_while_the_stream_fails_notices_nothing(void **state) {
  struct worker workers[4] = {0};
  run_workers(*state, workers, 4, 100, send_stream);
  assert_counts_agree(*state);
}

static void call_hedged(struct worker *w) {
  for (int i = 0; i < w->calls; i++) {
    Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
    TETHER_SCOPED_CALL tether_call *call =
        tether_call_unary(w->client, tether_ctx_background(), &hedged, &request.base, NULL);
    const Testing__V1__Reply *reply = (const Testing__V1__Reply *)tether_call_reply(call);
    w->good += reply && reply->count == 2 && tether_call_attempts(call) == 3;
  }
}

static void blocking_callers_are_hedged_beside_each_other(void **state) {
  struct worker workers[4] = {0};
  run_workers(*state, workers, 4, 50, call_hedged);
  assert_counts_agree(*state);
}

/* ---- Cancels, and a close -------------------------------------------------------------------- */

enum { CALLS = 400 };

static struct {
  atomic_int ended, again, odd; /* once; more than once; with a code that cannot be */
  atomic_int of[CALLS];
  bool closing; /* an attempt that fails then is not followed by another */
} ends;

static void on_done(tether_call *call, void *data) {
  atomic_int *of = data;
  tether_code code = tether_call_code(call);
  bool expected = code == TETHER_OK || code == TETHER_CANCELLED || code == TETHER_DEADLINE_EXCEEDED ||
                  (ends.closing && code == TETHER_UNAVAILABLE && strcmp(tether_call_message(call), "not yet") == 0);
  if (!expected) atomic_fetch_add(&ends.odd, 1);
  if (atomic_fetch_add(of, 1) > 0) atomic_fetch_add(&ends.again, 1);
  atomic_fetch_add(&ends.ended, 1);
}

static tether_call *start_any(struct rpc_fixture *f, int i, unsigned *seed) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.width = (uint32_t)(rand_r(seed) % 4);
  const tether_call_options options = {.timeout_ns = rand_r(seed) % 4 ? 0 : 1 + rand_r(seed) % (4 * TETHER_MS)};
  return tether_call_start(f->client, tether_ctx_background(), i % 5 ? &unary : &hedged, &request.base, &options,
                           on_done, &ends.of[i]);
}

static void calls_that_are_cut_at_any_moment_end_once(void **state) {
  unsigned seed = 7;
  tether_call *calls[CALLS];
  memset(&ends, 0, sizeof ends);
  for (int i = 0; i < CALLS; i++) {
    calls[i] = start_any(*state, i, &seed);
    if (i % 3 == 0) tether_call_cancel(calls[rand_r(&seed) % (i + 1)], NULL);
    if (i % 7 == 0) ctx_pause();
  }
  assert_true(rpc_wait_for(&ends.ended, CALLS));
  assert_int_equal(atomic_load(&ends.odd), 0);
  for (int i = 0; i < CALLS; i++) tether_call_unref(calls[i]);
  assert_counts_agree(*state);
  assert_int_equal(atomic_load(&ends.again), 0);
}

static void a_close_ends_calls_wherever_they_are(void **state) {
  struct rpc_fixture *f = *state;
  unsigned seed = 11;
  for (int round = 0; round < 10; round++) {
    memset(&ends, 0, sizeof ends);
    ends.closing = true;
    for (int i = 0; i < CALLS / 4; i++) tether_call_unref(start_any(f, i, &seed));
    if (round % 2) ctx_pause();
    tether_client_close(f->client);
    f->client = NULL;
    assert_int_equal(atomic_load(&ends.ended), CALLS / 4);
    assert_int_equal(atomic_load(&ends.odd) + atomic_load(&ends.again), 0);
    assert_int_equal(tether_client_open(f->url, &(tether_client_options){.service_config = CONFIG}, &f->client),
                     TETHER_OK);
  }
}

#define over_sockets(test) \
  { #test, test, setup, rpc_fixture_close, NULL }

int main(void) {
  const struct CMUnitTest tests[] = {
      over_sockets(a_thread_that_receives_its_own_answers_is_woken_by_the_last),
      over_sockets(blocking_callers_are_retried_beside_each_other),
      over_sockets(who_sends_while_the_stream_fails_notices_nothing),
      over_sockets(blocking_callers_are_hedged_beside_each_other),
      over_sockets(calls_that_are_cut_at_any_moment_end_once),
      over_sockets(a_close_ends_calls_wherever_they_are),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
