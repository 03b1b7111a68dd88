/* Hedged calls on several threads: answers, delays, cancels and the closing of clients at the same moment. Whatever
 * comes first, `done` is called once, and nothing of the call is left once its clients are closed. */
#include <stdio.h>
#include <tether/hedge.h>

#include "rpc/client.h"
#include "tests/support/ctx_thread.h"
#include "tests/support/link_mem.h"
#include "tests/support/park.h"

enum { SERVERS = 2, ROUNDS = CTX_TEST_ROUNDS(8000) };

static struct {
  tst_mem_net *net;
  tst_park *parks[SERVERS];
  tether_client *clients[SERVERS]; /* new ones in every round */
  uint32_t seed;
  _Atomic int64_t began_ns; /* the round's call; TETHER_FOREVER: not yet */
  int64_t took_ns;          /* the last round's call, to aim with */
  int arrived;              /* before the round */
} f;

static int setup(void **state) {
  memset(&f, 0, sizeof f);
  f.seed = 12345;
  f.net = tst_mem_net_new(false);
  if (ctx_setup(state) != 0 || !f.net) return -1;
  tst_mem_net_use(f.net);
  for (int i = 0; i < SERVERS; i++)
    if (!(f.parks[i] = tst_park_open(&tst_transport_mem, i ? "mem://b" : "mem://a"))) return -1;
  return 0;
}

static int teardown(void **state) {
  for (int i = 0; i < SERVERS; i++) {
    tether_client_close(f.clients[i]);
    tst_park_close(f.parks[i]);
  }
  tst_mem_net_free(f.net);
  return ctx_teardown(state);
}

struct result {
  tst_latch latch;
  atomic_int calls;
  tether_call *call;
};

static void note(tether_call *call, void *data) {
  struct result *r = data;
  if (atomic_fetch_add(&r->calls, 1) == 0) r->call = tether_call_ref(call);
  tst_latch_open(&r->latch);
}

static int arrived(void) {
  int sum = 0;
  for (int i = 0; i < SERVERS; i++) sum += tst_park_arrived(f.parks[i]);
  return sum;
}

/* About when the answer comes. */
static int64_t about_then(void) { return (int64_t)(ctx_random(&f.seed) % (uint64_t)(f.took_ns + 1)); }

/* Starts a hedged call of clients that are new, or, if not, have connections. */
static void start(struct result *r, const tether_ctx *ctx, int max_attempts, int64_t delay_ns, bool connected) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED tether_ctx *bounded = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  for (int i = 0; i < SERVERS; i++) {
    assert_int_equal(tth_client_open_on(&tst_transport_mem, i ? "mem://b" : "mem://a", NULL, &f.clients[i]), TETHER_OK);
    if (connected) assert_int_equal(tether_client_wait_ready(f.clients[i], bounded), TETHER_OK);
  }
  tst_latch_init(&r->latch);
  atomic_store(&r->calls, 0);
  f.arrived = arrived();
  const tether_hedging hedging = {.max_attempts = max_attempts,
                                  .delay_ns = delay_ns,
                                  .non_fatal = 1u << TETHER_UNAVAILABLE,
                                  .clients = f.clients,
                                  .client_count = SERVERS};
  atomic_store(&f.began_ns, tst_now_ns());
  tether_call_hedged_start(&hedging, ctx, &tst_park_unary, &request.base, NULL, note, r);
}

/* Waits for the answer and closes the clients as soon as it is there. */
static tether_code finish(struct result *r) {
  assert_true(tst_latch_wait(&r->latch, RPC_TEST_BOUND_NS));
  f.took_ns = tst_now_ns() - atomic_load(&f.began_ns);
  for (int i = SERVERS - 1; i >= 0; i--) {
    tether_client_close(f.clients[i]);
    f.clients[i] = NULL;
  }
  assert_int_equal(atomic_load(&r->calls), 1);
  tether_code code = tether_call_code(r->call);
  tether_call_unref(r->call);
  tst_latch_fini(&r->latch);
  return code;
}

static void all_answer(tether_code code) {
  for (int i = 0; i < SERVERS; i++) tst_park_at_once(f.parks[i], (int)code);
}

static void an_answer_races_the_delay_and_the_clients_are_closed_at_once(void **state) {
  struct result r;
  int seconds = 0;
  (void)state;
  all_answer(TETHER_OK);
  for (int round = 0; round < ROUNDS; round++) {
    start(&r, tether_ctx_background(), 2, about_then(), round % 2);
    assert_int_equal(finish(&r), TETHER_OK);
    seconds += arrived() - f.arrived == 2;
  }
  print_message("a second attempt arrived in %d of %d rounds\n", seconds, ROUNDS);
}

static void answers_race_each_other(void **state) {
  struct result r;
  (void)state;
  all_answer(TETHER_OK);
  for (int round = 0; round < ROUNDS; round++) {
    start(&r, tether_ctx_background(), TETHER_HEDGE_MOST, 0, true);
    assert_int_equal(finish(&r), TETHER_OK);
  }
}

static void failures_race_the_delay_and_every_attempt_is_made_once(void **state) {
  struct result r;
  (void)state;
  all_answer(TETHER_UNAVAILABLE);
  for (int round = 0; round < ROUNDS; round++) {
    start(&r, tether_ctx_background(), TETHER_HEDGE_MOST, about_then() / TETHER_HEDGE_MOST, true);
    assert_int_equal(finish(&r), TETHER_UNAVAILABLE);
    assert_int_equal(arrived() - f.arrived, TETHER_HEDGE_MOST);
  }
}

/* The caller's cancel, on another thread. */
struct canceller {
  struct ctx_thread thread;
  tether_ctx *ctx;
  int64_t after_ns; /* since the call began */
};

static void cancel_then(void *data) {
  struct canceller *c = data;
  while (tst_now_ns() < tether_time_add(atomic_load(&f.began_ns), c->after_ns)) continue;
  tether_ctx_cancel(c->ctx);
}

static void a_cancel_races_answers_and_the_delay(void **state) {
  struct result r;
  int cancelled = 0;
  (void)state;
  all_answer(TETHER_OK);
  for (int round = 0; round < ROUNDS / 4; round++) {
    struct canceller canceller = {.ctx = tether_ctx_with_cancel(tether_ctx_background()), .after_ns = about_then()};
    atomic_store(&f.began_ns, TETHER_FOREVER);
    ctx_thread_start(&canceller.thread, cancel_then, &canceller);
    start(&r, canceller.ctx, 3, about_then(), round % 2);
    tether_code code = finish(&r);
    assert_true(code == TETHER_OK || code == TETHER_CANCELLED);
    cancelled += code == TETHER_CANCELLED;
    ctx_thread_join(&canceller.thread);
    tether_ctx_free(canceller.ctx);
  }
  print_message("cancelled in %d of %d rounds\n", cancelled, ROUNDS / 4);
}

#define CASE(test) \
  { #test, test, setup, teardown, NULL }

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(an_answer_races_the_delay_and_the_clients_are_closed_at_once),
      CASE(answers_race_each_other),
      CASE(failures_race_the_delay_and_every_attempt_is_made_once),
      CASE(a_cancel_races_answers_and_the_delay),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
