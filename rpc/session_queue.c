/* What is to be sent, from the owner's calls until it leaves.
 *
 * A stream with output is in one place:
 *
 *   queued ──its id──> ready <──────────> blocked (in no list)
 *                        ^   not enough      │
 *                        │     credit        │ WINDOW
 *                        └───────────────────┘
 *
 * A client's stream that is cancelled moves to `cancels`, and what it had to send is dropped. A blocked stream costs
 * nothing until WINDOW comes: it does not count as pending. */
#include <stdlib.h>
#include <string.h>

#include "rpc/large.h"
#include "rpc/reuse.h"
#include "rpc/session_impl.h"

/* ---- Lists --------------------------------------------------------------------------------- */

void tth_list_push(tth_stream_list *list, tth_stream *stream) {
  tth_place *place = &stream->places[list->kind];
  *place = (tth_place){.prev = list->last};
  stream->listed[list->kind] = true;
  *(list->last ? &list->last->places[list->kind].next : &list->first) = stream;
  list->last = stream;
  list->count++;
}

void tth_list_remove(tth_stream_list *list, tth_stream *stream) {
  tth_list_kind kind = list->kind;
  tth_place *place = &stream->places[kind];
  *(place->prev ? &place->prev->places[kind].next : &list->first) = place->next;
  *(place->next ? &place->next->places[kind].prev : &list->last) = place->prev;
  list->count--;
  stream->listed[kind] = false;
}

void tth_list_leave(tth_session *session, tth_stream *stream, tth_list_kind kind) {
  if (!stream->listed[kind]) return;
  tth_stream_list *output = stream->state == TTH_STREAM_QUEUED      ? &session->queued
                            : stream->state == TTH_STREAM_CANCELLED ? &session->cancels
                                                                    : &session->ready;
  tth_stream_list *lists[TTH_LISTS] = {output, &session->owed, &session->waiting, &session->writable};
  tth_list_remove(lists[kind], stream);
}

tth_stream *tth_list_pop(tth_stream_list *list) {
  tth_stream *stream = list->first;
  if (stream) tth_list_remove(list, stream);
  return stream;
}

/* ---- Output of a stream -------------------------------------------------------------------- */

tth_out *tth_out_new(size_t size, bool sliced) {
  bool small = size <= TTH_OUT_SMALL - sizeof(tth_out);
  size_t all = sizeof(tth_out) + size;
  tth_out *out = small ? tth_reuse_get(TTH_REUSE_OUT, TTH_REUSES ? TTH_OUT_SMALL : all) : tth_large_alloc(all);
  if (!out) return NULL;
  *out = (tth_out){.deadline_ns = TETHER_FOREVER, .len = size, .sliced = sliced, .small = small};
  return out;
}

void tth_out_free_one(tth_out *out) {
  if (out->small)
    tth_reuse_put(TTH_REUSE_OUT, out);
  else
    tth_large_free(out);
}

void tth_out_free(tth_out *out) {
  while (out) {
    tth_out *next = out->next;
    tth_out_free_one(out);
    out = next;
  }
}

static void append(tth_session *session, tth_stream *stream, tth_out *out) {
  *stream->out_end = out;
  for (; out; out = out->next) {
    stream->queued += out->len;
    session->unsent += out->len;
    if (!stream->blocked) session->pending += out->len;
    stream->out_end = &out->next;
  }
}

static void set_blocked(tth_session *session, tth_stream *stream, bool blocked) {
  if (blocked == stream->blocked) return;
  stream->blocked = blocked;
  if (blocked) {
    session->blocked++;
    session->pending -= stream->queued;
  } else {
    session->blocked--;
    session->pending += stream->queued;
  }
}

static void tell_if_writable(tth_session *session, tth_stream *stream) {
  if (!stream->want_writable || stream->queued > TTH_SEND_LOW) return;
  stream->want_writable = false;
  tth_list_push(&session->writable, stream);
}

void tth_stream_out_left(tth_session *session, tth_stream *stream, size_t len) {
  stream->queued -= len;
  session->unsent -= len;
  session->pending -= len;
  tell_if_writable(session, stream);
}

tth_out *tth_stream_take_out(tth_session *session, tth_stream *stream) {
  tth_out *out = stream->out;
  if (!out) return NULL;
  set_blocked(session, stream, false);
  session->pending -= stream->queued;
  session->unsent -= stream->queued;
  stream->queued = 0;
  stream->out = NULL;
  stream->out_end = &stream->out;
  if (stream->id != 0) tth_list_leave(session, stream, TTH_LIST_OUTPUT);
  tell_if_writable(session, stream);
  return out;
}

void tth_stream_drop_out(tth_session *session, tth_stream *stream) {
  tth_out_free(tth_stream_take_out(session, stream));
}

uint64_t tth_stream_next_cost(const tth_stream *stream) {
  const tth_out *out = stream->out;
  uint64_t cost = 0;
  if (out && out->sliced) {
    size_t left = out->len - out->sent;
    return TTH_FRAME_HEADER + (out->sent == 0 ? 4 : 0) + (left < TTH_SLICE ? left : TTH_SLICE);
  }
  for (size_t at = 0; out && at < out->len;) {
    cost += tth_frame_cost(out->data + at);
    at += TTH_FRAME_HEADER + tth_get32(out->data + at);
  }
  return cost;
}

void tth_stream_make_ready(tth_session *session, tth_stream *stream) {
  if (!stream->out || stream->listed[TTH_LIST_OUTPUT]) return;
  size_t credit = stream->send_credit;
  bool plenty = !stream->out->sliced && stream->out->len <= credit; /* the usual case, without a look at the frames */
  set_blocked(session, stream, !plenty && tth_stream_next_cost(stream) > credit);
  if (!stream->blocked) tth_list_push(&session->ready, stream);
}

/* TRAILERS are the last frame of the last out. */
void tth_stream_keep_trailers(tth_session *session, tth_stream *stream) {
  tth_out **end = &stream->out;
  while (*end && (*end)->next) end = &(*end)->next;
  tth_out *out = *end;
  if (!out) return;
  set_blocked(session, stream, false);
  session->pending -= out->len;
  session->unsent -= out->len;
  stream->queued -= out->len;
  *end = NULL;
  stream->out_end = end;
  tth_stream_drop_out(session, stream);
  size_t at = 0;
  for (size_t next; (next = at + TTH_FRAME_HEADER + tth_get32(out->data + at)) < out->len;) at = next;
  out->len -= at;
  memmove(out->data, out->data + at, out->len);
  append(session, stream, out);
  tth_stream_make_ready(session, stream);
}

tth_stream *tth_stream_new(void) {
  tth_stream *stream = tth_reuse_get(TTH_REUSE_STREAM, sizeof *stream);
  if (stream) *stream = (tth_stream){0};
  return stream;
}

void tth_stream_free(tth_session *session, tth_stream *stream) {
  stream->want_writable = false;
  tth_stream_drop_out(session, stream);
  tth_stream_commit(session, stream);
  tether_cause_unref(stream->cause);
  tth_stream_drop_message(stream);
  tth_window_release(session, stream);
  for (int kind = 0; kind < TTH_LISTS; kind++) tth_list_leave(session, stream, (tth_list_kind)kind);
  tth_reuse_put(TTH_REUSE_STREAM, stream);
}

/* ---- For the owner ------------------------------------------------------------------------- */

tth_stream *tth_session_open(tth_session *session, void *user, tth_out *out) {
  bool room = tth_streams_reserve(&session->streams, session->queued.count + 1);
  tth_stream *stream = room ? tth_stream_new() : NULL;
  if (!stream) return NULL;
  stream->state = TTH_STREAM_QUEUED;
  stream->told_ns = TETHER_FOREVER;
  stream->user = user;
  stream->out_end = &stream->out;
  stream->keeps = true;
  stream->kept_end = &stream->kept;
  append(session, stream, out);
  tth_list_push(&session->queued, stream);
  return stream;
}

/* The owner hears no more of the stream. */
static void let_go(tth_session *session, tth_stream *stream) {
  stream->user = NULL;
  stream->want_writable = false;
  tth_list_leave(session, stream, TTH_LIST_WRITABLE);
  tth_stream_drop_message(stream);
}

bool tth_session_cancel(tth_session *session, tth_stream *stream, const tether_cause *cause, int64_t wait_ns) {
  void *user = stream->user;
  let_go(session, stream);
  tth_stream_commit(session, stream);
  if (stream->state == TTH_STREAM_QUEUED) {
    tth_stream_free(session, stream);
    return false;
  }
  stream->late = user;
  stream->wait_ns = wait_ns;
  tth_stream_drop_out(session, stream);
  tth_window_release(session, stream);
  stream->state = TTH_STREAM_CANCELLED;
  stream->cause = tether_cause_ref(cause ? cause : tether_cause_canceled());
  tth_list_push(&session->cancels, stream);
  return true;
}

void tth_session_send(tth_session *session, tth_stream *stream, tth_out *out) {
  if (stream->cancel_seen) { /* the peer skips it, and gives no credit for it */
    tth_out_free(out);
    return;
  }
  append(session, stream, out);
  tth_stream_make_ready(session, stream);
}

size_t tth_session_unsent(const tth_session *session) { return session->unsent; }

void tth_session_drop_output(tth_session *session, tth_stream *stream) { tth_stream_drop_out(session, stream); }

void tth_session_finish(tth_session *session, tth_stream *stream, tth_out *out) {
  let_go(session, stream);
  tth_window_release(session, stream);
  stream->state = TTH_STREAM_FINISHED;
  append(session, stream, out);
  if (stream->cancel_seen)
    tth_stream_keep_trailers(session, stream);
  else
    tth_stream_make_ready(session, stream);
}

void tth_session_want_writable(tth_session *session, tth_stream *stream) {
  if (stream->listed[TTH_LIST_WRITABLE]) return;
  stream->want_writable = true;
  tell_if_writable(session, stream);
}

void *tth_session_next_writable(tth_session *session) {
  tth_stream *stream = tth_list_pop(&session->writable);
  return stream ? stream->user : NULL;
}

bool tth_session_has_writable(const tth_session *session) { return session->writable.first; }

void *tth_session_pop_user(tth_session *session) {
  tth_out *out;
  void *user = tth_session_take_queued(session, &out);
  if (user) tth_out_free(out);
  if (user) return user;
  for (tth_stream *stream; (stream = tth_streams_any(&session->streams));) {
    tth_streams_remove(&session->streams, stream);
    user = stream->user ? stream->user : stream->late;
    tth_stream_free(session, stream);
    if (user) return user;
  }
  return NULL;
}
