/* tests/support/stream_time.h: a stream_net in virtual time: nothing takes longer than the test says. */
#ifndef TESTS_SUPPORT_STREAM_TIME_H
#define TESTS_SUPPORT_STREAM_TIME_H

#include "tests/support/ctx_sim.h"
#include "tests/support/stream_test.h"

/* Of the test that runs. */
static struct stream_net *n;

/* Moves both times on. */
static inline void move(int64_t ns) {
  ctx_sim_advance(ns);
  tst_link_mem_advance(n->net, tether_now_ns());
}

/* cmocka setup and teardown; a setup with options for the server. */
static inline int stream_time_open(void **state, const tether_server_options *server) {
  if (ctx_sim_setup(state) != 0 || stream_net_open(state, true, server, NULL) != 0) return -1;
  n = *state;
  move(0);
  move(TETHER_MS); /* connected, and what a new connection asks is answered */
  return 0;
}

static inline int stream_time_setup(void **state) { return stream_time_open(state, NULL); }

static inline int stream_time_teardown(void **state) {
  while (n->link) { /* one that lasted is replaced at once */
    stream_net_break(n);
    move(0);
  }
  return stream_net_teardown(state) == 0 && ctx_sim_teardown(state) == 0 ? 0 : -1;
}

#endif
