/* What the validator refuses and accepts, one rule at a time. tests/rpc/unpack_test.c has the attacks and the
 * comparison with protobuf-c. */
#include "rpc/validate.h"

// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/rpc/wire.h"
#include "untrusted.pb-c.h"
#include "untrusted_proto2.pb-c.h"

#define RICH &untrusted__v1__rich__descriptor
#define INNER &untrusted__v1__inner__descriptor
#define NODE &untrusted__v1__node__descriptor
#define STRICT &untrusted__v2__strict__descriptor
#define PART &untrusted__v2__part__descriptor

static char why[256];

/* Validates a copy that ends where its memory ends, so that AddressSanitizer sees a read too far. */
static tether_code validate(const ProtobufCMessageDescriptor *descriptor, const void *bytes, size_t len) {
  uint8_t *copy = malloc(len ? len : 1);
  size_t unpacked = 0;
  assert_non_null(copy);
  memcpy(copy, bytes, len);
  strcpy(why, "untouched");
  tether_code code = tth_validate(descriptor, len ? copy : NULL, len, SIZE_MAX, why, sizeof why, &unpacked);
  if (code == TETHER_OK) {
    assert_true(unpacked >= descriptor->sizeof_message);
    assert_string_equal(why, "untouched");
  } else {
    assert_int_equal(unpacked, 0);
  }
  free(copy);
  return code;
}

#define BYTES(text) (text), sizeof(text) - 1
#define assert_accepted(descriptor, text) \
  assert_string_equal(validate(descriptor, BYTES(text)) == TETHER_OK ? "accepted" : why, "accepted")
#define assert_refused(descriptor, text, reason)                          \
  do {                                                                    \
    assert_int_equal(validate(descriptor, BYTES(text)), TETHER_INTERNAL); \
    assert_string_equal(why, reason);                                     \
  } while (0)

static void nothing_is_a_message(void **state) {
  (void)state;
  assert_accepted(RICH, "");
  assert_accepted(NODE, "");
}

static void tags(void **state) {
  (void)state;
  assert_refused(INNER, "\x00\x00", "field number 0 at byte 0 of untrusted.v1.Inner");
  assert_refused(INNER, "\x80\x00\x00", "field number 0 at byte 0 of untrusted.v1.Inner");
  assert_refused(INNER, "\x30\x01\x80", "bad tag at byte 2 of untrusted.v1.Inner");
  assert_refused(INNER, "\x80\x80\x80\x80\x80\x00\x00", "bad tag at byte 0 of untrusted.v1.Inner");
  assert_refused(INNER, "\x80\x80\x80\x80\x10\x00", "bad tag at byte 0 of untrusted.v1.Inner"); /* 33 bits */
  assert_accepted(INNER, "\xf8\xff\xff\xff\x0f\x00");                                           /* 2^29 - 1 */
  assert_accepted(INNER, "\xb0\x80\x80\x80\x00\x01");                                           /* 6, padded */
  assert_accepted(RICH, "\xf9\xff\xff\xff\x0f\x01\x02\x03\x04\x05\x06\x07\x08");                /* choice_double */
}

static void groups_and_wire_types_that_do_not_exist(void **state) {
  (void)state;
  assert_refused(INNER, "\x7b\x7c", "group (not supported) at byte 0 of untrusted.v1.Inner.15");
  assert_refused(INNER, "\x7c", "group (not supported) at byte 0 of untrusted.v1.Inner.15");
  assert_refused(INNER, "\x33\x34", "group (not supported) at byte 0 of untrusted.v1.Inner.id");
  assert_refused(INNER, "\x36", "unknown wire type at byte 0 of untrusted.v1.Inner.id");
  assert_refused(INNER, "\x7f\x01", "unknown wire type at byte 0 of untrusted.v1.Inner.15");
}

static void varints(void **state) {
  (void)state;
  assert_refused(INNER, "\x30", "bad varint at byte 0 of untrusted.v1.Inner.id");
  assert_refused(INNER, "\x30\x80", "bad varint at byte 0 of untrusted.v1.Inner.id");
  assert_refused(INNER, "\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
                 "bad varint at byte 0 of untrusted.v1.Inner.id");
  assert_refused(INNER, "\x30\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00",
                 "bad varint at byte 0 of untrusted.v1.Inner.id");
  assert_accepted(INNER, "\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
  assert_accepted(INNER, "\x30\x80\x80\x00"); /* padded */
}

static void values_stay_inside_their_message(void **state) {
  (void)state;
  assert_refused(INNER, "\x22\x05\x01\x02\x03\x04", "value runs over the end at byte 0 of untrusted.v1.Inner.data");
  assert_refused(INNER, "\x22\xff\xff\xff\xff\x07x", "value runs over the end at byte 0 of untrusted.v1.Inner.data");
  assert_refused(INNER, "\x22\x80\x80\x80\x80\x08", "bad length at byte 0 of untrusted.v1.Inner.data"); /* 2 GiB */
  assert_refused(INNER, "\x22\x80\x80\x80\x80\x80\x00", "bad length at byte 0 of untrusted.v1.Inner.data");
  assert_refused(INNER, "\x22", "bad length at byte 0 of untrusted.v1.Inner.data");
  assert_refused(RICH, "\x25\x01\x02\x03", "value runs over the end at byte 0 of untrusted.v1.Rich.a_fixed32");
  assert_refused(RICH, "\x51\x01\x02\x03\x04\x05\x06\x07",
                 "value runs over the end at byte 0 of untrusted.v1.Rich.a_fixed64");
  /* A varint may not go on past the message it is in, though there are bytes. */
  assert_refused(INNER, "\x1a\x02\x30\x80\x01\x30\x01", "bad varint at byte 2 of untrusted.v1.Inner.inner.id");
  assert_refused(INNER, "\x1a\x03\x22\x02xx", "value runs over the end at byte 2 of untrusted.v1.Inner.inner.data");
}

static void known_fields_have_their_wire_type(void **state) {
  (void)state;
  assert_refused(INNER, "\x31\x01\x02\x03\x04\x05\x06\x07\x08", "wrong wire type at byte 0 of untrusted.v1.Inner.id");
  assert_refused(INNER, "\x32\x01\x01", "wrong wire type at byte 0 of untrusted.v1.Inner.id");
  assert_refused(INNER, "\x10\x01", "wrong wire type at byte 0 of untrusted.v1.Inner.names");
  assert_refused(INNER, "\x18\x01", "wrong wire type at byte 0 of untrusted.v1.Inner.inner");
  assert_refused(RICH, "\x6a\x01\x01", "wrong wire type at byte 0 of untrusted.v1.Rich.a_bool");
  assert_refused(INNER, "\x0d\x01\x02\x03\x04", "wrong wire type at byte 0 of untrusted.v1.Inner.numbers");
  assert_accepted(INNER, "\x08\x01\x0a\x02\x02\x03\x08\x04"); /* packed or not, mixed */
  assert_accepted(RICH, "\xca\x02\x02\x01\x02");              /* packed though declared otherwise */
}

static void packed_numbers(void **state) {
  (void)state;
  assert_accepted(INNER, "\x0a\x00");
  assert_refused(INNER, "\x0a\x02\x01\x80", "bad packed varint at byte 0 of untrusted.v1.Inner.numbers");
  assert_refused(INNER, "\x0a\x0b\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00",
                 "bad packed varint at byte 0 of untrusted.v1.Inner.numbers");
  assert_refused(RICH, "\xc2\x01\x05\x01\x02\x03\x04\x05",
                 "packed numbers cut off at byte 0 of untrusted.v1.Rich.fixed32s");
  assert_refused(RICH, "\xf2\x01\x04\x01\x02\x03\x04",
                 "packed numbers cut off at byte 0 of untrusted.v1.Rich.fixed64s");
}

/* At every distance from the start and the end of the 32 bytes looked at together. */
static void check_text(const char *middle, size_t len, const char *reason) {
  static const char plain[] = "seventy plain letters, enough for two of the pieces looked at together.";
  for (size_t before = 0; before < 40; before++)
    for (size_t after = 0; after < 40; after++) {
      wire text = {0}, w = {0};
      wire_raw(&text, plain, before);
      wire_raw(&text, middle, len);
      wire_raw(&text, plain, after);
      wire_bytes(&w, 2, text.bytes, text.len);
      tether_code code = validate(INNER, w.bytes, w.len);
      wire_fini(&text);
      wire_fini(&w);
      assert_int_equal(code, reason ? TETHER_INTERNAL : TETHER_OK);
      if (reason) assert_int_equal(strncmp(why, reason, strlen(reason)), 0);
    }
}

static void strings_are_utf8_without_nul(void **state) {
  (void)state;
  static const char *const good[] = {"",
                                     "a",
                                     "\x7f",
                                     "\xc2\x80",
                                     "\xdf\xbf",
                                     "\xe0\xa0\x80",
                                     "\xed\x9f\xbf",
                                     "\xee\x80\x80",
                                     "\xef\xbf\xbf",
                                     "\xf0\x90\x80\x80",
                                     "\xf4\x8f\xbf\xbf",
                                     "plain \xc3\xa9 and then plain again"};
  static const char *const bad[] = {"\x80",
                                    "\xbf",
                                    "\xc0\x80",
                                    "\xc1\xbf",
                                    "\xc2",
                                    "\xc2\x41",
                                    "\xe0\x9f\xbf",
                                    "\xed\xa0\x80",
                                    "\xed\xbf\xbf",
                                    "\xe1\x80",
                                    "\xe1\x80\xc0",
                                    "\xf0\x8f\xbf\xbf",
                                    "\xf4\x90\x80\x80",
                                    "\xf5\x80\x80\x80",
                                    "\xf1\x80\x80",
                                    "\xf1\x80\x80\x41",
                                    "\xff",
                                    "\xfe"};
  enum { GOOD = sizeof good / sizeof *good, BAD = sizeof bad / sizeof *bad };
  for (size_t i = 0; i < GOOD; i++) check_text(good[i], strlen(good[i]), NULL);
  for (size_t i = 0; i < BAD; i++) check_text(bad[i], strlen(bad[i]), "invalid UTF-8 in a string");
  check_text("", 1, "NUL in a string");
  assert_accepted(INNER, "\x22\x03\x00\xff\x80"); /* bytes may be anything */
  assert_accepted(INNER, "\x7a\x01\xff");         /* so may unknown fields */
}

static void required_fields(void **state) {
  (void)state;
  assert_refused(PART, "", "missing required field at byte 0 of untrusted.v2.Part.id");
  assert_accepted(PART, "\x08\x01");
  assert_refused(PART, "\x08\x01\x12\x00", "missing required field at byte 4 of untrusted.v2.Part.next.id");
  assert_accepted(STRICT, "\x08\x01\x12\x00\x1a\x00\x22\x02\x08\x01"); /* `defaulted` has a default */
  assert_refused(STRICT, "\x08\x01\x1a\x00\x22\x02\x08\x01",
                 "missing required field at byte 8 of untrusted.v2.Strict.name");
}

/* `depth` messages inside the outermost one. */
static void nest(wire *w, uint32_t field, unsigned depth) {
  for (unsigned i = 0; i < depth; i++) {
    wire inner = *w;
    *w = (wire){0};
    wire_bytes(w, field, inner.bytes, inner.len);
    wire_fini(&inner);
  }
}

static void nesting_is_bounded(void **state) {
  (void)state;
  for (uint32_t field = 1; field <= 2; field++) {
    wire w = {0};
    nest(&w, field, TTH_VALIDATE_DEPTH);
    assert_int_equal(validate(NODE, w.bytes, w.len), TETHER_OK);
    nest(&w, field, 1);
    assert_int_equal(validate(NODE, w.bytes, w.len), TETHER_INTERNAL);
    assert_non_null(strstr(why, "nested too deep at byte "));
    assert_non_null(strstr(why, field == 1 ? " of untrusted.v1.Node....child.child.child.child.child.child.child"
                                           : " of untrusted.v1.Node....children.children.children.children"));
    wire_fini(&w);
  }
}

static void merges_are_bounded(void **state) {
  (void)state;
  wire w = {0}, many = {0}, list = {0};
  for (int i = 0; i <= TTH_VALIDATE_MERGES; i++) wire_bytes(&w, 3, "\x30\x01", 2);
  assert_int_equal(validate(INNER, w.bytes, w.len), TETHER_OK);
  wire_raw(&many, w.bytes, w.len);
  wire_bytes(&many, 3, "", 0);
  assert_int_equal(validate(INNER, many.bytes, many.len), TETHER_INTERNAL);
  assert_string_equal(why, "singular message repeated too often at byte 68 of untrusted.v1.Inner.inner");
  /* They count in the message as a whole: two in each of nine entries of a list are too many. */
  many.len = 0;
  for (int i = 0; i < 3; i++) wire_bytes(&many, 3, "", 0);
  for (int i = 0; i < TTH_VALIDATE_MERGES / 2; i++) wire_bytes(&list, 5, many.bytes, many.len);
  assert_int_equal(validate(INNER, list.bytes, list.len), TETHER_OK);
  wire_bytes(&list, 5, many.bytes, many.len);
  assert_int_equal(validate(INNER, list.bytes, list.len), TETHER_INTERNAL);
  wire_fini(&w);
  wire_fini(&many);
  wire_fini(&list);
}

/* A oneof's message replaces the one before, which costs nothing much. */
static void messages_of_a_oneof_are_no_merges(void **state) {
  (void)state;
  wire w = {0};
  for (int i = 0; i < 100; i++) wire_bytes(&w, 1004, "\x30\x01", 2);
  assert_int_equal(validate(RICH, w.bytes, w.len), TETHER_OK);
  wire_fini(&w);
}

static void every_field_number_is_found(void **state) {
  (void)state;
  const ProtobufCMessageDescriptor *all[] = {RICH, INNER, NODE, STRICT, PART, &untrusted__v1__wide__descriptor};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    for (unsigned j = 0; j < all[i]->n_fields; j++)
      for (int off = -1; off <= 1; off++) {
        uint32_t number = all[i]->fields[j].id + (uint32_t)off;
        if (number == 0 || number >= 1u << 29) continue;
        bool known = protobuf_c_message_descriptor_get_field(all[i], number);
        wire w = {0};
        wire_tag(&w, number, 7);
        assert_int_equal(validate(all[i], w.bytes, w.len), TETHER_INTERNAL);
        wire_fini(&w);
        char place[100];
        snprintf(place, sizeof place, "unknown wire type at byte 0 of %s.%u", all[i]->name, number);
        assert_int_equal(strcmp(why, place) != 0, known); /* a known one is named */
        if (known) assert_non_null(strstr(why, protobuf_c_message_descriptor_get_field(all[i], number)->name));
      }
}

static void the_reason_is_cut_to_its_room(void **state) {
  (void)state;
  for (size_t room = 0; room < 80; room++) {
    char *small = malloc(room + 1);
    assert_non_null(small);
    memset(small, '#', room + 1);
    size_t unpacked;
    assert_int_equal(tth_validate(INNER, (const uint8_t *)"\x1a\x02\x30\x80", 4, SIZE_MAX, small, room, &unpacked),
                     TETHER_INTERNAL);
    assert_int_equal(small[room], '#');
    if (room > 0) assert_memory_equal(small, "bad varint at byte 2 of untrusted.v1.Inner.inner.id", strlen(small));
    if (room > 0) assert_true(strlen(small) == room - 1 || room > 51);
    free(small);
  }
}

static void memory_is_bounded_exactly(void **state) {
  (void)state;
  size_t needed, again;
  const uint8_t *bytes = (const uint8_t *)"\x12\x03xyz\x22\x02zz\x7a\x01u";
  assert_int_equal(tth_validate(INNER, bytes, 12, SIZE_MAX, why, sizeof why, &needed), TETHER_OK);
  assert_int_equal(tth_validate(INNER, bytes, 12, needed, why, sizeof why, &again), TETHER_OK);
  assert_int_equal(again, needed);
  assert_int_equal(tth_validate(INNER, bytes, 12, needed - 1, why, sizeof why, &again), TETHER_RESOURCE_EXHAUSTED);
  assert_int_equal(tth_validate(INNER, bytes, 12, 0, why, sizeof why, &again), TETHER_RESOURCE_EXHAUSTED);
  assert_string_equal(why, "unpacked message too large at byte 0 of untrusted.v1.Inner");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nothing_is_a_message),
      cmocka_unit_test(tags),
      cmocka_unit_test(groups_and_wire_types_that_do_not_exist),
      cmocka_unit_test(varints),
      cmocka_unit_test(values_stay_inside_their_message),
      cmocka_unit_test(known_fields_have_their_wire_type),
      cmocka_unit_test(packed_numbers),
      cmocka_unit_test(strings_are_utf8_without_nul),
      cmocka_unit_test(required_fields),
      cmocka_unit_test(nesting_is_bounded),
      cmocka_unit_test(merges_are_bounded),
      cmocka_unit_test(messages_of_a_oneof_are_no_merges),
      cmocka_unit_test(every_field_number_is_found),
      cmocka_unit_test(the_reason_is_cut_to_its_room),
      cmocka_unit_test(memory_is_bounded_exactly),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
