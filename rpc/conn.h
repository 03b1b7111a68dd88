/* rpc/conn.h: a connection: a session on a link, behind one lock. Used by client and server alike.
 *
 * Output: whoever has changed the session flushes it on unlock. One batch is on its way at a time; what is queued
 * meanwhile leaves together when it has been sent (so batches grow with load, without timers). While a received batch
 * is being handled little is flushed before its end.
 *
 * Input comes on the link's threads, with one exception: a thread that makes one blocking call after the other, with
 * nobody else on the connection, receives its answers itself (it leads). Only what it runs there is its own call's end
 * and the connection's: callbacks of others never run on its stack, since the first other call makes the link's threads
 * receive before it is sent.
 *
 * Lock order: a client's or server's lock, then the connection's. Nothing is called with the lock held but the
 * owner's new_call. */
#ifndef TETHER_RPC_CONN_H
#define TETHER_RPC_CONN_H

#include "rpc/link.h"
#include "rpc/session.h"

/* How long a close waits for peers that do not read. */
#define TTH_CLOSE_BOUND_NS (1 * TETHER_SEC)

typedef struct tth_conn tth_conn;

/* What a client or server does for its connections. Called without locks, on I/O threads or on one that leads, never
 * two at once for one connection. */
typedef struct tth_conn_ops {
  /* Server: a call for a new stream, holding the stream's reference; NULL without memory. The connection's lock is
   * held: only allocates. */
  tether_call *(*new_call)(void *owner, tth_conn *conn, tth_stream *stream);
  /* An event; event->user is referenced during the call. Of TRAILERS the stream's reference goes to the callee, who
   * may also take `owned`. */
  void (*event)(void *owner, tth_conn *conn, tth_event *event);
  /* A call whose connection is gone; the stream's reference goes to the callee, and so does `unsent`: all that was to
   * be sent of a client's call that had not left, which is on no connection any more; else NULL. */
  void (*lost)(void *owner, tth_conn *conn, tether_call *call, tth_out *unsent, const char *why);
  /* The last event. The reference that tth_conn_new gave goes to the callee. */
  void (*closed)(void *owner, tth_conn *conn, const char *why);
} tth_conn_ops;

/* A connection that owns `link`, with one reference for the owner. NULL without memory: the link is still the
 * caller's. Nothing happens before tth_conn_start. */
TETHER_MUST_USE tth_conn *tth_conn_new(tth_link *link, tth_role role, const tether_limits *limits,
                                       const tth_conn_ops *ops, void *owner);

/* Before the start: how long it may be silent, idle and old; age_ns: TETHER_FOREVER for any. */
void tth_conn_set_life(tth_conn *conn, const tth_life_limits *limits, int64_t age_ns);

/* Sends HELLO and begins to deliver events; `closed` follows exactly once. */
void tth_conn_start(tth_conn *conn);

tth_conn *tth_conn_ref(tth_conn *conn);
void tth_conn_unref(tth_conn *conn);

/* Takes the lock. Returns the session, or NULL once the connection is closed (locked all the same). */
tth_session *tth_conn_lock(tth_conn *conn);

/* Under the lock: the session, also once the connection is closed and nothing leaves any more. */
tth_session *tth_conn_session(tth_conn *conn);

/* Sends what the session has to say and gives up the lock. */
void tth_conn_unlock(tth_conn *conn);

/* Client, under the lock, before a stream is opened. `lone`: a thread blocks until the call has ended, and its end
 * calls nobody. True: that thread is to call tth_conn_lead, whatever becomes of the call. */
TETHER_MUST_USE bool tth_conn_opening(tth_conn *conn, bool lone);

/* Receives until the call has ended, or somebody else receives. */
void tth_conn_lead(tth_conn *conn, tether_call *call);

/* The call that a thread leads for has been ended by another. */
void tth_conn_poke(tth_conn *conn);

/* Receives what has come while nobody led. CAME: something had. END: `closed` is about to be called. */
TETHER_MUST_USE tth_wait_result tth_conn_catch_up(tth_conn *conn);

/* Begins closing; `closed` follows. Does not block. */
void tth_conn_close(tth_conn *conn);

/* Closes once the peer has read all that there was to send (it answers the PING behind it): a transport may drop what
 * is unread when it learns of the close. A peer that does not answer is left to the caller's patience. */
void tth_conn_close_gently(tth_conn *conn);

/* Server, once started: tells the peer why it is not served and closes when it has read that, or soon after. */
void tth_conn_throw_out(tth_conn *conn, const char *why);

/* Client: opens no new streams, as after a GOAWAY, and closes once none is left. Those that have not left stay queued
 * until they are taken back. Does not block. */
void tth_conn_leave(tth_conn *conn);

/* Client: how many calls the connection has, those queued and those cancelled and not answered yet included. Without
 * the lock: as of the last unlock. */
size_t tth_conn_calls(const tth_conn *conn);

const char *tth_conn_peer(const tth_conn *conn);
const tether_identity *tth_conn_identity(const tth_conn *conn);

/* Whether nobody on the way reads along. */
bool tth_conn_confidential(const tth_conn *conn);

/* The name that the peer's HELLO gave its process, or else its address; like the limits: */
const char *tth_conn_peer_name(const tth_conn *conn);

/* What the peer's HELLO announced, for those who learnt of it by a call or an event: it does not change any more. */
const tether_limits *tth_conn_peer_limits(const tth_conn *conn);

/* The size of its send buffer, for tests. */
size_t tth_conn_out_bytes(tth_conn *conn);

/* For the owner, under its lock. */
typedef struct tth_conn_node {
  tth_conn *prev, *next;
  bool announced;                  /* to interceptors; only in events */
  bool draining;                   /* server: a drain waits for DRAINED */
  uint8_t book;                    /* server: which of its books its calls are in; fixed */
  _Atomic size_t held_bytes;       /* server: of requests that handlers have, or will have */
  uint64_t answered[TETHER_CODES]; /* server: this connection's calls, by the status on record */
} tth_conn_node;
tth_conn_node *tth_conn_node_of(tth_conn *conn);

#endif
