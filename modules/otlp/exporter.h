/* otlp/exporter.h: the queue of spans and the thread that sends them. */
#ifndef TETHER_MODULES_OTLP_EXPORTER_H
#define TETHER_MODULES_OTLP_EXPORTER_H

#include <pthread.h>
#include <stdatomic.h>

#include "modules/otlp/config.h"
#include "modules/otlp/record.h"

typedef struct otlp_exporter {
  const otlp_config *config;
  pthread_t thread;
  _Atomic uint64_t exported, dropped;
  _Atomic size_t waiting; /* in the queue or being sent */

  pthread_mutex_t mu;
  pthread_cond_t changed; /* on CLOCK_MONOTONIC */
  /* under mu */
  otlp_record *first, **last_next;
  bool closing;
  int64_t close_ns; /* when closing gives up; written before `closing` is */

  /* the thread's */
  CURL *curl; /* each request's is made after it */
  CURLSH *connections;
  bool failing; /* the last request failed, which was reported */
} otlp_exporter;

/* Starts the thread. TETHER_RESOURCE_EXHAUSTED: no memory or no thread. `config` must outlive the exporter. */
TETHER_MUST_USE tether_code tth_otlp_exporter_open(otlp_exporter *exporter, const otlp_config *config);

/* Queues a record, or frees and counts it. */
void tth_otlp_exporter_add(otlp_exporter *exporter, otlp_record *record);

/* Sends what waits for at most TETHER_OTLP_CLOSE_NS and a second, frees the rest, ends the thread. */
void tth_otlp_exporter_close(otlp_exporter *exporter);

#endif
