/* The Nth allocation fails, for every N, in a whole life of a client and a server in one process: opening, calls with
 * metadata, trace and forwarded values, long messages, cancels, failures, closing. Nothing crashes, hangs or leaks, and
 * every call ends once, with a status that says so. The library's allocations come through here (ld --wrap); those of
 * the in-memory net are let through. */
#include <errno.h>
#include <tether/trace.h>

#include "rpc/client.h"
#include "rpc/server.h"
#include "tests/support/ctx_sim.h"
#include "tests/support/link_mem.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

/* ---- Allocations --------------------------------------------------------------------------- */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *__real_strndup(const char *text, size_t len);
char *__wrap_strndup(const char *text, size_t len);
int __real_vasprintf(char **text, const char *format, va_list arguments);
int __wrap_vasprintf(char **text, const char *format, va_list arguments);

static _Thread_local bool exempt; /* what this thread does now is not the library's */
static atomic_int allocations, fail_from, fail_count;

static bool fails(void) {
  if (exempt) return false;
  int number = atomic_fetch_add(&allocations, 1), from = atomic_load(&fail_from);
  if (number < from || number - from >= atomic_load(&fail_count)) return false;
  errno = ENOMEM;
  return true;
}

void *__wrap_malloc(size_t size) { return fails() ? NULL : __real_malloc(size); }
void *__wrap_calloc(size_t count, size_t size) { return fails() ? NULL : __real_calloc(count, size); }
void *__wrap_realloc(void *old, size_t size) { return fails() ? NULL : __real_realloc(old, size); }
char *__wrap_strdup(const char *text) { return fails() ? NULL : __real_strdup(text); }
char *__wrap_strndup(const char *text, size_t len) { return fails() ? NULL : __real_strndup(text, len); }
int __wrap_vasprintf(char **text, const char *format, va_list arguments) {
  return fails() ? -1 : __real_vasprintf(text, format, arguments);
}

/* Sets `exempt` and returns what it was. */
static bool now_exempt(bool yes) {
  bool before = exempt;
  exempt = yes;
  return before;
}

/* ---- The net, whose own memory is there ---------------------------------------------------- */

/* A link's real owner; the slots are few since links are closed as soon as they were lost. */
static struct slot {
  tth_link *link;
  const tth_link_events *events;
  void *owner;
} slots[64];

static const tth_link_ops *_Atomic real_ops; /* links are freed on workers too */

#define OUTSIDE(call)               \
  do {                              \
    bool before = now_exempt(true); \
    call;                           \
    now_exempt(before);             \
  } while (0)
#define INSIDE(call)                 \
  do {                               \
    bool before = now_exempt(false); \
    call;                            \
    now_exempt(before);              \
  } while (0)

static void on_received(void *owner, const uint8_t *batch, size_t len) {
  const struct slot *slot = owner;
  INSIDE(slot->events->received(slot->owner, batch, len));
}

static void on_sent(void *owner) {
  const struct slot *slot = owner;
  INSIDE(slot->events->sent(slot->owner));
}

static void on_closed(void *owner, const char *why) {
  struct slot slot = *(struct slot *)owner;
  ((struct slot *)owner)->link = NULL;
  INSIDE(slot.events->closed(slot.owner, why));
}

static const tth_link_events events = {.received = on_received, .sent = on_sent, .closed = on_closed};

static void link_start(tth_link *link, const tth_link_events *theirs, void *owner) {
  struct slot *slot = slots;
  while (slot->link) slot++;
  *slot = (struct slot){.link = link, .events = theirs, .owner = owner};
  OUTSIDE(real_ops->start(link, &events, slot));
}

static void link_send(tth_link *link, const uint8_t *batch, size_t len) { OUTSIDE(real_ops->send(link, batch, len)); }
static void link_close(tth_link *link) { OUTSIDE(real_ops->close(link)); }
static void link_free(tth_link *link) { OUTSIDE(real_ops->free(link)); }
static const char *link_peer(const tth_link *link) { return real_ops->peer(link); }

static const tth_link_ops link_ops = {
    .start = link_start, .send = link_send, .close = link_close, .free = link_free, .peer = link_peer};

static tth_link *wrapped(tth_link *link) {
  if (link) {
    real_ops = link->ops;
    link->ops = &link_ops;
  }
  return link;
}

static void (*accepted_fn)(void *owner, tth_link *link);
static void (*dialed_fn)(void *owner, tth_link *link, const char *why);

static void on_accepted(void *owner, tth_link *link) { INSIDE(accepted_fn(owner, wrapped(link))); }
static void on_dialed(void *owner, tth_link *link, const char *why) { INSIDE(dialed_fn(owner, wrapped(link), why)); }

static tether_code dialer_new(const char *url, tth_tls *tls, tth_dialer **dialer) {
  tether_code code;
  OUTSIDE(code = tst_transport_mem.dialer_new(url, tls, dialer));
  return code;
}

static void dial(tth_dialer *dialer, int64_t timeout_ns, void (*done)(void *owner, tth_link *link, const char *why),
                 void *owner) {
  dialed_fn = done;
  OUTSIDE(tst_transport_mem.dial(dialer, timeout_ns, on_dialed, owner));
}

static tether_code listen_on(const char *url, tth_tls *tls, void (*accepted)(void *owner, tth_link *link), void *owner,
                             tth_listener **listener) {
  tether_code code;
  accepted_fn = accepted;
  OUTSIDE(code = tst_transport_mem.listen(url, tls, on_accepted, owner, listener));
  return code;
}

static void dialer_free(tth_dialer *dialer) { OUTSIDE(tst_transport_mem.dialer_free(dialer)); }
static void listener_free(tth_listener *listener) { OUTSIDE(tst_transport_mem.listener_free(listener)); }

static const tth_transport transport = {.dialer_new = dialer_new,
                                        .dial = dial,
                                        .dialer_free = dialer_free,
                                        .listen = listen_on,
                                        .listener_free = listener_free};

/* ---- A life -------------------------------------------------------------------------------- */

static tst_mem_net *net;
static struct echo_stats stats;
static tether_server *server;

static size_t encode_text(const void *value, uint8_t *to, size_t room) {
  size_t len = strlen(value);
  if (room >= len) memcpy(to, value, len);
  return len;
}

static void *decode_text(const uint8_t *bytes, size_t len) { return strndup((const char *)bytes, len); }

static const tether_key everywhere = {
    .name = "tenant", .forward = TETHER_FORWARD_ALL, .encode = encode_text, .decode = decode_text, .free = free};
static const tether_key one_hop = {
    .name = "hint", .forward = TETHER_FORWARD_ONE_HOP, .encode = encode_text, .decode = decode_text, .free = free};
static const tether_key *const keys[] = {&everywhere, &one_hop, NULL};

static void pump(int64_t ns) {
  bool before = now_exempt(true);
  ctx_sim_advance(ns);
  tst_link_mem_advance(net, tether_now_ns());
  now_exempt(before);
}

static bool is_zero(void *data) {
  pump(0);
  return atomic_load((atomic_int *)data) == 0;
}

/* The call has ended, or the server has nothing to do with it. */
static bool has_answered(void *data) { return is_zero(data) || tth_server_calls(server) == 0; }

static bool is_hanging_or_has_answered(void *data) { return atomic_load(&stats.hanging) == 1 || has_answered(data); }

static void note_end(tether_call *call, void *data) {
  (void)call;
  atomic_fetch_sub((atomic_int *)data, 1);
}

typedef tether_call *(*start_fn)(tether_client *client, const tether_ctx *ctx, const Testing__V1__Request *request,
                                 const tether_call_options *options, tether_call_done_fn done, void *data);

/* One call, to its end: by itself, by cancel, or, if it waits for a connection, by its deadline. */
static void run_call(tether_client *client, const tether_ctx *ctx, start_fn start, const Testing__V1__Request *request,
                     const tether_metadata *metadata, bool cancel) {
  atomic_int running = 1;
  tether_call_options options = {.metadata = metadata, .timeout_ns = 5 * TETHER_SEC};
  tether_call *call = start(client, ctx, request, &options, note_end, &running);
  pump(0);
  if (cancel) {
    assert_true(tst_wait_until(is_hanging_or_has_answered, &running, RPC_TEST_BOUND_NS));
    tether_cause *cause = tether_cause_newf(TETHER_CAUSE_SIBLING, "enough of %d", 1);
    tether_call_cancel(call, cause);
    tether_cause_unref(cause);
  }
  assert_true(tst_wait_until(has_answered, &running, RPC_TEST_BOUND_NS));
  if (!is_zero(&running)) {
    pump(6 * TETHER_SEC);
    assert_true(tst_wait_until(is_zero, &running, RPC_TEST_BOUND_NS));
  }
  assert_int_equal(atomic_load(&running), 0);
  switch (tether_call_code(call)) {
    case TETHER_OK:
      assert_non_null(tether_call_reply(call));
      break;
    case TETHER_RESOURCE_EXHAUSTED:
    case TETHER_UNAVAILABLE:
    case TETHER_CANCELLED:
    case TETHER_DEADLINE_EXCEEDED:
      break;
    case TETHER_UNIMPLEMENTED:
      assert_ptr_equal(start, testing_v1_echo_client_unserved_start);
      break;
    case TETHER_NOT_FOUND:
      assert_int_equal(request->code, TETHER_NOT_FOUND);
      break;
    default:
      rpc_assert_code(call, TETHER_RESOURCE_EXHAUSTED);
  }
  tether_call_unref(call);
}

static void run_calls(tether_client *client) {
  static uint8_t body[40000];
  tether_metadata *metadata = tether_metadata_new();
  tether_code code = metadata ? tether_metadata_add(metadata, "x-initial", "one") : TETHER_RESOURCE_EXHAUSTED;
  if (code == TETHER_OK) code = tether_metadata_add_bin(metadata, "x-trailing-bin", "\0\1", 2);
  assert_true(code == TETHER_OK || code == TETHER_RESOURCE_EXHAUSTED);
  char *tenant = strdup("blue");
  TETHER_SCOPED tether_ctx *traced = tether_trace_start(tether_ctx_background(), true, "a=b");
  TETHER_SCOPED tether_ctx *hinted = tether_ctx_with_value(traced, &one_hop, strdup("now"));
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_value(hinted, &everywhere, tenant);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.name = (char *)"memory";
  run_call(client, ctx, testing_v1_echo_client_quick_start, &request, metadata, false);
  run_call(client, ctx, testing_v1_echo_client_pooled_start, &request, metadata, false);
  run_call(client, ctx, testing_v1_echo_client_hang_start, &request, NULL, true);
  request.code = TETHER_NOT_FOUND;
  run_call(client, ctx, testing_v1_echo_client_quick_start, &request, metadata, false);
  request.code = 0;
  request.body = (ProtobufCBinaryData){.data = body, .len = sizeof body};
  run_call(client, ctx, testing_v1_echo_client_quick_start, &request, NULL, false);
  run_call(client, ctx, testing_v1_echo_client_unserved_start, &request, NULL, false);
  tether_metadata_free(metadata);
}

/* Closing waits for what has to be delivered meanwhile. */
static void *close_client(void *client) {
  tether_client_close(client);
  return NULL;
}

static void *close_server(void *what) {
  tether_server_close(what);
  return NULL;
}

struct closing {
  void *(*fn)(void *);
  void *what;
  atomic_int running;
};

static void *run_closing(void *data) {
  struct closing *closing = data;
  closing->fn(closing->what);
  atomic_store(&closing->running, 0);
  return NULL;
}

static void close_meanwhile(void *(*fn)(void *), void *what) {
  struct closing closing = {.fn = fn, .what = what, .running = 1};
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, run_closing, &closing), 0);
  assert_true(tst_wait_until(is_zero, &closing.running, RPC_TEST_BOUND_NS));
  assert_int_equal(pthread_join(thread, NULL), 0);
}

static void live(void) {
  static const tether_server_options options = {.keys = keys};
  tether_client *client;
  tether_code code = tth_server_open_on(&transport, &options, &server);
  if (code != TETHER_OK) {
    assert_int_equal(code, TETHER_RESOURCE_EXHAUSTED);
    return;
  }
  code = echo_server_add(server, &stats);
  if (code == TETHER_OK) code = tether_server_listen(server, "mem://s");
  if (code == TETHER_OK) code = tth_client_open_on(&transport, "mem://s", NULL, &client);
  if (code == TETHER_OK) {
    run_calls(client);
    Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
    tether_call *last = testing_v1_echo_client_hang_start(client, tether_ctx_background(), &request, NULL, NULL, NULL);
    pump(0);
    close_meanwhile(close_client, client);
    assert_int_not_equal(tether_call_code(last), TETHER_OK);
    tether_call_unref(last);
  }
  assert_true(code == TETHER_OK || code == TETHER_RESOURCE_EXHAUSTED);
  close_meanwhile(close_server, server);
}

/* Fails `count` allocations in a row, from each there is. */
static void fail_each(int count) {
  int from = 0;
  do {
    atomic_store(&allocations, 0);
    atomic_store(&fail_from, from);
    atomic_store(&fail_count, count);
    live();
  } while (atomic_load(&allocations) > from++);
  print_message("%d allocations\n", from);
  assert_true(from > 50);
}

static int setup(void **state) {
  exempt = false;
  if (ctx_sim_setup(state) != 0) return -1;
  memset(&stats, 0, sizeof stats);
  bool before = now_exempt(true);
  net = tst_mem_net_new(true);
  tst_mem_net_use(net);
  now_exempt(before);
  return net ? 0 : -1;
}

static int teardown(void **state) {
  exempt = true;
  tst_mem_net_free(net);
  return ctx_sim_teardown(state);
}

static void one_allocation_fails(void **state) {
  (void)state;
  fail_each(1);
}

static void three_allocations_in_a_row_fail(void **state) {
  (void)state;
  fail_each(3);
}

static void everything_fails_from_some_allocation_on(void **state) {
  (void)state;
  fail_each(INT_MAX);
}

#define CASE(name) \
  { #name, name, setup, teardown, NULL }

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(one_allocation_fails),
      CASE(three_allocations_in_a_row_fail),
      CASE(everything_fails_from_some_allocation_on),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
