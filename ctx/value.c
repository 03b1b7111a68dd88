/* value.c: request-scoped values. A value context is a link in the chain and nothing more; look-ups walk. */
#include <stdio.h>
#include <stdlib.h>

#include "ctx/node.h"

static void check_key(const tether_key *key) {
  if (TTH_LIKELY(key != NULL)) return;
  fprintf(stderr, "tether: NULL key (tether_ctx_with_value)\n");
  abort();
}

/* A value that no context came to own. */
static void drop_given(const tether_key *key, void *value) {
  if (key->copy == NULL && key->free != NULL && value != NULL) key->free(value);
}

tether_ctx *tether_ctx_with_value(const tether_ctx *parent, const tether_key *key, const void *value) {
  tth_check_parent(parent, "tether_ctx_with_value");
  check_key(key);
  void *kept = (void *)(uintptr_t)value;
  if (tth_is_stale(parent)) {
    drop_given(key, kept);
    return &tth_ctx_forked.head;
  }
  tth_value *node = tth_node_new(sizeof *node, TTH_VALUE, parent);
  if (node == NULL) {
    drop_given(key, kept);
    return &tth_ctx_nomem.head;
  }
  node->key = key;
  node->value = NULL;
  tth_live_add(&node->head);
  if (value != NULL && key->copy != NULL) {
    kept = key->copy(value);
    if (kept == NULL) {
      tether_ctx_unref(&node->head);
      return &tth_ctx_nomem.head;
    }
  }
  node->value = kept;
  return &node->head;
}

tether_ctx *tth_value_borrow(const tether_ctx *parent, const tether_key *key, const void *value) {
  tth_value *node = tth_node_new(sizeof *node, TTH_VALUE, parent);
  if (node == NULL) return NULL;
  node->head.flags |= TTH_BORROWED;
  node->key = key;
  node->value = (void *)(uintptr_t)value;
  tth_live_add(&node->head);
  return &node->head;
}

void tth_value_release(tth_value *node) {
  if (node->value != NULL && node->key->free != NULL && !(node->head.flags & TTH_BORROWED))
    node->key->free(node->value);
}

const tth_value *tth_value_find(const tether_ctx *ctx, const tether_key *key) {
  for (; ctx != NULL; ctx = ctx->parent)
    if (ctx->kind == TTH_VALUE && ((const tth_value *)ctx)->key == key) return (const tth_value *)ctx;
  return NULL;
}

const void *tether_ctx_value(const tether_ctx *ctx, const tether_key *key) {
  if (key == NULL) return NULL;
  const tth_value *node = tth_value_find(ctx, key);
  return node == NULL ? NULL : node->value;
}

void tether_ctx_values(const tether_ctx *ctx, bool (*fn)(void *data, const tether_key *key, const void *value),
                       void *data) {
  for (const tether_ctx *at = ctx; at != NULL; at = at->parent) {
    if (at->kind != TTH_VALUE) continue;
    const tth_value *node = (const tth_value *)at;
    /* A NULL value hides like any other but is itself nothing to see. */
    if (node->value == NULL || tth_value_find(ctx, node->key) != node) continue;
    if (!fn(data, node->key, node->value)) return;
  }
}
