/* The client's half: calls made under no context of anybody or under a handler's, and everything a caller may do with
 * them. */
#include <string.h>
#include <tether/ledger.h>

#include "testing.tether.h"
#include "tests/fuzz/call_world.h"

static made *made_of(const tether_call *call) {
  for (size_t i = 0; i < WORLD_CALLS; i++)
    if (the_world.made[i].call == call && call) return &the_world.made[i];
  return NULL;
}

/* A slot whose call has ended and was released, or that had none. */
static made *free_slot(world *w) {
  for (size_t i = 0; i < WORLD_CALLS; i++)
    if (!w->made[i].call && (!w->made[i].used || w->made[i].ends == 1)) return &w->made[i];
  return NULL;
}

static made *chosen(world *w) {
  uint32_t n = fuzz_below(&w->in, WORLD_CALLS);
  for (size_t i = 0; i < WORLD_CALLS; i++)
    if (w->made[(n + i) % WORLD_CALLS].call) return &w->made[(n + i) % WORLD_CALLS];
  return NULL;
}

/* ---- Callbacks ----------------------------------------------------------------------------- */

/* Everything that a call has ended with. */
static void look_at(tether_call *call) {
  tether_code code = tether_call_code(call);
  const Testing__V1__Reply *reply = (const Testing__V1__Reply *)tether_call_reply(call);
  bool streams = tth_method_is(call->method, TETHER_METHOD_SERVER_STREAMING);
  FUZZ_CHECK(code >= TETHER_OK && code <= TETHER_UNAUTHENTICATED);
  FUZZ_CHECK((reply != NULL) == (code == TETHER_OK && !streams));
  fuzz_read(tether_call_message(call), strlen(tether_call_message(call)) + 1);
  if (reply) fuzz_read(reply->text, strlen(reply->text) + 1);
  if (reply) fuzz_read(reply->body.data, reply->body.len);
  const tether_cause *cause = tether_call_cause(call);
  if (cause)
    FUZZ_CHECK(tether_cause_get_code(cause) > TETHER_CAUSE_NONE &&
               *tether_cause_code_name(tether_cause_get_code(cause)));
  world_read_metadata(tether_call_initial_metadata(call));
  world_read_metadata(tether_call_trailers(call));
  world_read_ledger(tether_call_ledger(call));
}

static void on_done(tether_call *call, void *data) {
  made *m = data;
  FUZZ_CHECK(m->used && ++m->ends == 1);
  look_at(call);
}

static void on_ready(tether_call *call, tether_ready_for what, void *data) {
  made *m = made_of(call);
  (void)data;
  if (what == TETHER_HAS_INITIAL) {
    world_read_metadata(tether_call_initial_metadata(call));
    return;
  }
  if (!m) return;
  FUZZ_CHECK(what == TETHER_CAN_RECV ? m->recv_waits : m->send_waits);
  *(what == TETHER_CAN_RECV ? &m->recv_waits : &m->send_waits) = false;
}

/* ---- Steps --------------------------------------------------------------------------------- */

static tether_metadata *read_metadata(world *w, uint8_t count) {
  static const char *const keys[] = {"k", "k-bin"};
  tether_metadata *metadata = tether_metadata_new();
  for (; count > 0; count--) {
    size_t len;
    uint32_t kind = fuzz_below(&w->in, 2);
    const uint8_t *value = fuzz_bytes(&w->in, fuzz_byte(&w->in), &len);
    tether_code code =
        kind ? tether_metadata_add_bin(metadata, keys[1], value, len) : tether_metadata_add(metadata, keys[0], "v");
    FUZZ_CHECK(code == TETHER_OK);
  }
  return metadata;
}

static void start(world *w) {
  made *m = free_slot(w);
  uint8_t kind = fuzz_byte(&w->in), how = fuzz_byte(&w->in);
  const tether_method *method = &world_methods[kind % WORLD_METHODS];
  const handled *parent = how & 1 ? handler_chosen(w) : NULL;
  if (!m) return;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_metadata *metadata = read_metadata(w, kind >> 6);
  tether_call_options options = {.metadata = metadata,
                                 .timeout_ns = how & 2 ? fuzz_span_ns(&w->in) : 0,
                                 .wait_for_ready = how & 4,
                                 .explain = how & 8,
                                 .detached_ns = how & 16 ? fuzz_span_ns(&w->in) : 0,
                                 .reserve_ns = how & 32   ? fuzz_span_ns(&w->in)
                                               : how & 64 ? -1
                                                          : 0};
  world_fill_body(w, &request.body);
  bool streams = tth_method_is(method, TETHER_METHOD_CLIENT_STREAMING);
  *m = (made){.used = true};
  tether_call *call = tether_call_start(w->client, parent ? tether_call_ctx(parent->call) : tether_ctx_background(),
                                        method, streams ? NULL : &request.base, &options, on_done, m);
  m->call = call;
  tether_call_on_ready(call, on_ready, NULL);
  tether_metadata_free(metadata);
}

static void receive(made *m) {
  const ProtobufCMessage *message = NULL;
  bool done, streams = tth_method_is(m->call->method, TETHER_METHOD_SERVER_STREAMING);
  if (m->recv_waits) return;
  tether_code code = tether_call_try_recv(m->call, &message, &done);
  FUZZ_CHECK(done || (code == TETHER_OK && streams));
  m->recv_waits = !done;
  if (code != TETHER_OK || !done) return;
  if (!message) FUZZ_CHECK(m->ends == 1 && tether_call_code(m->call) == TETHER_OK); /* a cut never looks like an end */
  const Testing__V1__Reply *reply = (const Testing__V1__Reply *)message;
  if (reply) fuzz_read(reply->text, strlen(reply->text) + 1);
  if (reply) fuzz_read(reply->body.data, reply->body.len);
}

static void send(world *w, made *m) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  bool done;
  world_fill_body(w, &request.body);
  if (m->send_waits) return;
  tether_code code = tether_call_try_send(m->call, &request.base, &done);
  FUZZ_CHECK(code == TETHER_OK || done);
  m->send_waits = !done;
}

/* A streaming call must be held until it has ended and its callback has run. */
static void release(made *m) {
  if (m->call->pipe && m->ends == 0) return;
  tether_call *call = m->call;
  m->call = NULL;
  tether_call_unref(call);
}

static void cancel(world *w, made *m) {
  uint8_t how = fuzz_byte(&w->in);
  tether_cause *cause =
      how & 1 ? tether_cause_new((tether_cause_code)(1 + (how >> 1) % 8), "here", "enough of it") : NULL;
  tether_call_cancel(m->call, cause);
  tether_cause_unref(cause);
  FUZZ_CHECK(m->ends == 1);
}

void caller_act(world *w, uint8_t step) {
  made *m = step % 8 > 2 ? chosen(w) : NULL;
  if (step % 8 <= 2) start(w);
  if (!m) return;
  switch (step % 8) {
    case 3:
      receive(m);
      break;
    case 4:
      send(w, m);
      break;
    case 5:
      tether_call_close_send(m->call);
      break;
    case 6:
      cancel(w, m);
      break;
    default:
      release(m);
      break;
  }
}

void caller_end(world *w) {
  for (size_t i = 0; i < WORLD_CALLS; i++) {
    made *m = &w->made[i];
    FUZZ_CHECK(m->ends == m->used);
    tether_call_unref(m->call);
    m->call = NULL;
  }
}
