/* The two sides of a stream: what they send, and what must hold of what comes. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/stream_sim_impl.h"

#define PATTERN ((size_t)1024 * 1024)
#define NUMBER_KEY "x-stream"

static uint8_t pattern[PATTERN];

void stream_sim_make_pattern(void) {
  uint64_t state = 1;
  if (pattern[0] == 1) return;
  for (size_t i = 0; i < PATTERN; i += 8) {
    uint64_t word = next_random(&state);
    memcpy(pattern + i, &word, 8);
  }
  pattern[0] = 1;
}

/* The body of a message follows from its place: few are long, many are short, some lie about the length of a slice. */
static ProtobufCBinaryData body_of(const struct stream *s, bool up, uint32_t index) {
  uint64_t state = s->seed ^ ((uint64_t)index << 1 | up);
  uint32_t kind = (uint32_t)(next_random(&state) % 100);
  uint64_t length = next_random(&state);
  size_t len = kind < 40   ? length % 100
               : kind < 70 ? length % 5000
               : kind < 82 ? 16 * 1024 - 40 + length % 80
               : kind < 96 ? length % (100 * 1024)
                           : length % (400 * 1024);
  return (ProtobufCBinaryData){.data = pattern + next_random(&state) % (PATTERN - len), .len = len};
}

void stream_sim_wrong(const struct stream *s, const char *format, ...) {
  va_list args;
  if (*stream_sim_world->why) return; /* the first counts */
  int len = snprintf(stream_sim_world->why, stream_sim_world->why_size, "stream %d: ", s ? s->number : -1);
  va_start(args, format);
  vsnprintf(stream_sim_world->why + len, stream_sim_world->why_size - (size_t)len, format, args);
  va_end(args);
}

/* ---- Messages ------------------------------------------------------------------------------ */

static void on_ready(tether_call *call, tether_ready_for what, void *data) {
  struct end *end = data;
  (void)call;
  if (what == TETHER_CAN_RECV) {
    if (!end->recv_waits) stream_sim_wrong(NULL, "`ready` to receive, which nobody asked for");
    end->recv_waits = false;
  } else if (what == TETHER_CAN_SEND) {
    if (!end->send_waits) stream_sim_wrong(NULL, "`ready` to send, which nobody asked for");
    end->send_waits = false;
  }
}

static struct end *end_of(struct stream *s, bool client) { return client ? &s->client : &s->server; }

/* A message that has come must be the next one, whole. */
static void check_message(struct stream *s, bool client, uint32_t index, const ProtobufCBinaryData *body) {
  struct end *end = end_of(s, client);
  ProtobufCBinaryData expected = body_of(s, !client, end->received);
  if (index != end->received) stream_sim_wrong(s, "message %u in place of %u", index, end->received);
  if (body->len != expected.len || (body->len > 0 && memcmp(body->data, expected.data, body->len) != 0))
    stream_sim_wrong(s, "message %u of %zu bytes is not as it was sent (%zu)", index, body->len, expected.len);
  end->received++;
  stream_sim_world->totals->messages++;
  stream_sim_world->totals->bytes += body->len;
}

static void send_one(struct stream *s, bool client) {
  struct end *end = end_of(s, client);
  bool done = true;
  tether_code code;
  if (end->sent == end->to_send) {
    if (client) tether_call_close_send(end->call);
    end->send_over = true;
    return;
  }
  ProtobufCBinaryData body = body_of(s, client, end->sent);
  if (client) {
    Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
    request.width = end->sent;
    request.body = body;
    code = testing_v1_echo_inline_chat_try_send_request(end->call, &request, &done);
  } else {
    Testing__V1__Reply reply = TESTING__V1__REPLY__INIT;
    reply.count = end->sent;
    reply.body = body;
    code = testing_v1_echo_inline_chat_try_send_reply(end->call, &reply, &done);
  }
  if (!done) {
    end->send_waits = true;
    stream_sim_world->totals->send_waits++;
  } else if (code == TETHER_OK) {
    end->sent++;
  } else {
    end->send_over = true; /* the receives say why */
  }
}

static void recv_one(struct stream *s, bool client) {
  struct end *end = end_of(s, client);
  const Testing__V1__Request *request = NULL;
  const Testing__V1__Reply *reply = NULL;
  bool done = true;
  tether_code code = client ? testing_v1_echo_inline_chat_try_recv_reply(end->call, &reply, &done)
                            : testing_v1_echo_inline_chat_try_recv_request(end->call, &request, &done);
  if (!done) {
    end->recv_waits = true;
  } else if (code != TETHER_OK) {
    end->code = code;
    end->recv_over = end->send_over = true;
  } else if (request) {
    check_message(s, false, request->width, &request->body);
  } else if (reply) {
    check_message(s, true, reply->count, &reply->body);
  } else {
    end->recv_over = end->recv_end = true;
    if (client) end->send_over = true;
  }
}

/* ---- The server ---------------------------------------------------------------------------- */

tether_code stream_sim_chat(const tether_ctx *ctx, tether_call *call, void *data) {
  struct world *w = data;
  (void)ctx;
  const char *number = tether_metadata_get(tether_call_metadata(call), NUMBER_KEY, NULL);
  struct stream *s = number ? &w->streams[atoi(number)] : NULL;
  if (!s || s->answered) {
    stream_sim_wrong(s, "a handler runs that was not called, or twice");
    return TETHER_INTERNAL;
  }
  s->answered = true;
  s->server.call = call;
  tether_call_defer(call);
  tether_call_on_ready(call, on_ready, &s->server);
  return TETHER_OK;
}

/* Ends the handler, and checks what it saw. */
static void finish(struct stream *s) {
  struct end *end = &s->server;
  tether_call *call = end->call;
  const tether_ctx *ctx = tether_call_ctx(call);
  s->cut = tether_ctx_err(ctx); /* a cut that nobody has looked for counts too */
  if (s->cut != TETHER_OK) s->cause = tether_cause_get_code(tether_ctx_cause(ctx));
  if (end->recv_end && (!s->client.send_over || end->received != s->client.to_send))
    stream_sim_wrong(s, "a clean end after %u of %u requests", end->received, s->client.to_send);
  if (end->recv_over && !end->recv_end && s->cut == TETHER_OK)
    stream_sim_wrong(s, "the handler's receive failed with %s, but it was not cut", tether_code_name(end->code));
  tether_call_ref(call);
  tether_call_finish(call, s->answer);
  if (s->cut == TETHER_OK && tether_call_code(call) != s->answer)
    stream_sim_wrong(s, "finished with %s, recorded %s", tether_code_name(s->answer),
                     tether_code_name(tether_call_code(call)));
  tether_call_unref(call);
  s->finished = true;
}

/* ---- The client ---------------------------------------------------------------------------- */

void stream_sim_start_next(struct world *w) {
  struct stream *s = &w->streams[w->started++];
  char number[16];
  tether_metadata *metadata = tether_metadata_new();
  snprintf(number, sizeof number, "%d", s->number);
  if (!metadata || tether_metadata_add(metadata, NUMBER_KEY, number) != TETHER_OK) abort();
  const tether_call_options options = {.metadata = metadata, .wait_for_ready = true, .timeout_ns = s->timeout_ns};
  s->client.call = testing_v1_echo_client_inline_chat_start(w->client, tether_ctx_background(), &options, NULL, NULL);
  tether_call_on_ready(s->client.call, on_ready, &s->client);
  tether_metadata_free(metadata);
}

/* ---- One step ------------------------------------------------------------------------------ */

bool stream_sim_may_act(const struct stream *s, bool client) {
  const struct end *end = client ? &s->client : &s->server;
  if (!end->call || (!client && s->finished)) return false;
  if (!client && (is_over(end) || end->received >= s->answer_at)) return true; /* to finish */
  return (!end->send_over && !end->send_waits) || (!end->recv_over && !end->recv_waits);
}

void stream_sim_act(struct world *w, struct stream *s, bool client) {
  struct end *end = end_of(s, client);
  if (!client && (is_over(end) || end->received >= s->answer_at)) {
    finish(s);
    return;
  }
  if (client && end->sent + end->received >= s->cancel_at) {
    s->cancel_at = UINT32_MAX;
    tether_call_cancel(end->call, NULL);
  }
  bool send = !end->send_over && !end->send_waits, recv = !end->recv_over && !end->recv_waits;
  if (send && recv) send = chance(w, 50);
  if (send)
    send_one(s, client);
  else if (recv && chance(w, end->appetite))
    recv_one(s, client);
}

/* ---- The end ------------------------------------------------------------------------------- */

void stream_sim_check_stream(struct world *w, struct stream *s) {
  tether_code code = tether_call_code(s->client.call);
  stream_sim_totals *totals = w->totals;
  bool ok = code == TETHER_OK;
  totals->streams++;
  if (s->client.recv_end != ok)
    stream_sim_wrong(s, "received %s, ended %s", s->client.recv_end ? "all" : "not all", tether_code_name(code));
  if (!ok && s->client.code != code) stream_sim_wrong(s, "received %s", tether_code_name(s->client.code));
  if (s->server.received > s->client.sent || s->client.received > s->server.sent)
    stream_sim_wrong(s, "more than was sent");
  if (ok || (code == s->answer && s->finished && s->cut == TETHER_OK)) {
    if (!s->finished || s->cut != TETHER_OK)
      stream_sim_wrong(s, "%s though the handler was cut", tether_code_name(code));
    if (ok && s->answer != TETHER_OK) stream_sim_wrong(s, "OK though the handler said otherwise");
    if (s->client.received != s->server.sent)
      stream_sim_wrong(s, "an end after %u of %u replies", s->client.received, s->server.sent);
    if (s->server.recv_end)
      totals->whole++;
    else
      totals->early++;
    return;
  }
  /* Cut: the handler is too, with the reason, unless it was through by itself. */
  tether_cause_code cause = TETHER_CAUSE_NONE;
  if (code == TETHER_CANCELLED && w->faults.cuts) {
    cause = TETHER_CAUSE_CALLER;
    totals->cancelled++;
  } else if (code == TETHER_DEADLINE_EXCEEDED && s->timeout_ns) {
    cause = TETHER_CAUSE_DEADLINE;
    totals->expired++;
  } else if (code == TETHER_UNAVAILABLE && w->broke) {
    cause = TETHER_CAUSE_PEER_LOST;
    totals->lost++;
  } else {
    stream_sim_wrong(s, "ended %s: %s", tether_code_name(code), tether_call_message(s->client.call));
  }
  bool late =
      s->cause == TETHER_CAUSE_DEADLINE && s->timeout_ns;     /* a handler that hears nothing goes by its own clock */
  bool lost = s->cause == TETHER_CAUSE_PEER_LOST && w->broke; /* or loses the connection before the CANCEL comes */
  if (s->answered && s->cut != TETHER_OK && s->cause != cause && !late && !lost)
    stream_sim_wrong(s, "ended %s at the client, by cause %s at the server", tether_code_name(code),
                     tether_cause_code_name(s->cause));
}
