/* Runs a fuzz target on every file of the folders given: what fuzzing found once is a test ever after. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

static void run(const char *folder, const char *name) {
  char path[1024];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END) != 0) {
    perror(path);
    exit(1);
  }
  long size = ftell(file);
  rewind(file);
  uint8_t *input = malloc(size > 0 ? (size_t)size : 1); /* exactly, so that AddressSanitizer sees a byte too far */
  if (size < 0 || !input || fread(input, 1, (size_t)size, file) != (size_t)size) {
    perror(path);
    exit(1);
  }
  fclose(file);
  LLVMFuzzerTestOneInput(input, (size_t)size);
  free(input);
}

int main(int argc, char **argv) {
  unsigned files = 0;
  for (int i = 1; i < argc; i++) {
    DIR *folder = opendir(argv[i]);
    if (!folder) {
      perror(argv[i]);
      return 1;
    }
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
      if (entry->d_name[0] == '.') continue;
      run(argv[i], entry->d_name);
      files++;
    }
    closedir(folder);
  }
  printf("%u inputs\n", files);
  return files == 0;
}
