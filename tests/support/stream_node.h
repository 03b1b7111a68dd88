/* tests/support/stream_node.h: a server process for tests of streams: the test's own program, started again. Serves the
 * Echo service with handlers that do what the tests of flow control and of killed processes need:
 *
 *   Quick, Pooled, Chat  as tests/support/echo_server.h
 *   Upload      reads at "x-rate" bytes a second ("0": nothing, until its context ends; without it: as they come).
 *               "x-answer-after": returns after so many requests
 *   Download    sends replies with bodies of reply_bytes as fast as they go, `width` of them (0: without end)
 *   LaterChat   sends as Download does and never reads
 *   Hang        waits until its context ends */
#ifndef TESTS_SUPPORT_STREAM_NODE_H
#define TESTS_SUPPORT_STREAM_NODE_H

#include <stdatomic.h>
#include <sys/types.h>
#include <tether/rpc.h>

#include "testing.tether.h"

/* What the process and its test share. */
struct stream_shared {
  atomic_int ready;
  atomic_int port;                         /* of a tcp URL */
  atomic_int inside;                       /* streaming handlers, and Hang */
  atomic_int entered;                      /* how often one was */
  _Atomic uint64_t read_bytes, sent_bytes; /* of bodies, by all handlers */
  atomic_int clean_ends;                   /* Upload: saw the end of the requests */
  atomic_int cut[TETHER_CAUSE_ENOUGH + 1]; /* handlers whose context ended while they ran, by cause */
  _Atomic int64_t cut_ns;                  /* when the last of them saw it */
};

struct stream_node {
  pid_t pid; /* 0: not running */
  char url[128];
  int fd;
  struct stream_shared *shared; /* survives the process */
};

/* For main(), first: serves, or does what `other` says (may be NULL), in a process that was started for it and ends
 * there; returns in the test's own. */
void stream_node_main(int argc, char **argv, void (*other)(const char *url));

/* Makes a node for `url` (tcp://127.0.0.1:0 picks a port, once, and keeps it), starts it and waits until it serves. */
TETHER_MUST_USE bool stream_node_open(struct stream_node *node, const char *url);
TETHER_MUST_USE bool stream_node_start(struct stream_node *node);

/* Starts a process that does `other` with the node's URL; -1 on failure. */
pid_t stream_node_other(const struct stream_node *node);

/* Ends a process and waits for it. */
void stream_node_kill(pid_t *pid, int signal_number);
void stream_node_close(struct stream_node *node);

/* Memory of a process that is not shared with files, in bytes; 0 if it is not there. pid 0: this one. */
size_t stream_node_memory(pid_t pid);

/* Values of metadata for Upload. */
TETHER_MUST_USE tether_metadata *stream_node_metadata(const char *key, unsigned long value);

#endif
