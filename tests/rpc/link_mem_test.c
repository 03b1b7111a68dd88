/* The in-memory transport keeps the contract of rpc/link.h, and its faults do what they say. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/link_mem.h"
#include "tests/support/link_probe.h"

#include <setjmp.h>

#include <cmocka.h>

static void assert_fine(tst_probe *probe) {
  const char *complaint = atomic_load(&probe->complaint);
  if (complaint) fail_msg("%s", complaint);
}

typedef struct pair {
  tst_mem_net *net;
  tst_probe a, b;
} pair;

static void open_pair(pair *p, bool manual) {
  tth_link *a, *b;
  p->net = tst_mem_net_new(manual);
  assert_non_null(p->net);
  tst_probe_init(&p->a);
  tst_probe_init(&p->b);
  tst_link_pair(p->net, &a, &b);
  tst_probe_start(&p->a, a);
  tst_probe_start(&p->b, b);
}

/* Both ends must be closed by now. */
static void close_pair(pair *p) {
  assert_true(tst_counter_wait(&p->a.closed, 1, TST_BOUND_NS));
  assert_true(tst_counter_wait(&p->b.closed, 1, TST_BOUND_NS));
  assert_fine(&p->a);
  assert_fine(&p->b);
  tst_probe_fini(&p->a);
  tst_probe_fini(&p->b);
  tst_mem_net_free(p->net);
}

static int64_t batches(tst_probe *probe) { return tst_counter_get(&probe->batches); }
static int64_t sent(tst_probe *probe) { return tst_counter_get(&probe->sent); }
static int64_t closed(tst_probe *probe) { return tst_counter_get(&probe->closed); }

/* ---- By itself ------------------------------------------------------------------------------ */

static void batches_arrive_whole_and_in_order(void **state) {
  pair p;
  (void)state;
  open_pair(&p, false);
  for (size_t len = 1; len <= TTH_BATCH_MAX; len *= 8) {
    assert_true(tst_probe_send_all(&p.a, 20, len));
    assert_true(tst_probe_send_all(&p.b, 20, len));
  }
  assert_true(tst_counter_wait(&p.b.batches, sent(&p.a), TST_BOUND_NS));
  assert_true(tst_counter_wait(&p.a.batches, sent(&p.b), TST_BOUND_NS));
  tst_mem_stats stats = tst_mem_stats_of(p.a.link);
  assert_int_equal(stats.batches_sent, sent(&p.a));
  assert_int_equal(stats.batches_received, sent(&p.b));
  assert_int_equal(stats.bytes_received, tst_counter_get(&p.a.bytes));
  tst_probe_close(&p.a);
  close_pair(&p);
  assert_string_equal(p.a.why, "closed");
  assert_string_equal(p.b.why, "closed by the peer");
}

static void what_was_sent_before_a_close_arrives_before_it(void **state) {
  (void)state;
  for (int i = 0; i < 200; i++) {
    pair p;
    open_pair(&p, false);
    assert_true(tst_probe_send_all(&p.a, 3, 100));
    tst_probe_close(&p.a);
    assert_true(tst_counter_wait(&p.b.closed, 1, TST_BOUND_NS));
    assert_int_equal(batches(&p.b), 3);
    close_pair(&p);
  }
}

static void a_link_may_be_closed_in_received_and_freed_in_closed(void **state) {
  pair p;
  (void)state;
  open_pair(&p, false);
  p.b.close_in_received = p.b.free_in_closed = p.a.free_in_closed = true;
  tst_probe_send(&p.a, 10);
  close_pair(&p);
  assert_string_equal(p.a.why, "closed by the peer");
}

static void a_delay_is_real_time_without_a_hand_on_the_clock(void **state) {
  pair p;
  (void)state;
  open_pair(&p, false);
  tst_mem_delay(p.a.link, 30 * TETHER_MS);
  int64_t start_ns = tst_now_ns();
  tst_probe_send(&p.a, 10);
  assert_true(tst_counter_wait(&p.b.batches, 1, TST_BOUND_NS));
  assert_true(tst_now_ns() - start_ns >= 30 * TETHER_MS);
  tst_probe_close(&p.b);
  close_pair(&p);
}

/* ---- By hand -------------------------------------------------------------------------------- */

static void nothing_happens_until_pumped(void **state) {
  pair p;
  (void)state;
  open_pair(&p, true);
  tst_probe_send(&p.a, 10);
  assert_int_equal(batches(&p.b) + sent(&p.a), 0);
  assert_true(tst_link_mem_step(p.net));
  assert_int_equal(batches(&p.b), 1);
  assert_int_equal(sent(&p.a), 0);
  assert_int_equal(tst_link_mem_pump(p.net), 1);
  assert_int_equal(sent(&p.a), 1);
  assert_false(tst_link_mem_step(p.net));
  tst_probe_close(&p.a);
  tst_probe_close(&p.a);
  assert_int_equal(closed(&p.a), 0);
  assert_int_equal(tst_link_mem_pump(p.net), 2);
  close_pair(&p);
}

static void time_moves_only_by_hand_and_delays_are_exact(void **state) {
  pair p;
  (void)state;
  open_pair(&p, true);
  tst_mem_delay(p.a.link, 20 * TETHER_MS);
  tst_probe_send(&p.a, 10);
  assert_int_equal(tst_link_mem_pump(p.net), 1); /* sent */
  assert_int_equal(tst_mem_net_next_ns(p.net), 20 * TETHER_MS);
  tst_link_mem_advance(p.net, 20 * TETHER_MS - 1);
  assert_int_equal(batches(&p.b), 0);
  tst_link_mem_advance(p.net, 20 * TETHER_MS);
  assert_int_equal(batches(&p.b), 1);
  assert_int_equal(tst_mem_net_now_ns(p.net), 20 * TETHER_MS);
  assert_true(tst_mem_net_next_ns(p.net) == TETHER_FOREVER);
  tst_probe_send(&p.a, 10); /* due at 40; the next, undelayed, must not overtake it */
  tst_link_mem_pump(p.net);
  tst_mem_delay(p.a.link, 0);
  tst_probe_send(&p.a, 20);
  tst_link_mem_pump(p.net);
  assert_int_equal(batches(&p.b), 1);
  tst_link_mem_advance(p.net, TETHER_SEC);
  assert_int_equal(batches(&p.b), 3);
  tst_probe_close(&p.a);
  tst_link_mem_pump(p.net);
  close_pair(&p);
}

static void a_held_direction_delivers_nothing_until_released(void **state) {
  pair p;
  (void)state;
  open_pair(&p, true);
  tst_mem_hold(p.a.link, true);
  tst_probe_send(&p.a, 10);
  tst_probe_send(&p.b, 10);
  tst_link_mem_advance(p.net, TETHER_SEC);
  assert_int_equal(batches(&p.b), 0);
  assert_int_equal(batches(&p.a), 1); /* the other direction is open */
  tst_probe_close(&p.a);
  tst_link_mem_advance(p.net, 2 * TETHER_SEC);
  assert_int_equal(closed(&p.a), 1);
  assert_int_equal(closed(&p.b), 0);
  tst_mem_hold(p.a.link, false);
  assert_int_equal(tst_mem_net_next_ns(p.net), 2 * TETHER_SEC); /* overdue is due now */
  tst_link_mem_pump(p.net);
  assert_int_equal(batches(&p.b), 1);
  close_pair(&p);
}

static void without_room_sent_waits_for_arrival(void **state) {
  pair p;
  (void)state;
  open_pair(&p, true);
  tst_mem_room(p.a.link, 0);
  tst_mem_hold(p.a.link, true);
  tst_probe_send(&p.a, 10);
  assert_int_equal(tst_link_mem_pump(p.net), 0);
  tst_mem_hold(p.a.link, false);
  tst_link_mem_pump(p.net);
  assert_int_equal(sent(&p.a), 1);
  tst_mem_hold(p.a.link, true);
  tst_mem_room(p.a.link, 1000);
  int64_t count = 1; /* the buffer fills up, then it waits */
  do tst_probe_send(&p.a, 100), tst_link_mem_pump(p.net);
  while (sent(&p.a) == ++count);
  assert_int_equal(count, 12);
  tst_mem_hold(p.a.link, false);
  tst_link_mem_pump(p.net);
  assert_int_equal(sent(&p.a), 12);
  tst_probe_close(&p.b);
  tst_link_mem_pump(p.net);
  close_pair(&p);
}

static void a_break_closes_both_ends_and_loses_what_is_on_its_way(void **state) {
  pair p;
  (void)state;
  open_pair(&p, true);
  tst_probe_send(&p.a, 10);
  tst_mem_break(p.a.link);
  assert_int_equal(closed(&p.a) + closed(&p.b), 0);
  tst_probe_send(&p.b, 10); /* of no effect */
  assert_int_equal(tst_link_mem_pump(p.net), 2);
  assert_int_equal(batches(&p.b) + batches(&p.a) + sent(&p.a), 0);
  assert_string_equal(p.a.why, "connection lost");
  assert_string_equal(p.b.why, "connection lost");
  close_pair(&p);
}

static void a_vanished_end_leaves_the_other_in_the_dark(void **state) {
  pair p;
  (void)state;
  open_pair(&p, true);
  tst_mem_vanish(p.a.link);
  tst_mem_room(p.b.link, 100);
  tst_probe_send(&p.b, 80);
  tst_link_mem_pump(p.net);
  tst_probe_send(&p.b, 80); /* nobody takes it any more */
  tst_link_mem_advance(p.net, 3600 * TETHER_SEC);
  assert_int_equal(closed(&p.a), 1);
  assert_int_equal(closed(&p.b), 0);
  assert_int_equal(sent(&p.b), 1);
  tst_probe_close(&p.b);
  tst_link_mem_pump(p.net);
  close_pair(&p);
}

static void what_arrives_before_start_waits_for_it(void **state) {
  tth_link *a, *b;
  pair p;
  (void)state;
  p.net = tst_mem_net_new(true);
  tst_probe_init(&p.a);
  tst_probe_init(&p.b);
  tst_link_pair(p.net, &a, &b);
  tst_probe_start(&p.a, a);
  tst_probe_send(&p.a, 10);
  tst_link_mem_pump(p.net);
  tst_probe_start(&p.b, b);
  tst_link_mem_pump(p.net);
  assert_int_equal(batches(&p.b), 1);
  tst_probe_close(&p.a);
  tst_link_mem_pump(p.net);
  close_pair(&p);
}

static void freeing_a_link_never_started_closes_the_other_end(void **state) {
  tst_mem_net *net = tst_mem_net_new(true);
  tth_link *a, *b;
  tst_probe probe;
  (void)state;
  tst_probe_init(&probe);
  tst_link_pair(net, &a, &b);
  tst_probe_start(&probe, a);
  assert_ptr_equal(tst_mem_other_end(a), b);
  b->ops->free(b);
  assert_null(tst_mem_other_end(a));
  tst_link_mem_pump(net);
  assert_int_equal(closed(&probe), 1);
  tst_probe_fini(&probe);
  tst_mem_net_free(net);
}

/* ---- Orders --------------------------------------------------------------------------------- */

enum { LINKS = 6 };

static uint8_t order[LINKS * 2];
static size_t ordered;

static void note(void *owner, const uint8_t *batch, size_t len) {
  (void)batch;
  (void)len;
  order[ordered++] = (uint8_t)(intptr_t)owner;
}
static void nothing(void *owner) { (void)owner; }
static void nothing_closed(void *owner, const char *why) {
  (void)owner;
  (void)why;
}
static const tth_link_events noting = {.received = note, .sent = nothing, .closed = nothing_closed};

static void run_with_seed(uint64_t seed, uint8_t result[LINKS * 2]) {
  tst_mem_net *net = tst_mem_net_new(true);
  tth_link *a[LINKS], *b[LINKS];
  uint8_t one = 1;
  tst_mem_net_shuffle(net, seed);
  ordered = 0;
  for (int i = 0; i < LINKS; i++) {
    tst_link_pair(net, &a[i], &b[i]);
    a[i]->ops->start(a[i], &noting, NULL);
    b[i]->ops->start(b[i], &noting, (void *)(intptr_t)i);
  }
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < LINKS; i++) a[i]->ops->send(a[i], &one, 1);
    tst_link_mem_pump(net);
  }
  memcpy(result, order, sizeof order);
  for (int i = 0; i < LINKS; i++) tst_mem_break(a[i]);
  tst_link_mem_pump(net);
  for (int i = 0; i < LINKS; i++) {
    a[i]->ops->free(a[i]);
    b[i]->ops->free(b[i]);
  }
  tst_mem_net_free(net);
}

static void a_seed_decides_the_order_and_repeats_it(void **state) {
  uint8_t plain[LINKS * 2], first[LINKS * 2], again[LINKS * 2];
  unsigned different = 0;
  (void)state;
  run_with_seed(0, plain);
  for (int i = 0; i < LINKS * 2; i++) assert_int_equal(plain[i], i % LINKS);
  for (uint64_t seed = 1; seed <= 20; seed++) {
    run_with_seed(seed, first);
    run_with_seed(seed, again);
    assert_memory_equal(first, again, sizeof first);
    if (memcmp(first, plain, sizeof first) != 0) different++;
  }
  assert_true(different >= 15);
}

/* ---- As a transport ------------------------------------------------------------------------- */

static void it_dials_and_listens(void **state) {
  pair p;
  (void)state;
  p.net = tst_mem_net_new(false);
  tst_mem_net_use(p.net);
  tst_probe_init(&p.a);
  tst_probe_init(&p.b);
  assert_null(tst_connect(&tst_transport_mem, "mem://server", NULL, NULL, &p.a, &p.b));
  assert_true(tst_probe_send_all(&p.a, 10, 100));
  assert_true(tst_counter_wait(&p.b.batches, 10, TST_BOUND_NS));
  tst_probe_close(&p.b);
  close_pair(&p);
}

static void attempts_fail_as_sockets_do(void **state) {
  char why[TST_WHY_SIZE];
  tth_dialer *dialer;
  tst_acceptor first, second;
  tst_mem_net *net = tst_mem_net_new(false);
  (void)state;
  tst_mem_net_use(net);
  assert_int_equal(tst_transport_mem.dialer_new("tcp://x:1", NULL, &dialer), TETHER_INVALID_ARGUMENT);
  assert_int_equal(tst_transport_mem.dialer_new("mem://server", NULL, &dialer), TETHER_OK);
  assert_null(tst_dial(dialer, TETHER_SEC, &tst_transport_mem, why));
  assert_string_equal(why, "connection refused");
  assert_int_equal(tst_acceptor_open(&first, &tst_transport_mem, "mem://server", NULL), TETHER_OK);
  assert_int_equal(tst_acceptor_open(&second, &tst_transport_mem, "mem://server", NULL), TETHER_UNAVAILABLE);
  tst_acceptor_close(&second);
  tst_mem_net_unreachable(net, true);
  int64_t start_ns = tst_now_ns();
  assert_null(tst_dial(dialer, 30 * TETHER_MS, &tst_transport_mem, why));
  assert_string_equal(why, "timed out");
  assert_true(tst_now_ns() - start_ns >= 30 * TETHER_MS);
  tst_mem_net_unreachable(net, false);
  tth_link *link = tst_dial(dialer, TETHER_SEC, &tst_transport_mem, why);
  assert_non_null(link);
  link->ops->free(link);
  tst_transport_mem.dialer_free(dialer);
  tst_acceptor_close(&first);
  tst_mem_net_free(net);
}

typedef struct outcome {
  int calls;
  tth_link *link;
} outcome;

static void record(void *owner, tth_link *link, const char *why) {
  outcome *o = owner;
  (void)why;
  o->calls++;
  o->link = link;
}

static void freeing_a_dialer_ends_its_attempt_first(void **state) {
  tth_dialer *dialer;
  outcome o = {0, NULL};
  tst_mem_net *net = tst_mem_net_new(true);
  (void)state;
  tst_mem_net_use(net);
  assert_int_equal(tst_transport_mem.dialer_new("mem://server", NULL, &dialer), TETHER_OK);
  tst_transport_mem.dial(dialer, TETHER_SEC, record, &o);
  assert_int_equal(o.calls, 0);
  tst_transport_mem.dialer_free(dialer);
  assert_int_equal(o.calls, 1);
  assert_null(o.link);
  assert_int_equal(tst_link_mem_pump(net), 0);
  tst_mem_net_free(net);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(batches_arrive_whole_and_in_order),
      cmocka_unit_test(what_was_sent_before_a_close_arrives_before_it),
      cmocka_unit_test(a_link_may_be_closed_in_received_and_freed_in_closed),
      cmocka_unit_test(a_delay_is_real_time_without_a_hand_on_the_clock),
      cmocka_unit_test(nothing_happens_until_pumped),
      cmocka_unit_test(time_moves_only_by_hand_and_delays_are_exact),
      cmocka_unit_test(a_held_direction_delivers_nothing_until_released),
      cmocka_unit_test(without_room_sent_waits_for_arrival),
      cmocka_unit_test(a_break_closes_both_ends_and_loses_what_is_on_its_way),
      cmocka_unit_test(a_vanished_end_leaves_the_other_in_the_dark),
      cmocka_unit_test(what_arrives_before_start_waits_for_it),
      cmocka_unit_test(freeing_a_link_never_started_closes_the_other_end),
      cmocka_unit_test(a_seed_decides_the_order_and_repeats_it),
      cmocka_unit_test(it_dials_and_listens),
      cmocka_unit_test(attempts_fail_as_sockets_do),
      cmocka_unit_test(freeing_a_dialer_ends_its_attempt_first),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
