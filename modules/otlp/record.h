/* otlp/record.h: a span that waits to be sent: one allocation, texts behind it. */
#ifndef TETHER_MODULES_OTLP_RECORD_H
#define TETHER_MODULES_OTLP_RECORD_H

#include <jansson.h>
#include <tether/otlp.h>

typedef struct otlp_record {
  struct otlp_record *next;
  tether_otlp_span span; /* its texts and attributes are in this allocation */
  tether_otlp_attribute attributes[];
} otlp_record;

/* A copy; NULL without memory. */
TETHER_MUST_USE otlp_record *tth_otlp_record_new(const tether_otlp_span *span);

/* A JSON string; what is not UTF-8 is replaced, and such a text cut at 256 bytes. NULL without memory. */
json_t *tth_otlp_string(const char *text);

/* The body of a request for these records, to be freed; NULL without memory. */
TETHER_MUST_USE char *tth_otlp_request(const otlp_record *first, size_t count, json_t *resource);

#endif
