/* text.h: a growing string. Zero is empty. `data` is NUL-terminated once anything was added. */
#ifndef TTH_TEXT_H
#define TTH_TEXT_H

#include <stdarg.h>
#include <stddef.h>

struct tth_text {
  char *data;
  size_t len;
  size_t capacity;
};

void tth_text_add(struct tth_text *text, const char *bytes, size_t len);
void tth_text_puts(struct tth_text *text, const char *string);
void tth_text_printf(struct tth_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tth_text_vprintf(struct tth_text *text, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
void tth_text_fini(struct tth_text *text);

#endif
