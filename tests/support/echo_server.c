#include "tests/support/echo_server.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void note_remaining(const tether_ctx *ctx, Testing__V1__Reply *reply) {
  int64_t remaining = tether_ctx_remaining_ns(ctx);
  reply->remaining_ns = remaining == TETHER_FOREVER ? -1 : remaining;
}

static tether_code fill(const tether_ctx *ctx, tether_call *call, const Testing__V1__Request *request,
                        Testing__V1__Reply *reply) {
  if (request->code) return tether_call_fail(call, (tether_code)request->code, "%s", request->name);
  reply->text = tether_call_printf(call, "hello %s", request->name);
  if (request->reply_bytes) {
    reply->body.data = tether_call_alloc(call, request->reply_bytes);
    reply->body.len = reply->body.data ? request->reply_bytes : 0;
  } else {
    reply->body = request->body;
  }
  note_remaining(ctx, reply);
  return reply->text ? TETHER_OK : TETHER_RESOURCE_EXHAUSTED;
}

/* Sends back what came as x-initial... and x-trailing... */
static tether_code echo_metadata(tether_call *call) {
  const tether_metadata *metadata = tether_call_metadata(call);
  tether_code code = TETHER_OK;
  for (size_t i = 0; i < tether_metadata_count(metadata) && code == TETHER_OK; i++) {
    tether_metadata_entry entry = tether_metadata_at(metadata, i);
    if (strncmp(entry.key, "x-initial", 9) == 0)
      code = tether_call_add_initial(call, entry.key, entry.value, entry.len);
    else if (strncmp(entry.key, "x-trailing", 10) == 0)
      code = tether_call_add_trailer(call, entry.key, entry.value, entry.len);
  }
  return code;
}

static tether_code echo(const tether_ctx *ctx, tether_call *call, const Testing__V1__Request *request,
                        Testing__V1__Reply *reply, void *data) {
  struct echo_stats *stats = data;
  atomic_fetch_add(&stats->started, 1);
  tether_code code = echo_metadata(call);
  return code == TETHER_OK ? fill(ctx, call, request, reply) : code;
}

/* Counts how a handler's context ended. */
static void note_end(struct echo_stats *stats, const tether_ctx *ctx) {
  atomic_store(&stats->last_end_ns, tether_now_ns());
  atomic_fetch_add(&stats->ended[tether_cause_get_code(tether_ctx_cause(ctx))], 1);
}

static tether_code hang(const tether_ctx *ctx, tether_call *call, const Testing__V1__Request *request,
                        Testing__V1__Reply *reply, void *data) {
  struct echo_stats *stats = data;
  (void)call;
  (void)request;
  (void)reply;
  atomic_fetch_add(&stats->started, 1);
  atomic_fetch_add(&stats->hanging, 1);
  tether_code code = tether_ctx_wait(ctx, TETHER_FOREVER);
  note_end(stats, ctx);
  atomic_fetch_sub(&stats->hanging, 1);
  return code;
}

struct later {
  tether_call *call;
  Testing__V1__Reply *reply;
};

static void *finish_later(void *data) {
  struct later *later = data;
  later->reply->text = tether_call_strdup(later->call, "later");
  tether_call_finish(later->call, later->reply->text ? TETHER_OK : TETHER_RESOURCE_EXHAUSTED);
  free(later);
  return NULL;
}

static tether_code reply_later(const tether_ctx *ctx, tether_call *call, const Testing__V1__Request *request,
                               Testing__V1__Reply *reply, void *data) {
  struct echo_stats *stats = data;
  (void)ctx;
  (void)request;
  atomic_fetch_add(&stats->started, 1);
  struct later *later = malloc(sizeof *later);
  if (!later) return TETHER_RESOURCE_EXHAUSTED;
  *later = (struct later){.call = call, .reply = reply};
  tether_call_defer(call);
  pthread_t thread;
  if (pthread_create(&thread, NULL, finish_later, later) != 0) {
    finish_later(later);
  } else {
    pthread_detach(thread);
  }
  return TETHER_OK;
}

/* One target: `width` calls at once, all waited for. The first failure is the answer. */
static tether_code fan_target(const tether_ctx *ctx, const char *url, const Testing__V1__Request *request) {
  tether_client *client;
  Testing__V1__Request leaf = TESTING__V1__REQUEST__INIT;
  leaf.name = (char *)"leaf";
  const Testing__V1__Request *inner = request->deeper ? request->deeper : &leaf;
  tether_code code = tether_client_open(url, NULL, &client);
  if (code != TETHER_OK) return code;
  uint32_t width = request->width ? request->width : 1;
  tether_call **calls = calloc(width, sizeof(tether_call *));
  for (uint32_t i = 0; calls && i < width; i++) {
    calls[i] = inner->n_targets ? testing_v1_echo_client_fan_start(client, ctx, inner, NULL, NULL, NULL)
                                : testing_v1_echo_client_hang_start(client, ctx, inner, NULL, NULL, NULL);
  }
  for (uint32_t i = 0; calls && i < width; i++) {
    tether_code one = tether_call_wait(calls[i]);
    if (code == TETHER_OK) code = one;
    tether_call_unref(calls[i]);
  }
  free(calls);
  tether_client_close(client);
  return code;
}

static tether_code fan(const tether_ctx *ctx, tether_call *call, const Testing__V1__Request *request,
                       Testing__V1__Reply *reply, void *data) {
  struct echo_stats *stats = data;
  atomic_fetch_add(&stats->started, 1);
  tether_code code = TETHER_OK;
  for (size_t i = 0; i < request->n_targets && code == TETHER_OK; i++)
    code = fan_target(ctx, request->targets[i], request);
  if (tether_ctx_err(ctx) != TETHER_OK) note_end(stats, ctx);
  return code == TETHER_OK ? fill(ctx, call, request, reply) : tether_call_fail(call, code, "a leaf failed");
}

tether_code echo_server_add(tether_server *server, struct echo_stats *stats) {
  static const testing_v1_echo_service service = {
      .quick = echo,
      .pooled = echo,
      .hang = hang,
      .later = reply_later,
      .fan = fan,
      .needs_deadline = echo,
      .has_default = hang,
  };
  return testing_v1_echo_register(server, &service, stats);
}
