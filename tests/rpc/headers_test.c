/* HEADERS and TRAILERS by hand against protobuf-c: the same bytes out, and what is read is what protobuf-c reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rpc/headers.h"
#include "rpc/metadata.h"
#include "rpc/unpack.h"

#include <stdlib.h>
#include <string.h>

typedef Tether__V1__Headers headers_t;

static headers_t fresh(void) { return (headers_t)TETHER__V1__HEADERS__INIT; }

/* What is not read by hand is given to tth_unpack, with the same arena. */
static const headers_t *read_either(const uint8_t *bytes, size_t len, tth_arena *arena, tth_headers *hand,
                                    bool *by_hand) {
  ProtobufCMessage *message = NULL;
  char why[160];
  *by_hand = tth_headers_read(bytes, len, arena, hand);
  if (*by_hand) return &hand->base;
  return tth_unpack(&tether__v1__headers__descriptor, bytes, len, 1 << 20, arena, why, sizeof why, &message) ==
                 TETHER_OK
             ? (const headers_t *)message
             : NULL;
}

/* Packs with protobuf-c, so that two messages can be compared. */
static size_t pack(const headers_t *headers, uint8_t *to, size_t size) {
  size_t len = tether__v1__headers__get_packed_size(headers);
  assert_true(len <= size);
  return tether__v1__headers__pack(headers, to);
}

static void assert_written_alike(const headers_t *headers) {
  static uint8_t theirs[200000], ours[200000];
  size_t len = pack(headers, theirs, sizeof theirs);
  assert_int_equal(tth_headers_size(headers), len);
  memset(ours, 0xaa, sizeof ours);
  assert_int_equal(tth_headers_put(headers, ours), len);
  assert_memory_equal(ours, theirs, len);
  assert_int_equal(ours[len], 0xaa);
}

/* ---- Messages ------------------------------------------------------------------------------ */

typedef struct random_headers {
  headers_t base;
  Tether__V1__Entry entries[40], *pointers[40];
  char texts[64][300];
  size_t used;
} random_headers;

static unsigned below(unsigned *random, unsigned n) {
  *random = *random * 1664525 + 1013904223;
  return (*random >> 8) % n;
}

static char *random_text(random_headers *r, unsigned *random, unsigned longest) {
  char *text = r->texts[r->used++ % 64];
  unsigned len = below(random, longest);
  for (unsigned i = 0; i < len; i++) text[i] = (char)('a' + below(random, 26));
  text[len] = 0;
  return text;
}

static void make_random(random_headers *r, unsigned *random) {
  r->base = fresh();
  r->used = 0;
  unsigned count = below(random, 4) ? below(random, 5) : below(random, 40), own = below(random, count + 1);
  r->base.has_timeout_ns = below(random, 2);
  r->base.timeout_ns = (int64_t)((uint64_t)below(random, 1 << 24) << below(random, 40)) - below(random, 100);
  r->base.has_sent_at_ns = below(random, 2);
  r->base.sent_at_ns = below(random, 2) ? INT64_MIN : below(random, 1 << 24);
  if (below(random, 4)) r->base.method = random_text(r, random, 60);
  for (unsigned i = 0; i < count; i++) {
    tether__v1__entry__init(&r->entries[i]);
    r->entries[i].key = random_text(r, random, 20);
    r->entries[i].value.data = (uint8_t *)random_text(r, random, below(random, 3) ? 40 : 300);
    r->entries[i].value.len = strlen((char *)r->entries[i].value.data);
    r->pointers[i] = &r->entries[i];
  }
  r->base.n_metadata = own;
  r->base.metadata = r->pointers;
  r->base.n_forwarded = count - own;
  r->base.forwarded = r->pointers + own;
  if (below(random, 2)) r->base.traceparent = random_text(r, random, 56);
  if (below(random, 4) == 0) r->base.tracestate = random_text(r, random, 200);
  if (below(random, 4) == 0) r->base.baggage = random_text(r, random, 200);
  r->base.has_explain = below(random, 2);
  r->base.explain = below(random, 2);
  r->base.has_explain_wait_ns = r->base.has_explain && below(random, 2);
  r->base.explain_wait_ns = below(random, 1 << 30);
  r->base.has_detach_ns = below(random, 4) == 0;
  r->base.detach_ns = (int64_t)below(random, 1 << 24) << below(random, 40);
}

/* ---- Tests --------------------------------------------------------------------------------- */

static void headers_are_written_as_protobuf_c_writes_them(void **state) {
  (void)state;
  random_headers *r = test_malloc(sizeof *r);
  headers_t empty = fresh();
  assert_written_alike(&empty);
  for (unsigned seed = 1; seed <= 3000; seed++) {
    unsigned random = seed;
    make_random(r, &random);
    assert_written_alike(&r->base);
  }
  r->base = fresh();
  r->base.has_detach_ns = true;
  r->base.detach_ns = -1;
  assert_written_alike(&r->base);
  test_free(r);
}

static void headers_that_are_read_by_hand_are_what_protobuf_c_reads(void **state) {
  (void)state;
  random_headers *r = test_malloc(sizeof *r);
  static uint8_t sent[40000], got[40000];
  unsigned by_hand_count = 0;
  for (unsigned seed = 1; seed <= 3000; seed++) {
    unsigned random = seed;
    char memory[700];
    tth_arena arena;
    tth_headers hand;
    bool by_hand;
    make_random(r, &random);
    size_t len = pack(&r->base, sent, sizeof sent);
    uint8_t *exact = malloc(len ? len : 1); /* nothing behind it may be read */
    memcpy(exact, sent, len);
    tth_arena_init(&arena, memory, sizeof memory, SIZE_MAX);
    const headers_t *headers = read_either(exact, len, &arena, &hand, &by_hand);
    assert_memory_equal(exact, sent, len);
    free(exact);
    assert_non_null(headers);
    assert_int_equal(pack(headers, got, sizeof got), len);
    assert_memory_equal(got, sent, len);
    for (size_t i = 0; by_hand && i < headers->n_metadata; i++)
      assert_int_equal(headers->metadata[i]->value.data[headers->metadata[i]->value.len], 0);
    by_hand_count += by_hand;
    tth_arena_fini(&arena);
  }
  assert_true(by_hand_count > 1000);
  test_free(r);
}

/* Bytes of any kind: never more is read by hand than protobuf-c and the validator accept, and never otherwise. */
static void damaged_headers_are_read_alike_or_left_to_protobuf_c(void **state) {
  (void)state;
  random_headers *r = test_malloc(sizeof *r);
  static uint8_t sent[40000], ours[40000], theirs[40000];
  unsigned by_hand = 0;
  for (unsigned seed = 1; seed <= 30000; seed++) {
    unsigned random = seed;
    make_random(r, &random);
    if (r->base.n_metadata + r->base.n_forwarded > 5) continue;
    size_t len = pack(&r->base, sent, sizeof sent);
    for (unsigned i = below(&random, 4); len && i > 0; i--) sent[below(&random, (unsigned)len)] = (uint8_t)random;
    if (below(&random, 3) == 0) len = below(&random, (unsigned)len + 1);
    tth_arena arena;
    tth_headers hand;
    char why[160];
    ProtobufCMessage *message;
    tth_arena_init(&arena, NULL, 0, SIZE_MAX);
    if (tth_headers_read(sent, len, &arena, &hand)) {
      by_hand++;
      assert_int_equal(
          tth_unpack(&tether__v1__headers__descriptor, sent, len, 1 << 20, &arena, why, sizeof why, &message),
          TETHER_OK);
      size_t ours_len = pack(&hand.base, ours, sizeof ours);
      assert_int_equal(pack((const headers_t *)message, theirs, sizeof theirs), ours_len);
      assert_memory_equal(ours, theirs, ours_len);
    }
    tth_arena_fini(&arena);
  }
  assert_true(by_hand > 3000);
  test_free(r);
}

static bool reads(const char *bytes, size_t len) {
  tth_arena arena;
  tth_headers hand;
  tth_arena_init(&arena, NULL, 0, SIZE_MAX);
  bool read = tth_headers_read((const uint8_t *)bytes, len, &arena, &hand);
  tth_arena_fini(&arena);
  return read;
}

#define READS(bytes) reads(bytes, sizeof(bytes) - 1)

static void what_tether_does_not_write_is_left_to_protobuf_c(void **state) {
  (void)state;
  assert_true(READS(""));
  assert_true(READS("\x1a\x01m"));
  assert_true(READS("\x22\x06\x0a\x01k\x12\x01v"));
  assert_false(READS("\x1a\x01m\x1a\x01n"));                 /* a field twice */
  assert_false(READS("\x1a\x02m"));                          /* cut off */
  assert_false(READS("\x1a"));                               /* a length is missing */
  assert_false(READS("\x1a\x81"));                           /* half of one */
  assert_false(READS("\x1a\x81\x80\x00m"));                  /* one of three bytes */
  assert_false(READS("\x1a\x01\xff"));                       /* not UTF-8 */
  assert_false(READS("\x1a\x01\x00"));                       /* NUL in a text */
  assert_false(READS("\x09\x00\x00\x00\x00\x00\x00\x00"));   /* a short fixed64 */
  assert_false(READS("\x22\x03\x0a\x01k"));                  /* no value */
  assert_false(READS("\x22\x06\x12\x01v\x0a\x01k"));         /* the value first */
  assert_false(READS("\x22\x08\x0a\x01k\x12\x01v\x18\x01")); /* something behind it */
  assert_false(READS("\x22\x00"));                           /* an empty entry */
  assert_false(READS("\x48\x02"));                           /* true, oddly */
  assert_false(READS("\x48"));
  assert_false(READS("\x58\x01")); /* an unknown field */
  assert_false(READS("\x18\x01")); /* another wire type */
}

static void trailers_with_a_code_alone_are_read_and_written_by_hand(void **state) {
  (void)state;
  Tether__V1__Trailers trailers = TETHER__V1__TRAILERS__INIT;
  uint8_t theirs[16], ours[16];
  for (uint32_t code = 0; code <= TETHER_UNAUTHENTICATED; code++) {
    Tether__V1__Trailers got;
    trailers.code = code;
    assert_int_equal(tether__v1__trailers__pack(&trailers, theirs), TTH_TRAILERS_PLAIN);
    tth_trailers_put_plain(ours, code);
    assert_memory_equal(ours, theirs, TTH_TRAILERS_PLAIN);
    assert_true(tth_trailers_read(theirs, TTH_TRAILERS_PLAIN, &got));
    assert_int_equal(got.code, code);
    assert_int_equal(tether__v1__trailers__get_packed_size(&got), TTH_TRAILERS_PLAIN);
  }
  Tether__V1__Trailers got;
  assert_false(tth_trailers_read((const uint8_t *)"", 0, &got));
  assert_false(tth_trailers_read((const uint8_t *)"\x08", 1, &got));
  assert_false(tth_trailers_read((const uint8_t *)"\x08\x80", 2, &got));
  assert_false(tth_trailers_read((const uint8_t *)"\x10\x01", 2, &got));
  assert_false(tth_trailers_read((const uint8_t *)"\x08\x01\x12\x00", 4, &got));
}

static void a_received_list_is_the_same_as_a_copied_one(void **state) {
  (void)state;
  char memory[1000], keys[][16] = {"Plain", "x-bin", "host", "", "bad key"},
                     values[][8] = {"v", "\x01\x02", "h", "e", "b"};
  Tether__V1__Entry entries[5], *pointers[5];
  tth_arena arena;
  for (int i = 0; i < 5; i++) {
    tether__v1__entry__init(&entries[i]);
    entries[i].key = keys[i];
    entries[i].value = (ProtobufCBinaryData){.data = (uint8_t *)values[i], .len = strlen(values[i])};
    pointers[i] = &entries[i];
  }
  tether_metadata *copied = tether_metadata_new();
  assert_int_equal(tth_metadata_from_entries(copied, 5, pointers), TETHER_OK);
  tth_arena_init(&arena, memory, sizeof memory, SIZE_MAX);
  tether_metadata *received = tth_metadata_received(&arena, 5, pointers);
  assert_non_null(received);
  assert_int_equal(tether_metadata_count(received), 2);
  assert_int_equal(tether_metadata_count(copied), 2);
  for (size_t i = 0; i < 2; i++) {
    tether_metadata_entry a = tether_metadata_at(copied, i), b = tether_metadata_at(received, i);
    assert_string_equal(a.key, b.key);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.value, b.value, a.len + 1);
  }
  assert_string_equal(tether_metadata_get(received, "PLAIN", NULL), "v");
  tether_metadata_free(received);
  tether_metadata_free(copied);
  tth_arena_fini(&arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(headers_are_written_as_protobuf_c_writes_them),
      cmocka_unit_test(headers_that_are_read_by_hand_are_what_protobuf_c_reads),
      cmocka_unit_test(damaged_headers_are_read_alike_or_left_to_protobuf_c),
      cmocka_unit_test(what_tether_does_not_write_is_left_to_protobuf_c),
      cmocka_unit_test(trailers_with_a_code_alone_are_read_and_written_by_hand),
      cmocka_unit_test(a_received_list_is_the_same_as_a_copied_one),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
