/* Service configs: what is accepted keeps the rules, and every name in the text is found again; what is refused is
 * refused with a sentence, and leaves nothing behind. */
#include <stdlib.h>
#include <string.h>

#include "rpc/config_json.h"
#include "rpc/service_config.h"
#include "tests/fuzz/fuzz.h"

static void check_method(const tth_method_config *method) {
  FUZZ_CHECK(method->retry.max_attempts == 0 || method->hedging.max_attempts == 0);
  FUZZ_CHECK(method->max_request_bytes >= 0 && method->max_response_bytes >= 0 && method->timeout_ns >= -1);
  if (method->retry.max_attempts) {
    const tether_retry_policy *retry = &method->retry;
    FUZZ_CHECK(retry->max_attempts >= 2 && retry->max_attempts <= TTH_ATTEMPTS_MOST);
    FUZZ_CHECK(retry->initial_backoff_ns > 0 && retry->max_backoff_ns > 0 && retry->backoff_multiplier > 0);
    FUZZ_CHECK(retry->retryable != 0 && retry->retryable < 1u << TETHER_CODES);
  }
  if (method->hedging.max_attempts) {
    const tth_hedging_policy *hedging = &method->hedging;
    FUZZ_CHECK(hedging->max_attempts >= 2 && hedging->max_attempts <= TTH_ATTEMPTS_MOST);
    FUZZ_CHECK(hedging->delay_ns >= 0 && hedging->non_fatal < 1u << TETHER_CODES);
  }
}

static const char *text_of(const json_t *object, const char *name) {
  const char *text = json_string_value(json_object_get(object, name));
  return text ? text : "";
}

/* The i-th methodConfig is what its names lead to. */
static void check_names(const tth_service_config *config, const json_t *list, size_t i) {
  const json_t *names = json_object_get(json_array_get(list, i), "name");
  for (size_t j = 0; j < json_array_size(names); j++) {
    const char *service = text_of(json_array_get(names, j), "service");
    const char *method = text_of(json_array_get(names, j), "method");
    size_t size = strlen(service) + strlen(method) + 8;
    char *path = malloc(size);
    if (!path) abort();
    /* Of a service and of all, by a method that has no config of its own, unless the fuzzer has guessed its name. */
    snprintf(path, size, "/%s/%s", *service ? service : "\x01", *method ? method : "\x02");
    const tth_method_config *found = tth_service_config_find(config, path);
    FUZZ_CHECK(found);
    if (!strchr(service, 1) && !strchr(method, 2) && !strchr(method, '/')) {
      FUZZ_CHECK(found == &config->methods[i]);
    }
    free(path);
  }
}

static void check_accepted(const tth_service_config *config, const uint8_t *input, size_t size) {
  for (size_t i = 0; i < config->method_count; i++) check_method(&config->methods[i]);
  for (size_t i = 1; i < config->name_count; i++)
    FUZZ_CHECK(strcmp(config->names[i - 1].path, config->names[i].path) < 0);
  FUZZ_CHECK((config->throttling.max_milli == 0) == (config->throttling.ratio_milli == 0));
  FUZZ_CHECK(config->throttling.max_milli <= 1000000 && config->throttling.ratio_milli <= 1000000);
  json_t *root = json_loadb((const char *)input, size, 0, NULL);
  FUZZ_CHECK(root);
  const json_t *list = json_object_get(root, "methodConfig");
  FUZZ_CHECK(json_array_size(list) == config->method_count);
  for (size_t i = 0; i < config->method_count; i++) check_names(config, list, i);
  json_decref(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
  char *why = malloc(TTH_SERVICE_CONFIG_WHY); /* where AddressSanitizer sees an overrun */
  tth_service_config *config = NULL;
  if (!why) abort();
  tether_code code = tth_service_config_parse((const char *)input, size, why, &config);
  FUZZ_CHECK(strlen(why) < TTH_SERVICE_CONFIG_WHY);
  if (code == TETHER_OK) {
    check_accepted(config, input, size);
    tth_service_config_free(config);
  } else {
    FUZZ_CHECK(code == TETHER_INVALID_ARGUMENT && *why && !config);
  }
  free(why);
  return 0;
}
