#include "common/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <tether/trace.h>
#include <time.h>
#include <unistd.h>

#include "common/duration.h"

static char service_name[64] = "-";

void svc_log_open(const char *service) {
  char origin[96];
  snprintf(service_name, sizeof service_name, "%s", service);
  snprintf(origin, sizeof origin, "%s/%d", service, (int)getpid());
  tether_origin_set(origin);
}

/* Leaves room for the newline that svc_log_end adds. */
static void append(svc_log *line, const char *bytes, size_t len) {
  size_t room = sizeof line->text - 1 - line->len;
  if (len > room) len = room;
  memcpy(line->text + line->len, bytes, len);
  line->len += len;
}

static bool needs_quotes(const char *value) {
  if (!*value) return true;
  for (const unsigned char *p = (const unsigned char *)value; *p; p++)
    if (*p <= ' ' || *p == '"' || *p == '\\' || *p == '=' || *p == 0x7f) return true;
  return false;
}

static void append_quoted(svc_log *line, const char *value) {
  append(line, "\"", 1);
  for (const unsigned char *p = (const unsigned char *)value; *p; p++) {
    char escape[5];
    if (*p == '"' || *p == '\\')
      append(line, (const char[]){'\\', (char)*p}, 2);
    else if (*p < ' ' || *p == 0x7f)
      append(line, escape, (size_t)snprintf(escape, sizeof escape, "\\x%02x", *p));
    else
      append(line, (const char *)p, 1);
  }
  append(line, "\"", 1);
}

void svc_log_text(svc_log *line, const char *key, const char *value) {
  if (line->len) append(line, " ", 1);
  append(line, key, strlen(key));
  append(line, "=", 1);
  if (needs_quotes(value))
    append_quoted(line, value);
  else
    append(line, value, strlen(value));
}

void svc_log_number(svc_log *line, const char *key, int64_t value) {
  char text[24];
  snprintf(text, sizeof text, "%" PRId64, value);
  svc_log_text(line, key, text);
}

void svc_log_duration(svc_log *line, const char *key, int64_t duration_ns) {
  char text[SVC_DURATION_SIZE];
  svc_log_text(line, key, svc_duration_format(duration_ns, text));
}

static void add_time(svc_log *line) {
  struct timespec now;
  struct tm utc;
  char seconds[24], text[64];
  clock_gettime(CLOCK_REALTIME, &now);
  gmtime_r(&now.tv_sec, &utc);
  strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &utc);
  snprintf(text, sizeof text, "%s.%06ldZ", seconds, now.tv_nsec / 1000);
  append(line, "time=", 5);
  append(line, text, strlen(text));
}

static void add_trace(svc_log *line, const tether_ctx *ctx) {
  tether_trace trace;
  char text[TETHER_TRACEPARENT_SIZE];
  if (!tether_trace_get(ctx, &trace)) return;
  tether_trace_format(&trace, text); /* "00-<32 digits>-..." */
  text[3 + 32] = '\0';
  svc_log_text(line, "trace", text + 3);
}

void svc_log_begin(svc_log *line, const char *event, const tether_ctx *ctx) {
  line->len = 0;
  add_time(line);
  svc_log_text(line, "service", service_name);
  svc_log_text(line, "event", event);
  if (!ctx) return;
  add_trace(line, ctx);
  svc_log_duration(line, "budget", tether_ctx_remaining_ns(ctx));
}

void svc_log_outcome(svc_log *line, tether_code status, const tether_cause *cause) {
  svc_log_text(line, "status", tether_code_name(status));
  if (!cause) return;
  svc_log_text(line, "cause", tether_cause_code_name(tether_cause_get_code(cause)));
  svc_log_text(line, "origin", tether_cause_origin(cause));
  svc_log_text(line, "why", tether_cause_text(cause));
}

void svc_log_end(svc_log *line) {
  line->text[line->len++] = '\n';
  /* A log that cannot be written must not stop the service; nothing better is left to do. */
  if (write(STDERR_FILENO, line->text, line->len) < 0) return;
}

void svc_log_note(const char *event, const char *format, ...) {
  svc_log line;
  char text[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  svc_log_begin(&line, event, NULL);
  svc_log_text(&line, "note", text);
  svc_log_end(&line);
}
