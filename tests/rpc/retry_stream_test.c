/* Streams that are tried again, in virtual time: what was sent is sent again, in order, until something of an answer
 * comes or it is too much to keep. */
#include "tests/support/retry_sim.h"

static void send_number(tether_call *call, uint32_t number) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  bool done = false;
  request.width = number;
  assert_int_equal(tether_call_try_send(call, &request.base, &done), TETHER_OK);
  assert_true(done);
  park_sim_pump(0);
}

/* What the handler has received is first, first + 1, ... up to last, and nothing more yet. */
static void assert_received(tst_parked *parked, uint32_t first, uint32_t last) {
  const ProtobufCMessage *message = NULL;
  bool done = false;
  for (uint32_t number = first; number <= last; number++) {
    assert_int_equal(tether_call_try_recv(parked->call, &message, &done), TETHER_OK);
    assert_true(done && message);
    assert_int_equal(((const Testing__V1__Request *)message)->width, number);
  }
  assert_int_equal(tether_call_try_recv(parked->call, &message, &done), TETHER_OK);
  assert_false(done);
}

static void assert_end(tst_parked *parked) {
  const ProtobufCMessage *message = NULL;
  bool done = false;
  assert_int_equal(tether_call_try_recv(parked->call, &message, &done), TETHER_OK);
  assert_true(done);
  assert_null(message);
}

static void what_was_sent_is_sent_again(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(RETRY_CONFIG("4", ""));
  retry_start(&r, client, &tst_park_upload, NULL);
  for (uint32_t i = 0; i < 5; i++) send_number(r.call, i);
  assert_received(attempt_at(0), 0, 4);
  attempt_fails(0, TETHER_UNAVAILABLE, NULL);
  assert_backoff(BACKOFF, 2);
  assert_received(attempt_at(1), 0, 4);
  send_number(r.call, 5);
  assert_received(attempt_at(1), 5, 5);
  attempt_fails(1, TETHER_UNAVAILABLE, NULL);
  assert_backoff(2 * BACKOFF, 3);
  assert_received(attempt_at(2), 0, 5);
  tether_call_close_send(r.call);
  park_sim_pump(0);
  assert_end(attempt_at(2));
  attempt_fails(2, TETHER_OK, NULL);
  assert_retried(&r, TETHER_OK, 3);
  retried_free(&r, client);
}

static void the_end_of_the_requests_is_sent_again(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(RETRY_CONFIG("4", ""));
  retry_start(&r, client, &tst_park_upload, NULL);
  send_number(r.call, 0);
  tether_call_close_send(r.call);
  park_sim_pump(0);
  attempt_fails(0, TETHER_UNAVAILABLE, NULL);
  assert_backoff(BACKOFF, 2);
  const ProtobufCMessage *message = NULL;
  bool done = false;
  assert_int_equal(tether_call_try_recv(attempt_at(1)->call, &message, &done), TETHER_OK);
  assert_true(done && message);
  assert_end(attempt_at(1));
  attempt_fails(1, TETHER_OK, NULL);
  assert_retried(&r, TETHER_OK, 2);
  retried_free(&r, client);
}

static struct { int can_send, others; } readied;

static void on_ready(tether_call *call, tether_ready_for what, void *data) {
  (void)call;
  (void)data;
  if (what == TETHER_CAN_SEND)
    readied.can_send++;
  else
    readied.others++;
}

static void during_the_wait_nothing_can_be_sent_and_who_wanted_to_is_told(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(RETRY_CONFIG("4", ""));
  retry_start(&r, client, &tst_park_upload, NULL);
  memset(&readied, 0, sizeof readied);
  tether_call_on_ready(r.call, on_ready, NULL);
  send_number(r.call, 0);
  attempt_fails(0, TETHER_UNAVAILABLE, NULL);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  bool done = true;
  assert_int_equal(tether_call_try_send(r.call, &request.base, &done), TETHER_OK);
  assert_false(done);
  assert_backoff(BACKOFF, 2);
  assert_int_equal(readied.can_send, 1);
  send_number(r.call, 1);
  assert_received(attempt_at(1), 0, 1);
  tether_call_close_send(r.call); /* while it waits */
  attempt_fails(1, TETHER_UNAVAILABLE, NULL);
  tether_call_close_send(r.call);
  assert_backoff(2 * BACKOFF, 3);
  const ProtobufCMessage *message = NULL;
  for (int i = 0; i < 2; i++) assert_int_equal(tether_call_try_recv(attempt_at(2)->call, &message, &done), TETHER_OK);
  assert_non_null(message);
  assert_end(attempt_at(2));
  attempt_fails(2, TETHER_OK, NULL);
  assert_retried(&r, TETHER_OK, 3);
  retried_free(&r, client);
}

static void a_half_close_during_the_wait_follows_what_is_sent_again(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(RETRY_CONFIG("4", ""));
  retry_start(&r, client, &tst_park_upload, NULL);
  send_number(r.call, 0);
  attempt_fails(0, TETHER_UNAVAILABLE, NULL);
  tether_call_close_send(r.call);
  assert_backoff(BACKOFF, 2);
  const ProtobufCMessage *message = NULL;
  bool done = false;
  assert_int_equal(tether_call_try_recv(attempt_at(1)->call, &message, &done), TETHER_OK);
  assert_true(done && message);
  assert_end(attempt_at(1));
  attempt_fails(1, TETHER_OK, NULL);
  assert_retried(&r, TETHER_OK, 2);
  retried_free(&r, client);
}

static void a_stream_that_has_sent_too_much_is_committed(void **state) {
  (void)state;
  struct retried r;
  tether_client *client =
      retry_client_with(&(tether_client_options){.service_config = RETRY_CONFIG("4", ""), .retry_call_bytes = 4000});
  retry_start(&r, client, &tst_park_upload, NULL);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  static uint8_t body[1500];
  request.body = (ProtobufCBinaryData){.len = sizeof body, .data = body};
  bool done;
  for (int i = 0; i < 2; i++) assert_int_equal(tether_call_try_send(r.call, &request.base, &done), TETHER_OK);
  park_sim_pump(0);
  assert_in_range(atomic_load(&client->kept_bytes), 3000, 4000);
  attempt_fails(0, TETHER_UNAVAILABLE, NULL);
  assert_backoff(BACKOFF, 2);
  assert_int_equal(tether_call_try_send(r.call, &request.base, &done), TETHER_OK);
  park_sim_pump(0);
  assert_true(done);
  assert_int_equal(atomic_load(&client->kept_bytes), 0);
  attempt_fails(1, TETHER_UNAVAILABLE, NULL);
  assert_retried(&r, TETHER_UNAVAILABLE, 2);
  retried_free(&r, client);
}

static void a_stream_of_replies_is_tried_again_before_the_first(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(RETRY_CONFIG("4", ""));
  retry_start(&r, client, &tst_park_download, NULL);
  attempt_fails(0, TETHER_UNAVAILABLE, NULL);
  assert_backoff(BACKOFF, 2);
  Testing__V1__Reply reply = TESTING__V1__REPLY__INIT;
  const ProtobufCMessage *message = NULL;
  bool done = false;
  assert_int_equal(tether_call_try_send(attempt_at(1)->call, &reply.base, &done), TETHER_OK);
  park_sim_pump(0);
  assert_int_equal(atomic_load(&client->kept_bytes), 0);
  attempt_fails(1, TETHER_UNAVAILABLE, NULL);
  assert_retried(&r, TETHER_UNAVAILABLE, 2);
  assert_int_equal(tether_call_try_recv(r.call, &message, &done), TETHER_OK);
  assert_non_null(message); /* what came before the failure can be read */
  assert_int_equal(tether_call_try_recv(r.call, &message, &done), TETHER_UNAVAILABLE);
  retried_free(&r, client);
}

static void initial_metadata_commits_a_stream(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(RETRY_CONFIG("4", ""));
  retry_start(&r, client, &tst_park_chat, NULL);
  send_number(r.call, 0);
  assert_int_equal(tether_call_send_initial(attempt_at(0)->call), TETHER_OK);
  park_sim_pump(0);
  assert_int_equal(tether_call_wait_initial(r.call), TETHER_OK);
  send_number(r.call, 1); /* is not kept any more */
  assert_int_equal(atomic_load(&client->kept_bytes), 0);
  attempt_fails(0, TETHER_UNAVAILABLE, NULL);
  assert_retried(&r, TETHER_UNAVAILABLE, 1);
  retried_free(&r, client);
}

static void long_messages_are_sent_again_whole(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(RETRY_CONFIG("4", ""));
  retry_start(&r, client, &tst_park_chat, NULL);
  static uint8_t body[50000];
  for (size_t i = 0; i < sizeof body; i++) body[i] = (uint8_t)(i * 37);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.body = (ProtobufCBinaryData){.len = sizeof body, .data = body};
  bool done = false;
  for (uint32_t i = 0; i < 3; i++) {
    request.width = i;
    assert_int_equal(tether_call_try_send(r.call, &request.base, &done), TETHER_OK);
    const ProtobufCMessage *message = NULL;
    park_sim_pump(0);
    assert_int_equal(tether_call_try_recv(attempt_at(0)->call, &message, &done), TETHER_OK);
    assert_non_null(message);
  }
  attempt_fails(0, TETHER_ABORTED, NULL);
  assert_backoff(BACKOFF, 2);
  for (uint32_t i = 0; i < 3; i++) {
    const ProtobufCMessage *message = NULL;
    assert_int_equal(tether_call_try_recv(attempt_at(1)->call, &message, &done), TETHER_OK);
    assert_non_null(message);
    const Testing__V1__Request *got = (const Testing__V1__Request *)message;
    assert_int_equal(got->width, i);
    assert_int_equal(got->body.len, sizeof body);
    assert_memory_equal(got->body.data, body, sizeof body);
    park_sim_pump(0);
  }
  attempt_fails(1, TETHER_OK, NULL);
  assert_retried(&r, TETHER_OK, 2);
  retried_free(&r, client);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      in_park_sim(what_was_sent_is_sent_again),
      in_park_sim(the_end_of_the_requests_is_sent_again),
      in_park_sim(during_the_wait_nothing_can_be_sent_and_who_wanted_to_is_told),
      in_park_sim(a_half_close_during_the_wait_follows_what_is_sent_again),
      in_park_sim(a_stream_that_has_sent_too_much_is_committed),
      in_park_sim(a_stream_of_replies_is_tried_again_before_the_first),
      in_park_sim(initial_metadata_commits_a_stream),
      in_park_sim(long_messages_are_sent_again_whole),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
