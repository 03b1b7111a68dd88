/* The server's half. The input decides, when a handler runs, whether it answers, fails or defers, and later what is
 * done with what was deferred. All handlers are inline: nothing here has a thread. */
#include <string.h>
#include <tether/trace.h>

#include "testing.tether.h"
#include "tests/fuzz/call_world.h"

#define METHOD(path_, flags_)                                                                              \
  {                                                                                                        \
    .path = path_, .request = &testing__v1__request__descriptor, .reply = &testing__v1__reply__descriptor, \
    .flags = TETHER_METHOD_INLINE | (flags_)                                                               \
  }

const tether_method world_methods[WORLD_METHODS] = {
    METHOD("/f/unary", 0),
    METHOD("/f/timed", TETHER_METHOD_DEADLINE_REQUIRED),
    METHOD("/f/up", TETHER_METHOD_CLIENT_STREAMING),
    METHOD("/f/down", TETHER_METHOD_SERVER_STREAMING),
    METHOD("/f/both", TETHER_METHOD_CLIENT_STREAMING | TETHER_METHOD_SERVER_STREAMING),
};

static bool streams(const handled *h, unsigned flag) { return h->call->method->flags & flag; }

static handled *handled_of(const tether_call *call) {
  for (size_t i = 0; i < WORLD_CALLS; i++)
    if (the_world.handled[i].call == call) return &the_world.handled[i];
  return NULL;
}

static void on_ready(tether_call *call, tether_ready_for what, void *data) {
  handled *h = handled_of(call);
  (void)data;
  if (!h) return; /* finished */
  FUZZ_CHECK(what == TETHER_CAN_RECV ? h->recv_waits : what == TETHER_CAN_SEND && h->send_waits);
  *(what == TETHER_CAN_RECV ? &h->recv_waits : &h->send_waits) = false;
}

/* ---- The handler --------------------------------------------------------------------------- */

/* Everything that came with the call. */
static void look_at(const tether_ctx *ctx, const tether_call *call, const ProtobufCMessage *request) {
  tether_trace trace;
  world_read_metadata(tether_call_metadata(call));
  if (tether_trace_get(ctx, &trace)) {
    const char *texts[] = {tether_trace_state(ctx), tether_trace_baggage(ctx)};
    for (size_t i = 0; i < 2; i++)
      if (texts[i]) fuzz_read(texts[i], strlen(texts[i]) + 1);
  }
  FUZZ_CHECK(tether_ctx_err(ctx) == TETHER_OK && tether_ctx_remaining_ns(ctx) > 0);
  const Testing__V1__Request *read = (const Testing__V1__Request *)request;
  if (!read) return;
  fuzz_read(read->name, strlen(read->name) + 1);
  fuzz_read(read->body.data, read->body.len);
}

static tether_code handle(const tether_ctx *ctx, tether_call *call, const ProtobufCMessage *request,
                          ProtobufCMessage *reply, const void *service, void *data) {
  world *w = data;
  uint8_t how = fuzz_byte(&w->in);
  (void)service;
  look_at(ctx, call, request);
  FUZZ_CHECK(!tth_method_is(call->method, TETHER_METHOD_CLIENT_STREAMING) == (request != NULL));
  FUZZ_CHECK(!tth_method_is(call->method, TETHER_METHOD_SERVER_STREAMING) == (reply != NULL));
  if ((how & 3) == 1) return tether_call_fail(call, (tether_code)(how >> 2), "failed with %d", how);
  handled *h = handled_of(NULL);
  if ((how & 3) == 0 || !h) {
    if (reply && request) ((Testing__V1__Reply *)reply)->text = ((const Testing__V1__Request *)request)->name;
    if (reply && (how & 4)) world_fill_body(w, &((Testing__V1__Reply *)reply)->body);
    return TETHER_OK;
  }
  *h = (handled){.call = call};
  FUZZ_CHECK((tether_call_defer(call) != NULL) == (reply != NULL));
  tether_call_on_ready(call, on_ready, NULL);
  return TETHER_OK;
}

void world_serve(tether_server *server) {
  tether_served_method served[WORLD_METHODS];
  for (size_t i = 0; i < WORLD_METHODS; i++)
    served[i] = (tether_served_method){.method = &world_methods[i], .handler = handle};
  FUZZ_CHECK(tether_server_add(server, served, WORLD_METHODS, NULL, &the_world) == TETHER_OK);
}

/* ---- Deferred calls ------------------------------------------------------------------------ */

handled *handler_chosen(world *w) {
  uint32_t n = fuzz_below(&w->in, WORLD_CALLS);
  for (size_t i = 0; i < WORLD_CALLS; i++)
    if (w->handled[(n + i) % WORLD_CALLS].call) return &w->handled[(n + i) % WORLD_CALLS];
  return NULL;
}

static void receive(handled *h) {
  const ProtobufCMessage *message = NULL;
  bool done;
  if (h->recv_waits) return;
  tether_code code = tether_call_try_recv(h->call, &message, &done);
  FUZZ_CHECK(streams(h, TETHER_METHOD_CLIENT_STREAMING) || code != TETHER_OK);
  FUZZ_CHECK(code == TETHER_OK || done);
  FUZZ_CHECK(!h->recv_over || code != TETHER_OK || (done && !message)); /* nothing after the end */
  h->recv_waits = !done;
  if (code != TETHER_OK || (done && !message)) h->recv_over = true;
  if (code == TETHER_OK && done && message) {
    const Testing__V1__Request *read = (const Testing__V1__Request *)message;
    fuzz_read(read->name, strlen(read->name) + 1);
    fuzz_read(read->body.data, read->body.len);
  }
}

static void send(world *w, handled *h) {
  Testing__V1__Reply reply = TESTING__V1__REPLY__INIT;
  bool done;
  world_fill_body(w, &reply.body);
  if (h->send_waits) return;
  tether_code code = tether_call_try_send(h->call, &reply.base, &done);
  FUZZ_CHECK(streams(h, TETHER_METHOD_SERVER_STREAMING) || code != TETHER_OK);
  if (code == TETHER_OK && done) h->initial_sent = true;
  h->send_waits = !done;
}

static void add_metadata(world *w, handled *h, bool initial) {
  static const char *const keys[] = {"x", "x-bin", "Accept", ""};
  const char *key = keys[fuzz_below(&w->in, 4)];
  size_t len;
  const uint8_t *value = fuzz_bytes(&w->in, fuzz_byte(&w->in), &len);
  tether_code code = (initial ? tether_call_add_initial : tether_call_add_trailer)(h->call, key, value, len);
  FUZZ_CHECK(code != TETHER_OK || *key);
}

static void finish(world *w, handled *h) {
  tether_code code = (tether_code)fuzz_below(&w->in, 20);
  tether_call *call = h->call;
  if (code != TETHER_OK && fuzz_below(&w->in, 2)) code = tether_call_fail(call, code, "%s", "a sentence");
  h->call = NULL;
  tether_call_finish(call, code);
}

void handler_act(world *w, uint8_t step) {
  handled *h = handler_chosen(w);
  if (!h) return;
  switch (step % 8) {
    case 0:
    case 1:
      receive(h);
      break;
    case 2:
    case 3:
      send(w, h);
      break;
    case 4:
      add_metadata(w, h, fuzz_below(&w->in, 2));
      break;
    case 5: /* the blocking form, which has room before anything was sent */
      if (!h->initial_sent && tether_call_send_initial(h->call) == TETHER_OK) h->initial_sent = true;
      break;
    default:
      finish(w, h);
      break;
  }
}

void handler_end(world *w) {
  for (size_t i = 0; i < WORLD_CALLS; i++)
    if (w->handled[i].call) finish(w, &w->handled[i]);
}
