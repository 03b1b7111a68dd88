/* Flow control between processes: a sender without end and a reader of 1 MiB a second, in both directions. Memory of
 * both stays flat, other streams and calls on the same connection are not held up, and a fast reader goes on as fast.
 */
#include <stdio.h>
#include <unistd.h>

#include "rpc/session.h"
#include "tests/support/ctx_test.h"
#include "tests/support/rpc_test.h"
#include "tests/support/stream_node.h"
#include "tests/support/wait.h"

#define MIB ((size_t)1024 * 1024)
#define RATE MIB /* of slow readers, bytes a second */
#define BODY ((size_t)1000)
#define FAST_BODY ((size_t)30000)
#define SLOW_NS TETHER_SEC

/* What may be between a sender and a slow reader: a window, which may have grown (one that overslept and then reads all
 * at once looks like one that keeps up); what may be queued; credit that was not given back yet; a message that went
 * past the mark, and one in the reader's hands. */
#define UNDER_WAY (TTH_WINDOW_MOST + TTH_SEND_HIGH + TTH_WINDOW_LEAST / 8 + 2 * BODY)

/* How much a process may grow while it streams: what is under way, and malloc's untidiness. */
#define GROWTH (3 * MIB)

struct flow {
  char dir[64];
  struct stream_node node;
  tether_client *client;
  tether_ctx *ctx;
};

/* ---- One direction's client, on a thread of its own ------------------------------------------ */

struct mover {
  struct flow *f;
  uint64_t rate; /* reads so many bytes a second; 0: as fast as they come */
  bool slow;     /* one of the two ends is */
  tether_call *call;
  pthread_t thread;
  _Atomic uint64_t bytes;
  tether_code code;
  bool end; /* a clean one */
};

static void *send_all(void *data) {
  struct mover *m = data;
  static uint8_t body[FAST_BODY];
  size_t len = m->slow ? BODY : FAST_BODY;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.body = (ProtobufCBinaryData){.data = body, .len = len};
  while ((m->code = testing_v1_echo_upload_send_request(m->call, &request)) == TETHER_OK)
    atomic_fetch_add(&m->bytes, len);
  return NULL;
}

static void *read_all(void *data) {
  struct mover *m = data;
  const Testing__V1__Reply *reply;
  int64_t begin_ns = tst_now_ns();
  while ((m->code = testing_v1_echo_download_recv_reply(m->call, &reply)) == TETHER_OK && reply) {
    uint64_t bytes = atomic_fetch_add(&m->bytes, reply->body.len) + reply->body.len;
    int64_t due_ns = m->rate ? begin_ns + (int64_t)(bytes * (uint64_t)TETHER_MS / m->rate * 1000) : 0;
    if (tst_now_ns() < due_ns && tether_ctx_sleep(tether_call_ctx(m->call), due_ns - tst_now_ns()) != TETHER_OK) break;
  }
  m->end = m->code == TETHER_OK && !reply;
  return NULL;
}

static void start_upload(struct mover *m, struct flow *f, unsigned long rate) {
  tether_metadata *metadata = rate ? stream_node_metadata("x-rate", rate) : NULL;
  const tether_call_options options = {.metadata = metadata};
  *m = (struct mover){.f = f, .slow = rate > 0};
  m->call = testing_v1_echo_client_upload_start(f->client, f->ctx, &options, NULL, NULL);
  assert_int_equal(pthread_create(&m->thread, NULL, send_all, m), 0);
  tether_metadata_free(metadata);
}

static void start_download(struct mover *m, struct flow *f, uint64_t rate) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  *m = (struct mover){.f = f, .rate = rate, .slow = rate > 0};
  request.reply_bytes = m->slow ? BODY : FAST_BODY;
  m->call = testing_v1_echo_client_download_start(f->client, f->ctx, &request, NULL, NULL, NULL);
  assert_int_equal(pthread_create(&m->thread, NULL, read_all, m), 0);
}

static void stop(struct mover *m) {
  tether_call_cancel(m->call, NULL);
  assert_int_equal(pthread_join(m->thread, NULL), 0);
  rpc_assert_code(m->call, TETHER_CANCELLED);
  assert_false(m->end);
  tether_call_unref(m->call);
}

/* ---- What goes on beside it ------------------------------------------------------------------ */

static int compare(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static int compare_ratios(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Round trips of unary calls, and of messages on a stream, for a while; the medians. */
struct trips {
  int64_t call_ns, message_ns;
  size_t memory, node_memory; /* the most seen meanwhile */
};

static int64_t call_once(struct flow *f) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.name = (char *)"beside";
  int64_t begin_ns = tst_now_ns();
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(f->client, f->ctx, &request, NULL);
  rpc_assert_code(call, TETHER_OK);
  return tst_now_ns() - begin_ns;
}

static int64_t message_once(tether_call *chat) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  const Testing__V1__Reply *reply = NULL;
  request.name = (char *)"beside";
  int64_t begin_ns = tst_now_ns();
  assert_int_equal(testing_v1_echo_chat_send_request(chat, &request), TETHER_OK);
  assert_int_equal(testing_v1_echo_chat_recv_reply(chat, &reply), TETHER_OK);
  assert_non_null(reply);
  return tst_now_ns() - begin_ns;
}

static size_t more(size_t a, size_t b) { return a > b ? a : b; }

static struct trips trips_for(struct flow *f, int64_t ns) {
  enum { MOST = 4000 };
  static int64_t calls[MOST], messages[MOST];
  size_t n = 0;
  struct trips t = {0};
  tether_call *chat = testing_v1_echo_client_chat_start(f->client, f->ctx, NULL, NULL, NULL);
  int64_t end_ns = tst_now_ns() + ns;
  for (; tst_now_ns() < end_ns && n < MOST; n++) {
    calls[n] = call_once(f);
    messages[n] = message_once(chat);
    if (n % 8 == 0) t.memory = more(t.memory, stream_node_memory(0));
    if (n % 8 == 0) t.node_memory = more(t.node_memory, stream_node_memory(f->node.pid));
    usleep(500); /* the machine is not to be busy with this alone */
  }
  tether_call_close_send(chat);
  assert_int_equal(tether_call_wait(chat), TETHER_OK);
  tether_call_unref(chat);
  qsort(calls, n, sizeof *calls, compare);
  qsort(messages, n, sizeof *messages, compare);
  t.call_ns = calls[n / 2];
  t.message_ns = messages[n / 2];
  return t;
}

/* ---- Tests ----------------------------------------------------------------------------------- */

/* Prints and judges what went on beside a slow reader. A call that had to wait for it would take some 100 ms. */
static void judge(const char *what, const struct trips *idle, const struct trips *busy) {
  print_message("%s: call %.2f x of %lld us, message %.2f x of %lld us; memory of client %+.1f MiB, server %+.1f MiB\n",
                what, (double)busy->call_ns / (double)idle->call_ns, (long long)idle->call_ns / 1000,
                (double)busy->message_ns / (double)idle->message_ns, (long long)idle->message_ns / 1000,
                ((double)busy->memory - (double)idle->memory) / MIB,
                ((double)busy->node_memory - (double)idle->node_memory) / MIB);
  assert_true(busy->call_ns < idle->call_ns + 30 * TETHER_MS);
  assert_true(busy->message_ns < idle->message_ns + 30 * TETHER_MS);
#if !defined(CTX_TEST_SANITIZED)
  assert_true(busy->memory < idle->memory + GROWTH);
  assert_true(busy->node_memory < idle->node_memory + GROWTH);
#endif
}

static bool has_begun(void *data) { return atomic_load(&((struct mover *)data)->bytes) > 4 * MIB; }

/* Where every access is instrumented nobody measures memory, and so much would take long. */
static bool has_moved(void *data) {
  return atomic_load(&((struct mover *)data)->bytes) > (uint64_t)CTX_TEST_ROUNDS(64) * MIB;
}

/* Moves data at full speed for a moment, so that the buffers, arenas and threads that stay are there. */
static void warm_up(struct flow *f) {
  struct mover up, down;
  start_upload(&up, f, 0);
  start_download(&down, f, 0);
  assert_true(tst_wait_until(has_moved, &up, RPC_TEST_BOUND_NS));
  assert_true(tst_wait_until(has_moved, &down, RPC_TEST_BOUND_NS));
  stop(&up);
  stop(&down);
  assert_true(rpc_wait_for(&f->node.shared->inside, 0));
}

static void an_upload_to_a_slow_reader_is_held_back_and_nothing_else_is(void **state) {
  struct flow *f = *state;
  struct mover m;
  warm_up(f);
  struct trips idle = trips_for(f, TETHER_SEC / 3);
  uint64_t read_before = atomic_load(&f->node.shared->read_bytes);
  int64_t begin_ns = tst_now_ns();
  start_upload(&m, f, RATE);
  struct trips busy = trips_for(f, SLOW_NS);
  uint64_t sent = atomic_load(&m.bytes), read = atomic_load(&f->node.shared->read_bytes) - read_before;
  double seconds = (double)(tst_now_ns() - begin_ns) / TETHER_SEC;
  judge("upload", &idle, &busy);
  assert_true((double)read < seconds * RATE + 2 * BODY);
  assert_true((double)read > seconds * RATE / 4); /* it does go on */
  assert_true(sent <= read + UNDER_WAY);
  stop(&m);
  assert_true(rpc_wait_for(&f->node.shared->inside, 0));
}

static void a_download_by_a_slow_reader_is_held_back_and_nothing_else_is(void **state) {
  struct flow *f = *state;
  struct mover m;
  warm_up(f);
  struct trips idle = trips_for(f, TETHER_SEC / 3);
  uint64_t sent_before = atomic_load(&f->node.shared->sent_bytes);
  int64_t begin_ns = tst_now_ns();
  start_download(&m, f, RATE);
  struct trips busy = trips_for(f, SLOW_NS);
  uint64_t sent = atomic_load(&f->node.shared->sent_bytes) - sent_before, read = atomic_load(&m.bytes);
  double seconds = (double)(tst_now_ns() - begin_ns) / TETHER_SEC;
  judge("download", &idle, &busy);
  assert_true((double)read < seconds * RATE + 2 * BODY);
  assert_true((double)read > seconds * RATE / 4);
  assert_true(sent <= read + UNDER_WAY);
  stop(&m);
  assert_true(rpc_wait_for(&f->node.shared->inside, 0));
}

/* Bytes a second that one more reader gets in a quarter of a second. */
static double fast_rate(struct flow *f) {
  struct mover fast;
  start_download(&fast, f, 0);
  assert_true(tst_wait_until(has_begun, &fast, RPC_TEST_BOUND_NS));
  uint64_t bytes = atomic_load(&fast.bytes);
  int64_t begin_ns = tst_now_ns();
  usleep(250 * 1000);
  double rate = (double)(atomic_load(&fast.bytes) - bytes) * TETHER_SEC / (double)(tst_now_ns() - begin_ns);
  stop(&fast);
  return rate;
}

/* Two that read slowly, one of them nothing at all after a while: windows and budgets of the connection are theirs. */
static void a_fast_reader_beside_two_slow_ones_is_as_fast_as_alone(void **state) {
  enum { ROUNDS = 5 };
  struct flow *f = *state;
  double ratios[ROUNDS], alone = 0;
  warm_up(f);
  for (int i = 0; i < ROUNDS; i++) {
    struct mover slow[2];
    alone = fast_rate(f);
    start_download(&slow[0], f, RATE);
    start_download(&slow[1], f, RATE / 16);
    ratios[i] = fast_rate(f) / alone;
    for (int k = 0; k < 2; k++) {
      assert_true(atomic_load(&slow[k].bytes) < RATE);
      stop(&slow[k]);
    }
  }
  qsort(ratios, ROUNDS, sizeof *ratios, compare_ratios);
  print_message("a fast reader beside two slow ones: %.2f x (%.2f to %.2f) of %.0f MiB/s\n", ratios[ROUNDS / 2],
                ratios[0], ratios[ROUNDS - 1], alone / MIB);
  assert_true(ratios[ROUNDS / 2] > 0.3);
}

/* ---- Setting up ------------------------------------------------------------------------------ */

static int open_flow(void **state, bool tcp) {
  static struct flow flow;
  struct flow *f = &flow;
  char url[128] = "tcp://127.0.0.1:0";
  *f = (struct flow){.dir = "/tmp/tether-test-XXXXXX"};
  if (!mkdtemp(f->dir)) return -1;
  if (!tcp) snprintf(url, sizeof url, "ipc://%s/s", f->dir);
  f->ctx = tether_ctx_with_timeout(tether_ctx_background(), 2 * RPC_TEST_BOUND_NS);
  if (!stream_node_open(&f->node, url) || tether_client_open(f->node.url, NULL, &f->client) != TETHER_OK) return -1;
  *state = f;
  return tether_client_wait_ready(f->client, f->ctx) == TETHER_OK ? 0 : -1;
}

static int setup_ipc(void **state) { return open_flow(state, false); }
static int setup_tcp(void **state) { return open_flow(state, true); }

static int teardown(void **state) {
  struct flow *f = *state;
  char path[128];
  tether_client_close(f->client);
  tether_ctx_free(f->ctx);
  stream_node_close(&f->node);
  snprintf(path, sizeof path, "%s/s", f->dir);
  unlink(path);
  return rmdir(f->dir);
}

#define OVER_BOTH(test) \
  {#test " over ipc", test, setup_ipc, teardown, NULL}, { #test " over tcp", test, setup_tcp, teardown, NULL }

int main(int argc, char **argv) {
  stream_node_main(argc, argv, NULL);
  const struct CMUnitTest tests[] = {
      OVER_BOTH(an_upload_to_a_slow_reader_is_held_back_and_nothing_else_is),
      OVER_BOTH(a_download_by_a_slow_reader_is_held_back_and_nothing_else_is),
      {"a_fast_reader_beside_two_slow_ones_is_as_fast_as_alone", a_fast_reader_beside_two_slow_ones_is_as_fast_as_alone,
       setup_ipc, teardown, NULL},
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
