/* Three parking servers (park.h) behind sockets, a client of each, and a fan-out over them: a group, and its calls,
 * which the scene keeps. One scene per program. */
#ifndef TESTS_SUPPORT_PARK_LIVE_H
#define TESTS_SUPPORT_PARK_LIVE_H

#include <stdio.h>
#include <stdlib.h>

#include "tests/support/ctx_thread.h"
#include "tests/support/park.h"

enum { LIVE_PARKS = 3, LIVE_CALLS = 512 };

struct park_live {
  char dir[64], urls[LIVE_PARKS][128];
  tst_park *parks[LIVE_PARKS];
  tether_client *clients[LIVE_PARKS];
  tether_group *group;
  tether_call *calls[LIVE_CALLS]; /* the i-th to be started in the group is its member #i */
  int count;
  atomic_int called_back;
};

static inline struct park_live *park_live(void) {
  static struct park_live live;
  return &live;
}

/* cmocka setup: two servers on unix sockets, one on TCP. */
static inline int park_live_setup(void **state) {
  struct park_live *live = park_live();
  memset(live, 0, sizeof *live);
  park_print(live->dir, sizeof live->dir, "/tmp/tether-test-XXXXXX");
  if (ctx_setup(state) != 0 || !mkdtemp(live->dir)) return -1;
  for (int i = 0; i < LIVE_PARKS; i++) {
    park_print(live->urls[i], sizeof live->urls[i], i == 1 ? "tcp://127.0.0.1:0" : "ipc://%s/%d", live->dir, i);
    live->parks[i] = tst_park_open(NULL, live->urls[i]);
    if (!live->parks[i]) return -1;
    if (i == 1) park_print(live->urls[i], sizeof live->urls[i], "tcp://127.0.0.1:%u", tst_park_port(live->parks[i]));
    if (tether_client_open(live->urls[i], NULL, &live->clients[i]) != TETHER_OK) return -1;
  }
  return 0;
}

/* cmocka teardown. */
static inline int park_live_teardown(void **state) {
  struct park_live *live = park_live();
  char path[128];
  for (int i = 0; i < LIVE_PARKS; i++) tether_client_close(live->clients[i]);
  tether_group_free(live->group);
  for (int i = 0; i < live->count; i++) tether_call_unref(live->calls[i]);
  for (int i = 0; i < LIVE_PARKS; i++) {
    tst_park_close(live->parks[i]);
    park_print(path, sizeof path, "%s/%d", live->dir, i);
    unlink(path);
  }
  rmdir(live->dir);
  return ctx_teardown(state);
}

#define with_live_parks(test) \
  { #test, test, park_live_setup, park_live_teardown, NULL }

/* Makes the scene's group. */
static inline void park_live_group(const tether_ctx *parent, tether_group_rule_kind kind, int enough) {
  assert_int_equal(tether_group_new(parent, &park_live()->group), TETHER_OK);
  assert_int_equal(tether_group_set_rule(park_live()->group, kind, enough), TETHER_OK);
}

static inline void park_live_called_back(tether_call *call, void *data) {
  (void)call, (void)data;
  atomic_fetch_add(&park_live()->called_back, 1);
}

/* Starts a call of that name as the next member. */
static inline tether_call *park_live_start(int server, const tether_method *method, const char *name) {
  struct park_live *live = park_live();
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_metadata *metadata = tether_metadata_new();
  assert_true(live->count < LIVE_CALLS && metadata);
  assert_int_equal(tether_metadata_add(metadata, "x-name", name), TETHER_OK);
  tether_call_options options = {.group = live->group, .metadata = metadata};
  bool streams = method->flags & TETHER_METHOD_CLIENT_STREAMING;
  tether_call *call = tether_call_start(live->clients[server], tether_group_ctx(live->group), method,
                                        streams ? NULL : &request.base, &options, park_live_called_back, NULL);
  tether_metadata_free(metadata);
  return live->calls[live->count++] = call;
}

/* Starts `count` unary calls, the i-th to server i % LIVE_PARKS and of name "<i>", and waits until all are there. */
static inline void park_live_start_unary(int count) {
  char name[16];
  for (int i = 0; i < count; i++) {
    snprintf(name, sizeof name, "%d", i);
    (void)park_live_start(i % LIVE_PARKS, &tst_park_unary, name);
  }
  for (int i = 0; i < LIVE_PARKS; i++)
    assert_true(tst_park_wait_arrived(park_live()->parks[i], (count + LIVE_PARKS - 1 - i) / LIVE_PARKS));
}

/* The handler of that name, wherever it is; and of the i-th of those unary calls. */
static inline tst_parked *park_live_handler(int server, const char *name) {
  tst_parked *parked = tst_park_find(park_live()->parks[server], name);
  assert_non_null(parked);
  return parked;
}

static inline tst_parked *park_live_unary(int i) {
  char name[16];
  snprintf(name, sizeof name, "%d", i);
  return park_live_handler(i % LIVE_PARKS, name);
}

/* Ends the handler and waits until the call has ended and left the group, which it does on the connection's thread
 * before the answer to a later call is looked at. */
static inline void park_live_end(int i, tether_code code) {
  struct park_live *live = park_live();
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  assert_true(tst_parked_end(park_live_unary(i), code));
  assert_int_equal(tether_call_wait(live->calls[i]), code);
  tst_park_at_once(live->parks[i % LIVE_PARKS], TETHER_OK);
  TETHER_SCOPED_CALL tether_call *later =
      tether_call_unary(live->clients[i % LIVE_PARKS], tether_ctx_background(), &tst_park_unary, &request.base, NULL);
  rpc_assert_code(later, TETHER_OK);
  tst_park_at_once(live->parks[i % LIVE_PARKS], -1);
}

/* The call was cut with this cause, and its handler too. */
#define assert_both_cut(call, handler, cause, text) \
  park_live_assert_both(call, handler, cause, text, __FILE__, __LINE__)
static inline void park_live_assert_both(tether_call *call, tst_parked *handler, tether_cause_code cause,
                                         const char *text, const char *file, int line) {
  tether_call_wait(call);
  rpc_assert_code_at(call, TETHER_CANCELLED, file, line);
  _assert_int_equal(tether_cause_get_code(tether_call_cause(call)), cause, file, line);
  if (text) _assert_string_equal(tether_cause_text(tether_call_cause(call)), text, file, line);
  park_assert_cut_at(handler, cause, text, file, line);
}

/* Waits for the group on a thread of its own. */
struct group_waiter {
  struct ctx_thread thread;
  tether_code code;
};

static inline void park_live_wait(void *data) {
  ((struct group_waiter *)data)->code = tether_group_wait(park_live()->group);
}

#endif
