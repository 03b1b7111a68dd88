/* emit_layout.c: comments and line filling. */
#include <string.h>

#include "emit.h"

enum { COLUMNS = 120 };

/* Bytes of a direction control (U+202A..202E, U+2066..2069) at `at`; else 0. Compilers warn of them, and rightly:
 * they can make code read as something else. */
static size_t direction_control(const char *at, size_t left) {
  const unsigned char *c = (const unsigned char *)at;
  if (left < 3 || c[0] != 0xe2) return 0;
  bool embedding = c[1] == 0x80 && c[2] >= 0xaa && c[2] <= 0xae;
  bool isolate = c[1] == 0x81 && c[2] >= 0xa6 && c[2] <= 0xa9;
  return embedding || isolate ? 3 : 0;
}

/* One line of a comment. Broken up: the two comment marks, and the trigraph that would join lines. */
static void comment_line(struct tth_text *out, const char *line, size_t len) {
  for (size_t i = 0; i < len; i++) {
    size_t skipped = direction_control(line + i, len - i);
    if (skipped > 0) {
      tth_text_puts(out, "?");
      i += skipped - 1;
      continue;
    }
    bool control = ((unsigned char)line[i] < ' ' && line[i] != '\t') || line[i] == '\x7f';
    tth_text_add(out, control ? " " : line + i, 1);
    if (i + 1 == len) break;
    bool mark = (line[i] == '*' && line[i + 1] == '/') || (line[i] == '/' && line[i + 1] == '*');
    bool trigraph = line[i] == '?' && line[i + 1] == '/';
    if (mark || trigraph) tth_text_puts(out, " ");
  }
}

static size_t trimmed(const char *line, size_t len) {
  while (len > 0 && strchr(" \t\r\v\f", line[len - 1]) != NULL) len--;
  return len;
}

void tth_emit_comment(struct tth_text *out, const char *indent, const char *comment) {
  if (*comment == '*') comment++; /* the second star of a Javadoc comment */
  while (*comment == '\n') comment++;
  size_t end = strlen(comment);
  while (end > 0 && strchr(" \t\r\v\f\n", comment[end - 1]) != NULL) end--;
  if (end == 0) return;
  const char *stop = comment + end;
  for (const char *line = comment; line < stop;) {
    const char *newline = memchr(line, '\n', (size_t)(stop - line));
    const char *next = newline ? newline + 1 : stop;
    size_t len = trimmed(line, (size_t)((newline ? newline : stop) - line));
    tth_text_printf(out, "%s%s", indent, line == comment ? "/*" : " *");
    if (len > 0 && *line != ' ') tth_text_puts(out, " ");
    comment_line(out, line, len);
    tth_text_puts(out, newline ? "\n" : " */\n");
    line = next;
  }
}

void tth_emit_call(struct tth_text *out, const char *open, const char *const *arguments, size_t count,
                   const char *close) {
  size_t indent = strlen(open), column = indent;
  tth_text_puts(out, open);
  for (size_t i = 0; i < count; i++) {
    const char *after = i + 1 < count ? "," : close;
    size_t len = strlen(arguments[i]) + strlen(after);
    if (i > 0 && column + 1 + len > COLUMNS) {
      tth_text_printf(out, "\n%*s", (int)indent, "");
      column = indent;
    } else if (i > 0) {
      tth_text_puts(out, " ");
      column++;
    }
    tth_text_printf(out, "%s%s", arguments[i], after);
    column += len;
  }
  tth_text_puts(out, "\n");
}
