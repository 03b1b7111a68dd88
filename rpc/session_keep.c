/* A client's calls that may have to be sent again, to another server, since this one has not accepted them
 * (docs/protocol.md, "Not accepted").
 *
 *   output leaves ──> kept ──anything comes on the stream, a cancel, or more than there may be──> freed: committed
 *                      └──GOAWAY with an older last stream, TRAILERS with `unaccepted`──> the owner's again
 *
 * A call that has not left yet has everything still in its output. A server that answers nothing costs its client no
 * more than TTH_KEEP_ALL a connection: the call that goes beyond is the one that is committed. */
#include "rpc/session_impl.h"

/* Of one call. gRPC's default. */
#define TTH_KEEP_MOST ((size_t)256 * 1024)

static tth_out *take_kept(tth_session *session, tth_stream *stream) {
  tth_out *kept = stream->kept;
  session->kept -= stream->kept_len;
  stream->kept_len = 0;
  stream->kept = NULL;
  stream->keeps = false;
  return kept;
}

void tth_stream_commit(tth_session *session, tth_stream *stream) {
  stream->keeps = false;
  if (stream->kept) tth_out_free(take_kept(session, stream));
}

void tth_stream_keep(tth_session *session, tth_stream *stream, tth_out *out) {
  size_t size = tth_out_size(out);
  stream->kept_len += size;
  session->kept += size;
  out->next = NULL;
  *stream->kept_end = out;
  stream->kept_end = &out->next;
  if (stream->kept_len > TTH_KEEP_MOST || session->kept > TTH_KEEP_ALL) tth_stream_commit(session, stream);
}

tth_out *tth_stream_take_request(tth_session *session, tth_stream *stream) {
  if (!stream->keeps) return NULL;
  *stream->kept_end = tth_stream_take_out(session, stream);
  tth_out *request = take_kept(session, stream);
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
