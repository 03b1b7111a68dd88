#include "tests/support/session_net.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/ctx_test.h"
#include "tests/support/frames.h"

#define PPM INT64_C(1000000)

struct tst_batch {
  tst_batch *next;
  int64_t arrives_ns;
  size_t len;
  uint8_t bytes[16384];
};

int64_t tst_host_now_ns(const tst_host *host, int64_t true_ns) {
  return host->skew_ns + true_ns + true_ns / PPM * host->drift_ppm + true_ns % PPM * host->drift_ppm / PPM;
}

int64_t tst_host_true_ns(const tst_host *host, int64_t now_ns) {
  int64_t since_ns = now_ns - host->skew_ns, rate = PPM + host->drift_ppm;
  return since_ns / rate * PPM + since_ns % rate * PPM / rate;
}

tst_line *tst_net_connect(tst_net *net, tst_host *client, tst_host *server, int64_t out_ns, int64_t back_ns) {
  static const tether_limits limits = {
      .max_message_bytes = 100000, .max_metadata_bytes = 8192, .max_unpacked_bytes = 400000, .max_streams = 64};
  assert_true(net->count < TST_LINES);
  tst_line *line = &net->lines[net->count++];
  *line = (tst_line){.net = net, .host = {client, server}, .delay_ns = {out_ns, back_ns}};
  for (int role = TTH_CLIENT; role <= TTH_SERVER; role++) {
    line->session[role] = tth_session_new((tth_role)role, &limits);
    assert_non_null(line->session[role]);
  }
  return line;
}

static int64_t now_ns(const tst_line *line, tth_role role) {
  return tst_host_now_ns(line->host[role], line->net->true_ns);
}

/* ---- Calls --------------------------------------------------------------------------------- */

void tst_line_call(tst_line *line, int64_t deadline_ns, int64_t reserve_ns) {
  Tether__V1__Headers headers = TETHER__V1__HEADERS__INIT;
  headers.method = (char *)"/a/b";
  headers.has_timeout_ns = headers.has_sent_at_ns = true;
  headers.sent_at_ns = 1; /* to be overwritten */
  size_t len = tether__v1__headers__get_packed_size(&headers);
  tth_out *out = tth_out_new(TTH_FRAME_HEADER + len, false);
  assert_non_null(out);
  tth_frame_put(out->data, (uint32_t)len, TTH_HEADERS, TTH_FLAG_END, 0);
  tether__v1__headers__pack(&headers, out->data + TTH_FRAME_HEADER);
  out->deadline_ns = deadline_ns;
  out->reserve_ns = reserve_ns;
  assert_non_null(tth_session_open(line->session[TTH_CLIENT], line, out));
}

int64_t tst_line_call_for(tst_line *line, int64_t timeout_ns, int64_t reserve_ns) {
  int64_t deadline_ns = now_ns(line, TTH_CLIENT) + timeout_ns;
  tst_line_call(line, deadline_ns, reserve_ns);
  return deadline_ns;
}

int64_t tst_line_error_ns(const tst_line *line, const tst_host *client, int64_t deadline_ns) {
  return tst_host_true_ns(line->host[TTH_SERVER], line->deadline_ns) - tst_host_true_ns(client, deadline_ns);
}

static void on_request(tst_line *line, const tth_event *event) {
  Tether__V1__Headers *headers = tether__v1__headers__unpack(NULL, event->len, event->bytes);
  assert_non_null(headers);
  assert_true(headers->has_timeout_ns && headers->has_sent_at_ns && headers->timeout_ns > 0);
  assert_string_equal(headers->method, "/a/b");
  line->stamped = headers->sent_at_ns != INT64_MIN;
  line->deadline_ns = tth_deadline_of(headers->timeout_ns, headers->sent_at_ns, now_ns(line, TTH_SERVER));
  line->calls++;
  tether__v1__headers__free_unpacked(headers, NULL);
  tth_out *out = tth_out_new(TTH_FRAME_HEADER + 2, false);
  assert_non_null(out);
  tth_frame_put(out->data, 2, TTH_TRAILERS, 0, 0);
  memcpy(out->data + TTH_FRAME_HEADER, "\x08\x00", 2);
  tth_session_finish(line->session[TTH_SERVER], event->stream, out);
  tst_net *net = line->net;
  if (net->relays && line + 1 < net->lines + net->count) tst_line_call(line + 1, line->deadline_ns, net->reserve_ns);
}

/* ---- Time ---------------------------------------------------------------------------------- */

static void count_frames(tst_line *line, const tst_batch *batch) {
  tth_frame frame = {0};
  for (size_t at = 0; at < batch->len; at += TTH_FRAME_HEADER + frame.length) {
    assert_true(tth_frame_get(batch->bytes + at, batch->len - at, &frame));
    line->pings += frame.type == TTH_PING;
    line->pongs += frame.type == TTH_PONG;
  }
}

static void leave(tst_line *line, tth_role role) {
  if (line->held[role] || tth_session_pending(line->session[role]) == 0) return;
  tst_batch *batch = calloc(1, sizeof *batch), **end = &line->on_way[role];
  assert_non_null(batch);
  batch->len = tth_session_fill(line->session[role], now_ns(line, role), batch->bytes, sizeof batch->bytes);
  if (batch->len == 0) {
    free(batch);
    return;
  }
  batch->arrives_ns = line->net->true_ns + line->delay_ns[role];
  for (; *end; end = &(*end)->next)
    if ((*end)->arrives_ns > batch->arrives_ns) batch->arrives_ns = (*end)->arrives_ns;
  *end = batch;
  line->batches[role]++;
  count_frames(line, batch);
}

static void arrive(tst_line *line, tth_role sender) {
  tth_role role = sender == TTH_CLIENT ? TTH_SERVER : TTH_CLIENT;
  tst_batch *batch = line->on_way[sender];
  line->on_way[sender] = batch->next;
  tth_session_input(line->session[role], batch->bytes, batch->len, now_ns(line, role));
  for (tth_event event; tth_session_next_event(line->session[role], &event);) {
    if (event.type == TTH_EVENT_BROKEN) fail_msg("%s", (const char *)event.bytes);
    if (event.type == TTH_EVENT_PONG) line->answered = true;
    if (event.type == TTH_EVENT_HEADERS && role == TTH_SERVER) on_request(line, &event);
    tth_out_free(event.kept);
  }
  free(batch);
}

/* The batch that arrives next, by `until_ns`. */
static bool next_arrival(tst_net *net, int64_t until_ns, tst_line **line, tth_role *sender) {
  bool found = false;
  for (tst_line *each = net->lines; each < net->lines + net->count; each++) {
    for (int role = TTH_CLIENT; role <= TTH_SERVER; role++) {
      const tst_batch *batch = each->on_way[role];
      if (!batch || batch->arrives_ns > until_ns) continue;
      until_ns = batch->arrives_ns;
      *line = each;
      *sender = (tth_role)role;
      found = true;
    }
  }
  return found;
}

void tst_net_run(tst_net *net, int64_t for_ns) {
  int64_t until_ns = net->true_ns + for_ns;
  for (;;) {
    for (tst_line *line = net->lines; line < net->lines + net->count; line++) {
      leave(line, TTH_CLIENT);
      leave(line, TTH_SERVER);
    }
    tst_line *line = NULL;
    tth_role sender = TTH_CLIENT;
    if (!next_arrival(net, until_ns, &line, &sender)) break;
    net->true_ns = line->on_way[sender]->arrives_ns;
    arrive(line, sender);
  }
  net->true_ns = until_ns;
}

void tst_net_fini(tst_net *net) {
  for (tst_line *line = net->lines; line < net->lines + net->count; line++) {
    for (int role = TTH_CLIENT; role <= TTH_SERVER; role++) {
      while (tth_session_pop_user(line->session[role])) continue;
      tth_session_free(line->session[role]);
      for (tst_batch *batch; (batch = line->on_way[role]);) {
        line->on_way[role] = batch->next;
        free(batch);
      }
    }
  }
}
