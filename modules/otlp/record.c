/* Copying a span on the thread of its call, and writing it as JSON on the thread that sends
 * (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding: ids in hex, enums as numbers, 64-bit numbers as
 * text). */
#include "modules/otlp/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MOST ((size_t)256)

/* ---- Copying ------------------------------------------------------------------------------- */

static size_t text_size(const char *text) { return text ? strnlen(text, TEXT_MOST) + 1 : 0; }

static const char *put_text(char **to, const char *text) {
  if (!text) return NULL;
  size_t len = strnlen(text, TEXT_MOST);
  char *copy = memcpy(*to, text, len);
  copy[len] = '\0';
  *to += len + 1;
  return copy;
}

otlp_record *tth_otlp_record_new(const tether_otlp_span *span) {
  size_t count = span->attribute_count < TETHER_OTLP_ATTRIBUTES ? span->attribute_count : TETHER_OTLP_ATTRIBUTES;
  size_t texts = text_size(span->name) + text_size(span->message);
  for (size_t i = 0; i < count; i++) texts += text_size(span->attributes[i].text);
  otlp_record *record = malloc(sizeof *record + count * sizeof record->attributes[0] + texts);
  if (!record) return NULL;
  char *to = (char *)&record->attributes[count];
  record->next = NULL;
  record->span = *span;
  record->span.name = put_text(&to, span->name);
  record->span.message = put_text(&to, span->message);
  record->span.attributes = record->attributes;
  record->span.attribute_count = count;
  for (size_t i = 0; i < count; i++) {
    record->attributes[i] = span->attributes[i];
    record->attributes[i].text = put_text(&to, span->attributes[i].text);
  }
  return record;
}

/* ---- Writing ------------------------------------------------------------------------------- */

/* What is not UTF-8 (cut in the middle of a character, or from a peer) is replaced: one such text must not cost a
 * batch. */
json_t *tth_otlp_string(const char *text) {
  json_t *string = json_string(text);
  if (string) return string;
  char clean[TEXT_MOST + 1];
  size_t len = 0;
  for (; text[len] && len < TEXT_MOST; len++) clean[len] = (unsigned char)text[len] < 0x80 ? text[len] : '?';
  return json_stringn(clean, len);
}

static json_t *hex(const uint8_t *bytes, size_t len) {
  char text[2 * 16 + 1];
  for (size_t i = 0; i < len; i++) snprintf(text + 2 * i, 3, "%02x", bytes[i]);
  return json_string(text);
}

static json_t *number(int64_t value) {
  char text[24];
  snprintf(text, sizeof text, "%" PRId64, value);
  return json_string(text);
}

static json_t *attributes_of(const tether_otlp_span *span) {
  json_t *list = json_array();
  for (size_t i = 0; list && i < span->attribute_count; i++) {
    const tether_otlp_attribute *a = &span->attributes[i];
    json_t *value = a->text ? json_pack("{s:o}", "stringValue", tth_otlp_string(a->text))
                            : json_pack("{s:o}", "intValue", number(a->number));
    json_t *pair = json_pack("{s:s, s:o}", "key", a->key, "value", value);
    if (!pair || json_array_append_new(list, pair) != 0) {
      json_decref(list);
      list = NULL;
    }
  }
  return list;
}

static json_t *status_of(const tether_otlp_span *span) {
  if (!span->failed) return json_object();
  return json_pack("{s:i, s:o}", "code", 2, "message", tth_otlp_string(span->message ? span->message : ""));
}

static json_t *span_of(const tether_otlp_span *span) {
  static const uint8_t none[8];
  json_t *object =
      json_pack("{s:o, s:o, s:o, s:i, s:o, s:o, s:o, s:o, s:i}", "traceId", hex(span->trace.trace_id, 16), "spanId",
                hex(span->trace.span_id, 8), "name", tth_otlp_string(span->name), "kind", (int)span->kind,
                "startTimeUnixNano", number(span->start_unix_ns), "endTimeUnixNano", number(span->end_unix_ns),
                "attributes", attributes_of(span), "status", status_of(span), "flags", (int)span->trace.flags);
  if (object && memcmp(span->parent_id, none, sizeof none) != 0 &&
      json_object_set_new(object, "parentSpanId", hex(span->parent_id, 8)) != 0) {
    json_decref(object);
    object = NULL;
  }
  return object;
}

char *tth_otlp_request(const otlp_record *first, size_t count, json_t *resource) {
  json_t *spans = json_array();
  for (size_t i = 0; spans && i < count; i++, first = first->next) {
    json_t *span = span_of(&first->span);
    if (span && json_array_append_new(spans, span) == 0) continue;
    json_decref(spans);
    spans = NULL;
  }
  if (!spans) return NULL;
  json_t *request = json_pack("{s:[{s:O, s:[{s:{s:s}, s:o}]}]}", "resourceSpans", "resource", resource, "scopeSpans",
                              "scope", "name", "tether", "spans", spans);
  char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
  json_decref(request);
  return text;
}
