/* text.c: a context as text, for logs.
 *
 *   background.with_cancel.with_deadline(1.5s left).with_value(user)
 *
 * The chain is known from the leaf only and is read from the root, so it is walked twice: once for the
 * length, then again, filling the buffer from its end. Nothing that may change is printed but the time
 * left, which is taken once; values never are, so printing a context is no data race. */
#include <stdio.h>
#include <string.h>

#include "ctx/node.h"

/* One node's part: prefix, a name of any length, suffix. */
struct part {
  char prefix[64];
  const char *name, *suffix;
};

/* "1.5s", "250ms", "10.25us", "7ns": at most three decimals, none at the end that are 0. */
static void format_duration(int64_t ns, char *buf, size_t size) {
  static const struct {
    int64_t unit;
    const char *name;
  } units[] = {{TETHER_SEC, "s"}, {TETHER_MS, "ms"}, {TETHER_US, "us"}, {1, "ns"}};
  size_t i = 0;
  while (ns < units[i].unit && units[i].unit > 1) ++i;
  if (ns <= 0) i = 0;
  const int64_t whole = ns / units[i].unit;
  int decimals = units[i].unit == 1 ? 0 : (int)(ns % units[i].unit / (units[i].unit / 1000));
  int digits = 3;
  for (; digits > 0 && decimals % 10 == 0; --digits) decimals /= 10;
  if (digits == 0)
    snprintf(buf, size, "%lld%s", (long long)whole, units[i].name);
  else
    snprintf(buf, size, "%lld.%0*d%s", (long long)whole, digits, decimals, units[i].name);
}

static void describe_deadline(const tether_ctx *ctx, int64_t now_ns, struct part *part) {
  char left[32];
  int64_t left_ns = 0;
  if (ctx->deadline_ns > now_ns && __builtin_sub_overflow(ctx->deadline_ns, now_ns, &left_ns)) left_ns = INT64_MAX;
  format_duration(left_ns, left, sizeof left);
  snprintf(part->prefix, sizeof part->prefix, ".with_deadline(%s left)", left);
}

static void describe(const tether_ctx *ctx, int64_t now_ns, struct part *part) {
  static const char *const names[] = {
      [TTH_BACKGROUND] = "background", [TTH_TODO] = "todo",          [TTH_CANCEL] = ".with_cancel",
      [TTH_MERGE] = ".merge",          [TTH_VALUE] = ".with_value(", [TTH_WITHOUT_CANCEL] = ".without_cancel",
  };
  part->name = part->suffix = "";
  snprintf(part->prefix, sizeof part->prefix, "%s", names[ctx->kind]);
  if (ctx == &tth_ctx_nomem.head) snprintf(part->prefix, sizeof part->prefix, "out_of_memory");
  if (ctx == &tth_ctx_forked.head) snprintf(part->prefix, sizeof part->prefix, "inherited_across_fork");
  if (ctx->flags & TTH_OWN_DEADLINE) describe_deadline(ctx, now_ns, part);
  if (ctx->flags & TTH_BORROWED) {
    part->prefix[0] = '\0';
  } else if (ctx->kind == TTH_VALUE) {
    const tether_key *key = ((const tth_value *)ctx)->key;
    part->name = key->forward == TETHER_FORWARD_SECRET ? "secret" : key->name == NULL ? "?" : key->name;
    part->suffix = ")";
  }
}

/* Puts the bytes that end at `end` of the whole text where they belong, as far as they fit. */
static size_t put(char *buf, size_t size, size_t end, const char *bytes) {
  const size_t length = strlen(bytes), start = end - length;
  if (start < size) memcpy(buf + start, bytes, length < size - start ? length : size - start);
  return start;
}

size_t tth_text_at(const tether_ctx *ctx, int64_t now_ns, char *buf, size_t size) {
  struct part part;
  size_t length = 0;
  for (const tether_ctx *at = ctx; at != NULL; at = at->parent) {
    describe(at, now_ns, &part);
    length += strlen(part.prefix) + strlen(part.name) + strlen(part.suffix);
  }
  if (size == 0) return length;
  size_t end = length;
  for (const tether_ctx *at = ctx; at != NULL; at = at->parent) {
    describe(at, now_ns, &part);
    end = put(buf, size - 1, end, part.suffix);
    end = put(buf, size - 1, end, part.name);
    end = put(buf, size - 1, end, part.prefix);
  }
  buf[length < size - 1 ? length : size - 1] = '\0';
  return length;
}

size_t tether_ctx_text(const tether_ctx *ctx, char *buf, size_t size) {
  return tth_text_at(ctx, tether_now_ns(), buf, size);
}
