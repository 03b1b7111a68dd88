/* edge/stream.c: from the search service's stream to the client's connection.
 *
 *                     the first part                       the call's end
 *   call started ---> WAITING -------------> STREAMING ---------------------------> summary, released
 *                       |                     |     ^                                  ^
 *                       | call failed         |     | all of it is written             |
 *                       |              OUTPUT_MAX   |                                  |
 *                       |           not written yet |                                  |
 *                       v                     v     |        the context's end         |
 *                an ordinary error           BEHIND --------------------------------> -+
 *
 * A client that reads slowly: while BEHIND nothing is read from the call, so its window fills and the search service
 * stops in turn, back to SQLite. What is held for such a client is OUTPUT_MAX, a window, and what the kernel keeps.
 * A client that leaves: hangup.h notices while nothing is sent, evhttp when something is; either ends the context.
 * A budget that runs out: ends the context, and so the call, also while BEHIND.
 *
 * Three things may refer to a request and must be over before it is released: the call's callback (`waits`), the
 * context's (`after`), evhttp's (replaced when the HTTP side goes). */
#include "edge/stream.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http_struct.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "edge/json.h"
#include "edge/request.h"
#include "search/v1/search.tether.h"

enum { OUTPUT_MAX = 64 * 1024 };

static edge_request *of_readable(edge_mail *mail) {
  return (edge_request *)(void *)((char *)mail - offsetof(edge_request, stream.readable));
}

static edge_request *of_ended(edge_mail *mail) {
  return (edge_request *)(void *)((char *)mail - offsetof(edge_request, stream.ended));
}

static struct bufferevent *bufferevent_of(const edge_request *r) {
  return evhttp_connection_get_bufferevent(evhttp_request_get_connection(r->http));
}

/* ---- Writing -------------------------------------------------------------------------------- */

static void pump(edge_request *r);

static void on_written(struct evhttp_connection *connection, void *data) {
  (void)connection;
  pump(data);
}

/* evhttp gave the connection up: an error, or a client that did not read for too long. The request is not on it any
 * more, so ending it only releases it. */
static void on_lost(struct evhttp_connection *connection, void *data) {
  edge_request *r = data;
  struct evhttp_request *http = r->http;
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_CALLER, NULL, "the HTTP client disconnected");
  edge_request_log(r, HTTP_CLIENT_CLOSED_REQUEST, TETHER_CANCELLED, cause);
  edge_hangup_unwatch(&r->edge->hangup, bufferevent_getfd(evhttp_connection_get_bufferevent(connection)));
  r->http = NULL;
  evhttp_send_reply_end(http);
  tether_ctx_cancel_cause(r->ctx, cause);
  tether_cause_unref(cause);
  pump(r);
}

/* Many small writes: none waits for the acknowledgement of the one before, and what the client has not taken stays
 * here, where it is counted, rather than in the kernel. Nor does what the client sends meanwhile pile up; that it sends
 * nothing is as it should be, for however long. */
static void tune(const edge_request *r) {
  const struct timeval idle = edge_timeval(r->edge->idle_ns);
  int fd = bufferevent_getfd(bufferevent_of(r)), on = 1, unsent = OUTPUT_MAX;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
  bufferevent_setwatermark(bufferevent_of(r), EV_READ, 0, OUTPUT_MAX);
  bufferevent_set_timeouts(bufferevent_of(r), NULL, &idle);
}

static void start_reply(edge_request *r) {
  struct evkeyvalq *headers = evhttp_request_get_output_headers(r->http);
  evhttp_add_header(headers, "Content-Type", edge_format_type(r->stream.format));
  evhttp_add_header(headers, "Cache-Control", "no-store");
  if (r->http->major == 1 && r->http->minor == 0) /* has no chunks: only the connection's end tells that of the reply */
    evhttp_remove_header(evhttp_request_get_input_headers(r->http), "Connection");
  tune(r);
  evhttp_connection_set_closecb(evhttp_request_get_connection(r->http), on_lost, r);
  evhttp_send_reply_start(r->http, 200, NULL);
  r->stream.started = true;
}

/* Adds one line or event, and takes the value; false without memory. */
static bool add(edge_request *r, const char *event, json_t *value) {
  char *text = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(9));
  json_decref(value);
  if (!text) return false;
  if (r->stream.format == EDGE_EVENTS)
    evbuffer_add_printf(r->edge->scratch, "event: %s\ndata: %s\n\n", event, text);
  else
    evbuffer_add_printf(r->edge->scratch, "%s\n", text);
  free(text);
  return true;
}

static void flush(edge_request *r) {
  if (r->http) evhttp_send_reply_chunk_with_cb(r->http, r->edge->scratch, on_written, r);
  evbuffer_drain(r->edge->scratch, evbuffer_get_length(r->edge->scratch)); /* it is the next request's too */
}

/* What is left of the reply, and its end. `summary` is taken. */
static void end_reply(edge_request *r, int status, json_t *summary) {
  json_object_set_new(summary, "status", json_integer(status));
  json_object_set_new(summary, "hits", json_integer((json_int_t)r->stream.hits));
  if (r->stream.hits)
    json_object_set_new(summary, "first_hit_ms", json_real((double)(r->stream.first_ns / 1000) / 1000));
  edge_request_explain(r, summary);
  edge_json_finish(summary, r->ctx, tether_now_ns() - r->started_ns);
  add(r, "summary", json_pack("{so}", "summary", summary));
  flush(r);
  const struct timeval idle = edge_timeval(r->edge->idle_ns);
  bufferevent_set_timeouts(bufferevent_of(r), &idle, &idle);
  evhttp_send_reply_end(edge_request_detach(r));
}

/* ---- Reading -------------------------------------------------------------------------------- */

static void take_part(edge_request *r, const Search__V1__SearchStreamReply *part) {
  edge_stream *s = &r->stream;
  bool kept = true;
  if (!r->http) return;
  if (!s->started) start_reply(r);
  if (part->part_case == SEARCH__V1__SEARCH_STREAM_REPLY__PART_HIT) {
    kept = add(r, "hit", edge_json_hit(part->hit));
    if (s->hits++ == 0) s->first_ns = tether_now_ns() - r->started_ns;
  } else if (part->part_case == SEARCH__V1__SEARCH_STREAM_REPLY__PART_SUMMARY) {
    json_decref(s->summary);
    s->summary = edge_json_summary(part->summary);
    kept = s->summary != NULL;
  }
  if (kept) return;
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_OTHER, NULL, "a part of the reply cannot be written");
  tether_ctx_cancel_cause(r->ctx, cause);
  tether_cause_unref(cause);
}

/* The call has ended, and everything it brought was taken. */
static void finish(edge_request *r) {
  edge_stream *s = &r->stream;
  tether_code code = tether_call_code(r->call);
  const tether_cause *cause = tether_call_cause(r->call);
  s->over = true;
  if (!r->http) return;
  const char *message = tether_call_message(r->call);
  if (code == TETHER_OK && !s->summary) { /* the search service keeps no contract; that is no success */
    code = TETHER_INTERNAL;
    message = "the search ended without a summary";
  }
  if (!s->started) {
    edge_request_log(r, edge_http_status(code), code, cause);
    edge_request_answer(r, edge_http_status(code), edge_json_error(code, message, cause));
    return;
  }
  edge_request_log(r, 200, code, cause);
  if (code == TETHER_OK) {
    end_reply(r, 200, s->summary);
    s->summary = NULL;
  } else {
    end_reply(r, edge_http_status(code), edge_json_error(code, message, cause));
  }
}

/* Whether the client has to read before more is sent. When the context has ended there is next to nothing more. */
static bool is_behind(const edge_request *r) {
  if (!r->http || r->stream.cut) return false;
  return evbuffer_get_length(bufferevent_get_output(bufferevent_of(r))) + evbuffer_get_length(r->edge->scratch) >=
         OUTPUT_MAX;
}

static void release(edge_request *r) {
  edge_stream *s = &r->stream;
  if (!s->cut && !tether_after_stop(&s->after)) return; /* `ended` is on its way, and comes back to here */
  json_decref(s->summary);
  edge_request_release(r);
}

/* Moves what there is, as far as the client keeps up. May release the request. */
static void pump(edge_request *r) {
  edge_stream *s = &r->stream;
  if (s->over) return;
  while (!s->over && !s->waits && !is_behind(r)) {
    const Search__V1__SearchStreamReply *part = NULL;
    bool done;
    tether_code code = search_v1_search_search_stream_try_recv_reply(r->call, &part, &done);
    s->waits = !done;
    if (code == TETHER_OK && part)
      take_part(r, part);
    else if (done)
      finish(r);
  }
  flush(r);
  if (s->over) release(r);
}

static void on_readable(edge_mail *mail) {
  edge_request *r = of_readable(mail);
  r->stream.waits = false;
  pump(r);
}

static void on_ended(edge_mail *mail) {
  edge_request *r = of_ended(mail);
  r->stream.cut = true;
  if (r->stream.over)
    release(r);
  else
    pump(r);
}

/* ---- Off the HTTP thread -------------------------------------------------------------------- */

/* HAS_INITIAL comes unasked, and may come when the request is gone. */
static void on_ready(tether_call *call, tether_ready_for what, void *data) {
  (void)call;
  if (what != TETHER_CAN_RECV) return;
  edge_request *r = data;
  edge_mailbox_post(&r->edge->mailbox, &r->stream.readable);
}

static void on_ctx_end(void *data) {
  edge_request *r = data;
  edge_mailbox_post(&r->edge->mailbox, &r->stream.ended);
}

/* ---- From outside --------------------------------------------------------------------------- */

void edge_stream_begin(edge_request *r, edge_format format) {
  edge_stream *s = &r->stream;
  s->format = format;
  s->readable.deliver = on_readable;
  s->ended.deliver = on_ended;
  tether_ctx_after_func(r->ctx, &s->after, NULL, on_ctx_end, r);
  tether_call_on_ready(r->call, on_ready, r);
  pump(r);
}

void edge_stream_hangup(edge_request *r, json_t *body) {
  if (r->stream.started)
    end_reply(r, HTTP_CLIENT_CLOSED_REQUEST, body);
  else
    edge_request_answer(r, HTTP_CLIENT_CLOSED_REQUEST, body);
  pump(r);
}

void edge_stream_log(svc_log *line, const edge_request *r) {
  svc_log_text(line, "format", edge_format_type(r->stream.format));
  svc_log_number(line, "hits", (int64_t)r->stream.hits);
  if (r->stream.hits) svc_log_duration(line, "first_hit", r->stream.first_ns);
}
