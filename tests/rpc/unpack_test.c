/* Unpacking what a peer sent: like protobuf-c for what is valid, and harmless for what is not. */
#include "rpc/unpack.h"

// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/validate.h"
#include "tests/rpc/random_message.h"
#include "tests/rpc/unpack_check.h"
#include "untrusted.pb-c.h"
#include "untrusted_proto2.pb-c.h"

static const ProtobufCMessageDescriptor *const types[] = {
    &untrusted__v1__rich__descriptor, &untrusted__v1__inner__descriptor, &untrusted__v1__wide__descriptor,
    &untrusted__v1__node__descriptor, &untrusted__v1__outer__descriptor, &untrusted__v2__strict__descriptor,
    &untrusted__v2__part__descriptor,
};
enum { TYPES = sizeof types / sizeof *types };

static wire random_wire(const ProtobufCMessageDescriptor *type, uint64_t seed, unsigned depth, unsigned size) {
  wire w = {0};
  random_message_write(&(random_message){.state = seed, .depth = depth, .size = size, .merges = TTH_VALIDATE_MERGES},
                       type, &w);
  return w;
}

static unpack_outcome check(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t len) {
  unpack_outcome outcome;
  const char *problem = unpack_check(type, bytes, len, &outcome);
  if (problem) fail_msg("%s: %s (%zu bytes): %s", type->name, problem, len, outcome.why);
  return outcome;
}

static void random_messages_are_those_of_protobuf_c(void **state) {
  (void)state;
  double sum = 0, worst = 0;
  size_t n = 0, bytes = 0;
  for (uint64_t seed = 0; seed < 1050; seed++) {
    const ProtobufCMessageDescriptor *type = types[seed % TYPES];
    wire w = random_wire(type, seed, (unsigned)(seed / 7 % 4), (unsigned)(seed / 28 % 16) + 1);
    unpack_outcome outcome = check(type, w.bytes, w.len);
    if (outcome.code != TETHER_OK) fail_msg("seed %d: %s", (int)seed, outcome.why);
    size_t used = unpack_smallest_arena(type, w.bytes, w.len, outcome.unpacked_bytes);
    double ratio = (double)outcome.unpacked_bytes / (double)used;
    sum += ratio;
    if (worst < ratio) worst = ratio;
    n++;
    bytes += w.len;
    wire_fini(&w);
  }
  print_message("%zu messages, %zu bytes: memory computed / used: %.3f on average, %.3f at worst\n", n, bytes,
                sum / (double)n, worst);
  assert_true(sum / (double)n < 1.1);
  assert_true(worst < 2);
}

static void every_truncation_is_harmless(void **state) {
  (void)state;
  size_t accepted = 0, refused = 0;
  for (uint64_t seed = 0; seed < 70; seed++) {
    const ProtobufCMessageDescriptor *type = types[seed % TYPES];
    wire w = random_wire(type, seed, 2, 3);
    size_t len = w.len < 1000 ? w.len : 1000;
    for (size_t i = 0; i < len; i++) {
      uint8_t *copy = malloc(i + 1); /* ends where its memory ends, for AddressSanitizer */
      assert_non_null(copy);
      memcpy(copy + 1, w.bytes, i);
      tether_code code = check(type, copy + 1, i).code;
      accepted += code == TETHER_OK;
      refused += code != TETHER_OK;
      free(copy);
    }
    wire_fini(&w);
  }
  print_message("%zu truncated messages accepted, %zu refused\n", accepted, refused);
  assert_true(accepted > 0 && refused > 10 * accepted);
}

static void every_mutation_of_a_byte_is_harmless(void **state) {
  (void)state;
  size_t accepted = 0, refused = 0, budget = 1000; /* bytes of messages */
  for (uint64_t seed = 1000; budget > 0; seed++) {
    const ProtobufCMessageDescriptor *type = types[seed % TYPES];
    wire w = random_wire(type, seed, 2, 2);
    if (w.len <= 300 && w.len <= budget) {
      budget -= w.len > 0 ? w.len : 1;
      for (size_t i = 0; i < w.len; i++)
        for (unsigned change = 1; change < 256; change++) {
          w.bytes[i] ^= (uint8_t)change;
          tether_code code = check(type, w.bytes, w.len).code;
          accepted += code == TETHER_OK;
          refused += code != TETHER_OK;
          w.bytes[i] ^= (uint8_t)change;
        }
    }
    wire_fini(&w);
    if (seed > 100000) break;
  }
  print_message("%zu mutated messages accepted, %zu refused\n", accepted, refused);
  assert_true(accepted > 10000 && refused > 10000);
}

/* Memory ends at every point there is. */
static void running_out_of_memory_anywhere_is_resource_exhausted(void **state) {
  (void)state;
  size_t failures = 0;
  for (uint64_t seed = 0; seed < 35; seed++) {
    const ProtobufCMessageDescriptor *type = types[seed % TYPES];
    wire w = random_wire(type, seed, 3, 4);
    unpack_outcome outcome = check(type, w.bytes, w.len);
    size_t used = unpack_smallest_arena(type, w.bytes, w.len, outcome.unpacked_bytes);
    size_t stride = used > 16 * 1000 ? used / 1000 : 16;
    for (size_t cap = 0; cap < used; cap += stride) {
      char why[100], first[64];
      tth_arena arena;
      ProtobufCMessage *message = (ProtobufCMessage *)first;
      tth_arena_init(&arena, first, sizeof first, cap);
      tether_code code = tth_unpack(type, w.bytes, w.len, SIZE_MAX, &arena, why, sizeof why, &message);
      assert_int_equal(code, TETHER_RESOURCE_EXHAUSTED);
      assert_ptr_equal(message, first);
      assert_true(arena.used_bytes <= cap);
      assert_int_equal(arena.cap_bytes, cap);
      assert_non_null(strstr(why, "no memory to unpack"));
      tth_arena_fini(&arena);
      failures++;
    }
    wire_fini(&w);
  }
  print_message("%zu failures\n", failures);
  assert_true(failures > 1000);
}

static void what_a_message_takes_is_bounded_apart_from_the_arena(void **state) {
  (void)state;
  wire w = {0};
  for (int i = 0; i < 50; i++) wire_bytes(&w, 2, "some text of thirty-two letters.", 32);
  const ProtobufCMessageDescriptor *type = &untrusted__v1__inner__descriptor;
  char why[100];
  size_t needed;
  assert_int_equal(tth_validate(type, w.bytes, w.len, SIZE_MAX, why, sizeof why, &needed), TETHER_OK);
  tth_arena arena;
  tth_arena_init(&arena, NULL, 0, SIZE_MAX);
  ProtobufCMessage *messages[3];
  for (int i = 0; i < 3; i++) {
    assert_int_equal(tth_unpack(type, w.bytes, w.len, needed, &arena, why, sizeof why, &messages[i]), TETHER_OK);
    assert_int_equal(tth_unpack(type, w.bytes, w.len, needed - 1, &arena, why, sizeof why, &messages[i]),
                     TETHER_RESOURCE_EXHAUSTED);
  }
  for (int i = 0; i < 3; i++) {
    Untrusted__V1__Inner *inner = (Untrusted__V1__Inner *)messages[i];
    assert_int_equal(inner->n_names, 50);
    assert_string_equal(inner->names[49], "some text of thirty-two letters.");
  }
  tth_arena_fini(&arena);
  wire_fini(&w);
}

static void what_protobuf_c_cannot_merge_is_internal(void **state) {
  (void)state;
  unpack_outcome outcome = check(&untrusted__v1__eithers__descriptor, (const uint8_t *)"\x0a\x00\x0a\x00", 4);
  assert_int_equal(outcome.code, TETHER_INTERNAL);
  assert_string_equal(outcome.why, "protobuf-c cannot represent the message (4 bytes)");
  outcome = check(&untrusted__v1__eithers__descriptor, (const uint8_t *)"\x0a\x02\x08\x01\x0a\x00", 6);
  assert_int_equal(outcome.code, TETHER_OK);
}

/* That memory was refused once says nothing about the next message. */
static void a_refusal_is_forgotten(void **state) {
  (void)state;
  char why[100];
  tth_arena arena;
  ProtobufCMessage *message;
  tth_arena_init(&arena, NULL, 0, 100);
  assert_null(tth_arena_alloc(&arena, 101));
  arena.cap_bytes = SIZE_MAX;
  tether_code code = tth_unpack(&untrusted__v1__eithers__descriptor, (const uint8_t *)"\x0a\x00\x0a\x00", 4, SIZE_MAX,
                                &arena, why, sizeof why, &message);
  assert_int_equal(code, TETHER_INTERNAL);
  tth_arena_fini(&arena);
}

/* protobuf-c makes room for a bool per byte, however many bytes each takes. */
static void packed_bools_take_room_for_every_byte(void **state) {
  (void)state;
  wire bools = {0}, w = {0};
  for (int i = 0; i < 1000; i++) wire_raw(&bools, "\x81\x80\x00", 3);
  wire_bytes(&w, 33, bools.bytes, bools.len);
  assert_int_equal(check(&untrusted__v1__rich__descriptor, w.bytes, w.len).code, TETHER_OK);
  wire_fini(&bools);
  wire_fini(&w);
}

/* Merging copies arrays, and the copies are counted. */
static void merges_fit_the_memory_computed(void **state) {
  (void)state;
  wire inner = {0}, w = {0};
  for (int i = 0; i < 20; i++) wire_bytes(&inner, 2, "name", 4);
  for (int i = 0; i < 20; i++) wire_number(&inner, 1, 300);
  wire nested = {0};
  wire_raw(&nested, inner.bytes, inner.len);
  for (int i = 0; i < 4; i++) wire_bytes(&nested, 3, inner.bytes, inner.len);
  for (int i = 0; i < 4; i++) wire_bytes(&w, 1, nested.bytes, nested.len);
  unpack_outcome outcome = check(&untrusted__v1__outer__descriptor, w.bytes, w.len);
  assert_int_equal(outcome.code, TETHER_OK);
  size_t used = unpack_smallest_arena(&untrusted__v1__outer__descriptor, w.bytes, w.len, outcome.unpacked_bytes);
  print_message("memory computed / used: %.3f\n", (double)outcome.unpacked_bytes / (double)used);
  assert_true(outcome.unpacked_bytes < 3 * used);
  wire_fini(&inner);
  wire_fini(&nested);
  wire_fini(&w);
}

/* The deepest message allowed, on a stack of 256 KiB. */
static void *unpack_deepest(void *data) {
  wire w = {0};
  for (unsigned i = 0; i < TTH_VALIDATE_DEPTH; i++) {
    wire inner = w;
    w = (wire){0};
    wire_bytes(&w, 1, inner.bytes, inner.len);
    wire_fini(&inner);
  }
  char why[100];
  tth_arena arena;
  ProtobufCMessage *message;
  tth_arena_init(&arena, NULL, 0, SIZE_MAX);
  *(tether_code *)data =
      tth_unpack(&untrusted__v1__node__descriptor, w.bytes, w.len, SIZE_MAX, &arena, why, sizeof why, &message);
  tth_arena_fini(&arena);
  wire_fini(&w);
  return NULL;
}

static void the_deepest_message_fits_a_small_stack(void **state) {
  (void)state;
  pthread_attr_t attributes;
  pthread_t thread;
  tether_code code = TETHER_UNKNOWN;
  assert_int_equal(pthread_attr_init(&attributes), 0);
  assert_int_equal(pthread_attr_setstacksize(&attributes, 256 * 1024), 0);
  assert_int_equal(pthread_create(&thread, &attributes, unpack_deepest, &code), 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
  pthread_attr_destroy(&attributes);
  assert_int_equal(code, TETHER_OK);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_messages_are_those_of_protobuf_c),
      cmocka_unit_test(every_truncation_is_harmless),
      cmocka_unit_test(every_mutation_of_a_byte_is_harmless),
      cmocka_unit_test(running_out_of_memory_anywhere_is_resource_exhausted),
      cmocka_unit_test(what_a_message_takes_is_bounded_apart_from_the_arena),
      cmocka_unit_test(what_protobuf_c_cannot_merge_is_internal),
      cmocka_unit_test(a_refusal_is_forgotten),
      cmocka_unit_test(packed_bools_take_room_for_every_byte),
      cmocka_unit_test(merges_fit_the_memory_computed),
      cmocka_unit_test(the_deepest_message_fits_a_small_stack),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
