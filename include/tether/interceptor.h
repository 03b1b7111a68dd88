/* tether/interceptor.h: code that sees every call of a client or a server.
 *
 * An interceptor is a table of hooks, given in a list to tether_client_open or tether_server_open:
 *
 *   static const tether_interceptor guard = {.begin = refuse_strangers};
 *   const tether_interceptor *const interceptors[] = {&metrics_of_this_process, &guard, NULL};
 *   tether_server_open(&(tether_server_options){.interceptors = interceptors}, &server)
 *
 *   begin ──> message ... ──> end
 *
 * The rules:
 *
 *  1. begin runs in the order of the list, before a client's call leaves and before a server's call goes to its handler
 *     (or waits for a thread, or unpacks its request). Each may refuse the call: no later begin runs, nothing leaves,
 * no handler runs.
 *  2. end runs in the reverse order, exactly once for each interceptor and call, with the call's final status: when the
 *     answer has come and before anybody who waits for the call learns of it (client), before the answer leaves
 *     (server). It comes also for calls whose begin did not: refused by an earlier interceptor, over before they began,
 *     to a method that is not served, or with headers that cannot be read. Only a call for which there was no memory
 *     at all (tether_call_unary and tether_call_start still return one) is none for interceptors.
 *  3. Inline, pooled and deferred handlers, blocking and callback calls, unary calls and streams are alike. A call that
 * is retried begins and ends once; each attempt of a hedged one is a call.
 *  4. Hooks run on the thread that starts the call, on I/O threads, handlers' threads, timer threads and threads that
 *     cancel. They must not block, and may do what completion callbacks may (rpc.h, rule 4). No lock is held.
 *  5. `*state` is the interceptor's own per call. It is NULL first, and stays NULL if begin does not set it. Let it
 * point into memory from tether_call_alloc: hooks for a stream's messages may run beside each other, one that is sent
 * and one that comes, and beside end or just after it. Those of a unary call run one after the other, end last; a
 * reply is told of with the status behind it, and not at all if the call ends before that. Once the client or server is
 * closed no hook runs.
 *
 * Without interceptors a call pays for a branch or two. */
#ifndef TETHER_INTERCEPTOR_H
#define TETHER_INTERCEPTOR_H

#include <tether/rpc.h>
#include <tether/trace.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What is known of a call at its end, beside what tether_call_code, tether_call_message, tether_call_cause,
 * tether_call_attempts and the other readers of a call tell. */
typedef struct tether_call_summary {
  int64_t started_ns; /* client: when the call was started; server: when its headers came */
  int64_t ended_ns;
  int64_t budget_ns; /* what was left of its time at started_ns, never below 0; TETHER_FOREVER: no deadline */
  int64_t queue_ns;  /* server: from started_ns until its handler began; of a call without a handler until its end */
  int64_t wasted_ns; /* server: how long the handler worked on after its context had ended */
  bool handled;      /* server: a handler ran */
} tether_call_summary;

/* The hooks; each may be NULL. The table, and what `data` points to, must outlive the client or server. */
struct tether_interceptor {
  /* TETHER_OK: go on. Else the call ends with this code (a number outside the enum becomes TETHER_UNKNOWN) and the
   * message of tether_call_fail, if that was called. */
  tether_code (*begin)(void *data, tether_call *call, void **state);
  /* A message of `bytes` was handed over to be sent, or has come (of a stream: before it is read). */
  void (*message)(void *data, tether_call *call, bool sent, size_t bytes, void *state);
  void (*end)(void *data, tether_call *call, const tether_call_summary *summary, void *state);
  /* A connection is there to be used (a server's: accepted), or has gone. Once each. `peer`: its address, for logs. */
  void (*connection)(void *data, bool server, bool opened, const char *peer);
  void *data;
};

/* ---- For hooks ----------------------------------------------------------------------------- */

/* Whether this is the server's side of the call. */
TETHER_API bool tether_call_is_server(const tether_call *call);

/* The method; NULL for a call to one that is not served, of which tether_call_path tells what the caller asked for. */
TETHER_API const tether_method *tether_call_method(const tether_call *call);

/* The next three are for begin only: TETHER_FAILED_PRECONDITION anywhere else. TETHER_RESOURCE_EXHAUSTED: no memory;
 * the call is as before. */

/* Gives the call's context (tether_call_ctx) one more value, as tether_ctx_with_value does: for the handler and the
 * calls it makes; on a client for what travels with the call. */
TETHER_API TETHER_MUST_USE tether_code tether_call_set_value(tether_call *call, const tether_key *key,
                                                             const void *value);

/* Sets the trace of the call's context; tracestate and baggage stay. Server: calls made by the handler are children of
 * this span. Client: the server is sent this span as it is, instead of a new one under the context's. */
TETHER_API TETHER_MUST_USE tether_code tether_call_set_trace(tether_call *call, const tether_trace *trace);

/* Client: sends one more entry along (a key that ends in "-bin" takes any bytes). Errors also as tether_metadata_add.
 * On a server, tether_call_add_initial and tether_call_add_trailer are for hooks too. */
TETHER_API TETHER_MUST_USE tether_code tether_call_add_metadata(tether_call *call, const char *key, const void *value,
                                                                size_t len);

#ifdef __cplusplus
}
#endif
#endif
