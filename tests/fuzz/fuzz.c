#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* AddressSanitizer's, if it is there. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static int report_fd = STDERR_FILENO;

__attribute__((constructor)) static void keep_stderr(void) {
  int kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
  if (kept >= 0) report_fd = kept;
}

void fuzz_fail(const char *format, ...) {
  va_list args;
  va_start(args, format);
  vdprintf(report_fd, format, args);
  va_end(args);
  dprintf(report_fd, "\n");
  abort();
}

size_t fuzz_allocated(void) {
  return __sanitizer_get_current_allocated_bytes ? __sanitizer_get_current_allocated_bytes() : 0;
}

void fuzz_read(const void *bytes, size_t len) {
  const uint8_t *at = bytes;
  uint8_t sum = 0;
  for (size_t i = 0; i < len; i++) sum ^= at[i];
  __asm__ volatile("" : : "r"(sum)); /* it is used: the reads stay */
}
