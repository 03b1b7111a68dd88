/* rpc/call.h: the call object's insides.
 *
 *   RUNNING ──(first of: answer, context done, cancel, connection lost)──> ENDING ──results written──> ENDED
 *
 * Whoever moves RUNNING to ENDING writes the results, alone; whoever sees ENDED may read them. */
#ifndef TETHER_RPC_CALL_H
#define TETHER_RPC_CALL_H

#include <pthread.h>
#include <stdatomic.h>

#include "rpc/arena.h"
#include "rpc/conn.h"
#include "rpc/pipe.h"
#include "rpc/recorder.h"
#include "rpc/service_config.h"
#include "tether/v1/frames.pb-c.h"

enum {
  TTH_CALL_RUNNING = 0,
  TTH_CALL_ENDING = 1,
  TTH_CALL_ENDED = 2,
  TTH_CALL_PHASE = 3,    /* the bits above */
  TTH_CALL_WAITERS = 4,  /* somebody sleeps until ENDED */
  TTH_CALL_LED = 8,      /* c.leader receives until ENDED */
  TTH_CALL_RETRIED = 16, /* the attempt that somebody may lead for is over */
};

/* What became of a client call's stream. */
enum {
  TTH_GONE_NOT_YET = 0, /* it has one, or may get one */
  TTH_GONE_UNSENT,      /* it never had one that left, or that was accepted */
  TTH_GONE_ANSWERED,
  TTH_GONE_LOST,
};

typedef struct tth_intercept tth_intercept; /* rpc/interceptor.h */

/* Enough for a small request, reply and headers; with the rest a call stays under 2 KiB. */
#define TTH_CALL_INLINE ((size_t)512)

struct tether_call {
  _Atomic uint32_t refs;
  _Atomic uint32_t state;
  tth_role role;
  _Atomic uint8_t intercepting; /* rpc/interceptor.h */
  const tether_method *method;  /* server: NULL if the path is not served */
  const char *path;             /* server: what the caller asked for */
  tether_ctx *root;             /* the call's own, cancelable context; server: NULL until HEADERS were read */
  const tether_ctx *ctx;        /* root, or values on top of it (server) */
  tth_conn *_Atomic conn;       /* client: set under the client's lock; NULL while waiting for one (rpc/retrying.h) */
  tth_stream *stream;           /* under the connection's lock; NULL when there is none (any more) */
  tth_pipe *pipe;               /* of a streaming call */
  tth_intercept *intercept;     /* NULL: no interceptor has begun; written while they begin */

  /* results: written by whoever ends the call */
  tether_code code;
  char *message; /* malloc; NULL: "" */
  tether_cause *cause;
  ProtobufCMessage *request; /* server */
  ProtobufCMessage *reply;
  tether_metadata *metadata; /* server: what the client sent; client: what interceptors added */
  tether_metadata *initial, *trailers;

  union {
    struct { /* client */
      tether_client *client;
      tether_call_done_fn done;
      void *done_data;
      tether_after after; /* on root; holds a reference while registered */
      int64_t started_ns;
      tth_recorder *recorder;          /* of the handler that made the call */
      bool explain, opened;            /* opened: under the connection's lock until the end */
      bool secret;                     /* has a token: goes where nobody on the way reads along */
      bool own_span;                   /* the context's trace is the call's own */
      bool half_closed;                /* under the connection's lock: the end of the requests is queued */
      bool whole;                      /* `out` is all that was ever sent, not the beginning */
      bool refused;                    /* a server did not accept the call though it had left */
      bool gone_untold;                /* whoever ends the call is to tell of `gone` */
      struct tth_moves *moves;         /* NULL: none */
      const tth_method_config *config; /* the client's, for the method; NULL: none. While the call has not ended */
      struct tth_retrying *retrying;   /* NULL: the call is not tried again (rpc/retrying.h) */
      struct tth_hedge *hedge;         /* the attempts that the call stands for; NULL: it is one itself */
      struct tth_hedge *attempt_of;    /* whose attempt it is, which looks after policies; until it has ended */
      tether_call *answer;             /* of them, the one whose results it has */
      int64_t reserve_ns, detached_ns;
      tether_group *group; /* NULL: none, or it does not know the call */
      unsigned long group_number;
      _Atomic int users; /* of the client: start until it returns, and the end; the last one lets go of it */
      size_t metadata_bytes;
      /* under the client's lock */
      tth_out *out; /* the request, while waiting for a connection */
      bool waiting, wait_for_ready, dispatched;
      bool lone;       /* a thread blocks until the end, which calls nobody */
      bool io_headers; /* I/O thread: HEADERS have come */
      tth_conn *leads; /* and is to receive the answer here; NULL: not */
      pthread_t leader;
      tether_call *wait_prev, *wait_next;
      /* I/O thread: what has come so far */
      ProtobufCMessage *io_reply;
      tether_metadata *io_initial;
      /* written by whoever ends the call, for its ledger */
      int64_t left_ns;                         /* when it was sent; 0: never */
      int64_t told_ns;                         /* the deadline that the server was given; 0: it did not end the call */
      int64_t ended_ns;                        /* 0: there is no ledger */
      int64_t resolving_ns;                    /* in its last attempt, until its client had an address */
      ProtobufCBinaryData hop;                 /* what the server told, in the arena */
      unsigned row;                            /* of the recorder */
      uint32_t reply_bytes;                    /* of io_reply, packed; I/O thread */
      ProtobufCBinaryData late_hop;            /* the same, if the call had ended by then; before `gone` */
      const tether_ledger *_Atomic ledgers[2]; /* without and with the late one */
      /* the stream's end: TRAILERS, or the connection's loss */
      _Atomic uint32_t gone; /* one of TTH_STREAM_... below */
      _Atomic uint32_t running;
      _Atomic int64_t wait_ns; /* for CANCEL; not 0: somebody may wait for `gone` */
    } c;
    struct { /* server */
      tether_server *server;
      tether_handler_fn handler;
      const void *service;
      void *data;
      tether_task task;
      /* under the server's lock */
      tether_call *prev, *next;
      /* */
      _Atomic bool read;  /* its HEADERS, and it has what they ask for */
      _Atomic bool told;  /* of this server's shutdown */
      _Atomic bool taken; /* by its handler, or by whoever ends the call without one */
      bool deferred;
      bool initial_sent;
      bool explain, detached;
      _Atomic bool admitted;  /* counted for max_calls */
      bool expecting;         /* `after` ends the call if its request does not come in time */
      size_t held_bytes;      /* of its request, counted for the connection */
      _Atomic bool lost;      /* with its connection */
      tth_recorder *recorder; /* NULL: nothing is noted */
      int64_t deadline_ns, arrived_ns, began_ns, ended_ns;
      int64_t expected_ns;    /* what it counts for in the queue, if the server sheds */
      _Atomic int64_t cut_ns; /* when a cancel came; 0: none did */
      struct tth_route *route;
      tether_ctx *wait_ctx; /* bounds a cancel that waits for the tree below */
      tether_after wait_after;
      tether_after after;       /* on root. Streams: from the handler's start to the end; else see `expecting` */
      char *fail_message;       /* set by the handler */
      tether_cause *fail_cause; /* likewise */
    } s;
  };

  pthread_mutex_t arena_mu;
  tth_arena arena; /* under arena_mu once the handler or the owner may allocate */
  _Alignas(16) char inline_memory[TTH_CALL_INLINE];
};

/* A call with one reference and everything zero. NULL without memory. */
TETHER_MUST_USE tether_call *tth_call_new(tth_role role);

/* The finished call of callers without memory. Static. */
tether_call *tth_call_no_memory(void);

static inline bool tth_call_is_running(tether_call *call) {
  return (atomic_load(&call->state) & TTH_CALL_PHASE) == TTH_CALL_RUNNING;
}

/* Moves RUNNING to ENDING; true for the one who did. */
TETHER_MUST_USE bool tth_call_try_end(tether_call *call);

/* Publishes the results and wakes those who wait. */
void tth_call_ended(tether_call *call);

/* Before this thread waits on the call's connection: whoever ends the call will poke it. False: it has ended. */
TETHER_MUST_USE bool tth_call_begin_leading(tether_call *call);

/* The attempt is over, and not the call: whoever leads for it stops. The caller has the call ENDING. */
void tth_call_let_leader_go(tether_call *call);

/* ENDING becomes RUNNING: the next attempt is to come. */
void tth_call_run_again(tether_call *call);

/* Sets a copy of the text as the message ("" without memory). */
void tth_call_set_message(tether_call *call, const char *text);

/* The code a context's end means for a call that ran under it: a DEADLINE cause is DEADLINE_EXCEEDED on whichever
 * hop it arose, else the context's own err. */
tether_code tth_code_of_ctx(const tether_ctx *ctx);

/* Gives the peer its credit back for a message that has been used. */
void tth_call_consumed(tether_call *call, size_t cost);

/* Unpacks a message into the call's arena; tth_unpack with the arena's lock. */
TETHER_MUST_USE tether_code tth_call_unpack(tether_call *call, const ProtobufCMessageDescriptor *descriptor,
                                            const uint8_t *bytes, size_t len, size_t max_unpacked_bytes, char *why,
                                            size_t why_size, ProtobufCMessage **message);

/* The same for headers, trailers and cancels, whose bytes and memory the metadata limits bound. */
TETHER_MUST_USE tether_code tth_call_unpack_small(tether_call *call, const ProtobufCMessageDescriptor *descriptor,
                                                  const tth_event *event, const tether_limits *limits, char *why,
                                                  size_t why_size, ProtobufCMessage **message);

/* What a client's call was sent to: the name of the server's process, or else its address; "": nothing yet. */
static inline const char *tth_call_hop(const tether_call *call) {
  return call->conn ? tth_conn_peer_name(call->conn) : "";
}

/* The ledger's root row, built once; NULL without memory. The call has ended, or the caller is ending it. */
const tether_ledger *tth_call_ledger(tether_call *call);

static inline bool tth_method_is(const tether_method *method, unsigned flags) { return method->flags & flags; }

/* Connections that a client's call was taken off, for those who have just looked at call->conn; freed with the call. */
enum { TTH_MOVES_MOST = 16 };
struct tth_moves {
  unsigned count;
  tth_conn *from[TTH_MOVES_MOST];
};

/* Client: the call, which its connection has not accepted, is taken off it: it has neither stream nor connection. The
 * connection's lock is held. false: it has no stream, but stays on this connection; there was no memory, or it was
 * taken off too many: it is to end. */
TETHER_MUST_USE bool tth_client_call_detach_locked(tether_call *call);

/* Client: the answer of the call is here, though not told yet; its frames left at `left_ns`. The connection's lock is
 * held. */
void tth_client_call_answered_locked(tether_call *call, int64_t left_ns);

/* Client: the connection brought an event for the call, or was lost. */
void tth_client_call_event(tether_call *call, tth_event *event, const tether_limits *limits);
void tth_client_call_lost(tether_call *call, const char *address, tth_out *unsent, const char *why);

/* Client: a call that had ended before it could be sent again has no stream and gets none. */
void tth_client_call_dropped(tether_call *call);

/* Client: ends the call if it has not ended: releases it from wherever it waits or runs, tells the server with `cause`
 * if the call has left, then calls back. `message` is copied. */
void tth_client_call_end(tether_call *call, tether_code code, const char *message, const tether_cause *cause);

/* Client: the attempt has failed for what is not the call's own fault (it is on no connection, and does not wait for
 * one): it is tried again if its policy says so, else ended. */
void tth_client_call_fail(tether_call *call, tether_code code, const char *message, const tether_cause *cause);

/* Client: the same, since its stream is gone (TTH_GONE_...), with so many handlers running below. */
void tth_client_call_fail_gone(tether_call *call, uint32_t gone, uint32_t running, tether_code code,
                               const char *message, const tether_cause *cause);

/* Client: an attempt of a hedged call, after so many others; as tether_call_start. `hedge` must last until it ends. */
TETHER_MUST_USE tether_call *tth_client_call_attempt(tether_client *client, const tether_ctx *ctx,
                                                     const tether_method *method, const ProtobufCMessage *request,
                                                     const tether_call_options *options, struct tth_hedge *hedge,
                                                     int previous, tether_call_done_fn done, void *data);

/* Client: ends a call that stands for others with the results of one of them, which has ended. */
void tth_client_call_adopt(tether_call *call, tether_call *answer);

/* Client: the results are written: publishes them, calls back, leaves the group. */
void tth_client_call_publish(tether_call *call);

/* Client: the two halves of tether_call_cancel_and_wait, before and after the cancel. */
void tth_client_call_will_wait(tether_call *call, int64_t timeout_ns);
TETHER_MUST_USE tether_code tth_client_call_wait_gone(tether_call *call, int64_t until_ns, uint32_t *running);

/* Client: ends the call, whose context has ended, if it has not ended. */
void tth_client_call_expire(tether_call *call);

/* Client, at the end: how often the call left. */
unsigned tth_client_call_attempts(const tether_call *call);

/* Client, at the end: how long until the last attempt began, 0 if it was the first; how the one before ended. */
int64_t tth_client_call_retried_ns(const tether_call *call, tether_code *before);

/* Client: ends a call whose answer cannot be taken; the server is told to stop. */
void tth_client_call_refuse(tether_call *call, tether_code code, const char *why);

/* Client: gives a packed request its connection; takes `out`. */
void tth_client_call_go(tether_call *call, tth_out *out);

/* Client: keeps the call's client open until the last is called. try: false if it may be closed already. */
void tth_client_call_stay(tether_call *call);
TETHER_MUST_USE bool tth_client_call_try_stay(tether_call *call);
void tth_client_call_let_go(tether_call *call);

/* Client: sends the half-close if it is owed and there is a stream. false: no memory. */
TETHER_MUST_USE bool tth_client_call_send_close_locked(tether_call *call, tth_session *session);

/* Server: as above. */
TETHER_MUST_USE tether_call *tth_server_call_new(tether_server *server, tth_conn *conn, tth_stream *stream);
void tth_server_call_event(tether_call *call, tth_event *event, const tether_limits *limits);
void tth_server_call_lost(tether_call *call, const char *why);

/* Server: cancels the call's context, and ends it at once if no handler has it. */
void tth_server_call_cancel(tether_call *call, const tether_cause *cause);

/* Server: how long the handler worked on after its context had ended. */
int64_t tth_server_call_wasted_ns(const tether_call *call);

/* Server: sends the status and, for TETHER_OK, the reply; ends the call's context. */
void tth_server_call_end(tether_call *call, tether_code code, const char *message);

#endif
