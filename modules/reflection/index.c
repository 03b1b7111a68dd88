/* modules/reflection/index.c: descriptors are unpacked one after the other, everything named in them is noted, and they
 * are let go again: what is sent later are the bytes that the generator wrote. Those are trusted; they are part of the
 * program. */
#include "modules/reflection/index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "google/protobuf/descriptor.pb-c.h"

typedef Google__Protobuf__FileDescriptorProto file_proto;
typedef Google__Protobuf__DescriptorProto message_proto;
typedef Google__Protobuf__EnumDescriptorProto enum_proto;
typedef Google__Protobuf__FieldDescriptorProto field_proto;
typedef Google__Protobuf__ServiceDescriptorProto service_proto;

/* ---- Notes --------------------------------------------------------------------------------- */

/* `items` with room for one more: they grow when the count is a power of two. NULL without memory. */
static void *reserve(void *items, size_t count, size_t size) {
  return count & (count - 1) ? items : realloc(items, (count ? 2 * count : 1) * size);
}

/* "scope.name", or "name" where the scope is empty; NULL without memory. */
static char *join(const char *scope, const char *name) {
  size_t len = strlen(scope), size = len + strlen(name) + 2;
  char *joined = malloc(size);
  if (joined) snprintf(joined, size, "%s%s%s", scope, len ? "." : "", name);
  return joined;
}

/* Notes a symbol of the last file; its full name is the index's. NULL: no memory. */
static const char *note(tth_reflection_index *index, const char *scope, const char *name) {
  tth_reflected_symbol *symbols = reserve(index->symbols, index->symbol_count, sizeof *symbols);
  if (!symbols) return NULL;
  index->symbols = symbols;
  char *full = join(scope, name);
  if (full) symbols[index->symbol_count++] = (tth_reflected_symbol){full, index->file_count - 1};
  return full;
}

/* An extension, with the symbol it is. protoc writes names of types with a dot in front. */
static bool note_extension(tth_reflection_index *index, const char *scope, const field_proto *field) {
  if (!note(index, scope, field->name)) return false;
  tth_reflected_extension *extensions = reserve(index->extensions, index->extension_count, sizeof *extensions);
  if (!extensions) return false;
  index->extensions = extensions;
  char *type = strdup(field->extendee + (*field->extendee == '.'));
  if (type)
    extensions[index->extension_count++] = (tth_reflected_extension){type, field->number, index->file_count - 1};
  return type;
}

/* Values of an enum are named in the scope that the enum is in, as in C. */
static bool note_enum(tth_reflection_index *index, const char *scope, const enum_proto *type) {
  bool noted = note(index, scope, type->name);
  for (size_t i = 0; noted && i < type->n_value; i++) noted = note(index, scope, type->value[i]->name);
  return noted;
}

static bool note_message(tth_reflection_index *index, const char *scope, const message_proto *message) {
  const char *name = note(index, scope, message->name);
  bool noted = name;
  for (size_t i = 0; noted && i < message->n_field; i++) noted = note(index, name, message->field[i]->name);
  for (size_t i = 0; noted && i < message->n_oneof_decl; i++) noted = note(index, name, message->oneof_decl[i]->name);
  for (size_t i = 0; noted && i < message->n_enum_type; i++) noted = note_enum(index, name, message->enum_type[i]);
  for (size_t i = 0; noted && i < message->n_extension; i++) noted = note_extension(index, name, message->extension[i]);
  for (size_t i = 0; noted && i < message->n_nested_type; i++)
    noted = note_message(index, name, message->nested_type[i]);
  return noted;
}

static bool note_service(tth_reflection_index *index, const char *scope, const service_proto *service) {
  const char *name = note(index, scope, service->name);
  bool noted = name;
  for (size_t i = 0; noted && i < service->n_method; i++) noted = note(index, name, service->method[i]->name);
  return noted;
}

static bool note_file(tth_reflection_index *index, const file_proto *file) {
  const char *scope = file->package ? file->package : "";
  bool noted = true;
  for (size_t i = 0; noted && i < file->n_message_type; i++) noted = note_message(index, scope, file->message_type[i]);
  for (size_t i = 0; noted && i < file->n_enum_type; i++) noted = note_enum(index, scope, file->enum_type[i]);
  for (size_t i = 0; noted && i < file->n_extension; i++) noted = note_extension(index, scope, file->extension[i]);
  for (size_t i = 0; noted && i < file->n_service; i++) noted = note_service(index, scope, file->service[i]);
  return noted;
}

/* ---- Building ------------------------------------------------------------------------------ */

static bool add_one(tth_reflection_index *index, const tether_file *file) {
  if (tth_reflection_index_file(index, file->name) != SIZE_MAX) return true;
  tth_reflected_file *files = reserve(index->files, index->file_count, sizeof *files);
  if (!files) return false;
  index->files = files;
  file_proto *proto = google__protobuf__file_descriptor_proto__unpack(NULL, file->size, file->descriptor);
  if (!proto) return false;
  files[index->file_count++] = (tth_reflected_file){.file = file};
  bool noted = note_file(index, proto);
  google__protobuf__file_descriptor_proto__free_unpacked(proto, NULL);
  return noted;
}

bool tth_reflection_index_add(tth_reflection_index *index, const tether_file *file) {
  bool added = add_one(index, file);
  for (size_t i = 0; added && file->imports && file->imports[i]; i++) added = add_one(index, file->imports[i]);
  return added;
}

/* An import that is not there is left out: a client that needs it will say so. */
static bool find_imports(const tth_reflection_index *index, tth_reflected_file *reflected) {
  const tether_file *file = reflected->file;
  file_proto *proto = google__protobuf__file_descriptor_proto__unpack(NULL, file->size, file->descriptor);
  if (!proto) return false;
  reflected->imports = calloc(proto->n_dependency + 1, sizeof *reflected->imports);
  for (size_t i = 0; reflected->imports && i < proto->n_dependency; i++) {
    size_t import = tth_reflection_index_file(index, proto->dependency[i]);
    if (import != SIZE_MAX) reflected->imports[reflected->import_count++] = import;
  }
  google__protobuf__file_descriptor_proto__free_unpacked(proto, NULL);
  return reflected->imports;
}

static int compare_symbols(const void *a, const void *b) {
  return strcmp(((const tth_reflected_symbol *)a)->name, ((const tth_reflected_symbol *)b)->name);
}

static int compare_extensions(const void *a, const void *b) {
  const tth_reflected_extension *left = a, *right = b;
  int order = strcmp(left->type, right->type);
  return order ? order : (left->number > right->number) - (left->number < right->number);
}

bool tth_reflection_index_finish(tth_reflection_index *index) {
  for (size_t i = 0; i < index->file_count; i++)
    if (!find_imports(index, &index->files[i])) return false;
  if (index->symbol_count) qsort(index->symbols, index->symbol_count, sizeof *index->symbols, compare_symbols);
  if (index->extension_count)
    qsort(index->extensions, index->extension_count, sizeof *index->extensions, compare_extensions);
  return true;
}

void tth_reflection_index_fini(tth_reflection_index *index) {
  for (size_t i = 0; i < index->file_count; i++) free(index->files[i].imports);
  for (size_t i = 0; i < index->symbol_count; i++) free(index->symbols[i].name);
  for (size_t i = 0; i < index->extension_count; i++) free(index->extensions[i].type);
  free(index->files);
  free(index->symbols);
  free(index->extensions);
  *index = (tth_reflection_index){0};
}

/* ---- Asking -------------------------------------------------------------------------------- */

size_t tth_reflection_index_file(const tth_reflection_index *index, const char *name) {
  for (size_t i = 0; i < index->file_count; i++)
    if (strcmp(index->files[i].file->name, name) == 0) return i;
  return SIZE_MAX;
}

size_t tth_reflection_index_symbol_file(const tth_reflection_index *index, const char *name) {
  const tth_reflected_symbol key = {(char *)name, 0};
  const tth_reflected_symbol *found =
      index->symbol_count ? bsearch(&key, index->symbols, index->symbol_count, sizeof key, compare_symbols) : NULL;
  return found ? found->file : SIZE_MAX;
}

const tth_reflected_extension *tth_reflection_index_extensions(const tth_reflection_index *index, const char *type,
                                                               size_t *count) {
  size_t first = 0, end;
  while (first < index->extension_count && strcmp(index->extensions[first].type, type) != 0) first++;
  for (end = first; end < index->extension_count && strcmp(index->extensions[end].type, type) == 0;) end++;
  *count = end - first;
  return index->extensions + first;
}
