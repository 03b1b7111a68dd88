/* A client that is told that it asks for signs of life too often asks half as often from then on (gRFC A8): on all
 * connections that come after, to whichever address. In virtual time, with peers that say what the test has them say.
 */
#include <string.h>

#include "tests/support/mem_bank.h"
#include "tests/support/rpc_test.h"

#define TIME (10 * TETHER_SEC)

static tether_client *client_of(const char *target) {
  const tether_client_options options = {.keepalive = {.time_ns = TIME, .permit_without_calls = true},
                                         .balancing = TETHER_ROUND_ROBIN};
  return tst_bank_client(target, &options);
}

static size_t pings(int at) {
  const tst_frames *heard = &tst_bank_now.peers[at].heard;
  size_t count = 0, pos = 0;
  for (tth_frame frame; tst_frames_find(heard->bytes, heard->len, &pos, TTH_PING, 0, &frame);) count++;
  return count;
}

/* HELLO, and then silence: how long until the client asks. */
static int64_t asks_after(int at) {
  tst_bank_hello(at);
  size_t before = pings(at); /* about the clock */
  int64_t since_ns = tether_now_ns();
  for (int i = 0; i < 1000 && pings(at) == before; i++) tst_bank_move(TETHER_SEC);
  assert_int_equal(pings(at), before + 1);
  return tether_now_ns() - since_ns;
}

static void say_goaway(int at, const char *why) {
  tst_frames frames = {0};
  Tether__V1__Goaway goaway = TETHER__V1__GOAWAY__INIT;
  goaway.message = (char *)why;
  tst_frames_add(&frames, TTH_GOAWAY, 0, 0, &goaway.base);
  tst_mem_peer_say_frames(&tst_bank_now.peers[at], &frames);
  tst_frames_fini(&frames);
}

/* Down, up again, and connected. */
static void begin_anew(int at) {
  tst_bank_down(at);
  tst_bank_up(at);
  for (int i = 0; i < 200 && !tst_bank_is_connected(at); i++) tst_bank_move(TETHER_SEC);
}

static void a_client_that_is_told_too_many_pings_asks_half_as_often_on_its_next_connection(void **state) {
  (void)state;
  tst_bank_up(0);
  tether_client *client = client_of("mem://a");
  tst_bank_pump();
  assert_int_equal(asks_after(0), TIME);
  say_goaway(0, "too_many_pings");
  begin_anew(0);
  assert_int_equal(asks_after(0), 2 * TIME);
  say_goaway(0, "too_many_pings");
  begin_anew(0);
  assert_int_equal(asks_after(0), 4 * TIME);
  tst_bank_close(client);
}

static void other_reasons_to_go_leave_the_interval_as_it_is(void **state) {
  (void)state;
  static const char *const reasons[] = {"max_age", "", NULL, "too_many_pings, or so"};
  tst_bank_up(0);
  tether_client *client = client_of("mem://a");
  tst_bank_pump();
  for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
    assert_int_equal(asks_after(0), TIME);
    say_goaway(0, reasons[i]);
    begin_anew(0);
  }
  assert_int_equal(asks_after(0), TIME);
  tst_bank_close(client);
}

static void it_holds_for_all_addresses_and_two_that_complain_of_the_same_interval_double_it_once(void **state) {
  (void)state;
  tst_bank_up(0);
  tst_bank_up(1);
  tether_client *client = client_of("mem://a,mem://b");
  tst_bank_pump();
  tst_bank_hello(0);
  tst_bank_hello(1);
  say_goaway(0, "too_many_pings");
  say_goaway(1, "too_many_pings"); /* it was asked as often */
  begin_anew(1);
  assert_int_equal(asks_after(1), 2 * TIME);
  tst_bank_close(client);
}

static void a_client_that_never_asks_is_told_in_vain(void **state) {
  (void)state;
  tst_bank_up(0);
  tether_client *client = tst_bank_client("mem://a", NULL);
  tst_bank_pump();
  tst_bank_hello(0);
  say_goaway(0, "too_many_pings");
  begin_anew(0);
  tst_bank_hello(0);
  size_t before = pings(0);
  tst_bank_move(100 * TIME);
  assert_int_equal(pings(0), before);
  tst_bank_close(client);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TST_BANK_CASE(a_client_that_is_told_too_many_pings_asks_half_as_often_on_its_next_connection),
      TST_BANK_CASE(other_reasons_to_go_leave_the_interval_as_it_is),
      TST_BANK_CASE(it_holds_for_all_addresses_and_two_that_complain_of_the_same_interval_double_it_once),
      TST_BANK_CASE(a_client_that_never_asks_is_told_in_vain),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
