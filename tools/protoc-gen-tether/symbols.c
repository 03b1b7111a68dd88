#include "symbols.h"

#include <stdlib.h>
#include <string.h>

#include "accessors.h"
#include "names.h"

/* A name some element defines. */
struct symbol {
  const char *name;
  const char *owner; /* "rpc demo.v1.Greeter.SayHello" */
  struct tth_position position;
  size_t order; /* of the elements, so that the later one is blamed */
};

struct symbols {
  struct symbol *items;
  size_t count;
};

static void add(struct symbols *symbols, const char *name, const char *owner, struct tth_position position) {
  symbols->items = tth_realloc(symbols->items, (symbols->count + 1) * sizeof *symbols->items);
  symbols->items[symbols->count] = (struct symbol){name, owner, position, symbols->count};
  symbols->count++;
}

static void add_method(struct tth_arena *arena, struct symbols *symbols, const struct tth_service *service,
                       const struct tth_method *method) {
  const char *owner = tth_arena_printf(arena, "rpc %s", method->name);
  const char *const suffixes[] = {"method", "thunk", "reply"};
  size_t suffix_count = tth_shape_streams_replies(method->shape) ? 2 : 3;
  for (size_t i = 0; i < suffix_count; i++) {
    add(symbols, tth_arena_printf(arena, "%s_%s", method->prefix, suffixes[i]), owner, method->position);
  }
  for (const struct tth_accessor *accessor = NULL; (accessor = tth_accessor_next(method->shape, accessor)) != NULL;) {
    add(symbols, tth_arena_printf(arena, "%s_%s", method->prefix, accessor->suffix), owner, method->position);
  }
  if (method->shape == TTH_UNARY) add(symbols, method->client, owner, method->position);
  add(symbols, tth_arena_printf(arena, "%s_start", method->client), owner, method->position);
  /* The member of protoc-c's own service struct: GetHTTPFeature and GetHttpfeature meet there. */
  const char *pbc = tth_name_pbc_lower(arena, strrchr(method->name, '.') + 1);
  add(symbols, tth_arena_printf(arena, "%s__%s", tth_name_pbc_lower(arena, service->name), pbc), owner,
      method->position);
}

static void add_service(struct tth_arena *arena, struct symbols *symbols, const struct tth_service *service) {
  const char *owner = tth_arena_printf(arena, "service %s", service->name);
  const char *const suffixes[] = {"service", "register", "methods"};
  for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
    add(symbols, tth_arena_printf(arena, "%s_%s", service->prefix, suffixes[i]), owner, service->position);
  }
  for (size_t i = 0; i < service->method_count; i++) add_method(arena, symbols, service, &service->methods[i]);
}

static int compare(const void *a, const void *b) {
  const struct symbol *left = a, *right = b;
  int order = strcmp(left->name, right->name);
  return order ? order : (left->order > right->order) - (left->order < right->order);
}

static int compare_order(const void *a, const void *b) {
  const struct symbol *left = a, *right = b;
  return (left->order > right->order) - (left->order < right->order);
}

/* Keeps of sorted symbols those that repeat an earlier one, each naming that one in `owner`. */
static size_t keep_repeats(struct tth_arena *arena, struct symbol *items, size_t count) {
  size_t kept = 0;
  struct symbol first = {0};
  for (size_t i = 0; i < count; i++) {
    struct symbol item = items[i];
    if (first.name == NULL || strcmp(first.name, item.name) != 0) {
      first = item;
      continue;
    }
    const char *place = tth_position_text(arena, first.position);
    item.owner =
        tth_arena_printf(arena, "%s and %s (%s) would both be `%s` in C", item.owner, first.owner, place, item.name);
    items[kept++] = item;
  }
  return kept;
}

void tth_symbols_check(struct tth_arena *arena, const struct tth_file *files, size_t count, struct tth_diag *diag) {
  struct symbols symbols = {0};
  for (size_t i = 0; i < count; i++) {
    for (size_t j = 0; j < files[i].service_count; j++) add_service(arena, &symbols, &files[i].services[j]);
  }
  if (symbols.count > 0) qsort(symbols.items, symbols.count, sizeof *symbols.items, compare);
  size_t kept = keep_repeats(arena, symbols.items, symbols.count);
  if (kept > 0) qsort(symbols.items, kept, sizeof *symbols.items, compare_order);
  struct tth_position last = {0};
  for (size_t i = 0; i < kept; i++) {
    const struct symbol *item = &symbols.items[i];
    /* Two methods that meet do so in each of their names; one line is enough. */
    bool same = last.file == item->position.file && last.line == item->position.line && item->position.line != 0 &&
                last.column == item->position.column;
    if (!same) tth_diag_at(diag, item->position, "%s; rename one", item->owner);
    last = item->position;
  }
  free(symbols.items);
}
