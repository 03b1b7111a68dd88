/* tests/fuzz/fuzz.h: a fuzz target's entry points, and what all targets use. */
#ifndef TETHER_TESTS_FUZZ_FUZZ_H
#define TETHER_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* libFuzzer's contract: called with any bytes, any number of times; returns 0; a crash is a find. */
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

/* Called once before; targets may leave it out. */
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Says what does not hold and ends the process: a find. Reaches the terminal also where standard error is closed to
 * keep quiet about every connection that breaks. */
_Noreturn void fuzz_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define FUZZ_CHECK(what)                                                    \
  do {                                                                      \
    if (!(what)) fuzz_fail("%s:%d: not so: %s", __FILE__, __LINE__, #what); \
  } while (0)

/* Reads all of it, so that AddressSanitizer looks at it. */
void fuzz_read(const void *bytes, size_t len);

/* Bytes of heap in use, where AddressSanitizer counts them; else 0. */
size_t fuzz_allocated(void);

/* ---- Reading an input piece by piece ------------------------------------------------------- */

typedef struct fuzz_input {
  const uint8_t *at;
  size_t left;
} fuzz_input;

/* The next bytes as a number, little-endian; what is missing at the end counts as 0. */
static inline uint32_t fuzz_number(fuzz_input *in, unsigned bytes) {
  uint32_t value = 0;
  for (unsigned i = 0; i < bytes && in->left > 0; i++, in->at++, in->left--) value |= (uint32_t)*in->at << (8 * i);
  return value;
}

static inline uint8_t fuzz_byte(fuzz_input *in) { return (uint8_t)fuzz_number(in, 1); }

/* A number below `n`. */
static inline uint32_t fuzz_below(fuzz_input *in, uint32_t n) { return fuzz_byte(in) % n; }

/* Up to `want` bytes. */
static inline const uint8_t *fuzz_bytes(fuzz_input *in, size_t want, size_t *len) {
  const uint8_t *bytes = in->at;
  *len = want < in->left ? want : in->left;
  in->at += *len;
  in->left -= *len;
  return bytes;
}

/* 0, or a span of time between 1 ns and about 9 years. */
static inline int64_t fuzz_span_ns(fuzz_input *in) {
  uint32_t value = fuzz_byte(in);
  return value ? (int64_t)(value & 3 ? value & 3 : 5) << (value >> 2) % 57 : 0;
}

#endif
