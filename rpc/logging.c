/* One line for each call, gathered on the stack and written at once. */
#include <stdio.h>
#include <string.h>
#include <tether/logging.h>
#include <time.h>
#include <unistd.h>

#define VALUE_MOST 200

typedef struct line {
  size_t len;
  char text[2048]; /* all values together fit */
} line;

static void append(line *l, const char *bytes, size_t len) {
  size_t room = sizeof l->text - 1 - l->len; /* for the newline */
  if (len > room) len = room;
  memcpy(l->text + l->len, bytes, len);
  l->len += len;
}

static bool needs_quotes(const char *value, size_t len) {
  for (size_t i = 0; i < len; i++) {
    unsigned char c = (unsigned char)value[i];
    if (c <= ' ' || c == '"' || c == '\\' || c == '=' || c >= 0x7f) return true;
  }
  return len == 0;
}

static void append_quoted(line *l, const char *value, size_t len) {
  append(l, "\"", 1);
  for (size_t i = 0; i < len; i++) {
    unsigned char c = (unsigned char)value[i];
    char escape[5];
    if (c == '"' || c == '\\')
      append(l, (const char[]){'\\', (char)c}, 2);
    else if (c < ' ' || c == 0x7f)
      append(l, escape, (size_t)snprintf(escape, sizeof escape, "\\x%02x", c));
    else
      append(l, value + i, 1);
  }
  append(l, "\"", 1);
}

static void put(line *l, const char *key, const char *value) {
  size_t len = strnlen(value, VALUE_MOST);
  if (l->len) append(l, " ", 1);
  append(l, key, strlen(key));
  append(l, "=", 1);
  if (needs_quotes(value, len))
    append_quoted(l, value, len);
  else
    append(l, value, len);
}

static void put_ms(line *l, const char *key, int64_t ns) {
  char text[32] = "none";
  if (ns != TETHER_FOREVER)
    snprintf(text, sizeof text, "%lld.%03dms", (long long)(ns / TETHER_MS), (int)(ns % TETHER_MS / TETHER_US));
  put(l, key, text);
}

static void put_time(line *l) {
  struct timespec now;
  struct tm utc;
  char seconds[24], text[64];
  clock_gettime(CLOCK_REALTIME, &now);
  gmtime_r(&now.tv_sec, &utc);
  strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &utc);
  snprintf(text, sizeof text, "time=%s.%06ldZ", seconds, now.tv_nsec / 1000);
  append(l, text, strlen(text));
}

static void put_trace(line *l, const tether_ctx *ctx) {
  tether_trace trace;
  char text[TETHER_TRACEPARENT_SIZE];
  if (!tether_trace_get(ctx, &trace)) return;
  tether_trace_format(&trace, text); /* "00-<32 digits>-..." */
  text[3 + 32] = '\0';
  put(l, "trace", text + 3);
}

static void put_status(line *l, const tether_call *call) {
  const tether_cause *cause = tether_call_cause(call);
  put(l, "status", tether_code_name(tether_call_code(call)));
  if (cause) {
    put(l, "cause", tether_cause_code_name(tether_cause_get_code(cause)));
    put(l, "origin", tether_cause_origin(cause));
  }
  if (*tether_call_message(call)) put(l, "message", tether_call_message(call));
}

static void on_end(void *data, tether_call *call, const tether_call_summary *summary, void *state) {
  const tether_logging *logging = data;
  line l = {0};
  char attempts[16];
  bool server = tether_call_is_server(call);
  (void)state;
  put_time(&l);
  put(&l, "process", tether_origin());
  put(&l, "event", "call");
  put(&l, "side", server ? "server" : "client");
  put(&l, "method", tether_call_path(call));
  if (*tether_call_peer(call)) put(&l, "peer", tether_call_peer(call));
  put_trace(&l, tether_call_ctx(call));
  put_status(&l, call);
  put_ms(&l, "took", summary->ended_ns - summary->started_ns);
  put_ms(&l, "budget", summary->budget_ns);
  if (server) {
    put_ms(&l, "queue", summary->queue_ns);
    if (summary->wasted_ns > 0) put_ms(&l, "wasted", summary->wasted_ns);
  } else {
    snprintf(attempts, sizeof attempts, "%u", tether_call_attempts(call));
    put(&l, "attempts", attempts);
  }
  l.text[l.len++] = '\n';
  logging->write(logging->data, l.text, l.len);
}

static void write_to_stderr(void *data, const char *text, size_t len) {
  (void)data;
  /* A log that cannot be written must not stop the program; nothing better is left to do. */
  if (write(STDERR_FILENO, text, len) < 0) return;
}

void tether_logging_init(tether_logging *logging, void (*write_line)(void *data, const char *line, size_t len),
                         void *data) {
  *logging = (tether_logging){.interceptor = {.end = on_end, .data = logging},
                              .write = write_line ? write_line : write_to_stderr,
                              .data = data};
}
