/* rpc/trace.h: the trace of a call on the wire. */
#ifndef TETHER_RPC_TRACE_H
#define TETHER_RPC_TRACE_H

#include <tether/trace.h>

/* For a call made under `ctx`: writes the traceparent to send, with a new span id unless the context's is the call's
 * own; false if ctx has no trace. */
bool tth_trace_next_hop(const tether_ctx *ctx, bool own_span, char text[TETHER_TRACEPARENT_SIZE]);

/* A context with another trace, and the texts of ctx. NULL without memory. */
TETHER_MUST_USE tether_ctx *tth_trace_replaced(const tether_ctx *ctx, const tether_trace *trace);

/* Like tether_trace_continue, but a traceparent that does not parse adds nothing: NULL then. */
TETHER_MUST_USE tether_ctx *tth_trace_received(const tether_ctx *parent, const char *traceparent,
                                               const char *tracestate, const char *baggage);

/* Fills `bytes` with random bits: unique ids, not secrets. */
void tth_random(void *bytes, size_t len);

#endif
