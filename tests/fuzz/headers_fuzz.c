/* HEADERS and TRAILERS read and written by hand: the same message, and the same bytes, as protobuf-c has. */
#include <stdlib.h>
#include <string.h>

#include "rpc/headers.h"
#include "rpc/metadata.h"
#include "rpc/unpack.h"
#include "tests/fuzz/fuzz.h"

static tether_code unpack(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t len, tth_arena *arena,
                          ProtobufCMessage **message) {
  char why[100];
  return tth_unpack(type, bytes, len, 1 << 20, arena, why, sizeof why, message);
}

static uint8_t *pack(const ProtobufCMessage *message, size_t *len) {
  *len = protobuf_c_message_get_packed_size(message);
  uint8_t *bytes = malloc(*len + 1);
  if (!bytes) abort();
  FUZZ_CHECK(protobuf_c_message_pack(message, bytes) == *len);
  return bytes;
}

/* ---- Reading ------------------------------------------------------------------------------- */

/* As a program sees it, whichever way the entries were read. */
static void check_metadata(tth_arena *arena, const Tether__V1__Headers *hand, const Tether__V1__Headers *theirs) {
  tether_metadata *list = tether_metadata_new(),
                  *received = tth_metadata_received(arena, hand->n_metadata, hand->metadata);
  FUZZ_CHECK(list && tth_metadata_from_entries(list, theirs->n_metadata, theirs->metadata) == TETHER_OK);
  FUZZ_CHECK(received && tether_metadata_count(received) == tether_metadata_count(list));
  for (size_t i = 0; i < tether_metadata_count(list); i++) {
    tether_metadata_entry a = tether_metadata_at(list, i), b = tether_metadata_at(received, i);
    FUZZ_CHECK(strcmp(a.key, b.key) == 0 && a.len == b.len && memcmp(a.value, b.value, a.len + 1) == 0);
  }
  FUZZ_CHECK(tether_metadata_size(list) == tether_metadata_size(received));
  tether_metadata_free(received);
  tether_metadata_free(list);
}

static void check_reading(const uint8_t *input, size_t size, const Tether__V1__Headers *theirs) {
  tth_arena arena;
  tth_headers headers;
  tth_arena_init(&arena, NULL, 0, SIZE_MAX);
  if (tth_headers_read(input, size, &arena, &headers)) {
    size_t len, their_len;
    FUZZ_CHECK(theirs);
    uint8_t *bytes = pack(&headers.base.base, &len), *their_bytes = pack(&theirs->base, &their_len);
    FUZZ_CHECK(len == their_len && memcmp(bytes, their_bytes, len) == 0);
    for (size_t i = 0; i < headers.base.n_metadata; i++) {
      const ProtobufCBinaryData *value = &headers.base.metadata[i]->value;
      FUZZ_CHECK(value->data[value->len] == 0);
    }
    check_metadata(&arena, &headers.base, theirs);
    free(bytes);
    free(their_bytes);
  }
  tth_arena_fini(&arena);
}

static void check_trailers(const uint8_t *input, size_t size) {
  Tether__V1__Trailers trailers;
  tth_arena arena;
  ProtobufCMessage *theirs;
  if (!tth_trailers_read(input, size, &trailers)) return;
  uint8_t bytes[TTH_TRAILERS_PLAIN];
  tth_arena_init(&arena, NULL, 0, SIZE_MAX);
  FUZZ_CHECK(unpack(&tether__v1__trailers__descriptor, input, size, &arena, &theirs) == TETHER_OK);
  FUZZ_CHECK(((const Tether__V1__Trailers *)theirs)->code == trailers.code);
  tth_trailers_put_plain(bytes, trailers.code);
  FUZZ_CHECK(tether__v1__trailers__get_packed_size(&trailers) == size && memcmp(bytes, input, size) == 0);
  tth_arena_fini(&arena);
}

/* ---- Writing ------------------------------------------------------------------------------- */

static void check_writing(const Tether__V1__Headers *headers) {
  Tether__V1__Headers known = *headers; /* the fields there are: nobody writes others */
  known.base.n_unknown_fields = 0;
  for (size_t i = 0; i < headers->n_metadata; i++) headers->metadata[i]->base.n_unknown_fields = 0;
  for (size_t i = 0; i < headers->n_forwarded; i++) headers->forwarded[i]->base.n_unknown_fields = 0;
  size_t len, size = tth_headers_size(&known);
  uint8_t *their_bytes = pack(&known.base, &len), *bytes = malloc(size + 1);
  if (!bytes) abort();
  FUZZ_CHECK(size == len && tth_headers_put(&known, bytes) == len && memcmp(bytes, their_bytes, len) == 0);
  free(bytes);
  free(their_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
  tth_arena arena;
  ProtobufCMessage *message;
  tth_arena_init(&arena, NULL, 0, SIZE_MAX);
  bool known = unpack(&tether__v1__headers__descriptor, input, size, &arena, &message) == TETHER_OK;
  check_reading(input, size, known ? (const Tether__V1__Headers *)message : NULL);
  if (known) check_writing((const Tether__V1__Headers *)message);
  tth_arena_fini(&arena);
  check_trailers(input, size);
  return 0;
}
