/* Notes of a handler's calls.
 *
 * Legs are packed as they end, since what they point to ends with their calls. When there are too many, or too many
 * bytes, the calls that succeeded go first, then the latest; a Hop inside that is too long is made shorter
 * (rpc/hop.h). What is left out is counted. */
#include "rpc/recorder.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/hop.h"
#include "rpc/reuse.h"

/* What the Hop in a leg may take, so that the leg fits into one. */
#define INNER_MOST (TTH_LEDGER_MOST / 2)

struct leg {
  uint8_t *bytes; /* a packed Leg, owned */
  size_t len;
  int64_t started_ns;
  unsigned number;
  bool failed;
};

struct tth_recorder {
  _Atomic uint32_t refs;
  bool explain;
  int64_t explain_wait_ns;
  _Atomic int64_t start_ns;   /* of the handler */
  _Atomic int64_t wait_until; /* 0: nobody waits */

  pthread_mutex_t mu;
  /* under mu */
  uint32_t open, running; /* streams open; handlers known to run below those that are gone */
  struct leg *legs;       /* room for TTH_RECORDER_LEGS */
  size_t count, cut;
  unsigned numbered;
  void (*when_closed)(void *data);
  void *when_closed_data;
};

static void *share(const void *value) { return tth_recorder_ref((tth_recorder *)value); }
static void drop(void *value) { tth_recorder_unref(value); }
static const tether_key recorder_key = {.name = "tether-recorder", .copy = share, .free = drop};

tth_recorder *tth_recorder_new(bool explain, int64_t explain_wait_ns) {
  tth_recorder *recorder = tth_reuse_get(TTH_REUSE_RECORDER, sizeof *recorder);
  if (!recorder) return NULL;
  *recorder = (tth_recorder){.refs = 1, .explain = explain};
  recorder->explain_wait_ns = explain_wait_ns < TTH_EXPLAIN_WAIT_MOST ? explain_wait_ns : TTH_EXPLAIN_WAIT_MOST;
  pthread_mutex_init(&recorder->mu, NULL);
  return recorder;
}

tth_recorder *tth_recorder_ref(tth_recorder *recorder) {
  if (recorder) atomic_fetch_add_explicit(&recorder->refs, 1, memory_order_relaxed);
  return recorder;
}

void tth_recorder_unref(tth_recorder *recorder) {
  if (!recorder || atomic_fetch_sub_explicit(&recorder->refs, 1, memory_order_acq_rel) != 1) return;
  for (size_t i = 0; i < recorder->count; i++) free(recorder->legs[i].bytes);
  free(recorder->legs);
  pthread_mutex_destroy(&recorder->mu);
  tth_reuse_put(TTH_REUSE_RECORDER, recorder);
}

const tether_ctx *tth_recorder_attach(const tether_ctx *ctx, tth_recorder *recorder) {
  tether_ctx *with = recorder ? tether_ctx_with_value(ctx, &recorder_key, recorder) : NULL;
  if (!with) return ctx;
  tether_ctx_unref(ctx);
  return with;
}

tth_recorder *tth_recorder_of(const tether_ctx *ctx) {
  return tth_recorder_ref((tth_recorder *)tether_ctx_value(ctx, &recorder_key));
}

bool tth_recorder_explains(const tth_recorder *recorder) { return recorder && recorder->explain; }

int64_t tth_recorder_explain_wait_ns(const tth_recorder *recorder) {
  return tth_recorder_explains(recorder) ? recorder->explain_wait_ns : 0;
}

int64_t tth_recorder_wait_below_ns(const tth_recorder *recorder) {
  if (!tth_recorder_explains(recorder)) return TTH_EXPLAIN_WAIT_MOST; /* the explanation begins here */
  return recorder->explain_wait_ns - recorder->explain_wait_ns / 8;
}

void tth_recorder_start(tth_recorder *recorder, int64_t now_ns) {
  if (recorder) atomic_store(&recorder->start_ns, now_ns);
}

/* ---- Open calls ---------------------------------------------------------------------------- */

void tth_recorder_call_opened(tth_recorder *recorder) {
  if (!recorder) return;
  pthread_mutex_lock(&recorder->mu);
  recorder->open++;
  pthread_mutex_unlock(&recorder->mu);
}

/* Gives up the lock and calls what waits, if it is time. */
static void unlock_and_tell(tth_recorder *recorder, bool now) {
  void (*fn)(void *data) = now ? recorder->when_closed : NULL;
  void *data = recorder->when_closed_data;
  if (now) recorder->when_closed = NULL;
  pthread_mutex_unlock(&recorder->mu);
  if (fn) fn(data);
}

void tth_recorder_call_closed(tth_recorder *recorder, uint32_t running) {
  if (!recorder) return;
  pthread_mutex_lock(&recorder->mu);
  recorder->open--;
  recorder->running += running;
  unlock_and_tell(recorder, recorder->open == 0);
}

uint32_t tth_recorder_running(tth_recorder *recorder) {
  if (!recorder) return 0;
  pthread_mutex_lock(&recorder->mu);
  uint32_t running = recorder->running + recorder->open;
  pthread_mutex_unlock(&recorder->mu);
  return running;
}

void tth_recorder_when_closed(tth_recorder *recorder, void (*fn)(void *data), void *data) {
  if (!recorder) {
    fn(data);
    return;
  }
  pthread_mutex_lock(&recorder->mu);
  recorder->when_closed = fn;
  recorder->when_closed_data = data;
  unlock_and_tell(recorder, recorder->open == 0);
}

void tth_recorder_give_up(tth_recorder *recorder) {
  if (!recorder) return;
  pthread_mutex_lock(&recorder->mu);
  unlock_and_tell(recorder, true);
}

void tth_recorder_set_wait(tth_recorder *recorder, int64_t until_ns) {
  if (recorder) atomic_store(&recorder->wait_until, until_ns);
}

int64_t tth_recorder_wait_ns(tth_recorder *recorder, int64_t now_ns) {
  int64_t until = recorder ? atomic_load(&recorder->wait_until) : 0;
  return until > now_ns ? until - now_ns : 0;
}

/* ---- Rows ---------------------------------------------------------------------------------- */

/* Makes the Hop short enough to be nested; one that cannot be is left out. Returns what is to be freed. */
static uint8_t *fit(ProtobufCBinaryData *hop) {
  if (hop->len <= INNER_MOST) return NULL;
  uint8_t *bytes = malloc(INNER_MOST);
  hop->len = bytes ? tth_hop_shorten(hop->data, hop->len, bytes, INNER_MOST) : 0;
  hop->data = bytes;
  return bytes;
}

static uint8_t *pack_leg(const Tether__V1__Leg *leg, size_t *len) {
  *len = tether__v1__leg__get_packed_size(leg);
  uint8_t *bytes = malloc(*len ? *len : 1);
  if (bytes) tether__v1__leg__pack(leg, bytes);
  return bytes;
}

/* Which row gives way to a failed one: the first that succeeded. */
static struct leg *replaceable(tth_recorder *recorder) {
  for (size_t i = 0; i < recorder->count; i++)
    if (!recorder->legs[i].failed) return &recorder->legs[i];
  return NULL;
}

unsigned tth_recorder_call_ended(tth_recorder *recorder, const Tether__V1__Leg *ended) {
  if (!recorder) return 0;
  Tether__V1__Leg leg = *ended;
  leg.started_ns -= atomic_load(&recorder->start_ns);
  if (leg.started_ns < 0) leg.started_ns = 0;
  uint8_t *shorter = fit(&leg.hop);
  leg.has_hop = leg.hop.len > 0;
  struct leg made = {.started_ns = leg.started_ns, .failed = leg.code != TETHER_OK};
  made.bytes = pack_leg(&leg, &made.len);
  free(shorter);
  uint8_t *gone = made.bytes;
  pthread_mutex_lock(&recorder->mu);
  const unsigned number = made.number = ++recorder->numbered;
  if (!recorder->legs) recorder->legs = calloc(TTH_RECORDER_LEGS, sizeof *recorder->legs);
  struct leg *place = NULL;
  if (recorder->legs && recorder->count < TTH_RECORDER_LEGS)
    place = &recorder->legs[recorder->count++];
  else if (recorder->legs && made.failed)
    place = replaceable(recorder);
  if (place && made.bytes) {
    if (place->bytes) recorder->cut++;
    gone = place->bytes;
    *place = made;
  } else {
    recorder->cut++;
  }
  pthread_mutex_unlock(&recorder->mu);
  free(gone);
  return number;
}

void tth_recorder_call_explained(tth_recorder *recorder, unsigned row, const ProtobufCBinaryData *hop) {
  if (!recorder) return;
  ProtobufCBinaryData inner = *hop;
  uint8_t *shorter = fit(&inner);
  pthread_mutex_lock(&recorder->mu);
  for (size_t i = 0; i < recorder->count; i++) {
    struct leg *leg = &recorder->legs[i];
    if (leg->number != row || inner.len == 0) continue;
    uint8_t *grown = realloc(leg->bytes, leg->len + TTH_HOP_OVERHEAD + inner.len);
    if (!grown) break;
    leg->bytes = grown;
    grown[leg->len++] = TTH_LEG_HOP; /* behind what was packed without it */
    leg->len += tth_hop_put_varint(grown + leg->len, inner.len);
    memcpy(grown + leg->len, inner.data, inner.len);
    leg->len += inner.len;
  }
  pthread_mutex_unlock(&recorder->mu);
  free(shorter);
}

static int by_start(const void *a, const void *b) {
  const struct leg *x = a, *y = b;
  return (x->started_ns > y->started_ns) - (x->started_ns < y->started_ns);
}

/* Puts the legs that fit, failed ones first in what there is room for, in the order started; adds the others to *cut.
 */
static size_t put_legs(const tth_recorder *recorder, uint8_t *to, size_t room, size_t *cut) {
  bool take[TTH_RECORDER_LEGS] = {false};
  size_t len = 0;
  for (int pass = 0; pass < 2; pass++) {
    for (size_t i = 0; i < recorder->count; i++) {
      const struct leg *leg = &recorder->legs[i];
      if (!leg->bytes || take[i] || leg->failed != (pass == 0) || leg->len + TTH_HOP_OVERHEAD > room) continue;
      take[i] = true;
      room -= leg->len + TTH_HOP_OVERHEAD;
    }
  }
  for (size_t i = 0; i < recorder->count; i++) {
    if (!take[i]) ++*cut;
    if (!take[i]) continue;
    to[len++] = TTH_HOP_LEG;
    len += tth_hop_put_varint(to + len, recorder->legs[i].len);
    memcpy(to + len, recorder->legs[i].bytes, recorder->legs[i].len);
    len += recorder->legs[i].len;
  }
  return len;
}

bool tth_recorder_pack(tth_recorder *recorder, Tether__V1__Hop *hop, ProtobufCBinaryData *result) {
  uint8_t *bytes = malloc(TTH_LEDGER_MOST);
  if (!bytes) return false;
  size_t len = tether__v1__hop__pack(hop, bytes); /* a name of at most 63 bytes and some numbers */
  if (recorder) {
    pthread_mutex_lock(&recorder->mu);
    if (recorder->count > 1) qsort(recorder->legs, recorder->count, sizeof *recorder->legs, by_start);
    size_t cut = recorder->cut;
    len += put_legs(recorder, bytes + len, TTH_LEDGER_MOST - len - 16, &cut);
    if (cut) {
      bytes[len++] = TTH_HOP_CUT;
      len += tth_hop_put_varint(bytes + len, cut);
    }
    pthread_mutex_unlock(&recorder->mu);
  }
  *result = (ProtobufCBinaryData){.len = len, .data = bytes};
  return true;
}
