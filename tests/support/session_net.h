/* tests/support/session_net.h: sessions on hosts that disagree about the time, connected by lines that take some. All
 * in true time, which nobody knows but the test. */
#ifndef TETHER_TESTS_SESSION_NET_H
#define TETHER_TESTS_SESSION_NET_H

#include "rpc/session_impl.h"

#define TST_LINES 8

/* A host's CLOCK_MONOTONIC. */
typedef struct tst_host {
  int64_t skew_ns; /* at true time 0 */
  int64_t drift_ppm;
} tst_host;

int64_t tst_host_now_ns(const tst_host *host, int64_t true_ns);
int64_t tst_host_true_ns(const tst_host *host, int64_t now_ns);

typedef struct tst_batch tst_batch;
typedef struct tst_net tst_net;

/* A connection. By role: who sends. */
typedef struct tst_line {
  tst_net *net;
  tst_host *host[2];
  tth_session *session[2];
  int64_t delay_ns[2];
  bool held[2]; /* nothing leaves: as while a batch is on its way */
  tst_batch *on_way[2];
  unsigned pings, pongs, batches[2]; /* that have left */
  bool answered;                     /* the barrier's PONG came to the client */

  /* Of the latest call the server saw: */
  int64_t deadline_ns; /* its deadline on the server's clock */
  bool stamped;        /* HEADERS said when they left */
  unsigned calls;      /* how many there were */
} tst_line;

struct tst_net {
  int64_t true_ns;
  tst_line lines[TST_LINES];
  size_t count;
  bool relays; /* a call that comes from line i goes on over line i + 1 under its deadline, with `reserve_ns` */
  int64_t reserve_ns;
};

/* A connection between two hosts, whose HELLOs have not left. */
tst_line *tst_net_connect(tst_net *net, tst_host *client, tst_host *server, int64_t out_ns, int64_t back_ns);

/* Lets true time pass; whatever can leaves and arrives. */
void tst_net_run(tst_net *net, int64_t for_ns);

/* A call with this deadline, on the client's clock. It leaves when time passes, and is answered when it arrives. */
void tst_line_call(tst_line *line, int64_t deadline_ns, int64_t reserve_ns);

/* The same, `timeout_ns` from now. Returns the deadline. */
int64_t tst_line_call_for(tst_line *line, int64_t timeout_ns, int64_t reserve_ns);

/* How much later than `deadline_ns` of the client's clock the server's deadline is, in true time. */
int64_t tst_line_error_ns(const tst_line *line, const tst_host *client, int64_t deadline_ns);

/* Ends all sessions. */
void tst_net_fini(tst_net *net);

#endif
