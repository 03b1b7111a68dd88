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

static void call_over(const char *listen_url) {
  struct echo_stats stats = {0};
  tether_server *server;
  char url[128];
  assert_int_equal(tether_server_open(NULL, &server), TETHER_OK);
  assert_int_equal(echo_server_add(server, &stats), TETHER_OK);
  assert_int_equal(tether_server_listen(server, listen_url), TETHER_OK);
  snprintf(url, sizeof url, "%s", listen_url);
  if (tether_server_port(server)) snprintf(url, sizeof url, "tcp://127.0.0.1:%d", tether_server_port(server));

  nng_socket socket = pair_socket();
  assert_int_equal(nng_dial(socket, url, NULL, 0), 0);
  struct batch b = {.len = 0};
  size_t len = 0;
  add_hello(&b, 0);
  add_call(&b, 1, "/testing.v1.Echo/Quick", 10 * TETHER_SEC, "pair");
  add_call(&b, 2, "/testing.v1.Echo/Pooled", TETHER_FOREVER, "pair");
  send_batch(socket, &b);
  assert_non_null(expect_frame(socket, TTH_HELLO, 0, &len));
  const uint8_t *payload = expect_frame(socket, TTH_MESSAGE, 1, &len);
  assert_non_null(payload);
  Testing__V1__Reply *reply = testing__v1__reply__unpack(NULL, len, payload);
  assert_non_null(reply);
  assert_string_equal(reply->text, "hello pair");
  assert_true(reply->remaining_ns > 0);
  testing__v1__reply__free_unpacked(reply, NULL);

  /* Expired on arrival: answered, and no handler runs. */
  int started = 2;
  assert_true(rpc_wait_for(&stats.started, started));
  b.len = 0;
  add_call(&b, 3, "/testing.v1.Echo/Quick", 0, "late");
  send_batch(socket, &b);
  Tether__V1__Trailers *trailers = trailers_of(socket, 3);
  assert_int_equal(trailers->code, TETHER_DEADLINE_EXCEEDED);
  tether__v1__trailers__free_unpacked(trailers, NULL);
  assert_int_equal(atomic_load(&stats.started), started);

  /* CANCEL with a cause: the handler sees it, and is answered when it has stopped. */
  Tether__V1__Cause cause = TETHER__V1__CAUSE__INIT;
  Tether__V1__Cancel cancel = TETHER__V1__CANCEL__INIT;
  cause.code = TETHER_CAUSE_HEDGE_LOST;
  cancel.cause = &cause;
  b.len = 0;
  add_call(&b, 4, "/testing.v1.Echo/Hang", TETHER_FOREVER, "");
  send_batch(socket, &b);
  assert_true(rpc_wait_for(&stats.hanging, 1));
  b.len = 0;
  add_frame(&b, TTH_CANCEL, 0, 4, &cancel.base);
  send_batch(socket, &b);
  trailers = trailers_of(socket, 4);
  assert_int_equal(trailers->code, TETHER_CANCELLED);
  assert_int_equal(trailers->cause->code, TETHER_CAUSE_HEDGE_LOST);
  tether__v1__trailers__free_unpacked(trailers, NULL);
  assert_int_equal(atomic_load(&stats.ended[TETHER_CAUSE_HEDGE_LOST]), 1);

  /* CANCEL before its HEADERS: the handler never runs. */
  b.len = 0;
  add_frame(&b, TTH_CANCEL, 0, 5, &cancel.base);
  add_call(&b, 5, "/testing.v1.Echo/Quick", TETHER_FOREVER, "");
  send_batch(socket, &b);
  trailers = trailers_of(socket, 5);
  assert_int_equal(trailers->code, TETHER_CANCELLED);
  tether__v1__trailers__free_unpacked(trailers, NULL);
  assert_int_equal(atomic_load(&stats.started), started + 1);

  /* The socket closes: the handler sees peer_lost. */
  b.len = 0;
  add_call(&b, 6, "/testing.v1.Echo/Hang", TETHER_FOREVER, "");
  send_batch(socket, &b);
  assert_true(rpc_wait_for(&stats.hanging, 1));
  nng_close(socket);
  assert_true(rpc_wait_for(&stats.ended[TETHER_CAUSE_PEER_LOST], 1));
  tether_server_close(server);
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

static void serve_over(const char *listen_url) {
  nng_socket socket = pair_socket();
  nng_listener listener;
  assert_int_equal(nng_listen(socket, listen_url, &listener, 0), 0);
  char *url;
  assert_int_equal(nng_listener_get_string(listener, NNG_OPT_URL, &url), 0);
  tether_client *client;
  assert_int_equal(tether_client_open(url, NULL, &client), TETHER_OK);
  nng_strfree(url);

  struct batch b = {.len = 0};
  size_t len = 0;
  assert_non_null(expect_frame(socket, TTH_HELLO, 0, &len));
  add_hello(&b, 100);
  send_batch(socket, &b);

  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.name = (char *)"to a pair";
  TETHER_SCOPED_CALL tether_call *good = testing_v1_echo_client_quick_start(client, ctx, &request, NULL, NULL, NULL);
  const uint8_t *payload = expect_frame(socket, TTH_HEADERS, 1, &len);
  assert_non_null(payload);
  Tether__V1__Headers *headers = tether__v1__headers__unpack(NULL, len, payload);
  assert_non_null(headers);
  assert_string_equal(headers->method, "/testing.v1.Echo/Quick");
  assert_true(headers->has_timeout_ns && headers->timeout_ns > 0 && headers->timeout_ns <= RPC_TEST_BOUND_NS);
  tether__v1__headers__free_unpacked(headers, NULL);
  payload = expect_frame(socket, TTH_MESSAGE, 1, &len);
  assert_non_null(payload);
  Testing__V1__Request *seen = testing__v1__request__unpack(NULL, len, payload);
  assert_non_null(seen);
  assert_string_equal(seen->name, "to a pair");
  testing__v1__request__free_unpacked(seen, NULL);
  answer(socket, 1, "from a pair", TETHER_OK);
  tether_call_wait(good);
  rpc_assert_code(good, TETHER_OK);
  assert_string_equal(testing_v1_echo_quick_reply(good)->text, "from a pair");

  /* OK without a reply is never a NULL reply. */
  TETHER_SCOPED_CALL tether_call *empty = testing_v1_echo_client_quick_start(client, ctx, &request, NULL, NULL, NULL);
  assert_non_null(expect_frame(socket, TTH_MESSAGE, 2, &len));
  b.len = 0;
  Tether__V1__Trailers trailers = TETHER__V1__TRAILERS__INIT;
  add_frame(&b, TTH_TRAILERS, 0, 2, &trailers.base);
  send_batch(socket, &b);
  tether_call_wait(empty);
  rpc_assert_code(empty, TETHER_INTERNAL);

  /* An unknown status number becomes UNKNOWN. */
  TETHER_SCOPED_CALL tether_call *odd = testing_v1_echo_client_quick_start(client, ctx, &request, NULL, NULL, NULL);
  assert_non_null(expect_frame(socket, TTH_MESSAGE, 3, &len));
  answer(socket, 3, "", (tether_code)77);
  tether_call_wait(odd);
  rpc_assert_code(odd, TETHER_UNKNOWN);

  /* A reply that does not parse is INTERNAL, and costs only its call. */
  TETHER_SCOPED_CALL tether_call *garbled = testing_v1_echo_client_quick_start(client, ctx, &request, NULL, NULL, NULL);
  assert_non_null(expect_frame(socket, TTH_MESSAGE, 4, &len));
  b.len = TTH_FRAME_HEADER + 3;
  tth_frame_put(b.bytes, 3, TTH_MESSAGE, TTH_FLAG_END, 4);
  memcpy(b.bytes + TTH_FRAME_HEADER, "\xff\xff\xff", 3);
  send_batch(socket, &b);
  tether_call_wait(garbled);
  rpc_assert_code(garbled, TETHER_INTERNAL);
  assert_non_null(expect_frame(socket, TTH_CANCEL, 4, &len)); /* the server is told that it need not go on */

  /* A cancel arrives with its cause. */
  TETHER_SCOPED_CALL tether_call *cancelled =
      testing_v1_echo_client_quick_start(client, ctx, &request, NULL, NULL, NULL);
  assert_non_null(expect_frame(socket, TTH_MESSAGE, 5, &len));
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_SIBLING, "here", "enough");
  tether_call_cancel(cancelled, cause);
  tether_cause_unref(cause);
  rpc_assert_code(cancelled, TETHER_CANCELLED);
  payload = expect_frame(socket, TTH_CANCEL, 5, &len);
  assert_non_null(payload);
  Tether__V1__Cancel *cancel = tether__v1__cancel__unpack(NULL, len, payload);
  assert_non_null(cancel);
  assert_int_equal(cancel->cause->code, TETHER_CAUSE_SIBLING);
  assert_string_equal(cancel->cause->origin, "here");
  tether__v1__cancel__free_unpacked(cancel, NULL);

  /* The socket goes away in the middle of a call. */
  TETHER_SCOPED_CALL tether_call *lost = testing_v1_echo_client_quick_start(client, ctx, &request, NULL, NULL, NULL);
  assert_non_null(expect_frame(socket, TTH_MESSAGE, 6, &len));
  nng_close(socket);
  tether_call_wait(lost);
  rpc_assert_code(lost, TETHER_UNAVAILABLE);
  assert_int_equal(tether_cause_get_code(tether_call_cause(lost)), TETHER_CAUSE_PEER_LOST);
  tether_client_close(client);
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
