/* SP framing: splitting bytes into messages, and what the buffer costs. */
#include "rpc/sp.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#define MAX ((size_t)1024 * 1024)

/* Reads `len` bytes the way a socket would: as much as there is space for. Returns how many were taken. */
static size_t feed(tth_sp_reader *reader, const uint8_t *bytes, size_t len) {
  uint8_t *space;
  size_t room;
  if (!tth_sp_reader_space(reader, &space, &room)) return 0;
  size_t part = len < room ? len : room;
  memcpy(space, bytes, part);
  tth_sp_reader_filled(reader, part);
  return part;
}

/* A message of `len` bytes with its header; the caller's. */
static uint8_t *message_new(bool ipc, size_t len, size_t *total) {
  uint8_t *bytes = calloc(1, len + TTH_SP_HEADER_MAX);
  size_t header = tth_sp_header_put(bytes, ipc, len);
  memset(bytes + header, 0x5a, len);
  *total = header + len;
  return bytes;
}

static void headers_are_big_endian_and_led_by_a_one_on_ipc(void **state) {
  static const uint8_t tcp[] = {0, 0, 0, 0, 1, 2, 3, 4}, ipc[] = {1, 0, 0, 0, 0, 1, 2, 3, 4};
  uint8_t header[TTH_SP_HEADER_MAX];
  (void)state;
  assert_int_equal(tth_sp_header_put(header, false, 0x1020304), sizeof tcp);
  assert_memory_equal(header, tcp, sizeof tcp);
  assert_int_equal(tth_sp_header_put(header, true, 0x1020304), sizeof ipc);
  assert_memory_equal(header, ipc, sizeof ipc);
}

/* Every message size around the edges, cut at every kind of place. */
static void any_cut_gives_the_same_messages(void **state) {
  static const size_t sizes[] = {1, 7, 8, 9, 8183, 8184, 8185, 8192, 70000, MAX};
  (void)state;
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    for (size_t cut = 1; cut <= 20000; cut = cut * 3 + 1) {
      tth_sp_reader reader;
      const uint8_t *message;
      uint64_t len;
      size_t total, at = 0, messages = 0;
      uint8_t *bytes = message_new(i % 2, sizes[i], &total);
      tth_sp_reader_init(&reader, i % 2);
      if (total / cut > 20000) cut = total / 20000;
      while (at < total) {
        at += feed(&reader, bytes + at, total - at < cut ? total - at : cut);
        while (tth_sp_reader_next(&reader, MAX, &message, &len) == TTH_SP_MESSAGE) {
          messages++;
          assert_int_equal(len, sizes[i]);
          assert_memory_equal(message, bytes + total - len, len);
        }
      }
      assert_int_equal(messages, 1);
      tth_sp_reader_fini(&reader);
      free(bytes);
    }
  }
}

static void a_length_above_the_limit_allocates_nothing(void **state) {
  static const uint8_t absurd[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  tth_sp_reader reader;
  const uint8_t *message;
  uint64_t len;
  (void)state;
  tth_sp_reader_init(&reader, false);
  assert_int_equal(feed(&reader, absurd, sizeof absurd), sizeof absurd);
  assert_int_equal(tth_sp_reader_next(&reader, MAX, &message, &len), TTH_SP_TOO_LARGE);
  assert_true(len == UINT64_MAX);
  assert_true(reader.cap <= 16 * 1024);
  tth_sp_reader_fini(&reader);
}

/* The promise of 16 KiB per idle connection: one burst must not be kept for ever. */
static void the_buffer_of_a_large_message_is_given_back(void **state) {
  tth_sp_reader reader;
  const uint8_t *message;
  uint64_t len;
  size_t total, at = 0;
  uint8_t *large = message_new(false, MAX, &total);
  (void)state;
  tth_sp_reader_init(&reader, false);
  while (at < total) {
    at += feed(&reader, large + at, total - at);
    if (at < total) assert_int_equal(tth_sp_reader_next(&reader, MAX, &message, &len), TTH_SP_MORE);
  }
  assert_int_equal(tth_sp_reader_next(&reader, MAX, &message, &len), TTH_SP_MESSAGE);
  assert_true(reader.cap >= total);
  free(large);
  uint8_t *small = message_new(false, 10, &total);
  for (int i = 0; i < 500; i++) {
    assert_int_equal(feed(&reader, small, total), total);
    assert_int_equal(tth_sp_reader_next(&reader, MAX, &message, &len), TTH_SP_MESSAGE);
    assert_int_equal(tth_sp_reader_next(&reader, MAX, &message, &len), TTH_SP_MORE);
  }
  assert_true(reader.cap <= 16 * 1024);
  free(small);
  tth_sp_reader_fini(&reader);
}

/* Messages of one large size do not make the buffer anew each time. */
static void a_stream_of_large_messages_keeps_its_buffer(void **state) {
  tth_sp_reader reader;
  const uint8_t *message, *buf = NULL;
  uint64_t len;
  (void)state;
  tth_sp_reader_init(&reader, false);
  for (int i = 0; i < 50; i++) {
    size_t total, at = 0;
    uint8_t *large = message_new(false, 500000 + (size_t)i, &total);
    while (at < total) {
      at += feed(&reader, large + at, total - at);
      if (at < total) assert_int_equal(tth_sp_reader_next(&reader, MAX, &message, &len), TTH_SP_MORE);
    }
    assert_int_equal(tth_sp_reader_next(&reader, MAX, &message, &len), TTH_SP_MESSAGE);
    if (i > 0) assert_ptr_equal(buf, reader.buf);
    buf = reader.buf;
    free(large);
  }
  tth_sp_reader_fini(&reader);
}

static void strangers_are_told_apart(void **state) {
  static const struct {
    const char *bytes;
    size_t len;
    const char *text;
  } cases[] = {
      {"", 0, "sent nothing"},
      {"GET / HT", 8, "looks like HTTP"},
      {"POST", 4, "looks like HTTP"},
      {"HTTP/1.1", 8, "looks like HTTP"},
      {"\x16\x03\x01\x02", 4, "looks like TLS"},
      {"\0SP\0\0\x30\0\0", 8, "speaks another SP protocol or version"},
      {"\0SP\0\0\x10", 6, "incomplete greeting"},
      {"SSH-2.0-", 8, "unknown protocol"},
      {"GO", 2, "unknown protocol"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_string_equal(tth_sp_describe((const uint8_t *)cases[i].bytes, cases[i].len), cases[i].text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(headers_are_big_endian_and_led_by_a_one_on_ipc),
      cmocka_unit_test(any_cut_gives_the_same_messages),
      cmocka_unit_test(a_length_above_the_limit_allocates_nothing),
      cmocka_unit_test(the_buffer_of_a_large_message_is_given_back),
      cmocka_unit_test(a_stream_of_large_messages_keeps_its_buffer),
      cmocka_unit_test(strangers_are_told_apart),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
