/* Fan-out: calls to several servers, unary and streaming, as members of one group, whose rule says when it has its
 * answer. Every loser, at both ends, learns why. Ways to fail are in fanout_fail_test.c, handlers' own fan-outs in
 * fanout_handler_test.c. */
#include "tests/support/park_live.h"

#define UNARY "/testing.v1.Park/Unary"

/* What the losers are told of a failed unary call. */
static const char *failed(int i, tether_code code) {
  static char text[256];
  park_print(text, sizeof text, "call " UNARY " to %s #%d failed: %s", park_live()->urls[i % LIVE_PARKS], i,
             tether_code_name(code));
  return text;
}

static tether_code wait_for_group(void) { return tether_group_wait(park_live()->group); }

static void assert_replied(int i) {
  char name[16];
  tether_call *call = park_live()->calls[i];
  snprintf(name, sizeof name, "%d", i);
  rpc_assert_code(call, TETHER_OK);
  assert_null(tether_call_cause(call));
  assert_string_equal(((const Testing__V1__Reply *)tether_call_reply(call))->text, name);
}

/* ---- All ----------------------------------------------------------------------------------- */

static void waiting_for_all_gives_every_reply(void **state) {
  enum { CALLS = 30 };
  (void)state;
  park_live_group(tether_ctx_background(), TETHER_GROUP_ALL, 0);
  park_live_start_unary(CALLS);
  for (int i = CALLS - 1; i >= 0; i--) assert_true(tst_parked_end(park_live_unary(i), TETHER_OK));
  assert_int_equal(wait_for_group(), TETHER_OK);
  for (int i = 0; i < CALLS; i++) assert_replied(i);
}

static void the_first_error_ends_unary_and_streaming_calls_on_every_server(void **state) {
  struct park_live *live = park_live();
  const ProtobufCMessage *message = NULL;
  (void)state;
  park_live_group(tether_ctx_background(), TETHER_GROUP_ALL, 0);
  tether_call *unary = park_live_start(0, &tst_park_unary, "unary");
  tether_call *download = park_live_start(1, &tst_park_download, "download");
  tether_call *upload = park_live_start(2, &tst_park_upload, "upload");
  tether_call *chat = park_live_start(0, &tst_park_chat, "chat");
  tether_call *bad = park_live_start(1, &tst_park_unary, "bad");
  tst_parked *handlers[] = {park_live_handler(0, "unary"), park_live_handler(1, "download"),
                            park_live_handler(2, "upload"), park_live_handler(0, "chat")};
  Testing__V1__Reply reply = TESTING__V1__REPLY__INIT;
  assert_int_equal(tether_call_send(handlers[1]->call, &reply.base), TETHER_OK);
  assert_int_equal(tether_call_recv(download, &message), TETHER_OK);
  assert_non_null(message);
  assert_true(tst_parked_end(park_live_handler(1, "bad"), TETHER_NOT_FOUND));
  assert_int_equal(wait_for_group(), TETHER_NOT_FOUND);
  rpc_assert_code(bad, TETHER_NOT_FOUND);
  assert_string_equal(tether_call_message(bad), "bad");
  assert_null(tether_call_cause(bad));
  char text[256];
  park_print(text, sizeof text, "call " UNARY " to %s #4 failed: NOT_FOUND", live->urls[1]);
  tether_call *others[] = {unary, download, upload, chat};
  for (int i = 0; i < 4; i++) assert_both_cut(others[i], handlers[i], TETHER_CAUSE_SIBLING, text);
  assert_int_equal(tether_call_recv(download, &message), TETHER_CANCELLED); /* a cut is no end of a stream */
  assert_int_equal(tether_call_recv(chat, &message), TETHER_CANCELLED);
}

static void the_failure_of_a_stream_ends_the_others(void **state) {
  (void)state;
  park_live_group(tether_ctx_background(), TETHER_GROUP_ALL, 0);
  (void)park_live_start(0, &tst_park_chat, "chat");
  tether_call *unary = park_live_start(1, &tst_park_unary, "unary");
  tst_parked *handler = park_live_handler(1, "unary");
  assert_true(tst_parked_end(park_live_handler(0, "chat"), TETHER_DATA_LOSS));
  assert_int_equal(wait_for_group(), TETHER_DATA_LOSS);
  char text[256];
  park_print(text, sizeof text, "call /testing.v1.Park/Chat to %s #0 failed: DATA_LOSS", park_live()->urls[0]);
  assert_both_cut(unary, handler, TETHER_CAUSE_SIBLING, text);
}

static void later_failures_do_not_replace_the_first(void **state) {
  (void)state;
  park_live_group(tether_ctx_background(), TETHER_GROUP_ALL, 0);
  park_live_start_unary(3);
  park_live_end(1, TETHER_ABORTED);
  park_assert_cut(park_live_unary(0), TETHER_CAUSE_SIBLING, failed(1, TETHER_ABORTED));
  assert_false(tst_parked_end(park_live_unary(0), TETHER_NOT_FOUND)); /* too late */
  assert_int_equal(wait_for_group(), TETHER_ABORTED);
}

static void what_a_stream_sent_before_a_good_end_is_still_there_after_the_group(void **state) {
  const ProtobufCMessage *message;
  Testing__V1__Reply reply = TESTING__V1__REPLY__INIT;
  (void)state;
  park_live_group(tether_ctx_background(), TETHER_GROUP_ALL, 0);
  tether_call *download = park_live_start(0, &tst_park_download, "download");
  tst_parked *handler = park_live_handler(0, "download");
  for (int i = 0; i < 3; i++) assert_int_equal(tether_call_send(handler->call, &reply.base), TETHER_OK);
  assert_true(tst_parked_end(handler, TETHER_OK));
  assert_int_equal(wait_for_group(), TETHER_OK);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(tether_call_recv(download, &message), TETHER_OK);
    assert_non_null(message);
  }
  assert_int_equal(tether_call_recv(download, &message), TETHER_OK);
  assert_null(message);
}

struct stream_user {
  struct ctx_thread thread;
  tether_call *call;
  tether_code code;
};

static void send_until_refused(void *data) {
  struct stream_user *user = data;
  static uint8_t body[20000];
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.body = (ProtobufCBinaryData){.data = body, .len = sizeof body};
  do user->code = tether_call_send(user->call, &request.base);
  while (user->code == TETHER_OK);
}

static void receive_one(void *data) {
  struct stream_user *user = data;
  const ProtobufCMessage *message;
  user->code = tether_call_recv(user->call, &message);
}

static void a_siblings_failure_releases_blocked_senders_and_receivers_on_both_sides(void **state) {
  struct stream_user sender = {0}, receiver = {0}, handler = {0};
  (void)state;
  park_live_group(tether_ctx_background(), TETHER_GROUP_ALL, 0);
  sender.call = park_live_start(0, &tst_park_upload, "upload");       /* whose handler reads nothing */
  receiver.call = park_live_start(1, &tst_park_chat, "chat");         /* whose handler sends nothing, and */
  handler.call = tether_call_ref(park_live_handler(1, "chat")->call); /* receives nothing */
  tether_call *bad = park_live_start(2, &tst_park_unary, "bad");
  ctx_thread_start(&sender.thread, send_until_refused, &sender);
  ctx_thread_start(&receiver.thread, receive_one, &receiver);
  ctx_thread_start(&handler.thread, receive_one, &handler);
  ctx_thread_blocks(&sender.thread);
  ctx_thread_blocks(&receiver.thread);
  ctx_thread_blocks(&handler.thread);
  assert_true(tst_parked_end(park_live_handler(2, "bad"), TETHER_INTERNAL));
  ctx_thread_join(&sender.thread);
  ctx_thread_join(&receiver.thread);
  ctx_thread_join(&handler.thread);
  assert_int_equal(sender.code, TETHER_CANCELLED);
  assert_int_equal(receiver.code, TETHER_CANCELLED);
  assert_int_equal(handler.code, TETHER_CANCELLED);
  tether_call_unref(handler.call);
  assert_int_equal(wait_for_group(), TETHER_INTERNAL);
  rpc_assert_code(bad, TETHER_INTERNAL);
}

/* ---- Enough -------------------------------------------------------------------------------- */

static void the_first_success_ends_the_rest_with_cause_enough(void **state) {
  (void)state;
  park_live_group(tether_ctx_background(), TETHER_GROUP_ENOUGH, 1);
  park_live_start_unary(5);
  tether_call *chat = park_live_start(0, &tst_park_chat, "chat");
  tst_parked *chat_handler = park_live_handler(0, "chat");
  park_live_end(2, TETHER_UNAVAILABLE);
  assert_int_equal(tether_ctx_err(tether_group_ctx(park_live()->group)), TETHER_OK);
  park_live_end(3, TETHER_OK);
  assert_int_equal(wait_for_group(), TETHER_OK);
  assert_replied(3);
  const char *text = "enough: 1 of 6 members succeeded";
  const int losers[] = {0, 1, 4};
  for (int i = 0; i < 3; i++)
    assert_both_cut(park_live()->calls[losers[i]], park_live_unary(losers[i]), TETHER_CAUSE_ENOUGH, text);
  assert_both_cut(chat, chat_handler, TETHER_CAUSE_ENOUGH, text);
  rpc_assert_code(park_live()->calls[2], TETHER_UNAVAILABLE);
}

static void a_quorum_tolerates_failures_and_ends_the_rest_once_reached(void **state) {
  (void)state;
  struct group_waiter waiter;
  park_live_group(tether_ctx_background(), TETHER_GROUP_ENOUGH, 3);
  park_live_start_unary(6);
  ctx_thread_start(&waiter.thread, park_live_wait, &waiter);
  park_live_end(0, TETHER_NOT_FOUND);
  park_live_end(1, TETHER_OK);
  park_live_end(4, TETHER_ABORTED);
  park_live_end(5, TETHER_OK);
  ctx_thread_blocks(&waiter.thread);
  park_live_end(2, TETHER_OK);
  ctx_thread_join(&waiter.thread);
  assert_int_equal(waiter.code, TETHER_OK);
  assert_replied(1);
  assert_replied(2);
  assert_replied(5);
  assert_both_cut(park_live()->calls[3], park_live_unary(3), TETHER_CAUSE_ENOUGH, "enough: 3 of 6 members succeeded");
}

static void a_quorum_out_of_reach_ends_the_rest_and_returns_the_first_failure(void **state) {
  struct group_waiter waiter;
  (void)state;
  park_live_group(tether_ctx_background(), TETHER_GROUP_ENOUGH, 3);
  park_live_start_unary(4);
  ctx_thread_start(&waiter.thread, park_live_wait, &waiter);
  ctx_thread_blocks(&waiter.thread);
  park_live_end(2, TETHER_ABORTED);
  ctx_thread_blocks(&waiter.thread); /* three are left */
  park_live_end(0, TETHER_NOT_FOUND);
  ctx_thread_join(&waiter.thread);
  assert_int_equal(waiter.code, TETHER_ABORTED);
  assert_both_cut(park_live()->calls[1], park_live_unary(1), TETHER_CAUSE_SIBLING, failed(0, TETHER_NOT_FOUND));
  assert_both_cut(park_live()->calls[3], park_live_unary(3), TETHER_CAUSE_SIBLING, failed(0, TETHER_NOT_FOUND));
}

static void nothing_is_out_of_reach_before_the_group_is_waited_for(void **state) {
  (void)state;
  park_live_group(tether_ctx_background(), TETHER_GROUP_ENOUGH, 2);
  park_live_start_unary(2);
  park_live_end(0, TETHER_ABORTED); /* one left of two wanted, but others may join */
  assert_int_equal(tether_ctx_err(tether_group_ctx(park_live()->group)), TETHER_OK);
  (void)park_live_start(2, &tst_park_unary, "2");
  park_live_end(1, TETHER_OK);
  park_live_end(2, TETHER_OK);
  assert_int_equal(wait_for_group(), TETHER_OK);
}

/* ---- Collect ------------------------------------------------------------------------------- */

static void collecting_ends_nothing_and_returns_what_came_before_the_cancel(void **state) {
  TETHER_SCOPED tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  (void)state;
  park_live_group(parent, TETHER_GROUP_COLLECT, 0);
  park_live_start_unary(6);
  park_live_end(1, TETHER_NOT_FOUND);
  park_live_end(4, TETHER_OK);
  park_live_end(5, TETHER_OK);
  assert_int_equal(tether_ctx_err(tether_group_ctx(park_live()->group)), TETHER_OK);
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_OTHER, "user", "that will do");
  tether_ctx_cancel_cause(parent, cause);
  tether_cause_unref(cause);
  assert_int_equal(wait_for_group(), TETHER_OK);
  assert_replied(4);
  assert_replied(5);
  const int late[] = {0, 2, 3};
  for (int i = 0; i < 3; i++)
    assert_both_cut(park_live()->calls[late[i]], park_live_unary(late[i]), TETHER_CAUSE_OTHER, "that will do");
}

static void collecting_nothing_returns_the_first_failure(void **state) {
  (void)state;
  park_live_group(tether_ctx_background(), TETHER_GROUP_COLLECT, 0);
  park_live_start_unary(2);
  park_live_end(1, TETHER_NOT_FOUND);
  park_live_end(0, TETHER_ABORTED);
  assert_int_equal(wait_for_group(), TETHER_NOT_FOUND);
}

/* ---- Waiting ------------------------------------------------------------------------------- */

static void every_callback_has_run_when_the_wait_returns(void **state) {
  enum { CALLS = 12 };
  struct park_live *live = park_live();
  (void)state;
  for (int i = 0; i < LIVE_PARKS; i++) tst_park_at_once(live->parks[i], TETHER_OK);
  for (int round = 1; round <= CTX_TEST_ROUNDS(500); round++) {
    park_live_group(tether_ctx_background(), TETHER_GROUP_ALL, 0);
    for (int i = 0; i < CALLS; i++) (void)park_live_start(i % LIVE_PARKS, &tst_park_unary, "");
    assert_int_equal(wait_for_group(), TETHER_OK);
    assert_int_equal(atomic_load(&live->called_back), round * CALLS);
    while (live->count > 0) tether_call_unref(live->calls[--live->count]);
    tether_group_free(live->group);
    live->group = NULL;
  }
}

/* Static, since the group may call back after a test that has failed. */
static struct done {
  tst_latch latch;
  int calls;
  tether_code code;
  int called_back;
} done;

/* Frees the group, as nobody waits for it. */
static void free_group(tether_code code, void *data) {
  (void)data;
  done.calls++;
  done.code = code;
  done.called_back = atomic_load(&park_live()->called_back);
  tether_group_free(park_live()->group);
  park_live()->group = NULL;
  tst_latch_open(&done.latch);
}

static void the_group_calls_back_after_the_last_call_and_may_be_freed_there(void **state) {
  (void)state;
  done = (struct done){0};
  tst_latch_init(&done.latch);
  park_live_group(tether_ctx_background(), TETHER_GROUP_ALL, 0);
  park_live_start_unary(9);
  assert_int_equal(tether_group_on_done(park_live()->group, free_group, NULL), TETHER_OK);
  for (int i = 0; i < 8; i++) assert_true(tst_parked_end(park_live_unary(i), TETHER_OK));
  for (int i = 0; i < 8; i++) tether_call_wait(park_live()->calls[i]);
  assert_false(tst_latch_is_open(&done.latch));
  assert_true(tst_parked_end(park_live_unary(8), TETHER_OK));
  assert_true(tst_latch_wait(&done.latch, TST_BOUND_NS));
  assert_int_equal(done.calls, 1);
  assert_int_equal(done.code, TETHER_OK);
  assert_int_equal(done.called_back, 9);
  for (int i = 0; i < 9; i++) assert_replied(i);
  tst_latch_fini(&done.latch);
}

static void a_group_with_on_done_takes_no_more_calls(void **state) {
  struct park_live *live = park_live();
  (void)state;
  done = (struct done){0};
  tst_latch_init(&done.latch);
  park_live_group(tether_ctx_background(), TETHER_GROUP_ALL, 0);
  park_live_start_unary(1);
  assert_int_equal(tether_group_on_done(live->group, free_group, NULL), TETHER_OK);
  tether_call *late = park_live_start(1, &tst_park_unary, "late");
  assert_int_equal(tether_call_wait(late), TETHER_FAILED_PRECONDITION);
  assert_string_equal(tether_call_message(late), "the group takes no more members");
  assert_true(tst_parked_end(park_live_unary(0), TETHER_OK));
  assert_true(tst_latch_wait(&done.latch, TST_BOUND_NS));
  assert_int_equal(done.code, TETHER_OK); /* it was no member */
  assert_int_equal(tst_park_arrived(live->parks[1]), 0);
  tst_latch_fini(&done.latch);
}

static int threads(void) {
  int count = 0;
  DIR *dir = opendir("/proc/self/task");
  for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) count += e->d_name[0] != '.';
  if (dir) closedir(dir);
  return count;
}

static void hundreds_of_calls_wait_without_a_thread_each(void **state) {
  enum { CALLS = 500 };
  (void)state;
  park_live_group(tether_ctx_background(), TETHER_GROUP_ALL, 0);
  park_live_start_unary(3); /* whatever threads there are have been started by now */
  const int before = threads();
  for (int i = 3; i < CALLS; i++) {
    char name[16];
    snprintf(name, sizeof name, "%d", i);
    (void)park_live_start(i % LIVE_PARKS, &tst_park_unary, name);
  }
  for (int i = 0; i < LIVE_PARKS; i++) assert_true(tst_park_wait_arrived(park_live()->parks[i], CALLS / LIVE_PARKS));
  assert_int_equal(threads(), before);
  assert_true(tst_parked_end(park_live_unary(250), TETHER_ABORTED));
  assert_int_equal(wait_for_group(), TETHER_ABORTED);
  assert_int_equal(threads(), before);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      with_live_parks(waiting_for_all_gives_every_reply),
      with_live_parks(the_first_error_ends_unary_and_streaming_calls_on_every_server),
      with_live_parks(the_failure_of_a_stream_ends_the_others),
      with_live_parks(later_failures_do_not_replace_the_first),
      with_live_parks(what_a_stream_sent_before_a_good_end_is_still_there_after_the_group),
      with_live_parks(a_siblings_failure_releases_blocked_senders_and_receivers_on_both_sides),
      with_live_parks(the_first_success_ends_the_rest_with_cause_enough),
      with_live_parks(a_quorum_tolerates_failures_and_ends_the_rest_once_reached),
      with_live_parks(a_quorum_out_of_reach_ends_the_rest_and_returns_the_first_failure),
      with_live_parks(nothing_is_out_of_reach_before_the_group_is_waited_for),
      with_live_parks(collecting_ends_nothing_and_returns_what_came_before_the_cancel),
      with_live_parks(collecting_nothing_returns_the_first_failure),
      with_live_parks(every_callback_has_run_when_the_wait_returns),
      with_live_parks(the_group_calls_back_after_the_last_call_and_may_be_freed_there),
      with_live_parks(a_group_with_on_done_takes_no_more_calls),
      with_live_parks(hundreds_of_calls_wait_without_a_thread_each),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
