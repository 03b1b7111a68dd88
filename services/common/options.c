#include "common/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/duration.h"

void svc_usage_error(char **argv, const char *format, ...) {
  va_list args;
  fprintf(stderr, "%s: ", argv[0]);
  va_start(args, format);
  vfprintf(stderr, format, args);
  va_end(args);
  fprintf(stderr, "\nTry '%s --help'.\n", argv[0]);
  exit(SVC_EXIT_USAGE);
}

static void print_help(const svc_option *options, const char *synopsis) {
  printf("usage: %s\n\n", synopsis);
  for (const svc_option *o = options; o->name; o++) {
    char left[64];
    snprintf(left, sizeof left, "--%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
    printf("  %-26s %s\n", left, o->help);
  }
  printf("  %-26s %s\n", "--help", "print this");
}

static const svc_option *find(const svc_option *options, const char *name, size_t len) {
  for (const svc_option *o = options; o->name; o++)
    if (strlen(o->name) == len && memcmp(o->name, name, len) == 0) return o;
  return NULL;
}

static void set_count(const svc_option *o, const char *text, char **argv) {
  char *end;
  long n = strtol(text, &end, 10);
  if (end == text || *end || n < 1 || n > 4096)
    svc_usage_error(argv, "--%s: '%s' is not a number from 1 to 4096", o->name, text);
  *(int *)o->value = (int)n;
}

static void set(const svc_option *o, const char *text, char **argv) {
  svc_list *list = o->value;
  switch (o->kind) {
    case SVC_FLAG:
      *(bool *)o->value = true;
      break;
    case SVC_TEXT:
      *(const char **)o->value = text;
      break;
    case SVC_DURATION:
      if (!svc_duration_parse(text, o->value))
        svc_usage_error(argv, "--%s: '%s' is not a duration such as 200ms or 1.5s", o->name, text);
      break;
    case SVC_COUNT:
      set_count(o, text, argv);
      break;
    case SVC_LIST:
      if (list->count == sizeof list->items / sizeof list->items[0])
        svc_usage_error(argv, "--%s: given more than %zu times", o->name, list->count);
      list->items[list->count++] = text;
      break;
  }
}

int svc_options_parse(const svc_option *options, const char *synopsis, int argc, char **argv) {
  int i = 1;
  for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
    const char *name = argv[i] + 2;
    if (!*name) return i + 1; /* "--" ends the options */
    if (strcmp(name, "help") == 0) {
      print_help(options, synopsis);
      exit(0);
    }
    size_t len = strcspn(name, "=");
    const svc_option *o = find(options, name, len);
    if (!o) svc_usage_error(argv, "unknown option '%s'", argv[i]);
    const char *text = name[len] ? name + len + 1 : NULL;
    if (o->kind == SVC_FLAG && text) svc_usage_error(argv, "--%s takes no value", o->name);
    if (o->kind != SVC_FLAG && !text) {
      if (i + 1 >= argc) svc_usage_error(argv, "--%s needs a value (%s)", o->name, o->arg);
      text = argv[++i];
    }
    set(o, text, argv);
  }
  return i;
}
