/* The service config out of its JSON.
 *
 * Happy path: text -> object -> every methodConfig is read and checked, then what belongs to the whole channel -> the
 * names sorted for looking up. The first mistake ends it, and nothing of the config is used then. What gRPC ignores is
 * ignored: members that nobody knows (their first is told), null, and a methodConfig without names; the latter is
 * checked all the same. The rules are those of service_config.proto, read as gRPC's libraries do. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "rpc/config_json.h"
#include "rpc/service_config.h"

/* ---- Policies ------------------------------------------------------------------------------ */

/* A member that must be there. */
static bool require(tth_reading *reading, const tth_place *at, const json_t *object, const char *name,
                    json_t **member) {
  *member = tth_json_member(object, name);
  return *member || tth_reading_fail(reading, at, "has no %s, which is required", name);
}

static bool read_attempts(tth_reading *reading, const tth_place *at, const json_t *object, int *attempts) {
  const tth_place place = {.in = at, .name = "maxAttempts"};
  json_t *member;
  int64_t number;
  if (!require(reading, at, object, place.name, &member) ||
      !tth_json_whole(reading, &place, member, 2, UINT32_MAX, &number))
    return false;
  *attempts = (int)(number < TTH_ATTEMPTS_MOST ? number : TTH_ATTEMPTS_MOST);
  return true;
}

static bool read_backoff(tth_reading *reading, const tth_place *at, const json_t *object, const char *name,
                         int64_t *result_ns) {
  const tth_place place = {.in = at, .name = name};
  json_t *member;
  return require(reading, at, object, name, &member) && tth_json_duration(reading, &place, member, 1, result_ns);
}

static bool read_retry(tth_reading *reading, const tth_place *at, const json_t *object, tether_retry_policy *retry) {
  static const char *const known[] = {"maxAttempts",       "initialBackoff",       "maxBackoff",
                                      "backoffMultiplier", "retryableStatusCodes", NULL};
  const tth_place multiplier = {.in = at, .name = "backoffMultiplier"},
                  codes = {.in = at, .name = "retryableStatusCodes"};
  json_t *member;
  if (!tth_json_object(reading, at, object)) return false;
  tth_reading_note_unknown(reading, at, object, known);
  if (!read_attempts(reading, at, object, &retry->max_attempts)) return false;
  if (!read_backoff(reading, at, object, "initialBackoff", &retry->initial_backoff_ns)) return false;
  if (!read_backoff(reading, at, object, "maxBackoff", &retry->max_backoff_ns)) return false;
  if (!require(reading, at, object, multiplier.name, &member) ||
      !tth_json_positive(reading, &multiplier, member, &retry->backoff_multiplier))
    return false;
  if (!require(reading, at, object, codes.name, &member) || !tth_json_codes(reading, &codes, member, &retry->retryable))
    return false;
  return retry->retryable || tth_reading_fail(reading, &codes, "is empty; it must name at least one status code");
}

static bool read_hedging(tth_reading *reading, const tth_place *at, const json_t *object, tth_hedging_policy *hedging) {
  static const char *const known[] = {"maxAttempts", "hedgingDelay", "nonFatalStatusCodes", NULL};
  const tth_place delay = {.in = at, .name = "hedgingDelay"}, codes = {.in = at, .name = "nonFatalStatusCodes"};
  if (!tth_json_object(reading, at, object)) return false;
  tth_reading_note_unknown(reading, at, object, known);
  if (!read_attempts(reading, at, object, &hedging->max_attempts)) return false;
  json_t *member = tth_json_member(object, delay.name);
  if (member && !tth_json_duration(reading, &delay, member, 0, &hedging->delay_ns)) return false;
  member = tth_json_member(object, codes.name);
  return !member || tth_json_codes(reading, &codes, member, &hedging->non_fatal);
}

/* ---- methodConfig -------------------------------------------------------------------------- */

static bool read_policy(tth_reading *reading, const tth_place *at, const json_t *object, tth_method_config *method) {
  const tth_place retry = {.in = at, .name = "retryPolicy"}, hedging = {.in = at, .name = "hedgingPolicy"};
  json_t *retry_value = tth_json_member(object, retry.name), *hedging_value = tth_json_member(object, hedging.name);
  if (retry_value && hedging_value)
    return tth_reading_fail(reading, at, "has both retryPolicy and hedgingPolicy; only one of them is allowed");
  if (retry_value) return read_retry(reading, &retry, retry_value, &method->retry);
  return !hedging_value || read_hedging(reading, &hedging, hedging_value, &method->hedging);
}

static bool read_bytes(tth_reading *reading, const tth_place *at, const json_t *object, const char *name,
                       int64_t *bytes) {
  const tth_place place = {.in = at, .name = name};
  json_t *member = tth_json_member(object, name);
  return !member || tth_json_whole(reading, &place, member, 0, UINT32_MAX, bytes);
}

static bool read_method(tth_reading *reading, const tth_place *at, const json_t *object, tth_method_config *method) {
  static const char *const known[] = {"name",
                                      "timeout",
                                      "waitForReady",
                                      "retryPolicy",
                                      "hedgingPolicy",
                                      "maxRequestMessageBytes",
                                      "maxResponseMessageBytes",
                                      NULL};
  const tth_place timeout = {.in = at, .name = "timeout"}, wait = {.in = at, .name = "waitForReady"};
  *method = (tth_method_config){.timeout_ns = -1, .max_request_bytes = INT64_MAX, .max_response_bytes = INT64_MAX};
  tth_reading_note_unknown(reading, at, object, known);
  json_t *member = tth_json_member(object, timeout.name);
  if (member && !tth_json_duration(reading, &timeout, member, 0, &method->timeout_ns)) return false;
  member = tth_json_member(object, wait.name);
  if (member && !tth_json_bool(reading, &wait, member, &method->wait_for_ready)) return false;
  return read_bytes(reading, at, object, "maxRequestMessageBytes", &method->max_request_bytes) &&
         read_bytes(reading, at, object, "maxResponseMessageBytes", &method->max_response_bytes) &&
         read_policy(reading, at, object, method);
}

/* ---- Names --------------------------------------------------------------------------------- */

static bool read_part(tth_reading *reading, const tth_place *at, const json_t *object, const char *name,
                      const char **text) {
  const tth_place place = {.in = at, .name = name};
  json_t *member = tth_json_member(object, name);
  *text = "";
  return !member || tth_json_text(reading, &place, member, text);
}

/* Adds the name to the config, whose list has room for it. */
static bool read_name(tth_reading *reading, const tth_place *at, const json_t *object, tth_service_config *config,
                      size_t index) {
  static const char *const known[] = {"service", "method", NULL};
  const char *service, *method;
  if (!tth_json_object(reading, at, object)) return false;
  tth_reading_note_unknown(reading, at, object, known);
  if (!read_part(reading, at, object, "service", &service) || !read_part(reading, at, object, "method", &method))
    return false;
  if (!*service && *method)
    return tth_reading_fail(reading, at, "names a method without its service; {} is what names all methods");
  size_t size = strlen(service) + strlen(method) + 3;
  char *path = malloc(size);
  if (!path) return tth_reading_no_memory(reading);
  *path = 0;
  if (*service) snprintf(path, size, "/%s/%s", service, method);
  config->names[config->name_count++] = (tth_named_config){.path = path, .index = index};
  return true;
}

static bool read_names(tth_reading *reading, const tth_place *at, const json_t *object, tth_service_config *config,
                       size_t index) {
  const tth_place place = {.in = at, .name = "name"};
  json_t *list = tth_json_member(object, place.name);
  if (!list) return true;
  if (!tth_json_list(reading, &place, list)) return false;
  size_t count = json_array_size(list);
  if (count == 0) return true;
  tth_named_config *grown = realloc(config->names, (config->name_count + count) * sizeof *grown);
  if (!grown) return tth_reading_no_memory(reading);
  config->names = grown;
  for (size_t i = 0; i < count; i++) {
    const tth_place one = {.in = &place, .index = i};
    if (!read_name(reading, &one, json_array_get(list, i), config, index)) return false;
  }
  return true;
}

static int by_path(const void *a, const void *b) {
  const tth_named_config *x = a, *y = b;
  int order = strcmp(x->path, y->path);
  return order ? order : (x->index > y->index) - (x->index < y->index);
}

/* So that they can be looked up, and the same name twice is seen. */
static bool sort_names(tth_reading *reading, const tth_place *at, tth_service_config *config) {
  if (config->name_count > 1) qsort(config->names, config->name_count, sizeof *config->names, by_path);
  for (size_t i = 1; i < config->name_count; i++) {
    const tth_named_config *one = &config->names[i - 1], *other = &config->names[i];
    if (strcmp(one->path, other->path) == 0)
      return tth_reading_fail(reading, at, "[%zu] and [%zu] both name %.80s; a name may be there once", one->index,
                              other->index, *one->path ? one->path : "all methods");
  }
  return true;
}

static bool read_methods(tth_reading *reading, const json_t *root, tth_service_config *config) {
  const tth_place place = {.name = "methodConfig"};
  json_t *list = tth_json_member(root, place.name);
  if (!list) return true;
  if (!tth_json_list(reading, &place, list)) return false;
  size_t count = json_array_size(list);
  config->methods = calloc(count ? count : 1, sizeof *config->methods);
  if (!config->methods) return tth_reading_no_memory(reading);
  config->method_count = count;
  for (size_t i = 0; i < count; i++) {
    const tth_place one = {.in = &place, .index = i};
    const json_t *object = json_array_get(list, i);
    if (!tth_json_object(reading, &one, object) || !read_method(reading, &one, object, &config->methods[i]) ||
        !read_names(reading, &one, object, config, i))
      return false;
  }
  return sort_names(reading, &place, config);
}

/* ---- The channel's own --------------------------------------------------------------------- */

#define TOKENS_MOST 1000

/* Three digits behind the point count, as gRPC has it. */
static bool read_milli(tth_reading *reading, const tth_place *at, const json_t *object, const char *name, double most,
                       uint32_t *milli) {
  const tth_place place = {.in = at, .name = name};
  json_t *member;
  double number;
  if (!require(reading, at, object, name, &member) || !tth_json_positive(reading, &place, member, &number))
    return false;
  if (number > most) return tth_reading_fail(reading, &place, "is %g; it must be at most %g", number, most);
  *milli = number < TOKENS_MOST ? (uint32_t)(number * 1000 + 1e-6) : TOKENS_MOST * 1000;
  return *milli > 0 || tth_reading_fail(reading, &place, "is %g; it must be at least 0.001", number);
}

static bool read_throttling(tth_reading *reading, const json_t *root, tth_throttling *throttling) {
  static const char *const known[] = {"maxTokens", "tokenRatio", NULL};
  const tth_place place = {.name = "retryThrottling"};
  json_t *object = tth_json_member(root, place.name);
  if (!object) return true;
  if (!tth_json_object(reading, &place, object)) return false;
  tth_reading_note_unknown(reading, &place, object, known);
  return read_milli(reading, &place, object, "maxTokens", TOKENS_MOST, &throttling->max_milli) &&
         read_milli(reading, &place, object, "tokenRatio", HUGE_VAL, &throttling->ratio_milli);
}

/* false: a policy that we do not have. gRPC's libraries take any case, and call their least_request experimental. */
static bool read_policy_name(const char *name, tether_balancing *balancing) {
  static const struct {
    const char *name;
    tether_balancing policy;
  } known[] = {{"pick_first", TETHER_PICK_FIRST},
               {"round_robin", TETHER_ROUND_ROBIN},
               {"least_request", TETHER_LEAST_OF_TWO},
               {"least_request_experimental", TETHER_LEAST_OF_TWO}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (strcasecmp(name, known[i].name) != 0) continue;
    *balancing = known[i].policy;
    return true;
  }
  return false;
}

#define BALANCING_KNOWN "pick_first, round_robin and least_request are known"

/* A list of objects with one member each, its name a policy's; the first known one counts. */
static bool read_balancing_list(tth_reading *reading, const tth_place *at, const json_t *list,
                                tether_balancing *balancing) {
  bool found = false;
  if (!tth_json_list(reading, at, list)) return false;
  for (size_t i = 0; i < json_array_size(list); i++) {
    const tth_place one = {.in = at, .index = i};
    json_t *object = json_array_get(list, i);
    if (!tth_json_object(reading, &one, object)) return false;
    if (json_object_size(object) != 1)
      return tth_reading_fail(reading, &one, "has %zu members; it must have one, named after the policy",
                              json_object_size(object));
    void *only = json_object_iter(object);
    const tth_place policy = {.in = &one, .name = json_object_iter_key(only)};
    if (!tth_json_object(reading, &policy, json_object_iter_value(only))) return false;
    if (!found) found = read_policy_name(policy.name, balancing);
  }
  return found || tth_reading_fail(reading, at, "has no policy that is known; " BALANCING_KNOWN);
}

static bool read_balancing(tth_reading *reading, const json_t *root, tether_balancing *balancing) {
  const tth_place list = {.name = "loadBalancingConfig"}, single = {.name = "loadBalancingPolicy"};
  json_t *member = tth_json_member(root, list.name);
  if (member) return read_balancing_list(reading, &list, member, balancing);
  const char *name;
  member = tth_json_member(root, single.name);
  if (!member) return true;
  if (!tth_json_text(reading, &single, member, &name)) return false;
  if (!*name || strcmp(name, "UNSPECIFIED") == 0) return true;
  return read_policy_name(name, balancing) ||
         tth_reading_fail(reading, &single, "is \"%.40s\"; " BALANCING_KNOWN, name);
}

static bool read_all(tth_reading *reading, const json_t *root, tth_service_config *config) {
  static const char *const known[] = {"loadBalancingPolicy", "loadBalancingConfig", "methodConfig", "retryThrottling",
                                      NULL};
  tth_reading_note_unknown(reading, NULL, root, known);
  return read_balancing(reading, root, &config->balancing) && read_methods(reading, root, config) &&
         read_throttling(reading, root, &config->throttling);
}

tether_code tth_service_config_parse(const char *text, size_t len, char *why, tth_service_config **result) {
  tth_reading reading = {.why = why, .why_size = TTH_SERVICE_CONFIG_WHY};
  *why = 0;
  tth_service_config *config = calloc(1, sizeof *config);
  if (!config) return TETHER_RESOURCE_EXHAUSTED;
  json_t *root = tth_reading_parse(&reading, text, len);
  bool good = root && read_all(&reading, root, config);
  json_decref(root);
  if (!good) {
    tth_service_config_free(config);
    return reading.no_memory ? TETHER_RESOURCE_EXHAUSTED : TETHER_INVALID_ARGUMENT;
  }
  if (*reading.ignored) snprintf(why, TTH_SERVICE_CONFIG_WHY, "%s is not known and ignored", reading.ignored);
  *result = config;
  return TETHER_OK;
}
