/* Any bytes as a message from a peer. Input: one byte chooses the type, one how much of the memory needed there is,
 * the rest is the message. What must hold is in tests/rpc/unpack_check.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/unpack.h"
#include "tests/fuzz/fuzz.h"
#include "tests/rpc/unpack_check.h"
#include "untrusted.pb-c.h"
#include "untrusted_proto2.pb-c.h"

/* protobuf-c also gets what the validator refuses, and must survive it for the comparison. */
enum { HARMLESS = 8 * 1024 };

static const ProtobufCMessageDescriptor *const types[] = {
    &untrusted__v1__rich__descriptor,   &untrusted__v1__inner__descriptor,   &untrusted__v1__outer__descriptor,
    &untrusted__v1__wide__descriptor,   &untrusted__v1__node__descriptor,    &untrusted__v1__eithers__descriptor,
    &untrusted__v2__strict__descriptor, &untrusted__v1__empties__descriptor,
};

static void stop(const ProtobufCMessageDescriptor *type, const char *problem, const char *why) {
  fprintf(stderr, "%s: %s: %s\n", type->name, problem, why);
  abort();
}

/* Less memory than needed must do no harm. */
static void starve(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t len, size_t cap) {
  char why[64];
  tth_arena arena;
  ProtobufCMessage *message;
  tth_arena_init(&arena, NULL, 0, cap);
  tether_code code = tth_unpack(type, bytes, len, SIZE_MAX, &arena, why, sizeof why, &message);
  if (arena.used_bytes > cap) stop(type, "over the cap", why);
  if (code != TETHER_OK && code != TETHER_RESOURCE_EXHAUSTED && code != TETHER_INTERNAL) stop(type, "code", why);
  tth_arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
  if (size < 2 || size > HARMLESS) return 0;
  const ProtobufCMessageDescriptor *type = types[input[0] % (sizeof types / sizeof *types)];
  unpack_outcome outcome;
  const char *problem = unpack_check(type, input + 2, size - 2, &outcome);
  if (problem) stop(type, problem, outcome.why);
  if (outcome.code == TETHER_OK) starve(type, input + 2, size - 2, outcome.unpacked_bytes * input[1] / 256);
  return 0;
}
