/* How the end of a context reaches the tree below it: whole, at once, in any shape, to no one else. */
#include "tests/support/ctx_thread.h"

/* The tree of Go's TestParentFinishesChild. */
struct family {
  tether_ctx *parent, *cancel_child, *value_child, *timer_child;
  struct ctx_call call;
};

static void family_open(struct family *f) {
  memset(f, 0, sizeof *f);
  f->parent = tether_ctx_with_cancel(tether_ctx_background());
  f->cancel_child = tether_ctx_with_cancel(f->parent);
  f->value_child = tether_ctx_with_value(f->parent, ctx_key_user(), "ada");
  f->timer_child = tether_ctx_with_timeout(f->value_child, 10000 * CTX_TEST_HOUR);
}

static void family_close(struct family *f) {
  tether_ctx_free(f->timer_child);
  tether_ctx_free(f->value_child);
  tether_ctx_free(f->cancel_child);
  tether_ctx_free(f->parent);
}

/* row 13 */
static void whole_family_is_done_when_the_parents_cancel_returns(void **state) {
  struct family f;
  family_open(&f);
  ctx_call_after(&f.call, f.parent, NULL);
  tell(state, f.cancel_child);
  tell(state, f.timer_child);
  assert_live(f.parent);
  assert_live(f.cancel_child);
  assert_live(f.value_child);
  assert_live(f.timer_child);
  assert_int_equal(atomic_load(&f.call.runs), 0);
  tether_ctx_cancel(f.parent);
  assert_int_equal(atomic_load(&f.call.runs), 1);
  assert_cancelled(f.parent, tether_cause_canceled());
  assert_cancelled(f.cancel_child, tether_cause_canceled());
  assert_cancelled(f.value_child, tether_cause_canceled());
  assert_cancelled(f.timer_child, tether_cause_canceled());
  family_close(&f);
}

/* ---- Random layers, as in Go's TestLayersCancel -------------------------------------------- */

#define LAYERS 40

struct layers {
  tether_key keys[LAYERS];
  tether_ctx *all[LAYERS];
  bool cancelable[LAYERS];
  int count;
};

static const tether_ctx *layers_leaf(const struct layers *l) { return l->all[l->count - 1]; }

static void layers_open(struct layers *l, uint32_t *seed, int64_t timeout_ns) {
  const tether_ctx *parent = tether_ctx_background();
  memset(l, 0, sizeof *l);
  for (l->count = 0; l->count < LAYERS; l->count++) {
    int i = l->count;
    l->keys[i].name = "layer";
    switch (ctx_random(seed) % 3) {
      case 0:
        l->all[i] = tether_ctx_with_value(parent, &l->keys[i], &l->keys[i]);
        break;
      case 1:
        l->all[i] = tether_ctx_with_cancel(parent);
        l->cancelable[i] = true;
        break;
      case 2:
        l->all[i] = tether_ctx_with_timeout(parent, timeout_ns);
        l->cancelable[i] = true;
        break;
    }
    parent = l->all[i];
  }
}

/* Every value layer is found from the leaf, and no other layer has one. */
static bool layers_values_intact(const struct layers *l) {
  for (int i = 0; i < l->count; i++) {
    const void *want = l->cancelable[i] ? NULL : &l->keys[i];
    if (tether_ctx_value(layers_leaf(l), &l->keys[i]) != want) return false;
  }
  return true;
}

static void layers_close(struct layers *l) {
  while (l->count > 0) tether_ctx_free(l->all[--l->count]);
}

/* rows 23, 24 */
static void any_ancestors_cancel_reaches_the_leaf(void **state) {
  uint32_t seed = 20140729;
  for (int round = 0; round < 300; round++) {
    struct layers l;
    int chosen;
    layers_open(&l, &seed, 1000 * CTX_TEST_HOUR);
    chosen = (int)(ctx_random(&seed) % LAYERS);
    while (!l.cancelable[chosen]) chosen = (chosen + 1) % LAYERS;
    tell(state, layers_leaf(&l));
    assert_live(layers_leaf(&l));
    assert_true(layers_values_intact(&l));
    tether_ctx_cancel(l.all[chosen]);
    for (int i = chosen; i < l.count; i++) assert_code(tether_ctx_err(l.all[i]), TETHER_CANCELLED);
    for (int i = 0; i < chosen; i++) assert_code(tether_ctx_err(l.all[i]), TETHER_OK);
    assert_cancelled(layers_leaf(&l), tether_cause_canceled());
    assert_true(layers_values_intact(&l));
    layers_close(&l);
  }
}

/* row 25 */
static void siblings_are_untouched(void **state) {
  tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *siblings[16];
  for (int i = 0; i < 16; i++) {
    siblings[i] = tether_ctx_with_cancel(parent);
    tell(state, siblings[i]);
  }
  tether_ctx_cancel(siblings[0]);
  tether_ctx_cancel(siblings[7]);
  tether_ctx_cancel(siblings[15]);
  for (int i = 0; i < 16; i++) {
    if (i == 0 || i == 7 || i == 15) {
      assert_cancelled(siblings[i], tether_cause_canceled());
    } else {
      assert_live_throughout(siblings[i]);
    }
  }
  assert_live(parent);
  for (int i = 0; i < 16; i++) tether_ctx_free(siblings[i]);
  tether_ctx_free(parent);
}

struct witness {
  tether_after after;
  const tether_ctx *parent;
  tether_code parent_err;
  int runs;
};

static void look_at_parent(void *data) {
  struct witness *w = data;
  w->parent_err = tether_ctx_err(w->parent);
  w->runs++;
}

/* row 29: the order among children is open, but each ends after its parent is marked */
static void children_end_after_their_parent_is_marked(void **state) {
  tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *children[50];
  struct witness witnesses[50];
  (void)state;
  for (int i = 0; i < 50; i++) {
    children[i] = tether_ctx_with_cancel(parent);
    witnesses[i] = (struct witness){.parent = parent, .parent_err = TETHER_UNKNOWN};
    tether_ctx_after_func(children[i], &witnesses[i].after, NULL, look_at_parent, &witnesses[i]);
  }
  tether_ctx_cancel(parent);
  for (int i = 0; i < 50; i++) {
    assert_int_equal(witnesses[i].runs, 1);
    assert_code(witnesses[i].parent_err, TETHER_CANCELLED);
    tether_ctx_free(children[i]);
  }
  tether_ctx_free(parent);
}

/* ---- Registered late: the middle of a chain first, its ends later --------------------------- */

/* row 23: in whatever order the levels of a chain become registered, a cancel reaches all below it */
static void order_of_registration_does_not_matter(void **state) {
  uint32_t seed = 7;
  (void)state;
  for (int round = 0; round < 300; round++) {
    tether_ctx *chain[12];
    struct ctx_call calls[12];
    bool called[12] = {false};
    int cut = (int)(ctx_random(&seed) % 12);
    memset(calls, 0, sizeof calls);
    for (int i = 0; i < 12; i++) chain[i] = tether_ctx_with_cancel(i ? chain[i - 1] : tether_ctx_background());
    for (int n = 0; n < 6; n++) {
      int i = (int)(ctx_random(&seed) % 12);
      if (called[i]) continue;
      called[i] = true;
      ctx_call_after(&calls[i], chain[i], NULL);
    }
    tether_ctx_cancel(chain[cut]);
    for (int i = 0; i < 12; i++) {
      assert_code(tether_ctx_err(chain[i]), i < cut ? TETHER_OK : TETHER_CANCELLED);
      assert_int_equal(atomic_load(&calls[i].runs), called[i] && i >= cut ? 1 : 0);
    }
    for (int i = 11; i >= 0; i--) {
      if (called[i] && i < cut) assert_true(tether_after_stop(&calls[i].after));
      tether_ctx_free(chain[i]);
    }
  }
}

/* row 23: holds for any order of freeing as well; a tree keeps its root alive as long as it needs it */
static void any_order_of_freeing_is_allowed(void **state) {
  uint32_t seed = 99;
  for (int round = 0; round < 300; round++) {
    tether_ctx *nodes[20];
    for (int i = 0; i < 20; i++) {
      const tether_ctx *parent = i ? nodes[ctx_random(&seed) % (uint32_t)i] : tether_ctx_background();
      nodes[i] =
          ctx_random(&seed) % 4 ? tether_ctx_with_cancel(parent) : tether_ctx_with_value(parent, ctx_key_user(), "ada");
      if (ctx_random(&seed) % 2) tell(state, nodes[i]);
    }
    for (int left = 20; left > 0; left--) {
      int i = (int)(ctx_random(&seed) % (uint32_t)left);
      if (ctx_random(&seed) % 2) {
        tether_ctx_free(nodes[i]);
      } else {
        tether_ctx_unref(nodes[i]);
      }
      nodes[i] = nodes[left - 1];
    }
    assert_int_equal(tether_ctx_live_count(), *ctx_live_before());
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      both_ways(whole_family_is_done_when_the_parents_cancel_returns),
      both_ways(any_ancestors_cancel_reaches_the_leaf),
      both_ways(siblings_are_untouched),
      behaviour(children_end_after_their_parent_is_marked),
      behaviour(order_of_registration_does_not_matter),
      both_ways(any_order_of_freeing_is_allowed),
  };
  return cmocka_run_group_tests_name("propagation", tests, NULL, NULL);
}
