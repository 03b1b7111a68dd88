/* What the tests of streams share. `c` is a call at its client, `s` the same call at the server, where the test is the
 * handler (the Handed service): both ends of a stream are in the test's hands. */
#ifndef TESTS_SUPPORT_STREAM_TEST_H
#define TESTS_SUPPORT_STREAM_TEST_H

#include "rpc/link.h"
#include "tests/support/link_mem.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

/* ---- Steps, which assert; on the test's thread ----------------------------------------------- */

/* A request or reply with this text, and a body of `len` zeros (at most 64 KiB). */
Testing__V1__Request stream_request(const char *name, size_t len);
Testing__V1__Reply stream_reply(const char *text, size_t len);

void stream_client_sends(tether_call *c, const char *name);
void stream_server_sends(tether_call *s, const char *text);
void stream_server_gets(tether_call *s, const char *name);
void stream_client_gets(tether_call *c, const char *text);

/* A receive that finds the end of the messages, or fails with this code; each twice, as that must not change. */
void stream_gets_end(tether_call *call);
void stream_gets_code(tether_call *call, tether_code code);

/* The next handed call; to be finished with stream_finish. */
tether_call *stream_take(struct echo_stats *stats);

/* Finishes a handed call and asserts what it recorded. */
void stream_finish(tether_call *s, tether_code code, tether_code recorded);

/* A context that lasts as long as a test may. */
TETHER_MUST_USE tether_ctx *stream_ctx(void);

/* ---- Operations that may block, on threads of their own -------------------------------------- */

typedef enum stream_op_kind {
  STREAM_RECV,         /* one receive */
  STREAM_RECV_ALL,     /* until the end, or a failure */
  STREAM_SEND,         /* one send */
  STREAM_SEND_ALL,     /* until a failure */
  STREAM_WAIT_INITIAL, /* tether_call_wait_initial */
} stream_op_kind;

struct stream_op {
  tether_call *call;
  stream_op_kind kind;
  const ProtobufCMessage *message; /* to send */
  pthread_t thread;
  _Atomic pid_t tid; /* once it runs */
  atomic_int count;  /* messages sent or received */
  tst_latch over;
  /* then */
  tether_code code;
  bool end; /* a receive that found the end */
  int64_t end_ns;
};

void stream_op_start(struct stream_op *op, tether_call *call, stream_op_kind kind, const ProtobufCMessage *message);

/* Whether it comes to sleep, and stays so for a while, before it is over. */
TETHER_MUST_USE bool stream_op_blocks(struct stream_op *op);

/* Waits for it. A failure of the test if it is not over within the bound. Returns its code. */
tether_code stream_op_join(struct stream_op *op);

/* ---- A server and a client in memory; the connection can be broken --------------------------- */

struct stream_net {
  tst_mem_net *net;
  tether_server *server;
  tether_client *client;
  struct echo_stats stats;
  tth_link *link; /* the client's newest; NULL: none. Stands still while the client is ready */
};

/* cmocka setup and teardown: in real time, the client ready, default limits. */
int stream_net_setup(void **state);
int stream_net_teardown(void **state);

/* The same on a net that is manual or not, and with options; the client of a manual net is still to connect. */
int stream_net_open(void **state, bool manual, const tether_server_options *server,
                    const tether_client_options *client);

/* Breaks the connection; both sides learn of it. */
void stream_net_break(struct stream_net *n);

#endif
