/* Fan-outs made by handlers: a front server's handler calls three others, or fronts that do, as one group under its own
 * context, replies when the group is done, and never blocks a thread. What ends the handler ends everything below. */
#include "tests/support/park_live.h"

/* How a front's handler goes about it. */
enum manner { WAIT_FOR_ALL, WAIT_FOR_FIRST, RETURN_AT_ONCE, MANNERS };

/* One handler's fan-out; on the list of all, for the test to look at. */
struct fanout {
  struct fanout *next;
  tether_call *call; /* deferred; readable until it was finished */
  Testing__V1__Reply *reply;
  tether_group *group; /* RETURN_AT_ONCE: left to the test */
  tether_call *calls[LIVE_PARKS];
};

static struct {
  tether_server *server;
  char url[128];
  tether_client *client; /* of the server, for the test and for handlers that call on */
  _Atomic(struct fanout *) all;
  atomic_int running; /* handlers whose group is not done */
} front;

static tether_code fan_out(const tether_ctx *ctx, tether_call *call, const ProtobufCMessage *request,
                           ProtobufCMessage *reply, const void *service, void *data);

#define METHOD(name)                                                                             \
  {                                                                                              \
    .path = "/testing.v1.Front/" name, .flags = TETHER_METHOD_INLINE | TETHER_METHOD_IDEMPOTENT, \
    .request = &testing__v1__request__descriptor, .reply = &testing__v1__reply__descriptor       \
  }
static const tether_method methods[MANNERS] = {METHOD("All"), METHOD("First"), METHOD("AtOnce")};
static const tether_served_method served[MANNERS] = {
    {&methods[0], fan_out}, {&methods[1], fan_out}, {&methods[2], fan_out}};

/* The replies' texts in the order of the calls, where there are any. */
static tether_code merge(struct fanout *f) {
  char text[512] = "";
  for (int i = 0; i < LIVE_PARKS; i++) {
    const Testing__V1__Reply *part = (const Testing__V1__Reply *)tether_call_reply(f->calls[i]);
    size_t len = strlen(text);
    if (part) snprintf(text + len, sizeof text - len, "%s[%s]", len ? " " : "", part->text);
  }
  f->reply->text = tether_call_strdup(f->call, text);
  return f->reply->text ? TETHER_OK : TETHER_RESOURCE_EXHAUSTED;
}

static void on_group_done(tether_code code, void *data) {
  struct fanout *f = data;
  tether_group_free(f->group);
  f->group = NULL;
  code = code == TETHER_OK ? merge(f) : tether_call_fail(f->call, code, "a part failed");
  atomic_fetch_sub(&front.running, 1);
  tether_call_finish(f->call, code);
}

/* Calls every server, or, `width` levels above them, this one. The leaves' names are the path of indices to them. */
static void start_parts(struct fanout *f, const Testing__V1__Request *request, enum manner manner) {
  char name[64];
  tether_call_options options = {.group = f->group};
  for (int i = 0; i < LIVE_PARKS; i++) {
    Testing__V1__Request part = TESTING__V1__REQUEST__INIT;
    bool deeper = request->width > 0;
    snprintf(name, sizeof name, "%s%d", request->name, i);
    part.name = name;
    part.width = deeper ? request->width - 1 : 0;
    f->calls[i] = tether_call_start(deeper ? front.client : park_live()->clients[i], tether_group_ctx(f->group),
                                    deeper ? &methods[manner] : &tst_park_unary, &part.base, &options, NULL, NULL);
  }
}

static tether_code fan_out(const tether_ctx *ctx, tether_call *call, const ProtobufCMessage *request,
                           ProtobufCMessage *reply, const void *service, void *data) {
  enum manner manner = MANNERS;
  (void)service, (void)data;
  for (int i = 0; i < MANNERS; i++)
    if (strcmp(tether_call_path(call), methods[i].path) == 0) manner = (enum manner)i;
  struct fanout *f = calloc(1, sizeof *f);
  if (!f || tether_group_new(ctx, &f->group) != TETHER_OK ||
      (manner == WAIT_FOR_FIRST && tether_group_set_rule(f->group, TETHER_GROUP_ENOUGH, 1) != TETHER_OK)) {
    free(f);
    return TETHER_INTERNAL;
  }
  f->call = call;
  f->reply = (Testing__V1__Reply *)reply;
  f->next = atomic_load(&front.all);
  while (!atomic_compare_exchange_weak(&front.all, &f->next, f)) continue;
  if (manner != RETURN_AT_ONCE) {
    atomic_fetch_add(&front.running, 1);
    tether_call_defer(call);
  }
  start_parts(f, (const Testing__V1__Request *)request, manner);
  if (manner == RETURN_AT_ONCE) return TETHER_OK;
  return tether_group_on_done(f->group, on_group_done, f); /* the value is ignored: the call is deferred */
}

static int setup(void **state) {
  memset(&front, 0, sizeof front);
  if (park_live_setup(state) != 0) return -1;
  park_print(front.url, sizeof front.url, "ipc://%s/front", park_live()->dir);
  return tether_server_open(&(tether_server_options){.max_workers = 1}, &front.server) == TETHER_OK &&
                 tether_server_add(front.server, served, MANNERS, NULL, NULL) == TETHER_OK &&
                 tether_server_listen(front.server, front.url) == TETHER_OK &&
                 tether_client_open(front.url, NULL, &front.client) == TETHER_OK
             ? 0
             : -1;
}

static int teardown(void **state) {
  tether_server_close(front.server);
  tether_client_close(front.client);
  for (struct fanout *f = atomic_load(&front.all), *next; f; f = next) {
    next = f->next;
    tether_group_free(f->group);
    for (int i = 0; i < LIVE_PARKS; i++) tether_call_unref(f->calls[i]);
    free(f);
  }
  unlink(front.url + strlen("ipc://"));
  return park_live_teardown(state);
}

/* Calls the front; kept by the scene. */
static tether_call *call_front(const tether_ctx *ctx, enum manner manner, unsigned levels) {
  struct park_live *live = park_live();
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.width = levels;
  tether_call *call = tether_call_start(front.client, ctx, &methods[manner], &request.base,
                                        &(tether_call_options){.wait_for_ready = true}, NULL, NULL);
  return live->calls[live->count++] = call;
}

static void wait_for_leaves(int each) {
  for (int i = 0; i < LIVE_PARKS; i++) assert_true(tst_park_wait_arrived(park_live()->parks[i], each));
}

static void assert_leaves_cut(int each, tether_cause_code code, const char *text, const char *origin) {
  for (int i = 0; i < LIVE_PARKS; i++) {
    assert_int_equal(tst_park_arrived(park_live()->parks[i]), each);
    for (int j = 0; j < each; j++) {
      tst_parked *leaf = tst_park_at(park_live()->parks[i], j);
      park_assert_cut(leaf, code, text);
      if (origin) assert_string_equal(tether_cause_origin(leaf->cause), origin);
    }
  }
}

/* ---- Replying ------------------------------------------------------------------------------ */

static void a_handler_replies_when_its_group_is_done(void **state) {
  (void)state;
  tether_call *call = call_front(tether_ctx_background(), WAIT_FOR_ALL, 0);
  wait_for_leaves(1);
  for (int i = LIVE_PARKS - 1; i >= 0; i--) assert_true(tst_parked_end(park_live_unary(i), TETHER_OK));
  tether_call_wait(call);
  rpc_assert_code(call, TETHER_OK);
  assert_string_equal(((const Testing__V1__Reply *)tether_call_reply(call))->text, "[0] [1] [2]");
}

static void a_handlers_failed_part_is_its_status_and_ends_the_other_parts(void **state) {
  char text[256];
  (void)state;
  tether_call *call = call_front(tether_ctx_background(), WAIT_FOR_ALL, 0);
  wait_for_leaves(1);
  assert_true(tst_parked_end(park_live_unary(1), TETHER_DATA_LOSS));
  tether_call_wait(call);
  rpc_assert_code(call, TETHER_DATA_LOSS);
  assert_string_equal(tether_call_message(call), "a part failed");
  park_print(text, sizeof text, "call /testing.v1.Park/Unary to %s #1 failed: DATA_LOSS", park_live()->urls[1]);
  park_assert_cut(park_live_unary(0), TETHER_CAUSE_SIBLING, text);
  park_assert_cut(park_live_unary(2), TETHER_CAUSE_SIBLING, text);
}

static void a_handler_replies_with_its_first_part_and_ends_the_others(void **state) {
  (void)state;
  tether_call *call = call_front(tether_ctx_background(), WAIT_FOR_FIRST, 0);
  wait_for_leaves(1);
  assert_true(tst_parked_end(park_live_unary(2), TETHER_OK));
  tether_call_wait(call);
  rpc_assert_code(call, TETHER_OK);
  assert_string_equal(((const Testing__V1__Reply *)tether_call_reply(call))->text, "[2]");
  park_assert_cut(park_live_unary(0), TETHER_CAUSE_ENOUGH, "enough: 1 of 3 members succeeded");
  park_assert_cut(park_live_unary(1), TETHER_CAUSE_ENOUGH, "enough: 1 of 3 members succeeded");
}

static void a_tree_of_fan_outs_replies_from_the_leaves_up(void **state) {
  (void)state;
  tether_call *call = call_front(tether_ctx_background(), WAIT_FOR_ALL, 2);
  wait_for_leaves(9);
  for (int i = 0; i < LIVE_PARKS; i++)
    for (int j = 0; j < 9; j++) assert_true(tst_parked_end(tst_park_at(park_live()->parks[i], j), TETHER_OK));
  tether_call_wait(call);
  rpc_assert_code(call, TETHER_OK);
  assert_string_equal(((const Testing__V1__Reply *)tether_call_reply(call))->text,
                      "[[[000] [001] [002]] [[010] [011] [012]] [[020] [021] [022]]] "
                      "[[[100] [101] [102]] [[110] [111] [112]] [[120] [121] [122]]] "
                      "[[[200] [201] [202]] [[210] [211] [212]] [[220] [221] [222]]]");
}

static void a_leaf_that_fails_ends_the_whole_tree_with_cause_sibling(void **state) {
  (void)state;
  tether_call *call = call_front(tether_ctx_background(), WAIT_FOR_ALL, 2);
  wait_for_leaves(9);
  tst_parked *bad = park_live_handler(1, "011");
  assert_true(tst_parked_end(bad, TETHER_ABORTED));
  tether_call_wait(call);
  rpc_assert_code(call, TETHER_ABORTED);
  for (int i = 0; i < LIVE_PARKS; i++)
    for (int j = 0; j < 9; j++) {
      tst_parked *leaf = tst_park_at(park_live()->parks[i], j);
      if (leaf != bad) park_assert_cut(leaf, TETHER_CAUSE_SIBLING, NULL);
    }
}

/* ---- Being cut ----------------------------------------------------------------------------- */

static void cancelling_the_caller_ends_the_leaves_three_hops_down_with_its_cause(void **state) {
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  (void)state;
  tether_call *call = call_front(ctx, WAIT_FOR_ALL, 1);
  wait_for_leaves(3);
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_OTHER, "user", "left");
  tether_ctx_cancel_cause(ctx, cause);
  tether_cause_unref(cause);
  tether_call_wait(call);
  rpc_assert_code(call, TETHER_CANCELLED);
  assert_leaves_cut(3, TETHER_CAUSE_OTHER, "left", "user");
  assert_true(rpc_wait_for(&front.running, 0)); /* every group was done, and said so */
}

static void the_callers_deadline_ends_the_leaves(void **state) {
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 2 * TETHER_SEC);
  (void)state;
  tether_call *call = call_front(ctx, WAIT_FOR_ALL, 1);
  wait_for_leaves(3);
  tether_call_wait(call);
  rpc_assert_code(call, TETHER_DEADLINE_EXCEEDED);
  assert_leaves_cut(3, TETHER_CAUSE_DEADLINE, NULL, NULL);
  assert_true(rpc_wait_for(&front.running, 0));
}

static void a_caller_that_goes_away_ends_the_leaves(void **state) {
  tether_client *client;
  (void)state;
  assert_int_equal(tether_client_open(front.url, NULL, &client), TETHER_OK);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_call_unref(
      tether_call_start(client, tether_ctx_background(), &methods[WAIT_FOR_ALL], &request.base, NULL, NULL, NULL));
  wait_for_leaves(1);
  tether_client_close(client);
  assert_leaves_cut(1, TETHER_CAUSE_CALLER, "the client was closed", tether_origin());
  assert_true(rpc_wait_for(&front.running, 0));
}

static void parts_that_a_handler_leaves_running_end_with_it(void **state) {
  (void)state;
  tether_call *call = call_front(tether_ctx_background(), RETURN_AT_ONCE, 0);
  tether_call_wait(call);
  rpc_assert_code(call, TETHER_OK);
  struct fanout *f = atomic_load(&front.all);
  assert_int_equal(tether_group_wait(f->group), TETHER_CANCELLED);
  for (int i = 0; i < LIVE_PARKS; i++) {
    rpc_assert_code(f->calls[i], TETHER_CANCELLED);
    assert_ptr_equal(tether_call_cause(f->calls[i]), tether_cause_canceled());
  }
}

static void closing_the_server_ends_its_handlers_groups_and_their_leaves(void **state) {
  (void)state;
  tether_call *call = call_front(tether_ctx_background(), WAIT_FOR_ALL, 0);
  wait_for_leaves(1);
  tether_server_close(front.server); /* returns once every handler has replied */
  front.server = NULL;
  assert_int_equal(atomic_load(&front.running), 0);
  tether_call_wait(call);
  rpc_assert_code(call, TETHER_UNAVAILABLE);
  assert_leaves_cut(1, TETHER_CAUSE_SHUTDOWN, NULL, NULL);
}

#define CASE(test) \
  { #test, test, setup, teardown, NULL }

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(a_handler_replies_when_its_group_is_done),
      CASE(a_handlers_failed_part_is_its_status_and_ends_the_other_parts),
      CASE(a_handler_replies_with_its_first_part_and_ends_the_others),
      CASE(a_tree_of_fan_outs_replies_from_the_leaves_up),
      CASE(a_leaf_that_fails_ends_the_whole_tree_with_cause_sibling),
      CASE(cancelling_the_caller_ends_the_leaves_three_hops_down_with_its_cause),
      CASE(the_callers_deadline_ends_the_leaves),
      CASE(a_caller_that_goes_away_ends_the_leaves),
      CASE(parts_that_a_handler_leaves_running_end_with_it),
      CASE(closing_the_server_ends_its_handlers_groups_and_their_leaves),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
