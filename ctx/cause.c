/* cause.c: why a context ended, and this process's name as an origin.
 *
 * A cause is immutable and counted; the well-known ones are static and not counted. Their origin, NULL,
 * stands for this process, by whatever name it is set to. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctx/node.h"

enum { ORIGIN_MAX = 255, TEXT_MAX = 1023, OWN_ORIGIN_MAX = 63 };

tether_cause tth_cause_canceled = {.code = TETHER_CAUSE_CALLER, .text = "context canceled"};
tether_cause tth_cause_deadline = {.code = TETHER_CAUSE_DEADLINE, .text = "context deadline exceeded"};
tether_cause tth_cause_nomem = {.code = TETHER_CAUSE_OTHER, .text = "out of memory"};
tether_cause tth_cause_forked = {.code = TETHER_CAUSE_OTHER, .text = "inherited across fork"};
tether_cause tth_cause_requested = {.code = TETHER_CAUSE_CALLER, .text = "cancel requested from a signal handler"};

/* What tether_cause_new falls back on without memory. */
static tether_cause textless[] = {
    {.code = TETHER_CAUSE_NONE, .text = ""},       {.code = TETHER_CAUSE_CALLER, .text = ""},
    {.code = TETHER_CAUSE_DEADLINE, .text = ""},   {.code = TETHER_CAUSE_SIBLING, .text = ""},
    {.code = TETHER_CAUSE_HEDGE_LOST, .text = ""}, {.code = TETHER_CAUSE_PEER_LOST, .text = ""},
    {.code = TETHER_CAUSE_SHUTDOWN, .text = ""},   {.code = TETHER_CAUSE_SHED, .text = ""},
    {.code = TETHER_CAUSE_OTHER, .text = ""},      {.code = TETHER_CAUSE_ENOUGH, .text = ""},
};
enum { CODES = sizeof textless / sizeof textless[0] };

static char own_origin[OWN_ORIGIN_MAX + 1];
static bool own_origin_set;

/* The length to keep of `text`: at most `max` bytes, never half a UTF-8 character. */
static size_t cut(const char *text, size_t max) {
  size_t length = strnlen(text, max + 1);
  if (length <= max) return length;
  length = max;
  while (length > 0 && ((unsigned char)text[length] & 0xC0) == 0x80) --length;
  return length == 0 ? max : length;
}

tether_cause *tether_cause_new(tether_cause_code code, const char *origin, const char *text) {
  if (origin == NULL) origin = tether_origin();
  const size_t origin_length = cut(origin, ORIGIN_MAX);
  const size_t text_length = text == NULL ? 0 : cut(text, TEXT_MAX);
  tether_cause *cause = malloc(sizeof *cause + origin_length + text_length + 2);
  if (cause == NULL) return &textless[(unsigned)code < CODES ? (unsigned)code : TETHER_CAUSE_OTHER];
  char *bytes = cause->bytes;
  atomic_init(&cause->refs, 1);
  cause->code = code;
  cause->origin = bytes;
  memcpy(bytes, origin, origin_length);
  bytes[origin_length] = '\0';
  bytes += origin_length + 1;
  cause->text = bytes;
  if (text != NULL) memcpy(bytes, text, text_length);
  bytes[text_length] = '\0';
  return cause;
}

tether_cause *tether_cause_newf(tether_cause_code code, const char *format, ...) {
  char text[TEXT_MAX + 4]; /* room to see that the last character is cut in half */
  va_list arguments;
  va_start(arguments, format);
  const int length = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  return tether_cause_new(code, NULL, length < 0 ? NULL : text);
}

tether_cause *tether_cause_ref(const tether_cause *cause) {
  tether_cause *shared = (tether_cause *)(uintptr_t)cause;
  if (shared != NULL && atomic_load_explicit(&shared->refs, memory_order_relaxed) != 0)
    atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);
  return shared;
}

void tether_cause_unref(tether_cause *cause) {
  if (cause == NULL || atomic_load_explicit(&cause->refs, memory_order_relaxed) == 0) return;
  if (atomic_fetch_sub_explicit(&cause->refs, 1, memory_order_acq_rel) == 1) free(cause);
}

tether_cause_code tether_cause_get_code(const tether_cause *cause) {
  return cause == NULL ? TETHER_CAUSE_NONE : cause->code;
}

const char *tether_cause_origin(const tether_cause *cause) {
  if (cause == NULL) return "";
  return cause->origin == NULL ? tether_origin() : cause->origin;
}

const char *tether_cause_text(const tether_cause *cause) { return cause == NULL ? "" : cause->text; }

const char *tether_cause_code_name(tether_cause_code code) {
  static const char *const names[CODES] = {
      "none", "caller", "deadline", "sibling", "hedge_lost", "peer_lost", "shutdown", "shed", "other", "enough",
  };
  return names[(unsigned)code < CODES ? (unsigned)code : TETHER_CAUSE_OTHER];
}

const tether_cause *tether_cause_canceled(void) { return &tth_cause_canceled; }

const tether_cause *tether_cause_deadline_exceeded(void) { return &tth_cause_deadline; }

/* At load and again in the child of a fork, whose pid is another. */
void tth_origin_init(void) {
  if (own_origin_set) return;
  char pid[24];
  const int pid_length = snprintf(pid, sizeof pid, "/%ld", (long)getpid());
  snprintf(own_origin, sizeof own_origin, "%.*s%s", OWN_ORIGIN_MAX - pid_length, program_invocation_short_name, pid);
}

void tether_origin_set(const char *name) {
  const size_t length = name == NULL ? 0 : cut(name, OWN_ORIGIN_MAX);
  own_origin_set = name != NULL;
  if (name == NULL) {
    tth_origin_init();
    return;
  }
  memcpy(own_origin, name, length);
  own_origin[length] = '\0';
}

const char *tether_origin(void) {
  tth_load();
  return own_origin;
}
