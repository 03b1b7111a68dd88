/* tests/support/link_mem.h: rpc/link.h in memory, with faults.
 *
 * A net holds links, listeners and everything that is on its way between them. An automatic net has a thread that
 * delivers in real time. A manual one has a clock of its own that stands still: the test moves it and everything due
 * is delivered on the test's thread, in an order that depends on nothing but the calls made and the seed.
 *
 *   send ──> on its way (delay, hold) ──> received     close ──> own closed; behind what was sent: the peer's closed
 *      └──> sent, at once or when there is room again   tst_mem_break ──> both closed, what is on its way is lost
 *
 * Of what is sent with send_now every second batch is taken at once, if there is room; on a manual net the seed of
 * tst_mem_net_shuffle decides which, and without one none is.
 *
 * Misuse by the owner of a link (a second send before `sent`, free before `closed`, an empty or oversized batch)
 * aborts with a sentence: it is the owner that is being tested. */
#ifndef TETHER_TESTS_LINK_MEM_H
#define TETHER_TESTS_LINK_MEM_H

#include "rpc/link.h"

typedef struct tst_mem_net tst_mem_net;

/* ---- Nets ----------------------------------------------------------------------------------- */

/* NULL: no thread. Memory is expected to be there: without it the process ends. */
TETHER_MUST_USE tst_mem_net *tst_mem_net_new(bool manual);

/* Every link, dialer and listener must have been freed, or be about to be by another thread: that is waited for. */
void tst_mem_net_free(tst_mem_net *net);

/* Lets the seed decide the order of things due at the same time on different links; 0: the order of the calls. */
void tst_mem_net_shuffle(tst_mem_net *net, uint64_t seed);

/* Manual: the net's time, first 0. */
int64_t tst_mem_net_now_ns(tst_mem_net *net);

/* Manual: when the next thing is due (now, if it is overdue); TETHER_FOREVER if nothing is. */
int64_t tst_mem_net_next_ns(tst_mem_net *net);

/* Manual: delivers one thing that is due now. false: there was none. */
bool tst_link_mem_step(tst_mem_net *net);

/* Manual: delivers what is due now, what that causes to be due now included; returns how many. */
size_t tst_link_mem_pump(tst_mem_net *net);

/* Manual: moves time to `now_ns`, stopping and delivering wherever something is due on the way. */
void tst_link_mem_advance(tst_mem_net *net, int64_t now_ns);

/* Manual: moves time to `now_ns` and delivers nothing. */
void tst_mem_net_move(tst_mem_net *net, int64_t now_ns);

/* ---- Links ---------------------------------------------------------------------------------- */

/* Two connected links, as after a handshake. */
void tst_link_pair(tst_mem_net *net, tth_link **a, tth_link **b);

/* What `link` sends from now on takes this long to arrive (its close too). Order is kept. */
void tst_mem_delay(tth_link *link, int64_t delay_ns);

/* While held, nothing that `link` sends or has sent arrives, nor news of its end; released, it arrives. */
void tst_mem_hold(tth_link *link, bool held);

/* The same for what comes to `link`, also when the other end has been freed. */
void tst_mem_hold_incoming(tth_link *link, bool held);

/* How many bytes may be on their way before `sent` waits; default 256 KiB. 0: `sent` means arrived. */
void tst_mem_room(tth_link *link, size_t bytes);

/* The connection breaks: both ends are closed now ("connection lost"), what is on its way is lost. */
void tst_mem_break(tth_link *link);

/* This end alone sees a break; the other hears nothing, ever: a host that lost power. */
void tst_mem_vanish(tth_link *link);

typedef struct tst_mem_stats {
  uint64_t batches_sent, bytes_sent;         /* handed to send */
  uint64_t batches_received, bytes_received; /* that `received` was called with */
} tst_mem_stats;
tst_mem_stats tst_mem_stats_of(tth_link *link);

/* What a link does, told without locks just before it does it (`sent` also when no owner is told, by send_now). All
 * must be there but `left`: the batch is on its way, and whoever sends has not gone on, nor is waited for, since `sent`
 * is told apart. */
typedef struct tst_mem_watch {
  void (*sends)(void *data, uint8_t *batch, size_t len); /* on its way; may change the bytes and tst_mem_delay */
  void (*left)(void *data);
  void (*receives)(void *data, const uint8_t *batch, size_t len);
  void (*sent)(void *data);
  void (*closed)(void *data, const char *why);
} tst_mem_watch;
void tst_mem_watch_link(tth_link *link, const tst_mem_watch *watch, void *data);

/* Whoever the link was started for; NULL before. */
void *tst_mem_owner(tth_link *link);

/* ---- As a transport ------------------------------------------------------------------------- */

/* Dials and listens on the net in use; URLs are mem://<name>, TLS options are ignored. An attempt reaches the
 * listener of that name or fails: "connection refused", or "timed out" while the net is unreachable. */
extern const tth_transport tst_transport_mem;
void tst_mem_net_use(tst_mem_net *net);
void tst_mem_net_unreachable(tst_mem_net *net, bool unreachable);

/* The link at the other end; NULL once it has been freed. */
tth_link *tst_mem_other_end(tth_link *link);

#endif
