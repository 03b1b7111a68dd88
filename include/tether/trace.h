/* tether/trace.h: W3C trace context (https://www.w3.org/TR/trace-context/) on tether contexts.
 *
 * A server puts the `traceparent`, `tracestate` and `baggage` it received into its handler's context, and
 * every call made with that context continues them, with a new span id per call. Nothing to do for it. */
#ifndef TETHER_TRACE_H
#define TETHER_TRACE_H

#include <tether/ctx.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tether_trace {
  uint8_t trace_id[16]; /* never all zero */
  uint8_t span_id[8];   /* of the call this context serves, or of the root; never all zero */
  uint8_t flags;        /* bit 0: sampled */
} tether_trace;

/* A context that starts a new trace with random ids; `baggage` as in the W3C header, NULL for none.
 * Never NULL (ctx.h, rule 3). */
TETHER_API TETHER_MUST_USE tether_ctx *tether_trace_start(const tether_ctx *parent, bool sampled, const char *baggage);

/* A context that continues a trace received in text form, from HTTP for one. `tracestate` and `baggage`
 * may be NULL. A `traceparent` that does not parse starts a new trace, as the specification asks. */
TETHER_API TETHER_MUST_USE tether_ctx *tether_trace_continue(const tether_ctx *parent, const char *traceparent,
                                                             const char *tracestate, const char *baggage);

/* Reads the trace of a context; false if it has none. */
TETHER_API bool tether_trace_get(const tether_ctx *ctx, tether_trace *trace);

/* A new span: in the trace of `parent` and with its flags, or, if parent is NULL, in a new trace that is not sampled.
 */
TETHER_API TETHER_MUST_USE tether_trace tether_trace_span(const tether_trace *parent);

/* The texts carried along, NULL if none. Borrowed: valid while ctx is held. */
TETHER_API const char *tether_trace_state(const tether_ctx *ctx);
TETHER_API const char *tether_trace_baggage(const tether_ctx *ctx);

/* "00-<trace id>-<span id>-<flags>", as in the traceparent header. */
#define TETHER_TRACEPARENT_SIZE 56
TETHER_API void tether_trace_format(const tether_trace *trace, char text[TETHER_TRACEPARENT_SIZE]);

/* The reverse; false (trace untouched) if the text is not a valid traceparent. */
TETHER_API TETHER_MUST_USE bool tether_trace_parse(const char *text, tether_trace *trace);

#ifdef __cplusplus
}
#endif
#endif
