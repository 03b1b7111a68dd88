/* From call to frames. A small message shares one allocation with the frames around it; a long one is sent in slices
 * from an allocation of its own. The timeout is a fixed-width field right after the frame header, so that the
 * session can write what is left at the moment the bytes leave. */
#include "rpc/encode.h"

#include <string.h>

#include "rpc/cause_wire.h"
#include "rpc/forward.h"
#include "rpc/headers.h"
#include "rpc/metadata.h"
#include "rpc/trace.h"
#include "rpc/utf8.h"

/* A message of at most TTH_SLICE bytes as a frame inside a bigger out. */
static size_t put_message(uint8_t *to, const ProtobufCMessage *message, size_t len, uint8_t flags) {
  tth_frame_put(to, (uint32_t)len, TTH_MESSAGE, flags, 0);
  protobuf_c_message_pack(message, to + TTH_FRAME_HEADER);
  return TTH_FRAME_HEADER + len;
}

/* A longer one as an out of its own. */
static tth_out *sliced_message(const ProtobufCMessage *message, size_t len, uint8_t flags) {
  tth_out *out = tth_out_new(len, true);
  if (!out) return NULL;
  out->flags = flags;
  protobuf_c_message_pack(message, out->data);
  return out;
}

static tether_code pack_request(const Tether__V1__Headers *headers, const ProtobufCMessage *request, tth_out **result) {
  size_t head = tth_headers_size(headers);
  size_t body = request ? protobuf_c_message_get_packed_size(request) : 0;
  bool sliced = body > TTH_SLICE;
  tth_out *out = tth_out_new(TTH_FRAME_HEADER + head + (sliced || !request ? 0 : TTH_FRAME_HEADER + body), false);
  if (!out) return TETHER_RESOURCE_EXHAUSTED;
  tth_frame_put(out->data, (uint32_t)head, TTH_HEADERS, 0, 0);
  tth_headers_put(headers, out->data + TTH_FRAME_HEADER);
  if (sliced) {
    out->next = sliced_message(request, body, TTH_FLAG_END);
    if (!out->next) {
      tth_out_free(out);
      return TETHER_RESOURCE_EXHAUSTED;
    }
  } else if (request) {
    put_message(out->data + TTH_FRAME_HEADER + head, request, body, TTH_FLAG_END);
  }
  *result = out;
  return TETHER_OK;
}

bool tth_encode_one_more(tth_out **out, const char *key, const char *value, size_t len) {
  tth_out *old = *out;
  Tether__V1__Entry entry = TETHER__V1__ENTRY__INIT, *entries = &entry;
  Tether__V1__Headers headers = TETHER__V1__HEADERS__INIT; /* nothing but the entry: protobuf appends by appending */
  entry.key = (char *)key;
  entry.value = (ProtobufCBinaryData){.data = (uint8_t *)value, .len = len};
  headers.n_metadata = 1;
  headers.metadata = &entries;
  size_t more = tth_headers_size(&headers), head = tth_get32(old->data), before = TTH_FRAME_HEADER + head;
  tth_out *made = tth_out_new(old->len + more, false);
  if (!made) return false;
  memcpy(made->data, old->data, before);
  tth_frame_put(made->data, (uint32_t)(head + more), TTH_HEADERS, 0, 0);
  tth_headers_put(&headers, made->data + before);
  memcpy(made->data + before + more, old->data + before, old->len - before);
  made->deadline_ns = old->deadline_ns;
  made->reserve_ns = old->reserve_ns;
  made->next = old->next;
  old->next = NULL;
  tth_out_free(old);
  *out = made;
  return true;
}

tether_code tth_encode_message(const ProtobufCMessage *message, tth_out **result) {
  size_t len = protobuf_c_message_get_packed_size(message);
  tth_out *out = len > TTH_SLICE ? sliced_message(message, len, 0) : tth_out_new(TTH_FRAME_HEADER + len, false);
  if (!out) return TETHER_RESOURCE_EXHAUSTED;
  if (!out->sliced) put_message(out->data, message, len, 0);
  *result = out;
  return TETHER_OK;
}

tth_out *tth_encode_half_close(void) {
  tth_out *out = tth_out_new(TTH_FRAME_HEADER, false);
  if (out) tth_frame_put(out->data, 0, TTH_MESSAGE, TTH_FLAG_END | TTH_FLAG_BARE, 0);
  return out;
}

/* Longer texts are left out (W3C asks for 512 and 8192 bytes at least), and such as the server would refuse the whole
 * call for: a trace is never worth a failed call. */
enum { STATE_MAX = 2048, BAGGAGE_MAX = 8192 };

static char *sendable(const char *text, size_t max) {
  size_t len = text ? strnlen(text, max + 1) : 0;
  return len > 0 && len <= max && tth_utf8_prefix((const uint8_t *)text, len) == len ? (char *)text : NULL;
}

static void add_entries(tether_call *call, const tether_metadata *metadata, tth_entries *list) {
  for (size_t i = 0; i < tether_metadata_count(metadata); i++) {
    tether_metadata_entry entry = tether_metadata_at(metadata, i);
    tth_entries_add(list, &call->arena, entry.key, (const uint8_t *)entry.value, entry.len);
  }
}

tether_code tth_encode_request(tether_call *call, const ProtobufCMessage *request, const tether_metadata *metadata,
                               size_t max_forward_bytes, tth_out **out) {
  Tether__V1__Headers headers = TETHER__V1__HEADERS__INIT;
  tth_entries one_hop = {0}, forwarded = {0};
  add_entries(call, metadata, &one_hop);
  add_entries(call, call->metadata, &one_hop);
  tth_forward_collect(call->ctx, &call->arena, max_forward_bytes, &one_hop, &forwarded);
  if (one_hop.no_memory || forwarded.no_memory) return TETHER_RESOURCE_EXHAUSTED;
  headers.n_metadata = one_hop.count;
  headers.metadata = one_hop.entries;
  headers.n_forwarded = forwarded.count;
  headers.forwarded = forwarded.entries;
  headers.method = (char *)call->path;
  char traceparent[TETHER_TRACEPARENT_SIZE];
  if (tth_trace_next_hop(call->ctx, call->c.own_span, traceparent)) {
    headers.traceparent = traceparent;
    headers.tracestate = sendable(tether_trace_state(call->ctx), STATE_MAX);
    headers.baggage = sendable(tether_trace_baggage(call->ctx), BAGGAGE_MAX);
  }
  int64_t deadline_ns = tether_ctx_deadline_ns(call->ctx);
  headers.has_timeout_ns = headers.has_sent_at_ns = deadline_ns != TETHER_FOREVER;
  headers.sent_at_ns = INT64_MIN;
  headers.has_explain = headers.explain = call->c.explain;
  headers.has_detach_ns = call->c.detached_ns > 0;
  headers.detach_ns = call->c.detached_ns;
  headers.has_explain_wait_ns = call->c.explain;
  headers.explain_wait_ns = call->c.explain ? tth_recorder_wait_below_ns(call->c.recorder) : 0;
  tether_code code = pack_request(&headers, request, out);
  if (code == TETHER_OK) {
    (*out)->deadline_ns = deadline_ns;
    (*out)->reserve_ns = call->c.detached_ns ? -1 : call->c.reserve_ns; /* a detached one is not bound by it */
  }
  return code;
}

/* Wire views of a metadata list; at most this many on the stack, which the size limits keep ample: an entry counts at
 * least TTH_ENTRY_OVERHEAD bytes. */
#define VIEWS 64

struct views {
  Tether__V1__Entry entries[VIEWS];
  Tether__V1__Entry *pointers[VIEWS];
};

static size_t view(const tether_metadata *metadata, struct views *views) {
  size_t count = tether_metadata_count(metadata);
  if (count > VIEWS) count = VIEWS; /* add_initial and add_trailer refuse more */
  tth_metadata_view(metadata, views->entries);
  for (size_t i = 0; i < count; i++) views->pointers[i] = &views->entries[i];
  return count;
}

tether_code tth_encode_initial(const tether_call *call, tth_out **result) {
  struct views views;
  Tether__V1__Headers headers = TETHER__V1__HEADERS__INIT;
  headers.n_metadata = view(call->initial, &views);
  headers.metadata = views.pointers;
  size_t len = tth_headers_size(&headers);
  tth_out *out = tth_out_new(TTH_FRAME_HEADER + len, false);
  if (!out) return TETHER_RESOURCE_EXHAUSTED;
  tth_frame_put(out->data, (uint32_t)len, TTH_HEADERS, 0, 0);
  tth_headers_put(&headers, out->data + TTH_FRAME_HEADER);
  *result = out;
  return TETHER_OK;
}

/* A code and nothing else. */
static bool is_plain(const Tether__V1__Trailers *trailers) {
  return !trailers->message && !trailers->cause && !trailers->n_metadata && !trailers->has_ledger &&
         !trailers->has_running;
}

/* The reply (if any and short) and TRAILERS in one out; a long reply in an out before it. */
static tether_code pack_end(const Tether__V1__Trailers *trailers, const ProtobufCMessage *reply, tth_out **result) {
  bool plain = is_plain(trailers);
  size_t tail = plain ? TTH_TRAILERS_PLAIN : tether__v1__trailers__get_packed_size(trailers);
  size_t body = reply ? protobuf_c_message_get_packed_size(reply) : 0;
  bool sliced = body > TTH_SLICE;
  size_t head = reply && !sliced ? TTH_FRAME_HEADER + body : 0;
  tth_out *out = tth_out_new(head + TTH_FRAME_HEADER + tail, false);
  if (!out) return TETHER_RESOURCE_EXHAUSTED;
  if (head) put_message(out->data, reply, body, TTH_FLAG_END);
  tth_frame_put(out->data + head, (uint32_t)tail, TTH_TRAILERS, 0, 0);
  if (plain)
    tth_trailers_put_plain(out->data + head + TTH_FRAME_HEADER, trailers->code);
  else
    tether__v1__trailers__pack(trailers, out->data + head + TTH_FRAME_HEADER);
  if (sliced) {
    tth_out *message = sliced_message(reply, body, TTH_FLAG_END);
    if (!message) {
      tth_out_free(out);
      return TETHER_RESOURCE_EXHAUSTED;
    }
    message->next = out;
    out = message;
  }
  *result = out;
  return TETHER_OK;
}

tether_code tth_encode_reply(const tether_call *call, const tth_end *end, tth_out **result) {
  const tether_cause *cause = call->cause;
  if (!cause && call->code != TETHER_OK) cause = call->s.fail_cause;
  struct views views;
  Tether__V1__Trailers trailers = TETHER__V1__TRAILERS__INIT;
  Tether__V1__Cause wire_cause = TETHER__V1__CAUSE__INIT;
  trailers.code = call->code;
  trailers.message = call->message ? call->message : NULL;
  if (cause) {
    tth_cause_to_wire(cause, &wire_cause);
    trailers.cause = &wire_cause;
  }
  trailers.has_ledger = end->ledger.data != NULL;
  trailers.ledger = end->ledger;
  trailers.has_running = end->running > 0;
  trailers.running = end->running;
  trailers.n_metadata = view(call->trailers, &views);
  trailers.metadata = views.pointers;
  tth_out *out, *initial = NULL;
  tether_code failed = pack_end(&trailers, call->code == TETHER_OK ? call->reply : NULL, &out);
  if (failed != TETHER_OK) return failed;
  if (tether_metadata_count(call->initial) > 0 && !call->s.initial_sent) {
    failed = tth_encode_initial(call, &initial);
    if (failed != TETHER_OK) {
      tth_out_free(out);
      return failed;
    }
    initial->next = out;
    out = initial;
  }
  *result = out;
  return TETHER_OK;
}
