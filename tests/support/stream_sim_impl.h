/* tests/support/stream_sim_impl.h: what the two files of the simulation share. */
#ifndef TESTS_SUPPORT_STREAM_SIM_IMPL_H
#define TESTS_SUPPORT_STREAM_SIM_IMPL_H

#include "testing.tether.h"
#include "tests/support/link_mem.h"
#include "tests/support/stream_sim.h"

/* One side of a stream. */
struct end {
  tether_call *call;
  uint32_t to_send, sent, received;
  uint32_t appetite;                    /* percent of the chances to read that it takes */
  bool send_over, send_waits;           /* sends nothing more; waits for `ready` */
  bool recv_over, recv_waits, recv_end; /* has no more to receive; waits; because the peer has said so */
  tether_code code;                     /* of the receive that failed */
};

struct stream {
  int number;
  uint64_t seed;
  struct end client, server;
  bool answered, finished;       /* the handler was entered; and is through */
  uint32_t cancel_at, answer_at; /* after so many messages sent and received; received. UINT32_MAX: never */
  int64_t timeout_ns;
  tether_code answer; /* what the handler finishes with */
  tether_code cut;    /* why the handler was cut: the code, */
  tether_cause_code cause;
};

struct world {
  uint64_t random, library_random; /* the simulation's choices, and the library's */
  stream_sim_faults faults;
  stream_sim_totals *totals;
  tst_mem_net *net;
  tether_server *server;
  tether_client *client;
  tth_link *link;         /* the client's newest; NULL while it has none */
  tth_link *ghost;        /* the server's end of a link whose other end has vanished */
  int64_t release_ns;     /* what is held is let go, and ghosts are broken; TETHER_FOREVER: there is none */
  int64_t timer_ns;       /* the next armed */
  int64_t break_after_ns; /* since the last break, at least */
  bool broke, ending;
  struct stream streams[STREAM_SIM_MOST];
  int count, started;
  char *why;
  size_t why_size;
};

extern struct world *stream_sim_world; /* the one that runs */

/* ---- Chance -------------------------------------------------------------------------------- */

static inline uint64_t mix(uint64_t value) {
  value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
  return value ^ value >> 31;
}

static inline uint64_t next_random(uint64_t *state) { return mix(*state += UINT64_C(0x9e3779b97f4a7c15)); }

static inline uint32_t below(struct world *w, uint32_t n) { return (uint32_t)(next_random(&w->random) % n); }
static inline bool chance(struct world *w, uint32_t percent) { return below(w, 100) < percent; }

/* ---- Streams (stream_sim_ends.c) ------------------------------------------------------------ */

static inline bool is_over(const struct end *end) { return end->send_over && end->recv_over; }

/* Notes what is wrong; the first counts. `s` may be NULL. */
void stream_sim_wrong(const struct stream *s, const char *format, ...) TETHER_PRINTF(2, 3);

/* Before the first run. */
void stream_sim_make_pattern(void);

/* The handler. */
tether_code stream_sim_chat(const tether_ctx *ctx, tether_call *call, void *data);

/* Starts the next stream of the plan. */
void stream_sim_start_next(struct world *w);

/* Whether this side of a stream can do something; does one thing. */
bool stream_sim_may_act(const struct stream *s, bool client);
void stream_sim_act(struct world *w, struct stream *s, bool client);

/* What the two sides of a stream saw, which is over, must agree. */
void stream_sim_check_stream(struct world *w, struct stream *s);

#endif
