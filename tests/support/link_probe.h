/* tests/support/link_probe.h: an owner of a link that records what it is told, and helpers to get links. */
#ifndef TETHER_TESTS_LINK_PROBE_H
#define TETHER_TESTS_LINK_PROBE_H

#include <pthread.h>
#include <stdatomic.h>

#include "rpc/link.h"
#include "tests/support/wait.h"

/* ---- Batches with recognisable contents ----------------------------------------------------- */

/* Fills a batch of `len` bytes as number `seq`; tells whether one is exactly that. */
void tst_batch_fill(uint8_t *batch, size_t len, uint32_t seq);
bool tst_batch_is(const uint8_t *batch, size_t len, uint32_t seq);

/* ---- Probes --------------------------------------------------------------------------------- */

typedef struct tst_probe {
  tth_link *link;
  uint8_t *out; /* the batch being sent */
  uint32_t out_seq;
  tst_counter batches, bytes, sent, closed;
  char why[160]; /* of closed */

  /* What went wrong, if anything: NULL, or a sentence. */
  const char *_Atomic complaint;

  /* Set before start. */
  bool free_in_closed;
  bool close_in_received;
  bool unchecked;       /* batches are not numbered */
  tst_latch *hold_open; /* the first `received` waits for it */
  bool at_once;         /* every second batch is sent with send_now */

  /* Who receives: what may_pull answers, how often unled came, which threads were called. */
  _Atomic bool pulls;
  tst_counter unled;
  _Atomic(pthread_t) receiver;
  _Atomic(pthread_t) closer; /* where closed was called */

  _Atomic int inside; /* `received` running */
  _Atomic bool over;
  _Atomic bool in_burst;
} tst_probe;

void tst_probe_init(tst_probe *probe);

/* Frees the link if it has not been; the link must be closed or not started. */
void tst_probe_fini(tst_probe *probe);

void tst_probe_start(tst_probe *probe, tth_link *link);

/* Begins to send the next numbered batch; the batch before must have been sent. */
void tst_probe_send(tst_probe *probe, size_t len);

/* Sends `count` batches of `len` bytes one after the other. false: one was not sent in time. */
TETHER_MUST_USE bool tst_probe_send_all(tst_probe *probe, unsigned count, size_t len);

void tst_probe_close(tst_probe *probe);

/* Closes, unless it has been, and waits for `closed`. Not with free_in_closed while the peer may close. */
TETHER_MUST_USE bool tst_probe_end(tst_probe *probe);

/* ---- Getting links -------------------------------------------------------------------------- */

/* A listener's owner: the links it has accepted, in order. */
typedef struct tst_acceptor {
  const tth_transport *transport;
  tth_listener *listener;
  tst_counter accepted;
  pthread_mutex_t lock;
  tth_link *links[1024]; /* under lock; those not taken are closed and freed at the end */
  size_t taken;
} tst_acceptor;

tether_code tst_acceptor_open(tst_acceptor *acceptor, const tth_transport *transport, const char *url,
                              const tether_tls *tls);
void tst_acceptor_close(tst_acceptor *acceptor);

/* The next accepted link; NULL if none came in time. */
TETHER_MUST_USE tth_link *tst_acceptor_take(tst_acceptor *acceptor);

/* One attempt, waited for. On failure NULL and why (of this size). */
#define TST_WHY_SIZE 320
TETHER_MUST_USE tth_link *tst_dial(tth_dialer *dialer, int64_t timeout_ns, const tth_transport *transport, char *why);

/* Both ends of a new connection, started. NULL on success, else what failed. */
TETHER_MUST_USE const char *tst_connect(const tth_transport *transport, const char *url, const tether_tls *client_tls,
                                        const tether_tls *server_tls, tst_probe *client, tst_probe *server);

#endif
