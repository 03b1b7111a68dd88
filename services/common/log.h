/* common/log.h: one-line structured logs, `key=value` pairs that grep and awk can read.
 *
 *   time=2025-01-31T12:00:00.123456Z service=shard-0 event=query-end trace=4bf9... budget=182.100ms status=OK ...
 *
 * A line is gathered in memory and written to standard error with one write(2), so lines of several threads
 * never mix. Values with spaces, quotes or control characters are quoted and escaped: what a client sends
 * cannot forge a line. */
#ifndef SERVICES_COMMON_LOG_H
#define SERVICES_COMMON_LOG_H

#include <tether/ctx.h>

typedef struct svc_log {
  size_t len;
  char text[1536]; /* what does not fit is cut */
} svc_log;

/* Names this process in its logs, and as the origin of the causes it creates. Before other threads run. */
void svc_log_open(const char *service);

/* Starts a line. `ctx` (may be NULL) gives the trace id and the remaining budget. */
void svc_log_begin(svc_log *line, const char *event, const tether_ctx *ctx);

/* Adds one pair. */
void svc_log_text(svc_log *line, const char *key, const char *value);
void svc_log_number(svc_log *line, const char *key, int64_t value);
void svc_log_duration(svc_log *line, const char *key, int64_t duration_ns);

/* Adds `status` and, if there is one, `cause` (its kind), `origin` and `why` (its text). */
void svc_log_outcome(svc_log *line, tether_code status, const tether_cause *cause);

/* Writes the line. */
void svc_log_end(svc_log *line);

/* A whole line with one free text, for the rare events of a process's life. */
void svc_log_note(const char *event, const char *format, ...) TETHER_PRINTF(2, 3);

#endif
