/* W3C trace context as a value on contexts. */
#include "rpc/trace.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* The stored value: one allocation, the texts behind it. */
struct trace_value {
  tether_trace trace;
  const char *state, *baggage;
};

static const tether_key trace_key = {.name = "traceparent", .free = free};

/* Counts forks, so that a child's threads do not go on with the parent's random state. */
static _Atomic uint32_t forks = 1;
static void count_fork(void) { forks++; }
static void watch_forks(void) { (void)pthread_atfork(NULL, NULL, count_fork); }

/* xorshift64* per thread, seeded by the kernel once per thread and fork: ids need uniqueness, not secrecy, and a
 * system call each would cost more than the rest of a header. */
void tth_random(void *bytes, size_t len) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  static _Thread_local uint64_t state;
  static _Thread_local uint32_t seeded_in;
  uint8_t *out = bytes;
  if (seeded_in != forks) {
    pthread_once(&once, watch_forks);
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != sizeof seed)
      seed = (uint64_t)tether_now_ns() ^ (uint64_t)(uintptr_t)&state ^ (uint64_t)getpid() << 32;
    state = seed ? seed : 1;
    seeded_in = forks;
  }
  while (len) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    uint64_t word = state * UINT64_C(0x2545F4914F6CDD1D);
    size_t n = len < sizeof word ? len : sizeof word;
    memcpy(out, &word, n);
    out += n;
    len -= n;
  }
}

static bool all_zero(const uint8_t *bytes, size_t len) {
  for (size_t i = 0; i < len; i++)
    if (bytes[i]) return false;
  return true;
}

static void random_id(uint8_t *id, size_t len) {
  do tth_random(id, len);
  while (all_zero(id, len));
}

static void to_hex(char *out, const uint8_t *bytes, size_t len) {
  static const char digits[] = "0123456789abcdef";
  for (size_t i = 0; i < len; i++) {
    out[2 * i] = digits[bytes[i] >> 4];
    out[2 * i + 1] = digits[bytes[i] & 15];
  }
}

/* Lower-case hex only, as the specification asks. */
static bool from_hex(uint8_t *bytes, const char *text, size_t len) {
  for (size_t i = 0; i < 2 * len; i++) {
    char c = text[i];
    int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) return false;
    bytes[i / 2] = (uint8_t)(i % 2 ? bytes[i / 2] | digit : digit << 4);
  }
  return true;
}

void tether_trace_format(const tether_trace *trace, char text[TETHER_TRACEPARENT_SIZE]) {
  memcpy(text, "00-", 3);
  to_hex(text + 3, trace->trace_id, 16);
  text[35] = '-';
  to_hex(text + 36, trace->span_id, 8);
  text[52] = '-';
  to_hex(text + 53, &trace->flags, 1);
  text[55] = 0;
}

bool tether_trace_parse(const char *text, tether_trace *trace) {
  tether_trace parsed;
  uint8_t version;
  size_t len = text ? strlen(text) : 0;
  if (len < 55 || !from_hex(&version, text, 1) || version == 0xff) return false;
  if (version == 0 ? len != 55 : len > 55 && text[55] != '-') return false;
  if (text[2] != '-' || text[35] != '-' || text[52] != '-') return false;
  if (!from_hex(parsed.trace_id, text + 3, 16) || !from_hex(parsed.span_id, text + 36, 8)) return false;
  if (!from_hex(&parsed.flags, text + 53, 1)) return false;
  if (all_zero(parsed.trace_id, 16) || all_zero(parsed.span_id, 8)) return false;
  *trace = parsed;
  return true;
}

/* NULL without memory for the value. */
static struct trace_value *value_new(const tether_trace *trace, const char *state, const char *baggage) {
  size_t state_len = state && *state ? strlen(state) + 1 : 0;
  size_t baggage_len = baggage && *baggage ? strlen(baggage) + 1 : 0;
  struct trace_value *value = malloc(sizeof *value + state_len + baggage_len);
  if (!value) return NULL;
  char *texts = (char *)(value + 1);
  value->trace = *trace;
  value->state = state_len ? memcpy(texts, state, state_len) : NULL;
  value->baggage = baggage_len ? memcpy(texts + state_len, baggage, baggage_len) : NULL;
  return value;
}

/* Without memory the call goes on untraced: a trace is never worth a failed call. */
static tether_ctx *with_trace(const tether_ctx *parent, const tether_trace *trace, const char *state,
                              const char *baggage) {
  return tether_ctx_with_value(parent, &trace_key, value_new(trace, state, baggage));
}

tether_trace tether_trace_span(const tether_trace *parent) {
  tether_trace trace = {0};
  if (parent)
    trace = *parent;
  else
    random_id(trace.trace_id, sizeof trace.trace_id);
  random_id(trace.span_id, sizeof trace.span_id);
  return trace;
}

tether_ctx *tether_trace_start(const tether_ctx *parent, bool sampled, const char *baggage) {
  tether_trace trace = tether_trace_span(NULL);
  trace.flags = sampled ? 1 : 0;
  return with_trace(parent, &trace, NULL, baggage);
}

tether_ctx *tether_trace_continue(const tether_ctx *parent, const char *traceparent, const char *tracestate,
                                  const char *baggage) {
  tether_ctx *ctx = tth_trace_received(parent, traceparent, tracestate, baggage);
  return ctx ? ctx : tether_trace_start(parent, false, baggage);
}

tether_ctx *tth_trace_received(const tether_ctx *parent, const char *traceparent, const char *tracestate,
                               const char *baggage) {
  tether_trace trace;
  if (!tether_trace_parse(traceparent, &trace)) return NULL;
  return with_trace(parent, &trace, tracestate, baggage);
}

tether_ctx *tth_trace_replaced(const tether_ctx *ctx, const tether_trace *trace) {
  struct trace_value *value = value_new(trace, tether_trace_state(ctx), tether_trace_baggage(ctx));
  return value ? tether_ctx_with_value(ctx, &trace_key, value) : NULL;
}

bool tether_trace_get(const tether_ctx *ctx, tether_trace *trace) {
  const struct trace_value *value = tether_ctx_value(ctx, &trace_key);
  if (value) *trace = value->trace;
  return value;
}

const char *tether_trace_state(const tether_ctx *ctx) {
  const struct trace_value *value = tether_ctx_value(ctx, &trace_key);
  return value ? value->state : NULL;
}

const char *tether_trace_baggage(const tether_ctx *ctx) {
  const struct trace_value *value = tether_ctx_value(ctx, &trace_key);
  return value ? value->baggage : NULL;
}

bool tth_trace_next_hop(const tether_ctx *ctx, bool own_span, char text[TETHER_TRACEPARENT_SIZE]) {
  tether_trace trace;
  if (!tether_trace_get(ctx, &trace)) return false;
  if (!own_span) trace = tether_trace_span(&trace);
  tether_trace_format(&trace, text);
  return true;
}
