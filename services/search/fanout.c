/* search/fanout.c: all shards' calls run under one context: the handler's, with a slightly earlier deadline. So three
 * things end them at once: the caller goes away (the handler's context ends), the budget runs out (they end as late,
 * and what did arrive is still delivered in time, thanks to the reserve), or this process shuts down. */
#include "search/fanout.h"

#include "common/log.h"

enum { STATES = SEARCH__V1__SHARD_STATUS__STATE__STATE_ENOUGH + 1 };

/* A tenth of a small budget: with 30 ms to go, keeping 20 would be absurd. */
static int64_t shards_deadline_ns(const search_service *service, const tether_ctx *ctx) {
  int64_t remaining_ns = tether_ctx_remaining_ns(ctx);
  if (remaining_ns == TETHER_FOREVER) return TETHER_FOREVER;
  int64_t reserve_ns = remaining_ns / 10;
  if (reserve_ns > service->reserve_ns) reserve_ns = service->reserve_ns;
  return tether_ctx_deadline_ns(ctx) - reserve_ns;
}

void fanout_init(fanout *f, const search_service *service, const tether_ctx *ctx, tether_call *call) {
  *f = (fanout){.call = call, .count = service->count, .started_ns = tether_now_ns()};
  f->ctx = tether_ctx_with_deadline(ctx, shards_deadline_ns(service, ctx));
  for (size_t i = 0; i < f->count; i++)
    f->answers[i] = (shard_answer){.shard = &service->shards[i], .started_ns = f->started_ns};
}

static void log_end(const fanout *f, tether_code code, uint64_t hits) {
  svc_log line;
  int64_t counts[STATES] = {0};
  const tether_ctx *ctx = tether_call_ctx(f->call);
  for (size_t i = 0; i < f->count; i++) {
    const shard_answer *answer = &f->answers[i];
    Search__V1__ShardStatus__State state = answer_state(answer);
    bool cancelled = tether_call_code(answer->call) == TETHER_CANCELLED && !answer->enough;
    counts[cancelled ? SEARCH__V1__SHARD_STATUS__STATE__STATE_UNSPECIFIED : state]++;
  }
  svc_log_begin(&line, "search-end", ctx);
  svc_log_text(&line, "method", tether_call_path(f->call));
  svc_log_outcome(&line, code, code == TETHER_OK ? NULL : tether_ctx_cause(ctx));
  svc_log_number(&line, "hits", (int64_t)hits);
  svc_log_number(&line, "shards_ok", counts[SEARCH__V1__SHARD_STATUS__STATE__STATE_OK]);
  svc_log_number(&line, "enough", counts[SEARCH__V1__SHARD_STATUS__STATE__STATE_ENOUGH]);
  svc_log_number(&line, "late", counts[SEARCH__V1__SHARD_STATUS__STATE__STATE_LATE]);
  svc_log_number(&line, "down", counts[SEARCH__V1__SHARD_STATUS__STATE__STATE_DOWN]);
  svc_log_number(&line, "failed", counts[SEARCH__V1__SHARD_STATUS__STATE__STATE_FAILED]);
  svc_log_number(&line, "cancelled", counts[SEARCH__V1__SHARD_STATUS__STATE__STATE_UNSPECIFIED]);
  svc_log_duration(&line, "took", tether_now_ns() - f->started_ns);
  svc_log_end(&line);
}

void fanout_fini(fanout *f) {
  for (size_t i = 0; i < f->count; i++) tether_call_unref(f->answers[i].call);
  tether_ctx_free(f->ctx);
}

void fanout_finish(fanout *f, tether_code code, uint64_t hits) {
  log_end(f, code, hits);
  fanout_fini(f);
  tether_call_finish(f->call, code);
}
