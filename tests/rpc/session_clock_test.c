/* Deadlines between hosts whose clocks have nothing in common, over lines that take their time. */
#include <stdlib.h>

#include "tests/support/ctx_test.h"
#include "tests/support/session_net.h"

#define MS TETHER_MS
#define SEC TETHER_SEC
#define US (TETHER_MS / 1000)
#define HOUR (3600 * SEC)
#define NO_RESERVE (-1)

/* HELLO, and the burst of questions, over a line of at most 25 ms each way. */
#define SETTLED (300 * MS)

static void assert_near(int64_t error_ns, int64_t most_ns) {
  if (error_ns > most_ns || error_ns < -most_ns)
    fail_msg("off by %lld us, more than %lld", (long long)(error_ns / US), (long long)(most_ns / US));
}

static int64_t half(int64_t a_ns, int64_t b_ns) { return (a_ns > b_ns ? a_ns - b_ns : b_ns - a_ns) / 2; }

/* What a call's deadline is off by when its batch takes `more_ns` longer than the line, after `held_ns` at the sender.
 */
static int64_t error_of_late_call(tst_line *line, int64_t timeout_ns, int64_t held_ns, int64_t more_ns) {
  unsigned before = line->calls;
  int64_t deadline_ns = tst_line_call_for(line, timeout_ns, NO_RESERVE);
  line->held[TTH_CLIENT] = held_ns > 0;
  tst_net_run(line->net, held_ns);
  line->held[TTH_CLIENT] = false;
  line->delay_ns[TTH_CLIENT] += more_ns;
  tst_net_run(line->net, 0);
  line->delay_ns[TTH_CLIENT] -= more_ns;
  tst_net_run(line->net, line->delay_ns[TTH_CLIENT] + more_ns);
  assert_int_equal(line->calls, before + 1);
  return tst_line_error_ns(line, line->host[TTH_CLIENT], deadline_ns);
}

static int64_t error_of_call(tst_line *line) { return error_of_late_call(line, 100 * MS, 0, 0); }

static const struct pair {
  tst_host client, server;
  int64_t out_ns, back_ns;
} pairs[] = {
    {{10 * SEC, 0}, {10 * SEC, 0}, 20 * MS, 20 * MS},        {{10 * SEC, 0}, {9 * HOUR, 200}, 20 * MS, 20 * MS},
    {{9 * HOUR, 200}, {1 * SEC, 0}, 19 * MS, 21 * MS},       {{1 * SEC, -100}, {2400 * HOUR, 100}, 21 * MS, 19 * MS},
    {{2400 * HOUR, 100}, {5 * SEC, -100}, 20 * MS, 22 * MS}, {{77 * SEC, 0}, {78 * SEC, -200}, 22 * MS, 20 * MS},
};

/* ---- One hop ------------------------------------------------------------------------------- */

static void after_the_burst_a_deadline_is_the_same_instant_on_both_hosts(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
    struct pair pair = pairs[i];
    tst_net net = {0};
    tst_line *line = tst_net_connect(&net, &pair.client, &pair.server, pair.out_ns, pair.back_ns);
    tst_net_run(&net, SETTLED);
    assert_int_equal(line->pings, TTH_CLOCK_BURST);
    assert_near(error_of_call(line), half(pair.out_ns, pair.back_ns) + 100 * US);
    assert_true(line->stamped);
    tst_net_fini(&net);
  }
}

static void queueing_at_the_sender_and_on_the_line_is_charged_to_the_call(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
    struct pair pair = pairs[i];
    tst_net net = {0};
    tst_line *line = tst_net_connect(&net, &pair.client, &pair.server, pair.out_ns, pair.back_ns);
    tst_net_run(&net, SETTLED);
    int64_t most_ns = half(pair.out_ns, pair.back_ns) + 100 * US + 400 * MS / 5000; /* 400 ms of 200 ppm */
    assert_near(error_of_late_call(line, 400 * MS, 300 * MS, 0), most_ns);
    assert_near(error_of_late_call(line, 400 * MS, 0, 300 * MS), most_ns);
    tst_net_fini(&net);
  }
}

static void a_call_whose_time_passes_on_the_way_arrives_expired(void **state) {
  (void)state;
  struct pair pair = pairs[1];
  tst_net net = {0};
  tst_line *line = tst_net_connect(&net, &pair.client, &pair.server, pair.out_ns, pair.back_ns);
  tst_net_run(&net, SETTLED);
  (void)error_of_late_call(line, 500 * MS, 0, 600 * MS);
  assert_true(line->deadline_ns <= tst_host_now_ns(&pair.server, net.true_ns) - 99 * MS);
  tst_net_fini(&net);
}

static void until_the_burst_is_answered_the_plain_timeout_counts_from_the_arrival(void **state) {
  (void)state;
  tst_host client = {HOUR, 0}, server = {SEC, 0};
  tst_net net = {0};
  tst_line *line = tst_net_connect(&net, &client, &server, 20 * MS, 20 * MS);
  tst_net_run(&net, 25 * MS);      /* HELLO has come */
  while (net.true_ns < 180 * MS) { /* and four times there and back */
    assert_int_equal(error_of_call(line), 20 * MS);
    assert_false(line->stamped);
  }
  assert_near(error_of_call(line), 1);
  assert_true(line->stamped);
  tst_net_fini(&net);
}

/* ---- As time goes by ----------------------------------------------------------------------- */

static void an_estimate_lasts_while_the_clocks_cannot_have_drifted_far(void **state) {
  (void)state;
  tst_host client = {HOUR, 0}, server = {SEC, 0};
  tst_net net = {0};
  /* Half of the round trip is 200 us: 1 ms of drift counts, which is 10 s; half of it is 20 ms: 200 s. */
  static const struct { int64_t way_ns, lasts_ns; } lines[] = {{200 * US, 10 * SEC}, {20 * MS, 200 * SEC}};
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    for (int late = 0; late <= 1; late++) {
      tst_line *line = tst_net_connect(&net, &client, &server, lines[i].way_ns, lines[i].way_ns);
      tst_net_run(&net, 9 * lines[i].way_ns); /* the last PONG has just come */
      assert_int_equal(line->pongs, TTH_CLOCK_BURST);
      tst_net_run(&net, late ? lines[i].lasts_ns + MS : lines[i].lasts_ns - SEC);
      int64_t error_ns = error_of_call(line);
      assert_int_equal(line->stamped, !late);
      assert_near(error_ns - (late ? lines[i].way_ns : 0), 1);
      /* The call took a question along, and where the estimate was stale that began a new burst. */
      tst_net_run(&net, SETTLED);
      assert_int_equal(line->pongs, TTH_CLOCK_BURST + (late ? TTH_CLOCK_BURST : 1));
      assert_near(error_of_call(line), 1);
      assert_true(line->stamped);
    }
  }
  tst_net_fini(&net);
}

static void answers_that_were_held_up_change_nothing_however_many(void **state) {
  (void)state;
  tst_host client = {HOUR, 0}, server = {SEC, 50};
  tst_net net = {0};
  tst_line *line = tst_net_connect(&net, &client, &server, 20 * MS, 20 * MS);
  tst_net_run(&net, SETTLED);
  line->delay_ns[TTH_SERVER] += 300 * MS; /* behind a minute of messages */
  int64_t worst_ns = 0;
  for (int i = 0; i < 60; i++) {
    int64_t error_ns = error_of_call(line);
    assert_true(line->stamped);
    if (llabs(error_ns) > worst_ns) worst_ns = llabs(error_ns);
    tst_net_run(&net, SEC);
  }
  assert_true(line->pongs >= 30);
  assert_near(worst_ns, 62 * 50 * US + 100 * US); /* what the clocks drifted meanwhile */
  tst_net_fini(&net);
}

static void over_an_uneven_line_the_estimate_follows_clocks_that_drift(void **state) {
  (void)state;
  tst_host client = {HOUR, -25}, server = {SEC, 25};
  tst_net net = {0};
  tst_line *line = tst_net_connect(&net, &client, &server, 20 * MS, 20 * MS);
  uint64_t seed = 1;
  unsigned calls = 0;
  for (; net.true_ns < 600 * SEC; calls++) {
    for (int role = TTH_CLIENT; role <= TTH_SERVER; role++) {
      seed = seed * 6364136223846793005u + 1442695040888963407u;
      line->delay_ns[role] = 20 * MS + (int64_t)(seed >> 33) % (2 * MS);
    }
    tst_net_run(&net, 280 * MS);
    int64_t error_ns = error_of_call(line);
    /* Half of the unevenness, and as much again before a fresh sample is the better one. */
    if (line->stamped) assert_near(error_ns, 2 * MS + 100 * US);
    assert_true(line->stamped || net.true_ns < SEC);
  }
  assert_true(line->pings <= 600 + TTH_CLOCK_BURST);
  tst_net_fini(&net);
}

static void clocks_that_drift_faster_than_clocks_do_are_followed_too(void **state) {
  (void)state;
  tst_host client = {HOUR, 0}, server = {SEC, 2000};
  tst_net net = {0};
  tst_line *line = tst_net_connect(&net, &client, &server, 100 * US, 100 * US);
  tst_net_run(&net, SETTLED);
  while (net.true_ns < 60 * SEC) {
    assert_near(error_of_call(line), 2 * 2000 * US + 500 * US * 2); /* two seconds of drift, half a second's own */
    assert_true(line->stamped);
    tst_net_run(&net, 500 * MS);
  }
  tst_net_fini(&net);
}

static void one_answer_finds_out_that_a_host_was_suspended(void **state) {
  (void)state;
  for (int role = TTH_CLIENT; role <= TTH_SERVER; role++) {
    tst_host hosts[] = {{10 * HOUR, 0}, {20 * HOUR, 0}};
    tst_net net = {0};
    tst_line *line = tst_net_connect(&net, &hosts[TTH_CLIENT], &hosts[TTH_SERVER], 20 * MS, 20 * MS);
    tst_net_run(&net, 2 * SEC);
    net.true_ns += 60 * SEC;
    hosts[role].skew_ns -= 60 * SEC;
    line->delay_ns[TTH_CLIENT] = line->delay_ns[TTH_SERVER] = 40 * MS; /* so that the new sample is the worse one */
    int64_t error_ns = error_of_call(line);                            /* takes the question along */
    if (role == TTH_SERVER) assert_int_equal(error_ns, 40 * MS);       /* as if nothing were known */
    tst_net_run(&net, 50 * MS);
    assert_near(error_of_call(line), 100 * US);
    assert_true(line->stamped);
    tst_net_fini(&net);
  }
}

/* ---- Hops ---------------------------------------------------------------------------------- */

#define HOPS 5

/* What the leaf's deadline is off by. */
static int64_t error_of_chain(int64_t uneven_ns, int64_t drift_ppm, int64_t reserve_ns, bool settled) {
  tst_host hosts[HOPS + 1];
  tst_net net = {.relays = true, .reserve_ns = reserve_ns};
  for (int i = 0; i <= HOPS; i++)
    hosts[i] = (tst_host){.skew_ns = (i * 7919 % 13 + 1) * HOUR, .drift_ppm = i % 2 ? drift_ppm : 0};
  for (int i = 0; i < HOPS; i++)
    (void)tst_net_connect(&net, &hosts[i], &hosts[i + 1], 20 * MS + uneven_ns, 20 * MS - uneven_ns);
  tst_net_run(&net, settled ? SETTLED : 30 * MS);
  int64_t deadline_ns = tst_line_call_for(&net.lines[0], SEC, reserve_ns);
  tst_net_run(&net, HOPS * 25 * MS);
  const tst_line *leaf = &net.lines[HOPS - 1];
  assert_int_equal(leaf->calls, 1);
  assert_int_equal(leaf->stamped, settled);
  int64_t error_ns = tst_line_error_ns(leaf, &hosts[0], deadline_ns);
  tst_net_fini(&net);
  return error_ns;
}

static void over_five_hops_of_20_ms_the_leafs_deadline_is_the_roots(void **state) {
  (void)state;
  assert_near(error_of_chain(0, 0, NO_RESERVE, true), HOPS);
  assert_near(error_of_chain(0, 200, NO_RESERVE, true), 2 * MS);
  assert_near(error_of_chain(MS, 0, NO_RESERVE, true), HOPS * MS + HOPS);
  assert_near(error_of_chain(-MS, 200, NO_RESERVE, true), HOPS * MS + 2 * MS);
}

static void over_five_hops_without_estimates_every_way_is_given_away(void **state) {
  (void)state;
  assert_int_equal(error_of_chain(0, 0, NO_RESERVE, false), HOPS * 20 * MS);
}

static void each_hop_keeps_back_what_its_answer_needs(void **state) {
  (void)state;
  assert_near(error_of_chain(0, 0, 0, true) + HOPS * 21 * MS, HOPS);
  assert_near(error_of_chain(0, 0, 30 * MS, true) + HOPS * 30 * MS, HOPS);
  assert_near(error_of_chain(0, 0, 0, false) + HOPS * 1 * MS, HOPS * 20 * MS);
}

/* ---- Arithmetic ---------------------------------------------------------------------------- */

static void the_reserve_is_bounded_and_never_makes_a_call_expired(void **state) {
  (void)state;
  static const struct {
    int64_t rtt_ns, left_ns, reserve_ns, told_ns;
  } cases[] = {
      {40 * MS, 10 * SEC, 0, 10 * SEC - 21 * MS}, /* measured: half a round trip and 1 ms */
      {-1, 10 * SEC, 0, 10 * SEC - MS},           /* not measured yet */
      {40 * MS, 80 * MS, 0, 70 * MS},             /* an eighth of what is left */
      {40 * MS, 7, 0, 7},
      {40 * MS, 1, 0, 1},
      {INT64_MAX / 4, TETHER_FOREVER - 1, 0, TETHER_FOREVER - 1 - (TETHER_FOREVER - 1) / 8},
      {40 * MS, 10 * SEC, 3 * SEC, 7 * SEC}, /* given */
      {40 * MS, 10 * SEC, 6 * SEC, 5 * SEC}, /* half of what is left */
      {40 * MS, 10 * SEC, INT64_MAX, 5 * SEC},
      {40 * MS, 1, INT64_MAX, 1},
      {40 * MS, 10 * SEC, -1, 10 * SEC}, /* none */
      {40 * MS, 1, INT64_MIN, 1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    tth_peer_clock clock = {.known = cases[i].rtt_ns >= 0, .rtt_ns = cases[i].rtt_ns >= 0 ? cases[i].rtt_ns : 0};
    assert_int_equal(tth_peer_clock_timeout(&clock, cases[i].left_ns, cases[i].reserve_ns), cases[i].told_ns);
  }
}

static int64_t measured_reserve(const tth_peer_clock *clock) {
  return 10 * SEC - tth_peer_clock_timeout(clock, 10 * SEC, 0);
}

static void the_reserve_grows_with_how_late_answers_come_and_shrinks_again(void **state) {
  (void)state;
  tth_peer_clock clock = {0};
  assert_int_equal(measured_reserve(&clock), MS);
  tth_peer_clock_late(&clock, 10 * MS);
  assert_int_equal(measured_reserve(&clock), 30 * MS); /* mean 10, mean deviation 5 */
  for (int i = 0; i < 30; i++) tth_peer_clock_late(&clock, 10 * MS);
  assert_true(measured_reserve(&clock) >= 10 * MS && measured_reserve(&clock) < 11 * MS);
  tth_peer_clock_late(&clock, 20 * MS);
  assert_true(measured_reserve(&clock) > 20 * MS);
  for (int i = 0; i < 60; i++) tth_peer_clock_late(&clock, MS / 2);
  assert_int_equal(measured_reserve(&clock), MS);
}

static void an_answer_that_took_for_ever_counts_as_100_ms(void **state) {
  (void)state;
  tth_peer_clock clock = {0}, other = {0};
  tth_peer_clock_late(&clock, INT64_MAX);
  tth_peer_clock_late(&other, 100 * MS);
  assert_int_equal(measured_reserve(&clock), measured_reserve(&other));
  for (int i = 0; i < 1000; i++) tth_peer_clock_late(&clock, i % 2 ? INT64_MAX : 1);
  assert_true(measured_reserve(&clock) <= 300 * MS);
}

static void a_deadline_is_what_was_left_less_the_time_on_the_way(void **state) {
  (void)state;
  static const struct {
    int64_t timeout_ns, sent_at_ns, now_ns, deadline_ns;
  } cases[] = {
      {SEC, 100 * SEC, 100 * SEC + 20 * MS, 101 * SEC},
      {SEC, INT64_MIN, 100 * SEC, 101 * SEC},     /* not known: nothing is charged */
      {SEC, 100 * SEC + 1, 100 * SEC, 101 * SEC}, /* from the future: neither given */
      {SEC, INT64_MAX, 100 * SEC, 101 * SEC},
      {SEC, 90 * SEC, 100 * SEC, 91 * SEC}, /* expired on the way */
      {0, 100 * SEC, 100 * SEC, 100 * SEC},
      {INT64_MAX, 100 * SEC, 101 * SEC, TETHER_FOREVER}, /* saturates */
      {INT64_MIN, 100 * SEC, 101 * SEC, INT64_MIN + 100 * SEC},
      {INT64_MIN, -100 * SEC, 101 * SEC, INT64_MIN},
      {SEC, INT64_MIN + 1, 100 * SEC, INT64_MIN + 1 + SEC},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_int_equal(tth_deadline_of(cases[i].timeout_ns, cases[i].sent_at_ns, cases[i].now_ns), cases[i].deadline_ns);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(after_the_burst_a_deadline_is_the_same_instant_on_both_hosts),
      cmocka_unit_test(queueing_at_the_sender_and_on_the_line_is_charged_to_the_call),
      cmocka_unit_test(a_call_whose_time_passes_on_the_way_arrives_expired),
      cmocka_unit_test(until_the_burst_is_answered_the_plain_timeout_counts_from_the_arrival),
      cmocka_unit_test(an_estimate_lasts_while_the_clocks_cannot_have_drifted_far),
      cmocka_unit_test(answers_that_were_held_up_change_nothing_however_many),
      cmocka_unit_test(over_an_uneven_line_the_estimate_follows_clocks_that_drift),
      cmocka_unit_test(clocks_that_drift_faster_than_clocks_do_are_followed_too),
      cmocka_unit_test(one_answer_finds_out_that_a_host_was_suspended),
      cmocka_unit_test(over_five_hops_of_20_ms_the_leafs_deadline_is_the_roots),
      cmocka_unit_test(over_five_hops_without_estimates_every_way_is_given_away),
      cmocka_unit_test(each_hop_keeps_back_what_its_answer_needs),
      cmocka_unit_test(the_reserve_is_bounded_and_never_makes_a_call_expired),
      cmocka_unit_test(the_reserve_grows_with_how_late_answers_come_and_shrinks_again),
      cmocka_unit_test(an_answer_that_took_for_ever_counts_as_100_ms),
      cmocka_unit_test(a_deadline_is_what_was_left_less_the_time_on_the_way),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
