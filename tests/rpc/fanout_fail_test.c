/* Fan-out: deadlines, cancels, lost servers, calls that are never sent: whatever ends one call ends the group, and the
 * others learn of it. */
#include "tests/support/park_live.h"
#include "tests/support/park_sim.h"

#define UNARY "/testing.v1.Park/Unary"

/* What the losers are told of a failed unary call. */
static const char *failed(int i, tether_code code) {
  static char text[256];
  park_print(text, sizeof text, "call " UNARY " to %s #%d failed: %s", park_live()->urls[i % LIVE_PARKS], i,
             tether_code_name(code));
  return text;
}

static tether_code wait_for_group(void) { return tether_group_wait(park_live()->group); }

/* ---- In virtual time ----------------------------------------------------------------------- */

/* Starts the i-th call on the i-th server, with a timeout of its own. */
static tether_call *start_with_reserve(tether_group *group, int i, int64_t timeout_ns, int64_t reserve_ns) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_call_options options = {.group = group, .timeout_ns = timeout_ns, .reserve_ns = reserve_ns};
  tether_call *call = tether_call_start(park_sim()->clients[i], tether_group_ctx(group), &tst_park_unary, &request.base,
                                        &options, NULL, NULL);
  park_sim_pump(0);
  return call;
}

static tether_call *start_in_sim(tether_group *group, int i, int64_t timeout_ns) {
  return start_with_reserve(group, i, timeout_ns, -1);
}

static void what_comes_before_the_deadline_is_collected_and_the_rest_ends_with_it(void **state) {
  tether_group *group;
  tether_call *calls[PARKS];
  TETHER_SCOPED tether_ctx *parent = tether_ctx_with_timeout(tether_ctx_background(), 50 * TETHER_MS);
  (void)state;
  assert_int_equal(tether_group_new(parent, &group), TETHER_OK);
  assert_int_equal(tether_group_set_rule(group, TETHER_GROUP_COLLECT, 0), TETHER_OK);
  for (int i = 0; i < PARKS; i++) calls[i] = start_in_sim(group, i, 0);
  park_sim_pump(50 * TETHER_MS - 1);
  assert_true(tst_parked_end(park_sim_parked(1, 0), TETHER_OK));
  park_sim_pump(0);
  park_sim_pump(1);
  assert_int_equal(tether_group_wait(group), TETHER_OK);
  rpc_assert_code(calls[0], TETHER_DEADLINE_EXCEEDED);
  rpc_assert_code(calls[1], TETHER_OK);
  rpc_assert_code(calls[2], TETHER_DEADLINE_EXCEEDED);
  park_assert_cut(park_sim_parked(0, 0), TETHER_CAUSE_DEADLINE, NULL);
  park_assert_cut(park_sim_parked(2, 0), TETHER_CAUSE_DEADLINE, NULL);
  for (int i = 0; i < PARKS; i++) tether_call_unref(calls[i]);
  tether_group_free(group);
}

static void a_calls_own_deadline_is_a_failure_like_others(void **state) {
  tether_group *group;
  tether_call *calls[PARKS];
  (void)state;
  assert_int_equal(tether_group_new(tether_ctx_background(), &group), TETHER_OK);
  for (int i = 0; i < PARKS; i++) calls[i] = start_in_sim(group, i, i == 1 ? 10 * TETHER_MS : 0);
  park_sim_pump(10 * TETHER_MS);
  assert_int_equal(tether_group_wait(group), TETHER_DEADLINE_EXCEEDED);
  park_sim_pump(0);
  park_assert_cut(park_sim_parked(0, 0), TETHER_CAUSE_SIBLING,
                  "call " UNARY " to mem://b #1 failed: DEADLINE_EXCEEDED");
  park_assert_cut(park_sim_parked(1, 0), TETHER_CAUSE_DEADLINE, NULL);
  rpc_assert_code(calls[2], TETHER_CANCELLED);
  for (int i = 0; i < PARKS; i++) tether_call_unref(calls[i]);
  tether_group_free(group);
}

static void the_groups_deadline_ends_every_call_with_cause_deadline(void **state) {
  tether_group *group;
  tether_call *calls[PARKS];
  TETHER_SCOPED tether_ctx *parent = tether_ctx_with_timeout(tether_ctx_background(), 50 * TETHER_MS);
  (void)state;
  assert_int_equal(tether_group_new(parent, &group), TETHER_OK);
  for (int i = 0; i < PARKS; i++) calls[i] = start_in_sim(group, i, 0);
  park_sim_pump(50 * TETHER_MS);
  assert_int_equal(tether_group_wait(group), TETHER_DEADLINE_EXCEEDED);
  for (int i = 0; i < PARKS; i++) {
    rpc_assert_code(calls[i], TETHER_DEADLINE_EXCEEDED);
    park_assert_cut(park_sim_parked(i, 0), TETHER_CAUSE_DEADLINE, NULL);
    tether_call_unref(calls[i]);
  }
  tether_group_free(group);
}

static void a_server_that_gives_up_a_little_before_the_groups_deadline_is_no_failed_sibling(void **state) {
  tether_group *group;
  tether_call *calls[PARKS];
  TETHER_SCOPED tether_ctx *parent = tether_ctx_with_timeout(tether_ctx_background(), 50 * TETHER_MS);
  (void)state;
  assert_int_equal(tether_group_new(parent, &group), TETHER_OK);
  for (int i = 0; i < PARKS; i++) calls[i] = start_with_reserve(group, i, 0, 0);
  park_sim_pump(49 * TETHER_MS); /* each server was given so much */
  park_sim_pump(0);
  rpc_assert_code(calls[1], TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(tether_ctx_err(tether_group_ctx(group)), TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(tether_cause_get_code(tether_ctx_cause(tether_group_ctx(group))), TETHER_CAUSE_DEADLINE);
  assert_int_equal(tether_ctx_err(parent), TETHER_OK); /* which has a millisecond left */
  park_sim_pump(0);
  assert_int_equal(tether_group_wait(group), TETHER_DEADLINE_EXCEEDED);
  for (int i = 0; i < PARKS; i++) {
    rpc_assert_code(calls[i], TETHER_DEADLINE_EXCEEDED);
    tether_call_unref(calls[i]);
  }
  tether_group_free(group);
}

static void a_server_that_gives_up_long_before_the_groups_deadline_is_a_failed_sibling(void **state) {
  tether_group *group;
  tether_call *calls[PARKS];
  TETHER_SCOPED tether_ctx *parent = tether_ctx_with_timeout(tether_ctx_background(), 50 * TETHER_MS);
  (void)state;
  assert_int_equal(tether_group_new(parent, &group), TETHER_OK);
  for (int i = 0; i < PARKS; i++) calls[i] = start_with_reserve(group, i, 0, 0);
  park_sim_pump(25 * TETHER_MS); /* one with a bound of its own */
  assert_true(tst_parked_end(park_sim_parked(1, 0), TETHER_DEADLINE_EXCEEDED));
  park_sim_pump(0);
  assert_int_equal(tether_cause_get_code(tether_ctx_cause(tether_group_ctx(group))), TETHER_CAUSE_SIBLING);
  park_sim_pump(0);
  assert_int_equal(tether_group_wait(group), TETHER_DEADLINE_EXCEEDED);
  rpc_assert_code(calls[0], TETHER_CANCELLED);
  for (int i = 0; i < PARKS; i++) tether_call_unref(calls[i]);
  tether_group_free(group);
}

/* The server's clock may be ahead of the caller's timer. */
static void a_server_that_is_the_first_to_see_the_deadline_is_no_failed_sibling(void **state) {
  struct park_sim *sim = park_sim();
  tether_group *group;
  tether_call *calls[PARKS];
  TETHER_SCOPED tether_ctx *parent = tether_ctx_with_timeout(tether_ctx_background(), 50 * TETHER_MS);
  (void)state;
  assert_int_equal(tether_group_new(parent, &group), TETHER_OK);
  for (int i = 0; i < PARKS; i++) calls[i] = start_in_sim(group, i, 0);
  atomic_fetch_add(&ctx_sim_get()->now_ns, 50 * TETHER_MS); /* and no timer has run yet */
  assert_true(tst_parked_end(park_sim_parked(1, 0), TETHER_DEADLINE_EXCEEDED));
  tst_link_mem_advance(sim->net, tether_now_ns());
  rpc_assert_code(calls[1], TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(tether_cause_get_code(tether_ctx_cause(tether_group_ctx(group))), TETHER_CAUSE_DEADLINE);
  park_sim_pump(0);
  assert_int_equal(tether_group_wait(group), TETHER_DEADLINE_EXCEEDED);
  for (int i = 0; i < PARKS; i++) {
    rpc_assert_code(calls[i], TETHER_DEADLINE_EXCEEDED);
    if (i != 1) park_assert_cut(park_sim_parked(i, 0), TETHER_CAUSE_DEADLINE, NULL);
    tether_call_unref(calls[i]);
  }
  tether_group_free(group);
}

/* ---- Other ways to fail -------------------------------------------------------------------- */

static void cancelling_the_parent_ends_every_call_with_its_cause_and_origin(void **state) {
  TETHER_SCOPED tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  (void)state;
  park_live_group(parent, TETHER_GROUP_ALL, 0);
  park_live_start_unary(3);
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_OTHER, "user", "changed my mind");
  tether_ctx_cancel_cause(parent, cause);
  tether_cause_unref(cause);
  assert_int_equal(wait_for_group(), TETHER_CANCELLED);
  for (int i = 0; i < 3; i++) {
    assert_both_cut(park_live()->calls[i], park_live_unary(i), TETHER_CAUSE_OTHER, "changed my mind");
    assert_string_equal(tether_cause_origin(park_live_unary(i)->cause), "user");
  }
}

static void cancelling_one_call_fails_the_group(void **state) {
  (void)state;
  park_live_group(tether_ctx_background(), TETHER_GROUP_ALL, 0);
  park_live_start_unary(2);
  tether_cause *cause = tether_cause_newf(TETHER_CAUSE_OTHER, "not this one");
  tether_call_cancel(park_live()->calls[0], cause);
  tether_cause_unref(cause);
  assert_int_equal(wait_for_group(), TETHER_CANCELLED);
  park_assert_cut(park_live_unary(0), TETHER_CAUSE_OTHER, "not this one");
  assert_both_cut(park_live()->calls[1], park_live_unary(1), TETHER_CAUSE_SIBLING, failed(0, TETHER_CANCELLED));
}

static void a_server_that_stops_is_a_failure_and_the_others_learn_of_it(void **state) {
  struct park_live *live = park_live();
  (void)state;
  park_live_group(tether_ctx_background(), TETHER_GROUP_ALL, 0);
  park_live_start_unary(3);
  tst_parked *survivor = park_live_unary(0);
  tst_park_close(live->parks[2]);
  live->parks[2] = NULL;
  assert_int_equal(wait_for_group(), TETHER_UNAVAILABLE);
  rpc_assert_code(live->calls[2], TETHER_UNAVAILABLE);
  assert_both_cut(live->calls[0], survivor, TETHER_CAUSE_SIBLING, failed(2, TETHER_UNAVAILABLE));
}

static void a_call_that_cannot_be_sent_fails_the_group_and_later_calls_are_not_sent(void **state) {
  struct park_live *live = park_live();
  char url[128];
  (void)state;
  park_live_group(tether_ctx_background(), TETHER_GROUP_ALL, 0);
  park_live_start_unary(1);
  tether_client *real = live->clients[1];
  park_print(url, sizeof url, "ipc://%s/nobody", live->dir);
  assert_int_equal(tether_client_open(url, NULL, &live->clients[1]), TETHER_OK);
  tether_call *lost = park_live_start(1, &tst_park_unary, "lost");
  tether_client *nobody = live->clients[1];
  live->clients[1] = real;
  assert_int_equal(tether_call_wait(lost), TETHER_UNAVAILABLE);
  char text[256];
  park_print(text, sizeof text, "call " UNARY " to %s #1 failed: UNAVAILABLE", url);
  assert_both_cut(live->calls[0], park_live_unary(0), TETHER_CAUSE_SIBLING, text);
  tether_call *late = park_live_start(1, &tst_park_unary, "late");
  assert_int_equal(tether_call_wait(late), TETHER_CANCELLED);
  assert_string_equal(tether_cause_text(tether_call_cause(late)), text);
  assert_int_equal(wait_for_group(), TETHER_UNAVAILABLE);
  tether_client_close(nobody);
  tether_client_close(real); /* in good order: what was sent has arrived */
  live->clients[1] = NULL;
  assert_int_equal(tst_park_arrived(live->parks[1]), 0);
}

static void a_call_refused_before_it_is_sent_fails_the_group(void **state) {
  struct park_live *live = park_live();
  (void)state;
  park_live_group(tether_ctx_background(), TETHER_GROUP_ALL, 0);
  park_live_start_unary(1);
  tether_call_options options = {.group = live->group};
  tether_call_unref(tether_call_start(live->clients[0], tether_group_ctx(live->group), &tst_park_unary, NULL, &options,
                                      NULL, NULL)); /* no request */
  assert_int_equal(wait_for_group(), TETHER_INVALID_ARGUMENT);
  park_assert_cut(park_live_unary(0), TETHER_CAUSE_SIBLING, NULL);
}

static tether_code wait_out(const tether_ctx *ctx, void *data) {
  (void)data;
  return tether_ctx_wait(ctx, TETHER_FOREVER);
}

static tether_code fail_now(const tether_ctx *ctx, void *data) {
  (void)ctx, (void)data;
  return TETHER_OUT_OF_RANGE;
}

static void a_failing_task_ends_calls_and_a_failing_call_ends_tasks(void **state) {
  struct park_live *live = park_live();
  (void)state;
  park_live_group(tether_ctx_background(), TETHER_GROUP_ALL, 0);
  park_live_start_unary(1);
  assert_int_equal(tether_group_go(live->group, fail_now, NULL), TETHER_OK);
  assert_int_equal(wait_for_group(), TETHER_OUT_OF_RANGE);
  assert_both_cut(live->calls[0], park_live_unary(0), TETHER_CAUSE_SIBLING, "task #1 failed: OUT_OF_RANGE");
  tether_group_free(live->group);
  park_live_group(tether_ctx_background(), TETHER_GROUP_ALL, 0);
  (void)park_live_start(2, &tst_park_unary, "bad");
  assert_int_equal(tether_group_go(live->group, wait_out, NULL), TETHER_OK);
  assert_true(tst_parked_end(park_live_handler(2, "bad"), TETHER_ABORTED));
  assert_int_equal(wait_for_group(), TETHER_ABORTED);
}

static void closing_a_client_ends_its_calls_and_so_the_group(void **state) {
  struct park_live *live = park_live();
  (void)state;
  park_live_group(tether_ctx_background(), TETHER_GROUP_ALL, 0);
  park_live_start_unary(2);
  tether_client_close(live->clients[0]);
  live->clients[0] = NULL;
  assert_int_equal(wait_for_group(), TETHER_CANCELLED);
  rpc_assert_code(live->calls[0], TETHER_CANCELLED);
  assert_both_cut(live->calls[1], park_live_unary(1), TETHER_CAUSE_SIBLING, failed(0, TETHER_CANCELLED));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      in_park_sim(what_comes_before_the_deadline_is_collected_and_the_rest_ends_with_it),
      in_park_sim(a_calls_own_deadline_is_a_failure_like_others),
      in_park_sim(the_groups_deadline_ends_every_call_with_cause_deadline),
      in_park_sim(a_server_that_gives_up_a_little_before_the_groups_deadline_is_no_failed_sibling),
      in_park_sim(a_server_that_gives_up_long_before_the_groups_deadline_is_a_failed_sibling),
      in_park_sim(a_server_that_is_the_first_to_see_the_deadline_is_no_failed_sibling),
      with_live_parks(cancelling_the_parent_ends_every_call_with_its_cause_and_origin),
      with_live_parks(cancelling_one_call_fails_the_group),
      with_live_parks(a_server_that_stops_is_a_failure_and_the_others_learn_of_it),
      with_live_parks(a_call_that_cannot_be_sent_fails_the_group_and_later_calls_are_not_sent),
      with_live_parks(a_call_refused_before_it_is_sent_fails_the_group),
      with_live_parks(a_failing_task_ends_calls_and_a_failing_call_ends_tasks),
      with_live_parks(closing_a_client_ends_its_calls_and_so_the_group),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
