/* Values out of a JSON text, and sentences about those that are not there.
 *
 * The parser knows lines, but values do not remember theirs; so what does not parse is told with its line, and what
 * parses and is wrong with its path. */
#include "rpc/config_json.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* protobuf's bound on a Duration. */
#define DURATION_MOST_S INT64_C(315576000000)

/* ---- Mistakes ------------------------------------------------------------------------------ */

static void append(char *text, size_t size, const char *format, ...) TETHER_PRINTF(3, 4);
static void append(char *text, size_t size, const char *format, ...) {
  size_t len = strlen(text);
  va_list args;
  va_start(args, format);
  vsnprintf(text + len, size - len, format, args);
  va_end(args);
}

static void append_path(char *text, size_t size, const tth_place *at) {
  if (!at) return;
  append_path(text, size, at->in);
  if (at->name)
    append(text, size, "%s%.80s", at->in ? "." : "", at->name);
  else
    append(text, size, "[%zu]", at->index);
}

bool tth_reading_fail(tth_reading *reading, const tth_place *at, const char *format, ...) {
  if (reading->why_size == 0) return false;
  *reading->why = 0;
  append_path(reading->why, reading->why_size, at);
  if (at) append(reading->why, reading->why_size, ": ");
  size_t len = strlen(reading->why);
  va_list args;
  va_start(args, format);
  vsnprintf(reading->why + len, reading->why_size - len, format, args);
  va_end(args);
  return false;
}

bool tth_reading_no_memory(tth_reading *reading) {
  reading->no_memory = true;
  return tth_reading_fail(reading, NULL, "out of memory");
}

static const char *kind_of(const json_t *value) {
  switch (json_typeof(value)) {
    case JSON_OBJECT:
      return "an object";
    case JSON_ARRAY:
      return "a list";
    case JSON_STRING:
      return "a text";
    case JSON_INTEGER:
    case JSON_REAL:
      return "a number";
    case JSON_NULL:
      return "null";
    default:
      return json_is_true(value) ? "true" : "false";
  }
}

static bool wrong_kind(tth_reading *reading, const tth_place *at, const json_t *value, const char *wanted) {
  return tth_reading_fail(reading, at, "is %s; it must be %s", kind_of(value), wanted);
}

/* ---- The text and its objects --------------------------------------------------------------- */

json_t *tth_reading_parse(tth_reading *reading, const char *text, size_t len) {
  json_error_t error;
  json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
  if (!root && json_error_code(&error) == json_error_out_of_memory) {
    tth_reading_no_memory(reading);
    return NULL;
  }
  if (!root) {
    tth_reading_fail(reading, NULL, "line %d, column %d: %s", error.line, error.column, error.text);
    return NULL;
  }
  if (json_is_object(root)) return root;
  tth_reading_fail(reading, NULL, "the text is %s; it must be an object", kind_of(root));
  json_decref(root);
  return NULL;
}

static bool is_among(const char *name, const char *const *known) {
  for (; *known; known++)
    if (strcmp(name, *known) == 0) return true;
  return false;
}

void tth_reading_note_unknown(tth_reading *reading, const tth_place *at, const json_t *object,
                              const char *const *known) {
  const char *name;
  json_t *value;
  json_object_foreach((json_t *)object, name, value) {
    if (*reading->ignored || is_among(name, known)) continue;
    const tth_place place = {.in = at, .name = name};
    append_path(reading->ignored, sizeof reading->ignored, &place);
  }
}

json_t *tth_json_member(const json_t *object, const char *name) {
  json_t *value = json_object_get(object, name);
  return json_is_null(value) ? NULL : value;
}

/* ---- Values -------------------------------------------------------------------------------- */

bool tth_json_bool(tth_reading *reading, const tth_place *at, const json_t *value, bool *result) {
  if (!json_is_boolean(value)) return wrong_kind(reading, at, value, "true or false");
  *result = json_is_true(value);
  return true;
}

bool tth_json_text(tth_reading *reading, const tth_place *at, const json_t *value, const char **result) {
  if (!json_is_string(value)) return wrong_kind(reading, at, value, "a text");
  *result = json_string_value(value);
  return true;
}

bool tth_json_whole(tth_reading *reading, const tth_place *at, const json_t *value, int64_t least, int64_t most,
                    int64_t *result) {
  if (!json_is_integer(value)) {
    const char *kind = json_is_real(value) ? "a number with a fraction" : kind_of(value);
    return tth_reading_fail(reading, at, "is %s; it must be a whole number", kind);
  }
  json_int_t number = json_integer_value(value);
  if (number < least || number > most)
    return tth_reading_fail(reading, at, "is %lld; it must be from %lld to %lld", (long long)number, (long long)least,
                            (long long)most);
  *result = number;
  return true;
}

bool tth_json_positive(tth_reading *reading, const tth_place *at, const json_t *value, double *result) {
  if (!json_is_number(value)) return wrong_kind(reading, at, value, "a number above 0");
  double number = json_number_value(value);
  if (!(number > 0)) return tth_reading_fail(reading, at, "is %g; it must be above 0", number);
  *result = number;
  return true;
}

bool tth_json_object(tth_reading *reading, const tth_place *at, const json_t *value) {
  return json_is_object(value) || wrong_kind(reading, at, value, "an object");
}

bool tth_json_list(tth_reading *reading, const tth_place *at, const json_t *value) {
  return json_is_array(value) || wrong_kind(reading, at, value, "a list");
}

/* Digits, at most `most` of them, as a number; with `scale`, as that many digits behind the point. Digits beyond 18 are
 * too many for every use here. */
static const char *digits(const char *at, int most, int scale, int64_t *value) {
  int count = 0;
  *value = 0;
  for (; isdigit((unsigned char)*at) && count <= most; at++, count++) *value = *value * 10 + (*at - '0');
  if (count > most) return NULL;
  for (; count < scale; count++) *value *= 10;
  return at;
}

/* False: it is not of that form. */
static bool read_duration(const char *text, int64_t *ns) {
  int64_t seconds, fraction = 0;
  bool negative = *text == '-';
  const char *begin = text + negative, *at = digits(begin, 12, 0, &seconds);
  if (!at) return false;
  bool some = at > begin;
  if (*at == '.') {
    begin = at + 1;
    at = digits(begin, 9, 9, &fraction);
    if (!at) return false;
    some |= at > begin;
  }
  if (!some || strcmp(at, "s") != 0 || seconds > DURATION_MOST_S) return false;
  int64_t sum = seconds > INT64_MAX / TETHER_SEC ? INT64_MAX : tether_time_add(seconds * TETHER_SEC, fraction);
  *ns = negative ? -sum : sum;
  return true;
}

bool tth_json_duration(tth_reading *reading, const tth_place *at, const json_t *value, int64_t least_ns,
                       int64_t *result_ns) {
  const char *text;
  int64_t ns;
  if (!json_is_string(value)) return wrong_kind(reading, at, value, "a text of seconds, such as \"1.5s\"");
  text = json_string_value(value);
  if (!read_duration(text, &ns))
    return tth_reading_fail(
        reading, at, "is \"%.40s\"; it must be seconds with at most 9 digits behind the point, such as \"1.5s\"", text);
  if (ns < least_ns)
    return tth_reading_fail(reading, at, "is \"%.40s\"; it must %s", text,
                            least_ns > 0 ? "be above 0" : "not be negative");
  *result_ns = ns;
  return true;
}

static bool read_code(tth_reading *reading, const tth_place *at, const json_t *value, uint32_t *set) {
  if (json_is_integer(value)) {
    json_int_t number = json_integer_value(value);
    if (number < 0 || number >= TETHER_CODES)
      return tth_reading_fail(reading, at, "is %lld; status codes are 0 to %d", (long long)number, TETHER_CODES - 1);
    *set |= 1u << number;
    return true;
  }
  if (!json_is_string(value)) return wrong_kind(reading, at, value, "the name or the number of a status code");
  const char *name = json_string_value(value);
  for (int code = 0; code < TETHER_CODES; code++) {
    if (strcmp(name, tether_code_name((tether_code)code)) != 0) continue;
    *set |= 1u << code;
    return true;
  }
  return tth_reading_fail(reading, at, "is \"%.40s\", which is no status code; they are named as \"UNAVAILABLE\" is",
                          name);
}

bool tth_json_codes(tth_reading *reading, const tth_place *at, const json_t *value, uint32_t *result) {
  uint32_t set = 0;
  if (!tth_json_list(reading, at, value)) return false;
  for (size_t i = 0; i < json_array_size(value); i++) {
    const tth_place place = {.in = at, .index = i};
    if (!read_code(reading, &place, json_array_get(value, i), &set)) return false;
  }
  *result = set;
  return true;
}
