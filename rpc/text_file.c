#include "rpc/text_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST ((size_t)1024 * 1024)

tether_code tth_text_file_read(const char *path, char **result, char *why, size_t why_size) {
  FILE *file = fopen(path, "re");
  if (!file) {
    snprintf(why, why_size, "%m");
    return TETHER_INVALID_ARGUMENT;
  }
  tether_code code = TETHER_OK;
  char *text = malloc(MOST + 1);
  size_t len = text ? fread(text, 1, MOST + 1, file) : 0;
  if (!text) {
    snprintf(why, why_size, "out of memory");
    code = TETHER_RESOURCE_EXHAUSTED;
  } else if (ferror(file)) {
    snprintf(why, why_size, "%m");
    code = TETHER_INVALID_ARGUMENT;
  } else if (len > MOST || memchr(text, 0, len)) {
    snprintf(why, why_size, "larger than 1 MiB, or not a text");
    code = TETHER_INVALID_ARGUMENT;
  }
  fclose(file);
  char *fitting = code == TETHER_OK ? malloc(len + 1) : NULL;
  if (fitting) {
    memcpy(fitting, text, len);
    fitting[len] = 0;
    *result = fitting;
  } else if (code == TETHER_OK) {
    snprintf(why, why_size, "out of memory");
    code = TETHER_RESOURCE_EXHAUSTED;
  }
  if (text) explicit_bzero(text, len); /* it may be a key or a token */
  free(text);
  return code;
}
