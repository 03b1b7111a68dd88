/* A client's calls that may have to be sent again, to another server, since this one has not accepted them
 * (docs/protocol.md, "Not accepted").
 *
 *   output leaves ──> kept ──anything comes on the stream, a cancel, or more than TTH_KEEP_MOST──> freed: committed
 *                      └──GOAWAY with an older last stream, TRAILERS with `unaccepted`──> the owner's again
 *
 * A call that has not left yet has everything still in its output. */
#include "rpc/session_impl.h"

/* Of one call. gRPC's default. */
#define TTH_KEEP_MOST ((size_t)256 * 1024)

void tth_stream_commit(tth_stream *stream) {
  stream->keeps = false;
  if (!stream->kept) return;
  tth_out_free(stream->kept);
  stream->kept = NULL;
}

void tth_stream_keep(tth_stream *stream, tth_out *out) {
  stream->kept_len += out->len;
  out->next = NULL;
  *stream->kept_end = out;
  stream->kept_end = &out->next;
  if (stream->kept_len > TTH_KEEP_MOST) tth_stream_commit(stream);
}

tth_out *tth_stream_take_request(tth_session *session, tth_stream *stream) {
  if (!stream->keeps) return NULL;
  tth_out *request, *unsent = tth_stream_take_out(session, stream);
  *stream->kept_end = unsent;
  request = stream->kept;
  stream->kept = NULL;
  stream->keeps = false;
  for (tth_out *out = request; out; out = out->next) out->sent = 0;
  return request;
}

void tth_session_leave(tth_session *session) { session->going_away = true; }

void *tth_session_take_queued(tth_session *session, tth_out **out) {
  tth_stream *stream = session->queued.first;
  if (!stream) return NULL;
  void *user = stream->user;
  *out = tth_stream_take_request(session, stream);
  tth_stream_free(session, stream);
  return user;
}

void *tth_session_take_back(tth_session *session, uint32_t last, tth_out **out) {
  void *user = tth_session_take_queued(session, out);
  /* A drain begins with one that is far ahead; ids wrap, so the oldest would seem newer than that. */
  if (tth_id_is_newer(last, session->last_stream)) last = session->last_stream;
  for (size_t i = 0; i < session->streams.capacity && !user; i++) {
    tth_stream *stream = session->streams.slots[i];
    if (!stream || stream->state != TTH_STREAM_OPEN || !tth_id_is_newer(stream->id, last)) continue;
    *out = tth_stream_take_request(session, stream);
    if (!*out) continue; /* it ends with the TRAILERS that refuse it, or the connection */
    user = stream->user;
    tth_streams_remove(&session->streams, stream);
    tth_stream_free(session, stream);
  }
  return user;
}
