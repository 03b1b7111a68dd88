/* Hedged calls: attempts of one unary call, of which the first answer counts.
 *
 *   RUNNING ──a final answer, or the last one──> SETTLED: the others are cancelled ──nobody is busy──> `told`
 *      │ ^
 *      └─┘ delay over, or a non-fatal answer: the next attempt starts
 *
 * A server may hold the next attempt back (pushback): then neither the delay nor another answer starts it but that
 * time's end. Pushback that says no, or a throttle without tokens, ends the starting of attempts; those that have been
 * started go on.
 *
 * Everything that can come later (an attempt's end, a timer) holds a reference; the last one frees. Attempts run under
 * one context, whose end is how the losers are cancelled and how pending timers are. `told` waits for attempts that
 * other threads are starting: after it the clients may be closed. Failures: without memory for a delay's timer there is
 * no next attempt unless this one fails; without memory for an attempt, that attempt fails. */
#include "rpc/hedge.h"

#include <stdio.h>
#include <stdlib.h>

#include "rpc/futex.h"
#include "rpc/metadata.h"
#include "rpc/real_time.h"

typedef tth_hedge hedge;

typedef struct delay {
  hedge *hedge;
  tether_ctx *ctx;
  tether_after after;
} delay;

struct tth_hedge {
  _Atomic uint32_t refs;
  _Atomic int64_t wait_until_ns; /* see tth_hedge_will_wait */
  const tether_method *method;
  tether_ctx *ctx;
  ProtobufCMessage *request; /* a copy, for later attempts */
  tether_metadata *metadata;
  tether_call_options options;
  tether_client *clients[TETHER_HEDGE_MOST]; /* of the attempts, in order */
  int max_attempts;
  int64_t delay_ns;
  uint32_t non_fatal;
  void (*told)(void *data, tether_call *answer); /* once, with the attempt whose answer counts */
  void *data;
  delay delays[TETHER_HEDGE_MOST];    /* the i-th ends with attempt i + 1 */
  delay pushbacks[TETHER_HEDGE_MOST]; /* the i-th holds attempt i back */

  pthread_mutex_t mu;
  /* under mu */
  int started, ended;
  int busy;                   /* attempts being started, and the cancel of the losers: what must come before `told` */
  bool settled, held, frozen; /* held: by pushback; frozen: no attempt starts any more */
  tether_call *answer;        /* the last that did not count; once settled the one that does, for good */
  tether_call *calls[TETHER_HEDGE_MOST]; /* the attempts */
};

void tth_hedge_unref(hedge *h) {
  if (!h || atomic_fetch_sub(&h->refs, 1) != 1) return;
  for (int i = 0; i < TETHER_HEDGE_MOST; i++) {
    tether_ctx_free(h->delays[i].ctx);
    tether_ctx_free(h->pushbacks[i].ctx);
    tether_call_unref(h->calls[i]);
  }
  tether_ctx_free(h->ctx);
  if (h->request) protobuf_c_message_free_unpacked(h->request, NULL);
  tether_metadata_free(h->metadata);
  tether_credentials_unref(h->options.credentials);
  tether_call_unref(h->answer);
  pthread_mutex_destroy(&h->mu);
  free(h);
}

/* ---- The answer ---------------------------------------------------------------------------- */

/* Something that must come before `told` is over. Nothing of the kind begins once settled, so `told` comes once. */
static void be_done_with_it(hedge *h) {
  pthread_mutex_lock(&h->mu);
  bool last = --h->busy == 0 && h->settled;
  pthread_mutex_unlock(&h->mu);
  if (last) h->told(h->data, h->answer);
}

/* The lock is held. */
static void settle_locked(hedge *h) {
  h->settled = true;
  h->busy++;
}

/* After that, without it. `attempt` negative: nobody has answered. */
static void cancel_losers(hedge *h, int attempt) {
  tether_cause *cause =
      tether_cause_newf(TETHER_CAUSE_HEDGE_LOST, "attempt %d of %s answered first", attempt + 1, h->method->path);
  tether_ctx_cancel_cause(h->ctx, cause);
  tether_cause_unref(cause);
  be_done_with_it(h);
}

/* ---- Attempts ------------------------------------------------------------------------------ */

static void start_next(hedge *h, int after);

static void on_delay(void *data) {
  delay *d = data;
  hedge *h = d->hedge;
  /* Of a timer there was no memory for it is not the deadline that ended it. */
  if (tether_ctx_err(d->ctx) == TETHER_DEADLINE_EXCEEDED && tether_ctx_err(h->ctx) == TETHER_OK)
    start_next(h, (int)(d - h->delays) + 1);
  tth_hedge_unref(h);
}

/* The time has come, or the call's context has ended: then the next attempt ends with it, and settles. */
static void on_pushback_over(void *data) {
  delay *d = data;
  hedge *h = d->hedge;
  pthread_mutex_lock(&h->mu);
  h->held = false;
  pthread_mutex_unlock(&h->mu);
  start_next(h, -1);
  tth_hedge_unref(h);
}

static void hold(hedge *h, int attempt, int64_t delay_ns) {
  delay *d = &h->pushbacks[attempt];
  d->hedge = h;
  d->ctx = tether_ctx_with_timeout(h->ctx, delay_ns);
  atomic_fetch_add(&h->refs, 1);
  tether_ctx_after_func(d->ctx, &d->after, NULL, on_pushback_over, d);
}

/* What an answer means for the tokens of the client it came through; those of attempts cut here mean nothing. */
static void count(hedge *h, int attempt, tether_code code, tth_pushback pushback) {
  tth_throttle *throttle = &h->clients[attempt]->throttle;
  if (code == TETHER_OK)
    tth_throttle_succeeded(throttle);
  else if (tether_ctx_err(h->ctx) == TETHER_OK && (h->non_fatal & 1u << code || pushback == TTH_PUSHBACK_NEVER))
    tth_throttle_failed(throttle);
}

static void on_attempt(tether_call *call, void *data) {
  delay *d = data; /* the attempt's own */
  hedge *h = d->hedge;
  int attempt = (int)(d - h->delays);
  tether_code code = tether_call_code(call);
  int64_t delay_ns = 0;
  tth_pushback pushback = tth_pushback_read(tether_call_trailers(call), &delay_ns);
  /* A non-fatal failure is not final because the call's context has ended meanwhile: that ends the attempts that still
   * run, or else the next one as it starts, and their answer counts. */
  bool cut = tether_ctx_err(h->ctx) != TETHER_OK && code == tth_code_of_ctx(h->ctx);
  bool final = code == TETHER_OK || !(h->non_fatal & 1u << code) || cut;
  count(h, attempt, code, pushback);
  pthread_mutex_lock(&h->mu);
  h->ended++;
  h->frozen |= pushback == TTH_PUSHBACK_NEVER;
  bool more = !h->settled && !final && !h->frozen && h->started < h->max_attempts;
  bool settles = !h->settled && !more && (final || h->ended == h->started);
  bool starts = more && !h->held && pushback != TTH_PUSHBACK_AFTER;
  bool holds = more && !h->held && pushback == TTH_PUSHBACK_AFTER;
  int next = h->started;
  tether_call *before = NULL;
  if (!h->settled) {
    before = h->answer;
    h->answer = tether_call_ref(call);
  }
  if (settles) settle_locked(h);
  h->held |= holds;
  pthread_mutex_unlock(&h->mu);
  tether_call_unref(before);
  if (settles)
    cancel_losers(h, attempt);
  else if (holds)
    hold(h, next, delay_ns);
  else if (starts)
    start_next(h, -1);
  tth_hedge_unref(h);
}

/* Takes the number of the next attempt; negative: none is to start. `after` as below. *settles: nothing is left to
 * wait for. */
static int claim(hedge *h, int after, bool *settles) {
  pthread_mutex_lock(&h->mu);
  int attempt = h->started;
  bool due = !h->settled && !h->held && attempt < h->max_attempts && (after < 0 || attempt == after);
  if (due && attempt > 0 && !tth_throttle_allows(&h->clients[attempt]->throttle)) h->frozen = true;
  bool start = due && !h->frozen;
  *settles = due && h->frozen && h->ended == h->started;
  if (start) {
    h->started++;
    h->busy++;
  }
  if (*settles) settle_locked(h);
  pthread_mutex_unlock(&h->mu);
  return start ? attempt : -1;
}

/* Starts an attempt and, if it is not the last, the delay after which the next is due. `after`: only if so many have
 * been started, since an answer may be quicker to start the next than the delay; negative: however many. */
static void start_next(hedge *h, int after) {
  bool settles;
  int attempt = claim(h, after, &settles);
  if (settles) cancel_losers(h, -1);
  if (attempt < 0) return;
  bool last = attempt + 1 == h->max_attempts;
  delay *d = &h->delays[attempt];
  d->hedge = h;
  atomic_fetch_add(&h->refs, last ? 1 : 2);
  if (!last) d->ctx = tether_ctx_with_timeout(h->ctx, h->delay_ns);
  tether_call *call = tth_client_call_attempt(h->clients[attempt], h->ctx, h->method, h->request, &h->options, h,
                                              attempt, on_attempt, d);
  pthread_mutex_lock(&h->mu);
  h->calls[attempt] = call;
  pthread_mutex_unlock(&h->mu);
  if (tether_ctx_err(h->ctx) != TETHER_OK) tth_client_call_expire(call); /* tth_hedge_expire may have come too early */
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

/* Attempts under a context of their own, derived from `ctx`, without its deadline's options. NULL without memory. */
static hedge *hedge_new(const tether_hedging *hedging, tether_ctx *ctx, const tether_method *method,
                        const ProtobufCMessage *request, const tether_call_options *options) {
  hedge *h = calloc(1, sizeof *h);
  if (!h) {
    tether_ctx_free(ctx);
    return NULL;
  }
  h->refs = 1;
  h->method = method;
  h->ctx = ctx;
  pthread_mutex_init(&h->mu, NULL);
  for (int i = 0; i < TETHER_HEDGE_MOST; i++) h->clients[i] = hedging->clients[(size_t)i % hedging->client_count];
  h->max_attempts = hedging->max_attempts < TETHER_HEDGE_MOST ? hedging->max_attempts : TETHER_HEDGE_MOST;
  h->delay_ns = hedging->delay_ns;
  h->non_fatal = hedging->non_fatal;
  h->request = copy_message(request);
  if (options->metadata) h->metadata = tth_metadata_copy(options->metadata);
  if (!h->request || (options->metadata && !h->metadata)) {
    tth_hedge_unref(h);
    return NULL;
  }
  h->options = *options; /* but the deadline is that of all, and the group knows of one call */
  h->options.timeout_ns = TETHER_FOREVER;
  h->options.metadata = h->metadata;
  h->options.group = NULL;
  if (h->options.credentials) tether_credentials_ref(h->options.credentials);
  return h;
}

static void run(hedge *h, void (*told)(void *data, tether_call *answer), void *data) {
  h->told = told;
  h->data = data;
  start_next(h, -1);
  tth_hedge_unref(h);
}

void tth_hedge_expire(hedge *h) {
  for (int i = 0; i < TETHER_HEDGE_MOST; i++) {
    tether_call *attempt = tth_hedge_attempt(h, i);
    if (attempt) tth_client_call_expire(attempt);
    tether_call_unref(attempt);
  }
  pthread_mutex_lock(&h->mu);
  bool held = h->held;
  h->held = false;
  pthread_mutex_unlock(&h->mu);
  if (held) start_next(h, -1); /* as the end of the time it is held back for would, which may yet come */
}

/* ---- By policy ----------------------------------------------------------------------------- */

static void end_call(void *data, tether_call *answer) {
  tether_call *call = data;
  tth_client_call_adopt(call, answer);
  tether_call_unref(call);
}

void tth_hedge_start(tether_call *call, const tth_hedging_policy *policy, const ProtobufCMessage *request,
                     const tether_call_options *options) {
  const tether_hedging hedging = {.max_attempts = policy->max_attempts,
                                  .delay_ns = policy->delay_ns,
                                  .non_fatal = policy->non_fatal,
                                  .clients = &call->c.client,
                                  .client_count = 1};
  hedge *h = hedge_new(&hedging, tether_ctx_with_cancel(call->root), call->method, request, options);
  if (!h) {
    tether_call *refused = tth_client_call_refused(call->method, TETHER_RESOURCE_EXHAUSTED, "out of memory");
    tth_client_call_adopt(call, refused);
    tether_call_unref(refused);
    return;
  }
  call->c.hedge = h;
  atomic_fetch_add(&h->refs, 1);
  run(h, end_call, tether_call_ref(call));
}

tether_call *tth_hedge_attempt(hedge *h, int i) {
  pthread_mutex_lock(&h->mu);
  tether_call *call = i < TETHER_HEDGE_MOST && h->calls[i] ? tether_call_ref(h->calls[i]) : NULL;
  pthread_mutex_unlock(&h->mu);
  return call;
}

void tth_hedge_will_wait(hedge *h, int64_t until_ns) { atomic_store(&h->wait_until_ns, until_ns); }

int64_t tth_hedge_wait_ns(const hedge *h) {
  int64_t until_ns = atomic_load(&h->wait_until_ns);
  if (until_ns == 0) return 0;
  int64_t left_ns = tether_time_add(until_ns, -tth_real_now_ns());
  return left_ns > 0 ? left_ns : 1;
}

unsigned tth_hedge_attempts(hedge *h) {
  unsigned sum = 0;
  pthread_mutex_lock(&h->mu);
  for (int i = 0; i < TETHER_HEDGE_MOST; i++)
    if (h->calls[i]) sum += tth_client_call_attempts(h->calls[i]);
  pthread_mutex_unlock(&h->mu);
  return sum;
}

/* ---- By hand ------------------------------------------------------------------------------- */

/* Who is told of a call that was hedged by hand. */
struct listener {
  tether_call_done_fn done;
  void *data;
  tether_group *group; /* NULL: none */
  unsigned long group_number;
};

static void tell(const struct listener *listener, tether_call *answer) {
  char what[320];
  if (listener->done) listener->done(answer, listener->data);
  if (!listener->group) return;
  snprintf(what, sizeof what, "hedged call %s", tether_call_path(answer));
  tether_group_leave(listener->group, listener->group_number, tether_call_code(answer), what);
}

static void tell_and_free(void *data, tether_call *answer) {
  tell(data, answer);
  free(data);
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
  struct listener listener = {.done = done, .data = data, .group = options->group};
  tether_code code = TETHER_INVALID_ARGUMENT;
  const char *why = check(hedging, method);
  if (listener.group && tether_group_join(listener.group, &listener.group_number) != TETHER_OK) {
    listener.group = NULL;
    code = TETHER_FAILED_PRECONDITION;
    why = "the group takes no more members";
  }
  struct listener *kept = why ? NULL : malloc(sizeof *kept);
  hedge *h = NULL;
  if (kept) {
    const tth_method_config *config = tth_service_config_find(hedging->clients[0]->config, method->path);
    h = hedge_new(hedging, tth_client_derive(ctx, method, config, options), method, request, options);
  }
  if (h) {
    *kept = listener;
    run(h, tell_and_free, kept);
    return;
  }
  free(kept);
  tether_call *call =
      tth_client_call_refused(method, why ? code : TETHER_RESOURCE_EXHAUSTED, why ? why : "out of memory");
  tell(&listener, call);
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
