/* Hedged calls: attempts of one unary call, of which the first answer counts.
 *
 *   RUNNING ──a final answer, or the last one──> SETTLED: the others are cancelled ──nobody is busy──> `done`
 *      │ ^
 *      └─┘ delay over, or a non-fatal answer: the next attempt starts
 *
 * Everything that can come later (an attempt's end, the delay's timer) holds a reference; the last one frees. Attempts
 * run under one context, whose end is how the losers are cancelled and how a pending delay is. After `done` the clients
 * may be closed: it waits for attempts that other threads are starting. Failures: without memory for a delay's timer
 * there is no next attempt unless this one fails; without memory for an attempt, that attempt fails. */
#include <stdio.h>
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
  tether_group *group; /* NULL: none */
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
  int busy; /* attempts being started, and the cancel of the losers: what must come before `done` */
  bool settled;
  tether_call *answer; /* once settled; not changed any more */
};

static void release(hedge *h) {
  if (!h || atomic_fetch_sub(&h->refs, 1) != 1) return;
  for (int i = 0; i < TETHER_HEDGE_MOST; i++) tether_ctx_free(h->delays[i].ctx);
  tether_ctx_free(h->ctx);
  if (h->request) protobuf_c_message_free_unpacked(h->request, NULL);
  tether_metadata_free(h->metadata);
  tether_credentials_unref(h->options.credentials);
  tether_call_unref(h->answer);
  pthread_mutex_destroy(&h->mu);
  free(h);
}

/* ---- The answer ---------------------------------------------------------------------------- */

/* `group` NULL: none. */
static void tell(tether_call *answer, tether_call_done_fn done, void *data, tether_group *group, unsigned long number) {
  char what[320];
  if (done) done(answer, data);
  if (!group) return;
  snprintf(what, sizeof what, "hedged call %s", tether_call_path(answer));
  tether_group_leave(group, number, tether_call_code(answer), what);
}

/* Something that must come before `done` is over. Nothing of the kind begins once settled, so `done` comes once. */
static void be_done_with_it(hedge *h) {
  pthread_mutex_lock(&h->mu);
  bool last = --h->busy == 0 && h->settled;
  pthread_mutex_unlock(&h->mu);
  if (last) tell(h->answer, h->done, h->data, h->group, h->group_number);
}

static void cancel_losers(hedge *h, int attempt) {
  tether_cause *cause =
      tether_cause_newf(TETHER_CAUSE_HEDGE_LOST, "attempt %d of %s answered first", attempt + 1, h->method->path);
  tether_ctx_cancel_cause(h->ctx, cause);
  tether_cause_unref(cause);
}

/* ---- Attempts ------------------------------------------------------------------------------ */

static void start_next(hedge *h, int after);

static void on_delay(void *data) {
  delay *d = data;
  hedge *h = d->hedge;
  /* Of a timer there was no memory for it is not the deadline that ended it. */
  if (tether_ctx_err(d->ctx) == TETHER_DEADLINE_EXCEEDED && tether_ctx_err(h->ctx) == TETHER_OK)
    start_next(h, (int)(d - h->delays) + 1);
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
  if (settles) {
    h->settled = true;
    h->answer = tether_call_ref(call);
    h->busy++;
  }
  pthread_mutex_unlock(&h->mu);
  if (settles) {
    cancel_losers(h, (int)(d - h->delays));
    be_done_with_it(h);
  } else if (more) {
    start_next(h, -1);
  }
  release(h);
}

/* Starts an attempt and, if it is not the last, the delay after which the next is due. `after`: only if so many have
 * been started, since an answer may be quicker to start the next than the delay; negative: however many. */
static void start_next(hedge *h, int after) {
  pthread_mutex_lock(&h->mu);
  bool start = !h->settled && h->started < h->max_attempts && (after < 0 || h->started == after);
  int attempt = h->started;
  if (start) {
    h->started++;
    h->busy++;
  }
  bool last = h->started == h->max_attempts;
  pthread_mutex_unlock(&h->mu);
  if (!start) return;
  delay *d = &h->delays[attempt];
  d->hedge = h;
  atomic_fetch_add(&h->refs, last ? 1 : 2);
  if (!last) d->ctx = tether_ctx_with_timeout(h->ctx, h->delay_ns);
  tether_call_unref(tether_call_start(h->clients[attempt], h->ctx, h->method, h->request, &h->options, on_attempt, d));
  if (!last) tether_ctx_after_func(d->ctx, &d->after, NULL, on_delay, d);
  be_done_with_it(h);
}

/* ---- Starting ------------------------------------------------------------------------------ */

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

/* NULL without memory. */
static hedge *hedge_new(const tether_hedging *hedging, const tether_ctx *ctx, const tether_method *method,
                        const ProtobufCMessage *request, const tether_call_options *options) {
  hedge *h = calloc(1, sizeof *h);
  if (!h) return NULL;
  h->refs = 1;
  h->method = method;
  pthread_mutex_init(&h->mu, NULL);
  for (int i = 0; i < TETHER_HEDGE_MOST; i++) h->clients[i] = hedging->clients[(size_t)i % hedging->client_count];
  h->max_attempts = hedging->max_attempts < TETHER_HEDGE_MOST ? hedging->max_attempts : TETHER_HEDGE_MOST;
  h->delay_ns = hedging->delay_ns;
  h->non_fatal = hedging->non_fatal;
  h->request = copy_message(request);
  if (options->metadata) h->metadata = tth_metadata_copy(options->metadata);
  if (!h->request || (options->metadata && !h->metadata)) {
    release(h);
    return NULL;
  }
  h->ctx = tth_client_derive(ctx, method, NULL, options);
  h->options = *options; /* but the deadline is that of all, and the group knows of one call */
  h->options.timeout_ns = TETHER_FOREVER;
  h->options.metadata = h->metadata;
  h->options.group = NULL;
  if (h->options.credentials) tether_credentials_ref(h->options.credentials);
  return h;
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
  if (!options) options = &defaults;
  tether_group *group = options->group;
  unsigned long number = 0;
  tether_code code = TETHER_INVALID_ARGUMENT;
  const char *why = check(hedging, method);
  if (group && tether_group_join(group, &number) != TETHER_OK) {
    group = NULL;
    code = TETHER_FAILED_PRECONDITION;
    why = "the group takes no more members";
  }
  hedge *h = why ? NULL : hedge_new(hedging, ctx, method, request, options);
  if (h) {
    h->done = done;
    h->data = data;
    h->group = group;
    h->group_number = number;
    start_next(h, -1);
    release(h);
    return;
  }
  tether_call *call =
      tth_client_call_refused(method, why ? code : TETHER_RESOURCE_EXHAUSTED, why ? why : "out of memory");
  tell(call, done, data, group, number);
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
