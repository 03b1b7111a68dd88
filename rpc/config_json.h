/* rpc/config_json.h: reading a JSON text whose mistakes are to be told: what is wrong, where (as a path such as
 * methodConfig[0].timeout), and what is allowed. Knows JSON and protobuf's way of writing types in it, nothing of what
 * the values are for. */
#ifndef TETHER_RPC_CONFIG_JSON_H
#define TETHER_RPC_CONFIG_JSON_H

#include <jansson.h>
#include <tether/base.h>

/* Where a value is; on the stack of whoever reads it. */
typedef struct tth_place {
  const struct tth_place *in; /* NULL: the whole text */
  const char *name;           /* NULL: the index-th of a list */
  size_t index;
} tth_place;

/* A reading: the first mistake, and the first member that nobody knows. */
typedef struct tth_reading {
  char *why; /* room for why_size bytes */
  size_t why_size;
  char ignored[128]; /* a path; "": none */
  bool no_memory;
} tth_reading;

/* There is no memory; always false. */
bool tth_reading_no_memory(tth_reading *reading);

/* Notes a mistake, "<path>: <text>"; always false. */
bool tth_reading_fail(tth_reading *reading, const tth_place *at, const char *format, ...) TETHER_PRINTF(3, 4);

/* Parses a text that is to be one object. NULL: it is not; the mistake says the line. To be given back with
 * json_decref. */
TETHER_MUST_USE json_t *tth_reading_parse(tth_reading *reading, const char *text, size_t len);

/* Notes the first member of `object` that is not in `known`, which ends with NULL. */
void tth_reading_note_unknown(tth_reading *reading, const tth_place *at, const json_t *object,
                              const char *const *known);

/* A member; NULL if there is none or it is null, which is the same here. */
json_t *tth_json_member(const json_t *object, const char *name);

/* Each reads `value`, which is not NULL, and writes on success only. false: a mistake was noted. */
TETHER_MUST_USE bool tth_json_bool(tth_reading *reading, const tth_place *at, const json_t *value, bool *result);
TETHER_MUST_USE bool tth_json_text(tth_reading *reading, const tth_place *at, const json_t *value, const char **result);
TETHER_MUST_USE bool tth_json_whole(tth_reading *reading, const tth_place *at, const json_t *value, int64_t least,
                                    int64_t most, int64_t *result);
TETHER_MUST_USE bool tth_json_positive(tth_reading *reading, const tth_place *at, const json_t *value, double *result);
TETHER_MUST_USE bool tth_json_object(tth_reading *reading, const tth_place *at, const json_t *value);
TETHER_MUST_USE bool tth_json_list(tth_reading *reading, const tth_place *at, const json_t *value);

/* google.protobuf.Duration: "1.5s". At least `least_ns`, 0 or 1. */
TETHER_MUST_USE bool tth_json_duration(tth_reading *reading, const tth_place *at, const json_t *value, int64_t least_ns,
                                       int64_t *result_ns);

/* A list of status codes, by name or by number, as a set: 1u << code each. */
TETHER_MUST_USE bool tth_json_codes(tth_reading *reading, const tth_place *at, const json_t *value, uint32_t *result);

#endif
