#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"

/* Makes room for `more` bytes and the NUL. */
static void reserve(struct tth_text *text, size_t more) {
  size_t need = text->len + more + 1;
  if (need <= text->capacity) return;
  size_t capacity = text->capacity ? text->capacity * 2 : 256;
  if (capacity < need) capacity = need;
  text->data = tth_realloc(text->data, capacity);
  text->capacity = capacity;
}

void tth_text_add(struct tth_text *text, const char *bytes, size_t len) {
  reserve(text, len);
  if (len > 0) memcpy(text->data + text->len, bytes, len);
  text->len += len;
  text->data[text->len] = '\0';
}

void tth_text_puts(struct tth_text *text, const char *string) { tth_text_add(text, string, strlen(string)); }

void tth_text_vprintf(struct tth_text *text, const char *format, va_list args) {
  va_list again;
  va_copy(again, args);
  int len = vsnprintf(NULL, 0, format, args);
  reserve(text, (size_t)len);
  vsnprintf(text->data + text->len, (size_t)len + 1, format, again);
  text->len += (size_t)len;
  va_end(again);
}

void tth_text_printf(struct tth_text *text, const char *format, ...) {
  va_list args;
  va_start(args, format);
  tth_text_vprintf(text, format, args);
  va_end(args);
}

void tth_text_fini(struct tth_text *text) {
  free(text->data);
  *text = (struct tth_text){0};
}
