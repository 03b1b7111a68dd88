/* support/cluster.h: the whole system as processes: edge, search and four shards. */
#ifndef TESTS_SERVICES_CLUSTER_H
#define TESTS_SERVICES_CLUSTER_H

#include "support/process.h"

enum { CLUSTER_SHARDS = 4 };

typedef struct cluster {
  char dir[64];
  uint16_t port; /* of the edge */
  process edge, search, shards[CLUSTER_SHARDS];
} cluster;

/* Starts everything, over the sample catalogue, and waits until every shard is connected; ends the test program if that
 * fails. */
void cluster_start(cluster *c);

/* The same over a catalogue of WIDE_PACKAGES packages, each of which matches the word "wide" and is WIDE_BYTES large:
 * together far more than all buffers between SQLite and a client hold. */
enum { WIDE_PACKAGES = 4000, WIDE_BYTES = 8000 };
#define WIDE_MAX_TIMEOUT "120s" /* of its edge: a busy machine under a sanitizer takes long for all of it */
void cluster_start_wide(cluster *c);

/* Terminates what runs and removes the files. Returns how many processes did not end in good order, after printing
 * their logs: a sanitizer's report fails the test. */
int cluster_stop(cluster *c);

/* Starts one shard, the search service (again). */
void cluster_start_shard(cluster *c, int i);
void cluster_start_search(cluster *c);

/* Starts another edge, as `edge`, with one more option. Returns its port. */
uint16_t cluster_start_edge(cluster *c, process *edge, const char *option, const char *value);

/* Where search or a shard serves metrics; 0 if it does not. */
uint16_t cluster_metrics_port(const process *p);

/* Waits until /healthz has (or has not) `text`; false after PATIENCE_MS. */
bool cluster_wait_health(const cluster *c, const char *text, bool has);

/* A random traceparent header line and its trace id, to find one request in the logs. */
typedef struct traced {
  char id[33];
  char header[128];
} traced;
void traced_init(traced *t);

/* Waits until each shard has logged `event` for the trace; false after PATIENCE_MS. */
bool cluster_wait_shards(const cluster *c, const char *event, const char *trace, log_line lines[CLUSTER_SHARDS]);

/* A fresh directory; removal with everything in it. */
void make_dir(char dir[64]);
void remove_dir(const char *dir);

#endif
