#include "names.h"

#include <string.h>

#include "text.h"

/* The .proto language is ASCII; the C library's classes follow the locale. */
static bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
static bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_word(char c) { return is_upper(c) || is_lower(c) || is_digit(c) || c == '_'; }
static char to_lower(char c) { return is_upper(c) ? (char)(c - 'A' + 'a') : c; }
static char to_upper(char c) { return is_lower(c) ? (char)(c - 'a' + 'A') : c; }

static char *finish(struct tth_arena *arena, struct tth_text *text) {
  char *copy = tth_arena_copy(arena, text->data, text->len);
  tth_text_fini(text);
  return copy;
}

char *tth_name_pbc_type(struct tth_arena *arena, const char *dotted) {
  struct tth_text text = {0};
  bool word_starts = true;
  for (const char *c = dotted; *c; c++) {
    if (*c == '.') {
      /* Empty pieces, as in a c_package "a..b", vanish. */
      if (text.len > 0 && c[1] != '.' && c[1] != '\0') tth_text_puts(&text, "__");
      word_starts = true;
    } else if (*c == '_') {
      word_starts = true;
    } else {
      tth_text_printf(&text, "%c", word_starts ? to_upper(*c) : *c);
      word_starts = false;
    }
  }
  return finish(arena, &text);
}

char *tth_name_pbc_lower(struct tth_arena *arena, const char *dotted) {
  struct tth_text text = {0};
  bool was_upper = true;
  for (const char *c = dotted; *c; c++) {
    if (*c == '.') {
      if (text.len > 0 && c[1] != '.' && c[1] != '\0') tth_text_puts(&text, "__");
      was_upper = true;
    } else {
      if (is_upper(*c) && !was_upper) tth_text_puts(&text, "_");
      tth_text_printf(&text, "%c", to_lower(*c));
      was_upper = is_upper(*c);
    }
  }
  return finish(arena, &text);
}

/* Whether a word of its own starts at `at`: fooBar, foo2Bar, HTTPBar all break before the B. */
static bool breaks_before(const char *start, const char *at) {
  if (at == start || !is_upper(*at)) return false;
  return is_lower(at[-1]) || is_digit(at[-1]) || (is_upper(at[-1]) && is_lower(at[1]));
}

char *tth_name_snake(struct tth_arena *arena, const char *dotted) {
  struct tth_text text = {0};
  bool separate = false;
  for (const char *c = dotted; *c; c++) {
    if (*c == '.' || *c == '_') {
      separate = true;
      continue;
    }
    if ((separate || breaks_before(dotted, c)) && text.len > 0) tth_text_puts(&text, "_");
    tth_text_printf(&text, "%c", to_lower(*c));
    separate = false;
  }
  return finish(arena, &text);
}

bool tth_name_is_reserved(const char *name) {
  /* Lower case only, as converted names are. bool, true, false and errno are macros of headers; linux and unix of
   * GNU C. */
  static const char *const reserved[] = {
      "asm",  "auto",   "bool",   "break",  "case",     "char",   "const", "continue", "default", "do",     "double",
      "else", "enum",   "extern", "false",  "float",    "for",    "goto",  "if",       "inline",  "int",    "linux",
      "long", "return", "short",  "signed", "register", "sizeof", "true",  "restrict", "static",  "struct", "switch",
      "unix", "typeof", "union",  "void",   "typedef",  "while",  "errno", "volatile", "unsigned"};
  for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++) {
    if (strcmp(name, reserved[i]) == 0) return true;
  }
  return false;
}

bool tth_name_is_identifier(const char *name) {
  if (*name == '\0' || is_digit(*name)) return false;
  for (; *name; name++) {
    if (!is_word(*name)) return false;
  }
  return true;
}

bool tth_name_is_dotted(const char *name) {
  bool piece_starts = true;
  for (; *name; name++) {
    if (*name == '.' ? piece_starts : (!is_word(*name) || (piece_starts && is_digit(*name)))) return false;
    piece_starts = *name == '.';
  }
  return !piece_starts;
}

char *tth_name_strip_proto(struct tth_arena *arena, const char *file) {
  static const char *const suffixes[] = {".protodevel", ".proto"};
  size_t len = strlen(file);
  for (size_t i = 0; i < 2; i++) {
    size_t suffix = strlen(suffixes[i]);
    if (len >= suffix && strcmp(file + len - suffix, suffixes[i]) == 0)
      return tth_arena_copy(arena, file, len - suffix);
  }
  return tth_arena_copy(arena, file, len);
}

char *tth_name_file(struct tth_arena *arena, const char *file) {
  struct tth_text text = {0};
  for (const char *c = file; *c; c++) {
    if (*c != '_' && is_word(*c)) {
      tth_text_printf(&text, "%c", *c);
    } else {
      tth_text_printf(&text, "_%02x", (unsigned char)*c);
    }
  }
  return finish(arena, &text);
}
