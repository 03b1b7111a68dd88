/* Messages made to exhaust stack, memory or time, each with what it does to protobuf-c on its own (1.4.1, 4 MiB
 * unless said otherwise). All run with a server's default limits: 4 MiB received, unfolding into at most 16 MiB. */
#include "rpc/unpack.h"

// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <string.h>
#include <sys/resource.h>

#include "rpc/validate.h"
#include "tests/rpc/wire.h"
#include "untrusted.pb-c.h"

#define MIB ((size_t)1024 * 1024)
#define RECEIVED (4 * MIB)
#define UNPACKED (16 * MIB)

static size_t resident_kib(void) {
  struct rusage usage;
  assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
  return (size_t)usage.ru_maxrss;
}

/* Repeats one piece until the message has `size` bytes, or nearly. */
static wire repeat(const char *piece, size_t len, size_t size) {
  wire w = {0};
  while (w.len + len <= size) wire_raw(&w, piece, len);
  return w;
}
#define REPEAT(piece, size) repeat(piece, sizeof(piece) - 1, size)

/* Unpacks and releases the message; the code must be `code`. A message that is refused takes nothing at all, one that
 * is accepted at most 16 MiB. Either way the time spent is proportional to the bytes: at most `steps` for each. */
static void expect(tether_code code, const char *reason, const ProtobufCMessageDescriptor *type, wire w, size_t steps) {
  char why[200] = "";
  tth_validate_cost cost;
  tth_arena arena;
  ProtobufCMessage *message = NULL;
  size_t before_kib = resident_kib();
  tth_arena_init(&arena, NULL, 0, SIZE_MAX);
  tether_code validated = tth_validate_counted(type, w.bytes, w.len, UNPACKED, why, sizeof why, &cost);
  tether_code unpacked = tth_unpack(type, w.bytes, w.len, UNPACKED, &arena, why, sizeof why, &message);
  size_t used = arena.used_bytes, grown_kib = resident_kib() - before_kib;
  tth_arena_fini(&arena);
  print_message("%zu bytes: %s%s%s; %zu steps, %zu bytes used, resident memory grew by %zu KiB\n", w.len,
                tether_code_name(unpacked), *why ? ": " : "", why, cost.steps, used, grown_kib);
  assert_int_equal(validated, code);
  assert_int_equal(unpacked, code);
  if (code == TETHER_OK) {
    assert_true(used <= cost.unpacked_bytes && cost.unpacked_bytes <= UNPACKED);
  } else {
    assert_int_equal(strncmp(why, reason, strlen(reason)), 0);
    assert_int_equal(used, 0);
    assert_true(grown_kib < 1024);
  }
  assert_true(cost.steps <= steps * w.len);
  wire_fini(&w);
}

/* Overflows a stack of 8 MiB. The length of a message is not known before what is in it, so it is built backwards. */
static void thirty_kib_nested_nine_thousand_deep(void **state) {
  (void)state;
  enum { SIZE = 64 * 1024 };
  static uint8_t back[SIZE];
  size_t at = SIZE;
  for (int i = 0; i < 9000; i++) {
    wire head = {0};
    wire_tag(&head, 1, 2);
    wire_varint(&head, SIZE - at);
    at -= head.len;
    memcpy(back + at, head.bytes, head.len);
    wire_fini(&head);
  }
  wire w = {0};
  wire_raw(&w, back + at, SIZE - at);
  assert_in_range(w.len, 25000, 40000);
  expect(TETHER_INTERNAL, "nested too deep", &untrusted__v1__node__descriptor, w, 1);
}

/* 470 MB, 2.1 million allocations. */
static void empty_recursive_messages(void **state) {
  (void)state;
  expect(TETHER_RESOURCE_EXHAUSTED, "unpacked message too large", &untrusted__v1__node__descriptor,
         REPEAT("\x12\x00", RECEIVED), 4);
  expect(TETHER_OK, "", &untrusted__v1__node__descriptor, REPEAT("\x12\x00", RECEIVED / 40), 4);
}

/* 200 MB. */
static void empty_messages(void **state) {
  (void)state;
  expect(TETHER_RESOURCE_EXHAUSTED, "unpacked message too large", &untrusted__v1__empties__descriptor,
         REPEAT("\x0a\x00", RECEIVED), 4);
  expect(TETHER_OK, "", &untrusted__v1__empties__descriptor, REPEAT("\x0a\x00", RECEIVED / 40), 4);
}

/* 180 MB. */
static void unknown_fields(void **state) {
  (void)state;
  expect(TETHER_RESOURCE_EXHAUSTED, "unpacked message too large", &untrusted__v1__empties__descriptor,
         REPEAT("\x78\x00", RECEIVED), 4);
  expect(TETHER_OK, "", &untrusted__v1__empties__descriptor, REPEAT("\x78\x00", RECEIVED / 40), 4);
}

/* Eight and four times the bytes. */
static void packed_numbers(void **state) {
  (void)state;
  for (int fits = 0; fits <= 1; fits++) {
    wire zeros = REPEAT("\0", fits ? UNPACKED / 8 - 4096 : RECEIVED - 8), w = {0};
    wire_bytes(&w, 27, zeros.bytes, zeros.len);
    expect(fits ? TETHER_OK : TETHER_RESOURCE_EXHAUSTED, "unpacked message too large", &untrusted__v1__rich__descriptor,
           w, 3);
    wire_fini(&zeros);
    zeros = REPEAT("\0", fits ? UNPACKED / 4 - 4096 : RECEIVED);
    w = (wire){0};
    wire_bytes(&w, 33, zeros.bytes, zeros.len);
    expect(fits ? TETHER_OK : TETHER_RESOURCE_EXHAUSTED, "unpacked message too large", &untrusted__v1__rich__descriptor,
           w, 3);
    wire_fini(&zeros);
  }
}

/* 31 s for these 1.6 MB. */
static void merges_of_a_growing_array(void **state) {
  (void)state;
  expect(TETHER_INTERNAL, "singular message repeated too often", &untrusted__v1__outer__descriptor,
         REPEAT("\x0a\x02\x08\x01", 1600000), 1);
  /* As many merges as are allowed, as large as allowed. */
  wire numbers = REPEAT("\x08\x01", 1600000 / (TTH_VALIDATE_MERGES + 1) / 40), w = {0};
  for (int i = 0; i <= TTH_VALIDATE_MERGES; i++) wire_bytes(&w, 1, numbers.bytes, numbers.len);
  expect(TETHER_OK, "", &untrusted__v1__outer__descriptor, w, 4);
  wire_fini(&numbers);
}

/* The same inside one another: merging would visit every level again for each. */
static void merges_inside_merges(void **state) {
  (void)state;
  wire w = {0};
  for (int depth = 0; depth < 14; depth++) {
    wire inner = w;
    w = (wire){0};
    wire_bytes(&w, 3, inner.bytes, inner.len);
    wire_bytes(&w, 3, inner.bytes, inner.len);
    wire_fini(&inner);
  }
  expect(TETHER_INTERNAL, "singular message repeated too often", &untrusted__v1__inner__descriptor, w, 1);
}

/* Replacing a oneof's message again and again takes memory for each. */
static void messages_of_a_oneof_replaced(void **state) {
  (void)state;
  wire rich = {0};
  wire_bytes(&rich, 1011, "", 0);
  wire w = repeat((const char *)rich.bytes, rich.len, RECEIVED);
  expect(TETHER_RESOURCE_EXHAUSTED, "unpacked message too large", &untrusted__v1__rich__descriptor, w, 20);
  w = repeat((const char *)rich.bytes, rich.len, 60000);
  expect(TETHER_OK, "", &untrusted__v1__rich__descriptor, w, 40);
  wire_fini(&rich);
}

/* A map's entries are messages, a key need not be unique, and protobuf-c keeps all of them. */
static void map_entries(void **state) {
  (void)state;
  wire entry = {0};
  wire_bytes(&entry, 2001, "", 0);
  wire w = repeat((const char *)entry.bytes, entry.len, RECEIVED);
  expect(TETHER_RESOURCE_EXHAUSTED, "unpacked message too large", &untrusted__v1__rich__descriptor, w, 10);
  wire_fini(&entry);
}

/* The cost of opening a message with many fields counts. */
static void empty_messages_of_a_wide_type(void **state) {
  (void)state;
  wire wide = {0};
  wire_bytes(&wide, 301, "", 0);
  wire w = repeat((const char *)wide.bytes, wide.len, RECEIVED);
  expect(TETHER_RESOURCE_EXHAUSTED, "unpacked message too large", &untrusted__v1__wide__descriptor, w, 40);
  wire_fini(&wide);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(thirty_kib_nested_nine_thousand_deep),
      cmocka_unit_test(empty_recursive_messages),
      cmocka_unit_test(empty_messages),
      cmocka_unit_test(unknown_fields),
      cmocka_unit_test(packed_numbers),
      cmocka_unit_test(merges_of_a_growing_array),
      cmocka_unit_test(merges_inside_merges),
      cmocka_unit_test(messages_of_a_oneof_replaced),
      cmocka_unit_test(map_entries),
      cmocka_unit_test(empty_messages_of_a_wide_type),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
