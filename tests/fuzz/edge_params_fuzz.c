/* What the edge reads of a request: the query string and the Accept header. Input: a line each. What is accepted can be
 * used as it is; what is refused is refused with a sentence that fits into JSON. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/duration.h"
#include "common/slow.h"
#include "edge/params.h"
#include "tests/fuzz/fuzz.h"

#define DEFAULT_NS TETHER_SEC
#define MAX_NS (30 * TETHER_SEC)

static bool is_utf8(const char *text) {
  json_t *string = json_string(text);
  json_decref(string);
  return string != NULL;
}

static void check(const search_params *params, bool accepted) {
  if (!accepted) {
    FUZZ_CHECK(*params->error && strlen(params->error) < sizeof params->error);
    FUZZ_CHECK(params->status == 400 || params->status == 406);
    if (!is_utf8(params->error)) fuzz_fail("not UTF-8: %s", params->error);
    return;
  }
  FUZZ_CHECK(params->query && *params->query && is_utf8(params->query));
  FUZZ_CHECK(params->timeout_ns > 0 && params->timeout_ns <= MAX_NS);
  FUZZ_CHECK(params->format >= EDGE_JSON && params->format < EDGE_FORMATS);
  FUZZ_CHECK(params->limit <= (params->format == EDGE_JSON ? 100 : 1000000));
  FUZZ_CHECK(params->limit > 0 || params->format != EDGE_JSON);
  if (!params->slow) return;
  /* It travels as a value of the context. */
  uint8_t bytes[256];
  size_t len = svc_slow_key.encode(params->slow, bytes, sizeof bytes);
  char *decoded = len <= sizeof bytes ? svc_slow_key.decode(bytes, len) : NULL;
  FUZZ_CHECK(decoded && strcmp(decoded, params->slow) == 0);
  free(decoded);
}

/* The header alone. To allow what is not served as well changes nothing. */
static void check_accept(const char *accept) {
  edge_format format = EDGE_FORMATS, again = EDGE_FORMATS;
  edge_accepted outcome = edge_format_accept(accept, &format);
  FUZZ_CHECK((outcome == EDGE_ACCEPTED) == (format != EDGE_FORMATS));
  bool asks = accept[strspn(accept, " \t,")];
  FUZZ_CHECK(asks || format == EDGE_JSON);
  if (!asks) return;
  size_t len = strlen(accept) + 20;
  char *wider = malloc(len);
  if (!wider) abort();
  snprintf(wider, len, "%s, text/nothing", accept);
  FUZZ_CHECK(edge_format_accept(wider, &again) == outcome && again == format);
  free(wider);
}

static void check_duration(const char *text) {
  int64_t ns = -1;
  bool parsed = svc_duration_parse(text, &ns);
  FUZZ_CHECK(parsed ? ns >= 0 && ns <= 100 * 3600 * TETHER_SEC : ns == -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
  const uint8_t *end = memchr(input, '\n', size);
  size_t query_len = end ? (size_t)(end - input) : size;
  char *query = strndup((const char *)input, query_len);
  char *accept = end ? strndup((const char *)end + 1, size - query_len - 1) : NULL;
  search_params params;
  bool accepted = search_params_init(&params, query, accept, DEFAULT_NS, MAX_NS);
  check(&params, accepted);
  search_params_fini(&params);
  check_accept(accept ? accept : "");
  check_duration(query);
  free(query);
  free(accept);
  return 0;
}
