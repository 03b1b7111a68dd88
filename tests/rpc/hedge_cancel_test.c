/* Calls that the service config hedges, cancelled: at once and with everything that was started, whatever the attempts
 * are doing. In virtual time. */
#include <tether/credentials.h>
#include <tether/ledger.h>

#include "tests/support/frames.h"
#include "tests/support/retry_sim.h"

#define DELAY (50 * TETHER_MS)
#define PUSHBACK (500 * TETHER_MS)
#define WAIT (TST_BOUND_NS / 2)
#define CONFIG                                                                                \
  "{\"methodConfig\": [{\"name\": [{\"service\": \"testing.v1.Park\"}], \"hedgingPolicy\": {" \
  "\"maxAttempts\": 3, \"hedgingDelay\": \"0.05s\", \"nonFatalStatusCodes\": [\"UNAVAILABLE\"]}}]}"

/* ---- After the deadline -------------------------------------------------------------------- */

/* A call whose deadline passes, which a group notices; to tell of it is left to the timer. */
struct noticed {
  struct retried r;
  tether_client *client;
  tether_ctx *ctx;
  tether_group *group;
  unsigned long member;
  tether_token_request *tokens[3];
  int asked;
};

static void noticed_open(struct noticed *n, const tether_call_options *options) {
  n->client = retry_client(CONFIG);
  n->ctx = tether_ctx_with_timeout(tether_ctx_background(), 3 * DELAY);
  assert_int_equal(tether_group_new(n->ctx, &n->group), TETHER_OK);
  assert_int_equal(tether_group_join(n->group, &n->member), TETHER_OK);
  retry_start_under(tether_group_ctx(n->group), &n->r, n->client, options);
}

static void notice(struct noticed *n) {
  atomic_fetch_add(&ctx_sim_get()->now_ns, 3 * DELAY);
  tether_group_leave(n->group, n->member, TETHER_DEADLINE_EXCEEDED, NULL);
  assert_int_equal(tether_ctx_err(tether_group_ctx(n->group)), TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(n->r.calls, 0);
}

/* And the timer finds nothing left to end. */
static void noticed_close(struct noticed *n) {
  int arrived = tst_park_arrived(retry_park());
  park_sim_pump(2 * PUSHBACK);
  assert_arrived(arrived);
  assert_int_equal(n->r.calls, 1);
  tether_group_free(n->group);
  tether_ctx_free(n->ctx);
  retried_free(&n->r, n->client);
}

static void a_cancel_ends_a_call_whose_deadline_has_been_noticed_and_not_been_told(void **state) {
  (void)state;
  struct noticed n = {0};
  noticed_open(&n, NULL);
  park_sim_pump(DELAY);
  notice(&n);
  tether_call_cancel(n.r.call, NULL);
  assert_retried(&n.r, TETHER_DEADLINE_EXCEEDED, 2);
  park_sim_pump(0);
  for (int i = 0; i < 2; i++) park_assert_cut(attempt_at(i), TETHER_CAUSE_DEADLINE, NULL);
  noticed_close(&n);
}

static void so_it_does_while_the_next_attempt_is_held_back(void **state) {
  (void)state;
  struct noticed n = {0};
  uint32_t running = 7;
  noticed_open(&n, NULL);
  attempt_fails(0, TETHER_UNAVAILABLE, "500");
  notice(&n);
  assert_int_equal(tether_call_cancel_and_wait(n.r.call, NULL, TETHER_SEC, &running), TETHER_OK);
  assert_int_equal(running, 0);
  assert_retried(&n.r, TETHER_DEADLINE_EXCEEDED, 1);
  noticed_close(&n);
}

/* Of the second attempt: it is just being started. */
static void cancel_in_fetch(void *data, tether_token_request *request) {
  struct noticed *n = data;
  n->tokens[n->asked++] = request;
  if (n->asked != 2) return;
  notice(n);
  tether_call_cancel(n->r.call, NULL);
}

static void so_it_does_with_the_attempt_that_is_being_started(void **state) {
  (void)state;
  struct noticed n = {0};
  tether_credentials *credentials;
  assert_int_equal(tether_credentials_supplied(cancel_in_fetch, &n, NULL, &credentials), TETHER_OK);
  noticed_open(&n, &(tether_call_options){.credentials = credentials});
  assert_int_equal(n.asked, 1);
  tether_token_fail(n.tokens[0], TETHER_UNAVAILABLE, "none yet");
  assert_int_equal(n.asked, 2);
  assert_retried(&n.r, TETHER_DEADLINE_EXCEEDED, 0);
  tether_token_fail(n.tokens[1], TETHER_UNAVAILABLE, "too late");
  tether_credentials_unref(credentials);
  noticed_close(&n);
}

/* ---- While an attempt starts --------------------------------------------------------------- */

/* The second attempt is started on a thread of its own, and stopped as it is sent. */
struct starting {
  struct ctx_thread starter, canceller;
  struct ctx_latch reached, open;
  tether_call *call;
  bool went_on;
  tether_code code;
  uint32_t running;
  _Atomic int64_t told_ns; /* how long the server of the second is told that somebody waits; -1: it was not */
};

/* What CANCEL of the second attempt says. */
static void note_cancel(struct starting *s, const uint8_t *batch, size_t len) {
  tth_frame frame;
  size_t at = 0;
  if (!tst_frames_find(batch, len, &at, TTH_CANCEL, 2, &frame)) return;
  Tether__V1__Cancel *cancel = tether__v1__cancel__unpack(NULL, frame.length, frame.payload);
  atomic_store(&s->told_ns, cancel && cancel->has_wait_ns ? cancel->wait_ns : -1);
  if (cancel) tether__v1__cancel__free_unpacked(cancel, NULL);
}

static void stop_here(void *data, uint8_t *batch, size_t len) {
  struct starting *s = data;
  note_cancel(s, batch, len);
  if (ctx_latch_is_open(&s->reached) || ctx_tid() != atomic_load(&s->starter.tid)) return;
  ctx_latch_open(&s->reached);
  s->went_on = ctx_latch_wait(&s->open);
}
static void receives(void *data, const uint8_t *batch, size_t len) { (void)data, (void)batch, (void)len; }
static void sent(void *data) { (void)data; }
static void closed(void *data, const char *why) { (void)data, (void)why; }
static const tst_mem_watch watch = {.sends = stop_here, .receives = receives, .sent = sent, .closed = closed};

static void end_pushback(void *data) {
  (void)data;
  (void)ctx_sim_advance(PUSHBACK);
}

static void cancel_and_wait(void *data) {
  struct starting *s = data;
  s->code = tether_call_cancel_and_wait(s->call, NULL, WAIT, &s->running);
}

static bool is_cancelled(void *data) { return tether_ctx_err(tether_call_ctx(data)) == TETHER_CANCELLED; }

static bool is_finished(void *data) {
  park_sim_pump(0);
  return ctx_latch_is_open(&((struct ctx_thread *)data)->finished);
}

static void who_waits_after_a_cancel_waits_for_an_attempt_that_was_just_being_started_and_says_so(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(CONFIG);
  retry_start(&r, client, &tst_park_unary, NULL);
  attempt_fails(0, TETHER_UNAVAILABLE, "500");
  struct starting s = {.call = r.call, .running = 7};
  tst_mem_watch_link(retry_dial()->link, &watch, &s);
  ctx_thread_start(&s.starter, end_pushback, NULL);
  assert_true(ctx_latch_wait(&s.reached));
  ctx_thread_start(&s.canceller, cancel_and_wait, &s);
  assert_true(tst_wait_until(is_cancelled, r.call, TST_BOUND_NS));
  ctx_latch_open(&s.open);
  ctx_thread_join(&s.starter);
  assert_true(s.went_on);
  assert_true(ctx_wait_blocked(atomic_load(&s.canceller.tid)));
  assert_true(tst_wait_until(is_finished, &s.canceller, TST_BOUND_NS));
  ctx_thread_join(&s.canceller);
  assert_int_equal(s.code, TETHER_OK);
  assert_int_equal(s.running, 0);
  assert_retried(&r, TETHER_CANCELLED, 2);
  park_assert_cut(attempt_at(1), TETHER_CAUSE_CALLER, NULL);
  retried_free(&r, client);
  assert_in_range(atomic_load(&s.told_ns), 1, WAIT - WAIT / 8);
}

static void the_wait_after_a_cancel_is_bounded_in_real_time_whatever_the_clock(void **state) {
  (void)state;
  struct retried r;
  uint32_t running = 7;
  tether_client *client = retry_client(CONFIG);
  retry_start(&r, client, &tst_park_unary, NULL);
  assert_int_equal(tether_call_cancel_and_wait(r.call, NULL, TETHER_MS, &running), TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(tether_call_cancel_and_wait(r.call, NULL, -1, &running), TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(tether_call_wait_ledger(r.call, INT64_MIN), TETHER_DEADLINE_EXCEEDED);
  assert_retried(&r, TETHER_CANCELLED, 1);
  park_sim_pump(0);
  assert_int_equal(tether_call_cancel_and_wait(r.call, NULL, -1, &running), TETHER_OK);
  retried_free(&r, client);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      in_park_sim(a_cancel_ends_a_call_whose_deadline_has_been_noticed_and_not_been_told),
      in_park_sim(so_it_does_while_the_next_attempt_is_held_back),
      in_park_sim(so_it_does_with_the_attempt_that_is_being_started),
      in_park_sim(who_waits_after_a_cancel_waits_for_an_attempt_that_was_just_being_started_and_says_so),
      in_park_sim(the_wait_after_a_cancel_is_bounded_in_real_time_whatever_the_clock),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
