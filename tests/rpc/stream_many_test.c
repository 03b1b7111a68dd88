/* Many streams at once: a thousand over one connection and over ten, half of them cancelled, and ten thousand cancelled
 * in the middle of their data. Afterwards nothing is left of them: no stream, credit, thread, descriptor or memory. */
#include <dirent.h>
#include <malloc.h>
#include <stdio.h>

#include "rpc/client.h"
#include "rpc/server.h"
#include "rpc/session_impl.h"
#include "tests/support/ctx_test.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

#define STREAMS 1000
#define CLIENTS 10
#define MESSAGES 12
#define CANCELLED CTX_TEST_ROUNDS(10000)

/* More than this much of malloc's memory left by a thousand streams is a leak of something per stream. */
#define SLACK_BYTES ((size_t)32 * 1024)

/* ---- One stream's client, without a thread ------------------------------------------------- */

/* Sends MESSAGES numbered requests and checks the replies, as far as windows let it. From the first reply on it does
 * nothing until `go`: so all streams are there at once.
 *
 * Calls of `ready` may overlap: whoever finds the loop running leaves word, and it goes round once more. One may still
 * run when the stream is over, so a talk is its call's memory, which such a callback holds. */
struct talk {
  tether_call *call;
  tst_counter *open, *over;
  uint32_t number;
  uint32_t sent, received;
  atomic_int words;
  atomic_bool go;
  bool send_over, recv_over, told;
  bool wrong; /* a reply was not the one expected */
  tether_code code;
};

static size_t len_of(const struct talk *t, uint32_t index) {
  static const size_t lens[] = {0, 10, 700, 3000, 16384, 20000, 60, 5000};
  return lens[(t->number + index) % 8];
}

static uint8_t byte_of(const struct talk *t, uint32_t index) { return (uint8_t)(t->number * 31 + index * 7); }

static bool is_filled(const ProtobufCBinaryData *body, uint8_t byte) {
  for (size_t i = 0; i < body->len; i++)
    if (body->data[i] != byte) return false;
  return true;
}

/* false: it has to wait. */
static bool talk_sends(struct talk *t) {
  uint8_t body[20000];
  char name[32];
  bool done = true;
  if (t->sent == MESSAGES - 1 && !atomic_load(&t->go)) return false; /* the handler must not be through */
  if (t->sent == MESSAGES) {
    tether_call_close_send(t->call);
    t->send_over = true;
    return true;
  }
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  snprintf(name, sizeof name, "%u/%u", t->number, t->sent);
  request.name = name;
  request.body = (ProtobufCBinaryData){.data = body, .len = len_of(t, t->sent)};
  memset(body, byte_of(t, t->sent), request.body.len);
  tether_code code = testing_v1_echo_inline_chat_try_send_request(t->call, &request, &done);
  if (!done) return false;
  if (code == TETHER_OK)
    t->sent++;
  else
    t->send_over = true;
  return true;
}

static bool talk_receives(struct talk *t) {
  const Testing__V1__Reply *reply = NULL;
  char text[48];
  bool done = true;
  t->code = testing_v1_echo_inline_chat_try_recv_reply(t->call, &reply, &done);
  if (!done) return false;
  if (t->code != TETHER_OK || !reply) {
    t->recv_over = t->send_over = true;
    tst_counter_add(t->over, 1);
    return true;
  }
  snprintf(text, sizeof text, "hello %u/%u", t->number, t->received);
  if (strcmp(reply->text, text) != 0 || reply->body.len != len_of(t, t->received) ||
      !is_filled(&reply->body, byte_of(t, t->received)))
    t->wrong = true;
  t->received++;
  return true;
}

/* Only its own thread of control: talk_ready's loop. */
static void talk_goes_on(struct talk *t) {
  bool sends = true, receives = true;
  while ((sends && !t->send_over) || (receives && !t->recv_over)) {
    if (t->received > 0 && !t->told) tst_counter_add(t->open, 1);
    t->told = t->received > 0;
    if (t->told && !atomic_load(&t->go)) return;
    if (sends && !t->send_over) sends = talk_sends(t);
    if (receives && !t->recv_over) receives = talk_receives(t);
  }
}

static void talk_ready(tether_call *call, tether_ready_for what, void *data) {
  struct talk *t = data;
  (void)call, (void)what;
  if (atomic_fetch_add(&t->words, 1) > 0) return;
  int seen = 1;
  do talk_goes_on(t);
  while ((seen = atomic_fetch_sub(&t->words, seen) - seen) > 0);
}

/* ---- What is left -------------------------------------------------------------------------- */

static int count_entries(const char *path) {
  DIR *dir = opendir(path);
  int count = 0;
  while (dir && readdir(dir)) count++;
  if (dir) closedir(dir);
  return count;
}

static size_t allocated_bytes(void) {
#if defined(CTX_TEST_SANITIZED)
  return 0; /* not this malloc's to say */
#else
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
#endif
}

struct usage {
  int fds, threads;
  size_t bytes;
};

static struct usage usage(void) {
  return (struct usage){count_entries("/proc/self/fd"), count_entries("/proc/self/task"), allocated_bytes()};
}

/* The connection has no streams, nothing to send, and its whole budget. */
static bool is_clean(tth_conn *conn) {
  tth_session *session = tth_conn_lock(conn);
  tth_session *fresh = session ? tth_session_new(session->role, &session->limits) : NULL;
  bool clean = fresh && tth_session_stream_count(session) == 0 && tth_session_pending(session) == 0 &&
               !session->queued.first && session->blocked == 0 && session->budget == fresh->budget &&
               session->growth_left == fresh->growth_left;
  tth_session_free(fresh);
  tth_conn_unlock(conn);
  return clean;
}

struct many {
  struct rpc_fixture *f;
  tether_client *clients[CLIENTS];
  int client_count;
  struct talk *talks[STREAMS];
  tst_counter open, over;
};

static bool all_clean(void *data) {
  struct many *m = data;
  for (int i = 0; i < m->client_count; i++)
    if (!is_clean(m->clients[i]->subchannels[0]->conn)) return false;
  bool clean = tth_server_calls(m->f->server) == 0;
  pthread_mutex_lock(&m->f->server->mu);
  for (tth_conn *conn = m->f->server->conns; conn && clean; conn = tth_conn_node_of(conn)->next) clean = is_clean(conn);
  pthread_mutex_unlock(&m->f->server->mu);
  return clean;
}

/* ---- A thousand ---------------------------------------------------------------------------- */

static void start_all(struct many *m, const tether_ctx *ctx) {
  for (uint32_t i = 0; i < STREAMS; i++) {
    tether_client *client = m->clients[i % (uint32_t)m->client_count];
    tether_call *call = testing_v1_echo_client_inline_chat_start(client, ctx, NULL, NULL, NULL);
    struct talk *t = m->talks[i] = tether_call_alloc(call, sizeof *t);
    assert_non_null(t);
    *t = (struct talk){.call = call, .open = &m->open, .over = &m->over, .number = i};
    tether_call_on_ready(t->call, talk_ready, t);
    talk_ready(t->call, TETHER_CAN_SEND, t);
  }
}

/* All are open at once; then the odd ones are cancelled while the even ones go on. */
static void talk_in_thousands(struct many *m) {
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  tst_counter_init(&m->open);
  tst_counter_init(&m->over);
  start_all(m, ctx);
  assert_true(tst_counter_wait(&m->open, STREAMS, RPC_TEST_BOUND_NS));
  assert_int_equal(tth_server_calls(m->f->server), STREAMS);
  for (uint32_t i = 0; i < STREAMS; i++) {
    struct talk *t = m->talks[i];
    if (i % 2) tether_call_cancel(t->call, NULL);
    atomic_store(&t->go, true);
    talk_ready(t->call, TETHER_CAN_RECV, t);
  }
  assert_true(tst_counter_wait(&m->over, STREAMS, RPC_TEST_BOUND_NS));
  for (uint32_t i = 0; i < STREAMS; i++) {
    struct talk *t = m->talks[i];
    rpc_assert_code(t->call, i % 2 ? TETHER_CANCELLED : TETHER_OK);
    assert_int_equal(t->code, tether_call_code(t->call));
    assert_false(t->wrong);
    if (i % 2 == 0) assert_int_equal(t->received, MESSAGES);
  }
  assert_true(tst_wait_until(all_clean, m, RPC_TEST_BOUND_NS));
  for (uint32_t i = 0; i < STREAMS; i++) tether_call_unref(m->talks[i]->call);
  tst_counter_fini(&m->over);
  tst_counter_fini(&m->open);
}

static bool is_back(void *data) {
  const struct usage *before = data;
  struct usage now = usage();
  return now.fds <= before->fds && now.threads <= before->threads && now.bytes <= before->bytes + SLACK_BYTES;
}

/* What stays for good is made in the first rounds (threads, arenas, connections' buffers), what leaks in every round.
 */
static void thousands_leave_nothing(struct many *m) {
  struct usage before, after;
  for (int round = 0; round < 10; round++) {
    before = usage();
    talk_in_thousands(m);
    if (round > 0 && tst_wait_until(is_back, &before, TETHER_SEC)) return;
  }
  after = usage();
  fail_msg("descriptors %d, then %d; threads %d, then %d; bytes %zu, then %zu", before.fds, after.fds, before.threads,
           after.threads, before.bytes, after.bytes);
}

static void a_thousand_streams_over_one_connection_half_of_them_cancelled_leave_nothing(void **state) {
  struct rpc_fixture *f = *state;
  struct many m = {.f = f, .clients = {f->client}, .client_count = 1};
  thousands_leave_nothing(&m);
}

static void a_thousand_streams_over_ten_connections_half_of_them_cancelled_leave_nothing(void **state) {
  struct rpc_fixture *f = *state;
  struct many m = {.f = f, .client_count = CLIENTS};
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  for (int i = 0; i < CLIENTS; i++) {
    assert_int_equal(tether_client_open(f->url, NULL, &m.clients[i]), TETHER_OK);
    assert_int_equal(tether_client_wait_ready(m.clients[i], ctx), TETHER_OK);
  }
  thousands_leave_nothing(&m);
  for (int i = 0; i < CLIENTS; i++) tether_client_close(m.clients[i]);
}

/* ---- Ten thousand cancelled ---------------------------------------------------------------- */

/* Sends and receives through one stream; returns bytes per second. */
static double throughput(struct rpc_fixture *f, const tether_ctx *ctx) {
  enum { ROUNDS = 300, BODY = 20000 };
  static uint8_t body[BODY];
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_inline_chat_start(f->client, ctx, NULL, NULL, NULL);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  const Testing__V1__Reply *reply = NULL;
  request.body = (ProtobufCBinaryData){.data = body, .len = BODY};
  int64_t begin_ns = tst_now_ns();
  for (int i = 0; i < ROUNDS; i++) {
    assert_int_equal(testing_v1_echo_inline_chat_send_request(call, &request), TETHER_OK);
    if (i < 2) continue; /* that many are under way */
    assert_int_equal(testing_v1_echo_inline_chat_recv_reply(call, &reply), TETHER_OK);
    assert_int_equal(reply->body.len, BODY);
  }
  tether_call_close_send(call);
  while (reply) assert_int_equal(testing_v1_echo_inline_chat_recv_reply(call, &reply), TETHER_OK);
  return 2.0 * ROUNDS * BODY * TETHER_SEC / (double)(tst_now_ns() - begin_ns);
}

/* What a stream may send that nobody reads. */
static uint32_t first_credit(struct rpc_fixture *f, const tether_ctx *ctx) {
  TETHER_SCOPED_CALL tether_call *c = testing_v1_handed_client_both_start(f->client, ctx, NULL, NULL, NULL);
  tether_call *s = echo_take_handed(&f->stats);
  assert_non_null(s);
  tth_session *session = tth_conn_lock(f->client->subchannels[0]->conn);
  uint32_t credit = session ? c->stream->send_credit : 0;
  tth_conn_unlock(f->client->subchannels[0]->conn);
  echo_finish_handed(s, TETHER_OK);
  assert_int_equal(tether_call_wait(c), TETHER_OK);
  return credit;
}

/* Starts a stream, lets data flow both ways, and cancels it in a moment that `number` decides: with messages queued
 * here, half sent, unread at the server, echoed, unread here. */
static void cancel_in_the_middle(struct rpc_fixture *f, const tether_ctx *ctx, unsigned number) {
  static uint8_t body[60000];
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_inline_chat_start(f->client, ctx, NULL, NULL, NULL);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  const Testing__V1__Reply *reply = NULL;
  request.body = (ProtobufCBinaryData){.data = body, .len = number % 5 * 15000};
  bool done = true;
  for (unsigned i = 0; i < 1 + number % 4 && done; i++)
    assert_int_equal(testing_v1_echo_inline_chat_try_send_request(call, &request, &done), TETHER_OK);
  if (number % 7 == 0) assert_int_equal(testing_v1_echo_inline_chat_recv_reply(call, &reply), TETHER_OK);
  tether_call_cancel(call, NULL);
  assert_int_equal(tether_call_wait(call), TETHER_CANCELLED);
}

static void after_ten_thousand_streams_cancelled_in_their_middle_a_fresh_one_has_its_whole_window(void **state) {
  struct rpc_fixture *f = *state;
  struct many m = {.f = f, .clients = {f->client}, .client_count = 1};
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 2 * RPC_TEST_BOUND_NS);
  assert_int_equal(tether_client_wait_ready(f->client, ctx), TETHER_OK);
  uint32_t credit = first_credit(f, ctx);
  double before = throughput(f, ctx);
  for (unsigned i = 0; i < CANCELLED; i++) cancel_in_the_middle(f, ctx, i);
  assert_true(tst_wait_until(all_clean, &m, RPC_TEST_BOUND_NS));
  assert_true(credit >= TTH_WINDOW_LEAST);
  assert_int_equal(first_credit(f, ctx), credit);
  double after = throughput(f, ctx);
  print_message("throughput of one stream after %d cancelled ones: %.2f x (%.0f MiB/s)\n", CANCELLED, after / before,
                after / (1 << 20));
  assert_true(after > before / 10); /* one that had to wait for windows would need a round trip for each message */
}

static int setup(void **state) { return rpc_fixture_open(state, NULL, NULL); }
static int teardown(void **state) { return rpc_fixture_close(state); }

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(a_thousand_streams_over_one_connection_half_of_them_cancelled_leave_nothing),
      CASE(a_thousand_streams_over_ten_connections_half_of_them_cancelled_leave_nothing),
      CASE(after_ten_thousand_streams_cancelled_in_their_middle_a_fresh_one_has_its_whole_window),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
