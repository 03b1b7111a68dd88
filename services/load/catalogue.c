/* load/catalogue.c: the input is paragraphs separated by empty lines, each made of `Field: value` lines; a line that
 * begins with a space or tab continues the field before it. Of each paragraph four fields are kept, first lines only.
 *
 * Failure modes: a line that is no field, a NUL byte (compressed or binary input), a paragraph without a Package
 * field, a read error. All stop the load: a catalogue that is wrong in one place cannot be trusted in others. */
#include "load/catalogue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { NAME, VERSION, SECTION, SUMMARY, FIELDS };
static const char *const field_names[FIELDS] = {"Package", "Version", "Section", "Description"};

struct catalogue {
  FILE *file;
  const char *source;
  char *line; /* getline's */
  size_t capacity;
  long line_number;
  char *values[FIELDS]; /* of the paragraph being read; NULL: not seen */
  char error[512];
};

catalogue *catalogue_open(FILE *file, const char *source) {
  catalogue *c = calloc(1, sizeof *c);
  if (!c) return NULL;
  c->file = file;
  c->source = source;
  return c;
}

static void forget_values(catalogue *c) {
  for (int i = 0; i < FIELDS; i++) {
    free(c->values[i]);
    c->values[i] = NULL;
  }
}

void catalogue_close(catalogue *c) {
  if (!c) return;
  forget_values(c);
  free(c->line);
  free(c);
}

const char *catalogue_error(const catalogue *c) { return c->error; }

/* Length of the UTF-8 character at `p`, 0 if it is not one. */
static size_t utf8_length(const unsigned char *p) {
  if (p[0] < 0x80) return 1;
  size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
  if (p[0] < 0xc2 || p[0] > 0xf4) return 0;
  for (size_t i = 1; i < len; i++)
    if ((p[i] & 0xc0) != 0x80) return 0;
  if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f)) return 0; /* overlong; surrogate */
  if ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f)) return 0; /* overlong; beyond Unicode */
  return len;
}

/* Old third-party packages describe themselves in Latin-1; a '?' is better than no catalogue. */
static void make_utf8(char *text) {
  for (unsigned char *p = (unsigned char *)text; *p;) {
    size_t len = utf8_length(p);
    if (len == 0) *p = '?';
    p += len ? len : 1;
  }
}

static tether_code keep_field(catalogue *c, size_t name_len) {
  for (int i = 0; i < FIELDS; i++) {
    if (strlen(field_names[i]) != name_len || strncasecmp(c->line, field_names[i], name_len) != 0) continue;
    const char *value = c->line + name_len + 1;
    value += strspn(value, " \t");
    char *copy = strdup(value);
    if (!copy) {
      snprintf(c->error, sizeof c->error, "out of memory");
      return TETHER_RESOURCE_EXHAUSTED;
    }
    make_utf8(copy);
    free(c->values[i]);
    c->values[i] = copy;
  }
  return TETHER_OK;
}

static tether_code bad_input(catalogue *c, const char *what) {
  char start[61];
  snprintf(start, sizeof start, "%.60s", c->line);
  for (char *p = start; *p; p++)
    if (*p < ' ' || *p > '~') *p = '?';
  snprintf(c->error, sizeof c->error,
           "%s:%ld: %s: '%s'\nGive an uncompressed Packages file, dpkg's status file, or the output of "
           "'apt-cache dumpavail'.",
           c->source, c->line_number, what, start);
  return TETHER_INVALID_ARGUMENT;
}

static tether_code take_line(catalogue *c, size_t len) {
  if (strlen(c->line) != len) return bad_input(c, "a NUL byte in the line; is the file compressed?");
  if (c->line[0] == ' ' || c->line[0] == '\t') return TETHER_OK; /* continues a field */
  size_t name_len = strcspn(c->line, ": \t");
  if (name_len == 0 || c->line[name_len] != ':') return bad_input(c, "expected 'Field: value', found");
  return keep_field(c, name_len);
}

/* Reads one line without its end. False at the end of the input or on an error. */
static bool read_line(catalogue *c, size_t *len) {
  errno = 0;
  ssize_t n = getline(&c->line, &c->capacity, c->file);
  if (n < 0) return false;
  c->line_number++;
  while (n > 0 && (c->line[n - 1] == '\n' || c->line[n - 1] == '\r')) c->line[--n] = '\0';
  *len = (size_t)n;
  return true;
}

static bool any_value(const catalogue *c) {
  for (int i = 0; i < FIELDS; i++)
    if (c->values[i]) return true;
  return false;
}

/* An empty line, or the end of the input, ends a paragraph. */
static tether_code end_paragraph(catalogue *c, catalogue_package *package) {
  const char *text[FIELDS];
  if (!c->values[NAME] || !*c->values[NAME]) {
    snprintf(c->error, sizeof c->error,
             "%s:%ld: the paragraph that ends here has no 'Package:' field.\nIs this a catalogue of packages?",
             c->source, c->line_number);
    return TETHER_INVALID_ARGUMENT;
  }
  for (int i = 0; i < FIELDS; i++) text[i] = c->values[i] ? c->values[i] : "";
  *package = (catalogue_package){
      .name = text[NAME], .version = text[VERSION], .section = text[SECTION], .summary = text[SUMMARY]};
  return TETHER_OK;
}

tether_code catalogue_next(catalogue *c, catalogue_package *package) {
  size_t len;
  forget_values(c);
  while (read_line(c, &len)) {
    if (len == 0) {
      if (any_value(c)) return end_paragraph(c, package);
      continue;
    }
    tether_code code = take_line(c, len);
    if (code != TETHER_OK) return code;
  }
  if (ferror(c->file)) {
    snprintf(c->error, sizeof c->error, "%s:%ld: cannot read on: %s", c->source, c->line_number, strerror(errno));
    return TETHER_UNAVAILABLE;
  }
  return any_value(c) ? end_paragraph(c, package) : TETHER_OUT_OF_RANGE;
}
