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

/* Opens the scene. false: something could not be made, or did not connect. */
TETHER_MUST_USE static inline bool park_sim_open(const tth_transport *transport) {
  static const char *const urls[PARKS] = {"mem://a", "mem://b", "mem://c"};
  struct park_sim *sim = park_sim();
  *sim = (struct park_sim){.net = tst_mem_net_new(true), .transport = transport};
  tst_mem_net_use(sim->net);
  for (int i = 0; i < PARKS; i++) {
    sim->parks[i] = tst_park_open(transport, urls[i]);
    if (!sim->parks[i] || tth_client_open_on(transport, urls[i], NULL, &sim->clients[i]) != TETHER_OK) return false;
    park_sim_pump(0);
    if (tether_client_connectivity(sim->clients[i]) != TETHER_READY) return false;
  }
  return true;
}

/* cmocka setup. */
static inline int park_sim_setup(void **state) {
  return ctx_sim_setup(state) == 0 && park_sim_open(&tst_transport_mem) ? 0 : -1;
}

/* Closing waits for what has to be delivered meanwhile, so it happens on a thread of its own. */
struct park_sim_closing {
  struct ctx_thread thread;
  tether_client *clients[PARKS];
  tst_park *parks[PARKS];
};

static inline void park_sim_close_now(void *data) {
  struct park_sim_closing *closing = data;
  for (int i = 0; i < PARKS; i++) {
    tether_client_close(closing->clients[i]);
    tst_park_close(closing->parks[i]);
  }
}

static inline bool park_sim_is_closed(void *data) {
  struct park_sim_closing *closing = data;
  park_sim_pump(0);
  return ctx_latch_is_open(&closing->thread.finished);
}

static inline void park_sim_close_these(struct park_sim_closing *closing) {
  ctx_thread_start(&closing->thread, park_sim_close_now, closing);
  assert_true(tst_wait_until(park_sim_is_closed, closing, TST_BOUND_NS));
  ctx_thread_join(&closing->thread);
}

static inline void park_sim_close_client(tether_client *client) {
  park_sim_close_these(&(struct park_sim_closing){.clients = {client}});
}

static inline void park_sim_close_all(void) {
  struct park_sim_closing closing = {0};
  memcpy(closing.clients, park_sim()->clients, sizeof closing.clients);
  memcpy(closing.parks, park_sim()->parks, sizeof closing.parks);
  park_sim_close_these(&closing);
  tst_mem_net_free(park_sim()->net);
}

/* cmocka teardown. */
static inline int park_sim_teardown(void **state) {
  park_sim_close_all();
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
