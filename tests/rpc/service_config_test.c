/* Service configs: what is read, what is found for a method, and what is said of those that are wrong. */
#include "rpc/service_config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define RETRY "\"maxAttempts\": 4, \"initialBackoff\": \"0.1s\", \"maxBackoff\": \"1s\", \"backoffMultiplier\": 2"
#define RETRY_POLICY "\"retryPolicy\": {" RETRY ", \"retryableStatusCodes\": [\"UNAVAILABLE\"]}"

static tth_service_config *parsed(const char *text) {
  char why[TTH_SERVICE_CONFIG_WHY];
  tth_service_config *config = NULL;
  if (tth_service_config_parse(text, strlen(text), why, &config) != TETHER_OK) fail_msg("%s: %s", text, why);
  return config;
}

/* What is said of a bad one; static. */
static const char *refusal(const char *text) {
  static char why[TTH_SERVICE_CONFIG_WHY];
  tth_service_config *config = NULL;
  tether_code code = tth_service_config_parse(text, strlen(text), why, &config);
  if (code != TETHER_INVALID_ARGUMENT) fail_msg("%s: %s", text, tether_code_name(code));
  assert_null(config);
  return why;
}

/* A methodConfig of one member with this in it. */
static const char *refusal_of_method(const char *member) {
  char text[1024];
  snprintf(text, sizeof text, "{\"methodConfig\": [{\"name\": [{}], %s}]}", member);
  return refusal(text);
}

static void the_most_specific_name_wins(void **state) {
  (void)state;
  tth_service_config *config = parsed(
      "{\"methodConfig\": [{\"name\": [{}], \"timeout\": \"1s\"},"
      " {\"name\": [{\"service\": \"a.B\"}, {\"service\": \"a.B.C\", \"method\": null}], \"timeout\": \"2s\"},"
      " {\"name\": [{\"service\": \"a.B\", \"method\": \"Get\"}, {\"service\": \"a.B\", \"method\": \"Put\"}],"
      "  \"timeout\": \"3s\"}]}");
  assert_int_equal(tth_service_config_find(config, "/a.B/Get")->timeout_ns, 3 * TETHER_SEC);
  assert_int_equal(tth_service_config_find(config, "/a.B/Put")->timeout_ns, 3 * TETHER_SEC);
  assert_int_equal(tth_service_config_find(config, "/a.B/GetAll")->timeout_ns, 2 * TETHER_SEC);
  assert_int_equal(tth_service_config_find(config, "/a.B/Ge")->timeout_ns, 2 * TETHER_SEC);
  assert_int_equal(tth_service_config_find(config, "/a.B.C/Get")->timeout_ns, 2 * TETHER_SEC);
  assert_int_equal(tth_service_config_find(config, "/a/Get")->timeout_ns, TETHER_SEC);
  assert_int_equal(tth_service_config_find(config, "odd")->timeout_ns, TETHER_SEC);
  tth_service_config_free(config);
  config = parsed("{\"methodConfig\": [{\"name\": [{\"service\": \"a.B\", \"method\": \"Get\"}]}]}");
  assert_non_null(tth_service_config_find(config, "/a.B/Get"));
  assert_null(tth_service_config_find(config, "/a.B/Put"));
  assert_null(tth_service_config_find(config, "/a.B/"));
  assert_null(tth_service_config_find(NULL, "/a.B/Get"));
  tth_service_config_free(config);
}

static void among_many_names_each_is_found(void **state) {
  (void)state;
  static char text[100000];
  size_t len = (size_t)snprintf(text, sizeof text, "{\"methodConfig\": [");
  for (int i = 0; i < 500; i++)
    len += (size_t)snprintf(text + len, sizeof text - len,
                            "%s{\"name\": [{\"service\": \"s%d\", \"method\": \"m\"}, {\"service\": \"t%d\"}],"
                            " \"timeout\": \"%ds\"}",
                            i ? "," : "", i * 7919 % 500, i, i);
  snprintf(text + len, sizeof text - len, "]}");
  tth_service_config *config = parsed(text);
  for (int i = 0; i < 500; i++) {
    char path[32];
    snprintf(path, sizeof path, "/s%d/m", i * 7919 % 500);
    assert_int_equal(tth_service_config_find(config, path)->timeout_ns, i * TETHER_SEC);
    snprintf(path, sizeof path, "/t%d/any", i);
    assert_int_equal(tth_service_config_find(config, path)->timeout_ns, i * TETHER_SEC);
    snprintf(path, sizeof path, "/s%d/n", i);
    assert_null(tth_service_config_find(config, path));
  }
  tth_service_config_free(config);
}

static void a_retry_policy_is_read_and_capped(void **state) {
  (void)state;
  tth_service_config *config = parsed(
      "{\"methodConfig\": [{\"name\": [{}], \"waitForReady\": true, \"maxRequestMessageBytes\": 0,"
      " \"maxResponseMessageBytes\": 4294967295, \"retryPolicy\": {\"maxAttempts\": 100, \"initialBackoff\": \".25s\","
      " \"maxBackoff\": \"315576000000.999999999s\", \"backoffMultiplier\": 0.5,"
      " \"retryableStatusCodes\": [\"UNAVAILABLE\", 8, \"ABORTED\"]}}]}");
  const tth_method_config *method = tth_service_config_find(config, "/s/m");
  assert_int_equal(method->retry.max_attempts, 5);
  assert_int_equal(method->retry.initial_backoff_ns, 250 * TETHER_MS);
  assert_int_equal(method->retry.max_backoff_ns, INT64_MAX);
  assert_true(method->retry.backoff_multiplier == 0.5);
  assert_int_equal(method->retry.retryable,
                   1u << TETHER_UNAVAILABLE | 1u << TETHER_RESOURCE_EXHAUSTED | 1u << TETHER_ABORTED);
  assert_int_equal(method->hedging.max_attempts, 0);
  assert_true(method->wait_for_ready);
  assert_true(method->max_request_bytes == 0 && method->max_response_bytes == UINT32_MAX);
  assert_true(method->timeout_ns < 0);
  tth_service_config_free(config);
}

static void a_hedging_policy_is_read_and_its_delay_and_codes_may_be_left_out(void **state) {
  (void)state;
  tth_service_config *config = parsed(
      "{\"methodConfig\": [{\"name\": [{\"service\": \"a\"}], \"hedgingPolicy\": {\"maxAttempts\": 3,"
      " \"hedgingDelay\": \"0.000000001s\", \"nonFatalStatusCodes\": [\"INTERNAL\"]}},"
      " {\"name\": [{\"service\": \"b\"}], \"hedgingPolicy\": {\"maxAttempts\": 2}}]}");
  const tth_method_config *a = tth_service_config_find(config, "/a/m"), *b = tth_service_config_find(config, "/b/m");
  assert_int_equal(a->hedging.max_attempts, 3);
  assert_int_equal(a->hedging.delay_ns, 1);
  assert_int_equal(a->hedging.non_fatal, 1u << TETHER_INTERNAL);
  assert_int_equal(a->retry.max_attempts, 0);
  assert_int_equal(b->hedging.max_attempts, 2);
  assert_int_equal(b->hedging.delay_ns, 0);
  assert_int_equal(b->hedging.non_fatal, 0);
  tth_service_config_free(config);
}

static void throttling_has_three_digits_behind_the_point(void **state) {
  (void)state;
  tth_service_config *config = parsed("{\"retryThrottling\": {\"maxTokens\": 10, \"tokenRatio\": 0.1239}}");
  tth_throttling throttling = tth_service_config_throttling(config);
  assert_int_equal(throttling.max_milli, 10000);
  assert_int_equal(throttling.ratio_milli, 123);
  tth_service_config_free(config);
  config = parsed("{\"retryThrottling\": {\"maxTokens\": 1000, \"tokenRatio\": 1e300}}");
  assert_int_equal(tth_service_config_throttling(config).max_milli, 1000000);
  assert_int_equal(tth_service_config_throttling(config).ratio_milli, 1000000);
  tth_service_config_free(config);
  config = parsed("{}");
  assert_int_equal(tth_service_config_throttling(config).max_milli, 0);
  assert_int_equal(tth_service_config_balancing(config), TETHER_PICK_FIRST);
  tth_service_config_free(config);
}

static void of_several_balancing_policies_the_first_known_counts(void **state) {
  (void)state;
  static const struct {
    const char *text;
    tether_balancing policy;
  } cases[] = {
      {"{\"loadBalancingConfig\": [{\"xds\": {}}, {\"round_robin\": {}}, {\"pick_first\": {}}]}", TETHER_ROUND_ROBIN},
      {"{\"loadBalancingConfig\": [{\"pick_first\": {\"shuffleAddressList\": true}}],"
       " \"loadBalancingPolicy\": \"round_robin\"}",
       TETHER_PICK_FIRST},
      {"{\"loadBalancingConfig\": [{\"least_request_experimental\": {\"choiceCount\": 2}}]}", TETHER_LEAST_OF_TWO},
      {"{\"loadBalancingPolicy\": \"ROUND_ROBIN\"}", TETHER_ROUND_ROBIN},
      {"{\"loadBalancingPolicy\": \"least_request\"}", TETHER_LEAST_OF_TWO},
      {"{\"loadBalancingPolicy\": \"UNSPECIFIED\"}", TETHER_PICK_FIRST},
      {"{\"loadBalancingPolicy\": null, \"loadBalancingConfig\": null}", TETHER_PICK_FIRST},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    tth_service_config *config = parsed(cases[i].text);
    assert_int_equal(tth_service_config_balancing(config), cases[i].policy);
    tth_service_config_free(config);
  }
}

static void what_is_null_is_not_there(void **state) {
  (void)state;
  tth_service_config *config = parsed(
      "{\"retryThrottling\": null, \"methodConfig\": [{\"name\": [{\"service\": null, \"method\": \"\"}],"
      " \"timeout\": null, \"waitForReady\": null, \"retryPolicy\": null, \"hedgingPolicy\": {\"maxAttempts\": 2,"
      " \"hedgingDelay\": null}, \"maxRequestMessageBytes\": null}, {\"name\": null}, {\"name\": []}]}");
  const tth_method_config *method = tth_service_config_find(config, "/s/m");
  assert_int_equal(method->hedging.max_attempts, 2);
  assert_true(method->timeout_ns < 0 && method->max_request_bytes == INT64_MAX);
  tth_service_config_free(config);
  config = parsed("{\"methodConfig\": null}");
  assert_null(tth_service_config_find(config, "/s/m"));
  tth_service_config_free(config);
}

static void what_nobody_knows_is_ignored_and_named(void **state) {
  (void)state;
  static const struct {
    const char *text, *why;
  } cases[] = {
      {"{\"healthCheckConfig\": {}}", "healthCheckConfig is not known and ignored"},
      {"{\"methodConfig\": [{}, {\"retryPolcy\": 5}]}", "methodConfig[1].retryPolcy is not known and ignored"},
      {"{\"methodConfig\": [{\"name\": [{\"servce\": 5}]}]}",
       "methodConfig[0].name[0].servce is not known and ignored"},
      {"{\"retryThrottling\": {\"maxTokens\": 1, \"tokenRatio\": 1, \"x\": 1}}",
       "retryThrottling.x is not known and ignored"},
      {"{}", ""},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char why[TTH_SERVICE_CONFIG_WHY] = "?";
    tth_service_config *config = NULL;
    assert_int_equal(tth_service_config_parse(cases[i].text, strlen(cases[i].text), why, &config), TETHER_OK);
    assert_string_equal(why, cases[i].why);
    tth_service_config_free(config);
  }
}

static void what_does_not_parse_is_told_with_its_line(void **state) {
  (void)state;
  assert_non_null(strstr(refusal("{\"a\": 1,\n \"b\": }"), "line 2, column "));
  assert_non_null(strstr(refusal(""), "line 1, column 0"));
  assert_non_null(strstr(refusal("{\"methodConfig\": [], \"methodConfig\": []}"), "duplicate object key"));
  assert_string_equal(refusal("[]"), "the text is a list; it must be an object");
  assert_string_equal(refusal("5"), "the text is a number; it must be an object");
  char why[TTH_SERVICE_CONFIG_WHY];
  tth_service_config *config = NULL;
  assert_int_equal(tth_service_config_parse("{}\0", 3, why, &config), TETHER_INVALID_ARGUMENT);
  assert_int_equal(tth_service_config_parse("\xff", 1, why, &config), TETHER_INVALID_ARGUMENT);
  assert_null(config);
}

static void a_name_must_be_whole_and_be_there_once(void **state) {
  (void)state;
  assert_string_equal(refusal("{\"methodConfig\": [{\"name\": [{\"method\": \"m\"}]}]}"),
                      "methodConfig[0].name[0]: names a method without its service; {} is what names all methods");
  assert_string_equal(refusal("{\"methodConfig\": [{\"name\": [{\"service\": 1}]}]}"),
                      "methodConfig[0].name[0].service: is a number; it must be a text");
  assert_string_equal(refusal("{\"methodConfig\": [{\"name\": [1]}]}"),
                      "methodConfig[0].name[0]: is a number; it must be an object");
  assert_string_equal(refusal("{\"methodConfig\": [{\"name\": {}}]}"),
                      "methodConfig[0].name: is an object; it must be a list");
  assert_string_equal(
      refusal("{\"methodConfig\": [{\"name\": [{\"service\": \"s\"}]}, {}, {\"name\": [{}, {\"service\": \"s\"}]}]}"),
      "methodConfig: [0] and [2] both name /s/; a name may be there once");
  assert_string_equal(refusal("{\"methodConfig\": [{\"name\": [{}, {}]}]}"),
                      "methodConfig: [0] and [0] both name all methods; a name may be there once");
  assert_string_equal(refusal("{\"methodConfig\": {}}"), "methodConfig: is an object; it must be a list");
  assert_string_equal(refusal("{\"methodConfig\": [true]}"), "methodConfig[0]: is true; it must be an object");
}

static void each_member_of_a_method_config_is_checked(void **state) {
  (void)state;
  static const struct {
    const char *member, *why;
  } cases[] = {
      {"\"timeout\": 5", "timeout: is a number; it must be a text of seconds, such as \"1.5s\""},
      {"\"timeout\": \"-1s\"", "timeout: is \"-1s\"; it must not be negative"},
      {"\"waitForReady\": \"yes\"", "waitForReady: is a text; it must be true or false"},
      {"\"maxRequestMessageBytes\": -1", "maxRequestMessageBytes: is -1; it must be from 0 to 4294967295"},
      {"\"maxResponseMessageBytes\": 1.5",
       "maxResponseMessageBytes: is a number with a fraction; it must be a whole number"},
      {"\"retryPolicy\": 5", "retryPolicy: is a number; it must be an object"},
      {"\"retryPolicy\": {}", "retryPolicy: has no maxAttempts, which is required"},
      {"\"retryPolicy\": {\"maxAttempts\": 1}", "retryPolicy.maxAttempts: is 1; it must be from 2 to 4294967295"},
      {"\"retryPolicy\": {\"maxAttempts\": 2}", "retryPolicy: has no initialBackoff, which is required"},
      {"\"retryPolicy\": {\"maxAttempts\": 2, \"initialBackoff\": \"0s\"}",
       "retryPolicy.initialBackoff: is \"0s\"; it must be above 0"},
      {"\"retryPolicy\": {\"maxAttempts\": 2, \"initialBackoff\": \"1s\"}",
       "retryPolicy: has no maxBackoff, which is required"},
      {"\"retryPolicy\": {\"maxAttempts\": 2, \"initialBackoff\": \"1s\", \"maxBackoff\": \"1s\"}",
       "retryPolicy: has no backoffMultiplier, which is required"},
      {"\"retryPolicy\": {\"maxAttempts\": 2, \"initialBackoff\": \"1s\", \"maxBackoff\": \"1s\","
       " \"backoffMultiplier\": 0}",
       "retryPolicy.backoffMultiplier: is 0; it must be above 0"},
      {"\"retryPolicy\": {" RETRY "}", "retryPolicy: has no retryableStatusCodes, which is required"},
      {"\"retryPolicy\": {" RETRY ", \"retryableStatusCodes\": []}",
       "retryPolicy.retryableStatusCodes: is empty; it must name at least one status code"},
      {"\"retryPolicy\": {" RETRY ", \"retryableStatusCodes\": [14, \"UNAVAILBLE\"]}",
       "retryPolicy.retryableStatusCodes[1]: is \"UNAVAILBLE\", which is no status code; they are named as "
       "\"UNAVAILABLE\" is"},
      {"\"retryPolicy\": {" RETRY ", \"retryableStatusCodes\": [17]}",
       "retryPolicy.retryableStatusCodes[0]: is 17; status codes are 0 to 16"},
      {"\"retryPolicy\": {" RETRY ", \"retryableStatusCodes\": \"UNAVAILABLE\"}",
       "retryPolicy.retryableStatusCodes: is a text; it must be a list"},
      {"\"hedgingPolicy\": {\"hedgingDelay\": \"1s\"}", "hedgingPolicy: has no maxAttempts, which is required"},
      {"\"hedgingPolicy\": {\"maxAttempts\": 2, \"hedgingDelay\": \"-0.1s\"}",
       "hedgingPolicy.hedgingDelay: is \"-0.1s\"; it must not be negative"},
      {"\"hedgingPolicy\": {\"maxAttempts\": 2, \"nonFatalStatusCodes\": [null]}",
       "hedgingPolicy.nonFatalStatusCodes[0]: is null; it must be the name or the number of a status code"},
      {RETRY_POLICY ", \"hedgingPolicy\": {\"maxAttempts\": 2}",
       "has both retryPolicy and hedgingPolicy; only one of them is allowed"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char expected[512];
    snprintf(expected, sizeof expected, "methodConfig[0]%s%s",
             cases[i].why[0] == 'h' && cases[i].why[1] == 'a' ? ": " : ".", cases[i].why);
    assert_string_equal(refusal_of_method(cases[i].member), expected);
  }
}

static void a_duration_has_protobufs_form(void **state) {
  (void)state;
  static const char *const good[] = {"0s", "1s", "1.s", ".5s", "0.000000001s", "315576000000s", "-0s"};
  static const char *const bad[] = {"",     "s",    "1",      ".s",  "1.0000000001s",           "315576000001s",
                                    "1m",   "+1s",  "1.1.1s", "1s ", "1000000000000000000000s", " 1s",
                                    "1e3s", "--1s", "-s"};
  char text[128];
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    snprintf(text, sizeof text, "{\"methodConfig\": [{\"timeout\": \"%s\"}]}", good[i]);
    tth_service_config_free(parsed(text));
  }
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    snprintf(text, sizeof text, "\"timeout\": \"%s\"", bad[i]);
    assert_non_null(strstr(refusal_of_method(text), "timeout: is \""));
  }
}

static void what_belongs_to_the_channel_is_checked(void **state) {
  (void)state;
  static const struct {
    const char *text, *why;
  } cases[] = {
      {"{\"retryThrottling\": {\"tokenRatio\": 1}}", "retryThrottling: has no maxTokens, which is required"},
      {"{\"retryThrottling\": {\"maxTokens\": 1}}", "retryThrottling: has no tokenRatio, which is required"},
      {"{\"retryThrottling\": {\"maxTokens\": 0, \"tokenRatio\": 1}}",
       "retryThrottling.maxTokens: is 0; it must be above 0"},
      {"{\"retryThrottling\": {\"maxTokens\": 1001, \"tokenRatio\": 1}}",
       "retryThrottling.maxTokens: is 1001; it must be at most 1000"},
      {"{\"retryThrottling\": {\"maxTokens\": 1, \"tokenRatio\": 0.0005}}",
       "retryThrottling.tokenRatio: is 0.0005; it must be at least 0.001"},
      {"{\"retryThrottling\": []}", "retryThrottling: is a list; it must be an object"},
      {"{\"loadBalancingPolicy\": \"random\"}",
       "loadBalancingPolicy: is \"random\"; pick_first, round_robin and least_request are known"},
      {"{\"loadBalancingPolicy\": 1}", "loadBalancingPolicy: is a number; it must be a text"},
      {"{\"loadBalancingConfig\": [{\"xds\": {}}]}",
       "loadBalancingConfig: has no policy that is known; pick_first, round_robin and least_request are known"},
      {"{\"loadBalancingConfig\": []}",
       "loadBalancingConfig: has no policy that is known; pick_first, round_robin and least_request are known"},
      {"{\"loadBalancingConfig\": [{}]}",
       "loadBalancingConfig[0]: has 0 members; it must have one, named after the policy"},
      {"{\"loadBalancingConfig\": [{\"pick_first\": 1}]}",
       "loadBalancingConfig[0].pick_first: is a number; it must be an object"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) assert_string_equal(refusal(cases[i].text), cases[i].why);
}

static void a_long_path_does_not_overflow_the_sentence(void **state) {
  (void)state;
  static char text[3000];
  snprintf(text, sizeof text, "{\"loadBalancingConfig\": [{\"%01000d\": 1}]}", 0);
  assert_true(strlen(refusal(text)) < TTH_SERVICE_CONFIG_WHY);
  snprintf(text, sizeof text, "{\"loadBalancingPolicy\": \"%02000d\"}", 0);
  assert_true(strlen(refusal(text)) < TTH_SERVICE_CONFIG_WHY);
}

static void a_file_is_read_and_named_in_what_is_said_of_it(void **state) {
  (void)state;
  char path[] = "/tmp/tether-service-config-XXXXXX", why[TTH_SERVICE_CONFIG_WHY];
  tth_service_config *config = NULL;
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  static const char good[] = "{\"methodConfig\": [{\"name\": [{}], \"timeout\": \"3s\"}]}", bad[] = "{\n\"a\"\n}";
  assert_int_equal(write(fd, good, sizeof good - 1), sizeof good - 1);
  assert_int_equal(tth_service_config_load(path, why, &config), TETHER_OK);
  assert_string_equal(why, "");
  assert_int_equal(tth_service_config_find(config, "/s/m")->timeout_ns, 3 * TETHER_SEC);
  tth_service_config_free(config);
  config = NULL;
  assert_int_equal(ftruncate(fd, 0), 0);
  assert_int_equal(pwrite(fd, bad, sizeof bad - 1, 0), sizeof bad - 1);
  assert_int_equal(tth_service_config_load(path, why, &config), TETHER_INVALID_ARGUMENT);
  assert_true(strncmp(why, path, strlen(path)) == 0 && strstr(why, ": line 3, column "));
  assert_int_equal(ftruncate(fd, 2 << 20), 0);
  assert_int_equal(tth_service_config_load(path, why, &config), TETHER_INVALID_ARGUMENT);
  assert_non_null(strstr(why, "larger than 1 MiB, or not a text"));
  close(fd);
  unlink(path);
  assert_int_equal(tth_service_config_load(path, why, &config), TETHER_INVALID_ARGUMENT);
  assert_non_null(strstr(why, "No such file or directory"));
  assert_int_equal(tth_service_config_load("/", why, &config), TETHER_INVALID_ARGUMENT);
  assert_non_null(strstr(why, "Is a directory"));
  assert_null(config);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_most_specific_name_wins),
      cmocka_unit_test(among_many_names_each_is_found),
      cmocka_unit_test(a_retry_policy_is_read_and_capped),
      cmocka_unit_test(a_hedging_policy_is_read_and_its_delay_and_codes_may_be_left_out),
      cmocka_unit_test(throttling_has_three_digits_behind_the_point),
      cmocka_unit_test(of_several_balancing_policies_the_first_known_counts),
      cmocka_unit_test(what_is_null_is_not_there),
      cmocka_unit_test(what_nobody_knows_is_ignored_and_named),
      cmocka_unit_test(what_does_not_parse_is_told_with_its_line),
      cmocka_unit_test(a_name_must_be_whole_and_be_there_once),
      cmocka_unit_test(each_member_of_a_method_config_is_checked),
      cmocka_unit_test(a_duration_has_protobufs_form),
      cmocka_unit_test(what_belongs_to_the_channel_is_checked),
      cmocka_unit_test(a_long_path_does_not_overflow_the_sentence),
      cmocka_unit_test(a_file_is_read_and_named_in_what_is_said_of_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
