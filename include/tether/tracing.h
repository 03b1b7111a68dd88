/* tether/tracing.h: an interceptor that makes a span of each call, on both sides, in the W3C trace of its context.
 *
 *   client: the span's parent is that of the context the call is made under; the server is sent this span's id
 *   server: the span's parent is the client's span; calls that the handler makes are its children
 *
 * A call without a trace starts one. Whether a span is recorded is said by the sampled flag, which travels; ids travel
 * in any case. Sending spans somewhere is for others: tether/otlp.h does. */
#ifndef TETHER_TRACING_H
#define TETHER_TRACING_H

#include <tether/interceptor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tether_span {
  tether_trace trace;   /* its span_id is the span's own */
  uint8_t parent_id[8]; /* all zero: a root */
  int64_t start_unix_ns, end_unix_ns;
  const tether_call *call; /* path, peer, code, message, cause, side; borrowed during `ended` */
  const tether_call_summary *summary;
} tether_span;

typedef struct tether_tracing {
  tether_interceptor interceptor; /* for the lists of clients and servers */
  bool (*sample)(void *data, const tether_trace *parent, const uint8_t trace_id[16]);
  void (*ended)(void *data, const tether_span *span);
  void *data;
} tether_tracing;

/* Prepares the caller's memory, which must outlive the clients and servers.
 * `sample` says whether a span is to be recorded; `parent` is NULL for a root. NULL: as the parent is, and every root.
 * `ended` gets each span that is, at the end of its call; on the threads of `end` (tether/interceptor.h), where it must
 * not block. */
TETHER_API void tether_tracing_init(tether_tracing *tracing,
                                    bool (*sample)(void *data, const tether_trace *parent, const uint8_t trace_id[16]),
                                    void (*ended)(void *data, const tether_span *span), void *data);

#ifdef __cplusplus
}
#endif
#endif
