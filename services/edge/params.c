#include "edge/params.h"

#include <event2/http.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/duration.h"
#include "common/slow.h"

enum { DEFAULT_LIMIT = 20, MAX_LIMIT = 100, MAX_STREAM_LIMIT = 1000000 };

/* What is quoted may be no UTF-8, or be cut inside a character. */
static bool make_plain(char *text) {
  for (; *text; text++)
    if ((unsigned char)*text >= 0x80) *text = '?';
  return false;
}

#define FAIL(params, ...) (snprintf((params)->error, sizeof(params)->error, __VA_ARGS__), make_plain((params)->error))

static bool is_utf8(const char *text) {
  json_t *string = json_string(text); /* NULL unless UTF-8 */
  json_decref(string);
  return string != NULL;
}

static bool set_timeout(search_params *params, const char *value, int64_t max_ns) {
  char max[SVC_DURATION_SIZE];
  if (!svc_duration_parse(value, &params->timeout_ns) || params->timeout_ns == 0)
    return FAIL(params, "timeout '%.40s' is not a duration such as 200ms or 1.5s", value);
  if (params->timeout_ns > max_ns)
    return FAIL(params, "timeout '%.40s' is above the maximum of %s", value, svc_duration_format(max_ns, max));
  return true;
}

/* A stream costs no memory for its length, so it may be long. */
static bool set_limit(search_params *params, const char *value) {
  bool streams = params->format != EDGE_JSON;
  unsigned long max = streams ? MAX_STREAM_LIMIT : MAX_LIMIT;
  char *end;
  if (streams && strcmp(value, "all") == 0) {
    params->limit = 0;
    return true;
  }
  unsigned long n = strtoul(value, &end, 10);
  if (value[0] < '0' || value[0] > '9' || *end || n < 1 || n > max)
    return FAIL(params, "limit '%.40s' is not a number from 1 to %lu%s", value, max, streams ? ", or all" : "");
  params->limit = (uint32_t)n;
  return true;
}

static bool set_format(search_params *params, const char *value) {
  params->format = edge_format_named(value);
  if (params->format != EDGE_FORMATS) return true;
  return FAIL(params, "format '%.40s' is none of json, ndjson and events", value);
}

static bool accept_format(search_params *params, const char *accept) {
  switch (edge_format_accept(accept, &params->format)) {
    case EDGE_ACCEPTED:
      return true;
    case EDGE_NOT_READABLE:
      return FAIL(params, "the header 'Accept: %.80s' cannot be read", accept);
    default:
      params->status = 406;
      return FAIL(params, "nothing that 'Accept: %.80s' allows is served; there are %s, %s and %s", accept,
                  edge_format_type(EDGE_JSON), edge_format_type(EDGE_NDJSON), edge_format_type(EDGE_EVENTS));
  }
}

static bool set(search_params *params, const char *key, const char *value, int64_t max_timeout_ns) {
  if (!is_utf8(key) || !is_utf8(value)) return FAIL(params, "a parameter is not UTF-8");
  if (strcmp(key, "timeout") == 0) return set_timeout(params, value, max_timeout_ns);
  if (strcmp(key, "format") == 0) return set_format(params, value);
  if (strcmp(key, "limit") == 0) {
    params->limit_text = value;
    return true;
  }
  if (strcmp(key, "q") == 0) {
    params->query = value;
    return true;
  }
  if (strcmp(key, "slow") == 0) {
    params->slow = value;
    const char *wrong = svc_slow_check(value);
    return wrong ? FAIL(params, "slow '%.40s' is %s", value, wrong) : true;
  }
  if (strcmp(key, "explain") == 0) {
    params->explain = strcmp(value, "1") == 0;
    return params->explain || strcmp(value, "0") == 0 ? true
                                                      : FAIL(params, "explain '%.40s' is neither 0 nor 1", value);
  }
  return FAIL(params, "unknown parameter '%.40s'; there are q, timeout, limit, format, slow and explain", key);
}

/* What a limit may be depends on the format, and the parameter goes before the header. */
static bool settle(search_params *params, const char *accept) {
  if (params->format == EDGE_FORMATS && !accept_format(params, accept)) return false;
  return !params->limit_text || set_limit(params, params->limit_text);
}

bool search_params_init(search_params *params, const char *raw, const char *accept, int64_t default_timeout_ns,
                        int64_t max_timeout_ns) {
  *params =
      (search_params){.timeout_ns = default_timeout_ns, .limit = DEFAULT_LIMIT, .format = EDGE_FORMATS, .status = 400};
  TAILQ_INIT(&params->pairs);
  if (!raw) raw = "";
  if (strstr(raw, "%00")) return FAIL(params, "a parameter has a NUL byte");
  if (evhttp_parse_query_str(raw, &params->pairs) != 0) return FAIL(params, "the query string cannot be parsed");
  for (struct evkeyval *pair = params->pairs.tqh_first; pair; pair = pair->next.tqe_next)
    if (!set(params, pair->key, pair->value, max_timeout_ns)) return false;
  if (!settle(params, accept)) return false;
  if (!params->query || !*params->query) return FAIL(params, "parameter q, the words to search for, is missing");
  return true;
}

void search_params_fini(search_params *params) { evhttp_clear_headers(&params->pairs); }
