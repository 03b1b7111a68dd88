/* modules/reflection/index.h: the files a server can show, and what is where in them. Built once, read by any thread.
 */
#ifndef MODULES_REFLECTION_INDEX_H
#define MODULES_REFLECTION_INDEX_H

#include <tether/rpc.h>

/* A file with the places, in the index, of what it imports directly. */
typedef struct tth_reflected_file {
  const tether_file *file;
  size_t *imports;
  size_t import_count;
} tth_reflected_file;

/* Anything with a name: "package.Message.field". */
typedef struct tth_reflected_symbol {
  char *name;
  size_t file;
} tth_reflected_symbol;

typedef struct tth_reflected_extension {
  char *type; /* what is extended */
  int32_t number;
  size_t file;
} tth_reflected_extension;

typedef struct tth_reflection_index {
  tth_reflected_file *files;
  size_t file_count;
  tth_reflected_symbol *symbols; /* sorted by name */
  size_t symbol_count;
  tth_reflected_extension *extensions; /* sorted by type, then number */
  size_t extension_count;
} tth_reflection_index;

/* Adds a file and all it imports; one whose name is there already is not added again. false: no memory, or a descriptor
 * that is none. */
TETHER_MUST_USE bool tth_reflection_index_add(tth_reflection_index *index, const tether_file *file);

/* To be called when everything is added: sorts, and finds what each file imports. */
TETHER_MUST_USE bool tth_reflection_index_finish(tth_reflection_index *index);
void tth_reflection_index_fini(tth_reflection_index *index);

/* SIZE_MAX: there is none. */
size_t tth_reflection_index_file(const tth_reflection_index *index, const char *name);
size_t tth_reflection_index_symbol_file(const tth_reflection_index *index, const char *name);

/* The extensions of a type: `*count` of them, in the order of their numbers. */
const tth_reflected_extension *tth_reflection_index_extensions(const tth_reflection_index *index, const char *type,
                                                               size_t *count);

#endif
