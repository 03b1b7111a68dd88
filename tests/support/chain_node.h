/* tests/support/chain_node.h: a server process of the Chain service, for tests of calls over several hops: the test's
 * own program, started again. It has three servers, so that a call can be made to wait in each of the places there are.
 */
#ifndef TESTS_SUPPORT_CHAIN_NODE_H
#define TESTS_SUPPORT_CHAIN_NODE_H

#include <stdatomic.h>
#include <sys/types.h>
#include <tether/rpc.h>

#include "testing.tether.h"

/* The servers of a node; how each one's URL ends. */
#define CHAIN_WIDE ".wide"
#define CHAIN_NARROW ".narrow" /* one thread */
#define CHAIN_SINGLE ".single" /* one call at once and connection */

/* The values that a node looks for in each call's context, in this order. */
enum { CHAIN_LOCAL, CHAIN_ONE_HOP, CHAIN_ALL, CHAIN_UNKNOWN, CHAIN_SECRET, CHAIN_KEYS };
extern const tether_key *const chain_keys[CHAIN_KEYS + 1]; /* all of texts */

/* What a node is like. */
enum {
  CHAIN_KNOWS_LESS = 1,   /* it has no key for CHAIN_UNKNOWN */
  CHAIN_SMALL_BUDGET = 2, /* of forwarded values: CHAIN_BUDGET bytes */
};
#define CHAIN_BUDGET ((size_t)200)

/* What the process and its test share. */
struct chain_shared {
  char name[32]; /* its origin */
  atomic_int ready;
  atomic_int inside;                                          /* handlers of Pass that run */
  _Atomic int64_t arrived_ns, entered_ns, asked_ns, ended_ns; /* when the last call of it came, ran, called on, ended */
  atomic_int passed;                                          /* that have run */
  char seen[CHAIN_KEYS][64];                                  /* the values of the last call; "-": none */
  char why[256];  /* the cause of the last that was cut: code, origin, text; before: */
  atomic_int cut; /* whose context had ended when they returned */
};

struct chain_node {
  pid_t pid; /* 0: not running */
  unsigned like;
  char url[128]; /* without the ending */
  int fd;
  struct chain_shared *shared; /* survives the process */
};

/* For main(), first: serves in a process that was started for it and ends there; returns in the test's own. */
void chain_node_main(int argc, char **argv);

/* Makes a node with sockets in `dir`, starts it and waits until it serves. */
TETHER_MUST_USE bool chain_node_open(struct chain_node *node, const char *dir, const char *name, unsigned like);
TETHER_MUST_USE bool chain_node_start(struct chain_node *node);

/* SIGKILL; waits for its end. */
void chain_node_kill(struct chain_node *node);
void chain_node_close(struct chain_node *node);

/* Calls the hop that the step says, with a client that is kept for its URL. wait_for_ready is set. */
TETHER_MUST_USE tether_call *chain_pass(const tether_ctx *ctx, const Testing__V1__Step *step, bool explain);

/* Closes what chain_pass has opened in this process. */
void chain_close_clients(void);

#endif
