#include "tests/support/stream_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "rpc/client.h"
#include "rpc/server.h"

static uint8_t zeros[64 * 1024];

/* ---- Steps --------------------------------------------------------------------------------- */

Testing__V1__Request stream_request(const char *name, size_t len) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  assert_true(len <= sizeof zeros);
  request.name = (char *)name;
  request.body = (ProtobufCBinaryData){.data = zeros, .len = len};
  return request;
}

Testing__V1__Reply stream_reply(const char *text, size_t len) {
  Testing__V1__Reply reply = TESTING__V1__REPLY__INIT;
  assert_true(len <= sizeof zeros);
  reply.text = (char *)text;
  reply.body = (ProtobufCBinaryData){.data = zeros, .len = len};
  return reply;
}

static void assert_ok(tether_code code, const char *step) {
  if (code != TETHER_OK) fail_msg("%s: %s", step, tether_code_name(code));
}

void stream_client_sends(tether_call *c, const char *name) {
  Testing__V1__Request request = stream_request(name, 0);
  assert_ok(testing_v1_handed_both_send_request(c, &request), "the client sends");
}

void stream_server_sends(tether_call *s, const char *text) {
  Testing__V1__Reply reply = stream_reply(text, 0);
  assert_ok(testing_v1_handed_both_send_reply(s, &reply), "the server sends");
}

void stream_server_gets(tether_call *s, const char *name) {
  const Testing__V1__Request *request = NULL;
  assert_ok(testing_v1_handed_both_recv_request(s, &request), "the server receives");
  assert_non_null(request);
  assert_string_equal(request->name, name);
}

void stream_client_gets(tether_call *c, const char *text) {
  const Testing__V1__Reply *reply = NULL;
  assert_ok(testing_v1_handed_both_recv_reply(c, &reply), "the client receives");
  assert_non_null(reply);
  assert_string_equal(reply->text, text);
}

void stream_gets_end(tether_call *call) {
  for (int i = 0; i < 2; i++) {
    const ProtobufCMessage *message = (const ProtobufCMessage *)zeros;
    assert_ok(tether_call_recv(call, &message), "the end");
    assert_null(message);
  }
}

void stream_gets_code(tether_call *call, tether_code code) {
  for (int i = 0; i < 2; i++) {
    const ProtobufCMessage *message = NULL;
    tether_code got = tether_call_recv(call, &message);
    if (got != code) fail_msg("%s instead of %s", tether_code_name(got), tether_code_name(code));
  }
}

tether_call *stream_take(struct echo_stats *stats) {
  tether_call *s = echo_take_handed(stats);
  assert_non_null(s);
  return s;
}

void stream_finish(tether_call *s, tether_code code, tether_code recorded) {
  tether_call_ref(s);
  echo_finish_handed(s, code);
  rpc_assert_code(s, recorded);
  tether_call_unref(s);
}

tether_ctx *stream_ctx(void) { return tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS); }

/* ---- Operations ---------------------------------------------------------------------------- */

/* Does it once; false: there is nothing more to do. */
static bool operate(struct stream_op *op) {
  const ProtobufCMessage *message = NULL;
  switch (op->kind) {
    case STREAM_RECV:
    case STREAM_RECV_ALL:
      op->code = tether_call_recv(op->call, &message);
      op->end = op->code == TETHER_OK && !message;
      break;
    case STREAM_SEND:
    case STREAM_SEND_ALL:
      op->code = tether_call_send(op->call, op->message);
      break;
    case STREAM_WAIT_INITIAL:
      op->code = tether_call_wait_initial(op->call);
      break;
  }
  if (op->code != TETHER_OK || op->end) return false;
  atomic_fetch_add(&op->count, 1);
  return op->kind == STREAM_RECV_ALL || op->kind == STREAM_SEND_ALL;
}

static void *run_op(void *data) {
  struct stream_op *op = data;
  atomic_store(&op->tid, (pid_t)syscall(SYS_gettid));
  while (operate(op)) continue;
  op->end_ns = tst_now_ns();
  tst_latch_open(&op->over);
  return NULL;
}

void stream_op_start(struct stream_op *op, tether_call *call, stream_op_kind kind, const ProtobufCMessage *message) {
  *op = (struct stream_op){.call = call, .kind = kind, .message = message};
  tst_latch_init(&op->over);
  assert_int_equal(pthread_create(&op->thread, NULL, run_op, op), 0);
}

/* Whether the thread sleeps in the kernel now. */
static bool sleeps(pid_t tid) {
  char path[64], line[512] = "";
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)tid);
  FILE *file = fopen(path, "r");
  if (!file) return false;
  if (!fgets(line, sizeof line, file)) line[0] = 0;
  fclose(file);
  const char *name_end = strrchr(line, ')');
  return name_end && strncmp(name_end, ") S", 3) == 0;
}

struct watch {
  struct stream_op *op;
  int count, looks;
};

static bool has_slept_or_is_over(void *data) {
  struct watch *watch = data;
  if (tst_latch_is_open(&watch->op->over)) return true;
  int count = atomic_load(&watch->op->count);
  pid_t tid = atomic_load(&watch->op->tid);
  watch->looks = tid && sleeps(tid) && count == watch->count ? watch->looks + 1 : 0;
  watch->count = count;
  return watch->looks >= 20;
}

bool stream_op_blocks(struct stream_op *op) {
  struct watch watch = {.op = op};
  return tst_wait_until(has_slept_or_is_over, &watch, RPC_TEST_BOUND_NS) && !tst_latch_is_open(&op->over);
}

tether_code stream_op_join(struct stream_op *op) {
  if (!tst_latch_wait(&op->over, RPC_TEST_BOUND_NS)) fail_msg("still blocked");
  assert_int_equal(pthread_join(op->thread, NULL), 0);
  tst_latch_fini(&op->over);
  return op->code;
}

/* ---- In memory ----------------------------------------------------------------------------- */

static struct stream_net *current;
static void (*dialed)(void *owner, tth_link *link, const char *why);
static void (*accepted)(void *owner, tth_link *link);
static const tth_link_ops *_Atomic real_ops;
static atomic_int links; /* not freed */

static void count_free(tth_link *link) {
  const tth_link_ops *ops = real_ops;
  ops->free(link);
  atomic_fetch_sub(&links, 1);
}

/* A link's operations are all the same but for this. */
static tth_link *counted(tth_link *link) {
  static tth_link_ops ops;
  if (!real_ops) {
    ops = *link->ops;
    ops.free = count_free;
    real_ops = link->ops;
  }
  link->ops = &ops;
  atomic_fetch_add(&links, 1);
  return link;
}

static void note_link(void *owner, tth_link *link, const char *why) {
  if (link) current->link = counted(link);
  dialed(owner, link, why);
}

static void note_accepted(void *owner, tth_link *link) { accepted(owner, counted(link)); }

static tether_code listen_on(const char *url, tth_tls *tls, void (*fn)(void *owner, tth_link *link), void *owner,
                             tth_listener **listener) {
  accepted = fn;
  return tst_transport_mem.listen(url, tls, note_accepted, owner, listener);
}

static void dial(tth_dialer *dialer, int64_t timeout_ns, void (*done)(void *owner, tth_link *link, const char *why),
                 void *owner) {
  dialed = done;
  tst_transport_mem.dial(dialer, timeout_ns, note_link, owner);
}

int stream_net_setup(void **state) { return stream_net_open(state, false, NULL, NULL); }

int stream_net_open(void **state, bool manual, const tether_server_options *server,
                    const tether_client_options *client) {
  static tth_transport transport;
  struct stream_net *n = calloc(1, sizeof *n);
  if (!n) return -1;
  transport = tst_transport_mem;
  transport.dial = dial;
  transport.listen = listen_on;
  current = n;
  n->net = tst_mem_net_new(manual);
  tst_mem_net_use(n->net);
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  bool open = tth_server_open_on(&transport, server, &n->server) == TETHER_OK &&
              echo_server_add(n->server, &n->stats) == TETHER_OK &&
              tether_server_listen(n->server, "mem://s") == TETHER_OK &&
              tth_client_open_on(&transport, "mem://s", client, &n->client) == TETHER_OK &&
              (manual || tether_client_wait_ready(n->client, ctx) == TETHER_OK);
  *state = n;
  return open ? 0 : -1;
}

int stream_net_teardown(void **state) {
  struct stream_net *n = *state;
  echo_finish_rest(&n->stats);
  tether_client_close(n->client);
  tether_server_close(n->server);
  int left = atomic_exchange(&links, 0);
  if (left > 0) { /* a test that failed has released nothing; then its failure is what is to be read */
    print_error("%d links are still referenced\n", left);
    return -1;
  }
  tst_mem_net_free(n->net);
  free(n);
  return 0;
}

void stream_net_break(struct stream_net *n) {
  tth_link *link = n->link;
  n->link = NULL; /* unless another comes */
  tst_mem_break(link);
}
