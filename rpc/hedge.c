/* Hedged calls: attempts of one unary call, of which the first answer counts.
 *
 *   RUNNING ──a final answer, or the last one──> SETTLED: the others are cancelled, `done` is called
 *      │ ^
 *      └─┘ delay over, or a non-fatal answer: the next attempt starts
 *
 * Everything that can come later (an attempt's end, the delay's timer) holds a reference; the last one frees. Attempts
 * run under one context, whose end is how the losers are cancelled and how a pending delay is. */
#include <stdlib.h>
#include <tether/hedge.h>

#include "rpc/client.h"
#include "rpc/futex.h"
#include "rpc/metadata.h"

typedef struct hedge hedge;

typedef struct delay {
  hedge *hedge;
  tether_ctx *ctx;
  tether_after after;
} delay;

struct hedge {
  _Atomic uint32_t refs;
  const tether_method *method;
  tether_ctx *ctx;
  ProtobufCMessage *request; /* a copy, for later attempts */
  tether_metadata *metadata;
  tether_call_options options;
  tether_group *group;
  unsigned long group_number;
  tether_client *clients[TETHER_HEDGE_MOST]; /* of the attempts, in order */
  int max_attempts;
  int64_t delay_ns;
  uint32_t non_fatal;
  tether_call_done_fn done;
  void *data;
  delay delays[TETHER_HEDGE_MOST]; /* the i-th ends with attempt i + 1 */

  pthread_mutex_t mu;
  /* under mu */
  int started, ended;
  bool settled;
};

static void release(hedge *h) {
  if (atomic_fetch_sub(&h->refs, 1) != 1) return;
  for (int i = 0; i < TETHER_HEDGE_MOST; i++) tether_ctx_free(h->delays[i].ctx);
  tether_ctx_free(h->ctx);
  if (h->request) protobuf_c_message_free_unpacked(h->request, NULL);
  tether_metadata_free(h->metadata);
  pthread_mutex_destroy(&h->mu);
  free(h);
}

static void settle(hedge *h, tether_call *answer, int attempt) {
  tether_cause *cause =
      tether_cause_newf(TETHER_CAUSE_HEDGE_LOST, "attempt %d of %s answered first", attempt + 1, h->method->path);
  tether_ctx_cancel_cause(h->ctx, cause);
  tether_cause_unref(cause);
  if (h->done) h->done(answer, h->data);
  if (h->group) tether_group_leave(h->group, h->group_number, tether_call_code(answer), "hedged call");
}

static void start_next(hedge *h, const ProtobufCMessage *request);

static void on_delay(void *data) {
  delay *d = data;
  hedge *h = d->hedge;
  pthread_mutex_lock(&h->mu);
  bool due = !h->settled && h->started == d - h->delays + 1; /* else an answer was quicker to start it */
  pthread_mutex_unlock(&h->mu);
  if (due && tether_ctx_err(h->ctx) == TETHER_OK) start_next(h, h->request);
  release(h);
}

static void on_attempt(tether_call *call, void *data) {
  delay *d = data; /* the attempt's own */
  hedge *h = d->hedge;
  tether_code code = tether_call_code(call);
  bool final = code == TETHER_OK || !(h->non_fatal & 1u << code) || tether_ctx_err(h->ctx) != TETHER_OK;
  pthread_mutex_lock(&h->mu);
  h->ended++;
  bool more = !h->settled && !final && h->started < h->max_attempts;
  bool settles = !h->settled && !more && (final || h->ended == h->started);
  if (settles) h->settled = true;
  pthread_mutex_unlock(&h->mu);
  if (settles)
    settle(h, call, (int)(d - h->delays));
  else if (more)
    start_next(h, h->request);
  release(h);
}

/* Starts an attempt and, if it is not the last, the delay after which the next is due. */
static void start_next(hedge *h, const ProtobufCMessage *request) {
  pthread_mutex_lock(&h->mu);
  bool start = !h->settled && h->started < h->max_attempts;
  int attempt = h->started;
  if (start) h->started++;
  bool last = h->started == h->max_attempts;
  pthread_mutex_unlock(&h->mu);
  if (!start) return;
  delay *d = &h->delays[attempt];
  d->hedge = h;
  atomic_fetch_add(&h->refs, last ? 1 : 2);
  if (!last) d->ctx = tether_ctx_with_timeout(h->ctx, h->delay_ns);
  tether_call_unref(tether_call_start(h->clients[attempt], h->ctx, h->method, request, &h->options, on_attempt, d));
  if (!last) tether_ctx_after_func(d->ctx, &d->after, NULL, on_delay, d);
}

/* A copy made the way a peer would get one. NULL without memory. */
static ProtobufCMessage *copy_message(const ProtobufCMessage *message) {
  size_t len = protobuf_c_message_get_packed_size(message);
  uint8_t *bytes = malloc(len ? len : 1);
  if (!bytes) return NULL;
  protobuf_c_message_pack(message, bytes);
  ProtobufCMessage *copy = protobuf_c_message_unpack(message->descriptor, NULL, len, bytes);
  free(bytes);
  return copy;
}

/* What a hedge needs; an answer that says why not, NULL if nothing is wrong. */
static const char *prepare(hedge *h, const tether_hedging *hedging, const tether_ctx *ctx,
                           const ProtobufCMessage *request, const tether_call_options *options) {
  for (int i = 0; i < TETHER_HEDGE_MOST; i++) h->clients[i] = hedging->clients[(size_t)i % hedging->client_count];
  h->max_attempts = hedging->max_attempts < TETHER_HEDGE_MOST ? hedging->max_attempts : TETHER_HEDGE_MOST;
  h->delay_ns = hedging->delay_ns;
  h->non_fatal = hedging->non_fatal;
  h->request = copy_message(request);
  if (options->metadata) h->metadata = tth_metadata_copy(options->metadata);
  if (!h->request || (options->metadata && !h->metadata)) return "out of memory";
  h->ctx = tth_client_derive(ctx, h->method, options);
  h->options = (tether_call_options){
      .timeout_ns = TETHER_FOREVER, .wait_for_ready = options->wait_for_ready, .metadata = h->metadata};
  if (options->group && tether_group_join(options->group, &h->group_number) != TETHER_OK)
    return "the group takes no more members";
  h->group = options->group;
  return NULL;
}

static const char *check(const tether_hedging *hedging, const tether_method *method) {
  if (method->flags & (TETHER_METHOD_CLIENT_STREAMING | TETHER_METHOD_SERVER_STREAMING))
    return "a streaming method cannot be hedged";
  if (!(method->flags & TETHER_METHOD_IDEMPOTENT))
    return "the method is not declared idempotent: a hedged call may run it more than once";
  return hedging->max_attempts < 1 || hedging->client_count == 0 ? "hedging needs a client and an attempt" : NULL;
}

void tether_call_hedged_start(const tether_hedging *hedging, const tether_ctx *ctx, const tether_method *method,
                              const ProtobufCMessage *request, const tether_call_options *options,
                              tether_call_done_fn done, void *data) {
  static const tether_call_options defaults;
  tether_code code = TETHER_INVALID_ARGUMENT;
  const char *why = check(hedging, method);
  hedge *h = why ? NULL : calloc(1, sizeof *h);
  if (h) {
    h->refs = 1;
    h->method = method;
    h->done = done;
    h->data = data;
    pthread_mutex_init(&h->mu, NULL);
    why = prepare(h, hedging, ctx, request, options ? options : &defaults);
    if (!why) start_next(h, request);
    release(h);
    if (!why) return;
    code = TETHER_RESOURCE_EXHAUSTED;
  } else if (!why) {
    code = TETHER_RESOURCE_EXHAUSTED;
    why = "out of memory";
  }
  tether_call *call = tth_client_call_refused(method, code, why);
  if (done) done(call, data);
  tether_call_unref(call);
}

/* ---- Blocking ------------------------------------------------------------------------------ */

struct waiter {
  _Atomic uint32_t done;
  tether_call *call;
};

static void on_done(tether_call *call, void *data) {
  struct waiter *waiter = data;
  waiter->call = tether_call_ref(call);
  atomic_store(&waiter->done, 1);
  tth_futex_wake_all(&waiter->done); /* the waiter may be gone: it is only an address here */
}

tether_call *tether_call_hedged(const tether_hedging *hedging, const tether_ctx *ctx, const tether_method *method,
                                const ProtobufCMessage *request, const tether_call_options *options) {
  struct waiter waiter = {0};
  tether_call_hedged_start(hedging, ctx, method, request, options, on_done, &waiter);
  while (!atomic_load(&waiter.done)) tth_futex_wait(&waiter.done, 0);
  return waiter.call;
}
