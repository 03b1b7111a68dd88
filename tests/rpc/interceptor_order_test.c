/* A unary call's messages come before its end for interceptors, also when the end comes between the two. In virtual
 * time, with peers at the level of frames. */
#include <string.h>
#include <tether/interceptor.h>

#include "rpc/server.h"
#include "tests/support/mem_bank.h"
#include "tests/support/rpc_test.h"

/* What one interceptor sees of its calls. */
static struct {
  int begun, received, ended, late; /* late: received after the end of the call */
  int64_t passes_ns;                /* while a message is told */
  int ended_inside;                 /* meanwhile */
} seen;

struct seen_call {
  bool ended;
};

static tether_code see_begin(void *data, tether_call *call, void **state) {
  (void)data;
  *state = tether_call_alloc(call, sizeof(struct seen_call));
  *(struct seen_call *)*state = (struct seen_call){0};
  seen.begun++;
  return TETHER_OK;
}

static void see_message(void *data, tether_call *call, bool sent, size_t bytes, void *state) {
  const struct seen_call *of = state;
  (void)data, (void)call, (void)bytes;
  if (sent) return;
  seen.received++;
  seen.late += of->ended;
  tst_bank_move(seen.passes_ns);
  seen.ended_inside += of->ended;
}

static void see_end(void *data, tether_call *call, const tether_call_summary *summary, void *state) {
  (void)data, (void)call, (void)summary;
  ((struct seen_call *)state)->ended = true;
  seen.ended++;
}

static const tether_interceptor interceptor = {.begin = see_begin, .message = see_message, .end = see_end};
static const tether_interceptor *const interceptors[] = {&interceptor, NULL};

static int setup(void **state) {
  memset(&seen, 0, sizeof seen);
  return tst_bank_setup(state);
}

/* ---- Client -------------------------------------------------------------------------------- */

static void cancel_other(tether_call *call, void *data) {
  tether_call **other = data;
  (void)call;
  tether_call_cancel(*other, NULL);
}

static void add_reply(tst_frames *frames, uint32_t stream) {
  Testing__V1__Reply reply = TESTING__V1__REPLY__INIT;
  tst_frames_add(frames, TTH_MESSAGE, TTH_FLAG_END, stream, &reply.base);
  tst_frames_trailers(frames, stream, TETHER_OK);
}

static void a_reply_behind_an_answer_that_cancels_its_call_is_not_told(void **state) {
  (void)state;
  tst_bank_up(0);
  tether_client *client = tst_bank_client("mem://a", &(tether_client_options){.interceptors = interceptors});
  tst_bank_pump();
  tst_bank_hello(0);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_call *second = NULL;
  tether_call *first =
      testing_v1_echo_client_quick_start(client, tether_ctx_background(), &request, NULL, cancel_other, &second);
  second = tst_bank_call(client, false);
  assert_int_equal(tst_bank_calls(0), 2);
  tst_frames both = {0};
  add_reply(&both, 1);
  add_reply(&both, 2);
  tst_mem_peer_say_frames(&tst_bank_now.peers[0], &both);
  tst_frames_fini(&both);
  rpc_assert_code(first, TETHER_OK);
  rpc_assert_code(second, TETHER_CANCELLED);
  tether_call_unref(first);
  tether_call_unref(second);
  tst_bank_close(client);
  assert_int_equal(seen.begun, 2);
  assert_int_equal(seen.ended, 2);
  assert_int_equal(seen.received, 1);
  assert_int_equal(seen.late, 0);
}

/* ---- Server -------------------------------------------------------------------------------- */

static void a_deadline_that_passes_while_a_request_is_told_ends_the_call_behind_it(void **state) {
  (void)state;
  tether_server *server;
  struct echo_stats stats = {0};
  const tether_server_options options = {.interceptors = interceptors};
  assert_int_equal(tth_server_open_on(&tst_transport_mem, &options, &server), TETHER_OK);
  assert_int_equal(echo_server_add(server, &stats), TETHER_OK);
  assert_int_equal(tether_server_listen(server, "mem://s"), TETHER_OK);
  tst_mem_peer peer = {0};
  assert_true(tst_mem_peer_dial(&peer, tst_bank_now.net, "mem://s"));
  tst_frames frames = {0};
  tst_frames_hello(&frames, 0);
  tst_frames_headers(&frames, 1, testing_v1_echo_quick_method.path, TETHER_SEC);
  tst_mem_peer_say_frames(&peer, &frames);
  seen.passes_ns = 2 * TETHER_SEC;
  tst_frames_raw(&frames, TTH_MESSAGE, TTH_FLAG_END, 1, "", 0);
  tst_mem_peer_say_frames(&peer, &frames);
  tst_frames_fini(&frames);
  int code = tst_mem_peer_code(&peer, 1);
  tst_mem_peer_fini(&peer);
  tether_server_close(server);
  assert_int_equal(code, TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(atomic_load(&stats.started), 0);
  assert_int_equal(seen.received, 1);
  assert_int_equal(seen.ended, 1);
  assert_int_equal(seen.ended_inside + seen.late, 0);
}

#define CASE(name) \
  { #name, name, setup, tst_bank_teardown, NULL }

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(a_reply_behind_an_answer_that_cancels_its_call_is_not_told),
      CASE(a_deadline_that_passes_while_a_request_is_told_ends_the_call_behind_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
