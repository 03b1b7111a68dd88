/* Runs a fuzz target on every file of the folders given: what fuzzing found once is a test ever after. Each file is
 * named before it is run, so that the last name is the one that broke something, and they run in the order of their
 * names: a few need what those before them have left. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

#pragma weak LLVMFuzzerInitialize

static void run(const char *folder, const char *name) {
  char path[1024];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END) != 0) fuzz_fail("%s: cannot be read", path);
  long size = ftell(file);
  rewind(file);
  uint8_t *input = malloc(size > 0 ? (size_t)size : 1); /* exactly, so that AddressSanitizer sees a byte too far */
  if (size < 0 || !input || fread(input, 1, (size_t)size, file) != (size_t)size) fuzz_fail("%s: cannot be read", path);
  fclose(file);
  puts(path);
  fflush(stdout);
  LLVMFuzzerTestOneInput(input, (size_t)size);
  free(input);
}

static int is_input(const struct dirent *entry) { return entry->d_name[0] != '.'; }

int main(int argc, char **argv) {
  unsigned files = 0;
  if (LLVMFuzzerInitialize) LLVMFuzzerInitialize(&argc, &argv);
  for (int i = 1; i < argc; i++) {
    struct dirent **entries;
    int count = scandir(argv[i], &entries, is_input, alphasort);
    if (count < 0) fuzz_fail("%s: cannot be read", argv[i]);
    for (int j = 0; j < count; j++) {
      run(argv[i], entries[j]->d_name);
      files++;
      free(entries[j]);
    }
    free(entries);
  }
  printf("%u inputs\n", files);
  return files == 0;
}
