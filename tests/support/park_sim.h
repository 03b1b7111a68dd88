/* Three parking servers (park.h) and a client of each, in virtual time on an in-memory net: everything happens on the
 * test's thread, when the test says so. One scene per program. */
#ifndef TESTS_SUPPORT_PARK_SIM_H
#define TESTS_SUPPORT_PARK_SIM_H

#include "rpc/client.h"
#include "tests/support/ctx_sim.h"
#include "tests/support/ctx_thread.h"
#include "tests/support/link_mem.h"
#include "tests/support/park.h"

enum { PARKS = 3 };

struct park_sim {
  tst_mem_net *net;
  const tth_transport *transport;
  tst_park *parks[PARKS];
  tether_client *clients[PARKS];
};

static inline struct park_sim *park_sim(void) {
  static struct park_sim sim;
  return &sim;
}

/* Moves time on by `ns`, ends what is due and delivers what was sent. Returns the next armed deadline. */
static inline int64_t park_sim_pump(int64_t ns) {
  int64_t next_ns = ctx_sim_advance(ns);
  tst_link_mem_advance(park_sim()->net, tether_now_ns());
  return next_ns;
}

/* cmocka setup. */
static inline int park_sim_setup(void **state) {
  struct park_sim *sim = park_sim();
  if (ctx_sim_setup(state) != 0) return -1;
  *sim = (struct park_sim){.net = tst_mem_net_new(true), .transport = &tst_transport_mem};
  tst_mem_net_use(sim->net);
  for (int i = 0; i < PARKS; i++) {
    const char *const urls[PARKS] = {"mem://a", "mem://b", "mem://c"};
    sim->parks[i] = tst_park_open(sim->transport, urls[i]);
    if (!sim->parks[i] || tth_client_open_on(sim->transport, urls[i], NULL, &sim->clients[i]) != TETHER_OK) return -1;
    park_sim_pump(0);
    if (tether_client_connectivity(sim->clients[i]) != TETHER_READY) return -1;
  }
  return 0;
}

/* Closing waits for what has to be delivered meanwhile, so it happens on a thread of its own. */
struct park_sim_closing {
  struct ctx_thread thread;
  tst_park *park;
  tether_client *client;
};

static inline void park_sim_close_now(void *data) {
  struct park_sim_closing *closing = data;
  tether_client_close(closing->client);
  tst_park_close(closing->park);
}

static inline bool park_sim_is_closed(void *data) {
  struct park_sim_closing *closing = data;
  park_sim_pump(0);
  return ctx_latch_is_open(&closing->thread.finished);
}

/* Either may be NULL. */
static inline void park_sim_close(tether_client *client, tst_park *park) {
  struct park_sim_closing closing = {.client = client, .park = park};
  ctx_thread_start(&closing.thread, park_sim_close_now, &closing);
  assert_true(tst_wait_until(park_sim_is_closed, &closing, TST_BOUND_NS));
  ctx_thread_join(&closing.thread);
}

/* cmocka teardown. */
static inline int park_sim_teardown(void **state) {
  struct park_sim *sim = park_sim();
  for (int i = 0; i < PARKS; i++) park_sim_close(sim->clients[i], sim->parks[i]);
  tst_mem_net_free(sim->net);
  return ctx_sim_teardown(state);
}

#define in_park_sim(test) \
  { #test, test, park_sim_setup, park_sim_teardown, NULL }

/* The i-th handler of a server, which has arrived. */
static inline tst_parked *park_sim_parked(int park, int i) {
  assert_true(tst_park_arrived(park_sim()->parks[park]) > i);
  return tst_park_at(park_sim()->parks[park], i);
}

#endif
