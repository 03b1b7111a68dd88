/* Streams of every shape through generated code alone, from a client over a socket to handlers and back. What the
 * library does under load and when things break is tested with the library; here the two ends must fit together. */
#include "tests/support/rpc_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "streaming.tether.h"
#include "tests/support/wait.h"

struct fixture {
  char dir[64], url[128];
  tether_server *server;
  tether_client *client;
  atomic_bool had_deadline; /* the last `count` */
};

/* ---- The service --------------------------------------------------------------------------- */

static tether_code twice(const tether_ctx *ctx, tether_call *call, const Demo__Streaming__Number *request,
                         Demo__Streaming__Number *reply, void *data) {
  (void)ctx;
  (void)call;
  (void)data;
  reply->value = 2 * request->value;
  return TETHER_OK;
}

/* Below zero it fails after as many replies. */
static tether_code count(const tether_ctx *ctx, tether_call *call, const Demo__Streaming__Number *request, void *data) {
  struct fixture *f = data;
  atomic_store(&f->had_deadline, tether_ctx_deadline_ns(ctx) != TETHER_FOREVER);
  Demo__Streaming__Number reply = DEMO__STREAMING__NUMBER__INIT;
  for (int64_t i = 1; i <= llabs(request->value); i++) {
    reply.value = i;
    tether_code code = demo_streaming_counter_count_send_reply(call, &reply);
    if (code != TETHER_OK) return code;
  }
  return request->value < 0 ? tether_call_fail(call, TETHER_OUT_OF_RANGE, "below zero") : TETHER_OK;
}

static tether_code sum(const tether_ctx *ctx, tether_call *call, Demo__Streaming__Total *reply, void *data) {
  (void)ctx;
  (void)data;
  for (;;) {
    const Demo__Streaming__Number *request;
    tether_code code = demo_streaming_counter_sum_recv_request(call, &request);
    if (code != TETHER_OK || request == NULL) return code;
    reply->sum += request->value;
    reply->count++;
  }
}

static tether_code running_sum(const tether_ctx *ctx, tether_call *call, void *data) {
  (void)ctx;
  (void)data;
  Demo__Streaming__Total reply = DEMO__STREAMING__TOTAL__INIT;
  for (;;) {
    const Demo__Streaming__Number *request;
    tether_code code = demo_streaming_counter_running_sum_recv_request(call, &request);
    if (code != TETHER_OK || request == NULL) return code;
    reply.sum += request->value;
    reply.count++;
    code = demo_streaming_counter_running_sum_send_reply(call, &reply);
    if (code != TETHER_OK) return code;
  }
}

/* The same in callback form. At any time it tries one thing, so that at most one callback is to come. */
struct inline_sum {
  tether_call *call; /* a reference until it is finished */
  Demo__Streaming__Total reply;
  bool owes;           /* `reply` is to be sent */
  atomic_int wake_ups; /* whoever brings it from 0 works it off */
};

/* Goes on as far as it can; true when the call is finished. */
static bool inline_sum_go(struct inline_sum *s) {
  tether_code code = TETHER_OK;
  bool done = true;
  while (code == TETHER_OK) {
    if (s->owes) {
      code = demo_streaming_counter_inline_sum_try_send_reply(s->call, &s->reply, &done);
    } else {
      const Demo__Streaming__Number *request = NULL;
      code = demo_streaming_counter_inline_sum_try_recv_request(s->call, &request, &done);
      if (code == TETHER_OK && done && request == NULL) break;
      if (code == TETHER_OK && done) {
        s->reply.sum += request->value;
        s->reply.count++;
      }
    }
    if (code == TETHER_OK && !done) return false;
    s->owes = !s->owes;
  }
  tether_call *call = s->call;
  tether_call_finish(call, code);
  tether_call_unref(call); /* `s` with it */
  return true;
}

static void inline_sum_wake(tether_call *call, tether_ready_for what, void *data) {
  (void)call;
  (void)what;
  struct inline_sum *s = data;
  int count_seen = atomic_fetch_add(&s->wake_ups, 1) + 1;
  if (count_seen > 1) return;
  do {
    count_seen = atomic_load(&s->wake_ups);
    if (inline_sum_go(s)) return;
  } while (atomic_fetch_sub(&s->wake_ups, count_seen) != count_seen);
}

static tether_code inline_sum(const tether_ctx *ctx, tether_call *call, void *data) {
  (void)ctx;
  (void)data;
  struct inline_sum *s = tether_call_alloc(call, sizeof *s);
  if (s == NULL) return TETHER_RESOURCE_EXHAUSTED;
  *s = (struct inline_sum){.call = tether_call_ref(call), .reply = DEMO__STREAMING__TOTAL__INIT};
  (void)tether_call_defer(call);
  tether_call_on_ready(call, inline_sum_wake, s);
  inline_sum_wake(call, TETHER_CAN_RECV, s);
  return TETHER_OK;
}

/* ---- Setup --------------------------------------------------------------------------------- */

static int setup(void **state) {
  static const demo_streaming_counter_service service = {
      .twice = twice, .count = count, .sum = sum, .running_sum = running_sum, .inline_sum = inline_sum};
  struct fixture *f = calloc(1, sizeof *f);
  if (f == NULL) return -1;
  snprintf(f->dir, sizeof f->dir, "/tmp/tether-test-XXXXXX");
  if (mkdtemp(f->dir) == NULL) return -1;
  snprintf(f->url, sizeof f->url, "ipc://%s/s", f->dir);
  *state = f;
  return tether_server_open(NULL, &f->server) == TETHER_OK &&
                 demo_streaming_counter_register(f->server, &service, f) == TETHER_OK &&
                 tether_server_listen(f->server, f->url) == TETHER_OK &&
                 tether_client_open(f->url, NULL, &f->client) == TETHER_OK
             ? 0
             : -1;
}

static int teardown(void **state) {
  struct fixture *f = *state;
  tether_client_close(f->client);
  tether_server_close(f->server);
  unlink(f->url + strlen("ipc://"));
  rmdir(f->dir);
  free(f);
  return 0;
}

static tether_ctx *bounded(void) { return tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS); }

static Demo__Streaming__Number number(int64_t value) {
  Demo__Streaming__Number n = DEMO__STREAMING__NUMBER__INIT;
  n.value = value;
  return n;
}

/* ---- Tests --------------------------------------------------------------------------------- */

static void a_unary_method_beside_streams_is_called_as_ever(void **state) {
  struct fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  const Demo__Streaming__Number request = number(21);
  TETHER_SCOPED_CALL tether_call *call = demo_streaming_counter_client_twice(f->client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_OK);
  assert_int_equal(demo_streaming_counter_twice_reply(call)->value, 42);
}

static void replies_of_a_server_stream_come_in_order_and_then_the_end(void **state) {
  struct fixture *f = *state;
  static const int64_t lengths[] = {0, 1, 3000};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    TETHER_SCOPED tether_ctx *ctx = bounded();
    const Demo__Streaming__Number request = number(lengths[i]), *reply = NULL;
    TETHER_SCOPED_CALL tether_call *call =
        demo_streaming_counter_client_count_start(f->client, ctx, &request, NULL, NULL, NULL);
    for (int64_t expected = 1; expected <= lengths[i]; expected++) {
      assert_int_equal(demo_streaming_counter_count_recv_reply(call, &reply), TETHER_OK);
      assert_non_null(reply);
      assert_int_equal(reply->value, expected);
    }
    assert_int_equal(demo_streaming_counter_count_recv_reply(call, &reply), TETHER_OK);
    assert_null(reply);
    assert_int_equal(tether_call_wait(call), TETHER_OK);
  }
}

static void replies_before_a_failure_are_received_and_then_its_code(void **state) {
  struct fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  const Demo__Streaming__Number request = number(-2), *reply = NULL, *const untouched = &request;
  TETHER_SCOPED_CALL tether_call *call =
      demo_streaming_counter_client_count_start(f->client, ctx, &request, NULL, NULL, NULL);
  for (int64_t expected = 1; expected <= 2; expected++) {
    assert_int_equal(demo_streaming_counter_count_recv_reply(call, &reply), TETHER_OK);
    assert_non_null(reply);
    assert_int_equal(reply->value, expected);
  }
  reply = untouched;
  assert_int_equal(demo_streaming_counter_count_recv_reply(call, &reply), TETHER_OUT_OF_RANGE);
  assert_ptr_equal(reply, untouched);
  assert_string_equal(tether_call_message(call), "below zero");
}

static void requests_of_a_client_stream_get_one_reply(void **state) {
  struct fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  TETHER_SCOPED_CALL tether_call *call = demo_streaming_counter_client_sum_start(f->client, ctx, NULL, NULL, NULL);
  for (int64_t i = 1; i <= 1000; i++) {
    const Demo__Streaming__Number request = number(i);
    assert_int_equal(demo_streaming_counter_sum_send_request(call, &request), TETHER_OK);
  }
  tether_call_close_send(call);
  assert_int_equal(tether_call_wait(call), TETHER_OK);
  assert_int_equal(demo_streaming_counter_sum_reply(call)->sum, 500500);
  assert_int_equal(demo_streaming_counter_sum_reply(call)->count, 1000);
}

static void both_ways_answer_each_other(void **state) {
  struct fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  TETHER_SCOPED_CALL tether_call *call =
      demo_streaming_counter_client_running_sum_start(f->client, ctx, NULL, NULL, NULL);
  const Demo__Streaming__Total *reply = NULL;
  int64_t expected = 0;
  for (int64_t i = 1; i <= 300; i++) {
    const Demo__Streaming__Number request = number(i * i);
    expected += i * i;
    assert_int_equal(demo_streaming_counter_running_sum_send_request(call, &request), TETHER_OK);
    assert_int_equal(demo_streaming_counter_running_sum_recv_reply(call, &reply), TETHER_OK);
    assert_non_null(reply);
    assert_int_equal(reply->sum, expected);
    assert_int_equal(reply->count, i);
  }
  tether_call_close_send(call);
  assert_int_equal(demo_streaming_counter_running_sum_recv_reply(call, &reply), TETHER_OK);
  assert_null(reply);
  assert_int_equal(tether_call_wait(call), TETHER_OK);
}

static void note_ready(tether_call *call, tether_ready_for what, void *data) {
  (void)call;
  (void)what;
  tst_counter_add(data, 1);
}

/* Client and handler without a blocking call; more requests than any window holds. */
static void an_inline_handler_and_a_client_that_never_block_exchange_a_long_stream(void **state) {
  enum { REQUESTS = 20000 };
  struct fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  tst_counter ready;
  tst_counter_init(&ready);
  tether_call *call = demo_streaming_counter_client_inline_sum_start(f->client, ctx, NULL, NULL, NULL);
  tether_call_on_ready(call, note_ready, &ready);
  const Demo__Streaming__Total *reply = NULL;
  bool done = true;
  assert_int_equal(demo_streaming_counter_inline_sum_try_recv_reply(call, &reply, &done), TETHER_OK);
  assert_false(done); /* nothing was asked yet */
  int64_t sent = 0, received = 0;
  for (bool ended = false; !ended;) {
    int64_t calls = tst_counter_get(&ready);
    bool moved = false;
    if (sent < REQUESTS) {
      const Demo__Streaming__Number request = number(sent + 1);
      assert_int_equal(demo_streaming_counter_inline_sum_try_send_request(call, &request, &moved), TETHER_OK);
      sent += moved;
      if (sent == REQUESTS) tether_call_close_send(call);
    }
    assert_int_equal(demo_streaming_counter_inline_sum_try_recv_reply(call, &reply, &done), TETHER_OK);
    ended = done && reply == NULL;
    if (done && reply != NULL) {
      received++;
      assert_int_equal(reply->count, received);
      assert_int_equal(reply->sum, received * (received + 1) / 2);
    }
    if (!moved && !done) assert_true(tst_counter_wait(&ready, calls + 1, TST_BOUND_NS));
  }
  assert_int_equal(received, REQUESTS);
  assert_int_equal(tether_call_wait(call), TETHER_OK);
  tether_call_unref(call);
  tether_client_close(f->client); /* with every callback behind it */
  f->client = NULL;
  tst_counter_fini(&ready);
}

static void a_method_nobody_serves_is_unimplemented_whatever_its_shape(void **state) {
  struct fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  const Demo__Streaming__Number request = number(1);
  const Google__Protobuf__Empty *reply;
  TETHER_SCOPED_CALL tether_call *replies =
      demo_streaming_counter_client_unserved_start(f->client, ctx, &request, NULL, NULL, NULL);
  assert_int_equal(demo_streaming_counter_unserved_recv_reply(replies, &reply), TETHER_UNIMPLEMENTED);
  TETHER_SCOPED_CALL tether_call *requests =
      demo_streaming_counter_client_unserved_start_start(f->client, ctx, NULL, NULL, NULL);
  assert_int_equal(tether_call_wait(requests), TETHER_UNIMPLEMENTED);
  assert_null(demo_streaming_counter_unserved_start_reply(requests));
  TETHER_SCOPED_CALL tether_call *both =
      demo_streaming_counter_client_unserved_send_request_start(f->client, ctx, NULL, NULL, NULL);
  assert_int_equal(demo_streaming_counter_unserved_send_request_recv_reply(both, &reply), TETHER_UNIMPLEMENTED);
  assert_int_equal(demo_streaming_counter_unserved_send_request_send_request(both, &request), TETHER_UNIMPLEMENTED);
}

static void timeouts_in_the_proto_hold_for_streams(void **state) {
  struct fixture *f = *state;
  const Demo__Streaming__Number request = number(0), *reply = &request;
  TETHER_SCOPED_CALL tether_call *has_default =
      demo_streaming_counter_client_count_start(f->client, tether_ctx_background(), &request, NULL, NULL, NULL);
  assert_int_equal(demo_streaming_counter_count_recv_reply(has_default, &reply), TETHER_OK);
  assert_null(reply);
  assert_true(atomic_load(&f->had_deadline));
  TETHER_SCOPED_CALL tether_call *needs_one =
      demo_streaming_counter_client_sum_start(f->client, tether_ctx_background(), NULL, NULL, NULL);
  assert_int_equal(tether_call_wait(needs_one), TETHER_INVALID_ARGUMENT);
}

#define behaviour(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      behaviour(a_unary_method_beside_streams_is_called_as_ever),
      behaviour(replies_of_a_server_stream_come_in_order_and_then_the_end),
      behaviour(replies_before_a_failure_are_received_and_then_its_code),
      behaviour(requests_of_a_client_stream_get_one_reply),
      behaviour(both_ways_answer_each_other),
      behaviour(an_inline_handler_and_a_client_that_never_block_exchange_a_long_stream),
      behaviour(a_method_nobody_serves_is_unimplemented_whatever_its_shape),
      behaviour(timeouts_in_the_proto_hold_for_streams),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
