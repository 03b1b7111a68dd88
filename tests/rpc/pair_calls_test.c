/* An ordinary nng pair socket is a valid peer: it calls our server, and serves our client, by nothing but batches of
 * frames in messages. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>

#include "rpc/frame.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"
#include "tether/v1/frames.pb-c.h"

struct batch {
  uint8_t bytes[8192];
  size_t len;
};

static void add_frame(struct batch *b, tth_frame_type type, uint8_t flags, uint32_t stream,
                      const ProtobufCMessage *payload) {
  size_t len = protobuf_c_message_pack(payload, b->bytes + b->len + TTH_FRAME_HEADER);
  tth_frame_put(b->bytes + b->len, (uint32_t)len, type, flags, stream);
  b->len += TTH_FRAME_HEADER + len;
}

static void add_hello(struct batch *b, uint32_t max_streams) {
  Tether__V1__Hello hello = TETHER__V1__HELLO__INIT;
  hello.version = 1;
  hello.has_max_streams = true;
  hello.max_streams = max_streams;
  add_frame(b, TTH_HELLO, 0, 0, &hello.base);
}

static void add_call(struct batch *b, uint32_t stream, const char *path, int64_t timeout_ns, const char *name) {
  Tether__V1__Headers headers = TETHER__V1__HEADERS__INIT;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  headers.method = (char *)path;
  headers.has_timeout_ns = timeout_ns != TETHER_FOREVER;
  headers.timeout_ns = timeout_ns;
  request.name = (char *)name;
  add_frame(b, TTH_HEADERS, 0, stream, &headers.base);
  add_frame(b, TTH_MESSAGE, TTH_FLAG_END, stream, &request.base);
}

static void send_batch(nng_socket socket, const struct batch *b) {
  assert_int_equal(nng_send(socket, (void *)b->bytes, b->len, 0), 0);
}

/* Receives messages until a frame of this type and stream comes. */
static const uint8_t *expect_frame(nng_socket socket, tth_frame_type type, uint32_t stream, size_t *len) {
  static uint8_t message[1 << 20];
  static size_t used, at;
  for (;;) {
    tth_frame frame;
    while (at < used && tth_frame_get(message + at, used - at, &frame)) {
      at += TTH_FRAME_HEADER + frame.length;
      if (frame.type != type || frame.stream != stream) continue;
      *len = frame.length;
      return frame.payload;
    }
    used = sizeof message;
    at = 0;
    if (nng_recv(socket, message, &used, 0) != 0) return NULL;
  }
}

static nng_socket pair_socket(void) {
  nng_socket socket;
  assert_int_equal(nng_pair0_open(&socket), 0);
  assert_int_equal(nng_socket_set_ms(socket, NNG_OPT_RECVTIMEO, 20000), 0);
  assert_int_equal(nng_socket_set_ms(socket, NNG_OPT_SENDTIMEO, 20000), 0);
  return socket;
}

static Tether__V1__Trailers *trailers_of(nng_socket socket, uint32_t stream) {
  size_t len = 0;
  const uint8_t *payload = expect_frame(socket, TTH_TRAILERS, stream, &len);
  assert_non_null(payload);
  Tether__V1__Trailers *trailers = tether__v1__trailers__unpack(NULL, len, payload);
  assert_non_null(trailers);
  return trailers;
}

/* ---- The socket as a client ---------------------------------------------------------------- */

struct caller {
  struct echo_stats stats;
  tether_server *server;
  nng_socket socket;
};

static void call_and_get_replies(struct caller *c) {
  struct batch b = {.len = 0};
  size_t len = 0;
  add_hello(&b, 0);
  add_call(&b, 1, "/testing.v1.Echo/Quick", 10 * TETHER_SEC, "pair");
  add_call(&b, 2, "/testing.v1.Echo/Pooled", TETHER_FOREVER, "pair");
  send_batch(c->socket, &b);
  assert_non_null(expect_frame(c->socket, TTH_HELLO, 0, &len));
  const uint8_t *payload = expect_frame(c->socket, TTH_MESSAGE, 1, &len);
  assert_non_null(payload);
  Testing__V1__Reply *reply = testing__v1__reply__unpack(NULL, len, payload);
  assert_non_null(reply);
  assert_string_equal(reply->text, "hello pair");
  assert_true(reply->remaining_ns > 0);
  testing__v1__reply__free_unpacked(reply, NULL);
  assert_true(rpc_wait_for(&c->stats.started, 2));
}

static void assert_answered(struct caller *c, uint32_t stream, tether_code code, tether_cause_code cause) {
  Tether__V1__Trailers *trailers = trailers_of(c->socket, stream);
  assert_int_equal(trailers->code, code);
  if (cause) assert_int_equal(trailers->cause->code, cause);
  tether__v1__trailers__free_unpacked(trailers, NULL);
}

/* Expired on arrival: answered, and no handler runs. */
static void call_too_late(struct caller *c) {
  struct batch b = {.len = 0};
  add_call(&b, 3, "/testing.v1.Echo/Quick", 0, "late");
  send_batch(c->socket, &b);
  assert_answered(c, 3, TETHER_DEADLINE_EXCEEDED, TETHER_CAUSE_DEADLINE);
  assert_int_equal(atomic_load(&c->stats.started), 2);
}

static void add_cancel(struct batch *b, uint32_t stream) {
  Tether__V1__Cause cause = TETHER__V1__CAUSE__INIT;
  Tether__V1__Cancel cancel = TETHER__V1__CANCEL__INIT;
  cause.code = TETHER_CAUSE_HEDGE_LOST;
  cancel.cause = &cause;
  add_frame(b, TTH_CANCEL, 0, stream, &cancel.base);
}

/* CANCEL with a cause: the handler sees it, and is answered when it has stopped. */
static void call_and_cancel(struct caller *c) {
  struct batch b = {.len = 0};
  add_call(&b, 4, "/testing.v1.Echo/Hang", TETHER_FOREVER, "");
  send_batch(c->socket, &b);
  assert_true(rpc_wait_for(&c->stats.hanging, 1));
  b.len = 0;
  add_cancel(&b, 4);
  send_batch(c->socket, &b);
  assert_answered(c, 4, TETHER_CANCELLED, TETHER_CAUSE_HEDGE_LOST);
  assert_int_equal(atomic_load(&c->stats.ended[TETHER_CAUSE_HEDGE_LOST]), 1);
}

/* CANCEL before its HEADERS: the handler never runs. */
static void cancel_before_calling(struct caller *c) {
  struct batch b = {.len = 0};
  add_cancel(&b, 5);
  add_call(&b, 5, "/testing.v1.Echo/Quick", TETHER_FOREVER, "");
  send_batch(c->socket, &b);
  assert_answered(c, 5, TETHER_CANCELLED, TETHER_CAUSE_NONE);
  assert_int_equal(atomic_load(&c->stats.started), 3);
}

/* The socket closes: the handler sees peer_lost. */
static void call_and_go_away(struct caller *c) {
  struct batch b = {.len = 0};
  add_call(&b, 6, "/testing.v1.Echo/Hang", TETHER_FOREVER, "");
  send_batch(c->socket, &b);
  assert_true(rpc_wait_for(&c->stats.hanging, 1));
  nng_close(c->socket);
  assert_true(rpc_wait_for(&c->stats.ended[TETHER_CAUSE_PEER_LOST], 1));
}

static void call_over(const char *listen_url) {
  struct caller c = {.socket = pair_socket()};
  char url[128];
  assert_int_equal(tether_server_open(NULL, &c.server), TETHER_OK);
  assert_int_equal(echo_server_add(c.server, &c.stats), TETHER_OK);
  assert_int_equal(tether_server_listen(c.server, listen_url), TETHER_OK);
  snprintf(url, sizeof url, "%s", listen_url);
  if (tether_server_port(c.server)) snprintf(url, sizeof url, "tcp://127.0.0.1:%d", tether_server_port(c.server));
  assert_int_equal(nng_dial(c.socket, url, NULL, 0), 0);
  call_and_get_replies(&c);
  call_too_late(&c);
  call_and_cancel(&c);
  cancel_before_calling(&c);
  call_and_go_away(&c);
  tether_server_close(c.server);
}

static void a_pair_socket_calls_our_server_over_ipc(void **state) {
  (void)state;
  char dir[] = "/tmp/tether-test-XXXXXX", path[64], url[80];
  assert_non_null(mkdtemp(dir));
  snprintf(path, sizeof path, "%s/s", dir);
  snprintf(url, sizeof url, "ipc://%s", path);
  call_over(url);
  unlink(path);
  assert_int_equal(rmdir(dir), 0);
}

static void a_pair_socket_calls_our_server_over_tcp(void **state) {
  (void)state;
  call_over("tcp://127.0.0.1:0");
}

/* ---- The socket as a server ---------------------------------------------------------------- */

static void answer(nng_socket socket, uint32_t stream, const char *text, tether_code code) {
  struct batch b = {.len = 0};
  Testing__V1__Reply reply = TESTING__V1__REPLY__INIT;
  Tether__V1__Trailers trailers = TETHER__V1__TRAILERS__INIT;
  reply.text = (char *)text;
  trailers.code = code;
  if (code == TETHER_OK) add_frame(&b, TTH_MESSAGE, TTH_FLAG_END, stream, &reply.base);
  add_frame(&b, TTH_TRAILERS, 0, stream, &trailers.base);
  send_batch(socket, &b);
}

struct served {
  nng_socket socket;
  tether_client *client;
  const tether_ctx *ctx;
};

/* Starts a call and waits until its request has come. */
static tether_call *begin_call(struct served *s, uint32_t stream) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  size_t len = 0;
  request.name = (char *)"to a pair";
  tether_call *call = testing_v1_echo_client_quick_start(s->client, s->ctx, &request, NULL, NULL, NULL);
  assert_non_null(expect_frame(s->socket, TTH_MESSAGE, stream, &len));
  return call;
}

static void serve_a_reply(struct served *s) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  size_t len = 0;
  request.name = (char *)"to a pair";
  TETHER_SCOPED_CALL tether_call *call =
      testing_v1_echo_client_quick_start(s->client, s->ctx, &request, NULL, NULL, NULL);
  const uint8_t *payload = expect_frame(s->socket, TTH_HEADERS, 1, &len);
  assert_non_null(payload);
  Tether__V1__Headers *headers = tether__v1__headers__unpack(NULL, len, payload);
  assert_non_null(headers);
  assert_string_equal(headers->method, "/testing.v1.Echo/Quick");
  assert_true(headers->has_timeout_ns && headers->timeout_ns > 0 && headers->timeout_ns <= RPC_TEST_BOUND_NS);
  tether__v1__headers__free_unpacked(headers, NULL);
  payload = expect_frame(s->socket, TTH_MESSAGE, 1, &len);
  assert_non_null(payload);
  Testing__V1__Request *seen = testing__v1__request__unpack(NULL, len, payload);
  assert_non_null(seen);
  assert_string_equal(seen->name, "to a pair");
  testing__v1__request__free_unpacked(seen, NULL);
  answer(s->socket, 1, "from a pair", TETHER_OK);
  tether_call_wait(call);
  rpc_assert_code(call, TETHER_OK);
  assert_string_equal(testing_v1_echo_quick_reply(call)->text, "from a pair");
}

/* OK without a reply is never a NULL reply; an unknown status number becomes UNKNOWN. */
static void serve_odd_statuses(struct served *s) {
  struct batch b = {.len = 0};
  Tether__V1__Trailers trailers = TETHER__V1__TRAILERS__INIT;
  TETHER_SCOPED_CALL tether_call *empty = begin_call(s, 2);
  add_frame(&b, TTH_TRAILERS, 0, 2, &trailers.base);
  send_batch(s->socket, &b);
  tether_call_wait(empty);
  rpc_assert_code(empty, TETHER_INTERNAL);
  TETHER_SCOPED_CALL tether_call *odd = begin_call(s, 3);
  answer(s->socket, 3, "", (tether_code)77);
  tether_call_wait(odd);
  rpc_assert_code(odd, TETHER_UNKNOWN);
}

/* A reply that does not parse is INTERNAL, and costs only its call; the server is told that it need not go on. */
static void serve_garbage(struct served *s) {
  struct batch b = {.len = TTH_FRAME_HEADER + 3};
  size_t len = 0;
  TETHER_SCOPED_CALL tether_call *garbled = begin_call(s, 4);
  tth_frame_put(b.bytes, 3, TTH_MESSAGE, TTH_FLAG_END, 4);
  memcpy(b.bytes + TTH_FRAME_HEADER, "\xff\xff\xff", 3);
  send_batch(s->socket, &b);
  tether_call_wait(garbled);
  rpc_assert_code(garbled, TETHER_INTERNAL);
  assert_non_null(expect_frame(s->socket, TTH_CANCEL, 4, &len));
}

static void be_cancelled_with_a_cause(struct served *s) {
  size_t len = 0;
  TETHER_SCOPED_CALL tether_call *cancelled = begin_call(s, 5);
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_SIBLING, "here", "enough");
  tether_call_cancel(cancelled, cause);
  tether_cause_unref(cause);
  rpc_assert_code(cancelled, TETHER_CANCELLED);
  const uint8_t *payload = expect_frame(s->socket, TTH_CANCEL, 5, &len);
  assert_non_null(payload);
  Tether__V1__Cancel *cancel = tether__v1__cancel__unpack(NULL, len, payload);
  assert_non_null(cancel);
  assert_int_equal(cancel->cause->code, TETHER_CAUSE_SIBLING);
  assert_string_equal(cancel->cause->origin, "here");
  tether__v1__cancel__free_unpacked(cancel, NULL);
}

/* The socket goes away in the middle of a call. */
static void go_away_in_a_call(struct served *s) {
  TETHER_SCOPED_CALL tether_call *lost = begin_call(s, 6);
  nng_close(s->socket);
  tether_call_wait(lost);
  rpc_assert_code(lost, TETHER_UNAVAILABLE);
  assert_int_equal(tether_cause_get_code(tether_call_cause(lost)), TETHER_CAUSE_PEER_LOST);
}

static void serve_over(const char *listen_url) {
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  struct served s = {.socket = pair_socket(), .ctx = ctx};
  nng_listener listener;
  char *url;
  assert_int_equal(nng_listen(s.socket, listen_url, &listener, 0), 0);
  assert_int_equal(nng_listener_get_string(listener, NNG_OPT_URL, &url), 0);
  assert_int_equal(tether_client_open(url, NULL, &s.client), TETHER_OK);
  nng_strfree(url);
  struct batch b = {.len = 0};
  size_t len = 0;
  assert_non_null(expect_frame(s.socket, TTH_HELLO, 0, &len));
  add_hello(&b, 100);
  send_batch(s.socket, &b);
  serve_a_reply(&s);
  serve_odd_statuses(&s);
  serve_garbage(&s);
  be_cancelled_with_a_cause(&s);
  go_away_in_a_call(&s);
  tether_client_close(s.client);
}

static void a_pair_socket_serves_our_client_over_ipc(void **state) {
  (void)state;
  char dir[] = "/tmp/tether-test-XXXXXX", url[80];
  assert_non_null(mkdtemp(dir));
  snprintf(url, sizeof url, "ipc://%s/s", dir);
  serve_over(url);
  assert_int_equal(rmdir(dir), 0); /* nng has removed its socket */
}

static void a_pair_socket_serves_our_client_over_tcp(void **state) {
  (void)state;
  serve_over("tcp://127.0.0.1:0");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_pair_socket_calls_our_server_over_ipc),
      cmocka_unit_test(a_pair_socket_calls_our_server_over_tcp),
      cmocka_unit_test(a_pair_socket_serves_our_client_over_ipc),
      cmocka_unit_test(a_pair_socket_serves_our_client_over_tcp),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
