/* rpc/pipe.h: what a streaming call has beyond a unary one: messages received and not read yet, and who waits to
 * receive or to send.
 *
 *   connection ──push──> [ queue ] ──pop──> receiver         wake: the end of the call or of its context
 *   connection ──writable──> tick + 1 ──> sender
 *
 * The queue is bounded by the session's windows. A leaf in the lock order; nothing is called with it held. */
#ifndef TETHER_RPC_PIPE_H
#define TETHER_RPC_PIPE_H

#include <pthread.h>
#include <stdatomic.h>

#include "rpc/arena.h"
#include "rpc/session.h"

/* One received message. */
typedef struct tth_in {
  struct tth_in *next;
  const uint8_t *bytes; /* data, or owned */
  uint8_t *owned;
  size_t len, cost;
  uint8_t data[];
} tth_in;

/* Frees the message and those behind it; takes NULL. */
void tth_in_free(tth_in *in);

typedef struct tth_pipe {
  size_t max_unpacked_bytes;
  size_t max_send_bytes; /* of one message */

  pthread_mutex_t mu;
  pthread_cond_t changed;
  /* under mu */
  tth_in *first, **last_next;
  bool no_more;        /* the peer has sent all its messages */
  bool cut;            /* ended from here: what is queued does not count any more */
  bool recv_refused;   /* a try found nothing: `ready` is owed */
  bool send_refused;   /* likewise */
  bool initial_known;  /* client: initial metadata have come, or messages without any */
  bool over;           /* the call has ended (client), or its context has (handler) */
  bool initial_told;   /* client: `ready` was called for it */
  uint64_t send_tick;  /* counts what may have made room */
  tether_code fault;   /* handler: why no more messages can be read */
  char fault_why[160]; /* for people */
  tether_call_ready_fn ready;
  void *ready_data;

  /* the receiver's */
  tth_arena arena; /* of the message received last */
  size_t consumed; /* cost of messages used, not told to the session yet */

  _Atomic bool send_closed; /* client: close_send was called */
  _Atomic bool close_owed;  /* client: and the peer has not been told */

  _Alignas(16) char arena_memory[512];
} tth_pipe;

/* NULL without memory. free takes NULL. */
TETHER_MUST_USE tth_pipe *tth_pipe_new(size_t max_unpacked_bytes);
void tth_pipe_free(tth_pipe *pipe);

/* Queues the message of an event, of which it may take `owned`. false: no memory. */
TETHER_MUST_USE bool tth_pipe_push(tether_call *call, tth_event *event);

/* The peer has sent all its messages. */
void tth_pipe_no_more(tether_call *call);

/* Handler: no more messages can be read, for this reason; the first counts. */
void tth_pipe_fault(tether_call *call, tether_code code, const char *why);

/* Handler that goes on without its caller: nobody reads what it sends, and messages that have not come never will. */
void tth_pipe_alone(tether_call *call);

/* Client: initial metadata are known from here on. */
void tth_pipe_initial(tether_call *call);

/* There may be room to send. */
void tth_pipe_writable(tether_call *call);

/* The call, or its context, has ended: whoever waits looks again. */
void tth_pipe_wake(tether_call *call);

/* Drops what is queued, now and later: the call was ended from here. */
void tth_pipe_cut(tth_pipe *pipe);

#endif
