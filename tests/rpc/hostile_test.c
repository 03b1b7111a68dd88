/* Peers that say anything: random bytes, random frames, every beginning and every one-byte change of a good
 * conversation, towards a server and towards a client. Nothing crashes or hangs, every call ends, and a good peer is
 * served afterwards. In memory and on one thread, so that what fails does so again. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rpc/client.h"
#include "rpc/server.h"
#include "tests/support/ctx_test.h"
#include "tests/support/mem_peer.h"
#include "tests/support/rpc_test.h"

static tst_mem_net *net;
static int saved_stderr;

/* Every broken connection writes a line; there are a hundred thousand of them here. */
static int setup(void **state) {
  (void)state;
  saved_stderr = dup(STDERR_FILENO);
  int null = open("/dev/null", O_WRONLY);
  if (saved_stderr < 0 || null < 0 || dup2(null, STDERR_FILENO) < 0) return -1;
  close(null);
  net = tst_mem_net_new(true);
  tst_mem_net_use(net);
  return net ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  tst_mem_net_free(net);
  dup2(saved_stderr, STDERR_FILENO);
  close(saved_stderr);
  return 0;
}

static uint64_t seed;
static uint32_t below(uint32_t n) {
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)((seed >> 33) % n);
}

/* ---- Conversations ------------------------------------------------------------------------- */

#define QUICK "/testing.v1.Echo/Quick"

/* What a good client says: a call, one in slices and its window, one cancelled before it came, a PING. */
static tst_frames requests(void) {
  tst_frames frames = {0};
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.name = (char *)"you";
  tst_frames_hello(&frames, 0);
  tst_frames_headers(&frames, 1, QUICK, 10 * TETHER_SEC);
  tst_frames_add(&frames, TTH_MESSAGE, TTH_FLAG_END, 1, &request.base);
  tst_frames_headers(&frames, 2, QUICK, TETHER_FOREVER);
  tst_frames_raw(&frames, TTH_MESSAGE, TTH_FLAG_FIRST | TTH_FLAG_MORE, 2, "\0\0\0\5\x0a\x03s", 7);
  tst_frames_raw(&frames, TTH_WINDOW, 0, 2, "\x08\x80\x20", 3);
  tst_frames_raw(&frames, TTH_MESSAGE, TTH_FLAG_END, 2, "he", 2);
  tst_frames_cancel(&frames, 3, TETHER_CAUSE_CALLER);
  tst_frames_headers(&frames, 3, QUICK, TETHER_FOREVER);
  tst_frames_raw(&frames, TTH_PING, 0, 0, "12345678901234567890123456789012", 32);
  return frames;
}

/* What a good server says, HELLO included: metadata, a reply in slices, a status. */
static tst_frames replies(void) {
  tst_frames frames = {0};
  Tether__V1__Headers headers = TETHER__V1__HEADERS__INIT;
  Tether__V1__Entry entry = TETHER__V1__ENTRY__INIT, *entries[] = {&entry};
  Tether__V1__Trailers trailers = TETHER__V1__TRAILERS__INIT;
  entry.key = (char *)"k";
  entry.value = (ProtobufCBinaryData){.data = (uint8_t *)"v", .len = 1};
  headers.n_metadata = trailers.n_metadata = 1;
  headers.metadata = trailers.metadata = entries;
  tst_frames_hello(&frames, 8);
  tst_frames_add(&frames, TTH_HEADERS, 0, 1, &headers.base);
  tst_frames_raw(&frames, TTH_MESSAGE, TTH_FLAG_FIRST | TTH_FLAG_MORE, 1, "\0\0\0\5\x0a\x03s", 7);
  tst_frames_raw(&frames, TTH_WINDOW, 0, 1, "\x08\x80\x20", 3);
  tst_frames_raw(&frames, TTH_MESSAGE, TTH_FLAG_END, 1, "he", 2);
  tst_frames_add(&frames, TTH_TRAILERS, 0, 1, &trailers.base);
  tst_frames_raw(&frames, TTH_GOAWAY, 0, 0, "\x08\x01", 2);
  return frames;
}

/* ---- A server and a hostile client --------------------------------------------------------- */

struct victim {
  tether_server *server;
  struct echo_stats stats;
};

static void victim_open(struct victim *v) {
  *v = (struct victim){0};
  assert_int_equal(tth_server_open_on(&tst_transport_mem, NULL, &v->server), TETHER_OK);
  assert_int_equal(echo_server_add(v->server, &v->stats), TETHER_OK);
  assert_int_equal(tether_server_listen(v->server, "mem://s"), TETHER_OK);
}

/* Says the batch on a connection of its own. Afterwards no call is left. */
static void say_to_server(const struct victim *v, const uint8_t *batch, size_t len) {
  tst_mem_peer peer;
  assert_true(tst_mem_peer_dial(&peer, net, "mem://s"));
  tst_mem_peer_say(&peer, batch, len);
  tst_mem_peer_fini(&peer);
  assert_int_equal(tth_server_calls(v->server), 0);
}

static void assert_server_serves(const struct victim *v) {
  tst_mem_peer peer;
  tst_frames frames = requests();
  assert_true(tst_mem_peer_dial(&peer, net, "mem://s"));
  tst_mem_peer_say_frames(&peer, &frames);
  assert_int_equal(tst_mem_peer_code(&peer, 1), TETHER_OK);
  assert_int_equal(tst_mem_peer_code(&peer, 2), TETHER_OK);
  assert_int_equal(tst_mem_peer_code(&peer, 3), TETHER_CANCELLED);
  assert_false(peer.closed);
  tst_mem_peer_fini(&peer);
  tst_frames_fini(&frames);
  assert_int_equal(tth_server_calls(v->server), 0);
}

/* ---- A client and a hostile server --------------------------------------------------------- */

static void count_end(tether_call *call, void *data) {
  (void)call;
  ++*(int *)data;
}

/* A client whose server says the batch once the call has been made (the HELLO, which lets the call leave, a step
 * earlier if `greeted`). The call ends once, at the latest with the connection. Returns its code. */
static tether_code say_to_client(const uint8_t *batch, size_t len, size_t greeting) {
  tst_mem_peer peer;
  tether_client *client;
  int ends = 0;
  assert_true(tst_mem_peer_listen(&peer, net, "mem://c"));
  assert_int_equal(tth_client_open_on(&tst_transport_mem, "mem://c", NULL, &client), TETHER_OK);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_call *call =
      testing_v1_echo_client_quick_start(client, tether_ctx_background(), &request, NULL, count_end, &ends);
  tst_link_mem_pump(net);
  if (greeting > len) greeting = len;
  tst_mem_peer_say(&peer, batch, greeting);
  tst_mem_peer_say(&peer, batch + greeting, len - greeting);
  tst_mem_peer_fini(&peer);
  if (ends == 0) tether_call_cancel(call, NULL); /* it never left, and waits for the next connection */
  assert_int_equal(ends, 1);
  tether_code code = tether_call_code(call);
  tether_call_unref(call);
  tether_client_close(client);
  return code;
}

static size_t hello_len(const tst_frames *frames) { return TTH_FRAME_HEADER + tth_get32(frames->bytes); }

static void assert_client_works(void) {
  tst_frames frames = replies();
  assert_int_equal(say_to_client(frames.bytes, frames.len, hello_len(&frames)), TETHER_OK);
  tst_frames_fini(&frames);
}

/* ---- What they say ------------------------------------------------------------------------- */

static void every_beginning_of_a_conversation_may_be_its_end(void **state) {
  (void)state;
  struct victim v;
  victim_open(&v);
  tst_frames good = requests(), answers = replies();
  for (size_t len = 0; len <= good.len; len++) say_to_server(&v, good.bytes, len);
  assert_server_serves(&v);
  for (size_t len = 0; len <= answers.len; len++) say_to_client(answers.bytes, len, hello_len(&answers));
  assert_client_works();
  tst_frames_fini(&good);
  tst_frames_fini(&answers);
  tether_server_close(v.server);
}

#if defined(CTX_TEST_SANITIZED)
#define MUTATIONS 9 /* each bit, and all of them */
static uint8_t mutation(unsigned i) { return (uint8_t)(i < 8 ? 1u << i : 0xff); }
#else
#define MUTATIONS 255
static uint8_t mutation(unsigned i) { return (uint8_t)(i + 1); }
#endif

static void every_one_byte_change_of_a_conversation_is_survived_by_a_server(void **state) {
  (void)state;
  struct victim v;
  victim_open(&v);
  tst_frames good = requests();
  for (size_t at = 0; at < good.len; at++) {
    for (unsigned i = 0; i < MUTATIONS; i++) {
      good.bytes[at] ^= mutation(i);
      say_to_server(&v, good.bytes, good.len);
      good.bytes[at] ^= mutation(i);
    }
    assert_server_serves(&v);
  }
  tst_frames_fini(&good);
  tether_server_close(v.server);
}

static void every_one_byte_change_of_a_conversation_is_survived_by_a_client(void **state) {
  (void)state;
  tst_frames good = replies();
  size_t greeting = hello_len(&good);
  for (size_t at = 0; at < good.len; at++) {
    for (unsigned i = 0; i < MUTATIONS; i++) {
      good.bytes[at] ^= mutation(i);
      say_to_client(good.bytes, good.len, greeting);
      good.bytes[at] ^= mutation(i);
    }
    assert_client_works();
  }
  tst_frames_fini(&good);
}

static void random_bytes_are_survived(void **state) {
  (void)state;
  struct victim v;
  victim_open(&v);
  static uint8_t batch[4096];
  seed = 1;
  for (int round = 0; round < CTX_TEST_ROUNDS(4000); round++) {
    size_t len = 1 + below(sizeof batch);
    for (size_t i = 0; i < len; i++) batch[i] = (uint8_t)below(256);
    say_to_server(&v, batch, len);
    say_to_client(batch, len, below(2) ? 0 : len / 2);
  }
  assert_server_serves(&v);
  assert_client_works();
  tether_server_close(v.server);
}

/* Whole frames of known and unknown types with contents that are nearly right. */
static void random_frame(tst_frames *frames, const tst_frames *good) {
  uint8_t payload[64];
  size_t at = 0, len = below(sizeof payload);
  tth_frame piece = {0};
  for (uint32_t skip = below(10) + 1; skip > 0 && at < good->len; skip--) {
    assert_true(tth_frame_get(good->bytes + at, good->len - at, &piece));
    at += TTH_FRAME_HEADER + piece.length;
  }
  if (below(3)) { /* a good frame's payload */
    len = piece.length < sizeof payload ? piece.length : sizeof payload;
    memcpy(payload, piece.payload, len);
  } else {
    for (size_t i = 0; i < len; i++) payload[i] = (uint8_t)below(256);
  }
  tth_frame_type type = below(4) ? (tth_frame_type)piece.type : (tth_frame_type)below(12);
  tst_frames_raw(frames, type, (uint8_t)below(16), below(6), payload, len);
}

static void random_frames_are_survived(void **state) {
  (void)state;
  struct victim v;
  victim_open(&v);
  tst_frames good = requests(), answers = replies(), frames = {0};
  seed = 2;
  for (int round = 0; round < CTX_TEST_ROUNDS(20000); round++) {
    frames.len = 0;
    tst_frames_hello(&frames, 8);
    size_t greeting = frames.len;
    for (uint32_t n = below(12); n > 0; n--) random_frame(&frames, round % 2 ? &answers : &good);
    if (round % 2)
      say_to_client(frames.bytes, frames.len, greeting);
    else
      say_to_server(&v, frames.bytes, frames.len);
  }
  assert_server_serves(&v);
  assert_client_works();
  tst_frames_fini(&good);
  tst_frames_fini(&answers);
  tst_frames_fini(&frames);
  tether_server_close(v.server);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(every_beginning_of_a_conversation_may_be_its_end),
      CASE(every_one_byte_change_of_a_conversation_is_survived_by_a_server),
      CASE(every_one_byte_change_of_a_conversation_is_survived_by_a_client),
      CASE(random_bytes_are_survived),
      CASE(random_frames_are_survived),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
