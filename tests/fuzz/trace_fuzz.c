/* The texts of W3C trace context, and UTF-8: what is accepted is what the specifications say, no more and no less. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <tether/trace.h>

#include "rpc/utf8.h"
#include "tests/fuzz/fuzz.h"

/* "00-<32>-<16>-<2>", written down a second time. */
static bool is_traceparent(const char *text) {
  static const char form[] = "hh-hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh-hhhhhhhhhhhhhhhh-hh";
  size_t len = strlen(text), zeros = strspn(text, "0");
  if (len < sizeof form - 1) return false;
  for (size_t i = 0; i < sizeof form - 1; i++)
    if (form[i] == '-' ? text[i] != '-' : !strchr("0123456789abcdef", text[i])) return false;
  if (strspn(text + 3, "0") >= 32 || strspn(text + 36, "0") >= 16) return false;
  if (zeros >= 2) return len == sizeof form - 1;
  return strncmp(text, "ff", 2) != 0 && (len == sizeof form - 1 || text[sizeof form - 1] == '-');
}

static void check_trace(const char *text) {
  tether_trace trace;
  char written[TETHER_TRACEPARENT_SIZE];
  bool parsed = tether_trace_parse(text, &trace);
  FUZZ_CHECK(parsed == is_traceparent(text));
  if (!parsed) return;
  tether_trace_format(&trace, written);
  FUZZ_CHECK(strlen(written) == 55 && strncmp(written, "00", 2) == 0 && strncmp(written + 2, text + 2, 53) == 0);
}

/* A context made of what came over HTTP always has a trace. */
static void check_continued(const char *text) {
  tether_trace trace;
  tether_ctx *ctx = tether_trace_continue(tether_ctx_background(), text, text, text);
  FUZZ_CHECK(tether_trace_get(ctx, &trace));
  const char *baggage = tether_trace_baggage(ctx);
  FUZZ_CHECK(*text ? baggage && strcmp(baggage, text) == 0 : !baggage);
  tether_ctx_free(ctx);
}

/* The length of the character at `at`, as RFC 3629's table has it; 0: there is none, or it is NUL. */
static size_t character(const uint8_t *at, size_t len) {
  uint32_t point;
  size_t size = at[0] < 0x80 ? 1 : at[0] >> 5 == 6 ? 2 : at[0] >> 4 == 14 ? 3 : at[0] >> 3 == 30 ? 4 : 0;
  if (size == 0 || size > len || at[0] == 0) return 0;
  point = size == 1 ? at[0] : at[0] & (0x7fu >> size);
  for (size_t i = 1; i < size; i++) {
    if (at[i] >> 6 != 2) return 0;
    point = point << 6 | (at[i] & 0x3f);
  }
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  if (point < least[size] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return 0;
  return size;
}

static void check_utf8(const uint8_t *bytes, size_t len) {
  size_t prefix = 0;
  for (size_t size; prefix < len && (size = character(bytes + prefix, len - prefix)) > 0;) prefix += size;
  FUZZ_CHECK(tth_utf8_prefix(bytes, len) == prefix);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
  char *text = malloc(size + 1);
  if (!text) abort();
  if (size) memcpy(text, input, size);
  text[size] = 0;
  check_trace(text);
  check_continued(text);
  check_utf8(input, size);
  FUZZ_CHECK(strcmp(tth_utf8_text(text), text) == 0 || strcmp(tth_utf8_text(text), "(not UTF-8)") == 0);
  free(text);
  return 0;
}
