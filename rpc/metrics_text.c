/* Metrics in the text format of Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats/): one family
 * after the other, the shards of each number added up as it is written. Numbers are written without the locale. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "rpc/metrics.h"

typedef struct text {
  const tether_metrics *metrics;
  void (*write)(void *data, const char *text, size_t len);
  void *data;
  size_t len;
  char buf[4096];
} text;

static void flush(text *t) {
  if (t->len) t->write(t->data, t->buf, t->len);
  t->len = 0;
}

/* At most a piece of 512 bytes. */
static void put(text *t, const char *format, ...) TETHER_PRINTF(2, 3);
static void put(text *t, const char *format, ...) {
  va_list args;
  if (t->len + 512 > sizeof t->buf) flush(t);
  va_start(args, format);
  int len = vsnprintf(t->buf + t->len, 512, format, args);
  va_end(args);
  if (len > 0) t->len += len < 512 ? (size_t)len : 511;
}

static void put_quoted(text *t, const char *value) {
  put(t, "\"");
  for (; *value; value++) {
    if (*value == '\n')
      put(t, "\\n");
    else
      put(t, *value == '"' || *value == '\\' ? "\\%c" : "%c", *value);
  }
  put(t, "\"");
}

static void put_seconds(text *t, uint64_t ns) {
  put(t, "%" PRIu64 ".%09" PRIu64 "\n", ns / TETHER_SEC, ns % TETHER_SEC);
}

/* ---- Adding up ----------------------------------------------------------------------------- */

typedef struct cells {
  const tth_cell *at[TTH_SHARDS];
  size_t count;
} cells;

/* The cells of a method on one side. false: it has none. */
static bool cells_of(const tth_metered *metered, bool server, cells *c) {
  c->count = 0;
  for (size_t i = 0; i < TTH_SHARDS; i++) {
    const tth_cell *cell = atomic_load_explicit(&metered->cells[server][i], memory_order_acquire);
    if (cell) c->at[c->count++] = cell;
  }
  return c->count > 0;
}

static uint64_t sum_count(const cells *c, tth_count which) {
  uint64_t sum = 0;
  for (size_t i = 0; i < c->count; i++) sum += atomic_load_explicit(&c->at[i]->counts[which], memory_order_relaxed);
  return sum;
}

typedef struct histogram {
  uint64_t buckets[TTH_BUCKETS], sum_ns;
} histogram;

static void add_histogram(histogram *sum, const tth_histogram *one) {
  for (size_t i = 0; i < TTH_BUCKETS; i++)
    sum->buckets[i] += atomic_load_explicit(&one->buckets[i], memory_order_relaxed);
  sum->sum_ns += atomic_load_explicit(&one->sum_ns, memory_order_relaxed);
}

/* ---- Families ------------------------------------------------------------------------------ */

static void put_head(text *t, const char *name, const char *type, const char *help) {
  put(t, "# HELP %s %s\n", name, help);
  put(t, "# TYPE %s %s\n", name, type);
}

/* One histogram's lines; labels: what comes between the braces. */
static void put_histogram(text *t, const char *name, void (*labels)(text *t, const tth_metered *m, int code),
                          const tth_metered *metered, int code, const histogram *h) {
  uint64_t count = 0;
  for (size_t i = 0; i < TTH_BUCKETS; i++) {
    count += h->buckets[i];
    put(t, "%s_bucket{", name);
    labels(t, metered, code);
    put(t, ",le=\"%s\"} %" PRIu64 "\n", i < TTH_BOUNDS ? tth_bounds[i].seconds : "+Inf", count);
  }
  put(t, "%s_sum{", name);
  labels(t, metered, code);
  put(t, "} ");
  put_seconds(t, h->sum_ns);
  put(t, "%s_count{", name);
  labels(t, metered, code);
  put(t, "} %" PRIu64 "\n", count);
}

static void method_label(text *t, const tth_metered *metered, int code) {
  (void)code;
  put(t, "rpc_method=");
  put_quoted(t, metered->name);
}

/* OpenTelemetry's attributes of a call. */
static void call_labels(text *t, const tth_metered *metered, int code) {
  put(t, "rpc_system_name=\"tether\",");
  method_label(t, metered, code);
  put(t, ",rpc_response_status_code=\"%s\"", tether_code_name((tether_code)code));
  if (code != TETHER_OK) put(t, ",error_type=\"%s\"", tether_code_name((tether_code)code));
}

static void put_durations(text *t, bool server) {
  const char *name = server ? "rpc_server_call_duration_seconds" : "rpc_client_call_duration_seconds";
  put_head(t, name, "histogram", server ? "Duration of calls served." : "Duration of calls made.");
  for (size_t m = 0; m < t->metrics->count; m++) {
    cells c;
    if (!cells_of(t->metrics->methods[m], server, &c)) continue;
    for (int code = 0; code < TETHER_CODES; code++) {
      histogram sum = {0};
      bool any = false;
      for (size_t i = 0; i < c.count; i++) {
        const tth_histogram *one = atomic_load_explicit(&c.at[i]->duration[code], memory_order_acquire);
        if (one) add_histogram(&sum, one);
        any = any || one;
      }
      if (any) put_histogram(t, name, call_labels, t->metrics->methods[m], code, &sum);
    }
  }
}

static void put_server_histogram(text *t, const char *name, const char *help, size_t offset) {
  put_head(t, name, "histogram", help);
  for (size_t m = 0; m < t->metrics->count; m++) {
    cells c;
    histogram sum = {0};
    if (!cells_of(t->metrics->methods[m], true, &c)) continue;
    for (size_t i = 0; i < c.count; i++)
      add_histogram(&sum, (const tth_histogram *)(const void *)((const char *)c.at[i] + offset));
    put_histogram(t, name, method_label, t->metrics->methods[m], 0, &sum);
  }
}

static void put_count(text *t, bool server, const char *name, const char *help, tth_count which) {
  put_head(t, name, "counter", help);
  for (size_t m = 0; m < t->metrics->count; m++) {
    cells c;
    if (!cells_of(t->metrics->methods[m], server, &c)) continue;
    put(t, "%s{", name);
    method_label(t, t->metrics->methods[m], 0);
    put(t, "} ");
    uint64_t sum = sum_count(&c, which);
    if (which == TTH_COUNT_WASTED_NS)
      put_seconds(t, sum);
    else
      put(t, "%" PRIu64 "\n", sum);
  }
}

static void put_active(text *t, bool server) {
  const char *name = server ? "tether_server_active_calls" : "tether_client_active_calls";
  put_head(t, name, "gauge", "Calls that have begun and not ended.");
  for (size_t m = 0; m < t->metrics->count; m++) {
    cells c;
    if (!cells_of(t->metrics->methods[m], server, &c)) continue;
    uint64_t ended = sum_count(&c, TTH_COUNT_ENDED), begun = sum_count(&c, TTH_COUNT_BEGUN);
    put(t, "%s{", name);
    method_label(t, t->metrics->methods[m], 0);
    put(t, "} %" PRIu64 "\n", begun > ended ? begun - ended : 0);
  }
}

/* Only causes there were. */
static void put_cut(text *t, bool server) {
  const char *name = server ? "tether_server_cut_calls_total" : "tether_client_cut_calls_total";
  put_head(t, name, "counter", "Calls that were cut, by the cause.");
  for (size_t m = 0; m < t->metrics->count; m++) {
    cells c;
    if (!cells_of(t->metrics->methods[m], server, &c)) continue;
    for (int cause = 0; cause < TTH_CAUSES; cause++) {
      uint64_t sum = 0;
      for (size_t i = 0; i < c.count; i++) sum += atomic_load_explicit(&c.at[i]->cut[cause], memory_order_relaxed);
      if (sum == 0) continue;
      put(t, "%s{", name);
      method_label(t, t->metrics->methods[m], 0);
      put(t, ",cause=\"%s\"} %" PRIu64 "\n", tether_cause_code_name((tether_cause_code)cause), sum);
    }
  }
}

static void put_connections(text *t, bool server) {
  const char *name = server ? "tether_server_connections" : "tether_client_connections";
  uint64_t closed = t->metrics->connections[server][1], opened = t->metrics->connections[server][0];
  put_head(t, name, "gauge", "Connections that are open.");
  put(t, "%s %" PRIu64 "\n", name, opened > closed ? opened - closed : 0);
  name = server ? "tether_server_opened_connections_total" : "tether_client_opened_connections_total";
  put_head(t, name, "counter", "Connections that were opened.");
  put(t, "%s %" PRIu64 "\n", name, opened);
}

/* ---- All ----------------------------------------------------------------------------------- */

static void put_server(text *t) {
  put_durations(t, true);
  put_active(t, true);
  put_cut(t, true);
  put_connections(t, true);
  put_server_histogram(t, "tether_server_budget_seconds", "What was left of a call's time on its arrival.",
                       offsetof(tth_cell, budget));
  put_server_histogram(t, "tether_server_queue_seconds", "From a call's arrival until its handler began.",
                       offsetof(tth_cell, queue));
  put_count(t, true, "tether_server_calls_without_deadline_total", "Calls that came without a deadline.",
            TTH_COUNT_NO_DEADLINE);
  put_count(t, true, "tether_server_unhandled_calls_total", "Calls that ended without their handler.",
            TTH_COUNT_UNHANDLED);
  put_count(t, true, "tether_server_wasted_seconds_total", "Time handlers worked on after their context had ended.",
            TTH_COUNT_WASTED_NS);
  put_count(t, true, "tether_server_received_messages_total", "Requests received.", TTH_COUNT_RECEIVED);
  put_count(t, true, "tether_server_received_bytes_total", "Size of requests received.", TTH_COUNT_RECEIVED_BYTES);
  put_count(t, true, "tether_server_sent_messages_total", "Replies sent.", TTH_COUNT_SENT);
  put_count(t, true, "tether_server_sent_bytes_total", "Size of replies sent.", TTH_COUNT_SENT_BYTES);
}

static void put_client(text *t) {
  put_durations(t, false);
  put_active(t, false);
  put_cut(t, false);
  put_connections(t, false);
  put_count(t, false, "tether_client_attempts_total", "How often calls left.", TTH_COUNT_ATTEMPTS);
  put_count(t, false, "tether_client_retries_total", "Attempts after a call's first.", TTH_COUNT_RETRIES);
  put_count(t, false, "tether_client_unsent_calls_total", "Calls that never left.", TTH_COUNT_UNSENT);
  put_count(t, false, "tether_client_sent_messages_total", "Requests sent.", TTH_COUNT_SENT);
  put_count(t, false, "tether_client_sent_bytes_total", "Size of requests sent.", TTH_COUNT_SENT_BYTES);
  put_count(t, false, "tether_client_received_messages_total", "Replies received.", TTH_COUNT_RECEIVED);
  put_count(t, false, "tether_client_received_bytes_total", "Size of replies received.", TTH_COUNT_RECEIVED_BYTES);
}

void tether_metrics_write(const tether_metrics *metrics, void (*write)(void *data, const char *text, size_t len),
                          void *data) {
  text t = {.metrics = metrics, .write = write, .data = data};
  put_server(&t);
  put_client(&t);
  put_head(&t, "tether_metrics_lost_calls_total", "counter", "Calls for whose metrics there was no memory.");
  put(&t, "tether_metrics_lost_calls_total %" PRIu64 "\n", atomic_load(&metrics->lost));
  flush(&t);
}
