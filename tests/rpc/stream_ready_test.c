/* Streams without blocking: try_send, try_recv and on_ready, at the client, in handlers that have returned and in
 * inline ones. A refused try is followed by one call of `ready`; nothing is told twice, and nothing is lost. */
#include <stdio.h>
#include <string.h>

#include "tests/support/ctx_test.h"
#include "tests/support/stream_test.h"

static tether_call *start_both(struct stream_net *n, const tether_ctx *ctx) {
  return testing_v1_handed_client_both_start(n->client, ctx, NULL, NULL, NULL);
}

/* How often `ready` was called, for what. A callback may be on its way out when a test ends, so these last longer. */
static struct told { atomic_int recv, send, initial, other; } client, server;

static int setup(void **state) {
  client = server = (struct told){0};
  return stream_net_setup(state);
}

static void note(tether_call *call, tether_ready_for what, void *data) {
  struct told *told = data;
  (void)call;
  atomic_fetch_add(what == TETHER_CAN_RECV      ? &told->recv
                   : what == TETHER_CAN_SEND    ? &told->send
                   : what == TETHER_HAS_INITIAL ? &told->initial
                                                : &told->other,
                   1);
}

/* A receive that finds nothing yet. */
static void assert_nothing_yet(tether_call *call) {
  const ProtobufCMessage *message = NULL;
  bool done = true;
  assert_int_equal(tether_call_try_recv(call, &message, &done), TETHER_OK);
  assert_false(done);
}

static const ProtobufCMessage *get(tether_call *call) {
  const ProtobufCMessage *message = NULL;
  bool done = false;
  assert_int_equal(tether_call_try_recv(call, &message, &done), TETHER_OK);
  assert_true(done);
  return message;
}

/* Sends until there is no room; returns how many went. */
static int fill(tether_call *call, const ProtobufCMessage *message) {
  bool done = true;
  int count = -1;
  while (done) {
    count++;
    assert_int_equal(tether_call_try_send(call, message, &done), TETHER_OK);
  }
  return count;
}

/* ---- Receiving ----------------------------------------------------------------------------- */

/* When calls on the same connection have been answered, what was sent before has arrived, and what came of that. */
static void let_arrive(struct stream_net *n) {
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  for (int i = 0; i < 3; i++) {
    TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(n->client, ctx, &request, NULL);
    rpc_assert_code(call, TETHER_OK);
  }
}

/* `reader` is told of what `writer` sends, once for each refusal. */
static void assert_told_of_messages(struct stream_net *n, tether_call *writer, tether_call *reader,
                                    const ProtobufCMessage *message, struct told *told) {
  assert_nothing_yet(reader);
  assert_nothing_yet(reader); /* asked twice, told once */
  assert_int_equal(atomic_load(&told->recv), 0);
  assert_int_equal(tether_call_send(writer, message), TETHER_OK);
  assert_true(rpc_wait_for(&told->recv, 1));
  assert_int_equal(tether_call_send(writer, message), TETHER_OK);
  let_arrive(n);
  assert_int_equal(atomic_load(&told->recv), 1); /* nobody has asked again */
  assert_non_null(get(reader));
  assert_non_null(get(reader));
  assert_nothing_yet(reader);
  assert_int_equal(tether_call_send(writer, message), TETHER_OK);
  assert_true(rpc_wait_for(&told->recv, 2));
  assert_non_null(get(reader));
}

static void who_found_no_message_is_told_once_when_there_is_one(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *c = start_both(n, ctx);
  tether_call *s = stream_take(&n->stats);
  Testing__V1__Request request = stream_request("r", 0);
  Testing__V1__Reply reply = stream_reply("r", 0);
  tether_call_on_ready(c, note, &client);
  tether_call_on_ready(s, note, &server);
  assert_told_of_messages(n, c, s, &request.base, &server);
  assert_told_of_messages(n, s, c, &reply.base, &client);
  stream_finish(s, TETHER_OK, TETHER_OK);
  stream_gets_end(c);
  assert_int_equal(atomic_load(&client.other) + atomic_load(&server.other), 0);
}

static void who_did_not_ask_is_not_told(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *c = start_both(n, ctx);
  tether_call *s = stream_take(&n->stats);
  tether_call_on_ready(c, note, &client);
  for (int i = 0; i < 3; i++) stream_server_sends(s, "unasked");
  stream_finish(s, TETHER_OK, TETHER_OK);
  assert_int_equal(tether_call_wait(c), TETHER_OK);
  for (int i = 0; i < 3; i++) assert_non_null(get(c));
  assert_null(get(c));
  assert_null(get(c));
  assert_int_equal(atomic_load(&client.recv) + atomic_load(&client.send), 0);
}

static void the_half_close_and_the_end_are_told_too(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *c = start_both(n, ctx);
  tether_call *s = stream_take(&n->stats);
  tether_call_on_ready(c, note, &client);
  tether_call_on_ready(s, note, &server);
  assert_nothing_yet(s);
  tether_call_close_send(c);
  assert_true(rpc_wait_for(&server.recv, 1));
  assert_null(get(s));
  assert_nothing_yet(c);
  stream_finish(s, TETHER_OK, TETHER_OK);
  assert_true(rpc_wait_for(&client.recv, 1));
  assert_null(get(c));
}

/* ---- Sending ------------------------------------------------------------------------------- */

static void who_found_no_room_is_told_once_when_the_peer_has_read(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *c = start_both(n, ctx);
  tether_call *s = stream_take(&n->stats);
  Testing__V1__Request request = stream_request("room", 10000);
  tether_call_on_ready(c, note, &client);
  int sent = 0, before;
  /* Until nothing more goes though it has settled: told of room, it fills it. */
  do {
    before = atomic_load(&client.send);
    sent += fill(c, &request.base);
    let_arrive(n);
  } while (atomic_load(&client.send) != before);
  assert_true(sent > 5);
  for (int i = 0; i < sent; i++) stream_server_gets(s, "room");
  assert_true(rpc_wait_for(&client.send, before + 1));
  let_arrive(n);
  assert_int_equal(atomic_load(&client.send), before + 1); /* nobody has asked again */
  bool done = false;
  assert_int_equal(tether_call_try_send(c, &request.base, &done), TETHER_OK);
  assert_true(done);
  tether_call_cancel(c, NULL);
  assert_int_equal(atomic_load(&client.send), before + 1); /* the end is for who waits */
  assert_int_equal(tether_ctx_wait(tether_call_ctx(s), RPC_TEST_BOUND_NS), TETHER_CANCELLED);
  stream_finish(s, TETHER_OK, TETHER_CANCELLED);
}

/* ---- Ends ---------------------------------------------------------------------------------- */

/* By the time that cancel returns, the client's `ready` has run, on this thread. */
static void a_cancel_is_told_to_who_waits_on_either_side(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *c = start_both(n, ctx);
  tether_call *s = stream_take(&n->stats);
  Testing__V1__Request request = stream_request("full", 60000);
  Testing__V1__Reply reply = stream_reply("full", 60000);
  const ProtobufCMessage *message = NULL;
  bool done = false;
  tether_call_on_ready(c, note, &client);
  tether_call_on_ready(s, note, &server);
  assert_nothing_yet(c);
  assert_nothing_yet(s);
  fill(c, &request.base);
  tether_call_cancel(c, NULL);
  assert_int_equal(atomic_load(&client.recv), 1);
  assert_true(atomic_load(&client.send) >= 1);
  assert_int_equal(tether_call_try_recv(c, &message, &done), TETHER_CANCELLED);
  assert_true(done);
  assert_int_equal(tether_call_try_send(c, &request.base, &done), TETHER_CANCELLED);
  assert_true(done);
  assert_int_equal(tether_ctx_wait(tether_call_ctx(s), RPC_TEST_BOUND_NS), TETHER_CANCELLED);
  assert_true(rpc_wait_for(&server.recv, 1));
  assert_int_equal(tether_call_try_recv(s, &message, &done), TETHER_CANCELLED);
  assert_true(done);
  assert_int_equal(tether_call_try_send(s, &reply.base, &done), TETHER_CANCELLED);
  assert_true(done);
  stream_finish(s, TETHER_OK, TETHER_CANCELLED);
}

static void a_lost_connection_is_told_to_who_waits_on_either_side(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  TETHER_SCOPED_CALL tether_call *c = start_both(n, ctx);
  tether_call *s = stream_take(&n->stats);
  const ProtobufCMessage *message = NULL;
  bool done = false;
  tether_call_on_ready(c, note, &client);
  tether_call_on_ready(s, note, &server);
  assert_nothing_yet(c);
  assert_nothing_yet(s);
  stream_net_break(n);
  assert_true(rpc_wait_for(&client.recv, 1));
  assert_true(rpc_wait_for(&server.recv, 1));
  assert_int_equal(tether_call_try_recv(c, &message, &done), TETHER_UNAVAILABLE);
  assert_true(done);
  assert_int_equal(tether_call_try_recv(s, &message, &done), TETHER_CANCELLED);
  assert_true(done);
  stream_finish(s, TETHER_OK, TETHER_UNAVAILABLE); /* what the client recorded */
}

/* ---- Initial metadata ---------------------------------------------------------------------- */

static void initial_metadata_are_told_once_also_if_they_came_before_anybody_asked(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  for (int early = 0; early < 2; early++) {
    TETHER_SCOPED_CALL tether_call *c = start_both(n, ctx);
    tether_call *s = stream_take(&n->stats);
    int before = atomic_load(&client.initial);
    if (!early) tether_call_on_ready(c, note, &client);
    assert_int_equal(atomic_load(&client.initial), before);
    assert_int_equal(tether_call_add_initial(s, "x-initial", "told", 4), TETHER_OK);
    assert_int_equal(tether_call_send_initial(s), TETHER_OK);
    assert_int_equal(tether_call_wait_initial(c), TETHER_OK);
    if (early) {
      tether_call_on_ready(c, note, &client);
      assert_int_equal(atomic_load(&client.initial), before + 1); /* from inside */
    }
    assert_true(rpc_wait_for(&client.initial, before + 1));
    assert_string_equal(tether_metadata_get(tether_call_initial_metadata(c), "x-initial", NULL), "told");
    stream_server_sends(s, "message");
    stream_client_gets(c, "message");
    stream_finish(s, TETHER_OK, TETHER_OK);
    stream_gets_end(c);
    assert_int_equal(atomic_load(&client.initial), before + 1);
  }
}

/* The end implies them: who waits for them is told that there are none. */
static void a_call_that_ends_without_initial_metadata_tells_so_once(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  for (int early = 0; early < 2; early++) {
    TETHER_SCOPED_CALL tether_call *c = start_both(n, ctx);
    tether_call *s = stream_take(&n->stats);
    int before = atomic_load(&client.initial);
    if (early) tether_call_on_ready(c, note, &client);
    stream_finish(s, TETHER_NOT_FOUND, TETHER_NOT_FOUND);
    assert_int_equal(tether_call_wait(c), TETHER_NOT_FOUND);
    if (!early) tether_call_on_ready(c, note, &client);
    assert_true(rpc_wait_for(&client.initial, before + 1));
    assert_int_equal(tether_metadata_count(tether_call_initial_metadata(c)), 0);
    let_arrive(n);
    assert_int_equal(atomic_load(&client.initial), before + 1);
  }
}

/* ---- Handlers in callback form ------------------------------------------------------------- */

typedef tether_call *(*start_chat_fn)(tether_client *client, const tether_ctx *ctx, const tether_call_options *options,
                                      tether_call_done_fn done, void *data);

static const start_chat_fn chats[] = {testing_v1_echo_client_inline_chat_start,
                                      testing_v1_echo_client_later_chat_start};

static void inline_and_deferred_handlers_serve_a_stream_without_a_thread(void **state) {
  struct stream_net *n = *state;
  enum { N = 500 };
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  for (int i = 0; i < 2; i++) {
    TETHER_SCOPED_CALL tether_call *c = chats[i](n->client, ctx, NULL, NULL, NULL);
    struct stream_op receiver;
    Testing__V1__Request request = stream_request("fast", 3000);
    stream_op_start(&receiver, c, STREAM_RECV_ALL, NULL);
    for (int sent = 0; sent < N; sent++) assert_int_equal(tether_call_send(c, &request.base), TETHER_OK);
    tether_call_close_send(c);
    assert_int_equal(stream_op_join(&receiver), TETHER_OK);
    assert_int_equal(atomic_load(&receiver.count), N);
  }
}

/* A handler that cannot send does not read either: what the client may send is bounded, and others are served. */
static void a_slow_client_holds_up_an_inline_handler_without_holding_up_its_thread(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  for (int i = 0; i < 2; i++) {
    TETHER_SCOPED_CALL tether_call *c = chats[i](n->client, ctx, NULL, NULL, NULL);
    struct stream_op sender;
    Testing__V1__Request request = stream_request("slow", 8000);
    stream_op_start(&sender, c, STREAM_SEND_ALL, &request.base);
    assert_true(stream_op_blocks(&sender));
    int sent = atomic_load(&sender.count);
    /* what the handler's window may have grown to while it kept up, the client's, and both queues */
    assert_in_range(sent, 1, (1024 + 64 + 2 * 64) * 1024 / 8000 + 4);
    for (int k = 0; k < 10; k++) {
      TETHER_SCOPED_CALL tether_call *other = testing_v1_echo_client_quick(n->client, ctx, &request, NULL);
      rpc_assert_code(other, TETHER_OK);
    }
    for (int k = 0; k < sent + 500; k++) stream_client_gets(c, "hello slow");
    tether_call_cancel(c, NULL);
    assert_int_equal(stream_op_join(&sender), TETHER_CANCELLED);
  }
  assert_true(rpc_wait_for(&n->stats.ended[TETHER_CAUSE_CALLER], 2));
}

static void a_handler_in_callback_form_ends_with_the_status_it_wants(void **state) {
  struct stream_net *n = *state;
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  for (int i = 0; i < 2; i++) {
    TETHER_SCOPED_CALL tether_call *c = chats[i](n->client, ctx, NULL, NULL, NULL);
    Testing__V1__Request request = stream_request("stop", 0);
    stream_client_sends(c, "go");
    stream_client_gets(c, "hello go");
    request.code = TETHER_ABORTED;
    assert_int_equal(tether_call_send(c, &request.base), TETHER_OK);
    stream_gets_code(c, TETHER_ABORTED);
    assert_string_equal(tether_call_message(c), "stop");
  }
}

/* ---- A client in callback form ------------------------------------------------------------- */

/* Sends `most` requests and receives their replies, all inside of callbacks. */
struct talk {
  tether_call *call;
  int most, sent, received;
  bool closed, ended;
  tether_code code;
  atomic_int words;
  tst_counter *over;
};

static bool talk_send(struct talk *talk, tether_call *call) {
  bool done = false;
  Testing__V1__Request request = stream_request("talk", 100);
  if (talk->closed) return false;
  if (talk->sent == talk->most) {
    tether_call_close_send(call);
    return talk->closed = true;
  }
  if (tether_call_try_send(call, &request.base, &done) != TETHER_OK) return !(talk->closed = true);
  talk->sent += done;
  return done;
}

static bool talk_recv(struct talk *talk, tether_call *call) {
  const ProtobufCMessage *message = NULL;
  bool done = false;
  if (talk->ended) return false;
  talk->code = tether_call_try_recv(call, &message, &done);
  if (talk->code == TETHER_OK && !done) return false;
  talk->ended = talk->code != TETHER_OK || !message;
  talk->received += !talk->ended;
  return true;
}

static void talk_on(tether_call *call, tether_ready_for what, void *data) {
  struct talk *talk = data;
  (void)what;
  if (atomic_fetch_add(&talk->words, 1) > 0) return;
  int seen = 1;
  bool was_over, over;
  do {
    was_over = talk->ended;
    for (bool more = true; more;) {
      more = talk_send(talk, call);
      more |= talk_recv(talk, call);
    }
    over = talk->ended;
    if (over && !was_over) tst_counter_add(talk->over, 1);
  } while ((seen = atomic_fetch_sub(&talk->words, seen) - seen) > 0);
}

static void talks_in_callback_form_end_each_with_all_its_replies(void **state) {
  struct stream_net *n = *state;
  enum { N = 40, MESSAGES = 50 };
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  struct talk talks[N];
  tst_counter over;
  tst_counter_init(&over);
  for (int i = 0; i < N; i++) {
    talks[i] = (struct talk){.most = MESSAGES, .over = &over};
    talks[i].call = i % 3 == 2 ? testing_v1_echo_client_chat_start(n->client, ctx, NULL, NULL, NULL)
                               : chats[i % 3](n->client, ctx, NULL, NULL, NULL);
    tether_call_on_ready(talks[i].call, talk_on, &talks[i]);
    talk_on(talks[i].call, TETHER_CAN_SEND, &talks[i]);
  }
  assert_true(tst_counter_wait(&over, N, RPC_TEST_BOUND_NS));
  /* A callback may still be on its way out. */
  tether_client_close(n->client);
  n->client = NULL;
  for (int i = 0; i < N; i++) {
    assert_int_equal(talks[i].code, TETHER_OK);
    assert_int_equal(talks[i].received, MESSAGES);
    rpc_assert_code(talks[i].call, TETHER_OK);
    tether_call_unref(talks[i].call);
  }
  tst_counter_fini(&over);
}

/* ---- Callbacks that end things ------------------------------------------------------------- */

struct quitter {
  atomic_int told, ended;
};

static void quit(tether_call *call, tether_ready_for what, void *data) {
  struct quitter *quitter = data;
  if (what != TETHER_CAN_RECV || atomic_fetch_add(&quitter->told, 1) > 0) return;
  tether_call_cancel(call, NULL);
  const ProtobufCMessage *message = NULL;
  bool done = false;
  (void)!tether_call_try_recv(call, &message, &done);
}

static void note_end(tether_call *call, void *data) {
  (void)call;
  atomic_fetch_add(&((struct quitter *)data)->ended, 1);
}

static void a_ready_callback_may_cancel_its_call(void **state) {
  struct stream_net *n = *state;
  enum { N = CTX_TEST_ROUNDS(400) };
  static struct quitter quitters[N];
  TETHER_SCOPED tether_ctx *ctx = stream_ctx();
  for (int i = 0; i < N; i++) {
    TETHER_SCOPED_CALL tether_call *c =
        testing_v1_handed_client_both_start(n->client, ctx, NULL, note_end, &quitters[i]);
    tether_call *s = stream_take(&n->stats);
    tether_call_on_ready(c, quit, &quitters[i]);
    assert_nothing_yet(c);
    stream_server_sends(s, "go away");
    assert_true(rpc_wait_for(&quitters[i].ended, 1));
    rpc_assert_code(c, TETHER_CANCELLED);
    assert_int_equal(tether_ctx_wait(tether_call_ctx(s), RPC_TEST_BOUND_NS), TETHER_CANCELLED);
    stream_finish(s, TETHER_OK, TETHER_CANCELLED);
  }
  for (int i = 0; i < N; i++) assert_int_equal(atomic_load(&quitters[i].ended), 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, stream_net_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(who_found_no_message_is_told_once_when_there_is_one),
      CASE(who_did_not_ask_is_not_told),
      CASE(the_half_close_and_the_end_are_told_too),
      CASE(who_found_no_room_is_told_once_when_the_peer_has_read),
      CASE(a_cancel_is_told_to_who_waits_on_either_side),
      CASE(a_lost_connection_is_told_to_who_waits_on_either_side),
      CASE(initial_metadata_are_told_once_also_if_they_came_before_anybody_asked),
      CASE(a_call_that_ends_without_initial_metadata_tells_so_once),
      CASE(inline_and_deferred_handlers_serve_a_stream_without_a_thread),
      CASE(a_slow_client_holds_up_an_inline_handler_without_holding_up_its_thread),
      CASE(a_handler_in_callback_form_ends_with_the_status_it_wants),
      CASE(talks_in_callback_form_end_each_with_all_its_replies),
      CASE(a_ready_callback_may_cancel_its_call),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
