/* options.h: options that extend descriptor.proto, read from the unknown fields protobuf-c keeps them in. */
#ifndef TTH_OPTIONS_H
#define TTH_OPTIONS_H

#include <google/protobuf/descriptor.pb-c.h>
#include <stdbool.h>
#include <stdint.h>

#include "arena.h"

/* (tether.method), proto/tether/options.proto. */
enum { TTH_METHOD_EXTENSION = 50500 };

/* tether.RetryPolicy. */
struct tth_retry_options {
  uint32_t max_attempts; /* 0: there is no policy */
  uint32_t initial_backoff_ms, max_backoff_ms;
  double backoff_multiplier;
  uint32_t codes; /* a set, 1u << code each */
};

struct tth_method_options {
  uint32_t default_timeout_ms;
  bool idempotent;
  bool runs_inline;
  bool deadline_required;
  struct tth_retry_options retry;
};

/* (pb_c_file), protobuf-c/protobuf-c.proto: what changes the names protoc-c writes. */
struct tth_pbc_options {
  const char *c_package; /* NULL: the file's own package */
  bool no_generate;
};

/* Both return NULL, or what is wrong. `options` may be NULL. `*field` is the field of tether.MethodOptions that is
 * wrong, 0 if it is not one. */
const char *tth_method_options_read(struct tth_arena *arena, const Google__Protobuf__MethodOptions *options,
                                    struct tth_method_options *read, uint32_t *field);
const char *tth_pbc_options_read(struct tth_arena *arena, const Google__Protobuf__FileOptions *options,
                                 struct tth_pbc_options *read);

#endif
