/* Messages made to exhaust a process, sent to a server and to a client by a plain nng pair socket: they are refused by
 * status, take no memory to speak of, and the connection goes on. */
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/rpc/wire.h"
#include "tests/support/ctx_test.h"
#include "tests/support/frames.h"
#include "tests/support/raw_peer.h"
#include "tests/support/rpc_test.h"
#include "untrusted.pb-c.h"

#define MIB ((size_t)1024 * 1024)
#define SLICE ((size_t)16 * 1024)

/* What one attack may leave behind: a call, the bytes received, and what malloc keeps of both. */
#define GROWTH_KIB (32 * 1024)

static atomic_int handled;

static tether_code note(const tether_ctx *ctx, tether_call *call, const ProtobufCMessage *request,
                        ProtobufCMessage *reply, const void *service, void *data) {
  (void)ctx, (void)call, (void)request, (void)reply, (void)service, (void)data;
  atomic_fetch_add(&handled, 1);
  return TETHER_OK;
}

static const tether_method methods[] = {
    {.path = "/untrusted.v1.Tree/Take",
     .request = &untrusted__v1__node__descriptor,
     .reply = &untrusted__v1__empty__descriptor},
    {.path = "/untrusted.v1.Outer/Take",
     .request = &untrusted__v1__outer__descriptor,
     .reply = &untrusted__v1__empty__descriptor,
     .flags = TETHER_METHOD_INLINE},
    {.path = "/untrusted.v1.Tree/Give",
     .request = &untrusted__v1__empty__descriptor,
     .reply = &untrusted__v1__node__descriptor},
    {.path = "/untrusted.v1.Outer/Give",
     .request = &untrusted__v1__empty__descriptor,
     .reply = &untrusted__v1__outer__descriptor},
};
static const tether_served_method served[] = {{&methods[0], note}, {&methods[1], note}};

/* ---- The attacks --------------------------------------------------------------------------- */

static wire repeat(const char *piece, size_t len, size_t size) {
  wire w = {0};
  while (w.len + len <= size) wire_raw(&w, piece, len);
  return w;
}

/* A length is not known before what it counts, so the message is built backwards. */
static wire nested(int depth) {
  enum { SIZE = 64 * 1024 };
  uint8_t *back = malloc(SIZE);
  size_t at = SIZE;
  for (int i = 0; i < depth; i++) {
    wire head = {0};
    wire_tag(&head, 1, 2);
    wire_varint(&head, SIZE - at);
    at -= head.len;
    memcpy(back + at, head.bytes, head.len);
    wire_fini(&head);
  }
  wire w = {0};
  wire_raw(&w, back + at, SIZE - at);
  free(back);
  return w;
}

static wire nested_9000_deep(void) { return nested(9000); }
static wire empty_messages_of_4_mib(void) { return repeat("\x12\x00", 2, 4 * MIB); }
static wire merges_of_1600_kb(void) { return repeat("\x0a\x02\x08\x01", 4, 1600000); }
static wire nested_99_deep(void) { return nested(99); }

static const struct attack {
  wire (*make)(void);
  int method; /* of the request; the reply's is two on */
  tether_code code;
} attacks[] = {
    {nested_9000_deep, 0, TETHER_INTERNAL},
    {empty_messages_of_4_mib, 0, TETHER_RESOURCE_EXHAUSTED},
    {merges_of_1600_kb, 1, TETHER_INTERNAL},
};
#define ATTACKS (sizeof attacks / sizeof *attacks)

/* ---- Memory and the socket ----------------------------------------------------------------- */

/* Resident memory now; a sanitizer's own is not told apart, so there it says 0. */
static size_t resident_kib(void) {
#if defined(CTX_TEST_SANITIZED)
  return 0;
#else
  unsigned long size = 0, resident = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (!file || fscanf(file, "%lu %lu", &size, &resident) != 2) abort();
  fclose(file);
  return resident * (size_t)sysconf(_SC_PAGESIZE) / 1024;
#endif
}

static void assert_grown_little(size_t before_kib) {
  size_t now_kib = resident_kib();
  if (now_kib > before_kib + GROWTH_KIB) fail_msg("resident memory grew by %zu KiB", now_kib - before_kib);
}

static nng_socket pair_socket(void) {
  nng_socket socket;
  assert_int_equal(nng_pair0_open(&socket), 0);
  assert_int_equal(nng_socket_set_ms(socket, NNG_OPT_RECVTIMEO, 30000), 0);
  assert_int_equal(nng_socket_set_ms(socket, NNG_OPT_SENDTIMEO, 30000), 0);
  return socket;
}

static void send_frames(nng_socket socket, tst_frames *frames) {
  assert_int_equal(nng_send(socket, frames->bytes, frames->len, 0), 0);
  frames->len = 0;
}

/* Sends a message of any length in slices, several to a batch. */
static void send_message(nng_socket socket, tst_frames *frames, uint32_t stream, const wire *message) {
  uint8_t *first = malloc(SLICE + 4);
  size_t sent = 0;
  if (message->len <= SLICE) tst_frames_raw(frames, TTH_MESSAGE, TTH_FLAG_END, stream, message->bytes, message->len);
  while (message->len > SLICE && sent < message->len) {
    size_t left = message->len - sent, len = left < SLICE ? left : SLICE;
    uint8_t flags = (uint8_t)(len == left ? TTH_FLAG_END : TTH_FLAG_MORE);
    if (sent == 0) {
      tth_put32(first, (uint32_t)message->len);
      memcpy(first + 4, message->bytes, len);
      tst_frames_raw(frames, TTH_MESSAGE, TTH_FLAG_FIRST | flags, stream, first, len + 4);
    } else {
      tst_frames_raw(frames, TTH_MESSAGE, flags, stream, message->bytes + sent, len);
    }
    sent += len;
    if (frames->len > 200000) send_frames(socket, frames);
  }
  if (frames->len) send_frames(socket, frames);
  free(first);
}

/* Receives until a frame of this type comes for the stream. */
static tth_frame receive(nng_socket socket, tth_frame_type type, uint32_t stream) {
  static uint8_t batch[1 << 20];
  static size_t len, at;
  tth_frame frame = {0};
  while (!tst_frames_find(batch, len, &at, type, stream, &frame)) {
    len = sizeof batch;
    at = 0;
    assert_int_equal(nng_recv(socket, batch, &len, 0), 0);
  }
  return frame;
}

/* The attackers here do not wait for windows. */
static const tether_limits wide = {.stream_window_bytes = 8 * MIB};

/* ---- At a server --------------------------------------------------------------------------- */

static void expect_answer(nng_socket socket, uint32_t stream, const tether_method *method, wire message, int code) {
  tst_frames frames = {0};
  tst_frames_headers(&frames, stream, method->path, TETHER_FOREVER);
  send_message(socket, &frames, stream, &message);
  tth_frame trailers = receive(socket, TTH_TRAILERS, stream);
  assert_int_equal(tst_trailers_code(&trailers), code);
  tst_frames_fini(&frames);
  wire_fini(&message);
}

static void a_server_refuses_the_attacks_and_serves_the_same_connection(void **state) {
  (void)state;
  tether_server *server;
  char url[64];
  atomic_store(&handled, 0);
  assert_int_equal(tether_server_open(&(tether_server_options){.limits = wide}, &server), TETHER_OK);
  assert_int_equal(tether_server_add(server, served, 2, NULL, NULL), TETHER_OK);
  assert_int_equal(tether_server_listen(server, "tcp://127.0.0.1:0"), TETHER_OK);
  snprintf(url, sizeof url, "tcp://127.0.0.1:%u", tether_server_port(server));
  nng_socket socket = pair_socket();
  assert_int_equal(nng_dial(socket, url, NULL, 0), 0);
  tst_frames frames = {0};
  tst_frames_hello(&frames, 0);
  send_frames(socket, &frames);
  expect_answer(socket, 1, &methods[0], nested_99_deep(), TETHER_OK);
  int good = 1;
  size_t before_kib = resident_kib();
  uint32_t stream = 2;
  for (int round = 0; round < 3; round++) {
    for (size_t i = 0; i < ATTACKS; i++) {
      expect_answer(socket, stream++, &methods[attacks[i].method], attacks[i].make(), (int)attacks[i].code);
      assert_int_equal(atomic_load(&handled), good);
      expect_answer(socket, stream++, &methods[attacks[i].method], (wire){0}, TETHER_OK);
      assert_int_equal(atomic_load(&handled), ++good);
    }
  }
  assert_grown_little(before_kib);
  tst_frames_fini(&frames);
  nng_close(socket);
  tether_server_close(server);
}

/* ---- At a client --------------------------------------------------------------------------- */

static void expect_call(nng_socket socket, tether_client *client, uint32_t stream, const tether_method *method,
                        wire message, tether_code code) {
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  Untrusted__V1__Empty request = UNTRUSTED__V1__EMPTY__INIT;
  TETHER_SCOPED_CALL tether_call *call = tether_call_start(client, ctx, method, &request.base, NULL, NULL, NULL);
  (void)receive(socket, TTH_MESSAGE, stream);
  tst_frames frames = {0};
  send_message(socket, &frames, stream, &message);
  tst_frames_trailers(&frames, stream, TETHER_OK);
  send_frames(socket, &frames);
  tether_call_wait(call);
  rpc_assert_code(call, code);
  assert_true((tether_call_reply(call) != NULL) == (code == TETHER_OK));
  tst_frames_fini(&frames);
  wire_fini(&message);
}

static void a_client_refuses_the_attacks_as_replies_and_uses_the_same_connection(void **state) {
  (void)state;
  nng_socket socket = pair_socket();
  nng_listener listener;
  char *url;
  tether_client *client;
  assert_int_equal(nng_listen(socket, "tcp://127.0.0.1:0", &listener, 0), 0);
  assert_int_equal(nng_listener_get_string(listener, NNG_OPT_URL, &url), 0);
  assert_int_equal(tether_client_open(url, &(tether_client_options){.limits = wide}, &client), TETHER_OK);
  nng_strfree(url);
  tst_frames frames = {0};
  tst_frames_hello(&frames, 10);
  (void)receive(socket, TTH_HELLO, 0);
  send_frames(socket, &frames);
  uint32_t stream = 1;
  expect_call(socket, client, stream++, &methods[2], nested_99_deep(), TETHER_OK);
  size_t before_kib = resident_kib();
  for (int round = 0; round < 3; round++) {
    for (size_t i = 0; i < ATTACKS; i++) {
      const tether_method *method = &methods[attacks[i].method + 2];
      expect_call(socket, client, stream++, method, attacks[i].make(), attacks[i].code);
      expect_call(socket, client, stream++, method, (wire){0}, TETHER_OK);
    }
  }
  assert_grown_little(before_kib);
  tst_frames_fini(&frames);
  tether_client_close(client);
  nng_close(socket);
}

/* ---- Through our own client ---------------------------------------------------------------- */

static void break_a_connection(uint16_t port) {
  int fd = raw_connect_tcp(port);
  assert_true(fd >= 0 && raw_greet(fd) && raw_write(fd, "\0\0\0\0\0\0\0\13not a frame", 19));
  assert_true(raw_is_closed(fd));
  close(fd);
}

static void an_attack_does_not_touch_calls_of_another_connection(void **state) {
  (void)state;
  struct echo_stats stats = {0};
  tether_server *server;
  tether_client *bystander;
  char url[64];
  assert_int_equal(tether_server_open(NULL, &server), TETHER_OK);
  assert_int_equal(echo_server_add(server, &stats), TETHER_OK);
  assert_int_equal(tether_server_add(server, served, 2, NULL, NULL), TETHER_OK);
  assert_int_equal(tether_server_listen(server, "tcp://127.0.0.1:0"), TETHER_OK);
  snprintf(url, sizeof url, "tcp://127.0.0.1:%u", tether_server_port(server));
  assert_int_equal(tether_client_open(url, NULL, &bystander), TETHER_OK);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *hanging =
      testing_v1_echo_client_hang_start(bystander, ctx, &request, NULL, NULL, NULL);
  assert_true(rpc_wait_for(&stats.hanging, 1));
  for (int i = 0; i < 10; i++) {
    nng_socket socket = pair_socket();
    assert_int_equal(nng_dial(socket, url, NULL, 0), 0);
    tst_frames frames = {0};
    tst_frames_hello(&frames, 0);
    send_frames(socket, &frames);
    expect_answer(socket, 1, &methods[attacks[0].method], attacks[0].make(), (int)attacks[0].code);
    break_a_connection(tether_server_port(server));
    TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(bystander, ctx, &request, NULL);
    rpc_assert_code(call, TETHER_OK);
    tst_frames_fini(&frames);
    nng_close(socket);
  }
  assert_int_equal(atomic_load(&stats.hanging), 1);
  tether_call_cancel(hanging, NULL);
  assert_int_equal(tether_call_wait(hanging), TETHER_CANCELLED);
  tether_client_close(bystander);
  tether_server_close(server);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_server_refuses_the_attacks_and_serves_the_same_connection),
      cmocka_unit_test(a_client_refuses_the_attacks_as_replies_and_uses_the_same_connection),
      cmocka_unit_test(an_attack_does_not_touch_calls_of_another_connection),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  nng_fini(); /* else its sockets are still being taken apart when the process ends */
  return failed;
}
