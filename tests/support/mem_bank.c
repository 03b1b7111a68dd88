#include "tests/support/mem_bank.h"

#include "tests/support/ctx_sim.h"
#include "tests/support/rpc_test.h"

tst_bank tst_bank_now;

static tst_bank *const bank = &tst_bank_now;

static void deliver(tst_mem_net *net) { tst_link_mem_advance(net, tether_now_ns()); }

int tst_bank_setup(void **state) {
  if (ctx_sim_setup(state) != 0) return -1;
  *bank = (tst_bank){.net = tst_mem_net_new(true), .streams = 8, .transport = &tst_transport_mem, .deliver = deliver};
  tst_mem_net_use(bank->net);
  tst_link_mem_advance(bank->net, tether_now_ns());
  return 0;
}

int tst_bank_teardown(void **state) {
  for (int i = 0; i < TST_BANK_MOST; i++) tst_bank_down(i);
  tst_mem_net_free(bank->net);
  return ctx_sim_teardown(state);
}

tether_client *tst_bank_client(const char *target, const tether_client_options *given) {
  tether_client *client;
  tether_client_options options = given ? *given : (tether_client_options){0};
  if (options.idle_timeout_ns == 0) options.idle_timeout_ns = TETHER_FOREVER;
  assert_int_equal(tth_client_open_on(bank->transport, target, &options, &client), TETHER_OK);
  return client;
}

static const char *url_of(int at) {
  static char url[] = "mem://a";
  url[6] = (char)('a' + at);
  return url;
}

void tst_bank_up(int at) {
  assert_false(bank->up[at]);
  assert_true(tst_mem_peer_listen(&bank->peers[at], bank->net, url_of(at)));
  bank->up[at] = true;
}

void tst_bank_down(int at) {
  if (bank->up[at]) tst_mem_peer_fini(&bank->peers[at]);
  bank->up[at] = false;
  tst_bank_pump();
}

void tst_bank_close(tether_client *client) {
  for (int i = 0; i < TST_BANK_MOST; i++) tst_bank_down(i);
  tether_client_close(client);
}

static void say(int at, tst_frames *frames) {
  tst_mem_peer_say_frames(&bank->peers[at], frames);
  tst_frames_fini(frames);
}

void tst_bank_hello(int at) {
  tst_frames frames = {0};
  assert_true(tst_bank_is_connected(at));
  tst_frames_hello(&frames, bank->streams);
  say(at, &frames);
}

void tst_bank_serve(int at) {
  tst_bank_up(at);
  tst_bank_pump();
  for (int i = 0; i < 200 && !tst_bank_is_connected(at); i++) tst_bank_move(TETHER_SEC);
  tst_bank_hello(at);
}

void tst_bank_goaway(int at, uint32_t last_stream) {
  tst_frames frames = {0};
  Tether__V1__Goaway goaway = TETHER__V1__GOAWAY__INIT;
  goaway.last_stream = last_stream;
  tst_frames_add(&frames, TTH_GOAWAY, 0, 0, &goaway.base);
  say(at, &frames);
}

void tst_bank_trailers(int at, uint32_t stream, uint32_t code) {
  tst_frames frames = {0};
  tst_frames_trailers(&frames, stream, code);
  say(at, &frames);
}

void tst_bank_refuse(int at, uint32_t stream) {
  tst_frames frames = {0};
  Tether__V1__Trailers trailers = TETHER__V1__TRAILERS__INIT;
  trailers.code = TETHER_UNAVAILABLE;
  trailers.has_unaccepted = trailers.unaccepted = true;
  tst_frames_add(&frames, TTH_TRAILERS, 0, stream, &trailers.base);
  say(at, &frames);
}

void tst_bank_streams(uint32_t most) { bank->streams = most; }

int tst_bank_calls(int at) {
  const tst_mem_peer *peer = &bank->peers[at];
  size_t pos = 0;
  int count = 0;
  tth_frame frame;
  while (pos < peer->heard.len && tth_frame_get(peer->heard.bytes + pos, peer->heard.len - pos, &frame)) {
    pos += TTH_FRAME_HEADER + frame.length;
    count += frame.type == TTH_HEADERS;
  }
  return count;
}

bool tst_bank_is_connected(int at) { return bank->up[at] && bank->peers[at].link && !bank->peers[at].closed; }

void tst_bank_pump(void) { bank->deliver(bank->net); }

void tst_bank_move(int64_t ns) {
  (void)ctx_sim_advance(ns);
  tst_bank_pump();
}

tether_call *tst_bank_call(tether_client *client, bool wait_for_ready) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  const tether_call_options options = {.wait_for_ready = wait_for_ready};
  tether_call *call =
      testing_v1_echo_client_quick_start(client, tether_ctx_background(), &request, &options, NULL, NULL);
  tst_bank_pump();
  return call;
}
