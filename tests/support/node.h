/* Server processes for tests: real ones, to be killed. */
#ifndef TESTS_SUPPORT_NODE_H
#define TESTS_SUPPORT_NODE_H

#include <sys/types.h>

#include "tests/support/echo_server.h"

/* What a node and its test share. */
struct node_shared {
  char name[32]; /* the node's origin */
  atomic_int ready;
  atomic_int port; /* of a tcp URL */
  struct echo_stats stats;
};

struct node {
  pid_t pid; /* 0: not running */
  char url[128];
  bool small; /* set before the start: messages of at most 1 MiB, and a window of that size for each connection */
  int fd;
  struct node_shared *shared; /* survives the process */
};

/* Makes a node for `url` (tcp://127.0.0.1:0 picks a port, once, and keeps it). false: errno says why. */
TETHER_MUST_USE bool node_init(struct node *node, const char *name, const char *url);

/* Starts the process and waits until it serves. */
TETHER_MUST_USE bool node_start(struct node *node);

/* SIGSTOP; waits until every thread of it stands still, which may be a while after the signal. Until SIGCONT. */
TETHER_MUST_USE bool node_pause(const struct node *node);

/* SIGKILL, or SIGTERM; waits for its end. Returns the wait status, -1 if it was not running. */
int node_stop(struct node *node, int signal_number);

void node_fini(struct node *node);

/* Descriptors and threads of a running node. */
int node_fds(const struct node *node);
int node_threads(const struct node *node);

#endif
