/* Threads that receive their link's batches themselves (wait, poke, push), and batches that are sent at once. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/link_probe.h"

#include <setjmp.h>

#include <cmocka.h>

static const tth_transport *const nng = &tth_transport_nng;

typedef struct fixture {
  char dir[64], url[96];
  tst_probe client, server;
} fixture;

/* Both ends of a connection of which the client's threads may receive. */
static void open_pair(fixture *f, bool ipc) {
  strcpy(f->dir, "/tmp/tether-pull-XXXXXX");
  assert_non_null(mkdtemp(f->dir));
  snprintf(f->url, sizeof f->url, "ipc://%s/s", f->dir);
  tst_probe_init(&f->client);
  tst_probe_init(&f->server);
  const char *failure = tst_connect(nng, ipc ? f->url : "tcp://127.0.0.1:0", NULL, NULL, &f->client, &f->server);
  if (failure) fail_msg("%s", failure);
}

static void close_pair(fixture *f) {
  char path[96];
  assert_true(tst_probe_end(&f->client));
  assert_true(tst_probe_end(&f->server));
  if (f->client.complaint) fail_msg("client: %s", f->client.complaint);
  if (f->server.complaint) fail_msg("server: %s", f->server.complaint);
  tst_probe_fini(&f->client);
  tst_probe_fini(&f->server);
  snprintf(path, sizeof path, "%s/s", f->dir);
  unlink(path);
  rmdir(f->dir);
}

static tth_wait_result wait_for_more(tst_probe *probe, bool block) {
  return probe->link->ops->wait(probe->link, block);
}
static void say(fixture *f) { assert_true(tst_probe_send_all(&f->server, 1, 100)); }
static void assert_heard(fixture *f, int64_t count) {
  assert_true(tst_counter_wait(&f->client.batches, count, TST_BOUND_NS));
}

static bool heard_here(const fixture *f) { return pthread_equal(atomic_load(&f->client.receiver), pthread_self()); }

/* Makes the next batch one for a thread that waits: from the first on, as nng's thread asks after each. */
static void arm(fixture *f) {
  int64_t heard = tst_counter_get(&f->client.batches);
  atomic_store(&f->client.pulls, true);
  say(f);
  assert_heard(f, heard + 1);
}

/* A thread that stays in wait until it is not its turn any more. */
typedef struct waiter {
  tst_probe *probe;
  pthread_t thread;
  tst_counter begun, returns; /* waits */
  _Atomic tth_wait_result last;
} waiter;

static void *keep_waiting(void *data) {
  waiter *w = data;
  do {
    tst_counter_add(&w->begun, 1);
    w->last = wait_for_more(w->probe, true);
    tst_counter_add(&w->returns, 1);
  } while (w->last == TTH_WAIT_CAME);
  return NULL;
}

static void waiter_start(waiter *w, tst_probe *probe) {
  *w = (waiter){.probe = probe};
  tst_counter_init(&w->begun);
  tst_counter_init(&w->returns);
  assert_int_equal(pthread_create(&w->thread, NULL, keep_waiting, w), 0);
  assert_true(tst_counter_wait(&w->begun, 1, TST_BOUND_NS));
}

static void waiter_join(waiter *w) {
  assert_int_equal(pthread_join(w->thread, NULL), 0);
  tst_counter_fini(&w->begun);
  tst_counter_fini(&w->returns);
}

/* ---- Sending at once ------------------------------------------------------------------------ */

static void send_all_sizes(bool ipc) {
  static const size_t sizes[] = {1, 100, 4096, 100000, TTH_BATCH_MAX};
  fixture f;
  open_pair(&f, ipc);
  f.client.at_once = f.server.at_once = true;
  for (unsigned round = 0; round < 4; round++) {
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
      assert_true(tst_probe_send_all(&f.client, 3, sizes[i]));
      assert_true(tst_probe_send_all(&f.server, 3, sizes[i]));
    }
  }
  assert_true(tst_counter_wait(&f.server.batches, 60, TST_BOUND_NS));
  assert_heard(&f, 60);
  close_pair(&f);
}

static void batches_sent_at_once_and_later_arrive_in_order_over_ipc(void **state) {
  (void)state;
  send_all_sizes(true);
}

static void batches_sent_at_once_and_later_arrive_in_order_over_tcp(void **state) {
  (void)state;
  send_all_sizes(false);
}

static void a_small_batch_is_taken_at_once(void **state) {
  (void)state;
  fixture f;
  uint8_t byte = 1;
  open_pair(&f, true);
  f.server.unchecked = true;
  assert_true(f.client.link->ops->send_now(f.client.link, &byte, 1));
  assert_true(tst_counter_wait(&f.server.batches, 1, TST_BOUND_NS));
  close_pair(&f);
}

/* A peer that does not read: what the socket does not take is sent later, and `sent` or `closed` follows. */
static void a_batch_that_does_not_fit_is_sent_later(void **state) {
  (void)state;
  fixture f;
  tst_latch reads;
  tst_latch_init(&reads);
  open_pair(&f, true);
  f.server.hold_open = &reads;
  uint8_t *batch = test_calloc(1, TTH_BATCH_MAX);
  f.server.unchecked = true;
  bool taken = true;
  int count = 0;
  for (; taken && count < 100; count++) taken = f.client.link->ops->send_now(f.client.link, batch, TTH_BATCH_MAX);
  assert_false(taken);
  assert_int_equal(tst_counter_get(&f.client.sent), 0);
  tst_latch_open(&reads);
  assert_true(tst_counter_wait(&f.client.sent, 1, TST_BOUND_NS));
  assert_true(tst_counter_wait(&f.server.batches, count, TST_BOUND_NS));
  close_pair(&f);
  test_free(batch);
  tst_latch_fini(&reads);
}

static void a_link_that_has_ended_takes_nothing(void **state) {
  (void)state;
  fixture f;
  uint8_t byte = 1;
  open_pair(&f, true);
  assert_true(tst_probe_end(&f.client));
  assert_false(f.client.link->ops->send_now(f.client.link, &byte, 1));
  assert_int_equal(wait_for_more(&f.client, true), TTH_WAIT_PUSHED);
  f.client.link->ops->push(f.client.link);
  f.client.link->ops->poke(f.client.link);
  close_pair(&f);
}

/* ---- Receiving in a waiting thread ---------------------------------------------------------- */

static void nobody_but_the_transport_receives_unless_the_owner_allows_it(void **state) {
  (void)state;
  fixture f;
  open_pair(&f, true);
  say(&f);
  assert_heard(&f, 1);
  assert_int_equal(wait_for_more(&f.client, true), TTH_WAIT_PUSHED);
  close_pair(&f);
}

static void receive_in_waits(bool ipc) {
  fixture f;
  open_pair(&f, ipc);
  for (int i = 0; i < 50; i++) {
    arm(&f);
    /* The transport takes over when a test is held up for long; then it is tried again. */
    int64_t heard = tst_counter_get(&f.client.batches);
    say(&f);
    while (tst_counter_get(&f.client.batches) == heard && wait_for_more(&f.client, true) == TTH_WAIT_CAME) continue;
    assert_heard(&f, heard + 1);
    if (heard_here(&f)) break;
    assert_true(i < 49);
  }
  close_pair(&f);
}

static void a_waiting_thread_receives_itself_over_ipc(void **state) {
  (void)state;
  receive_in_waits(true);
}

static void a_waiting_thread_receives_itself_over_tcp(void **state) {
  (void)state;
  receive_in_waits(false);
}

static void batches_that_come_together_are_received_in_one_burst(void **state) {
  (void)state;
  fixture f;
  open_pair(&f, true);
  for (int i = 0; i < 200; i++) assert_true(tst_probe_send_all(&f.server, 5, 20));
  assert_heard(&f, 1000);
  close_pair(&f); /* the probe complains about bursts that are not in pairs */
}

static void what_nobody_waits_for_is_received_by_the_transport(void **state) {
  (void)state;
  fixture f;
  open_pair(&f, true);
  for (int64_t i = 1; i <= 3; i++) {
    arm(&f);
    say(&f);
    assert_heard(&f, 2 * i);
    assert_false(heard_here(&f));
    assert_true(tst_counter_wait(&f.client.unled, i, TST_BOUND_NS));
  }
  close_pair(&f);
}

static void an_end_that_nobody_waits_for_is_seen(void **state) {
  (void)state;
  fixture f;
  open_pair(&f, true);
  arm(&f);
  tst_probe_close(&f.server);
  assert_true(tst_counter_wait(&f.client.closed, 1, TST_BOUND_NS));
  close_pair(&f);
}

static void a_look_without_blocking_takes_only_what_has_come(void **state) {
  (void)state;
  fixture f;
  bool nothing = false, came = false;
  open_pair(&f, true);
  for (int i = 0; i < 50 && !(nothing && came); i++) {
    arm(&f);
    tth_wait_result pull = wait_for_more(&f.client, false);
    nothing |= pull == TTH_WAIT_NOTHING;
    assert_true(pull == TTH_WAIT_NOTHING || pull == TTH_WAIT_PUSHED);
    int64_t heard = tst_counter_get(&f.client.batches);
    say(&f);
    while ((pull = wait_for_more(&f.client, false)) == TTH_WAIT_NOTHING) continue;
    assert_true(pull == TTH_WAIT_CAME || pull == TTH_WAIT_PUSHED);
    assert_heard(&f, heard + 1);
    came |= pull == TTH_WAIT_CAME && heard_here(&f);
  }
  assert_true(nothing && came);
  close_pair(&f);
}

static void a_poke_makes_a_waiting_thread_return(void **state) {
  (void)state;
  fixture f;
  waiter w;
  open_pair(&f, true);
  arm(&f);
  waiter_start(&w, &f.client);
  for (int64_t i = 1; i <= 20 && tst_counter_get(&w.begun) == i; i++) { /* until the transport has taken over */
    f.client.link->ops->poke(f.client.link);
    assert_true(tst_counter_wait(&w.returns, i, TST_BOUND_NS));
    assert_true(w.last != TTH_WAIT_CAME || tst_counter_wait(&w.begun, i + 1, TST_BOUND_NS));
  }
  int64_t heard = tst_counter_get(&f.client.batches);
  say(&f);
  assert_heard(&f, heard + 1);
  f.client.link->ops->push(f.client.link);
  atomic_store(&f.client.pulls, false);
  f.client.link->ops->push(f.client.link);
  waiter_join(&w);
  close_pair(&f);
}

/* Whose wait it is meant for has not come so far yet, and another thread looks meanwhile what has come. */
static void a_poke_that_another_thread_meets_still_counts_for_the_next_that_waits(void **state) {
  (void)state;
  fixture f;
  bool met = false, returned = true;
  open_pair(&f, true);
  for (int i = 0; i < 50 && !met && returned; i++) {
    waiter w;
    arm(&f);
    f.client.link->ops->poke(f.client.link);
    met = wait_for_more(&f.client, false) == TTH_WAIT_CAME;
    waiter_start(&w, &f.client);
    returned = tst_counter_wait(&w.returns, 1, TST_BOUND_NS);
    atomic_store(&f.client.pulls, false);
    f.client.link->ops->push(f.client.link);
    waiter_join(&w);
  }
  assert_true(returned && met);
  close_pair(&f);
}

static void after_a_push_no_wait_receives_what_is_sent_then(void **state) {
  (void)state;
  fixture f;
  open_pair(&f, true);
  for (int i = 0; i < 100; i++) {
    waiter w;
    arm(&f);
    waiter_start(&w, &f.client);
    int64_t heard = tst_counter_get(&f.client.batches);
    atomic_store(&f.client.pulls, false);
    f.client.link->ops->push(f.client.link);
    say(&f);
    assert_heard(&f, heard + 1);
    assert_false(pthread_equal(atomic_load(&f.client.receiver), w.thread));
    waiter_join(&w);
    assert_int_equal(w.last, TTH_WAIT_PUSHED);
  }
  close_pair(&f);
}

static void end_during_wait(bool by_peer) {
  for (int i = 0; i < 20; i++) {
    fixture f;
    waiter w;
    open_pair(&f, true);
    arm(&f);
    waiter_start(&w, &f.client);
    tst_probe_close(by_peer ? &f.server : &f.client);
    assert_true(tst_counter_wait(&f.client.closed, 1, TST_BOUND_NS));
    assert_false(pthread_equal(atomic_load(&f.client.closer), w.thread));
    waiter_join(&w);
    assert_true(w.last == TTH_WAIT_END || w.last == TTH_WAIT_PUSHED);
    close_pair(&f);
  }
}

static void a_close_ends_a_wait_and_is_told_elsewhere(void **state) {
  (void)state;
  end_during_wait(false);
}

static void a_close_by_the_peer_ends_a_wait_and_is_told_elsewhere(void **state) {
  (void)state;
  end_during_wait(true);
}

/* ---- All of it at once ---------------------------------------------------------------------- */

enum { STORM_BATCHES = 3000 };

typedef struct storm {
  fixture *f;
  _Atomic bool over;
} storm;

static void *lead(void *data) {
  storm *s = data;
  while (!atomic_load(&s->over)) (void)wait_for_more(&s->f->client, true);
  return NULL;
}

static void *disturb(void *data) {
  storm *s = data;
  const tth_link_ops *ops = s->f->client.link->ops;
  for (unsigned random = 1; !atomic_load(&s->over);) {
    random = random * 1664525 + 1013904223;
    switch (random >> 29) {
      case 0:
        ops->poke(s->f->client.link);
        break;
      case 1:
        ops->push(s->f->client.link);
        break;
      case 2:
        (void)wait_for_more(&s->f->client, false);
        break;
      default:
        atomic_store(&s->f->client.pulls, random >> 28 & 1);
        break;
    }
  }
  return NULL;
}

static void whoever_receives_every_batch_comes_once_and_in_order(void **state) {
  (void)state;
  fixture f;
  pthread_t leader, disturber;
  open_pair(&f, true);
  storm s = {.f = &f};
  f.client.at_once = f.server.at_once = true;
  assert_int_equal(pthread_create(&leader, NULL, lead, &s), 0);
  assert_int_equal(pthread_create(&disturber, NULL, disturb, &s), 0);
  bool sent = true;
  for (int i = 0; sent && i < STORM_BATCHES; i += 10)
    sent = tst_probe_send_all(&f.server, 10, 50) && tst_probe_send_all(&f.client, 10, 50) &&
           tst_counter_wait(&f.client.batches, i, TST_BOUND_NS);
  bool heard = tst_counter_wait(&f.client.batches, STORM_BATCHES, TST_BOUND_NS) &&
               tst_counter_wait(&f.server.batches, STORM_BATCHES, TST_BOUND_NS);
  bool ended = tst_probe_end(&f.client); /* beside them */
  atomic_store(&s.over, true);
  pthread_join(leader, NULL);
  pthread_join(disturber, NULL);
  assert_true(sent && heard && ended);
  close_pair(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(batches_sent_at_once_and_later_arrive_in_order_over_ipc),
      cmocka_unit_test(batches_sent_at_once_and_later_arrive_in_order_over_tcp),
      cmocka_unit_test(a_small_batch_is_taken_at_once),
      cmocka_unit_test(a_batch_that_does_not_fit_is_sent_later),
      cmocka_unit_test(a_link_that_has_ended_takes_nothing),
      cmocka_unit_test(nobody_but_the_transport_receives_unless_the_owner_allows_it),
      cmocka_unit_test(a_waiting_thread_receives_itself_over_ipc),
      cmocka_unit_test(a_waiting_thread_receives_itself_over_tcp),
      cmocka_unit_test(batches_that_come_together_are_received_in_one_burst),
      cmocka_unit_test(what_nobody_waits_for_is_received_by_the_transport),
      cmocka_unit_test(an_end_that_nobody_waits_for_is_seen),
      cmocka_unit_test(a_look_without_blocking_takes_only_what_has_come),
      cmocka_unit_test(a_poke_makes_a_waiting_thread_return),
      cmocka_unit_test(a_poke_that_another_thread_meets_still_counts_for_the_next_that_waits),
      cmocka_unit_test(after_a_push_no_wait_receives_what_is_sent_then),
      cmocka_unit_test(a_close_ends_a_wait_and_is_told_elsewhere),
      cmocka_unit_test(a_close_by_the_peer_ends_a_wait_and_is_told_elsewhere),
      cmocka_unit_test(whoever_receives_every_batch_comes_once_and_in_order),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
