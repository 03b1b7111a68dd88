/* Row 127: every function on shared contexts from several threads at once. A thread picks operations at
 * random on a table of contexts that the others use too; references keep them alive, as the rules say. */
#include "tests/support/ctx_thread.h"

enum { SLOTS = 32, THREADS = 4 };

struct slot {
  pthread_mutex_t mutex; /* guards ctx only: taking a reference to it */
  tether_ctx *ctx;
};

struct playground {
  struct slot slots[SLOTS];
  tether_ctx *root;
  atomic_int broken;
  int operations;
};

struct player {
  struct ctx_thread thread;
  struct playground *ground;
  uint32_t seed;
};

/* A reference to some slot's context. The cast is fair: the table's threads are all its makers. */
static tether_ctx *borrow(struct playground *g, uint32_t which) {
  struct slot *slot = &g->slots[which % SLOTS];
  pthread_mutex_lock(&slot->mutex);
  tether_ctx *ctx = slot->ctx;
  const tether_ctx *ref = tether_ctx_ref(ctx);
  pthread_mutex_unlock(&slot->mutex);
  (void)ref;
  return ctx;
}

static void replace(struct playground *g, uint32_t which, tether_ctx *ctx) {
  struct slot *slot = &g->slots[which % SLOTS];
  pthread_mutex_lock(&slot->mutex);
  tether_ctx *old = slot->ctx;
  slot->ctx = ctx;
  pthread_mutex_unlock(&slot->mutex);
  tether_ctx_unref(old);
}

static tether_ctx *derive(struct playground *g, struct player *p, const tether_ctx *ctx) {
  tether_ctx *other, *merged;
  switch (ctx_random(&p->seed) % 8) {
    case 0:
      return tether_ctx_with_timeout(ctx, (int64_t)(ctx_random(&p->seed) % 2000000));
    case 1:
      return tether_ctx_with_value(ctx, ctx_key_user(), "ada");
    case 2:
      return tether_ctx_without_cancel(ctx);
    case 3:
      other = borrow(g, ctx_random(&p->seed));
      merged = tether_ctx_merge(ctx, other);
      tether_ctx_unref(other);
      return merged;
    case 4: /* keeps the chains from growing for ever */
      return tether_ctx_with_cancel(g->root);
    default:
      return tether_ctx_with_cancel(ctx);
  }
}

static void expect(struct playground *g, bool kept) {
  if (!kept) atomic_fetch_add(&g->broken, 1);
}

/* What is seen once stays, and all ways of looking agree with it. */
static void look(struct playground *g, const tether_ctx *ctx) {
  char text[64];
  int fd = -2;
  tether_code err = tether_ctx_err(ctx);
  const tether_cause *cause = tether_ctx_cause(ctx);
  if (err == TETHER_OK) {
    tether_ctx_remaining_ns(ctx);
    tether_ctx_text(ctx, text, sizeof text);
    return;
  }
  expect(g, cause != NULL && tether_ctx_err(ctx) == err && tether_ctx_cause(ctx) == cause);
  expect(g, tether_ctx_wait(ctx, TETHER_FOREVER) == err);
  if (tether_ctx_done_fd(ctx, &fd) == TETHER_OK) expect(g, ctx_fd_readable(fd));
  expect(g, strlen(tether_cause_text(cause)) > 0);
}

static void register_and_stop(struct playground *g, const tether_ctx *ctx) {
  struct ctx_call call = {.runs = 0};
  ctx_call_after(&call, ctx, NULL);
  bool stopped = tether_after_stop_wait(&call.after);
  expect(g, atomic_load(&call.runs) == (stopped ? 0 : 1));
}

static void operate(struct player *p) {
  struct playground *g = p->ground;
  uint32_t which = ctx_random(&p->seed);
  tether_ctx *ctx = borrow(g, which);
  tether_cause *cause;
  switch (ctx_random(&p->seed) % 8) {
    case 0:
      cause = tether_cause_newf(TETHER_CAUSE_OTHER, "reason %u", which);
      tether_ctx_cancel_cause(ctx, cause);
      tether_cause_unref(cause);
      break;
    case 1:
      expect(g, tether_ctx_wait(ctx, (int64_t)(which % 20000)) == TETHER_OK || tether_ctx_err(ctx) != TETHER_OK);
      break;
    case 2:
      register_and_stop(g, ctx);
      break;
    case 3:
      look(g, ctx);
      break;
    case 4:
      expect(g, tether_ctx_value(ctx, ctx_key_trace()) == NULL);
      break;
    default:
      replace(g, ctx_random(&p->seed), derive(g, p, ctx));
      break;
  }
  tether_ctx_unref(ctx);
}

static void play(void *data) {
  struct player *p = data;
  for (int i = 0; i < p->ground->operations; i++) operate(p);
}

/* row 127 */
static void every_function_may_be_called_from_every_thread(void **state) {
  static struct playground ground;
  struct player players[THREADS];
  (void)state;
  ground.root = tether_ctx_with_cancel(tether_ctx_background());
  ground.operations = CTX_TEST_ROUNDS(500000);
  for (int i = 0; i < SLOTS; i++) {
    pthread_mutex_init(&ground.slots[i].mutex, NULL);
    ground.slots[i].ctx = tether_ctx_with_cancel(ground.root);
  }
  for (int i = 0; i < THREADS; i++) {
    players[i].ground = &ground;
    players[i].seed = 1000u + (uint32_t)i;
    ctx_thread_start(&players[i].thread, play, &players[i]);
  }
  for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_join(players[i].thread.thread, NULL), 0);
  assert_int_equal(atomic_load(&ground.broken), 0);
  for (int i = 0; i < SLOTS; i++) {
    tether_ctx_unref(ground.slots[i].ctx);
    pthread_mutex_destroy(&ground.slots[i].mutex);
  }
  assert_live(ground.root);
  tether_ctx_free(ground.root);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      behaviour(every_function_may_be_called_from_every_thread),
  };
  return cmocka_run_group_tests_name("everything race", tests, NULL, NULL);
}
