/* One verdict where it is hardest: the reply reaches the client within 50 us of its call's deadline or cancel. Each
 * thread has a connection of its own and one call at a time on it; where a call's end is put follows from how far the
 * last ones were off. A tap on the client's link sees replies land, also those that come too late, on the clock that
 * deadlines are on. Only OK replies count: what a server answers to a cancel lands close to it by itself.
 *
 * TETHER_CROSSINGS=n goes on until n replies have landed so close. */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/client.h"
#include "rpc/frame.h"
#include "tests/support/frames.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { CALLS = 3000 };
#else
enum { CALLS = 15000 };
#endif
enum { THREADS = 4, CHECK_EVERY = 16, TRIES_MOST = 100 };

#define CLOSE_NS (50 * TETHER_US)

/* ---- The tap --------------------------------------------------------------------------------- */

/* What passes on the one connection of a client. */
struct tap {
  const tth_link *link;
  const tth_link_events *events; /* of the connection */
  void *owner;
  atomic_uint asked; /* stream of the last HEADERS that left */
  atomic_int code;   /* of the last TRAILERS, and when they came */
  atomic_llong landed_ns;
  atomic_uint answered; /* their stream, the newest; written last */
};

static struct tap taps[THREADS];
static atomic_uint taps_used;

/* What a tapped link's operations are. */
struct tapped {
  tth_link_ops ops; /* first */
  const tth_link_ops *real;
};

static const tth_link_ops *real_ops(const tth_link *link) { return ((const struct tapped *)link->ops)->real; }

static void tap_received(void *data, const uint8_t *batch, size_t len) {
  struct tap *tap = data;
  const uint8_t *at = batch;
  size_t left = len;
  int64_t now_ns = tether_now_ns();
  for (tth_frame frame; tth_frame_get(at, left, &frame);
       at += TTH_FRAME_HEADER + frame.length, left -= TTH_FRAME_HEADER + frame.length) {
    /* A call may seem to be unsent and leave after all; its answer may come behind that of the next. */
    if (frame.type != TTH_TRAILERS || (int32_t)(frame.stream - atomic_load(&tap->answered)) <= 0) continue;
    atomic_store(&tap->code, tst_trailers_code(&frame));
    atomic_store(&tap->landed_ns, now_ns);
    atomic_store(&tap->answered, frame.stream);
  }
  tap->events->received(tap->owner, batch, len);
}

static void tap_sent(void *data) {
  struct tap *tap = data;
  tap->events->sent(tap->owner);
}

static void tap_closed(void *data, const char *why) {
  struct tap *tap = data;
  tap->events->closed(tap->owner, why);
}

static void tap_burst(void *data, bool begins) {
  struct tap *tap = data;
  if (tap->events->burst) tap->events->burst(tap->owner, begins);
}

static bool tap_may_pull(void *data, bool led) {
  struct tap *tap = data;
  return tap->events->may_pull(tap->owner, led);
}

static void tap_unled(void *data) {
  struct tap *tap = data;
  tap->events->unled(tap->owner);
}

static void tap_start(tth_link *link, const tth_link_events *events, void *owner) {
  static const tth_link_events tapped = {.received = tap_received,
                                         .sent = tap_sent,
                                         .closed = tap_closed,
                                         .burst = tap_burst,
                                         .may_pull = tap_may_pull,
                                         .unled = tap_unled};
  unsigned number = atomic_fetch_add(&taps_used, 1);
  taps[number] = (struct tap){.link = link, .events = events, .owner = owner};
  real_ops(link)->start(link, &tapped, &taps[number]);
}

static void note_asked(const tth_link *link, const uint8_t *batch, size_t len) {
  struct tap *tap = taps;
  while (tap->link != link) tap++;
  for (tth_frame frame; tth_frame_get(batch, len, &frame);
       batch += TTH_FRAME_HEADER + frame.length, len -= TTH_FRAME_HEADER + frame.length)
    if (frame.type == TTH_HEADERS) atomic_store(&tap->asked, frame.stream);
}

static void tap_send(tth_link *link, const uint8_t *batch, size_t len) {
  note_asked(link, batch, len);
  real_ops(link)->send(link, batch, len);
}

static bool tap_send_now(tth_link *link, const uint8_t *batch, size_t len) {
  note_asked(link, batch, len);
  return real_ops(link)->send_now(link, batch, len);
}

/* Whose attempt it is. */
struct dialing {
  void (*done)(void *owner, tth_link *link, const char *why);
  void *owner;
};

static void tap_dialed(void *data, tth_link *link, const char *why) {
  static struct tapped all[THREADS]; /* one each: others are in use already */
  static atomic_uint used;
  struct dialing dialing = *(struct dialing *)data;
  free(data);
  if (link) {
    unsigned number = atomic_fetch_add(&used, 1);
    if (number >= THREADS) abort(); /* nothing here loses a connection */
    struct tapped *tapped = &all[number];
    *tapped = (struct tapped){.ops = *link->ops, .real = link->ops};
    tapped->ops.start = tap_start;
    tapped->ops.send = tap_send;
    tapped->ops.send_now = tap_send_now;
    link->ops = &tapped->ops;
  }
  dialing.done(dialing.owner, link, why);
}

static void tap_dial(tth_dialer *dialer, int64_t timeout_ns, void (*done)(void *owner, tth_link *link, const char *why),
                     void *owner) {
  struct dialing *dialing = malloc(sizeof *dialing);
  if (!dialing) abort();
  *dialing = (struct dialing){done, owner};
  tth_transport_nng.dial(dialer, timeout_ns, tap_dialed, dialing);
}

/* ---- Calls ----------------------------------------------------------------------------------- */

struct racer {
  struct rpc_fixture *f;
  tether_client *client;
  struct tap *tap;
  uint64_t random;
  int64_t lead_ns[2][2]; /* from a call's start to its end, by what ends it and by method */
  unsigned calls, codes[TETHER_CODES];
  bool may_come; /* the last call's end came about when it left: its answer may be taken for the next one's */
  tether_client_stats counted;
  tether_server_stats counted_there;
  unsigned close[2][2]; /* replies that came so close to a deadline or a cancel: before it, and after it */
  atomic_uint ends;
  const char *wrong;
  pthread_t thread;
};

static struct racer racers[THREADS];
static atomic_uint close_count;
static unsigned wanted; /* 0: so many calls as there are */

static uint32_t draw(struct racer *r, uint32_t below) {
  r->random = r->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)(r->random >> 33) % below;
}

/* Nearly always soon. */
static bool wait_for(bool (*condition)(void *data), struct racer *r) {
  for (int i = 0; i < 2000; i++) {
    if (condition(r)) return true;
    sched_yield();
  }
  return tst_wait_until(condition, r, TST_BOUND_NS);
}

static bool is_answered(void *data) {
  const struct tap *tap = ((struct racer *)data)->tap;
  return atomic_load(&tap->answered) == atomic_load(&tap->asked);
}

static bool has_ended_once_each(void *data) {
  struct racer *r = data;
  return atomic_load(&r->ends) == r->calls;
}

static bool agrees(void *data) {
  struct racer *r = data;
  tether_client_get_stats(r->client, &r->counted);
  if (tether_server_get_stats(r->f->server, NULL, &r->counted_there) != TETHER_OK) return false;
  uint64_t calls = r->counted.unsent;
  for (int i = 0; i < TETHER_CODES; i++) calls += r->counted.ended[i];
  return calls == r->calls && memcmp(r->counted.ended, r->counted_there.ended, sizeof r->counted.ended) == 0;
}

static void print_counted(const struct racer *r) {
  print_error("%u calls, %llu of them unsent\n", r->calls, (unsigned long long)r->counted.unsent);
  for (int i = 0; i < TETHER_CODES; i++)
    print_error("%s: client %llu, server %llu\n", tether_code_name((tether_code)i),
                (unsigned long long)r->counted.ended[i], (unsigned long long)r->counted_there.ended[i]);
}

static void on_done(tether_call *call, void *data) {
  struct racer *r = data;
  (void)call;
  atomic_fetch_add(&r->ends, 1);
}

/* Where the reply landed, seen from the end; and where the next end is put. */
static void note_landing(struct racer *r, bool cancels, int64_t *lead_ns, int64_t end_ns) {
  int64_t late_ns = atomic_load(&r->tap->landed_ns) - end_ns;
  int64_t step_ns = late_ns / 4;
  *lead_ns += step_ns > 20 * TETHER_US ? 20 * TETHER_US : step_ns < -20 * TETHER_US ? -20 * TETHER_US : step_ns;
  if (*lead_ns < TETHER_US) *lead_ns = TETHER_US;
  if (r->may_come || atomic_load(&r->tap->code) != TETHER_OK || late_ns > CLOSE_NS || late_ns < -CLOSE_NS) return;
  r->close[cancels][late_ns > 0]++;
  atomic_fetch_add(&close_count, 1);
}

static void one_call(struct racer *r) {
  bool cancels = draw(r, 2), pooled = draw(r, 2);
  int64_t *lead_ns = &r->lead_ns[cancels][pooled], aim_ns = *lead_ns + draw(r, 40) * TETHER_US - 20 * TETHER_US;
  uint32_t asked = atomic_load(&r->tap->asked);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  const tether_call_options options = {.reserve_ns = draw(r, 2) ? -1 : 0};
  int64_t end_ns = tether_now_ns() + (aim_ns > TETHER_US ? aim_ns : TETHER_US);
  TETHER_SCOPED tether_ctx *ctx =
      tether_ctx_with_deadline(tether_ctx_background(), cancels ? end_ns + RPC_TEST_BOUND_NS : end_ns);
  r->calls++;
  TETHER_SCOPED_CALL tether_call *call =
      (pooled ? testing_v1_echo_client_pooled_start : testing_v1_echo_client_quick_start)(r->client, ctx, &request,
                                                                                          &options, on_done, r);
  if (cancels) {
    while (tether_now_ns() < end_ns) continue;
    end_ns = tether_now_ns();
    tether_call_cancel(call, NULL);
  }
  r->codes[tether_call_wait(call)]++;
  bool left = atomic_load(&r->tap->asked) != asked;
  if (!left)
    *lead_ns += 10 * TETHER_US;
  else if (wait_for(is_answered, r))
    note_landing(r, cancels, lead_ns, end_ns);
  else
    r->wrong = "a call was never answered";
  r->may_come = !left;
}

static bool goes_on(const struct racer *r) {
  if (r->wrong) return false;
  return wanted ? atomic_load(&close_count) < wanted && r->calls < TRIES_MOST * (uint64_t)wanted : r->calls < CALLS;
}

/* A call or two after it happened, one that ended twice, never, or in two ways is found out. */
static void *race(void *data) {
  struct racer *r = data;
  while (goes_on(r)) {
    one_call(r);
    if (r->wrong || (r->calls % CHECK_EVERY && goes_on(r))) continue;
    if (!wait_for(has_ended_once_each, r)) r->wrong = "a call ended twice, or not at all";
    if (!wait_for(agrees, r)) r->wrong = "client and server differ";
  }
  return NULL;
}

/* ---- The test -------------------------------------------------------------------------------- */

static tth_transport tapped_nng;

static int open_racer(struct racer *r, unsigned number) {
  void *fixture;
  if (rpc_fixture_open(&fixture, NULL, NULL) != 0) return -1;
  *r = (struct racer){.f = fixture, .tap = &taps[number]};
  const char *seed = getenv("TETHER_SEED");
  r->random = (seed ? strtoull(seed, NULL, 0) : 1) + number;
  for (int i = 0; i < 4; i++) r->lead_ns[i / 2][i % 2] = 100 * TETHER_US;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  if (tth_client_open_on(&tapped_nng, r->f->url, NULL, &r->client) != TETHER_OK) return -1;
  return tether_client_wait_ready(r->client, ctx) == TETHER_OK ? 0 : -1;
}

static int setup(void **state) {
  (void)state;
  tapped_nng = tth_transport_nng;
  tapped_nng.dial = tap_dial;
  for (unsigned i = 0; i < THREADS; i++)
    if (open_racer(&racers[i], i) != 0) return -1;
  return 0;
}

static int teardown(void **state) {
  (void)state;
  for (unsigned i = 0; i < THREADS; i++) {
    void *fixture = racers[i].f;
    tether_client_close(racers[i].client);
    if (!fixture || rpc_fixture_close(&fixture) != 0) return -1;
  }
  return 0;
}

static void both_sides_agree_on_replies_that_meet_their_deadline_or_cancel(void **state) {
  (void)state;
  const char *text = getenv("TETHER_CROSSINGS");
  wanted = text ? (unsigned)strtoul(text, NULL, 0) : 0;
  for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
  unsigned calls = 0, unsent = 0, close[2][2] = {{0}}, codes[TETHER_CODES] = {0};
  for (int i = 0; i < THREADS; i++) {
    struct racer *r = &racers[i];
    pthread_join(r->thread, NULL);
    calls += r->calls;
    unsent += (unsigned)r->counted.unsent;
    for (int j = 0; j < 4; j++) close[j / 2][j % 2] += r->close[j / 2][j % 2];
    for (int j = 0; j < TETHER_CODES; j++) codes[j] += r->codes[j];
  }
  print_message("%u calls, %u never sent: OK %u, CANCELLED %u, DEADLINE_EXCEEDED %u\n", calls, unsent, codes[TETHER_OK],
                codes[TETHER_CANCELLED], codes[TETHER_DEADLINE_EXCEEDED]);
  print_message(
      "%u replies landed within 50 us of their deadline or cancel: %u before a deadline, %u after one, "
      "%u before a cancel, %u after one\n",
      atomic_load(&close_count), close[0][0], close[0][1], close[1][0], close[1][1]);
  for (int i = 0; i < THREADS; i++)
    if (racers[i].wrong) {
      print_counted(&racers[i]);
      fail_msg("%s", racers[i].wrong);
    }
  assert_int_equal(codes[TETHER_OK] + codes[TETHER_CANCELLED] + codes[TETHER_DEADLINE_EXCEEDED], calls);
  assert_true(codes[TETHER_OK] > 0 && codes[TETHER_CANCELLED] > 0 && codes[TETHER_DEADLINE_EXCEEDED] > 0);
  assert_true(atomic_load(&close_count) > 0 && atomic_load(&close_count) >= wanted);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(both_sides_agree_on_replies_that_meet_their_deadline_or_cancel, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
