/* A program that knows the library only as installed: a worker thread stops when its caller's context ends. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <tether/ctx.h>
#include <tether/group.h>

static const tether_key user = {.name = "user"};

static tether_code work(const tether_ctx *ctx, void *data) {
  *(const char **)data = tether_ctx_value(ctx, &user);
  return tether_ctx_wait(ctx, TETHER_FOREVER);
}

int main(void) {
  TETHER_SCOPED tether_ctx *named = tether_ctx_with_value(tether_ctx_background(), &user, "ada");
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(named, 20 * TETHER_MS);
  const char *seen = NULL;
  tether_group *group;
  if (tether_group_new(ctx, &group) != TETHER_OK) return 1;
  if (tether_group_go(group, work, &seen) != TETHER_OK) return 1;
  tether_code code = tether_group_wait(group);
  tether_group_free(group);
  printf("%s: %s\n", seen, tether_code_name(code));
  return seen && strcmp(seen, "ada") == 0 && code == TETHER_DEADLINE_EXCEEDED ? 0 : 1;
}
