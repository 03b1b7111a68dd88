/* search/unary.c: no thread waits while the shards work.
 *
 *   handler ----> unary_start: defer, start N calls ----> returns, its worker is free
 *                                  |   |   |
 *   (I/O threads)                 done done done          the group calls finish after the last, which merges
 *
 * The calls are members of a group whose rule is COLLECT: one that fails ends none of the others. */
#include "search/unary.h"

#include <stdlib.h>

#include "search/fanout.h"
#include "search/merge.h"

typedef struct unary {
  fanout all;
  tether_group *group;
  Search__V1__SearchReply *reply;
  size_t limit;
} unary;

/* Runs once, after every call has ended. What the group makes of their codes matters less than what merge does. */
static void finish(tether_code result, void *data) {
  unary *u = data;
  fanout *f = &u->all;
  (void)result;
  tether_code code = tether_ctx_err(tether_call_ctx(f->call));
  if (code == TETHER_OK) code = merge(f->call, f->answers, f->count, u->limit, u->reply);
  tether_group_free(u->group);
  fanout_finish(f, code, code == TETHER_OK ? u->reply->n_hits : 0);
  free(u);
}

static void on_answer(tether_call *call, void *data) {
  shard_answer *answer = data;
  (void)call; /* answer->call is set by the starter, which may not have come so far */
  answer->took_ns = tether_now_ns() - answer->started_ns;
}

static tether_code make_group(const tether_ctx *ctx, tether_group **group) {
  tether_code code = tether_group_new(ctx, group);
  return code == TETHER_OK ? tether_group_set_rule(*group, TETHER_GROUP_COLLECT, 0) : code;
}

tether_code unary_start(const search_service *service, const tether_ctx *ctx, tether_call *call,
                        const Search__V1__SearchRequest *request) {
  unary *u = calloc(1, sizeof *u);
  if (!u) return TETHER_RESOURCE_EXHAUSTED;
  fanout *f = &u->all;
  fanout_init(f, service, ctx, call);
  tether_code code = make_group(f->ctx, &u->group);
  if (code != TETHER_OK) {
    tether_group_free(u->group);
    fanout_fini(f);
    free(u);
    return code;
  }
  u->limit = request->limit ? request->limit : SEARCH_DEFAULT_LIMIT;
  u->reply = (Search__V1__SearchReply *)tether_call_defer(call);

  const tether_call_options call_options = {FANOUT_CALL_OPTIONS, .group = u->group};
  Search__V1__ShardSearchRequest ask = SEARCH__V1__SHARD_SEARCH_REQUEST__INIT;
  ask.query = request->query;
  ask.limit = (uint32_t)u->limit;
  for (size_t i = 0; i < f->count; i++)
    f->answers[i].call = search_v1_shard_client_search_start(service->shards[i].client, tether_group_ctx(u->group),
                                                             &ask, &call_options, on_answer, &f->answers[i]);
  /* Fails only if it was set before. */
  return tether_group_on_done(u->group, finish, u);
}
