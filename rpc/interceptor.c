/* Interceptors of one call. Happy path: begin hooks in order, each with a state of its own -> messages -> end hooks in
 * reverse order, with a summary. Failures: a begin that refuses, or no memory for the states, ends the call, and every
 * end hook runs all the same; an end that comes while hooks begin (a server's shutdown, on another thread) stops the
 * rest of them, and its end hooks run on the beginning thread. */
#include "rpc/interceptor.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "rpc/client.h"
#include "rpc/metadata.h"
#include "rpc/server.h"
#include "rpc/trace.h"

static const tether_interceptor *const *list_of(const tether_call *call) {
  return call->role == TTH_SERVER ? call->s.server->interceptors : call->c.client->interceptors;
}

static bool is_beginning(const tether_call *call) {
  return atomic_load(&call->intercepting) == TTH_INTERCEPT_BEGINNING;
}

static size_t count_of(const tether_interceptor *const *list) {
  size_t count = 0;
  while (list[count]) count++;
  return count;
}

/* ---- Begin --------------------------------------------------------------------------------- */

static tether_code begin_all(tether_call *call, const char **why) {
  const tether_interceptor *const *list = list_of(call);
  size_t count = count_of(list);
  tth_intercept *intercept = tether_call_alloc(call, sizeof *intercept + count * sizeof intercept->states[0]);
  *why = "out of memory";
  if (!intercept) return TETHER_RESOURCE_EXHAUSTED;
  intercept->count = count;
  call->intercept = intercept;
  tether_code code = TETHER_OK;
  for (size_t i = 0; i < count && code == TETHER_OK; i++) {
    if (atomic_load(&call->intercepting) == TTH_INTERCEPT_ENDED) break;
    if (list[i]->begin) code = list[i]->begin(list[i]->data, call, &intercept->states[i]);
  }
  *why = intercept->why ? intercept->why : "refused by an interceptor";
  return code >= TETHER_OK && code <= TETHER_UNAUTHENTICATED ? code : TETHER_UNKNOWN;
}

static void end_all(tether_call *call);

tether_code tth_intercept_begin(tether_call *call, const char **why) {
  uint8_t phase = TTH_INTERCEPT_NONE;
  *why = "the call has ended";
  if (!atomic_compare_exchange_strong(&call->intercepting, &phase, TTH_INTERCEPT_BEGINNING)) return TETHER_CANCELLED;
  tether_code code = begin_all(call, why);
  phase = TTH_INTERCEPT_BEGINNING;
  if (atomic_compare_exchange_strong(&call->intercepting, &phase, TTH_INTERCEPT_BEGUN)) return code;
  end_all(call);
  return TETHER_CANCELLED;
}

bool tth_intercept_refusal(tether_call *call, const char *format, va_list args) {
  char text[512];
  if (!is_beginning(call)) return false;
  vsnprintf(text, sizeof text, format, args);
  call->intercept->why = tether_call_strdup(call, text);
  return true;
}

/* ---- Messages and the end ------------------------------------------------------------------ */

void tth_intercept_tell(tether_call *call, bool sent, size_t bytes) {
  const tether_interceptor *const *list = list_of(call);
  for (size_t i = 0; i < call->intercept->count; i++)
    if (list[i]->message) list[i]->message(list[i]->data, call, sent, bytes, call->intercept->states[i]);
}

static int64_t left_ns(int64_t deadline_ns, int64_t now_ns) {
  if (deadline_ns == TETHER_FOREVER) return TETHER_FOREVER;
  return deadline_ns > now_ns ? deadline_ns - now_ns : 0;
}

static tether_call_summary summarise(tether_call *call) {
  if (call->role == TTH_CLIENT) {
    int64_t started_ns = call->c.started_ns;
    return (tether_call_summary){.started_ns = started_ns,
                                 .ended_ns = call->c.ended_ns ? call->c.ended_ns : tether_now_ns(),
                                 .budget_ns = left_ns(tether_ctx_deadline_ns(call->root), started_ns)};
  }
  /* One that a shutdown has ended may not even have got its time yet. */
  int64_t ended_ns = call->s.ended_ns, arrived_ns = call->s.arrived_ns ? call->s.arrived_ns : ended_ns;
  return (tether_call_summary){.started_ns = arrived_ns,
                               .ended_ns = ended_ns,
                               .budget_ns = left_ns(call->s.deadline_ns, arrived_ns),
                               .queue_ns = (call->s.began_ns ? call->s.began_ns : ended_ns) - arrived_ns,
                               .wasted_ns = tth_server_call_wasted_ns(call),
                               .handled = call->s.began_ns != 0};
}

static void end_all(tether_call *call) {
  const tether_interceptor *const *list = list_of(call);
  const tether_call_summary summary = summarise(call);
  for (size_t i = count_of(list); i-- > 0;)
    if (list[i]->end) list[i]->end(list[i]->data, call, &summary, call->intercept ? call->intercept->states[i] : NULL);
}

void tth_intercept_end(tether_call *call) {
  if (atomic_exchange(&call->intercepting, TTH_INTERCEPT_ENDED) != TTH_INTERCEPT_BEGINNING) end_all(call);
}

/* ---- Connections --------------------------------------------------------------------------- */

static void announce(const tether_interceptor *const *list, const tth_conn *conn, bool server, bool opened) {
  for (size_t i = 0; list[i]; i++)
    if (list[i]->connection) list[i]->connection(list[i]->data, server, opened, tth_conn_peer(conn));
}

void tth_intercept_connected(const tether_interceptor *const *list, tth_conn *conn, bool server) {
  if (!list) return;
  tth_conn_node_of(conn)->announced = true;
  announce(list, conn, server, true);
}

void tth_intercept_disconnected(const tether_interceptor *const *list, tth_conn *conn, bool server) {
  if (list && tth_conn_node_of(conn)->announced) announce(list, conn, server, false);
}

/* ---- For hooks ----------------------------------------------------------------------------- */

bool tether_call_is_server(const tether_call *call) { return call->role == TTH_SERVER; }
const tether_method *tether_call_method(const tether_call *call) { return call->method; }

/* Makes a context derived from the call's the call's, unless it came to be without memory. */
static tether_code take_ctx(tether_call *call, const tether_ctx *ctx) {
  if (tether_ctx_err(ctx) != TETHER_OK && tether_ctx_err(call->root) == TETHER_OK) {
    tether_ctx_unref(ctx);
    return TETHER_RESOURCE_EXHAUSTED;
  }
  if (call->ctx != call->root) tether_ctx_unref(call->ctx);
  call->ctx = ctx;
  return TETHER_OK;
}

tether_code tether_call_set_value(tether_call *call, const tether_key *key, const void *value) {
  if (!is_beginning(call)) return TETHER_FAILED_PRECONDITION;
  return take_ctx(call, tether_ctx_with_value(call->ctx, key, value));
}

tether_code tether_call_set_trace(tether_call *call, const tether_trace *trace) {
  if (!is_beginning(call)) return TETHER_FAILED_PRECONDITION;
  tether_ctx *ctx = tth_trace_replaced(call->ctx, trace);
  tether_code code = ctx ? take_ctx(call, ctx) : TETHER_RESOURCE_EXHAUSTED;
  if (code == TETHER_OK && call->role == TTH_CLIENT) call->c.own_span = true;
  return code;
}

tether_code tether_call_add_metadata(tether_call *call, const char *key, const void *value, size_t len) {
  if (!is_beginning(call) || call->role != TTH_CLIENT) return TETHER_FAILED_PRECONDITION;
  if (!call->metadata && !(call->metadata = tether_metadata_new())) return TETHER_RESOURCE_EXHAUSTED;
  tether_code code = tth_metadata_add_any(call->metadata, key, value, len);
  if (code == TETHER_OK) call->c.metadata_bytes += strlen(key) + len + TTH_ENTRY_OVERHEAD;
  return code;
}
