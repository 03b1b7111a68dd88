/* Spans of calls. Begin makes the span and puts it into the call's context; end hands it on. Without memory the call
 * goes on without a span of its own: a trace is never worth a failed call. */
#include <string.h>
#include <tether/tracing.h>
#include <time.h>

typedef struct begun {
  tether_trace trace;
  uint8_t parent_id[8];
} begun;

static bool as_the_parent(void *data, const tether_trace *parent, const uint8_t trace_id[16]) {
  (void)data, (void)trace_id;
  return !parent || parent->flags & 1;
}

static tether_code on_begin(void *data, tether_call *call, void **state) {
  const tether_tracing *tracing = data;
  tether_trace parent;
  bool has_parent = tether_trace_get(tether_call_ctx(call), &parent);
  tether_trace trace = tether_trace_span(has_parent ? &parent : NULL);
  bool sampled = tracing->sample(tracing->data, has_parent ? &parent : NULL, trace.trace_id);
  trace.flags = (uint8_t)(sampled ? trace.flags | 1 : trace.flags & ~1);
  begun *span = sampled ? tether_call_alloc(call, sizeof *span) : NULL;
  if (tether_call_set_trace(call, &trace) != TETHER_OK || !span) return TETHER_OK;
  span->trace = trace;
  if (has_parent) memcpy(span->parent_id, parent.span_id, sizeof span->parent_id);
  *state = span;
  return TETHER_OK;
}

static void on_end(void *data, tether_call *call, const tether_call_summary *summary, void *state) {
  const tether_tracing *tracing = data;
  const begun *of = state;
  if (!of) return;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  int64_t end_ns = now.tv_sec * TETHER_SEC + now.tv_nsec;
  tether_span span = {.trace = of->trace,
                      .start_unix_ns = end_ns - (summary->ended_ns - summary->started_ns),
                      .end_unix_ns = end_ns,
                      .call = call,
                      .summary = summary};
  memcpy(span.parent_id, of->parent_id, sizeof span.parent_id);
  tracing->ended(tracing->data, &span);
}

void tether_tracing_init(tether_tracing *tracing,
                         bool (*sample)(void *data, const tether_trace *parent, const uint8_t trace_id[16]),
                         void (*ended)(void *data, const tether_span *span), void *data) {
  *tracing = (tether_tracing){.interceptor = {.begin = on_begin, .end = on_end, .data = tracing},
                              .sample = sample ? sample : as_the_parent,
                              .ended = ended,
                              .data = data};
}
