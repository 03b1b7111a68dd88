/* tests/fuzz/fuzz.h: the function a fuzz target consists of. libFuzzer calls it, or replay.c with what libFuzzer found
 * earlier. */
#ifndef TETHER_TESTS_FUZZ_H
#define TETHER_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

#endif
