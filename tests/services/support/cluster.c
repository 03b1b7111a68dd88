#include "support/cluster.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/http.h"

static void give_up(const cluster *c, const char *why) {
  fprintf(stderr, "the cluster in %s did not start: %s\n", c->dir, why);
  exit(1);
}

void make_dir(char dir[64]) {
  snprintf(dir, 64, "/tmp/tether-test-XXXXXX");
  if (mkdtemp(dir)) return;
  perror("mkdtemp");
  exit(1);
}

/* One level of directories below is all the tests make. */
void remove_dir(const char *dir) {
  char path[512];
  DIR *d = opendir(dir);
  for (struct dirent *e; d && (e = readdir(d));) {
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
    snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
    if (unlink(path) != 0) remove_dir(path);
  }
  if (d) closedir(d);
  rmdir(dir);
}

void cluster_start_shard(cluster *c, int i) {
  char db[128], url[128], name[16];
  snprintf(db, sizeof db, "%s/db/shard-%d.db", c->dir, i);
  snprintf(url, sizeof url, "ipc://%s/shard-%d.sock", c->dir, i);
  snprintf(name, sizeof name, "shard-%d", i);
  const char *const args[] = {"--db",         db,        "--listen", url,         "--name",      name,
                              "--allow-slow", "--grace", "300ms",    "--metrics", "127.0.0.1:0", NULL};
  process_start(&c->shards[i], c->dir, name, "tether-shard", args);
}

void cluster_start_search(cluster *c) {
  char url[128], shards[CLUSTER_SHARDS][128];
  snprintf(url, sizeof url, "ipc://%s/search.sock", c->dir);
  /* The reserve is a tenth of each budget then: the machine may be busy. */
  const char *args[9 + 2 * CLUSTER_SHARDS] = {"--listen", url,     "--reserve", "1s",
                                              "--grace",  "500ms", "--metrics", "127.0.0.1:0"};
  for (int i = 0; i < CLUSTER_SHARDS; i++) {
    snprintf(shards[i], sizeof shards[i], "ipc://%s/shard-%d.sock", c->dir, i);
    args[8 + 2 * i] = "--shard";
    args[9 + 2 * i] = shards[i];
  }
  process_start(&c->search, c->dir, "search", "tether-search", args);
}

static uint16_t start_edge(cluster *c, process *edge, const char *label, const char *option, const char *value) {
  char url[128], at[256];
  unsigned port = 0;
  log_line line;
  snprintf(url, sizeof url, "ipc://%s/search.sock", c->dir);
  const char *const args[] = {"--listen", "127.0.0.1:0", "--search", url, option, value, NULL};
  process_start(edge, c->dir, label, "tether-edge", args);
  if (!log_wait(edge, "ready", NULL, NULL, &line)) give_up(c, "no edge");
  if (sscanf(log_value(&line, "url", at), "http://127.0.0.1:%u", &port) != 1) give_up(c, "no port");
  return (uint16_t)port;
}

uint16_t cluster_metrics_port(const process *p) {
  log_line line;
  char at[256];
  unsigned port = 0;
  if (log_wait(p, "metrics", NULL, NULL, &line))
    (void)sscanf(log_value(&line, "note", at), "http://127.0.0.1:%u", &port);
  return (uint16_t)port;
}

uint16_t cluster_start_edge(cluster *c, process *edge, const char *option, const char *value) {
  return start_edge(c, edge, "another-edge", option, value);
}

/* `max_timeout`: of the edge; NULL: its default. */
static void start(cluster *c, const char *catalogue, const char *max_timeout) {
  char db[128];
  process load;
  snprintf(db, sizeof db, "%s/db", c->dir);
  const char *const args[] = {"--to", db, "--shards", "4", "--from", catalogue, NULL};
  if (process_run(&load, c->dir, "load", "tether-load", args) != 0) give_up(c, "the catalogue does not load");
  for (int i = 0; i < CLUSTER_SHARDS; i++) cluster_start_shard(c, i);
  cluster_start_search(c);
  c->port = start_edge(c, &c->edge, "edge", max_timeout ? "--max-timeout" : NULL, max_timeout);
  if (!cluster_wait_health(c, "\"status\":\"ok\"", true)) give_up(c, "the shards do not get connected");
}

void cluster_start(cluster *c) {
  memset(c, 0, sizeof *c);
  make_dir(c->dir);
  start(c, TESTS_SERVICES_SAMPLE, NULL);
}

/* One word makes most of a summary: it costs the index nothing. */
void cluster_start_wide(cluster *c) {
  static char padding[WIDE_BYTES];
  char path[128];
  memset(c, 0, sizeof *c);
  make_dir(c->dir);
  memset(padding, 'x', sizeof padding - 1);
  snprintf(path, sizeof path, "%s/wide", c->dir);
  FILE *f = fopen(path, "we");
  if (!f) give_up(c, "no file for the catalogue");
  for (int i = 0; i < WIDE_PACKAGES; i++)
    fprintf(f, "Package: package%d\nVersion: 1\nSection: test\nDescription: wide %s\n\n", i, padding);
  if (fclose(f) != 0) give_up(c, "the catalogue cannot be written");
  start(c, path, WIDE_MAX_TIMEOUT);
  unlink(path);
}

static int stop_process(process *p) {
  if (p->pid <= 0) return 0;
  kill(p->pid, SIGTERM);
  int status = process_wait(p);
  process_kill(p);
  if (status == 0) return 0;
  char *text = file_text(p->log);
  fprintf(stderr, "%s: exit status %d:\n%s", p->log, status, text);
  free(text);
  return 1;
}

int cluster_stop(cluster *c) {
  int unclean = stop_process(&c->edge) + stop_process(&c->search);
  for (int i = 0; i < CLUSTER_SHARDS; i++) unclean += stop_process(&c->shards[i]);
  remove_dir(c->dir);
  return unclean;
}

bool cluster_wait_health(const cluster *c, const char *text, bool has) {
  for (int waited = 0; waited < PATIENCE_MS; waited += 10) {
    http_reply reply;
    http_get(c->port, "/healthz", NULL, &reply);
    bool found = strstr(reply.body, text) != NULL;
    http_reply_fini(&reply);
    if (found == has) return true;
    nap_ms(10);
  }
  return false;
}

void traced_init(traced *t) {
  unsigned char random[16];
  if (getrandom(random, sizeof random, 0) != sizeof random) abort();
  random[0] |= 1; /* all zero is no trace id */
  for (int i = 0; i < 16; i++) snprintf(t->id + 2 * i, 3, "%02x", random[i]);
  snprintf(t->header, sizeof t->header, "traceparent: 00-%s-00f067aa0ba902b7-01\r\n", t->id);
}

bool cluster_wait_shards(const cluster *c, const char *event, const char *trace, log_line lines[CLUSTER_SHARDS]) {
  for (int i = 0; i < CLUSTER_SHARDS; i++)
    if (!log_wait(&c->shards[i], event, trace, NULL, &lines[i])) return false;
  return true;
}
