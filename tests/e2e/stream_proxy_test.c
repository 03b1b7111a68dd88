/* Streams over real sockets through a proxy that hands bytes on in pieces, late, and cuts connections in the middle of
 * anything. A seed decides what is sent, read and cut: every message arrives once and in order, or the stream is cut at
 * both sides; never an end with messages missing. TETHER_SEED=n runs one seed, TETHER_SEEDS=n so many; how threads and
 * sockets mix is not the seed's. */
#include <stdio.h>
#include <unistd.h>

#include "rpc/server.h"
#include "tests/support/byte_proxy.h"
#include "tests/support/ctx_test.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

#define STREAMS 8
#define SEEDS CTX_TEST_ROUNDS(40)
#define BODY_MOST ((size_t)256 * 1024)

static uint8_t pattern[BODY_MOST + 256];

/* ---- One stream ------------------------------------------------------------------------------ */

struct stream {
  uint32_t number, seed;
  uint32_t up, down;  /* messages each way */
  uint32_t cancel_at; /* the client's receiver cancels after so many replies; UINT32_MAX: never */
  uint32_t answer_at; /* the handler returns after so many requests; likewise */
  tether_call *call;
  pthread_t sender, receiver;
  bool cancelled; /* by its receiver */
  /* what was seen, each written by one thread */
  struct {
    uint32_t sent, received;
    bool wrong, end; /* a message that is not the next one; a clean end */
    tether_code code;
  } client, server;
  tether_cause_code cause; /* the handler was cut by */
  bool begun;              /* the handler has */
};

static struct stream streams[STREAMS];

static uint32_t dice_of(const struct stream *s, bool up, uint32_t index) {
  uint32_t state = s->seed ^ (index * 2654435761u) ^ (up ? 0x5bd1e995u : 0) ^ 1;
  for (int i = 0; i < 4; i++) (void)ctx_random(&state);
  return state;
}

static ProtobufCBinaryData body_of(const struct stream *s, bool up, uint32_t index) {
  uint32_t dice = dice_of(s, up, index), kind = dice % 16;
  size_t len = kind < 8    ? dice / 16 % 200
               : kind < 12 ? dice / 16 % 20000
               : kind < 15 ? 16300 + dice / 16 % 200
                           : dice / 16 % BODY_MOST;
  return (ProtobufCBinaryData){.data = pattern + dice % 251, .len = len};
}

/* Whether this is the next message, whole. */
static bool is_expected(const struct stream *s, bool up, uint32_t index, uint32_t number,
                        const ProtobufCBinaryData *body) {
  ProtobufCBinaryData expected = body_of(s, up, index);
  return number == index && body->len == expected.len &&
         (body->len == 0 || memcmp(body->data, expected.data, body->len) == 0);
}

/* ---- Server ---------------------------------------------------------------------------------- */

/* Sends as many replies as go with the requests received, and the rest at the end. */
static tether_code answer(struct stream *s, tether_call *call, uint32_t until) {
  for (; s->server.sent < until; s->server.sent++) {
    Testing__V1__Reply reply = TESTING__V1__REPLY__INIT;
    reply.count = s->server.sent;
    reply.body = body_of(s, false, s->server.sent);
    tether_code code = testing_v1_echo_chat_send_reply(call, &reply);
    if (code != TETHER_OK) return code;
  }
  return TETHER_OK;
}

static tether_code converse(struct stream *s, tether_call *call) {
  while (s->server.received < s->answer_at) {
    const Testing__V1__Request *request = NULL;
    tether_code code = testing_v1_echo_chat_recv_request(call, &request);
    if (code != TETHER_OK) return code;
    if (!request) {
      s->server.end = true;
      break;
    }
    if (!is_expected(s, true, s->server.received, request->width, &request->body)) s->server.wrong = true;
    s->server.received++;
    code = answer(s, call, s->up ? s->down * s->server.received / s->up : s->down);
    if (code != TETHER_OK) return code;
  }
  return answer(s, call, s->down);
}

static tether_code chat(const tether_ctx *ctx, tether_call *call, void *data) {
  (void)data;
  const char *number = tether_metadata_get(tether_call_metadata(call), "x-stream", NULL);
  struct stream *s = &streams[number ? atoi(number) : 0];
  s->begun = true;
  s->server.code = converse(s, call);
  if (tether_ctx_err(ctx) != TETHER_OK) s->cause = tether_cause_get_code(tether_ctx_cause(ctx));
  return s->server.code;
}

/* ---- Client ---------------------------------------------------------------------------------- */

static void *send_all(void *data) {
  struct stream *s = data;
  for (; s->client.sent < s->up; s->client.sent++) {
    Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
    request.width = s->client.sent;
    request.body = body_of(s, true, s->client.sent);
    if (testing_v1_echo_chat_send_request(s->call, &request) != TETHER_OK) return NULL;
  }
  tether_call_close_send(s->call);
  return NULL;
}

static void *receive_all(void *data) {
  struct stream *s = data;
  const Testing__V1__Reply *reply = NULL;
  for (;;) {
    if (s->client.received >= s->cancel_at && !s->cancelled) {
      s->cancelled = true;
      tether_call_cancel(s->call, NULL);
    }
    s->client.code = testing_v1_echo_chat_recv_reply(s->call, &reply);
    if (s->client.code != TETHER_OK || !reply) break;
    if (!is_expected(s, false, s->client.received, reply->count, &reply->body)) s->client.wrong = true;
    s->client.received++;
  }
  s->client.end = s->client.code == TETHER_OK;
  return NULL;
}

/* ---- One seed -------------------------------------------------------------------------------- */

struct proxied {
  char dir[64], path[96], proxy_path[96];
  tether_server *server;
};

static void start(struct stream *s, tether_client *client, const tether_ctx *ctx) {
  char number[16];
  tether_metadata *metadata = tether_metadata_new();
  snprintf(number, sizeof number, "%u", s->number);
  assert_int_equal(tether_metadata_add(metadata, "x-stream", number), TETHER_OK);
  const tether_call_options options = {.metadata = metadata, .wait_for_ready = true};
  s->call = testing_v1_echo_client_chat_start(client, ctx, &options, NULL, NULL);
  tether_metadata_free(metadata);
  assert_int_equal(pthread_create(&s->sender, NULL, send_all, s), 0);
  assert_int_equal(pthread_create(&s->receiver, NULL, receive_all, s), 0);
}

static void plan(uint32_t seed, bool cuts) {
  uint32_t random = seed * 2654435761u + 1;
  for (uint32_t i = 0; i < STREAMS; i++) {
    streams[i] =
        (struct stream){.number = i, .seed = ctx_random(&random), .cancel_at = UINT32_MAX, .answer_at = UINT32_MAX};
    streams[i].up = ctx_random(&random) % 5 ? ctx_random(&random) % 40 : 0;
    streams[i].down = ctx_random(&random) % 5 ? ctx_random(&random) % 40 : 0;
    if (cuts && ctx_random(&random) % 4 == 0) streams[i].cancel_at = ctx_random(&random) % (streams[i].down + 1);
    if (cuts && ctx_random(&random) % 4 == 0) streams[i].answer_at = ctx_random(&random) % (streams[i].up + 1);
  }
}

/* All handlers have returned, and none can begin any more. */
static bool is_quiet(void *data) {
  tether_server *server = data;
  return atomic_load(&server->conn_count) == 0 && tth_server_calls(server) == 0;
}

#define expect(condition)                                                                                              \
  do {                                                                                                                 \
    if (!(condition))                                                                                                  \
      fail_msg("TETHER_SEED=%u stream %u: not %s: client %s %u of %u, server %s (cause %s) %u of %u", seed, s->number, \
               #condition, tether_code_name(s->client.code), s->client.received, s->down,                              \
               tether_code_name(s->server.code), tether_cause_code_name(s->cause), s->server.received, s->up);         \
  } while (0)

static void check(uint32_t seed, struct stream *s, bool broke) {
  tether_code code = tether_call_code(s->call);
  expect(!s->client.wrong && !s->server.wrong);
  expect(code == s->client.code);
  expect(s->client.received <= s->server.sent && s->server.received <= s->client.sent);
  if (s->server.end) expect(s->server.received == s->up);
  if (code == TETHER_OK) {
    expect(s->client.end && s->client.received == s->down);
    expect(s->begun && s->server.code == TETHER_OK && s->cause == TETHER_CAUSE_NONE);
    expect(s->server.end || s->server.received == s->answer_at);
    return;
  }
  expect(code == (s->cancelled && code != TETHER_UNAVAILABLE ? TETHER_CANCELLED : TETHER_UNAVAILABLE));
  expect(s->cancelled || broke);
  /* The handler was cut too, unless it never began or was through by itself. */
  expect(s->cause != TETHER_CAUSE_NONE || s->server.code == TETHER_OK);
  if (s->cause == TETHER_CAUSE_CALLER) expect(s->cancelled);
  if (s->cause == TETHER_CAUSE_PEER_LOST) expect(broke);
}

struct outcome {
  int whole, cancelled, lost, cuts;
};

static void run_seed(struct proxied *p, uint32_t seed, bool cuts, bool breaks, struct outcome *outcome) {
  char url[128];
  tether_client *client;
  const tether_client_options quick = {.backoff_initial_ns = 2 * TETHER_MS, .backoff_max_ns = 10 * TETHER_MS};
  const byte_proxy_faults faults = {.pauses = true, .cut_after = breaks ? 3000000 : 0};
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 2 * RPC_TEST_BOUND_NS);
  byte_proxy *proxy = byte_proxy_open(p->proxy_path, p->path, seed, faults);
  assert_non_null(proxy);
  snprintf(url, sizeof url, "ipc://%s", p->proxy_path);
  assert_int_equal(tether_client_open(url, &quick, &client), TETHER_OK);
  plan(seed, cuts);
  for (int i = 0; i < STREAMS; i++) start(&streams[i], client, ctx);
  for (int i = 0; i < STREAMS; i++) {
    assert_int_equal(pthread_join(streams[i].sender, NULL), 0);
    assert_int_equal(pthread_join(streams[i].receiver, NULL), 0);
  }
  tether_client_close(client);
  int count = byte_proxy_cuts(proxy);
  byte_proxy_close(proxy);
  unlink(p->proxy_path);
  assert_true(tst_wait_until(is_quiet, p->server, RPC_TEST_BOUND_NS));
  for (int i = 0; i < STREAMS; i++) {
    struct stream *s = &streams[i];
    check(seed, s, count > 0);
    outcome->whole += tether_call_code(s->call) == TETHER_OK;
    outcome->cancelled += tether_call_code(s->call) == TETHER_CANCELLED;
    outcome->lost += tether_call_code(s->call) == TETHER_UNAVAILABLE;
    tether_call_unref(s->call);
  }
  outcome->cuts += count;
}

static struct outcome run_seeds(void **state, bool cuts, bool breaks) {
  const char *one = getenv("TETHER_SEED"), *many = getenv("TETHER_SEEDS");
  uint32_t first = one ? (uint32_t)strtoul(one, NULL, 0) : 1;
  uint32_t end = first + (one ? 1 : many ? (uint32_t)strtoul(many, NULL, 0) : SEEDS);
  struct outcome o = {0};
  for (uint32_t seed = first; seed < end; seed++) run_seed(*state, seed, cuts, breaks, &o);
  print_message("%d streams whole, %d cancelled, %d lost with %d connections\n", o.whole, o.cancelled, o.lost, o.cuts);
  return o;
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void through_pieces_and_pauses_every_stream_ends_whole(void **state) {
  struct outcome o = run_seeds(state, false, false);
  assert_int_equal(o.cancelled + o.lost, 0);
}

static void cancels_and_early_answers_end_both_sides(void **state) {
  struct outcome o = run_seeds(state, true, false);
  assert_int_equal(o.lost, 0);
  assert_true(o.cancelled > 0 || getenv("TETHER_SEED"));
}

static void connections_cut_in_the_middle_of_anything_never_look_like_an_end(void **state) {
  struct outcome o = run_seeds(state, true, true);
  assert_true(o.lost > 0 || getenv("TETHER_SEED"));
}

static int setup(void **state) {
  static struct proxied p;
  char url[128];
  static const testing_v1_echo_service service = {.chat = chat};
  p = (struct proxied){.dir = "/tmp/tether-test-XXXXXX"};
  if (!mkdtemp(p.dir)) return -1;
  snprintf(p.path, sizeof p.path, "%s/s", p.dir);
  snprintf(p.proxy_path, sizeof p.proxy_path, "%s/p", p.dir);
  snprintf(url, sizeof url, "ipc://%s", p.path);
  for (size_t i = 0; i < sizeof pattern; i++) pattern[i] = (uint8_t)(i * 7 + (i >> 8) * 13);
  *state = &p;
  return tether_server_open(NULL, &p.server) == TETHER_OK &&
                 testing_v1_echo_register(p.server, &service, NULL) == TETHER_OK &&
                 tether_server_listen(p.server, url) == TETHER_OK
             ? 0
             : -1;
}

static int teardown(void **state) {
  struct proxied *p = *state;
  tether_server_close(p->server);
  unlink(p->path);
  return rmdir(p->dir);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(through_pieces_and_pauses_every_stream_ends_whole),
      CASE(cancels_and_early_answers_end_both_sides),
      CASE(connections_cut_in_the_middle_of_anything_never_look_like_an_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
