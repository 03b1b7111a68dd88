/* Three interceptors at each side of an rpc_fixture, which note what they see. */
#ifndef TESTS_SUPPORT_WITNESS_H
#define TESTS_SUPPORT_WITNESS_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tether/interceptor.h>

#include "tests/support/rpc_test.h"

/* One interceptor of the test: notes what it sees in the order it sees it, with its letter. */
struct witness {
  char letter;
  tether_code refuse;            /* begin returns it */
  void (*meddle)(tether_call *); /* called by begin */
  atomic_int begins, ends;
  _Atomic size_t sent, sent_bytes, received, received_bytes;
  /* of the last end; written before `ends` grows */
  tether_code code;
  tether_call_summary summary;
  unsigned attempts;
  char path[64], message[128];
  bool served, stateless;
  atomic_bool mixed_up; /* what must not be was seen */
};

static struct {
  struct witness client[3], server[3];
  pthread_mutex_t mu;
  char order[256]; /* under mu */
} t = {.mu = PTHREAD_MUTEX_INITIALIZER};

static inline void note(bool server, char hook, char letter) {
  pthread_mutex_lock(&t.mu);
  size_t len = strlen(t.order);
  snprintf(t.order + len, sizeof t.order - len, "%c%c%c ", server ? 's' : 'c', hook, letter);
  pthread_mutex_unlock(&t.mu);
}

static inline tether_code witness_begin(void *data, tether_call *call, void **state) {
  struct witness *w = data;
  note(tether_call_is_server(call), '<', w->letter);
  atomic_fetch_add(&w->begins, 1);
  if (*state) w->mixed_up = true;
  *state = tether_call_strdup(call, "state");
  if (w->meddle) w->meddle(call);
  return w->refuse == TETHER_OK ? TETHER_OK : tether_call_fail(call, w->refuse, "%c says no", w->letter);
}

static inline void witness_message(void *data, tether_call *call, bool sent, size_t bytes, void *state) {
  struct witness *w = data;
  (void)call;
  if (!state || strcmp(state, "state") != 0) w->mixed_up = true;
  atomic_fetch_add(sent ? &w->sent : &w->received, 1);
  atomic_fetch_add(sent ? &w->sent_bytes : &w->received_bytes, bytes);
}

static inline void witness_end(void *data, tether_call *call, const tether_call_summary *summary, void *state) {
  struct witness *w = data;
  if (state && strcmp(state, "state") != 0) w->mixed_up = true;
  pthread_mutex_lock(&t.mu); /* calls may end at the same time */
  w->stateless = !state;
  w->code = tether_call_code(call);
  w->summary = *summary;
  w->attempts = tether_call_attempts(call);
  w->served = tether_call_method(call);
  snprintf(w->path, sizeof w->path, "%s", tether_call_path(call));
  snprintf(w->message, sizeof w->message, "%s", tether_call_message(call));
  pthread_mutex_unlock(&t.mu);
  note(tether_call_is_server(call), '>', w->letter);
  atomic_fetch_add(&w->ends, 1);
}

#define WITNESS(which) \
  { .begin = witness_begin, .message = witness_message, .end = witness_end, .data = &(which) }
static const tether_interceptor tables[2][3] = {{WITNESS(t.client[0]), WITNESS(t.client[1]), WITNESS(t.client[2])},
                                                {WITNESS(t.server[0]), WITNESS(t.server[1]), WITNESS(t.server[2])}};
static const tether_interceptor nothing; /* hooks may be NULL */
static const tether_interceptor *const of_client[] = {&tables[0][0], &nothing, &tables[0][1], &tables[0][2], NULL};
static const tether_interceptor *const of_server[] = {&tables[1][0], &tables[1][1], &nothing, &tables[1][2], NULL};

static inline size_t encode_text(const void *value, uint8_t *buf, size_t size) {
  size_t len = strlen(value);
  if (len <= size) memcpy(buf, value, len);
  return len;
}
static inline void *decode_text(const uint8_t *bytes, size_t len) { return strndup((const char *)bytes, len); }
static const tether_key tenant = {
    .name = "tenant", .forward = TETHER_FORWARD_ALL, .encode = encode_text, .decode = decode_text, .free = free};
static const tether_key *const keys[] = {&tenant, NULL};

static inline int witness_setup(void **state) {
  memset(&t.client, 0, sizeof t.client);
  memset(&t.server, 0, sizeof t.server);
  for (int i = 0; i < 3; i++) t.client[i].letter = t.server[i].letter = (char)('1' + i);
  t.order[0] = '\0';
  const tether_server_options server = {.interceptors = of_server, .keys = keys};
  const tether_client_options client = {.interceptors = of_client};
  return rpc_fixture_open(state, &server, &client);
}

static inline tether_ctx *bounded(void) { return tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS); }

static inline Testing__V1__Request request_of(const char *name) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.name = (char *)name;
  return request;
}

typedef tether_call *(*unary_fn)(tether_client *client, const tether_ctx *ctx, const Testing__V1__Request *request,
                                 const tether_call_options *options);

static inline void assert_order(const char *wanted) {
  pthread_mutex_lock(&t.mu);
  char order[sizeof t.order];
  memcpy(order, t.order, sizeof order);
  t.order[0] = '\0';
  pthread_mutex_unlock(&t.mu);
  assert_string_equal(order, wanted);
}

static inline void assert_one_each(int calls) {
  for (int i = 0; i < 3; i++) {
    assert_int_equal(atomic_load(&t.client[i].begins), calls);
    assert_int_equal(atomic_load(&t.client[i].ends), calls);
    assert_int_equal(atomic_load(&t.server[i].begins), calls);
    assert_int_equal(atomic_load(&t.server[i].ends), calls);
    assert_false(t.client[i].mixed_up || t.server[i].mixed_up);
  }
}

#define with_witnesses(test) \
  { #test, test, witness_setup, rpc_fixture_close, NULL }

#endif
