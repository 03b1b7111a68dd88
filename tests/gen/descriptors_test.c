/* The descriptors in generated sources are those that protoc itself writes into a descriptor set, byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "google/protobuf/descriptor.pb-c.h"
#include "no_service.tether.h"
#include "shop/cart/v2/cart.tether.h"
#include "shop/cart/v2/types.tether.h"
#include "streaming.tether.h"
#include "wire.h"

/* What protoc wrote for all files here and their imports. */
static uint8_t *set;
static size_t set_len;

static int read_set(void **state) {
  FILE *file = fopen(GEN_SET, "rb");
  (void)state;
  if (file == NULL) return -1;
  set = malloc(1 << 20);
  set_len = fread(set, 1, 1 << 20, file);
  fclose(file);
  return set_len > 1000 ? 0 : -1;
}

static int free_set(void **state) {
  (void)state;
  free(set);
  return 0;
}

static bool is_named(const struct tth_wire_field *descriptor, const char *name) {
  struct tth_wire wire = {descriptor->data, descriptor->data + descriptor->len};
  struct tth_wire_field field;
  while (tth_wire_next(&wire, &field))
    if (field.number == 1) return field.len == strlen(name) && memcmp(field.data, name, field.len) == 0;
  return false;
}

static void expect_as_protoc_writes_it(const tether_file *file) {
  struct tth_wire wire = {set, set + set_len};
  struct tth_wire_field descriptor;
  while (tth_wire_next(&wire, &descriptor) && !is_named(&descriptor, file->name)) continue;
  if (!is_named(&descriptor, file->name)) fail_msg("protoc knows no %s", file->name);
  assert_int_equal(file->size, descriptor.len);
  assert_memory_equal(file->descriptor, descriptor.data, descriptor.len);
}

static void a_files_own_descriptor_is_what_protoc_writes(void **state) {
  const tether_file *const files[] = {&tether_file_streaming_2eproto, &tether_file_no_5fservice_2eproto,
                                      &tether_file_shop_2fcart_2fv2_2fcart_2eproto,
                                      &tether_file_shop_2fcart_2fv2_2ftypes_2eproto};
  (void)state;
  for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) expect_as_protoc_writes_it(files[i]);
}

static const tether_file *import_of(const tether_file *file, const char *name) {
  for (size_t i = 0; file->imports && file->imports[i]; i++)
    if (strcmp(file->imports[i]->name, name) == 0) return file->imports[i];
  return NULL;
}

static void imports_come_along_the_indirect_ones_too(void **state) {
  const tether_file *file = &tether_file_shop_2fcart_2fv2_2fcart_2eproto;
  (void)state;
  size_t count = 0;
  for (; file->imports[count]; count++) expect_as_protoc_writes_it(file->imports[count]);
  assert_true(count >= 2);
  assert_non_null(import_of(file, "shop/cart/v2/types.proto"));
  assert_null(tether_file_no_5fservice_2eproto.imports);
}

/* Every import of every file is there or is one of the three that libtether-reflection has. */
static void only_what_defines_options_is_left_out(void **state) {
  const tether_file *const files[] = {&tether_file_streaming_2eproto, &tether_file_shop_2fcart_2fv2_2fcart_2eproto};
  (void)state;
  for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
    Google__Protobuf__FileDescriptorProto *proto =
        google__protobuf__file_descriptor_proto__unpack(NULL, files[i]->size, files[i]->descriptor);
    assert_non_null(proto);
    for (size_t j = 0; j < proto->n_dependency; j++) {
      const char *name = proto->dependency[j];
      bool options = strcmp(name, "tether/options.proto") == 0 || strcmp(name, "protobuf-c/protobuf-c.proto") == 0;
      assert_true(options == (import_of(files[i], name) == NULL));
    }
    google__protobuf__file_descriptor_proto__free_unpacked(proto, NULL);
  }
}

static void methods_know_their_file(void **state) {
  (void)state;
  assert_ptr_equal(demo_streaming_counter_twice_method.file, &tether_file_streaming_2eproto);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_files_own_descriptor_is_what_protoc_writes),
      cmocka_unit_test(imports_come_along_the_indirect_ones_too),
      cmocka_unit_test(only_what_defines_options_is_left_out),
      cmocka_unit_test(methods_know_their_file),
  };
  return cmocka_run_group_tests(tests, read_set, free_set);
}
