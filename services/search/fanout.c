/* search/fanout.c: no thread waits while the shards work.
 *
 *   handler ----> fanout_start: defer, start N calls ----> returns, its worker is free
 *                                   |   |   |
 *   (I/O threads)                  done done done         the last one merges and finishes the call
 *
 * All N calls run under one context: the handler's, with a slightly earlier deadline. So three things end them at once:
 * the caller goes away (the handler's context ends), the budget runs out (they end as late, and what did arrive is
 * still delivered in time, thanks to the reserve), or this process shuts down.
 *
 * `pending` starts at N + 1: the starter holds one, because a call that fails at once reports before its siblings are
 * even started. */
#include "search/fanout.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "common/log.h"
#include "search/merge.h"

typedef struct fanout fanout;

typedef struct leg {
  fanout *whole;
  size_t index;
} leg;

struct fanout {
  tether_call *call;
  tether_ctx *ctx;
  Search__V1__SearchReply *reply;
  size_t limit;
  int64_t started_ns;
  atomic_size_t pending;
  size_t count;
  leg legs[SEARCH_MAX_SHARDS];
  shard_answer answers[SEARCH_MAX_SHARDS];
};

/* A tenth of a small budget: with 30 ms to go, keeping 20 would be absurd. */
static int64_t shards_deadline_ns(const search_service *service, const tether_ctx *ctx) {
  int64_t remaining_ns = tether_ctx_remaining_ns(ctx);
  if (remaining_ns == TETHER_FOREVER) return TETHER_FOREVER;
  int64_t reserve_ns = remaining_ns / 10;
  if (reserve_ns > service->reserve_ns) reserve_ns = service->reserve_ns;
  return tether_ctx_deadline_ns(ctx) - reserve_ns;
}

static void log_end(const fanout *f, tether_code code) {
  svc_log line;
  int64_t counts[5] = {0};
  const tether_ctx *ctx = tether_call_ctx(f->call);
  for (size_t i = 0; i < f->count; i++) {
    const tether_call *call = f->answers[i].call;
    counts[tether_call_code(call) == TETHER_CANCELLED ? 0 : answer_state(call)]++;
  }
  svc_log_begin(&line, "search-end", ctx);
  svc_log_text(&line, "method", tether_call_path(f->call));
  svc_log_outcome(&line, code, tether_ctx_cause(ctx));
  svc_log_number(&line, "shards_ok", counts[SEARCH__V1__SHARD_STATUS__STATE__STATE_OK]);
  svc_log_number(&line, "late", counts[SEARCH__V1__SHARD_STATUS__STATE__STATE_LATE]);
  svc_log_number(&line, "down", counts[SEARCH__V1__SHARD_STATUS__STATE__STATE_DOWN]);
  svc_log_number(&line, "failed", counts[SEARCH__V1__SHARD_STATUS__STATE__STATE_FAILED]);
  svc_log_number(&line, "cancelled", counts[0]);
  svc_log_duration(&line, "took", tether_now_ns() - f->started_ns);
  svc_log_end(&line);
}

/* Runs once, after every leg has ended. */
static void finish(fanout *f) {
  tether_code code = tether_ctx_err(tether_call_ctx(f->call));
  if (code == TETHER_OK) code = merge(f->call, f->answers, f->count, f->limit, f->reply);
  log_end(f, code);
  for (size_t i = 0; i < f->count; i++) tether_call_unref(f->answers[i].call);
  tether_ctx_free(f->ctx);
  tether_call_finish(f->call, code);
  free(f);
}

static void drop_pending(fanout *f) {
  if (atomic_fetch_sub(&f->pending, 1) == 1) finish(f);
}

static void on_answer(tether_call *call, void *data) {
  leg *l = data;
  fanout *f = l->whole;
  (void)call; /* answers[].call is set by the starter, which may not have come so far */
  f->answers[l->index].took_ns = tether_now_ns() - f->started_ns;
  drop_pending(f);
}

tether_code fanout_start(const search_service *service, const tether_ctx *ctx, tether_call *call,
                         const Search__V1__SearchRequest *request) {
  fanout *f = calloc(1, sizeof *f);
  if (!f) return TETHER_RESOURCE_EXHAUSTED;
  f->call = call;
  f->count = service->count;
  f->limit = request->limit ? request->limit : SEARCH_DEFAULT_LIMIT;
  f->started_ns = tether_now_ns();
  f->ctx = tether_ctx_with_deadline(ctx, shards_deadline_ns(service, ctx));
  f->reply = (Search__V1__SearchReply *)tether_call_defer(call);
  atomic_init(&f->pending, f->count + 1);

  /* The context has the deadline; the method's default would cut longer ones. */
  const tether_call_options call_options = {.timeout_ns = TETHER_FOREVER};
  Search__V1__ShardSearchRequest ask = SEARCH__V1__SHARD_SEARCH_REQUEST__INIT;
  ask.query = request->query;
  ask.limit = (uint32_t)f->limit;
  for (size_t i = 0; i < f->count; i++) {
    f->legs[i] = (leg){.whole = f, .index = i};
    f->answers[i].shard = &service->shards[i];
    f->answers[i].call = search_v1_shard_client_search_start(service->shards[i].client, f->ctx, &ask, &call_options,
                                                             on_answer, &f->legs[i]);
  }
  drop_pending(f);
  return TETHER_OK;
}
