/* gRPC's rules for metadata: keys, kinds of values, reserved names, order, sizes; and what a receiver makes of the
 * wire's entries. */
#include "rpc/metadata.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int setup(void **state) {
  *state = tether_metadata_new();
  return *state ? 0 : -1;
}

static int teardown(void **state) {
  tether_metadata_free(*state);
  return 0;
}

static void assert_refused(tether_metadata *list, const char *key, const char *value) {
  size_t count = tether_metadata_count(list), size = tether_metadata_size(list);
  if (tether_metadata_add(list, key, value) != TETHER_INVALID_ARGUMENT)
    fail_msg("\"%s\": \"%s\" was taken", key, value);
  assert_int_equal(tether_metadata_count(list), count);
  assert_int_equal(tether_metadata_size(list), size);
}

static void keys_are_lower_cased_and_found_in_any_case(void **state) {
  tether_metadata *list = *state;
  size_t len = 0;
  assert_int_equal(tether_metadata_add(list, "X-Request.Id_9", "v"), TETHER_OK);
  assert_string_equal(tether_metadata_at(list, 0).key, "x-request.id_9");
  assert_string_equal(tether_metadata_get(list, "x-REQUEST.id_9", &len), "v");
  assert_int_equal(len, 1);
  assert_null(tether_metadata_get(list, "x-request.id", NULL));
  assert_null(tether_metadata_get(list, "", NULL));
  assert_null(tether_metadata_get(list, NULL, NULL));
}

static void keys_of_other_characters_are_refused(void **state) {
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
  tether_metadata *list = *state;
  size_t taken = 0;
  for (int c = 1; c < 256; c++) {
    char key[] = {'k', (char)c, 0};
    if (strchr(allowed, c))
      assert_int_equal(tether_metadata_add(list, key, ""), TETHER_OK), taken++;
    else
      assert_refused(list, key, "");
  }
  assert_int_equal(taken, sizeof allowed - 1);
  assert_refused(list, "", "v");
  assert_refused(list, NULL, "v");
  assert_refused(list, "key", NULL);
  assert_refused(list, ":path", "v");
  assert_int_equal(tether_metadata_add(NULL, "key", "v"), TETHER_INVALID_ARGUMENT);
}

static void a_key_may_have_255_bytes(void **state) {
  tether_metadata *list = *state;
  char key[257];
  memset(key, 'k', sizeof key);
  key[256] = 0;
  assert_refused(list, key, "v");
  key[255] = 0;
  assert_int_equal(tether_metadata_add(list, key, "v"), TETHER_OK);
  assert_string_equal(tether_metadata_get(list, key, NULL), "v");
}

static void text_values_are_printable_ascii_and_may_be_empty(void **state) {
  tether_metadata *list = *state;
  for (int c = 1; c < 256; c++) {
    char value[] = {'v', (char)c, 0};
    if (c >= 0x20 && c <= 0x7e)
      assert_int_equal(tether_metadata_add(list, "k", value), TETHER_OK);
    else
      assert_refused(list, "k", value);
  }
  assert_int_equal(tether_metadata_count(list), 0x7f - 0x20);
  assert_int_equal(tether_metadata_add(list, "empty", ""), TETHER_OK);
  assert_string_equal(tether_metadata_get(list, "empty", NULL), "");
}

static void keys_in_bin_take_bytes_and_others_text_alone(void **state) {
  tether_metadata *list = *state;
  static const char *const binary[] = {"x-bin", "X-BIN", "-bin", "a.b-Bin"};
  uint8_t bytes[256];
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)i;
  for (size_t i = 0; i < sizeof binary / sizeof *binary; i++) {
    assert_refused(list, binary[i], "text");
    assert_int_equal(tether_metadata_add_bin(list, binary[i], bytes, sizeof bytes), TETHER_OK);
    tether_metadata_entry entry = tether_metadata_at(list, i);
    assert_int_equal(entry.len, sizeof bytes);
    assert_memory_equal(entry.value, bytes, sizeof bytes);
    assert_int_equal(entry.value[entry.len], 0);
  }
  assert_int_equal(tether_metadata_add_bin(list, "x-bin", NULL, 0), TETHER_OK);
  assert_int_equal(tether_metadata_add_bin(list, "x-bin", NULL, 1), TETHER_INVALID_ARGUMENT);
  assert_int_equal(tether_metadata_add_bin(list, "x-bi", bytes, 1), TETHER_INVALID_ARGUMENT);
  assert_int_equal(tether_metadata_add_bin(list, "bin", bytes, 1), TETHER_INVALID_ARGUMENT);
}

static void names_the_library_owns_are_refused_in_any_case(void **state) {
  static const char *const reserved[] = {"content-type", "te",           "user-agent",        "host",
                                         "connection",   "grpc-timeout", "grpc-encoding",     "grpc-accept-encoding",
                                         "grpc-message", "grpc-status",  "grpc-message-type", "Content-Type",
                                         "TE",           "Grpc-Timeout"};
  static const char *const reserved_binary[] = {"grpc-status-details-bin", "grpc-tags-bin", "grpc-trace-bin",
                                                "GRPC-TRACE-BIN"};
  tether_metadata *list = *state;
  for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++) assert_refused(list, reserved[i], "v");
  for (size_t i = 0; i < sizeof reserved_binary / sizeof *reserved_binary; i++)
    assert_int_equal(tether_metadata_add_bin(list, reserved_binary[i], "v", 1), TETHER_INVALID_ARGUMENT);
  /* Names near them are anybody's. */
  assert_int_equal(tether_metadata_add(list, "grpc-foo", "v"), TETHER_OK);
  assert_int_equal(tether_metadata_add(list, "hosts", "v"), TETHER_OK);
}

static void a_key_may_come_again_and_keeps_its_order(void **state) {
  tether_metadata *list = *state;
  for (int i = 0; i < 100; i++) {
    char value[8];
    snprintf(value, sizeof value, "%d", i);
    assert_int_equal(tether_metadata_add(list, i % 2 ? "odd" : "even", value), TETHER_OK);
  }
  assert_int_equal(tether_metadata_count(list), 100);
  for (size_t i = 0; i < 100; i++) {
    char value[8];
    snprintf(value, sizeof value, "%zu", i);
    assert_string_equal(tether_metadata_at(list, i).value, value);
    assert_string_equal(tether_metadata_at(list, i).key, i % 2 ? "odd" : "even");
  }
  assert_string_equal(tether_metadata_get(list, "odd", NULL), "1");
}

static void the_size_is_name_and_value_and_32_each(void **state) {
  tether_metadata *list = *state;
  assert_int_equal(tether_metadata_size(list), 0);
  assert_int_equal(tether_metadata_add(list, "key", "value"), TETHER_OK);
  assert_int_equal(tether_metadata_size(list), 3 + 5 + 32);
  assert_int_equal(tether_metadata_add_bin(list, "k-bin", "\0\0", 2), TETHER_OK);
  assert_int_equal(tether_metadata_size(list), 40 + 5 + 2 + 32);
}

static void no_list_is_an_empty_list(void **state) {
  (void)state;
  assert_int_equal(tether_metadata_count(NULL), 0);
  assert_int_equal(tether_metadata_size(NULL), 0);
  assert_null(tether_metadata_get(NULL, "key", NULL));
  tether_metadata_free(NULL);
}

/* ---- The wire ------------------------------------------------------------------------------ */

static void what_a_list_shows_the_wire_comes_back_the_same(void **state) {
  tether_metadata *back = tether_metadata_new();
  Tether__V1__Entry entries[2], *pointers[2] = {&entries[0], &entries[1]};
  assert_int_equal(tether_metadata_add(*state, "A", "1"), TETHER_OK);
  assert_int_equal(tether_metadata_add_bin(*state, "b-bin", "\0\xff", 2), TETHER_OK);
  tth_metadata_view(*state, entries);
  assert_int_equal(tth_entries_size(2, pointers), tether_metadata_size(*state));
  assert_int_equal(tth_metadata_from_entries(back, 2, pointers), TETHER_OK);
  assert_int_equal(tether_metadata_count(back), 2);
  assert_int_equal(tether_metadata_size(back), tether_metadata_size(*state));
  assert_string_equal(tether_metadata_get(back, "a", NULL), "1");
  assert_memory_equal(tether_metadata_get(back, "b-bin", NULL), "\0\xff", 3);
  tether_metadata_free(back);
}

/* A receiver must not fail over what another sender thought legal. */
static void received_entries_with_keys_no_sender_may_use_are_skipped(void **state) {
  static const char *const keys[] = {"good", "", ":path", "te", "gr\xc3\xbc\xc3\x9f", "with space", "Upper"};
  enum { N = sizeof keys / sizeof *keys };
  Tether__V1__Entry entries[N], *pointers[N];
  for (size_t i = 0; i < N; i++) {
    tether__v1__entry__init(&entries[i]);
    entries[i].key = (char *)keys[i];
    entries[i].value = (ProtobufCBinaryData){.data = (uint8_t *)"v\n", .len = 2};
    pointers[i] = &entries[i];
  }
  assert_int_equal(tth_metadata_from_entries(*state, N, pointers), TETHER_OK);
  assert_int_equal(tether_metadata_count(*state), 2);
  assert_string_equal(tether_metadata_get(*state, "good", NULL), "v\n");
  assert_string_equal(tether_metadata_get(*state, "upper", NULL), "v\n");
}

static void a_handler_adds_bytes_or_text_as_the_key_says(void **state) {
  assert_int_equal(tth_metadata_add_any(*state, "k-bin", "\0\n", 2), TETHER_OK);
  assert_int_equal(tth_metadata_add_any(*state, "k", "text", 4), TETHER_OK);
  assert_int_equal(tth_metadata_add_any(*state, "k", "te\nxt", 5), TETHER_INVALID_ARGUMENT);
  assert_int_equal(tth_metadata_add_any(*state, "k", "te\0xt", 5), TETHER_INVALID_ARGUMENT);
  assert_int_equal(tth_metadata_add_any(*state, "k", NULL, 1), TETHER_INVALID_ARGUMENT);
  assert_int_equal(tth_metadata_add_any(*state, "te", "text", 4), TETHER_INVALID_ARGUMENT);
  assert_int_equal(tether_metadata_count(*state), 2);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(keys_are_lower_cased_and_found_in_any_case),
      CASE(keys_of_other_characters_are_refused),
      CASE(a_key_may_have_255_bytes),
      CASE(text_values_are_printable_ascii_and_may_be_empty),
      CASE(keys_in_bin_take_bytes_and_others_text_alone),
      CASE(names_the_library_owns_are_refused_in_any_case),
      CASE(a_key_may_come_again_and_keeps_its_order),
      CASE(the_size_is_name_and_value_and_32_each),
      CASE(no_list_is_an_empty_list),
      CASE(what_a_list_shows_the_wire_comes_back_the_same),
      CASE(received_entries_with_keys_no_sender_may_use_are_skipped),
      CASE(a_handler_adds_bytes_or_text_as_the_key_says),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
