/* rpc/service_config.h: gRPC's service config (grpc/grpc doc/service_config.md; the fields are those of
 * grpc/service_config/service_config.proto), as a client uses it. */
#ifndef TETHER_RPC_SERVICE_CONFIG_H
#define TETHER_RPC_SERVICE_CONFIG_H

#include <tether/rpc.h>

/* gRPC's cap on attempts; more count as that many. */
#define TTH_ATTEMPTS_MOST 5

/* Room for a sentence about a bad config. */
#define TTH_SERVICE_CONFIG_WHY ((size_t)320)

typedef struct tth_hedging_policy {
  int max_attempts;
  int64_t delay_ns;
  uint32_t non_fatal; /* a set of codes */
} tth_hedging_policy;

/* What is configured for a method. At most one of `retry` and `hedging`: max_attempts 0 is none. */
typedef struct tth_method_config {
  int64_t timeout_ns;                            /* negative: none */
  int64_t max_request_bytes, max_response_bytes; /* INT64_MAX: none */
  bool wait_for_ready;
  tether_retry_policy retry;
  tth_hedging_policy hedging;
} tth_method_config;

/* In thousandths. max 0: there is none. */
typedef struct tth_throttling {
  uint32_t max_milli, ratio_milli;
} tth_throttling;

typedef struct tth_service_config tth_service_config;

/* Parses JSON. TETHER_INVALID_ARGUMENT: *why, TTH_SERVICE_CONFIG_WHY bytes, says what is wrong, where, and what is
 * allowed. TETHER_RESOURCE_EXHAUSTED: no memory. On success *why is "", or names a member that is ignored because
 * nobody knows it: configs are shared with programs that know more. */
TETHER_MUST_USE tether_code tth_service_config_parse(const char *text, size_t len, char *why,
                                                     tth_service_config **config);

/* The same of a file; TETHER_INVALID_ARGUMENT also if it cannot be read. */
TETHER_MUST_USE tether_code tth_service_config_load(const char *path, char *why, tth_service_config **config);

/* Takes NULL. */
void tth_service_config_free(tth_service_config *config);

/* What is configured for the method with this path: by its own name, or else its service's, or else for all. NULL:
 * nothing. */
const tth_method_config *tth_service_config_find(const tth_service_config *config, const char *path);

tth_throttling tth_service_config_throttling(const tth_service_config *config);

/* The first policy that we have of those asked for; TETHER_PICK_FIRST if none was. */
tether_balancing tth_service_config_balancing(const tth_service_config *config);

/* ---- The object's insides, which service_config_parse.c fills in ---- */

/* "/service/method", "/service/", or "" for all. */
typedef struct tth_named_config {
  char *path;
  size_t index; /* in methods */
} tth_named_config;

struct tth_service_config {
  tth_named_config *names; /* sorted by path */
  size_t name_count;
  tth_method_config *methods;
  size_t method_count;
  tth_throttling throttling;
  tether_balancing balancing;
};

#endif
