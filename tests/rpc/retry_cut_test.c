/* A call whose context ends between an attempt's failure and the decision to try again ends with its context. In
 * virtual time: the decision draws a random number, and a hedged attempt ends for interceptors before it counts. */
#include <tether/interceptor.h>

#include "tests/support/retry_sim.h"

enum moment { CANCELLED, EXPIRED };

/* What happens meanwhile. */
static struct {
  bool armed;
  enum moment moment;
  tether_call *call;
} meanwhile;

#define TIMEOUT (50 * TETHER_MS)

static void happen(void) {
  if (!meanwhile.armed) return;
  meanwhile.armed = false;
  if (meanwhile.moment == CANCELLED)
    tether_call_cancel(meanwhile.call, NULL);
  else
    (void)ctx_sim_advance(TIMEOUT);
}

void __wrap_tth_random(void *bytes, size_t len);
void __wrap_tth_random(void *bytes, size_t len) {
  memset(bytes, 1, len);
  bool ending = meanwhile.armed && (atomic_load(&meanwhile.call->state) & TTH_CALL_PHASE) == TTH_CALL_ENDING;
  if (ending) happen(); /* else it is for a connection's delay */
}

static void see_end(void *data, tether_call *call, const tether_call_summary *summary, void *state) {
  (void)data, (void)call, (void)summary, (void)state;
  happen();
}

static const tether_interceptor interceptor = {.end = see_end};
static const tether_interceptor *const interceptors[] = {&interceptor, NULL};

/* Starts a call that has arrived, and to which that happens next. */
static void start(struct retried *r, tether_client *client, enum moment moment) {
  const tether_call_options options = {.timeout_ns = TIMEOUT, .reserve_ns = -1};
  retry_start(r, client, &tst_park_unary, &options);
  assert_arrived(1);
  meanwhile.call = r->call;
  meanwhile.moment = moment;
  meanwhile.armed = true;
}

static void assert_cut(struct retried *r, tether_client *client, enum moment moment) {
  assert_false(meanwhile.armed);
  assert_retried(r, moment == CANCELLED ? TETHER_CANCELLED : TETHER_DEADLINE_EXCEEDED, 1);
  park_sim_pump(10 * TETHER_SEC);
  assert_arrived(1);
  assert_int_equal(r->calls, 1);
  retried_free(r, client);
}

static void fails_and_is_cut(enum moment moment, bool lost) {
  struct retried r;
  tether_client *client = retry_client(RETRY_CONFIG("4", ""));
  start(&r, client, moment);
  if (lost) {
    tst_mem_break(retry_dial()->link);
    park_sim_pump(0);
  } else {
    attempt_fails(0, TETHER_UNAVAILABLE, NULL);
  }
  assert_cut(&r, client, moment);
}

static void a_cancel_between_a_failure_and_its_retry_ends_the_call(void **state) {
  (void)state;
  fails_and_is_cut(CANCELLED, false);
}

static void a_deadline_between_a_failure_and_its_retry_ends_the_call(void **state) {
  (void)state;
  fails_and_is_cut(EXPIRED, false);
}

static void a_cancel_between_a_loss_and_its_retry_ends_the_call(void **state) {
  (void)state;
  fails_and_is_cut(CANCELLED, true);
}

static void is_hedged_and_cut(enum moment moment, const char *codes) {
  struct retried r;
  char config[512];
  park_print(
      config, sizeof config,
      "{\"methodConfig\": [{\"name\": [{\"service\": \"testing.v1.Park\"}], \"hedgingPolicy\": {\"maxAttempts\": "
      "3, \"hedgingDelay\": \"1s\", \"nonFatalStatusCodes\": [%s]}}]}",
      codes);
  tether_client *client =
      retry_client_with(&(tether_client_options){.service_config = config, .interceptors = interceptors});
  start(&r, client, moment);
  attempt_fails(0, TETHER_UNAVAILABLE, NULL);
  assert_cut(&r, client, moment);
}

static void a_cancel_between_a_hedged_attempts_failure_and_the_next_ends_the_call(void **state) {
  (void)state;
  is_hedged_and_cut(CANCELLED, "\"UNAVAILABLE\"");
}

static void a_deadline_between_a_hedged_attempts_failure_and_the_next_ends_the_call(void **state) {
  (void)state;
  is_hedged_and_cut(EXPIRED, "\"UNAVAILABLE\", \"DEADLINE_EXCEEDED\"");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      in_park_sim(a_cancel_between_a_failure_and_its_retry_ends_the_call),
      in_park_sim(a_deadline_between_a_failure_and_its_retry_ends_the_call),
      in_park_sim(a_cancel_between_a_loss_and_its_retry_ends_the_call),
      in_park_sim(a_cancel_between_a_hedged_attempts_failure_and_the_next_ends_the_call),
      in_park_sim(a_deadline_between_a_hedged_attempts_failure_and_the_next_ends_the_call),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
