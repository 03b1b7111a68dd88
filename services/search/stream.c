/* search/stream.c: N streams in, one out; no thread waits for any of them.
 *
 *   a shard's call:    CAN_RECV --+
 *   another shard's:   CAN_RECV --+--> events --> merging task, on the pool --> the client's call
 *   the client's call: CAN_SEND --+   (a bit each)
 *
 *                     hit sent, shards have more
 *                       +---------------+
 *                       |               v
 *   started ---------> MERGING -------------- every shard has ended ------> summary sent -> finished
 *                       |  ^                           ^
 *          no room for  |  | CAN_SEND                  |
 *          more output  v  |                           |
 *                      BLOCKED                         |
 *                       `limit` hits sent, or the client is gone: the shards' context is cancelled
 *
 * Order: as found. The shards that have something take turns, one hit each, so a fast one does not hide the others.
 * Back-pressure: a hit that finds no room for output is kept, and nothing is read until there is some; so the shards'
 * windows fill, their sends block, and SQLite waits. What is held here is one hit and the streams' windows.
 *
 * The task runs while it finds work, at most TURN hits at a time, then goes to the end of the pool's queue, so that one
 * long stream does not keep out the others. Whoever sets a bit when no task is scheduled schedules it; this one word is
 * all that the callbacks touch, and none comes once its call has said how it ended: so the task may free it all. */
#include "search/stream.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "common/log.h"
#include "search/fanout.h"

enum { TURN = 64 };

#define CAN_SEND ((uint64_t)1 << SEARCH_MAX_SHARDS) /* the bits below: a shard can be read */
#define SCHEDULED ((uint64_t)1 << 63)
_Static_assert(SEARCH_MAX_SHARDS <= 62, "a bit for each shard, and two more");

typedef struct stream stream;

typedef struct leg {
  stream *whole;
  uint64_t bit;
} leg;

struct stream {
  tether_task task; /* first: run casts */
  fanout all;
  tether_executor *executor;
  uint64_t limit;
  leg legs[SEARCH_MAX_SHARDS];

  _Atomic uint64_t events; /* what has come since the task looked */

  /* the task's: */
  uint64_t open;     /* shards whose calls have not ended */
  uint64_t readable; /* those that may have something */
  unsigned turn;     /* the shard to look at next */
  bool blocked;      /* the client's call takes no more for now */
  bool holds;        /* `part` has not been sent */
  Search__V1__SearchStreamReply part;
  shard_answer *from; /* who gave it; NULL: the summary */
  uint64_t sent;
  bool full, over;  /* `limit` hits were sent; the summary was */
  tether_code gone; /* why nothing more can be sent */
};

/* ---- Receiving ------------------------------------------------------------------------------ */

/* False: this shard has no hit now, or none any more. */
static bool take_hit(stream *s, unsigned i) {
  shard_answer *answer = &s->all.answers[i];
  const Search__V1__ShardSearchStreamReply *reply = NULL;
  const uint64_t bit = s->legs[i].bit;
  bool done;
  tether_code code = search_v1_shard_search_stream_try_recv_reply(answer->call, &reply, &done);
  if (!done) {
    s->readable &= ~bit; /* until its callback */
    return false;
  }
  if (code != TETHER_OK || !reply) {
    s->readable &= ~bit;
    s->open &= ~bit;
    answer->took_ns = tether_now_ns() - answer->started_ns;
    if (s->full && code == TETHER_CANCELLED) answer->enough = true;
    return false;
  }
  if (reply->part_case != SEARCH__V1__SHARD_SEARCH_STREAM_REPLY__PART_HIT) return false;
  if (s->full) { /* of a shard that had found everything before it could be stopped */
    answer->enough = true;
    return false;
  }
  search__v1__search_stream_reply__init(&s->part);
  s->part.part_case = SEARCH__V1__SEARCH_STREAM_REPLY__PART_HIT;
  s->part.hit = reply->hit; /* lives until something else is read from this shard */
  s->from = answer;
  s->holds = true;
  return true;
}

static bool take_next(stream *s) {
  while (s->readable) {
    uint64_t later = s->readable & (UINT64_MAX << s->turn);
    unsigned i = (unsigned)__builtin_ctzll(later ? later : s->readable);
    s->turn = i + 1;
    if (take_hit(s, i)) return true;
  }
  return false;
}

/* ---- Sending -------------------------------------------------------------------------------- */

static void stop_shards(stream *s, tether_cause_code code, const char *why) {
  tether_cause *cause = tether_cause_new(code, NULL, why);
  tether_ctx_cancel_cause(s->all.ctx, cause); /* does nothing if it has ended, as when the client is gone */
  tether_cause_unref(cause);
}

static void log_full(const stream *s) {
  svc_log line;
  svc_log_begin(&line, "page-full", tether_call_ctx(s->all.call));
  svc_log_number(&line, "hits", (int64_t)s->sent);
  svc_log_end(&line);
}

static void send_part(stream *s) {
  bool done;
  tether_code code = search_v1_search_search_stream_try_send_reply(s->all.call, &s->part, &done);
  if (!done) {
    s->blocked = true;
    return;
  }
  s->holds = false;
  if (code != TETHER_OK) {
    s->gone = code;
    stop_shards(s, TETHER_CAUSE_CALLER, "the stream's reader is gone");
  } else if (!s->from) {
    s->over = true;
  } else {
    s->from->matched++;
    s->full = ++s->sent == s->limit;
    if (!s->full) return;
    log_full(s);
    stop_shards(s, TETHER_CAUSE_ENOUGH, "the page is full");
  }
}

/* The last part, or the code to fail with. */
static tether_code make_summary(stream *s) {
  const fanout *f = &s->all;
  tether_code code = tether_ctx_err(tether_call_ctx(f->call));
  if (code != TETHER_OK) return code;
  if (s->sent == 0 && !answer_any(f->answers, f->count)) return answer_failure(f->call, f->answers, f->count);
  Search__V1__SearchSummary *summary = tether_call_alloc(f->call, sizeof *summary);
  if (!summary) return TETHER_RESOURCE_EXHAUSTED;
  search__v1__search_summary__init(summary);
  bool partial;
  summary->shards = answer_statuses(f->call, f->answers, f->count, &partial);
  if (!summary->shards) return TETHER_RESOURCE_EXHAUSTED;
  summary->n_shards = f->count;
  summary->partial = partial;
  summary->full = s->full;
  summary->hits = s->sent;
  search__v1__search_stream_reply__init(&s->part);
  s->part.part_case = SEARCH__V1__SEARCH_STREAM_REPLY__PART_SUMMARY;
  s->part.summary = summary;
  s->from = NULL;
  s->holds = true;
  return TETHER_OK;
}

/* ---- The merging task ----------------------------------------------------------------------- */

typedef enum progress { WAITS, GOES_ON, IS_OVER } progress;

static progress merge_some(stream *s) {
  for (int i = 0; i < TURN; i++) {
    if (s->blocked) return WAITS;
    if (!s->holds && !take_next(s)) {
      if (s->open) return WAITS;
      if (!s->over && s->gone == TETHER_OK) s->gone = make_summary(s);
      if (s->over || s->gone != TETHER_OK) return IS_OVER;
    }
    send_part(s);
  }
  return GOES_ON;
}

static void run(tether_task *task) {
  stream *s = (stream *)task;
  uint64_t events = atomic_exchange(&s->events, SCHEDULED);
  s->readable |= events & s->open;
  if (events & CAN_SEND) s->blocked = false;
  progress made = merge_some(s);
  if (made == IS_OVER) {
    fanout_finish(&s->all, s->gone, s->sent);
    free(s);
    return;
  }
  uint64_t nothing = SCHEDULED;
  if (made == GOES_ON || !atomic_compare_exchange_strong(&s->events, &nothing, 0))
    s->executor->submit(s->executor, &s->task);
}

static void wake(stream *s, uint64_t bits) {
  uint64_t before = atomic_fetch_or(&s->events, bits | SCHEDULED);
  if (!(before & SCHEDULED)) s->executor->submit(s->executor, &s->task);
}

/* HAS_INITIAL comes unasked, perhaps when the stream is gone already: nothing may be looked at. */
static void on_shard_ready(tether_call *call, tether_ready_for what, void *data) {
  (void)call;
  if (what != TETHER_CAN_RECV) return;
  leg *l = data;
  wake(l->whole, l->bit);
}

static void on_client_ready(tether_call *call, tether_ready_for what, void *data) {
  (void)call;
  if (what == TETHER_CAN_SEND) wake(data, CAN_SEND);
}

/* ---- Starting ------------------------------------------------------------------------------- */

tether_code stream_start(const search_service *service, const tether_ctx *ctx, tether_call *call,
                         const Search__V1__SearchStreamRequest *request) {
  stream *s = calloc(1, sizeof *s);
  if (!s) return TETHER_RESOURCE_EXHAUSTED;
  fanout *f = &s->all;
  fanout_init(f, service, ctx, call);
  s->task.run = run;
  s->executor = tether_pool_executor(service->mergers);
  s->limit = request->limit ? request->limit : UINT64_MAX;
  atomic_init(&s->events, 0);
  (void)tether_call_defer(call);
  tether_call_on_ready(call, on_client_ready, s);

  const tether_call_options call_options = {FANOUT_CALL_OPTIONS};
  Search__V1__ShardSearchStreamRequest ask = SEARCH__V1__SHARD_SEARCH_STREAM_REQUEST__INIT;
  ask.query = request->query;
  for (size_t i = 0; i < f->count; i++) {
    s->legs[i] = (leg){.whole = s, .bit = (uint64_t)1 << i};
    s->open |= s->legs[i].bit;
    f->answers[i].call =
        search_v1_shard_client_search_stream_start(service->shards[i].client, f->ctx, &ask, &call_options, NULL, NULL);
    tether_call_on_ready(f->answers[i].call, on_shard_ready, &s->legs[i]);
  }
  wake(s, s->open);
  return TETHER_OK;
}
