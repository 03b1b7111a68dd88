#include "edge/format.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

static const struct {
  const char *name, *type;
} formats[EDGE_FORMATS] = {
    [EDGE_JSON] = {"json", "application/json"},
    [EDGE_NDJSON] = {"ndjson", "application/x-ndjson"},
    [EDGE_EVENTS] = {"events", "text/event-stream"},
};

const char *edge_format_type(edge_format format) { return formats[format].type; }

edge_format edge_format_named(const char *name) {
  edge_format f = EDGE_JSON;
  while (f < EDGE_FORMATS && strcmp(formats[f].name, name) != 0) f++;
  return f;
}

/* ---- Reading the header --------------------------------------------------------------------- */

/* What one range of the header says. */
typedef struct range {
  const char *type;
  size_t len;
  int quality; /* in thousandths */
} range;

static void skip_space(const char **at) { *at += strspn(*at, " \t"); }

static size_t token_length(const char *at) {
  size_t len = 0;
  while (isalnum((unsigned char)at[len]) || (at[len] && strchr("!#$%&'*+-.^_`|~", at[len]))) len++;
  return len;
}

static bool skip_token(const char **at) {
  size_t len = token_length(*at);
  *at += len;
  return len > 0;
}

static bool skip_quoted(const char **at) {
  for (const char *p = *at + 1; *p; p++) {
    if (*p == '"') {
      *at = p + 1;
      return true;
    }
    if (*p == '\\' && p[1]) p++;
  }
  return false;
}

/* "1", "0.25": at most three decimals, at most 1. */
static bool read_quality(const char **at, int *quality) {
  const char *p = *at;
  if (*p != '0' && *p != '1') return false;
  int value = (*p++ - '0') * 1000;
  if (*p == '.') {
    int step = 100;
    for (p++; isdigit((unsigned char)*p); p++, step /= 10) {
      if (step == 0) return false;
      value += (*p - '0') * step;
    }
  }
  *at = p;
  *quality = value;
  return value <= 1000;
}

static bool read_parameter(const char **at, range *r) {
  const char *name = *at;
  if (!skip_token(at)) return false;
  bool is_quality = *at == name + 1 && (*name == 'q' || *name == 'Q');
  if (*(*at)++ != '=') return false;
  if (is_quality) return read_quality(at, &r->quality);
  return **at == '"' ? skip_quoted(at) : skip_token(at);
}

static bool read_range(const char **at, range *r) {
  *r = (range){.type = *at, .quality = 1000};
  if (!skip_token(at) || *(*at)++ != '/' || !skip_token(at)) return false;
  r->len = (size_t)(*at - r->type);
  for (skip_space(at); **at == ';'; skip_space(at)) {
    ++*at;
    skip_space(at);
    if (!read_parameter(at, r)) return false;
  }
  return **at == ',' || !**at;
}

/* ---- Choosing ------------------------------------------------------------------------------- */

/* How exactly the range names the type: 3, 2 for type/[*], 1 for anything, 0 if not at all. */
static int exactness(const range *r, const char *type) {
  size_t major = (size_t)(strchr(type, '/') + 1 - type);
  if (r->len == strlen(type) && strncasecmp(r->type, type, r->len) == 0) return 3;
  if (r->len == major + 1 && r->type[major] == '*' && strncasecmp(r->type, type, major) == 0) return 2;
  return r->len == 3 && strncmp(r->type, "*/*", 3) == 0;
}

/* The most exact range decides about a format, whatever its quality. */
typedef struct opinion {
  int exactness, quality, place;
} opinion;

static bool is_better(const opinion *a, const opinion *b) {
  if (a->quality != b->quality) return a->quality > b->quality;
  if (a->exactness != b->exactness) return a->exactness > b->exactness;
  return a->place < b->place;
}

edge_accepted edge_format_accept(const char *accept, edge_format *format) {
  opinion opinions[EDGE_FORMATS] = {{0}};
  const char *at = accept ? accept : "";
  bool any = false;
  for (int place = 0;; place++) {
    range r;
    while (*at && strchr(" \t,", *at)) at++; /* empty elements are allowed */
    if (!*at) break;
    if (!read_range(&at, &r)) return EDGE_NOT_READABLE;
    any = true;
    for (int f = 0; f < EDGE_FORMATS; f++) {
      int exact = exactness(&r, formats[f].type);
      if (exact > opinions[f].exactness) opinions[f] = (opinion){exact, r.quality, place};
    }
  }
  int best = EDGE_JSON;
  for (int f = 0; f < EDGE_FORMATS; f++)
    if (is_better(&opinions[f], &opinions[best])) best = f;
  if (any && opinions[best].quality == 0) return EDGE_NOT_ACCEPTABLE;
  *format = (edge_format)best;
  return EDGE_ACCEPTED;
}
