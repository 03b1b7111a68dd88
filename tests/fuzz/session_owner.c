/* The owner's half: calls as client_call*.c and server_call*.c make them of a stream. It keeps their contract (what is
 * sent after END, what a cancelled stream still takes) and does everything that contract allows. */
#include <stdlib.h>
#include <string.h>

#include "rpc/session_impl.h"
#include "tests/fuzz/session_driver.h"

/* ---- Calls --------------------------------------------------------------------------------- */

/* The live call that the input names; NULL if there is none. */
static driver_call *chosen(driver *d) {
  uint32_t n = fuzz_below(&d->in, DRIVER_CALLS);
  for (size_t i = 0; i < d->count; i++) {
    driver_call *call = &d->calls[(n + i) % d->count];
    if (call->phase == DRIVER_LIVE) return call;
  }
  return NULL;
}

static driver_call *add_call(driver *d) {
  driver_call *call = d->count < DRIVER_CALLS ? &d->calls[d->count++] : NULL;
  for (size_t i = 0; !call && i < d->count; i++)
    if (d->calls[i].phase == DRIVER_GONE) call = &d->calls[i];
  if (call) *call = (driver_call){0};
  return call;
}

static void gone(driver_call *call) {
  call->phase = DRIVER_GONE;
  call->stream = NULL;
}

/* ---- Output -------------------------------------------------------------------------------- */

static tth_out *frame_out(tth_frame_type type, uint8_t flags, const void *payload, size_t len) {
  tth_out *out = tth_out_new(TTH_FRAME_HEADER + len, false);
  if (!out) abort();
  tth_frame_put(out->data, (uint32_t)len, type, flags, 0);
  if (len) memcpy(out->data + TTH_FRAME_HEADER, payload, len);
  return out;
}

static tth_out *message_out(size_t len, uint8_t flags) {
  bool sliced = len > TTH_SLICE;
  tth_out *out = tth_out_new(sliced ? len : TTH_FRAME_HEADER + len, sliced);
  if (!out) abort();
  memset(out->data, 'm', out->len);
  out->flags = flags;
  if (!sliced) tth_frame_put(out->data, (uint32_t)len, TTH_MESSAGE, flags, 0);
  return out;
}

/* Room for a timeout and a time of sending, which the session writes as they leave: fields 1 and 2, both fixed. */
static tth_out *headers_out(int64_t deadline_ns) {
  static const uint8_t timed[] = {0x09, 0, 0, 0, 0, 0, 0, 0, 0, 0x11, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x1a, 2, '/', 'm'};
  bool has = deadline_ns != TETHER_FOREVER;
  tth_out *out = frame_out(TTH_HEADERS, 0, has ? timed : timed + 18, has ? sizeof timed : sizeof timed - 18);
  out->deadline_ns = deadline_ns;
  return out;
}

static size_t length(driver *d) {
  uint32_t code = fuzz_number(&d->in, 2);
  return code & 1 ? code * (size_t)2 : code >> 6;
}

static void send(driver *d, driver_call *call, bool end) {
  if (!call || call->sent_end || call->stream->queued >= TTH_SEND_HIGH) return;
  call->sent_end = end;
  tth_session_send(d->session, call->stream, message_out(length(d), end ? TTH_FLAG_END : 0));
}

static void send_end(driver *d, driver_call *call) {
  if (!call || call->sent_end) return;
  call->sent_end = true;
  tth_session_send(d->session, call->stream, frame_out(TTH_MESSAGE, TTH_FLAG_END | TTH_FLAG_BARE, NULL, 0));
}

/* ---- The client's -------------------------------------------------------------------------- */

static void open_call(driver *d) {
  uint8_t code = fuzz_byte(&d->in);
  driver_call *call = add_call(d);
  if (!call) return;
  int64_t deadline_ns = code & 1 ? tether_time_add(d->now_ns, fuzz_span_ns(&d->in)) : TETHER_FOREVER;
  tth_out *out = headers_out(deadline_ns);
  if (code & 2) { /* unary: the request is in the same out, or behind it in slices */
    call->sent_end = true;
    out->next = message_out(length(d), TTH_FLAG_END);
  }
  call->stream = tth_session_open(d->session, call, out);
  if (!call->stream) abort();
}

static void cancel(driver *d, driver_call *call) {
  if (!call) return;
  uint8_t code = fuzz_byte(&d->in);
  tether_cause *cause = code & 1 ? tether_cause_new(TETHER_CAUSE_SIBLING, NULL, "because") : NULL;
  bool late = tth_session_cancel(d->session, call->stream, cause, code & 2 ? TETHER_SEC : 0);
  tether_cause_unref(cause);
  gone(call);
  if (late) call->phase = DRIVER_LATE;
}

static void act_as_client(driver *d, uint8_t step) {
  driver_call *call;
  tth_out *out = NULL;
  switch (step) {
    case 0:
    case 1:
      open_call(d);
      break;
    case 2:
      cancel(d, chosen(d));
      break;
    case 3: /* as after GOAWAY */
      call = tth_session_going_away(d->session) ? tth_session_take_back(d->session, fuzz_byte(&d->in), &out) : NULL;
      tth_out_free(out);
      if (call) gone(call);
      break;
    default:
      break;
  }
}

/* ---- The server's -------------------------------------------------------------------------- */

static void finish(driver *d, driver_call *call) {
  if (!call) return;
  static const uint8_t trailers[] = {0x08, 0x00};
  uint8_t code = fuzz_byte(&d->in);
  tth_out *out = frame_out(TTH_TRAILERS, 0, trailers, sizeof trailers);
  bool cut = call->cancelled || (code & 1);
  if (cut) tth_session_drop_output(d->session, call->stream);
  if (!cut && !call->sent_end && (code & 2)) { /* a reply */
    tth_out *reply = message_out(length(d), TTH_FLAG_END);
    reply->next = out;
    out = reply;
  }
  if (code & 4) { /* initial metadata */
    tth_out *headers = headers_out(TETHER_FOREVER);
    headers->next = out;
    out = headers;
  }
  tth_session_finish(d->session, call->stream, out);
  gone(call);
}

static void act_as_server(driver *d, uint8_t step) {
  driver_call *call;
  switch (step) {
    case 0:
      finish(d, chosen(d));
      break;
    case 1: /* with nothing to do it drains */
      call = chosen(d);
      if (call)
        finish(d, call);
      else
        tth_session_drain(d->session, "graceful_stop", d->now_ns);
      break;
    case 2:
      tth_session_goaway(d->session, "graceful_stop");
      break;
    case 3:
      call = chosen(d);
      if (call) tth_session_send(d->session, call->stream, headers_out(TETHER_FOREVER));
      break;
    default:
      break;
  }
}

/* ---- Either side --------------------------------------------------------------------------- */

static void consume(driver *d, driver_call *call) {
  if (!call) return;
  size_t cost = call->unsaid;
  uint8_t part = fuzz_byte(&d->in);
  if (part) cost = cost * part / 256;
  call->unsaid -= cost;
  if (cost > 0) tth_session_consumed(d->session, call->stream, cost);
}

void driver_act(driver *d, uint8_t step) {
  driver_call *call;
  switch (step) {
    case 0:
    case 1:
      consume(d, chosen(d));
      break;
    case 2:
    case 3:
      send(d, chosen(d), false);
      break;
    case 4:
      send(d, chosen(d), true);
      break;
    case 5:
      send_end(d, chosen(d));
      break;
    case 6:
      call = chosen(d);
      if (call) tth_session_want_writable(d->session, call->stream);
      break;
    case 7:
      call = tth_session_next_writable(d->session);
      FUZZ_CHECK(!call || call->phase == DRIVER_LIVE);
      break;
    default:
      (d->role == TTH_CLIENT ? act_as_client : act_as_server)(d, (step - 8) % 4);
      break;
  }
}

void driver_end_calls(driver *d) {
  for (size_t i = 0; i < d->count; i++) {
    driver_call *call = &d->calls[i];
    if (call->phase != DRIVER_LIVE) continue;
    if (d->role == TTH_CLIENT)
      cancel(d, call);
    else
      finish(d, call);
  }
}

/* ---- Events -------------------------------------------------------------------------------- */

static void take_message(driver *d, driver_call *call, tth_event *event) {
  FUZZ_CHECK(event->len <= d->session->limits.max_message_bytes);
  fuzz_read(event->bytes, event->len);
  FUZZ_CHECK(event->cost == 0 || !event->end);
  FUZZ_CHECK(!event->owned || event->owned == event->bytes);
  call->unsaid += event->cost;
  free(event->owned);
}

static void take_request(driver *d, tth_event *event) {
  FUZZ_CHECK(event->stream && event->stream->id != 0 && wire_check_is_open(&d->wire, event->stream->id));
  d->peer.newest = event->stream->id;
  driver_call *call = add_call(d);
  if (!call) abort(); /* there are more of them than a session has streams */
  call->stream = event->stream;
  event->stream->user = call;
}

/* TRAILERS: the stream is gone. */
static void take_end(driver_call *call, tth_event *event) {
  FUZZ_CHECK(!event->stream && event->stream_id != 0);
  tth_out_free(event->kept); /* the request, if it was refused */
  gone(call);
}

/* What the peer sends on a stream comes in order: nothing after its end. */
static void on_stream(driver *d, driver_call *call, tth_event *event) {
  FUZZ_CHECK(call->phase == DRIVER_LIVE && event->stream == call->stream && event->stream->user == call);
  bool message = event->type == TTH_EVENT_MESSAGE || event->type == TTH_EVENT_END || event->type == TTH_EVENT_OVERSIZE;
  FUZZ_CHECK(!message || !(call->peer_ended || call->oversize || call->cancelled));
  if (event->end) call->peer_ended = true;
  if (event->type == TTH_EVENT_MESSAGE) take_message(d, call, event);
  if (event->type == TTH_EVENT_OVERSIZE) {
    FUZZ_CHECK(event->len > d->session->limits.max_message_bytes);
    call->oversize = true;
  }
  if (event->type == TTH_EVENT_CANCEL) {
    FUZZ_CHECK(d->role == TTH_SERVER && !call->cancelled);
    call->cancelled = true;
  }
}

void driver_handle(driver *d, tth_event *event) {
  driver_call *call = event->user;
  FUZZ_CHECK(!d->broken);
  switch (event->type) {
    case TTH_EVENT_BROKEN:
      FUZZ_CHECK(event->len > 0 && event->len == strlen((const char *)event->bytes));
      d->broken = true;
      break;
    case TTH_EVENT_HEADERS:
      if (d->role == TTH_SERVER)
        take_request(d, event);
      else
        on_stream(d, call, event);
      break;
    case TTH_EVENT_TRAILERS:
      FUZZ_CHECK(d->role == TTH_CLIENT && call->phase != DRIVER_GONE);
      take_end(call, event);
      break;
    case TTH_EVENT_VERDICT:
      FUZZ_CHECK(d->role == TTH_SERVER && event->from <= TETHER_UNAUTHENTICATED && event->to <= TETHER_UNAUTHENTICATED);
      break;
    case TTH_EVENT_REFUSED:
      FUZZ_CHECK(d->role == TTH_SERVER && !call && (event->to == TETHER_UNAVAILABLE || event->to == TETHER_CANCELLED));
      break;
    case TTH_EVENT_HELLO:
    case TTH_EVENT_GOAWAY:
    case TTH_EVENT_PONG:
    case TTH_EVENT_DRAINED:
    case TTH_EVENT_THROWN:
      FUZZ_CHECK(!call);
      break;
    default:
      on_stream(d, call, event);
      break;
  }
}
