/* impl.h: what the files of libtether-pq share. */
#ifndef TTH_PQ_IMPL_H
#define TTH_PQ_IMPL_H

#include <tether/pq.h>

struct tether_pq {
  PGconn *conn;
  int64_t settle_ns;
  bool given_up; /* never used again, whatever libpq thinks of it */
  void (*log)(void *data, const char *text);
  void *log_data;
  char sqlstate[6];
  char message[512]; /* of the last failure */
};

/* TETHER_INVALID_ARGUMENT if it does not parse, TETHER_RESOURCE_EXHAUSTED without memory. */
tether_code tth_pq_check_conninfo(const char *conninfo);

#define TTH_PQ_SETTLE_NS TETHER_SEC

/* CLOCK_MONOTONIC: servers live in real time, whatever clock is installed. */
int64_t tth_pq_now_ns(void);

/* The bound as poll takes it: milliseconds from now, rounded up. */
int tth_pq_poll_ms(int64_t until_ns);

/* Notes a failure that is not the server's, and returns the code. */
tether_code tth_pq_fail(tether_pq *pq, tether_code code, const char *text);

/* Ends the connection for good, without waiting for anything. */
void tth_pq_give_up(tether_pq *pq, const char *why);

/* Reads what is left of the running statement, for settle_ns at most; if `cancel`, the server is asked to stop it, as
 * often as it takes. Returns whether the connection is idle, and no cancel is on its way any more; else it has been
 * given up. */
bool tth_pq_settle(tether_pq *pq, bool cancel);

/* A statement of the library's own, without parameters; results are dropped. Errors as tether_pq_query. */
tether_code tth_pq_run(tether_pq *pq, const tether_ctx *ctx, const char *sql);

/* Leaves a transaction if one is open, in settle_ns at most. */
void tth_pq_rollback(tether_pq *pq);

/* A cancel on its way: one request to the server, made on a thread of its own, because libpq makes it blocking and a
 * server that cannot be reached keeps it for minutes. */
typedef struct tth_pq_cancel tth_pq_cancel;

/* NULL: no memory, descriptor or thread. */
tth_pq_cancel *tth_pq_cancel_start(PGconn *conn);

/* Readable once the request has ended. */
int tth_pq_cancel_fd(const tth_pq_cancel *cancel);

typedef enum tth_pq_cancel_state {
  TTH_PQ_CANCEL_SENT,      /* under way */
  TTH_PQ_CANCEL_DELIVERED, /* the server has signalled the backend; nothing of this request comes later */
  TTH_PQ_CANCEL_FAILED,    /* nobody knows what became of it */
} tth_pq_cancel_state;

tth_pq_cancel_state tth_pq_cancel_look(const tth_pq_cancel *cancel);

/* Forgets it; under way it goes on by itself. Takes NULL. */
void tth_pq_cancel_free(tth_pq_cancel *cancel);

#endif
