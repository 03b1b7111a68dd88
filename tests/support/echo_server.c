#include "tests/support/echo_server.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/echo_stream.h"
#include "tests/support/wait.h"

static void note_remaining(const tether_ctx *ctx, Testing__V1__Reply *reply) {
  int64_t remaining = tether_ctx_remaining_ns(ctx);
  reply->remaining_ns = remaining == TETHER_FOREVER ? -1 : remaining;
}

tether_code echo_fill(const tether_ctx *ctx, tether_call *call, const Testing__V1__Request *request,
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
tether_code echo_metadata(tether_call *call) {
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
  return code == TETHER_OK ? echo_fill(ctx, call, request, reply) : code;
}

void echo_note_end(struct echo_stats *stats, const tether_ctx *ctx) {
  if (tether_ctx_err(ctx) == TETHER_OK) return;
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
  echo_note_end(stats, ctx);
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
  echo_note_end(stats, ctx);
  return code == TETHER_OK ? echo_fill(ctx, call, request, reply) : tether_call_fail(call, code, "a leaf failed");
}

/* ---- Handed -------------------------------------------------------------------------------- */

/* Handed and not finished: no server closes before they are. */
static pthread_mutex_t unfinished_mu = PTHREAD_MUTEX_INITIALIZER;
static struct {
  tether_call *call;
  struct echo_stats *stats;
} unfinished[2 * ECHO_HANDED_MOST]; /* under unfinished_mu, as is echo_stats.over */
enum { UNFINISHED_MOST = sizeof unfinished / sizeof *unfinished };

/* false: nobody would finish it. */
static bool will_finish(tether_call *call, struct echo_stats *stats) {
  int at = 0;
  pthread_mutex_lock(&unfinished_mu);
  while (at < UNFINISHED_MOST && unfinished[at].call) at++;
  bool will = at < UNFINISHED_MOST && !stats->over;
  if (will) {
    unfinished[at].call = call;
    unfinished[at].stats = stats;
  }
  pthread_mutex_unlock(&unfinished_mu);
  return will;
}

/* false: somebody else has finished it. */
static bool take_off(const tether_call *call) {
  int at = 0;
  pthread_mutex_lock(&unfinished_mu);
  while (at < UNFINISHED_MOST && unfinished[at].call != call) at++;
  if (at < UNFINISHED_MOST) unfinished[at].call = NULL;
  pthread_mutex_unlock(&unfinished_mu);
  return at < UNFINISHED_MOST;
}

void echo_finish_handed(tether_call *call, tether_code code) {
  if (take_off(call)) tether_call_finish(call, code);
}

static tether_call *an_unfinished(struct echo_stats *stats) {
  tether_call *call = NULL;
  pthread_mutex_lock(&unfinished_mu);
  stats->over = true;
  for (int i = 0; i < UNFINISHED_MOST && !call; i++)
    if (unfinished[i].stats == stats) call = unfinished[i].call;
  pthread_mutex_unlock(&unfinished_mu);
  return call;
}

void echo_finish_rest(struct echo_stats *stats) {
  for (tether_call *call; (call = an_unfinished(stats));) echo_finish_handed(call, TETHER_ABORTED);
}

static tether_code hand(tether_call *call, struct echo_stats *stats) {
  int number = atomic_load(&stats->handed);
  tether_call *none = NULL;
  if (!will_finish(call, stats))
    return tether_call_fail(call, TETHER_RESOURCE_EXHAUSTED, "the test is over, or finishes no calls");
  do {
    if (number - atomic_load(&stats->handed_taken) < ECHO_HANDED_MOST) continue;
    (void)take_off(call);
    return tether_call_fail(call, TETHER_RESOURCE_EXHAUSTED, "the test takes no calls");
  } while (!atomic_compare_exchange_weak(&stats->handed, &number, number + 1));
  tether_call_defer(call);
  /* The slot is free, or about to be: its call counts as taken. */
  while (!atomic_compare_exchange_weak(&stats->waiting[number % ECHO_HANDED_MOST], &none, call)) none = NULL;
  return TETHER_OK;
}

static tether_code hand_both(const tether_ctx *ctx, tether_call *call, void *data) {
  (void)ctx;
  return hand(call, data);
}

static tether_code hand_up(const tether_ctx *ctx, tether_call *call, Testing__V1__Reply *reply, void *data) {
  (void)ctx;
  (void)reply;
  return hand(call, data);
}

static tether_code hand_down(const tether_ctx *ctx, tether_call *call, const Testing__V1__Request *request,
                             void *data) {
  (void)ctx;
  (void)request;
  return hand(call, data);
}

static tether_code hand_unary(const tether_ctx *ctx, tether_call *call, const Testing__V1__Request *request,
                              Testing__V1__Reply *reply, void *data) {
  (void)ctx;
  (void)request;
  (void)reply;
  return hand(call, data);
}

static bool has_come(void *data) { return atomic_load((_Atomic(tether_call *) *)data) != NULL; }

tether_call *echo_take_handed(struct echo_stats *stats) {
  _Atomic(tether_call *) *slot = &stats->waiting[atomic_load(&stats->handed_taken) % ECHO_HANDED_MOST];
  if (!tst_wait_until(has_come, slot, TST_BOUND_NS)) return NULL;
  tether_call *call = atomic_exchange(slot, NULL);
  atomic_fetch_add(&stats->handed_taken, 1);
  return call;
}

tether_code echo_server_add(tether_server *server, struct echo_stats *stats) {
  static const testing_v1_echo_service echo_service = {
      .quick = echo,
      .pooled = echo,
      .hang = hang,
      .later = reply_later,
      .fan = fan,
      .needs_deadline = echo,
      .has_default = hang,
      .chat = echo_chat,
      .inline_chat = echo_inline_chat,
      .later_chat = echo_later_chat,
      .upload = echo_upload,
      .download = echo_download,
  };
  static const testing_v1_handed_service handed_service = {
      .both = hand_both, .up = hand_up, .down = hand_down, .unary = hand_unary};
  tether_code code = testing_v1_echo_register(server, &echo_service, stats);
  return code == TETHER_OK ? testing_v1_handed_register(server, &handed_service, stats) : code;
}
