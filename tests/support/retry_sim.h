/* A client with a retry policy and the parking server "a" of park_sim.h, in virtual time. */
#ifndef TESTS_SUPPORT_RETRY_SIM_H
#define TESTS_SUPPORT_RETRY_SIM_H

#include "tests/support/park_sim.h"

/* The first back-off, and what jitter makes of it. */
#define BACKOFF (100 * TETHER_MS)
#define BACKOFF_LEAST (80 * TETHER_MS)
#define BACKOFF_MOST (120 * TETHER_MS)

#define RETRY_POLICY(attempts)                       \
  "\"retryPolicy\": {\"maxAttempts\": " attempts     \
  ", \"initialBackoff\": \"0.1s\", \"maxBackoff\": " \
  "\"1s\", \"backoffMultiplier\": 2, \"retryableStatusCodes\": [\"UNAVAILABLE\", \"ABORTED\"]}"
#define RETRY_CONFIG(attempts, more) \
  "{\"methodConfig\": [{\"name\": [{\"service\": \"testing.v1.Park\"}], " RETRY_POLICY(attempts) "}]" more "}"

/* A call and what its callback saw. */
struct retried {
  tether_call *call;
  int calls;
  tether_code code;
};

static inline void retried_done(tether_call *call, void *data) {
  struct retried *r = data;
  r->calls++;
  r->code = tether_call_code(call);
}

/* The last connection that was made, of one client at a time. */
struct retry_dial {
  tth_transport transport;
  tth_link *link;
  void (*done)(void *owner, tth_link *link, const char *why);
  void *owner;
};

static inline struct retry_dial *retry_dial(void) {
  static struct retry_dial dial;
  return &dial;
}

static inline void retry_dialed(void *owner, tth_link *link, const char *why) {
  struct retry_dial *dial = owner;
  dial->link = link;
  dial->done(dial->owner, link, why);
}

static inline void retry_dials(tth_dialer *dialer, int64_t timeout_ns,
                               void (*done)(void *owner, tth_link *link, const char *why), void *owner) {
  struct retry_dial *dial = retry_dial();
  dial->done = done;
  dial->owner = owner;
  tst_transport_mem.dial(dialer, timeout_ns, retry_dialed, dial);
}

static inline tether_client *retry_client_with(const tether_client_options *options) {
  tether_client *client = NULL;
  retry_dial()->transport = tst_transport_mem;
  retry_dial()->transport.dial = retry_dials;
  assert_int_equal(tth_client_open_on(&retry_dial()->transport, "mem://a", options, &client), TETHER_OK);
  park_sim_pump(0);
  assert_int_equal(tether_client_connectivity(client), TETHER_READY);
  return client;
}

static inline tether_client *retry_client(const char *config) {
  return retry_client_with(&(tether_client_options){.service_config = config});
}

static inline void retry_start(struct retried *r, tether_client *client, const tether_method *method,
                               const tether_call_options *options) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.name = (char *)"retry";
  bool streams = method->flags & TETHER_METHOD_CLIENT_STREAMING;
  *r = (struct retried){0};
  r->call = tether_call_start(client, tether_ctx_background(), method, streams ? NULL : &request.base, options,
                              retried_done, r);
  park_sim_pump(0);
}

/* Under the context. */
static inline void retry_start_under(const tether_ctx *ctx, struct retried *r, tether_client *client,
                                     const tether_call_options *options) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.name = (char *)"under";
  *r = (struct retried){0};
  r->call = tether_call_start(client, ctx, &tst_park_unary, &request.base, options, retried_done, r);
  park_sim_pump(0);
}

/* As a member of the group. */
static inline void retry_start_in(tether_group *group, struct retried *r, tether_client *client) {
  const tether_call_options options = {.group = group};
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.name = (char *)"member";
  *r = (struct retried){0};
  r->call =
      tether_call_start(client, tether_group_ctx(group), &tst_park_unary, &request.base, &options, retried_done, r);
}

static inline tst_park *retry_park(void) { return park_sim()->parks[0]; }

/* The i-th attempt to arrive. */
static inline tst_parked *attempt_at(int i) { return park_sim_parked(0, i); }

/* Ends it; the trailers have this pushback, if one is given. */
static inline void attempt_fails(int i, tether_code code, const char *pushback) {
  tst_parked *parked = attempt_at(i);
  if (pushback)
    assert_int_equal(tether_call_add_trailer(parked->call, "grpc-retry-pushback-ms", pushback, strlen(pushback)),
                     TETHER_OK);
  assert_true(tst_parked_end(parked, code));
  park_sim_pump(0);
}

#define assert_arrived(count) assert_int_equal(tst_park_arrived(retry_park()), (count))

/* The back-off before the next attempt is of this length, jitter aside; `count` have arrived then. */
static inline void assert_backoff_at(int64_t backoff_ns, int count, const char *file, int line) {
  int64_t before_ns = backoff_ns - backoff_ns / 5 - TETHER_MS;
  park_sim_pump(before_ns);
  _assert_int_equal(tst_park_arrived(retry_park()), count - 1, file, line);
  park_sim_pump(backoff_ns + backoff_ns / 5 - before_ns + TETHER_MS);
  _assert_int_equal(tst_park_arrived(retry_park()), count, file, line);
}
#define assert_backoff(backoff_ns, count) assert_backoff_at(backoff_ns, count, __FILE__, __LINE__)

/* The call has ended, once, with this code. */
static inline void assert_retried_at(struct retried *r, tether_code code, unsigned attempts, const char *file,
                                     int line) {
  _assert_int_equal(r->calls, 1, file, line);
  rpc_assert_code_at(r->call, code, file, line);
  _assert_int_equal(tether_call_attempts(r->call), attempts, file, line);
}
#define assert_retried(r, code, attempts) assert_retried_at(r, code, attempts, __FILE__, __LINE__)

static inline void retried_free(struct retried *r, tether_client *client) {
  tether_call_unref(r->call);
  park_sim_close_client(client);
}

#endif
