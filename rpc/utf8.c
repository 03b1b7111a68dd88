#include "rpc/utf8.h"

#include <stdbool.h>
#include <string.h>

enum { WORD = sizeof(uint64_t), STRIDE = 4 * WORD };

/* Whether so many words' bytes are all in 1..127. */
static inline bool plain(const uint8_t *at, size_t count) {
  uint64_t odd = 0;
  /* With no high bit anywhere, subtracting 1 from each byte borrows into a high bit exactly where a byte is 0, or
   * above one that is. */
  for (size_t i = 0; i < count; i++) {
    uint64_t word;
    memcpy(&word, at + i * WORD, WORD);
    odd |= word | (word - UINT64_C(0x0101010101010101));
  }
  return (odd & UINT64_C(0x8080808080808080)) == 0;
}

/* The length of the well-formed sequence at the start of `at`, 0 if there is none. */
static size_t sequence(const uint8_t *at, size_t len) {
  uint8_t lead = at[0];
  if (lead < 0x80) return lead != 0;
  size_t more = lead >= 0xC2 && lead <= 0xDF ? 1 : (lead & 0xF0) == 0xE0 ? 2 : lead >= 0xF0 && lead <= 0xF4 ? 3 : 0;
  if (more == 0 || len <= more) return 0;
  /* The second byte has a narrower range after some lead bytes: shortest forms, surrogates, the last plane. */
  uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  if (at[1] < low || at[1] > high) return 0;
  for (size_t i = 2; i <= more; i++)
    if ((at[i] & 0xC0) != 0x80) return 0;
  return more + 1;
}

size_t tth_utf8_prefix(const uint8_t *text, size_t len) {
  size_t at = 0;
  while (at < len) {
    if (len - at >= STRIDE && plain(text + at, STRIDE / WORD)) {
      at += STRIDE;
      continue;
    }
    if (len - at >= WORD && plain(text + at, 1)) {
      at += WORD;
      continue;
    }
    size_t used = sequence(text + at, len - at);
    if (used == 0) break;
    at += used;
  }
  return at;
}

const char *tth_utf8_text(const char *text) {
  size_t len = strlen(text);
  return tth_utf8_prefix((const uint8_t *)text, len) == len ? text : "(not UTF-8)";
}
