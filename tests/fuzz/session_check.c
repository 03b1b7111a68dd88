#include "tests/fuzz/session_check.h"

#include "rpc/large.h"
#include "tests/fuzz/fuzz.h"

/* What a session may keep of control frames: HELLO, GOAWAY, answers to refused streams, verdicts. */
#define CONTROL_MOST ((size_t)256 * 1024)

static uint64_t longest(const tth_session *session) {
  uint64_t bytes = session->limits.max_message_bytes;
  return 4 + bytes + (bytes + TTH_SLICE - 1) / TTH_SLICE * TTH_FRAME_HEADER;
}

static uint64_t whole_budget(const tth_session *session) {
  uint64_t most = longest(session);
  return session->limits.connection_window_bytes > most ? session->limits.connection_window_bytes : most;
}

static bool takes_more(const tth_stream *stream) { return !stream->discard && !stream->ended; }

/* ---- A stream ------------------------------------------------------------------------------ */

static void check_window(const tth_session *session, const tth_stream *stream) {
  const tth_window *in = &stream->in;
  uint64_t own = session->limits.stream_window_bytes + in->grown, size = own + in->reserved;
  FUZZ_CHECK(in->credit <= TTH_CREDIT_MOST && stream->send_credit <= TTH_CREDIT_MOST);
  FUZZ_CHECK((uint64_t)in->unread + in->credit <= size);
  FUZZ_CHECK(in->partial <= in->unread && in->promised <= in->reserved);
  FUZZ_CHECK(own <= TTH_WINDOW_MOST || in->grown == 0);
  if (!takes_more(stream)) {
    FUZZ_CHECK(in->grown == 0 && !stream->message);
    FUZZ_CHECK(!stream->listed[TTH_LIST_OWED] && !stream->listed[TTH_LIST_WAITING]);
  } else if (in->unread == 0 && !stream->listed[TTH_LIST_OWED]) {
    /* Its owner has used everything: the peer can go on, or has been told that it can. */
    FUZZ_CHECK(2 * (uint64_t)in->credit > (size < TTH_CREDIT_MOST ? size : TTH_CREDIT_MOST));
  }
}

/* A message being put together takes memory for what has come, not for what was announced, unless there is a piece
 * that nobody uses: not under the sanitizers that the fuzzers run with. */
static void check_message(const tth_session *session, const tth_stream *stream) {
  if (!stream->message) return;
  size_t fair = 2 * (size_t)stream->message_len;
  FUZZ_CHECK(stream->message_total <= session->limits.max_message_bytes);
  FUZZ_CHECK(stream->message_len <= stream->message_capacity && stream->message_len <= stream->message_total);
  FUZZ_CHECK(TTH_LARGE_PLACES > 0 || stream->message_capacity <= (fair > 2 * TTH_SLICE ? fair : 2 * TTH_SLICE));
}

/* Returns what the stream keeps to be sent again. */
static size_t check_kept(const tth_stream *stream) {
  size_t size = 0;
  for (const tth_out *out = stream->kept; out; out = out->next) size += tth_out_size(out);
  FUZZ_CHECK(size == stream->kept_len && (stream->keeps || size == 0));
  return size;
}

/* Returns what the stream adds to the session's count of what may leave. */
static size_t check_output(const tth_stream *stream) {
  size_t queued = 0;
  for (const tth_out *out = stream->out; out; out = out->next) queued += out->len - out->sent;
  FUZZ_CHECK(queued == stream->queued);
  FUZZ_CHECK(stream->out ? !*stream->out_end : stream->out_end == &stream->out);
  bool leaves = stream->listed[TTH_LIST_OUTPUT] && stream->state != TTH_STREAM_CANCELLED;
  FUZZ_CHECK(stream->out ? leaves != stream->blocked : !leaves && !stream->blocked);
  if (stream->blocked) FUZZ_CHECK(tth_stream_next_cost(stream) > stream->send_credit);
  return stream->blocked ? 0 : queued;
}

static size_t check_stream(const tth_session *session, const tth_stream *stream) {
  check_window(session, stream);
  check_message(session, stream);
  FUZZ_CHECK(stream->state != TTH_STREAM_QUEUED && stream->id != 0);
  FUZZ_CHECK(tth_streams_find(&session->streams, stream->id) == stream);
  return check_output(stream);
}

/* ---- The session --------------------------------------------------------------------------- */

static void check_list(const tth_stream_list *list, tth_list_kind kind) {
  size_t count = 0;
  const tth_stream *last = NULL;
  for (const tth_stream *stream = list->first; stream; last = stream, stream = stream->places[kind].next, count++)
    FUZZ_CHECK(stream->listed[kind] && stream->places[kind].prev == last);
  FUZZ_CHECK(list->kind == kind && list->last == last && list->count == count);
}

static void check_lists(const tth_session *session) {
  check_list(&session->ready, TTH_LIST_OUTPUT);
  check_list(&session->cancels, TTH_LIST_OUTPUT);
  check_list(&session->queued, TTH_LIST_OUTPUT);
  check_list(&session->owed, TTH_LIST_OWED);
  check_list(&session->waiting, TTH_LIST_WAITING);
  check_list(&session->writable, TTH_LIST_WRITABLE);
}

static size_t check_control(const tth_session *session) {
  size_t bytes = 0, refusals = 0;
  for (const tth_out *out = session->control; out; out = out->next) {
    bytes += out->len;
    refusals += out->data[4] == TTH_TRAILERS;
  }
  FUZZ_CHECK(refusals == session->refusals && bytes <= CONTROL_MOST);
  return bytes;
}

/* Nobody waits for what there is, unless it is all over in the middle of a message. */
static void check_waiting(const tth_session *session) {
  const tth_stream *first = session->waiting.first;
  if (!first || session->broken) return;
  FUZZ_CHECK(first->message);
  uint64_t left = first->message_total - first->message_len;
  uint64_t rest = left + (left + TTH_SLICE - 1) / TTH_SLICE * TTH_FRAME_HEADER;
  FUZZ_CHECK(rest > first->in.reserved && rest - first->in.reserved > session->budget);
}

void session_check(const tth_session *session) {
  uint64_t taken = 0, grown = 0, unread = 0;
  size_t pending = check_control(session), blocked = 0, count = 0, unsent = 0, kept = 0;
  check_lists(session);
  for (const tth_stream *stream = session->queued.first; stream; stream = stream->places[TTH_LIST_OUTPUT].next) {
    FUZZ_CHECK(stream->state == TTH_STREAM_QUEUED && stream->id == 0);
    pending += check_output(stream);
    unsent += stream->queued;
  }
  for (size_t i = 0; i < session->streams.capacity; i++) {
    const tth_stream *stream = session->streams.slots[i];
    if (!stream) continue;
    pending += check_stream(session, stream);
    unsent += stream->queued;
    kept += check_kept(stream);
    blocked += stream->blocked;
    taken += (uint64_t)stream->in.grown + stream->in.reserved;
    grown += stream->in.grown;
    unread += stream->in.unread;
    count++;
  }
  if (pending != session->pending) fuzz_fail("%zu bytes may leave, counted as %zu", pending, session->pending);
  FUZZ_CHECK(unsent == tth_session_unsent(session));
  FUZZ_CHECK(kept == session->kept && kept <= TTH_KEEP_ALL);
  FUZZ_CHECK(blocked == session->blocked && count == session->streams.count);
  FUZZ_CHECK(session->budget + taken == whole_budget(session));
  FUZZ_CHECK(session->growth_left + grown == whole_budget(session) - longest(session));
  FUZZ_CHECK(unread <= count * session->limits.stream_window_bytes + whole_budget(session));
  check_waiting(session);
}

void session_check_filled(const tth_session *session) {
  if (session->broken) return;
  FUZZ_CHECK(!session->control && !session->cancels.first && !session->ready.first && !session->owed.first);
  FUZZ_CHECK(!session->pong_owed);
}
