/* Random hedged calls in virtual time against a model of a page: which attempts leave and when, whose answer counts and
 * when, and how the handlers of the others end. A seed that fails is printed; TETHER_SEED=<n> runs it alone. */
#include <tether/hedge.h>

#include "tests/support/park_sim.h"

enum { SEEDS = CTX_TEST_ROUNDS(20000) };

/* What happens in one run. */
struct plan {
  int max_attempts;
  int64_t delay_ns, timeout_ns, cancel_ns; /* TETHER_FOREVER: none */
  struct {
    int64_t takes_ns; /* until its handler answers; TETHER_FOREVER: never */
    tether_code code;
  } attempts[TETHER_HEDGE_MOST];
};

/* What must come of it. */
struct outcome {
  int started;
  int64_t started_ns[TETHER_HEDGE_MOST], done_ns;
  int winner; /* -1: the context ended it */
  tether_code code;
};

enum { NON_FATAL = 1u << TETHER_UNAVAILABLE | 1u << TETHER_ABORTED };

static int64_t random_ns(uint32_t *seed, int64_t most_ns) {
  uint64_t high = ctx_random(seed), low = ctx_random(seed);
  return 1 + (int64_t)((high << 32 | low) % (uint64_t)most_ns); /* so fine that no two are ever the same */
}

static struct plan plan_of(uint32_t seed) {
  static const tether_code codes[] = {TETHER_OK,      TETHER_OK,          TETHER_UNAVAILABLE, TETHER_UNAVAILABLE,
                                      TETHER_ABORTED, TETHER_UNAVAILABLE, TETHER_NOT_FOUND};
  seed = seed * 2654435761u | 1;
  for (int i = 0; i < 4; i++) ctx_random(&seed);
  struct plan p = {.max_attempts = 1 + (int)(ctx_random(&seed) % (TETHER_HEDGE_MOST + 1)),
                   .delay_ns = random_ns(&seed, 40 * TETHER_MS),
                   .timeout_ns = random_ns(&seed, 200 * TETHER_MS),
                   .cancel_ns = random_ns(&seed, 400 * TETHER_MS)};
  if (ctx_random(&seed) % 8 == 0) p.delay_ns = 0;
  if (ctx_random(&seed) % 8 == 0) p.delay_ns = TETHER_FOREVER;
  if (ctx_random(&seed) % 2 == 0) p.cancel_ns = TETHER_FOREVER;
  for (int i = 0; i < TETHER_HEDGE_MOST; i++) {
    p.attempts[i].takes_ns = ctx_random(&seed) % 6 == 0 ? TETHER_FOREVER : random_ns(&seed, 100 * TETHER_MS);
    p.attempts[i].code = codes[ctx_random(&seed) % (sizeof codes / sizeof *codes)];
  }
  return p;
}

/* ---- The model ----------------------------------------------------------------------------- */

static int most_of(const struct plan *p) {
  return p->max_attempts < TETHER_HEDGE_MOST ? p->max_attempts : TETHER_HEDGE_MOST;
}

/* The running attempt that answers next; -1: none. */
static int next_answer(const struct plan *p, const struct outcome *o, const bool *ended, int64_t *at_ns) {
  int next = -1;
  *at_ns = TETHER_FOREVER;
  for (int i = 0; i < o->started; i++) {
    int64_t ns = tether_time_add(o->started_ns[i], p->attempts[i].takes_ns);
    if (!ended[i] && ns < *at_ns) {
      next = i;
      *at_ns = ns;
    }
  }
  return next;
}

static struct outcome model(const struct plan *p) {
  struct outcome o = {.started = 1, .winner = -1};
  bool ended[TETHER_HEDGE_MOST] = {false};
  int64_t over_ns = p->timeout_ns < p->cancel_ns ? p->timeout_ns : p->cancel_ns, now_ns;
  for (int running = 1;;) {
    int answers = next_answer(p, &o, ended, &now_ns);
    int64_t due_ns =
        o.started < most_of(p) ? tether_time_add(o.started_ns[o.started - 1], p->delay_ns) : TETHER_FOREVER;
    if (over_ns < now_ns && over_ns < due_ns) {
      o.done_ns = over_ns;
      o.code = p->timeout_ns < p->cancel_ns ? TETHER_DEADLINE_EXCEEDED : TETHER_CANCELLED;
      return o;
    }
    bool next = due_ns < now_ns;
    if (next) {
      now_ns = due_ns;
    } else {
      bool fatal = !(NON_FATAL & 1u << p->attempts[answers].code);
      ended[answers] = true;
      running--;
      next = !fatal && o.started < most_of(p);
      if (fatal || (!next && running == 0)) {
        o.done_ns = now_ns;
        o.code = p->attempts[answers].code;
        o.winner = answers;
        return o;
      }
    }
    if (next) {
      o.started_ns[o.started++] = now_ns;
      running++;
    }
  }
}

/* ---- The run ------------------------------------------------------------------------------- */

struct run {
  const struct plan *plan;
  int64_t begin_ns;
  int base[PARKS]; /* what has arrived before */
  int done;
  int64_t done_ns;
  tether_call *call;
  int64_t arrived_ns[TETHER_HEDGE_MOST];
  int arrived;
};

static void note(tether_call *call, void *data) {
  struct run *r = data;
  r->done++;
  r->done_ns = tether_now_ns() - r->begin_ns;
  r->call = tether_call_ref(call);
}

static tst_parked *handler_of(const struct run *r, int attempt) {
  int park = attempt % PARKS;
  return tst_park_at(park_sim()->parks[park], r->base[park] + attempt / PARKS);
}

static bool has_arrived(const struct run *r, int attempt) {
  int park = attempt % PARKS;
  return tst_park_arrived(park_sim()->parks[park]) > r->base[park] + attempt / PARKS;
}

static void look_for_arrivals(struct run *r) {
  while (r->arrived < TETHER_HEDGE_MOST && has_arrived(r, r->arrived))
    r->arrived_ns[r->arrived++] = tether_now_ns() - r->begin_ns;
}

/* Moves to the next thing that happens, which it makes happen if it is a handler's answer or the caller's cancel. */
static void step(struct run *r, tether_ctx *ctx, int64_t *next_ns) {
  const struct plan *p = r->plan;
  int64_t now_ns = tether_now_ns() - r->begin_ns,
          at_ns = *next_ns == TETHER_FOREVER ? TETHER_FOREVER : *next_ns - r->begin_ns;
  int answers = -1;
  bool cancels = tether_ctx_err(ctx) == TETHER_OK && p->cancel_ns < at_ns;
  if (cancels) at_ns = p->cancel_ns;
  for (int i = 0; i < r->arrived; i++) {
    int64_t ns = tether_time_add(r->arrived_ns[i], p->attempts[i].takes_ns);
    if (ns < at_ns && !atomic_load(&handler_of(r, i)->claimed)) {
      at_ns = ns;
      answers = i;
    }
  }
  assert_true(at_ns < TETHER_FOREVER);
  *next_ns = park_sim_pump(at_ns > now_ns ? at_ns - now_ns : 0);
  if (answers >= 0)
    assert_true(tst_parked_end(handler_of(r, answers), p->attempts[answers].code));
  else if (cancels)
    tether_ctx_cancel(ctx);
  look_for_arrivals(r);
  *next_ns = park_sim_pump(0);
  look_for_arrivals(r);
}

/* How the handlers end that are still there. */
static tether_cause_code cause_of(const struct outcome *o) {
  if (o->winner >= 0) return TETHER_CAUSE_HEDGE_LOST;
  return o->code == TETHER_DEADLINE_EXCEEDED ? TETHER_CAUSE_DEADLINE : TETHER_CAUSE_CALLER;
}

static void check(const struct run *r, const struct outcome *o) {
  assert_int_equal(r->done, 1);
  assert_int_equal(tether_call_code(r->call), o->code);
  assert_int_equal(r->done_ns, o->done_ns);
  assert_int_equal(r->arrived, o->started);
  for (int i = 0; i < o->started; i++) {
    tst_parked *handler = handler_of(r, i);
    bool late = tether_time_add(o->started_ns[i], r->plan->attempts[i].takes_ns) > o->done_ns;
    assert_int_equal(r->arrived_ns[i], o->started_ns[i]);
    assert_true(tst_parked_wait_gone(handler));
    assert_int_equal(tether_cause_get_code(handler->cause), late ? cause_of(o) : TETHER_CAUSE_NONE);
  }
}

static void run_seed(uint32_t seed) {
  const struct plan plan = plan_of(seed);
  const struct outcome outcome = model(&plan);
  struct run r = {.plan = &plan, .begin_ns = tether_now_ns()};
  for (int i = 0; i < PARKS; i++) r.base[i] = tst_park_arrived(park_sim()->parks[i]);
  const tether_hedging hedging = {.max_attempts = plan.max_attempts,
                                  .delay_ns = plan.delay_ns,
                                  .non_fatal = NON_FATAL,
                                  .clients = park_sim()->clients,
                                  .client_count = PARKS};
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_call_hedged_start(&hedging, ctx, &tst_park_unary, &request.base,
                           &(tether_call_options){.timeout_ns = plan.timeout_ns, .reserve_ns = -1}, note, &r);
  int64_t next_ns = park_sim_pump(0);
  look_for_arrivals(&r);
  for (int steps = 0; r.done == 0 && steps < 100; steps++) step(&r, ctx, &next_ns);
  park_sim_pump(TETHER_SEC); /* nothing more leaves */
  look_for_arrivals(&r);
  check(&r, &outcome);
  tether_call_unref(r.call);
}

static uint32_t seed; /* the one that runs; 0: none */

/* A server keeps every handler it had, so it is replaced from time to time. */
static void random_hedged_calls_end_as_the_model_says(void **state) {
  enum { AT_ONCE = 100 };
  const char *only = getenv("TETHER_SEED");
  uint32_t first = only ? (uint32_t)strtoul(only, NULL, 0) : 1, count = only ? 1 : SEEDS;
  print_message("seeds %u to %u\n", first, first + count - 1);
  for (uint32_t i = 0; i < count; i++) {
    seed = first + i;
    run_seed(seed);
    if (i % AT_ONCE == AT_ONCE - 1) {
      assert_int_equal(park_sim_teardown(state), 0);
      assert_int_equal(park_sim_setup(state), 0);
    }
  }
  seed = 0;
}

static int teardown(void **state) {
  if (seed) print_error("TETHER_SEED=%u\n", seed);
  return park_sim_teardown(state);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(random_hedged_calls_end_as_the_model_says, park_sim_setup, teardown)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
